/* integration/committed_job.c - see committed_job.h.
 *
 *   generator ─┬─► keyed sink ───► topic, 3 partitions ◄── another writer, in one of the tests
 *              └─► keyless sink ─►   │
 *   on_committed: number ─► (partition, offset)  == ◄─┘ what a reader finds there
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "integration/committed_job.h"
#include <leat/leat.h>

enum { EVENTS = 4000, PARTITIONS = 3 };

struct event {
    leat_str user;
    int64_t number;
};
LEAT_RECORD(event, user, number);

typedef struct seen { /* by number of the event */
    uint32_t partition;
    int64_t offset, times;
} seen;

typedef struct world {
    leat_log *log;
    const char *topic;
    seen keyed[EVENTS], bare[EVENTS];
    _Atomic bool done;
} world;

static bool generate(void *arg, uint32_t partition, uint64_t index, void *record)
{
    static const char users[] = "abcdefghijklmnopqrstuvwxyz";
    (void)arg;
    (void)partition;
    if (index >= EVENTS)
        return false;
    *(struct event *)record =
        (struct event){.user = {&users[index % 23], 3}, .number = (int64_t)index};
    return true;
}

static void bare(const void *in, void *out, void *arg)
{
    (void)arg;
    *(struct event *)out = *(const struct event *)in;
}

static int64_t number_in(leat_str value)
{
    static const char before[] = "\"number\":";
    char text[128] = "";
    assert_true(value.length < sizeof text);
    memcpy(text, value.data, value.length);
    const char *at = strstr(text, before);
    assert_non_null(at);
    return strtoll(at + strlen(before), NULL, 10);
}

static void on_committed(void *arg, const leat_log_record *record)
{
    world *w = arg;
    int64_t number = number_in(record->value);
    assert_in_range(number, 0, EVENTS - 1);
    assert_string_equal(record->topic, w->topic);
    seen *s = record->key.data != NULL ? &w->keyed[number] : &w->bare[number];
    *s = (seen){record->partition, record->offset, s->times + 1};
}

/* Each record of the topic is at the place that was given; returns how many places were given. */
static int64_t compare(world *w, uint32_t partition)
{
    leat_log_reader *reader;
    leat_log_record record;
    int64_t begin, end, at = 0, given = 0;
    size_t count;
    assert_int_equal(leat_log_bounds(w->log, w->topic, partition, &begin, &end, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_new(w->log, NULL, NULL, &reader, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_seek(reader, w->topic, partition, LEAT_OFFSET_BEGIN, NULL),
                     LEAT_OK);
    while (at < end) {
        assert_int_equal(leat_log_reader_poll(reader, &record, 1, &count, NULL), LEAT_OK);
        assert_int_equal(leat_log_reader_position(reader, w->topic, partition, &at, NULL), LEAT_OK);
        if (count == 0 || record.value.data[0] != '{') /* the other writer's */
            continue;
        int64_t number = number_in(record.value);
        const seen *s = record.key.data != NULL ? &w->keyed[number] : &w->bare[number];
        assert_int_equal(s->times, 1);
        assert_int_equal(s->partition, partition);
        if (s->offset != -1)
            assert_int_equal(s->offset, record.offset);
        given += s->offset != -1;
    }
    leat_log_reader_free(reader);
    return given;
}

static world *run(const char *url, const char *topic, void *(*writer)(void *world))
{
    leat_error error = {0};
    world *w = calloc(1, sizeof *w);
    w->topic = topic;
    if (leat_log_open(&w->log, url, NULL, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    assert_int_equal(
        leat_topic_create(w->log, topic, &(leat_topic_opts){.partition_count = PARTITIONS}, NULL),
        LEAT_OK);
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = topic, .log_handle = w->log, .buffer_bytes = 64 << 10});
    leat_stream in =
        leat_from_generator(job, "in", &event_type, &(leat_generator){.generate = generate});
    const leat_log_sink sink = {.topic = topic, .on_committed = on_committed, .arg = w};
    leat_log_sink keyed = sink;
    keyed.key = "user";
    leat_to_log(in, "keyed", &keyed);
    leat_to_log(leat_map(in, "bare", &event_type, bare, NULL), "bare-out", &sink);
    pthread_t thread;
    if (writer != NULL)
        assert_int_equal(pthread_create(&thread, NULL, writer, w), 0);
    if (leat_job_run(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    atomic_store(&w->done, true);
    if (writer != NULL)
        assert_int_equal(pthread_join(thread, NULL), 0);
    leat_job_free(job);
    return w;
}

static int64_t finish(world *w)
{
    int64_t given = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        given += compare(w, p);
    for (int i = 0; i < EVENTS; i++) {
        assert_int_equal(w->keyed[i].times, 1);
        assert_int_equal(w->bare[i].times, 1);
    }
    leat_log_close(w->log);
    free(w);
    return given;
}

void on_committed_gives_the_record_as_it_lies_in_the_log(const char *url)
{
    assert_int_equal(finish(run(url, "alone", NULL)), 2 * EVENTS);
}

static void *write_beside(void *arg)
{
    world *w = arg;
    while (!atomic_load(&w->done)) {
        leat_log_record records[PARTITIONS];
        for (uint32_t p = 0; p < PARTITIONS; p++)
            records[p] =
                (leat_log_record){.topic = w->topic, .partition = p, .value = LEAT_STR("other")};
        assert_int_equal(leat_log_append(w->log, records, PARTITIONS, NULL), LEAT_OK);
    }
    return NULL;
}

void on_committed_beside_another_writer(const char *url)
{
    (void)finish(run(url, "beside", write_beside));
}
