/* Record types: described by the compiler or at run time, checked, found by name, as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/codec.h"

struct inner {
    int16_t a;
    double b;
};
LEAT_RECORD(inner, a, b);

struct all {
    bool flag;
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    float f32;
    double f64;
    char text[5];
    leat_str str;
    leat_list list;
    struct inner inner;
};
LEAT_RECORD(all, flag, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, text, LEAT_OPTIONAL(str),
            LEAT_LIST(list, &leat_type_str), LEAT_SUB(inner, &inner_type));

static const char all_layout[] =
    "all{flag:bool,i8:i8,i16:i16,i32:i32,i64:i64,u8:u8,u16:u16,u32:u32,u64:u64,f32:f32,f64:f64,"
    "text:text(5),str:str,list:[str],inner:inner{a:i16,b:f64}}";

static void the_compiler_describes_every_kind(void **state)
{
    (void)state;
    leat_error error;
    if (leat_type_check(&all_type, &error) != LEAT_OK)
        fail_msg("%s", error.message);
    char *layout = leat_type_layout(&all_type);
    assert_string_equal(layout, all_layout);
    free(layout);
    assert_int_equal(all_type.fields[12].flags, LEAT_FIELD_OPTIONAL);
    assert_int_equal(leat__type_align(&all_type), _Alignof(struct all));
}

static void a_type_at_run_time_is_laid_out_as_by_the_compiler(void **state)
{
    (void)state;
    leat_type *type = leat_type_new("all");
    for (uint32_t i = 0; i < all_type.field_count; i++) {
        const leat_field *field = &all_type.fields[i];
        int index =
            field->kind == LEAT_KIND_TEXT
                ? leat_type_add_text(type, field->name, field->size_bytes, field->flags)
                : leat_type_add(type, field->name, field->kind, field->element, field->flags);
        assert_int_equal(index, i);
        assert_int_equal(type->fields[i].offset_bytes, field->offset_bytes);
        assert_int_equal(type->fields[i].size_bytes, field->size_bytes);
    }
    assert_int_equal(type->size_bytes, sizeof(struct all));
    assert_int_equal(leat_type_check(type, NULL), LEAT_OK);
    char *layout = leat_type_layout(type);
    assert_string_equal(layout, all_layout);
    free(layout);
    leat_type_free(type);
}

static void what_cannot_be_added_is_refused(void **state)
{
    (void)state;
    leat_type *type = leat_type_new("t"), *empty = leat_type_new("empty");
    char too_long[65];
    memset(too_long, 'n', 64);
    too_long[64] = '\0';
    assert_int_equal(leat_type_add(type, "a", LEAT_KIND_I64, NULL, 0), 0);
    assert_int_equal(leat_type_add(type, "a", LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "", LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, NULL, LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, too_long, LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "a:b", LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "a\"b", LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "\xff", LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "b", LEAT_KIND_LIST, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "b", LEAT_KIND_RECORD, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "b", LEAT_KIND_RECORD, &leat_type_i64, 0), -1);
    assert_int_equal(leat_type_add(type, "b", LEAT_KIND_RECORD, empty, 0), -1);
    assert_int_equal(leat_type_add(type, "b", LEAT_KIND_LIST, type, 0), -1); /* itself */
    assert_int_equal(leat_type_add(type, "b", LEAT_KIND_I64, &inner_type, 0), -1);
    assert_int_equal(leat_type_add(type, "b", LEAT_KIND_NONE, NULL, 0), -1);
    assert_int_equal(leat_type_add(type, "b", (leat_kind)99, NULL, 0), -1);
    assert_int_equal(leat_type_add_text(type, "b", 0, 0), -1);
    assert_int_equal(type->field_count, 1);
    char name[8];
    for (int i = 1; i < 64; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(leat_type_add(type, name, LEAT_KIND_BOOL, NULL, 0), i);
    }
    assert_int_equal(leat_type_add(type, "f64", LEAT_KIND_BOOL, NULL, 0), -1);
    leat_type_free(type);
    leat_type_free(empty);
    leat_type_free(NULL);
}

struct pointing {
    int64_t id;
    char *name;
};
LEAT_RECORD(pointing, id, name);

struct forgetful {
    int64_t id;
    int64_t forgotten;
    int64_t value;
};
LEAT_RECORD(forgetful, id, value);

struct cut {
    int64_t id;
    int64_t forgotten;
};
LEAT_RECORD(cut, id);

struct listing {
    leat_list bare;
};
LEAT_RECORD(listing, bare);

struct twice {
    int64_t id;
};
LEAT_RECORD(twice, id, id);

static const leat_type recursive;
static const leat_field recursive_fields[] = {
    {.name = "children",
     .kind = LEAT_KIND_LIST,
     .size_bytes = sizeof(leat_list),
     .element = &recursive},
};
static const leat_type recursive = {"recursive", sizeof(leat_list), 1, recursive_fields};

static const leat_field wrong_size_fields[] = {
    {.name = "x", .kind = LEAT_KIND_I64, .size_bytes = 4},
};
static const leat_type wrong_size = {"wrong", 8, 1, wrong_size_fields};

static const leat_field beyond_fields[] = {
    {.name = "x", .kind = LEAT_KIND_I64, .offset_bytes = 8, .size_bytes = 8},
};
static const leat_type beyond = {"beyond", 8, 1, beyond_fields};

static const leat_type no_fields = {"none", 8, 0, NULL};

static void unsound_types_are_told_what_is_wrong(void **state)
{
    static const struct {
        const leat_type *type;
        const char *message;
    } rows[] = {
        {&pointing_type, "record 'pointing': field 'name' has a C type that leat cannot describe "
                         "(a pointer?); use leat_str or leat_list"},
        {&forgetful_type,
         "record 'forgetful': field 'value' has members before it that are not described"},
        {&cut_type, "record 'cut': field 'id' has members after it that are not described"},
        {&listing_type,
         "record 'listing': field 'bare' is a list without element type: use LEAT_LIST()"},
        {&twice_type, "record 'twice': field 'id' is described twice"},
        {&recursive, "record 'recursive': field 'children' has an element type that is not sound"},
        {&wrong_size, "record 'wrong': field 'x' has a size that its kind does not have"},
        {&beyond, "record 'beyond': field 'x' reaches past the end of the struct"},
        {&no_fields, "record 'none' has no fields"},
        {NULL, "record '(unnamed)' there is no type"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leat_error error;
        assert_int_equal(leat_type_check(rows[i].type, &error), LEAT_ETYPE);
        assert_string_equal(error.message, rows[i].message);
    }
}

static void scalar_types_are_sound(void **state)
{
    static const struct {
        const leat_type *type;
        const char *layout;
    } rows[] = {{&leat_type_i64, "i64"}, {&leat_type_u64, "u64"},   {&leat_type_u32, "u32"},
                {&leat_type_f64, "f64"}, {&leat_type_bool, "bool"}, {&leat_type_str, "str"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(leat_type_check(rows[i].type, NULL), LEAT_OK);
        assert_true(leat__type_is_scalar(rows[i].type));
        char *layout = leat_type_layout(rows[i].type);
        assert_string_equal(layout, rows[i].layout);
        free(layout);
    }
}

static void flat_means_no_string_and_no_list_anywhere(void **state)
{
    (void)state;
    assert_true(leat__type_is_flat(&inner_type));
    assert_false(leat__type_is_flat(&all_type));
    assert_false(leat__type_is_flat(&leat_type_str));
    leat_type *outer = leat_type_new("outer");
    leat_type_add(outer, "inner", LEAT_KIND_RECORD, &inner_type, 0);
    assert_true(leat__type_is_flat(outer));
    leat_type_add(outer, "all", LEAT_KIND_RECORD, &all_type, 0);
    assert_false(leat__type_is_flat(outer));
    leat_type_free(outer);
}

struct shop {
    leat_str item_id, user_id, session, timestamp_ms;
};
LEAT_RECORD(shop, item_id, user_id, session, timestamp_ms);

static void the_nearest_name_is_suggested(void **state)
{
    static const struct {
        const char *asked, *nearest;
    } rows[] = {
        {"itme_id", "item_id"},
        {"Item_Id", "item_id"},
        {"item", "item_id"},
        {"userid", "user_id"},
        {"sesion", "session"},
        {"timestamp", "timestamp_ms"},
        {"timestamp_us", "timestamp_ms"},
        {"price", NULL},
        {"x", NULL},
        {"", NULL},
        {NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *nearest = leat_type_nearest(&shop_type, rows[i].asked);
        if (rows[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest != NULL ? nearest : "(none)", rows[i].nearest);
    }
}

static void fields_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(leat_type_field(&shop_type, "session"), &shop_type.fields[2]);
    assert_null(leat_type_field(&shop_type, "sess"));
    assert_null(leat_type_field(&shop_type, NULL));
    assert_null(leat_type_field(&leat_type_u64, "u64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_compiler_describes_every_kind),
        cmocka_unit_test(a_type_at_run_time_is_laid_out_as_by_the_compiler),
        cmocka_unit_test(what_cannot_be_added_is_refused),
        cmocka_unit_test(unsound_types_are_told_what_is_wrong),
        cmocka_unit_test(scalar_types_are_sound),
        cmocka_unit_test(flat_means_no_string_and_no_list_anywhere),
        cmocka_unit_test(the_nearest_name_is_suggested),
        cmocka_unit_test(fields_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
