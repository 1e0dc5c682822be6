/* The protocols on small logs by hand, and the quality reached on the shipped example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apps/recommender/evaluate/evaluate.h"

static void add(click_log *log, const char *session, const char *items, int64_t from_minute)
{
    for (const char *item = items; *item != '\0'; item++) {
        interaction event = {.user_id = leat_str_from(session),
                             .session_id = leat_str_from(session),
                             .item_id = {item, 1},
                             .timestamp_ms = LEAT_MINUTES(from_minute + (item - items))};
        click_log_add(log, &event);
    }
}

/* Two sessions learnt; of the three prefixes of "abb" one is a hit, one a repeat, one unknown. */
static void test_split(void **state)
{
    (void)state;
    click_log train = {0}, test = {0};
    add(&train, "s1", "abx", 0);
    add(&train, "s2", "cd", 10);
    add(&test, "t1", "abbq", 100);
    click_log_group(&train, LEAT_MINUTES(30), false);
    click_log_group(&test, LEAT_MINUTES(30), false);
    evaluate_options options = evaluate_defaults();
    options.max_session_items = 10;
    evaluate_result *result = calloc(1, sizeof *result);
    evaluate_split(&train, &test, &options, result);
    assert_int_equal(result->neighbours.predictions, 3);
    assert_true(result->neighbours.hit_rate > 0.33 && result->neighbours.hit_rate < 0.34);
    options.skip_repeats = true;
    evaluate_split(&train, &test, &options, result);
    assert_int_equal(result->neighbours.predictions, 2);
    options.skip_repeats = false;
    options.keep_current = true;
    evaluate_split(&train, &test, &options, result);
    assert_true(result->neighbours.hit_rate > 0.66);
    free(result);
    click_log_free(&train);
    click_log_free(&test);
}

/* Nothing is known before it happened: the second session is predicted from the first only
 * where the first has closed by then. */
static void test_replay_predicts_before_it_learns(void **state)
{
    (void)state;
    for (int64_t start = 31; start <= 32; start++) {
        click_log log = {0};
        add(&log, "s1", "ab", 0);         /* last click in minute 1, closes after minute 31 */
        add(&log, "s2", "ab", start - 1); /* its b comes, and is predicted, at `start` */
        click_log_group(&log, LEAT_MINUTES(30), true);
        evaluate_options options = evaluate_defaults();
        evaluate_result *result = calloc(1, sizeof *result);
        evaluate_replay(&log, &options, result);
        assert_int_equal(result->neighbours.predictions, 2);
        assert_true(result->neighbours.hit_rate == (start == 32 ? 0.5 : 0));
        free(result);
        click_log_free(&log);
    }
}

static void load(const char *name, click_log *log)
{
    char path[512];
    snprintf(path, sizeof path, "%s/serenade_bolcom_example/%s.txt.zst", LEAT_DATA_DIR, name);
    click_log_options options = {.gap_ms = LEAT_MINUTES(30)};
    assert_int_equal(click_log_load(path, &options, log, NULL), LEAT_OK);
}

/* The quality promised in docs/recommender-quality.md. */
static void test_quality_on_the_example(void **state)
{
    (void)state;
    click_log train = {0}, test = {0};
    load("train", &train);
    load("test", &test);
    evaluate_options options = evaluate_defaults();
    evaluate_result *result = calloc(1, sizeof *result);
    options.candidates = 500;
    options.neighbours = 100;
    options.max_items = 3;
    evaluate_split(&train, &test, &options, result);
    assert_int_equal(result->neighbours.predictions, 931);
    assert_true(result->neighbours.mrr >= 0.340);
    assert_true(result->neighbours.hit_rate >= 0.655);
    assert_true(result->popular.hit_rate > 0.0106 && result->popular.hit_rate < 0.0108);
    options.candidates = 1502;
    options.neighbours = 288;
    options.max_items = 4;
    evaluate_split(&train, &test, &options, result);
    assert_true(result->neighbours.mrr >= 0.339);
    assert_true(result->neighbours.hit_rate >= 0.663);
    free(result);
    click_log_free(&train);
    click_log_free(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_replay_predicts_before_it_learns),
        cmocka_unit_test(test_quality_on_the_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
