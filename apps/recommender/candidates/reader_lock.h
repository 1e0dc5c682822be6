/* candidates/reader_lock.h - a big-reader lock: many threads look, one changes.
 *
 *     writing │ reader 0 │ reader 1 │ ...        one cache line each
 *     reader: its own line += 1; look at `writing`; nobody there ─► go on
 *     writer: writing = 1; wait until every reader's line is 0 ─► change ─► writing = 0
 *
 * A reader touches only its own cache line, so readers never slow each other down; a writer pays
 * for that by looking at all of them.  Readers wait only while a writer is inside; a waiting writer
 * keeps new readers out, so it can't starve.  Not recursive: who reads must not read again.
 * Any thread may read or write; writers exclude each other too. */
#ifndef RECOMMENDER_READER_LOCK_H
#define RECOMMENDER_READER_LOCK_H
#include <stdatomic.h>
#include <stdint.h>

enum {
    READER_LOCK_LINE_BYTES = 64,
    READER_LOCK_SLOTS = 64, /* more threads than that share lines: slower, still right */
};

/* A line apart from its neighbours wherever the lock lies, so no alignment is asked for. */
typedef struct reader_slot {
    _Atomic uint32_t readers;
    char padding[READER_LOCK_LINE_BYTES - sizeof(uint32_t)];
} reader_slot;

typedef struct reader_lock {
    _Atomic uint32_t next_slot;
    char padding_before[READER_LOCK_LINE_BYTES - sizeof(uint32_t)];
    _Atomic uint32_t writing;
    char padding_behind[READER_LOCK_LINE_BYTES - sizeof(uint32_t)];
    reader_slot slots[READER_LOCK_SLOTS];
} reader_lock; /* {0} is a valid free lock */

/* The slot a thread (or a workspace that one thread owns) passes to the calls below. */
uint32_t reader_lock_slot(reader_lock *lock);
void reader_lock_wait(reader_lock *lock, uint32_t slot); /* the slow path of read_begin */
void reader_lock_write_begin(reader_lock *lock);
void reader_lock_write_end(reader_lock *lock);

static inline void reader_lock_read_begin(reader_lock *lock, uint32_t slot)
{
    atomic_fetch_add_explicit(&lock->slots[slot].readers, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&lock->writing, memory_order_seq_cst) != 0)
        reader_lock_wait(lock, slot);
}

static inline void reader_lock_read_end(reader_lock *lock, uint32_t slot)
{
    atomic_fetch_sub_explicit(&lock->slots[slot].readers, 1, memory_order_release);
}
#endif
