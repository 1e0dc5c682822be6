/* log/sim/topics.c - topics of the model, and their records.
 *
 *   topics (by name) ─► partitions ─► [0][1][3][4] records by offset; 2 was cleaned away
 *                                     begin 0, end 5
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/sim/world.h"
#include <string.h>

/* ------------------------------------------------------------------ finding */

static leat_status unknown_topic(leat__sim *sim, const char *name, leat_error *error)
{
    size_t count = 0;
    for (sim_topic *topic = sim->topics; topic != NULL; topic = topic->next)
        count++;
    const char **names = leat__calloc(count + 1, sizeof *names);
    count = 0;
    for (sim_topic *topic = sim->topics; topic != NULL; topic = topic->next)
        names[count++] = topic->name;
    leat_status status = leat__log_unknown_topic(error, name, names, count);
    leat__free(names);
    return status;
}

leat_status leat__sim_topic_find(leat__sim *sim, const char *name, sim_topic **topic,
                                 leat_error *error)
{
    for (*topic = sim->topics; *topic != NULL; *topic = (*topic)->next)
        if (strcmp((*topic)->name, name) == 0)
            return LEAT_OK;
    return unknown_topic(sim, name, error);
}

leat_status leat__sim_partition_find(leat__sim *sim, const char *name, uint32_t partition,
                                     sim_topic **topic, leat_error *error)
{
    leat_status status = leat__sim_topic_find(sim, name, topic, error);
    if (status != LEAT_OK || partition < (*topic)->opts.partition_count)
        return status;
    return leat__log_bad_partition(error, name, partition, (*topic)->opts.partition_count);
}

/* ------------------------------------------------------------------ records */

void leat__sim_record_free(sim_record *record)
{
    /* key and value share one block that begins with whichever is there */
    const char *block = record->key.data != NULL ? record->key.data : record->value.data;
    leat__free((void *)(uintptr_t)block);
}

/* The first index whose offset is at least offset. */
size_t leat__sim_lower_bound(const sim_partition *partition, int64_t offset)
{
    size_t low = 0, high = partition->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (partition->records[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void leat__sim_partition_push(sim_partition *partition, leat_log_record *record)
{
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity == 0 ? 16 : partition->capacity * 2;
        partition->records =
            leat__realloc(partition->records, partition->capacity, sizeof *partition->records);
    }
    record->offset = partition->end++;
    char *block = leat__alloc(record->key.length + record->value.length + 1);
    sim_record *copy = &partition->records[partition->count++];
    *copy = (sim_record){.offset = record->offset, .timestamp_ms = record->timestamp_ms};
    if (record->key.data != NULL) {
        copy->key = (leat_str){block, record->key.length};
        memcpy(block, record->key.data, record->key.length);
    }
    if (record->value.data != NULL) {
        copy->value = (leat_str){block + record->key.length, record->value.length};
        memcpy(block + record->key.length, record->value.data, record->value.length);
    }
    if (copy->key.data == NULL && copy->value.data == NULL)
        leat__free(block);
}

void leat__sim_topic_release(sim_topic *topic)
{
    if (--topic->references != 0)
        return;
    for (uint32_t p = 0; p < topic->opts.partition_count; p++) {
        sim_partition *partition = &topic->partitions[p];
        for (size_t i = 0; i < partition->count; i++)
            leat__sim_record_free(&partition->records[i]);
        leat__free(partition->records);
    }
    leat__free(topic->partitions);
    leat__free(topic->name);
    leat__free(topic);
}

/* ------------------------------------------------------------------ the calls */

leat_status leat__sim_topic_create(leat_log *log, const char *name, const leat_topic_opts *opts,
                                   leat_error *error)
{
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    sim_topic **link = &sim->topics;
    while (*link != NULL && strcmp((*link)->name, name) < 0)
        link = &(*link)->next;
    bool exists = *link != NULL && strcmp((*link)->name, name) == 0;
    if (!exists) {
        sim_topic *topic = leat__calloc(1, sizeof *topic);
        topic->name = leat__strdup(name);
        topic->opts = *opts;
        topic->opts.id = leat__log_new_topic_id(sim->env, ++sim->topics_made);
        topic->partitions = leat__calloc(opts->partition_count, sizeof *topic->partitions);
        topic->references = 1;
        topic->next = *link;
        *link = topic;
    }
    pthread_mutex_unlock(&sim->lock);
    if (!exists)
        return LEAT_OK;
    return leat__log_topic_exists(error, name);
}

leat_status leat__sim_topic_describe(leat_log *log, const char *name, leat_topic_opts *opts,
                                     leat_error *error)
{
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    sim_topic *topic;
    leat_status status = leat__sim_topic_find(sim, name, &topic, error);
    if (status == LEAT_OK)
        *opts = topic->opts;
    pthread_mutex_unlock(&sim->lock);
    return status;
}

leat_status leat__sim_topic_delete(leat_log *log, const char *name, leat_error *error)
{
    leat__sim *sim = sim_of(log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&sim->lock);
    sim_topic *topic;
    leat_status status = leat__sim_topic_find(sim, name, &topic, error);
    if (status == LEAT_OK) {
        sim_topic **link = &sim->topics;
        while (*link != topic)
            link = &(*link)->next;
        *link = topic->next;
        topic->deleted = true;
        leat__sim_offsets_forget_topic(sim, name);
        leat__sim_collect_wakes(sim, &wakes); /* its readers have something to learn */
        leat__sim_topic_release(topic);
    }
    pthread_mutex_unlock(&sim->lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    return status;
}

leat_status leat__sim_topic_each(leat_log *log, leat__topic_fn fn, void *arg, leat_error *error)
{
    (void)error;
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    for (sim_topic *topic = sim->topics; topic != NULL; topic = topic->next)
        if (!fn(arg, topic->name, &topic->opts))
            break;
    pthread_mutex_unlock(&sim->lock);
    return LEAT_OK;
}

leat_status leat__sim_bounds(leat_log *log, const char *name, uint32_t partition, int64_t *begin,
                             int64_t *end, leat_error *error)
{
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    sim_topic *topic;
    leat_status status = leat__sim_partition_find(sim, name, partition, &topic, error);
    if (status == LEAT_OK) {
        *begin = topic->partitions[partition].begin;
        *end = topic->partitions[partition].end;
    }
    pthread_mutex_unlock(&sim->lock);
    return status;
}
