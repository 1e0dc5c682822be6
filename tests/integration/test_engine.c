/* What a running job promises, on the simulated log: counts, crashes, policies, exchanges, time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leat/leat.h>
#include <leat/test.h>

struct event {
    leat_str user_id;
    leat_str page;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, LEAT_OPTIONAL(page), timestamp_ms);
struct user_count {
    leat_str user_id;
    uint64_t event_count;
};
LEAT_RECORD(user_count, user_id, event_count);
struct page_count {
    leat_str page;
    uint64_t visits;
};
LEAT_RECORD(page_count, page, visits);

enum { COUNT };
static leat_status count_event(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    struct user_count *count = leat_mut(ctx, COUNT);
    count->user_id = event->user_id;
    count->event_count++;
    leat_emit(ctx, count);
    if (leat_str_equal(event->page, LEAT_STR("bad")))
        return leat_fail(ctx, LEAT_EDATA, "a bad page");
    return LEAT_OK;
}

static leat_process_op counting = {
    .in = &event_type,
    .out = &user_count_type,
    .state = {[COUNT] = {.name = "count", .type = &user_count_type}},
    .on_record = count_event,
};

static int sequence;
static char url[64];

static leat_job *count_job(leat_on_error policy)
{
    static leat_process_op op;
    op = counting;
    op.on_error = policy;
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "user-counts", .log = url});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "events",
                                                          .time_field = "timestamp_ms",
                                                          .out_of_order_ms = 1000,
                                                          .partitioned_by = "user_id",
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream counts = leat_process(leat_key_by(events, "user_id"), "count", &op, NULL);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "counts", .key = "user_id"});
    return job;
}

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof(url), "sim:engine-%d", sequence++);
    return 0;
}

static void send(leat_test *test, const char *user, const char *page, int64_t timestamp_ms)
{
    char json[200];
    (void)snprintf(json, sizeof(json), "{\"user_id\":\"%s\",\"page\":\"%s\",\"timestamp_ms\":%lld}",
                   user, page, (long long)timestamp_ms);
    leat_test_send_keyed(test, "events", user, json);
}

static void each_event_is_counted_once(void **state)
{
    (void)state;
    leat_test *test = leat_test_new(count_job(LEAT_ON_ERROR_STOP));
    send(test, "ann", "home", 1000);
    send(test, "ann", "home", 1001);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_string_equal(leat_test_next_json(test, "counts"),
                        "{\"user_id\":\"ann\",\"event_count\":1}");
    assert_string_equal(leat_test_next_json(test, "counts"),
                        "{\"user_id\":\"ann\",\"event_count\":2}");
    assert_null(leat_test_next_json(test, "counts"));
    assert_string_equal(leat_test_state_json(test, "count", "count", "ann"),
                        "{\"user_id\":\"ann\",\"event_count\":2}");
    leat_test_free(test);
}

static void an_open_epoch_is_invisible_and_a_crash_loses_nothing_of_the_input(void **state)
{
    (void)state; /* R10 */
    leat_test *test = leat_test_new(count_job(LEAT_ON_ERROR_STOP));
    send(test, "ann", "home", 1000);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    send(test, "ann", "home", 1001);
    (void)leat_test_step(test); /* processed, not committed */
    leat_test_crash(test);
    send(test, "ann", "home", 1002);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    for (int i = 1; i <= 3; i++) {
        char expected[80];
        (void)snprintf(expected, sizeof(expected), "{\"user_id\":\"ann\",\"event_count\":%d}", i);
        assert_string_equal(leat_test_next_json(test, "counts"), expected);
    }
    assert_null(leat_test_next_json(test, "counts"));
    leat_test_free(test);
}

static void a_crash_after_any_number_of_steps_gives_the_same_output(void **state)
{
    (void)state; /* R10, R21 */
    for (int crash_after = 0; crash_after < 40; crash_after++) {
        (void)fresh_log(NULL);
        leat_test *test = leat_test_new(count_job(LEAT_ON_ERROR_STOP));
        for (int i = 0; i < 20; i++)
            send(test, i % 2 == 0 ? "ann" : "bob", "home", 1000 + i);
        for (int i = 0; i < crash_after; i++) {
            (void)leat_test_step(test);
            if (i % 3 == 2)
                leat_test_advance(test, 5);
        }
        leat_test_crash(test);
        assert_int_equal(leat_test_run(test), LEAT_OK);
        int ann = 0, bob = 0;
        leat_log_record record;
        while (leat_test_next(test, "counts", &record)) {
            int *count = leat_str_equal(record.key, LEAT_STR("ann")) ? &ann : &bob;
            char expected[80];
            (void)snprintf(expected, sizeof(expected), "{\"user_id\":\"%.*s\",\"event_count\":%d}",
                           (int)record.key.length, record.key.data, ++*count);
            assert_true(leat_str_equal(record.value, leat_str_from(expected)));
        }
        assert_int_equal(ann, 10);
        assert_int_equal(bob, 10);
        leat_test_free(test);
    }
}

static void a_failed_callback_leaves_no_trace_and_stops_the_job(void **state)
{
    (void)state; /* S3 */
    leat_test *test = leat_test_new(count_job(LEAT_ON_ERROR_STOP));
    send(test, "ann", "home", 1000);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    send(test, "ann", "bad", 1001);
    assert_int_equal(leat_test_run(test), LEAT_EDATA);
    assert_string_equal(leat_test_error(test)->where, "count");
    assert_non_null(strstr(leat_test_error(test)->message, "a bad page"));
    assert_non_null(strstr(leat_test_error(test)->message, "offset 1"));
    leat_test_free(test);
}

static void skip_counts_the_record_and_goes_on(void **state)
{
    (void)state; /* R19 */
    leat_test *test = leat_test_new(count_job(LEAT_ON_ERROR_SKIP));
    send(test, "ann", "bad", 1000);
    send(test, "ann", "home", 1001);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_string_equal(leat_test_next_json(test, "counts"),
                        "{\"user_id\":\"ann\",\"event_count\":1}");
    assert_null(leat_test_next_json(test, "counts"));
    leat_test_free(test);
}

static void dead_letters_say_where_and_why(void **state)
{
    (void)state; /* R19 */
    leat_test *test = leat_test_new(count_job(LEAT_ON_ERROR_DEAD_LETTER));
    send(test, "ann", "bad", 1000);
    leat_test_send_keyed(test, "events", "bob", "{\"user_id\":\"bob\"}");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    const char *both[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++)
        both[i] = strdup(leat_test_next_json(test, "dead-letters"));
    const char *ann = strstr(both[0], "bob") == NULL ? both[0] : both[1];
    const char *bob = ann == both[0] ? both[1] : both[0];
    assert_non_null(strstr(ann, "\"operator\":\"count\""));
    assert_non_null(strstr(ann, "a bad page"));
    assert_non_null(strstr(ann, "\"offset\":0"));
    assert_non_null(strstr(bob, "\"operator\":\"events\""));
    assert_non_null(strstr(bob, "timestamp_ms"));
    free((void *)(uintptr_t)both[0]);
    free((void *)(uintptr_t)both[1]);
    leat_test_free(test);
}

/* ------------------------------------------------------------------ exchange */

static leat_status count_page(leat_ctx *ctx, const void *record)
{
    struct page_count *count = leat_mut(ctx, COUNT);
    count->page = ((const struct event *)record)->page;
    count->visits++;
    leat_emit(ctx, count);
    return LEAT_OK;
}

static const leat_process_op page_counting = {
    .in = &event_type,
    .out = &page_count_type,
    .state = {[COUNT] = {.name = "visits", .type = &page_count_type}},
    .on_record = count_page,
};

static leat_exchange exchange_kind;

static leat_job *page_job(void)
{
    leat_job *job = leat_job_new(&(leat_job_opts){
        .name = "page-counts", .log = url, .partition_count = 3, .exchange = exchange_kind});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "events",
                                                          .time_field = "timestamp_ms",
                                                          .partitioned_by = "user_id"});
    leat_stream counts = leat_process(leat_key_by(events, "page"), "pages", &page_counting, NULL);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "page-counts", .key = "page"});
    return job;
}

static void an_exchange_brings_equal_keys_together_and_survives_crashes(void **state)
{
    (void)state; /* R23 */
    leat_test *test = leat_test_new(page_job());
    int visits = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 7; i++, visits++) {
            char user[16];
            (void)snprintf(user, sizeof(user), "user%d", i);
            send(test, user, "home", 1000 + visits);
        }
        for (int i = 0; i < round; i++)
            (void)leat_test_step(test);
        if (round % 2 == 1)
            leat_test_crash(test);
    }
    assert_int_equal(leat_test_run(test), LEAT_OK);
    for (int i = 1; i <= visits; i++) {
        char expected[80];
        (void)snprintf(expected, sizeof(expected), "{\"page\":\"home\",\"visits\":%d}", i);
        assert_string_equal(leat_test_next_json(test, "page-counts"), expected);
    }
    assert_null(leat_test_next_json(test, "page-counts"));
    leat_test_free(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_event_is_counted_once, fresh_log),
        cmocka_unit_test_setup(an_open_epoch_is_invisible_and_a_crash_loses_nothing_of_the_input,
                               fresh_log),
        cmocka_unit_test_setup(a_crash_after_any_number_of_steps_gives_the_same_output, fresh_log),
        cmocka_unit_test_setup(a_failed_callback_leaves_no_trace_and_stops_the_job, fresh_log),
        cmocka_unit_test_setup(skip_counts_the_record_and_goes_on, fresh_log),
        cmocka_unit_test_setup(dead_letters_say_where_and_why, fresh_log),
        cmocka_unit_test_setup(an_exchange_brings_equal_keys_together_and_survives_crashes,
                               fresh_log),
    };
    int failed = 0;
    for (exchange_kind = LEAT_EXCHANGE_MEMORY; exchange_kind <= LEAT_EXCHANGE_LOG; exchange_kind++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
