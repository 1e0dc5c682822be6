/* serve/event_batch.c - the body of POST /v1/events as log records.
 *
 *   [event, event, ...] ─┐                ┌─► records: the text as it came, key = user
 *   event ⏎ event ⏎ ...  ┼─► one by one ──┤
 *   event ───────────────┘                └─► rejected: index, field and reason of the first few
 *
 * One bad event doesn't reject its neighbours; a body that isn't JSON is refused as a whole. */
#include "apps/recommender/serve/event_batch.h"

#include <string.h>

#include "base/error.h"
#include "base/limits.h"

typedef struct batch_reader {
    event_batch *batch;
    leat__arena *arena;
    leat__json_reader *json;
    const event_batch_opts *opts;
    size_t capacity, index;
} batch_reader;

static leat_status malformed(leat_error *error, const char *message)
{
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "body", "%s", message);
}

/* Inside JSON a raw line break is white space: texts may not hold one. */
static leat_str one_line(leat__arena *arena, leat_str text, bool must_copy)
{
    bool broken = memchr(text.data, '\n', text.length) != NULL ||
                  memchr(text.data, '\r', text.length) != NULL;
    if (!broken && !must_copy)
        return text;
    char *copy = leat__arena_copy(arena, text.data, text.length);
    for (size_t i = 0; broken && i < text.length; i++)
        if (copy[i] == '\n' || copy[i] == '\r')
            copy[i] = ' ';
    return (leat_str){copy, text.length};
}

static void add(batch_reader *reader, const interaction *event, leat_str text)
{
    event_batch *batch = reader->batch;
    leat_log_record *record = &batch->records[batch->count++];
    *record = (leat_log_record){
        .topic = reader->opts->topic,
        .partition = LEAT_PARTITION_BY_KEY,
        .timestamp_ms = reader->opts->accepted_ms,
        .key = leat__arena_str(reader->arena, event->user_id),
        .value = text,
    };
    batch->bytes += record->key.length + record->value.length;
    if (reader->opts->is_late == NULL || !reader->opts->is_late(reader->opts->arg, event))
        return;
    if (batch->late_count < EVENT_BATCH_ERRORS_LISTED)
        batch->late_listed[batch->late_count] = reader->index;
    batch->late_count++;
}

static void reject(batch_reader *reader, const event_fault *fault)
{
    event_batch *batch = reader->batch;
    if (batch->rejected == NULL)
        batch->rejected =
            leat__arena_alloc(reader->arena, EVENT_BATCH_ERRORS_LISTED * sizeof *batch->rejected);
    if (batch->rejected_count < EVENT_BATCH_ERRORS_LISTED)
        batch->rejected[batch->rejected_count] = (rejected_event){reader->index, *fault};
    batch->rejected_count++;
}

/* Only here: what is in a topic already counts as it did. */
static bool ids_are_good(const interaction *event, event_fault *fault)
{
    const struct {
        const char *name;
        leat_str text;
    } ids[] = {{"user_id", event->user_id},
               {"item_id", event->item_id},
               {"event_id", event->event_id},
               {"session_id", event->session_id},
               {"category", event->category}};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (ids[i].text.length == 0 || memchr(ids[i].text.data, 0, ids[i].text.length) == NULL)
            continue;
        (void)snprintf(fault->field, sizeof fault->field, "%s", ids[i].name);
        (void)snprintf(fault->reason, sizeof fault->reason, "%s holds a NUL (\\u0000)",
                       ids[i].name);
        return false;
    }
    return true;
}

/* W7 */
static bool time_is_good(batch_reader *reader, interaction *event, event_fault *fault)
{
    const event_batch_opts *opts = reader->opts;
    bool clamped;
    leat_status status = event_bound_time(event, opts->accepted_ms, opts->max_ahead_ms,
                                          opts->clamp_ahead, &clamped, fault);
    reader->batch->clamped_count += clamped;
    reader->batch->ahead_count += status != LEAT_OK;
    return status == LEAT_OK;
}

static void read_text(batch_reader *reader, leat_str text)
{
    interaction event;
    event_fault fault;
    if (event_parse(reader->json, text, reader->opts->accepted_ms, &event, &fault) == LEAT_OK &&
        ids_are_good(&event, &fault) && time_is_good(reader, &event, &fault))
        add(reader, &event, one_line(reader->arena, text, false));
    else
        reject(reader, &fault);
    reader->index++;
}

static void reserve(batch_reader *reader, size_t count)
{
    reader->batch->records =
        leat__arena_alloc(reader->arena, count * sizeof *reader->batch->records);
    reader->capacity = count;
}

static leat_status too_many(size_t count, leat_error *error)
{
    return leat__fail(error, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL, "body",
                      "the body holds %zu events, at most %d are allowed in one request", count,
                      EVENT_BATCH_MAX);
}

static leat_status read_array(batch_reader *reader, leat_str body, leat_error *error)
{
    leat__json root;
    leat_status status = leat__json_open(reader->json, body, &root, error);
    if (status != LEAT_OK)
        return status;
    size_t count = leat__json_count(root);
    if (count > EVENT_BATCH_MAX)
        return too_many(count, error);
    reserve(reader, count);
    for (leat__json_each each = leat__json_each_of(root); leat__json_next(&each); reader->index++) {
        interaction event;
        event_fault fault = {.field = ""};
        leat_str text = leat__json_text(each.value);
        if (text.length > EVENT_TEXT_BYTES_MAX) {
            snprintf(fault.reason, sizeof fault.reason,
                     "the event has %zu bytes, at most %d are allowed", text.length,
                     EVENT_TEXT_BYTES_MAX);
            reject(reader, &fault);
        } else if (event_from_json(each.value, reader->opts->accepted_ms, &event, &fault) ==
                       LEAT_OK &&
                   ids_are_good(&event, &fault) && time_is_good(reader, &event, &fault)) {
            add(reader, &event, one_line(reader->arena, text, true));
        } else {
            reject(reader, &fault);
        }
    }
    return LEAT_OK;
}

static leat_status read_lines(batch_reader *reader, leat_str body, leat_error *error)
{
    leat_str rest = body, line;
    size_t count = 0;
    while (leat__json_next_line(&rest, &line))
        count++;
    if (count > EVENT_BATCH_MAX)
        return too_many(count, error);
    reserve(reader, count);
    for (rest = body; leat__json_next_line(&rest, &line);)
        read_text(reader, line);
    return LEAT_OK;
}

static leat_status read_one(batch_reader *reader, leat_str body, leat_error *error)
{
    leat__json root;
    leat_status status = leat__json_open(reader->json, body, &root, error);
    if (status != LEAT_OK)
        return status;
    reserve(reader, 1);
    read_text(reader, body);
    return LEAT_OK;
}

static bool is_object(leat__json_reader *json, leat_str text)
{
    leat__json root;
    return leat__json_open(json, text, &root, NULL) == LEAT_OK &&
           leat__json_type_of(root) == LEAT__JSON_OBJECT;
}

leat_status event_batch_read(event_batch *batch, leat__arena *arena, leat__json_reader *json,
                             leat_str body, const event_batch_opts *opts, leat_error *error)
{
    *batch = (event_batch){0};
    batch_reader reader = {batch, arena, json, opts, 0, 0};
    leat_str rest = body, line, second;
    if (body.data == NULL || !leat__json_next_line(&rest, &line))
        return malformed(error, "the body is empty; send one event, an array, or one event a line");
    size_t at = 0;
    while (at < line.length && (line.data[at] == ' ' || line.data[at] == '\t'))
        at++;
    if (at < line.length && line.data[at] == '[')
        return read_array(&reader, body, error);
    bool several = leat__json_next_line(&rest, &second);
    if (several && is_object(json, line))
        return read_lines(&reader, body, error);
    leat_status status = read_one(&reader, body, error);
    /* Broken in its first line, but lines all the same: say so line by line. */
    if (status == LEAT_EDATA && several && second.data[0] == '{')
        return read_lines(&reader, body, error);
    return status;
}
