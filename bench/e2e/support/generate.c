#include "bench/e2e/support/generate.h"

#include "bench/support/machine.h"
#include <time.h>

enum { TICK_NS = 1000000, FLUSH_MS = 60000 };

void generator_open(generator *gen, const char *broker, int argc, char **argv)
{
    /* A queue that holds everything: a slow broker must not slow the generator. */
    gen->producer =
        client_new(RD_KAFKA_PRODUCER,
                   (const char *const[]){"bootstrap.servers", broker, "partitioner",
                                         "murmur2_random", "linger.ms", "0", "socket.nagle.disable",
                                         "true", "queue.buffering.max.messages", "4000000",
                                         "queue.buffering.max.kbytes", "2000000", NULL},
                   argc, argv);
    gen->handle = rd_kafka_topic_new(gen->producer, gen->topic, NULL);
}

static int64_t unix_ms(int64_t monotonic_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return (now_ns - bench_now_ns() + monotonic_ns) / 1000000;
}

static void send_event(generator *gen, int64_t intended_ns)
{
    char event[PLAN_EVENT_BYTES], user[PLAN_USER_BYTES];
    uint64_t n = gen->next++;
    size_t user_bytes = plan_key(gen->plan, n, user);
    size_t event_bytes = plan_event(gen->plan, n, unix_ms(intended_ns), event);
    atomic_store_explicit(&gen->plan->intended_ns[n], intended_ns, memory_order_relaxed);
    while (rd_kafka_produce(gen->handle, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, event,
                            event_bytes, user, user_bytes, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            client_fail("an event is not sent", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(gen->producer, 10);
    }
}

void generator_send_now(generator *gen)
{
    send_event(gen, bench_now_ns());
    rd_kafka_poll(gen->producer, 0);
}

static void sleep_until(int64_t time_ns)
{
    struct timespec when = {.tv_sec = time_ns / 1000000000, .tv_nsec = time_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0)
        continue;
}

void generator_send_at_rate(generator *gen, uint64_t count, uint64_t rate, int64_t start_ns)
{
    int64_t tick_ns = start_ns;
    for (uint64_t sent = 0; sent < count; tick_ns += TICK_NS) {
        sleep_until(tick_ns);
        while (sent < count) {
            int64_t intended_ns = start_ns + (int64_t)(sent * UINT64_C(1000000000) / rate);
            int64_t late_ns = bench_now_ns() - intended_ns;
            if (late_ns < 0)
                break;
            leat__histogram_record(&gen->late_ns, (uint64_t)late_ns);
            send_event(gen, intended_ns);
            sent++;
        }
        rd_kafka_poll(gen->producer, 0);
    }
}

void generator_send_all(generator *gen, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        send_event(gen, bench_now_ns());
        if (i % 1024 == 0)
            rd_kafka_poll(gen->producer, 0);
    }
}

void generator_close(generator *gen)
{
    if (rd_kafka_flush(gen->producer, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_fail("the generator", "the broker did not take every event");
    rd_kafka_topic_destroy(gen->handle);
    rd_kafka_destroy(gen->producer);
}
