/* serve/event_batch.h - the body of POST /v1/events, turned into log records.
 *
 *   [{...},{...}]     an array               one JSON document: malformed anywhere = nothing is
 * taken
 *   {...}             one event              likewise
 *   {...}\n{...}\n    one event a line       a malformed line is one rejected event
 *
 * Lines are told from one event spread over several lines by the first line being a whole object.
 * Events that are valid are taken even if others of the batch are not; each rejected one is listed
 * with its index (from 0; of lines that are not blank) and the reason. */
#ifndef RECOMMENDER_EVENT_BATCH_H
#define RECOMMENDER_EVENT_BATCH_H
#include "apps/recommender/events/event.h"
#include "base/arena.h"
#include "leat/log.h"

enum {
    EVENT_BATCH_MAX = 10000, /* events in one request */
    EVENT_BATCH_ERRORS_LISTED = 100,
};

typedef struct rejected_event {
    size_t index;
    event_fault fault;
} rejected_event;

/* How a batch is taken. */
typedef struct event_batch_opts {
    const char *topic;
    int64_t accepted_ms;  /* now */
    int64_t max_ahead_ms; /* W7, event_bound_time */
    bool clamp_ahead;
    /* will it be found late? NULL: not asked */
    bool (*is_late)(void *arg, const interaction *event);
    void *arg;
} event_batch_opts;

typedef struct event_batch {
    leat_log_record *records; /* valid events: key = user_id, value = the producer's text */
    size_t count, bytes;
    rejected_event *rejected; /* the first EVENT_BATCH_ERRORS_LISTED of them */
    size_t rejected_count;    /* all of them; and those of them that are ahead of the clock */
    size_t ahead_count;
    size_t clamped_count; /* of `count`: ahead of the clock, they happen now */
    /* of `count`: will be found late, as far as is known; and the first of them */
    size_t late_count, late_listed[EVENT_BATCH_ERRORS_LISTED];
} event_batch;

/* Everything in *batch lives in the arena or is part of `body`.  Line breaks inside of an event
 * become spaces (one event = one line of the log).  LEAT_EDATA: the body as a whole is malformed;
 * LEAT_ETOOBIG: more than EVENT_BATCH_MAX events. */
LEAT_MUST_CHECK leat_status event_batch_read(event_batch *batch, leat__arena *arena,
                                             leat__json_reader *reader, leat_str body,
                                             const event_batch_opts *opts, leat_error *error);
#endif
