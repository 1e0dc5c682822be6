/* record/json_decode.c - JSON text into a record: one pass over the tokens of json_scan.h.
 *
 *   { "user" : "ann" , "item" : 7 , "extra" : { ... } }
 *       │        │       │      │       └─ unknown: checked and skipped
 *       │        │       │      └─ store_number ─► record + offset
 *       │        └─ string: lent from the text
 *       └─ find_field: the field after the last one first, as events keep their order
 *
 * A member that is described twice in one object is refused: of two values none is right. */
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "record/codec.h"
#include "record/json_scan.h"
#include "record/kinds.h"

typedef struct path { /* where we are, for messages: "meta.tags[3]" */
    const struct path *up;
    const char *name; /* NULL: an item of a list */
    size_t index;
} path;

typedef struct decoding {
    leat__json_doc *doc;
    leat__arena *arena;
    const char *input; /* where the text lies that strings are lent from */
    leat__lend lend;
    size_t list_bytes_left;
    const char *type_name;
    leat_error *error;
    leat_status status; /* LEAT_OK: a BAD token is the document's problem */
} decoding;

/* ---------------------------------------------------------------- messages */

static void append_path(leat__buffer *buffer, const path *at)
{
    if (at == NULL)
        return;
    append_path(buffer, at->up);
    if (at->name == NULL)
        leat__buffer_format(buffer, "[%zu]", at->index);
    else
        leat__buffer_format(buffer, "%s%s", at->up != NULL ? "." : "", at->name);
}

static uint32_t refuse(decoding *d, const path *at, const char *format, ...) LEAT_PRINTF(3, 4);
static uint32_t refuse(decoding *d, const path *at, const char *format, ...)
{
    d->status = LEAT_EDATA;
    if (d->error == NULL)
        return LEAT__JSON_BAD; /* probing: do not pay for a message */
    char text[sizeof d->error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    leat__buffer place = {0};
    if (at != NULL)
        leat__buffer_text(&place, "field '");
    append_path(&place, at);
    if (at != NULL)
        leat__buffer_text(&place, "': ");
    leat__buffer_u8(&place, '\0');
    leat__fail(d->error, LEAT_EDATA, LEAT_RECOVERY_FATAL, d->type_name, "%s%s", place.data, text);
    leat__buffer_free(&place);
    return LEAT__JSON_BAD;
}

static uint32_t refuse_type(decoding *d, const path *at, const char *expected, uint32_t token)
{
    uint32_t next = leat__json_skip(d->doc, token, NULL);
    if (next == LEAT__JSON_BAD)
        return next; /* it is not even JSON: that is the better message */
    const char *found = "a number";
    switch (leat__json_at(d->doc, token)) {
    case '{':
        found = "an object";
        break;
    case '[':
        found = "a list";
        break;
    case '"':
        found = "a string";
        break;
    case 't':
        found = "true";
        break;
    case 'f':
        found = "false";
        break;
    case 'n':
        found = "null";
        break;
    default:
        break;
    }
    return refuse(d, at, "expected %s, found %s", expected, found);
}

static uint32_t refuse_number(decoding *d, const path *at, const leat_field *field, leat_str text,
                              leat__json_number why, uint32_t token)
{
    int shown = text.length < 40 ? (int)text.length : 40;
    if (why == LEAT__NUMBER_MALFORMED)
        return leat__json_problem(d->doc, token, "bad number");
    if (why == LEAT__NUMBER_FRACTION)
        return refuse(d, at, "expected an integer, found %.*s", shown, text.data);
    return refuse(d, at, "%.*s is out of the range of %s", shown, text.data,
                  leat__kinds[field->kind].name);
}

/* ---------------------------------------------------------------- scalars */

static bool starts_number(char letter)
{
    return (letter >= '0' && letter <= '9') || letter == '-';
}

static uint32_t decode_integer(decoding *d, const leat_field *field, char *at, uint32_t token,
                               const path *where)
{
    if (!starts_number(leat__json_at(d->doc, token)))
        return refuse_type(d, where, "an integer", token);
    leat_str text = leat__json_span(d->doc, token);
    bool negative;
    uint64_t magnitude;
    leat__json_number result = leat__json_integer(text, &negative, &magnitude);
    if (result != LEAT__NUMBER_OK)
        return refuse_number(d, where, field, text, result, token);
    bool stored;
    if (!negative || magnitude == 0)
        stored = leat__store_u64(at, field->kind, magnitude);
    else
        stored = magnitude <= (uint64_t)INT64_MAX + 1 &&
                 leat__store_i64(at, field->kind, (int64_t)(0 - magnitude));
    return stored ? token + 1 : refuse_number(d, where, field, text, LEAT__NUMBER_RANGE, token);
}

static uint32_t decode_floating(decoding *d, const leat_field *field, char *at, uint32_t token,
                                const path *where)
{
    if (!starts_number(leat__json_at(d->doc, token)))
        return refuse_type(d, where, "a number", token);
    leat_str text = leat__json_span(d->doc, token);
    double value = 0;
    float single = 0;
    bool is_single = field->kind == LEAT_KIND_F32;
    leat__json_number result =
        is_single ? leat__json_f32(text, &single) : leat__json_f64(text, &value);
    if (result != LEAT__NUMBER_OK)
        return refuse_number(d, where, field, text, result, token);
    if (is_single)
        memcpy(at, &single, sizeof single);
    else
        memcpy(at, &value, sizeof value);
    return token + 1;
}

static uint32_t decode_bool(decoding *d, char *at, uint32_t token, const path *where)
{
    bool value = leat__json_at(d->doc, token) == 't';
    if (!leat__json_is(d->doc, token, value ? LEAT_STR("true") : LEAT_STR("false")))
        return refuse_type(d, where, "true or false", token);
    memcpy(at, &value, sizeof value);
    return token + 1;
}

/* A string, or a number as its text; lent from the document's text or the arena. */
static bool take_text(decoding *d, uint32_t token, const path *where, leat_str *out)
{
    char first = leat__json_at(d->doc, token);
    if (first == '"') {
        if (leat__json_string(d->doc, token, d->arena, out))
            return true;
        leat__json_problem(d->doc, token, "a string holds an invalid escape");
        return false;
    }
    if (!starts_number(first)) {
        refuse_type(d, where, "a string", token);
        return false;
    }
    *out = leat__json_span(d->doc, token);
    if (leat__json_number_sound(*out))
        return true;
    leat__json_problem(d->doc, token, "bad number");
    return false;
}

static uint32_t decode_str(decoding *d, char *at, uint32_t token, const path *where)
{
    leat_str text;
    if (!take_text(d, token, where, &text))
        return LEAT__JSON_BAD;
    uintptr_t start = (uintptr_t)d->doc->text, position = (uintptr_t)text.data;
    bool in_document = position - start < d->doc->length; /* else unescaped in the arena */
    if (in_document && d->lend == LEAT__STRINGS_IN_ARENA)
        text = leat__arena_str(d->arena, text);
    else if (in_document)
        text.data = d->input + (position - start);
    memcpy(at, &text, sizeof text);
    return token + 1;
}

static uint32_t decode_text(decoding *d, const leat_field *field, char *at, uint32_t token,
                            const path *where)
{
    leat_str text;
    if (!take_text(d, token, where, &text))
        return LEAT__JSON_BAD;
    if (leat__store_text(at, field->size_bytes, text))
        return token + 1;
    if (text.length > field->size_bytes)
        return refuse(d, where, "a string of %zu bytes does not fit in %u", text.length,
                      field->size_bytes);
    return refuse(d, where, "a string with \\u0000 does not fit in a char array");
}

/* ---------------------------------------------------------------- objects and lists */

static uint32_t decode_value(decoding *d, const leat_field *field, char *at, uint32_t token,
                             const path *where);

static bool is_named(const leat_field *field, leat_str name)
{
    return field->name[0] == name.data[0] && /* spares most calls; the text is padded */
           strncmp(field->name, name.data, name.length) == 0 && field->name[name.length] == '\0';
}

/* NULL if the type has no such field.  *expected is where the search starts and then the field
 * after the found one. */
static const leat_field *find_field(const leat_type *type, leat_str name, uint32_t *expected)
{
    uint32_t i = *expected;
    for (uint32_t tried = 0; tried < type->field_count; tried++, i++) {
        if (i >= type->field_count)
            i = 0;
        if (is_named(&type->fields[i], name)) {
            *expected = i + 1;
            return &type->fields[i];
        }
    }
    return NULL;
}

static uint32_t refuse_missing(decoding *d, const leat_type *type, uint64_t seen, const path *up)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        bool is_required = (field->flags & LEAT_FIELD_OPTIONAL) == 0;
        path where = {.up = up, .name = field->name};
        if (is_required && (seen >> i & 1) == 0)
            return refuse(d, &where, "is missing");
    }
    return 0;
}

/* `"name": value`.  Returns the token after the value. */
static uint32_t decode_member(decoding *d, const leat_type *type, char *record, uint32_t token,
                              uint32_t *expected, uint64_t *seen, const path *up)
{
    leat_str name;
    if (leat__json_at(d->doc, token) != '"')
        return leat__json_problem(d->doc, token, "expected a member name");
    if (!leat__json_string(d->doc, token, d->arena, &name))
        return leat__json_problem(d->doc, token, "a string holds an invalid escape");
    if (leat__json_at(d->doc, token + 1) != ':')
        return leat__json_problem(d->doc, token + 1, "expected ':'");
    token += 2;
    const leat_field *field = find_field(type, name, expected);
    if (field == NULL)
        return leat__json_skip(d->doc, token, NULL);
    path where = {.up = up, .name = field->name};
    uint64_t bit = UINT64_C(1) << (field - type->fields);
    if ((*seen & bit) != 0)
        return refuse(d, &where, "appears twice");
    *seen |= bit;
    bool is_optional = (field->flags & LEAT_FIELD_OPTIONAL) != 0;
    if (is_optional && leat__json_is(d->doc, token, LEAT_STR("null")))
        return token + 1;
    return decode_value(d, field, record + field->offset_bytes, token, &where);
}

static uint32_t decode_object(decoding *d, const leat_type *type, char *record, uint32_t token,
                              const path *where)
{
    if (leat__json_at(d->doc, token) != '{')
        return refuse_type(d, where, "an object", token);
    uint32_t expected = 0;
    uint64_t seen = 0, all = UINT64_MAX >> (64 - type->field_count);
    bool is_empty = leat__json_at(d->doc, ++token) == '}';
    while (!is_empty) {
        token = decode_member(d, type, record, token, &expected, &seen, where);
        if (token == LEAT__JSON_BAD)
            return token;
        char here = leat__json_at(d->doc, token);
        if (here == '}')
            break;
        if (here != ',')
            return leat__json_problem(d->doc, token, "expected ',' or '}'");
        token++;
    }
    if (seen != all && refuse_missing(d, type, seen, where) == LEAT__JSON_BAD)
        return LEAT__JSON_BAD;
    return token + 1;
}

static uint32_t decode_any(decoding *d, const leat_type *type, char *at, uint32_t token,
                           const path *where)
{
    if (leat__type_is_scalar(type))
        return decode_value(d, &type->fields[0], at, token, where);
    return decode_object(d, type, at, token, where);
}

/* Room for one more item; the old array is left to the arena. */
static bool grow_list(decoding *d, const leat_type *element, leat_list *list, size_t *capacity)
{
    size_t wanted = *capacity != 0 ? *capacity * 2 : 4, item_bytes = element->size_bytes;
    if (list->count >= LEAT__LIST_ITEMS_MAX || wanted * item_bytes > d->list_bytes_left)
        return false;
    d->list_bytes_left -= wanted * item_bytes;
    char *items = leat__arena_alloc(d->arena, wanted * item_bytes);
    if (list->count != 0)
        memcpy(items, list->items, list->count * item_bytes);
    memset(items + list->count * item_bytes, 0, (wanted - list->count) * item_bytes);
    list->items = items;
    *capacity = wanted;
    return true;
}

static uint32_t decode_list(decoding *d, const leat_type *element, char *at, uint32_t token,
                            const path *up)
{
    if (leat__json_at(d->doc, token) != '[')
        return refuse_type(d, up, "a list", token);
    leat_list list = {0};
    size_t capacity = 0;
    bool is_empty = leat__json_at(d->doc, ++token) == ']';
    while (!is_empty) {
        path where = {.up = up, .index = list.count};
        if (list.count == capacity && !grow_list(d, element, &list, &capacity))
            return refuse(d, up, "the list is too long");
        char *item = (char *)list.items + list.count * element->size_bytes;
        token = decode_any(d, element, item, token, &where);
        if (token == LEAT__JSON_BAD)
            return token;
        list.count++;
        char here = leat__json_at(d->doc, token);
        if (here == ']')
            break;
        if (here != ',')
            return leat__json_problem(d->doc, token, "expected ',' or ']'");
        token++;
    }
    memcpy(at, &list, sizeof list);
    return token + 1;
}

static uint32_t decode_value(decoding *d, const leat_field *field, char *at, uint32_t token,
                             const path *where)
{
    switch (field->kind) {
    case LEAT_KIND_BOOL:
        return decode_bool(d, at, token, where);
    case LEAT_KIND_I8:
    case LEAT_KIND_I16:
    case LEAT_KIND_I32:
    case LEAT_KIND_I64:
    case LEAT_KIND_U8:
    case LEAT_KIND_U16:
    case LEAT_KIND_U32:
    case LEAT_KIND_U64:
        return decode_integer(d, field, at, token, where);
    case LEAT_KIND_F32:
    case LEAT_KIND_F64:
        return decode_floating(d, field, at, token, where);
    case LEAT_KIND_TEXT:
        return decode_text(d, field, at, token, where);
    case LEAT_KIND_STR:
        return decode_str(d, at, token, where);
    case LEAT_KIND_LIST:
        return decode_list(d, field->element, at, token, where);
    case LEAT_KIND_RECORD:
        return decode_object(d, field->element, at, token, where);
    case LEAT_KIND_NONE:
        break;
    }
    return refuse(d, where, "has a type that leat cannot describe");
}

/* ---------------------------------------------------------------- the decoder */

struct leat_json_decoder {
    leat__json_doc doc;
    leat__arena arena;
};

leat_json_decoder *leat_json_decoder_new(void)
{
    return leat__calloc(1, sizeof(leat_json_decoder));
}

void leat_json_decoder_free(leat_json_decoder *decoder)
{
    if (decoder == NULL)
        return;
    leat__json_unload(&decoder->doc);
    leat__arena_free(&decoder->arena);
    leat__free(decoder);
}

static leat_status decode_loaded(decoding *d, const leat_type *type, void *record)
{
    memset(record, 0, type->size_bytes);
    uint32_t token = decode_any(d, type, record, 0, NULL);
    if (token != LEAT__JSON_BAD && token < d->doc->token_count)
        token = leat__json_problem(d->doc, token, "something follows the value");
    if (token != LEAT__JSON_BAD)
        return LEAT_OK;
    return d->status != LEAT_OK ? d->status : leat__json_report(d->doc, type->name, d->error);
}

leat_status leat__json_decode_into(leat_json_decoder *decoder, leat__arena *arena,
                                   const leat_type *type, leat_str text, leat__lend lend,
                                   void *record, leat_error *error)
{
    leat__json_doc *doc = &decoder->doc;
    if (!leat__json_load(doc, text))
        return leat__json_report(doc, type->name, error);
    decoding d = {.doc = doc,
                  .arena = arena,
                  .input = text.data,
                  .lend = lend,
                  .list_bytes_left = LEAT__DECODED_BYTES_MAX,
                  .type_name = type->name,
                  .error = error};
    return decode_loaded(&d, type, record);
}

leat_status leat_json_decode(leat_json_decoder *decoder, const leat_type *type, leat_str text,
                             void *record, leat_error *error)
{
    if (decoder == NULL || type == NULL || record == NULL ||
        (text.data == NULL && text.length != 0))
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "leat_json_decode",
                          "%s is NULL; it is required",
                          decoder == NULL  ? "decoder"
                          : type == NULL   ? "type"
                          : record == NULL ? "record"
                                           : "text");
    leat__json_doc *doc = &decoder->doc;
    leat__arena_reset(&decoder->arena);
    if (!leat__json_load(doc, text))
        return leat__json_report(doc, type->name, error);
    decoding d = {.doc = doc,
                  .arena = &decoder->arena,
                  .input = doc->text,
                  .lend = LEAT__STRINGS_IN_INPUT,
                  .list_bytes_left = LEAT__DECODED_BYTES_MAX,
                  .type_name = type->name,
                  .error = error};
    return decode_loaded(&d, type, record);
}
