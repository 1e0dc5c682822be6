/* state/edit.c - changes between callback_begin and callback_commit are all or nothing (S3).
 *
 *     first touch of an entry ─► undo log: flags, time, value (flat: its bytes; deep: the struct,
 * and the block stays alive while the user edits a copy) commit    forget the log; deep values take
 * over what they point to rollback  the log backwards; entries made dirty by this callback are the
 * tail of the dirty list
 *
 *     value record in undo_data: [time 8 if TTL][block 8 if deep][value bytes]
 *
 *     lent      what was lent before the first edit or delete stays where it is and as it is (S5):
 *               the value goes on aside, and comes back into the entry at the end
 *
 *     check     between the two: what would be too big for the log is found while the log can
 * still undo it.
 * Strings alone nobody writes to, so their block is not copied but shared with the undo log
 *
 * Changes outside a callback (timer_pop, expiry) are kept at the next begin or seal. */
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "state/internal.h"

enum { LENT_KEPT_BYTES = 64 << 10 }; /* from one callback to the next */

static size_t entry_cost_bytes(const leat__cells *cells, const leat__entry *entry)
{
    return 16 + (size_t)entry->key_bytes + entry->map_key_bytes + cells->value_bytes;
}

void leat__undo_push(leat__store *store, leat__entry *entry, uint8_t kind, const void *data,
                     size_t size_bytes)
{
    if (store->undo_count == store->undo_capacity) {
        store->undo_capacity = store->undo_capacity != 0 ? store->undo_capacity * 2 : 16;
        store->undo = leat__realloc(store->undo, store->undo_capacity, sizeof *store->undo);
    }
    store->undo[store->undo_count++] = (leat__undo){
        .entry = entry,
        .data_at = (uint32_t)store->undo_data.length,
        .kind = kind,
        .flags = entry->flags,
    };
    leat__buffer_bytes(&store->undo_data, data, size_bytes);
}

static void push_value(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    leat__undo_push(store, entry, LEAT__UNDO_VALUE, NULL, 0);
    leat__buffer *data = &store->undo_data;
    if (cells->time_at != 0)
        leat__buffer_bytes(data, leat__entry_time(cells, entry), sizeof(int64_t));
    if (cells->block_at != 0)
        leat__buffer_bytes(data, leat__entry_block(cells, entry), sizeof(leat__block *));
    leat__buffer_bytes(data, leat__entry_value(cells, entry), cells->value_bytes);
}

static void push_items(leat__store *store, leat__entry *entry)
{
    const leat__items *items = leat__entry_items(entry);
    uint32_t counters[3] = {items->first, items->count, items->rewrite};
    leat__undo_push(store, entry, LEAT__UNDO_ITEMS, counters, sizeof counters);
}

void leat__entry_touch_slow(leat__store *store, leat__entry *entry)
{
    leat__cells *cells = leat__cells_of(store, entry);
    if ((entry->flags & LEAT__TOUCHED) == 0) {
        if (cells->role == LEAT__ROLE_LIST)
            push_items(store, entry);
        else
            push_value(store, cells, entry);
        entry->flags |= LEAT__TOUCHED;
    }
    if ((entry->flags & LEAT__DIRTY) != 0)
        return;
    entry->flags |= LEAT__DIRTY;
    if (store->dirty_count == store->dirty_capacity) {
        store->dirty_capacity = store->dirty_capacity != 0 ? store->dirty_capacity * 2 : 64;
        store->dirty = leat__realloc(store->dirty, store->dirty_capacity, sizeof *store->dirty);
    }
    store->dirty[store->dirty_count++] = entry;
    store->dirty_bytes += entry_cost_bytes(cells, entry);
}

void leat__retire(leat__store *store, void *memory)
{
    if (store->graveyard_count == store->graveyard_capacity) {
        store->graveyard_capacity =
            store->graveyard_capacity != 0 ? store->graveyard_capacity * 2 : 16;
        store->graveyard =
            leat__realloc(store->graveyard, store->graveyard_capacity, sizeof *store->graveyard);
    }
    store->graveyard[store->graveyard_count++] = memory;
}

void leat__bury(leat__store *store, leat__block *block)
{
    if (block == NULL)
        return;
    LEAT__COUNT(store->cache_bytes, -leat__block_bytes(block));
    leat__retire(store, block);
}

/* The block that the undo log holds for this entry: not ours to free before the commit. */
static leat__block *undo_block(const leat__store *store, const leat__cells *cells,
                               const leat__undo *undo)
{
    leat__block *block;
    size_t at = undo->data_at + (cells->time_at != 0 ? sizeof(int64_t) : 0);
    memcpy(&block, store->undo_data.data + at, sizeof block);
    return block;
}

/* The value before the first touch; its strings lie in undo_block. */
static const char *undo_struct(const leat__store *store, const leat__cells *cells,
                               const leat__undo *undo)
{
    return store->undo_data.data + undo->data_at + (cells->time_at != 0 ? sizeof(int64_t) : 0) +
           (cells->block_at != 0 ? sizeof(leat__block *) : 0);
}

/* Where the value is from now on, until the callback is over; not initialised. */
static void *put_aside(leat__store *store, const leat__cells *cells, leat__entry *entry)
{
    leat__aside *aside =
        leat__arena_alloc(&store->lent, sizeof *aside + (size_t)cells->value_bytes);
    aside->sealed = entry->is_aside ? entry->aside->sealed : entry->sealed;
    entry->aside = aside;
    entry->is_aside = 1;
    return aside->value;
}

static void bring_back(const leat__cells *cells, leat__entry *entry)
{
    if (!entry->is_aside)
        return;
    const leat__aside *aside = entry->aside;
    entry->sealed = aside->sealed;
    entry->is_aside = 0;
    memcpy(leat__entry_value(cells, entry), aside->value, cells->value_bytes);
}

static void hand_out(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    const void *before = leat__entry_value(cells, entry);
    bool present = (entry->flags & LEAT__PRESENT) != 0;
    if (present && leat__is_lent(store, cells))
        memcpy(put_aside(store, cells, entry), before, cells->value_bytes);
    if (present && cells->block_at != 0 && !cells->shares) {
        leat__block *copy = leat__value_copy(cells->slot.type, leat__entry_value(cells, entry));
        LEAT__COUNT(store->cache_bytes, leat__block_bytes(copy));
        *leat__entry_block(cells, entry) = copy; /* the old one belongs to the undo log now */
    }
    entry->flags |= LEAT__HANDED;
}

void *leat__entry_mut(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    if (cells->time_at != 0) {
        int64_t now_ms = leat__now(store, cells), *time_ms = leat__entry_time(cells, entry);
        if ((entry->flags & LEAT__PRESENT) != 0 && leat__time_expired(cells, *time_ms, now_ms))
            leat__entry_del(store, cells, entry); /* S2: starts anew */
        leat__entry_touch(store, entry);
        if ((entry->flags & LEAT__PRESENT) == 0 || *time_ms < now_ms)
            *time_ms = now_ms; /* S2: it never goes back */
    }
    leat__entry_touch(store, entry);
    if ((entry->flags & LEAT__HANDED) == 0 && cells->role != LEAT__ROLE_TIMER)
        hand_out(store, cells, entry);
    entry->flags |= LEAT__PRESENT;
    return leat__entry_value(cells, entry);
}

void leat__entry_del(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    if ((entry->flags & LEAT__PRESENT) == 0)
        return;
    leat__entry_touch(store, entry);
    if (cells->role == LEAT__ROLE_LIST) {
        leat__list_clear(store, entry);
    } else {
        LEAT_ASSERT((entry->flags & LEAT__OWNED) == 0); /* by now callbacks are over */
        bool handed = (entry->flags & LEAT__HANDED) != 0, deep = cells->block_at != 0;
        if (handed && deep && !cells->shares)
            leat__bury(store, *leat__entry_block(cells, entry));
        if (deep)
            *leat__entry_block(cells, entry) = NULL;
        bool out = handed || leat__is_lent(store, cells);
        memset(out ? put_aside(store, cells, entry) : leat__entry_value(cells, entry), 0,
               cells->value_bytes);
    }
    entry->flags &= (uint8_t) ~(LEAT__PRESENT | LEAT__HANDED);
}

/* ---------------------------------------------------------------- callbacks */

static void forget(leat__store *store)
{
    for (size_t i = 0; i < store->graveyard_count; i++)
        leat__free(store->graveyard[i]);
    store->graveyard_count = 0;
    if (store->lent.used_bytes > LENT_KEPT_BYTES)
        leat__arena_free(&store->lent);
    else
        leat__arena_reset(&store->lent);
    store->undo_count = 0;
    store->undo_data.length = 0;
}

/* What the callback made the value point to becomes the entry's own. A block that is shared with
 * the undo log stays until the commit or the rollback. */
static void take_over(leat__store *store, leat__cells *cells, leat__entry *entry,
                      const leat__undo *undo)
{
    leat__block **block = leat__entry_block(cells, entry);
    void *value = leat__entry_value(cells, entry);
    if (cells->shares)
        leat__value_keep_strings(cells->slot.type, value, undo_struct(store, cells, undo));
    leat__block *own = leat__value_own(cells->slot.type, value, *block);
    entry->flags |= LEAT__OWNED;
    if (own == *block)
        return;
    LEAT__COUNT(store->cache_bytes, leat__block_bytes(own));
    if (!cells->shares)
        leat__bury(store, *block); /* another value of the callback may point into it */
    *block = own;
}

static void commit_deep(leat__store *store, leat__cells *cells, leat__entry *entry,
                        const leat__undo *undo)
{
    leat__block **block = leat__entry_block(cells, entry), *before = undo_block(store, cells, undo);
    if ((entry->flags & LEAT__HANDED) != 0) {
        if ((entry->flags & LEAT__OWNED) == 0)
            take_over(store, cells, entry, undo);
        store->dirty_bytes += leat__block_bytes(*block);
        if ((undo->flags & LEAT__DIRTY) != 0)
            store->dirty_bytes -= leat__block_bytes(before);
        entry->flags &= (uint8_t) ~(LEAT__HANDED | LEAT__OWNED);
    }
    if (*block != before)
        leat__bury(store, before);
}

void leat__edit_commit(leat__store *store)
{
    for (size_t i = 0; i < store->undo_count; i++) {
        leat__entry *entry = store->undo[i].entry;
        leat__cells *cells = leat__cells_of(store, entry);
        entry->flags &= (uint8_t)~LEAT__TOUCHED;
        if (cells->role == LEAT__ROLE_LIST) {
            leat__list_commit(store, cells, entry, &store->undo[i]);
            continue;
        }
        bring_back(cells, entry);
        if (cells->block_at != 0)
            commit_deep(store, cells, entry, &store->undo[i]);
        entry->flags &= (uint8_t)~LEAT__HANDED;
    }
    forget(store);
}

static void undo_value(leat__store *store, leat__cells *cells, leat__entry *entry,
                       const leat__undo *undo)
{
    const char *data = store->undo_data.data + undo->data_at;
    bring_back(cells, entry);
    if (cells->time_at != 0) {
        memcpy(leat__entry_time(cells, entry), data, sizeof(int64_t));
        data += sizeof(int64_t);
    }
    if (cells->block_at != 0) {
        if ((entry->flags & LEAT__HANDED) != 0 &&
            *leat__entry_block(cells, entry) != undo_block(store, cells, undo))
            leat__bury(store, *leat__entry_block(cells, entry));
        memcpy(leat__entry_block(cells, entry), data, sizeof(leat__block *));
        data += sizeof(leat__block *);
    }
    memcpy(leat__entry_value(cells, entry), data, cells->value_bytes);
}

static void roll_back(leat__store *store)
{
    for (size_t i = store->undo_count; i-- > 0;) {
        leat__undo *undo = &store->undo[i];
        leat__entry *entry = undo->entry;
        leat__cells *cells = leat__cells_of(store, entry);
        if (undo->kind == LEAT__UNDO_VALUE)
            undo_value(store, cells, entry, undo);
        else
            leat__list_undo(store, cells, entry, undo);
        int was_present = entry->flags & LEAT__PRESENT, is_present = undo->flags & LEAT__PRESENT;
        entry->flags = undo->flags;
        if (cells->role != LEAT__ROLE_TIMER)
            continue;
        LEAT__COUNT(store->timers, is_present - was_present); /* LEAT__PRESENT is 1 */
        leat__timer_place(store, entry);
    }
    store->dirty_count = store->begin_dirty_count;
    store->dirty_bytes = store->begin_dirty_bytes;
    for (size_t i = 0; !store->durable && i < store->undo_count; i++) {
        leat__entry *entry = store->undo[i].entry; /* a list may be named twice */
        if ((entry->flags & (LEAT__DEAD | LEAT__PRESENT)) == 0 && leat__entry_is_idle(store, entry))
            leat__entry_drop(store, entry);
    }
    forget(store);
}

/* ---------------------------------------------------------------- sizes (R19) */

leat_status leat__row_too_big(leat_error *error, const leat__cells *cells, const leat__entry *entry,
                              size_t row_bytes)
{
    char text[48]; /* one line, whatever is in a key */
    leat_str key = leat__entry_key(cells, entry);
    size_t length = key.length < sizeof(text) - 1 ? key.length : sizeof(text) - 1;
    for (size_t i = 0; i < length; i++)
        text[i] = (uint8_t)key.data[i] < 0x20 ? '?' : key.data[i];
    text[length] = '\0';
    return leat__fail(error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, cells->slot.name,
                      "state '%s' of key '%s' would take %zu bytes, over the log's bound of %d for "
                      "a record; keep less under one key, or spread it over a list or a map, whose "
                      "elements are records of their own",
                      cells->slot.name, text, row_bytes, LEAT__RECORD_BYTES_MAX);
}

static leat_status check_entry(leat__store *store, leat__cells *cells, const leat__undo *undo,
                               leat_error *error)
{
    leat__entry *entry = undo->entry;
    size_t memory_bytes = (size_t)entry->key_bytes + entry->map_key_bytes + cells->value_bytes;
    if ((entry->flags & LEAT__HANDED) != 0 && cells->block_at != 0)
        take_over(store, cells, entry, undo);
    if (cells->block_at != 0)
        memory_bytes += leat__block_bytes(*leat__entry_block(cells, entry));
    if (memory_bytes < LEAT__LARGE_ROW_BYTES)
        return LEAT_OK;
    store->row_key.length = store->encoded.length = 0;
    leat__row_key_append(&store->row_key, leat__row_kind_of(cells->role), cells->id,
                         leat__entry_key(cells, entry), leat__entry_map_key(cells, entry));
    leat__row_encode(&store->encoded, cells, entry);
    size_t row_bytes = store->row_key.length + store->encoded.length;
    return row_bytes <= LEAT__RECORD_BYTES_MAX ? LEAT_OK
                                               : leat__row_too_big(error, cells, entry, row_bytes);
}

leat_status leat__store_callback_check(leat__store *store, leat_error *error)
{
    LEAT_ASSERT(store->in_callback);
    if (store->too_big.status != LEAT_OK) {
        *error = store->too_big;
        return error->status;
    }
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < store->undo_count && status == LEAT_OK; i++) {
        leat__entry *entry = store->undo[i].entry;
        leat__cells *cells = leat__cells_of(store, entry);
        if (cells->role != LEAT__ROLE_LIST && (entry->flags & LEAT__PRESENT) != 0)
            status = check_entry(store, cells, &store->undo[i], error);
    }
    return status;
}

void leat__store_callback_begin(leat__store *store)
{
    LEAT_ASSERT(!store->in_callback);
    if (store->undo_count != 0)
        leat__edit_commit(store);
    if (store->durable)
        leat__table_evict(store);
    store->in_callback = true;
    store->callback_serial++;
    store->too_big.status = LEAT_OK;
    store->begin_dirty_count = store->dirty_count;
    store->begin_dirty_bytes = store->dirty_bytes;
}

void leat__store_callback_commit(leat__store *store)
{
    store->in_callback = false;
    leat__edit_commit(store);
}

void leat__store_callback_rollback(leat__store *store)
{
    LEAT_ASSERT(store->in_callback);
    store->in_callback = false;
    roll_back(store);
}
