/* R31: a job that stands still although something waits says where each task stands, and ends with
 * exit code 75: a standstill is planted in each phase of an epoch. What only takes long goes on:
 * test_stalls_not.c. */
#include "engine/run.h"
#include "integration/stall_world.h"
#include "state/backend.h"

static void expect_stall(void (*scene)(void), int64_t limit, const char *where, const char *task)
{
    int code = run_child(scene, limit);
    if (code != STALLED)
        fail_msg("ended with %d:\n%s", code, lines);
    expect_line("nothing has moved for");
    expect_line("stands still since");
    expect_line(where);
    expect_line(task);
}

/* ------------------------------------------------------------------ planted: the log */

static leat_status poll_nothing(leat_log_member *member, leat_log_event *event, leat_error *error)
{
    (void)member, (void)error;
    *event = (leat_log_event){.kind = LEAT_LOG_NOTHING};
    return LEAT_OK;
}

static leat_status poll_group_for_ever(leat_log_member *member, leat_log_event *event,
                                       leat_error *error)
{
    if (atomic_load(&planted))
        block();
    return twin.real->member_poll(member, event, error);
}

static atomic_int lost_commits;
static leat_status lose_commit(leat_log_txn *txn, leat__written_fn written, void *arg,
                               leat_error *error)
{
    if (atomic_fetch_sub(&lost_commits, 1) <= 0)
        return twin.real->txn_commit(txn, written, arg, error);
    atomic_store(&planted, true);
    sleep_ms(300); /* the worker gets there */
    twin.real->txn_abort(txn);
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, "stalls/0", "the epoch is lost");
}

static leat_status commit_for_ever(leat_log_txn *txn, leat__written_fn written, void *arg,
                                   leat_error *error)
{
    (void)txn, (void)written, (void)arg, (void)error;
    block();
}

static void scene_assignment(void)
{
    twin.table.member_poll = poll_nothing;
    send(EVENTS);
    (void)start(0);
}

static void an_assignment_that_never_comes(void **state)
{
    (void)state;
    expect_stall(scene_assignment, LIMIT_MS, "assignment: the group 'stalls' has given no",
                 "tasks");
}

static void scene_open(void)
{
    twin.table.member_poll = poll_group_for_ever;
    (void)start(0);
    atomic_store(&planted, true);
    sleep_ms(1200); /* the coordinator is there */
    send(EVENTS);
    block();
}

static void an_open_epoch_that_nobody_ends(void **state)
{
    (void)state;
    expect_stall(scene_open, LIMIT_MS, "open: ", "events partition 1");
}

static void scene_barrier(void)
{
    stalled_topic = "events";
    in_poll = (void (*)(void))block;
    twin.table.reader_poll = poll_records;
    (void)start(0);
    atomic_store(&planted, true);
    send(EVENTS);
    block();
}

static void a_task_that_never_seals(void **state)
{
    (void)state;
    expect_stall(scene_barrier, LIMIT_MS, "barrier: ", "in a call into the log since");
}

static void scene_commit(void)
{
    twin.table.txn_commit = commit_for_ever;
    send(EVENTS);
    (void)start(0);
    block();
}

/* R3 names the call, and is not overtaken. */
static void a_commit_that_never_returns_is_told_by_its_own_limit(void **state)
{
    (void)state;
    int code = run_child(scene_commit, LIMIT_MS);
    assert_int_equal(code, STALLED);
    expect_line("the log does not answer: commit, phase commit");
    assert_null(strstr(lines, "stands still"));
}

static void scene_rewind(void)
{
    stalled_topic = "events";
    in_poll = (void (*)(void))block;
    twin.table.reader_poll = poll_records;
    twin.table.txn_commit = lose_commit;
    atomic_store(&lost_commits, 1);
    send(EVENTS);
    (void)start(0);
    block();
}

static void a_rewind_whose_worker_does_not_stop(void **state)
{
    (void)state;
    expect_stall(scene_rewind, LIMIT_MS, "stop: 1 of 2 workers stand still",
                 "in a call into the log since");
}

static void scene_restore(void)
{
    leave_state_behind();
    stalled_topic = "stalls-last-changelog";
    twin.table.reader_poll = poll_records;
    atomic_store(&planted, true);
    (void)start(0);
}

static void a_restore_that_is_given_nothing(void **state)
{
    (void)state;
    expect_stall(scene_restore, LIMIT_MS, "restore; epoch", "last partition 0: being restored");
}

static void scene_source(void)
{
    stalled_topic = "events";
    twin.table.reader_poll = poll_records;
    (void)start(0);
    atomic_store(&planted, true);
    send(EVENTS);
    block();
}

static void a_source_that_is_given_nothing(void **state)
{
    (void)state;
    expect_stall(scene_source, LIMIT_MS, "open: 20 records wait",
                 "the log gives it nothing of what waits");
}

static leat_status nobody_says(leat_log_reader *reader, const char *topic, uint32_t partition,
                               int64_t *end)
{
    (void)reader, (void)topic, (void)partition, (void)end;
    return LEAT_EUNREACHABLE;
}

static void scene_lost(void)
{
    twin.table.readable_end = nobody_says;
    scene_source();
}

/* As a client of Kafka that has forgotten its brokers, while another keeps the group: it will not
 * ask again, so that nobody can say whether a transaction is what it waits for. */
static void a_source_that_has_lost_its_brokers_for_good(void **state)
{
    (void)state; /* R31 */
    expect_stall(scene_lost, LIMIT_MS, "open: 20 records wait",
                 "the log gives it nothing of what waits");
    assert_null(strstr(lines, "belongs to a transaction"));
}

static void scene_exchange(void)
{
    exchange = LEAT_EXCHANGE_LOG;
    stalled_topic = "stalls-last-repartition";
    twin.table.reader_poll = poll_records;
    (void)start(0);
    atomic_store(&planted, true);
    send(EVENTS);
    block();
}

static void an_exchange_that_is_given_nothing(void **state)
{
    (void)state;
    expect_stall(scene_exchange, LIMIT_MS, "open: ", "stalls-last-repartition at");
    expect_line("the log gives it nothing of what waits");
    expect_line("held by input");
}

/* ------------------------------------------------------------------ planted: state and callbacks
 */

static leat_status apply_for_ever(leat__batch *batch, leat_error *error)
{
    (void)batch, (void)error;
    block();
}

static void scene_apply(void)
{
    static char dir[] = "/tmp/leat-stalls-state-XXXXXX";
    state_dir = mkdtemp(dir);
    leat_job *job = start(0);
    leat__run *run = job->run;
    static leat__backend_ops ops;
    ops = *run->database->ops;
    ops.write = apply_for_ever;
    run->database->ops = &ops;
    send(EVENTS);
    block();
}

static void a_state_that_is_never_written(void **state)
{
    (void)state;
    expect_stall(scene_apply, LIMIT_MS, "apply: the epoch is committed", "last partition");
    assert_int_equal(system("rm -rf /tmp/leat-stalls-state-??????"), 0);
}

static void block_if_planted(void)
{
    if (atomic_load(&planted))
        block();
}

static void scene_deliver(void)
{
    in_sink = block_if_planted;
    atomic_store(&planted, true);
    send(20000);
    (void)start(64 << 10);
    block();
}

/* And the sources wait behind it at the bound of the buffers (R9). */
static void a_sink_that_never_returns(void **state)
{
    (void)state;
    expect_stall(scene_deliver, 300, "deliver: the epoch is committed", "the source pauses");
    expect_line("sink 'taken' has been at work for");
}

static void scene_callback(void)
{
    in_callback = block_if_planted;
    exchange = LEAT_EXCHANGE_LOG;
    (void)start(0);
    atomic_store(&planted, true);
    send(EVENTS);
    block();
}

static void a_callback_that_never_returns_is_named_and_ends_later(void **state)
{
    (void)state;
    expect_stall(scene_callback, 300, "barrier: ", "in operator 'last' since");
    expect_line("operator 'last' has been at work for");
    expect_line("on stalls-last-repartition partition");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_assignment_that_never_comes),
        cmocka_unit_test(an_open_epoch_that_nobody_ends),
        cmocka_unit_test(a_task_that_never_seals),
        cmocka_unit_test(a_commit_that_never_returns_is_told_by_its_own_limit),
        cmocka_unit_test(a_rewind_whose_worker_does_not_stop),
        cmocka_unit_test(a_restore_that_is_given_nothing),
        cmocka_unit_test(a_source_that_is_given_nothing),
        cmocka_unit_test(a_source_that_has_lost_its_brokers_for_good),
        cmocka_unit_test(an_exchange_that_is_given_nothing),
        cmocka_unit_test(a_state_that_is_never_written),
        cmocka_unit_test(a_sink_that_never_returns),
        cmocka_unit_test(a_callback_that_never_returns_is_named_and_ends_later),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    free(lines);
    return failures;
}
