/* time/watermark.c - watermark generators and the idleness of a partition. */
#include "time/watermark.h"
#include "time/saturate.h"

static void keep_highest(leat__watermark *watermark, int64_t timestamp_ms)
{
    if (timestamp_ms > watermark->highest_ms)
        watermark->highest_ms = timestamp_ms;
}

static void bounded_record(leat__watermark *watermark, int64_t timestamp_ms, const void *record)
{
    (void)record;
    keep_highest(watermark, timestamp_ms);
}

/* W1: with delay b another element of timestamp max - b may still come, so the promise ends before
 * it. */
static int64_t bounded_promise(const leat__watermark *watermark)
{
    if (watermark->highest_ms == LEAT_TIME_MIN)
        return LEAT_TIME_MIN;
    return leat__time_sub(leat__time_sub(watermark->highest_ms, watermark->opts.out_of_order_ms),
                          1);
}

const leat__watermark_class leat__watermark_bounded = {"bounded", bounded_record, bounded_promise};

static int64_t monotonic_promise(const leat__watermark *watermark)
{
    return leat__time_sub(watermark->highest_ms, 1);
}

const leat__watermark_class leat__watermark_monotonic = {"monotonic", bounded_record,
                                                         monotonic_promise};

static void punctuated_record(leat__watermark *watermark, int64_t timestamp_ms, const void *record)
{
    const leat__watermark_opts *opts = &watermark->opts;
    keep_highest(watermark, opts->punctuate(opts->arg, timestamp_ms, record));
}

static int64_t punctuated_promise(const leat__watermark *watermark)
{
    return watermark->highest_ms;
}

const leat__watermark_class leat__watermark_punctuated = {"punctuated", punctuated_record,
                                                          punctuated_promise};

void leat__watermark_init(leat__watermark *watermark, const leat__watermark_opts *opts)
{
    *watermark =
        (leat__watermark){.opts = *opts, .highest_ms = LEAT_TIME_MIN, .promised_ms = LEAT_TIME_MIN};
    if (opts->class == NULL)
        watermark->opts.class = &leat__watermark_bounded;
}

int64_t leat__watermark_now(leat__watermark *watermark)
{
    int64_t promise_ms = watermark->opts.class->promise(watermark);
    if (promise_ms > watermark->promised_ms)
        watermark->promised_ms = promise_ms; /* W3 */
    return watermark->promised_ms;
}

void leat__watermark_end(leat__watermark *watermark)
{
    watermark->promised_ms = LEAT_TIME_MAX; /* W5 */
}

void leat__partition_time_init(leat__partition_time *time, const leat__watermark_opts *opts,
                               int64_t idle_ms, int64_t clock_ms)
{
    *time = (leat__partition_time){.idle_ms = idle_ms,
                                   .last_record_ms = clock_ms,
                                   .last_signal_ms = clock_ms,
                                   .told_ms = LEAT_TIME_MIN};
    leat__watermark_init(&time->watermark, opts);
}

bool leat__partition_time_signal(leat__partition_time *time, int64_t clock_ms,
                                 leat__time_signal *signal)
{
    int64_t watermark_ms = leat__watermark_now(&time->watermark);
    bool silent = leat__time_sub(clock_ms, time->last_record_ms) >= time->idle_ms;
    bool idle = time->idle_ms != 0 && silent && watermark_ms != LEAT_TIME_MAX; /* W4 */
    bool news = watermark_ms != time->told_ms || idle != time->idle;
    bool due = leat__time_sub(clock_ms, time->last_signal_ms) >= LEAT__WATERMARK_INTERVAL_MS;
    *signal = (leat__time_signal){watermark_ms, idle};
    if (!news && !due)
        return false;
    time->told_ms = watermark_ms;
    time->idle = idle;
    time->last_signal_ms = clock_ms;
    return true;
}
