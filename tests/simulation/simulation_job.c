/* simulation_job.c - a job with a bit of everything.
 *
 *   events ─┬─ by user (no exchange) ─ ledger ─┬─► tallies         each accepted event, 1, 2, 3 ...
 *           │                                  ├─ again ─► repeats        ids that came before
 *           │                                  ├─ flushed ─┐
 *           │                                  └─ ticked ──┴ union ─► flows   timers of both times
 *           └─ by page ══HASH══╦─ per-page ─► pages
 *                              ╚─ windows ─┬─► windows
 *                                          └─ late ─► late
 *   what fails at any place ─► dead-letters
 */
#include "simulation/simulation.h"
#include <string.h>

struct event {
    uint64_t id;
    leat_str user, page;
    int64_t ts_ms;
    uint64_t amount;
};
LEAT_RECORD(event, id, user, page, ts_ms, amount);
struct tally {
    leat_str user;
    uint64_t count, id;
};
LEAT_RECORD(tally, user, count, id);
struct flow {
    leat_str user;
    uint64_t flushed, ticked;
};
LEAT_RECORD(flow, user, flushed, ticked);
struct page_count {
    leat_str page;
    uint64_t count;
    int64_t start_ms;
};
LEAT_RECORD(page_count, page, count, start_ms);

/* ------------------------------------------------------------------ by user */

enum { TALLY, SEEN, PENDING };
enum { FLUSH, TICK };
enum { REPEATS, FLUSHED, TICKED };

static leat_status on_event(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    uint64_t *seen = leat_map_mut(ctx, SEEN, &event->id);
    if ((*seen)++ != 0) {
        leat_emit_to(ctx, REPEATS, event);
        return LEAT_OK;
    }
    struct tally *tally = leat_mut(ctx, TALLY);
    tally->user = event->user;
    tally->count++;
    tally->id = event->id;
    leat_emit(ctx, tally);
    struct flow *pending = leat_mut(ctx, PENDING);
    pending->user = event->user;
    pending->flushed += event->amount;
    pending->ticked += event->amount;
    leat_timer_set(ctx, FLUSH, event->ts_ms + 400);
    leat_timer_set_clock(ctx, TICK, leat_clock(ctx) + 7);
    if (event->amount == SIM_POISON) /* last: all of the above has to be undone (S3) */
        return leat_fail(ctx, LEAT_EDATA, "poison %llu", (unsigned long long)event->id);
    return LEAT_OK;
}

static leat_status on_timer(leat_ctx *ctx, int timer)
{
    struct flow *pending = leat_mut(ctx, PENDING);
    struct flow out = {.user = pending->user};
    if (timer == FLUSH) {
        out.flushed = pending->flushed;
        pending->flushed = 0;
        leat_emit_to(ctx, FLUSHED, &out);
    } else {
        out.ticked = pending->ticked;
        pending->ticked = 0;
        leat_emit_to(ctx, TICKED, &out);
    }
    return LEAT_OK;
}

static const leat_process_op ledger = {
    .in = &event_type,
    .out = &tally_type,
    .state = {[TALLY] = {.name = "tally", .type = &tally_type},
              [SEEN] = {.name = "seen",
                        .kind = LEAT_STATE_MAP,
                        .type = &leat_type_u64,
                        .map_key = &leat_type_u64},
              [PENDING] = {.name = "pending", .type = &flow_type}},
    .timer = {[FLUSH] = "flush", [TICK] = "tick"},
    .side = {[REPEATS] = {"again", &event_type},
             [FLUSHED] = {"flushed", &flow_type},
             [TICKED] = {"ticked", &flow_type}},
    .on_record = on_event,
    .on_timer = on_timer,
    .on_error = LEAT_ON_ERROR_DEAD_LETTER,
};

static void tally_is_committed(void *arg, const leat_log_record *record)
{
    sim_input *input = arg;
    char text[200];
    (void)snprintf(text, sizeof(text), "%.*s", (int)record->value.length, record->value.data);
    const char *id = strstr(text, "\"id\":");
    unsigned long long number;
    if (id != NULL && sscanf(id, "\"id\":%llu", &number) == 1 && number < SIM_EVENTS_MAX)
        input->delivered[number]++;
}

/* ------------------------------------------------------------------ by page */

static leat_status count_page(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    struct page_count *count = leat_mut(ctx, 0);
    count->page = event->page;
    count->count++;
    leat_emit(ctx, count);
    if (event->amount == SIM_PAGE_POISON)
        return leat_fail(ctx, LEAT_EDATA, "page poison %llu", (unsigned long long)event->id);
    return LEAT_OK;
}

static const leat_process_op per_page = {
    .in = &event_type,
    .out = &page_count_type,
    .state = {{.name = "count", .type = &page_count_type}},
    .on_record = count_page,
    .on_error = LEAT_ON_ERROR_DEAD_LETTER,
};

static void add(void *acc, const void *record)
{
    struct page_count *count = acc;
    count->page = ((const struct event *)record)->page;
    count->count++;
}

static void result(const void *acc, const leat_span *window, void *out)
{
    struct page_count *count = out;
    *count = *(const struct page_count *)acc;
    count->start_ms = window->start_ms;
}

static const leat_aggregate_op counting = {.in = &event_type,
                                           .acc = &page_count_type,
                                           .out = &page_count_type,
                                           .add = add,
                                           .result = result};

static void by_page(leat_stream events)
{
    static const leat_window window = {.size_ms = SIM_WINDOW_MS, .lateness_ms = SIM_LATENESS_MS};
    leat_stream keyed = leat_key_by(events, "page");
    leat_stream pages = leat_process(keyed, "per-page", &per_page, NULL);
    leat_stream windows = leat_window_aggregate(keyed, "windows", &window, &counting);
    leat_to_log(pages, "to-pages", &(leat_log_sink){.topic = "pages"});
    leat_to_log(windows, "to-windows", &(leat_log_sink){.topic = "windows"});
    leat_to_log(leat_late(windows), "to-late", &(leat_log_sink){.topic = "late"});
}

leat_job *sim_job(leat_log *log, const sim_setting *setting, sim_input *input)
{
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "sim",
                         .log_handle = log,
                         .instance = setting->instance,
                         .state_dir = setting->state_dir,
                         .buffer_bytes = setting->buffer_bytes,
                         .exchange = setting->in_memory ? LEAT_EXCHANGE_MEMORY : LEAT_EXCHANGE_LOG,
                         .partition_count = 2});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "events",
                                                          .time_field = "ts_ms",
                                                          .out_of_order_ms = SIM_DELAY_MS,
                                                          .idle_ms = setting->idle_ms,
                                                          .partitioned_by = "user",
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "ledger", &ledger, NULL);
    leat_to_log(
        tallies, "to-tallies",
        &(leat_log_sink){.topic = "tallies", .on_committed = tally_is_committed, .arg = input});
    leat_to_log(leat_side(tallies, REPEATS), "to-repeats", &(leat_log_sink){.topic = "repeats"});
    leat_stream flows =
        leat_union(leat_side(tallies, FLUSHED), "flows", leat_side(tallies, TICKED));
    leat_to_log(flows, "to-flows", &(leat_log_sink){.topic = "flows"});
    if (setting->exchange)
        by_page(events);
    return job;
}
