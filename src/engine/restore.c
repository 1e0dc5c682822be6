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
 *        0    1  format, 3
 *        1    8  incarnation of the process
 *        9    8  epoch
 *       17    8  previous epoch sealed in this partition
 *       25    4  number of records of this epoch here
 *       29    4  CRC32C over their keys and values
 *       33    1  bit 0: source position follows; bit 1: not written exactly-once
 *       34    8  source offset      42  8  highest event time seen        all little endian
 *       50    8  whose it is: a hash of the job's and the stage's name (not in format 1)
 *       58    8  the task's watermark (before format 3 only the record's timestamp said it, which
 *                Kafka can't hold where no watermark has come yet)
 *       66    8  id of the topic of the source position         74    8  of the changelog
 *                (neither before format 3; 0: not known)
 *
 * Restore reads committed records only, checks the chain,
 * and stops with LEAT_EVIOLATION when an epoch is torn or out of order. Compaction removes records
 * only below the last seal that it kept, and from the beginning on, so from the first seal that is
 * read every next one must follow it exactly. What is missing before the first can't be seen here.
 */
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "engine/run.h"
#include "log/driver.h"
#include <inttypes.h>
#include <string.h>

/* R14: never 4 bytes; no slot's key begins with 0 */
const leat_str leat__seal_key = {"\0leat.seal", 10};
enum { SEAL_FORMAT = 3, SEAL_HAS_SOURCE = 1, SEAL_IS_WEAK = 2, SEAL_OWNER_AT = 50 };

typedef struct seal {
    uint64_t incarnation, epoch, previous;
    uint32_t count, crc;
    bool has_source, weak;
    int64_t offset, max_timestamp_ms;
    uint64_t owner;                         /* 0: format 1 did not say */
    int64_t watermark_ms;                   /* LEAT_TIME_MIN: none yet */
    uint64_t source_topic_id, changelog_id; /* 0: not known */
} seal;

/* Topic names join job and stage with a hyphen, which both may contain: "a-b", "c" and "a", "b-c"
 * would share a changelog. */
static uint64_t owner_named(const char *job, const char *stage)
{
    uint64_t both[2] = {leat__hash64(job, strlen(job)), leat__hash64(stage, strlen(stage))};
    return leat__hash64((const char *)both, sizeof(both)) | 1;
}

static uint64_t owner_of(const leat__task *task)
{
    return owner_named(task->run->graph->opts.name, task->stage->name);
}

static bool is_weak(const leat__run *run)
{
    return run->graph->opts.guarantee != LEAT_EXACTLY_ONCE;
}

static uint32_t crc_record(uint32_t crc, leat_str key, leat_str value)
{
    crc = leat__crc32c(crc, key.data, key.length);
    return value.data == NULL ? leat__crc32c(crc, "\x7f", 1)
                              : leat__crc32c(crc, value.data, value.length);
}

leat__seal_identity leat__seal_append(leat__buffer *buffer, const leat__task *task,
                                      const leat__bundle *bundle)
{
    uint32_t crc = 0;
    size_t begin = buffer->length;
    for (size_t i = 0; i < bundle->change_count; i++)
        crc = crc_record(crc, bundle->changes.changes[i].key, bundle->changes.changes[i].value);
    leat__buffer_u8(buffer, SEAL_FORMAT);
    leat__buffer_u64(buffer, task->run->incarnation);
    leat__buffer_u64(buffer, bundle->epoch);
    leat__buffer_u64(buffer, task->sealed_epoch_before);
    leat__buffer_u32(buffer, (uint32_t)bundle->change_count);
    leat__buffer_u32(buffer, crc);
    leat__buffer_u8(buffer, (uint8_t)((bundle->has_offset ? SEAL_HAS_SOURCE : 0) |
                                      (is_weak(task->run) ? SEAL_IS_WEAK : 0)));
    leat__buffer_u64(buffer, (uint64_t)bundle->offset);
    leat__buffer_u64(buffer, (uint64_t)bundle->max_timestamp_ms);
    leat__buffer_u64(buffer, owner_of(task));
    leat__buffer_u64(buffer, (uint64_t)bundle->kept_watermark_ms);
    leat__buffer_u64(buffer, bundle->has_offset ? task->source->topic_id : 0);
    leat__buffer_u64(buffer, task->changelog_id);
    LEAT_ASSERT(buffer->length - begin == LEAT__SEAL_BYTES);
    return (leat__seal_identity){task->changelog_id, task->run->incarnation, bundle->epoch, crc};
}

/* A format before 3 has the watermark in the record's timestamp. What the log puts in the place of
 * a time that it can't hold says nothing: time may stand still for a while then, but never runs
 * ahead (W3). */
static int64_t watermark_of_record(const leat__task *task, const leat_log_record *record)
{
    return record->timestamp_ms > leat__log_timestamp_min_ms(task->run->log) ? record->timestamp_ms
                                                                             : LEAT_TIME_MIN;
}

/* R26: formats 1 and 2 are read too. */
static bool seal_read(const leat__task *task, const leat_log_record *record, seal *out)
{
    leat__reader reader = leat__reader_of(record->value);
    uint8_t format = leat__read_u8(&reader);
    out->incarnation = leat__read_u64(&reader);
    out->epoch = leat__read_u64(&reader);
    out->previous = leat__read_u64(&reader);
    out->count = leat__read_u32(&reader);
    out->crc = leat__read_u32(&reader);
    uint8_t flags = leat__read_u8(&reader);
    out->has_source = (flags & SEAL_HAS_SOURCE) != 0;
    out->weak = (flags & SEAL_IS_WEAK) != 0;
    out->offset = (int64_t)leat__read_u64(&reader);
    out->max_timestamp_ms = (int64_t)leat__read_u64(&reader);
    out->owner = format == 1 ? 0 : leat__read_u64(&reader); /* R26: N reads N - 1 */
    out->watermark_ms =
        format < 3 ? watermark_of_record(task, record) : (int64_t)leat__read_u64(&reader);
    out->source_topic_id = format < 3 ? 0 : leat__read_u64(&reader);
    out->changelog_id = format < 3 ? 0 : leat__read_u64(&reader);
    return !reader.failed && format >= 1 && format <= SEAL_FORMAT;
}

bool leat__seal_is_of(leat_str value, const char *job, const char *stage)
{
    leat__reader reader = leat__reader_of(value);
    uint8_t format = leat__read_u8(&reader);
    for (size_t skipped = 1; skipped < SEAL_OWNER_AT; skipped++)
        (void)leat__read_u8(&reader);
    if (reader.failed || format == 1) /* that did not say */
        return !reader.failed;
    return leat__read_u64(&reader) == owner_named(job, stage) && !reader.failed;
}

/* ------------------------------------------------------------------ restore */

typedef struct restore {
    leat__task *task;
    leat_log_reader *reader;
    int64_t end;         /* of the changelog as of the start (R5) */
    uint64_t last_epoch; /* of the last seal seen; 0: none yet */
    int64_t sealed_at;   /* its offset; -1: none */
    leat__seal_identity seal;
    uint64_t gap_from,
        gap_to;          /* epochs between which seals were missing when they were read first */
    bool reread;         /* go back to the seal before the gap */
    bool rereading;      /* the next record should be it */
    bool weak;           /* it was not written exactly-once */
    uint32_t count, crc; /* of the records since then */
    uint64_t records;
} restore;

static leat_status violation(restore *r, leat_error *error, const char *what, const seal *s)
{
    leat__run_count_violation(r->task->run);
    return leat__fail(
        error, LEAT_EVIOLATION, LEAT_RECOVERY_FATAL, r->task->changelog,
        "partition %u: epoch %" PRIu64 " %s (previous %" PRIu64 ", seen %" PRIu64
        ", %u of %u records); "
        "the log lost or mixed writes: keep it, and report it (leat_eos_violations_total)",
        r->task->partition, s->epoch, what, s->previous, r->last_epoch, r->count, s->count);
}

/* A seal that is missing between two others was compacted away while they were read, and with it
 * the one before; or it is lost, and they are there when they are read again.
 *
 * A torn epoch (R2) is normal where records and offsets are not committed together. */
static leat_status check_chain(restore *r, const seal *s, leat_error *error)
{
    if (r->last_epoch == 0 || s->weak || r->weak)
        return LEAT_OK;
    if (s->epoch <= r->last_epoch)
        return violation(r, error, "is out of order", s);
    if (s->previous > s->epoch || s->previous < r->last_epoch)
        return violation(r, error, "skips a seal", s);
    bool adjacent = s->previous == r->last_epoch;
    if (!adjacent && r->gap_from == r->last_epoch && r->gap_to == s->epoch)
        return violation(r, error, "comes after a lost one", s);
    if (!adjacent) {
        r->gap_from = r->last_epoch;
        r->gap_to = s->epoch;
        r->reread = true;
    }
    if (adjacent && (s->count != r->count || s->crc != r->crc))
        return violation(r, error, "is torn", s);
    return LEAT_OK;
}

/* Made again while a job wrote to it: what the job had written before is not here (R2). */
static leat_status check_topic(restore *r, const seal *s, leat_error *error)
{
    const leat__task *task = r->task;
    if (s->changelog_id == 0 || task->changelog_id == 0 || s->changelog_id == task->changelog_id)
        return LEAT_OK;
    char remedy[LEAT__REMEDY_BYTES];
    leat__run_count_violation(task->run);
    return leat__fail(error, LEAT_EVIOLATION, LEAT_RECOVERY_FATAL, task->changelog,
                      "partition %u: epoch %" PRIu64
                      " was written to another topic of this name: it was deleted and made again "
                      "while the job ran; %s (R2, leat_eos_violations_total)",
                      task->partition, s->epoch, leat__remedy(task->run, remedy));
}

/* R16: never before the state. With at-least-once the epoch of the last seal may lack outputs, so
 * only the one before it is surely whole. */
static void take_position(leat__task *task, const seal *s)
{
    leat__source *source = task->source;
    if (!s->has_source || source == NULL)
        return;
    source->whole_offset = source->offset;
    source->offset = s->offset;
    source->sealed_topic_id = s->source_topic_id;
    source->sealed_timestamp_ms = s->max_timestamp_ms;
    source->sealed_epoch = s->epoch;
}

static leat_status check_seal(restore *r, const leat_log_record *record, leat_error *error)
{
    seal s;
    leat__task *task = r->task;
    if (!seal_read(task, record, &s))
        return leat__fail(
            error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, task->changelog,
            "partition %u has a seal of an unknown format; run the version that wrote it (R26)",
            task->partition);
    if (s.owner != 0 && s.owner != owner_of(task))
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, task->changelog,
                          "holds the state of another job, whose name and stage give the same "
                          "topic name as job '%s', stage '%s'; rename the job",
                          task->run->graph->opts.name, task->stage->name);
    leat_status status = check_chain(r, &s, error);
    if (status == LEAT_OK)
        status = check_topic(r, &s, error);
    if (status != LEAT_OK || r->reread)
        return status;
    r->last_epoch = s.epoch;
    r->sealed_at = record->offset;
    r->seal = (leat__seal_identity){task->changelog_id, s.incarnation, s.epoch, s.crc};
    r->weak = s.weak;
    r->count = 0;
    r->crc = 0;
    task->sealed_epoch_before = s.epoch;
    if (s.epoch >= task->run->epoch)
        task->run->epoch = s.epoch + 1;
    /* what state was thrown away as over stays over, also where an idle input had let time pass;
     * the last seal counts, as time may have begun again at the clock since an earlier one (W7) */
    if (s.watermark_ms != LEAT_TIME_MIN && s.watermark_ms != LEAT_TIME_MAX)
        task->face.watermark_ms = s.watermark_ms;
    take_position(task, &s);
    return LEAT_OK;
}

static leat_status restore_record(restore *r, const leat_log_record *record, leat_error *error)
{
    if (r->rereading) {
        r->rereading = false;
        r->count = 0;
        r->crc = 0;
        if (record->offset == r->sealed_at)
            return LEAT_OK;
        r->last_epoch = 0; /* compacted: what comes after it can't be checked */
    }
    if (leat_str_equal(record->key, leat__seal_key))
        return check_seal(r, record, error);
    r->count++;
    r->records++;
    r->crc = crc_record(r->crc, record->key, record->value);
    return leat__store_restore(r->task->face.store, record->key, record->value, error);
}

/* Where the reader stands; and, as a restore may take minutes, a look at the group and the clock
 * (R8). `idle`: there was nothing to read, the log fetches. */
static leat_status step(restore *r, bool idle, int64_t *position, leat_error *error)
{
    const leat__task *task = r->task;
    leat_status status =
        leat_log_reader_position(r->reader, task->changelog, task->partition, position, error);
    if (status != LEAT_OK)
        return status;
    return leat__restore_tick(task, r->records, *position, idle && *position < r->end, error);
}

/* R5, R11: done means that the reader stands at or past the end as of the start, never that a
 * record with a certain offset was seen: offsets have gaps. */
static leat_status read_to_end(restore *r, leat_error *error)
{
    leat_log_record records[512];
    for (int64_t position = -1; position < r->end;) {
        size_t count = 0;
        leat_status status = leat_log_reader_poll(r->reader, records, 512, &count, error);
        for (size_t i = 0; i < count && status == LEAT_OK && !r->reread; i++)
            status = restore_record(r, &records[i], error);
        if (status == LEAT_OK && r->reread) {
            r->reread = false;
            r->rereading = true;
            status = leat_log_reader_seek(r->reader, r->task->changelog, r->task->partition,
                                          r->sealed_at, error);
        }
        if (status == LEAT_OK)
            status = step(r, count == 0, &position, error);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

/* The next record below the end, lent until the next poll; *found: there is one. */
static leat_status next_record(restore *r, leat_log_record *record, bool *found, leat_error *error)
{
    *found = false;
    for (int64_t position = -1; position < r->end;) {
        size_t count = 0;
        leat_status status = leat_log_reader_poll(r->reader, record, 1, &count, error);
        *found = status == LEAT_OK && count == 1;
        if (status == LEAT_OK && count == 0)
            status = step(r, true, &position, error);
        if (status != LEAT_OK || *found)
            return status;
    }
    return LEAT_OK;
}

/* ------------------------------------------------------------------ what the database has */

typedef enum copy_is { KEPT, TOO_OLD, OF_ANOTHER_LOG } copy_is;

static bool is_same_seal(const leat__seal_identity *known, const seal *s)
{
    return known->epoch == 0 || (known->epoch == s->epoch && known->crc == s->crc &&
                                 known->incarnation == s->incarnation);
}

/* A position without the seal's identity (format 2): the rows of that epoch are in the changelog
 * before the seal, and must be in the database just so. */
static leat_status compare_rows(restore *r, int64_t position, uint32_t count, bool *same,
                                leat_error *error)
{
    leat__task *task = r->task;
    int64_t from = position > count ? position - count : 0;
    leat_log_record record;
    *same = true;
    leat_status status =
        leat_log_reader_seek(r->reader, task->changelog, task->partition, from, error);
    for (bool found = true; status == LEAT_OK && *same && found;) {
        status = next_record(r, &record, &found, error);
        if (status != LEAT_OK || !found || record.offset >= position)
            break;
        if (!leat_str_equal(record.key, leat__seal_key))
            status = leat__store_has_row(task->face.store, record.key, record.value, same, error);
    }
    return status == LEAT_OK
               ? leat_log_reader_seek(r->reader, task->changelog, task->partition, position, error)
               : status;
}

/* The record at the position has to be the very seal that the database was written with. */
static leat_status look_at_seal(restore *r, int64_t position, copy_is *verdict, leat_error *error)
{
    leat__seal_identity known = leat__store_position_seal(r->task->face.store);
    leat_log_record record;
    bool found = false, same = true;
    seal s = {0};
    *verdict = TOO_OLD;
    leat_status status = next_record(r, &record, &found, error);
    if (status != LEAT_OK || !found || record.offset != position)
        return status;
    *verdict = OF_ANOTHER_LOG;
    if (!leat_str_equal(record.key, leat__seal_key))
        return LEAT_OK;
    if (seal_read(r->task, &record, &s) && !is_same_seal(&known, &s))
        return LEAT_OK;
    if (known.epoch == 0) {
        status = compare_rows(r, position, s.count, &same, error);
        if (status != LEAT_OK || !same)
            return status;
        *verdict = TOO_OLD;
        status = next_record(r, &record, &found, error);
        if (status != LEAT_OK || !found || record.offset != position)
            return status;
    }
    *verdict = KEPT;
    return restore_record(r, &record, error); /* its epoch; the reader goes on behind it */
}

/* R13: may what the database has be kept? The seal it stands at goes when the changelog is
 * compacted over a later one, and then tombstones behind it may have gone too; and a copy older
 * than half the retention of deletes is not trusted, unless nothing has happened since. */
static leat_status judge_copy(restore *r, int64_t position, copy_is *verdict, leat_error *error)
{
    const leat__task *task = r->task;
    uint64_t of = leat__store_position_seal(task->face.store).topic_id;
    *verdict =
        of != 0 && task->changelog_id != 0 && of != task->changelog_id ? OF_ANOTHER_LOG : TOO_OLD;
    if (*verdict == OF_ANOTHER_LOG || position >= r->end)
        return LEAT_OK;
    leat_status status = look_at_seal(r, position, verdict, error);
    if (status != LEAT_OK || *verdict != KEPT)
        return status;
    int64_t written_ms = leat__store_position_ms(task->face.store);
    int64_t age_ms = task->run->env->now_ms(task->run->env->arg) - written_ms;
    if (written_ms == 0 || age_ms <= LEAT_LOG_TOMBSTONE_RETENTION_MS / 2)
        return LEAT_OK;
    leat_log_record record;
    bool found = false;
    status = next_record(r, &record, &found, error);
    if (found)
        *verdict = TOO_OLD;
    return status;
}

/* Without a copy all of the changelog is needed, from its first record on: compaction takes records
 * away, but never moves where the partition begins. */
static leat_status check_begin(const restore *r, leat_error *error)
{
    const leat__task *task = r->task;
    if (task->changelog_begin == 0)
        return LEAT_OK;
    char remedy[LEAT__REMEDY_BYTES];
    leat__run_count_violation(task->run);
    return leat__fail(
        error, LEAT_EVIOLATION, LEAT_RECOVERY_FATAL, task->changelog,
        "partition %u begins at %" PRId64
        ": what stood before was deleted (retention, DeleteRecords); bring back a state directory "
        "or a snapshot of this job, or %s (R13, leat_eos_violations_total)",
        task->partition, task->changelog_begin, leat__remedy(task->run, remedy));
}

/* Where to begin: what the database has is dropped if a tombstone could be missing (R13), or if it
 * is no copy of this changelog. */
static leat_status begin_at(restore *r, int64_t position, leat_error *error)
{
    leat__task *task = r->task;
    copy_is verdict = KEPT;
    if (position == 0)
        position = -1; /* no seal is the first record: nothing was applied yet */
    leat_status status = position >= 0 ? judge_copy(r, position, &verdict, error) : LEAT_OK;
    if (status == LEAT_OK && (position < 0 || verdict != KEPT))
        status = check_begin(r, error);
    if (status == LEAT_OK && verdict != KEPT) {
        leat__run_count_rebuild(task->run);
        leat__log_line(LEAT__WARN, "state",
                       "%s partition %u: the local copy is %s, built anew "
                       "(leat_state_rebuilds_total)",
                       task->changelog, task->partition,
                       verdict == TOO_OLD ? "too old" : "of another log or a former topic");
        *r = (restore){.task = task, .reader = r->reader, .end = r->end, .sealed_at = -1};
        status = leat__store_wipe(task->face.store, error);
        if (status == LEAT_OK)
            status = leat_log_reader_seek(r->reader, task->changelog, task->partition,
                                          LEAT_OFFSET_BEGIN, error);
        position = -1;
    } else if (status == LEAT_OK && position < 0) /* what an abandoned restore left (R13) */
        status = leat__store_wipe(task->face.store, error);
    leat__progress_from(task, position < 0 ? task->changelog_begin : position);
    return status;
}

static void wake_coordinator(void *run)
{
    leat__doorbell_ring(&((leat__run *)run)->bell);
}

/* All changelogs are being fetched before the first is restored: waiting for one is waiting for
 * all. */
leat_status leat__restore_start(leat__task *task, leat_error *error)
{
    leat__run *run = task->run;
    int64_t position = leat__store_position(task->face.store);
    leat_status status =
        leat_log_reader_new(run->log, wake_coordinator, run, &task->restore_reader, error);
    if (status != LEAT_OK)
        return status;
    return leat_log_reader_seek(
        task->restore_reader, task->changelog, task->partition,
        position > 0 && position < task->changelog_end ? position : LEAT_OFFSET_BEGIN, error);
}

static leat_status restore_from(restore *r, int64_t position, leat_error *error)
{
    leat__task *task = r->task;
    leat__run *run = task->run;
    bool from_snapshot = leat__database_from_snapshot(run->database); /* then it is no evidence */
    uint64_t of = leat__store_position_seal(task->face.store).topic_id;
    bool another = of != 0 && task->changelog_id != 0 && of != task->changelog_id;
    if (position > 0 && position >= r->end && !from_snapshot && !another)
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, task->changelog,
                          "partition %u ends at %" PRId64 " but the state directory has %" PRId64
                          ": the directory is newer than the log (a backup that was restored) or "
                          "of another log; remove the directory %.100s, it is built anew from this "
                          "log, and give each log its own",
                          task->partition, r->end, position, run->graph->opts.state_dir);
    leat_status status = begin_at(r, position, error);
    if (status == LEAT_OK)
        status = read_to_end(r, error);
    if (status != LEAT_OK)
        return status;
    leat_log_reader_free(task->restore_reader);
    task->restore_reader = NULL;
    /* R6: the position kept is that of the last seal, so that the next restore sees it again and
     * knows its epoch; what may follow it is read again then */
    return leat__store_restored(task->face.store, r->sealed_at, &r->seal,
                                run->env->now_ms(run->env->arg), error);
}

leat_status leat__task_restore(leat__task *task, leat_error *error)
{
    restore r = {
        .task = task, .reader = task->restore_reader, .end = task->changelog_end, .sealed_at = -1};
    return restore_from(&r, leat__store_position(task->face.store), error);
}

/* ------------------------------------------------------------------ before it */

leat_status leat__read_positions(leat__run *run, leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < run->task_count && status == LEAT_OK; i++)
        if (run->tasks[i]->source != NULL)
            status = leat__source_committed(run->tasks[i], error);
    if (status == LEAT_OK)
        status = leat__positions_read(run, error);
    for (size_t i = 0; i < run->task_count && status == LEAT_OK; i++) {
        leat__task *task = run->tasks[i];
        if (task->changelog != NULL)
            status =
                leat__ask_bounds(run, "the bounds of a changelog", task->changelog, task->partition,
                                 &task->changelog_begin, &task->changelog_end, error);
    }
    return status;
}
