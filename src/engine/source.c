/* engine/source.c - where a task's records come from: a log partition, a generator, an array.
 *
 *   poll ─► decode ─► group of 32 ─► element ─► operators     then time, then the channels
 *                       └ keys found, their state fetched ahead
 *   the offset moves with each record pushed; the barrier writes it into the epoch's bundle
 *
 * A record that does not decode follows the source's error policy (R19). An array is a generator
 * over its elements; both keep their position as the committed offset of a topic without records,
 * "JOB-NAME-position".
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "engine/suspects.h"
#include "log/driver.h"
#include "record/codec.h"
#include "record/keys.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* one poll: amortises the call, bounds the time to the next barrier check; a group: as many cache
 * misses as a core has under way at once */
enum { POLL_RECORDS = 256, GROUP_RECORDS = 32 };
static_assert(POLL_RECORDS % GROUP_RECORDS == 0, "a poll ends with a whole group");

typedef struct pending { /* decoded, not yet pushed */
    void *record;
    const leat_log_record *origin; /* NULL: generated */
    int64_t timestamp_ms, next_offset;
    leat_str key; /* when it is known ahead */
    uint64_t key_hash;
    char text[LEAT__KEY_TEXT_BYTES];
} pending;

typedef struct group {
    size_t count;
    pending records[GROUP_RECORDS];
} group;

static bool is_log(const leat__source *source)
{
    return source->node->kind == LEAT__NODE_SOURCE_LOG;
}

static void wake_worker(void *worker)
{
    leat__doorbell_ring(&((leat__worker *)worker)->bell);
}

/* The metadata of an offset: "3 TIME EPOCH FLAGS iTOPIC", behind an exchange with what the senders
 * have told. FLAGS: "-", or "d" for drained (W5); TOPIC: the topic's id in hexadecimal. Before
 * there was "2 TIME EPOCH"; what was written before that, or by somebody else, is a time alone, or
 * nothing that we know. */
enum { OFFSET_FORMAT = 3, OFFSET_FORMAT_WITH_EPOCH = 2, OFFSET_FORMATS_MAX = 99 };
static const char topic_column[] = " i";

static leat_status read_metadata(leat__source *source, uint32_t partition, leat_str metadata,
                                 leat_error *error)
{
    char text[LEAT__OFFSET_METADATA_BYTES] = "", *next = text;
    size_t length = metadata.length < sizeof(text) ? metadata.length : sizeof(text) - 1;
    source->committed_timestamp_ms = LEAT_TIME_MIN;
    source->committed_epoch = 0;
    source->after_drain = false;
    source->committed_topic_id = 0;
    if (length == 0)
        return LEAT_OK;
    memcpy(text, metadata.data, length);
    int64_t first = strtoll(text, &next, 10);
    if (next == text)
        return LEAT_OK;
    if (first > OFFSET_FORMAT && first <= OFFSET_FORMATS_MAX && *next == ' ')
        return leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, source->topic,
                          "the offset of partition %" PRIu32 " was committed in format %" PRId64
                          ", this version reads up to %d; run the version that wrote it (R26)",
                          partition, first, OFFSET_FORMAT);
    source->committed_timestamp_ms = first;
    if (first < OFFSET_FORMAT_WITH_EPOCH || first > OFFSET_FORMAT || *next != ' ')
        return LEAT_OK;
    source->committed_timestamp_ms = strtoll(next, &next, 10);
    source->committed_epoch = strtoull(next, &next, 10);
    source->after_drain = first == OFFSET_FORMAT && strncmp(next, " d", 2) == 0;
    const char *id = strstr(next, topic_column);
    if (first == OFFSET_FORMAT && id != NULL)
        source->committed_topic_id = strtoull(id + sizeof(topic_column) - 1, NULL, 16);
    return LEAT_OK;
}

int leat__offset_metadata(char text[LEAT__OFFSET_METADATA_BYTES], int64_t timestamp_ms,
                          uint64_t epoch, bool drained, uint64_t topic_id)
{
    return snprintf(text, LEAT__OFFSET_METADATA_BYTES, "%d %" PRId64 " %" PRIu64 " %c%s%" PRIx64,
                    OFFSET_FORMAT, timestamp_ms, epoch, drained ? 'd' : '-', topic_column,
                    topic_id);
}

leat_status leat__source_take_committed(leat__task *task, int64_t offset, leat_str metadata,
                                        leat_error *error)
{
    leat__source *source = task->source;
    source->committed_offset = offset;
    leat_status status = read_metadata(source, task->partition, metadata, error);
    if (status == LEAT_OK && source->inlet != NULL)
        leat__inlet_committed(source->inlet, metadata);
    return status;
}

leat_status leat__source_committed(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    leat__run *run = task->run;
    leat_log_offset committed;
    leat_status status =
        leat__ask_committed(run, source->topic, task->partition, &committed, error);
    return status == LEAT_OK
               ? leat__source_take_committed(task, committed.offset, committed.metadata, error)
               : status;
}

/* R16: the positions were committed together with an epoch that the changelog has not. */
static leat_status ahead_of_state(const leat__task *task, leat_error *error)
{
    const leat__source *source = task->source;
    char remedy[LEAT__REMEDY_BYTES];
    leat__run_count_violation(task->run);
    return leat__fail(error, LEAT_EVIOLATION, LEAT_RECOVERY_FATAL, source->topic,
                      "partition %" PRIu32 " is committed up to %" PRId64 " with epoch %" PRIu64
                      ", but %.80s ends with epoch %" PRIu64
                      ": state was lost; %s (R16, leat_eos_violations_total)",
                      task->partition, source->committed_offset, source->committed_epoch,
                      task->changelog, task->sealed_epoch_before, leat__remedy(task->run, remedy));
}

/* Where time goes on, as far as a source's own offset or seal says it. */
static void take_time(leat__task *task)
{
    leat__source *source = task->source;
    int64_t committed_ms = source->committed_timestamp_ms;
    if (source->inlet != NULL) { /* a watermark there, see exchange_receive.c */
        source->committed_timestamp_ms = leat__clock_clamp_watermark(task, committed_ms);
        return;
    }
    leat__watermark *own = &source->time.watermark;
    leat__watermark_record(own, leat__clock_clamp(task, committed_ms, 0), NULL);
    /* a seal that is not newer may be of before time began again at the clock (W7) */
    bool newer = source->committed_epoch == 0 || source->committed_epoch < source->sealed_epoch;
    if (newer)
        leat__watermark_record(own, leat__clock_clamp(task, source->sealed_timestamp_ms, 0), NULL);
    int64_t watermark_ms = leat__watermark_now(own);
    if (!newer || watermark_ms > task->face.watermark_ms)
        task->face.watermark_ms = watermark_ms;
}

/* Where to go on: what the group committed, or what the state was sealed with (R16). Without
 * either at the beginning. */
leat_status leat__source_position(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    leat_guarantee guarantee = task->run->graph->opts.guarantee;
    int64_t committed = source->committed_offset;
    bool ahead = task->changelog != NULL && source->committed_epoch > task->sealed_epoch_before;
    if (ahead && guarantee == LEAT_EXACTLY_ONCE)
        return ahead_of_state(task, error);
    /* records come before offsets there: the seal may be of an epoch whose outputs are not whole */
    if (guarantee == LEAT_AT_LEAST_ONCE)
        source->offset = committed >= 0 ? committed : source->whole_offset;
    else if (committed > source->offset) /* else drop what lies below the seal */
        source->offset = committed;
    atomic_store(&task->committed_offset, committed < 0 ? 0 : committed);
    take_time(task);
    return LEAT_OK;
}

/* ------------------------------------------------------------------ the topic that was read */

typedef struct name_of_topic {
    const leat__source *source;
    leat_status status;
    leat_error *error;
} name_of_topic;

static uint64_t topic_id_of(leat_str metadata)
{
    leat__source read = {.topic = ""};
    return read_metadata(&read, 0, metadata, NULL) == LEAT_OK ? read.committed_topic_id : 0;
}

static bool names_it(void *arg, const leat_log_offset *offset)
{
    name_of_topic *asked = arg;
    const leat__source *source = asked->source;
    if (strcmp(offset->topic, source->topic) == 0 ||
        topic_id_of(offset->metadata) != source->sealed_topic_id)
        return true;
    asked->status = leat__fail(asked->error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, source->node->name,
                               "this job reads '%.100s', not '%.100s': its state is made of that "
                               "topic; give it the former one, or use another job name for this "
                               "one (R16)",
                               offset->topic, source->topic);
    return false;
}

/* The state was made of a topic whose name the job does not read any more: its name was changed,
 * which is no reason to give up anything. LEAT_OK: nothing is known of another name. */
static leat_status check_name(leat__task *task, leat_error *error)
{
    name_of_topic asked = {.source = task->source, .error = error};
    if (task->source->sealed_topic_id == 0)
        return LEAT_OK;
    leat_status status = leat_log_group_offsets(task->run->log, task->run->graph->opts.name,
                                                names_it, &asked, error);
    return status == LEAT_OK ? asked.status : status;
}

/* The end never goes back, so a position behind it is another topic's. */
static leat_status past_the_end(leat__task *task, int64_t end, leat_error *error)
{
    const leat__source *source = task->source;
    char remedy[LEAT__REMEDY_BYTES];
    leat_status status = source->committed_offset < 0 ? check_name(task, error) : LEAT_OK;
    return status != LEAT_OK
               ? status
               : leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, source->topic,
                            "partition %" PRIu32 " ends at %" PRId64
                            " but this job has read up to %" PRId64
                            ": the topic was deleted and made again; %s (R16)",
                            task->partition, end, source->offset, leat__remedy(task->run, remedy));
}

leat_status leat__source_check_topic(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    char remedy[LEAT__REMEDY_BYTES];
    uint64_t id = source->topic_id =
        leat__log_reader_topic_id(source->reader, source->topic, task->partition);
    uint64_t committed = source->committed_offset < 0 ? 0 : source->committed_topic_id;
    bool same = (committed == 0 || committed == id) &&
                (source->sealed_topic_id == 0 || source->sealed_topic_id == id);
    if (same || id == 0)
        return LEAT_OK;
    leat_status status = source->committed_offset < 0 ? check_name(task, error) : LEAT_OK;
    return status != LEAT_OK
               ? status
               : leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, source->topic,
                            "is not the topic of which this job has read partition %" PRIu32
                            " up to %" PRId64 ": it was deleted and made again; to read all of it "
                            "%s (R16)",
                            task->partition, source->offset, leat__remedy(task->run, remedy));
}

/* What was never read and is no more cannot be made good: the job goes on with what is there, and
 * says so. */
static void tell_lost(leat__task *task, uint64_t count, const char *when)
{
    const leat__source *source = task->source;
    leat__run_count_lost(task->run, count);
    leat__log_line(LEAT__ERROR, "source",
                   "%s partition %" PRIu32 ": offsets that this job had not read were deleted %s, "
                   "%" PRIu64 " of them; it goes on at the first that is left: retention is too "
                   "short for it (leat_records_lost_total)",
                   source->topic, task->partition, when, count);
}

static leat_status open_log(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    leat__run *run = task->run;
    int64_t begin, end;
    leat_status status = leat__ask_bounds(run, "the bounds of a source", source->topic,
                                          task->partition, &begin, &end, error);
    if (status != LEAT_OK)
        return status;
    const int64_t *ends = run->until_end[source->node->id];
    if (ends != NULL)
        source->end_offset = ends[task->partition];
    source->known_end = end;
    if (source->offset > end)
        return past_the_end(task, end, error);
    bool was_at_work = source->committed_offset >= 0 || source->offset > 0;
    if (source->offset < begin && was_at_work)
        tell_lost(task, (uint64_t)(begin - source->offset), "while it was away");
    if (source->offset < begin)
        source->offset = begin;
    status = leat_log_reader_new(run->log, wake_worker, &run->workers[task->worker],
                                 &source->reader, error);
    if (status != LEAT_OK)
        return status;
    source->json = leat_json_decoder_new();
    status =
        leat_log_reader_seek(source->reader, source->topic, task->partition, source->offset, error);
    return status == LEAT_OK ? leat__source_check_topic(task, error) : status;
}

/* The only thing that happens to a record is that it is keyed: then the key can be made here, and
 * the state of several keys be fetched at once instead of one cache miss after the other. */
static void look_ahead(leat__task *task)
{
    leat__op *op = task->root.target_count == 1 ? task->root.targets[0].op : NULL;
    if (op == NULL || op->spec->class != &leat__op_key_by)
        return;
    task->source->key_field = op->spec->config.key;
    op->key_given = true;
}

int64_t leat__source_out_of_order_ms(const leat__node *node)
{
    return node->kind == LEAT__NODE_SOURCE_LOG         ? node->as.log.out_of_order_ms
           : node->kind == LEAT__NODE_SOURCE_GENERATOR ? node->as.generator.out_of_order_ms
                                                       : node->as.array.out_of_order_ms;
}

leat_on_error leat__source_on_error(const leat__node *node)
{
    return node->kind == LEAT__NODE_SOURCE_LOG         ? node->as.log.on_error
           : node->kind == LEAT__NODE_SOURCE_GENERATOR ? node->as.generator.on_error
                                                       : node->as.array.on_error;
}

leat_status leat__source_open(leat__task *task, leat_error *error)
{
    leat__source *source = task->source;
    const leat__node *node = source->node;
    const leat__watermark_opts opts = {.out_of_order_ms = leat__source_out_of_order_ms(node)};
    leat__partition_time_init(&source->time, &opts, is_log(source) ? node->as.log.idle_ms : 0,
                              task->run->env->monotonic_us(task->run->env->arg) / 1000);
    source->end_offset = INT64_MAX;
    source->source_spec = (leat__op_spec){.name = node->name}; /* a decoder emits nothing */
    source->source_spec.on_error = leat__source_on_error(node);
    if (is_log(source))
        source->source_spec.arg = node->as.log.decode_arg;
    else
        source->source_spec.in = node->type; /* what a dead letter shows */
    source->decode_op.spec = &source->source_spec;
    source->decode_op.ctx = (struct leat_ctx){.task = &task->face, .spec = &source->source_spec};
    leat_status status = leat__source_position(task, error);
    if (status == LEAT_OK && source->inlet != NULL)
        status = leat__inlet_open(task, error);
    else if (status == LEAT_OK && is_log(source))
        status = open_log(task, error);
    if (source->inlet == NULL)
        look_ahead(task);
    if (status == LEAT_OK && source->reader != NULL)
        leat__suspects_begin(task);
    return status;
}

void leat__source_close(leat__source *source)
{
    if (source == NULL)
        return;
    leat_log_reader_free(source->reader);
    leat__inlet_free(source->inlet);
    leat_json_decoder_free(source->json);
    leat__free(source->decode_op.ctx.emitted);
    leat__free(source);
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

/* P1: is a record with the stage's key where that key belongs? No is not the last word. */
static inline bool is_placed(const leat__task *task, const pending *p)
{
    const leat__node *node = task->source->node;
    return node->partitioned_by == task->source->key_field && p->key.data != NULL &&
           leat__partition_of(p->key, task->run->source_partitions[node->id]) == task->partition;
}

static leat_status push_record(leat__task *task, const pending *p, const leat_log_record *origin)
{
    leat__source *source = task->source;
    bool ended;
    leat_error error;
    task->counters.in++;
    if (source->node->partitioned_by != NULL && !is_placed(task, p) &&
        leat__placement_check(task, p->record, p->key, &ended, &error) != LEAT_OK) {
        const leat__element it = {.timestamp_ms = p->timestamp_ms, .origin = origin};
        return ended ? error.status : leat__task_failed(task, &source->decode_op, &it, &error);
    }
    leat__partition_time_record(&source->time, task->monotonic_ms, p->timestamp_ms, p->record);
    const leat__element element = {.record = p->record,
                                   .timestamp_ms = p->timestamp_ms,
                                   .key = p->key,
                                   .key_hash = p->key_hash,
                                   .origin = origin};
    bool large = leat__element_is_large(&task->root, &element);
    if ((large || task->root.strict) &&
        leat__op_check_output(&task->root, &element, large, &error) != LEAT_OK) /* R19 */
        return leat__task_failed(task, &source->decode_op, &element, &error);
    return leat__op_deliver(&task->root, &element);
}

/* ------------------------------------------------------------------ looking ahead */

static void find_keys(leat__task *task, group *g)
{
    uint64_t hashes[GROUP_RECORDS];
    const leat_field *field = task->source->key_field;
    for (size_t i = 0; i < g->count; i++) {
        pending *p = &g->records[i];
        p->key = leat__key_of(field, p->record, p->text);
        p->key_hash = p->key.data == NULL ? 0 : leat__hash64(p->key.data, p->key.length);
        hashes[i] = p->key_hash;
    }
    if (task->face.store != NULL)
        leat__store_prefetch(task->face.store, hashes, g->count);
}

/* A failed push leaves the offset at the record that failed: it stays unread. */
static leat_status push_group(leat__task *task, group *g)
{
    leat__source *source = task->source;
    leat_status status = LEAT_OK;
    if (source->key_field != NULL)
        find_keys(task, g);
    for (size_t i = 0; i < g->count && status == LEAT_OK; i++) {
        const pending *p = &g->records[i];
        const leat_log_record made = {.topic = source->topic,
                                      .partition = task->partition,
                                      .offset = source->offset,
                                      .timestamp_ms = p->timestamp_ms};
        status = push_record(task, p, p->origin != NULL ? p->origin : &made);
        if (status == LEAT_OK)
            source->offset = p->next_offset;
    }
    g->count = 0;
    leat__arena_reset(&task->scratch);
    return status;
}

static pending *add_record(leat__task *task, group *g)
{
    size_t bytes = task->source->node->type->size_bytes;
    pending *p = &g->records[g->count];
    p->record = memset(leat__arena_alloc(&task->scratch, bytes), 0, bytes);
    p->key = (leat_str){0};
    p->key_hash = 0;
    return p;
}

/* ------------------------------------------------------------------ log */

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
        leat__ctx_enter(ctx, LEAT__IN_DECODER);
        leat__works(&task->face, &source->source_spec, in->offset);
        leat_status status = config->decode(ctx, in, record, config->decode_arg);
        leat__ctx_leave(ctx);
        ctx->element = NULL;
        if (status != LEAT_OK && !ctx->failed)
            (void)leat__ctx_fail(ctx, status, "the record could not be decoded");
        if (ctx->failed)
            *error = ctx->error;
        return ctx->failed ? ctx->error.status : LEAT_OK;
    }
    if (config->format == LEAT_JSON)
        return leat__json_decode_into(source->json, &task->scratch, type, in->value,
                                      LEAT__STRINGS_IN_INPUT, record, error);
    return leat__headed_decode(source->node->binary, &task->scratch, in->value,
                               LEAT__STRINGS_IN_INPUT, record, error);
}

/* By the source's policy, after all that came before it. */
static leat_status put_aside(leat__task *task, group *g, const leat__element *element,
                             const leat_error *error)
{
    leat__source *source = task->source;
    leat_status status = push_group(task, g);
    if (status == LEAT_OK)
        status = leat__task_failed(task, &source->decode_op, element, error);
    if (status == LEAT_OK)
        source->offset = element->origin->offset + 1;
    return status;
}

/* Decodes into the group; what does not decode comes after all that was before it. */
static leat_status log_record(leat__task *task, group *g, const leat_log_record *in)
{
    leat__source *source = task->source;
    pending *p = add_record(task, g);
    leat_error error = {0};
    bool guilty = leat__suspects_is_guilty(task, in->offset, &error);
    bool good = !guilty && decode(task, in, p->record, &error) == LEAT_OK;
    if (good) {
        p->timestamp_ms = event_time(source, p->record, in->timestamp_ms);
        good = leat__clock_check(task, p->timestamp_ms, &error) == LEAT_OK; /* W7 */
    }
    if (good) {
        p->origin = in;
        p->next_offset = in->offset + 1;
        return ++g->count < GROUP_RECORDS ? LEAT_OK : push_group(task, g);
    }
    (void)snprintf(error.where, sizeof(error.where), "%s", source->node->name);
    const leat__element element = {.timestamp_ms = in->timestamp_ms, .origin = in};
    return put_aside(task, g, &element, &error);
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

static bool run_log(leat__task *task, size_t most)
{
    leat__source *source = task->source;
    leat_log_record records[POLL_RECORDS];
    size_t count = 0;
    leat_error error = {0};
    leat_status status = leat_log_reader_poll(source->reader, records, most, &count, &error);
    if (status != LEAT_OK) {
        leat__run_fail(task->run, &error);
        return false;
    }
    if (source->reader->lost != source->lost) {
        tell_lost(task, source->reader->lost - source->lost, "while it was at work");
        source->lost = source->reader->lost;
    }
    leat__suspects_reading(task, records, count);
    if (count != 0)
        leat__task_touch(task);
    size_t i = 0;
    group g;
    g.count = 0;
    status = LEAT_OK;
    for (; i < count && records[i].offset < source->end_offset && status == LEAT_OK; i++)
        status = log_record(task, &g, &records[i]);
    if (status != LEAT_OK || push_group(task, &g) != LEAT_OK)
        return false;
    leat__backlog_read(task, count == 0);
    if (source->end_offset != INT64_MAX && look_for_end(task, i < count, &error) != LEAT_OK)
        leat__run_fail(task->run, &error);
    return count != 0;
}

/* ------------------------------------------------------------------ generators and arrays */

static bool generate(const leat__source *source, uint32_t partition, int64_t index, void *record)
{
    if (source->node->kind == LEAT__NODE_SOURCE_GENERATOR) {
        const leat_generator *generator = &source->node->as.generator;
        return generator->generate(generator->arg, partition, (uint64_t)index, record);
    }
    const leat_array *array = &source->node->as.array;
    if ((size_t)index >= array->count)
        return false;
    size_t bytes = source->node->type->size_bytes;
    memcpy(record, (const char *)array->records + (size_t)index * bytes, bytes);
    return true;
}

/* Into the group; one that is ahead of the clock (W7) is put aside. */
static leat_status generated(leat__task *task, group *g, pending *p, int64_t index)
{
    leat__source *source = task->source;
    leat_error error;
    leat__task_touch(task);
    p->timestamp_ms = event_time(source, p->record, index);
    p->origin = NULL;
    p->next_offset = index + 1;
    if (leat__clock_check(task, p->timestamp_ms, &error) == LEAT_OK) {
        g->count++;
        return LEAT_OK;
    }
    const leat_log_record origin = {
        .topic = source->topic, .partition = task->partition, .offset = index};
    const leat__element element = {
        .record = p->record, .timestamp_ms = p->timestamp_ms, .origin = &origin};
    return put_aside(task, g, &element, &error);
}

static bool run_generator(leat__task *task)
{
    leat__source *source = task->source;
    group g;
    g.count = 0;
    bool more = true;
    for (size_t i = 0; i < POLL_RECORDS && more; i++) {
        int64_t index = source->offset + (int64_t)g.count;
        pending *p = add_record(task, &g);
        leat__works(&task->face, &source->source_spec, index);
        more = generate(source, task->partition, index, p->record);
        if (more && generated(task, &g, p, index) != LEAT_OK)
            return false;
        if ((g.count == GROUP_RECORDS || !more) && push_group(task, &g) != LEAT_OK)
            return false;
    }
    source->ended = !more;
    return true;
}

/* W5: does time end with the input? It does where there never is more, and where it was asked for.
 * Behind an exchange the senders have said it. */
static bool time_ends(const leat__task *task)
{
    const leat__source *source = task->source;
    return source->inlet == NULL && (!is_log(source) || task->run->graph->opts.drain);
}

bool leat__source_run(leat__task *task)
{
    leat__source *source = task->source;
    uint64_t in_before = task->counters.in;
    size_t most = leat__suspects_may_read(task, POLL_RECORDS); /* R19 */
    if (most == 0)
        return false;
    bool busy = source->inlet != NULL ? leat__inlet_run(task, most)
                : is_log(source)      ? run_log(task, most)
                                      : run_generator(task);
    if (source->after_drain && task->counters.in != in_before) {
        source->after_drain = false;
        leat__run_count_resumed(task->run, source, task->partition);
    }
    if (source->ended) {
        leat__suspects_ended(task);
        leat__backlog_ended(task);
        int64_t reached_ms = leat__watermark_now(&source->time.watermark);
        if (reached_ms > task->kept_watermark_ms)
            leat__keep_watermark(task, reached_ms);
        if (time_ends(task))
            leat__watermark_end(&source->time.watermark);
        atomic_fetch_add(&task->run->ended_sources, 1);
    }
    return busy;
}
