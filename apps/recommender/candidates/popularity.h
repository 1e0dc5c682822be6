/* candidates/popularity.h - which items are popular: in total, and lately (trending); of all items
 * and per category.  The stream counts, exactly once, and publishes each item's absolute values;
 * this table holds the latest of them and the best `top_size` per category in order.
 *
 * P1 A decayed count loses half of its worth per half-life: at time t it is
 *    decayed * 2^-((t - at) / half_life).  All items decay alike, so their order does not change
 *    with time: lists are kept by  log2(decayed) + at / half_life.
 * P2 The lists are exact: the best top_size by value, equal values by name (bytes), whatever the
 *    order of the updates of different items.
 * P3 An update replaces the item's values.  No category given: it keeps the one it has.  A total
 *    and decayed value of 0 takes the item out of the lists.
 *
 * Threads: one writer at a time, any number of readers, no mutex (reader_lock.h).  Names in results
 * are valid as long as the table. */
#ifndef RECOMMENDER_POPULARITY_H
#define RECOMMENDER_POPULARITY_H
#include "leat/base.h"

typedef struct popularity popularity;

typedef struct popularity_options {
    int64_t half_life_ms; /* > 0 */
    uint32_t top_size;    /* the most that a query can return */
} popularity_options;

popularity_options popularity_defaults(void); /* 1 day, 200 */

typedef enum popularity_order {
    POPULAR_IN_TOTAL,
    POPULAR_LATELY, /* trending */
    POPULARITY_ORDERS
} popularity_order;

typedef struct popular_item {
    leat_str item, category; /* category {NULL, 0}: none known */
    double score;            /* total, or the decayed count at the time asked for */
} popular_item;

popularity *popularity_new(const popularity_options *options);
void popularity_free(popularity *table); /* NULL is allowed */

/* `decayed` is the decayed count as it was at `at_ms`. */
void popularity_update(popularity *table, leat_str item, leat_str category, double total,
                       double decayed, int64_t at_ms);

/* What a reading thread passes below; ask once per thread. */
uint32_t popularity_reader(popularity *table);

/* The best `capacity` (at most top_size) of a category, {NULL, 0}: of all; best first. */
size_t popularity_top(popularity *table, uint32_t reader, leat_str category, popularity_order order,
                      int64_t now_ms, popular_item *out, size_t capacity);

/* The item's own values; false if it is unknown. */
bool popularity_of(popularity *table, uint32_t reader, leat_str item, int64_t now_ms, double *total,
                   double *decayed);

uint32_t popularity_items(popularity *table, uint32_t reader);
size_t popularity_memory_bytes(popularity *table, uint32_t reader);

/* P1, for whoever counts: `value` as of `from_ms`, seen at `to_ms`. */
double popularity_decay(double value, int64_t from_ms, int64_t to_ms, int64_t half_life_ms);
#endif
