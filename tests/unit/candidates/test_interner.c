#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "apps/recommender/candidates/interner.h"

static void test_numbers_are_dense_and_names_stay(void **state)
{
    (void)state;
    interner names = {0};
    assert_int_equal(interner_find(&names, LEAT_STR("x")), INTERNER_NONE);
    char text[32];
    leat_str first = {0};
    for (uint32_t i = 0; i < 5000; i++) {
        int length = snprintf(text, sizeof text, "name %u", i * 7);
        leat_str name = {text, (size_t)length};
        assert_int_equal(interner_add(&names, name), i);
        assert_int_equal(interner_add(&names, name), i);
        if (i == 0)
            first = interner_name(&names, 0);
    }
    assert_ptr_equal(interner_name(&names, 0).data, first.data);
    assert_true(leat_str_equal(first, LEAT_STR("name 0")));
    assert_int_equal(interner_find(&names, LEAT_STR("name 21")), 3);
    assert_int_equal(interner_find(&names, LEAT_STR("name 22")), INTERNER_NONE);
    interner_free(&names);
}

static void test_any_bytes_are_a_name(void **state)
{
    (void)state;
    interner names = {0};
    leat_str with_nul = {"a\0b", 3}, other = {"a\0c", 3}, empty = {"", 0};
    uint32_t a = interner_add(&names, with_nul), b = interner_add(&names, other);
    uint32_t c = interner_add(&names, empty);
    assert_true(a != b && b != c);
    assert_int_equal(interner_find(&names, empty), c);
    assert_true(leat_str_equal(interner_name(&names, b), other));
    interner_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_dense_and_names_stay),
        cmocka_unit_test(test_any_bytes_are_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
