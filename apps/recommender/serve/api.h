/* serve/api.h - the HTTP API: what its handlers share.
 *
 *   serve/api.c            routes, health, the OpenAPI file
 *   serve/api_debug.c      the index, for diagnosis
 *   serve/api_events.c     POST /v1/events
 *   serve/api_user.c       recommendations for a user, here or from the process that has the user
 *   serve/api_recommend.c  recommendations for a session, similar items, trending
 *   serve/answer_json.c    lists of items as JSON
 *   serve/api_state.c      /readyz, metrics of partitions
 *   serve/metrics.c        /metrics
 *   serve/server.c         the process: start, signals, stop */
#ifndef RECOMMENDER_API_H
#define RECOMMENDER_API_H
#include "apps/recommender/job/recommender_job.h"
#include "apps/recommender/serve/appender.h"
#include "apps/recommender/serve/http.h"
#include "apps/recommender/serve/proxy.h"
#include "record/json_reader.h"

typedef enum api_phase { API_STARTING = 0, API_READY, API_STOPPING } api_phase;

enum {
    API_EVENTS_BODY_BYTES_MAX = 16 << 20,
    API_SESSION_BODY_BYTES_MAX = 64 << 10,
};

/* Why an answer is made without the user's session (R20). */
typedef enum api_fallback {
    FALLBACK_NONE = 0,
    FALLBACK_RESTORING,   /* the session is here, or with another process, and being restored */
    FALLBACK_MOVING,      /* nobody has the user now, as far as this process knows */
    FALLBACK_SLOW,        /* the process that has the user did not answer in time */
    FALLBACK_UNREACHABLE, /* or could not be reached */
    FALLBACK_BUSY,        /* too many requests wait for other processes */
    FALLBACKS
} api_fallback;
const char *api_fallback_name(api_fallback fallback); /* "restoring" ... */

typedef struct api {
    recommender_job *job;
    leat_log *log;
    appender *appender;
    http_server *http;
    proxy *proxy;         /* NULL: no other process is ever asked */
    const char *data_dir; /* or NULL */
    bool debug_endpoints;
    _Atomic bool dumping;      /* somebody reads the index */
    _Atomic bool dump_is_made; /* by a thread of its own */
    _Atomic uint32_t slow_in_a_row;
    _Atomic uint64_t fallbacks[FALLBACKS];
    _Atomic int phase; /* api_phase */
    int64_t started_us;
    int64_t max_staleness_ms;                             /* R15: of what is answered; 0: any */
    bool refuse_stale;                                    /* with 503, instead of a mark */
    _Atomic uint64_t stale_answers[2];                    /* marked, refused */
    void (*on_fatal)(void *arg, const leat_error *error); /* an append failed for good (R17) */
    void *on_fatal_arg;
    _Atomic uint64_t events_ahead; /* of those rejected: ahead of the clock (W7) */
    _Atomic uint64_t events_accepted, events_rejected,
        events_refused; /* refused: not durable, 5xx */
    /* Commit thread only; others read. From the request to the committed recommendation. */
    leat__histogram accepted_to_committed_us;
} api;

typedef struct api_worker { /* one per HTTP thread */
    model_reader *model;
    leat__json_reader *json;
} api_worker;

extern const http_route api_routes[];
extern const size_t api_route_count;

void *api_worker_new(void *api);
void api_worker_free(void *worker);
void api_on_committed(void *api, const leat_log_record *recommendation);

/* False: a 503 was written, as the tables are not restored yet (R20), or as for too long no commit
 * has proven that what this process has is the truth (R15) and such answers are refused. */
bool api_is_ready(api *self, http_exchange *exchange);
/* R15: the same, where such answers are marked: says so in a header and in the JSON object that is
 * being written. */
void api_mark_stale(api *self, http_exchange *exchange);
bool api_is_stale(const api *self, int64_t *age_ms); /* age_ms: -1: nothing of the state is here */

/* handlers */
void api_debug_index(http_exchange *exchange, void *api);
void api_debug_index_written(http_exchange *exchange, void *api);
void api_post_events(http_exchange *exchange, void *api);
void api_events_appended(http_exchange *exchange, void *api);
void api_user_recommendations(http_exchange *exchange, void *api);
void api_user_forwarded(http_exchange *exchange, void *api);
void api_session_recommendations(http_exchange *exchange, void *api);
void api_similar_items(http_exchange *exchange, void *api);
void api_trending(http_exchange *exchange, void *api);
void api_metrics(http_exchange *exchange, void *api);
void api_ready(http_exchange *exchange, void *api);
void api_state_metrics(leat__buffer *out, const api *self); /* R20 */

/* api_recommend.c; false: a problem was written. */
bool api_id_is_valid(http_exchange *exchange, const char *what);
bool api_read_arguments(http_exchange *exchange, recommend_request *request);

/* answer_json.c: "items":[...] */
void answer_items(leat__buffer *out, const recommend_item *items, size_t count,
                  const leat_str *clicks, size_t click_count);
#endif
