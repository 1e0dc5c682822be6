/* record/migration.c - an old layout text becomes a type of its own, the old bytes a record of that
 * type, and that record, field by field, one of the new type.
 *
 *     "click{user:str,n:i32}" ─► old type     plan:  new field   from   how
 *                                  │                 user        0      copied
 *     bytes ── binary decode ──► old record ──────►  n (i64)     1      widened
 *                                                    kind        -      zero
 *
 * What may widen: integers into every type that holds all their values, f32 into f64, integers of
 * up to 32 (16) bits into f64 (f32), text(N) into a longer text or str. */
#include "record/migration.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "record/kinds.h"

typedef struct plan plan;
typedef struct plan_step {
    const leat_field *old_field; /* NULL: an added field */
    const plan *element;         /* of lists and records */
} plan_step;

struct plan {
    const leat_type *old_type, *new_type;
    bool is_identity;
    plan_step steps[]; /* one per field of the new type */
};

struct leat__migration {
    leat__arena arena; /* plans and scalar types */
    leat_type **owned; /* record types of the old layout */
    size_t owned_count, owned_capacity;
    const leat_type *old_type;
    const plan *plan;
    char reason[200];
};

/* ---------------------------------------------------------------- reading a layout */

typedef struct layout_reader {
    leat__migration *migration;
    const char *next;
} layout_reader;

static const leat_type *read_type(layout_reader *reader, unsigned depth);

static bool take(layout_reader *reader, char wanted)
{
    if (*reader->next != wanted)
        return false;
    reader->next++;
    return true;
}

static bool take_name(layout_reader *reader, char name[LEAT__NAME_MAX + 1])
{
    size_t length = strcspn(reader->next, "{}[](),:");
    if (length == 0 || length > LEAT__NAME_MAX)
        return false;
    memcpy(name, reader->next, length);
    name[length] = '\0';
    reader->next += length;
    return true;
}

static const leat_type *scalar_type(layout_reader *reader, leat_field field)
{
    struct {
        leat_type type;
        leat_field field;
    } *scalar = leat__arena_alloc(&reader->migration->arena, sizeof *scalar);
    scalar->field = field;
    scalar->type = (leat_type){.name = "value",
                               .size_bytes = field.size_bytes,
                               .field_count = 1,
                               .fields = &scalar->field};
    return &scalar->type;
}

static const leat_type *read_text_type(layout_reader *reader)
{
    uint32_t size_bytes = 0;
    while (*reader->next >= '0' && *reader->next <= '9' && size_bytes <= LEAT__RECORD_BYTES_MAX)
        size_bytes = size_bytes * 10 + (uint32_t)(*reader->next++ - '0');
    if (size_bytes == 0 || size_bytes > LEAT__RECORD_BYTES_MAX || !take(reader, ')'))
        return NULL;
    return scalar_type(reader, (leat_field){.kind = LEAT_KIND_TEXT, .size_bytes = size_bytes});
}

static leat_type *own_record_type(leat__migration *m, const char *name)
{
    if (m->owned_count == m->owned_capacity) {
        m->owned_capacity = m->owned_capacity * 2 + 4;
        m->owned = leat__realloc(m->owned, m->owned_capacity, sizeof *m->owned);
    }
    return m->owned[m->owned_count++] = leat_type_new(name);
}

static bool add_read_field(leat_type *type, const char *name, const leat_type *value)
{
    if (!leat__type_is_scalar(value))
        return leat_type_add(type, name, LEAT_KIND_RECORD, value, 0) >= 0;
    const leat_field *field = &value->fields[0];
    if (field->kind == LEAT_KIND_TEXT)
        return leat_type_add_text(type, name, field->size_bytes, 0) >= 0;
    return leat_type_add(type, name, field->kind, field->element, 0) >= 0;
}

/* After "name{". */
static const leat_type *read_record_type(layout_reader *reader, const char *name, unsigned depth)
{
    leat_type *type = own_record_type(reader->migration, name);
    do {
        char field_name[LEAT__NAME_MAX + 1];
        if (!take_name(reader, field_name) || !take(reader, ':'))
            return NULL;
        const leat_type *value = read_type(reader, depth + 1);
        if (value == NULL || !add_read_field(type, field_name, value))
            return NULL;
    } while (take(reader, ','));
    return take(reader, '}') ? type : NULL;
}

static const leat_type *read_type(layout_reader *reader, unsigned depth)
{
    char name[LEAT__NAME_MAX + 1];
    if (depth > LEAT__NESTING_MAX)
        return NULL;
    if (take(reader, '[')) {
        const leat_type *element = read_type(reader, depth + 1);
        if (element == NULL || !take(reader, ']'))
            return NULL;
        return scalar_type(reader, (leat_field){.kind = LEAT_KIND_LIST,
                                                .element = element,
                                                .size_bytes = sizeof(leat_list)});
    }
    if (!take_name(reader, name))
        return NULL;
    if (take(reader, '{'))
        return read_record_type(reader, name, depth);
    if (take(reader, '('))
        return strcmp(name, "text") == 0 ? read_text_type(reader) : NULL;
    for (leat_kind kind = LEAT_KIND_BOOL; kind <= LEAT_KIND_STR; kind++)
        if (kind != LEAT_KIND_TEXT && strcmp(name, leat__kinds[kind].name) == 0)
            return scalar_type(
                reader, (leat_field){.kind = kind, .size_bytes = leat__kinds[kind].size_bytes});
    return NULL;
}

/* ---------------------------------------------------------------- what may become what */

static bool widens(const leat_field *from, const leat_field *to)
{
    const leat__kind_row *old_kind = &leat__kinds[from->kind], *new_kind = &leat__kinds[to->kind];
    if (from->kind == LEAT_KIND_TEXT)
        return to->kind == LEAT_KIND_STR ||
               (to->kind == LEAT_KIND_TEXT && to->size_bytes >= from->size_bytes);
    if (from->kind == to->kind)
        return true;
    if (from->kind == LEAT_KIND_F32)
        return to->kind == LEAT_KIND_F64;
    if (old_kind->bits == 0)
        return false;
    if (to->kind == LEAT_KIND_F64)
        return old_kind->bits <= 32;
    if (to->kind == LEAT_KIND_F32)
        return old_kind->bits <= 16;
    if (old_kind->is_signed && !new_kind->is_signed)
        return false;
    bool gains_sign = !old_kind->is_signed && new_kind->is_signed;
    return new_kind->bits >= old_kind->bits + (gains_sign ? 1 : 0);
}

/* what: names it in a message; NULL: the whole value. */
static const plan *make_plan(leat__migration *m, const char *what, const leat_type *old_type,
                             const leat_type *new_type);

/* What a field is, in a message: with the size that decides. */
static const char *name_of(const leat_field *field, char text[32])
{
    if (field->kind != LEAT_KIND_TEXT)
        return leat__kinds[field->kind].name;
    (void)snprintf(text, 32, "text(%u)", field->size_bytes);
    return text;
}

static bool plan_field(leat__migration *m, plan_step *step, const leat_field *from,
                       const leat_field *to)
{
    char was[32], is[32];
    step->old_field = from;
    if (!widens(from, to)) {
        snprintf(m->reason, sizeof m->reason, "%s%s%s was %s and is %s, which cannot hold it",
                 to->name != NULL ? "field '" : "the value", to->name != NULL ? to->name : "",
                 to->name != NULL ? "'" : "", name_of(from, was), name_of(to, is));
        return false;
    }
    if (to->element == NULL)
        return true;
    char what[LEAT__NAME_MAX + 24];
    (void)snprintf(what, sizeof what, "%s'%s'",
                   to->kind == LEAT_KIND_LIST ? "an item of list " : "field ",
                   to->name != NULL ? to->name : "(items)");
    step->element = make_plan(m, what, from->element, to->element);
    return step->element != NULL;
}

static bool step_is_identity(const plan_step *step, const leat_field *to)
{
    return step->old_field->kind == to->kind &&
           (to->kind != LEAT_KIND_TEXT || step->old_field->size_bytes == to->size_bytes) &&
           (step->element == NULL || step->element->is_identity);
}

static const plan *make_plan(leat__migration *m, const char *what, const leat_type *old_type,
                             const leat_type *new_type)
{
    bool is_scalar = leat__type_is_scalar(new_type);
    if (leat__type_is_scalar(old_type) != is_scalar) {
        char was[32], is[32];
        snprintf(m->reason, sizeof m->reason, "%s was %s and is %s, which cannot hold it",
                 what != NULL ? what : "the value",
                 is_scalar ? "a record" : name_of(&old_type->fields[0], was),
                 is_scalar ? name_of(&new_type->fields[0], is) : "a record");
        return NULL;
    }
    size_t size_bytes = sizeof(plan) + new_type->field_count * sizeof(plan_step);
    plan *made = leat__arena_alloc(&m->arena, size_bytes);
    memset(made, 0, size_bytes);
    made->old_type = old_type;
    made->new_type = new_type;
    made->is_identity = old_type->field_count == new_type->field_count;
    for (uint32_t i = 0; i < new_type->field_count; i++) {
        const leat_field *to = &new_type->fields[i];
        const leat_field *from =
            is_scalar ? &old_type->fields[0] : leat_type_field(old_type, to->name);
        if (from != NULL && !plan_field(m, &made->steps[i], from, to))
            return NULL;
        if (from == NULL || from != &old_type->fields[i] || !step_is_identity(&made->steps[i], to))
            made->is_identity = false;
    }
    return made;
}

/* ---------------------------------------------------------------- making one */

static leat__migration *read_layout(const char *layout, const char *where, leat_error *error)
{
    leat__migration *m = leat__calloc(1, sizeof *m);
    layout_reader reader = {.migration = m, .next = layout};
    m->old_type = read_type(&reader, 0);
    if (m->old_type != NULL && *reader.next == '\0')
        return m;
    leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, where,
               "not a layout from byte %zu on: '%.200s'; leat_type_layout gives one",
               (size_t)(reader.next - layout), layout);
    leat__migration_free(m);
    return NULL;
}

const leat_type *leat__layout_type(const char *layout, leat__migration **holder, leat_error *error)
{
    *holder = read_layout(layout, "layout", error);
    return *holder == NULL ? NULL : (*holder)->old_type;
}

leat__migration *leat__migration_new(const char *old_layout, const leat_type *type,
                                     leat_error *error)
{
    leat__migration *m = read_layout(old_layout, type->name, error);
    if (m == NULL)
        return NULL;
    m->plan = make_plan(m, NULL, m->old_type, type);
    if (m->plan != NULL)
        return m;
    char *layout = leat_type_layout(type);
    leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, type->name,
               "%.120s; stored: %.140s now: %.140s", m->reason, old_layout, layout);
    leat__free(layout);
    leat__migration_free(m);
    return NULL;
}

bool leat__migration_is_identity(const leat__migration *migration)
{
    return migration->plan->is_identity;
}

void leat__migration_free(leat__migration *migration)
{
    if (migration == NULL)
        return;
    for (size_t i = migration->owned_count; i > 0; i--)
        leat_type_free(migration->owned[i - 1]);
    leat__free(migration->owned);
    leat__arena_free(&migration->arena);
    leat__free(migration);
}

/* ---------------------------------------------------------------- decoding */

static void convert_record(const plan *made, leat__arena *arena, const char *from, char *to);

static double load_floating(const char *at, leat_kind kind)
{
    float single;
    double value;
    if (kind == LEAT_KIND_F32) {
        memcpy(&single, at, sizeof single);
        return (double)single;
    }
    if (kind == LEAT_KIND_F64) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    uint64_t integer = leat__load_integer(at, kind);
    return leat__kinds[kind].is_signed ? (double)(int64_t)integer : (double)integer;
}

static void convert_number(const leat_field *old_field, const char *from, const leat_field *field,
                           char *to)
{
    bool stored = true;
    if (field->kind == LEAT_KIND_F64) {
        double value = load_floating(from, old_field->kind);
        memcpy(to, &value, sizeof value);
    } else if (field->kind == LEAT_KIND_F32) {
        float value = (float)load_floating(from, old_field->kind);
        memcpy(to, &value, sizeof value);
    } else if (leat__kinds[old_field->kind].is_signed) {
        stored =
            leat__store_i64(to, field->kind, (int64_t)leat__load_integer(from, old_field->kind));
    } else {
        stored = leat__store_u64(to, field->kind, leat__load_integer(from, old_field->kind));
    }
    (void)stored; /* widens() has seen to it */
}

static void convert_list(const plan *element, leat__arena *arena, const char *from, char *to)
{
    leat_list list;
    memcpy(&list, from, sizeof list);
    size_t old_bytes = element->old_type->size_bytes, new_bytes = element->new_type->size_bytes;
    const char *old_items = list.items;
    if (list.count == 0)
        return;
    char *items = leat__arena_alloc(arena, list.count * new_bytes);
    memset(items, 0, list.count * new_bytes);
    for (size_t i = 0; i < list.count; i++)
        convert_record(element, arena, old_items + i * old_bytes, items + i * new_bytes);
    list.items = items;
    memcpy(to, &list, sizeof list);
}

static void convert_field(const plan_step *step, const leat_field *field, leat__arena *arena,
                          const char *from, char *to)
{
    const leat_field *old_field = step->old_field;
    if (field->kind == LEAT_KIND_LIST) {
        convert_list(step->element, arena, from, to);
    } else if (field->kind == LEAT_KIND_RECORD) {
        convert_record(step->element, arena, from, to);
    } else if (old_field->kind == field->kind) {
        memcpy(to, from, old_field->size_bytes); /* text: the rest stays zero */
    } else if (field->kind == LEAT_KIND_STR) {
        leat_str text = leat__load_text(from, old_field->size_bytes);
        memcpy(to, &text, sizeof text);
    } else {
        convert_number(old_field, from, field, to);
    }
}

static void convert_record(const plan *made, leat__arena *arena, const char *from, char *to)
{
    for (uint32_t i = 0; i < made->new_type->field_count; i++) {
        const plan_step *step = &made->steps[i];
        const leat_field *field = &made->new_type->fields[i];
        if (step->old_field == NULL)
            continue;
        convert_field(step, field, arena, from + step->old_field->offset_bytes,
                      to + field->offset_bytes);
    }
}

leat_status leat__migration_decode_fields(const leat__migration *migration, leat__arena *arena,
                                          leat_str fields, leat__lend lend, void *record,
                                          leat_error *error)
{
    const plan *made = migration->plan;
    if (made->is_identity)
        return leat__binary_decode_fields(arena, made->new_type, fields, lend, record, error);
    char *old_record = leat__arena_alloc(arena, made->old_type->size_bytes);
    leat_status status =
        leat__binary_decode_fields(arena, made->old_type, fields, lend, old_record, error);
    if (status != LEAT_OK)
        return status;
    memset(record, 0, made->new_type->size_bytes);
    convert_record(made, arena, old_record, record);
    return LEAT_OK;
}

leat_status leat__migration_decode(const leat__migration *migration, leat__arena *arena,
                                   leat_str bytes, leat__lend lend, void *record, leat_error *error)
{
    leat_str fields = {0};
    leat_status status = leat__binary_fields(migration->plan->new_type, bytes, &fields, error);
    if (status != LEAT_OK)
        return status;
    return leat__migration_decode_fields(migration, arena, fields, lend, record, error);
}
