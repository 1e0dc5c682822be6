/* R19: what a broker refuses for good, by the settings of a topic that somebody else has made or
 * changes while the job runs, is the failure of the record and of nothing else.
 */
#include "log/driver.h"
#include "support/kafka_world.h"
#include <leat/leat.h>
#include <librdkafka/rdkafka.h>

enum { HOUR_MS = 3600000 };

struct view {
    leat_str user, page;
    int64_t ts_ms;
};
LEAT_RECORD(view, user, page, ts_ms);

static leat_status pass(leat_ctx *ctx, const void *record)
{
    leat_emit(ctx, record);
    return LEAT_OK;
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ topics as others make them */

static rd_kafka_t *administrator(void)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", test_kafka_bootstrap(), NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    assert_non_null(rk);
    return rk;
}

static void await_answer(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, DEADLINE_MS);
    assert_non_null(event);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail_msg("%s", rd_kafka_event_error_string(event));
    rd_kafka_event_destroy(event);
}

static void make_topic(const world *w, const char *topic, const char *key, const char *value)
{
    char name[200], reason[256];
    rd_kafka_t *rk = administrator();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    (void)snprintf(name, sizeof(name), "%s%s", w->prefix, topic);
    rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(name, 1, -1, reason, sizeof(reason));
    (void)rd_kafka_NewTopic_set_config(made, key, value);
    rd_kafka_CreateTopics(rk, &made, 1, NULL, queue);
    await_answer(queue);
    rd_kafka_NewTopic_destroy(made);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    leat_topic_opts opts; /* not every part of a broker has heard of it at once */
    for (int64_t until_ms = steady_ms() + DEADLINE_MS; steady_ms() < until_ms; nap())
        if (leat_topic_describe(w->log, topic, &opts, NULL) == LEAT_OK)
            return;
    fail_msg("there is no topic");
}

/* All its other settings become the broker's again. */
static void change_topic(const world *w, const char *topic, const char *key, const char *value)
{
    char name[200];
    rd_kafka_t *rk = administrator();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    (void)snprintf(name, sizeof(name), "%s%s", w->prefix, topic);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    (void)rd_kafka_ConfigResource_set_config(resource, key, value);
    rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
    await_answer(queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

/* ------------------------------------------------------------------ the job */

static leat_job *pages_job(const world *w, leat_on_error policy, bool stateful)
{
    static leat_process_op op = {.in = &view_type, .out = &view_type, .on_record = pass};
    op.on_error = policy;
    op.state[0] =
        stateful ? (leat_state_spec){.name = "last", .type = &view_type} : (leat_state_spec){0};
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "pages", .log = w->url, .max_ahead_ms = LEAT_HOURS(10)});
    leat_stream in = leat_from_log(
        job, "views", &view_type,
        &(leat_log_source){
            .topic = "views", .time_field = "ts_ms", .partitioned_by = "user", .on_error = policy});
    leat_to_log(leat_process(leat_key_by(in, "user"), "op", &op, NULL), "pages",
                &(leat_log_sink){.topic = "pages", .key = "user"});
    return job;
}

static void view(world *w, const char *page, int64_t ts_ms)
{
    static char json[700000];
    int length = snprintf(json, sizeof(json), "{\"user\":\"ann\",\"page\":\"%s\",\"ts_ms\":%lld}",
                          page, (long long)ts_ms);
    leat_log_record record = {.topic = "views",
                              .key = LEAT_STR("ann"),
                              .value = {json, (size_t)length},
                              .timestamp_ms = clock_ms()};
    must(w, leat_log_append(w->other, &record, 1, &w->error));
}

static int set_up(void **state)
{
    world *w = *state = world_new("refuse");
    world_topic(w, "views", 1);
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static leat_job *started(world *w, leat_job *job)
{
    must(w, leat_job_start(job, &w->error));
    return job;
}

static void ended(world *w, leat_job *job)
{
    leat_job_stop(job);
    must(w, leat_job_wait(job, &w->error));
    leat_job_free(job);
}

static leat_job_stats await_counts(leat_job *job, uint64_t out, uint64_t dead)
{
    leat_job_stats stats = {0};
    for (int64_t until_ms = steady_ms() + DEADLINE_MS; steady_ms() < until_ms; nap()) {
        leat_job_get_stats(job, &stats);
        if (stats.records_out == out && stats.records_dead == dead)
            return stats;
    }
    fail_msg("%llu out and %llu dead, not %llu and %llu", (unsigned long long)stats.records_out,
             (unsigned long long)stats.records_dead, (unsigned long long)out,
             (unsigned long long)dead);
    return stats;
}

static void assert_letter(world *w, const char *part)
{
    leat_log_reader *reader;
    must(w, leat_log_reader_new(w->other, NULL, NULL, &reader, &w->error));
    must(w, leat_log_reader_seek(reader, "dead-letters", 0, LEAT_OFFSET_BEGIN, &w->error));
    for (int64_t until_ms = steady_ms() + DEADLINE_MS; steady_ms() < until_ms; nap()) {
        leat_log_record record;
        size_t count;
        must(w, leat_log_reader_poll(reader, &record, 1, &count, &w->error));
        if (count == 0)
            continue;
        char text[2000];
        (void)snprintf(text, sizeof(text), "%.*s", (int)record.value.length, record.value.data);
        if (strstr(text, part) == NULL || strstr(text, "\"topic\":\"views\"") == NULL)
            fail_msg("%s is not in %s", part, text);
        leat_log_reader_free(reader);
        return;
    }
    fail_msg("there is no dead letter");
}

/* ------------------------------------------------------------------ tests */

static void a_timestamp_that_the_topic_does_not_take_is_found_when_it_is_emitted(void **state)
{
    world *w = *state;
    make_topic(w, "pages", "message.timestamp.after.max.ms", "3600000");
    leat_job *job = started(w, pages_job(w, LEAT_ON_ERROR_DEAD_LETTER, false));
    view(w, "/a", clock_ms());
    view(w, "/ahead", clock_ms() + 2 * HOUR_MS);
    view(w, "/b", clock_ms());
    leat_job_stats stats = await_counts(job, 2, 1);
    assert_int_equal(stats.rewinds, 0);
    assert_letter(w, "message.timestamp.after.max.ms");
    ended(w, job);
}

/* The settings are a minute old then: only the broker's answer tells. */
static void one_that_the_topic_takes_no_more_is_told_by_the_broker(void **state)
{
    world *w = *state;
    make_topic(w, "pages", "message.timestamp.after.max.ms", "9223372036854775807");
    leat_job *job = started(w, pages_job(w, LEAT_ON_ERROR_DEAD_LETTER, false));
    view(w, "/a", clock_ms() + 2 * HOUR_MS);
    (void)await_counts(job, 1, 0);
    change_topic(w, "pages", "message.timestamp.after.max.ms", "3600000");
    for (int i = 0; i < 30; i++)
        view(w, "/b", i % 10 == 5 ? clock_ms() + 2 * HOUR_MS : clock_ms());
    leat_job_stats stats = await_counts(job, 28, 3);
    assert_true(stats.rewinds >= 1);
    assert_int_equal(stats.rewinds_in_row, 0);
    assert_letter(w, "more than 3600000 ms ahead of the clock"); /* they were asked for again */
    ended(w, job);
}

static void by_default_the_job_stops_and_names_it(void **state)
{
    world *w = *state;
    make_topic(w, "pages", "message.timestamp.after.max.ms", "9223372036854775807");
    leat_job *job = started(w, pages_job(w, LEAT_ON_ERROR_STOP, false));
    view(w, "/a", clock_ms());
    (void)await_counts(job, 1, 0);
    change_topic(w, "pages", "message.timestamp.after.max.ms", "3600000");
    view(w, "/ahead", clock_ms() + 2 * HOUR_MS);
    assert_int_equal(leat_job_wait(job, &w->error), LEAT_EDATA);
    assert_int_equal(leat_status_exit_code(LEAT_EDATA), 66);
    assert_non_null(strstr(w->error.message, "more than 3600000 ms ahead of the clock"));
    assert_non_null(strstr(w->error.message, "(views, partition 0, offset 1;"));
    leat_job_free(job);
}

static void fill(char *page, size_t length)
{
    memset(page, 'x', length);
    page[length] = '\0';
}

/* The client would put them into one batch, and all of it would be refused. */
static void a_topic_of_small_records_gets_small_batches(void **state)
{
    world *w = *state;
    static char page[300001];
    make_topic(w, "pages", "max.message.bytes", "20000");
    for (int i = 0; i < 200; i++) { /* before the job begins: they come in one epoch */
        fill(page, i == 50 ? 30000 : 1000);
        view(w, page, clock_ms());
    }
    leat_job *job = started(w, pages_job(w, LEAT_ON_ERROR_DEAD_LETTER, false));
    leat_job_stats stats = await_counts(job, 199, 1);
    assert_int_equal(stats.rewinds, 0);
    assert_letter(w, "max.message.bytes");
    ended(w, job);
}

static void a_topic_that_takes_less_from_now_on_is_followed(void **state)
{
    world *w = *state;
    static char page[300001];
    make_topic(w, "pages", "max.message.bytes", "4194304");
    leat_job *job = started(w, pages_job(w, LEAT_ON_ERROR_DEAD_LETTER, false));
    view(w, "/a", clock_ms());
    (void)await_counts(job, 1, 0);
    change_topic(w, "pages", "max.message.bytes", "20000");
    for (int i = 0; i < 100; i++) {
        fill(page, i == 50 ? 30000 : 1000);
        view(w, page, clock_ms());
    }
    leat_job_stats stats = await_counts(job, 100, 1);
    assert_int_equal(stats.rewinds_in_row, 0);
    assert_letter(w, "max.message.bytes");
    ended(w, job);
}

static void appends_are_checked_before_the_first_record_is_sent(void **state)
{
    world *w = *state;
    make_topic(w, "pages", "message.timestamp.after.max.ms", "3600000");
    leat_log_record records[] = {
        {.topic = "pages", .value = LEAT_STR("now"), .timestamp_ms = clock_ms()},
        {.topic = "pages", .value = LEAT_STR("ahead"), .timestamp_ms = clock_ms() + 2 * HOUR_MS}};
    assert_int_equal(leat_log_append(w->log, records, 2, &w->error), LEAT_EINVAL);
    assert_non_null(strstr(w->error.message, "ahead of the clock"));
    int64_t end;
    must(w, leat_log_bounds(w->other, "pages", 0, NULL, &end, &w->error));
    assert_int_equal(end, 0);
    records[1].timestamp_ms = -1;
    assert_int_equal(leat_log_append(w->log, records, 2, &w->error), LEAT_EINVAL);
    assert_non_null(strstr(w->error.message, "before 1970"));
}

static void small_batches_hold_for_appends_too(void **state)
{
    world *w = *state;
    static char page[1001];
    static leat_log_record records[200];
    make_topic(w, "pages", "max.message.bytes", "20000");
    fill(page, 1000);
    for (int i = 0; i < 200; i++)
        records[i] =
            (leat_log_record){.topic = "pages", .value = {page, 1000}, .timestamp_ms = clock_ms()};
    must(w, leat_log_append(w->log, records, 200, &w->error));
    assert_int_equal(records[199].offset, 199);
}

typedef struct told {
    size_t numbers[8], count;
    char reason[440];
} told;

static void take_refused(void *arg, size_t number, const leat_error *error)
{
    told *all = arg;
    assert_true(all->count < 8);
    all->numbers[all->count++] = number;
    (void)snprintf(all->reason, sizeof(all->reason), "%s", error->message);
}

/* Of ten records the ones in `ahead` are; they are told, and no other. */
static void assert_told(world *w, leat_log_member *member, const size_t *ahead, size_t count)
{
    leat_log_txn *txn;
    must(w, leat_log_begin(member, 1, &txn, &w->error));
    for (size_t i = 0; i < 10; i++) {
        leat_log_record record = {.topic = "pages",
                                  .key = LEAT_STR("k\n"),
                                  .value = LEAT_STR("v"),
                                  .timestamp_ms = clock_ms() - 5};
        for (size_t k = 0; k < count; k++)
            if (ahead[k] == i)
                record.timestamp_ms += (int64_t)(2 + k) * HOUR_MS;
        must(w, leat_log_txn_add(txn, &record, 1, &w->error));
    }
    told all = {.count = 0};
    leat__log_txn_on_refused(txn, take_refused, &all);
    assert_int_equal(leat_log_txn_commit(txn, &w->error), LEAT_EDATA);
    assert_int_equal(w->error.recovery, LEAT_RECOVERY_RESTART);
    assert_int_equal(all.count, count);
    for (size_t k = 0; k < count; k++)
        assert_int_equal(all.numbers[k], ahead[k]);
    assert_non_null(strstr(all.reason, "for partition 0 of 'pages' (key 'k?', timestamp "));
}

static void a_commit_tells_which_records_were_refused(void **state)
{
    world *w = *state;
    make_topic(w, "pages", "message.timestamp.after.max.ms", "3600000");
    const leat_log_group group = {.group = "g", .instance = "i"};
    leat_log_member *member;
    must(w, leat_log_join(w->log, &group, NULL, NULL, &member, &w->error));
    assert_told(w, member, (size_t[]){4}, 1);
    assert_told(w, member, (size_t[]){1, 7}, 2);
    assert_told(w, member, (size_t[]){9}, 1);
    leat_log_leave(member);
}

/* R14: event time, and state of any size, go there. */
static void a_changelog_that_would_refuse_state_is_refused_at_the_start(void **state)
{
    world *w = *state;
    make_topic(w, "pages-op-changelog", "cleanup.policy", "compact");
    leat_job *job = pages_job(w, LEAT_ON_ERROR_DEAD_LETTER, true);
    assert_int_equal(leat_job_start(job, &w->error), LEAT_EGRAPH);
    assert_string_equal(w->error.where, "pages-op-changelog");
    assert_non_null(strstr(w->error.message, "(R14): set its max.message.bytes to 4194304"));
    leat_job_free(job);
}

/* ------------------------------------------------------------------ large keys at an exchange */

static leat_job *by_page_job(const world *w)
{
    static const leat_process_op first = {.in = &view_type,
                                          .out = &view_type,
                                          .on_record = pass,
                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER};
    static const leat_process_op second = {.in = &view_type,
                                           .out = &view_type,
                                           .state = {{.name = "last", .type = &view_type}},
                                           .on_record = pass,
                                           .on_error = LEAT_ON_ERROR_DEAD_LETTER};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "by-page", .log = w->url});
    leat_stream in = leat_from_log(job, "views", &view_type,
                                   &(leat_log_source){.topic = "views",
                                                      .time_field = "ts_ms",
                                                      .partitioned_by = "user",
                                                      .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream passed = leat_process(leat_key_by(in, "user"), "first", &first, NULL);
    leat_to_log(leat_process(leat_key_by(passed, "page"), "second", &second, NULL), "pages",
                &(leat_log_sink){.topic = "pages", .key = "user"});
    return job;
}

static void a_key_too_large_for_an_exchange_is_the_failure_of_what_emitted_it(void **state)
{
    world *w = *state; /* the value alone fits, and so does the record that was read */
    static char page[600001];
    leat_job *job = started(w, by_page_job(w));
    view(w, "/a", clock_ms());
    fill(page, 600000);
    view(w, page, clock_ms());
    view(w, "/b", clock_ms());
    leat_job_stats stats = await_counts(job, 2, 1);
    assert_int_equal(stats.rewinds, 0);
    assert_letter(w, "with key 'xxxx");
    ended(w, job);
    job = started(w, by_page_job(w)); /* and it is got over for good */
    view(w, "/c", clock_ms());
    (void)await_counts(job, 1, 0);
    ended(w, job);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_timestamp_that_the_topic_does_not_take_is_found_when_it_is_emitted),
        CASE(one_that_the_topic_takes_no_more_is_told_by_the_broker),
        CASE(by_default_the_job_stops_and_names_it),
        CASE(a_topic_of_small_records_gets_small_batches),
        CASE(a_topic_that_takes_less_from_now_on_is_followed),
        CASE(a_commit_tells_which_records_were_refused),
        CASE(appends_are_checked_before_the_first_record_is_sent),
        CASE(small_batches_hold_for_appends_too),
        CASE(a_key_too_large_for_an_exchange_is_the_failure_of_what_emitted_it),
        CASE(a_changelog_that_would_refuse_state_is_refused_at_the_start),
    };
    if (test_kafka_bootstrap() == NULL)
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
