/* time/saturate.h - sums of timestamps and durations that stop at the ends of time (N5): a
 * window near LEAT_TIME_MAX must not wrap round and be cleaned up before it was open. */
#ifndef LEAT_TIME_SATURATE_H
#define LEAT_TIME_SATURATE_H
#include "leat/base.h"

static inline int64_t leat__time_add(int64_t timestamp_ms, int64_t duration_ms)
{
    int64_t sum_ms;
    if (!__builtin_add_overflow(timestamp_ms, duration_ms, &sum_ms))
        return sum_ms;
    return duration_ms > 0 ? LEAT_TIME_MAX : LEAT_TIME_MIN;
}

static inline int64_t leat__time_sub(int64_t timestamp_ms, int64_t duration_ms)
{
    int64_t difference_ms;
    if (!__builtin_sub_overflow(timestamp_ms, duration_ms, &difference_ms))
        return difference_ms;
    return duration_ms > 0 ? LEAT_TIME_MIN : LEAT_TIME_MAX;
}
#endif
