/* log/kafka/kafka.h - the driver `kafka:HOST:PORT[,HOST:PORT...][?key=value&...]`.
 *
 *     options.c   the URL and the file ?config=FILE, into the cluster's address and settings
 *     open.c      librdkafka handles with those settings; is the cluster there?
 *     topics.c    what the cluster says about a topic, kept for a while; topic_id.c  which it is
 *     admin.c     create, delete, list; offsets of groups
 *     append.c    one idempotent producer per log      reader.c        what readers do
 *     member.c    group membership                     consumer.c      what readers share
 *     transaction.c   one producer per instance        owners.c        what dead members left open
 *
 *     leat__kafka ──┬── admin      read-uncommitted metadata and bounds; lives as long as the log
 *                   ├── producer   made by the first append
 *                   └── consumer   fetches for all readers; a second one only when two of them read
 *                                  the same partition (each costs connections and threads)
 *
 * Names: with ?leat.prefix=P every topic, group and transactional id is P + the caller's name on
 * the cluster; whatever does not begin with P does not exist for this log.
 */
#ifndef LEAT_LOG_KAFKA_KAFKA_H
#define LEAT_LOG_KAFKA_KAFKA_H
#include "log/driver.h"
#include "log/kafka/older.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    LEAT__KAFKA_NAME_BYTES = 250, /* a cluster's name of a topic and its NUL */
    LEAT__KAFKA_REASON_BYTES = 300,
    LEAT__KAFKA_BATCH_BYTES_MAX = 4 << 20, /* max.message.bytes of topics that we make */
};

/* ---------------------------------------------------------------- options.c */

typedef struct leat__kafka_setting { /* of librdkafka, passed through */
    char *key, *value;
    char *place; /* "kafka.properties:3" or "kafka URL": for messages */
} leat__kafka_setting;

typedef struct leat__kafka_options {
    char *servers; /* "HOST:PORT,HOST:PORT" */
    char *prefix;  /* "" without leat.prefix */
    leat__kafka_setting *settings;
    size_t setting_count;
    int replication;         /* leat.replication; -1: the broker's default */
    int min_insync_replicas; /* leat.min.insync.replicas; 0: the broker's default */
    int connect_timeout_ms;  /* leat.connect.timeout.ms: open and every administrative call */
    int append_timeout_ms;   /* leat.append.timeout.ms */
} leat__kafka_options;

/* rest: what follows "kafka:". default_file: read if the URL names none; may be NULL. */
leat_status leat__kafka_parse(const char *rest, const char *default_file,
                              leat__kafka_options *options, leat_error *error);
void leat__kafka_options_free(leat__kafka_options *options);
/* queued.max.messages.kbytes, unless the user sets it */
#define LEAT__KAFKA_READ_AHEAD_KIB "2048"
/* R28: what is read ahead, per partition, as leat or the user has set it. */
size_t leat__kafka_memory_bytes(const leat_log *log, size_t partition_count);

/* ---------------------------------------------------------------- open.c */

typedef struct leat__kafka_topic_entry leat__kafka_topic_entry; /* topics.c */
typedef struct leat__kafka_producer leat__kafka_producer;       /* append.c */
typedef struct leat__kafka_consumer leat__kafka_consumer;       /* reader.h */

typedef struct leat__kafka {
    leat_log base;
    const leat_env *env;
    leat__kafka_options options;
    rd_kafka_t *admin;

    pthread_mutex_t reason_lock; /* why the connection is not there: from librdkafka's callbacks */
    rd_kafka_resp_err_t reason_code;
    char reason[LEAT__KAFKA_REASON_BYTES];

    pthread_mutex_t topics_lock;
    leat__kafka_topic_entry *topics;
    size_t topic_count;

    pthread_rwlock_t producer_lock; /* read: append; write: making and dropping it */
    leat__kafka_producer *producer; /* NULL: none now */
    _Atomic size_t batch_bytes;     /* at most, of the topics that were appended to */
    _Atomic uint32_t round_robin;

    pthread_mutex_t consumers_lock;
    leat__kafka_consumer *consumers; /* shared by readers: consumer.c */
} leat__kafka;

static inline leat__kafka *leat__kafka_of(leat_log *log)
{
    return (leat__kafka *)log;
}

/* What a handle is for: which of our settings it gets. */
typedef enum leat__kafka_role {
    LEAT__KAFKA_ADMIN,
    LEAT__KAFKA_READER,
    LEAT__KAFKA_MEMBER,
    LEAT__KAFKA_TRANSACTION,
    LEAT__KAFKA_PRODUCER,
} leat__kafka_role;

/* A new conf: our settings for the role, then the user's on top. The opaque is free for the caller.
 * Goes into leat__kafka_new, or is destroyed by the caller. */
leat_status leat__kafka_conf(leat__kafka *log, leat__kafka_role role, rd_kafka_conf_t **conf,
                             leat_error *error);
leat_status leat__kafka_set(rd_kafka_conf_t *conf, const char *key, const char *value,
                            leat_error *error);
/* For settings that older versions of librdkafka do not know: unknown is fine. */
void leat__kafka_set_if_known(rd_kafka_conf_t *conf, const char *key, const char *value);
/* No batch of more than *bytes, which gets what is set: a topic may take less than the user or we
 * put into one, and all of it would be refused. */
leat_status leat__kafka_limit_batch(rd_kafka_conf_t *conf, size_t *bytes, leat_error *error);
/* rd_kafka_new, with its errors in our words; takes conf in every case. */
leat_status leat__kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **handle,
                            leat_error *error);

leat_status leat__kafka_open(leat_log **out, const char *rest, const leat_log_opts *opts,
                             const leat_env *env, leat_error *error);
void leat__kafka_close(leat_log *log);

/* The cluster's name; out has LEAT__KAFKA_NAME_BYTES. LEAT_EINVAL: too long with the prefix. */
leat_status leat__kafka_name(const leat__kafka *log, const char *name, char *out,
                             leat_error *error);
/* The caller's name, inside the cluster's; NULL: not one of this log. */
const char *leat__kafka_own_name(const leat__kafka *log, const char *cluster_name);
int64_t leat__kafka_now_us(const leat__kafka *log); /* monotonic */

/* ---------------------------------------------------------------- errors.c */

/* Turns the code into a status and a recovery; "WHAT: librdkafka's text; remedy". */
leat_status leat__kafka_fail(leat_error *error, rd_kafka_resp_err_t code, const char *where,
                             const char *format, ...) LEAT_PRINTF(4, 5);
leat_status leat__kafka_status(rd_kafka_resp_err_t code, leat_recovery *recovery);
/* librdkafka's log_cb: one line at most per kind of event and 30 s. */
void leat__kafka_log_line(const rd_kafka_t *handle, int level, const char *facility,
                          const char *text);
/* While > 0, connection failures are not logged: somebody will report them. */
void leat__kafka_quiet(int change);

/* ---------------------------------------------------------------- topics.c */

/* What the cluster said about it not long ago; opts may be NULL. LEAT_ENOTFOUND, always asked for
 * anew, names near misses. */
leat_status leat__kafka_topic(leat__kafka *log, const char *topic, leat_topic_opts *opts,
                              leat_error *error);
/* The same with what its records may be. */
leat_status leat__kafka_recall(leat__kafka *log, const char *topic, leat_topic_opts *opts,
                               leat__log_limits *limits, leat_error *error);
/* What all records of a batch may take together. */
size_t leat__kafka_batch_bytes(const leat__log_limits *limits);
/* The same, and the partition is one of it. */
leat_status leat__kafka_partition(leat__kafka *log, const char *topic, uint32_t partition,
                                  leat_error *error);
/* What is believed of the topic is forgotten after a call failed with `code`. The client says
 * "unknown" of a partition that has no leader just now, too, as after a broker stood still: unless
 * the brokers say that it is not there, the answer is "no leader", which passes (R30). */
rd_kafka_resp_err_t leat__kafka_look_for(leat__kafka *log, const char *topic, uint32_t partition,
                                         rd_kafka_resp_err_t code);
void leat__kafka_forget(leat__kafka *log, const char *topic); /* NULL: all */
leat_status leat__kafka_topic_describe(leat_log *log, const char *topic, leat_topic_opts *opts,
                                       leat_error *error);
/* The same as of a moment after after_us; *gone: there is none now. */
leat_status leat__kafka_topic_id(leat__kafka *log, const char *topic, int64_t after_us,
                                 uint64_t *id, bool *gone, leat_error *error);
leat_status leat__kafka_topic_limits(leat_log *log, const char *topic, leat__log_limits *limits,
                                     leat_error *error);
leat_status leat__kafka_topic_each(leat_log *log, leat__topic_fn fn, void *arg, leat_error *error);
/* Partitions of the topic, 0 if there is none; leaderless counts those without a leader. */
leat_status leat__kafka_ask(leat__kafka *log, const char *cluster_name, uint32_t *partition_count,
                            uint32_t *leaderless, leat_error *error);
/* Topics of the prefix, internal ones left out; names borrowed from *metadata. */
leat_status leat__kafka_list(leat__kafka *log, const rd_kafka_metadata_t **metadata,
                             const char ***names, size_t *count, leat_error *error);

/* ---------------------------------------------------------------- topic_id.c */

/* 0: the cluster or the client does not tell. gone: there is no such topic. */
leat_status leat__kafka_ask_id(leat__kafka *log, const char *cluster_name, uint64_t *id, bool *gone,
                               leat_error *error);

/* ---------------------------------------------------------------- admin.c */

leat_status leat__kafka_topic_create(leat_log *log, const char *topic, const leat_topic_opts *opts,
                                     leat_error *error);
leat_status leat__kafka_topic_delete(leat_log *log, const char *topic, leat_error *error);
leat_status leat__kafka_bounds(leat_log *log, const char *topic, uint32_t partition, int64_t *begin,
                               int64_t *end, leat_error *error);
/* Of the partition as the handle may see it. A leader that was just elected is asked again, for 5 s
 * and no longer than the log is waited for. */
rd_kafka_resp_err_t leat__kafka_ask_bounds(const leat__kafka *log, rd_kafka_t *handle,
                                           const char *name, uint32_t partition, int64_t *begin,
                                           int64_t *end);
leat_status leat__kafka_clean(leat_log *log, leat_error *error);
leat_status leat__kafka_trim(leat_log *log, const leat_log_offset *offsets, size_t count,
                             leat_error *error);
leat_status leat__kafka_group_offsets(leat_log *log, const char *group, leat__offset_fn fn,
                                      void *arg, leat_error *error);
leat_status leat__kafka_group_each(leat_log *log, leat__group_fn fn, void *arg, leat_error *error);
leat_status leat__kafka_group_forget(leat_log *log, const char *group, leat_error *error);
leat_status leat__kafka_group_members(leat_log *log, const char *group, size_t *count,
                                      leat_error *error);
/* What the group has committed for the list's partitions, also where a transaction may change it
 * yet; without waiting for that. Goes into the list. */
leat_status leat__kafka_offsets_as_they_are(leat__kafka *log, const char *group,
                                            rd_kafka_topic_partition_list_t *list, int timeout_ms,
                                            leat_error *error);

/* One administrative request and its answer, which the caller destroys. */
typedef void (*leat__kafka_request)(rd_kafka_t *handle, const void *what,
                                    rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue);
leat_status leat__kafka_administer(leat__kafka *log, rd_kafka_admin_op_t kind,
                                   leat__kafka_request send, const void *what,
                                   rd_kafka_event_t **event, leat_error *error);

/* ---------------------------------------------------------------- append.c */

leat_status leat__kafka_append(leat_log *log, leat_log_record *records, size_t count,
                               leat_error *error);
void leat__kafka_drop_producer(leat__kafka *log);
/* A record's timestamp as librdkafka wants it, and back: 0 would become "now" there, so that it
 * travels as Kafka's "no timestamp". */
static inline int64_t leat__kafka_timestamp(int64_t timestamp_ms)
{
    return timestamp_ms == 0 ? -1 : timestamp_ms;
}
static inline int64_t leat__kafka_own_timestamp(int64_t timestamp_ms)
{
    return timestamp_ms < 0 ? 0 : timestamp_ms;
}

/* ---------------------------------------------------------------- reader.c */

leat_status leat__kafka_reader_new(leat_log *log, leat__wake_fn wake, void *arg,
                                   leat_log_reader **reader, leat_error *error);
void leat__kafka_reader_free(leat_log_reader *reader);
leat_status leat__kafka_reader_seek(leat_log_reader *reader, const char *topic, uint32_t partition,
                                    int64_t offset, leat_error *error);
void leat__kafka_reader_remove(leat_log_reader *reader, const char *topic, uint32_t partition);
leat_status leat__kafka_reader_poll(leat_log_reader *reader, leat_log_record *records, size_t max,
                                    size_t *count, leat_error *error);
uint64_t leat__kafka_reader_topic_id(leat_log_reader *reader, const char *topic,
                                     uint32_t partition);
int64_t leat__kafka_reader_end(leat_log_reader *reader, const char *topic, uint32_t partition);
leat_status leat__kafka_readable_end(leat_log_reader *reader, const char *topic, uint32_t partition,
                                     int64_t *end);
leat_status leat__kafka_reader_position(leat_log_reader *reader, const char *topic,
                                        uint32_t partition, int64_t *offset, leat_error *error);

/* ---------------------------------------------------------------- member.c */

leat_status leat__kafka_join(leat_log *log, const leat_log_group *group, leat__wake_fn wake,
                             void *arg, leat_log_member **member, leat_error *error);
void leat__kafka_leave(leat_log_member *member);
leat_status leat__kafka_member_poll(leat_log_member *member, leat_log_event *event,
                                    leat_error *error);
void leat__kafka_member_ack(leat_log_member *member);
leat_status leat__kafka_committed(leat_log_member *member, const char *topic, uint32_t partition,
                                  leat_log_offset *offset, leat_error *error);

/* ---------------------------------------------------------------- transaction.c */

leat_status leat__kafka_begin(leat_log_member *member, int64_t generation, leat_log_txn **txn,
                              leat_error *error);
leat_status leat__kafka_txn_add(leat_log_txn *txn, const leat_log_record *records, size_t count,
                                leat_error *error);
leat_status leat__kafka_txn_lend(leat_log_txn *txn, const leat_log_record *records, size_t count,
                                 leat_error *error);
leat_status leat__kafka_txn_offsets(leat_log_txn *txn, const leat_log_offset *offsets, size_t count,
                                    leat_error *error);
leat_status leat__kafka_txn_commit(leat_log_txn *txn, leat__written_fn written, void *arg,
                                   leat_error *error);
void leat__kafka_txn_abort(leat_log_txn *txn);
#endif
