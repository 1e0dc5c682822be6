/* job/model.h - what is recommended to a session: neighbours' items, then popular ones.
 *
 *   clicks ─► session index ─► best n ─► fewer than n? ─► popular in the category ─► popular ─► n
 * items
 *
 * M1 Neighbour items come first, by score.  The newest click's item is left out; items seen earlier
 *    in the session may come back (people return to them) unless exclude_seen.
 * M2 The rest is filled from the popular items (decayed counts), first of the category, then of
 * all; items of the session are left out.  Their scores lie below the last neighbour item's, in
 * proportion to their popularity. M3 If nothing would remain, the popular items are taken without
 * leaving any out: nobody who asks gets an empty list once any item is known.
 *
 * One model serves the job's tasks, the HTTP threads and the tables that feed it. */
#ifndef RECOMMENDER_MODEL_H
#define RECOMMENDER_MODEL_H
#include <stdatomic.h>

#include "apps/recommender/candidates/popularity.h"
#include "apps/recommender/candidates/session_index.h"

enum {
    RECOMMEND_MAX = 100, /* items in one answer */
    RECOMMEND_CLICKS_MAX = 200,
};

typedef struct model {
    session_index *index;
    popularity *popular;
    _Atomic int64_t latest_ms; /* event time of the newest count: the "now" of decayed scores */
} model;

model *model_new(const session_index_options *index, const popularity_options *popular);
void model_free(model *model);

/* A thread's (or task's) way into the model. */
typedef struct model_reader model_reader;
model_reader *model_reader_new(model *model);
void model_reader_free(model_reader *reader);
model *model_of_reader(model_reader *reader);
uint32_t model_popularity_slot(const model_reader *reader);

typedef enum recommend_source { FROM_SESSIONS = 0, FROM_CATEGORY, FROM_POPULAR } recommend_source;
leat_str recommend_source_name(recommend_source source);

typedef struct recommend_request {
    const leat_str *clicks; /* oldest first; borrowed */
    size_t click_count;
    leat_str category; /* fills up first; {NULL, 0}: none */
    uint32_t count;    /* 1 .. RECOMMEND_MAX */
    bool exclude_seen, explain;
} recommend_request;

typedef struct recommend_item {
    leat_str item; /* valid as long as the model */
    float score;
    recommend_source source;
    const session_reason *reasons; /* SESSION_QUERY_ITEMS_MAX of them if explained, else NULL */
} recommend_item;

/* The items are lent until the next call on the reader. */
size_t model_recommend(model_reader *reader, const recommend_request *request,
                       const recommend_item **items);
#endif
