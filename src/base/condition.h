/* base/condition.h - conditions whose waits end by the monotonic clock, which nobody sets. */
#ifndef LEAT_BASE_CONDITION_H
#define LEAT_BASE_CONDITION_H
#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline void leat__condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* The time in so many milliseconds, for pthread_cond_timedwait. */
static inline struct timespec leat__condition_until(int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}
#endif
