/* engine/operators_adopt.c - what a version without the topic JOB-operators has left, found in the
 * log itself; operators.h has the picture.
 *
 *   JOB-X-changelog      begins with the names "operator/slot" and "operator/timer" stored in X
 *
 *   JOB-X-position       the position of generator or array X, if the group has committed one
 *
 *   JOB-X-repartition    records may be under way to stage X
 *
 * It is read once. Each partition's changelog begins with the rows that name its slots, so that
 * this mostly ends soon; an operator, slot or timer that is not found is looked for to the end, as
 * new ones are.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/operators.h"

typedef struct found_topic {
    char *name, *stage; /* JOB-STAGE-KIND */
    uint32_t partition_count;
    bool planned; /* a stage of the plan would be stored there */
} found_topic;

typedef struct finding {
    leat__run *run;
    leat__entries *entries;
    const char *job;
    found_topic *changelogs, *repartitions;
    size_t changelog_count, repartition_count;
    char **groups; /* of other jobs whose names begin like this one's */
    size_t group_count;

    const found_topic *reading;
    size_t entries_before; /* what the topic that is being read has added comes behind them */
    bool foreign, settled; /* it is another job's; all that the job has was found */
    leat_status status;
    leat_error *error;
} finding;

char *leat__stage_of_topic(const char *job, const char *topic, const char *kind)
{
    size_t head = strlen(job), length = strlen(topic), tail = strlen(kind);
    if (length <= head + 1 + tail || strncmp(topic, job, head) != 0 || topic[head] != '-' ||
        strcmp(topic + length - tail, kind) != 0)
        return NULL;
    return leat__strndup(topic + head + 1, length - head - 1 - tail);
}

static bool is_planned(const leat__plan *plan, const char *stage)
{
    for (size_t s = 0; s < plan->stage_count; s++)
        if (plan->stages[s].has_state && strcmp(plan->stages[s].name, stage) == 0)
            return true;
    return false;
}

static void add_topic(found_topic **all, size_t *count, const char *topic, char *stage,
                      uint32_t partition_count, bool planned)
{
    *all = leat__realloc(*all, *count + 1, sizeof **all);
    found_topic *added = &(*all)[(*count)++];
    *added = (found_topic){.partition_count = partition_count, .planned = planned};
    added->name = leat__strdup(topic);
    added->stage = stage; /* taken */
}

static bool each_topic(void *arg, const char *topic, const leat_topic_opts *opts)
{
    finding *f = arg;
    char *stage = leat__stage_of_topic(f->job, topic, "-changelog");
    if (stage != NULL)
        add_topic(&f->changelogs, &f->changelog_count, topic, stage, opts->partition_count,
                  is_planned(&f->run->graph->plan, stage));
    else if ((stage = leat__stage_of_topic(f->job, topic, "-repartition")) != NULL)
        add_topic(&f->repartitions, &f->repartition_count, topic, stage, opts->partition_count,
                  false);
    return true;
}

static bool each_group(void *arg, const char *group)
{
    finding *f = arg;
    size_t head = strlen(f->job);
    if (strncmp(group, f->job, head) == 0 && group[head] == '-') {
        f->groups = leat__realloc(f->groups, f->group_count + 1, sizeof *f->groups);
        f->groups[f->group_count++] = leat__strdup(group);
    }
    return true;
}

/* ------------------------------------------------------------------ changelogs */

static bool has_state(const leat__node *node)
{
    return node->kind == LEAT__NODE_OP &&
           (node->as.op.slot_count != 0 || node->as.op.timer_count != 0);
}

static bool all_found(const finding *f)
{
    const leat__graph *graph = f->run->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        const leat__node *node = &graph->nodes[n];
        const leat__entry *entry = leat__entry_of(f->entries, node->name);
        if (has_state(node) && (entry == NULL || !leat__parts_found(entry, node)))
            return false;
    }
    return true;
}

/* It was found elsewhere before: a version that named stages by their first operator has begun a
 * second changelog for it. The one that it would go on with now holds. */
static bool stored_twice(finding *f, const leat__entry *entry)
{
    if (strcmp(entry->stage, f->reading->stage) == 0 ||
        is_planned(&f->run->graph->plan, entry->stage))
        return true;
    f->status = leat__fail(f->error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, entry->name,
                           "has state in %s-%s-changelog and in %s; delete the topic that is out "
                           "of date (leat topics --delete)",
                           f->job, entry->stage, f->reading->name);
    return false;
}

static bool take_directory(finding *f, leat_str slot, bool is_timer)
{
    const char *slash = memchr(slot.data, '/', slot.length);
    if (slash == NULL)
        return true;
    char *name = leat__strndup(slot.data, (size_t)(slash - slot.data));
    leat__entry *entry = leat__entry_of(f->entries, name);
    bool go_on = true;
    if (entry != NULL) {
        go_on = stored_twice(f, entry);
    } else {
        const char *stage = f->reading->stage;
        entry = leat__entry_change(f->entries, name);
        leat__entry_set(entry, LEAT__ENTRY_STATE, stage,
                        (uint16_t)(leat__murmur2(stage, strlen(stage)) & 0xffff), "");
        entry->parts_known = true;
    }
    leat__part_found(entry, (leat_str){slash + 1, (size_t)(slot.data + slot.length - slash - 1)},
                     is_timer);
    leat__free(name);
    return go_on;
}

static bool each_row(void *arg, const leat_log_record *record)
{
    finding *f = arg;
    leat_str slot;
    bool is_timer;
    if (leat_str_equal(record->key, leat__seal_key)) {
        f->foreign = !leat__seal_is_of(record->value, f->job, f->reading->stage);
        f->settled = !f->foreign && all_found(f);
        return !f->foreign && !f->settled;
    }
    return !leat__changelog_names(record->key, record->value, &slot, &is_timer) ||
           take_directory(f, slot, is_timer);
}

static void drop_behind(leat__entries *entries, size_t count)
{
    while (entries->count > count)
        leat__entry_free(&entries->all[--entries->count]);
}

/* Those that the plan would use first: mostly it is they. */
static leat_status read_changelogs(finding *f, bool planned, leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < f->changelog_count && status == LEAT_OK && !f->settled; i++) {
        f->reading = &f->changelogs[i];
        if (f->reading->planned != planned)
            continue;
        f->entries_before = f->entries->count;
        f->foreign = false;
        status = leat__read_all(f->run->log, f->run, f->reading->name, f->reading->partition_count,
                                NULL, each_row, f, error);
        if (f->foreign)
            drop_behind(f->entries, f->entries_before);
        if (status == LEAT_OK)
            status = f->status;
    }
    return status;
}

/* ------------------------------------------------------------------ positions and exchanges */

static bool each_offset(void *arg, const leat_log_offset *offset)
{
    finding *f = arg;
    char *source = leat__stage_of_topic(f->job, offset->topic, "-position");
    if (source != NULL && leat__entry_of(f->entries, source) == NULL)
        leat__entry_set(leat__entry_change(f->entries, source), LEAT__ENTRY_POSITION, "", 0, "");
    leat__free(source);
    return true;
}

static bool is_foreign(const finding *f, const char *topic)
{
    for (size_t i = 0; i < f->group_count; i++)
        if (strncmp(topic, f->groups[i], strlen(f->groups[i])) == 0 &&
            topic[strlen(f->groups[i])] == '-')
            return true;
    return false;
}

/* The stage that a version without the topic fed through "JOB-X-repartition": known by one of its
 * operators if X still is one, else by a name that no operator has. */
static void take_repartitions(finding *f)
{
    for (size_t i = 0; i < f->repartition_count; i++) {
        const char *stage = f->repartitions[i].stage;
        if (is_foreign(f, f->repartitions[i].name))
            continue;
        char *name = leat__entry_of(f->entries, stage) == NULL ? leat__strdup(stage)
                                                               : leat__format("/%s", stage);
        leat__entry_set(leat__entry_change(f->entries, name), LEAT__ENTRY_PASSING, stage, 0, "");
        leat__free(name);
    }
}

static void free_topics(found_topic *topics, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        leat__free(topics[i].name);
        leat__free(topics[i].stage);
    }
    leat__free(topics);
}

leat_status leat__operators_adopt(leat__run *run, leat__entries *entries, leat_error *error)
{
    finding f = {.run = run, .entries = entries, .job = run->graph->opts.name, .error = error};
    leat_status status = leat_topic_each(run->log, each_topic, &f, error);
    if (status == LEAT_OK && f.repartition_count != 0)
        status = leat_log_group_each(run->log, each_group, &f, error);
    if (status == LEAT_OK)
        status = read_changelogs(&f, true, error);
    if (status == LEAT_OK)
        status = read_changelogs(&f, false, error);
    if (status == LEAT_OK)
        status = leat_log_group_offsets(run->log, f.job, each_offset, &f, error);
    if (status == LEAT_OK)
        take_repartitions(&f);
    free_topics(f.changelogs, f.changelog_count);
    free_topics(f.repartitions, f.repartition_count);
    for (size_t i = 0; i < f.group_count; i++)
        leat__free(f.groups[i]);
    leat__free(f.groups);
    return status;
}
