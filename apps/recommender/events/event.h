/* events/event.h - one interaction of a user with an item, whatever form its producer chose.
 *
 *  envelope  {"event_id":"..","event_type":"user_interaction","timestamp":"2026-11-21T07:30:00Z",
 *             "user_id":"u1","session_id":"s1",
 *             "data":{"item_id":"i1","interaction_type":"view","category":"shoes","price":9.5}}
 *  flat      {"user_id":"u1","product_id":"i1","category":"shoes","event_type":"view",
 *             "timestamp_ms":1763703000123}
 *
 * Both are read by one rule: a member is looked for in `data`, then beside it.  Members and their
 * other names (the first that is present and not null counts):
 *     user_id      1-256 bytes, required; ids may be strings or integers
 *     item_id      product_id, item; 1-256 bytes, required
 *     event_id     up to 256 bytes; without one a repeated event can't be told from a second one
 *     session_id   up to 256 bytes; another one than before closes the user's session
 *     category     up to 256 bytes
 *     kind         interaction_type, event_type, type: view, click, cart, purchase, rating and
 * their usual spellings; anything else is `other`; missing: view timestamp    timestamp_ms, time,
 * ts: ISO 8601 or epoch ms; missing: when it was accepted value        interaction_value, rating;
 * price: numbers, or texts that are numbers Unknown members (context, metadata ...) are kept in the
 * log and not looked at.
 *
 * The log holds the producer's own text unchanged, so any Kafka producer may write the topic too,
 * and nothing is lost that a later version may want. */
#ifndef RECOMMENDER_EVENT_H
#define RECOMMENDER_EVENT_H
#include "leat/record.h"
#include "record/json_reader.h"

enum {
    EVENT_ID_BYTES_MAX = 256,     /* user, item, session, event ids and categories */
    EVENT_TEXT_BYTES_MAX = 65536, /* one event's JSON: its context may be long, a book it is not */
    EVENT_FIELD_BYTES = 24,
};
/* Whatever else is believed (event_bound_time): beyond that it is no clock that is wrong, but the
 * unit. */
#define EVENT_AHEAD_MAX_MS LEAT_DAYS(1)

/* kind, weight in popularity: name in JSON first, then the other spellings */
#define INTERACTION_KIND_MAP(X)                                                              \
    X(VIEW, 0.1, "view", "pageview", "page_view", "view_item", "item_view", "impression")    \
    X(CLICK, 0.5, "click", "select", "select_item", "clk", "pv", NULL)                       \
    X(CART, 0.7, "cart", "addtocart", "add_to_cart", "add-to-cart", "basket", "addtobasket") \
    X(PURCHASE, 1.0, "purchase", "buy", "transaction", "order", "purchased", "checkout")     \
    X(RATING, 0.8, "rating", "rate", "review", "like", "fav", "favorite")                    \
    X(OTHER, 0.3, "other", NULL, NULL, NULL, NULL, NULL)

typedef enum interaction_kind {
#define X(name, weight, ...) INTERACTION_##name,
    INTERACTION_KIND_MAP(X)
#undef X
        INTERACTION_KINDS
} interaction_kind;

struct interaction {
    int64_t timestamp_ms; /* event time */
    int64_t accepted_ms;  /* when the server, or whoever wrote the log record, took it */
    leat_str user_id, item_id;
    leat_str event_id, session_id, category; /* {NULL, 0}: not given */
    double value, price;                     /* 0: not given */
    uint8_t kind;                            /* interaction_kind */
};
typedef struct interaction interaction;
LEAT_RECORD(interaction, timestamp_ms, accepted_ms, user_id, item_id, LEAT_OPTIONAL(event_id),
            LEAT_OPTIONAL(session_id), LEAT_OPTIONAL(category), value, price, kind);

/* What is wrong with an event. */
typedef struct event_fault {
    char field[EVENT_FIELD_BYTES]; /* "" if the text as a whole is not an event */
    char reason[200];              /* a sentence for the producer */
} event_fault;

const char *interaction_kind_name(uint8_t kind); /* "view" ... */
double interaction_kind_weight(uint8_t kind);    /* how much it says about liking the item, 0..1 */
interaction_kind interaction_kind_of(leat_str name);

/* An id as a JSON string or integer; false: it is neither (7.0 and 7 would be two users). */
bool event_id_text(leat__json value, leat_str *out);

/* Strings of *event are lent until the next open on the reader, or as long as `text`.
 * LEAT_EDATA: *fault (may be NULL) says which field and why. */
LEAT_MUST_CHECK leat_status event_parse(leat__json_reader *reader, leat_str text,
                                        int64_t accepted_ms, interaction *event,
                                        event_fault *fault);
/* The same for a value of an open document. */
LEAT_MUST_CHECK leat_status event_from_json(leat__json value, int64_t accepted_ms,
                                            interaction *event, event_fault *fault);
/* W7: an event that is further ahead of taken_ms, when it was taken, than max_ahead_ms would make
 * everybody else's events late. It is refused (LEAT_EDATA, *fault), or, with `clamp`, happened when
 * it was taken (*clamped is set then). Says the same whenever it is asked. */
LEAT_MUST_CHECK leat_status event_bound_time(interaction *event, int64_t taken_ms,
                                             int64_t max_ahead_ms, bool clamp, bool *clamped,
                                             event_fault *fault);
#endif
