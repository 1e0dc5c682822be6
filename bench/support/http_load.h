/* bench/support/http_load.h - an HTTP/1.1 load generator on one thread: keep-alive connections,
 * epoll.
 *
 *   closed loop   every connection sends its next request when it has the last answer: saturation
 *   open loop     request n is due at start + n / rate, whatever the server does; latency counts
 * from when it was due (no coordinated omission); it waits for a free connection
 *
 * Answers need Content-Length.  Checks: every status, and `check` for each body. */
#ifndef BENCH_HTTP_LOAD_H
#define BENCH_HTTP_LOAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_load {
    uint16_t port;
    unsigned connections;
    double rate_per_s; /* 0: closed loop */
    double seconds;
    int expected_status;
    /* Writes the whole request (head and body) number n; returns its length. */
    size_t (*request)(void *arg, uint64_t n, char *out, size_t capacity);
    bool (*check)(void *arg, const char *body, size_t length); /* NULL: status only */
    void *arg;
} http_load;

typedef struct http_load_result {
    uint64_t answers, wrong; /* wrong: status or body */
    double seconds;
    uint32_t *latency_us; /* one per answer; http_load_free */
    char first_wrong[200];
} http_load_result;

/* False: no connection, or the server closed one. */
bool http_load_run(const http_load *load, http_load_result *result);
void http_load_free(http_load_result *result);

/* One request on a connection of its own; the body goes to `out` (NUL-terminated); status or -1. */
int http_load_once(uint16_t port, const char *request, size_t length, char *out, size_t capacity);

/* ---------------------------------------------------------------- the server under test */
enum { BENCH_DIR_BYTES = 256 };

/* The program of that name beside this bench's folder (bin/bench/X -> bin/NAME); false: not built.
 */
bool bench_sibling(const char *name, char path[4096]);
bool bench_dir_make(char path[BENCH_DIR_BYTES]); /* a new one below TMPDIR */
void bench_dir_remove(const char *path);         /* with all that is in it */

typedef struct bench_server {
    int pid;
    uint16_t port;
    char data_dir[BENCH_DIR_BYTES];
    double ready_s; /* from the start of the process to its ready line */
} bench_server;

/* Starts `BINARY serve` (the bench's sibling ../leat-recommender) on a new directory below TMPDIR.
 */
bool bench_server_start(bench_server *server, const char *const *flags);
int bench_server_stop(bench_server *server); /* SIGTERM; the exit code. Removes the directory. */
double bench_cpu_seconds(int pid);           /* user and system, all threads */
size_t bench_resident_of(int pid);
/* A value of /metrics by its full name with labels; -1: not there. */
double bench_metric(const bench_server *server, const char *name);
#endif
