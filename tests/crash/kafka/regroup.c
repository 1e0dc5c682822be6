/* regroup - counts events by something else than their key: what crosses an exchange.
 *
 *     user_events ─► group of the event ═══ regroup-count-repartition ═══► count of the group ─►
 * regrouped by user                            by group, one epoch later       1, 2, 3 ...
 *
 * Each output names the event that made it, so that the judge can tell an event that was lost in
 * the exchange from one that is still in it. Group N has the events whose number is N modulo 37.
 */
#include "../../../examples/options.h"

enum { GROUP_COUNT = 37 };

struct event {
    leat_str product_id; /* "p" and the number that the loader gave the event */
    int64_t timestamp_ms;
};
LEAT_RECORD(event, product_id, timestamp_ms);

struct grouped {
    leat_str user_id, product_id; /* user_id: the group, as the judge looks for a key there */
    int64_t timestamp_ms;
};
LEAT_RECORD(grouped, user_id, product_id, timestamp_ms);

struct counted {
    leat_str user_id, product_id;
    int64_t timestamp_ms;
    uint64_t event_count;
};
LEAT_RECORD(counted, user_id, product_id, timestamp_ms, event_count);

static leat_status find_group(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    char *digits = leat_alloc(ctx, event->product_id.length + 1);
    memcpy(digits, event->product_id.data, event->product_id.length);
    digits[event->product_id.length] = '\0';
    char *name = leat_alloc(ctx, 8);
    int length = snprintf(name, 8, "g%d", (int)(strtoull(digits + 1, NULL, 10) % GROUP_COUNT));
    leat_emit(ctx, &(struct grouped){.user_id = {name, (size_t)length},
                                     .product_id = event->product_id,
                                     .timestamp_ms = event->timestamp_ms});
    return LEAT_OK;
}

struct total {
    uint64_t event_count;
};
LEAT_RECORD(total, event_count);

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    const struct grouped *event = record;
    struct total *total = leat_mut(ctx, 0);
    total->event_count++;
    leat_emit(ctx, &(struct counted){.user_id = event->user_id,
                                     .product_id = event->product_id,
                                     .timestamp_ms = event->timestamp_ms,
                                     .event_count = total->event_count});
    return LEAT_OK;
}

static const leat_process_op count_op = {.in = &grouped_type,
                                         .out = &counted_type,
                                         .state = {{.name = "total", .type = &total_type}},
                                         .on_record = count_event};

int main(int argc, char **argv)
{
    const options opts = options_parse(
        argc, argv, "counts events by group",
        (options){.input = "user_events", .output = "regrouped", .exchange = LEAT_EXCHANGE_LOG});
    leat_job *job = options_job(&opts, "regroup");
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = opts.input,
                                                          .time_field = "timestamp_ms",
                                                          .until_end = opts.until_end});
    leat_stream grouped = leat_flat_map(events, "group", &grouped_type, find_group, NULL);
    leat_stream counts = leat_process(leat_key_by(grouped, "user_id"), "count", &count_op, NULL);
    leat_to_log(counts, "out", &(leat_log_sink){.topic = opts.output, .key = "user_id"});
    return options_run(&opts, job);
}
