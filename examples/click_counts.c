/* click_counts - clicks per page and minute, in event time.
 *
 *     clicks ─► key by page ─► [00:00, 00:01) [00:01, 00:02) ... ─► click_counts
 *                                └ more than 30 s late ─► late_clicks
 *
 *     echo '{"ts_ms":1000,"user":"ann","page":"/"}' | leat produce --log embedded:data clicks
 *     click_counts --log embedded:data --until-end --drain
 *
 * A minute is counted once clicks from 2 s behind it have come; a click that is up to 30 s later
 * than that still counts, and the minute's count is sent again.
 */
#include "options.h"

struct click {
    int64_t ts_ms;
    leat_str user, page;
};
LEAT_RECORD(click, ts_ms, LEAT_OPTIONAL(user), page);

struct page_count {
    leat_str page;
    int64_t minute_ms, clicks; /* minute_ms: when it began */
};
LEAT_RECORD(page_count, page, minute_ms, clicks);

static void add_click(void *acc, const void *record)
{
    struct page_count *count = acc;
    count->page = ((const struct click *)record)->page;
    count->clicks++;
}

static void name_minute(const void *acc, const leat_span *window, void *out)
{
    struct page_count *result = out;
    *result = *(const struct page_count *)acc;
    result->minute_ms = window->start_ms;
}

static const leat_aggregate_op count_op = {.in = &click_type,
                                           .acc = &page_count_type,
                                           .out = &page_count_type,
                                           .add = add_click,
                                           .result = name_minute};

int main(int argc, char **argv)
{
    const options opts = options_parse(argc, argv, "counts clicks per page and minute",
                                       (options){.input = "clicks", .output = "click_counts"});
    leat_job *job = options_job(&opts, "click-counts");

    leat_stream clicks = leat_from_log(job, "clicks", &click_type,
                                       &(leat_log_source){.topic = opts.input,
                                                          .partitioned_by = opts.partitioned_by,
                                                          .time_field = "ts_ms",
                                                          .out_of_order_ms = LEAT_SECONDS(2),
                                                          .until_end = opts.until_end,
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream minutes = leat_window_aggregate(
        leat_key_by(clicks, "page"), "per-minute",
        &(leat_window){.size_ms = LEAT_MINUTES(1), .lateness_ms = LEAT_SECONDS(30)}, &count_op);
    leat_to_log(minutes, "counts", &(leat_log_sink){.topic = opts.output, .key = "page"});
    leat_to_log(leat_late(minutes), "late", &(leat_log_sink){.topic = "late_clicks"});

    return options_run(&opts, job);
}
