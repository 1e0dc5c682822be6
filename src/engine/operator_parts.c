/* engine/operator_parts.c - the slots and timers of an operator, and the size of its windows: what
 * is stored bears their names too (S6); operators.h has the format.
 *
 * A window's accumulator is stored under its beginning, its timer under the end that it had then:
 * of another size the operator would not take the timer for its own. So the size may change when no
 * window is open, which the changelog says for all partitions, whoever owns them.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/operators.h"
#include <inttypes.h>
#include <stdlib.h>

#define TIMER "timer:"

enum { SLOT, TIMER_PART, KINDS };

static int kind_of(const char *part)
{
    return strncmp(part, TIMER, sizeof TIMER - 1) == 0 ? TIMER_PART : SLOT;
}

static size_t part_count(const leat__node *node)
{
    return node->as.op.slot_count + node->as.op.timer_count;
}

/* Slots of a spec are called "operator/slot". Allocated. */
static char *part_name(const leat__node *node, size_t i)
{
    const leat__op_spec *spec = &node->as.op;
    const char *full =
        i < spec->slot_count ? spec->slot[i].name : spec->timer[i - spec->slot_count];
    const char *slash = strrchr(full, '/');
    const char *name = slash == NULL ? full : slash + 1;
    return leat__format("%s%s", i < spec->slot_count ? "" : TIMER, name);
}

static bool has_part(const leat__node *node, const char *name)
{
    bool has = false;
    for (size_t i = 0; i < part_count(node) && !has; i++) {
        char *own = part_name(node, i);
        has = strcmp(own, name) == 0;
        leat__free(own);
    }
    return has;
}

static int64_t window_ms(const leat__node *node)
{
    return node->as.op.class == &leat__op_window ? node->as.op.config.aggregate.window.size_ms : 0;
}

static int64_t window_offset_ms(const leat__node *node)
{
    bool window = node->as.op.class == &leat__op_window;
    return window ? node->as.op.config.aggregate.window.offset_ms : 0;
}

char *leat__drop_command(const leat__run *run, const char *name)
{
    const leat_job_opts *opts = &run->graph->opts;
    return leat__format("leat operators --log %s --drop %s %s",
                        opts->log == NULL ? "LOG" : opts->log, name, opts->name);
}

/* ------------------------------------------------------------------ names */

/* A part of the operator that is not stored, by kind; "" if there is none. */
static leat_status find_beginners(const leat__entry *entry, const leat__node *node,
                                  char *begins[KINDS], leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < part_count(node) && status == LEAT_OK; i++) {
        char *name = part_name(node, i);
        const leat__part *stored = leat__part_of(entry, leat_str_from(name));
        if (stored == NULL && begins[kind_of(name)] == NULL) {
            begins[kind_of(name)] = name;
            continue;
        }
        if (stored != NULL && stored->dropped)
            status = leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, node->name,
                                "what '%s/%s' had stored was dropped; give it another name",
                                node->name, name);
        leat__free(name);
    }
    return status;
}

static leat_status left_over(const leat__run *run, const leat__node *node, const char *part,
                             const char *begins, leat_error *error)
{
    char *full = leat__format("%s/%s", node->name, part);
    char *command = leat__drop_command(run, full);
    leat_status status = LEAT_OK;
    if (begins != NULL)
        status = leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, node->name,
                            "'%s/%s' would begin empty, while '%s' is stored and the operator has "
                            "it no more; if it was renamed give it the old name, else give up "
                            "what is stored: %s",
                            node->name, begins, full, command);
    else
        leat__log_line(LEAT__WARN, "state",
                       "job '%s': what '%s' has stored is kept, the operator has it no more; to "
                       "give it up: %s",
                       run->graph->opts.name, full, command);
    leat__free(full);
    leat__free(command);
    return status;
}

static leat_status check_names(const leat__run *run, const leat__entry *entry,
                               const leat__node *node, leat_error *error)
{
    char *begins[KINDS] = {NULL};
    leat_status status = find_beginners(entry, node, begins, error);
    for (size_t i = 0; i < entry->part_count && status == LEAT_OK; i++) {
        const leat__part *part = &entry->parts[i];
        if (!part->dropped && !has_part(node, part->name))
            status = left_over(run, node, part->name, begins[kind_of(part->name)], error);
    }
    for (int kind = 0; kind < KINDS; kind++)
        leat__free(begins[kind]);
    return status;
}

/* ------------------------------------------------------------------ windows */

typedef struct change { /* of a window, in the order of the changelog */
    uint64_t window;
    size_t number;
    bool deleted;
} change;

typedef struct changes {
    const char *slot;
    change *all;
    size_t count, capacity;
} changes;

static bool each_change(void *arg, const leat_log_record *record)
{
    changes *c = arg;
    if (!leat__changelog_is_of_map(record->key, c->slot))
        return true;
    if (c->count == c->capacity) {
        c->capacity = 2 * c->capacity + 64;
        c->all = leat__realloc(c->all, c->capacity, sizeof *c->all);
    }
    c->all[c->count] = (change){leat__hash64(record->key.data, record->key.length), c->count,
                                record->value.data == NULL};
    c->count++;
    return true;
}

static int by_window(const void *a, const void *b)
{
    const change *x = a, *y = b;
    if (x->window != y->window)
        return x->window < y->window ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static size_t open_count(changes *c)
{
    size_t open = 0;
    if (c->count != 0)
        qsort(c->all, c->count, sizeof *c->all, by_window);
    for (size_t i = 0; i < c->count; i++) {
        bool last = i + 1 == c->count || c->all[i + 1].window != c->all[i].window;
        open += last && !c->all[i].deleted;
    }
    return open;
}

static leat_status count_open(leat__run *run, const leat__entry *entry, const leat__node *node,
                              size_t *open, leat_error *error)
{
    char *topic = leat__format("%s-%s-changelog", run->graph->opts.name, entry->stage);
    changes c = {.slot = node->as.op.slot[0].name};
    leat_topic_opts opts = {0};
    leat_error missing = {0};
    leat_status status = leat_topic_describe(run->log, topic, &opts, &missing);
    if (status == LEAT_OK)
        status = leat__read_all(run->log, run, topic, opts.partition_count, NULL, each_change, &c,
                                error);
    else if (status == LEAT_ENOTFOUND)
        status = LEAT_OK; /* nothing was stored yet */
    else
        *error = missing;
    *open = open_count(&c);
    leat__free(c.all);
    leat__free(topic);
    return status;
}

static leat_status check_windows(leat__run *run, const leat__entry *entry, const leat__node *node,
                                 leat_error *error)
{
    int64_t now_ms = window_ms(node), offset_ms = window_offset_ms(node);
    bool moved = entry->window_offset_ms != LEAT_TIME_MIN && entry->window_offset_ms != offset_ms;
    size_t open = 0;
    if (now_ms == 0 || entry->window_ms == 0 || (now_ms == entry->window_ms && !moved))
        return LEAT_OK;
    leat_status status = count_open(run, entry, node, &open, error);
    if (status != LEAT_OK || open == 0)
        return status;
    return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, node->name,
                      "its windows are of %" PRId64 " ms now and were of %" PRId64
                      " ms (offset %" PRId64 ", was %" PRId64 "), and %zu of those %s open: let "
                      "the job run to the end of its input once as it was and with --drain, then "
                      "change it; or give the operator a new name",
                      now_ms, entry->window_ms, offset_ms,
                      moved ? entry->window_offset_ms : offset_ms, open, open == 1 ? "is" : "are");
}

/* ------------------------------------------------------------------ both */

leat_status leat__parts_check(leat__run *run, const leat__entry *entry, const leat__node *node,
                              leat_error *error)
{
    if (!entry->parts_known)
        return LEAT_OK;
    leat_status status = check_names(run, entry, node, error);
    return status == LEAT_OK ? check_windows(run, entry, node, error) : status;
}

bool leat__parts_found(const leat__entry *entry, const leat__node *node)
{
    bool found = true;
    for (size_t i = 0; i < part_count(node) && found; i++) {
        char *name = part_name(node, i);
        found = leat__part_of(entry, leat_str_from(name)) != NULL;
        leat__free(name);
    }
    return found;
}

bool leat__parts_noted(const leat__entry *entry, const leat__node *node)
{
    return entry->parts_known && entry->window_ms == window_ms(node) &&
           entry->window_offset_ms == window_offset_ms(node) && leat__parts_found(entry, node);
}

/* Each partition of a changelog names it. */
void leat__part_found(leat__entry *entry, leat_str stored, bool is_timer)
{
    char *name = leat__format("%s%.*s", is_timer ? TIMER : "", (int)stored.length, stored.data);
    if (leat__part_of(entry, leat_str_from(name)) == NULL)
        (void)leat__part_add(entry, leat_str_from(name));
    leat__free(name);
}

void leat__parts_note(leat__entry *entry, const leat__node *node)
{
    entry->parts_known = true;
    entry->window_ms = window_ms(node);
    entry->window_offset_ms = window_offset_ms(node);
    for (size_t i = 0; i < part_count(node); i++) {
        char *name = part_name(node, i);
        if (leat__part_of(entry, leat_str_from(name)) == NULL)
            (void)leat__part_add(entry, leat_str_from(name));
        leat__free(name);
    }
}
