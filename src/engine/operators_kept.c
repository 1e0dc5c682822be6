/* engine/operators_kept.c - which changelogs the job has kept its state in (R2).
 *
 *   JOB-operators   "/changelog/STAGE" ─► a mark whose key is the topic's id in hexadecimal
 *
 * A changelog that is deleted and made again looks like that of a job which has no state yet. A
 * stage with a source has a position that is ahead of it (R16); one that is fed in memory has none.
 * The mark is written at the first start after the topic was made, before anything is in it.
 */
#include "base/error.h"
#include "base/mem.h"
#include "engine/operators.h"
#include <inttypes.h>
#include <stdlib.h>

static leat_status lost(leat__run *run, const leat__stage *stage, leat_error *error)
{
    char remedy[LEAT__REMEDY_BYTES],
        *topic = leat__format("%s-%s-changelog", run->graph->opts.name, stage->name);
    leat__run_count_violation(run);
    leat_status status = leat__fail(
        error, LEAT_EVIOLATION, LEAT_RECOVERY_FATAL, topic,
        "was deleted and made again: the state of stage '%.64s' is lost; restore the log from a "
        "backup, or %s (R2, leat_eos_violations_total)",
        stage->name, leat__remedy(run, remedy));
    leat__free(topic);
    return status;
}

/* With weaker guarantees a job goes on without the state, as where the position is ahead of it. */
static leat_status check(leat__run *run, leat__entries *entries, const leat__stage *stage,
                         leat_error *error)
{
    uint64_t id = run->changelog_ids[stage->number];
    char *name = leat__format(LEAT__ENTRY_CHANGELOG_NAME "%s", stage->name), text[20];
    const leat__entry *entry = leat__entry_of(entries, name);
    leat_status status = LEAT_OK;
    bool same = entry != NULL && strtoull(entry->key, NULL, 16) == id;
    if (entry != NULL && !same && run->graph->opts.guarantee == LEAT_EXACTLY_ONCE) {
        status = lost(run, stage, error);
    } else if (!same) {
        (void)snprintf(text, sizeof text, "%" PRIx64, id);
        leat__entry_set(leat__entry_change(entries, name), LEAT__ENTRY_MARK, "", 0, text);
    }
    leat__free(name);
    return status;
}

leat_status leat__operators_kept(leat__run *run, leat_error *error)
{
    const leat__plan *plan = &run->graph->plan;
    leat__entries entries = {0};
    leat_error ignored;
    if (error == NULL)
        error = &ignored;
    if (run->changelog_count == 0)
        return LEAT_OK;
    leat_status status = leat__entries_read(&entries, run->log, run, run->graph->opts.name, error);
    for (size_t s = 0; s < plan->stage_count && status == LEAT_OK; s++)
        if (plan->stages[s].has_state && run->changelog_ids[s] != 0) /* 0: not known */
            status = check(run, &entries, &plan->stages[s], error);
    if (status == LEAT_OK)
        status = leat__entries_write(&entries, run->log, run->env->now_ms(run->env->arg), error);
    leat__entries_free(&entries);
    return status;
}
