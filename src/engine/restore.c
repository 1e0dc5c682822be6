/* engine/restore.c - seals, and bringing a task's state up to the end of its changelog.
 *
 *   changelog partition   [k v][k v][SEAL 7][k v][k v][k v][SEAL 9]    9.previous = 7: nothing
 *                                   ▲                                  between them is missing
 *                                   position in the database: the last seal applied (R6: may
 *                                   lag, never leads)
 *
 * A seal (R2) is the last record of an epoch in each changelog partition the epoch touched:
 *
 *   offset size  field
 *        0    1  format, 1
 *        1    8  incarnation of the process
 *        9    8  epoch
 *       17    8  previous epoch sealed in this partition
 *       25    4  number of records of this epoch here
 *       29    4  CRC32C over their keys and values
 *       33    1  1: source position follows
 *       34    8  source offset      42  8  highest event time seen        all little endian
 *
 * Its timestamp is the task's watermark. Restore reads committed records only, checks the chain,
 * and stops with LEAT_ECORRUPT when an epoch is torn or out of order. Compaction removes records
 * only below the last seal that it kept, so a seal whose predecessor was seen in the same pass must
 * match exactly; others can't be checked and needn't be: their epochs were whole when compacted.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/log_line.h"
#include "engine/run.h"
#include <inttypes.h>

/* R14: never 4 bytes; no slot's key begins with 0 */
const leat_str leat__seal_key = {"\0leat.seal", 10};
enum { SEAL_FORMAT = 1, WAIT_US = 100000 };

typedef struct seal {
    uint64_t incarnation, epoch, previous;
    uint32_t count, crc;
    bool has_source;
    int64_t offset, max_timestamp_ms;
} seal;

static uint32_t crc_record(uint32_t crc, leat_str key, leat_str value)
{
    crc = leat__crc32c(crc, key.data, key.length);
    return value.data == NULL ? leat__crc32c(crc, "\x7f", 1)
                              : leat__crc32c(crc, value.data, value.length);
}

void leat__seal_append(leat__buffer *buffer, const leat__task *task, const leat__bundle *bundle)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < bundle->change_count; i++)
        crc = crc_record(crc, bundle->changes.changes[i].key, bundle->changes.changes[i].value);
    leat__buffer_u8(buffer, SEAL_FORMAT);
    leat__buffer_u64(buffer, task->run->incarnation);
    leat__buffer_u64(buffer, bundle->epoch);
    leat__buffer_u64(buffer, task->sealed_epoch_before);
    leat__buffer_u32(buffer, (uint32_t)bundle->change_count);
    leat__buffer_u32(buffer, crc);
    leat__buffer_u8(buffer, bundle->has_offset);
    leat__buffer_u64(buffer, (uint64_t)bundle->offset);
    leat__buffer_u64(buffer, (uint64_t)bundle->max_timestamp_ms);
}

static bool seal_read(leat_str bytes, seal *out)
{
    leat__reader reader = {.next = bytes.data, .end = bytes.data + bytes.length};
    uint8_t format = leat__read_u8(&reader);
    out->incarnation = leat__read_u64(&reader);
    out->epoch = leat__read_u64(&reader);
    out->previous = leat__read_u64(&reader);
    out->count = leat__read_u32(&reader);
    out->crc = leat__read_u32(&reader);
    out->has_source = leat__read_u8(&reader) != 0;
    out->offset = (int64_t)leat__read_u64(&reader);
    out->max_timestamp_ms = (int64_t)leat__read_u64(&reader);
    return !reader.failed && format == SEAL_FORMAT;
}

/* ------------------------------------------------------------------ restore */

typedef struct restore {
    leat__task *task;
    leat__doorbell bell; /* the reader's: rung when a poll may find something */
    int64_t seal_at;     /* offset of the last seal seen; -1: none */
    uint64_t last_epoch; /* of the last seal seen; 0: none yet */
    uint32_t count, crc; /* of the records since then */
    uint64_t records;
} restore;

static leat_status violation(restore *r, leat_error *error, const char *what, const seal *s)
{
    return leat__fail(
        error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, r->task->changelog,
        "partition %u: epoch %" PRIu64 " %s (previous %" PRIu64 ", seen %" PRIu64
        ", %u of %u records); "
        "the log lost or mixed writes: keep it, and report it (leat_eos_violations_total)",
        r->task->partition, s->epoch, what, s->previous, r->last_epoch, r->count, s->count);
}

static leat_status check_seal(restore *r, const leat_log_record *record, leat_error *error)
{
    seal s;
    if (!seal_read(record->value, &s))
        return leat__fail(
            error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, r->task->changelog,
            "partition %u has a seal of an unknown format; run the version that wrote it (R26)",
            r->task->partition);
    if (r->last_epoch != 0) {
        if (s.epoch <= r->last_epoch)
            return violation(r, error, "is out of order", &s);
        if (s.previous > s.epoch || s.previous < r->last_epoch)
            return violation(r, error, "skips a seal", &s);
        bool adjacent = s.previous == r->last_epoch;
        if (adjacent && (s.count != r->count || s.crc != r->crc))
            return violation(r, error, "is torn", &s);
    }
    r->last_epoch = s.epoch;
    r->seal_at = record->offset;
    r->count = 0;
    r->crc = 0;
    leat__task *task = r->task;
    task->sealed_epoch_before = s.epoch;
    if (s.epoch >= task->run->epoch)
        task->run->epoch = s.epoch + 1;
    /* what state was thrown away as over stays over, also where an idle input had let time pass */
    if (record->timestamp_ms > task->face.watermark_ms)
        task->face.watermark_ms = record->timestamp_ms;
    /* R16: never before the state */
    if (s.has_source && task->source != NULL) {
        task->source->offset = s.offset;
        task->source->sealed_timestamp_ms = s.max_timestamp_ms;
    }
    return LEAT_OK;
}

static leat_status restore_record(restore *r, const leat_log_record *record, leat_error *error)
{
    if (leat_str_equal(record->key, leat__seal_key))
        return check_seal(r, record, error);
    r->count++;
    r->records++;
    r->crc = crc_record(r->crc, record->key, record->value);
    return leat__store_restore(r->task->face.store, record->key, record->value, error);
}

/* R5, R11: done means that the reader stands at or past the end as of the start, never that a
 * record with a certain offset was seen: offsets have gaps. */
static leat_status read_to_end(restore *r, leat_log_reader *reader, int64_t end, leat_error *error)
{
    leat_log_record records[512];
    const leat__task *task = r->task;
    for (;;) {
        size_t count = 0;
        int64_t position;
        leat_status status = leat_log_reader_poll(reader, records, 512, &count, error);
        for (size_t i = 0; i < count && status == LEAT_OK; i++)
            status = restore_record(r, &records[i], error);
        if (status == LEAT_OK)
            status = leat_log_reader_position(reader, task->changelog, task->partition, &position,
                                              error);
        if (status != LEAT_OK)
            return status;
        if (position >= end)
            return LEAT_OK;
        if (atomic_load(&task->run->stop_requested))
            return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, task->changelog,
                              "stopped while restoring");
        if (count == 0)
            leat__doorbell_wait(&r->bell, WAIT_US);
    }
}

static void wake_restore(void *r)
{
    leat__doorbell_ring(&((restore *)r)->bell);
}

/* Is the seal still there that the database stands at? It goes when the changelog is compacted over
 * a later one, and then tombstones behind it may have gone too (R13). */
static leat_status look_at_seal(restore *r, leat_log_reader *reader, int64_t position, int64_t end,
                                bool *there, leat_error *error)
{
    const leat__task *task = r->task;
    leat_log_record record;
    size_t count = 0;
    int64_t reached = position;
    leat_status status =
        leat_log_reader_seek(reader, task->changelog, task->partition, position, error);
    while (status == LEAT_OK && count == 0 && reached < end) {
        status = leat_log_reader_poll(reader, &record, 1, &count, error);
        if (status == LEAT_OK && count == 0)
            status = leat_log_reader_position(reader, task->changelog, task->partition, &reached,
                                              error);
        if (status == LEAT_OK && count == 0 && reached < end)
            leat__doorbell_wait(&r->bell, WAIT_US);
    }
    *there = status == LEAT_OK && count == 1 && record.offset == position;
    if (*there && !leat_str_equal(record.key, leat__seal_key))
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, task->changelog,
                          "partition %u has no end of an epoch at %" PRId64
                          " where the state directory stands: it belongs to another log or job; "
                          "give each its own --state-dir",
                          task->partition, position);
    return status;
}

/* Where to begin: what the database has is dropped if a tombstone could be missing (R13). */
static leat_status begin_at(restore *r, leat_log_reader *reader, int64_t position, int64_t end,
                            leat_error *error)
{
    leat__task *task = r->task;
    leat_status status = LEAT_OK;
    bool there = false;
    if (position == 0)
        position = -1; /* no seal is the first record: nothing was applied yet */
    if (position >= 0 && position < end)
        status = look_at_seal(r, reader, position, end, &there, error);
    if (status == LEAT_OK && position >= 0 && position < end && !there) {
        leat__log_line(LEAT__WARN, "state",
                       "%s partition %u: the local copy is too old, built anew", task->changelog,
                       task->partition);
        status = leat__store_wipe(task->face.store, error);
        position = -1;
    }
    if (status != LEAT_OK)
        return status;
    return leat_log_reader_seek(reader, task->changelog, task->partition,
                                position < 0 ? LEAT_OFFSET_BEGIN : position, error);
}

static leat_status restore_from(restore *r, int64_t position, leat_error *error)
{
    leat__task *task = r->task;
    int64_t begin, end;
    leat_status status =
        leat_log_bounds(task->run->log, task->changelog, task->partition, &begin, &end, error);
    if (status != LEAT_OK)
        return status;
    if (position > end)
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, task->changelog,
                          "partition %u ends at %" PRId64 " but the state directory has %" PRId64
                          ": it belongs to another log; give each log its own --state-dir",
                          task->partition, end, position);
    leat_log_reader *reader;
    status = leat_log_reader_new(task->run->log, wake_restore, r, &reader, error);
    if (status != LEAT_OK)
        return status;
    status = begin_at(r, reader, position, end, error);
    if (status == LEAT_OK)
        status = read_to_end(r, reader, end, error);
    leat_log_reader_free(reader);
    if (status != LEAT_OK)
        return status;
    /* R6: the position kept is that of the last seal, so that the next restore sees it again and
     * knows its epoch. A log may end in what is no record (the marks of transactions). */
    return leat__store_restored(task->face.store, r->seal_at, error);
}

leat_status leat__task_restore(leat__task *task, leat_error *error)
{
    restore r = {.task = task, .seal_at = -1};
    int64_t start_us = task->run->env->monotonic_us(task->run->env->arg);
    leat_status status = restore_from(&r, leat__store_position(task->face.store), error);
    if (status == LEAT_OK && r.records >= 10000)
        leat__log_line(LEAT__INFO, "state",
                       "%s partition %u: %" PRIu64 " records restored in %" PRId64 " ms",
                       task->changelog, task->partition, r.records,
                       (task->run->env->monotonic_us(task->run->env->arg) - start_us) / 1000);
    return status;
}
