/* engine/exchange_receive.c - a receiver's side of the exchange through the log.
 *
 *   repartition topic ─► data ─► group of 32 ─► its operator      keys are given: their state is
 *                    └─► time ─► valve ─► timers ─► onward        fetched ahead
 *                                  └ an input per sender partition (W3, W4)
 *
 * The committed offset's metadata says what the senders have told up to it, behind the columns that
 * each source has (source.c), of which the time is the receiver's own watermark:
 *
 *   "... 9f3c21d0:0,rs,~,~5k 04aa10ee:2s"
 *        │        └ per sender partition: its watermark less the receiver's, base 36; empty: below
 *        │          it, whatever it is (it has to catch up, W4); ~ idle
 *        └ sending stage
 *
 * The end of a sender, or that it has stopped, is valid only in the run that it belongs to: senders
 * that start again tell it anew, so what lies in the topic from before this receiver opened it is
 * an older run's. It is not kept: a later run goes on from where time really was.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "engine/suspects.h"
#include "record/codec.h"
#include <inttypes.h>
#include <stdlib.h>

/* as a source's: one poll bounds the time to the next barrier check, a group the cache misses */
enum { POLL_RECORDS = 256, GROUP_RECORDS = 32, SENDER_DIGITS = 8 };

typedef struct input {    /* a sender partition */
    int64_t watermark_ms; /* what it has told, but not the end */
    bool ended;           /* MAX in the valve */
    bool stopped;         /* nothing more in this run, time stays where it is (W5) */
} input;

struct leat__inlet {
    const leat__repartition *from;
    uint32_t partition;
    input *inputs;
    size_t input_count, ended_count; /* ended or stopped */
    leat__buffer metadata;           /* of the committed offset, ends with NUL; empty: none */
    int64_t live_from;               /* ends told before this offset are an older run's */
};

typedef struct waiting {
    const leat__target *target;
    leat__element element;
} waiting;

typedef struct group {
    size_t count;
    waiting records[GROUP_RECORDS];
} group;

/* ------------------------------------------------------------------ senders and inputs */

static uint32_t inputs_of(const leat__sender_stage *sender, uint32_t receivers, uint32_t partition)
{
    if (!sender->forward)
        return sender->partition_count;
    if (partition >= sender->partition_count)
        return 0;
    return (sender->partition_count - partition + receivers - 1) / receivers;
}

leat__inlet *leat__inlet_new(const leat__repartition *from, uint32_t partition)
{
    leat__inlet *inlet = leat__calloc(1, sizeof(*inlet));
    inlet->from = from;
    inlet->partition = partition;
    for (size_t s = 0; s < from->sender_count; s++)
        inlet->input_count += inputs_of(&from->senders[s], from->partition_count, partition);
    inlet->inputs = leat__calloc(inlet->input_count + 1, sizeof(input));
    for (size_t i = 0; i < inlet->input_count; i++)
        inlet->inputs[i].watermark_ms = LEAT_TIME_MIN;
    return inlet;
}

void leat__inlet_free(leat__inlet *inlet)
{
    if (inlet == NULL)
        return;
    leat__buffer_free(&inlet->metadata);
    leat__free(inlet->inputs);
    leat__free(inlet);
}

size_t leat__inlet_inputs(const leat__inlet *inlet)
{
    return inlet->input_count;
}

/* The inputs that a sending stage has in the valve; NULL: the job has no such stage (any more). */
static const leat__sender_stage *inputs_at(const leat__inlet *inlet, uint32_t sender_id,
                                           size_t *first, size_t *count)
{
    *first = 0;
    for (size_t s = 0; s < inlet->from->sender_count; s++, *first += *count) {
        const leat__sender_stage *sender = &inlet->from->senders[s];
        *count = inputs_of(sender, inlet->from->partition_count, inlet->partition);
        if (sender->id == sender_id)
            return sender;
    }
    *count = 0; /* of a source that was renamed or removed */
    return NULL;
}

/* ------------------------------------------------------------------ metadata */

static void append_base36(leat__buffer *text, uint64_t number)
{
    char digits[13];
    size_t count = 0;
    do
        digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    while ((number /= 36) != 0);
    while (count != 0)
        leat__buffer_u8(text, (uint8_t)digits[--count]);
}

void leat__inlet_senders(const leat__task *task, leat__buffer *text)
{
    const leat__inlet *inlet = task->source->inlet;
    int64_t base_ms = task->kept_watermark_ms;
    size_t next = 0;
    text->length = 0;
    for (size_t s = 0; s < inlet->from->sender_count; s++) {
        const leat__sender_stage *sender = &inlet->from->senders[s];
        uint32_t count = inputs_of(sender, inlet->from->partition_count, inlet->partition);
        leat__buffer_format(text, " %08" PRIx32 ":", sender->id);
        for (uint32_t i = 0; i < count; i++, next++) {
            const input *from = &inlet->inputs[next];
            if (i != 0)
                leat__buffer_u8(text, ',');
            if (task->valve.inputs[next].idle)
                leat__buffer_u8(text, '~');
            if (from->watermark_ms >= base_ms)
                append_base36(text, (uint64_t)from->watermark_ms - (uint64_t)base_ms);
            else if (from->ended) /* others went on without it: it holds time where it is now */
                append_base36(text, 0);
        }
    }
}

/* "0,rs,~,~5k": reads what one stage's partitions had told. */
static char *read_stage(leat__task *task, char *text, uint32_t sender_id, int64_t base_ms)
{
    leat__inlet *inlet = task->source->inlet;
    size_t first, count = 0;
    (void)inputs_at(inlet, sender_id, &first, &count);
    for (size_t place = 0;; place++, text++) {
        bool idle = *text == '~';
        text += idle;
        bool told = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z');
        uint64_t ahead_ms = told ? strtoull(text, &text, 36) : 0;
        if (place < count) {
            int64_t told_ms = told ? (int64_t)((uint64_t)base_ms + ahead_ms) : LEAT_TIME_MIN;
            told_ms = leat__clock_clamp_watermark(task, told_ms);
            inlet->inputs[first + place].watermark_ms = told_ms;
            leat__valve_restore(&task->valve, first + place, told_ms, idle);
        }
        if (*text != ',')
            return text;
    }
}

void leat__inlet_committed(leat__inlet *inlet, leat_str metadata)
{
    inlet->metadata.length = 0;
    if (metadata.length == 0)
        return;
    leat__buffer_bytes(&inlet->metadata, metadata.data, metadata.length);
    leat__buffer_u8(&inlet->metadata, 0);
}

/* The other columns were read with the offset (source.c). */
static void read_senders(leat__task *task)
{
    char *next = task->source->inlet->metadata.data;
    int64_t base_ms = task->source->committed_timestamp_ms;
    while (*next != '\0') {
        size_t hex = strspn(next, "0123456789abcdef");
        if (hex == SENDER_DIGITS && next[hex] == ':')
            next = read_stage(task, next + hex + 1, (uint32_t)strtoul(next, NULL, 16), base_ms);
        next += strcspn(next, " ");
        next += *next == ' ';
    }
}

/* ------------------------------------------------------------------ opening */

/* Time goes on where it stood. Senders of which nothing is known count as standing there too: they
 * hold it until they are heard. */
static void load_time(leat__task *task)
{
    leat__inlet *inlet = task->source->inlet;
    const leat__source *source = task->source;
    if (source->committed_timestamp_ms > task->face.watermark_ms || /* of the seal */
        (source->committed_epoch != 0 && source->committed_epoch >= source->sealed_epoch))
        task->face.watermark_ms = source->committed_timestamp_ms;
    leat__valve_begin_at(&task->valve, task->face.watermark_ms);
    if (inlet->metadata.length != 0)
        read_senders(task);
    for (size_t i = 0; i < inlet->input_count; i++)
        if (inlet->inputs[i].watermark_ms == LEAT_TIME_MIN)
            inlet->inputs[i].watermark_ms = task->valve.inputs[i].watermark_ms;
}

static leat_status check_place(const leat__task *task, int64_t begin, int64_t end,
                               leat_error *error)
{
    const leat__source *source = task->source;
    char remedy[LEAT__REMEDY_BYTES];
    if (source->offset > end)
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, source->topic,
                          "partition %" PRIu32 " ends at %" PRId64
                          " but this job has read up to %" PRId64
                          ": the topic was deleted and made again; %s",
                          task->partition, end, source->offset, leat__remedy(task->run, remedy));
    if (source->offset < begin)
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, source->topic,
                          "partition %" PRIu32 ": records %" PRId64 " to %" PRId64
                          " were deleted before they were read, the job stood still for too long; "
                          "%s",
                          task->partition, source->offset, begin - 1,
                          leat__remedy(task->run, remedy));
    return LEAT_OK;
}

static void wake_worker(void *worker)
{
    leat__doorbell_ring(&((leat__worker *)worker)->bell);
}

leat_status leat__inlet_open(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    leat__run *run = task->run;
    int64_t begin, end;
    leat_status status = leat__ask_bounds(run, "the bounds of an exchange", source->topic,
                                          task->partition, &begin, &end, error);
    if (status != LEAT_OK)
        return status;
    if (source->committed_offset < 0 && source->offset == 0)
        source->offset = begin; /* nothing was read yet */
    source->inlet->live_from = end;
    load_time(task);
    status = check_place(task, begin, end, error);
    if (status == LEAT_OK)
        status = leat_log_reader_new(run->log, wake_worker, &run->workers[task->worker],
                                     &source->reader, error);
    if (status == LEAT_OK)
        status = leat_log_reader_seek(source->reader, source->topic, task->partition,
                                      source->offset, error);
    return status == LEAT_OK ? leat__source_check_topic(task, error) : status;
}

/* ------------------------------------------------------------------ data */

/* A failed push leaves the offset at the record that failed: it stays unread. */
static bool push_group(leat__task *task, group *g)
{
    uint64_t hashes[GROUP_RECORDS];
    bool ok = true;
    for (size_t i = 0; i < g->count; i++)
        hashes[i] = g->records[i].element.key_hash;
    if (task->face.store != NULL && g->count != 0)
        leat__store_prefetch(task->face.store, hashes, g->count);
    for (size_t i = 0; i < g->count && ok; i++) {
        const leat__element *element = &g->records[i].element;
        ok = leat__task_take(task, g->records[i].target, element) == LEAT_OK;
        if (ok)
            task->source->offset = element->origin->offset + 1;
    }
    g->count = 0;
    leat__arena_reset(&task->scratch);
    return ok;
}

static bool damaged(leat__task *task, const leat_log_record *in, leat_status status,
                    const char *what)
{
    leat_error error;
    (void)leat__fail(&error, status, LEAT_RECOVERY_FATAL, task->source->topic,
                     "partition %" PRIu32 ", offset %" PRId64 ": %s", in->partition, in->offset,
                     what);
    leat__run_fail(task->run, &error);
    return false;
}

/* P3: what this job sends lies where its key says; anything else is another's. */
static inline bool is_placed(const leat__task *task, uint32_t edge, leat_str key)
{
    return task->run->graph->plan.edges[edge].exchange != LEAT__EXCHANGE_HASH ||
           leat__partition_of(key, task->source->inlet->from->partition_count) == task->partition;
}

static bool misplaced(leat__task *task, const leat_log_record *in)
{
    const leat__repartition *from = task->source->inlet->from;
    char what[320];
    int length = in->key.length < 60 ? (int)in->key.length : 60;
    (void)snprintf(what, sizeof(what),
                   "key '%.*s' belongs in partition %" PRIu32 " of %" PRIu32
                   ", not here (P3): only this job may write to this topic; stop whoever else "
                   "does, and use a new job name",
                   length, in->key.data == NULL ? "" : in->key.data,
                   leat__partition_of(in->key, from->partition_count), from->partition_count);
    return damaged(task, in, LEAT_ECORRUPT, what);
}

/* By the policy of the operator that it is for. */
static bool put_aside(leat__task *task, const waiting *taken, const leat_error *error)
{
    leat__op *op = taken->target->op != NULL ? taken->target->op : &task->source->decode_op;
    if (leat__task_failed(task, op, &taken->element, error) != LEAT_OK)
        return false;
    task->source->offset = taken->element.origin->offset + 1;
    return true;
}

/* The record points into `in`, which lives until the next poll. */
static bool take_data(leat__task *task, group *g, leat_log_record *in, leat__reader *reader,
                      uint8_t format)
{
    uint32_t edge =
        leat__edge_of(task->run, task->source->inlet->from, format, leat__read_u32(reader));
    int64_t timestamp_ms = leat__read_zigzag(reader);
    if (reader->failed)
        return damaged(task, in, LEAT_ECORRUPT, "the record ends too early");
    if (edge == UINT32_MAX)
        return damaged(task, in, LEAT_EVERSION,
                       "a record for an operator or of a type that the job had before; let the "
                       "former version come to its end, then start this one");
    if (!is_placed(task, edge, in->key))
        return misplaced(task, in);
    const leat_type *type = task->run->graph->plan.edges[edge].type;
    void *record = leat__arena_alloc(&task->scratch, type->size_bytes);
    leat_str bytes = {reader->next, (size_t)(reader->end - reader->next)};
    leat_error error = {0};
    memset(record, 0, type->size_bytes);
    if (leat__binary_decode_into(&task->scratch, type, bytes, LEAT__STRINGS_IN_INPUT, record,
                                 &error) != LEAT_OK)
        return damaged(task, in, LEAT_ECORRUPT, error.message);
    in->value = (leat_str){0}; /* nobody reads it: dead letters show the record itself */
    const waiting taken = {.target = &task->edge_target[edge],
                           .element = {.record = record,
                                       .timestamp_ms = timestamp_ms,
                                       .key = in->key,
                                       .key_hash = in->key.data == NULL
                                                       ? 0
                                                       : leat__hash64(in->key.data, in->key.length),
                                       .origin = in}};
    if (leat__suspects_is_guilty(task, in->offset, &error)) /* R19; it is alone, g is empty */
        return put_aside(task, &taken, &error);
    g->records[g->count++] = taken;
    return g->count < GROUP_RECORDS || push_group(task, g);
}

/* ------------------------------------------------------------------ time */

/* Puts what a sender has told into the valve; true: read the valve. */
static bool tell_valve(leat__task *task, size_t i, uint8_t state, int64_t watermark_ms)
{
    leat__inlet *inlet = task->source->inlet;
    input *from = &inlet->inputs[i];
    bool news = false;
    if (watermark_ms > from->watermark_ms)
        from->watermark_ms = watermark_ms;
    if (from->ended && state != LEAT__SENDER_ENDED) { /* it has started again */
        from->ended = false;
        inlet->ended_count--;
        if (from->watermark_ms < task->valve.output_ms) /* others went on without it */
            from->watermark_ms = task->valve.output_ms;
        leat__valve_restore(&task->valve, i, from->watermark_ms, false);
        news = true;
    }
    if (from->stopped && state != LEAT__SENDER_STOPPED) {
        from->stopped = false;
        inlet->ended_count--;
    }
    if (state == LEAT__SENDER_STOPPED) { /* one that was idle stays so */
        if (watermark_ms > task->valve.inputs[i].watermark_ms)
            news |= leat__valve_watermark(&task->valve, i, watermark_ms);
        inlet->ended_count += !from->stopped;
        from->stopped = true;
        return news;
    }
    news |= leat__valve_watermark(&task->valve, i, watermark_ms);
    if (state == LEAT__SENDER_IDLE)
        news |= leat__valve_idle(&task->valve, i);
    if (state == LEAT__SENDER_ENDED && !from->ended) {
        from->ended = true;
        inlet->ended_count++;
        news |= leat__valve_watermark(&task->valve, i, LEAT_TIME_MAX);
    }
    return news;
}

static bool take_time(leat__task *task, const leat_log_record *in, leat__reader *reader)
{
    leat__inlet *inlet = task->source->inlet;
    uint32_t sender_id = leat__read_u32(reader);
    uint64_t partition = leat__read_varint(reader);
    uint8_t state = leat__read_u8(reader);
    int64_t watermark_ms = leat__read_zigzag(reader);
    if (reader->failed || state > LEAT__SENDER_STOPPED)
        return damaged(task, in, LEAT_ECORRUPT, "not a time record");
    /* W7: one that was written before its sender's time began again at the clock */
    watermark_ms = leat__clock_clamp_watermark(task, watermark_ms);
    task->source->offset = in->offset + 1;
    size_t first, count;
    const leat__sender_stage *sender = inputs_at(inlet, sender_id, &first, &count);
    if (sender != NULL && sender->forward)
        partition /= inlet->from->partition_count;
    if (sender == NULL || partition >= count)
        return true; /* one that the job has no more */
    if (state >= LEAT__SENDER_ENDED && (in->offset < inlet->live_from || !sender->may_end))
        state = LEAT__SENDER_ACTIVE;
    return !tell_valve(task, first + (size_t)partition, state, watermark_ms) ||
           leat__pass_time(task, task->valve.output_ms, task->valve.idle);
}

/* ------------------------------------------------------------------ one turn */

static bool take(leat__task *task, group *g, leat_log_record *in)
{
    leat__reader reader = leat__reader_of(in->value);
    uint8_t format = in->value.data == NULL ? 0 : leat__read_u8(&reader);
    if (format == 0 || format > LEAT__EXCHANGE_FORMAT) /* R26: N reads N - 1 */
        return damaged(task, in, LEAT_EVERSION,
                       "an unknown format; run the version that wrote it (R26)");
    uint8_t kind = leat__read_u8(&reader);
    if (kind == LEAT__EXCHANGE_DATA && !reader.failed)
        return take_data(task, g, in, &reader, format);
    if (kind != LEAT__EXCHANGE_TIME || reader.failed)
        return damaged(task, in, LEAT_ECORRUPT, "not a record of an exchange");
    return push_group(task, g) &&
           take_time(task, in, &reader); /* time comes after what was before */
}

bool leat__inlet_run(leat__task *task, size_t most)
{
    leat__source *source = task->source;
    const leat__inlet *inlet = source->inlet;
    leat_log_record records[POLL_RECORDS];
    size_t count = 0;
    leat_error error = {0};
    if (leat_log_reader_poll(source->reader, records, most, &count, &error) != LEAT_OK) {
        leat__run_fail(task->run, &error);
        return false;
    }
    leat__suspects_reading(task, records, count);
    if (count != 0)
        leat__task_touch(task);
    group g;
    g.count = 0;
    for (size_t i = 0; i < count && !source->ended; i++) {
        if (!take(task, &g, &records[i]))
            return false;
        source->ended = inlet->ended_count == inlet->input_count; /* W5 */
    }
    if (!push_group(task, &g))
        return false;
    bool moved = task->valve.output_ms > task->face.watermark_ms;
    if ((moved || task->valve.idle != task->told_idle) && /* as the senders had told before */
        !leat__pass_time(task, task->valve.output_ms, task->valve.idle))
        return false;
    leat__backlog_read(task, count == 0);
    return count != 0;
}
