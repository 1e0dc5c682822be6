/* Popularity: rules P1-P3, the lists against a sort of everything, readers beside a writer. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/candidates/popularity.h"
#include "base/random.h"

static const leat_str nothing = {NULL, 0};

static popularity *table_of(uint32_t top_size)
{
    popularity_options options = {.half_life_ms = LEAT_HOURS(1), .top_size = top_size};
    return popularity_new(&options);
}

static const char *names_of(popularity *table, leat_str category, popularity_order order,
                            char *text)
{
    popular_item out[16];
    size_t count = popularity_top(table, popularity_reader(table), category, order, 0, out, 16);
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(text + length, out[i].item.data, out[i].item.length);
        length += out[i].item.length;
    }
    text[length] = '\0';
    return text;
}

/* P1: half after a half-life; an old big count falls behind a new small one. */
static void test_decay(void **state)
{
    (void)state;
    popularity *table = table_of(10);
    uint32_t reader = popularity_reader(table);
    popularity_update(table, LEAT_STR("old"), nothing, 100, 8, 0);
    popularity_update(table, LEAT_STR("new"), nothing, 5, 5, LEAT_HOURS(1));
    popular_item out[4];
    size_t count = popularity_top(table, reader, nothing, POPULAR_LATELY, LEAT_HOURS(2), out, 4);
    assert_int_equal(count, 2);
    assert_true(leat_str_equal(out[0].item, LEAT_STR("new")));
    assert_true(fabs(out[0].score - 2.5) < 1e-9);
    assert_true(fabs(out[1].score - 2.0) < 1e-9);
    assert_true(fabs(popularity_decay(8, 0, LEAT_HOURS(3), LEAT_HOURS(1)) - 1) < 1e-12);
    popularity_top(table, reader, nothing, POPULAR_IN_TOTAL, LEAT_HOURS(2), out, 4);
    assert_true(leat_str_equal(out[0].item, LEAT_STR("old")));
    double total, decayed;
    assert_true(popularity_of(table, reader, LEAT_STR("old"), LEAT_HOURS(1), &total, &decayed));
    assert_true(total == 100 && fabs(decayed - 4) < 1e-9);
    assert_false(popularity_of(table, reader, LEAT_STR("?"), 0, &total, &decayed));
    popularity_free(table);
}

/* P3 */
static void test_categories(void **state)
{
    (void)state;
    popularity *table = table_of(2);
    char text[32];
    popularity_update(table, LEAT_STR("a"), LEAT_STR("shoes"), 1, 1, 0);
    popularity_update(table, LEAT_STR("b"), LEAT_STR("shoes"), 3, 3, 0);
    popularity_update(table, LEAT_STR("c"), LEAT_STR("shoes"), 2, 2, 0);
    popularity_update(table, LEAT_STR("d"), LEAT_STR("hats"), 9, 9, 0);
    assert_string_equal(names_of(table, LEAT_STR("shoes"), POPULAR_IN_TOTAL, text), "bc");
    assert_string_equal(names_of(table, nothing, POPULAR_LATELY, text), "db");
    popularity_update(table, LEAT_STR("b"), nothing, 4, 4, 0); /* keeps its category */
    assert_string_equal(names_of(table, LEAT_STR("shoes"), POPULAR_IN_TOTAL, text), "bc");
    popularity_update(table, LEAT_STR("b"), LEAT_STR("hats"), 4, 4, 0); /* moves */
    assert_string_equal(names_of(table, LEAT_STR("shoes"), POPULAR_IN_TOTAL, text), "ca");
    assert_string_equal(names_of(table, LEAT_STR("hats"), POPULAR_IN_TOTAL, text), "db");
    popularity_update(table, LEAT_STR("c"), nothing, 0, 0, 0); /* gone */
    assert_string_equal(names_of(table, LEAT_STR("shoes"), POPULAR_LATELY, text), "a");
    assert_string_equal(names_of(table, LEAT_STR("ties"), POPULAR_LATELY, text), "");
    popularity_free(table);
}

enum { ITEMS = 60, CATEGORIES = 4, TOP = 8 };
typedef struct expected_item {
    char name[8];
    int category;
    double total;
} expected_item;

static int best_first(const void *left, const void *right)
{
    const expected_item *a = left, *b = right;
    if (a->total != b->total)
        return a->total > b->total ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void assert_lists_are_exact(popularity *table, const expected_item *items)
{
    expected_item sorted[ITEMS];
    memcpy(sorted, items, sizeof sorted);
    qsort(sorted, ITEMS, sizeof sorted[0], best_first);
    for (int category = -1; category < CATEGORIES; category++) {
        char text[8];
        snprintf(text, sizeof text, "c%d", category);
        popular_item out[ITEMS];
        size_t count = popularity_top(table, popularity_reader(table),
                                      category < 0 ? nothing : leat_str_from(text),
                                      POPULAR_IN_TOTAL, 0, out, ITEMS);
        size_t place = 0;
        for (int i = 0; i < ITEMS && place < TOP; i++) {
            if (sorted[i].total <= 0 || (category >= 0 && sorted[i].category != category))
                continue;
            assert_true(place < count);
            assert_true(leat_str_equal(out[place].item, leat_str_from(sorted[i].name)));
            place++;
        }
        assert_int_equal(count, place);
    }
}

/* P2, through rises, falls, moves and removals. */
static void test_lists_equal_a_full_sort(void **state)
{
    (void)state;
    popularity *table = table_of(TOP);
    leat__random random = {5};
    expected_item items[ITEMS] = {0};
    for (int i = 0; i < ITEMS; i++)
        snprintf(items[i].name, sizeof items[i].name, "i%d", i);
    for (int round = 0; round < 4000; round++) {
        expected_item *item = &items[leat__random_below(&random, ITEMS)];
        uint64_t what = leat__random_below(&random, 20);
        if (what == 0)
            item->category = (int)leat__random_below(&random, CATEGORIES);
        item->total = what == 1   ? 0
                      : what == 2 ? item->total / 2
                                  : item->total + (double)leat__random_below(&random, 3);
        char category[8];
        snprintf(category, sizeof category, "c%d", item->category);
        popularity_update(table, leat_str_from(item->name), leat_str_from(category), item->total,
                          item->total, 0);
        if (round % 10 == 0)
            assert_lists_are_exact(table, items);
    }
    popularity_free(table);
}

typedef struct shared {
    popularity *table;
    _Atomic int done;
    _Atomic uint64_t wrong, answers;
} shared;

static void *read_top(void *arg)
{
    shared *with = arg;
    uint32_t reader = popularity_reader(with->table);
    popular_item out[TOP];
    while (!with->done) {
        size_t count = popularity_top(with->table, reader, nothing, POPULAR_IN_TOTAL, 0, out, TOP);
        for (size_t i = 1; i < count; i++)
            if (out[i - 1].score < out[i].score)
                with->wrong++;
        with->answers++;
    }
    return NULL;
}

static void test_readers_beside_a_writer(void **state)
{
    (void)state;
    shared with = {.table = table_of(TOP)};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, read_top, &with);
    leat__random random = {9};
    for (int i = 0; i < 5000 || with.answers < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", (uint32_t)leat__random_below(&random, 500));
        popularity_update(with.table, leat_str_from(name), LEAT_STR("c"), i + 1, i + 1, i);
    }
    with.done = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(with.wrong, 0);
    popularity_free(with.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decay),
        cmocka_unit_test(test_categories),
        cmocka_unit_test(test_lists_equal_a_full_sort),
        cmocka_unit_test(test_readers_beside_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
