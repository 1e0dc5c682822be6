/* log/group.h - who owns which partitions: the group protocol of drivers whose members all live in
 * one process (embedded, sim).  Pure bookkeeping: no clock, no lock, no I/O; the driver holds a
 * lock around every call, passes the time in and fires the collected wakes after it.
 *
 *      join ─► JOINING ──── all others let go ────► ASSIGNED (to be told) ─poll─► OWNING
 *                 ▲                                                               │ someone joins
 *                 ├───── ack ◄── REVOKED ◄─poll── REVOKING (to be told) ◄─────────┘ or leaves
 *                 │                 │ not acked in time
 *                 └─poll─ OUT ◄─poll── LOST (to be told)        any ─► FENCED: instance joined
 * again
 *
 * A generation is one distribution of the partitions; each new one gets a higher number (R7).
 */
#ifndef LEAT_LOG_GROUP_H
#define LEAT_LOG_GROUP_H
#include "log/driver.h"

typedef enum leat__seat_state {
    LEAT__SEAT_JOINING,
    LEAT__SEAT_ASSIGNED,
    LEAT__SEAT_OWNING,
    LEAT__SEAT_REVOKING,
    LEAT__SEAT_REVOKED,
    LEAT__SEAT_LOST,
    LEAT__SEAT_OUT,
    LEAT__SEAT_FENCED,
} leat__seat_state;

typedef struct leat__group leat__group;
typedef struct leat__seat leat__seat;
typedef struct leat__groups {
    leat__group *first;
} leat__groups; /* {0} is empty */

struct leat__seat { /* one member's place in its group; read by drivers, changed by group.c */
    leat__group *group;
    leat__seat *next; /* in the group, by instance */
    char *instance;
    char **topics;
    size_t topic_count;
    int64_t timeout_ms;
    int64_t ack_until_ms; /* REVOKING, REVOKED: later it is LOST */
    leat__seat_state state;
    bool committing;    /* set by the driver: its partitions are not taken away meanwhile */
    int64_t generation; /* 0: owns nothing */
    leat_log_partition *partitions;
    size_t partition_count;
    leat__waker *waker;
};

/* partition_counts goes with group->topics. A seat of the same instance becomes FENCED (R15). */
leat__seat *leat__group_join(leat__groups *groups, const leat_log_group *group,
                             const uint32_t *partition_counts, leat__wake_fn wake, void *arg,
                             int64_t now_ms, leat__wakes *wakes);
/* The present seat of an instance, NULL if there is none. */
leat__seat *leat__group_find(const leat__groups *groups, const char *group, const char *instance);
/* Frees the seat. The waker is handed out: close it after the lock is released. */
leat__waker *leat__group_leave(leat__seat *seat, int64_t now_ms, leat__wakes *wakes);
leat_status leat__group_poll(leat__seat *seat, int64_t now_ms, leat_log_event *event,
                             leat__wakes *wakes, leat_error *error);
void leat__group_ack(leat__seat *seat, leat__wakes *wakes);
/* LEAT_OK if the seat may write under this generation (R7, R15). */
leat_status leat__group_check(const leat__seat *seat, int64_t generation, leat_error *error);
bool leat__group_owns(const leat__seat *seat, const char *topic, uint32_t partition);
const char *leat__group_name(const leat__seat *seat);
void leat__groups_free(leat__groups *groups); /* all seats have left */
#endif
