/* serve/metrics.c - /metrics in Prometheus' text format. */
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include "apps/recommender/serve/api.h"
#include "base/env.h"
#include "base/mem.h"

static const uint32_t latency_bounds_us[] = {100,   250,   500,   1000,   2500,   5000,    10000,
                                             20000, 40000, 75000, 150000, 300000, 1000000, 5000000};

static void family(leat__buffer *out, const char *name, const char *type, const char *help)
{
    leat__buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(leat__buffer *out, const char *name, const char *type, const char *help,
                   double value)
{
    family(out, name, type, help);
    leat__buffer_format(out, "%s ", name);
    leat__buffer_f64_text(out, value);
    leat__buffer_text(out, "\n");
}

/* `labels` are "" or end with a comma. */
static void histogram(leat__buffer *out, const char *name, const char *labels,
                      const leat__histogram *of)
{
    size_t bounds = sizeof latency_bounds_us / sizeof latency_bounds_us[0];
    for (size_t i = 0; i < bounds; i++) {
        leat__buffer_format(out, "%s_bucket{%sle=\"", name, labels);
        leat__buffer_f64_text(out, latency_bounds_us[i] / 1e6);
        leat__buffer_format(
            out, "\"} %llu\n",
            (unsigned long long)leat__histogram_count_at_most(of, latency_bounds_us[i]));
    }
    leat__buffer_format(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels,
                        (unsigned long long)of->count);
    size_t length = strlen(labels);
    char braces[96] = "";
    if (length > 0)
        snprintf(braces, sizeof braces, "{%.*s}", (int)length - 1, labels);
    leat__buffer_format(out, "%s_sum%s ", name, braces);
    leat__buffer_f64_text(out, (double)of->sum / 1e6);
    leat__buffer_format(out, "\n%s_count%s %llu\n", name, braces, (unsigned long long)of->count);
}

static unsigned long long relaxed(const _Atomic uint64_t *counter)
{
    return (unsigned long long)atomic_load_explicit(counter, memory_order_relaxed);
}

static void event_metrics(leat__buffer *out, const api *self)
{
    leat_job_stats stats = {0};
    leat_job_get_stats(self->job->job, &stats);
    const recommender_counters *counters = &self->job->counters;
    family(out, "leat_recommender_events_total", "counter",
           "Events received over HTTP, by what became of them.");
    leat__buffer_format(out, "leat_recommender_events_total{result=\"accepted\"} %llu\n",
                        relaxed(&self->events_accepted));
    leat__buffer_format(out, "leat_recommender_events_total{result=\"rejected\"} %llu\n",
                        relaxed(&self->events_rejected));
    leat__buffer_format(out, "leat_recommender_events_total{result=\"not_stored\"} %llu\n",
                        relaxed(&self->events_refused));
    family(out, "leat_recommender_interactions_total", "counter",
           "Interactions that the job has processed; one replayed after a failure counts again.");
    unsigned long long late = relaxed(&counters->late), duplicates = relaxed(&counters->duplicates);
    unsigned long long all = relaxed(&counters->interactions);
    leat__buffer_format(out, "leat_recommender_interactions_total{result=\"counted\"} %llu\n",
                        all > late + duplicates ? all - late - duplicates : 0);
    leat__buffer_format(out, "leat_recommender_interactions_total{result=\"duplicate\"} %llu\n",
                        duplicates);
    leat__buffer_format(out, "leat_recommender_interactions_total{result=\"late\"} %llu\n", late);
    family(out, "leat_recommender_late_total", "counter",
           "Events that did not count when they came, or counted at another time, by reason.");
    leat__buffer_format(out, "leat_recommender_late_total{reason=\"behind_watermark\"} %llu\n",
                        late);
    leat__buffer_format(out, "leat_recommender_late_total{reason=\"ahead_of_clock\"} %llu\n",
                        relaxed(&self->events_ahead) + (unsigned long long)stats.records_ahead);
    leat__buffer_format(out, "leat_recommender_late_total{reason=\"clamped_to_clock\"} %llu\n",
                        relaxed(&counters->clamped));
    single(out, "leat_recommender_sessions_closed_total", "counter",
           "Sessions that ended and went to the index.",
           (double)relaxed(&counters->sessions_closed));
    family(out, "leat_recommender_accepted_to_committed_seconds", "histogram",
           "From an event's acceptance to its committed recommendation.");
    histogram(out, "leat_recommender_accepted_to_committed_seconds", "",
              &self->accepted_to_committed_us);
    family(out, "leat_recommender_accepted_to_committed_quantile_seconds", "gauge",
           "The same since the start, within 3 %, finer than the histogram's buckets.");
    static const double wanted[] = {0.5, 0.95, 0.99, 1};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        leat__buffer_format(
            out, "leat_recommender_accepted_to_committed_quantile_seconds{quantile=\"%g\"} %.6f\n",
            wanted[i],
            (double)leat__histogram_quantile(&self->accepted_to_committed_us, wanted[i]) / 1e6);
}

static void quantiles(leat__buffer *out, const char *name, const char *help, int64_t p50_us,
                      int64_t p99_us)
{
    family(out, name, "gauge", help);
    leat__buffer_format(out, "%s{quantile=\"0.5\"} ", name);
    leat__buffer_f64_text(out, (double)p50_us / 1e6);
    leat__buffer_format(out, "\n%s{quantile=\"0.99\"} ", name);
    leat__buffer_f64_text(out, (double)p99_us / 1e6);
    leat__buffer_text(out, "\n");
}

static void job_metrics(leat__buffer *out, const api *self)
{
    leat_job_stats stats = {0};
    const leat_env *env = leat__env_system();
    leat_job_get_stats(self->job->job, &stats);
    single(out, "leat_epochs_total", "counter", "Epochs committed.", (double)stats.epochs);
    single(out, "leat_rewinds_total", "counter",
           "Returns to the last committed epoch after a failure.", (double)stats.rewinds);
    single(out, "leat_rewinds_in_row", "gauge",
           "Returns since the job last got past what it had read before them.",
           (double)stats.rewinds_in_row);
    single(out, "leat_records_in_total", "counter", "Records read by the job.",
           (double)stats.records_in);
    single(out, "leat_records_out_total", "counter", "Records written by the job.",
           (double)stats.records_out);
    single(out, "leat_records_dead_total", "counter", "Records sent to dead-letters.",
           (double)stats.records_dead);
    single(out, "leat_records_skipped_total", "counter", "Records skipped by policy.",
           (double)stats.records_skipped);
    single(out, "leat_records_misplaced_total", "counter",
           "Records in another partition than their key says.", (double)stats.records_misplaced);
    quantiles(out, "leat_commit_seconds", "Time of a commit.", stats.commit_p50_us,
              stats.commit_p99_us);
    quantiles(out, "leat_epoch_seconds", "Time of an epoch, from its first record to its commit.",
              stats.epoch_p50_us, stats.epoch_p99_us);
    if (stats.watermark_ms > 0 && stats.watermark_ms < LEAT_TIME_MAX)
        single(out, "leat_watermark_lag_seconds", "gauge", "Wall clock less the least watermark.",
               (double)(env->now_ms(env->arg) - stats.watermark_ms) / 1e3);
    if (stats.watermark_max_ms > 0 && stats.watermark_max_ms < LEAT_TIME_MAX)
        single(out, "leat_watermark_lead_seconds", "gauge",
               "The furthest watermark less the wall clock: above 0 time runs ahead.",
               (double)(stats.watermark_max_ms - env->now_ms(env->arg)) / 1e3);
    single(out, "leat_records_ahead_total", "counter",
           "Records further ahead of the clock than is believed (W7).",
           (double)stats.records_ahead);
    single(out, "leat_clock_steps_total", "counter", "How often this machine's clock was set.",
           (double)stats.clock_steps);
    single(out, "leat_times_clamped_total", "counter",
           "Partitions whose time stood too far ahead and began again at the clock (W7).",
           (double)stats.times_clamped);
    single(out, "leat_state_entries", "gauge", "Entries of keyed state.",
           (double)stats.state_entries);
    single(out, "leat_state_cache_bytes", "gauge", "Decoded state in memory.",
           (double)stats.state_cache_bytes);
    single(out, "leat_timers", "gauge", "Timers set.", (double)stats.timers);
    single(out, "leat_backlog_records", "gauge",
           "Records in the log that the job has not read yet.", (double)stats.backlog);
    single(out, "leat_table_lag_records", "gauge",
           "Closed sessions and item counts in the log that this process has not learnt yet.",
           (double)stats.table_lag);
}

static void index_metrics(leat__buffer *out, const api *self, const api_worker *worker)
{
    const model *known = self->job->model;
    uint32_t slot = model_popularity_slot(worker->model);
    session_index_stats stats = session_index_get_stats(known->index);
    single(out, "leat_recommender_index_sessions", "gauge", "Sessions in the index.",
           (double)stats.sessions_stored);
    single(out, "leat_recommender_index_sessions_counted", "gauge",
           "Sessions that ever counted (N).", (double)stats.sessions_counted);
    single(out, "leat_recommender_index_items", "gauge", "Items in the index.",
           (double)stats.items);
    single(out, "leat_recommender_index_bytes", "gauge", "Memory of the index.",
           (double)stats.memory_bytes);
    single(out, "leat_recommender_popular_items", "gauge", "Items with a popularity count.",
           (double)popularity_items(known->popular, slot));
    single(out, "leat_recommender_popular_bytes", "gauge", "Memory of the popularity table.",
           (double)popularity_memory_bytes(known->popular, slot));
}

static void connection_metrics(leat__buffer *out, const api *self)
{
    connection_counts counts;
    http_server_connections(self->http, &counts);
    single(out, "leat_http_connections", "gauge", "Open connections.", (double)counts.open);
    single(out, "leat_http_connections_max", "gauge",
           "How many there may be, from the limit of open files.", (double)counts.most);
    family(out, "leat_http_connections_closed_total", "counter",
           "Connections closed at that bound: idle ones for new ones, and new ones.");
    leat__buffer_format(out,
                        "leat_http_connections_closed_total{reason=\"idle\"} %llu\n"
                        "leat_http_connections_closed_total{reason=\"refused\"} %llu\n",
                        (unsigned long long)counts.evicted, (unsigned long long)counts.refused);
}

static void http_metrics(leat__buffer *out, const api *self)
{
    connection_metrics(out, self);
    http_counts *counts = leat__calloc(api_route_count + 1, sizeof *counts);
    for (size_t route = 0; route <= api_route_count; route++)
        http_server_counts(self->http, route, &counts[route]);
    family(out, "leat_http_requests_total", "counter", "HTTP requests answered.");
    for (size_t route = 0; route <= api_route_count; route++) {
        const char *name = route < api_route_count ? api_routes[route].name : "none";
        for (unsigned i = 0; i < HTTP_STATUS_SLOTS; i++)
            if (counts[route].by_status[i] > 0)
                leat__buffer_format(
                    out, "leat_http_requests_total{route=\"%s\",code=\"%d\"} %llu\n", name,
                    http_status_of_slot(i), (unsigned long long)counts[route].by_status[i]);
    }
    family(out, "leat_http_request_seconds", "histogram",
           "From the complete request to the answer handed to the network.");
    for (size_t route = 0; route < api_route_count; route++) {
        char labels[64];
        if (counts[route].duration_us.count == 0)
            continue;
        snprintf(labels, sizeof labels, "route=\"%s\",", api_routes[route].name);
        histogram(out, "leat_http_request_seconds", labels, &counts[route].duration_us);
    }
    leat__free(counts);
}

/* What other processes of the job were asked, and what was answered without the user's session. */
static void forward_metrics(leat__buffer *out, const api *self)
{
    family(out, "leat_recommender_fallbacks_total", "counter",
           "Answers made without the user's session, by reason (R20).");
    for (int i = FALLBACK_NONE + 1; i < FALLBACKS; i++)
        leat__buffer_format(out, "leat_recommender_fallbacks_total{reason=\"%s\"} %llu\n",
                            api_fallback_name((api_fallback)i), relaxed(&self->fallbacks[i]));
    if (self->proxy == NULL ||
        atomic_load_explicit(&self->phase, memory_order_acquire) == API_STOPPING)
        return;
    proxy_stats *stats = leat__alloc(sizeof *stats);
    proxy_get_stats(self->proxy, stats);
    family(out, "leat_recommender_forwarded_total", "counter",
           "Requests for users that another process has, by what became of them.");
    for (int i = 0; i < PROXY_RESULTS; i++)
        leat__buffer_format(out, "leat_recommender_forwarded_total{result=\"%s\"} %llu\n",
                            proxy_result_name((proxy_result)i),
                            (unsigned long long)stats->by_result[i]);
    family(out, "leat_recommender_forwarded_seconds", "histogram",
           "From the question to another process to its answer.");
    histogram(out, "leat_recommender_forwarded_seconds", "", &stats->duration_us);
    leat__free(stats);
}

static double resident_bytes(void)
{
    unsigned long long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    int read = fscanf(file, "%llu %llu", &all, &resident);
    fclose(file);
    return read == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) : 0;
}

static void process_metrics(leat__buffer *out, const api *self)
{
    const leat_env *env = leat__env_system();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    single(out, "process_cpu_seconds_total", "counter", "CPU time used.",
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    single(out, "process_resident_memory_bytes", "gauge", "Memory in use.", resident_bytes());
    single(out, "leat_uptime_seconds", "gauge", "Time since the start.",
           (double)(env->monotonic_us(env->arg) - self->started_us) / 1e6);
    family(out, "leat_build_info", "gauge", "Version of the program.");
    leat__buffer_format(out, "leat_build_info{version=\"%s\"} 1\n", leat_version());
}

void api_metrics(http_exchange *exchange, void *arg)
{
    const api *self = arg;
    exchange->answer_type = "text/plain; version=0.0.4; charset=utf-8";
    event_metrics(exchange->out, self);
    if (atomic_load_explicit(&self->phase, memory_order_acquire) != API_STARTING)
        job_metrics(exchange->out, self);
    api_state_metrics(exchange->out, self);
    index_metrics(exchange->out, self, exchange->worker);
    http_metrics(exchange->out, self);
    forward_metrics(exchange->out, self);
    process_metrics(exchange->out, self);
}
