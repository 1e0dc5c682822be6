/* candidates/session_index.c - the writing half: sessions come in, lists are kept sorted and short.
 *
 *   add ─► distinct items ─► count N, n_i ─► block for the session ─► insert into each item's list
 *                                   │                                      └ m+1 entries: oldest
 * goes └ time buckets ─► cutoff (I4)              └ references 0: freed
 *
 * Cost: an insert of the newest session appends; the slack of a full list makes the occasional
 * move to the front cheap per insert.  Nothing is ever scanned but a few lists per add, for
 * entries that the cutoff has passed. */
#include "apps/recommender/candidates/session_index_private.h"

#include <math.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    COARSE_SHIFT = 6,  /* an entry's time in units of 64 ms: 8.7 years in 32 bits */
    BUCKET_SHIFT = 16, /* I4 */
    FIRST_LIST_ENTRIES = 4,
    FIRST_ITEMS = 256,
    SWEEP_LISTS_PER_ADD = 16,
};
#define COARSE_BEFORE_FIRST_MS (INT64_C(1) << 37) /* 4.4 years may be before the first session */

session_index_options session_index_defaults(void)
{
    return (session_index_options){
        .sessions_per_item = 500, .min_session_items = 1, .max_session_items = 100};
}

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

session_index *session_index_new(const session_index_options *options)
{
    session_index *index = leat__calloc(1, sizeof *index);
    index->options = *options;
    index->options.sessions_per_item = clamp(options->sessions_per_item, 1, SESSION_RECENT_MAX);
    index->options.max_session_items = clamp(options->max_session_items, 1, SESSION_ITEMS_MAX);
    index->options.min_session_items =
        clamp(options->min_session_items, 1, index->options.max_session_items);
    index->scratch_items = leat__alloc(index->options.max_session_items * sizeof(uint32_t));
    index->cutoff_ms = INT64_MIN;
    return index;
}

void session_index_free(session_index *index)
{
    if (index == NULL)
        return;
    interner_free(&index->names);
    block_pool_free(&index->pool);
    leat__free(index->lists);
    leat__free(index->sessions_of);
    leat__free(index->ln_sessions_of);
    leat__free(index->last_seen_in);
    leat__free(index->scratch_items);
    leat__free(index->buckets);
    leat__free(index);
}

const session_index_options *session_index_options_of(const session_index *index)
{
    return &index->options;
}

/* ------------------------------------------------------------------ order of sessions */

int session_order_exactly(const session_index *index, uint64_t a, uint64_t b)
{
    if ((uint32_t)a == (uint32_t)b)
        return 0;
    const session_block *left = session_at(index, (uint32_t)a);
    const session_block *right = session_at(index, (uint32_t)b);
    if (left->last_time_ms != right->last_time_ms)
        return left->last_time_ms < right->last_time_ms ? -1 : 1;
    size_t common = left->id_length < right->id_length ? left->id_length : right->id_length;
    int order = memcmp(session_id_of(left), session_id_of(right), common);
    return order != 0 ? order : (int)left->id_length - (int)right->id_length;
}

/* Any map of time that never goes back will do: where it is too coarse, or clamped, the exact
 * order decides.  So the base may depend on which session came first without breaking I1. */
static uint64_t entry_of(session_index *index, int64_t time_ms, uint32_t block)
{
    if (!index->has_base) {
        index->has_base = true;
        index->base_ms = time_ms < INT64_MIN + COARSE_BEFORE_FIRST_MS
                             ? INT64_MIN
                             : time_ms - COARSE_BEFORE_FIRST_MS;
    }
    uint64_t coarse = 0;
    if (time_ms > index->base_ms)
        coarse = ((uint64_t)time_ms - (uint64_t)index->base_ms) >> COARSE_SHIFT;
    if (coarse > UINT32_MAX)
        coarse = UINT32_MAX;
    return coarse << 32 | block;
}

/* How many of the `count` entries are older than `entry`.  The newest are looked at first: most
 * sessions close in the order of their time. */
static uint32_t place_of(const session_index *index, const uint64_t *entries, uint32_t count,
                         uint64_t entry)
{
    uint32_t low = 0, high = count;
    for (uint32_t step = 1; high > 0; step *= 2) {
        uint32_t probe = high > step ? high - step : 0;
        if (session_order(index, entries[probe], entry) < 0) {
            low = probe + 1;
            break;
        }
        high = probe;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (session_order(index, entries[middle], entry) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ------------------------------------------------------------------ lists */

static void release_session(session_index *index, uint32_t block)
{
    const session_block *session = session_at(index, block);
    size_t size = sizeof *session + session->item_count * sizeof(uint32_t) + session->id_length;
    block_pool_release(&index->pool, block, size);
    index->sessions_stored--;
}

static void drop_oldest(session_index *index, posting_list *list, uint32_t how_many)
{
    const uint64_t *oldest = entries_of(index, list);
    for (uint32_t i = 0; i < how_many; i++) {
        uint32_t block = (uint32_t)oldest[i];
        if (--session_at(index, block)->references == 0)
            release_session(index, block);
    }
    list->start += how_many;
    list->count -= how_many;
    index->list_entries -= how_many;
}

/* Lists grow by half; a full-length one gets an eighth of slack to slide in. */
static uint32_t next_capacity(const session_index *index, uint32_t capacity)
{
    uint32_t longest = index->options.sessions_per_item;
    longest += longest / 8 + 2; /* + the one that is inserted before the oldest goes */
    uint32_t next = capacity == 0 ? FIRST_LIST_ENTRIES : capacity + capacity / 2;
    if (next > longest)
        next = longest;
    return (uint32_t)(block_pool_rounded_bytes(next * sizeof(uint64_t)) / sizeof(uint64_t));
}

/* Makes room for one more entry behind the newest. */
static void make_room(session_index *index, posting_list *list)
{
    if (list->start + list->count < list->capacity)
        return;
    if (list->start > list->count / 16) {
        uint64_t *entries = entries_of(index, list);
        memmove(entries - list->start, entries, list->count * sizeof *entries);
        list->start = 0;
        return;
    }
    uint32_t capacity = next_capacity(index, list->capacity);
    uint32_t block = block_pool_alloc(&index->pool, capacity * sizeof(uint64_t));
    if (list->count != 0)
        memcpy(block_pool_at(&index->pool, block), entries_of(index, list),
               list->count * sizeof(uint64_t));
    if (list->capacity != 0)
        block_pool_release(&index->pool, list->block, list->capacity * sizeof(uint64_t));
    *list = (posting_list){.block = block, .count = list->count, .capacity = capacity};
}

static void insert_entry(session_index *index, posting_list *list, uint64_t entry)
{
    uint32_t longest = index->options.sessions_per_item;
    uint32_t place =
        list->count == 0 ? 0 : place_of(index, entries_of(index, list), list->count, entry);
    if (list->count >= longest && place == 0)
        return; /* older than all of a full list */
    make_room(index, list);
    uint64_t *entries = entries_of(index, list);
    memmove(entries + place + 1, entries + place, (list->count - place) * sizeof *entries);
    entries[place] = entry;
    list->count++;
    index->list_entries++;
    session_at(index, (uint32_t)entry)->references++;
    if (list->count > longest)
        drop_oldest(index, list, list->count - longest);
}

uint32_t session_expired_entries(const session_index *index, const posting_list *list)
{
    if (list->count == 0)
        return 0;
    const uint64_t *entries = entries_of(index, list);
    uint32_t low = 0, high = list->count;
    if (session_at(index, (uint32_t)entries[0])->last_time_ms >= index->cutoff_ms)
        return 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (session_at(index, (uint32_t)entries[middle])->last_time_ms < index->cutoff_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* A few lists per add lose what the cutoff has passed, so that all are visited again and again. */
static void sweep(session_index *index)
{
    for (uint32_t i = 0; i < SWEEP_LISTS_PER_ADD && index->names.count != 0; i++) {
        if (index->sweep_item >= index->names.count)
            index->sweep_item = 0;
        posting_list *list = &index->lists[index->sweep_item++];
        drop_oldest(index, list, session_expired_entries(index, list));
    }
}

/* ------------------------------------------------------------------ retention (I4) */

static void make_bucket_room(session_index *index)
{
    if (index->bucket_first + index->bucket_count < index->bucket_capacity)
        return;
    if (index->bucket_first > index->bucket_count) {
        memmove(index->buckets, index->buckets + index->bucket_first,
                index->bucket_count * sizeof *index->buckets);
        index->bucket_first = 0;
    } else {
        index->bucket_capacity = index->bucket_capacity * 2 + 64;
        index->buckets =
            leat__realloc(index->buckets, index->bucket_capacity, sizeof *index->buckets);
    }
}

/* Buckets are kept by number, oldest first; sessions mostly arrive in the newest. */
static time_bucket *bucket_for(session_index *index, int64_t number)
{
    make_bucket_room(index);
    time_bucket *first = index->buckets + index->bucket_first;
    uint32_t place = index->bucket_count;
    while (place > 0 && first[place - 1].number > number)
        place--;
    if (place > 0 && first[place - 1].number == number)
        return &first[place - 1];
    memmove(first + place + 1, first + place, (index->bucket_count - place) * sizeof *first);
    index->bucket_count++;
    first[place] = (time_bucket){.number = number};
    return &first[place];
}

/* false: the session is older than what is kept. */
static bool retain(session_index *index, int64_t time_ms)
{
    if (index->options.max_sessions == 0)
        return true;
    if (time_ms < index->cutoff_ms)
        return false;
    bucket_for(index, time_ms >> BUCKET_SHIFT)->sessions++;
    index->bucket_sessions++;
    while (index->bucket_sessions > index->options.max_sessions && index->bucket_count > 1) {
        const time_bucket *oldest = &index->buckets[index->bucket_first++];
        index->bucket_count--;
        index->bucket_sessions -= oldest->sessions;
        index->cutoff_ms = (oldest->number + 1) * (INT64_C(1) << BUCKET_SHIFT);
    }
    return time_ms >= index->cutoff_ms;
}

/* ------------------------------------------------------------------ adding */

static void grow_items(session_index *index)
{
    if (index->names.count <= index->item_capacity)
        return;
    uint32_t old = index->item_capacity;
    uint32_t capacity = old == 0 ? FIRST_ITEMS : old * 2;
    index->item_capacity = capacity;
    index->lists = leat__realloc(index->lists, capacity, sizeof *index->lists);
    index->sessions_of = leat__realloc(index->sessions_of, capacity, sizeof(uint32_t));
    index->ln_sessions_of = leat__realloc(index->ln_sessions_of, capacity, sizeof(float));
    index->last_seen_in = leat__realloc(index->last_seen_in, capacity, sizeof(uint32_t));
    memset(index->lists + old, 0, (capacity - old) * sizeof *index->lists);
    memset(index->sessions_of + old, 0, (capacity - old) * sizeof(uint32_t));
    memset(index->ln_sessions_of + old, 0, (capacity - old) * sizeof(float));
    memset(index->last_seen_in + old, 0, (capacity - old) * sizeof(uint32_t));
}

/* Distinct items, newest click first, into the scratch; more than max_session_items: that + 1. */
static uint32_t distinct_items(session_index *index, const leat_str *items, size_t count)
{
    uint32_t distinct = 0;
    if (++index->add_number == 0) { /* after 2^32 adds the stamps start again */
        memset(index->last_seen_in, 0, index->item_capacity * sizeof(uint32_t));
        index->add_number = 1;
    }
    for (size_t i = count; i-- > 0;) {
        uint32_t item = interner_add(&index->names, items[i]);
        grow_items(index);
        if (index->last_seen_in[item] == index->add_number)
            continue;
        index->last_seen_in[item] = index->add_number;
        if (distinct == index->options.max_session_items)
            return distinct + 1;
        index->scratch_items[distinct++] = item;
    }
    return distinct;
}

static uint32_t store_session(session_index *index, leat_str id, uint32_t item_count,
                              int64_t last_time_ms)
{
    size_t items_bytes = item_count * sizeof(uint32_t);
    uint32_t block =
        block_pool_alloc(&index->pool, sizeof(session_block) + items_bytes + id.length);
    session_block *session = session_at(index, block);
    session->last_time_ms = last_time_ms;
    session->references = 0;
    session->item_count = (uint16_t)item_count;
    session->id_length = (uint16_t)id.length;
    memcpy(session->items, index->scratch_items, items_bytes);
    if (id.length != 0)
        memcpy((char *)session->items + items_bytes, id.data, id.length);
    index->sessions_stored++;
    return block;
}

static bool is_duplicate(const session_index *index, uint64_t entry)
{
    const posting_list *list = &index->lists[index->scratch_items[0]];
    if (list->count == 0)
        return false;
    const uint64_t *entries = entries_of(index, list);
    uint32_t place = place_of(index, entries, list->count, entry);
    return place < list->count && session_order(index, entries[place], entry) == 0;
}

static session_added add_locked(session_index *index, leat_str id, const leat_str *items,
                                size_t item_count, int64_t last_time_ms)
{
    uint32_t distinct = distinct_items(index, items, item_count);
    if (distinct < index->options.min_session_items)
        return SESSION_TOO_SHORT;
    if (distinct > index->options.max_session_items)
        return SESSION_TOO_LONG;
    uint32_t block = store_session(index, id, distinct, last_time_ms);
    uint64_t entry = entry_of(index, last_time_ms, block);
    if (is_duplicate(index, entry)) {
        release_session(index, block);
        return SESSION_DUPLICATE;
    }
    index->sessions_counted++;
    index->ln_sessions = (float)log((double)index->sessions_counted);
    for (uint32_t i = 0; i < distinct; i++) {
        uint32_t item = index->scratch_items[i];
        index->ln_sessions_of[item] = (float)log((double)++index->sessions_of[item]);
    }
    bool kept = retain(index, last_time_ms);
    for (uint32_t i = 0; kept && i < distinct; i++)
        insert_entry(index, &index->lists[index->scratch_items[i]], entry);
    if (session_at(index, block)->references == 0)
        release_session(index, block);
    if (index->cutoff_ms != INT64_MIN)
        sweep(index);
    return kept ? SESSION_ADDED : SESSION_TOO_OLD;
}

session_added session_index_add(session_index *index, leat_str session_id, const leat_str *items,
                                size_t item_count, int64_t last_time_ms)
{
    LEAT_ASSERT(session_id.length <= SESSION_ID_BYTES_MAX);
    reader_lock_write_begin(&index->lock);
    session_added result = add_locked(index, session_id, items, item_count, last_time_ms);
    if (result != SESSION_ADDED && result != SESSION_TOO_OLD)
        index->sessions_left_out++;
    reader_lock_write_end(&index->lock);
    return result;
}
