/* candidates/popularity.c
 *
 *   items[j]  {category, value[total], value[lately]}
 *   top[category][order] ─► [j7 j2 j9 ...]   sorted, at most top_size; top[0] is of all items
 *
 * Counts mostly rise, so an update moves an item up by a few places.  Where a value falls (an
 * item is erased, changes its category, is corrected) in a full list, an item outside may
 * be better now: the list is built again from all items. */
#include "apps/recommender/candidates/popularity.h"

#include <math.h>

#include "apps/recommender/candidates/interner.h"
#include "apps/recommender/candidates/reader_lock.h"
#include "base/mem.h"

enum { ALL_ITEMS = 0, FIRST_CAPACITY = 64 };

typedef struct ranked_item {
    uint32_t category;               /* 0: none; else the category's number + 1 */
    double value[POPULARITY_ORDERS]; /* total, rank of P1; -INFINITY: not listed */
} ranked_item;

typedef struct top_list {
    uint32_t *items;
    uint32_t count, capacity;
} top_list;

struct popularity {
    reader_lock lock;
    popularity_options options;
    interner items, categories;
    ranked_item *ranked;
    uint32_t ranked_capacity;
    top_list (*top)[POPULARITY_ORDERS]; /* [category] */
    uint32_t top_capacity;
};

popularity_options popularity_defaults(void)
{
    return (popularity_options){.half_life_ms = LEAT_DAYS(1), .top_size = 200};
}

double popularity_decay(double value, int64_t from_ms, int64_t to_ms, int64_t half_life_ms)
{
    return value * exp2((double)(from_ms - to_ms) / (double)half_life_ms);
}

popularity *popularity_new(const popularity_options *options)
{
    popularity *table = leat__calloc(1, sizeof *table);
    table->options = *options;
    if (table->options.half_life_ms < 1)
        table->options.half_life_ms = 1;
    if (table->options.top_size < 1)
        table->options.top_size = 1;
    table->top_capacity = 1;
    table->top = leat__calloc(1, sizeof *table->top);
    return table;
}

void popularity_free(popularity *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < table->top_capacity; i++)
        for (int order = 0; order < POPULARITY_ORDERS; order++)
            leat__free(table->top[i][order].items);
    leat__free(table->top);
    leat__free(table->ranked);
    interner_free(&table->items);
    interner_free(&table->categories);
    leat__free(table);
}

/* ------------------------------------------------------------------ lists */

/* P2 */
static bool is_better(const popularity *table, popularity_order order, uint32_t a, uint32_t b)
{
    double left = table->ranked[a].value[order], right = table->ranked[b].value[order];
    if (left != right)
        return left > right;
    leat_str x = interner_name(&table->items, a), y = interner_name(&table->items, b);
    int bytes = memcmp(x.data, y.data, x.length < y.length ? x.length : y.length);
    return bytes != 0 ? bytes < 0 : x.length < y.length;
}

static void append(popularity *table, top_list *list, uint32_t item)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        if (capacity > table->options.top_size)
            capacity = table->options.top_size;
        list->items = leat__realloc(list->items, capacity, sizeof *list->items);
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
}

/* Moves the item at `place` towards the front until the list is in order again. */
static void move_up(const popularity *table, popularity_order order, top_list *list, uint32_t place)
{
    uint32_t item = list->items[place];
    for (; place > 0 && is_better(table, order, item, list->items[place - 1]); place--)
        list->items[place] = list->items[place - 1];
    list->items[place] = item;
}

static void offer(popularity *table, popularity_order order, top_list *list, uint32_t item)
{
    if (table->ranked[item].value[order] == -INFINITY)
        return;
    if (list->count < table->options.top_size) {
        append(table, list, item);
    } else if (is_better(table, order, item, list->items[list->count - 1])) {
        list->items[list->count - 1] = item;
    } else {
        return;
    }
    move_up(table, order, list, list->count - 1);
}

static void rebuild(popularity *table, popularity_order order, uint32_t category)
{
    top_list *list = &table->top[category][order];
    list->count = 0;
    for (uint32_t item = 0; item < table->items.count; item++)
        if (category == ALL_ITEMS || table->ranked[item].category == category)
            offer(table, order, list, item);
}

static uint32_t place_in(const top_list *list, uint32_t item)
{
    uint32_t place = 0;
    while (place < list->count && list->items[place] != item)
        place++;
    return place;
}

static void take_out(popularity *table, popularity_order order, uint32_t category, uint32_t item)
{
    top_list *list = &table->top[category][order];
    uint32_t place = place_in(list, item);
    if (place == list->count)
        return;
    if (list->count == table->options.top_size) {
        rebuild(table, order, category);
        return;
    }
    memmove(list->items + place, list->items + place + 1,
            (list->count - place - 1) * sizeof *list->items);
    list->count--;
}

/* The item's value has changed: put it where it belongs. */
static void rerank(popularity *table, popularity_order order, uint32_t category, uint32_t item,
                   bool fell)
{
    top_list *list = &table->top[category][order];
    if (fell) {
        take_out(table, order, category, item);
        if (place_in(list, item) < list->count)
            return; /* rebuilt with it */
    }
    uint32_t place = place_in(list, item);
    if (place < list->count) {
        move_up(table, order, list, place);
    } else {
        offer(table, order, list, item);
    }
}

/* ------------------------------------------------------------------ writing */

static uint32_t item_number(popularity *table, leat_str name)
{
    uint32_t item = interner_add(&table->items, name);
    if (item >= table->ranked_capacity) {
        uint32_t capacity = table->ranked_capacity == 0 ? FIRST_CAPACITY : item * 2;
        table->ranked = leat__realloc(table->ranked, capacity, sizeof *table->ranked);
        for (uint32_t i = table->ranked_capacity; i < capacity; i++)
            table->ranked[i] = (ranked_item){.value = {-INFINITY, -INFINITY}};
        table->ranked_capacity = capacity;
    }
    return item;
}

static uint32_t category_number(popularity *table, leat_str name)
{
    if (name.length == 0)
        return ALL_ITEMS;
    uint32_t category = interner_add(&table->categories, name) + 1;
    if (category >= table->top_capacity) {
        uint32_t capacity = category * 2;
        table->top = leat__realloc(table->top, capacity, sizeof *table->top);
        memset(table->top + table->top_capacity, 0,
               (capacity - table->top_capacity) * sizeof *table->top);
        table->top_capacity = capacity;
    }
    return category;
}

static void change_category(popularity *table, uint32_t item, uint32_t category)
{
    uint32_t old = table->ranked[item].category;
    if (category == ALL_ITEMS || category == old)
        return;
    table->ranked[item].category = category;
    for (int order = 0; order < POPULARITY_ORDERS; order++) {
        if (old != ALL_ITEMS)
            take_out(table, (popularity_order)order, old, item);
        offer(table, (popularity_order)order, &table->top[category][order], item);
    }
}

static void update_locked(popularity *table, leat_str item_name, leat_str category_name,
                          const double values[POPULARITY_ORDERS])
{
    uint32_t item = item_number(table, item_name);
    change_category(table, item, category_number(table, category_name));
    uint32_t category = table->ranked[item].category;
    for (int i = 0; i < POPULARITY_ORDERS; i++) {
        popularity_order order = (popularity_order)i;
        double old = table->ranked[item].value[order];
        if (values[order] == old)
            continue;
        table->ranked[item].value[order] = values[order];
        rerank(table, order, ALL_ITEMS, item, values[order] < old);
        if (category != ALL_ITEMS)
            rerank(table, order, category, item, values[order] < old);
    }
}

void popularity_update(popularity *table, leat_str item, leat_str category, double total,
                       double decayed, int64_t at_ms)
{
    double half_lives = (double)at_ms / (double)table->options.half_life_ms;
    double values[POPULARITY_ORDERS] = {
        [POPULAR_IN_TOTAL] = total > 0 ? total : -INFINITY,
        [POPULAR_LATELY] = decayed > 0 ? log2(decayed) + half_lives : -INFINITY,
    };
    reader_lock_write_begin(&table->lock);
    update_locked(table, item, category, values);
    reader_lock_write_end(&table->lock);
}

/* ------------------------------------------------------------------ reading */

uint32_t popularity_reader(popularity *table)
{
    return reader_lock_slot(&table->lock);
}

static double score_at(const popularity *table, uint32_t item, popularity_order order,
                       int64_t now_ms)
{
    double value = table->ranked[item].value[order];
    if (value == -INFINITY)
        return 0;
    if (order == POPULAR_IN_TOTAL)
        return value;
    return exp2(value - (double)now_ms / (double)table->options.half_life_ms);
}

static leat_str category_name(const popularity *table, uint32_t item)
{
    uint32_t category = table->ranked[item].category;
    if (category == ALL_ITEMS)
        return (leat_str){NULL, 0};
    return interner_name(&table->categories, category - 1);
}

static size_t top_locked(const popularity *table, leat_str category, popularity_order order,
                         int64_t now_ms, popular_item *out, size_t capacity)
{
    uint32_t number = ALL_ITEMS;
    if (category.length != 0) {
        number = interner_find(&table->categories, category);
        if (number == INTERNER_NONE)
            return 0;
        number++;
    }
    const top_list *list = &table->top[number][order];
    size_t count = list->count < capacity ? list->count : capacity;
    for (size_t i = 0; i < count; i++) {
        uint32_t item = list->items[i];
        out[i] = (popular_item){.item = interner_name(&table->items, item),
                                .category = category_name(table, item),
                                .score = score_at(table, item, order, now_ms)};
    }
    return count;
}

size_t popularity_top(popularity *table, uint32_t reader, leat_str category, popularity_order order,
                      int64_t now_ms, popular_item *out, size_t capacity)
{
    reader_lock_read_begin(&table->lock, reader);
    size_t count = top_locked(table, category, order, now_ms, out, capacity);
    reader_lock_read_end(&table->lock, reader);
    return count;
}

bool popularity_of(popularity *table, uint32_t reader, leat_str item, int64_t now_ms, double *total,
                   double *decayed)
{
    reader_lock_read_begin(&table->lock, reader);
    uint32_t number = interner_find(&table->items, item);
    bool known = number != INTERNER_NONE;
    if (known) {
        *total = score_at(table, number, POPULAR_IN_TOTAL, now_ms);
        *decayed = score_at(table, number, POPULAR_LATELY, now_ms);
    }
    reader_lock_read_end(&table->lock, reader);
    return known;
}

uint32_t popularity_items(popularity *table, uint32_t reader)
{
    reader_lock_read_begin(&table->lock, reader);
    uint32_t count = table->items.count;
    reader_lock_read_end(&table->lock, reader);
    return count;
}

size_t popularity_memory_bytes(popularity *table, uint32_t reader)
{
    reader_lock_read_begin(&table->lock, reader);
    size_t bytes = sizeof *table + interner_memory_bytes(&table->items) +
                   interner_memory_bytes(&table->categories) +
                   table->ranked_capacity * sizeof *table->ranked +
                   table->top_capacity * sizeof *table->top;
    for (uint32_t i = 0; i < table->top_capacity; i++)
        for (int order = 0; order < POPULARITY_ORDERS; order++)
            bytes += table->top[i][order].capacity * sizeof(uint32_t);
    reader_lock_read_end(&table->lock, reader);
    return bytes;
}
