/* state/database.c - opening a backend, and the commit: one write for all tasks with their
 * positions (R6). */
#include <endian.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "state/internal.h"

enum { POSITION_FORMAT = 3 }; /* 2 did not say which seal stood there, 1 had no time */

static void memory_close(leat__database *database)
{
    leat__free(database);
}

static const leat__backend_ops memory_ops = {.durable = false, .close = memory_close};

leat_status leat__database_open(leat__database **database, const leat__database_opts *opts,
                                leat_error *error)
{
    *database = NULL;
    if (opts->backend == LEAT__ROCKSDB)
        return leat__rocksdb_open(database, opts, error);
    *database = leat__calloc(1, sizeof **database);
    (*database)->ops = &memory_ops;
    return LEAT_OK;
}

void leat__database_close(leat__database *database)
{
    if (database != NULL)
        database->ops->close(database);
}

bool leat__database_from_snapshot(const leat__database *database)
{
    return database->from_snapshot;
}

static leat_str position_key(const leat__store *store, char key[5])
{
    memcpy(key, store->prefix, sizeof store->prefix);
    key[4] = LEAT__ROW_POSITION;
    return (leat_str){key, 5};
}

void leat__database_put_position(leat__store *store, leat__batch *batch, int64_t position,
                                 const leat__seal_identity *seal, int64_t at_ms)
{
    char key[5];
    leat__buffer value = {0};
    leat__buffer_u8(&value, POSITION_FORMAT);
    leat__buffer_u64(&value, (uint64_t)position);
    leat__buffer_u64(&value, (uint64_t)at_ms);
    leat__buffer_u64(&value, seal->topic_id);
    leat__buffer_u64(&value, seal->incarnation);
    leat__buffer_u64(&value, seal->epoch);
    leat__buffer_u32(&value, seal->crc);
    store->database->ops->put(batch, position_key(store, key),
                              (leat_str){value.data, value.length});
    leat__buffer_free(&value);
}

leat_status leat__database_get_position(leat__store *store, leat_error *error)
{
    atomic_store(&store->position, -1);
    if (!store->durable)
        return LEAT_OK;
    char key[5];
    leat__buffer value = {0};
    leat_status status =
        store->database->ops->get(store->database, position_key(store, key), &value, error);
    leat__reader reader = leat__reader_of((leat_str){value.data, value.length});
    uint8_t format = status == LEAT_OK ? leat__read_u8(&reader) : 0;
    if (status == LEAT_OK && (format == 0 || format > POSITION_FORMAT)) /* R26: and all before */
        status = leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, "state",
                            "the state was written by a newer version of leat (position format)");
    int64_t position = (int64_t)leat__read_u64(&reader);
    if (status == LEAT_OK && !reader.failed)
        atomic_store(&store->position, position);
    store->position_ms = format >= 2 ? (int64_t)leat__read_u64(&reader) : 0;
    store->seal = (leat__seal_identity){0};
    if (format >= 3) {
        store->seal.topic_id = leat__read_u64(&reader);
        store->seal.incarnation = leat__read_u64(&reader);
        store->seal.epoch = leat__read_u64(&reader);
        store->seal.crc = leat__read_u32(&reader);
    }
    leat__buffer_free(&value);
    return status == LEAT_ENOTFOUND ? LEAT_OK : status;
}

/* ---------------------------------------------------------------- the commit */

/*      defer(N), defer(N+1) ─► store->deferred ──┐
 *                              apply(N+2) ───────┴─► sorted, the last of each key ─► one write
 */
typedef struct ordered {
    uint64_t head, next; /* first 16 bytes after what all keys begin with, big endian */
    const leat__change *change;
    uint32_t length; /* of the key, after the same */
    uint32_t number; /* in the order in which they were made */
} ordered;

static int compare_keys(const ordered *left, const ordered *right)
{
    if (left->head != right->head)
        return left->head < right->head ? -1 : 1;
    if (left->next != right->next)
        return left->next < right->next ? -1 : 1;
    int order = 0;
    if (left->length > 16 && right->length > 16) { /* most comparisons do not come so far */
        leat_str x = left->change->key, y = right->change->key;
        order = memcmp(x.data, y.data, x.length < y.length ? x.length : y.length);
    }
    if (order == 0 && left->length != right->length)
        order = left->length < right->length ? -1 : 1;
    return order;
}

static int by_row_key(const void *a, const void *b)
{
    const ordered *left = a, *right = b;
    int order = compare_keys(left, right);
    return order != 0 ? order : left->number < right->number ? -1 : 1;
}

static uint64_t eight_bytes(leat_str key, size_t from)
{
    uint64_t bytes = 0;
    if (from + 8 <= key.length) {
        memcpy(&bytes, key.data + from, 8);
        return be64toh(bytes);
    }
    for (size_t i = from; i < from + 8; i++)
        bytes = bytes << 8 | (i < key.length ? (uint8_t)key.data[i] : 0u);
    return bytes;
}

/* How much of `first` all keys begin with, of what they did before. */
static size_t shared_bytes(leat_str first, size_t shared, const leat__changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        leat_str key = changes->changes[i].key;
        if (key.length < shared)
            shared = key.length;
        if (shared != 0 && memcmp(first.data, key.data, shared) != 0)
            for (size_t same = 0; same < shared; same++)
                shared = first.data[same] == key.data[same] ? shared : same;
    }
    return shared;
}

static void add_ordered(ordered *all, size_t *count, size_t shared, const leat__changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        leat_str key = changes->changes[i].key;
        all[*count] =
            (ordered){eight_bytes(key, shared), eight_bytes(key, shared + 8), &changes->changes[i],
                      (uint32_t)(key.length - shared), (uint32_t)*count};
        ++*count;
    }
}

/* The deferred epochs in order, then the one that is committed. */
static const leat__changes *part_of(const leat__apply *apply, size_t number)
{
    const leat__store *store = apply->store;
    return number < store->deferred_count ? &store->deferred[number] : apply->changes;
}

/* Neighbours in the database are written one after the other: that halves the cost of a commit. Of
 * what was written several times the last counts. */
static ordered *sorted_changes(const leat__apply *apply, size_t *count)
{
    const leat__store *store = apply->store;
    size_t most = 0, made = 0, kept = 0;
    size_t shared = SIZE_MAX;
    leat_str first = {0};
    for (size_t i = 0; i <= store->deferred_count; i++) {
        const leat__changes *changes = part_of(apply, i);
        if (changes->count != 0 && first.data == NULL)
            first = changes->changes[0].key;
        shared = shared_bytes(first, shared, changes);
        most += changes->count;
    }
    ordered *all = leat__alloc((most + 1) * sizeof *all);
    for (size_t i = 0; i <= store->deferred_count; i++)
        add_ordered(all, &made, shared, part_of(apply, i));
    if (made > 1)
        qsort(all, made, sizeof *all, by_row_key);
    for (size_t i = 0; i < made; i++)
        if (i + 1 == made || compare_keys(&all[i], &all[i + 1]) != 0)
            all[kept++] = all[i];
    *count = kept;
    return all;
}

static int64_t position_after(const leat__apply *apply)
{
    return apply->changelog_position >= 0 ? apply->changelog_position
                                          : apply->store->deferred_position;
}

static const leat__seal_identity *seal_after(const leat__apply *apply)
{
    return apply->changelog_position >= 0 ? &apply->seal : &apply->store->deferred_seal;
}

static void put_changes(leat__batch *batch, const leat__apply *apply, leat__buffer *key)
{
    leat__store *store = apply->store;
    size_t count;
    key->length = 0;
    leat__buffer_bytes(key, store->prefix, sizeof store->prefix);
    ordered *all = sorted_changes(apply, &count);
    for (size_t i = 0; i < count; i++) {
        const leat__change *change = all[i].change;
        key->length = sizeof store->prefix;
        leat__buffer_bytes(key, change->key.data, change->key.length);
        store->database->ops->put(batch, (leat_str){key->data, key->length}, change->value);
    }
    leat__free(all);
    if (position_after(apply) >= 0)
        leat__database_put_position(store, batch, position_after(apply), seal_after(apply),
                                    apply->at_ms);
}

static void applied(const leat__apply *apply)
{
    leat__store *store = apply->store;
    if (position_after(apply) >= 0) {
        store->seal = *seal_after(apply);
        atomic_store(&store->position, position_after(apply));
    }
    for (size_t i = 0; i < store->deferred_count; i++)
        leat__changes_reset(&store->deferred[i]);
    store->deferred_count = 0;
    store->deferred_position = -1;
    atomic_store_explicit(&store->applied, apply->epoch + 1, memory_order_release);
}

leat_status leat__database_apply(leat__database *database, const leat__apply *applies, size_t count,
                                 leat_error *error)
{
    if (database->ops->durable) {
        leat__batch *batch = database->ops->batch(database);
        leat__buffer key = {0};
        for (size_t i = 0; i < count; i++)
            put_changes(batch, &applies[i], &key);
        leat_status status = database->ops->write(batch, error);
        database->ops->batch_free(batch);
        leat__buffer_free(&key);
        if (status != LEAT_OK)
            return status;
    }
    for (size_t i = 0; i < count; i++)
        applied(&applies[i]);
    return LEAT_OK;
}

static void defer(const leat__apply *apply)
{
    leat__store *store = apply->store;
    if (apply->changelog_position >= 0) {
        store->deferred_position = apply->changelog_position;
        store->deferred_seal = apply->seal;
    }
    if (apply->changes->count == 0)
        return;
    if (store->deferred_count == store->deferred_capacity) {
        size_t more = store->deferred_capacity + 1;
        store->deferred = leat__realloc(store->deferred, more, sizeof *store->deferred);
        store->deferred[store->deferred_capacity++] = (leat__changes){0};
    }
    leat__changes empty = store->deferred[store->deferred_count];
    store->deferred[store->deferred_count++] = *apply->changes;
    *apply->changes = empty;
}

void leat__database_defer(const leat__apply *applies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        defer(&applies[i]);
}

void leat__deferred_free(leat__store *store)
{
    for (size_t i = 0; i < store->deferred_capacity; i++)
        leat__changes_free(&store->deferred[i]);
    leat__free(store->deferred);
    store->deferred = NULL;
    store->deferred_count = store->deferred_capacity = 0;
    store->deferred_position = -1;
}
