/* base/buffer.c - growth, text forms of numbers and strings, and the checked slow paths.
 *
 *     data ─► [ bytes written ......... | free ........ ]
 *              0                 length ^      capacity ^      grows by doubling, never shrinks
 */
#include "base/buffer.h"
#include "base/mem.h"
#include "base/number_text.h"
#include <math.h>

void leat__buffer_reserve(leat__buffer *buffer, size_t extra_bytes)
{
    if (buffer->capacity - buffer->length >= extra_bytes)
        return;
    size_t needed;
    if (__builtin_add_overflow(buffer->length, extra_bytes, &needed))
        needed = SIZE_MAX;
    size_t capacity = buffer->capacity != 0 ? buffer->capacity : 64;
    while (capacity < needed && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    if (capacity < needed)
        capacity = needed;
    buffer->data = leat__realloc(buffer->data, capacity, 1);
    buffer->capacity = capacity;
}

void leat__buffer_free(leat__buffer *buffer)
{
    leat__free(buffer->data);
    *buffer = (leat__buffer){0};
}

void leat__buffer_format(leat__buffer *buffer, const char *format, ...)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t room = buffer->capacity - buffer->length;
        va_list args;
        va_start(args, format);
        int length =
            vsnprintf(room != 0 ? buffer->data + buffer->length : NULL, room, format, args);
        va_end(args);
        if (length < 0)
            return;
        if ((size_t)length < room) {
            buffer->length += (size_t)length;
            return;
        }
        leat__buffer_reserve(buffer, (size_t)length + 1);
    }
}

/* ---------------------------------------------------------------- numbers as text */

static const char digit_pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293"
    "949596979899";

static void append_decimal(leat__buffer *buffer, uint64_t value, bool negative)
{
    char text[20], *next = text + sizeof text; /* 2^64 has 20 digits */
    while (value >= 100) {
        const char *pair = digit_pairs + value % 100 * 2;
        value /= 100;
        *--next = pair[1];
        *--next = pair[0];
    }
    if (value >= 10) {
        *--next = digit_pairs[value * 2 + 1];
        *--next = digit_pairs[value * 2];
    } else {
        *--next = (char)('0' + value);
    }
    leat__buffer_reserve(buffer, sizeof text + 1);
    if (negative)
        buffer->data[buffer->length++] = '-';
    leat__buffer_bytes(buffer, next, (size_t)(text + sizeof text - next));
}

void leat__buffer_u64_text(leat__buffer *buffer, uint64_t value)
{
    append_decimal(buffer, value, false);
}

void leat__buffer_i64_text(leat__buffer *buffer, int64_t value)
{
    append_decimal(buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

/* ".0" tells a reader that the number may have a fraction. */
static void append_number(leat__buffer *buffer, const char *text, size_t length)
{
    leat__buffer_bytes(buffer, text, length);
    if (strcspn(text, ".e") == length)
        leat__buffer_bytes(buffer, ".0", 2);
}

void leat__buffer_f64_text(leat__buffer *buffer, double value)
{
    char text[LEAT__NUMBER_TEXT_BYTES];
    if (isfinite(value))
        append_number(buffer, text, leat__f64_text(text, value));
    else
        leat__buffer_text(buffer, "null");
}

void leat__buffer_f32_text(leat__buffer *buffer, float value)
{
    char text[LEAT__NUMBER_TEXT_BYTES];
    if (isfinite(value))
        append_number(buffer, text, leat__f32_text(text, value));
    else
        leat__buffer_text(buffer, "null");
}

/* ---------------------------------------------------------------- strings */

static bool continues(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t leat__utf8_length(const char *bytes, size_t available)
{
    const unsigned char *b = (const unsigned char *)bytes;
    if (available >= 1 && b[0] < 0x80)
        return 1;
    if (available >= 2 && b[0] >= 0xc2 && b[0] <= 0xdf)
        return continues(b[1]) ? 2 : 0;
    if (available >= 3 && (b[0] & 0xf0) == 0xe0) {
        bool overlong = b[0] == 0xe0 && b[1] < 0xa0, surrogate = b[0] == 0xed && b[1] > 0x9f;
        return continues(b[1]) && continues(b[2]) && !overlong && !surrogate ? 3 : 0;
    }
    if (available >= 4 && b[0] >= 0xf0 && b[0] <= 0xf4) {
        bool overlong = b[0] == 0xf0 && b[1] < 0x90, beyond = b[0] == 0xf4 && b[1] > 0x8f;
        bool tail = continues(b[1]) && continues(b[2]) && continues(b[3]);
        return tail && !overlong && !beyond ? 4 : 0;
    }
    return 0;
}

/* ASCII from the space on, but the quote (0x22) and the backslash (0x5c). */
/* clang-format off */
static const bool is_plain[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
};
/* clang-format on */

/* How many bytes from the start are plain: ASCII that JSON writes as it is.  Eight at a time:
 * a byte's high bit is set in `odd` if it is a control, a quote, a backslash or not ASCII (the
 * carry of a subtraction can only mark too much above a true hit, and the first hit counts). */
static size_t plain_prefix(const char *bytes, size_t length)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones * 0x80;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
        uint64_t odd = ((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & highs;
        if (odd != 0)
            break;
    }
    while (i < length && is_plain[(unsigned char)bytes[i]])
        i++;
    return i;
}

bool leat__utf8_valid(leat_str text)
{
    for (size_t i = 0; i < text.length;) {
        size_t plain = plain_prefix(text.data + i, text.length - i);
        size_t step = plain != 0 ? plain : leat__utf8_length(text.data + i, text.length - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

/* Appends one character that is not plain; returns how many bytes of input it took. */
static size_t append_escaped(leat__buffer *buffer, const char *bytes, size_t available)
{
    unsigned char byte = (unsigned char)bytes[0];
    static const char letters[] = "btn?fr"; /* 8 .. 13 */
    if (byte == '"' || byte == '\\') {
        char escape[2] = {'\\', (char)byte};
        leat__buffer_bytes(buffer, escape, 2);
    } else if (byte >= 8 && byte <= 13 && byte != 11) {
        char escape[2] = {'\\', letters[byte - 8]};
        leat__buffer_bytes(buffer, escape, 2);
    } else if (byte < 0x20) {
        leat__buffer_format(buffer, "\\u%04x", byte);
    } else {
        size_t length = leat__utf8_length(bytes, available);
        if (length == 0)
            leat__buffer_bytes(buffer, "\xef\xbf\xbd", 3);
        else
            leat__buffer_bytes(buffer, bytes, length);
        return length == 0 ? 1 : length;
    }
    return 1;
}

void leat__buffer_json_str(leat__buffer *buffer, leat_str text)
{
    leat__buffer_reserve(buffer, text.length + 2);
    buffer->data[buffer->length++] = '"';
    for (size_t i = 0; i < text.length;) {
        size_t plain = plain_prefix(text.data + i, text.length - i);
        leat__buffer_bytes(buffer, text.data + i, plain);
        i += plain;
        if (i < text.length)
            i += append_escaped(buffer, text.data + i, text.length - i);
    }
    leat__buffer_u8(buffer, '"');
}

/* ---------------------------------------------------------------- reader */

leat_str leat__read_bytes(leat__reader *reader, size_t length)
{
    if (reader->failed || (size_t)(reader->end - reader->next) < length) {
        reader->failed = true;
        return (leat_str){NULL, 0};
    }
    leat_str bytes = {reader->next, length};
    reader->next += length;
    return bytes;
}

uint64_t leat__read_varint_slow(leat__reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; !reader->failed && shift < 64; shift += 7) {
        uint8_t byte = leat__read_u8(reader);
        if (shift == 63 && byte > 1)
            break; /* does not fit 64 bits */
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift != 0)
                break; /* not the shortest form: one value, one text */
            return reader->failed ? 0 : value;
        }
    }
    reader->failed = true;
    return 0;
}
