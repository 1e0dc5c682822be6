/* engine/lag.c - how many records the job has not read yet.
 *
 *   leat_job_get_stats ── embedded log ──────────────────────────► ends of the partitions, at once
 *                      └─ shared log: what is known ◄─┐
 *                         older than a second: ask ─► thread ─► servers
 *                         and wait, 50 ms at most
 *
 * To ask for the end of a partition on a shared log is a question to a server, which may not
 * answer for long. Whoever serves metrics must not wait for that, so a thread asks, and only while
 * somebody wants to know.
 */
#include "base/condition.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/periodic.h"
#include "engine/run.h"
#include "log/driver.h"

enum { FRESH_US = 1000000, WAIT_MS = 50 };

struct leat__lag {
    leat__run *run;
    leat__periodic *thread;
    _Atomic bool ended;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t changed;
    int64_t measured_us; /* 0: not yet */
    uint64_t backlog, tables;
};

typedef struct place {
    const char *topic; /* of the graph or the run: they outlive an assembly */
    uint32_t partition;
    int64_t committed;
} place;

bool leat__lag_given_up(leat__run *run)
{
    leat__lag *lag = atomic_load(&run->lag);
    return lag != NULL && atomic_load(&lag->ended);
}

/* The lock is not held while the log is asked: a rebuild would wait for it. */
static size_t copy_places(leat__run *run, place **places)
{
    size_t count = 0;
    if (pthread_rwlock_tryrdlock(&run->assembly_lock) != 0)
        return 0; /* being restored */
    *places = leat__calloc(run->task_count + 1, sizeof(**places));
    for (size_t i = 0; i < run->task_count; i++) {
        const leat__task *task = run->tasks[i];
        if (task->source != NULL && task->source->node->kind == LEAT__NODE_SOURCE_LOG)
            (*places)[count++] = (place){leat__source_topic(run, task->source->node),
                                         task->partition, atomic_load(&task->committed_offset)};
    }
    pthread_rwlock_unlock(&run->assembly_lock);
    return count;
}

static uint64_t backlog(leat__run *run)
{
    place *places = NULL;
    uint64_t left = 0;
    size_t count = copy_places(run, &places);
    for (size_t i = 0; i < count && !leat__lag_given_up(run); i++) {
        int64_t begin, end;
        if (leat_log_bounds(run->log, places[i].topic, places[i].partition, &begin, &end, NULL) ==
                LEAT_OK &&
            end > places[i].committed)
            left += (uint64_t)(end - places[i].committed);
    }
    leat__free(places);
    return left;
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void measure(void *arg)
{
    leat__lag *lag = arg;
    uint64_t sources = backlog(lag->run), tables = leat__tables_lag(lag->run);
    pthread_mutex_lock(&lag->lock);
    lag->backlog = sources;
    lag->tables = tables;
    lag->measured_us = now_us();
    pthread_cond_broadcast(&lag->changed);
    pthread_mutex_unlock(&lag->lock);
}

static void ask(leat__lag *lag, leat_job_stats *stats)
{
    struct timespec until = leat__condition_until(WAIT_MS);
    pthread_mutex_lock(&lag->lock);
    int64_t before_us = lag->measured_us;
    if (before_us == 0 || now_us() - before_us > FRESH_US) {
        leat__periodic_wake(lag->thread);
        while (lag->measured_us == before_us && !atomic_load(&lag->ended) &&
               pthread_cond_timedwait(&lag->changed, &lag->lock, &until) == 0)
            ;
    }
    stats->backlog = lag->backlog;
    stats->table_lag = lag->tables;
    pthread_mutex_unlock(&lag->lock);
}

void leat__lag_get(leat__run *run, leat_job_stats *stats)
{
    stats->backlog = stats->table_lag = 0;
    if (!atomic_load(&run->open))
        return;
    leat__lag *lag = atomic_load(&run->lag);
    if (lag != NULL) {
        ask(lag, stats);
        return;
    }
    stats->backlog = backlog(run);
    stats->table_lag = leat__tables_lag(run);
}

static void free_lag(leat__lag *lag)
{
    pthread_cond_destroy(&lag->changed);
    pthread_mutex_destroy(&lag->lock);
    leat__free(lag);
}

leat_status leat__lag_start(leat__run *run)
{
    if (!leat__log_is_shared(run->log))
        return LEAT_OK;
    leat__lag *lag = leat__calloc(1, sizeof(*lag));
    lag->run = run;
    pthread_mutex_init(&lag->lock, NULL);
    leat__condition_init(&lag->changed);
    lag->thread = leat__periodic_start("lag", LEAT__WHEN_WOKEN, measure, lag);
    if (lag->thread == NULL) {
        free_lag(lag);
        return LEAT_EINTERNAL;
    }
    atomic_store(&run->lag, lag);
    return LEAT_OK;
}

void leat__lag_stop(leat__run *run)
{
    leat__lag *lag = atomic_load(&run->lag);
    if (lag == NULL)
        return;
    pthread_mutex_lock(&lag->lock);
    atomic_store(&lag->ended, true);
    pthread_cond_broadcast(&lag->changed);
    pthread_mutex_unlock(&lag->lock);
    leat__periodic_stop(lag->thread);
    free_lag(lag);
    atomic_store(&run->lag, NULL);
}
