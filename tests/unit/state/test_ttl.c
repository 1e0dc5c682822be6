/* State, every backend: time to live (S2, R21, R22). */
#include "conformance.h"

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

static void an_older_write_does_not_shorten_a_life(world *w)
{
    leat__store_set_now(w->store, 1000, 1000);
    set_slot(w, SHORT, "ann", 1);
    set_slot(w, CLOCKED, "ann", 1);
    put_item(w, SHORT_MAP, "ann", 1, 1);
    leat__store_set_now(w->store, 400, 400); /* late; and a clock that was set back */
    set_slot(w, SHORT, "ann", 2);
    set_slot(w, CLOCKED, "ann", 2);
    put_item(w, SHORT_MAP, "ann", 1, 2);
    put_item(w, SHORT_MAP, "ann", 2, 2);
    world_epoch(w);
    world_crash(w);
    leat__store_set_now(w->store, 1999, 1999);
    assert_int_equal(tally_of(w, SHORT, "ann"), 2);
    assert_int_equal(tally_of(w, CLOCKED, "ann"), 2);
    expect_map(w, SHORT_MAP, "ann", "1=2"); /* the other entry is as old as its own write */
    leat__store_set_now(w->store, 2000, 2000);
    assert_int_equal(tally_of(w, SHORT, "ann"), -1);
    assert_int_equal(tally_of(w, CLOCKED, "ann"), -1);
    expect_map(w, SHORT_MAP, "ann", "");
}

static void an_older_read_does_not_shorten_a_life(world *w)
{
    const void *elements;
    leat__store_set_now(w->store, 1000, 0);
    begin(w, "ann");
    ((struct profile *)leat__store_mut(w->store, SHORT_READ))->age = 7;
    commit(w);
    visit_at(w, READ_LIST, "ann", 1, 300);
    visit_at(w, READ_LIST, "ann", 2, 1000);
    leat__store_set_now(w->store, 400, 0);
    begin(w, "ann");
    assert_non_null(leat__store_get(w->store, SHORT_READ));
    assert_int_equal(leat__store_list(w->store, READ_LIST, &elements), 2);
    commit(w);
    leat__store_set_now(w->store, 1500, 0);
    begin(w, "ann");
    assert_non_null(leat__store_get(w->store, SHORT_READ));
    rollback(w);
    expect_visits(w, READ_LIST, "ann", "2"); /* the first was read at 400 last */
}

/* The sequence of docs/semantics.md, with a TTL of 1000. */
static void the_clock_is_the_later_of_own_time_and_watermark(world *w)
{
    leat__store_set_now(w->store, 1000, 0);
    set_slot(w, SHORT, "ann", 1);
    leat__store_set_watermark(w->store, 899);
    leat__store_set_now(w->store, 2500, 0); /* another key, further on */
    set_slot(w, SHORT, "bob", 1);
    leat__store_set_now(w->store, 1950, 0); /* on time: judged by its own time */
    assert_int_equal(tally_of(w, SHORT, "ann"), 1);
    leat__store_set_watermark(w->store, 2399);
    assert_int_equal(tally_of(w, SHORT, "ann"), -1); /* now it is late */
    assert_int_equal(tally_of(w, SHORT, "bob"), 1);
}

static void the_last_watermark_is_no_time(world *w)
{
    leat__store_set_now(w->store, 1000, 0);
    set_slot(w, SHORT, "ann", 1);
    visit_at(w, SHORT_LIST, "ann", 1, 1000);
    put_item(w, SHORT_MAP, "ann", 1, 1);
    leat__store_set_watermark(w->store, 1000);
    leat__store_set_watermark(w->store, LEAT_TIME_MAX); /* W5: the input has ended */
    assert_int_equal(world_epoch(w), 3 + 1 + SLOT_COUNT - 1 + TIMER_COUNT); /* and the directory */
    for (int i = 0; i < 50; i++)
        assert_int_equal(world_epoch(w), 0); /* nothing swept */
    world_crash(w);                          /* the run goes on another day */
    leat__store_set_now(w->store, 1500, 0);
    assert_int_equal(tally_of(w, SHORT, "ann"), 1);
    expect_visits(w, SHORT_LIST, "ann", "1");
    expect_map(w, SHORT_MAP, "ann", "1=1");
}

static void without_any_time_nothing_expires(world *w)
{
    leat__store_set_now(w->store, LEAT_TIME_MIN, 77); /* a timer of the clock, no watermark yet */
    set_slot(w, SHORT, "ann", 1);
    begin(w, "ann");
    leat__store_append(w->store, SHORT_LIST, &(struct visit){1, 0});
    commit(w);
    world_epoch(w);
    world_crash(w);
    leat__store_set_now(w->store, 5000, 88); /* it counts from the first time that is known */
    assert_int_equal(tally_of(w, SHORT, "ann"), 1);
    expect_visits(w, SHORT_LIST, "ann", "1");
    world_epoch(w);
    world_crash(w);
    leat__store_set_now(w->store, 5999, 99);
    assert_int_equal(tally_of(w, SHORT, "ann"), 1);
    expect_visits(w, SHORT_LIST, "ann", "1");
    leat__store_set_now(w->store, 6000, 99);
    assert_int_equal(tally_of(w, SHORT, "ann"), -1);
    expect_visits(w, SHORT_LIST, "ann", "");
}

static void what_was_there_before_the_ttl_counts_from_when_it_is_seen(world *w)
{
    static const leat__slot aging[] = {
        {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_type, .ttl_ms = TTL_MS},
        {.name = "op/visits", .kind = LEAT__LIST, .type = &visit_type, .ttl_ms = TTL_MS}};
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        set_tally(w, key, i);
        visit_at(w, VISITS, key, 1, 0);
    }
    world_epoch(w);
    world_close(w);
    w->slots = aging;
    w->slot_count = 2;
    world_open(w);
    world_replay(w);
    leat__store_set_now(w->store, 5000, 0);
    assert_int_equal(tally_of(w, 0, "k7"), 7);
    expect_visits(w, 1, "k7", "1");
    leat__store_set_watermark(w->store, 4000);
    for (int i = 0; i < 50; i++)
        world_epoch(w); /* the sweep sees the others */
    leat__store_set_watermark(w->store, 4999);
    leat__store_set_now(w->store, 0, 0);
    assert_int_equal(tally_of(w, 0, "k7"), 7);
    assert_int_equal(tally_of(w, 0, "k8"), 8);
    expect_visits(w, 1, "k8", "1");
    leat__store_set_watermark(w->store, 5000);
    assert_int_equal(tally_of(w, 0, "k7"), 7);
    assert_int_equal(tally_of(w, 0, "k8"), -1);
    expect_visits(w, 1, "k8", "");
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

static void long_lists_expire_in_the_middle(world *w)
{
    char expected[2048] = "";
    for (uint64_t i = 0; i < 200;
         i++) /* number 20 is late: it lies in a chunk that is written already */
        visit_at(w, SHORT_LIST, "ann", i, i == 20 ? 100 : 500);
    world_epoch(w);
    leat__store_set_now(w->store, 1200, 0);
    for (int i = 0; i < 200; i++)
        if (i != 20)
            sprintf(expected + strlen(expected), "%s%d", i == 0 ? "" : " ", i);
    expect_visits(w, SHORT_LIST, "ann", expected);
    world_epoch(w);
    world_crash(w);
    leat__store_set_now(w->store, 1000, 0); /* TTL cannot hide what was not written */
    expect_visits(w, SHORT_LIST, "ann", expected);
}

static void reading_a_list_refreshes_every_element(world *w)
{
    for (uint64_t i = 0; i < 100; i++)
        visit_at(w, READ_LIST, "ann", i, (int64_t)i);
    world_epoch(w);
    for (int64_t now_ms = 900; now_ms < 4000; now_ms += 900) {
        leat__store_set_now(w->store, now_ms, 0);
        begin(w, "ann");
        const void *elements;
        assert_int_equal(leat__store_list(w->store, READ_LIST, &elements), 100);
        commit(w);
        world_epoch(w);
        world_crash(w);
    }
    leat__store_set_now(w->store, 9000, 0);
    expect_visits(w, READ_LIST, "ann", "");
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

static size_t count_live(const world *w)
{
    leat__store_stats stats;
    leat__store_get_stats(w->store, &stats);
    return (size_t)stats.entries;
}

/* What the engine does for a task that nothing else happens to. Returns the number of seals. */
static size_t sweep_quietly(world *w, int64_t *clock_ms, int64_t until_ms)
{
    size_t seals = 0;
    int64_t wait_ms;
    while ((wait_ms = leat__store_sweep_in_ms(w->store, *clock_ms)) <= until_ms - *clock_ms) {
        *clock_ms += wait_ms;
        leat__store_set_clock(w->store, *clock_ms);
        world_epoch(w);
        assert_true(++seals < 2000);
    }
    *clock_ms = until_ms;
    return seals;
}

enum { QUIET_KEYS = 5000 };

static void fill_for_the_sweep(world *w, int64_t now_ms)
{
    char key[32];
    leat__store_set_now(w->store, now_ms, now_ms);
    for (int i = 0; i < QUIET_KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set_slot(w, CLOCKED, key, i);
        if (i % 10 != 0)
            continue;
        set_slot(w, SHORT, key, i);
        visit_at(w, SHORT_LIST, key, 1, now_ms);
        put_item(w, SHORT_MAP, key, 1, 1);
    }
    world_epoch(w);
}

static void a_quiet_task_is_swept_by_the_clock(world *w)
{
    int64_t clock_ms = 10000;
    fill_for_the_sweep(w, clock_ms);
    size_t before = count_live(w);
    (void)sweep_quietly(w, &clock_ms, 10000 + TTL_MS - 1);
    assert_int_equal(count_live(w), before); /* nothing has expired yet */
    assert_int_equal(tally_of(w, CLOCKED, "k77"), 77);
    leat__store_set_now(w->store, 10000, clock_ms);
    assert_int_equal(sweep_quietly(w, &clock_ms, 10000 + TTL_MS - 1), 0); /* it knows when */
    assert_true(sweep_quietly(w, &clock_ms, 10000 + 2 * TTL_MS) > 1);
    world_crash(w);
    leat__store_set_clock(w->store, clock_ms);
    char row[32];
    size_t left = 0;
    for (int i = 0; i < QUIET_KEYS; i++) {
        snprintf(row, sizeof row, "k%d", i);
        leat__store_set_now(w->store, 0, 0); /* as if it were young: what is there is seen */
        left += tally_of(w, CLOCKED, row) >= 0;
    }
    assert_int_equal(left, 0);
    assert_int_equal(tally_of(w, SHORT, "k10"), 10); /* no watermark has come */
    size_t parts = sweep_quietly(w, &clock_ms, 20000);
    assert_true(parts <= 20000 / 512 + 8);
    assert_int_equal(leat__store_sweep_in_ms(w->store, clock_ms), INT64_MAX);
}

static void a_quiet_task_is_swept_as_far_as_the_watermark_came(world *w)
{
    int64_t clock_ms = 10000;
    fill_for_the_sweep(w, clock_ms);
    (void)sweep_quietly(w, &clock_ms, 50000);
    assert_int_equal(leat__store_sweep_in_ms(w->store, clock_ms), INT64_MAX);
    leat__store_set_watermark(w->store, 10000 + TTL_MS - 1); /* from another input */
    (void)sweep_quietly(w, &clock_ms, 60000);
    assert_int_equal(leat__store_sweep_in_ms(w->store, clock_ms), INT64_MAX);
    leat__store_set_now(w->store, 10000, clock_ms);
    assert_int_equal(tally_of(w, SHORT, "k10"), 10);
    expect_visits(w, SHORT_LIST, "k4990", "1");
    leat__store_set_watermark(w->store, 10000 + TTL_MS + TTL_MS / 16); /* rounds keep apart */
    assert_true(sweep_quietly(w, &clock_ms, 70000) > 0);
    assert_int_equal(leat__store_sweep_in_ms(w->store, clock_ms), INT64_MAX);
    size_t live = 0;
    for (size_t j = 0; j < w->log_count; j++)
        live += w->log[j].value != NULL ? 1u : (size_t)-1;
    assert_int_equal(live, SLOT_COUNT + TIMER_COUNT); /* a tombstone each; the directory stays */
}

static void single_elements_of_quiet_keys_are_swept(world *w)
{
    for (int64_t i = 0; i < 100; i++)
        visit_at(w, SHORT_LIST, "ann", (uint64_t)i, 1000 + i * 10);
    visit_at(w, SHORT_LIST, "ann", 100, 1005); /* a late one */
    leat__store_set_now(w->store, 1500, 0);
    put_item(w, SHORT_MAP, "ann", 2, 2);
    leat__store_set_now(w->store, 1000, 0);
    put_item(w, SHORT_MAP, "ann", 1, 1);
    world_epoch(w);
    int64_t clock_ms = 0;
    leat__store_set_watermark(w->store, 1000 + TTL_MS + 500);
    (void)sweep_quietly(w, &clock_ms, 10000);
    world_crash(w);
    leat__store_set_now(w->store, 1500, 0); /* what is there is seen */
    expect_map(w, SHORT_MAP, "ann", "");
    begin(w, "ann");
    const void *elements;
    assert_int_equal(leat__store_list(w->store, SHORT_LIST, &elements), 49);
    commit(w);
}

static void keys_that_expire_one_by_one_cost_few_rounds(world *w)
{
    char key[32];
    for (int i = 0; i < 1000; i++) {
        leat__store_set_now(w->store, i, i);
        snprintf(key, sizeof key, "k%d", i);
        set_slot(w, CLOCKED, key, i);
        world_epoch(w);
    }
    int64_t clock_ms = 1000;
    size_t seals = sweep_quietly(w, &clock_ms, 3000);
    assert_true(seals > 16 && seals < 200);
    assert_int_equal(leat__store_sweep_in_ms(w->store, clock_ms), INT64_MAX);
}

/* clang-format off */
#define CASES(X) \
    X(expired_value_is_never_returned, "S2 an expired value is never returned") \
    X(writing_refreshes, "S2 writing refreshes") \
    X(an_older_write_does_not_shorten_a_life, \
      "S2 a write of an older time does not shorten a life") \
    X(an_older_read_does_not_shorten_a_life, "S2 a read of an older time does not shorten a life") \
    X(the_clock_is_the_later_of_own_time_and_watermark, \
      "S2 R21 time is the later of the element's own and the watermark") \
    X(the_last_watermark_is_no_time, "S2 the watermark that ends the input is no time") \
    X(without_any_time_nothing_expires, "S2 what was written at no known time ages from then on") \
    X(what_was_there_before_the_ttl_counts_from_when_it_is_seen, \
      "S2 what was there before the slot had a TTL ages from when it is seen") \
    X(reading_refreshes_if_asked, "S2 reading refreshes where the slot says so") \
    X(mut_of_an_expired_value_starts_anew, "S2 editing an expired value starts anew") \
    X(expiry_found_is_a_tombstone, "R22 an expiry found by a read is a tombstone of that epoch") \
    X(expiry_in_a_failed_callback_is_found_again, \
      "S3 an expiry found in a failed callback is found again") \
    X(list_elements_expire_singly, "S2 list elements expire singly") \
    X(late_list_elements_expire_first, "S2 a late list element expires before its neighbours") \
    X(long_lists_expire_in_the_middle, "S2 a late element expires out of a long list too") \
    X(reading_a_list_refreshes_every_element, "S2 reading a list refreshes every element") \
    X(map_entries_expire_singly, "S2 map entries expire singly") \
    X(ttl_may_follow_the_clock, "S2 TTL may follow the clock of the epoch") \
    X(the_watermark_expires_too, \
      "S2 what the watermark has passed is expired for a late event too") \
    X(idle_keys_are_reclaimed, "R22 expired values of idle keys are reclaimed") \
    X(a_quiet_task_is_swept_by_the_clock, "R22 a quiet task is swept when the clock says so") \
    X(a_quiet_task_is_swept_as_far_as_the_watermark_came, \
      "R22 a quiet task is swept as far as the watermark came") \
    X(single_elements_of_quiet_keys_are_swept, \
      "S2 R22 single elements and entries of quiet keys are swept") \
    X(keys_that_expire_one_by_one_cost_few_rounds, \
      "R22 keys that expire one by one cost few rounds") \
    X(the_sweep_goes_by_committed_time_alone, \
      "R22 an event far ahead does not reclaim what others still see")
/* clang-format on */

BOTH_MAIN
