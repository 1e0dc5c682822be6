/* What the embedded log can't read is not "nothing there": a block of the committed offsets is
 * damaged, and whoever goes through them is told, instead of seeing fewer of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those */
#include "base/mem.h"
#include "base/random.h"
#include "leat/log.h"
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A group for each partition, which commits an offset of it: several blocks of 16 KiB. */
enum { PARTITIONS = 48, METADATA_BYTES = 3000, DAMAGED = 30 };

static int make_dir(void **state)
{
    const char *base = getenv("TMPDIR");
    char *dir = leat__format("%s/leat-unreadable-XXXXXX", base != NULL ? base : "/tmp");
    *state = dir;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    char *command = leat__format("rm -rf '%s'", (char *)*state);
    int code = system(command);
    leat__free(command);
    leat__free(*state);
    return code;
}

static leat_log *open_log(const char *dir, bool read_only)
{
    char *url = leat__format("embedded:%s", dir);
    leat_log *log;
    leat_error error;
    if (leat_log_open(&log, url, &(leat_log_opts){.read_only = read_only}, &error) != LEAT_OK)
        fail_msg("%s", error.message);
    leat__free(url);
    return log;
}

static void fill_metadata(uint32_t partition, char bytes[METADATA_BYTES])
{
    leat__random random = {.state = partition + 1};
    for (size_t i = 0; i < METADATA_BYTES; i++)
        bytes[i] = (char)leat__random_next(&random);
}

static void commit_offset(leat_log *log, uint32_t partition)
{
    static const char *const topics[] = {"t"};
    char name[16], metadata[METADATA_BYTES];
    (void)snprintf(name, sizeof name, "g-%02u", partition);
    fill_metadata(partition, metadata);
    const leat_log_group group = {
        .group = name, .instance = "i", .topics = topics, .topic_count = 1};
    const leat_log_offset offset = {"t", partition, 7, {metadata, METADATA_BYTES}};
    leat_log_member *member;
    leat_log_event event;
    leat_log_txn *txn;
    leat_error error;
    assert_int_equal(leat_log_join(log, &group, NULL, NULL, &member, &error), LEAT_OK);
    assert_int_equal(leat_log_member_poll(member, &event, &error), LEAT_OK);
    assert_int_equal(leat_log_begin(member, event.generation, &txn, &error), LEAT_OK);
    assert_int_equal(leat_log_txn_offsets(txn, &offset, 1, &error), LEAT_OK);
    assert_int_equal(leat_log_txn_commit(txn, &error), LEAT_OK);
    leat_log_leave(member);
}

/* Flips bits of the metadata of one partition where it lies in a table file. */
static void damage_offset(const char *dir)
{
    char needle[METADATA_BYTES], *pattern = leat__format("%s/*.sst", dir);
    glob_t tables;
    size_t damaged = 0;
    fill_metadata(DAMAGED, needle);
    assert_int_equal(glob(pattern, 0, NULL, &tables), 0);
    for (size_t i = 0; i < tables.gl_pathc; i++) {
        FILE *file = fopen(tables.gl_pathv[i], "r+b");
        assert_non_null(file);
        static char bytes[4 << 20];
        size_t length = fread(bytes, 1, sizeof bytes, file);
        char *found = memmem(bytes, length, needle, 64);
        if (found != NULL) {
            assert_int_equal(fseek(file, found - bytes, SEEK_SET), 0);
            assert_int_equal(fwrite("damage", 1, 6, file), 6);
            damaged++;
        }
        assert_int_equal(fclose(file), 0);
    }
    globfree(&tables);
    leat__free(pattern);
    assert_int_equal(damaged, 1);
}

static char *make_damaged_log(const char *place)
{
    char *dir = leat__format("%s/log", place);
    leat_log *log = open_log(dir, false);
    assert_int_equal(
        leat_topic_create(log, "t", &(leat_topic_opts){.partition_count = PARTITIONS}, NULL),
        LEAT_OK);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        commit_offset(log, p);
    leat_log_close(log);
    leat_log_close(open_log(dir, false)); /* what the write-ahead log held is in a table now */
    damage_offset(dir);
    return dir;
}

static bool count_offset(void *count, const leat_log_offset *offset)
{
    (void)offset;
    ++*(size_t *)count;
    return true;
}

static bool count_group(void *count, const char *group)
{
    assert_int_equal(strncmp(group, "g-", 2), 0);
    ++*(size_t *)count;
    return true;
}

static void offsets_that_cannot_be_read_are_not_taken_for_none(void **state)
{
    char *dir = make_damaged_log(*state);
    for (int read_only = 0; read_only < 2; read_only++) {
        leat_log *log = open_log(dir, read_only != 0);
        leat_error error = {0};
        size_t count = 0;
        assert_int_equal(leat_log_group_offsets(log, "g-00", count_offset, &count, &error),
                         LEAT_OK);
        assert_int_equal(count, 1);
        assert_int_equal(leat_log_group_offsets(log, "g-30", count_offset, &count, &error),
                         LEAT_ECORRUPT);
        assert_int_equal(count, 1);
        assert_non_null(strstr(error.message, dir));
        leat_log_close(log);
    }
    leat__free(dir);
}

static void groups_that_cannot_be_read_are_not_taken_for_none(void **state)
{
    char *dir = make_damaged_log(*state);
    leat_log *log = open_log(dir, false);
    leat_error error = {0};
    size_t count = 0;
    assert_int_equal(leat_log_group_each(log, count_group, &count, &error), LEAT_ECORRUPT);
    assert_true(count > 0 && count <= DAMAGED);
    leat_log_close(log);
    leat__free(dir);
}

/* A topic made anew under the name would begin at an offset that was left behind. */
static void a_topic_whose_offsets_cannot_be_read_is_not_half_deleted(void **state)
{
    char *dir = make_damaged_log(*state);
    leat_log *log = open_log(dir, false);
    leat_error error = {0};
    assert_int_equal(leat_topic_delete(log, "t", &error), LEAT_ECORRUPT);
    leat_topic_opts opts = {0};
    assert_int_equal(leat_topic_describe(log, "t", &opts, &error), LEAT_OK);
    assert_int_equal(opts.partition_count, PARTITIONS);
    leat_log_record record = {.topic = "t", .partition = 0, .value = {"x", 1}};
    assert_int_equal(leat_log_append(log, &record, 1, &error), LEAT_OK); /* it is not deleted */
    leat_log_close(log);
    leat__free(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offsets_that_cannot_be_read_are_not_taken_for_none),
        TEST(groups_that_cannot_be_read_are_not_taken_for_none),
        TEST(a_topic_whose_offsets_cannot_be_read_is_not_half_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
