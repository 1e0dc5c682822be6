/* serve/api_user.c - GET /v1/users/{id}/recommendations.
 *
 *   who has the user? ─┬─ this process ───────► session and tables ─────────────────► 200
 *   (leat_job_owner)   ├─ another ─► asked ─┬─► its answer ─────────────────────────► 200
 *                      │   (proxy.c)        └─ slow, gone, restoring ─┐
 *                      └─ nobody, for now ────────────────────────────┴─► tables ──► 200, marked
 *
 * An answer names who gave it (Leat-Owner); one without the user's session says why, as a header
 * (Leat-Fallback) and as "fallback" in its body (R20). A request that was forwarded once is not
 * forwarded again: who does not have the user says 421. */
#include <string.h>

#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/api.h"
#include "base/mem.h"

enum {
    ID_TEXT_BYTES = 3 * 256 + 1,
    URL_BYTES = 256 + ID_TEXT_BYTES + 128,
    /* One slow answer may be chance; a process that is slow each time is not asked for a second. */
    SLOW_MAX = 3,
};

#define OWNER_HEADER "Leat-Owner"
#define FALLBACK_HEADER "Leat-Fallback"

typedef struct forwarded {
    proxy_request proxy;
    http_exchange *exchange;
    recommend_request request;
    leat_owner owner;
    char url[URL_BYTES];
} forwarded;

const char *api_fallback_name(api_fallback fallback)
{
    static const char *const names[] = {"none",       "restoring",         "moving",
                                        "owner-slow", "owner-unreachable", "owner-busy"};
    return names[fallback];
}

/* ------------------------------------------------------------------ answers from here */

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

/* session NULL: the user has none, or it can't be had now, as `fallback` says. */
static void answer(api *self, http_exchange *exchange, recommend_request *request,
                   const session_state *session, api_fallback fallback)
{
    const api_worker *worker = exchange->worker;
    size_t click_count = session == NULL ? 0 : session->items.count;
    leat_str *clicks = leat__arena_alloc(exchange->arena, (click_count + 1) * sizeof *clicks);
    for (size_t i = 0; i < click_count; i++)
        clicks[i] = ((const seen_item *)session->items.items)[i].item_id;
    request->clicks = clicks;
    request->click_count = click_count;
    if (session != NULL)
        request->category = session->category;
    const recommend_item *items;
    size_t count = model_recommend(worker->model, request, &items);
    leat__buffer_text(exchange->out, "{\"user_id\":");
    leat__buffer_json_str(exchange->out, exchange->parameter);
    leat__buffer_text(exchange->out, ",");
    answer_items(exchange->out, items, count, clicks, click_count);
    if (session != NULL)
        append_session(exchange->out, session);
    if (fallback != FALLBACK_NONE) {
        atomic_fetch_add_explicit(&self->fallbacks[fallback], 1, memory_order_relaxed);
        leat__buffer_format(exchange->out, ",\"fallback\":\"%s\"", api_fallback_name(fallback));
        http_add_header(exchange, FALLBACK_HEADER, api_fallback_name(fallback));
    }
    api_mark_stale(self, exchange);
    leat__buffer_text(exchange->out, ",\"model_version\":\"" MODEL_VERSION "\"}\n");
}

static void answer_here(api *self, http_exchange *exchange, recommend_request *request)
{
    leat_error error;
    session_state session = {0};
    void *memory = NULL;
    leat_status status = leat_job_query(self->job->job, SESSION_OP_NAME, SESSION_STATE_NAME,
                                        exchange->parameter, &session, &memory, &error);
    if (status == LEAT_OK)
        answer(self, exchange, request, &session, FALLBACK_NONE);
    else if (status == LEAT_ENOTFOUND)
        answer(self, exchange, request, NULL, FALLBACK_NONE);
    else if (status == LEAT_EAGAIN || status == LEAT_EINVAL) /* R20; the job ends: popular items */
        answer(self, exchange, request, NULL, FALLBACK_RESTORING);
    else
        http_problem(exchange, 500, "state", "the user's session could not be read: %s",
                     error.message);
    leat_memory_free(memory);
}

/* ------------------------------------------------------------------ answers from another process
 */

static void percent_encode(char out[ID_TEXT_BYTES], leat_str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.';
        if (plain) {
            *out++ = (char)byte;
            continue;
        }
        *out++ = '%';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    *out = '\0';
}

static void on_done(proxy_request *request)
{
    const forwarded *self = request->user;
    http_resume(self->exchange);
}

static void forward(api *self, http_exchange *exchange, const recommend_request *request,
                    const leat_owner *owner)
{
    char id[ID_TEXT_BYTES];
    forwarded *sent = leat__arena_alloc(exchange->arena, sizeof *sent);
    *sent = (forwarded){.exchange = exchange, .request = *request, .owner = *owner};
    sent->proxy =
        (proxy_request){.url = sent->url, .answer = exchange->out, .done = on_done, .user = sent};
    percent_encode(id, exchange->parameter);
    snprintf(sent->url, sizeof sent->url,
             "http://%s/v1/users/%s/recommendations?n=%u&explain=%d&exclude_seen=%d",
             owner->address, id, request->count, request->explain, request->exclude_seen);
    exchange->user = sent;
    http_suspend(exchange); /* before the proxy can resume it */
    if (proxy_submit(self->proxy, &sent->proxy))
        return;
    sent->proxy.result = PROXY_BUSY;
    http_resume(exchange);
}

/* The owner was asked: what the next ones are to know of it, and why its answer is of no use. */
static api_fallback judge(api *self, const forwarded *sent)
{
    const proxy_request *request = &sent->proxy;
    leat_job *job = self->job->job;
    if (request->result == PROXY_BUSY)
        return FALLBACK_BUSY;
    if (request->result == PROXY_UNREACHABLE) {
        leat_job_owner_report(job, &sent->owner, false);
        return FALLBACK_UNREACHABLE;
    }
    if (request->result == PROXY_SLOW) {
        if (atomic_fetch_add(&self->slow_in_a_row, 1) + 1 >= SLOW_MAX)
            leat_job_owner_report(job, &sent->owner, false);
        return FALLBACK_SLOW;
    }
    atomic_store(&self->slow_in_a_row, 0);
    leat_job_owner_report(job, &sent->owner, true);
    if (request->status == 200)
        return FALLBACK_NONE;
    return request->status == 421 ? FALLBACK_MOVING : FALLBACK_RESTORING;
}

void api_user_forwarded(http_exchange *exchange, void *arg)
{
    api *self = arg;
    forwarded *sent = exchange->user;
    api_fallback fallback = judge(self, sent);
    if (fallback == FALLBACK_NONE) {
        http_add_header(exchange, OWNER_HEADER, sent->owner.instance);
        return;
    }
    exchange->out->length = 0; /* a part of an answer, or a problem */
    answer(self, exchange, &sent->request, NULL, fallback);
}

/* ------------------------------------------------------------------ the handler */

void api_user_recommendations(http_exchange *exchange, void *arg)
{
    api *self = arg;
    recommend_request request = {0};
    leat_owner owner;
    leat_error error;
    if (!api_is_ready(self, exchange) || !api_id_is_valid(exchange, "user") ||
        !api_read_arguments(exchange, &request))
        return;
    leat_status status =
        leat_job_owner(self->job->job, SESSION_OP_NAME, exchange->parameter, &owner, &error);
    bool alone = self->proxy == NULL || status != LEAT_OK;
    bool stopping = atomic_load_explicit(&self->phase, memory_order_acquire) == API_STOPPING;
    if (alone || owner.kind == LEAT_OWNER_HERE) {
        if (!alone)
            http_add_header(exchange, OWNER_HEADER, owner.instance);
        answer_here(self, exchange, &request);
    } else if (http_header(exchange, PROXY_FORWARDED_HEADER) != NULL) {
        http_problem(exchange, 421, "not-the-owner", "this process does not have the user now");
    } else if (owner.kind == LEAT_OWNER_UNKNOWN || stopping) {
        answer(self, exchange, &request, NULL, FALLBACK_MOVING);
    } else if (!owner.ready) {
        answer(self, exchange, &request, NULL, FALLBACK_RESTORING);
    } else {
        forward(self, exchange, &request, &owner);
    }
}
