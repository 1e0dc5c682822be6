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

uint32_t leat__murmur2(const void *bytes, size_t length);
uint32_t leat__partition_of(leat_str key,
                            uint32_t partition_count); /* (murmur2 & 0x7fffffff) % n */
uint32_t leat__crc32c(uint32_t crc, const void *bytes, size_t length); /* start with crc 0 */
uint32_t leat__crc32c_portable(uint32_t crc, const void *bytes, size_t length); /* without SSE */

static inline uint64_t leat__hash64(const void *bytes, size_t length)
{
    return XXH3_64bits(bytes, length);
}
#endif
