/* Threads: one stream adds sessions while others query; what they get is always whole. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "apps/recommender/candidates/session_index.h"
#include "base/random.h"

enum { READERS = 3, SESSIONS = 6000, ITEMS = 300, BEST = 10 };

typedef struct shared {
    session_index *index;
    _Atomic int done;
    _Atomic uint64_t wrong, answers;
} shared;

static size_t random_clicks(leat__random *random, char (*texts)[8], leat_str *clicks)
{
    size_t count = 1 + leat__random_below(random, 6);
    for (size_t i = 0; i < count; i++) {
        int length =
            snprintf(texts[i], sizeof texts[i], "%u", (uint32_t)leat__random_below(random, ITEMS));
        clicks[i] = (leat_str){texts[i], (size_t)length};
    }
    return count;
}

static void *ask(void *arg)
{
    shared *with = arg;
    session_workspace *workspace = session_workspace_new(with->index);
    leat__random random = {(uint64_t)(uintptr_t)&random};
    char texts[6][8];
    leat_str clicks[6];
    scored_item out[BEST];
    session_reason reasons[BEST * SESSION_QUERY_ITEMS_MAX];
    while (!with->done) {
        session_query query = session_query_defaults(clicks, random_clicks(&random, texts, clicks));
        size_t count =
            session_index_query_explained(with->index, workspace, &query, out, BEST, reasons);
        for (size_t i = 0; i < count; i++) {
            bool ordered = i == 0 || out[i - 1].score >= out[i].score;
            bool explained = reasons[i * SESSION_QUERY_ITEMS_MAX].sessions > 0;
            bool left_out = leat_str_equal(out[i].item, clicks[query.click_count - 1]);
            if (!ordered || !explained || left_out || !(out[i].score > 0))
                with->wrong++;
        }
        with->answers += count;
    }
    session_workspace_free(workspace);
    return NULL;
}

static void test_queries_while_sessions_come_in(void **state)
{
    (void)state;
    session_index_options options = session_index_defaults();
    options.sessions_per_item = 30;
    options.max_sessions = 2000;
    shared with = {.index = session_index_new(&options)};
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, ask, &with);
    leat__random random = {11};
    char texts[6][8], id[16];
    leat_str clicks[6];
    for (int i = 0; i < SESSIONS || with.answers < 100; i++) {
        snprintf(id, sizeof id, "%d", i);
        size_t count = random_clicks(&random, texts, clicks);
        session_index_add(with.index, leat_str_from(id), clicks, count, i * LEAT_SECONDS(30));
    }
    with.done = 1;
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(with.wrong, 0);
    session_index_free(with.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_queries_while_sessions_come_in)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
