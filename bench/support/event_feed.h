/* bench/support/event_feed.h - the clicks of a file as events for POST /v1/events, in order of
 * time. */
#ifndef BENCH_EVENT_FEED_H
#define BENCH_EVENT_FEED_H
#include "apps/recommender/evaluate/click_log.h"
#include "bench/support/http_load.h"

typedef struct event_feed {
    click_log log;
    uint32_t *order; /* click numbers by time */
    bool times_now;  /* events say when they are sent instead of when they happened */
} event_feed;

bool event_feed_load(event_feed *feed, const char *path); /* says on stderr why not */
void event_feed_free(event_feed *feed);
/* Event number n (modulo their number) as one line of JSON, without the line break; its length. */
size_t event_feed_text(const event_feed *feed, uint64_t n, char *out, size_t capacity);
/* All of them, in batches, until the server's job has committed a recommendation for each. */
bool event_feed_send_all(const event_feed *feed, const bench_server *server);
/* "POST path" with that body; the length. */
size_t http_post_text(char *out, size_t capacity, const char *path, const char *body,
                      size_t length);
#endif
