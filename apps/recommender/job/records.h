/* job/records.h - the records of the recommender's topics and states.
 *
 *  topic                 key      record            kept
 *  user-interactions     user_id  the event as sent --retention, 7 days   (events/event.h)
 *  sessions              user_id  closed_session    for ever: the index is built from it
 *  item-popularity       item_id  item_count        latest per item (compacted)
 *  recommendations       user_id  recommendation    1 GiB per partition
 *  late-events           user_id  late_event        256 MiB per partition
 *  dead-letters          -        written by leat   256 MiB per partition
 */
#ifndef RECOMMENDER_RECORDS_H
#define RECOMMENDER_RECORDS_H
#include "leat/record.h"

#define TOPIC_INTERACTIONS "user-interactions"
#define TOPIC_SESSIONS "sessions"
#define TOPIC_POPULARITY "item-popularity"
#define TOPIC_RECOMMENDATIONS "recommendations"
#define TOPIC_LATE "late-events"
#define TOPIC_DEAD_LETTERS "dead-letters"

/* Names the algorithm and the meaning of its scores. */
#define MODEL_VERSION "vmis-knn-1"

/* ---------------------------------------------------------------- sessions */

typedef struct seen_item {
    leat_str item_id;
    int64_t at_ms;
} seen_item;
LEAT_RECORD(seen_item, item_id, at_ms);

/* State of a user: the session that is open, or the last one until it is forgotten. */
typedef struct session_state {
    leat_str session_id; /* the producer's; {NULL, 0}: none was given */
    leat_str category;   /* of the newest interaction that had one */
    int64_t start_ms, last_ms;
    int64_t timer_ms;     /* when the user's timer is set for; 0: it is not */
    uint32_t event_count; /* interactions in this session, also those no longer in `items` */
    bool closed;          /* its session is in the topic already */
    bool ids_spilled;     /* there are event ids in the state "seen" too */
    leat_list items;      /* seen_item, by time, the newest last; bounded */
    leat_list event_ids;  /* uint64_t hashes, the newest last; bounded */
} session_state;
LEAT_RECORD(session_state, LEAT_OPTIONAL(session_id), LEAT_OPTIONAL(category), start_ms, last_ms,
            timer_ms, event_count, closed, ids_spilled, LEAT_LIST(items, &seen_item_type),
            LEAT_LIST(event_ids, &leat_type_u64));

/* session_id is unique: the producer's id or the user's, '@', and the session's start. */
typedef struct closed_session {
    leat_str session_id, user_id;
    leat_list items;    /* leat_str, oldest first, repeats included */
    leat_list times_ms; /* int64_t, of each item */
    int64_t start_ms, last_ms;
    uint32_t event_count;
} closed_session;
LEAT_RECORD(closed_session, session_id, user_id, LEAT_LIST(items, &leat_type_str),
            LEAT_LIST(times_ms, &leat_type_i64), start_ms, last_ms, event_count);

/* ---------------------------------------------------------------- popularity */

/* One interaction on its way to the item's counter. */
typedef struct item_touch {
    leat_str item_id, category;
    double weight;
    int64_t at_ms;
} item_touch;
LEAT_RECORD(item_touch, item_id, LEAT_OPTIONAL(category), weight, at_ms);

/* Counts are absolute (R6): the latest record of an item says everything. */
typedef struct item_count {
    leat_str item_id, category;
    double total, decayed; /* interactions; their weights, halved each half-life, as of at_ms */
    int64_t at_ms;
} item_count;
LEAT_RECORD(item_count, item_id, LEAT_OPTIONAL(category), total, decayed, at_ms);

typedef struct item_state {
    leat_str category;
    double total, decayed;
    int64_t at_ms;
    int64_t published_ms; /* on the epoch's clock */
    bool flush_waits;     /* a timer will publish it */
} item_state;
LEAT_RECORD(item_state, LEAT_OPTIONAL(category), total, decayed, at_ms, published_ms, flush_waits);

/* ---------------------------------------------------------------- out */

typedef struct recommended_item {
    leat_str item_id;
    float score;
    leat_str source; /* "sessions", "category", "popular" */
} recommended_item;
LEAT_RECORD(recommended_item, item_id, score, source);

/* A function of the log and of the index at that moment alone (R21): no clock is in it. */
typedef struct recommendation {
    leat_str user_id, session_id, event_id;
    uint32_t session_event; /* 1 for the first interaction of a session, 2 ...: no gap, no repeat */
    int64_t timestamp_ms, accepted_ms; /* of the interaction that caused it */
    leat_list items;                   /* recommended_item, best first */
    leat_str model_version;
} recommendation;
LEAT_RECORD(recommendation, user_id, LEAT_OPTIONAL(session_id), LEAT_OPTIONAL(event_id),
            session_event, timestamp_ms, accepted_ms, LEAT_LIST(items, &recommended_item_type),
            model_version);

/* In the flat form: a late event can be sent again as it is. */
typedef struct late_event {
    leat_str event_id, user_id, session_id, item_id, category, event_type;
    double value, price;
    int64_t timestamp_ms;
} late_event;
LEAT_RECORD(late_event, LEAT_OPTIONAL(event_id), user_id, LEAT_OPTIONAL(session_id), item_id,
            LEAT_OPTIONAL(category), event_type, value, price, timestamp_ms);
#endif
