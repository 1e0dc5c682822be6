/* serve/api_recommend.c - recommendations for a session in the body, similar items, trending items.
 * All answers are built from the tables alone, which every process of the job has. */
#include "apps/recommender/events/event.h"
#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/api.h"
#include "apps/recommender/serve/session_body.h"

bool api_id_is_valid(http_exchange *exchange, const char *what)
{
    if (exchange->parameter.length <= EVENT_ID_BYTES_MAX)
        return true;
    http_problem(exchange, 400, "bad-argument", "the %s id has more than %d bytes", what,
                 EVENT_ID_BYTES_MAX);
    return false;
}

bool api_read_arguments(http_exchange *exchange, recommend_request *request)
{
    request->count = 10;
    if (!http_number_argument(exchange, "n", 1, RECOMMEND_MAX, &request->count))
        return false;
    if (!http_bool_argument(exchange, "explain", &request->explain))
        return false;
    return http_bool_argument(exchange, "exclude_seen", &request->exclude_seen);
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
    api_mark_stale(arg, exchange);
    leat__buffer_text(exchange->out, ",\"model_version\":\"" MODEL_VERSION "\"}\n");
}

void api_similar_items(http_exchange *exchange, void *arg)
{
    api *self = arg;
    const api_worker *worker = exchange->worker;
    recommend_request request = {.clicks = &exchange->parameter, .click_count = 1};
    if (!api_is_ready(self, exchange) || !api_id_is_valid(exchange, "item") ||
        !api_read_arguments(exchange, &request))
        return;
    const recommend_item *items;
    size_t count = model_recommend(worker->model, &request, &items);
    leat__buffer_text(exchange->out, "{\"item_id\":");
    leat__buffer_json_str(exchange->out, exchange->parameter);
    leat__buffer_format(exchange->out, ",\"sessions\":%llu,",
                        (unsigned long long)session_index_item_sessions(self->job->model->index,
                                                                        exchange->parameter));
    answer_items(exchange->out, items, count, request.clicks, 1);
    api_mark_stale(arg, exchange);
    leat__buffer_text(exchange->out, ",\"model_version\":\"" MODEL_VERSION "\"}\n");
}

void api_trending(http_exchange *exchange, void *arg)
{
    api *self = arg;
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
    leat__buffer_text(out, "]");
    api_mark_stale(self, exchange);
    leat__buffer_text(out, "}\n");
}
