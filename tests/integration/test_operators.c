/* Each operator through the engine: what goes in, what comes out, on the simulated log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leat/leat.h>
#include <leat/test.h>

struct reading {
    leat_str sensor;
    int64_t ts_ms;
    int64_t value;
};
LEAT_RECORD(reading, sensor, ts_ms, value);
struct doubled {
    leat_str sensor;
    int64_t twice;
};
LEAT_RECORD(doubled, sensor, twice);

static int sequence;
static char url[64];

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof(url), "sim:operators-%d", sequence++);
    return 0;
}

static leat_exchange exchange_kind;

static leat_job *new_job(void)
{
    return leat_job_new(&(leat_job_opts){.name = "job", .log = url, .exchange = exchange_kind});
}

static leat_stream readings(leat_job *job, const char *topic)
{
    return leat_from_log(
        job, topic, &reading_type,
        &(leat_log_source){.topic = topic, .time_field = "ts_ms", .partitioned_by = "sensor"});
}

static void out(leat_stream in)
{
    leat_to_log(in, "out", &(leat_log_sink){.topic = "out", .partition_count = 1});
}

static void send(leat_test *test, const char *topic, const char *sensor, int64_t ts_ms,
                 int64_t value)
{
    char json[120];
    (void)snprintf(json, sizeof(json), "{\"sensor\":\"%s\",\"ts_ms\":%lld,\"value\":%lld}", sensor,
                   (long long)ts_ms, (long long)value);
    leat_test_send_keyed(test, topic, sensor, json);
}

#define assert_next(test, topic, expected)                    \
    do {                                                      \
        const char *next_ = leat_test_next_json(test, topic); \
        assert_non_null(next_);                               \
        assert_string_equal(next_, expected);                 \
    } while (0)

/* ------------------------------------------------------------------ stateless */

static void twice(const void *in, void *record, void *arg)
{
    const struct reading *reading = in;
    *(struct doubled *)record =
        (struct doubled){reading->sensor, reading->value * *(const int *)arg};
}

static bool positive(const void *record, void *arg)
{
    (void)arg;
    return ((const struct reading *)record)->value > 0;
}

static leat_status repeat(leat_ctx *ctx, const void *record)
{
    const struct reading *reading = record;
    for (int64_t i = 0; i < reading->value; i++)
        leat_emit(ctx, &(struct reading){reading->sensor, reading->ts_ms, i});
    return reading->value > 3 ? leat_fail(ctx, LEAT_EDATA, "too many") : LEAT_OK;
}

static void map_and_filter(void **state)
{
    (void)state;
    static int factor = 2;
    leat_job *job = new_job();
    out(leat_map(leat_filter(readings(job, "in"), "positive", positive, NULL), "twice",
                 &doubled_type, twice, &factor));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1, -5);
    send(test, "in", "a", 2, 21);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "out", "{\"sensor\":\"a\",\"twice\":42}");
    assert_null(leat_test_next_json(test, "out"));
    leat_test_free(test);
}

static void flat_map_emits_any_number_and_nothing_of_a_failed_call(void **state)
{
    (void)state; /* S3 */
    leat_job *job = new_job();
    out(leat_flat_map(readings(job, "in"), "repeat", &reading_type, repeat, NULL));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1, 0);
    send(test, "in", "a", 2, 2);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    send(test, "in", "a", 3, 4);
    assert_int_equal(leat_test_run(test), LEAT_EDATA);
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":2,\"value\":0}");
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":2,\"value\":1}");
    assert_null(leat_test_next_json(test, "out"));
    leat_test_free(test);
}

static void each_operator_has_its_error_policy(void **state)
{
    (void)state; /* R19 */
    leat_job *job = new_job();
    out(leat_on_failure(leat_flat_map(readings(job, "in"), "repeat", &reading_type, repeat, NULL),
                        LEAT_ON_ERROR_DEAD_LETTER));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1, 4);
    send(test, "in", "a", 2, 1);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":2,\"value\":0}");
    assert_null(leat_test_next_json(test, "out"));
    const char *dead = leat_test_next_json(test, "dead-letters");
    assert_non_null(dead);
    assert_non_null(strstr(dead, "\"operator\":\"repeat\""));
    assert_non_null(strstr(dead, "too many"));
    leat_test_free(test);
}

/* ------------------------------------------------------------------ keyed */

static void add_value(void *acc, const void *record, void *arg)
{
    (void)arg;
    ((struct reading *)acc)->value += ((const struct reading *)record)->value;
}

static void reduce_folds_per_key(void **state)
{
    (void)state; /* N8 */
    leat_job *job = new_job();
    out(leat_reduce(leat_key_by(readings(job, "in"), "sensor"), "sum", add_value, NULL));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1, 1);
    send(test, "in", "a", 2, 10);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_crash(test);
    send(test, "in", "a", 3, 100);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1,\"value\":1}");
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1,\"value\":11}");
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1,\"value\":111}");
    leat_test_free(test);
}

struct mean {
    int64_t sum, count;
};
LEAT_RECORD(mean, sum, count);

static void mean_add(void *acc, const void *record)
{
    ((struct mean *)acc)->sum += ((const struct reading *)record)->value;
    ((struct mean *)acc)->count++;
}

static void mean_result(const void *acc, const leat_span *window, void *result)
{
    (void)window;
    ((struct doubled *)result)->sensor = LEAT_STR("mean");
    ((struct doubled *)result)->twice =
        ((const struct mean *)acc)->sum / ((const struct mean *)acc)->count;
}

static void a_running_aggregate_emits_its_result(void **state)
{
    (void)state; /* N8 */
    static const leat_aggregate_op op = {.in = &reading_type,
                                         .acc = &mean_type,
                                         .out = &doubled_type,
                                         .add = mean_add,
                                         .result = mean_result};
    leat_job *job = new_job();
    out(leat_aggregate(leat_key_by(readings(job, "in"), "sensor"), "mean", &op));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1, 10);
    send(test, "in", "a", 2, 20);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "out", "{\"sensor\":\"mean\",\"twice\":10}");
    assert_next(test, "out", "{\"sensor\":\"mean\",\"twice\":15}");
    leat_test_free(test);
}

static void union_joins_streams_and_side_outputs_split_them(void **state)
{
    (void)state; /* J5 */
    leat_job *job = new_job();
    out(leat_union(readings(job, "left"), "both", readings(job, "right")));
    leat_test *test = leat_test_new(job);
    send(test, "left", "a", 5000, 1);
    send(test, "right", "b", 1000, 2);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    const char *first = leat_test_next_json(test, "out");
    assert_non_null(first);
    bool left_first = strstr(first, "\"value\":1") != NULL;
    assert_next(test, "out",
                left_first ? "{\"sensor\":\"b\",\"ts_ms\":1000,\"value\":2}"
                           : "{\"sensor\":\"a\",\"ts_ms\":5000,\"value\":1}");
    leat_test_free(test);
}

static leat_status count_readings(leat_ctx *ctx, const void *record)
{
    struct reading *last = leat_mut(ctx, 0), out = *(const struct reading *)record;
    out.value = last->value + 1;
    *last = out;
    leat_emit(ctx, &out);
    return LEAT_OK;
}

/* Each source is partitioned by the key, but with other numbers of partitions: where a key lies in
 * one says nothing of the other. */
static void a_union_of_partitioned_sources_meets_by_key(void **state)
{
    (void)state; /* J5, P4 */
    static const leat_process_op op = {.in = &reading_type,
                                       .out = &reading_type,
                                       .state = {{.name = "last", .type = &reading_type}},
                                       .on_record = count_readings};
    leat_log *log;
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    for (uint32_t n = 2; n <= 3; n++)
        assert_int_equal(leat_topic_create(log, n == 2 ? "left" : "right",
                                           &(leat_topic_opts){.partition_count = n}, NULL),
                         LEAT_OK);
    leat_job *job = new_job();
    leat_stream left = leat_key_by(readings(job, "left"), "sensor");
    leat_stream right = leat_key_by(readings(job, "right"), "sensor");
    out(leat_process(leat_union(left, "both", right), "count", &op, NULL));
    leat_test *test = leat_test_new(job);
    for (int i = 0; i < 16; i++) {
        char sensor[8];
        (void)snprintf(sensor, sizeof(sensor), "s%d", i % 8);
        send(test, "left", sensor, 1000, 0);
        send(test, "right", sensor, 1000, 0);
    }
    assert_int_equal(leat_test_run(test), LEAT_OK);
    int seen[8][5] = {0};
    for (int i = 0; i < 32; i++) {
        const char *json = leat_test_next_json(test, "out");
        assert_non_null(json);
        int sensor = atoi(strstr(json, ":\"s") + 3), value = atoi(strstr(json, "value") + 7);
        assert_in_range(sensor, 0, 7);
        assert_in_range(value, 1, 4);
        assert_int_equal(seen[sensor][value]++, 0);
    }
    leat_test_free(test);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ process: timers, lists, maps,
 * side outputs */

enum { RECENT, PER_VALUE, SEEN };
enum { QUIET, SOON };
enum { SIDE_ODD };

static leat_status remember(leat_ctx *ctx, const void *record)
{
    const struct reading *reading = record;
    leat_list_append(ctx, RECENT, reading);
    leat_list_trim(ctx, RECENT, 2);
    uint64_t *times = leat_map_mut(ctx, PER_VALUE, &reading->value);
    ++*times;
    leat_timer_set(ctx, QUIET, leat_now(ctx) + 100);
    leat_timer_set_clock(ctx, SOON, leat_clock(ctx) + 1000);
    if (reading->value % 2 == 1)
        leat_emit_to(ctx, SIDE_ODD, reading);
    return LEAT_OK;
}

static leat_status when(leat_ctx *ctx, int timer)
{
    const void *recent;
    size_t count = leat_list_all(ctx, RECENT, &recent);
    const struct reading *last = count == 0 ? NULL : (const struct reading *)recent + count - 1;
    leat_emit(ctx, &(struct reading){leat_key(ctx), leat_now(ctx),
                                     timer * 1000 + (last == NULL ? -1 : last->value)});
    return LEAT_OK;
}

static const leat_process_op remembering = {
    .in = &reading_type,
    .out = &reading_type,
    .state = {[RECENT] = {.name = "recent", .kind = LEAT_STATE_LIST, .type = &reading_type},
              [PER_VALUE] = {.name = "per-value",
                             .kind = LEAT_STATE_MAP,
                             .type = &leat_type_u64,
                             .map_key = &leat_type_i64}},
    .timer = {[QUIET] = "quiet", [SOON] = "soon"},
    .side = {[SIDE_ODD] = {.name = "odd", .type = &reading_type}},
    .on_record = remember,
    .on_timer = when,
};

static void timers_fire_by_event_time_and_by_the_clock(void **state)
{
    (void)state; /* T1, W5 */
    leat_job *job = new_job();
    leat_stream streams =
        leat_process(leat_key_by(readings(job, "in"), "sensor"), "remember", &remembering, NULL);
    out(streams);
    leat_to_log(leat_side(streams, SIDE_ODD), "odd",
                &(leat_log_sink){.topic = "odd", .partition_count = 1});
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1000, 7);
    send(test, "in", "a", 1050, 8); /* moves both timers */
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "odd", "{\"sensor\":\"a\",\"ts_ms\":1000,\"value\":7}");
    assert_null(leat_test_next_json(test, "odd"));
    leat_test_crash(test);          /* timers are state */
    send(test, "in", "a", 1150, 9); /* not yet: the watermark is 1149, and the timer moves on */
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_null(leat_test_next_json(test, "out"));
    leat_test_advance(test, 2000);
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1767225602000,\"value\":1009}");
    /* one shares a's partition */
    for (char other[] = "b"; other[0] <= 'j'; other[0]++)
        send(test, "in", other, 1260, 2);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1250,\"value\":9}");
    assert_null(leat_test_next_json(test, "out"));
    leat_test_free(test);
}

static void a_watermark_fed_by_hand_fires_timers(void **state)
{
    (void)state; /* W1, W5 */
    leat_job *job = new_job();
    out(leat_process(leat_key_by(readings(job, "in"), "sensor"), "remember", &remembering, NULL));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1000, 7);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_send_watermark(test, "in", 1099);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_null(leat_test_next_json(test, "out"));
    leat_test_send_watermark(test, "in", 1100);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1100,\"value\":7}");
    assert_int_equal(leat_test_watermark(test), 1100);
    leat_test_free(test);
}

static void a_snapshot_brings_back_records_positions_and_state(void **state)
{
    (void)state;
    leat_job *job = new_job();
    out(leat_reduce(leat_key_by(readings(job, "in"), "sensor"), "sum", add_value, NULL));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1, 1);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_image *image = leat_test_snapshot(test);
    for (int branch = 0; branch < 2; branch++) { /* two futures of one past */
        send(test, "in", "a", 2, 10 + branch);
        assert_int_equal(leat_test_run(test), LEAT_OK);
        assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1,\"value\":1}");
        assert_next(test, "out",
                    branch == 0 ? "{\"sensor\":\"a\",\"ts_ms\":1,\"value\":11}"
                                : "{\"sensor\":\"a\",\"ts_ms\":1,\"value\":12}");
        assert_null(leat_test_next_json(test, "out"));
        leat_test_restore(test, image);
    }
    leat_test_image_free(image);
    leat_test_free(test);
}

/* ------------------------------------------------------------------ tables, ends, misuse */

static void keep(void *arg, leat_str key, const void *record, const leat_log_record *origin)
{
    (void)origin;
    int64_t *sum = arg;
    *sum += record == NULL ? -1000 : ((const struct reading *)record)->value;
    assert_true(leat_str_equal(key, LEAT_STR("k")));
}

static void a_global_table_reads_everything_and_goes_on(void **state)
{
    (void)state; /* J3 */
    int64_t sum = 0;
    leat_job *job = new_job();
    leat_global_table(
        job, "table",
        &(leat_table){.topic = "table", .type = &reading_type, .on_record = keep, .arg = &sum});
    out(readings(job, "in"));
    leat_test *test = leat_test_new(job);
    leat_test_send_keyed(test, "table", "k", "{\"sensor\":\"k\",\"ts_ms\":1,\"value\":5}");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_int_equal(sum, 5);
    leat_test_crash(test);
    sum = 0;
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_int_equal(sum, 5); /* read again from the beginning */
    leat_test_free(test);
}

static void a_job_stopped_while_it_starts_ends_well(void **state)
{
    (void)state;
    int64_t sum = 0;
    leat_job *job = new_job();
    leat_global_table(
        job, "table",
        &(leat_table){.topic = "table", .type = &reading_type, .on_record = keep, .arg = &sum});
    out(readings(job, "in"));
    leat_job_stop(job); /* as a signal does that comes early */
    leat_error error = {.status = LEAT_EINTERNAL};
    assert_int_equal(leat_job_run(job, &error), LEAT_OK);
    assert_int_equal(error.status, LEAT_OK);
    leat_job_free(job);
}

static void a_bounded_input_ends_the_job_and_fires_every_timer(void **state)
{
    (void)state; /* W5 */
    static const struct reading rows[] = {{{"a", 1}, 1000, 7}, {{"b", 1}, 1001, 8}};
    leat_job *job = new_job();
    leat_stream in =
        leat_from_array(job, "rows", &reading_type,
                        &(leat_array){.records = rows, .count = 2, .time_field = "ts_ms"});
    out(leat_process(leat_key_by(in, "sensor"), "remember", &remembering, NULL));
    leat_test *test = leat_test_new(job);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "out", "{\"sensor\":\"a\",\"ts_ms\":1100,\"value\":7}");
    assert_next(test, "out", "{\"sensor\":\"b\",\"ts_ms\":1101,\"value\":8}");
    leat_test_restart(test);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_null(leat_test_next_json(test, "out")); /* read once, not once a start */
    leat_test_free(test);
}

static leat_status misuse(leat_ctx *ctx, const void *record)
{
    (void)record;
    struct reading *nothing = leat_mut(ctx, 5);
    nothing->value = 1; /* must not crash */
    return LEAT_OK;
}

static void a_slot_that_is_not_declared_fails_the_callback_not_the_process(void **state)
{
    (void)state;
    static const leat_process_op op = {
        .in = &reading_type, .out = &reading_type, .on_record = misuse};
    leat_job *job = new_job();
    out(leat_process(leat_key_by(readings(job, "in"), "sensor"), "wrong", &op, NULL));
    leat_test *test = leat_test_new(job);
    send(test, "in", "a", 1000, 7);
    assert_int_equal(leat_test_run(test), LEAT_EGRAPH);
    assert_string_equal(leat_test_error(test)->where, "wrong");
    leat_test_free(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(map_and_filter, fresh_log),
        cmocka_unit_test_setup(flat_map_emits_any_number_and_nothing_of_a_failed_call, fresh_log),
        cmocka_unit_test_setup(each_operator_has_its_error_policy, fresh_log),
        cmocka_unit_test_setup(a_snapshot_brings_back_records_positions_and_state, fresh_log),
        cmocka_unit_test_setup(a_watermark_fed_by_hand_fires_timers, fresh_log),
        cmocka_unit_test_setup(reduce_folds_per_key, fresh_log),
        cmocka_unit_test_setup(a_running_aggregate_emits_its_result, fresh_log),
        cmocka_unit_test_setup(union_joins_streams_and_side_outputs_split_them, fresh_log),
        cmocka_unit_test_setup(a_union_of_partitioned_sources_meets_by_key, fresh_log),
        cmocka_unit_test_setup(timers_fire_by_event_time_and_by_the_clock, fresh_log),
        cmocka_unit_test_setup(a_global_table_reads_everything_and_goes_on, fresh_log),
        cmocka_unit_test_setup(a_job_stopped_while_it_starts_ends_well, fresh_log),
        cmocka_unit_test_setup(a_bounded_input_ends_the_job_and_fires_every_timer, fresh_log),
        cmocka_unit_test_setup(a_slot_that_is_not_declared_fails_the_callback_not_the_process,
                               fresh_log),
    };
    int failed = 0;
    for (exchange_kind = LEAT_EXCHANGE_MEMORY; exchange_kind <= LEAT_EXCHANGE_LOG; exchange_kind++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
