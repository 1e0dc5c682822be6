#include "client.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METADATA_TRIES = 60, METADATA_TIMEOUT_MS = 1000 };

void client_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

bool client_flag(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return false;
}

const char *client_option(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    if (fallback == NULL)
        client_die("%s is required", name);
    return fallback;
}

long client_number(int argc, char **argv, const char *name, const char *fallback)
{
    return strtol(client_option(argc, argv, name, fallback), NULL, 10);
}

rd_kafka_conf_t *client_conf(const char *bootstrap, const client_setting *settings, size_t count)
{
    static const client_setting common[] = {
        {"client.id", "judge"},
        {"reconnect.backoff.ms", "50"},
        {"log.connection.close", "false"},
        {"reconnect.backoff.max.ms", "500"},
        {"allow.auto.create.topics", "false"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[256];
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, reason, sizeof reason) !=
        RD_KAFKA_CONF_OK)
        client_die("%s", reason);
    for (size_t i = 0; i < sizeof common / sizeof *common + count; i++) {
        const size_t own = sizeof common / sizeof *common;
        const client_setting *each = i < own ? &common[i] : &settings[i - own];
        if (rd_kafka_conf_set(conf, each->key, each->value, reason, sizeof reason) !=
            RD_KAFKA_CONF_OK)
            client_die("%s=%s: %s", each->key, each->value, reason);
    }
    return conf;
}

rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char reason[256];
    rd_kafka_t *handle = rd_kafka_new(type, conf, reason, sizeof reason);
    if (handle == NULL)
        client_die("%s", reason);
    return handle;
}

int client_partition_count(rd_kafka_t *handle, const char *topic)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int i = 0; i < METADATA_TRIES; i++) {
        const rd_kafka_metadata_t *metadata;
        code = rd_kafka_metadata(handle, 1, NULL, &metadata, METADATA_TIMEOUT_MS);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        int found = 0;
        for (int t = 0; t < metadata->topic_cnt; t++)
            if (strcmp(metadata->topics[t].topic, topic) == 0)
                found = metadata->topics[t].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
        return found;
    }
    client_die("no broker answers: %s", rd_kafka_err2str(code));
}
