/* S4: added fields get zero, removed fields are dropped, wider numbers convert, and all else is
 * refused with both layouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/migration.h"
#include "tests/unit/record/random_records.h"

struct old_line {
    uint16_t amount;
    leat_str item;
};
LEAT_RECORD(old_line, amount, item);

struct old_click {
    int32_t number;
    leat_str user;
    float ratio;
    char code[4];
    leat_str dropped;
    leat_list lines;
    leat_list counts;
    struct old_line best;
};
LEAT_RECORD(old_click, number, user, ratio, code, dropped, LEAT_LIST(lines, &old_line_type),
            LEAT_LIST(counts, &leat_type_u32), LEAT_SUB(best, &old_line_type));

struct line {
    leat_str item;
    int64_t amount;
    bool added;
};
LEAT_RECORD(line, item, amount, added);

struct click {
    leat_str user;
    leat_str code;
    int64_t number;
    double ratio;
    leat_list lines;
    leat_list counts;
    struct line best;
    int64_t added;
};
LEAT_RECORD(click, user, code, number, ratio, LEAT_LIST(lines, &line_type),
            LEAT_LIST(counts, &leat_type_u64), LEAT_SUB(best, &line_type), added);

static leat_error error;

/* To be freed. */
static leat_str binary_of(const leat_type *type, const void *record)
{
    leat__buffer buffer = {0};
    leat__binary_append(&buffer, type, record);
    return (leat_str){buffer.data, buffer.length};
}

static void fields_are_added_dropped_widened_and_moved(void **state)
{
    (void)state;
    struct old_line lines[] = {{7, LEAT_STR("i7")}, {65535, LEAT_STR("i8")}};
    uint32_t counts[] = {1, UINT32_MAX};
    struct old_click old = {.number = -5,
                            .user = LEAT_STR("ann"),
                            .ratio = 0.5f,
                            .code = "ab",
                            .dropped = LEAT_STR("gone"),
                            .lines = {lines, 2},
                            .counts = {counts, 2},
                            .best = {9, LEAT_STR("i9")}};
    char *old_layout = leat_type_layout(&old_click_type);
    leat_str bytes = binary_of(&old_click_type, &old);
    leat__arena arena = {0};
    leat__migration *migration = leat__migration_new(old_layout, &click_type, &error);
    if (migration == NULL)
        fail_msg("%s", error.message);
    assert_false(leat__migration_is_identity(migration));
    struct click got;
    memset(&got, 0xff, sizeof got);
    assert_int_equal(
        leat__migration_decode(migration, &arena, bytes, LEAT__STRINGS_IN_ARENA, &got, &error),
        LEAT_OK);
    memset((void *)(uintptr_t)bytes.data, 0xee, bytes.length); /* nothing is borrowed */
    assert_int_equal(got.number, -5);
    assert_true(leat_str_equal(got.user, LEAT_STR("ann")));
    assert_true(got.ratio == 0.5);
    assert_true(leat_str_equal(got.code, LEAT_STR("ab")));
    assert_int_equal(got.added, 0);
    assert_int_equal(got.lines.count, 2);
    const struct line *got_lines = got.lines.items;
    assert_int_equal(got_lines[1].amount, 65535);
    assert_true(leat_str_equal(got_lines[1].item, LEAT_STR("i8")));
    assert_false(got_lines[1].added);
    assert_int_equal(((uint64_t *)got.counts.items)[1], UINT32_MAX);
    assert_int_equal(got.best.amount, 9);
    leat__migration_free(migration);
    leat__arena_free(&arena);
    free((void *)(uintptr_t)bytes.data);
    free(old_layout);
}

/* From and to as layouts of a record with one field, and whether the step is allowed. */
static void what_widens_and_what_does_not(void **state)
{
    static const struct {
        const char *from;
        leat_kind to;
        bool allowed;
    } rows[] = {
        {"i8", LEAT_KIND_I16, true},        {"i8", LEAT_KIND_I64, true},
        {"i64", LEAT_KIND_I64, true},       {"u8", LEAT_KIND_U64, true},
        {"u8", LEAT_KIND_I16, true},        {"u32", LEAT_KIND_I64, true},
        {"i32", LEAT_KIND_F64, true},       {"i16", LEAT_KIND_F32, true},
        {"f32", LEAT_KIND_F64, true},       {"u32", LEAT_KIND_F64, true},
        {"text(9)", LEAT_KIND_STR, true},   {"i64", LEAT_KIND_I32, false},
        {"u64", LEAT_KIND_I64, false},      {"i8", LEAT_KIND_U64, false},
        {"u32", LEAT_KIND_I32, false},      {"i64", LEAT_KIND_F64, false},
        {"i32", LEAT_KIND_F32, false},      {"f64", LEAT_KIND_F32, false},
        {"f64", LEAT_KIND_I64, false},      {"bool", LEAT_KIND_I64, false},
        {"i64", LEAT_KIND_BOOL, false},     {"str", LEAT_KIND_I64, false},
        {"i64", LEAT_KIND_STR, false},      {"[u64]", LEAT_KIND_STR, false},
        {"x{y:str}", LEAT_KIND_STR, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char layout[64];
        snprintf(layout, sizeof layout, "old{n:%s}", rows[i].from);
        leat_type *type = leat_type_new("now");
        leat_type_add(type, "n", rows[i].to, NULL, 0);
        leat__migration *migration = leat__migration_new(layout, type, &error);
        if ((migration != NULL) != rows[i].allowed)
            fail_msg("%s into %d: %s", rows[i].from, (int)rows[i].to, error.message);
        leat__migration_free(migration);
        leat_type_free(type);
    }
}

static void what_is_refused_shows_both_layouts(void **state)
{
    (void)state;
    leat_type *type = leat_type_new("click");
    leat_type_add(type, "user", LEAT_KIND_STR, NULL, 0);
    leat_type_add(type, "n", LEAT_KIND_I32, NULL, 0);
    assert_null(leat__migration_new("click{user:str,n:i64}", type, &error));
    assert_int_equal(error.status, LEAT_ETYPE);
    assert_string_equal(error.message, "field 'n' was i64 and is i32, which cannot hold it; "
                                       "stored: click{user:str,n:i64} now: click{user:str,n:i32}");
    assert_null(leat__migration_new("u64", type, &error));
    assert_int_equal(error.status, LEAT_ETYPE);
    leat_type_free(type);
}

static void text_may_grow_but_not_shrink(void **state)
{
    (void)state;
    leat_type *old = leat_type_new("t"), *type = leat_type_new("t"), *less = leat_type_new("t");
    leat_type_add_text(old, "code", 4, 0);
    leat_type_add_text(type, "code", 8, 0);
    leat_type_add_text(less, "code", 3, 0);
    leat_str bytes = binary_of(old, "wxyz");
    leat__migration *migration = leat__migration_new("t{code:text(4)}", type, &error);
    assert_non_null(migration);
    char got[8];
    leat__arena arena = {0};
    assert_int_equal(
        leat__migration_decode(migration, &arena, bytes, LEAT__STRINGS_IN_INPUT, got, NULL),
        LEAT_OK);
    assert_string_equal(got, "wxyz");
    assert_null(leat__migration_new("t{code:text(4)}", less, &error));
    assert_string_equal(error.message, "field 'code' was text(4) and is text(3), which cannot hold "
                                       "it; stored: t{code:text(4)} now: t{code:text(3)}");
    leat__migration_free(migration);
    leat__arena_free(&arena);
    free((void *)(uintptr_t)bytes.data);
    leat_type_free(old);
    leat_type_free(type);
    leat_type_free(less);
}

static void expect_reason(const char *layout, const leat_type *type, const char *reason)
{
    assert_null(leat__migration_new(layout, type, &error));
    if (strncmp(error.message, reason, strlen(reason)) != 0)
        fail_msg("'%s' does not begin with '%s'", error.message, reason);
}

static void a_refusal_says_what_was_what(void **state)
{
    (void)state;
    leat_type *inner = leat_type_new("inner"), *outer = leat_type_new("outer");
    leat_type_add(inner, "n", LEAT_KIND_I64, NULL, 0);
    leat_type_add(outer, "items", LEAT_KIND_LIST, inner, 0);
    expect_reason("u64", inner, "the value was u64 and is a record, which cannot hold it; ");
    expect_reason("inner{n:i64}", &leat_type_str,
                  "the value was a record and is str, which cannot hold it; ");
    expect_reason("text(9)", &leat_type_i64, "the value was text(9) and is i64, which cannot");
    expect_reason("outer{items:[str]}", outer,
                  "an item of list 'items' was str and is a record, which cannot hold it; ");
    expect_reason("outer{items:[inner{n:f64}]}", outer, "field 'n' was f64 and is i64, which");
    expect_reason("outer{items:inner{n:i64}}", outer, "field 'items' was record and is list, ");
    expect_reason("outer{items", outer, "not a layout from byte ");
    leat_type_free(outer);
    leat_type_free(inner);
}

static void layouts_that_are_none_are_refused(void **state)
{
    static const char *const layouts[] = {
        "",
        "click",
        "click{",
        "click{}",
        "click{a}",
        "click{a:}",
        "click{a:i64",
        "click{a:i64,}",
        "click{a:i65}",
        "click{a:i64}x",
        "click{a:i64,a:i64}",
        "click{a:[}",
        "click{a:[i64}",
        "click{a:text()}",
        "click{a:text(0)}",
        "click{a:text(99999999999)}",
        "[[[[[[[[[[[[[[[[[[[",
        "click{a:none}",
        "click{a:record}",
        "click{:i64}",
        "click{a:other(4)}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (leat__migration_new(layouts[i], &click_type, &error) != NULL)
            fail_msg("accepted: %s", layouts[i]);
        assert_int_equal(error.status, LEAT_ECORRUPT);
    }
}

static void scalars_migrate_too(void **state)
{
    (void)state;
    leat__migration *migration = leat__migration_new("u32", &leat_type_u64, &error);
    assert_non_null(migration);
    uint32_t value = 77;
    uint64_t got = 0;
    leat__arena arena = {0};
    leat_str bytes = binary_of(&leat_type_u32, &value);
    assert_int_equal(
        leat__migration_decode(migration, &arena, bytes, LEAT__STRINGS_IN_INPUT, &got, NULL),
        LEAT_OK);
    assert_int_equal(got, 77);
    free((void *)(uintptr_t)bytes.data);
    leat__arena_free(&arena);
    leat__migration_free(migration);
}

/* Every random type read back from its own layout text is the same type. */
static void a_layout_text_is_the_whole_layout(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        random_world world = {.random.state = seed};
        const leat_type *type = random_type(&world, 0);
        char *layout = leat_type_layout(type);
        leat__migration *migration = leat__migration_new(layout, type, &error);
        if (migration == NULL)
            fail_msg("%s: %s", layout, error.message);
        assert_true(leat__migration_is_identity(migration));
        leat__migration_free(migration);
        leat__migration *holder;
        char *again = leat_type_layout(leat__layout_type(layout, &holder, &error));
        assert_string_equal(again, layout);
        leat__migration_free(holder);
        free(again);
        free(layout);
        random_world_free(&world);
    }
}

/* Fields in another order: what was written comes back by name. */
static void fields_may_change_places(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        random_world world = {.random.state = seed};
        const leat_type *type = random_type(&world, 1);
        leat_type *turned = leat_type_new("turned");
        for (uint32_t i = type->field_count; i > 0; i--) {
            const leat_field *field = &type->fields[i - 1];
            if (field->kind == LEAT_KIND_TEXT)
                leat_type_add_text(turned, field->name, field->size_bytes, 0);
            else
                leat_type_add(turned, field->name, field->kind, field->element, 0);
        }
        char *record = leat__arena_alloc(&world.arena, type->size_bytes);
        char *moved = leat__arena_alloc(&world.arena, turned->size_bytes);
        fill_random(&world, type, record);
        char *layout = leat_type_layout(type);
        leat__migration *migration = leat__migration_new(layout, turned, &error);
        leat_str bytes = binary_of(type, record);
        assert_int_equal(leat__migration_decode(migration, &world.arena, bytes,
                                                LEAT__STRINGS_IN_INPUT, moved, NULL),
                         LEAT_OK);
        for (uint32_t i = 0; i < type->field_count; i++) {
            leat_field old_field = type->fields[i];
            leat_field new_field = *leat_type_field(turned, old_field.name);
            const char *from = record + old_field.offset_bytes,
                       *to = moved + new_field.offset_bytes;
            old_field.offset_bytes = 0;
            leat_type one = {.name = "one", .field_count = 1, .fields = &old_field};
            assert_true(records_equal(&one, from, to));
        }
        leat__migration_free(migration);
        free((void *)(uintptr_t)bytes.data);
        free(layout);
        leat_type_free(turned);
        random_world_free(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_added_dropped_widened_and_moved),
        cmocka_unit_test(what_widens_and_what_does_not),
        cmocka_unit_test(what_is_refused_shows_both_layouts),
        cmocka_unit_test(text_may_grow_but_not_shrink),
        cmocka_unit_test(a_refusal_says_what_was_what),
        cmocka_unit_test(layouts_that_are_none_are_refused),
        cmocka_unit_test(scalars_migrate_too),
        cmocka_unit_test(a_layout_text_is_the_whole_layout),
        cmocka_unit_test(fields_may_change_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
