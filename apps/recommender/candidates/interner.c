#include "apps/recommender/candidates/interner.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { FIRST_TABLE_SIZE = 256, FIRST_CAPACITY = 128, NAME_CHUNK_BYTES = 32 << 10 };

/* The place of `name` in the table: its entry, or the empty one where it belongs. */
static uint64_t *table_place(const interner *names, uint32_t hash, leat_str name)
{
    uint32_t mask = names->table_size - 1;
    for (uint32_t place = hash & mask;; place = (place + 1) & mask) {
        uint64_t *entry = &names->table[place];
        if (*entry == 0)
            return entry;
        if ((uint32_t)(*entry >> 32) == hash &&
            leat_str_equal(names->names[(uint32_t)*entry - 1], name))
            return entry;
    }
}

static void grow_table(interner *names)
{
    uint32_t old_size = names->table_size;
    uint64_t *old = names->table;
    names->table_size = old_size == 0 ? FIRST_TABLE_SIZE : old_size * 2;
    names->table = leat__calloc(names->table_size, sizeof *names->table);
    uint32_t mask = names->table_size - 1;
    for (uint32_t i = 0; i < old_size; i++) {
        if (old[i] == 0)
            continue;
        uint32_t place = (uint32_t)(old[i] >> 32) & mask;
        while (names->table[place] != 0)
            place = (place + 1) & mask;
        names->table[place] = old[i];
    }
    leat__free(old);
}

uint32_t interner_add(interner *names, leat_str name)
{
    LEAT_ASSERT(name.length < UINT32_MAX && names->count < INT32_MAX);
    if (names->count * 2 >= names->table_size)
        grow_table(names);
    uint32_t hash = (uint32_t)leat__hash64(name.data, name.length);
    uint64_t *entry = table_place(names, hash, name);
    if (*entry != 0)
        return (uint32_t)*entry - 1;
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? FIRST_CAPACITY : names->capacity * 2;
        names->names = leat__realloc(names->names, names->capacity, sizeof *names->names);
    }
    uint32_t number = names->count++;
    names->arena.chunk_bytes = NAME_CHUNK_BYTES;
    names->names[number] =
        (leat_str){leat__arena_copy(&names->arena, name.data, name.length), name.length};
    *entry = ((uint64_t)hash << 32) | (number + 1);
    return number;
}

uint32_t interner_find(const interner *names, leat_str name)
{
    if (names->count == 0)
        return INTERNER_NONE;
    uint32_t hash = (uint32_t)leat__hash64(name.data, name.length);
    return (uint32_t)*table_place(names, hash, name) - 1; /* an empty entry gives NONE */
}

size_t interner_memory_bytes(const interner *names)
{
    return names->table_size * sizeof *names->table + names->capacity * sizeof *names->names +
           names->arena.used_bytes;
}

void interner_free(interner *names)
{
    leat__free(names->table);
    leat__free(names->names);
    leat__arena_free(&names->arena);
    *names = (interner){0};
}
