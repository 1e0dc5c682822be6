/* R15: how long ago a commit proved that what a process has is the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "integration/commit_fault.h"
#include <leat/leat.h>
#include <leat/test.h>

enum { LEASE_MS = 9000 };

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

static leat_job *counting(const char *url, int64_t lease_ms)
{
    leat_job *job = leat_job_new(&(leat_job_opts){
        .name = "lease", .log = url, .instance = "the-last", .lease_ms = lease_ms});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .partitioned_by = "user"});
    leat_stream counts = leat_reduce(leat_key_by(events, "user"), "count", add, NULL);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "counts", .key = "user"});
    return job;
}

static uint64_t epochs_of(leat_job *job)
{
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    return stats.epochs;
}

static void send_one(leat_test *test)
{
    leat_test_send_keyed(test, "events", "ann", "{\"user\":\"ann\",\"count\":1}");
    assert_int_equal(leat_test_run(test), LEAT_OK);
}

static void a_commit_is_a_proof_and_ages(void **state)
{
    (void)state;
    leat_job *job = counting("sim:lease-ages", 0);
    leat_test *test = leat_test_new(job);
    assert_int_equal(leat_job_proof_age_ms(job), -1);
    send_one(test);
    uint64_t epochs = epochs_of(job);
    assert_true(leat_job_proof_age_ms(job) < 100);
    leat_test_advance(test, 60000);
    int64_t age_ms = leat_job_proof_age_ms(job);
    assert_true(age_ms >= 60000 && age_ms < 61000);
    assert_int_equal(epochs_of(job), epochs); /* R24: no lease, nothing to commit */
    send_one(test);
    assert_true(leat_job_proof_age_ms(job) < 100);
    leat_test_free(test);
}

static void with_a_lease_a_third_of_it_without_a_commit_asks_for_one(void **state)
{
    (void)state;
    leat_job *job = counting("sim:lease-idle", LEASE_MS);
    leat_test *test = leat_test_new(job);
    send_one(test);
    uint64_t epochs = epochs_of(job);
    leat_test_advance(test, LEASE_MS / 3 - 500);
    assert_int_equal(epochs_of(job), epochs);
    for (uint64_t times = 1; times <= 3; times++) {
        leat_test_advance(test, LEASE_MS / 3);
        assert_true(leat_job_proof_age_ms(job) < LEASE_MS / 3);
        assert_int_equal(epochs_of(job), epochs + times);
    }
    assert_string_equal(leat_test_next_json(test, "counts"), "{\"user\":\"ann\",\"count\":1}");
    assert_null(leat_test_next_json(test, "counts"));
    leat_test_free(test);
}

/* Refuses commits, and notes how old the proof was each time. */
struct watch {
    leat_job *job;
    int refusals;
    int64_t oldest_ms;
};

static leat_status refuse(void *arg, const char *group, const char *instance, size_t record_count)
{
    (void)group, (void)instance, (void)record_count;
    struct watch *watch = arg;
    int64_t age_ms = leat_job_proof_age_ms(watch->job);
    watch->oldest_ms = age_ms > watch->oldest_ms ? age_ms : watch->oldest_ms;
    return watch->refusals-- > 0 ? LEAT_EABORTED : LEAT_OK;
}

static void what_reads_but_cannot_commit_proves_nothing(void **state)
{
    (void)state; /* each refusal is a rewind, which reads positions and state */
    leat_log *log;
    leat_job *job = counting("sim:lease-refused", LEASE_MS);
    leat_test *test = leat_test_new(job);
    send_one(test);
    assert_int_equal(leat_log_open(&log, "sim:lease-refused", NULL, NULL), LEAT_OK);
    struct watch watch = {.job = job, .refusals = 3};
    leat__sim_set_hooks(leat__sim_world_of(log),
                        &(leat__sim_hooks){.arg = &watch, .before_commit = refuse});
    leat_test_advance(test, 2 * LEASE_MS);
    assert_true(watch.refusals < 0);
    assert_true(watch.oldest_ms >= 2 * LEASE_MS);
    assert_true(leat_job_proof_age_ms(job) < LEASE_MS / 3);
    leat__sim_set_hooks(leat__sim_world_of(log), NULL);
    leat_log_close(log);
    leat_test_free(test);
}

static void a_process_without_partitions_has_nothing_to_prove(void **state)
{
    (void)state;
    leat_log *log;
    leat_log_member *rivals[4];
    leat_job *job = counting("sim:lease-standby", LEASE_MS);
    leat_test *test = leat_test_new(job);
    send_one(test);
    assert_int_equal(leat_log_open(&log, "sim:lease-standby", NULL, NULL), LEAT_OK);
    const char *topic = "events", *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) { /* one for each partition, before it in the order of names */
        const leat_log_group group = {
            .group = "lease", .instance = names[i], .topics = &topic, .topic_count = 1};
        assert_int_equal(leat_log_join(log, &group, NULL, NULL, &rivals[i], NULL), LEAT_OK);
    }
    for (int round = 0; round < 200; round++) {
        leat_log_event event;
        (void)leat_test_step(test);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(leat_log_member_poll(rivals[i], &event, NULL), LEAT_OK);
            if (event.kind == LEAT_LOG_REVOKED)
                leat_log_member_ack(rivals[i]);
        }
    }
    leat_test_advance(test, 2 * LEASE_MS);
    assert_int_equal(leat_job_proof_age_ms(job), -1);
    for (int i = 0; i < 4; i++)
        leat_log_leave(rivals[i]);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_true(leat_job_proof_age_ms(job) >= 0 && leat_job_proof_age_ms(job) < LEASE_MS);
    leat_log_close(log);
    leat_test_free(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_a_proof_and_ages),
        cmocka_unit_test(with_a_lease_a_third_of_it_without_a_commit_asks_for_one),
        cmocka_unit_test(what_reads_but_cannot_commit_proves_nothing),
        cmocka_unit_test(a_process_without_partitions_has_nothing_to_prove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
