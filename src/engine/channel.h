/* engine/channel.h - bounded, lock-free, single producer, single consumer: from one task to
 * another.
 *
 *   sender: open batch ─► pending ─► [ring of full batches] ─► receiver
 *                 ▲                                             │
 *                 └───────────── [ring of empty batches] ◄──────┘       no allocation once warm
 *
 * Watermarks, idleness and barriers are items in line with the data (R23).  The ring is bounded;
 * what does not fit waits in the sender's pending list, and a task with pending batches takes no
 * further input, so the list stays as short as what one input batch makes.
 */
#ifndef LEAT_ENGINE_CHANNEL_H
#define LEAT_ENGINE_CHANNEL_H
#include "base/arena.h"
#include "base/limits.h"
#include "ops/op.h"
#include <stdatomic.h>

enum leat__item_kind {
    LEAT__ITEM_RECORD,
    LEAT__ITEM_WATERMARK,
    LEAT__ITEM_IDLE,
    LEAT__ITEM_STOPPED, /* nothing more in this run, time stays as it is (W5) */
    LEAT__ITEM_BARRIER
};

typedef struct leat__item {
    uint8_t kind;
    uint32_t edge;        /* RECORD: number of the edge in the plan */
    int64_t timestamp_ms; /* WATERMARK: the watermark; BARRIER: the epoch */
    leat_str key;
    uint64_t key_hash;
    const void *record;
} leat__item;

typedef struct leat__batch {
    struct leat__batch *next; /* in the sender's pending list */
    leat__arena arena;        /* owns records and keys */
    leat__item *items;
    size_t count;
} leat__batch;

typedef struct leat__ring {
    _Atomic size_t head, tail; /* head: next to take; tail: next to put */
    leat__batch *slots[LEAT__CHANNEL_BATCHES];
} leat__ring;

typedef struct leat__channel {
    leat__ring full, empty;
    leat__batch *open;                   /* sender only */
    leat__batch *pending, *pending_last; /* sender only */
    leat__batch *current;                /* receiver only: half-consumed batch */
    size_t current_at;
    /* receiver only, the watchdog looks (R31): blocked until all barriers are there (R23) */
    _Atomic bool barriered;
    bool ended;              /* receiver only: nothing more comes in this run */
    uint32_t input;          /* receiver only: number in its valve */
    _Atomic bool waited_for; /* the sender found the ring full and sleeps */
    struct leat__task *sender, *receiver;
} leat__channel;

void leat__channel_free(leat__channel *channel);
/* Sender. A record is copied deeply; type tells how. */
void leat__channel_record(leat__channel *channel, uint32_t edge, const leat_type *type, bool flat,
                          const leat__element *element);
void leat__channel_control(leat__channel *channel, uint8_t kind, int64_t value);
/* Hands over what is open; true: everything is in the ring. */
bool leat__channel_flush(leat__channel *channel);
/* Receiver: the next item, lent until the next call; NULL: none. */
const leat__item *leat__channel_take(leat__channel *channel);
#endif
