/* Partitions with an open transaction on them, whose owner is gone, on a real broker: who takes
 * them over ends it (src/log/kafka/owners.c). Who is dead is played: its transactional id is used
 * by a producer that begins and never ends.
 *
 *     member a ─ commits, leaves ─┐
 *     producer "g/a" ─ begins ────┴─► offsets or records held up for a minute
 *     member b ─ joins ─► asks for committed offsets ─► must not wait for that minute
 */
#include "support/kafka_world.h"
#include <librdkafka/rdkafka.h>

enum {
    TIMEOUT_MS = 10000,
    DEAD_TIMEOUT_MS = 60000, /* nothing but fencing ends it while a test runs */
    SOON_MS = 8000,
    PARTITIONS = 2,
};

static rd_kafka_t *dead; /* of the test that runs */

static int set_up(void **state)
{
    world *w = *state = world_new("over");
    world_topic(w, "in", PARTITIONS);
    world_topic(w, "out", PARTITIONS);
    return 0;
}

static int tear_down(void **state)
{
    if (dead != NULL)
        rd_kafka_destroy(dead);
    dead = NULL;
    world_free(*state);
    return 0;
}

/* ------------------------------------------------------------------ members */

typedef struct seat {
    leat_log_member *member;
    int64_t generation;
    size_t owned;
    uint32_t first; /* of the partitions */
} seat;

static seat join(world *w, leat_log *log, const char *instance)
{
    const char *topics[] = {"in"};
    const leat_log_group wanted = {.group = "g",
                                   .instance = instance,
                                   .topics = topics,
                                   .topic_count = 1,
                                   .transaction_timeout_ms = TIMEOUT_MS};
    seat made = {0};
    must(w, leat_log_join(log, &wanted, NULL, NULL, &made.member, &w->error));
    return made;
}

static void follow(world *w, seat *s)
{
    leat_log_event event;
    must(w, leat_log_member_poll(s->member, &event, &w->error));
    if (event.kind == LEAT_LOG_NOTHING)
        return;
    s->generation = event.kind == LEAT_LOG_ASSIGNED ? event.generation : 0;
    s->owned = event.kind == LEAT_LOG_ASSIGNED ? event.partition_count : 0;
    if (s->owned != 0)
        s->first = event.partitions[0].partition;
    if (event.kind == LEAT_LOG_REVOKED)
        leat_log_member_ack(s->member);
}

/* Until each of them owns so many partitions; b may be NULL. */
static void settle(world *w, seat *a, seat *b, size_t each)
{
    int64_t until_ms = steady_ms() + DEADLINE_MS;
    while (a->owned != each || (b != NULL && b->owned != each)) {
        follow(w, a);
        if (b != NULL)
            follow(w, b);
        nap();
        if (steady_ms() > until_ms)
            fail_msg("no assignment came");
    }
}

/* One record of this value to out, and offsets for all of the member's partitions. */
static leat_status commit(world *w, const seat *s, int64_t offset, const char *value)
{
    leat_log_txn *txn;
    leat_status status = leat_log_begin(s->member, s->generation, &txn, &w->error);
    if (status != LEAT_OK)
        return status;
    const leat_log_record one = {.topic = "out",
                                 .key = LEAT_STR("k"),
                                 .partition = 0,
                                 .value = leat_str_from(value),
                                 .timestamp_ms = 1};
    must(w, leat_log_txn_add(txn, &one, 1, &w->error));
    for (size_t i = 0; i < s->owned; i++) {
        const leat_log_offset next = {.topic = "in",
                                      .partition = s->first + (uint32_t)i,
                                      .offset = offset,
                                      .metadata = LEAT_STR("/a/note")};
        must(w, leat_log_txn_offsets(txn, &next, 1, &w->error));
    }
    return leat_log_txn_commit(txn, &w->error);
}

static int64_t committed(world *w, const seat *s)
{
    leat_log_offset found;
    must(w, leat_log_committed(s->member, "in", s->first, &found, &w->error));
    if (found.offset >= 0)
        assert_true(leat_str_equal(found.metadata, LEAT_STR("/a/note")));
    return found.offset;
}

/* ------------------------------------------------------------------ the dead */

static void must_not_fail(rd_kafka_error_t *failure)
{
    if (failure != NULL)
        fail_msg("%s", rd_kafka_error_string(failure));
}

static rd_kafka_t *producer_named(const world *w, const char *instance)
{
    char id[200], reason[200], timeout[20];
    snprintf(id, sizeof id, "%sg/%s", w->prefix, instance); /* R25 */
    snprintf(timeout, sizeof timeout, "%d", DEAD_TIMEOUT_MS);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", test_kafka_bootstrap(), reason, sizeof reason);
    rd_kafka_conf_set(conf, "transactional.id", id, reason, sizeof reason);
    rd_kafka_conf_set(conf, "transaction.timeout.ms", timeout, reason, sizeof reason);
    rd_kafka_t *made = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    assert_non_null(made);
    must_not_fail(rd_kafka_init_transactions(made, DEADLINE_MS));
    return made;
}

/* Begins a transaction and says no more: offset >= 0: of both partitions; value: a record. */
static void die_in_transaction(world *w, const char *instance, int64_t offset, const char *value)
{
    char topic[100], group[100];
    dead = producer_named(w, instance);
    must_not_fail(rd_kafka_begin_transaction(dead));
    snprintf(topic, sizeof topic, "%sout", w->prefix);
    if (value != NULL) {
        rd_kafka_topic_t *out = rd_kafka_topic_new(dead, topic, NULL);
        assert_int_equal(rd_kafka_produce(out, 0, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value,
                                          strlen(value), NULL, 0, NULL),
                         0);
        rd_kafka_topic_destroy(out);
        assert_int_equal(rd_kafka_flush(dead, DEADLINE_MS), 0);
    }
    if (offset < 0)
        return;
    snprintf(topic, sizeof topic, "%sin", w->prefix);
    snprintf(group, sizeof group, "%sg", w->prefix);
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(offsets, topic, i)->offset = offset;
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata_new(group);
    must_not_fail(rd_kafka_send_offsets_to_transaction(dead, offsets, metadata, DEADLINE_MS));
    rd_kafka_consumer_group_metadata_destroy(metadata);
    rd_kafka_topic_partition_list_destroy(offsets);
}

/* ------------------------------------------------------------------ tests */

/* R5: the offsets that count are those before the transaction that never ended. */
static void offsets_that_a_dead_owner_holds_are_stable_soon(void **state)
{
    world *w = *state;
    seat a = join(w, w->log, "a");
    settle(w, &a, NULL, PARTITIONS);
    must(w, commit(w, &a, 5, "five"));
    leat_log_leave(a.member);
    die_in_transaction(w, "a", 9, "torn");
    seat b = join(w, w->other, "b");
    settle(w, &b, NULL, PARTITIONS);
    int64_t began_ms = steady_ms();
    assert_int_equal(committed(w, &b), 5);
    assert_in_range(steady_ms() - began_ms, 0, SOON_MS);
    must(w, commit(w, &b, 6, "six"));
    expect_out(w, (const char *const[]){"five", "six"}, 2, SOON_MS);
    leat_log_leave(b.member);
}

/* It died before it sent its offsets: they are stable, but its records hold readers up. */
static void records_that_a_dead_owner_holds_up_are_let_go_soon(void **state)
{
    world *w = *state;
    seat a = join(w, w->log, "a");
    settle(w, &a, NULL, PARTITIONS);
    must(w, commit(w, &a, 5, "five"));
    leat_log_leave(a.member);
    die_in_transaction(w, "a", -1, "torn");
    seat b = join(w, w->other, "b");
    settle(w, &b, NULL, PARTITIONS);
    assert_int_equal(committed(w, &b), 5);
    expect_out(w, (const char *const[]){"five"}, 1, SOON_MS);
    leat_log_leave(b.member);
}

/* A partition moves between two that live: neither's transactions are touched. */
static void a_member_is_never_fenced(void **state)
{
    world *w = *state;
    seat a = join(w, w->log, "a");
    settle(w, &a, NULL, PARTITIONS);
    must(w, commit(w, &a, 5, "five"));
    seat b = join(w, w->other, "b");
    settle(w, &a, &b, 1);
    assert_int_equal(committed(w, &a), 5);
    assert_int_equal(committed(w, &b), 5); /* a had it, and is asked about */
    must(w, commit(w, &a, 6, "six"));
    must(w, commit(w, &b, 7, "seven"));
    assert_int_equal(committed(w, &a), 6);
    assert_int_equal(committed(w, &b), 7);
    leat_log_leave(a.member);
    leat_log_leave(b.member);
}

/* No offset names who died in its first transaction; it was seen in the group. */
static void who_died_in_its_first_transaction_is_known_too(void **state)
{
    world *w = *state;
    seat b = join(w, w->other, "b");
    settle(w, &b, NULL, PARTITIONS);
    must(w, commit(w, &b, 5, "five"));
    seat a = join(w, w->log, "a");
    settle(w, &a, &b, 1);
    assert_int_equal(committed(w, &b), 5);
    leat_log_leave(a.member);
    die_in_transaction(w, "a", 9, "torn");
    settle(w, &b, NULL, PARTITIONS);
    int64_t began_ms = steady_ms();
    assert_int_equal(committed(w, &b), 5);
    assert_in_range(steady_ms() - began_ms, 0, SOON_MS);
    leat_log_leave(b.member);
}

/* The fencing process was slow, and the name has been taken again meanwhile: an epoch is done
 * twice, once of them for nothing; nobody ends (R15). */
static void a_live_member_that_was_fenced_goes_on(void **state)
{
    world *w = *state;
    seat a = join(w, w->log, "a");
    settle(w, &a, NULL, PARTITIONS);
    must(w, commit(w, &a, 5, "five"));
    dead = producer_named(w, "a"); /* what leat__kafka_fence does */
    assert_int_equal(commit(w, &a, 6, "lost"), LEAT_EABORTED);
    assert_int_equal(w->error.recovery, LEAT_RECOVERY_RESTART);
    assert_int_equal(committed(w, &a), 5);
    must(w, commit(w, &a, 6, "six"));
    assert_int_equal(committed(w, &a), 6);
    expect_out(w, (const char *const[]){"five", "six"}, 2, SOON_MS);
    leat_log_leave(a.member);
}

static bool look_at(void *arg, const leat_log_offset *offset)
{
    assert_true(leat_str_equal(offset->metadata, LEAT_STR("/a/note")));
    (*(size_t *)arg)++;
    return true;
}

/* That offsets name who wrote them is between this driver and the cluster. */
static void tools_see_the_metadata_as_it_was_given(void **state)
{
    world *w = *state;
    seat a = join(w, w->log, "a");
    settle(w, &a, NULL, PARTITIONS);
    must(w, commit(w, &a, 5, "five"));
    /* tools do not wait for the marks of a transaction's end, members do */
    assert_int_equal(committed(w, &a), 5);
    size_t count = 0;
    must(w, leat_log_group_offsets(w->other, "g", look_at, &count, &w->error));
    assert_int_equal(count, PARTITIONS);
    leat_log_leave(a.member);
}

int main(void)
{
    if (test_kafka_bootstrap() == NULL) {
        print_message("no broker: run it by ctest\n");
        return TEST_SKIPPED;
    }
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(offsets_that_a_dead_owner_holds_are_stable_soon),
        CASE(records_that_a_dead_owner_holds_up_are_let_go_soon),
        CASE(who_died_in_its_first_transaction_is_known_too),
        CASE(a_member_is_never_fenced),
        CASE(a_live_member_that_was_fenced_goes_on),
        CASE(tools_see_the_metadata_as_it_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
