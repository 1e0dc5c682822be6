/* base/env.h - the outside world as a table of functions, so that the simulator can replace it.
 * Operators never see it (R21): they see event time and the epoch's clock. */
#ifndef LEAT_BASE_ENV_H
#define LEAT_BASE_ENV_H
#include "leat/base.h"

typedef struct leat_env {
    void *arg;
    int64_t (*now_ms)(void *arg);       /* wall clock, ms since 1970 */
    int64_t (*monotonic_us)(void *arg); /* never goes back */
    uint64_t (*random_u64)(void *arg);
} leat_env;

const leat_env *leat__env_system(void); /* the real one; static, thread-safe */
#endif
