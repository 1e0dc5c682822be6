/* bench/e2e/support/generate.h - sends the events of a plan, at their times or at once. */
#ifndef BENCH_E2E_GENERATE_H
#define BENCH_E2E_GENERATE_H
#include "base/histogram.h"
#include "bench/e2e/support/client.h"
#include "bench/e2e/support/plan.h"

typedef struct generator {
    event_plan *plan;
    rd_kafka_t *producer; /* partitions by murmur2, as every Kafka client can */
    rd_kafka_topic_t *handle;
    const char *topic;
    uint64_t next;           /* event to send next */
    leat__histogram late_ns; /* how late the generator itself was */
} generator;

void generator_open(generator *gen, const char *broker, int argc, char **argv);
/* One event, intended now. */
void generator_send_now(generator *gen);
/* Open loop: `count` events, the n-th at start_ns + n / rate, whatever becomes of the others. */
void generator_send_at_rate(generator *gen, uint64_t count, uint64_t rate, int64_t start_ns);
/* As fast as the broker takes them. */
void generator_send_all(generator *gen, uint64_t count);
/* Waits until every record is delivered. */
void generator_close(generator *gen);
#endif
