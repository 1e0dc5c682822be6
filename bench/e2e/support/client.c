#include "bench/e2e/support/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void client_fail(const char *what, const char *why)
{
    fprintf(stderr, "bench/e2e: %s: %s\n", what, why);
    exit(1);
}

void client_check(rd_kafka_error_t *error, const char *what)
{
    if (error != NULL)
        client_fail(what, rd_kafka_error_string(error));
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        client_fail("a setting of librdkafka", why);
}

/* "producer.linger.ms=1" -> linger.ms, 1 */
static void set_word(rd_kafka_conf_t *conf, const char *word)
{
    char name[128];
    size_t length = strcspn(word, "=");
    if (word[length] == '\0' || length >= sizeof name)
        client_fail("NAME=VALUE is needed", word);
    memcpy(name, word, length);
    name[length] = '\0';
    set(conf, name, word + length + 1);
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *arg)
{
    (void)client, (void)arg;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_fail("a record is not delivered", rd_kafka_err2str(message->err));
}

rd_kafka_t *client_new(rd_kafka_type_t type, const char *const *pairs, int argc, char **argv)
{
    char why[256];
    const char *prefix = type == RD_KAFKA_PRODUCER ? "producer." : "consumer.";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (; pairs[0] != NULL; pairs += 2)
        set(conf, pairs[0], pairs[1]);
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], prefix, strlen(prefix)) == 0)
            set_word(conf, argv[i] + strlen(prefix));
    if (type == RD_KAFKA_PRODUCER) /* without one every commit pays 10 ms (exactly-once.md) */
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (client == NULL)
        client_fail("a client", why);
    if (type == RD_KAFKA_CONSUMER)
        rd_kafka_poll_set_consumer(client);
    return client;
}
