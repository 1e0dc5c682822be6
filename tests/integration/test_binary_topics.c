/* Topics of LEAT_BINARY between programs whose types differ: converted, or refused record by record
 * by the source's policy (S4, R19, R26). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leat/leat.h>
#include <leat/test.h>

struct order {
    leat_str key;
    int64_t at_ms, cents, quantity;
};
LEAT_RECORD(order, key, at_ms, cents, quantity);
struct swapped { /* each byte of an order decodes as one of these */
    leat_str key;
    int64_t at_ms, quantity, cents;
};
LEAT_RECORD(swapped, key, at_ms, quantity, cents);

static const char order_layout[] = "order{key:str,at_ms:i64,cents:i64,quantity:i64}";
static const char *const former[] = {order_layout, NULL};
static int sequence;
static char url[32];

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof url, "sim:binary-%d", sequence++);
    return 0;
}

static leat_test *writer(void)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "writer", .log = url});
    leat_stream in = leat_from_log(job, "in", &order_type, &(leat_log_source){.topic = "in"});
    leat_to_log(in, "orders",
                &(leat_log_sink){.topic = "orders", .format = LEAT_BINARY, .key = "key"});
    leat_test *test = leat_test_new(job);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_send_json(test, "in", "{\"key\":\"a\",\"at_ms\":1,\"cents\":250,\"quantity\":3}");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    return test;
}

static leat_job *reader(const leat_type *type, const leat_log_source *options)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "reader", .log = url});
    leat_log_source source = *options;
    source.topic = "orders";
    source.format = LEAT_BINARY;
    leat_to_log(leat_from_log(job, "orders", type, &source), "out",
                &(leat_log_sink){.topic = "out"});
    return job;
}

static const char *first_output(const leat_type *type, const leat_log_source *options)
{
    static char text[200];
    leat_test *test = leat_test_new(reader(type, options));
    if (leat_test_run(test) != LEAT_OK)
        fail_msg("%s", leat_test_error(test)->message);
    const char *json = leat_test_next_json(test, "out");
    (void)snprintf(text, sizeof text, "%s", json == NULL ? "" : json);
    leat_test_free(test);
    return text;
}

static void the_same_layout_is_read(void **state)
{
    (void)state;
    leat_test *test = writer();
    assert_string_equal(first_output(&order_type, &(leat_log_source){0}),
                        "{\"key\":\"a\",\"at_ms\":1,\"cents\":250,\"quantity\":3}");
    leat_test_free(test);
}

static void another_layout_is_converted_where_it_is_told(void **state)
{
    (void)state;
    leat_test *test = writer();
    assert_string_equal(first_output(&swapped_type, &(leat_log_source){.former_layouts = former}),
                        "{\"key\":\"a\",\"at_ms\":1,\"quantity\":3,\"cents\":250}");
    leat_test_free(test);
}

static void another_layout_fails_by_policy(void **state)
{
    (void)state;
    leat_test *test = writer();
    leat_test *stopped = leat_test_new(reader(&swapped_type, &(leat_log_source){0}));
    assert_int_equal(leat_test_run(stopped), LEAT_ETYPE);
    assert_non_null(strstr(leat_test_error(stopped)->message, ".former_layouts"));
    assert_non_null(strstr(leat_test_error(stopped)->message, "offset 0"));
    leat_test_free(stopped);
    leat_test *aside = leat_test_new(
        reader(&swapped_type, &(leat_log_source){.on_error = LEAT_ON_ERROR_DEAD_LETTER}));
    assert_int_equal(leat_test_run(aside), LEAT_OK);
    assert_null(leat_test_next_json(aside, "out"));
    const char *letter = leat_test_next_json(aside, "dead-letters");
    assert_non_null(letter);
    assert_non_null(strstr(letter, "LEAT_ETYPE"));
    assert_non_null(strstr(letter, "swapped{key:str,at_ms:i64,quantity:i64,cents:i64}"));
    leat_test_free(aside);
    leat_test_free(test);
}

/* What a sink of format 1 wrote: {"key":"a","at_ms":1,"cents":250,"quantity":3}. */
static leat_test *former_writer(void)
{
    static const char bytes[] = "\x01\x02"
                                "a\x02\xf4\x03\x06";
    leat_test *test = writer();
    leat_log *log;
    leat_log_record record = {.topic = "orders",
                              .partition = LEAT_PARTITION_BY_KEY,
                              .key = LEAT_STR("a"),
                              .value = {bytes, sizeof bytes - 1}};
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
    leat_log_close(log);
    return test;
}

static void records_without_a_layout_need_a_word(void **state)
{
    (void)state;
    leat_test *test = former_writer();
    leat_test *stopped = leat_test_new(reader(&order_type, &(leat_log_source){0}));
    assert_int_equal(leat_test_run(stopped), LEAT_ETYPE);
    assert_non_null(strstr(leat_test_error(stopped)->message, ".headless_layout"));
    leat_test_free(stopped);
    leat_test *told =
        leat_test_new(reader(&swapped_type, &(leat_log_source){.former_layouts = former,
                                                               .headless_layout = order_layout}));
    assert_int_equal(leat_test_run(told), LEAT_OK);
    for (int i = 0; i < 2; i++)
        assert_string_equal(leat_test_next_json(told, "out"),
                            "{\"key\":\"a\",\"at_ms\":1,\"quantity\":3,\"cents\":250}");
    leat_test_free(told);
    leat_test_free(test);
}

static void note_cents(void *arg, leat_str key, const void *record, const leat_log_record *origin)
{
    (void)key, (void)origin;
    *(int64_t *)arg += ((const struct swapped *)record)->cents;
}

static void a_table_does_the_same(void **state)
{
    (void)state;
    leat_test *test = former_writer();
    for (int told = 0; told < 2; told++) {
        int64_t cents = 0;
        leat_job *job = leat_job_new(&(leat_job_opts){.name = "table", .log = url});
        leat_global_table(job, "orders",
                          &(leat_table){.topic = "orders",
                                        .type = &swapped_type,
                                        .format = LEAT_BINARY,
                                        .former_layouts = told ? former : NULL,
                                        .headless_layout = told ? order_layout : NULL,
                                        .on_record = note_cents,
                                        .arg = &cents});
        leat_test *reading = leat_test_new(job);
        assert_int_equal(leat_test_run(reading), told ? LEAT_OK : LEAT_ETYPE);
        assert_int_equal(cents, told ? 500 : 0);
        leat_test_free(reading);
    }
    leat_test_free(test);
}

static void what_cannot_be_converted_is_refused_when_the_job_is_built(void **state)
{
    (void)state;
    static const char *const texts[] = {"order{key:i64}", NULL};
    leat_error error;
    leat_job *job = reader(&order_type, &(leat_log_source){.former_layouts = texts});
    assert_int_equal(leat_job_run(job, &error), LEAT_ETYPE);
    assert_string_equal(error.where, "orders");
    assert_non_null(strstr(error.message, "order{key:i64}"));
    leat_job_free(job);
    job = leat_job_new(&(leat_job_opts){.name = "reader", .log = url});
    (void)leat_from_log(job, "orders", &order_type,
                        &(leat_log_source){.topic = "orders", .former_layouts = former});
    assert_int_equal(leat_job_run(job, &error), LEAT_EINVAL); /* of JSON */
    leat_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_same_layout_is_read, fresh_log),
        cmocka_unit_test_setup(another_layout_is_converted_where_it_is_told, fresh_log),
        cmocka_unit_test_setup(another_layout_fails_by_policy, fresh_log),
        cmocka_unit_test_setup(records_without_a_layout_need_a_word, fresh_log),
        cmocka_unit_test_setup(a_table_does_the_same, fresh_log),
        cmocka_unit_test_setup(what_cannot_be_converted_is_refused_when_the_job_is_built,
                               fresh_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
