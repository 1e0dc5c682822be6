/* evaluate/click_log.h - a file of events in memory, as sessions.
 *
 *   clicks    [ s0 s0 s0 | s1 s1 | s2 ... ]   by session, then time, then place in the file
 *   sessions  [ s0       , s1    , s2 ... ]   {first, count, last time}
 *   by_time   [ clicks in the order of their time ]
 *
 * A session ends where the session id changes; of users without session ids (and, if asked for, of
 * all) also where nothing came for longer than the gap: touching windows merge (N3), so a click
 * exactly one gap later still belongs to it. */
#ifndef RECOMMENDER_CLICK_LOG_H
#define RECOMMENDER_CLICK_LOG_H
#include "apps/recommender/candidates/interner.h"
#include "apps/recommender/events/load.h"

typedef struct click {
    int64_t time_ms;
    uint32_t item;    /* number in items */
    uint32_t session; /* while loading: number in keys; then place in sessions */
    uint32_t row;     /* order in the file */
    bool has_session_id;
} click;

typedef struct click_session {
    leat_str id; /* the session's, or the user's; not unique where the gap cuts */
    uint32_t first, count;
    int64_t last_time_ms;
} click_session;

typedef struct click_log {
    interner items, keys;
    click *clicks;
    uint32_t click_count, click_capacity;
    click_session *sessions;
    uint32_t session_count, session_capacity;
    load_result loaded;
} click_log; /* {0} is empty */

typedef struct click_log_options {
    const char *format; /* NULL: by the first line */
    int64_t gap_ms;
    bool gap_cuts_all;   /* sessions with an id too, as the streaming job does */
    load_options report; /* its on_reject, on_progress and arg; the rest is ignored */
} click_log_options;

LEAT_MUST_CHECK leat_status click_log_load(const char *path, const click_log_options *options,
                                           click_log *log, leat_error *error);
void click_log_add(click_log *log, const interaction *event); /* then: */
void click_log_group(click_log *log, int64_t gap_ms, bool gap_cuts_all);
uint32_t *click_log_by_time(const click_log *log); /* click numbers; to be freed */
void click_log_free(click_log *log);

static inline leat_str click_item(const click_log *log, uint32_t number)
{
    return interner_name(&log->items, log->clicks[number].item);
}
/* Distinct items of a session. */
uint32_t click_session_items(const click_log *log, uint32_t session);
/* The length that the given part (0.995) of all sessions does not exceed; 1 if there are none. */
uint32_t click_log_length_percentile(const click_log *log, double part);
#endif
