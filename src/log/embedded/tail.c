/* log/embedded/tail.c - the latest batches of a partition in memory, for readers that keep up.
 *
 *   leader ─► [last, length, value][last, length, value]....      32 KiB; full: begun anew
 *                      └─► a reader whose offset lies in one copies it, and asks RocksDB for
 * nothing
 *
 * Put in before the write, found only once the end is published. Only partitions that somebody
 * reads have a tail; all tails together have a bound, beyond which partitions go without.
 */
#include "base/mem.h"
#include "log/embedded/store.h"
#include <string.h>

enum { TAIL_BYTES = 32 << 10, ALL_TAILS_BYTES = 4 << 20 };

typedef struct entry {
    int64_t last;
    uint32_t length;
} entry;

void leat__tail_init(embedded_tail *tail)
{
    pthread_mutex_init(&tail->lock, NULL);
}

void leat__tail_free(embedded_tail *tail)
{
    pthread_mutex_destroy(&tail->lock);
    leat__free(tail->bytes);
}

static bool has_room(embedded_log *log, embedded_tail *tail)
{
    if (tail->bytes != NULL)
        return true;
    if (atomic_fetch_add(&log->tail_bytes, TAIL_BYTES) + TAIL_BYTES > ALL_TAILS_BYTES) {
        atomic_fetch_sub(&log->tail_bytes, TAIL_BYTES);
        return false;
    }
    tail->bytes = leat__alloc(TAIL_BYTES);
    return true;
}

void leat__tail_put(embedded_log *log, embedded_tail *tail, int64_t last, leat_str head,
                    leat_str records)
{
    entry added = {last, (uint32_t)(head.length + records.length)};
    size_t needed = sizeof added + head.length + records.length;
    if (needed > TAIL_BYTES || atomic_load(&tail->readers) == 0)
        return;
    pthread_mutex_lock(&tail->lock);
    if (has_room(log, tail)) {
        if (tail->length + needed > TAIL_BYTES)
            tail->length = 0;
        char *at = tail->bytes + tail->length;
        memcpy(at, &added, sizeof added);
        memcpy(at + sizeof added, head.data, head.length);
        memcpy(at + sizeof added + head.length, records.data, records.length);
        tail->length += needed;
    }
    pthread_mutex_unlock(&tail->lock);
}

size_t leat__tail_get(embedded_tail *tail, int64_t offset, int64_t end, char *out, size_t room,
                      int64_t *last)
{
    size_t copied = 0;
    pthread_mutex_lock(&tail->lock);
    for (size_t at = 0; at < tail->length;) {
        entry found;
        memcpy(&found, tail->bytes + at, sizeof found);
        const char *value = tail->bytes + at + sizeof found;
        at += sizeof found + found.length;
        if (found.last < offset)
            continue;
        leat__batch batch;
        bool usable = found.last < end && found.length <= room &&
                      leat__batch_open(&batch, (leat_str){value, found.length}, found.last) &&
                      batch.first <= offset;
        if (usable) {
            memcpy(out, value, found.length);
            *last = found.last;
            copied = found.length;
        }
        break;
    }
    pthread_mutex_unlock(&tail->lock);
    return copied;
}

void leat__tail_clear(embedded_tail *tail)
{
    pthread_mutex_lock(&tail->lock);
    tail->length = 0;
    pthread_mutex_unlock(&tail->lock);
}
