/* log/kafka/member.h - a member of a consumer group and its transactional producer.
 *
 *     kafka_member ── consumer   group protocol only: it is assigned partitions and fetches none
 *                  ├─ producer   one incarnation; destroyed and made again after any doubt (R1)
 *                  └─ txn        the open transaction: records staged in memory until the commit
 */
#ifndef LEAT_LOG_KAFKA_MEMBER_H
#define LEAT_LOG_KAFKA_MEMBER_H
#include "base/arena.h"
#include "log/kafka/kafka.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef struct kafka_member kafka_member;
typedef struct kafka_txn kafka_txn;

/* A topic that the member has written to. */
typedef struct kafka_target {
    char *name;
    leat_topic_opts opts;    /* as of transaction `checked` */
    uint64_t checked;        /* number of that transaction */
    rd_kafka_topic_t *topic; /* of the present producer; NULL: not made yet */
    uint32_t *part_of;       /* by partition: 1 + place in txn->parts, 0: none */
    uint32_t part_capacity;
} kafka_target;

typedef struct kafka_staged { /* one record; its bytes lie in the transaction's arena */
    uint32_t target, partition, part;
    int64_t timestamp_ms;
    leat_str key, value;
} kafka_staged;

typedef struct kafka_names { /* owned; {0} is empty */
    char **names;
    size_t count;
} kafka_names;

typedef struct kafka_producer {
    rd_kafka_t *rk;     /* NULL: to be made before the next transaction */
    size_t batch_bytes; /* it sends at most */
    /* R1: requests of transactions, counted by the client's threads */
    atomic_uint requests_sent, requests_answered;
    atomic_bool in_transaction, broker_lost;
} kafka_producer;

struct kafka_member {
    leat_log_member base;
    leat__kafka *log;
    char *group, *instance, *transactional_id;
    char **topics; /* subscribed, as the caller spells them */
    size_t topic_count;
    leat_guarantee guarantee;
    int64_t transaction_timeout_ms;
    rd_kafka_t *consumer; /* NULL: no topics, hence no group */
    rd_kafka_queue_t *queue;
    leat__waker *waker;
    bool waker_closed;

    /* touched by the thread that owns the member only */
    leat_log_partition *owned;
    size_t owned_count;
    rd_kafka_topic_partition_list_t *committed; /* of all owned ones; NULL: ask */
    leat_log_event pending;                     /* made by the rebalance callback */
    bool closing;
    bool rejoin; /* lost its place: a new consumer is to join, see rejoin.c */
    int64_t rejoin_after_us;
    /* owners.c: the generation in which nobody who is gone holds anything of ours any more, and the
     * instances that were members when it was last asked */
    int64_t settled;
    kafka_names seen;

    pthread_mutex_t lock; /* the rest is shared with the thread that commits */
    pthread_cond_t commit_over;
    _Atomic int64_t generation;                   /* 0: owns nothing */
    rd_kafka_consumer_group_metadata_t *metadata; /* R7: captured with the generation */
    char member_id[LEAT__KAFKA_NAME_BYTES * 2];   /* the last one that the group gave us */
    atomic_bool fenced;
    bool revoking, left, committing, offsets_moved;
    kafka_txn *txn;

    /* touched by who commits only */
    kafka_producer producer;
    kafka_target *targets;
    size_t target_count;
    size_t batch_bytes; /* the least that one of them takes */
    uint64_t txn_number;
    kafka_staged *spare_records; /* of the last transaction, for the next */
    size_t spare_capacity;
    uint32_t round_robin;
};

typedef struct kafka_part { /* what a partition got */
    uint32_t target, partition;
    int64_t first, next; /* -1, -1: unplaced */
    /* of a request that was sent again the broker may say that it had it, and not where it put it
     */
    bool unplaced;
    /* records that were refused, and that would not have been but for others of their batch */
    uint32_t refused, spared;
} kafka_part;

struct kafka_txn {
    leat_log_txn base;
    kafka_member *member;
    int64_t generation;
    leat__arena bytes;
    kafka_staged *records;
    size_t record_count, record_capacity;
    kafka_part *parts;
    size_t part_count, part_capacity;
    rd_kafka_topic_partition_list_t *offsets;
    /* delivery */
    size_t delivered;
    rd_kafka_resp_err_t delivery_code; /* of the first record that failed, if one was */
    size_t delivery_record;            /* refused by itself of that one; its number */
    rd_kafka_resp_err_t batch_code;    /* of the commit, which is that of a batch */
    size_t *refused;                   /* numbers of those, or of whole batches */
    size_t refused_count;
    int64_t began_us;
};

/* Has the user set it? Then it is not ours to set. */
static inline bool leat__kafka_given(const leat__kafka *log, const char *key)
{
    for (size_t i = 0; i < log->options.setting_count; i++)
        if (strcmp(log->options.settings[i].key, key) == 0)
            return true;
    return false;
}

/* The cluster's name of what the caller calls name: it has been checked to fit. */
static inline const char *kafka_name(const leat__kafka *log, const char *name,
                                     char out[LEAT__KAFKA_NAME_BYTES])
{
    return leat__kafka_name(log, name, out, NULL) == LEAT_OK ? out : "";
}

/* member.c */
/* A new consumer, which joins; on failure there is none, or one that has not. */
leat_status leat__kafka_join_group(kafka_member *member, leat_error *error);
/* Without leaving the group: a static member keeps its place until its session ends. */
void leat__kafka_drop_consumer(kafka_member *member);

/* rejoin.c */
/* Is a newer process known under this instance's name? Waits up to wait_ms for it to join. Any
 * thread. */
bool leat__kafka_is_fenced(kafka_member *member, int64_t wait_ms);
/* Joins again if it is time for that and nobody has taken the name; else LEAT_EFENCED. */
leat_status leat__kafka_rejoin(kafka_member *member, leat_error *error);
/* Adds the instances that are in the group; false: it is not known, or we are not one of them. */
bool leat__kafka_members_now(kafka_member *member, kafka_names *instances);

/* owners.c */
/* The committed offsets of the list's partitions once no transaction can change them (R5); what a
 * dead member left open is ended first. */
rd_kafka_resp_err_t leat__kafka_ask_stable(kafka_member *member,
                                           rd_kafka_topic_partition_list_t *list);
/* The metadata of an offset as it is kept: with the instance that wrote it, if there is room. *out
 * is for rd_kafka_topic_partition_list_t, which frees it; returns its length. */
size_t leat__kafka_sign(const kafka_member *member, leat_str text, void **out);
/* What the caller had given, and whose it is; both lie in metadata. */
leat_str leat__kafka_unsigned(const void *metadata, size_t length, leat_str *by);
void leat__kafka_add_name(kafka_names *names, leat_str name); /* if it is not there yet */
void leat__kafka_names_free(kafka_names *names);

/* member.c */
leat_status leat__kafka_fenced(const kafka_member *member, leat_error *error);
void leat__kafka_member_free(kafka_member *member);

/* producer.c */
/* R25; to be freed. */
char *leat__kafka_transactional_id(const leat__kafka *log, const char *group, const char *instance);
/* Makes sure that there is a producer whose former transactions are decided (R1, R5). May block,
 * bounded. */
leat_status leat__kafka_producer_ready(kafka_member *member, leat_error *error);
/* Drops it with all that is not committed; whoever makes the next one aborts its transaction. */
void leat__kafka_producer_drop(kafka_member *member);
/* Ends the open transaction of another instance, whose producer is refused from now on: only for
 * who is no member any more. */
leat_status leat__kafka_fence(kafka_member *member, const char *instance, leat_error *error);
/* R1: between begin and end, was a request sent that has no answer, or a broker lost? */
void leat__kafka_producer_begins(kafka_producer *producer);
bool leat__kafka_producer_in_doubt(const kafka_producer *producer);
void leat__kafka_producer_ends(kafka_producer *producer);

/* delivery.c */
/* A record of the running transaction has been written, or refused. */
void leat__kafka_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *member);
/* The broker has looked at the records and will never take one of them. */
bool leat__kafka_is_refusal(rd_kafka_resp_err_t code);
/* Hands all staged records to the producer; a failure is noted as a record's. */
rd_kafka_error_t *leat__kafka_produce(kafka_txn *txn);
/* Sees to a handle for each topic written to, and that the client knows where it lives. */
leat_status leat__kafka_targets_ready(kafka_txn *txn, leat_error *error);
#endif
