/* base/histogram.h - latency histogram in the manner of HDR: 64 exponents x 32 linear steps, so a
 * recorded value is known within 3 %.  One writer; readers may look at any time (relaxed). */
#ifndef LEAT_BASE_HISTOGRAM_H
#define LEAT_BASE_HISTOGRAM_H
#include "leat/base.h"
enum { LEAT__HISTOGRAM_BUCKETS = 64 * 32 };
typedef struct leat__histogram {
    uint64_t count, sum, max;
    uint64_t buckets[LEAT__HISTOGRAM_BUCKETS];
} leat__histogram; /* {0} is empty */
void leat__histogram_record(leat__histogram *histogram, uint64_t value);
void leat__histogram_merge(leat__histogram *into, const leat__histogram *from);
uint64_t leat__histogram_quantile(const leat__histogram *histogram, double quantile); /* 0..1 */
uint64_t leat__histogram_count_at_most(const leat__histogram *histogram, uint64_t value);
#endif
