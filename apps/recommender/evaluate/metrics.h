/* evaluate/metrics.h - how good lists of recommendations were.
 *
 * Per prediction: a list of at most n items, the item that really came next, and all that came
 * until the session's end (the next included), distinct: "remaining".
 *   HR    1 if the next item is in the list            MRR   1 / its place, 0 if it is not
 *   P     items of the list that are among remaining / n
 *   R     the same / number of remaining items
 * averaged over predictions (these are Serenade's and session-rec's definitions); over all of them
 *   coverage    distinct items ever recommended / items known
 *   popularity  mean over lists of the mean of (clicks of the item / clicks of the most popular) */
#ifndef RECOMMENDER_METRICS_H
#define RECOMMENDER_METRICS_H
#include "leat/base.h"

typedef struct metrics {
    uint64_t predictions, hits, empty; /* empty: lists without any item */
    double reciprocal_ranks, precisions, recalls, popularities;
    uint8_t *recommended; /* [item] 1: was in a list */
    uint32_t item_capacity, distinct_recommended;
} metrics; /* {0} is empty */

typedef struct quality {
    uint64_t predictions;
    double hit_rate, mrr, precision, recall, coverage, popularity, empty_part;
} quality;

/* Items are numbers of the caller's choice, UINT32_MAX for one that was never seen before.
 * clicks_of[item] and the largest of them are as they are at the time of the prediction. */
void metrics_add(metrics *to, const uint32_t *list, size_t list_count, uint32_t n, uint32_t next,
                 const uint32_t *remaining, size_t remaining_count, const double *clicks_of,
                 double most_clicks);
quality metrics_quality(const metrics *of, uint32_t items_known);
void metrics_free(metrics *of);
#endif
