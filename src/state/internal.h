/* state/internal.h - what the files of src/state share; nobody else includes it.
 *
 *   table: cells {tag, ref} ──► entry in a slab                  one probe, entries never move
 *
 *   entry: [header 24 | value | time? | block? | chain? | placed? | key bytes, map key bytes]
 *                        │        │       │        │       └ timers: where the heap knows it
 *                        │        │       │        └ map entries: neighbours of the same key
 *                        │        │       └ deep values: one malloc'd block with strings and lists
 *                        │        └ slots with a TTL: last write (or read)
 *                        └ flat: the struct itself; > INLINE_VALUE_BYTES: a pointer to it; LIST:
 * leat__items
 *
 * Slots: the user's first, then one per timer (a map from {domain, tag} to at_ms), then one per map
 * for the head of each key's chain.  All share one table, one undo log, one dirty list.
 *
 * An absent entry stays in the table as long as somebody must know: the next seal (tombstone), the
 * database (applied later), the timer heap, or the negative cache of the rocksdb backend. */
#ifndef LEAT_STATE_INTERNAL_H
#define LEAT_STATE_INTERNAL_H
#include "base/assert.h"
#include "base/hash.h"
#include "record/codec.h"
#include "record/migration.h"
#include "state/backend.h"
#include "state/slab.h"
#include "state/store.h"
#include <stdatomic.h>

enum {
    LEAT__INLINE_VALUE_BYTES = 256,
    LEAT__INLINE_KEY_BYTES = 64,
    LEAT__TIMER_KEY_BYTES = 9, /* domain u8, tag i64 */
    LEAT__LAYOUTS_MAX = 255,   /* versions of one slot's type over its life: a byte in each value */
};

enum { /* leat__entry.flags */
       LEAT__PRESENT = 1,
       LEAT__DIRTY = 2,   /* changed since the last seal: in store->dirty */
       LEAT__TOUCHED = 4, /* changed in this callback: in the undo log */
       LEAT__HANDED = 8,  /* a value is out for editing: commit takes what it points to */
       LEAT__STORED =
           16, /* the last seal (or the database) has a value: needs a tombstone when deleted */
       LEAT__RECENT = 32, /* used since the clock hand passed */
       LEAT__DEAD = 64,   /* taken out of the table */
       LEAT__OWNED = 128, /* HANDED, and what it points to has been taken over */
};

typedef enum leat__role {
    LEAT__ROLE_VALUE,
    LEAT__ROLE_LIST,
    LEAT__ROLE_MAP,
    LEAT__ROLE_TIMER,
    LEAT__ROLE_HEAD
} leat__role;

/* S5: the value while its callback goes on, if what is in the entry itself was lent before. */
typedef struct leat__aside {
    uint64_t sealed; /* the entry's */
    _Alignas(16) char value[];
} leat__aside;

typedef struct leat__entry {
    uint32_t tag; /* low half of the hash: index and check */
    uint32_t key_bytes;
    uint32_t map_key_bytes; /* follows the key */
    uint16_t slot;
    uint8_t flags;
    uint8_t class : 7, is_aside : 1;
    union {
        uint64_t sealed; /* 1 + epoch of the last seal that wrote it; 0: as the database has it */
        leat__aside *aside; /* is_aside: within a callback that touched the entry */
    };
    char body[];
} leat__entry;

typedef struct leat__block { /* strings and lists of one deep value */
    size_t size_bytes;
    _Alignas(16) char bytes[];
} leat__block;

typedef struct leat__chain { /* LEAT__ROLE_HEAD: head = this entry's own chain, complete */
    struct leat__chain *next, *previous;
    leat__entry *head; /* of a map entry: its head; of the head: itself */
    leat__entry *entry;
    uint64_t complete; /* head only: every entry of this key is in the table */
} leat__chain;

typedef struct leat__placed { /* what the heap holds for a timer's entry */
    int64_t at_ms;            /* of the item that counts, if valid; never later than the timer */
    uint32_t items;           /* pointing here, superseded ones too: the entry must outlive them */
    uint32_t valid;
} leat__placed;

/* A list: elements [first, first + count) of the arrays.  Elements below `first` are kept until the
 * callback is over, so that an undo is a matter of counters. */
typedef struct leat__items {
    char *data;           /* capacity * element size */
    int64_t *times;       /* slots with a TTL */
    leat__block **blocks; /* deep elements */
    uint32_t first, count, capacity;
    uint32_t rewrite;    /* order or times changed: the chunks on disk are void */
    uint32_t unsorted;   /* times are not in order: an expired element may be anywhere */
    uint32_t dropped;    /* from the front since the last seal */
    uint32_t chunk_skip; /* elements of the first chunk that are gone */
    uint32_t chunk_first, chunk_end;
    uint32_t chunked; /* elements in chunks, the skipped ones too */
    uint32_t *chunk_counts;
} leat__items;

typedef struct leat__layout {
    char *text;                 /* empty: no value had it any more when it was last asked for */
    leat__migration *migration; /* NULL: readable as it is */
    bool refused;               /* not readable (S4): no value may have it */
} leat__layout;

typedef struct leat__layouts {
    leat__layout *all;
    uint32_t count, current;
    uint32_t stored; /* the first so many are in the directory row */
    bool any_refused;
} leat__layouts;

typedef struct leat__cells {
    leat__slot slot; /* the user's; for a timer name, kind and type are filled in */
    leat__role role;
    uint32_t id; /* crc32c(name): stable on disk whatever the order of the slots */
    uint32_t hash_salt;
    bool flat, inline_value;
    bool shares;          /* strings only, which nobody writes to: not copied before an edit */
    uint32_t value_bytes; /* size of the value (list: of one element) */
    uint32_t time_at, block_at, chain_at, placed_at,
        key_at;         /* offsets in body; 0 of an absent part */
    uint32_t head_slot; /* LEAT__ROLE_MAP */
    leat__layouts layouts;
    bool directory_pending; /* its directory row goes into the next seal */
    bool directory_seen;    /* in the database or in the changelog */
    bool hold_rows;         /* restore into memory: rows wait for the directory row */
    leat__entry *current;   /* of the current key, if current_serial is the store's */
    uint64_t current_serial;
    uint64_t lent_serial; /* of the last callback that was lent something of this slot */
} leat__cells;

typedef struct leat__cell {
    uint32_t tag, ref;
} leat__cell; /* ref 0: free */

typedef struct leat__undo {
    leat__entry *entry;
    uint32_t data_at;    /* in undo_data */
    uint8_t kind, flags; /* flags: before */
} leat__undo;

typedef struct leat__heap_item {
    int64_t at_ms;
    uint64_t key_prefix; /* first 8 bytes of the key, big endian: most comparisons end here */
    leat__entry *entry;
    uint32_t timer;
} leat__heap_item;

typedef struct leat__heap {
    leat__heap_item *items;
    leat__store *owner;
    size_t count, capacity, stale; /* stale: about so many items will be thrown away */
} leat__heap;

/* Where the sweep of expired values is (ttl.c). Arrays are by time domain. */
typedef struct leat__sweep {
    bool under_way;
    bool found;              /* this round has expired something */
    size_t at;               /* memory: cell of the table */
    leat__buffer key;        /* rocksdb: row */
    int64_t last_ms;         /* clock of the last part */
    int64_t shortest_ms[2];  /* TTL; 0: no slot goes by this time */
    int64_t soonest_ms[2];   /* no other round before */
    int64_t earliest_ms[2];  /* what the round saw and left will expire, not before */
    int64_t written_ms[2];   /* what it may not have seen will expire, not before */
    int64_t epoch_began_ms;  /* watermark then: what the open epoch writes is not older */
    uint64_t changed_before; /* 1 + the last epoch with changes */
} leat__sweep;

typedef struct leat__restored leat__restored;

struct leat__store {
    leat__database *database;
    uint16_t stage, partition;
    size_t slot_count, timer_count, cells_count; /* cells_count: with timers and map heads */
    leat__cells *cells_of;
    bool durable; /* the backend has a database behind the cache */
    bool behind;  /* ... and it may hold what the table does not: a miss must ask it */
    bool has_ttl;
    char prefix[4]; /* of this task's keys in the database */

    leat__cell *table;
    uint32_t mask, used;
    leat__slab slab;
    size_t cache_limit_bytes, clock_hand;
    uint64_t
        stuck_at; /* 1 + `applied` when eviction found nothing: no use before the next commit */

    leat_str key;
    uint64_t hash, key_serial;
    int64_t event_ms, clock_ms;
    _Atomic int64_t watermark_ms; /* read by leat__store_read */

    leat__undo *undo;
    size_t undo_count, undo_capacity;
    leat__buffer undo_data;
    bool in_callback;
    uint64_t callback_serial;
    leat_error too_big; /* the first element of this callback that no row can hold (R19) */
    size_t begin_dirty_count, begin_dirty_bytes;
    void **graveyard; /* memory lent to the callback that no value owns any more */
    size_t graveyard_count, graveyard_capacity;
    leat__arena lent; /* values aside, keys of map_each; until the callback is over */

    leat__entry **dirty;
    size_t dirty_count, dirty_capacity, dirty_bytes;
    _Atomic uint64_t applied; /* 1 + last epoch that the database has */
    _Atomic int64_t position;
    int64_t position_ms; /* as it was found or restored */

    leat__heap heaps[2];
    leat__buffer timer_key; /* lent by timer_pop */

    leat__arena scratch; /* decoding */
    leat__buffer encoded, row_key, map_key;
    leat__entry **gathered; /* map_each */
    size_t gathered_count, gathered_capacity;
    leat__restored *restored; /* between the first restore() and restored() */
    leat__batch *batch;

    /* committed, not in the database yet: an epoch each; above deferred_count empty ones, to be
     * used again */
    leat__changes *deferred;
    size_t deferred_count, deferred_capacity;
    int64_t deferred_position;               /* -1: as position */
    leat__seal_identity deferred_seal, seal; /* what stands at them */

    leat__sweep sweep;
    uint64_t seals;
    leat_error failure; /* sticky: the first failed read of the database */
    _Atomic uint64_t entries, cache_bytes, timers, hits, misses;
};

/* Counters have one writer; readers on other threads see some recent value. */
#define LEAT__COUNT(counter, change)                                                             \
    atomic_store_explicit(                                                                       \
        &(counter), atomic_load_explicit(&(counter), memory_order_relaxed) + (uint64_t)(change), \
        memory_order_relaxed)
#define LEAT__COUNTED(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

/* ---------------------------------------------------------------- table.c */
leat__entry *leat__table_find(const leat__store *store, const leat__cells *cells, uint32_t tag,
                              leat_str key, leat_str map_key);
leat__entry *leat__entry_new(leat__store *store, leat__cells *cells, uint32_t tag, leat_str key,
                             leat_str map_key);                /* absent, zeroed, in the table */
void leat__entry_drop(leat__store *store, leat__entry *entry); /* out of the table, memory freed */
void leat__table_clear(leat__store *store);
void leat__table_evict(leat__store *store);
bool leat__entry_is_idle(const leat__store *store, leat__entry *entry); /* may be dropped */

static inline leat__cells *leat__cells_of(const leat__store *store, const leat__entry *entry)
{
    return &store->cells_of[entry->slot];
}
static inline void *leat__entry_value(const leat__cells *cells, leat__entry *entry)
{
    if (__builtin_expect(entry->is_aside, 0))
        return entry->aside->value;
    if (__builtin_expect(cells->inline_value, 1))
        return entry->body;
    void *value;
    memcpy(&value, entry->body, sizeof value);
    return value;
}
static inline int64_t *leat__entry_time(const leat__cells *cells, leat__entry *entry)
{
    return (int64_t *)(void *)(entry->body + cells->time_at);
}
static inline leat__block **leat__entry_block(const leat__cells *cells, leat__entry *entry)
{
    return (leat__block **)(void *)(entry->body + cells->block_at);
}
static inline leat__chain *leat__entry_chain(const leat__cells *cells, leat__entry *entry)
{
    return (leat__chain *)(void *)(entry->body + cells->chain_at);
}
static inline leat__placed *leat__entry_placed(const leat__cells *cells, leat__entry *entry)
{
    return (leat__placed *)(void *)(entry->body + cells->placed_at);
}
static inline leat__items *leat__entry_items(leat__entry *entry)
{
    return (leat__items *)(void *)entry->body;
}
static inline bool leat__keys_inline(uint32_t key_bytes, uint32_t map_key_bytes)
{
    return (uint64_t)key_bytes + map_key_bytes <= LEAT__INLINE_KEY_BYTES;
}
static inline const char *leat__entry_key_data(const leat__cells *cells, const leat__entry *entry)
{
    const char *at = entry->body + cells->key_at;
    if (__builtin_expect(leat__keys_inline(entry->key_bytes, entry->map_key_bytes), 1))
        return at;
    const char *keys;
    memcpy(&keys, at, sizeof keys);
    return keys;
}
static inline leat_str leat__entry_key(const leat__cells *cells, const leat__entry *entry)
{
    return (leat_str){leat__entry_key_data(cells, entry), entry->key_bytes};
}
static inline leat_str leat__entry_map_key(const leat__cells *cells, const leat__entry *entry)
{
    return (leat_str){leat__entry_key_data(cells, entry) + entry->key_bytes, entry->map_key_bytes};
}
/* Slots of one key lie side by side in the table, so one prefetch serves them all. */
static inline uint32_t leat__value_tag(const leat__cells *cells, uint64_t hash)
{
    return (uint32_t)hash + cells->hash_salt;
}
uint32_t leat__map_tag(const leat__cells *cells, uint64_t hash, leat_str map_key);

/* ---------------------------------------------------------------- cache.c: entries of the current
 * key */
/* The entry of the current key, loaded from the database if need be; NULL: there is none. */
leat__entry *leat__cache_find(leat__store *store, leat__cells *cells);
leat__entry *leat__cache_find_map(leat__store *store, leat__cells *cells, leat_str map_key);
/* The same, but an absent entry instead of NULL. */
leat__entry *leat__cache_entry(leat__store *store, leat__cells *cells);
leat__entry *leat__cache_entry_map(leat__store *store, leat__cells *cells, leat_str map_key);
leat__entry *leat__cache_head(leat__store *store, leat__cells *cells, uint64_t hash, leat_str key);
void leat__cache_load_map(leat__store *store, leat__cells *cells, leat__entry *head);
void leat__store_fail(leat__store *store, const leat_error *error);

/* ---------------------------------------------------------------- edit.c: changes that can be
 * undone */
void leat__entry_touch_slow(leat__store *store, leat__entry *entry);
static inline void leat__entry_touch(leat__store *store, leat__entry *entry)
{
    const uint8_t both = LEAT__TOUCHED | LEAT__DIRTY;
    if ((entry->flags & both) != both)
        leat__entry_touch_slow(store, entry);
}
void leat__edit_commit(leat__store *store); /* of changes outside a callback */
void *leat__entry_mut(leat__store *store, leat__cells *cells, leat__entry *entry);
void leat__entry_del(leat__store *store, leat__cells *cells, leat__entry *entry);
void leat__undo_push(leat__store *store, leat__entry *entry, uint8_t kind, const void *data,
                     size_t size_bytes);
/* Freed when the callback is over. */
void leat__retire(leat__store *store, void *memory);
void leat__bury(leat__store *store, leat__block *block);
/* S5: may the callback hold a pointer to what this slot had? Kept per slot, not per entry: that
 * costs a read next to nothing, and a callback has one key. */
static inline bool leat__is_lent(const leat__store *store, const leat__cells *cells)
{
    return store->in_callback && cells->lent_serial == store->callback_serial;
}
/* The log would take no row of that size, key and value together (R19). */
leat_status leat__row_too_big(leat_error *error, const leat__cells *cells, const leat__entry *entry,
                              size_t row_bytes);
enum { LEAT__LARGE_ROW_BYTES = 64 << 10 }; /* less in memory: far below the log's bound encoded */
enum { LEAT__UNDO_VALUE, LEAT__UNDO_ITEMS, LEAT__UNDO_ARRAYS };

/* ---------------------------------------------------------------- database.c */
void leat__deferred_free(leat__store *store);

/* ---------------------------------------------------------------- value.c: deep values */
/* Makes `value` own what it points to: in `block` (kept if everything lies there already) or in a
 * new one that is returned; the old one is the caller's to free then. */
leat__block *leat__value_own(const leat_type *type, void *value, leat__block *block);
leat__block *leat__value_copy(const leat_type *type, void *value); /* always a new block, or NULL */
bool leat__value_has_lists(const leat_type *type);
/* Strings of `value` that are what they were in `before` point to where they were. No lists. */
void leat__value_keep_strings(const leat_type *type, void *value, const void *before);
static inline size_t leat__block_bytes(const leat__block *block)
{
    return block == NULL ? 0 : sizeof *block + block->size_bytes;
}

/* ---------------------------------------------------------------- rows.c: the form on disk,
 * docs/formats.md */
typedef enum leat__row_kind {
    LEAT__ROW_POSITION = 0x01, /* database only */
    LEAT__ROW_DIRECTORY = 0x02,
    LEAT__ROW_VALUE = 0x10,
    LEAT__ROW_LIST = 0x11,
    LEAT__ROW_CHUNK = 0x12,
    LEAT__ROW_MAP = 0x13,
    LEAT__ROW_TIMER = 0x14,
} leat__row_kind;

typedef struct leat__row_key {
    leat__row_kind kind;
    uint32_t id;
    leat_str key, map_key; /* CHUNK: map_key is the chunk's number */
} leat__row_key;

void leat__row_key_append(leat__buffer *out, leat__row_kind kind, uint32_t id, leat_str key,
                          leat_str map_key);
bool leat__row_key_parse(leat_str bytes, leat__row_key *row);
leat__row_kind leat__row_kind_of(leat__role role);

typedef struct leat__row_value {
    bool has_time;
    uint8_t layout;
    int64_t time_ms;
    leat_str bytes; /* binary codec; timers: at_ms */
} leat__row_value;
bool leat__row_value_parse(leat_str value, leat__row_value *row);
void leat__row_value_head(leat__buffer *out, const leat__cells *cells, int64_t time_ms);
void leat__row_encode(leat__buffer *out, const leat__cells *cells,
                      leat__entry *entry); /* VALUE, MAP, TIMER */
/* Fills an absent entry, which becomes present. */
leat_status leat__row_decode(leat__store *store, leat__cells *cells, leat__entry *entry,
                             leat_str value, leat_error *error);
leat_status leat__row_decode_value(leat__store *store, const leat__cells *cells, uint8_t layout,
                                   leat_str bytes, void *value, leat_error *error);
/* The error of a value that cannot be read: damaged, or of a newer version (R26). */
leat_status leat__row_unreadable(leat_error *error, const leat__cells *cells, leat_str value);
leat_status leat__row_damaged(leat_error *error, const leat__cells *cells);

/* ---------------------------------------------------------------- mapkey.c: map keys in byte order
 */
bool leat__map_key_allowed(const leat_type *type);
void leat__map_key_append(leat__buffer *out, const leat_type *type, const void *map_key);
/* Borrows strings; numbers go to *number. Returns what a callback gets. */
typedef union leat__map_key_value {
    int64_t i64;
    uint64_t u64;
    uint32_t u32;
    double f64;
    bool boolean;
    leat_str str;
} leat__map_key_value;
const void *leat__map_key_read(leat__map_key_value *value, const leat_type *type, leat_str bytes);

/* ---------------------------------------------------------------- list.c, listrow.c */
void leat__list_expire(leat__store *store, leat__cells *cells, leat__entry *entry, int64_t now_ms);
void leat__list_clear(leat__store *store, leat__entry *entry);
void leat__list_undo(leat__store *store, const leat__cells *cells, leat__entry *entry,
                     const leat__undo *undo);
void leat__list_commit(leat__store *store, const leat__cells *cells, leat__entry *entry,
                       const leat__undo *undo);
void leat__list_free(leat__store *store, const leat__cells *cells, leat__entry *entry);
/* Room for one more; its value is zeroed. */
void *leat__list_push(leat__store *store, const leat__cells *cells, leat__entry *entry,
                      int64_t time_ms);
typedef void (*leat__row_sink)(void *arg, leat_str row_key,
                               leat_str value); /* value.data NULL: tombstone */
void leat__list_seal(leat__store *store, const leat__cells *cells, leat__entry *entry,
                     leat__row_sink sink, void *arg);
/* Of the row that will hold the newest element, at most. */
size_t leat__list_row_bytes(leat__store *store, const leat__cells *cells, leat__entry *entry);
/* Finds a chunk's row; false: absent. */
typedef bool (*leat__row_source)(void *arg, leat_str row_key, leat__buffer *value);
leat_status leat__list_load(leat__store *store, const leat__cells *cells, leat__entry *entry,
                            leat_str head, leat__row_source source, void *arg, leat_error *error);

/* Whether the database may know what the table does not; asked once, then known until an eviction.
 */
void leat__cache_look_behind(leat__store *store);

/* ---------------------------------------------------------------- timers.c */
void leat__timer_place(leat__store *store, leat__entry *entry); /* the heap must know its time */
void leat__timers_clear(leat__store *store);
void leat__timer_loaded(leat__store *store, leat__entry *entry); /* decoded: counts from now on */
leat_status leat__timers_load(leat__store *store, leat_error *error);

/* ---------------------------------------------------------------- ttl.c */
/* S2: the time that TTL goes by. LEAT_TIME_MIN: none is known yet; what was written then has that
 * time too, does not expire, and ages from when it is seen at a known time. */
static inline int64_t leat__now(const leat__store *store, const leat__cells *cells)
{
    if (cells->slot.ttl_domain == LEAT__PROCESSING_TIME)
        return store->clock_ms;
    int64_t watermark_ms = atomic_load_explicit(&store->watermark_ms, memory_order_relaxed);
    return store->event_ms > watermark_ms ? store->event_ms : watermark_ms;
}
static inline bool leat__time_expired(const leat__cells *cells, int64_t time_ms, int64_t now_ms)
{
    int64_t end_ms;
    if (time_ms == LEAT_TIME_MIN || __builtin_add_overflow(time_ms, cells->slot.ttl_ms, &end_ms))
        return false;
    return end_ms <= now_ms;
}
void leat__ttl_begin(leat__store *store); /* the store is as it was opened, or emptied */
void leat__ttl_sweep(leat__store *store, uint64_t epoch);

/* ---------------------------------------------------------------- directory.c: slots by name (S4)
 */
leat_status leat__directory_open(leat__store *store, leat_error *error);
leat_status leat__directory_row(leat__cells *cells, leat_str value, leat_error *error);
/* Once all values are there: does one have a layout that can't be read? LEAT_ETYPE, with how many;
 * layouts that none has are forgotten. */
leat_status leat__directory_check(leat__store *store, leat_error *error);
/* The error of a value in such a layout. */
leat_status leat__layout_refused(const leat__cells *cells, uint32_t layout, size_t value_count,
                                 leat_error *error);
void leat__directory_append(leat__buffer *out, const leat__cells *cells);
void leat__directory_free(leat__cells *cells);
leat__cells *leat__cells_by_id(const leat__store *store, leat__row_kind kind, uint32_t id);

/* ---------------------------------------------------------------- database.c */
void leat__database_put_position(leat__store *store, leat__batch *batch, int64_t position,
                                 const leat__seal_identity *seal, int64_t at_ms);
leat_status leat__database_get_position(leat__store *store,
                                        leat_error *error); /* into store->position */

/* ---------------------------------------------------------------- store.c, restore.c */
void leat__store_drop_all(leat__store *store); /* every entry, timer and change */
void leat__restored_free(leat__store *store);
#endif
