/* serve/listen.h - the listening socket of `--listen HOST:PORT`. */
#ifndef RECOMMENDER_LISTEN_H
#define RECOMMENDER_LISTEN_H
#include "leat/base.h"

enum { LISTEN_URL_BYTES = 80 };

typedef struct listener {
    int fd;
    uint16_t port;              /* the one chosen if 0 was asked for */
    char url[LISTEN_URL_BYTES]; /* "http://127.0.0.1:8080" */
} listener;

/* "127.0.0.1:8080", "localhost:0", "[::1]:8080", ":8080" and "8080" (loopback).
 * LEAT_EINVAL: malformed, or not a loopback address (H4); LEAT_EPORT: the port is in use. */
LEAT_MUST_CHECK leat_status listen_on(const char *address, listener *out, leat_error *error);
#endif
