/* candidates/best_scores.h - the n best of some scored items, in order, without a branch that
 * depends on the scores.
 *
 * A heap mispredicts a branch at nearly every step, which cost more than all the rest of a
 * prediction.  Here places are counted instead: the place of a score is the number of better ones.
 * That is quadratic, so first a bound is found that at least n scores reach, and few others:
 *
 *   scores  s0 s1 s2 ... dealt to 3/2 n groups ─► best of each group ─► n-th best of these = bound
 *   scores that reach the bound ─► places by counting ─► order[place]
 *
 * Long lists, and crowds of equal scores, are sorted by the library instead. */
#ifndef RECOMMENDER_BEST_SCORES_H
#define RECOMMENDER_BEST_SCORES_H
#include <stdint.h>

#define NO_SCORE (-1.0F)        /* an item that must not be chosen; all others are above 0 */
enum { BEST_SCORES_ROOM = 96 }; /* more elements than `count` that the arrays must have room for */

typedef struct best_scores {
    float *scores;   /* [count + BEST_SCORES_ROOM] */
    uint32_t *items; /* the same; whatever goes with a score */
    uint32_t *order; /* the same; the result */
    uint32_t count;
} best_scores;

/* order[0], order[1] ... become the places, in scores and items, of the best n, best first; equal
 * scores stay in their order.  Returns how many.  Scores and items are compacted on the way. */
uint32_t best_scores_choose(best_scores *among, uint32_t n);
#endif
