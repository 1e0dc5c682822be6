/* record/binary.c - the compact binary form of a record: what state and log store.
 *
 *   byte 0          format version, 1 (R26)
 *   then            the fields in the type's order, each
 *       bool, i8, u8    1 byte
 *       i16 .. i64      zigzag varint       u16 .. u64   varint (LEB128, shortest form)
 *       f32, f64        4 or 8 bytes, little endian
 *       text            varint length, bytes up to the first NUL
 *       str             varint length + 1, bytes; 0 = absent
 *       list            varint count, items
 *       record          its fields
 *
 * One record has one encoding: whatever decodes, encodes to the same bytes again.  There are no
 * names in it; the layout text beside the data says how to read it (S4: migration.c).  Where none
 * lies beside it, in topics, a record names its layout: headed.c. */
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "record/codec.h"
#include "record/kinds.h"

enum { FORMAT_VERSION = 1 };

/* ---------------------------------------------------------------- encode */

static void append_fields(leat__buffer *buffer, const leat_type *type, const char *record);

static void append_list(leat__buffer *buffer, const leat_type *element, const char *at)
{
    leat_list list;
    memcpy(&list, at, sizeof list);
    leat__buffer_varint(buffer, list.count);
    const char *items = list.items;
    for (size_t i = 0; i < list.count; i++)
        append_fields(buffer, element, items + i * element->size_bytes);
}

static void append_text(leat__buffer *buffer, const leat_field *field, const char *at)
{
    leat_str text = leat__load_text(at, field->size_bytes);
    leat__buffer_varint(buffer, text.length);
    leat__buffer_bytes(buffer, text.data, text.length);
}

static void append_field(leat__buffer *buffer, const leat_field *field, const char *at)
{
    uint32_t bits32;
    uint64_t bits64;
    leat_str text;
    switch (field->kind) {
    case LEAT_KIND_BOOL:
    case LEAT_KIND_I8:
    case LEAT_KIND_U8:
        leat__buffer_u8(buffer, (uint8_t)leat__load_integer(at, field->kind));
        break;
    case LEAT_KIND_I16:
    case LEAT_KIND_I32:
    case LEAT_KIND_I64:
        leat__buffer_zigzag(buffer, (int64_t)leat__load_integer(at, field->kind));
        break;
    case LEAT_KIND_U16:
    case LEAT_KIND_U32:
    case LEAT_KIND_U64:
        leat__buffer_varint(buffer, leat__load_integer(at, field->kind));
        break;
    case LEAT_KIND_F32:
        memcpy(&bits32, at, sizeof bits32);
        leat__buffer_u32(buffer, bits32);
        break;
    case LEAT_KIND_F64:
        memcpy(&bits64, at, sizeof bits64);
        leat__buffer_u64(buffer, bits64);
        break;
    case LEAT_KIND_TEXT:
        append_text(buffer, field, at);
        break;
    case LEAT_KIND_STR:
        memcpy(&text, at, sizeof text);
        leat__buffer_str(buffer, text);
        break;
    case LEAT_KIND_LIST:
        append_list(buffer, field->element, at);
        break;
    case LEAT_KIND_RECORD:
        append_fields(buffer, field->element, at);
        break;
    case LEAT_KIND_NONE:
        break;
    }
}

static void append_fields(leat__buffer *buffer, const leat_type *type, const char *record)
{
    for (uint32_t i = 0; i < type->field_count; i++)
        append_field(buffer, &type->fields[i], record + type->fields[i].offset_bytes);
}

void leat__binary_append(leat__buffer *buffer, const leat_type *type, const void *record)
{
    leat__buffer_u8(buffer, FORMAT_VERSION);
    append_fields(buffer, type, record);
}

void leat__binary_append_fields(leat__buffer *buffer, const leat_type *type, const void *record)
{
    append_fields(buffer, type, record);
}

/* ---------------------------------------------------------------- decode */

typedef struct decoding {
    leat__reader reader;
    leat__arena *arena;
    leat__lend lend;
    size_t list_bytes_left; /* a short input must not become gigabytes of structs */
} decoding;

static bool decode_fields(decoding *d, const leat_type *type, char *record);

/* Every value takes a byte at least: this bounds the count of a list before it is allocated. */
static size_t bytes_min(const leat_type *type)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        bytes += field->kind == LEAT_KIND_RECORD ? bytes_min(field->element) : 1;
    }
    return bytes;
}

static bool decode_list(decoding *d, const leat_type *element, char *at)
{
    uint64_t count = leat__read_varint(&d->reader);
    size_t left = (size_t)(d->reader.end - d->reader.next), item_bytes = element->size_bytes;
    if (d->reader.failed || count > LEAT__LIST_ITEMS_MAX || count * bytes_min(element) > left ||
        count * item_bytes > d->list_bytes_left)
        return false;
    if (count == 0)
        return true; /* the record is zeroed */
    d->list_bytes_left -= (size_t)count * item_bytes;
    char *items = leat__arena_alloc(d->arena, (size_t)count * item_bytes);
    memset(items, 0, (size_t)count * item_bytes);
    for (size_t i = 0; i < count; i++)
        if (!decode_fields(d, element, items + i * item_bytes))
            return false;
    leat_list list = {items, (size_t)count};
    memcpy(at, &list, sizeof list);
    return true;
}

static bool decode_text(decoding *d, const leat_field *field, char *at)
{
    uint64_t length = leat__read_varint(&d->reader);
    if (length > field->size_bytes)
        return false;
    leat_str text = leat__read_bytes(&d->reader, (size_t)length);
    return !d->reader.failed && leat__store_text(at, field->size_bytes, text);
}

static bool decode_str(decoding *d, char *at)
{
    leat_str text = leat__read_str(&d->reader);
    if (d->lend == LEAT__STRINGS_IN_ARENA && !d->reader.failed)
        text = leat__arena_str(d->arena, text);
    memcpy(at, &text, sizeof text);
    return !d->reader.failed;
}

static bool decode_field(decoding *d, const leat_field *field, char *at)
{
    leat__reader *reader = &d->reader;
    uint8_t byte;
    uint32_t bits32;
    uint64_t bits64;
    switch (field->kind) {
    case LEAT_KIND_BOOL:
        byte = leat__read_u8(reader);
        *at = (char)byte;
        return byte <= 1 && !reader->failed;
    case LEAT_KIND_I8:
    case LEAT_KIND_U8:
        *at = (char)leat__read_u8(reader);
        return !reader->failed;
    case LEAT_KIND_I16:
    case LEAT_KIND_I32:
    case LEAT_KIND_I64:
        return leat__store_i64(at, field->kind, leat__read_zigzag(reader)) && !reader->failed;
    case LEAT_KIND_U16:
    case LEAT_KIND_U32:
    case LEAT_KIND_U64:
        return leat__store_u64(at, field->kind, leat__read_varint(reader)) && !reader->failed;
    case LEAT_KIND_F32:
        bits32 = leat__read_u32(reader);
        memcpy(at, &bits32, sizeof bits32);
        return !reader->failed;
    case LEAT_KIND_F64:
        bits64 = leat__read_u64(reader);
        memcpy(at, &bits64, sizeof bits64);
        return !reader->failed;
    case LEAT_KIND_TEXT:
        return decode_text(d, field, at);
    case LEAT_KIND_STR:
        return decode_str(d, at);
    case LEAT_KIND_LIST:
        return decode_list(d, field->element, at);
    case LEAT_KIND_RECORD:
        return decode_fields(d, field->element, at);
    case LEAT_KIND_NONE:
        break;
    }
    return false;
}

static bool decode_fields(decoding *d, const leat_type *type, char *record)
{
    for (uint32_t i = 0; i < type->field_count; i++)
        if (!decode_field(d, &type->fields[i], record + type->fields[i].offset_bytes))
            return false;
    return true;
}

leat_status leat__binary_decode_fields(leat__arena *arena, const leat_type *type, leat_str fields,
                                       leat__lend lend, void *record, leat_error *error)
{
    decoding d = {.arena = arena, .lend = lend, .list_bytes_left = LEAT__DECODED_BYTES_MAX};
    memset(record, 0, type->size_bytes);
    d.reader = leat__reader_of(fields);
    bool whole = decode_fields(&d, type, record) && d.reader.next == d.reader.end;
    if (whole)
        return LEAT_OK;
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, type->name,
                      "damaged binary record: %zu bytes of fields, wrong at byte %zu",
                      fields.length, (size_t)(d.reader.next - fields.data));
}

leat_status leat__binary_fields(const leat_type *type, leat_str bytes, leat_str *fields,
                                leat_error *error)
{
    if (bytes.length == 0)
        return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, type->name,
                          "not a binary record: it is empty");
    uint8_t version = (uint8_t)bytes.data[0];
    *fields = (leat_str){bytes.data + 1, bytes.length - 1};
    if (version == FORMAT_VERSION)
        return LEAT_OK;
    return leat__fail(error, version == 0 ? LEAT_EDATA : LEAT_EVERSION, LEAT_RECOVERY_FATAL,
                      type->name, "binary record of format %u where only %d may be", version,
                      FORMAT_VERSION);
}

leat_status leat__binary_decode_into(leat__arena *arena, const leat_type *type, leat_str bytes,
                                     leat__lend lend, void *record, leat_error *error)
{
    leat_str fields = {0};
    leat_status status = leat__binary_fields(type, bytes, &fields, error);
    if (status != LEAT_OK) {
        memset(record, 0, type->size_bytes);
        return status;
    }
    return leat__binary_decode_fields(arena, type, fields, lend, record, error);
}
