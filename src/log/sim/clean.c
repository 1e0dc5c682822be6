/* log/sim/clean.c - retention and compaction, record by record.
 *
 *   retention   [0][1][2] 3  4  5      the oldest go while they are too old or the rest is too big
 *               begin ───►             (the newest stays); begin moves, the end never does
 *   compaction   0 [1] 2 [3] 4  5      a record goes if a later one has its key; a tombstone goes
 *                                      24 h after the cleaner first met it; nothing else moves
 *   trim        [0][1][2] 3  4  5      what lies below an offset goes
 */
#include "base/mem.h"
#include "log/sim/world.h"
#include <string.h>

static void drop_front(sim_partition *partition, size_t count)
{
    if (count == 0)
        return;
    partition->begin = partition->records[count - 1].offset + 1;
    for (size_t i = 0; i < count; i++)
        leat__sim_record_free(&partition->records[i]);
    partition->count -= count;
    memmove(partition->records, partition->records + count,
            partition->count * sizeof *partition->records);
}

static void retain(sim_partition *partition, const leat_topic_opts *opts, int64_t now_ms)
{
    size_t drop = 0;
    if (opts->retention_ms != 0)
        while (drop < partition->count &&
               partition->records[drop].timestamp_ms < now_ms - opts->retention_ms)
            drop++;
    drop_front(partition, drop);
    if (opts->retention_bytes == 0)
        return;
    int64_t bytes = 0;
    size_t keep_from = partition->count;
    while (keep_from > 0) {
        const sim_record *record = &partition->records[keep_from - 1];
        bytes += (int64_t)(record->key.length + record->value.length);
        if (bytes > opts->retention_bytes && keep_from != partition->count)
            break;
        keep_from--;
    }
    drop_front(partition, keep_from);
}

static bool has_later(const sim_partition *partition, size_t index)
{
    for (size_t i = index + 1; i < partition->count; i++)
        if (leat_str_equal(partition->records[i].key, partition->records[index].key))
            return true;
    return false;
}

static void compact(sim_partition *partition, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < partition->count; i++) {
        sim_record *record = &partition->records[i];
        bool goes = has_later(partition, i);
        if (record->value.data == NULL) {
            if (record->tombstone_until_ms == 0)
                record->tombstone_until_ms = now_ms + LEAT_LOG_TOMBSTONE_RETENTION_MS;
            else if (now_ms >= record->tombstone_until_ms)
                goes = true;
        }
        if (goes)
            leat__sim_record_free(record);
        else
            partition->records[kept++] = *record;
    }
    partition->count = kept;
}

leat_status leat__sim_clean(leat_log *log, leat_error *error)
{
    (void)error;
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    int64_t now_ms = sim->env->now_ms(sim->env->arg);
    for (sim_topic *topic = sim->topics; topic != NULL; topic = topic->next) {
        for (uint32_t p = 0; p < topic->opts.partition_count; p++) {
            retain(&topic->partitions[p], &topic->opts, now_ms);
            if (topic->opts.compacted)
                compact(&topic->partitions[p], now_ms);
        }
    }
    pthread_mutex_unlock(&sim->lock);
    return LEAT_OK;
}

static void trim(sim_partition *partition, int64_t before)
{
    size_t drop = 0;
    while (drop < partition->count && partition->records[drop].offset < before)
        drop++;
    drop_front(partition, drop);
    if (partition->begin < before)
        partition->begin = before;
}

leat_status leat__sim_trim(leat_log *log, const leat_log_offset *offsets, size_t count,
                           leat_error *error)
{
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < count && status == LEAT_OK; i++) {
        sim_topic *topic;
        uint32_t p = offsets[i].partition;
        status = leat__sim_partition_find(sim, offsets[i].topic, p, &topic, error);
        if (status == LEAT_OK)
            status =
                leat__log_check_trim(&offsets[i], &topic->opts, topic->partitions[p].end, error);
        if (status == LEAT_OK)
            trim(&topic->partitions[p], offsets[i].offset);
    }
    pthread_mutex_unlock(&sim->lock);
    return status;
}
