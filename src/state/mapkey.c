/* state/mapkey.c - map keys as bytes whose order is the order of the keys: numbers big endian,
 * signed ones with the sign bit flipped, floats with all bits flipped when negative; strings as
 * they are. */
#include "state/internal.h"

bool leat__map_key_allowed(const leat_type *type)
{
    if (type == NULL || !leat__type_is_scalar(type))
        return false;
    switch (type->fields[0].kind) {
    case LEAT_KIND_BOOL:
    case LEAT_KIND_I64:
    case LEAT_KIND_U64:
    case LEAT_KIND_U32:
    case LEAT_KIND_F64:
    case LEAT_KIND_STR:
        return true;
    default:
        return false;
    }
}

static void append_big_endian(leat__buffer *out, uint64_t value, size_t size_bytes)
{
    char bytes[8];
    for (size_t i = 0; i < size_bytes; i++)
        bytes[i] = (char)(value >> (8 * (size_bytes - 1 - i)));
    leat__buffer_bytes(out, bytes, size_bytes);
}

static uint64_t read_big_endian(leat_str bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.length && i < 8; i++)
        value = value << 8 | (uint8_t)bytes.data[i];
    return value;
}

static const uint64_t sign_bit = UINT64_C(1) << 63;

void leat__map_key_append(leat__buffer *out, const leat_type *type, const void *map_key)
{
    leat__map_key_value value;
    uint64_t bits;
    switch (type->fields[0].kind) {
    case LEAT_KIND_BOOL:
        leat__buffer_u8(out, *(const bool *)map_key ? 1 : 0);
        break;
    case LEAT_KIND_U32:
        append_big_endian(out, *(const uint32_t *)map_key, 4);
        break;
    case LEAT_KIND_U64:
        append_big_endian(out, *(const uint64_t *)map_key, 8);
        break;
    case LEAT_KIND_I64:
        append_big_endian(out, *(const uint64_t *)map_key ^ sign_bit, 8);
        break;
    case LEAT_KIND_F64:
        value.f64 = *(const double *)map_key == 0 ? 0 : *(const double *)map_key; /* -0 is 0 */
        bits = value.u64;
        append_big_endian(out, (bits & sign_bit) != 0 ? ~bits : bits | sign_bit, 8);
        break;
    default:
        value.str = *(const leat_str *)map_key;
        leat__buffer_bytes(out, value.str.data, value.str.length);
    }
}

const void *leat__map_key_read(leat__map_key_value *value, const leat_type *type, leat_str bytes)
{
    uint64_t bits = read_big_endian(bytes);
    switch (type->fields[0].kind) {
    case LEAT_KIND_BOOL:
        value->boolean = bits != 0;
        break;
    case LEAT_KIND_U32:
        value->u32 = (uint32_t)bits;
        break;
    case LEAT_KIND_U64:
        value->u64 = bits;
        break;
    case LEAT_KIND_I64:
        value->u64 = bits ^ sign_bit;
        break;
    case LEAT_KIND_F64:
        value->u64 = (bits & sign_bit) != 0 ? bits & ~sign_bit : ~bits;
        break;
    default:
        value->str = bytes;
    }
    return value;
}
