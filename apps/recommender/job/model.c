/* job/model.c - what all partitions have learnt, and one ranked answer from it.
 *
 *   request ──► items of similar sessions (M1) ──too few──► popular in the category (M2)
 *                                               ──too few──► popular anywhere (M3) ──► answer
 *
 * Each reader has its own workspace, so that readers never wait for each other. */
#include "apps/recommender/job/model.h"

#include <string.h>

#include "base/mem.h"

struct model_reader {
    model *model;
    session_workspace *workspace;
    uint32_t popularity_slot;
    size_t count;
    recommend_item items[RECOMMEND_MAX];
    scored_item scored[RECOMMEND_MAX + RECOMMEND_CLICKS_MAX];
    popular_item popular[RECOMMEND_MAX + RECOMMEND_CLICKS_MAX];
    session_reason *reasons; /* made when first asked for: 16 per item */
};

model *model_new(const session_index_options *index, const popularity_options *popular)
{
    model *self = leat__calloc(1, sizeof *self);
    self->index = session_index_new(index);
    self->popular = popularity_new(popular);
    return self;
}

void model_free(model *self)
{
    if (self == NULL)
        return;
    session_index_free(self->index);
    popularity_free(self->popular);
    leat__free(self);
}

model_reader *model_reader_new(model *of)
{
    model_reader *reader = leat__calloc(1, sizeof *reader);
    reader->model = of;
    reader->workspace = session_workspace_new(of->index);
    reader->popularity_slot = popularity_reader(of->popular);
    return reader;
}

void model_reader_free(model_reader *reader)
{
    if (reader == NULL)
        return;
    session_workspace_free(reader->workspace);
    leat__free(reader->reasons);
    leat__free(reader);
}

model *model_of_reader(model_reader *reader)
{
    return reader->model;
}

uint32_t model_popularity_slot(const model_reader *reader)
{
    return reader->popularity_slot;
}

leat_str recommend_source_name(recommend_source source)
{
    static const leat_str names[] = {
        {"sessions", 8},
        {"category", 8},
        {"popular", 7},
    };
    return names[source];
}

static bool is_click(const recommend_request *request, leat_str item)
{
    for (size_t i = request->click_count; i-- > 0;)
        if (leat_str_equal(request->clicks[i], item))
            return true;
    return false;
}

static bool is_taken(const model_reader *reader, leat_str item)
{
    for (size_t i = 0; i < reader->count; i++)
        if (leat_str_equal(reader->items[i].item, item))
            return true;
    return false;
}

/* M1 */
static void take_neighbours(model_reader *reader, const recommend_request *request)
{
    session_query query = session_query_defaults(request->clicks, request->click_count);
    size_t wanted = request->count + (request->exclude_seen ? request->click_count : 0);
    size_t found;
    if (request->explain) {
        size_t reasons = (size_t)(RECOMMEND_MAX + RECOMMEND_CLICKS_MAX) * SESSION_QUERY_ITEMS_MAX;
        if (reader->reasons == NULL)
            reader->reasons = leat__calloc(reasons, sizeof *reader->reasons);
        found = session_index_query_explained(reader->model->index, reader->workspace, &query,
                                              reader->scored, wanted, reader->reasons);
    } else {
        found = session_index_query(reader->model->index, reader->workspace, &query, reader->scored,
                                    wanted);
    }
    for (size_t i = 0; i < found && reader->count < request->count; i++) {
        const scored_item *scored = &reader->scored[i];
        if (request->exclude_seen && is_click(request, scored->item))
            continue;
        reader->items[reader->count++] = (recommend_item){
            .item = scored->item,
            .score = scored->score,
            .source = FROM_SESSIONS,
            .reasons = request->explain ? &reader->reasons[i * SESSION_QUERY_ITEMS_MAX] : NULL,
        };
    }
}

/* M2, and M3 with keep_all */
static void fill_up(model_reader *reader, const recommend_request *request, recommend_source source,
                    bool keep_all)
{
    size_t wanted = request->count + request->click_count + reader->count;
    size_t most = sizeof reader->popular / sizeof reader->popular[0];
    int64_t now_ms = atomic_load_explicit(&reader->model->latest_ms, memory_order_relaxed);
    size_t found =
        popularity_top(reader->model->popular, reader->popularity_slot,
                       source == FROM_CATEGORY ? request->category : (leat_str){NULL, 0},
                       POPULAR_LATELY, now_ms, reader->popular, wanted < most ? wanted : most);
    float below = reader->count == 0 ? 1.0f : reader->items[reader->count - 1].score * 0.5f;
    double top = found == 0 || reader->popular[0].score <= 0 ? 1 : reader->popular[0].score;
    for (size_t i = 0; i < found && reader->count < request->count; i++) {
        leat_str item = reader->popular[i].item;
        if (is_taken(reader, item) || (!keep_all && is_click(request, item)))
            continue;
        reader->items[reader->count++] = (recommend_item){
            .item = item,
            .score = below * (float)(reader->popular[i].score / top),
            .source = source,
        };
    }
}

size_t model_recommend(model_reader *reader, const recommend_request *request,
                       const recommend_item **items)
{
    recommend_request bounded = *request;
    if (bounded.count > RECOMMEND_MAX)
        bounded.count = RECOMMEND_MAX;
    if (bounded.click_count > RECOMMEND_CLICKS_MAX) { /* the newest count */
        bounded.clicks += bounded.click_count - RECOMMEND_CLICKS_MAX;
        bounded.click_count = RECOMMEND_CLICKS_MAX;
    }
    reader->count = 0;
    if (bounded.click_count > 0)
        take_neighbours(reader, &bounded);
    if (reader->count < bounded.count && bounded.category.length > 0)
        fill_up(reader, &bounded, FROM_CATEGORY, false);
    if (reader->count < bounded.count)
        fill_up(reader, &bounded, FROM_POPULAR, false);
    if (reader->count == 0)
        fill_up(reader, &bounded, FROM_POPULAR, true);
    *items = reader->items;
    return reader->count;
}
