/* State, every backend: epochs, restore, rewind (R6, R9, R10, R13, R14, R24). */
#include "conformance.h"

/* ---------------------------------------------------------------- epochs: R6 R10 R14 */

static void seal_holds_what_changed_once(world *w)
{
    set_tally(w, "zoe", 1);
    world_epoch(w);
    set_tally(w, "bob", 1);
    set_tally(w, "ann", 1);
    set_tally(w, "bob", 2);
    assert_true(leat__store_dirty_bytes(w->store) > 0);
    assert_int_equal(world_epoch(w), 2); /* in order of the first change */
    const leat__change *changes = w->changes.changes;
    assert_memory_equal(changes[0].key.data + changes[0].key.length - 3, "bob", 3);
    assert_memory_equal(changes[1].key.data + changes[1].key.length - 3, "ann", 3);
    assert_int_equal(leat__store_dirty_bytes(w->store), 0);
    assert_int_equal(world_epoch(w), 0);
}

static void what_came_and_went_is_not_sealed(world *w)
{
    set_tally(w, "zoe", 1);
    world_epoch(w);
    begin(w, "ann");
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = 1;
    commit(w);
    begin(w, "ann");
    leat__store_del(w->store, TALLY);
    commit(w);
    assert_int_equal(world_epoch(w), 0);
}

static void changelog_keys_are_never_4_bytes(world *w)
{
    static const char *const keys[] = {"", "a", "ab", "abc", "abcd"};
    for (size_t i = 0; i < 5; i++) {
        set_tally(w, keys[i], 1);
        visit_at(w, VISITS, keys[i], 1, 0);
        put_item(w, BY_ITEM, keys[i], 1, 1);
        set_timer(w, keys[i], WAKE, 1);
    }
    world_epoch(w);
    assert_true(w->changes.count >= 20);
    for (size_t i = 0; i < w->changes.count; i++)
        assert_int_not_equal(w->changes.changes[i].key.length, 4);
}

static void replaying_twice_is_harmless(world *w)
{
    set_tally(w, "ann", 1);
    put_item(w, BY_ITEM, "ann", 1, 1);
    world_epoch(w);
    set_tally(w, "ann", 2);
    for (uint64_t i = 0; i < 100; i++)
        visit_at(w, VISITS, "ann", i, 0);
    set_timer(w, "ann", WAKE, 9);
    world_epoch(w);
    leat_error error;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_replay_from(w, 0, &error), LEAT_OK);
        assert_int_equal(tally_of(w, TALLY, "ann"), 2);
        expect_map(w, BY_ITEM, "ann", "1=1");
        assert_int_equal(leat__store_timer_next(w->store, LEAT__EVENT_TIME), 9);
    }
    expect_fired(w, 100, "0:ann@9");
}

static void rewind_drops_what_was_not_applied(world *w)
{
    set_tally(w, "ann", 1);
    visit_at(w, VISITS, "ann", 1, 0);
    world_epoch(w);
    set_tally(w, "ann", 2); /* sealed, never committed */
    visit_at(w, VISITS, "ann", 2, 0);
    leat__store_seal(w->store, ++w->epoch, &w->changes);
    set_tally(w, "ann", 3); /* epoch N + 1 */
    set_tally(w, "bob", 3);
    set_timer(w, "bob", WAKE, 1);
    world_rewind(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
    assert_int_equal(tally_of(w, TALLY, "bob"), -1);
    expect_visits(w, VISITS, "ann", "1");
    expect_fired(w, 10, "");
    set_tally(w, "ann", 4);
    world_epoch(w);
    world_crash(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 4);
}

static void rewind_in_a_callback_is_possible(world *w)
{
    set_name(w, "ann", "Ann");
    world_epoch(w);
    begin(w, "ann");
    ((struct profile *)leat__store_mut(w->store, PROFILE))->name = LEAT_STR("half done");
    leat__store_append(w->store, NAMES, &LEAT_STR("half done"));
    world_rewind(w);
    expect_name(w, "ann", "Ann");
}

static void position_follows_the_applied_epochs(world *w)
{
    assert_int_equal(leat__store_position(w->store), -1);
    set_tally(w, "ann", 1);
    world_epoch(w);
    assert_int_equal(leat__store_position(w->store), w->log_count);
    world_close(w);
    world_open(w);
    int64_t expected = w->backend == LEAT__ROCKSDB ? (int64_t)w->log_count : -1;
    assert_int_equal(leat__store_position(w->store), expected);
    world_replay(w);
    assert_int_equal(leat__store_position(w->store), w->log_count);
}

static void the_next_epoch_runs_while_one_commits(world *w)
{
    set_tally(w, "ann", 1);
    leat__changes first = {0};
    leat__store_seal(w->store, ++w->epoch, &first);
    set_tally(w, "ann", 2); /* N + 1 while N commits */
    set_tally(w, "bob", 2);
    world_log(w, &first);
    leat__apply apply = {.store = w->store,
                         .changes = &first,
                         .epoch = w->epoch,
                         .changelog_position = (int64_t)w->log_count};
    assert_int_equal(leat__database_apply(w->database, &apply, 1, NULL), LEAT_OK);
    leat__changes_free(&first);
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
    assert_int_equal(world_epoch(w), 2);
    world_crash(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
    assert_int_equal(tally_of(w, TALLY, "bob"), 2);
}

/* An epoch that is in the log; the database gets it with a later one. */
static void deferred_epoch(world *w)
{
    leat__store_seal(w->store, ++w->epoch, &w->changes);
    world_log(w, &w->changes);
    leat__apply apply = {.store = w->store,
                         .changes = &w->changes,
                         .epoch = w->epoch,
                         .changelog_position = (int64_t)w->log_count};
    leat__database_defer(&apply, 1);
    assert_int_equal(w->changes.count, 0);
}

static void deferred_epochs_come_with_the_next_one(world *w)
{
    set_tally(w, "ann", 1);
    set_tally(w, "bob", 1);
    deferred_epoch(w);
    set_tally(w, "ann", 2);
    set_tally(w, "cid", 2);
    deferred_epoch(w);
    assert_int_equal(leat__store_position(w->store), -1); /* R6: behind, never ahead */
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
    at_key(w, "bob");
    leat__store_del(w->store, TALLY);
    set_tally(w, "ann", 3);
    world_epoch(w);
    assert_int_equal(leat__store_position(w->store), w->log_count);
    world_close(w); /* ROCKSDB: what is seen now is the database's */
    world_open(w);
    if (w->backend == LEAT__MEMORY)
        world_replay(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 3);
    assert_int_equal(tally_of(w, TALLY, "bob"), -1);
    assert_int_equal(tally_of(w, TALLY, "cid"), 2);
    assert_int_equal(world_epoch(w), 0);
}

static void a_deferred_epoch_is_written_by_one_that_changes_nothing(world *w)
{
    set_tally(w, "ann", 1);
    deferred_epoch(w);
    int64_t position = (int64_t)w->log_count;
    leat__store_seal(w->store, ++w->epoch, &w->changes);
    leat__apply apply = {.store = w->store,
                         .changes = &w->changes,
                         .epoch = w->epoch,
                         .changelog_position = -1}; /* nothing was written to the changelog */
    assert_int_equal(leat__database_apply(w->database, &apply, 1, NULL), LEAT_OK);
    assert_int_equal(leat__store_position(w->store), position);
}

static void a_deferred_epoch_that_is_lost_is_restored(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    set_tally(w, "ann", 2);
    deferred_epoch(w);
    world_crash(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
    set_tally(w, "ann", 3);
    deferred_epoch(w);
    world_rewind(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 3);
    world_epoch(w);
    world_crash(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 3);
}

static void wipe_leaves_nothing(world *w)
{
    set_tally(w, "ann", 1);
    set_timer(w, "ann", WAKE, 1);
    world_epoch(w);
    assert_int_equal(leat__store_wipe(w->store, NULL), LEAT_OK);
    assert_int_equal(leat__store_position(w->store), -1);
    assert_int_equal(tally_of(w, TALLY, "ann"), -1);
    expect_fired(w, 10, "");
    world_close(w);
    world_open(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), -1);
    world_replay(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
}

static void a_small_cache_changes_nothing(world *w)
{
    world_close(w);
    w->cache_bytes = 64 << 10;
    world_open(w);
    char key[32];
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 4000; i++) {
            snprintf(key, sizeof key, "key %d", i);
            begin(w, key);
            ((struct tally *)leat__store_mut(w->store, TALLY))->count++;
            leat__store_append(w->store, VISITS, &(struct visit){(uint64_t)round, 0});
            int64_t item = round;
            ((struct tally *)leat__store_map_mut(w->store, BY_ITEM, &item))->count = i;
            commit(w);
            if (i % 100 == 0)
                world_epoch(w);
        }
    }
    world_epoch(w);
    for (int i = 0; i < 4000; i += 37) {
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(tally_of(w, TALLY, key), 3);
        expect_visits(w, VISITS, key, "1 2 3");
        char items[64];
        snprintf(items, sizeof items, "1=%d 2=%d 3=%d", i, i, i);
        expect_map(w, BY_ITEM, key, items);
    }
    leat__store_stats stats;
    leat__store_get_stats(w->store, &stats);
    if (w->backend == LEAT__ROCKSDB)
        assert_in_range(stats.cache_bytes, 1, 512 << 10);
}

/* clang-format off */
#define CASES(X) \
    X(seal_holds_what_changed_once, "R6 an epoch holds each change once, in order of the first") \
    X(what_came_and_went_is_not_sealed, "R24 what came and went within an epoch is no change") \
    X(changelog_keys_are_never_4_bytes, "R14 changelog keys are never 4 bytes long") \
    X(replaying_twice_is_harmless, "R6 replaying the changelog again is harmless") \
    X(rewind_drops_what_was_not_applied, "R10 a rewind drops what was not committed") \
    X(rewind_in_a_callback_is_possible, "R10 a rewind may happen in the middle of a callback") \
    X(position_follows_the_applied_epochs, "R6 the changelog position follows the applied epochs") \
    X(the_next_epoch_runs_while_one_commits, "R9 the next epoch goes on while one commits") \
    X(deferred_epochs_come_with_the_next_one, "R6 deferred epochs are written with the next one") \
    X(a_deferred_epoch_is_written_by_one_that_changes_nothing, "R6 even if that changes none") \
    X(a_deferred_epoch_that_is_lost_is_restored, "R6 one that is lost is restored") \
    X(wipe_leaves_nothing, "R13 wiped state is gone and can be restored") \
    X(a_small_cache_changes_nothing, "S1 a cache far too small changes nothing but speed")
/* clang-format on */

BOTH_MAIN
