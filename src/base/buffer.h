/* base/buffer.h - a growing byte buffer with little-endian and varint writers, and a bounded
 * reader over bytes that never runs past the end (its error is sticky). */
#ifndef LEAT_BASE_BUFFER_H
#define LEAT_BASE_BUFFER_H
#include "leat/base.h"
#include <stdarg.h>
#include <string.h>

typedef struct leat__buffer {
    char *data;
    size_t length, capacity;
} leat__buffer; /* {0} is a valid empty buffer */

void leat__buffer_reserve(leat__buffer *buffer, size_t extra_bytes); /* room for that many more */
void leat__buffer_free(leat__buffer *buffer);
void leat__buffer_format(leat__buffer *buffer, const char *format, ...) LEAT_PRINTF(2, 3);

static inline void leat__buffer_bytes(leat__buffer *buffer, const void *bytes, size_t length)
{
    if (buffer->capacity - buffer->length < length)
        leat__buffer_reserve(buffer, length);
    if (length != 0)
        memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
}
static inline void leat__buffer_u8(leat__buffer *buffer, uint8_t value)
{
    leat__buffer_bytes(buffer, &value, 1);
}
static inline void leat__buffer_text(leat__buffer *buffer, const char *text)
{
    leat__buffer_bytes(buffer, text, strlen(text));
}
static inline void leat__buffer_u16(leat__buffer *buffer, uint16_t value)
{ /* little endian */
    unsigned char bytes[2] = {(unsigned char)value, (unsigned char)(value >> 8)};
    leat__buffer_bytes(buffer, bytes, sizeof bytes);
}
static inline void leat__buffer_u32(leat__buffer *buffer, uint32_t value)
{
    unsigned char bytes[4] = {(unsigned char)value, (unsigned char)(value >> 8),
                              (unsigned char)(value >> 16), (unsigned char)(value >> 24)};
    leat__buffer_bytes(buffer, bytes, sizeof bytes);
}
static inline void leat__buffer_u64(leat__buffer *buffer, uint64_t value)
{
    unsigned char bytes[8] = {(unsigned char)value,         (unsigned char)(value >> 8),
                              (unsigned char)(value >> 16), (unsigned char)(value >> 24),
                              (unsigned char)(value >> 32), (unsigned char)(value >> 40),
                              (unsigned char)(value >> 48), (unsigned char)(value >> 56)};
    leat__buffer_bytes(buffer, bytes, sizeof bytes);
}
static inline void leat__buffer_varint(leat__buffer *buffer, uint64_t value)
{ /* LEB128 */
    if (buffer->capacity - buffer->length < 10)
        leat__buffer_reserve(buffer, 10);
    char *next = buffer->data + buffer->length;
    for (; value >= 0x80; value >>= 7)
        *next++ = (char)(value | 0x80);
    *next++ = (char)value;
    buffer->length = (size_t)(next - buffer->data);
}
static inline void leat__buffer_zigzag(leat__buffer *buffer, int64_t value)
{
    leat__buffer_varint(buffer, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}
/* varint length + 1 and the bytes; 0 = absent */
static inline void leat__buffer_str(leat__buffer *buffer, leat_str text)
{
    leat__buffer_varint(buffer, text.data == NULL ? 0 : (uint64_t)text.length + 1);
    leat__buffer_bytes(buffer, text.data, text.data == NULL ? 0 : text.length);
}
/* Quoted and escaped; the result is valid UTF-8: each byte that is not becomes U+FFFD. */
void leat__buffer_json_str(leat__buffer *buffer, leat_str text);
void leat__buffer_i64_text(leat__buffer *buffer, int64_t value); /* decimal */
void leat__buffer_u64_text(leat__buffer *buffer, uint64_t value);
/* The shortest decimal text that reads back as the same number; "null" for NaN and infinities. */
void leat__buffer_f64_text(leat__buffer *buffer, double value);
void leat__buffer_f32_text(leat__buffer *buffer, float value);

/* Length of the valid UTF-8 sequence (1 to 4) at `bytes`, 0 if there is none. */
size_t leat__utf8_length(const char *bytes, size_t available);
bool leat__utf8_valid(leat_str text);

typedef struct leat__reader {
    const char *next, *end;
    bool failed; /* sticky: every later read gives 0 / {NULL, 0} */
} leat__reader;

static inline leat__reader leat__reader_of(leat_str bytes)
{
    const char *data = bytes.data != NULL ? bytes.data : ""; /* no arithmetic on NULL */
    return (leat__reader){.next = data, .end = data + bytes.length};
}

leat_str leat__read_bytes(leat__reader *reader, size_t length); /* borrows from the input */
uint64_t leat__read_varint_slow(leat__reader *reader);          /* two bytes and more */

static inline uint64_t leat__read_fixed(leat__reader *reader, unsigned size_bytes)
{
    if (reader->failed || (size_t)(reader->end - reader->next) < size_bytes) {
        reader->failed = true;
        return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        value |= (uint64_t)(unsigned char)reader->next[i] << (8 * i);
    reader->next += size_bytes;
    return value;
}
static inline uint8_t leat__read_u8(leat__reader *reader)
{
    return (uint8_t)leat__read_fixed(reader, 1);
}
static inline uint16_t leat__read_u16(leat__reader *reader)
{
    return (uint16_t)leat__read_fixed(reader, 2);
}
static inline uint32_t leat__read_u32(leat__reader *reader)
{
    return (uint32_t)leat__read_fixed(reader, 4);
}
static inline uint64_t leat__read_u64(leat__reader *reader)
{
    return leat__read_fixed(reader, 8);
}
static inline uint64_t leat__read_varint(leat__reader *reader)
{
    if (!reader->failed && reader->next < reader->end && (unsigned char)*reader->next < 0x80)
        return (unsigned char)*reader->next++;
    return leat__read_varint_slow(reader);
}
static inline int64_t leat__read_zigzag(leat__reader *reader)
{
    uint64_t value = leat__read_varint(reader);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}
/* {NULL, 0} is also what an absent string reads as: ask `failed` to tell. */
static inline leat_str leat__read_str(leat__reader *reader)
{
    uint64_t coded = leat__read_varint(reader);
    return coded == 0 ? (leat_str){NULL, 0} : leat__read_bytes(reader, (size_t)(coded - 1));
}
#endif
