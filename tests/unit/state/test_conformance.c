/* What every state backend does: one suite, run for memory and for rocksdb.
 * S1 S2 S3 S4 T1 T2 R6 R10 R14 R22: ../../../docs/semantics.md, exactly-once rules. */
#include "world.h"

/* ---------------------------------------------------------------- helpers that read like the
 * sentences */

static void set_tally(world *w, const char *key, int64_t count)
{
    begin(w, key);
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = count;
    commit(w);
}

static int64_t tally_of(world *w, size_t slot, const char *key)
{ /* -1: absent */
    begin(w, key);
    const struct tally *tally = leat__store_get(w->store, slot);
    int64_t count = tally == NULL ? -1 : tally->count;
    commit(w);
    return count;
}

static void set_slot(world *w, size_t slot, const char *key, int64_t count)
{
    begin(w, key);
    ((struct tally *)leat__store_mut(w->store, slot))->count = count;
    commit(w);
}

static void set_name(world *w, const char *key, const char *name)
{
    char lent[64];
    leat_str tags[2] = {LEAT_STR("red"), LEAT_STR("blue")};
    begin(w, key);
    struct profile *profile = leat__store_mut(w->store, PROFILE);
    snprintf(lent, sizeof lent, "%s", name);
    profile->name = (leat_str){lent, strlen(lent)};
    profile->age = (uint32_t)strlen(name);
    profile->tags = (leat_list){tags, 2};
    commit(w);
    memset(lent, 'x', sizeof lent); /* what was lent is gone after the commit */
    tags[0] = LEAT_STR("?");
}

static void expect_name(world *w, const char *key, const char *name)
{
    begin(w, key);
    const struct profile *profile = leat__store_get(w->store, PROFILE);
    assert_non_null(profile);
    assert_int_equal(profile->name.length, strlen(name));
    assert_memory_equal(profile->name.data, name, strlen(name));
    assert_int_equal(profile->age, strlen(name));
    assert_int_equal(profile->tags.count, 2);
    assert_true(leat_str_equal(((const leat_str *)profile->tags.items)[1], LEAT_STR("blue")));
    commit(w);
}

static void visit_at(world *w, size_t slot, const char *key, uint64_t item, int64_t event_ms)
{
    leat__store_set_now(w->store, event_ms, event_ms);
    begin(w, key);
    leat__store_append(w->store, slot, &(struct visit){item, event_ms});
    commit(w);
}

static void expect_visits(world *w, size_t slot, const char *key, const char *items)
{ /* "1 2 3" */
    char found[4096] = "";
    begin(w, key);
    const void *elements;
    size_t count = leat__store_list(w->store, slot, &elements);
    const struct visit *visits = elements;
    for (size_t i = 0; i < count && strlen(found) < 4000; i++)
        sprintf(found + strlen(found), "%s%llu", i == 0 ? "" : " ",
                (unsigned long long)visits[i].item);
    commit(w);
    assert_string_equal(found, items);
}

static void put_item(world *w, size_t slot, const char *key, int64_t item, int64_t count)
{
    begin(w, key);
    ((struct tally *)leat__store_map_mut(w->store, slot, &item))->count = count;
    commit(w);
}

static int64_t item_of(world *w, size_t slot, const char *key, int64_t item)
{
    begin(w, key);
    const struct tally *tally = leat__store_map_get(w->store, slot, &item);
    int64_t count = tally == NULL ? -1 : tally->count;
    commit(w);
    return count;
}

static bool collect(void *arg, const void *map_key, const void *value)
{
    char *text = arg;
    sprintf(text + strlen(text), "%s%lld=%lld", text[0] == '\0' ? "" : " ",
            (long long)*(const int64_t *)map_key, (long long)((const struct tally *)value)->count);
    return strlen(text) < 4000;
}

static void expect_map(world *w, size_t slot, const char *key, const char *items)
{ /* "-1=5 3=7" */
    char found[4096] = "";
    begin(w, key);
    leat__store_map_each(w->store, slot, collect, found);
    commit(w);
    assert_string_equal(found, items);
}

static void set_timer(world *w, const char *key, size_t timer, int64_t at_ms)
{
    begin(w, key);
    leat__store_timer_set(w->store, timer, LEAT__EVENT_TIME, 0, at_ms);
    commit(w);
}

static void clear_timer(world *w, const char *key, size_t timer)
{
    begin(w, key);
    leat__store_timer_clear(w->store, timer, LEAT__EVENT_TIME, 0);
    commit(w);
}

static void expect_fired(world *w, int64_t until_ms, const char *timers)
{ /* "0:ann@5 1:bob@7" */
    char found[4096] = "";
    leat__timer timer;
    while (leat__store_timer_pop(w->store, LEAT__EVENT_TIME, until_ms, &timer))
        sprintf(found + strlen(found), "%s%zu:%.*s@%lld", found[0] == '\0' ? "" : " ", timer.timer,
                (int)timer.key.length, timer.key.data, (long long)timer.at_ms);
    assert_string_equal(found, timers);
}

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

static void get_and_mut_are_one_value(world *w)
{
    set_tally(w, "ann", 7);
    begin(w, "ann");
    const struct tally *read = leat__store_get(w->store, TALLY);
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = 8;
    assert_int_equal(read->count, 8);
    commit(w);
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

/* ---------------------------------------------------------------- S1 lists */

static void lists_keep_order(world *w)
{
    for (uint64_t i = 1; i <= 4; i++)
        visit_at(w, VISITS, "ann", i, 0);
    visit_at(w, VISITS, "bob", 9, 0);
    expect_visits(w, VISITS, "ann", "1 2 3 4");
    expect_visits(w, VISITS, "bob", "9");
    expect_visits(w, VISITS, "carl", "");
}

static void trim_keeps_the_newest(world *w)
{
    for (uint64_t i = 1; i <= 6; i++)
        visit_at(w, VISITS, "ann", i, 0);
    begin(w, "ann");
    leat__store_trim(w->store, VISITS, 2);
    commit(w);
    expect_visits(w, VISITS, "ann", "5 6");
    visit_at(w, VISITS, "ann", 7, 0);
    world_epoch(w);
    world_crash(w);
    expect_visits(w, VISITS, "ann", "5 6 7");
}

static void trim_to_nothing_is_a_deletion(world *w)
{
    visit_at(w, VISITS, "ann", 1, 0);
    world_epoch(w);
    begin(w, "ann");
    leat__store_trim(w->store, VISITS, 0);
    commit(w);
    assert_int_equal(world_epoch(w), 1);
    assert_null(w->changes.changes[0].value.data);
    world_crash(w);
    expect_visits(w, VISITS, "ann", "");
}

static void long_lists_survive(world *w)
{
    char expected[4096] = "";
    for (uint64_t i = 1; i <= 500; i++) {
        visit_at(w, VISITS, "ann", i, 0);
        if (i % 13 == 0)
            world_epoch(w);
        if (i == 300) {
            begin(w, "ann");
            leat__store_trim(w->store, VISITS, 210);
            commit(w);
        }
    }
    world_epoch(w);
    for (int i = 91; i <= 500; i++)
        sprintf(expected + strlen(expected), "%s%d", i == 91 ? "" : " ", i);
    expect_visits(w, VISITS, "ann", expected);
    world_crash(w);
    expect_visits(w, VISITS, "ann", expected);
    visit_at(w, VISITS, "ann", 501, 0);
    world_epoch(w);
    world_crash(w);
    sprintf(expected + strlen(expected), " 501");
    expect_visits(w, VISITS, "ann", expected);
}

static void appending_to_a_long_list_is_cheap(world *w)
{
    for (uint64_t i = 1; i <= 5000; i++)
        visit_at(w, VISITS, "ann", i, 0);
    world_epoch(w);
    visit_at(w, VISITS, "ann", 5001, 0);
    world_epoch(w);
    assert_in_range(w->changes.bytes, 1, 2000); /* not 5001 elements again */
}

static void no_change_is_larger_than_a_log_takes(world *w)
{
    char *big = leat__calloc(1, 40000);
    memset(big, 'b', 40000);
    begin(w, "ann");
    for (int i = 0; i < 60; i++)
        leat__store_append(w->store, NAMES, &(leat_str){big, 40000});
    commit(w);
    world_epoch(w);
    for (size_t i = 0; i < w->changes.count; i++)
        assert_in_range(w->changes.changes[i].value.length, 0, 200000);
    world_crash(w);
    begin(w, "ann");
    const void *elements;
    assert_int_equal(leat__store_list(w->store, NAMES, &elements), 60);
    assert_int_equal(((const leat_str *)elements)[59].length, 40000);
    commit(w);
    leat__free(big);
}

static void deleted_long_list_leaves_nothing(world *w)
{
    for (uint64_t i = 1; i <= 300; i++)
        visit_at(w, VISITS, "ann", i, 0);
    world_epoch(w);
    begin(w, "ann");
    leat__store_del(w->store, VISITS);
    leat__store_append(w->store, VISITS, &(struct visit){1, 0});
    commit(w);
    world_epoch(w);
    for (size_t i = 0; i + 1 < w->changes.count; i++)
        assert_null(w->changes.changes[i].value.data);
    world_crash(w);
    expect_visits(w, VISITS, "ann", "1");
}

static void list_strings_are_copied(world *w)
{
    char lent[8] = "one";
    begin(w, "ann");
    leat__store_append(w->store, NAMES, &(leat_str){lent, 3});
    memcpy(lent, "two", 4);
    leat__store_append(w->store, NAMES, &(leat_str){lent, 3});
    commit(w);
    for (int i = 0; i < 2; i++) {
        begin(w, "ann");
        const void *elements;
        assert_int_equal(leat__store_list(w->store, NAMES, &elements), 2);
        assert_true(leat_str_equal(((const leat_str *)elements)[0], LEAT_STR("one")));
        assert_true(leat_str_equal(((const leat_str *)elements)[1], LEAT_STR("two")));
        commit(w);
        world_epoch(w);
        world_crash(w);
    }
}

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

/* ---------------------------------------------------------------- S2 TTL */

static void expired_value_is_never_returned(world *w)
{
    leat__store_set_now(w->store, 100, 0);
    set_slot(w, SHORT, "ann", 1);
    leat__store_set_now(w->store, 100 + TTL_MS - 1, 0);
    assert_int_equal(tally_of(w, SHORT, "ann"), 1);
    leat__store_set_now(w->store, 100 + TTL_MS, 0);
    assert_int_equal(tally_of(w, SHORT, "ann"), -1);
}

static void writing_refreshes(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    set_slot(w, SHORT, "ann", 1);
    leat__store_set_now(w->store, 900, 0);
    set_slot(w, SHORT, "ann", 2);
    leat__store_set_now(w->store, 1800, 0);
    assert_int_equal(tally_of(w, SHORT, "ann"), 2);
    leat__store_set_now(w->store, 1900, 0);
    assert_int_equal(tally_of(w, SHORT, "ann"), -1);
}

static void reading_refreshes_if_asked(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    begin(w, "ann");
    ((struct profile *)leat__store_mut(w->store, SHORT_READ))->name = LEAT_STR("Ann");
    commit(w);
    for (int64_t now_ms = 900; now_ms < 5000; now_ms += 900) {
        leat__store_set_now(w->store, now_ms, 0);
        begin(w, "ann");
        const struct profile *profile = leat__store_get(w->store, SHORT_READ);
        assert_non_null(profile);
        assert_true(leat_str_equal(profile->name, LEAT_STR("Ann")));
        commit(w);
        world_epoch(w);
        world_crash(w); /* the refreshed time is state too */
    }
}

static void mut_of_an_expired_value_starts_anew(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    set_slot(w, SHORT, "ann", 5);
    leat__store_set_now(w->store, 2000, 0);
    begin(w, "ann");
    assert_int_equal(((struct tally *)leat__store_mut(w->store, SHORT))->count, 0);
    commit(w);
}

static void expiry_found_is_a_tombstone(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    set_slot(w, SHORT, "ann", 5);
    world_epoch(w);
    leat__store_set_now(w->store, 2000, 0);
    assert_int_equal(tally_of(w, SHORT, "ann"), -1);
    assert_int_equal(world_epoch(w), 1);
    assert_null(w->changes.changes[0].value.data);
}

static void expiry_in_a_failed_callback_is_found_again(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    set_slot(w, SHORT, "ann", 5);
    leat__store_set_now(w->store, 2000, 0);
    begin(w, "ann");
    assert_null(leat__store_get(w->store, SHORT));
    rollback(w);
    assert_int_equal(tally_of(w, SHORT, "ann"), -1);
    leat__store_set_now(w->store, 500,
                        0); /* a late event still sees what it would have seen in order... */
    set_slot(w, SHORT, "bob", 1);
    assert_int_equal(tally_of(w, SHORT, "bob"), 1);
}

static void list_elements_expire_singly(world *w)
{
    visit_at(w, SHORT_LIST, "ann", 1, 0);
    visit_at(w, SHORT_LIST, "ann", 2, 500);
    visit_at(w, SHORT_LIST, "ann", 3, 800);
    leat__store_set_now(w->store, 1400, 0);
    expect_visits(w, SHORT_LIST, "ann", "2 3");
    world_epoch(w);
    world_crash(w);
    leat__store_set_now(w->store, 1600, 0);
    expect_visits(w, SHORT_LIST, "ann", "3");
    leat__store_set_now(w->store, 1800, 0);
    expect_visits(w, SHORT_LIST, "ann", "");
}

static void late_list_elements_expire_first(world *w)
{
    visit_at(w, SHORT_LIST, "ann", 1, 500);
    visit_at(w, SHORT_LIST, "ann", 2, 100);
    visit_at(w, SHORT_LIST, "ann", 3, 900);
    world_epoch(w);
    leat__store_set_now(w->store, 1200, 0);
    begin(w, "ann");
    const void *elements;
    assert_int_equal(leat__store_list(w->store, SHORT_LIST, &elements), 2);
    rollback(w);
    leat__store_set_now(w->store, 1000, 0);
    expect_visits(w, SHORT_LIST, "ann", "1 2 3"); /* S3: the rollback put it back in its place */
    leat__store_set_now(w->store, 1200, 0);
    expect_visits(w, SHORT_LIST, "ann", "1 3");
    world_epoch(w);
    world_crash(w);
    leat__store_set_now(w->store, 1200, 0);
    expect_visits(w, SHORT_LIST, "ann", "1 3");
}

static void map_entries_expire_singly(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    put_item(w, SHORT_MAP, "ann", 1, 1);
    leat__store_set_now(w->store, 500, 0);
    put_item(w, SHORT_MAP, "ann", 2, 2);
    leat__store_set_now(w->store, 1200, 0);
    expect_map(w, SHORT_MAP, "ann", "2=2");
    assert_int_equal(item_of(w, SHORT_MAP, "ann", 1), -1);
}

static void ttl_may_follow_the_clock(world *w)
{
    leat__store_set_now(w->store, 5000, 100);
    set_slot(w, CLOCKED, "ann", 1);
    leat__store_set_now(w->store, 99999, 1099);
    assert_int_equal(tally_of(w, CLOCKED, "ann"), 1);
    leat__store_set_now(w->store, 0, 1100);
    assert_int_equal(tally_of(w, CLOCKED, "ann"), -1);
}

static void the_watermark_expires_too(world *w)
{
    leat__store_set_now(w->store, 100, 0);
    set_slot(w, SHORT, "ann", 1);
    leat__store_set_watermark(w->store, 100 + TTL_MS);
    assert_int_equal(tally_of(w, SHORT, "ann"),
                     -1); /* a late event sees the same whether swept or not (R21) */
}

static size_t seals_until_empty(world *w)
{
    for (size_t i = 1; i < 4000; i++) {
        world_epoch(w);
        size_t live = 0;
        for (size_t j = 0; j < w->log_count; j++)
            live += w->log[j].value != NULL ? 1u : 0u;
        for (size_t j = 0; j < w->log_count; j++)
            live -= w->log[j].value == NULL ? 1u : 0u;
        if (live <= SLOT_COUNT + TIMER_COUNT)
            return i; /* the directory */
    }
    return 0;
}

static void idle_keys_are_reclaimed(world *w)
{
    char key[32];
    leat__store_set_now(w->store, 0, 0);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set_slot(w, SHORT, key, i);
        visit_at(w, SHORT_LIST, key, 1, 0);
        put_item(w, SHORT_MAP, key, 1, 1);
    }
    world_epoch(w);
    leat__store_set_now(w->store, 10, 10);
    leat__store_set_watermark(w->store, 5000);
    assert_true(seals_until_empty(w) != 0);
    world_crash(w);
    leat__store_stats stats;
    leat__store_get_stats(w->store, &stats);
    assert_int_equal(stats.entries, 0);
}

static void the_sweep_goes_by_committed_time_alone(world *w)
{
    leat__store_set_now(w->store, 0, 0);
    set_slot(w, SHORT, "ann", 1);
    world_epoch(w);
    leat__store_set_now(w->store, 99999, 99999); /* an event far ahead is no watermark */
    for (int i = 0; i < 200; i++)
        assert_int_equal(world_epoch(w), 0);
    leat__store_set_now(w->store, 500, 0);
    assert_int_equal(tally_of(w, SHORT, "ann"), 1);
}

/* ---------------------------------------------------------------- T1 T2 timers */

static void timers_fire_in_order(world *w)
{
    set_timer(w, "bob", WAKE, 20);
    set_timer(w, "carl", WAKE, 10);
    set_timer(w, "bob", CLOSE, 10);
    set_timer(w, "ann", WAKE, 10);
    set_timer(w, "ann-longer-than-eight", WAKE, 10);
    assert_int_equal(leat__store_timer_next(w->store, LEAT__EVENT_TIME), 10);
    expect_fired(w, 15, "0:ann@10 0:ann-longer-than-eight@10 0:carl@10 1:bob@10");
    expect_fired(w, 30, "0:bob@20");
    expect_fired(w, LEAT_TIME_MAX, "");
}

static void order_of_many_timers(world *w)
{
    char key[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "same-prefix-%d", i);
        set_timer(w, key, WAKE, (int64_t)((unsigned)i * 2654435761u % 500));
    }
    int64_t last_ms = LEAT_TIME_MIN;
    char last_key[64] = "";
    leat__timer timer;
    size_t fired = 0;
    while (leat__store_timer_pop(w->store, LEAT__EVENT_TIME, LEAT_TIME_MAX, &timer)) {
        snprintf(key, sizeof key, "%.*s", (int)timer.key.length, timer.key.data);
        assert_true(timer.at_ms > last_ms || (timer.at_ms == last_ms && strcmp(key, last_key) > 0));
        assert_int_equal(timer.hash, leat__hash64(timer.key.data, timer.key.length));
        last_ms = timer.at_ms;
        snprintf(last_key, sizeof last_key, "%s", key);
        fired++;
    }
    assert_int_equal(fired, 3000);
}

static void setting_again_moves(world *w)
{
    set_timer(w, "ann", WAKE, 10);
    set_timer(w, "ann", WAKE, 30);
    expect_fired(w, 20, "");
    set_timer(w, "ann", WAKE, 5);
    expect_fired(w, 5, "0:ann@5");
    expect_fired(w, LEAT_TIME_MAX, "");
}

static void moving_back_and_forth_fires_once(world *w)
{
    for (int i = 0; i < 200; i++)
        set_timer(w, "ann", WAKE, i % 2 == 0 ? 100 - i / 4 : 200 + i);
    set_timer(w, "ann", WAKE, 70);
    expect_fired(w, 1000, "0:ann@70");
    set_timer(w, "ann", WAKE, 80);
    expect_fired(w, 1000, "0:ann@80");
}

static void cleared_timers_do_not_fire(world *w)
{
    set_timer(w, "ann", WAKE, 10);
    set_timer(w, "bob", WAKE, 10);
    clear_timer(w, "ann", WAKE);
    clear_timer(w, "carl", WAKE);
    expect_fired(w, 100, "0:bob@10");
    leat__store_stats stats;
    leat__store_get_stats(w->store, &stats);
    assert_int_equal(stats.timers, 0);
}

static void cleared_timers_leave_nothing_in_memory(world *w)
{
    char key[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set_timer(w, key, WAKE, LEAT_DAYS(30));
        clear_timer(w, key, WAKE);
        if (i % 100 == 99)
            assert_int_equal(world_epoch(w), 0); /* came and went: nothing for the changelog */
    }
    leat__store_stats stats;
    leat__store_get_stats(w->store, &stats);
    if (w->backend == LEAT__MEMORY)
        assert_in_range(stats.entries, 0, 300);
    expect_fired(w, LEAT_TIME_MAX, "");
}

static void a_timer_set_while_firing_fires_in_the_same_pass(world *w)
{
    set_timer(w, "ann", WAKE, 10);
    set_timer(w, "bob", WAKE, 30);
    leat__timer timer;
    char fired[128] = "";
    while (leat__store_timer_pop(w->store, LEAT__EVENT_TIME, 40, &timer)) {
        sprintf(fired + strlen(fired), "%.*s@%lld ", (int)timer.key.length, timer.key.data,
                (long long)timer.at_ms);
        if (timer.at_ms >= 20)
            continue;
        leat__store_set_key(w->store, timer.key, timer.hash);
        leat__store_callback_begin(w->store);
        leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, 0, 20);
        commit(w);
    }
    assert_string_equal(fired, "ann@10 ann@20 bob@30 ");
}

static void tags_tell_timers_apart(world *w)
{
    begin(w, "ann");
    leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, 500, 10);
    leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, -500, 10);
    leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, 0, 10);
    leat__store_timer_clear(w->store, WAKE, LEAT__EVENT_TIME, 0);
    commit(w);
    leat__timer timer;
    assert_true(leat__store_timer_pop(w->store, LEAT__EVENT_TIME, 10, &timer));
    assert_int_equal(timer.tag, -500);
    assert_true(leat__store_timer_pop(w->store, LEAT__EVENT_TIME, 10, &timer));
    assert_int_equal(timer.tag, 500);
    assert_false(leat__store_timer_pop(w->store, LEAT__EVENT_TIME, 10, &timer));
}

static void domains_are_apart(world *w)
{
    begin(w, "ann");
    leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, 0, 10);
    leat__store_timer_set(w->store, WAKE, LEAT__PROCESSING_TIME, 0, 5);
    commit(w);
    assert_int_equal(leat__store_timer_next(w->store, LEAT__EVENT_TIME), 10);
    assert_int_equal(leat__store_timer_next(w->store, LEAT__PROCESSING_TIME), 5);
    expect_fired(w, 100, "0:ann@10");
    assert_int_equal(leat__store_timer_next(w->store, LEAT__PROCESSING_TIME), 5);
}

static void timers_are_state(world *w)
{
    set_timer(w, "ann", WAKE, 10);
    set_timer(w, "bob", WAKE, 20);
    set_timer(w, "carl", CLOSE, LEAT_TIME_MAX);
    world_epoch(w);
    set_timer(w, "ann", WAKE, 15);
    clear_timer(w, "bob", WAKE);
    world_epoch(w);
    set_timer(w, "dora", WAKE, 1); /* not committed */
    world_crash(w);
    expect_fired(w, LEAT_TIME_MAX - 1, "0:ann@15");
    expect_fired(w, LEAT_TIME_MAX, "1:carl@9223372036854775807");
}

static void a_fired_timer_is_gone_after_the_commit(world *w)
{
    set_timer(w, "ann", WAKE, 10);
    world_epoch(w);
    expect_fired(w, 10, "0:ann@10");
    world_rewind(w); /* the firing was not committed */
    expect_fired(w, 10, "0:ann@10");
    world_epoch(w);
    world_crash(w);
    expect_fired(w, 10, "");
}

static void a_timer_popped_before_a_failed_callback_stays_fired(world *w)
{
    set_timer(w, "ann", WAKE, 10);
    leat__timer timer;
    assert_true(leat__store_timer_pop(w->store, LEAT__EVENT_TIME, 10, &timer));
    leat__store_set_key(w->store, timer.key, timer.hash);
    leat__store_callback_begin(w->store);
    leat__store_timer_set(w->store, WAKE, LEAT__EVENT_TIME, 0, 12);
    rollback(w);
    expect_fired(w, 100, "");
}

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

/* ---------------------------------------------------------------- run for both */

#define CASES(X)                                                                                   \
    X(absent_value, "S1 a value that was never written is absent")                                 \
    X(new_value_is_zeroed, "S1 a new value is zeroed and exists once it was handed out")           \
    X(values_belong_to_their_key, "S1 values belong to their key")                                 \
    X(slots_of_one_key_are_apart, "S1 slots of one key are apart")                                 \
    X(del_removes, "S1 a deleted value stays deleted")                                             \
    X(del_then_mut_is_zeroed, "S1 a value made anew after its deletion is zeroed")                 \
    X(get_and_mut_are_one_value, "S1 get and mut in one callback give the same value")             \
    X(many_keys, "S1 many keys live side by side")                                                 \
    X(any_bytes_are_a_key, "S1 a key may be empty, long or hold zero bytes")                       \
    X(keys_with_one_hash_are_apart, "S1 keys with the same hash are apart")                        \
    X(strings_are_copied, "S1 strings and lists in a value are copied at the commit")              \
    X(strings_survive_an_edit_elsewhere, "S1 editing one field leaves the strings of the others")  \
    X(empty_and_absent_strings_differ, "S1 an empty string is not an absent one")                  \
    X(rollback_restores_a_value, "S3 a failed callback leaves the value as it was")                \
    X(rollback_takes_back_a_creation, "S3 a failed callback creates nothing")                      \
    X(rollback_takes_back_a_deletion, "S3 a failed callback deletes nothing")                      \
    X(rollback_restores_strings,                                                                   \
      "S3 a failed callback leaves strings as they were, even edited in place")                    \
    X(rollback_restores_lists, "S3 a failed callback leaves lists as they were")                   \
    X(rollback_restores_maps, "S3 a failed callback leaves maps as they were")                     \
    X(rollback_restores_timers, "S3 a failed callback leaves timers as they were")                 \
    X(rollback_keeps_earlier_callbacks,                                                            \
      "S3 a failed callback leaves what earlier ones of its epoch did")                            \
    X(rolled_back_changes_are_not_sealed, "S3 nothing of a failed callback is sealed")             \
    X(values_stay_where_they_are_in_a_callback,                                                    \
      "S1 a value stays where it is until the callback returns")                                   \
    X(lists_keep_order, "S1 lists keep the order of appending")                                    \
    X(trim_keeps_the_newest, "S1 trim keeps the newest elements")                                  \
    X(trim_to_nothing_is_a_deletion, "S1 a list trimmed to nothing is deleted")                    \
    X(long_lists_survive, "S1 long lists survive a crash")                                         \
    X(appending_to_a_long_list_is_cheap,                                                           \
      "R9 appending to a long list does not write it all again")                                   \
    X(no_change_is_larger_than_a_log_takes, "R6 no list makes a changelog record too large")       \
    X(deleted_long_list_leaves_nothing, "S1 a deleted long list leaves no part behind")            \
    X(list_strings_are_copied, "S1 strings in lists are copied")                                   \
    X(map_entries_are_apart, "S1 map entries are apart")                                           \
    X(map_each_is_in_key_order, "S1 map_each goes in key order")                                   \
    X(map_each_sees_stored_changed_and_deleted,                                                    \
      "S1 map_each sees what is stored, changed and deleted")                                      \
    X(map_each_stops, "S1 map_each stops when told")                                               \
    X(del_of_a_map_removes_every_entry, "S1 deleting a map deletes every entry of this key alone") \
    X(maps_of_strings, "S1 map keys and values may hold strings")                                  \
    X(expired_value_is_never_returned, "S2 an expired value is never returned")                    \
    X(writing_refreshes, "S2 writing refreshes")                                                   \
    X(reading_refreshes_if_asked, "S2 reading refreshes where the slot says so")                   \
    X(mut_of_an_expired_value_starts_anew, "S2 editing an expired value starts anew")              \
    X(expiry_found_is_a_tombstone, "R22 an expiry found by a read is a tombstone of that epoch")   \
    X(expiry_in_a_failed_callback_is_found_again,                                                  \
      "S3 an expiry found in a failed callback is found again")                                    \
    X(list_elements_expire_singly, "S2 list elements expire singly")                               \
    X(late_list_elements_expire_first, "S2 a late list element expires before its neighbours")     \
    X(map_entries_expire_singly, "S2 map entries expire singly")                                   \
    X(ttl_may_follow_the_clock, "S2 TTL may follow the clock of the epoch")                        \
    X(the_watermark_expires_too,                                                                   \
      "S2 what the watermark has passed is expired for a late event too")                          \
    X(idle_keys_are_reclaimed, "R22 expired values of idle keys are reclaimed")                    \
    X(the_sweep_goes_by_committed_time_alone,                                                      \
      "R22 an event far ahead does not reclaim what others still see")                             \
    X(timers_fire_in_order, "T2 timers fire by time, then timer, then key")                        \
    X(order_of_many_timers, "T2 many timers fire in order")                                        \
    X(setting_again_moves, "T1 setting a timer again moves it")                                    \
    X(moving_back_and_forth_fires_once, "T1 a timer moved many times fires once")                  \
    X(cleared_timers_do_not_fire, "T1 a cleared timer does not fire")                              \
    X(cleared_timers_leave_nothing_in_memory,                                                      \
      "T1 timers set and cleared again and again leave nothing behind")                            \
    X(a_timer_set_while_firing_fires_in_the_same_pass,                                             \
      "T1 a timer set while firing fires in the same pass")                                        \
    X(tags_tell_timers_apart, "T1 tags tell timers of one name apart")                             \
    X(domains_are_apart, "T1 event time and processing time are apart")                            \
    X(timers_are_state, "T1 timers are committed and restored with their key")                     \
    X(a_fired_timer_is_gone_after_the_commit,                                                      \
      "R10 a timer fires again unless its firing was committed")                                   \
    X(a_timer_popped_before_a_failed_callback_stays_fired,                                         \
      "S3 a failed callback does not wind its timer up again")                                     \
    X(seal_holds_what_changed_once, "R6 an epoch holds each change once, in order of the first")   \
    X(what_came_and_went_is_not_sealed, "R24 what came and went within an epoch is no change")     \
    X(changelog_keys_are_never_4_bytes, "R14 changelog keys are never 4 bytes long")               \
    X(replaying_twice_is_harmless, "R6 replaying the changelog again is harmless")                 \
    X(rewind_drops_what_was_not_applied, "R10 a rewind drops what was not committed")              \
    X(rewind_in_a_callback_is_possible, "R10 a rewind may happen in the middle of a callback")     \
    X(position_follows_the_applied_epochs, "R6 the changelog position follows the applied epochs") \
    X(the_next_epoch_runs_while_one_commits, "R9 the next epoch goes on while one commits")        \
    X(wipe_leaves_nothing, "R13 wiped state is gone and can be restored")                          \
    X(a_small_cache_changes_nothing, "S1 a cache far too small changes nothing but speed")

static void run(void **state, leat__backend backend)
{
    void (*const *test)(world *) = *state;
    world *w = world_new(backend);
    (*test)(w);
    world_free(w);
}
static void run_memory(void **state)
{
    run(state, LEAT__MEMORY);
}
static void run_rocksdb(void **state)
{
    run(state, LEAT__ROCKSDB);
}

#define FUNCTION(function, name) static void (*const function##_test)(world *) = function;
CASES(FUNCTION)
#define BOTH(function, name)                                                        \
    {"memory: " name, run_memory, NULL, NULL, (void *)(uintptr_t)&function##_test}, \
        {"rocksdb: " name, run_rocksdb, NULL, NULL, (void *)(uintptr_t)&function##_test},

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(BOTH)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
