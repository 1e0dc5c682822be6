/* log/kafka/producer.c - one incarnation of a member's producer, and the doubt about it (R1).
 *
 *   ready ─► [init_transactions: what an earlier incarnation left open is over] ─► begin ... end
 *     ▲                                                                              │
 *     └──────────── drop ◄── a request without an answer, a lost broker, an error ◄──┘
 *
 * The client resends a request whose answer is lost and says nothing of it; a late copy could end
 * the next transaction too early. A new incarnation has a higher producer epoch, so that the
 * broker refuses late copies. Nothing is ever aborted by request: a new incarnation does it, which
 * also spares the wait that an abort needs to be safe (R4).
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "log/kafka/member.h"
#include <inttypes.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 1000,
    INIT_TIMEOUT_MS = 10000,
    INIT_ATTEMPTS = 3,
    PURGE_TIMEOUT_MS = 1000,
    FENCE_TIMEOUT_MS = 5000
};

/* The requests that change a transaction: protocol numbers. */
static bool is_transactional(int16_t api_key)
{
    enum { PRODUCE = 0, ADD_PARTITIONS = 24, ADD_OFFSETS = 25, END = 26, COMMIT_OFFSETS = 28 };
    return api_key == PRODUCE || api_key == ADD_PARTITIONS || api_key == ADD_OFFSETS ||
           api_key == END || api_key == COMMIT_OFFSETS;
}

static rd_kafka_resp_err_t request_sent(rd_kafka_t *rk, int socket, const char *broker,
                                        int32_t broker_id, int16_t api_key, int16_t api_version,
                                        int32_t correlation_id, size_t bytes, void *arg)
{
    (void)rk, (void)socket, (void)broker, (void)broker_id, (void)api_version;
    (void)correlation_id, (void)bytes;
    kafka_producer *producer = arg;
    if (is_transactional(api_key))
        atomic_fetch_add(&producer->requests_sent, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The client reports an answer in the thread of the connection and, for most requests, again in
 * its main thread: only the first is counted. */
static _Thread_local bool is_connection_thread;

static rd_kafka_resp_err_t thread_started(rd_kafka_t *rk, rd_kafka_thread_type_t type,
                                          const char *name, void *arg)
{
    (void)rk, (void)name, (void)arg;
    is_connection_thread = type == RD_KAFKA_THREAD_BROKER;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Also called for a request that is given up: then code says why. */
static rd_kafka_resp_err_t answer_received(rd_kafka_t *rk, int socket, const char *broker,
                                           int32_t broker_id, int16_t api_key, int16_t api_version,
                                           int32_t correlation_id, size_t bytes,
                                           int64_t round_trip_us, rd_kafka_resp_err_t code,
                                           void *arg)
{
    (void)rk, (void)socket, (void)broker, (void)broker_id, (void)api_version;
    (void)correlation_id, (void)bytes, (void)round_trip_us;
    kafka_producer *producer = arg;
    if (is_connection_thread && is_transactional(api_key) && code == RD_KAFKA_RESP_ERR_NO_ERROR)
        atomic_fetch_add(&producer->requests_answered, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t broker_changed(rd_kafka_t *rk, int32_t broker_id, const char *protocol,
                                          const char *name, int port, const char *state, void *arg)
{
    (void)rk, (void)broker_id, (void)protocol, (void)name, (void)port;
    kafka_producer *producer = arg;
    if (strcmp(state, "DOWN") == 0 && atomic_load(&producer->in_transaction))
        atomic_store(&producer->broker_lost, true);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t watch(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg,
                                 char *reason, size_t reason_bytes)
{
    (void)conf;
    rd_kafka_resp_err_t code =
        rd_kafka_interceptor_add_on_thread_start(rk, "leat", thread_started, arg);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_interceptor_add_on_request_sent(rk, "leat", request_sent, arg);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_interceptor_add_on_response_received(rk, "leat", answer_received, arg);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_interceptor_add_on_broker_state_change(rk, "leat", broker_changed, arg);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        (void)snprintf(reason, reason_bytes, "requests cannot be counted (R1): %s",
                       rd_kafka_err2str(code));
    return code;
}

char *leat__kafka_transactional_id(const leat__kafka *log, const char *group, const char *instance)
{
    char name[LEAT__KAFKA_NAME_BYTES]; /* R25: '/' is in no name, so that no two pairs give the same
                                        */
    return leat__format("%s/%s", kafka_name(log, group, name), instance);
}

void leat__kafka_producer_begins(kafka_producer *producer)
{
    atomic_store(&producer->requests_sent, 0);
    atomic_store(&producer->requests_answered, 0);
    atomic_store(&producer->broker_lost, false);
    atomic_store(&producer->in_transaction, true);
}

void leat__kafka_producer_ends(kafka_producer *producer)
{
    atomic_store(&producer->in_transaction, false);
}

bool leat__kafka_producer_in_doubt(const kafka_producer *producer)
{
#ifdef LEAT_WITHOUT_R1 /* one test program only: tests/crash/kafka shows that R1 is needed */
    (void)producer;
    return false;
#endif
    return atomic_load(&producer->broker_lost) ||
           atomic_load(&producer->requests_sent) != atomic_load(&producer->requests_answered);
}

/* ------------------------------------------------------------------ making */

static leat_status producer_conf(kafka_member *member, rd_kafka_conf_t *conf, leat_error *error)
{
    char timeout[24];
    (void)snprintf(timeout, sizeof timeout, "%" PRId64, member->transaction_timeout_ms);
    const bool transactional = member->guarantee == LEAT_EXACTLY_ONCE;
    const struct {
        const char *key, *value;
        bool wanted;
    } settings[] = {
        {"transactional.id", member->transactional_id, transactional}, /* R25 */
        {"transaction.timeout.ms", timeout, transactional},
        {"message.timeout.ms", timeout, true}, /* not longer than the transaction */
        {"enable.idempotence", "true", true},
        {"acks", "all", true},
        /* a millisecond is over before the partitions are registered: one request for each */
        {"linger.ms", "1", true},
        {"batch.num.messages", "100000", true},
        {"queue.buffering.max.messages", "10000000", true},
        {"queue.buffering.max.kbytes", "2097151", true},
        {"socket.nagle.disable", "true", true},
        /* a refusal while the former transaction's markers are written is asked again at once */
        {"retry.backoff.ms", "1", true},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (!settings[i].wanted || leat__kafka_given(member->log, settings[i].key))
            continue;
        leat_status status = leat__kafka_set(conf, settings[i].key, settings[i].value, error);
        if (status != LEAT_OK)
            return status;
    }
    member->producer.batch_bytes = member->batch_bytes;
    leat_status status = leat__kafka_limit_batch(conf, &member->producer.batch_bytes, error);
    if (status != LEAT_OK)
        return status;
    rd_kafka_conf_set_opaque(conf, member);
    /* with a callback the commit's flush is woken by deliveries instead of looking every 10 ms */
    rd_kafka_conf_set_dr_msg_cb(conf, leat__kafka_delivered);
    (void)rd_kafka_conf_interceptor_add_on_new(conf, "leat", watch, &member->producer);
    return LEAT_OK;
}

static leat_status make(kafka_member *member, leat_error *error)
{
    rd_kafka_conf_t *conf;
    leat_status status = leat__kafka_conf(member->log, LEAT__KAFKA_TRANSACTION, &conf, error);
    if (status != LEAT_OK)
        return status;
    status = producer_conf(member, conf, error);
    if (status != LEAT_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    return leat__kafka_new(RD_KAFKA_PRODUCER, conf, &member->producer.rk, error);
}

/* Asked before the first connection is up, the client would wait 500 ms to ask again. */
static rd_kafka_error_t *init_transactions(rd_kafka_t *rk, int timeout_ms)
{
    (void)rd_kafka_controllerid(rk, CONNECT_TIMEOUT_MS);
    return rd_kafka_init_transactions(rk, timeout_ms);
}

/* Waits until every transaction of this transactional.id is decided, and raises its epoch. */
static leat_status decide_former(kafka_member *member, leat_error *error)
{
    for (int attempt = 1;; attempt++) {
        rd_kafka_error_t *failure = init_transactions(member->producer.rk, INIT_TIMEOUT_MS);
        if (failure == NULL)
            return LEAT_OK;
        rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
        bool again = rd_kafka_error_is_retriable(failure) && attempt < INIT_ATTEMPTS; /* R30 */
        leat_status status = LEAT_OK;
        if (code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED)
            status =
                leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, member->transactional_id,
                           "another process takes over the transactions of '%.80s'",
                           member->transactional_id); /* the group decides who goes on */
        else if (!again)
            status = leat__kafka_fail(error, code, member->transactional_id,
                                      "transactions of '%.80s' cannot be taken over: %.160s",
                                      member->transactional_id, rd_kafka_error_string(failure));
        rd_kafka_error_destroy(failure);
        if (status != LEAT_OK)
            return status;
        leat__log_line(LEAT__WARN, "kafka", "%s: the transaction coordinator does not answer yet",
                       member->transactional_id);
    }
}

leat_status leat__kafka_producer_ready(kafka_member *member, leat_error *error)
{
    if (atomic_load(&member->fenced)) /* R15: it must not fence the newer one in turn */
        return leat__kafka_fenced(member, error);
    if (member->producer.rk != NULL)
        return LEAT_OK;
    /* a process that wakes up after its name was given away must not stop the newer one */
    if (member->metadata != NULL && leat__kafka_is_fenced(member, 0)) {
        atomic_store(&member->fenced, true);
        return leat__kafka_fenced(member, error);
    }
    leat_status status = make(member, error);
    if (status == LEAT_OK && member->guarantee == LEAT_EXACTLY_ONCE)
        status = decide_former(member, error);
    if (status != LEAT_OK)
        leat__kafka_producer_drop(member);
    return status;
}

/* ------------------------------------------------------------------ another instance's */

static leat_status fence_conf(const kafka_member *member, rd_kafka_conf_t *conf, const char *id,
                              leat_error *error)
{
    char timeout[24];
    (void)snprintf(timeout, sizeof timeout, "%" PRId64, member->transaction_timeout_ms);
    leat_status status = leat__kafka_set(conf, "transactional.id", id, error);
    if (status == LEAT_OK)
        status = leat__kafka_set(conf, "transaction.timeout.ms", timeout, error);
    return status;
}

leat_status leat__kafka_fence(kafka_member *member, const char *instance, leat_error *error)
{
    char *id = leat__kafka_transactional_id(member->log, member->group, instance);
    rd_kafka_t *rk = NULL;
    rd_kafka_conf_t *conf;
    leat_status status = leat__kafka_conf(member->log, LEAT__KAFKA_TRANSACTION, &conf, error);
    if (status == LEAT_OK) {
        status = fence_conf(member, conf, id, error);
        if (status == LEAT_OK)
            status = leat__kafka_new(RD_KAFKA_PRODUCER, conf, &rk, error);
        else
            rd_kafka_conf_destroy(conf);
    }
    rd_kafka_error_t *failure = status == LEAT_OK ? init_transactions(rk, FENCE_TIMEOUT_MS) : NULL;
    if (failure != NULL) {
        status = leat__kafka_fail(error, rd_kafka_error_code(failure), id, "'%.80s': %.160s", id,
                                  rd_kafka_error_string(failure));
        rd_kafka_error_destroy(failure);
    }
    if (rk != NULL)
        rd_kafka_destroy(rk);
    leat__free(id);
    return status;
}

void leat__kafka_producer_drop(kafka_member *member)
{
    rd_kafka_t *rk = member->producer.rk;
    if (rk == NULL)
        return;
    for (size_t i = 0; i < member->target_count; i++)
        if (member->targets[i].topic != NULL) {
            rd_kafka_topic_destroy(member->targets[i].topic);
            member->targets[i].topic = NULL;
        }
    /* their delivery is reported now, while what they point to exists */
    (void)rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    (void)rd_kafka_flush(rk, PURGE_TIMEOUT_MS);
    rd_kafka_destroy(rk);
    member->producer.rk = NULL;
    leat__kafka_producer_ends(&member->producer);
}
