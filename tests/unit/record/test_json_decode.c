/* JSON into records: what is accepted, what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "leat/record.h"

struct meta {
    double price;
    leat_list tags;
};
LEAT_RECORD(meta, price, LEAT_LIST(tags, &leat_type_str));

struct event {
    int64_t timestamp_ms;
    leat_str user;
    uint64_t item;
    char kind[8];
    bool paid;
    int8_t small;
    float ratio;
};
LEAT_RECORD(event, timestamp_ms, user, LEAT_OPTIONAL(item), LEAT_OPTIONAL(kind),
            LEAT_OPTIONAL(paid), LEAT_OPTIONAL(small), LEAT_OPTIONAL(ratio));

struct order {
    struct meta meta;
    leat_list counts;
    leat_list lines;
};
LEAT_RECORD(order, LEAT_SUB(meta, &meta_type), LEAT_LIST(counts, &leat_type_i64),
            LEAT_LIST(lines, &meta_type));

static leat_json_decoder *decoder;
static struct event event;
static leat_error error;

static int open_decoder(void **state)
{
    (void)state;
    decoder = leat_json_decoder_new();
    return 0;
}

static int close_decoder(void **state)
{
    (void)state;
    leat_json_decoder_free(decoder);
    return 0;
}

static leat_status decode(const char *text)
{
    memset(&error, 0, sizeof error);
    return leat_json_decode(decoder, &event_type, leat_str_from(text), &event, &error);
}

static void assert_decoded(const char *text)
{
    if (decode(text) != LEAT_OK)
        fail_msg("refused: %s: %s", text, error.message);
}

static void assert_refused_type(const leat_type *type, const char *text, const char *message)
{
    char record[256];
    if (leat_json_decode(decoder, type, leat_str_from(text), record, &error) == LEAT_OK)
        fail_msg("accepted: %s", text);
    assert_int_equal(error.status, LEAT_EDATA);
    assert_string_equal(error.where, type->name);
    assert_string_equal(error.message, message);
}

static void assert_str(leat_str actual, leat_str expected)
{
    assert_int_equal(actual.length, expected.length);
    assert_memory_equal(actual.data, expected.data, expected.length);
}

/* ---------------------------------------------------------------- accepted */

static void a_plain_event(void **state)
{
    (void)state;
    assert_decoded("{\"timestamp_ms\":1700000123456,\"user\":\"ann\",\"item\":7,"
                   "\"kind\":\"view\",\"paid\":true,\"small\":-128,\"ratio\":0.5}");
    assert_int_equal(event.timestamp_ms, 1700000123456);
    assert_str(event.user, LEAT_STR("ann"));
    assert_int_equal(event.item, 7);
    assert_string_equal(event.kind, "view");
    assert_true(event.paid);
    assert_int_equal(event.small, -128);
    assert_true(event.ratio == 0.5f);
}

static void members_come_in_any_order_and_unknown_ones_are_ignored(void **state)
{
    (void)state;
    assert_decoded(" { \"x\" : [ { } , [ ] , \"]\" ] , \"user\" : \"ann\" ,\n\"y\":{\"user\":1},"
                   "\t\"timestamp_ms\" : 5 , \"z\" : null } \r\n");
    assert_int_equal(event.timestamp_ms, 5);
    assert_str(event.user, LEAT_STR("ann"));
}

static void optional_members_may_be_missing_or_null(void **state)
{
    (void)state;
    memset(&event, 0xff, sizeof event);
    assert_decoded("{\"timestamp_ms\":5,\"user\":\"ann\",\"item\":null,\"kind\":null}");
    assert_int_equal(event.item, 0);
    assert_string_equal(event.kind, "");
    assert_false(event.paid);
}

static void escapes_in_strings_and_names(void **state)
{
    static const struct {
        const char *json;
        leat_str text;
    } rows[] = {
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", {"\"\\/\b\f\n\r\t", 8}},
        {"\"\\u0041\\u00e9\\u20AC\"", {"A\xc3\xa9\xe2\x82\xac", 6}},
        {"\"\\ud83c\\udf43\"", {"\xf0\x9f\x8d\x83", 4}},
        {"\"a\\u0000b\"", {"a\0b", 3}},
        {"\"caf\xc3\xa9\"", {"caf\xc3\xa9", 5}},
        {"\"\"", {"", 0}},
        {"\"{},:[]\"", {"{},:[]", 6}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"timestamp_ms\":1,\"us\\u0065r\":%s}", rows[i].json);
        assert_decoded(text);
        assert_non_null(event.user.data);
        assert_str(event.user, rows[i].text);
    }
}

/* Ids are written either way by producers, so a number is taken as its text. */
static void a_string_field_takes_a_number_as_its_text(void **state)
{
    static const char *const numbers[] = {"0", "-7", "12345678901234567890123456789", "1.50",
                                          "1e9"};
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"user\": %s ,\"timestamp_ms\":1}", numbers[i]);
        assert_decoded(text);
        assert_str(event.user, leat_str_from(numbers[i]));
    }
}

static void whole_numbers_in_any_notation(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        {"0", 0},
        {"-0", 0},
        {"1.0", 1},
        {"-1.000", -1},
        {"1e3", 1000},
        {"1.5E+1", 15},
        {"1500e-2", 15},
        {"0e999999999999999999", 0},
        {"0.0", 0},
        {"9007199254740993.0", 9007199254740993}, /* not exact as a double */
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"9.223372036854775807e18", INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"user\":\"u\",\"timestamp_ms\":%s}", rows[i].text);
        assert_decoded(text);
        assert_int_equal(event.timestamp_ms, rows[i].value);
    }
    assert_decoded("{\"user\":\"u\",\"timestamp_ms\":1,\"item\":18446744073709551615}");
    assert_int_equal(event.item, UINT64_MAX);
}

static void floating_point_is_rounded_once(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0.0",
        "1",
        "0.1",
        "123456789.125",
        "1e22",
        "1e23",
        "1e-400",
        "-1e-400",
        "5e-324",
        "1e308",
        "1e+5",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "9007199254740993",
        "0.30000000000000004",
        "123456789012345678901234567890",
        "100000000000000000000000000000000000000000000000000000e-40",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double value;
        if (leat_json_decode(decoder, &leat_type_f64, leat_str_from(texts[i]), &value, &error))
            fail_msg("%s: %s", texts[i], error.message);
        double expected = strtod(texts[i], NULL);
        assert_memory_equal(&value, &expected, sizeof value);
    }
}

/* "1", zeros, then an exponent: as long as it may be, too large is refused and too small is zero.
 */
static void floating_point_of_any_length(void **state)
{
    static const struct {
        const char *before;
        int zeros;
        const char *after;
        bool accepted;
        double value;
    } rows[] = {
        {"1", 308, "", true, 1e308},
        {"1", 309, "", false, 0},
        {"-1", 309, "", false, 0},
        {"1", 400, "e-399", true, 10},
        {"1", 400, "e-50", false, 0},
        {"0.", 400, "1", true, 0},
        {"0.", 400, "1e401", true, 1},
        {"0.", 400, "1e800", false, 0},
        {"-0.", 400, "1e3", true, 0},
        {"1e", 0, "99999999999999999999", false, 0},
        {"0", 0, "e99999999999999999999", true, 0},
        {"1e-", 0, "99999999999999999999", true, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat__buffer text = {0};
        leat__buffer_text(&text, rows[i].before);
        for (int k = 0; k < rows[i].zeros; k++)
            leat__buffer_u8(&text, '0');
        leat__buffer_text(&text, rows[i].after);
        double value = 77;
        leat_status status = leat_json_decode(decoder, &leat_type_f64,
                                              (leat_str){text.data, text.length}, &value, &error);
        if ((status == LEAT_OK) != rows[i].accepted ||
            (status == LEAT_OK && value != rows[i].value))
            fail_msg("row %zu: %d, %g", i, (int)status, value);
        leat__buffer_free(&text);
    }
}

static void bare_values_of_scalar_types(void **state)
{
    (void)state;
    uint64_t number;
    leat_str text;
    assert_int_equal(leat_json_decode(decoder, &leat_type_u64, LEAT_STR(" 42 "), &number, NULL), 0);
    assert_int_equal(number, 42);
    assert_int_equal(leat_json_decode(decoder, &leat_type_str, LEAT_STR("\"x\""), &text, NULL), 0);
    assert_str(text, LEAT_STR("x"));
}

static void nested_records_and_lists(void **state)
{
    (void)state;
    struct order order;
    const char *text = "{\"counts\":[1,-2,3,4,5,6],\"lines\":[{\"price\":1,\"tags\":[]},"
                       "{\"tags\":[\"a\",\"b\"],\"price\":2.5}],"
                       "\"meta\":{\"price\":7,\"tags\":[\"\\u0078\"]}}";
    assert_int_equal(leat_json_decode(decoder, &order_type, leat_str_from(text), &order, &error),
                     0);
    assert_int_equal(order.counts.count, 6);
    assert_int_equal(((int64_t *)order.counts.items)[5], 6);
    const struct meta *lines = order.lines.items;
    assert_int_equal(order.lines.count, 2);
    assert_int_equal(lines[0].tags.count, 0);
    assert_true(lines[1].price == 2.5);
    assert_str(((leat_str *)lines[1].tags.items)[1], LEAT_STR("b"));
    assert_str(((leat_str *)order.meta.tags.items)[0], LEAT_STR("x"));
}

/* ---------------------------------------------------------------- refused */

static void fields_of_the_wrong_type(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{\"timestamp_ms\":\"5\",\"user\":\"u\"}",
         "field 'timestamp_ms': expected an integer, found a string"},
        {"{\"timestamp_ms\":{},\"user\":\"u\"}",
         "field 'timestamp_ms': expected an integer, found an object"},
        {"{\"timestamp_ms\":null}", "field 'timestamp_ms': expected an integer, found null"},
        {"{\"timestamp_ms\":1.5}", "field 'timestamp_ms': expected an integer, found 1.5"},
        {"{\"timestamp_ms\":1e-1}", "field 'timestamp_ms': expected an integer, found 1e-1"},
        {"{\"timestamp_ms\":9223372036854775808}",
         "field 'timestamp_ms': 9223372036854775808 is out of the range of i64"},
        {"{\"timestamp_ms\":-9223372036854775809}",
         "field 'timestamp_ms': -9223372036854775809 is out of the range of i64"},
        {"{\"timestamp_ms\":1e19}", "field 'timestamp_ms': 1e19 is out of the range of i64"},
        {"{\"item\":-1}", "field 'item': -1 is out of the range of u64"},
        {"{\"item\":18446744073709551616}",
         "field 'item': 18446744073709551616 is out of the range of u64"},
        {"{\"small\":128}", "field 'small': 128 is out of the range of i8"},
        {"{\"small\":-129}", "field 'small': -129 is out of the range of i8"},
        {"{\"ratio\":1e39}", "field 'ratio': 1e39 is out of the range of f32"},
        {"{\"ratio\":\"x\"}", "field 'ratio': expected a number, found a string"},
        {"{\"paid\":1}", "field 'paid': expected true or false, found a number"},
        {"{\"paid\":[true]}", "field 'paid': expected true or false, found a list"},
        {"{\"user\":true}", "field 'user': expected a string, found true"},
        {"{\"user\":[]}", "field 'user': expected a string, found a list"},
        {"{\"kind\":\"123456789\"}", "field 'kind': a string of 9 bytes does not fit in 8"},
        {"{\"kind\":\"a\\u0000\"}",
         "field 'kind': a string with \\u0000 does not fit in a char array"},
        {"{\"user\":\"a\",\"user\":\"b\"}", "field 'user': appears twice"},
        {"{\"user\":\"a\"}", "field 'timestamp_ms': is missing"},
        {"{}", "field 'timestamp_ms': is missing"},
        {"[]", "expected an object, found a list"},
        {"7", "expected an object, found a number"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_refused_type(&event_type, rows[i].text, rows[i].message);
}

static void messages_lead_to_the_place(void **state)
{
    (void)state;
    assert_refused_type(&order_type, "{\"counts\":[1,\"x\"]}",
                        "field 'counts[1]': expected an integer, found a string");
    assert_refused_type(&order_type, "{\"meta\":{\"price\":false}}",
                        "field 'meta.price': expected a number, found false");
    assert_refused_type(&order_type, "{\"lines\":[{\"price\":1,\"tags\":[\"a\",null]}]}",
                        "field 'lines[0].tags[1]': expected a string, found null");
    assert_refused_type(&order_type, "{\"lines\":[{\"price\":1}]}",
                        "field 'lines[0].tags': is missing");
}

static void text_that_is_not_json(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "not JSON: it is empty"},
        {"  ", "not JSON: it is empty"},
        {"{\"user\":\"ann}", "not JSON: a string is not closed"},
        {"{\"user\":\"a\nb\"}", "not JSON: a string holds a control character"},
        {"{\"user\":\"\xff\"}", "not JSON: it is not valid UTF-8"},
        {"{\"user\":\"\xed\xa0\x80\"}", "not JSON: it is not valid UTF-8"},
        {"{\"user\":\"\\x\"}", "not JSON: a string holds an invalid escape at byte 8"},
        {"{\"user\":\"\\u12g4\"}", "not JSON: a string holds an invalid escape at byte 8"},
        {"{\"user\":\"\\ud800\"}", "not JSON: a string holds an invalid escape at byte 8"},
        {"{\"user\":\"\\udc00\"}", "not JSON: a string holds an invalid escape at byte 8"},
        {"{\"user\":\"\\ud800\\u0041\"}", "not JSON: a string holds an invalid escape at byte 8"},
        {"{\"x\":\"\\q\"}", "not JSON: a string holds an invalid escape at byte 5"},
        {"{\"\\q\":1}", "not JSON: a string holds an invalid escape at byte 1"},
        {"{", "not JSON: it ends too early, expected a member name"},
        {"{\"user\"", "not JSON: it ends too early, expected ':'"},
        {"{\"user\":", "not JSON: it ends too early, expected a value"},
        {"{\"user\":\"a\"", "not JSON: it ends too early, expected ',' or '}'"},
        {"{\"user\":\"a\",}", "not JSON: expected a member name at byte 12"},
        {"{,}", "not JSON: expected a member name at byte 1"},
        {"{\"user\" \"a\"}", "not JSON: expected ':' at byte 8"},
        {"{\"user\":\"a\" \"item\":1}", "not JSON: expected ',' or '}' at byte 12"},
        {"{user:1}", "not JSON: expected a member name at byte 1"},
        {"{'user':1}", "not JSON: expected a member name at byte 1"},
        {"{\"item\":01}", "not JSON: bad number at byte 8"},
        {"{\"item\":1.}", "not JSON: bad number at byte 8"},
        {"{\"item\":-}", "not JSON: bad number at byte 8"},
        {"{\"item\":1e}", "not JSON: bad number at byte 8"},
        {"{\"item\":1x}", "not JSON: bad number at byte 8"},
        {"{\"item\":1\"2\"}", "not JSON: bad number at byte 8"},
        {"{\"item\":+1}", "not JSON: expected a value at byte 8"},
        {"{\"item\":.5}", "not JSON: expected a value at byte 8"},
        {"{\"item\":NaN}", "not JSON: expected a value at byte 8"},
        {"{\"paid\":tru}", "not JSON: expected a value at byte 8"},
        {"{\"paid\":truer}", "not JSON: expected a value at byte 8"},
        {"{\"paid\":true\x01}", "not JSON: expected a value at byte 8"},
        /* what is ignored is checked all the same */
        {"{\"x\":[1,]}", "not JSON: expected a value at byte 8"},
        {"{\"x\":[1 2]}", "not JSON: expected ',' or ']' at byte 8"},
        {"{\"x\":{\"a\":1]}", "not JSON: expected ',' or '}' at byte 11"},
        {"{\"x\":{\"a\"}}", "not JSON: expected ':' at byte 9"},
        {"{\"x\":nul}", "not JSON: expected a value at byte 5"},
        {"{\"x\":00}", "not JSON: bad number at byte 5"},
        {"{\"timestamp_ms\":1,\"user\":\"u\"}{}",
         "not JSON: something follows the value at byte 29"},
        {"{\"timestamp_ms\":1,\"user\":\"u\"} x",
         "not JSON: something follows the value at byte 30"},
        {"{\"timestamp_ms\":1,\"user\":\"u\"}]",
         "not JSON: something follows the value at byte 29"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_refused_type(&event_type, rows[i].text, rows[i].message);
    leat_str with_nul = LEAT_STR("{\"item\":1\0}");
    assert_int_equal(leat_json_decode(decoder, &event_type, with_nul, &event, NULL), LEAT_EDATA);
}

static leat_str nested(leat__buffer *buffer, unsigned depth)
{
    buffer->length = 0;
    leat__buffer_text(buffer, "{\"timestamp_ms\":1,\"user\":\"u\",\"x\":");
    for (unsigned i = 0; i < depth; i++)
        leat__buffer_text(buffer, i % 2 == 0 ? "[" : "{\"k\":");
    leat__buffer_text(buffer, "0");
    for (unsigned i = depth; i > 0; i--)
        leat__buffer_text(buffer, i % 2 != 0 ? "]" : "}");
    leat__buffer_text(buffer, "}");
    return (leat_str){buffer->data, buffer->length};
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    leat__buffer buffer = {0};
    leat_str deep = nested(&buffer, LEAT__JSON_DEPTH_MAX);
    assert_int_equal(leat_json_decode(decoder, &event_type, deep, &event, NULL), LEAT_OK);
    deep = nested(&buffer, LEAT__JSON_DEPTH_MAX + 1);
    assert_int_equal(leat_json_decode(decoder, &event_type, deep, &event, &error), LEAT_EDATA);
    assert_non_null(strstr(error.message, "nested more than 64 deep"));
    deep = nested(&buffer, 1000000);
    assert_int_equal(leat_json_decode(decoder, &event_type, deep, &event, NULL), LEAT_EDATA);
    leat__buffer_free(&buffer);
}

/* A few bytes must not become gigabytes: a list of large structs is bounded by its memory. */
static void a_list_is_bounded_by_its_memory(void **state)
{
    (void)state;
    leat_type *large = leat_type_new("large"), *holder = leat_type_new("holder");
    leat_type_add_text(large, "text", 1 << 20, LEAT_FIELD_OPTIONAL);
    leat_type_add(holder, "items", LEAT_KIND_LIST, large, 0);
    leat__buffer buffer = {0};
    leat__buffer_text(&buffer, "{\"items\":[{}");
    for (int i = 0; i < 200; i++)
        leat__buffer_text(&buffer, ",{}");
    leat__buffer_text(&buffer, "]}");
    leat_list items;
    leat_str text = {buffer.data, buffer.length};
    assert_int_equal(leat_json_decode(decoder, holder, text, &items, &error), LEAT_EDATA);
    assert_string_equal(error.message, "field 'items': the list is too long");
    leat__buffer_free(&buffer);
    leat_type_free(holder);
    leat_type_free(large);
}

static void a_decoder_goes_on_after_bad_input(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(decode("{\"user\":[[[[["), LEAT_EDATA);
        assert_decoded("{\"timestamp_ms\":1,\"user\":\"u\"}");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_event),
        cmocka_unit_test(members_come_in_any_order_and_unknown_ones_are_ignored),
        cmocka_unit_test(optional_members_may_be_missing_or_null),
        cmocka_unit_test(escapes_in_strings_and_names),
        cmocka_unit_test(a_string_field_takes_a_number_as_its_text),
        cmocka_unit_test(whole_numbers_in_any_notation),
        cmocka_unit_test(floating_point_is_rounded_once),
        cmocka_unit_test(floating_point_of_any_length),
        cmocka_unit_test(bare_values_of_scalar_types),
        cmocka_unit_test(nested_records_and_lists),
        cmocka_unit_test(fields_of_the_wrong_type),
        cmocka_unit_test(messages_lead_to_the_place),
        cmocka_unit_test(text_that_is_not_json),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(a_list_is_bounded_by_its_memory),
        cmocka_unit_test(a_decoder_goes_on_after_bad_input),
    };
    return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
