/* log/embedded/compact.c - keeping the latest record of each key.
 *
 *   [begin ........ cleaned_to | new ............. upto | .... end)
 *                                │ 1. where is each key's latest record: hash ─► offset
 *        2. everything up to upto: a record goes if its key has a later one; what stays is
 *           written into fuller batches; offsets stay as they are
 *
 * Two keys are taken for one if 128 bits of their seeded hashes agree: the seed is new each time,
 * so nobody can arrange for it.  The table has a bound; what does not fit is done in another round.
 * A tombstone is kept for LEAT_LOG_TOMBSTONE_RETENTION_MS after its first cleaning: then its batch
 * gets the time when it may go.  Batches with different such times are not merged.
 */
#include "base/mem.h"
#include "log/embedded/store.h"
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    KEYS_MAX = 1 << 19, /* slots of 24 bytes: 12 MiB, for as long as a round takes */
    KEYS_START = 1 << 10,
    FULL_BATCH_BYTES = 32 << 10, /* a batch of this size is left alone if nothing in it goes */
    WRITE_BYTES = 1 << 20,
    REPLACED_MAX = 4096,  /* batches that become one, or none */
    DIRTY_RECORDS = 1000, /* fewer new ones are not worth a round */
};

typedef struct key_slot {
    XXH128_hash_t hash;
    int64_t offset; /* -1: free */
} key_slot;

typedef struct compaction {
    embedded_log *log;
    embedded_topic *topic;
    uint32_t index;
    int64_t now_ms;
    leat_error *error;
    leat_status status;

    uint64_t seed;
    key_slot *slots;
    size_t slot_count, used;
    int64_t upto;

    leat__buffer out;                       /* the records of the batch being put together */
    leat__batch head;                       /* its header; count 0: nothing in it */
    int64_t last_offset, last_timestamp_ms; /* of the last record in out */
    int64_t *replaced;                      /* the last offsets of the batches it stands for */
    size_t replaced_count, replaced_capacity;
    bool changed;
    rocksdb_writebatch_t *batch;
    int64_t survivors, tombstones_until_ms;
} compaction;

/* ------------------------------------------------------------------ 1. the latest of each key */

static key_slot *slot_of(const compaction *run, XXH128_hash_t hash)
{
    size_t at = (size_t)hash.low64 & (run->slot_count - 1);
    while (run->slots[at].offset >= 0 && !XXH128_isEqual(run->slots[at].hash, hash))
        at = (at + 1) & (run->slot_count - 1);
    return &run->slots[at];
}

static void resize(compaction *run, size_t slot_count)
{
    key_slot *old = run->slots;
    size_t old_count = run->slot_count;
    run->slots = leat__alloc(slot_count * sizeof *run->slots);
    run->slot_count = slot_count;
    for (size_t i = 0; i < slot_count; i++)
        run->slots[i].offset = -1;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].offset >= 0)
            *slot_of(run, old[i].hash) = old[i];
    leat__free(old);
}

static XXH128_hash_t hash_of(const compaction *run, leat_str key)
{
    return XXH3_128bits_withSeed(key.data, key.length, run->seed);
}

static bool note_keys(void *arg, const leat__batch *batch)
{
    compaction *run = arg;
    size_t most = KEYS_MAX / 4 * 3;
    if (run->used > 0 && run->used + batch->count > most)
        return false; /* the next round */
    leat__batch_cursor cursor;
    leat__batch_cursor_init(&cursor, batch);
    while (cursor.left > 0) {
        leat_log_record record;
        if (!leat__batch_next(&cursor, &record)) {
            run->status = leat__embedded_corrupt(run->log, run->error, "a record is garbled");
            return false;
        }
        if (run->used >= run->slot_count / 4 * 3)
            resize(run, run->slot_count * 2);
        XXH128_hash_t hash = hash_of(run, record.key);
        key_slot *slot = slot_of(run, hash);
        if (slot->offset < 0)
            run->used++;
        *slot = (key_slot){hash, record.offset};
    }
    run->upto = batch->last + 1;
    return true;
}

/* ------------------------------------------------------------------ 2. what stays */

static void write_out(compaction *run)
{
    if (run->status == LEAT_OK)
        run->status = leat__embedded_write_direct(run->log, run->batch, run->error);
    rocksdb_writebatch_clear(run->batch);
}

/* Puts the batch in place of those it stands for. */
static void finish_batch(compaction *run)
{
    char key[EMBEDDED_RECORD_KEY], head[LEAT__BATCH_HEADER_MAX];
    for (size_t i = 0; run->changed && i < run->replaced_count; i++) {
        size_t length =
            leat__embedded_key_record(key, run->topic->number, run->index, run->replaced[i]);
        bool takes_its_place = i + 1 == run->replaced_count && run->head.count > 0;
        if (!takes_its_place) {
            rocksdb_writebatch_delete(run->batch, key, length);
            continue;
        }
        run->head.last = run->replaced[i];
        const char *const keys[] = {key};
        const char *const values[] = {head, run->out.data};
        const size_t value_lengths[] = {leat__batch_header(head, &run->head), run->out.length};
        rocksdb_writebatch_putv(run->batch, 1, keys, &length, 2, values, value_lengths);
    }
    run->out.length = 0;
    run->head = (leat__batch){.max_timestamp_ms = INT64_MIN};
    run->replaced_count = 0;
    run->changed = false;
    size_t size;
    rocksdb_writebatch_data(run->batch, &size);
    if (size > WRITE_BYTES)
        write_out(run);
}

static bool stays(const compaction *run, const leat__batch *batch, const leat_log_record *record)
{
    bool tombstone = record->value.data == NULL;
    if (tombstone && batch->tombstones_until_ms != 0 && run->now_ms >= batch->tombstones_until_ms)
        return false;
    const key_slot *slot = slot_of(run, hash_of(run, record->key));
    return slot->offset <= record->offset; /* free is -1 */
}

typedef struct batch_counts {
    uint64_t staying, tombstones;
} batch_counts;

static bool count_batch(compaction *run, const leat__batch *batch, batch_counts *counts)
{
    *counts = (batch_counts){0};
    leat__batch_cursor cursor;
    leat__batch_cursor_init(&cursor, batch);
    while (cursor.left > 0) {
        leat_log_record record;
        if (!leat__batch_next(&cursor, &record)) {
            run->status = leat__embedded_corrupt(run->log, run->error, "a record is garbled");
            return false;
        }
        if (!stays(run, batch, &record))
            continue;
        counts->staying++;
        counts->tombstones += record.value.data == NULL;
    }
    return true;
}

static void take_over(compaction *run, const leat__batch *batch)
{
    leat__batch_cursor cursor;
    leat__batch_cursor_init(&cursor, batch);
    leat_log_record record;
    while (cursor.left > 0 && leat__batch_next(&cursor, &record)) {
        if (!stays(run, batch, &record))
            continue;
        if (run->head.count == 0) {
            run->head.first = record.offset;
            run->last_offset = record.offset - 1;
            run->last_timestamp_ms = 0;
        }
        leat__batch_add(&run->out, run->last_offset, run->last_timestamp_ms, &record);
        run->last_offset = record.offset;
        run->last_timestamp_ms = record.timestamp_ms;
        if (record.timestamp_ms > run->head.max_timestamp_ms)
            run->head.max_timestamp_ms = record.timestamp_ms;
        run->head.count++;
    }
    run->head.bytes_before = batch->bytes_before;
    if (run->replaced_count == run->replaced_capacity) {
        run->replaced_capacity = run->replaced_capacity == 0 ? 64 : run->replaced_capacity * 2;
        run->replaced = leat__realloc(run->replaced, run->replaced_capacity, sizeof *run->replaced);
    }
    run->replaced[run->replaced_count++] = batch->last;
    run->changed = run->changed || run->replaced_count > 1;
}

static bool sift_batch(void *arg, const leat__batch *batch)
{
    compaction *run = arg;
    batch_counts counts;
    if (!count_batch(run, batch, &counts))
        return false;
    run->survivors += (int64_t)counts.staying;
    int64_t until_ms = 0;
    if (counts.tombstones > 0) {
        until_ms = batch->tombstones_until_ms != 0 ? batch->tombstones_until_ms
                                                   : run->now_ms + LEAT_LOG_TOMBSTONE_RETENTION_MS;
        if (run->tombstones_until_ms == 0 || until_ms < run->tombstones_until_ms)
            run->tombstones_until_ms = until_ms;
    }
    bool same = counts.staying == batch->count && until_ms == batch->tombstones_until_ms;
    if (same && batch->records.length >= FULL_BATCH_BYTES) {
        finish_batch(run);
        return run->status == LEAT_OK;
    }
    bool full = run->out.length + batch->records.length > EMBEDDED_BATCH_BYTES;
    bool other_time = until_ms != 0 && run->head.tombstones_until_ms != 0 &&
                      until_ms != run->head.tombstones_until_ms;
    if ((run->head.count > 0 && (full || other_time)) || run->replaced_count >= REPLACED_MAX)
        finish_batch(run);
    take_over(run, batch);
    if (until_ms != 0)
        run->head.tombstones_until_ms = until_ms;
    run->changed = run->changed || !same;
    return run->status == LEAT_OK;
}

/* ------------------------------------------------------------------ one round */

static void put_progress(compaction *run, const embedded_partition *done)
{
    char key[EMBEDDED_KEY_MAX];
    size_t length = leat__embedded_key_partition(key, run->topic->number, run->index);
    leat__buffer value = {0};
    leat__embedded_encode_partition(&value, done, atomic_load(&done->begin),
                                    done->bytes_before_begin);
    rocksdb_writebatch_put(run->batch, key, length, value.data, value.length);
    leat__buffer_free(&value);
}

static leat_status one_round(embedded_log *log, embedded_topic *topic, uint32_t index,
                             leat_error *error)
{
    embedded_partition *partition = &topic->partitions[index];
    int64_t begin = atomic_load(&partition->begin), end = atomic_load(&partition->end);
    int64_t from = partition->cleaned_to > begin ? partition->cleaned_to : begin;
    compaction run = {
        .log = log,
        .topic = topic,
        .index = index,
        .now_ms = log->env->now_ms(log->env->arg),
        .error = error,
        .seed = log->env->random_u64(log->env->arg),
        .upto = from,
        .head = {.max_timestamp_ms = INT64_MIN},
        .batch = rocksdb_writebatch_create(),
    };
    resize(&run, KEYS_START);
    leat_status status =
        leat__embedded_each_batch(log, topic, index, from, end, note_keys, &run, error);
    if (status == LEAT_OK && run.status == LEAT_OK && run.used == 0)
        run.upto = end; /* a gap */
    if (status == LEAT_OK && run.status == LEAT_OK)
        status =
            leat__embedded_each_batch(log, topic, index, begin, run.upto, sift_batch, &run, error);
    if (status == LEAT_OK)
        status = run.status;
    if (status == LEAT_OK) {
        finish_batch(&run);
        partition->cleaned_to = run.upto;
        partition->survivors = run.survivors;
        partition->tombstones_until_ms = run.tombstones_until_ms;
        put_progress(&run, partition);
        write_out(&run);
        leat__tail_clear(&partition->tail);
        status = run.status;
    }
    rocksdb_writebatch_destroy(run.batch);
    leat__buffer_free(&run.out);
    leat__free(run.replaced);
    leat__free(run.slots);
    return status;
}

leat_status leat__embedded_compact(embedded_log *log, embedded_topic *topic, uint32_t index,
                                   bool forced, leat_error *error)
{
    embedded_partition *partition = &topic->partitions[index];
    int64_t end = atomic_load(&partition->end);
    int64_t dirty = end - partition->cleaned_to;
    bool due = partition->tombstones_until_ms != 0 &&
               log->env->now_ms(log->env->arg) >= partition->tombstones_until_ms;
    bool worth = dirty >= DIRTY_RECORDS && dirty >= partition->survivors;
    if (dirty > 0 ? !(forced || due || worth) : !due)
        return LEAT_OK;
    leat_status status;
    do {
        status = one_round(log, topic, index, error);
    } while (status == LEAT_OK && partition->cleaned_to < end &&
             (forced || !atomic_load(&log->closing)));
    return status;
}
