/* log/sim/members.c - groups and committed offsets of the model.
 *
 *   join, poll, ack, leave ─► log/group.c under the world's lock ─► wakes, after the lock
 *   committed offsets: one list ordered by (group, topic, partition)
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/sim/world.h"
#include <string.h>

static int64_t now_of(const leat__sim *sim)
{
    return sim->env->now_ms(sim->env->arg);
}

/* ------------------------------------------------------------------ membership */

leat_status leat__sim_join(leat_log *log, const leat_log_group *group, leat__wake_fn wake,
                           void *arg, leat_log_member **out, leat_error *error)
{
    leat__sim *sim = sim_of(log);
    leat__wakes wakes = {0};
    leat_status status = LEAT_OK;
    uint32_t *partition_counts = leat__calloc(group->topic_count + 1, sizeof *partition_counts);
    pthread_mutex_lock(&sim->lock);
    for (size_t i = 0; i < group->topic_count && status == LEAT_OK; i++) {
        sim_topic *topic;
        status = leat__sim_topic_find(sim, group->topics[i], &topic, error);
        if (status == LEAT_OK)
            partition_counts[i] = topic->opts.partition_count;
    }
    if (status == LEAT_OK) {
        sim_member *member = leat__calloc(1, sizeof *member);
        member->seat =
            leat__group_join(&sim->groups, group, partition_counts, wake, arg, now_of(sim), &wakes);
        *out = &member->base;
    }
    pthread_mutex_unlock(&sim->lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    leat__free(partition_counts);
    return status;
}

void leat__sim_leave(leat_log_member *base)
{
    sim_member *member = (sim_member *)base;
    leat__sim *sim = sim_of(base->log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&sim->lock);
    if (member->txn != NULL)
        leat__sim_txn_orphan(member->txn);
    leat__waker *waker = leat__group_leave(member->seat, now_of(sim), &wakes);
    pthread_mutex_unlock(&sim->lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    leat__waker_close(waker);
    leat__buffer_free(&member->metadata);
    leat__free(member);
}

leat_status leat__sim_member_poll(leat_log_member *base, leat_log_event *event, leat_error *error)
{
    sim_member *member = (sim_member *)base;
    leat__sim *sim = sim_of(base->log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&sim->lock);
    leat_status status = leat__group_poll(member->seat, now_of(sim), event, &wakes, error);
    pthread_mutex_unlock(&sim->lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    return status;
}

void leat__sim_member_ack(leat_log_member *base)
{
    leat__sim *sim = sim_of(base->log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&sim->lock);
    leat__group_ack(((sim_member *)base)->seat, &wakes);
    pthread_mutex_unlock(&sim->lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
}

/* ------------------------------------------------------------------ committed offsets */

static int compare(const sim_offset *a, const char *group, const char *topic, uint32_t partition)
{
    int order = strcmp(a->group, group);
    if (order == 0)
        order = strcmp(a->topic, topic);
    if (order != 0)
        return order;
    return a->partition < partition ? -1 : a->partition > partition;
}

static sim_offset **link_to(leat__sim *sim, const char *group, const char *topic,
                            uint32_t partition, bool *found)
{
    sim_offset **link = &sim->offsets;
    int order = -1;
    while (*link != NULL && (order = compare(*link, group, topic, partition)) < 0)
        link = &(*link)->next;
    *found = *link != NULL && order == 0;
    return link;
}

void leat__sim_offset_set(leat__sim *sim, const char *group, const leat_log_offset *offset)
{
    bool found;
    sim_offset **link = link_to(sim, group, offset->topic, offset->partition, &found);
    if (!found) {
        sim_offset *fresh = leat__calloc(1, sizeof *fresh);
        fresh->group = leat__strdup(group);
        fresh->topic = leat__strdup(offset->topic);
        fresh->partition = offset->partition;
        fresh->next = *link;
        *link = fresh;
    }
    sim_offset *stored = *link;
    stored->offset = offset->offset;
    leat__free(stored->metadata);
    stored->metadata = NULL;
    stored->metadata_length = offset->metadata.length;
    if (offset->metadata.data != NULL)
        stored->metadata = leat__strndup(offset->metadata.data, offset->metadata.length);
}

void leat__sim_offset_free(sim_offset *offset)
{
    leat__free(offset->group);
    leat__free(offset->topic);
    leat__free(offset->metadata);
    leat__free(offset);
}

void leat__sim_offsets_forget_topic(leat__sim *sim, const char *topic)
{
    for (sim_offset **link = &sim->offsets; *link != NULL;) {
        sim_offset *offset = *link;
        if (strcmp(offset->topic, topic) != 0) {
            link = &offset->next;
            continue;
        }
        *link = offset->next;
        leat__sim_offset_free(offset);
    }
}

leat_status leat__sim_committed(leat_log_member *base, const char *topic, uint32_t partition,
                                leat_log_offset *offset, leat_error *error)
{
    sim_member *member = (sim_member *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    leat_status status = LEAT_OK;
    if (!leat__group_owns(member->seat, topic, partition))
        status = leat__log_not_owned(error, topic, partition);
    *offset = (leat_log_offset){.topic = topic, .partition = partition, .offset = -1};
    bool found = false;
    sim_offset **link = link_to(sim, leat__group_name(member->seat), topic, partition, &found);
    if (status == LEAT_OK && found) {
        offset->offset = (*link)->offset;
        member->metadata.length = 0;
        leat__buffer_bytes(&member->metadata, (*link)->metadata, (*link)->metadata_length);
        if ((*link)->metadata != NULL)
            offset->metadata =
                (leat_str){member->metadata.data != NULL ? member->metadata.data : "",
                           member->metadata.length};
    }
    pthread_mutex_unlock(&sim->lock);
    return status;
}

static leat_str metadata_of(const sim_offset *offset)
{
    return (leat_str){offset->metadata, offset->metadata_length};
}

leat_status leat__sim_group_offsets(leat_log *log, const char *group, leat__offset_fn fn, void *arg,
                                    leat_error *error)
{
    (void)error;
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    for (sim_offset *each = sim->offsets; each != NULL; each = each->next) {
        if (strcmp(each->group, group) != 0)
            continue;
        leat_log_offset offset = {.topic = each->topic,
                                  .partition = each->partition,
                                  .offset = each->offset,
                                  .metadata = metadata_of(each)};
        if (!fn(arg, &offset))
            break;
    }
    pthread_mutex_unlock(&sim->lock);
    return LEAT_OK;
}

leat_status leat__sim_group_forget(leat_log *log, const char *group, leat_error *error)
{
    (void)error;
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    for (sim_offset **link = &sim->offsets; *link != NULL;) {
        sim_offset *offset = *link;
        if (strcmp(offset->group, group) != 0) {
            link = &offset->next;
            continue;
        }
        *link = offset->next;
        leat__sim_offset_free(offset);
    }
    pthread_mutex_unlock(&sim->lock);
    return LEAT_OK;
}

leat_status leat__sim_group_each(leat_log *log, leat__group_fn fn, void *arg, leat_error *error)
{
    (void)error;
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    const char *last = "";
    for (sim_offset *each = sim->offsets; each != NULL; each = each->next) {
        if (strcmp(each->group, last) == 0)
            continue;
        last = each->group;
        if (!fn(arg, each->group))
            break;
    }
    pthread_mutex_unlock(&sim->lock);
    return LEAT_OK;
}
