/* state/read.c - committed state seen from outside: by other threads of the job, and by tools.
 *
 * Reads go to the database, never to the cache: what they see was committed.  Tools open the
 * directory beside the job that holds it; they see the database as it was then. */
#include "base/error.h"
#include "base/mem.h"
#include "state/internal.h"

/* ---------------------------------------------------------------- one value */

static bool expired(const leat__store *store, const leat__cells *cells, const leat__row_value *row,
                    int64_t now_ms)
{
    if (cells->slot.ttl_ms == 0 || !row->has_time)
        return false;
    if (cells->slot.ttl_domain == LEAT__EVENT_TIME)
        now_ms = atomic_load_explicit(&store->watermark_ms, memory_order_relaxed);
    return leat__time_expired(cells, row->time_ms, now_ms);
}

/* Values of older layouts are handed out in the current one. */
static leat_status append_current(const leat__cells *cells, const leat__row_value *row,
                                  leat__buffer *out, leat_error *error)
{
    if (row->layout >= cells->layouts.count)
        return leat__row_damaged(error, cells);
    if (cells->layouts.all[row->layout].refused)
        return leat__layout_refused(cells, row->layout, 0, error);
    const leat__migration *migration = cells->layouts.all[row->layout].migration;
    if (migration == NULL) {
        leat__buffer_bytes(out, row->bytes.data, row->bytes.length);
        return LEAT_OK;
    }
    leat__arena arena = {.chunk_bytes = 4096};
    void *value = leat__arena_alloc(&arena, cells->value_bytes);
    memset(value, 0, cells->value_bytes);
    leat_status status =
        leat__migration_decode(migration, &arena, row->bytes, LEAT__STRINGS_IN_INPUT, value, error);
    if (status == LEAT_OK)
        leat__binary_append(out, cells->slot.type, value);
    leat__arena_free(&arena);
    return status;
}

leat_status leat__store_read(leat__store *store, size_t slot, leat_str key, int64_t now_ms,
                             leat__buffer *out, leat_error *error)
{
    const leat__cells *cells = &store->cells_of[slot];
    if (!store->durable)
        return leat__fail(
            error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, cells->slot.name,
            "reading committed state needs the rocksdb backend: give the job a state_dir");
    if (slot >= store->slot_count || cells->role != LEAT__ROLE_VALUE)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, cells->slot.name,
                          "only values can be read");
    leat__buffer row_key = {0}, value = {0};
    leat__buffer_bytes(&row_key, store->prefix, sizeof store->prefix);
    leat__row_key_append(&row_key, LEAT__ROW_VALUE, cells->id, key, (leat_str){0});
    leat_status status = store->database->ops->get(
        store->database, (leat_str){row_key.data, row_key.length}, &value, error);
    leat__row_value row;
    if (status == LEAT_OK) {
        if (!leat__row_value_parse((leat_str){value.data, value.length}, &row))
            status = leat__row_unreadable(error, cells, (leat_str){value.data, value.length});
        else if (expired(store, cells, &row, now_ms))
            status = LEAT_ENOTFOUND;
        else
            status = append_current(cells, &row, out, error);
    }
    leat__buffer_free(&row_key);
    leat__buffer_free(&value);
    return status;
}

/* ---------------------------------------------------------------- everything, for tools */

typedef struct known_slot {
    uint32_t id;
    leat__role role;
    char *name, *map_key;
    char **layouts;
    size_t layout_count;
} known_slot;

typedef struct walk {
    leat__database *database;
    char prefix[4];
    known_slot *slots; /* of this task, from its directory rows, which come first */
    size_t slot_count;
    leat__database_fn fn;
    void *arg;
    bool stopped;
} walk;

static void forget_slots(walk *scan)
{
    for (size_t i = 0; i < scan->slot_count; i++) {
        known_slot *slot = &scan->slots[i];
        for (size_t k = 0; k < slot->layout_count; k++)
            leat__free(slot->layouts[k]);
        leat__free(slot->layouts);
        leat__free(slot->name);
        leat__free(slot->map_key);
    }
    leat__free(scan->slots);
    scan->slots = NULL;
    scan->slot_count = 0;
}

static void learn_slot(walk *scan, uint32_t id, leat_str value)
{
    leat__reader reader = leat__reader_of(value);
    known_slot slot = {.id = id};
    (void)leat__read_u8(&reader); /* format: the database's version stands for it */
    slot.role = (leat__role)leat__read_u8(&reader);
    leat_str name = leat__read_str(&reader), map_key = leat__read_str(&reader);
    uint64_t count = leat__read_varint(&reader);
    if (reader.failed || count > LEAT__LAYOUTS_MAX)
        return;
    slot.name = leat__strndup(name.data, name.length);
    slot.map_key = leat__strndup(map_key.data, map_key.length);
    slot.layouts = leat__calloc(count + 1, sizeof *slot.layouts);
    for (; slot.layout_count < count; slot.layout_count++) {
        leat_str layout = leat__read_str(&reader);
        slot.layouts[slot.layout_count] = leat__strndup(layout.data, layout.length);
    }
    scan->slots = leat__realloc(scan->slots, scan->slot_count + 1, sizeof *scan->slots);
    scan->slots[scan->slot_count++] = slot;
}

static const known_slot *slot_by_id(const walk *scan, uint32_t id)
{
    for (size_t i = 0; i < scan->slot_count; i++)
        if (scan->slots[i].id == id)
            return &scan->slots[i];
    return NULL;
}

static void emit(walk *scan, const known_slot *slot, const leat__row_value *row,
                 leat__database_entry entry)
{
    static const leat__state_kind kinds[] = {LEAT__VALUE, LEAT__LIST, LEAT__MAP, LEAT__MAP};
    entry.stage = (uint16_t)((uint8_t)scan->prefix[0] << 8 | (uint8_t)scan->prefix[1]);
    entry.partition = (uint16_t)((uint8_t)scan->prefix[2] << 8 | (uint8_t)scan->prefix[3]);
    entry.slot = slot->name;
    entry.kind = kinds[slot->role < 4 ? slot->role : 0];
    entry.timer = slot->role == LEAT__ROLE_TIMER;
    entry.map_key_layout = slot->map_key;
    entry.layout = row->layout < slot->layout_count ? slot->layouts[row->layout] : "";
    scan->stopped = !scan->fn(scan->arg, &entry);
}

static void emit_elements(walk *scan, const known_slot *slot, const leat__row_value *row,
                          leat_str key, leat__reader *reader, uint64_t skip)
{
    uint64_t count = leat__read_varint(reader);
    for (uint64_t i = 0; i < count && !scan->stopped; i++) {
        int64_t time_ms = row->has_time ? (int64_t)leat__read_u64(reader) : 0;
        leat_str bytes = leat__read_bytes(reader, leat__read_u32(reader));
        if (reader->failed)
            return;
        if (i < skip)
            continue;
        emit(scan, slot, row,
             (leat__database_entry){
                 .key = key, .value = bytes, .has_time = row->has_time, .time_ms = time_ms});
    }
}

static void emit_chunk(walk *scan, const known_slot *slot, leat_str key, uint32_t number,
                       uint64_t skip)
{
    char bytes[4] = {(char)(number >> 24), (char)(number >> 16), (char)(number >> 8), (char)number};
    leat__buffer row_key = {0}, value = {0};
    leat__row_value row;
    leat__buffer_bytes(&row_key, scan->prefix, sizeof scan->prefix);
    leat__row_key_append(&row_key, LEAT__ROW_CHUNK, slot->id, key, (leat_str){bytes, sizeof bytes});
    leat_status status = scan->database->ops->get(
        scan->database, (leat_str){row_key.data, row_key.length}, &value, NULL);
    if (status == LEAT_OK && leat__row_value_parse((leat_str){value.data, value.length}, &row)) {
        leat__reader reader = leat__reader_of(row.bytes);
        emit_elements(scan, slot, &row, key, &reader, skip);
    }
    leat__buffer_free(&row_key);
    leat__buffer_free(&value);
}

static void emit_list(walk *scan, const known_slot *slot, const leat__row_value *row, leat_str key)
{
    leat__reader reader = leat__reader_of(row->bytes);
    uint64_t skip = leat__read_varint(&reader);
    uint32_t first = (uint32_t)leat__read_varint(&reader),
             end = (uint32_t)leat__read_varint(&reader);
    for (uint32_t i = first; i < end && !scan->stopped && !reader.failed; i++)
        emit_chunk(scan, slot, key, i, i == first ? skip : 0);
    emit_elements(scan, slot, row, key, &reader, 0);
}

static void emit_timer(walk *scan, const known_slot *slot, const leat__row_key *row_key,
                       leat_str value)
{
    leat__reader reader = leat__reader_of(value);
    (void)leat__read_u8(&reader);
    leat__row_value row = {.has_time = true};
    leat__database_entry entry = {
        .key = row_key->key, .has_time = true, .time_ms = leat__read_zigzag(&reader)};
    if (!reader.failed)
        emit(scan, slot, &row, entry);
}

static void scan_row(walk *scan, leat_str key, leat_str value)
{
    leat__row_key row_key;
    leat__row_value row;
    if (key.length <= sizeof scan->prefix || memcmp(key.data, "\xff\xff", 2) == 0)
        return;
    if (memcmp(key.data, scan->prefix, sizeof scan->prefix) != 0) {
        forget_slots(scan);
        memcpy(scan->prefix, key.data, sizeof scan->prefix);
    }
    leat_str row_bytes = {key.data + sizeof scan->prefix, key.length - sizeof scan->prefix};
    if (!leat__row_key_parse(row_bytes, &row_key))
        return; /* the position */
    if (row_key.kind == LEAT__ROW_DIRECTORY) {
        learn_slot(scan, row_key.id, value);
        return;
    }
    const known_slot *slot = slot_by_id(scan, row_key.id);
    if (slot == NULL || row_key.kind == LEAT__ROW_CHUNK)
        return; /* chunks come with their head */
    if (row_key.kind == LEAT__ROW_TIMER) {
        emit_timer(scan, slot, &row_key, value);
    } else if (leat__row_value_parse(value, &row)) {
        if (row_key.kind == LEAT__ROW_LIST)
            emit_list(scan, slot, &row, row_key.key);
        else
            emit(scan, slot, &row,
                 (leat__database_entry){.key = row_key.key,
                                        .map_key = row_key.map_key,
                                        .value = row.bytes,
                                        .has_time = row.has_time,
                                        .time_ms = row.time_ms});
    }
}

leat_status leat__database_scan(const char *dir, leat__database_fn fn, void *arg, leat_error *error)
{
    walk scan = {.fn = fn, .arg = arg, .prefix = {'\xff', '\xff'}};
    leat_status status = leat__rocksdb_open_read_only(&scan.database, dir, error);
    if (status != LEAT_OK)
        return status;
    const leat__backend_ops *ops = scan.database->ops;
    leat__rows *rows = ops->rows(scan.database, (leat_str){0}, (leat_str){0});
    leat_str key, value;
    while (!scan.stopped && ops->next(rows, &key, &value))
        scan_row(&scan, key, value);
    status = ops->rows_close(rows, error);
    forget_slots(&scan);
    leat__database_close(scan.database);
    return status;
}

typedef struct plain {
    bool (*fn)(void *arg, const char *slot_name, const char *layout, uint16_t partition,
               leat_str key, leat_str value_bytes);
    void *arg;
} plain;

static bool call_each(void *arg, const leat__database_entry *entry)
{
    const plain *each = arg;
    return entry->timer || each->fn(each->arg, entry->slot, entry->layout, entry->partition,
                                    entry->key, entry->value);
}

leat_status leat__database_each(const char *dir,
                                bool (*fn)(void *arg, const char *slot_name, const char *layout,
                                           uint16_t partition, leat_str key, leat_str value_bytes),
                                void *arg, leat_error *error)
{
    plain each = {fn, arg};
    return leat__database_scan(dir, call_each, &each, error);
}
