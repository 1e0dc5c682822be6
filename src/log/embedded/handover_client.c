/* log/embedded/handover_client.c - a log handle that hands over to the process that has the log.
 *
 * It appends, and makes, describes and deletes topics. Everything else is done by who has the log,
 * or with a handle of its own that only reads. One request at a time: callers of several threads
 * wait for each other.
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/driver.h"
#include "log/embedded/handover.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct handed_log {
    leat_log base;
    int fd; /* -1: the process has gone away */
    pthread_mutex_t lock;
    leat__buffer out, in, names;
} handed_log;

static handed_log *handed_of(leat_log *log)
{
    return (handed_log *)log;
}

static leat_status gone(handed_log *log, const char *what, leat_error *error)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    return leat__fail(error, LEAT_EUNREACHABLE, LEAT_RECOVERY_FATAL, "log",
                      "the process that holds the log %s", what);
}

static bool send_all(handed_log *log)
{
    for (size_t at = 0; at < log->out.length;) {
        ssize_t sent = send(log->fd, log->out.data + at, log->out.length - at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += (size_t)sent;
    }
    return true;
}

static bool receive_all(handed_log *log, size_t wanted)
{
    leat__buffer_reserve(&log->in, wanted);
    while (log->in.length < wanted) {
        ssize_t got = recv(log->fd, log->in.data + log->in.length, wanted - log->in.length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        log->in.length += (size_t)got;
    }
    return true;
}

/* The request is in log->out; *reader gets what the answer holds beside its error. */
static leat_status ask(handed_log *log, handover_kind kind, leat__reader *reader, leat_error *error)
{
    static const char unknown[] =
        "ended, or was killed, before it answered: whether this last batch is in the log is not "
        "known";
    handover_head head;
    leat_error answered;
    if (log->fd < 0)
        return gone(log, "has gone away", error);
    if (log->out.length - HANDOVER_HEAD_BYTES > HANDOVER_PAYLOAD_MAX)
        return leat__fail(error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, "log",
                          "%zu bytes can't be handed over at once, at most %d: append in parts",
                          log->out.length, HANDOVER_PAYLOAD_MAX);
    handover_end(&log->out, kind);
    log->in.length = 0;
    if (!send_all(log) || !receive_all(log, HANDOVER_HEAD_BYTES))
        return gone(log, unknown, error);
    if (!handover_head_read(log->in.data, &head) || head.kind != HANDOVER_ANSWER)
        return gone(log, "answers in another version; use the same one", error);
    if (!receive_all(log, HANDOVER_HEAD_BYTES + (size_t)head.length))
        return gone(log, unknown, error);
    const char *payload = log->in.data + HANDOVER_HEAD_BYTES;
    *reader = (leat__reader){.next = payload, .end = payload + head.length};
    if (!handover_payload_is_whole(&head, payload) || !handover_get_error(reader, &answered))
        return gone(log, "gave a damaged answer", error);
    if (answered.status != LEAT_OK && error != NULL)
        *error = answered;
    return answered.status;
}

/* ------------------------------------------------------------------ what can be asked for */

static leat_status hand_append(leat_log *base, leat_log_record *records, size_t count,
                               leat_error *error)
{
    handed_log *log = handed_of(base);
    leat__reader reader;
    if (count > HANDOVER_RECORDS_MAX)
        return leat__fail(error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, "log",
                          "%zu records can't be handed over at once, at most %d: append in parts",
                          count, HANDOVER_RECORDS_MAX);
    pthread_mutex_lock(&log->lock);
    handover_begin(&log->out);
    handover_put_records(&log->out, records, count);
    leat_status status = ask(log, HANDOVER_APPEND, &reader, error);
    for (size_t i = 0; status == LEAT_OK && i < count; i++) {
        records[i].partition = (uint32_t)leat__read_varint(&reader);
        records[i].offset = (int64_t)leat__read_varint(&reader);
    }
    if (status == LEAT_OK && reader.failed)
        status = gone(log, "gave an answer that is too short", error);
    pthread_mutex_unlock(&log->lock);
    return status;
}

static leat_status ask_topic(leat_log *base, handover_kind kind, const char *topic,
                             const leat_topic_opts *opts, leat_topic_opts *told, leat_error *error)
{
    handed_log *log = handed_of(base);
    leat__reader reader;
    pthread_mutex_lock(&log->lock);
    handover_begin(&log->out);
    handover_put_topic(&log->out, topic, opts);
    leat_status status = ask(log, kind, &reader, error);
    if (status == LEAT_OK &&
        !handover_get_topic((leat_str){reader.next, (size_t)(reader.end - reader.next)},
                            &log->names, told))
        status = gone(log, "gave a damaged answer", error);
    pthread_mutex_unlock(&log->lock);
    return status;
}

static leat_status hand_create(leat_log *log, const char *topic, const leat_topic_opts *opts,
                               leat_error *error)
{
    leat_topic_opts told;
    return ask_topic(log, HANDOVER_CREATE, topic, opts, &told, error);
}

static leat_status hand_delete(leat_log *log, const char *topic, leat_error *error)
{
    leat_topic_opts told;
    return ask_topic(log, HANDOVER_DELETE, topic, &(leat_topic_opts){0}, &told, error);
}

static leat_status hand_describe(leat_log *log, const char *topic, leat_topic_opts *opts,
                                 leat_error *error)
{
    leat_topic_opts told;
    leat_status status =
        ask_topic(log, HANDOVER_DESCRIBE, topic, &(leat_topic_opts){0}, &told, error);
    if (status == LEAT_OK)
        *opts = told;
    return status;
}

static void hand_close(leat_log *base)
{
    handed_log *log = handed_of(base);
    if (log->fd >= 0)
        close(log->fd);
    pthread_mutex_destroy(&log->lock);
    leat__buffer_free(&log->out);
    leat__buffer_free(&log->in);
    leat__buffer_free(&log->names);
    leat__free(log);
}

/* ------------------------------------------------------------------ what can't */

static leat_status not_handed(leat_error *error)
{
    return leat__fail(error, LEAT_EACCES, LEAT_RECOVERY_FATAL, "log",
                      "another process holds the log: through it records are appended and topics "
                      "made, described and deleted; to read, open the log read-only");
}

static leat_status no_each(leat_log *log, leat__topic_fn fn, void *arg, leat_error *error)
{
    (void)log, (void)fn, (void)arg;
    return not_handed(error);
}
static leat_status no_bounds(leat_log *log, const char *topic, uint32_t partition, int64_t *begin,
                             int64_t *end, leat_error *error)
{
    (void)log, (void)topic, (void)partition;
    *begin = *end = 0;
    return not_handed(error);
}
static leat_status no_clean(leat_log *log, leat_error *error)
{
    (void)log;
    return not_handed(error);
}
static leat_status no_trim(leat_log *log, const leat_log_offset *offsets, size_t count,
                           leat_error *error)
{
    (void)log, (void)offsets, (void)count;
    return not_handed(error);
}
static leat_status no_reader(leat_log *log, leat__wake_fn wake, void *arg, leat_log_reader **reader,
                             leat_error *error)
{
    (void)log, (void)wake, (void)arg, (void)reader;
    return not_handed(error);
}
static leat_status no_join(leat_log *log, const leat_log_group *group, leat__wake_fn wake,
                           void *arg, leat_log_member **member, leat_error *error)
{
    (void)log, (void)group, (void)wake, (void)arg, (void)member;
    return not_handed(error);
}
static leat_status no_offsets(leat_log *log, const char *group, leat__offset_fn fn, void *arg,
                              leat_error *error)
{
    (void)log, (void)group, (void)fn, (void)arg;
    return not_handed(error);
}
static leat_status no_groups(leat_log *log, leat__group_fn fn, void *arg, leat_error *error)
{
    (void)log, (void)fn, (void)arg;
    return not_handed(error);
}

/* Readers, members and transactions are never made. */
static const leat__log_driver handed_driver = {
    .scheme = "embedded",
    .timestamp_min_ms = INT64_MIN,
    .close = hand_close,
    .topic_create = hand_create,
    .topic_describe = hand_describe,
    .topic_delete = hand_delete,
    .append = hand_append,
    .topic_each = no_each,
    .bounds = no_bounds,
    .clean = no_clean,
    .trim = no_trim,
    .reader_new = no_reader,
    .join = no_join,
    .group_offsets = no_offsets,
    .group_each = no_groups,
};

leat_status handover_connect(leat_log **out, const char *dir, leat_error *error)
{
    struct sockaddr_un address;
    int dir_fd, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && handover_address(dir, &address, &dir_fd);
    bool connected = found && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int cause = errno;
    if (found)
        close(dir_fd);
    if (!connected) {
        if (fd >= 0)
            close(fd);
        return leat__fail(
            error, cause == EACCES || cause == EPERM ? LEAT_EACCES : LEAT_EUNREACHABLE,
            LEAT_RECOVERY_RETRY, "log", "%.200s/leat.socket: %s", dir, strerror(cause));
    }
    handed_log *log = leat__calloc(1, sizeof *log);
    log->base.driver = &handed_driver;
    log->fd = fd;
    pthread_mutex_init(&log->lock, NULL);
    *out = &log->base;
    return LEAT_OK;
}
