/* shop - a job with every kind of state and an exchange, whose stored bytes later versions open.
 *
 *   shop ─► key by user ═► visit: value, list, map, timer ─┬─► visits
 *                            side: users gone quiet ────────┼─► quiet
 *                                                           └─► key by item ═╦► item-count ─► items
 *                                                                            ╚► per-10s ─► windows
 *
 *     upgrade_shop LOG memory|log [STATE_DIR|-] [EPOCH_MS] [end]
 *
 * Only what 75d99c2 knew is used: make.py builds this file against the version whose bytes it
 * makes. With SHOP_CHANGED it is a later version of the job (S6): other keys, a filter and
 * operators with state before the old ones; what these have is theirs. SHOP_VISIT, SHOP_TALLY
 * and SHOP_QUIET are other names of an operator, a slot and a timer.
 */
#include <leat/leat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SHOP_VISIT
#define SHOP_VISIT "visit"
#endif
#ifndef SHOP_TALLY
#define SHOP_TALLY "tally"
#endif
#ifndef SHOP_QUIET
#define SHOP_QUIET "quiet"
#endif

struct event {
    int64_t ts_ms;
    leat_str user, item;
};
LEAT_RECORD(event, ts_ms, user, item);

struct visit { /* what was known of the user once this event was counted */
    leat_str user, item;
    int64_t number, of_item; /* events of the user; of the user with this item */
    int64_t kept;            /* in the list */
};
LEAT_RECORD(visit, user, item, number, of_item, kept);

struct quiet {
    leat_str user;
    int64_t events, items;
};
LEAT_RECORD(quiet, user, events, items);

struct tally {
    int64_t events;
};
LEAT_RECORD(tally, events);

struct item_count {
    leat_str item;
    int64_t n, start_ms;
};
LEAT_RECORD(item_count, item, n, start_ms);

enum { STATE_TALLY, STATE_RECENT, STATE_ITEMS };
enum { TIMER_QUIET };
enum { SIDE_QUIET };
enum { KEPT = 5 };

static leat_status on_event(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    struct tally *tally = leat_mut(ctx, STATE_TALLY);
    int64_t number = ++tally->events;
    leat_list_append(ctx, STATE_RECENT, event);
    leat_list_trim(ctx, STATE_RECENT, KEPT);
    const void *kept;
    int64_t kept_count = (int64_t)leat_list_all(ctx, STATE_RECENT, &kept);
    struct tally *of_item = leat_map_mut(ctx, STATE_ITEMS, &event->item);
    of_item->events++;
    leat_timer_set(ctx, TIMER_QUIET, leat_now(ctx) + LEAT_SECONDS(10));
    leat_emit(ctx, &(struct visit){event->user, event->item, number, of_item->events, kept_count});
    return LEAT_OK;
}

static bool count_entry(void *arg, const void *key, const void *value)
{
    (void)key;
    (void)value;
    ++*(int64_t *)arg;
    return true;
}

static leat_status on_quiet(leat_ctx *ctx, int timer)
{
    (void)timer;
    struct quiet quiet = {.user = leat_key(ctx)};
    const struct tally *tally = leat_get(ctx, STATE_TALLY);
    quiet.events = tally == NULL ? 0 : tally->events;
    leat_map_each(ctx, STATE_ITEMS, count_entry, &quiet.items);
    leat_emit_to(ctx, SIDE_QUIET, &quiet);
    return LEAT_OK;
}

static const leat_process_op visit_op = {
    .in = &event_type,
    .out = &visit_type,
    .state = {[STATE_TALLY] = {.name = SHOP_TALLY, .type = &tally_type},
              [STATE_RECENT] = {.name = "recent", .kind = LEAT_STATE_LIST, .type = &event_type},
              [STATE_ITEMS] = {.name = "items",
                               .kind = LEAT_STATE_MAP,
                               .map_key = &leat_type_str,
                               .type = &tally_type}},
    .timer = {[TIMER_QUIET] = SHOP_QUIET},
    .side = {[SIDE_QUIET] = {"quiet", &quiet_type}},
    .on_record = on_event,
    .on_timer = on_quiet};

static void add_visit(void *acc, const void *record)
{
    struct item_count *count = acc;
    count->item = ((const struct visit *)record)->item;
    count->n++;
}

static void name_window(const void *acc, const leat_span *window, void *out)
{
    *(struct item_count *)out = *(const struct item_count *)acc;
    ((struct item_count *)out)->start_ms = window->start_ms;
}

static const leat_aggregate_op count_op = {
    .in = &visit_type, .acc = &item_count_type, .add = add_visit};

static const leat_aggregate_op window_op = {.in = &visit_type,
                                            .acc = &item_count_type,
                                            .out = &item_count_type,
                                            .add = add_visit,
                                            .result = name_window};

#ifdef SHOP_CHANGED
static bool keep(const void *record, void *arg)
{
    (void)record;
    (void)arg;
    return true;
}

static leat_status pass(leat_ctx *ctx, const void *record)
{
    struct tally *tally = leat_mut(ctx, 0);
    tally->events++;
    leat_emit(ctx, record);
    return LEAT_OK;
}

static const leat_process_op event_pass = {.in = &event_type,
                                           .out = &event_type,
                                           .state = {{.name = "seen", .type = &tally_type}},
                                           .on_record = pass};
static const leat_process_op visit_pass = {.in = &visit_type,
                                           .out = &visit_type,
                                           .state = {{.name = "seen", .type = &tally_type}},
                                           .on_record = pass};

static void put_before(leat_stream keyed, const char *name, const leat_process_op *op)
{
    leat_to_log(leat_process(keyed, name, op, NULL),
                name[2] == 'i'   ? "i"
                : name[2] == 'u' ? "u"
                                 : "v",
                &(leat_log_sink){.topic = "passed"});
}
#endif

static void build(leat_job *job, bool until_end)
{
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "shop",
                                                          .time_field = "ts_ms",
                                                          .out_of_order_ms = LEAT_SECONDS(2),
                                                          .until_end = until_end});
#ifdef SHOP_CHANGED /* the key by item that comes first takes the made-up name of the other */
    put_before(leat_key_by(events, "item"), "a-item", &event_pass);
    events = leat_filter(events, "a-filter", keep, NULL);
#endif
    leat_stream by_user = leat_key_by(events, "user");
#ifdef SHOP_CHANGED
    put_before(by_user, "a-user", &event_pass);
#endif
    leat_stream visits = leat_process(by_user, SHOP_VISIT, &visit_op, NULL);
    leat_to_log(visits, "visits", &(leat_log_sink){.topic = "visits", .key = "user"});
    leat_to_log(leat_side(visits, SIDE_QUIET), "quiet",
                &(leat_log_sink){.topic = "quiet", .key = "user"});
    leat_stream by_item = leat_key_by(visits, "item");
#ifdef SHOP_CHANGED
    put_before(by_item, "a-visit", &visit_pass);
#endif
    leat_to_log(leat_aggregate(by_item, "item-count", &count_op), "items",
                &(leat_log_sink){.topic = "items", .key = "item"});
    leat_stream windows = leat_window_aggregate(
        by_item, "per-10s", &(leat_window){.size_ms = LEAT_SECONDS(10)}, &window_op);
    leat_to_log(windows, "windows", &(leat_log_sink){.topic = "windows", .key = "item"});
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s LOG memory|log [STATE_DIR|- [EPOCH_MS [end]]]\n", argv[0]);
        return leat_status_exit_code(LEAT_EINVAL);
    }
    leat_job_opts opts = {.name = "shop",
                          .log = argv[1],
                          .exchange = strcmp(argv[2], "log") == 0 ? LEAT_EXCHANGE_LOG
                                                                  : LEAT_EXCHANGE_MEMORY};
    if (argc > 3 && strcmp(argv[3], "-") != 0)
        opts.state_dir = argv[3];
    opts.epoch_ms = opts.backlog_epoch_ms = argc > 4 ? atoi(argv[4]) : 0;
    leat_job *job = leat_job_new(&opts);
    build(job, argc > 5 && strcmp(argv[5], "end") == 0);
    leat_error error = {.status = LEAT_OK};
    leat_job_stop_on_signals(job);
    if (leat_job_run(job, &error) != LEAT_OK)
        fprintf(stderr, "shop: %s: %s\n", error.where, error.message);
    leat_job_free(job);
    return leat_status_exit_code(error.status);
}
