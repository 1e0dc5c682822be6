/* rdkafka_merge.c - one ProduceRequest for all partitions that wait on a connection.
 *
 *   rkb_outbufs   [clicks/0] [clicks/1] [counts/0] ...      librdkafka's requests, one partition
 * each └──────────┼──────────┘ [carrier] ───────────────► broker, once │ callbacks     [clicks/0]
 * [clicks/1] [counts/0]  ◄── its answer, cut into one for each
 *
 * Added to librdkafka (librdkafka.sh), which sends a request per partition: a transaction over
 * eight partitions pays eight times for system calls, wake-ups and the broker's work.  Whatever
 * happens to a request happens to the carrier (sent, timed out, connection lost) and is handed on
 * to each of those it carries, which know nothing of it: batches, sequence numbers, retries and
 * errors stay per partition.  Format: Kafka's protocol guide, Produce 9 and later (flexible).
 *
 * All of it runs in the connection's thread.
 */
#include "rd.h"

#include "rdkafka_int.h"

#include "rdkafka_broker.h"

#include "rdkafka_buf.h"
#include "rdkafka_merge.h"
#include "rdkafka_request.h"

enum { CARRIED_MAX = 64, CARRIED_BYTES_MAX = 1000000, FLEXIBLE_VERSION = 9 };

typedef struct carried {
    size_t count;
    rd_kafka_buf_t *requests[CARRIED_MAX]; /* in the order of the queue */
    rd_bool_t answered[CARRIED_MAX];
} carried_t;

static const rd_kafka_topic_t *topic_of(const rd_kafka_buf_t *request)
{
    return request->rkbuf_batch.rktp->rktp_rkt;
}

static rd_bool_t can_be_carried(const rd_kafka_buf_t *request)
{
    return request->rkbuf_reqhdr.ApiKey == RD_KAFKAP_Produce &&
           request->rkbuf_reqhdr.ApiVersion >= FLEXIBLE_VERSION && request->rkbuf_corrid == 0 &&
           request->rkbuf_batch.rktp != NULL && /* a carrier has none */
           !(request->rkbuf_flags & (RD_KAFKA_OP_F_NEED_MAKE | RD_KAFKA_OP_F_NO_RESPONSE));
}

/* One batch per partition and request, one producer id and one header for all. */
static rd_bool_t fits(const carried_t *carried, const rd_kafka_buf_t *request)
{
    const rd_kafka_buf_t *first = carried->requests[0];
    const rd_kafka_topic_conf_t *conf = &topic_of(request)->rkt_conf;
    const rd_kafka_topic_conf_t *first_conf = &topic_of(first)->rkt_conf;
    if (carried->count == CARRIED_MAX || !can_be_carried(request) ||
        request->rkbuf_reqhdr.ApiVersion != first->rkbuf_reqhdr.ApiVersion ||
        !rd_kafka_pid_eq(request->rkbuf_batch.pid, first->rkbuf_batch.pid) ||
        conf->required_acks != first_conf->required_acks ||
        conf->request_timeout_ms != first_conf->request_timeout_ms)
        return rd_false;
    for (size_t i = 0; i < carried->count; i++)
        if (carried->requests[i]->rkbuf_batch.rktp == request->rkbuf_batch.rktp)
            return rd_false;
    return rd_true;
}

/* Takes from the head of the queue what can go together. */
static void gather(rd_kafka_broker_t *rkb, rd_kafka_buf_t *first, carried_t *carried)
{
    size_t bytes = rd_slice_size(&first->rkbuf_reader);
    size_t bytes_max = RD_MIN((size_t)rkb->rkb_rk->rk_conf.max_msg_size, (size_t)CARRIED_BYTES_MAX);
    carried->requests[carried->count++] = first;
    rd_kafka_buf_t *next = TAILQ_NEXT(first, rkbuf_link);
    while (next != NULL && fits(carried, next)) {
        bytes += rd_slice_size(&next->rkbuf_reader);
        if (bytes > bytes_max)
            break;
        carried->requests[carried->count++] = next;
        next = TAILQ_NEXT(next, rkbuf_link);
    }
}

/* ---------------------------------------------------------------- the request */

/* The partition of a request and its batch: what stands between the header and the last two tags.
 * Returns false if the request is not what librdkafka makes. */
static rd_bool_t copy_partition(rd_kafka_buf_t *carrier, rd_kafka_buf_t *request)
{
    enum { TAIL_BYTES = 2 }; /* no tags: of the topic and of the request */
    const int log_decode_errors = LOG_ERR;
    rd_kafkap_str_t client_id;
    int32_t count;
    rd_kafka_buf_skip(request, RD_KAFKAP_REQHDR_SIZE);
    rd_kafka_buf_read_i16a(request, client_id.len); /* the header's strings are not compact */
    rd_kafka_buf_skip(request, RD_KAFKAP_STR_LEN(&client_id));
    rd_kafka_buf_skip_tags(request);
    rd_kafka_buf_skip_str(request);                                /* transactional id */
    rd_kafka_buf_skip(request, sizeof(int16_t) + sizeof(int32_t)); /* acks, time-out */
    rd_kafka_buf_read_arraycnt(request, &count, 1);
    rd_kafka_buf_skip_str(request); /* topic */
    rd_kafka_buf_read_arraycnt(request, &count, 1);
    size_t left = rd_slice_remains(&request->rkbuf_reader);
    if (left <= TAIL_BYTES)
        goto err_parse;
    left -= TAIL_BYTES;
    while (left > 0) {
        const void *part;
        size_t bytes = rd_slice_reader(&request->rkbuf_reader, &part);
        if (bytes == 0)
            goto err_parse;
        bytes = RD_MIN(bytes, left);
        rd_kafka_buf_write(carrier, part, bytes);
        left -= bytes;
    }
    rd_slice_seek(&request->rkbuf_reader, 0);
    return rd_true;
err_parse:
    rd_slice_seek(&request->rkbuf_reader, 0);
    return rd_false;
}

static size_t topic_count(const carried_t *carried)
{
    size_t topics = 0;
    for (size_t i = 0; i < carried->count; i++) {
        size_t before = 0;
        while (topic_of(carried->requests[before]) != topic_of(carried->requests[i]))
            before++;
        topics += before == i;
    }
    return topics;
}

/* All partitions of the topic of the request at `first`, which is the first of its topic. */
static rd_bool_t write_topic(rd_kafka_buf_t *carrier, const carried_t *carried, size_t first)
{
    const rd_kafka_topic_t *topic = topic_of(carried->requests[first]);
    size_t partitions = 0;
    for (size_t i = first; i < carried->count; i++)
        partitions += topic_of(carried->requests[i]) == topic;
    rd_kafka_buf_write_kstr(carrier, topic->rkt_topic);
    rd_kafka_buf_write_arraycnt(carrier, partitions);
    for (size_t i = first; i < carried->count; i++)
        if (topic_of(carried->requests[i]) == topic &&
            !copy_partition(carrier, carried->requests[i]))
            return rd_false;
    rd_kafka_buf_write_tags_empty(carrier);
    return rd_true;
}

static rd_bool_t write_carrier(rd_kafka_buf_t *carrier, const carried_t *carried)
{
    const rd_kafka_t *rk = carrier->rkbuf_rkb->rkb_rk;
    const rd_kafka_topic_conf_t *conf = &topic_of(carried->requests[0])->rkt_conf;
    rd_kafka_buf_write_kstr(carrier, rk->rk_eos.transactional_id);
    rd_kafka_buf_write_i16(carrier, (int16_t)conf->required_acks);
    rd_kafka_buf_write_i32(carrier, conf->request_timeout_ms);
    rd_kafka_buf_write_arraycnt(carrier, topic_count(carried));
    for (size_t i = 0; i < carried->count; i++) {
        size_t before = 0;
        while (topic_of(carried->requests[before]) != topic_of(carried->requests[i]))
            before++;
        if (before == i && !write_topic(carrier, carried, i))
            return rd_false;
    }
    return rd_true;
}

/* ---------------------------------------------------------------- its answer */

/* As rd_kafka_buf_callback() does; interceptors have been told of the carrier. */
static void hand_on(rd_kafka_t *rk, rd_kafka_broker_t *rkb, rd_kafka_resp_err_t err,
                    rd_kafka_buf_t *reply, rd_kafka_buf_t *request)
{
    request->rkbuf_cb(rk, rkb, err, reply, request, request->rkbuf_opaque);
    rd_kafka_buf_destroy(request);
    if (reply != NULL)
        rd_kafka_buf_destroy(reply);
}

typedef struct entry { /* of one partition, in the carrier's answer */
    rd_kafkap_str_t topic;
    int32_t partition;
    size_t offset, bytes;
} entry_t;

static rd_kafka_resp_err_t read_entry(rd_kafka_buf_t *reply, entry_t *entry)
{
    const int log_decode_errors = LOG_ERR;
    int32_t errors;
    entry->offset = rd_slice_offset(&reply->rkbuf_reader);
    rd_kafka_buf_read_i32(reply, &entry->partition);
    /* error, offset, append time, log start */
    rd_kafka_buf_skip(reply, sizeof(int16_t) + 3 * sizeof(int64_t));
    rd_kafka_buf_read_arraycnt(reply, &errors, -1);
    for (int32_t i = 0; i < errors; i++) {
        rd_kafka_buf_skip(reply, sizeof(int32_t));
        rd_kafka_buf_skip_str(reply);
        rd_kafka_buf_skip_tags(reply);
    }
    rd_kafka_buf_skip_str(reply);
    rd_kafka_buf_skip_tags(reply);
    entry->bytes = rd_slice_offset(&reply->rkbuf_reader) - entry->offset;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
err_parse:
    return reply->rkbuf_err;
}

/* An answer as if the entry had been alone; `tail`: what follows the topics. */
static rd_kafka_buf_t *answer_of(rd_kafka_buf_t *reply, const entry_t *entry, size_t tail)
{
    size_t tail_bytes = rd_slice_size(&reply->rkbuf_reader) - tail;
    size_t name_bytes = (size_t)RD_KAFKAP_STR_LEN(&entry->topic);
    char length[RD_UVARINT_ENC_SIZEOF(uint64_t)];
    size_t length_bytes = rd_uvarint_enc_u64(length, sizeof(length), name_bytes + 1);
    size_t bytes = 1 + length_bytes + name_bytes + 1 + entry->bytes + 1 + tail_bytes;
    char *memory = rd_malloc(bytes), *at = memory;
    *at++ = 2; /* one topic: compact arrays count from 1 */
    memcpy(at, length, length_bytes);
    at += length_bytes;
    memcpy(at, entry->topic.str, name_bytes);
    at += name_bytes;
    *at++ = 2; /* one partition */
    rd_slice_peek(&reply->rkbuf_reader, entry->offset, at, entry->bytes);
    at += entry->bytes;
    *at++ = 0; /* the topic's tags */
    rd_slice_peek(&reply->rkbuf_reader, tail, at, tail_bytes);

    rd_kafka_buf_t *answer = rd_kafka_buf_new_shadow(memory, bytes, rd_free);
    answer->rkbuf_reqhdr = reply->rkbuf_reqhdr;
    answer->rkbuf_reqhdr.ApiKey = RD_KAFKAP_None; /* it has no batch to destroy */
    answer->rkbuf_flags |= reply->rkbuf_flags & RD_KAFKA_BUF_FLAGS_RESP_COPY_MASK;
    answer->rkbuf_ts_sent = reply->rkbuf_ts_sent;
    answer->rkbuf_rkb = reply->rkbuf_rkb;
    rd_kafka_broker_keep(answer->rkbuf_rkb);
    return answer;
}

static size_t find(const carried_t *carried, const entry_t *entry)
{
    size_t i = 0;
    while (i < carried->count &&
           (carried->answered[i] ||
            carried->requests[i]->rkbuf_batch.rktp->rktp_partition != entry->partition ||
            rd_kafkap_str_cmp(topic_of(carried->requests[i])->rkt_topic, &entry->topic) != 0))
        i++;
    return i;
}

/* Reads all entries, then hands each on: what follows them belongs to each answer. */
static rd_kafka_resp_err_t hand_out(rd_kafka_t *rk, rd_kafka_broker_t *rkb, rd_kafka_buf_t *reply,
                                    carried_t *carried)
{
    const int log_decode_errors = LOG_ERR;
    entry_t entries[CARRIED_MAX];
    size_t count = 0;
    int32_t topics, partitions;
    rd_kafka_buf_read_arraycnt(reply, &topics, CARRIED_MAX);
    for (int32_t t = 0; t < topics; t++) {
        rd_kafkap_str_t topic;
        rd_kafka_buf_read_str(reply, &topic);
        rd_kafka_buf_read_arraycnt(reply, &partitions, CARRIED_MAX);
        for (int32_t p = 0; p < partitions; p++) {
            entry_t entry = {.topic = topic};
            if (read_entry(reply, &entry) != RD_KAFKA_RESP_ERR_NO_ERROR)
                goto err_parse;
            if (count == carried->count)
                rd_kafka_buf_parse_fail(reply, "more partitions than were sent");
            entries[count++] = entry;
        }
        rd_kafka_buf_skip_tags(reply);
    }
    size_t tail = rd_slice_offset(&reply->rkbuf_reader);
    for (size_t e = 0; e < count; e++) {
        size_t i = find(carried, &entries[e]);
        if (i == carried->count)
            continue;
        carried->answered[i] = rd_true;
        hand_on(rk, rkb, RD_KAFKA_RESP_ERR_NO_ERROR, answer_of(reply, &entries[e], tail),
                carried->requests[i]);
    }
    return RD_KAFKA_RESP_ERR__BAD_MSG; /* for those of which it says nothing */
err_parse:
    return reply->rkbuf_err;
}

static void carrier_done(rd_kafka_t *rk, rd_kafka_broker_t *rkb, rd_kafka_resp_err_t err,
                         rd_kafka_buf_t *reply, rd_kafka_buf_t *carrier, void *opaque)
{
    carried_t *carried = opaque;
    for (size_t i = 0; i < carried->count; i++) {
        /* whether a batch may be in the log depends on it */
        carried->requests[i]->rkbuf_flags |= carrier->rkbuf_flags & RD_KAFKA_OP_F_SENT;
        carried->requests[i]->rkbuf_ts_sent = carrier->rkbuf_ts_sent;
    }
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && reply != NULL)
        err = hand_out(rk, rkb, reply, carried);
    for (size_t i = 0; i < carried->count; i++)
        if (!carried->answered[i])
            hand_on(rk, rkb, err, NULL, carried->requests[i]);
    rd_free(carried);
}

/* ---------------------------------------------------------------- before sending */

rd_kafka_buf_t *rd_kafka_merge_produce(rd_kafka_broker_t *rkb, rd_kafka_buf_t *first)
{
    rd_kafka_buf_t *next = TAILQ_NEXT(first, rkbuf_link);
    if (!can_be_carried(first) || next == NULL || !can_be_carried(next))
        return first;
    carried_t *carried = rd_calloc(1, sizeof(*carried));
    gather(rkb, first, carried);
    size_t bytes = 64;
    for (size_t i = 0; i < carried->count; i++)
        bytes += rd_slice_size(&carried->requests[i]->rkbuf_reader);
    rd_kafka_buf_t *carrier = NULL;
    if (carried->count > 1) {
        carrier = rd_kafka_buf_new_flexver_request(rkb, RD_KAFKAP_Produce, 1, bytes, rd_true);
        rd_kafka_buf_ApiVersion_set(carrier, first->rkbuf_reqhdr.ApiVersion, 0);
        carrier->rkbuf_features = first->rkbuf_features;
        rd_kafka_msgq_init(&carrier->rkbuf_batch.msgq);
        if (!write_carrier(carrier, carried)) {
            rd_kafka_buf_destroy(carrier);
            carrier = NULL;
        }
    }
    if (carrier == NULL) {
        rd_free(carried);
        return first;
    }
    carrier->rkbuf_cb = carrier_done;
    carrier->rkbuf_opaque = carried;
    carrier->rkbuf_rel_timeout = 0;
    carrier->rkbuf_abs_timeout = first->rkbuf_abs_timeout;
    carrier->rkbuf_ts_timeout = first->rkbuf_ts_timeout;
    carrier->rkbuf_ts_enq = first->rkbuf_ts_enq;
    for (size_t i = 0; i < carried->count; i++) {
        rd_kafka_buf_t *request = carried->requests[i];
        carrier->rkbuf_abs_timeout = RD_MIN(carrier->rkbuf_abs_timeout, request->rkbuf_abs_timeout);
        carrier->rkbuf_ts_timeout = RD_MIN(carrier->rkbuf_ts_timeout, request->rkbuf_ts_timeout);
        rd_kafka_bufq_deq(&rkb->rkb_outbufs, request);
    }
    rd_kafka_buf_finalize(rkb->rkb_rk, carrier);
    TAILQ_INSERT_HEAD(&rkb->rkb_outbufs.rkbq_bufs, carrier, rkbuf_link);
    rd_atomic32_add(&rkb->rkb_outbufs.rkbq_cnt, 1);
    return carrier;
}
