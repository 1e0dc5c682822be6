/* log/sim/reader.c - readers of the model: a position per partition, copies of what it finds.
 *
 *   positions  a/0 at 5   a/1 at 9   b/0 at 2
 *                 ▲ turn: each poll begins with another one and gives each an equal share
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/sim/world.h"
#include <string.h>

static int64_t end_of(const sim_position *position)
{
    return position->topic->partitions[position->partition].end;
}

static bool has_something(const sim_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        if (reader->positions[i].topic->deleted ||
            reader->positions[i].offset < end_of(&reader->positions[i]))
            return true;
    return false;
}

void leat__sim_collect_wakes(leat__sim *sim, leat__wakes *wakes)
{
    for (sim_reader *reader = sim->readers; reader != NULL; reader = reader->next)
        if (has_something(reader))
            leat__wakes_add(wakes, reader->waker);
}

leat_status leat__sim_reader_new(leat_log *log, leat__wake_fn wake, void *arg,
                                 leat_log_reader **out, leat_error *error)
{
    (void)error;
    leat__sim *sim = sim_of(log);
    sim_reader *reader = leat__calloc(1, sizeof *reader);
    reader->waker = leat__waker_new(wake, arg);
    pthread_mutex_lock(&sim->lock);
    sim_reader **link = &sim->readers;
    while (*link != NULL)
        link = &(*link)->next;
    *link = reader;
    pthread_mutex_unlock(&sim->lock);
    *out = &reader->base;
    return LEAT_OK;
}

void leat__sim_reader_free(leat_log_reader *base)
{
    sim_reader *reader = (sim_reader *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    sim_reader **link = &sim->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    for (size_t i = 0; i < reader->count; i++)
        leat__sim_topic_release(reader->positions[i].topic);
    pthread_mutex_unlock(&sim->lock);
    leat__waker_close(reader->waker);
    leat__arena_free(&reader->lent);
    leat__free(reader->positions);
    leat__free(reader);
}

static sim_position *position_of(sim_reader *reader, const char *topic, uint32_t partition)
{
    for (size_t i = 0; i < reader->count; i++) {
        sim_position *position = &reader->positions[i];
        if (position->partition == partition && strcmp(position->topic->name, topic) == 0)
            return position;
    }
    return NULL;
}

static void remove_position(sim_reader *reader, sim_position *position)
{
    leat__sim_topic_release(position->topic);
    *position = reader->positions[--reader->count];
}

leat_status leat__sim_reader_seek(leat_log_reader *base, const char *name, uint32_t partition,
                                  int64_t offset, leat_error *error)
{
    sim_reader *reader = (sim_reader *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    sim_position *position = position_of(reader, name, partition);
    if (position != NULL && position->topic->deleted) { /* its name may be another topic's now */
        remove_position(reader, position);
        position = NULL;
    }
    sim_topic *topic;
    leat_status status = leat__sim_partition_find(sim, name, partition, &topic, error);
    if (status == LEAT_OK) {
        if (position == NULL) {
            reader->positions =
                leat__realloc(reader->positions, reader->count + 1, sizeof *reader->positions);
            position = &reader->positions[reader->count++];
            *position = (sim_position){.topic = topic, .partition = partition};
            topic->references++;
        }
        const sim_partition *found = &topic->partitions[partition];
        if (offset == LEAT_OFFSET_BEGIN)
            offset = found->begin;
        if (offset == LEAT_OFFSET_END)
            offset = found->end;
        position->offset = offset;
    }
    pthread_mutex_unlock(&sim->lock);
    return status;
}

void leat__sim_reader_remove(leat_log_reader *base, const char *topic, uint32_t partition)
{
    sim_reader *reader = (sim_reader *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    sim_position *position = position_of(reader, topic, partition);
    if (position != NULL)
        remove_position(reader, position);
    pthread_mutex_unlock(&sim->lock);
}

/* Copies what is lent, as the cleaner may free the original before the next poll. */
static size_t take(sim_reader *reader, sim_position *position, leat_log_record *records, size_t max)
{
    const sim_partition *partition = &position->topic->partitions[position->partition];
    if (position->offset < partition->begin) { /* cleaned away meanwhile */
        reader->base.lost += (uint64_t)(partition->begin - position->offset);
        position->offset = partition->begin;
    }
    size_t count = 0;
    size_t i = leat__sim_lower_bound(partition, position->offset);
    for (; i < partition->count && count < max; i++) {
        const sim_record *record = &partition->records[i];
        records[count++] = (leat_log_record){
            .topic = position->topic->name,
            .partition = position->partition,
            .offset = record->offset,
            .timestamp_ms = record->timestamp_ms,
            .key = leat__arena_str(&reader->lent, record->key),
            .value = leat__arena_str(&reader->lent, record->value),
        };
        position->offset = record->offset + 1;
    }
    bool saw_the_end = i == partition->count && position->offset < partition->end;
    if (saw_the_end)
        position->offset = partition->end; /* the rest is a gap */
    return count;
}

leat_status leat__sim_reader_poll(leat_log_reader *base, leat_log_record *records, size_t max,
                                  size_t *count, leat_error *error)
{
    sim_reader *reader = (sim_reader *)base;
    leat__sim *sim = sim_of(base->log);
    leat_status status = LEAT_OK;
    pthread_mutex_lock(&sim->lock);
    leat__waker_disarm(reader->waker);
    leat__arena_reset(&reader->lent);
    size_t busy = 0;
    for (size_t i = 0; i < reader->count && status == LEAT_OK; i++) {
        if (reader->positions[i].topic->deleted)
            status = leat__log_topic_deleted(error, reader->positions[i].topic->name);
        busy += reader->positions[i].offset < end_of(&reader->positions[i]);
    }
    if (status == LEAT_OK && busy > 0) {
        size_t share = (max + busy - 1) / busy; /* so that no partition starves another */
        reader->turn++;
        for (size_t i = 0; i < reader->count && *count < max; i++) {
            sim_position *position = &reader->positions[(reader->turn + i) % reader->count];
            size_t room = max - *count;
            *count += take(reader, position, records + *count, room < share ? room : share);
        }
    }
    if (status == LEAT_OK && *count == 0)
        leat__waker_arm(reader->waker);
    pthread_mutex_unlock(&sim->lock);
    return status;
}

leat_status leat__sim_reader_position(leat_log_reader *base, const char *topic, uint32_t partition,
                                      int64_t *offset, leat_error *error)
{
    sim_reader *reader = (sim_reader *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    const sim_position *position = position_of(reader, topic, partition);
    if (position != NULL)
        *offset = position->offset;
    pthread_mutex_unlock(&sim->lock);
    return position != NULL ? LEAT_OK : leat__log_not_read(error, topic, partition);
}

uint64_t leat__sim_reader_topic_id(leat_log_reader *base, const char *topic, uint32_t partition)
{
    sim_reader *reader = (sim_reader *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    const sim_position *position = position_of(reader, topic, partition);
    uint64_t id = position == NULL ? 0 : position->topic->opts.id;
    pthread_mutex_unlock(&sim->lock);
    return id;
}
