/* serve/api_state.c - what the job's partitions are doing (R20): /readyz and its metrics.
 *
 *   STARTING, RESTORING ─► 503 "restoring", how far ─► READY 200 ─► DRAINING ─► 503 "draining"
 *                                                      READY, but it rewinds on and on ─► 503
 *                                                                                     "rewinding"
 */
#include "apps/recommender/serve/api.h"

#include <inttypes.h>

static leat_partition_state state_of(const api *self, leat_job_stats *stats)
{
    int phase = atomic_load_explicit(&self->phase, memory_order_acquire);
    leat_job_get_stats(self->job->job, stats);
    if (phase == API_STOPPING)
        return LEAT_DRAINING;
    if (phase == API_STARTING && stats->state == LEAT_READY)
        return LEAT_RESTORING; /* it is about to tell */
    return stats->state;
}

static void restoring(http_exchange *exchange, const leat_job_stats *stats)
{
    uint32_t all = stats->partitions_ready + stats->partitions_restoring;
    if (all == 0) {
        http_problem(exchange, 503, "restoring",
                     "restoring: the tables, or waiting for partitions");
        return;
    }
    http_problem_begin(exchange, 503, "restoring",
                       "restoring: %" PRIu32 " of %" PRIu32 " partitions are ready, %" PRIu64
                       " of %" PRIu64 " records read",
                       stats->partitions_ready, all, stats->restore_done, stats->restore_total);
    if (stats->restore_left_ms >= 0)
        leat__buffer_format(exchange->out, ",\"seconds_left\":%.1f",
                            (double)stats->restore_left_ms / 1e3);
    http_problem_end(exchange);
}

/* R30: it goes back and forth over the same records. */
static void rewinding(http_exchange *exchange, const leat_job_stats *stats)
{
    http_problem_begin(exchange, 503, "rewinding",
                       "rewinding: an epoch has failed %" PRIu32
                       " times in a row; the log says why",
                       stats->rewinds_in_row);
    http_problem_end(exchange);
}

/* R15: with --when-stale mark it goes on answering, and says so here too. */
static void ready(http_exchange *exchange, api *self)
{
    if (!api_is_ready(self, exchange))
        return;
    leat__buffer_text(exchange->out, "{\"status\":\"ready\"");
    api_mark_stale(self, exchange);
    leat__buffer_text(exchange->out, "}\n");
}

void api_ready(http_exchange *exchange, void *arg)
{
    leat_job_stats stats = {0};
    leat_partition_state state = state_of(arg, &stats);
    if (state == LEAT_READY && stats.rewinds_in_row >= 2)
        rewinding(exchange, &stats);
    else if (state == LEAT_READY)
        ready(exchange, arg);
    else if (state == LEAT_RESTORING)
        restoring(exchange, &stats);
    else
        http_problem(exchange, 503, "draining", "draining: the server is stopping");
}

/* ------------------------------------------------------------------ metrics */

static void family(leat__buffer *out, const char *name, const char *type, const char *help)
{
    leat__buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static bool partition_state(void *out, const leat_partition_stats *stats)
{
    leat__buffer_format(
        out, "leat_partition_state{stage=\"%s\",partition=\"%" PRIu32 "\",state=\"%s\"} 1\n",
        stats->stage, stats->partition, leat_partition_state_name(stats->state));
    return true;
}

static bool partition_restored(void *out, const leat_partition_stats *stats)
{
    leat__buffer_format(out,
                        "leat_partition_restored_records{stage=\"%s\",partition=\"%" PRIu32
                        "\"} %" PRIu64 "\n",
                        stats->stage, stats->partition, stats->restored_records);
    return true;
}

static bool partition_lag(void *out, const leat_partition_stats *stats)
{
    leat__buffer_format(
        out, "leat_partition_restore_lag{stage=\"%s\",partition=\"%" PRIu32 "\"} %" PRIu64 "\n",
        stats->stage, stats->partition, stats->lag);
    return true;
}

/* What came after the last one is what a start without the state has to read. */
static void snapshot_metrics(leat__buffer *out, const leat_job_stats *stats)
{
    family(out, "leat_snapshots_total", "counter", "Snapshots made of the state.");
    leat__buffer_format(out, "leat_snapshots_total %" PRIu64 "\n", stats->snapshots);
    family(out, "leat_snapshot_failures_total", "counter", "Snapshots that could not be made.");
    leat__buffer_format(out, "leat_snapshot_failures_total %" PRIu64 "\n",
                        stats->snapshot_failures);
    family(out, "leat_snapshot_time_seconds", "gauge", "When the last was made; 0: none yet.");
    leat__buffer_format(out, "leat_snapshot_time_seconds %.3f\n",
                        (double)stats->snapshot_at_ms / 1e3);
    family(out, "leat_snapshot_duration_seconds", "gauge", "How long the last took.");
    leat__buffer_format(out, "leat_snapshot_duration_seconds %.3f\n",
                        (double)stats->snapshot_took_ms / 1e3);
    family(out, "leat_snapshot_bytes", "gauge", "Size of the last.");
    leat__buffer_format(out, "leat_snapshot_bytes %" PRIu64 "\n", stats->snapshot_bytes);
}

static void lease_metrics(leat__buffer *out, const api *self)
{
    static const char *const how[] = {"marked", "refused"};
    int64_t age_ms = leat_job_proof_age_ms(self->job->job);
    family(out, "leat_proof_age_seconds", "gauge",
           "Since the log last said, by a commit, that the partitions here are this process's.");
    if (age_ms >= 0)
        leat__buffer_format(out, "leat_proof_age_seconds %.3f\n", (double)age_ms / 1e3);
    family(out, "leat_recommender_stale_answers_total", "counter",
           "Answers marked or refused as that was too long ago (R15).");
    for (int i = 0; i < 2; i++)
        leat__buffer_format(out, "leat_recommender_stale_answers_total{how=\"%s\"} %" PRIu64 "\n",
                            how[i],
                            atomic_load_explicit(&self->stale_answers[i], memory_order_relaxed));
}

void api_state_metrics(leat__buffer *out, const api *self)
{
    leat_job *job = self->job->job;
    leat_job_stats stats = {0};
    leat_partition_state state = state_of(self, &stats);
    family(out, "leat_job_state", "gauge", "What the job is doing: restoring, ready or draining.");
    leat__buffer_format(out, "leat_job_state{state=\"%s\"} 1\n", leat_partition_state_name(state));
    family(out, "leat_partition_state", "gauge", "The same of each partition that is here.");
    leat_job_each_partition(job, partition_state, out);
    family(out, "leat_partition_restored_records", "gauge",
           "Changelog records read when its state was restored.");
    leat_job_each_partition(job, partition_restored, out);
    family(out, "leat_partition_restore_lag", "gauge", "Changelog offsets still to be read.");
    leat_job_each_partition(job, partition_lag, out);
    family(out, "leat_restore_ratio", "gauge", "How much of the restore is done.");
    leat__buffer_format(out, "leat_restore_ratio %.4f\n",
                        stats.restore_total == 0
                            ? state == LEAT_RESTORING ? 0.0 : 1.0
                            : (double)stats.restore_done / (double)stats.restore_total);
    snapshot_metrics(out, &stats);
    lease_metrics(out, self);
    family(out, "leat_eos_violations_total", "counter",
           "Contradictions between the changelog, its seals and the committed positions.");
    leat__buffer_format(out, "leat_eos_violations_total %" PRIu64 "\n", stats.eos_violations);
    family(out, "leat_stalled_seconds", "gauge",
           "For how long nothing has moved although something waits.");
    leat__buffer_format(out, "leat_stalled_seconds %.3f\n", (double)stats.stalled_ms / 1e3);
    family(out, "leat_records_lost_total", "counter",
           "Offsets of the sources that were deleted before they were read.");
    leat__buffer_format(out, "leat_records_lost_total %" PRIu64 "\n", stats.records_lost);
    family(out, "leat_state_rebuilds_total", "counter",
           "Partitions whose local state was too old or of another log, and was built anew.");
    leat__buffer_format(out, "leat_state_rebuilds_total %" PRIu64 "\n", stats.state_rebuilds);
}
