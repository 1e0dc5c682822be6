/* engine/backlog.c - how far the job is behind its sources, and how long an epoch may be because
 * of that.
 *
 *   waiting ──┬ 10,000 and more: backlog_ms ─ an epoch ends sooner where its outputs and changes
 *             │                               fill a share of the buffers, or the backlog ends
 *             └ fewer:           epoch_ms
 *
 * An epoch costs what its commit costs, and a row in the changelog and in the database for each key
 * that changed: the longer it is, the less that is per record. As long as so much waits that
 * answers are late anyway nobody misses the time. Workers keep the sum, each for its own sources;
 * the log is asked for the end of a partition only where little seems to be left of it.
 */
#include "engine/run.h"
#include "engine/suspects.h"
#include "log/driver.h"

/* at 20,000 records a second half a second of them: no hiccup of a job that keeps up is that long
 */
enum { BEHIND_RECORDS = 10000, BUFFERS_SHARE = 4, DEFERRED_SHARE = 8, DEFERRED_US = 1000000 };

static int64_t behind_records(const leat__run *run)
{
    return run->job->behind_records == 0 ? BEHIND_RECORDS : run->job->behind_records;
}

static bool is_behind(const leat__run *run, int64_t waiting)
{
    return waiting >= behind_records(run);
}

/* Was the sum moved over the bound, so that the coordinator has to look again? */
static void set_waiting(leat__task *task, int64_t waiting)
{
    leat__run *run = task->run;
    leat__source *source = task->source;
    int64_t change = waiting - atomic_load_explicit(&source->waiting, memory_order_relaxed);
    if (change == 0)
        return;
    atomic_store_explicit(&source->waiting, waiting, memory_order_relaxed);
    if (source->inlet != NULL) { /* only for the watchdog (R31) */
        atomic_fetch_add(&run->inlets_waiting, change);
        return;
    }
    int64_t before = atomic_fetch_add(&run->waiting, change);
    if (is_behind(run, before) && !is_behind(run, before + change))
        leat__doorbell_ring(&run->bell);
}

/* Offsets without a record (deleted, aborted) are passed by the reader, not by the source. */
static int64_t position_of(const leat__task *task)
{
    const leat__source *source = task->source;
    int64_t position;
    leat_status status =
        leat_log_reader_position(source->reader, source->topic, task->partition, &position, NULL);
    return status == LEAT_OK && position > source->offset ? position : source->offset;
}

void leat__backlog_read(leat__task *task, bool nothing)
{
    leat__source *source = task->source;
    int64_t position =
        nothing && atomic_load(&source->waiting) != 0 ? position_of(task) : source->offset;
    if (position > atomic_load_explicit(&source->passed, memory_order_relaxed))
        atomic_store_explicit(&source->passed, position, memory_order_relaxed);
    if (source->known_end - position < behind_records(task->run)) {
        int64_t end = leat__log_reader_end(source->reader, source->topic, task->partition);
        if (end > source->known_end)
            source->known_end = end;
    }
    int64_t end = source->known_end < source->end_offset ? source->known_end : source->end_offset;
    set_waiting(task, end > position ? end - position : 0);
}

void leat__backlog_ended(leat__task *task)
{
    set_waiting(task, 0);
}

/* R19: while a record is looked for that ends the process, the sources wait for each commit. */
int64_t leat__epoch_length_us(leat__run *run)
{
    bool longer = !leat__suspects_any(run) && run->backlog_us > run->epoch_us &&
                  is_behind(run, atomic_load(&run->waiting)) &&
                  atomic_load(&run->buffered_bytes) < leat__backlog_bytes(run);
    return longer ? run->backlog_us : run->epoch_us;
}

size_t leat__backlog_bytes(const leat__run *run)
{
    return run->buffer_limit / BUFFERS_SHARE;
}

/* The rows of several epochs become one for each key. What is not written when the process ends is
 * restored from the changelog. */
bool leat__backlog_defers(leat__run *run, size_t bytes)
{
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    if (run->deferred_bytes == 0)
        run->deferred_since_us = now_us;
    bool defers = run->graph->opts.state_dir != NULL && run->backlog_us > run->epoch_us &&
                  is_behind(run, atomic_load(&run->waiting)) && !run->forced &&
                  run->deferred_bytes + bytes < run->buffer_limit / DEFERRED_SHARE &&
                  now_us - run->deferred_since_us < DEFERRED_US;
    run->deferred_bytes = defers ? run->deferred_bytes + bytes : 0;
    return defers;
}
