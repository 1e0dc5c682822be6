/* A job that loses its state directory: a snapshot and the tail of the changelog give the same as
 * the whole changelog (R5, R6, R13). On a simulated log with a clock of its own, and on an embedded
 * log with threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "log/driver.h"
#include <leat/leat.h>

enum { PARTITIONS = 4, USERS = 100, INTERVAL_MS = 60000 };

struct event {
    leat_str user;
};
LEAT_RECORD(event, user);
struct tally {
    leat_str user;
    uint64_t count;
};
LEAT_RECORD(tally, user, count);

static int sequence;
static char url[64], dir[64];
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

static uint64_t count_up(void *arg)
{
    static _Atomic uint64_t drawn;
    (void)arg;
    return ++drawn;
}

static const leat_env virtual_env = {NULL, now_ms, monotonic_us, count_up};

static int fresh_dir(void **state)
{
    (void)state;
    virtual_ms = INT64_C(1767225600000);
    (void)snprintf(url, sizeof(url), "sim:snapshots-%d", sequence++);
    (void)snprintf(dir, sizeof(dir), "/tmp/leat-lost-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* ------------------------------------------------------------------ the job */

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    struct tally *tally = leat_mut(ctx, 0);
    tally->user = ((const struct event *)record)->user;
    tally->count++;
    leat_emit(ctx, tally);
    return LEAT_OK;
}

static const leat_process_op counting = {
    .in = &event_type,
    .out = &tally_type,
    .state = {{.name = "tally", .type = &tally_type}},
    .on_record = count_event,
};

static leat_job *job_on(leat_log *log, const char *instance, int64_t interval_ms)
{
    char state_dir[100], snapshots[100];
    (void)snprintf(state_dir, sizeof(state_dir), "%s/%s", dir, instance);
    (void)snprintf(snapshots, sizeof(snapshots), "%s/snapshots", dir);
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "counts",
                                                  .log_handle = log,
                                                  .instance = instance,
                                                  .state_dir = state_dir,
                                                  .snapshot_dir = snapshots,
                                                  .snapshot_interval_ms = interval_ms});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .partitioned_by = "user"});
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "tally", &counting, NULL);
    leat_to_log(tallies, "tallies", &(leat_log_sink){.topic = "tallies", .key = "user"});
    return job;
}

static leat_job *virtual_job(leat_log *log, const char *instance)
{
    leat_job *job = job_on(log, instance, INTERVAL_MS);
    job->env = &virtual_env;
    return job;
}

static leat_log *open_log(void)
{
    leat_log *log;
    assert_int_equal(leat__log_open_env(&log, url, NULL, &virtual_env, NULL), LEAT_OK);
    const leat_topic_opts opts = {.partition_count = PARTITIONS};
    assert_int_equal(leat_topic_create(log, "events", &opts, NULL), LEAT_OK);
    return log;
}

/* One more event of each of the first users. */
static void append_round(leat_log *log, int users)
{
    for (int i = 0; i < users; i++) {
        char user[16], json[40];
        (void)snprintf(user, sizeof(user), "user%d", i);
        (void)snprintf(json, sizeof(json), "{\"user\":\"%s\"}", user);
        leat_log_record record = {.topic = "events",
                                  .partition = LEAT_PARTITION_BY_KEY,
                                  .key = leat_str_from(user),
                                  .value = leat_str_from(json)};
        assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
    }
}

static void step(leat_job *job)
{
    leat_error error;
    bool busy;
    virtual_ms += 2;
    if (leat_job_step(job, &busy, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

static void run_well(leat_job *job)
{
    for (int i = 0; i < 100; i++)
        step(job);
}

static leat_job_stats stats_of(leat_job *job)
{
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    return stats;
}

static void make_snapshot(leat_job *job)
{
    uint64_t before = stats_of(job).snapshots;
    virtual_ms += INTERVAL_MS;
    step(job);
    assert_int_equal(stats_of(job).snapshots, before + 1);
    assert_int_equal(stats_of(job).snapshot_failures, 0);
}

static bool add_records(void *arg, const leat_partition_stats *stats)
{
    *(uint64_t *)arg += stats->restored_records;
    return true;
}

static uint64_t restored_records(leat_job *job)
{
    uint64_t sum = 0;
    leat_job_each_partition(job, add_records, &sum);
    return sum;
}

static void expect_count(leat_job *job, int user_number, uint64_t count)
{
    char user[16];
    struct tally tally;
    void *memory;
    leat_error error;
    (void)snprintf(user, sizeof(user), "user%d", user_number);
    if (leat_job_query(job, "tally", "tally", leat_str_from(user), &tally, &memory, &error) !=
        LEAT_OK)
        fail_msg("%s: %s", user, error.message);
    assert_int_equal(tally.count, count);
    leat_memory_free(memory);
}

static void lose_state(const char *folder)
{
    char command[200];
    (void)snprintf(command, sizeof(command), "rm -rf %s/%s", dir, folder);
    assert_int_equal(system(command), 0);
}

/* ------------------------------------------------------------------ one process */

enum { LATER = 10 };

/* A round of all users, a snapshot, a round of a few; the process is killed. */
static void run_with_a_snapshot(leat_log *log, const char *instance)
{
    leat_job *job = virtual_job(log, instance);
    append_round(log, USERS);
    run_well(job);
    make_snapshot(job);
    append_round(log, LATER);
    run_well(job);
    leat_job_free(job);
}

static void expect_both_rounds(leat_job *job)
{
    for (int i = 0; i < USERS; i++)
        expect_count(job, i, i < LATER ? 2 : 1);
}

static void a_lost_state_needs_only_the_tail_of_its_changelog(void **state)
{
    (void)state; /* R5, R6 */
    leat_log *log = open_log();
    run_with_a_snapshot(log, "0");
    lose_state("0");
    leat_job *job = virtual_job(log, "0");
    run_well(job);
    assert_int_equal(restored_records(job), LATER); /* and not USERS + LATER */
    expect_both_rounds(job);
    append_round(log, USERS);
    run_well(job);
    expect_count(job, 0, 3);
    expect_count(job, USERS - 1, 2);
    leat_job_free(job);
    lose_state("0");
    lose_state("snapshots");
    job = virtual_job(log, "0"); /* the whole changelog says the same */
    run_well(job);
    assert_true(restored_records(job) >= 2 * USERS + LATER);
    expect_count(job, 0, 3);
    expect_count(job, USERS - 1, 2);
    leat_job_free(job);
    leat_log_close(log);
}

static void a_state_that_is_there_is_not_replaced(void **state)
{
    (void)state;
    leat_log *log = open_log();
    run_with_a_snapshot(log, "0");
    leat_job *job = virtual_job(log, "0");
    run_well(job);
    assert_int_equal(restored_records(job), 0);
    expect_both_rounds(job);
    leat_job_free(job);
    leat_log_close(log);
}

static void an_old_snapshot_is_worse_than_none(void **state)
{
    (void)state; /* R13 */
    leat_log *log = open_log();
    run_with_a_snapshot(log, "0");
    lose_state("0");
    virtual_ms += LEAT_HOURS(13);
    leat_job *job = virtual_job(log, "0");
    run_well(job);
    assert_true(restored_records(job) >= USERS + LATER);
    expect_both_rounds(job);
    leat_job_free(job);
    leat_log_close(log);
}

static void a_snapshot_of_another_log_does_no_harm(void **state)
{
    (void)state;
    leat_log *log = open_log();
    run_with_a_snapshot(log, "0");
    lose_state("0");
    leat_log_close(log);
    (void)snprintf(url, sizeof(url), "sim:snapshots-%d", sequence++);
    log = open_log(); /* begun anew, shorter than the positions */
    append_round(log, 3);
    leat_job *job = virtual_job(log, "0");
    run_well(job);
    leat_job_stats stats; /* R13: it was not begun with, so nothing had to be built anew */
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.state_rebuilds, 0);
    expect_count(job, 0, 1);
    expect_count(job, 2, 1);
    append_round(log, USERS);
    run_well(job);
    expect_count(job, 0, 2);
    expect_count(job, USERS - 1, 1);
    leat_job_free(job);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ several processes */

static void run_both(leat_job *one, leat_job *two)
{
    for (int i = 0; i < 200; i++) {
        step(one);
        step(two);
    }
}

static void partitions_that_the_snapshot_has_not_begin_at_the_beginning(void **state)
{
    (void)state;
    leat_log *log = open_log();
    leat_job *one = virtual_job(log, "1"), *two = virtual_job(log, "2");
    run_both(one, two);
    append_round(log, USERS);
    run_both(one, two);
    make_snapshot(one); /* of half of the partitions; two's is due as well, and lost below */
    append_round(log, LATER);
    run_both(one, two);
    leat_job_free(one);
    leat_job_free(two);
    lose_state("snapshots/counts/2");
    leat_job *third = virtual_job(log, "3"); /* it has no snapshot of its own */
    run_well(third);
    uint64_t restored = restored_records(third);
    assert_true(restored > LATER && restored < USERS + LATER);
    expect_both_rounds(third);
    leat_job_free(third);
    leat_log_close(log);
}

static uint64_t users_of(leat_job *job)
{
    uint64_t here = 0;
    for (int i = 0; i < USERS; i++) {
        char user[16];
        struct tally tally;
        void *memory;
        (void)snprintf(user, sizeof(user), "user%d", i);
        here += leat_job_query(job, "tally", "tally", leat_str_from(user), &tally, &memory, NULL) ==
                LEAT_OK;
        leat_memory_free(memory);
    }
    return here;
}

/* Partitions that moved away stay in the database as they were then. */
static void an_old_partition_in_a_young_snapshot_is_built_anew(void **state)
{
    (void)state; /* R13 */
    leat_log *log = open_log();
    leat_job *one = virtual_job(log, "1");
    append_round(log, USERS);
    run_well(one);
    leat_job *two = virtual_job(log, "2");
    run_both(one, two);
    uint64_t moved = USERS - users_of(one);
    assert_true(moved > 0 && moved < USERS);
    virtual_ms += LEAT_HOURS(13);
    append_round(log, USERS);
    run_both(one, two);
    make_snapshot(one);
    leat_job_free(one);
    leat_job_free(two);
    lose_state("1");
    lose_state("snapshots/counts/2");
    one = virtual_job(log, "1");
    run_well(one);
    assert_true(restored_records(one) >= 2 * moved); /* and not what came later alone */
    for (int i = 0; i < USERS; i++)
        expect_count(one, i, 2);
    leat_job_free(one);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ threads */

static void wait_for_snapshots(leat_job *job, uint64_t count)
{
    uint64_t before = stats_of(job).snapshots;
    while (stats_of(job).snapshots < before + count)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void wait_until_read(leat_job *job, uint64_t records)
{
    while (stats_of(job).records_in < records)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void beside_commits_of_other_threads(void **state)
{
    (void)state; /* on an embedded log; a hanging wait ends in the test's time-out */
    enum { ROUNDS = 20 };
    leat_log *log;
    char embedded[100];
    (void)snprintf(embedded, sizeof(embedded), "embedded:%s/log", dir);
    assert_int_equal(leat_log_open(&log, embedded, NULL, NULL), LEAT_OK);
    const leat_topic_opts opts = {.partition_count = PARTITIONS};
    assert_int_equal(leat_topic_create(log, "events", &opts, NULL), LEAT_OK);
    leat_job *job = job_on(log, "0", 1);
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    for (int round = 0; round < ROUNDS; round++)
        append_round(log, USERS);
    wait_until_read(job, (uint64_t)ROUNDS * USERS);
    wait_for_snapshots(job, 2); /* one of them was begun after all was counted */
    leat_job_free(job);
    lose_state("0");
    job = job_on(log, "0", LEAT_HOURS(1));
    append_round(log, USERS);
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    wait_until_read(job, USERS);
    assert_int_equal(restored_records(job), 0);
    for (int i = 0; i < USERS; i++)
        expect_count(job, i, ROUNDS + 1);
    leat_job_free(job);
    leat_log_close(log);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(a_lost_state_needs_only_the_tail_of_its_changelog),
        TEST(a_state_that_is_there_is_not_replaced),
        TEST(an_old_snapshot_is_worse_than_none),
        TEST(a_snapshot_of_another_log_does_no_harm),
        TEST(partitions_that_the_snapshot_has_not_begin_at_the_beginning),
        TEST(an_old_partition_in_a_young_snapshot_is_built_anew),
        TEST(beside_commits_of_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
