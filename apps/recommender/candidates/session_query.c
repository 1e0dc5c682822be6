/* candidates/session_query.c - the reading half: one prediction.
 *
 *   clicks ─► lists ─► merge, newest first, at most m ─► k most similar ─► sums per item ─► best n
 *     a:  9 7 4 2        9:a  8:b  7:ab  4:a ...            count by          integers (below) b:
 * 8 7 3                                             weight
 *
 * Weights are whole numbers until the end: r = w / U with w a sum of (L - p), and λ = (10 - q)
 * / 10. So the k best are found by counting candidates per w (Q2) without a sort or a heap, and the
 * sums per item are integers that do not depend on the order of addition (I1). A candidate's mark
 * holds w (low 16 bits) and the set of clicks it shares (bit p of the high 16): merging equal
 * sessions is one addition. */
#include "apps/recommender/candidates/best_scores.h"
#include "apps/recommender/candidates/session_index_private.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    WEIGHTS = SESSION_QUERY_ITEMS_MAX * (SESSION_QUERY_ITEMS_MAX + 1) / 2 + 1,
    LAMBDA_STEPS = 10,
    PREFETCH_AHEAD = 8,
    STREAM_ITEMS = 1024,
    COPY_ITEMS = BLOCK_SLACK_BYTES / sizeof(uint32_t),
};

typedef struct candidate_list {
    uint64_t *entries; /* newest first */
    uint32_t *marks;
} candidate_list;

typedef struct neighbour {
    uint32_t block;
    uint32_t mark;
} neighbour;

struct session_workspace {
    session_index *index;
    uint32_t lock_slot;
    uint32_t item_capacity;
    uint32_t *sums;      /* [item]; all 0 between queries */
    best_scores touched; /* items with a sum, in the order they were met */
    candidate_list merged, spare;
    neighbour *neighbours; /* newest first */
    uint32_t neighbour_count;
};

/* One of the query's lists. */
typedef struct click_list {
    const posting_list *list;
    uint32_t expired; /* oldest entries to leave out (I4) */
    uint32_t mark;
} click_list;

typedef struct click_lists {
    click_list lists[SESSION_QUERY_ITEMS_MAX]; /* by click, newest first */
    uint32_t count;
    uint32_t distinct; /* U, unknown items too */
    uint32_t current;  /* item number of the newest click, or INTERNER_NONE */
} click_lists;

session_query session_query_defaults(const leat_str *clicks, size_t click_count)
{
    return (session_query){.clicks = clicks,
                           .click_count = click_count,
                           .max_items = 3,
                           .candidates = 500,
                           .neighbours = 100,
                           .exclude_current = true};
}

session_workspace *session_workspace_new(session_index *index)
{
    session_workspace *workspace = leat__calloc(1, sizeof *workspace);
    uint32_t m = index->options.sessions_per_item;
    workspace->index = index;
    workspace->lock_slot = reader_lock_slot(&index->lock);
    workspace->merged.entries = leat__alloc(m * sizeof(uint64_t));
    workspace->merged.marks = leat__alloc(m * sizeof(uint32_t));
    workspace->spare.entries = leat__alloc(m * sizeof(uint64_t));
    workspace->spare.marks = leat__alloc(m * sizeof(uint32_t));
    workspace->neighbours = leat__alloc((m + 1) * sizeof(neighbour));
    return workspace;
}

void session_workspace_free(session_workspace *workspace)
{
    if (workspace == NULL)
        return;
    leat__free(workspace->sums);
    leat__free(workspace->touched.items);
    leat__free(workspace->touched.scores);
    leat__free(workspace->touched.order);
    leat__free(workspace->merged.entries);
    leat__free(workspace->merged.marks);
    leat__free(workspace->spare.entries);
    leat__free(workspace->spare.marks);
    leat__free(workspace->neighbours);
    leat__free(workspace);
}

static void fit_workspace(session_workspace *workspace)
{
    uint32_t items = workspace->index->item_capacity;
    if (workspace->item_capacity >= items)
        return;
    leat__free(workspace->sums);
    leat__free(workspace->touched.items);
    leat__free(workspace->touched.scores);
    leat__free(workspace->touched.order);
    workspace->sums = leat__calloc(items, sizeof(uint32_t));
    size_t room = (size_t)items + BEST_SCORES_ROOM;
    workspace->touched.items = leat__alloc(room * sizeof(uint32_t));
    workspace->touched.scores = leat__alloc(room * sizeof(float));
    workspace->touched.order = leat__alloc(room * sizeof(uint32_t));
    workspace->item_capacity = items;
}

/* ------------------------------------------------------------------ Q1: candidates */

static bool is_repeat(const session_query *query, size_t place)
{
    for (size_t newer = place + 1; newer < query->click_count; newer++)
        if (leat_str_equal(query->clicks[newer], query->clicks[place]))
            return true;
    return false;
}

static void find_lists(const session_index *index, const session_query *query, click_lists *found)
{
    uint32_t longest = query->max_items;
    if (longest == 0)
        longest = 1;
    if (longest > SESSION_QUERY_ITEMS_MAX)
        longest = SESSION_QUERY_ITEMS_MAX;
    uint32_t clicks = query->click_count < longest ? (uint32_t)query->click_count : longest;
    *found = (click_lists){.current = INTERNER_NONE};
    for (uint32_t ago = 0; ago < clicks; ago++) {
        size_t place = query->click_count - 1 - ago;
        if (is_repeat(query, place))
            continue;
        found->distinct++;
        uint32_t item = interner_find(&index->names, query->clicks[place]);
        if (ago == 0)
            found->current = item;
        if (item == INTERNER_NONE || index->lists[item].count == 0)
            continue;
        const posting_list *list = &index->lists[item];
        uint32_t expired = index->cutoff_ms == INT64_MIN ? 0 : session_expired_entries(index, list);
        if (expired == list->count)
            continue;
        found->lists[found->count++] = (click_list){
            .list = list, .expired = expired, .mark = (1u << (16 + ago)) | (clicks - ago)};
    }
}

static inline uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Where a list's newest entry is, and how many there are behind it. */
static const uint64_t *newest_of(const session_index *index, const click_list *list,
                                 uint32_t *count)
{
    *count = list->list->count - list->expired;
    return entries_of(index, list->list) + list->list->count - 1;
}

static uint32_t copy_list(const uint64_t *newest, uint32_t count, uint32_t mark,
                          const candidate_list *to)
{
    uint64_t *restrict entries = to->entries;
    uint32_t *restrict marks = to->marks;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = newest[-(ptrdiff_t)i];
        marks[i] = mark;
    }
    return count;
}

/* Merges two lists that are sorted newest first; a session in both adds its marks.  Without
 * branches but for two different sessions of about the same time. */
static uint32_t merge_list(const session_index *index, const candidate_list *have,
                           uint32_t have_count, const click_list *from, uint32_t limit,
                           const candidate_list *to)
{
    uint32_t other_count, mine = 0, theirs = 0, count = 0;
    const uint64_t *other = newest_of(index, from, &other_count);
    const uint64_t *restrict entries = have->entries;
    const uint32_t *restrict marks = have->marks;
    uint64_t *restrict to_entries = to->entries;
    uint32_t *restrict to_marks = to->marks;
    const uint32_t mark = from->mark;
    for (;;) { /* a step takes one of each at most, so so many need no look at the ends */
        uint32_t steps = least_of(have_count - mine, other_count - theirs);
        steps = count + least_of(steps, limit - count);
        if (count == steps)
            break;
        for (; count < steps; count++) {
            uint64_t left = entries[mine], right = other[-(ptrdiff_t)theirs];
            uint32_t take_left = left >= right, take_right = right >= left;
            if (__builtin_expect(left >> 32 == right >> 32 && left != right, 0)) {
                take_left = session_order_exactly(index, left, right) > 0;
                take_right = !take_left;
            }
            to_entries[count] = take_left ? left : right;
            to_marks[count] = (marks[mine] & (0U - take_left)) + (mark & (0U - take_right));
            mine += take_left;
            theirs += take_right;
        }
    }
    for (; mine < have_count && count < limit; mine++, count++) {
        to_entries[count] = entries[mine];
        to_marks[count] = marks[mine];
    }
    const candidate_list rest = {to_entries + count, to_marks + count};
    return count +
           copy_list(other - theirs, least_of(other_count - theirs, limit - count), mark, &rest);
}

static uint32_t merge_lists(session_workspace *workspace, const click_lists *found, uint32_t limit)
{
    const session_index *index = workspace->index;
    uint32_t count;
    const uint64_t *newest = newest_of(index, &found->lists[0], &count);
    count = copy_list(newest, least_of(count, limit), found->lists[0].mark, &workspace->merged);
    for (uint32_t i = 1; i < found->count; i++) {
        count = merge_list(index, &workspace->merged, count, &found->lists[i], limit,
                           &workspace->spare);
        candidate_list merged = workspace->spare;
        workspace->spare = workspace->merged;
        workspace->merged = merged;
    }
    return count;
}

/* ------------------------------------------------------------------ Q2: neighbours */

static inline uint32_t mark_weight(uint32_t mark)
{
    return mark & 0xffffu;
}
static inline uint32_t mark_clicks_ago(uint32_t mark)
{ /* q */
    return (uint32_t)__builtin_ctz(mark >> 16) + 1;
}

static void choose_neighbours(session_workspace *workspace, uint32_t candidates, uint32_t k)
{
    const candidate_list *from = &workspace->merged;
    uint32_t least = 0, of_least = candidates; /* take all above `least`, and so many equal to it */
    if (candidates > k) {
        uint32_t per_weight[WEIGHTS] = {0};
        for (uint32_t i = 0; i < candidates; i++)
            per_weight[mark_weight(from->marks[i])]++;
        uint32_t room = k;
        for (least = WEIGHTS - 1; per_weight[least] < room; least--)
            room -= per_weight[least];
        of_least = room;
    }
    neighbour *restrict to = workspace->neighbours;
    const uint64_t *restrict entries = from->entries;
    const uint32_t *restrict marks = from->marks;
    uint32_t count = 0;
    for (uint32_t i = 0; i < candidates; i++) {
        uint32_t mark = marks[i], weight = mark_weight(mark);
        bool equal = (weight == least) & (of_least != 0);
        of_least -= equal;
        to[count] = (neighbour){(uint32_t)entries[i], mark};
        count += (weight > least) | equal;
    }
    workspace->neighbour_count = count;
}

/* ------------------------------------------------------------------ Q3: scores */

/* λ · r in units of 1 / (10 U) */
static inline uint32_t neighbour_value(uint32_t mark)
{
    uint32_t q = mark_clicks_ago(mark);
    return q < LAMBDA_STEPS ? mark_weight(mark) * (LAMBDA_STEPS - q) : 0;
}

typedef struct item_stream {
    uint32_t items[STREAM_ITEMS + COPY_ITEMS], values[STREAM_ITEMS + COPY_ITEMS];
    uint32_t count;
} item_stream;

static void add_to_sums(session_workspace *workspace, item_stream *from)
{
    uint32_t *restrict sums = workspace->sums, *restrict touched = workspace->touched.items;
    uint32_t touched_count = workspace->touched.count;
    for (uint32_t i = 0; i < from->count; i++) {
        uint32_t item = from->items[i], sum = sums[item];
        touched[touched_count] = item;
        touched_count += sum == 0;
        sums[item] = sum + from->values[i];
    }
    workspace->touched.count = touched_count;
    from->count = 0;
}

/* Sessions are short and of all lengths: a loop over each one's items would end in a mispredicted
 * branch each time.  So items are first copied behind each other, eight at a time whether the
 * session has so many or not, and then summed in one long loop.  (The pool lets us read past the
 * end of a block: BLOCK_SLACK_BYTES.) */
static void sum_items(session_workspace *workspace)
{
    const session_index *index = workspace->index;
    const neighbour *neighbours = workspace->neighbours;
    const uint32_t count = workspace->neighbour_count;
    item_stream stream;
    stream.count = 0;
    workspace->touched.count = 0;
    for (uint32_t i = 0; i < count && i < PREFETCH_AHEAD; i++)
        __builtin_prefetch(session_at(index, neighbours[i].block));
    for (uint32_t i = 0; i < count; i++) {
        if (i + PREFETCH_AHEAD < count)
            __builtin_prefetch(session_at(index, neighbours[i + PREFETCH_AHEAD].block));
        uint32_t value = neighbour_value(neighbours[i].mark);
        if (value == 0)
            continue;
        const session_block *session = session_at(index, neighbours[i].block);
        for (uint32_t from = 0; from < session->item_count; from += COPY_ITEMS) {
            uint32_t left = session->item_count - from;
            if (stream.count > STREAM_ITEMS - COPY_ITEMS)
                add_to_sums(workspace, &stream);
            memcpy(stream.items + stream.count, session->items + from, COPY_ITEMS * sizeof value);
            for (uint32_t j = 0; j < COPY_ITEMS; j++)
                stream.values[stream.count + j] = value;
            stream.count += left < COPY_ITEMS ? left : COPY_ITEMS;
        }
    }
    add_to_sums(workspace, &stream);
}

/* ------------------------------------------------------------------ Q4: the best n */

/* Scores of the touched items, in units of 1 / (10 U), in the order they were met; the sums go back
 * to 0. */
static void score_items(session_workspace *workspace, uint32_t left_out)
{
    const session_index *index = workspace->index;
    const uint32_t *restrict touched = workspace->touched.items;
    const float *restrict ln_sessions_of = index->ln_sessions_of;
    uint32_t *restrict sums = workspace->sums;
    float *restrict scores = workspace->touched.scores;
    const float ln_sessions = index->ln_sessions;
    for (uint32_t met = 0; met < workspace->touched.count; met++) {
        uint32_t item = touched[met];
        float idf = ln_sessions - ln_sessions_of[item];
        idf = idf > SESSION_IDF_MIN ? idf : SESSION_IDF_MIN;
        scores[met] = item == left_out ? NO_SCORE : (float)(int32_t)sums[item] * idf;
        sums[item] = 0;
    }
}

static uint32_t choose_best(session_workspace *workspace, float unit, scored_item *out,
                            uint32_t capacity)
{
    best_scores *touched = &workspace->touched;
    const interner *names = &workspace->index->names;
    uint32_t count = best_scores_choose(touched, capacity);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t item = touched->items[touched->order[i]];
        out[i] = (scored_item){.item = interner_name(names, item),
                               .number = item,
                               .score = touched->scores[touched->order[i]] * unit};
    }
    return count;
}

static size_t query_locked(session_workspace *workspace, const session_query *query,
                           scored_item *out, size_t capacity)
{
    const session_index *index = workspace->index;
    fit_workspace(workspace);
    workspace->neighbour_count = 0;
    click_lists found;
    find_lists(index, query, &found);
    if (found.count == 0 || capacity == 0 || query->neighbours == 0)
        return 0;
    uint32_t m = index->options.sessions_per_item;
    if (query->candidates != 0 && query->candidates < m)
        m = query->candidates;
    uint32_t candidates = merge_lists(workspace, &found, m);
    choose_neighbours(workspace, candidates, query->neighbours);
    sum_items(workspace);
    score_items(workspace, query->exclude_current ? found.current : INTERNER_NONE);
    float unit = 1.0f / (float)(LAMBDA_STEPS * found.distinct);
    return choose_best(workspace, unit, out, (uint32_t)capacity);
}

size_t session_index_query(session_index *index, session_workspace *workspace,
                           const session_query *query, scored_item *out, size_t capacity)
{
    LEAT_ASSERT(workspace->index == index && capacity <= UINT32_MAX);
    reader_lock_read_begin(&index->lock, workspace->lock_slot);
    size_t count = query_locked(workspace, query, out, capacity);
    reader_lock_read_end(&index->lock, workspace->lock_slot);
    return count;
}

/* ------------------------------------------------------------------ why */

static bool contains(const session_block *session, uint32_t item)
{
    for (uint32_t i = 0; i < session->item_count; i++)
        if (session->items[i] == item)
            return true;
    return false;
}

static void explain(const session_workspace *workspace, uint32_t item, session_reason *reasons)
{
    session_reason by_click[SESSION_QUERY_ITEMS_MAX] = {0};
    uint64_t sums[SESSION_QUERY_ITEMS_MAX] = {0}, total = 0;
    for (uint32_t i = 0; i < workspace->neighbour_count; i++) {
        neighbour by = workspace->neighbours[i];
        const session_block *session = session_at(workspace->index, by.block);
        if (neighbour_value(by.mark) == 0 || !contains(session, item))
            continue;
        uint32_t q = mark_clicks_ago(by.mark);
        session_reason *reason = &by_click[q - 1];
        if (reason->sessions++ == 0)
            reason->last_time_ms = session->last_time_ms;
        reason->clicks_ago = q;
        sums[q - 1] += neighbour_value(by.mark);
        total += neighbour_value(by.mark);
    }
    memset(reasons, 0, SESSION_QUERY_ITEMS_MAX * sizeof *reasons);
    for (uint32_t click = 0; click < SESSION_QUERY_ITEMS_MAX; click++) {
        if (by_click[click].sessions == 0)
            continue;
        by_click[click].share = (float)((double)sums[click] / (double)total);
        *reasons++ = by_click[click];
    }
}

size_t session_index_query_explained(session_index *index, session_workspace *workspace,
                                     const session_query *query, scored_item *out, size_t capacity,
                                     session_reason *reasons)
{
    LEAT_ASSERT(workspace->index == index && capacity <= UINT32_MAX);
    reader_lock_read_begin(&index->lock, workspace->lock_slot);
    size_t count = query_locked(workspace, query, out, capacity);
    for (size_t i = 0; i < count; i++)
        explain(workspace, out[i].number, reasons + i * SESSION_QUERY_ITEMS_MAX);
    reader_lock_read_end(&index->lock, workspace->lock_slot);
    return count;
}
