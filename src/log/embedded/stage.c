/* log/embedded/stage.c - filling stages, and what the leader does with them.
 *
 *   record ─► topic (found once) ─► partition ─► part: encoded behind the others
 *                                                │ 64 KiB: the next batch begins
 *   leader: part->first = partition->next ─► each batch: key(last), header, bytes as they are
 *
 * Stages are used again, so that a commit of a few records allocates nothing.
 */
#include "log/embedded/stage.h"
#include "base/mem.h"
#include "log/embedded/batch.h"
#include <string.h>

enum { SPARE_STAGES_MAX = 8, SPARE_BYTES_MAX = 1 << 20 };

/* ------------------------------------------------------------------ life */

embedded_stage *leat__stage_take(embedded_log *log)
{
    pthread_mutex_lock(&log->queue_lock);
    embedded_stage *stage = log->spare_stages;
    if (stage != NULL) {
        log->spare_stages = stage->next;
        log->spare_count--;
    }
    pthread_mutex_unlock(&log->queue_lock);
    return stage != NULL ? stage : leat__calloc(1, sizeof *stage);
}

static void free_stage(embedded_stage *stage)
{
    for (size_t i = 0; i < stage->part_capacity; i++) {
        leat__buffer_free(&stage->parts[i].body);
        leat__free(stage->parts[i].batches);
    }
    leat__free(stage->parts);
    leat__free(stage->topics);
    leat__free(stage);
}

void leat__stage_free_all(embedded_stage *list)
{
    for (embedded_stage *next; list != NULL; list = next) {
        next = list->next;
        free_stage(list);
    }
}

static void reset(embedded_stage *stage)
{
    for (size_t i = 0; i < stage->topic_count; i++) {
        leat__embedded_release(stage->topics[i].topic);
        leat__free(stage->topics[i].parts_of);
    }
    for (size_t i = 0; i < stage->part_count; i++) {
        stage->parts[i].body.length = 0;
        stage->parts[i].batch_count = 0;
    }
    stage->topic_count = stage->part_count = stage->last_topic = stage->bytes = 0;
}

void leat__stage_give(embedded_log *log, embedded_stage *stage)
{
    reset(stage);
    size_t held = 0;
    for (size_t i = 0; i < stage->part_capacity; i++)
        held += stage->parts[i].body.capacity;
    pthread_mutex_lock(&log->queue_lock);
    bool keep = held <= SPARE_BYTES_MAX && log->spare_count < SPARE_STAGES_MAX;
    if (keep) {
        stage->next = log->spare_stages;
        log->spare_stages = stage;
        log->spare_count++;
    }
    pthread_mutex_unlock(&log->queue_lock);
    if (!keep)
        free_stage(stage);
}

/* ------------------------------------------------------------------ adding */

leat_status leat__stage_topic(embedded_log *log, embedded_stage *stage, const char *name,
                              stage_topic **topic, leat_error *error)
{
    for (size_t i = 0, at = stage->last_topic; i < stage->topic_count; i++, at++) {
        if (at >= stage->topic_count)
            at = 0;
        if (strcmp(stage->topics[at].topic->name, name) != 0)
            continue;
        stage->last_topic = at;
        *topic = &stage->topics[at];
        return LEAT_OK;
    }
    embedded_topic *found;
    leat_status status = leat__embedded_find(log, name, &found, error);
    if (status != LEAT_OK)
        return status;
    if (stage->topic_count == stage->topic_capacity) {
        stage->topic_capacity = stage->topic_capacity == 0 ? 4 : stage->topic_capacity * 2;
        stage->topics = leat__realloc(stage->topics, stage->topic_capacity, sizeof *stage->topics);
    }
    stage->last_topic = stage->topic_count;
    *topic = &stage->topics[stage->topic_count++];
    (*topic)->topic = found;
    (*topic)->parts_of = leat__calloc(found->opts.partition_count, sizeof *(*topic)->parts_of);
    return LEAT_OK;
}

static stage_part *part_of(embedded_stage *stage, stage_topic *topic, uint32_t partition)
{
    uint32_t index = topic->parts_of[partition];
    if (index != 0)
        return &stage->parts[index - 1];
    if (stage->part_count == stage->part_capacity) {
        size_t capacity = stage->part_capacity == 0 ? 4 : stage->part_capacity * 2;
        stage->parts = leat__realloc(stage->parts, capacity, sizeof *stage->parts);
        memset(stage->parts + stage->part_capacity, 0,
               (capacity - stage->part_capacity) * sizeof *stage->parts);
        stage->part_capacity = capacity;
    }
    stage_part *part = &stage->parts[stage->part_count++];
    part->topic = topic->topic;
    part->partition = partition;
    part->count = 0;
    topic->parts_of[partition] = (uint32_t)stage->part_count;
    return part;
}

static void encode(embedded_stage *stage, stage_part *part, const leat_log_record *record)
{
    size_t bound = leat__batch_bound(record);
    stage_batch *batch = part->batch_count == 0 ? NULL : &part->batches[part->batch_count - 1];
    if (batch == NULL || part->body.length - batch->start + bound > EMBEDDED_BATCH_BYTES) {
        if (part->batch_count == part->batch_capacity) {
            part->batch_capacity = part->batch_capacity == 0 ? 2 : part->batch_capacity * 2;
            part->batches =
                leat__realloc(part->batches, part->batch_capacity, sizeof *part->batches);
        }
        batch = &part->batches[part->batch_count++];
        *batch = (stage_batch){.start = part->body.length, .max_timestamp_ms = INT64_MIN};
        part->last_timestamp_ms = 0;
    }
    size_t before = part->body.length;
    leat_log_record placed = *record;
    placed.offset = part->count;
    leat__batch_add(&part->body, part->count - 1, part->last_timestamp_ms, &placed);
    part->last_timestamp_ms = record->timestamp_ms;
    if (record->timestamp_ms > batch->max_timestamp_ms)
        batch->max_timestamp_ms = record->timestamp_ms;
    batch->count++;
    part->count++;
    stage->bytes += part->body.length - before;
}

leat_status leat__stage_add(embedded_log *log, embedded_stage *stage,
                            const leat_log_record *records, size_t count, leat_log_record *relative,
                            leat_error *error)
{
    stage_topic *topic;
    uint32_t turn = 0;
    for (size_t i = 0; i < count; i++) { /* refuse before anything is added */
        leat_status status = leat__stage_topic(log, stage, records[i].topic, &topic, error);
        if (status == LEAT_OK)
            status = leat__log_check_place(&records[i], &topic->topic->opts, error);
        if (status != LEAT_OK)
            return status;
    }
    for (size_t i = 0; i < count; i++) {
        leat_status status = leat__stage_topic(log, stage, records[i].topic, &topic, error);
        if (status != LEAT_OK)
            return status; /* cannot be: entered above */
        if (records[i].partition == LEAT_PARTITION_BY_KEY && records[i].key.data == NULL)
            turn = atomic_fetch_add_explicit(&topic->topic->round_robin, 1, memory_order_relaxed);
        uint32_t partition = leat__log_place(&records[i], &topic->topic->opts, &turn);
        stage_part *part = part_of(stage, topic, partition);
        if (relative != NULL) {
            relative[i].partition = partition;
            relative[i].offset = part->count;
        }
        encode(stage, part, &records[i]);
    }
    return LEAT_OK;
}

/* ------------------------------------------------------------------ writing */

static void put_batches(embedded_log *log, stage_part *part, rocksdb_writebatch_t *batch)
{
    embedded_partition *partition = &part->topic->partitions[part->partition];
    part->first = partition->next;
    for (size_t i = 0; i < part->batch_count; i++) {
        const stage_batch *staged = &part->batches[i];
        size_t end = i + 1 < part->batch_count ? part->batches[i + 1].start : part->body.length;
        leat__batch header = {
            .first = partition->next,
            .last = partition->next + (int64_t)staged->count - 1,
            .count = staged->count,
            .bytes_before = atomic_load(&partition->bytes),
            .max_timestamp_ms = staged->max_timestamp_ms,
        };
        char key[EMBEDDED_RECORD_KEY], head[LEAT__BATCH_HEADER_MAX];
        size_t key_length =
            leat__embedded_key_record(key, part->topic->number, part->partition, header.last);
        const char *const keys[] = {key};
        const char *const values[] = {head, part->body.data + staged->start};
        const size_t value_lengths[] = {leat__batch_header(head, &header), end - staged->start};
        rocksdb_writebatch_putv(batch, 1, keys, &key_length, 2, values, value_lengths);
        leat__tail_put(log, &partition->tail, header.last, (leat_str){head, value_lengths[0]},
                       (leat_str){values[1], value_lengths[1]});
        partition->next = header.last + 1;
        atomic_fetch_add(&partition->bytes, (int64_t)value_lengths[1]);
    }
}

leat_status leat__stage_write(embedded_log *log, embedded_stage *stage, rocksdb_writebatch_t *batch,
                              leat_error *error)
{
    for (size_t i = 0; i < stage->topic_count; i++)
        if (atomic_load(&stage->topics[i].topic->deleted))
            return leat__log_topic_deleted(error, stage->topics[i].topic->name);
    for (size_t i = 0; i < stage->part_count; i++)
        put_batches(log, &stage->parts[i], batch);
    return LEAT_OK;
}

void leat__stage_publish(embedded_log *log, embedded_stage *stage, leat__wakes *wakes)
{
    for (size_t i = 0; i < stage->part_count; i++) {
        stage_part *part = &stage->parts[i];
        atomic_store(&part->topic->partitions[part->partition].end, part->first + part->count);
    }
    for (size_t i = 0; i < stage->part_count; i++) {
        stage_part *part = &stage->parts[i];
        leat__embedded_collect(log, &part->topic->partitions[part->partition], wakes);
    }
}
