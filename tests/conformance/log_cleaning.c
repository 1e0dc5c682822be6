/* Cleaning: compaction, retention, and what a caller trims.
 *
 *   a=1 b=2 a=3 c=4 b=5   ─compaction─►   a=3 c=4 b=5      offsets 2 3 4, the end stays
 *   1 2 3 4 5             ─retention──►   4 5              begin moves
 */
#include "conformance/log_suite.h"
#include <stdio.h>
#include <string.h>

static void compacted(world *w)
{
    topic_with(w, "users", (leat_topic_opts){.compacted = true});
}

static void clean(world *w)
{
    must(w, leat_log_clean(w->log, &w->error));
}

static void compaction_keeps_the_latest_record_of_each_key(world *w)
{
    compacted(w);
    put(w, "users", 0, "anna", "1");
    put(w, "users", 0, "bert", "2");
    put(w, "users", 0, "anna", "3");
    put(w, "users", 0, "cleo", "4");
    put(w, "users", 0, "bert", "5");
    clean(w);
    assert_string_equal(contents(w, "users", 0), "anna=3 cleo=4 bert=5");
}

static void compaction_works_within_one_append(world *w)
{
    compacted(w);
    leat_log_record records[] = {record("users", 0, "a", "1"), record("users", 0, "b", "2"),
                                 record("users", 0, "a", "3")};
    must(w, leat_log_append(w->log, records, 3, &w->error));
    clean(w);
    assert_string_equal(contents(w, "users", 0), "b=2 a=3");
}

static void compaction_moves_no_offset(world *w)
{
    compacted(w);
    put(w, "users", 0, "anna", "1");
    put(w, "users", 0, "bert", "2");
    int64_t last = put(w, "users", 0, "anna", "3");
    clean(w);
    leat_log_reader *reader = reader_at(w, "users", 0, LEAT_OFFSET_BEGIN);
    leat_log_record two[2];
    size_t count = 0;
    await((count += poll_once(w, reader, two + count, 2 - count)) == 2);
    assert_int_equal(two[0].offset, 1);
    assert_int_equal(two[1].offset, last);
    assert_int_equal(position(w, reader, "users", 0), last + 1);
    leat_log_reader_free(reader);
}

static void seeking_into_a_gap_gives_the_next_record(world *w)
{
    compacted(w);
    for (int i = 0; i < 10; i++)
        put(w, "users", 0, "anna", "old");
    put(w, "users", 0, "bert", "1");
    put(w, "users", 0, "anna", "new");
    clean(w);
    leat_log_reader *reader = reader_at(w, "users", 0, 4);
    assert_string_equal(next(w, reader, 2), "bert=1 anna=new");
    leat_log_reader_free(reader);
}

static void a_reader_on_its_way_goes_on_after_compaction(world *w)
{
    compacted(w);
    put(w, "users", 0, "anna", "1");
    put(w, "users", 0, "bert", "2");
    put(w, "users", 0, "anna", "3");
    leat_log_reader *reader = reader_at(w, "users", 0, 0);
    leat_log_record one;
    await(poll_once(w, reader, &one, 1) == 1);
    clean(w);
    put(w, "users", 0, "cleo", "4");
    assert_string_equal(next(w, reader, 3), "bert=2 anna=3 cleo=4");
    leat_log_reader_free(reader);
}

static void compaction_can_be_repeated(world *w)
{
    compacted(w);
    for (int round = 0; round < 5; round++) {
        char value[2] = {(char)('0' + round), '\0'};
        put(w, "users", 0, "anna", value);
        put(w, "users", 0, "bert", value);
        clean(w);
        clean(w);
    }
    put(w, "users", 0, "cleo", "9");
    assert_string_equal(contents(w, "users", 0), "anna=4 bert=4 cleo=9");
    assert_int_equal(end_of(w, "users", 0), 11);
}

static void compaction_of_many_keys_loses_none(world *w)
{
    enum { KEYS = 3000, ROUNDS = 4 };
    compacted(w);
    static char keys[KEYS][16];
    static leat_log_record records[KEYS];
    for (int round = 0; round < ROUNDS; round++) {
        char value[2] = {(char)('0' + round), '\0'};
        for (int i = 0; i < KEYS; i++) {
            snprintf(keys[i], sizeof keys[i], "user-%d", i);
            records[i] = record("users", 0, keys[i], value);
        }
        /* the last round changes every third key */
        for (int i = 0; round == ROUNDS - 1 && i < KEYS / 3; i++)
            records[i] = record("users", 0, keys[3 * i], value);
        must(w, leat_log_append(w->log, records, round == ROUNDS - 1 ? KEYS / 3 : KEYS, &w->error));
        if (round % 2 == 1)
            clean(w);
    }
    leat_log_reader *reader = reader_at(w, "users", 0, LEAT_OFFSET_BEGIN);
    int seen = 0;
    int64_t end = end_of(w, "users", 0);
    while (position(w, reader, "users", 0) < end) {
        leat_log_record polled[100];
        size_t count = poll_once(w, reader, polled, 100);
        for (size_t i = 0; i < count; i++, seen++) {
            int number = 0;
            for (size_t c = 5; c < polled[i].key.length; c++)
                number = number * 10 + polled[i].key.data[c] - '0';
            assert_int_equal(polled[i].value.data[0], number % 3 == 0 ? '3' : '2');
        }
    }
    assert_int_equal(seen, KEYS);
    leat_log_reader_free(reader);
}

static void other_topics_are_not_compacted(world *w)
{
    topic(w, "events", 1);
    put(w, "events", 0, "anna", "1");
    put(w, "events", 0, "anna", "2");
    clean(w);
    assert_string_equal(contents(w, "events", 0), "anna=1 anna=2");
}

static void records_of_a_transaction_are_compacted_too(world *w)
{
    int64_t generation;
    compacted(w);
    leat_log_member *member = member_of(w, "g", "i", "", &generation);
    for (int i = 0; i < 3; i++) {
        leat_log_txn *txn = begin(w, member, generation);
        add(w, txn, "users", 0, "anna", (const char *[]){"1", "2", "3"}[i]);
        must(w, leat_log_txn_commit(txn, &w->error));
    }
    clean(w);
    assert_string_equal(contents(w, "users", 0), "anna=3");
    leat_log_leave(member);
}

static void a_tombstone_removes_the_key_and_stays_a_day(world *w)
{
    compacted(w);
    put(w, "users", 0, "anna", "1");
    put(w, "users", 0, "bert", "2");
    put(w, "users", 0, "anna", "-");
    clean(w);
    assert_string_equal(contents(w, "users", 0), "bert=2 anna=-");
    w->driver->advance(w->place, LEAT_HOURS(23));
    put(w, "users", 0, "cleo", "3");
    clean(w);
    assert_string_equal(contents(w, "users", 0), "bert=2 anna=- cleo=3");
    w->driver->advance(w->place, LEAT_HOURS(1));
    clean(w);
    assert_string_equal(contents(w, "users", 0), "bert=2 cleo=3");
}

static void the_end_stays_when_everything_was_cleaned_away(world *w)
{
    compacted(w);
    put(w, "users", 0, "anna", "1");
    put(w, "users", 0, "anna", "-");
    clean(w);
    w->driver->advance(w->place, LEAT_HOURS(25));
    clean(w);
    assert_string_equal(contents(w, "users", 0), "");
    assert_int_equal(end_of(w, "users", 0), 2);
    reopen(w);
    assert_int_equal(end_of(w, "users", 0), 2);
    assert_int_equal(put(w, "users", 0, "bert", "2"), 2);
    assert_string_equal(contents(w, "users", 0), "bert=2");
}

/* ---------------------------------------------------------------- retention */

static int64_t put_at(world *w, int64_t timestamp_ms, const char *value)
{
    leat_log_record one = record("events", 0, "k", value);
    one.timestamp_ms = timestamp_ms;
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    return one.offset;
}

/* The log's clock stands at 1,000,000 s in a fresh world (see test_log.c). */
#define NOW_MS LEAT_SECONDS(1000000)

static void old_records_go_and_begin_moves(world *w)
{
    topic_with(w, "events", (leat_topic_opts){.retention_ms = LEAT_HOURS(1)});
    put_at(w, NOW_MS - LEAT_HOURS(3), "1");
    put_at(w, NOW_MS - LEAT_HOURS(2), "2");
    int64_t kept = put_at(w, NOW_MS - LEAT_MINUTES(30), "3");
    put_at(w, NOW_MS, "4");
    clean(w);
    assert_int_equal(begin_of(w, "events", 0), kept);
    assert_string_equal(contents(w, "events", 0), "k=3 k=4");
    w->driver->advance(w->place, LEAT_MINUTES(45));
    clean(w);
    assert_string_equal(contents(w, "events", 0), "k=4");
    w->driver->advance(w->place, LEAT_HOURS(2));
    clean(w);
    assert_string_equal(contents(w, "events", 0), "");
    assert_int_equal(begin_of(w, "events", 0), 4);
    assert_int_equal(end_of(w, "events", 0), 4);
    reopen(w);
    assert_int_equal(begin_of(w, "events", 0), 4);
    assert_int_equal(put_at(w, NOW_MS, "5"), 4);
}

static void only_the_oldest_go(world *w)
{
    topic_with(w, "events", (leat_topic_opts){.retention_ms = LEAT_HOURS(1)});
    put_at(w, NOW_MS, "1");
    put_at(w, NOW_MS - LEAT_HOURS(3), "2"); /* late, but behind one that stays */
    clean(w);
    assert_string_equal(contents(w, "events", 0), "k=1 k=2");
}

static void a_reader_below_the_beginning_jumps_there(world *w)
{
    topic_with(w, "events", (leat_topic_opts){.retention_ms = LEAT_HOURS(1)});
    put_at(w, NOW_MS - LEAT_HOURS(3), "1");
    put_at(w, NOW_MS - LEAT_HOURS(3), "2");
    put_at(w, NOW_MS - LEAT_HOURS(3), "3");
    put_at(w, NOW_MS, "4");
    leat_log_reader *reader = reader_at(w, "events", 0, 0), *early;
    leat_log_record one;
    await(poll_once(w, reader, &one, 1) == 1);
    clean(w);
    assert_string_equal(next(w, reader, 1), "k=4");
    early = reader_at(w, "events", 0, 1);
    assert_string_equal(next(w, early, 1), "k=4");
    leat_log_reader_free(reader);
    leat_log_reader_free(early);
}

static void too_many_bytes_go_from_the_front(world *w)
{
    topic_with(w, "events", (leat_topic_opts){.retention_bytes = 5000});
    static char value[1001];
    memset(value, 'x', 1000);
    for (int i = 0; i < 20; i++)
        put(w, "events", 0, "k", value);
    clean(w);
    int64_t begin = begin_of(w, "events", 0);
    assert_true(begin >= 15 && begin <= 17);
    assert_int_equal(end_of(w, "events", 0), 20);
    reopen(w);
    assert_int_equal(begin_of(w, "events", 0), begin);
    put(w, "events", 0, "k", value);
    put(w, "events", 0, "k", value);
    clean(w);
    assert_int_equal(begin_of(w, "events", 0), begin + 2);
}

static void the_newest_record_stays_however_large(world *w)
{
    topic_with(w, "events", (leat_topic_opts){.retention_bytes = 10});
    put(w, "events", 0, "k", "small");
    put(w, "events", 0, "k", "much-larger-than-ten-bytes");
    clean(w);
    assert_string_equal(contents(w, "events", 0), "k=much-larger-than-ten-bytes");
}

static void without_retention_everything_stays(world *w)
{
    topic(w, "events", 1);
    put_at(w, 1, "1");
    put_at(w, 2, "2");
    clean(w);
    assert_string_equal(contents(w, "events", 0), "k=1 k=2");
}

/* ---------------------------------------------------------------- trimming */

static leat_status trim(world *w, const char *name, uint32_t partition, int64_t before)
{
    const leat_log_offset offset = {.topic = name, .partition = partition, .offset = before};
    return leat_log_trim(w->log, &offset, 1, &w->error);
}

static void put_many(world *w, const char *name, int count)
{
    for (int i = 0; i < count; i++) {
        char value[2] = {(char)('1' + i), '\0'};
        put(w, name, 0, "k", value);
    }
}

static void records_below_an_offset_are_trimmed(world *w)
{
    topic(w, "events", 1);
    put_many(w, "events", 5);
    must(w, trim(w, "events", 0, 3));
    assert_int_equal(begin_of(w, "events", 0), 3);
    assert_int_equal(end_of(w, "events", 0), 5);
    assert_string_equal(contents(w, "events", 0), "k=4 k=5");
    must(w, trim(w, "events", 0, 1)); /* gone already */
    must(w, trim(w, "events", 0, 3));
    assert_int_equal(begin_of(w, "events", 0), 3);
    reopen(w);
    assert_int_equal(begin_of(w, "events", 0), 3);
    assert_string_equal(contents(w, "events", 0), "k=4 k=5");
}

static void what_is_trimmed_to_its_end_goes_on_there(world *w)
{
    topic(w, "events", 1);
    put_many(w, "events", 3);
    must(w, trim(w, "events", 0, 3));
    assert_string_equal(contents(w, "events", 0), "");
    assert_int_equal(begin_of(w, "events", 0), 3);
    reopen(w);
    assert_int_equal(put(w, "events", 0, "k", "4"), 3);
    assert_string_equal(contents(w, "events", 0), "k=4");
}

static void readers_below_what_is_trimmed_go_on_behind_it(world *w)
{
    topic(w, "events", 1);
    put_many(w, "events", 4);
    leat_log_reader *early = reader_at(w, "events", 0, 0), *late = reader_at(w, "events", 0, 3);
    must(w, trim(w, "events", 0, 3));
    leat_log_reader *new = reader_at(w, "events", 0, 1);
    assert_string_equal(next(w, new, 1), "k=4");
    assert_string_equal(next(w, late, 1), "k=4");
    leat_log_record records[4]; /* it may have fetched some before */
    size_t count = 0;
    await((count += poll_once(w, early, records + count, 4 - count)) > 0 &&
          records[count - 1].offset == 3);
    leat_log_reader_free(early);
    leat_log_reader_free(late);
    leat_log_reader_free(new);
}

/* A batch that lies on both sides of the offset may stay as a whole. */
static void no_record_at_or_behind_the_offset_is_trimmed(world *w)
{
    topic(w, "events", 1);
    leat_log_record records[] = {record("events", 0, "k", "1"), record("events", 0, "k", "2"),
                                 record("events", 0, "k", "3")};
    must(w, leat_log_append(w->log, records, 3, &w->error));
    must(w, trim(w, "events", 0, 2));
    assert_true(begin_of(w, "events", 0) <= 2);
    leat_log_reader *reader = reader_at(w, "events", 0, 2);
    assert_string_equal(next(w, reader, 1), "k=3");
    leat_log_reader_free(reader);
}

static void committed_offsets_outlive_what_they_have_passed(world *w)
{
    int64_t generation;
    topic(w, "events", 1);
    put_many(w, "events", 3);
    leat_log_member *member = member_of(w, "g", "i", "events", &generation);
    leat_log_txn *txn = begin(w, member, generation);
    offset(w, txn, "events", 0, 2);
    must(w, leat_log_txn_commit(txn, &w->error));
    must(w, trim(w, "events", 0, 2));
    assert_int_equal(committed(w, member, "events", 0), 2);
    assert_string_equal(contents(w, "events", 0), "k=3");
    leat_log_leave(member);
}

static void several_partitions_are_trimmed_at_once(world *w)
{
    topic(w, "events", 3);
    for (uint32_t p = 0; p < 3; p++)
        for (int i = 0; i < 3; i++)
            put(w, "events", p, "k", "v");
    const leat_log_offset offsets[] = {{.topic = "events", .partition = 0, .offset = 1},
                                       {.topic = "events", .partition = 2, .offset = 3}};
    must(w, leat_log_trim(w->log, offsets, 2, &w->error));
    assert_int_equal(begin_of(w, "events", 0), 1);
    assert_int_equal(begin_of(w, "events", 1), 0);
    assert_int_equal(begin_of(w, "events", 2), 3);
    must(w, leat_log_trim(w->log, NULL, 0, &w->error));
}

static void what_may_not_be_trimmed_is_refused(world *w)
{
    topic(w, "events", 1);
    compacted(w);
    put_many(w, "events", 3);
    put(w, "users", 0, "anna", "1");
    refused(w, LEAT_EINVAL, trim(w, "events", 0, 4)); /* past the end */
    refused(w, LEAT_EINVAL, trim(w, "events", 0, -1));
    refused(w, LEAT_EINVAL, trim(w, "events", 1, 0));
    refused(w, LEAT_EINVAL, trim(w, "users", 0, 1));
    refused(w, LEAT_ENOTFOUND, trim(w, "nothing", 0, 1));
    assert_string_equal(contents(w, "events", 0), "k=1 k=2 k=3");
}

const log_case log_cleaning_cases[] = {
    TIMED_CASE(compaction_keeps_the_latest_record_of_each_key),
    TIMED_CASE(compaction_works_within_one_append),
    TIMED_CASE(compaction_moves_no_offset),
    TIMED_CASE(seeking_into_a_gap_gives_the_next_record),
    CASE(a_reader_on_its_way_goes_on_after_compaction),
    TIMED_CASE(compaction_can_be_repeated),
    TIMED_CASE(compaction_of_many_keys_loses_none),
    CASE(other_topics_are_not_compacted),
    TIMED_CASE(records_of_a_transaction_are_compacted_too),
    TIMED_CASE(a_tombstone_removes_the_key_and_stays_a_day),
    TIMED_CASE(the_end_stays_when_everything_was_cleaned_away),
    TIMED_CASE(old_records_go_and_begin_moves),
    TIMED_CASE(only_the_oldest_go),
    TIMED_CASE(a_reader_below_the_beginning_jumps_there),
    TIMED_CASE(too_many_bytes_go_from_the_front),
    TIMED_CASE(the_newest_record_stays_however_large),
    CASE(without_retention_everything_stays),
    CASE(records_below_an_offset_are_trimmed),
    CASE(what_is_trimmed_to_its_end_goes_on_there),
    CASE(readers_below_what_is_trimmed_go_on_behind_it),
    CASE(no_record_at_or_behind_the_offset_is_trimmed),
    CASE(committed_offsets_outlive_what_they_have_passed),
    CASE(several_partitions_are_trimmed_at_once),
    CASE(what_may_not_be_trimmed_is_refused),
    {0},
};
