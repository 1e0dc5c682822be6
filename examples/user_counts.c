/* user_counts - how many events each user has sent, exactly once.
 *
 *     user_events ─► key by user_id ─► count ─► user_recommendations
 *
 *     leat produce --log embedded:data user_events --key user_id < events.jsonl
 *     user_counts --log embedded:data --state-dir state --until-end
 *     leat consume --log embedded:data user_recommendations --until-end
 *
 * Killed at any moment and started again it goes on where it was: the counts of a user are 1, 2, 3
 * ... without a gap or a repeat. A line that is not an event goes to the topic dead-letters.
 */
#include "options.h"

struct event {
    leat_str user_id, product_id, category, event_type;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, LEAT_OPTIONAL(product_id), LEAT_OPTIONAL(category),
            LEAT_OPTIONAL(event_type), timestamp_ms);

struct user_count {
    leat_str user_id;
    int64_t event_count;
};
LEAT_RECORD(user_count, user_id, event_count);

static void count_event(void *acc, const void *record)
{
    struct user_count *count = acc;
    count->user_id = ((const struct event *)record)->user_id;
    count->event_count++;
}

static const leat_aggregate_op count_op = {
    .in = &event_type, .acc = &user_count_type, .add = count_event};

int main(int argc, char **argv)
{
    const options opts =
        options_parse(argc, argv, "counts the events of each user",
                      (options){.input = "user_events",
                                .output = "user_recommendations",
                                .partitioned_by = "user_id"}); /* produce --key user_id */
    leat_job *job = options_job(&opts, "user-counts");

    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = opts.input,
                                                          .partitioned_by = opts.partitioned_by,
                                                          .time_field = "timestamp_ms",
                                                          .out_of_order_ms = LEAT_MINUTES(5),
                                                          .until_end = opts.until_end,
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream counts = leat_aggregate(leat_key_by(events, "user_id"), "count", &count_op);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = opts.output, .key = "user_id"});

    return options_run(&opts, job);
}
