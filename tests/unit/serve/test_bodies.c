/* What is read out of request bodies, and what is written into answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/serve/api.h"
#include "apps/recommender/serve/event_batch.h"
#include "apps/recommender/serve/session_body.h"

#define A "{\"user_id\":\"u\",\"item_id\":\"a\"}"
#define B "{\"user_id\":\"v\",\"item_id\":\"b\"}"

static leat__json_reader *json;
static leat__arena arena;
static event_batch batch;
static leat_error error;

static int open_reader(void **state)
{
    (void)state;
    json = leat__json_reader_new();
    return 0;
}

static int close_reader(void **state)
{
    (void)state;
    leat__json_reader_free(json);
    leat__arena_free(&arena);
    return 0;
}

static leat_status read_batch(const char *body)
{
    const event_batch_opts opts = {.topic = "t", .accepted_ms = 1000, .max_ahead_ms = LEAT_DAYS(1)};
    leat__arena_reset(&arena);
    return event_batch_read(&batch, &arena, json, leat_str_from(body), &opts, &error);
}

static void assert_value(size_t number, const char *key, const char *value)
{
    const leat_log_record *record = &batch.records[number];
    assert_int_equal(record->key.length, strlen(key));
    assert_memory_equal(record->key.data, key, record->key.length);
    assert_int_equal(record->value.length, strlen(value));
    assert_memory_equal(record->value.data, value, record->value.length);
    assert_int_equal(record->timestamp_ms, 1000);
    assert_int_equal(record->partition, LEAT_PARTITION_BY_KEY);
}

static void assert_counts(const char *body, size_t accepted, size_t rejected)
{
    assert_int_equal(read_batch(body), LEAT_OK);
    assert_int_equal(batch.count, accepted);
    assert_int_equal(batch.rejected_count, rejected);
}

/* ------------------------------------------------------------------ events */

static void one_event(void **state)
{
    (void)state;
    assert_counts(A, 1, 0);
    assert_value(0, "u", A);
    assert_counts("\n  " A "  \n\n", 1, 0);
    assert_counts("7", 0, 1);
}

static void an_array_keeps_the_producers_text(void **state)
{
    (void)state;
    assert_counts(" [" A " ,\n" B ",{\"user_id\": 7,\"item_id\":\"\\u0061\", \"x\":[1, 2]}]", 3, 0);
    assert_value(0, "u", A);
    assert_value(1, "v", B);
    assert_value(2, "7", "{\"user_id\": 7,\"item_id\":\"\\u0061\", \"x\":[1, 2]}");
    assert_counts("[]", 0, 0);
}

static void lines(void **state)
{
    (void)state;
    assert_counts(A "\n" B "\n", 2, 0);
    assert_counts(A "\r\n\r\n" B, 2, 0);
    assert_value(1, "v", B);
    assert_counts(A "\n{oops\n" B, 2, 1);
    assert_int_equal(batch.rejected[0].index, 1);
    assert_counts("{oops\n" B, 1, 1); /* broken in the first line, lines all the same */
}

static void an_event_over_several_lines_becomes_one_line(void **state)
{
    (void)state;
    assert_counts("{\n \"user_id\": \"u\",\r\n \"item_id\": \"a\"\n}", 1, 0);
    assert_value(0, "u", "{  \"user_id\": \"u\",   \"item_id\": \"a\" }");
    assert_counts("[{\n\"user_id\":\"u\",\"item_id\":\"a\"}]", 1, 0);
    assert_value(0, "u", "{ \"user_id\":\"u\",\"item_id\":\"a\"}");
}

static void a_malformed_body_gives_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "  \n", "[", "[" A, "[" A ",]", A A, "{", "[" A "] x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(read_batch(wrong[i]), LEAT_EDATA);
        assert_true(error.message[0] != '\0');
        assert_int_equal(batch.count, 0);
    }
}

static void there_may_not_be_too_many(void **state)
{
    (void)state;
    size_t count = EVENT_BATCH_MAX + 1;
    char *body = malloc(count * sizeof A + 2), *at = body;
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%s%s", i == 0 ? "[" : ",", A);
    strcpy(at, "]");
    assert_int_equal(read_batch(body), LEAT_ETOOBIG);
    at = body;
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%s\n", A);
    assert_int_equal(read_batch(body), LEAT_ETOOBIG);
    free(body);
}

static void only_the_first_errors_are_listed(void **state)
{
    (void)state;
    char body[4096] = "[0", *at = body + 2;
    for (int i = 1; i < 300; i++)
        at += sprintf(at, ",0");
    strcpy(at, "]");
    assert_counts(body, 0, 300);
    assert_int_equal(batch.rejected[EVENT_BATCH_ERRORS_LISTED - 1].index,
                     EVENT_BATCH_ERRORS_LISTED - 1);
}

/* ------------------------------------------------------------------ sessions */

static leat_status read_session(const char *body, leat_str *clicks, recommend_request *request)
{
    return session_body_read(json, leat_str_from(body), clicks, request, &error);
}

static void a_session_and_its_options(void **state)
{
    (void)state;
    leat_str clicks[RECOMMEND_CLICKS_MAX];
    recommend_request request;
    assert_int_equal(
        read_session("{\"n\":5,\"items\":[\"a\",7,{\"item_id\":\"c\",\"x\":1}],\"explain\":true,"
                     "\"exclude_seen\":true,\"category\":\"shoes\",\"other\":{}}",
                     clicks, &request),
        LEAT_OK);
    assert_int_equal(request.click_count, 3);
    assert_true(leat_str_equal(clicks[0], LEAT_STR("a")));
    assert_true(leat_str_equal(clicks[1], LEAT_STR("7")));
    assert_true(leat_str_equal(clicks[2], LEAT_STR("c")));
    assert_int_equal(request.count, 5);
    assert_true(request.explain && request.exclude_seen);
    assert_true(leat_str_equal(request.category, LEAT_STR("shoes")));
    assert_int_equal(read_session("{\"items\":[],\"n\":null}", clicks, &request), LEAT_OK);
    assert_int_equal(request.count, 10);
}

static void a_wrong_session_is_refused_with_a_reason(void **state)
{
    (void)state;
    leat_str clicks[RECOMMEND_CLICKS_MAX];
    recommend_request request;
    static const struct {
        const char *body, *reason;
    } wrong[] = {
        {"{}", "items is missing"},
        {"[]", "must be an object"},
        {"{\"items\":\"a\"}", "must be an array"},
        {"{\"items\":[\"a\",null]}", "items[1]"},
        {"{\"items\":[\"a\",1.5]}", "items[1]"},
        {"{\"items\":[{\"id\":1}]}", "items[0]"},
        {"{\"items\":[],\"n\":101}", "from 1 to 100"},
        {"{\"items\":[],\"n\":1.5}", "whole number"},
        {"{\"items\":[],\"explain\":\"yes\"}", "explain must be"},
        {"{\"items\":[],\"category\":1}", "category must be"},
        {"{\"items\":[]", ""},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(read_session(wrong[i].body, clicks, &request), LEAT_EDATA);
        if (strstr(error.message, wrong[i].reason) == NULL)
            fail_msg("'%s' does not say '%s'", error.message, wrong[i].reason);
    }
}

/* ------------------------------------------------------------------ answers */

static void assert_answer(const recommend_item *items, size_t count, const char *expected)
{
    leat__buffer out = {0};
    const leat_str clicks[] = {LEAT_STR("x"), LEAT_STR("y")};
    answer_items(&out, items, count, clicks, 2);
    leat__buffer_u8(&out, 0);
    assert_string_equal(out.data, expected);
    leat__buffer_free(&out);
}

static void items_are_written_as_json(void **state)
{
    (void)state;
    assert_answer(NULL, 0, "\"items\":[]");
    const recommend_item two[] = {
        {.item = LEAT_STR("a\"b\n"), .score = 1.5f, .source = FROM_SESSIONS},
        {.item = LEAT_STR("7"), .score = 0.0001f, .source = FROM_POPULAR},
    };
    assert_answer(
        two, 2,
        "\"items\":[{\"item_id\":\"a\\\"b\\n\",\"score\":1.500000,\"source\":\"sessions\"},"
        "{\"item_id\":\"7\",\"score\":1e-04,\"source\":\"popular\"}]");
}

static void every_score_is_a_number(void **state)
{
    (void)state;
    static const struct {
        float score;
        const char *text;
    } cases[] = {{0, "0"},       {0.001f, "0.001000"},     {3999.999f, "3999.999023"},
                 {4000, "4000"}, {1.9999999f, "2.000000"}, {-2, "-2"},
                 {1e31f, "0"},   {0.0f / 1.0f, "0"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[128];
        const recommend_item one = {
            .item = LEAT_STR("a"), .score = cases[i].score, .source = FROM_CATEGORY};
        snprintf(expected, sizeof expected,
                 "\"items\":[{\"item_id\":\"a\",\"score\":%s,\"source\":\"category\"}]",
                 cases[i].text);
        assert_answer(&one, 1, expected);
    }
}

static void reasons_name_the_click(void **state)
{
    (void)state;
    session_reason reasons[SESSION_QUERY_ITEMS_MAX] = {
        {.clicks_ago = 1, .sessions = 3, .share = 0.75f, .last_time_ms = 5},
        {.clicks_ago = 2, .sessions = 1, .share = 0.25f, .last_time_ms = 4},
    };
    const recommend_item one = {.item = LEAT_STR("a"), .score = 1, .reasons = reasons};
    assert_answer(
        &one, 1,
        "\"items\":[{\"item_id\":\"a\",\"score\":1.000000,\"source\":\"sessions\",\"reasons\":["
        "{\"item_id\":\"y\",\"clicks_ago\":1,\"sessions\":3,\"share\":0.750000,"
        "\"newest_session_ms\":5},"
        "{\"item_id\":\"x\",\"clicks_ago\":2,\"sessions\":1,\"share\":0.250000,"
        "\"newest_session_ms\":4}]}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_event),
        cmocka_unit_test(an_array_keeps_the_producers_text),
        cmocka_unit_test(lines),
        cmocka_unit_test(an_event_over_several_lines_becomes_one_line),
        cmocka_unit_test(a_malformed_body_gives_nothing),
        cmocka_unit_test(there_may_not_be_too_many),
        cmocka_unit_test(only_the_first_errors_are_listed),
        cmocka_unit_test(a_session_and_its_options),
        cmocka_unit_test(a_wrong_session_is_refused_with_a_reason),
        cmocka_unit_test(items_are_written_as_json),
        cmocka_unit_test(every_score_is_a_number),
        cmocka_unit_test(reasons_name_the_click),
    };
    return cmocka_run_group_tests(tests, open_reader, close_reader);
}
