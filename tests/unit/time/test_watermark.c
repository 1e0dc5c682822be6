/* Watermarks of one source partition: rules W1 to W5. */
#include "time/watermark.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static leat__watermark bounded_by(int64_t out_of_order_ms)
{
    leat__watermark watermark;
    leat__watermark_init(&watermark, &(leat__watermark_opts){.out_of_order_ms = out_of_order_ms});
    return watermark;
}

static void W1_before_the_first_record_nothing_is_promised(void **state)
{
    (void)state;
    leat__watermark watermark = bounded_by(5);
    assert_true(leat__watermark_now(&watermark) == LEAT_TIME_MIN);
}

static void W1_bounded_promises_the_highest_timestamp_minus_the_bound_minus_one(void **state)
{
    (void)state;
    leat__watermark watermark = bounded_by(5);
    leat__watermark_record(&watermark, 100, NULL);
    assert_int_equal(leat__watermark_now(&watermark), 94);
}

static void W1_an_element_delayed_by_exactly_the_bound_is_not_late(void **state)
{
    (void)state;
    leat__watermark watermark = bounded_by(5);
    leat__watermark_record(&watermark, 100, NULL);
    int64_t delayed_ms = 95;
    assert_true(delayed_ms > leat__watermark_now(&watermark));
}

static void W1_a_bound_of_zero_still_lets_equal_timestamps_through(void **state)
{
    (void)state;
    leat__watermark watermark = bounded_by(0);
    leat__watermark_record(&watermark, 100, NULL);
    assert_int_equal(leat__watermark_now(&watermark), 99);
}

static void W1_near_the_beginning_of_time_the_watermark_stops(void **state)
{
    (void)state;
    leat__watermark watermark = bounded_by(1000);
    leat__watermark_record(&watermark, LEAT_TIME_MIN + 10, NULL);
    assert_true(leat__watermark_now(&watermark) == LEAT_TIME_MIN);
}

static void W2_monotonic_is_bounded_by_zero(void **state)
{
    (void)state;
    leat__watermark watermark;
    leat__watermark_init(&watermark, &(leat__watermark_opts){.class = &leat__watermark_monotonic,
                                                             .out_of_order_ms = 50});
    assert_true(leat__watermark_now(&watermark) == LEAT_TIME_MIN);
    leat__watermark_record(&watermark, 7, NULL);
    assert_int_equal(leat__watermark_now(&watermark), 6);
}

struct marked {
    bool mark;
};

static int64_t at_marks(void *arg, int64_t timestamp_ms, const void *record)
{
    return ((const struct marked *)record)->mark ? timestamp_ms - *(const int64_t *)arg
                                                 : LEAT_TIME_MIN;
}

static void W2_punctuated_moves_only_with_records_that_say_so(void **state)
{
    (void)state;
    int64_t delay_ms = 2;
    leat__watermark watermark;
    leat__watermark_init(&watermark, &(leat__watermark_opts){.class = &leat__watermark_punctuated,
                                                             .punctuate = at_marks,
                                                             .arg = &delay_ms});
    leat__watermark_record(&watermark, 50, &(struct marked){false});
    assert_true(leat__watermark_now(&watermark) == LEAT_TIME_MIN);
    leat__watermark_record(&watermark, 40, &(struct marked){true});
    assert_int_equal(leat__watermark_now(&watermark), 38);
    leat__watermark_record(&watermark, 90, &(struct marked){false});
    assert_int_equal(leat__watermark_now(&watermark), 38);
}

static void half_way(leat__watermark *watermark, int64_t timestamp_ms, const void *record)
{
    (void)record;
    watermark->highest_ms = timestamp_ms;
}

static int64_t half(const leat__watermark *watermark)
{
    return watermark->highest_ms / 2;
}

static const leat__watermark_class halves = {"halves", half_way, half};

static void W2_a_custom_generator_has_the_same_face(void **state)
{
    (void)state;
    leat__watermark watermark;
    leat__watermark_init(&watermark, &(leat__watermark_opts){.class = &halves});
    leat__watermark_record(&watermark, 100, NULL);
    assert_int_equal(leat__watermark_now(&watermark), 50);
}

static void W3_a_watermark_never_goes_back_even_if_the_generator_does(void **state)
{
    (void)state;
    leat__watermark watermark;
    leat__watermark_init(&watermark, &(leat__watermark_opts){.class = &halves});
    leat__watermark_record(&watermark, 100, NULL);
    assert_int_equal(leat__watermark_now(&watermark), 50);
    leat__watermark_record(&watermark, 10, NULL);
    assert_int_equal(leat__watermark_now(&watermark), 50);
}

static void W5_the_end_of_the_input_is_the_end_of_time(void **state)
{
    (void)state;
    leat__watermark watermark = bounded_by(5);
    leat__watermark_record(&watermark, 100, NULL);
    leat__watermark_end(&watermark);
    assert_true(leat__watermark_now(&watermark) == LEAT_TIME_MAX);
    leat__watermark_record(&watermark, 200, NULL);
    assert_true(leat__watermark_now(&watermark) == LEAT_TIME_MAX);
}

/* ------------------------------------------------------------------ one partition and the clock */

static leat__partition_time partition_at(int64_t idle_ms, int64_t clock_ms)
{
    leat__partition_time time;
    leat__partition_time_init(&time, &(leat__watermark_opts){0}, idle_ms, clock_ms);
    return time;
}

static void W2_news_is_signalled_with_the_batch_that_brought_it(void **state)
{
    (void)state;
    leat__partition_time time = partition_at(0, 1000);
    leat__time_signal signal;
    assert_false(leat__partition_time_signal(&time, 1001, &signal));
    leat__partition_time_record(&time, 1001, 50, NULL);
    assert_true(leat__partition_time_signal(&time, 1001, &signal));
    assert_int_equal(signal.watermark_ms, 49);
    assert_false(leat__partition_time_signal(&time, 1002, &signal));
}

static void W2_a_signal_is_due_every_200_ms_without_news(void **state)
{
    (void)state;
    leat__partition_time time = partition_at(0, 1000);
    leat__time_signal signal;
    assert_false(leat__partition_time_signal(&time, 1199, &signal));
    assert_true(leat__partition_time_signal(&time, 1200, &signal));
    assert_false(leat__partition_time_signal(&time, 1399, &signal));
    assert_true(leat__partition_time_signal(&time, 1400, &signal));
}

static void W4_a_partition_silent_for_the_timeout_is_idle_and_its_next_record_wakes_it(void **state)
{
    (void)state;
    leat__partition_time time = partition_at(100, 1000);
    leat__time_signal signal;
    leat__partition_time_record(&time, 1050, 7, NULL);
    assert_true(leat__partition_time_signal(&time, 1149, &signal));
    assert_false(signal.idle);
    assert_true(leat__partition_time_signal(&time, 1150, &signal));
    assert_true(signal.idle);
    leat__partition_time_record(&time, 1160, 8, NULL);
    assert_true(leat__partition_time_signal(&time, 1160, &signal));
    assert_false(signal.idle);
    assert_int_equal(signal.watermark_ms, 7);
}

static void W4_a_record_that_does_not_move_time_still_wakes_the_partition(void **state)
{
    (void)state;
    leat__partition_time time = partition_at(100, 1000);
    leat__time_signal signal;
    leat__partition_time_record(&time, 1000, 50, NULL);
    assert_true(leat__partition_time_signal(&time, 1100, &signal));
    assert_true(signal.idle);
    leat__partition_time_record(&time, 1110, 20, NULL);
    assert_true(leat__partition_time_signal(&time, 1110, &signal));
    assert_false(signal.idle);
}

static void W4_without_a_timeout_a_partition_is_never_idle(void **state)
{
    (void)state;
    leat__partition_time time = partition_at(0, 1000);
    leat__time_signal signal;
    assert_true(leat__partition_time_signal(&time, 1000000, &signal));
    assert_false(signal.idle);
}

static void W5_an_ended_partition_is_at_the_end_of_time_not_idle(void **state)
{
    (void)state;
    leat__partition_time time = partition_at(100, 1000);
    leat__time_signal signal;
    leat__watermark_end(&time.watermark);
    assert_true(leat__partition_time_signal(&time, 1001, &signal)); /* at once, as news */
    assert_true(signal.watermark_ms == LEAT_TIME_MAX);
    (void)leat__partition_time_signal(&time, 5000, &signal);
    assert_false(signal.idle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(W1_before_the_first_record_nothing_is_promised),
        cmocka_unit_test(W1_bounded_promises_the_highest_timestamp_minus_the_bound_minus_one),
        cmocka_unit_test(W1_an_element_delayed_by_exactly_the_bound_is_not_late),
        cmocka_unit_test(W1_a_bound_of_zero_still_lets_equal_timestamps_through),
        cmocka_unit_test(W1_near_the_beginning_of_time_the_watermark_stops),
        cmocka_unit_test(W2_monotonic_is_bounded_by_zero),
        cmocka_unit_test(W2_punctuated_moves_only_with_records_that_say_so),
        cmocka_unit_test(W2_a_custom_generator_has_the_same_face),
        cmocka_unit_test(W2_news_is_signalled_with_the_batch_that_brought_it),
        cmocka_unit_test(W2_a_signal_is_due_every_200_ms_without_news),
        cmocka_unit_test(W3_a_watermark_never_goes_back_even_if_the_generator_does),
        cmocka_unit_test(
            W4_a_partition_silent_for_the_timeout_is_idle_and_its_next_record_wakes_it),
        cmocka_unit_test(W4_a_record_that_does_not_move_time_still_wakes_the_partition),
        cmocka_unit_test(W4_without_a_timeout_a_partition_is_never_idle),
        cmocka_unit_test(W5_the_end_of_the_input_is_the_end_of_time),
        cmocka_unit_test(W5_an_ended_partition_is_at_the_end_of_time_not_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
