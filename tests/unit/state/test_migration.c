/* S4: what happens to stored state when the program changes. Every case for both backends; R6, R26
 * where they matter. */
#include "conformance.h"

struct tally_wider { /* struct tally: count i64, sum f64 */
    int64_t count;
    double sum;
    uint32_t extra;
    leat_str note;
};
LEAT_RECORD(tally_wider, count, sum, extra, note);
struct tally_less {
    int64_t count;
};
LEAT_RECORD(tally_less, count);
struct small {
    uint32_t number;
    float part;
};
LEAT_RECORD(small, number, part);
struct big {
    int64_t number;
    double part;
};
LEAT_RECORD(big, number, part);
struct other {
    leat_str count;
};
LEAT_RECORD(other, count);

struct tally_text { /* `sum` comes back as another type */
    int64_t count;
    leat_str sum;
};
LEAT_RECORD(tally_text, count, sum);

/* The program as `slots` from now on: the process ends and starts again. */
static leat_status restart_as(world *w, const leat__slot *slots, size_t slot_count,
                              leat_error *error)
{
    memset(error, 0, sizeof *error);
    world_close(w);
    w->slots = slots;
    w->slot_count = slot_count;
    world_open_database(w);
    leat_status status = world_open_store(w, error);
    return status != LEAT_OK ? status : world_replay_from(w, leat__store_position(w->store), error);
}

static void must_restart_as(world *w, const leat__slot *slots, size_t slot_count)
{
    leat_error error;
    if (restart_as(w, slots, slot_count, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

/* After a refusal: the program goes back, and everything is as it was. */
static void must_be_refused(world *w, const leat__slot *slots, size_t slot_count, const char *first,
                            const char *second)
{
    leat_error error;
    assert_int_equal(restart_as(w, slots, slot_count, &error), LEAT_ETYPE);
    assert_int_equal(error.status, LEAT_ETYPE);
    if (strstr(error.message, first) == NULL || strstr(error.message, second) == NULL)
        fail_msg("'%s' names not both of '%s' and '%s'", error.message, first, second);
    must_restart_as(w, world_slots, SLOT_COUNT);
    assert_int_equal(tally_of(w, TALLY, "ann"), 1);
}

static const leat__slot wider[] = {
    {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_wider_type}};
static const leat__slot less[] = {
    {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_less_type}};
static const leat__slot returned[] = {
    {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_text_type},
    {.name = "op/short-list", .kind = LEAT__LIST, .type = &visit_type}};
static const leat__slot incompatible[] = {
    {.name = "op/tally", .kind = LEAT__VALUE, .type = &other_type}};
static const leat__slot narrow[] = {
    {.name = "op/number", .kind = LEAT__VALUE, .type = &small_type}};
static const leat__slot broad[] = {{.name = "op/number", .kind = LEAT__VALUE, .type = &big_type}};

static void added_fields_are_zero(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    must_restart_as(w, wider, 1);
    begin(w, "ann");
    const struct tally_wider *tally = leat__store_get(w->store, 0);
    assert_int_equal(tally->count, 1);
    assert_int_equal(tally->extra, 0);
    assert_null(tally->note.data);
    commit(w);
}

static void removed_fields_are_dropped(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    must_restart_as(w, less, 1);
    begin(w, "ann");
    assert_int_equal(((const struct tally_less *)leat__store_get(w->store, 0))->count, 1);
    commit(w);
}

static void numbers_may_widen(world *w)
{
    must_restart_as(w, narrow, 1);
    begin(w, "ann");
    *(struct small *)leat__store_mut(w->store, 0) = (struct small){4000000000u, 0.5f};
    commit(w);
    world_epoch(w);
    must_restart_as(w, broad, 1);
    begin(w, "ann");
    const struct big *big = leat__store_get(w->store, 0);
    assert_int_equal(big->number, 4000000000);
    assert_true(big->part == 0.5);
    commit(w);
}

/* The directory row is written again behind values of the old layout, and compaction may even have
 * moved it behind values of the new one. */
static void compact_log(world *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->log_count; i++) {
        bool last = true;
        for (size_t k = i + 1; k < w->log_count && last; k++)
            last = w->log[i].key_length != w->log[k].key_length ||
                   memcmp(w->log[i].key, w->log[k].key, w->log[i].key_length) != 0;
        if (last) {
            w->log[kept++] = w->log[i];
        } else {
            leat__free(w->log[i].key);
            leat__free(w->log[i].value);
        }
    }
    w->log_count = kept;
}

static void values_of_every_layout_are_read(world *w)
{
    set_tally(w, "ann", 1);
    set_tally(w, "bob", 2);
    world_epoch(w);
    must_restart_as(w, wider, 1);
    begin(w, "bob");
    struct tally_wider *tally = leat__store_mut(w->store, 0);
    tally->count++;
    tally->note = LEAT_STR("a note");
    commit(w);
    world_epoch(w);
    for (int round = 0; round < 2; round++) {
        must_restart_as(w, wider, 1);
        begin(w, "ann");
        assert_int_equal(((const struct tally_wider *)leat__store_get(w->store, 0))->count, 1);
        commit(w);
        begin(w, "bob");
        assert_int_equal(((const struct tally_wider *)leat__store_get(w->store, 0))->count, 3);
        assert_true(leat_str_equal(((const struct tally_wider *)leat__store_get(w->store, 0))->note,
                                   LEAT_STR("a note")));
        commit(w);
        compact_log(w);
        if (w->backend == LEAT__ROCKSDB) { /* another machine: nothing but the changelog */
            world_close(w);
            world_remove_dir(w->dir);
        }
    }
}

/* A directory row that compaction took while an older one is still there. */
static void a_layout_may_be_told_late(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    must_restart_as(w, wider, 1);
    begin(w, "ann");
    ((struct tally_wider *)leat__store_mut(w->store, 0))->count = 2;
    commit(w);
    size_t second = w->log_count;
    world_epoch(w);
    must_restart_as(w, less, 1);
    begin(w, "bob");
    ((struct tally_less *)leat__store_mut(w->store, 0))->count = 3;
    commit(w);
    world_epoch(w);
    leat__free(w->log[second].key);
    leat__free(w->log[second].value);
    w->log_count--;
    memmove(&w->log[second], &w->log[second + 1], (w->log_count - second) * sizeof *w->log);
    if (w->backend == LEAT__ROCKSDB) {
        world_close(w);
        world_remove_dir(w->dir);
    }
    must_restart_as(w, less, 1);
    begin(w, "ann");
    assert_int_equal(((const struct tally_less *)leat__store_get(w->store, 0))->count, 2);
    commit(w);
}

static void the_older_program_can_come_back(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    must_restart_as(w, wider, 1);
    begin(w, "ann");
    ((struct tally_wider *)leat__store_mut(w->store, 0))->count = 5;
    commit(w);
    world_epoch(w);
    must_restart_as(w, world_slots, SLOT_COUNT);
    assert_int_equal(tally_of(w, TALLY, "ann"), 5);
    set_tally(w, "ann", 6);
    world_epoch(w);
    must_restart_as(w, wider, 1);
    begin(w, "ann");
    assert_int_equal(((const struct tally_wider *)leat__store_get(w->store, 0))->count, 6);
    commit(w);
}

static void another_type_is_refused(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    must_be_refused(w, incompatible, 1, "count:i64", "count:str");
}

static void write_as_less(world *w, const char *key, int64_t count)
{
    begin(w, key);
    ((struct tally_less *)leat__store_mut(w->store, 0))->count = count;
    commit(w);
}

static void expect_returned(world *w, const char *key, int64_t count, const char *sum)
{
    begin(w, key);
    const struct tally_text *tally = leat__store_get(w->store, 0);
    assert_non_null(tally);
    assert_int_equal(tally->count, count);
    if (sum == NULL)
        assert_null(tally->sum.data);
    else
        assert_true(leat_str_equal(tally->sum, leat_str_from(sum)));
    commit(w);
}

static void a_field_may_come_back_as_another_type_once_no_value_had_it(world *w)
{
    leat_error error;
    set_tally(w, "ann", 1);
    set_tally(w, "bob", 2);
    world_epoch(w);
    must_restart_as(w, less, 1);
    write_as_less(w, "ann", 3);
    world_epoch(w);
    assert_int_equal(restart_as(w, returned, 2, &error), LEAT_ETYPE); /* bob's has it still */
    assert_non_null(strstr(error.message, "field 'sum' was f64 and is str"));
    assert_non_null(
        strstr(error.message, w->backend == LEAT__ROCKSDB ? "1 value not" : "values not"));
    must_restart_as(w, less, 1);
    write_as_less(w, "bob", 4);
    world_epoch(w);
    for (int i = 0; i < 2; i++) { /* found out, and found out again: nothing was written */
        must_restart_as(w, returned, 2);
        expect_returned(w, "ann", 3, NULL);
        expect_returned(w, "bob", 4, NULL);
    }
    begin(w, "bob");
    ((struct tally_text *)leat__store_mut(w->store, 0))->sum = LEAT_STR("five");
    commit(w);
    world_epoch(w); /* with a directory row that has forgotten it */
    world_crash(w);
    expect_returned(w, "ann", 3, NULL);
    expect_returned(w, "bob", 4, "five");
    if (w->backend == LEAT__ROCKSDB) { /* and from the changelog alone */
        world_close(w);
        world_remove_dir(w->dir);
        must_restart_as(w, returned, 2);
        expect_returned(w, "bob", 4, "five");
    }
    compact_log(w);
    must_restart_as(w, returned, 2);
    expect_returned(w, "ann", 3, NULL);
    assert_int_equal(restart_as(w, world_slots, SLOT_COUNT, &error), LEAT_ETYPE); /* back: bob's */
    assert_non_null(strstr(error.message, "field 'sum' was str and is f64"));
}

static void what_was_deleted_behind_a_late_layout_stays_deleted(world *w)
{
    set_tally(w, "ann", 1);
    set_tally(w, "bob", 2);
    world_epoch(w);
    must_restart_as(w, wider, 1);
    size_t directory = w->log_count;
    begin(w, "bob");
    ((struct tally_wider *)leat__store_mut(w->store, 0))->extra = 7;
    commit(w);
    world_epoch(w);
    begin(w, "ann");
    leat__store_del(w->store, 0);
    commit(w);
    world_epoch(w);
    logged late = w->log[directory]; /* as compaction may leave it */
    memmove(&w->log[directory], &w->log[directory + 1],
            (w->log_count - directory - 1) * sizeof *w->log);
    w->log[w->log_count - 1] = late;
    if (w->backend == LEAT__ROCKSDB) {
        world_close(w);
        world_remove_dir(w->dir);
    }
    must_restart_as(w, wider, 1);
    begin(w, "ann");
    assert_null(leat__store_get(w->store, 0));
    commit(w);
    begin(w, "bob");
    assert_int_equal(((const struct tally_wider *)leat__store_get(w->store, 0))->extra, 7);
    commit(w);
}

static void another_kind_is_refused(world *w)
{
    static const leat__slot list[] = {
        {.name = "op/tally", .kind = LEAT__LIST, .type = &tally_type}};
    set_tally(w, "ann", 1);
    world_epoch(w);
    must_be_refused(w, list, 1, "value", "list");
}

static void another_map_key_is_refused(world *w)
{
    static const leat__slot map[] = {
        {.name = "op/by-item", .kind = LEAT__MAP, .type = &tally_type, .map_key = &leat_type_str}};
    set_tally(w, "ann", 1);
    put_item(w, BY_ITEM, "ann", 1, 1);
    world_epoch(w);
    must_be_refused(w, map, 1, "i64", "str");
}

static void lists_and_maps_migrate_too(world *w)
{
    static const leat__slot slots[] = {
        {.name = "op/by-item",
         .kind = LEAT__MAP,
         .type = &tally_wider_type,
         .map_key = &leat_type_i64},
        {.name = "op/visits", .kind = LEAT__LIST, .type = &visit_type},
    };
    put_item(w, BY_ITEM, "ann", 1, 10);
    for (uint64_t i = 0; i < 100; i++)
        visit_at(w, VISITS, "ann", i, 0);
    world_epoch(w);
    must_restart_as(w, slots, 2);
    begin(w, "ann");
    int64_t item = 1;
    assert_int_equal(((const struct tally_wider *)leat__store_map_get(w->store, 0, &item))->count,
                     10);
    const void *elements;
    assert_int_equal(leat__store_list(w->store, 1, &elements), 100);
    commit(w);
}

static void slots_may_move_and_come_and_go(world *w)
{
    static const leat__slot moved[] = {
        {.name = "op/brand-new", .kind = LEAT__VALUE, .type = &tally_type},
        {.name = "op/visits", .kind = LEAT__LIST, .type = &visit_type},
        {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_type},
    };
    set_tally(w, "ann", 1);
    visit_at(w, VISITS, "ann", 7, 0);
    world_epoch(w);
    must_restart_as(w, moved, 3);
    assert_int_equal(tally_of(w, 0, "ann"), -1);
    assert_int_equal(tally_of(w, 2, "ann"), 1);
    expect_visits(w, 1, "ann", "7");
    set_slot(w, 0, "ann", 3);
    world_epoch(w);
    world_crash(w);
    assert_int_equal(tally_of(w, 0, "ann"), 3);
}

static void timers_may_move(world *w)
{
    static const char *const moved[] = {"op/close", "op/extra", "op/wake"};
    set_timer(w, "ann", WAKE, 5);
    set_timer(w, "ann", CLOSE, 6);
    world_epoch(w);
    w->timers = moved;
    w->timer_count = 3;
    must_restart_as(w, world_slots, SLOT_COUNT);
    expect_fired(w, 10, "2:ann@5 0:ann@6");
}

static void a_ttl_may_come_and_go(world *w)
{
    static const leat__slot fading[] = {
        {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_type, .ttl_ms = TTL_MS}};
    set_tally(w, "ann", 1);
    world_epoch(w);
    world_close(w);
    w->slots = fading;
    w->slot_count = 1;
    world_open(w);
    leat__store_set_now(w->store, 50000, 50000);
    world_replay(w);
    assert_int_equal(tally_of(w, 0, "ann"), 1); /* counts from when it is first seen */
    set_slot(w, 0, "ann", 2);
    world_epoch(w);
    leat__store_set_now(w->store, 50000 + TTL_MS, 50000);
    assert_int_equal(tally_of(w, 0, "ann"), -1);
    must_restart_as(w, world_slots, SLOT_COUNT);
    assert_int_equal(tally_of(w, TALLY, "ann"), 2); /* not committed away, and no TTL any more */
}

static void two_slots_of_one_name_are_refused(world *w)
{
    static const leat__slot twice[] = {
        {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_type},
        {.name = "op/tally", .kind = LEAT__LIST, .type = &visit_type},
    };
    leat_error error;
    assert_int_equal(restart_as(w, twice, 2, &error), LEAT_EINVAL);
    assert_non_null(strstr(error.message, "rename"));
}

static void values_of_a_newer_version_are_refused(world *w)
{
    set_tally(w, "ann", 1);
    world_epoch(w);
    w->log[w->log_count - 1].value[0] = 3; /* R26 */
    leat_error error = {0};
    leat_status status = world_replay_from(w, 0, &error);
    if (status == LEAT_OK) { /* rocksdb reads it when it is asked for */
        (void)tally_of(w, TALLY, "ann");
        status = leat__store_check(w->store, &error);
    }
    assert_int_equal(status, LEAT_EVERSION);
    assert_non_null(strstr(error.message, "newer"));
}

/* clang-format off */
#define CASES(X) \
    X(added_fields_are_zero, "S4 added fields are zero") \
    X(removed_fields_are_dropped, "S4 removed fields are dropped") \
    X(numbers_may_widen, "S4 numbers may widen") \
    X(values_of_every_layout_are_read, \
      "S4 values of every layout are read, also from the changelog alone") \
    X(a_layout_may_be_told_late, "S4 values may come before the row that tells their layout") \
    X(the_older_program_can_come_back, "S4 the older program can come back") \
    X(a_field_may_come_back_as_another_type_once_no_value_had_it, \
      "S4 a removed field may come back as another type once no value has it") \
    X(what_was_deleted_behind_a_late_layout_stays_deleted, \
      "S4 what was deleted behind a layout told late stays deleted") \
    X(another_type_is_refused, "S4 any other change is refused, with both layouts") \
    X(another_kind_is_refused, "S4 another kind of state is refused") \
    X(another_map_key_is_refused, "S4 another map key is refused") \
    X(lists_and_maps_migrate_too, "S4 lists and maps migrate too") \
    X(slots_may_move_and_come_and_go, "S4 slots may move, come and go: their name finds them") \
    X(timers_may_move, "T1 timers may move: their name finds them") \
    X(a_ttl_may_come_and_go, "S2 a TTL may be added and removed") \
    X(two_slots_of_one_name_are_refused, "S4 two slots of one name are refused") \
    X(values_of_a_newer_version_are_refused, "R26 values of a newer version are refused")
/* clang-format on */

BOTH_MAIN
