#include "apps/recommender/candidates/block_pool.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { EXACT_UNITS = 32, STEPS_PER_DOUBLING = 4 };

/* Up to 32 units every size has its class; above, four classes per doubling (40 48 56 64 80 ...),
 * which wastes a fifth at the most. */
static uint32_t class_of_units(uint32_t units)
{
    if (units <= EXACT_UNITS)
        return units;
    uint32_t exponent = 31u - (uint32_t)__builtin_clz(units - 1); /* 2^e < units <= 2^(e+1) */
    uint32_t step = (units - 1 - (1u << exponent)) >> (exponent - 2);
    return EXACT_UNITS + 1 + (exponent - 5) * STEPS_PER_DOUBLING + step;
}

static uint32_t units_of_class(uint32_t class)
{
    if (class <= EXACT_UNITS)
        return class;
    uint32_t above = class - EXACT_UNITS - 1;
    uint32_t exponent = 5 + above / STEPS_PER_DOUBLING;
    return (1u << exponent) + ((above % STEPS_PER_DOUBLING + 1) << (exponent - 2));
}

static uint32_t class_of_bytes(size_t size_bytes)
{
    LEAT_ASSERT(size_bytes != 0 && size_bytes <= BLOCK_BYTES_MAX);
    return class_of_units((uint32_t)((size_bytes + BLOCK_UNIT_BYTES - 1) / BLOCK_UNIT_BYTES));
}

size_t block_pool_rounded_bytes(size_t size_bytes)
{
    return (size_t)units_of_class(class_of_bytes(size_bytes)) * BLOCK_UNIT_BYTES;
}

static void push_free(block_pool *pool, uint32_t block, uint32_t class)
{
    memcpy(block_pool_at(pool, block), &pool->free[class], sizeof pool->free[class]);
    pool->free[class] = block;
}

/* What is left of a chunk goes to the free lists, as the largest classes that fit. */
static void retire_chunk(block_pool *pool)
{
    while (pool->next_unit < pool->end_unit) {
        uint32_t class = class_of_units(pool->end_unit - pool->next_unit);
        if (units_of_class(class) > pool->end_unit - pool->next_unit)
            class --;
        push_free(pool, pool->next_unit, class);
        pool->next_unit += units_of_class(class);
    }
}

static void add_chunk(block_pool *pool)
{
    retire_chunk(pool);
    LEAT_ASSERT(pool->chunk_count < UINT32_MAX / BLOCK_CHUNK_UNITS);
    if (pool->chunk_count == pool->chunk_capacity) {
        pool->chunk_capacity = pool->chunk_capacity == 0 ? 16 : pool->chunk_capacity * 2;
        pool->chunks = leat__realloc(pool->chunks, pool->chunk_capacity, sizeof *pool->chunks);
    }
    pool->chunks[pool->chunk_count] =
        leat__alloc((size_t)BLOCK_CHUNK_UNITS * BLOCK_UNIT_BYTES + BLOCK_SLACK_BYTES);
    pool->next_unit = pool->chunk_count * BLOCK_CHUNK_UNITS;
    pool->end_unit = pool->next_unit + BLOCK_CHUNK_UNITS;
    if (pool->chunk_count++ == 0)
        pool->next_unit++; /* handle 0 means none */
}

uint32_t block_pool_alloc(block_pool *pool, size_t size_bytes)
{
    uint32_t class = class_of_bytes(size_bytes);
    uint32_t units = units_of_class(class);
    pool->used_bytes += (size_t)units * BLOCK_UNIT_BYTES;
    uint32_t block = pool->free[class];
    if (block != 0) {
        memcpy(&pool->free[class], block_pool_at(pool, block), sizeof pool->free[class]);
        return block;
    }
    if (pool->end_unit - pool->next_unit < units)
        add_chunk(pool);
    block = pool->next_unit;
    pool->next_unit += units;
    return block;
}

void block_pool_release(block_pool *pool, uint32_t block, size_t size_bytes)
{
    uint32_t class = class_of_bytes(size_bytes);
    pool->used_bytes -= (size_t)units_of_class(class) * BLOCK_UNIT_BYTES;
    push_free(pool, block, class);
}

size_t block_pool_memory_bytes(const block_pool *pool)
{
    return (size_t)pool->chunk_count * BLOCK_CHUNK_UNITS * BLOCK_UNIT_BYTES +
           pool->chunk_capacity * sizeof *pool->chunks;
}

void block_pool_free(block_pool *pool)
{
    for (uint32_t i = 0; i < pool->chunk_count; i++)
        leat__free(pool->chunks[i]);
    leat__free(pool->chunks);
    *pool = (block_pool){0};
}
