#include "record/kinds.h"
#include <string.h>

#define ROW(name, expected, type, bits, is_signed)                    \
    {                                                                 \
        name, expected, sizeof(type), _Alignof(type), bits, is_signed \
    }

const leat__kind_row leat__kinds[LEAT__KIND_COUNT] = {
    [LEAT_KIND_NONE] = {"none", "nothing", 0, 1, 0, false},
    [LEAT_KIND_BOOL] = ROW("bool", "true or false", bool, 0, false),
    [LEAT_KIND_I8] = ROW("i8", "an integer", int8_t, 8, true),
    [LEAT_KIND_I16] = ROW("i16", "an integer", int16_t, 16, true),
    [LEAT_KIND_I32] = ROW("i32", "an integer", int32_t, 32, true),
    [LEAT_KIND_I64] = ROW("i64", "an integer", int64_t, 64, true),
    [LEAT_KIND_U8] = ROW("u8", "an integer", uint8_t, 8, false),
    [LEAT_KIND_U16] = ROW("u16", "an integer", uint16_t, 16, false),
    [LEAT_KIND_U32] = ROW("u32", "an integer", uint32_t, 32, false),
    [LEAT_KIND_U64] = ROW("u64", "an integer", uint64_t, 64, false),
    [LEAT_KIND_F32] = ROW("f32", "a number", float, 0, true),
    [LEAT_KIND_F64] = ROW("f64", "a number", double, 0, true),
    [LEAT_KIND_TEXT] = {"text", "a string", 0, 1, 0, false},
    [LEAT_KIND_STR] = ROW("str", "a string", leat_str, 0, false),
    [LEAT_KIND_LIST] = ROW("list", "a list", leat_list, 0, false),
    [LEAT_KIND_RECORD] = {"record", "an object", 0, 1, 0, false},
};

/* memcpy, not a cast: a member may lie in memory of another declared type. */
#define LOAD(type, widened)               \
    do {                                  \
        type value;                       \
        memcpy(&value, at, sizeof value); \
        return (uint64_t)(widened)value;  \
    } while (0)

uint64_t leat__load_integer(const char *at, leat_kind kind)
{
    switch (kind) {
    case LEAT_KIND_BOOL:
        return *at != 0;
    case LEAT_KIND_I8:
        LOAD(int8_t, int64_t);
    case LEAT_KIND_I16:
        LOAD(int16_t, int64_t);
    case LEAT_KIND_I32:
        LOAD(int32_t, int64_t);
    case LEAT_KIND_I64:
        LOAD(int64_t, int64_t);
    case LEAT_KIND_U8:
        LOAD(uint8_t, uint64_t);
    case LEAT_KIND_U16:
        LOAD(uint16_t, uint64_t);
    case LEAT_KIND_U32:
        LOAD(uint32_t, uint64_t);
    case LEAT_KIND_U64:
        LOAD(uint64_t, uint64_t);
    default:
        return 0;
    }
}

#define STORE(type)                         \
    do {                                    \
        type narrow = (type)value;          \
        if (narrow != value)                \
            return false;                   \
        memcpy(at, &narrow, sizeof narrow); \
        return true;                        \
    } while (0)

bool leat__store_i64(char *at, leat_kind kind, int64_t value)
{
    switch (kind) {
    case LEAT_KIND_I8:
        STORE(int8_t);
    case LEAT_KIND_I16:
        STORE(int16_t);
    case LEAT_KIND_I32:
        STORE(int32_t);
    case LEAT_KIND_I64:
        STORE(int64_t);
    default:
        return value >= 0 && leat__store_u64(at, kind, (uint64_t)value);
    }
}

bool leat__store_u64(char *at, leat_kind kind, uint64_t value)
{
    switch (kind) {
    case LEAT_KIND_U8:
        STORE(uint8_t);
    case LEAT_KIND_U16:
        STORE(uint16_t);
    case LEAT_KIND_U32:
        STORE(uint32_t);
    case LEAT_KIND_U64:
        STORE(uint64_t);
    case LEAT_KIND_I8:
    case LEAT_KIND_I16:
    case LEAT_KIND_I32:
    case LEAT_KIND_I64:
        return value <= INT64_MAX && leat__store_i64(at, kind, (int64_t)value);
    default:
        return false;
    }
}

leat_str leat__load_text(const char *at, uint32_t size_bytes)
{
    return (leat_str){at, strnlen(at, size_bytes)};
}

bool leat__store_text(char *at, uint32_t size_bytes, leat_str text)
{
    if (text.length > size_bytes)
        return false;
    if (text.length != 0 && memchr(text.data, '\0', text.length) != NULL)
        return false;
    if (text.length != 0)
        memcpy(at, text.data, text.length);
    memset(at + text.length, 0, size_bytes - text.length);
    return true;
}
