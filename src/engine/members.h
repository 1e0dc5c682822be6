/* engine/members.h - which process of a job owns which partitions, told through a topic.
 *
 *   process A   tell ─► JOB-members  [A: gen 4, clicks 0 1, at 10.0.0.1:80]  ─┐
 *   process B   tell ─►  (compacted)  [B: gen 4, clicks 2 3, at 10.0.0.2:80]  ─┼─► each follows all
 *   process C   tell ─►               [C: tombstone, it has left]             ─┘   of it
 *
 * The topic decides nothing: who owns a partition is decided by the consumer group alone. It only
 * says where to ask, and may be a moment behind; who is asked in vain says so.
 *
 * Value (docs/formats.md), numbers little endian; the key is the instance:
 *
 *   offset size  field
 *        0    1  format, 1 (R26)
 *        1    1  state: 0 restoring, 1 ready
 *        2    8  incarnation of the process
 *       10    8  generation of the assignment
 *       18    …  str instance, str address
 *             …  varint number of topics; each: str topic, varint count, varint partition each,
 *                ascending
 */
#ifndef LEAT_ENGINE_MEMBERS_H
#define LEAT_ENGINE_MEMBERS_H
#include "base/arena.h"
#include "base/buffer.h"
#include "engine/run.h"

typedef enum leat__member_state {
    LEAT__MEMBER_RESTORING = 0,
    LEAT__MEMBER_READY = 1,
} leat__member_state;

typedef struct leat__member_topic {
    const char *topic;
    uint32_t *partitions; /* ascending */
    size_t count;
} leat__member_topic;

typedef struct leat__member { /* one entry; all of it in its arena */
    leat__arena arena;
    leat__member_state state;
    uint64_t incarnation;
    int64_t generation;
    const char *instance, *address;
    leat__member_topic *topics;
    size_t topic_count;
} leat__member;

/* ------------------------------------------------------------------ member_entry.c */
leat__member leat__member_make(const char *instance, const char *address);
void leat__member_free(leat__member *member);
void leat__member_set_owned(leat__member *member, const leat_log_partition *owned, size_t count);
bool leat__member_owns(const leat__member *member, const char *topic, uint32_t partition);
void leat__member_encode(const leat__member *member, leat__buffer *value);
/* *member must be freed if it is LEAT_OK; LEAT_EVERSION, LEAT_EDATA. */
leat_status leat__member_decode(leat_str value, leat__member *member, leat_error *error);

/* ------------------------------------------------------------------ members.c */
/* Makes the topic, reads it once, and follows it from then on; without an advertised address it
 * does nothing. */
leat_status leat__members_open(leat__run *run, const char *instance, leat_error *error);
void leat__members_close(leat__run *run); /* a clean end leaves a tombstone */
/* What the process has been assigned, and whether its state is there; the coordinator's thread. */
void leat__members_tell(leat__run *run, leat__member_state state);
bool leat__members_step(leat__run *run); /* instead of its thread, while stepping */
/* Fills owner->kind and, if found, the rest. */
void leat__members_find(leat__run *run, const char *topic, uint32_t partition, leat_owner *owner);
void leat__members_report(leat__run *run, const leat_owner *owner, bool answered);
#endif
