/* What our changes to librdkafka (tools/setup.d/librdkafka) promise, on a real broker: one Produce
 * request for all partitions that wait on a connection, each answered by itself; a consumer
 * that asks seldom while nothing comes; and an answer to whoever assigns while the group ends.
 *
 *     producer ── holds records for LINGER_MS ──► requests, counted as they are sent
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it */
#include "base/mem.h"
#include "support/kafka.h"
#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

enum {
    PRODUCE = 0, /* protocol numbers */
    FETCH = 1,
    LINGER_MS = 200,
    PATIENCE_MS = 20000,
    PARTITIONS = 4,
    TOPICS = 2,
    ASSIGNING_THREADS = 8,
    REFUSED_FROM_BYTES = 2000, /* the second topic's max.message.bytes */
    NOT_REPORTED = -2
};

typedef struct report {
    int64_t offset;
    rd_kafka_resp_err_t code;
} report;

typedef struct world {
    rd_kafka_t *rk;
    char topics[TOPICS][64];
    atomic_int sent[2]; /* requests by protocol number */
} world;

/* ------------------------------------------------------------------ handles that count */

static rd_kafka_resp_err_t request_sent(rd_kafka_t *rk, int socket, const char *broker,
                                        int32_t broker_id, int16_t api_key, int16_t api_version,
                                        int32_t correlation_id, size_t bytes, void *arg)
{
    (void)rk, (void)socket, (void)broker, (void)broker_id, (void)api_version;
    (void)correlation_id, (void)bytes;
    world *w = arg;
    if (api_key <= FETCH)
        atomic_fetch_add(&w->sent[api_key], 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t watch(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg,
                                 char *reason, size_t reason_bytes)
{
    (void)conf, (void)reason, (void)reason_bytes;
    return rd_kafka_interceptor_add_on_request_sent(rk, "count", request_sent, arg);
}

static void reported(rd_kafka_t *rk, const rd_kafka_message_t *message, void *arg)
{
    (void)rk, (void)arg;
    *(report *)message->_private = (report){message->offset, message->err};
}

static rd_kafka_t *make(world *w, rd_kafka_type_t type, const char *const (*settings)[2])
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[256];
    assert_int_equal(RD_KAFKA_CONF_OK,
                     rd_kafka_conf_set(conf, "bootstrap.servers", test_kafka_bootstrap(), reason,
                                       sizeof reason));
    for (; (*settings)[0] != NULL; settings++)
        assert_int_equal(RD_KAFKA_CONF_OK, rd_kafka_conf_set(conf, (*settings)[0], (*settings)[1],
                                                             reason, sizeof reason));
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, reported);
    rd_kafka_conf_interceptor_add_on_new(conf, "count", watch, w);
    rd_kafka_t *rk = rd_kafka_new(type, conf, reason, sizeof reason);
    if (rk == NULL)
        fail_msg("%s", reason);
    return rk;
}

static void create_topics(world *w)
{
    static unsigned count;
    rd_kafka_NewTopic_t *wanted[TOPICS];
    char reason[256], bytes[16];
    for (int t = 0; t < TOPICS; t++) {
        snprintf(w->topics[t], sizeof w->topics[t], "requests-%lx-%x-%u", (unsigned long)time(NULL),
                 (unsigned)getpid(), count++);
        wanted[t] = rd_kafka_NewTopic_new(w->topics[t], PARTITIONS, -1, reason, sizeof reason);
    }
    snprintf(bytes, sizeof bytes, "%d", REFUSED_FROM_BYTES);
    rd_kafka_NewTopic_set_config(wanted[1], "max.message.bytes", bytes);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(w->rk);
    rd_kafka_CreateTopics(w->rk, wanted, TOPICS, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_event_error(event));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy_array(wanted, TOPICS);
}

static int set_up(void **state)
{
    static const char *const settings[][2] = {{"enable.idempotence", "true"},
                                              {"linger.ms", "200"},
                                              {"message.timeout.ms", "20000"},
                                              {"message.max.bytes", "4194304"},
                                              {NULL, NULL}};
    world *w = leat__calloc(1, sizeof *w);
    w->rk = make(w, RD_KAFKA_PRODUCER, settings);
    create_topics(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    rd_kafka_destroy(w->rk);
    leat__free(w);
    return 0;
}

/* ------------------------------------------------------------------ producing */

static void produce(world *w, int topic, int32_t partition, const char *value, size_t bytes,
                    report *to)
{
    *to = (report){NOT_REPORTED, RD_KAFKA_RESP_ERR_NO_ERROR};
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = w->topics[topic]},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value, bytes}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = to},
    };
    assert_null(rd_kafka_produceva(w->rk, parts, sizeof parts / sizeof *parts));
}

/* Until nothing is under way, without the hurry of a flush. */
static void wait_for_reports(world *w)
{
    for (int waited_ms = 0; rd_kafka_outq_len(w->rk) > 0 && waited_ms < PATIENCE_MS;
         waited_ms += 10)
        rd_kafka_poll(w->rk, 10);
    assert_int_equal(0, rd_kafka_outq_len(w->rk));
}

/* The connection is up, the producer has its id, the client knows the topics. */
static void warm_up(world *w)
{
    report reports[TOPICS];
    for (int t = 0; t < TOPICS; t++)
        produce(w, t, 0, "first", 5, &reports[t]);
    wait_for_reports(w);
    for (int t = 0; t < TOPICS; t++)
        assert_int_equal(0, reports[t].offset);
    atomic_store(&w->sent[PRODUCE], 0);
}

static void test_records_of_all_partitions_go_in_one_request(void **state)
{
    world *w = *state;
    warm_up(w);
    report reports[3][TOPICS][PARTITIONS];
    for (int round = 0; round < 3; round++)
        for (int t = 0; t < TOPICS; t++)
            for (int p = 0; p < PARTITIONS; p++)
                produce(w, t, p, "value", 5, &reports[round][t][p]);
    wait_for_reports(w);
    for (int round = 0; round < 3; round++)
        for (int t = 0; t < TOPICS; t++)
            for (int p = 0; p < PARTITIONS; p++) {
                assert_int_equal(RD_KAFKA_RESP_ERR_NO_ERROR, reports[round][t][p].code);
                assert_int_equal(round + (p == 0), reports[round][t][p].offset);
            }
    /* eight; two or three if the last records came when the first had waited long enough */
    assert_in_range(atomic_load(&w->sent[PRODUCE]), 1, 3);
}

static void test_a_partition_that_refuses_does_not_take_the_others_with_it(void **state)
{
    static const char large[3 * REFUSED_FROM_BYTES];
    world *w = *state;
    warm_up(w);
    report reports[TOPICS][PARTITIONS];
    for (int p = 0; p < PARTITIONS; p++)
        for (int t = 0; t < TOPICS; t++)
            produce(w, t, p, large, t == 1 && p == 2 ? sizeof large : 10, &reports[t][p]);
    wait_for_reports(w);
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            bool refused = t == 1 && p == 2;
            assert_int_equal(refused ? RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                                     : RD_KAFKA_RESP_ERR_NO_ERROR,
                             reports[t][p].code);
            if (!refused)
                assert_int_equal(p == 0 ? 1 : 0, reports[t][p].offset);
        }
}

static void test_many_large_batches_go_in_several_requests_in_order(void **state)
{
    enum { RECORDS = 60, BYTES = 100000 };
    world *w = *state;
    warm_up(w);
    char *value = leat__calloc(1, BYTES);
    report *reports = leat__calloc((size_t)RECORDS * PARTITIONS, sizeof *reports);
    for (int i = 0; i < RECORDS; i++)
        for (int p = 0; p < PARTITIONS; p++)
            produce(w, 0, p, value, BYTES, &reports[i * PARTITIONS + p]);
    wait_for_reports(w);
    for (int i = 0; i < RECORDS * PARTITIONS; i++) {
        assert_int_equal(RD_KAFKA_RESP_ERR_NO_ERROR, reports[i].code);
        assert_int_equal(i / PARTITIONS + (i % PARTITIONS == 0), reports[i].offset);
    }
    assert_true(atomic_load(&w->sent[PRODUCE]) > 3); /* 24 MB */
    leat__free(reports);
    leat__free(value);
}

/* ------------------------------------------------------------------ consuming */

static void nap_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void test_a_consumer_asks_seldom_while_nothing_comes(void **state)
{
    static const char *const settings[][2] = {
        {"fetch.wait.max.ms", "3"}, {"fetch.min.bytes", "100000"}, {NULL, NULL}};
    world *w = *state;
    rd_kafka_t *consumer = make(w, RD_KAFKA_CONSUMER, settings);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, w->topics[0], NULL);
    assert_int_equal(0, rd_kafka_consume_start(topic, 1, RD_KAFKA_OFFSET_BEGINNING));
    for (int i = 0; i < 2; i++) { /* again after the first silence */
        report sent;
        produce(w, 0, 1, "value", 5, &sent);
        wait_for_reports(w);
        rd_kafka_message_t *message = rd_kafka_consume(topic, 1, PATIENCE_MS);
        assert_non_null(message);
        assert_int_equal(sent.offset, message->offset);
        rd_kafka_message_destroy(message);
        nap_ms(300); /* the waits grow: 6, 12, 24, 48, 50 ms */
        atomic_store(&w->sent[FETCH], 0);
        nap_ms(1000);
        assert_in_range(atomic_load(&w->sent[FETCH]), 1, 25); /* 333 of 3 ms */
    }
    rd_kafka_consume_stop(topic, 1);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(consumer);
}

/* ------------------------------------------------------------------ leaving a group */

/* Assigns until the group has ended, as the callback of a rebalance does once. */
static void *assign_again_and_again(void *consumer)
{
    while (!rd_kafka_consumer_closed(consumer))
        (void)rd_kafka_assign(consumer, NULL);
    return NULL;
}

/* The client dropped a call that crossed with the end of its group, and its caller, a job that was
 * to stop, waited for ever.  Of several threads some are always on the way. */
static void test_an_assignment_that_crosses_with_the_end_of_the_group_returns(void **state)
{
    static const char *const settings[][2] = {{"group.id", "requests-left"}, {NULL, NULL}};
    world *w = *state;
    rd_kafka_t *consumer = make(w, RD_KAFKA_CONSUMER, settings);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, w->topics[0], RD_KAFKA_PARTITION_UA);
    assert_int_equal(RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_subscribe(consumer, topics));
    assert_null(rd_kafka_consumer_poll(consumer, 100));
    pthread_t threads[ASSIGNING_THREADS];
    for (int i = 0; i < ASSIGNING_THREADS; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, assign_again_and_again, consumer));
    nap_ms(100);
    assert_int_equal(RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_consumer_close(consumer));
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    for (int i = 0; i < ASSIGNING_THREADS; i++)
        assert_int_equal(0, pthread_timedjoin_np(threads[i], NULL, &until));
    rd_kafka_topic_partition_list_destroy(topics);
    rd_kafka_destroy(consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records_of_all_partitions_go_in_one_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_partition_that_refuses_does_not_take_the_others_with_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_large_batches_go_in_several_requests_in_order,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_consumer_asks_seldom_while_nothing_comes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_an_assignment_that_crosses_with_the_end_of_the_group_returns, set_up, tear_down),
    };
    if (test_kafka_bootstrap() == NULL || rd_kafka_version() < 0x020f0100) {
        puts("skipped: no broker, or a librdkafka without our changes");
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
