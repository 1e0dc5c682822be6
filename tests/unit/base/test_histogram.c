/* The latency histogram: every value within 3 %, merge, quantiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/histogram.h"
#include "base/random.h"

static leat__histogram histogram, other;

static int empty(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    memset(&other, 0, sizeof other);
    return 0;
}

static void an_empty_histogram_answers_zero(void **state)
{
    (void)state;
    assert_int_equal(leat__histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(leat__histogram_quantile(&histogram, 1.0), 0);
    assert_int_equal(leat__histogram_count_at_most(&histogram, 5), 0);
}

static void one_value_is_every_quantile_within_3_percent(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (uint64_t add = 0; add < 3; add++) {
            uint64_t value = (UINT64_C(1) << bit) + add * (UINT64_C(1) << bit) / 5;
            empty(NULL);
            leat__histogram_record(&histogram, value);
            leat__histogram_record(&histogram, UINT64_MAX); /* so that max does not help */
            double got = (double)leat__histogram_quantile(&histogram, 0.1);
            assert_true(got >= (double)value && got <= (double)value * (1 + 1 / 32.0));
        }
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 32; value++)
        leat__histogram_record(&histogram, value);
    for (uint64_t value = 0; value < 32; value++)
        assert_int_equal(leat__histogram_count_at_most(&histogram, value), value + 1);
    assert_int_equal(leat__histogram_quantile(&histogram, 0.5), 16);
    assert_int_equal(leat__histogram_quantile(&histogram, 0.0), 0);
    assert_int_equal(leat__histogram_quantile(&histogram, 1.0), 31);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void quantiles_are_those_of_the_sorted_values(void **state)
{
    (void)state;
    static uint64_t values[10000];
    leat__random random = {.state = 11};
    uint64_t sum = 0;
    for (size_t i = 0; i < 10000; i++) {
        values[i] = leat__random_next(&random) >> (20 + leat__random_below(&random, 40));
        sum += values[i];
        leat__histogram_record(i % 2 != 0 ? &histogram : &other, values[i]);
    }
    leat__histogram_merge(&histogram, &other);
    qsort(values, 10000, sizeof values[0], compare_u64);
    assert_int_equal(histogram.count, 10000);
    assert_int_equal(histogram.sum, sum);
    assert_int_equal(histogram.max, values[9999]);
    static const double asked[] = {0, 0.01, 0.5, 0.9, 0.99, 0.999};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        double exact = (double)values[(size_t)(asked[i] * 10000)];
        double got = (double)leat__histogram_quantile(&histogram, asked[i]);
        assert_true(got >= exact && got <= exact * (1 + 1 / 32.0));
    }
    assert_int_equal(leat__histogram_quantile(&histogram, 1), values[9999]);
}

static void count_at_most_counts_every_value_up_to_the_bound(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 1000; value++)
        leat__histogram_record(&histogram, value * 100);
    uint64_t previous = 0;
    for (uint64_t bound = 0; bound < 110000; bound += 777) {
        uint64_t count = leat__histogram_count_at_most(&histogram, bound);
        uint64_t exact = bound / 100 < 1000 ? bound / 100 : 1000;
        assert_true(count >= exact && count >= previous);
        assert_true((double)count <= (double)exact * 1.04 + 1);
        previous = count;
    }
    assert_int_equal(leat__histogram_count_at_most(&histogram, 100000), 1000);
}

static void nonsense_quantiles_are_clamped(void **state)
{
    (void)state;
    leat__histogram_record(&histogram, 5);
    leat__histogram_record(&histogram, 9);
    assert_int_equal(leat__histogram_quantile(&histogram, -3.0), 5);
    assert_int_equal(leat__histogram_quantile(&histogram, 7.0), 9);
    assert_int_equal(leat__histogram_quantile(&histogram, __builtin_nan("")), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_histogram_answers_zero, empty),
        cmocka_unit_test_setup(one_value_is_every_quantile_within_3_percent, empty),
        cmocka_unit_test_setup(small_values_are_exact, empty),
        cmocka_unit_test_setup(quantiles_are_those_of_the_sorted_values, empty),
        cmocka_unit_test_setup(count_at_most_counts_every_value_up_to_the_bound, empty),
        cmocka_unit_test_setup(nonsense_quantiles_are_clamped, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
