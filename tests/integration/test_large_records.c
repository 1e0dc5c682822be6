/* R19: a record that is too big for the log once it is encoded is the failure of what emitted it,
 * wherever its bytes come from: its key, JSON's names and escapes, a map, a source that is no log,
 * an exchange. Every policy here is DEAD_LETTER, so no job may stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leat/leat.h>
#include <leat/test.h>

enum {
    BOUND_BYTES = 1 << 20,
    KEY_BYTES = BOUND_BYTES - 3000,
    SMALL_BYTES = 7000, /* in memory; as JSON six times as much */
    ITEMS = 2600,
    FLAGS = 7000,
};

struct view {
    leat_str user, page;
};
LEAT_RECORD(view, user, LEAT_OPTIONAL(page));

/* Two bytes of the input, "{}", become 450 of the output. */
struct item {
    int8_t name_that_is_fifty_characters_long_or_longer_still_a;
    int8_t name_that_is_fifty_characters_long_or_longer_still_b;
    int8_t name_that_is_fifty_characters_long_or_longer_still_c;
    int8_t name_that_is_fifty_characters_long_or_longer_still_d;
    int8_t name_that_is_fifty_characters_long_or_longer_still_e;
    int8_t name_that_is_fifty_characters_long_or_longer_still_f;
    int8_t name_that_is_fifty_characters_long_or_longer_still_g;
    int8_t name_that_is_fifty_characters_long_or_longer_still_h;
};
LEAT_RECORD(item, LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_a),
            LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_b),
            LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_c),
            LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_d),
            LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_e),
            LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_f),
            LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_g),
            LEAT_OPTIONAL(name_that_is_fifty_characters_long_or_longer_still_h));
struct order {
    leat_str user;
    leat_list items;
};
LEAT_RECORD(order, user, LEAT_LIST(items, &item_type));

/* One byte of memory is 200 of JSON. */
struct flag {
    bool innermost_name_that_is_fifty_characters_long_or_longer;
};
LEAT_RECORD(flag, innermost_name_that_is_fifty_characters_long_or_longer);
struct holder {
    struct flag middle_name_that_is_fifty_characters_long_or_longer;
};
LEAT_RECORD(holder, LEAT_SUB(middle_name_that_is_fifty_characters_long_or_longer, &flag_type));
struct outer {
    struct holder outermost_name_that_is_fifty_characters_long_or_longer;
};
LEAT_RECORD(outer, LEAT_SUB(outermost_name_that_is_fifty_characters_long_or_longer, &holder_type));
struct flags {
    leat_str user;
    leat_list all;
};
LEAT_RECORD(flags, user, LEAT_LIST(all, &outer_type));

static char big[2 * BOUND_BYTES], text[3 * BOUND_BYTES];
static int sequence;

static leat_job *new_job(leat_exchange exchange)
{
    static char url[64];
    (void)snprintf(url, sizeof(url), "sim:large-%d", sequence++);
    return leat_job_new(&(leat_job_opts){.name = "large", .log = url, .exchange = exchange});
}

static leat_stream from(leat_job *job, const char *topic, const leat_type *type)
{
    return leat_from_log(job, topic, type,
                         &(leat_log_source){.topic = topic, .on_error = LEAT_ON_ERROR_DEAD_LETTER});
}

static void to_out(leat_stream stream, const char *key)
{
    leat_to_log(stream, "out", &(leat_log_sink){.topic = "out", .key = key});
}

/* Bob's is too big; those before and after it come out. */
static void send(leat_test *test, const char *topic, const char *bobs)
{
    leat_test_send_json(test, topic, "{\"user\":\"ann\",\"items\":[]}");
    leat_test_send_json(test, topic, bobs);
    leat_test_send_json(test, topic, "{\"user\":\"cid\",\"items\":[]}");
}

/* What is left out of the letter is said in it, NULL: nothing is. */
static void assert_put_aside(leat_test *test, const char *operator, const char * left_out)
{
    char name[80];
    if (leat_test_run(test) != LEAT_OK)
        fail_msg("%s: %s", leat_test_error(test)->where, leat_test_error(test)->message);
    int ann = 0, cid = 0, others = 0; /* in whatever partitions */
    for (const char *out; (out = leat_test_next_json(test, "out")) != NULL;) {
        bool is_ann = strstr(out, "\"ann\"") != NULL, is_cid = strstr(out, "\"cid\"") != NULL;
        ann += is_ann;
        cid += is_cid;
        others += !is_ann && !is_cid;
    }
    assert_int_equal(ann, 1);
    assert_int_equal(cid, 1);
    assert_int_equal(others, 0);
    const char *letter = leat_test_next_json(test, "dead-letters");
    assert_non_null(letter);
    (void)snprintf(name, sizeof(name), "\"operator\":\"%s\"", operator);
    if (strstr(letter, "key 'kkk") != NULL && strstr(letter, "kkk...' (") == NULL)
        fail_msg("%.600s", letter); /* a long key is cut, and its length is said */
    if (strstr(letter, name) == NULL || strstr(letter, "over the log's bound") == NULL)
        fail_msg("%.600s", letter);
    if (left_out != NULL ? strstr(letter, left_out) == NULL
                         : strstr(letter, "smaller records\"") == NULL)
        fail_msg("%.900s", letter);
    assert_null(leat_test_next_json(test, "dead-letters"));
    leat_test_free(test);
}

static const char *order_of(const char *user)
{
    char *at = text + sprintf(text, "{\"user\":\"%s\",\"items\":[{}", user);
    for (int i = 1; i < ITEMS; i++)
        at += sprintf(at, ",{}");
    (void)sprintf(at, "]}");
    return text;
}

/* ------------------------------------------------------------------ the key */

static leat_status emit_for_bob(leat_ctx *ctx, const void *record)
{
    const struct view *in = record;
    static char page[SMALL_BYTES];
    const leat_str bobs = LEAT_STR("bob");
    memset(page, 1, sizeof(page));
    bool bob = in->user.length > 3;
    leat_emit(ctx, &(struct view){bob ? bobs : in->user,
                                  bob ? (leat_str){page, sizeof(page)} : (leat_str){0}});
    return LEAT_OK;
}

static void the_key_of_the_stream_counts(void **state)
{
    (void)state; /* a sink without .key writes it, and it is no part of the record */
    static const leat_process_op op = {.in = &view_type,
                                       .out = &view_type,
                                       .on_record = emit_for_bob,
                                       .on_error = LEAT_ON_ERROR_DEAD_LETTER};
    leat_job *job = new_job(LEAT_EXCHANGE_MEMORY);
    to_out(leat_process(leat_key_by(from(job, "views", &view_type), "user"), "op", &op, NULL),
           NULL);
    leat_test *test = leat_test_new(job);
    memset(big, 'k', KEY_BYTES);
    big[KEY_BYTES] = '\0';
    (void)snprintf(text, sizeof(text), "{\"user\":\"%s\"}", big);
    send(test, "views", text);
    assert_put_aside(test, "op",
                     "; the value is cut, of 1045599 bytes; the key is left out, of 1045576 bytes");
}

static leat_status pass(leat_ctx *ctx, const void *record)
{
    leat_emit(ctx, record);
    return LEAT_OK;
}

static void so_does_the_key_for_an_exchange_right_behind_a_source(void **state)
{
    (void)state;
    static const leat_process_op op = {.in = &view_type,
                                       .out = &view_type,
                                       .state = {{.name = "last", .type = &view_type}},
                                       .on_record = pass,
                                       .on_error = LEAT_ON_ERROR_DEAD_LETTER};
    leat_job *job = new_job(LEAT_EXCHANGE_LOG);
    to_out(leat_process(leat_key_by(from(job, "views", &view_type), "user"), "op", &op, NULL),
           "user");
    leat_test *test = leat_test_new(job);
    memset(big, 'k', BOUND_BYTES / 2 + 1);
    big[BOUND_BYTES / 2 + 1] = '\0';
    (void)snprintf(text, sizeof(text), "{\"user\":\"%s\"}", big);
    send(test, "views", text);
    assert_put_aside(test, "views", "; the value is cut, of 524300 bytes\"");
}

/* ------------------------------------------------------------------ names and escapes */

static void a_source_s_record_is_measured_as_it_is_in_memory(void **state)
{
    (void)state;
    leat_job *job = new_job(LEAT_EXCHANGE_AUTO);
    to_out(from(job, "orders", &order_type), NULL);
    leat_test *test = leat_test_new(job);
    send(test, "orders", order_of("bob"));
    assert_put_aside(test, "orders", NULL);
}

static leat_status emit_flags(leat_ctx *ctx, const void *record)
{
    static struct outer all[FLAGS];
    const struct view *in = record;
    bool bob = leat_str_equal(in->user, LEAT_STR("bob"));
    leat_emit(ctx, &(struct flags){in->user, {all, bob ? FLAGS : 0}});
    return LEAT_OK;
}

static void records_in_records_are_names_in_names(void **state)
{
    (void)state;
    leat_job *job = new_job(LEAT_EXCHANGE_AUTO);
    to_out(leat_on_failure(leat_flat_map(from(job, "views", &view_type), "flags", &flags_type,
                                         emit_flags, NULL),
                           LEAT_ON_ERROR_DEAD_LETTER),
           NULL);
    leat_test *test = leat_test_new(job);
    send(test, "views", "{\"user\":\"bob\"}");
    assert_put_aside(test, "flags", NULL);
}

/* ------------------------------------------------------------------ maps, and what is behind them
 */

static void make_bobs_big(const void *in, void *out, void *arg)
{
    (void)arg;
    struct view *view = out;
    *view = *(const struct view *)in;
    if (leat_str_equal(view->user, LEAT_STR("bob")))
        view->page = (leat_str){big, BOUND_BYTES};
}

static bool all(const void *record, void *arg)
{
    (void)record;
    (void)arg;
    return true;
}

static void what_a_map_makes_is_measured(void **state)
{
    (void)state;
    for (int filtered = 0; filtered < 2; filtered++) {
        leat_job *job = new_job(LEAT_EXCHANGE_AUTO);
        leat_stream made = leat_on_failure(
            leat_map(from(job, "views", &view_type), "grow", &view_type, make_bobs_big, NULL),
            LEAT_ON_ERROR_DEAD_LETTER);
        if (filtered)
            made = leat_on_failure(leat_filter(made, "all", all, NULL), LEAT_ON_ERROR_DEAD_LETTER);
        to_out(made, NULL);
        leat_test *test = leat_test_new(job);
        memset(big, 'm', BOUND_BYTES);
        send(test, "views", "{\"user\":\"bob\"}");
        assert_put_aside(test, "grow", NULL);
    }
}

/* ------------------------------------------------------------------ sources that are no log */

static void so_is_what_an_array_holds(void **state)
{
    (void)state;
    memset(big, 'a', BOUND_BYTES);
    const struct view views[] = {
        {LEAT_STR("ann"), {0}}, {LEAT_STR("bob"), {big, BOUND_BYTES}}, {LEAT_STR("cid"), {0}}};
    leat_job *job = new_job(LEAT_EXCHANGE_AUTO);
    to_out(leat_from_array(
               job, "array", &view_type,
               &(leat_array){.records = views, .count = 3, .on_error = LEAT_ON_ERROR_DEAD_LETTER}),
           NULL);
    assert_put_aside(leat_test_new(job), "array", "; the value is cut, of 1048600 bytes\"");
}

/* ------------------------------------------------------------------ behind an exchange */

static bool no_more(void *arg, uint32_t partition, uint64_t index, void *record)
{
    (void)arg;
    (void)partition;
    (void)index;
    (void)record;
    return false;
}

/* Binary it fits into the exchange, as JSON it does not fit into the topic. */
static void a_union_behind_an_exchange_answers_for_what_it_hands_on(void **state)
{
    (void)state;
    const leat_exchange exchanges[] = {LEAT_EXCHANGE_MEMORY, LEAT_EXCHANGE_LOG};
    for (size_t i = 0; i < 2; i++) {
        leat_job *job = new_job(exchanges[i]);
        const leat_generator none = {.generate = no_more, .partition_count = 7};
        leat_stream both = leat_union(from(job, "orders", &order_type), "both",
                                      leat_from_generator(job, "none", &order_type, &none));
        to_out(leat_on_failure(both, LEAT_ON_ERROR_DEAD_LETTER), NULL);
        leat_test *test = leat_test_new(job);
        send(test, "orders", order_of("bob"));
        assert_put_aside(test, "both", "; the value is cut, of 1190824 bytes\"");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_of_the_stream_counts),
        cmocka_unit_test(so_does_the_key_for_an_exchange_right_behind_a_source),
        cmocka_unit_test(a_source_s_record_is_measured_as_it_is_in_memory),
        cmocka_unit_test(records_in_records_are_names_in_names),
        cmocka_unit_test(what_a_map_makes_is_measured),
        cmocka_unit_test(so_is_what_an_array_holds),
        cmocka_unit_test(a_union_behind_an_exchange_answers_for_what_it_hands_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
