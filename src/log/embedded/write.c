/* log/embedded/write.c - group commit: whoever finds no leader leads, and writes for all who wait.
 *
 *   A submits, leads ──► prepare A ─► write+sync ─► publish A ─► wake A's readers
 *   B submits ─ waits ┐
 *   C submits ─ waits ┴► B leads ─► prepare B, C ─► ONE write+sync ─► publish B, C
 *
 * Only the leader gives offsets, and there is one leader at a time, so offsets need no lock and the
 * order of the queue is the order of the log.  One RocksDB batch holds a group: all of it is there
 * after a crash or none.  After a failed write nothing is ever written again (R17).
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/embedded/stage.h"
#include "log/embedded/store.h"

enum { BATCH_KEEP_BYTES = 1 << 20 }; /* a leader's batch that grew larger is given back */

static leat_status refuse(const embedded_log *log, leat_error *error)
{
    return leat__fail(error, log->failure.status, LEAT_RECOVERY_FATAL, "log",
                      "no more writes after a failed one: %.400s", log->failure.message);
}

/* The queue lock is not held: only one leader and the cleaner come here. */
static leat_status write_synced(embedded_log *log, rocksdb_writebatch_t *batch, leat_error *error)
{
    char *message = NULL;
    rocksdb_write(log->db, log->write_options, batch, &message);
    if (message == NULL)
        return LEAT_OK;
    leat_error failure;
    leat_status status = leat__embedded_fail(log, message, &failure);
    pthread_mutex_lock(&log->queue_lock);
    if (log->failure.status == LEAT_OK)
        log->failure = failure;
    pthread_mutex_unlock(&log->queue_lock);
    if (error != NULL)
        *error = failure;
    return status;
}

/* Takes what waits, up to a bound. The queue lock is held and the queue is not empty. */
static embedded_write *take_group(embedded_log *log)
{
    embedded_write *group = log->queue, *last = group;
    size_t bytes = last->bytes;
    while (last->next != NULL && bytes + last->next->bytes <= EMBEDDED_GROUP_BYTES) {
        last = last->next;
        bytes += last->bytes;
    }
    log->queue = last->next;
    if (log->queue == NULL)
        log->queue_tail = &log->queue;
    last->next = NULL;
    return group;
}

static void lead(embedded_log *log, embedded_write *group, leat__wakes *wakes)
{
    rocksdb_writebatch_clear(log->batch);
    for (embedded_write *write = group; write != NULL; write = write->next)
        write->status = write->prepare(write, log->batch, &write->error);
    leat_error failure = {0};
    leat_status status = LEAT_OK;
    if (rocksdb_writebatch_count(log->batch) > 0) {
        status = write_synced(log, log->batch, &failure);
        if (status == LEAT_OK)
            leat__embedded_mark(log, rocksdb_get_latest_sequence_number(log->db));
    }
    for (embedded_write *write = group; write != NULL; write = write->next) {
        if (write->status != LEAT_OK)
            continue;
        write->status = status;
        write->error = failure;
        if (status == LEAT_OK && write->publish != NULL)
            write->publish(write, wakes);
    }
    size_t size;
    rocksdb_writebatch_data(log->batch, &size);
    if (size > BATCH_KEEP_BYTES) {
        rocksdb_writebatch_destroy(log->batch);
        log->batch = rocksdb_writebatch_create();
    }
}

/* The queue lock is held; it is released meanwhile. */
static void lead_one_group(embedded_log *log, leat__wakes *wakes)
{
    log->leading = true;
    embedded_write *group = take_group(log);
    pthread_mutex_unlock(&log->queue_lock);
    lead(log, group, wakes);
    pthread_mutex_lock(&log->queue_lock);
    for (embedded_write *write = group, *next; write != NULL; write = next) {
        next = write->next; /* done: its stack may go as soon as the lock is released */
        write->done = true;
        pthread_cond_signal(&write->wake);
    }
    log->leading = false;
    if (log->queue != NULL)
        pthread_cond_signal(&log->queue->wake); /* the next leader */
}

leat_status leat__embedded_submit(embedded_log *log, embedded_write *write, leat_error *error)
{
    leat__wakes wakes = {0};
    write->log = log;
    pthread_mutex_lock(&log->queue_lock);
    if (log->failure.status != LEAT_OK) {
        leat_status refused = refuse(log, error);
        pthread_mutex_unlock(&log->queue_lock);
        return refused;
    }
    pthread_cond_init(&write->wake, NULL);
    write->next = NULL;
    *log->queue_tail = write;
    log->queue_tail = &write->next;
    while (!write->done) {
        if (log->leading)
            pthread_cond_wait(&write->wake, &log->queue_lock);
        else
            lead_one_group(log, &wakes);
    }
    pthread_mutex_unlock(&log->queue_lock);
    pthread_cond_destroy(&write->wake);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    if (write->status != LEAT_OK && error != NULL)
        *error = write->error;
    return write->status;
}

leat_status leat__embedded_write_direct(embedded_log *log, rocksdb_writebatch_t *batch,
                                        leat_error *error)
{
    pthread_mutex_lock(&log->queue_lock);
    leat_status status = log->failure.status == LEAT_OK ? LEAT_OK : refuse(log, error);
    pthread_mutex_unlock(&log->queue_lock);
    return status == LEAT_OK ? write_synced(log, batch, error) : status;
}

/* ------------------------------------------------------------------ append */

typedef struct append_write {
    embedded_write base;
    embedded_stage *stage;
} append_write;

static leat_status prepare_append(embedded_write *write, rocksdb_writebatch_t *batch,
                                  leat_error *error)
{
    return leat__stage_write(write->log, ((append_write *)write)->stage, batch, error);
}

static void publish_append(embedded_write *write, leat__wakes *wakes)
{
    leat__stage_publish(write->log, ((append_write *)write)->stage, wakes);
}

leat_status leat__embedded_append(leat_log *base, leat_log_record *records, size_t count,
                                  leat_error *error)
{
    embedded_log *log = embedded_of(base);
    embedded_stage *stage = leat__stage_take(log);
    uint32_t *asked = leat__alloc(count * sizeof *asked); /* to give back after a failure */
    for (size_t i = 0; i < count; i++)
        asked[i] = records[i].partition;
    leat_status status = leat__stage_add(log, stage, records, count, records, error);
    if (status == LEAT_OK) {
        append_write write = {
            .base = {.prepare = prepare_append, .publish = publish_append, .bytes = stage->bytes},
            .stage = stage,
        };
        status = leat__embedded_submit(log, &write.base, error);
    }
    for (size_t i = 0; i < count; i++) {
        if (status != LEAT_OK) {
            records[i].partition = asked[i];
            continue;
        }
        stage_topic *topic;
        status = leat__stage_topic(log, stage, records[i].topic, &topic, error);
        uint32_t part = topic->parts_of[records[i].partition];
        records[i].offset += stage->parts[part - 1].first;
    }
    leat__free(asked);
    leat__stage_give(log, stage);
    return status;
}
