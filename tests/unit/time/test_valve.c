/* The watermark of a task with several inputs: rules W3, W4 and J5. */
#include "base/random.h"
#include "time/valve.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static leat__valve valve_at(size_t count, const int64_t *watermarks)
{
    leat__valve valve;
    leat__valve_init(&valve, count);
    for (size_t i = 0; i < count; i++)
        (void)leat__valve_watermark(&valve, i, watermarks[i]);
    return valve;
}

static void W3_J5_the_output_is_the_minimum_of_the_inputs(void **state)
{
    (void)state;
    leat__valve valve;
    leat__valve_init(&valve, 2);
    assert_false(leat__valve_watermark(&valve, 0, 10));
    assert_true(valve.output_ms == LEAT_TIME_MIN);
    assert_true(leat__valve_watermark(&valve, 1, 4));
    assert_int_equal(valve.output_ms, 4);
    assert_true(leat__valve_watermark(&valve, 1, 30));
    assert_int_equal(valve.output_ms, 10);
    leat__valve_free(&valve);
}

static void W3_an_input_that_goes_back_is_ignored(void **state)
{
    (void)state;
    leat__valve valve = valve_at(2, (int64_t[]){10, 5});
    assert_false(leat__valve_watermark(&valve, 1, 3));
    assert_int_equal(valve.output_ms, 5);
    assert_false(leat__valve_watermark(&valve, 0, 8));
    assert_true(leat__valve_watermark(&valve, 1, 20));
    assert_int_equal(valve.output_ms, 10);
    leat__valve_free(&valve);
}

/* W4, first case: (10,5,3) -> 3; idle 1, 2 -> nothing; idle 3 -> 10 then idle. */
static void W4_when_all_are_idle_the_maximum_seen_is_forwarded(void **state)
{
    (void)state;
    leat__valve valve = valve_at(3, (int64_t[]){10, 5, 3});
    assert_int_equal(valve.output_ms, 3);
    assert_false(leat__valve_idle(&valve, 0));
    assert_false(leat__valve_idle(&valve, 1));
    assert_int_equal(valve.output_ms, 3);
    assert_false(valve.idle);
    assert_true(leat__valve_idle(&valve, 2));
    assert_int_equal(valve.output_ms, 10);
    assert_true(valve.idle);
    leat__valve_free(&valve);
}

/* W4, second case: (10,7,3) -> 3; 3 idle -> 7; 3 wakes with 5 -> nothing; its 9 -> aligned,
 * nothing; input 2 = 12 -> 9. */
static void W4_an_input_that_wakes_counts_once_it_has_caught_up(void **state)
{
    (void)state;
    leat__valve valve = valve_at(3, (int64_t[]){10, 7, 3});
    assert_int_equal(valve.output_ms, 3);
    assert_true(leat__valve_idle(&valve, 2));
    assert_int_equal(valve.output_ms, 7);
    assert_false(leat__valve_watermark(&valve, 2, 5));
    assert_false(valve.inputs[2].aligned);
    assert_int_equal(valve.output_ms, 7);
    assert_false(leat__valve_watermark(&valve, 2, 9));
    assert_true(valve.inputs[2].aligned);
    assert_int_equal(valve.output_ms, 7);
    assert_true(leat__valve_watermark(&valve, 1, 12));
    assert_int_equal(valve.output_ms, 9);
    leat__valve_free(&valve);
}

static void W4_an_input_that_is_behind_after_waking_does_not_hold_the_others(void **state)
{
    (void)state;
    leat__valve valve = valve_at(2, (int64_t[]){10, 3});
    assert_true(leat__valve_idle(&valve, 1));
    assert_int_equal(valve.output_ms, 10);
    assert_false(leat__valve_active(&valve, 1));
    assert_true(leat__valve_watermark(&valve, 0, 20));
    assert_int_equal(valve.output_ms, 20);
    leat__valve_free(&valve);
}

static void W4_a_task_whose_inputs_were_all_idle_wakes_with_the_first_of_them(void **state)
{
    (void)state;
    leat__valve valve = valve_at(2, (int64_t[]){10, 3});
    (void)leat__valve_idle(&valve, 0);
    assert_true(leat__valve_idle(&valve, 1));
    assert_true(leat__valve_active(&valve, 1));
    assert_false(valve.idle);
    assert_int_equal(valve.output_ms, 10);
    assert_true(leat__valve_watermark(&valve, 1, 11));
    assert_int_equal(valve.output_ms, 11);
    leat__valve_free(&valve);
}

static void W4_an_input_idle_ahead_of_the_others_is_the_minimum_when_it_alone_is_aligned(
    void **state)
{
    (void)state;
    leat__valve valve = valve_at(3, (int64_t[]){10, 3, 7});
    (void)leat__valve_idle(&valve, 1); /* output 7 */
    (void)leat__valve_idle(&valve, 0);
    (void)leat__valve_active(&valve, 1); /* behind: 3 */
    (void)leat__valve_idle(&valve, 2);   /* nobody aligned */
    assert_int_equal(valve.output_ms, 7);
    assert_true(leat__valve_active(&valve, 0));
    assert_int_equal(valve.output_ms, 10);
    leat__valve_free(&valve);
}

static void W5_the_end_of_all_inputs_is_the_end_of_time(void **state)
{
    (void)state;
    leat__valve valve = valve_at(2, (int64_t[]){10, 3});
    (void)leat__valve_watermark(&valve, 0, LEAT_TIME_MAX);
    assert_int_equal(valve.output_ms, 3);
    assert_true(leat__valve_watermark(&valve, 1, LEAT_TIME_MAX));
    assert_true(valve.output_ms == LEAT_TIME_MAX);
    leat__valve_free(&valve);
}

/* The slow way to the same answer: everything is looked at after each step. */
static int64_t least_aligned(const leat__valve *valve)
{
    int64_t least_ms = LEAT_TIME_MAX;
    for (size_t i = 0; i < valve->input_count; i++)
        if (valve->inputs[i].aligned && valve->inputs[i].watermark_ms < least_ms)
            least_ms = valve->inputs[i].watermark_ms;
    return least_ms;
}

static void W3_in_any_sequence_the_output_rises_to_the_least_aligned_input_and_never_falls(
    void **state)
{
    (void)state;
    leat__random random = {42};
    for (int round = 0; round < 200; round++) {
        leat__valve valve;
        leat__valve_init(&valve, 4);
        for (int step = 0; step < 200; step++) {
            size_t input = leat__random_below(&random, 4);
            int64_t before_ms = valve.output_ms;
            bool before_idle = valve.idle, changed;
            int64_t watermark_ms = step + (int64_t)leat__random_below(&random, 40);
            switch (leat__random_below(&random, 5)) {
            case 0:
                changed = leat__valve_idle(&valve, input);
                break;
            case 1:
                changed = leat__valve_active(&valve, input);
                break;
            default:
                changed = leat__valve_watermark(&valve, input, watermark_ms);
                break;
            }
            assert_true(valve.output_ms >= before_ms);
            assert_true(changed == (valve.output_ms != before_ms || valve.idle != before_idle));
            int64_t least_ms = least_aligned(&valve);
            size_t holder = valve.holder; /* as told to other threads (R31) */
            assert_true((holder == SIZE_MAX) == (least_ms == LEAT_TIME_MAX));
            if (holder == SIZE_MAX)
                continue;
            assert_true(valve.output_ms >= least_ms);
            assert_true(valve.inputs[holder].aligned);
            assert_int_equal(valve.inputs[holder].watermark_ms, least_ms);
        }
        leat__valve_free(&valve);
    }
}

static void W3_W4_a_restored_valve_goes_on_as_the_one_before(void **state)
{
    (void)state;
    leat__valve valve;
    leat__valve_init(&valve, 3);
    leat__valve_begin_at(&valve, 10);
    assert_int_equal(valve.output_ms, 10);
    assert_false(leat__valve_watermark(&valve, 0, 20)); /* the others hold it until heard */
    leat__valve_begin_at(&valve, 10);
    leat__valve_restore(&valve, 0, 15, false);
    leat__valve_restore(&valve, 1, LEAT_TIME_MIN, false); /* behind: it has to catch up */
    leat__valve_restore(&valve, 2, 12, true);
    assert_int_equal(valve.output_ms, 15);
    assert_false(valve.idle);
    assert_false(leat__valve_watermark(&valve, 1, 14));
    assert_true(leat__valve_watermark(&valve, 0, 18));
    assert_int_equal(valve.output_ms, 18);
    leat__valve_restore(&valve, 0, 16, true); /* back */
    leat__valve_restore(&valve, 1, 14, true);
    assert_true(valve.idle);
    assert_int_equal(valve.output_ms, 18);
    leat__valve_free(&valve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(W3_J5_the_output_is_the_minimum_of_the_inputs),
        cmocka_unit_test(W3_an_input_that_goes_back_is_ignored),
        cmocka_unit_test(
            W3_in_any_sequence_the_output_rises_to_the_least_aligned_input_and_never_falls),
        cmocka_unit_test(W4_when_all_are_idle_the_maximum_seen_is_forwarded),
        cmocka_unit_test(W4_an_input_that_wakes_counts_once_it_has_caught_up),
        cmocka_unit_test(W4_an_input_that_is_behind_after_waking_does_not_hold_the_others),
        cmocka_unit_test(W4_a_task_whose_inputs_were_all_idle_wakes_with_the_first_of_them),
        cmocka_unit_test(
            W4_an_input_idle_ahead_of_the_others_is_the_minimum_when_it_alone_is_aligned),
        cmocka_unit_test(W3_W4_a_restored_valve_goes_on_as_the_one_before),
        cmocka_unit_test(W5_the_end_of_all_inputs_is_the_end_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
