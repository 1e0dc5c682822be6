/* state/cache.c - finding the entries of the current key, in the table or in the database. */
#include "base/error.h"
#include "state/internal.h"

static const leat_str none = {NULL, 0};

void leat__store_fail(leat__store *store, const leat_error *error)
{
    if (store->failure.status != LEAT_OK)
        return; /* the first one is the cause */
    store->failure = *error;
    if (store->failure.status == LEAT_OK)
        store->failure.status = LEAT_ESTATE;
    store->failure.recovery = LEAT_RECOVERY_FATAL; /* R17 */
}

static leat_str row_key(leat__store *store, leat__row_kind kind, uint32_t id, leat_str key,
                        leat_str map_key)
{
    store->row_key.length = 0;
    leat__buffer_bytes(&store->row_key, store->prefix, sizeof store->prefix);
    leat__row_key_append(&store->row_key, kind, id, key, map_key);
    return (leat_str){store->row_key.data, store->row_key.length};
}

static bool chunk_from_database(void *arg, leat_str chunk_key, leat__buffer *value)
{
    leat__store *store = arg;
    leat__buffer key = {0};
    leat_error error = {0};
    leat__buffer_bytes(&key, store->prefix, sizeof store->prefix);
    leat__buffer_bytes(&key, chunk_key.data, chunk_key.length);
    leat_status status =
        store->database->ops->get(store->database, (leat_str){key.data, key.length}, value, &error);
    leat__buffer_free(&key);
    if (status != LEAT_OK && status != LEAT_ENOTFOUND)
        leat__store_fail(store, &error);
    return status == LEAT_OK;
}

static leat_status fill(leat__store *store, leat__cells *cells, leat__entry *entry, leat_str value,
                        leat_error *error)
{
    leat_status status =
        cells->role == LEAT__ROLE_LIST
            ? leat__list_load(store, cells, entry, value, chunk_from_database, store, error)
            : leat__row_decode(store, cells, entry, value, error);
    if (status == LEAT_OK)
        entry->flags |= LEAT__PRESENT | LEAT__STORED;
    return status;
}

/* An entry as the database has it; an absent one is kept too, so that the next miss costs nothing.
 */
static void load(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    leat_error error = {0};
    leat_str key = leat__entry_key(cells, entry), map_key = leat__entry_map_key(cells, entry);
    leat_str row = row_key(store, leat__row_kind_of(cells->role), cells->id, key, map_key);
    store->encoded.length = 0;
    leat_status status = store->database->ops->get(store->database, row, &store->encoded, &error);
    if (status == LEAT_OK)
        status = fill(store, cells, entry, (leat_str){store->encoded.data, store->encoded.length},
                      &error);
    if (status != LEAT_OK && status != LEAT_ENOTFOUND)
        leat__store_fail(store, &error);
    LEAT__COUNT(store->misses, 1);
}

leat__entry *leat__cache_find(leat__store *store, leat__cells *cells)
{
    if (cells->current_serial == store->key_serial)
        return cells->current;
    uint32_t tag = leat__value_tag(cells, store->hash);
    leat__entry *entry = leat__table_find(store, cells, tag, store->key, none);
    if (entry != NULL) {
        LEAT__COUNT(store->hits, 1);
        if ((entry->flags & LEAT__RECENT) == 0)
            entry->flags |= LEAT__RECENT;
    } else if (store->behind) {
        entry = leat__entry_new(store, cells, tag, store->key, none);
        load(store, cells, entry);
    }
    cells->current = entry;
    cells->current_serial = store->key_serial;
    return entry;
}

leat__entry *leat__cache_entry(leat__store *store, leat__cells *cells)
{
    leat__entry *entry = leat__cache_find(store, cells);
    if (entry != NULL)
        return entry;
    entry = leat__entry_new(store, cells, leat__value_tag(cells, store->hash), store->key, none);
    cells->current = entry;
    cells->current_serial = store->key_serial;
    return entry;
}

/* ---------------------------------------------------------------- maps */

leat__entry *leat__cache_head(leat__store *store, leat__cells *cells, uint64_t hash, leat_str key)
{
    leat__cells *heads = &store->cells_of[cells->head_slot];
    uint32_t tag = leat__value_tag(heads, hash);
    leat__entry *head = leat__table_find(store, heads, tag, key, none);
    if (head != NULL)
        return head;
    head = leat__entry_new(store, heads, tag, key, none);
    leat__chain *chain = leat__entry_chain(heads, head);
    *chain = (leat__chain){.next = chain, .previous = chain, .head = head, .entry = head};
    return head;
}

static leat__entry *new_in_chain(leat__store *store, leat__cells *cells, uint32_t tag, leat_str key,
                                 leat_str map_key, leat__entry *head)
{
    leat__entry *entry = leat__entry_new(store, cells, tag, key, map_key);
    leat__chain *first = leat__entry_chain(&store->cells_of[cells->head_slot], head);
    leat__chain *chain = leat__entry_chain(cells, entry);
    *chain =
        (leat__chain){.next = first, .previous = first->previous, .head = head, .entry = entry};
    first->previous->next = chain;
    first->previous = chain;
    return entry;
}

static leat__entry *find_map(leat__store *store, leat__cells *cells, leat_str map_key, bool create)
{
    uint32_t tag = leat__map_tag(cells, store->hash, map_key);
    leat__entry *entry = leat__table_find(store, cells, tag, store->key, map_key);
    if (entry != NULL) {
        LEAT__COUNT(store->hits, 1);
        if ((entry->flags & LEAT__RECENT) == 0)
            entry->flags |= LEAT__RECENT;
        return entry;
    }
    bool stored = store->behind && cells->role == LEAT__ROLE_MAP; /* timers are all in memory */
    if (!stored && !create)
        return NULL;
    if (cells->role != LEAT__ROLE_MAP)
        return leat__entry_new(store, cells, tag, store->key, map_key);
    leat__entry *head = leat__cache_head(store, cells, store->hash, store->key);
    bool complete = leat__entry_chain(&store->cells_of[cells->head_slot], head)->complete != 0;
    if (complete && !create)
        return NULL;
    entry = new_in_chain(store, cells, tag, store->key, map_key, head);
    if (stored && !complete)
        load(store, cells, entry);
    return entry;
}

leat__entry *leat__cache_find_map(leat__store *store, leat__cells *cells, leat_str map_key)
{
    return find_map(store, cells, map_key, false);
}

leat__entry *leat__cache_entry_map(leat__store *store, leat__cells *cells, leat_str map_key)
{
    return find_map(store, cells, map_key, true);
}

static leat_status load_row(leat__store *store, leat__cells *cells, leat__entry *head,
                            leat_str row_bytes, leat_str value, leat_error *error)
{
    leat__row_key row;
    row_bytes.data += sizeof store->prefix;
    row_bytes.length -= sizeof store->prefix;
    if (!leat__row_key_parse(row_bytes, &row))
        return leat__row_damaged(error, cells);
    uint32_t tag = leat__map_tag(cells, store->hash, row.map_key);
    if (leat__table_find(store, cells, tag, row.key, row.map_key) != NULL)
        return LEAT_OK; /* newer */
    return fill(store, cells, new_in_chain(store, cells, tag, row.key, row.map_key, head), value,
                error);
}

/* After this every entry of the current key is in its chain. */
void leat__cache_load_map(leat__store *store, leat__cells *cells, leat__entry *head)
{
    leat__chain *chain = leat__entry_chain(&store->cells_of[cells->head_slot], head);
    if (!store->behind || chain->complete != 0)
        return;
    leat_error error = {0};
    leat_str prefix = row_key(store, LEAT__ROW_MAP, cells->id, store->key, none), key, value;
    const leat__backend_ops *ops = store->database->ops;
    leat__rows *rows = ops->rows(store->database, prefix, none);
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && ops->next(rows, &key, &value))
        status = load_row(store, cells, head, key, value, &error);
    leat_status closed = ops->rows_close(rows, status == LEAT_OK ? &error : NULL);
    if (status != LEAT_OK || closed != LEAT_OK) {
        leat__store_fail(store, &error);
        return;
    }
    chain->complete = 1;
    LEAT__COUNT(store->misses, 1);
}

void leat__cache_look_behind(leat__store *store)
{
    store->behind = store->durable;
    if (!store->durable)
        return;
    leat_error error = {0};
    leat_str prefix = {store->prefix, sizeof store->prefix}, key, value;
    char from[5];
    memcpy(from, store->prefix, sizeof store->prefix);
    from[4] = LEAT__ROW_VALUE; /* behind position and directory */
    const leat__backend_ops *ops = store->database->ops;
    leat__rows *rows = ops->rows(store->database, prefix, (leat_str){from, sizeof from});
    store->behind = ops->next(rows, &key, &value);
    if (ops->rows_close(rows, &error) != LEAT_OK)
        leat__store_fail(store, &error);
}
