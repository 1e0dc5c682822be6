/* Binary records that say in which layout they were written (S4, R26): read as they are, converted,
 * or refused with the remedy; never taken for what they are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "record/headed.h"

struct order {
    leat_str key;
    int64_t at_ms, cents;
    int32_t quantity;
};
LEAT_RECORD(order, key, at_ms, cents, quantity);
struct swapped { /* two fields changed places: each byte still decodes */
    leat_str key;
    int64_t cents, at_ms;
    int32_t quantity;
};
LEAT_RECORD(swapped, key, cents, at_ms, quantity);
struct grown { /* added, removed, widened */
    leat_str key;
    int64_t at_ms, quantity, vat;
};
LEAT_RECORD(grown, key, at_ms, quantity, vat);
struct unsign { /* as many bytes, other values */
    leat_str key;
    uint64_t at_ms, cents;
    int32_t quantity;
};
LEAT_RECORD(unsign, key, at_ms, cents, quantity);
struct purchase { /* another name of the type alone */
    leat_str key;
    int64_t at_ms, cents;
    int32_t quantity;
};
LEAT_RECORD(purchase, key, at_ms, cents, quantity);

static const char order_layout[] = "order{key:str,at_ms:i64,cents:i64,quantity:i32}";
static const char *const formerly_order[] = {"x{key:str}", order_layout, NULL};
static const struct order one = {{"k1", 2}, 1000, -250, 3};

static leat__arena arena;
static leat__buffer bytes;
static leat_error error;

static int written_by_order(void **state)
{
    (void)state;
    bytes.length = 0;
    leat__headed_append(&bytes, &order_type, leat__type_fingerprint(&order_type), &one);
    error = (leat_error){0};
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    leat__arena_free(&arena);
    leat__buffer_free(&bytes);
    return 0;
}

static leat_status read_as(const leat_type *type, const char *const *former, const char *headless,
                           void *record)
{
    leat__headed_reader *reader = leat__headed_reader_new(type, former, headless, &error);
    if (reader == NULL)
        return error.status;
    leat_status status = leat__headed_decode(reader, &arena, (leat_str){bytes.data, bytes.length},
                                             LEAT__STRINGS_IN_INPUT, record, &error);
    leat__headed_reader_free(reader);
    return status;
}

static void without_head(void)
{
    bytes.length = 0;
    leat__binary_append(&bytes, &order_type, &one);
}

static void one_layout_is_read_whatever_its_name(void **state)
{
    (void)state;
    struct purchase got;
    assert_int_equal(read_as(&purchase_type, NULL, NULL, &got), LEAT_OK);
    assert_true(leat_str_equal(got.key, one.key));
    assert_int_equal(got.at_ms, 1000);
    assert_int_equal(got.cents, -250);
    assert_int_equal(got.quantity, 3);
}

static void another_layout_is_refused_with_both(void **state)
{
    (void)state;
    struct swapped got;
    char writers[16];
    assert_int_equal(read_as(&swapped_type, NULL, NULL, &got), LEAT_ETYPE);
    (void)snprintf(writers, sizeof writers, "%08x", leat__type_fingerprint(&order_type));
    assert_non_null(strstr(error.message, writers));
    assert_non_null(strstr(error.message, "swapped{key:str,cents:i64,at_ms:i64,quantity:i32}"));
    assert_non_null(strstr(error.message, ".former_layouts"));
    assert_int_equal(read_as(&unsign_type, NULL, NULL, &got), LEAT_ETYPE);
    assert_int_equal(read_as(&grown_type, NULL, NULL, &got), LEAT_ETYPE);
}

static void a_former_layout_is_converted(void **state)
{
    (void)state;
    struct swapped swapped;
    struct grown grown;
    assert_int_equal(read_as(&swapped_type, formerly_order, NULL, &swapped), LEAT_OK);
    assert_int_equal(swapped.at_ms, 1000);
    assert_int_equal(swapped.cents, -250);
    assert_int_equal(read_as(&grown_type, formerly_order, NULL, &grown), LEAT_OK);
    assert_int_equal(grown.quantity, 3);
    assert_int_equal(grown.vat, 0);
    assert_true(leat_str_equal(grown.key, one.key));
}

static void what_s4_does_not_allow_is_refused_at_once(void **state)
{
    (void)state;
    struct unsign got;
    assert_int_equal(read_as(&unsign_type, formerly_order, NULL, &got), LEAT_ETYPE);
    assert_non_null(strstr(error.message, order_layout));
    assert_int_equal(read_as(&order_type, (const char *const[]){"order{", NULL}, NULL, &got),
                     LEAT_ECORRUPT);
    const char *many[LEAT__FORMER_LAYOUTS_MAX + 2] = {0};
    for (int i = 0; i <= LEAT__FORMER_LAYOUTS_MAX; i++)
        many[i] = order_layout;
    assert_int_equal(read_as(&order_type, many, NULL, &got), LEAT_EINVAL);
}

static void without_a_head_the_program_has_to_say_it(void **state)
{
    (void)state;
    struct order order;
    struct swapped swapped;
    without_head();
    assert_int_equal(read_as(&order_type, NULL, NULL, &order), LEAT_ETYPE);
    assert_non_null(strstr(error.message, ".headless_layout"));
    assert_non_null(strstr(error.message, order_layout));
    assert_int_equal(read_as(&order_type, formerly_order, NULL, &order), LEAT_ETYPE);
    assert_int_equal(read_as(&order_type, NULL, order_layout, &order), LEAT_OK);
    assert_int_equal(order.cents, -250);
    assert_int_equal(read_as(&swapped_type, NULL, order_layout, &swapped), LEAT_OK);
    assert_int_equal(swapped.cents, -250);
}

static void damage_and_newer_formats_are_refused(void **state)
{
    (void)state;
    struct order got;
    size_t whole = bytes.length;
    for (bytes.length = 0; bytes.length < whole; bytes.length++)
        assert_int_equal(read_as(&order_type, NULL, order_layout, &got), LEAT_EDATA);
    bytes.data[0] = 3;
    assert_int_equal(read_as(&order_type, NULL, order_layout, &got), LEAT_EVERSION);
    bytes.data[0] = 0;
    assert_int_equal(read_as(&order_type, NULL, order_layout, &got), LEAT_EDATA);
}

static void the_public_functions_do_the_same(void **state)
{
    (void)state;
    leat_str out;
    struct order order;
    struct swapped swapped;
    leat_binary_decoder *decoder = leat_binary_decoder_new();
    leat_binary_encode(&order_type, &one, &out);
    assert_int_equal(out.length, bytes.length);
    assert_memory_equal(out.data, bytes.data, out.length);
    assert_int_equal(leat_binary_decode(decoder, &order_type, out, &order, &error), LEAT_OK);
    assert_int_equal(leat_binary_decode(decoder, &swapped_type, out, &swapped, &error), LEAT_ETYPE);
    assert_int_equal(leat_binary_decode(decoder, &order_type, out, &order, &error), LEAT_OK);
    free((void *)(uintptr_t)out.data);
    without_head(); /* whoever calls says what it is */
    out = (leat_str){bytes.data, bytes.length};
    assert_int_equal(leat_binary_decode(decoder, &order_type, out, &order, &error), LEAT_OK);
    assert_int_equal(order.quantity, 3);
    leat_binary_decoder_free(decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_layout_is_read_whatever_its_name, written_by_order),
        cmocka_unit_test_setup(another_layout_is_refused_with_both, written_by_order),
        cmocka_unit_test_setup(a_former_layout_is_converted, written_by_order),
        cmocka_unit_test_setup(what_s4_does_not_allow_is_refused_at_once, written_by_order),
        cmocka_unit_test_setup(without_a_head_the_program_has_to_say_it, written_by_order),
        cmocka_unit_test_setup(damage_and_newer_formats_are_refused, written_by_order),
        cmocka_unit_test_setup(the_public_functions_do_the_same, written_by_order),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
