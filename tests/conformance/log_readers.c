/* Readers: positions, fairness, what is lent, wake-ups, many threads.
 *
 *   [0][1][2][3]    seek ─► position ─► poll ─► records ─► position moves
 *         ▲                              └── nothing ─► one wake when there is something
 */
#include "conformance/log_suite.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static void a_reader_at_the_beginning_sees_everything(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "1");
    put(w, "a", 0, "k", "2");
    leat_log_reader *reader = reader_at(w, "a", 0, LEAT_OFFSET_BEGIN);
    put(w, "a", 0, "k", "3");
    assert_string_equal(next(w, reader, 3), "k=1 k=2 k=3");
    leat_log_reader_free(reader);
}

static void a_reader_at_the_end_sees_only_what_comes_later(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "1");
    leat_log_reader *reader = reader_at(w, "a", 0, LEAT_OFFSET_END);
    assert_string_equal(next(w, reader, 0), "");
    put(w, "a", 0, "k", "2");
    assert_string_equal(next(w, reader, 1), "k=2");
    leat_log_reader_free(reader);
}

static void a_reader_at_an_offset_begins_there(world *w)
{
    topic(w, "a", 1);
    leat_log_record five[] = {record("a", 0, "k", "0"), record("a", 0, "k", "1"),
                              record("a", 0, "k", "2"), record("a", 0, "k", "3"),
                              record("a", 0, "k", "4")};
    must(w, leat_log_append(w->log, five, 5, &w->error));
    leat_log_reader *reader = reader_at(w, "a", 0, 3);
    assert_string_equal(next(w, reader, 2), "k=3 k=4");
    leat_log_reader_free(reader);
}

static void an_offset_past_the_end_waits_for_it(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "0");
    leat_log_reader *reader = reader_at(w, "a", 0, 2);
    assert_string_equal(next(w, reader, 0), "");
    put(w, "a", 0, "k", "1");
    assert_string_equal(next(w, reader, 0), "");
    put(w, "a", 0, "k", "2");
    assert_string_equal(next(w, reader, 1), "k=2");
    leat_log_reader_free(reader);
}

static void seeking_again_rewinds(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "1");
    put(w, "a", 0, "k", "2");
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    leat_log_record one;
    await(poll_once(w, reader, &one, 1) == 1);
    must(w, leat_log_reader_seek(reader, "a", 0, 0, &w->error));
    assert_string_equal(next(w, reader, 2), "k=1 k=2");
    leat_log_reader_free(reader);
}

static void the_position_is_the_next_offset_to_read(world *w)
{
    topic(w, "a", 1);
    for (int i = 0; i < 5; i++)
        put(w, "a", 0, "k", "1");
    leat_log_reader *reader = reader_at(w, "a", 0, 1);
    assert_int_equal(position(w, reader, "a", 0), 1);
    leat_log_record two[2];
    await(poll_once(w, reader, two, 2) > 0);
    await(position(w, reader, "a", 0) == 3 || poll_once(w, reader, two, 1) == 1);
    assert_int_equal(position(w, reader, "a", 0), 3);
    leat_log_reader_free(reader);
}

static void a_poll_gives_no_more_than_asked_for(world *w)
{
    topic(w, "a", 2);
    for (int i = 0; i < 10; i++)
        put(w, "a", (uint32_t)i % 2, "k", "1");
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    must(w, leat_log_reader_seek(reader, "a", 1, 0, &w->error));
    leat_log_record records[4];
    for (size_t seen = 0; seen < 10;) {
        memset(records, 0, sizeof records);
        size_t count = poll_once(w, reader, records, 3);
        assert_true(count <= 3);
        assert_null(records[3].topic);
        seen += count;
    }
    leat_log_reader_free(reader);
}

static void what_a_poll_lends_stays_until_the_next(world *w)
{
    topic_with(w, "a", (leat_topic_opts){.compacted = true});
    put(w, "a", 0, "k", "first");
    put(w, "a", 0, "l", "second");
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    leat_log_record one;
    await(poll_once(w, reader, &one, 1) == 1);
    for (int i = 0; i < 50; i++)
        put(w, "a", 0, "k", "later");
    must(w, leat_log_clean(w->log, &w->error));
    assert_true(leat_str_equal(one.key, LEAT_STR("k")));
    assert_true(leat_str_equal(one.value, LEAT_STR("first")));
    leat_log_reader_free(reader);
}

static void a_full_partition_does_not_starve_another(world *w)
{
    enum { MANY = 5000 };
    topic(w, "a", 3);
    for (uint32_t p = 0; p < 3; p++) {
        static leat_log_record many[MANY];
        for (int i = 0; i < MANY; i++)
            many[i] = record("a", p, "k", "1");
        must(w, leat_log_append(w->log, many, p == 1 ? 2 : MANY, &w->error));
    }
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    must(w, leat_log_reader_seek(reader, "a", 1, 0, &w->error));
    must(w, leat_log_reader_seek(reader, "a", 2, 0, &w->error));
    size_t polled = 0, seen[3] = {0};
    while (seen[1] < 2 || seen[2] < 20) {
        leat_log_record records[30];
        size_t count = poll_once(w, reader, records, 30);
        for (size_t i = 0; i < count; i++)
            seen[records[i].partition]++;
        polled += count;
        assert_true(polled < MANY); /* else one partition came first, wholly */
        nap(); /* the others may have been added too late for the first fetch */
    }
    leat_log_reader_free(reader);
}

static void a_removed_partition_is_no_longer_read(world *w)
{
    topic(w, "a", 2);
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    must(w, leat_log_reader_seek(reader, "a", 1, 0, &w->error));
    leat_log_reader_remove(reader, "a", 0);
    leat_log_reader_remove(reader, "a", 0);
    leat_log_reader_remove(reader, "nowhere", 0);
    put(w, "a", 0, "k", "0");
    put(w, "a", 1, "k", "1");
    assert_string_equal(next(w, reader, 1), "k=1");
    refused(w, LEAT_EINVAL, leat_log_reader_position(reader, "a", 0, &(int64_t){0}, &w->error));
    leat_log_reader_free(reader);
}

static void a_reader_of_nothing_polls_nothing(world *w)
{
    leat_log_reader *reader;
    must(w, leat_log_reader_new(w->log, NULL, NULL, &reader, &w->error));
    leat_log_record one;
    assert_int_equal(poll_once(w, reader, &one, 1), 0);
    leat_log_reader_free(reader);
}

static void seeking_what_is_not_there_is_refused(world *w)
{
    topic(w, "a", 1);
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    refused(w, LEAT_ENOTFOUND, leat_log_reader_seek(reader, "b", 0, 0, &w->error));
    refused(w, LEAT_EINVAL, leat_log_reader_seek(reader, "a", 0, -3, &w->error));
    leat_log_reader_free(reader);
}

static void two_readers_do_not_disturb_each_other(world *w)
{
    topic(w, "a", 1);
    put(w, "a", 0, "k", "1");
    leat_log_reader *first = reader_at(w, "a", 0, 0), *second = reader_at(w, "a", 0, 0);
    assert_string_equal(next(w, first, 1), "k=1");
    put(w, "a", 0, "k", "2");
    assert_string_equal(next(w, second, 2), "k=1 k=2");
    assert_string_equal(next(w, first, 1), "k=2");
    leat_log_reader_free(first);
    leat_log_reader_free(second);
}

static void readers_of_a_deleted_topic_are_told_until_they_remove_it(world *w)
{
    topic(w, "a", 1);
    topic(w, "b", 1);
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    must(w, leat_log_reader_seek(reader, "b", 0, 0, &w->error));
    must(w, leat_topic_delete(w->log, "a", &w->error));
    leat_log_record one;
    size_t count;
    await(leat_log_reader_poll(reader, &one, 1, &count, &w->error) == LEAT_ENOTFOUND);
    refused(w, LEAT_ENOTFOUND, leat_log_reader_poll(reader, &one, 1, &count, &w->error));
    leat_log_reader_remove(reader, "a", 0);
    put(w, "b", 0, "k", "1");
    assert_string_equal(next(w, reader, 1), "k=1");
    leat_log_reader_free(reader);
}

/* Deletes the topic and makes it again with so many records, as another process would if the driver
 * lets it. */
static void make_again(world *w, const char *name, int records)
{
    leat_log *own = w->log, *other;
    bool alone = w->driver->open(w->place, NULL, &other, &w->error) == LEAT_ELOCKED;
    if (!alone)
        w->log = other;
    must(w, leat_topic_delete(w->log, name, &w->error));
    topic(w, name, 1);
    for (int i = 0; i < records; i++)
        put(w, name, 0, "k", "new");
    if (!alone)
        leat_log_close(other);
    w->log = own;
}

/* It is not enough that fewer records are there than were read: then an offset tells. */
static void no_record_of_a_topic_made_again_comes_to_who_reads_the_former(world *w)
{
    for (int records = 1; records < 6; records += 2) {
        topic(w, "a", 1);
        for (int i = 0; i < 3; i++)
            put(w, "a", 0, "k", "old");
        leat_log_reader *reader = reader_at(w, "a", 0, 0);
        assert_string_equal(next(w, reader, 3), "k=old k=old k=old");
        make_again(w, "a", records);
        leat_log_record one;
        size_t count = 0;
        await(leat_log_reader_poll(reader, &one, 1, &count, &w->error) == LEAT_ENOTFOUND ||
              count != 0);
        assert_int_equal(count, 0);
        refused(w, LEAT_ENOTFOUND, leat_log_reader_poll(reader, &one, 1, &count, &w->error));
        leat_log_reader_free(reader);
        must(w, leat_topic_delete(w->log, "a", &w->error));
    }
}

/* ---------------------------------------------------------------- wake-ups */

static void count_wake(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static leat_log_reader *woken_reader(world *w, const char *name, atomic_int *wakes)
{
    leat_log_reader *reader;
    must(w, leat_log_reader_new(w->log, count_wake, wakes, &reader, &w->error));
    must(w, leat_log_reader_seek(reader, name, 0, LEAT_OFFSET_END, &w->error));
    return reader;
}

static void a_reader_that_found_nothing_is_woken(world *w)
{
    atomic_int wakes = 0;
    topic(w, "a", 1);
    topic(w, "b", 1);
    leat_log_reader *reader = woken_reader(w, "a", &wakes);
    until_quiet(w, reader, &wakes);
    put(w, "b", 0, "k", "not read");
    assert_int_equal(wakes, 0);
    put(w, "a", 0, "k", "1");
    await(wakes == 1);
    assert_string_equal(next(w, reader, 1), "k=1");
    until_quiet(w, reader, &wakes);
    put(w, "a", 0, "k", "2");
    await(wakes == 1);
    leat_log_reader_free(reader);
}

static void one_empty_poll_is_one_wake(world *w)
{
    atomic_int wakes = 0;
    topic(w, "a", 1);
    leat_log_reader *reader = woken_reader(w, "a", &wakes);
    until_quiet(w, reader, &wakes);
    put(w, "a", 0, "k", "1");
    await(wakes == 1);
    put(w, "a", 0, "k", "2");
    put(w, "a", 0, "k", "3");
    assert_int_equal(wakes, 1);
    leat_log_reader_free(reader);
}

static void a_freed_reader_is_not_woken(world *w)
{
    atomic_int wakes = 0;
    topic(w, "a", 1);
    leat_log_reader *reader = woken_reader(w, "a", &wakes);
    until_quiet(w, reader, &wakes);
    leat_log_reader_free(reader);
    put(w, "a", 0, "k", "1");
    assert_int_equal(wakes, 0);
}

/* ---------------------------------------------------------------- threads */

enum { WRITERS = 4, EACH = 200 };

typedef struct writer {
    world w; /* of its own: the error field is not shared */
    int number;
} writer;

static void *write_many(void *arg)
{
    writer *me = arg;
    for (int i = 0; i < EACH; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "%d", me->number);
        snprintf(value, sizeof value, "%d", i);
        put(&me->w, "a", (uint32_t)i % 2, key, value);
    }
    return NULL;
}

static void many_threads_may_append_while_others_read(world *w)
{
    topic(w, "a", 2);
    pthread_t threads[WRITERS];
    writer writers[WRITERS];
    leat_log_reader *reader = reader_at(w, "a", 0, 0);
    must(w, leat_log_reader_seek(reader, "a", 1, 0, &w->error));
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.w = {.log = w->log}, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    /* of each writer and partition: rising values; of each partition: rising offsets */
    int last_value[WRITERS][2], seen = 0;
    int64_t last_offset[2] = {-1, -1};
    memset(last_value, -1, sizeof last_value);
    int64_t until_ms = steady_ms() + 6 * DEADLINE_MS;
    while (seen < WRITERS * EACH && steady_ms() < until_ms) {
        leat_log_record records[50];
        size_t count = poll_once(w, reader, records, 50);
        for (size_t i = 0; i < count; i++, seen++) {
            int number = records[i].key.data[0] - '0', value = 0;
            for (size_t c = 0; c < records[i].value.length; c++)
                value = value * 10 + records[i].value.data[c] - '0';
            uint32_t p = records[i].partition;
            assert_true(records[i].offset > last_offset[p]);
            assert_true(value > last_value[number][p]);
            last_offset[p] = records[i].offset;
            last_value[number][p] = value;
        }
        if (count == 0)
            nap();
    }
    assert_int_equal(seen, WRITERS * EACH);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    leat_log_reader_free(reader);
}

const log_case log_reader_cases[] = {
    CASE(a_reader_at_the_beginning_sees_everything),
    CASE(a_reader_at_the_end_sees_only_what_comes_later),
    CASE(a_reader_at_an_offset_begins_there),
    CASE(an_offset_past_the_end_waits_for_it),
    CASE(seeking_again_rewinds),
    CASE(the_position_is_the_next_offset_to_read),
    CASE(a_poll_gives_no_more_than_asked_for),
    CASE(what_a_poll_lends_stays_until_the_next),
    CASE(a_full_partition_does_not_starve_another),
    CASE(a_removed_partition_is_no_longer_read),
    CASE(a_reader_of_nothing_polls_nothing),
    CASE(seeking_what_is_not_there_is_refused),
    CASE(two_readers_do_not_disturb_each_other),
    CASE(readers_of_a_deleted_topic_are_told_until_they_remove_it),
    CASE(no_record_of_a_topic_made_again_comes_to_who_reads_the_former),
    CASE(a_reader_that_found_nothing_is_woken),
    CASE(one_empty_poll_is_one_wake),
    CASE(a_freed_reader_is_not_woken),
    CASE(many_threads_may_append_while_others_read),
    {0},
};
