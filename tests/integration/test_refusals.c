/* A record that can't be written is the failure of what emitted it (R19): found before the log sees
 * it where that is possible, told by the log otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "integration/commit_fault.h"
#include "integration/log_double.h"
#include <leat/leat.h>
#include <leat/test.h>
#include <unistd.h>

struct view {
    leat_str user;
    leat_str page;
    int64_t ts_ms;
    int64_t number; /* of the user's views */
};
LEAT_RECORD(view, user, LEAT_OPTIONAL(page), ts_ms, number);

static leat_status number_view(leat_ctx *ctx, const void *record)
{
    struct view *last = leat_mut(ctx, 0), out = *(const struct view *)record;
    out.number = last->number + 1;
    *last = out;
    leat_emit(ctx, &out);
    return LEAT_OK;
}

static leat_status wait_for_timer(leat_ctx *ctx, const void *record)
{
    *(struct view *)leat_mut(ctx, 0) = *(const struct view *)record;
    leat_timer_set(ctx, 0, leat_now(ctx) + 10);
    return LEAT_OK;
}

static leat_status emit_in_timer(leat_ctx *ctx, int timer)
{
    (void)timer;
    leat_emit(ctx, leat_get(ctx, 0));
    return LEAT_OK;
}

static void same(const void *in, void *out, void *arg)
{
    (void)arg;
    *(struct view *)out = *(const struct view *)in;
}

typedef enum kind { PROCESS, MAP, SOURCE, TIMER } kind;

static char url[96];
static bool until_end;
static int sequence;

static leat_stream views(leat_job *job, leat_on_error policy)
{
    return leat_from_log(job, "views", &view_type,
                         &(leat_log_source){.topic = "views",
                                            .time_field = "ts_ms",
                                            .partitioned_by = "user",
                                            .until_end = until_end,
                                            .on_error = policy});
}

/* "pages" is compacted by page, which a view may lack. */
static leat_job *pages_job(kind shape, leat_on_error policy)
{
    static leat_process_op numbering = {.in = &view_type,
                                        .out = &view_type,
                                        .state = {{.name = "last", .type = &view_type}},
                                        .on_record = number_view};
    static leat_process_op later = {.in = &view_type,
                                    .out = &view_type,
                                    .state = {{.name = "last", .type = &view_type}},
                                    .timer = {"later"},
                                    .on_record = wait_for_timer,
                                    .on_timer = emit_in_timer};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "pages", .log = url, .restart_limit = 4});
    leat_stream in = views(job, shape == SOURCE ? policy : LEAT_ON_ERROR_STOP);
    numbering.on_error = shape == PROCESS ? policy : LEAT_ON_ERROR_STOP;
    later.on_error = policy;
    if (shape == PROCESS || shape == MAP)
        in = leat_process(leat_key_by(in, "user"), "numbering", &numbering, NULL);
    if (shape == TIMER)
        in = leat_process(leat_key_by(in, "user"), "later", &later, NULL);
    if (shape == MAP)
        in = leat_on_failure(leat_map(in, "mapping", &view_type, same, NULL), policy);
    leat_to_log(
        in, "pages",
        &(leat_log_sink){.topic = "pages", .key = "page", .compacted = true, .partition_count = 1});
    return job;
}

static int sim_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof(url), "sim:refusals-%d", sequence++);
    return 0;
}

static void send(leat_test *test, const char *user, const char *page, int64_t ts_ms)
{
    char json[160];
    (void)snprintf(json, sizeof(json), "{\"user\":\"%s\",\"ts_ms\":%lld,\"number\":0%s%s%s}", user,
                   (long long)ts_ms, page == NULL ? "" : ",\"page\":\"", page == NULL ? "" : page,
                   page == NULL ? "" : "\"");
    leat_test_send_keyed(test, "views", user, json);
}

static void assert_next(leat_test *test, const char *topic, const char *part)
{
    const char *json = leat_test_next_json(test, topic);
    if (part == NULL) {
        assert_null(json);
        return;
    }
    assert_non_null(json);
    if (strstr(json, part) == NULL)
        fail_msg("%s has %s, not %s", topic, json, part);
}

/* ------------------------------------------------------------------ what is known before */

static void send_three(leat_test *test)
{
    send(test, "ann", "/a", 1000);
    send(test, "ann", NULL, 1001);
    send(test, "ann", "/c", 1002);
    leat_test_send_watermark(test, "views", 5000);
}

/* numbers: of the views in "pages"; ends with -1. */
static void assert_put_aside(kind shape, const char *operator, const int * numbers)
{
    char json[200];
    (void)sim_log(NULL);
    leat_test *test = leat_test_new(pages_job(shape, LEAT_ON_ERROR_DEAD_LETTER));
    send_three(test);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    for (; *numbers >= 0; numbers++) {
        (void)snprintf(json, sizeof(json), "\"number\":%d", *numbers);
        assert_next(test, "pages", json);
    }
    assert_next(test, "pages", NULL);
    const char *letter = leat_test_next_json(test, "dead-letters");
    assert_non_null(letter);
    assert_non_null(strstr(letter, "without a key cannot go to the compacted topic 'pages'"));
    (void)snprintf(json, sizeof(json), "\"operator\":\"%s\",\"error\":\"LEAT_EDATA\"", operator);
    assert_non_null(strstr(letter, json));
    assert_non_null(strstr(letter, "{\"topic\":\"views\",\"partition\":"));
    assert_next(test, "dead-letters", NULL);
    leat_test_free(test);
}

static void a_record_without_a_key_is_the_failure_of_what_emitted_it(void **state)
{
    (void)state; /* R19; S3: of a callback nothing is kept */
    assert_put_aside(PROCESS, "numbering", (int[]){1, 2, -1});
    assert_put_aside(MAP, "mapping", (int[]){1, 3, -1});
    assert_put_aside(SOURCE, "views", (int[]){0, 0, -1});
}

static void so_is_one_that_a_timer_emits(void **state)
{
    (void)state; /* R19 */
    leat_test *test = leat_test_new(pages_job(TIMER, LEAT_ON_ERROR_DEAD_LETTER));
    send(test, "ann", NULL, 1000);
    send(test, "ben", "/b", 1000);
    leat_test_send_watermark(test, "views", 5000);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "pages", "\"page\":\"/b\"");
    assert_next(test, "pages", NULL);
    const char *letter = leat_test_next_json(test, "dead-letters");
    if (letter == NULL || strstr(letter, "without a key") == NULL ||
        strstr(letter, "; no value: a timer has fired") == NULL)
        fail_msg("%s", letter == NULL ? "there is no letter" : letter);
    assert_next(test, "dead-letters", NULL);
    leat_test_free(test);
}

static void it_is_skipped_and_counted_if_that_is_the_policy(void **state)
{
    (void)state; /* R19 */
    leat_job *job = pages_job(PROCESS, LEAT_ON_ERROR_SKIP);
    leat_test *test = leat_test_new(job);
    send_three(test);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.records_skipped, 1);
    assert_next(test, "pages", "\"number\":1");
    assert_next(test, "pages", "\"number\":2");
    assert_next(test, "pages", NULL);
    leat_test_free(test);
}

static void it_stops_the_job_with_its_name_if_that_is_the_policy(void **state)
{
    (void)state; /* R19 */
    leat_test *test = leat_test_new(pages_job(PROCESS, LEAT_ON_ERROR_STOP));
    send(test, "ann", NULL, 1000);
    assert_int_equal(leat_test_run(test), LEAT_EDATA);
    const char *message = leat_test_error(test)->message;
    assert_non_null(strstr(message, "without a key cannot go to the compacted topic 'pages'"));
    assert_non_null(strstr(message, "(views, partition "));
    assert_non_null(strstr(message, "offset 0; on_error"));
    leat_test_free(test);
}

static void the_embedded_log_never_sees_it(void **state)
{
    (void)state; /* R19 */
    char directory[] = "/tmp/leat-refusals-XXXXXX", command[64];
    assert_non_null(mkdtemp(directory));
    (void)snprintf(url, sizeof(url), "embedded:%s/log", directory);
    leat_log *log;
    leat_error error;
    assert_int_equal(leat_log_open(&log, url, NULL, &error), LEAT_OK);
    leat_log_record views[] = {
        {.topic = "views", .value = LEAT_STR("{\"user\":\"ann\",\"ts_ms\":1,\"number\":0}")},
        {.topic = "views",
         .value = LEAT_STR("{\"user\":\"ann\",\"ts_ms\":2,\"number\":0,\"page\":\"/\"}")}};
    assert_int_equal(leat_topic_create(log, "views", NULL, &error), LEAT_OK);
    assert_int_equal(leat_log_append(log, views, 2, &error), LEAT_OK);
    leat_log_close(log);
    until_end = true;
    leat_job *job = pages_job(PROCESS, LEAT_ON_ERROR_DEAD_LETTER);
    until_end = false;
    if (leat_job_run(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.records_dead, 1);
    assert_int_equal(stats.records_out, 1);
    leat_job_free(job);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", directory);
    assert_int_equal(system(command), 0);
}

/* ------------------------------------------------------------------ where a record lies */

static void send_misplaced(leat_test *test)
{
    for (uint32_t p = 0; p < 4; p++) /* in one of them it is right */
        leat_test_send_to(test, "views", p,
                          "{\"user\":\"ann\",\"ts_ms\":1000,\"number\":0,\"page\":\"/a\"}");
}

static void a_record_that_is_not_where_partitioned_by_says_is_put_aside(void **state)
{
    (void)state; /* P1 */
    leat_job *job = pages_job(SOURCE, LEAT_ON_ERROR_DEAD_LETTER);
    leat_test *test = leat_test_new(job);
    send_misplaced(test);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "pages", "\"number\":0");
    assert_next(test, "pages", NULL);
    for (int i = 0; i < 3; i++)
        assert_next(test, "dead-letters", "user 'ann' belongs in partition ");
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.records_misplaced, 3);
    assert_int_equal(stats.records_dead, 3);
    leat_test_free(test);
}

static void by_default_it_stops_the_job_with_the_remedy(void **state)
{
    (void)state; /* P1 */
    leat_test *test = leat_test_new(pages_job(PROCESS, LEAT_ON_ERROR_DEAD_LETTER));
    send_misplaced(test);
    assert_int_equal(leat_test_run(test), LEAT_EDATA);
    const char *message = leat_test_error(test)->message;
    assert_non_null(strstr(message, "of 4, not here (P1)"));
    assert_non_null(strstr(message, "partitioner=murmur2_random"));
    assert_non_null(strstr(message, "(views, partition "));
    leat_test_free(test);
}

/* ------------------------------------------------------------------ what only the log knows */

static const char *refuse_odd_pages(void *arg, const leat_log_record *record)
{
    int *asked = arg;
    if (strcmp(record->topic, "pages") != 0)
        return NULL;
    ++*asked;
    return record->key.length == 4 ? "its key has 4 bytes" : NULL;
}

static leat_log *refusing(leat__sim_hooks hooks)
{
    leat_log *log;
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    leat__sim_set_hooks(leat__sim_world_of(log), &hooks);
    return log;
}

static void assert_refused_one_is_put_aside(kind shape, const char *operator, const int * numbers)
{
    int asked = 0;
    (void)sim_log(NULL);
    leat_log *log = refusing((leat__sim_hooks){.arg = &asked, .refuse = refuse_odd_pages});
    leat_job *job = pages_job(shape, LEAT_ON_ERROR_DEAD_LETTER);
    leat_test *test = leat_test_new(job);
    for (int i = 0; i < 8; i++)
        send(test, "ann", i % 4 == 1 ? "/bad" : "/a", 1000 + i);
    leat_test_send_watermark(test, "views", 5000);
    if (leat_test_run(test) != LEAT_OK)
        fail_msg("%s", leat_test_error(test)->message);
    char json[80];
    for (; *numbers >= 0; numbers++) {
        (void)snprintf(json, sizeof(json), "\"number\":%d", *numbers);
        assert_next(test, "pages", json);
    }
    assert_next(test, "pages", NULL);
    for (int i = 0; i < 2; i++) {
        const char *letter = leat_test_next_json(test, "dead-letters");
        assert_non_null(letter);
        (void)snprintf(json, sizeof(json),
                       "\"operator\":\"%s\",\"error\":\"LEAT_EDATA\"", operator);
        assert_non_null(strstr(letter, json));
        assert_non_null(strstr(letter, "its key has 4 bytes"));
    }
    assert_next(test, "dead-letters", NULL);
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.rewinds_in_row, 0);
    assert_true(stats.rewinds >= 1);
    leat_log_close(log);
    leat_test_free(test);
}

static void a_refused_record_is_the_failure_of_what_emits_it_again(void **state)
{
    (void)state; /* R19, R10 */
    assert_refused_one_is_put_aside(PROCESS, "numbering", (int[]){1, 2, 3, 4, 5, 6, -1});
    assert_refused_one_is_put_aside(MAP, "mapping", (int[]){1, 3, 4, 5, 7, 8, -1});
    assert_refused_one_is_put_aside(SOURCE, "views", (int[]){0, 0, 0, 0, 0, 0, -1});
}

static void so_is_a_refused_one_that_a_timer_emits(void **state)
{
    (void)state; /* R19 */
    int asked = 0;
    leat_log *log = refusing((leat__sim_hooks){.arg = &asked, .refuse = refuse_odd_pages});
    leat_test *test = leat_test_new(pages_job(TIMER, LEAT_ON_ERROR_DEAD_LETTER));
    send(test, "ann", "/bad", 1000);
    send(test, "ben", "/b", 1000);
    for (int i = 0; i < 2; i++) { /* what is fed is no record, and gone after the rewind */
        leat_test_send_watermark(test, "views", 5000);
        assert_int_equal(leat_test_run(test), LEAT_OK);
    }
    assert_next(test, "pages", "\"page\":\"/b\"");
    assert_next(test, "pages", NULL);
    assert_next(test, "dead-letters", "its key has 4 bytes");
    leat_log_close(log);
    leat_test_free(test);
}

static void a_refused_one_stops_the_job_by_its_name_if_that_is_the_policy(void **state)
{
    (void)state; /* R19 */
    int asked = 0;
    leat_log *log = refusing((leat__sim_hooks){.arg = &asked, .refuse = refuse_odd_pages});
    leat_test *test = leat_test_new(pages_job(PROCESS, LEAT_ON_ERROR_STOP));
    send(test, "ann", "/a", 1000);
    send(test, "ann", "/bad", 1001);
    assert_int_equal(leat_test_run(test), LEAT_EDATA);
    const char *message = leat_test_error(test)->message;
    assert_non_null(strstr(message, "its key has 4 bytes (views, partition "));
    assert_non_null(strstr(message, "offset 1; on_error"));
    leat_log_close(log);
    leat_test_free(test);
}

/* A record of the job's own has nobody to blame. */
static const char *refuse_dead_letters(void *arg, const leat_log_record *record)
{
    (void)arg;
    return strcmp(record->topic, "dead-letters") == 0 ? "no letters" : NULL;
}

static void a_refused_dead_letter_stops_the_job(void **state)
{
    (void)state; /* R19 */
    leat_log *log = refusing((leat__sim_hooks){.refuse = refuse_dead_letters});
    leat_test *test = leat_test_new(pages_job(PROCESS, LEAT_ON_ERROR_DEAD_LETTER));
    send(test, "ann", NULL, 1000);
    assert_int_equal(leat_test_run(test), LEAT_EDATA);
    assert_non_null(strstr(leat_test_error(test)->message, "no letters"));
    leat_log_close(log);
    leat_test_free(test);
}

/* ------------------------------------------------------------------ going round in circles */

static int emitted_before;

static leat_status number_each_attempt(leat_ctx *ctx, const void *record)
{
    struct view out = *(const struct view *)record;
    if (out.page.length == 4)
        out.number = ++emitted_before; /* another record each time: against R21 */
    leat_emit(ctx, &out);
    return LEAT_OK;
}

static void a_job_that_does_not_get_on_is_ended_though_others_of_its_commits_succeed(void **state)
{
    (void)state; /* R30 */
    static const leat_process_op op = {.in = &view_type,
                                       .out = &view_type,
                                       .on_record = number_each_attempt,
                                       .on_error = LEAT_ON_ERROR_DEAD_LETTER};
    int asked = 0;
    leat_log *log = refusing((leat__sim_hooks){.arg = &asked, .refuse = refuse_odd_pages});
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "pages", .log = url, .restart_limit = 4});
    leat_stream out =
        leat_process(leat_key_by(views(job, LEAT_ON_ERROR_STOP), "user"), "op", &op, NULL);
    leat_to_log(out, "pages", &(leat_log_sink){.topic = "pages", .key = "page"});
    leat_test *test = leat_test_new(job);
    leat_status status = LEAT_OK;
    uint32_t most = 0;
    for (int i = 0; i < 4000 && status == LEAT_OK; i++) {
        char user[8];
        (void)snprintf(user, sizeof(user), "u%d", i % 40);
        send(test, i == 40 ? "ann" : user, i == 40 ? "/bad" : "/a", 1000 + i);
        for (int k = 0; k < 6; k++) /* epochs end in between, with and without the bad one */
            (void)leat_test_step(test);
        leat_test_advance(test, 1);
        status = leat_test_error(test)->status;
        leat_job_stats stats;
        leat_job_get_stats(job, &stats);
        if (stats.rewinds_in_row > most)
            most = stats.rewinds_in_row;
    }
    assert_int_equal(status, LEAT_EDATA);
    assert_non_null(strstr(leat_test_error(test)->message, "gave up after 4 rewinds"));
    assert_true(most >= 2);
    leat_log_close(log);
    leat_test_free(test);
}

/* As a broker that names none of a batch's records (docs/kafka.md). */
static struct log_double twin;
static int commits;
static leat_status refuse_one_of_several(leat_log_txn *txn, leat__written_fn written, void *arg,
                                         leat_error *error)
{
    (void)written, (void)arg;
    commits++;
    twin.real->txn_abort(txn);
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_RESTART, "pages",
                      "the broker refuses a record for partition 0 of 'pages' (one of several)");
}

static void a_refusal_that_names_no_record_is_tried_again_then_ends_with_the_remedy(void **state)
{
    (void)state; /* R19, R30 */
    leat_error error = {0};
    double_open(&twin, url);
    twin.table.txn_commit = refuse_one_of_several;
    const leat_topic_opts one = {.partition_count = 1};
    assert_int_equal(leat_topic_create(twin.log, "views", &one, NULL), LEAT_OK);
    leat_log_record record = {
        .topic = "views",
        .value = leat_str_from("{\"user\":\"ann\",\"page\":\"/a\",\"ts_ms\":1,\"number\":0}")};
    assert_int_equal(leat_log_append(twin.log, &record, 1, NULL), LEAT_OK);
    leat_job *job =
        leat_job_new(&(leat_job_opts){.name = "pages", .log_handle = twin.log, .restart_limit = 4});
    leat_to_log(leat_from_log(job, "views", &view_type, &(leat_log_source){.topic = "views"}),
                "pages", &(leat_log_sink){.topic = "pages", .key = "page"});
    leat_status status = leat_job_run(job, &error);
    assert_int_equal(leat_status_exit_code(status), 66);
    for (const char **part =
             (const char *[]){"of 'pages' (one of several)", "gave up after 4 rewinds in a row",
                              "compare the settings of the topic with what the job writes", NULL};
         *part != NULL; part++)
        if (strstr(error.message, *part) == NULL)
            fail_msg("'%s' is not in: %s", *part, error.message);
    assert_int_equal(commits, 5);
    leat_job_free(job);
    double_close(&twin);
}

static void rewinds_are_counted_anew_once_the_job_has_got_on(void **state)
{
    (void)state; /* R30 */
    leat_job *job = pages_job(PROCESS, LEAT_ON_ERROR_STOP);
    leat_test *test = leat_test_new(job);
    for (int i = 0; i < 40; i++) { /* 20 times two failures in a row, of at most 4 */
        struct fault fault = {.status = LEAT_EABORTED, .times = i % 2 == 0 ? 2 : 0};
        leat_log *log =
            refusing((leat__sim_hooks){.arg = &fault, .before_commit = fault_before_commit});
        send(test, "ann", "/a", 1000 + i);
        assert_int_equal(leat_test_run(test), LEAT_OK);
        leat_job_stats stats;
        leat_job_get_stats(job, &stats);
        assert_int_equal(stats.rewinds_in_row, 0);
        leat_log_close(log);
    }
    leat_test_free(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_without_a_key_is_the_failure_of_what_emitted_it),
        cmocka_unit_test_setup(so_is_one_that_a_timer_emits, sim_log),
        cmocka_unit_test_setup(it_is_skipped_and_counted_if_that_is_the_policy, sim_log),
        cmocka_unit_test_setup(it_stops_the_job_with_its_name_if_that_is_the_policy, sim_log),
        cmocka_unit_test(the_embedded_log_never_sees_it),
        cmocka_unit_test_setup(a_record_that_is_not_where_partitioned_by_says_is_put_aside,
                               sim_log),
        cmocka_unit_test_setup(by_default_it_stops_the_job_with_the_remedy, sim_log),
        cmocka_unit_test(a_refused_record_is_the_failure_of_what_emits_it_again),
        cmocka_unit_test_setup(so_is_a_refused_one_that_a_timer_emits, sim_log),
        cmocka_unit_test_setup(a_refused_one_stops_the_job_by_its_name_if_that_is_the_policy,
                               sim_log),
        cmocka_unit_test_setup(a_refused_dead_letter_stops_the_job, sim_log),
        cmocka_unit_test_setup(
            a_job_that_does_not_get_on_is_ended_though_others_of_its_commits_succeed, sim_log),
        cmocka_unit_test_setup(
            a_refusal_that_names_no_record_is_tried_again_then_ends_with_the_remedy, sim_log),
        cmocka_unit_test_setup(rewinds_are_counted_anew_once_the_job_has_got_on, sim_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
