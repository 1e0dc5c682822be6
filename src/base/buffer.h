/* base/buffer.h - a growing byte buffer with little-endian and varint writers, and a bounded
 * reader over bytes that never runs past the end (its error is sticky). */
#ifndef LEAT_BASE_BUFFER_H
#define LEAT_BASE_BUFFER_H
#include <stdarg.h>
#include <string.h>
#include "leat/base.h"

typedef struct leat__buffer {
    char *data;
    size_t length, capacity;
} leat__buffer; /* {0} is a valid empty buffer */

void leat__buffer_reserve(leat__buffer *buffer, size_t extra_bytes); /* room for that many more */
void leat__buffer_free(leat__buffer *buffer);
void leat__buffer_format(leat__buffer *buffer, const char *format, ...) LEAT_PRINTF(2, 3);

static inline void leat__buffer_bytes(leat__buffer *buffer, const void *bytes, size_t length) {
    if (buffer->capacity - buffer->length < length) leat__buffer_reserve(buffer, length);
    if (length != 0) memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
}
static inline void leat__buffer_u8(leat__buffer *buffer, uint8_t value) {
    leat__buffer_bytes(buffer, &value, 1);
}
static inline void leat__buffer_text(leat__buffer *buffer, const char *text) {
    leat__buffer_bytes(buffer, text, strlen(text));
}
void leat__buffer_u16(leat__buffer *buffer, uint16_t value); /* little endian */
void leat__buffer_u32(leat__buffer *buffer, uint32_t value);
void leat__buffer_u64(leat__buffer *buffer, uint64_t value);
void leat__buffer_varint(leat__buffer *buffer, uint64_t value);     /* LEB128 */
void leat__buffer_zigzag(leat__buffer *buffer, int64_t value);
void leat__buffer_str(leat__buffer *buffer, leat_str text);         /* varint length+1, bytes; 0 = absent */
void leat__buffer_json_str(leat__buffer *buffer, leat_str text);    /* quoted and escaped, valid UTF-8 */
void leat__buffer_i64_text(leat__buffer *buffer, int64_t value);    /* decimal */
void leat__buffer_u64_text(leat__buffer *buffer, uint64_t value);

typedef struct leat__reader {
    const char *next, *end;
    bool failed; /* sticky: every later read gives 0 / {NULL, 0} */
} leat__reader;

uint8_t leat__read_u8(leat__reader *reader);
uint16_t leat__read_u16(leat__reader *reader);
uint32_t leat__read_u32(leat__reader *reader);
uint64_t leat__read_u64(leat__reader *reader);
uint64_t leat__read_varint(leat__reader *reader);
int64_t leat__read_zigzag(leat__reader *reader);
leat_str leat__read_str(leat__reader *reader);             /* borrows from the input */
leat_str leat__read_bytes(leat__reader *reader, size_t length);
#endif
