/* What a test of the Kafka driver begins with: two handles of a prefix of its own on the broker of
 * the test run, and a reader's view of topic "out".
 *
 *     one handle has the member, the other looks and does things behind its back
 */
#ifndef LEAT_TESTS_SUPPORT_KAFKA_WORLD_H
#define LEAT_TESTS_SUPPORT_KAFKA_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it */
#include "base/mem.h"
#include "leat/log.h"
#include "support/kafka.h"
#include <cmocka.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000 };

typedef struct world {
    char prefix[64], url[400];
    leat_log *log, *other;
    leat_error error;
} world;

static inline void must_(world *w, leat_status status, const char *call)
{
    if (status != LEAT_OK)
        fail_msg("%s: %s: %s: %s", call, leat_status_name(status), w->error.where,
                 w->error.message);
}
#define must(w, call) must_((w), (call), #call)

static inline int64_t steady_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static inline world *world_new(const char *name)
{
    static unsigned count;
    world *w = leat__calloc(1, sizeof *w);
    snprintf(w->prefix, sizeof w->prefix, "%.20s%lx-%x-%x.", name, (unsigned long)time(NULL),
             (unsigned)getpid(), count++);
    snprintf(w->url, sizeof w->url, "kafka:%s?leat.prefix=%s", test_kafka_bootstrap(), w->prefix);
    must(w, leat_log_open(&w->log, w->url, NULL, &w->error));
    must(w, leat_log_open(&w->other, w->url, NULL, &w->error));
    return w;
}

static inline void world_topic(world *w, const char *topic, uint32_t partitions)
{
    const leat_topic_opts opts = {.partition_count = partitions};
    must(w, leat_topic_create(w->log, topic, &opts, &w->error));
}

static inline void world_free(world *w)
{
    leat_log_close(w->log);
    leat_log_close(w->other);
    leat__free(w);
}

/* What a reader of committed records sees of partition 0 of "out", to its end, within time_ms. */
static inline void expect_out(world *w, const char *const *values, size_t count, int64_t time_ms)
{
    leat_log_reader *reader;
    must(w, leat_log_reader_new(w->other, NULL, NULL, &reader, &w->error));
    must(w, leat_log_reader_seek(reader, "out", 0, LEAT_OFFSET_BEGIN, &w->error));
    int64_t end, position = 0;
    must(w, leat_log_bounds(w->other, "out", 0, NULL, &end, &w->error));
    size_t seen = 0;
    int64_t until_ms = steady_ms() + time_ms;
    while (position < end) {
        leat_log_record record;
        size_t polled;
        must(w, leat_log_reader_poll(reader, &record, 1, &polled, &w->error));
        if (polled == 1) {
            assert_true(seen < count);
            assert_true(leat_str_equal(record.value, leat_str_from(values[seen++])));
        } else {
            nap();
        }
        must(w, leat_log_reader_position(reader, "out", 0, &position, &w->error));
        if (steady_ms() > until_ms)
            fail_msg("a transaction is still open");
    }
    assert_int_equal(seen, count);
    leat_log_reader_free(reader);
}
#endif
