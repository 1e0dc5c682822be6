/* The recommender's job on the simulated log: each rule J1-J5 of recommender_job.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/events/event.h"
#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/recommender_job.h"
#include "apps/recommender/job/records.h"
#include "leat/test.h"
#include "record/json_reader.h"

#define T0 INT64_C(1700000000000)

typedef struct shop {
    recommender_job *job;
    leat_test *test;
    leat__json_reader *json;
} shop;

/* false: users lie in any partition, an exchange does the rest. */
static const char *partitioned_by = "user_id";

static char url[32];

static int open_shop_with(void **state, recommender_settings settings)
{
    static int number;
    shop *self = calloc(1, sizeof *self);
    leat_error error;
    snprintf(url, sizeof url, "sim:shop%d", number++);
    settings.log_url = url;
    if (strcmp(partitioned_by, "false") == 0)
        settings.partitioned_by = partitioned_by;
    if (recommender_job_new(&self->job, NULL, &settings, &error) != LEAT_OK)
        return -1;
    self->test = leat_test_new(self->job->job);
    self->json = leat__json_reader_new();
    *state = self;
    return 0;
}

static int open_shop(void **state)
{
    return open_shop_with(state, recommender_defaults());
}

static int open_small_shop(void **state)
{
    recommender_settings settings = recommender_defaults();
    settings.session_items_max = 3;
    return open_shop_with(state, settings);
}

static int close_shop(void **state)
{
    shop *self = *state;
    leat_test_free(self->test); /* and the job in it */
    self->job->job = NULL;
    recommender_job_free(self->job);
    leat__json_reader_free(self->json);
    free(self);
    return 0;
}

static void send(shop *self, const char *user, const char *item, int64_t at_ms, const char *more)
{
    char text[512];
    snprintf(text, sizeof text, "{\"user_id\":\"%s\",\"item_id\":\"%s\",\"timestamp_ms\":%lld%s%s}",
             user, item, (long long)at_ms, more[0] == '\0' ? "" : ",", more);
    leat_test_send_keyed(self->test, TOPIC_INTERACTIONS, user, text);
}

static void run(shop *self)
{
    assert_int_equal(leat_test_run(self->test), LEAT_OK);
}

/* Moves event time of every partition to at_ms. */
static void time_is(shop *self, int64_t at_ms)
{
    char user[16];
    for (int i = 0; i < 32; i++) {
        snprintf(user, sizeof user, "clock%d", i);
        send(self, user, "tick", at_ms + recommender_defaults().out_of_order_ms + 1, "");
    }
    run(self);
}

/* The next record of a topic that is not about the clock users. */
static bool next(shop *self, const char *topic, leat__json *root)
{
    const char *text;
    while ((text = leat_test_next_json(self->test, topic)) != NULL) {
        const char *first = strchr(text, ':'); /* user, session or item come first */
        if (first == NULL || strncmp(first, ":\"clock", 7) == 0 ||
            strncmp(first, ":\"tick", 6) == 0)
            continue;
        assert_int_equal(leat__json_open(self->json, leat_str_from(text), root, NULL), LEAT_OK);
        return true;
    }
    return false;
}

static void assert_text(leat__json root, const char *name, const char *expected)
{
    leat__json value;
    leat_str text;
    assert_true(leat__json_member(root, name, &value));
    assert_true(leat__json_get_str(value, &text));
    assert_int_equal(text.length, strlen(expected));
    assert_memory_equal(text.data, expected, text.length);
}

static int64_t number(leat__json root, const char *name)
{
    leat__json value;
    int64_t out = -1;
    assert_true(leat__json_member(root, name, &value));
    assert_true(leat__json_get_i64(value, &out));
    return out;
}

static void assert_json(leat__json root, const char *name, const char *expected)
{
    leat__json value;
    assert_true(leat__json_member(root, name, &value));
    leat_str text = leat__json_text(value);
    if (text.length != strlen(expected) || memcmp(text.data, expected, text.length) != 0)
        fail_msg("%s is %.*s, not %s", name, (int)text.length, text.data, expected);
}

static size_t count_of(shop *self, const char *topic)
{
    leat__json root;
    size_t count = 0;
    while (next(self, topic, &root))
        count++;
    return count;
}

/* ------------------------------------------------------------------ J1 */

static void each_interaction_gives_one_recommendation(void **state)
{
    shop *self = *state;
    leat__json root;
    send(self, "ann", "a", T0, "\"event_id\":\"e1\"");
    send(self, "ann", "b", T0 + 1, "\"event_id\":\"e2\",\"session_id\":\"s\"");
    run(self);
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    assert_text(root, "user_id", "ann");
    assert_text(root, "event_id", "e1");
    assert_int_equal(number(root, "session_event"), 1);
    assert_int_equal(number(root, "timestamp_ms"), T0);
    assert_int_equal(number(root, "accepted_ms"), leat_test_clock(self->test));
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    assert_text(root, "session_id", "s");
    assert_int_equal(number(root, "session_event"), 2);
    assert_false(next(self, TOPIC_RECOMMENDATIONS, &root));
}

static void a_recommendation_uses_the_sessions_that_have_closed(void **state)
{
    shop *self = *state;
    leat__json root, items;
    send(self, "u1", "a", T0, "");
    send(self, "u1", "b", T0 + 1, "");
    send(self, "u2", "p", T0, "");
    send(self, "u2", "q", T0 + 1, "");
    time_is(self, T0 + LEAT_MINUTES(40));
    assert_int_equal(count_of(self, TOPIC_RECOMMENDATIONS), 4);
    send(self, "ann", "a", T0 + LEAT_MINUTES(45), "");
    run(self);
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    assert_true(leat__json_member(root, "items", &items));
    leat__json_each each = leat__json_each_of(items);
    assert_true(leat__json_next(&each));
    assert_text(each.value, "item_id", "b");
    assert_text(each.value, "source", "sessions");
    assert_true(leat__json_next(&each)); /* filled up */
    assert_text(each.value, "source", "popular");
}

/* ------------------------------------------------------------------ J2 */

static void a_session_closes_after_the_gap(void **state)
{
    shop *self = *state;
    leat__json root;
    send(self, "ann", "a", T0, "");
    send(self, "ann", "b", T0 + LEAT_MINUTES(30), "");
    time_is(self, T0 + LEAT_MINUTES(60) - 1);
    assert_int_equal(count_of(self, TOPIC_SESSIONS), 0);
    time_is(self, T0 + LEAT_MINUTES(60));
    assert_true(next(self, TOPIC_SESSIONS, &root));
    assert_text(root, "user_id", "ann");
    assert_text(root, "session_id", "ann@1700000000000");
    assert_json(root, "items", "[\"a\",\"b\"]");
    assert_json(root, "times_ms", "[1700000000000,1700001800000]");
    assert_int_equal(number(root, "last_ms"), T0 + LEAT_MINUTES(30));
    assert_false(next(self, TOPIC_SESSIONS, &root));
}

static void a_later_interaction_closes_the_session_before_it(void **state)
{
    shop *self = *state;
    leat__json root;
    send(self, "ann", "a", T0, "");
    /* two hours at once: past the gap and the TTL, before any timer could fire */
    send(self, "ann", "b", T0 + LEAT_HOURS(2), "");
    run(self);
    assert_true(next(self, TOPIC_SESSIONS, &root));
    assert_json(root, "items", "[\"a\"]");
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    assert_int_equal(number(root, "session_event"), 1);
}

static void another_session_id_closes_the_session(void **state)
{
    shop *self = *state;
    leat__json root;
    send(self, "ann", "a", T0, "\"session_id\":\"s1\"");
    send(self, "ann", "b", T0 + 1, ""); /* none given: the same session */
    send(self, "ann", "c", T0 + 2, "\"session_id\":\"s2\"");
    run(self);
    assert_true(next(self, TOPIC_SESSIONS, &root));
    assert_text(root, "session_id", "s1@1700000000000");
    assert_json(root, "items", "[\"a\",\"b\"]");
    assert_false(next(self, TOPIC_SESSIONS, &root));
}

static void items_are_in_the_order_of_event_time(void **state)
{
    shop *self = *state;
    leat__json root;
    send(self, "ann", "c", T0 + 3, "");
    send(self, "ann", "a", T0 + 1, "");
    send(self, "ann", "d", T0 + 3, "");
    send(self, "ann", "b", T0 + 2, "");
    time_is(self, T0 + LEAT_MINUTES(31));
    assert_true(next(self, TOPIC_SESSIONS, &root));
    assert_json(root, "items", "[\"a\",\"b\",\"c\",\"d\"]");
    assert_int_equal(number(root, "start_ms"), T0 + 1);
}

static void a_session_keeps_its_newest_items(void **state)
{
    shop *self = *state; /* three at most */
    leat__json root;
    const char *items[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++)
        send(self, "ann", items[i], T0 + i, "");
    time_is(self, T0 + LEAT_MINUTES(31));
    assert_true(next(self, TOPIC_SESSIONS, &root));
    assert_json(root, "items", "[\"c\",\"d\",\"e\"]");
    assert_int_equal(number(root, "event_count"), 5);
}

static void a_user_is_forgotten_an_hour_after_the_last_interaction(void **state)
{
    shop *self = *state;
    send(self, "ann", "a", T0, "");
    time_is(self, T0 + LEAT_MINUTES(60) - 1);
    assert_non_null(leat_test_state_json(self->test, SESSION_OP_NAME, SESSION_STATE_NAME, "ann"));
    time_is(self, T0 + LEAT_MINUTES(60));
    assert_null(leat_test_state_json(self->test, SESSION_OP_NAME, SESSION_STATE_NAME, "ann"));
    assert_int_equal(count_of(self, TOPIC_SESSIONS), 1);
}

static void a_user_who_comes_back_after_closing_begins_a_new_session(void **state)
{
    shop *self = *state;
    leat__json root;
    send(self, "ann", "a", T0, "");
    time_is(self, T0 + LEAT_MINUTES(35));
    send(self, "ann", "b", T0 + LEAT_MINUTES(41), "");
    time_is(self, T0 + LEAT_MINUTES(71) - 1);
    assert_int_equal(count_of(self, TOPIC_SESSIONS), 1);
    time_is(self, T0 + LEAT_MINUTES(71)); /* its own gap, not the former timer */
    assert_true(next(self, TOPIC_SESSIONS, &root));
    assert_json(root, "items", "[\"b\"]");
}

/* ------------------------------------------------------------------ J3 */

static void a_repeated_event_id_is_ignored(void **state)
{
    shop *self = *state;
    char id[32];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 300; i++) { /* more than the session keeps: the rest is in the map */
            snprintf(id, sizeof id, "\"event_id\":\"e%d\"", i);
            send(self, "ann", "a", T0 + i, id);
        }
    send(self, "bob", "a", T0, "\"event_id\":\"e0\""); /* another user's ids are others */
    run(self);
    assert_int_equal(count_of(self, TOPIC_RECOMMENDATIONS), 301);
    assert_int_equal(atomic_load(&self->job->counters.duplicates), 600);
}

static void ids_are_remembered_over_the_end_of_a_session(void **state)
{
    shop *self = *state;
    send(self, "ann", "a", T0, "\"event_id\":\"e1\",\"session_id\":\"s1\"");
    send(self, "ann", "b", T0 + 1, "\"event_id\":\"e2\",\"session_id\":\"s2\"");
    send(self, "ann", "a", T0, "\"event_id\":\"e1\",\"session_id\":\"s1\"");
    run(self);
    assert_int_equal(count_of(self, TOPIC_RECOMMENDATIONS), 2);
    assert_int_equal(count_of(self, TOPIC_SESSIONS), 1);
}

/* ------------------------------------------------------------------ J4 */

static void late_events_go_to_their_topic(void **state)
{
    shop *self = *state;
    leat__json root;
    send(self, "ann", "a", T0, "");
    time_is(self, T0 - LEAT_MINUTES(5) - 1); /* in every partition */
    send(self, "ann", "in time", T0 - LEAT_MINUTES(10), "");
    send(self, "ann", "late", T0 - LEAT_MINUTES(10) - 1,
         "\"event_id\":\"e\",\"category\":\"c\",\"event_type\":\"buy\",\"price\":2.5");
    run(self);
    assert_int_equal(count_of(self, TOPIC_RECOMMENDATIONS), 2);
    assert_true(next(self, TOPIC_LATE, &root));
    assert_text(root, "item_id", "late");
    assert_text(root, "event_type", "purchase");
    assert_text(root, "category", "c");
    assert_false(next(self, TOPIC_LATE, &root));
}

/* A producer in C: the interaction as leat's binary record. */
static void append_binary(const interaction *event, size_t length_less, bool headless)
{
    leat_log *log;
    leat_str bytes;
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    leat_binary_encode(&interaction_type, event, &bytes);
    if (headless) { /* as producers did before records named their layout (R26) */
        char *at = (char *)(uintptr_t)bytes.data;
        bytes.length -= 4;
        memmove(at + 1, at + 5, bytes.length - 1);
        at[0] = 1;
    }
    leat_log_record record = {.topic = TOPIC_INTERACTIONS,
                              .partition = LEAT_PARTITION_BY_KEY,
                              .key = event->user_id,
                              .value = {bytes.data, bytes.length - length_less}};
    assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
    leat_log_close(log);
    free((void *)(uintptr_t)bytes.data);
}

static void an_event_may_be_binary(void **state)
{
    shop *self = *state;
    leat__json root;
    interaction event = {.timestamp_ms = T0,
                         .accepted_ms = T0 + 7,
                         .user_id = LEAT_STR("ann"),
                         .item_id = LEAT_STR("a"),
                         .event_id = LEAT_STR("e1"),
                         .kind = INTERACTION_CLICK};
    run(self);
    append_binary(&event, 0, false);
    append_binary(&event, 0, true); /* a duplicate as in JSON */
    send(self, "ann", "b", T0 + 1, "\"event_id\":\"e2\"");
    run(self);
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    assert_text(root, "event_id", "e1");
    assert_int_equal(number(root, "accepted_ms"), T0 + 7);
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    assert_int_equal(number(root, "session_event"), 2);
    append_binary(&event, 1, false);
    event.item_id = (leat_str){"", 0};
    append_binary(&event, 0, false);
    event.item_id = LEAT_STR("a");
    event.kind = INTERACTION_KINDS;
    append_binary(&event, 0, false);
    run(self);
    assert_int_equal(count_of(self, TOPIC_RECOMMENDATIONS), 0);
    assert_int_equal(count_of(self, TOPIC_DEAD_LETTERS), 3);
}

static int open_shop_of_other_names(void **state)
{
    recommender_settings settings = recommender_defaults();
    settings.name = "shop";
    settings.topics =
        (recommender_topics){"user_events", "s", "p", "user_recommendations", "late", "dead"};
    settings.partitioned_by = "false";
    return open_shop_with(state, settings);
}

/* Producers that spread events at random, and the names of the requirement documents. */
static void topics_may_have_other_names_and_users_be_spread_over_partitions(void **state)
{
    shop *self = *state;
    leat__json root;
    run(self);
    for (uint32_t i = 0; i < 8; i++) {
        char text[120];
        snprintf(text, sizeof text,
                 "{\"user_id\":\"ann\",\"product_id\":\"i%u\",\"timestamp_ms\":%lld}", i,
                 (long long)(T0 + i));
        leat_test_send_to(self->test, "user_events", i % 4, text);
        run(self); /* one after the other: else their order would be chance */
    }
    leat_test_send_to(self->test, "user_events", 0, "not JSON");
    run(self);
    for (uint32_t i = 1; i <= 8; i++) {
        assert_true(next(self, "user_recommendations", &root));
        assert_int_equal(number(root, "session_event"), i);
    }
    assert_int_equal(count_of(self, "p"), 8);
    assert_int_equal(count_of(self, "dead"), 1);
}

/* R19 */
static void what_is_no_event_goes_to_dead_letters(void **state)
{
    shop *self = *state;
    leat_test_send_json(self->test, TOPIC_INTERACTIONS, "{\"user_id\":\"ann\"}");
    leat_test_send_json(self->test, TOPIC_INTERACTIONS, "not JSON");
    send(self, "ann", "a", T0, "");
    run(self);
    assert_int_equal(count_of(self, TOPIC_RECOMMENDATIONS), 1);
    assert_int_equal(count_of(self, TOPIC_DEAD_LETTERS), 2);
}

/* Events come 6 and 4 minutes ahead of the clock; 5 are believed. */
static void send_ahead(shop *self)
{
    int64_t now_ms = leat_test_clock(self->test);
    send(self, "ann", "far", now_ms + LEAT_MINUTES(6), "");
    send(self, "ann", "near", now_ms + LEAT_MINUTES(4), "");
    send(self, "ann", "honest", now_ms - LEAT_MINUTES(5), "");
    run(self);
    assert_int_equal(count_of(self, TOPIC_LATE), 0);
}

static void what_is_ahead_of_the_clock_goes_to_dead_letters(void **state)
{
    shop *self = *state; /* W7 */
    leat_job_stats stats;
    send_ahead(self);
    assert_int_equal(count_of(self, TOPIC_RECOMMENDATIONS), 2);
    assert_int_equal(count_of(self, TOPIC_DEAD_LETTERS), 1);
    leat_job_get_stats(self->job->job, &stats);
    assert_int_equal(stats.records_ahead, 1);
}

static int open_clamping_shop(void **state)
{
    recommender_settings settings = recommender_defaults();
    settings.clamp_ahead = true;
    return open_shop_with(state, settings);
}

static void what_is_ahead_of_the_clock_may_happen_when_it_was_taken(void **state)
{
    shop *self = *state; /* W7 */
    leat__json root;
    send_ahead(self);
    assert_int_equal(count_of(self, TOPIC_DEAD_LETTERS), 0);
    assert_int_equal(self->job->counters.clamped, 1);
    assert_true(next(self, TOPIC_RECOMMENDATIONS, &root));
    int64_t at_ms = 0;
    leat__json value;
    assert_true(leat__json_member(root, "timestamp_ms", &value) &&
                leat__json_get_i64(value, &at_ms));
    assert_int_equal(at_ms, leat_test_clock(self->test));
}

/* ------------------------------------------------------------------ J5 */

static void counts_are_published_at_once_and_then_seldom(void **state)
{
    shop *self = *state;
    leat__json root;
    for (int i = 0; i < 50; i++)
        send(self, "ann", "hot", T0, "\"category\":\"c\",\"event_type\":\"purchase\"");
    run(self);
    assert_true(next(self, TOPIC_POPULARITY, &root));
    assert_int_equal(number(root, "total"), 1);
    assert_false(next(self, TOPIC_POPULARITY, &root));
    leat_test_advance(self->test, 99);
    assert_false(next(self, TOPIC_POPULARITY, &root));
    leat_test_advance(self->test, 1);
    assert_true(next(self, TOPIC_POPULARITY, &root));
    assert_text(root, "category", "c");
    assert_int_equal(number(root, "total"), 50);
    assert_int_equal(number(root, "decayed"), 50);
    assert_false(next(self, TOPIC_POPULARITY, &root));
}

static void counts_decay_by_half_each_day(void **state)
{
    shop *self = *state;
    leat__json root, value;
    double decayed = 0;
    send(self, "ann", "old", T0, "\"event_type\":\"purchase\"");
    run(self);
    leat_test_advance(self->test, 1000);
    send(self, "ann", "old", T0 + LEAT_DAYS(1), "\"event_type\":\"purchase\"");
    run(self);
    assert_true(next(self, TOPIC_POPULARITY, &root));
    assert_true(next(self, TOPIC_POPULARITY, &root));
    assert_int_equal(number(root, "total"), 2);
    assert_true(leat__json_member(root, "decayed", &value) && leat__json_get_f64(value, &decayed));
    assert_true(decayed == 1.5);
}

/* ------------------------------------------------------------------ failures */

/* J1 with crashes between any two steps: no gap, no repeat. */
static void a_crash_loses_and_repeats_nothing(void **state)
{
    shop *self = *state;
    char user[8], item[8], id[32];
    for (int i = 0; i < 120; i++) {
        snprintf(user, sizeof user, "u%d", i % 5);
        snprintf(item, sizeof item, "i%d", i % 11);
        snprintf(id, sizeof id, "\"event_id\":\"%d\"", i);
        send(self, user, item, T0 + i * LEAT_MINUTES(1), id);
        for (int steps = i % 7; steps > 0; steps--)
            leat_test_step(self->test);
        if (i % 17 == 0)
            leat_test_crash(self->test);
    }
    run(self);
    int events[5] = {0};
    leat__json root, value;
    leat_str text;
    size_t count = 0;
    for (; next(self, TOPIC_RECOMMENDATIONS, &root); count++) {
        assert_true(leat__json_member(root, "user_id", &value) && leat__json_get_str(value, &text));
        assert_int_equal(number(root, "session_event"), ++events[text.data[1] - '0']);
    }
    assert_int_equal(count, 120);
}

static void the_acceptance_is_read_off_a_recommendation(void **state)
{
    (void)state;
    assert_int_equal(recommendation_accepted_ms(LEAT_STR(
                         "{\"user_id\":\"\\\"accepted_ms\\\":7\",\"accepted_ms\":42,\"x\":1}")),
                     42);
    assert_int_equal(recommendation_accepted_ms(LEAT_STR("{\"accepted_ms\":}")), -1);
    assert_int_equal(recommendation_accepted_ms(LEAT_STR("{}")), -1);
    assert_int_equal(recommendation_accepted_ms((leat_str){NULL, 0}), -1);
}

int main(void)
{
#define IN_SHOP(test) cmocka_unit_test_setup_teardown(test, open_shop, close_shop)
    const struct CMUnitTest tests[] = {
        IN_SHOP(each_interaction_gives_one_recommendation),
        IN_SHOP(a_recommendation_uses_the_sessions_that_have_closed),
        IN_SHOP(a_session_closes_after_the_gap),
        IN_SHOP(a_later_interaction_closes_the_session_before_it),
        IN_SHOP(another_session_id_closes_the_session),
        IN_SHOP(items_are_in_the_order_of_event_time),
        IN_SHOP(an_event_may_be_binary),
        cmocka_unit_test_setup_teardown(
            topics_may_have_other_names_and_users_be_spread_over_partitions,
            open_shop_of_other_names, close_shop),
        cmocka_unit_test_setup_teardown(a_session_keeps_its_newest_items, open_small_shop,
                                        close_shop),
        IN_SHOP(a_user_is_forgotten_an_hour_after_the_last_interaction),
        IN_SHOP(a_user_who_comes_back_after_closing_begins_a_new_session),
        IN_SHOP(a_repeated_event_id_is_ignored),
        IN_SHOP(ids_are_remembered_over_the_end_of_a_session),
        IN_SHOP(late_events_go_to_their_topic),
        IN_SHOP(what_is_no_event_goes_to_dead_letters),
        IN_SHOP(what_is_ahead_of_the_clock_goes_to_dead_letters),
        cmocka_unit_test_setup_teardown(what_is_ahead_of_the_clock_may_happen_when_it_was_taken,
                                        open_clamping_shop, close_shop),
        IN_SHOP(counts_are_published_at_once_and_then_seldom),
        IN_SHOP(counts_decay_by_half_each_day),
        IN_SHOP(a_crash_loses_and_repeats_nothing),
        cmocka_unit_test(the_acceptance_is_read_off_a_recommendation),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    partitioned_by = "false";
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
