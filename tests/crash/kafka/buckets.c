/* buckets - counts per stretch of event time, twice: by a window, and by timers over a map.
 *
 *     user_events ─┬─► by user ─► windows of 200 ms ──────────────────────────────┬─► bucketed
 *        by user   └─► group of the event ═══ repartition ═══► map of counts, ────┘
 *                                                              a timer for the oldest
 *
 * A count is published once, when the watermark has passed its stretch: that of its partition for a
 * user, behind the exchange the least of all partitions. Group N has the events whose number is N
 * modulo 37. No event is late: each partition holds its events in the order of their times.
 */
#include "../../../examples/options.h"

enum { SIZE_MS = 200, GROUP_COUNT = 37 };

struct event {
    leat_str user_id, product_id;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, product_id, timestamp_ms);

struct bucket {
    leat_str user_id; /* or the group: the judge looks for a key there */
    int64_t start_ms;
    uint64_t event_count;
};
LEAT_RECORD(bucket, user_id, start_ms, event_count);

/* ---------------------------------------------------------------- by window */

static void add_event(void *acc, const void *record)
{
    struct bucket *bucket = acc;
    bucket->user_id = ((const struct event *)record)->user_id;
    bucket->event_count++;
}

static void name_window(const void *acc, const leat_span *window, void *out)
{
    struct bucket *bucket = out;
    *bucket = *(const struct bucket *)acc;
    bucket->start_ms = window->start_ms;
}

static const leat_aggregate_op window_op = {.in = &event_type,
                                            .acc = &bucket_type,
                                            .out = &bucket_type,
                                            .add = add_event,
                                            .result = name_window};

/* ---------------------------------------------------------------- by timer */

struct grouped {
    leat_str user_id;
    int64_t timestamp_ms;
};
LEAT_RECORD(grouped, user_id, timestamp_ms);

static leat_status find_group(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    char *digits = leat_alloc(ctx, event->product_id.length + 1);
    memcpy(digits, event->product_id.data, event->product_id.length);
    digits[event->product_id.length] = '\0';
    char *name = leat_alloc(ctx, 8);
    int length = snprintf(name, 8, "g%d", (int)(strtoull(digits + 1, NULL, 10) % GROUP_COUNT));
    leat_emit(ctx, &(struct grouped){.user_id = {name, (size_t)length},
                                     .timestamp_ms = event->timestamp_ms});
    return LEAT_OK;
}

struct count {
    uint64_t event_count;
};
LEAT_RECORD(count, event_count);
enum { STATE_COUNTS, TIMER_OLDEST = 0 };

typedef struct look { /* at all counts of a group */
    int64_t passed_ms;
    leat_ctx *ctx;
    int64_t oldest_ms; /* start of the oldest bucket that has not ended by passed_ms */
    int64_t ended[64]; /* starts of those that have */
    size_t ended_count;
} look;

static bool look_at(void *arg, const void *key, const void *value)
{
    look *all = arg;
    int64_t start_ms = *(const int64_t *)key;
    (void)value;
    if (start_ms + SIZE_MS - 1 > all->passed_ms)
        all->oldest_ms = start_ms < all->oldest_ms ? start_ms : all->oldest_ms;
    else if (all->ended_count < sizeof all->ended / sizeof *all->ended)
        all->ended[all->ended_count++] = start_ms;
    else /* the timer comes again at once for it */
        all->oldest_ms = start_ms < all->oldest_ms ? start_ms : all->oldest_ms;
    return true;
}

static look look_at_all(leat_ctx *ctx, int64_t passed_ms)
{
    look all = {.passed_ms = passed_ms, .ctx = ctx, .oldest_ms = INT64_MAX};
    leat_map_each(ctx, STATE_COUNTS, look_at, &all);
    return all;
}

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    const struct grouped *event = record;
    int64_t start_ms = event->timestamp_ms - event->timestamp_ms % SIZE_MS;
    struct count *count = leat_map_mut(ctx, STATE_COUNTS, &start_ms);
    if (count->event_count++ == 0) {
        look all = look_at_all(ctx, INT64_MIN);
        leat_timer_set(ctx, TIMER_OLDEST, all.oldest_ms + SIZE_MS - 1);
    }
    return LEAT_OK;
}

static leat_status publish_ended(leat_ctx *ctx, int timer)
{
    (void)timer; /* there is only one */
    look all = look_at_all(ctx, leat_now(ctx));
    for (size_t i = 0; i < all.ended_count; i++) {
        const struct count *count = leat_map_get(ctx, STATE_COUNTS, &all.ended[i]);
        leat_emit(ctx, &(struct bucket){.user_id = leat_key(ctx),
                                        .start_ms = all.ended[i],
                                        .event_count = count->event_count});
        leat_map_del(ctx, STATE_COUNTS, &all.ended[i]);
    }
    if (all.oldest_ms != INT64_MAX)
        leat_timer_set(ctx, TIMER_OLDEST, all.oldest_ms + SIZE_MS - 1);
    return LEAT_OK;
}

static const leat_process_op timer_op = {.in = &grouped_type,
                                         .out = &bucket_type,
                                         .state = {[STATE_COUNTS] = {.name = "counts",
                                                                     .kind = LEAT_STATE_MAP,
                                                                     .type = &count_type,
                                                                     .map_key = &leat_type_i64}},
                                         .timer = {[TIMER_OLDEST] = "oldest"},
                                         .on_record = count_event,
                                         .on_timer = publish_ended};

/* ---------------------------------------------------------------- the job */

int main(int argc, char **argv)
{
    const options opts = options_parse(
        argc, argv, "counts events per stretch of event time",
        (options){.input = "user_events", .output = "bucketed", .partitioned_by = "user_id"});
    leat_job *job = options_job(&opts, "buckets");
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = opts.input,
                                                          .partitioned_by = opts.partitioned_by,
                                                          .time_field = "timestamp_ms",
                                                          .until_end = opts.until_end});
    leat_stream windows = leat_window_aggregate(leat_key_by(events, "user_id"), "windows",
                                                &(leat_window){.size_ms = SIZE_MS}, &window_op);
    leat_to_log(windows, "of-users", &(leat_log_sink){.topic = opts.output, .key = "user_id"});
    leat_stream grouped = leat_flat_map(events, "group", &grouped_type, find_group, NULL);
    leat_stream timed = leat_process(leat_key_by(grouped, "user_id"), "timed", &timer_op, NULL);
    leat_to_log(timed, "of-groups", &(leat_log_sink){.topic = opts.output, .key = "user_id"});
    return options_run(&opts, job);
}
