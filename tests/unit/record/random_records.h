/* Random record types and random records of them, from a seed: what the round-trip tests feed. */
#ifndef TESTS_RANDOM_RECORDS_H
#define TESTS_RANDOM_RECORDS_H
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "record/codec.h"
#include "record/kinds.h"

enum { RANDOM_TYPES_MAX = 64 };

typedef struct random_world {
    leat__random random;
    leat__arena arena;
    leat_type *types[RANDOM_TYPES_MAX];
    size_t type_count;
} random_world;

static inline void random_world_free(random_world *world)
{
    while (world->type_count > 0)
        leat_type_free(world->types[--world->type_count]);
    leat__arena_free(&world->arena);
}

static inline uint64_t pick(random_world *world, uint64_t bound)
{
    return leat__random_below(&world->random, bound);
}

static inline const leat_type *random_type(random_world *world, unsigned depth);

static inline const leat_type *random_element(random_world *world, unsigned depth)
{
    static const leat_type *const scalars[] = {&leat_type_i64, &leat_type_u64,  &leat_type_u32,
                                               &leat_type_f64, &leat_type_bool, &leat_type_str};
    if (depth >= 3 || pick(world, 2) == 0)
        return scalars[pick(world, 6)];
    return random_type(world, depth + 1);
}

static inline void add_random_field(random_world *world, leat_type *type, unsigned depth)
{
    char name[32];
    snprintf(name, sizeof name, "f%u_%llu", type->field_count,
             (unsigned long long)pick(world, 1000));
    uint32_t flags = pick(world, 4) == 0 ? LEAT_FIELD_OPTIONAL : 0;
    leat_kind kind = (leat_kind)(1 + pick(world, depth < 3 ? 15 : 13));
    if (kind == LEAT_KIND_TEXT) {
        leat_type_add_text(type, name, (uint32_t)(1 + pick(world, 20)), flags);
    } else if (kind == LEAT_KIND_LIST) {
        leat_type_add(type, name, kind, random_element(world, depth), flags);
    } else if (kind == LEAT_KIND_RECORD) {
        leat_type_add(type, name, kind, random_type(world, depth + 1), flags);
    } else {
        leat_type_add(type, name, kind, NULL, flags);
    }
}

/* Owned by the world; an old one again when there are many. */
static inline const leat_type *random_type(random_world *world, unsigned depth)
{
    if (world->type_count == RANDOM_TYPES_MAX)
        return &leat_type_str;
    leat_type *type = leat_type_new("random");
    world->types[world->type_count++] = type;
    uint64_t fields = 1 + pick(world, 8);
    while (fields-- > 0)
        add_random_field(world, type, depth);
    if (type->field_count == 0)
        leat_type_add(type, "only", LEAT_KIND_BOOL, NULL, 0);
    return type;
}

/* Valid UTF-8 of all lengths, with what JSON must escape. */
static inline leat_str random_text(random_world *world, size_t length_max)
{
    static const char *const pieces[] = {
        "a",   "Z", "0", " ", "\"", "\\", "\n", "/", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8d\x83",
        "\x01"};
    leat__buffer buffer = {0};
    uint64_t count = pick(world, 1 + length_max);
    for (uint64_t i = 0; i < count; i++) {
        const char *piece = pieces[pick(world, 12)];
        if (buffer.length + strlen(piece) <= length_max)
            leat__buffer_text(&buffer, piece);
    }
    leat_str text = {leat__arena_copy(&world->arena, buffer.data, buffer.length), buffer.length};
    leat__buffer_free(&buffer);
    return text;
}

static inline uint64_t random_bits(random_world *world)
{
    static const uint64_t edges[] = {0, 1, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN, 127, 128};
    if (pick(world, 3) == 0)
        return edges[pick(world, 7)];
    return leat__random_next(&world->random) >> pick(world, 64);
}

static inline void fill_random(random_world *world, const leat_type *type, char *record);

static inline void fill_random_list(random_world *world, const leat_type *element, char *at)
{
    leat_list list = {.count = pick(world, 5)};
    char *items = leat__arena_alloc(&world->arena, list.count * element->size_bytes);
    for (size_t i = 0; i < list.count; i++)
        fill_random(world, element, items + i * element->size_bytes);
    list.items = list.count != 0 ? items : NULL;
    memcpy(at, &list, sizeof list);
}

static inline double random_finite(random_world *world)
{
    uint64_t bits = leat__random_next(&world->random);
    double value;
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? value : (double)(int64_t)bits / 1000;
}

static inline void fill_random_field(random_world *world, const leat_field *field, char *at)
{
    uint64_t bits = random_bits(world);
    double value = random_finite(world);
    float single = (float)(int32_t)bits / 8;
    leat_str text;
    switch (field->kind) {
    case LEAT_KIND_BOOL:
        *at = (char)(bits & 1);
        break;
    case LEAT_KIND_F32:
        memcpy(at, &single, sizeof single);
        break;
    case LEAT_KIND_F64:
        memcpy(at, &value, sizeof value);
        break;
    case LEAT_KIND_TEXT:
        leat__store_text(at, field->size_bytes, random_text(world, field->size_bytes));
        break;
    case LEAT_KIND_STR:
        text = random_text(world, pick(world, 10) == 0 ? 300 : 20);
        memcpy(at, &text, sizeof text);
        break;
    case LEAT_KIND_LIST:
        fill_random_list(world, field->element, at);
        break;
    case LEAT_KIND_RECORD:
        fill_random(world, field->element, at);
        break;
    default: /* integers: the low bytes */
        memcpy(at, &bits, field->size_bytes);
        break;
    }
}

/* Padding is zeroed, so that flat records compare by memcmp. */
static inline void fill_random(random_world *world, const leat_type *type, char *record)
{
    memset(record, 0, type->size_bytes);
    for (uint32_t i = 0; i < type->field_count; i++)
        fill_random_field(world, &type->fields[i], record + type->fields[i].offset_bytes);
}

static inline bool records_equal(const leat_type *type, const char *a, const char *b);

static inline bool lists_equal(const leat_type *element, const char *a, const char *b)
{
    leat_list x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x.count != y.count)
        return false;
    for (size_t i = 0; i < x.count; i++)
        if (!records_equal(element, (const char *)x.items + i * element->size_bytes,
                           (const char *)y.items + i * element->size_bytes))
            return false;
    return true;
}

/* By value: not the codecs' own idea of equality. */
static inline bool records_equal(const leat_type *type, const char *a, const char *b)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const leat_field *field = &type->fields[i];
        const char *x = a + field->offset_bytes, *y = b + field->offset_bytes;
        leat_str s, t;
        bool equal;
        if (field->kind == LEAT_KIND_LIST) {
            equal = lists_equal(field->element, x, y);
        } else if (field->kind == LEAT_KIND_RECORD) {
            equal = records_equal(field->element, x, y);
        } else if (field->kind == LEAT_KIND_STR) {
            memcpy(&s, x, sizeof s);
            memcpy(&t, y, sizeof t);
            equal = leat_str_equal(s, t);
        } else {
            equal = memcmp(x, y, field->size_bytes) == 0;
        }
        if (!equal)
            return false;
    }
    return true;
}
#endif
