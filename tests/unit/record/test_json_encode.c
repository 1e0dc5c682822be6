/* Records as one line of JSON. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "leat/record.h"

struct point {
    int8_t x, y;
};
LEAT_RECORD(point, x, y);

struct row {
    leat_str name;
    leat_str note;
    char code[4];
    bool on;
    uint64_t big;
    int64_t low;
    double ratio;
    float single;
    leat_list points;
    leat_list ids;
    struct point at;
};
LEAT_RECORD(row, name, LEAT_OPTIONAL(note), code, on, big, low, ratio, single,
            LEAT_LIST(points, &point_type), LEAT_LIST(ids, &leat_type_u64),
            LEAT_SUB(at, &point_type));

static void assert_json(const leat_type *type, const void *record, const char *expected)
{
    char *json = leat_json_encode(type, record);
    assert_string_equal(json, expected);
    free(json);
}

static void fields_keep_their_order(void **state)
{
    (void)state;
    struct point points[] = {{1, -2}, {3, 4}};
    uint64_t ids[] = {7};
    struct row row = {.name = LEAT_STR("a\"b"),
                      .note = LEAT_STR(""),
                      .on = true,
                      .big = UINT64_MAX,
                      .low = INT64_MIN,
                      .ratio = 0.1,
                      .single = 0.1f,
                      .points = {points, 2},
                      .ids = {ids, 1},
                      .at = {5, 6}};
    memcpy(row.code, "wxyz", 4);
    assert_json(&row_type, &row,
                "{\"name\":\"a\\\"b\",\"note\":\"\",\"code\":\"wxyz\",\"on\":true,"
                "\"big\":18446744073709551615,\"low\":-9223372036854775808,\"ratio\":0.1,"
                "\"single\":0.1,\"points\":[{\"x\":1,\"y\":-2},{\"x\":3,\"y\":4}],\"ids\":[7],"
                "\"at\":{\"x\":5,\"y\":6}}");
}

/* An absent string is null only where null may come in again. */
static void a_zero_record_decodes_again(void **state)
{
    (void)state;
    struct row row = {0}, again;
    assert_json(&row_type, &row,
                "{\"name\":\"\",\"note\":null,\"code\":\"\",\"on\":false,\"big\":0,\"low\":0,"
                "\"ratio\":0.0,\"single\":0.0,\"points\":[],\"ids\":[],\"at\":{\"x\":0,\"y\":0}}");
    char *json = leat_json_encode(&row_type, &row);
    leat_json_decoder *decoder = leat_json_decoder_new();
    assert_int_equal(leat_json_decode(decoder, &row_type, leat_str_from(json), &again, NULL), 0);
    leat_json_decoder_free(decoder);
    free(json);
}

static void not_a_number_is_null(void **state)
{
    (void)state;
    static const double values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++)
        assert_json(&leat_type_f64, &values[i], "null");
}

static void scalars_are_bare(void **state)
{
    (void)state;
    leat_str text = LEAT_STR("x");
    int64_t number = -5;
    bool flag = true;
    assert_json(&leat_type_str, &text, "\"x\"");
    assert_json(&leat_type_i64, &number, "-5");
    assert_json(&leat_type_bool, &flag, "true");
}

/* Bytes that came in through the binary form need not be UTF-8; JSON must be. */
static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    leat_str text = {"a\xff\0b", 4};
    assert_json(&leat_type_str, &text, "\"a\xef\xbf\xbd\\u0000b\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_keep_their_order),
        cmocka_unit_test(a_zero_record_decodes_again),
        cmocka_unit_test(not_a_number_is_null),
        cmocka_unit_test(scalars_are_bare),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
