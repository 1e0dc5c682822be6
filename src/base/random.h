/* base/random.h - a small seeded generator (splitmix64; S. Vigna), for tests, load and jitter.
 * The same seed gives the same numbers on every machine. */
#ifndef LEAT_BASE_RANDOM_H
#define LEAT_BASE_RANDOM_H
#include <stdint.h>
typedef struct leat__random {
    uint64_t state;
} leat__random;
static inline uint64_t leat__random_next(leat__random *random)
{
    uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
__extension__ typedef unsigned __int128 leat__u128; /* both compilers have it, ISO C does not */
static inline uint64_t leat__random_below(leat__random *random, uint64_t bound)
{ /* bound > 0 */
    return (uint64_t)(((leat__u128)leat__random_next(random) * bound) >> 64);
}
static inline double leat__random_unit(leat__random *random)
{ /* [0, 1) */
    return (double)(leat__random_next(random) >> 11) * 0x1.0p-53;
}
#endif
