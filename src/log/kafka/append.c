/* log/kafka/append.c - appends outside transactions: one idempotent producer for the log.
 *
 *     thread A ─ check all ─ place ─ send ─┐                  ┌─ report of A's record: A counts
 * down thread B ─ check all ─ place ─ send ─┴─► producer ─ ... ┤ ▲             └─ report of B's
 * record one of the waiting threads polls it, for all of them
 *
 * Everything that can be known is checked before the first record is sent. What fails later (a
 * broker that does not answer) may leave a part of the append in the log: Kafka has no way to take
 * it back outside a transaction. Records are not copied: the caller's memory stays until all
 * reports are there, and each comes within leat.append.timeout.ms.
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/kafka/kafka.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { POLL_MS = 100 };

typedef struct topic_handle {
    char *topic; /* the caller's name */
    rd_kafka_topic_t *handle;
} topic_handle;

struct leat__kafka_producer {
    rd_kafka_t *handle;
    pthread_mutex_t lock;
    pthread_cond_t turn; /* the thread that polls has done so */
    bool polling;
    size_t batch_bytes;
    topic_handle *topics;
    size_t topic_count;
};

typedef struct call {
    atomic_size_t unreported;
    rd_kafka_resp_err_t code; /* of the first record that failed */
    leat_log_record *failed;
} call;

typedef struct slot { /* one record on its way */
    call *call;
    leat_log_record *record;
} slot;

/* ---------------------------------------------------------------- the producer */

/* In the thread that polls, one at a time. */
static void reported(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    (void)handle;
    (void)opaque;
    const slot *sent = message->_private;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        sent->record->partition = (uint32_t)message->partition;
        /* a repeated request is told that it was one, and not where the first had put it */
        sent->record->offset = message->offset < 0 ? -1 : message->offset;
    } else if (sent->call->code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        sent->call->code = message->err;
        sent->call->failed = sent->record;
    }
    atomic_fetch_sub(&sent->call->unreported, 1);
}

static leat_status make_producer(leat__kafka *log, leat_error *error)
{
    rd_kafka_conf_t *conf;
    leat_status status = leat__kafka_conf(log, LEAT__KAFKA_PRODUCER, &conf, error);
    if (status != LEAT_OK)
        return status;
    char timeout[16];
    snprintf(timeout, sizeof timeout, "%d", log->options.append_timeout_ms);
    size_t batch_bytes = atomic_load(&log->batch_bytes);
    status = leat__kafka_set(conf, "message.timeout.ms", timeout, error);
    if (status == LEAT_OK)
        status = leat__kafka_limit_batch(conf, &batch_bytes, error);
    if (status != LEAT_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, reported);
    rd_kafka_t *handle;
    status = leat__kafka_new(RD_KAFKA_PRODUCER, conf, &handle, error);
    if (status != LEAT_OK)
        return status;
    log->producer = leat__calloc(1, sizeof *log->producer);
    log->producer->handle = handle;
    log->producer->batch_bytes = batch_bytes;
    pthread_mutex_init(&log->producer->lock, NULL);
    pthread_cond_init(&log->producer->turn, NULL);
    return LEAT_OK;
}

void leat__kafka_drop_producer(leat__kafka *log)
{
    pthread_rwlock_wrlock(&log->producer_lock);
    leat__kafka_producer *producer = log->producer;
    log->producer = NULL;
    pthread_rwlock_unlock(&log->producer_lock);
    if (producer == NULL)
        return;
    for (size_t i = 0; i < producer->topic_count; i++) {
        rd_kafka_topic_destroy(producer->topics[i].handle);
        leat__free(producer->topics[i].topic);
    }
    rd_kafka_destroy(producer->handle);
    pthread_mutex_destroy(&producer->lock);
    pthread_cond_destroy(&producer->turn);
    leat__free(producer->topics);
    leat__free(producer);
}

/* Returns with producer_lock held for reading, if it succeeds. */
static leat_status hold_producer(leat__kafka *log, leat_error *error)
{
    pthread_rwlock_rdlock(&log->producer_lock);
    while (log->producer == NULL) {
        pthread_rwlock_unlock(&log->producer_lock);
        pthread_rwlock_wrlock(&log->producer_lock);
        leat_status status = log->producer == NULL ? make_producer(log, error) : LEAT_OK;
        pthread_rwlock_unlock(&log->producer_lock);
        if (status != LEAT_OK)
            return status;
        pthread_rwlock_rdlock(&log->producer_lock);
    }
    return LEAT_OK;
}

static rd_kafka_topic_t *handle_of(leat__kafka *log, const char *topic, leat_error *error)
{
    leat__kafka_producer *producer = log->producer;
    rd_kafka_topic_t *handle = NULL;
    pthread_mutex_lock(&producer->lock);
    for (size_t i = 0; i < producer->topic_count && handle == NULL; i++)
        if (strcmp(producer->topics[i].topic, topic) == 0)
            handle = producer->topics[i].handle;
    char name[LEAT__KAFKA_NAME_BYTES];
    if (handle == NULL && leat__kafka_name(log, topic, name, error) == LEAT_OK) {
        handle = rd_kafka_topic_new(producer->handle, name, NULL);
        if (handle == NULL) {
            leat__kafka_fail(error, rd_kafka_last_error(), topic, "topic '%.80s'", name);
        } else {
            producer->topics = leat__realloc(producer->topics, producer->topic_count + 1,
                                             sizeof *producer->topics);
            producer->topics[producer->topic_count++] = (topic_handle){leat__strdup(topic), handle};
        }
    }
    pthread_mutex_unlock(&producer->lock);
    return handle;
}

/* Until all of the call is reported, or at least one poll was made. */
static void serve(leat__kafka_producer *producer, call *waiting, bool once)
{
    pthread_mutex_lock(&producer->lock);
    while (atomic_load(&waiting->unreported) > 0) {
        if (producer->polling) {
            pthread_cond_wait(&producer->turn, &producer->lock);
        } else {
            producer->polling = true;
            pthread_mutex_unlock(&producer->lock);
            rd_kafka_poll(producer->handle, once ? POLL_MS / 10 : POLL_MS);
            pthread_mutex_lock(&producer->lock);
            producer->polling = false;
            pthread_cond_broadcast(&producer->turn);
        }
        if (once)
            break;
    }
    pthread_mutex_unlock(&producer->lock);
}

/* ---------------------------------------------------------------- append */

/* A topic takes smaller batches than those before: the next append gets a producer that keeps to
 * it. */
static void keep_to(leat__kafka *log, size_t batch_bytes)
{
    if (batch_bytes >= atomic_load(&log->batch_bytes))
        return;
    atomic_store(&log->batch_bytes, batch_bytes);
    pthread_rwlock_rdlock(&log->producer_lock);
    bool drop = log->producer != NULL && log->producer->batch_bytes > batch_bytes;
    pthread_rwlock_unlock(&log->producer_lock);
    if (drop)
        leat__kafka_drop_producer(log);
}

static leat_status check(leat__kafka *log, const leat_log_record *records, size_t count,
                         leat_error *error)
{
    leat_topic_opts opts;
    leat__log_limits limits;
    int64_t now_ms = log->env->now_ms(log->env->arg);
    for (size_t i = 0; i < count; i++) {
        bool same = i > 0 && (records[i].topic == records[i - 1].topic ||
                              strcmp(records[i].topic, records[i - 1].topic) == 0);
        leat_status status =
            same ? LEAT_OK : leat__kafka_recall(log, records[i].topic, &opts, &limits, error);
        if (status == LEAT_OK)
            status = leat__log_check_place(&records[i], &opts, error);
        if (status == LEAT_OK)
            status = leat__log_check_limits(&records[i], &limits, now_ms, error);
        if (status == LEAT_OK && !same)
            keep_to(log, leat__kafka_batch_bytes(&limits));
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static leat_status send_one(leat__kafka *log, rd_kafka_topic_t *handle, uint32_t partition,
                            slot *sent, leat_error *error)
{
    const leat_log_record *record = sent->record;
    void *key, *value; /* librdkafka takes them without const, and does not write */
    memcpy(&key, &record->key.data, sizeof key);
    memcpy(&value, &record->value.data, sizeof value);
    atomic_fetch_add(&sent->call->unreported, 1);
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = handle},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)partition},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {key, record->key.length}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value, record->value.length}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = leat__kafka_timestamp(record->timestamp_ms)},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = sent},
    };
    for (;;) {
        rd_kafka_error_t *failure =
            rd_kafka_produceva(log->producer->handle, parts, sizeof parts / sizeof *parts);
        rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
        if (failure != NULL)
            rd_kafka_error_destroy(failure);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return LEAT_OK;
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            atomic_fetch_sub(&sent->call->unreported, 1);
            return leat__kafka_fail(error, code, record->topic,
                                    "appending to '%.80s' partition %" PRIu32, record->topic,
                                    partition);
        }
        serve(log->producer, sent->call, true);
    }
}

static leat_status send_all(leat__kafka *log, slot *slots, size_t count, leat_error *error)
{
    leat_topic_opts opts = {0};
    rd_kafka_topic_t *handle = NULL;
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < count && status == LEAT_OK; i++) {
        const leat_log_record *record = slots[i].record;
        if (i == 0 || (record->topic != slots[i - 1].record->topic &&
                       strcmp(record->topic, slots[i - 1].record->topic) != 0)) {
            status = leat__kafka_topic(log, record->topic, &opts, error);
            handle = status == LEAT_OK ? handle_of(log, record->topic, error) : NULL;
            if (handle == NULL)
                return status == LEAT_OK ? LEAT_EINVAL : status;
        }
        uint32_t turn = 0;
        if (record->partition == LEAT_PARTITION_BY_KEY && record->key.data == NULL)
            turn = atomic_fetch_add(&log->round_robin, 1);
        status = send_one(log, handle, leat__log_place(record, &opts, &turn), &slots[i], error);
    }
    return status;
}

static leat_status failed(leat__kafka *log, const call *done, leat_error *error)
{
    const char *topic = done->failed->topic;
    rd_kafka_resp_err_t code = leat__kafka_look_for(log, topic, 0, done->code);
    if (leat__kafka_status(code, NULL) == LEAT_ENOTFOUND)
        return leat__log_topic_deleted(error, topic);
    return leat__kafka_fail(error, code, topic, "appending to '%.80s' on %.60s", topic,
                            log->options.servers);
}

leat_status leat__kafka_append(leat_log *base, leat_log_record *records, size_t count,
                               leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    leat_status status = check(log, records, count, error);
    if (status == LEAT_OK)
        status = hold_producer(log, error);
    if (status != LEAT_OK)
        return status;
    call made = {.code = RD_KAFKA_RESP_ERR_NO_ERROR};
    slot single, *slots = count == 1 ? &single : leat__alloc(count * sizeof *slots);
    for (size_t i = 0; i < count; i++)
        slots[i] = (slot){&made, &records[i]};
    status = send_all(log, slots, count, error);
    serve(log->producer, &made, false);
    char reason[LEAT__KAFKA_REASON_BYTES];
    bool fatal = rd_kafka_fatal_error(log->producer->handle, reason, sizeof reason) !=
                 RD_KAFKA_RESP_ERR_NO_ERROR;
    pthread_rwlock_unlock(&log->producer_lock);
    if (slots != &single)
        leat__free(slots);
    if (fatal) /* it takes no more; the next append gets a new one */
        leat__kafka_drop_producer(log);
    if (status == LEAT_OK && made.code != RD_KAFKA_RESP_ERR_NO_ERROR)
        status = failed(log, &made, error);
    return status;
}
