/* Event time against the clock (W7), on the simulated log with clocks that the test sets: the wall
 * clock may be set apart from the monotonic one.
 *
 *   events (2 partitions) ─► windows per page of 10 s, behind an exchange ─► out, late
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/run.h"
#include "log/driver.h"
#include <leat/leat.h>

#define T0 INT64_C(1767225600000) /* 2026-01-01 */
#define HOUR LEAT_HOURS(1)

struct event {
    leat_str page;
    int64_t ts_ms;
};
LEAT_RECORD(event, page, ts_ms);

struct visits {
    leat_str page;
    int64_t from_ms, count;
};
LEAT_RECORD(visits, page, from_ms, count);

typedef struct world {
    int64_t wall_ms, monotonic_us;
    uint64_t random;
    leat_env env;
    leat_log *log;
    leat_log_reader *reader;
    leat_job *job;
    leat_error error;
} world;

static world w;

typedef struct setting {
    int64_t max_ahead_ms, idle_ms;
    leat_on_error on_error;
    leat_exchange exchange;
} setting;

/* ------------------------------------------------------------------ the job */

static void add_visit(void *acc, const void *record)
{
    struct visits *visits = acc;
    visits->page = ((const struct event *)record)->page;
    visits->count++;
}

static void close_window(const void *acc, const leat_span *window, void *out)
{
    struct visits *visits = out;
    *visits = *(const struct visits *)acc;
    visits->from_ms = window->start_ms;
}

static const leat_aggregate_op per_window = {.in = &event_type,
                                             .acc = &visits_type,
                                             .out = &visits_type,
                                             .add = add_visit,
                                             .result = close_window};

static leat_job *new_job(const setting *with)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "job",
                                                  .log_handle = w.log,
                                                  .exchange = with->exchange,
                                                  .max_ahead_ms = with->max_ahead_ms});
    job->env = &w.env;
    return job;
}

static void sink(leat_stream in, const char *topic)
{
    leat_to_log(in, topic, &(leat_log_sink){.topic = topic, .partition_count = 1});
}

static void windows_of(leat_stream events)
{
    static const leat_window ten = {.size_ms = LEAT_SECONDS(10)};
    leat_stream windows =
        leat_window_aggregate(leat_key_by(events, "page"), "windows", &ten, &per_window);
    sink(windows, "out");
    sink(leat_late(windows), "late");
}

static void start(const setting *with)
{
    leat_job *job = w.job = new_job(with);
    windows_of(leat_from_log(job, "events", &event_type,
                             &(leat_log_source){.topic = "events",
                                                .time_field = "ts_ms",
                                                .idle_ms = with->idle_ms,
                                                .on_error = with->on_error}));
}

/* ------------------------------------------------------------------ the world */

static int64_t now_ms(void *arg)
{
    (void)arg;
    return w.wall_ms;
}

static int64_t monotonic_us(void *arg)
{
    (void)arg;
    return w.monotonic_us;
}

static uint64_t random_u64(void *arg)
{
    (void)arg;
    return ++w.random;
}

static void make_topic(const char *topic, uint32_t partition_count)
{
    const leat_topic_opts opts = {.partition_count = partition_count};
    assert_int_equal(leat_topic_create(w.log, topic, &opts, NULL), LEAT_OK);
}

static int open_world(void **state)
{
    (void)state;
    w = (world){.wall_ms = T0, .monotonic_us = LEAT_HOURS(1) * 1000};
    w.env = (leat_env){NULL, now_ms, monotonic_us, random_u64};
    assert_int_equal(leat__log_open_env(&w.log, "sim:clock", NULL, &w.env, NULL), LEAT_OK);
    make_topic("events", 2);
    make_topic("out", 1);
    make_topic("late", 1);
    make_topic("dead-letters", 1);
    assert_int_equal(leat_log_reader_new(w.log, NULL, NULL, &w.reader, NULL), LEAT_OK);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    leat_job_free(w.job);
    leat_log_reader_free(w.reader);
    leat_log_close(w.log);
    leat__sim_forget("clock");
    return 0;
}

static void crash(void)
{
    leat__run_close(w.job);
    leat_job_free(w.job);
    w.job = NULL;
}

static void send_to(uint32_t partition, int64_t ts_ms)
{
    char json[80];
    (void)snprintf(json, sizeof json, "{\"page\":\"/\",\"ts_ms\":%" PRId64 "}", ts_ms);
    leat_log_record record = {
        .topic = "events", .partition = partition, .value = leat_str_from(json)};
    assert_int_equal(leat_log_append(w.log, &record, 1, NULL), LEAT_OK);
}

static void send(int64_t ts_ms) /* time is the least of the partitions */
{
    send_to(0, ts_ms);
    send_to(1, ts_ms);
}

/* A second of both clocks. */
static leat_status step_on(void)
{
    for (int n = 0; n < 200; n++) {
        bool busy;
        w.wall_ms += 5;
        w.monotonic_us += 5000;
        leat_status status = leat_job_step(w.job, &busy, &w.error);
        if (status != LEAT_OK || ((leat__run *)w.job->run)->finished)
            return status;
    }
    return LEAT_OK;
}

static void run(void)
{
    if (step_on() != LEAT_OK)
        fail_msg("%s: %s", w.error.where, w.error.message);
}

static leat_job_stats stats(void)
{
    leat_job_stats now;
    leat_job_get_stats(w.job, &now);
    return now;
}

static int64_t end_of(const char *topic)
{
    int64_t begin, end;
    assert_int_equal(leat_log_bounds(w.log, topic, 0, &begin, &end, NULL), LEAT_OK);
    return end;
}

static void expect_dead_letter(int64_t offset, const char *text)
{
    leat_log_record record;
    size_t count = 0;
    assert_int_equal(leat_log_reader_seek(w.reader, "dead-letters", 0, offset, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_poll(w.reader, &record, 1, &count, NULL), LEAT_OK);
    assert_int_equal(count, 1);
    char value[2000];
    assert_true(record.value.length < sizeof value);
    memcpy(value, record.value.data, record.value.length);
    value[record.value.length] = '\0';
    if (strstr(value, text) == NULL)
        fail_msg("'%s' is not in %s", text, value);
}

static int64_t time_of_page(void)
{
    int64_t watermark_ms;
    assert_int_equal(leat_job_time(w.job, "windows", LEAT_STR("/"), &watermark_ms, &w.error),
                     LEAT_OK);
    return watermark_ms;
}

/* ------------------------------------------------------------------ the bound */

static void W7_what_is_ahead_of_the_clock_moves_no_watermark(void **state)
{
    (void)state;
    start(&(setting){.on_error = LEAT_ON_ERROR_DEAD_LETTER});
    send(T0 + 24 * HOUR);
    send(T0 - 5000);
    send(T0 + 5000);
    run();
    assert_int_equal(time_of_page(), T0 + 4999);
    assert_int_equal(end_of("out"), 1);
    assert_int_equal(end_of("late"), 0);
    assert_int_equal(end_of("dead-letters"), 2);
    assert_int_equal(stats().records_ahead, 2);
    assert_int_equal(stats().records_dead, 2);
    expect_dead_letter(0, "2026-01-02T00:00:00Z (1767312000000) is 24.0 h ahead of the clock");
    expect_dead_letter(0, "max_ahead_ms");
    expect_dead_letter(0, "\\\"ts_ms\\\":1767312000000");
}

static void W7_by_default_an_hour_is_believed_and_no_more(void **state)
{
    (void)state;
    start(&(setting){.on_error = LEAT_ON_ERROR_SKIP});
    run();
    w.wall_ms = T0;
    send(T0 + 5 + HOUR); /* the epoch's clock: a step of the clock later */
    send(T0 + 6 + HOUR);
    run();
    assert_int_equal(stats().records_ahead, 2);
    assert_int_equal(stats().records_skipped, 2);
    assert_int_equal(time_of_page(), T0 + 4 + HOUR);
}

static void W7_the_bound_can_be_set_or_taken_away(void **state)
{
    (void)state;
    start(&(setting){.max_ahead_ms = LEAT_MINUTES(5), .on_error = LEAT_ON_ERROR_SKIP});
    send(T0 + LEAT_MINUTES(6));
    send(T0 + LEAT_MINUTES(4));
    run();
    assert_int_equal(stats().records_ahead, 2);
    crash();
    start(&(setting){.max_ahead_ms = LEAT_TIME_MAX});
    send(LEAT_TIME_MAX - 1000);
    send(LEAT_TIME_MIN + 1000);
    run();
    assert_int_equal(stats().records_ahead, 0);
}

static void W7_the_error_names_time_clock_bound_and_unit(void **state)
{
    (void)state;
    start(&(setting){0});
    send_to(0, T0 * 1000);
    assert_int_equal(step_on(), LEAT_EDATA);
    static const char *const parts[] = {"1767225600000000", "ahead of the clock, 2026-01-01T00:00:",
                                        "at most 1.0 h",    "max_ahead_ms",
                                        "microseconds",     "events, partition 0, offset 0"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(w.error.message, parts[i]) == NULL)
            fail_msg("'%s' is not in '%s'", parts[i], w.error.message);
}

/* R21: the clock of the epoch decides; what was decided in one that is done again never was. */
static void W7_a_replay_may_decide_otherwise_but_only_once(void **state)
{
    (void)state;
    start(&(setting){.on_error = LEAT_ON_ERROR_DEAD_LETTER});
    run();
    send(T0 + HOUR + LEAT_MINUTES(10));
    bool busy;
    while (((leat__run *)w.job->run)->tasks[0]->counters.ahead == 0)
        assert_int_equal(leat_job_step(w.job, &busy, &w.error), LEAT_OK);
    crash(); /* before it is committed */
    assert_int_equal(end_of("dead-letters"), 0);
    w.wall_ms += LEAT_MINUTES(20);
    w.monotonic_us += LEAT_MINUTES(20) * 1000;
    start(&(setting){.on_error = LEAT_ON_ERROR_DEAD_LETTER});
    send(T0 + HOUR + LEAT_MINUTES(11));
    run();
    assert_int_equal(end_of("dead-letters"), 0);
    assert_int_equal(end_of("out"), 1);
}

/* ------------------------------------------------------------------ other sources */

static bool one_ahead(void *arg, uint32_t partition, uint64_t index, void *record)
{
    (void)arg;
    (void)partition;
    const int64_t ts_ms[] = {T0, T0 + 30 * HOUR, T0 + 1000};
    if (index >= 3)
        return false;
    *(struct event *)record = (struct event){LEAT_STR("/"), ts_ms[index]};
    return true;
}

static void W7_holds_for_generators_and_arrays(void **state)
{
    (void)state;
    struct event rows[3];
    for (uint64_t i = 0; i < 3; i++)
        (void)one_ahead(NULL, 0, i, &rows[i]);
    for (int n = 0; n < 4; n++) {
        leat_on_error policy = n & 1 ? LEAT_ON_ERROR_DEAD_LETTER : LEAT_ON_ERROR_STOP;
        leat_job *job = w.job = new_job(&(setting){0});
        if (n & 2)
            sink(leat_from_array(
                     job, "rows", &event_type,
                     &(leat_array){
                         .records = rows, .count = 3, .time_field = "ts_ms", .on_error = policy}),
                 "out");
        else
            sink(leat_from_generator(job, "made", &event_type,
                                     &(leat_generator){.generate = one_ahead,
                                                       .time_field = "ts_ms",
                                                       .on_error = policy}),
                 "out");
        assert_int_equal(step_on(), policy == LEAT_ON_ERROR_STOP ? LEAT_EDATA : LEAT_OK);
        if (policy == LEAT_ON_ERROR_STOP) {
            assert_non_null(strstr(w.error.message, "partition 0, offset 1"));
        } else {
            assert_int_equal(end_of("dead-letters"), 1);
            expect_dead_letter(0, "\\\"ts_ms\\\":1767333600000");
            assert_int_equal(end_of("out"), 2);
        }
        (void)close_world(NULL);
        (void)open_world(NULL);
    }
}

/* ------------------------------------------------------------------ a start */

static void W7_time_that_ran_ahead_begins_again_at_the_clock(void **state)
{
    (void)state;
    for (leat_exchange exchange = LEAT_EXCHANGE_MEMORY; exchange <= LEAT_EXCHANGE_LOG; exchange++) {
        start(&(setting){.exchange = exchange, .max_ahead_ms = LEAT_TIME_MAX});
        send(T0 + 24 * HOUR);
        run();
        crash();
        start(&(setting){.exchange = exchange});
        send(T0 + 11000);
        send(T0 + 21000);
        run();
        assert_int_equal(end_of("late"), 0);
        assert_true(stats().times_clamped >= 2);
        assert_int_equal(time_of_page(), T0 + 20999);
        assert_int_equal(end_of("out"), 1);
        crash();
        start(&(setting){.exchange = exchange});
        send(T0 + 22000);
        send(T0 + 31000);
        run();
        assert_int_equal(stats().times_clamped, 0); /* it stays mended */
        assert_int_equal(end_of("late"), 0);
        assert_int_equal(end_of("out"), 2);
        (void)close_world(NULL);
        (void)open_world(NULL);
    }
}

/* ------------------------------------------------------------------ a clock that is set */

static void W7_a_clock_set_back_lets_time_begin_again(void **state)
{
    (void)state;
    for (leat_exchange exchange = LEAT_EXCHANGE_MEMORY; exchange <= LEAT_EXCHANGE_LOG; exchange++) {
        start(&(setting){.exchange = exchange});
        send(T0);
        run();
        w.wall_ms += 24 * HOUR;
        run();
        assert_int_equal(stats().clock_steps, 1);
        send(w.wall_ms); /* stamped by this clock */
        run();
        w.wall_ms -= 24 * HOUR;
        run();
        assert_int_equal(stats().clock_steps, 2);
        assert_int_equal(stats().rewinds, 1);
        send(T0 + 11000);
        send(T0 + 21000);
        run();
        assert_int_equal(end_of("late"), 0);
        assert_int_equal(time_of_page(), T0 + 20999);
        assert_int_equal(stats().rewinds, 1);
        (void)close_world(NULL);
        (void)open_world(NULL);
    }
}

/* Silence is measured by the clock that nobody sets. */
static void W4_a_clock_set_forward_makes_no_partition_idle(void **state)
{
    (void)state;
    start(&(setting){.idle_ms = LEAT_SECONDS(30)});
    send_to(0, T0);
    send_to(1, T0 + 15000);
    run();
    assert_int_equal(time_of_page(), T0 - 1);
    w.wall_ms += 24 * HOUR;
    run();
    assert_int_equal(time_of_page(), T0 - 1);
    for (int seconds = 0; seconds < 32; seconds++)
        run();
    assert_int_equal(time_of_page(), T0 + 14999);
}

int main(void)
{
#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(W7_what_is_ahead_of_the_clock_moves_no_watermark),
        IN_A_WORLD(W7_by_default_an_hour_is_believed_and_no_more),
        IN_A_WORLD(W7_the_bound_can_be_set_or_taken_away),
        IN_A_WORLD(W7_the_error_names_time_clock_bound_and_unit),
        IN_A_WORLD(W7_a_replay_may_decide_otherwise_but_only_once),
        IN_A_WORLD(W7_holds_for_generators_and_arrays),
        IN_A_WORLD(W7_time_that_ran_ahead_begins_again_at_the_clock),
        IN_A_WORLD(W7_a_clock_set_back_lets_time_begin_again),
        IN_A_WORLD(W4_a_clock_set_forward_makes_no_partition_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
