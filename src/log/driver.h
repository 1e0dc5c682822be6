/* log/driver.h - what a log driver is: a table of functions, and the helpers all drivers share.
 *
 *     leat_log_append ──► log.c: arguments checked once ──► driver->append
 *                                                           ├── embedded/  RocksDB
 *                                                           ├── sim/       the model
 *                                                           └── kafka/     librdkafka
 *
 * A driver's objects begin with the base structs below.  A driver may rely on: no NULL arguments,
 * names well spelt, sizes within bounds, writing calls refused on a read-only log, offsets >= 0 in
 * transactions, partition numbers NOT checked against the topic (only the driver knows it).
 */
#ifndef LEAT_LOG_DRIVER_H
#define LEAT_LOG_DRIVER_H
#include "base/env.h"
#include "leat/log.h"

typedef struct leat__log_driver leat__log_driver;
typedef void (*leat__wake_fn)(void *arg);
typedef bool (*leat__topic_fn)(void *arg, const char *topic, const leat_topic_opts *opts);
typedef bool (*leat__offset_fn)(void *arg, const leat_log_offset *offset);
typedef bool (*leat__group_fn)(void *arg, const char *group);
typedef void (*leat__written_fn)(void *arg, const char *topic, uint32_t partition, int64_t first,
                                 int64_t next);
/* number: which of the transaction's records, in the order in which they were added */
typedef void (*leat__refused_fn)(void *arg, size_t number, const leat_error *error);

struct leat_log {
    const leat__log_driver *driver;
    bool read_only;
};
struct leat_log_reader {
    leat_log *log;
    uint64_t lost; /* offsets that retention took before they were read, since it was made */
};
struct leat_log_member {
    leat_log *log;
};
struct leat_log_txn {
    leat_log *log;
    /* told of records that the log has refused; NULL: nobody wants to know */
    leat__refused_fn refused;
    void *refused_arg;
};

/* What one record for a topic may be; a log would refuse for good what is beyond it. */
typedef struct leat__log_limits {
    bool needs_key;           /* the topic is compacted */
    size_t record_bytes;      /* key and value */
    int64_t timestamp_min_ms; /* an earlier one could not be read back */
    /* how far a timestamp may lie behind the clock, and ahead of it; INT64_MAX: any */
    int64_t behind_ms, ahead_ms;
    bool keeps_timestamps; /* false: they are read back as the time of the append */
} leat__log_limits;

struct leat__log_driver {
    const char *scheme;
    bool shared;         /* several processes may write to it at once: jobs exchange through it */
    bool offsets_expire; /* a group's offsets may go while its topics stay */
    /* what leat_job_opts.epoch_ms is by default: about as long as a commit takes; 0: 1 */
    int64_t epoch_ms;
    int64_t timestamp_min_ms; /* of a record; an earlier one is refused */
    leat_status (*open)(leat_log **log, const char *rest, const leat_log_opts *opts,
                        const leat_env *env, leat_error *error);
    void (*close)(leat_log *log);
    /* What buffers of a client that reads so many partitions may take (R28); NULL: nothing that
     * counts */
    size_t (*memory_bytes)(const leat_log *log, size_t partition_count);

    leat_status (*topic_create)(leat_log *log, const char *topic, const leat_topic_opts *opts,
                                leat_error *error);
    leat_status (*topic_describe)(leat_log *log, const char *topic, leat_topic_opts *opts,
                                  leat_error *error);
    /* NULL: what topic_describe says is all */
    leat_status (*topic_limits)(leat_log *log, const char *topic, leat__log_limits *limits,
                                leat_error *error);
    leat_status (*topic_delete)(leat_log *log, const char *topic, leat_error *error);
    leat_status (*topic_each)(leat_log *log, leat__topic_fn fn, void *arg, leat_error *error);
    leat_status (*bounds)(leat_log *log, const char *topic, uint32_t partition, int64_t *begin,
                          int64_t *end, leat_error *error);
    leat_status (*clean)(leat_log *log, leat_error *error);
    leat_status (*trim)(leat_log *log, const leat_log_offset *offsets, size_t count,
                        leat_error *error);
    leat_status (*append)(leat_log *log, leat_log_record *records, size_t count, leat_error *error);

    leat_status (*reader_new)(leat_log *log, leat__wake_fn wake, void *arg,
                              leat_log_reader **reader, leat_error *error);
    void (*reader_free)(leat_log_reader *reader);
    leat_status (*reader_seek)(leat_log_reader *reader, const char *topic, uint32_t partition,
                               int64_t offset, leat_error *error);
    void (*reader_remove)(leat_log_reader *reader, const char *topic, uint32_t partition);
    leat_status (*reader_poll)(leat_log_reader *reader, leat_log_record *records, size_t max,
                               size_t *count, leat_error *error);
    leat_status (*reader_position)(leat_log_reader *reader, const char *topic, uint32_t partition,
                                   int64_t *offset, leat_error *error);

    /* Of the topic that the reader reads, whatever has its name by now; 0: not known */
    uint64_t (*reader_topic_id)(leat_log_reader *reader, const char *topic, uint32_t partition);
    /* Where the partition ends as far as the reader knows, without a question to a server; NULL:
     * bounds tells at once */
    int64_t (*reader_end)(leat_log_reader *reader, const char *topic, uint32_t partition);
    /* Up to where it could be read now, which may be less: the rest belongs to transactions that
     * are not over. Asks a server; any thread, while nobody seeks. NULL: as reader_end */
    leat_status (*readable_end)(leat_log_reader *reader, const char *topic, uint32_t partition,
                                int64_t *end);

    leat_status (*join)(leat_log *log, const leat_log_group *group, leat__wake_fn wake, void *arg,
                        leat_log_member **member, leat_error *error);
    void (*leave)(leat_log_member *member);
    leat_status (*member_poll)(leat_log_member *member, leat_log_event *event, leat_error *error);
    void (*member_ack)(leat_log_member *member);
    leat_status (*committed)(leat_log_member *member, const char *topic, uint32_t partition,
                             leat_log_offset *offset, leat_error *error);
    leat_status (*begin)(leat_log_member *member, int64_t generation, leat_log_txn **txn,
                         leat_error *error);
    leat_status (*txn_add)(leat_log_txn *txn, const leat_log_record *records, size_t count,
                           leat_error *error);
    /* The same for records whose bytes stay where they are until the commit or abort has
     * returned; NULL: txn_add copies them. */
    leat_status (*txn_lend)(leat_log_txn *txn, const leat_log_record *records, size_t count,
                            leat_error *error);
    leat_status (*txn_offsets)(leat_log_txn *txn, const leat_log_offset *offsets, size_t count,
                               leat_error *error);
    leat_status (*txn_commit)(leat_log_txn *txn, leat__written_fn written, void *arg,
                              leat_error *error);
    void (*txn_abort)(leat_log_txn *txn);
    leat_status (*group_offsets)(leat_log *log, const char *group, leat__offset_fn fn, void *arg,
                                 leat_error *error);
    leat_status (*group_each)(leat_log *log, leat__group_fn fn, void *arg, leat_error *error);
    /* All that the group has committed; one that nobody knows is none. NULL: not by this handle */
    leat_status (*group_forget)(leat_log *log, const char *group, leat_error *error);
    /* NULL: who holds the log for writing is its only process */
    leat_status (*group_members)(leat_log *log, const char *group, size_t *count,
                                 leat_error *error);
};

extern const leat__log_driver leat__embedded_driver;
extern const leat__log_driver leat__sim_driver;
extern const leat__log_driver leat__kafka_driver;

/* leat_log_open with a clock of the caller's: the simulator, and tests of retention. env is
 * borrowed until the close; NULL: the system's. */
leat_status leat__log_open_env(leat_log **log, const char *url, const leat_log_opts *opts,
                               const leat_env *env, leat_error *error);
/* May several processes hold the log for writing at once? A url that names no log: no. */
bool leat__log_is_shared(const leat_log *log);
bool leat__log_url_is_shared(const char *url);
/* How many processes are in the group now, of a log that several may hold; else none but the
 * caller could be: 0. May block. */
leat_status leat__log_group_members(leat_log *log, const char *group, size_t *count,
                                    leat_error *error);
/* Deletes all that the group has committed. LEAT_ELOCKED: it has members. */
leat_status leat__log_group_forget(leat_log *log, const char *group, leat_error *error);
int64_t leat__log_epoch_ms(const leat_log *log); /* > 0 */
bool leat__log_offsets_expire(const leat_log *log);
/* R28: what its buffers may take while so many partitions are read. */
size_t leat__log_memory_bytes(const leat_log *log, size_t partition_count);
/* leat_topic_opts.id of the topic that the reader has the partition of; 0: not known. */
uint64_t leat__log_reader_topic_id(leat_log_reader *reader, const char *topic, uint32_t partition);
/* Where a partition that is read ends, as far as is known without asking a server; 0: not yet. */
int64_t leat__log_reader_end(leat_log_reader *reader, const char *topic, uint32_t partition);
/* Where what can be read of it ends now; may ask a server. */
leat_status leat__log_readable_end(leat_log_reader *reader, const char *topic, uint32_t partition,
                                   int64_t *end);
/* leat_log_txn_add without the copy, where the driver can do without: what the records point to
 * must stay until the commit or the abort has returned. */
leat_status leat__log_txn_lend(leat_log_txn *txn, const leat_log_record *records, size_t count,
                               leat_error *error);
/* R19: who is told, during the commit and in its thread, of each record that the log has refused
 * for good: the commit fails then, and would fail again with the same record. */
void leat__log_txn_on_refused(leat_log_txn *txn, leat__refused_fn refused, void *arg);
/* What records of the topic may be. */
leat_status leat__log_topic_limits(leat_log *log, const char *topic, leat__log_limits *limits,
                                   leat_error *error);
/* Those that hold for every topic. */
leat__log_limits leat__log_no_limits(const leat_log *log);
/* May a log refuse a record for another reason than its size and a missing key? */
bool leat__log_may_refuse(const leat_log *log);
/* The earliest timestamp that can be read back. */
int64_t leat__log_timestamp_min_ms(const leat_log *log);
/* R19: LEAT_EINVAL or LEAT_ETOOBIG for a record that the log would refuse for good; where it goes
 * is not looked at. */
leat_status leat__log_check_limits(const leat_log_record *record, const leat__log_limits *limits,
                                   int64_t now_ms, leat_error *error);
/* Frees what "sim:NAME" holds, if all its handles are closed. */
void leat__sim_forget(const char *name);
/* What a sim handle's log holds, as a log of its own, and back again (log/sim/sim.h). */
struct leat__sim *leat__log_sim_snapshot(leat_log *log);
void leat__log_sim_restore(leat_log *log, const struct leat__sim *snapshot);
void leat__log_sim_snapshot_free(struct leat__sim *snapshot);

/* ------------------------------------------------------------------ helpers for drivers */

/* LEAT_ENOTFOUND for a topic, with up to three similar ones out of names. */
leat_status leat__log_unknown_topic(leat_error *error, const char *topic, const char *const *names,
                                    size_t name_count);
leat_status leat__log_topic_exists(leat_error *error, const char *topic);
leat_status leat__log_topic_deleted(leat_error *error, const char *topic);
leat_status leat__log_not_read(leat_error *error, const char *topic, uint32_t partition);
leat_status leat__log_not_owned(leat_error *error, const char *topic, uint32_t partition);
leat_status leat__log_txn_is_open(leat_error *error, const char *group);
leat_status leat__log_member_left(leat_error *error);
leat_status leat__log_bad_partition(leat_error *error, const char *topic, uint32_t partition,
                                    uint32_t partition_count);
/* LEAT_EINVAL if the topic has no such partition, or is compacted and the record has no key. */
leat_status leat__log_check_place(const leat_log_record *record, const leat_topic_opts *topic,
                                  leat_error *error);
/* LEAT_EINVAL if the topic has no such partition, is compacted, or does not reach so far. */
leat_status leat__log_check_trim(const leat_log_offset *offset, const leat_topic_opts *topic,
                                 int64_t end, leat_error *error);
/* For a topic that is made, the number-th of its log: never 0. */
uint64_t leat__log_new_topic_id(const leat_env *env, uint64_t number);
/* Where the checked record goes; *round_robin counts the records that are spread. */
uint32_t leat__log_place(const leat_log_record *record, const leat_topic_opts *topic,
                         uint32_t *round_robin);

/* A wake callback that several threads may want to call while its owner may go away.
 *
 *     poll finds nothing ── arm ──► [armed] ── fire: calls fn once ──► [idle]
 */
typedef struct leat__waker leat__waker;
leat__waker *leat__waker_new(leat__wake_fn wake, void *arg); /* one reference, the owner's */
void leat__waker_arm(leat__waker *waker);
void leat__waker_disarm(leat__waker *waker);
void leat__waker_close(leat__waker *waker); /* owner: waits for a running fn, gives it back */

/* Wakers to fire once the driver's locks are released. {0} is empty. */
typedef struct leat__wakes {
    leat__waker **wakers;
    size_t count, capacity;
} leat__wakes;
void leat__wakes_add(leat__wakes *wakes, leat__waker *waker); /* if armed; disarms */
void leat__wakes_fire(leat__wakes *wakes); /* with no lock held; empties, keeps the memory */
void leat__wakes_free(leat__wakes *wakes);
#endif
