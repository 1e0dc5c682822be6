/* window/window.h - which windows an element belongs to, and when they are over (N1-N5).
 *
 *   size 5, tumbling          size 4, slide 2            cumulating to 6, step 2
 *   |----|----|----|          |---|---|---|              |--|  |--|
 *   0    5    10   15           |---|---|---|            |----||----|
 *                               2   6   10               |-----|-----|
 *
 * An assigner is a const table of pure functions.  A window of a key is kept under its `id`, one
 * number: the start, or for cumulating windows, which share starts, the end.  All sums stop at the
 * ends of time (N5).
 *
 * What later kinds need is here already: `merging` (session, N3: the operator merges the windows of
 * a key that touch, and keeps their spans in its state, so span_of is NULL), `gap_of` through
 * `record`, and a global window as the one span [LEAT_TIME_MIN, LEAT_TIME_MAX) of id LEAT_TIME_MIN
 * (N4). */
#ifndef LEAT_WINDOW_WINDOW_H
#define LEAT_WINDOW_WINDOW_H
#include "leat/job.h"
#include "time/saturate.h"

typedef struct leat__assigner {
    const char *kind;
    bool merging;
    /* NULL if the window's options make sense, else a sentence what is wrong and what to do. */
    const char *(*check)(const leat_window *window);
    /* The first window of an element, then the next: latest start first (N2), or for cumulating
     * windows longest first. False: there is none (left). */
    bool (*first)(const leat_window *window, int64_t timestamp_ms, const void *record,
                  leat_span *span);
    bool (*next)(const leat_window *window, int64_t timestamp_ms, leat_span *span);
    int64_t (*id)(const leat_span *span);
    leat_span (*span_of)(const leat_window *window, int64_t id);
} leat__assigner;

/* NULL: this version has no windows of that kind. */
const leat__assigner *leat__assigner_of(leat_window_kind kind);
const char *leat__window_kind_name(leat_window_kind kind);

/* N1: the start of the window of that size that holds the timestamp. */
int64_t leat__window_start(int64_t timestamp_ms, int64_t offset_ms, int64_t size_ms);

/* The last timestamp inside: the time of the window's result. */
static inline int64_t leat__window_max_timestamp(const leat_span *span)
{
    return span->end_ms == LEAT_TIME_MAX ? LEAT_TIME_MAX : span->end_ms - 1;
}
/* When nothing about the window is needed any more (N6). */
static inline int64_t leat__window_clean_up(const leat_span *span, int64_t lateness_ms)
{
    return leat__time_add(leat__window_max_timestamp(span), lateness_ms);
}
/* N5 */
static inline bool leat__window_is_late(const leat_span *span, int64_t lateness_ms,
                                        int64_t watermark_ms)
{
    return leat__window_clean_up(span, lateness_ms) <= watermark_ms;
}
static inline bool leat__element_is_late(int64_t timestamp_ms, int64_t lateness_ms,
                                         int64_t watermark_ms)
{
    return leat__time_add(timestamp_ms, lateness_ms) <= watermark_ms;
}
#endif
