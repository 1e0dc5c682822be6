/* record/headed.c - binary records that say in which layout they were written.
 *
 *     layout text ─► names of types left out ─► CRC32C ─► fingerprint ─► in each record's head
 *
 *     record ─► fingerprint ─┬─ the type's own ──────────► fields decoded
 *                            ├─ of a former layout ──────► migration (S4)
 *                            └─ of none that is known ───► LEAT_ETYPE
 *     format 1, no fingerprint: only with a layout that the program vouches for */
#include "record/headed.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "record/migration.h"
#include <inttypes.h>
#include <stdlib.h>

enum { HEADLESS = 1, FORMAT_VERSION = 2, HEAD_BYTES = 5 };

typedef struct known {
    uint32_t fingerprint;
    leat__migration *migration; /* NULL: the fields are those of the type */
} known;

struct leat__headed_reader {
    const leat_type *type;
    uint32_t fingerprint;
    known former[LEAT__FORMER_LAYOUTS_MAX];
    size_t former_count;
    bool takes_headless;
    known headless;
};

/* ---------------------------------------------------------------- fingerprints */

static bool is_delimiter(char c)
{
    return strchr("{}[](),:", c) != NULL;
}

/* "a{x:i64,b:c{y:str}}" becomes "{x:i64,b:{y:str}}": names of types do not count (S4). */
static uint32_t fingerprint_of(const char *layout)
{
    leat__buffer text = {0};
    for (const char *at = layout; *at != '\0'; at++) {
        while (*at == '{' && text.length != 0 && !is_delimiter(text.data[text.length - 1]))
            text.length--;
        leat__buffer_u8(&text, (uint8_t)*at);
    }
    uint32_t crc = leat__crc32c(0, text.data, text.length);
    leat__buffer_free(&text);
    return crc;
}

uint32_t leat__type_fingerprint(const leat_type *type)
{
    char *layout = leat_type_layout(type);
    uint32_t fingerprint = fingerprint_of(layout);
    free(layout);
    return fingerprint;
}

void leat__headed_append(leat__buffer *buffer, const leat_type *type, uint32_t fingerprint,
                         const void *record)
{
    leat__buffer_u8(buffer, FORMAT_VERSION);
    leat__buffer_u32(buffer, fingerprint);
    leat__binary_append_fields(buffer, type, record);
}

/* ---------------------------------------------------------------- readers */

static bool learn(const leat__headed_reader *reader, known *layout, const char *text,
                  leat_error *error)
{
    layout->fingerprint = fingerprint_of(text);
    if (layout->fingerprint == reader->fingerprint)
        return true;
    layout->migration = leat__migration_new(text, reader->type, error);
    return layout->migration != NULL;
}

leat__headed_reader *leat__headed_reader_new(const leat_type *type, const char *const *former,
                                             const char *headless, leat_error *error)
{
    leat__headed_reader *reader = leat__calloc(1, sizeof *reader);
    bool sound = true;
    reader->type = type;
    reader->fingerprint = leat__type_fingerprint(type);
    for (; sound && former != NULL && *former != NULL; former++) {
        sound = reader->former_count < LEAT__FORMER_LAYOUTS_MAX;
        if (!sound)
            leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, type->name,
                       "more than %d former layouts", LEAT__FORMER_LAYOUTS_MAX);
        else
            sound = learn(reader, &reader->former[reader->former_count++], *former, error);
    }
    reader->takes_headless = headless != NULL;
    if (sound && headless != NULL)
        sound = learn(reader, &reader->headless, headless, error);
    if (sound)
        return reader;
    leat__headed_reader_free(reader);
    return NULL;
}

void leat__headed_reader_free(leat__headed_reader *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; i < reader->former_count; i++)
        leat__migration_free(reader->former[i].migration);
    leat__migration_free(reader->headless.migration);
    leat__free(reader);
}

/* ---------------------------------------------------------------- decoding */

static leat_status unknown_layout(const leat__headed_reader *reader, bool headless,
                                  uint32_t fingerprint, leat_error *error)
{
    char *layout = leat_type_layout(reader->type);
    if (headless)
        leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, reader->type->name,
                   "a binary record of format 1, which does not say in which layout it was "
                   "written; if its writer had this type as it is now, set .headless_layout to "
                   "'%.160s', else to the layout it had",
                   layout);
    else
        leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, reader->type->name,
                   "a binary record in another layout (fingerprint %08" PRIx32
                   ") than '%.160s' (%08" PRIx32 "); put what leat_type_layout gives in its writer "
                   "into .former_layouts",
                   fingerprint, layout, reader->fingerprint);
    free(layout);
    return LEAT_ETYPE;
}

static const known *find(const leat__headed_reader *reader, uint32_t fingerprint)
{
    for (size_t i = 0; i < reader->former_count; i++)
        if (reader->former[i].fingerprint == fingerprint)
            return &reader->former[i];
    return NULL;
}

leat_status leat__headed_decode(const leat__headed_reader *reader, leat__arena *arena,
                                leat_str bytes, leat__lend lend, void *record, leat_error *error)
{
    const leat_type *type = reader->type;
    uint8_t version = bytes.length == 0 ? 0 : (uint8_t)bytes.data[0];
    size_t head = version == HEADLESS ? 1 : HEAD_BYTES;
    const known *former = NULL;
    if (version > FORMAT_VERSION)
        return leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, type->name,
                          "binary record of format %u; this version reads up to %d", version,
                          FORMAT_VERSION);
    if (version == 0 || bytes.length < head)
        return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, type->name,
                          "not a binary record: %s",
                          bytes.length == 0 ? "it is empty"
                          : version == 0    ? "it begins with a zero"
                                            : "it ends in its head");
    if (version == HEADLESS) {
        if (!reader->takes_headless)
            return unknown_layout(reader, true, 0, error);
        former = &reader->headless;
    } else {
        leat__reader at = {.next = bytes.data + 1, .end = bytes.data + bytes.length};
        uint32_t fingerprint = leat__read_u32(&at);
        if (fingerprint != reader->fingerprint) {
            former = find(reader, fingerprint);
            if (former == NULL)
                return unknown_layout(reader, false, fingerprint, error);
        }
    }
    leat_str fields = {bytes.data + head, bytes.length - head};
    if (former != NULL && former->migration != NULL)
        return leat__migration_decode_fields(former->migration, arena, fields, lend, record, error);
    return leat__binary_decode_fields(arena, type, fields, lend, record, error);
}

/* ---------------------------------------------------------------- the public functions */

void leat_binary_encode(const leat_type *type, const void *record, leat_str *out)
{
    leat__buffer buffer = {0};
    if (out == NULL)
        return;
    if (type != NULL && record != NULL)
        leat__headed_append(&buffer, type, leat__type_fingerprint(type), record);
    *out = (leat_str){buffer.data, buffer.length};
}

struct leat_binary_decoder {
    leat__arena arena;
};

leat_binary_decoder *leat_binary_decoder_new(void)
{
    return leat__calloc(1, sizeof(leat_binary_decoder));
}

void leat_binary_decoder_free(leat_binary_decoder *decoder)
{
    if (decoder == NULL)
        return;
    leat__arena_free(&decoder->arena);
    leat__free(decoder);
}

leat_status leat_binary_decode(leat_binary_decoder *decoder, const leat_type *type, leat_str bytes,
                               void *record, leat_error *error)
{
    if (decoder == NULL || type == NULL || record == NULL ||
        (bytes.data == NULL && bytes.length != 0))
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "leat_binary_decode",
                          "%s is NULL; it is required",
                          decoder == NULL  ? "decoder"
                          : type == NULL   ? "type"
                          : record == NULL ? "record"
                                           : "bytes");
    leat__arena_reset(&decoder->arena);
    if (bytes.length != 0 && bytes.data[0] == HEADLESS) /* whoever calls knows the layout */
        return leat__binary_decode_into(&decoder->arena, type, bytes, LEAT__STRINGS_IN_INPUT,
                                        record, error);
    const leat__headed_reader reader = {.type = type, .fingerprint = leat__type_fingerprint(type)};
    return leat__headed_decode(&reader, &decoder->arena, bytes, LEAT__STRINGS_IN_INPUT, record,
                               error);
}
