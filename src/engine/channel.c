/* engine/channel.c - see channel.h for the picture. */
#include "engine/channel.h"
#include "base/mem.h"
#include "record/codec.h"

enum { BATCH_ITEMS = 256 }; /* enough to amortise the hand-over, small enough for the cache */

static bool ring_put(leat__ring *ring, leat__batch *batch)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) == LEAT__CHANNEL_BATCHES)
        return false;
    ring->slots[tail % LEAT__CHANNEL_BATCHES] = batch;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

static leat__batch *ring_take(leat__ring *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
        return NULL;
    leat__batch *batch = ring->slots[head % LEAT__CHANNEL_BATCHES];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return batch;
}

static void batch_free(leat__batch *batch)
{
    if (batch == NULL)
        return;
    leat__arena_free(&batch->arena);
    leat__free(batch->items);
    leat__free(batch);
}

void leat__channel_free(leat__channel *channel)
{
    batch_free(channel->open);
    batch_free(channel->current);
    while (channel->pending != NULL) {
        leat__batch *batch = channel->pending;
        channel->pending = batch->next;
        batch_free(batch);
    }
    leat__batch *batch;
    while ((batch = ring_take(&channel->full)) != NULL)
        batch_free(batch);
    while ((batch = ring_take(&channel->empty)) != NULL)
        batch_free(batch);
}

/* Moves pending batches into the ring, oldest first. */
static bool drain_pending(leat__channel *channel)
{
    while (channel->pending != NULL) {
        leat__batch *next = channel->pending->next;
        if (!ring_put(&channel->full, channel->pending))
            return false;
        channel->pending = next;
    }
    channel->pending_last = NULL;
    return true;
}

static void hand_over(leat__channel *channel)
{
    leat__batch *batch = channel->open;
    channel->open = NULL;
    batch->next = NULL;
    if (drain_pending(channel) && ring_put(&channel->full, batch))
        return;
    if (channel->pending_last != NULL)
        channel->pending_last->next = batch;
    else
        channel->pending = batch;
    channel->pending_last = batch;
}

static leat__item *new_item(leat__channel *channel)
{
    if (channel->open != NULL && channel->open->count == BATCH_ITEMS)
        hand_over(channel);
    if (channel->open == NULL) {
        leat__batch *batch = ring_take(&channel->empty);
        if (batch == NULL) {
            batch = leat__calloc(1, sizeof(*batch));
            batch->items = leat__calloc(BATCH_ITEMS, sizeof(*batch->items));
            batch->arena.chunk_bytes = 16 << 10;
        }
        batch->count = 0;
        leat__arena_reset(&batch->arena);
        channel->open = batch;
    }
    return &channel->open->items[channel->open->count++];
}

void leat__channel_record(leat__channel *channel, uint32_t edge, const leat_type *type, bool flat,
                          const leat__element *element)
{
    leat__item *item = new_item(channel);
    leat__arena *arena = &channel->open->arena;
    void *copy = leat__arena_alloc(arena, type->size_bytes);
    if (flat)
        memcpy(copy, element->record, type->size_bytes);
    else
        leat__record_copy(arena, type, element->record, copy);
    *item = (leat__item){.kind = LEAT__ITEM_RECORD,
                         .edge = edge,
                         .timestamp_ms = element->timestamp_ms,
                         .key = leat__arena_str(arena, element->key),
                         .key_hash = element->key_hash,
                         .record = copy};
}

void leat__channel_control(leat__channel *channel, uint8_t kind, int64_t value)
{
    leat__item *item = new_item(channel);
    *item = (leat__item){.kind = kind, .timestamp_ms = value};
}

bool leat__channel_flush(leat__channel *channel)
{
    if (channel->open != NULL && channel->open->count != 0)
        hand_over(channel);
    return drain_pending(channel);
}

const leat__item *leat__channel_take(leat__channel *channel)
{
    leat__batch *batch = channel->current;
    if (batch != NULL && channel->current_at == batch->count) {
        if (!ring_put(&channel->empty, batch))
            batch_free(batch);
        batch = NULL;
    }
    if (batch == NULL) {
        channel->current = batch = ring_take(&channel->full);
        channel->current_at = 0;
        if (batch == NULL)
            return NULL;
    }
    return &batch->items[channel->current_at++];
}
