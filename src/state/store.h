/* state/store.h - the keyed state of one task (stage, partition), and the database that backs it.
 *
 *     operator ──get/mut──► cache of decoded values ──miss──► RocksDB (rocksdb backend)
 *                             │ undo log per callback          ▲
 *                             │ dirty set per epoch            │ one WriteBatch per epoch, with the
 *        barrier: seal(N) ────┘──► changelog entries ──commit──┘ changelog position (R6)
 *
 * Ownership: what is handed out, values, elements, map keys, is valid until the callback returns,
 * and shows what it showed, whatever the callback does meanwhile (S5); outside a callback until the
 * next change. One thread per store; apply runs on the commit thread and touches only the database
 * and `applied_epoch`.
 *
 * S3: callback_begin / callback_commit / callback_rollback make every change between them all or
 * nothing.
 */
#ifndef LEAT_STATE_STORE_H
#define LEAT_STATE_STORE_H
#include "base/arena.h"
#include "base/buffer.h"
#include "leat/log.h"
#include "leat/record.h"

typedef enum leat__state_kind { LEAT__VALUE, LEAT__LIST, LEAT__MAP } leat__state_kind;
typedef enum leat__time_domain { LEAT__EVENT_TIME, LEAT__PROCESSING_TIME } leat__time_domain;

typedef struct leat__slot {
    const char *name; /* "operator/slot": the key of the state on disk */
    leat__state_kind kind;
    const leat_type *type;        /* value or element */
    const leat_type *map_key;     /* LEAT__MAP: a scalar type */
    int64_t ttl_ms;               /* 0: for ever */
    leat__time_domain ttl_domain; /* against which "now" */
    bool ttl_on_read;             /* S2: a read refreshes too */
} leat__slot;

/* ---------------------------------------------------------------- database: one per process */
typedef struct leat__database leat__database;
typedef enum leat__backend { LEAT__MEMORY, LEAT__ROCKSDB } leat__backend;

typedef struct leat__snapshot_topic { /* a changelog of the job */
    const char *name;
    uint64_t id; /* leat_topic_opts.id */
} leat__snapshot_topic;

typedef struct leat__snapshot_place { /* state/snapshot.h; borrowed */
    const char *dir;                  /* NULL: no snapshots */
    const char *job, *instance;       /* file names; instance NULL: as kept in the database's dir */
    int64_t now_ms;
    const leat__snapshot_topic
        *topics; /* a snapshot of another topic of such a name is not taken */
    size_t topic_count;
} leat__snapshot_place;

typedef struct leat__database_opts {
    leat__backend backend;
    const char *dir;                /* ROCKSDB: required; locked while open (R25) */
    leat__snapshot_place snapshots; /* to begin with if dir has no database */
    size_t block_cache_bytes;       /* 0: 8 MiB */
    size_t write_buffer_bytes;      /* 0: 16 MiB */
} leat__database_opts;

leat_status leat__database_open(leat__database **database, const leat__database_opts *opts,
                                leat_error *error);
void leat__database_close(leat__database *database);
/* It was a snapshot when it was opened: it may be of another log than the one it is used with. */
bool leat__database_from_snapshot(const leat__database *database);

/* ---------------------------------------------------------------- store */
typedef struct leat__store leat__store;
typedef struct leat__store_opts {
    leat__database *database;
    uint16_t stage; /* stable number of the stage; with partition the prefix of every key */
    uint16_t partition;
    const leat__slot *slots; /* borrowed for the store's life */
    size_t slot_count;
    const char *const *timers; /* names; a timer's number is its index */
    size_t timer_count;
    size_t cache_bytes; /* ROCKSDB: bound of the cache of clean values; 0: 32 MiB */
} leat__store_opts;

/* Opens what the database has of this task; timers are loaded. A slot whose layout changed is
 * migrated if S4 allows it, else LEAT_ETYPE with both layouts. */
leat_status leat__store_open(leat__store **store, const leat__store_opts *opts, leat_error *error);
void leat__store_close(leat__store *store);

/* Current key and times of the calls below. The hash is leat__hash64(key). key is borrowed until
 * the next set_key. now: event time (LEAT_TIME_MIN: none but the watermark) and epoch clock, for
 * TTL (S2). */
void leat__store_set_key(leat__store *store, leat_str key, uint64_t hash);
void leat__store_set_now(leat__store *store, int64_t event_ms, int64_t clock_ms);

/* The watermark has passed: TTL in event time is decided against the later of it and event_ms, and
 * values of keys that nobody asks for are reclaimed against it alone (R21). Without it idle keys of
 * event-time slots stay. MAX is no time. */
void leat__store_set_watermark(leat__store *store, int64_t watermark_ms);
/* The epoch's clock, where the epoch begins without a key. */
void leat__store_set_clock(leat__store *store, int64_t clock_ms);
/* Values of keys that nobody asks for are reclaimed by the seals, a part at a time (R22): in how
 * many ms of the clock there should be a seal for it, whatever else there is to do. 0: now;
 * INT64_MAX: not as time stands. */
int64_t leat__store_sweep_in_ms(const leat__store *store, int64_t clock_ms);
/* Brings the values of these keys near the CPU: call it for a batch, then work on the batch. Best
 * 16 to 64 keys. */
void leat__store_prefetch(const leat__store *store, const uint64_t *hashes, size_t count);

void leat__store_callback_begin(leat__store *store);
/* R19: would the log take each value that this callback has changed? LEAT_ETOOBIG: not the one that
 * is named; roll back. To be asked last before the commit. */
leat_status leat__store_callback_check(leat__store *store, leat_error *error);
void leat__store_callback_commit(
    leat__store *store); /* copies strings and lists that values point to */
void leat__store_callback_rollback(leat__store *store);

/* value: NULL if absent or expired */
const void *leat__store_get(leat__store *store, size_t slot);
/* The same, but for the pointer: a later edit has nothing to keep for it. */
bool leat__store_holds(leat__store *store, size_t slot);
void *leat__store_mut(leat__store *store, size_t slot); /* zeroed if new */
void leat__store_del(leat__store *store,
                     size_t slot); /* any kind: everything under the current key */
/* list */
void leat__store_append(leat__store *store, size_t slot, const void *element);
size_t leat__store_list(leat__store *store, size_t slot,
                        const void **elements); /* contiguous, oldest first */
void leat__store_trim(leat__store *store, size_t slot, size_t keep_newest);
/* map; map_key points to a value of the map_key type */
const void *leat__store_map_get(leat__store *store, size_t slot, const void *map_key);
bool leat__store_map_holds(leat__store *store, size_t slot, const void *map_key);
void *leat__store_map_mut(leat__store *store, size_t slot, const void *map_key);
void leat__store_map_del(leat__store *store, size_t slot, const void *map_key);
/* In key byte order; fn returns false to stop. fn may change the map: entries that it deletes are
 * not visited, nor are those that it adds. */
void leat__store_map_each(leat__store *store, size_t slot,
                          bool (*fn)(void *arg, const void *map_key, const void *value), void *arg);

/* ---------------------------------------------------------------- timers (T1): set semantics per
 * (key, name [, tag]) tag tells several timers of one name and key apart (windows use their start);
 * 0 for plain timers. */
void leat__store_timer_set(leat__store *store, size_t timer, leat__time_domain domain, int64_t tag,
                           int64_t at_ms);
void leat__store_timer_clear(leat__store *store, size_t timer, leat__time_domain domain,
                             int64_t tag);
/* The earliest timer of the domain, LEAT_TIME_MAX if none. */
int64_t leat__store_timer_next(const leat__store *store, leat__time_domain domain);
typedef struct leat__timer {
    size_t timer;
    int64_t tag, at_ms;
    leat_str key; /* lent until the next pop */
    uint64_t hash;
} leat__timer;
/* Removes and returns the earliest timer with at_ms <= until_ms, ordered by (at_ms, timer, key)
 * (T2). */
bool leat__store_timer_pop(leat__store *store, leat__time_domain domain, int64_t until_ms,
                           leat__timer *out);

/* ---------------------------------------------------------------- epochs
 * seal: freezes what changed since the last seal as changelog entries (absolute values, R6) in
 * `out`, which is self-contained. Order: by first change. Returns the number of entries. The store
 * goes on with the next epoch. */
typedef struct leat__change {
    leat_str key, value;
} leat__change; /* value.data NULL: tombstone */
typedef struct leat__changes {
    leat__arena arena;
    leat__change *changes;
    size_t count, capacity, bytes;
} leat__changes;
/* out NULL: nothing is written down; for a job without a log, memory backend only. */
size_t leat__store_seal(leat__store *store, uint64_t epoch, leat__changes *out);
void leat__changes_reset(leat__changes *changes);
void leat__changes_free(leat__changes *changes);
/* Rough bytes of changes since the last seal, for the epoch's bound (R9). */
size_t leat__store_dirty_bytes(const leat__store *store);

/* The first failure of the database in a call above that cannot report one (a value that could not
 * be read is taken as absent): FATAL, sticky. Look before a commit; one load if all is well. */
leat_status leat__store_check(const leat__store *store, leat_error *error);

/* Which record of which changelog a position is of: an offset alone may be any log's. epoch 0: not
 * known, as written before format 3. */
typedef struct leat__seal_identity {
    uint64_t topic_id, incarnation, epoch; /* topic_id 0: not known */
    uint32_t crc;
} leat__seal_identity;

/* Commit thread, after the log has the epoch: one write for all tasks. */
typedef struct leat__apply {
    leat__store *store;
    leat__changes *changes;
    int64_t changelog_position; /* of the seal of this epoch; -1: unknown, keep */
    uint64_t epoch;
    int64_t at_ms;            /* wall clock: the age of the copy (R13); 0: not said */
    leat__seal_identity seal; /* what stands at changelog_position */
} leat__apply;
leat_status leat__database_apply(leat__database *database, const leat__apply *applies, size_t count,
                                 leat_error *error);
/* Instead of apply: takes the changes over, empty ones come back, and the next apply writes them
 * with its own, each key once. Until then the database lags by these epochs (R6), and so do
 * committed reads; a store that is closed forgets them. */
void leat__database_defer(const leat__apply *applies, size_t count);

/* Restore: the stored changelog position of this task (-1: none: from the beginning), then each
 * record in order. */
int64_t leat__store_position(const leat__store *store);
int64_t leat__store_position_ms(const leat__store *store); /* when it was written; 0: not known */
leat__seal_identity leat__store_position_seal(const leat__store *store); /* what stood there */
/* Does the database have just this row? value.data NULL: or none of the key. ROCKSDB only. */
leat_status leat__store_has_row(leat__store *store, leat_str key, leat_str value, bool *same,
                                leat_error *error);
leat_status leat__store_restore(leat__store *store, leat_str key, leat_str value,
                                leat_error *error);
/* A record of a changelog that names a slot or a timer, "operator/slot"; lent as the record is. */
bool leat__changelog_names(leat_str key, leat_str value, leat_str *slot, bool *is_timer);
/* A record of a changelog about an entry of the map "operator/slot". */
bool leat__changelog_is_of_map(leat_str key, const char *slot);
/* flush, load timers */
leat_status leat__store_restored(leat__store *store, int64_t position,
                                 const leat__seal_identity *seal, int64_t at_ms, leat_error *error);
/* Drops everything not applied (R10). ROCKSDB: the cache; MEMORY: everything; restore from the
 * changelog again. */
leat_status leat__store_rewind(leat__store *store, leat_error *error);
/* Deletes the task's data from the database (R13, partition moved away). */
leat_status leat__store_wipe(leat__store *store, leat_error *error);

/* ---------------------------------------------------------------- committed reads, any thread
 * The applied value of (stage, partition, slot, key), as bytes that leat__binary_decode
 * understands, in the slot's current layout, appended to `out`; LEAT_ENOTFOUND if absent or
 * expired: against now_ms where the slot's TTL follows the clock, else against the watermark (R22).
 * ROCKSDB only (MEMORY: LEAT_EINVAL). Value slots. */
leat_status leat__store_read(leat__store *store, size_t slot, leat_str key, int64_t now_ms,
                             leat__buffer *out, leat_error *error);

/* For tools: opens a state directory read-only, also while a job holds it, and lists what is
 * committed by (stage, partition, kind, slot, key, map key). A list is one entry per element,
 * oldest first. */
typedef struct leat__database_entry {
    uint16_t stage, partition;
    const char *slot; /* "operator/slot"; of a timer: its name */
    leat__state_kind kind;
    bool timer; /* time_ms is when it fires; no value */
    leat_str key;
    const char *map_key_layout; /* "" if no map */
    leat_str map_key;           /* in byte order: numbers big endian, sign bit flipped */
    const char *layout;         /* of value */
    leat_str value;             /* binary codec, of exactly that layout */
    bool has_time;              /* the slot has a TTL: */
    int64_t time_ms;            /* written (or read) last */
} leat__database_entry;
typedef bool (*leat__database_fn)(
    void *arg, const leat__database_entry *entry); /* false: stop; lent for the call */
leat_status leat__database_scan(const char *dir, leat__database_fn fn, void *arg,
                                leat_error *error);
/* The same without timers, times and map keys. */
leat_status leat__database_each(const char *dir,
                                bool (*fn)(void *arg, const char *slot_name, const char *layout,
                                           uint16_t partition, leat_str key, leat_str value_bytes),
                                void *arg, leat_error *error);

typedef struct leat__store_stats {
    uint64_t entries, cache_bytes, timers, hits, misses;
} leat__store_stats;
void leat__store_get_stats(const leat__store *store, leat__store_stats *stats);
#endif
