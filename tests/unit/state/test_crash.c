/* R6 R12: kill -9 at any moment, and the database is some epoch as a whole, with the changelog
 * position of just that one.
 *
 *     parent (never opens RocksDB: R27)
 *       ├─ fork: writer   epochs, without end ...                  ◄─ SIGKILL after 1 to 60 ms
 *       └─ fork: checker  opens what is left, exits with 0 if it is whole
 *
 * Epoch e writes e under the keys "epoch" and "k(e mod 7)", appends e to a list cut to 100, puts e
 * into a map and sets a timer to e; its changelog position is 3 e. So the position says what
 * everything else must be. */
#include "base/random.h"
#include "conformance.h"
#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 20, WAYS = 7, KEPT = 100 };

static void one_epoch(world *w, int64_t e)
{
    char key[16];
    leat_error error = {0};
    snprintf(key, sizeof key, "k%d", (int)(e % WAYS));
    leat__store_set_now(w->store, 0, 0);
    set_tally(w, "epoch", e);
    set_tally(w, key, e);
    begin(w, "list");
    leat__store_append(w->store, VISITS, &(struct visit){(uint64_t)e, 0});
    leat__store_trim(w->store, VISITS, KEPT);
    commit(w);
    put_item(w, BY_ITEM, "map", e % WAYS, e);
    set_timer(w, "timer", WAKE, e);
    leat__store_seal(w->store, (uint64_t)e, &w->changes);
    leat__apply apply = {.store = w->store,
                         .changes = &w->changes,
                         .epoch = (uint64_t)e,
                         .changelog_position = 3 * e};
    if (leat__database_apply(w->database, &apply, 1, &error) != LEAT_OK)
        _exit(2);
}

static void writer(const char *dir)
{
    world w = {.backend = LEAT__ROCKSDB,
               .slots = world_slots,
               .slot_count = SLOT_COUNT,
               .timers = world_timers,
               .timer_count = TIMER_COUNT,
               .cache_bytes = 4 << 10,
               .write_buffer_bytes = 64 << 10};
    snprintf(w.dir, sizeof w.dir, "%s", dir);
    world_open(&w);
    int64_t position = leat__store_position(w.store);
    for (int64_t e = position < 0 ? 1 : position / 3 + 1;; e++)
        one_epoch(&w, e);
}

#define WHOLE(condition)                                                   \
    do {                                                                   \
        if (!(condition)) {                                                \
            fprintf(stderr, "epoch %lld: %s\n", (long long)e, #condition); \
            _exit(1);                                                      \
        }                                                                  \
    } while (0)

static void check_list(world *w, int64_t e)
{
    begin(w, "list");
    const void *elements;
    size_t count = leat__store_list(w->store, VISITS, &elements);
    WHOLE(count == (size_t)(e < KEPT ? e : KEPT));
    for (size_t i = 0; i < count; i++)
        WHOLE(((const struct visit *)elements)[i].item ==
              (uint64_t)(e - (int64_t)count + 1 + (int64_t)i));
    commit(w);
}

/* Exits with 0 and writes the epoch to `report`, or with 1. */
static void checker(const char *dir, int report)
{
    world w = {.backend = LEAT__ROCKSDB,
               .slots = world_slots,
               .slot_count = SLOT_COUNT,
               .timers = world_timers,
               .timer_count = TIMER_COUNT};
    snprintf(w.dir, sizeof w.dir, "%s", dir);
    world_open(&w);
    int64_t position = leat__store_position(w.store), e = position < 0 ? 0 : position / 3;
    WHOLE(position < 0 || position % 3 == 0);
    WHOLE(tally_of(&w, TALLY, "epoch") == (e == 0 ? -1 : e));
    for (int64_t i = 0; i < WAYS; i++) {
        char key[16];
        int64_t last = e - (e - i + WAYS) % WAYS;
        snprintf(key, sizeof key, "k%d", (int)i);
        WHOLE(tally_of(&w, TALLY, key) == (last <= 0 ? -1 : last));
        WHOLE(item_of(&w, BY_ITEM, "map", i) == (last <= 0 ? -1 : last));
    }
    check_list(&w, e);
    WHOLE(leat__store_timer_next(w.store, LEAT__EVENT_TIME) == (e == 0 ? LEAT_TIME_MAX : e));
    WHOLE(leat__store_check(w.store, NULL) == LEAT_OK);
    world_close(&w);
    _exit(write(report, &e, sizeof e) == (ssize_t)sizeof e ? 0 : 3);
}

static int64_t check_in_child(const char *dir)
{
    int report[2], status = 0;
    assert_int_equal(pipe(report), 0);
    pid_t child = fork();
    if (child == 0)
        checker(dir, report[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the checker ended with status %x", (unsigned)status);
    int64_t e = -1;
    assert_int_equal(read(report[0], &e, sizeof e), sizeof e);
    close(report[0]);
    close(report[1]);
    return e;
}

static void kill_leaves_a_whole_epoch(void **state)
{
    (void)state;
    char dir[64] = "/tmp/leat-state-XXXXXX";
    leat__random random = {20261121};
    assert_non_null(mkdtemp(dir));
    int64_t last = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        if (child == 0)
            writer(dir);
        usleep((useconds_t)(20000 + leat__random_below(&random, 60000)));
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        int64_t e = check_in_child(dir);
        assert_true(e >=
                    last); /* kill -9 takes nothing that was applied: the page cache lives on */
        last = e;
    }
    assert_true(last > ROUNDS); /* or nothing was tested */
    world_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"R6 R12 kill -9 leaves whole epochs, each with its position", kill_leaves_a_whole_epoch,
         NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
