/* bench/e2e/bare.c - the floor: the least that Kafka and librdkafka let a program do between
 * user_events and user_recommendations exactly once. Counts are in memory; nothing is restored.
 *
 *   order=eager      produce each count at once, the way measured best (exactly-once.md):
 *                      begin · send last offsets (registers the group) · [read, count, produce]
 *                      until the epoch is over · send offsets · commit
 *   order=buffered   [read, count] until the epoch is over · begin · send offsets (registers the
 *                      group) · produce · commit
 *   order=pipelined  as buffered, on a second thread, while the first reads and counts the next
 *                      epoch: what an engine can do. epoch_ms=0: commits back to back
 *
 * Other settings: changelog=TOPIC writes each count there too, as an engine must that is to have
 * its state back; register_first=0 sends offsets at the end alone; consumer.X=, producer.X= are
 * librdkafka's. SIGTERM prints how long commits took and ends it. */
#include "base/histogram.h"
#include "bench/e2e/support/client.h"
#include "bench/e2e/support/plan.h"
#include "bench/e2e/support/settings.h"
#include "bench/support/machine.h"
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS_MAX = 1 << 22, BATCH = 2000, ANSWER_MS = 10000, IDLE_MS = 100, BUFFER_MAX = 200000 };

/* One epoch's outputs, and where its input ends. */
typedef struct epoch_buffer {
    size_t count;
    struct output {
        uint32_t user;
        uint64_t count;
    } outputs[BUFFER_MAX];
    rd_kafka_topic_partition_list_t *next; /* positions after it */
} epoch_buffer;

typedef struct bare {
    const char *broker, *input, *output, *changelog, *order, *group;
    uint64_t epoch_ms, register_first;
    rd_kafka_t *consumer, *producer;
    rd_kafka_topic_t *output_topic, *changelog_topic;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_partition_list_t *last, *next; /* committed, and read up to */
    epoch_buffer *filling, *committing;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool busy; /* `committing` is being committed */
    leat__histogram begin_ns, commit_ns;
    uint64_t epochs, records;
} bare;

static uint64_t counts[USERS_MAX];
static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static void produce_to(rd_kafka_topic_t *topic, const struct output *out)
{
    char key[32], value[96];
    int key_bytes = snprintf(key, sizeof key, "u%08" PRIu32, out->user);
    int value_bytes = snprintf(value, sizeof value,
                               "{\"user_id\":\"%s\",\"event_count\":%" PRIu64 "}", key, out->count);
    if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value,
                         (size_t)value_bytes, key, (size_t)key_bytes, NULL) != 0)
        client_fail("a count is not produced", rd_kafka_err2str(rd_kafka_last_error()));
}

static void produce(bare *b, const struct output *out)
{
    produce_to(b->output_topic, out);
    if (b->changelog_topic != NULL)
        produce_to(b->changelog_topic, out);
}

/* False where there is nothing to count. */
static bool count_event(bare *b, rd_kafka_message_t *message, struct output *out)
{
    bool counted = false;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        uint32_t user = plan_parse_user(message->payload, message->len);
        rd_kafka_topic_partition_list_find(b->next, b->input, message->partition)->offset =
            message->offset + 1;
        if (user < USERS_MAX) {
            *out = (struct output){.user = user, .count = ++counts[user]};
            b->records++;
            counted = true;
        }
    }
    rd_kafka_message_destroy(message);
    return counted;
}

static void send_offsets(bare *b, const rd_kafka_topic_partition_list_t *offsets)
{
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(b->consumer);
    client_check(rd_kafka_send_offsets_to_transaction(b->producer, offsets, group, -1), "offsets");
    rd_kafka_consumer_group_metadata_destroy(group);
}

/* `offsets` go first where the group is to be registered first: the last ones, where it is not
 * known yet what the epoch will hold. */
static void begin(bare *b, const rd_kafka_topic_partition_list_t *offsets)
{
    int64_t start_ns = bench_now_ns();
    client_check(rd_kafka_begin_transaction(b->producer), "begin");
    if (b->register_first != 0)
        send_offsets(b, offsets);
    leat__histogram_record(&b->begin_ns, (uint64_t)(bench_now_ns() - start_ns));
}

static void commit(bare *b, const rd_kafka_topic_partition_list_t *next, bool sent)
{
    int64_t start_ns = bench_now_ns();
    if (!sent)
        send_offsets(b, next);
    client_check(rd_kafka_commit_transaction(b->producer, -1), "commit");
    leat__histogram_record(&b->commit_ns, (uint64_t)(bench_now_ns() - start_ns));
    rd_kafka_topic_partition_list_destroy(b->last);
    b->last = rd_kafka_topic_partition_list_copy(next);
    b->epochs++;
}

/* At least one, waiting up to wait_ms; a batch call of many would wait for all of them. */
static size_t read_some(bare *b, rd_kafka_message_t **messages, int wait_ms)
{
    ssize_t first = rd_kafka_consume_batch_queue(b->queue, wait_ms, messages, 1);
    if (first <= 0)
        return 0;
    ssize_t more = rd_kafka_consume_batch_queue(b->queue, 0, messages + 1, BATCH - 1);
    return more < 0 ? 1 : (size_t)more + 1;
}

static int left_ms(int64_t until_ns)
{
    int64_t left_ns = until_ns - bench_now_ns();
    return left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000);
}

static void run_eager(bare *b)
{
    rd_kafka_message_t *messages[BATCH];
    struct output out;
    size_t count = read_some(b, messages, IDLE_MS);
    if (count == 0)
        return;
    int64_t until_ns = bench_now_ns() + (int64_t)b->epoch_ms * 1000000;
    begin(b, b->last);
    do {
        for (size_t i = 0; i < count; i++)
            if (count_event(b, messages[i], &out))
                produce(b, &out);
        int wait_ms = left_ms(until_ns);
        count = wait_ms > 0 ? read_some(b, messages, wait_ms) : 0;
    } while (count > 0 || left_ms(until_ns) > 0);
    commit(b, b->next, false);
}

/* Reads one epoch, or until `enough` says so. */
static void fill(bare *b, epoch_buffer *into, int64_t epoch_ns)
{
    rd_kafka_message_t *messages[BATCH];
    int64_t until_ns = 0;
    for (into->count = 0; into->count + BATCH <= BUFFER_MAX && !stopping;) {
        int wait_ms = into->count == 0 ? IDLE_MS : left_ms(until_ns);
        if (into->count > 0 && wait_ms == 0)
            break;
        size_t count = read_some(b, messages, wait_ms);
        if (into->count == 0)
            until_ns = bench_now_ns() + epoch_ns;
        for (size_t i = 0; i < count; i++)
            into->count += count_event(b, messages[i], &into->outputs[into->count]);
    }
    if (into->next != NULL)
        rd_kafka_topic_partition_list_destroy(into->next);
    into->next = rd_kafka_topic_partition_list_copy(b->next);
}

static void commit_buffer(bare *b, const epoch_buffer *from)
{
    begin(b, from->next);
    for (size_t i = 0; i < from->count; i++)
        produce(b, &from->outputs[i]);
    commit(b, from->next, b->register_first != 0);
}

static void run_buffered(bare *b)
{
    fill(b, b->filling, (int64_t)b->epoch_ms * 1000000);
    if (b->filling->count > 0)
        commit_buffer(b, b->filling);
}

static void *commit_along(void *arg)
{
    bare *b = arg;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (!b->busy)
            pthread_cond_wait(&b->changed, &b->lock);
        pthread_mutex_unlock(&b->lock);
        commit_buffer(b, b->committing);
        pthread_mutex_lock(&b->lock);
        b->busy = false;
        pthread_cond_broadcast(&b->changed);
    }
    return NULL;
}

/* The first thread hands over an epoch when it is old enough and the one before is committed. */
static void run_pipelined(bare *b)
{
    rd_kafka_message_t *messages[BATCH];
    epoch_buffer *into = b->filling;
    int64_t first_ns = 0;
    for (into->count = 0; !stopping;) {
        bool full = into->count + BATCH > BUFFER_MAX;
        int wait_ms = into->count == 0 ? IDLE_MS : 1;
        size_t count = full ? 0 : read_some(b, messages, wait_ms);
        if (into->count == 0)
            first_ns = bench_now_ns();
        for (size_t i = 0; i < count; i++)
            into->count += count_event(b, messages[i], &into->outputs[into->count]);
        if (into->count == 0 ||
            (!full && bench_now_ns() - first_ns < (int64_t)b->epoch_ms * 1000000))
            continue;
        pthread_mutex_lock(&b->lock);
        bool free_now = !b->busy;
        while (full && b->busy)
            pthread_cond_wait(&b->changed, &b->lock);
        if (free_now || full) {
            if (into->next != NULL)
                rd_kafka_topic_partition_list_destroy(into->next);
            into->next = rd_kafka_topic_partition_list_copy(b->next);
            b->filling = b->committing, b->committing = into, b->busy = true;
            pthread_cond_broadcast(&b->changed);
        }
        pthread_mutex_unlock(&b->lock);
        if (free_now || full)
            return;
    }
}

static void open_clients(bare *b, int argc, char **argv)
{
    b->consumer = client_new(RD_KAFKA_CONSUMER,
                             (const char *const[]){"bootstrap.servers",
                                                   b->broker,
                                                   "group.id",
                                                   b->group,
                                                   "group.instance.id",
                                                   b->group,
                                                   "isolation.level",
                                                   "read_committed",
                                                   "enable.auto.commit",
                                                   "false",
                                                   "auto.offset.reset",
                                                   "earliest",
                                                   "socket.nagle.disable",
                                                   "true",
                                                   "partition.assignment.strategy",
                                                   "range",
                                                   "fetch.queue.backoff.ms",
                                                   "10",
                                                   "queued.max.messages.kbytes",
                                                   "65536",
                                                   NULL},
                             argc, argv);
    b->producer =
        client_new(RD_KAFKA_PRODUCER,
                   (const char *const[]){"bootstrap.servers", b->broker, "transactional.id",
                                         b->group, "transaction.timeout.ms", "10000", "linger.ms",
                                         "0", "retry.backoff.ms", "1", "socket.nagle.disable",
                                         "true", "partitioner", "murmur2_random",
                                         "queue.buffering.max.messages", "1000000", NULL},
                   argc, argv);
}

/* Joins the group, waits for the partitions, finds where it was. */
static void join(bare *b)
{
    const struct rd_kafka_metadata *metadata;
    b->output_topic = rd_kafka_topic_new(b->producer, b->output, NULL);
    if (b->changelog != NULL)
        b->changelog_topic = rd_kafka_topic_new(b->producer, b->changelog, NULL);
    rd_kafka_resp_err_t err =
        rd_kafka_metadata(b->producer, 0, b->output_topic, &metadata, ANSWER_MS);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) /* known before the first transaction, or it waits */
        client_fail(b->output, rd_kafka_err2str(err));
    rd_kafka_metadata_destroy(metadata);
    client_check(rd_kafka_init_transactions(b->producer, ANSWER_MS), "init");
    rd_kafka_topic_partition_list_t *wanted = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(wanted, b->input, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(b->consumer, wanted);
    rd_kafka_topic_partition_list_destroy(wanted);
    b->queue = rd_kafka_queue_get_consumer(b->consumer);
    rd_kafka_message_t *message = NULL;
    struct output *first = b->filling->outputs;
    for (; !stopping; rd_kafka_topic_partition_list_destroy(b->last)) {
        message = message != NULL ? message : rd_kafka_consumer_poll(b->consumer, 10);
        rd_kafka_assignment(b->consumer, &b->last);
        if (b->last->cnt > 0)
            break;
    }
    rd_kafka_committed(b->consumer, b->last, ANSWER_MS);
    b->next = rd_kafka_topic_partition_list_copy(b->last);
    for (int i = 0; i < b->last->cnt; i++)
        if (b->last->elems[i].offset < 0)
            b->last->elems[i].offset = b->next->elems[i].offset = 0;
    if (message != NULL && count_event(b, message, first)) {
        b->filling->count = 1;
        b->filling->next = rd_kafka_topic_partition_list_copy(b->next);
        commit_buffer(b, b->filling);
    }
}

static void report(const bare *b)
{
    printf("{\"epochs\":%" PRIu64 ",\"records\":%" PRIu64
           ",\"begin_ms\":{\"p50\":%.2f,\"p95\":%.2f,\"p99\":%.2f},"
           "\"commit_ms\":{\"p50\":%.2f,\"p95\":%.2f,\"p99\":%.2f}}\n",
           b->epochs, b->records, (double)leat__histogram_quantile(&b->begin_ns, .5) / 1e6,
           (double)leat__histogram_quantile(&b->begin_ns, .95) / 1e6,
           (double)leat__histogram_quantile(&b->begin_ns, .99) / 1e6,
           (double)leat__histogram_quantile(&b->commit_ns, .5) / 1e6,
           (double)leat__histogram_quantile(&b->commit_ns, .95) / 1e6,
           (double)leat__histogram_quantile(&b->commit_ns, .99) / 1e6);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static epoch_buffer buffers[2];
    static bare b = {.broker = "127.0.0.1:9092",
                     .input = "user_events",
                     .output = "user_recommendations",
                     .order = "eager",
                     .group = "bench-bare",
                     .epoch_ms = 10,
                     .register_first = 1,
                     .filling = &buffers[0],
                     .committing = &buffers[1],
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .changed = PTHREAD_COND_INITIALIZER};
    const setting table[] = {
        {"broker", "HOST:PORT", .text = &b.broker},
        {"input", "topic of the events", .text = &b.input},
        {"output", "topic of the counts", .text = &b.output},
        {"group", "its name, also of the member and of the transactions", .text = &b.group},
        {"changelog", "topic: each count goes there too", .text = &b.changelog},
        {"order", "eager, buffered or pipelined", .text = &b.order},
        {"epoch_ms", "how long an epoch is", .number = &b.epoch_ms},
        {"register_first", "0: offsets are sent at the end alone", .number = &b.register_first},
    };
    settings_parse(table, sizeof table / sizeof table[0], argc - 1, argv + 1);
    void (*run)(bare *) = strcmp(b.order, "eager") == 0      ? run_eager
                          : strcmp(b.order, "buffered") == 0 ? run_buffered
                                                             : run_pipelined;
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    open_clients(&b, argc - 1, argv + 1);
    join(&b);
    pthread_t thread;
    if (run == run_pipelined && pthread_create(&thread, NULL, commit_along, &b) != 0)
        client_fail("the committer", "no thread");
    while (!stopping)
        run(&b);
    report(&b);
    _Exit(0); /* the group would take its time to leave */
}
