/* log/kafka/delivery.c - the staged records of a transaction on their way to the broker.
 *
 *   records[] ─ in order ─► producer ─► delivery report per record ─► parts[]: [first, next)
 *
 * The bytes are not copied again: they stay where they were staged until the report.
 */
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "log/kafka/member.h"
#include <inttypes.h>
#include <string.h>

enum { METADATA_TIMEOUT_MS = 5000 };

bool leat__kafka_is_refusal(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP || code == RD_KAFKA_RESP_ERR_INVALID_RECORD;
}

static void note_failure(kafka_txn *txn, const kafka_staged *record, rd_kafka_resp_err_t code)
{
    size_t number = (size_t)(record - txn->records);
    bool refused = leat__kafka_is_refusal(code);
    if (refused && txn->refused_count < LEAT__REFUSED_MAX) { /* the rest is refused again */
        txn->refused = leat__realloc(txn->refused, txn->refused_count + 1, sizeof *txn->refused);
        txn->refused[txn->refused_count++] = number;
        txn->parts[record->part].refused++;
    }
    if (code == RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD)
        txn->parts[record->part].spared++;
    if (txn->delivery_code == RD_KAFKA_RESP_ERR_NO_ERROR ||
        (refused && !leat__kafka_is_refusal(txn->delivery_code))) {
        txn->delivery_code = code;
        txn->delivery_record = number;
    }
}

void leat__kafka_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *arg)
{
    (void)rk;
    kafka_txn *txn = ((kafka_member *)arg)->txn;
    const kafka_staged *record = message->_private;
    if (txn == NULL)
        return;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        note_failure(txn, record, message->err);
        return;
    }
    kafka_part *part = &txn->parts[record->part];
    txn->delivered++;
    part->unplaced |= message->offset < 0;
    if (part->unplaced) {
        part->first = part->next = -1;
        return;
    }
    if (part->first < 0 || message->offset < part->first)
        part->first = message->offset;
    if (message->offset >= part->next)
        part->next = message->offset + 1;
}

/* The client learns where a topic's partitions are before the transaction begins: inside it the
 * records would wait for that. */
static leat_status make_handle(kafka_member *member, kafka_target *target, leat_error *error)
{
    char name[LEAT__KAFKA_NAME_BYTES];
    target->topic =
        rd_kafka_topic_new(member->producer.rk, kafka_name(member->log, target->name, name), NULL);
    if (target->topic == NULL)
        return leat__kafka_fail(error, rd_kafka_last_error(), target->name,
                                "topic '%.80s' cannot be written to", target->name);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(member->producer.rk, 0, target->topic, &metadata, METADATA_TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return leat__kafka_fail(error, code, target->name, "topic '%.80s' is not answered for",
                                target->name);
    rd_kafka_metadata_destroy(metadata);
    return LEAT_OK;
}

leat_status leat__kafka_targets_ready(kafka_txn *txn, leat_error *error)
{
    kafka_member *member = txn->member;
    for (size_t i = 0; i < txn->part_count; i++) {
        kafka_target *target = &member->targets[txn->parts[i].target];
        /* it may have been deleted meanwhile */
        leat_status status = leat__kafka_topic(member->log, target->name, NULL, error);
        if (status == LEAT_OK && target->topic == NULL)
            status = make_handle(member, target, error);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static void *bytes_of(leat_str text)
{
    return (void *)(uintptr_t)text.data; /* the client does not write to it */
}

static rd_kafka_error_t *produce_one(kafka_member *member, kafka_staged *record)
{
    rd_kafka_vu_t fields[7] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = member->targets[record->target].topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)record->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = 0},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = record},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = leat__kafka_timestamp(record->timestamp_ms)},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {.ptr = bytes_of(record->key), .size = record->key.length}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {.ptr = bytes_of(record->value), .size = record->value.length}},
    };
    return rd_kafka_produceva(member->producer.rk, fields, sizeof fields / sizeof *fields);
}

rd_kafka_error_t *leat__kafka_produce(kafka_txn *txn)
{
    for (size_t i = 0; i < txn->record_count; i++) {
        rd_kafka_error_t *failure = produce_one(txn->member, &txn->records[i]);
        if (failure == NULL)
            continue;
        txn->delivery_code = rd_kafka_error_code(failure);
        txn->delivery_record = i;
        return failure;
    }
    return NULL;
}
