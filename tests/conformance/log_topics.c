/* Topics: names, options, listing, deleting.
 *
 *   create ─► describe, each ─► delete ─► create again: another topic
 */
#include "conformance/log_suite.h"
#include <string.h>

static void a_topic_is_described_as_it_was_created(world *w)
{
    leat_topic_opts opts;
    topic_with(
        w, "clicks",
        (leat_topic_opts){.partition_count = 4, .retention_ms = 60000, .retention_bytes = 1 << 20});
    topic_with(w, "users", (leat_topic_opts){.partition_count = 1, .compacted = true});
    must(w, leat_topic_describe(w->log, "clicks", &opts, &w->error));
    assert_int_equal(opts.partition_count, 4);
    assert_false(opts.compacted);
    assert_int_equal(opts.retention_ms, 60000);
    assert_int_equal(opts.retention_bytes, 1 << 20);
    must(w, leat_topic_describe(w->log, "users", &opts, &w->error));
    assert_true(opts.compacted);
}

static void a_topic_has_one_partition_unless_told_otherwise(world *w)
{
    leat_topic_opts opts;
    must(w, leat_topic_create(w->log, "a", NULL, &w->error));
    must(w, leat_topic_create(w->log, "b", &(leat_topic_opts){.partition_count = 0}, &w->error));
    must(w, leat_topic_describe(w->log, "a", &opts, &w->error));
    assert_int_equal(opts.partition_count, 1);
    must(w, leat_topic_describe(w->log, "b", &opts, &w->error));
    assert_int_equal(opts.partition_count, 1);
}

static void an_existing_topic_is_not_created_again(world *w)
{
    topic(w, "clicks", 2);
    put(w, "clicks", 0, "a", "1");
    refused(w, LEAT_EEXISTS, leat_topic_create(w->log, "clicks", NULL, &w->error));
    assert_string_equal(contents(w, "clicks", 0), "a=1");
}

static void names_may_have_letters_digits_dots_underscores_and_dashes(world *w)
{
    char longest[250] = "";
    memset(longest, 'x', w->driver->longest_name == 0 ? 249 : w->driver->longest_name);
    const char *names[] = {"a", "A-z_0.9", "...", "_", "-", longest};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        topic(w, names[i], 1);
    put(w, longest, 0, "a", "1");
    assert_string_equal(contents(w, longest, 0), "a=1");
}

static void other_names_are_refused(world *w)
{
    char too_long[251];
    memset(too_long, 'x', 250);
    too_long[250] = '\0';
    const char *names[] = {"", ".", "..", "a/b", "a b", "a\n", "\xc3\xa4", "a:b", too_long};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        refused(w, LEAT_EINVAL, leat_topic_create(w->log, names[i], NULL, &w->error));
}

static void more_than_1024_partitions_are_refused(world *w)
{
    leat_topic_opts opts = {.partition_count = 1025};
    refused(w, LEAT_EINVAL, leat_topic_create(w->log, "a", &opts, &w->error));
}

static void impossible_retention_is_refused(world *w)
{
    leat_topic_opts opts[] = {
        {.retention_ms = -1}, {.retention_bytes = -1}, {.compacted = true, .retention_bytes = 100}};
    for (size_t i = 0; i < 3; i++)
        refused(w, LEAT_EINVAL, leat_topic_create(w->log, "a", &opts[i], &w->error));
}

static void an_unknown_topic_is_named_with_its_near_misses(world *w)
{
    topic(w, "clicks", 1);
    topic(w, "users", 1);
    refused(w, LEAT_ENOTFOUND, leat_topic_describe(w->log, "click", NULL, &w->error));
    assert_non_null(strstr(w->error.message, "'click'"));
    assert_non_null(strstr(w->error.message, "'clicks'"));
    assert_null(strstr(w->error.message, "users"));
}

typedef struct listing {
    char names[200];
    int left; /* how many more are wanted */
} listing;

static bool list_topic(void *arg, const char *name, const leat_topic_opts *opts)
{
    listing *list = arg;
    assert_true(opts->partition_count > 0);
    strcat(strcat(list->names, name), " ");
    return --list->left != 0;
}

static void topics_are_listed_by_name(world *w)
{
    topic(w, "users", 1);
    topic(w, "clicks", 2);
    topic(w, "views", 3);
    listing list = {.left = -1};
    must(w, leat_topic_each(w->log, list_topic, &list, &w->error));
    assert_string_equal(list.names, "clicks users views ");
}

static void listing_stops_when_told(world *w)
{
    topic(w, "a", 1);
    topic(w, "b", 1);
    topic(w, "c", 1);
    listing list = {.left = 2};
    must(w, leat_topic_each(w->log, list_topic, &list, &w->error));
    assert_string_equal(list.names, "a b ");
}

static void a_deleted_topic_is_gone(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "1");
    must(w, leat_topic_delete(w->log, "a", &w->error));
    refused(w, LEAT_ENOTFOUND, leat_topic_describe(w->log, "a", NULL, &w->error));
    refused(w, LEAT_ENOTFOUND, leat_log_bounds(w->log, "a", 0, NULL, NULL, &w->error));
    leat_log_record one = record("a", 0, "k", "2");
    refused(w, LEAT_ENOTFOUND, leat_log_append(w->log, &one, 1, &w->error));
}

static void deleting_an_unknown_topic_is_refused(world *w)
{
    refused(w, LEAT_ENOTFOUND, leat_topic_delete(w->log, "a", &w->error));
}

static void a_topic_created_again_is_another_one(world *w)
{
    topic(w, "a", 3);
    put(w, "a", 0, "k", "old");
    must(w, leat_topic_delete(w->log, "a", &w->error));
    topic(w, "a", 1);
    assert_string_equal(contents(w, "a", 0), "");
    assert_int_equal(put(w, "a", 0, "k", "new"), 0);
    assert_string_equal(contents(w, "a", 0), "k=new");
    refused(w, LEAT_EINVAL, leat_log_bounds(w->log, "a", 1, NULL, NULL, &w->error));
}

static uint64_t id_of(world *w, const char *name)
{
    leat_topic_opts opts;
    must(w, leat_topic_describe(w->log, name, &opts, &w->error));
    assert_true(opts.id != 0);
    return opts.id;
}

static bool same_id(void *arg, const char *name, const leat_topic_opts *opts)
{
    if (strcmp(name, "a") == 0)
        assert_true(opts->id == *(const uint64_t *)arg);
    return true;
}

static void a_topic_keeps_its_id_and_one_made_again_has_another(world *w)
{
    topic(w, "a", 1);
    topic(w, "b", 1);
    uint64_t former = id_of(w, "a");
    assert_true(former != id_of(w, "b"));
    reopen(w);
    assert_true(id_of(w, "a") == former);
    must(w, leat_topic_each(w->log, same_id, &former, &w->error));
    must(w, leat_topic_delete(w->log, "a", &w->error));
    topic(w, "a", 1);
    assert_true(id_of(w, "a") != former);
}

static void committed_offsets_go_with_their_topic(world *w)
{
    int64_t generation;
    topic(w, "a", 1);
    leat_log_member *member = member_of(w, "g", "i", "a", &generation);
    leat_log_txn *txn = begin(w, member, generation);
    offset(w, txn, "a", 0, 5);
    must(w, leat_log_txn_commit(txn, &w->error));
    leat_log_leave(member);
    must(w, leat_topic_delete(w->log, "a", &w->error));
    topic(w, "a", 1);
    member = member_of(w, "g", "i", "a", &generation);
    assert_int_equal(committed(w, member, "a", 0), -1);
    leat_log_leave(member);
}

static void a_new_partition_is_empty(world *w)
{
    topic(w, "a", 2);
    assert_int_equal(begin_of(w, "a", 1), 0);
    assert_int_equal(end_of(w, "a", 1), 0);
    assert_string_equal(contents(w, "a", 1), "");
}

static void a_partition_that_is_not_there_is_refused(world *w)
{
    topic(w, "a", 2);
    leat_log_record one = record("a", 2, "k", "1");
    refused(w, LEAT_EINVAL, leat_log_append(w->log, &one, 1, &w->error));
    refused(w, LEAT_EINVAL, leat_log_bounds(w->log, "a", 2, NULL, NULL, &w->error));
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    refused(w, LEAT_EINVAL, leat_log_reader_seek(reader, "a", 2, 0, &w->error));
    leat_log_reader_free(reader);
}

const log_case log_topic_cases[] = {
    CASE(a_topic_is_described_as_it_was_created),
    CASE(a_topic_has_one_partition_unless_told_otherwise),
    CASE(an_existing_topic_is_not_created_again),
    CASE(names_may_have_letters_digits_dots_underscores_and_dashes),
    CASE(other_names_are_refused),
    CASE(more_than_1024_partitions_are_refused),
    CASE(impossible_retention_is_refused),
    CASE(an_unknown_topic_is_named_with_its_near_misses),
    CASE(topics_are_listed_by_name),
    CASE(listing_stops_when_told),
    CASE(a_deleted_topic_is_gone),
    CASE(deleting_an_unknown_topic_is_refused),
    CASE(a_topic_created_again_is_another_one),
    CASE(a_topic_keeps_its_id_and_one_made_again_has_another),
    CASE(committed_offsets_go_with_their_topic),
    CASE(a_new_partition_is_empty),
    CASE(a_partition_that_is_not_there_is_refused),
    {0},
};
