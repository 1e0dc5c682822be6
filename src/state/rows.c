/* state/rows.c - the form of state on disk and in the changelog (docs/formats.md).
 *
 *     key     [kind u8][id u32 BE][key]                          VALUE, LIST; DIRECTORY without key
 *             [kind u8][id u32 BE][key length varint][key][rest]  MAP: map key, TIMER: domain u8,
 * tag i64 CHUNK: number u32 BE value   [format u8][layout u8][time i64 LE, if format is 2][binary
 * codec] TIMER: [format u8][at_ms zigzag]                   LIST, CHUNK: list.c
 *
 * id is crc32c of the slot's name: the same in every version of the program, whatever its other
 * slots. No key is 4 bytes long (R14).  Values are absolute (R6). */
#include "base/error.h"
#include "state/internal.h"

enum { FORMAT_PLAIN = 1, FORMAT_TIMED = 2 }; /* R26 */

leat__row_kind leat__row_kind_of(leat__role role)
{
    switch (role) {
    case LEAT__ROLE_LIST:
        return LEAT__ROW_LIST;
    case LEAT__ROLE_MAP:
        return LEAT__ROW_MAP;
    case LEAT__ROLE_TIMER:
        return LEAT__ROW_TIMER;
    default:
        return LEAT__ROW_VALUE;
    }
}

static bool has_rest(leat__row_kind kind)
{
    return kind == LEAT__ROW_MAP || kind == LEAT__ROW_TIMER || kind == LEAT__ROW_CHUNK;
}

void leat__row_key_append(leat__buffer *out, leat__row_kind kind, uint32_t id, leat_str key,
                          leat_str map_key)
{
    char head[5] = {(char)kind, (char)(id >> 24), (char)(id >> 16), (char)(id >> 8), (char)id};
    leat__buffer_bytes(out, head, sizeof head);
    if (has_rest(kind))
        leat__buffer_varint(out, key.length);
    leat__buffer_bytes(out, key.data, key.length);
    leat__buffer_bytes(out, map_key.data, map_key.length);
}

static bool rest_is_sound(const leat__row_key *row)
{
    if (row->kind == LEAT__ROW_CHUNK)
        return row->map_key.length == 4;
    return row->kind != LEAT__ROW_TIMER || (row->map_key.length == LEAT__TIMER_KEY_BYTES &&
                                            (uint8_t)row->map_key.data[0] <= LEAT__PROCESSING_TIME);
}

bool leat__row_key_parse(leat_str bytes, leat__row_key *row)
{
    leat__reader reader = leat__reader_of(bytes);
    *row = (leat__row_key){.kind = (leat__row_kind)leat__read_u8(&reader)};
    for (int i = 0; i < 4; i++)
        row->id = row->id << 8 | leat__read_u8(&reader);
    if (has_rest(row->kind)) {
        uint64_t length = leat__read_varint(&reader);
        if (reader.failed || length > (uint64_t)(reader.end - reader.next))
            return false;
        row->key = leat__read_bytes(&reader, (size_t)length);
        row->map_key = (leat_str){reader.next, (size_t)(reader.end - reader.next)};
    } else if (!reader.failed) {
        row->key = (leat_str){reader.next, (size_t)(reader.end - reader.next)};
    }
    return !reader.failed && rest_is_sound(row);
}

leat_status leat__row_damaged(leat_error *error, const leat__cells *cells)
{
    return leat__fail(
        error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, cells->slot.name,
        "a stored value is damaged; remove the state directory, it is rebuilt from the changelog");
}

leat_status leat__row_unreadable(leat_error *error, const leat__cells *cells, leat_str value)
{
    if (value.length != 0 && (uint8_t)value.data[0] > FORMAT_TIMED)
        return leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, cells->slot.name,
                          "a value was written by a newer version of leat (format %d)",
                          (uint8_t)value.data[0]);
    return leat__row_damaged(error, cells);
}

/* ---------------------------------------------------------------- values */

void leat__row_value_head(leat__buffer *out, const leat__cells *cells, int64_t time_ms)
{
    leat__buffer_u8(out, cells->slot.ttl_ms != 0 ? FORMAT_TIMED : FORMAT_PLAIN);
    leat__buffer_u8(out, (uint8_t)cells->layouts.current);
    if (cells->slot.ttl_ms != 0)
        leat__buffer_u64(out, (uint64_t)time_ms);
}

bool leat__row_value_parse(leat_str value, leat__row_value *row)
{
    leat__reader reader = leat__reader_of(value);
    uint8_t format = leat__read_u8(&reader);
    *row = (leat__row_value){.has_time = format == FORMAT_TIMED, .layout = leat__read_u8(&reader)};
    if (row->has_time)
        row->time_ms = (int64_t)leat__read_u64(&reader);
    if (reader.failed || (format != FORMAT_PLAIN && format != FORMAT_TIMED))
        return false;
    row->bytes = (leat_str){reader.next, (size_t)(reader.end - reader.next)};
    return true;
}

void leat__row_encode(leat__buffer *out, const leat__cells *cells, leat__entry *entry)
{
    const void *value = leat__entry_value(cells, entry);
    if (cells->role == LEAT__ROLE_TIMER) {
        leat__buffer_u8(out, FORMAT_PLAIN);
        leat__buffer_zigzag(out, *(const int64_t *)value);
        return;
    }
    leat__row_value_head(out, cells, cells->time_at != 0 ? *leat__entry_time(cells, entry) : 0);
    leat__binary_append(out, cells->slot.type, value);
}

leat_status leat__row_decode_value(leat__store *store, const leat__cells *cells, uint8_t layout,
                                   leat_str bytes, void *value, leat_error *error)
{
    if (layout >= cells->layouts.count)
        return leat__row_damaged(error, cells);
    if (cells->layouts.all[layout].refused)
        return leat__layout_refused(cells, layout, 0, error);
    const leat__migration *migration = cells->layouts.all[layout].migration;
    leat__arena_reset(&store->scratch);
    if (migration == NULL)
        return leat__binary_decode_into(&store->scratch, cells->slot.type, bytes,
                                        LEAT__STRINGS_IN_INPUT, value, error);
    return leat__migration_decode(migration, &store->scratch, bytes, LEAT__STRINGS_IN_INPUT, value,
                                  error);
}

static leat_status decode_timer(const leat__cells *cells, leat__entry *entry, leat_str value,
                                leat_error *error)
{
    leat__reader reader = leat__reader_of(value);
    uint8_t format = leat__read_u8(&reader);
    int64_t at_ms = leat__read_zigzag(&reader);
    if (reader.failed || format != FORMAT_PLAIN)
        return leat__row_unreadable(error, cells, value);
    memcpy(entry->body, &at_ms, sizeof at_ms);
    return LEAT_OK;
}

leat_status leat__row_decode(leat__store *store, leat__cells *cells, leat__entry *entry,
                             leat_str value, leat_error *error)
{
    if (cells->role == LEAT__ROLE_TIMER)
        return decode_timer(cells, entry, value, error);
    leat__row_value row;
    if (!leat__row_value_parse(value, &row))
        return leat__row_unreadable(error, cells, value);
    void *into = leat__entry_value(cells, entry);
    leat_status status = leat__row_decode_value(store, cells, row.layout, row.bytes, into, error);
    if (status != LEAT_OK) {
        memset(into, 0, cells->value_bytes);
        return status;
    }
    if (cells->block_at != 0) {
        leat__block *block = leat__value_copy(cells->slot.type, into);
        LEAT__COUNT(store->cache_bytes, leat__block_bytes(block));
        *leat__entry_block(cells, entry) = block;
    }
    if (cells->time_at != 0) /* a slot that got its TTL later: S2, not known */
        *leat__entry_time(cells, entry) = row.has_time ? row.time_ms : LEAT_TIME_MIN;
    return LEAT_OK;
}
