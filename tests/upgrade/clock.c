/* clock - loaded before a program (LD_PRELOAD): its wall clock is LEAT_TEST_CLOCK_SHIFT_MS off.
 *
 * Stored bytes grow old: what is in flight is kept for 7 days (repartition topics), a state
 * directory is believed for half of the retention of deletes (R13).  The programs that open them
 * are made to believe that it is a minute after the stop.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define SHOWN __attribute__((visibility("default")))

static int64_t shift_s(void)
{
    static int64_t shift;
    static int known;
    if (!known) {
        const char *text = getenv("LEAT_TEST_CLOCK_SHIFT_S");
        shift = text == NULL ? 0 : strtoll(text, NULL, 10);
        known = 1;
    }
    return shift;
}

SHOWN int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift_s();
    return result;
}

SHOWN int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec time = {0, 0};
    int result = clock_gettime(CLOCK_REALTIME, &time);
    *now = (struct timeval){.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000};
    return result;
}

SHOWN time_t time(time_t *result)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL)
        *result = now.tv_sec;
    return now.tv_sec;
}
