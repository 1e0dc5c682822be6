/* What the rocksdb backend alone does: the directory, damage, a full disk, committed reads,
 * eviction (R6 R17 R25 R26). */
#include "conformance.h"
#include "state/backend.h"
#include "state/identity.h"
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <sys/mount.h>

static int set_up(void **state)
{
    *state = world_new(LEAT__ROCKSDB);
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    char *small = strstr(w->dir, "/leat.small");
    if (small != NULL) { /* the full disk of a test that failed */
        (void)umount2(w->dir, MNT_DETACH);
        *small = '\0';
    }
    world_free(w);
    return 0;
}

static leat_status try_open(const char *dir, leat_error *error)
{
    leat__database *database;
    memset(error, 0, sizeof *error);
    leat_status status = leat__database_open(
        &database, &(leat__database_opts){.backend = LEAT__ROCKSDB, .dir = dir}, error);
    if (status == LEAT_OK)
        leat__database_close(database);
    assert_int_equal(status, error->status);
    return status;
}

/* ---------------------------------------------------------------- the directory */

static void a_second_opener_is_told_who_holds_it(void **state)
{
    world *w = *state;
    leat_error error;
    char pid[32];
    assert_int_equal(try_open(w->dir, &error), LEAT_ELOCKED);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(error.message, pid));
    assert_string_equal(error.where, w->dir);
    world_close(w);
    assert_int_equal(try_open(w->dir, &error), LEAT_OK);
}

static void touch(const char *dir, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
}

static void a_directory_of_something_else_is_refused(void **state)
{
    world *w = *state;
    leat_error error;
    char dir[280], path[300];
    static const char *const names[] = {"notes.txt", "leat.mark", "12.jpg"};
    world_close(w);
    assert_int_equal(try_open(w->dir, &error), LEAT_OK); /* its own files are fine */
    snprintf(dir, sizeof dir, "%s/other", w->dir);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(mkdir(dir, 0700), 0);
        touch(dir, names[i]);
        assert_int_equal(try_open(dir, &error), LEAT_EINVAL);
        assert_non_null(strstr(error.message, names[i]));
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(dir), 0); /* nothing was written there */
    }
}

static void an_instance_keeps_its_name(void **state)
{
    world *w = *state; /* R25 */
    leat_error error;
    char first[LEAT__IDENTITY_BYTES], again[LEAT__IDENTITY_BYTES];
    assert_int_equal(leat__identity(w->dir, 0x123456789abcdef0, first, &error), LEAT_OK);
    assert_string_equal(first, "i-123456789abc");
    assert_int_equal(leat__identity(w->dir, 7, again, &error), LEAT_OK);
    assert_string_equal(again, first);
    touch(w->dir, "leat.instance"); /* emptied */
    assert_int_equal(leat__identity(w->dir, 7, again, &error), LEAT_ECORRUPT);
    assert_int_equal(leat__identity("/nowhere/at/all", 7, again, &error), LEAT_EIO);
}

static void a_directory_that_cannot_be_is_refused(void **state)
{
    (void)state;
    leat_error error;
    assert_int_equal(try_open(NULL, &error), LEAT_EINVAL);
    assert_int_equal(try_open("/dev/null/state", &error), LEAT_EIO);
    assert_int_equal(try_open("/nowhere/at/all", &error), LEAT_EIO);
    if (mkdir("/sys/leat-test", 0700) == 0) {
        rmdir("/sys/leat-test");
        skip();
    }
    assert_int_equal(try_open("/sys/leat-test", &error), LEAT_EACCES);
}

/* `pattern` within the directory; `how` gets the open file. */
static void damage(world *w, const char *pattern, void (*how)(int file))
{
    char path[128];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", w->dir, pattern);
    assert_int_equal(glob(path, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int file = open(found.gl_pathv[i], O_RDWR);
        how(file);
        close(file);
    }
    globfree(&found);
}

static void scribble(int file)
{
    static const char junk[64] = "not what was written here";
    for (off_t at = 0; at < 4096; at += (off_t)sizeof junk)
        assert_int_equal(pwrite(file, junk, sizeof junk, at), sizeof junk);
}

static void cut_short(int file)
{
    assert_int_equal(ftruncate(file, 100), 0);
}

static void fill(world *w, int keys)
{
    char key[32];
    world_close(w);
    w->write_buffer_bytes = 64 << 10; /* so that files are written, not the WAL alone */
    world_open(w);
    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        set_tally(w, key, i);
        if (i % 200 == 0)
            world_epoch(w);
    }
    world_epoch(w);
}

static void a_garbled_store_is_damaged(void **state)
{
    world *w = *state;
    leat_error error;
    fill(w, 20);
    world_close(w);
    damage(w, "MANIFEST-*", scribble);
    assert_int_equal(try_open(w->dir, &error), LEAT_ECORRUPT);
    assert_non_null(strstr(error.message, "remove the directory"));
    damage(w, "CURRENT", scribble);
    assert_int_equal(try_open(w->dir, &error), LEAT_ECORRUPT);
}

static void a_truncated_store_is_damaged(void **state)
{
    world *w = *state;
    leat_error error;
    fill(w, 10000);
    world_close(w);
    damage(w, "*.sst", cut_short);
    assert_int_equal(try_open(w->dir, &error), LEAT_ECORRUPT);
}

static void a_failed_read_stops_the_commit(void **state)
{
    world *w = *state;
    leat_error error = {0};
    fill(w, 10000);
    assert_int_equal(leat__store_check(w->store, &error), LEAT_OK);
    world_close(w);
    world_open(w); /* nothing is cached */
    damage(w, "*.sst", scribble);
    char key[32];
    for (int i = 0; i < 10000; i += 100) {
        snprintf(key, sizeof key, "key-%d", i);
        (void)tally_of(w, TALLY, key);
    }
    assert_int_equal(leat__store_check(w->store, &error), LEAT_ECORRUPT); /* R17 */
    assert_int_equal(error.recovery, LEAT_RECOVERY_FATAL);
}

static void a_newer_format_is_refused(void **state)
{
    world *w = *state;
    leat_error error;
    const leat__backend_ops *ops = w->database->ops;
    leat__batch *batch = ops->batch(w->database);
    ops->put(batch,
             LEAT_STR("\xff\xff\xff\xff"
                      "format"),
             LEAT_STR("\x02"));
    assert_int_equal(ops->write(batch, &error), LEAT_OK);
    ops->batch_free(batch);
    world_close(w);
    assert_int_equal(try_open(w->dir, &error), LEAT_EVERSION); /* R26 */
    assert_non_null(strstr(error.message, "newer"));
}

static void a_full_disk_is_said_and_nothing_is_lost(void **state)
{
    world *w = *state;
    char small[96], key[32];
    world_close(w);
    snprintf(small, sizeof small, "%s/leat.small", w->dir);
    assert_int_equal(mkdir(small, 0700), 0);
    if (mount("tmpfs", small, "tmpfs", 0, "size=2m") != 0)
        skip(); /* needs root */
    snprintf(w->dir + strlen(w->dir), sizeof w->dir - strlen(w->dir), "/leat.small");
    world_open(w);
    leat_status status = LEAT_OK;
    leat_error error = {0};
    int64_t applied = -1;
    for (int i = 0; status == LEAT_OK && i < 100000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        set_tally(w, key, i);
        set_tally(w, "last", i);
        if (i % 100 != 0)
            continue;
        leat__store_seal(w->store, ++w->epoch, &w->changes);
        leat__apply apply = {
            .store = w->store, .changes = &w->changes, .epoch = w->epoch, .changelog_position = i};
        status = leat__database_apply(w->database, &apply, 1, &error);
        if (status == LEAT_OK)
            applied = i;
    }
    assert_int_equal(status, LEAT_ENOSPC);
    assert_int_equal(error.recovery, LEAT_RECOVERY_FATAL);
    assert_int_equal(leat__store_position(w->store), applied);
    world_close(w);
    assert_int_equal(mount(NULL, w->dir, NULL, MS_REMOUNT, "size=64m"), 0);
    world_open(w);
    assert_true(leat__store_position(w->store) >= applied);
    assert_int_equal(tally_of(w, TALLY, "last"), leat__store_position(w->store)); /* R6 */
    world_close(w);
    assert_int_equal(umount(w->dir), 0);
    *strrchr(w->dir, '/') = '\0';
    world_open(w);
}

/* ---------------------------------------------------------------- committed reads */

static leat_status read_tally(world *w, size_t slot, const char *key, int64_t now_ms,
                              int64_t *count)
{
    leat__buffer bytes = {0};
    struct tally tally = {0};
    leat_error error = {0};
    leat_status status =
        leat__store_read(w->store, slot, leat_str_from(key), now_ms, &bytes, &error);
    if (status == LEAT_OK) {
        leat_binary_decoder *decoder = leat_binary_decoder_new();
        leat_str text = {bytes.data, bytes.length};
        assert_int_equal(leat_binary_decode(decoder, &tally_type, text, &tally, &error), LEAT_OK);
        leat_binary_decoder_free(decoder);
    }
    leat__buffer_free(&bytes);
    *count = tally.count;
    return status;
}

static void readers_see_what_was_applied(void **state)
{
    world *w = *state;
    int64_t count;
    assert_int_equal(read_tally(w, TALLY, "ann", 0, &count), LEAT_ENOTFOUND);
    set_tally(w, "ann", 1);
    assert_int_equal(read_tally(w, TALLY, "ann", 0, &count), LEAT_ENOTFOUND);
    world_epoch(w);
    assert_int_equal(read_tally(w, TALLY, "ann", 0, &count), LEAT_OK);
    assert_int_equal(count, 1);
    set_tally(w, "ann", 2);
    leat__store_seal(w->store, ++w->epoch, &w->changes);
    assert_int_equal(read_tally(w, TALLY, "ann", 0, &count), LEAT_OK);
    assert_int_equal(count, 1); /* sealed is not committed */
    world_apply(w);
    assert_int_equal(read_tally(w, TALLY, "ann", 0, &count), LEAT_OK);
    assert_int_equal(count, 2);
    assert_int_equal(read_tally(w, VISITS, "ann", 0, &count), LEAT_EINVAL);
}

static void readers_never_see_an_expired_value(void **state)
{
    world *w = *state;
    int64_t count;
    leat__store_set_now(w->store, 100, 100);
    set_slot(w, SHORT, "ann", 1);
    set_slot(w, CLOCKED, "ann", 1);
    world_epoch(w);
    assert_int_equal(read_tally(w, CLOCKED, "ann", 100 + TTL_MS - 1, &count), LEAT_OK);
    assert_int_equal(read_tally(w, CLOCKED, "ann", 100 + TTL_MS, &count), LEAT_ENOTFOUND);
    assert_int_equal(read_tally(w, SHORT, "ann", 99999999, &count),
                     LEAT_OK); /* R22: not the wall clock */
    leat__store_set_watermark(w->store, 100 + TTL_MS);
    assert_int_equal(read_tally(w, SHORT, "ann", 0, &count), LEAT_ENOTFOUND);
}

static void memory_cannot_be_read_from_outside(void **state)
{
    (void)state;
    world *w = world_new(LEAT__MEMORY);
    int64_t count;
    assert_int_equal(read_tally(w, TALLY, "ann", 0, &count), LEAT_EINVAL);
    world_free(w);
}

typedef struct observer {
    world *w;
    _Atomic bool stop;
    _Atomic int reads;
    bool went_back;
} observer;

static void *watch(void *arg)
{
    observer *watcher = arg;
    int64_t last = 0, count;
    while (!watcher->stop) {
        if (read_tally(watcher->w, TALLY, "ann", 0, &count) == LEAT_OK) {
            watcher->went_back = watcher->went_back || count < last;
            last = count;
        }
        watcher->reads++;
    }
    return NULL;
}

static void other_threads_read_while_the_task_works(void **state)
{
    world *w = *state;
    observer watcher = {.w = w};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
    for (int64_t i = 1; i <= 2000 || watcher.reads < 10; i++) {
        set_tally(w, "ann", i);
        world_epoch(w);
    }
    watcher.stop = true;
    pthread_join(thread, NULL);
    assert_false(watcher.went_back);
}

/* ---------------------------------------------------------------- tools */

static bool describe(void *arg, const leat__database_entry *entry)
{
    char *text = arg;
    sprintf(text + strlen(text), "%u/%u %s %.*s", entry->stage, entry->partition, entry->slot,
            (int)entry->key.length, entry->key.data);
    if (entry->map_key_layout[0] != '\0')
        sprintf(text + strlen(text), " [%s]", entry->map_key_layout);
    if (entry->timer)
        sprintf(text + strlen(text), " at %lld", (long long)entry->time_ms);
    else
        sprintf(text + strlen(text), " %s",
                strchr(entry->layout, '{') != NULL ? "{}" : entry->layout);
    strcat(text, "\n");
    return strlen(text) < 3000;
}

static void tools_list_a_directory_in_use(void **state)
{
    world *w = *state;
    char text[4096] = "";
    leat_error error;
    set_tally(w, "ann", 1);
    set_name(w, "bob", "Bob");
    visit_at(w, VISITS, "ann", 7, 0);
    visit_at(w, VISITS, "ann", 8, 0);
    put_item(w, BY_ITEM, "ann", 1, 1);
    set_timer(w, "ann", WAKE, 50);
    world_epoch(w);
    set_tally(w, "not committed", 1);
    assert_int_equal(leat__database_scan(w->dir, describe, text, &error), LEAT_OK);
    assert_non_null(strstr(text, "3/7 op/tally ann {}\n"));
    assert_non_null(strstr(text, "3/7 op/profile bob {}\n"));
    assert_non_null(strstr(text, "3/7 op/visits ann {}\n3/7 op/visits ann {}\n"));
    assert_non_null(strstr(text, "3/7 op/by-item ann ["));
    assert_non_null(strstr(text, "3/7 op/wake ann at 50\n"));
    assert_null(strstr(text, "not committed"));
    assert_int_equal(leat__database_scan("/nowhere/at/all", describe, text, &error),
                     LEAT_ENOTFOUND);
}

static bool count_elements(void *arg, const leat__database_entry *entry)
{
    leat_error error;
    struct visit visit;
    leat_binary_decoder *decoder = leat_binary_decoder_new();
    assert_int_equal(leat_binary_decode(decoder, &visit_type, entry->value, &visit, &error),
                     LEAT_OK);
    leat_binary_decoder_free(decoder);
    int *next = arg;
    assert_int_equal(visit.item, (*next)++);
    return true;
}

static void tools_see_long_lists_whole(void **state)
{
    world *w = *state;
    for (uint64_t i = 0; i < 300; i++)
        visit_at(w, VISITS, "ann", i, 0);
    world_epoch(w);
    begin(w, "ann");
    leat__store_trim(w->store, VISITS, 290);
    commit(w);
    world_epoch(w);
    int next = 10;
    leat_error error;
    assert_int_equal(leat__database_scan(w->dir, count_elements, &next, &error), LEAT_OK);
    assert_int_equal(next, 300);
}

/* ---------------------------------------------------------------- commit and cache */

static void all_tasks_commit_in_one_write(void **state)
{
    world *w = *state;
    leat_error error = {0};
    leat__store *other;
    leat__store_opts opts = {.database = w->database,
                             .stage = 3,
                             .partition = 8,
                             .slots = world_slots,
                             .slot_count = SLOT_COUNT};
    assert_int_equal(leat__store_open(&other, &opts, &error), LEAT_OK);
    set_tally(w, "ann", 1);
    leat__store_set_key(other, LEAT_STR("ann"), leat__hash64("ann", 3));
    leat__store_callback_begin(other);
    ((struct tally *)leat__store_mut(other, TALLY))->count = 2;
    leat__store_callback_commit(other);
    leat__changes changes[2];
    memset(changes, 0, sizeof changes);
    leat__store_seal(w->store, 1, &changes[0]);
    leat__store_seal(other, 1, &changes[1]);
    leat__apply applies[2] = {
        {.store = w->store, .changes = &changes[0], .changelog_position = 10, .epoch = 1},
        {.store = other, .changes = &changes[1], .changelog_position = -1, .epoch = 1}};
    assert_int_equal(leat__database_apply(w->database, applies, 2, &error), LEAT_OK);
    assert_int_equal(leat__store_position(w->store), 10);
    assert_int_equal(leat__store_position(other), -1); /* unknown: kept */
    leat__store_close(other);
    world_close(w);
    world_open(w);
    assert_int_equal(leat__store_position(w->store), 10);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
    assert_int_equal(leat__store_open(&other,
                                      &(leat__store_opts){.database = w->database,
                                                          .stage = 3,
                                                          .partition = 8,
                                                          .slots = world_slots,
                                                          .slot_count = SLOT_COUNT},
                                      &error),
                     LEAT_OK);
    leat__store_set_key(other, LEAT_STR("ann"), leat__hash64("ann", 3));
    assert_int_equal(((const struct tally *)leat__store_get(other, TALLY))->count, 2);
    assert_int_equal(leat__store_wipe(other, &error), LEAT_OK); /* R13: and nobody else's */
    leat__store_close(other);
    leat__changes_free(&changes[0]);
    leat__changes_free(&changes[1]);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
}

static void what_is_not_applied_is_not_evicted(void **state)
{
    world *w = *state;
    char key[32];
    world_close(w);
    w->cache_bytes = 16 << 10;
    world_open(w);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        set_tally(w, key, i);
        if (i == 1000)
            leat__store_seal(w->store, ++w->epoch, &w->changes);
    }
    for (int i = 0; i < 2000; i++) { /* the database has none of them yet */
        snprintf(key, sizeof key, "key-%d", i);
        assert_int_equal(tally_of(w, TALLY, key), i);
    }
    world_apply(w);
    world_epoch(w);
    leat__store_stats stats;
    for (int i = 0; i < 2000; i++)
        (void)tally_of(w, TALLY, "another");
    leat__store_get_stats(w->store, &stats);
    assert_in_range(stats.cache_bytes, 0, 64 << 10);
}

static void absent_keys_are_remembered(void **state)
{
    world *w = *state;
    leat__store_stats before, after;
    (void)tally_of(w, TALLY, "ann");
    leat__store_get_stats(w->store, &before);
    for (int i = 0; i < 100; i++)
        (void)tally_of(w, TALLY, "ann");
    leat__store_get_stats(w->store, &after);
    assert_int_equal(before.misses, after.misses);
}

static void a_map_is_read_from_the_disk_once(void **state)
{
    world *w = *state;
    leat__store_stats before, after;
    for (int64_t i = 0; i < 5; i++)
        put_item(w, BY_ITEM, "ann", i, i);
    world_epoch(w);
    world_crash(w);
    expect_map(w, BY_ITEM, "ann", "0=0 1=1 2=2 3=3 4=4");
    leat__store_get_stats(w->store, &before);
    expect_map(w, BY_ITEM, "ann", "0=0 1=1 2=2 3=3 4=4");
    assert_int_equal(item_of(w, BY_ITEM, "ann", 99), -1); /* all of it is known */
    put_item(w, BY_ITEM, "ann", 5, 5);
    leat__store_get_stats(w->store, &after);
    assert_int_equal(before.misses, after.misses);
}

static void the_later_of_two_changes_counts(void **state)
{
    world *w = *state;
    set_tally(w, "ann", 1);
    world_epoch(w);
    leat__change twice[2] = {w->changes.changes[w->changes.count - 1],
                             {.key = w->changes.changes[w->changes.count - 1].key}};
    leat__changes changes = {.changes = twice, .count = 2};
    leat__apply apply = {
        .store = w->store, .changes = &changes, .epoch = ++w->epoch, .changelog_position = 9};
    assert_int_equal(leat__database_apply(w->database, &apply, 1, NULL), LEAT_OK);
    int64_t count;
    assert_int_equal(read_tally(w, TALLY, "ann", 0, &count), LEAT_ENOTFOUND);
}

#define OWN(function, name)                     \
    {                                           \
        name, function, set_up, tear_down, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWN(a_second_opener_is_told_who_holds_it,
            "R25 a second opener is told who holds the directory"),
        OWN(a_directory_that_cannot_be_is_refused, "a directory that cannot be is refused"),
        OWN(a_directory_of_something_else_is_refused,
            "a directory of something else is refused and left as it is"),
        OWN(an_instance_keeps_its_name, "R25 an instance keeps its name"),
        OWN(a_garbled_store_is_damaged, "a garbled store is reported as damaged, with a remedy"),
        OWN(a_truncated_store_is_damaged, "a truncated store is reported as damaged"),
        OWN(a_failed_read_stops_the_commit, "R17 a failed read is fatal before the next commit"),
        OWN(a_newer_format_is_refused, "R26 a store of a newer version is refused"),
        OWN(a_full_disk_is_said_and_nothing_is_lost,
            "R17 a full disk is said, and nothing committed is lost"),
        OWN(readers_see_what_was_applied, "readers see what was applied, nothing earlier"),
        OWN(readers_never_see_an_expired_value, "S2 R22 readers never see an expired value"),
        OWN(memory_cannot_be_read_from_outside,
            "the memory backend says that it cannot be read from outside"),
        OWN(other_threads_read_while_the_task_works, "other threads read while the task works"),
        OWN(tools_list_a_directory_in_use, "tools list a directory that a job holds"),
        OWN(tools_see_long_lists_whole, "tools see long lists whole and in order"),
        OWN(all_tasks_commit_in_one_write,
            "R6 all tasks commit in one write, each with its position"),
        OWN(what_is_not_applied_is_not_evicted, "what is not applied is never evicted"),
        OWN(a_map_is_read_from_the_disk_once, "a map is read from the disk once"),
        OWN(the_later_of_two_changes_counts, "R6 the later of two changes of one key counts"),
        OWN(absent_keys_are_remembered, "a key found absent is not looked up again"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
