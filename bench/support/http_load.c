/* support/http_load.c - one thread, many kept connections, requests at a rate or as fast as may be.
 *
 *   due: │  │  │  │  │     ─► an idle connection ─► send ... answer ─► latency = answer − due
 *
 * Latency counts from when a request was due, not from when a connection was free for it: a server
 * that stalls is charged for every request that it kept waiting. */
#include "bench/support/http_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/support/machine.h"

enum { REQUEST_BYTES = 1 << 16, ANSWER_BYTES = 1 << 18, EVENTS = 256, CONNECTIONS_MAX = 1024 };

typedef struct connection {
    int fd;
    bool busy;
    int64_t since_ns; /* when its request was due */
    char *answer;
    size_t filled;
} connection;

typedef struct load_run {
    const http_load *load;
    http_load_result *result;
    connection connections[CONNECTIONS_MAX];
    unsigned idle[CONNECTIONS_MAX], idle_count;
    int epoll;
    uint64_t sent;
    size_t capacity;
    char *request, *answers; /* ANSWER_BYTES for each connection */
} load_run;

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0 && errno != EINTR)
            return false;
        bytes += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

static bool send_next(load_run *run, connection *to, int64_t due_ns)
{
    size_t length = run->load->request(run->load->arg, run->sent++, run->request, REQUEST_BYTES);
    to->busy = true;
    to->since_ns = due_ns;
    to->filled = 0;
    return send_all(to->fd, run->request, length);
}

/* Where the body starts and how long it is, once the head is there. */
static bool head_of(const char *answer, size_t filled, int *status, size_t *body, size_t *length)
{
    const char *end = memmem(answer, filled, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    const char *field = memmem(answer, (size_t)(end - answer), "Content-Length: ", 16);
    *status = atoi(answer + 9);
    *body = (size_t)(end - answer) + 4;
    *length = field == NULL ? 0 : strtoul(field + 16, NULL, 10);
    return true;
}

static void note(load_run *run, const connection *from, int status, size_t body, size_t length)
{
    http_load_result *result = run->result;
    if (result->answers == run->capacity) {
        run->capacity = run->capacity == 0 ? 1 << 16 : run->capacity * 2;
        uint32_t *grown = realloc(result->latency_us, run->capacity * sizeof *grown);
        if (grown == NULL)
            abort();
        result->latency_us = grown;
    }
    result->latency_us[result->answers++] = (uint32_t)((bench_now_ns() - from->since_ns) / 1000);
    bool right =
        status == run->load->expected_status &&
        (run->load->check == NULL || run->load->check(run->load->arg, from->answer + body, length));
    if (!right && result->wrong++ == 0)
        snprintf(result->first_wrong, sizeof result->first_wrong, "%d %.*s", status,
                 (int)(length < 150 ? length : 150), from->answer + body);
}

/* False: the connection is gone. */
static bool receive(load_run *run, unsigned number)
{
    connection *from = &run->connections[number];
    int status;
    size_t body, length;
    ssize_t got = recv(from->fd, from->answer + from->filled, ANSWER_BYTES - from->filled, 0);
    if (got <= 0)
        return false;
    from->filled += (size_t)got;
    if (!head_of(from->answer, from->filled, &status, &body, &length) ||
        from->filled < body + length)
        return from->filled < ANSWER_BYTES;
    note(run, from, status, body, length);
    from->busy = false;
    run->idle[run->idle_count++] = number;
    return true;
}

static bool open_connections(load_run *run)
{
    unsigned count = run->load->connections;
    run->request = malloc(REQUEST_BYTES);
    run->answers = malloc((size_t)count * ANSWER_BYTES);
    if (count > CONNECTIONS_MAX || run->request == NULL || run->answers == NULL)
        return false;
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < count; i++) {
        connection *one = &run->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        one->fd = connect_to(run->load->port);
        one->answer = run->answers + (size_t)i * ANSWER_BYTES;
        if (one->fd < 0 || epoll_ctl(run->epoll, EPOLL_CTL_ADD, one->fd, &event) != 0)
            return false;
        run->idle[run->idle_count++] = i;
    }
    return true;
}

static void close_connections(load_run *run)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        if (run->connections[i].fd > 0)
            close(run->connections[i].fd);
    close(run->epoll);
    free(run->request);
    free(run->answers);
}

/* Sends what is due; returns ms to wait for answers, or -2 on failure. */
static int send_due(load_run *run, int64_t start_ns, int64_t end_ns)
{
    double rate = run->load->rate_per_s;
    while (run->idle_count > 0) {
        int64_t now_ns = bench_now_ns();
        int64_t due_ns = rate == 0 ? now_ns : start_ns + (int64_t)((double)run->sent * 1e9 / rate);
        if (due_ns >= end_ns)
            return 100;
        if (due_ns > now_ns)
            return (int)((due_ns - now_ns) / 1000000);
        if (!send_next(run, &run->connections[run->idle[--run->idle_count]], due_ns))
            return -2;
    }
    return 100;
}

bool http_load_run(const http_load *load, http_load_result *result)
{
    load_run run = {.load = load, .result = result};
    struct epoll_event events[EVENTS];
    *result = (http_load_result){0};
    bool good = open_connections(&run);
    int64_t start_ns = bench_now_ns(), end_ns = start_ns + (int64_t)(load->seconds * 1e9);
    while (good && (bench_now_ns() < end_ns || run.idle_count < load->connections)) {
        int wait_ms = send_due(&run, start_ns, end_ns);
        int count = wait_ms == -2 ? -1 : epoll_wait(run.epoll, events, EVENTS, wait_ms);
        good = count >= 0 || (wait_ms != -2 && errno == EINTR);
        for (int i = 0; good && i < count; i++)
            good = receive(&run, events[i].data.u32);
    }
    result->seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    close_connections(&run);
    return good;
}

void http_load_free(http_load_result *result)
{
    free(result->latency_us);
    *result = (http_load_result){0};
}

int http_load_once(uint16_t port, const char *request, size_t length, char *out, size_t capacity)
{
    int fd = connect_to(port), status = -1;
    size_t filled = 0, body = 0, body_length = 0;
    if (fd < 0)
        return -1;
    bool complete = false, open = send_all(fd, request, length);
    while (open && !complete && filled + 1 < capacity) {
        ssize_t got = recv(fd, out + filled, capacity - filled - 1, 0);
        open = got > 0;
        filled += got > 0 ? (size_t)got : 0;
        complete =
            head_of(out, filled, &status, &body, &body_length) && filled >= body + body_length;
    }
    close(fd);
    if (!complete)
        return -1;
    memmove(out, out + body, body_length);
    out[body_length] = '\0';
    return status;
}
