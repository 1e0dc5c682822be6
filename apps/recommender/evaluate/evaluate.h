/* evaluate/evaluate.h - how good the recommendations are, on recorded events.
 *
 *   split   TRAIN ─► index.  TEST: for each session, for each prefix: predict, compare with the
 * rest. replay  FILE in time order: predict, compare, then learn: the index gets a session when it
 *           closes (gap), popularity every event.  What a live system would have shown.
 *
 * "The current item left out": the item of the newest click is never recommended.  A next click on
 * the same item is then a miss; `skip_repeats` does not ask for a prediction there at all.  Both
 * are printed beside the figures. */
#ifndef RECOMMENDER_EVALUATE_H
#define RECOMMENDER_EVALUATE_H
#include "apps/recommender/candidates/session_index.h"
#include "apps/recommender/evaluate/click_log.h"
#include "apps/recommender/evaluate/metrics.h"
#include "base/histogram.h"

enum { EVALUATE_BEST_MAX = 1000 };

typedef struct evaluate_options {
    uint32_t max_items, candidates, neighbours; /* last, m, k */
    uint32_t best;                              /* n of HR@n ... */
    uint32_t min_session_items;
    uint32_t max_session_items; /* 0: split: 99.5th percentile of TRAIN; replay: the default */
    bool keep_current;          /* the current item may be recommended */
    bool skip_repeats;          /* see above */
    int64_t gap_ms;
} evaluate_options;

evaluate_options evaluate_defaults(void);

typedef struct evaluate_result {
    quality neighbours, popular; /* session kNN; most popular items, for comparison */
    session_index_stats index;   /* at the end */
    uint32_t max_session_items;  /* used */
    uint64_t train_clicks, test_clicks, train_sessions, test_sessions;
    double seconds;                /* predictions and learning, not reading the file */
    leat__histogram prediction_ns; /* one session kNN prediction, the clock's ~20 ns with it */
} evaluate_result;

void evaluate_split(const click_log *train, const click_log *test, const evaluate_options *options,
                    evaluate_result *result);
void evaluate_replay(const click_log *log, const evaluate_options *options,
                     evaluate_result *result);

/* `leat-recommender evaluate ...`: argv[0] is "evaluate".  Returns the exit code. */
int evaluate_main(int argc, char **argv);
#endif
