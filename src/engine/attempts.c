/* engine/attempts.c - does a job that rewinds get on? (R30)
 *
 *   offsets of a partition   ...... committed ─────── X ── reached ......
 *   rewind                          ▲ goes back to here     │
 *   commit                          └──────► ... not before it is past here, in each partition, is
 *                                            what made it rewind over
 *
 * A commit alone says little: other partitions, and records before X, commit all the while. Where
 * no source had moved (a timer, a lease) there is no such place; then a minute must pass.
 */
#include "base/limits.h"
#include "base/mem.h"
#include "engine/refusals.h"

static leat__attempt *find(leat__run *run, const leat__task *task)
{
    for (size_t i = 0; i < run->attempt_count; i++)
        if (run->attempts[i].stage == task->stage->number &&
            run->attempts[i].partition == task->partition)
            return &run->attempts[i];
    return NULL;
}

void leat__attempts_note(leat__run *run)
{
    run->attempted_us = run->env->monotonic_us(run->env->arg);
    for (size_t i = 0; i < run->task_count; i++) {
        const leat__task *task = run->tasks[i];
        if (task->source == NULL)
            continue;
        leat__attempt *attempt = find(run, task);
        if (attempt == NULL) {
            run->attempts =
                leat__realloc(run->attempts, run->attempt_count + 1, sizeof(*run->attempts));
            attempt = &run->attempts[run->attempt_count++];
            *attempt = (leat__attempt){task->stage->number, task->partition, 0};
        }
        if (task->source->offset > attempt->reached)
            attempt->reached = task->source->offset;
        run->attempts_moved |= task->source->offset > atomic_load(&task->committed_offset);
    }
}

/* What belongs to others by now is theirs to get on with. */
static bool all_passed(leat__run *run)
{
    for (size_t i = 0; i < run->task_count; i++) {
        const leat__attempt *attempt = find(run, run->tasks[i]);
        if (attempt != NULL && atomic_load(&run->tasks[i]->committed_offset) < attempt->reached)
            return false;
    }
    int64_t since_us = run->env->monotonic_us(run->env->arg) - run->attempted_us;
    return run->attempts_moved || since_us >= LEAT__STILL_REWINDING_MS * INT64_C(1000);
}

void leat__attempts_committed(leat__run *run)
{
    if (run->attempt_count == 0 || !all_passed(run))
        return;
    run->attempt_count = 0;
    run->attempts_moved = false;
    atomic_store(&run->rewinds_in_row, 0);
    leat__refusals_over(run);
}

bool leat__attempts_pending(const leat__run *run)
{
    return run->attempt_count != 0;
}
