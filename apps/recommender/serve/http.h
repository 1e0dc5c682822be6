/* serve/http.h - a small HTTP server over libmicrohttpd: routes, exchanges, problems, counters.
 *
 *   connection ─► exchange (pooled) ─► body arrives ─► route ─► handler ─┬─► answer in
 * exchange->out └─► http_suspend ... http_resume ─► route->resumed ─► answer
 *
 * H1 Handlers run on the server's few threads and must not wait: what has to wait (the disk)
 *    suspends its exchange and is resumed by another thread.
 * H2 An exchange belongs to one server thread; that thread's worker data (parsers, workspaces) is
 *    lent to the handler while it runs, so that nothing is locked and little is allocated.
 * H3 Every error is application/problem+json (RFC 9457): type, title, status, detail.
 * H4 Without access tokens only loopback addresses are served, and a page of another origin can't
 *    make a browser on this machine write (403).
 * H5 Bodies, their sum, connections and paths are bounded; what is over the bound is refused with
 *    413, 503 or 414, never buffered. Connections that wait make room for new ones.
 * H6 A request names the server in Host, as the page that a browser shows did when it asked: what
 * is neither local nor allowed is 421, as another site's name that was made to lead here (DNS
 *    rebinding); none, two or a malformed one is 400. */
#ifndef RECOMMENDER_HTTP_H
#define RECOMMENDER_HTTP_H
#include "apps/recommender/serve/connections.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/histogram.h"

typedef struct http_server http_server;
typedef struct http_exchange http_exchange;
typedef void (*http_handler)(http_exchange *exchange, void *arg);

typedef enum http_method { HTTP_GET = 0, HTTP_POST } http_method; /* GET routes answer HEAD too */

typedef struct http_route {
    const char *name; /* in the metrics: "events" */
    http_method method;
    const char *prefix;    /* "/v1/users/" */
    const char *suffix;    /* "/recommendations"; NULL: the path is exactly the prefix */
    size_t body_max_bytes; /* POST */
    http_handler handle;
    http_handler resumed; /* after http_resume; NULL: never suspends */
} http_route;

enum { HTTP_HEADERS_MAX = 4 }; /* that a handler adds to an answer */

struct http_exchange {
    const http_route *route;
    leat_str parameter; /* what stands between prefix and suffix, percent-decoded */
    leat_str body;
    const char *content_type; /* of the body; NULL: none given */
    int64_t received_us;      /* monotonic, when the body was complete */
    leat__arena *arena;       /* until the answer is sent */
    void *worker;             /* this thread's worker data */
    /* the answer */
    int status;              /* 200 unless set */
    const char *answer_type; /* "application/json" unless set; a literal */
    leat__buffer *out;
    struct {
        const char *name, *value; /* in the arena, or literals */
    } headers[HTTP_HEADERS_MAX];
    size_t header_count;
    void *user; /* the handler's own, kept across a suspension */
};

typedef struct http_options {
    int listen_fd;            /* taken: closed by the server */
    unsigned thread_count;    /* 0: 1 */
    const http_route *routes; /* borrowed */
    size_t route_count;
    void *arg;                      /* of handlers */
    void *(*worker_new)(void *arg); /* once per server thread */
    void (*worker_free)(void *worker);
    bool allow_any_origin;
    uint32_t connections_max; /* 0: 4000 */
    /* H6: lists of "name" or "name:port", by commas; borrowed, NULL: none */
    const char *hosts[3];
} http_options;

LEAT_MUST_CHECK leat_status http_server_start(http_server **server, const http_options *options,
                                              leat_error *error);
/* Takes no more connections, and tells the open ones to close after their answer. */
void http_server_quiesce(http_server *server);
/* Requests that are being received or answered. */
uint64_t http_server_open_requests(http_server *server);
void http_server_stop(http_server *server); /* nothing may be suspended; NULL is allowed */

/* A header of the request, lent until the answer; NULL: not there. */
const char *http_header(http_exchange *exchange, const char *name);
/* Adds a header to the answer; the value is copied, and cut at what no header may hold. */
void http_add_header(http_exchange *exchange, const char *name, const char *value);

/* Decoded value of ?name=...; {NULL, 0}: not given. Lives in the exchange's arena. */
leat_str http_argument(http_exchange *exchange, const char *name);
/* An unsigned argument within bounds; false: a problem was written. Not given: *value untouched. */
bool http_number_argument(http_exchange *exchange, const char *name, uint32_t least, uint32_t most,
                          uint32_t *value);
/* 1, true, yes or "" / 0, false, no; false: a problem was written. */
bool http_bool_argument(http_exchange *exchange, const char *name, bool *value);

/* Writes the answer as a problem; `slug` ends its type. */
void http_problem(http_exchange *exchange, int status, const char *slug, const char *format, ...)
    LEAT_PRINTF(4, 5);
/* The same, left open: the caller adds members and http_problem_end. */
void http_problem_begin(http_exchange *exchange, int status, const char *slug, const char *format,
                        ...) LEAT_PRINTF(4, 5);
void http_problem_end(http_exchange *exchange);

/* Instead of exchange->out: the file from its beginning, 64 KiB at a time. The server closes it,
 * and calls done when the answer is sent or given up: a reader that takes nothing for
 * HTTP_FILE_IDLE_S, or less than HTTP_FILE_BYTES_PER_S on the whole, is cut off. */
void http_answer_file(http_exchange *exchange, int fd, uint64_t size_bytes, void (*done)(void *arg),
                      void *arg);

/* Call as the last thing of a handler; then any thread resumes it once. */
void http_suspend(http_exchange *exchange);
void http_resume(http_exchange *exchange);

/* ---------------------------------------------------------------- counters, any thread */
enum { HTTP_STATUS_SLOTS = 16 };
typedef struct http_counts {
    uint64_t by_status[HTTP_STATUS_SLOTS]; /* http_status_of_slot */
    leat__histogram duration_us; /* from the complete request to the complete answer's queueing */
} http_counts;
int http_status_of_slot(unsigned slot); /* 0: no such slot */
void http_server_connections(http_server *server, connection_counts *counts);
/* Sums over threads into *counts (zeroed first); route == route_count: requests without a route. */
void http_server_counts(http_server *server, size_t route, http_counts *counts);

/* ---------------------------------------------------------------- small parts, for tests */
/* Decodes %XX in place; false: malformed or a zero byte. */
bool http_percent_decode(char *text, size_t *length);
/* The route of a path, or NULL; *allowed gets the methods ("GET, HEAD") that the path has if only
 * the method was wrong, else NULL. The parameter is not decoded. */
const http_route *http_route_of(const http_route *routes, size_t route_count, const char *method,
                                const char *path, leat_str *parameter, const char **allowed);
bool http_origin_is_local(const char *origin);
/* H6: is it local, or in one of the lists? 400 or 421; 0: yes. */
int http_host_problem(const char *host, const char *const *lists, size_t list_count);
#endif
