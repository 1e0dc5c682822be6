/* log/log.c - the public face of the log: finds the driver, checks arguments once for all of them.
 *
 *     "embedded:/var/lib/shop"  ──►  driver "embedded", rest "/var/lib/shop"
 *
 * Everything that depends on what is stored (does the topic exist, how many partitions has it)
 * is the driver's; everything that does not is refused here, so that drivers cannot differ in it.
 */
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/nearest.h"
#include "log/driver.h"
#include <inttypes.h>
#include <string.h>

enum { METADATA_BYTES_MAX = 4096, NEAR_MISSES_MAX = 3 };

static const leat__log_driver *const drivers[] = {&leat__embedded_driver, &leat__sim_driver,
                                                  &leat__kafka_driver};

/* ------------------------------------------------------------------ checks */

static leat_status invalid(leat_error *error, const char *where, const char *what)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, where, "%s", what);
}

static leat_status missing(leat_error *error, const char *argument)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, argument,
                      "%s is NULL; it is required", argument);
}

static leat_status check_name(leat_error *error, const char *what, const char *name)
{
    if (name == NULL)
        return missing(error, what);
    size_t length = strnlen(name, LEAT__TOPIC_NAME_MAX + 1);
    if (length == 0 || length > LEAT__TOPIC_NAME_MAX || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, what,
                          "%s name '%.40s': use 1 to %d characters, not '.' or '..'", what, name,
                          LEAT__TOPIC_NAME_MAX);
    for (const char *c = name; *c != '\0'; c++) {
        bool allowed = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                       (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-';
        if (!allowed)
            return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, what,
                              "%s name '%.100s': character %td is not one of a-z A-Z 0-9 . _ -",
                              what, name, c - name + 1);
    }
    return LEAT_OK;
}

static leat_status check_writable(leat_error *error, const leat_log *log)
{
    if (!log->read_only)
        return LEAT_OK;
    return leat__fail(error, LEAT_EACCES, LEAT_RECOVERY_FATAL, log->driver->scheme,
                      "the log is opened read-only; open it without read_only to write");
}

static leat_status check_timestamp(const leat_log_record *record, int64_t min_ms, leat_error *error)
{
    if (record->timestamp_ms >= min_ms)
        return LEAT_OK;
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, record->topic,
                      "the timestamp %" PRId64 " is before 1970, which this log cannot keep",
                      record->timestamp_ms);
}

static leat_status check_records(leat_error *error, const leat_log *log,
                                 const leat_log_record *records, size_t count)
{
    if (records == NULL && count != 0)
        return missing(error, "records");
    for (size_t i = 0; i < count; i++) {
        const leat_log_record *record = &records[i];
        if (record->topic == NULL)
            return missing(error, "topic");
        if (record->key.data == NULL && record->key.length != 0)
            return invalid(error, record->topic, "the key has a length but no bytes");
        if (record->value.data == NULL && record->value.length != 0)
            return invalid(error, record->topic, "the value has a length but no bytes");
        if (record->key.length > LEAT__RECORD_BYTES_MAX ||
            record->value.length > LEAT__RECORD_BYTES_MAX - record->key.length)
            return leat__fail(error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, record->topic,
                              "a record of %zu bytes key and %zu bytes value: together at most %d",
                              record->key.length, record->value.length, LEAT__RECORD_BYTES_MAX);
        leat_status status = check_timestamp(record, log->driver->timestamp_min_ms, error);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

/* ------------------------------------------------------------------ helpers for drivers */

leat_status leat__log_unknown_topic(leat_error *error, const char *topic, const char *const *names,
                                    size_t name_count)
{
    char similar[320] = "";
    size_t used = 0, listed = 0;
    for (size_t i = 0; i < name_count && listed < NEAR_MISSES_MAX; i++) {
        if (leat__edit_distance(topic, names[i]) > 2) /* a slip of the finger */
            continue;
        int written = snprintf(similar + used, sizeof similar - used, "%s'%s'",
                               listed == 0 ? "; did you mean " : " or ", names[i]);
        used += (size_t)written;
        listed++;
    }
    return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, topic,
                      "there is no topic '%.80s'%s", topic, similar);
}

leat_status leat__log_topic_exists(leat_error *error, const char *topic)
{
    return leat__fail(error, LEAT_EEXISTS, LEAT_RECOVERY_FATAL, topic,
                      "topic '%.80s' exists already", topic);
}

leat_status leat__log_topic_deleted(leat_error *error, const char *topic)
{
    return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, topic,
                      "topic '%.80s' was deleted while it was in use", topic);
}

leat_status leat__log_not_read(leat_error *error, const char *topic, uint32_t partition)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, topic,
                      "partition %" PRIu32 " of '%.80s' is not read by this reader; seek it first",
                      partition, topic);
}

leat_status leat__log_not_owned(leat_error *error, const char *topic, uint32_t partition)
{
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, topic,
                      "partition %" PRIu32 " of '%.80s' is not owned by this member now", partition,
                      topic);
}

leat_status leat__log_txn_is_open(leat_error *error, const char *group)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, group,
                      "a transaction is open; commit or abort it before the next begin");
}

leat_status leat__log_member_left(leat_error *error)
{
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, "log",
                      "the member left its group while the transaction was open");
}

leat_status leat__log_bad_partition(leat_error *error, const char *topic, uint32_t partition,
                                    uint32_t partition_count)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, topic,
                      "topic '%.80s' has no partition %" PRIu32 ": it has 0 to %" PRIu32, topic,
                      partition, partition_count - 1);
}

static leat_status without_key(const leat_log_record *record, leat_error *error)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, record->topic,
                      "a record without a key cannot go to the compacted topic '%.80s'",
                      record->topic);
}

leat_status leat__log_check_place(const leat_log_record *record, const leat_topic_opts *topic,
                                  leat_error *error)
{
    if (topic->compacted && record->key.data == NULL)
        return without_key(record, error);
    if (record->partition == LEAT_PARTITION_BY_KEY || record->partition < topic->partition_count)
        return LEAT_OK;
    return leat__log_bad_partition(error, record->topic, record->partition, topic->partition_count);
}

/* now - timestamp > bound, without overflow: both may be anything. */
static bool is_apart(int64_t earlier_ms, int64_t later_ms, int64_t bound_ms)
{
    return later_ms > earlier_ms && (uint64_t)later_ms - (uint64_t)earlier_ms > (uint64_t)bound_ms;
}

static leat_status out_of_bounds(const leat_log_record *record, int64_t bound_ms, const char *where,
                                 const char *setting, leat_error *error)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, record->topic,
                      "the timestamp %" PRId64 " lies more than %" PRId64
                      " ms %s the clock, and the topic '%.80s' takes no such record: raise its %s, "
                      "or correct the timestamp",
                      record->timestamp_ms, bound_ms, where, record->topic, setting);
}

leat_status leat__log_check_limits(const leat_log_record *record, const leat__log_limits *limits,
                                   int64_t now_ms, leat_error *error)
{
    size_t bytes = record->key.length + record->value.length;
    int64_t at_ms = record->timestamp_ms;
    if (limits->needs_key && record->key.data == NULL)
        return without_key(record, error);
    if (bytes > limits->record_bytes)
        return leat__fail(
            error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, record->topic,
            "a record of %zu bytes is over the %zu that the topic '%.80s' takes: emit "
            "smaller records, or raise its max.message.bytes",
            bytes, limits->record_bytes, record->topic);
    if (at_ms < limits->timestamp_min_ms)
        return check_timestamp(record, limits->timestamp_min_ms, error);
    if (at_ms == 0) /* travels as "none" where there are such bounds */
        return LEAT_OK;
    if (is_apart(now_ms, at_ms, limits->ahead_ms))
        return out_of_bounds(record, limits->ahead_ms, "ahead of", "message.timestamp.after.max.ms",
                             error);
    if (is_apart(at_ms, now_ms, limits->behind_ms))
        return out_of_bounds(record, limits->behind_ms, "behind", "message.timestamp.before.max.ms",
                             error);
    return LEAT_OK;
}

leat_status leat__log_check_trim(const leat_log_offset *offset, const leat_topic_opts *topic,
                                 int64_t end, leat_error *error)
{
    if (offset->partition >= topic->partition_count)
        return leat__log_bad_partition(error, offset->topic, offset->partition,
                                       topic->partition_count);
    if (topic->compacted)
        return invalid(error, offset->topic,
                       "is compacted: it holds the latest record of every key, and none of them is "
                       "done with");
    if (offset->offset <= end)
        return LEAT_OK;
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, offset->topic,
                      "partition %" PRIu32 " of '%.80s' ends before %" PRId64, offset->partition,
                      offset->topic, offset->offset);
}

uint32_t leat_partition_of(leat_str key, uint32_t partition_count)
{
    LEAT_ASSERT(key.data != NULL && partition_count != 0);
    return leat__partition_of(key, partition_count);
}

uint32_t leat__log_place(const leat_log_record *record, const leat_topic_opts *topic,
                         uint32_t *round_robin)
{
    if (record->partition != LEAT_PARTITION_BY_KEY)
        return record->partition;
    if (record->key.data != NULL)
        return leat__partition_of(record->key, topic->partition_count);
    return (*round_robin)++ % topic->partition_count;
}

/* ------------------------------------------------------------------ open, close */

leat_status leat__log_open_env(leat_log **log, const char *url, const leat_log_opts *opts,
                               const leat_env *env, leat_error *error)
{
    static const leat_log_opts defaults;
    if (log == NULL)
        return missing(error, "log");
    *log = NULL;
    if (url == NULL)
        return missing(error, "url");
    if (opts == NULL)
        opts = &defaults;
    if (env == NULL)
        env = leat__env_system();
    const char *colon = strchr(url, ':');
    size_t scheme_length = colon == NULL ? strlen(url) : (size_t)(colon - url);
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers && colon != NULL; i++) {
        const leat__log_driver *driver = drivers[i];
        if (strlen(driver->scheme) != scheme_length ||
            memcmp(driver->scheme, url, scheme_length) != 0)
            continue;
        if (colon[1] == '\0')
            return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "log",
                              "'%.200s': nothing after the colon; write %s:%s", url, driver->scheme,
                              driver == &leat__sim_driver     ? "NAME"
                              : driver == &leat__kafka_driver ? "HOST:PORT"
                                                              : "DIR");
        leat_status status = driver->open(log, colon + 1, opts, env, error);
        if (status == LEAT_OK) {
            if ((*log)->driver == NULL) /* else it is one of the driver's own kinds of handle */
                (*log)->driver = driver;
            (*log)->read_only = opts->read_only;
        }
        return status;
    }
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "log",
                      "'%.200s' does not name a log; known: embedded:DIR, sim:NAME, "
                      "kafka:HOST:PORT",
                      url);
}

bool leat__log_is_shared(const leat_log *log)
{
    return log->driver->shared;
}

bool leat__log_offsets_expire(const leat_log *log)
{
    return log->driver->offsets_expire;
}

int64_t leat__log_epoch_ms(const leat_log *log)
{
    return log->driver->epoch_ms > 0 ? log->driver->epoch_ms : 1;
}

size_t leat__log_memory_bytes(const leat_log *log, size_t partition_count)
{
    return log->driver->memory_bytes == NULL ? 0 : log->driver->memory_bytes(log, partition_count);
}

leat__log_limits leat__log_no_limits(const leat_log *log)
{
    return (leat__log_limits){.record_bytes = LEAT__RECORD_BYTES_MAX,
                              .timestamp_min_ms = log->driver->timestamp_min_ms,
                              .behind_ms = INT64_MAX,
                              .ahead_ms = INT64_MAX,
                              .keeps_timestamps = true};
}

bool leat__log_may_refuse(const leat_log *log)
{
    return log->driver->topic_limits != NULL;
}

int64_t leat__log_timestamp_min_ms(const leat_log *log)
{
    return log->driver->timestamp_min_ms;
}

bool leat__log_url_is_shared(const char *url)
{
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
        size_t length = strlen(drivers[i]->scheme);
        if (strncmp(url, drivers[i]->scheme, length) == 0 && url[length] == ':')
            return drivers[i]->shared;
    }
    return false;
}

leat_status leat_log_open(leat_log **log, const char *url, const leat_log_opts *opts,
                          leat_error *error)
{
    return leat__log_open_env(log, url, opts, NULL, error);
}

void leat_log_close(leat_log *log)
{
    if (log != NULL)
        log->driver->close(log);
}

/* ------------------------------------------------------------------ topics */

/* The number tells those of one log apart whatever the numbers drawn are. */
uint64_t leat__log_new_topic_id(const leat_env *env, uint64_t number)
{
    uint64_t id = env->random_u64(env->arg) ^ (number * UINT64_C(0x9e3779b97f4a7c15));
    return id == 0 ? 1 : id;
}

leat_status leat_topic_create(leat_log *log, const char *topic, const leat_topic_opts *opts,
                              leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    leat_topic_opts wanted = opts == NULL ? (leat_topic_opts){0} : *opts;
    if (wanted.partition_count == 0)
        wanted.partition_count = 1;
    leat_status status = check_writable(error, log);
    if (status == LEAT_OK)
        status = check_name(error, "topic", topic);
    if (status != LEAT_OK)
        return status;
    if (wanted.partition_count > LEAT__PARTITIONS_MAX)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, topic,
                          "%" PRIu32 " partitions: at most %d", wanted.partition_count,
                          LEAT__PARTITIONS_MAX);
    if (wanted.retention_ms < 0 || wanted.retention_bytes < 0)
        return invalid(error, topic, "a negative retention; 0 keeps records for ever");
    if (wanted.compacted && wanted.retention_bytes != 0)
        return invalid(error, topic,
                       "a compacted topic keeps the latest record of every key, so "
                       "retention_bytes cannot be promised; use one of the two");
    return log->driver->topic_create(log, topic, &wanted, error);
}

leat_status leat_topic_describe(leat_log *log, const char *topic, leat_topic_opts *opts,
                                leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    if (topic == NULL)
        return missing(error, "topic");
    leat_topic_opts ignored;
    return log->driver->topic_describe(log, topic, opts == NULL ? &ignored : opts, error);
}

leat_status leat__log_topic_limits(leat_log *log, const char *topic, leat__log_limits *limits,
                                   leat_error *error)
{
    leat_topic_opts opts;
    *limits = leat__log_no_limits(log);
    if (log->driver->topic_limits != NULL)
        return log->driver->topic_limits(log, topic, limits, error);
    leat_status status = log->driver->topic_describe(log, topic, &opts, error);
    limits->needs_key = status == LEAT_OK && opts.compacted;
    return status;
}

leat_status leat_topic_delete(leat_log *log, const char *topic, leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    if (topic == NULL)
        return missing(error, "topic");
    leat_status status = check_writable(error, log);
    return status != LEAT_OK ? status : log->driver->topic_delete(log, topic, error);
}

leat_status leat_topic_each(leat_log *log, leat__topic_fn fn, void *arg, leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    if (fn == NULL)
        return missing(error, "fn");
    return log->driver->topic_each(log, fn, arg, error);
}

leat_status leat_log_bounds(leat_log *log, const char *topic, uint32_t partition, int64_t *begin,
                            int64_t *end, leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    if (topic == NULL)
        return missing(error, "topic");
    int64_t ignored_begin, ignored_end;
    return log->driver->bounds(log, topic, partition, begin == NULL ? &ignored_begin : begin,
                               end == NULL ? &ignored_end : end, error);
}

leat_status leat_log_clean(leat_log *log, leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    leat_status status = check_writable(error, log);
    return status != LEAT_OK ? status : log->driver->clean(log, error);
}

leat_status leat_log_trim(leat_log *log, const leat_log_offset *offsets, size_t count,
                          leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    if (offsets == NULL && count != 0)
        return missing(error, "offsets");
    leat_status status = check_writable(error, log);
    for (size_t i = 0; i < count && status == LEAT_OK; i++) {
        status = check_name(error, "topic", offsets[i].topic);
        if (status == LEAT_OK && offsets[i].offset < 0)
            status = invalid(error, offsets[i].topic, "a negative offset");
    }
    return status != LEAT_OK || count == 0 ? status : log->driver->trim(log, offsets, count, error);
}

/* ------------------------------------------------------------------ records */

leat_status leat_log_append(leat_log *log, leat_log_record *records, size_t count,
                            leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    leat_status status = check_writable(error, log);
    if (status == LEAT_OK)
        status = check_records(error, log, records, count);
    if (status != LEAT_OK || count == 0)
        return status;
    return log->driver->append(log, records, count, error);
}

leat_status leat_log_reader_new(leat_log *log, leat__wake_fn wake, void *arg,
                                leat_log_reader **reader, leat_error *error)
{
    if (reader == NULL)
        return missing(error, "reader");
    *reader = NULL;
    if (log == NULL)
        return missing(error, "log");
    leat_status status = log->driver->reader_new(log, wake, arg, reader, error);
    if (status == LEAT_OK)
        (*reader)->log = log;
    return status;
}

void leat_log_reader_free(leat_log_reader *reader)
{
    if (reader != NULL)
        reader->log->driver->reader_free(reader);
}

leat_status leat_log_reader_seek(leat_log_reader *reader, const char *topic, uint32_t partition,
                                 int64_t offset, leat_error *error)
{
    if (reader == NULL)
        return missing(error, "reader");
    if (topic == NULL)
        return missing(error, "topic");
    if (offset < LEAT_OFFSET_BEGIN)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, topic,
                          "offset %" PRId64 ": use 0 or more, LEAT_OFFSET_BEGIN or "
                          "LEAT_OFFSET_END",
                          offset);
    return reader->log->driver->reader_seek(reader, topic, partition, offset, error);
}

void leat_log_reader_remove(leat_log_reader *reader, const char *topic, uint32_t partition)
{
    if (reader != NULL && topic != NULL)
        reader->log->driver->reader_remove(reader, topic, partition);
}

leat_status leat_log_reader_poll(leat_log_reader *reader, leat_log_record *records, size_t max,
                                 size_t *count, leat_error *error)
{
    if (count == NULL)
        return missing(error, "count");
    *count = 0;
    if (reader == NULL)
        return missing(error, "reader");
    if (records == NULL || max == 0)
        return missing(error, "records");
    return reader->log->driver->reader_poll(reader, records, max, count, error);
}

leat_status leat_log_reader_position(leat_log_reader *reader, const char *topic, uint32_t partition,
                                     int64_t *offset, leat_error *error)
{
    if (reader == NULL)
        return missing(error, "reader");
    if (topic == NULL)
        return missing(error, "topic");
    if (offset == NULL)
        return missing(error, "offset");
    return reader->log->driver->reader_position(reader, topic, partition, offset, error);
}

uint64_t leat__log_reader_topic_id(leat_log_reader *reader, const char *topic, uint32_t partition)
{
    return reader->log->driver->reader_topic_id(reader, topic, partition);
}

int64_t leat__log_reader_end(leat_log_reader *reader, const char *topic, uint32_t partition)
{
    const leat__log_driver *driver = reader->log->driver;
    int64_t begin, end;
    if (driver->reader_end != NULL)
        return driver->reader_end(reader, topic, partition);
    return driver->bounds(reader->log, topic, partition, &begin, &end, NULL) == LEAT_OK ? end : 0;
}

leat_status leat__log_readable_end(leat_log_reader *reader, const char *topic, uint32_t partition,
                                   int64_t *end)
{
    const leat__log_driver *driver = reader->log->driver;
    if (driver->readable_end != NULL)
        return driver->readable_end(reader, topic, partition, end);
    *end = leat__log_reader_end(reader, topic, partition);
    return LEAT_OK;
}

/* ------------------------------------------------------------------ groups */

leat_status leat_log_join(leat_log *log, const leat_log_group *group, leat__wake_fn wake, void *arg,
                          leat_log_member **member, leat_error *error)
{
    if (member == NULL)
        return missing(error, "member");
    *member = NULL;
    if (log == NULL)
        return missing(error, "log");
    if (group == NULL)
        return missing(error, "group");
    leat_status status = check_writable(error, log);
    if (status == LEAT_OK)
        status = check_name(error, "group", group->group);
    if (status == LEAT_OK)
        status = check_name(error, "instance", group->instance);
    if (status == LEAT_OK && group->topics == NULL && group->topic_count != 0)
        status = missing(error, "topics");
    for (size_t i = 0; status == LEAT_OK && i < group->topic_count; i++) {
        status = check_name(error, "topic", group->topics[i]);
        for (size_t j = 0; status == LEAT_OK && j < i; j++)
            if (strcmp(group->topics[i], group->topics[j]) == 0)
                status = invalid(error, group->topics[i], "the topic is subscribed to twice");
    }
    if (status == LEAT_OK && group->transaction_timeout_ms < 0)
        status = invalid(error, group->group, "transaction_timeout_ms is negative");
    if (status == LEAT_OK && (uint32_t)group->guarantee > LEAT_AT_MOST_ONCE)
        status = invalid(error, group->group, "the guarantee is none of leat_guarantee");
    if (status != LEAT_OK)
        return status;
    leat_log_group wanted = *group;
    if (wanted.transaction_timeout_ms == 0)
        wanted.transaction_timeout_ms = LEAT_SECONDS(10);
    status = log->driver->join(log, &wanted, wake, arg, member, error);
    if (status == LEAT_OK)
        (*member)->log = log;
    return status;
}

void leat_log_leave(leat_log_member *member)
{
    if (member != NULL)
        member->log->driver->leave(member);
}

leat_status leat_log_member_poll(leat_log_member *member, leat_log_event *event, leat_error *error)
{
    if (event == NULL)
        return missing(error, "event");
    *event = (leat_log_event){.kind = LEAT_LOG_NOTHING};
    if (member == NULL)
        return missing(error, "member");
    return member->log->driver->member_poll(member, event, error);
}

void leat_log_member_ack(leat_log_member *member)
{
    if (member != NULL)
        member->log->driver->member_ack(member);
}

leat_status leat_log_committed(leat_log_member *member, const char *topic, uint32_t partition,
                               leat_log_offset *offset, leat_error *error)
{
    if (member == NULL)
        return missing(error, "member");
    if (topic == NULL)
        return missing(error, "topic");
    if (offset == NULL)
        return missing(error, "offset");
    return member->log->driver->committed(member, topic, partition, offset, error);
}

leat_status leat_log_group_offsets(leat_log *log, const char *group, leat__offset_fn fn, void *arg,
                                   leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    if (fn == NULL)
        return missing(error, "fn");
    leat_status status = check_name(error, "group", group);
    return status != LEAT_OK ? status : log->driver->group_offsets(log, group, fn, arg, error);
}

leat_status leat_log_group_each(leat_log *log, leat__group_fn fn, void *arg, leat_error *error)
{
    if (log == NULL)
        return missing(error, "log");
    if (fn == NULL)
        return missing(error, "fn");
    return log->driver->group_each(log, fn, arg, error);
}

leat_status leat__log_group_members(leat_log *log, const char *group, size_t *count,
                                    leat_error *error)
{
    *count = 0;
    return log->driver->group_members == NULL
               ? LEAT_OK
               : log->driver->group_members(log, group, count, error);
}

leat_status leat__log_group_forget(leat_log *log, const char *group, leat_error *error)
{
    leat_status status = check_name(error, "group", group);
    if (status == LEAT_OK && (log->read_only || log->driver->group_forget == NULL))
        status = leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, group,
                            "the log is not open for writing");
    return status == LEAT_OK ? log->driver->group_forget(log, group, error) : status;
}

/* ------------------------------------------------------------------ transactions */

leat_status leat_log_begin(leat_log_member *member, int64_t generation, leat_log_txn **txn,
                           leat_error *error)
{
    if (txn == NULL)
        return missing(error, "txn");
    *txn = NULL;
    if (member == NULL)
        return missing(error, "member");
    leat_status status = member->log->driver->begin(member, generation, txn, error);
    if (status == LEAT_OK)
        (*txn)->log = member->log;
    return status;
}

static leat_status add_records(leat_log_txn *txn, const leat_log_record *records, size_t count,
                               bool lent, leat_error *error)
{
    if (txn == NULL)
        return missing(error, "txn");
    leat_status status = check_records(error, txn->log, records, count);
    if (status != LEAT_OK || count == 0)
        return status;
    const leat__log_driver *driver = txn->log->driver;
    return lent && driver->txn_lend != NULL ? driver->txn_lend(txn, records, count, error)
                                            : driver->txn_add(txn, records, count, error);
}

leat_status leat_log_txn_add(leat_log_txn *txn, const leat_log_record *records, size_t count,
                             leat_error *error)
{
    return add_records(txn, records, count, false, error);
}

leat_status leat__log_txn_lend(leat_log_txn *txn, const leat_log_record *records, size_t count,
                               leat_error *error)
{
    return add_records(txn, records, count, true, error);
}

void leat__log_txn_on_refused(leat_log_txn *txn, leat__refused_fn refused, void *arg)
{
    txn->refused = refused;
    txn->refused_arg = arg;
}

leat_status leat_log_txn_offsets(leat_log_txn *txn, const leat_log_offset *offsets, size_t count,
                                 leat_error *error)
{
    if (txn == NULL)
        return missing(error, "txn");
    if (offsets == NULL && count != 0)
        return missing(error, "offsets");
    for (size_t i = 0; i < count; i++) {
        const leat_log_offset *offset = &offsets[i];
        if (offset->topic == NULL)
            return missing(error, "topic");
        if (offset->offset < 0)
            return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, offset->topic,
                              "offset %" PRId64 " of partition %" PRIu32 " is negative",
                              offset->offset, offset->partition);
        if (offset->metadata.length > METADATA_BYTES_MAX)
            return leat__fail(error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, offset->topic,
                              "%zu bytes of offset metadata: at most %d", offset->metadata.length,
                              METADATA_BYTES_MAX);
    }
    return txn->log->driver->txn_offsets(txn, offsets, count, error);
}

leat_status leat_log_txn_commit_ex(leat_log_txn *txn, leat__written_fn written, void *arg,
                                   leat_error *error)
{
    if (txn == NULL)
        return missing(error, "txn");
    return txn->log->driver->txn_commit(txn, written, arg, error);
}

leat_status leat_log_txn_commit(leat_log_txn *txn, leat_error *error)
{
    return leat_log_txn_commit_ex(txn, NULL, NULL, error);
}

void leat_log_txn_abort(leat_log_txn *txn)
{
    if (txn != NULL)
        txn->log->driver->txn_abort(txn);
}
