/* The engine with its real threads on the embedded log: workers, exchange, stops, restarts,
 * bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <leat/leat.h>

enum { USERS = 50, EVENTS = 20000, PARTITIONS = 4 };

struct event {
    leat_str user_id;
    leat_str page;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, page, timestamp_ms);
struct count {
    leat_str key;
    uint64_t count;
};
LEAT_RECORD(count, key, count);

static char dir[64], url[80], state_dir[80];

static int fresh_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/leat-threads-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(url, sizeof(url), "embedded:%s/log", dir);
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static leat_log *open_log(void)
{
    leat_log *log;
    leat_error error = {0};
    if (leat_log_open(&log, url, NULL, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    return log;
}

static void produce(leat_log *log, int first, int events)
{
    leat_topic_opts opts = {.partition_count = PARTITIONS};
    if (first == 0)
        assert_int_equal(leat_topic_create(log, "events", &opts, NULL), LEAT_OK);
    for (int i = first; i < first + events; i++) {
        char key[16], json[120];
        (void)snprintf(key, sizeof(key), "user%d", i % USERS);
        (void)snprintf(json, sizeof(json),
                       "{\"user_id\":\"%s\",\"page\":\"page%d\",\"timestamp_ms\":%d}", key, i % 7,
                       i);
        leat_log_record record = {.topic = "events",
                                  .partition = LEAT_PARTITION_BY_KEY,
                                  .key = leat_str_from(key),
                                  .value = leat_str_from(json)};
        assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
    }
}

static leat_status count_by_key(leat_ctx *ctx, const void *record)
{
    (void)record;
    struct count *count = leat_mut(ctx, 0);
    count->key = leat_key(ctx);
    count->count++;
    leat_emit(ctx, count);
    return LEAT_OK;
}

static const leat_process_op counting = {
    .in = &event_type,
    .out = &count_type,
    .state = {{.name = "count", .type = &count_type}},
    .on_record = count_by_key,
};

static leat_exchange exchange_kind;

/* Counts per user (no exchange) and per page (exchange) from the same events. */
static leat_job *job_on(leat_log *log, uint32_t workers, bool until_end, size_t buffer_bytes)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "threads",
                                                  .log_handle = log,
                                                  .state_dir = state_dir,
                                                  .worker_count = workers,
                                                  .buffer_bytes = buffer_bytes,
                                                  .exchange = exchange_kind});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "events",
                                                          .time_field = "timestamp_ms",
                                                          .partitioned_by = "user_id",
                                                          .until_end = until_end});
    leat_stream users = leat_process(leat_key_by(events, "user_id"), "users", &counting, NULL);
    leat_stream pages = leat_process(leat_key_by(events, "page"), "pages", &counting, NULL);
    leat_to_log(users, "user-counts", &(leat_log_sink){.topic = "user-counts"});
    leat_to_log(pages, "page-counts", &(leat_log_sink){.topic = "page-counts"});
    return job;
}

static void run(leat_job *job)
{
    leat_error error = {0};
    if (leat_job_run(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    leat_job_free(job);
}

/* Per key 1, 2, 3 ... in the topic; `total` records in all. */
static void assert_counted_once(leat_log *log, const char *topic, const char *prefix, int total)
{
    uint64_t seen[USERS] = {0};
    leat_log_reader *reader;
    leat_log_record record;
    size_t count;
    assert_int_equal(leat_log_reader_new(log, NULL, NULL, &reader, NULL), LEAT_OK);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        assert_int_equal(leat_log_reader_seek(reader, topic, p, LEAT_OFFSET_BEGIN, NULL), LEAT_OK);
    for (int n = 0; n < total; n++) {
        assert_int_equal(leat_log_reader_poll(reader, &record, 1, &count, NULL), LEAT_OK);
        if (count != 1)
            fail_msg("%s: %d of %d records", topic, n, total);
        char text[120], format[80];
        int key;
        unsigned long long value;
        (void)snprintf(text, sizeof(text), "%.*s", (int)record.value.length, record.value.data);
        (void)snprintf(format, sizeof(format), "{\"key\":\"%s", prefix);
        assert_memory_equal(text, format, strlen(format));
        assert_int_equal(sscanf(text + strlen(format), "%d\",\"count\":%llu}", &key, &value), 2);
        if (value != ++seen[key])
            fail_msg("%s: %s after %d", topic, text, (int)seen[key] - 1);
    }
    assert_int_equal(leat_log_reader_poll(reader, &record, 1, &count, NULL), LEAT_OK);
    assert_int_equal(count, 0);
    leat_log_reader_free(reader);
}

static void two_workers_and_an_exchange_count_each_event_once(void **state)
{
    (void)state; /* R23 */
    leat_log *log = open_log();
    produce(log, 0, EVENTS / 10);
    run(job_on(log, 2, true, 0));
    assert_counted_once(log, "user-counts", "user", EVENTS / 10);
    assert_counted_once(log, "page-counts", "page", EVENTS / 10);
    leat_log_close(log);
}

static void stopping_and_starting_again_loses_and_repeats_nothing(void **state)
{
    (void)state; /* R6 */
    leat_log *log = open_log();
    int sent = 0;
    for (int round = 0; round < 6; round++) {
        leat_job *job = NULL;
        produce(log, sent, 500);
        sent += 500;
        job = job_on(log, 1 + (uint32_t)round % 3, false, 0);
        assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
        usleep((useconds_t)(round * 3000));
        produce(log, sent, 500);
        sent += 500;
        leat_job_stop(job);
        assert_int_equal(leat_job_wait(job, NULL), LEAT_OK);
        leat_job_free(job);
    }
    run(job_on(log, 2, true, 0));
    assert_counted_once(log, "user-counts", "user", sent);
    assert_counted_once(log, "page-counts", "page", sent);
    leat_log_close(log);
}

static void a_tiny_buffer_bound_pauses_the_source_and_loses_nothing(void **state)
{
    (void)state; /* R9 */
    leat_log *log = open_log();
    produce(log, 0, EVENTS / 10);
    run(job_on(log, 2, true, 4096));
    assert_counted_once(log, "user-counts", "user", EVENTS / 10);
    assert_counted_once(log, "page-counts", "page", EVENTS / 10);
    leat_log_close(log);
}

static void committed_state_can_be_queried_from_outside(void **state)
{
    (void)state; /* R20 */
    leat_log *log = open_log();
    produce(log, 0, USERS * 4);
    leat_job *job = job_on(log, 2, false, 0);
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    struct count count = {0};
    void *memory = NULL;
    for (int i = 0; i < 2000 && count.count != 4; i++) {
        usleep(2000);
        leat_memory_free(memory);
        (void)!leat_job_query(job, "users", "count", LEAT_STR("user7"), &count, &memory, NULL);
    }
    assert_int_equal(count.count, 4);
    assert_true(leat_str_equal(count.key, LEAT_STR("user7")));
    leat_memory_free(memory);
    assert_int_equal(
        leat_job_query(job, "users", "count", LEAT_STR("nobody"), &count, &memory, NULL),
        LEAT_ENOTFOUND);
    leat_memory_free(memory);
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_true(stats.epochs > 0);
    leat_job_free(job);
    leat_log_close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_workers_and_an_exchange_count_each_event_once,
                                        fresh_dir, remove_dir),
        cmocka_unit_test_setup_teardown(stopping_and_starting_again_loses_and_repeats_nothing,
                                        fresh_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_tiny_buffer_bound_pauses_the_source_and_loses_nothing,
                                        fresh_dir, remove_dir),
        cmocka_unit_test_setup_teardown(committed_state_can_be_queried_from_outside, fresh_dir,
                                        remove_dir),
    };
    int failed = 0;
    for (exchange_kind = LEAT_EXCHANGE_MEMORY; exchange_kind <= LEAT_EXCHANGE_LOG; exchange_kind++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
