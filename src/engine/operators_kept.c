/* engine/operators_kept.c - which topics of its own the job has kept its state in, and sent records
 * through (R2, R16), and for how many partitions its state was made (P2).
 *
 *   JOB-operators   "/changelog/STAGE"   ─► a mark: key = the topic's id in hexadecimal,
 *                   "/repartition/STAGE"    number = partitions that the state was made for
 *
 * A changelog that is deleted and made again looks like that of a job which has no state yet. A
 * stage with a source has a position that is ahead of it (R16); one that is fed in memory has none.
 * The topic of an exchange that is deleted with records in it looks like one that was never written
 * to, if the stage behind it had not committed yet; a group's offsets go with the topic. The marks
 * are written at the first start after the topic was made, before anything is in it.
 *
 * A source and its changelog that are given more partitions alike agree with each other: only the
 * mark says that the keys lay elsewhere when their state was made.
 */
#include "base/error.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "engine/operators.h"
#include <inttypes.h>
#include <stdlib.h>

typedef struct kept_topic {
    const char *topic, *stage, *mark; /* mark: what its entry's name begins with */
    uint64_t id;                      /* 0: not known */
    uint32_t state_partitions;        /* 0: there is no state in it */
} kept_topic;

uint64_t leat__entry_topic_id(const leat__entry *mark)
{
    return strtoull(mark->key, NULL, 16);
}

static leat_status state_is_lost(leat__run *run, const kept_topic *of, leat_error *error)
{
    char remedy[LEAT__REMEDY_BYTES];
    leat__run_count_violation(run);
    return leat__fail(
        error, LEAT_EVIOLATION, LEAT_RECOVERY_FATAL, of->topic,
        "was deleted and made again: the state of stage '%.64s' is lost; restore the log from a "
        "backup, or %s (R2, leat_eos_violations_total)",
        of->stage, leat__remedy(run, remedy));
}

leat_status leat__exchange_is_lost(const leat__run *run, const char *topic, const char *stage,
                                   leat_error *error)
{
    char remedy[LEAT__REMEDY_BYTES];
    return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, topic,
                      "was deleted, perhaps with records that were under way to stage '%.64s' and "
                      "are lost then; restore the log from a backup, or %s (R16)",
                      stage, leat__remedy(run, remedy));
}

static leat_status other_partitions(const leat__run *run, const kept_topic *of, uint32_t before,
                                    leat_error *error)
{
    char remedy[LEAT__REMEDY_BYTES];
    return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, of->topic,
                      "the state of stage '%.64s' was made for %" PRIu32
                      " partitions and there are %" PRIu32
                      " now: state does not move between partition counts; %s (P2)",
                      of->stage, before, of->state_partitions, leat__remedy(run, remedy));
}

/* What the mark says against what is there. With weaker guarantees a job goes on without the state,
 * as where the position is ahead of it; records under way are missed by none. */
static leat_status compare(leat__run *run, const kept_topic *of, const leat__entry *mark,
                           leat_error *error)
{
    uint64_t id = leat__entry_topic_id(mark);
    bool other = id != 0 && of->id != 0 && id != of->id;
    if (other && of->state_partitions == 0)
        return leat__exchange_is_lost(run, of->topic, of->stage, error);
    if (other)
        return run->graph->opts.guarantee == LEAT_EXACTLY_ONCE ? state_is_lost(run, of, error)
                                                               : LEAT_OK;
    if (mark->number != 0 && mark->number != of->state_partitions)
        return other_partitions(run, of, mark->number, error);
    return LEAT_OK;
}

static leat_status check(leat__run *run, leat__entries *entries, const kept_topic *of,
                         leat_error *error)
{
    char *name = leat__format("%s%s", of->mark, of->stage), text[20];
    const leat__entry *mark = leat__entry_of(entries, name);
    leat_status status = mark == NULL ? LEAT_OK : compare(run, of, mark, error);
    uint64_t id = of->id != 0 || mark == NULL ? of->id : leat__entry_topic_id(mark);
    if (status == LEAT_OK && (mark == NULL || leat__entry_topic_id(mark) != id ||
                              mark->number != of->state_partitions)) {
        (void)snprintf(text, sizeof text, "%" PRIx64, id);
        leat__entry_set(leat__entry_change(entries, name), LEAT__ENTRY_MARK, "",
                        (uint16_t)of->state_partitions, text);
    }
    leat__free(name);
    return status;
}

static leat_status check_stage(leat__run *run, leat__entries *entries, const leat__stage *stage,
                               leat_error *error)
{
    const leat__repartition *through = leat__repartition_of(run, stage->number);
    leat_status status = LEAT_OK;
    if (stage->has_state) {
        char *topic = leat__format("%s-%s-changelog", run->graph->opts.name, stage->name);
        status = check(run, entries,
                       &(kept_topic){.topic = topic,
                                     .stage = stage->name,
                                     .mark = LEAT__ENTRY_CHANGELOG_NAME,
                                     .id = run->changelog_ids[stage->number],
                                     .state_partitions = run->stage_partitions[stage->number]},
                       error);
        leat__free(topic);
    }
    if (status == LEAT_OK && through != NULL)
        status = check(run, entries,
                       &(kept_topic){.topic = through->topic,
                                     .stage = stage->name,
                                     .mark = LEAT__ENTRY_REPARTITION_NAME,
                                     .id = through->topic_id},
                       error);
    return status;
}

static bool keeps_any(const leat__run *run)
{
    bool any = false;
    for (uint32_t s = 0; s < run->graph->plan.stage_count; s++)
        any |= run->graph->plan.stages[s].has_state || leat__repartition_of(run, s) != NULL;
    return any && !run->forgetful;
}

leat_status leat__operators_kept(leat__run *run, leat_error *error)
{
    const leat__plan *plan = &run->graph->plan;
    const leat_topic_opts wanted = {.partition_count = 1, .compacted = true};
    leat__entries entries = {0};
    leat_topic_opts found;
    leat_error ignored;
    if (error == NULL)
        error = &ignored;
    if (!keeps_any(run))
        return LEAT_OK;
    char *topic = leat__format("%s-operators", run->graph->opts.name);
    leat_status status = leat__find_or_make(run, topic, &wanted, &found, error);
    if (status == LEAT_OK)
        status = leat__entries_read(&entries, run->log, run, run->graph->opts.name, error);
    for (size_t s = 0; s < plan->stage_count && status == LEAT_OK; s++)
        status = check_stage(run, &entries, &plan->stages[s], error);
    if (status == LEAT_OK)
        status = leat__entries_write(&entries, run->log, run->env->now_ms(run->env->arg), error);
    leat__entries_free(&entries);
    leat__free(topic);
    return status;
}
