/* log/kafka/admin.c - topics made and deleted, bounds, and what groups have committed.
 *
 *     request ─► admin handle ─► the controller ─► result event     one at a time, bounded
 *
 *     create ─► wait until every partition has a leader that answers
 *     delete ─► wait until nobody knows it: a topic made again under the name is another one
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/kafka/member.h"
#include "log/kafka/reader.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The disk gets whole segments back, never the newest: of what is trimmed or too old at most so
 * much stays. Brokers' own default is 1 GiB. */
enum {
    SEGMENT_BYTES = 64 << 20,
    NEW_LEADER_MS = 5000, /* so long may a leader not know that it is one, or not all about it */
};

/* ---------------------------------------------------------------- requests */

leat_status leat__kafka_administer(leat__kafka *log, rd_kafka_admin_op_t kind,
                                   leat__kafka_request send, const void *what,
                                   rd_kafka_event_t **event, leat_error *error)
{
    int timeout_ms = log->options.connect_timeout_ms;
    char reason[LEAT__KAFKA_REASON_BYTES];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(log->admin, kind);
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, reason, sizeof reason);
    if (kind == RD_KAFKA_ADMIN_OP_CREATETOPICS || kind == RD_KAFKA_ADMIN_OP_DELETETOPICS)
        rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, reason, sizeof reason);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->admin);
    send(log->admin, what, options, queue);
    *event = rd_kafka_queue_poll(queue, timeout_ms + 1000);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_poll(log->admin, 0);
    rd_kafka_resp_err_t code =
        *event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(*event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return LEAT_OK;
    leat_status status =
        leat__kafka_fail(error, code, "kafka", "%.60s: %.160s", log->options.servers,
                         *event == NULL ? "no answer" : rd_kafka_event_error_string(*event));
    if (*event != NULL)
        rd_kafka_event_destroy(*event);
    *event = NULL;
    return status;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* ---------------------------------------------------------------- create */

static void set_number(rd_kafka_NewTopic_t *topic, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    rd_kafka_NewTopic_set_config(topic, key, text);
}

static rd_kafka_NewTopic_t *new_topic(const leat__kafka *log, const char *name,
                                      const leat_topic_opts *opts, leat_error *error)
{
    char reason[LEAT__KAFKA_REASON_BYTES];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        name, (int)opts->partition_count, log->options.replication, reason, sizeof reason);
    if (topic == NULL) {
        leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, name, "%.200s", reason);
        return NULL;
    }
    rd_kafka_NewTopic_set_config(topic, "cleanup.policy",
                                 !opts->compacted          ? "delete"
                                 : opts->retention_ms != 0 ? "compact,delete"
                                                           : "compact");
    set_number(topic, "retention.ms", opts->retention_ms == 0 ? -1 : opts->retention_ms);
    set_number(topic, "retention.bytes", opts->retention_bytes == 0 ? -1 : opts->retention_bytes);
    if (opts->retention_ms != 0 && !opts->compacted)
        set_number(topic, "segment.bytes", SEGMENT_BYTES);
    set_number(topic, "max.message.bytes", 4 << 20); /* 1 MiB and its envelope, in batches */
    rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "CreateTime");
    /* Kafka 4 refuses more than an hour ahead; event time is the writer's to say */
    set_number(topic, "message.timestamp.after.max.ms", INT64_MAX);
    if (opts->compacted)
        set_number(topic, "delete.retention.ms", LEAT_LOG_TOMBSTONE_RETENTION_MS);
    if (log->options.min_insync_replicas > 0)
        set_number(topic, "min.insync.replicas", log->options.min_insync_replicas);
    return topic;
}

static void send_create(rd_kafka_t *handle, const void *what, rd_kafka_AdminOptions_t *options,
                        rd_kafka_queue_t *queue)
{
    rd_kafka_NewTopic_t *topics[1];
    memcpy(topics, what, sizeof topics);
    rd_kafka_CreateTopics(handle, topics, 1, options, queue);
}

static leat_status topic_failed(const rd_kafka_topic_result_t *result, const char *topic,
                                leat_error *error)
{
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result);
    const char *said = rd_kafka_topic_result_error_string(result);
    if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return leat__log_topic_exists(error, topic);
    /* brokers that are there, but out of touch with the controller at this moment */
    if (code == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR && said != NULL &&
        strstr(said, "currently fenced") != NULL)
        code = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    return leat__kafka_fail(error, code, topic, "topic '%.80s': %.140s", topic,
                            said == NULL ? "refused" : said);
}

/* Leaders know it when they answer: a writer or reader that comes now finds it. partition_count 0:
 * however many there are. */
static leat_status await_leaders(leat__kafka *log, const char *name, uint32_t partition_count,
                                 leat_error *error)
{
    int64_t until_us = leat__kafka_now_us(log) + (int64_t)log->options.connect_timeout_ms * 1000;
    for (uint32_t ready = 0;;) {
        uint32_t known, leaderless;
        leat_status status = leat__kafka_ask(log, name, &known, &leaderless, error);
        if (status != LEAT_OK)
            return status;
        bool led =
            known > 0 && leaderless == 0 && (partition_count == 0 || known == partition_count);
        int64_t begin, end;
        while (led && ready < known &&
               rd_kafka_query_watermark_offsets(log->admin, name, (int32_t)ready, &begin, &end,
                                                log->options.connect_timeout_ms) ==
                   RD_KAFKA_RESP_ERR_NO_ERROR)
            ready++;
        if (led && ready == known)
            return LEAT_OK;
        if (leat__kafka_now_us(log) > until_us)
            return leat__kafka_fail(error, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, name,
                                    "topic '%.80s' was created, but %" PRIu32
                                    " of its partitions have no leader",
                                    name, known == 0 ? partition_count : leaderless);
        pause_ms(3);
    }
}

leat_status leat__kafka_topic_create(leat_log *base, const char *topic, const leat_topic_opts *opts,
                                     leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_status status = leat__kafka_name(log, topic, name, error);
    if (status != LEAT_OK)
        return status;
    rd_kafka_NewTopic_t *wanted = new_topic(log, name, opts, error);
    if (wanted == NULL)
        return LEAT_EINVAL;
    rd_kafka_event_t *event;
    status = leat__kafka_administer(log, RD_KAFKA_ADMIN_OP_CREATETOPICS, send_create, &wanted,
                                    &event, error);
    rd_kafka_NewTopic_destroy(wanted);
    if (status != LEAT_OK)
        return status;
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (count == 1 && rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
        status = topic_failed(results[0], topic, error);
    rd_kafka_event_destroy(event);
    leat__kafka_forget(log, topic);
    if (status == LEAT_EEXISTS) { /* made this moment by another process: brokers learn it later */
        leat_error ignored;
        (void)await_leaders(log, name, 0, &ignored);
    }
    return status == LEAT_OK ? await_leaders(log, name, opts->partition_count, error) : status;
}

/* ---------------------------------------------------------------- delete */

static void send_delete(rd_kafka_t *handle, const void *what, rd_kafka_AdminOptions_t *options,
                        rd_kafka_queue_t *queue)
{
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(what);
    rd_kafka_DeleteTopics(handle, &topic, 1, options, queue);
    rd_kafka_DeleteTopic_destroy(topic);
}

static leat_status await_gone(leat__kafka *log, const char *name, leat_error *error)
{
    int64_t until_us = leat__kafka_now_us(log) + (int64_t)log->options.connect_timeout_ms * 1000;
    for (;;) {
        uint32_t known, leaderless;
        leat_status status = leat__kafka_ask(log, name, &known, &leaderless, error);
        if (status != LEAT_OK || known == 0)
            return status;
        if (leat__kafka_now_us(log) > until_us)
            return leat__kafka_fail(error, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, name,
                                    "topic '%.80s' is being deleted, but still there", name);
        pause_ms(3);
    }
}

leat_status leat__kafka_topic_delete(leat_log *base, const char *topic, leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_topic_opts opts;
    leat_status status = leat__kafka_topic_describe(base, topic, &opts, error);
    if (status == LEAT_OK)
        status = leat__kafka_name(log, topic, name, error);
    rd_kafka_event_t *event = NULL;
    if (status == LEAT_OK)
        status = leat__kafka_administer(log, RD_KAFKA_ADMIN_OP_DELETETOPICS, send_delete, name,
                                        &event, error);
    if (status != LEAT_OK)
        return status;
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    if (count == 1 && rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
        status = topic_failed(results[0], topic, error);
    rd_kafka_event_destroy(event);
    leat__kafka_forget(log, topic);
    leat__kafka_drop_producer(log); /* what it knows about the topic is of the former one */
    if (status == LEAT_OK)
        leat__kafka_tell_readers(log, topic, opts.id);
    return status == LEAT_OK ? await_gone(log, name, error) : status;
}

/* ---------------------------------------------------------------- bounds */

rd_kafka_resp_err_t leat__kafka_ask_bounds(const leat__kafka *log, rd_kafka_t *handle,
                                           const char *name, uint32_t partition, int64_t *begin,
                                           int64_t *end)
{
    int timeout_ms = log->options.connect_timeout_ms;
    int64_t patience_ms = timeout_ms < NEW_LEADER_MS ? timeout_ms : NEW_LEADER_MS;
    int64_t until_us = leat__kafka_now_us(log) + patience_ms * 1000;
    rd_kafka_resp_err_t code;
    while ((code = rd_kafka_query_watermark_offsets(handle, name, (int32_t)partition, begin, end,
                                                    timeout_ms)) != RD_KAFKA_RESP_ERR_NO_ERROR &&
           leat__kafka_status(code, NULL) == LEAT_EAGAIN && leat__kafka_now_us(log) < until_us)
        pause_ms(20);
    return code;
}

/* R5: read-uncommitted, as the admin handle is: a restore must wait for what is on its way. */
leat_status leat__kafka_bounds(leat_log *base, const char *topic, uint32_t partition,
                               int64_t *begin, int64_t *end, leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_status status = leat__kafka_partition(log, topic, partition, error);
    if (status == LEAT_OK)
        status = leat__kafka_name(log, topic, name, error);
    if (status != LEAT_OK)
        return status;
    rd_kafka_resp_err_t code = leat__kafka_ask_bounds(log, log->admin, name, partition, begin, end);
    rd_kafka_poll(log->admin, 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return LEAT_OK;
    code = leat__kafka_look_for(log, topic, partition, code);
    return leat__kafka_fail(error, code, topic, "%.60s: the bounds of '%.80s' partition %" PRIu32,
                            log->options.servers, topic, partition);
}

leat_status leat__kafka_clean(leat_log *log, leat_error *error)
{
    (void)log; /* the brokers clean in their own time */
    (void)error;
    return LEAT_OK;
}

/* ---------------------------------------------------------------- trim */

static void send_trim(rd_kafka_t *handle, const void *what, rd_kafka_AdminOptions_t *options,
                      rd_kafka_queue_t *queue)
{
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(what);
    rd_kafka_DeleteRecords(handle, &request, 1, options, queue);
    rd_kafka_DeleteRecords_destroy(request);
}

static leat_status trim_failed(leat__kafka *log, const rd_kafka_topic_partition_t *result,
                               const rd_kafka_topic_partition_list_t *asked, leat_error *error)
{
    const char *own = leat__kafka_own_name(log, result->topic);
    const rd_kafka_topic_partition_t *entry =
        rd_kafka_topic_partition_list_find(asked, result->topic, result->partition);
    leat_log_offset offset = {.topic = own, .partition = (uint32_t)result->partition};
    if (result->err != RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE || entry == NULL)
        return leat__kafka_fail(error, result->err, own,
                                "partition %" PRId32 " of '%.80s' cannot be trimmed",
                                result->partition, own);
    offset.offset = entry->offset;
    return leat__log_check_trim(&offset, &(leat_topic_opts){.partition_count = UINT32_MAX}, -1,
                                error);
}

static leat_status send_list(leat__kafka *log, const rd_kafka_topic_partition_list_t *list,
                             leat_error *error)
{
    rd_kafka_event_t *event;
    leat_status status = leat__kafka_administer(log, RD_KAFKA_ADMIN_OP_DELETERECORDS, send_trim,
                                                list, &event, error);
    if (status != LEAT_OK)
        return status;
    const rd_kafka_topic_partition_list_t *results =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    for (int i = 0; i < results->cnt && status == LEAT_OK; i++)
        if (results->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            status = trim_failed(log, &results->elems[i], list, error);
    rd_kafka_event_destroy(event);
    return status;
}

/* One request for each broker. The broker itself knows where a partition ends. */
leat_status leat__kafka_trim(leat_log *base, const leat_log_offset *offsets, size_t count,
                             leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < count && status == LEAT_OK; i++) {
        char name[LEAT__KAFKA_NAME_BYTES];
        leat_topic_opts opts;
        status = leat__kafka_topic(log, offsets[i].topic, &opts, error);
        if (status == LEAT_OK)
            status = leat__log_check_trim(&offsets[i], &opts, INT64_MAX, error);
        if (status == LEAT_OK)
            status = leat__kafka_name(log, offsets[i].topic, name, error);
        if (status == LEAT_OK)
            rd_kafka_topic_partition_list_add(list, name, (int32_t)offsets[i].partition)->offset =
                offsets[i].offset;
    }
    if (status == LEAT_OK)
        status = send_list(log, list, error);
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

/* ---------------------------------------------------------------- groups */

/* A handle that knows the group and does not join it. */
static leat_status look_into(leat__kafka *log, const char *group, rd_kafka_t **handle,
                             leat_error *error)
{
    rd_kafka_conf_t *conf;
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_status status = leat__kafka_name(log, group, name, error);
    if (status == LEAT_OK)
        status = leat__kafka_conf(log, LEAT__KAFKA_ADMIN, &conf, error);
    if (status != LEAT_OK)
        return status;
    status = leat__kafka_set(conf, "group.id", name, error);
    if (status == LEAT_OK)
        return leat__kafka_new(RD_KAFKA_CONSUMER, conf, handle, error);
    rd_kafka_conf_destroy(conf);
    return status;
}

/* Not by the client's administrative call: told that the group is another broker's now, it ends the
 * process (2.0.2 to 2.15.1). This one looks for that broker, and is asked again (R30: bounded). */
leat_status leat__kafka_offsets_as_they_are(leat__kafka *log, const char *group,
                                            rd_kafka_topic_partition_list_t *list, int timeout_ms,
                                            leat_error *error)
{
    rd_kafka_t *handle;
    leat_status status = look_into(log, group, &handle, error);
    if (status != LEAT_OK)
        return status;
    leat__kafka_quiet(1); /* whoever asks tells what came of it */
    int64_t until_us = leat__kafka_now_us(log) + (int64_t)timeout_ms * 1000;
    rd_kafka_resp_err_t code = rd_kafka_committed(handle, list, timeout_ms);
    while (leat__kafka_status(code, NULL) == LEAT_EAGAIN && leat__kafka_now_us(log) < until_us) {
        pause_ms(20);
        code = rd_kafka_committed(handle, list, timeout_ms);
    }
    rd_kafka_destroy(handle);
    leat__kafka_quiet(-1);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? LEAT_OK
               : leat__kafka_fail(error, code, group, "%.60s: the offsets of group '%.80s'",
                                  log->options.servers, group);
}

/* All partitions of all topics, in order; the caller destroys the list. */
static leat_status list_partitions(leat__kafka *log, rd_kafka_topic_partition_list_t **all,
                                   leat_error *error)
{
    const rd_kafka_metadata_t *metadata;
    const char **names;
    size_t count;
    leat_status status = leat__kafka_list(log, &metadata, &names, &count, error);
    if (status != LEAT_OK)
        return status;
    *all = rd_kafka_topic_partition_list_new(16);
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const rd_kafka_metadata_topic_t *topic = &metadata->topics[i];
        if (topic->partition_cnt > 0 && leat__kafka_own_name(log, topic->topic) != NULL)
            rd_kafka_topic_partition_list_add_range(*all, topic->topic, 0,
                                                    topic->partition_cnt - 1);
    }
    leat__free(names);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_partition_list_sort(*all, NULL, NULL);
    return LEAT_OK;
}

/* Of the list's partitions; fn may be NULL: only counts. */
static leat_status give_offsets(leat__kafka *log, const char *group,
                                rd_kafka_topic_partition_list_t *list, leat__offset_fn fn,
                                void *arg, size_t *given, leat_error *error)
{
    *given = 0;
    leat_status status =
        leat__kafka_offsets_as_they_are(log, group, list, log->options.connect_timeout_ms, error);
    bool more = status == LEAT_OK;
    for (int i = 0; more && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *found = &list->elems[i];
        if (found->offset < 0 || found->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        leat_log_offset offset = {
            .topic = leat__kafka_own_name(log, found->topic),
            .partition = (uint32_t)found->partition,
            .offset = found->offset,
        };
        leat_str by;
        offset.metadata = leat__kafka_unsigned(found->metadata, found->metadata_size, &by);
        ++*given;
        more = fn == NULL || fn(arg, &offset);
    }
    return status;
}

leat_status leat__kafka_group_offsets(leat_log *base, const char *group, leat__offset_fn fn,
                                      void *arg, leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    rd_kafka_topic_partition_list_t *all;
    size_t given;
    leat_status status = list_partitions(log, &all, error);
    if (status != LEAT_OK)
        return status;
    status = give_offsets(log, group, all, fn, arg, &given, error);
    rd_kafka_topic_partition_list_destroy(all);
    return status;
}

static void send_list_groups(rd_kafka_t *handle, const void *what, rd_kafka_AdminOptions_t *options,
                             rd_kafka_queue_t *queue)
{
    (void)what;
    rd_kafka_ListConsumerGroups(handle, options, queue);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static leat_status list_groups(leat__kafka *log, char ***names, size_t *count, leat_error *error)
{
    rd_kafka_event_t *event;
    *names = NULL;
    *count = 0;
    leat_status status = leat__kafka_administer(log, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
                                                send_list_groups, NULL, &event, error);
    if (status != LEAT_OK)
        return status;
    const rd_kafka_ListConsumerGroups_result_t *result =
        rd_kafka_event_ListConsumerGroups_result(event);
    size_t listed, failures;
    const rd_kafka_error_t **failed = rd_kafka_ListConsumerGroups_result_errors(result, &failures);
    if (failures > 0) { /* a broker did not answer: what is listed is not all */
        status =
            leat__kafka_fail(error, rd_kafka_error_code(failed[0]), "kafka", "listing the groups");
        rd_kafka_event_destroy(event);
        return status;
    }
    const rd_kafka_ConsumerGroupListing_t **groups =
        rd_kafka_ListConsumerGroups_result_valid(result, &listed);
    *names = leat__calloc(listed + 1, sizeof **names);
    for (size_t i = 0; i < listed; i++) {
        const char *name = rd_kafka_ConsumerGroupListing_group_id(groups[i]);
        if (leat__kafka_own_name(log, name) != NULL)
            (*names)[(*count)++] = leat__strdup(name);
    }
    rd_kafka_event_destroy(event);
    qsort(*names, *count, sizeof **names, by_text);
    return LEAT_OK;
}

leat_status leat__kafka_group_each(leat_log *base, leat__group_fn fn, void *arg, leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    rd_kafka_topic_partition_list_t *all = NULL;
    char **names;
    size_t count, given;
    leat_status status = list_groups(log, &names, &count, error);
    if (status == LEAT_OK)
        status = list_partitions(log, &all, error);
    bool more = true;
    for (size_t i = 0; i < count && more && status == LEAT_OK; i++) {
        const char *group = leat__kafka_own_name(log, names[i]);
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(all);
        status = give_offsets(log, group, list, NULL, NULL, &given, error);
        if (status == LEAT_OK && given > 0)
            more = fn(arg, group);
        rd_kafka_topic_partition_list_destroy(list);
    }
    if (all != NULL)
        rd_kafka_topic_partition_list_destroy(all);
    for (size_t i = 0; i < count; i++)
        leat__free(names[i]);
    leat__free(names);
    return status;
}
