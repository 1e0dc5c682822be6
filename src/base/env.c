#include "base/env.h"
#include "base/random.h"
#include <sys/random.h>
#include <time.h>

static int64_t system_now_ms(void *arg)
{
    (void)arg;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_monotonic_us(void *arg)
{
    (void)arg;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Not for secrets: a generator per thread, seeded by the kernel once. */
static uint64_t system_random_u64(void *arg)
{
    (void)arg;
    static _Thread_local leat__random generator;
    static _Thread_local bool seeded;
    if (!seeded) {
        uint64_t seed = 0;
        if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
            seed = (uint64_t)system_monotonic_us(NULL) ^ (uint64_t)(uintptr_t)&generator;
        generator.state = seed;
        seeded = true;
    }
    return leat__random_next(&generator);
}

const leat_env *leat__env_system(void)
{
    static const leat_env env = {
        .now_ms = system_now_ms,
        .monotonic_us = system_monotonic_us,
        .random_u64 = system_random_u64,
    };
    return &env;
}
