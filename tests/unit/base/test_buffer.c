/* The byte buffer: little-endian and varint numbers, texts, and a reader that stops at the end. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/random.h"

static leat__buffer buffer;

static int empty_buffer(void **state)
{
    (void)state;
    leat__buffer_free(&buffer);
    return 0;
}

static void assert_content(const char *expected)
{
    assert_int_equal(buffer.length, strlen(expected));
    assert_memory_equal(buffer.data, expected, buffer.length);
    buffer.length = 0;
}

static leat__reader read_buffer(void)
{
    return (leat__reader){.next = buffer.data, .end = buffer.data + buffer.length};
}

static const uint64_t edges[] = {
    0,          1,          127,        128,        255,        256,
    16383,      16384,      UINT16_MAX, 1u << 31,   UINT32_MAX, 1ull << 32,
    1ull << 53, 1ull << 56, INT64_MAX,  1ull << 63, UINT64_MAX, UINT64_MAX - 1,
};
enum { EDGES = sizeof edges / sizeof edges[0] };

static void numbers_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        uint64_t value = edges[i];
        buffer.length = 0;
        leat__buffer_u8(&buffer, (uint8_t)value);
        leat__buffer_u16(&buffer, (uint16_t)value);
        leat__buffer_u32(&buffer, (uint32_t)value);
        leat__buffer_u64(&buffer, value);
        leat__buffer_varint(&buffer, value);
        leat__buffer_zigzag(&buffer, (int64_t)value);
        leat__reader reader = read_buffer();
        assert_int_equal(leat__read_u8(&reader), (uint8_t)value);
        assert_int_equal(leat__read_u16(&reader), (uint16_t)value);
        assert_int_equal(leat__read_u32(&reader), (uint32_t)value);
        assert_int_equal(leat__read_u64(&reader), value);
        assert_int_equal(leat__read_varint(&reader), value);
        assert_int_equal(leat__read_zigzag(&reader), (int64_t)value);
        assert_false(reader.failed);
        assert_ptr_equal(reader.next, reader.end);
    }
}

static void the_bytes_are_little_endian_and_leb128(void **state)
{
    (void)state;
    leat__buffer_u32(&buffer, 0x04030201);
    leat__buffer_varint(&buffer, 300);
    leat__buffer_zigzag(&buffer, -1);
    leat__buffer_zigzag(&buffer, 1);
    assert_content("\x01\x02\x03\x04\xac\x02\x01\x02");
}

static void a_string_knows_absent_from_empty(void **state)
{
    (void)state;
    leat__buffer_str(&buffer, (leat_str){NULL, 0});
    leat__buffer_str(&buffer, LEAT_STR(""));
    leat__buffer_str(&buffer, LEAT_STR("abc"));
    leat__reader reader = read_buffer();
    assert_null(leat__read_str(&reader).data);
    leat_str empty = leat__read_str(&reader);
    assert_non_null(empty.data);
    assert_int_equal(empty.length, 0);
    assert_true(leat_str_equal(leat__read_str(&reader), LEAT_STR("abc")));
    assert_false(reader.failed);
}

/* Every reader function on input that ends early: fails, gives zero, stays failed. */
static void a_reader_never_runs_past_the_end(void **state)
{
    (void)state;
    static const char bytes[] = "\x81\x82\x83\x84\x85\x86\x87"; /* 7 bytes: less than a u64 */
    leat__reader reader = {.next = bytes, .end = bytes + 7};
    assert_int_equal(leat__read_u64(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(leat__read_u8(&reader), 0);
    reader = (leat__reader){.next = bytes, .end = bytes + 7};
    assert_int_equal(leat__read_varint(&reader), 0); /* no byte ends it */
    assert_true(reader.failed);
    reader = (leat__reader){.next = bytes, .end = bytes + 7};
    assert_null(leat__read_bytes(&reader, 8).data);
    assert_true(reader.failed);
    reader = (leat__reader){.next = "\x09xy", .end = NULL};
    reader.end = reader.next + 3;
    assert_null(leat__read_str(&reader).data); /* says 8 bytes, has 2 */
    assert_true(reader.failed);
    reader = (leat__reader){.next = bytes, .end = bytes};
    assert_int_equal(leat__read_varint(&reader), 0);
    assert_true(reader.failed);
}

static void a_varint_has_one_form_and_64_bits(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        bool sound;
    } rows[] = {
        {"\x00", 1, true},
        {"\x80\x00", 2, false}, /* zero in two bytes */
        {"\xff\x00", 2, false},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, true}, /* 2^64 - 1 */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, false},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat__reader reader = {.next = rows[i].bytes, .end = rows[i].bytes + rows[i].length};
        leat__read_varint(&reader);
        assert_int_equal(reader.failed, !rows[i].sound);
    }
}

static void integers_as_decimal_text(void **state)
{
    (void)state;
    leat__random random = {.state = 1};
    for (int i = 0; i < 2000; i++) {
        uint64_t value = i < EDGES ? edges[i] : leat__random_next(&random) >> (i % 64);
        char expected[32];
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
        leat__buffer_u64_text(&buffer, value);
        assert_content(expected);
        snprintf(expected, sizeof expected, "%lld", (long long)value);
        leat__buffer_i64_text(&buffer, (int64_t)value);
        assert_content(expected);
    }
    leat__buffer_i64_text(&buffer, INT64_MIN);
    assert_content("-9223372036854775808");
}

static void floating_point_as_shortest_text(void **state)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0.0, "0.0"},       {-0.0, "-0.0"},
        {1.0, "1.0"},       {0.1, "0.1"},
        {1e300, "1e+300"},  {-2.5, "-2.5"},
        {1e-7, "1e-07"},    {DBL_MAX, "1.7976931348623157e+308"},
        {5e-324, "5e-324"}, {NAN, "null"},
        {INFINITY, "null"}, {-INFINITY, "null"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat__buffer_f64_text(&buffer, rows[i].value);
        assert_content(rows[i].text);
    }
    leat__buffer_f32_text(&buffer, 0.1f);
    assert_content("0.1");
}

static void floating_point_text_reads_back(void **state)
{
    (void)state;
    leat__random random = {.state = 2};
    for (int i = 0; i < 5000; i++) {
        uint64_t bits = leat__random_next(&random);
        double value;
        float single;
        memcpy(&value, &bits, sizeof value);
        memcpy(&single, &bits, sizeof single);
        if (!isfinite(value) || !isfinite(single))
            continue;
        buffer.length = 0;
        leat__buffer_f64_text(&buffer, value);
        leat__buffer_u8(&buffer, 0);
        assert_true(strtod(buffer.data, NULL) == value);
        buffer.length = 0;
        leat__buffer_f32_text(&buffer, single);
        leat__buffer_u8(&buffer, 0);
        assert_true(strtof(buffer.data, NULL) == single);
    }
}

static void json_strings(void **state)
{
    static const struct {
        leat_str text;
        const char *json;
    } rows[] = {
        {{NULL, 0}, "\"\""},
        {{"", 0}, "\"\""},
        {{"plain ascii, longer than eight bytes", 36}, "\"plain ascii, longer than eight bytes\""},
        {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{"\b\t\n\f\r", 5}, "\"\\b\\t\\n\\f\\r\""},
        {{"\0\x01\x0b\x1f\x7f", 5}, "\"\\u0000\\u0001\\u000b\\u001f\x7f\""},
        {{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\x83", 14},
         "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\x83\""},
        {{"1234567\"", 8}, "\"1234567\\\"\""},
        /* each byte that is not UTF-8 becomes U+FFFD */
        {{"\xff", 1}, "\"\xef\xbf\xbd\""},
        {{"\xc3", 1}, "\"\xef\xbf\xbd\""},
        {{"\xc0\x80", 2}, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {{"\xed\xa0\x80", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat__buffer_json_str(&buffer, rows[i].text);
        assert_content(rows[i].json);
    }
}

/* The eight-at-a-time search must find an odd byte at every place. */
static void json_strings_escape_at_every_place(void **state)
{
    (void)state;
    static const char odd[] = {'"', '\\', '\n', '\x1f', '\0'};
    for (size_t length = 1; length < 40; length++)
        for (size_t at = 0; at < length; at++)
            for (size_t k = 0; k < sizeof odd; k++) {
                char text[40];
                memset(text, 'x', sizeof text);
                text[at] = odd[k];
                buffer.length = 0;
                leat__buffer_json_str(&buffer, (leat_str){text, length});
                assert_int_equal(buffer.data[at + 1], '\\');
            }
}

static void utf8_by_the_letter_of_the_standard(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {"a", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xee\x80\x80", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xed\xa0\x80", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xe2\x82", 0},
        {"\xe2\x28\xa1", 0},
        {"\xfe", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat_str text = leat_str_from(rows[i].bytes);
        assert_int_equal(leat__utf8_length(text.data, text.length), rows[i].length);
        assert_int_equal(leat__utf8_valid(text), rows[i].length == text.length);
    }
}

static void formatted_text_grows_the_buffer(void **state)
{
    (void)state;
    char longer[300];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    leat__buffer_format(&buffer, "%s|%d", longer, 42);
    assert_int_equal(buffer.length, sizeof longer - 1 + 3);
    assert_memory_equal(buffer.data + sizeof longer - 1, "|42", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(numbers_come_back, empty_buffer),
        cmocka_unit_test_teardown(the_bytes_are_little_endian_and_leb128, empty_buffer),
        cmocka_unit_test_teardown(a_string_knows_absent_from_empty, empty_buffer),
        cmocka_unit_test(a_reader_never_runs_past_the_end),
        cmocka_unit_test(a_varint_has_one_form_and_64_bits),
        cmocka_unit_test_teardown(integers_as_decimal_text, empty_buffer),
        cmocka_unit_test_teardown(floating_point_as_shortest_text, empty_buffer),
        cmocka_unit_test_teardown(floating_point_text_reads_back, empty_buffer),
        cmocka_unit_test_teardown(json_strings, empty_buffer),
        cmocka_unit_test_teardown(json_strings_escape_at_every_place, empty_buffer),
        cmocka_unit_test(utf8_by_the_letter_of_the_standard),
        cmocka_unit_test_teardown(formatted_text_grows_the_buffer, empty_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
