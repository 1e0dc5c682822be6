/* state/store.c - one task's state: opening, the current key, values and maps.
 *
 *     store.c ─► cache.c (find, load) ─► table.c (hash table, eviction), slab.c (memory)
 *        └─────► edit.c (undo log, dirty list) ─► seal.c ─► database.c ─► rocksdb.c
 *     list.c, timers.c, ttl.c: the kinds     rows.c, listrow.c, directory.c, mapkey.c: the form on
 * disk */
#include "state/store.h"
#include "base/error.h"
#include "base/mem.h"
#include "state/internal.h"
#include <stdlib.h>

enum { CACHE_BYTES = 32 << 20, STAGE_MAX = 0xfffe };

/* ---------------------------------------------------------------- opening */

static uint32_t align8(size_t size_bytes)
{
    return (uint32_t)((size_bytes + 7u) & ~(size_t)7u);
}

static void lay_out(leat__cells *cells)
{
    bool is_list = cells->role == LEAT__ROLE_LIST;
    cells->inline_value = is_list || cells->value_bytes <= LEAT__INLINE_VALUE_BYTES;
    uint32_t at = is_list ? align8(sizeof(leat__items))
                          : align8(cells->inline_value ? cells->value_bytes : sizeof(void *));
    if (cells->slot.ttl_ms != 0 && !is_list) {
        cells->time_at = at;
        at += (uint32_t)sizeof(int64_t);
    }
    if (!cells->flat && !is_list) {
        cells->block_at = at;
        at += (uint32_t)sizeof(leat__block *);
    }
    if (cells->role == LEAT__ROLE_MAP || cells->role == LEAT__ROLE_HEAD) {
        cells->chain_at = at;
        at += (uint32_t)sizeof(leat__chain);
    }
    if (cells->role == LEAT__ROLE_TIMER) {
        cells->placed_at = at;
        at += (uint32_t)sizeof(leat__placed);
    }
    cells->key_at = at;
}

static leat_status check_slot(const leat__slot *slot, leat_error *error)
{
    if (slot->name == NULL || slot->name[0] == '\0')
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "state", "a slot needs a name");
    if (slot->type == NULL)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, slot->name,
                          "the slot needs a type");
    if (slot->kind == LEAT__MAP && !leat__map_key_allowed(slot->map_key))
        return leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, slot->name,
                          "a map's key is leat_type_str, _u64, _i64, _u32, _f64 or _bool");
    if (slot->ttl_ms < 0)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, slot->name,
                          "ttl_ms is negative");
    return leat_type_check(slot->type, error);
}

static void set_up_slot(leat__store *store, leat__cells *cells, const leat__slot *slot,
                        size_t head_slot)
{
    cells->slot = *slot;
    cells->role = slot->kind == LEAT__LIST  ? LEAT__ROLE_LIST
                  : slot->kind == LEAT__MAP ? LEAT__ROLE_MAP
                                            : LEAT__ROLE_VALUE;
    cells->value_bytes = slot->type->size_bytes;
    cells->flat = leat__type_is_flat(slot->type);
    cells->shares = !cells->flat && !leat__value_has_lists(slot->type);
    cells->head_slot = (uint32_t)head_slot;
    if (slot->ttl_ms != 0)
        store->has_ttl = true;
}

static leat_status set_up_cells(leat__store *store, const leat__store_opts *opts, leat_error *error)
{
    store->slot_count = opts->slot_count;
    store->timer_count = opts->timer_count;
    store->cells_count =
        opts->slot_count * 2 + opts->timer_count; /* a head for each map, at most */
    if (store->cells_count > UINT16_MAX)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "state", "too many slots");
    store->cells_of = leat__calloc(store->cells_count + 1, sizeof *store->cells_of);
    size_t head = opts->slot_count + opts->timer_count;
    for (size_t i = 0; i < opts->slot_count; i++) {
        leat_status status = check_slot(&opts->slots[i], error);
        if (status != LEAT_OK)
            return status;
        store->cells_of[head] = (leat__cells){.role = LEAT__ROLE_HEAD, .flat = true};
        set_up_slot(store, &store->cells_of[i], &opts->slots[i], head++);
    }
    for (size_t i = 0; i < opts->timer_count; i++) {
        leat__cells *cells = &store->cells_of[opts->slot_count + i];
        *cells =
            (leat__cells){.role = LEAT__ROLE_TIMER, .flat = true, .value_bytes = sizeof(int64_t)};
        cells->slot = (leat__slot){.name = opts->timers[i], .kind = LEAT__MAP};
    }
    for (size_t i = 0; i < store->cells_count; i++) {
        store->cells_of[i].hash_salt = (uint32_t)i;
        lay_out(&store->cells_of[i]);
    }
    leat__ttl_begin(store);
    return LEAT_OK;
}

static leat_status open_all(leat__store *store, const leat__store_opts *opts, leat_error *error)
{
    leat_status status = set_up_cells(store, opts, error);
    if (status == LEAT_OK)
        status = leat__directory_open(store, error);
    if (status == LEAT_OK)
        status = leat__database_get_position(store, error);
    if (status == LEAT_OK)
        status = leat__timers_load(store, error);
    leat__cache_look_behind(store);
    return status;
}

leat_status leat__store_open(leat__store **out, const leat__store_opts *opts, leat_error *error)
{
    *out = NULL;
    if (opts->stage > STAGE_MAX)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "state", "stage %u is too high",
                          opts->stage);
    leat__store *store = leat__calloc(1, sizeof *store);
    store->database = opts->database;
    store->durable = opts->database->ops->durable;
    store->stage = opts->stage;
    store->partition = opts->partition;
    store->lent.chunk_bytes = 4096; /* there are many stores, and most callbacks need none */
    store->prefix[0] = (char)(opts->stage >> 8);
    store->prefix[1] = (char)opts->stage;
    store->prefix[2] = (char)(opts->partition >> 8);
    store->prefix[3] = (char)opts->partition;
    store->cache_limit_bytes = opts->cache_bytes != 0 ? opts->cache_bytes : CACHE_BYTES;
    store->event_ms = store->clock_ms = LEAT_TIME_MIN;
    store->watermark_ms = LEAT_TIME_MIN;
    store->position = store->deferred_position = -1;
    leat__table_clear(store);
    leat__timers_clear(store);
    leat_status status = open_all(store, opts, error);
    if (status == LEAT_OK)
        *out = store;
    else
        leat__store_close(store);
    return status;
}

void leat__store_drop_all(leat__store *store)
{
    store->in_callback = false;
    leat__deferred_free(store);
    leat__edit_commit(store); /* frees what the undo log holds; the entries go next */
    leat__timers_clear(store);
    leat__table_clear(store);
    store->dirty_count = store->dirty_bytes = 0;
    leat__ttl_begin(store);
    store->key = (leat_str){0};
}

void leat__store_close(leat__store *store)
{
    if (store == NULL)
        return;
    leat__restored_free(store);
    leat__store_drop_all(store);
    if (store->batch != NULL)
        store->database->ops->batch_free(store->batch);
    for (size_t i = 0; store->cells_of != NULL && i < store->cells_count; i++)
        leat__directory_free(&store->cells_of[i]);
    leat__free(store->cells_of);
    leat__free(store->table);
    leat__slab_clear(&store->slab);
    leat__free(store->undo);
    leat__free(store->graveyard);
    leat__free(store->dirty);
    leat__free(store->gathered);
    leat__buffer_free(&store->undo_data);
    leat__buffer_free(&store->timer_key);
    leat__buffer_free(&store->encoded);
    leat__buffer_free(&store->row_key);
    leat__buffer_free(&store->map_key);
    leat__buffer_free(&store->sweep.key);
    leat__arena_free(&store->scratch);
    leat__arena_free(&store->lent);
    leat__free(store);
}

/* ---------------------------------------------------------------- current key and times */

void leat__store_set_key(leat__store *store, leat_str key, uint64_t hash)
{
    store->key = key.data != NULL ? key : LEAT_STR("");
    store->hash = hash;
    store->key_serial++;
}

void leat__store_set_now(leat__store *store, int64_t event_ms, int64_t clock_ms)
{
    store->event_ms = event_ms;
    store->clock_ms = clock_ms;
}

void leat__store_set_clock(leat__store *store, int64_t clock_ms)
{
    store->clock_ms = clock_ms;
}

void leat__store_set_watermark(leat__store *store, int64_t watermark_ms)
{
    /* S2: MAX says that nothing more comes, not what time it is */
    if (watermark_ms > store->watermark_ms && watermark_ms != LEAT_TIME_MAX)
        store->watermark_ms = watermark_ms;
}

void leat__store_prefetch(const leat__store *store, const uint64_t *hashes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(&store->table[hashes[i] & store->mask]);
    for (size_t i = 0; i < count; i++) {
        leat__cell cell = store->table[hashes[i] & store->mask];
        if (cell.ref != 0)
            __builtin_prefetch(leat__slab_at(&store->slab, cell.ref), 1);
    }
}

/* ---------------------------------------------------------------- values */

/* Is there a value? Not if it is expired; refreshed if the slot says so (S2). */
static bool holds(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    if (entry == NULL || (entry->flags & LEAT__PRESENT) == 0)
        return false;
    if (cells->time_at != 0) {
        int64_t now_ms = leat__now(store, cells), *time_ms = leat__entry_time(cells, entry);
        if (leat__time_expired(cells, *time_ms, now_ms)) {
            leat__entry_del(store, cells, entry); /* the tombstone goes out with this epoch (R22) */
            return false;
        }
        if ((cells->slot.ttl_on_read || *time_ms == LEAT_TIME_MIN) && *time_ms < now_ms) {
            leat__entry_touch(store, entry);
            *time_ms = now_ms;
        }
    }
    return true;
}

static const void *read_entry(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    if (!holds(store, cells, entry))
        return NULL;
    cells->lent_serial = store->callback_serial; /* S5 */
    return leat__entry_value(cells, entry);
}

bool leat__store_holds(leat__store *store, size_t slot)
{
    leat__cells *cells = &store->cells_of[slot];
    LEAT_ASSERT(cells->role == LEAT__ROLE_VALUE);
    return holds(store, cells, leat__cache_find(store, cells));
}

const void *leat__store_get(leat__store *store, size_t slot)
{
    leat__cells *cells = &store->cells_of[slot];
    LEAT_ASSERT(cells->role == LEAT__ROLE_VALUE);
    return read_entry(store, cells, leat__cache_find(store, cells));
}

void *leat__store_mut(leat__store *store, size_t slot)
{
    leat__cells *cells = &store->cells_of[slot];
    LEAT_ASSERT(cells->role == LEAT__ROLE_VALUE);
    return leat__entry_mut(store, cells, leat__cache_entry(store, cells));
}

static leat__chain *whole_chain(leat__store *store, leat__cells *cells)
{
    leat__entry *head = leat__cache_head(store, cells, store->hash, store->key);
    leat__cache_load_map(store, cells, head);
    return leat__entry_chain(&store->cells_of[cells->head_slot], head);
}

void leat__store_del(leat__store *store, size_t slot)
{
    leat__cells *cells = &store->cells_of[slot];
    if (cells->role == LEAT__ROLE_MAP) {
        leat__chain *head = whole_chain(store, cells);
        for (leat__chain *chain = head->next; chain != head; chain = chain->next)
            leat__entry_del(store, cells, chain->entry);
        return;
    }
    leat__entry *entry = leat__cache_find(store, cells);
    if (entry != NULL)
        leat__entry_del(store, cells, entry);
}

/* ---------------------------------------------------------------- maps */

static leat_str map_key_bytes(leat__store *store, const leat__cells *cells, const void *map_key)
{
    LEAT_ASSERT(cells->role == LEAT__ROLE_MAP);
    store->map_key.length = 0;
    leat__map_key_append(&store->map_key, cells->slot.map_key, map_key);
    return (leat_str){store->map_key.data, store->map_key.length};
}

const void *leat__store_map_get(leat__store *store, size_t slot, const void *map_key)
{
    leat__cells *cells = &store->cells_of[slot];
    leat_str bytes = map_key_bytes(store, cells, map_key);
    return read_entry(store, cells, leat__cache_find_map(store, cells, bytes));
}

bool leat__store_map_holds(leat__store *store, size_t slot, const void *map_key)
{
    leat__cells *cells = &store->cells_of[slot];
    leat_str bytes = map_key_bytes(store, cells, map_key);
    return holds(store, cells, leat__cache_find_map(store, cells, bytes));
}

void *leat__store_map_mut(leat__store *store, size_t slot, const void *map_key)
{
    leat__cells *cells = &store->cells_of[slot];
    leat_str bytes = map_key_bytes(store, cells, map_key);
    return leat__entry_mut(store, cells, leat__cache_entry_map(store, cells, bytes));
}

void leat__store_map_del(leat__store *store, size_t slot, const void *map_key)
{
    leat__cells *cells = &store->cells_of[slot];
    leat_str bytes = map_key_bytes(store, cells, map_key);
    leat__entry *entry = leat__cache_find_map(store, cells, bytes);
    if (entry != NULL)
        leat__entry_del(store, cells, entry);
}

static int by_map_key(const void *a, const void *b, void *arg)
{
    const leat__cells *cells = arg;
    leat_str left = leat__entry_map_key(cells, *(leat__entry *const *)a);
    leat_str right = leat__entry_map_key(cells, *(leat__entry *const *)b);
    int order =
        memcmp(left.data, right.data, left.length < right.length ? left.length : right.length);
    if (order != 0)
        return order;
    return left.length < right.length ? -1 : left.length > right.length;
}

/* Onto the stack `gathered`: fn may walk another map. */
static size_t gather(leat__store *store, leat__cells *cells)
{
    size_t base = store->gathered_count, count = base;
    leat__chain *head = whole_chain(store, cells);
    for (leat__chain *chain = head->next; chain != head; chain = chain->next) {
        if ((chain->entry->flags & LEAT__PRESENT) == 0)
            continue;
        if (count == store->gathered_capacity) {
            store->gathered_capacity = count != 0 ? count * 2 : 16;
            store->gathered =
                leat__realloc(store->gathered, store->gathered_capacity, sizeof *store->gathered);
        }
        store->gathered[count++] = chain->entry;
    }
    if (count - base > 1)
        qsort_r(store->gathered + base, count - base, sizeof *store->gathered, by_map_key, cells);
    store->gathered_count = count;
    return count;
}

void leat__store_map_each(leat__store *store, size_t slot,
                          bool (*fn)(void *arg, const void *map_key, const void *value), void *arg)
{
    leat__cells *cells = &store->cells_of[slot];
    LEAT_ASSERT(cells->role == LEAT__ROLE_MAP);
    size_t base = store->gathered_count, count = gather(store, cells);
    for (size_t i = base; i < count; i++) {
        leat__entry *entry = store->gathered[i];
        const void *value = read_entry(store, cells, entry);
        if (value == NULL)
            continue;
        leat__map_key_value *key = leat__arena_alloc(&store->lent, sizeof *key); /* S5 */
        if (!fn(arg,
                leat__map_key_read(key, cells->slot.map_key, leat__entry_map_key(cells, entry)),
                value))
            break;
    }
    store->gathered_count = base;
}

/* ---------------------------------------------------------------- figures */

size_t leat__store_dirty_bytes(const leat__store *store)
{
    return store->dirty_bytes;
}

int64_t leat__store_position(const leat__store *store)
{
    return atomic_load(&store->position);
}

int64_t leat__store_position_ms(const leat__store *store)
{
    return store->position_ms;
}

leat__seal_identity leat__store_position_seal(const leat__store *store)
{
    return store->seal;
}

leat_status leat__store_check(const leat__store *store, leat_error *error)
{
    if (store->failure.status != LEAT_OK && error != NULL)
        *error = store->failure;
    return store->failure.status;
}

void leat__store_get_stats(const leat__store *store, leat__store_stats *stats)
{
    *stats = (leat__store_stats){
        .entries = LEAT__COUNTED(store->entries),
        .cache_bytes = LEAT__COUNTED(store->cache_bytes),
        .timers = LEAT__COUNTED(store->timers),
        .hits = LEAT__COUNTED(store->hits),
        .misses = LEAT__COUNTED(store->misses),
    };
}
