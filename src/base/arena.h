/* base/arena.h - bump allocation, freed all at once.
 *
 *   first ─► [chunk ........] ─► [chunk ...... ^used      ]     reset() keeps the chunks
 *
 * Memory is 16-byte aligned, never moves, and is valid until reset or free. One thread. */
#ifndef LEAT_BASE_ARENA_H
#define LEAT_BASE_ARENA_H
#include "leat/base.h"
#include <string.h>

typedef struct leat__arena_chunk leat__arena_chunk;
typedef struct leat__arena {
    leat__arena_chunk *first, *current;
    char *next, *end;   /* free space in current */
    size_t chunk_bytes; /* 0: 64 KiB */
    size_t used_bytes;  /* handed out since the last reset */
} leat__arena;          /* {0} is a valid empty arena */

void *leat__arena_grow(leat__arena *arena, size_t size_bytes);
void leat__arena_reset(leat__arena *arena);
void leat__arena_free(leat__arena *arena);

/* No bytes are a block too: NULL means an absent string. */
static inline size_t leat__arena_round(size_t size_bytes)
{
    return (size_bytes + (size_bytes == 0) + 15u) & ~(size_t)15u;
}

static inline void *leat__arena_alloc(leat__arena *arena, size_t size_bytes)
{
    size_t rounded = leat__arena_round(size_bytes);
    if ((size_t)(arena->end - arena->next) < rounded || rounded < size_bytes)
        return leat__arena_grow(arena, size_bytes);
    void *block = arena->next;
    arena->next += rounded;
    arena->used_bytes += rounded;
    return block;
}

static inline void *leat__arena_copy(leat__arena *arena, const void *bytes, size_t size_bytes)
{
    void *block = leat__arena_alloc(arena, size_bytes);
    if (size_bytes != 0)
        memcpy(block, bytes, size_bytes);
    return block;
}

static inline leat_str leat__arena_str(leat__arena *arena, leat_str text)
{
    if (text.data == NULL)
        return text;
    return (leat_str){leat__arena_copy(arena, text.data, text.length), text.length};
}
#endif
