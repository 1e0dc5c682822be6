/* log/sim/snapshot.c - a copy of everything committed, and going back to it. */
#include "base/mem.h"
#include "log/sim/world.h"
#include <string.h>

static sim_topic *copy_topic(const sim_topic *topic)
{
    sim_topic *copy = leat__calloc(1, sizeof *copy);
    copy->name = leat__strdup(topic->name);
    copy->opts = topic->opts;
    copy->round_robin = topic->round_robin;
    copy->references = 1;
    copy->partitions = leat__calloc(topic->opts.partition_count, sizeof *copy->partitions);
    for (uint32_t p = 0; p < topic->opts.partition_count; p++) {
        const sim_partition *from = &topic->partitions[p];
        sim_partition *to = &copy->partitions[p];
        for (size_t i = 0; i < from->count; i++) {
            to->end = from->records[i].offset; /* gaps stay gaps */
            leat__sim_partition_push(
                to, &(leat_log_record){.timestamp_ms = from->records[i].timestamp_ms,
                                       .key = from->records[i].key,
                                       .value = from->records[i].value});
            to->records[i].tombstone_until_ms = from->records[i].tombstone_until_ms;
        }
        to->begin = from->begin;
        to->end = from->end;
    }
    return copy;
}

static sim_offset *copy_offset(const sim_offset *offset)
{
    sim_offset *copy = leat__calloc(1, sizeof *copy);
    copy->group = leat__strdup(offset->group);
    copy->topic = leat__strdup(offset->topic);
    copy->partition = offset->partition;
    copy->offset = offset->offset;
    copy->metadata = leat__strndup(offset->metadata, offset->metadata_length);
    copy->metadata_length = offset->metadata_length;
    return copy;
}

static void copy_contents(leat__sim *to, const leat__sim *from)
{
    sim_topic **topic_link = &to->topics;
    if (to->topics_made < from->topics_made)
        to->topics_made = from->topics_made;
    for (const sim_topic *topic = from->topics; topic != NULL; topic = topic->next) {
        *topic_link = copy_topic(topic);
        topic_link = &(*topic_link)->next;
    }
    sim_offset **offset_link = &to->offsets;
    for (const sim_offset *offset = from->offsets; offset != NULL; offset = offset->next) {
        *offset_link = copy_offset(offset);
        offset_link = &(*offset_link)->next;
    }
}

leat__sim *leat__sim_snapshot(leat__sim *sim)
{
    leat__sim *copy = leat__sim_new(sim->env);
    pthread_mutex_lock(&sim->lock);
    copy_contents(copy, sim);
    pthread_mutex_unlock(&sim->lock);
    return copy;
}

void leat__sim_restore(leat__sim *sim, const leat__sim *snapshot)
{
    pthread_mutex_lock(&sim->lock);
    for (sim_topic *topic = sim->topics, *next; topic != NULL; topic = next) {
        next = topic->next;
        topic->deleted = true;
        leat__sim_topic_release(topic);
    }
    for (sim_offset *offset = sim->offsets, *next; offset != NULL; offset = next) {
        next = offset->next;
        leat__sim_offset_free(offset);
    }
    sim->topics = NULL;
    sim->offsets = NULL;
    copy_contents(sim, snapshot);
    pthread_mutex_unlock(&sim->lock);
}

leat__sim *leat__log_sim_snapshot(leat_log *log)
{
    return leat__sim_snapshot(sim_of(log));
}

void leat__log_sim_restore(leat_log *log, const leat__sim *snapshot)
{
    leat__sim_restore(sim_of(log), snapshot);
}

void leat__log_sim_snapshot_free(leat__sim *snapshot)
{
    leat__sim_free(snapshot);
}
