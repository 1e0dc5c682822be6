/* log/group.c - the group protocol: eager rebalances (R8), ranges of partitions, fencing (R15).
 *
 *     members by instance   a     b     c            7 partitions of "clicks":  a 0-2  b 3-4  c 5-6
 *                                                    7 partitions of "views":   the same, so that
 *                                                    clicks and views of one key meet
 *
 * Eager: at a rebalance everyone lets go of everything, then everything is distributed anew.  It is
 * what the Kafka driver does, and the only form in which no partition ever has two owners without
 * counting who has acked what.
 */
#include "log/group.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

typedef struct topic_size topic_size;
struct topic_size { /* as the latest to join saw it, so that all seats divide the same number */
    topic_size *next;
    uint32_t partition_count;
    char name[];
};

struct leat__group {
    leat__group *next;
    char *name;
    int64_t generation; /* never goes back while the log is open, so the group is kept */
    leat__seat *seats;
    topic_size *topics;
};

/* ------------------------------------------------------------------ small parts */

static leat__group *group_of(leat__groups *groups, const char *name)
{
    leat__group **link = &groups->first;
    for (; *link != NULL; link = &(*link)->next)
        if (strcmp((*link)->name, name) == 0)
            return *link;
    leat__group *group = leat__calloc(1, sizeof *group);
    group->name = leat__strdup(name);
    *link = group;
    return group;
}

static uint32_t *size_of_topic(leat__group *group, const char *name)
{
    topic_size **link = &group->topics;
    for (; *link != NULL; link = &(*link)->next)
        if (strcmp((*link)->name, name) == 0)
            return &(*link)->partition_count;
    size_t length = strlen(name) + 1;
    topic_size *size = leat__calloc(1, sizeof *size + length);
    memcpy(size->name, name, length);
    *link = size;
    return &size->partition_count;
}

static bool takes_part(const leat__seat *seat)
{
    return seat->state != LEAT__SEAT_FENCED && seat->state != LEAT__SEAT_LOST &&
           seat->state != LEAT__SEAT_OUT;
}

static bool subscribes(const leat__seat *seat, const char *topic)
{
    for (size_t i = 0; i < seat->topic_count; i++)
        if (strcmp(seat->topics[i], topic) == 0)
            return true;
    return false;
}

static bool same_topics(const leat__seat *a, const leat__seat *b)
{
    if (a->topic_count != b->topic_count)
        return false;
    for (size_t i = 0; i < a->topic_count; i++)
        if (strcmp(a->topics[i], b->topics[i]) != 0)
            return false;
    return true;
}

static void insert(leat__seat *seat)
{
    leat__seat **link = &seat->group->seats;
    while (*link != NULL && strcmp((*link)->instance, seat->instance) <= 0)
        link = &(*link)->next;
    seat->next = *link;
    *link = seat;
}

static void unlink_seat(leat__seat *seat)
{
    leat__seat **link = &seat->group->seats;
    while (*link != seat)
        link = &(*link)->next;
    *link = seat->next;
}

/* ------------------------------------------------------------------ rebalance */

static void assign_topic(leat__seat *seat, const char *topic)
{
    uint32_t members = 0, rank = 0;
    for (leat__seat *other = seat->group->seats; other != NULL; other = other->next) {
        if (!takes_part(other) || !subscribes(other, topic))
            continue;
        if (other == seat)
            rank = members;
        members++;
    }
    uint32_t count = *size_of_topic(seat->group, topic);
    uint32_t each = count / members, extra = count % members;
    uint32_t first = rank * each + (rank < extra ? rank : extra);
    uint32_t mine = each + (rank < extra ? 1 : 0);
    seat->partitions =
        leat__realloc(seat->partitions, seat->partition_count + mine + 1, sizeof *seat->partitions);
    for (uint32_t i = 0; i < mine; i++)
        seat->partitions[seat->partition_count++] =
            (leat_log_partition){.topic = topic, .partition = first + i};
}

/* Once nobody holds anything any more: the next generation. */
static void distribute_if_all_let_go(leat__group *group, leat__wakes *wakes)
{
    bool someone_waits = false;
    for (leat__seat *seat = group->seats; seat != NULL; seat = seat->next) {
        if (seat->state == LEAT__SEAT_REVOKING || seat->state == LEAT__SEAT_REVOKED)
            return;
        if (seat->state == LEAT__SEAT_JOINING)
            someone_waits = true;
    }
    if (!someone_waits)
        return;
    group->generation++;
    for (leat__seat *seat = group->seats; seat != NULL; seat = seat->next) {
        if (!takes_part(seat))
            continue;
        LEAT_ASSERT(seat->state == LEAT__SEAT_JOINING);
        seat->partition_count = 0;
        for (size_t i = 0; i < seat->topic_count; i++)
            assign_topic(seat, seat->topics[i]);
        seat->state = LEAT__SEAT_ASSIGNED;
        seat->generation = group->generation;
        leat__wakes_add(wakes, seat->waker);
    }
}

static void rebalance(leat__group *group, int64_t now_ms, leat__wakes *wakes)
{
    for (leat__seat *seat = group->seats; seat != NULL; seat = seat->next) {
        if (seat->state == LEAT__SEAT_OWNING) {
            seat->state = LEAT__SEAT_REVOKING;
            seat->ack_until_ms = now_ms + seat->timeout_ms;
            leat__wakes_add(wakes, seat->waker);
        } else if (seat->state == LEAT__SEAT_ASSIGNED) { /* not told yet: nothing to let go */
            seat->state = LEAT__SEAT_JOINING;
            seat->generation = 0;
        }
    }
    distribute_if_all_let_go(group, wakes);
}

/* A member that does not ack must not stop the others for ever. */
static void evict_the_late(leat__group *group, int64_t now_ms, leat__wakes *wakes)
{
    bool evicted = false;
    for (leat__seat *seat = group->seats; seat != NULL; seat = seat->next) {
        bool revoked = seat->state == LEAT__SEAT_REVOKING || seat->state == LEAT__SEAT_REVOKED;
        if (!revoked || seat->committing || now_ms < seat->ack_until_ms)
            continue;
        seat->state = LEAT__SEAT_LOST;
        seat->generation = 0;
        leat__wakes_add(wakes, seat->waker);
        evicted = true;
    }
    if (evicted)
        distribute_if_all_let_go(group, wakes);
}

/* ------------------------------------------------------------------ join, leave */

/* The newcomer has the same instance name: it gets what the former had, the former is fenced. */
static void take_place(leat__seat *seat, leat__seat *former, int64_t now_ms, leat__wakes *wakes)
{
    leat__seat_state was = former->state;
    former->state = LEAT__SEAT_FENCED;
    leat__wakes_add(wakes, former->waker);
    bool settled = was == LEAT__SEAT_OWNING || was == LEAT__SEAT_ASSIGNED;
    if (settled && same_topics(seat, former)) {
        seat->generation = former->generation;
        for (size_t i = 0; i < seat->topic_count; i++)
            assign_topic(seat, seat->topics[i]);
        seat->state = LEAT__SEAT_ASSIGNED;
    } else {
        rebalance(seat->group, now_ms, wakes);
    }
    former->generation = 0;
}

leat__seat *leat__group_join(leat__groups *groups, const leat_log_group *group,
                             const uint32_t *partition_counts, leat__wake_fn wake, void *arg,
                             int64_t now_ms, leat__wakes *wakes)
{
    leat__seat *seat = leat__calloc(1, sizeof *seat);
    seat->group = group_of(groups, group->group);
    seat->instance = leat__strdup(group->instance);
    seat->topics = leat__calloc(group->topic_count + 1, sizeof *seat->topics);
    for (size_t i = 0; i < group->topic_count; i++) {
        seat->topics[i] = leat__strdup(group->topics[i]);
        *size_of_topic(seat->group, group->topics[i]) = partition_counts[i];
    }
    seat->topic_count = group->topic_count;
    seat->timeout_ms = group->transaction_timeout_ms;
    seat->waker = leat__waker_new(wake, arg);
    leat__seat *former = leat__group_find(groups, group->group, group->instance);
    insert(seat);
    if (former != NULL)
        take_place(seat, former, now_ms, wakes);
    else
        rebalance(seat->group, now_ms, wakes);
    return seat;
}

leat__seat *leat__group_find(const leat__groups *groups, const char *group, const char *instance)
{
    for (const leat__group *each = groups->first; each != NULL; each = each->next) {
        if (strcmp(each->name, group) != 0)
            continue;
        for (leat__seat *seat = each->seats; seat != NULL; seat = seat->next)
            if (seat->state != LEAT__SEAT_FENCED && strcmp(seat->instance, instance) == 0)
                return seat;
    }
    return NULL;
}

leat__waker *leat__group_leave(leat__seat *seat, int64_t now_ms, leat__wakes *wakes)
{
    bool took_part = takes_part(seat);
    unlink_seat(seat);
    if (took_part)
        rebalance(seat->group, now_ms, wakes);
    leat__waker *waker = seat->waker;
    for (size_t i = 0; i < seat->topic_count; i++)
        leat__free(seat->topics[i]);
    leat__free(seat->topics);
    leat__free(seat->partitions);
    leat__free(seat->instance);
    leat__free(seat);
    return waker;
}

void leat__groups_free(leat__groups *groups)
{
    for (leat__group *group = groups->first, *next; group != NULL; group = next) {
        LEAT_ASSERT(group->seats == NULL);
        next = group->next;
        for (topic_size *size = group->topics, *after; size != NULL; size = after) {
            after = size->next;
            leat__free(size);
        }
        leat__free(group->name);
        leat__free(group);
    }
    groups->first = NULL;
}

/* ------------------------------------------------------------------ what a member asks */

static leat_status fenced(const leat__seat *seat, leat_error *error)
{
    return leat__fail(error, LEAT_EFENCED, LEAT_RECOVERY_FATAL, seat->group->name,
                      "instance '%.60s' of group '%.60s' has joined again elsewhere; this one must "
                      "end",
                      seat->instance, seat->group->name);
}

leat_status leat__group_poll(leat__seat *seat, int64_t now_ms, leat_log_event *event,
                             leat__wakes *wakes, leat_error *error)
{
    evict_the_late(seat->group, now_ms, wakes);
    if (seat->state == LEAT__SEAT_OUT) { /* it lives after all: back in */
        seat->state = LEAT__SEAT_JOINING;
        rebalance(seat->group, now_ms, wakes);
    }
    leat__waker_disarm(seat->waker);
    *event = (leat_log_event){.kind = LEAT_LOG_NOTHING,
                              .generation = seat->generation,
                              .partitions = seat->partitions,
                              .partition_count = seat->partition_count};
    switch (seat->state) {
    case LEAT__SEAT_FENCED:
        *event = (leat_log_event){.kind = LEAT_LOG_NOTHING};
        return fenced(seat, error);
    case LEAT__SEAT_ASSIGNED:
        event->kind = LEAT_LOG_ASSIGNED;
        seat->state = LEAT__SEAT_OWNING;
        break;
    case LEAT__SEAT_REVOKING:
        event->kind = LEAT_LOG_REVOKED;
        seat->state = LEAT__SEAT_REVOKED;
        break;
    case LEAT__SEAT_LOST:
        event->kind = LEAT_LOG_LOST;
        seat->state = LEAT__SEAT_OUT;
        break;
    default:
        *event = (leat_log_event){.kind = LEAT_LOG_NOTHING};
        leat__waker_arm(seat->waker);
        break;
    }
    return LEAT_OK;
}

void leat__group_ack(leat__seat *seat, leat__wakes *wakes)
{
    if (seat->state != LEAT__SEAT_REVOKING && seat->state != LEAT__SEAT_REVOKED)
        return;
    seat->state = LEAT__SEAT_JOINING;
    seat->generation = 0;
    seat->partition_count = 0;
    distribute_if_all_let_go(seat->group, wakes);
}

leat_status leat__group_check(const leat__seat *seat, int64_t generation, leat_error *error)
{
    if (seat->state == LEAT__SEAT_FENCED)
        return fenced(seat, error);
    if (generation > 0 && generation == seat->generation)
        return LEAT_OK;
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, seat->group->name,
                      "generation %" PRId64 " of group '%.60s' is no longer current for '%.60s': "
                      "the partitions were distributed anew; rewind",
                      generation, seat->group->name, seat->instance);
}

bool leat__group_owns(const leat__seat *seat, const char *topic, uint32_t partition)
{
    if (seat->generation == 0)
        return false;
    for (size_t i = 0; i < seat->partition_count; i++)
        if (seat->partitions[i].partition == partition &&
            strcmp(seat->partitions[i].topic, topic) == 0)
            return true;
    return false;
}

const char *leat__group_name(const leat__seat *seat)
{
    return seat->group->name;
}
