#include "base/hash.h"
#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* ---------------------------------------------------------------- crc32c */

static uint32_t tables[8][256]; /* tables[k][b]: byte b followed by k zero bytes */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
        tables[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int k = 1; k < 8; k++)
            tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
}

uint32_t leat__crc32c_portable(uint32_t crc, const void *bytes, size_t length)
{
    pthread_once(&tables_once, fill_tables);
    const unsigned char *next = bytes;
    crc = ~crc;
    for (; length >= 8; next += 8, length -= 8) {
        uint32_t low = crc ^ leat__load_u32(next), high = leat__load_u32(next + 4);
        crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
              tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
              tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
    }
    for (; length > 0; next++, length--)
        crc = (crc >> 8) ^ tables[0][(crc ^ *next) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *bytes,
                                                               size_t length)
{
    const unsigned char *next = bytes;
    uint64_t state = (uint32_t)~crc;
    for (; length >= 8; next += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, next, sizeof word);
        state = _mm_crc32_u64(state, word);
    }
    uint32_t tail = (uint32_t)state;
    for (; length > 0; next++, length--)
        tail = _mm_crc32_u8(tail, *next);
    return ~tail;
}
#endif

uint32_t leat__crc32c(uint32_t crc, const void *bytes, size_t length)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, bytes, length);
#endif
    return leat__crc32c_portable(crc, bytes, length);
}
