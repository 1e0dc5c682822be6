/* record/keys.h - the key bytes of a record.
 *
 * A key is its text: strings as they are, integers in decimal, bool as true or false.  So any
 * Kafka producer that writes text keys agrees with us on the partition (murmur2).  Floating point,
 * lists and records are not keys: two equal ones may differ in bytes. */
#ifndef LEAT_RECORD_KEYS_H
#define LEAT_RECORD_KEYS_H
#include "base/buffer.h"
#include "leat/record.h"

enum { LEAT__KEY_TEXT_BYTES = 24 }; /* enough for any integer */

bool leat__key_allowed(leat_kind kind);

/* `record` is the struct that holds the field.  The field must be of an allowed kind. */
void leat__key_append(leat__buffer *buffer, const leat_field *field, const void *record);
/* Borrows from the record (strings) or from `text` (numbers). */
leat_str leat__key_of(const leat_field *field, const void *record, char text[LEAT__KEY_TEXT_BYTES]);

/* The way back; false if the bytes are not the canonical text of a number in range. */
bool leat__key_parse_i64(leat_str key, int64_t *value);
bool leat__key_parse_u64(leat_str key, uint64_t *value);
/* Writes the key into the field; a STR field borrows the bytes.  False if it does not fit. */
bool leat__key_into(const leat_field *field, leat_str key, void *record);
#endif
