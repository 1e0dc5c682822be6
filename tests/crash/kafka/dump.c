/* dump - what is on the cluster, as JSON lines, for the judge.
 *
 *     --topic T              the committed records, until what is stable now has been read: as the
 *                            cluster says when asked, for a leader that has just begun may answer
 *                            a fetch with an end before what it has acknowledged
 *     --topic T --follow     the same, and all that is committed later, until SIGTERM
 *     --topic T --bounds     {"partition", "begin", "stable", "end"}: stable < end while a
 *                            transaction is open
 *     --topic T --group G    {"partition", "offset", "metadata"}: committed, no transaction pending
 *     --uncommitted          read those of open and aborted transactions, too
 *     --hex                  keys and values as hex digits (changelogs)
 *
 * Exit status 3: there is no such topic.
 */
#include "client.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* what fails at once, as a partition that has no leader just now, is asked again a little later */
enum { NO_TOPIC = 3, ASK_TIMEOUT_MS = 2000, ASK_TRIES = 100, PAUSE_US = 100000, BATCH = 2000 };

typedef struct reader {
    rd_kafka_t *consumer;
    const char *topic;
    int partition_count;
    bool follow, hex;
    int64_t *ends; /* by partition: what was stable; -1: it has been read */
} reader;

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

/* ---------------------------------------------------------------- printing */

static void print_hex(const void *bytes, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++)
        printf("%02x", ((const unsigned char *)bytes)[i]);
    putchar('"');
}

static void print_text(const char *bytes, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

/* A value is one of leat's JSON objects, or nothing that we know. */
static void print_value(const reader *r, const rd_kafka_message_t *message)
{
    const char *value = message->payload;
    if (value == NULL)
        printf("null");
    else if (!r->hex && message->len >= 2 && value[0] == '{')
        fwrite(value, 1, message->len, stdout);
    else
        print_hex(value, message->len);
}

static void print_record(const reader *r, const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t kind;
    printf("{\"partition\": %d, \"offset\": %" PRId64 ", \"timestamp\": %" PRId64 ", \"key\": ",
           (int)message->partition, message->offset, rd_kafka_message_timestamp(message, &kind));
    if (message->key == NULL)
        printf("null");
    else if (r->hex)
        print_hex(message->key, message->key_len);
    else
        print_text(message->key, message->key_len);
    printf(", \"value\": ");
    print_value(r, message);
    printf("}\n");
}

/* ---------------------------------------------------------------- records */

static void ask_watermarks(rd_kafka_t *handle, const reader *r, int p, int64_t *low, int64_t *high)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int i = 0; i < ASK_TRIES; i++) {
        code = rd_kafka_query_watermark_offsets(handle, r->topic, p, low, high, ASK_TIMEOUT_MS);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        usleep(PAUSE_US);
    }
    client_die("bounds of %s/%d: %s", r->topic, p, rd_kafka_err2str(code));
}

static void assign_all(const reader *r)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(r->partition_count);
    for (int p = 0; p < r->partition_count; p++)
        rd_kafka_topic_partition_list_add(list, r->topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t code = rd_kafka_assign(r->consumer, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_die("assign: %s", rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
}

static int take(reader *r, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        print_record(r, message);
        return 0;
    }
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        int64_t *end = &r->ends[message->partition];
        bool reached = *end >= 0 && message->offset >= *end;
        *end = reached ? -1 : *end;
        return reached ? 1 : 0;
    }
    if (r->follow) /* a broker may be down for a while */
        return 0;
    client_die("%s: %s", rd_kafka_err2name(message->err), rd_kafka_message_errstr(message));
}

static void read_records(reader *r)
{
    for (int p = 0; p < r->partition_count && !r->follow; p++) {
        int64_t begin;
        ask_watermarks(r->consumer, r, p, &begin, &r->ends[p]);
    }
    assign_all(r);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(r->consumer);
    rd_kafka_message_t **messages = calloc(BATCH, sizeof *messages);
    if (messages == NULL)
        client_die("no memory");
    int missing = r->partition_count;
    while (!stopped && (r->follow || missing > 0)) {
        /* one with a wait, the rest without: a whole batch would be waited for */
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, 1);
        if (count == 1)
            count += rd_kafka_consume_batch_queue(queue, 0, messages + 1, BATCH - 1);
        for (ssize_t i = 0; i < count; i++) {
            missing -= take(r, messages[i]);
            rd_kafka_message_destroy(messages[i]);
        }
        if (count > 0)
            fflush(stdout);
    }
    free(messages);
    rd_kafka_queue_destroy(queue);
}

/* ---------------------------------------------------------------- questions */

static void print_bounds(const reader *r, const char *bootstrap)
{
    static const client_setting settings[] = {{"group.id", "judge"},
                                              {"isolation.level", "read_uncommitted"}};
    rd_kafka_t *other = client_new(RD_KAFKA_CONSUMER, client_conf(bootstrap, settings, 2));
    for (int p = 0; p < r->partition_count; p++) {
        int64_t begin, stable, end;
        ask_watermarks(other, r, p, &begin, &end);
        ask_watermarks(r->consumer, r, p, &begin, &stable);
        printf("{\"partition\": %d, \"begin\": %" PRId64 ", \"stable\": %" PRId64
               ", \"end\": %" PRId64 "}\n",
               p, begin, stable, end);
    }
    rd_kafka_destroy(other);
}

static void print_committed(const reader *r)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(r->partition_count);
    for (int p = 0; p < r->partition_count; p++)
        rd_kafka_topic_partition_list_add(list, r->topic, p);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int i = 0; i < ASK_TRIES && code != RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        code = rd_kafka_committed(r->consumer, list, ASK_TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_die("committed offsets: %s", rd_kafka_err2str(code));
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *each = &list->elems[i];
        printf("{\"partition\": %d, \"offset\": %" PRId64 ", \"metadata\": ", (int)each->partition,
               each->offset < 0 ? -1 : each->offset);
        print_text(each->metadata, each->metadata_size);
        printf("}\n");
    }
    rd_kafka_topic_partition_list_destroy(list);
}

int main(int argc, char **argv)
{
    const char *bootstrap = client_option(argc, argv, "--bootstrap", NULL);
    const char *group = client_option(argc, argv, "--group", "");
    bool uncommitted = client_flag(argc, argv, "--uncommitted");
    const client_setting settings[] = {
        {"group.id", group[0] == '\0' ? "judge" : group}, /* never joined: offsets are asked for */
        {"enable.auto.commit", "false"},
        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "earliest"}, /* error: a leader that has just changed ends it */
        {"fetch.wait.max.ms", "10"},
        {"isolation.level", uncommitted ? "read_uncommitted" : "read_committed"}};
    reader r = {.topic = client_option(argc, argv, "--topic", NULL),
                .follow = client_flag(argc, argv, "--follow"),
                .hex = client_flag(argc, argv, "--hex")};
    signal(SIGTERM, stop);
    r.consumer = client_new(RD_KAFKA_CONSUMER,
                            client_conf(bootstrap, settings, sizeof settings / sizeof *settings));
    r.partition_count = client_partition_count(r.consumer, r.topic);
    while (r.follow && r.partition_count == 0 && !stopped) { /* it may be made later */
        usleep(50000);
        r.partition_count = client_partition_count(r.consumer, r.topic);
    }
    if (r.partition_count == 0)
        return NO_TOPIC;
    r.ends = calloc((size_t)r.partition_count, sizeof *r.ends);
    if (r.ends == NULL)
        client_die("no memory");
    rd_kafka_poll_set_consumer(r.consumer);
    if (client_flag(argc, argv, "--bounds"))
        print_bounds(&r, bootstrap);
    else if (group[0] != '\0')
        print_committed(&r);
    else
        read_records(&r);
    free(r.ends);
    rd_kafka_destroy(r.consumer);
    return 0;
}
