/* record/types.c - what a record type is: sound or not, its fields by name, its text form, and
 * types that grow at run time.
 *
 *   leat_type ─► fields ─► [ name kind offset size element ]─► leat_type of the items / sub-record
 *                          [ ...                           ]
 *
 * A run-time type lays its fields out in the order they are added, as a C compiler would:
 * offset = size so far, rounded up to the field's alignment; size = rounded up to the widest. */
#include "base/buffer.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "record/codec.h"
#include "record/kinds.h"
#include <stdlib.h>
#include <string.h>

#define SCALAR(suffix, c_type, kind_value)                   \
    static const leat_field suffix##_field[] = {             \
        {.kind = kind_value, .size_bytes = sizeof(c_type)}}; \
    const leat_type leat_type_##suffix = {                   \
        .name = #suffix, .size_bytes = sizeof(c_type), .field_count = 1, .fields = suffix##_field}

SCALAR(i64, int64_t, LEAT_KIND_I64);
SCALAR(u64, uint64_t, LEAT_KIND_U64);
SCALAR(u32, uint32_t, LEAT_KIND_U32);
SCALAR(f64, double, LEAT_KIND_F64);
SCALAR(bool, bool, LEAT_KIND_BOOL);
SCALAR(str, leat_str, LEAT_KIND_STR);

/* ---------------------------------------------------------------- questions */

bool leat__type_is_flat(const leat_type *type)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        if (field->kind == LEAT_KIND_STR || field->kind == LEAT_KIND_LIST)
            return false;
        if (field->kind == LEAT_KIND_RECORD && !leat__type_is_flat(field->element))
            return false;
    }
    return true;
}

static uint32_t field_align(const leat_field *field)
{
    if (field->kind == LEAT_KIND_RECORD)
        return leat__type_align(field->element);
    return leat__kinds[field->kind].align;
}

uint32_t leat__type_align(const leat_type *type)
{
    uint32_t align = 1;
    for (uint32_t i = 0; i < type->field_count; i++) {
        uint32_t wanted = field_align(&type->fields[i]);
        if (wanted > align)
            align = wanted;
    }
    return align;
}

const leat_field *leat_type_field(const leat_type *type, const char *name)
{
    for (uint32_t i = 0; type != NULL && name != NULL && i < type->field_count; i++)
        if (type->fields[i].name != NULL && strcmp(type->fields[i].name, name) == 0)
            return &type->fields[i];
    return NULL;
}

/* ---------------------------------------------------------------- nearest name */

const char *leat_type_nearest(const leat_type *type, const char *name)
{
    if (type == NULL)
        return NULL;
    const char **names = leat__calloc(type->field_count + (size_t)1, sizeof(*names));
    for (uint32_t i = 0; i < type->field_count; i++)
        names[i] = type->fields[i].name;
    const char *nearest = leat__nearest(name, names, type->field_count);
    leat__free(names);
    return nearest;
}

/* ---------------------------------------------------------------- soundness */

/* Names appear in layout texts and JSON, so they hold nothing that has a meaning there. */
static bool name_is_sound(const char *name)
{
    size_t length = name != NULL ? strnlen(name, LEAT__NAME_MAX + 1) : 0;
    if (length == 0 || length > LEAT__NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] <= ' ' || strchr("{}[](),:\"\\", name[i]) != NULL)
            return false;
    return leat__utf8_valid((leat_str){name, length});
}

/* A type inside a type inside ... : the chain of names is what a message shows. */
static const char *problem_of_type(const leat_type *type, unsigned depth, const char **field_name);

static const char *problem_of_element(const leat_field *field, unsigned depth)
{
    bool has_element = field->kind == LEAT_KIND_LIST || field->kind == LEAT_KIND_RECORD;
    if (!has_element)
        return NULL;
    const char *unused;
    if (field->element == NULL)
        return field->kind == LEAT_KIND_LIST ? "is a list without element type: use LEAT_LIST()"
                                             : "is a record without type: use LEAT_SUB()";
    if (problem_of_type(field->element, depth + 1, &unused) != NULL)
        return "has an element type that is not sound";
    if (field->kind == LEAT_KIND_RECORD && leat__type_is_scalar(field->element))
        return "is a record described by a scalar type";
    return NULL;
}

static const char *problem_of_field(const leat_type *type, const leat_field *field, unsigned depth)
{
    if (field->kind == LEAT_KIND_NONE)
        return "has a C type that leat cannot describe (a pointer?); use leat_str or leat_list";
    if (!leat__kind_known(field->kind))
        return "has an unknown kind";
    const char *problem = problem_of_element(field, depth);
    if (problem != NULL)
        return problem;
    uint32_t size_bytes = leat__kinds[field->kind].size_bytes;
    if (field->kind == LEAT_KIND_RECORD)
        size_bytes = field->element->size_bytes;
    if (size_bytes != 0 && field->size_bytes != size_bytes)
        return "has a size that its kind does not have";
    if (field->size_bytes == 0)
        return "has no size";
    if (field->offset_bytes % field_align(field) != 0)
        return "is not aligned";
    if (field->offset_bytes > type->size_bytes ||
        type->size_bytes - field->offset_bytes < field->size_bytes)
        return "reaches past the end of the struct";
    return NULL;
}

static bool overlaps(const leat_field *a, const leat_field *b)
{
    return a->offset_bytes < b->offset_bytes + b->size_bytes &&
           b->offset_bytes < a->offset_bytes + a->size_bytes;
}

static const char *problem_among_fields(const leat_type *type, uint32_t i)
{
    const leat_field *field = &type->fields[i];
    if (!name_is_sound(field->name))
        return "has a bad name: 1 to 63 bytes without spaces, quotes or any of {}[](),:";
    for (uint32_t j = 0; j < i; j++) {
        if (strcmp(field->name, type->fields[j].name) == 0)
            return "is described twice";
        if (overlaps(field, &type->fields[j]))
            return "overlaps another field";
    }
    return NULL;
}

/* The field that begins next at or after the offset; NULL if none does. */
static const leat_field *next_by_offset(const leat_type *type, uint32_t offset_bytes)
{
    const leat_field *next = NULL;
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        if (field->offset_bytes >= offset_bytes &&
            (next == NULL || field->offset_bytes < next->offset_bytes))
            next = field;
    }
    return next;
}

/* A compiler pads by less than an alignment, so a larger gap is a member without description. */
static const char *problem_of_gaps(const leat_type *type, const char **field_name)
{
    uint32_t end = 0;
    const leat_field *next;
    *field_name = NULL;
    while ((next = next_by_offset(type, end)) != NULL) {
        *field_name = next->name;
        if (next->offset_bytes - end >= field_align(next))
            return "has members before it that are not described";
        end = next->offset_bytes + next->size_bytes;
    }
    if (type->size_bytes - end >= leat__type_align(type))
        return "has members after it that are not described";
    return NULL;
}

static const char *problem_of_type(const leat_type *type, unsigned depth, const char **field_name)
{
    *field_name = NULL;
    if (type == NULL)
        return "there is no type";
    if (depth > LEAT__NESTING_MAX)
        return "is nested too deeply (in itself?)";
    if (!name_is_sound(type->name))
        return "has a bad name";
    if (type->field_count == 0 || type->fields == NULL)
        return "has no fields";
    if (type->field_count > LEAT__FIELDS_MAX)
        return "has more than 64 fields";
    for (uint32_t i = 0; i < type->field_count; i++) {
        bool is_scalar = leat__type_is_scalar(type);
        *field_name = is_scalar ? "(value)" : type->fields[i].name;
        const char *problem = is_scalar ? NULL : problem_among_fields(type, i);
        if (problem == NULL)
            problem = problem_of_field(type, &type->fields[i], depth);
        if (problem != NULL)
            return problem;
    }
    return problem_of_gaps(type, field_name);
}

leat_status leat_type_check(const leat_type *type, leat_error *error)
{
    const char *field_name, *problem = problem_of_type(type, 0, &field_name);
    if (problem == NULL)
        return LEAT_OK;
    const char *type_name = type != NULL && type->name != NULL ? type->name : "(unnamed)";
    if (field_name != NULL)
        return leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, type_name,
                          "record '%s': field '%s' %s", type_name, field_name, problem);
    return leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, type_name, "record '%s' %s",
                      type_name, problem);
}

/* ---------------------------------------------------------------- layout text */

static void append_layout(leat__buffer *buffer, const leat_type *type);

static void append_field_layout(leat__buffer *buffer, const leat_field *field)
{
    if (field->kind == LEAT_KIND_TEXT) {
        leat__buffer_format(buffer, "text(%u)", field->size_bytes);
    } else if (field->kind == LEAT_KIND_LIST) {
        leat__buffer_u8(buffer, '[');
        append_layout(buffer, field->element);
        leat__buffer_u8(buffer, ']');
    } else if (field->kind == LEAT_KIND_RECORD) {
        append_layout(buffer, field->element);
    } else {
        leat__buffer_text(buffer, leat__kinds[field->kind].name);
    }
}

static void append_layout(leat__buffer *buffer, const leat_type *type)
{
    if (leat__type_is_scalar(type)) {
        append_field_layout(buffer, &type->fields[0]);
        return;
    }
    leat__buffer_text(buffer, type->name);
    for (uint32_t i = 0; i < type->field_count; i++) {
        leat__buffer_format(buffer, "%c%s:", i == 0 ? '{' : ',', type->fields[i].name);
        append_field_layout(buffer, &type->fields[i]);
    }
    leat__buffer_u8(buffer, '}');
}

char *leat_type_layout(const leat_type *type)
{
    leat__buffer buffer = {0};
    if (type == NULL)
        return NULL;
    append_layout(&buffer, type);
    leat__buffer_u8(&buffer, '\0');
    return buffer.data;
}

/* ---------------------------------------------------------------- types at run time */

typedef struct grown_type {
    leat_type type; /* first: a leat_type * of ours is a grown_type * */
    leat_field fields[LEAT__FIELDS_MAX];
} grown_type;

leat_type *leat_type_new(const char *name)
{
    grown_type *grown = leat__calloc(1, sizeof *grown);
    grown->type.name = leat__strdup(name != NULL ? name : "");
    grown->type.fields = grown->fields;
    return &grown->type;
}

static int add_field(leat_type *type, leat_field field)
{
    grown_type *grown = (grown_type *)type;
    if (type == NULL || type->field_count == LEAT__FIELDS_MAX)
        return -1;
    if (!name_is_sound(field.name) || leat_type_field(type, field.name) != NULL)
        return -1;
    uint32_t align = field_align(&field), end;
    const leat_field *last = type->field_count != 0 ? &type->fields[type->field_count - 1] : NULL;
    uint32_t used_bytes = last != NULL ? last->offset_bytes + last->size_bytes : 0;
    field.offset_bytes = (used_bytes + align - 1) & ~(align - 1);
    if (__builtin_add_overflow(field.offset_bytes, field.size_bytes, &end))
        return -1;
    if (end > INT32_MAX || problem_of_element(&field, 0) != NULL)
        return -1;
    field.name = leat__strdup(field.name);
    grown->fields[type->field_count] = field;
    type->field_count++;
    uint32_t type_align = leat__type_align(type);
    type->size_bytes = (end + type_align - 1) & ~(type_align - 1);
    return (int)type->field_count - 1;
}

int leat_type_add(leat_type *type, const char *name, leat_kind kind, const leat_type *element,
                  uint32_t flags)
{
    if (!leat__kind_known(kind) || kind == LEAT_KIND_TEXT)
        return -1;
    bool has_element = kind == LEAT_KIND_LIST || kind == LEAT_KIND_RECORD;
    if (has_element != (element != NULL) || element == type)
        return -1;
    uint32_t size_bytes =
        kind == LEAT_KIND_RECORD ? element->size_bytes : leat__kinds[kind].size_bytes;
    return add_field(type, (leat_field){.name = name,
                                        .kind = kind,
                                        .size_bytes = size_bytes,
                                        .flags = flags,
                                        .element = element});
}

int leat_type_add_text(leat_type *type, const char *name, uint32_t size_bytes, uint32_t flags)
{
    if (size_bytes == 0 || size_bytes > LEAT__RECORD_BYTES_MAX)
        return -1;
    return add_field(
        type, (leat_field){
                  .name = name, .kind = LEAT_KIND_TEXT, .size_bytes = size_bytes, .flags = flags});
}

void leat_type_free(leat_type *type)
{
    if (type == NULL)
        return;
    grown_type *grown = (grown_type *)type;
    for (uint32_t i = 0; i < type->field_count; i++)
        free((void *)(uintptr_t)grown->fields[i].name);
    free((void *)(uintptr_t)type->name);
    leat__free(grown);
}
