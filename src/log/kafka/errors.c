/* log/kafka/errors.c - what librdkafka says, as what the caller can do about it.
 *
 *     code ─► {status, recovery, remedy}      log_cb ─► one line per kind and 30 s
 *
 * Connection failures repeat for as long as a broker is away; the first line says it, the rest only
 * count.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/log_line.h"
#include "log/kafka/kafka.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct known_code {
    rd_kafka_resp_err_t code;
    leat_status status;
    leat_recovery recovery;
    const char *remedy;
} known_code;

#define UNREACHABLE "is the broker running, and is the address right?"
#define RIGHTS "give this user the right on the cluster (kafka-acls)"
#define LATER "the cluster is busy with itself; try again"
#define REWIND "rewind to the last committed epoch"
#define NEWER "a newer instance has taken over; end this one"

static const known_code known[] = {
    {RD_KAFKA_RESP_ERR__TRANSPORT, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    {RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    /* asked of a broker that went away meanwhile; the next one asked is another */
    {RD_KAFKA_RESP_ERR__DESTROY_BROKER, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    {RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    {RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY, UNREACHABLE},
    {RD_KAFKA_RESP_ERR__RESOLVE, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY,
     "check the host's name and the name server"},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, LEAT_EACCES, LEAT_RECOVERY_FATAL,
     "check sasl.mechanism, sasl.username and sasl.password"},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, LEAT_EACCES, LEAT_RECOVERY_FATAL,
     "check sasl.mechanism, sasl.username and sasl.password"},
    {RD_KAFKA_RESP_ERR__SSL, LEAT_EACCES, LEAT_RECOVERY_FATAL,
     "check security.protocol, ssl.ca.location and the broker's certificate"},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, LEAT_EACCES, LEAT_RECOVERY_FATAL, RIGHTS},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, LEAT_EACCES, LEAT_RECOVERY_FATAL, RIGHTS},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, LEAT_EACCES, LEAT_RECOVERY_FATAL, RIGHTS},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, LEAT_EACCES, LEAT_RECOVERY_FATAL,
     RIGHTS},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL,
     "create it, or check the name"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL,
     "create it, or check the name"},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL,
     "it was deleted meanwhile"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL,
     "it was deleted meanwhile"},
    {RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, LEAT_EEXISTS, LEAT_RECOVERY_FATAL,
     "choose another name"},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL,
     "raise max.message.bytes of the topic"},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL,
     "raise segment.bytes of the topic"},
    {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "leat.replication may not be more than there are brokers"},
    {RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "choose another number of partitions"},
    {RD_KAFKA_RESP_ERR_INVALID_CONFIG, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "correct the topic's settings"},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "choose another name"},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "the cluster's policy forbids it"},
    {RD_KAFKA_RESP_ERR_INVALID_REQUEST, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "look at the broker's log"},
    {RD_KAFKA_RESP_ERR__INVALID_ARG, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "correct the settings"},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "raise message.timestamp.after.max.ms (and before) of the topic, or correct the timestamp"},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, LEAT_EDATA, LEAT_RECOVERY_FATAL,
     "look at what the topic demands of its records"},
    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL,
     "raise max.message.bytes of the topic"},
    {RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "choose a session.timeout.ms that the brokers allow (group.min.session.timeout.ms and max)"},
    {RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "raise transaction.max.timeout.ms of the brokers"},
    {RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "another program is in a group of this name; choose another name"},
    {RD_KAFKA_RESP_ERR_INVALID_GROUP_ID, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "choose another name"},
    {RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED, LEAT_EINVAL, LEAT_RECOVERY_FATAL,
     "raise group.max.size of the brokers, or start fewer processes"},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, LEAT_EFENCED, LEAT_RECOVERY_FATAL, NEWER},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, LEAT_EFENCED, LEAT_RECOVERY_FATAL, NEWER},
    {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, LEAT_EFENCED, LEAT_RECOVERY_FATAL, NEWER},
    {RD_KAFKA_RESP_ERR__FENCED, LEAT_EFENCED, LEAT_RECOVERY_FATAL, NEWER},
    {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR__STATE, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, LEAT_EABORTED, LEAT_RECOVERY_RESTART, REWIND},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, LEAT_EVERSION, LEAT_RECOVERY_FATAL,
     "the broker is too old: use Kafka 2.5 or newer"},
    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, LEAT_EVERSION, LEAT_RECOVERY_FATAL,
     "the broker is too old: use Kafka 2.5 or newer"},
    /* of one broker; the next one that leads the partition has a disk of its own */
    {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, LEAT_EIO, LEAT_RECOVERY_RETRY,
     "look at the broker's disk and log"},
    {RD_KAFKA_RESP_ERR_INVALID_MSG, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, "look at the broker's log"},
    {RD_KAFKA_RESP_ERR__BAD_MSG, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, "look at the broker's log"},
    {RD_KAFKA_RESP_ERR__BAD_COMPRESSION, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL,
     "look at who wrote the record"},
    {RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED, LEAT_EVERSION, LEAT_RECOVERY_FATAL,
     "this librdkafka was built without it; `make setup` builds one with it"},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, LEAT_EAGAIN, LEAT_RECOVERY_RETRY,
     "fewer replicas than min.insync.replicas are alive; start the missing brokers"},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, LEAT_EAGAIN, LEAT_RECOVERY_RETRY,
     "fewer replicas than min.insync.replicas are alive; start the missing brokers"},
    {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR__QUEUE_FULL, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR__WAIT_COORD, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    /* a leader that was elected a moment ago: how far its followers are, it does not know yet */
    {RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_LISTENER_NOT_FOUND, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_NOT_CONTROLLER, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
    {RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, LATER},
};
static const known_code other = {RD_KAFKA_RESP_ERR_UNKNOWN, LEAT_ELOG, LEAT_RECOVERY_FATAL,
                                 "look at the broker's log"};

static const known_code *find(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code)
            return &known[i];
    return &other;
}

leat_status leat__kafka_status(rd_kafka_resp_err_t code, leat_recovery *recovery)
{
    const known_code *found = find(code);
    if (recovery != NULL)
        *recovery = found->recovery;
    return found->status;
}

leat_status leat__kafka_fail(leat_error *error, rd_kafka_resp_err_t code, const char *where,
                             const char *format, ...)
{
    const known_code *found = find(code);
    char what[260];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return leat__fail(error, found->status, found->recovery, where, "%s: %.100s; %s", what,
                      rd_kafka_err2str(code), found->remedy);
}

/* ---------------------------------------------------------------- log lines */

enum { KINDS = 16, LINE_INTERVAL_US = 30 * 1000 * 1000 };

static struct {
    pthread_mutex_t lock;
    struct {
        uint64_t facility;
        int64_t next_us; /* no line before */
        unsigned left_out;
    } kinds[KINDS];
    int quiet;
} lines = {.lock = PTHREAD_MUTEX_INITIALIZER};

void leat__kafka_quiet(int change)
{
    pthread_mutex_lock(&lines.lock);
    lines.quiet += change;
    pthread_mutex_unlock(&lines.lock);
}

static bool is_connection(const char *facility)
{
    return strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0 ||
           strcmp(facility, "SSL") == 0;
}

/* Whether this one may be written; *left_out: how many before it were not. */
static bool may_write(const char *facility, unsigned *left_out)
{
    const leat_env *env = leat__env_system();
    int64_t now_us = env->monotonic_us(env->arg);
    uint64_t hash = leat__hash64(facility, strlen(facility));
    size_t at = hash % KINDS;
    pthread_mutex_lock(&lines.lock);
    bool quiet = lines.quiet > 0 && is_connection(facility);
    bool due = lines.kinds[at].facility != hash || lines.kinds[at].next_us <= now_us;
    *left_out = 0;
    if (due && !quiet) {
        *left_out = lines.kinds[at].facility == hash ? lines.kinds[at].left_out : 0;
        lines.kinds[at].facility = hash;
        lines.kinds[at].next_us = now_us + LINE_INTERVAL_US;
        lines.kinds[at].left_out = 0;
    } else if (!quiet) {
        lines.kinds[at].left_out++;
    }
    pthread_mutex_unlock(&lines.lock);
    return due && !quiet;
}

void leat__kafka_log_line(const rd_kafka_t *handle, int level, const char *facility,
                          const char *text)
{
    (void)handle;
    /* settings for producers on a consumer and the other way round: all handles get all; and an id
     * that is asked for again, until whoever waits for it says that it does not come */
    bool minor = level > 6 || strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "GETPID") == 0;
    leat__log_level as = minor        ? LEAT__DEBUG
                         : level <= 3 ? LEAT__ERROR
                         : level <= 4 ? LEAT__WARN
                                      : LEAT__INFO;
    if (as == LEAT__ERROR && is_connection(facility))
        as = LEAT__WARN; /* it reconnects by itself; calls that fail say so */
    unsigned left_out = 0;
    if (!leat__log_enabled(as) || (as != LEAT__DEBUG && !may_write(facility, &left_out)))
        return;
    if (left_out > 0)
        leat__log_line(as, "kafka", "%s: %s (and %u more like it)", facility, text, left_out);
    else
        leat__log_line(as, "kafka", "%s: %s", facility, text);
}
