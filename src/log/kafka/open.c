/* log/kafka/open.c - librdkafka handles with the right settings, and the first look at the cluster.
 *
 *     settings for all ─► for the role ─► the user's ─► rd_kafka_new
 *
 *     open: ask for metadata in short steps until it comes; wrong credentials and failed TLS end it
 *           at once, a broker that is not there after leat.connect.timeout.ms
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "log/kafka/reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_STEP_MS = 100 };

/* ---------------------------------------------------------------- settings */

typedef struct setting {
    const char *key, *value;
} setting;

static const setting for_all[] = {
    {"client.id", "leat"},
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    /* A restarted broker is found soon; and the client waits half of it, at least 11 ms, between
     * its bootstrap connection and the next one: three times in a start. */
    {"reconnect.backoff.ms", "20"},
    {"reconnect.backoff.max.ms", "1000"},
    {"topic.metadata.refresh.fast.interval.ms", "50"},
    {"allow.auto.create.topics", "false"}, /* a deleted topic stays deleted */
};

/* Little memory: at most about a fetch and what is asked for ahead of it, per partition. */
#define READING                                                                  \
    {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"},      \
        {"enable.partition.eof", "true"}, /* R11 */                              \
        {"auto.offset.reset", "error"},   /* reader.c decides */                 \
        {"fetch.wait.max.ms", "3"}, {"fetch.min.bytes", "100000"},               \
        {"fetch.message.max.bytes", "262144"}, {"fetch.error.backoff.ms", "20"}, \
        {"queued.min.messages", "5000"},                                         \
    {                                                                            \
        "queued.max.messages.kbytes", LEAT__KAFKA_READ_AHEAD_KIB                 \
    }

static const setting for_admin[] = {{"isolation.level", "read_uncommitted"}, /* R5: bounds */
                                    {NULL, NULL}};
static const setting for_reader[] = {{"isolation.level", "read_committed"}, READING, {NULL, NULL}};
static const setting for_member[] = {{"isolation.level", "read_committed"}, READING, {NULL, NULL}};
static const setting for_producer[] = {{"enable.idempotence", "true"},
                                       {"acks", "all"},
                                       {"linger.ms", "0"},
                                       {"message.max.bytes", "4194304"},
                                       {"batch.size", "1000000"},
                                       {"queue.buffering.max.kbytes", "65536"},
                                       {NULL, NULL}};
static const setting for_transaction[] = {{"linger.ms", "0"},
                                          {"retry.backoff.ms", "1"},
                                          {"message.max.bytes", "4194304"},
                                          {"batch.size", "1000000"},
                                          {"queue.buffering.max.kbytes", "131072"},
                                          {NULL, NULL}};
static const setting *const of_role[] = {
    [LEAT__KAFKA_ADMIN] = for_admin,       [LEAT__KAFKA_READER] = for_reader,
    [LEAT__KAFKA_MEMBER] = for_member,     [LEAT__KAFKA_TRANSACTION] = for_transaction,
    [LEAT__KAFKA_PRODUCER] = for_producer,
};

static bool is_secret(const char *key)
{
    return strstr(key, "password") != NULL || strstr(key, "secret") != NULL ||
           strstr(key, "pem") != NULL || strstr(key, "oauthbearer") != NULL;
}

static leat_status set_at(rd_kafka_conf_t *conf, const char *place, const char *key,
                          const char *value, leat_error *error)
{
    char reason[LEAT__KAFKA_REASON_BYTES];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, key, value, reason, sizeof reason);
    if (result == RD_KAFKA_CONF_OK)
        return LEAT_OK;
    if (result == RD_KAFKA_CONF_UNKNOWN)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka",
                          "%.120s: librdkafka has no setting '%.80s'; correct or remove it", place,
                          key);
    if (is_secret(key))
        snprintf(reason, sizeof reason, "not a value for it");
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka", "%.120s: %.80s: %.200s",
                      place, key, reason);
}

leat_status leat__kafka_set(rd_kafka_conf_t *conf, const char *key, const char *value,
                            leat_error *error)
{
    return set_at(conf, "leat", key, value, error);
}

void leat__kafka_set_if_known(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    rd_kafka_conf_set(conf, key, value, NULL, 0);
}

leat_status leat__kafka_limit_batch(rd_kafka_conf_t *conf, size_t *bytes, leat_error *error)
{
    char text[24] = "";
    size_t text_bytes = sizeof text;
    if (rd_kafka_conf_get(conf, "batch.size", text, &text_bytes) == RD_KAFKA_CONF_OK) {
        size_t set = strtoull(text, NULL, 10);
        if (set <= *bytes) {
            *bytes = set;
            return LEAT_OK;
        }
    }
    snprintf(text, sizeof text, "%zu", *bytes);
    return leat__kafka_set(conf, "batch.size", text, error);
}

leat_status leat__kafka_conf(leat__kafka *log, leat__kafka_role role, rd_kafka_conf_t **out,
                             leat_error *error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, leat__kafka_log_line);
    if (leat__log_enabled(LEAT__DEBUG))
        leat__kafka_set_if_known(conf, "log_level", "7");
    leat__kafka_set_if_known(conf, "enable.metrics.push", "false"); /* nobody asked for it */
    leat_status status =
        set_at(conf, "kafka URL", "bootstrap.servers", log->options.servers, error);
    for (size_t i = 0; status == LEAT_OK && i < sizeof for_all / sizeof *for_all; i++)
        status = leat__kafka_set(conf, for_all[i].key, for_all[i].value, error);
    for (const setting *each = of_role[role]; status == LEAT_OK && each->key != NULL; each++)
        status = leat__kafka_set(conf, each->key, each->value, error);
    if (role == LEAT__KAFKA_READER || role == LEAT__KAFKA_MEMBER) /* not in 2.0 */
        leat__kafka_set_if_known(conf, "fetch.queue.backoff.ms", "2");
    for (size_t i = 0; status == LEAT_OK && i < log->options.setting_count; i++) {
        const leat__kafka_setting *each = &log->options.settings[i];
        status = set_at(conf, each->place, each->key, each->value, error);
    }
    if (status != LEAT_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    *out = conf;
    return LEAT_OK;
}

leat_status leat__kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **handle,
                            leat_error *error)
{
    char reason[LEAT__KAFKA_REASON_BYTES];
    *handle = rd_kafka_new(type, conf, reason, sizeof reason);
    if (*handle != NULL)
        return LEAT_OK;
    rd_kafka_conf_destroy(conf);
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka",
                      "the settings do not fit together: %.250s; correct them in the URL or the "
                      "file",
                      reason);
}

/* ---------------------------------------------------------------- is the cluster there? */

static int weight(rd_kafka_resp_err_t code) /* how much it tells */
{
    return code == RD_KAFKA_RESP_ERR_NO_ERROR            ? 0
           : code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ? 1
           : code == RD_KAFKA_RESP_ERR__AUTHENTICATION   ? 4
           : code == RD_KAFKA_RESP_ERR__SSL              ? 4
           : code == RD_KAFKA_RESP_ERR__RESOLVE          ? 3
                                                         : 2;
}

static void note_reason(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    (void)handle;
    leat__kafka *log = opaque;
    pthread_mutex_lock(&log->reason_lock);
    if (weight((rd_kafka_resp_err_t)code) >= weight(log->reason_code)) {
        log->reason_code = (rd_kafka_resp_err_t)code;
        snprintf(log->reason, sizeof log->reason, "%s", reason);
    }
    pthread_mutex_unlock(&log->reason_lock);
}

/* A broker that speaks TLS or SASL drops a plain connection without a word. */
static const char *hint(const leat__kafka *log)
{
    bool dropped = strstr(log->reason, "Disconnected") != NULL ||
                   log->reason_code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    return dropped ? " (it hangs up: does it want security.protocol=SSL or SASL_SSL?)" : "";
}

static leat_status not_there(leat__kafka *log, rd_kafka_resp_err_t code, leat_error *error)
{
    pthread_mutex_lock(&log->reason_lock);
    if (log->reason_code != RD_KAFKA_RESP_ERR_NO_ERROR &&
        log->reason_code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        code = log->reason_code;
    leat_status status = leat__kafka_fail(
        error, code, "kafka", "%.60s%s%.180s%s", log->options.servers,
        log->reason[0] == '\0' ? " does not answer" : ": ", log->reason, hint(log));
    pthread_mutex_unlock(&log->reason_lock);
    return status;
}

static leat_status connect_to(leat__kafka *log, leat_error *error)
{
    int64_t until_us = leat__kafka_now_us(log) + (int64_t)log->options.connect_timeout_ms * 1000;
    rd_kafka_resp_err_t code;
    for (;;) {
        int64_t left_ms = (until_us - leat__kafka_now_us(log)) / 1000;
        int step_ms = left_ms > CONNECT_STEP_MS ? CONNECT_STEP_MS
                      : left_ms > 0             ? (int)left_ms
                                                : 1; /* negative would be for ever */
        const rd_kafka_metadata_t *metadata;
        code = rd_kafka_metadata(log->admin, 0, NULL, &metadata, step_ms);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_metadata_destroy(metadata);
            return LEAT_OK;
        }
        rd_kafka_poll(log->admin, 0);
        pthread_mutex_lock(&log->reason_lock);
        bool hopeless = weight(log->reason_code) == 4;
        pthread_mutex_unlock(&log->reason_lock);
        if (hopeless || left_ms <= 0)
            return not_there(log, code, error);
    }
}

/* ---------------------------------------------------------------- open, close */

static leat_status make_admin(leat__kafka *log, leat_error *error)
{
    rd_kafka_conf_t *conf;
    leat_status status = leat__kafka_conf(log, LEAT__KAFKA_ADMIN, &conf, error);
    if (status != LEAT_OK)
        return status;
    rd_kafka_conf_set_opaque(conf, log);
    rd_kafka_conf_set_error_cb(conf, note_reason);
    return leat__kafka_new(RD_KAFKA_CONSUMER, conf, &log->admin, error);
}

/* Settings that only producers or readers have are wrong now, not at the first append. */
static leat_status check_settings(leat__kafka *log, leat_error *error)
{
    rd_kafka_conf_t *conf;
    leat_status status = leat__kafka_conf(log, LEAT__KAFKA_PRODUCER, &conf, error);
    if (status == LEAT_OK)
        rd_kafka_conf_destroy(conf);
    return status;
}

leat_status leat__kafka_open(leat_log **out, const char *rest, const leat_log_opts *opts,
                             const leat_env *env, leat_error *error)
{
    leat__kafka *log = leat__calloc(1, sizeof *log);
    leat_status status = leat__kafka_parse(rest, getenv("LEAT_KAFKA_CONFIG"), &log->options, error);
    if (status != LEAT_OK) {
        leat__free(log);
        return status;
    }
    log->base.driver = &leat__kafka_driver;
    log->base.read_only = opts->read_only;
    log->env = env;
    pthread_mutex_init(&log->reason_lock, NULL);
    pthread_mutex_init(&log->topics_lock, NULL);
    pthread_mutex_init(&log->consumers_lock, NULL);
    pthread_rwlock_init(&log->producer_lock, NULL);
    log->batch_bytes = LEAT__KAFKA_BATCH_BYTES_MAX;
    leat__kafka_quiet(1);
    status = check_settings(log, error);
    if (status == LEAT_OK)
        status = make_admin(log, error);
    if (status == LEAT_OK)
        status = connect_to(log, error);
    if (status == LEAT_OK)
        *out = &log->base;
    else
        leat__kafka_close(&log->base); /* the client tries again until then */
    leat__kafka_quiet(-1);
    return status;
}

void leat__kafka_close(leat_log *base)
{
    leat__kafka *log = leat__kafka_of(base);
    leat__kafka_drop_producer(log);
    leat__kafka_drop_consumers(log);
    if (log->admin != NULL)
        rd_kafka_destroy(log->admin);
    leat__kafka_forget(log, NULL);
    pthread_mutex_destroy(&log->reason_lock);
    pthread_mutex_destroy(&log->topics_lock);
    pthread_mutex_destroy(&log->consumers_lock);
    pthread_rwlock_destroy(&log->producer_lock);
    leat__kafka_options_free(&log->options);
    leat__free(log);
}

/* ---------------------------------------------------------------- names */

leat_status leat__kafka_name(const leat__kafka *log, const char *name, char *out, leat_error *error)
{
    int length = snprintf(out, LEAT__KAFKA_NAME_BYTES, "%s%s", log->options.prefix, name);
    if (length < LEAT__KAFKA_NAME_BYTES)
        return LEAT_OK;
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka",
                      "'%.100s' and leat.prefix '%.60s' have more than %d characters together",
                      name, log->options.prefix, LEAT__KAFKA_NAME_BYTES - 1);
}

const char *leat__kafka_own_name(const leat__kafka *log, const char *cluster_name)
{
    size_t length = strlen(log->options.prefix);
    return strncmp(cluster_name, log->options.prefix, length) == 0 ? cluster_name + length : NULL;
}

int64_t leat__kafka_now_us(const leat__kafka *log)
{
    return log->env->monotonic_us(log->env->arg);
}
