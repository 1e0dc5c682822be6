/* The embedded log under everything at once: appends, commits, readers, cleaning, topics coming and
 * going.  Readers check order and completeness; the compacted topic is checked against a fold. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after those */
#include "base/mem.h"
#include "base/random.h"
#include "leat/log.h"
#include <cmocka.h>

enum { WRITERS = 3, ROUNDS = 150, PER_ROUND = 20, KEYS = 50 };

static leat_log *shared_log;
static atomic_bool writing;

/* cmocka's assertions belong to the main thread. */
static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void must(leat_status status, const leat_error *error)
{
    check(status == LEAT_OK, error->message);
}

/* Key "writer:key", value the round: within one writer values rise. */
static void *append_rounds(void *arg)
{
    int number = *(int *)arg;
    leat_error error;
    leat__random random = {(uint64_t)number};
    for (int round = 0; round < ROUNDS; round++) {
        leat_log_record records[PER_ROUND];
        char keys[PER_ROUND][16], value[16];
        int length = snprintf(value, sizeof value, "%d", round);
        for (int i = 0; i < PER_ROUND; i++) {
            int key_length = snprintf(keys[i], sizeof keys[i], "%d:%d", number,
                                      (int)leat__random_below(&random, KEYS));
            records[i] = (leat_log_record){.topic = i % 2 == 0 ? "users" : "events",
                                           .partition = (uint32_t)(i / 2) % 2,
                                           .key = {keys[i], (size_t)key_length},
                                           .value = {value, (size_t)length}};
            if (i % 2 == 0)
                records[i].partition = LEAT_PARTITION_BY_KEY;
        }
        must(leat_log_append(shared_log, records, PER_ROUND, &error), &error);
    }
    return NULL;
}

static int number_of(leat_str text)
{
    int number = 0;
    for (size_t i = 0; i < text.length && text.data[i] != ':'; i++)
        number = number * 10 + text.data[i] - '0';
    return number;
}

/* "events" has no gaps: every record is seen once and in order. */
static void *read_events(void *arg)
{
    (void)arg;
    leat_error error;
    leat_log_reader *reader;
    must(leat_log_reader_new(shared_log, NULL, NULL, &reader, &error), &error);
    int64_t next[2] = {0};
    for (uint32_t p = 0; p < 2; p++)
        must(leat_log_reader_seek(reader, "events", p, 0, &error), &error);
    while (next[0] + next[1] < WRITERS * ROUNDS * PER_ROUND / 2) {
        leat_log_record records[64];
        size_t count;
        must(leat_log_reader_poll(reader, records, 64, &count, &error), &error);
        for (size_t i = 0; i < count; i++)
            check(records[i].offset == next[records[i].partition]++, "a hole in events");
    }
    leat_log_reader_free(reader);
    return NULL;
}

/* "users" is compacted meanwhile: offsets rise, and the latest value per key does too. */
static void read_users(int latest[WRITERS][KEYS])
{
    leat_error error;
    leat_log_reader *reader;
    must(leat_log_reader_new(shared_log, NULL, NULL, &reader, &error), &error);
    for (uint32_t p = 0; p < 2; p++)
        must(leat_log_reader_seek(reader, "users", p, 0, &error), &error);
    int64_t last[2] = {-1, -1};
    bool over = false; /* asked before the poll, so that the poll sees the last record */
    for (size_t count = 1; count > 0 || !over;) {
        leat_log_record records[64];
        over = !atomic_load(&writing);
        must(leat_log_reader_poll(reader, records, 64, &count, &error), &error);
        for (size_t i = 0; i < count; i++) {
            check(records[i].offset > last[records[i].partition], "offsets do not rise");
            last[records[i].partition] = records[i].offset;
            const char *colon = memchr(records[i].key.data, ':', records[i].key.length);
            leat_str key = {colon + 1,
                            (size_t)(records[i].key.data + records[i].key.length - colon - 1)};
            int *value = &latest[number_of(records[i].key)][number_of(key)];
            check(number_of(records[i].value) >= *value, "values do not rise");
            *value = number_of(records[i].value);
        }
    }
    leat_log_reader_free(reader);
}

static void *read_users_once(void *arg)
{
    int latest[WRITERS][KEYS];
    memset(latest, -1, sizeof latest);
    read_users(latest);
    memcpy(arg, latest, sizeof latest);
    return NULL;
}

static void *clean_always(void *arg)
{
    (void)arg;
    leat_error error;
    while (atomic_load(&writing)) {
        must(leat_log_clean(shared_log, &error), &error);
        usleep(500);
    }
    return NULL;
}

static void *come_and_go(void *arg)
{
    (void)arg;
    leat_error error;
    for (int i = 0; atomic_load(&writing); i++) {
        must(leat_topic_create(shared_log, "brief", &(leat_topic_opts){.compacted = i % 2 == 0},
                               &error),
             &error);
        leat_log_record one = {.topic = "brief", .key = LEAT_STR("k"), .value = LEAT_STR("v")};
        must(leat_log_append(shared_log, &one, 1, &error), &error);
        must(leat_topic_delete(shared_log, "brief", &error), &error);
    }
    return NULL;
}

static void everything_at_once(void **state)
{
    leat_error error;
    char *url = leat__format("embedded:%s", (char *)*state);
    must(leat_log_open(&shared_log, url, NULL, &error), &error);
    must(leat_topic_create(shared_log, "events", &(leat_topic_opts){.partition_count = 2}, &error),
         &error);
    must(leat_topic_create(shared_log, "users",
                           &(leat_topic_opts){.partition_count = 2, .compacted = true}, &error),
         &error);
    int numbers[WRITERS];
    static int live[WRITERS][KEYS], stored[WRITERS][KEYS];
    pthread_t writers[WRITERS], others[4];
    atomic_store(&writing, true);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        pthread_create(&writers[i], NULL, append_rounds, &numbers[i]);
    }
    pthread_create(&others[0], NULL, read_events, NULL);
    pthread_create(&others[1], NULL, read_users_once, live);
    pthread_create(&others[2], NULL, clean_always, NULL);
    pthread_create(&others[3], NULL, come_and_go, NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&writing, false);
    for (int i = 0; i < 4; i++)
        pthread_join(others[i], NULL);

    must(leat_log_clean(shared_log, &error), &error);
    leat_log_close(shared_log);
    must(leat_log_open(&shared_log, url, NULL, &error), &error);
    memset(stored, -1, sizeof stored);
    read_users(stored); /* after cleaning and a restart: the same as what was seen go by */
    assert_memory_equal(stored, live, sizeof live);
    leat_log_close(shared_log);
    leat__free(url);
}

static int make_dir(void **state)
{
    const char *base = getenv("TMPDIR");
    *state = leat__format("%s/leat-threads-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(*state) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    char *command = leat__format("rm -rf '%s'", (char *)*state);
    int status = system(command);
    leat__free(command);
    leat__free(*state);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_at_once, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
