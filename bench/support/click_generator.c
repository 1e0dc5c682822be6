#include "bench/support/click_generator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void click_generator_init(click_generator *generator, const click_generator_options *options)
{
    *generator = (click_generator){.options = *options, .random = {options->seed}};
    generator->cumulated = calloc(options->items, sizeof(double));
    if (generator->cumulated == NULL)
        abort();
    double sum = 0;
    for (uint32_t rank = 0; rank < options->items; rank++) {
        sum += pow(rank + 1, -options->exponent);
        generator->cumulated[rank] = sum;
    }
}

static uint32_t random_rank(click_generator *generator)
{
    uint32_t low = 0, high = generator->options.items - 1;
    double wanted = leat__random_unit(&generator->random) * generator->cumulated[high];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (generator->cumulated[middle] < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t random_length(click_generator *generator)
{
    double more = 1 - 1 / (generator->options.mean_clicks - 1); /* geometric of mean - 2 */
    size_t length = 2;
    while (length < GENERATED_CLICKS_MAX && leat__random_unit(&generator->random) < more)
        length++;
    return length;
}

void click_generator_next(click_generator *generator, generated_session *session)
{
    uint32_t number = generator->made++;
    int length = snprintf(generator->id, sizeof generator->id, "%u", number);
    session->id = (leat_str){generator->id, (size_t)length};
    session->last_time_ms =
        generator->options.start_ms + (int64_t)number * generator->options.step_ms;
    session->click_count = random_length(generator);
    for (size_t i = 0; i < session->click_count; i++) {
        /* numbers of neighbours in rank are far apart, as in life */
        uint64_t item = random_rank(generator) * UINT64_C(2654435761) % 1000000007;
        length =
            snprintf(generator->texts[i], GENERATED_TEXT_BYTES, "%llu", (unsigned long long)item);
        session->clicks[i] = (leat_str){generator->texts[i], (size_t)length};
    }
}

void click_generator_free(click_generator *generator)
{
    free(generator->cumulated);
    generator->cumulated = NULL;
}
