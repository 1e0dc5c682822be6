/* engine/sink.c - where elements leave a task: encoded into the epoch's bundle, or copied into a
 * channel.
 *
 * Nothing of a bundle is seen by anybody before its epoch is committed.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/refusals.h"
#include "record/codec.h"
#include "record/keys.h"

enum { KEY_SHOWN_BYTES = 40, LEFT_OUT_BYTES = 160 };

leat__out_record *leat__bundle_record(leat__bundle *bundle)
{
    if (bundle->count == bundle->capacity) {
        bundle->capacity = bundle->capacity == 0 ? 256 : bundle->capacity * 2;
        bundle->records =
            leat__realloc(bundle->records, bundle->capacity, sizeof(*bundle->records));
    }
    return &bundle->records[bundle->count++];
}

leat_status leat__too_big(const char *where, leat_str key, size_t bytes, leat_error *error)
{
    int shown = key.length < KEY_SHOWN_BYTES ? (int)key.length : KEY_SHOWN_BYTES;
    char named[KEY_SHOWN_BYTES + 64] = "";
    if (key.data != NULL)
        (void)snprintf(named, sizeof(named), " with key '%.*s%s' (%zu bytes)", shown, key.data,
                       (size_t)shown < key.length ? "..." : "", key.length);
    return leat__fail(
        error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, where,
        "a record of %zu bytes for '%s'%s is over the log's bound of %d; emit smaller "
        "records",
        bytes, where, named, LEAT__RECORD_BYTES_MAX);
}

leat_status leat__bundle_too_big(leat__task *task, const char *where, leat_str key, size_t bytes)
{
    leat_error error;
    leat_status status = leat__too_big(where, key, bytes, &error);
    leat__run_fail(task->run, &error);
    return status;
}

static leat_str key_for(const leat__node *sink, const leat__element *element,
                        char text[LEAT__KEY_TEXT_BYTES])
{
    if (sink->kind != LEAT__NODE_SINK_LOG)
        return (leat_str){0};
    return sink->key_field != NULL ? leat__key_of(sink->key_field, element->record, text)
                                   : element->key;
}

/* Appends key and value, and says where they lie. */
static leat__out_record encode(const leat__node *sink, const leat__element *element,
                               leat__buffer *bytes)
{
    char text[LEAT__KEY_TEXT_BYTES];
    leat_str key = key_for(sink, element, text);
    leat__out_record record = {.node = sink->id,
                               .partition = LEAT_PARTITION_BY_KEY,
                               .has_key = key.data != NULL,
                               .key_at = bytes->length,
                               .key_length = (uint32_t)key.length,
                               .timestamp_ms = element->timestamp_ms};
    leat__buffer_bytes(bytes, key.data, key.length);
    record.value_at = bytes->length;
    bool json = sink->kind == LEAT__NODE_SINK_FILE ||
                (sink->kind == LEAT__NODE_SINK_LOG && sink->as.sink.format == LEAT_JSON);
    if (json)
        leat__json_append(bytes, sink->type, element->record);
    else if (sink->kind == LEAT__NODE_SINK_LOG)
        leat__headed_append(bytes, sink->type, sink->fingerprint, element->record);
    else
        leat__binary_append(bytes, sink->type, element->record);
    record.value_length = (uint32_t)(bytes->length - record.value_at);
    return record;
}

leat_status leat__sink_check(void *arg, const leat__element *element, bool large, leat_error *error)
{
    const leat__delivery *delivery = arg;
    const leat__node *sink = delivery->sink;
    leat__buffer *bytes = &delivery->task->bundle->bytes;
    size_t before = bytes->length;
    char text[LEAT__KEY_TEXT_BYTES];
    if (sink->kind != LEAT__NODE_SINK_LOG)
        return LEAT_OK;
    leat_log_record record = {.topic = sink->as.sink.topic, .timestamp_ms = element->timestamp_ms};
    if (large || leat__refusals_need_bytes(delivery->task->run, sink)) {
        const leat__out_record out = encode(sink, element, bytes);
        if (out.has_key)
            record.key = (leat_str){bytes->data + out.key_at, out.key_length};
        record.value = (leat_str){bytes->data + out.value_at, out.value_length};
        bytes->length = before; /* they lie there until more is appended */
    } else {
        record.key = key_for(sink, element, text);
    }
    return leat__refusals_check(delivery->task, sink, &record, error);
}

leat_status leat__sink_deliver(void *arg, const leat__element *element)
{
    leat__delivery *delivery = arg;
    leat__task *task = delivery->task;
    const leat__node *sink = delivery->sink;
    leat__bundle *bundle = task->bundle;
    leat__out_record record = encode(sink, element, &bundle->bytes);
    size_t size = record.key_length + (size_t)record.value_length;
    if (size > LEAT__RECORD_BYTES_MAX && sink->kind == LEAT__NODE_SINK_LOG)
        return leat__bundle_too_big(
            task, sink->name, (leat_str){bundle->bytes.data + record.key_at, record.key_length},
            size);
    *leat__bundle_record(bundle) = record;
    task->counters.out++;
    return LEAT_OK;
}

leat_status leat__exchange_deliver(void *arg, const leat__element *element)
{
    leat__delivery *delivery = arg;
    uint32_t to = delivery->edge->exchange == LEAT__EXCHANGE_HASH
                      ? leat__partition_of(element->key, delivery->channel_count)
                      : delivery->task->partition % delivery->channel_count;
    leat__channel_record(delivery->channels[to], delivery->edge_number, delivery->edge->type,
                         delivery->flat, element);
    return LEAT_OK;
}

/* What failed, as text: the bytes of the log record, or behind an exchange the operator's input. */
static leat_str failed_value(leat__task *task, const leat__op *op, const leat__element *element)
{
    const leat_log_record *origin = element != NULL ? element->origin : NULL;
    if (origin != NULL && (origin->value.data != NULL || element->record == NULL))
        return origin->value;
    if (element == NULL || element->record == NULL || op->spec->in == NULL)
        return (leat_str){0};
    leat__buffer json = {0};
    leat__json_append(&json, op->spec->in, element->record);
    leat_str value = leat__arena_str(&task->scratch, (leat_str){json.data, json.length});
    leat__buffer_free(&json);
    return value;
}

/* What of the original a dead letter does not have, and why. */
static void tell_left_out(leat_str value, size_t value_bytes, size_t key_bytes, bool timer,
                          char text[LEFT_OUT_BYTES])
{
    int at = 0;
    text[0] = '\0';
    if (value.data == NULL)
        at =
            snprintf(text, LEFT_OUT_BYTES, "; no value: %s",
                     timer ? "a timer has fired, which is about no record" : "the record had none");
    else if (value.length < value_bytes)
        at = snprintf(text, LEFT_OUT_BYTES, "; the value is cut, of %zu bytes", value_bytes);
    if (key_bytes != 0)
        (void)snprintf(text + at, (size_t)(LEFT_OUT_BYTES - at),
                       "; the key is left out, of %zu bytes", key_bytes);
}

/* {"topic":..,"partition":..,"offset":..,"operator":..,"error":..,"reason":..,"value":..} under the
 * record's key: enough to look at the record and to send it again. Without an origin (timers,
 * behind an exchange in memory) topic is "" and offset -1. Bytes that are not UTF-8 appear as
 * replacement characters; the offset leads to the original. */
void leat__dead_letter(leat__task *task, const leat__op *op, const leat__element *element,
                       const leat_error *error)
{
    leat__bundle *bundle = task->bundle;
    leat__buffer *bytes = &bundle->bytes;
    const leat_log_record *origin = element != NULL ? element->origin : NULL;
    leat__out_record record = {.node = LEAT__SINK_DEAD_LETTERS,
                               .partition = LEAT_PARTITION_BY_KEY,
                               .timestamp_ms = task->face.clock_ms};
    leat_str value = failed_value(task, op, element);
    leat_str key = origin != NULL ? origin->key : element != NULL ? element->key : op->ctx.key;
    size_t value_bytes = value.length, key_bytes = 0;
    char left_out[LEFT_OUT_BYTES], reason[sizeof(error->message) + LEFT_OUT_BYTES];
    /* escapes grow, and a dead letter that is too big itself would stop the job for good */
    if (key.length > LEAT__RECORD_BYTES_MAX / 16) {
        key_bytes = key.length;
        key = (leat_str){0};
    }
    if (value.length > LEAT__RECORD_BYTES_MAX / 8)
        value.length = LEAT__RECORD_BYTES_MAX / 8;
    tell_left_out(value, value_bytes, key_bytes, element == NULL, left_out);
    (void)snprintf(reason, sizeof(reason), "%s%s", error->message, left_out);
    record.has_key = key.data != NULL;
    record.key_at = bytes->length;
    record.key_length = (uint32_t)key.length;
    leat__buffer_bytes(bytes, key.data, key.length);
    record.value_at = bytes->length;
    leat__buffer_text(bytes, "{\"topic\":");
    leat__buffer_json_str(bytes, leat_str_from(origin != NULL ? origin->topic : ""));
    leat__buffer_format(bytes, ",\"partition\":%u,\"offset\":%lld,\"operator\":",
                        origin != NULL ? origin->partition : 0,
                        origin != NULL ? (long long)origin->offset : -1LL);
    leat__buffer_json_str(bytes, leat_str_from(op->spec->name));
    leat__buffer_text(bytes, ",\"error\":");
    leat__buffer_json_str(bytes, leat_str_from(leat_status_name(error->status)));
    leat__buffer_text(bytes, ",\"reason\":");
    leat__buffer_json_str(bytes, leat_str_from(reason));
    leat__buffer_text(bytes, ",\"value\":");
    if (value.data != NULL)
        leat__buffer_json_str(bytes, value);
    else
        leat__buffer_text(bytes, "null");
    leat__buffer_u8(bytes, '}');
    record.value_length = (uint32_t)(bytes->length - record.value_at);
    *leat__bundle_record(bundle) = record;
}

void leat__bundle_reset(leat__bundle *bundle)
{
    bundle->bytes.length = 0;
    bundle->count = 0;
    bundle->change_count = 0;
    bundle->accounted_bytes = 0;
    leat__changes_reset(&bundle->changes);
}

void leat__bundle_free(leat__bundle *bundle)
{
    leat__buffer_free(&bundle->bytes);
    leat__buffer_free(&bundle->senders);
    leat__free(bundle->records);
    leat__changes_free(&bundle->changes);
}
