/* serve/connections.h - how many connections there may be, and which one goes for a new one.
 *
 *     accept ─► below the bound ──────────────────────────► open
 *               at it: the connection that has waited for the longest, a quarter of a second at
 * least, for a request or the rest of one is shut down ─► open none waits so long, or too many are
 * being shut down ─► closed at once
 *
 * So idle connections, however many, keep nobody out: neither events nor a question for /healthz.
 * A connection whose request is complete is never shut down. All calls are safe from any thread. */
#ifndef RECOMMENDER_CONNECTIONS_H
#define RECOMMENDER_CONNECTIONS_H
#include "leat/base.h"

typedef struct connections connections;
typedef struct connection_place connection_place;

typedef struct connection_counts {
    uint64_t open, most; /* most: the bound */
    uint64_t evicted;    /* shut down for a new one */
    uint64_t refused;    /* closed at once */
} connection_counts;

connections *connections_new(uint32_t most);
void connections_free(connections *all); /* none may be open; NULL is allowed */
/* May another one be opened? Counts what it refuses, and shuts one down if it has to. */
bool connections_admit(connections *all);
connection_place *connections_opened(connections *all, int fd);
void connections_closed(connections *all, connection_place *one); /* before its fd is closed */
void connection_working(connection_place *one);                   /* its request is complete */
void connection_waiting(connection_place *one); /* for a request, or the rest of one */
void connections_count(connections *all, connection_counts *counts);
#endif
