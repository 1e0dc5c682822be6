/* State, every backend: lists (S1). */
#include "conformance.h"

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

/* clang-format off */
#define CASES(X) \
    X(lists_keep_order, "S1 lists keep the order of appending") \
    X(trim_keeps_the_newest, "S1 trim keeps the newest elements") \
    X(trim_to_nothing_is_a_deletion, "S1 a list trimmed to nothing is deleted") \
    X(long_lists_survive, "S1 long lists survive a crash") \
    X(appending_to_a_long_list_is_cheap, \
      "R9 appending to a long list does not write it anew") \
    X(no_change_is_larger_than_a_log_takes, "R6 no list makes a changelog record too large") \
    X(deleted_long_list_leaves_nothing, "S1 a deleted long list leaves no part behind") \
    X(list_strings_are_copied, "S1 strings in lists are copied")
/* clang-format on */

BOTH_MAIN
