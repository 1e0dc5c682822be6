/* state/listrow.c - lists on disk: a head that holds the newest elements, and full chunks before
 * them that are written once, so that appending to a long list costs no more than to a short one.
 *
 *     head (LIST)   [format][layout][skip][chunk first][chunk end][count] elements...
 *     CHUNK n       [format][layout][count] elements...        element: [time i64, if
 * timed][length][codec]
 *
 *     chunk 3: e0 .. e31   chunk 4: e32 .. e63   head: e64 .. e70
 *      ^skip: the first of these are trimmed
 *
 * Chunks are in the changelog before the head that counts them. */
#include "base/limits.h"
#include "base/mem.h"
#include "state/internal.h"

enum {
    CHUNK_ELEMENTS = 32,
    CHUNK_BYTES = 32 << 10, /* far below the largest record of a log */
    HEAD_BYTES_MAX = 64,    /* of a row, beside its key and its elements */
};

typedef struct writer {
    leat__store *store;
    const leat__cells *cells;
    leat__entry *entry;
    leat__row_sink sink;
    void *arg;
} writer;

static leat_str chunk_key(leat__store *store, const leat__cells *cells, const leat__entry *entry,
                          uint32_t number)
{
    char bytes[4] = {(char)(number >> 24), (char)(number >> 16), (char)(number >> 8), (char)number};
    store->row_key.length = 0;
    leat__row_key_append(&store->row_key, LEAT__ROW_CHUNK, cells->id, leat__entry_key(cells, entry),
                         (leat_str){bytes, sizeof bytes});
    return (leat_str){store->row_key.data, store->row_key.length};
}

static void drop_chunk(const writer *out, uint32_t number)
{
    out->sink(out->arg, chunk_key(out->store, out->cells, out->entry, number), (leat_str){0});
}

static void drop_all_chunks(const writer *out, leat__items *items)
{
    for (uint32_t i = items->chunk_first; i < items->chunk_end; i++)
        drop_chunk(out, i);
    items->chunk_first = items->chunk_end;
    items->chunked = items->chunk_skip = 0;
}

static void drop_passed_chunks(const writer *out, leat__items *items)
{
    uint32_t passed = 0;
    while (items->chunk_first + passed < items->chunk_end &&
           items->chunk_counts[passed] <= items->chunk_skip) {
        items->chunk_skip -= items->chunk_counts[passed];
        items->chunked -= items->chunk_counts[passed];
        drop_chunk(out, items->chunk_first + passed);
        passed++;
    }
    items->chunk_first += passed;
    if (passed != 0)
        memmove(items->chunk_counts, items->chunk_counts + passed,
                (items->chunk_end - items->chunk_first) * sizeof *items->chunk_counts);
}

static void encode_element(leat__buffer *out, const leat__cells *cells, const leat__items *items,
                           size_t at)
{
    if (items->times != NULL)
        leat__buffer_u64(out, (uint64_t)items->times[at]);
    size_t length_at = out->length;
    leat__buffer_u32(out, 0);
    leat__binary_append(out, cells->slot.type, items->data + at * cells->value_bytes);
    uint32_t length = (uint32_t)(out->length - length_at - 4);
    for (int i = 0; i < 4; i++)
        out->data[length_at + (size_t)i] = (char)(length >> 8 * i);
}

/* Alone in the head, or behind up to CHUNK_BYTES in a chunk; without it a head may have twice that.
 */
size_t leat__list_row_bytes(leat__store *store, const leat__cells *cells, leat__entry *entry)
{
    const leat__items *items = leat__entry_items(entry);
    store->encoded.length = 0;
    encode_element(&store->encoded, cells, items, (size_t)items->first + items->count - 1);
    size_t newest = store->encoded.length;
    return entry->key_bytes + (newest > CHUNK_BYTES ? newest : CHUNK_BYTES) + CHUNK_BYTES +
           HEAD_BYTES_MAX;
}

static void put(const writer *out, leat_str key, const leat__buffer *head, leat_str elements)
{
    leat__buffer *value = &out->store->encoded;
    value->length = 0;
    leat__buffer_bytes(value, head->data, head->length);
    leat__buffer_bytes(value, elements.data, elements.length);
    out->sink(out->arg, key, (leat_str){value->data, value->length});
}

/* The row's time is that of its oldest element, so that the sweep need not read the others. */
static void start_row(const writer *out, leat__buffer *head, size_t from, size_t count)
{
    const leat__items *items = leat__entry_items(out->entry);
    int64_t oldest_ms = LEAT_TIME_MAX;
    for (size_t i = from; items->times != NULL && i < from + count; i++)
        if (items->times[i] < oldest_ms)
            oldest_ms = items->times[i];
    head->length = 0;
    leat__row_value_head(head, out->cells, oldest_ms);
}

/* Moves the oldest elements of the encoded tail into chunks while it is too long. Returns their
 * bytes. */
static size_t spill(const writer *out, leat__items *items, const leat__buffer *tail,
                    const size_t *ends, size_t *count)
{
    size_t from = 0, from_bytes = 0;
    leat__buffer head = {0};
    while (*count - from > 1 && (*count - from >= 2 * CHUNK_ELEMENTS ||
                                 ends[*count - 1] - from_bytes >= 2 * (size_t)CHUNK_BYTES)) {
        size_t to = from;
        while (to < *count - 1 && to - from < CHUNK_ELEMENTS &&
               (to == from || ends[to - 1] - from_bytes < CHUNK_BYTES))
            to++;
        start_row(out, &head, items->first + items->chunked - items->chunk_skip, to - from);
        leat__buffer_varint(&head, to - from);
        uint32_t number = items->chunk_end++;
        items->chunk_counts =
            leat__realloc(items->chunk_counts, items->chunk_end - items->chunk_first,
                          sizeof *items->chunk_counts);
        items->chunk_counts[number - items->chunk_first] = (uint32_t)(to - from);
        items->chunked += (uint32_t)(to - from);
        put(out, chunk_key(out->store, out->cells, out->entry, number), &head,
            (leat_str){tail->data + from_bytes, ends[to - 1] - from_bytes});
        from_bytes = ends[to - 1];
        from = to;
    }
    leat__buffer_free(&head);
    *count -= from;
    return from_bytes;
}

static void write_head(const writer *out, const leat__items *items, size_t count, leat_str elements)
{
    leat__buffer head = {0};
    start_row(out, &head, items->first, items->count);
    leat__buffer_varint(&head, items->chunk_skip);
    leat__buffer_varint(&head, items->chunk_first);
    leat__buffer_varint(&head, items->chunk_end);
    leat__buffer_varint(&head, count);
    out->store->row_key.length = 0;
    leat__row_key_append(&out->store->row_key, LEAT__ROW_LIST, out->cells->id,
                         leat__entry_key(out->cells, out->entry), (leat_str){0});
    put(out, (leat_str){out->store->row_key.data, out->store->row_key.length}, &head, elements);
    leat__buffer_free(&head);
}

static void write_present(const writer *out, leat__items *items)
{
    items->chunk_skip += items->dropped;
    if (items->rewrite != 0 || items->chunk_skip >= items->chunked)
        drop_all_chunks(out, items);
    else
        drop_passed_chunks(out, items);
    uint32_t chunked = items->chunked - items->chunk_skip; /* of the live ones */
    size_t count = items->count - chunked;
    leat__buffer tail = {0};
    size_t *ends = leat__alloc((count + 1) * sizeof *ends);
    for (size_t i = 0; i < count; i++) {
        encode_element(&tail, out->cells, items, (size_t)items->first + chunked + i);
        ends[i] = tail.length;
    }
    size_t spilled_bytes = spill(out, items, &tail, ends, &count);
    LEAT_ASSERT(count != 0); /* a spill keeps the newest in the head */
    write_head(out, items, count,
               (leat_str){tail.data + spilled_bytes, tail.length - spilled_bytes});
    leat__free(ends);
    leat__buffer_free(&tail);
}

void leat__list_seal(leat__store *store, const leat__cells *cells, leat__entry *entry,
                     leat__row_sink sink, void *arg)
{
    leat__items *items = leat__entry_items(entry);
    writer out = {store, cells, entry, sink, arg};
    if (items->count != 0) {
        write_present(&out, items);
    } else {
        drop_all_chunks(&out, items);
        store->row_key.length = 0;
        leat__row_key_append(&store->row_key, LEAT__ROW_LIST, cells->id,
                             leat__entry_key(cells, entry), (leat_str){0});
        sink(arg, (leat_str){store->row_key.data, store->row_key.length}, (leat_str){0});
    }
    items->dropped = items->rewrite = 0;
}

/* ---------------------------------------------------------------- reading */

static leat_status read_elements(leat__store *store, const leat__cells *cells, leat__entry *entry,
                                 leat__row_value row, leat__reader *reader, uint64_t skip,
                                 leat_error *error)
{
    uint64_t count = leat__read_varint(reader);
    for (uint64_t i = 0; i < count; i++) {
        int64_t time_ms = row.has_time ? (int64_t)leat__read_u64(reader) : LEAT_TIME_MIN;
        leat_str bytes = leat__read_bytes(reader, leat__read_u32(reader));
        if (reader->failed)
            return leat__row_damaged(error, cells);
        if (i < skip)
            continue;
        void *value = leat__list_push(store, cells, entry, time_ms);
        leat_status status = leat__row_decode_value(store, cells, row.layout, bytes, value, error);
        if (status != LEAT_OK)
            return status;
        if (cells->flat)
            continue;
        const leat__items *items = leat__entry_items(entry);
        leat__block *block = leat__value_copy(cells->slot.type, value);
        LEAT__COUNT(store->cache_bytes, leat__block_bytes(block));
        items->blocks[items->first + items->count - 1] = block;
    }
    return LEAT_OK;
}

static leat_status read_chunk(leat__store *store, const leat__cells *cells, leat__entry *entry,
                              uint32_t number, uint64_t skip, leat__row_source source, void *arg,
                              leat_error *error)
{
    leat__buffer value = {0};
    leat__row_value row;
    leat_status status;
    uint32_t before = leat__entry_items(entry)->count;
    if (source(arg, chunk_key(store, cells, entry, number), &value) &&
        leat__row_value_parse((leat_str){value.data, value.length}, &row)) {
        leat__reader reader = leat__reader_of(row.bytes);
        status = read_elements(store, cells, entry, row, &reader, skip, error);
    } else {
        status = leat__row_unreadable(error, cells, (leat_str){value.data, value.length});
    }
    leat__buffer_free(&value);
    leat__items *items = leat__entry_items(entry);
    items->chunk_counts[number - items->chunk_first] = items->count - before + (uint32_t)skip;
    items->chunked += items->count - before + (uint32_t)skip;
    return status;
}

leat_status leat__list_load(leat__store *store, const leat__cells *cells, leat__entry *entry,
                            leat_str head, leat__row_source source, void *arg, leat_error *error)
{
    leat__row_value row;
    if (!leat__row_value_parse(head, &row))
        return leat__row_unreadable(error, cells, head);
    leat__reader reader = leat__reader_of(row.bytes);
    leat__items *items = leat__entry_items(entry);
    items->chunk_skip = (uint32_t)leat__read_varint(&reader);
    items->chunk_first = (uint32_t)leat__read_varint(&reader);
    items->chunk_end = (uint32_t)leat__read_varint(&reader);
    if (reader.failed || items->chunk_end < items->chunk_first ||
        items->chunk_end - items->chunk_first > LEAT__LIST_ITEMS_MAX)
        return leat__row_damaged(error, cells);
    if (items->chunk_end != items->chunk_first)
        items->chunk_counts =
            leat__calloc(items->chunk_end - items->chunk_first, sizeof *items->chunk_counts);
    leat_status status = LEAT_OK;
    for (uint32_t i = items->chunk_first; status == LEAT_OK && i < items->chunk_end; i++)
        status = read_chunk(store, cells, entry, i, i == items->chunk_first ? items->chunk_skip : 0,
                            source, arg, error);
    if (status == LEAT_OK)
        status = read_elements(store, cells, entry, row, &reader, 0, error);
    return status;
}
