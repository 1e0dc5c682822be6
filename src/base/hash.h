/* base/hash.h - the hashes leat uses, each for one purpose.
 * leat__murmur2  where a key lives: Kafka's default partitioner, seed 0x9747b28c (source: Kafka's
 *                Utils.murmur2), so that any Kafka producer agrees with us.
 * leat__hash64   hash tables in memory (XXH3); never stored.
 * leat__crc32c   checks of stored bytes (Castagnoli; SSE4.2 where the CPU has it). */
#ifndef LEAT_BASE_HASH_H
#define LEAT_BASE_HASH_H
#define XXH_INLINE_ALL
#include "leat/base.h"
#include <xxhash.h>

uint32_t leat__crc32c(uint32_t crc, const void *bytes, size_t length); /* start with crc 0 */
uint32_t leat__crc32c_portable(uint32_t crc, const void *bytes, size_t length); /* without SSE */

static inline uint32_t leat__load_u32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* MurmurHash2 (A. Appleby, public domain) with Kafka's seed. Inline: asked for each record of a
 * source that is partitioned by a field (P1). */
static inline uint32_t leat__murmur2(const void *bytes, size_t length)
{
    const uint32_t multiplier = 0x5bd1e995;
    const unsigned char *next = (const unsigned char *)bytes;
    uint32_t hash = 0x9747b28cu ^ (uint32_t)length;
    for (; length >= 4; next += 4, length -= 4) {
        uint32_t word = leat__load_u32(next) * multiplier;
        word = (word ^ (word >> 24)) * multiplier;
        hash = hash * multiplier ^ word;
    }
    if (length >= 3)
        hash ^= (uint32_t)next[2] << 16;
    if (length >= 2)
        hash ^= (uint32_t)next[1] << 8;
    if (length >= 1)
        hash = (hash ^ next[0]) * multiplier;
    hash = (hash ^ (hash >> 13)) * multiplier;
    return hash ^ (hash >> 15);
}

static inline uint32_t leat__partition_of(leat_str key, uint32_t partition_count)
{
    return (leat__murmur2(key.data, key.length) & 0x7fffffffu) % partition_count;
}

static inline uint64_t leat__hash64(const void *bytes, size_t length)
{
    return XXH3_64bits(bytes, length);
}
#endif
