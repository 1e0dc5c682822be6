/* log/embedded/store.h - the embedded log: topics in one local RocksDB.  What its files share.
 *
 *     append ─┐                                     ┌─► ends published (atomics) ─► wakes
 *     append ─┼─► queue ─► leader: ONE synced batch ┤
 *     commit ─┘   write.c                           └─► leat.mark: last synced sequence number
 *
 *     reader ── position < end? ── iterator ─► batch copied ─► records lent
 *
 * On disk, in DIR, RocksDB's files and
 *     leat.owner   text: who holds the log for writing; an advisory lock is on the file
 *     leat.mark    0  8  "LEATMARK"
 *                  8  8  sequence number of the latest write that was surely synced (owner.c)
 *                  16 4  CRC32C of the above
 *
 * Keys (big endian numbers, so that they sort), values (little endian, varints: base/buffer.h):
 *     offset size
 *     'F'                                      format, once per database
 *         0    1   version of this table: 2 (R26: newer is refused); 1: topics had no id
 *     'I'                                      0  4  the next topic's number
 *     'T' name                                 a topic
 *         0    1   version 2
 *         1    4   its number
 *         5    4   partitions
 *         9    1   compacted
 *         10   8   retention_ms
 *         18   8   retention_bytes
 *         26   8   id (not in version 1: given when the log is opened for writing)
 *     'R' number(4) partition(4) last(8)       a batch of records up to the offset `last`: batch.h
 *     'P' number(4) partition(4)               what cleaning has done; absent: nothing yet
 *         0    1   version 1
 *         1    8   begin
 *         9    8   bytes that were before begin
 *         17   8   cleaned to (compaction)
 *         25   8   records that survived below there
 *         33   8   when the first tombstone below there may go, ms since 1970; 0: there is none
 *     'O' group 0 topic 0 partition(4)         a committed offset: 0 8 offset, 8 str metadata
 *     'S' group 0 instance 0                   0  8  how often the instance joined (R15)
 */
#ifndef LEAT_LOG_EMBEDDED_STORE_H
#define LEAT_LOG_EMBEDDED_STORE_H
#include "base/buffer.h"
#include "base/periodic.h"
#include "base/rocksdb_iterator.h"
#include "log/driver.h"
#include "log/embedded/batch.h"
#include "log/group.h"
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

enum {
    EMBEDDED_FORMAT = 2,
    EMBEDDED_BATCH_BYTES = 64 << 10,      /* records of one batch: what a reader copies at once */
    EMBEDDED_GROUP_BYTES = 8 << 20,       /* merged into one sync; a larger write goes alone */
    EMBEDDED_KEY_MAX = 1 + 250 + 250 + 4, /* 'O' */
    EMBEDDED_RECORD_KEY = 1 + 4 + 4 + 8,
};

typedef struct embedded_log embedded_log;
typedef struct embedded_reader embedded_reader;
typedef struct embedded_position embedded_position;

typedef struct embedded_tail { /* tail.c */
    pthread_mutex_t lock;
    char *bytes;
    size_t length;
    atomic_uint readers; /* positions of the partition */
} embedded_tail;

typedef struct embedded_partition {
    embedded_tail tail;
    _Atomic int64_t begin, end; /* committed; written by the leader (end) and the cleaner (begin) */
    int64_t next;               /* the leader's: the next offset to give */
    _Atomic int64_t bytes;      /* the leader's: all bytes ever appended */
    /* the cleaner's: */
    int64_t bytes_before_begin, cleaned_to, survivors, tombstones_until_ms;
    embedded_position *positions; /* of readers; under log->readers_lock */
} embedded_partition;

typedef struct embedded_topic {
    char *name;
    uint32_t number;
    leat_topic_opts opts;
    atomic_uint references; /* the table's, and one per user */
    atomic_bool deleted;
    atomic_uint round_robin;
    embedded_partition partitions[];
} embedded_topic;

typedef struct embedded_write embedded_write;
struct embedded_write { /* one caller's part of a group commit; lives on the caller's stack */
    /* Leader's thread. Adds to the batch, or refuses this part alone and adds nothing. */
    leat_status (*prepare)(embedded_write *write, rocksdb_writebatch_t *batch, leat_error *error);
    void (*publish)(embedded_write *write,
                    leat__wakes *wakes); /* leader's thread, after the sync */
    embedded_log *log;
    size_t bytes; /* about */
    leat_status status;
    leat_error error;
    bool done;
    pthread_cond_t wake;
    embedded_write *next;
};

typedef struct embedded_stage embedded_stage; /* stage.h */

struct embedded_log {
    leat_log base;
    char *dir;
    const leat_env *env;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table_options;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write_options;
    rocksdb_readoptions_t *read_options; /* for single gets and small scans */
    int owner_fd, mark_fd;               /* -1: none */
    bool no_sync;
    atomic_size_t tail_bytes;
    uint64_t acknowledged; /* leat.mark when it was opened; 0: unknown */

    pthread_rwlock_t topics_lock;
    embedded_topic **topics; /* by name */
    size_t topic_count;
    uint32_t next_topic; /* under meta_lock */

    pthread_mutex_t meta_lock; /* one change of topics at a time */

    pthread_mutex_t queue_lock;
    embedded_write *queue, **queue_tail;
    bool leading;
    rocksdb_writebatch_t *batch; /* the leader's */
    leat_error failure;          /* status != LEAT_OK: no more writes (R17) */
    embedded_stage *spare_stages;
    size_t spare_count;

    pthread_mutex_t readers_lock; /* partition->positions */

    pthread_mutex_t group_lock;
    pthread_cond_t commit_over; /* some seat->committing became false */
    leat__groups groups;

    pthread_mutex_t clean_lock; /* one cleaner at a time, and no topic goes away meanwhile */
    leat__periodic *cleaner;    /* NULL: none, as in a log that is only read */
    struct handover *handover;  /* NULL: nobody has joined yet; under clean_lock */
    atomic_bool closing;

    pthread_mutex_t follow_lock; /* read-only logs, follow.c */
    int64_t follow_next_us;
    unsigned follow_failures;
    int follow_lock_fd; /* of follow_dir, as long as it is used */
    char *follow_dir;
};

static inline embedded_log *embedded_of(leat_log *log)
{
    return (embedded_log *)log;
}

/* ---------------------------------------------------------------- keys.c */
size_t leat__embedded_key_topic(char *key, const char *name);
size_t leat__embedded_key_partition(char *key, uint32_t number, uint32_t partition);
size_t leat__embedded_key_record(char *key, uint32_t number, uint32_t partition, int64_t last);
size_t leat__embedded_key_offset(char *key, const char *group, const char *topic,
                                 uint32_t partition);
size_t leat__embedded_key_instance(char *key, const char *group, const char *instance);
int64_t leat__embedded_last_of_key(const char *key); /* of a record key */
void leat__embedded_encode_topic(leat__buffer *out, const embedded_topic *topic);
bool leat__embedded_decode_topic(leat_str value, uint32_t *number, leat_topic_opts *opts);
void leat__embedded_encode_partition(leat__buffer *out, const embedded_partition *partition,
                                     int64_t begin, int64_t bytes_before_begin);
bool leat__embedded_decode_partition(leat_str value, embedded_partition *partition);

/* ---------------------------------------------------------------- errors.c */
/* Turns RocksDB's message into a leat_error and frees it. */
leat_status leat__embedded_fail(const embedded_log *log, char *message, leat_error *error);
leat_status leat__embedded_corrupt(const embedded_log *log, leat_error *error, const char *what);
leat_status leat__embedded_errno(leat_error *error, const char *path, const char *doing, int code);

/* ---------------------------------------------------------------- owner.c */
leat_status leat__embedded_own(embedded_log *log, leat_error *error); /* LEAT_ELOCKED */
void leat__embedded_disown(embedded_log *log);
leat_status leat__embedded_mark_open(embedded_log *log, uint64_t *synced, leat_error *error);
void leat__embedded_mark(const embedded_log *log, uint64_t sequence);

/* ---------------------------------------------------------------- open.c */
leat_status leat__embedded_open(leat_log **out, const char *dir, const leat_log_opts *opts,
                                const leat_env *env, leat_error *error);
void leat__embedded_close(leat_log *log);

/* ---------------------------------------------------------------- topics.c */
leat_status leat__embedded_load_topics(embedded_log *log, leat_error *error);
/* Gives topics of format 1 their ids, and the log the format of today. */
leat_status leat__embedded_upgrade(embedded_log *log, leat_error *error);
leat_status leat__embedded_load_partition(embedded_log *log, embedded_topic *topic, uint32_t index,
                                          leat_error *error);
void leat__embedded_free_topics(embedded_log *log);
/* *topic is a reference of the caller's. */
leat_status leat__embedded_find(embedded_log *log, const char *name, embedded_topic **topic,
                                leat_error *error);
leat_status leat__embedded_find_partition(embedded_log *log, const char *name, uint32_t partition,
                                          embedded_topic **topic, leat_error *error);
void leat__embedded_release(embedded_topic *topic);
embedded_topic **leat__embedded_snapshot(embedded_log *log,
                                         size_t *count); /* references, leat__free */
leat_status leat__embedded_topic_create(leat_log *log, const char *name,
                                        const leat_topic_opts *opts, leat_error *error);
leat_status leat__embedded_topic_describe(leat_log *log, const char *name, leat_topic_opts *opts,
                                          leat_error *error);
leat_status leat__embedded_topic_delete(leat_log *log, const char *name, leat_error *error);
leat_status leat__embedded_topic_each(leat_log *log, leat__topic_fn fn, void *arg,
                                      leat_error *error);
leat_status leat__embedded_bounds(leat_log *log, const char *name, uint32_t partition,
                                  int64_t *begin, int64_t *end, leat_error *error);

/* ---------------------------------------------------------------- write.c */
leat_status leat__embedded_submit(embedded_log *log, embedded_write *write, leat_error *error);
/* A synced write beside the queue, for keys that no one else writes. */
leat_status leat__embedded_write_direct(embedded_log *log, rocksdb_writebatch_t *batch,
                                        leat_error *error);
leat_status leat__embedded_append(leat_log *log, leat_log_record *records, size_t count,
                                  leat_error *error);

/* ---------------------------------------------------------------- tail.c */
void leat__tail_init(embedded_tail *tail);
void leat__tail_free(embedded_tail *tail);
/* The leader: a batch about to be written; head and records are its value. */
void leat__tail_put(embedded_log *log, embedded_tail *tail, int64_t last, leat_str head,
                    leat_str records);
/* Copies the batch that holds the offset and lies below end; 0: it is not there. */
size_t leat__tail_get(embedded_tail *tail, int64_t offset, int64_t end, char *out, size_t room,
                      int64_t *last);
void leat__tail_clear(embedded_tail *tail); /* after compaction */

/* ---------------------------------------------------------------- reader.c */
leat_status leat__embedded_reader_new(leat_log *log, leat__wake_fn wake, void *arg,
                                      leat_log_reader **out, leat_error *error);
void leat__embedded_reader_free(leat_log_reader *reader);
leat_status leat__embedded_reader_seek(leat_log_reader *reader, const char *topic,
                                       uint32_t partition, int64_t offset, leat_error *error);
void leat__embedded_reader_remove(leat_log_reader *reader, const char *topic, uint32_t partition);
leat_status leat__embedded_reader_poll(leat_log_reader *reader, leat_log_record *records,
                                       size_t max, size_t *count, leat_error *error);
uint64_t leat__embedded_reader_topic_id(leat_log_reader *reader, const char *topic,
                                        uint32_t partition);
leat_status leat__embedded_reader_position(leat_log_reader *reader, const char *topic,
                                           uint32_t partition, int64_t *offset, leat_error *error);
/* The wakers of those who read the partition. */
void leat__embedded_collect(embedded_log *log, const embedded_partition *partition,
                            leat__wakes *wakes);

/* ---------------------------------------------------------------- members.c */
leat_status leat__embedded_join(leat_log *log, const leat_log_group *group, leat__wake_fn wake,
                                void *arg, leat_log_member **out, leat_error *error);
void leat__embedded_leave(leat_log_member *member);
leat_status leat__embedded_member_poll(leat_log_member *member, leat_log_event *event,
                                       leat_error *error);
void leat__embedded_member_ack(leat_log_member *member);
leat_status leat__embedded_committed(leat_log_member *member, const char *topic, uint32_t partition,
                                     leat_log_offset *offset, leat_error *error);
leat_status leat__embedded_begin(leat_log_member *member, int64_t generation, leat_log_txn **out,
                                 leat_error *error);
leat_status leat__embedded_txn_add(leat_log_txn *txn, const leat_log_record *records, size_t count,
                                   leat_error *error);
leat_status leat__embedded_txn_offsets(leat_log_txn *txn, const leat_log_offset *offsets,
                                       size_t count, leat_error *error);
leat_status leat__embedded_txn_commit(leat_log_txn *txn, leat__written_fn written, void *arg,
                                      leat_error *error);
void leat__embedded_txn_abort(leat_log_txn *txn);
leat_status leat__embedded_group_offsets(leat_log *log, const char *group, leat__offset_fn fn,
                                         void *arg, leat_error *error);
leat_status leat__embedded_group_forget(leat_log *log, const char *group, leat_error *error);
leat_status leat__embedded_group_each(leat_log *log, leat__group_fn fn, void *arg,
                                      leat_error *error);

/* ---------------------------------------------------------------- clean.c */
leat_status leat__embedded_clean(leat_log *log, leat_error *error);
leat_status leat__embedded_trim(leat_log *log, const leat_log_offset *offsets, size_t count,
                                leat_error *error);
void leat__embedded_cleaner_start(embedded_log *log);
void leat__embedded_cleaner_stop(embedded_log *log);
/* Calls fn for each batch with a last offset in [from, to); fn returns false to stop. */
leat_status leat__embedded_each_batch(embedded_log *log, const embedded_topic *topic,
                                      uint32_t index, int64_t from, int64_t to,
                                      bool (*fn)(void *arg, const leat__batch *batch), void *arg,
                                      leat_error *error);
/* compact.c: keeps the latest record of each key; forced: also where hardly anything is new. */
leat_status leat__embedded_compact(embedded_log *log, embedded_topic *topic, uint32_t index,
                                   bool forced, leat_error *error);

/* ---------------------------------------------------------------- follow.c */
leat_status leat__embedded_follow_open(embedded_log *log, leat_error *error);
void leat__embedded_follow_close(embedded_log *log);
/* Catches up with the writing process, at most every few ms; then loads topics and bounds anew. */
leat_status leat__embedded_follow(embedded_log *log, leat_error *error);
#endif
