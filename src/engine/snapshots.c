/* engine/snapshots.c - a snapshot of the state directory now and then.
 *
 *   commit ─► RocksDB ◄─ checkpoint ─ snapshot thread, every snapshot_interval_ms ─► SNAPSHOT_DIR
 *
 * RocksDB lets others write while it makes a checkpoint, so commits go on; the thread yields to the
 * others where cores are short. A failure is told and counted, and changes nothing else: the
 * changelog has everything.
 */
#include "engine/snapshots.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "base/periodic.h"
#include "state/snapshot.h"
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NICE = 10 };

struct leat__snapshots {
    leat__run *run;
    char *instance;
    int64_t due_us;         /* stepped: of the job's clock */
    leat__periodic *thread; /* NULL: not started */
    pthread_mutex_t lock;   /* of all below */
    uint64_t made, failures;
    int64_t made_at_ms, took_ms;
    leat__snapshot_size size;
};

static int64_t now_us(const leat__run *run)
{
    return run->env->monotonic_us(run->env->arg);
}

static leat__snapshot_place place_of(const leat__snapshots *s)
{
    const leat_job_opts *opts = &s->run->graph->opts;
    return (leat__snapshot_place){.dir = opts->snapshot_dir,
                                  .job = opts->name,
                                  .instance = s->instance,
                                  .topics = s->run->changelogs,
                                  .topic_count = s->run->changelog_count,
                                  .now_ms = s->run->env->now_ms(s->run->env->arg)};
}

static void note_failure(leat__snapshots *s, const leat_error *error)
{
    pthread_mutex_lock(&s->lock);
    s->failures++;
    pthread_mutex_unlock(&s->lock);
    leat__log_line(LEAT__WARN, "state", "no snapshot: %s; the job goes on without it",
                   error->message);
}

static void make_one(leat__snapshots *s)
{
    leat__run *run = s->run;
    leat__snapshot_place place = place_of(s);
    leat__snapshot_size size = {0};
    leat_error error = {0};
    int64_t started_us = now_us(run);
    if (atomic_load(&run->restoring)) /* half a restore is worth less than what there is */
        return;
    if (leat__snapshot_make(run->database, &place, &size, &error) != LEAT_OK) {
        note_failure(s, &error);
        return;
    }
    int64_t took_ms = (now_us(run) - started_us) / 1000;
    pthread_mutex_lock(&s->lock);
    s->made++;
    s->made_at_ms = place.now_ms;
    s->took_ms = took_ms;
    s->size = size;
    pthread_mutex_unlock(&s->lock);
    leat__log_line(LEAT__INFO, "state",
                   "snapshot made in %" PRId64 " ms: %zu files, %" PRIu64 " bytes in %s/%s/%s",
                   took_ms, size.files, size.bytes, place.dir, place.job, place.instance);
}

/* ------------------------------------------------------------------ the thread */

static void make_one_aside(void *snapshots)
{
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone */
    make_one(snapshots);
}

leat_status leat__snapshots_start(leat__run *run)
{
    leat__snapshots *s = run->snapshots;
    if (s == NULL)
        return LEAT_OK;
    s->thread =
        leat__periodic_start("snapshots", run->graph->opts.snapshot_interval_ms, make_one_aside, s);
    return s->thread == NULL ? LEAT_EINTERNAL : LEAT_OK;
}

void leat__snapshots_step(leat__run *run)
{
    leat__snapshots *s = run->snapshots;
    if (s == NULL || now_us(run) < s->due_us)
        return;
    make_one(s);
    s->due_us = now_us(run) + run->graph->opts.snapshot_interval_ms * 1000;
}

/* ------------------------------------------------------------------ its life */

void leat__snapshots_open(leat__run *run, const char *instance)
{
    if (run->graph->opts.snapshot_dir == NULL)
        return;
    leat__snapshots *s = run->snapshots = leat__calloc(1, sizeof(*s));
    s->run = run;
    s->instance = leat__strdup(instance);
    s->due_us = now_us(run) + run->graph->opts.snapshot_interval_ms * 1000;
    pthread_mutex_init(&s->lock, NULL);
    leat__snapshot_place place = place_of(s);
    leat_error error = {0};
    if (leat__snapshot_tidy(&place, &error) != LEAT_OK)
        note_failure(s, &error);
}

void leat__snapshots_close(leat__run *run)
{
    leat__snapshots *s = run->snapshots;
    if (s == NULL)
        return;
    leat__periodic_stop(s->thread);
    run->snapshots = NULL;
    pthread_mutex_destroy(&s->lock);
    leat__free(s->instance);
    leat__free(s);
}

void leat__snapshots_stats(leat__run *run, leat_job_stats *stats)
{
    if (!atomic_load(&run->open) || run->snapshots == NULL)
        return;
    leat__snapshots *s = run->snapshots;
    pthread_mutex_lock(&s->lock);
    stats->snapshots = s->made;
    stats->snapshot_failures = s->failures;
    stats->snapshot_at_ms = s->made_at_ms;
    stats->snapshot_took_ms = s->took_ms;
    stats->snapshot_bytes = s->size.bytes;
    pthread_mutex_unlock(&s->lock);
}
