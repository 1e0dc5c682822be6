/* bench/support/click_generator.h - sessions of clicks on items whose popularity follows a power
 * law, the same for the same seed on every machine.
 *
 *   item of rank r (1, 2, ...) is clicked with probability ~ r^-exponent
 *   session length 2 + geometric, cut at 30; sessions end one after the other, step_ms apart */
#ifndef BENCH_CLICK_GENERATOR_H
#define BENCH_CLICK_GENERATOR_H
#include "base/random.h"
#include "leat/base.h"

enum { GENERATED_CLICKS_MAX = 30, GENERATED_TEXT_BYTES = 12 };

typedef struct click_generator_options {
    uint64_t seed;
    uint32_t items;
    double exponent, mean_clicks; /* mean_clicks > 2 */
    int64_t start_ms, step_ms;
} click_generator_options;

typedef struct generated_session {
    leat_str id; /* borrowed until the next session */
    leat_str clicks[GENERATED_CLICKS_MAX];
    size_t click_count;
    int64_t last_time_ms;
} generated_session;

typedef struct click_generator {
    click_generator_options options;
    leat__random random;
    double *cumulated; /* [rank] */
    uint32_t made;
    char id[GENERATED_TEXT_BYTES];
    char texts[GENERATED_CLICKS_MAX][GENERATED_TEXT_BYTES];
} click_generator;

void click_generator_init(click_generator *generator, const click_generator_options *options);
void click_generator_next(click_generator *generator, generated_session *session);
void click_generator_free(click_generator *generator);
#endif
