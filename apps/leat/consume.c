/* leat consume - prints a topic's committed records, one a line.
 *
 *   partition 0  [0][1][2][3]·····  ─┐            values as they are, or with --meta
 *   partition 1  [0][1]···········  ─┼─► reader ─► {"partition":0,"offset":0,...,"value":{...}}
 *   partition 2  [0][1][2]········  ─┘
 *                 from ──────► end as of the start (--until-end), or on and on
 *
 * Each partition comes in its own order; between partitions there is none.
 */
#include "apps/leat/base64.h"
#include "apps/leat/tool.h"
#include "base/error.h"
#include "base/mem.h"
#include "record/json_reader.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    POLL_RECORDS = 1024,
    WRITE_BYTES = 256 << 10,
    IDLE_MIN_MS = 2, /* waits grow while nothing comes */
    IDLE_MAX_MS = 50,
};

typedef struct consume_options {
    const char *log, *from;
    bool until_end, meta;
    uint32_t partition;
    int64_t max;
} consume_options;

typedef struct consumer {
    const consume_options *options;
    const char *topic;
    leat_log *log;
    leat_log_reader *reader;
    leat__json_reader *json;
    uint32_t partition_count, open_count; /* open: not yet at its end */
    int64_t *ends;                        /* per partition: stop here; -1: not read */
    int64_t printed;
    leat__buffer out;
    bool nobody_reads;
} consumer;

/* ------------------------------------------------------------------ one record as a line */

static void append_base64_member(leat__buffer *out, const char *name, leat_str bytes)
{
    leat__buffer_format(out, ",\"%s_base64\":", name);
    append_base64(out, bytes);
}

static void append_key(leat__buffer *out, leat_str key)
{
    if (key.data != NULL && !leat__utf8_valid(key)) {
        append_base64_member(out, "key", key);
        return;
    }
    leat__buffer_text(out, ",\"key\":");
    if (key.data == NULL)
        leat__buffer_text(out, "null");
    else
        leat__buffer_json_str(out, key);
}

static void append_value(consumer *c, leat_str value)
{
    leat__buffer *out = &c->out;
    leat__json root;
    if (value.data == NULL) {
        leat__buffer_text(out, ",\"value\":null");
    } else if (memchr(value.data, '\n', value.length) == NULL &&
               leat__json_open(c->json, value, &root, NULL) == LEAT_OK) {
        leat__buffer_text(out, ",\"value\":");
        leat__buffer_bytes(out, value.data, value.length);
    } else if (leat__utf8_valid(value)) {
        leat__buffer_text(out, ",\"value_text\":");
        leat__buffer_json_str(out, value);
    } else {
        append_base64_member(out, "value", value);
    }
}

static void append_line(consumer *c, const leat_log_record *record)
{
    leat__buffer *out = &c->out;
    if (c->options->meta) {
        leat__buffer_format(
            out, "{\"partition\":%" PRIu32 ",\"offset\":%" PRId64 ",\"timestamp\":%" PRId64,
            record->partition, record->offset, record->timestamp_ms);
        append_key(out, record->key);
        append_value(c, record->value);
        leat__buffer_text(out, "}\n");
        return;
    }
    if (record->value.data == NULL)
        leat__buffer_text(out, "null");
    else
        leat__buffer_bytes(out, record->value.data, record->value.length);
    leat__buffer_text(out, "\n");
}

/* ------------------------------------------------------------------ where to begin and end */

static leat_status start_of(const consumer *c, int64_t begin, int64_t end, int64_t *offset,
                            leat_error *error)
{
    const char *from = c->options->from;
    char *rest;
    if (from == NULL || strcmp(from, "begin") == 0) {
        *offset = begin;
    } else if (strcmp(from, "end") == 0) {
        *offset = end;
    } else {
        long long number = strtoll(from, &rest, 10);
        if (rest == from || *rest != '\0')
            return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "--from",
                              "'%.80s' is not begin, end, an offset or -N (N before the end)",
                              from);
        *offset = number >= 0 ? number : end + number > begin ? end + number : begin;
    }
    return LEAT_OK;
}

static leat_status open_partition(consumer *c, uint32_t partition, leat_error *error)
{
    int64_t begin, end, offset = 0;
    leat_status status = leat_log_bounds(c->log, c->topic, partition, &begin, &end, error);
    if (status == LEAT_OK)
        status = start_of(c, begin, end, &offset, error);
    if (status != LEAT_OK)
        return status;
    c->ends[partition] = c->options->until_end ? end : INT64_MAX;
    if (offset >= c->ends[partition]) {
        c->ends[partition] = -1;
        return LEAT_OK;
    }
    c->open_count++;
    return leat_log_reader_seek(c->reader, c->topic, partition, offset, error);
}

static leat_status open_partitions(consumer *c, leat_error *error)
{
    uint32_t only = c->options->partition;
    leat_topic_opts topic;
    leat_status status = leat_topic_describe(c->log, c->topic, &topic, error);
    if (status != LEAT_OK)
        return status;
    if (only != UINT32_MAX && only >= topic.partition_count)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, c->topic,
                          "there is no partition %" PRIu32 "; it has 0 to %" PRIu32, only,
                          topic.partition_count - 1);
    c->partition_count = topic.partition_count;
    c->ends = leat__alloc(topic.partition_count * sizeof *c->ends);
    for (uint32_t p = 0; p < topic.partition_count && status == LEAT_OK; p++) {
        c->ends[p] = -1;
        if (only == UINT32_MAX || only == p)
            status = open_partition(c, p, error);
    }
    return status;
}

/* Closes the partitions that have been read up to their ends, by position: offsets have gaps. */
static leat_status close_finished(consumer *c, leat_error *error)
{
    for (uint32_t p = 0; p < c->partition_count && c->options->until_end; p++) {
        int64_t position;
        if (c->ends[p] < 0)
            continue;
        leat_status status = leat_log_reader_position(c->reader, c->topic, p, &position, error);
        if (status != LEAT_OK)
            return status;
        if (position < c->ends[p])
            continue;
        leat_log_reader_remove(c->reader, c->topic, p);
        c->ends[p] = -1;
        c->open_count--;
    }
    return LEAT_OK;
}

/* ------------------------------------------------------------------ the loop */

static bool enough(const consumer *c)
{
    return c->options->max > 0 && c->printed >= c->options->max;
}

static bool write_out(consumer *c, leat_error *error)
{
    if (tool_write(&c->out, error))
        return true;
    c->nobody_reads = error->status == LEAT_OK;
    return false;
}

static leat_status read_some(consumer *c, size_t *count, leat_error *error)
{
    leat_log_record records[POLL_RECORDS];
    leat_status status = leat_log_reader_poll(c->reader, records, POLL_RECORDS, count, error);
    for (size_t i = 0; i < *count && status == LEAT_OK && !enough(c); i++) {
        if (records[i].offset >= c->ends[records[i].partition])
            continue;
        append_line(c, &records[i]);
        c->printed++;
        if (c->out.length >= WRITE_BYTES && !write_out(c, error))
            return error->status;
    }
    return status;
}

static leat_status read_all(consumer *c, leat_error *error)
{
    int64_t idle_ms = IDLE_MIN_MS;
    while (c->open_count > 0 && !tool_stopped && !enough(c)) {
        size_t count = 0;
        leat_status status = read_some(c, &count, error);
        if (status != LEAT_OK || c->nobody_reads)
            return status;
        status = close_finished(c, error);
        if (status != LEAT_OK)
            return status;
        if (count != 0) {
            idle_ms = IDLE_MIN_MS;
            continue;
        }
        if (!write_out(c, error))
            return error->status;
        nanosleep(&(struct timespec){.tv_nsec = idle_ms * 1000000}, NULL);
        if (idle_ms < IDLE_MAX_MS)
            idle_ms *= 2;
    }
    return LEAT_OK;
}

static leat_status consume(consumer *c, leat_error *error)
{
    leat_status status = tool_open_for_reading(&c->log, c->options->log, error);
    if (status != LEAT_OK)
        return status;
    status = leat_log_reader_new(c->log, NULL, NULL, &c->reader, error);
    if (status == LEAT_OK)
        status = open_partitions(c, error);
    if (status == LEAT_OK)
        status = read_all(c, error);
    leat_error last;
    if (!c->nobody_reads && !write_out(c, &last) && status == LEAT_OK && !c->nobody_reads) {
        *error = last;
        status = last.status;
    }
    if (c->reader != NULL)
        leat_log_reader_free(c->reader);
    leat_log_close(c->log);
    return status;
}

int command_consume(int argc, char **argv)
{
    consume_options settings = {.partition = UINT32_MAX};
    const option_spec options[] = {
        TOOL_OPTION_LOG(settings.log),
        {"until-end", NULL, "end where the topic ended at the start; else wait for more",
         OPTION_FLAG, &settings.until_end, false},
        {"meta", NULL, "JSON with partition, offset, timestamp, key and value", OPTION_FLAG,
         &settings.meta, false},
        {"from", "WHERE", "begin (default), end, an offset, or -N: N before the end", OPTION_TEXT,
         &settings.from, false},
        {"partition", "P", "only this one", OPTION_U32, &settings.partition, false},
        {"max", "N", "end after so many records", OPTION_I64, &settings.max, false}};
    const command_syntax syntax = {
        .command = "leat consume",
        .operands = "TOPIC",
        .about = "print the committed records of a topic, values one a line",
        .examples =
            "  leat consume --log embedded:data counts --until-end\n"
            "  leat consume --log embedded:data counts --meta --from end\n\n"
            "Each partition comes in order. With --meta a value that is not JSON is given as\n"
            "value_text, or value_base64 if it is not text; a deleted key has value null.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .operand_min = 1,
        .operand_max = 1};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    tool_catch_signals();
    leat_error error;
    consumer c = {.options = &settings, .topic = argv[1], .json = leat__json_reader_new()};
    leat_status status = consume(&c, &error);
    leat__json_reader_free(c.json);
    leat__buffer_free(&c.out);
    leat__free(c.ends);
    return status == LEAT_OK ? 0 : tool_fail("consume", &error);
}
