/* Records: where they go and what comes back.
 *
 *   key ─murmur2─► partition     key, value: absent, empty, any bytes, up to 1 MiB together
 */
#include "conformance/log_suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append_tells_where_the_record_went(world *w)
{
    topic(w, "a", 4);
    leat_log_record one = record("a", 3, "k", "1");
    one.offset = 99;
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    assert_int_equal(one.partition, 3);
    assert_int_equal(one.offset, 0);
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    assert_int_equal(one.offset, 1);
    assert_int_equal(end_of(w, "a", 3), 2);
    assert_int_equal(end_of(w, "a", 0), 0);
}

static void records_are_read_in_the_order_they_were_appended(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "x", "1");
    leat_log_record two[] = {record("a", 0, "y", "2"), record("a", 0, "x", "3")};
    must(w, leat_log_append(w->log, two, 2, &w->error));
    put(w, "a", 0, "z", "4");
    assert_string_equal(contents(w, "a", 0), "x=1 y=2 x=3 z=4");
}

static void ten_thousand_records_of_one_append_keep_their_order(world *w)
{
    enum { COUNT = 10000 };
    topic(w, "a", 1);
    static leat_log_record records[COUNT];
    static char values[COUNT][24];
    for (int i = 0; i < COUNT; i++) {
        snprintf(values[i], sizeof values[i], "value-%d", i);
        records[i] = record("a", 0, "k", values[i]);
    }
    must(w, leat_log_append(w->log, records, COUNT, &w->error));
    leat_log_reader *reader = reader_at(w, "a", 0, LEAT_OFFSET_BEGIN);
    for (int seen = 0; seen < COUNT;) {
        leat_log_record polled[100];
        size_t count = poll_once(w, reader, polled, 100);
        for (size_t i = 0; i < count; i++, seen++) {
            assert_int_equal(polled[i].offset, records[seen].offset);
            assert_true(leat_str_equal(polled[i].value, records[seen].value));
        }
    }
    leat_log_reader_free(reader);
}

/* Keys and their murmur2, from the tests of Kafka's own partitioner. */
static const struct {
    const char *key;
    int32_t murmur2;
} kafka_keys[] = {
    {"21", -973932308},
    {"foobar", -790332482},
    {"a-little-bit-long-string", -985981536},
    {"a-little-bit-longer-string", -1486304829},
    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
    {"abc", 479470107},
};

static void a_key_goes_where_kafka_would_put_it(world *w)
{
    topic(w, "a", 7);
    for (size_t i = 0; i < sizeof kafka_keys / sizeof *kafka_keys; i++) {
        leat_log_record one = record("a", LEAT_PARTITION_BY_KEY, kafka_keys[i].key, "1");
        must(w, leat_log_append(w->log, &one, 1, &w->error));
        assert_int_equal(one.partition, (kafka_keys[i].murmur2 & 0x7fffffff) % 7);
        assert_int_equal(one.partition, leat_partition_of(one.key, 7));
    }
}

static void an_explicit_partition_wins_over_the_key(world *w)
{
    topic(w, "a", 7);
    for (uint32_t p = 0; p < 7; p++) {
        put(w, "a", p, "foobar", "1");
        assert_string_equal(contents(w, "a", p), "foobar=1");
    }
}

static void records_without_a_key_are_spread(world *w)
{
    topic(w, "a", 3);
    for (int i = 0; i < 30; i++)
        put(w, "a", LEAT_PARTITION_BY_KEY, "~", "1");
    for (uint32_t p = 0; p < 3; p++)
        assert_int_equal(end_of(w, "a", p), 10);
}

static void an_empty_key_is_a_key(world *w)
{
    topic(w, "a", 3);
    leat_log_record one = record("a", LEAT_PARTITION_BY_KEY, "''", "1"), first = one;
    must(w, leat_log_append(w->log, &first, 1, &w->error));
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    assert_int_equal(one.partition, first.partition);
    put(w, "a", one.partition, "~", "2");
    assert_string_equal(contents(w, "a", one.partition), "''=1 ''=1 ~=2");
}

static void an_empty_value_is_not_a_tombstone(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "''");
    put(w, "a", 0, "k", "-");
    put(w, "a", 0, "~", "-");
    assert_string_equal(contents(w, "a", 0), "k='' k=- ~=-");
}

static void every_byte_survives(world *w)
{
    topic(w, "a", 1);
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    leat_log_record one = {.topic = "a", .key = {all, 256}, .value = {all, 256}};
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    leat_log_record polled;
    await(poll_once(w, reader, &polled, 1) == 1);
    assert_true(leat_str_equal(polled.key, one.key));
    assert_true(leat_str_equal(polled.value, one.value));
    leat_log_reader_free(reader);
}

static void timestamps_survive_in_any_order(world *w)
{
    static const int64_t times_ms[] = {1795249016914, 0, INT64_C(1) << 52, 5, 4};
    topic(w, "a", 1);
    leat_log_record records[5];
    for (int i = 0; i < 5; i++) {
        records[i] = record("a", 0, "k", "1");
        records[i].timestamp_ms = times_ms[i];
    }
    must(w, leat_log_append(w->log, records, 5, &w->error));
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    for (int i = 0; i < 5; i++) {
        leat_log_record polled;
        await(poll_once(w, reader, &polled, 1) == 1);
        assert_int_equal(polled.timestamp_ms, times_ms[i]);
        assert_string_equal(polled.topic, "a");
        assert_int_equal(polled.offset, i);
    }
    leat_log_reader_free(reader);
}

static void a_record_of_one_mebibyte_fits(world *w)
{
    topic(w, "a", 1);
    size_t size = 1 << 20;
    char *big = malloc(size);
    memset(big, 'x', size);
    leat_log_record one = {.topic = "a", .key = {big, 1000}, .value = {big, size - 1000}};
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    put(w, "a", 0, "k", "after");
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    leat_log_record polled;
    await(poll_once(w, reader, &polled, 1) == 1);
    assert_true(leat_str_equal(polled.value, one.value));
    assert_string_equal(next(w, reader, 1), "k=after");
    leat_log_reader_free(reader);
    free(big);
}

static void a_larger_record_is_refused_and_nothing_is_written(world *w)
{
    topic(w, "a", 1);
    size_t size = (1 << 20) + 1;
    char *big = calloc(1, size);
    leat_log_record records[] = {record("a", 0, "k", "1"),
                                 {.topic = "a", .key = {big, 1}, .value = {big, size - 1}}};
    refused(w, LEAT_ETOOBIG, leat_log_append(w->log, records, 2, &w->error));
    assert_int_equal(end_of(w, "a", 0), 0);
    free(big);
}

static void one_bad_record_keeps_the_whole_append_out(world *w)
{
    topic(w, "a", 1);
    leat_log_record records[] = {record("a", LEAT_PARTITION_BY_KEY, "k", "1"),
                                 record("nowhere", 0, "k", "2")};
    refused(w, LEAT_ENOTFOUND, leat_log_append(w->log, records, 2, &w->error));
    assert_int_equal(end_of(w, "a", 0), 0);
    assert_true(records[0].partition == LEAT_PARTITION_BY_KEY);
}

static void one_append_may_go_to_several_topics(world *w)
{
    topic(w, "a", 2);
    topic(w, "b", 1);
    leat_log_record records[] = {record("a", 0, "k", "1"), record("b", 0, "k", "2"),
                                 record("a", 1, "k", "3"), record("b", 0, "k", "4"),
                                 record("a", 0, "k", "5")};
    must(w, leat_log_append(w->log, records, 5, &w->error));
    assert_string_equal(contents(w, "a", 0), "k=1 k=5");
    assert_string_equal(contents(w, "a", 1), "k=3");
    assert_string_equal(contents(w, "b", 0), "k=2 k=4");
    assert_int_equal(records[3].offset, 1);
    assert_int_equal(records[4].offset, 1);
}

static void appending_nothing_is_fine(world *w)
{
    must(w, leat_log_append(w->log, NULL, 0, &w->error));
}

static void a_compacted_topic_refuses_records_without_a_key(world *w)
{
    topic_with(w, "a", (leat_topic_opts){.compacted = true});
    leat_log_record one = record("a", 0, "~", "1");
    refused(w, LEAT_EINVAL, leat_log_append(w->log, &one, 1, &w->error));
    put(w, "a", 0, "''", "1");
    assert_string_equal(contents(w, "a", 0), "''=1");
}

const log_case log_record_cases[] = {
    CASE(append_tells_where_the_record_went),
    CASE(records_are_read_in_the_order_they_were_appended),
    CASE(ten_thousand_records_of_one_append_keep_their_order),
    CASE(a_key_goes_where_kafka_would_put_it),
    CASE(an_explicit_partition_wins_over_the_key),
    CASE(records_without_a_key_are_spread),
    CASE(an_empty_key_is_a_key),
    CASE(an_empty_value_is_not_a_tombstone),
    CASE(every_byte_survives),
    CASE(timestamps_survive_in_any_order),
    CASE(a_record_of_one_mebibyte_fits),
    CASE(a_larger_record_is_refused_and_nothing_is_written),
    CASE(one_bad_record_keeps_the_whole_append_out),
    CASE(one_append_may_go_to_several_topics),
    CASE(appending_nothing_is_fine),
    CASE(a_compacted_topic_refuses_records_without_a_key),
    {0},
};
