/* log/embedded/stage.h - records on their way into the log, encoded once.
 *
 *   stage ── topics[] ── parts_of[partition] ─► part: body [batch | batch | batch ....]
 *                                                     offsets come with the commit
 *
 * Used by one thread until it is submitted, then by the leader.
 */
#ifndef LEAT_LOG_EMBEDDED_STAGE_H
#define LEAT_LOG_EMBEDDED_STAGE_H
#include "log/embedded/store.h"

typedef struct stage_batch {
    size_t start; /* in body; it ends where the next starts */
    uint64_t count;
    int64_t max_timestamp_ms;
} stage_batch;

typedef struct stage_part {
    embedded_topic *topic; /* the stage holds the reference */
    uint32_t partition;
    leat__buffer body;
    stage_batch *batches;
    size_t batch_count, batch_capacity;
    int64_t count;             /* records; the offset of the next one if the first is 0 */
    int64_t last_timestamp_ms; /* of the open batch */
    int64_t first;             /* given by the leader */
} stage_part;

typedef struct stage_topic {
    embedded_topic *topic;
    uint32_t *parts_of; /* by partition: index in parts + 1; 0: none */
} stage_topic;

struct embedded_stage {
    embedded_stage *next; /* in the log's list of spare ones */
    stage_topic *topics;
    size_t topic_count, topic_capacity, last_topic;
    stage_part *parts; /* those behind part_count keep their buffers for later */
    size_t part_count, part_capacity;
    size_t bytes;
};

embedded_stage *leat__stage_take(embedded_log *log);
void leat__stage_give(embedded_log *log, embedded_stage *stage); /* drops what is in it */
void leat__stage_free_all(embedded_stage *list);
/* Finds or enters the topic; valid until the next call of stage_*. */
leat_status leat__stage_topic(embedded_log *log, embedded_stage *stage, const char *name,
                              stage_topic **topic, leat_error *error);
/* All or nothing. With relative: partition and the offset within the part are written back. */
leat_status leat__stage_add(embedded_log *log, embedded_stage *stage,
                            const leat_log_record *records, size_t count, leat_log_record *relative,
                            leat_error *error);
/* The leader: gives offsets and adds everything to the batch; LEAT_ENOTFOUND if a topic has gone.
 */
leat_status leat__stage_write(embedded_log *log, embedded_stage *stage, rocksdb_writebatch_t *batch,
                              leat_error *error);
/* The leader, after the sync: readers see the records. */
void leat__stage_publish(embedded_log *log, embedded_stage *stage, leat__wakes *wakes);
#endif
