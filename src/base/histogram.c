/* Values below 32 have a bucket each; above, every power of two is cut into 32 equal steps. */
#include "base/histogram.h"

enum { STEPS = 32, STEP_BITS = 5 };

static size_t bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - STEP_BITS;
    return (size_t)(shift + 1) * STEPS + (size_t)(value >> shift) - STEPS;
}

static uint64_t bucket_last_value(size_t bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = (unsigned)(bucket / STEPS) - 1;
    uint64_t first = (uint64_t)(STEPS + bucket % STEPS) << shift;
    return first + ((UINT64_C(1) << shift) - 1);
}

static uint64_t look(const uint64_t *cell)
{
    return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

/* One writer: load and store, no locked instruction. */
static void add(uint64_t *cell, uint64_t amount)
{
    __atomic_store_n(cell, look(cell) + amount, __ATOMIC_RELAXED);
}

void leat__histogram_record(leat__histogram *histogram, uint64_t value)
{
    add(&histogram->buckets[bucket_of(value)], 1);
    add(&histogram->sum, value);
    add(&histogram->count, 1);
    if (value > look(&histogram->max))
        __atomic_store_n(&histogram->max, value, __ATOMIC_RELAXED);
}

void leat__histogram_merge(leat__histogram *into, const leat__histogram *from)
{
    for (size_t i = 0; i < LEAT__HISTOGRAM_BUCKETS; i++) {
        uint64_t amount = look(&from->buckets[i]);
        if (amount != 0)
            add(&into->buckets[i], amount);
    }
    add(&into->sum, look(&from->sum));
    add(&into->count, look(&from->count));
    uint64_t max = look(&from->max);
    if (max > look(&into->max))
        __atomic_store_n(&into->max, max, __ATOMIC_RELAXED);
}

uint64_t leat__histogram_quantile(const leat__histogram *histogram, double quantile)
{
    uint64_t count = look(&histogram->count), max = look(&histogram->max);
    if (count == 0)
        return 0;
    if (!(quantile > 0))
        quantile = 0; /* NaN too */
    if (quantile >= 1)
        return max;
    uint64_t rank = (uint64_t)(quantile * (double)count), seen = 0;
    for (size_t i = 0; i < LEAT__HISTOGRAM_BUCKETS; i++) {
        seen += look(&histogram->buckets[i]);
        if (seen > rank) {
            uint64_t value = bucket_last_value(i);
            return value < max ? value : max;
        }
    }
    return max;
}

uint64_t leat__histogram_count_at_most(const leat__histogram *histogram, uint64_t value)
{
    if (value >= look(&histogram->max))
        return look(&histogram->count);
    size_t last = bucket_of(value);
    uint64_t count = 0;
    for (size_t i = 0; i <= last; i++)
        count += look(&histogram->buckets[i]);
    return count;
}
