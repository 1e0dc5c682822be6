/* Events to sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apps/recommender/evaluate/click_log.h"

static void add(click_log *log, const char *user, const char *session, const char *item,
                int64_t minutes)
{
    interaction event = {.user_id = leat_str_from(user),
                         .session_id = leat_str_from(session),
                         .item_id = leat_str_from(item),
                         .timestamp_ms = LEAT_MINUTES(minutes)};
    click_log_add(log, &event);
}

static void assert_session(const click_log *log, uint32_t number, const char *id, const char *items)
{
    const click_session *session = &log->sessions[number];
    assert_true(leat_str_equal(session->id, leat_str_from(id)));
    assert_int_equal(session->count, strlen(items));
    for (uint32_t i = 0; i < session->count; i++)
        assert_memory_equal(click_item(log, session->first + i).data, &items[i], 1);
}

/* By time within a session, by place in the file at the same time. */
static void test_clicks_are_in_order(void **state)
{
    (void)state;
    click_log log = {0};
    add(&log, "u", "s", "c", 9);
    add(&log, "u", "s", "a", 1);
    add(&log, "u", "s", "b", 1);
    add(&log, "u", "t", "d", 5);
    click_log_group(&log, LEAT_MINUTES(30), false);
    assert_int_equal(log.session_count, 2);
    assert_session(&log, 0, "s", "abc");
    assert_int_equal(log.sessions[0].last_time_ms, LEAT_MINUTES(9));
    uint32_t *order = click_log_by_time(&log);
    const char *expected = "abdc";
    for (uint32_t i = 0; i < 4; i++)
        assert_memory_equal(click_item(&log, order[i]).data, &expected[i], 1);
    free(order);
    click_log_free(&log);
}

/* N3: a click exactly one gap later still belongs to the session. */
static void test_gap_cuts_users_without_session_ids(void **state)
{
    (void)state;
    for (int cuts_all = 0; cuts_all < 2; cuts_all++) {
        click_log log = {0};
        add(&log, "u", NULL, "a", 0);
        add(&log, "u", NULL, "b", 30);
        add(&log, "u", NULL, "c", 61);
        add(&log, "v", "s", "d", 0);
        add(&log, "v", "s", "e", 100);
        click_log_group(&log, LEAT_MINUTES(30), cuts_all);
        assert_int_equal(log.session_count, cuts_all ? 4 : 3);
        assert_session(&log, 0, "u", "ab");
        assert_session(&log, 1, "u", "c");
        assert_session(&log, 2, "s", cuts_all ? "d" : "de");
        click_log_free(&log);
    }
}

static void test_length_percentile_counts_distinct_items(void **state)
{
    (void)state;
    click_log log = {0};
    char id[8];
    for (int i = 0; i < 199; i++) {
        snprintf(id, sizeof id, "s%d", i);
        add(&log, "u", id, "a", i);
        add(&log, "u", id, "b", i);
        add(&log, "u", id, "a", i);
    }
    for (int i = 0; i < 9; i++)
        add(&log, "u", "robot", (const char[]){(char)('a' + i), 0}, i);
    click_log_group(&log, LEAT_MINUTES(30), false);
    assert_int_equal(click_log_length_percentile(&log, 0.995), 2);
    assert_int_equal(click_log_length_percentile(&log, 1.0), 9);
    click_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clicks_are_in_order),
        cmocka_unit_test(test_gap_cuts_users_without_session_ids),
        cmocka_unit_test(test_length_percentile_counts_distinct_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
