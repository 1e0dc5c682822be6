/* bench/e2e/load.c - the load and the measure of an engine that counts events per user in Kafka.
 *
 *   generator ──► user_events ──► the engine ──► user_recommendations ──► reader
 *       │  intended times, per event                 (read_committed)       │
 *       └───────────────────────────────► plan ◄────────────────────────────┘
 *
 *   load topics   deletes and creates both topics (and deletes those whose name begins as remove=,
 *                 and creates create=)
 *   load fill     produces events=N as fast as the broker takes them
 *   load drain    reads until events=N counts have come, checks them
 *   load live     single events until the engine answers, then an open loop of rate= events a
 *                 second for warm_up= and seconds=; latency of the latter, from the intended time.
 *                 With clicks=FILE the recommender can be the engine
 *
 * What happens when is told on stdout, a line of JSON each, so that run.py can look at the clock
 * and at the engine's CPU time; times in ns are of CLOCK_MONOTONIC. Counts that are wrong, missing
 * or too many: exit status 1. */
#include "bench/e2e/support/generate.h"
#include "bench/e2e/support/read.h"
#include "bench/e2e/support/settings.h"
#include "bench/support/machine.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { PROBE_EVERY_MS = 20, POLL_MS = 20, TOPIC_MS = 20000, PROBES_MAX = 10000, TOPICS_MAX = 100 };

typedef struct load {
    const char *broker, *input, *output, *remove, *create, *clicks;
    uint64_t rate, seconds, warm_up, events, users, user_bytes, seed, partitions;
    uint64_t counted_before, from_end, patience;
    int argc;
    char **argv;
    event_plan plan;
    reader reader;
    _Atomic bool reading;
} load;

static void say(const char *phase)
{
    printf("{\"phase\":\"%s\",\"at_ns\":%" PRId64 "}\n", phase, bench_now_ns());
    fflush(stdout);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static uint64_t correct(const load *ld)
{
    return atomic_load_explicit(&ld->reader.correct, memory_order_relaxed);
}

static double quantile_ms(const leat__histogram *histogram, double quantile)
{
    return (double)leat__histogram_quantile(histogram, quantile) / 1e6;
}

/* The last line: what the reader saw. */
static int report(const load *ld, uint64_t expected, const leat__histogram *late, double cpu)
{
    const reader *rd = &ld->reader;
    const leat__histogram *latency = &rd->latency_ns;
    bool right = reader_is_right(rd) && correct(ld) == expected;
    printf("{\"phase\":\"result\",\"right\":%s,\"expected\":%" PRIu64 ",\"correct\":%" PRIu64
           ",\"repeated\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"foreign\":%" PRIu64,
           right ? "true" : "false", expected, correct(ld), rd->repeated, rd->skipped, rd->foreign);
    printf(",\"first_ns\":%" PRId64 ",\"last_ns\":%" PRId64 ",\"gap_from_ns\":%" PRId64
           ",\"gap_until_ns\":%" PRId64 ",\"load_cores\":%.3f",
           rd->first_ns, rd->last_ns, rd->gap_from_ns, rd->gap_until_ns, cpu);
    printf(",\"timed\":%" PRIu64 ",\"p50_ms\":%.2f,\"p90_ms\":%.2f,\"p95_ms\":%.2f,"
           "\"p99_ms\":%.2f,\"p999_ms\":%.2f,\"max_ms\":%.2f,\"late_p99_ms\":%.3f}\n",
           latency->count, quantile_ms(latency, .5), quantile_ms(latency, .9),
           quantile_ms(latency, .95), quantile_ms(latency, .99), quantile_ms(latency, .999),
           (double)latency->max / 1e6, quantile_ms(late, .99));
    if (!right)
        fprintf(stderr, "bench/e2e: WRONG RESULT: %s\n",
                rd->first_wrong[0] != '\0' ? rd->first_wrong : "counts are missing");
    return right ? 0 : 1;
}

static void *read_along(void *arg)
{
    load *ld = arg;
    while (atomic_load_explicit(&ld->reading, memory_order_relaxed))
        reader_poll(&ld->reader, POLL_MS);
    return NULL;
}

/* Until `expected` correct counts are there, or nothing has come for patience seconds. */
static bool wait_for(const load *ld, uint64_t expected)
{
    const struct timespec nap = {.tv_nsec = 2000000};
    uint64_t seen = correct(ld);
    int64_t seen_ns = bench_now_ns();
    while (correct(ld) < expected) {
        if (correct(ld) > seen) {
            seen = correct(ld);
            seen_ns = bench_now_ns();
        } else if (bench_now_ns() - seen_ns > (int64_t)ld->patience * 1000000000) {
            return false;
        }
        nanosleep(&nap, NULL);
    }
    return true;
}

/* One event at a time until the engine answers one, then until it has answered all. */
static void probe(load *ld, generator *gen)
{
    const struct timespec pause = {.tv_nsec = PROBE_EVERY_MS * 1000000};
    uint64_t patience = ld->patience * 1000 / PROBE_EVERY_MS;
    while (correct(ld) == 0) {
        if (gen->next == patience || gen->next == PROBES_MAX)
            client_fail("the engine", "no answer to the first events");
        generator_send_now(gen);
        nanosleep(&pause, NULL);
    }
    say("answered");
    if (!wait_for(ld, gen->next))
        client_fail("the engine", "it does not answer all of the first events");
}

static int run_live(load *ld)
{
    generator gen = {.plan = &ld->plan, .topic = ld->input};
    uint64_t paced = ld->rate * (ld->warm_up + ld->seconds);
    ld->plan.event_count = PROBES_MAX + paced;
    if (ld->clicks != NULL)
        plan_read_clicks(&ld->plan, ld->clicks);
    plan_build(&ld->plan, ld->seed);
    reader_open(&ld->reader, ld->broker, ld->output, ld->from_end != 0, ld->argc, ld->argv);
    generator_open(&gen, ld->broker, ld->argc, ld->argv);
    ld->reader.timed_from = UINT64_MAX;
    atomic_store(&ld->reading, true);
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_along, ld) != 0)
        client_fail("the reader", "no thread");
    say("open");
    probe(ld, &gen);
    /* Nothing is under way, so the reader's thread does not look at these now. */
    ld->reader.timed_from = gen.next + ld->rate * ld->warm_up;
    ld->reader.timed_until = gen.next + paced;
    ld->reader.gap_from_ns = ld->reader.gap_until_ns = 0;
    int64_t start_ns = bench_now_ns();
    say("warm_up");
    if (ld->warm_up > 0)
        generator_send_at_rate(&gen, ld->rate * ld->warm_up, ld->rate, start_ns);
    double cpu = cpu_seconds();
    gen.late_ns = (leat__histogram){0};
    start_ns += (int64_t)ld->warm_up * 1000000000;
    say("measure");
    generator_send_at_rate(&gen, ld->rate * ld->seconds, ld->rate, start_ns);
    say("measured");
    cpu = (cpu_seconds() - cpu) / (double)ld->seconds;
    wait_for(ld, gen.next);
    atomic_store(&ld->reading, false);
    pthread_join(thread, NULL);
    reader_poll(&ld->reader, 200); /* one count too many would come now */
    int status = report(ld, gen.next, &gen.late_ns, cpu);
    generator_close(&gen);
    return status;
}

static int run_fill(load *ld)
{
    generator gen = {.plan = &ld->plan, .topic = ld->input};
    static char linger[] = "producer.linger.ms=20", batch[] = "producer.batch.size=500000";
    char *bulk[] = {linger, batch};
    ld->plan.event_count = ld->events;
    plan_build(&ld->plan, ld->seed);
    generator_open(&gen, ld->broker, 2, bulk);
    say("open");
    generator_send_all(&gen, ld->events);
    generator_close(&gen);
    say("filled");
    return 0;
}

static int run_drain(load *ld)
{
    static const leat__histogram none;
    ld->plan.event_count = ld->events;
    plan_build(&ld->plan, ld->seed);
    reader_open(&ld->reader, ld->broker, ld->output, ld->from_end != 0, ld->argc, ld->argv);
    atomic_store(&ld->reading, true);
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_along, ld) != 0)
        client_fail("the reader", "no thread");
    say("open");
    double cpu = cpu_seconds();
    if (wait_for(ld, 1))
        say("answered");
    wait_for(ld, ld->events);
    say("drained");
    reader_poll(&ld->reader, 200); /* one count too many would come now */
    atomic_store(&ld->reading, false);
    pthread_join(thread, NULL);
    return report(ld, ld->events, &none, cpu_seconds() - cpu);
}

static bool is_ours(const load *ld, const char *topic)
{
    if (strcmp(topic, ld->input) == 0 || strcmp(topic, ld->output) == 0)
        return true;
    for (const char *at = ld->remove; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length > 0 && strncmp(topic, at, length) == 0)
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}

/* How many of our topics the broker knows; their names go to `found` unless it is NULL. */
static size_t our_topics(const load *ld, rd_kafka_t *client, rd_kafka_DeleteTopic_t **found,
                         size_t capacity)
{
    const struct rd_kafka_metadata *metadata;
    size_t count = 0;
    rd_kafka_resp_err_t err = rd_kafka_metadata(client, 1, NULL, &metadata, TOPIC_MS);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_fail("the list of topics", rd_kafka_err2str(err));
    for (int i = 0; i < metadata->topic_cnt && count < capacity; i++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[i];
        if (!is_ours(ld, topic->topic) || topic->partition_cnt == 0)
            continue;
        if (found != NULL)
            found[count] = rd_kafka_DeleteTopic_new(topic->topic);
        count++;
    }
    rd_kafka_metadata_destroy(metadata);
    return count;
}

static void create_topic(const load *ld, rd_kafka_t *client, rd_kafka_queue_t *queue,
                         const char *topic)
{
    char why[256];
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(topic, (int)ld->partitions, 1, why, sizeof why);
    if (wanted == NULL)
        client_fail(topic, why);
    rd_kafka_CreateTopics(client, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TOPIC_MS);
    size_t count = 0;
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_fail(topic, "no answer to its creation");
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    if (rd_kafka_topic_result_error(topics[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_fail(topic, rd_kafka_topic_result_error_string(topics[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(wanted);
}

/* Deletion and creation are acknowledged before every part of the broker knows of them. */
static void await_topics(const load *ld, rd_kafka_t *client, size_t count)
{
    const struct timespec nap = {.tv_nsec = 50000000};
    for (int i = 0; our_topics(ld, client, NULL, TOPICS_MAX) != count; i++) {
        if (i == TOPIC_MS / 50)
            client_fail("the topics", "their number does not become right");
        nanosleep(&nap, NULL);
    }
}

static int run_topics(load *ld)
{
    rd_kafka_DeleteTopic_t *old[TOPICS_MAX];
    rd_kafka_t *client = client_new(
        RD_KAFKA_PRODUCER, (const char *const[]){"bootstrap.servers", ld->broker, NULL}, 0, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    size_t old_count = our_topics(ld, client, old, TOPICS_MAX);
    if (old_count > 0) {
        rd_kafka_DeleteTopics(client, old, old_count, NULL, queue);
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TOPIC_MS);
        if (event == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
            client_fail("old topics", "they cannot be deleted");
        rd_kafka_event_destroy(event);
        rd_kafka_DeleteTopic_destroy_array(old, old_count);
    }
    await_topics(ld, client, 0);
    create_topic(ld, client, queue, ld->input);
    create_topic(ld, client, queue, ld->output);
    if (ld->create != NULL)
        create_topic(ld, client, queue, ld->create);
    await_topics(ld, client, ld->create != NULL ? 3 : 2);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    return 0;
}

int main(int argc, char **argv)
{
    static load ld = {.broker = "127.0.0.1:9092",
                      .input = "user_events",
                      .output = "user_recommendations",
                      .rate = 1000,
                      .seconds = 20,
                      .warm_up = 5,
                      .events = 2000000,
                      .users = 10000,
                      .user_bytes = 9,
                      .seed = 1,
                      .partitions = 4,
                      .patience = 60};
    const setting table[] = {
        {"broker", "HOST:PORT", .text = &ld.broker},
        {"input", "topic of the events", .text = &ld.input},
        {"output", "topic of the counts", .text = &ld.output},
        {"remove", "delete topics that begin so, A,B", .text = &ld.remove},
        {"create", "one more topic, of those that remove= names", .text = &ld.create},
        {"clicks", "file of USER ITEM for live, answers name event_id", .text = &ld.clicks},
        {"partitions", "of both topics", .number = &ld.partitions},
        {"rate", "events a second", .number = &ld.rate},
        {"seconds", "measured", .number = &ld.seconds},
        {"warm_up", "seconds before", .number = &ld.warm_up},
        {"events", "of fill and drain", .number = &ld.events},
        {"users", "how many", .number = &ld.users},
        {"user_bytes", "length of a user's name", .number = &ld.user_bytes},
        {"seed", "of the users' order; 0: in turn", .number = &ld.seed},
        {"first_user", "of seed=0", .number = &ld.plan.first_user},
        {"user_range", "how many users from there take turns", .number = &ld.plan.user_range},
        {"stride", "from a user to the next in turn", .number = &ld.plan.stride},
        {"counted_before", "events that each user had", .number = &ld.counted_before},
        {"from_end", "1: what is in the output now is old", .number = &ld.from_end},
        {"patience", "seconds without a count", .number = &ld.patience},
    };
    static const struct {
        const char *name;
        int (*run)(load *ld);
    } commands[] = {
        {"topics", run_topics}, {"fill", run_fill}, {"drain", run_drain}, {"live", run_live}};
    settings_parse(table, sizeof table / sizeof table[0], argc - 2, argv + 2);
    ld.argc = argc - 2, ld.argv = argv + 2;
    ld.plan.user_count = ld.users;
    ld.plan.user_bytes = ld.user_bytes < 9 ? 9 : ld.user_bytes;
    ld.plan.counted_before = ld.counted_before;
    ld.reader.plan = &ld.plan;
    ld.reader.timed_until = UINT64_MAX;
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            int status = commands[i].run(&ld);
            plan_free(&ld.plan);
            return status;
        }
    fprintf(stderr, "load topics|fill|drain|live [NAME=VALUE ...]\n");
    return 64;
}
