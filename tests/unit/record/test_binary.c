/* The binary form: its bytes are a format that stays (R26), and nothing damaged gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/codec.h"

struct sample {
    bool flag;
    int8_t i8;
    uint8_t u8;
    int32_t i32;
    uint64_t u64;
    float f32;
    double f64;
    char text[4];
    leat_str str, absent;
    leat_list list;
};
LEAT_RECORD(sample, flag, i8, u8, i32, u64, f32, f64, text, str, LEAT_OPTIONAL(absent),
            LEAT_LIST(list, &leat_type_i64));

static int64_t items[] = {-1, 300};
static const struct sample sample = {.flag = true,
                                     .i8 = -2,
                                     .u8 = 200,
                                     .i32 = -3,
                                     .u64 = 300,
                                     .f32 = 1.0f,
                                     .f64 = -2.0,
                                     .text = "ab",
                                     .str = {"xyz", 3},
                                     .list = {items, 2}};
static const char sample_bytes[] = "\x01"               /* version */
                                   "\x01\xfe\xc8"       /* flag, i8, u8 */
                                   "\x05\xac\x02"       /* zigzag, varint */
                                   "\0\0\x80\x3f"       /* f32 */
                                   "\0\0\0\0\0\0\0\xc0" /* f64 */
                                   "\x02"
                                   "ab"                /* text */
                                   "\x04xyz"           /* str, length + 1 */
                                   "\0"                /* absent */
                                   "\x02\x01\xd8\x04"; /* list */
#define SAMPLE_FINGERPRINT "\x83\x61\xbe\x1d"          /* CRC32C of the layout without "sample" */
enum { SAMPLE_BYTES = sizeof sample_bytes - 1 };

static leat_binary_decoder *decoder;
static leat_error error;

static int open_decoder(void **state)
{
    (void)state;
    decoder = leat_binary_decoder_new();
    return 0;
}

static int close_decoder(void **state)
{
    (void)state;
    leat_binary_decoder_free(decoder);
    return 0;
}

/* If this fails, stored state of earlier versions cannot be read: raise the version instead. */
static void the_format_stays(void **state)
{
    (void)state;
    leat_str bytes;
    leat__buffer plain = {0};
    leat__binary_append(&plain, &sample_type, &sample);
    assert_int_equal(plain.length, SAMPLE_BYTES);
    assert_memory_equal(plain.data, sample_bytes, SAMPLE_BYTES);
    leat__buffer_free(&plain);
    leat_binary_encode(&sample_type, &sample, &bytes); /* with the layout's fingerprint */
    assert_int_equal(bytes.length, SAMPLE_BYTES + 4);
    assert_memory_equal(bytes.data, "\x02" SAMPLE_FINGERPRINT, 5);
    assert_memory_equal(bytes.data + 5, sample_bytes + 1, SAMPLE_BYTES - 1);
    free((void *)(uintptr_t)bytes.data);
}

static void strings_point_into_the_bytes(void **state)
{
    (void)state;
    struct sample got;
    leat_str bytes = {sample_bytes, SAMPLE_BYTES};
    assert_int_equal(leat_binary_decode(decoder, &sample_type, bytes, &got, &error), LEAT_OK);
    assert_true(got.str.data > bytes.data && got.str.data < bytes.data + bytes.length);
    assert_int_equal(got.str.length, 3);
    assert_null(got.absent.data);
    assert_string_equal(got.text, "ab");
    assert_int_equal(got.i32, -3);
    assert_int_equal(((int64_t *)got.list.items)[1], 300);
}

static void a_newer_version_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct sample got;
    char bytes[SAMPLE_BYTES];
    memcpy(bytes, sample_bytes, SAMPLE_BYTES);
    bytes[0] = 3;
    leat_str text = {bytes, SAMPLE_BYTES};
    assert_int_equal(leat_binary_decode(decoder, &sample_type, text, &got, &error), LEAT_EVERSION);
    assert_string_equal(error.message, "binary record of format 3; this version reads up to 2");
    bytes[0] = 0;
    assert_int_equal(leat_binary_decode(decoder, &sample_type, text, &got, &error), LEAT_EDATA);
    assert_int_equal(leat_binary_decode(decoder, &sample_type, LEAT_STR(""), &got, &error),
                     LEAT_EDATA);
}

static void damage_is_refused_with_its_place(void **state)
{
    static const struct {
        size_t at;
        unsigned char byte;
    } rows[] = {
        {1, 2},    /* a bool that is neither */
        {4, 0xff}, /* the varint goes on into other fields */
        {19, 5},   /* text longer than its array */
        {20, 0},   /* a NUL inside of a text */
        {22, 200}, /* str longer than the input */
        {27, 100}, /* list longer than the input */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sample got;
        char bytes[SAMPLE_BYTES];
        memcpy(bytes, sample_bytes, SAMPLE_BYTES);
        bytes[rows[i].at] = (char)rows[i].byte;
        leat_str text = {bytes, SAMPLE_BYTES};
        assert_int_equal(leat_binary_decode(decoder, &sample_type, text, &got, &error), LEAT_EDATA);
        assert_non_null(
            strstr(error.message, "damaged binary record: 30 bytes of fields, wrong at byte"));
    }
}

static void nothing_may_follow_a_record(void **state)
{
    (void)state;
    struct sample got;
    leat_str longer = {sample_bytes, SAMPLE_BYTES + 1}; /* with the NUL of the literal */
    assert_int_equal(leat_binary_decode(decoder, &sample_type, longer, &got, NULL), LEAT_EDATA);
}

static void an_integer_too_large_for_its_field_is_refused(void **state)
{
    (void)state;
    leat_type *wide = leat_type_new("t"), *narrow = leat_type_new("t");
    leat_type_add(wide, "n", LEAT_KIND_I64, NULL, 0);
    leat_type_add(narrow, "n", LEAT_KIND_I16, NULL, 0);
    static const int64_t values[] = {INT16_MIN, INT16_MAX, INT16_MIN - 1, INT16_MAX + 1, INT64_MAX};
    for (size_t i = 0; i < 5; i++) {
        leat__buffer bytes = {0};
        int16_t got;
        leat__binary_append(&bytes, wide, &values[i]);
        leat_status status =
            leat_binary_decode(decoder, narrow, (leat_str){bytes.data, bytes.length}, &got, NULL);
        assert_int_equal(status, i < 2 ? LEAT_OK : LEAT_EDATA);
        leat__buffer_free(&bytes);
    }
    leat_type_free(wide);
    leat_type_free(narrow);
}

/* A count of a million large structs in a few bytes must not allocate them. */
static void a_short_input_cannot_ask_for_gigabytes(void **state)
{
    (void)state;
    leat_type *large = leat_type_new("large"), *holder = leat_type_new("holder");
    leat_type_add_text(large, "text", 1 << 20, 0);
    leat_type_add(holder, "items", LEAT_KIND_LIST, large, 0);
    char bytes[200] = {1, (char)0xc5, 1}; /* 197 items of 1 MiB, all of which are there */
    leat_list got;
    leat_str text = {bytes, sizeof bytes};
    assert_int_equal(leat_binary_decode(decoder, holder, text, &got, NULL), LEAT_EDATA);
    bytes[1] = 10; /* ten are fine, but bytes follow them */
    text.length = 12;
    assert_int_equal(leat_binary_decode(decoder, holder, text, &got, NULL), LEAT_EDATA);
    bytes[2] = 0;
    assert_int_equal(leat_binary_decode(decoder, holder, text, &got, NULL), LEAT_OK);
    assert_int_equal(got.count, 10);
    leat_type_free(holder);
    leat_type_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_format_stays),
        cmocka_unit_test(strings_point_into_the_bytes),
        cmocka_unit_test(a_newer_version_is_told_apart_from_damage),
        cmocka_unit_test(damage_is_refused_with_its_place),
        cmocka_unit_test(nothing_may_follow_a_record),
        cmocka_unit_test(an_integer_too_large_for_its_field_is_refused),
        cmocka_unit_test(a_short_input_cannot_ask_for_gigabytes),
    };
    return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
