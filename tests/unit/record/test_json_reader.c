/* JSON without a record type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/json_reader.h"

static leat__json_reader *reader;
static leat_error error;

static int open_reader(void **state)
{
    (void)state;
    reader = leat__json_reader_new();
    return 0;
}

static int close_reader(void **state)
{
    (void)state;
    leat__json_reader_free(reader);
    return 0;
}

static leat__json open_text(const char *text)
{
    leat__json root;
    if (leat__json_open(reader, leat_str_from(text), &root, &error) != LEAT_OK)
        fail_msg("%s: %s", text, error.message);
    return root;
}

static leat__json member(leat__json object, const char *name)
{
    leat__json value = {0};
    if (!leat__json_member(object, name, &value))
        fail_msg("there is no member '%s'", name);
    return value;
}

static void assert_str(leat_str actual, const char *expected)
{
    assert_int_equal(actual.length, strlen(expected));
    assert_memory_equal(actual.data, expected, actual.length);
}

static void values_have_types(void **state)
{
    static const struct {
        const char *text;
        leat__json_type type;
    } rows[] = {
        {"null", LEAT__JSON_NULL},   {"true", LEAT__JSON_BOOL},   {"false", LEAT__JSON_BOOL},
        {"-1", LEAT__JSON_NUMBER},   {"\"\"", LEAT__JSON_STRING}, {" [] ", LEAT__JSON_ARRAY},
        {"{}\n", LEAT__JSON_OBJECT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(leat__json_type_of(open_text(rows[i].text)), rows[i].type);
    assert_string_equal(leat__json_type_name(LEAT__JSON_ARRAY), "an array");
}

static void members_in_members(void **state)
{
    (void)state;
    leat__json root = open_text("{\"a\":{\"b\":[1,{\"c\":\"deep\"},[2,3]],\"a\":7},\"n\":5}");
    leat__json_each each = leat__json_each_of(member(member(root, "a"), "b"));
    assert_true(leat__json_next(&each));
    assert_null(each.name.data);
    assert_true(leat__json_next(&each));
    leat_str text;
    assert_true(leat__json_get_str(member(each.value, "c"), &text));
    assert_str(text, "deep");
    assert_true(leat__json_next(&each));
    assert_int_equal(leat__json_count(each.value), 2);
    assert_false(leat__json_next(&each));
    assert_false(leat__json_next(&each));
    int64_t n;
    assert_true(leat__json_get_i64(member(root, "n"), &n));
    assert_int_equal(n, 5);
    leat__json none;
    assert_false(leat__json_member(root, "b", &none));
    assert_false(leat__json_member(member(root, "n"), "b", &none));
}

static void every_member_in_order(void **state)
{
    (void)state;
    leat__json root = open_text("{ \"x\" : 1 , \"\\u0079\" : [ ] , \"x\" : { } , \"\" : null }");
    static const char *const names[] = {"x", "y", "x", ""};
    static const leat__json_type types[] = {LEAT__JSON_NUMBER, LEAT__JSON_ARRAY, LEAT__JSON_OBJECT,
                                            LEAT__JSON_NULL};
    size_t count = 0;
    for (leat__json_each each = leat__json_each_of(root); leat__json_next(&each); count++) {
        assert_str(each.name, names[count]);
        assert_int_equal(leat__json_type_of(each.value), types[count]);
    }
    assert_int_equal(count, 4);
    assert_int_equal(leat__json_count(root), 4);
    assert_int_equal(leat__json_type_of(member(root, "x")), LEAT__JSON_NUMBER); /* the first */
}

static void strings_in_an_array_are_not_names(void **state)
{
    (void)state;
    leat__json root = open_text("[\"a\",\"b\"]");
    size_t count = 0;
    for (leat__json_each each = leat__json_each_of(root); leat__json_next(&each); count++) {
        assert_null(each.name.data);
        assert_int_equal(leat__json_type_of(each.value), LEAT__JSON_STRING);
    }
    assert_int_equal(count, 2);
}

static void numbers_are_checked_for_their_range(void **state)
{
    static const struct {
        const char *text;
        bool is_i64, is_u64, is_f64;
    } rows[] = {
        {"0", true, true, true},
        {"-1", true, false, true},
        {"-0", true, true, true},
        {"2.0", true, true, true},
        {"2.5", false, false, true},
        {"9223372036854775807", true, true, true},
        {"9223372036854775808", false, true, true},
        {"-9223372036854775808", true, false, true},
        {"18446744073709551616", false, false, true},
        {"1e400", false, false, false},
        {"\"1\"", false, false, false},
        {"null", false, false, false},
        {"[1]", false, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat__json value = open_text(rows[i].text);
        int64_t i64 = 77;
        uint64_t u64 = 77;
        double f64 = 77;
        assert_int_equal(leat__json_get_i64(value, &i64), rows[i].is_i64);
        assert_int_equal(leat__json_get_u64(value, &u64), rows[i].is_u64);
        assert_int_equal(leat__json_get_f64(value, &f64), rows[i].is_f64);
        assert_true(rows[i].is_i64 || i64 == 77);
        assert_true(rows[i].is_u64 || u64 == 77);
        assert_true(rows[i].is_f64 || f64 == 77);
    }
    bool flag = false;
    assert_true(leat__json_get_bool(open_text("true"), &flag));
    assert_true(flag);
    assert_false(leat__json_get_bool(open_text("1"), &flag));
}

static void a_value_gives_its_text(void **state)
{
    (void)state;
    leat__json root = open_text(" {\"a\": [1, {\"b\":2} ] , \"c\":-1.50 } ");
    assert_str(leat__json_text(root), "{\"a\": [1, {\"b\":2} ] , \"c\":-1.50 }");
    assert_str(leat__json_text(member(root, "a")), "[1, {\"b\":2} ]");
    assert_str(leat__json_text(member(root, "c")), "-1.50");
}

static void a_document_is_checked_as_a_whole(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "not JSON: it is empty"},
        {"[1,2", "not JSON: it ends too early, expected ',' or ']'"},
        {"[1,2]]", "not JSON: something follows the value at byte 5"},
        {"1 2", "not JSON: something follows the value at byte 2"},
        {"[1,2}", "not JSON: expected ',' or ']' at byte 4"},
        {"{\"a\":[{\"b\":tru}]}", "not JSON: expected a value at byte 11"},
        {"{\"a\":\"\\u00\"}", "not JSON: a string holds an invalid escape at byte 5"},
        {"[1,,2]", "not JSON: expected a value at byte 3"},
        {"[,]", "not JSON: expected a value at byte 1"},
        {"[\"a\":1]", "not JSON: expected ',' or ']' at byte 4"},
        {"{\"a\":1,\"b\"}", "not JSON: expected ':' at byte 10"},
        {"\xef\xbb\xbf{}", "not JSON: expected a value at byte 0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat__json root;
        assert_int_equal(leat__json_open(reader, leat_str_from(rows[i].text), &root, &error),
                         LEAT_EDATA);
        assert_string_equal(error.message, rows[i].message);
    }
}

static void depth_is_limited(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    leat__json root;
    assert_int_equal(leat__json_open(reader, (leat_str){text + 36, 128}, &root, NULL), LEAT_OK);
    assert_int_equal(leat__json_open(reader, (leat_str){text + 35, 130}, &root, NULL), LEAT_EDATA);
}

static void lines_one_by_one(void **state)
{
    (void)state;
    leat_str rest = LEAT_STR("{\"n\":1}\r\n\n  \n[2]\n3"), line;
    assert_true(leat__json_next_line(&rest, &line));
    assert_int_equal(leat__json_type_of(open_text("{}")), LEAT__JSON_OBJECT);
    leat__json root;
    assert_int_equal(leat__json_open(reader, line, &root, NULL), LEAT_OK);
    assert_int_equal(leat__json_count(root), 1);
    assert_true(leat__json_next_line(&rest, &line));
    assert_str(line, "[2]");
    assert_true(leat__json_next_line(&rest, &line));
    assert_str(line, "3");
    assert_false(leat__json_next_line(&rest, &line));
    rest = LEAT_STR(" \n\t\n");
    assert_false(leat__json_next_line(&rest, &line));
}

/* A large document after a small one: buffers grow, and handles still lead to the right place. */
static void a_reader_grows_with_its_documents(void **state)
{
    (void)state;
    enum { ITEMS = 50000 };
    char *text = malloc(ITEMS * 8 + 3), *next = text;
    *next++ = '[';
    for (int i = 0; i < ITEMS; i++)
        next += sprintf(next, "%s%d", i != 0 ? "," : "", i);
    *next++ = ']';
    *next = '\0';
    open_text("[]");
    int64_t expected = 0, got = -1;
    for (leat__json_each each = leat__json_each_of(open_text(text)); leat__json_next(&each);) {
        assert_true(leat__json_get_i64(each.value, &got));
        assert_int_equal(got, expected++);
    }
    assert_int_equal(expected, ITEMS);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_types),
        cmocka_unit_test(members_in_members),
        cmocka_unit_test(every_member_in_order),
        cmocka_unit_test(strings_in_an_array_are_not_names),
        cmocka_unit_test(numbers_are_checked_for_their_range),
        cmocka_unit_test(a_value_gives_its_text),
        cmocka_unit_test(a_document_is_checked_as_a_whole),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(lines_one_by_one),
        cmocka_unit_test(a_reader_grows_with_its_documents),
    };
    return cmocka_run_group_tests(tests, open_reader, close_reader);
}
