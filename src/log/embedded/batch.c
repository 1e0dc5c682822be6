/* log/embedded/batch.c - encoding and decoding of batches (batch.h has the layout).
 *
 *   header ─► version, span, count ...    open: checks that they fit the key's last offset
 *   records ─► gap, time, key, value      next: one record, or "damaged"; never past the end
 *
 * Stored bytes are not trusted: each length is held against what is left of the value.
 */
#include "log/embedded/batch.h"

/* The varints of base/buffer.h, written here once more in the form that the hot path wants: into
 * memory already reserved, and read with one bound check per record where there is room. */
static char *put_varint(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

static uint64_t zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* NULL: runs past the end or is longer than 64 bits. */
static const char *get_varint(const char *at, const char *end, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64 && at < end; shift += 7) {
        uint8_t byte = (uint8_t)*at++;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return at;
        }
    }
    return NULL;
}

static const char *get_str(const char *at, const char *end, leat_str *text)
{
    uint64_t length;
    at = get_varint(at, end, &length);
    if (at == NULL)
        return NULL;
    if (length == 0) {
        *text = (leat_str){NULL, 0};
        return at;
    }
    length--;
    if (length > (uint64_t)(end - at))
        return NULL;
    *text = (leat_str){at, (size_t)length};
    return at + length;
}

static char *put_str(char *at, leat_str text)
{
    if (text.data == NULL)
        return put_varint(at, 0);
    at = put_varint(at, (uint64_t)text.length + 1);
    memcpy(at, text.data, text.length);
    return at + text.length;
}

size_t leat__batch_header(char *out, const leat__batch *batch)
{
    char *at = out;
    *at++ = 1;
    at = put_varint(at, (uint64_t)(batch->last - batch->first));
    at = put_varint(at, batch->count);
    at = put_varint(at, (uint64_t)batch->bytes_before);
    at = put_varint(at, zigzag(batch->max_timestamp_ms));
    at = put_varint(at, zigzag(batch->tombstones_until_ms));
    return (size_t)(at - out);
}

bool leat__batch_open(leat__batch *batch, leat_str value, int64_t last)
{
    const char *at = value.data, *end = value.data + value.length;
    uint64_t fields[5];
    if (value.length == 0 || *at++ != 1)
        return false;
    for (size_t i = 0; i < 5; i++) {
        at = get_varint(at, end, &fields[i]);
        if (at == NULL)
            return false;
    }
    *batch = (leat__batch){
        .first = last - (int64_t)fields[0],
        .last = last,
        .count = fields[1],
        .bytes_before = (int64_t)fields[2],
        .max_timestamp_ms = unzigzag(fields[3]),
        .tombstones_until_ms = unzigzag(fields[4]),
        .records = {at, (size_t)(end - at)},
    };
    return fields[0] <= (uint64_t)last && fields[1] != 0 && fields[1] <= fields[0] + 1;
}

void leat__batch_cursor_init(leat__batch_cursor *cursor, const leat__batch *batch)
{
    const char *records = batch->records.data;
    *cursor = (leat__batch_cursor){
        .reader = {.next = records, .end = records + batch->records.length},
        .left = batch->count,
        .offset = batch->first - 1,
        .last = batch->last,
    };
}

bool leat__batch_next(leat__batch_cursor *cursor, leat_log_record *record)
{
    const char *at = cursor->reader.next, *end = cursor->reader.end;
    uint64_t gap, timestamp;
    if ((at = get_varint(at, end, &gap)) == NULL ||
        (at = get_varint(at, end, &timestamp)) == NULL ||
        (at = get_str(at, end, &record->key)) == NULL ||
        (at = get_str(at, end, &record->value)) == NULL)
        return false;
    if (gap > (uint64_t)(cursor->last - cursor->offset))
        return false;
    cursor->offset += (int64_t)gap + 1;
    if (cursor->offset > cursor->last)
        return false;
    cursor->timestamp_ms =
        (int64_t)((uint64_t)cursor->timestamp_ms + (uint64_t)unzigzag(timestamp));
    record->offset = cursor->offset;
    record->timestamp_ms = cursor->timestamp_ms;
    cursor->reader.next = at;
    cursor->left--;
    return true;
}

size_t leat__batch_bound(const leat_log_record *record)
{
    return 4 * 10 + record->key.length + record->value.length;
}

void leat__batch_add(leat__buffer *records, int64_t previous_offset, int64_t previous_timestamp_ms,
                     const leat_log_record *record)
{
    size_t bound = leat__batch_bound(record);
    if (records->capacity - records->length < bound)
        leat__buffer_reserve(records, bound);
    char *start = records->data + records->length;
    char *at = put_varint(start, (uint64_t)(record->offset - previous_offset - 1));
    uint64_t step = (uint64_t)record->timestamp_ms - (uint64_t)previous_timestamp_ms;
    at = put_varint(at, zigzag((int64_t)step));
    at = put_str(at, record->key);
    at = put_str(at, record->value);
    records->length += (size_t)(at - start);
}
