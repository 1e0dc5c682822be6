/* What once made a job stand still for ever while its process lived: each of these has to go on by
 * itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

#include "base/error.h"
#include "integration/log_double.h"
#include <leat/leat.h>

enum { EVENTS = 8, PARTITIONS = 2, PATIENCE_MS = 15000 };

struct event {
    leat_str user_id;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, timestamp_ms);

static struct log_double twin;
static atomic_int refusals, asked;
static atomic_int lost_commits;

static leat_job *copying(void)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "copying", .log_handle = twin.log});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .time_field = "timestamp_ms"});
    leat_to_log(events, "copies", &(leat_log_sink){.topic = "copies", .key = "user_id"});
    return job;
}

static void send(int events)
{
    for (int i = 0; i < events; i++) {
        leat_log_record record = {.topic = "events",
                                  .partition = (uint32_t)i % PARTITIONS,
                                  .key = leat_str_from("ann"),
                                  .value =
                                      leat_str_from("{\"user_id\":\"ann\",\"timestamp_ms\":1}")};
        assert_int_equal(leat_log_append(twin.log, &record, 1, NULL), LEAT_OK);
    }
}

static int64_t copies(void)
{
    int64_t sum = 0, end;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (leat_log_bounds(twin.log, "copies", p, NULL, &end, NULL) == LEAT_OK)
            sum += end;
    return sum;
}

static void wait_for_copies(int64_t count)
{
    for (int waited_ms = 0; copies() < count && waited_ms < PATIENCE_MS; waited_ms += 10)
        usleep(10000);
    assert_int_equal(copies(), count);
}

/* As when another process ends the transactions of this one, which it took for dead: the producer
 * has to be made anew, and nothing happens in the group. */
static leat_status refuse_positions(leat_log_member *member, const char *topic, uint32_t partition,
                                    leat_log_offset *offset, leat_error *error)
{
    atomic_fetch_add(&asked, 1);
    if (atomic_fetch_sub(&refusals, 1) > 0)
        return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, "copying/0",
                          "another process takes over the transactions");
    return twin.real->committed(member, topic, partition, offset, error);
}

static leat_status lose_commit(leat_log_txn *txn, leat__written_fn written, void *arg,
                               leat_error *error)
{
    if (atomic_fetch_sub(&lost_commits, 1) <= 0)
        return twin.real->txn_commit(txn, written, arg, error);
    twin.real->txn_abort(txn);
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, "copying/0",
                      "the epoch is lost");
}

static int open_twin(void **state)
{
    (void)state;
    static int number;
    char url[40];
    (void)snprintf(url, sizeof url, "sim:standstill-%d", number++);
    (void)double_open(&twin, url);
    twin.table.committed = refuse_positions;
    twin.table.txn_commit = lose_commit;
    atomic_store(&asked, 0);
    atomic_store(&refusals, 0);
    atomic_store(&lost_commits, 0);
    alarm(60); /* a start that never returns is a failure of the test */
    return leat_topic_create(twin.log, "events", &(leat_topic_opts){.partition_count = PARTITIONS},
                             NULL) == LEAT_OK
               ? 0
               : -1;
}

static int close_twin(void **state)
{
    (void)state;
    alarm(0);
    double_close(&twin);
    return 0;
}

/* R7, R30: at the start. */
static void positions_that_are_refused_while_the_group_stands_are_asked_for_again(void **state)
{
    (void)state;
    leat_job *job = copying();
    leat_error error = {0};
    atomic_store(&refusals, 3);
    send(EVENTS);
    if (leat_job_start(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    wait_for_copies(EVENTS);
    assert_true(atomic_load(&asked) > 3);
    leat_job_free(job);
}

/* R7, R10, R30: after a rewind, where nobody waits for a start that does not return. */
static void a_rewind_whose_positions_are_refused_does_not_wait_for_an_event(void **state)
{
    (void)state;
    leat_job *job = copying();
    leat_error error = {0};
    if (leat_job_start(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    send(EVENTS);
    wait_for_copies(EVENTS);
    atomic_store(&refusals, 2);
    atomic_store(&lost_commits, 1);
    send(EVENTS);
    wait_for_copies(2 * EVENTS);
    assert_true(atomic_load(&refusals) <= 0);
    leat_job_free(job);
}

/* R30: it is not asked for ever. */
static void positions_that_are_always_refused_end_the_job(void **state)
{
    (void)state;
    leat_job *job = copying();
    leat_error error = {0};
    atomic_store(&refusals, 1 << 30);
    assert_int_equal(leat_job_start(job, &error), LEAT_EABORTED);
    assert_non_null(strstr(error.message, "takes over"));
    assert_true(atomic_load(&asked) > 3);
    leat_job_free(job);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_twin, close_twin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(positions_that_are_refused_while_the_group_stands_are_asked_for_again),
        TEST(a_rewind_whose_positions_are_refused_does_not_wait_for_an_event),
        TEST(positions_that_are_always_refused_end_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
