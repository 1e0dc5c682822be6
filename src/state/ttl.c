/* state/ttl.c - expired values of keys that nobody asks for: a bounded sweep at each seal (S2,
 * R22).
 *
 *     memory    64 cells of the table per seal
 *     rocksdb   every 8th seal 256 rows of the database from where the last sweep stopped
 *
 * Only what every later read would find expired may go, or a replay that seals elsewhere would read
 * something else (R21).  Event time of single records is not ordered, so the clock of the sweep is
 * the watermark; reads too take the later of both.  What has no time yet gets the sweep's. */
#include "state/internal.h"

enum {
    CELLS_PER_SEAL = 64,
    ROWS_PER_SWEEP = 256,
    SEALS_PER_SWEEP = 8, /* an iterator costs more than the rows */
};

static int64_t sweep_now(const leat__store *store, const leat__cells *cells)
{
    return cells->slot.ttl_domain == LEAT__PROCESSING_TIME ? store->clock_ms : store->watermark_ms;
}

static void expire(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    if ((entry->flags & LEAT__PRESENT) == 0)
        return;
    int64_t now_ms = sweep_now(store, cells);
    if (now_ms == LEAT_TIME_MIN)
        return;
    if (cells->role == LEAT__ROLE_LIST) {
        leat__list_expire(store, cells, entry, now_ms);
        return;
    }
    int64_t *time_ms = leat__entry_time(cells, entry);
    if (*time_ms == LEAT_TIME_MIN) { /* it ages from now on */
        leat__entry_touch(store, entry);
        *time_ms = now_ms;
    } else if (leat__time_expired(cells, *time_ms, now_ms)) {
        leat__entry_del(store, cells, entry);
    }
}

static void sweep_table(leat__store *store)
{
    for (int i = 0; i < CELLS_PER_SEAL; i++) {
        uint32_t at = (uint32_t)store->sweep_at & store->mask;
        store->sweep_at = at + 1;
        if (store->table[at].ref == 0)
            continue;
        leat__entry *entry = leat__slab_at(&store->slab, store->table[at].ref);
        leat__cells *cells = leat__cells_of(store, entry);
        if (cells->slot.ttl_ms != 0)
            expire(store, cells, entry);
    }
}

static void sweep_row(leat__store *store, leat_str key, leat_str value)
{
    leat__row_key row;
    leat__row_value head;
    leat_str row_bytes = {key.data + sizeof store->prefix, key.length - sizeof store->prefix};
    if (!leat__row_key_parse(row_bytes, &row) || row.kind == LEAT__ROW_CHUNK)
        return;
    leat__cells *cells = leat__cells_by_id(store, row.kind, row.id);
    if (cells == NULL || cells->slot.ttl_ms == 0 || !leat__row_value_parse(value, &head))
        return;
    bool known = head.has_time && head.time_ms != LEAT_TIME_MIN;
    if (known && !leat__time_expired(cells, head.time_ms, sweep_now(store, cells)))
        return;
    leat__store_set_key(store, row.key, leat__hash64(row.key.data, row.key.length));
    leat__entry *entry = cells->role == LEAT__ROLE_MAP
                             ? leat__cache_find_map(store, cells, row.map_key)
                             : leat__cache_find(store, cells);
    if (entry != NULL)
        expire(store, cells, entry); /* the cache may know better than the row */
}

static void sweep_rows(leat__store *store)
{
    const leat__backend_ops *ops = store->database->ops;
    leat_error error = {0};
    leat_str key, value, from = {store->sweep_key.data, store->sweep_key.length};
    leat__rows *rows =
        ops->rows(store->database, (leat_str){store->prefix, sizeof store->prefix}, from);
    int left = ROWS_PER_SWEEP;
    store->sweep_key.length = 0;
    while (ops->next(rows, &key, &value)) {
        if (left-- == 0) {
            leat__buffer_bytes(&store->sweep_key, key.data, key.length);
            break;
        }
        sweep_row(store, key, value);
    }
    if (ops->rows_close(rows, &error) != LEAT_OK)
        leat__store_fail(store, &error);
    store->key = (leat_str){0}; /* the rows are gone */
}

void leat__ttl_sweep(leat__store *store)
{
    if (!store->has_ttl)
        return;
    if (!store->durable)
        sweep_table(store);
    else if (store->seals % SEALS_PER_SWEEP == 0)
        sweep_rows(store);
}
