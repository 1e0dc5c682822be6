/* engine/coordinator.c - when an epoch ends, who waits for whom, and what happens when it fails.
 *
 *           first activity                epoch_us passed, or bytes (R9), or stopping
 *   OPEN ───────────────────► OPEN, timed ──────────────────────────────────────────► BARRIER
 *    ▲                                                                                   │
 *    │      EABORTED: park workers, build the assembly anew (R10)      every task sealed ▼
 *    └─────────────────────────────────────────────────────────────────────────────── COMMIT
 *
 * Depth one: while COMMIT runs here, the tasks run the next epoch; its barrier comes after (never
 * two commits at once). So under load epochs grow by themselves: to what arrives during one
 * commit.
 */
#include "base/error.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/refusals.h"
#include "engine/suspects.h"
#include <inttypes.h>

enum { DIVIDED_MS = 30000 };

static int64_t now_us(const leat__run *run)
{
    return run->env->monotonic_us(run->env->arg);
}

static void ring_workers(leat__run *run)
{
    for (uint32_t w = 0; w < run->worker_count; w++)
        leat__doorbell_ring(&run->workers[w].bell);
}

/* ------------------------------------------------------------------ parking: all workers stand
 * still */

static void park_workers(leat__run *run)
{
    if (!run->threads_started)
        return;
    leat__does(run, LEAT__DOES_PARK);
    pthread_mutex_lock(&run->lock);
    run->parking = true;
    atomic_store(&run->park_requested, true);
    ring_workers(run);
    while (run->parked_count < run->worker_count)
        pthread_cond_wait(&run->parked_changed, &run->lock);
    pthread_mutex_unlock(&run->lock);
}

static void release_workers(leat__run *run)
{
    if (!run->threads_started)
        return;
    pthread_mutex_lock(&run->lock);
    run->parking = false;
    atomic_store(&run->park_requested, false);
    pthread_cond_broadcast(&run->parked_changed);
    pthread_mutex_unlock(&run->lock);
}

static void park_here(leat__run *run)
{
    pthread_mutex_lock(&run->lock);
    run->parked_count++;
    pthread_cond_broadcast(&run->parked_changed);
    while (run->parking)
        pthread_cond_wait(&run->parked_changed, &run->lock);
    run->parked_count--;
    pthread_mutex_unlock(&run->lock);
}

void *leat__worker_main(void *arg)
{
    leat__worker *worker = arg;
    leat__run *run = worker->run;
    leat__job_of_thread = run->job;
    while (!atomic_load(&run->quit)) {
        if (atomic_load(&run->park_requested))
            park_here(run);
        bool busy = false;
        int64_t due_us = 1000000;
        for (size_t i = 0; i < worker->task_count; i++) {
            atomic_fetch_add_explicit(&worker->turns, 1, memory_order_relaxed); /* R31 */
            atomic_store_explicit(&worker->busy, worker->tasks[i], memory_order_relaxed);
            busy |= leat__task_run(worker->tasks[i]);
        }
        atomic_store_explicit(&worker->busy, NULL, memory_order_relaxed);
        if (busy)
            continue;
        for (size_t i = 0; i < worker->task_count; i++) {
            int64_t task_due_us = leat__task_next_due_us(worker->tasks[i]);
            if (task_due_us < due_us)
                due_us = task_due_us;
        }
        if (!atomic_load(&run->quit) && !atomic_load(&run->park_requested))
            leat__doorbell_wait(&worker->bell, due_us);
    }
    return NULL;
}

/* An exchange in memory stays inside the process: records of one key must not meet in two. */
static bool waits_for_the_others(const leat__run *run)
{
    if (run->repartitions != NULL)
        return false;
    bool exchange = false;
    for (size_t e = 0; e < run->graph->plan.edge_count; e++)
        exchange |= run->graph->plan.edges[e].exchange == LEAT__EXCHANGE_HASH;
    return exchange && run->assigned_count != run->partition_total;
}

/* ------------------------------------------------------------------ rewind (R10) */

/* What was counted up to the last commit stays; the rest is counted when it is done again. */
static void keep_counters(leat__run *run)
{
    pthread_mutex_lock(&run->lock);
    const leat_job_stats *stats = &run->stats;
    run->counters_before = (leat__counters){.in = stats->records_in,
                                            .out = stats->records_out,
                                            .late = stats->records_late,
                                            .skipped = stats->records_skipped,
                                            .dead = stats->records_dead,
                                            .ahead = stats->records_ahead,
                                            .misplaced = stats->records_misplaced};
    pthread_mutex_unlock(&run->lock);
}

void leat__keep_assignment(leat__run *run, const leat_log_event *event)
{
    for (size_t i = 0; i < run->assigned_count; i++)
        leat__free((void *)(uintptr_t)run->assigned[i].topic);
    run->assigned =
        leat__realloc(run->assigned, event->partition_count + 1, sizeof(*run->assigned));
    run->assigned_count = event->partition_count;
    for (size_t i = 0; i < event->partition_count; i++)
        run->assigned[i] = (leat_log_partition){leat__strdup(event->partitions[i].topic),
                                                event->partitions[i].partition};
    run->generation = event->generation;
}

/* R7: does the log still let this generation write? If so its group tells nothing more of it. */
static bool is_still_owned(leat__run *run)
{
    leat_log_txn *txn;
    leat__watch(run, "the generation", LEAT__LOG_CALL_MS);
    bool owned = leat_log_begin(run->member, run->generation, &txn, NULL) == LEAT_OK;
    if (owned)
        leat_log_txn_abort(txn);
    leat__watch_end(run);
    return owned;
}

/* Restores what is owned; partitions that are taken away meanwhile (R7) end it, and what is owned
 * then is restored instead. Without an assignment there is nothing to run until one comes
 * (follow_assignment). What the log gives up although the group stands as it did, as when another
 * process ends our transactions, is tried again for a while (R30): no event would come. */
static leat_status assemble_what_is_owned(leat__run *run, leat_error *error)
{
    leat__asking asking = {0};
    while (run->generation >= 0 && !waits_for_the_others(run)) {
        leat_status all_known = leat__placement_partitions(run, error);
        if (all_known != LEAT_OK)
            return all_known;
        int64_t generation = run->generation;
        leat_error cause = {0};
        leat__does(run, LEAT__DOES_RESTORE);
        leat_status status = leat__assemble(run, &cause);
        if (status == LEAT_OK) {
            leat__moves(run);
            return LEAT_OK;
        }
        leat__disassemble(run); /* half of it is not open */
        bool stands = status == LEAT_EABORTED && !atomic_load(&run->stop_requested) &&
                      run->generation == generation && is_still_owned(run);
        leat_error later = {.status = LEAT_EAGAIN, .recovery = LEAT_RECOVERY_RETRY};
        bool again = stands && leat__ask_again(run, &asking, LEAT_EAGAIN, &later);
        if (status != LEAT_EABORTED || atomic_load(&run->stop_requested) || (stands && !again)) {
            if (error != NULL)
                *error = cause;
            return status;
        }
        if (run->generation == generation && !stands)
            run->generation = -1; /* the log says so; an event will, too */
        leat__log_line(LEAT__INFO, "job", "restore abandoned: %s", cause.message);
    }
    return LEAT_OK;
}

/* Throws the assembly away and builds it from the committed positions: a failed epoch leaves no
 * trace. */
static leat_status rebuild(leat__run *run, leat_error *error)
{
    park_workers(run);
    keep_counters(run);
    pthread_mutex_lock(&run->lock); /* first: an on_close that fails ends the job */
    run->fatal = (leat_error){0};
    pthread_mutex_unlock(&run->lock);
    atomic_store(&run->failed, false);
    leat__disassemble(run);
    leat__refusals_apply(run);
    leat__refusals_refresh(run);
    run->incarnation++;
    run->epoch++; /* an epoch number is never used twice */
    run->phase = LEAT__OPEN;
    atomic_store(&run->restoring, true);
    atomic_store(&run->revoking, false);
    leat_status status = assemble_what_is_owned(run, error);
    release_workers(run);
    ring_workers(run);
    return status;
}

/* R30: a pause that grows, with jitter. */
static void pause(leat__run *run, leat_recovery recovery)
{
    uint32_t times = atomic_load(&run->rewinds_in_row), shift = times < 8 ? times : 8;
    if (run->stepping || times < 2)
        return;
    int64_t pause_us =
        (INT64_C(1000) << shift) + (int64_t)(run->env->random_u64(run->env->arg) % 1000);
    if (recovery == LEAT_RECOVERY_RETRY) /* the log is busy: up to 2 s */
        pause_us *= 8;
    leat__doorbell_wait(&run->bell, pause_us);
}

/* R19: a refusal that names a record is got past, so this one names none. */
static const char *remedy_of(const leat_error *cause)
{
    bool refused = cause->status == LEAT_EDATA || cause->status == LEAT_ETOOBIG;
    return refused ? "; compare the settings of the topic with what the job writes" : "";
}

/* R30: a bounded number of rewinds without getting on. One that found out which record the log does
 * not take gets on: that record goes another way now (R19), and there are so many at most. */
static leat_status rewind_run(leat__run *run, const leat_error *cause, leat_error *error)
{
    pthread_mutex_lock(&run->lock);
    run->stats.rewinds++;
    pthread_mutex_unlock(&run->lock);
    if (run->forgetful) { /* nothing to go back to */
        *error = *cause;
        return cause->status;
    }
    uint32_t limit = run->graph->opts.restart_limit;
    if (!leat__refusals_got_on(run) && atomic_fetch_add(&run->rewinds_in_row, 1) >= limit)
        return leat__fail(error, cause->status, LEAT_RECOVERY_FATAL, cause->where,
                          "%.320s (gave up after %" PRIu32 " rewinds in a row%s)", cause->message,
                          limit, remedy_of(cause));
    leat__log_line(LEAT__WARN, "job", "rewinding to the last committed epoch: %s: %s", cause->where,
                   cause->message);
    pause(run, cause->recovery);
    leat__does(run, LEAT__DOES_PARK);
    park_workers(run);
    leat__attempts_note(run);
    return rebuild(run, error);
}

/* ------------------------------------------------------------------ assignment (R7, R8) */

static leat_status not_alone(const leat__run *run, leat_error *error)
{
    return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, run->graph->opts.name,
                      "another instance of this job is running, and a job with an exchange in "
                      "memory (key_by on another field than partitioned_by) runs in one process: "
                      "stop the other, or set .exchange to LEAT_EXCHANGE_LOG");
}

/* Another process has taken partitions from this one and keeps them, as one of a version with
 * LEAT_EXCHANGE_LOG does; one like this ends at its first assignment and gives them back. */
static leat_status check_alone(leat__run *run, leat_error *error)
{
    if (run->generation < 0 || !waits_for_the_others(run)) {
        run->divided_since_us = 0;
        return LEAT_OK;
    }
    if (run->divided_since_us == 0) {
        run->divided_since_us = now_us(run);
        leat__log_line(LEAT__WARN, "job",
                       "another process of job '%s' has taken partitions; this one has an exchange "
                       "in memory and needs all of them: it waits for %d s",
                       run->graph->opts.name, DIVIDED_MS / 1000);
    }
    return now_us(run) - run->divided_since_us < DIVIDED_MS * INT64_C(1000) ? LEAT_OK
                                                                            : not_alone(run, error);
}

static leat_status first_assignment(leat__run *run, leat_error *error)
{
    leat__does(run, LEAT__DOES_ASSIGNMENT);
    for (;;) {
        leat_log_event event;
        leat_status status = leat_log_member_poll(run->member, &event, error);
        if (status != LEAT_OK)
            return status;
        if (event.kind != LEAT_LOG_NOTHING)
            leat__moves(run);
        if (event.kind == LEAT_LOG_REVOKED)
            leat_log_member_ack(run->member);
        if (event.kind == LEAT_LOG_ASSIGNED) {
            leat__keep_assignment(run, &event);
            return waits_for_the_others(run) ? not_alone(run, error) : LEAT_OK;
        }
        /* it comes with a later step, or never */
        if (run->stepping || atomic_load(&run->stop_requested)) {
            run->generation = -1;
            return LEAT_OK;
        }
        leat__doorbell_wait(&run->bell, 100000);
    }
}

leat_status leat__first_assembly(leat__run *run, leat_error *error)
{
    for (;;) {
        leat_status status = LEAT_OK;
        if (run->generation <= 0)
            status = first_assignment(run, error);
        if (status == LEAT_OK && run->generation >= 0)
            status = assemble_what_is_owned(run, error);
        bool later = run->stepping || atomic_load(&run->stop_requested);
        if (status != LEAT_OK || run->generation >= 0 || later)
            return status;
    }
}

/* A changed assignment: between epochs, so that nothing is half done; the open epoch is dropped
 * and done again. */
static leat_status follow_assignment(leat__run *run, leat_error *error)
{
    leat_log_event event;
    leat_status status = leat_log_member_poll(run->member, &event, error);
    if (status != LEAT_OK || event.kind == LEAT_LOG_NOTHING)
        return status;
    leat__moves(run);
    if (event.kind == LEAT_LOG_REVOKED) {
        atomic_store(&run->revoking, true); /* R20 */
        park_workers(run);                  /* the partitions may have another owner once acked */
        leat_log_member_ack(run->member);
        run->generation = -1;
        release_workers(run);
    }
    if (event.kind == LEAT_LOG_LOST)
        run->generation = -1;
    if (event.kind == LEAT_LOG_ASSIGNED)
        leat__keep_assignment(run, &event);
    return rebuild(run, error);
}

/* ------------------------------------------------------------------ the state machine */

static bool finishing(leat__run *run)
{
    return atomic_load(&run->stop_requested) ||
           (run->source_count != 0 && atomic_load(&run->ended_sources) == run->source_count);
}

static void request_barrier(leat__run *run)
{
    run->opened_us = atomic_exchange(&run->active_since_us, 0);
    run->forced = finishing(run);
    run->phase = LEAT__BARRIER;
    atomic_store(&run->barrier_epoch, run->epoch);
    ring_workers(run);
}

/* In OPEN: asks for the barrier when it is time; else says when to look again. */
static int64_t step_open(leat__run *run)
{
    int64_t now = now_us(run);
    int64_t active_us = atomic_load(&run->active_since_us);
    bool full = atomic_load(&run->buffered_bytes) >= run->buffer_limit;
    if (finishing(run) || run->barrier_wanted || (full && active_us != 0)) {
        run->barrier_wanted = false;
        request_barrier(run);
        return now;
    }
    if (active_us != 0) {
        int64_t due_us = active_us + leat__epoch_length_us(run);
        if (due_us > now)
            return due_us;
        request_barrier(run);
        return now;
    }
    if (run->offsets_pending && now - run->last_commit_us >= 5000000) { /* R24 */
        request_barrier(run);
        return now;
    }
    int64_t proof_us = leat__lease_due_us(run);
    if (proof_us <= now) {
        run->proving = true;
        request_barrier(run);
        return now;
    }
    return proof_us < now + 1000000 ? proof_us : now + 1000000;
}

/* Told to stop while restoring: the last commit is where the next start begins, nothing is lost. */
static void end_failed(leat__run *run, const leat_error *error)
{
    bool stopped = error->status == LEAT_EABORTED && atomic_load(&run->stop_requested);
    pthread_mutex_lock(&run->lock);
    run->fatal = stopped ? (leat_error){0} : *error;
    if (!stopped && error->status == LEAT_OK)
        run->fatal.status = LEAT_EINTERNAL;
    pthread_mutex_unlock(&run->lock);
    atomic_store(&run->failed, true); /* no task runs any more */
    run->finished = true;
}

static bool is_passing(const leat_error *error)
{
    bool later = error->recovery == LEAT_RECOVERY_RETRY; /* busy, or away for a while */
    return later || error->recovery == LEAT_RECOVERY_RESTART || error->status == LEAT_EABORTED;
}

/* The failure is passing: rewind, again if that fails in passing too; rewind_run has the bound
 * (R30). Anything else ends the job (R15, R17: no more writes). */
static void settle_failure(leat__run *run, const leat_error *cause)
{
    leat_error error = *cause;
    bool again = is_passing(&error);
    while (again) {
        const leat_error now = error;
        if (rewind_run(run, &now, &error) == LEAT_OK)
            return;
        again = is_passing(&error) && !run->forgetful && !atomic_load(&run->stop_requested) &&
                run->rewinds_in_row <= run->graph->opts.restart_limit;
    }
    end_failed(run, &error);
}

static void commit_epoch(leat__run *run)
{
    leat_error error = {0};
    bool last = run->forced && finishing(run);
    bool full = atomic_load(&run->buffered_bytes) >= run->buffer_limit;
    bool closely = leat__suspects_any(run);
    atomic_store(&run->sealed_count, 0);
    leat_status status = leat__commit(run, run->forced, &error);
    if (status != LEAT_OK) {
        settle_failure(run, &error);
        return;
    }
    if (full || closely)
        ring_workers(run); /* R9, R19: paused sources go on */
    leat__attempts_committed(run);
    run->epoch++;
    run->phase = LEAT__OPEN;
    if (last)
        run->finished = true;
}

/* R31: where it waits between two steps. */
static void say_doing(leat__run *run)
{
    leat__does(run, run->phase == LEAT__BARRIER ? LEAT__DOES_BARRIER
                    : run->generation < 0       ? LEAT__DOES_ASSIGNMENT
                                                : LEAT__DOES_OPEN);
}

int64_t leat__coordinator_step(leat__run *run)
{
    say_doing(run);
    if (atomic_load(&run->failed)) { /* a task or a driver said so; R15, R17: drop the epoch */
        pthread_mutex_lock(&run->lock);
        leat_error cause = run->fatal;
        pthread_mutex_unlock(&run->lock);
        settle_failure(run, &cause);
        return now_us(run);
    }
    if (run->phase == LEAT__BARRIER) {
        if (atomic_load(&run->sealed_count) < run->task_count)
            return now_us(run) + 1000000;
        if (!atomic_load(&run->failed)) /* R17: who sealed may have failed just before */
            commit_epoch(run);
        return now_us(run);
    }
    leat_error error = {0};
    if (follow_assignment(run, &error) != LEAT_OK || check_alone(run, &error) != LEAT_OK ||
        leat__check_topics(run, &error) != LEAT_OK || leat__clock_look(run, &error) != LEAT_OK) {
        settle_failure(run, &error);
        return now_us(run);
    }
    return step_open(run);
}

void *leat__coordinator_main(void *arg)
{
    leat__run *run = arg;
    leat__job_of_thread = run->job;
    while (!run->finished) {
        int64_t due_us = leat__coordinator_step(run);
        say_doing(run);
        int64_t left_us = due_us - now_us(run);
        if (!run->finished && left_us > 0)
            leat__doorbell_wait(&run->bell, left_us);
    }
    leat__does(run, LEAT__DOES_PARK);
    atomic_store(&run->quit, true);
    ring_workers(run);
    return NULL;
}
