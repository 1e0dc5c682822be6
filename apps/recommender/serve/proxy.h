/* serve/proxy.h - one thread that asks other processes of the job, for requests that are theirs.
 *
 *   request A ─┐                              ┌─► done(A)
 *   request B ─┼─► queue ─► thread: libcurl ──┼─► done(B)        connections are kept
 *   request C ─┘  (bounded)   time-out each   └─► done(C)
 *
 * The server's threads never wait for another process (H1). A request is sent once: whoever asks
 * has something else to answer with when it fails. */
#ifndef RECOMMENDER_PROXY_H
#define RECOMMENDER_PROXY_H
#include "base/buffer.h"
#include "base/histogram.h"

/* In a request: it comes from this instance, and must not go on to a third. */
#define PROXY_FORWARDED_HEADER "Leat-Forwarded"

enum { PROXY_ANSWER_BYTES_MAX = 1 << 20, PROXY_REQUESTS_MAX = 512 };

typedef enum proxy_result {
    PROXY_ANSWERED = 0, /* with some status */
    PROXY_SLOW,         /* the time-out passed */
    PROXY_UNREACHABLE,  /* nobody is there, or the connection broke */
    PROXY_BUSY,         /* too many requests wait already: not sent */
    PROXY_RESULTS
} proxy_result;
const char *proxy_result_name(proxy_result result); /* "answered" ... */

typedef struct proxy_request proxy_request;
struct proxy_request { /* owned by the caller until done() was called */
    const char *url;
    leat__buffer *answer;                 /* the body is appended */
    void (*done)(proxy_request *request); /* on the proxy's thread */
    void *user;
    proxy_result result;
    int status;       /* of an answer */
    int64_t began_us; /* monotonic */
    proxy_request *next;
};

typedef struct proxy proxy;
/* `instance` is told to those who are asked; copied. NULL: no thread could be started. */
proxy *proxy_start(const char *instance, int64_t timeout_ms);
/* False: it is busy or stopping; done() is not called. */
bool proxy_submit(proxy *proxy, proxy_request *request);
void proxy_stop(proxy *proxy); /* what was taken is done first; NULL is allowed */

typedef struct proxy_stats {
    uint64_t by_result[PROXY_RESULTS];
    leat__histogram duration_us; /* of those that were answered */
} proxy_stats;
void proxy_get_stats(proxy *proxy, proxy_stats *stats);
#endif
