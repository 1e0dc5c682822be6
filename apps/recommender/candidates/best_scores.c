#include "apps/recommender/candidates/best_scores.h"

#include <float.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANES = 16,        /* scores are compared with so many at once */
    COUNTED_MAX = 256, /* more than that are sorted */
    GROUPS_MAX = BEST_SCORES_ROOM,
};

typedef float floats __attribute__((vector_size(16)));
typedef int32_t ints __attribute__((vector_size(16)));
enum { VECTORS = LANES / 4 };

static uint32_t round_up(uint32_t value, uint32_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static void pad(best_scores *among, uint32_t to)
{
    for (uint32_t i = among->count; i < to; i++)
        among->scores[i] = NO_SCORE;
}

/* places[i] = number of scores that are better than scores[i]: larger, or equal and before it.
 * `count` is a multiple of LANES. */
static void count_places(const float *scores, uint32_t count, int32_t *places)
{
    for (uint32_t from = 0; from < count; from += LANES) {
        floats of[VECTORS];
        ints better[VECTORS] = {{0}};
        memcpy(of, scores + from, sizeof of);
        for (uint32_t i = 0; i < from; i++) {
            floats other = {scores[i], scores[i], scores[i], scores[i]};
            for (int v = 0; v < VECTORS; v++)
                better[v] -= other >= of[v]; /* a true lane is -1 */
        }
        for (int i = 0; i < LANES; i++) {
            float score = scores[from + (uint32_t)i];
            floats other = {score, score, score, score};
            for (int v = 0; v < VECTORS; v++) {
                ints is_before = (ints){v * 4, v * 4 + 1, v * 4 + 2, v * 4 + 3} > i;
                better[v] -= (other > of[v]) | ((other == of[v]) & is_before);
            }
        }
        for (uint32_t i = from + LANES; i < count; i++) {
            floats other = {scores[i], scores[i], scores[i], scores[i]};
            for (int v = 0; v < VECTORS; v++)
                better[v] -= other > of[v];
        }
        memcpy(places + from, better, sizeof better);
    }
}

/* A value that at least n scores reach; `padded` is a multiple of `groups`. */
static float bound_of_best(const float *restrict scores, uint32_t padded, uint32_t groups,
                           uint32_t n)
{
    float best[GROUPS_MAX], bound = FLT_MAX;
    int32_t places[GROUPS_MAX];
    memcpy(best, scores, groups * sizeof *best);
    for (uint32_t from = groups; from < padded; from += groups)
        for (uint32_t group = 0; group < groups; group++)
            best[group] = scores[from + group] > best[group] ? scores[from + group] : best[group];
    count_places(best, groups, places);
    for (uint32_t group = 0; group < groups; group++)
        bound = places[group] < (int32_t)n && best[group] < bound ? best[group] : bound;
    return bound;
}

static void keep_from(best_scores *among, float bound)
{
    float *scores = among->scores;
    uint32_t *items = among->items, kept = 0;
    for (uint32_t i = 0; i < among->count; i++) {
        float score = scores[i];
        scores[kept] = score;
        items[kept] = items[i];
        kept += score >= bound;
    }
    among->count = kept;
}

static uint32_t place_by_counting(best_scores *among, uint32_t n)
{
    int32_t places[COUNTED_MAX];
    uint32_t chosen = 0;
    pad(among, round_up(among->count, LANES));
    count_places(among->scores, round_up(among->count, LANES), places);
    for (uint32_t i = 0; i < among->count; i++) {
        among->order[places[i]] = i;
        chosen += among->scores[i] > 0;
    }
    return chosen < n ? chosen : n;
}

static int better_first(const void *left, const void *right, void *context)
{
    const float *scores = context;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (scores[a] != scores[b])
        return scores[a] > scores[b] ? -1 : 1;
    return a < b ? -1 : 1;
}

static uint32_t place_by_sorting(best_scores *among, uint32_t n)
{
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < among->count; i++) {
        among->order[chosen] = i;
        chosen += among->scores[i] > 0;
    }
    qsort_r(among->order, chosen, sizeof *among->order, better_first, among->scores);
    return chosen < n ? chosen : n;
}

uint32_t best_scores_choose(best_scores *among, uint32_t n)
{
    uint32_t groups = n > GROUPS_MAX ? GROUPS_MAX + 1 : round_up(n + n / 2, LANES);
    if (groups > GROUPS_MAX)
        return place_by_sorting(among, n);
    if (among->count > groups) {
        uint32_t padded = round_up(among->count, groups);
        pad(among, padded);
        keep_from(among, bound_of_best(among->scores, padded, groups, n));
    }
    return among->count <= COUNTED_MAX ? place_by_counting(among, n) : place_by_sorting(among, n);
}
