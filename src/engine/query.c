/* engine/query.c - looking at a running job from other threads: committed state and statistics. */
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "engine/members.h"
#include "engine/snapshots.h"
#include "record/codec.h"

typedef struct place {
    const leat__stage *stage;
    const leat_type *type;
    size_t slot; /* within the operator */
} place;

static leat_status find_slot(const leat__run *run, const char *op, const char *state, place *out,
                             leat_error *error)
{
    const leat__plan *plan = &run->graph->plan;
    for (size_t s = 0; s < plan->stage_count; s++)
        for (size_t i = 0; i < plan->stages[s].node_count; i++) {
            const leat__node *node = &run->graph->nodes[plan->stages[s].nodes[i]];
            if (node->kind != LEAT__NODE_OP || strcmp(node->name, op) != 0)
                continue;
            for (size_t k = 0; k < node->as.op.slot_count; k++) {
                const leat__slot *slot = &node->as.op.slot[k];
                const char *name = slot->name == NULL ? NULL : strrchr(slot->name, '/');
                if (name == NULL || strcmp(name + 1, state) != 0)
                    continue;
                *out = (place){&plan->stages[s], slot->type, k};
                if (slot->kind != LEAT__VALUE)
                    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, op,
                                      "state '%s' is a %s; only the value of a VALUE state can be "
                                      "asked for",
                                      state, slot->kind == LEAT__LIST ? "list" : "map");
                return LEAT_OK;
            }
            return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, op, "has no state '%s'",
                              state);
        }
    return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, op, "is no operator of this job");
}

static leat__task *task_at(const leat__run *run, const leat__stage *stage, uint32_t partition)
{
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i]->stage == stage && run->tasks[i]->partition == partition)
            return run->tasks[i];
    return NULL;
}

static uint32_t first_slot_of(const leat__task *task, const char *op)
{
    for (size_t i = 0; i < task->stage->node_count; i++)
        if (task->ops[i] != NULL && strcmp(task->ops[i]->spec->name, op) == 0)
            return task->ops[i]->first_slot;
    return 0;
}

static leat_status no_task_here(const char *op, uint32_t partition, leat_error *error)
{
    return leat__fail(error, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, op, "partition %u is not here now",
                      partition);
}

static leat_status read_slot(leat__run *run, const char *op, const place *where, leat_str key,
                             leat__buffer *bytes, leat_error *error)
{
    LEAT_ASSERT(where->stage != NULL);
    uint32_t partition = leat__partition_of(key, run->stage_partitions[where->stage->number]);
    if (pthread_rwlock_tryrdlock(&run->assembly_lock) != 0) /* R20: never wait for a restore */
        return leat__fail(error, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, op, "state is being restored");
    const leat__task *task = task_at(run, where->stage, partition);
    leat_status status =
        task == NULL || task->face.store == NULL
            ? no_task_here(op, partition, error)
            : leat__store_read(task->face.store, first_slot_of(task, op) + where->slot, key,
                               run->env->now_ms(run->env->arg), bytes, error);
    pthread_rwlock_unlock(&run->assembly_lock);
    return status;
}

static leat_status query(leat__run *run, const char *op, const char *state, leat_str key,
                         void *record, void **memory, leat_error *error)
{
    if (run == NULL)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, op, "the job is not running");
    if (!atomic_load(&run->open)) /* R20 */
        return leat__fail(error, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, op, "the job is starting");
    place where = {0};
    leat_status status = find_slot(run, op, state, &where, error);
    leat__buffer bytes = {0};
    if (status == LEAT_OK)
        status = read_slot(run, op, &where, key, &bytes, error);
    if (status == LEAT_OK) {
        leat__arena *arena = leat__calloc(1, sizeof(*arena));
        arena->chunk_bytes = 1024;
        *memory = arena;
        memset(record, 0, where.type->size_bytes);
        status = leat__binary_decode_into(arena, where.type, (leat_str){bytes.data, bytes.length},
                                          LEAT__STRINGS_IN_ARENA, record, error);
    }
    leat__buffer_free(&bytes);
    return status;
}

static leat_status missing(leat_error *error, const char *call, const char *argument)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, call, "%s is NULL; it is required",
                      argument);
}

leat_status leat_job_query(leat_job *job, const char *op, const char *state, leat_str key,
                           void *record, void **memory, leat_error *error)
{
    const char *absent = job == NULL        ? "job"
                         : op == NULL       ? "op"
                         : state == NULL    ? "state"
                         : key.data == NULL ? "key"
                         : record == NULL   ? "record"
                         : memory == NULL   ? "memory"
                                            : NULL;
    if (memory != NULL)
        *memory = NULL;
    if (absent != NULL)
        return missing(error, "leat_job_query", absent);
    pthread_rwlock_rdlock(&job->run_lock);
    leat_status status = query(job->run, op, state, key, record, memory, error);
    pthread_rwlock_unlock(&job->run_lock);
    return status;
}

/* ------------------------------------------------------------------ owners */

static const leat__stage *stage_named(const leat__run *run, const char *name)
{
    const leat__plan *plan = &run->graph->plan;
    for (size_t s = 0; s < plan->stage_count; s++) {
        const leat__stage *stage = &plan->stages[s];
        if (strcmp(stage->name, name) == 0)
            return stage;
        for (size_t i = 0; i < stage->node_count; i++)
            if (strcmp(run->graph->nodes[stage->nodes[i]].name, name) == 0)
                return stage;
    }
    return NULL;
}

/* The partition is here, whatever others say. */
static void find_here(leat__run *run, const leat__stage *stage, uint32_t partition,
                      leat_owner *owner)
{
    if (pthread_rwlock_tryrdlock(&run->assembly_lock) != 0) {
        owner->kind = LEAT_OWNER_HERE; /* being restored: it was here, and may come back */
        return;
    }
    if (task_at(run, stage, partition) != NULL)
        *owner = (leat_owner){.kind = LEAT_OWNER_HERE, .ready = true};
    pthread_rwlock_unlock(&run->assembly_lock);
}

static leat_status find_owner(leat__run *run, const char *op, leat_str key, leat_owner *owner,
                              leat_error *error)
{
    if (run == NULL)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, op, "the job is not running");
    if (!atomic_load(&run->open)) /* R20 */
        return leat__fail(error, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, op, "the job is starting");
    const leat__stage *stage = stage_named(run, op);
    if (stage == NULL)
        return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, op,
                          "is no operator of this job");
    uint32_t partition = leat__partition_of(key, run->stage_partitions[stage->number]);
    const char *topic = leat__home_topic(run, stage);
    if (topic == NULL || run->members == NULL)
        find_here(run, stage, partition, owner);
    else
        leat__members_find(run, topic, partition, owner);
    return LEAT_OK;
}

leat_status leat_job_owner(leat_job *job, const char *op, leat_str key, leat_owner *owner,
                           leat_error *error)
{
    const char *absent = job == NULL        ? "job"
                         : op == NULL       ? "op"
                         : key.data == NULL ? "key"
                         : owner == NULL    ? "owner"
                                            : NULL;
    if (absent != NULL)
        return missing(error, "leat_job_owner", absent);
    *owner = (leat_owner){0};
    pthread_rwlock_rdlock(&job->run_lock);
    leat_status status = find_owner(job->run, op, key, owner, error);
    pthread_rwlock_unlock(&job->run_lock);
    return status;
}

static leat_status find_time(leat__run *run, const char *op, leat_str key, int64_t *watermark_ms,
                             leat_error *error)
{
    if (run == NULL)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, op, "the job is not running");
    if (!atomic_load(&run->open)) /* R20 */
        return leat__fail(error, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, op, "the job is starting");
    const leat__stage *stage = stage_named(run, op);
    if (stage == NULL)
        return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, op,
                          "is no operator of this job");
    uint32_t partition = leat__partition_of(key, run->stage_partitions[stage->number]);
    if (pthread_rwlock_tryrdlock(&run->assembly_lock) != 0) /* R20: never wait for a restore */
        return leat__fail(error, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, op, "state is being restored");
    const leat__task *task = task_at(run, stage, partition);
    if (task != NULL)
        *watermark_ms = atomic_load_explicit(&task->shown_watermark_ms, memory_order_relaxed);
    pthread_rwlock_unlock(&run->assembly_lock);
    return task != NULL ? LEAT_OK : no_task_here(op, partition, error);
}

leat_status leat_job_time(leat_job *job, const char *op, leat_str key, int64_t *watermark_ms,
                          leat_error *error)
{
    const char *absent = job == NULL            ? "job"
                         : op == NULL           ? "op"
                         : key.data == NULL     ? "key"
                         : watermark_ms == NULL ? "watermark_ms"
                                                : NULL;
    if (absent != NULL)
        return missing(error, "leat_job_time", absent);
    *watermark_ms = LEAT_TIME_MIN;
    pthread_rwlock_rdlock(&job->run_lock);
    leat_status status = find_time(job->run, op, key, watermark_ms, error);
    pthread_rwlock_unlock(&job->run_lock);
    return status;
}

/* A call that can't return an error: it does nothing, and the log says why. */
static bool given(const char *call, bool all)
{
    if (!all)
        leat__log_line(LEAT__ERROR, "job", "%s: a required argument is NULL; nothing is done",
                       call);
    return all;
}

void leat_job_owner_report(leat_job *job, const leat_owner *owner, bool answered)
{
    if (!given("leat_job_owner_report", job != NULL && owner != NULL))
        return;
    pthread_rwlock_rdlock(&job->run_lock);
    leat__run *run = job->run;
    if (run != NULL && atomic_load(&run->open) && run->members != NULL)
        leat__members_report(run, owner, answered);
    pthread_rwlock_unlock(&job->run_lock);
}

void leat_memory_free(void *memory)
{
    if (memory == NULL)
        return;
    leat__arena_free(memory);
    leat__free(memory);
}

static void run_stats(leat__run *run, leat_job_stats *stats)
{
    pthread_mutex_lock(&run->lock);
    *stats = run->stats;
    stats->commit_p50_us = (int64_t)leat__histogram_quantile(&run->commit_us, 0.5);
    stats->commit_p99_us = (int64_t)leat__histogram_quantile(&run->commit_us, 0.99);
    stats->epoch_p50_us = (int64_t)leat__histogram_quantile(&run->epoch_latency_us, 0.5);
    stats->epoch_p99_us = (int64_t)leat__histogram_quantile(&run->epoch_latency_us, 0.99);
    pthread_mutex_unlock(&run->lock);
    leat__lag_get(run, stats);
    leat__restore_sum sum = leat__progress_sum(run);
    stats->state = leat__run_state(run);
    stats->rewinds_in_row = atomic_load(&run->rewinds_in_row);
    stats->partitions_ready = sum.ready;
    stats->partitions_restoring = sum.restoring;
    stats->restore_done = sum.done;
    stats->restore_total = sum.total;
    stats->restore_records_per_s = sum.per_second;
    stats->restore_left_ms = sum.left_ms;
    stats->stalled_ms = atomic_load(&run->stalled_ms);
    leat__snapshots_stats(run, stats);
}

const char *leat_partition_state_name(leat_partition_state state)
{
    static const char *const names[] = {"restoring", "ready", "draining"};
    return (uint32_t)state <= LEAT_DRAINING ? names[state] : "unknown";
}

static void each_partition(leat__run *run, bool (*fn)(void *arg, const leat_partition_stats *stats),
                           void *arg)
{
    leat_partition_state state = leat__run_state(run);
    pthread_mutex_lock(&run->lock);
    for (size_t i = 0; i < run->progress_count; i++) {
        const leat__progress *progress = &run->progress[i];
        leat_partition_state own = progress->ready ? LEAT_READY : LEAT_RESTORING;
        const leat_partition_stats stats = {.stage = progress->stage,
                                            .partition = progress->partition,
                                            .state = state == LEAT_DRAINING ? state : own,
                                            .restored_records = progress->records,
                                            .lag = (uint64_t)(progress->end - progress->position)};
        if (!fn(arg, &stats))
            break;
    }
    pthread_mutex_unlock(&run->lock);
}

void leat_job_each_partition(leat_job *job,
                             bool (*fn)(void *arg, const leat_partition_stats *stats), void *arg)
{
    if (!given("leat_job_each_partition", job != NULL && fn != NULL))
        return;
    pthread_rwlock_rdlock(&job->run_lock);
    if (job->run != NULL)
        each_partition(job->run, fn, arg);
    pthread_rwlock_unlock(&job->run_lock);
}

void leat_job_get_stats(leat_job *job, leat_job_stats *stats)
{
    if (!given("leat_job_get_stats", job != NULL && stats != NULL))
        return;
    pthread_rwlock_rdlock(&job->run_lock);
    if (job->run == NULL)
        *stats = job->last_stats;
    else
        run_stats(job->run, stats);
    stats->eos_violations = atomic_load(&job->violations);
    stats->records_lost = atomic_load(&job->lost);
    stats->state_rebuilds = atomic_load(&job->rebuilds);
    stats->resumed_after_drain = atomic_load(&job->resumed_after_drain);
    stats->clock_steps = atomic_load(&job->clock_steps);
    stats->times_clamped = atomic_load(&job->times_clamped);
    pthread_rwlock_unlock(&job->run_lock);
}
