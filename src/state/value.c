/* state/value.c - deep values: structs with strings and lists, owned as one block each.
 *
 *     struct {name, tags}     block: [ tags.items | "ann" | "red" | "blue" ]
 *              │     └──────────────────^            ^
 *              └─────────────────────────────────────┘
 *
 * Two passes over the type: one measures (and sees whether everything lies in the block already),
 * one copies. */
#include "base/mem.h"
#include "state/internal.h"

typedef struct copier {
    char *next; /* copying: free space; NULL: measuring */
    size_t needed_bytes;
    const char *low, *high; /* the present block */
    bool inside;            /* all pointers so far lie in it */
} copier;

static const char empty[1] = ""; /* where strings of length 0 point: empty is not absent */

static void *take(copier *walk, const void *bytes, size_t size_bytes)
{
    size_t rounded = (size_bytes + 15u) & ~(size_t)15u;
    if (walk->next == NULL) {
        uintptr_t at = (uintptr_t)bytes;
        if (at < (uintptr_t)walk->low || at + size_bytes > (uintptr_t)walk->high)
            walk->inside = false;
        walk->needed_bytes += rounded;
        return NULL;
    }
    char *copy = walk->next;
    memcpy(copy, bytes, size_bytes);
    walk->next += rounded;
    return copy;
}

static void walk_record(copier *walk, const leat_type *type, char *record);

static void walk_str(copier *walk, leat_str *text)
{
    if (text->length == 0) {
        if (text->data == NULL || text->data == empty)
            return;
        walk->inside = false;
        if (walk->next != NULL)
            text->data = empty;
        return;
    }
    const char *copy = take(walk, text->data, text->length);
    if (copy != NULL)
        text->data = copy;
}

static void walk_list(copier *walk, const leat_type *element, leat_list *list)
{
    if (list->count == 0) {
        if (list->items != NULL)
            walk->inside = false;
        if (walk->next != NULL)
            list->items = NULL;
        return;
    }
    char *copy = take(walk, list->items, list->count * element->size_bytes);
    if (copy != NULL)
        list->items = copy;
    if (leat__type_is_flat(element))
        return;
    for (size_t i = 0; i < list->count; i++)
        walk_record(walk, element, (char *)list->items + i * element->size_bytes);
}

/* Measuring only reads: what a value points to before the commit may be constant. */
static void walk_record(copier *walk, const leat_type *type, char *record)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        void *at = record + field->offset_bytes;
        if (field->kind == LEAT_KIND_STR)
            walk_str(walk, at);
        if (field->kind == LEAT_KIND_LIST)
            walk_list(walk, field->element, at);
        if (field->kind == LEAT_KIND_RECORD)
            walk_record(walk, field->element, at);
    }
}

static leat__block *copy_all(const leat_type *type, void *value, size_t size_bytes)
{
    leat__block *block = size_bytes == 0 ? NULL : leat__alloc(sizeof *block + size_bytes);
    if (block != NULL)
        block->size_bytes = size_bytes;
    char nothing;
    copier copying = {.next = block != NULL ? block->bytes : &nothing};
    walk_record(&copying, type, value);
    return block;
}

leat__block *leat__value_copy(const leat_type *type, void *value)
{
    copier measuring = {0};
    walk_record(&measuring, type, value);
    return copy_all(type, value, measuring.needed_bytes);
}

leat__block *leat__value_own(const leat_type *type, void *value, leat__block *block)
{
    copier measuring = {.inside = true};
    if (block != NULL) {
        measuring.low = block->bytes;
        measuring.high = block->bytes + block->size_bytes;
    }
    walk_record(&measuring, type, value);
    /* A block that is mostly waste is not kept: values that shrink give their memory back. */
    if (block != NULL && measuring.inside && measuring.needed_bytes * 2 >= block->size_bytes)
        return block;
    return copy_all(type, value, measuring.needed_bytes);
}

bool leat__value_has_lists(const leat_type *type)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        if (field->kind == LEAT_KIND_LIST)
            return true;
        if (field->kind == LEAT_KIND_RECORD && leat__value_has_lists(field->element))
            return true;
    }
    return false;
}

void leat__value_keep_strings(const leat_type *type, void *value, const void *before)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        char *at = (char *)value + field->offset_bytes;
        const char *was_at = (const char *)before + field->offset_bytes;
        if (field->kind == LEAT_KIND_RECORD)
            leat__value_keep_strings(field->element, at, was_at);
        if (field->kind != LEAT_KIND_STR)
            continue;
        leat_str now, was;
        memcpy(&now, at, sizeof now);
        memcpy(&was, was_at, sizeof was);
        if (now.data != was.data && now.length == was.length && was.data != NULL &&
            now.data != NULL && memcmp(now.data, was.data, now.length) == 0)
            memcpy(at, &was, sizeof was);
    }
}
