/* State, every backend: timers (T1, T2). */
#include "conformance.h"

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

/* clang-format off */
#define CASES(X) \
    X(timers_fire_in_order, "T2 timers fire by time, then timer, then key") \
    X(order_of_many_timers, "T2 many timers fire in order") \
    X(setting_again_moves, "T1 setting a timer again moves it") \
    X(moving_back_and_forth_fires_once, "T1 a timer moved many times fires once") \
    X(cleared_timers_do_not_fire, "T1 a cleared timer does not fire") \
    X(cleared_timers_leave_nothing_in_memory, \
      "T1 timers set and cleared again and again leave nothing behind") \
    X(a_timer_set_while_firing_fires_in_the_same_pass, \
      "T1 a timer set while firing fires in the same pass") \
    X(tags_tell_timers_apart, "T1 tags tell timers of one name apart") \
    X(domains_are_apart, "T1 event time and processing time are apart") \
    X(timers_are_state, "T1 timers are committed and restored with their key") \
    X(a_fired_timer_is_gone_after_the_commit, \
      "R10 a timer fires again unless its firing was committed") \
    X(a_timer_popped_before_a_failed_callback_stays_fired, \
      "S3 a failed callback does not wind its timer up again")
/* clang-format on */

BOTH_MAIN
