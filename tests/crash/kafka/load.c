/* load - an open-loop producer of events: keyed by user, idempotent, told what to do line by line.
 *
 *     stdin   rate N   N events a second from now on, whoever falls behind; 0: none
 *             each     one event of every user
 *             sync     answers {"synced": N} when all N events until now are acknowledged
 *             (end)    as sync, then the program ends
 *     --acks  one line "NUMBER PARTITION OFFSET" for each acknowledged event
 *
 * It rides out a broker's death: an event is tried until it is acknowledged, and librdkafka's
 * idempotence keeps it from being there twice. Event N has timestamp_ms = --first-ms + N.
 */
#include "client.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BEHIND_AT_MOST = 200000 }; /* events that wait for a broker before new ones are not made */

typedef struct loader {
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    FILE *acks;
    uint64_t random;
    long user_count;
    int64_t first_ms;
    uint64_t made, acknowledged;
    double per_second;
    double due_from_s; /* the schedule: event K of it is due at due_from_s + K / per_second */
    uint64_t made_of_schedule;
} loader;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state) /* xorshift64*: the same events for the same seed */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ULL >> 11;
}

static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    loader *load = opaque;
    unsigned long long number = (unsigned long long)(uintptr_t)message->_private;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_die("event %llu was not delivered: %s", number, rd_kafka_err2str(message->err));
    fprintf(load->acks, "%llu %d %lld\n", number, (int)message->partition,
            (long long)message->offset);
    load->acknowledged++;
}

static void failed(rd_kafka_t *producer, int code, const char *reason, void *opaque)
{
    (void)opaque;
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        char text[256];
        rd_kafka_resp_err_t cause = rd_kafka_fatal_error(producer, text, sizeof text);
        client_die("fatal: %s: %s", rd_kafka_err2name(cause), text);
    }
    if (code != RD_KAFKA_RESP_ERR__TRANSPORT && code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        fprintf(stderr, "%s: %s\n", rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

static void make_event(loader *load, long user)
{
    char key[32], value[256];
    uint64_t number = load->made;
    int key_length = snprintf(key, sizeof key, "u%ld", user);
    int length =
        snprintf(value, sizeof value,
                 "{\"user_id\":\"%s\",\"product_id\":\"p%llu\",\"category\":\"c\","
                 "\"event_type\":\"view\",\"timestamp_ms\":%lld}",
                 key, (unsigned long long)number, (long long)(load->first_ms + (int64_t)number));
    while (rd_kafka_produce(load->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value,
                            (size_t)length, key, (size_t)key_length,
                            (void *)(uintptr_t)number) != 0) {
        rd_kafka_resp_err_t code = rd_kafka_last_error();
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            client_die("produce: %s", rd_kafka_err2str(code));
        rd_kafka_poll(load->producer, 10);
    }
    load->made++;
}

static void make_due_events(loader *load)
{
    if (load->per_second <= 0)
        return;
    uint64_t due = (uint64_t)((now_s() - load->due_from_s) * load->per_second);
    while (load->made_of_schedule < due && load->made - load->acknowledged < BEHIND_AT_MOST) {
        make_event(load, (long)(next_random(&load->random) % (uint64_t)load->user_count));
        load->made_of_schedule++;
    }
}

static void sync_all(loader *load)
{
    while (load->acknowledged < load->made)
        rd_kafka_poll(load->producer, 5);
    fflush(load->acks);
    printf("{\"synced\": %llu}\n", (unsigned long long)load->made);
    fflush(stdout);
}

static void obey(loader *load, const char *line)
{
    if (strncmp(line, "rate ", 5) == 0) {
        load->per_second = strtod(line + 5, NULL);
        load->due_from_s = now_s();
        load->made_of_schedule = 0;
    } else if (strcmp(line, "each") == 0) {
        for (long user = 0; user < load->user_count; user++)
            make_event(load, user);
    } else if (strcmp(line, "sync") == 0) {
        sync_all(load);
    } else {
        client_die("unknown command '%s'", line);
    }
}

/* Obeys the whole lines that have come; false at the end of stdin. */
static bool read_commands(loader *load)
{
    static char text[4096];
    static size_t length;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&input, 1, 1) <= 0)
        return true;
    ssize_t count = read(STDIN_FILENO, text + length, sizeof text - length - 1);
    if (count <= 0)
        return false;
    length += (size_t)count;
    text[length] = '\0';
    char *line = text, *end;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        obey(load, line);
        line = end + 1;
    }
    length -= (size_t)(line - text);
    memmove(text, line, length);
    return true;
}

int main(int argc, char **argv)
{
    static const client_setting settings[] = {
        {"enable.idempotence", "true"},
        /* with more a new leader may make the client begin a new epoch, and send some twice */
        {"max.in.flight.requests.per.connection", "1"},
        {"partitioner", "murmur2_random"},
        {"linger.ms", "2"},
        {"queue.buffering.max.messages", "1000000"},
        {"message.timeout.ms", "0"},
        {"retry.backoff.ms", "50"},
        {"retry.backoff.max.ms", "200"},
    };
    loader load = {.user_count = client_number(argc, argv, "--users", "100"),
                   .first_ms = client_number(argc, argv, "--first-ms", "1700000000000"),
                   .random = (uint64_t)client_number(argc, argv, "--seed", "1") * 2 + 1};
    load.acks = fopen(client_option(argc, argv, "--acks", NULL), "w");
    if (load.acks == NULL)
        client_die("cannot write the file of --acks");
    rd_kafka_conf_t *conf = client_conf(client_option(argc, argv, "--bootstrap", NULL), settings,
                                        sizeof settings / sizeof *settings);
    rd_kafka_conf_set_opaque(conf, &load);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_error_cb(conf, failed);
    load.producer = client_new(RD_KAFKA_PRODUCER, conf);
    load.topic =
        rd_kafka_topic_new(load.producer, client_option(argc, argv, "--topic", NULL), NULL);
    if (load.topic == NULL)
        client_die("topic: %s", rd_kafka_err2str(rd_kafka_last_error()));
    while (read_commands(&load)) {
        make_due_events(&load);
        rd_kafka_poll(load.producer, 0);
    }
    sync_all(&load);
    fclose(load.acks);
    rd_kafka_topic_destroy(load.topic);
    rd_kafka_destroy(load.producer);
    return 0;
}
