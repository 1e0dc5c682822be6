#include "record/codec.h"

/* The fixed part is copied already; what it points to is not. */
static void own_lent_members(leat__arena *arena, const leat_type *type, char *record)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        char *at = record + field->offset_bytes;
        if (field->kind == LEAT_KIND_STR) {
            leat_str text;
            memcpy(&text, at, sizeof text);
            text = leat__arena_str(arena, text);
            memcpy(at, &text, sizeof text);
        } else if (field->kind == LEAT_KIND_RECORD) {
            own_lent_members(arena, field->element, at);
        } else if (field->kind == LEAT_KIND_LIST) {
            leat_list list;
            memcpy(&list, at, sizeof list);
            size_t item_bytes = field->element->size_bytes;
            char *items = leat__arena_copy(arena, list.items, list.count * item_bytes);
            if (!leat__type_is_flat(field->element))
                for (size_t item = 0; item < list.count; item++)
                    own_lent_members(arena, field->element, items + item * item_bytes);
            list.items = list.count != 0 ? items : NULL;
            memcpy(at, &list, sizeof list);
        }
    }
}

void leat__record_copy(leat__arena *arena, const leat_type *type, const void *source, void *copy)
{
    memcpy(copy, source, type->size_bytes);
    own_lent_members(arena, type, copy);
}
