/* candidates/block_pool.h - blocks of memory addressed by 32 bits, for millions of small things.
 *
 *   handle ─► chunk (handle / 128 Ki) and unit of 8 bytes in it;  0 = none
 *   chunk 0 [x][block....][block..]   chunk 1 [.....]      1 MiB each, never moved
 *   free[size class] ─► block ─► block                      a freed block serves its class again
 *
 * Half the size of a pointer, no header per block, no move when it grows.  The owner remembers how
 * large a block is.  32 GiB at most.  One thread at a time. */
#ifndef RECOMMENDER_BLOCK_POOL_H
#define RECOMMENDER_BLOCK_POOL_H
#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK_UNIT_BYTES = 8,
    BLOCK_CHUNK_UNITS = 1 << 17,
    BLOCK_CLASSES = 96,
    BLOCK_SLACK_BYTES = 32, /* may be read, not written, behind any block */
    BLOCK_BYTES_MAX = BLOCK_CHUNK_UNITS / 2 * BLOCK_UNIT_BYTES,
};

typedef struct block_pool {
    char **chunks;
    uint32_t chunk_count, chunk_capacity;
    uint32_t next_unit, end_unit; /* fresh space at the end of the newest chunk */
    uint32_t free[BLOCK_CLASSES];
    size_t used_bytes; /* in blocks handed out */
} block_pool;          /* {0} is a valid empty pool */

uint32_t block_pool_alloc(block_pool *pool, size_t size_bytes); /* not zeroed, 8-byte aligned */
void block_pool_release(block_pool *pool, uint32_t block, size_t size_bytes);
size_t block_pool_rounded_bytes(size_t size_bytes); /* what a block of that size really holds */
size_t block_pool_memory_bytes(const block_pool *pool);
void block_pool_free(block_pool *pool);

static inline void *block_pool_at(const block_pool *pool, uint32_t block)
{
    return pool->chunks[block / BLOCK_CHUNK_UNITS] +
           (size_t)(block % BLOCK_CHUNK_UNITS) * BLOCK_UNIT_BYTES;
}
#endif
