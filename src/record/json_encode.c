#include "base/mem.h"
#include "record/codec.h"
#include "record/kinds.h"

static void append_value(leat__buffer *buffer, const leat_field *field, const char *at);

static void append_object(leat__buffer *buffer, const leat_type *type, const char *record)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        leat__buffer_u8(buffer, i == 0 ? '{' : ',');
        leat__buffer_json_str(buffer, leat_str_from(field->name));
        leat__buffer_u8(buffer, ':');
        append_value(buffer, field, record + field->offset_bytes);
    }
    leat__buffer_u8(buffer, '}');
}

static void append_any(leat__buffer *buffer, const leat_type *type, const char *record)
{
    if (leat__type_is_scalar(type))
        append_value(buffer, &type->fields[0], record + type->fields[0].offset_bytes);
    else
        append_object(buffer, type, record);
}

static void append_list(leat__buffer *buffer, const leat_type *element, const char *at)
{
    leat_list list;
    memcpy(&list, at, sizeof list);
    leat__buffer_u8(buffer, '[');
    const char *items = list.items;
    for (size_t i = 0; i < list.count; i++) {
        if (i != 0)
            leat__buffer_u8(buffer, ',');
        append_any(buffer, element, items + i * element->size_bytes);
    }
    leat__buffer_u8(buffer, ']');
}

/* An absent string is null where the field may be null, else "". */
static void append_str(leat__buffer *buffer, const leat_field *field, const char *at)
{
    leat_str text;
    memcpy(&text, at, sizeof text);
    if (text.data == NULL && (field->flags & LEAT_FIELD_OPTIONAL) != 0)
        leat__buffer_bytes(buffer, "null", 4);
    else
        leat__buffer_json_str(buffer, text);
}

static void append_value(leat__buffer *buffer, const leat_field *field, const char *at)
{
    float single;
    double number;
    switch (field->kind) {
    case LEAT_KIND_BOOL:
        leat__buffer_text(buffer, *at != 0 ? "true" : "false");
        break;
    case LEAT_KIND_I8:
    case LEAT_KIND_I16:
    case LEAT_KIND_I32:
    case LEAT_KIND_I64:
        leat__buffer_i64_text(buffer, (int64_t)leat__load_integer(at, field->kind));
        break;
    case LEAT_KIND_U8:
    case LEAT_KIND_U16:
    case LEAT_KIND_U32:
    case LEAT_KIND_U64:
        leat__buffer_u64_text(buffer, leat__load_integer(at, field->kind));
        break;
    case LEAT_KIND_F32:
        memcpy(&single, at, sizeof single);
        leat__buffer_f32_text(buffer, single);
        break;
    case LEAT_KIND_F64:
        memcpy(&number, at, sizeof number);
        leat__buffer_f64_text(buffer, number);
        break;
    case LEAT_KIND_TEXT:
        leat__buffer_json_str(buffer, leat__load_text(at, field->size_bytes));
        break;
    case LEAT_KIND_STR:
        append_str(buffer, field, at);
        break;
    case LEAT_KIND_LIST:
        append_list(buffer, field->element, at);
        break;
    case LEAT_KIND_RECORD:
        append_object(buffer, field->element, at);
        break;
    case LEAT_KIND_NONE:
        leat__buffer_text(buffer, "null");
        break;
    }
}

void leat__json_append(leat__buffer *buffer, const leat_type *type, const void *record)
{
    append_any(buffer, type, record);
}

char *leat_json_encode(const leat_type *type, const void *record)
{
    leat__buffer buffer = {0};
    if (type == NULL || record == NULL)
        return NULL;
    leat__json_append(&buffer, type, record);
    leat__buffer_u8(&buffer, '\0');
    return buffer.data;
}
