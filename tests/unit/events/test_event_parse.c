/* What producers may write as an event, and what they are told when it is none. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/events/event.h"
#include "apps/recommender/events/timestamp.h"

enum { ACCEPTED_MS = 1000000 };

static leat__json_reader *reader;
static interaction event;
static event_fault fault;

static int open_reader(void **state)
{
    (void)state;
    reader = leat__json_reader_new();
    return reader == NULL;
}

static int close_reader(void **state)
{
    (void)state;
    leat__json_reader_free(reader);
    return 0;
}

static leat_status parse(const char *text)
{
    memset(&event, 0, sizeof event);
    memset(&fault, 0, sizeof fault);
    return event_parse(reader, leat_str_from(text), ACCEPTED_MS, &event, &fault);
}

static void assert_text(leat_str actual, const char *expected)
{
    assert_int_equal(actual.length, strlen(expected));
    assert_memory_equal(actual.data, expected, actual.length);
}

static void assert_refused(const char *text, const char *field, const char *reason_part)
{
    assert_int_equal(parse(text), LEAT_EDATA);
    assert_string_equal(fault.field, field);
    if (strstr(fault.reason, reason_part) == NULL)
        fail_msg("reason '%s' does not say '%s'", fault.reason, reason_part);
}

static void the_envelope_is_read(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"event_id\":\"e1\",\"event_type\":\"user_interaction\",\"timestamp\":500000,"
              "\"user_id\":\"u1\",\"session_id\":\"s1\",\"data\":{\"item_id\":\"i1\","
              "\"interaction_type\":\"purchase\",\"interaction_value\":2.5,\"category\":\"shoes\","
              "\"price\":19.99,\"context\":{\"device\":\"mobile\"}}}"),
        LEAT_OK);
    assert_text(event.event_id, "e1");
    assert_text(event.user_id, "u1");
    assert_text(event.session_id, "s1");
    assert_text(event.item_id, "i1");
    assert_text(event.category, "shoes");
    assert_int_equal(event.kind, INTERACTION_PURCHASE);
    assert_int_equal(event.timestamp_ms, 500000);
    assert_int_equal(event.accepted_ms, ACCEPTED_MS);
    assert_true(event.value == 2.5 && event.price == 19.99);
}

static void the_flat_form_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"user_id\":\"u\",\"product_id\":\"p\",\"category\":\"c\","
                           "\"event_type\":\"view\",\"timestamp_ms\":12345}"),
                     LEAT_OK);
    assert_text(event.item_id, "p");
    assert_int_equal(event.kind, INTERACTION_VIEW);
    assert_int_equal(event.timestamp_ms, 12345);
    assert_null(event.event_id.data);
    assert_null(event.session_id.data);
}

/* A Python dataclass's asdict(): the fields lie beside an empty `data`, and the time has no zone.
 */
static void fields_beside_an_empty_data_count(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"event_id\":\"e\",\"event_type\":\"user_interaction\","
              "\"timestamp\":\"1970-01-01T00:01:40.250999\",\"user_id\":\"u\",\"session_id\":null,"
              "\"data\":{},\"item_id\":\"i\",\"interaction_type\":\"click\","
              "\"interaction_value\":1.0,\"context\":{}}"),
        LEAT_OK);
    assert_text(event.item_id, "i");
    assert_int_equal(event.kind, INTERACTION_CLICK);
    assert_int_equal(event.timestamp_ms, 100250);
    assert_null(event.session_id.data);
}

static void what_is_in_data_wins(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"item_id\":\"outer\",\"user_id\":\"u\",\"data\":{\"product_id\":\"inner\"}}"),
        LEAT_OK);
    assert_text(event.item_id, "inner");
}

static void ids_may_be_integers(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"user_id\":42,\"item_id\":18446744073709551615}"), LEAT_OK);
    assert_text(event.user_id, "42");
    assert_text(event.item_id, "18446744073709551615");
    assert_refused("{\"user_id\":1.5,\"item_id\":1}", "user_id", "fraction");
    assert_refused("{\"user_id\":7.0,\"item_id\":1}", "user_id", "fraction");
}

static void an_event_without_a_time_happened_when_it_was_accepted(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"user_id\":\"u\",\"item_id\":\"i\"}"), LEAT_OK);
    assert_int_equal(event.timestamp_ms, ACCEPTED_MS);
    assert_int_equal(parse("{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":null}"), LEAT_OK);
    assert_int_equal(event.timestamp_ms, ACCEPTED_MS);
}

static void usual_spellings_of_a_kind_are_known(void **state)
{
    (void)state;
    assert_int_equal(interaction_kind_of(LEAT_STR("AddToCart")), INTERACTION_CART);
    assert_int_equal(interaction_kind_of(LEAT_STR("transaction")), INTERACTION_PURCHASE);
    assert_int_equal(interaction_kind_of(LEAT_STR("page_view")), INTERACTION_VIEW);
    assert_int_equal(interaction_kind_of(LEAT_STR("hover")), INTERACTION_OTHER);
    assert_int_equal(interaction_kind_of(LEAT_STR("vie")), INTERACTION_OTHER);
    for (uint8_t kind = 0; kind < INTERACTION_KINDS; kind++)
        assert_int_equal(interaction_kind_of(leat_str_from(interaction_kind_name(kind))), kind);
    assert_true(interaction_kind_weight(INTERACTION_PURCHASE) >
                interaction_kind_weight(INTERACTION_VIEW));
}

static void escaped_texts_are_unescaped(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"user_id\":\"a\\u00e9\\n\",\"item_id\":\"\\\"q\\\"\"}"), LEAT_OK);
    assert_text(event.user_id, "a\xc3\xa9\n");
    assert_text(event.item_id, "\"q\"");
}

static void numbers_may_come_as_texts(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"user_id\":\"u\",\"item_id\":\"i\",\"price\":\"9.5\",\"value\":\"\"}"), LEAT_OK);
    assert_true(event.price == 9.5 && event.value == 0);
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"price\":\"cheap\"}", "price",
                   "not a number");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"price\":\"nan\"}", "price",
                   "not a number");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"value\":[1]}", "value", "array");
}

static void a_refusal_names_the_field(void **state)
{
    (void)state;
    assert_refused("{\"item_id\":\"i\"}", "user_id", "missing");
    assert_refused("{\"user_id\":\"u\"}", "item_id", "missing");
    assert_refused("{\"user_id\":\"\",\"item_id\":\"i\"}", "user_id", "empty");
    assert_refused("{\"user_id\":{},\"item_id\":\"i\"}", "user_id", "object");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"data\":[]}", "data", "object");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"event_type\":5}", "kind", "event_type");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"event_type\":\"item_update\"}",
                   "event_type", "item_update");
    assert_refused("{\"event_type\":\"item_update\",\"data\":{\"item_id\":\"i\",\"type\":\"x\"}}",
                   "event_type", "item_update");
    assert_refused("[]", "", "object");
    assert_refused("{\"user_id\":", "", "");
    assert_refused("", "", "");
}

static void an_id_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char text[400];
    snprintf(text, sizeof text, "{\"item_id\":\"i\",\"user_id\":\"%0*d\"}", EVENT_ID_BYTES_MAX, 7);
    assert_int_equal(parse(text), LEAT_OK);
    snprintf(text, sizeof text, "{\"item_id\":\"i\",\"user_id\":\"%0*d\"}", EVENT_ID_BYTES_MAX + 1,
             7);
    assert_refused(text, "user_id", "257 bytes");
}

static void times_that_cannot_be_are_refused(void **state)
{
    (void)state;
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":\"yesterday\"}", "timestamp",
                   "yesterday");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":-1}", "timestamp", "range");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":true}", "timestamp",
                   "true or false");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":1e300}", "timestamp",
                   "range");
    /* microseconds by mistake: it would push the watermark far into the future */
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":1763703000123000}",
                   "timestamp", "range");
    assert_refused("{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":1763703000123}", "timestamp",
                   "future");
}

static void timestamps_are_read_as_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01", 0},
        {"2000-02-29T12:30:15Z", 951827415000},
        {"2026-11-21 07:30:00.5", 1795246200500},
        {"2026-11-21T07:30Z", 1795246200000},
        {"2026-11-21T09:30:00+02:00", 1795246200000},
        {"2026-11-21T02:00:00-0530", 1795246200000},
        {"2026-11-21T07:30:00,123456789Z", 1795246200123},
        {"9999-12-31T23:59:59.999Z", TIMESTAMP_MAX_MS},
        {"1795246200123", 1795246200123},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        assert_true(timestamp_parse(leat_str_from(cases[i].text), &ms));
        assert_int_equal(ms, cases[i].ms);
    }
    static const char *const wrong[] = {
        "",
        "2026",
        "2026-13-01",
        "2026-02-29",
        "2026-11-21T25:00",
        "now",
        "2026-1-1",
        "2026-11-21T07:30:00X",
        "1969-12-31T23:59:59Z",
        "2026-11-21T07:30:00+2",
        "12a4",
        "2026-11-00",
        "2026-11-21T",
        "2026-11-21T07:30:00.",
        "9999999999999999",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int64_t ms = -1;
        if (i == 1)
            continue; /* four digits are epoch milliseconds */
        if (timestamp_parse(leat_str_from(wrong[i]), &ms))
            fail_msg("'%s' was read", wrong[i]);
    }
}

static void a_timestamp_written_reads_back(void **state)
{
    (void)state;
    char text[TIMESTAMP_TEXT_BYTES];
    for (int64_t ms = 0; ms <= TIMESTAMP_MAX_MS; ms += 86399999 * INT64_C(977)) {
        int64_t back = -1;
        assert_int_equal(timestamp_format(ms, text), TIMESTAMP_TEXT_BYTES - 1);
        assert_true(timestamp_parse(leat_str_from(text), &back));
        assert_int_equal(back, ms);
    }
    timestamp_format(1795246200123, text);
    assert_string_equal(text, "2026-11-21T07:30:00.123Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_envelope_is_read),
        cmocka_unit_test(the_flat_form_is_read),
        cmocka_unit_test(fields_beside_an_empty_data_count),
        cmocka_unit_test(what_is_in_data_wins),
        cmocka_unit_test(ids_may_be_integers),
        cmocka_unit_test(an_event_without_a_time_happened_when_it_was_accepted),
        cmocka_unit_test(usual_spellings_of_a_kind_are_known),
        cmocka_unit_test(escaped_texts_are_unescaped),
        cmocka_unit_test(numbers_may_come_as_texts),
        cmocka_unit_test(a_refusal_names_the_field),
        cmocka_unit_test(an_id_that_is_too_long_is_refused),
        cmocka_unit_test(times_that_cannot_be_are_refused),
        cmocka_unit_test(timestamps_are_read_as_written),
        cmocka_unit_test(a_timestamp_written_reads_back),
    };
    return cmocka_run_group_tests(tests, open_reader, close_reader);
}
