/* engine/source.c - where a task's records come from: a log partition, a generator, an array.
 *
 *   poll ─► decode ─► element ─► operators       one batch; then time, then the channels
 *     └ the offset moves with each record; the barrier writes it into the epoch's bundle
 *
 * A record that does not decode follows the source's error policy (R19). An array is a generator
 * over its elements; both keep their position as the committed offset of a topic without records,
 * "JOB-NAME-position".
 */
#include "base/error.h"
#include "base/mem.h"
#include "engine/run.h"
#include "record/codec.h"
#include <inttypes.h>
#include <stdlib.h>

/* one poll: amortises the call, bounds the time to the next barrier check */
enum { POLL_RECORDS = 256 };

static bool is_log(const leat__source *source)
{
    return source->node->kind == LEAT__NODE_SOURCE_LOG;
}

static void wake_worker(void *worker)
{
    leat__doorbell_ring(&((leat__worker *)worker)->bell);
}

/* The committed position; without one the beginning. The metadata holds the highest event time
 * seen, so that time does not start anew. */
static leat_status load_position(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    leat_log_offset committed;
    leat_status status =
        leat_log_committed(task->run->member, source->topic, task->partition, &committed, error);
    if (status != LEAT_OK)
        return status;
    atomic_store(&task->committed_offset, committed.offset < 0 ? 0 : committed.offset);
    /* R16: a seal may be ahead */
    if (committed.offset > source->offset)
        source->offset = committed.offset;
    char text[32] = "";
    if (committed.metadata.length != 0 && committed.metadata.length < sizeof(text)) {
        memcpy(text, committed.metadata.data, committed.metadata.length);
        leat__watermark_record(&source->time.watermark, strtoll(text, NULL, 10), NULL);
    }
    if (source->sealed_timestamp_ms != LEAT_TIME_MIN)
        leat__watermark_record(&source->time.watermark, source->sealed_timestamp_ms, NULL);
    int64_t watermark_ms = leat__watermark_now(&source->time.watermark);
    if (watermark_ms > task->face.watermark_ms)
        task->face.watermark_ms = watermark_ms;
    return LEAT_OK;
}

/* The end never goes back, so a position behind it is another topic's of the same name. */
static leat_status past_the_end(const leat__task *task, int64_t end, leat_error *error)
{
    const leat__source *source = task->source;
    return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, source->topic,
                      "partition %" PRIu32 " ends at %" PRId64
                      " but this job has read up to %" PRId64
                      ": the topic was deleted and made again; use a new job name",
                      task->partition, end, source->offset);
}

static leat_status open_log(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    leat__run *run = task->run;
    int64_t begin, end;
    leat_status status =
        leat_log_bounds(run->log, source->topic, task->partition, &begin, &end, error);
    if (status != LEAT_OK)
        return status;
    const int64_t *ends = run->until_end[source->node->id];
    if (ends != NULL)
        source->end_offset = ends[task->partition];
    if (source->offset > end)
        return past_the_end(task, end, error);
    if (source->offset < begin)
        source->offset = begin;
    status = leat_log_reader_new(run->log, wake_worker, &run->workers[task->worker],
                                 &source->reader, error);
    if (status != LEAT_OK)
        return status;
    source->json = leat_json_decoder_new();
    return leat_log_reader_seek(source->reader, source->topic, task->partition, source->offset,
                                error);
}

leat_status leat__source_open(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    const leat__node *node = source->node;
    int64_t bound = node->kind == LEAT__NODE_SOURCE_LOG         ? node->as.log.out_of_order_ms
                    : node->kind == LEAT__NODE_SOURCE_GENERATOR ? node->as.generator.out_of_order_ms
                                                                : node->as.array.out_of_order_ms;
    leat__partition_time_init(&source->time, &(leat__watermark_opts){.out_of_order_ms = bound},
                              is_log(source) ? node->as.log.idle_ms : 0,
                              task->run->env->now_ms(task->run->env->arg));
    source->end_offset = INT64_MAX;
    source->source_spec = (leat__op_spec){.name = node->name}; /* a decoder emits nothing */
    if (is_log(source))
        source->source_spec.on_error = node->as.log.on_error;
    source->decode_op.spec = &source->source_spec;
    source->decode_op.ctx = (struct leat_ctx){.task = &task->face, .spec = &source->source_spec};
    leat_status status = load_position(task, error);
    if (status != LEAT_OK || !is_log(source))
        return status;
    return open_log(task, error);
}

void leat__source_close(leat__source *source)
{
    if (source == NULL)
        return;
    leat_log_reader_free(source->reader);
    leat_json_decoder_free(source->json);
    leat__free(source->decode_op.ctx.emitted);
    leat__free(source);
}

static leat_status push_root(leat__task *task, const leat__element *element)
{
    for (size_t i = 0; i < task->root.target_count; i++) {
        const leat__target *target = &task->root.targets[i];
        leat_status status = target->op != NULL ? leat__op_push(target->op, element)
                                                : target->deliver(target->arg, element);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static int64_t event_time(const leat__source *source, const void *record, int64_t otherwise)
{
    const leat_field *field = source->node->time_field;
    if (field == NULL)
        return otherwise;
    int64_t time_ms;
    memcpy(&time_ms, (const char *)record + field->offset_bytes, sizeof(time_ms));
    return time_ms;
}

static leat_status push_record(leat__task *task, const void *record, int64_t timestamp_ms,
                               const leat_log_record *origin)
{
    leat__source *source = task->source;
    task->counters.in++;
    leat__partition_time_record(&source->time, task->face.clock_ms, timestamp_ms, record);
    const leat__element element = {
        .record = record, .timestamp_ms = timestamp_ms, .origin = origin};
    return push_root(task, &element);
}

static leat_status decode(leat__task *task, const leat_log_record *in, void *record,
                          leat_error *error)
{
    leat__source *source = task->source;
    const leat_log_source *config = &source->node->as.log;
    const leat_type *type = source->node->type;
    leat_ctx *ctx = &source->decode_op.ctx;
    if (in->value.data == NULL)
        return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, source->node->name,
                          "the record has no value");
    if (config->decode != NULL) {
        const leat__element element = {.timestamp_ms = in->timestamp_ms, .origin = in};
        ctx->element = &element;
        ctx->now_ms = in->timestamp_ms;
        ctx->failed = false;
        leat_status status = config->decode(ctx, in, record, config->decode_arg);
        ctx->element = NULL;
        if (status != LEAT_OK && !ctx->failed)
            (void)leat_fail(ctx, status, "the record could not be decoded");
        if (ctx->failed)
            *error = ctx->error;
        return ctx->failed ? ctx->error.status : LEAT_OK;
    }
    if (config->format == LEAT_JSON)
        return leat__json_decode_into(source->json, &task->scratch, type, in->value,
                                      LEAT__STRINGS_IN_INPUT, record, error);
    return leat__binary_decode_into(&task->scratch, type, in->value, LEAT__STRINGS_IN_INPUT, record,
                                    error);
}

static leat_status log_record(leat__task *task, const leat_log_record *in)
{
    leat__source *source = task->source;
    void *record = leat__arena_alloc(&task->scratch, source->node->type->size_bytes);
    memset(record, 0, source->node->type->size_bytes);
    leat_error error = {0};
    if (decode(task, in, record, &error) == LEAT_OK)
        return push_record(task, record, event_time(source, record, in->timestamp_ms), in);
    (void)snprintf(error.where, sizeof(error.where), "%s", source->node->name);
    const leat__element element = {.timestamp_ms = in->timestamp_ms, .origin = in};
    return leat__task_failed(task, &source->decode_op, &element, &error);
}

/* Has everything below end_offset been read? Gaps hold no record, so the reader is asked too. */
static leat_status look_for_end(leat__task *task, bool beyond, leat_error *error)
{
    leat__source *source = task->source;
    int64_t position = source->offset;
    leat_status status =
        leat_log_reader_position(source->reader, source->topic, task->partition, &position, error);
    /* what lies beyond the end was not processed: the next run begins there */
    if (beyond || position >= source->end_offset)
        position = source->end_offset;
    if (position > source->offset)
        source->offset = position;
    source->ended = source->offset >= source->end_offset;
    return status;
}

/* A failed push leaves the offset at the record that failed: it stays unread. */
static bool run_log(leat__task *task)
{
    leat__source *source = task->source;
    leat_log_record records[POLL_RECORDS];
    size_t count = 0;
    leat_error error = {0};
    leat_status status =
        leat_log_reader_poll(source->reader, records, POLL_RECORDS, &count, &error);
    if (status != LEAT_OK) {
        leat__run_fail(task->run, &error);
        return false;
    }
    if (count != 0)
        leat__task_touch(task);
    size_t i = 0;
    for (; i < count && records[i].offset < source->end_offset; i++) {
        if (log_record(task, &records[i]) != LEAT_OK)
            return false;
        source->offset = records[i].offset + 1;
        leat__arena_reset(&task->scratch);
    }
    if (source->end_offset != INT64_MAX && look_for_end(task, i < count, &error) != LEAT_OK)
        leat__run_fail(task->run, &error);
    return count != 0;
}

static bool generate(leat__source *source, uint32_t partition, void *record)
{
    if (source->node->kind == LEAT__NODE_SOURCE_GENERATOR) {
        const leat_generator *generator = &source->node->as.generator;
        return generator->generate(generator->arg, partition, (uint64_t)source->offset, record);
    }
    const leat_array *array = &source->node->as.array;
    if ((size_t)source->offset >= array->count)
        return false;
    size_t bytes = source->node->type->size_bytes;
    memcpy(record, (const char *)array->records + (size_t)source->offset * bytes, bytes);
    return true;
}

static bool run_generator(leat__task *task)
{
    leat__source *source = task->source;
    const leat_type *type = source->node->type;
    for (size_t i = 0; i < POLL_RECORDS; i++) {
        void *record = leat__arena_alloc(&task->scratch, type->size_bytes);
        memset(record, 0, type->size_bytes);
        if (!generate(source, task->partition, record)) {
            source->ended = true;
            return true;
        }
        leat__task_touch(task);
        leat_log_record origin = {
            .topic = source->topic, .partition = task->partition, .offset = source->offset};
        origin.timestamp_ms = event_time(source, record, source->offset);
        if (push_record(task, record, origin.timestamp_ms, &origin) != LEAT_OK)
            return false;
        source->offset++;
        leat__arena_reset(&task->scratch);
    }
    return true;
}

bool leat__source_run(leat__task *task)
{
    leat__source *source = task->source;
    bool busy = is_log(source) ? run_log(task) : run_generator(task);
    if (source->ended) {
        leat__watermark_end(&source->time.watermark); /* W5 */
        atomic_fetch_add(&task->run->ended_sources, 1);
    }
    return busy;
}
