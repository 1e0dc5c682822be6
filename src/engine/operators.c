/* engine/operators.c - the stored names of the plan's stages; operators.h has the picture. */
#include "engine/operators.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include <inttypes.h>

/* R30: how often what was written is read again because another process was quicker */
enum { ROUNDS_MAX = 5 };

typedef struct finding {
    leat__run *run;
    leat__plan *plan;
    leat__entries *entries;
    const leat__entry **found; /* by stage: an operator's of it, NULL: none has state yet */
    const char *beginner;      /* an operator that has no state yet; NULL: none */
    const char *new_source;    /* a generator or array without a position; NULL: none */
    leat_error *error;
} finding;

static const leat__node *node_at(const finding *f, const leat__stage *stage, size_t i)
{
    return &f->run->graph->nodes[stage->nodes[i]];
}

static bool has_state(const leat__node *node)
{
    return node->kind == LEAT__NODE_OP &&
           (node->as.op.slot_count != 0 || node->as.op.timer_count != 0);
}

static bool has_position(const leat__node *node)
{
    return node->kind == LEAT__NODE_SOURCE_GENERATOR || node->kind == LEAT__NODE_SOURCE_ARRAY;
}

static const leat__node *node_named(const leat__graph *graph, const char *name)
{
    for (size_t n = 0; n < graph->node_count; n++)
        if (strcmp(graph->nodes[n].name, name) == 0)
            return &graph->nodes[n];
    return NULL;
}

static char *key_of(const leat__node *node)
{
    return leat__strndup(node->key_of.data == NULL ? "" : node->key_of.data, node->key_of.length);
}

/* ------------------------------------------------------------------ what the operators say */

static leat_status check_key(const finding *f, const leat__node *node, const leat__entry *entry)
{
    char *key = key_of(node);
    bool same = entry->key[0] == '\0' || strcmp(entry->key, key) == 0;
    leat_status status = LEAT_OK;
    if (!same)
        status = leat__fail(f->error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, node->name,
                            "its state is kept by '%s' and the job keys it by '%s' now; key it as "
                            "before or give the operator a new name (if only the field was "
                            "renamed: leat operators --rekey %s)",
                            entry->key, key, node->name);
    leat__free(key);
    return status;
}

static leat_status check_operator(finding *f, const leat__stage *stage, const leat__node *node)
{
    const leat__entry *entry = leat__entry_of(f->entries, node->name);
    if (entry == NULL || entry->kind != LEAT__ENTRY_STATE) {
        f->beginner = node->name;
        return LEAT_OK;
    }
    if (entry->dropped)
        return leat__fail(f->error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, node->name,
                          "had state in this job that was dropped; give the operator another name");
    const leat__entry *other = f->found[stage->number];
    if (other != NULL && strcmp(other->stage, entry->stage) != 0)
        return leat__fail(f->error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, node->name,
                          "its state is stored in stage '%s' and that of '%s', which is keyed "
                          "together with it now, in stage '%s': states are not moved; keep them "
                          "apart as they were, or give one of them a new name",
                          entry->stage, other->name, other->stage);
    f->found[stage->number] = entry;
    leat_status status = check_key(f, node, entry);
    return status == LEAT_OK ? leat__parts_check(f->run, entry, node, f->error) : status;
}

/* The state of one stored stage can't be in two places. */
static leat_status check_apart(const finding *f)
{
    for (size_t s = 0; s < f->plan->stage_count; s++)
        for (size_t t = 0; t < s; t++)
            if (f->found[s] != NULL && f->found[t] != NULL &&
                strcmp(f->found[s]->stage, f->found[t]->stage) == 0)
                return leat__fail(
                    f->error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, f->found[s]->name,
                    "its state is stored in stage '%s' together with that of '%s', and the job has "
                    "them apart now: states are not moved; key both as before, or give one of them "
                    "a new name",
                    f->found[s]->stage, f->found[t]->name);
    return LEAT_OK;
}

static leat_status ask_operators(finding *f)
{
    leat_status status = LEAT_OK;
    for (size_t s = 0; s < f->plan->stage_count && status == LEAT_OK; s++) {
        const leat__stage *stage = &f->plan->stages[s];
        for (size_t i = 0; i < stage->node_count && status == LEAT_OK; i++) {
            const leat__node *node = node_at(f, stage, i);
            if (has_state(node))
                status = check_operator(f, stage, node);
            if (has_position(node) && leat__entry_of(f->entries, node->name) == NULL)
                f->new_source = node->name;
        }
    }
    return status == LEAT_OK ? check_apart(f) : status;
}

/* ------------------------------------------------------------------ what is left over */

static bool is_left_over(const finding *f, const leat__entry *entry, leat__entry_kind kind)
{
    if (entry->kind != kind || entry->dropped)
        return false;
    const leat__node *node = node_named(f->run->graph, entry->name);
    return node == NULL || !(kind == LEAT__ENTRY_STATE ? has_state(node) : has_position(node));
}

/* Something begins from nothing while something else lost its owner: perhaps it is the same. */
static leat_status left_over(const finding *f, const leat__entry *entry, const char *beginner,
                             const char *what)
{
    char *command = leat__drop_command(f->run, entry->name);
    leat_status status = LEAT_OK;
    if (beginner != NULL)
        status = leat__fail(f->error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, beginner,
                            "would begin without %s, while that of '%s' is stored and the job has "
                            "it no more; if it was renamed give it the old name, else give up "
                            "what is stored: %s",
                            what, entry->name, command);
    else
        leat__log_line(LEAT__WARN, "state",
                       "job '%s': %s of '%s' is kept, the job has it no more; to give it up: %s",
                       f->run->graph->opts.name, what, entry->name, command);
    leat__free(command);
    return status;
}

static leat_status check_left_over(const finding *f)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < f->entries->count && status == LEAT_OK; i++) {
        const leat__entry *entry = &f->entries->all[i];
        if (is_left_over(f, entry, LEAT__ENTRY_STATE))
            status = left_over(f, entry, f->beginner, "state");
        else if (is_left_over(f, entry, LEAT__ENTRY_POSITION))
            status = left_over(f, entry, f->new_source, "a position");
    }
    return status;
}

/* ------------------------------------------------------------------ names and numbers */

static bool is_taken(const finding *f, const char *name, const leat__stage *but)
{
    for (size_t i = 0; i < f->entries->count; i++)
        if (strcmp(f->entries->all[i].stage, name) == 0)
            return true;
    for (size_t s = 0; s < f->plan->stage_count; s++)
        if (&f->plan->stages[s] != but && strcmp(f->plan->stages[s].name, name) == 0)
            return true;
    return false;
}

static bool number_taken(const finding *f, uint16_t number, const leat__stage *but)
{
    for (size_t i = 0; i < f->entries->count; i++)
        if (f->entries->all[i].kind == LEAT__ENTRY_STATE && f->entries->all[i].number == number)
            return true;
    for (size_t s = 0; s < f->plan->stage_count; s++)
        if (&f->plan->stages[s] != but && f->plan->stages[s].has_state &&
            f->plan->stages[s].state_number == number)
            return true;
    return false;
}

static void give_name(const finding *f, leat__stage *stage, const char *name)
{
    if (strcmp(stage->name, name) == 0)
        return;
    char *copy = leat__arena_alloc(&f->run->job->graph.arena, strlen(name) + 1);
    stage->name = memcpy(copy, name, strlen(name) + 1);
}

/* A stage without state that is fed through the log is known by any operator of it. */
static const leat__entry *passing_entry(const finding *f, const leat__stage *stage)
{
    if (!leat__fed_through_log(f->run, stage->number))
        return NULL;
    for (size_t i = 0; i < stage->node_count; i++) {
        const leat__entry *entry = leat__entry_of(f->entries, node_at(f, stage, i)->name);
        if (entry == NULL || entry->kind != LEAT__ENTRY_PASSING)
            continue;
        bool claimed = false;
        for (size_t s = 0; s < f->plan->stage_count; s++)
            claimed |= f->found[s] != NULL && strcmp(f->found[s]->stage, entry->stage) == 0;
        if (!claimed)
            return entry;
    }
    return NULL;
}

static void name_new_stage(finding *f, leat__stage *stage)
{
    char name[LEAT__NAME_MAX + 16];
    (void)snprintf(name, sizeof name, "%s", stage->name);
    for (int i = 2; is_taken(f, name, stage); i++)
        (void)snprintf(name, sizeof name, "%s.%d", stage->name, i);
    give_name(f, stage, name);
    stage->state_number = (uint16_t)(leat__murmur2(name, strlen(name)) & 0xffff);
    while (stage->has_state && number_taken(f, stage->state_number, stage))
        stage->state_number++;
}

static void name_stages(finding *f)
{
    for (size_t s = 0; s < f->plan->stage_count; s++)
        if (f->found[s] == NULL)
            f->found[s] = passing_entry(f, &f->plan->stages[s]);
    for (size_t s = 0; s < f->plan->stage_count; s++) {
        if (f->found[s] == NULL)
            continue;
        give_name(f, &f->plan->stages[s], f->found[s]->stage);
        if (f->found[s]->kind == LEAT__ENTRY_STATE)
            f->plan->stages[s].state_number = f->found[s]->number;
    }
    for (size_t s = 0; s < f->plan->stage_count; s++)
        if (f->found[s] == NULL)
            name_new_stage(f, &f->plan->stages[s]);
        else if (f->found[s]->kind != LEAT__ENTRY_STATE)
            while (f->plan->stages[s].has_state &&
                   number_taken(f, f->plan->stages[s].state_number, &f->plan->stages[s]))
                f->plan->stages[s].state_number++;
}

/* ------------------------------------------------------------------ records under way */

typedef struct under_way {
    const char *topic;
    int64_t *from;
    uint32_t count;
    bool data;
} under_way;

static bool each_offset(void *arg, const leat_log_offset *offset)
{
    under_way *u = arg;
    if (strcmp(offset->topic, u->topic) == 0 && offset->partition < u->count)
        u->from[offset->partition] = offset->offset;
    return true;
}

static bool each_record(void *arg, const leat_log_record *record)
{
    under_way *u = arg;
    u->data = record->value.length < 2 || record->value.data[1] == LEAT__EXCHANGE_DATA;
    return !u->data;
}

/* Once nothing is under way the job has done with the topic: it may go. */
static leat_status check_mark(const finding *f, const char *topic, uint64_t id, const char *stage)
{
    char *name = leat__format(LEAT__ENTRY_REPARTITION_NAME "%s", stage);
    const leat__entry *mark = leat__entry_of(f->entries, name);
    uint64_t marked = mark == NULL ? 0 : leat__entry_topic_id(mark);
    leat_status status = LEAT_OK;
    if (marked != 0 && marked != id)
        status = leat__exchange_is_lost(f->run, topic, stage, f->error);
    else if (marked != 0)
        leat__entry_set(leat__entry_change(f->entries, name), LEAT__ENTRY_MARK, "", 0, "0");
    leat__free(name);
    return status;
}

static bool is_in_plan(const finding *f, const char *stage)
{
    bool found = false;
    for (size_t s = 0; s < f->plan->stage_count; s++)
        found |= strcmp(f->plan->stages[s].name, stage) == 0;
    return found;
}

static leat_status still_under_way(const finding *f, const char *topic, const char *stage)
{
    char remedy[LEAT__REMEDY_BYTES];
    bool in_memory = is_in_plan(f, stage);
    return leat__fail(
        f->error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, topic,
        "records are under way to stage '%.64s', which this version of the job %s: %s, let it read "
        "all of its input and end (until_end), then start this one; to give them up, %s",
        stage, in_memory ? "feeds in memory (LEAT_EXCHANGE_MEMORY)" : "has no more",
        in_memory ? "set .exchange to LEAT_EXCHANGE_LOG as before" : "run the former version again",
        leat__remedy(f->run, remedy));
}

static leat_status check_topic(const finding *f, const char *stage)
{
    const leat__run *run = f->run;
    char *topic = leat__format("%s-%s-repartition", run->graph->opts.name, stage);
    under_way u = {.topic = topic};
    leat_topic_opts opts = {0};
    leat_error missing = {0};
    leat_status status = leat_topic_describe(run->log, topic, &opts, &missing);
    if (status == LEAT_OK) {
        u.count = opts.partition_count;
        u.from = leat__calloc(u.count, sizeof *u.from);
        status = leat_log_group_offsets(run->log, run->graph->opts.name, each_offset, &u, f->error);
        if (status == LEAT_OK)
            status =
                leat__read_all(run->log, f->run, topic, u.count, u.from, each_record, &u, f->error);
    } else if (status == LEAT_ENOTFOUND) {
        status = LEAT_OK;
    } else {
        *f->error = missing;
    }
    if (u.data)
        status = still_under_way(f, topic, stage);
    if (status == LEAT_OK)
        status = check_mark(f, topic, opts.id, stage);
    leat__free(u.from);
    leat__free(topic);
    return status;
}

static bool is_fed(const finding *f, const char *name)
{
    for (size_t s = 0; s < f->plan->stage_count; s++)
        if (strcmp(f->plan->stages[s].name, name) == 0 &&
            leat__fed_through_log(f->run, f->plan->stages[s].number))
            return true;
    return false;
}

/* Also of an exchange whose receivers have no entry, as a sink has none. */
static const char *stage_of(const leat__entry *entry)
{
    size_t head = sizeof(LEAT__ENTRY_REPARTITION_NAME) - 1;
    bool mark = strncmp(entry->name, LEAT__ENTRY_REPARTITION_NAME, head) == 0;
    return mark ? entry->name + head : entry->stage;
}

static leat_status check_under_way(const finding *f)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < f->entries->count && status == LEAT_OK; i++) {
        const char *stage = stage_of(&f->entries->all[i]);
        bool asked = stage[0] == '\0' || is_fed(f, stage);
        for (size_t j = 0; j < i && !asked; j++)
            asked = strcmp(stage_of(&f->entries->all[j]), stage) == 0;
        if (!asked)
            status = check_topic(f, stage);
    }
    return status;
}

/* ------------------------------------------------------------------ writing it down */

static void note_operator(finding *f, const leat__stage *stage, const leat__node *node)
{
    const leat__entry *entry = leat__entry_of(f->entries, node->name);
    leat__entry_kind kind = has_state(node) ? LEAT__ENTRY_STATE : LEAT__ENTRY_PASSING;
    char *key = key_of(node);
    bool known = entry != NULL && entry->kind == kind && strcmp(entry->stage, stage->name) == 0 &&
                 (kind != LEAT__ENTRY_STATE ||
                  (strcmp(entry->key, key) == 0 && leat__parts_noted(entry, node)));
    bool other =
        kind == LEAT__ENTRY_PASSING &&
        (!leat__fed_through_log(f->run, stage->number) || node->as.op.class == &leat__op_key_by ||
         (entry != NULL && entry->kind == LEAT__ENTRY_STATE)); /* left over */
    if (!known && !other) {
        leat__entry *changed = leat__entry_change(f->entries, node->name);
        leat__entry_set(changed, kind, stage->name, stage->state_number, key);
        if (kind == LEAT__ENTRY_STATE)
            leat__parts_note(changed, node);
    }
    leat__free(key);
}

/* The last: it says that all of them are there. */
static void note_mark(leat__entries *entries)
{
    if (entries->count != 0 && leat__entry_of(entries, LEAT__ENTRY_MARK_NAME) == NULL)
        leat__entry_set(leat__entry_change(entries, LEAT__ENTRY_MARK_NAME), LEAT__ENTRY_MARK, "", 0,
                        "");
}

static void note(finding *f)
{
    for (size_t s = 0; s < f->plan->stage_count; s++) {
        const leat__stage *stage = &f->plan->stages[s];
        for (size_t i = 0; i < stage->node_count; i++) {
            const leat__node *node = node_at(f, stage, i);
            if (node->kind == LEAT__NODE_OP)
                note_operator(f, stage, node);
            else if (has_position(node) && leat__entry_of(f->entries, node->name) == NULL)
                leat__entry_set(leat__entry_change(f->entries, node->name), LEAT__ENTRY_POSITION,
                                "", 0, "");
        }
    }
    for (size_t i = 0; i < f->entries->count; i++)
        if (f->entries->all[i].contested) /* compaction would keep the later one */
            (void)leat__entry_change(f->entries, f->entries->all[i].name);
    note_mark(f->entries);
}

static leat_status find(finding *f)
{
    leat_status status = ask_operators(f);
    if (status == LEAT_OK)
        status = check_left_over(f);
    if (status != LEAT_OK)
        return status;
    name_stages(f);
    status = check_under_way(f);
    if (status == LEAT_OK)
        note(f);
    return status;
}

static leat_status write_down(leat__run *run, leat__entries *entries, leat_error *error)
{
    const leat_topic_opts wanted = {.partition_count = 1, .compacted = true};
    leat_topic_opts opts;
    leat_status status = leat__find_or_make(run, entries->topic, &wanted, &opts, error);
    if (status == LEAT_OK)
        status = leat__entries_write(entries, run->log, run->env->now_ms(run->env->arg), error);
    return status;
}

/* One reading, and what it leads to; *again: something was written, look what came of it. */
static leat_status round_of(leat__run *run, leat__entries *entries, bool *again, leat_error *error)
{
    leat__plan *plan = &run->job->graph.plan;
    leat_error missing = {0};
    leat_status status =
        leat__entries_read(entries, run->log, run, run->graph->opts.name, &missing);
    if (status == LEAT_ENOTFOUND)
        status = LEAT_OK;
    if (status != LEAT_OK)
        *error = missing;
    bool adopted = status == LEAT_OK && leat__entry_of(entries, LEAT__ENTRY_MARK_NAME) == NULL;
    if (adopted)
        status = leat__operators_adopt(run, entries, error);
    if (status != LEAT_OK)
        return status;
    finding f = {.run = run, .plan = plan, .entries = entries, .error = error};
    f.found = leat__calloc(plan->stage_count + 1, sizeof *f.found);
    status = find(&f);
    leat__free(f.found);
    for (size_t i = 0; i < entries->count; i++)
        *again |= entries->all[i].changed;
    if (status == LEAT_EGRAPH && adopted && *again) {
        /* "leat operators --drop", which the refusal names, looks into the topic */
        note_mark(entries);
        leat_error unwritten;
        if (write_down(run, entries, &unwritten) != LEAT_OK)
            leat__log_line(LEAT__WARN, "state", "%s: what was found is not written down: %s",
                           unwritten.where, unwritten.message);
    }
    return status == LEAT_OK && *again ? write_down(run, entries, error) : status;
}

leat_status leat__operators_open(leat__run *run, leat_error *error)
{
    leat_error ignored;
    if (error == NULL)
        error = &ignored;
    if (run->forgetful)
        return LEAT_OK;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        leat__entries entries = {0};
        bool again = false;
        leat_status status = round_of(run, &entries, &again, error);
        leat__entries_free(&entries);
        if (status != LEAT_OK || !again)
            return status;
    }
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, run->graph->opts.name,
                      "other processes of the job write other operators down at the same time; let "
                      "all of them run the same version and start again");
}
