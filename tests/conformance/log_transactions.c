/* Transactions: all or nothing, in the right generation, by the right instance.
 *
 *   begin ─ add ─ offsets ─ commit ─► everything at once       R7: another generation: aborted
 *                          └ abort ─► nothing                  R15: a newer instance: fenced
 */
#include "conformance/log_suite.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Most cases: topics "in" (2 partitions, subscribed) and "out" (3), one member. */
typedef struct scene {
    leat_log_member *member;
    int64_t generation;
} scene;

static scene a_scene(world *w)
{
    scene s;
    topic(w, "in", 2);
    topic(w, "out", 3);
    s.member = member_of(w, "g", "i", "in", &s.generation);
    return s;
}

static void records_are_invisible_before_the_commit(world *w)
{
    scene s = a_scene(w);
    leat_log_reader *reader = reader_at(w, "out", 0, 0);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    assert_string_equal(next(w, reader, 0), "");
    assert_int_equal(end_of(w, "out", 0), 0);
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(next(w, reader, 1), "k=1");
    leat_log_reader_free(reader);
    leat_log_leave(s.member);
}

static void an_aborted_transaction_leaves_nothing(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    offset(w, txn, "in", 0, 7);
    leat_log_txn_abort(txn);
    put(w, "out", 0, "k", "after");
    assert_string_equal(contents(w, "out", 0), "k=after");
    assert_int_equal(committed(w, s.member, "in", 0), -1);
    leat_log_leave(s.member);
}

static void a_commit_is_all_topics_and_offsets_at_once(world *w)
{
    scene s = a_scene(w);
    topic(w, "log", 1);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "a", "1");
    add(w, txn, "log", 0, "b", "2");
    add(w, txn, "out", 2, "c", "3");
    offset(w, txn, "in", 0, 10);
    offset(w, txn, "in", 1, 20);
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "a=1");
    assert_string_equal(contents(w, "out", 1), "");
    assert_string_equal(contents(w, "out", 2), "c=3");
    assert_string_equal(contents(w, "log", 0), "b=2");
    assert_int_equal(committed(w, s.member, "in", 0), 10);
    assert_int_equal(committed(w, s.member, "in", 1), 20);
    leat_log_leave(s.member);
}

static void records_of_a_transaction_keep_their_order(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    leat_log_record two[] = {record("out", 0, "a", "1"), record("out", 0, "b", "2")};
    must(w, leat_log_txn_add(txn, two, 2, &w->error));
    add(w, txn, "out", 1, "x", "y");
    add(w, txn, "out", 0, "c", "3");
    must(w, leat_log_txn_commit(txn, &w->error));
    txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "d", "4");
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "a=1 b=2 c=3 d=4");
    leat_log_leave(s.member);
}

static void added_records_are_copied(world *w)
{
    scene s = a_scene(w);
    char name[] = "out", key[] = "key", value[] = "value";
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, name, 0, key, value);
    memset(name, 'x', 3);
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "key=value");
    leat_log_leave(s.member);
}

static void an_empty_transaction_commits(world *w)
{
    scene s = a_scene(w);
    must(w, leat_log_txn_commit(begin(w, s.member, s.generation), &w->error));
    must(w, leat_log_txn_commit(begin(w, s.member, s.generation), &w->error));
    leat_log_leave(s.member);
}

static void offsets_need_no_records(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    offset(w, txn, "in", 1, 3);
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_int_equal(committed(w, s.member, "in", 1), 3);
    leat_log_leave(s.member);
}

static void the_later_offset_counts(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    offset(w, txn, "in", 0, 8);
    offset(w, txn, "in", 0, 5);
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_int_equal(committed(w, s.member, "in", 0), 5);
    txn = begin(w, s.member, s.generation);
    offset(w, txn, "in", 0, 9);
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_int_equal(committed(w, s.member, "in", 0), 9);
    leat_log_leave(s.member);
}

static void metadata_comes_back_as_committed(world *w)
{
    scene s = a_scene(w);
    char metadata[4096];
    for (size_t i = 0; i < sizeof metadata; i++)
        metadata[i] = (char)('a' + i % 26);
    leat_log_offset given = {.topic = "in", .offset = 1, .metadata = {metadata, sizeof metadata}};
    leat_log_txn *txn = begin(w, s.member, s.generation);
    must(w, leat_log_txn_offsets(txn, &given, 1, &w->error));
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_offset found;
    must(w, leat_log_committed(s.member, "in", 0, &found, &w->error));
    assert_true(leat_str_equal(found.metadata, given.metadata));
    txn = begin(w, s.member, s.generation);
    offset(w, txn, "in", 0, 2);
    must(w, leat_log_txn_commit(txn, &w->error));
    must(w, leat_log_committed(s.member, "in", 0, &found, &w->error));
    assert_int_equal(found.metadata.length, 0);
    leat_log_leave(s.member);
}

static void metadata_is_bounded(world *w)
{
    scene s = a_scene(w);
    static char metadata[4097];
    leat_log_offset given = {.topic = "in", .offset = 1, .metadata = {metadata, sizeof metadata}};
    leat_log_txn *txn = begin(w, s.member, s.generation);
    refused(w, LEAT_ETOOBIG, leat_log_txn_offsets(txn, &given, 1, &w->error));
    leat_log_txn_abort(txn);
    leat_log_leave(s.member);
}

static void impossible_offsets_are_refused_and_the_rest_commits(world *w)
{
    scene s = a_scene(w);
    leat_log_offset wrong[] = {{.topic = "nowhere", .offset = 1},
                               {.topic = "in", .partition = 2, .offset = 1},
                               {.topic = "in", .partition = 0, .offset = -1}};
    leat_status status[] = {LEAT_ENOTFOUND, LEAT_EINVAL, LEAT_EINVAL};
    leat_log_txn *txn = begin(w, s.member, s.generation);
    for (size_t i = 0; i < 3; i++)
        refused(w, status[i], leat_log_txn_offsets(txn, &wrong[i], 1, &w->error));
    offset(w, txn, "in", 0, 4);
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_int_equal(committed(w, s.member, "in", 0), 4);
    leat_log_leave(s.member);
}

static void bad_records_are_refused_and_the_rest_commits(world *w)
{
    scene s = a_scene(w);
    topic_with(w, "keyed", (leat_topic_opts){.compacted = true});
    char *big = calloc(1, (1 << 20) + 1);
    leat_log_record wrong[][2] = {
        {record("out", 0, "k", "not"), record("nowhere", 0, "k", "1")},
        {record("out", 0, "k", "not"), record("out", 3, "k", "1")},
        {record("out", 0, "k", "not"), record("keyed", 0, "~", "1")},
        {record("out", 0, "k", "not"), {.topic = "out", .value = {big, (1 << 20) + 1}}}};
    leat_status status[] = {LEAT_ENOTFOUND, LEAT_EINVAL, LEAT_EINVAL, LEAT_ETOOBIG};
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    for (size_t i = 0; i < 4; i++)
        refused(w, status[i], leat_log_txn_add(txn, wrong[i], 2, &w->error));
    add(w, txn, "out", 0, "k", "2");
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "k=1 k=2");
    free(big);
    leat_log_leave(s.member);
}

static void keys_go_where_an_append_puts_them(world *w)
{
    scene s = a_scene(w);
    leat_log_record one = record("out", LEAT_PARTITION_BY_KEY, "foobar", "appended");
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", LEAT_PARTITION_BY_KEY, "foobar", "committed");
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", one.partition), "foobar=appended foobar=committed");
    leat_log_leave(s.member);
}

typedef struct range {
    char topic[16];
    uint32_t partition;
    int64_t first, next;
} range;
typedef struct ranges {
    range of[8];
    size_t count;
} ranges;

static void note_range(void *arg, const char *name, uint32_t partition, int64_t first,
                       int64_t next_offset)
{
    ranges *all = arg;
    range *one = &all->of[all->count++];
    snprintf(one->topic, sizeof one->topic, "%s", name);
    *one = (range){.partition = partition, .first = first, .next = next_offset};
    snprintf(one->topic, sizeof one->topic, "%s", name);
}

static void a_commit_tells_where_its_records_went(world *w)
{
    scene s = a_scene(w);
    put(w, "out", 0, "k", "before");
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    add(w, txn, "in", 1, "k", "2");
    add(w, txn, "out", 0, "k", "3");
    ranges all = {.count = 0};
    must(w, leat_log_txn_commit_ex(txn, note_range, &all, &w->error));
    put(w, "out", 0, "k", "after");
    assert_int_equal(all.count, 2);
    for (size_t i = 0; i < 2; i++) {
        bool out = strcmp(all.of[i].topic, "out") == 0;
        assert_int_equal(all.of[i].partition, out ? 0 : 1);
        leat_log_reader *at_first = reader_at(w, all.of[i].topic, out ? 0 : 1, all.of[i].first);
        assert_string_equal(next(w, at_first, out ? 3 : 1), out ? "k=1 k=3 k=after" : "k=2");
        leat_log_reader_free(at_first);
        leat_log_reader *at_next = reader_at(w, all.of[i].topic, out ? 0 : 1, all.of[i].next);
        assert_string_equal(next(w, at_next, out ? 1 : 0), out ? "k=after" : "");
        leat_log_reader_free(at_next);
    }
    leat_log_leave(s.member);
}

static void a_large_transaction_is_whole(world *w)
{
    enum { COUNT = 20000 };
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        add(w, txn, "out", LEAT_PARTITION_BY_KEY, key, "some value, not very long");
    }
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_reader *reader = reader_at(w, "out", 0, 0);
    must(w, leat_log_reader_seek(reader, "out", 1, 0, &w->error));
    must(w, leat_log_reader_seek(reader, "out", 2, 0, &w->error));
    static leat_log_record records[1000];
    static bool seen[COUNT];
    memset(seen, 0, sizeof seen);
    size_t total = 0;
    while (total < COUNT) {
        size_t count = poll_once(w, reader, records, 1000);
        for (size_t i = 0; i < count; i++) {
            char key[16] = "";
            memcpy(key, records[i].key.data, records[i].key.length);
            assert_false(seen[atoi(key)]);
            seen[atoi(key)] = true;
        }
        total += count;
    }
    leat_log_reader_free(reader);
    leat_log_leave(s.member);
}

static void a_member_has_one_transaction_at_a_time(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *second, *txn = begin(w, s.member, s.generation);
    refused(w, LEAT_EINVAL, leat_log_begin(s.member, s.generation, &second, &w->error));
    assert_null(second);
    leat_log_txn_abort(txn);
    leat_log_txn_abort(begin(w, s.member, s.generation));
    leat_log_leave(s.member);
}

/* R7 */
static void a_wrong_generation_begins_nothing(world *w)
{
    scene s = a_scene(w);
    int64_t wrong[] = {s.generation + 1, s.generation - 1, 0, -1};
    for (size_t i = 0; i < 4; i++)
        refused(w, LEAT_EABORTED,
                leat_log_begin(s.member, wrong[i], &(leat_log_txn *){NULL}, &w->error));
    assert_int_equal(w->error.recovery, LEAT_RECOVERY_RESTART);
    leat_log_leave(s.member);
}

/* R7 */
static void a_commit_of_an_older_generation_is_aborted(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    offset(w, txn, "in", 0, 5);
    leat_log_member *other = join(w, "g", "j", "in");
    await_event(w, s.member, LEAT_LOG_REVOKED);
    leat_log_member_ack(s.member); /* too early: the transaction is still open */
    refused(w, LEAT_EABORTED, leat_log_txn_commit(txn, &w->error));
    assert_int_equal(w->error.recovery, LEAT_RECOVERY_RESTART);
    leat_log_event event = await_event(w, s.member, LEAT_LOG_ASSIGNED);
    refused(w, LEAT_EABORTED,
            leat_log_begin(s.member, s.generation, &(leat_log_txn *){NULL}, &w->error));
    txn = begin(w, s.member, event.generation);
    add(w, txn, "out", 0, "k", "2");
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "k=2");
    leat_log_leave(other);
    leat_log_leave(s.member);
}

/* R8 */
static void a_revoked_member_may_finish_its_commit_before_the_ack(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    offset(w, txn, "in", 0, 5);
    offset(w, txn, "in", 1, 6);
    leat_log_member *other = join(w, "g", "j", "in");
    await_event(w, s.member, LEAT_LOG_REVOKED);
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_member_ack(s.member);
    leat_log_event event = await_event(w, other, LEAT_LOG_ASSIGNED);
    uint32_t owned = event.partitions[0].partition;
    assert_int_equal(committed(w, other, "in", owned), 5 + owned);
    assert_string_equal(contents(w, "out", 0), "k=1");
    leat_log_leave(other);
    leat_log_leave(s.member);
}

/* R15 */
static void a_fenced_member_commits_nothing(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "zombie");
    offset(w, txn, "in", 0, 5);
    leat_log_member *newer = join(w, "g", "i", "in");
    refused(w, LEAT_EFENCED, leat_log_txn_commit(txn, &w->error));
    refused(w, LEAT_EFENCED,
            leat_log_begin(s.member, s.generation, &(leat_log_txn *){NULL}, &w->error));
    leat_log_event event = await_event(w, newer, LEAT_LOG_ASSIGNED);
    assert_int_equal(committed(w, newer, "in", 0), -1);
    txn = begin(w, newer, event.generation);
    add(w, txn, "out", 0, "k", "alive");
    must(w, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "k=alive");
    leat_log_leave(s.member);
    leat_log_leave(newer);
}

static void a_member_that_left_commits_nothing(world *w)
{
    scene s = a_scene(w);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    leat_log_leave(s.member);
    refused(w, LEAT_EABORTED, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "");
}

static void a_commit_into_a_deleted_topic_is_refused_as_a_whole(world *w)
{
    scene s = a_scene(w);
    topic(w, "gone", 1);
    leat_log_txn *txn = begin(w, s.member, s.generation);
    add(w, txn, "out", 0, "k", "1");
    add(w, txn, "gone", 0, "k", "1");
    must(w, leat_topic_delete(w->log, "gone", &w->error));
    refused(w, LEAT_ENOTFOUND, leat_log_txn_commit(txn, &w->error));
    assert_string_equal(contents(w, "out", 0), "");
    leat_log_leave(s.member);
}

static bool print_offset(void *arg, const leat_log_offset *found)
{
    char *text = arg;
    sprintf(text + strlen(text), "%s:%u=%d ", found->topic, found->partition, (int)found->offset);
    return true;
}

static bool print_group(void *arg, const char *group)
{
    strcat(strcat(arg, group), " ");
    return true;
}

static void tools_list_groups_and_their_offsets(world *w)
{
    scene s = a_scene(w);
    int64_t generation;
    leat_log_member *other = member_of(w, "f", "i", "out", &generation);
    char text[200] = "";
    must(w, leat_log_group_each(w->log, print_group, text, &w->error));
    assert_string_equal(text, "");
    leat_log_txn *txn = begin(w, s.member, s.generation);
    offset(w, txn, "in", 1, 11);
    offset(w, txn, "in", 0, 10);
    must(w, leat_log_txn_commit(txn, &w->error));
    txn = begin(w, other, generation);
    offset(w, txn, "out", 2, 3);
    must(w, leat_log_txn_commit(txn, &w->error));
    /* tools do not wait for the marks of a transaction's end, members do */
    assert_int_equal(committed(w, s.member, "in", 1), 11);
    assert_int_equal(committed(w, other, "out", 2), 3);

    must(w, leat_log_group_each(w->log, print_group, text, &w->error));
    must(w, leat_log_group_offsets(w->log, "g", print_offset, text, &w->error));
    must(w, leat_log_group_offsets(w->log, "f", print_offset, text, &w->error));
    must(w, leat_log_group_offsets(w->log, "nobody", print_offset, text, &w->error));
    assert_string_equal(text, "f g in:0=10 in:1=11 out:2=3 ");
    leat_log_leave(s.member);
    leat_log_leave(other);
}

/* ---------------------------------------------------------------- threads */

enum { COMMITTERS = 3, COMMITS = 50, PARTS = 3 };

typedef struct committer {
    world w;
    int number;
} committer;

static void *commit_many(void *arg)
{
    committer *me = arg;
    world *w = &me->w;
    int64_t generation;
    char name[16], value[16];
    snprintf(name, sizeof name, "group-%d", me->number);
    leat_log_member *member = member_of(w, name, "i", "in", &generation);
    for (int i = 0; i < COMMITS; i++) {
        leat_log_txn *txn = begin(w, member, generation);
        snprintf(value, sizeof value, "%d", i);
        for (uint32_t p = 0; p < PARTS; p++)
            add(w, txn, "out", p, name, value);
        offset(w, txn, "in", 0, i + 1);
        must(w, leat_log_txn_commit(txn, &w->error));
    }
    leat_log_leave(member);
    return NULL;
}

static void groups_may_commit_at_the_same_time(world *w)
{
    topic(w, "in", 1);
    topic(w, "out", PARTS);
    pthread_t threads[COMMITTERS];
    committer committers[COMMITTERS];
    for (int i = 0; i < COMMITTERS; i++) {
        committers[i] = (committer){.w = {.log = w->log}, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, commit_many, &committers[i]), 0);
    }
    for (int i = 0; i < COMMITTERS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t p = 0; p < PARTS; p++) {
        const char *all = contents(w, "out", p);
        int next_value[COMMITTERS] = {0}, number, value, length;
        for (; sscanf(all, " group-%d=%d%n", &number, &value, &length) == 2; all += length)
            assert_int_equal(value, next_value[number]++);
        for (int i = 0; i < COMMITTERS; i++)
            assert_int_equal(next_value[i], COMMITS);
    }
}

const log_case log_transaction_cases[] = {
    CASE(records_are_invisible_before_the_commit),
    CASE(an_aborted_transaction_leaves_nothing),
    CASE(a_commit_is_all_topics_and_offsets_at_once),
    CASE(records_of_a_transaction_keep_their_order),
    CASE(added_records_are_copied),
    CASE(an_empty_transaction_commits),
    CASE(offsets_need_no_records),
    CASE(the_later_offset_counts),
    CASE(metadata_comes_back_as_committed),
    CASE(metadata_is_bounded),
    CASE(impossible_offsets_are_refused_and_the_rest_commits),
    CASE(bad_records_are_refused_and_the_rest_commits),
    CASE(keys_go_where_an_append_puts_them),
    CASE(a_commit_tells_where_its_records_went),
    CASE(a_large_transaction_is_whole),
    CASE(a_member_has_one_transaction_at_a_time),
    CASE(a_wrong_generation_begins_nothing),
    CASE(a_commit_of_an_older_generation_is_aborted),
    CASE(a_revoked_member_may_finish_its_commit_before_the_ack),
    CASE(a_fenced_member_commits_nothing),
    CASE(a_member_that_left_commits_nothing),
    CASE(a_commit_into_a_deleted_topic_is_refused_as_a_whole),
    CASE(tools_list_groups_and_their_offsets),
    CASE(groups_may_commit_at_the_same_time),
    {0},
};
