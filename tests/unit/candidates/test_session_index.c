/* The session index against a naive second implementation, and its rules I1-I5, Q1-Q4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/unit/candidates/naive_vmis.h"

enum { SESSIONS = 220, CLICKS_MAX = 9, ITEMS = 40, TEXT = 16, RESULTS = 64 };

typedef struct world {
    naive_session sessions[SESSIONS];
    leat_str clicks[SESSIONS][CLICKS_MAX];
    char ids[SESSIONS][TEXT];
    char items[ITEMS][TEXT];
} world;

static void assert_near(double is, double expected)
{
    assert_true(fabs(is - expected) <= 1e-5 * fabs(expected));
}

static world *random_world(uint64_t seed)
{
    leat__random random = {seed};
    world *made = calloc(1, sizeof *made);
    for (int i = 0; i < ITEMS; i++)
        snprintf(made->items[i], TEXT, "item-%d", i);
    for (int i = 0; i < SESSIONS; i++) {
        naive_session *session = &made->sessions[i];
        snprintf(made->ids[i], TEXT, "s%llu-%d",
                 (unsigned long long)leat__random_below(&random, 1000), i);
        session->id = leat_str_from(made->ids[i]);
        /* few distinct times, some within one coarse step: ties must be decided by id */
        session->last_time_ms = 1600000000000 + (int64_t)leat__random_below(&random, 60) * 20 +
                                (int64_t)leat__random_below(&random, 3) * 1000000;
        session->click_count = 1 + leat__random_below(&random, CLICKS_MAX);
        session->clicks = made->clicks[i];
        for (size_t j = 0; j < session->click_count; j++) {
            uint64_t item = leat__random_below(&random, ITEMS);
            if (item % 3 != 0)
                item /= 4; /* some items are popular */
            session->clicks[j] = leat_str_from(made->items[item]);
        }
    }
    return made;
}

static void add(session_index *index, const naive_session *session)
{
    session_index_add(index, session->id, session->clicks, session->click_count,
                      session->last_time_ms);
}

static session_index *built(const world *from, session_index_options options)
{
    session_index *index = session_index_new(&options);
    for (int i = 0; i < SESSIONS; i++)
        add(index, &from->sessions[i]);
    return index;
}

static char *dumped(session_index *index)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_int_equal(session_index_dump(index, out, NULL), LEAT_OK);
    fclose(out);
    return text;
}

static void shuffle(size_t *order, size_t count, leat__random *random)
{
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t other = leat__random_below(random, i), kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

/* I1: any order of arrival gives the same index, byte for byte, with and without a bound (I4). */
static void test_arrival_order_does_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        world *from = random_world(seed);
        session_index_options options = {.sessions_per_item = 1 + (uint32_t)(seed * 3),
                                         .min_session_items = 1 + seed % 2,
                                         .max_session_items = 7,
                                         .max_sessions = seed % 3 == 0 ? 120 : 0};
        session_index *first = built(from, options);
        char *expected = dumped(first);
        leat__random random = {seed + 100};
        for (int round = 0; round < 5; round++) {
            size_t order[SESSIONS];
            shuffle(order, SESSIONS, &random);
            session_index *other = session_index_new(&options);
            for (int i = 0; i < SESSIONS; i++)
                add(other, &from->sessions[order[i]]);
            char *text = dumped(other);
            assert_string_equal(text, expected);
            free(text);
            session_index_free(other);
        }
        free(expected);
        session_index_free(first);
        free(from);
    }
}

/* Which sessions are in a list, by their place in newest_first. */
static void mark_stored(const world *from, naive_index *batch, bool stored[SESSIONS])
{
    memset(stored, 0, SESSIONS * sizeof *stored);
    for (int i = 0; i < ITEMS; i++) {
        size_t list[SESSIONS], length = naive_list(batch, leat_str_from(from->items[i]), list);
        for (size_t j = 0; j < length; j++)
            stored[list[j]] = true;
    }
}

/* A session is named by its place among the stored ones, the oldest is 0. */
static void append_numbers(FILE *out, const bool stored[SESSIONS], const size_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t older = 0;
        for (size_t k = list[i] + 1; k < SESSIONS; k++)
            older += stored[k];
        fprintf(out, "%s%zu", i > 0 ? "," : "", older);
    }
}

/* The lists are those of a batch build: per item the m newest sessions, and n_i of all. */
static void test_lists_are_those_of_a_batch_build(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        world *from = random_world(seed);
        session_index_options options = {
            .sessions_per_item = 10, .min_session_items = 2, .max_session_items = 6};
        session_index *index = built(from, options);
        naive_index batch = naive_build(from->sessions, SESSIONS, 10, 2, 6);
        char *text = dumped(index);
        bool stored[SESSIONS];
        mark_stored(from, &batch, stored);
        for (int i = 0; i < ITEMS; i++) {
            leat_str item = leat_str_from(from->items[i]);
            size_t list[SESSIONS], length = naive_list(&batch, item, list);
            char *line = NULL;
            size_t line_length = 0;
            FILE *out = open_memstream(&line, &line_length);
            fprintf(out, "{\"item\":\"%s\",\"sessions\":%zu,\"recent\":[", from->items[i],
                    naive_item_sessions(&batch, item));
            append_numbers(out, stored, list, length);
            fprintf(out, "]}\n");
            fclose(out);
            if (length > 0)
                assert_non_null(strstr(text, line));
            assert_int_equal(session_index_item_sessions(index, item),
                             naive_item_sessions(&batch, item));
            free(line);
        }
        assert_int_equal(session_index_get_stats(index).sessions_counted, batch.count);
        free(text);
        naive_free(&batch);
        session_index_free(index);
        free(from);
    }
}

static void assert_same_answer(session_index *index, const naive_index *batch,
                               const session_query *query, session_workspace *workspace)
{
    scored_item out[RESULTS];
    naive_result expected[ITEMS];
    memset(expected, 0, sizeof expected);
    size_t capacity = 1 + query->click_count * 3;
    size_t count = session_index_query(index, workspace, query, out, capacity);
    size_t naive_count = naive_query(batch, query, expected);
    assert_int_equal(count, naive_count < capacity ? naive_count : capacity);
    for (size_t i = 0; i < count; i++) {
        assert_near(out[i].score, expected[i].score);
        assert_true(leat_str_equal(out[i].item, expected[i].item));
    }
}

/* Q1-Q4: merging sorted lists gives what the published walk with its heap gives. */
static void test_query_equals_the_published_walk(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world *from = random_world(seed);
        session_index_options options = {
            .sessions_per_item = 40, .min_session_items = 1, .max_session_items = 100};
        session_index *index = built(from, options);
        session_workspace *workspace = session_workspace_new(index);
        naive_index batch = naive_build(from->sessions, SESSIONS, 40, 1, 100);
        leat__random random = {seed};
        for (int round = 0; round < 120; round++) {
            leat_str clicks[16];
            size_t count = 1 + leat__random_below(&random, 16);
            for (size_t i = 0; i < count; i++)
                clicks[i] = round % 7 == 0 && i == 1
                                ? LEAT_STR("unheard of")
                                : leat_str_from(from->items[leat__random_below(&random, ITEMS)]);
            session_query query = {.clicks = clicks,
                                   .click_count = count,
                                   .max_items = 1 + (uint32_t)leat__random_below(&random, 16),
                                   .candidates = (uint32_t)leat__random_below(&random, 50),
                                   .neighbours = 1 + (uint32_t)leat__random_below(&random, 30),
                                   .exclude_current = round % 2 == 0};
            assert_same_answer(index, &batch, &query, workspace);
        }
        naive_free(&batch);
        session_workspace_free(workspace);
        session_index_free(index);
        free(from);
    }
}

static session_index *small_index(uint64_t max_sessions)
{
    session_index_options options = {.sessions_per_item = 3,
                                     .min_session_items = 1,
                                     .max_session_items = 4,
                                     .max_sessions = max_sessions};
    return session_index_new(&options);
}

static session_added add_text(session_index *index, const char *id, int64_t time_ms,
                              const char *items)
{
    leat_str clicks[16];
    size_t count = 0;
    for (const char *c = items; *c != '\0'; c++)
        clicks[count++] = (leat_str){c, 1};
    return session_index_add(index, leat_str_from(id), clicks, count, time_ms);
}

/* A worked example by hand: s = a b (b newest), m = 3, k = 2. */
static void test_worked_example(void **state)
{
    (void)state;
    session_index *index = small_index(0);
    add_text(index, "s1", 1000, "ax");
    add_text(index, "s2", 2000, "abz");
    add_text(index, "s3", 3000, "by");
    add_text(index, "s4", 4000, "ay");
    add_text(index, "s5", 5000, "u");
    leat_str clicks[] = {LEAT_STR("a"), LEAT_STR("b")};
    session_query query = {clicks, 2, 2, 3, 2, true};
    session_workspace *workspace = session_workspace_new(index);
    scored_item out[8];
    session_reason reasons[8 * SESSION_QUERY_ITEMS_MAX];
    size_t count = session_index_query_explained(index, workspace, &query, out, 8, reasons);
    /* candidates s4 (r .5), s3 (1), s2 (1.5); neighbours s2, s3; q = 1 for both: lambda .9 */
    assert_int_equal(count, 3);
    assert_memory_equal(out[0].item.data, "z", 1);
    assert_near(out[0].score, 0.9 * 1.5 * log(5.0));
    assert_memory_equal(out[1].item.data, "y", 1);
    assert_near(out[1].score, 0.9 * 1.0 * log(5.0 / 2));
    assert_memory_equal(out[2].item.data, "a", 1);
    assert_near(out[2].score, 0.9 * 1.5 * log(5.0 / 3));
    assert_int_equal(reasons[0].clicks_ago, 1);
    assert_int_equal(reasons[0].sessions, 1);
    assert_near(reasons[0].share, 1.0);
    assert_int_equal(reasons[0].last_time_ms, 2000);
    assert_int_equal(reasons[1].clicks_ago, 0);
    session_workspace_free(workspace);
    session_index_free(index);
}

static void test_reasons_share_the_score(void **state)
{
    (void)state;
    session_index *index = small_index(0);
    add_text(index, "s1", 1000, "ax");
    add_text(index, "s2", 2000, "bx");
    add_text(index, "s3", 3000, "c");
    leat_str clicks[] = {LEAT_STR("a"), LEAT_STR("b")};
    session_query query = {clicks, 2, 2, 3, 10, true};
    session_workspace *workspace = session_workspace_new(index);
    scored_item out[1];
    session_reason reasons[SESSION_QUERY_ITEMS_MAX];
    assert_int_equal(session_index_query_explained(index, workspace, &query, out, 1, reasons), 1);
    assert_memory_equal(out[0].item.data, "x", 1);
    assert_int_equal(reasons[0].clicks_ago, 1); /* 2/2 * .9 of 2/2 * .9 + 1/2 * .8 */
    assert_near(reasons[0].share, 0.9 / 1.3);
    assert_int_equal(reasons[1].clicks_ago, 2);
    assert_near(reasons[1].share, 0.4 / 1.3);
    assert_int_equal(reasons[2].clicks_ago, 0);
    session_workspace_free(workspace);
    session_index_free(index);
}

/* I2 */
static void test_short_and_long_sessions_are_left_out(void **state)
{
    (void)state;
    session_index_options options = {
        .sessions_per_item = 3, .min_session_items = 2, .max_session_items = 3};
    session_index *index = session_index_new(&options);
    assert_int_equal(add_text(index, "a", 1, "xxxx"), SESSION_TOO_SHORT);
    assert_int_equal(add_text(index, "b", 1, "wxyz"), SESSION_TOO_LONG);
    assert_int_equal(add_text(index, "c", 1, "xyxyxyz"), SESSION_ADDED);
    session_index_stats stats = session_index_get_stats(index);
    assert_int_equal(stats.sessions_counted, 1);
    assert_int_equal(stats.sessions_left_out, 2);
    session_index_free(index);
}

/* I5 */
static void test_second_time_is_noticed(void **state)
{
    (void)state;
    session_index *index = small_index(0);
    assert_int_equal(add_text(index, "a", 5, "xy"), SESSION_ADDED);
    assert_int_equal(add_text(index, "a", 5, "xy"), SESSION_DUPLICATE);
    assert_int_equal(add_text(index, "b", 5, "xy"), SESSION_ADDED);
    assert_int_equal(session_index_get_stats(index).sessions_counted, 2);
    session_index_free(index);
}

/* I3: an endless stream over a fixed catalogue does not grow. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    session_index_options options = {
        .sessions_per_item = 20, .min_session_items = 1, .max_session_items = 10};
    session_index *index = session_index_new(&options);
    leat__random random = {7};
    char names[50][8], id[24];
    leat_str clicks[5];
    for (int i = 0; i < 50; i++)
        snprintf(names[i], sizeof names[i], "i%d", i);
    size_t after_warm_up = 0;
    for (int i = 0; i < 60000; i++) {
        snprintf(id, sizeof id, "session-%d", i);
        for (int j = 0; j < 5; j++)
            clicks[j] = leat_str_from(names[leat__random_below(&random, 50)]);
        session_index_add(index, leat_str_from(id), clicks, 5, i * 1000);
        if (i == 20000)
            after_warm_up = session_index_get_stats(index).memory_bytes;
    }
    session_index_stats stats = session_index_get_stats(index);
    assert_true(stats.sessions_stored <= 50 * 20);
    assert_int_equal(stats.list_entries, 50 * 20);
    assert_int_equal(stats.memory_bytes, after_warm_up);
    session_index_free(index);
}

/* I4: with a bound on sessions the old ones leave even lists that nothing new enters. */
static void test_max_sessions_drops_the_oldest(void **state)
{
    (void)state;
    session_index *index = small_index(10);
    add_text(index, "old", 0, "ax");
    char id[16];
    for (int i = 1; i <= 100; i++) {
        snprintf(id, sizeof id, "s%d", i);
        add_text(index, id, i * LEAT_MINUTES(2), "bc");
    }
    leat_str click = LEAT_STR("a");
    session_query query = {&click, 1, 3, 3, 10, true};
    session_workspace *workspace = session_workspace_new(index);
    scored_item out[4];
    assert_int_equal(session_index_query(index, workspace, &query, out, 4), 0);
    assert_int_equal(add_text(index, "older", 1, "ax"), SESSION_TOO_OLD);
    assert_int_equal(session_index_get_stats(index).sessions_stored, 3); /* swept away too */
    assert_int_equal(session_index_item_sessions(index, click), 2);      /* n_i counts them all */
    session_workspace_free(workspace);
    session_index_free(index);
}

static void test_unknown_and_empty_sessions_give_nothing(void **state)
{
    (void)state;
    session_index *index = small_index(0);
    session_workspace *workspace = session_workspace_new(index);
    scored_item out[4];
    leat_str click = LEAT_STR("a");
    session_query query = session_query_defaults(&click, 1);
    assert_int_equal(session_index_query(index, workspace, &query, out, 4), 0);
    add_text(index, "s", 1, "bc");
    assert_int_equal(session_index_query(index, workspace, &query, out, 4), 0);
    query.click_count = 0;
    assert_int_equal(session_index_query(index, workspace, &query, out, 4), 0);
    session_workspace_free(workspace);
    session_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrival_order_does_not_matter),
        cmocka_unit_test(test_lists_are_those_of_a_batch_build),
        cmocka_unit_test(test_query_equals_the_published_walk),
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_reasons_share_the_score),
        cmocka_unit_test(test_short_and_long_sessions_are_left_out),
        cmocka_unit_test(test_second_time_is_noticed),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_max_sessions_drops_the_oldest),
        cmocka_unit_test(test_unknown_and_empty_sessions_give_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
