#include "state/slab.h"
#include "base/assert.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    RUN_BYTES =
        4096, /* cells of one class lie together, so 64-byte cells never cross a cache line */
    HUGE_FROM_CHUNK =
        4, /* small stores stay on small pages: dozens of them must fit an idle server */
};

static void *aligned_pages(size_t size_bytes, int advice)
{
    void *pages = NULL;
    LEAT_ASSERT(posix_memalign(&pages, LEAT__SLAB_CHUNK_BYTES, size_bytes) == 0);
    (void)madvise(pages, size_bytes, advice); /* advice only: nothing to do if it is refused */
    return pages;
}

void *leat__pages_alloc(size_t size_bytes)
{
    if (size_bytes < LEAT__SLAB_CHUNK_BYTES)
        return leat__calloc(1, size_bytes);
    void *pages = aligned_pages(size_bytes, MADV_HUGEPAGE);
    memset(pages, 0, size_bytes);
    return pages;
}

void leat__pages_free(void *pages)
{
    free(pages);
}

static void add_chunk(leat__slab *slab)
{
    if (slab->chunk_count == slab->chunk_capacity) {
        slab->chunk_capacity = slab->chunk_capacity != 0 ? slab->chunk_capacity * 2 : 4;
        slab->chunks = leat__realloc(slab->chunks, slab->chunk_capacity, sizeof(char *));
    }
    LEAT_ASSERT(slab->chunk_count < 1u << 16);
    int advice = slab->chunk_count < HUGE_FROM_CHUNK ? MADV_NOHUGEPAGE : MADV_HUGEPAGE;
    slab->used_units =
        slab->chunk_count == 0 ? RUN_BYTES / LEAT__SLAB_UNIT_BYTES : 0; /* ref 0: none */
    slab->chunks[slab->chunk_count++] = aligned_pages(LEAT__SLAB_CHUNK_BYTES, advice);
}

static void add_run(leat__slab *slab, uint32_t class)
{
    uint32_t units = RUN_BYTES / LEAT__SLAB_UNIT_BYTES;
    uint32_t chunk_units = LEAT__SLAB_CHUNK_BYTES / LEAT__SLAB_UNIT_BYTES;
    if (slab->chunk_count == 0 || slab->used_units + units > chunk_units)
        add_chunk(slab);
    leat__slab_class *cells = &slab->classes[class];
    cells->next_ref = (slab->chunk_count - 1) << 16 | slab->used_units;
    cells->end_ref = cells->next_ref + units / class * class;
    slab->used_units += units;
}

uint32_t leat__slab_alloc(leat__slab *slab, uint32_t class)
{
    LEAT_ASSERT(class > 0 && class < LEAT__SLAB_CLASSES);
    leat__slab_class *cells = &slab->classes[class];
    uint32_t ref = cells->free_ref;
    if (ref != 0) {
        memcpy(&cells->free_ref, leat__slab_at(slab, ref), sizeof ref);
        return ref;
    }
    if (cells->next_ref == cells->end_ref)
        add_run(slab, class);
    ref = cells->next_ref;
    cells->next_ref += class;
    return ref;
}

void leat__slab_release(leat__slab *slab, uint32_t class, uint32_t ref)
{
    leat__slab_class *cells = &slab->classes[class];
    memcpy(leat__slab_at(slab, ref), &cells->free_ref, sizeof ref);
    cells->free_ref = ref;
}

void leat__slab_clear(leat__slab *slab)
{
    for (uint32_t i = 0; i < slab->chunk_count; i++)
        leat__pages_free(slab->chunks[i]);
    leat__free(slab->chunks);
    *slab = (leat__slab){0};
}
