#include "base/arena.h"
#include "base/mem.h"

enum { DEFAULT_CHUNK_BYTES = 64 << 10 };

struct leat__arena_chunk {
    leat__arena_chunk *next;
    size_t size_bytes;
    _Alignas(16) char bytes[];
};

static void use_chunk(leat__arena *arena, leat__arena_chunk *chunk)
{
    arena->current = chunk;
    arena->next = chunk->bytes;
    arena->end = chunk->bytes + chunk->size_bytes;
}

/* Called when `current` is too full.  Chunks kept by a reset are used again in their order; one
 * that is too small for this request is left for the next reset. */
void *leat__arena_grow(leat__arena *arena, size_t size_bytes)
{
    size_t rounded = leat__arena_round(size_bytes);
    size_t header = sizeof(leat__arena_chunk);
    if (rounded < size_bytes || rounded > SIZE_MAX - header)
        rounded = SIZE_MAX / 2;
    leat__arena_chunk *last = arena->current;
    leat__arena_chunk *chunk = last == NULL ? arena->first : last->next;
    while (chunk != NULL && chunk->size_bytes < rounded) {
        last = chunk;
        chunk = chunk->next;
    }
    if (chunk == NULL) {
        size_t chunk_bytes = arena->chunk_bytes != 0 ? arena->chunk_bytes : DEFAULT_CHUNK_BYTES;
        if (chunk_bytes < rounded)
            chunk_bytes = rounded;
        chunk = leat__alloc(header + chunk_bytes);
        chunk->size_bytes = chunk_bytes;
        chunk->next = NULL;
        if (last == NULL)
            arena->first = chunk;
        else
            last->next = chunk;
    }
    use_chunk(arena, chunk);
    void *block = arena->next;
    arena->next += rounded;
    arena->used_bytes += rounded;
    return block;
}

void leat__arena_reset(leat__arena *arena)
{
    arena->used_bytes = 0;
    if (arena->first != NULL)
        use_chunk(arena, arena->first);
}

void leat__arena_free(leat__arena *arena)
{
    leat__arena_chunk *chunk = arena->first;
    while (chunk != NULL) {
        leat__arena_chunk *next = chunk->next;
        leat__free(chunk);
        chunk = next;
    }
    *arena = (leat__arena){.chunk_bytes = arena->chunk_bytes};
}
