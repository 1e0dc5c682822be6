#include "base/mem.h"
#include "log/kafka/reader.h"
#include <stdio.h>
#include <string.h>

static bool reads(const leat__kafka_consumer *consumer, const leat__kafka_position *wanted)
{
    for (const leat__kafka_position *at = consumer->positions; at != NULL;
         at = at->next_of_consumer)
        if (at->partition == wanted->partition && strcmp(at->topic, wanted->topic) == 0)
            return true;
    return false;
}

/* Called before the client reads the answer; for most once more in its main thread. */
static rd_kafka_resp_err_t answer_received(rd_kafka_t *rk, int socket, const char *broker,
                                           int32_t broker_id, int16_t api_key, int16_t api_version,
                                           int32_t correlation_id, size_t bytes,
                                           int64_t round_trip_us, rd_kafka_resp_err_t code,
                                           void *arg)
{
    (void)rk, (void)socket, (void)broker, (void)broker_id, (void)api_version;
    (void)correlation_id, (void)bytes, (void)round_trip_us, (void)code;
    enum { METADATA = 3 }; /* of the protocol */
    leat__kafka_consumer *consumer = arg;
    if (api_key == METADATA)
        atomic_store(&consumer->metadata_us, leat__kafka_now_us(consumer->log));
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t watch(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg,
                                 char *reason, size_t reason_bytes)
{
    (void)conf;
    rd_kafka_resp_err_t code =
        rd_kafka_interceptor_add_on_response_received(rk, "leat", answer_received, arg);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        (void)snprintf(reason, reason_bytes, "metadata cannot be noticed: %s",
                       rd_kafka_err2str(code));
    return code;
}

static leat_status make(leat__kafka *log, leat__kafka_consumer **out, leat_error *error)
{
    rd_kafka_conf_t *conf;
    leat_status status = leat__kafka_conf(log, LEAT__KAFKA_READER, &conf, error);
    if (status != LEAT_OK)
        return status;
    leat__kafka_consumer *consumer = leat__calloc(1, sizeof *consumer);
    consumer->log = log;
    (void)rd_kafka_conf_interceptor_add_on_new(conf, "leat", watch, consumer);
    status = leat__kafka_new(RD_KAFKA_CONSUMER, conf, &consumer->handle, error);
    if (status != LEAT_OK) {
        leat__free(consumer);
        return status;
    }
    consumer->next = log->consumers;
    log->consumers = consumer;
    *out = consumer;
    return LEAT_OK;
}

leat_status leat__kafka_consumer_take(leat__kafka *log, leat__kafka_position *position,
                                      leat_error *error)
{
    pthread_mutex_lock(&log->consumers_lock);
    leat__kafka_consumer *consumer = log->consumers;
    while (consumer != NULL && (consumer->retired || reads(consumer, position)))
        consumer = consumer->next;
    leat_status status = consumer == NULL ? make(log, &consumer, error) : LEAT_OK;
    if (status == LEAT_OK) {
        position->consumer = consumer;
        position->next_of_consumer = consumer->positions;
        consumer->positions = position;
    }
    pthread_mutex_unlock(&log->consumers_lock);
    return status;
}

/* One without positions stays for the next reader, unless there is another such. */
static bool is_spare(const leat__kafka *log, const leat__kafka_consumer *consumer)
{
    if (consumer->positions != NULL)
        return false;
    if (consumer->retired)
        return true;
    for (const leat__kafka_consumer *at = log->consumers; at != NULL; at = at->next)
        if (at != consumer && !at->retired)
            return true;
    return false;
}

void leat__kafka_consumer_give(leat__kafka *log, leat__kafka_position *position)
{
    leat__kafka_consumer *consumer = position->consumer;
    pthread_mutex_lock(&log->consumers_lock);
    leat__kafka_position **at = &consumer->positions;
    while (*at != position)
        at = &(*at)->next_of_consumer;
    *at = position->next_of_consumer;
    bool spare = is_spare(log, consumer);
    if (spare) {
        leat__kafka_consumer **link = &log->consumers;
        while (*link != consumer)
            link = &(*link)->next;
        *link = consumer->next;
    }
    pthread_mutex_unlock(&log->consumers_lock);
    if (!spare)
        return;
    rd_kafka_destroy(consumer->handle);
    leat__free(consumer);
}

void leat__kafka_tell_readers(leat__kafka *log, const char *topic, uint64_t topic_id)
{
    leat__wakes wakes = {0};
    pthread_mutex_lock(&log->consumers_lock);
    for (leat__kafka_consumer *consumer = log->consumers; consumer != NULL;
         consumer = consumer->next) {
        consumer->retired = true;
        for (leat__kafka_position *at = consumer->positions; at != NULL;
             at = at->next_of_consumer) {
            bool other = topic_id != 0 && at->topic_id != 0 && at->topic_id != topic_id;
            if (other || strcmp(at->topic, topic) != 0)
                continue;
            atomic_store(&at->gone, true);
            leat__wakes_add(&wakes, at->reader->waker);
        }
    }
    pthread_mutex_unlock(&log->consumers_lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
}

void leat__kafka_drop_consumers(leat__kafka *log)
{
    while (log->consumers != NULL) {
        leat__kafka_consumer *consumer = log->consumers;
        log->consumers = consumer->next;
        rd_kafka_destroy(consumer->handle);
        leat__free(consumer);
    }
}
