/* engine/doorbell.c - a futex with a memory of one ring. */
#include "engine/doorbell.h"
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void leat__doorbell_ring(leat__doorbell *bell)
{
    if (atomic_exchange(&bell->rung, 1) == 0 && atomic_load(&bell->sleeping) != 0)
        (void)syscall(SYS_futex, &bell->rung, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void leat__doorbell_wait(leat__doorbell *bell, int64_t timeout_us)
{
    atomic_store(&bell->sleeping, 1);
    if (atomic_load(&bell->rung) == 0 && timeout_us != 0) {
        struct timespec timeout = {.tv_sec = timeout_us / 1000000,
                                   .tv_nsec = (timeout_us % 1000000) * 1000};
        (void)syscall(SYS_futex, &bell->rung, FUTEX_WAIT_PRIVATE, 0,
                      timeout_us < 0 ? NULL : &timeout, NULL, 0);
    }
    atomic_store(&bell->sleeping, 0);
    (void)atomic_exchange(&bell->rung, 0); /* and see what was written before it was rung */
}
