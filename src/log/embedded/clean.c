/* log/embedded/clean.c - retention, and the thread that cleans.
 *
 *   R .. 0003   R .. 0007   R .. 0012   R .. 0020
 *   └──── too old, or too much ───┘     └─ begin = 13: readers below jump there
 *      one delete of a range + the partition's record, in one synced batch
 *
 * Retention takes whole batches from the front and never the newest one for size; trimming takes
 * those below an offset in the same way.  Every step runs under clean_lock; a topic that is being
 * deleted waits for the step.
 */
#include "base/log_line.h"
#include "base/mem.h"
#include "log/embedded/batch.h"
#include "log/embedded/store.h"
#include <string.h>

enum { CLEAN_EVERY_S = 15 };

static int64_t now_of(const embedded_log *log)
{
    return log->env->now_ms(log->env->arg);
}

leat_status leat__embedded_each_batch(embedded_log *log, const embedded_topic *topic,
                                      uint32_t index, int64_t from, int64_t to,
                                      bool (*fn)(void *arg, const leat__batch *batch), void *arg,
                                      leat_error *error)
{
    char first[EMBEDDED_RECORD_KEY], behind[EMBEDDED_RECORD_KEY];
    size_t length = leat__embedded_key_record(first, topic->number, index, from);
    leat__embedded_key_record(behind, topic->number, index, to);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, behind, length);
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, options);
    bool sound = true, more = true;
    for (rocksdb_iter_seek(iterator, first, length); more && rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t key_length, value_length;
        const char *key = rocksdb_iter_key(iterator, &key_length);
        const char *value = rocksdb_iter_value(iterator, &value_length);
        leat__batch batch;
        sound = key_length == length && leat__batch_open(&batch, (leat_str){value, value_length},
                                                         leat__embedded_last_of_key(key));
        more = sound && fn(arg, &batch);
    }
    char *message = leat__iterator_end(iterator);
    rocksdb_readoptions_destroy(options);
    if (message != NULL)
        return leat__embedded_fail(log, message, error);
    if (!sound)
        return leat__embedded_corrupt(log, error, "a batch of records is garbled");
    return LEAT_OK;
}

typedef struct cut {
    const leat_topic_opts *opts;
    int64_t now_ms, end, total_bytes;
    int64_t trim_to; /* what lies below goes in any case */
    int64_t begin;   /* the first offset that stays */
    int64_t bytes_before_begin;
} cut;

/* Moves the cut behind the batch if that may go. */
static bool cut_batch(void *arg, const leat__batch *batch)
{
    cut *cut_at = arg;
    const leat_topic_opts *opts = cut_at->opts;
    bool old =
        opts->retention_ms != 0 && batch->max_timestamp_ms < cut_at->now_ms - opts->retention_ms;
    bool much = opts->retention_bytes != 0 && batch->last + 1 < cut_at->end &&
                cut_at->total_bytes - batch->bytes_before > opts->retention_bytes;
    if (!old && !much && batch->last >= cut_at->trim_to)
        return false;
    cut_at->begin = batch->last + 1;
    cut_at->bytes_before_begin = batch->bytes_before + (int64_t)batch->records.length;
    return true;
}

static leat_status move_begin(embedded_log *log, embedded_topic *topic, uint32_t index,
                              const leat_topic_opts *opts, int64_t trim_to, leat_error *error)
{
    embedded_partition *partition = &topic->partitions[index];
    int64_t begin = atomic_load(&partition->begin), end = atomic_load(&partition->end);
    if (begin == end)
        return LEAT_OK;
    cut cut_at = {.opts = opts,
                  .now_ms = now_of(log),
                  .end = end,
                  .trim_to = trim_to,
                  .total_bytes = atomic_load(&partition->bytes),
                  .begin = begin};
    leat_status status =
        leat__embedded_each_batch(log, topic, index, begin, end, cut_batch, &cut_at, error);
    if (status != LEAT_OK || cut_at.begin == begin)
        return status;

    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    char from[EMBEDDED_RECORD_KEY], to[EMBEDDED_RECORD_KEY], key[EMBEDDED_KEY_MAX];
    size_t length = leat__embedded_key_record(from, topic->number, index, begin);
    leat__embedded_key_record(to, topic->number, index, cut_at.begin);
    rocksdb_writebatch_delete_range(batch, from, length, to, length);
    leat__buffer value = {0};
    leat__embedded_encode_partition(&value, partition, cut_at.begin, cut_at.bytes_before_begin);
    rocksdb_writebatch_put(batch, key, leat__embedded_key_partition(key, topic->number, index),
                           value.data, value.length);
    partition->bytes_before_begin = cut_at.bytes_before_begin;
    atomic_store(&partition->begin, cut_at.begin); /* first: readers would take it for a hole */
    status = leat__embedded_write_direct(log, batch, error);
    leat__buffer_free(&value);
    rocksdb_writebatch_destroy(batch);
    return status;
}

static leat_status retain(embedded_log *log, embedded_topic *topic, uint32_t index,
                          leat_error *error)
{
    if (topic->opts.retention_ms == 0 && topic->opts.retention_bytes == 0)
        return LEAT_OK;
    return move_begin(log, topic, index, &topic->opts, 0, error);
}

static leat_status clean_all(embedded_log *log, bool forced, leat_error *error)
{
    size_t count;
    leat_status status = LEAT_OK;
    embedded_topic **topics = leat__embedded_snapshot(log, &count);
    for (size_t i = 0; i < count; i++) {
        uint32_t partition_count = topics[i]->opts.partition_count;
        for (uint32_t p = 0; p < partition_count && status == LEAT_OK; p++) {
            if (!forced && atomic_load(&log->closing))
                break;
            pthread_mutex_lock(&log->clean_lock);
            if (!atomic_load(&topics[i]->deleted)) {
                status = retain(log, topics[i], p, error);
                if (status == LEAT_OK && topics[i]->opts.compacted)
                    status = leat__embedded_compact(log, topics[i], p, forced, error);
            }
            pthread_mutex_unlock(&log->clean_lock);
        }
        leat__embedded_release(topics[i]);
    }
    leat__free(topics);
    return status;
}

leat_status leat__embedded_clean(leat_log *base, leat_error *error)
{
    return clean_all(embedded_of(base), true, error);
}

static leat_status trim(embedded_log *log, embedded_topic *topic, const leat_log_offset *at,
                        leat_error *error)
{
    leat_status status = leat__log_check_trim(
        at, &topic->opts, atomic_load(&topic->partitions[at->partition].end), error);
    if (status != LEAT_OK)
        return status;
    pthread_mutex_lock(&log->clean_lock);
    if (!atomic_load(&topic->deleted))
        status = move_begin(log, topic, at->partition, &(leat_topic_opts){0}, at->offset, error);
    pthread_mutex_unlock(&log->clean_lock);
    return status;
}

leat_status leat__embedded_trim(leat_log *base, const leat_log_offset *offsets, size_t count,
                                leat_error *error)
{
    embedded_log *log = embedded_of(base);
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < count && status == LEAT_OK; i++) {
        embedded_topic *topic;
        status = leat__embedded_find_partition(log, offsets[i].topic, offsets[i].partition, &topic,
                                               error);
        if (status != LEAT_OK)
            return status;
        status = trim(log, topic, &offsets[i], error);
        leat__embedded_release(topic);
    }
    return status;
}

/* ------------------------------------------------------------------ the thread */

static void clean_now_and_then(void *log)
{
    leat_error error;
    if (clean_all(log, false, &error) != LEAT_OK)
        leat__log_line(LEAT__WARN, "log", "cleaning: %s", error.message);
}

void leat__embedded_cleaner_start(embedded_log *log)
{
    log->cleaner = leat__periodic_start("cleaner", CLEAN_EVERY_S * 1000, clean_now_and_then, log);
    if (log->cleaner == NULL)
        leat__log_line(LEAT__WARN, "log", "%s: no thread for cleaning; old records stay", log->dir);
}

void leat__embedded_cleaner_stop(embedded_log *log)
{
    if (log->cleaner == NULL)
        return;
    atomic_store(&log->closing, true);
    leat__periodic_stop(log->cleaner);
    log->cleaner = NULL;
}
