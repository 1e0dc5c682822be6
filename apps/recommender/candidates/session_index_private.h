/* candidates/session_index_private.h - the index's memory, shared by its files alone.
 *
 *   names: item string ─► number j
 *   lists[j]  {block, start, count} ─► pool: [ . . e0 e1 e2 ... ]      oldest first, m at the most
 *   entry e   = coarse time (32 bits) << 32 | session block (32 bits)
 *   session block ─► pool: {last time, references, items..., id}
 *
 * Oldest first, so that the common insert, of the newest session, appends, and dropping the oldest
 * moves `start`.  The coarse time in the entry spares the merge a cache miss per entry: only two
 * different sessions within the same 64 ms have to be looked at. */
#ifndef RECOMMENDER_SESSION_INDEX_PRIVATE_H
#define RECOMMENDER_SESSION_INDEX_PRIVATE_H
#include "apps/recommender/candidates/block_pool.h"
#include "apps/recommender/candidates/interner.h"
#include "apps/recommender/candidates/reader_lock.h"
#include "apps/recommender/candidates/session_index.h"

typedef struct posting_list {
    uint32_t block, start, count, capacity; /* in entries */
} posting_list;

typedef struct session_block {
    int64_t last_time_ms;
    uint32_t references; /* lists it is in */
    uint16_t item_count, id_length;
    uint32_t items[]; /* distinct, newest click first; then the id's bytes */
} session_block;

typedef struct time_bucket {
    int64_t number; /* last_time_ms / BUCKET_MS */
    uint64_t sessions;
} time_bucket;

struct session_index {
    reader_lock lock;
    session_index_options options;
    interner names;
    block_pool pool;
    uint32_t item_capacity;
    posting_list *lists;    /* [item] */
    uint32_t *sessions_of;  /* [item] n_i */
    float *ln_sessions_of;  /* [item] ln n_i */
    uint32_t *last_seen_in; /* [item] writer's scratch: the add that met it last */
    uint32_t add_number;
    uint32_t *scratch_items; /* writer's scratch: distinct items of the session */
    uint32_t sweep_item;
    uint64_t sessions_counted, sessions_stored, sessions_left_out, list_entries;
    float ln_sessions; /* ln N */
    bool has_base;
    int64_t base_ms;   /* coarse time 0 */
    int64_t cutoff_ms; /* I4: sessions before it are as good as gone */
    time_bucket *buckets;
    uint32_t bucket_first, bucket_count, bucket_capacity;
    uint64_t bucket_sessions;
};

static inline session_block *session_at(const session_index *index, uint32_t block)
{
    return block_pool_at(&index->pool, block);
}
static inline uint64_t *entries_of(const session_index *index, const posting_list *list)
{
    return (uint64_t *)block_pool_at(&index->pool, list->block) + list->start;
}
static inline const char *session_id_of(const session_block *session)
{
    return (const char *)(session->items + session->item_count);
}

/* <0, 0, >0: a is older than, the same as, newer than b (I1). */
int session_order_exactly(const session_index *index, uint64_t a, uint64_t b);

static inline int session_order(const session_index *index, uint64_t a, uint64_t b)
{
    if (a == b)
        return 0;
    if ((a ^ b) >> 32 == 0)
        return session_order_exactly(index, a, b);
    return a < b ? -1 : 1;
}

/* How many of the list's oldest entries are before the cutoff. */
uint32_t session_expired_entries(const session_index *index, const posting_list *list);
#endif
