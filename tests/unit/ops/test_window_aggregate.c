/* Tumbling windows on a real store, element by element: the worked sequences of semantics.md and
 * the rules N5 to N8, T1 and S3 as they show in them.
 *
 *   el(w, 500)    an element of key "k"          wm(w, 1500)    the watermark; timers fire first
 * (W5) expect_result(w, 2, 1999)                    "2@1999" came out, and in this order
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "ops/op.h"
#include "window/trigger.h"

struct tick {
    int64_t ts_ms;
};
LEAT_RECORD(tick, ts_ms);

struct tally {
    uint64_t count;
    int64_t start_ms, end_ms;
};
LEAT_RECORD(tally, count, start_ms, end_ms);

static void count_one(void *acc, const void *record)
{
    (void)record;
    ((struct tally *)acc)->count++;
}

static void with_span(const void *acc, const leat_span *window, void *out)
{
    struct tally *tally = out;
    *tally = *(const struct tally *)acc;
    tally->start_ms = window->start_ms;
    tally->end_ms = window->end_ms;
}

/* ------------------------------------------------------------------ a task with one window */

enum { RESULTS_MAX = 32 };
typedef struct result {
    struct tally tally;
    int64_t timestamp_ms;
    char key[8];
} result;

typedef struct world {
    leat__database *database;
    leat__arena scratch;
    leat__task_face face;
    leat__op_spec spec;
    leat__op op;
    leat__target main_target, late_target;
    result results[RESULTS_MAX];
    size_t result_count, next_result;
    int64_t late[RESULTS_MAX];
    size_t late_count, dropped_count;
} world;

static leat_status take_result(void *arg, const leat__element *element)
{
    world *w = arg;
    assert_true(w->result_count < RESULTS_MAX);
    result *r = &w->results[w->result_count++];
    r->tally = *(const struct tally *)element->record;
    r->timestamp_ms = element->timestamp_ms;
    memcpy(r->key, element->key.data, element->key.length);
    return LEAT_OK;
}

static leat_status take_late(void *arg, const leat__element *element)
{
    world *w = arg;
    w->late[w->late_count++] = element->timestamp_ms;
    return LEAT_OK;
}

static void count_dropped(void *task, leat__op *op)
{
    (void)op;
    ((world *)task)->dropped_count++;
}

static leat_status failed(void *task, leat__op *op, const leat__element *element,
                          const leat_error *error)
{
    (void)task;
    (void)op;
    (void)element;
    fail_msg("%s: %s", error->where, error->message);
    return error->status;
}

static void open_world(world *w, leat_window window)
{
    memset(w, 0, sizeof *w);
    leat_error error;
    assert_int_equal(
        leat__database_open(&w->database, &(leat__database_opts){.backend = LEAT__MEMORY}, &error),
        LEAT_OK);
    w->spec =
        (leat__op_spec){.class = &leat__op_window,
                        .name = "w",
                        .in = &tick_type,
                        .out = &tally_type,
                        .side = {{"late", &tick_type}},
                        .slot = {{"w/windows", LEAT__MAP, &tally_type, .map_key = &leat_type_i64}},
                        .slot_count = 1,
                        .timer = {"fire", "clean-up"},
                        .timer_count = 2,
                        .config.aggregate = {.op = {.in = &tick_type,
                                                    .acc = &tally_type,
                                                    .out = &tally_type,
                                                    .add = count_one,
                                                    .result = with_span},
                                             .window = window}};
    leat__store_opts opts = {.database = w->database,
                             .slots = w->spec.slot,
                             .slot_count = 1,
                             .timers = w->spec.timer,
                             .timer_count = 2};
    w->face = (leat__task_face){.watermark_ms = LEAT_TIME_MIN,
                                .scratch = &w->scratch,
                                .task = w,
                                .failed = failed,
                                .late = count_dropped};
    assert_int_equal(leat__store_open(&w->face.store, &opts, &error), LEAT_OK);
    w->op.spec = &w->spec;
    w->op.ctx.task = &w->face;
    w->main_target = (leat__target){.deliver = take_result, .arg = w};
    w->late_target = (leat__target){.deliver = take_late, .arg = w};
    w->op.output[0] = (leat__output){&w->main_target, 1, &tally_type, false, SIZE_MAX};
    w->op.output_count = 2;
    assert_int_equal(leat__op_open(&w->op, &error), LEAT_OK);
}

static void read_late(world *w)
{
    w->op.output[1] = (leat__output){&w->late_target, 1, &tick_type, false, SIZE_MAX};
}

static void close_world(world *w)
{
    assert_int_equal(w->next_result, w->result_count); /* nothing came out that no test asked for */
    (void)leat__op_close(&w->op, NULL);
    leat__store_close(w->face.store);
    leat__database_close(w->database);
    leat__arena_free(&w->scratch);
}

static void el_of(world *w, const char *key, int64_t timestamp_ms)
{
    struct tick tick = {timestamp_ms};
    leat_str text = leat_str_from(key);
    leat__element element = {.record = &tick,
                             .timestamp_ms = timestamp_ms,
                             .key = text,
                             .key_hash = leat__hash64(text.data, text.length)};
    assert_int_equal(leat__op_push(&w->op, &element), LEAT_OK);
}

static void el(world *w, int64_t timestamp_ms)
{
    el_of(w, "k", timestamp_ms);
}

static void wm(world *w, int64_t watermark_ms)
{
    w->face.watermark_ms = watermark_ms;
    leat__timer timer;
    while (leat__store_timer_pop(w->face.store, LEAT__EVENT_TIME, watermark_ms, &timer))
        assert_int_equal(leat__op_fire(&w->op, &timer, LEAT__EVENT_TIME), LEAT_OK);
}

static const result *expect_result(world *w, uint64_t count, int64_t timestamp_ms)
{
    assert_true(w->next_result < w->result_count);
    const result *r = &w->results[w->next_result++];
    assert_int_equal(r->tally.count, count);
    assert_true(r->timestamp_ms == timestamp_ms);
    return r;
}

static void expect_nothing(const world *w)
{
    assert_int_equal(w->next_result, w->result_count);
}

static uint64_t timers_left(const world *w)
{
    leat__store_stats stats;
    leat__store_get_stats(w->face.store, &stats);
    return stats.timers;
}

/* What is left of key "k", as the next element of its window would find it. */
static bool has_window(world *w, int64_t start_ms)
{
    leat__store_set_key(w->face.store, LEAT_STR("k"), leat__hash64("k", 1));
    return leat__store_map_get(w->face.store, 0, &start_ms) != NULL;
}

/* ------------------------------------------------------------------ worked sequences */

/* tumbling 2 s, lateness 500, purging: el 500, WM 1500, el 1300, WM 2300 -> 2@1999; el 1997, WM
 * 6000 -> 1@1999; el 1998 -> late */
static void N6_N7_tumbling_2s_lateness_500_purging(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 2000,
                                 .lateness_ms = 500,
                                 .trigger = &leat__trigger_event_time_purging});
    read_late(&w);
    el(&w, 500);
    wm(&w, 1500);
    el(&w, 1300);
    expect_nothing(&w);
    wm(&w, 2300);
    expect_result(&w, 2, 1999);
    el(&w, 1997);
    expect_result(&w, 1, 1999); /* at once: the window is over already */
    wm(&w, 6000);
    expect_nothing(&w);
    el(&w, 1998);
    assert_int_equal(w.late_count, 1);
    assert_int_equal(w.late[0], 1998);
    assert_int_equal(timers_left(&w), 0);
    close_world(&w);
}

/* tumbling 2 s, lateness 0: el 1000, WM 1985, el 1980, WM 1999 -> 2@1999; 1998 -> late; 2001, WM
 * 2999, WM 3999 -> 1@3999 */
static void N5_N6_tumbling_2s_lateness_0(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 2000});
    read_late(&w);
    el(&w, 1000);
    wm(&w, 1985);
    el(&w, 1980);
    wm(&w, 1999);
    expect_result(&w, 2, 1999);
    el(&w, 1998);
    assert_int_equal(w.late_count, 1);
    assert_int_equal(w.late[0], 1998);
    el(&w, 2001);
    wm(&w, 2999);
    expect_nothing(&w);
    wm(&w, 3999);
    expect_result(&w, 1, 3999);
    close_world(&w);
}

/* overflow: window 1000, lateness 2000, ts MAX - 1750: WM MAX - 1500 must not clear it */
static void N5_overflow_does_not_clear_a_window_at_the_end_of_time(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 1000, .lateness_ms = 2000});
    int64_t start_ms = (LEAT_TIME_MAX - 1750) - (LEAT_TIME_MAX - 1750) % 1000;
    el(&w, LEAT_TIME_MAX - 1750);
    assert_true(has_window(&w, start_ms));
    wm(&w, LEAT_TIME_MAX - 1500);
    assert_true(has_window(&w, start_ms));
    expect_nothing(&w);
    wm(&w, LEAT_TIME_MAX - 808);
    expect_result(&w, 1, start_ms + 999);
    assert_true(has_window(&w, start_ms));
    wm(&w, LEAT_TIME_MAX); /* W5 */
    assert_false(has_window(&w, start_ms));
    close_world(&w);
}

/* ------------------------------------------------------------------ what else the rules say */

static void N6_contents_survive_the_firing_until_the_clean_up(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 2000, .lateness_ms = 500});
    el(&w, 500);
    wm(&w, 1999);
    expect_result(&w, 1, 1999);
    el(&w, 1000);
    expect_result(&w, 2, 1999); /* refined, not started anew */
    wm(&w, 2498);
    assert_true(has_window(&w, 0));
    wm(&w, 2499);
    assert_false(has_window(&w, 0));
    expect_nothing(&w);
    assert_int_equal(timers_left(&w), 0);
    close_world(&w);
}

static void N6_without_lateness_the_firing_is_the_clean_up(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 2000});
    el(&w, 500);
    assert_int_equal(timers_left(&w), 1);
    wm(&w, 1999);
    expect_result(&w, 1, 1999);
    assert_false(has_window(&w, 0));
    close_world(&w);
}

static void N5_without_a_reader_late_records_are_counted(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 2000});
    wm(&w, 5000);
    el(&w, 100);
    el(&w, 3999);
    assert_int_equal(w.dropped_count, 2);
    el(&w, 4000);
    assert_int_equal(w.dropped_count, 2);
    wm(&w, 5999);
    expect_result(&w, 1, 5999);
    close_world(&w);
}

/* An element whose window is still open is not late, however old it is. */
static void N5_an_element_behind_the_watermark_is_kept_while_its_window_is_open(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 2000});
    wm(&w, 1500);
    el(&w, 10);
    assert_int_equal(w.dropped_count, 0);
    wm(&w, 1999);
    expect_result(&w, 1, 1999);
    close_world(&w);
}

static void N8_the_result_knows_its_window(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 5000, .offset_ms = -100});
    el(&w, 0);
    wm(&w, LEAT_TIME_MAX);
    const result *r = expect_result(&w, 1, 4899);
    assert_int_equal(r->tally.start_ms, -100);
    assert_int_equal(r->tally.end_ms, 4900);
    close_world(&w);
}

static void N8_without_result_the_accumulator_is_emitted(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 1000});
    w.spec.config.aggregate.op.result = NULL;
    el(&w, 1);
    el(&w, 2);
    wm(&w, 999);
    const result *r = expect_result(&w, 2, 999);
    assert_int_equal(r->tally.end_ms, 0);
    close_world(&w);
}

static void T1_windows_of_one_key_fire_in_the_order_of_time(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 1000});
    el(&w, 2500);
    el(&w, 500);
    el(&w, 1500);
    el(&w, 1501);
    wm(&w, 10000);
    expect_result(&w, 1, 999);
    expect_result(&w, 2, 1999);
    expect_result(&w, 1, 2999);
    close_world(&w);
}

static void windows_of_different_keys_do_not_mix(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.size_ms = 1000});
    el_of(&w, "b", 1);
    el_of(&w, "a", 2);
    el_of(&w, "b", 3);
    wm(&w, 999);
    assert_string_equal(expect_result(&w, 1, 999)->key, "a"); /* T2: then by key */
    assert_string_equal(expect_result(&w, 2, 999)->key, "b");
    close_world(&w);
}

/* The builder refuses the kind for now; the operator has it. */
static void N2_sliding_windows_each_get_the_element(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.kind = LEAT_SLIDING, .size_ms = 3000, .slide_ms = 1000});
    el(&w, 500);
    el(&w, 1500);
    wm(&w, 5000);
    expect_result(&w, 1, 999);
    expect_result(&w, 2, 1999);
    expect_result(&w, 2, 2999);
    expect_result(&w, 1, 3999);
    close_world(&w);
}

/* Late for some of its windows only: those skip it, and it is not a late element. */
static void N5_an_element_late_for_some_windows_is_added_to_the_others(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.kind = LEAT_SLIDING, .size_ms = 2000, .slide_ms = 1000});
    wm(&w, 999);
    el(&w, 500);
    assert_int_equal(w.dropped_count, 0);
    wm(&w, 5000);
    expect_result(&w, 1, 1999);
    el(&w, 500);
    assert_int_equal(w.dropped_count, 1);
    close_world(&w);
}

static void N2_cumulating_windows_that_share_a_start_are_kept_apart(void **state)
{
    (void)state;
    world w;
    open_world(&w, (leat_window){.kind = LEAT_CUMULATING, .size_ms = 3000, .slide_ms = 1000});
    el(&w, 500);
    el(&w, 1500);
    wm(&w, 5000);
    expect_result(&w, 1, 999);
    expect_result(&w, 2, 1999);
    expect_result(&w, 2, 2999);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(N6_N7_tumbling_2s_lateness_500_purging),
        cmocka_unit_test(N5_N6_tumbling_2s_lateness_0),
        cmocka_unit_test(N5_overflow_does_not_clear_a_window_at_the_end_of_time),
        cmocka_unit_test(N6_contents_survive_the_firing_until_the_clean_up),
        cmocka_unit_test(N6_without_lateness_the_firing_is_the_clean_up),
        cmocka_unit_test(N5_without_a_reader_late_records_are_counted),
        cmocka_unit_test(N5_an_element_behind_the_watermark_is_kept_while_its_window_is_open),
        cmocka_unit_test(N8_the_result_knows_its_window),
        cmocka_unit_test(N8_without_result_the_accumulator_is_emitted),
        cmocka_unit_test(T1_windows_of_one_key_fire_in_the_order_of_time),
        cmocka_unit_test(windows_of_different_keys_do_not_mix),
        cmocka_unit_test(N2_sliding_windows_each_get_the_element),
        cmocka_unit_test(N5_an_element_late_for_some_windows_is_added_to_the_others),
        cmocka_unit_test(N2_cumulating_windows_that_share_a_start_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
