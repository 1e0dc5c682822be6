/* evaluate/evaluate.c - the two protocols of evaluate.h.
 *
 *   click_log (items by its own numbers) ─► strings ─► index, popularity (their own numbers)
 *   answers ─► strings ─► numbers of one more interner, `catalogue`, in which metrics are kept */
#include "apps/recommender/evaluate/evaluate.h"

#include <stdlib.h>
#include <time.h>

#include "apps/recommender/candidates/popularity.h"
#include "base/mem.h"

#define LONG_SESSION_PART 0.995

evaluate_options evaluate_defaults(void)
{
    session_query query = session_query_defaults(NULL, 0);
    return (evaluate_options){
        .max_items = query.max_items,
        .candidates = query.candidates,
        .neighbours = query.neighbours,
        .best = 20,
        .min_session_items = session_index_defaults().min_session_items,
        .gap_ms = LEAT_MINUTES(30),
    };
}

typedef struct evaluator {
    const evaluate_options *options;
    evaluate_result *result;
    session_index *index;
    session_workspace *workspace;
    popularity *popular;
    uint32_t popular_reader;
    interner catalogue; /* items learnt from */
    double *clicks_of;  /* [item of the catalogue] */
    uint32_t item_capacity;
    double most_clicks;
    metrics of_neighbours, of_popular;
    leat_str *clicks;    /* scratch: a session's items */
    uint32_t *remaining; /* scratch */
    uint32_t click_capacity;
    scored_item found[EVALUATE_BEST_MAX];
    popular_item top[EVALUATE_BEST_MAX + 1];
    uint32_t list[EVALUATE_BEST_MAX];
} evaluator;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static evaluator *evaluator_new(const evaluate_options *options, uint32_t max_session_items,
                                evaluate_result *result)
{
    evaluator *made = leat__calloc(1, sizeof *made);
    session_index_options index_options = {.sessions_per_item = options->candidates,
                                           .min_session_items = options->min_session_items,
                                           .max_session_items = max_session_items};
    popularity_options popular_options = popularity_defaults();
    popular_options.top_size = options->best + 1; /* the current item may be among them */
    made->options = options;
    made->result = result;
    made->index = session_index_new(&index_options);
    made->workspace = session_workspace_new(made->index);
    made->popular = popularity_new(&popular_options);
    made->popular_reader = popularity_reader(made->popular);
    *result = (evaluate_result){.max_session_items = max_session_items};
    return made;
}

static void evaluator_finish(evaluator *from)
{
    evaluate_result *result = from->result;
    result->neighbours = metrics_quality(&from->of_neighbours, from->catalogue.count);
    result->popular = metrics_quality(&from->of_popular, from->catalogue.count);
    result->index = session_index_get_stats(from->index);
    metrics_free(&from->of_neighbours);
    metrics_free(&from->of_popular);
    session_workspace_free(from->workspace);
    session_index_free(from->index);
    popularity_free(from->popular);
    interner_free(&from->catalogue);
    leat__free(from->clicks_of);
    leat__free(from->clicks);
    leat__free(from->remaining);
    leat__free(from);
}

static void fit_clicks(evaluator *into, uint32_t count)
{
    if (count <= into->click_capacity)
        return;
    into->click_capacity = count * 2;
    into->clicks = leat__realloc(into->clicks, into->click_capacity, sizeof *into->clicks);
    into->remaining = leat__realloc(into->remaining, into->click_capacity, sizeof(uint32_t));
}

/* ------------------------------------------------------------------ learning */

static void learn_session(evaluator *into, const click_log *log, const click_session *session)
{
    fit_clicks(into, session->count);
    for (uint32_t i = 0; i < session->count; i++)
        into->clicks[i] = click_item(log, session->first + i);
    session_index_add(into->index, session->id, into->clicks, session->count,
                      session->last_time_ms);
}

static void learn_click(evaluator *into, leat_str item_name, int64_t time_ms)
{
    uint32_t item = interner_add(&into->catalogue, item_name);
    if (item >= into->item_capacity) {
        uint32_t capacity = into->item_capacity == 0 ? 1024 : into->item_capacity * 2;
        into->clicks_of = leat__realloc(into->clicks_of, capacity, sizeof(double));
        for (uint32_t i = into->item_capacity; i < capacity; i++)
            into->clicks_of[i] = 0;
        into->item_capacity = capacity;
    }
    double clicks = ++into->clicks_of[item];
    popularity_update(into->popular, item_name, (leat_str){NULL, 0}, clicks, 0, time_ms);
    if (clicks > into->most_clicks)
        into->most_clicks = clicks;
}

/* ------------------------------------------------------------------ predicting */

static uint32_t number_in_catalogue(const evaluator *of, leat_str item)
{
    return interner_find(&of->catalogue, item);
}

/* Distinct items from `place` to the end of the session. */
static size_t remaining_items(evaluator *from, const click_log *log, const click_session *session,
                              uint32_t place)
{
    size_t count = 0;
    for (uint32_t i = place; i < session->count; i++) {
        const click *now = &log->clicks[session->first + i];
        bool repeat = false;
        for (uint32_t j = place; j < i && !repeat; j++)
            repeat = log->clicks[session->first + j].item == now->item;
        if (!repeat)
            from->remaining[count++] =
                number_in_catalogue(from, interner_name(&log->items, now->item));
    }
    return count;
}

static size_t ask_neighbours(evaluator *of, const session_query *query)
{
    int64_t begin = now_ns();
    size_t count =
        session_index_query(of->index, of->workspace, query, of->found, of->options->best);
    leat__histogram_record(&of->result->prediction_ns, (uint64_t)(now_ns() - begin));
    for (size_t i = 0; i < count; i++)
        of->list[i] = number_in_catalogue(of, of->found[i].item);
    return count;
}

static size_t ask_popular(evaluator *of, leat_str current)
{
    size_t top = popularity_top(of->popular, of->popular_reader, (leat_str){NULL, 0},
                                POPULAR_IN_TOTAL, 0, of->top, of->options->best + 1);
    size_t count = 0;
    for (size_t i = 0; i < top && count < of->options->best; i++) {
        bool left_out = !of->options->keep_current && leat_str_equal(of->top[i].item, current);
        if (!left_out)
            of->list[count++] = number_in_catalogue(of, of->top[i].item);
    }
    return count;
}

/* Predicts the click at `place` (> 0) from those before it. */
static void predict(evaluator *with, const click_log *log, const click_session *session,
                    uint32_t place)
{
    const evaluate_options *options = with->options;
    fit_clicks(with, session->count);
    uint32_t first = place > options->max_items ? place - options->max_items : 0;
    for (uint32_t i = first; i < place; i++)
        with->clicks[i - first] = click_item(log, session->first + i);
    leat_str current = with->clicks[place - 1 - first];
    leat_str next = click_item(log, session->first + place);
    if (options->skip_repeats && leat_str_equal(current, next))
        return;
    session_query query = {.clicks = with->clicks,
                           .click_count = place - first,
                           .max_items = options->max_items,
                           .candidates = options->candidates,
                           .neighbours = options->neighbours,
                           .exclude_current = !options->keep_current};
    uint32_t target = number_in_catalogue(with, next);
    size_t remaining = remaining_items(with, log, session, place);
    size_t count = ask_neighbours(with, &query);
    metrics_add(&with->of_neighbours, with->list, count, options->best, target, with->remaining,
                remaining, with->clicks_of, with->most_clicks);
    count = ask_popular(with, current);
    metrics_add(&with->of_popular, with->list, count, options->best, target, with->remaining,
                remaining, with->clicks_of, with->most_clicks);
}

/* ------------------------------------------------------------------ protocols */

void evaluate_split(const click_log *train, const click_log *test, const evaluate_options *options,
                    evaluate_result *result)
{
    uint32_t longest = options->max_session_items != 0
                           ? options->max_session_items
                           : click_log_length_percentile(train, LONG_SESSION_PART);
    evaluator *with = evaluator_new(options, longest, result);
    int64_t begin = now_ns();
    for (uint32_t i = 0; i < train->session_count; i++)
        learn_session(with, train, &train->sessions[i]);
    for (uint32_t i = 0; i < train->click_count; i++)
        learn_click(with, click_item(train, i), train->clicks[i].time_ms);
    for (uint32_t i = 0; i < test->session_count; i++)
        for (uint32_t place = 1; place < test->sessions[i].count; place++)
            predict(with, test, &test->sessions[i], place);
    result->seconds = (double)(now_ns() - begin) / 1e9;
    result->train_clicks = train->click_count;
    result->train_sessions = train->session_count;
    result->test_clicks = test->click_count;
    result->test_sessions = test->session_count;
    evaluator_finish(with);
}

static int by_last_time(const void *left, const void *right)
{
    const click_session *a = *(const click_session *const *)left;
    const click_session *b = *(const click_session *const *)right;
    if (a->last_time_ms != b->last_time_ms)
        return a->last_time_ms < b->last_time_ms ? -1 : 1;
    return a->first < b->first ? -1 : 1;
}

static const click_session **sessions_by_last_time(const click_log *log)
{
    const click_session **order = leat__alloc(log->session_count * sizeof *order);
    for (uint32_t i = 0; i < log->session_count; i++)
        order[i] = &log->sessions[i];
    qsort(order, log->session_count, sizeof *order, by_last_time);
    return order;
}

void evaluate_replay(const click_log *log, const evaluate_options *options, evaluate_result *result)
{
    uint32_t longest = options->max_session_items != 0 ? options->max_session_items
                                                       : session_index_defaults().max_session_items;
    evaluator *with = evaluator_new(options, longest, result);
    uint32_t *order = click_log_by_time(log), closed = 0;
    const click_session **closing = sessions_by_last_time(log);
    int64_t begin = now_ns();
    for (uint32_t i = 0; i < log->click_count; i++) {
        const click *now = &log->clicks[order[i]];
        for (; closing[closed]->last_time_ms + options->gap_ms < now->time_ms; closed++)
            learn_session(with, log, closing[closed]);
        const click_session *session = &log->sessions[now->session];
        uint32_t place = order[i] - session->first;
        if (place > 0)
            predict(with, log, session, place);
        learn_click(with, click_item(log, order[i]), now->time_ms);
    }
    result->seconds = (double)(now_ns() - begin) / 1e9;
    result->train_clicks = result->test_clicks = log->click_count;
    result->train_sessions = result->test_sessions = log->session_count;
    leat__free(order);
    leat__free(closing);
    evaluator_finish(with);
}
