/* log/kafka/transaction.c - an epoch's records and offsets, staged in memory and committed in one
 * go.
 *
 *   add, offsets: checked, copied        nothing of it has left the process
 *   commit:  begin ┬ AddPartitions ─ Produce ────┬ EndTxn      exactly once
 *                  └ AddOffsets ─ TxnOffsetCommit ┘
 *            The records are handed over first, so that the client's threads send them while this
 *            one waits for the offsets: three round trips instead of five. Both registrations may
 *            meet the former transaction's markers; either is asked again after 1 ms.
 *            records ─ offsets                           at least once
 *            offsets ─ records                           at most once
 *
 * After a failure the outcome is not guessed: the producer is dropped, a new incarnation decides
 * what is open, and the caller goes back to what is committed then (R1, R10).
 */
#include "base/error.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "log/kafka/member.h"
#include <inttypes.h>
#include <string.h>

enum {
    OFFSETS_TIMEOUT_MS = 10000,
    FENCING_WAIT_MS = 3000, /* for who took over our transactions to join the group */
};

static int64_t now_us(void)
{
    return leat__env_system()->monotonic_us(leat__env_system()->arg);
}

static leat_status outdated(const kafka_member *member, leat_error *error)
{
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, member->group,
                      "the partitions of group '%.80s' were distributed anew", member->group);
}

/* R7 */
static leat_status check_generation(kafka_member *member, int64_t generation, leat_error *error)
{
    if (atomic_load(&member->fenced))
        return leat__kafka_fenced(member, error);
    if (member->left)
        return leat__log_member_left(error);
    if (generation <= 0 || generation != atomic_load(&member->generation))
        return outdated(member, error);
    return LEAT_OK;
}

leat_status leat__kafka_begin(leat_log_member *base, int64_t generation, leat_log_txn **out,
                              leat_error *error)
{
    kafka_member *member = (kafka_member *)base;
    pthread_mutex_lock(&member->lock);
    leat_status status =
        member->txn != NULL ? leat__log_txn_is_open(error, member->group) : LEAT_OK;
    if (status == LEAT_OK)
        status = check_generation(member, generation, error);
    if (status == LEAT_OK) {
        kafka_txn *txn = leat__calloc(1, sizeof *txn);
        txn->member = member;
        txn->generation = generation;
        txn->records = member->spare_records;
        txn->record_capacity = member->spare_capacity;
        member->spare_records = NULL;
        member->txn = txn;
        member->txn_number++;
        *out = &txn->base;
    }
    pthread_mutex_unlock(&member->lock);
    return status;
}

/* ------------------------------------------------------------------ staging */

/* A topic takes smaller batches than those before. Nothing has been sent yet. */
static void keep_to(kafka_member *member, size_t batch_bytes)
{
    if (batch_bytes >= member->batch_bytes)
        return;
    member->batch_bytes = batch_bytes;
    if (member->producer.rk != NULL && member->producer.batch_bytes > batch_bytes)
        leat__kafka_producer_drop(member);
}

static leat_status find_target(kafka_member *member, const char *topic, uint32_t *place,
                               leat_error *error)
{
    uint32_t at = 0;
    while (at < member->target_count && strcmp(member->targets[at].name, topic) != 0)
        at++;
    *place = at;
    if (at < member->target_count && member->targets[at].checked == member->txn_number)
        return LEAT_OK;
    leat_topic_opts opts;
    leat__log_limits limits;
    leat_status status = leat__kafka_recall(member->log, topic, &opts, &limits, error);
    if (status != LEAT_OK)
        return status;
    keep_to(member, leat__kafka_batch_bytes(&limits));
    if (at == member->target_count) {
        member->targets =
            leat__realloc(member->targets, member->target_count + 1, sizeof *member->targets);
        member->targets[member->target_count++] = (kafka_target){.name = leat__strdup(topic)};
    }
    kafka_target *target = &member->targets[at];
    if (opts.partition_count > target->part_capacity) {
        target->part_of =
            leat__realloc(target->part_of, opts.partition_count, sizeof *target->part_of);
        target->part_capacity = opts.partition_count;
    }
    memset(target->part_of, 0, target->part_capacity * sizeof *target->part_of);
    target->opts = opts;
    target->checked = member->txn_number;
    return LEAT_OK;
}

static uint32_t part_of(kafka_txn *txn, uint32_t target, uint32_t partition)
{
    uint32_t *place = &txn->member->targets[target].part_of[partition];
    if (*place != 0)
        return *place - 1;
    if (txn->part_count == txn->part_capacity) {
        txn->part_capacity = txn->part_capacity == 0 ? 16 : txn->part_capacity * 2;
        txn->parts = leat__realloc(txn->parts, txn->part_capacity, sizeof *txn->parts);
    }
    txn->parts[txn->part_count++] =
        (kafka_part){.target = target, .partition = partition, .first = -1};
    *place = (uint32_t)txn->part_count;
    return *place - 1;
}

static kafka_staged *staged_room(kafka_txn *txn, size_t count)
{
    if (txn->record_count + count > txn->record_capacity) {
        txn->record_capacity = (txn->record_count + count) * 3 / 2;
        txn->records = leat__realloc(txn->records, txn->record_capacity, sizeof *txn->records);
    }
    return &txn->records[txn->record_count];
}

static leat_status stage(kafka_txn *txn, const leat_log_record *records, size_t count, bool copy,
                         leat_error *error)
{
    kafka_member *member = txn->member;
    kafka_staged *staged = staged_room(txn, count);
    const char *last = NULL;
    uint32_t target = 0;
    for (size_t i = 0; i < count; i++) { /* all are checked before the first is staged */
        leat_status status = LEAT_OK;
        if (records[i].topic != last)
            status = find_target(member, records[i].topic, &target, error);
        last = records[i].topic;
        if (status == LEAT_OK)
            status = leat__log_check_place(&records[i], &member->targets[target].opts, error);
        if (status != LEAT_OK)
            return status;
        staged[i].target = target;
    }
    for (size_t i = 0; i < count; i++) {
        kafka_staged *record = &staged[i];
        record->partition = leat__log_place(&records[i], &member->targets[record->target].opts,
                                            &member->round_robin);
        record->part = part_of(txn, record->target, record->partition);
        record->timestamp_ms = records[i].timestamp_ms;
        record->key = copy ? leat__arena_str(&txn->bytes, records[i].key) : records[i].key;
        record->value = copy ? leat__arena_str(&txn->bytes, records[i].value) : records[i].value;
    }
    txn->record_count += count;
    return LEAT_OK;
}

leat_status leat__kafka_txn_add(leat_log_txn *base, const leat_log_record *records, size_t count,
                                leat_error *error)
{
    return stage((kafka_txn *)base, records, count, true, error);
}

leat_status leat__kafka_txn_lend(leat_log_txn *base, const leat_log_record *records, size_t count,
                                 leat_error *error)
{
    return stage((kafka_txn *)base, records, count, false, error);
}

leat_status leat__kafka_txn_offsets(leat_log_txn *base, const leat_log_offset *offsets,
                                    size_t count, leat_error *error)
{
    kafka_txn *txn = (kafka_txn *)base;
    for (size_t i = 0; i < count; i++) {
        leat_status status =
            leat__kafka_partition(txn->member->log, offsets[i].topic, offsets[i].partition, error);
        if (status != LEAT_OK)
            return status;
    }
    if (txn->offsets == NULL)
        txn->offsets = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        char name[LEAT__KAFKA_NAME_BYTES];
        const char *topic = kafka_name(txn->member->log, offsets[i].topic, name);
        int32_t partition = (int32_t)offsets[i].partition;
        rd_kafka_topic_partition_t *entry =
            rd_kafka_topic_partition_list_find(txn->offsets, topic, partition);
        if (entry == NULL)
            entry = rd_kafka_topic_partition_list_add(txn->offsets, topic, partition);
        entry->offset = offsets[i].offset;
        if (entry->metadata != NULL)
            rd_kafka_mem_free(NULL, entry->metadata);
        entry->metadata_size = leat__kafka_sign(txn->member, offsets[i].metadata, &entry->metadata);
    }
    return LEAT_OK;
}

/* ------------------------------------------------------------------ what a failure means */

static bool is_of_an_older_generation(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
           code == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||
           code == RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST;
}

/* R15: the broker refuses a producer when a newer process has its name, when one had it for a
 * while, or when its transaction was open for too long. Only the group tells who goes on. */
static leat_status refused_producer(kafka_txn *txn, leat_error *error)
{
    kafka_member *member = txn->member;
    if (leat__kafka_is_fenced(member, FENCING_WAIT_MS)) {
        atomic_store(&member->fenced, true);
        return leat__kafka_fenced(member, error);
    }
    bool in_time = now_us() - txn->began_us < member->transaction_timeout_ms * 1000;
    if (in_time)
        return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, member->group,
                          "the transactions of '%.80s' were taken over, but nobody has joined "
                          "the group as '%.80s'",
                          member->transactional_id, member->instance);
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, member->group,
                      "the transaction was open for more than %" PRId64 " ms and has expired",
                      member->transaction_timeout_ms);
}

/* R15: also said to a member whose coordinator has just begun again and does not know its id yet,
 * while nobody else has the name. */
static leat_status refused_member(kafka_member *member, leat_error *error)
{
    if (leat__kafka_is_fenced(member, FENCING_WAIT_MS)) {
        atomic_store(&member->fenced, true);
        return leat__kafka_fenced(member, error);
    }
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, member->group,
                      "the broker took '%.80s' for replaced, but nobody else in the group has that "
                      "name",
                      member->instance);
}

static leat_status explain(kafka_txn *txn, rd_kafka_resp_err_t code, const char *text,
                           leat_error *error)
{
    kafka_member *member = txn->member;
    if (code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
        code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH)
        return refused_producer(txn, error);
    if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        return refused_member(member, error);
    if (is_of_an_older_generation(code))
        return outdated(member, error);
    leat_error known = {0};
    leat_status status = leat__kafka_fail(&known, code, member->group, "%.300s", text);
    if (status == LEAT_EACCES || status == LEAT_ENOTFOUND || status == LEAT_ETOOBIG) {
        if (status == LEAT_ETOOBIG) /* of a batch; with the topic's bound known it may be smaller */
            known.recovery = LEAT_RECOVERY_RESTART;
        if (error != NULL)
            *error = known;
        return status;
    }
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, member->group, "%.400s",
                      known.message);
}

/* For a message: cut, and on one line. */
static void print_key(leat_str key, char text[64])
{
    size_t length = key.length < 48 ? key.length : 48;
    while (length < key.length && length > 0 && ((uint8_t)key.data[length] & 0xc0) == 0x80)
        length--; /* not within a character */
    (void)snprintf(text, 64, key.data == NULL ? "no key" : "key '%.*s'", (int)length, key.data);
    for (char *c = text; *c != '\0'; c++)
        if ((uint8_t)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

/* R19: a record that the broker will never take. */
static leat_status explain_record(const kafka_txn *txn, size_t number, bool named,
                                  rd_kafka_resp_err_t code, leat_error *error)
{
    const kafka_staged *record = &txn->records[number];
    const char *topic = txn->member->targets[record->target].name;
    leat_status status = leat__kafka_status(code, NULL);
    char key[64], which[120] = "one of several";
    print_key(record->key, key);
    if (named)
        (void)snprintf(which, sizeof which, "%s, timestamp %" PRId64, key, record->timestamp_ms);
    return leat__fail(
        error, status == LEAT_ETOOBIG ? status : LEAT_EDATA, LEAT_RECOVERY_RESTART, topic,
        "the broker refuses a record for partition %" PRIu32 " of '%.80s' (%s): %.140s",
        record->partition, topic, which, rd_kafka_err2str(code));
}

/* Of the batch, whichever of its records is to blame: one that is over the topic's bound is found
 * when it is emitted, once the bound is known. */
static bool is_refused_batch(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
           code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
           code == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE || code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION;
}

static leat_status explain_delivery(kafka_txn *txn, leat_error *error)
{
    char text[400];
    const kafka_staged *record = &txn->records[txn->delivery_record];
    const char *topic = txn->member->targets[record->target].name;
    bool refused = leat__kafka_is_refusal(txn->delivery_code);
    if (refused || is_refused_batch(txn->delivery_code)) {
        leat__kafka_forget(txn->member->log, topic); /* its settings were others a minute ago */
        return explain_record(txn, txn->delivery_record, txn->parts[record->part].refused == 1,
                              txn->delivery_code, error);
    }
    (void)snprintf(text, sizeof text, "a record for '%.100s': %.250s", topic,
                   rd_kafka_err2str(txn->delivery_code));
    return explain(txn, txn->delivery_code, text, error);
}

/* ------------------------------------------------------------------ which record it is
 *
 * A broker names the records of a batch that it refuses, and the client passes that on if there are
 * several: the others get a code of their own. If there is one, all of its batch get the broker's
 * code (2.15.1). A timestamp can be judged by itself then: if any is out of bounds, the farthest
 * is.
 */

/* How far the timestamp is beyond what the topic takes, by our clock, which is not quite the
 * broker's; negative: within. As doubles: bounds may be anything. */
static double excess_ms(const kafka_staged *record, const leat__log_limits *limits, int64_t now_ms)
{
    double ahead_ms = (double)record->timestamp_ms - (double)now_ms;
    double over_ms = ahead_ms - (double)limits->ahead_ms;
    double under_ms = -ahead_ms - (double)limits->behind_ms;
    return over_ms > under_ms ? over_ms : under_ms;
}

static void tell(const kafka_txn *txn, size_t number)
{
    leat_error error;
    (void)explain_record(txn, number, true, txn->delivery_code, &error);
    txn->base.refused(txn->base.refused_arg, number, &error);
}

static void tell_farthest(const kafka_txn *txn, uint32_t part)
{
    leat_topic_opts opts;
    leat__log_limits limits;
    const leat__kafka *log = txn->member->log;
    const char *topic = txn->member->targets[txn->parts[part].target].name;
    if (leat__kafka_recall(txn->member->log, topic, &opts, &limits, NULL) != LEAT_OK ||
        (limits.ahead_ms == INT64_MAX && limits.behind_ms == INT64_MAX))
        return; /* the bounds are not told */
    int64_t now_ms = log->env->now_ms(log->env->arg);
    size_t farthest = SIZE_MAX;
    double most_ms = 0;
    for (size_t i = 0; i < txn->refused_count; i++) {
        const kafka_staged *record = &txn->records[txn->refused[i]];
        double ms = excess_ms(record, &limits, now_ms);
        if (record->part != part || (farthest != SIZE_MAX && ms <= most_ms) ||
            record->timestamp_ms == 0) /* "none" is taken everywhere */
            continue;
        most_ms = ms;
        farthest = txn->refused[i];
    }
    if (farthest != SIZE_MAX)
        tell(txn, farthest);
}

static void tell_refused(const kafka_txn *txn)
{
    for (uint32_t p = 0; p < txn->part_count && txn->base.refused != NULL; p++) {
        const kafka_part *part = &txn->parts[p];
        bool timestamps = txn->batch_code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP ||
                          txn->delivery_code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
        if (part->refused > 1 && part->spared == 0) {
            if (timestamps)
                tell_farthest(txn, p);
            continue; /* else it is not known; R30 has the last word */
        }
        for (size_t i = 0; i < txn->refused_count; i++)
            if (txn->records[txn->refused[i]].part == p)
                tell(txn, txn->refused[i]);
    }
}

/* ------------------------------------------------------------------ committing */

static leat_status failed(kafka_txn *txn, rd_kafka_error_t *failure, leat_error *error)
{
    txn->batch_code = rd_kafka_error_code(failure);
    leat_status status =
        txn->delivery_code != RD_KAFKA_RESP_ERR_NO_ERROR
            ? explain_delivery(txn, error)
            : explain(txn, rd_kafka_error_code(failure), rd_kafka_error_string(failure), error);
    rd_kafka_error_destroy(failure);
    return status;
}

static leat_status send_offsets(kafka_txn *txn, leat_error *error)
{
    if (txn->offsets == NULL)
        return LEAT_OK;
    rd_kafka_error_t *failure = rd_kafka_send_offsets_to_transaction(
        txn->member->producer.rk, txn->offsets, txn->member->metadata, OFFSETS_TIMEOUT_MS);
    return failure == NULL ? LEAT_OK : failed(txn, failure, error);
}

static leat_status exactly_once(kafka_txn *txn, leat_error *error)
{
    rd_kafka_t *rk = txn->member->producer.rk;
    rd_kafka_error_t *failure = rd_kafka_begin_transaction(rk);
    if (failure != NULL)
        return failed(txn, failure, error);
    failure = leat__kafka_produce(txn);
    if (failure != NULL)
        return failed(txn, failure, error);
    leat_status status = send_offsets(txn, error);
    if (status != LEAT_OK)
        return status;
    failure = rd_kafka_commit_transaction(rk, (int)txn->member->transaction_timeout_ms);
    return failure == NULL ? LEAT_OK : failed(txn, failure, error);
}

static leat_status commit_offsets(kafka_txn *txn, leat_error *error)
{
    if (txn->offsets == NULL || txn->member->consumer == NULL)
        return LEAT_OK;
    rd_kafka_resp_err_t code = rd_kafka_commit(txn->member->consumer, txn->offsets, 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return LEAT_OK;
    return explain(txn, code, rd_kafka_err2str(code), error);
}

static leat_status write_records(kafka_txn *txn, leat_error *error)
{
    rd_kafka_error_t *failure = leat__kafka_produce(txn);
    if (failure != NULL)
        return failed(txn, failure, error);
    if (txn->record_count == 0)
        return LEAT_OK;
    rd_kafka_resp_err_t code =
        rd_kafka_flush(txn->member->producer.rk, (int)txn->member->transaction_timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && txn->delivery_code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return explain_delivery(txn, error);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return LEAT_OK;
    return explain(txn, code, rd_kafka_err2str(code), error);
}

static leat_status commit_by_guarantee(kafka_txn *txn, leat_error *error)
{
    leat_status status;
    switch (txn->member->guarantee) {
    case LEAT_AT_LEAST_ONCE:
        status = write_records(txn, error);
        return status == LEAT_OK ? commit_offsets(txn, error) : status;
    case LEAT_AT_MOST_ONCE:
        status = commit_offsets(txn, error);
        return status == LEAT_OK ? write_records(txn, error) : status;
    case LEAT_EXACTLY_ONCE:
    default:
        return exactly_once(txn, error);
    }
}

/* R1: after an error or any doubt the producer goes; a successor is made at once, so that what is
 * open is over soon and holds up nobody who waits for stable offsets. Not while the broker is away:
 * that would take as long as the broker, and count as a commit that hangs (R3). */
static void renew_producer(kafka_member *member, bool failed_too)
{
    bool away = failed_too && atomic_load(&member->producer.broker_lost);
    if (!failed_too)
        leat__log_line(LEAT__WARN, "kafka",
                       "%s: a request of the last transaction went unanswered; a new producer "
                       "takes over",
                       member->transactional_id);
    leat__kafka_producer_drop(member);
    leat_error error;
    if (!away && !atomic_load(&member->fenced) &&
        leat__kafka_producer_ready(member, &error) != LEAT_OK)
        leat__log_line(LEAT__WARN, "kafka", "%s", error.message); /* the next begin tries again */
}

static leat_status transact(kafka_txn *txn, leat_error *error)
{
    kafka_member *member = txn->member;
    leat_status status = leat__kafka_producer_ready(member, error);
    if (status == LEAT_OK)
        status = leat__kafka_targets_ready(txn, error);
    if (status != LEAT_OK)
        return status;
    txn->began_us = now_us();
    leat__kafka_producer_begins(&member->producer);
    status = commit_by_guarantee(txn, error);
    leat__kafka_producer_ends(&member->producer);
    if (status == LEAT_OK && txn->delivered != txn->record_count)
        status = leat__fail(error, LEAT_EINTERNAL, LEAT_RECOVERY_RESTART, member->group,
                            "%zu of %zu records were not reported as written",
                            txn->record_count - txn->delivered, txn->record_count);
    if (status != LEAT_OK || leat__kafka_producer_in_doubt(&member->producer))
        renew_producer(member, status != LEAT_OK);
    return status;
}

static leat_status start_commit(kafka_txn *txn, leat_error *error)
{
    kafka_member *member = txn->member;
    pthread_mutex_lock(&member->lock);
    leat_status status = check_generation(member, txn->generation, error);
    member->committing = status == LEAT_OK;
    pthread_mutex_unlock(&member->lock);
    return status;
}

static void txn_free(kafka_txn *txn)
{
    kafka_member *member = txn->member;
    pthread_mutex_lock(&member->lock);
    member->txn = NULL;
    member->spare_records = txn->records;
    member->spare_capacity = txn->record_capacity;
    member->committing = false;
    member->offsets_moved = true;
    bool left = member->left;
    pthread_cond_broadcast(&member->commit_over);
    pthread_mutex_unlock(&member->lock);
    if (txn->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(txn->offsets);
    leat__arena_free(&txn->bytes);
    leat__free(txn->parts);
    leat__free(txn->refused);
    leat__free(txn);
    if (left)
        leat__kafka_member_free(member);
}

leat_status leat__kafka_txn_commit(leat_log_txn *base, leat__written_fn written, void *arg,
                                   leat_error *error)
{
    kafka_txn *txn = (kafka_txn *)base;
    leat_status status = start_commit(txn, error);
    if (status == LEAT_OK && (txn->record_count > 0 || txn->offsets != NULL))
        status = transact(txn, error);
    for (size_t i = 0; status == LEAT_OK && written != NULL && i < txn->part_count; i++) {
        const kafka_part *part = &txn->parts[i];
        written(arg, txn->member->targets[part->target].name, part->partition, part->first,
                part->next);
    }
    bool refused =
        leat__kafka_is_refusal(txn->delivery_code) || is_refused_batch(txn->delivery_code);
    if (status != LEAT_OK && refused) {
        status = explain_delivery(txn, error); /* reports come until the producer is dropped */
        tell_refused(txn);
    }
    txn_free(txn);
    return status;
}

void leat__kafka_txn_abort(leat_log_txn *base)
{
    txn_free((kafka_txn *)base); /* nothing of it has left the process */
}
