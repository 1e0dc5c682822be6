/* log/kafka/topics.c - what the cluster says about a topic, and a copy of it for a minute.
 *
 *     leat__kafka_topic ─► copy younger than a minute? ─► yes: partitions, compacted
 *                                └─► no: metadata ─► DescribeConfigs ─► copy
 *
 * A topic that is not in the copy is asked for each time: another process may just have made it.
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "log/kafka/kafka.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_LIFE_US = 60 * 1000 * 1000 };

struct leat__kafka_topic_entry {
    char *name;
    leat_topic_opts opts;
    leat__log_limits limits;
    int64_t until_us;
    int64_t asked_us; /* the id was asked for then */
};

/* Of a batch with one record, beside key and value: 61 bytes of the batch, up to 36 of the record,
 * rounded up. */
enum { ENVELOPE_BYTES = 100 };

/* ---------------------------------------------------------------- the copies */

static leat__kafka_topic_entry *find(leat__kafka *log, const char *topic)
{
    for (size_t i = 0; i < log->topic_count; i++)
        if (strcmp(log->topics[i].name, topic) == 0)
            return &log->topics[i];
    return NULL;
}

static void keep(leat__kafka *log, const char *topic, const leat_topic_opts *opts,
                 const leat__log_limits *limits, int64_t asked_us)
{
    pthread_mutex_lock(&log->topics_lock);
    leat__kafka_topic_entry *entry = find(log, topic);
    if (entry == NULL) {
        log->topics = leat__realloc(log->topics, log->topic_count + 1, sizeof *log->topics);
        entry = &log->topics[log->topic_count++];
        entry->name = leat__strdup(topic);
    }
    entry->opts = *opts;
    entry->limits = *limits;
    entry->until_us = leat__kafka_now_us(log) + COPY_LIFE_US;
    entry->asked_us = asked_us;
    pthread_mutex_unlock(&log->topics_lock);
}

static bool recall(leat__kafka *log, const char *topic, leat_topic_opts *opts,
                   leat__log_limits *limits)
{
    pthread_mutex_lock(&log->topics_lock);
    const leat__kafka_topic_entry *entry = find(log, topic);
    bool fresh = entry != NULL && entry->until_us > leat__kafka_now_us(log);
    if (fresh) {
        *opts = entry->opts;
        *limits = entry->limits;
    }
    pthread_mutex_unlock(&log->topics_lock);
    return fresh;
}

void leat__kafka_forget(leat__kafka *log, const char *topic)
{
    pthread_mutex_lock(&log->topics_lock);
    for (size_t i = log->topic_count; i-- > 0;) {
        if (topic != NULL && strcmp(log->topics[i].name, topic) != 0)
            continue;
        leat__free(log->topics[i].name);
        log->topics[i] = log->topics[--log->topic_count];
    }
    if (log->topic_count == 0) {
        leat__free(log->topics);
        log->topics = NULL;
    }
    pthread_mutex_unlock(&log->topics_lock);
}

/* ---------------------------------------------------------------- metadata */

leat_status leat__kafka_ask(leat__kafka *log, const char *cluster_name, uint32_t *partition_count,
                            uint32_t *leaderless, leat_error *error)
{
    *partition_count = *leaderless = 0;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(log->admin, cluster_name, NULL);
    if (topic == NULL)
        return leat__kafka_fail(error, rd_kafka_last_error(), cluster_name, "topic '%.80s'",
                                cluster_name);
    const rd_kafka_metadata_t *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(log->admin, 0, topic, &metadata, log->options.connect_timeout_ms);
    rd_kafka_topic_destroy(topic);
    rd_kafka_poll(log->admin, 0); /* its errors are logged; here they would only pile up */
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return leat__kafka_fail(error, code, cluster_name, "%.60s: asking for topic '%.80s'",
                                log->options.servers, cluster_name);
    leat_status status = LEAT_OK;
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const rd_kafka_metadata_topic_t *found = &metadata->topics[i];
        if (strcmp(found->topic, cluster_name) != 0)
            continue;
        if (found->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            status =
                leat__kafka_fail(error, found->err, cluster_name, "topic '%.80s'", cluster_name);
        if (found->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
            found->err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
            *partition_count = (uint32_t)found->partition_cnt;
        for (int p = 0; p < found->partition_cnt; p++)
            *leaderless += found->partitions[p].leader < 0;
    }
    rd_kafka_metadata_destroy(metadata);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

leat_status leat__kafka_list(leat__kafka *log, const rd_kafka_metadata_t **metadata,
                             const char ***names, size_t *count, leat_error *error)
{
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(log->admin, 1, NULL, metadata, log->options.connect_timeout_ms);
    rd_kafka_poll(log->admin, 0);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return leat__kafka_fail(error, code, "kafka", "%.60s: listing the topics",
                                log->options.servers);
    *names = leat__alloc(((size_t)(*metadata)->topic_cnt + 1) * sizeof(char *));
    *count = 0;
    for (int i = 0; i < (*metadata)->topic_cnt; i++) {
        const rd_kafka_metadata_topic_t *found = &(*metadata)->topics[i];
        const char *own = leat__kafka_own_name(log, found->topic);
        if (own != NULL && *own != '\0' && strncmp(found->topic, "__", 2) != 0 &&
            found->partition_cnt > 0)
            (*names)[(*count)++] = own;
    }
    qsort(*names, *count, sizeof **names, by_name);
    return LEAT_OK;
}

static leat_status unknown(leat__kafka *log, const char *topic, leat_error *error)
{
    const rd_kafka_metadata_t *metadata;
    const char **names;
    size_t count;
    if (leat__kafka_list(log, &metadata, &names, &count, error) != LEAT_OK)
        return leat__log_unknown_topic(error, topic, NULL, 0);
    leat_status status = leat__log_unknown_topic(error, topic, names, count);
    leat__free(names);
    rd_kafka_metadata_destroy(metadata);
    return status;
}

/* ---------------------------------------------------------------- settings of a topic */

static void send_describe(rd_kafka_t *handle, const void *what, rd_kafka_AdminOptions_t *options,
                          rd_kafka_queue_t *queue)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, what);
    rd_kafka_DescribeConfigs(handle, &resource, 1, options, queue);
    rd_kafka_ConfigResource_destroy(resource);
}

static void at_most(int64_t *bound, const char *value)
{
    int64_t told = strtoll(value, NULL, 10);
    if (told >= 0 && told < *bound)
        *bound = told;
}

/* What a broker refuses for good. Up to Kafka 3.6 there was one bound for both directions. */
static void take_limit(const char *name, const char *value, leat__log_limits *limits)
{
    bool both = strcmp(name, "message.timestamp.difference.max.ms") == 0;
    if (both || strcmp(name, "message.timestamp.before.max.ms") == 0)
        at_most(&limits->behind_ms, value);
    if (both || strcmp(name, "message.timestamp.after.max.ms") == 0)
        at_most(&limits->ahead_ms, value);
    if (strcmp(name, "message.timestamp.type") == 0)
        limits->keeps_timestamps = strcmp(value, "LogAppendTime") != 0;
    if (strcmp(name, "max.message.bytes") == 0) {
        long long bytes = strtoll(value, NULL, 10);
        limits->record_bytes = bytes <= ENVELOPE_BYTES ? 0 : (size_t)bytes - ENVELOPE_BYTES;
    }
}

static void take_entries(const rd_kafka_ConfigResource_t *resource, leat_topic_opts *opts,
                         leat__log_limits *limits)
{
    bool deletes = true;
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]);
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (value == NULL)
            continue;
        take_limit(name, value, limits);
        if (strcmp(name, "cleanup.policy") == 0) {
            opts->compacted = strstr(value, "compact") != NULL;
            deletes = strstr(value, "delete") != NULL;
        } else if (strcmp(name, "retention.ms") == 0) {
            opts->retention_ms = strtoll(value, NULL, 10);
        } else if (strcmp(name, "retention.bytes") == 0) {
            opts->retention_bytes = strtoll(value, NULL, 10);
        }
    }
    if (!deletes || opts->retention_ms < 0)
        opts->retention_ms = 0; /* for ever */
    if (!deletes || opts->retention_bytes < 0)
        opts->retention_bytes = 0;
    limits->needs_key = opts->compacted;
    if (!limits->keeps_timestamps) /* then they are replaced, not looked at */
        limits->behind_ms = limits->ahead_ms = INT64_MAX;
}

/* Some clusters do not tell their settings; then the partitions are all that is known. */
static bool may_be_hidden(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION ||
           code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

static leat_status ask_settings(leat__kafka *log, const char *cluster_name, leat_topic_opts *opts,
                                leat__log_limits *limits, bool *gone, leat_error *error)
{
    rd_kafka_event_t *event;
    leat_status status = leat__kafka_administer(log, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
                                                send_describe, cluster_name, &event, error);
    if (status != LEAT_OK)
        return status == LEAT_EACCES || status == LEAT_EVERSION ? LEAT_OK : status;
    size_t count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    rd_kafka_resp_err_t code =
        count == 1 ? rd_kafka_ConfigResource_error(resources[0]) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (count == 1 && code == RD_KAFKA_RESP_ERR_NO_ERROR)
        take_entries(resources[0], opts, limits);
    else if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        *gone = true;
    else if (!may_be_hidden(code))
        status = leat__kafka_fail(error, code, cluster_name, "the settings of topic '%.80s'",
                                  cluster_name);
    rd_kafka_event_destroy(event);
    return status;
}

/* ---------------------------------------------------------------- asking */

static void tell_no_ids(const leat__kafka *log)
{
    static atomic_bool told;
    if (!atomic_exchange(&told, true))
        leat__log_line(
            LEAT__WARN, "kafka",
            "%.60s: topics have no ids here (brokers before 2.8, or librdkafka %s before "
            "2.3): one that is deleted and made again is not told from the former",
            log->options.servers, rd_kafka_version_str());
}

static leat_status ask(leat__kafka *log, const char *topic, leat_topic_opts *opts,
                       leat__log_limits *limits, leat_error *error)
{
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_status status = leat__kafka_name(log, topic, name, error);
    leat_topic_opts found = {0};
    leat__log_limits kept = leat__log_no_limits(&log->base);
    uint32_t leaderless;
    bool gone = false, no_id = false;
    if (status == LEAT_OK)
        status = leat__kafka_ask(log, name, &found.partition_count, &leaderless, error);
    if (status == LEAT_OK && found.partition_count > 0)
        status = ask_settings(log, name, &found, &kept, &gone, error);
    int64_t asked_us = leat__kafka_now_us(log);
    if (status == LEAT_OK && found.partition_count > 0)
        status = leat__kafka_ask_id(log, name, &found.id, &no_id, error);
    if (status != LEAT_OK)
        return status;
    if (gone || no_id || found.partition_count == 0) {
        leat__kafka_forget(log, topic);
        return unknown(log, topic, error);
    }
    if (found.id == 0)
        tell_no_ids(log);
    keep(log, topic, &found, &kept, asked_us);
    *opts = found;
    *limits = kept;
    return LEAT_OK;
}

leat_status leat__kafka_topic_id(leat__kafka *log, const char *topic, int64_t after_us,
                                 uint64_t *id, bool *gone, leat_error *error)
{
    char name[LEAT__KAFKA_NAME_BYTES];
    leat_status status = leat__kafka_name(log, topic, name, error);
    if (status != LEAT_OK)
        return status;
    *gone = false;
    pthread_mutex_lock(&log->topics_lock);
    const leat__kafka_topic_entry *entry = find(log, topic);
    bool known = entry != NULL && entry->asked_us > after_us;
    if (known)
        *id = entry->opts.id;
    pthread_mutex_unlock(&log->topics_lock);
    if (known)
        return LEAT_OK;
    int64_t asked_us = leat__kafka_now_us(log);
    status = leat__kafka_ask_id(log, name, id, gone, error);
    if (status != LEAT_OK)
        return status;
    pthread_mutex_lock(&log->topics_lock);
    leat__kafka_topic_entry *asked = find(log, topic);
    bool same = asked != NULL && !*gone && asked->opts.id == *id;
    if (same && asked->asked_us < asked_us)
        asked->asked_us = asked_us;
    pthread_mutex_unlock(&log->topics_lock);
    if (!same)
        leat__kafka_forget(log, topic);
    return LEAT_OK;
}

leat_status leat__kafka_topic_describe(leat_log *base, const char *topic, leat_topic_opts *opts,
                                       leat_error *error)
{
    leat__log_limits limits;
    return ask(leat__kafka_of(base), topic, opts, &limits, error);
}

leat_status leat__kafka_topic_limits(leat_log *base, const char *topic, leat__log_limits *limits,
                                     leat_error *error)
{
    leat_topic_opts opts;
    return leat__kafka_recall(leat__kafka_of(base), topic, &opts, limits, error);
}

size_t leat__kafka_batch_bytes(const leat__log_limits *limits)
{
    return limits->record_bytes + ENVELOPE_BYTES;
}

leat_status leat__kafka_recall(leat__kafka *log, const char *topic, leat_topic_opts *opts,
                               leat__log_limits *limits, leat_error *error)
{
    return recall(log, topic, opts, limits) ? LEAT_OK : ask(log, topic, opts, limits, error);
}

leat_status leat__kafka_topic(leat__kafka *log, const char *topic, leat_topic_opts *opts,
                              leat_error *error)
{
    leat_topic_opts found;
    leat__log_limits limits;
    leat_status status = leat__kafka_recall(log, topic, &found, &limits, error);
    if (status == LEAT_OK && opts != NULL)
        *opts = found;
    return status;
}

leat_status leat__kafka_partition(leat__kafka *log, const char *topic, uint32_t partition,
                                  leat_error *error)
{
    leat_topic_opts opts;
    leat_status status = leat__kafka_topic(log, topic, &opts, error);
    if (status == LEAT_OK && partition >= opts.partition_count)
        status = leat__log_bad_partition(error, topic, partition, opts.partition_count);
    return status;
}

rd_kafka_resp_err_t leat__kafka_look_for(leat__kafka *log, const char *topic, uint32_t partition,
                                         rd_kafka_resp_err_t code)
{
    leat__kafka_forget(log, topic);
    if (leat__kafka_status(code, NULL) != LEAT_ENOTFOUND)
        return code;
    leat_status status = leat__kafka_partition(log, topic, partition, NULL);
    bool gone = status == LEAT_ENOTFOUND || status == LEAT_EINVAL;
    return gone ? code : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

leat_status leat__kafka_topic_each(leat_log *base, leat__topic_fn fn, void *arg, leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    const rd_kafka_metadata_t *metadata;
    const char **names;
    size_t count;
    leat_status status = leat__kafka_list(log, &metadata, &names, &count, error);
    if (status != LEAT_OK)
        return status;
    bool more = true;
    for (size_t i = 0; i < count && more && status == LEAT_OK; i++) {
        leat_topic_opts opts;
        status = leat__kafka_topic(log, names[i], &opts, error);
        if (status == LEAT_ENOTFOUND) /* deleted meanwhile */
            status = LEAT_OK;
        else if (status == LEAT_OK)
            more = fn(arg, names[i], &opts);
    }
    leat__free(names);
    rd_kafka_metadata_destroy(metadata);
    return status;
}
