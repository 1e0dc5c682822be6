/* "Did you mean": which name is meant by a mistyped one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/nearest.h"

static void edits_are_counted(void **state)
{
    static const struct {
        const char *a, *b;
        size_t edits;
    } rows[] = {
        {"", "", 0},
        {"events", "events", 0},
        {"events", "Events", 0},
        {"event", "events", 1},
        {"evnets", "events", 1},
        {"avents", "events", 1},
        {"kitten", "sitting", 3},
        {"", "abc", 3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(leat__edit_distance(rows[i].a, rows[i].b), rows[i].edits);
        assert_int_equal(leat__edit_distance(rows[i].b, rows[i].a), rows[i].edits);
    }
}

static void long_names_are_far_from_all(void **state)
{
    char name[65] = "";
    (void)state;
    for (size_t i = 0; i < 63; i++)
        name[i] = 'x';
    assert_int_equal(leat__edit_distance(name, name), 0);
    name[63] = 'x';
    assert_true(leat__edit_distance(name, "x") == SIZE_MAX);
    assert_true(leat__edit_distance("x", name) == SIZE_MAX);
}

static void the_nearest_name_is_found(void **state)
{
    static const char *const names[] = {"workers", NULL, "", "log", "state-dir", "until-end"};
    static const struct {
        const char *typed, *nearest;
    } rows[] = {
        {"wokers", "workers"},
        {"statedir", "state-dir"},
        {"until", "until-end"},
        {"lgo", "log"},
        {"x", NULL},
        {"", NULL},
        {NULL, NULL},
        {"zebra", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *found = leat__nearest(rows[i].typed, names, sizeof names / sizeof names[0]);
        assert_string_equal(found == NULL ? "(none)" : found,
                            rows[i].nearest == NULL ? "(none)" : rows[i].nearest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_counted),
        cmocka_unit_test(long_names_are_far_from_all),
        cmocka_unit_test(the_nearest_name_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
