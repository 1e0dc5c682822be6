/* engine/exchange.h - the exchange through the log: stages meet in a topic instead of a channel, so
 * that the job can run in any number of processes.
 *
 *   process A  task (stage 0, p 0) ─┐                           ┌─► task (stage 1, q 0)  process A
 *   process A  task (stage 0, p 1) ─┼─► JOB-STAGE-repartition ──┤
 *   process B  task (stage 0, p 2) ─┘   [d][d][T][d][T] ...     └─► task (stage 1, q 1)  process B
 *
 *   outlet: a sender's side           T: how far the sender's time is       inlet: the receiver's
 *   in the sender's transaction          after the epoch's data             with its position
 *
 * The topic is read by the job's own group, like a source. Time travels in line with the data: a
 * time record says what one sender promises, and the receiver's valve has an input for each sender
 * partition of every process (W3, W4). What the receiver has been told lies in the metadata of its
 * committed offset. Senders that start again tell how things stand anew.
 *
 * A union without a key whose inputs have as many partitions as itself needs no topic: partition p
 * of topics with equally many goes to one process.
 *
 * Values (docs/formats.md), numbers little endian; the key is the element's:
 *
 *   offset size  field
 *        0    1  format, 2 (R26); in format 1 nobody was stopped
 *        1    1  kind: 0 data, 1 time
 *   data 2    4  CRC32C of "FROM/OUTPUT>TO " and the type's layout
 *        6    …  zigzag event time; the record in binary
 *   time 2    4  CRC32C of the sending stage's name
 *        6    …  varint partition of the sender; u8 0 active, 1 idle, 2 ended, 3 stopped; zigzag
 *                watermark
 *
 * The log record's timestamp is the sender's epoch clock, not event time: a replay of old data must
 * not make the topic look old.
 */
#ifndef LEAT_ENGINE_EXCHANGE_H
#define LEAT_ENGINE_EXCHANGE_H
#include "engine/run.h"

enum leat__exchange_kind { LEAT__EXCHANGE_DATA = 0, LEAT__EXCHANGE_TIME = 1 };
/* ENDED: time has, too. STOPPED: nothing more in this run, time stays where it is (W5). */
enum leat__sender_state {
    LEAT__SENDER_ACTIVE,
    LEAT__SENDER_IDLE,
    LEAT__SENDER_ENDED,
    LEAT__SENDER_STOPPED
};
enum { LEAT__EXCHANGE_FORMAT = 2 };

typedef struct leat__sender_stage { /* one that feeds the topic */
    uint32_t stage, id, partition_count;
    bool forward; /* partition p to p mod P only */
    bool may_end; /* it has sources that do, in this run (W5) */
} leat__sender_stage;

typedef struct leat__former_id {
    uint32_t id, edge;
} leat__former_id;

/* The topic of one receiving stage. */
struct leat__repartition {
    leat__node node; /* what the source of a receiving task shows of itself: a log source */
    char *topic;
    uint32_t stage, partition_count;
    uint64_t topic_id;           /* as of the start; 0: not known */
    uint32_t *edge_ids;          /* by number of the edge; 0: leads elsewhere */
    leat__former_id *former_ids; /* of format 1, ascending */
    size_t former_count;
    leat__sender_stage *senders;
    size_t sender_count;
};

/* ------------------------------------------------------------------ exchange.c */
/* Which stages are fed through the log, and their topics: made if missing, checked if not. */
leat_status leat__repartitions_open(leat__run *run, leat_error *error);
void leat__repartitions_close(leat__run *run);
/* What comes to the stage comes through the log: also before its topic is open. */
bool leat__fed_through_log(const leat__run *run, uint32_t stage);
/* The edge that a record of this format was sent along; UINT32_MAX: one that the job has no more.
 */
uint32_t leat__edge_of(const leat__run *run, const leat__repartition *through, uint8_t format,
                       uint32_t id);
/* NULL: the stage has a source, or is fed in memory. */
const leat__repartition *leat__repartition_of(const leat__run *run, uint32_t stage);
/* The topic whose assigned partitions tell where the stage's tasks run; NULL: all of them here. */
const char *leat__home_topic(const leat__run *run, const leat__stage *stage);

/* ------------------------------------------------------------------ exchange_send.c */
/* Where an edge leaves the task; owned by the task. */
leat__outlet *leat__outlet_to(leat__task *task, const leat__repartition *to);
void leat__outlets_free(leat__task *task);
leat_status leat__outlet_deliver(void *delivery, const leat__element *element);
leat_status leat__outlet_check(void *delivery, const leat__element *element, bool large,
                               leat_error *error);
/* Opens an epoch if there is something to be told and it is time. */
void leat__outlets_look(leat__task *task);
/* At the end of an epoch, after its data. */
void leat__outlets_seal(leat__task *task);
int64_t leat__outlets_due_us(const leat__task *task); /* monotonic; INT64_MAX: nothing waits */

/* ------------------------------------------------------------------ exchange_receive.c */
leat__inlet *leat__inlet_new(const leat__repartition *from, uint32_t partition);
void leat__inlet_free(leat__inlet *inlet);
size_t leat__inlet_inputs(const leat__inlet *inlet); /* of its valve */
/* The metadata of the committed offset; copied. */
void leat__inlet_committed(leat__inlet *inlet, leat_str metadata);
leat_status leat__inlet_open(leat__task *task, leat_error *error);
bool leat__inlet_run(leat__task *task, size_t most); /* records at most */
/* What each sender has told so far, for the metadata of the offset. */
void leat__inlet_senders(const leat__task *task, leat__buffer *text);
#endif
