/* state/list.c - lists: arrays of decoded elements that an undo never has to copy.
 *
 *     data    [ gone | gone | e0 | e1 | e2 |      ]
 *                            ^first     ^first + count
 *
 *     append writes behind the end, trim and del move `first`; so between begin and commit the old
 *     elements stay where they are, and an undo restores {first, count}.  Only what moves elements
 *     (expiry in the middle) or refreshes times saves the arrays.  commit forgets what is gone. */
#include "base/limits.h"
#include "base/mem.h"
#include "state/internal.h"

enum { CAPACITY_MIN = 4, COMPACT_MIN = 16 };

static char *element_at(const leat__cells *cells, const leat__items *items, size_t index)
{
    return items->data + index * cells->value_bytes;
}

static size_t array_bytes(const leat__cells *cells, size_t count)
{
    size_t each = cells->value_bytes + (cells->slot.ttl_ms != 0 ? sizeof(int64_t) : 0) +
                  (cells->flat ? 0 : sizeof(leat__block *));
    return count * each;
}

static void reserve(leat__store *store, const leat__cells *cells, leat__items *items)
{
    if (items->first + items->count < items->capacity)
        return;
    LEAT__COUNT(store->cache_bytes, -array_bytes(cells, items->capacity));
    items->capacity = items->capacity != 0 ? items->capacity * 2 : CAPACITY_MIN;
    if (items->data != NULL && leat__is_lent(store, cells)) { /* S5 */
        char *larger = leat__realloc(NULL, items->capacity, cells->value_bytes);
        memcpy(larger, items->data, ((size_t)items->first + items->count) * cells->value_bytes);
        leat__retire(store, items->data);
        items->data = larger;
    } else {
        items->data = leat__realloc(items->data, items->capacity, cells->value_bytes);
    }
    if (cells->slot.ttl_ms != 0)
        items->times = leat__realloc(items->times, items->capacity, sizeof *items->times);
    if (!cells->flat)
        items->blocks = leat__realloc(items->blocks, items->capacity, sizeof *items->blocks);
    LEAT__COUNT(store->cache_bytes, array_bytes(cells, items->capacity));
}

void *leat__list_push(leat__store *store, const leat__cells *cells, leat__entry *entry,
                      int64_t time_ms)
{
    leat__items *items = leat__entry_items(entry);
    reserve(store, cells, items);
    size_t at = (size_t)items->first + items->count;
    if (items->times != NULL) {
        if (items->count != 0 && items->times[at - 1] > time_ms)
            items->unsorted = 1;
        items->times[at] = time_ms;
    }
    if (items->blocks != NULL)
        items->blocks[at] = NULL;
    items->count++;
    entry->flags |= LEAT__PRESENT;
    return memset(element_at(cells, items, at), 0, cells->value_bytes);
}

static void free_blocks(leat__store *store, leat__items *items, size_t from, size_t to)
{
    for (size_t i = from; items->blocks != NULL && i < to; i++) {
        LEAT__COUNT(store->cache_bytes, -leat__block_bytes(items->blocks[i]));
        leat__free(items->blocks[i]);
        items->blocks[i] = NULL;
    }
}

void leat__list_free(leat__store *store, const leat__cells *cells, leat__entry *entry)
{
    leat__items *items = leat__entry_items(entry);
    free_blocks(store, items, items->first, (size_t)items->first + items->count);
    LEAT__COUNT(store->cache_bytes, -array_bytes(cells, items->capacity));
    leat__free(items->data);
    leat__free(items->times);
    leat__free(items->blocks);
    leat__free(items->chunk_counts);
    *items = (leat__items){0};
}

/* ---------------------------------------------------------------- undo */

static void push_arrays(leat__store *store, const leat__cells *cells, leat__entry *entry)
{
    const leat__items *items = leat__entry_items(entry);
    uint32_t counters[3] = {items->first, items->count, items->rewrite};
    leat__undo_push(store, entry, LEAT__UNDO_ARRAYS, counters, sizeof counters);
    leat__buffer *data = &store->undo_data;
    leat__buffer_bytes(data, element_at(cells, items, items->first),
                       (size_t)items->count * cells->value_bytes);
    if (items->times != NULL)
        leat__buffer_bytes(data, items->times + items->first, items->count * sizeof *items->times);
    if (items->blocks != NULL)
        leat__buffer_bytes(data, items->blocks + items->first,
                           items->count * sizeof *items->blocks);
}

static void restore_arrays(const leat__cells *cells, leat__items *items, const char *data)
{
    size_t element_bytes = (size_t)items->count * cells->value_bytes;
    memcpy(element_at(cells, items, items->first), data, element_bytes);
    data += element_bytes;
    if (items->times != NULL) {
        memcpy(items->times + items->first, data, items->count * sizeof *items->times);
        data += items->count * sizeof *items->times;
    }
    if (items->blocks != NULL)
        memcpy(items->blocks + items->first, data, items->count * sizeof *items->blocks);
}

void leat__list_undo(leat__store *store, const leat__cells *cells, leat__entry *entry,
                     const leat__undo *undo)
{
    leat__items *items = leat__entry_items(entry);
    const char *data = store->undo_data.data + undo->data_at;
    uint32_t counters[3];
    memcpy(counters, data, sizeof counters);
    free_blocks(store, items, (size_t)counters[0] + counters[1],
                (size_t)items->first + items->count);
    items->first = counters[0];
    items->count = counters[1];
    items->rewrite = counters[2];
    if (undo->kind == LEAT__UNDO_ARRAYS) {
        restore_arrays(cells, items, data + sizeof counters);
        items->unsorted = 1; /* for all we know */
    }
}

static void compact(const leat__cells *cells, leat__items *items)
{
    memmove(items->data, element_at(cells, items, items->first),
            (size_t)items->count * cells->value_bytes);
    if (items->times != NULL)
        memmove(items->times, items->times + items->first, items->count * sizeof *items->times);
    if (items->blocks != NULL)
        memmove(items->blocks, items->blocks + items->first, items->count * sizeof *items->blocks);
    items->first = 0;
}

void leat__list_commit(leat__store *store, const leat__cells *cells, leat__entry *entry,
                       const leat__undo *undo)
{
    if (undo->kind != LEAT__UNDO_ITEMS)
        return;
    leat__items *items = leat__entry_items(entry);
    uint32_t first_before;
    memcpy(&first_before, store->undo_data.data + undo->data_at, sizeof first_before);
    for (size_t i = first_before; items->blocks != NULL && i < items->first; i++) {
        leat__bury(store, items->blocks[i]); /* another value of the callback may point there */
        items->blocks[i] = NULL;
    }
    items->dropped += items->first - first_before;
    if (items->count == 0)
        items->unsorted = 0;
    if (items->first >= COMPACT_MIN && items->first >= items->count)
        compact(cells, items);
}

/* ---------------------------------------------------------------- TTL: elements expire singly (S2)
 */

static void drop_front(leat__store *store, leat__entry *entry, uint32_t count)
{
    if (count == 0)
        return;
    leat__entry_touch(store, entry);
    leat__items *items = leat__entry_items(entry);
    items->first += count;
    items->count -= count;
    if (items->count == 0)
        entry->flags &= (uint8_t)~LEAT__PRESENT;
}

void leat__list_clear(leat__store *store, leat__entry *entry)
{
    drop_front(store, entry, leat__entry_items(entry)->count);
}

static void swap_down(const leat__cells *cells, leat__items *items, size_t from, size_t to,
                      char *spare)
{
    size_t bytes = cells->value_bytes;
    memcpy(spare, element_at(cells, items, from), bytes);
    memmove(element_at(cells, items, to + 1), element_at(cells, items, to), (from - to) * bytes);
    memcpy(element_at(cells, items, to), spare, bytes);
    int64_t time_ms = items->times[from];
    memmove(&items->times[to + 1], &items->times[to], (from - to) * sizeof time_ms);
    items->times[to] = time_ms;
    if (items->blocks == NULL)
        return;
    leat__block *block = items->blocks[from];
    memmove(&items->blocks[to + 1], &items->blocks[to], (from - to) * sizeof block);
    items->blocks[to] = block;
}

/* Late elements carry earlier times, so one in the middle can be the first to expire: it moves to
 * the front, where it can be dropped like any other. */
static uint32_t gather_expired(leat__store *store, leat__cells *cells, leat__entry *entry,
                               int64_t now_ms)
{
    leat__items *items = leat__entry_items(entry);
    uint32_t gathered = 0;
    char *spare = NULL;
    for (uint32_t i = 0; i < items->count; i++) {
        if (!leat__time_expired(cells, items->times[items->first + i], now_ms))
            continue;
        if (i != gathered) {
            if (spare == NULL) {
                leat__entry_touch(store, entry);
                push_arrays(store, cells, entry);
                spare = leat__alloc(cells->value_bytes);
                items->rewrite = 1;
            }
            swap_down(cells, items, (size_t)items->first + i, (size_t)items->first + gathered,
                      spare);
        }
        gathered++;
    }
    leat__free(spare);
    return gathered;
}

/* Times before below_ms become now_ms. */
static void refresh(leat__store *store, leat__cells *cells, leat__entry *entry, int64_t below_ms,
                    int64_t now_ms)
{
    leat__items *items = leat__entry_items(entry);
    int64_t *times = items->times + items->first, greatest_ms = LEAT_TIME_MIN;
    uint32_t others = 0;
    while (others < items->count && times[others] >= below_ms)
        others++;
    if (others == items->count)
        return;
    leat__entry_touch(store, entry);
    push_arrays(store, cells, entry);
    items->rewrite = 1;
    items->unsorted = 0;
    for (uint32_t i = 0; i < items->count; i++) {
        if (times[i] < below_ms)
            times[i] = now_ms;
        if (times[i] < greatest_ms)
            items->unsorted = 1;
        else
            greatest_ms = times[i];
    }
}

void leat__list_expire(leat__store *store, leat__cells *cells, leat__entry *entry, int64_t now_ms)
{
    leat__items *items = leat__entry_items(entry);
    if (items->times == NULL || items->count == 0)
        return;
    bool unknown = items->unsorted != 0 || items->times[items->first] == LEAT_TIME_MIN;
    if (unknown && now_ms != LEAT_TIME_MIN)
        refresh(store, cells, entry, LEAT_TIME_MIN + 1, now_ms);
    uint32_t expired = 0;
    if (items->unsorted != 0)
        expired = gather_expired(store, cells, entry, now_ms);
    else
        while (expired < items->count &&
               leat__time_expired(cells, items->times[items->first + expired], now_ms))
            expired++;
    drop_front(store, entry, expired);
}

/* ---------------------------------------------------------------- the interface */

/* R19: the callback is told when it has returned. */
static void check_size(leat__store *store, const leat__cells *cells, leat__entry *entry,
                       size_t element_bytes)
{
    if (element_bytes + entry->key_bytes < LEAT__LARGE_ROW_BYTES ||
        store->too_big.status != LEAT_OK)
        return;
    size_t row_bytes = leat__list_row_bytes(store, cells, entry);
    if (row_bytes > LEAT__RECORD_BYTES_MAX)
        (void)leat__row_too_big(&store->too_big, cells, entry, row_bytes);
}

void leat__store_append(leat__store *store, size_t slot, const void *element)
{
    leat__cells *cells = &store->cells_of[slot];
    LEAT_ASSERT(cells->role == LEAT__ROLE_LIST);
    leat__entry *entry = leat__cache_entry(store, cells);
    int64_t now_ms = leat__now(store, cells);
    leat__list_expire(store, cells, entry, now_ms);
    leat__entry_touch(store, entry);
    void *copy = leat__list_push(store, cells, entry, now_ms);
    memcpy(copy, element, cells->value_bytes);
    size_t element_bytes = cells->value_bytes;
    if (!cells->flat) {
        const leat__items *items = leat__entry_items(entry);
        leat__block *block = leat__value_copy(cells->slot.type, copy);
        items->blocks[items->first + items->count - 1] = block;
        LEAT__COUNT(store->cache_bytes, leat__block_bytes(block));
        element_bytes += leat__block_bytes(block);
    }
    store->dirty_bytes += element_bytes;
    check_size(store, cells, entry, element_bytes);
}

size_t leat__store_list(leat__store *store, size_t slot, const void **elements)
{
    leat__cells *cells = &store->cells_of[slot];
    LEAT_ASSERT(cells->role == LEAT__ROLE_LIST);
    *elements = NULL;
    leat__entry *entry = leat__cache_find(store, cells);
    if (entry == NULL || (entry->flags & LEAT__PRESENT) == 0)
        return 0;
    int64_t now_ms = leat__now(store, cells);
    leat__list_expire(store, cells, entry, now_ms);
    const leat__items *items = leat__entry_items(entry);
    if (items->count == 0)
        return 0;
    if (cells->slot.ttl_on_read && items->times != NULL)
        refresh(store, cells, entry, now_ms, now_ms);
    cells->lent_serial = store->callback_serial;
    *elements = element_at(cells, items, items->first);
    return items->count;
}

void leat__store_trim(leat__store *store, size_t slot, size_t keep_newest)
{
    leat__cells *cells = &store->cells_of[slot];
    LEAT_ASSERT(cells->role == LEAT__ROLE_LIST);
    leat__entry *entry = leat__cache_find(store, cells);
    if (entry == NULL || (entry->flags & LEAT__PRESENT) == 0)
        return;
    leat__list_expire(store, cells, entry, leat__now(store, cells));
    const leat__items *items = leat__entry_items(entry);
    if (items->count > keep_newest)
        drop_front(store, entry, items->count - (uint32_t)keep_newest);
}
