/* serve/http_private.h - what http.c and http_answer.c share. */
#ifndef RECOMMENDER_HTTP_PRIVATE_H
#define RECOMMENDER_HTTP_PRIVATE_H
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "apps/recommender/serve/http.h"

enum {
    HTTP_CONNECTIONS_MAX = 4000,     /* unless the options say less */
    HTTP_CONNECTIONS_SPARE = 64,     /* above the bound: being closed */
    HTTP_CONNECTION_BYTES = 8 << 10, /* head and a piece of the body; cleared for each request */
    HTTP_CONNECTION_TIMEOUT_S = 60,
    HTTP_KEPT_BUFFER_BYTES = 64 << 10, /* a pooled exchange keeps buffers up to this size */
    HTTP_BODIES_BYTES_MAX = 256 << 20, /* H5: all request bodies together */
    HTTP_GET_BODY_BYTES_MAX = 4096,    /* read and ignored */
    HTTP_FILE_IDLE_S = 10,             /* a reader of a long answer that takes nothing */
    HTTP_FILE_BYTES_PER_S = 64 << 10,  /* less, after the first minute, is too slow */
    HTTP_FILE_BLOCK_BYTES = 64 << 10,
};

typedef enum http_phase {
    HTTP_RECEIVING, /* headers and body arrive */
    HTTP_REFUSED,   /* the answer is written; the rest of the body is read and dropped */
    HTTP_WAITING,   /* suspended */
} http_phase;

typedef struct http_slot { /* what one thread of the server owns */
    http_server *server;
    void *worker;
    struct http_item *free, *all;
    http_counts *counts; /* route_count + 1 */
    struct http_slot *next;
} http_slot;

typedef struct http_item {  /* an exchange and what the handler need not see */
    http_exchange exchange; /* first */
    http_slot *slot;
    struct MHD_Connection *connection;
    connection_place *place; /* of the connection among all */
    struct http_item *next_free, *next_all;
    leat__buffer in, out;
    leat__arena arena;
    http_phase phase;
    const char *allow;             /* Allow header of a 405 */
    struct MHD_Response *prepared; /* http_answer_file; NULL: out */
    size_t dropped_bytes;
} http_item;

struct http_server {
    http_options options;
    struct MHD_Daemon *daemon;
    connections *connections;
    _Atomic bool quiesced;
    _Atomic uint64_t open_requests;
    _Atomic size_t bodies_bytes;
    pthread_mutex_t lock; /* of slots */
    http_slot *slots;
};
#endif
