/* log/kafka/reader.c - what a reader does: see reader.h for what it is made of.
 *
 *     seek ─► [consumer fetches] ─► queue ─► poll: records lent ─► next poll: given back
 *                                    └─ PARTITION_EOF: the position moves past what is no record
 *
 * librdkafka's messages are lent as they are. What it fetched for a former position carries an old
 * version and is dropped by it. An offset that the partition does not have stops the fetching:
 * below the begin we go on there; past the end we fetch from the end and drop what was not asked
 * for.
 */
#include "log/kafka/reader.h"
#include "base/error.h"
#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

static leat__kafka_reader *reader_of(leat_log_reader *reader)
{
    return (leat__kafka_reader *)reader;
}

static leat__kafka *log_of(const leat__kafka_reader *reader)
{
    return leat__kafka_of(reader->base.log);
}

static leat__kafka_position *find(const leat__kafka_reader *reader, const char *topic,
                                  uint32_t partition)
{
    for (size_t i = 0; i < reader->position_count; i++)
        if (reader->positions[i]->partition == partition &&
            strcmp(reader->positions[i]->topic, topic) == 0)
            return reader->positions[i];
    return NULL;
}

static void give_back(leat__kafka_reader *reader)
{
    for (size_t i = 0; i < reader->lent_count; i++)
        rd_kafka_message_destroy(reader->lent[i]);
    reader->lent_count = 0;
}

/* ---------------------------------------------------------------- positions */

/* librdkafka's thread, under its lock of the queue. */
static void queue_filled(rd_kafka_t *handle, void *arg)
{
    (void)handle;
    leat__kafka_position *position = arg;
    atomic_store(&position->ready, true);
    leat__waker *room[1];
    leat__wakes wakes = {room, 0, 1};
    leat__wakes_add(&wakes, position->reader->waker);
    leat__wakes_fire(&wakes);
}

static leat_status start(leat__kafka_position *position, int64_t offset, leat_error *error)
{
    if (rd_kafka_consume_start_queue(position->handle, (int32_t)position->partition, offset,
                                     position->queue) == 0)
        return LEAT_OK;
    return leat__kafka_fail(error, rd_kafka_last_error(), position->topic,
                            "reading '%.80s' partition %" PRIu32, position->topic,
                            position->partition);
}

static void free_position(leat__kafka_position *position, bool started)
{
    if (position->queue != NULL) /* first: stopping fills the queue, for nobody */
        rd_kafka_queue_cb_event_enable(position->queue, NULL, NULL);
    if (position->handle != NULL && started)
        rd_kafka_consume_stop(position->handle, (int32_t)position->partition);
    if (position->queue != NULL)
        rd_kafka_queue_destroy(position->queue);
    if (position->handle != NULL)
        rd_kafka_topic_destroy(position->handle);
    if (position->consumer != NULL)
        leat__kafka_consumer_give(log_of(position->reader), position);
    leat__free(position->topic);
    leat__free(position);
}

static leat_status new_position(leat__kafka_reader *reader, const char *topic, uint64_t topic_id,
                                uint32_t partition, leat__kafka_position **out, leat_error *error)
{
    leat__kafka *log = log_of(reader);
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_status status = leat__kafka_name(log, topic, name, error);
    if (status != LEAT_OK)
        return status;
    leat__kafka_position *position = leat__calloc(1, sizeof *position);
    position->reader = reader;
    position->topic = leat__strdup(topic);
    position->topic_id = topic_id;
    position->partition = partition;
    status = leat__kafka_consumer_take(log, position, error);
    if (status == LEAT_OK) {
        position->handle = rd_kafka_topic_new(position->consumer->handle, name, NULL);
        if (position->handle == NULL)
            status = leat__kafka_fail(error, rd_kafka_last_error(), topic, "topic '%.80s'", name);
    }
    if (status != LEAT_OK) {
        free_position(position, false);
        return status;
    }
    position->queue = rd_kafka_queue_new(position->consumer->handle);
    rd_kafka_queue_cb_event_enable(position->queue, queue_filled, position);
    *out = position;
    return LEAT_OK;
}

static void remove_position(leat__kafka_reader *reader, leat__kafka_position *position)
{
    give_back(reader);
    size_t at = 0;
    while (reader->positions[at] != position)
        at++;
    reader->positions[at] = reader->positions[--reader->position_count];
    free_position(position, true);
}

/* BEGIN and END become offsets at once: what is appended after the seek is after END. */
static leat_status resolve(leat__kafka *log, leat__kafka_position *position, int64_t *offset,
                           leat_error *error)
{
    if (*offset >= 0)
        return LEAT_OK;
    int64_t begin, end; /* of the consumer: the last stable offset */
    rd_kafka_resp_err_t code = leat__kafka_ask_bounds(log, position->consumer->handle,
                                                      rd_kafka_topic_name(position->handle),
                                                      position->partition, &begin, &end);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return leat__kafka_fail(
            error, leat__kafka_look_for(log, position->topic, position->partition, code),
            position->topic, "%.60s: the bounds of '%.80s' partition %" PRIu32,
            log->options.servers, position->topic, position->partition);
    *offset = *offset == LEAT_OFFSET_BEGIN ? begin : end;
    return LEAT_OK;
}

/* ---------------------------------------------------------------- the calls */

leat_status leat__kafka_reader_new(leat_log *log, leat__wake_fn wake, void *arg,
                                   leat_log_reader **out, leat_error *error)
{
    (void)error;
    leat__kafka_reader *reader = leat__calloc(1, sizeof *reader);
    reader->base.log = log;
    reader->waker = leat__waker_new(wake, arg);
    *out = &reader->base;
    return LEAT_OK;
}

void leat__kafka_reader_free(leat_log_reader *base)
{
    leat__kafka_reader *reader = reader_of(base);
    while (reader->position_count > 0)
        remove_position(reader, reader->positions[0]);
    give_back(reader);
    leat__waker_close(reader->waker);
    leat__free(reader->positions);
    leat__free(reader->lent);
    leat__free(reader);
}

leat_status leat__kafka_reader_seek(leat_log_reader *base, const char *topic, uint32_t partition,
                                    int64_t offset, leat_error *error)
{
    leat__kafka_reader *reader = reader_of(base);
    leat__kafka *log = log_of(reader);
    give_back(reader);
    leat_topic_opts opts;
    leat_status status = leat__kafka_partition(log, topic, partition, error);
    if (status == LEAT_OK)
        status = leat__kafka_topic(log, topic, &opts, error);
    if (status != LEAT_OK)
        return status;
    leat__kafka_position *position = find(reader, topic, partition);
    if (position != NULL &&
        (atomic_load(&position->gone) || position->topic_id != opts.id)) { /* another topic */
        remove_position(reader, position);
        position = NULL;
    }
    if (position != NULL) {
        status = resolve(log, position, &offset, error);
        if (status != LEAT_OK)
            return status;
        position->next = offset;
        position->reached = 0;
        /* time-out 0: does not wait; what it finds wrong comes as a message, which poll mends */
        rd_kafka_seek(position->handle, (int32_t)partition, offset, 0);
        return LEAT_OK;
    }
    status = new_position(reader, topic, opts.id, partition, &position, error);
    if (status != LEAT_OK)
        return status;
    status = resolve(log, position, &offset, error);
    position->next = offset;
    if (status == LEAT_OK)
        status = start(position, offset, error);
    if (status != LEAT_OK) {
        free_position(position, false);
        return status;
    }
    reader->positions = leat__realloc(reader->positions, reader->position_count + 1,
                                      sizeof(leat__kafka_position *));
    reader->positions[reader->position_count++] = position;
    return LEAT_OK;
}

void leat__kafka_reader_remove(leat_log_reader *base, const char *topic, uint32_t partition)
{
    leat__kafka_position *position = find(reader_of(base), topic, partition);
    if (position != NULL)
        remove_position(reader_of(base), position);
}

leat_status leat__kafka_reader_position(leat_log_reader *base, const char *topic,
                                        uint32_t partition, int64_t *offset, leat_error *error)
{
    const leat__kafka_position *position = find(reader_of(base), topic, partition);
    if (position == NULL)
        return leat__log_not_read(error, topic, partition);
    *offset = position->next;
    return LEAT_OK;
}

uint64_t leat__kafka_reader_topic_id(leat_log_reader *base, const char *topic, uint32_t partition)
{
    const leat__kafka_position *position = find(reader_of(base), topic, partition);
    return position == NULL ? 0 : position->topic_id;
}

int64_t leat__kafka_reader_end(leat_log_reader *base, const char *topic, uint32_t partition)
{
    const leat__kafka_position *position = find(reader_of(base), topic, partition);
    int64_t begin, end; /* of the last answer to a fetch */
    if (position == NULL || rd_kafka_get_watermark_offsets(
                                position->consumer->handle, rd_kafka_topic_name(position->handle),
                                (int32_t)partition, &begin, &end) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return end > 0 ? end : 0;
}

leat_status leat__kafka_readable_end(leat_log_reader *base, const char *topic, uint32_t partition,
                                     int64_t *end)
{
    leat__kafka_position *position = find(reader_of(base), topic, partition);
    *end = LEAT_OFFSET_END;
    return position == NULL ? leat__log_not_read(NULL, topic, partition)
                            : resolve(log_of(reader_of(base)), position, end, NULL);
}

/* ---------------------------------------------------------------- what stops the fetching */

static leat_status restart(leat__kafka_position *position, int64_t offset, leat_error *error)
{
    rd_kafka_consume_stop(position->handle, (int32_t)position->partition);
    return start(position, offset, error);
}

static leat_status out_of_range(leat__kafka_position *position, leat_error *error)
{
    leat__kafka *log = log_of(position->reader);
    int64_t begin, end;
    leat_status status =
        leat__kafka_bounds(&log->base, position->topic, position->partition, &begin, &end, error);
    if (status != LEAT_OK)
        return status;
    if (end < position->reached)
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, position->topic,
                          "partition %" PRIu32 " ends at %" PRId64 " but was read up to %" PRId64
                          ": its brokers lost records (unclean leader election?); what is written "
                          "there now is not what was read",
                          position->partition, end, position->reached);
    if (position->next < begin) { /* retention took what was there */
        position->reader->base.lost += (uint64_t)(begin - position->next);
        position->next = begin;
    }
    return restart(position, position->next < end ? position->next : end, error);
}

/* The fetcher says that there is no such partition: was the topic deleted? */
static leat_status look_again(leat__kafka_position *position, leat_error *error)
{
    leat__kafka *log = log_of(position->reader);
    leat_topic_opts opts = {.id = position->topic_id};
    leat__kafka_forget(log, position->topic);
    leat_status status = leat__kafka_partition(log, position->topic, position->partition, error);
    if (status == LEAT_OK)
        status = leat__kafka_topic(log, position->topic, &opts, error);
    if (status == LEAT_ENOTFOUND || status == LEAT_EINVAL || opts.id != position->topic_id) {
        leat__kafka_tell_readers(log, position->topic, position->topic_id);
        return LEAT_OK; /* the poll says it */
    }
    return status == LEAT_OK ? restart(position, position->next, error) : status;
}

static leat_status heed(leat__kafka_position *position, const rd_kafka_message_t *message,
                        leat_error *error)
{
    switch ((int)message->err) {           /* older.h adds one */
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: /* R11 */
        if (position->next < message->offset)
            position->next = message->offset;
        position->reached =
            position->reached < message->offset ? message->offset : position->reached;
        return LEAT_OK;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        return out_of_range(position, error);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return look_again(position, error);
    default:
        break;
    }
    leat_recovery recovery;
    leat__kafka_status(message->err, &recovery);
    if (recovery == LEAT_RECOVERY_RETRY) /* librdkafka goes on by itself */
        return LEAT_OK;
    return leat__kafka_fail(error, message->err, position->topic,
                            "reading '%.60s' partition %" PRIu32 " at %" PRId64, position->topic,
                            position->partition, position->next);
}

/* ---------------------------------------------------------------- poll */

static void lend(leat__kafka_position *position, rd_kafka_message_t *message,
                 leat_log_record *record)
{
    rd_kafka_timestamp_type_t type;
    *record = (leat_log_record){
        .topic = position->topic,
        .partition = position->partition,
        .offset = message->offset,
        .timestamp_ms = leat__kafka_own_timestamp(rd_kafka_message_timestamp(message, &type)),
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
    };
    position->next = position->reached = message->offset + 1;
}

/* Are the messages in hand of the topic that was asked for? Else it is gone for this reader; if
 * that can't be found out now, they are fetched again. */
static leat_status confirm(leat__kafka_position *position, bool *confirmed, leat_error *error)
{
    leat__kafka *log = log_of(position->reader);
    int64_t metadata_us = atomic_load(&position->consumer->metadata_us);
    uint64_t id = position->topic_id;
    bool gone = false;
    *confirmed = metadata_us <= position->confirmed_us || position->topic_id == 0;
    if (*confirmed)
        return LEAT_OK;
    leat_error refused = {0};
    leat_status status =
        leat__kafka_topic_id(log, position->topic, metadata_us, &id, &gone, &refused);
    if (status != LEAT_OK) {
        if (error != NULL)
            *error = refused;
        leat_status again = restart(position, position->next, error);
        return refused.recovery == LEAT_RECOVERY_RETRY ? again : status;
    }
    *confirmed = !gone && id == position->topic_id;
    position->confirmed_us = metadata_us;
    if (!*confirmed) {
        leat__kafka_forget(log, position->topic);
        leat__kafka_tell_readers(log, position->topic, position->topic_id); /* the poll says it */
    }
    return LEAT_OK;
}

/* Up to `most` out of one queue; an error comes after the records before it. */
static leat_status take(leat__kafka_position *position, leat_log_record *records, size_t most,
                        size_t *taken, leat_error *error)
{
    leat__kafka_reader *reader = position->reader;
    rd_kafka_message_t **messages = reader->lent + reader->lent_count;
    *taken = 0;
    atomic_store(&position->ready, false); /* before: what comes from now on marks it again */
    ssize_t count = rd_kafka_consume_batch_queue(position->queue, 0, messages, most);
    bool confirmed = true;
    leat_status status = count > 0 ? confirm(position, &confirmed, error) : LEAT_OK;
    for (ssize_t i = 0; i < count; i++) {
        rd_kafka_message_t *message = messages[i];
        if (!confirmed) {
            rd_kafka_message_destroy(message);
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset >= position->next) {
            lend(position, message, &records[*taken]);
            messages[(*taken)++] = message;
            continue;
        }
        leat_status heeded =
            message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? LEAT_OK : heed(position, message, error);
        if (status == LEAT_OK)
            status = heeded;
        rd_kafka_message_destroy(message);
    }
    reader->lent_count += *taken;
    if (count > 0)
        atomic_store(&position->ready, true); /* there may be more */
    return status;
}

/* Round after round, a share each, until nothing is left or the room is used. */
static leat_status collect(leat__kafka_reader *reader, leat_log_record *records, size_t max,
                           size_t *count, leat_error *error)
{
    size_t ready = 0;
    for (size_t i = 0; i < reader->position_count; i++)
        ready += atomic_load(&reader->positions[i]->ready);
    size_t share = ready == 0 || max / ready == 0 ? 1 : max / ready;
    for (bool more = ready > 0; more && *count < max;) {
        more = false;
        for (size_t i = 0; i < reader->position_count && *count < max; i++) {
            leat__kafka_position *position =
                reader->positions[reader->turn++ % reader->position_count];
            if (!atomic_load(&position->ready) || atomic_load(&position->gone))
                continue;
            size_t room = max - *count, taken;
            leat_status status =
                take(position, records + *count, room < share ? room : share, &taken, error);
            *count += taken;
            if (status != LEAT_OK)
                return status;
            more = more || atomic_load(&position->ready);
        }
    }
    return LEAT_OK;
}

static leat_status look_for_gone(const leat__kafka_reader *reader, leat_error *error)
{
    for (size_t i = 0; i < reader->position_count; i++)
        if (atomic_load(&reader->positions[i]->gone))
            return leat__log_topic_deleted(error, reader->positions[i]->topic);
    return LEAT_OK;
}

static bool any_ready(const leat__kafka_reader *reader)
{
    for (size_t i = 0; i < reader->position_count; i++)
        if (atomic_load(&reader->positions[i]->ready))
            return true;
    return false;
}

leat_status leat__kafka_reader_poll(leat_log_reader *base, leat_log_record *records, size_t max,
                                    size_t *count, leat_error *error)
{
    leat__kafka_reader *reader = reader_of(base);
    give_back(reader);
    leat__waker_disarm(reader->waker);
    leat_error failure = reader->failure;
    reader->failure.status = LEAT_OK;
    if (reader->lent_capacity < max) {
        reader->lent = leat__realloc(reader->lent, max, sizeof(rd_kafka_message_t *));
        reader->lent_capacity = max;
    }
    while (failure.status == LEAT_OK) {
        failure.status = look_for_gone(reader, &failure);
        if (failure.status == LEAT_OK)
            failure.status = collect(reader, records, max, count, &failure);
        if (failure.status == LEAT_OK)
            failure.status = look_for_gone(reader, &failure); /* just found out */
        if (*count > 0 || failure.status != LEAT_OK)
            break;
        leat__waker_arm(reader->waker);
        if (!any_ready(reader))
            return LEAT_OK;
        leat__waker_disarm(reader->waker); /* it came between */
    }
    if (*count > 0) { /* the records first */
        reader->failure = failure;
        return LEAT_OK;
    }
    if (error != NULL && failure.status != LEAT_OK)
        *error = failure;
    return failure.status;
}
