/* engine/exchange_send.c - a sender's side of the exchange through the log.
 *
 *   element ─► partition of its key ─► the epoch's bundle        [d][d][d] ... then, at the seal,
 *   time    ─► told each partition? ─► due? ─► an epoch ─►       [T]  one for each partition that
 *                                                                     has not heard it
 *
 * A watermark never overtakes data of its sender: it is written after it, in the same transaction.
 * Each time record costs, and there are senders x receivers of them, so a watermark that moves on
 * and on is told at intervals; what is new after a pause, idleness and the end at once (W2, W4).
 */
#include "base/hash.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "record/codec.h"

enum {
    DATA_INTERVAL_US = 20000, /* to a partition that got data since: its windows may wait for it */
    QUIET_INTERVAL_US = 100000, /* to the others */
    /* the end is repeated as long as this process waits for others: a receiver that starts later
     * knows then that it is of this run */
    END_INTERVAL_US = 1000000,
};

typedef struct told { /* to one partition */
    int64_t watermark_ms, at_us;
    uint8_t state;
    bool data; /* records went there since */
} told;

struct leat__outlet {
    const leat__repartition *to;
    told *told;
    int64_t due_us; /* of the earliest; computed when time moves and at the seal */
    int64_t seen_ms;
    uint8_t seen_state;
};

static int64_t now_us(const leat__task *task)
{
    return task->run->env->monotonic_us(task->run->env->arg);
}

leat__outlet *leat__outlet_to(leat__task *task, const leat__repartition *to)
{
    for (size_t i = 0; i < task->outlet_count; i++)
        if (task->outlets[i]->to == to)
            return task->outlets[i];
    leat__outlet *made = leat__calloc(1, sizeof(*made));
    *made = (leat__outlet){.to = to, .due_us = INT64_MAX, .seen_ms = LEAT_TIME_MIN};
    made->told = leat__calloc(to->partition_count, sizeof(told));
    for (uint32_t p = 0; p < to->partition_count; p++)
        made->told[p] = (told){.watermark_ms = LEAT_TIME_MIN, .at_us = INT64_MIN / 2};
    task->outlets = leat__realloc(task->outlets, task->outlet_count + 1, sizeof(*task->outlets));
    task->outlets[task->outlet_count++] = made;
    return made;
}

void leat__outlets_free(leat__task *task)
{
    for (size_t i = 0; i < task->outlet_count; i++) {
        leat__free(task->outlets[i]->told);
        leat__free(task->outlets[i]);
    }
    leat__free(task->outlets);
}

/* ------------------------------------------------------------------ data */

static leat__out_record *begin_record(leat__task *task, const leat__repartition *to,
                                      uint32_t partition, leat_str key)
{
    leat__buffer *bytes = &task->bundle->bytes;
    leat__out_record *record = leat__bundle_record(task->bundle);
    *record = (leat__out_record){.node = LEAT__SINK_STAGE + to->stage,
                                 .partition = partition,
                                 .has_key = key.data != NULL,
                                 .key_at = bytes->length,
                                 .key_length = (uint32_t)key.length,
                                 .timestamp_ms = task->face.clock_ms};
    leat__buffer_bytes(bytes, key.data, key.length);
    record->value_at = bytes->length;
    leat__buffer_u8(bytes, LEAT__EXCHANGE_FORMAT);
    return record;
}

static void end_record(leat__task *task, leat__out_record *record)
{
    record->value_length = (uint32_t)(task->bundle->bytes.length - record->value_at);
}

static void append_data(const leat__delivery *delivery, const leat__element *element)
{
    leat__buffer *bytes = &delivery->task->bundle->bytes;
    leat__buffer_u8(bytes, LEAT__EXCHANGE_DATA);
    leat__buffer_u32(bytes, delivery->outlet->to->edge_ids[delivery->edge_number]);
    leat__buffer_zigzag(bytes, element->timestamp_ms);
    leat__binary_append(bytes, delivery->edge->type, element->record);
}

leat_status leat__outlet_check(void *arg, const leat__element *element, bool large,
                               leat_error *error)
{
    const leat__delivery *delivery = arg;
    if (!large)
        return LEAT_OK;
    leat__buffer *bytes = &delivery->task->bundle->bytes;
    size_t before = bytes->length;
    append_data(delivery, element);
    size_t size = bytes->length - before + 1 + element->key.length;
    bytes->length = before;
    return size <= LEAT__RECORD_BYTES_MAX
               ? LEAT_OK
               : leat__too_big(delivery->outlet->to->topic, element->key, size, error);
}

leat_status leat__outlet_deliver(void *arg, const leat__element *element)
{
    leat__delivery *delivery = arg;
    leat__task *task = delivery->task;
    const leat__repartition *to = delivery->outlet->to;
    uint32_t partition = delivery->edge->exchange == LEAT__EXCHANGE_HASH
                             ? leat__partition_of(element->key, to->partition_count)
                             : task->partition % to->partition_count;
    leat__out_record *record = begin_record(task, to, partition, element->key);
    append_data(delivery, element);
    end_record(task, record);
    delivery->outlet->told[partition].data = true;
    if (record->key_length + (size_t)record->value_length > LEAT__RECORD_BYTES_MAX)
        return leat__bundle_too_big(task, to->topic, element->key,
                                    record->key_length + (size_t)record->value_length);
    return LEAT_OK;
}

/* ------------------------------------------------------------------ time */

static uint8_t state_of(const leat__task *task)
{
    if (task->face.watermark_ms == LEAT_TIME_MAX)
        return LEAT__SENDER_ENDED;
    if (task->stopped)
        return LEAT__SENDER_STOPPED;
    return task->told_idle ? LEAT__SENDER_IDLE : LEAT__SENDER_ACTIVE;
}

/* When this partition is to be told; INT64_MAX: it knows. */
static int64_t due_us(const leat__task *task, const told *t, uint8_t state)
{
    if (state != t->state)
        return INT64_MIN;
    if (state == LEAT__SENDER_ENDED || state == LEAT__SENDER_STOPPED)
        return t->at_us + END_INTERVAL_US;
    if (task->kept_watermark_ms == t->watermark_ms)
        return INT64_MAX;
    if (task->run->tells_at_once)
        return INT64_MIN;
    return t->at_us + (t->data ? DATA_INTERVAL_US : QUIET_INTERVAL_US);
}

static void compute_due(const leat__task *task, leat__outlet *outlet)
{
    uint8_t state = state_of(task);
    outlet->due_us = INT64_MAX;
    outlet->seen_ms = task->face.watermark_ms;
    outlet->seen_state = state;
    for (uint32_t p = 0; p < outlet->to->partition_count; p++) {
        int64_t due = due_us(task, &outlet->told[p], state);
        if (due < outlet->due_us)
            outlet->due_us = due;
    }
}

void leat__outlets_look(leat__task *task)
{
    uint8_t state = state_of(task);
    for (size_t i = 0; i < task->outlet_count; i++) {
        leat__outlet *outlet = task->outlets[i];
        if (outlet->seen_ms != task->face.watermark_ms || outlet->seen_state != state)
            compute_due(task, outlet);
        if (outlet->due_us != INT64_MAX && outlet->due_us <= now_us(task))
            leat__task_touch(task);
    }
}

int64_t leat__outlets_due_us(const leat__task *task)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < task->outlet_count; i++)
        if (task->outlets[i]->due_us < due)
            due = task->outlets[i]->due_us;
    return due;
}

static bool receives_from(const leat__sender_stage *sender, const leat__repartition *to,
                          uint32_t partition, uint32_t from)
{
    return !sender->forward || from % to->partition_count == partition;
}

static void tell(leat__task *task, leat__outlet *outlet, const leat__sender_stage *sender,
                 int64_t now)
{
    uint8_t state = state_of(task);
    leat__buffer *bytes = &task->bundle->bytes;
    for (uint32_t p = 0; p < outlet->to->partition_count; p++) {
        told *t = &outlet->told[p];
        if (due_us(task, t, state) > now)
            continue;
        *t = (told){.watermark_ms = task->kept_watermark_ms, .at_us = now, .state = state};
        if (!receives_from(sender, outlet->to, p, task->partition))
            continue;
        leat__out_record *record = begin_record(task, outlet->to, p, (leat_str){0});
        leat__buffer_u8(bytes, LEAT__EXCHANGE_TIME);
        leat__buffer_u32(bytes, sender->id);
        leat__buffer_varint(bytes, task->partition);
        leat__buffer_u8(bytes, state);
        leat__buffer_zigzag(bytes, task->kept_watermark_ms);
        end_record(task, record);
    }
}

void leat__outlets_seal(leat__task *task)
{
    leat__outlets_look(task); /* it may be the last epoch */
    for (size_t i = 0; i < task->outlet_count && task->touched; i++) {
        leat__outlet *outlet = task->outlets[i];
        const leat__repartition *to = outlet->to;
        for (size_t s = 0; s < to->sender_count; s++)
            if (to->senders[s].stage == task->stage->number)
                tell(task, outlet, &to->senders[s], now_us(task));
        compute_due(task, outlet);
    }
}
