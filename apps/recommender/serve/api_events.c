/* serve/api_events.c - POST /v1/events.
 *
 *   HTTP thread   parse, check every event ─► suspend ─┐                      ┌─► 202
 * {"accepted":..} appender      ....................... one append for all who wait, sync ──┘
 *
 * 202 is sent when the accepted events are on the disk (or 4xx/5xx, and then none is).  Partial
 * acceptance: valid events of a batch are taken, the others listed; only if none is valid, or if
 * the body as a whole can't be read, it is a 400.  Sending a batch again is safe if its events have
 * ids. */
#include <string.h>

#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/api.h"
#include "apps/recommender/serve/event_batch.h"
#include "base/env.h"

typedef struct pending_events {
    append_batch append;
    event_batch events;
    http_exchange *exchange;
} pending_events;

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* Whatever says that it is JSON, lines of JSON, text or nothing in particular is looked at. */
static bool type_is_readable(const char *type)
{
    static const char *const known[] = {"application/json",
                                        "application/x-ndjson",
                                        "application/ndjson",
                                        "application/jsonl",
                                        "application/x-jsonlines",
                                        "application/octet-stream",
                                        "application/x-www-form-urlencoded",
                                        "text/plain"};
    if (type == NULL)
        return true;
    size_t length = strcspn(type, "; ");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i]) == length && strncasecmp(type, known[i], length) == 0)
            return true;
    return length > 5 && strncasecmp(type + length - 5, "+json", 5) == 0;
}

static void append_rejected(leat__buffer *out, const event_batch *events)
{
    leat__buffer_text(out, "\"errors\":[");
    size_t listed = events->rejected_count < EVENT_BATCH_ERRORS_LISTED ? events->rejected_count
                                                                       : EVENT_BATCH_ERRORS_LISTED;
    for (size_t i = 0; i < listed; i++) {
        const rejected_event *rejected = &events->rejected[i];
        leat__buffer_format(out, "%s{\"index\":%zu", i > 0 ? "," : "", rejected->index);
        if (rejected->fault.field[0] != '\0') {
            leat__buffer_text(out, ",\"field\":");
            leat__buffer_json_str(out, leat_str_from(rejected->fault.field));
        }
        leat__buffer_text(out, ",\"reason\":");
        leat__buffer_json_str(out, leat_str_from(rejected->fault.reason));
        leat__buffer_text(out, "}");
    }
    leat__buffer_text(out, "]");
}

/* What was taken, but not as it came: it will be found late, or its time was ahead of the clock. */
static void append_untimely(leat__buffer *out, const event_batch *events)
{
    if (events->clamped_count > 0)
        leat__buffer_format(out, ",\"clamped\":%zu", events->clamped_count);
    if (events->late_count == 0)
        return;
    leat__buffer_format(out, ",\"late\":%zu,\"late_indexes\":[", events->late_count);
    for (size_t i = 0; i < events->late_count && i < EVENT_BATCH_ERRORS_LISTED; i++)
        leat__buffer_format(out, "%s%zu", i > 0 ? "," : "", events->late_listed[i]);
    leat__buffer_text(out, "]");
}

static void answer_accepted(http_exchange *exchange, const event_batch *events)
{
    exchange->status = 202;
    leat__buffer_format(exchange->out, "{\"accepted\":%zu,\"rejected\":%zu", events->count,
                        events->rejected_count);
    append_untimely(exchange->out, events);
    if (events->rejected_count > 0) {
        leat__buffer_text(exchange->out, ",");
        append_rejected(exchange->out, events);
    }
    leat__buffer_text(exchange->out, "}\n");
}

static void answer_none_valid(http_exchange *exchange, const event_batch *events)
{
    const event_fault *first = &events->rejected[0].fault;
    if (events->rejected_count == 1)
        http_problem_begin(exchange, 400, "invalid-event", "%s", first->reason);
    else
        http_problem_begin(exchange, 400, "invalid-event",
                           "none of the %zu events is valid; the first: %s", events->rejected_count,
                           first->reason);
    leat__buffer_format(exchange->out, ",\"accepted\":0,\"rejected\":%zu,", events->rejected_count);
    append_rejected(exchange->out, events);
    http_problem_end(exchange);
}

static void answer_unreadable(http_exchange *exchange, leat_status status, const leat_error *error)
{
    if (status == LEAT_ETOOBIG)
        http_problem(exchange, 413, "too-many-events", "%s", error->message);
    else
        http_problem(exchange, 400, "malformed-body", "%s; nothing was taken", error->message);
}

static void on_appended(append_batch *batch)
{
    pending_events *pending = batch->user;
    http_resume(pending->exchange);
}

typedef struct asking {
    api *self;
    int64_t now_ms;
} asking;

static bool is_late(void *arg, const interaction *event)
{
    const asking *ask = arg;
    return recommender_job_is_late(ask->self->job, event, ask->now_ms);
}

static leat_status read_events(api *self, http_exchange *exchange, event_batch *events,
                               leat_error *error)
{
    const api_worker *worker = exchange->worker;
    const recommender_settings *settings = &self->job->settings;
    const leat_env *env = leat__env_system();
    asking ask = {self, env->now_ms(env->arg)};
    const event_batch_opts opts = {.topic = settings->topics.interactions,
                                   .accepted_ms = ask.now_ms,
                                   .max_ahead_ms = settings->max_ahead_ms,
                                   .clamp_ahead = settings->clamp_ahead,
                                   .is_late = is_late,
                                   .arg = &ask};
    return event_batch_read(events, exchange->arena, worker->json, exchange->body, &opts, error);
}

void api_post_events(http_exchange *exchange, void *arg)
{
    api *self = arg;
    leat_error error;
    if (!type_is_readable(exchange->content_type)) {
        http_problem(exchange, 415, "unsupported-media-type",
                     "send application/json or application/x-ndjson");
        return;
    }
    if (atomic_load_explicit(&self->phase, memory_order_acquire) == API_STOPPING) {
        http_problem(exchange, 503, "stopping", "the server is stopping; nothing was taken");
        return;
    }
    pending_events *pending = leat__arena_alloc(exchange->arena, sizeof *pending);
    leat_status status = read_events(self, exchange, &pending->events, &error);
    if (status != LEAT_OK) {
        answer_unreadable(exchange, status, &error);
        return;
    }
    event_batch *events = &pending->events;
    count(&self->events_rejected, events->rejected_count);
    count(&self->events_ahead, events->ahead_count);
    if (events->count == 0) {
        if (events->rejected_count > 0)
            answer_none_valid(exchange, events);
        else
            answer_accepted(exchange, events);
        return;
    }
    pending->exchange = exchange;
    pending->append = (append_batch){
        .records = events->records,
        .count = events->count,
        .bytes = events->bytes,
        .done = on_appended,
        .user = pending,
    };
    exchange->user = pending;
    http_suspend(exchange); /* before the appender can resume it */
    if (appender_submit(self->appender, &pending->append))
        return;
    pending->append.status = LEAT_EAGAIN;
    http_resume(exchange);
}

void api_events_appended(http_exchange *exchange, void *arg)
{
    api *self = arg;
    const pending_events *pending = exchange->user;
    const append_batch *append = &pending->append;
    if (append->status == LEAT_OK) {
        count(&self->events_accepted, append->count);
        answer_accepted(exchange, &pending->events);
        return;
    }
    count(&self->events_refused, append->count);
    if (append->status == LEAT_EAGAIN) {
        http_problem(exchange, 503, "overloaded",
                     "too many events wait for the disk; nothing was taken");
    } else if (append->status == LEAT_ENOSPC) {
        http_problem(exchange, 507, "no-space", "no space left on the device; nothing was taken");
    } else {
        http_problem(exchange, 500, "not-stored", "the events could not be stored: %s",
                     append->error.message);
    }
    if (append->status != LEAT_EAGAIN && self->on_fatal != NULL &&
        append->error.recovery == LEAT_RECOVERY_FATAL)
        self->on_fatal(self->on_fatal_arg, &append->error);
}
