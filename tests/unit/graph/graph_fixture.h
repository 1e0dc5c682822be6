/* A job without an engine: what the graph tests build. */
#ifndef TESTS_GRAPH_FIXTURE_H
#define TESTS_GRAPH_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"

struct click {
    int64_t ts_ms;
    leat_str user;
    uint64_t item;
    double price;
    leat_list tags;
};
LEAT_RECORD(click, ts_ms, user, item, price, LEAT_LIST(tags, &leat_type_str));

struct tally {
    leat_str user;
    uint64_t count;
};
LEAT_RECORD(tally, user, count);

static inline leat_job job_with(leat_job_opts opts)
{
    leat_job job = {0};
    (void)leat__graph_init(&job.graph, &opts);
    return job;
}

static inline leat_job new_job(void)
{
    return job_with((leat_job_opts){.name = "test"});
}

static inline void free_job(leat_job *job)
{
    leat__graph_free(&job->graph);
}

static inline leat_stream clicks_of(leat_job *job)
{
    return leat_from_log(job, "clicks", &click_type, &(leat_log_source){.topic = "clicks"});
}

static inline bool keep_all(const void *record, void *arg)
{
    (void)record;
    (void)arg;
    return true;
}

static inline void to_tally(const void *in, void *out, void *arg)
{
    (void)arg;
    ((struct tally *)out)->user = ((const struct click *)in)->user;
}

static inline leat_status nothing(leat_ctx *ctx, const void *record)
{
    (void)ctx;
    (void)record;
    return LEAT_OK;
}

static inline leat_status no_timer(leat_ctx *ctx, int timer)
{
    (void)ctx;
    (void)timer;
    return LEAT_OK;
}

static inline void add_one(void *acc, const void *record)
{
    (void)record;
    ((struct tally *)acc)->count++;
}

static inline void fold(void *acc, const void *record, void *arg)
{
    (void)acc;
    (void)record;
    (void)arg;
}

static inline void swallow(void *arg, const void *record)
{
    (void)arg;
    (void)record;
}

static const leat_process_op count_op = {
    .in = &click_type,
    .out = &tally_type,
    .state = {{.name = "count", .type = &tally_type, .ttl_ms = LEAT_HOURS(1)}},
    .timer = {"quiet"},
    .side = {{"bad", &click_type}},
    .on_record = nothing,
    .on_timer = no_timer,
};
static const leat_aggregate_op count_aggregate = {
    .in = &click_type, .acc = &tally_type, .add = add_one};
static const leat_window minute = {.size_ms = LEAT_MINUTES(1), .lateness_ms = LEAT_SECONDS(5)};
static const leat_log_sink out_sink = {.topic = "out"};

/* The sticky error is of that operator, and its message holds that text. */
static inline void expect_error(const leat_job *job, const char *where, const char *text)
{
    const leat_error *error = &job->graph.error;
    assert_int_not_equal(error->status, LEAT_OK);
    assert_string_equal(error->where, where);
    if (strstr(error->message, text) == NULL)
        fail_msg("'%s' does not hold '%s'", error->message, text);
}

static inline void expect_fine(const leat_job *job)
{
    if (job->graph.error.status != LEAT_OK)
        fail_msg("%s: %s", job->graph.error.where, job->graph.error.message);
}
#endif
