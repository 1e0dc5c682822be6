/* State, every backend: values and the transaction of a callback (S1, S3). */
#include "conformance.h"

/* ---------------------------------------------------------------- S1 values */

static void absent_value(world *w)
{
    assert_int_equal(tally_of(w, TALLY, "ann"), -1);
}

static void new_value_is_zeroed(world *w)
{
    begin(w, "ann");
    const struct tally *tally = leat__store_mut(w->store, TALLY);
    assert_int_equal(tally->count, 0);
    assert_true(tally->sum == 0);
    commit(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 0); /* and exists */
}

static void values_belong_to_their_key(world *w)
{
    set_tally(w, "ann", 1);
    set_tally(w, "bob", 2);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
    assert_int_equal(tally_of(w, TALLY, "bob"), 2);
    assert_int_equal(tally_of(w, TALLY, "an"), -1);
}

static void slots_of_one_key_are_apart(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    set_tally(w, "ann", 1);
    set_slot(w, SHORT, "ann", 2);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
    assert_int_equal(tally_of(w, SHORT, "ann"), 2);
}

static void del_removes(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    begin(w, "ann");
    leat__store_del(w->store, TALLY);
    assert_null(leat__store_get(w->store, TALLY));
    commit(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), -1);
    world_epoch(w);
    world_crash(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), -1);
}

static void del_then_mut_is_zeroed(world *w)
{
    set_tally(w, "ann", 7);
    begin(w, "ann");
    leat__store_del(w->store, TALLY);
    assert_int_equal(((struct tally *)leat__store_mut(w->store, TALLY))->count, 0);
    commit(w);
}

static void what_get_lent_stays_as_it_was(world *w)
{
    set_tally(w, "ann", 7);
    begin(w, "ann");
    const struct tally *read = leat__store_get(w->store, TALLY);
    struct tally *edited = leat__store_mut(w->store, TALLY);
    edited->count = 8;
    assert_int_equal(read->count, 7);
    assert_ptr_equal(leat__store_get(w->store, TALLY), edited);
    assert_ptr_equal(leat__store_mut(w->store, TALLY), edited);
    leat__store_del(w->store, TALLY);
    struct tally *again = leat__store_mut(w->store, TALLY);
    assert_int_equal(again->count, 0);
    again->count = 9;
    assert_int_equal(read->count, 7);
    assert_int_equal(edited->count, 8);
    commit(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 9);
}

static void many_keys(world *w)
{
    char key[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "user-%d", i);
        set_tally(w, key, i);
    }
    world_epoch(w);
    for (int i = 0; i < 20000; i += 7) {
        snprintf(key, sizeof key, "user-%d", i);
        assert_int_equal(tally_of(w, TALLY, key), i);
    }
    leat__store_stats stats;
    leat__store_get_stats(w->store, &stats);
    assert_in_range(stats.entries, 20000, 20100);
}

static void any_bytes_are_a_key(world *w)
{
    char long_key[100];
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[99] = '\0';
    set_tally(w, "", 1);
    set_tally(w, long_key, 2);
    long_key[98] = 'j';
    set_tally(w, long_key, 3);
    leat_str zero = {"a\0b", 3};
    leat__store_set_key(w->store, zero, leat__hash64(zero.data, zero.length));
    leat__store_callback_begin(w->store);
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = 4;
    commit(w);
    world_epoch(w);
    world_crash(w);
    assert_int_equal(tally_of(w, TALLY, ""), 1);
    assert_int_equal(tally_of(w, TALLY, long_key), 3);
    long_key[98] = 'k';
    assert_int_equal(tally_of(w, TALLY, long_key), 2);
    assert_int_equal(tally_of(w, TALLY, "a"), -1);
}

static void keys_with_one_hash_are_apart(world *w)
{
    static const char *const keys[] = {"a", "b", "c"};
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 3; i++) {
            leat__store_set_key(w->store, leat_str_from(keys[i]), 42);
            leat__store_callback_begin(w->store);
            ((struct tally *)leat__store_mut(w->store, TALLY))->count += i + 1;
            commit(w);
        }
    for (int i = 0; i < 3; i++) {
        leat__store_set_key(w->store, leat_str_from(keys[i]), 42);
        assert_int_equal(((const struct tally *)leat__store_get(w->store, TALLY))->count,
                         2 * (i + 1));
    }
}

static void strings_are_copied(world *w)
{
    set_name(w, "ann", "Ann Smith");
    expect_name(w, "ann", "Ann Smith");
    set_name(w, "ann", "A much longer name than the one before it");
    expect_name(w, "ann", "A much longer name than the one before it");
    world_epoch(w);
    world_crash(w);
    expect_name(w, "ann", "A much longer name than the one before it");
}

static void strings_survive_an_edit_elsewhere(world *w)
{
    set_name(w, "ann", "Ann Smith");
    for (int i = 0; i < 3; i++) {
        begin(w, "ann");
        struct profile *profile = leat__store_mut(w->store, PROFILE);
        profile->age += 0;
        commit(w);
    }
    expect_name(w, "ann", "Ann Smith");
}

static void empty_and_absent_strings_differ(world *w)
{
    begin(w, "ann");
    ((struct profile *)leat__store_mut(w->store, PROFILE))->name = LEAT_STR("");
    commit(w);
    begin(w, "bob");
    ((struct profile *)leat__store_mut(w->store, PROFILE))->name = (leat_str){0};
    commit(w);
    for (int i = 0; i < 2; i++) {
        begin(w, "ann");
        assert_non_null(((const struct profile *)leat__store_get(w->store, PROFILE))->name.data);
        commit(w);
        begin(w, "bob");
        assert_null(((const struct profile *)leat__store_get(w->store, PROFILE))->name.data);
        commit(w);
        world_epoch(w);
        world_crash(w);
    }
}

/* ---------------------------------------------------------------- S3 callbacks */

static void rollback_restores_a_value(world *w)
{
    set_tally(w, "ann", 7);
    begin(w, "ann");
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = 99;
    rollback(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 7);
}

static void rollback_takes_back_a_creation(world *w)
{
    begin(w, "ann");
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = 99;
    rollback(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), -1);
    assert_int_equal(world_epoch(w), 0);
}

static void rollback_takes_back_a_deletion(world *w)
{
    set_tally(w, "ann", 7);
    set_name(w, "ann", "Ann");
    begin(w, "ann");
    leat__store_del(w->store, TALLY);
    leat__store_del(w->store, PROFILE);
    rollback(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 7);
    expect_name(w, "ann", "Ann");
}

static void rollback_restores_strings(world *w)
{
    set_name(w, "ann", "Ann");
    for (int i = 0; i < 3; i++) {
        begin(w, "ann");
        if (i == 2)
            leat__store_del(w->store, PROFILE);
        struct profile *profile = leat__store_mut(w->store, PROFILE);
        profile->name = LEAT_STR("changed");
        if (i == 1)
            leat__store_del(w->store, PROFILE);
        if (i != 2 && profile->tags.count != 0)
            ((leat_str *)profile->tags.items)[1] = LEAT_STR("in place");
        rollback(w);
        expect_name(w, "ann", "Ann");
    }
}

static void rollback_restores_lists(world *w)
{
    for (uint64_t i = 1; i <= 5; i++)
        visit_at(w, VISITS, "ann", i, 0);
    begin(w, "ann");
    for (uint64_t i = 6; i <= 30; i++)
        leat__store_append(w->store, VISITS, &(struct visit){i, 0});
    leat__store_trim(w->store, VISITS, 3);
    rollback(w);
    expect_visits(w, VISITS, "ann", "1 2 3 4 5");
    begin(w, "ann");
    leat__store_del(w->store, VISITS);
    leat__store_append(w->store, VISITS, &(struct visit){9, 0});
    rollback(w);
    expect_visits(w, VISITS, "ann", "1 2 3 4 5");
}

static void rollback_restores_maps(world *w)
{
    put_item(w, BY_ITEM, "ann", 1, 10);
    put_item(w, BY_ITEM, "ann", 2, 20);
    begin(w, "ann");
    int64_t one = 1, two = 2, three = 3;
    ((struct tally *)leat__store_map_mut(w->store, BY_ITEM, &one))->count = 11;
    leat__store_map_del(w->store, BY_ITEM, &two);
    ((struct tally *)leat__store_map_mut(w->store, BY_ITEM, &three))->count = 30;
    rollback(w);
    expect_map(w, BY_ITEM, "ann", "1=10 2=20");
    begin(w, "ann");
    leat__store_del(w->store, BY_ITEM);
    rollback(w);
    expect_map(w, BY_ITEM, "ann", "1=10 2=20");
}

static void rollback_restores_timers(world *w)
{
    set_timer(w, "ann", WAKE, 50);
    begin(w, "ann");
    leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, 0, 10);
    leat__store_timer_set(w->store, CLOSE, LEAT__EVENT_TIME, 0, 20);
    rollback(w);
    begin(w, "ann");
    leat__store_timer_clear(w->store, WAKE, LEAT__EVENT_TIME, 0);
    assert_int_equal(leat__store_timer_next(w->store, LEAT__EVENT_TIME), LEAT_TIME_MAX);
    rollback(w);
    assert_int_equal(leat__store_timer_next(w->store, LEAT__EVENT_TIME), 50);
    expect_fired(w, 49, "");
    expect_fired(w, 100, "0:ann@50");
}

static void rollback_keeps_earlier_callbacks(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    set_tally(w, "ann", 2); /* the same epoch as the failure */
    set_tally(w, "bob", 5);
    begin(w, "ann");
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = 3;
    rollback(w);
    assert_true(world_epoch(w) == 2);
    world_crash(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
    assert_int_equal(tally_of(w, TALLY, "bob"), 5);
}

static void rolled_back_changes_are_not_sealed(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    begin(w, "ann");
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = 3;
    leat__store_append(w->store, VISITS, &(struct visit){1, 1});
    leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, 0, 10);
    rollback(w);
    assert_int_equal(leat__store_dirty_bytes(w->store), 0);
    assert_int_equal(world_epoch(w), 0);
}

static void values_stay_where_they_are_in_a_callback(world *w)
{
    begin(w, "ann");
    struct tally *first = leat__store_mut(w->store, TALLY);
    first->count = 1;
    for (int64_t i = 0; i < 5000; i++)
        ((struct tally *)leat__store_map_mut(w->store, BY_ITEM, &i))->count = i;
    first->count++;
    commit(w);
    assert_int_equal(tally_of(w, TALLY, "ann"), 2);
}

/* clang-format off */
#define CASES(X) \
    X(absent_value, "S1 a value that was never written is absent") \
    X(new_value_is_zeroed, "S1 a new value is zeroed and exists once it was handed out") \
    X(values_belong_to_their_key, "S1 values belong to their key") \
    X(slots_of_one_key_are_apart, "S1 slots of one key are apart") \
    X(del_removes, "S1 a deleted value stays deleted") \
    X(del_then_mut_is_zeroed, "S1 a value made anew after its deletion is zeroed") \
    X(what_get_lent_stays_as_it_was, "S5 what was lent stays as it was, edited or deleted") \
    X(many_keys, "S1 many keys live side by side") \
    X(any_bytes_are_a_key, "S1 a key may be empty, long or hold zero bytes") \
    X(keys_with_one_hash_are_apart, "S1 keys with the same hash are apart") \
    X(strings_are_copied, "S1 strings and lists in a value are copied at the commit") \
    X(strings_survive_an_edit_elsewhere, "S1 editing one field leaves the strings of the others") \
    X(empty_and_absent_strings_differ, "S1 an empty string is not an absent one") \
    X(rollback_restores_a_value, "S3 a failed callback leaves the value as it was") \
    X(rollback_takes_back_a_creation, "S3 a failed callback creates nothing") \
    X(rollback_takes_back_a_deletion, "S3 a failed callback deletes nothing") \
    X(rollback_restores_strings, \
      "S3 a failed callback leaves strings as they were, even edited in place") \
    X(rollback_restores_lists, "S3 a failed callback leaves lists as they were") \
    X(rollback_restores_maps, "S3 a failed callback leaves maps as they were") \
    X(rollback_restores_timers, "S3 a failed callback leaves timers as they were") \
    X(rollback_keeps_earlier_callbacks, \
      "S3 a failed callback leaves what earlier ones of its epoch did") \
    X(rolled_back_changes_are_not_sealed, "S3 nothing of a failed callback is sealed") \
    X(values_stay_where_they_are_in_a_callback, \
      "S1 a value stays where it is until the callback returns")
/* clang-format on */

BOTH_MAIN
