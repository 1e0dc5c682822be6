/* kafka_load - writes records so that each gets the offset that it had: librdkafka alone.
 *
 *     kafka_load BOOTSTRAP TRANSACTIONAL_ID < commands       one a line, words apart by a blank
 *
 *     R TOPIC PARTITION OFFSET TIMESTAMP_MS KEY VALUE        a record of the next batch; hex, - is
 * NULL P                         the batch goes outside of a transaction: no offset is used up C in
 * one that is committed: its end takes an offset in each partition A                         in one
 * that is aborted: nobody sees the records, offsets are used up O GROUP TOPIC PARTITION OFFSET
 * METADATA                commits an offset; hex
 *
 * Kafka gives offsets one after the other, so what was there between two records (ends of
 * transactions, aborted ones) is written too.  An offset that comes out otherwise ends it with 1.
 */
#include "crash/kafka/client.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4 << 20, CALL_MS = 30000 };

typedef struct loader {
    const char *bootstrap;
    rd_kafka_t *plain, *transactional;
    char **lines; /* of the batch */
    size_t count, capacity, delivered;
} loader;

typedef struct bytes {
    char *data; /* NULL: absent */
    size_t length;
} bytes;

static int digit(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static bytes from_hex(const char *text)
{
    if (strcmp(text, "-") == 0)
        return (bytes){NULL, 0};
    bytes made = {.length = strlen(text) / 2};
    made.data = malloc(made.length + 1);
    for (size_t i = 0; i < made.length; i++)
        made.data[i] = (char)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    made.data[made.length] = '\0';
    return made;
}

/* `opaque` is the offset that it has to get, plus 1. */
static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    loader *l = opaque;
    (void)producer;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_die("not delivered: %s", rd_kafka_err2str(message->err));
    int64_t wanted = (int64_t)(intptr_t)message->_private - 1;
    if (message->offset != wanted)
        client_die("%s/%d: offset %" PRId64 " and not %" PRId64, rd_kafka_topic_name(message->rkt),
                   (int)message->partition, message->offset, wanted);
    l->delivered++;
}

static void check(rd_kafka_error_t *error, const char *what)
{
    if (error != NULL)
        client_die("%s: %s", what, rd_kafka_error_string(error));
}

static rd_kafka_t *producer(loader *l, const char *transactional_id)
{
    const client_setting settings[] = {
        {"enable.idempotence", "true"}, {"linger.ms", "1"}, {"transactional.id", transactional_id}};
    rd_kafka_conf_t *conf = client_conf(l->bootstrap, settings, transactional_id == NULL ? 2 : 3);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, l);
    rd_kafka_t *made = client_new(RD_KAFKA_PRODUCER, conf);
    if (transactional_id != NULL)
        check(rd_kafka_init_transactions(made, CALL_MS), "init");
    return made;
}

static void produce(rd_kafka_t *to, char *line)
{
    char *rest = line;
    const char *topic = strtok_r(rest, " ", &rest);
    int32_t partition = (int32_t)strtol(strtok_r(rest, " ", &rest), NULL, 10);
    int64_t offset = strtoll(strtok_r(rest, " ", &rest), NULL, 10);
    int64_t timestamp_ms = strtoll(strtok_r(rest, " ", &rest), NULL, 10);
    bytes key = from_hex(strtok_r(rest, " ", &rest));
    bytes value = from_hex(strtok_r(rest, " ", &rest));
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {key.data, key.length}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value.data, value.length}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(intptr_t)(offset + 1)},
    };
    check(rd_kafka_produceva(to, fields, sizeof fields / sizeof *fields), topic);
    free(key.data);
    free(value.data);
}

static void end_batch(loader *l, char how)
{
    rd_kafka_t *to = how == 'P' ? l->plain : l->transactional;
    if (how != 'P')
        check(rd_kafka_begin_transaction(to), "begin");
    l->delivered = 0;
    for (size_t i = 0; i < l->count; i++)
        produce(to, l->lines[i]);
    if (rd_kafka_flush(to, CALL_MS) != RD_KAFKA_RESP_ERR_NO_ERROR || l->delivered != l->count)
        client_die("%zu of %zu records were delivered", l->delivered, l->count);
    if (how == 'C')
        check(rd_kafka_commit_transaction(to, CALL_MS), "commit");
    if (how == 'A')
        check(rd_kafka_abort_transaction(to, CALL_MS), "abort");
    for (size_t i = 0; i < l->count; i++)
        free(l->lines[i]);
    l->count = 0;
}

static void keep(loader *l, const char *line)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 1024 : l->capacity * 2;
        l->lines = realloc(l->lines, l->capacity * sizeof *l->lines);
    }
    l->lines[l->count++] = strdup(line);
}

static void commit_offset(const loader *l, char *line)
{
    char *rest = line;
    const client_setting settings[] = {{"group.id", strtok_r(rest, " ", &rest)},
                                       {"enable.auto.commit", "false"}};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    const char *topic = strtok_r(rest, " ", &rest);
    int32_t partition = (int32_t)strtol(strtok_r(rest, " ", &rest), NULL, 10);
    rd_kafka_topic_partition_t *each = rd_kafka_topic_partition_list_add(list, topic, partition);
    each->offset = strtoll(strtok_r(rest, " ", &rest), NULL, 10);
    bytes metadata = from_hex(strtok_r(rest, " ", &rest));
    each->metadata = metadata.data; /* the list's from now on */
    each->metadata_size = metadata.length;
    rd_kafka_t *consumer = client_new(RD_KAFKA_CONSUMER, client_conf(l->bootstrap, settings, 2));
    rd_kafka_resp_err_t code = rd_kafka_commit(consumer, list, 0);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_die("offset of %s: %s", topic, rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(consumer);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        client_die("usage: kafka_load BOOTSTRAP TRANSACTIONAL_ID < commands");
    loader l = {.bootstrap = argv[1]};
    l.plain = producer(&l, NULL);
    l.transactional = producer(&l, argv[2]);
    char *line = malloc(LINE_BYTES);
    while (fgets(line, LINE_BYTES, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == 'R')
            keep(&l, line + 2);
        else if (line[0] == 'O')
            commit_offset(&l, line + 2);
        else
            end_batch(&l, line[0]);
    }
    rd_kafka_destroy(l.plain);
    rd_kafka_destroy(l.transactional);
    free(l.lines);
    free(line);
    return 0;
}
