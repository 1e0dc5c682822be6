/* The waiting half of the big-reader lock: spin a little, then give the core away, since the one
 * that is waited for may have been preempted and may need it. */
#include "apps/recommender/candidates/reader_lock.h"

#include <sched.h>
#include <time.h>

enum { SPIN_ROUNDS = 64, YIELD_ROUNDS = 32, NAP_NS = 20000 };

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void back_off(uint32_t *round)
{
    uint32_t now = (*round)++;
    if (now < SPIN_ROUNDS) {
        relax();
    } else if (now < SPIN_ROUNDS + YIELD_ROUNDS) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

uint32_t reader_lock_slot(reader_lock *lock)
{
    return atomic_fetch_add_explicit(&lock->next_slot, 1, memory_order_relaxed) % READER_LOCK_SLOTS;
}

void reader_lock_wait(reader_lock *lock, uint32_t slot)
{
    _Atomic uint32_t *readers = &lock->slots[slot].readers;
    do {
        atomic_fetch_sub_explicit(readers, 1, memory_order_release);
        uint32_t round = 0;
        while (atomic_load_explicit(&lock->writing, memory_order_relaxed) != 0)
            back_off(&round);
        atomic_fetch_add_explicit(readers, 1, memory_order_seq_cst);
    } while (atomic_load_explicit(&lock->writing, memory_order_seq_cst) != 0);
}

void reader_lock_write_begin(reader_lock *lock)
{
    uint32_t round = 0;
    while (atomic_exchange_explicit(&lock->writing, 1, memory_order_seq_cst) != 0)
        back_off(&round);
    for (uint32_t slot = 0; slot < READER_LOCK_SLOTS; slot++) {
        round = 0;
        while (atomic_load_explicit(&lock->slots[slot].readers, memory_order_seq_cst) != 0)
            back_off(&round);
    }
}

void reader_lock_write_end(reader_lock *lock)
{
    atomic_store_explicit(&lock->writing, 0, memory_order_seq_cst);
}
