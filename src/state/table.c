/* state/table.c - the hash table of entries and the clock that evicts from it.
 *
 *     tag & mask ─► [tag|ref] [tag|ref] [ . ]      linear probing, at most 3/4 full,
 *                       │                          holes are closed by moving cells back
 *                       └► slab cell: entry        clock hand walks the cells (rocksdb only)
 *
 * Cells are 8 bytes and hold the tag, so neither growth nor a failed comparison touches an entry.
 */
#include "base/mem.h"
#include "state/internal.h"

enum {
    TABLE_CELLS_MIN = 64,
    EVICT_STEPS_MAX = 256, /* per callback: bounds the pause, more than one callback's inserts */
};

static leat__entry *entry_at(const leat__store *store, uint32_t ref)
{
    return leat__slab_at(&store->slab, ref);
}

static bool same_keys(const leat__cells *cells, const leat__entry *entry, leat_str key,
                      leat_str map_key)
{
    if (entry->key_bytes != key.length || entry->map_key_bytes != map_key.length)
        return false;
    const char *data = leat__entry_key_data(cells, entry);
    return memcmp(data, key.data, key.length) == 0 &&
           (map_key.length == 0 || memcmp(data + key.length, map_key.data, map_key.length) == 0);
}

leat__entry *leat__table_find(const leat__store *store, const leat__cells *cells, uint32_t tag,
                              leat_str key, leat_str map_key)
{
    uint16_t slot = (uint16_t)(cells - store->cells_of);
    for (uint32_t at = tag & store->mask;; at = (at + 1) & store->mask) {
        leat__cell cell = store->table[at];
        if (cell.ref == 0)
            return NULL;
        if (cell.tag != tag)
            continue;
        leat__entry *entry = entry_at(store, cell.ref);
        if (entry->slot == slot && same_keys(cells, entry, key, map_key))
            return entry;
    }
}

uint32_t leat__map_tag(const leat__cells *cells, uint64_t hash, leat_str map_key)
{
    uint64_t mixed =
        hash ^ (leat__hash64(map_key.data, map_key.length) * UINT64_C(0x9e3779b97f4a7c15));
    return (uint32_t)(mixed >> 16) + cells->hash_salt;
}

static void place(leat__cell *table, uint32_t mask, leat__cell cell)
{
    uint32_t at = cell.tag & mask;
    while (table[at].ref != 0)
        at = (at + 1) & mask;
    table[at] = cell;
}

static void grow(leat__store *store)
{
    uint32_t count = store->table == NULL ? TABLE_CELLS_MIN : (store->mask + 1) * 2;
    LEAT_ASSERT(count != 0);
    leat__cell *table = leat__pages_alloc((size_t)count * sizeof *table);
    for (uint32_t i = 0; store->table != NULL && i <= store->mask; i++)
        if (store->table[i].ref != 0)
            place(table, count - 1, store->table[i]);
    if (store->table != NULL)
        LEAT__COUNT(store->cache_bytes, -((size_t)(store->mask + 1) * sizeof *table));
    LEAT__COUNT(store->cache_bytes, (size_t)count * sizeof *table);
    leat__pages_free(store->table);
    store->table = table;
    store->mask = count - 1;
}

static void write_keys(leat__store *store, const leat__cells *cells, leat__entry *entry,
                       leat_str key, leat_str map_key)
{
    char *at = entry->body + cells->key_at;
    if (!leat__keys_inline(entry->key_bytes, entry->map_key_bytes)) {
        char *keys = leat__alloc(key.length + map_key.length);
        memcpy(at, &keys, sizeof keys);
        LEAT__COUNT(store->cache_bytes, key.length + map_key.length);
        at = keys;
    }
    if (key.length != 0)
        memcpy(at, key.data, key.length);
    if (map_key.length != 0)
        memcpy(at + key.length, map_key.data, map_key.length);
}

leat__entry *leat__entry_new(leat__store *store, leat__cells *cells, uint32_t tag, leat_str key,
                             leat_str map_key)
{
    if (store->table == NULL || store->used >= store->mask / 4 * 3)
        grow(store);
    bool keys_inline = key.length + map_key.length <= LEAT__INLINE_KEY_BYTES;
    size_t keys_bytes = keys_inline ? key.length + map_key.length : sizeof(char *);
    uint32_t class = leat__slab_class_of(sizeof(leat__entry) + cells->key_at + keys_bytes);
    uint32_t ref = leat__slab_alloc(&store->slab, class);
    leat__entry *entry = entry_at(store, ref);
    *entry = (leat__entry){
        .tag = tag,
        .key_bytes = (uint32_t)key.length,
        .map_key_bytes = (uint32_t)map_key.length,
        .slot = (uint16_t)(cells - store->cells_of),
        .class = class & 0x7f,
        .flags = LEAT__RECENT,
    };
    memset(entry->body, 0, cells->key_at);
    write_keys(store, cells, entry, key, map_key);
    if (!cells->inline_value) {
        void *value = leat__calloc(1, cells->value_bytes);
        memcpy(entry->body, &value, sizeof value);
        LEAT__COUNT(store->cache_bytes, cells->value_bytes);
    }
    place(store->table, store->mask, (leat__cell){tag, ref});
    store->used++;
    LEAT__COUNT(store->cache_bytes, class * LEAT__SLAB_UNIT_BYTES);
    LEAT__COUNT(store->entries, 1);
    return entry;
}

/* Closes the hole at `at`: a cell behind it moves into it unless its home lies between. */
static void close_hole(leat__store *store, uint32_t at)
{
    uint32_t mask = store->mask;
    for (uint32_t next = (at + 1) & mask; store->table[next].ref != 0; next = (next + 1) & mask) {
        uint32_t home = store->table[next].tag & mask;
        if (((next - home) & mask) < ((next - at) & mask))
            continue;
        store->table[at] = store->table[next];
        at = next;
    }
    store->table[at] = (leat__cell){0};
    store->used--;
}

static void unlink_chain(const leat__cells *cells, leat__entry *entry)
{
    leat__chain *chain = leat__entry_chain(cells, entry);
    if (chain->head == NULL)
        return;
    chain->next->previous = chain->previous;
    chain->previous->next = chain->next;
}

static void free_contents(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    if (cells->role == LEAT__ROLE_LIST)
        leat__list_free(store, cells, entry);
    if (cells->block_at != 0) {
        leat__block *block = *leat__entry_block(cells, entry);
        LEAT__COUNT(store->cache_bytes, -leat__block_bytes(block));
        leat__free(block);
    }
    if (!cells->inline_value) {
        leat__free(leat__entry_value(cells, entry));
        LEAT__COUNT(store->cache_bytes, -(size_t)cells->value_bytes);
    }
    if (!leat__keys_inline(entry->key_bytes, entry->map_key_bytes)) {
        char *keys;
        memcpy(&keys, entry->body + cells->key_at, sizeof keys);
        leat__free(keys);
        LEAT__COUNT(store->cache_bytes, -((size_t)entry->key_bytes + entry->map_key_bytes));
    }
}

static void drop_at(leat__store *store, uint32_t at)
{
    uint32_t ref = store->table[at].ref;
    leat__entry *entry = entry_at(store, ref);
    leat__cells *cells = leat__cells_of(store, entry);
    uint32_t class = entry->class;
    close_hole(store, at);
    leat__entry *head = NULL;
    if (cells->role == LEAT__ROLE_MAP) {
        head = leat__entry_chain(cells, entry)->head;
        unlink_chain(cells, entry);
    }
    free_contents(store, cells, entry);
    entry->flags = LEAT__DEAD;
    leat__slab_release(&store->slab, class, ref);
    store->key_serial++; /* what `current` remembers may be this one */
    LEAT__COUNT(store->cache_bytes, -((size_t) class * LEAT__SLAB_UNIT_BYTES));
    LEAT__COUNT(store->entries, -1);
    if (head == NULL)
        return;
    leat__chain *chain = leat__entry_chain(leat__cells_of(store, head), head);
    if (store->durable)
        chain->complete = false; /* the rest of this map is on disk now */
    else if (chain->next == chain)
        leat__entry_drop(store, head);
}

void leat__entry_drop(leat__store *store, leat__entry *entry)
{
    uint32_t at = entry->tag & store->mask;
    while (entry_at(store, store->table[at].ref) != entry)
        at = (at + 1) & store->mask;
    drop_at(store, at);
}

void leat__table_clear(leat__store *store)
{
    for (uint32_t i = 0; store->table != NULL && i <= store->mask; i++) {
        if (store->table[i].ref == 0)
            continue;
        leat__entry *entry = entry_at(store, store->table[i].ref);
        free_contents(store, leat__cells_of(store, entry), entry);
    }
    leat__pages_free(store->table);
    leat__slab_clear(&store->slab);
    store->table = NULL;
    store->mask = store->used = 0;
    store->clock_hand = 0;
    store->key_serial++;
    atomic_store_explicit(&store->cache_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&store->entries, 0, memory_order_relaxed);
    grow(store);
}

/* ---------------------------------------------------------------- eviction */

/* Nobody needs it: neither the next seal, nor a commit under way, nor the timer heap, nor a chain.
 */
bool leat__entry_is_idle(const leat__store *store, leat__entry *entry)
{
    if ((entry->flags & (LEAT__DIRTY | LEAT__TOUCHED)) != 0)
        return false;
    const leat__cells *cells = leat__cells_of(store, entry);
    const leat__chain *chain = leat__entry_chain(cells, entry);
    if (cells->role == LEAT__ROLE_TIMER &&
        ((entry->flags & LEAT__PRESENT) != 0 || leat__entry_placed(cells, entry)->items != 0))
        return false;
    if (cells->role == LEAT__ROLE_HEAD && chain->next != chain)
        return false;
    return !store->durable ||
           entry->sealed <= atomic_load_explicit(&store->applied, memory_order_acquire);
}

/* Second chance: an entry used since the hand last passed stays. */
static bool evict_at(leat__store *store, uint32_t at)
{
    if (store->table[at].ref == 0)
        return false;
    leat__entry *entry = entry_at(store, store->table[at].ref);
    if ((entry->flags & LEAT__RECENT) != 0) {
        entry->flags &= (uint8_t)~LEAT__RECENT;
        return true;
    }
    if (!leat__entry_is_idle(store, entry))
        return false;
    store->behind = store->behind || (entry->flags & LEAT__PRESENT) != 0;
    drop_at(store, at);
    store->clock_hand = at; /* another cell may have moved here */
    return true;
}

void leat__table_evict(leat__store *store)
{
    if (LEAT__COUNTED(store->cache_bytes) <= store->cache_limit_bytes)
        return;
    uint64_t now = atomic_load_explicit(&store->applied, memory_order_acquire) + 1;
    if (store->stuck_at == now)
        return; /* all that was looked at waits for its commit */
    bool moved = false;
    for (int step = 0; step < EVICT_STEPS_MAX; step++) {
        uint32_t at = (uint32_t)store->clock_hand & store->mask;
        store->clock_hand = at + 1;
        moved = evict_at(store, at) || moved;
        if (LEAT__COUNTED(store->cache_bytes) <= store->cache_limit_bytes)
            return;
    }
    store->stuck_at = moved ? 0 : now;
}
