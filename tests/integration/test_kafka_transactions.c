/* Transactions on a real broker, where they differ from the other drivers': what a failure leaves
 * open, who fences whom, and what the weaker guarantees do.
 */
#include "support/kafka_world.h"

enum { TIMEOUT_MS = 3000 };

static int set_up(void **state)
{
    world *w = *state = world_new("txn");
    world_topic(w, "in", 1);
    world_topic(w, "out", 1);
    world_topic(w, "gone", 1);
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static leat_log_member *join(world *w, const char *group, const char *instance,
                             leat_guarantee guarantee, int64_t *generation)
{
    const char *topics[] = {"in"};
    const leat_log_group wanted = {.group = group,
                                   .instance = instance,
                                   .topics = topics,
                                   .topic_count = 1,
                                   .transaction_timeout_ms = TIMEOUT_MS,
                                   .guarantee = guarantee};
    leat_log_member *member;
    must(w, leat_log_join(w->log, &wanted, NULL, NULL, &member, &w->error));
    for (int64_t until_ms = steady_ms() + DEADLINE_MS; steady_ms() < until_ms; nap()) {
        leat_log_event event;
        must(w, leat_log_member_poll(member, &event, &w->error));
        *generation = event.generation;
        if (event.kind == LEAT_LOG_ASSIGNED)
            return member;
    }
    fail_msg("no assignment came");
    return NULL;
}

static leat_log_txn *begin(world *w, leat_log_member *member, int64_t generation, int64_t offset)
{
    leat_log_txn *txn;
    must(w, leat_log_begin(member, generation, &txn, &w->error));
    const leat_log_offset next = {.topic = "in", .offset = offset};
    must(w, leat_log_txn_offsets(txn, &next, 1, &w->error));
    return txn;
}

static void add(world *w, leat_log_txn *txn, const char *topic, const char *value)
{
    const leat_log_record one = {
        .topic = topic, .key = LEAT_STR("k"), .value = leat_str_from(value), .timestamp_ms = 1};
    must(w, leat_log_txn_add(txn, &one, 1, &w->error));
}

static int64_t committed(world *w, leat_log_member *member)
{
    leat_log_offset found;
    must(w, leat_log_committed(member, "in", 0, &found, &w->error));
    return found.offset;
}

/* ---------------------------------------------------------------- tests */

/* R1, R4: the failed transaction is over when the commit returns, although nobody aborted it; if it
 * were open, readers would wait for it until its time-out. */
static void a_failed_commit_leaves_no_transaction_open(void **state)
{
    world *w = *state;
    int64_t generation;
    leat_log_member *member = join(w, "g", "i", LEAT_EXACTLY_ONCE, &generation);
    leat_log_txn *txn = begin(w, member, generation, 5);
    add(w, txn, "out", "torn");
    add(w, txn, "gone", "torn");
    must(w, leat_topic_delete(w->other, "gone", &w->error)); /* w->log still believes in it */
    assert_int_not_equal(leat_log_txn_commit(txn, &w->error), LEAT_OK);
    assert_int_equal(committed(w, member), -1);
    txn = begin(w, member, generation, 7);
    add(w, txn, "out", "whole");
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_int_equal(committed(w, member), 7);
    expect_out(w, (const char *const[]){"whole"}, 1, DEADLINE_MS);
    leat_log_leave(member);
}

/* R25: a transactional id is made of both names, and no two pairs of names give the same one. */
static void members_whose_names_run_together_do_not_fence_each_other(void **state)
{
    world *w = *state;
    int64_t generation, generation_b;
    leat_log_member *a = join(w, "a-b", "c", LEAT_EXACTLY_ONCE, &generation);
    leat_log_member *b = join(w, "a", "b-c", LEAT_EXACTLY_ONCE, &generation_b);
    leat_log_txn *txn = begin(w, b, generation_b, 1);
    must(w, leat_log_txn_commit(txn, &w->error));
    txn = begin(w, a, generation, 2);
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_leave(a);
    leat_log_leave(b);
}

/* An open transaction of a member that is gone without a word is ended by the next one of its name
 * (R5: before committed offsets are asked for), not by its time-out. */
static void a_new_member_of_the_same_name_ends_what_the_former_left(void **state)
{
    world *w = *state;
    int64_t generation;
    leat_log_member *former = join(w, "g", "i", LEAT_EXACTLY_ONCE, &generation);
    leat_log_txn *txn = begin(w, former, generation, 3);
    must(w, leat_log_txn_commit(txn, &w->error));
    txn = begin(w, former, generation, 9);
    add(w, txn, "out", "zombie");
    leat_log_member *newer = join(w, "g", "i", LEAT_EXACTLY_ONCE, &generation);
    assert_int_equal(committed(w, newer), 3);
    assert_int_equal(leat_log_txn_commit(txn, &w->error), LEAT_EFENCED);
    assert_int_equal(committed(w, newer), 3);
    leat_log_leave(former);
    leat_log_leave(newer);
}

/* Records first: what cannot all be written moves no offset, and what was written stays. */
static void at_least_once_writes_records_before_offsets(void **state)
{
    world *w = *state;
    int64_t generation;
    leat_log_member *member = join(w, "g", "i", LEAT_AT_LEAST_ONCE, &generation);
    leat_log_txn *txn = begin(w, member, generation, 4);
    add(w, txn, "out", "1");
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_int_equal(committed(w, member), 4);
    txn = begin(w, member, generation, 8);
    add(w, txn, "out", "2");
    add(w, txn, "gone", "2");
    must(w, leat_topic_delete(w->other, "gone", &w->error));
    assert_int_not_equal(leat_log_txn_commit(txn, &w->error), LEAT_OK);
    assert_int_equal(committed(w, member), 4);
    expect_out(w, (const char *const[]){"1", "2"}, 2, DEADLINE_MS);
    leat_log_leave(member);
}

/* Offsets first: they move although not all records can be written. */
static void at_most_once_writes_offsets_before_records(void **state)
{
    world *w = *state;
    int64_t generation;
    leat_log_member *member = join(w, "g", "i", LEAT_AT_MOST_ONCE, &generation);
    leat_log_txn *txn = begin(w, member, generation, 8);
    add(w, txn, "gone", "lost");
    must(w, leat_topic_delete(w->other, "gone", &w->error));
    assert_int_not_equal(leat_log_txn_commit(txn, &w->error), LEAT_OK);
    assert_int_equal(committed(w, member), 8);
    leat_log_leave(member);
}

int main(void)
{
    if (test_kafka_bootstrap() == NULL) {
        print_message("no broker: run it by ctest\n");
        return TEST_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failed_commit_leaves_no_transaction_open, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(members_whose_names_run_together_do_not_fence_each_other,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_member_of_the_same_name_ends_what_the_former_left,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(at_least_once_writes_records_before_offsets, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(at_most_once_writes_offsets_before_records, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
