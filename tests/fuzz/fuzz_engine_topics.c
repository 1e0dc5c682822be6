/* Any bytes in the topics that a job keeps for itself, as a damaged disk or another program leaves
 * them: [topic u8][partition u8][key length u8][value length u8][key][value], value length 255 a
 * tombstone.  The job ends with an error or goes on; what it writes, the next start reads.
 *
 *   events ─► (repartition) ─► counts per user, 1 s windows ─► out
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "graph/graph.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include <leat/leat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 120, PARTITIONS = 2 };

struct event {
    leat_str user;
    int64_t ts_ms;
};
LEAT_RECORD(event, user, ts_ms);
struct tally {
    leat_str user;
    int64_t count;
};
LEAT_RECORD(tally, user, count);

static const char *const topics[] = {"f-operators",     "f-positions", "f-t-changelog",
                                     "f-t-repartition", "f-members",   "events",
                                     "f-w-changelog"};
enum { TOPICS = sizeof topics / sizeof topics[0], EVENTS = 5 };

/* Time passes by being looked at: the same input does the same each time. */
static int64_t clock_us;

static int64_t now_ms(void *arg)
{
    (void)arg;
    return (clock_us += 200) / 1000;
}

static int64_t monotonic_us(void *arg)
{
    (void)arg;
    return clock_us += 200;
}

static uint64_t random_u64(void *arg)
{
    (void)arg;
    return (uint64_t)(clock_us += 1);
}

static const leat_env environment = {NULL, now_ms, monotonic_us, random_u64};

static leat_status count(leat_ctx *ctx, const void *record)
{
    struct tally *tally = leat_mut(ctx, 0);
    tally->user = ((const struct event *)record)->user;
    tally->count++;
    leat_timer_set(ctx, 0, leat_now(ctx) + 10);
    leat_emit(ctx, tally);
    return LEAT_OK;
}

static leat_status on_timer(leat_ctx *ctx, int timer)
{
    (void)ctx, (void)timer;
    return LEAT_OK;
}

static const leat_process_op counting = {.in = &event_type,
                                         .out = &tally_type,
                                         .state = {{.name = "n", .type = &tally_type}},
                                         .timer = {"idle"},
                                         .on_record = count,
                                         .on_timer = on_timer,
                                         .on_error = LEAT_ON_ERROR_DEAD_LETTER};

static void add(void *acc, const void *record)
{
    struct tally *tally = acc;
    tally->user = ((const struct tally *)record)->user;
    tally->count++;
}

static const leat_aggregate_op adding = {.in = &tally_type, .acc = &tally_type, .add = add};
static const leat_window second = {.size_ms = 1000};

static leat_job *new_job(leat_log *log)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "f",
                                                  .log_handle = log,
                                                  .partition_count = PARTITIONS,
                                                  .exchange = LEAT_EXCHANGE_LOG,
                                                  .restart_limit = 2});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "events",
                                                          .time_field = "ts_ms",
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "t", &counting, NULL);
    leat_to_log(leat_window_aggregate(tallies, "w", &second, &adding), "out",
                &(leat_log_sink){.topic = "out", .key = "user"});
    job->env = &environment;
    return job;
}

static void fill(leat_log *log, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 4 <= size;) {
        const char *key = (const char *)data + at + 4;
        size_t key_length = data[at + 2], value_length = data[at + 3] == 255 ? 0 : data[at + 3];
        if (at + 4 + key_length + value_length > size)
            return;
        leat_log_record record = {
            .topic = topics[data[at] % TOPICS],
            .partition = data[at + 1] % PARTITIONS,
            .key = {key, key_length},
            .value = {data[at + 3] == 255 ? NULL : key + key_length, value_length}};
        if (leat_log_append(log, &record, 1, NULL) != LEAT_OK)
            return; /* a topic of one partition has no other */
        at += 4 + key_length + value_length;
    }
}

/* What ends a job is an error that says where. */
static void run_once(leat_log *log)
{
    leat_job *job = new_job(log);
    leat_error error = {0};
    leat_status status = LEAT_OK;
    bool busy;
    for (int i = 0; i < STEPS && status == LEAT_OK; i++)
        status = leat_job_step(job, &busy, &error);
    LEAT_ASSERT(status == LEAT_OK || (error.status == status && error.message[0] != '\0'));
    leat_job_free(job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char event[] = "{\"user\":\"u\",\"ts_ms\":1000}";
    leat_log *log;
    clock_us = INT64_C(1767225600000000);
    if (leat__log_open_env(&log, "sim:fuzz", NULL, &environment, NULL) != LEAT_OK)
        abort();
    for (size_t t = 0; t < TOPICS; t++) {
        bool one = t < 2 || t == 4;
        const leat_topic_opts opts = {.partition_count = one ? 1 : PARTITIONS,
                                      .compacted = t != 3 && t != EVENTS};
        if (leat_topic_create(log, topics[t], &opts, NULL) != LEAT_OK)
            abort();
    }
    fill(log, data, size);
    leat_log_record record = {.topic = "events", .value = {event, sizeof event - 1}};
    if (leat_log_append(log, &record, 1, NULL) != LEAT_OK)
        abort();
    run_once(log);
    run_once(log);
    leat_log_close(log);
    leat__sim_forget("fuzz");
    return 0;
}
