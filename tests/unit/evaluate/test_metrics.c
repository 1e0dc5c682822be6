/* Each figure by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "apps/recommender/evaluate/metrics.h"

static void assert_near(double is, double expected)
{
    assert_true(fabs(is - expected) < 1e-9);
}

static void test_figures(void **state)
{
    (void)state;
    metrics of = {0};
    const double clicks[] = {8, 4, 2, 0, 0};
    const uint32_t first[] = {0, 1, 2}, second[] = {2, 1}, remaining[] = {2, 1, 4};
    metrics_add(&of, first, 3, 4, 2, remaining, 3, clicks, 8);  /* third place */
    metrics_add(&of, second, 2, 4, 4, remaining, 3, clicks, 8); /* miss */
    metrics_add(&of, NULL, 0, 4, 1, remaining, 3, clicks, 8);   /* no list at all */
    metrics_add(&of, second, 2, 4, 2, remaining, 1, clicks, 8); /* first place */
    quality got = metrics_quality(&of, 10);
    assert_int_equal(got.predictions, 4);
    assert_near(got.hit_rate, 2.0 / 4);
    assert_near(got.mrr, (1.0 / 3 + 0 + 0 + 1) / 4);
    assert_near(got.precision, (2.0 / 4 + 2.0 / 4 + 0 + 1.0 / 4) / 4);
    assert_near(got.recall, (2.0 / 3 + 2.0 / 3 + 0 + 1.0) / 4);
    assert_near(got.coverage, 3.0 / 10);
    assert_near(got.popularity, ((1 + 0.5 + 0.25) / 3 + 0.375 + 0 + 0.375) / 4);
    assert_near(got.empty_part, 1.0 / 4);
    metrics_free(&of);
}

static void test_no_predictions_give_zeros(void **state)
{
    (void)state;
    metrics of = {0};
    quality got = metrics_quality(&of, 0);
    assert_near(got.hit_rate + got.mrr + got.coverage + got.empty_part, 0);
    metrics_free(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_no_predictions_give_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
