/* record/size.c - about how large a record is, without copying or encoding it. */
#include "record/codec.h"

uint32_t leat__type_depth(const leat_type *type)
{
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        if (field->kind != LEAT_KIND_RECORD && field->kind != LEAT_KIND_LIST)
            continue;
        uint32_t depth = leat__type_depth(field->element);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* Takes what the members point to off *left; false: there was too little. */
static bool take_lent(const leat_type *type, const char *record, size_t *left)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        const char *at = record + field->offset_bytes;
        size_t lent = 0;
        leat_list list = {0};
        if (field->kind == LEAT_KIND_STR) {
            leat_str text;
            memcpy(&text, at, sizeof text);
            lent = text.length;
        } else if (field->kind == LEAT_KIND_LIST) {
            memcpy(&list, at, sizeof list);
            lent = list.count * field->element->size_bytes;
        } else if (field->kind == LEAT_KIND_RECORD && !take_lent(field->element, at, left)) {
            return false;
        }
        if (lent > *left)
            return false;
        *left -= lent;
        if (list.count == 0 || leat__type_is_flat(field->element))
            continue;
        const char *items = list.items;
        for (size_t item = 0; item < list.count; item++)
            if (!take_lent(field->element, items + item * field->element->size_bytes, left))
                return false;
    }
    return true;
}

bool leat__record_is_over(const leat_type *type, const void *record, size_t bytes)
{
    size_t left = bytes - type->size_bytes;
    return type->size_bytes > bytes || !take_lent(type, record, &left);
}
