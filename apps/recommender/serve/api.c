#include "apps/recommender/serve/api.h"

#include <stdio.h>
#include <time.h>

#include "apps/recommender/serve/openapi.h"
#include "base/env.h"
#include "base/mem.h"

void *api_worker_new(void *arg)
{
    const api *self = arg;
    api_worker *worker = leat__calloc(1, sizeof *worker);
    worker->model = model_reader_new(self->job->model);
    worker->json = leat__json_reader_new();
    return worker;
}

void api_worker_free(void *arg)
{
    api_worker *worker = arg;
    model_reader_free(worker->model);
    leat__json_reader_free(worker->json);
    leat__free(worker);
}

void api_on_committed(void *arg, const leat_log_record *record)
{
    api *self = arg;
    int64_t accepted_ms = recommendation_accepted_ms(record->value);
    if (accepted_ms < 0)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    /* accepted_ms was cut to milliseconds, so this is up to 1 ms too much, never too little. */
    int64_t took_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - accepted_ms * 1000;
    leat__histogram_record(&self->accepted_to_committed_us, took_us > 0 ? (uint64_t)took_us : 0);
}

bool api_is_stale(const api *self, int64_t *age_ms)
{
    *age_ms = leat_job_proof_age_ms(self->job->job);
    return self->max_staleness_ms != 0 && *age_ms > self->max_staleness_ms;
}

bool api_is_ready(api *self, http_exchange *exchange)
{
    int64_t age_ms;
    int phase = atomic_load_explicit(&self->phase, memory_order_acquire);
    if (phase == API_STARTING) {
        http_problem(exchange, 503, "starting", "the tables are being restored; see /readyz");
        return false;
    }
    if (!self->refuse_stale || !api_is_stale(self, &age_ms))
        return true;
    atomic_fetch_add_explicit(&self->stale_answers[1], 1, memory_order_relaxed);
    http_problem(exchange, 503, "stale",
                 "nothing could be committed for %.1f s (--max-staleness): another process may "
                 "know better",
                 (double)age_ms / 1e3);
    return false;
}

void api_mark_stale(api *self, http_exchange *exchange)
{
    char seconds[32];
    int64_t age_ms;
    if (!api_is_stale(self, &age_ms))
        return;
    atomic_fetch_add_explicit(&self->stale_answers[0], 1, memory_order_relaxed);
    (void)snprintf(seconds, sizeof seconds, "%.1f", (double)age_ms / 1e3);
    http_add_header(exchange, "Leat-Stale", seconds);
    leat__buffer_text(exchange->out, ",\"stale\":true");
}

static void get_health(http_exchange *exchange, void *arg)
{
    (void)arg;
    leat__buffer_text(exchange->out, "{\"status\":\"alive\"}\n");
}

static void get_openapi(http_exchange *exchange, void *arg)
{
    (void)arg;
    exchange->answer_type = "application/yaml";
    leat__buffer_bytes(exchange->out, openapi_text, openapi_length);
}

static void get_root(http_exchange *exchange, void *arg)
{
    (void)arg;
    leat__buffer_format(
        exchange->out,
        "{\"service\":\"leat-recommender\",\"version\":\"%s\",\"api\":\"/openapi.yaml\"}\n",
        leat_version());
}

/* clang-format off */
const http_route api_routes[] = {
    {"events", HTTP_POST, "/v1/events", NULL, API_EVENTS_BODY_BYTES_MAX, api_post_events,
     api_events_appended},
    {"session_recommendations", HTTP_POST, "/v1/recommendations", NULL, API_SESSION_BODY_BYTES_MAX,
     api_session_recommendations, NULL},
    {"user_recommendations", HTTP_GET, "/v1/users/", "/recommendations", 0,
     api_user_recommendations, api_user_forwarded},
    {"similar", HTTP_GET, "/v1/items/", "/similar", 0, api_similar_items, NULL},
    {"trending", HTTP_GET, "/v1/trending", NULL, 0, api_trending, NULL},
    {"debug_index", HTTP_GET, "/v1/debug/index", NULL, 0, api_debug_index,
     api_debug_index_written},
    {"health", HTTP_GET, "/healthz", NULL, 0, get_health, NULL},
    {"ready", HTTP_GET, "/readyz", NULL, 0, api_ready, NULL},
    {"metrics", HTTP_GET, "/metrics", NULL, 0, api_metrics, NULL},
    {"openapi", HTTP_GET, "/openapi.yaml", NULL, 0, get_openapi, NULL},
    {"root", HTTP_GET, "/", NULL, 0, get_root, NULL},
};
/* clang-format on */
const size_t api_route_count = sizeof api_routes / sizeof api_routes[0];
