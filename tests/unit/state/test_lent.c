/* State, every backend: what a callback was lent is there until its end (rule 5 of job.h).
 *
 *     random callbacks: get, mut, delete, append, trim, map entries, timers
 *     each pointer lent ─► a copy of what it showed ─► the same at the end of the callback
 *     all the state of a key: as the callback left it, or as before, when it failed (S3)
 *
 * A failure prints the seed; LEAT_TEST_SEED=n runs it alone. */
#include "base/random.h"
#include "record/codec.h"
#include "world.h"

enum { FLAT, TEXTS, DEEP, LARGE, ELEMENTS, NUMBERS, NAMED, COUNTED, EPHEMERAL, LENT_SLOTS };
enum { KEYS = 5, MAP_KEYS = 4, STEPS = 4000, SEEDS = 4, LENT_MAX = 4096, OPS_MAX = 14 };

struct texts {
    leat_str first, second;
    int64_t number;
};
LEAT_RECORD(texts, first, second, number);
struct large { /* over LEAT__INLINE_VALUE_BYTES: not in the entry itself */
    int64_t number;
    char text[600];
};
LEAT_RECORD(large, number, text);

static const leat__slot slots[LENT_SLOTS] = {
    [FLAT] = {.name = "op/flat", .kind = LEAT__VALUE, .type = &tally_type},
    [TEXTS] = {.name = "op/texts", .kind = LEAT__VALUE, .type = &texts_type},
    [DEEP] = {.name = "op/deep", .kind = LEAT__VALUE, .type = &profile_type},
    [LARGE] = {.name = "op/large", .kind = LEAT__VALUE, .type = &large_type},
    [ELEMENTS] = {.name = "op/elements", .kind = LEAT__LIST, .type = &texts_type},
    [NUMBERS] = {.name = "op/numbers",
                 .kind = LEAT__LIST,
                 .type = &tally_type,
                 .ttl_ms = TTL_MS,
                 .ttl_on_read = true},
    [NAMED] = {.name = "op/named",
               .kind = LEAT__MAP,
               .type = &texts_type,
               .map_key = &leat_type_str},
    [COUNTED] = {.name = "op/counted",
                 .kind = LEAT__MAP,
                 .type = &tally_type,
                 .map_key = &leat_type_i64},
    [EPHEMERAL] = {.name = "op/ephemeral",
                   .kind = LEAT__VALUE,
                   .type = &texts_type,
                   .ttl_ms = TTL_MS,
                   .ttl_on_read = true},
};

typedef struct loan {
    const leat_type *type;
    const void *at;
    size_t slot, map_key, count;
    bool edited; /* what leat_mut gave, or leat_get after it: shows what is written there */
    leat__buffer copy;
} loan;

typedef struct game {
    world *w;
    leat__random random;
    uint64_t seed;
    int step;
    loan loans[LENT_MAX];
    size_t loan_count;
    bool handed[LENT_SLOTS][MAP_KEYS]; /* leat_mut was called since the last delete */
    char *memory[64];                  /* of the callback, gone when it returns */
    size_t memory_count;
    leat__buffer before, after;
} game;

static const char *const map_names[MAP_KEYS] = {
    "", "one", "two",
    "a key over sixty-four bytes, which has a place of its own in memory, is it?"};
static const char *const key_names[KEYS] = {"a", "b", "c", "d", "e"};

static size_t below(game *g, size_t bound)
{
    return (size_t)leat__random_below(&g->random, bound);
}

static void show(leat__buffer *out, const leat_type *type, const void *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        leat__binary_append(out, type, (const char *)at + i * type->size_bytes);
}

static void borrow(game *g, size_t slot, size_t map_key, const leat_type *type, const void *at,
                   size_t count)
{
    if (at == NULL || g->loan_count == LENT_MAX)
        return;
    loan *lent = &g->loans[g->loan_count++];
    lent->type = type;
    lent->at = at;
    lent->slot = slot;
    lent->map_key = map_key;
    lent->count = count;
    lent->edited =
        type == slots[slot].type && slots[slot].kind != LEAT__LIST && g->handed[slot][map_key];
    lent->copy.length = 0;
    show(&lent->copy, type, at, count);
}

/* Written through leat_mut: what was lent since then shows it, what was lent before does not. */
static void written(game *g, size_t slot, size_t map_key)
{
    for (size_t i = 0; i < g->loan_count; i++) {
        loan *lent = &g->loans[i];
        if (!lent->edited || lent->slot != slot || lent->map_key != map_key)
            continue;
        lent->copy.length = 0;
        show(&lent->copy, lent->type, lent->at, lent->count);
    }
}

static void deleted(game *g, size_t slot, size_t map_key)
{
    g->handed[slot][map_key] = false;
    for (size_t i = 0; i < g->loan_count; i++)
        if (g->loans[i].slot == slot && g->loans[i].map_key == map_key)
            g->loans[i].edited = false;
}

static void give_back(game *g)
{
    leat__buffer now = {0};
    for (size_t i = 0; i < g->loan_count; i++) {
        const loan *lent = &g->loans[i];
        now.length = 0;
        show(&now, lent->type, lent->at, lent->count);
        if (now.length != lent->copy.length || memcmp(now.data, lent->copy.data, now.length) != 0)
            fail_msg("seed %llu step %d: what '%s' lent (number %zu of the callback) has changed",
                     (unsigned long long)g->seed, g->step, slots[lent->slot].name, i);
    }
    leat__buffer_free(&now);
}

/* ---------------------------------------------------------------- texts to point to */

static leat_str text(game *g)
{
    const void *elements;
    const struct texts *found = NULL;
    size_t count, where = below(g, 6);
    if (where == 0)
        return (leat_str){0};
    if (where == 1) { /* what an element has, which may be trimmed later */
        count = leat__store_list(g->w->store, ELEMENTS, &elements);
        borrow(g, ELEMENTS, 0, &texts_type, elements, count);
        if (count != 0)
            return ((const struct texts *)elements)[below(g, count)].second;
    }
    if (where == 2) { /* what another value has */
        found = leat__store_get(g->w->store, TEXTS);
        borrow(g, TEXTS, 0, &texts_type, found, 1);
    }
    if (where == 3) {
        const struct profile *deep = leat__store_get(g->w->store, DEEP);
        borrow(g, DEEP, 0, &profile_type, deep, 1);
        if (deep != NULL)
            return deep->name;
    }
    if (found != NULL)
        return found->first;
    size_t length = below(g, 30);
    char *bytes = leat__alloc(length + 1);
    memset(bytes, 'a' + (int)below(g, 26), length);
    assert_true(g->memory_count < 64);
    g->memory[g->memory_count++] = bytes;
    return (leat_str){bytes, length};
}

static struct texts some_texts(game *g)
{
    struct texts made = {.number = (int64_t)below(g, 1000)};
    made.first = text(g);
    if (below(g, 2) == 0)
        made.second = made.first;
    return made;
}

/* ---------------------------------------------------------------- what a callback does */

static void mut_value(game *g, size_t slot)
{
    struct texts made = {0};
    if (slot != FLAT && slot != LARGE)
        made = some_texts(g); /* may ask the store */
    void *value = leat__store_mut(g->w->store, slot);
    g->handed[slot][0] = true;
    borrow(g, slot, 0, slots[slot].type, value, 1);
    if (slot == FLAT)
        ((struct tally *)value)->count = (int64_t)below(g, 1000);
    if (slot == TEXTS || slot == EPHEMERAL)
        *(struct texts *)value = made;
    if (slot == LARGE)
        memset(((struct large *)value)->text, 'a' + (int)below(g, 26), 100 + below(g, 400));
    if (slot == DEEP) {
        struct profile *profile = value;
        profile->age = (uint32_t)below(g, 100);
        profile->name = made.first;
        leat_str *tags = leat__alloc(2 * sizeof *tags);
        tags[0] = tags[1] = made.first;
        assert_true(g->memory_count < 64);
        g->memory[g->memory_count++] = (char *)tags;
        profile->tags = (leat_list){tags, below(g, 3)};
    }
    written(g, slot, 0);
}

static void work_on_value(game *g)
{
    static const size_t values[] = {FLAT, TEXTS, DEEP, LARGE, EPHEMERAL};
    size_t slot = values[below(g, 5)], what = below(g, 5);
    if (what < 2) {
        borrow(g, slot, 0, slots[slot].type, leat__store_get(g->w->store, slot), 1);
    } else if (what < 4) {
        mut_value(g, slot);
    } else {
        leat__store_del(g->w->store, slot);
        deleted(g, slot, 0);
    }
}

static void work_on_list(game *g)
{
    size_t slot = below(g, 2) == 0 ? ELEMENTS : NUMBERS;
    const leat_type *type = slots[slot].type;
    const void *all;
    size_t count = 0, what = below(g, 8);
    if (what < 5) {
        count = leat__store_list(g->w->store, slot, &all);
        borrow(g, slot, 0, type, all, count);
    }
    if (what == 0) {
        leat__store_trim(g->w->store, slot, below(g, 5));
    } else if (what == 1) {
        leat__store_del(g->w->store, slot);
    } else if (what < 4 && count != 0 && count < 300) { /* an element of the list itself */
        for (size_t i = below(g, count + 1); i < count; i++)
            leat__store_append(g->w->store, slot, (const char *)all + i * type->size_bytes);
    } else {
        for (size_t i = below(g, 12); i != 0; i--) {
            struct texts made = {.number = (int64_t)i, .first = LEAT_STR("constant")};
            if (slot == ELEMENTS && below(g, 4) == 0)
                made = some_texts(g);
            leat__store_append(g->w->store, slot,
                               slot == ELEMENTS ? (void *)&made : &(struct tally){(int64_t)i, 0});
        }
    }
}

typedef struct stroll {
    game *g;
    size_t slot;
} stroll;

static bool visit_entry(void *arg, const void *map_key, const void *value)
{
    const stroll *walk = arg;
    game *g = walk->g;
    const leat__slot *slot = &slots[walk->slot];
    size_t number = 0;
    if (walk->slot == COUNTED)
        number = (size_t) * (const int64_t *)map_key;
    for (size_t i = 0; walk->slot == NAMED && i < MAP_KEYS; i++)
        if (leat_str_equal(*(const leat_str *)map_key, leat_str_from(map_names[i])))
            number = i;
    borrow(g, walk->slot, number, slot->map_key, map_key, 1);
    borrow(g, walk->slot, number, slot->type, value, 1);
    if (below(g, 4) == 0) {
        leat__store_map_del(g->w->store, walk->slot, map_key);
        deleted(g, walk->slot, number);
    }
    return below(g, 10) != 0;
}

static void mut_entry(game *g, size_t slot, size_t number, const void *map_key)
{
    struct texts made = {0};
    if (slot == NAMED)
        made = some_texts(g);
    void *value = leat__store_map_mut(g->w->store, slot, map_key);
    g->handed[slot][number] = true;
    borrow(g, slot, number, slots[slot].type, value, 1);
    if (slot == NAMED)
        *(struct texts *)value = made;
    else
        ((struct tally *)value)->count++;
    written(g, slot, number);
}

static void work_on_map(game *g)
{
    size_t slot = below(g, 2) == 0 ? NAMED : COUNTED, number = below(g, MAP_KEYS);
    leat_str name = leat_str_from(map_names[number]);
    int64_t count = (int64_t)number;
    const void *map_key = slot == NAMED ? (const void *)&name : &count;
    switch (below(g, 8)) {
    case 0:
        leat__store_map_del(g->w->store, slot, map_key);
        deleted(g, slot, number);
        break;
    case 1:
        leat__store_del(g->w->store, slot);
        for (size_t i = 0; i < MAP_KEYS; i++)
            deleted(g, slot, i);
        break;
    case 2:
        leat__store_map_each(g->w->store, slot, visit_entry, &(stroll){g, slot});
        break;
    case 3:
    case 4:
        borrow(g, slot, number, slots[slot].type, leat__store_map_get(g->w->store, slot, map_key),
               1);
        break;
    default:
        mut_entry(g, slot, number, map_key);
    }
}

static void work(game *g)
{
    switch (below(g, 8)) {
    case 0:
    case 1:
    case 2:
        work_on_value(g);
        break;
    case 3:
    case 4:
        work_on_list(g);
        break;
    case 5:
        leat__store_timer_set(g->w->store, WAKE, LEAT__EVENT_TIME, 0, (int64_t)below(g, 1000));
        break;
    case 6:
        leat__store_timer_clear(g->w->store, WAKE, LEAT__EVENT_TIME, 0);
        break;
    default:
        work_on_map(g);
    }
}

/* ---------------------------------------------------------------- all the state of a key */

typedef struct picture {
    leat__buffer *out;
    const leat__slot *slot;
} picture;

static bool draw_entry(void *arg, const void *map_key, const void *value)
{
    const picture *into = arg;
    show(into->out, into->slot->map_key, map_key, 1);
    show(into->out, into->slot->type, value, 1);
    return true;
}

static void draw(game *g, leat__buffer *out)
{
    out->length = 0;
    for (size_t slot = 0; slot < LENT_SLOTS; slot++) {
        const void *value = NULL;
        size_t count = 0;
        leat__buffer_u8(out, (uint8_t)slot);
        if (slots[slot].kind == LEAT__MAP) {
            leat__store_map_each(g->w->store, slot, draw_entry, &(picture){out, &slots[slot]});
            continue;
        }
        if (slots[slot].kind == LEAT__LIST)
            count = leat__store_list(g->w->store, slot, &value);
        else if ((value = leat__store_get(g->w->store, slot)) != NULL)
            count = 1;
        show(out, slots[slot].type, value, count);
    }
}

static void draw_committed(game *g, const char *key, leat__buffer *out)
{
    begin(g->w, key);
    draw(g, out);
    commit(g->w);
}

static void callback(game *g)
{
    const char *key = key_names[below(g, KEYS)];
    leat_error error;
    draw_committed(g, key, &g->before);
    g->loan_count = 0;
    memset(g->handed, 0, sizeof g->handed);
    begin(g->w, key);
    for (size_t left = below(g, OPS_MAX) + 1; left != 0; left--)
        work(g);
    give_back(g);
    if (below(g, 4) == 0) {
        rollback(g->w);
    } else {
        draw(g, &g->before);
        if (below(g, 2) == 0) /* the engine asks always */
            assert_int_equal(leat__store_callback_check(g->w->store, &error), LEAT_OK);
        commit(g->w);
    }
    while (g->memory_count != 0)
        leat__free(g->memory[--g->memory_count]);
    draw_committed(g, key, &g->after);
    if (g->before.length != g->after.length ||
        memcmp(g->before.data, g->after.data, g->before.length) != 0)
        fail_msg("seed %llu step %d: the state is not as the callback left it",
                 (unsigned long long)g->seed, g->step);
}

static void run_seed(leat__backend backend, uint64_t seed)
{
    game *g = leat__calloc(1, sizeof *g);
    g->seed = seed;
    g->random.state = seed * 7777777;
    g->w = world_new(backend);
    world_close(g->w);
    g->w->slots = slots;
    g->w->slot_count = LENT_SLOTS;
    g->w->cache_bytes = seed % 2 == 0 ? 4 << 10 : 0; /* half of them evict all the time */
    world_open(g->w);
    for (g->step = 0; g->step < STEPS; g->step++) {
        callback(g);
        if (below(g, 20) == 0)
            world_epoch(g->w);
        if (below(g, 500) == 0)
            world_rewind(g->w);
    }
    for (size_t i = 0; i < LENT_MAX; i++)
        leat__buffer_free(&g->loans[i].copy);
    leat__buffer_free(&g->before);
    leat__buffer_free(&g->after);
    world_free(g->w);
    leat__free(g);
}

static void run_backend(leat__backend backend)
{
    const char *seed = getenv("LEAT_TEST_SEED");
    if (seed != NULL) {
        run_seed(backend, strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 1; i <= SEEDS; i++)
        run_seed(backend, i);
}

static void memory_lends_until_the_end(void **state)
{
    (void)state;
    run_backend(LEAT__MEMORY);
}

static void rocksdb_lends_until_the_end(void **state)
{
    (void)state;
    run_backend(LEAT__ROCKSDB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"memory: S5 what a callback was lent stays until it returns", memory_lends_until_the_end,
         NULL, NULL, NULL},
        {"rocksdb: S5 what a callback was lent stays until it returns", rocksdb_lends_until_the_end,
         NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
