/* engine/positions.c - where each source stood, kept as long as the state is (R16).
 *
 *   epoch ─┬─ it changed state: a seal has the position                    JOB-STAGE-changelog
 *          └─ it did not:  "at TOPIC/PARTITION" = [1][offset][metadata] ─► JOB-positions
 *
 *   start: the group has no offset of a partition ─► read to the end, the last of its key counts
 *
 * A group's offsets expire some days after its last member has left. A stage without state has no
 * seal, so everything would be read and written again. The record is in the epoch's transaction,
 * beside the offset, and says the same; its topic is compacted, so it stays.
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT = 1, KEY_BYTES = 280, WAIT_US = 20000, LOOK_EVERY_POLLS = 64, POLL_RECORDS = 256 };

static leat_str key_of(char text[KEY_BYTES], const char *topic, uint32_t partition)
{
    int length = snprintf(text, KEY_BYTES, "at %s/%" PRIu32, topic, partition);
    return (leat_str){text, (size_t)length};
}

leat_status leat__positions_add(const leat__run *run, leat_log_txn *txn,
                                const leat_log_offset *offset, leat_error *error)
{
    char key[KEY_BYTES];
    leat__buffer value = {0};
    leat__buffer_u8(&value, FORMAT);
    leat__buffer_u64(&value, (uint64_t)offset->offset);
    leat__buffer_str(&value, offset->metadata);
    const leat_log_record record = {.topic = run->positions_topic,
                                    .timestamp_ms = run->env->now_ms(run->env->arg),
                                    .key = key_of(key, offset->topic, offset->partition),
                                    .value = {value.data, value.length}};
    leat_status status = leat_log_txn_add(txn, &record, 1, error);
    leat__buffer_free(&value);
    return status;
}

/* ------------------------------------------------------------------ reading */

static leat_status take(leat__task *task, const leat_log_record *record, leat_error *error)
{
    leat__reader reader = leat__reader_of(record->value);
    uint8_t format = record->value.data == NULL ? 0 : leat__read_u8(&reader);
    if (format != FORMAT)
        return leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, record->topic,
                          "offset %" PRId64 " has the format %d; run the version that wrote it "
                          "(R26)",
                          record->offset, format);
    int64_t offset = (int64_t)leat__read_u64(&reader);
    leat_str metadata = leat__read_str(&reader);
    if (reader.failed || offset < 0)
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, record->topic,
                          "the record at %" PRId64 " is no position", record->offset);
    return leat__source_take_committed(task, offset, metadata, error);
}

static leat_status take_record(leat__task *const *wanted, size_t count,
                               const leat_log_record *record, leat_error *error)
{
    for (size_t i = 0; i < count; i++) {
        char key[KEY_BYTES];
        if (leat_str_equal(record->key,
                           key_of(key, wanted[i]->source->topic, wanted[i]->partition)))
            return take(wanted[i], record, error);
    }
    return LEAT_OK;
}

static void wake_coordinator(void *run)
{
    leat__doorbell_ring(&((leat__run *)run)->bell);
}

/* R5: to the end as of the start, which transactions of others have reached by then. */
static leat_status read_to(leat__run *run, leat_log_reader *reader, int64_t end,
                           leat__task *const *wanted, size_t wanted_count, leat_error *error)
{
    leat_log_record records[POLL_RECORDS];
    int64_t position = 0;
    for (size_t polls = 1; position < end; polls++) {
        size_t count = 0;
        leat_status status = leat_log_reader_poll(reader, records, POLL_RECORDS, &count, error);
        for (size_t i = 0; i < count && status == LEAT_OK; i++)
            status = take_record(wanted, wanted_count, &records[i], error);
        if (status == LEAT_OK)
            status = leat_log_reader_position(reader, run->positions_topic, 0, &position, error);
        if (status == LEAT_OK && atomic_load(&run->stop_requested))
            status = leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, run->positions_topic,
                                "stopped while reading the positions");
        if (status == LEAT_OK && count == 0 && position < end)
            leat__doorbell_wait(&run->bell, WAIT_US);
        if (status == LEAT_OK && polls % LOOK_EVERY_POLLS == 0)
            status = leat__look_at_group(run, error); /* R8 */
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static void tell(leat__task *const *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (wanted[i]->source->committed_offset >= 0)
            leat__log_line(LEAT__WARN, "source",
                           "%s partition %" PRIu32 ": the group's offset is gone (expired, or "
                           "deleted); it goes on at %" PRId64 ", as %s says",
                           wanted[i]->source->topic, wanted[i]->partition,
                           wanted[i]->source->committed_offset, wanted[i]->run->positions_topic);
}

leat_status leat__positions_read(leat__run *run, leat_error *error)
{
    if (run->positions_topic == NULL)
        return LEAT_OK;
    leat__task **wanted = leat__calloc(run->task_count + 1, sizeof(leat__task *));
    size_t count = 0;
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i]->source != NULL && run->tasks[i]->source->committed_offset < 0)
            wanted[count++] = run->tasks[i];
    int64_t begin, end = 0;
    leat_log_reader *reader = NULL;
    leat_status status = count == 0
                             ? LEAT_OK
                             : leat__ask_bounds(run, "the end of the positions",
                                                run->positions_topic, 0, &begin, &end, error);
    if (status == LEAT_OK && end > 0)
        status = leat_log_reader_new(run->log, wake_coordinator, run, &reader, error);
    if (status == LEAT_OK && reader != NULL)
        status = leat_log_reader_seek(reader, run->positions_topic, 0, LEAT_OFFSET_BEGIN, error);
    if (status == LEAT_OK && reader != NULL)
        status = read_to(run, reader, end, wanted, count, error);
    if (status == LEAT_OK)
        tell(wanted, count);
    leat_log_reader_free(reader);
    leat__free(wanted);
    return status;
}
