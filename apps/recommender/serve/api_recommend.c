/* serve/api_recommend.c - recommendations for a user, for a session in the body, similar items,
 * trending items.  All answers are built from committed state and the tables alone. */
#include <stdlib.h>
#include <string.h>

#include "apps/recommender/events/event.h"
#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/api.h"
#include "apps/recommender/serve/session_body.h"

static bool id_is_valid(http_exchange *exchange, const char *what)
{
    if (exchange->parameter.length <= EVENT_ID_BYTES_MAX)
        return true;
    http_problem(exchange, 400, "bad-argument", "the %s id has more than %d bytes", what,
                 EVENT_ID_BYTES_MAX);
    return false;
}

static bool read_arguments(http_exchange *exchange, recommend_request *request)
{
    request->count = 10;
    if (!http_number_argument(exchange, "n", 1, RECOMMEND_MAX, &request->count))
        return false;
    if (!http_bool_argument(exchange, "explain", &request->explain))
        return false;
    return http_bool_argument(exchange, "exclude_seen", &request->exclude_seen);
}

typedef enum session_found { SESSION_NONE, SESSION_HERE, SESSION_RESTORING } session_found;

/* The user's committed session; false: a problem was written.  Its strings live in
 * *memory, for leat_memory_free. */
static bool read_session(const api *self, http_exchange *exchange, session_state *session,
                         session_found *found, void **memory)
{
    leat_error error;
    leat_status status = leat_job_query(self->job->job, SESSION_OP_NAME, SESSION_STATE_NAME,
                                        exchange->parameter, session, memory, &error);
    *found = status == LEAT_OK       ? SESSION_HERE
             : status == LEAT_EAGAIN ? SESSION_RESTORING /* R20: popular items, and it is said */
                                     : SESSION_NONE;
    if (status == LEAT_OK || status == LEAT_ENOTFOUND || status == LEAT_EAGAIN)
        return true;
    leat_memory_free(*memory);
    http_problem(exchange, 500, "state", "the user's session could not be read: %s", error.message);
    return false;
}

static void append_session(leat__buffer *out, const session_state *session)
{
    leat__buffer_text(out, ",\"session\":{");
    if (session->session_id.length > 0) {
        leat__buffer_text(out, "\"session_id\":");
        leat__buffer_json_str(out, session->session_id);
        leat__buffer_text(out, ",");
    }
    leat__buffer_format(
        out, "\"events\":%u,\"start_ms\":%lld,\"last_ms\":%lld,\"closed\":%s,\"items\":[",
        session->event_count, (long long)session->start_ms, (long long)session->last_ms,
        session->closed ? "true" : "false");
    const seen_item *items = session->items.items;
    for (size_t i = 0; i < session->items.count; i++) {
        if (i > 0)
            leat__buffer_text(out, ",");
        leat__buffer_json_str(out, items[i].item_id);
    }
    leat__buffer_text(out, "]}");
}

void api_user_recommendations(http_exchange *exchange, void *arg)
{
    const api *self = arg;
    const api_worker *worker = exchange->worker;
    recommend_request request = {0};
    session_state session = {0};
    session_found found = SESSION_NONE;
    void *memory = NULL;
    if (!api_is_ready(self, exchange) || !id_is_valid(exchange, "user") ||
        !read_arguments(exchange, &request) ||
        !read_session(self, exchange, &session, &found, &memory))
        return;
    leat_str *clicks =
        leat__arena_alloc(exchange->arena, (session.items.count + 1) * sizeof *clicks);
    const seen_item *seen = session.items.items;
    for (size_t i = 0; i < session.items.count; i++)
        clicks[i] = seen[i].item_id;
    request.clicks = clicks;
    request.click_count = session.items.count;
    request.category = session.category;
    const recommend_item *items;
    size_t count = model_recommend(worker->model, &request, &items);
    leat__buffer_text(exchange->out, "{\"user_id\":");
    leat__buffer_json_str(exchange->out, exchange->parameter);
    leat__buffer_text(exchange->out, ",");
    answer_items(exchange->out, items, count, clicks, request.click_count);
    if (found == SESSION_HERE)
        append_session(exchange->out, &session);
    if (found == SESSION_RESTORING)
        leat__buffer_text(exchange->out, ",\"fallback\":\"restoring\"");
    leat__buffer_text(exchange->out, ",\"model_version\":\"" MODEL_VERSION "\"}\n");
    leat_memory_free(memory);
}

void api_session_recommendations(http_exchange *exchange, void *arg)
{
    const api_worker *worker = exchange->worker;
    recommend_request request;
    leat_str clicks[RECOMMEND_CLICKS_MAX];
    leat_error error;
    if (!api_is_ready(arg, exchange))
        return;
    if (session_body_read(worker->json, exchange->body, clicks, &request, &error) != LEAT_OK) {
        http_problem(exchange, 400, "malformed-body", "%s", error.message);
        return;
    }
    const recommend_item *items;
    size_t count = model_recommend(worker->model, &request, &items);
    leat__buffer_text(exchange->out, "{");
    answer_items(exchange->out, items, count, clicks, request.click_count);
    leat__buffer_text(exchange->out, ",\"model_version\":\"" MODEL_VERSION "\"}\n");
}

void api_similar_items(http_exchange *exchange, void *arg)
{
    const api *self = arg;
    const api_worker *worker = exchange->worker;
    recommend_request request = {.clicks = &exchange->parameter, .click_count = 1};
    if (!api_is_ready(self, exchange) || !id_is_valid(exchange, "item") ||
        !read_arguments(exchange, &request))
        return;
    const recommend_item *items;
    size_t count = model_recommend(worker->model, &request, &items);
    leat__buffer_text(exchange->out, "{\"item_id\":");
    leat__buffer_json_str(exchange->out, exchange->parameter);
    leat__buffer_format(exchange->out, ",\"sessions\":%llu,",
                        (unsigned long long)session_index_item_sessions(self->job->model->index,
                                                                        exchange->parameter));
    answer_items(exchange->out, items, count, request.clicks, 1);
    leat__buffer_text(exchange->out, ",\"model_version\":\"" MODEL_VERSION "\"}\n");
}

void api_trending(http_exchange *exchange, void *arg)
{
    const api *self = arg;
    const api_worker *worker = exchange->worker;
    popular_item items[RECOMMEND_MAX];
    uint32_t wanted = 10;
    if (!api_is_ready(self, exchange) ||
        !http_number_argument(exchange, "n", 1, RECOMMEND_MAX, &wanted))
        return;
    leat_str category = http_argument(exchange, "category");
    const model *known = self->job->model;
    int64_t now_ms = atomic_load_explicit(&known->latest_ms, memory_order_relaxed);
    size_t count = popularity_top(known->popular, model_popularity_slot(worker->model), category,
                                  POPULAR_LATELY, now_ms, items, wanted);
    leat__buffer *out = exchange->out;
    leat__buffer_text(out, "{");
    if (category.length > 0) {
        leat__buffer_text(out, "\"category\":");
        leat__buffer_json_str(out, category);
        leat__buffer_text(out, ",");
    }
    leat__buffer_format(out, "\"as_of_ms\":%lld,\"items\":[", (long long)now_ms);
    for (size_t i = 0; i < count; i++) {
        leat__buffer_text(out, i > 0 ? ",{\"item_id\":" : "{\"item_id\":");
        leat__buffer_json_str(out, items[i].item);
        if (items[i].category.length > 0) {
            leat__buffer_text(out, ",\"category\":");
            leat__buffer_json_str(out, items[i].category);
        }
        leat__buffer_text(out, ",\"score\":");
        leat__buffer_f64_text(out, items[i].score);
        leat__buffer_text(out, "}");
    }
    leat__buffer_text(out, "]}\n");
}
