/* Groups: who owns what, and when.
 *
 *   join ─► ASSIGNED ─► REVOKED ─► ack ─► ASSIGNED          R8: eager
 *                         └── no ack in time: LOST          joining again under a name: R15
 */
#include "conformance/log_suite.h"
#include <stdatomic.h>
#include <string.h>

static void a_lone_member_owns_everything(world *w)
{
    topic(w, "a", 2);
    topic(w, "b", 1);
    leat_log_member *member = join(w, "g", "i", "b a");
    leat_log_event event = await_event(w, member, LEAT_LOG_ASSIGNED);
    assert_string_equal(listed(&event), "b:0 a:0 a:1");
    assert_true(event.generation > 0);
    leat_log_leave(member);
}

static void a_member_of_no_topics_is_assigned_nothing(world *w)
{
    leat_log_member *member = join(w, "g", "i", "");
    leat_log_event event = await_event(w, member, LEAT_LOG_ASSIGNED);
    assert_string_equal(listed(&event), "");
    leat_log_leave(member);
}

static void joining_for_an_unknown_topic_is_refused(world *w)
{
    topic(w, "a", 1);
    leat_log_member *member;
    const char *names[] = {"a", "b"};
    leat_log_group group = {.group = "g", .instance = "i", .topics = names, .topic_count = 2};
    refused(w, LEAT_ENOTFOUND, leat_log_join(w->log, &group, NULL, NULL, &member, &w->error));
    assert_null(member);
}

static void a_group_and_an_instance_need_a_name(world *w)
{
    leat_log_member *member;
    leat_log_group wrong[] = {{.group = "", .instance = "i"},    {.group = "g", .instance = ""},
                              {.group = "g h", .instance = "i"}, {.group = "g", .instance = "i/1"},
                              {.group = NULL, .instance = "i"},  {.group = "g", .instance = NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(w, LEAT_EINVAL, leat_log_join(w->log, &wrong[i], NULL, NULL, &member, &w->error));
}

static void a_topic_is_subscribed_to_once(world *w)
{
    topic(w, "a", 1);
    leat_log_member *member;
    const char *names[] = {"a", "a"};
    leat_log_group group = {.group = "g", .instance = "i", .topics = names, .topic_count = 2};
    refused(w, LEAT_EINVAL, leat_log_join(w->log, &group, NULL, NULL, &member, &w->error));
}

/* R8: everyone lets go, then everything is distributed anew */
static void a_second_member_gets_half_once_the_first_has_let_go(world *w)
{
    int64_t generation;
    topic(w, "a", 5);
    leat_log_member *first = member_of(w, "g", "1", "a", &generation);
    leat_log_member *second = join(w, "g", "2", "a");
    leat_log_event event = await_event(w, first, LEAT_LOG_REVOKED);
    assert_string_equal(listed(&event), "a:0 a:1 a:2 a:3 a:4");
    must(w, leat_log_member_poll(second, &event, &w->error));
    assert_int_equal(event.kind, LEAT_LOG_NOTHING);
    leat_log_member_ack(first);

    event = await_event(w, first, LEAT_LOG_ASSIGNED);
    assert_true(event.generation > generation);
    generation = event.generation;
    char owned[100];
    strcpy(owned, listed(&event));
    event = await_event(w, second, LEAT_LOG_ASSIGNED);
    assert_int_equal(event.generation, generation);
    strcat(strcat(owned, " | "), listed(&event));
    assert_string_equal(owned, "a:0 a:1 a:2 | a:3 a:4");
    leat_log_leave(first);
    leat_log_leave(second);
}

/* Lets the members join one after another; each then owns what `owned` says. */
static void settle(world *w, leat_log_member **members, size_t count, leat_log_event *owned)
{
    bool settled[8] = {false};
    int64_t newest = 0, until_ms = steady_ms() + DEADLINE_MS;
    for (size_t done = 0; done < count;) {
        for (size_t i = 0; i < count; i++) {
            leat_log_event event;
            must(w, leat_log_member_poll(members[i], &event, &w->error));
            if (event.kind == LEAT_LOG_REVOKED)
                leat_log_member_ack(members[i]);
            if (event.kind == LEAT_LOG_REVOKED || event.kind == LEAT_LOG_LOST)
                settled[i] = false;
            if (event.kind != LEAT_LOG_ASSIGNED)
                continue;
            owned[i] = event;
            settled[i] = true;
            if (event.generation > newest)
                newest = event.generation;
        }
        done = 0;
        for (size_t i = 0; i < count; i++)
            done += settled[i] && owned[i].generation == newest;
        assert_true(steady_ms() < until_ms);
        nap();
    }
}

static void members_own_each_partition_once_and_evenly(world *w)
{
    topic(w, "a", 7);
    leat_log_member *members[3];
    leat_log_event owned[3];
    for (size_t i = 0; i < 3; i++)
        members[i] = join(w, "g", (const char *[]){"x", "y", "z"}[i], "a");
    settle(w, members, 3, owned);
    int owners[7] = {0};
    for (size_t i = 0; i < 3; i++) {
        assert_true(owned[i].partition_count >= 2 && owned[i].partition_count <= 3);
        for (size_t p = 0; p < owned[i].partition_count; p++)
            owners[owned[i].partitions[p].partition]++;
    }
    for (size_t p = 0; p < 7; p++)
        assert_int_equal(owners[p], 1);
    for (size_t i = 0; i < 3; i++)
        leat_log_leave(members[i]);
}

static void equal_partitions_of_two_topics_have_one_owner(world *w)
{
    topic(w, "a", 5);
    topic(w, "b", 5);
    leat_log_member *members[] = {join(w, "g", "1", "a b"), join(w, "g", "2", "b a")};
    leat_log_event owned[2];
    settle(w, members, 2, owned);
    for (size_t i = 0; i < 2; i++) {
        size_t half = owned[i].partition_count / 2;
        for (size_t p = 0; p < half; p++) {
            assert_int_equal(owned[i].partitions[p].partition,
                             owned[i].partitions[half + p].partition);
            assert_string_not_equal(owned[i].partitions[p].topic,
                                    owned[i].partitions[half + p].topic);
        }
        leat_log_leave(members[i]);
    }
}

static void more_members_than_partitions_leave_some_without(world *w)
{
    topic(w, "a", 2);
    leat_log_member *members[3];
    leat_log_event owned[3];
    size_t total = 0;
    for (size_t i = 0; i < 3; i++)
        members[i] = join(w, "g", (const char *[]){"x", "y", "z"}[i], "a");
    settle(w, members, 3, owned);
    for (size_t i = 0; i < 3; i++) {
        assert_true(owned[i].partition_count <= 1);
        total += owned[i].partition_count;
        leat_log_leave(members[i]);
    }
    assert_int_equal(total, 2);
}

static void only_subscribers_get_a_topic(world *w)
{
    topic(w, "a", 2);
    topic(w, "b", 2);
    leat_log_member *members[] = {join(w, "g", "1", "a"), join(w, "g", "2", "a b")};
    leat_log_event owned[2];
    settle(w, members, 2, owned);
    assert_int_equal(owned[0].partition_count, 1);
    assert_int_equal(owned[1].partition_count, 3);
    leat_log_leave(members[0]);
    leat_log_leave(members[1]);
}

static void what_a_leaver_had_goes_to_the_others(world *w)
{
    topic(w, "a", 4);
    leat_log_member *members[] = {join(w, "g", "1", "a"), join(w, "g", "2", "a")};
    leat_log_event owned[2];
    settle(w, members, 2, owned);
    leat_log_leave(members[0]);
    await_event(w, members[1], LEAT_LOG_REVOKED);
    leat_log_member_ack(members[1]);
    leat_log_event event = await_event(w, members[1], LEAT_LOG_ASSIGNED);
    assert_int_equal(event.partition_count, 4);
    leat_log_leave(members[1]);
}

static void groups_do_not_disturb_each_other(world *w)
{
    int64_t generation;
    topic(w, "a", 3);
    leat_log_member *first = member_of(w, "g", "i", "a", &generation);
    leat_log_member *second = join(w, "h", "i", "a");
    leat_log_event event = await_event(w, second, LEAT_LOG_ASSIGNED);
    assert_int_equal(event.partition_count, 3);
    must(w, leat_log_member_poll(first, &event, &w->error));
    assert_int_equal(event.kind, LEAT_LOG_NOTHING);
    leat_log_leave(first);
    leat_log_leave(second);
}

static void an_ack_without_a_revocation_does_nothing(world *w)
{
    int64_t generation;
    topic(w, "a", 1);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    leat_log_member_ack(member);
    leat_log_txn *txn = begin(w, member, generation);
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_leave(member);
}

/* R15 */
static void joining_again_under_a_name_fences_the_former(world *w)
{
    int64_t generation;
    topic(w, "a", 3);
    leat_log_member *former = member_of(w, "g", "i", "a", &generation);
    leat_log_member *newer = join(w, "g", "i", "a");
    leat_log_event event = await_event(w, newer, LEAT_LOG_ASSIGNED);
    assert_string_equal(listed(&event), "a:0 a:1 a:2");
    /* it is told with the answer to its next heartbeat */
    await(leat_log_member_poll(former, &event, &w->error) == LEAT_EFENCED);
    leat_log_leave(former);
    must(w, leat_log_member_poll(newer, &event, &w->error));
    assert_int_equal(event.kind, LEAT_LOG_NOTHING);
    leat_log_leave(newer);
}

static void count_wake(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void a_member_is_woken_for_an_event(world *w)
{
    atomic_int wakes = 0;
    topic(w, "a", 2);
    const char *names[] = {"a"};
    leat_log_group group = {.group = "g", .instance = "1", .topics = names, .topic_count = 1};
    leat_log_member *first, *second;
    must(w, leat_log_join(w->log, &group, count_wake, &wakes, &first, &w->error));
    await_event(w, first, LEAT_LOG_ASSIGNED);
    leat_log_event event;
    must(w, leat_log_member_poll(first, &event, &w->error));
    int before = wakes;
    second = join(w, "g", "2", "a");
    await(wakes == before + 1);
    await_event(w, first, LEAT_LOG_REVOKED);
    leat_log_leave(first);
    leat_log_leave(second);
}

static void a_revocation_that_nobody_acks_is_lost_in_time(world *w)
{
    int64_t generation;
    topic(w, "a", 2);
    leat_log_member *silent = member_of(w, "g", "1", "a", &generation);
    leat_log_member *other = join(w, "g", "2", "a");
    await_event(w, silent, LEAT_LOG_REVOKED);
    leat_log_event event;
    must(w, leat_log_member_poll(other, &event, &w->error));
    assert_int_equal(event.kind, LEAT_LOG_NOTHING);
    w->driver->advance(w->place, 10001);
    event = await_event(w, other, LEAT_LOG_ASSIGNED);
    assert_int_equal(event.partition_count, 2);

    event = await_event(w, silent, LEAT_LOG_LOST);
    assert_string_equal(listed(&event), "a:0 a:1");
    refused(w, LEAT_EABORTED,
            leat_log_begin(silent, generation, &(leat_log_txn *){NULL}, &w->error));
    /* it lives after all: both share again */
    leat_log_member *members[] = {silent, other};
    leat_log_event owned[2];
    settle(w, members, 2, owned);
    assert_int_equal(owned[0].partition_count, 1);
    assert_int_equal(owned[1].partition_count, 1);
    leat_log_leave(silent);
    leat_log_leave(other);
}

/* ---------------------------------------------------------------- offsets */

static void nothing_committed_is_minus_one(world *w)
{
    int64_t generation;
    topic(w, "a", 1);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    assert_int_equal(committed(w, member, "a", 0), -1);
    leat_log_leave(member);
}

static void only_an_owner_asks_for_committed_offsets(world *w)
{
    int64_t generation;
    topic(w, "a", 1);
    topic(w, "b", 1);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    leat_log_offset found;
    refused(w, LEAT_EABORTED, leat_log_committed(member, "b", 0, &found, &w->error));
    refused(w, LEAT_EABORTED, leat_log_committed(member, "a", 1, &found, &w->error));
    leat_log_leave(member);
}

static void another_instance_goes_on_where_the_first_ended(world *w)
{
    int64_t generation;
    topic(w, "a", 2);
    leat_log_member *first = member_of(w, "g", "1", "a", &generation);
    leat_log_txn *txn = begin(w, first, generation);
    offset(w, txn, "a", 1, 42);
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_leave(first);
    leat_log_member *second = member_of(w, "g", "2", "a", &generation);
    assert_int_equal(committed(w, second, "a", 0), -1);
    assert_int_equal(committed(w, second, "a", 1), 42);
    leat_log_leave(second);
}

const log_case log_group_cases[] = {
    CASE(a_lone_member_owns_everything),
    CASE(a_member_of_no_topics_is_assigned_nothing),
    CASE(joining_for_an_unknown_topic_is_refused),
    CASE(a_group_and_an_instance_need_a_name),
    CASE(a_topic_is_subscribed_to_once),
    CASE(a_second_member_gets_half_once_the_first_has_let_go),
    CASE(members_own_each_partition_once_and_evenly),
    CASE(equal_partitions_of_two_topics_have_one_owner),
    CASE(more_members_than_partitions_leave_some_without),
    CASE(only_subscribers_get_a_topic),
    CASE(what_a_leaver_had_goes_to_the_others),
    CASE(groups_do_not_disturb_each_other),
    CASE(an_ack_without_a_revocation_does_nothing),
    CASE(joining_again_under_a_name_fences_the_former),
    CASE(a_member_is_woken_for_an_event),
    TIMED_CASE(a_revocation_that_nobody_acks_is_lost_in_time),
    CASE(nothing_committed_is_minus_one),
    CASE(only_an_owner_asks_for_committed_offsets),
    CASE(another_instance_goes_on_where_the_first_ended),
    {0},
};
