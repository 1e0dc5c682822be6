/* leat/log.h - the log: partitioned, ordered, durable topics with transactions.
 *
 * The log is the truth: what must survive is a record in it, everything else can be rebuilt.
 * One contract, several drivers, one conformance suite (R29):
 *
 *     embedded:DIR      topics in a local RocksDB; an epoch is one synced write
 *     sim:NAME          in memory, driven from outside; the model is the specification
 *     kafka:HOST:PORT[,HOST:PORT...][?key=value&...]   a cluster (docs/kafka.md)
 *
 *        topic "clicks"                                  committed end
 *        partition 0   [0][1][2][3]...                        │
 *        partition 1   [0][1][C][3]...   C: removed by compaction or retention, offsets have gaps
 *                       ^begin              readers see committed records only, in offset order
 *
 * Threads: a leat_log may be used from any thread.  A reader, a member and a transaction belong to
 * one thread at a time; several readers and members may run at once, and a member may be polled
 * while another thread commits its transaction.
 *
 * Writes that fail: after a failed write or sync the log takes no more writes (R17), every later
 * writing call gives the same error; reading goes on. Close it, end the process, start again.
 *
 * wake callbacks (readers, members): called from any thread when a poll that found nothing may find
 * something now (kafka: or nothing); once per such poll. Must be quick and must not call into the
 * log; do not hold a lock that wake takes while calling into the log. leat_log_reader_free and
 * leat_log_leave wait for a running one and none comes after them. May be NULL.
 */
#ifndef LEAT_LOG_H
#define LEAT_LOG_H
#include <leat/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leat_log leat_log;
typedef struct leat_log_reader leat_log_reader;
typedef struct leat_log_member leat_log_member;
typedef struct leat_log_txn leat_log_txn;
typedef struct leat_log_offset leat_log_offset;

typedef struct leat_log_opts {
    bool read_only;  /* read while another process holds the log; writing calls give LEAT_EACCES */
    bool must_exist; /* LEAT_ENOTFOUND instead of creating a new, empty log */
    bool no_sync;    /* tests only: do not wait for the disk */
    /* embedded: if another process holds the log and a job runs in it, hand over to it, through
     * DIR/leat.socket (the same user, or root). Such a handle appends (at most 8 MiB and 65,536
     * records at once) and makes, describes and deletes topics, with what these promise; all else
     * is LEAT_EACCES. That process going away is LEAT_EUNREACHABLE: whether the last call was
     * carried out is not known then, and the handle is of no more use. */
    bool through_owner;
} leat_log_opts;

/* Opens (creates) the log named by url; opts may be NULL.  A log held for writing by another
 * process is LEAT_ELOCKED and the message names that process; damaged files are LEAT_ECORRUPT, a
 * format newer than this library LEAT_EVERSION (R26), a directory that may not be written
 * LEAT_EACCES.
 * read_only: sees what the writing process has written, whole transactions only, a few ms late. It
 * may see a transaction just before the writer has seen it synced. Its readers are not woken: poll.
 */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_open(leat_log **log, const char *url,
                                                   const leat_log_opts *opts, leat_error *error);
/* Every reader, member and transaction must be closed before. NULL is allowed. */
LEAT_API void leat_log_close(leat_log *log);

/* ------------------------------------------------------------------ topics */

typedef struct leat_topic_opts {
    uint32_t partition_count; /* 0: 1; at most 1024 */
    bool compacted;           /* keep the latest record of each key; records must have a key */
    int64_t retention_ms;     /* 0: for ever; else the oldest records may go once their timestamp
                                 is older than this */
    int64_t retention_bytes;  /* 0: no bound; per partition, oldest first; not with compacted */
    uint64_t id;              /* told by describe and each, not looked at by create: given when the
                                 topic is made, so one made again under the name has another.
                                 0: not known (kafka: librdkafka before 2.3, brokers before 2.8) */
} leat_topic_opts;

/* Compaction keeps a tombstone this long after it first met it, so that a reader that is behind
 * still sees it; a copy older than half of it must be built anew (R13). */
#define LEAT_LOG_TOMBSTONE_RETENTION_MS LEAT_HOURS(24)

/* Names: 1-249 of [a-zA-Z0-9._-], not "." or "..".  Existing topic: LEAT_EEXISTS. */
LEAT_API LEAT_MUST_CHECK leat_status leat_topic_create(leat_log *log, const char *topic,
                                                       const leat_topic_opts *opts,
                                                       leat_error *error);
/* *opts gets what the topic was created with. LEAT_ENOTFOUND names near misses. */
LEAT_API LEAT_MUST_CHECK leat_status leat_topic_describe(leat_log *log, const char *topic,
                                                         leat_topic_opts *opts, leat_error *error);
/* Its records and its committed offsets go too. Readers of it get LEAT_ENOTFOUND until they remove
 * it, also if another process deleted it: a topic created again under the name is another one, and
 * none of its records come to who reads the former. (kafka: if ids are known) */
LEAT_API LEAT_MUST_CHECK leat_status leat_topic_delete(leat_log *log, const char *topic,
                                                       leat_error *error);
/* Calls fn for each topic in name order; fn returns false to stop, and must not use the log. */
LEAT_API LEAT_MUST_CHECK leat_status leat_topic_each(leat_log *log,
                                                     bool (*fn)(void *arg, const char *topic,
                                                                const leat_topic_opts *opts),
                                                     void *arg, leat_error *error);
/* Committed bounds: *begin is the first offset that may still exist, *end one past the last
 * committed. *end never goes back, even when everything was cleaned away. kafka: *end also counts
 * what open and aborted transactions wrote (R5); a reader comes to it once they have ended. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_bounds(leat_log *log, const char *topic,
                                                     uint32_t partition, int64_t *begin,
                                                     int64_t *end, leat_error *error);
/* Applies retention and compaction now (drivers also do it by themselves in the background; kafka:
 * only so, when the brokers like). */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_clean(leat_log *log, leat_error *error);

/* Deletes the records below each offset, for topics whose readers are all past it; readers that are
 * not go on at the new beginning. What was below the beginning before is ignored. embedded: whole
 * batches go, so that *begin of the bounds may stay a little lower. A compacted topic, or an offset
 * past the end: LEAT_EINVAL; what came before it in the list may be deleted by then. Metadata is
 * not looked at. May block. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_trim(leat_log *log, const leat_log_offset *offsets,
                                                   size_t count, leat_error *error);

/* ------------------------------------------------------------------ records */

#define LEAT_PARTITION_BY_KEY UINT32_MAX /* murmur2(key) mod partitions; no key: round robin */
#define LEAT_OFFSET_BEGIN INT64_C(-2)
#define LEAT_OFFSET_END INT64_C(-1)

/* The partition of LEAT_PARTITION_BY_KEY, as Kafka's own client has it: where a generator whose
 * stream is partitioned_by a field has to put the key's records. key.data must not be NULL,
 * partition_count not 0. Any thread. */
LEAT_API uint32_t leat_partition_of(leat_str key, uint32_t partition_count);

typedef struct leat_log_record {
    const char *topic;
    uint32_t partition;
    int64_t offset;       /* written by the log */
    int64_t timestamp_ms; /* event time, given by the writer; kafka: not before 1970 */
    leat_str key;         /* data NULL: no key */
    leat_str value;       /* data NULL: tombstone */
} leat_log_record;

/* Appends outside any transaction; durable and visible when it returns, all or nothing.  Writes
 * each record's partition and offset back.  Key + value over 1 MiB: LEAT_ETOOBIG, nothing is
 * written. Concurrent callers share one disk sync. kafka: what can be known before is checked
 * before; a failure after that may leave a part of the records in the log; offset -1: it is
 * written, and the cluster did not say where. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_append(leat_log *log, leat_log_record *records,
                                                     size_t count, leat_error *error);

LEAT_API LEAT_MUST_CHECK leat_status leat_log_reader_new(leat_log *log, void (*wake)(void *arg),
                                                         void *arg, leat_log_reader **reader,
                                                         leat_error *error);
LEAT_API void leat_log_reader_free(leat_log_reader *reader);
/* Adds the partition or moves it; the next record polled from it is the first committed one at or
 * after offset (LEAT_OFFSET_BEGIN, LEAT_OFFSET_END). An offset past the end waits for it. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_reader_seek(leat_log_reader *reader,
                                                          const char *topic, uint32_t partition,
                                                          int64_t offset, leat_error *error);
LEAT_API void leat_log_reader_remove(leat_log_reader *reader, const char *topic,
                                     uint32_t partition);
/* Never blocks: up to max records, possibly of several partitions (fairly), in offset order per
 * partition; *count 0 if there is nothing.  Keys, values and topic names are lent until the next
 * poll, seek, remove or free of this reader. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_reader_poll(leat_log_reader *reader,
                                                          leat_log_record *records, size_t max,
                                                          size_t *count, leat_error *error);
/* The offset that the next poll of this partition continues at (past gaps it has seen). */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_reader_position(leat_log_reader *reader,
                                                              const char *topic, uint32_t partition,
                                                              int64_t *offset, leat_error *error);

/* ------------------------------------------------------------------ groups and transactions
 *
 *   join ─► ASSIGNED(generation, partitions) ─► begin ─ add ─ offsets ─ commit ─► begin ...
 *                 ▲                                 │ LEAT_EABORTED: nothing of it happened, rewind
 *                 └── REVOKED / LOST ◄──────────────┘ LEAT_EFENCED: a newer instance exists, exit
 *
 * Partition p of topics with equally many partitions goes to the same member, so that they can be
 * joined. A rebalance waits until each member that was told REVOKED has acked.
 */
/* What a commit promises. A driver may give more than is asked for (embedded and sim do). */
typedef enum leat_guarantee {
    LEAT_EXACTLY_ONCE = 0, /* records and offsets together, or not at all */
    LEAT_AT_LEAST_ONCE,    /* records, then offsets: after a crash records may come twice */
    LEAT_AT_MOST_ONCE,     /* offsets, then records: after a crash records may be missing */
} leat_guarantee;

typedef struct leat_log_group {
    const char *group;         /* the job's name: offsets are kept under it; spelt like a topic */
    const char *instance;      /* stable name of this process; joining again under it fences the
                                  former (R15) and takes its place */
    const char *const *topics; /* subscribed */
    size_t topic_count;
    int64_t transaction_timeout_ms; /* 0: 10 s. A driver may abort a transaction that is open for
                                       longer; a revocation not acked for so long is LOST */
    leat_guarantee guarantee;
} leat_log_group;

typedef struct leat_log_partition {
    const char *topic;
    uint32_t partition;
} leat_log_partition;

typedef enum leat_log_event_kind {
    LEAT_LOG_NOTHING = 0,
    LEAT_LOG_ASSIGNED, /* own these partitions from now on (all owned ones are listed) */
    LEAT_LOG_REVOKED,  /* all owned ones: finish or abort the running transaction, then call
                          leat_log_member_ack; an ASSIGNED follows */
    LEAT_LOG_LOST,     /* already taken away: abort without offsets; an ASSIGNED follows */
} leat_log_event_kind;

typedef struct leat_log_event {
    leat_log_event_kind kind;
    int64_t generation;                   /* R7: goes into leat_log_begin; > 0 with ASSIGNED */
    const leat_log_partition *partitions; /* lent until the next call on the member; by topic in
                                             the order of leat_log_group.topics, then partition */
    size_t partition_count;
} leat_log_event;

struct leat_log_offset {
    const char *topic;
    uint32_t partition;
    int64_t offset;    /* the next one to read; -1: none committed yet */
    leat_str metadata; /* up to 4096 bytes, given back as committed */
};

/* A missing topic is LEAT_ENOTFOUND. The first event is ASSIGNED, possibly of nothing, as soon as
 * the other members have acked. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_join(leat_log *log, const leat_log_group *group,
                                                   void (*wake)(void *arg), void *arg,
                                                   leat_log_member **member, leat_error *error);
/* Its partitions go to the others. A transaction still open can no longer commit (LEAT_EABORTED),
 * but leat_log_txn_commit or _abort must still be called to free it. NULL is allowed. */
LEAT_API void leat_log_leave(leat_log_member *member);
/* Never blocks; call it often (at least every second, wake or not): it also notices time-outs.
 * LEAT_EFENCED: a newer instance took this one's place. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_member_poll(leat_log_member *member,
                                                          leat_log_event *event, leat_error *error);
LEAT_API void leat_log_member_ack(leat_log_member *member); /* the revoked partitions are let go */
/* The committed offset of an owned partition (not owned: LEAT_EABORTED). metadata is lent until the
 * next call on the member. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_committed(leat_log_member *member, const char *topic,
                                                        uint32_t partition, leat_log_offset *offset,
                                                        leat_error *error);

/* One transaction at a time per member (a second one: LEAT_EINVAL). generation as captured when the
 * epoch opened; no longer current: LEAT_EABORTED (R7), here or in the commit. Between REVOKED and
 * the ack it still is current. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_begin(leat_log_member *member, int64_t generation,
                                                    leat_log_txn **txn, leat_error *error);
/* Buffers or sends records; they are copied. Invisible to every reader until the commit. An error
 * in one record: none of this call's is added, the transaction goes on. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_txn_add(leat_log_txn *txn,
                                                      const leat_log_record *records, size_t count,
                                                      leat_error *error);
/* The group's offsets, committed with the records; a later one for the same partition replaces. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_txn_offsets(leat_log_txn *txn,
                                                          const leat_log_offset *offsets,
                                                          size_t count, leat_error *error);
/* All or nothing, durable when it returns LEAT_OK. Frees txn in every case. May block: call it from
 * a thread of its own (R3). */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_txn_commit(leat_log_txn *txn, leat_error *error);
/* The same, and tells where the records went: after the commit and before it returns, written is
 * called in this thread for each partition that got records: they lie in [first, next), next is
 * one past the last of them; both are -1 if the cluster did not say where (kafka, a request that
 * was sent again). topic is lent for the call. written must not call the log. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_txn_commit_ex(
    leat_log_txn *txn,
    void (*written)(void *arg, const char *topic, uint32_t partition, int64_t first, int64_t next),
    void *arg, leat_error *error);
LEAT_API void leat_log_txn_abort(leat_log_txn *txn); /* NULL is allowed */

/* Committed offsets of any group, for tools: fn per (topic, partition), in that order; none for a
 * group that nobody knows. fn must not call into the log. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_group_offsets(
    leat_log *log, const char *group, bool (*fn)(void *arg, const leat_log_offset *offset),
    void *arg, leat_error *error);
/* Groups with committed offsets, in name order. */
LEAT_API LEAT_MUST_CHECK leat_status leat_log_group_each(leat_log *log,
                                                         bool (*fn)(void *arg, const char *group),
                                                         void *arg, leat_error *error);

#ifdef __cplusplus
}
#endif
#endif /* LEAT_LOG_H */
