/* state/seal.c - the end of an epoch: what changed becomes changelog entries, absolute values (R6).
 */
#include "base/mem.h"
#include "state/internal.h"

static void add_change(void *arg, leat_str key, leat_str value)
{
    leat__changes *out = arg;
    if (out->count == out->capacity) {
        out->capacity = out->capacity != 0 ? out->capacity * 2 : 64;
        out->changes = leat__realloc(out->changes, out->capacity, sizeof *out->changes);
    }
    char *bytes = leat__arena_alloc(&out->arena, key.length + value.length);
    leat__change *change = &out->changes[out->count++];
    *change = (leat__change){.key = {bytes, key.length}};
    memcpy(bytes, key.data, key.length);
    if (value.data != NULL) {
        change->value = (leat_str){bytes + key.length, value.length};
        memcpy(bytes + key.length, value.data, value.length);
    }
    out->bytes += key.length + value.length;
}

static leat_str bytes_of(const leat__buffer *buffer)
{
    return (leat_str){buffer->data, buffer->length};
}

/* Not: what came and went within the epoch. */
static bool is_change(const leat__entry *entry)
{
    return (entry->flags & (LEAT__PRESENT | LEAT__STORED)) != 0;
}

static bool any_change(const leat__store *store)
{
    for (size_t i = 0; i < store->dirty_count; i++)
        if (is_change(store->dirty[i]))
            return true;
    return false;
}

static void seal_entry(leat__store *store, leat__cells *cells, leat__entry *entry,
                       leat__changes *out)
{
    bool present = (entry->flags & LEAT__PRESENT) != 0;
    if (out == NULL || !is_change(entry))
        return;
    if (cells->role == LEAT__ROLE_LIST) {
        leat__list_seal(store, cells, entry, add_change, out);
    } else {
        store->row_key.length = store->encoded.length = 0;
        leat__row_key_append(&store->row_key, leat__row_kind_of(cells->role), cells->id,
                             leat__entry_key(cells, entry), leat__entry_map_key(cells, entry));
        if (present)
            leat__row_encode(&store->encoded, cells, entry);
        add_change(out, bytes_of(&store->row_key),
                   present ? bytes_of(&store->encoded) : (leat_str){0});
    }
    if (present)
        entry->flags |= LEAT__STORED;
    else
        entry->flags &= (uint8_t)~LEAT__STORED;
}

/* First in the changelog, so that a restore knows a slot's layouts before its values. */
static void seal_directory(leat__store *store, leat__changes *out)
{
    for (size_t i = 0; i < store->slot_count + store->timer_count; i++) {
        leat__cells *cells = &store->cells_of[i];
        if (!cells->directory_pending)
            continue;
        cells->directory_pending = false;
        cells->directory_seen = true;
        store->row_key.length = store->encoded.length = 0;
        leat__row_key_append(&store->row_key, LEAT__ROW_DIRECTORY, cells->id, (leat_str){0},
                             (leat_str){0});
        leat__directory_append(&store->encoded, cells);
        add_change(out, bytes_of(&store->row_key), bytes_of(&store->encoded));
    }
}

size_t leat__store_seal(leat__store *store, uint64_t epoch, leat__changes *out)
{
    LEAT_ASSERT(!store->in_callback);
    if (out != NULL)
        leat__changes_reset(out);
    leat__ttl_sweep(store, epoch);
    leat__edit_commit(store);
    if (out != NULL && any_change(store))
        seal_directory(store, out); /* R24: alone it is no change */
    for (size_t i = 0; i < store->dirty_count; i++) {
        leat__entry *entry = store->dirty[i];
        seal_entry(store, leat__cells_of(store, entry), entry, out);
        entry->flags &= (uint8_t)~LEAT__DIRTY;
        entry->sealed = epoch + 1;
        bool absent = (entry->flags & LEAT__PRESENT) == 0;
        if (absent && !store->durable && leat__entry_is_idle(store, entry))
            leat__entry_drop(store, entry);
    }
    store->dirty_count = store->dirty_bytes = 0;
    store->seals++;
    return out == NULL ? 0 : out->count;
}

void leat__changes_reset(leat__changes *changes)
{
    leat__arena_reset(&changes->arena);
    changes->count = changes->bytes = 0;
}

void leat__changes_free(leat__changes *changes)
{
    leat__arena_free(&changes->arena);
    leat__free(changes->changes);
    *changes = (leat__changes){0};
}
