/* bench/e2e/support/read.h - reads the counts at read_committed, checks them and times them.
 *
 * Per user 1, 2, 3 ... once each; where the plan has clicks, an answer to each event_id. A latency
 * goes from the event's intended time to the moment at which the reader holds the count. */
#ifndef BENCH_E2E_READ_H
#define BENCH_E2E_READ_H
#include "base/histogram.h"
#include "bench/e2e/support/client.h"
#include "bench/e2e/support/plan.h"

enum { READER_PARTITIONS_MAX = 64 };

typedef struct reader {
    const event_plan *plan;
    rd_kafka_t *consumer;
    uint64_t timed_from, timed_until; /* events whose latency counts, by number */
    uint64_t *next_count;             /* per user */
    bool *answered;                   /* per event, where the plan has clicks */
    uint64_t repeated, skipped, foreign;
    char first_wrong[160];
    leat__histogram latency_ns;
    int64_t first_ns, last_ns; /* first and last count */
    int64_t last_of_partition_ns[READER_PARTITIONS_MAX];
    int64_t gap_from_ns, gap_until_ns; /* the longest time without one of some partition */
    _Atomic uint64_t correct;
} reader;

/* from_end: what is in the topic now does not count. */
void reader_open(reader *rd, const char *broker, const char *topic, bool from_end, int argc,
                 char **argv);
/* Takes what has come, waiting at most wait_ms. */
void reader_poll(reader *rd, int wait_ms);
bool reader_is_right(const reader *rd);
void reader_close(reader *rd);
#endif
