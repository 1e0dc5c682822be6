/* serve/http.c - libmicrohttpd's callbacks; see http.h.
 *
 * libmicrohttpd calls on_request several times for one request:
 *
 *   1st       headers are there          take an exchange from the pool; answer nothing yet, as an
 *                                        answer now would end keep-alive (0.9.75) - which is just
 *                                        right for a body that is announced much too large
 *   2nd ...   a piece of the body        append it
 *   last      the body is complete       find the route, run its handler, queue the answer
 *   once more after http_resume          run the route's second handler, queue the answer
 *
 * The answer is lent to libmicrohttpd out of exchange->out (no copy) until on_completed. */
#include "apps/recommender/serve/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/recommender/serve/http_private.h"
#include "base/env.h"
#include "base/error.h"
#include "base/mem.h"

static _Thread_local http_slot *current_slot;

/* ------------------------------------------------------------------ threads and their pools */

static http_slot *slot_of_thread(http_server *server)
{
    if (current_slot != NULL && current_slot->server == server)
        return current_slot;
    http_slot *slot = leat__calloc(1, sizeof *slot);
    slot->server = server;
    slot->counts = leat__calloc(server->options.route_count + 1, sizeof *slot->counts);
    if (server->options.worker_new != NULL)
        slot->worker = server->options.worker_new(server->options.arg);
    pthread_mutex_lock(&server->lock);
    slot->next = server->slots;
    server->slots = slot;
    pthread_mutex_unlock(&server->lock);
    return current_slot = slot;
}

static connection_place *place_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

static http_item *item_take(http_slot *slot, struct MHD_Connection *connection)
{
    http_item *item = slot->free;
    if (item != NULL) {
        slot->free = item->next_free;
    } else {
        item = leat__calloc(1, sizeof *item);
        item->slot = slot;
        item->next_all = slot->all;
        item->arena.chunk_bytes = 4096;
        slot->all = item;
    }
    item->connection = connection;
    item->place = place_of(connection);
    item->phase = HTTP_RECEIVING;
    item->allow = NULL;
    item->prepared = NULL;
    item->dropped_bytes = 0;
    item->exchange = (http_exchange){
        .arena = &item->arena,
        .worker = slot->worker,
        .status = 200,
        .answer_type = "application/json",
        .out = &item->out,
    };
    return item;
}

static void buffer_reuse(leat__buffer *buffer)
{
    if (buffer->capacity > HTTP_KEPT_BUFFER_BYTES)
        leat__buffer_free(buffer);
    buffer->length = 0;
}

static void item_give_back(http_item *item)
{
    http_slot *slot = item->slot;
    connection_waiting(item->place);
    atomic_fetch_sub_explicit(&slot->server->bodies_bytes, item->in.capacity, memory_order_relaxed);
    atomic_fetch_sub_explicit(&slot->server->open_requests, 1, memory_order_release);
    buffer_reuse(&item->in);
    buffer_reuse(&item->out);
    if (item->arena.used_bytes > HTTP_KEPT_BUFFER_BYTES)
        leat__arena_free(&item->arena);
    else
        leat__arena_reset(&item->arena);
    item->next_free = slot->free;
    slot->free = item;
}

static void slot_free(http_slot *slot)
{
    for (http_item *item = slot->all, *next; item != NULL; item = next) {
        next = item->next_all;
        leat__buffer_free(&item->in);
        leat__buffer_free(&item->out);
        leat__arena_free(&item->arena);
        leat__free(item);
    }
    if (slot->server->options.worker_free != NULL)
        slot->server->options.worker_free(slot->worker);
    leat__free(slot->counts);
    leat__free(slot);
}

/* ------------------------------------------------------------------ answers */

static void count_answer(http_item *item)
{
    const http_exchange *exchange = &item->exchange;
    const http_options *options = &item->slot->server->options;
    size_t route = exchange->route == NULL ? options->route_count
                                           : (size_t)(exchange->route - options->routes);
    http_counts *counts = &item->slot->counts[route];
    for (unsigned i = 0; i < HTTP_STATUS_SLOTS; i++) {
        if (http_status_of_slot(i) != exchange->status)
            continue;
        __atomic_store_n(&counts->by_status[i], counts->by_status[i] + 1, __ATOMIC_RELAXED);
        break;
    }
    if (exchange->received_us == 0)
        return;
    const leat_env *env = leat__env_system();
    int64_t took_us = env->monotonic_us(env->arg) - exchange->received_us;
    leat__histogram_record(&counts->duration_us, took_us > 0 ? (uint64_t)took_us : 0);
}

static enum MHD_Result answer(http_item *item)
{
    static char nothing[1];
    http_exchange *exchange = &item->exchange;
    struct MHD_Response *response = item->prepared;
    item->prepared = NULL;
    if (response == NULL)
        response = MHD_create_response_from_buffer(
            item->out.length, item->out.data == NULL ? nothing : item->out.data,
            MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result added =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, exchange->answer_type);
    if (item->allow != NULL && added == MHD_YES)
        added = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, item->allow);
    if (exchange->status == 503 && added == MHD_YES)
        added = MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    for (size_t i = 0; i < exchange->header_count && added == MHD_YES; i++)
        added = MHD_add_response_header(response, exchange->headers[i].name,
                                        exchange->headers[i].value);
    if (atomic_load_explicit(&item->slot->server->quiesced, memory_order_relaxed) &&
        added == MHD_YES)
        added = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result queued =
        added == MHD_YES
            ? MHD_queue_response(item->connection, (unsigned)exchange->status, response)
            : MHD_NO;
    MHD_destroy_response(response);
    count_answer(item);
    return queued;
}

/* ------------------------------------------------------------------ bodies */

static size_t body_limit(const http_item *item)
{
    const http_route *route = item->exchange.route;
    return route != NULL && route->method == HTTP_POST ? route->body_max_bytes
                                                       : HTTP_GET_BODY_BYTES_MAX;
}

static size_t dropped_limit(const http_item *item)
{
    return 4 * body_limit(item) + HTTP_KEPT_BUFFER_BYTES;
}

static void refuse_large_body(http_item *item)
{
    item->phase = HTTP_REFUSED;
    http_problem(&item->exchange, 413, "too-large", "the body is over the limit of %zu bytes",
                 body_limit(item));
}

static enum MHD_Result take_body(http_item *item, const char *bytes, size_t length)
{
    http_server *server = item->slot->server;
    if (item->phase == HTTP_RECEIVING && item->in.length + length > body_limit(item))
        refuse_large_body(item);
    if (item->phase == HTTP_REFUSED) {
        /* A client that never stops sending is cut off, one that nearly fits gets its answer. */
        item->dropped_bytes += length;
        return item->dropped_bytes > dropped_limit(item) ? MHD_NO : MHD_YES;
    }
    size_t before = item->in.capacity;
    leat__buffer_bytes(&item->in, bytes, length);
    size_t grown = item->in.capacity - before;
    if (grown == 0)
        return MHD_YES;
    size_t all = atomic_fetch_add_explicit(&server->bodies_bytes, grown, memory_order_relaxed);
    if (all + grown > HTTP_BODIES_BYTES_MAX) {
        item->phase = HTTP_REFUSED;
        http_problem(&item->exchange, 503, "overloaded", "too many large requests at once");
    }
    return MHD_YES;
}

/* ------------------------------------------------------------------ requests */

static enum MHD_Result count_host(void *arg, enum MHD_ValueKind kind, const char *key,
                                  const char *value)
{
    (void)kind, (void)value;
    *(unsigned *)arg += strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

/* H6; false: the answer is a problem. */
static bool check_host(http_item *item)
{
    const http_options *options = &item->slot->server->options;
    const char *host =
        MHD_lookup_connection_value(item->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    unsigned count = 0;
    (void)MHD_get_connection_values(item->connection, MHD_HEADER_KIND, count_host, &count);
    int status = count == 1 ? http_host_problem(host, options->hosts,
                                                sizeof options->hosts / sizeof *options->hosts)
                            : 400;
    if (status == 421)
        http_problem(&item->exchange, 421, "foreign-host",
                     "'%.100s' is not a name of this server; --allow-host makes it one (H6)", host);
    else if (status == 400)
        http_problem(&item->exchange, 400, "bad-host",
                     "one Host header is needed, NAME or NAME:PORT (H6)");
    return status == 0;
}

typedef struct framing {
    unsigned lengths, encodings;
    bool foreign; /* an encoding that is not known here */
} framing;

static enum MHD_Result count_framing(void *arg, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    (void)kind;
    framing *found = arg;
    found->lengths += strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    if (strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        found->encodings++;
        found->foreign |= value == NULL || strcasecmp(value, "chunked") != 0;
    }
    return MHD_YES;
}

/* What is not said in one way a proxy in front may understand in the other, and what is the body
 * for one of us is the next request for the other. False: the answer is a problem, and the
 * connection ends with it. */
static bool check_framing(http_item *item)
{
    framing found = {0};
    (void)MHD_get_connection_values(item->connection, MHD_HEADER_KIND, count_framing, &found);
    if (found.lengths + found.encodings <= 1 && !found.foreign)
        return true;
    http_add_header(&item->exchange, MHD_HTTP_HEADER_CONNECTION, "close");
    http_problem(&item->exchange, 400, "bad-framing",
                 "a body needs either one Content-Length or 'Transfer-Encoding: chunked'");
    return false;
}

/* Finds the route; false: the answer is a problem. */
static bool route_request(http_item *item, const char *path, const char *method)
{
    http_exchange *exchange = &item->exchange;
    const http_options *options = &item->slot->server->options;
    if (!check_host(item))
        return false;
    leat_str parameter;
    exchange->route = http_route_of(options->routes, options->route_count, method, path, &parameter,
                                    &item->allow);
    if (exchange->route == NULL && item->allow != NULL) {
        http_problem(exchange, 405, "method-not-allowed", "this path allows %s", item->allow);
        return false;
    }
    if (exchange->route == NULL) {
        http_problem(exchange, 404, "not-found", "there is no such path");
        return false;
    }
    exchange->parameter = parameter;
    if (parameter.data != NULL && memchr(parameter.data, '%', parameter.length) != NULL) {
        char *copy = leat__arena_copy(&item->arena, parameter.data, parameter.length);
        exchange->parameter.data = copy;
        if (!http_percent_decode(copy, &exchange->parameter.length)) {
            http_problem(exchange, 400, "bad-path", "the path holds a malformed %%-escape");
            return false;
        }
    }
    if (exchange->route->method == HTTP_POST && !options->allow_any_origin) {
        const char *origin =
            MHD_lookup_connection_value(item->connection, MHD_HEADER_KIND, "Origin");
        if (origin != NULL && !http_origin_is_local(origin)) {
            http_problem(exchange, 403, "foreign-origin",
                         "pages of another origin may not write (H4)");
            return false;
        }
    }
    return true;
}

/* The 1st call. */
static enum MHD_Result begin(http_server *server, struct MHD_Connection *connection,
                             const char *path, const char *method, void **state)
{
    http_item *item = item_take(slot_of_thread(server), connection);
    *state = item;
    atomic_fetch_add_explicit(&server->open_requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->bodies_bytes, item->in.capacity, memory_order_relaxed);
    if (!check_framing(item))
        return answer(item);
    if (!route_request(item, path, method)) {
        item->phase = HTTP_REFUSED;
        return MHD_YES;
    }
    const char *text =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long length = text == NULL ? 0 : strtoull(text, NULL, 10);
    if (length <= body_limit(item))
        return MHD_YES;
    refuse_large_body(item);
    bool asks_first =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) != NULL;
    /* An answer now closes the connection, which a client that is still sending takes for a
     * failure: what is not much too large is read and dropped first. */
    if (asks_first || length > dropped_limit(item))
        return answer(item);
    return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **state)
{
    (void)version;
    http_server *server = arg;
    http_item *item = *state;
    if (item == NULL)
        return begin(server, connection, path, method, state);
    if (*upload_bytes > 0) {
        size_t length = *upload_bytes;
        *upload_bytes = 0;
        return take_body(item, upload, length);
    }
    http_exchange *exchange = &item->exchange;
    connection_working(item->place);
    if (item->phase == HTTP_REFUSED)
        return answer(item);
    if (item->phase == HTTP_WAITING) {
        item->phase = HTTP_RECEIVING;
        exchange->route->resumed(exchange, server->options.arg);
        return answer(item);
    }
    const leat_env *env = leat__env_system();
    exchange->received_us = env->monotonic_us(env->arg);
    exchange->body = (leat_str){item->in.data, item->in.length};
    exchange->content_type =
        exchange->route->method == HTTP_POST
            ? MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE)
            : NULL;
    exchange->route->handle(exchange, server->options.arg);
    return item->phase == HTTP_WAITING ? MHD_YES : answer(item);
}

/* Before a connection is taken up (H5); no connection is closed without on_connection. */
static enum MHD_Result on_accept(void *arg, const struct sockaddr *address, socklen_t length)
{
    http_server *server = arg;
    (void)address, (void)length;
    return connections_admit(server->connections) ? MHD_YES : MHD_NO;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **place,
                          enum MHD_ConnectionNotificationCode code)
{
    http_server *server = arg;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        connections_closed(server->connections, *place);
        *place = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *place = connections_opened(server->connections, info->connect_fd);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)arg, (void)connection, (void)code;
    http_item *item = *state;
    if (item == NULL)
        return;
    *state = NULL;
    item_give_back(item);
}

/* Paths and arguments are split as they came and decoded afterwards: %2F is part of an id. */
static size_t keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg, (void)connection;
    return strlen(text);
}

/* ------------------------------------------------------------------ long answers */

typedef struct file_answer {
    int fd;
    int64_t started_us;
    void (*done)(void *arg);
    void *arg;
} file_answer;

static ssize_t read_file(void *arg, uint64_t at, char *bytes, size_t most)
{
    const file_answer *file = arg;
    const leat_env *env = leat__env_system();
    int64_t seconds = (env->monotonic_us(env->arg) - file->started_us) / 1000000 - 60;
    if (seconds > 0 && (int64_t)(at / HTTP_FILE_BYTES_PER_S) < seconds)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    ssize_t length = pread(file->fd, bytes, most, (off_t)at);
    return length > 0 ? length : MHD_CONTENT_READER_END_WITH_ERROR; /* its size was given */
}

static void free_file(void *arg)
{
    file_answer *file = arg;
    close(file->fd);
    file->done(file->arg);
    leat__free(file);
}

void http_answer_file(http_exchange *exchange, int fd, uint64_t size_bytes, void (*done)(void *arg),
                      void *arg)
{
    http_item *item = (http_item *)exchange;
    const leat_env *env = leat__env_system();
    file_answer *file = leat__calloc(1, sizeof *file);
    *file = (file_answer){fd, env->monotonic_us(env->arg), done, arg};
    item->prepared = MHD_create_response_from_callback(size_bytes, HTTP_FILE_BLOCK_BYTES, read_file,
                                                       file, free_file);
    if (item->prepared == NULL) {
        free_file(file);
        http_problem(exchange, 500, "memory", "no answer could be made");
        return;
    }
    (void)MHD_set_connection_option(item->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                    (unsigned)HTTP_FILE_IDLE_S);
    http_add_header(exchange, "Connection", "close"); /* the shorter time-out is this answer's */
}

void http_suspend(http_exchange *exchange)
{
    http_item *item = (http_item *)exchange;
    item->phase = HTTP_WAITING;
    MHD_suspend_connection(item->connection);
}

void http_resume(http_exchange *exchange)
{
    MHD_resume_connection(((http_item *)exchange)->connection);
}

/* ------------------------------------------------------------------ life */

leat_status http_server_start(http_server **out, const http_options *options, leat_error *error)
{
    http_server *server = leat__calloc(1, sizeof *server);
    server->options = *options;
    if (server->options.thread_count == 0)
        server->options.thread_count = 1;
    pthread_mutex_init(&server->lock, NULL);
    if (server->options.connections_max == 0)
        server->options.connections_max = HTTP_CONNECTIONS_MAX;
    server->connections = connections_new(server->options.connections_max);
    unsigned pool = server->options.thread_count > 1 ? server->options.thread_count : 0;
    /* each thread has its part of it, and would leave new connections waiting at its bound: ours is
     * in on_accept */
    unsigned most =
        (server->options.connections_max + HTTP_CONNECTIONS_SPARE) * server->options.thread_count;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME, 0, on_accept,
        server, on_request, server, MHD_OPTION_LISTEN_SOCKET, options->listen_fd,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTP_CONNECTION_TIMEOUT_S,
        pool > 0 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, pool, MHD_OPTION_END);
    if (server->daemon == NULL) {
        close(options->listen_fd);
        connections_free(server->connections);
        pthread_mutex_destroy(&server->lock);
        leat__free(server);
        return leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "--listen",
                          "the HTTP server could not start its threads");
    }
    *out = server;
    return LEAT_OK;
}

void http_server_quiesce(http_server *server)
{
    if (atomic_exchange(&server->quiesced, true))
        return;
    /* Not MHD_quiesce_daemon: in 0.9.75 it and the daemon's own thread may both take the socket out
     * of the epoll set, and the second one aborts the process. A listening socket that is shut down
     * refuses new connections at once; MHD_stop_daemon closes it. */
    (void)shutdown(server->options.listen_fd, SHUT_RDWR);
}

void http_server_connections(http_server *server, connection_counts *counts)
{
    connections_count(server->connections, counts);
}

uint64_t http_server_open_requests(http_server *server)
{
    return atomic_load_explicit(&server->open_requests, memory_order_acquire);
}

void http_server_stop(http_server *server)
{
    if (server == NULL)
        return;
    http_server_quiesce(server);
    MHD_stop_daemon(server->daemon);
    connections_free(server->connections);
    for (http_slot *slot = server->slots, *next; slot != NULL; slot = next) {
        next = slot->next;
        slot_free(slot);
    }
    pthread_mutex_destroy(&server->lock);
    leat__free(server);
}
