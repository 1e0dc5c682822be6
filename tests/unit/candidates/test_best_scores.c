/* The n best without a heap, against a plain stable sort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/candidates/best_scores.h"
#include "base/random.h"

enum { COUNT_MAX = 3000 };

typedef struct scored {
    float score;
    uint32_t item;
} scored;

static int best_first(const void *left, const void *right)
{
    const scored *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->item < b->item ? -1 : 1;
}

/* Items are numbered in their order, so the sort above is stable. */
static void compare_with_sort(leat__random *random, uint32_t count, uint32_t n, uint32_t values,
                              uint32_t left_out)
{
    static float scores[COUNT_MAX + BEST_SCORES_ROOM];
    static uint32_t items[COUNT_MAX + BEST_SCORES_ROOM], order[COUNT_MAX + BEST_SCORES_ROOM];
    static scored expected[COUNT_MAX];
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < count; i++) {
        scores[i] = i == left_out ? NO_SCORE : 1 + (float)leat__random_below(random, values);
        items[i] = i;
        expected[wanted] = (scored){scores[i], i};
        wanted += i != left_out;
    }
    qsort(expected, wanted, sizeof expected[0], best_first);
    if (wanted > n)
        wanted = n;
    best_scores among = {.scores = scores, .items = items, .order = order, .count = count};
    assert_int_equal(best_scores_choose(&among, n), wanted);
    for (uint32_t i = 0; i < wanted; i++) {
        assert_int_equal(items[order[i]], expected[i].item);
        assert_true(scores[order[i]] == expected[i].score);
    }
}

static void test_equals_a_stable_sort(void **state)
{
    (void)state;
    leat__random random = {1};
    for (int round = 0; round < 6000; round++) {
        uint32_t count = (uint32_t)leat__random_below(&random, round % 10 == 0 ? COUNT_MAX : 200);
        uint32_t n = 1 + (uint32_t)leat__random_below(&random, round % 7 == 0 ? 400 : 40);
        uint32_t values = round % 3 == 0 ? 3 : round % 3 == 1 ? 50 : 1000000;
        compare_with_sort(&random, count, n, values,
                          (uint32_t)leat__random_below(&random, count + 1));
    }
}

/* Crowds of equal scores: nothing can be told apart, the first n win. */
static void test_all_equal(void **state)
{
    (void)state;
    leat__random random = {2};
    compare_with_sort(&random, COUNT_MAX, 21, 1, 5);
    compare_with_sort(&random, 32, 21, 1, 0);
}

static void test_nothing_to_choose_from(void **state)
{
    (void)state;
    leat__random random = {3};
    compare_with_sort(&random, 0, 21, 5, 9);
    compare_with_sort(&random, 1, 21, 5, 0);
    compare_with_sort(&random, 1, 1, 5, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_a_stable_sort),
        cmocka_unit_test(test_all_equal),
        cmocka_unit_test(test_nothing_to_choose_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
