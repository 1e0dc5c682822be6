/* time/watermark.h - watermarks of one source partition (W1-W4).
 *
 *   record ─► generator ─► "no further element with timestamp <= t" ─► valve of the stages behind
 *                │
 *   clock ─► silent for idle_ms? ─► "do not wait for me"
 *
 * A watermark never goes back, whatever a custom generator says.  Nothing here reads a clock: the
 * caller says what time it is, so a replay gives the same.  One thread. */
#ifndef LEAT_TIME_WATERMARK_H
#define LEAT_TIME_WATERMARK_H
#include "leat/base.h"

typedef struct leat__watermark leat__watermark;

/* How watermarks come from records (W2). on_record sees each record; promise says what may be
 * promised now, LEAT_TIME_MIN for nothing yet. */
typedef struct leat__watermark_class {
    const char *kind;
    void (*on_record)(leat__watermark *watermark, int64_t timestamp_ms, const void *record);
    int64_t (*promise)(const leat__watermark *watermark);
} leat__watermark_class;

extern const leat__watermark_class leat__watermark_bounded;   /* max - out_of_order_ms - 1 (W1) */
extern const leat__watermark_class leat__watermark_monotonic; /* bounded by 0 */
/* What `punctuate` makes of a record; LEAT_TIME_MIN: this record says nothing. */
extern const leat__watermark_class leat__watermark_punctuated;

typedef int64_t (*leat__punctuate_fn)(void *arg, int64_t timestamp_ms, const void *record);

typedef struct leat__watermark_opts {
    const leat__watermark_class *class; /* NULL: bounded; or one's own (custom) */
    int64_t out_of_order_ms;            /* bounded */
    leat__punctuate_fn punctuate;       /* punctuated */
    void *arg;                          /* punctuated, custom */
} leat__watermark_opts;

struct leat__watermark {
    leat__watermark_opts opts;
    int64_t highest_ms;  /* bounded: timestamp; punctuated: watermark; custom: free to use */
    int64_t promised_ms; /* the last that was given out */
};

void leat__watermark_init(leat__watermark *watermark, const leat__watermark_opts *opts);
/* The watermark now, >= every one before. */
int64_t leat__watermark_now(leat__watermark *watermark);
/* The input has ended (W5): from now on LEAT_TIME_MAX. */
void leat__watermark_end(leat__watermark *watermark);

static inline void leat__watermark_record(leat__watermark *watermark, int64_t timestamp_ms,
                                          const void *record)
{
    if (watermark->opts.class != &leat__watermark_bounded) {
        watermark->opts.class->on_record(watermark, timestamp_ms, record);
    } else if (timestamp_ms > watermark->highest_ms) { /* the common case, without a call */
        watermark->highest_ms = timestamp_ms;
    }
}

/* ------------------------------------------------------------------ one partition
 * A watermark is given out per batch and, so that it moves in slow streams too, at least this
 * often. */
enum { LEAT__WATERMARK_INTERVAL_MS = 200 }; /* W2 */

typedef struct leat__partition_time {
    leat__watermark watermark;
    int64_t idle_ms;        /* W4; 0: never idle */
    int64_t last_record_ms; /* clock */
    int64_t last_signal_ms; /* clock */
    int64_t told_ms;        /* watermark, as it was last told */
    bool idle;              /* likewise */
} leat__partition_time;

typedef struct leat__time_signal { /* what the stages behind are told */
    int64_t watermark_ms;
    bool idle;
} leat__time_signal;

void leat__partition_time_init(leat__partition_time *time, const leat__watermark_opts *opts,
                               int64_t idle_ms, int64_t clock_ms);
static inline void leat__partition_time_record(leat__partition_time *time, int64_t clock_ms,
                                               int64_t timestamp_ms, const void *record)
{
    time->last_record_ms = clock_ms;
    leat__watermark_record(&time->watermark, timestamp_ms, record);
}
/* Fills *signal with how things stand; true if that is news or the interval has passed. */
bool leat__partition_time_signal(leat__partition_time *time, int64_t clock_ms,
                                 leat__time_signal *signal);
#endif
