#include "record/keys.h"
#include "record/kinds.h"
#include <string.h>

bool leat__key_allowed(leat_kind kind)
{
    return (kind >= LEAT_KIND_BOOL && kind <= LEAT_KIND_U64) || kind == LEAT_KIND_TEXT ||
           kind == LEAT_KIND_STR;
}

static leat_str decimal(uint64_t value, bool negative, char text[LEAT__KEY_TEXT_BYTES])
{
    char *end = text + LEAT__KEY_TEXT_BYTES, *next = end;
    do {
        *--next = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    if (negative)
        *--next = '-';
    return (leat_str){next, (size_t)(end - next)};
}

leat_str leat__key_of(const leat_field *field, const void *record, char text[LEAT__KEY_TEXT_BYTES])
{
    const char *at = (const char *)record + field->offset_bytes;
    if (field->kind == LEAT_KIND_STR) {
        leat_str key;
        memcpy(&key, at, sizeof key);
        return key;
    }
    if (field->kind == LEAT_KIND_TEXT)
        return leat__load_text(at, field->size_bytes);
    uint64_t value = leat__load_integer(at, field->kind);
    if (field->kind == LEAT_KIND_BOOL)
        return value != 0 ? LEAT_STR("true") : LEAT_STR("false");
    bool negative = leat__kinds[field->kind].is_signed && (int64_t)value < 0;
    return decimal(negative ? 0 - value : value, negative, text);
}

void leat__key_append(leat__buffer *buffer, const leat_field *field, const void *record)
{
    char text[LEAT__KEY_TEXT_BYTES];
    leat_str key = leat__key_of(field, record, text);
    leat__buffer_bytes(buffer, key.data, key.length);
}

bool leat__key_parse_u64(leat_str key, uint64_t *value)
{
    uint64_t sum = 0;
    if (key.length == 0 || (key.data[0] == '0' && key.length != 1))
        return false;
    for (size_t i = 0; i < key.length; i++) {
        unsigned digit = (unsigned)(unsigned char)key.data[i] - '0';
        if (digit > 9)
            return false;
        if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    *value = sum;
    return true;
}

bool leat__key_parse_i64(leat_str key, int64_t *value)
{
    bool negative = key.length != 0 && key.data[0] == '-';
    leat_str digits = negative ? (leat_str){key.data + 1, key.length - 1} : key;
    uint64_t magnitude;
    if (!leat__key_parse_u64(digits, &magnitude))
        return false;
    if (negative && magnitude == 0)
        return false; /* "-0" is not how we write 0 */
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool leat__key_into(const leat_field *field, leat_str key, void *record)
{
    char *at = (char *)record + field->offset_bytes;
    int64_t signed_value;
    uint64_t value;
    if (field->kind == LEAT_KIND_STR) {
        memcpy(at, &key, sizeof key);
        return true;
    }
    if (field->kind == LEAT_KIND_TEXT)
        return leat__store_text(at, field->size_bytes, key);
    if (field->kind == LEAT_KIND_BOOL) {
        *at = leat_str_equal(key, LEAT_STR("true"));
        return *at || leat_str_equal(key, LEAT_STR("false"));
    }
    if (!leat__key_allowed(field->kind))
        return false;
    if (leat__kinds[field->kind].is_signed)
        return leat__key_parse_i64(key, &signed_value) &&
               leat__store_i64(at, field->kind, signed_value);
    return leat__key_parse_u64(key, &value) && leat__store_u64(at, field->kind, value);
}
