/* candidates/interner.h - strings to dense numbers 0, 1, 2 ... in order of first appearance.
 *
 *   table [hash 32 | number+1]  ─►  names[number] = {bytes, length}  ─►  bytes in an arena
 *
 * Open addressing at most half full.  Names never move and live as long as the interner, so a
 * leat_str handed out stays valid without any lock.  One thread at a time may add. */
#ifndef RECOMMENDER_INTERNER_H
#define RECOMMENDER_INTERNER_H
#include "base/arena.h"

#define INTERNER_NONE UINT32_MAX /* no number */

typedef struct interner {
    uint64_t *table;
    uint32_t table_size; /* a power of two, or 0 */
    uint32_t count, capacity;
    leat_str *names;
    leat__arena arena;
} interner; /* {0} is a valid empty interner */

uint32_t interner_add(interner *names, leat_str name);        /* found, or added (copied) */
uint32_t interner_find(const interner *names, leat_str name); /* INTERNER_NONE: not there */
static inline leat_str interner_name(const interner *names, uint32_t number)
{
    return names->names[number];
}
size_t interner_memory_bytes(const interner *names);
void interner_free(interner *names);
#endif
