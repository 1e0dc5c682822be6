/* Epochs are long while the job is far behind, and short while it keeps up; what is late anyway may
 * be late, what is not may not (the clock moves by 1 ms with each step, in which up to 256 records
 * are read). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/run.h"
#include "integration/commit_fault.h"
#include "log/driver.h"
#include "state/store.h"
#include <leat/leat.h>

enum { FAR_BEHIND = 40000, USERS = 10, STEP_RECORDS = 256 };

static const char *const url = "sim:backlog";

struct event {
    leat_str user;
    int64_t count;
};
LEAT_RECORD(event, user, count);

static void add(void *acc, const void *record, void *arg)
{
    (void)arg;
    ((struct event *)acc)->count += ((const struct event *)record)->count;
}

/* ------------------------------------------------------------------ a clock of one's own */

static int64_t virtual_ms;

static int64_t now_ms(void *arg)
{
    (void)arg;
    return virtual_ms;
}

static int64_t monotonic_us(void *arg)
{
    (void)arg;
    return virtual_ms * 1000;
}

static uint64_t random_u64(void *arg)
{
    (void)arg;
    return 7;
}

static const leat_env virtual_env = {NULL, now_ms, monotonic_us, random_u64};

/* ------------------------------------------------------------------ a log and a job on it */

typedef struct world {
    leat_log *log;
    char dir[32];
} world;

static void open_world(world *w)
{
    virtual_ms = INT64_C(1767225600000);
    assert_int_equal(leat__log_open_env(&w->log, url, NULL, &virtual_env, NULL), LEAT_OK);
    const leat_topic_opts opts = {.partition_count = 1};
    assert_int_equal(leat_topic_create(w->log, "events", &opts, NULL), LEAT_OK);
    snprintf(w->dir, sizeof w->dir, "/tmp/leat-backlog-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
}

static void close_world(world *w)
{
    char command[64];
    leat_log_close(w->log);
    leat__sim_forget("backlog");
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

static void append(world *w, int count)
{
    leat_log_record *records = calloc((size_t)count, sizeof *records);
    static const char *const events[USERS] = {
        "{\"user\":\"0\",\"count\":1}", "{\"user\":\"1\",\"count\":1}",
        "{\"user\":\"2\",\"count\":1}", "{\"user\":\"3\",\"count\":1}",
        "{\"user\":\"4\",\"count\":1}", "{\"user\":\"5\",\"count\":1}",
        "{\"user\":\"6\",\"count\":1}", "{\"user\":\"7\",\"count\":1}",
        "{\"user\":\"8\",\"count\":1}", "{\"user\":\"9\",\"count\":1}"};
    for (int i = 0; i < count; i++)
        records[i] =
            (leat_log_record){.topic = "events", .value = leat_str_from(events[i % USERS])};
    assert_int_equal(leat_log_append(w->log, records, (size_t)count, NULL), LEAT_OK);
    free(records);
}

static leat_job *start(leat_job_opts opts)
{
    opts.name = "backlog";
    opts.log = url;
    if (opts.instance == NULL)
        opts.instance = "a";
    leat_job *job = leat_job_new(&opts);
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .partitioned_by = "user"});
    leat_stream counts = leat_reduce(leat_key_by(events, "user"), "count", add, NULL);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "counts", .key = "user"});
    job->env = &virtual_env;
    return job;
}

static leat__run *run_of(leat_job *job)
{
    return job->run;
}

static void step(leat_job *job, int times)
{
    bool busy;
    leat_error error = {0};
    for (int i = 0; i < times; i++) {
        virtual_ms++;
        if (leat_job_step(job, &busy, &error) != LEAT_OK)
            fail_msg("%s: %s", error.where, error.message);
    }
}

static uint64_t epochs_of(leat_job *job)
{
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    return stats.epochs;
}

static int64_t end_of(world *w, const char *topic)
{
    int64_t begin, end;
    assert_int_equal(leat_log_bounds(w->log, topic, 0, &begin, &end, NULL), LEAT_OK);
    return end;
}

/* 1, 2, 3 ... of each user, and no more. */
static void expect_counts(world *w, int events)
{
    leat_log_reader *reader;
    leat_log_record record;
    size_t count;
    int counts[USERS] = {0};
    assert_int_equal(leat_log_reader_new(w->log, NULL, NULL, &reader, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_seek(reader, "counts", 0, 0, NULL), LEAT_OK);
    for (int i = 0; i < events; i++) {
        char expected[64];
        assert_int_equal(leat_log_reader_poll(reader, &record, 1, &count, NULL), LEAT_OK);
        assert_int_equal(count, 1);
        int user = record.key.data[0] - '0';
        int length = snprintf(expected, sizeof expected, "{\"user\":\"%d\",\"count\":%d}", user,
                              ++counts[user]);
        assert_int_equal(record.value.length, length);
        assert_memory_equal(record.value.data, expected, (size_t)length);
    }
    assert_int_equal(leat_log_reader_poll(reader, &record, 1, &count, NULL), LEAT_OK);
    assert_int_equal(count, 0);
    leat_log_reader_free(reader);
}

/* ------------------------------------------------------------------ how long an epoch is */

static void far_behind_an_epoch_is_long_and_writes_each_key_once(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.backlog_epoch_ms = 50});
    step(job, 100);
    assert_int_equal(epochs_of(job), 1); /* the second is under way */
    assert_int_equal(end_of(&w, "backlog-count-changelog"), USERS + 2); /* slot, users, seal */
    int64_t outputs = end_of(&w, "counts");
    assert_true(outputs >= 50 * STEP_RECORDS && outputs <= 53 * STEP_RECORDS);
    leat_job_free(job);
    close_world(&w);
}

static void the_default_is_200_ms(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, 80000);
    leat_job *job = start((leat_job_opts){.buffer_bytes = 1 << 30});
    step(job, 198);
    assert_int_equal(epochs_of(job), 0);
    step(job, 10);
    assert_int_equal(epochs_of(job), 1);
    leat_job_free(job);
    close_world(&w);
}

static void no_more_than_epoch_ms_is_epoch_ms(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.backlog_epoch_ms = 1});
    step(job, 100);
    assert_true(epochs_of(job) > 20);
    leat_job_free(job);
    close_world(&w);
}

static void what_keeps_up_has_short_epochs(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    leat_job *job = start((leat_job_opts){0});
    step(job, 10);
    for (uint64_t i = 1; i <= 50; i++) {
        append(&w, STEP_RECORDS);
        step(job, 4);
        assert_int_equal(epochs_of(job), i);
        assert_int_equal(end_of(&w, "counts"), i * STEP_RECORDS);
    }
    leat_job_free(job);
    close_world(&w);
}

/* The job that has caught up, or nearly, answers at once again: a long epoch does not go on. */
static void a_long_epoch_ends_with_the_backlog(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, 12000);
    leat_job *job = start((leat_job_opts){.backlog_epoch_ms = 10000});
    step(job, 20); /* 2,000 of them are 8 steps */
    assert_true(epochs_of(job) >= 1);
    step(job, 100);
    expect_counts(&w, 12000);
    uint64_t epochs = epochs_of(job);
    append(&w, 1);
    step(job, 4);
    assert_int_equal(epochs_of(job), epochs + 1);
    leat_job_free(job);
    close_world(&w);
}

static void a_quarter_of_the_buffers_ends_it(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.backlog_epoch_ms = 10000, .buffer_bytes = 4 << 20});
    step(job, 20);
    assert_true(epochs_of(job) >= 1);
    int64_t outputs = end_of(&w, "counts");
    assert_true(outputs >= 1000 && outputs < 4000); /* of about 400 bytes, with what they need */
    leat_job_free(job);
    close_world(&w);
}

/* Deleted while the job was away: offsets, but nothing to wait for. */
static void what_was_deleted_does_not_wait(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.backlog_epoch_ms = 10000});
    step(job, 4);
    const leat_log_offset all = {.topic = "events", .offset = FAR_BEHIND};
    assert_int_equal(leat_log_trim(w.log, &all, 1, NULL), LEAT_OK);
    step(job, 10);
    uint64_t epochs = epochs_of(job);
    append(&w, 1);
    step(job, 4);
    assert_int_equal(epochs_of(job), epochs + 1);
    leat_job_free(job);
    close_world(&w);
}

/* ------------------------------------------------------------------ what does not wait for it */

static void stopping_does_not_wait(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.backlog_epoch_ms = 10000});
    step(job, 20);
    assert_int_equal(epochs_of(job), 0);
    leat_job_stop(job);
    step(job, 3);
    assert_true(run_of(job)->finished);
    assert_int_equal(epochs_of(job), 1);
    expect_counts(&w, 20 * STEP_RECORDS);
    leat_job_free(job);
    close_world(&w);
}

/* The open epoch is dropped; who owns the partition then does it again. */
static void partitions_that_move_do_not_wait(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *first = start((leat_job_opts){.backlog_epoch_ms = 10000});
    step(first, 20);
    leat_job *second = start((leat_job_opts){.backlog_epoch_ms = 10000, .instance = "b"});
    for (int i = 0; i < 20; i++) {
        step(first, 1);
        step(second, 1);
    }
    assert_int_equal(run_of(first)->assigned_count + run_of(second)->assigned_count, 1);
    assert_int_equal(epochs_of(first) + epochs_of(second), 0);
    for (int i = 0; i < 400; i++) {
        step(first, 1);
        step(second, 1);
    }
    expect_counts(&w, FAR_BEHIND);
    leat_job_free(first);
    leat_job_free(second);
    close_world(&w);
}

/* ------------------------------------------------------------------ the database lags (R6) */

static int64_t position_of(leat_job *job)
{
    return leat__store_position(run_of(job)->tasks[0]->face.store);
}

static void far_behind_the_database_gets_several_epochs_at_once(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.state_dir = w.dir, .backlog_epoch_ms = 10});
    step(job, 60);
    assert_true(epochs_of(job) >= 4);
    assert_int_equal(position_of(job), -1);
    step(job, 300); /* caught up */
    assert_int_equal(position_of(job), end_of(&w, "backlog-count-changelog") - 1);
    expect_counts(&w, FAR_BEHIND);
    leat_job_free(job);
    close_world(&w);
}

static void the_database_lags_by_a_second_at_most(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.state_dir = w.dir, .backlog_epoch_ms = 10});
    step(job, 40);
    assert_int_equal(position_of(job), -1);
    virtual_ms += 1000;
    step(job, 20);
    assert_true(position_of(job) > 0);
    leat_job_free(job);
    close_world(&w);
}

static void stopping_brings_the_database_up_to_date(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    leat_job *job = start((leat_job_opts){.state_dir = w.dir, .backlog_epoch_ms = 10});
    step(job, 40);
    assert_int_equal(position_of(job), -1);
    leat_job_stop(job);
    step(job, 3);
    assert_int_equal(position_of(job), end_of(&w, "backlog-count-changelog") - 1);
    leat_job_free(job);
    close_world(&w);
}

/* Of what the database lacks nothing is lost: the changelog has it. */
static void a_crash_while_it_lags_loses_nothing(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    for (int crash = 0; crash < 4; crash++) {
        leat_job *job = start((leat_job_opts){.state_dir = w.dir, .backlog_epoch_ms = 10});
        step(job, 18 + 3 * crash);
        assert_true(position_of(job) < end_of(&w, "backlog-count-changelog") - 1);
        leat__run_close(job);
        leat_job_free(job);
    }
    leat_job *job = start((leat_job_opts){.state_dir = w.dir});
    step(job, 300);
    expect_counts(&w, FAR_BEHIND);
    leat_job_free(job);
    close_world(&w);
}

static void a_rewind_while_it_lags_loses_nothing(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    append(&w, FAR_BEHIND);
    struct fault fault = {LEAT_EABORTED, 3, 2};
    inject(w.log, &fault);
    leat_job *job = start((leat_job_opts){.state_dir = w.dir, .backlog_epoch_ms = 10});
    step(job, 500);
    assert_int_equal(fault.times <= 0, 1);
    expect_counts(&w, FAR_BEHIND);
    leat_job_free(job);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(far_behind_an_epoch_is_long_and_writes_each_key_once),
        cmocka_unit_test(the_default_is_200_ms),
        cmocka_unit_test(no_more_than_epoch_ms_is_epoch_ms),
        cmocka_unit_test(what_keeps_up_has_short_epochs),
        cmocka_unit_test(a_long_epoch_ends_with_the_backlog),
        cmocka_unit_test(a_quarter_of_the_buffers_ends_it),
        cmocka_unit_test(what_was_deleted_does_not_wait),
        cmocka_unit_test(stopping_does_not_wait),
        cmocka_unit_test(partitions_that_move_do_not_wait),
        cmocka_unit_test(far_behind_the_database_gets_several_epochs_at_once),
        cmocka_unit_test(the_database_lags_by_a_second_at_most),
        cmocka_unit_test(stopping_brings_the_database_up_to_date),
        cmocka_unit_test(a_crash_while_it_lags_loses_nothing),
        cmocka_unit_test(a_rewind_while_it_lags_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
