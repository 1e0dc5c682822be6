/* log/embedded/reader.c - reading: positions, iterators, what is lent.
 *
 *   position ──► chunk: a batch copied out of the iterator ──► records lent from it
 *      │ offset < partition's committed end?  no: nothing to do, RocksDB is not touched
 *      │ chunk used up                        ─► lent until the next poll (spent), then reused
 *      ▼
 *   iterator: made when there is something to read, kept while there is more in what it sees, and
 *             dropped at the end, as it would hold files and memory that cleaning wants back
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/embedded/batch.h"
#include "log/embedded/store.h"
#include <inttypes.h>
#include <string.h>

enum { IDLE_CHUNKS_MAX = 4, IDLE_CHUNK_BYTES_MAX = 256 << 10, HOLE_WAIT_US = 5000000 };

typedef struct chunk {
    struct chunk *next; /* in spent or idle */
    size_t capacity;
    char bytes[];
} chunk;

struct embedded_position {
    embedded_reader *reader;
    embedded_topic *topic;
    uint32_t partition;
    int64_t offset;
    chunk *open; /* being read; NULL: none */
    leat__batch_cursor cursor;
    rocksdb_iterator_t *iterator;
    int64_t iterator_end; /* it sees every record below */
    int64_t hole_offset, hole_since_us;
    bool waits; /* in this poll: for a hole to close */
    rocksdb_readoptions_t *options;
    char upper_bound[EMBEDDED_RECORD_KEY]; /* options point to it */
    embedded_position *next_of_partition;
};

struct embedded_reader {
    leat_log_reader base;
    leat__waker *waker;
    embedded_position **positions;
    size_t count, turn; /* turn: who comes first in the next poll */
    chunk *spent, *idle;
    size_t idle_count;
};

static embedded_partition *partition_of(const embedded_position *position)
{
    return &position->topic->partitions[position->partition];
}

static int64_t end_of(const embedded_position *position)
{
    return atomic_load(&partition_of(position)->end);
}

/* ------------------------------------------------------------------ chunks */

static chunk *chunk_take(embedded_reader *reader, size_t bytes)
{
    chunk *taken = reader->idle;
    if (taken != NULL && taken->capacity >= bytes) {
        reader->idle = taken->next;
        reader->idle_count--;
        return taken;
    }
    size_t capacity = bytes < EMBEDDED_BATCH_BYTES ? EMBEDDED_BATCH_BYTES + 256 : bytes;
    taken = leat__alloc(sizeof *taken + capacity);
    taken->capacity = capacity;
    return taken;
}

static void chunk_give(embedded_reader *reader, chunk *unused)
{
    if (reader->idle_count < IDLE_CHUNKS_MAX && unused->capacity <= IDLE_CHUNK_BYTES_MAX) {
        unused->next = reader->idle;
        reader->idle = unused;
        reader->idle_count++;
    } else {
        leat__free(unused);
    }
}

static void close_chunk(embedded_position *position)
{
    if (position->open == NULL)
        return;
    position->open->next = position->reader->spent;
    position->reader->spent = position->open;
    position->open = NULL;
}

static void recycle_spent(embedded_reader *reader)
{
    for (chunk *each = reader->spent, *next; each != NULL; each = next) {
        next = each->next;
        chunk_give(reader, each);
    }
    reader->spent = NULL;
}

static void free_chunks(chunk *list)
{
    for (chunk *next; list != NULL; list = next) {
        next = list->next;
        leat__free(list);
    }
}

/* ------------------------------------------------------------------ positions */

/* Without an answer: the position needs nothing more of it. What could not be read is met again by
 * the next iterator (iterator_ended). */
static void drop_iterator(embedded_position *position)
{
    if (position->iterator != NULL)
        rocksdb_free(leat__iterator_end(position->iterator));
    position->iterator = NULL;
}

static embedded_position *position_of(const embedded_reader *reader, const char *topic,
                                      uint32_t partition)
{
    for (size_t i = 0; i < reader->count; i++) {
        embedded_position *position = reader->positions[i];
        if (position->partition == partition && strcmp(position->topic->name, topic) == 0)
            return position;
    }
    return NULL;
}

static embedded_position *add_position(embedded_reader *reader, embedded_topic *topic,
                                       uint32_t partition)
{
    embedded_log *log = embedded_of(reader->base.log);
    embedded_position *position = leat__calloc(1, sizeof *position);
    position->reader = reader;
    position->topic = topic;
    position->partition = partition;
    size_t length =
        leat__embedded_key_record(position->upper_bound, topic->number, partition + 1, 0);
    position->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(position->options, position->upper_bound, length);
    rocksdb_readoptions_set_fill_cache(position->options, 0); /* a scan must not evict the rest */
    reader->positions =
        leat__realloc(reader->positions, reader->count + 1, sizeof(embedded_position *));
    reader->positions[reader->count++] = position;
    pthread_mutex_lock(&log->readers_lock);
    position->next_of_partition = partition_of(position)->positions;
    partition_of(position)->positions = position;
    atomic_fetch_add(&partition_of(position)->tail.readers, 1);
    pthread_mutex_unlock(&log->readers_lock);
    return position;
}

static void remove_position(embedded_reader *reader, embedded_position *position)
{
    embedded_log *log = embedded_of(reader->base.log);
    pthread_mutex_lock(&log->readers_lock);
    embedded_position **link = &partition_of(position)->positions;
    while (*link != position)
        link = &(*link)->next_of_partition;
    *link = position->next_of_partition;
    atomic_fetch_sub(&partition_of(position)->tail.readers, 1);
    pthread_mutex_unlock(&log->readers_lock);
    size_t at = 0;
    while (reader->positions[at] != position)
        at++;
    reader->positions[at] = reader->positions[--reader->count];
    close_chunk(position);
    drop_iterator(position);
    rocksdb_readoptions_destroy(position->options);
    leat__embedded_release(position->topic);
    leat__free(position);
}

void leat__embedded_collect(embedded_log *log, const embedded_partition *partition,
                            leat__wakes *wakes)
{
    pthread_mutex_lock(&log->readers_lock);
    for (embedded_position *each = partition->positions; each != NULL;
         each = each->next_of_partition)
        leat__wakes_add(wakes, each->reader->waker);
    pthread_mutex_unlock(&log->readers_lock);
}

leat_status leat__embedded_reader_new(leat_log *log, leat__wake_fn wake, void *arg,
                                      leat_log_reader **out, leat_error *error)
{
    (void)log;
    (void)error;
    embedded_reader *reader = leat__calloc(1, sizeof *reader);
    reader->waker = leat__waker_new(wake, arg);
    *out = &reader->base;
    return LEAT_OK;
}

void leat__embedded_reader_free(leat_log_reader *base)
{
    embedded_reader *reader = (embedded_reader *)base;
    while (reader->count > 0)
        remove_position(reader, reader->positions[0]);
    leat__waker_close(reader->waker);
    free_chunks(reader->spent);
    free_chunks(reader->idle);
    leat__free(reader->positions);
    leat__free(reader);
}

leat_status leat__embedded_reader_seek(leat_log_reader *base, const char *name, uint32_t partition,
                                       int64_t offset, leat_error *error)
{
    embedded_reader *reader = (embedded_reader *)base;
    embedded_topic *topic;
    embedded_position *position = position_of(reader, name, partition);
    if (position != NULL && atomic_load(&position->topic->deleted)) {
        remove_position(reader, position); /* the name may be another topic's now */
        position = NULL;
    }
    leat_status status =
        leat__embedded_find_partition(embedded_of(base->log), name, partition, &topic, error);
    if (status != LEAT_OK)
        return status;
    if (position == NULL)
        position = add_position(reader, topic, partition); /* takes the reference */
    else
        leat__embedded_release(topic);
    if (offset == LEAT_OFFSET_BEGIN)
        offset = atomic_load(&partition_of(position)->begin);
    if (offset == LEAT_OFFSET_END)
        offset = end_of(position);
    position->offset = offset;
    close_chunk(position);
    drop_iterator(position);
    return LEAT_OK;
}

void leat__embedded_reader_remove(leat_log_reader *base, const char *topic, uint32_t partition)
{
    embedded_reader *reader = (embedded_reader *)base;
    embedded_position *position = position_of(reader, topic, partition);
    if (position != NULL)
        remove_position(reader, position);
}

/* ------------------------------------------------------------------ polling */

static leat_status damaged(embedded_position *position, const char *how, leat_error *error)
{
    close_chunk(position); /* so that the next poll meets it again, instead of skipping it */
    drop_iterator(position);
    char what[120];
    snprintf(what, sizeof what, "topic '%.50s' partition %" PRIu32 " is %s at offset %" PRId64,
             position->topic->name, position->partition, how, position->offset);
    return leat__embedded_corrupt(embedded_of(position->reader->base.log), error, what);
}

/* Only compaction leaves gaps; elsewhere records from begin on follow each other, and a hole is
 * damage that RocksDB has not noticed. */
static bool is_hole(const embedded_position *position, int64_t found_offset)
{
    return found_offset > position->offset && !position->topic->opts.compacted &&
           atomic_load(&partition_of(position)->begin) <= position->offset;
}

/* A follower may meet a hole that is none: retention whose begin it has not read yet, or files that
 * the writer is just moving.  It waits, but not for ever. */
static leat_status meet_hole(embedded_position *position, leat_error *error)
{
    const embedded_log *log = embedded_of(position->reader->base.log);
    int64_t now_us = log->env->monotonic_us(log->env->arg);
    if (position->hole_offset != position->offset || position->hole_since_us == 0) {
        position->hole_offset = position->offset;
        position->hole_since_us = now_us;
    }
    if (!log->base.read_only || now_us - position->hole_since_us > HOLE_WAIT_US)
        return damaged(position, "missing records", error);
    close_chunk(position);
    drop_iterator(position);
    position->waits = true;
    return LEAT_OK;
}

static void make_iterator(embedded_position *position)
{
    char key[EMBEDDED_RECORD_KEY];
    size_t length = leat__embedded_key_record(key, position->topic->number, position->partition,
                                              position->offset);
    position->iterator_end = end_of(position); /* before the iterator takes its view */
    position->iterator =
        rocksdb_create_iterator(embedded_of(position->reader->base.log)->db, position->options);
    rocksdb_iter_seek(position->iterator, key, length); /* keys are last offsets: the batch */
}

/* Nothing more in the iterator's view: what it covers beyond the position is a gap. */
static leat_status iterator_ended(embedded_position *position, leat_error *error)
{
    char *message = leat__iterator_end(position->iterator);
    position->iterator = NULL;
    if (message != NULL)
        return leat__embedded_fail(embedded_of(position->reader->base.log), message, error);
    if (is_hole(position, position->iterator_end))
        return meet_hole(position, error);
    if (position->offset < position->iterator_end)
        position->offset = position->iterator_end;
    return LEAT_OK;
}

/* Begins to read the value in position->open. */
static leat_status start_chunk(embedded_position *position, size_t length, int64_t last,
                               leat_error *error)
{
    leat__batch batch;
    if (!leat__batch_open(&batch, (leat_str){position->open->bytes, length}, last))
        return damaged(position, "garbled", error);
    if (is_hole(position, batch.first))
        return meet_hole(position, error);
    leat__batch_cursor_init(&position->cursor, &batch);
    return LEAT_OK;
}

/* The next batch was written a moment ago: no need to ask RocksDB. */
static bool open_from_tail(embedded_position *position, leat_status *status, leat_error *error)
{
    embedded_tail *tail = &partition_of(position)->tail;
    chunk *taken = chunk_take(position->reader, EMBEDDED_BATCH_BYTES);
    int64_t last;
    size_t length = leat__tail_get(tail, position->offset, end_of(position), taken->bytes,
                                   taken->capacity, &last);
    if (length == 0) {
        chunk_give(position->reader, taken);
        return false;
    }
    position->open = taken;
    *status = start_chunk(position, length, last, error);
    return true;
}

/* Opens the batch that holds the position's offset or the next after it. open stays NULL if there
 * is none yet. */
static leat_status open_chunk(embedded_position *position, leat_error *error)
{
    leat_status status;
    if (position->iterator == NULL) {
        if (open_from_tail(position, &status, error))
            return status;
        make_iterator(position);
    }
    if (!rocksdb_iter_valid(position->iterator))
        return iterator_ended(position, error);
    size_t key_length, length;
    const char *key = rocksdb_iter_key(position->iterator, &key_length);
    if (key_length != EMBEDDED_RECORD_KEY)
        return damaged(position, "garbled", error);
    int64_t last = leat__embedded_last_of_key(key), end = end_of(position);
    if (last >= end) { /* written but not published yet, and before it a gap */
        position->offset = end;
        return LEAT_OK;
    }
    const char *value = rocksdb_iter_value(position->iterator, &length);
    position->open = chunk_take(position->reader, length);
    memcpy(position->open->bytes, value, length);
    rocksdb_iter_next(position->iterator);
    return start_chunk(position, length, last, error);
}

static leat_status take_from_chunk(embedded_position *position, leat_log_record *records,
                                   size_t max, size_t *count, leat_error *error)
{
    leat__batch_cursor *cursor = &position->cursor;
    size_t taken = 0;
    while (cursor->left > 0 && taken < max) {
        leat_log_record *record = &records[taken];
        if (!leat__batch_next(cursor, record))
            return damaged(position, "garbled", error);
        if (record->offset < position->offset)
            continue;
        record->topic = position->topic->name;
        record->partition = position->partition;
        taken++;
    }
    *count += taken;
    if (taken > 0)
        position->offset = records[taken - 1].offset + 1;
    if (cursor->left > 0)
        return LEAT_OK;
    if (position->offset <= cursor->last)
        position->offset = cursor->last + 1;
    close_chunk(position);
    return LEAT_OK;
}

static leat_status take(embedded_position *position, leat_log_record *records, size_t max,
                        size_t *count, leat_error *error)
{
    int64_t begin = atomic_load(&partition_of(position)->begin);
    if (position->offset < begin) { /* cleaned away meanwhile */
        position->reader->base.lost += (uint64_t)(begin - position->offset);
        position->offset = begin;
        close_chunk(position);
        drop_iterator(position);
    }
    leat_status status = LEAT_OK;
    size_t taken = 0;
    position->waits = false;
    while (status == LEAT_OK && taken < max && !position->waits &&
           position->offset < end_of(position)) {
        if (position->open == NULL)
            status = open_chunk(position, error);
        else
            status = take_from_chunk(position, records + taken, max - taken, &taken, error);
    }
    if (position->offset >= position->iterator_end)
        drop_iterator(position);
    *count += taken;
    return status;
}

/* How many positions have something; an error for one whose topic has gone. */
static leat_status look(const embedded_reader *reader, size_t *busy, leat_error *error)
{
    *busy = 0;
    for (size_t i = 0; i < reader->count; i++) {
        const embedded_position *position = reader->positions[i];
        if (atomic_load_explicit(&position->topic->deleted, memory_order_relaxed))
            return leat__log_topic_deleted(error, position->topic->name);
        *busy += position->offset < end_of(position);
    }
    return LEAT_OK;
}

/* Looks and arms the waker if there is nothing; then looks again, for what came in between. */
static leat_status look_or_arm(const embedded_reader *reader, size_t *busy, leat_error *error)
{
    leat_status status = look(reader, busy, error);
    if (status != LEAT_OK || *busy > 0)
        return status;
    leat__waker_arm(reader->waker);
    status = look(reader, busy, error);
    if (*busy > 0)
        leat__waker_disarm(reader->waker);
    return status;
}

leat_status leat__embedded_reader_poll(leat_log_reader *base, leat_log_record *records, size_t max,
                                       size_t *count, leat_error *error)
{
    embedded_reader *reader = (embedded_reader *)base;
    leat_status status = LEAT_OK;
    recycle_spent(reader);
    leat__waker_disarm(reader->waker);
    if (base->log->read_only)
        status = leat__embedded_follow(embedded_of(base->log), error);
    bool waits = false;
    while (status == LEAT_OK && *count == 0 && !waits) { /* again only if there were but gaps */
        size_t busy;
        status = look_or_arm(reader, &busy, error);
        if (status != LEAT_OK || busy == 0)
            break;
        size_t share = (max + busy - 1) / busy; /* so that no partition starves another */
        size_t first = reader->turn++ % reader->count;
        for (size_t i = 0; i < reader->count && *count < max && status == LEAT_OK; i++) {
            embedded_position *position = reader->positions[(first + i) % reader->count];
            size_t room = max - *count;
            status = take(position, records + *count, room < share ? room : share, count, error);
            waits = waits || position->waits;
        }
    }
    return *count > 0 ? LEAT_OK : status; /* an error shows again in the next poll */
}

leat_status leat__embedded_reader_position(leat_log_reader *base, const char *topic,
                                           uint32_t partition, int64_t *offset, leat_error *error)
{
    const embedded_position *position = position_of((embedded_reader *)base, topic, partition);
    if (position == NULL)
        return leat__log_not_read(error, topic, partition);
    *offset = position->offset;
    return LEAT_OK;
}

uint64_t leat__embedded_reader_topic_id(leat_log_reader *base, const char *topic,
                                        uint32_t partition)
{
    const embedded_position *position = position_of((embedded_reader *)base, topic, partition);
    return position == NULL ? 0 : position->topic->opts.id;
}
