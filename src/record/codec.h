/* record/codec.h - records without malloc: what engine, state and log call for every record.
 * All types must have passed leat_type_check().  Thread-safe: nothing is shared. */
#ifndef LEAT_RECORD_CODEC_H
#define LEAT_RECORD_CODEC_H
#include "base/arena.h"
#include "base/buffer.h"
#include "leat/record.h"

/* No string and no list anywhere: the bytes of the struct are the whole record.  Walks the type;
 * ask once and keep the answer. */
bool leat__type_is_flat(const leat_type *type);
/* A scalar type (leat_type_u64 ...): one field without a name, a bare value in JSON. */
static inline bool leat__type_is_scalar(const leat_type *type)
{
    return type->field_count == 1 && type->fields[0].name == NULL;
}
uint32_t leat__type_align(const leat_type *type);

/* How deep records lie in records, lists of them included: 1 without any. Walks the type. */
uint32_t leat__type_depth(const leat_type *type);

/* Does the record, with all that it points to, take more memory than that? */
bool leat__record_is_over(const leat_type *type, const void *record, size_t bytes);

/* Deep copy: the fixed part to `copy`, strings and list items into the arena. */
void leat__record_copy(leat__arena *arena, const leat_type *type, const void *source, void *copy);

void leat__json_append(leat__buffer *buffer, const leat_type *type, const void *record);
void leat__binary_append(leat__buffer *buffer, const leat_type *type, const void *record);
/* Without the version byte. */
void leat__binary_append_fields(leat__buffer *buffer, const leat_type *type, const void *record);

/* Where the strings of a decoded record point to; lists always lie in the arena. */
typedef enum leat__lend {
    LEAT__STRINGS_IN_INPUT, /* into the caller's bytes: valid as long as those */
    LEAT__STRINGS_IN_ARENA, /* copied: valid until the arena's reset */
} leat__lend;

leat_status leat__binary_decode_into(leat__arena *arena, const leat_type *type, leat_str bytes,
                                     leat__lend lend, void *record, leat_error *error);
/* The same in two steps: what follows the version byte, and what it says. */
leat_status leat__binary_fields(const leat_type *type, leat_str bytes, leat_str *fields,
                                leat_error *error);
leat_status leat__binary_decode_fields(leat__arena *arena, const leat_type *type, leat_str fields,
                                       leat__lend lend, void *record, leat_error *error);
/* Strings with escapes lie in the arena in any case. */
leat_status leat__json_decode_into(leat_json_decoder *decoder, leat__arena *arena,
                                   const leat_type *type, leat_str text, leat__lend lend,
                                   void *record, leat_error *error);
#endif
