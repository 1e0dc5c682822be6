/* Windows in a running job, on the simulated log: the worked sequences of semantics.md that the
 * public interface can say, through crashes, across an exchange, and to the end of the input.
 *
 *   el(1000)    an event of "ann"
 *   wm(1985)    an event of "clock" that takes the watermark there
 *
 * Both go to one partition; only what comes out for "ann" counts.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leat/leat.h>
#include <leat/test.h>

struct event {
    leat_str user;
    int64_t ts_ms;
};
LEAT_RECORD(event, user, ts_ms);

struct count {
    leat_str user;
    uint64_t count;
    int64_t end_ms;
};
LEAT_RECORD(count, user, count, end_ms);

static void add_event(void *acc, const void *record)
{
    struct count *count = acc;
    count->user = ((const struct event *)record)->user;
    count->count++;
}

static void close_window(const void *acc, const leat_span *window, void *out)
{
    struct count *count = out;
    *count = *(const struct count *)acc;
    count->end_ms = window->end_ms;
}

static const leat_aggregate_op counting = {.in = &event_type,
                                           .acc = &count_type,
                                           .out = &count_type,
                                           .add = add_event,
                                           .result = close_window};

static int sequence;
static char url[64];
static leat_test *test;

static leat_exchange exchange_kind; /* what comes out is the same */

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof url, "sim:windows-%d", sequence++);
    return 0;
}

static int end_test(void **state)
{
    (void)state;
    leat_test_free(test);
    test = NULL;
    return 0;
}

/* where "ann" and "clock" go: behind an exchange anywhere, else where their names say (P1) */
static uint32_t home;

static void start_job(const leat_window *window, leat_log_source source)
{
    source.topic = "events";
    source.time_field = "ts_ms";
    home = source.partitioned_by == NULL ? 0 : 2;
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "windows",
                                                  .log = url,
                                                  .partition_count = 3,
                                                  .exchange = exchange_kind,
                                                  .drain = source.until_end});
    leat_stream events = leat_from_log(job, "events", &event_type, &source);
    leat_stream counts =
        leat_window_aggregate(leat_key_by(events, "user"), "per-user", window, &counting);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "counts", .key = "user"});
    leat_to_log(leat_late(counts), "late", &(leat_log_sink){.topic = "late", .key = "user"});
    test = leat_test_new(job);
}

static const leat_log_source one_stage = {.partitioned_by = "user"};

static void send_to(uint32_t partition, const char *user, int64_t timestamp_ms)
{
    char json[96];
    (void)snprintf(json, sizeof json, "{\"user\":\"%s\",\"ts_ms\":%" PRId64 "}", user,
                   timestamp_ms);
    leat_test_send_to(test, "events", partition, json);
}

static void run(void)
{
    if (leat_test_run(test) != LEAT_OK)
        fail_msg("%s: %s", leat_test_error(test)->where, leat_test_error(test)->message);
}

static void el(int64_t timestamp_ms)
{
    send_to(home, "ann", timestamp_ms);
    run();
}

static void wm(int64_t watermark_ms)
{
    send_to(home, "clock", watermark_ms + 1); /* W1 with a bound of 0 */
    run();
}

/* The next record for "ann" in a topic. */
static bool next_of_ann(const char *topic, leat_log_record *record)
{
    while (leat_test_next(test, topic, record))
        if (leat_str_equal(record->key, LEAT_STR("ann")))
            return true;
    return false;
}

static void expect_result(uint64_t count, int64_t end_ms)
{
    leat_log_record record;
    if (!next_of_ann("counts", &record))
        fail_msg("no result");
    char wanted[96];
    (void)snprintf(wanted, sizeof wanted,
                   "{\"user\":\"ann\",\"count\":%" PRIu64 ",\"end_ms\":%" PRId64 "}", count,
                   end_ms);
    if (!leat_str_equal(record.value, leat_str_from(wanted)))
        fail_msg("'%.*s' is not '%s'", (int)record.value.length, record.value.data, wanted);
    assert_true(record.timestamp_ms == end_ms - 1); /* N6 */
}

static void expect_none(const char *topic)
{
    leat_log_record record;
    if (next_of_ann(topic, &record))
        fail_msg("unexpected '%.*s'", (int)record.value.length, record.value.data);
}

static void expect_late(int64_t timestamp_ms)
{
    leat_log_record record;
    if (!next_of_ann("late", &record))
        fail_msg("no late record");
    assert_true(record.timestamp_ms == timestamp_ms);
}

/* ------------------------------------------------------------------ worked sequences */

static void N5_N6_tumbling_2s_lateness_0(void **state)
{
    (void)state;
    start_job(&(leat_window){.size_ms = 2000}, one_stage);
    el(1000);
    wm(1985);
    el(1980);
    expect_none("counts");
    wm(1999);
    expect_result(2, 2000);
    el(1998);
    expect_late(1998);
    el(2001);
    wm(2999);
    expect_none("counts");
    wm(3999);
    expect_result(1, 4000);
    expect_none("late");
}

/* The public interface has no purging trigger, so results accumulate. */
static void N6_N7_tumbling_2s_lateness_500_accumulating(void **state)
{
    (void)state;
    start_job(&(leat_window){.size_ms = 2000, .lateness_ms = 500}, one_stage);
    el(500);
    wm(1500);
    el(1300);
    wm(2300);
    expect_result(2, 2000);
    el(1997);
    expect_result(3, 2000);
    wm(6000);
    expect_none("counts");
    el(1998);
    expect_late(1998);
    expect_none("counts");
}

static void N5_overflow_keeps_the_window_until_the_end_of_time(void **state)
{
    (void)state;
    start_job(&(leat_window){.size_ms = 1000, .lateness_ms = 2000}, one_stage);
    el(LEAT_TIME_MAX - 1750);
    wm(LEAT_TIME_MAX - 1500);
    expect_none("counts");
    el(LEAT_TIME_MAX - 1751);
    wm(LEAT_TIME_MAX - 808);
    int64_t start_ms = (LEAT_TIME_MAX - 1750) - (LEAT_TIME_MAX - 1750) % 1000;
    expect_result(2, start_ms + 1000);
    expect_none("late");
}

/* ------------------------------------------------------------------ crashes, exchange, end */

static void crash_after_steps(int count)
{
    for (int i = 0; i < count; i++) {
        (void)leat_test_step(test);
        if (i % 2 == 1)
            leat_test_advance(test, 1);
    }
    leat_test_crash(test);
    run();
}

static void windows_and_their_timers_survive_a_crash_at_any_step(void **state)
{
    for (int steps = 0; steps < 12; steps++) {
        (void)fresh_log(state);
        start_job(&(leat_window){.size_ms = 2000, .lateness_ms = 500}, one_stage);
        send_to(home, "ann", 500);
        send_to(home, "ann", 1300);
        crash_after_steps(steps);
        expect_none("counts");
        send_to(home, "clock", 2301);
        crash_after_steps(steps);
        expect_result(2, 2000);
        send_to(home, "ann", 1997);
        crash_after_steps(steps);
        expect_result(3, 2000);
        leat_test_restart(test);
        wm(6000);
        el(1998);
        expect_late(1998);
        expect_none("counts");
        if (steps < 11)
            (void)end_test(state);
    }
}

static void W3_W4_behind_an_exchange_idle_partitions_do_not_hold_time_back(void **state)
{
    (void)state;
    start_job(&(leat_window){.size_ms = 2000}, (leat_log_source){.idle_ms = 100});
    el(500);
    send_to(1, "ann", 700);
    wm(5000);
    expect_none("counts"); /* partition 1 stands at 699, 2 and 3 nowhere */
    leat_test_advance(test, 150);
    run();
    send_to(0, "clock", 5002);
    run();
    expect_result(2, 2000);
}

static void W3_behind_an_exchange_time_is_the_least_of_the_partitions(void **state)
{
    (void)state;
    start_job(&(leat_window){.size_ms = 2000}, (leat_log_source){0});
    el(500);
    for (uint32_t partition = 1; partition < 4; partition++)
        send_to(partition, "clock", 9000);
    run();
    expect_none("counts");
    wm(1998);
    expect_none("counts");
    wm(1999);
    expect_result(1, 2000);
}

/* The watermark of each partition is part of what is committed (W3): after a restart the partitions
 * that have nothing new do not hold time back to its beginning. */
static void W3_behind_an_exchange_time_goes_on_after_a_crash(void **state)
{
    (void)state;
    start_job(&(leat_window){.size_ms = 2000}, (leat_log_source){0});
    el(500);
    for (uint32_t partition = 1; partition < 4; partition++)
        send_to(partition, "clock", 9000);
    wm(1500);
    leat_test_crash(test);
    run();
    wm(1999);
    expect_result(1, 2000);
}

/* What is in the log before the job starts: until_end reads no further. */
static leat_log *log_with_events(void)
{
    leat_log *log;
    leat_error error;
    if (leat_log_open(&log, url, NULL, &error) != LEAT_OK)
        fail_msg("%s", error.message);
    leat_topic_opts four = {.partition_count = 4};
    leat_log_record events[] = {
        {.topic = "events", .partition = 2, .value = LEAT_STR("{\"user\":\"ann\",\"ts_ms\":4500}")},
        {.topic = "events", .partition = 2, .value = LEAT_STR("{\"user\":\"ann\",\"ts_ms\":500}")}};
    assert_int_equal(leat_topic_create(log, "events", &four, &error), LEAT_OK);
    assert_int_equal(leat_log_append(log, events, 2, &error), LEAT_OK);
    return log;
}

static void W5_at_the_end_of_a_drained_input_every_window_fires(void **state)
{
    (void)state;
    for (int exchange = 0; exchange < 2; exchange++) {
        (void)fresh_log(state);
        leat_log *log = log_with_events();
        start_job(
            &(leat_window){.size_ms = 2000, .lateness_ms = 500},
            (leat_log_source){.partitioned_by = exchange == 0 ? "user" : NULL, .until_end = true});
        run();
        expect_result(1, 2000); /* one batch, so the watermark 4499 came after both (W2) */
        expect_result(1, 6000);
        expect_none("late");
        expect_none("counts");
        leat_log_close(log);
        if (exchange == 0)
            (void)end_test(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(N5_N6_tumbling_2s_lateness_0, fresh_log, end_test),
        cmocka_unit_test_setup_teardown(N6_N7_tumbling_2s_lateness_500_accumulating, fresh_log,
                                        end_test),
        cmocka_unit_test_setup_teardown(N5_overflow_keeps_the_window_until_the_end_of_time,
                                        fresh_log, end_test),
        cmocka_unit_test_setup_teardown(windows_and_their_timers_survive_a_crash_at_any_step,
                                        fresh_log, end_test),
        cmocka_unit_test_setup_teardown(
            W3_W4_behind_an_exchange_idle_partitions_do_not_hold_time_back, fresh_log, end_test),
        cmocka_unit_test_setup_teardown(W3_behind_an_exchange_time_is_the_least_of_the_partitions,
                                        fresh_log, end_test),
        cmocka_unit_test_setup_teardown(W3_behind_an_exchange_time_goes_on_after_a_crash, fresh_log,
                                        end_test),
        cmocka_unit_test_setup_teardown(W5_at_the_end_of_a_drained_input_every_window_fires,
                                        fresh_log, end_test),
    };
    int failed = 0;
    for (exchange_kind = LEAT_EXCHANGE_MEMORY; exchange_kind <= LEAT_EXCHANGE_LOG; exchange_kind++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
