/* Snapshots: what is made, what is taken, and what is not (R6 R13 R18 R26). */
#include "conformance.h"
#include "state/backend.h"
#include "state/snapshot.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>

static const int64_t noon_ms = INT64_C(1767268800000);
static char place_dir[80];

static int set_up_in(void **state, const char *parent)
{
    snprintf(place_dir, sizeof place_dir, "%s/leat-snapshots-XXXXXX", parent);
    if (mkdtemp(place_dir) == NULL)
        return -1;
    *state = world_new(LEAT__ROCKSDB);
    return 0;
}

static int set_up(void **state)
{
    return set_up_in(state, "/tmp");
}

static int tear_down(void **state)
{
    world_free(*state);
    world_remove_dir(place_dir);
    return 0;
}

/* ---------------------------------------------------------------- helpers */

static leat__snapshot_place place_at(const char *instance, int64_t after_ms)
{
    return (leat__snapshot_place){
        .dir = place_dir, .job = "counts", .instance = instance, .now_ms = noon_ms + after_ms};
}

static void count_to(world *w, int64_t count)
{
    set_tally(w, "ann", count);
    set_tally(w, "bob", count);
    world_epoch(w);
}

static leat__snapshot_size make(world *w, const char *instance, int64_t after_ms)
{
    leat_error error = {0};
    leat__snapshot_size size = {0};
    leat__snapshot_place place = place_at(instance, after_ms);
    if (leat__snapshot_make(w->database, &place, &size, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    return size;
}

static void open_with(world *w, const char *instance, int64_t after_ms)
{
    leat_error error = {0};
    leat__database_opts opts = {
        .backend = w->backend, .dir = w->dir, .snapshots = place_at(instance, after_ms)};
    if (leat__database_open(&w->database, &opts, &error) != LEAT_OK ||
        world_open_store(w, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

static void lose_state(world *w)
{
    world_close(w);
    world_remove_dir(w->dir);
}

/* The state directory is lost; what a start with these snapshots has then. */
static int64_t count_after_a_loss(world *w, const char *instance, int64_t after_ms)
{
    lose_state(w);
    open_with(w, instance, after_ms);
    int64_t count = tally_of(w, TALLY, "ann");
    assert_int_equal(tally_of(w, TALLY, "bob"), count);
    assert_int_equal(leat__database_from_snapshot(w->database), count != -1);
    return count;
}

static size_t matches(const char *pattern, char *first, size_t first_bytes)
{
    char path[300];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", place_dir, pattern);
    size_t count = glob(path, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    if (count != 0 && first != NULL)
        snprintf(first, first_bytes, "%s", found.gl_pathv[0]);
    globfree(&found);
    return count;
}

/* Changes a byte of the first file that matches; at < 0: cuts the file there. */
static void damage(const char *pattern, off_t at, bool cut)
{
    char path[300];
    char byte = 0;
    assert_true(matches(pattern, path, sizeof path) >= 1);
    /* a new file: a link to the same one may be in the database that is open */
    char command[1300];
    snprintf(command, sizeof command, "cp '%s' '%s.new' && mv '%s.new' '%s'", path, path, path,
             path);
    assert_int_equal(system(command), 0);
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte = (char)(byte ^ 0x40);
    if (cut)
        assert_int_equal(ftruncate(file, at), 0);
    else
        assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static void make_file(const char *dir, const char *folder, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, folder);
    assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/%s/%s", dir, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("half", file);
    fclose(file);
}

/* ---------------------------------------------------------------- making and taking */

static void a_snapshot_is_the_state_with_its_position(void **state)
{
    world *w = *state; /* R6 */
    count_to(w, 1);
    int64_t position = leat__store_position(w->store);
    leat__snapshot_size size = make(w, "a", 0);
    assert_true(size.files >= 3 && size.bytes > 100);
    count_to(w, 2);
    assert_int_equal(count_after_a_loss(w, "a", 1000), 1);
    assert_int_equal(leat__store_position(w->store), position);
    world_replay(w); /* the tail */
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
    world_close(w);
    open_with(w, "a", 2000); /* it is an ordinary database now */
    assert_int_equal(tally_of(w, TALLY, "bob"), 2);
    assert_false(leat__database_from_snapshot(w->database));
}

static void a_database_that_was_a_snapshot_does_not_change_it(void **state)
{
    world *w = *state;
    for (int64_t round = 0; round < 3; round++) { /* R18: the links are to files never written */
        if (round == 0) {
            count_to(w, 5);
            make(w, "a", 0);
        }
        assert_int_equal(count_after_a_loss(w, "a", 1000 + round), 5);
        for (int64_t i = 0; i < 50; i++)
            count_to(w, 100 + i);
    }
}

static void a_directory_with_state_is_never_replaced(void **state)
{
    world *w = *state;
    count_to(w, 1);
    make(w, "a", 0);
    count_to(w, 2);
    world_close(w);
    open_with(w, "a", 1);
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
    assert_false(leat__database_from_snapshot(w->database));
}

static void the_newest_two_are_kept(void **state)
{
    world *w = *state;
    for (int64_t i = 1; i <= 5; i++) {
        count_to(w, i);
        make(w, "a", i * 1000);
        assert_int_equal(matches("counts/a/*", NULL, 0), i < 2 ? i : 2);
    }
    count_to(w, 6);
    make(w, "a", 0); /* a clock that went back: still the newest */
    assert_int_equal(count_after_a_loss(w, "a", 6000), 6);
}

static void without_snapshots_the_database_is_empty(void **state)
{
    world *w = *state;
    count_to(w, 1);
    assert_int_equal(count_after_a_loss(w, "a", 0), -1);
    assert_int_equal(leat__store_position(w->store), -1);
}

static void a_name_that_the_directory_kept_finds_its_own(void **state)
{
    world *w = *state;
    count_to(w, 1);
    make(w, "i-0", 0);
    count_to(w, 2);
    make(w, "b", 1000);
    lose_state(w);
    assert_int_equal(mkdir(w->dir, 0777), 0);
    char command[200];
    snprintf(command, sizeof command, "printf i-0 > %s/leat.instance", w->dir);
    assert_int_equal(system(command), 0);
    open_with(w, NULL, 2000);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
}

/* ---------------------------------------------------------------- damage */

static void a_damaged_one_is_passed_over_for_the_next_older(void **state)
{
    world *w = *state;
    static const char *const files[] = {"*.sst", "MANIFEST-*", "leat.snapshot", "CURRENT"};
    for (size_t i = 0; i < 8; i++) {
        char pattern[80];
        count_to(w, 1);
        make(w, "a", 1000);
        count_to(w, 2);
        make(w, "a", 2000);
        snprintf(pattern, sizeof pattern, "counts/a/snapshot-%020lld/%s",
                 (long long)(noon_ms + 2000), files[i / 2]);
        damage(pattern, 12, i % 2 == 1);
        assert_int_equal(count_after_a_loss(w, "a", 3000), 1);
        world_remove_dir(place_dir);
    }
}

static void when_all_are_damaged_there_is_none(void **state)
{
    world *w = *state;
    count_to(w, 1);
    make(w, "a", 1000);
    damage("counts/a/*/*.sst", 3, false);
    assert_int_equal(count_after_a_loss(w, "a", 3000), -1);
    count_to(w, 7); /* and the directory is a sound one */
    world_close(w);
    world_open(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 7);
}

static void one_of_a_newer_format_is_left_alone(void **state)
{
    world *w = *state; /* R26 */
    count_to(w, 1);
    make(w, "a", 0);
    damage("counts/a/*/leat.snapshot", 8, false); /* the format */
    leat_error error = {0};
    leat__snapshot_size size;
    leat__snapshot_place place = place_at("a", 1);
    char path[300];
    assert_int_equal(matches("counts/a/*", path, sizeof path), 1);
    assert_int_equal(leat__snapshot_take(path, "/nowhere", &place, &size, &error), LEAT_EVERSION);
    assert_int_equal(count_after_a_loss(w, "a", 1), -1);
    assert_int_equal(matches("counts/a/*", NULL, 0), 1);
}

static void one_of_another_job_is_not_taken(void **state)
{
    world *w = *state;
    count_to(w, 1);
    make(w, "a", 0);
    char from[100], to[100];
    snprintf(from, sizeof from, "%s/counts", place_dir);
    snprintf(to, sizeof to, "%s/sums", place_dir);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(symlink("sums", from), 0);
    assert_int_equal(count_after_a_loss(w, "a", 1), 1);
    leat__snapshot_place place = {
        .dir = place_dir, .job = "sums", .instance = "a", .now_ms = noon_ms};
    leat__snapshot_size size;
    char path[300];
    assert_int_equal(matches("sums/a/*", path, sizeof path), 1);
    assert_int_equal(leat__snapshot_take(path, "/nowhere", &place, &size, NULL), LEAT_EINVAL);
}

/* ---------------------------------------------------------------- killed in the middle */

static void what_a_killed_process_left_is_removed(void **state)
{
    world *w = *state; /* R18 */
    count_to(w, 1);
    make(w, "a", 0);
    make_file(place_dir, "counts/a/making-00000000000000000009-77", "000012.sst");
    make_file(place_dir, "counts/a/making-00000000000000000009-77.tmp", "CURRENT");
    make_file(place_dir, "counts/a/removed-00000000000000000003", "CURRENT");
    make_file(place_dir, "counts/b", "keep");
    make_file(place_dir, "counts/b/making-09767268800000000000-78", "CURRENT"); /* at work */
    assert_int_equal(matches("counts/a/*", NULL, 0), 4);
    leat__snapshot_place place = place_at("a", 1);
    assert_int_equal(leat__snapshot_tidy(&place, NULL), LEAT_OK);
    assert_int_equal(matches("counts/a/*", NULL, 0), 1);
    assert_int_equal(matches("counts/b/*", NULL, 0), 2);
    assert_int_equal(count_after_a_loss(w, "a", 1), 1);
}

static void half_a_snapshot_in_the_state_directory_is_no_state(void **state)
{
    world *w = *state;
    for (int i = 0; i < 2; i++) {
        lose_state(w);
        make_file(w->dir, "", "000004.log"); /* killed before CURRENT was made */
        make_file(w->dir, "", "000009.sst");
        make_file(w->dir, "", "MANIFEST-000005");
        make_file(w->dir, "", "leat.current");
        open_with(w, "a", 2);
        assert_int_equal(tally_of(w, TALLY, "ann"), i == 0 ? -1 : 1);
        if (i == 0) {
            count_to(w, 1);
            make(w, "a", 1);
        }
    }
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    world *w = *state;
    leat_error error = {0};
    leat__snapshot_size size;
    leat__snapshot_place place = {
        .dir = "/dev/null/x", .job = "counts", .instance = "a", .now_ms = noon_ms};
    assert_int_equal(leat__snapshot_make(w->database, &place, &size, &error), LEAT_EIO);
    assert_non_null(strstr(error.message, "/dev/null/x"));
    world_close(w);
    leat__database_opts opts = {.backend = LEAT__ROCKSDB, .dir = w->dir, .snapshots = place};
    assert_int_equal(leat__database_open(&w->database, &opts, &error), LEAT_OK);
    assert_int_equal(world_open_store(w, &error), LEAT_OK);
}

/* ---------------------------------------------------------------- several instances, time */

static void an_instance_takes_its_own_or_else_the_newest(void **state)
{
    world *w = *state;
    static const char *const instances[] = {"a", "b", "c"};
    for (int64_t i = 0; i < 3; i++) {
        count_to(w, i + 1);
        make(w, instances[i], i * 1000);
    }
    assert_int_equal(matches("counts/*/snapshot-*", NULL, 0), 3);
    assert_int_equal(count_after_a_loss(w, "a", 4000), 1);
    assert_int_equal(count_after_a_loss(w, "b", 4000), 2);
    assert_int_equal(count_after_a_loss(w, "d", 4000), 3);
    assert_int_equal(count_after_a_loss(w, NULL, 4000), 3);
    damage("counts/a/*/CURRENT", 0, false);
    assert_int_equal(count_after_a_loss(w, "a", 4000), 3);
}

static void one_older_than_half_the_retention_of_deletes_is_not_taken(void **state)
{
    world *w = *state; /* R13 */
    const int64_t half_ms = LEAT_LOG_TOMBSTONE_RETENTION_MS / 2;
    count_to(w, 1);
    make(w, "a", 0);
    assert_int_equal(count_after_a_loss(w, "a", half_ms), 1);
    assert_int_equal(count_after_a_loss(w, "a", half_ms + 1), -1);
}

static void what_nobody_can_use_any_more_is_removed(void **state)
{
    world *w = *state;
    count_to(w, 1);
    make(w, "gone", 0);
    make(w, "young", LEAT_HOURS(30));
    make_file(place_dir, "counts/gone/making-00000000000000000009-77", "CURRENT");
    make(w, "a", LEAT_HOURS(49));
    assert_int_equal(matches("counts/gone", NULL, 0), 0);
    assert_int_equal(matches("counts/young/*", NULL, 0), 1);
    assert_int_equal(matches("counts/a/*", NULL, 0), 1);
}

/* ---------------------------------------------------------------- beside commits */

typedef struct maker {
    world *world;
    atomic_bool done;
} maker;

static void *make_ten(void *arg)
{
    maker *m = arg;
    for (int64_t i = 0; i < 10; i++) {
        leat__snapshot_size size;
        leat__snapshot_place place = place_at("a", i);
        if (leat__snapshot_make(m->world->database, &place, &size, NULL) != LEAT_OK)
            break;
    }
    atomic_store(&m->done, true);
    return NULL;
}

static void a_snapshot_beside_commits_is_one_of_them(void **state)
{
    world *w = *state; /* R6: data and position are of the same commit */
    maker m = {.world = w};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_ten, &m), 0);
    int64_t count = 0;
    while (!atomic_load(&m.done))
        count_to(w, ++count);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(matches("counts/a/snapshot-*", NULL, 0), 2);
    int64_t found = count_after_a_loss(w, "a", 1000);
    assert_true(found >= -1 && found <= count);
    /* each epoch has two rows, the first has the directory's too */
    int64_t rows_before = (int64_t)w->log_count - 2 * count;
    if (found > 0)
        assert_int_equal(leat__store_position(w->store), rows_before + 2 * found);
}

static int set_up_elsewhere(void **state)
{
    return set_up_in(state, "/dev/shm");
}

static void on_another_disk_it_is_copied(void **state)
{
    world *w = *state;
    struct stat here, there;
    assert_int_equal(stat(w->dir, &here), 0);
    assert_int_equal(stat(place_dir, &there), 0);
    if (here.st_dev == there.st_dev)
        skip();
    count_to(w, 1);
    make(w, "a", 0);
    count_to(w, 2);
    make(w, "a", 1);
    assert_int_equal(count_after_a_loss(w, "a", 2), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_is_the_state_with_its_position),
        TEST(a_database_that_was_a_snapshot_does_not_change_it),
        TEST(a_directory_with_state_is_never_replaced),
        TEST(the_newest_two_are_kept),
        TEST(without_snapshots_the_database_is_empty),
        TEST(a_name_that_the_directory_kept_finds_its_own),
        TEST(a_damaged_one_is_passed_over_for_the_next_older),
        TEST(when_all_are_damaged_there_is_none),
        TEST(one_of_a_newer_format_is_left_alone),
        TEST(one_of_another_job_is_not_taken),
        TEST(what_a_killed_process_left_is_removed),
        TEST(half_a_snapshot_in_the_state_directory_is_no_state),
        TEST(a_place_that_cannot_be_written_is_an_error),
        TEST(an_instance_takes_its_own_or_else_the_newest),
        TEST(one_older_than_half_the_retention_of_deletes_is_not_taken),
        TEST(what_nobody_can_use_any_more_is_removed),
        TEST(a_snapshot_beside_commits_is_one_of_them),
        cmocka_unit_test_setup_teardown(on_another_disk_it_is_copied, set_up_elsewhere, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
