/* A key is its text, so that every producer agrees on the partition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "record/keys.h"

struct keyed {
    leat_str user;
    char code[4];
    bool flag;
    int8_t i8;
    int64_t i64;
    uint64_t u64;
    double price;
    leat_list list;
};
LEAT_RECORD(keyed, user, code, flag, i8, i64, u64, price, LEAT_LIST(list, &leat_type_u64));

static leat_str key_of(const char *field, const struct keyed *record)
{
    static char text[LEAT__KEY_TEXT_BYTES];
    return leat__key_of(leat_type_field(&keyed_type, field), record, text);
}

static void assert_key(const char *field, const struct keyed *record, const char *expected)
{
    leat_str key = key_of(field, record);
    if (!leat_str_equal(key, leat_str_from(expected)))
        fail_msg("%s: '%.*s' is not '%s'", field, (int)key.length, key.data, expected);
    leat__buffer buffer = {0};
    leat__key_append(&buffer, leat_type_field(&keyed_type, field), record);
    assert_int_equal(buffer.length, strlen(expected));
    assert_memory_equal(buffer.data, expected, buffer.length);
    leat__buffer_free(&buffer);
}

static void a_key_is_its_text(void **state)
{
    (void)state;
    struct keyed record = {.user = LEAT_STR("ann"),
                           .code = "abcd",
                           .flag = true,
                           .i8 = -128,
                           .i64 = INT64_MIN,
                           .u64 = UINT64_MAX};
    memcpy(record.code, "abcd", 4); /* all four bytes, no NUL */
    assert_key("user", &record, "ann");
    assert_key("code", &record, "abcd");
    assert_key("flag", &record, "true");
    assert_key("i8", &record, "-128");
    assert_key("i64", &record, "-9223372036854775808");
    assert_key("u64", &record, "18446744073709551615");
    struct keyed zero = {0};
    assert_key("code", &zero, "");
    assert_key("flag", &zero, "false");
    assert_key("i64", &zero, "0");
    assert_null(key_of("user", &zero).data); /* absent is not empty */
}

/* A Java producer with the text key "21" and our integer 21 meet in one partition. */
static void a_number_and_its_text_meet_in_one_partition(void **state)
{
    (void)state;
    struct keyed record = {.user = LEAT_STR("21"), .u64 = 21};
    leat_str number = key_of("u64", &record);
    assert_int_equal((int32_t)leat__murmur2(number.data, number.length), -973932308);
    assert_int_equal(leat__partition_of(number, 12), leat__partition_of(record.user, 12));
}

static void only_what_has_one_text_is_a_key(void **state)
{
    (void)state;
    for (leat_kind kind = LEAT_KIND_NONE; kind <= LEAT_KIND_RECORD; kind++) {
        bool refused = kind == LEAT_KIND_NONE || kind == LEAT_KIND_F32 || kind == LEAT_KIND_F64 ||
                       kind == LEAT_KIND_LIST || kind == LEAT_KIND_RECORD;
        assert_int_equal(leat__key_allowed(kind), !refused);
    }
}

static void numbers_come_back_from_their_text(void **state)
{
    static const struct {
        const char *text;
        bool is_signed, is_unsigned; /* whether it is one */
        int64_t value;
    } rows[] = {
        {"0", true, true, 0},
        {"7", true, true, 7},
        {"-7", true, false, -7},
        {"9223372036854775807", true, true, INT64_MAX},
        {"-9223372036854775808", true, false, INT64_MIN},
        {"9223372036854775808", false, true, INT64_MIN}, /* the bits */
        {"18446744073709551615", false, true, -1},
        {"18446744073709551616", false, false, 0},
        {"-9223372036854775809", false, false, 0},
        /* not the one text of a number */
        {"", false, false, 0},
        {"-", false, false, 0},
        {"-0", false, false, 0},
        {"007", false, false, 0},
        {"+7", false, false, 0},
        {" 7", false, false, 0},
        {"7 ", false, false, 0},
        {"0x7", false, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat_str text = leat_str_from(rows[i].text);
        int64_t signed_value = 0;
        uint64_t value = 0;
        assert_int_equal(leat__key_parse_i64(text, &signed_value), rows[i].is_signed);
        assert_int_equal(leat__key_parse_u64(text, &value), rows[i].is_unsigned);
        if (rows[i].is_signed)
            assert_int_equal(signed_value, rows[i].value);
        if (rows[i].is_unsigned)
            assert_int_equal(value, (uint64_t)rows[i].value);
    }
}

static void a_key_goes_back_into_its_field(void **state)
{
    (void)state;
    struct keyed from = {.user = LEAT_STR("ann"),
                         .code = "ab",
                         .flag = true,
                         .i8 = -5,
                         .i64 = -99,
                         .u64 = UINT64_MAX},
                 to = {0};
    for (uint32_t i = 0; i < 6; i++) {
        char text[LEAT__KEY_TEXT_BYTES];
        const leat_field *field = &keyed_type.fields[i];
        assert_true(leat__key_into(field, leat__key_of(field, &from, text), &to));
    }
    assert_memory_equal(&from, &to, offsetof(struct keyed, price));
    const leat_field *fields = keyed_type.fields;
    assert_false(leat__key_into(&fields[1], LEAT_STR("abcde"), &to));
    assert_false(leat__key_into(&fields[2], LEAT_STR("yes"), &to));
    assert_false(leat__key_into(&fields[3], LEAT_STR("128"), &to));
    assert_false(leat__key_into(&fields[5], LEAT_STR("-1"), &to));
    assert_false(leat__key_into(&fields[6], LEAT_STR("1"), &to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_its_text),
        cmocka_unit_test(a_number_and_its_text_meet_in_one_partition),
        cmocka_unit_test(only_what_has_one_text_is_a_key),
        cmocka_unit_test(numbers_come_back_from_their_text),
        cmocka_unit_test(a_key_goes_back_into_its_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
