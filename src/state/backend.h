/* state/backend.h - what stands behind the cache: a table of functions, so that only rocksdb.c
 * knows RocksDB.
 *
 *     memory    nothing: a miss is an absence, the changelog is the only copy
 *     rocksdb   sorted rows [stage u16][partition u16][row key], one database per process
 *
 * Threads: every function from any thread, a batch and an iterator by one at a time. */
#ifndef LEAT_STATE_BACKEND_H
#define LEAT_STATE_BACKEND_H
#include "state/store.h"

typedef struct leat__batch leat__batch; /* writes that happen all or not at all */
typedef struct leat__rows leat__rows;   /* rows with a prefix, in key order */

typedef struct leat__backend_ops {
    bool durable; /* false: none of the functions below but close is there */
    /* LEAT_ENOTFOUND without a message; appends to `value`. */
    leat_status (*get)(leat__database *database, leat_str key, leat__buffer *value,
                       leat_error *error);
    leat__rows *(*rows)(leat__database *database, leat_str prefix, leat_str from);
    bool (*next)(leat__rows *rows, leat_str *key,
                 leat_str *value); /* false: end or failure; lent until the next */
    leat_status (*rows_close)(leat__rows *rows, leat_error *error);
    leat__batch *(*batch)(leat__database *database);
    void (*put)(leat__batch *batch, leat_str key, leat_str value); /* value.data NULL: delete */
    void (*delete_prefix)(leat__batch *batch, leat_str prefix);
    size_t (*batch_bytes)(const leat__batch *batch);
    leat_status (*write)(leat__batch *batch, leat_error *error); /* and empties the batch */
    void (*batch_free)(leat__batch *batch);
    /* A copy as of some moment during the call, in a new directory; hard links where possible. */
    leat_status (*checkpoint)(leat__database *database, const char *dir, leat_error *error);
    void (*close)(leat__database *database);
} leat__backend_ops;

struct leat__database {
    const leat__backend_ops *ops;
    bool from_snapshot;
};

leat_status leat__memory_open(leat__database **database, leat_error *error);
leat_status leat__rocksdb_open(leat__database **database, const leat__database_opts *opts,
                               leat_error *error);
/* Without the lock, for tools. */
leat_status leat__rocksdb_open_read_only(leat__database **database, const char *dir,
                                         leat_error *error);
#endif
