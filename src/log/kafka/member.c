/* log/kafka/member.c - membership: consumer groups, eagerly assigned, with static instances (R8).
 *
 *   subscribe ─► [librdkafka: join, heartbeats] ─► rebalance callback ─► event of member_poll
 *                                                     assign ─► ASSIGNED, metadata captured (R7)
 *                                                     revoke ─► REVOKED ── ack ─► unassign
 *                                                     lost   ─► LOST; rejoin.c goes on
 *
 * The consumer is in the group for its partitions' names only: it always assigns itself none, so
 * it fetches nothing. Records are read by readers, which know no group.
 */
#include "log/kafka/member.h"
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAVE_TIMEOUT_MS = 5000,
    /* A dead process is noticed after this long; brokers allow no less by default. */
    SESSION_TIMEOUT_MS = 6000,
    HEARTBEAT_MS = 1500,
    /* More than a commit may take (R3), so that a slow commit is not a lost assignment. */
    POLL_INTERVAL_MS = 30000,
};

/* ------------------------------------------------------------------ the assignment */

static size_t rank_of(const kafka_member *member, const char *topic)
{
    size_t rank = 0;
    while (rank < member->topic_count && strcmp(member->topics[rank], topic) != 0)
        rank++;
    return rank;
}

static int by_topic(const void *a, const void *b, void *member)
{
    const leat_log_partition *left = a, *right = b;
    size_t left_rank = rank_of(member, left->topic), right_rank = rank_of(member, right->topic);
    if (left_rank != right_rank)
        return left_rank < right_rank ? -1 : 1;
    return (left->partition > right->partition) - (left->partition < right->partition);
}

static void forget_owned(kafka_member *member)
{
    member->owned_count = 0;
    if (member->committed != NULL)
        rd_kafka_topic_partition_list_destroy(member->committed);
    member->committed = NULL;
}

static void keep_owned(kafka_member *member, const rd_kafka_topic_partition_list_t *assigned)
{
    forget_owned(member);
    member->owned = leat__realloc(member->owned, (size_t)assigned->cnt + 1, sizeof *member->owned);
    for (int i = 0; i < assigned->cnt; i++) {
        const char *topic = leat__kafka_own_name(member->log, assigned->elems[i].topic);
        size_t rank = topic == NULL ? member->topic_count : rank_of(member, topic);
        if (rank < member->topic_count)
            member->owned[member->owned_count++] =
                (leat_log_partition){member->topics[rank], (uint32_t)assigned->elems[i].partition};
    }
    qsort_r(member->owned, member->owned_count, sizeof *member->owned, by_topic, member);
}

/* A commit that has begun ends before its partitions get another owner. */
static void wait_for_commit(kafka_member *member)
{
    pthread_mutex_lock(&member->lock);
    while (member->committing)
        pthread_cond_wait(&member->commit_over, &member->lock);
    pthread_mutex_unlock(&member->lock);
}

static void set_generation(kafka_member *member, rd_kafka_consumer_group_metadata_t *metadata)
{
    rd_kafka_consumer_group_metadata_t *former = member->metadata;
    wait_for_commit(member); /* it may be using the former one: after LOST nobody acks */
    pthread_mutex_lock(&member->lock);
    member->metadata = metadata;
    member->generation =
        metadata == NULL ? 0 : rd_kafka_consumer_group_metadata_generation_id(metadata);
    member->revoking = false;
    pthread_mutex_unlock(&member->lock);
    if (former != NULL)
        rd_kafka_consumer_group_metadata_destroy(former);
}

static leat_log_event event_of(const kafka_member *member, leat_log_event_kind kind)
{
    return (leat_log_event){.kind = kind,
                            .generation = member->generation,
                            .partitions = member->owned,
                            .partition_count = member->owned_count};
}

static void keep_member_id(kafka_member *member, rd_kafka_t *consumer)
{
    char *id = rd_kafka_memberid(consumer);
    pthread_mutex_lock(&member->lock);
    (void)snprintf(member->member_id, sizeof member->member_id, "%s", id == NULL ? "" : id);
    pthread_mutex_unlock(&member->lock);
    if (id != NULL)
        rd_kafka_mem_free(consumer, id);
}

static void take_assignment(kafka_member *member, rd_kafka_t *consumer,
                            const rd_kafka_topic_partition_list_t *assigned)
{
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_assign(consumer, none);
    rd_kafka_topic_partition_list_destroy(none);
    keep_owned(member, assigned);
    keep_member_id(member, consumer);
    set_generation(member, rd_kafka_consumer_group_metadata(consumer));
    member->pending = event_of(member, LEAT_LOG_ASSIGNED);
}

/* The group may have ended since the client told of it: then there is nothing to drop, and an
 * unpatched client (docs/decisions.md) would let the call wait for ever. */
static void drop_assignment(rd_kafka_t *consumer)
{
    if (!rd_kafka_consumer_closed(consumer))
        (void)rd_kafka_assign(consumer, NULL);
}

static void take_revocation(kafka_member *member, rd_kafka_t *consumer)
{
    bool lost = rd_kafka_assignment_lost(consumer) != 0;
    member->pending = event_of(member, lost ? LEAT_LOG_LOST : LEAT_LOG_REVOKED);
    if (!lost && !member->closing) { /* R8: once the running commit is over and acked */
        pthread_mutex_lock(&member->lock);
        member->revoking = true;
        pthread_mutex_unlock(&member->lock);
        return;
    }
    pthread_mutex_lock(&member->lock);
    member->generation = 0;
    pthread_mutex_unlock(&member->lock);
    if (lost && !member->closing)
        member->rejoin = true; /* this consumer would join as if its name were free */
    else
        drop_assignment(consumer);
}

/* "Fenced" may mean that, or that the client has forgotten who it is: rejoin.c finds out. */
static void doubt_place(kafka_member *member)
{
    pthread_mutex_lock(&member->lock);
    member->generation = 0;
    member->revoking = false;
    pthread_mutex_unlock(&member->lock);
    if (!member->rejoin)
        member->pending = event_of(member, LEAT_LOG_LOST);
    member->rejoin = true;
}

static void rebalanced(rd_kafka_t *consumer, rd_kafka_resp_err_t code,
                       rd_kafka_topic_partition_list_t *partitions, void *arg)
{
    kafka_member *member = arg;
    /* while closing: asking for the member's id would wait for ever for a thread that has ended */
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && member->closing)
        drop_assignment(consumer);
    else if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        take_assignment(member, consumer, partitions);
    else
        take_revocation(member, consumer);
}

/* ------------------------------------------------------------------ polling */

leat_status leat__kafka_fenced(const kafka_member *member, leat_error *error)
{
    return leat__fail(error, LEAT_EFENCED, LEAT_RECOVERY_FATAL, member->group,
                      "a newer process has joined group '%.80s' as instance '%.80s'; give each "
                      "process an instance name of its own",
                      member->group, member->instance);
}

/* What the consumer reports that is no rebalance: most of it passes by itself. */
static leat_status take_report(kafka_member *member, const rd_kafka_message_t *report,
                               leat_error *error)
{
    char reason[256] = "";
    rd_kafka_resp_err_t code = report->err;
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        code = rd_kafka_fatal_error(member->consumer, reason, sizeof reason);
    if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        doubt_place(member);
        return LEAT_OK;
    }
    const char *text = reason[0] != '\0' ? reason : rd_kafka_message_errstr(report);
    switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
    case RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return leat__kafka_fail(error, code, member->group, "group '%.80s': %.200s", member->group,
                                text);
    default:
        break;
    }
    if (report->err == RD_KAFKA_RESP_ERR__FATAL)
        return leat__kafka_fail(error, code, member->group, "group '%.80s': %.200s", member->group,
                                text);
    leat__log_line(LEAT__WARN, "kafka", "group '%s': %s", member->group, text);
    return LEAT_OK;
}

/* One thing that the consumer has to say; *quiet when there is none. */
static leat_status poll_consumer(kafka_member *member, int wait_ms, bool *quiet, leat_error *error)
{
    rd_kafka_message_t *report = rd_kafka_consumer_poll(member->consumer, wait_ms);
    *quiet = report == NULL && member->pending.kind == LEAT_LOG_NOTHING;
    if (report == NULL)
        return LEAT_OK;
    leat_status status =
        report->err == RD_KAFKA_RESP_ERR_NO_ERROR ? LEAT_OK : take_report(member, report, error);
    rd_kafka_message_destroy(report);
    return status;
}

leat_status leat__kafka_member_poll(leat_log_member *base, leat_log_event *event, leat_error *error)
{
    kafka_member *member = (kafka_member *)base;
    if (member->fenced)
        return leat__kafka_fenced(member, error);
    if (member->rejoin && member->pending.kind == LEAT_LOG_NOTHING)
        return leat__kafka_rejoin(member, error);
    while (member->consumer != NULL && member->pending.kind == LEAT_LOG_NOTHING) {
        bool quiet;
        leat__waker_arm(member->waker); /* before the look: what comes after it wakes */
        leat_status status = poll_consumer(member, 0, &quiet, error);
        if (quiet)
            return LEAT_OK;
        leat__waker_disarm(member->waker);
        if (status != LEAT_OK)
            return status;
    }
    *event = member->pending;
    member->pending = (leat_log_event){.kind = LEAT_LOG_NOTHING};
    return LEAT_OK;
}

void leat__kafka_member_ack(leat_log_member *base)
{
    kafka_member *member = (kafka_member *)base;
    wait_for_commit(member);
    pthread_mutex_lock(&member->lock);
    bool revoking = member->revoking;
    member->revoking = false;
    if (revoking)
        member->generation = 0;
    pthread_mutex_unlock(&member->lock);
    if (revoking)
        (void)rd_kafka_assign(member->consumer, NULL);
}

static void woken(rd_kafka_t *consumer, void *arg)
{
    (void)consumer;
    leat__wakes wakes = {0};
    leat__wakes_add(&wakes, arg);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
}

/* ------------------------------------------------------------------ joining and leaving */

static leat_status consumer_conf(kafka_member *member, rd_kafka_conf_t *conf, leat_error *error)
{
    char group[LEAT__KAFKA_NAME_BYTES], text[24];
    const char *const settings[][2] = {
        {"group.id", kafka_name(member->log, member->group, group)},
        {"group.instance.id", member->instance},
        {"partition.assignment.strategy", "range"}, /* R8: eager; equal partitions together */
        {"isolation.level", "read_committed"},      /* R5: stable committed offsets */
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
    };
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < sizeof settings / sizeof *settings && status == LEAT_OK; i++)
        status = leat__kafka_set(conf, settings[i][0], settings[i][1], error);
    const struct {
        const char *key;
        int value;
    } times[] = {{"session.timeout.ms", SESSION_TIMEOUT_MS},
                 {"heartbeat.interval.ms", HEARTBEAT_MS},
                 {"max.poll.interval.ms", POLL_INTERVAL_MS}};
    for (size_t i = 0; i < sizeof times / sizeof *times && status == LEAT_OK; i++) {
        if (leat__kafka_given(member->log, times[i].key))
            continue; /* by the user */
        (void)snprintf(text, sizeof text, "%d", times[i].value);
        status = leat__kafka_set(conf, times[i].key, text, error);
    }
    return status;
}

static leat_status make_consumer(kafka_member *member, leat_error *error)
{
    rd_kafka_conf_t *conf;
    leat_status status = leat__kafka_conf(member->log, LEAT__KAFKA_MEMBER, &conf, error);
    if (status != LEAT_OK)
        return status;
    status = consumer_conf(member, conf, error);
    if (status != LEAT_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    rd_kafka_conf_set_opaque(conf, member);
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    status = leat__kafka_new(RD_KAFKA_CONSUMER, conf, &member->consumer, error);
    if (status != LEAT_OK)
        return status;
    (void)rd_kafka_poll_set_consumer(member->consumer);
    member->queue = rd_kafka_queue_get_consumer(member->consumer);
    rd_kafka_queue_cb_event_enable(member->queue, woken, member->waker);
    return LEAT_OK;
}

static leat_status subscribe(kafka_member *member, leat_error *error)
{
    rd_kafka_topic_partition_list_t *topics =
        rd_kafka_topic_partition_list_new((int)member->topic_count);
    for (size_t i = 0; i < member->topic_count; i++) {
        char name[LEAT__KAFKA_NAME_BYTES];
        (void)rd_kafka_topic_partition_list_add(
            topics, kafka_name(member->log, member->topics[i], name), RD_KAFKA_PARTITION_UA);
    }
    rd_kafka_resp_err_t code = rd_kafka_subscribe(member->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return LEAT_OK;
    return leat__kafka_fail(error, code, member->group, "group '%.80s' cannot be joined",
                            member->group);
}

leat_status leat__kafka_join_group(kafka_member *member, leat_error *error)
{
    leat_status status = make_consumer(member, error);
    return status == LEAT_OK ? subscribe(member, error) : status;
}

static kafka_member *new_member(leat__kafka *log, const leat_log_group *group, leat__wake_fn wake,
                                void *arg)
{
    kafka_member *member = leat__calloc(1, sizeof *member);
    member->base.log = &log->base;
    member->log = log;
    member->group = leat__strdup(group->group);
    member->instance = leat__strdup(group->instance);
    member->transactional_id = leat__kafka_transactional_id(log, group->group, group->instance);
    member->topics = leat__calloc(group->topic_count + 1, sizeof *member->topics);
    for (size_t i = 0; i < group->topic_count; i++)
        member->topics[member->topic_count++] = leat__strdup(group->topics[i]);
    member->guarantee = group->guarantee;
    member->transaction_timeout_ms = group->transaction_timeout_ms;
    member->batch_bytes = LEAT__KAFKA_BATCH_BYTES_MAX;
    member->waker = leat__waker_new(wake, arg);
    pthread_mutex_init(&member->lock, NULL);
    pthread_cond_init(&member->commit_over, NULL);
    return member;
}

/* The group is joined last: until then a former process of this instance is only told that its
 * transactions are over (R15), and this one owns nothing. */
leat_status leat__kafka_join(leat_log *base, const leat_log_group *group, leat__wake_fn wake,
                             void *arg, leat_log_member **out, leat_error *error)
{
    leat__kafka *log = (leat__kafka *)base;
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_status status = leat__kafka_name(log, group->group, name, error);
    for (size_t i = 0; i < group->topic_count && status == LEAT_OK; i++)
        status = leat__kafka_topic(log, group->topics[i], NULL, error);
    if (status != LEAT_OK)
        return status;
    kafka_member *member = new_member(log, group, wake, arg);
    status = leat__kafka_producer_ready(member, error);
    if (status == LEAT_OK && member->topic_count != 0) {
        status = leat__kafka_join_group(member, error);
    } else if (status == LEAT_OK) {
        member->generation = 1; /* nothing to share, nobody to share it with */
        member->pending = event_of(member, LEAT_LOG_ASSIGNED);
    }
    if (status == LEAT_OK)
        *out = &member->base;
    else
        leat__kafka_leave(&member->base);
    return status;
}

/* A static member that is closed stays in its group until its session ends; one that unsubscribes
 * leaves at once, so that the others need not wait for its partitions. */
static void leave_group(kafka_member *member)
{
    member->closing = true;
    if (member->revoking)
        drop_assignment(member->consumer);
    if (!member->fenced && rd_kafka_unsubscribe(member->consumer) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (int waited_ms = 0;
             waited_ms < LEAVE_TIMEOUT_MS && member->owned_count != 0 && member->generation != 0;
             waited_ms += 10) {
            bool quiet;
            (void)poll_consumer(member, 10, &quiet, NULL);
            member->pending = (leat_log_event){.kind = LEAT_LOG_NOTHING};
        }
}

void leat__kafka_drop_consumer(kafka_member *member)
{
    if (member->consumer == NULL)
        return;
    if (member->queue != NULL) {
        rd_kafka_queue_cb_event_enable(member->queue, NULL, NULL);
        rd_kafka_queue_destroy(member->queue);
    }
    rd_kafka_destroy_flags(member->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    member->consumer = NULL;
    member->queue = NULL;
}

void leat__kafka_leave(leat_log_member *base)
{
    kafka_member *member = (kafka_member *)base;
    wait_for_commit(member);
    if (member->consumer != NULL && !member->rejoin) {
        leave_group(member);
        (void)rd_kafka_consumer_close(member->consumer);
    }
    leat__kafka_drop_consumer(member);
    leat__waker_close(member->waker);
    pthread_mutex_lock(&member->lock);
    member->left = true;
    member->generation = 0;
    bool open = member->txn != NULL;
    pthread_mutex_unlock(&member->lock);
    leat__kafka_producer_drop(member);
    if (!open)
        leat__kafka_member_free(member);
}

void leat__kafka_member_free(kafka_member *member)
{
    for (size_t i = 0; i < member->topic_count; i++)
        leat__free(member->topics[i]);
    for (size_t i = 0; i < member->target_count; i++) {
        leat__free(member->targets[i].name);
        leat__free(member->targets[i].part_of);
    }
    if (member->metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(member->metadata);
    forget_owned(member);
    leat__kafka_names_free(&member->seen);
    leat__free(member->owned);
    leat__free(member->targets);
    leat__free(member->spare_records);
    leat__free(member->topics);
    leat__free(member->group);
    leat__free(member->instance);
    leat__free(member->transactional_id);
    pthread_mutex_destroy(&member->lock);
    pthread_cond_destroy(&member->commit_over);
    leat__free(member);
}

/* ------------------------------------------------------------------ committed offsets */

static rd_kafka_topic_partition_list_t *list_of_owned(const kafka_member *member)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)member->owned_count);
    for (size_t i = 0; i < member->owned_count; i++) {
        char name[LEAT__KAFKA_NAME_BYTES];
        (void)rd_kafka_topic_partition_list_add(
            list, kafka_name(member->log, member->owned[i].topic, name),
            (int32_t)member->owned[i].partition);
    }
    return list;
}

/* R5: transactions of the former incarnation are decided first, then offsets that no running
 * transaction can change are asked for. */
static leat_status ask_committed(kafka_member *member, leat_error *error)
{
    pthread_mutex_lock(&member->lock);
    bool known = member->committed != NULL && !member->offsets_moved, busy = member->committing;
    member->offsets_moved = false;
    pthread_mutex_unlock(&member->lock);
    if (known)
        return LEAT_OK;
    if (member->committed != NULL) /* if asking fails, what was known before is not the answer */
        rd_kafka_topic_partition_list_destroy(member->committed);
    member->committed = NULL;
    leat_status status = busy ? LEAT_OK : leat__kafka_producer_ready(member, error);
    if (status != LEAT_OK)
        return status;
    rd_kafka_topic_partition_list_t *list = list_of_owned(member);
    rd_kafka_resp_err_t code = leat__kafka_ask_stable(member, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_topic_partition_list_destroy(list);
        if (code == RD_KAFKA_RESP_ERR__TIMED_OUT) /* until the broker ends it, see R5 */
            return leat__fail(error, LEAT_EAGAIN, LEAT_RECOVERY_RETRY, member->group,
                              "the committed offsets of group '%.80s' are not known yet: a process "
                              "that is not known to be gone left a transaction open, or the broker "
                              "is slow",
                              member->group);
        return leat__kafka_fail(error, code, member->group,
                                "the committed offsets of group '%.80s'", member->group);
    }
    member->committed = list;
    return LEAT_OK;
}

leat_status leat__kafka_committed(leat_log_member *base, const char *topic, uint32_t partition,
                                  leat_log_offset *offset, leat_error *error)
{
    kafka_member *member = (kafka_member *)base;
    size_t at = 0;
    while (at < member->owned_count && (member->owned[at].partition != partition ||
                                        strcmp(member->owned[at].topic, topic) != 0))
        at++;
    if (at == member->owned_count || member->generation == 0)
        return leat__log_not_owned(error, topic, partition);
    leat_status status = ask_committed(member, error);
    if (status != LEAT_OK)
        return status;
    const rd_kafka_topic_partition_t *found = &member->committed->elems[at];
    *offset = (leat_log_offset){
        .topic = topic, .partition = partition, .offset = found->offset < 0 ? -1 : found->offset};
    leat_str by;
    offset->metadata = leat__kafka_unsigned(found->metadata, found->metadata_size, &by);
    return LEAT_OK;
}
