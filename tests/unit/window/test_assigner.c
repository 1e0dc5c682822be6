/* Which windows an element belongs to and when they are over: rules N1, N2, N5, N6, N7. */
#include "base/random.h"
#include "window/trigger.h"
#include "window/window.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SPANS_MAX = 16 };
typedef struct spans {
    leat_span at[SPANS_MAX];
    size_t count;
} spans;

static spans assign(const leat_window *window, int64_t timestamp_ms)
{
    const leat__assigner *assigner = leat__assigner_of(window->kind);
    spans found = {0};
    leat_span span;
    bool more = assigner->first(window, timestamp_ms, NULL, &span);
    for (; more; more = assigner->next(window, timestamp_ms, &span)) {
        assert_true(found.count < SPANS_MAX);
        found.at[found.count++] = span;
    }
    return found;
}

static void expect(const leat_window *window, int64_t timestamp_ms, size_t count,
                   const leat_span *wanted)
{
    spans found = assign(window, timestamp_ms);
    assert_int_equal(found.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(found.at[i].start_ms == wanted[i].start_ms);
        assert_true(found.at[i].end_ms == wanted[i].end_ms);
    }
}

static void expect_one(const leat_window *window, int64_t timestamp_ms, int64_t start_ms,
                       int64_t end_ms)
{
    expect(window, timestamp_ms, 1, &(leat_span){start_ms, end_ms});
}

static void N1_tumbling_windows_lie_end_to_end(void **state)
{
    (void)state;
    leat_window five = {.size_ms = 5000};
    expect_one(&five, 0, 0, 5000);
    expect_one(&five, 4999, 0, 5000);
    expect_one(&five, 5000, 5000, 10000);
}

static void N1_an_offset_moves_them_either_way(void **state)
{
    (void)state;
    expect_one(&(leat_window){.size_ms = 5000, .offset_ms = 100}, 100, 100, 5100);
    expect_one(&(leat_window){.size_ms = 5000, .offset_ms = -100}, 0, -100, 4900);
}

static void N1_negative_timestamps_use_the_mathematical_modulo(void **state)
{
    (void)state;
    leat_window five = {.size_ms = 5000};
    expect_one(&five, -1, -5000, 0);
    expect_one(&five, -5000, -5000, 0);
    expect_one(&five, -5001, -10000, -5000);
}

static void N1_max_timestamp_is_one_before_the_end(void **state)
{
    (void)state;
    assert_int_equal(leat__window_max_timestamp(&(leat_span){0, 5000}), 4999);
}

static void N1_every_timestamp_lies_in_its_window(void **state)
{
    (void)state;
    leat__random random = {7};
    for (int i = 0; i < 10000; i++) {
        int64_t size_ms = 1 + (int64_t)leat__random_below(&random, 100000);
        int64_t offset_ms = (int64_t)leat__random_below(&random, (uint64_t)size_ms);
        int64_t timestamp_ms = (int64_t)leat__random_next(&random) / 4;
        int64_t start_ms = leat__window_start(timestamp_ms, offset_ms, size_ms);
        assert_true(start_ms <= timestamp_ms && timestamp_ms < start_ms + size_ms);
        assert_int_equal((start_ms - offset_ms) % size_ms, 0);
    }
}

static void N2_sliding_windows_overlap_latest_first(void **state)
{
    (void)state;
    leat_window sliding = {.kind = LEAT_SLIDING, .size_ms = 5000, .slide_ms = 1000};
    expect(&sliding, 0, 5,
           (leat_span[]){{0, 5000}, {-1000, 4000}, {-2000, 3000}, {-3000, 2000}, {-4000, 1000}});
    expect(&sliding, 4999, 5,
           (leat_span[]){{4000, 9000}, {3000, 8000}, {2000, 7000}, {1000, 6000}, {0, 5000}});
}

static void N2_sliding_windows_need_not_divide_evenly(void **state)
{
    (void)state;
    leat_window sliding = {.kind = LEAT_SLIDING, .size_ms = 5, .slide_ms = 3};
    expect(&sliding, 4, 2, (leat_span[]){{3, 8}, {0, 5}});
    expect(&sliding, 5, 1, (leat_span[]){{3, 8}});
}

static void N2_a_slide_longer_than_the_size_leaves_gaps(void **state)
{
    (void)state;
    leat_window sliding = {.kind = LEAT_SLIDING, .size_ms = 2, .slide_ms = 5};
    expect(&sliding, 6, 1, (leat_span[]){{5, 7}});
    expect(&sliding, 7, 0, NULL);
}

static void N2_cumulating_windows_share_their_start_and_end_at_every_step(void **state)
{
    (void)state;
    leat_window day = {.kind = LEAT_CUMULATING, .size_ms = 6, .slide_ms = 2};
    expect(&day, 0, 3, (leat_span[]){{0, 6}, {0, 4}, {0, 2}});
    expect(&day, 2, 2, (leat_span[]){{0, 6}, {0, 4}});
    expect(&day, 5, 1, (leat_span[]){{0, 6}});
    expect(&day, -1, 1, (leat_span[]){{-6, 0}});
}

static void N2_the_id_of_a_window_gives_the_window_back(void **state)
{
    (void)state;
    leat_window windows[] = {{.kind = LEAT_TUMBLING, .size_ms = 6, .offset_ms = 1},
                             {.kind = LEAT_SLIDING, .size_ms = 6, .slide_ms = 4},
                             {.kind = LEAT_CUMULATING, .size_ms = 6, .slide_ms = 2}};
    for (size_t i = 0; i < 3; i++) {
        const leat__assigner *assigner = leat__assigner_of(windows[i].kind);
        for (int64_t timestamp_ms = -20; timestamp_ms < 20; timestamp_ms++) {
            spans found = assign(&windows[i], timestamp_ms);
            for (size_t j = 0; j < found.count; j++) {
                int64_t id = assigner->id(&found.at[j]);
                leat_span back = assigner->span_of(&windows[i], id);
                assert_int_equal(back.start_ms, found.at[j].start_ms);
                assert_int_equal(back.end_ms, found.at[j].end_ms);
                for (size_t k = 0; k < j; k++)
                    assert_int_not_equal(id, assigner->id(&found.at[k]));
            }
        }
    }
}

static void N5_a_window_is_late_once_the_watermark_reaches_its_clean_up(void **state)
{
    (void)state;
    leat_span two = {0, 2000};
    assert_false(leat__window_is_late(&two, 0, 1998));
    assert_true(leat__window_is_late(&two, 0, 1999));
    assert_false(leat__window_is_late(&two, 500, 2498));
    assert_true(leat__window_is_late(&two, 500, 2499));
    assert_false(leat__window_is_late(&two, 500, LEAT_TIME_MIN));
}

static void N5_an_element_is_late_by_its_own_timestamp(void **state)
{
    (void)state;
    assert_false(leat__element_is_late(100, 50, 149));
    assert_true(leat__element_is_late(100, 50, 150));
}

/* The worked sequence "overflow": window 1000, lateness 2000, ts MAX - 1750: WM MAX - 1500 must not
 * clear it. */
static void N5_near_the_end_of_time_sums_stop_instead_of_wrapping(void **state)
{
    (void)state;
    leat_window window = {.size_ms = 1000, .lateness_ms = 2000};
    spans found = assign(&window, LEAT_TIME_MAX - 1750);
    assert_int_equal(found.count, 1);
    assert_true(found.at[0].start_ms <= LEAT_TIME_MAX - 1750);
    assert_true(leat__window_clean_up(&found.at[0], window.lateness_ms) == LEAT_TIME_MAX);
    assert_false(leat__window_is_late(&found.at[0], window.lateness_ms, LEAT_TIME_MAX - 1500));
    spans last = assign(&window, LEAT_TIME_MAX - 1);
    assert_true(last.at[0].end_ms == LEAT_TIME_MAX);
    spans first = assign(&window, LEAT_TIME_MIN + 1);
    assert_true(first.at[0].start_ms == LEAT_TIME_MIN);
}

static void options_that_make_no_sense_are_told_with_a_remedy(void **state)
{
    (void)state;
    const leat__assigner *tumbling = leat__assigner_of(LEAT_TUMBLING);
    assert_null(tumbling->check(&(leat_window){.size_ms = 1}));
    assert_non_null(tumbling->check(&(leat_window){.size_ms = 0}));
    assert_non_null(tumbling->check(&(leat_window){.size_ms = 5, .slide_ms = 1}));
    assert_non_null(tumbling->check(&(leat_window){.size_ms = 5, .gap_ms = 1}));
    assert_non_null(tumbling->check(&(leat_window){.size_ms = 5, .offset_ms = 5}));
    assert_non_null(leat__assigner_of(LEAT_SLIDING)->check(&(leat_window){.size_ms = 5}));
    const leat__assigner *cumulating = leat__assigner_of(LEAT_CUMULATING);
    assert_non_null(cumulating->check(&(leat_window){.size_ms = 5, .slide_ms = 2}));
    assert_null(cumulating->check(&(leat_window){.size_ms = 6, .slide_ms = 2}));
    assert_null(leat__assigner_of(LEAT_SESSION));
}

/* ------------------------------------------------------------------ triggers (N7) */

typedef struct watched {
    leat__trigger_view view;
    int64_t timer_ms;
    int timers_set;
} watched;

static void note_timer(leat__trigger_view *view, leat__time_domain domain, int64_t at_ms)
{
    watched *seen = (watched *)view;
    assert_int_equal(domain, LEAT__EVENT_TIME);
    seen->timer_ms = at_ms;
    seen->timers_set++;
}

static watched watch(int64_t watermark_ms, bool first)
{
    return (watched){.view = {.window = {0, 2000},
                              .watermark_ms = watermark_ms,
                              .first = first,
                              .set_timer = note_timer}};
}

static void N7_event_time_waits_for_the_end_of_the_window(void **state)
{
    (void)state;
    watched seen = watch(1998, true);
    assert_int_equal(leat__trigger_element(&leat__trigger_event_time, &seen.view, 500, NULL),
                     LEAT__CONTINUE);
    assert_int_equal(seen.timers_set, 1);
    assert_int_equal(seen.timer_ms, 1999);
    assert_int_equal(
        leat__trigger_timer(&leat__trigger_event_time, &seen.view, LEAT__EVENT_TIME, 1999),
        LEAT__FIRE);
}

static void N7_event_time_fires_at_once_for_an_allowed_late_element(void **state)
{
    (void)state;
    watched seen = watch(1999, false);
    assert_int_equal(leat__trigger_element(&leat__trigger_event_time, &seen.view, 500, NULL),
                     LEAT__FIRE);
    assert_int_equal(seen.timers_set, 0);
}

static void N7_a_purging_trigger_purges_when_it_fires_and_only_then(void **state)
{
    (void)state;
    watched seen = watch(1000, true);
    const leat_trigger *purging = &leat__trigger_event_time_purging;
    assert_int_equal(leat__trigger_element(purging, &seen.view, 500, NULL), LEAT__CONTINUE);
    assert_int_equal(leat__trigger_timer(purging, &seen.view, LEAT__EVENT_TIME, 1999),
                     LEAT__FIRE_AND_PURGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(N1_tumbling_windows_lie_end_to_end),
        cmocka_unit_test(N1_an_offset_moves_them_either_way),
        cmocka_unit_test(N1_negative_timestamps_use_the_mathematical_modulo),
        cmocka_unit_test(N1_max_timestamp_is_one_before_the_end),
        cmocka_unit_test(N1_every_timestamp_lies_in_its_window),
        cmocka_unit_test(N2_sliding_windows_overlap_latest_first),
        cmocka_unit_test(N2_sliding_windows_need_not_divide_evenly),
        cmocka_unit_test(N2_a_slide_longer_than_the_size_leaves_gaps),
        cmocka_unit_test(N2_cumulating_windows_share_their_start_and_end_at_every_step),
        cmocka_unit_test(N2_the_id_of_a_window_gives_the_window_back),
        cmocka_unit_test(N5_a_window_is_late_once_the_watermark_reaches_its_clean_up),
        cmocka_unit_test(N5_an_element_is_late_by_its_own_timestamp),
        cmocka_unit_test(N5_near_the_end_of_time_sums_stop_instead_of_wrapping),
        cmocka_unit_test(options_that_make_no_sense_are_told_with_a_remedy),
        cmocka_unit_test(N7_event_time_waits_for_the_end_of_the_window),
        cmocka_unit_test(N7_event_time_fires_at_once_for_an_allowed_late_element),
        cmocka_unit_test(N7_a_purging_trigger_purges_when_it_fires_and_only_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
