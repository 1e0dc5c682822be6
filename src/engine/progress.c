/* engine/progress.c - what the outside sees of a restore, and what a restore sees of the outside.
 *
 *   restore.c ─ tick after each read ─┬─► per partition: position, records      ─► leat_job_stats
 *                                     ├─► a log line, every 5 s at most            /metrics,
 * /readyz └─► the group is polled, a stop is noticed (R8)
 *
 * A restore may take minutes. A member that is silent for so long is thrown out of its group, so it
 * is polled in between; partitions that are taken away meanwhile end the restore at once.
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/run.h"
#include <inttypes.h>

enum {
    POLL_US = 200000, /* the log's contract: at least every second */
    TELL_US = 5000000,
    IDLE_US = 20000, /* the log rings when there is more; this is for one that does not */
};

static int64_t now_us(const leat__run *run)
{
    return run->env->monotonic_us(run->env->arg);
}

void leat__run_count_violation(leat__run *run)
{
    atomic_fetch_add(&run->job->violations, 1);
}

void leat__run_count_rebuild(leat__run *run)
{
    atomic_fetch_add(&run->job->rebuilds, 1);
}

void leat__run_count_lost(leat__run *run, uint64_t count)
{
    atomic_fetch_add(&run->job->lost, count);
}

void leat__run_count_resumed(leat__run *run, const leat__source *source, uint32_t partition)
{
    if (atomic_fetch_add(&run->job->resumed_after_drain, 1) != 0)
        return;
    leat__log_line(LEAT__WARN, "source",
                   "job '%s' goes on where it was drained (%s partition %" PRIu32 "): the windows "
                   "and timers that were open there have fired; records that belong to such a "
                   "window open it anew and give a second, partial result. Without --drain the "
                   "next run would have gone on with them (leat_job_stats.resumed_after_drain)",
                   run->graph->opts.name, source->topic, partition);
}

/* ------------------------------------------------------------------ per partition */

void leat__progress_begin(leat__run *run)
{
    int64_t started_us = now_us(run); /* the clock is the environment's: never under the lock */
    pthread_mutex_lock(&run->lock);
    leat__free(run->progress);
    run->progress = leat__calloc(run->task_count + 1, sizeof(*run->progress));
    run->progress_count = run->task_count;
    for (size_t i = 0; i < run->task_count; i++) {
        leat__task *task = run->tasks[i];
        task->number = i;
        run->progress[i] = (leat__progress){.stage = task->stage->name,
                                            .partition = task->partition,
                                            .end = task->changelog_end,
                                            .position = task->changelog_begin,
                                            .from = task->changelog_begin};
    }
    run->restore_started_us = run->restore_told_us = run->restore_polled_us = started_us;
    pthread_mutex_unlock(&run->lock);
}

void leat__progress_end(leat__run *run)
{
    pthread_mutex_lock(&run->lock);
    leat__free(run->progress);
    run->progress = NULL;
    run->progress_count = 0;
    pthread_mutex_unlock(&run->lock);
}

void leat__progress_from(const leat__task *task, int64_t position)
{
    leat__run *run = task->run;
    pthread_mutex_lock(&run->lock);
    leat__progress *progress = &run->progress[task->number];
    progress->from = progress->position = position;
    pthread_mutex_unlock(&run->lock);
}

void leat__progress_ready(const leat__task *task)
{
    leat__run *run = task->run;
    pthread_mutex_lock(&run->lock);
    leat__progress *progress = &run->progress[task->number];
    progress->ready = true;
    progress->position = progress->end;
    pthread_mutex_unlock(&run->lock);
}

static void note(const leat__task *task, uint64_t records, int64_t position)
{
    leat__run *run = task->run;
    pthread_mutex_lock(&run->lock);
    leat__progress *progress = &run->progress[task->number];
    int64_t before = progress->position;
    bool more = records != progress->records;
    progress->records = records;
    progress->position = position < progress->end ? position : progress->end;
    if (more || progress->position != before)
        leat__moves(run);
    pthread_mutex_unlock(&run->lock);
}

/* ------------------------------------------------------------------ all of them */

leat__restore_sum leat__progress_sum(leat__run *run)
{
    leat__restore_sum sum = {.left_ms = -1};
    int64_t asked_us = now_us(run);
    pthread_mutex_lock(&run->lock);
    for (size_t i = 0; i < run->progress_count; i++) {
        const leat__progress *progress = &run->progress[i];
        sum.ready += progress->ready;
        sum.restoring += !progress->ready;
        sum.records += progress->records;
        sum.total += (uint64_t)(progress->end - progress->from);
        sum.done += (uint64_t)(progress->position - progress->from);
    }
    int64_t took_us = asked_us - run->restore_started_us;
    pthread_mutex_unlock(&run->lock);
    if (sum.restoring == 0)
        sum.left_ms = 0;
    else if (took_us > 0 && sum.done != 0)
        sum.left_ms =
            (int64_t)((double)(sum.total - sum.done) * (double)took_us / (double)sum.done / 1e3);
    sum.per_second = took_us > 0 ? (uint64_t)((double)sum.records * 1e6 / (double)took_us) : 0;
    return sum;
}

leat_partition_state leat__run_state(leat__run *run)
{
    if (atomic_load(&run->stop_requested) || atomic_load(&run->revoking))
        return LEAT_DRAINING;
    return atomic_load(&run->restoring) ? LEAT_RESTORING : LEAT_READY;
}

static void tell(leat__run *run)
{
    leat__restore_sum sum = leat__progress_sum(run);
    leat__log_line(LEAT__INFO, "state",
                   "restoring %u of %u partitions: %" PRIu64 " of %" PRIu64 " records (%" PRIu64
                   " %%), %" PRIu64 "/s, %" PRId64 " s left",
                   sum.restoring, sum.restoring + sum.ready, sum.done, sum.total,
                   sum.total == 0 ? 100 : sum.done * 100 / sum.total, sum.per_second,
                   sum.left_ms < 0 ? -1 : (sum.left_ms + 999) / 1000);
}

void leat__progress_finished(leat__run *run)
{
    leat__restore_sum sum = leat__progress_sum(run);
    if (sum.records >= 10000)
        leat__log_line(
            LEAT__INFO, "state",
            "%u partitions ready: %" PRIu64 " records restored in %" PRId64 " ms (%" PRIu64 "/s)",
            sum.ready, sum.records, (now_us(run) - run->restore_started_us) / 1000, sum.per_second);
}

/* ------------------------------------------------------------------ the group meanwhile */

/* R7, R8: what happens to the assignment while it is being restored is noted; the restore is of no
 * use any more, whoever follows acts on what was noted. */
leat_status leat__look_at_group(leat__run *run, leat_error *error)
{
    leat_log_event event;
    leat_status status = leat_log_member_poll(run->member, &event, error);
    if (status != LEAT_OK || event.kind == LEAT_LOG_NOTHING)
        return status;
    leat__moves(run);
    if (event.kind == LEAT_LOG_ASSIGNED)
        leat__keep_assignment(run, &event);
    else
        run->generation = -1;
    if (event.kind == LEAT_LOG_REVOKED) /* nothing is written but to our own directory */
        leat_log_member_ack(run->member);
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, run->graph->opts.name,
                      "the partitions were distributed anew while their state was restored");
}

leat_status leat__restore_tick(const leat__task *task, uint64_t records, int64_t position,
                               bool idle, leat_error *error)
{
    leat__run *run = task->run;
    note(task, records, position);
    if (atomic_load(&run->stop_requested))
        return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, task->changelog,
                          "stopped while restoring");
    if (idle)
        leat__doorbell_wait(&run->bell, IDLE_US);
    int64_t now = now_us(run);
    if (now - run->restore_told_us >= TELL_US) {
        run->restore_told_us = now;
        tell(run);
    }
    if (now - run->restore_polled_us < POLL_US)
        return LEAT_OK;
    run->restore_polled_us = now;
    return leat__look_at_group(run, error);
}
