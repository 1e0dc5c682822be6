/* log/kafka/options.c - "HOST:PORT,HOST:PORT?key=value&key=value", and files of such settings.
 *
 *     LEAT_KAFKA_CONFIG or ?config=FILE      the URL's own pairs
 *               │ first                            │ then, so that they win
 *               └──────────────► settings ◄────────┘
 *
 * Keys of ours begin with "leat."; all others are librdkafka's, except those that exactly-once
 * decides. A file keeps passwords off the command line.
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/kafka/kafka.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, LINE_BYTES_MAX = 4096 };

/* Settings that decide whether the log keeps its promises. `ours` may be repeated. */
static const struct {
    const char *key, *ours;
} owned[] = {
    {"bootstrap.servers", NULL},
    {"metadata.broker.list", NULL},
    {"group.id", NULL},
    {"group.instance.id", NULL},
    {"group.protocol", "classic"},
    {"partition.assignment.strategy", NULL},
    {"transactional.id", NULL},
    {"transaction.timeout.ms", NULL},
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"request.required.acks", "-1"},
    {"enable.auto.commit", "false"},
    {"auto.commit.enable", "false"},
    {"enable.auto.offset.store", "false"},
    {"isolation.level", "read_committed"},
    {"auto.offset.reset", NULL},
    {"enable.partition.eof", "true"},
    {"allow.auto.create.topics", "false"},
    {"partitioner", NULL},
    {"plugin.library.paths", NULL},
    {"log.queue", NULL},
};

typedef struct own_option {
    const char *key;
    size_t offset; /* of an int in leat__kafka_options */
    int least, most;
} own_option;

static const own_option own_options[] = {
    {"leat.replication", offsetof(leat__kafka_options, replication), -1, INT16_MAX},
    {"leat.min.insync.replicas", offsetof(leat__kafka_options, min_insync_replicas), 0, INT16_MAX},
    {"leat.connect.timeout.ms", offsetof(leat__kafka_options, connect_timeout_ms), 1, INT_MAX / 2},
    {"leat.append.timeout.ms", offsetof(leat__kafka_options, append_timeout_ms), 1, INT_MAX / 2},
};

static leat_status invalid(leat_error *error, const char *place, const char *what,
                           const char *about)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka", "%.120s: %s '%.80s'", place,
                      what, about);
}

/* ---------------------------------------------------------------- one setting */

static leat_status set_own(leat__kafka_options *options, const char *key, const char *value,
                           const char *place, leat_error *error)
{
    if (strcmp(key, "leat.prefix") == 0) {
        if (strlen(value) > 100 ||
            strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
                strlen(value))
            return invalid(error, place, "leat.prefix: up to 100 of a-z A-Z 0-9 . _ -, but it is",
                           value);
        leat__free(options->prefix);
        options->prefix = leat__strdup(value);
        return LEAT_OK;
    }
    for (size_t i = 0; i < sizeof own_options / sizeof *own_options; i++) {
        const own_option *option = &own_options[i];
        if (strcmp(option->key, key) != 0)
            continue;
        char *end;
        errno = 0;
        long number = strtol(value, &end, 10);
        if (errno != 0 || end == value || *end != '\0' || number < option->least ||
            number > option->most)
            return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka",
                              "%.120s: %s is '%.40s'; give a number from %d to %d", place, key,
                              value, option->least, option->most);
        memcpy((char *)options + option->offset, &(int){(int)number}, sizeof(int));
        return LEAT_OK;
    }
    return invalid(error, place,
                   "leat.prefix, leat.replication, leat.min.insync.replicas, "
                   "leat.connect.timeout.ms and leat.append.timeout.ms are known, not",
                   key);
}

static leat_status set(leat__kafka_options *options, const char *key, const char *value,
                       const char *place, leat_error *error)
{
    if (strncmp(key, "leat.", 5) == 0)
        return set_own(options, key, value, place, error);
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        if (strcmp(owned[i].key, key) != 0)
            continue;
        if (owned[i].ours != NULL && strcmp(owned[i].ours, value) == 0)
            return LEAT_OK;
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka",
                          "%.120s: %s is decided by leat%s%s; remove the line", place, key,
                          owned[i].ours == NULL ? "" : " and always ",
                          owned[i].ours == NULL ? "" : owned[i].ours);
    }
    options->settings =
        leat__realloc(options->settings, options->setting_count + 1, sizeof *options->settings);
    options->settings[options->setting_count++] = (leat__kafka_setting){
        .key = leat__strdup(key), .value = leat__strdup(value), .place = leat__strdup(place)};
    return LEAT_OK;
}

/* ---------------------------------------------------------------- the file */

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL)
        length--;
    text[length] = '\0';
    return text;
}

static leat_status read_line(leat__kafka_options *options, const char *path, unsigned number,
                             char *line, leat_error *error)
{
    char *key = trim(line);
    if (*key == '\0' || *key == '#')
        return LEAT_OK;
    char *place = leat__format("%s:%u", path, number);
    char *equals = strchr(key, '=');
    leat_status status;
    if (equals == NULL || equals == key) { /* the line itself may be a secret: not shown */
        status = leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka",
                            "%.200s: not a line of the form key=value, and no # comment", place);
    } else {
        *equals = '\0';
        status = set(options, trim(key), trim(equals + 1), place, error);
    }
    leat__free(place);
    return status;
}

static leat_status read_file(leat__kafka_options *options, const char *path, leat_error *error)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return leat__fail(error, errno == ENOENT ? LEAT_ENOTFOUND : leat__errno_status(errno),
                          LEAT_RECOVERY_FATAL, "kafka",
                          "cannot read the settings in %.200s: %s; check config= or "
                          "LEAT_KAFKA_CONFIG",
                          path, strerror(errno));
    char line[LINE_BYTES_MAX];
    leat_status status = LEAT_OK;
    for (unsigned number = 1; status == LEAT_OK && fgets(line, sizeof line, file) != NULL;
         number++) {
        size_t length = strlen(line);
        if (length + 1 == sizeof line && line[length - 1] != '\n')
            status = leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "kafka",
                                "%.200s:%u: the line is longer than %d bytes", path, number,
                                LINE_BYTES_MAX - 2);
        else
            status = read_line(options, path, number, line, error);
    }
    if (status == LEAT_OK && ferror(file))
        status = leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "kafka",
                            "cannot read the settings in %.200s: %s", path, strerror(errno));
    fclose(file);
    return status;
}

/* ---------------------------------------------------------------- the URL */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* %26 for &, and so on; in place. */
static bool unescape(char *text)
{
    char *out = text;
    for (; *text != '\0'; text++) {
        if (*text != '%') {
            *out++ = *text;
            continue;
        }
        int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
        if (low < 0 || high * 16 + low == 0)
            return false;
        *out++ = (char)(high * 16 + low);
        text += 2;
    }
    *out = '\0';
    return true;
}

static leat_status check_server(const char *server, leat_error *error)
{
    const char *host_end = server;
    if (*server == '[') { /* IPv6 */
        host_end = strchr(server, ']');
        if (host_end == NULL)
            return invalid(error, "kafka URL", "an address with [ but without ]:", server);
        host_end++;
    } else {
        host_end += strcspn(server, ":");
    }
    if (strstr(server, "://") != NULL)
        return invalid(error, "kafka URL",
                       "write HOST:PORT, and ?security.protocol= for TLS or SASL, instead of",
                       server);
    bool spelt = host_end != server && strpbrk(server, " \t/@") == NULL;
    if (spelt && *host_end == '\0')
        return LEAT_OK; /* librdkafka's default port */
    char *end = NULL;
    long port = spelt && *host_end == ':' ? strtol(host_end + 1, &end, 10) : 0;
    if (port < 1 || port > 65535 || *end != '\0')
        return invalid(error, "kafka URL", "not HOST:PORT:", server);
    return LEAT_OK;
}

static leat_status check_servers(const char *servers, leat_error *error)
{
    char *copy = leat__strdup(servers), *rest = copy;
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && rest != NULL) {
        char *server = strsep(&rest, ",");
        status = check_server(server, error);
    }
    leat__free(copy);
    return status;
}

/* Calls for each pair of the query, or only for the one named config. */
static leat_status read_pairs(leat__kafka_options *options, const char *query, bool files,
                              leat_error *error)
{
    char *copy = leat__strdup(query), *rest = copy;
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && rest != NULL) {
        char *key = strsep(&rest, "&");
        if (*key == '\0')
            continue;
        char *equals = strchr(key, '=');
        if (equals == NULL || equals == key) {
            status = invalid(error, "kafka URL", "after the ? comes key=value&key=value, not", key);
            break;
        }
        *equals = '\0';
        if (!unescape(key) || !unescape(equals + 1))
            status = invalid(error, "kafka URL", "a % is not followed by two hex digits in", key);
        else if (strcmp(key, "config") == 0)
            status = files ? read_file(options, equals + 1, error) : LEAT_OK;
        else if (!files)
            status = set(options, key, equals + 1, "kafka URL", error);
    }
    leat__free(copy);
    return status;
}

static bool names_a_file(const char *query)
{
    return strncmp(query, "config=", 7) == 0 || strstr(query, "&config=") != NULL;
}

leat_status leat__kafka_parse(const char *rest, const char *default_file,
                              leat__kafka_options *options, leat_error *error)
{
    const char *mark = strchr(rest, '?');
    const char *query = mark == NULL ? "" : mark + 1;
    *options = (leat__kafka_options){
        .servers = leat__strndup(rest, mark == NULL ? strlen(rest) : (size_t)(mark - rest)),
        .prefix = leat__strdup(""),
        .replication = -1,
        .connect_timeout_ms = 10000,
        .append_timeout_ms = 30000,
    };
    leat_status status = check_servers(options->servers, error);
    if (status == LEAT_OK && default_file != NULL && !names_a_file(query))
        status = read_file(options, default_file, error);
    if (status == LEAT_OK)
        status = read_pairs(options, query, true, error);
    if (status == LEAT_OK)
        status = read_pairs(options, query, false, error);
    if (status != LEAT_OK)
        leat__kafka_options_free(options);
    return status;
}

void leat__kafka_options_free(leat__kafka_options *options)
{
    leat__free(options->servers);
    leat__free(options->prefix);
    for (size_t i = 0; i < options->setting_count; i++) {
        leat__free(options->settings[i].key);
        leat__free(options->settings[i].value);
        leat__free(options->settings[i].place);
    }
    leat__free(options->settings);
    *options = (leat__kafka_options){0};
}

size_t leat__kafka_memory_bytes(const leat_log *base, size_t partition_count)
{
    const leat__kafka_options *options = &((const leat__kafka *)(const void *)base)->options;
    const char *kib = LEAT__KAFKA_READ_AHEAD_KIB;
    for (size_t i = 0; i < options->setting_count; i++)
        if (strcmp(options->settings[i].key, "queued.max.messages.kbytes") == 0)
            kib = options->settings[i].value; /* the last one counts */
    return partition_count * (size_t)strtoull(kib, NULL, 10) * 1024;
}
