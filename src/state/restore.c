/* state/restore.c - filling a store from its changelog, and dropping what was never committed.
 *
 *     rocksdb   rows go to the database as they are; the position follows in the last write (R6)
 *     memory    rows become entries at once; rows that cannot be read yet are held:
 *                 a slot whose directory row has not come (its layouts are unknown), and lists,
 * whose heads refer to chunks; the last row of each key is decoded at the end */
#include "base/error.h"
#include "base/mem.h"
#include "state/internal.h"
#include <stdlib.h>

enum {
    BATCH_BYTES = 4 << 20,  /* one write of a restore */
    THIN_OUT_MIN = 1 << 14, /* held rows before the superseded ones are dropped */
};

typedef struct held_row {
    leat_str key, value;
    size_t number; /* of arrival */
} held_row;

struct leat__restored {
    leat__arena arena;
    held_row *rows;
    size_t count, capacity, next_number, thin_out_at;
};

static int by_key_then_arrival(const void *a, const void *b)
{
    const held_row *left = a, *right = b;
    size_t shorter = left->key.length < right->key.length ? left->key.length : right->key.length;
    int order = memcmp(left->key.data, right->key.data, shorter);
    if (order != 0)
        return order;
    if (left->key.length != right->key.length)
        return left->key.length < right->key.length ? -1 : 1;
    return left->number < right->number ? -1 : 1;
}

/* Sorts and keeps the last row of each key; tombstones have done their work then. */
static void thin_out(leat__restored *held)
{
    leat__arena arena = {0};
    size_t kept = 0;
    if (held->count != 0)
        qsort(held->rows, held->count, sizeof *held->rows, by_key_then_arrival);
    for (size_t i = 0; i < held->count; i++) {
        held_row row = held->rows[i];
        if (i + 1 < held->count && leat_str_equal(row.key, held->rows[i + 1].key))
            continue;
        if (row.value.data == NULL)
            continue;
        row.key = leat__arena_str(&arena, row.key);
        row.value = leat__arena_str(&arena, row.value);
        held->rows[kept++] = row;
    }
    leat__arena_free(&held->arena);
    held->arena = arena;
    held->count = kept;
    held->thin_out_at = kept * 2 > THIN_OUT_MIN ? kept * 2 : THIN_OUT_MIN;
}

static void hold(leat__store *store, leat_str key, leat_str value)
{
    leat__restored *held = store->restored;
    if (held->count >= held->thin_out_at)
        thin_out(held);
    if (held->count == held->capacity) {
        held->capacity = held->capacity != 0 ? held->capacity * 2 : 64;
        held->rows = leat__realloc(held->rows, held->capacity, sizeof *held->rows);
    }
    held->rows[held->count++] = (held_row){
        .key = leat__arena_str(&held->arena, key),
        .value = leat__arena_str(&held->arena, value),
        .number = held->next_number++,
    };
}

void leat__restored_free(leat__store *store)
{
    if (store->restored == NULL)
        return;
    leat__arena_free(&store->restored->arena);
    leat__free(store->restored->rows);
    leat__free(store->restored);
    store->restored = NULL;
}

/* ---------------------------------------------------------------- into memory */

static void forget(leat__store *store, leat__entry *entry)
{
    entry->flags &= (uint8_t) ~(LEAT__PRESENT | LEAT__STORED);
    if (leat__cells_of(store, entry)->role == LEAT__ROLE_TIMER)
        LEAT__COUNT(store->timers, -1);
    if (leat__entry_is_idle(store, entry))
        leat__entry_drop(store, entry);
}

static leat_status into_entry(leat__store *store, leat__cells *cells, const leat__row_key *row,
                              leat_str value, leat_error *error)
{
    leat__store_set_key(store, row->key, leat__hash64(row->key.data, row->key.length));
    bool single = cells->role == LEAT__ROLE_VALUE || cells->role == LEAT__ROLE_LIST;
    leat__entry *entry =
        single ? leat__cache_find(store, cells) : leat__cache_find_map(store, cells, row->map_key);
    if (entry != NULL && (entry->flags & LEAT__PRESENT) != 0)
        forget(store, entry);
    if (value.data == NULL)
        return LEAT_OK;
    entry = single ? leat__cache_entry(store, cells)
                   : leat__cache_entry_map(store, cells, row->map_key);
    leat_status status = leat__row_decode(store, cells, entry, value, error);
    if (status != LEAT_OK)
        return status;
    entry->flags |= LEAT__PRESENT | LEAT__STORED;
    if (cells->role == LEAT__ROLE_TIMER)
        leat__timer_loaded(store, entry);
    return LEAT_OK;
}

static bool chunk_from_held(void *arg, leat_str chunk_key, leat__buffer *value)
{
    const leat__restored *held = arg;
    size_t low = 0, high = held->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        held_row wanted = {.key = chunk_key};
        if (by_key_then_arrival(&held->rows[middle], &wanted) < 0 &&
            !leat_str_equal(held->rows[middle].key, chunk_key))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == held->count || !leat_str_equal(held->rows[low].key, chunk_key))
        return false;
    leat__buffer_bytes(value, held->rows[low].value.data, held->rows[low].value.length);
    return true;
}

static leat_status into_list(leat__store *store, leat__cells *cells, const leat__row_key *row,
                             leat_str value, leat_error *error)
{
    leat__store_set_key(store, row->key, leat__hash64(row->key.data, row->key.length));
    leat__entry *entry = leat__cache_entry(store, cells);
    leat_status status =
        leat__list_load(store, cells, entry, value, chunk_from_held, store->restored, error);
    if (status == LEAT_OK)
        entry->flags |= LEAT__PRESENT | LEAT__STORED;
    return status;
}

static leat_status decode_held(leat__store *store, leat_error *error)
{
    leat__restored *held = store->restored;
    thin_out(held);
    for (size_t i = 0; i < held->count; i++) {
        leat__row_key row;
        leat_str value = held->rows[i].value;
        leat_status status = LEAT_OK;
        if (!leat__row_key_parse(held->rows[i].key, &row))
            continue;
        leat__cells *cells = leat__cells_by_id(store, row.kind, row.id);
        if (row.kind == LEAT__ROW_CHUNK)
            continue;
        if (row.kind == LEAT__ROW_LIST)
            status = into_list(store, cells, &row, value, error);
        else
            status = into_entry(store, cells, &row, value, error);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static leat_status into_memory(leat__store *store, leat__cells *cells, const leat__row_key *row,
                               leat_str key, leat_str value, leat_error *error)
{
    if (row->kind == LEAT__ROW_DIRECTORY)
        return value.data == NULL ? LEAT_OK : leat__directory_row(cells, value, error);
    if (!cells->directory_seen || cells->role == LEAT__ROLE_LIST)
        cells->hold_rows = true;
    if (!cells->hold_rows && value.length > 1 && cells->role != LEAT__ROLE_TIMER)
        cells->hold_rows = (uint8_t)value.data[1] >= cells->layouts.stored;
    if (cells->layouts.any_refused)
        cells->hold_rows = true; /* S4: what can't be read may have been written anew since */
    if (!cells->hold_rows)
        return into_entry(store, cells, row, value, error);
    hold(store, key, value);
    /* the row before it may be an entry already; a tombstone would not take it away at the end */
    return cells->role == LEAT__ROLE_LIST ? LEAT_OK
                                          : into_entry(store, cells, row, (leat_str){0}, error);
}

/* ---------------------------------------------------------------- into the database */

static leat_status into_database(leat__store *store, leat__cells *cells, leat__row_kind kind,
                                 leat_str key, leat_str value, leat_error *error)
{
    const leat__backend_ops *ops = store->database->ops;
    if (cells != NULL && kind == LEAT__ROW_DIRECTORY && value.data != NULL) {
        leat_status status = leat__directory_row(cells, value, error);
        if (status != LEAT_OK)
            return status;
    }
    store->row_key.length = 0;
    leat__buffer_bytes(&store->row_key, store->prefix, sizeof store->prefix);
    leat__buffer_bytes(&store->row_key, key.data, key.length);
    ops->put(store->batch, (leat_str){store->row_key.data, store->row_key.length}, value);
    /* Data may run ahead of the position, never behind it: replaying absolute values is harmless
     * (R6). */
    return ops->batch_bytes(store->batch) < BATCH_BYTES ? LEAT_OK : ops->write(store->batch, error);
}

/* ---------------------------------------------------------------- the interface */

static void begin(leat__store *store)
{
    leat__store_drop_all(store);
    store->restored = leat__calloc(1, sizeof *store->restored);
    store->restored->thin_out_at = THIN_OUT_MIN;
    if (store->durable && store->batch == NULL)
        store->batch = store->database->ops->batch(store->database);
}

leat_status leat__store_restore(leat__store *store, leat_str key, leat_str value, leat_error *error)
{
    leat__row_key row;
    if (!leat__row_key_parse(key, &row))
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, "changelog",
                          "a key of %zu bytes is not one of ours", key.length);
    if (store->restored == NULL)
        begin(store);
    leat__cells *cells = leat__cells_by_id(store, row.kind, row.id);
    if (store->durable) /* also of a slot that the program does not have now: S6 */
        return into_database(store, cells, row.kind, key, value, error);
    if (cells == NULL)
        return LEAT_OK;
    return into_memory(store, cells, &row, key, value, error);
}

leat_status leat__store_restored(leat__store *store, int64_t position,
                                 const leat__seal_identity *seal, int64_t at_ms, leat_error *error)
{
    leat_status status = LEAT_OK;
    if (store->restored == NULL)
        begin(store);
    if (store->durable) {
        leat__database_put_position(store, store->batch, position, seal, at_ms);
        status = store->database->ops->write(store->batch, error);
    } else {
        status = decode_held(store, error);
    }
    if (status == LEAT_OK)
        status = leat__directory_check(store, error);
    leat__restored_free(store);
    if (status != LEAT_OK)
        return status;
    atomic_store(&store->position, position);
    store->position_ms = at_ms;
    store->seal = *seal;
    if (!store->durable)
        return LEAT_OK;
    leat__store_drop_all(store);
    leat__cache_look_behind(store);
    return leat__timers_load(store, error);
}

leat_status leat__store_has_row(leat__store *store, leat_str key, leat_str value, bool *same,
                                leat_error *error)
{
    leat__buffer found = {0};
    store->row_key.length = 0;
    leat__buffer_bytes(&store->row_key, store->prefix, sizeof store->prefix);
    leat__buffer_bytes(&store->row_key, key.data, key.length);
    leat_status status = store->database->ops->get(
        store->database, (leat_str){store->row_key.data, store->row_key.length}, &found, error);
    *same = status == LEAT_ENOTFOUND
                ? value.data == NULL
                : value.data != NULL && leat_str_equal(value, (leat_str){found.data, found.length});
    leat__buffer_free(&found);
    return status == LEAT_ENOTFOUND ? LEAT_OK : status;
}

leat_status leat__store_rewind(leat__store *store, leat_error *error)
{
    leat__restored_free(store);
    leat__store_drop_all(store);
    atomic_store(&store->applied, 0);
    leat_status status = leat__directory_open(store, error);
    if (status == LEAT_OK)
        status = leat__database_get_position(store, error);
    leat__cache_look_behind(store);
    return status == LEAT_OK ? leat__timers_load(store, error) : status;
}

leat_status leat__store_wipe(leat__store *store, leat_error *error)
{
    if (store->durable) {
        const leat__backend_ops *ops = store->database->ops;
        leat__batch *batch = ops->batch(store->database);
        ops->delete_prefix(batch, (leat_str){store->prefix, sizeof store->prefix});
        leat_status status = ops->write(batch, error);
        ops->batch_free(batch);
        if (status != LEAT_OK)
            return status;
    }
    return leat__store_rewind(store, error);
}
