/* engine/doorbell.h - one thread sleeps, others wake it; ringing costs one atomic while it is
 * awake. leat__doorbell_ring is async-signal-safe. */
#ifndef LEAT_ENGINE_DOORBELL_H
#define LEAT_ENGINE_DOORBELL_H
#include <stdatomic.h>
#include <stdint.h>

typedef struct leat__doorbell {
    _Atomic uint32_t rung; /* the futex: 1 when somebody rang since the last wait */
    _Atomic uint32_t sleeping;
} leat__doorbell;

void leat__doorbell_ring(leat__doorbell *bell);
/* Returns when rung (also since the last wait) or after the timeout; -1: no timeout. */
void leat__doorbell_wait(leat__doorbell *bell, int64_t timeout_us);
#endif
