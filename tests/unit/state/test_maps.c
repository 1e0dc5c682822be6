/* State, every backend: maps (S1). */
#include "conformance.h"

/* ---------------------------------------------------------------- S1 maps */

static void map_entries_are_apart(world *w)
{
    put_item(w, BY_ITEM, "ann", 1, 10);
    put_item(w, BY_ITEM, "ann", 2, 20);
    put_item(w, BY_ITEM, "bob", 1, 30);
    assert_int_equal(item_of(w, BY_ITEM, "ann", 1), 10);
    assert_int_equal(item_of(w, BY_ITEM, "ann", 3), -1);
    assert_int_equal(item_of(w, BY_ITEM, "bob", 1), 30);
}

static void map_each_is_in_key_order(world *w)
{
    static const int64_t items[] = {300, -5, 7, 1LL << 40, 0, -(1LL << 40)};
    for (size_t i = 0; i < 6; i++)
        put_item(w, BY_ITEM, "ann", items[i], (int64_t)i);
    put_item(w, BY_ITEM, "bob", 9, 9);
    expect_map(w, BY_ITEM, "ann", "-1099511627776=5 -5=1 0=4 7=2 300=0 1099511627776=3");
    world_epoch(w);
    world_crash(w);
    expect_map(w, BY_ITEM, "ann", "-1099511627776=5 -5=1 0=4 7=2 300=0 1099511627776=3");
}

static void map_each_sees_stored_changed_and_deleted(world *w)
{
    for (int64_t i = 1; i <= 4; i++)
        put_item(w, BY_ITEM, "ann", i, i * 10);
    world_epoch(w);
    world_crash(w); /* rocksdb: the cache is empty now */
    put_item(w, BY_ITEM, "ann", 2, 21);
    put_item(w, BY_ITEM, "ann", 5, 50);
    begin(w, "ann");
    int64_t three = 3;
    leat__store_map_del(w->store, BY_ITEM, &three);
    commit(w);
    expect_map(w, BY_ITEM, "ann", "1=10 2=21 4=40 5=50");
    world_epoch(w);
    world_crash(w);
    expect_map(w, BY_ITEM, "ann", "1=10 2=21 4=40 5=50");
}

static bool first_only(void *arg, const void *map_key, const void *value)
{
    (void)map_key, (void)value;
    ++*(int *)arg;
    return false;
}

static void map_each_stops(world *w)
{
    put_item(w, BY_ITEM, "ann", 1, 1);
    put_item(w, BY_ITEM, "ann", 2, 2);
    int calls = 0;
    begin(w, "ann");
    leat__store_map_each(w->store, BY_ITEM, first_only, &calls);
    commit(w);
    assert_int_equal(calls, 1);
}

static void del_of_a_map_removes_every_entry(world *w)
{
    for (int64_t i = 1; i <= 4; i++)
        put_item(w, BY_ITEM, "ann", i, i);
    put_item(w, BY_ITEM, "anna", 1, 1);
    world_epoch(w);
    world_crash(w);
    begin(w, "ann");
    leat__store_del(w->store, BY_ITEM);
    commit(w);
    expect_map(w, BY_ITEM, "ann", "");
    world_epoch(w);
    world_crash(w);
    expect_map(w, BY_ITEM, "ann", "");
    expect_map(w, BY_ITEM, "anna", "1=1");
}

static void maps_of_strings(world *w)
{
    begin(w, "ann");
    leat_str key = LEAT_STR("a key");
    ((struct profile *)leat__store_map_mut(w->store, BY_NAME, &key))->name = LEAT_STR("a value");
    commit(w);
    world_epoch(w);
    world_crash(w);
    begin(w, "ann");
    const struct profile *profile = leat__store_map_get(w->store, BY_NAME, &key);
    assert_true(leat_str_equal(profile->name, LEAT_STR("a value")));
    commit(w);
}

/* clang-format off */
#define CASES(X) \
    X(map_entries_are_apart, "S1 map entries are apart") \
    X(map_each_is_in_key_order, "S1 map_each goes in key order") \
    X(map_each_sees_stored_changed_and_deleted, \
      "S1 map_each sees what is stored, changed and deleted") \
    X(map_each_stops, "S1 map_each stops when told") \
    X(del_of_a_map_removes_every_entry, "S1 deleting a map deletes every entry of this key alone") \
    X(maps_of_strings, "S1 map keys and values may hold strings")
/* clang-format on */

BOTH_MAIN
