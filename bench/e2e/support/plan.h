/* bench/e2e/support/plan.h - which event is whose, known to the generator and to the reader.
 *
 *   event        0   1   2   3   4   5 ...     the same for the same seed
 *   user         7   2   7   9   2   7
 *   its count    1   1   2   1   2   3         so "user 7 has 3" answers event 5
 *
 * The output names only user and count: the plan finds the event, and so its intended time. With
 * clicks, events are those of a file, one after the other, and the output names the event_id.
 * The generator writes intended times, the reader reads them, on other threads (relaxed: what is
 * read has been through the broker). */
#ifndef BENCH_E2E_PLAN_H
#define BENCH_E2E_PLAN_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_EVENT_BYTES = 384, PLAN_USER_BYTES = 160 };

typedef struct click_list { /* rows "USER ITEM" of a file */
    size_t count;
    char **users, **items; /* NUL-terminated, in `text` */
    char *text;
} click_list;

typedef struct event_plan {
    uint64_t event_count, user_count;
    uint64_t counted_before;                 /* events that each user had before event 0 */
    uint64_t first_user, user_range, stride; /* of seed 0; user_range 0: all, stride 0: 1 */
    uint64_t user_bytes;                     /* of a user's name at least: u00000007-3f2a91c-... */
    click_list clicks;                       /* count 0: none */
    uint32_t *user_of_event;
    uint64_t *first_of_user; /* place in events_by_user; user_count + 1 of them */
    uint32_t *events_by_user;
    _Atomic int64_t *intended_ns; /* CLOCK_MONOTONIC */
} event_plan;

/* seed 0: users take turns, `user_range` of them from `first_user` on, each `stride` after the one
 * before (so that their rows do not lie together). Fields above the arrays are set by the caller.
 */
void plan_build(event_plan *plan, uint64_t seed);
void plan_free(event_plan *plan);
/* Ends the program where there is no such file. */
void plan_read_clicks(event_plan *plan, const char *path);
/* The name of the event's user; returns its length. */
size_t plan_key(const event_plan *plan, uint64_t event, char out[PLAN_USER_BYTES]);
/* The event as examples/user_counts and the recommender read it; returns its length. */
size_t plan_event(const event_plan *plan, uint64_t event, int64_t timestamp_ms,
                  char out[PLAN_EVENT_BYTES]);
/* {"user_id":"u00000007","event_count":3}: false where it is something else. */
bool plan_parse_count(const char *text, size_t length, uint32_t *user, uint64_t *count);
/* ... "event_id":"e123" ...: 123, UINT64_MAX where there is none. */
uint64_t plan_parse_event_id(const char *text, size_t length);
/* {"user_id":"u00000007",...: the user of an event or a count, UINT32_MAX where there is none. */
uint32_t plan_parse_user(const char *text, size_t length);
#endif
