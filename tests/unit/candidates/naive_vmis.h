/* A second VMIS-kNN that shares no code with the index: everything is scanned, the published
 * walk (list by list, evicting the oldest candidate) is done literally.  For tests and for the
 * check that the benchmark makes before it prints a speed. */
#ifndef TEST_NAIVE_VMIS_H
#define TEST_NAIVE_VMIS_H
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/recommender/candidates/session_index.h"

typedef struct naive_session {
    leat_str id;
    int64_t last_time_ms;
    leat_str *clicks; /* oldest first, repeats allowed */
    size_t click_count;
} naive_session;

typedef struct naive_index {
    const naive_session **newest_first; /* those that count */
    size_t count;
    uint32_t m;
} naive_index;

typedef struct naive_result {
    leat_str item;
    double score;
    size_t met;
} naive_result;

static inline int naive_bytes_order(leat_str a, leat_str b)
{
    int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static inline int naive_newer_first(const void *left, const void *right)
{
    const naive_session *a = *(const naive_session *const *)left;
    const naive_session *b = *(const naive_session *const *)right;
    if (a->last_time_ms != b->last_time_ms)
        return a->last_time_ms > b->last_time_ms ? -1 : 1;
    return naive_bytes_order(b->id, a->id);
}

static inline bool naive_contains(const naive_session *session, leat_str item)
{
    for (size_t i = 0; i < session->click_count; i++)
        if (leat_str_equal(session->clicks[i], item))
            return true;
    return false;
}

static inline bool naive_is_newest_place(const leat_str *clicks, size_t count, size_t place)
{
    for (size_t i = place + 1; i < count; i++)
        if (leat_str_equal(clicks[i], clicks[place]))
            return false;
    return true;
}

static inline size_t naive_distinct(const naive_session *session)
{
    size_t distinct = 0;
    for (size_t i = 0; i < session->click_count; i++)
        distinct += naive_is_newest_place(session->clicks, session->click_count, i);
    return distinct;
}

static inline naive_index naive_build(const naive_session *sessions, size_t count, uint32_t m,
                                      uint32_t min_items, uint32_t max_items)
{
    naive_index index = {.newest_first = calloc(count + 1, sizeof(void *)), .m = m};
    for (size_t i = 0; i < count; i++) {
        size_t distinct = naive_distinct(&sessions[i]);
        if (distinct >= min_items && distinct <= max_items)
            index.newest_first[index.count++] = &sessions[i];
    }
    qsort(index.newest_first, index.count, sizeof(void *), naive_newer_first);
    return index;
}

static inline void naive_free(naive_index *index)
{
    free(index->newest_first);
}

/* The item's list as positions in newest_first, ascending: newest first.  Returns its length. */
static inline size_t naive_list(const naive_index *index, leat_str item, size_t *out)
{
    size_t count = 0;
    for (size_t i = 0; i < index->count && count < index->m; i++)
        if (naive_contains(index->newest_first[i], item))
            out[count++] = i;
    return count;
}

static inline size_t naive_item_sessions(const naive_index *index, leat_str item)
{
    size_t count = 0;
    for (size_t i = 0; i < index->count; i++)
        count += naive_contains(index->newest_first[i], item);
    return count;
}

typedef struct naive_candidates {
    double *similarity;   /* by position in newest_first; 0: not a candidate */
    size_t count, oldest; /* the candidate with the largest position */
} naive_candidates;

static inline void naive_find_oldest(naive_candidates *candidates, size_t sessions)
{
    candidates->oldest = 0;
    for (size_t i = 0; i < sessions; i++)
        if (candidates->similarity[i] > 0)
            candidates->oldest = i;
}

static inline void naive_walk_list(const naive_index *index, naive_candidates *candidates,
                                   const size_t *list, size_t length, double weight, size_t m)
{
    for (size_t i = 0; i < length; i++) {
        size_t session = list[i];
        if (candidates->similarity[session] > 0) {
            candidates->similarity[session] += weight;
        } else if (candidates->count < m) {
            candidates->similarity[session] = weight;
            candidates->count++;
        } else if (session < candidates->oldest) {
            candidates->similarity[candidates->oldest] = 0;
            candidates->similarity[session] = weight;
        } else {
            break;
        }
        naive_find_oldest(candidates, index->count);
    }
}

/* The k most similar, as positions in ascending order (newest first). */
static inline size_t naive_neighbours(const naive_index *index, const naive_candidates *candidates,
                                      size_t k, size_t *out)
{
    size_t count = 0;
    for (size_t i = 0; i < index->count; i++) {
        if (!(candidates->similarity[i] > 0))
            continue;
        size_t better = 0;
        for (size_t j = 0; j < index->count; j++) {
            double other = candidates->similarity[j] - candidates->similarity[i];
            better += other > 1e-9 || (fabs(other) <= 1e-9 && j < i);
        }
        if (better < k)
            out[count++] = i;
    }
    return count;
}

static inline int naive_better_first(const void *left, const void *right)
{
    const naive_result *a = left, *b = right;
    if (fabs(a->score - b->score) > 1e-6 * fabs(a->score))
        return a->score > b->score ? -1 : 1;
    return a->met < b->met ? -1 : 1;
}

static inline void naive_add_score(naive_result *results, size_t *count, leat_str item, double add)
{
    size_t place = 0;
    while (place < *count && !leat_str_equal(results[place].item, item))
        place++;
    if (place == *count)
        results[(*count)++] = (naive_result){.item = item, .met = place};
    results[place].score += add;
}

/* The best items, best first; `results` has room for every distinct item of the index. */
static inline size_t naive_query(const naive_index *index, const session_query *query,
                                 naive_result *results)
{
    size_t clicks = query->click_count < query->max_items ? query->click_count : query->max_items;
    const leat_str *session = query->clicks + (query->click_count - clicks);
    size_t m =
        query->candidates != 0 && query->candidates < index->m ? query->candidates : index->m;
    naive_candidates candidates = {calloc(index->count + 1, sizeof(double)), 0, 0};
    size_t *list = calloc(index->count + 1, sizeof *list);
    double distinct = 0;
    for (size_t i = 0; i < clicks; i++)
        distinct += naive_is_newest_place(session, clicks, i);
    for (size_t p = 0; p < clicks; p++) {
        size_t place = clicks - 1 - p;
        if (!naive_is_newest_place(session, clicks, place))
            continue;
        size_t length = naive_list(index, session[place], list);
        naive_walk_list(index, &candidates, list, length, (double)(clicks - p) / distinct, m);
    }
    size_t neighbours = naive_neighbours(index, &candidates, query->neighbours, list), count = 0;
    for (size_t i = 0; i < neighbours; i++) {
        const naive_session *by = index->newest_first[list[i]];
        size_t q = 1;
        while (!naive_contains(by, session[clicks - q]))
            q++;
        double lambda = 1.0 - 0.1 * (double)q;
        if (q >= 10)
            continue;
        for (size_t j = by->click_count; j-- > 0;) {
            if (!naive_is_newest_place(by->clicks, by->click_count, j))
                continue;
            size_t with_item = naive_item_sessions(index, by->clicks[j]);
            double idf = log((double)index->count / (double)with_item);
            naive_add_score(results, &count, by->clicks[j],
                            lambda * candidates.similarity[list[i]] *
                                fmax(idf, (double)SESSION_IDF_MIN));
        }
    }
    qsort(results, count, sizeof *results, naive_better_first);
    free(candidates.similarity);
    free(list);
    if (!query->exclude_current || clicks == 0)
        return count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!leat_str_equal(results[i].item, session[clicks - 1]))
            results[kept++] = results[i];
    return kept;
}
#endif
