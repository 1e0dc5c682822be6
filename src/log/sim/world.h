/* log/sim/world.h - what the files of the sim driver share. Everything is guarded by sim->lock. */
#ifndef LEAT_LOG_SIM_WORLD_H
#define LEAT_LOG_SIM_WORLD_H
#include "base/arena.h"
#include "base/buffer.h"
#include "log/driver.h"
#include "log/group.h"
#include "log/sim/sim.h"
#include <pthread.h>

typedef struct sim_record {
    int64_t offset, timestamp_ms;
    leat_str key, value;        /* one block, that of key.data, or of value.data without a key */
    int64_t tombstone_until_ms; /* 0: the cleaner has not met it yet */
} sim_record;

typedef struct sim_partition {
    sim_record *records; /* by offset, with gaps */
    size_t count, capacity;
    int64_t begin, end;
} sim_partition;

typedef struct sim_topic {
    struct sim_topic *next; /* by name */
    char *name;
    leat_topic_opts opts;
    uint32_t round_robin;
    sim_partition *partitions;
    uint32_t references; /* the world's and one per reader position */
    bool deleted;
} sim_topic;

typedef struct sim_offset {
    struct sim_offset *next; /* by group, topic, partition */
    char *group, *topic;
    uint32_t partition;
    int64_t offset;
    char *metadata;
    size_t metadata_length;
} sim_offset;

typedef struct sim_position {
    sim_topic *topic;
    uint32_t partition;
    int64_t offset;
} sim_position;

typedef struct sim_reader {
    leat_log_reader base;
    struct sim_reader *next; /* all readers of the world, oldest first */
    leat__waker *waker;
    sim_position *positions;
    size_t count, turn; /* turn: who comes first in the next poll */
    leat__arena lent;
} sim_reader;

typedef struct sim_txn sim_txn;

struct leat__sim {
    pthread_mutex_t lock;
    const leat_env *env;
    leat__sim_hooks hooks;
    sim_topic *topics;
    uint64_t topics_made;
    sim_offset *offsets;
    sim_reader *readers;
    leat__groups groups;
    size_t handles;
    char *name; /* NULL: not in the registry */
    struct leat__sim *next;
};

typedef struct sim_log {
    leat_log base;
    leat__sim *sim;
} sim_log;

static inline leat__sim *sim_of(leat_log *log)
{
    return ((sim_log *)log)->sim;
}

/* topics.c */
leat_status leat__sim_topic_find(leat__sim *sim, const char *name, sim_topic **topic,
                                 leat_error *error);
leat_status leat__sim_partition_find(leat__sim *sim, const char *name, uint32_t partition,
                                     sim_topic **topic, leat_error *error);
void leat__sim_topic_release(sim_topic *topic);
size_t leat__sim_lower_bound(const sim_partition *partition, int64_t offset);
void leat__sim_partition_push(sim_partition *partition, leat_log_record *record);
void leat__sim_record_free(sim_record *record);
leat_status leat__sim_topic_create(leat_log *log, const char *name, const leat_topic_opts *opts,
                                   leat_error *error);
leat_status leat__sim_topic_describe(leat_log *log, const char *name, leat_topic_opts *opts,
                                     leat_error *error);
leat_status leat__sim_topic_delete(leat_log *log, const char *name, leat_error *error);
leat_status leat__sim_topic_each(leat_log *log, leat__topic_fn fn, void *arg, leat_error *error);
leat_status leat__sim_trim(leat_log *log, const leat_log_offset *offsets, size_t count,
                           leat_error *error);
leat_status leat__sim_bounds(leat_log *log, const char *name, uint32_t partition, int64_t *begin,
                             int64_t *end, leat_error *error);

/* clean.c */
leat_status leat__sim_clean(leat_log *log, leat_error *error);

/* reader.c */
void leat__sim_collect_wakes(leat__sim *sim, leat__wakes *wakes);
leat_status leat__sim_reader_new(leat_log *log, leat__wake_fn wake, void *arg,
                                 leat_log_reader **out, leat_error *error);
void leat__sim_reader_free(leat_log_reader *reader);
leat_status leat__sim_reader_seek(leat_log_reader *base, const char *topic, uint32_t partition,
                                  int64_t offset, leat_error *error);
void leat__sim_reader_remove(leat_log_reader *base, const char *topic, uint32_t partition);
leat_status leat__sim_reader_poll(leat_log_reader *base, leat_log_record *records, size_t max,
                                  size_t *count, leat_error *error);
uint64_t leat__sim_reader_topic_id(leat_log_reader *base, const char *topic, uint32_t partition);
leat_status leat__sim_reader_position(leat_log_reader *base, const char *topic, uint32_t partition,
                                      int64_t *offset, leat_error *error);

/* write.c */
leat_status leat__sim_append(leat_log *log, leat_log_record *records, size_t count,
                             leat_error *error);
leat_status leat__sim_begin(leat_log_member *base, int64_t generation, leat_log_txn **out,
                            leat_error *error);
leat_status leat__sim_txn_add(leat_log_txn *base, const leat_log_record *records, size_t count,
                              leat_error *error);
leat_status leat__sim_txn_offsets(leat_log_txn *base, const leat_log_offset *offsets, size_t count,
                                  leat_error *error);
leat_status leat__sim_txn_commit(leat_log_txn *base, leat__written_fn written, void *arg,
                                 leat_error *error);
void leat__sim_txn_abort(leat_log_txn *base);
void leat__sim_txn_orphan(sim_txn *txn); /* its member has left */

/* members.c */
typedef struct sim_member {
    leat_log_member base;
    leat__seat *seat;
    sim_txn *txn;          /* the running one */
    leat__buffer metadata; /* lent by committed */
} sim_member;
leat_status leat__sim_join(leat_log *log, const leat_log_group *group, leat__wake_fn wake,
                           void *arg, leat_log_member **out, leat_error *error);
void leat__sim_leave(leat_log_member *base);
leat_status leat__sim_member_poll(leat_log_member *base, leat_log_event *event, leat_error *error);
void leat__sim_member_ack(leat_log_member *base);
leat_status leat__sim_committed(leat_log_member *base, const char *topic, uint32_t partition,
                                leat_log_offset *offset, leat_error *error);
leat_status leat__sim_group_offsets(leat_log *log, const char *group, leat__offset_fn fn, void *arg,
                                    leat_error *error);
leat_status leat__sim_group_forget(leat_log *log, const char *group, leat_error *error);
leat_status leat__sim_group_each(leat_log *log, leat__group_fn fn, void *arg, leat_error *error);
void leat__sim_offset_set(leat__sim *sim, const char *group, const leat_log_offset *offset);
void leat__sim_offsets_forget_topic(leat__sim *sim, const char *topic);
void leat__sim_offset_free(sim_offset *offset);
#endif
