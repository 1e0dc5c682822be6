/* Durability: what a restart finds, and what a read-only handle sees.
 *
 *   write ─► reopen ─► the same        writer ─► follower: whole transactions, a little late
 */
#include "conformance/log_suite.h"
#include <string.h>

static void topics_survive(world *w)
{
    topic_with(w, "a", (leat_topic_opts){.partition_count = 3, .retention_ms = 5});
    topic_with(w, "b", (leat_topic_opts){.compacted = true});
    reopen(w);
    leat_topic_opts opts;
    must(w, leat_topic_describe(w->log, "a", &opts, &w->error));
    assert_int_equal(opts.partition_count, 3);
    assert_int_equal(opts.retention_ms, 5);
    must(w, leat_topic_describe(w->log, "b", &opts, &w->error));
    assert_true(opts.compacted);
}

static void appended_records_survive(world *w)
{
    topic(w, "a", 2);
    put(w, "a", 0, "k", "1");
    put(w, "a", 1, "~", "-");
    reopen(w);
    assert_string_equal(contents(w, "a", 0), "k=1");
    assert_string_equal(contents(w, "a", 1), "~=-");
}

static void offsets_go_on_after_a_restart(world *w)
{
    topic(w, "a", 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put(w, "a", 0, "k", "1"), i);
        reopen(w);
    }
    assert_int_equal(end_of(w, "a", 0), 3);
    assert_string_equal(contents(w, "a", 0), "k=1 k=1 k=1");
}

static void committed_transactions_survive_and_open_ones_do_not(world *w)
{
    int64_t generation;
    topic(w, "a", 1);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    leat_log_txn *txn = begin(w, member, generation);
    add(w, txn, "a", 0, "k", "committed");
    offset(w, txn, "a", 0, 5);
    must(w, leat_log_txn_commit(txn, &w->error));
    txn = begin(w, member, generation);
    add(w, txn, "a", 0, "k", "open");
    offset(w, txn, "a", 0, 6);
    leat_log_leave(member); /* the process ends here; only the memory is given back */
    leat_log_txn_abort(txn);
    reopen(w);
    assert_string_equal(contents(w, "a", 0), "k=committed");
    member = member_of(w, "g", "i", "a", &generation);
    assert_int_equal(committed(w, member, "a", 0), 5);
    leat_log_leave(member);
}

static void a_deleted_topic_stays_deleted(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "1");
    must(w, leat_topic_delete(w->log, "a", &w->error));
    reopen(w);
    refused(w, LEAT_ENOTFOUND, leat_topic_describe(w->log, "a", NULL, &w->error));
    topic(w, "a", 1);
    reopen(w);
    assert_string_equal(contents(w, "a", 0), "");
}

static void what_was_compacted_away_stays_away(world *w)
{
    topic_with(w, "a", (leat_topic_opts){.compacted = true});
    put(w, "a", 0, "k", "1");
    put(w, "a", 0, "k", "2");
    must(w, leat_log_clean(w->log, &w->error));
    reopen(w);
    assert_string_equal(contents(w, "a", 0), "k=2");
    put(w, "a", 0, "k", "3");
    must(w, leat_log_clean(w->log, &w->error));
    reopen(w);
    assert_string_equal(contents(w, "a", 0), "k=3");
}

static void a_large_transaction_survives(world *w)
{
    enum { COUNT = 20000 };
    int64_t generation;
    topic(w, "a", 1);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    leat_log_txn *txn = begin(w, member, generation);
    for (int i = 0; i < COUNT; i++)
        add(w, txn, "a", 0, "key", "a value of about forty characters or so");
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_leave(member);
    reopen(w);
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    size_t seen = 0;
    int64_t end = end_of(w, "a", 0);
    while (position(w, reader, "a", 0) < end) {
        leat_log_record records[500];
        seen += poll_once(w, reader, records, 500);
    }
    assert_int_equal(seen, COUNT);
    leat_log_reader_free(reader);
}

static void a_read_only_handle_refuses_every_write(world *w)
{
    topic(w, "a", 1);
    leat_log *log = open_again(w, &(leat_log_opts){.read_only = true});
    leat_log_record one = record("a", 0, "k", "1");
    leat_log_member *member;
    leat_log_group group = {.group = "g", .instance = "i"};
    refused(w, LEAT_EACCES, leat_log_append(log, &one, 1, &w->error));
    refused(w, LEAT_EACCES, leat_topic_create(log, "b", NULL, &w->error));
    refused(w, LEAT_EACCES, leat_topic_delete(log, "a", &w->error));
    refused(w, LEAT_EACCES, leat_log_clean(log, &w->error));
    refused(w, LEAT_EACCES, leat_log_trim(log, &(leat_log_offset){.topic = "a"}, 1, &w->error));
    refused(w, LEAT_EACCES, leat_log_join(log, &group, NULL, NULL, &member, &w->error));
    leat_log_close(log);
}

static void a_read_only_handle_follows_the_writer(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "1");
    leat_log *log = open_again(w, &(leat_log_opts){.read_only = true});
    assert_string_equal(contents_of(log, "a", 0), "k=1");
    world follower = {.log = log};
    leat_log_reader *reader = reader_at(&follower, "a", 0, 0);
    assert_string_equal(next(&follower, reader, 1), "k=1");
    put(w, "a", 0, "k", "2");
    assert_string_equal(next(&follower, reader, 1), "k=2");
    topic(w, "b", 2);
    put(w, "b", 1, "k", "3");
    await(leat_topic_describe(log, "b", NULL, NULL) == LEAT_OK);
    await(strcmp(contents_of(log, "b", 1), "k=3") == 0);
    leat_log_reader_free(reader);
    leat_log_close(log);
}

static void a_read_only_handle_sees_whole_transactions(world *w)
{
    enum { COMMITS = 100 };
    int64_t generation;
    topic(w, "a", 2);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    leat_log *log = open_again(w, &(leat_log_opts){.read_only = true});
    for (int i = 0; i < COMMITS; i++) {
        leat_log_txn *txn = begin(w, member, generation);
        add(w, txn, "a", 0, "k", "1");
        add(w, txn, "a", 1, "k", "1");
        must(w, leat_log_txn_commit(txn, &w->error));
        world follower = {.log = log};
        int64_t first = end_of(&follower, "a", 0), second = end_of(&follower, "a", 1);
        assert_true(first <= second); /* the second was asked for later */
    }
    await(strlen(contents_of(log, "a", 0)) == 4 * COMMITS - 1);
    leat_log_leave(member);
    leat_log_close(log);
}

static bool note_offset(void *arg, const leat_log_offset *found)
{
    *(int64_t *)arg = found->offset;
    return true;
}

static void a_read_only_handle_shows_committed_offsets(world *w)
{
    int64_t generation;
    topic(w, "a", 1);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    leat_log_txn *txn = begin(w, member, generation);
    offset(w, txn, "a", 0, 5);
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log *log = open_again(w, &(leat_log_opts){.read_only = true});
    int64_t found = -1;
    must(w, leat_log_group_offsets(log, "g", note_offset, &found, &w->error));
    assert_int_equal(found, 5);
    leat_log_leave(member);
    leat_log_close(log);
}

const log_case log_durability_cases[] = {
    CASE(topics_survive),
    CASE(appended_records_survive),
    CASE(offsets_go_on_after_a_restart),
    CASE(committed_transactions_survive_and_open_ones_do_not),
    CASE(a_deleted_topic_stays_deleted),
    TIMED_CASE(what_was_compacted_away_stays_away),
    CASE(a_large_transaction_survives),
    CASE(a_read_only_handle_refuses_every_write),
    CASE(a_read_only_handle_follows_the_writer),
    CASE(a_read_only_handle_sees_whole_transactions),
    CASE(a_read_only_handle_shows_committed_offsets),
    {0},
};
