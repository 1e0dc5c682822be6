/* candidates/session_index.h - session kNN (VMIS-kNN; Kersbergen, Sprangers, Schelter, SIGMOD 2022)
 * over an index that the stream itself maintains.
 *
 *   item "shoe"  ─► [s7 s3 s2]      the m most recent sessions that contain it, newest first
 *   session s7   ─► last time, distinct items, newest first
 *   n_i sessions contain item i; N sessions in all; idf(i) = ln(N / n_i)
 *
 * I1 The index is a function of the SET of sessions added, whatever order they arrived in: newer
 *    means later last time, then larger session id (bytes), so ties are decided too.
 * I2 A session counts (N, n_i) if it has min_session_items to max_session_items distinct items.
 *    These bounds are fixed settings and not percentiles of what came so far, which would depend on
 *    the order; `evaluate` takes max_session_items from the training file's 99.5th percentile.
 * I3 A session that is in no list any more is freed; its place is used again.  N and n_i are never
 *    counted down: they are of all sessions that ever counted.
 * I4 max_sessions (0: no bound) keeps about that many of the newest: time is cut into buckets of
 *    65,536 ms, and the oldest buckets are dropped while more sessions than that are in the others
 *    with them.  Dropped sessions, however early or late they arrived, are in no list.
 * I5 A session id is added once (the log delivers exactly once).  A second one with the same last
 *    time is noticed and ignored as long as the first is in the list of its newest item.
 *
 * Query with the evolving session s, cut to its last max_items clicks: L clicks, U distinct items.
 * Q1 p = 0, 1 ... from the newest click to the oldest, an item counts where it is newest, with
 *    weight (L - p) / U.  Of all sessions in these items' lists the m newest are candidates; a
 *    candidate's similarity r is the sum of the weights of the items it contains.
 *    (The published algorithm walks the lists one by one with a heap by time and a hash table of
 *    sums.  The lists are sorted, so merging them gives the same candidates and the same sums.)
 * Q2 The k most similar are the neighbours; ties go to the newer session.
 * Q3 A neighbour adds max(0, 1 - q / 10) * r * max(idf(j), SESSION_IDF_MIN) to each of its items j,
 *    q = 1 for the newest click, 2 ..., of the newest click that it contains.
 * Q4 The current (newest) item is left out if asked; the best n are returned.  Equal scores: first
 *    the item that is met first walking neighbours from new to old and each one's items from
 *    its newest to its oldest click.
 *
 * Threads: one writer at a time (add), any number of readers (query, dump, ...), no mutex: see
 * reader_lock.h.  A workspace belongs to one thread at a time.  Names in results are valid as
 * long as the index. */
#ifndef RECOMMENDER_SESSION_INDEX_H
#define RECOMMENDER_SESSION_INDEX_H
#include "leat/base.h"

enum {
    SESSION_QUERY_ITEMS_MAX = 16, /* max_items of a query: a bit each */
    SESSION_RECENT_MAX = 32768,   /* m: a list must fit into one block of the pool */
    SESSION_ITEMS_MAX = 65535,    /* distinct items of one session */
    SESSION_ID_BYTES_MAX = 65535,
};
#define SESSION_IDF_MIN 0.001f /* items that are in every session still count a little */

typedef struct session_index session_index;
typedef struct session_workspace session_workspace;

typedef struct session_index_options {
    uint32_t sessions_per_item; /* m: the longest list kept, and the largest m of a query */
    uint32_t min_session_items; /* distinct items; shorter sessions are left out */
    uint32_t max_session_items; /* longer ones too: robots */
    uint64_t max_sessions;      /* I4; 0: no bound */
} session_index_options;

/* The shipped settings: the best found on the validation file (docs/recommender-quality.md). */
session_index_options session_index_defaults(void);

typedef enum session_added {
    SESSION_ADDED = 0,
    SESSION_TOO_SHORT,
    SESSION_TOO_LONG,
    SESSION_TOO_OLD,   /* counted in N and n_i, but older than what max_sessions keeps */
    SESSION_DUPLICATE, /* I5 */
} session_added;

session_index *session_index_new(const session_index_options *options); /* bounds are clamped */
void session_index_free(session_index *index);                          /* NULL is allowed */
const session_index_options *session_index_options_of(const session_index *index);

/* Adds a closed session: `items` in the order of the clicks, oldest first, repeats allowed.
 * Everything is copied. */
session_added session_index_add(session_index *index, leat_str session_id, const leat_str *items,
                                size_t item_count, int64_t last_time_ms);

typedef struct session_query {
    const leat_str *clicks; /* the evolving session, oldest first, newest last; borrowed */
    size_t click_count;
    uint32_t max_items;   /* 1 .. SESSION_QUERY_ITEMS_MAX */
    uint32_t candidates;  /* m; 0 or more than the index holds: what the index holds */
    uint32_t neighbours;  /* k */
    bool exclude_current; /* leave out the newest click's item */
} session_query;

/* clicks, count; and the shipped max_items, m, k with the current item left out. */
session_query session_query_defaults(const leat_str *clicks, size_t click_count);

typedef struct scored_item {
    leat_str item;   /* valid as long as the index */
    uint32_t number; /* the index's own dense number of it */
    float score;
} scored_item;

/* Why an item was recommended: the neighbours that know it, by the click they share. */
typedef struct session_reason {
    uint32_t clicks_ago;  /* 1: the newest click of the query, 2: the one before ...; 0: unused */
    uint32_t sessions;    /* neighbours that contain the item and, as newest click, this one */
    float share;          /* of the item's score, 0 .. 1 */
    int64_t last_time_ms; /* of the newest of these sessions */
} session_reason;

session_workspace *session_workspace_new(session_index *index);
void session_workspace_free(session_workspace *workspace);

/* The best `capacity` items into `out`, best first; returns how many.  0: no item of the session is
 * known, ask popularity.  Allocates only when the index has outgrown the workspace. */
size_t session_index_query(session_index *index, session_workspace *workspace,
                           const session_query *query, scored_item *out, size_t capacity);

/* The same, and reasons[i * SESSION_QUERY_ITEMS_MAX ...] say why out[i]: newest click first, the
 * rest is zero. */
size_t session_index_query_explained(session_index *index, session_workspace *workspace,
                                     const session_query *query, scored_item *out, size_t capacity,
                                     session_reason *reasons);

typedef struct session_index_stats {
    uint64_t sessions_counted;  /* N */
    uint64_t sessions_stored;   /* in at least one list */
    uint64_t sessions_left_out; /* too short, too long, duplicate */
    uint32_t items;             /* distinct items seen */
    uint64_t list_entries;
    size_t memory_bytes; /* all that the index holds, workspaces excepted */
} session_index_stats;

session_index_stats session_index_get_stats(session_index *index);
uint64_t session_index_item_sessions(session_index *index, leat_str item); /* n_i; 0: unknown */

/* Writes the whole index in a canonical form, the same for the same set of sessions, one JSON
 * object a line: {"options":...,"sessions":N}, then per item with n_i > 0, by name (bytes),
 * {"item":"a","sessions":n_i,"recent":[newest,older]}, then per stored session, oldest first and
 * numbered from 0, {"session":0,"last_time_ms":T,"items":["newest click","older"]}. Session ids,
 * which may be names of users, do not appear.
 * Holds up the writer meanwhile: for tests and diagnosis. */
leat_status session_index_dump(session_index *index, FILE *out, leat_error *error);
#endif
