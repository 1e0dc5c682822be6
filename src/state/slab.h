/* state/slab.h - fixed-size cells for cache entries: no malloc per entry, addresses that never
 * move, and a 32-bit name (ref) for each cell so that a slot of the hash table is 8 bytes.
 *
 *     chunk 0 (2 MiB)  [run of 64-byte cells | run of 96-byte cells | ...]    ref = chunk << 16 |
 * unit chunk 1          [...]                                                  unit = 32 bytes
 *
 * One thread.  Memory goes back to the system only when all of it is freed. */
#ifndef LEAT_STATE_SLAB_H
#define LEAT_STATE_SLAB_H
#include <stddef.h>
#include <stdint.h>

enum {
    LEAT__SLAB_UNIT_BYTES = 32,
    LEAT__SLAB_CHUNK_BYTES = 2 << 20, /* one huge page; 2^16 units */
    LEAT__SLAB_CELL_BYTES_MAX = 512,
    LEAT__SLAB_CLASSES = LEAT__SLAB_CELL_BYTES_MAX / LEAT__SLAB_UNIT_BYTES + 1,
};

typedef struct leat__slab_class {
    uint32_t free_ref;          /* first freed cell; its first 4 bytes name the next */
    uint32_t next_ref, end_ref; /* the unused rest of the current run */
} leat__slab_class;

typedef struct leat__slab {
    char **chunks;
    uint32_t chunk_count, chunk_capacity, used_units; /* units of the last chunk */
    leat__slab_class classes[LEAT__SLAB_CLASSES];
} leat__slab; /* {0} is empty; ref 0 is never handed out */

/* Class (= units) of a cell of that many bytes. */
static inline uint32_t leat__slab_class_of(size_t size_bytes)
{
    return (uint32_t)((size_bytes + LEAT__SLAB_UNIT_BYTES - 1) / LEAT__SLAB_UNIT_BYTES);
}

static inline void *leat__slab_at(const leat__slab *slab, uint32_t ref)
{
    return slab->chunks[ref >> 16] + (size_t)(ref & 0xffffu) * LEAT__SLAB_UNIT_BYTES;
}

uint32_t leat__slab_alloc(leat__slab *slab, uint32_t class); /* not zeroed */
void leat__slab_release(leat__slab *slab, uint32_t class, uint32_t ref);
void leat__slab_clear(leat__slab *slab); /* frees everything */

/* Zeroed memory for big tables: huge pages where they pay, so that a random access costs no page
 * walk. */
void *leat__pages_alloc(size_t size_bytes);
void leat__pages_free(void *pages);
#endif
