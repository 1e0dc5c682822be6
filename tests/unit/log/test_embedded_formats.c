/* A log of format 1, whose topics had no ids: they get them when it is opened for writing (R26). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after those */
#include "leat/log.h"
#include <cmocka.h>
#include <rocksdb/c.h>
#include <unistd.h>

enum { ID_BYTES = 8 };

static char dir[64], url[96];

static int fresh_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/leat-formats-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(url, sizeof url, "embedded:%s/log", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static leat_log *open_log(bool read_only)
{
    leat_log *log;
    leat_error error;
    if (leat_log_open(&log, url, &(leat_log_opts){.read_only = read_only}, &error) != LEAT_OK)
        fail_msg("%s", error.message);
    return log;
}

static uint64_t id_of(leat_log *log, const char *topic)
{
    leat_topic_opts opts;
    assert_int_equal(leat_topic_describe(log, topic, &opts, NULL), LEAT_OK);
    assert_int_equal(opts.partition_count, 3);
    return opts.id;
}

/* What the version before wrote: the topic's row ends before the id, and the format is 1. */
static void make_older(const char *topic)
{
    char path[80], key[20], *message = NULL;
    (void)snprintf(path, sizeof path, "%s/log", dir);
    size_t key_length = (size_t)snprintf(key, sizeof key, "T%s", topic), length;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    rocksdb_t *db = rocksdb_open(options, path, &message);
    assert_null(message);
    char *value = rocksdb_get(db, reading, key, key_length, &length, &message);
    assert_non_null(value);
    assert_int_equal(value[0], 2);
    value[0] = 1;
    rocksdb_put(db, writing, key, key_length, value, length - ID_BYTES, &message);
    assert_null(message);
    rocksdb_put(db, writing, "F", 1, "\1", 1, &message);
    assert_null(message);
    rocksdb_free(value);
    rocksdb_close(db);
    rocksdb_writeoptions_destroy(writing);
    rocksdb_readoptions_destroy(reading);
    rocksdb_options_destroy(options);
}

static void a_topic_of_format_1_gets_an_id_and_keeps_it(void **state)
{
    (void)state;
    leat_log *log = open_log(false);
    const leat_topic_opts three = {.partition_count = 3};
    assert_int_equal(leat_topic_create(log, "old", &three, NULL), LEAT_OK);
    assert_int_equal(leat_topic_create(log, "new", &three, NULL), LEAT_OK);
    uint64_t before = id_of(log, "new");
    leat_log_close(log);
    make_older("old");

    log = open_log(true); /* who only reads changes nothing */
    assert_true(id_of(log, "old") == 0);
    leat_log_close(log);
    log = open_log(false);
    uint64_t given = id_of(log, "old");
    assert_true(given != 0 && given != before);
    assert_true(id_of(log, "new") == before);
    leat_log_close(log);
    log = open_log(false);
    assert_true(id_of(log, "old") == given);
    leat_log_close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_of_format_1_gets_an_id_and_keeps_it),
    };
    return cmocka_run_group_tests(tests, fresh_dir, remove_dir);
}
