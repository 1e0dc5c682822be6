/* engine/placement.c - partitioned_by is a promise of whoever fills the topic: is each record where
 * it puts it? (P1)
 *
 *   record ─► murmur2(text of the field) mod partitions == this partition? ─► operators
 *                               └─ no: have partitions been added meanwhile? ─► the job ends
 *                                          └─ no: the source's error policy
 *
 * What is elsewhere would be counted under a state that nobody asks for, and questions by key go to
 * the place where it should be.
 */
#include "base/error.h"
#include "base/hash.h"
#include "engine/exchange.h"
#include "engine/run.h"
#include "record/keys.h"
#include <inttypes.h>

enum { LOOK_EVERY_US = 1000000 };

leat_status leat__partitions_changed(const char *topic, uint32_t before, uint32_t now,
                                     leat_error *error)
{
    return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, topic,
                      "had %" PRIu32 " partitions when this job started and has %" PRIu32
                      " now: start it again, and if it keeps state under a new name, as state "
                      "does not move between partition counts",
                      before, now);
}

/* How many partitions the topic had at the start; 0: the job does not read it. */
static uint32_t partitions_before(const leat__run *run, const char *topic)
{
    for (size_t n = 0; n < run->graph->node_count; n++)
        if (run->source_partitions[n] != 0 &&
            strcmp(topic, leat__source_topic(run, &run->graph->nodes[n])) == 0)
            return run->source_partitions[n];
    for (size_t s = 0; run->repartitions != NULL && s < run->graph->plan.stage_count; s++)
        if (run->repartitions[s] != NULL && strcmp(topic, run->repartitions[s]->topic) == 0)
            return run->repartitions[s]->partition_count;
    return 0;
}

leat_status leat__placement_partitions(leat__run *run, leat_error *error)
{
    for (size_t i = 0; i < run->assigned_count; i++) {
        const leat_log_partition *one = &run->assigned[i];
        uint32_t before = partitions_before(run, one->topic);
        if (before != 0 && one->partition >= before)
            return leat__partitions_changed(one->topic, before, one->partition + 1, error);
    }
    return LEAT_OK;
}

/* A moment ago it may have become another number: then it is not the record's fault. */
static leat_status look_for_more(leat__task *task, uint32_t before, leat_error *error)
{
    leat__run *run = task->run;
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    leat_topic_opts opts;
    if (task->placement_us != 0 && now_us - task->placement_us < LOOK_EVERY_US)
        return LEAT_OK;
    task->placement_us = now_us;
    const char *topic = task->source->topic;
    if (leat_topic_describe(run->log, topic, &opts, NULL) != LEAT_OK ||
        opts.partition_count == before)
        return LEAT_OK;
    return leat__partitions_changed(topic, before, opts.partition_count, error);
}

static leat_status misplaced(leat__task *task, leat_str key, uint32_t count, uint32_t place,
                             leat_error *error)
{
    const leat__source *source = task->source;
    leat_status status = look_for_more(task, count, error);
    if (status != LEAT_OK) { /* whatever the policy is */
        leat__run_fail(task->run, error);
        return status;
    }
    task->counters.misplaced++;
    int length = key.length < 60 ? (int)key.length : 60;
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, source->node->name,
                      "%.40s '%.*s' belongs in partition %" PRIu32 " of %" PRIu32
                      ", not here (P1): have the producer use it as the key, with murmur2 "
                      "(librdkafka: partitioner=murmur2_random), or leave out partitioned_by",
                      source->node->partitioned_by->name, length, key.data, place, count);
}

leat_status leat__placement_check(leat__task *task, const void *record, leat_str key, bool *ended,
                                  leat_error *error)
{
    const leat__source *source = task->source;
    const leat_field *field = source->node->partitioned_by;
    uint32_t count = task->run->source_partitions[source->node->id];
    char text[LEAT__KEY_TEXT_BYTES];
    *ended = false;
    if (field != source->key_field || key.data == NULL)
        key = leat__key_of(field, record, text);
    if (key.data == NULL) /* key_by says that */
        return LEAT_OK;
    uint32_t place = leat__partition_of(key, count);
    if (place == task->partition)
        return LEAT_OK;
    leat_status status = misplaced(task, key, count, place, error);
    *ended = status == LEAT_EGRAPH;
    return status;
}
