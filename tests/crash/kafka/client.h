/* What the loader and the judge's reader share: librdkafka alone, nothing of leat, so that a
 * mistake of leat's cannot hide itself. */
#ifndef TESTS_CRASH_KAFKA_CLIENT_H
#define TESTS_CRASH_KAFKA_CLIENT_H
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* The value after --name, or fallback; NULL as fallback: it is required. */
const char *client_option(int argc, char **argv, const char *name, const char *fallback);
bool client_flag(int argc, char **argv, const char *name);
long client_number(int argc, char **argv, const char *name, const char *fallback);

typedef struct client_setting {
    const char *key, *value;
} client_setting;

/* Settings that both want, then these; ends the program if librdkafka refuses one. */
rd_kafka_conf_t *client_conf(const char *bootstrap, const client_setting *settings, size_t count);
rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf);
/* 0: there is no such topic. Asks until a broker answers. */
int client_partition_count(rd_kafka_t *handle, const char *topic);

_Noreturn void client_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
