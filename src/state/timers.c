/* state/timers.c - timers: entries like any other (T1), found in time order through a heap.
 *
 *     entry (key, timer, {domain, tag}) -> at_ms         heap of one domain: (at_ms, timer, key)
 * (T2) placed {at_ms, items} ◄──────────────────────────── item
 *
 * The heap is lazy.  A timer moved to later keeps its item: when that surfaces, it sinks to the new
 * time (session gaps, moved by every event, cost nothing).  Moved to earlier: a new item, the old
 * one is superseded.  Cleared: the item is thrown away when it surfaces, or all at once when half
 * the heap is such.  An undo never touches the heap but to add what is missing. */
#include "base/mem.h"
#include "state/internal.h"

enum { WAYS = 4, STALE_MIN = 64 };

static int64_t *at_of(leat__entry *entry)
{
    return (int64_t *)(void *)entry->body;
}

static leat__placed *placed_of(const leat__store *store, leat__entry *entry)
{
    return leat__entry_placed(leat__cells_of(store, entry), entry);
}

static uint64_t prefix_of(leat_str key)
{
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++)
        prefix = prefix << 8 | (i < key.length ? (uint8_t)key.data[i] : 0u);
    return prefix;
}

static int compare_bytes(leat_str a, leat_str b)
{
    int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
    if (order != 0)
        return order;
    return a.length < b.length ? -1 : a.length > b.length;
}

static bool before(const leat__store *store, const leat__heap_item *a, const leat__heap_item *b)
{
    if (a->at_ms != b->at_ms)
        return a->at_ms < b->at_ms;
    if (a->timer != b->timer)
        return a->timer < b->timer;
    if (a->key_prefix != b->key_prefix)
        return a->key_prefix < b->key_prefix;
    const leat__cells *cells = leat__cells_of(store, a->entry);
    int order = compare_bytes(leat__entry_key(cells, a->entry), leat__entry_key(cells, b->entry));
    if (order != 0)
        return order < 0;
    return compare_bytes(leat__entry_map_key(cells, a->entry),
                         leat__entry_map_key(cells, b->entry)) < 0;
}

/* ---------------------------------------------------------------- heap */

static void sift_down(const leat__store *store, leat__heap *heap, size_t at)
{
    leat__heap_item item = heap->items[at];
    for (;;) {
        size_t child = at * WAYS + 1, end = child + WAYS < heap->count ? child + WAYS : heap->count;
        if (child >= heap->count)
            break;
        size_t least = child;
        for (size_t i = child + 1; i < end; i++)
            if (before(store, &heap->items[i], &heap->items[least]))
                least = i;
        if (!before(store, &heap->items[least], &item))
            break;
        heap->items[at] = heap->items[least];
        at = least;
    }
    heap->items[at] = item;
}

static void push(const leat__store *store, leat__heap *heap, leat__heap_item item)
{
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity != 0 ? heap->capacity * 2 : 16;
        heap->items = leat__realloc(heap->items, heap->capacity, sizeof *heap->items);
    }
    size_t at = heap->count++;
    while (at != 0 && before(store, &item, &heap->items[(at - 1) / WAYS])) {
        heap->items[at] = heap->items[(at - 1) / WAYS];
        at = (at - 1) / WAYS;
    }
    heap->items[at] = item;
}

static leat__heap *heap_of(leat__store *store, leat__entry *entry)
{
    leat_str map_key = leat__entry_map_key(leat__cells_of(store, entry), entry);
    return &store->heaps[map_key.data[0] == LEAT__EVENT_TIME ? LEAT__EVENT_TIME
                                                             : LEAT__PROCESSING_TIME];
}

static void release_item(leat__store *store, leat__entry *entry)
{
    leat__placed *placed = placed_of(store, entry);
    placed->items--;
    if ((entry->flags & LEAT__PRESENT) == 0 && !store->durable && leat__entry_is_idle(store, entry))
        leat__entry_drop(store, entry);
}

/* False: superseded, or its timer was cleared. */
static bool still_counts(const leat__store *store, const leat__heap_item *item)
{
    const leat__placed *placed = placed_of(store, item->entry);
    return (item->entry->flags & LEAT__PRESENT) != 0 && placed->valid != 0 &&
           placed->at_ms == item->at_ms;
}

static void remove_top(leat__store *store, leat__heap *heap)
{
    leat__entry *entry = heap->items[0].entry;
    leat__placed *placed = placed_of(store, entry);
    if (placed->at_ms == heap->items[0].at_ms)
        placed->valid = 0;
    heap->items[0] = heap->items[--heap->count];
    if (heap->count != 0)
        sift_down(store, heap, 0);
    release_item(store, entry);
}

/* Until the top is a timer at its own time. */
static void settle(leat__store *store, leat__heap *heap)
{
    while (heap->count != 0) {
        leat__heap_item *top = &heap->items[0];
        if (!still_counts(store, top)) {
            if (heap->stale != 0)
                heap->stale--;
            remove_top(store, heap);
        } else if (*at_of(top->entry) != top->at_ms) {
            top->at_ms = *at_of(top->entry);
            placed_of(store, top->entry)->at_ms = top->at_ms;
            sift_down(store, heap, 0);
        } else {
            return;
        }
    }
}

static void rebuild(leat__store *store, leat__heap *heap)
{
    size_t kept = 0;
    for (size_t i = 0; i < heap->count; i++) {
        leat__heap_item item = heap->items[i];
        leat__placed *placed = placed_of(store, item.entry);
        if (still_counts(store, &item)) {
            item.at_ms = placed->at_ms = *at_of(item.entry);
            heap->items[kept++] = item;
        } else {
            if (placed->at_ms == item.at_ms)
                placed->valid = 0;
            release_item(store, item.entry);
        }
    }
    heap->count = kept;
    heap->stale = 0;
    for (size_t i = kept / WAYS + 1; i-- > 0;)
        if (i < kept)
            sift_down(store, heap, i);
}

static void note_stale(leat__store *store, leat__heap *heap)
{
    if (++heap->stale > STALE_MIN && heap->stale > heap->count / 2)
        rebuild(store, heap);
}

void leat__timer_place(leat__store *store, leat__entry *entry)
{
    if ((entry->flags & LEAT__PRESENT) == 0)
        return;
    leat__placed *placed = placed_of(store, entry);
    int64_t at_ms = *at_of(entry);
    if (placed->valid != 0 && placed->at_ms <= at_ms)
        return;
    leat__heap *heap = heap_of(store, entry);
    bool supersedes = placed->valid != 0;
    const leat__cells *cells = leat__cells_of(store, entry);
    *placed = (leat__placed){.at_ms = at_ms, .items = placed->items + 1, .valid = 1};
    push(store, heap,
         (leat__heap_item){
             .at_ms = at_ms,
             .key_prefix = prefix_of(leat__entry_key(cells, entry)),
             .entry = entry,
             .timer = (uint32_t)(entry->slot - store->slot_count),
         });
    if (supersedes)
        note_stale(store, heap);
}

/* ---------------------------------------------------------------- the interface */

static leat_str timer_key(char bytes[LEAT__TIMER_KEY_BYTES], leat__time_domain domain, int64_t tag)
{
    uint64_t bits = (uint64_t)tag ^ UINT64_C(1) << 63;
    bytes[0] = (char)domain;
    for (int i = 0; i < 8; i++)
        bytes[1 + i] = (char)(bits >> (56 - 8 * i));
    return (leat_str){bytes, LEAT__TIMER_KEY_BYTES};
}

static int64_t tag_of(leat_str bytes)
{
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | (uint8_t)bytes.data[1 + i];
    return (int64_t)(bits ^ UINT64_C(1) << 63);
}

void leat__store_timer_set(leat__store *store, size_t timer, leat__time_domain domain, int64_t tag,
                           int64_t at_ms)
{
    char bytes[LEAT__TIMER_KEY_BYTES];
    leat__cells *cells = &store->cells_of[store->slot_count + timer];
    leat__entry *entry = leat__cache_entry_map(store, cells, timer_key(bytes, domain, tag));
    bool present = (entry->flags & LEAT__PRESENT) != 0;
    if (present && *at_of(entry) == at_ms)
        return;
    *(int64_t *)leat__entry_mut(store, cells, entry) = at_ms;
    if (!present)
        LEAT__COUNT(store->timers, 1);
    leat__timer_place(store, entry);
}

void leat__store_timer_clear(leat__store *store, size_t timer, leat__time_domain domain,
                             int64_t tag)
{
    char bytes[LEAT__TIMER_KEY_BYTES];
    leat__cells *cells = &store->cells_of[store->slot_count + timer];
    leat__entry *entry = leat__cache_find_map(store, cells, timer_key(bytes, domain, tag));
    if (entry == NULL || (entry->flags & LEAT__PRESENT) == 0)
        return;
    leat__entry_del(store, cells, entry);
    LEAT__COUNT(store->timers, -1);
    note_stale(store, &store->heaps[domain]);
}

/* Settling changes the heap, not what the store means. */
static leat__store *writable(const leat__store *store)
{
    return store->heaps[0].owner;
}

int64_t leat__store_timer_next(const leat__store *store, leat__time_domain domain)
{
    leat__store *own = writable(store);
    settle(own, &own->heaps[domain]);
    return own->heaps[domain].count == 0 ? LEAT_TIME_MAX : own->heaps[domain].items[0].at_ms;
}

bool leat__store_timer_pop(leat__store *store, leat__time_domain domain, int64_t until_ms,
                           leat__timer *out)
{
    leat__heap *heap = &store->heaps[domain];
    settle(store, heap);
    if (heap->count == 0 || heap->items[0].at_ms > until_ms)
        return false;
    leat__heap_item item = heap->items[0];
    leat__cells *cells = leat__cells_of(store, item.entry);
    leat_str key = leat__entry_key(cells, item.entry);
    store->timer_key.length = 0;
    leat__buffer_bytes(&store->timer_key, key.data, key.length);
    *out = (leat__timer){
        .timer = item.timer,
        .tag = tag_of(leat__entry_map_key(cells, item.entry)),
        .at_ms = item.at_ms,
        .key = {store->timer_key.data, key.length},
        .hash = leat__hash64(key.data, key.length),
    };
    leat__entry_del(store, cells, item.entry);
    LEAT__COUNT(store->timers, -1);
    remove_top(store, heap);
    return true;
}

/* ---------------------------------------------------------------- loading */

void leat__timers_clear(leat__store *store)
{
    for (int domain = 0; domain < 2; domain++) {
        leat__free(store->heaps[domain].items);
        store->heaps[domain] = (leat__heap){.owner = store};
    }
    atomic_store_explicit(&store->timers, 0, memory_order_relaxed);
}

void leat__timer_loaded(leat__store *store, leat__entry *entry)
{
    entry->flags |= LEAT__PRESENT | LEAT__STORED;
    LEAT__COUNT(store->timers, 1);
    leat__timer_place(store, entry);
}

static leat_status load_timer(leat__store *store, leat_str row_bytes, leat_str value,
                              leat_error *error)
{
    leat__row_key row;
    row_bytes.data += sizeof store->prefix;
    row_bytes.length -= sizeof store->prefix;
    bool sound = leat__row_key_parse(row_bytes, &row);
    leat__cells *cells = sound ? leat__cells_by_id(store, row.kind, row.id) : NULL;
    if (cells == NULL)
        return LEAT_OK; /* a timer that the program no longer has */
    uint32_t tag = leat__map_tag(cells, leat__hash64(row.key.data, row.key.length), row.map_key);
    leat__entry *entry = leat__entry_new(store, cells, tag, row.key, row.map_key);
    leat_status status = leat__row_decode(store, cells, entry, value, error);
    if (status == LEAT_OK)
        leat__timer_loaded(store, entry);
    return status;
}

leat_status leat__timers_load(leat__store *store, leat_error *error)
{
    if (!store->durable || store->timer_count == 0)
        return LEAT_OK;
    const leat__backend_ops *ops = store->database->ops;
    char prefix[sizeof store->prefix + 1];
    memcpy(prefix, store->prefix, sizeof store->prefix);
    prefix[sizeof store->prefix] = LEAT__ROW_TIMER;
    leat__rows *rows = ops->rows(store->database, (leat_str){prefix, sizeof prefix}, (leat_str){0});
    leat_status status = LEAT_OK;
    leat_str key, value;
    while (status == LEAT_OK && ops->next(rows, &key, &value))
        status = load_timer(store, key, value, error);
    leat_status closed = ops->rows_close(rows, status == LEAT_OK ? error : NULL);
    return status != LEAT_OK ? status : closed;
}
