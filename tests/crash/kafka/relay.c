/* relay - hands events on as they are: a job that keeps no state.
 *
 *     user_events ─► all but what is no event ─► the same, as far as it knows them ─► relayed
 *
 * Nothing but the committed offsets says what it has done: no seal hides a record that is read
 * twice, none tells of one that is left out. The judge counts each number of the loader.
 */
#include "../../../examples/options.h"

struct event {
    leat_str user_id, product_id;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, product_id, timestamp_ms);

static bool has_number(const void *record, void *arg)
{
    (void)arg;
    return ((const struct event *)record)->product_id.length > 1;
}

static void hand_on(const void *in, void *out, void *arg)
{
    (void)arg;
    *(struct event *)out = *(const struct event *)in;
}

int main(int argc, char **argv)
{
    const options opts =
        options_parse(argc, argv, "hands events on",
                      (options){.input = "user_events",
                                .output = "relayed",
                                .partitioned_by = "user_id"}); /* as the loader does */
    leat_job *job = options_job(&opts, "relay");
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = opts.input,
                                                          .partitioned_by = opts.partitioned_by,
                                                          .time_field = "timestamp_ms",
                                                          .until_end = opts.until_end});
    leat_stream numbered = leat_filter(events, "numbered", has_number, NULL);
    leat_to_log(leat_map(numbered, "relayed", &event_type, hand_on, NULL), "out",
                &(leat_log_sink){.topic = opts.output, .key = "user_id"});
    return options_run(&opts, job);
}
