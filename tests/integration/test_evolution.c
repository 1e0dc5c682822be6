/* A job that changes from start to start (S6): operators with state are added before, beside and
 * behind others, removed, brought back, put in another order; filters and keys come and go before
 * them; records are under way. What each has counted goes on, exactly once, or the start is
 * refused.
 *
 *   events ─► [filter] ─► [extra key] ─► key by user ─► u0 u1 u2 ... in any order ─► counts
 *                                                         └ u0 ─► key by item ─► i0 i1 ... ─►
 * counts
 *
 * u0 and i0 are always there: their counts are those of all events. Of the others each key's counts
 * are 1, 2, 3 ... without a gap, and where an operator was there from the start to the end, too,
 * all.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/operators.h"
#include "integration/evolution_job.h"

enum { CHANGES = 14, SEEDS = 12 };

/* ------------------------------------------------------------------ one change */

static const version one = {.count = 1, .item_count = 1};

/* Each on a world of its own: before, with 30 events, of which 10 may be under way. */
static void changes_to(const version *before, const version *after, leat_exchange exchange,
                       bool embedded)
{
    for (uint32_t steps = 0; steps < 40; steps += embedded ? 12 : 4) {
        open_world(embedded, exchange, steps + 1);
        send(20);
        must_run(before, 0);
        send(10);
        if (steps != 0)
            must_run(before, steps);
        must_run(after, 0);
        send(10);
        must_run(after, 0);
        expect_all();
        close_world();
    }
}

static const version before_it = {
    .order = {1, 0}, .count = 2, .item_order = {3, 0}, .item_count = 2};
static const version behind_it = {
    .order = {0, 1}, .count = 2, .item_order = {0, 3}, .item_count = 2};
static const version filtered = {.count = 1, .item_count = 1, .filter = true};
static const version keyed = {.count = 1, .item_count = 1, .extra_key = true};

static void S6_an_operator_before_or_behind_leaves_the_others_alone(void **state)
{
    (void)state;
    static const version *const after[] = {&before_it, &behind_it, &filtered, &keyed, &one};
    for (size_t i = 0; i < sizeof after / sizeof after[0]; i++)
        for (int embedded = 0; embedded < 2; embedded++) {
            changes_to(&one, after[i], LEAT_EXCHANGE_LOG, embedded != 0);
            changes_to(&one, after[i], LEAT_EXCHANGE_MEMORY, embedded != 0);
        }
}

static void S6_also_in_the_stage_of_the_source(void **state)
{
    (void)state;
    version from = one, to = before_it;
    from.partitioned = to.partitioned = true;
    changes_to(&from, &to, LEAT_EXCHANGE_LOG, true);
    changes_to(&from, &to, LEAT_EXCHANGE_MEMORY, false);
}

static void S6_the_first_operator_may_go(void **state)
{
    (void)state;
    open_world(true, LEAT_EXCHANGE_LOG, 1);
    send(30);
    must_run(&before_it, 0);
    send(10);
    must_run(&one, 0);
    expect_all();
    assert_int_equal(sum_of(0, 1), 30);
    send(5); /* and come back, with what it had */
    must_run(&behind_it, 0);
    expect_all();
    assert_int_equal(sum_of(0, 1), 35);
    close_world();
}

/* What a version without the operator has built from the log is no copy without its state. */
static void S6_it_comes_back_with_its_state_though_the_copy_was_made_without_it(void **state)
{
    (void)state;
    open_world(true, LEAT_EXCHANGE_MEMORY, 1);
    send(30);
    must_run(&before_it, 0);
    remove_state();
    must_run(&one, 0);
    send(5);
    must_run(&before_it, 0);
    expect_all();
    assert_int_equal(sum_of(0, 1), 35);
    close_world();
}

/* ------------------------------------------------------------------ refused */

static void S6_a_name_without_state_is_refused_while_state_without_a_name_is_left(void **state)
{
    (void)state;
    static const version renamed = {
        .order = {0, 2}, .count = 2, .item_order = {0, 3}, .item_count = 2};
    open_world(false, LEAT_EXCHANGE_MEMORY, 1);
    send(20);
    must_run(&behind_it, 0);
    refused(&renamed, LEAT_EGRAPH, "that of 'u1'", "leat operators --log LOG --drop u1 job");
    must_run(&behind_it, 0); /* nothing has happened to it */
    expect_all();
    assert_int_equal(sum_of(0, 1), 20);
    close_world();
}

static void S6_another_key_is_refused(void **state)
{
    (void)state;
    version other = one;
    other.other_key = "item";
    open_world(false, LEAT_EXCHANGE_MEMORY, 1);
    send(20);
    must_run(&one, 0);
    refused(&other, LEAT_EGRAPH, "'user'", "'item'");
    must_run(&one, 0);
    expect_all();
    close_world();
}

static void S6_states_that_lie_apart_or_together_stay_so(void **state)
{
    (void)state;
    for (int together = 0; together < 2; together++) {
        open_world(false, LEAT_EXCHANGE_MEMORY, 1);
        send(20);
        w.job = two_operators_job(together != 0);
        assert_int_equal(run_idle(), LEAT_OK);
        kill_job();
        w.job = two_operators_job(together == 0);
        assert_int_equal(run_idle(), LEAT_EGRAPH);
        assert_non_null(strstr(w.error.message, "states are not moved"));
        assert_non_null(strstr(w.error.message, "'u0'"));
        kill_job();
        close_world();
    }
}

static void S6_records_under_way_to_an_operator_that_is_gone_are_refused(void **state)
{
    (void)state;
    int refusals = 0;
    for (uint32_t steps = 2; steps < 40; steps += 2) {
        open_world(false, LEAT_EXCHANGE_LOG, 1);
        send(50);
        must_run(&before_it, steps);
        leat_status status = run_version(&one, 0);
        assert_true(status == LEAT_OK || status == LEAT_EVERSION);
        refusals += status == LEAT_EVERSION;
        if (status != LEAT_OK) /* the former version comes to its end */
            must_run(&before_it, 0);
        must_run(&one, 0);
        expect_all();
        close_world();
    }
    assert_true(refusals > 0);
}

static void S6_records_under_way_to_a_stage_that_is_fed_in_memory_now_are_refused(void **state)
{
    (void)state;
    int refusals = 0;
    for (uint32_t steps = 2; steps < 40; steps += 2) {
        open_world(false, LEAT_EXCHANGE_LOG, 1);
        send(50);
        must_run(&one, steps);
        w.exchange = LEAT_EXCHANGE_MEMORY;
        leat_status status = run_version(&one, 0);
        assert_true(status == LEAT_OK || status == LEAT_EVERSION);
        refusals += status == LEAT_EVERSION;
        if (status != LEAT_OK) {
            assert_non_null(strstr(w.error.message, "under way"));
            w.exchange = LEAT_EXCHANGE_LOG;
            must_run(&one, 0);
            w.exchange = LEAT_EXCHANGE_MEMORY;
            must_run(&one, 0);
        }
        expect_all();
        close_world();
    }
    assert_true(refusals > 0);
}

/* ------------------------------------------------------------------ slots, timers, sizes */

static const parts kept = {.slot = {"a", "b"}, .timer = {"t"}, .window_ms = 10};

static void S6_a_renamed_slot_or_timer_is_refused(void **state)
{
    (void)state;
    static const parts slot = {.slot = {"a2", "b"}, .timer = {"t"}, .window_ms = 10};
    static const parts timer = {.slot = {"a", "b"}, .timer = {"t2"}, .window_ms = 10};
    for (int embedded = 0; embedded < 2; embedded++) {
        open_world(embedded != 0, LEAT_EXCHANGE_AUTO, 1);
        send(20);
        must_run_parts(&kept);
        refused_parts(&slot, "'keep/a2' would begin empty, while 'keep/a'",
                      "leat operators --log LOG --drop keep/a job");
        refused_parts(&timer, "'keep/timer:t2'",
                      "leat operators --log LOG --drop keep/timer:t job");
        if (embedded != 0) /* the local copy is not what knows of it */
            remove_state();
        refused_parts(&slot, "'keep/a2'", "'keep/a'");
        must_run_parts(&kept); /* nothing has happened to it */
        close_world();
    }
}

static void S6_slots_and_timers_are_added_removed_and_come_back(void **state)
{
    (void)state;
    static const parts more = {.slot = {"c", "a", "b"}, .timer = {"u", "t"}, .window_ms = 10};
    static const parts other = {.slot = {"a", "d"}, .timer = {"t"}, .window_ms = 10};
    open_world(false, LEAT_EXCHANGE_AUTO, 1);
    send(20);
    must_run_parts(&kept);
    send(5);
    must_run_parts(&more);
    must_run_parts(&(parts){.slot = {"a"}, .timer = {"t"}, .window_ms = 10});
    refused_parts(&other, "'keep/d'", "--drop keep/"); /* though it went a version before */
    must_run_parts(&more);
    close_world();
}

/* As leat operators --drop does it. */
static void drop_slot(const char *operator_name, const char *slot)
{
    leat__entries entries;
    assert_int_equal(leat__entries_read(&entries, w.log, NULL, "job", NULL), LEAT_OK);
    leat__part *part = leat__part_of(leat__entry_of(&entries, operator_name), leat_str_from(slot));
    assert_non_null(part);
    part->dropped = true;
    (void)leat__entry_change(&entries, operator_name);
    assert_int_equal(leat__entries_write(&entries, w.log, 1, NULL), LEAT_OK);
    leat__entries_free(&entries);
}

static void S6_a_slot_that_was_dropped_makes_room_and_stays_so(void **state)
{
    (void)state;
    static const parts renamed = {.slot = {"a2", "b"}, .timer = {"t"}, .window_ms = 10};
    open_world(false, LEAT_EXCHANGE_AUTO, 1);
    send(20);
    must_run_parts(&kept);
    drop_slot("keep", "a");
    must_run_parts(&renamed);
    refused_parts(&kept, "'keep/a'", "was dropped");
    close_world();
}

static void S6_a_windows_size_changes_when_none_is_open(void **state)
{
    (void)state;
    for (int embedded = 0; embedded < 2; embedded++)
        for (int64_t to_ms = 5; to_ms <= 20; to_ms += 15) {
            parts other = kept, last = kept;
            other.window_ms = to_ms;
            last.drain = true;
            int64_t events;
            open_world(embedded != 0, LEAT_EXCHANGE_AUTO, 1);
            send(40);
            must_run_parts(&kept);
            refused_parts(&other, "were of 10 ms", "--drain");
            if (embedded != 0)
                remove_state();
            refused_parts(&other, to_ms == 5 ? "of 5 ms now" : "of 20 ms now", "open");
            must_run_parts(&last);
            (void)fired(&events);
            assert_int_equal(events, 40); /* none was lost */
            must_run_parts(&other);
            send(40);
            must_run_parts(&other);
            refused_parts(&kept, "of 10 ms now", "open"); /* the new size is what is stored now */
            other.drain = true;
            must_run_parts(&other);
            (void)fired(&events);
            assert_int_equal(events, 80);
            close_world();
        }
}

static void S6_a_windows_offset_changes_when_none_is_open(void **state)
{
    (void)state;
    parts other = kept, last = kept;
    other.offset_ms = 5;
    last.drain = true;
    int64_t events;
    open_world(false, LEAT_EXCHANGE_AUTO, 1);
    send(40);
    must_run_parts(&kept);
    refused_parts(&other, "offset 5, was 0", "--drain");
    refused_parts(&other, "open", "--drain"); /* it does not come to terms with it */
    must_run_parts(&last);
    must_run_parts(&other);
    send(40);
    must_run_parts(&other);
    refused_parts(&kept, "offset 0, was 5", "open");
    other.drain = true;
    must_run_parts(&other);
    (void)fired(&events);
    assert_int_equal(events, 80);
    close_world();
}

/* What the version before has written ends behind the field: not known, and completed. */
static void S6_entries_without_slots_are_completed(void **state)
{
    (void)state;
    open_world(false, LEAT_EXCHANGE_AUTO, 1);
    send(20);
    must_run_parts(&kept);
    leat__entries entries;
    assert_int_equal(leat__entries_read(&entries, w.log, NULL, "job", NULL), LEAT_OK);
    const char *const names[] = {"keep", "per-size"};
    for (int i = 0; i < 2; i++) {
        leat__entry *entry = leat__entry_change(&entries, names[i]);
        assert_true(entry->parts_known && entry->part_count != 0);
        entry->parts_known = false; /* written in the former format */
    }
    assert_int_equal(leat__entries_write(&entries, w.log, 1, NULL), LEAT_OK);
    leat__entries_free(&entries);
    must_run_parts(&kept);
    assert_int_equal(leat__entries_read(&entries, w.log, NULL, "job", NULL), LEAT_OK);
    assert_int_equal(leat__entry_of(&entries, "keep")->part_count, 3);
    assert_int_equal(leat__entry_of(&entries, "per-size")->window_ms, 10);
    leat__entries_free(&entries);
    refused_parts(&(parts){.slot = {"a2", "b"}, .timer = {"t"}, .window_ms = 10}, "'keep/a2'",
                  "'keep/a'");
    close_world();
}

/* ------------------------------------------------------------------ any change, again and again */

typedef struct evolution {
    version now;
    bool known[2][OPERATORS]; /* it has been there */
} evolution;

static void list(const evolution *e, int group, const int **order, int *count)
{
    *order = group == 0 ? e->now.order : e->now.item_order;
    *count = group == 0 ? e->now.count : e->now.item_count;
}

static bool is_there(const evolution *e, int group, int number)
{
    const int *order;
    int count;
    list(e, group, &order, &count);
    for (int i = 0; i < count; i++)
        if (order[i] == number)
            return true;
    return false;
}

static bool something_is_left(const evolution *e)
{
    for (int group = 0; group < 2; group++)
        for (int number = 0; number < OPERATORS; number++)
            if (e->known[group][number] && !is_there(e, group, number))
                return true;
    return false;
}

static void insert(version *v, int group, int number)
{
    int *order = group == 0 ? v->order : v->item_order;
    int *count = group == 0 ? &v->count : &v->item_count;
    int at = (int)draw((uint32_t)*count + 1);
    memmove(&order[at + 1], &order[at], (size_t)(*count - at) * sizeof *order);
    order[at] = number;
    ++*count;
}

static void erase(version *v, int group, int number)
{
    int *order = group == 0 ? v->order : v->item_order;
    int *count = group == 0 ? &v->count : &v->item_count;
    for (int i = 0; i < *count; i++)
        if (order[i] == number) {
            memmove(&order[i], &order[i + 1], (size_t)(*count - i - 1) * sizeof *order);
            --*count;
            return;
        }
}

static void change(evolution *e)
{
    int group = (int)draw(2), number = 1 + (int)draw(OPERATORS - 1);
    e->now.filter ^= draw(3) == 0;
    e->now.extra_key ^= draw(3) == 0;
    if (draw(3) == 0) { /* another order */
        int first = group == 0 ? e->now.order[0] : e->now.item_order[0];
        erase(&e->now, group, first);
        insert(&e->now, group, first);
        return;
    }
    if (is_there(e, group, number))
        erase(&e->now, group, number);
    else
        insert(&e->now, group, number);
}

/* One version after the other; what must be refused is, and the former one goes on. */
static void evolve(uint64_t seed, bool embedded, leat_exchange exchange)
{
    evolution e = {.now = one};
    e.known[0][0] = e.known[1][0] = true;
    open_world(embedded, exchange, seed);
    for (int i = 0; i < CHANGES; i++) {
        evolution next = e;
        change(&next);
        bool begins = false;
        for (int group = 0; group < 2; group++)
            for (int number = 0; number < OPERATORS; number++)
                begins |= is_there(&next, group, number) && !e.known[group][number];
        bool renamed = begins && something_is_left(&next);
        send((int)draw(30));
        leat_status status = run_version(&next.now, draw(2) * (1 + draw(60)));
        if (renamed && status != LEAT_EGRAPH)
            fail_msg("seed %" PRIu64 ", change %d: not refused (%s)", seed, i,
                     leat_status_name(status));
        if (!renamed && status != LEAT_OK && status != LEAT_EVERSION)
            fail_msg("seed %" PRIu64 ", change %d: %s: %s", seed, i, w.error.where,
                     w.error.message);
        if (status == LEAT_EVERSION) /* under way to one that is gone: let them arrive */
            must_run(&e.now, 0);
        if (status != LEAT_OK)
            continue;
        e = next;
        for (int group = 0; group < 2; group++)
            for (int number = 0; number < OPERATORS; number++)
                e.known[group][number] |= is_there(&e, group, number);
    }
    must_run(&e.now, 0);
    expect_all();
    close_world();
}

static void S6_any_change_again_and_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        evolve(seed, false, LEAT_EXCHANGE_MEMORY);
        evolve(seed, false, LEAT_EXCHANGE_LOG);
        if (seed % 3 == 0) {
            evolve(seed, true, LEAT_EXCHANGE_MEMORY);
            evolve(seed, true, LEAT_EXCHANGE_LOG);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(S6_an_operator_before_or_behind_leaves_the_others_alone),
        cmocka_unit_test(S6_also_in_the_stage_of_the_source),
        cmocka_unit_test(S6_the_first_operator_may_go),
        cmocka_unit_test(S6_it_comes_back_with_its_state_though_the_copy_was_made_without_it),
        cmocka_unit_test(S6_a_name_without_state_is_refused_while_state_without_a_name_is_left),
        cmocka_unit_test(S6_another_key_is_refused),
        cmocka_unit_test(S6_states_that_lie_apart_or_together_stay_so),
        cmocka_unit_test(S6_records_under_way_to_an_operator_that_is_gone_are_refused),
        cmocka_unit_test(S6_records_under_way_to_a_stage_that_is_fed_in_memory_now_are_refused),
        cmocka_unit_test(S6_a_renamed_slot_or_timer_is_refused),
        cmocka_unit_test(S6_slots_and_timers_are_added_removed_and_come_back),
        cmocka_unit_test(S6_a_slot_that_was_dropped_makes_room_and_stays_so),
        cmocka_unit_test(S6_a_windows_size_changes_when_none_is_open),
        cmocka_unit_test(S6_a_windows_offset_changes_when_none_is_open),
        cmocka_unit_test(S6_entries_without_slots_are_completed),
        cmocka_unit_test(S6_any_change_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
