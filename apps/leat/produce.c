/* leat produce - appends lines to a topic.
 *
 *   file ─► lines ─► checked, key and time taken ─► batch ─► leat_log_append (durable) ─► ...
 *                         └ bad: file:line: reason; stop, or --skip-bad
 *
 * A batch goes when it is full, or when the input pauses: `tail -f x | leat produce` delivers each
 * line at once.  What stands before a bad line is in the topic, what stands behind it is not.
 */
#include "apps/leat/lines.h"
#include "apps/leat/tool.h"
#include "base/env.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "record/json_reader.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH_RECORDS = 16384,
    BATCH_BYTES = 4 << 20,
    BAD_LINES_SHOWN = 20,
    PROGRESS_MS = 200,
};

typedef struct produce_options {
    const char *log, *key, *time;
    uint32_t partition_count;
    bool raw, skip_bad, quiet;
} produce_options;

typedef struct pending { /* a record of the batch; places in producer.bytes, which may move */
    size_t key_at, value_at;
    uint32_t key_length, value_length;
    bool has_key;
    int64_t timestamp_ms;
} pending;

typedef struct producer {
    const produce_options *options;
    const char *topic, *file;
    leat_log *log;
    leat__json_reader *json;
    leat__buffer bytes;
    pending *batch;
    leat_log_record *records;
    size_t count;
    uint64_t appended, bad;
    int64_t started_ms, shown_ms;
    bool on_terminal;
    uint64_t input_bytes; /* of a regular file; 0: unknown */
} producer;

static int64_t now_ms(void)
{
    const leat_env *env = leat__env_system();
    return env->now_ms(env->arg);
}

/* ------------------------------------------------------------------ progress */

static void show_progress(producer *p, const lines *in)
{
    int64_t now = now_ms(), elapsed_ms = now - p->started_ms;
    if (!p->on_terminal || now - p->shown_ms < PROGRESS_MS || elapsed_ms < PROGRESS_MS)
        return;
    p->shown_ms = now;
    char share[16] = "";
    if (p->input_bytes > 0)
        snprintf(share, sizeof share, "%3.0f %%  ",
                 100.0 * (double)in->bytes_read / (double)p->input_bytes);
    fprintf(stderr, "\r%s%s records, %s/s ", share, tool_thousands(p->appended),
            tool_thousands(p->appended * 1000 / (uint64_t)elapsed_ms));
}

static void end_progress(const producer *p)
{
    if (p->on_terminal && p->shown_ms != 0)
        fputs("\r\033[K", stderr);
}

static void print_summary(const producer *p)
{
    int64_t elapsed_ms = now_ms() - p->started_ms;
    fprintf(stderr, "%s records appended to %s in %.2f s", tool_thousands(p->appended), p->topic,
            (double)elapsed_ms / 1000);
    if (p->bad > 0)
        fprintf(stderr, ", %s bad lines left out", tool_thousands(p->bad));
    fputs("\n", stderr);
}

/* ------------------------------------------------------------------ batches */

static leat_status flush_batch(producer *p, leat_error *error)
{
    if (p->count == 0)
        return LEAT_OK;
    for (size_t i = 0; i < p->count; i++) {
        const pending *from = &p->batch[i];
        leat_log_record *to = &p->records[i];
        *to = (leat_log_record){.topic = p->topic,
                                .partition = LEAT_PARTITION_BY_KEY,
                                .timestamp_ms = from->timestamp_ms,
                                .value = {p->bytes.data + from->value_at, from->value_length}};
        if (from->has_key)
            to->key = (leat_str){p->bytes.data + from->key_at, from->key_length};
    }
    leat_status status = leat_log_append(p->log, p->records, p->count, error);
    if (status == LEAT_OK)
        p->appended += p->count;
    p->count = 0;
    p->bytes.length = 0;
    return status;
}

static leat_status add_record(producer *p, leat_str key, leat_str value, int64_t timestamp_ms,
                              leat_error *error)
{
    pending *record = &p->batch[p->count++];
    *record = (pending){.key_at = p->bytes.length,
                        .key_length = (uint32_t)key.length,
                        .value_at = p->bytes.length + key.length,
                        .value_length = (uint32_t)value.length,
                        .has_key = key.data != NULL,
                        .timestamp_ms = timestamp_ms};
    leat__buffer_bytes(&p->bytes, key.data, key.length);
    leat__buffer_bytes(&p->bytes, value.data, value.length);
    if (p->count < BATCH_RECORDS && p->bytes.length < BATCH_BYTES)
        return LEAT_OK;
    return flush_batch(p, error);
}

/* ------------------------------------------------------------------ a line */

static leat_status bad_line(leat_error *error, const char *format, ...) LEAT_PRINTF(2, 3);

static leat_status bad_line(leat_error *error, const char *format, ...)
{
    char message[200];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "", "%s", message);
}

/* The key is the field's text: a string as it is, a number or bool as it is written. */
static leat_status key_of(const producer *p, leat__json root, leat_str *key, leat_error *error)
{
    const char *field = p->options->key;
    leat__json value;
    *key = (leat_str){0};
    if (field == NULL)
        return LEAT_OK;
    if (!leat__json_member(root, field, &value))
        return bad_line(error, "the key field '%.60s' is missing", field);
    leat__json_type type = leat__json_type_of(value);
    if (type == LEAT__JSON_NUMBER || type == LEAT__JSON_BOOL)
        *key = leat__json_text(value);
    else if (!leat__json_get_str(value, key))
        return bad_line(error,
                        "the key field '%.60s' is %.40s; a key is a string, a number or a bool",
                        field, leat__json_type_name(type));
    return LEAT_OK;
}

static leat_status time_of(const producer *p, leat__json root, int64_t *time_ms, leat_error *error)
{
    const char *field = p->options->time;
    leat__json value;
    if (field == NULL) {
        *time_ms = now_ms();
        return LEAT_OK;
    }
    if (!leat__json_member(root, field, &value))
        return bad_line(error, "the time field '%.60s' is missing", field);
    if (!leat__json_get_i64(value, time_ms))
        return bad_line(error,
                        "the time field '%.60s' is %.40s that is not milliseconds since 1970",
                        field, leat__json_type_name(leat__json_type_of(value)));
    return LEAT_OK;
}

static leat_status take_line(producer *p, leat_str line, leat_error *error)
{
    leat_str key = {0};
    int64_t time_ms = 0;
    leat__json root;
    if (p->options->raw)
        return add_record(p, key, line, now_ms(), error);
    leat_status status = leat__json_open(p->json, line, &root, error);
    if (status == LEAT_OK)
        status = key_of(p, root, &key, error);
    if (status == LEAT_OK)
        status = time_of(p, root, &time_ms, error);
    if (status == LEAT_OK && key.length + line.length > LEAT__RECORD_BYTES_MAX)
        status = bad_line(error, "key and value together are over 1 MiB");
    return status == LEAT_OK ? add_record(p, key, line, time_ms, error) : status;
}

/* Says what is wrong with the line; LEAT_OK: go on without it. */
static leat_status reject(producer *p, const lines *in, leat_error *error)
{
    char place[sizeof error->where];
    const char *slash = strrchr(p->file, '/');
    snprintf(place, sizeof place, "%.40s:%" PRIu64, slash == NULL ? p->file : slash + 1,
             in->line_number);
    leat_error why = *error;
    p->bad++;
    if (!p->options->skip_bad) {
        leat_status status = flush_batch(p, error);
        if (status != LEAT_OK)
            return status;
        return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, place,
                          "%.220s; the %" PRIu64 " records before it are in the topic, --skip-bad "
                          "leaves such lines out",
                          why.message, p->appended);
    }
    end_progress(p);
    if (p->bad <= BAD_LINES_SHOWN)
        fprintf(stderr, "leat produce: %s: %s\n", place, why.message);
    if (p->bad == BAD_LINES_SHOWN)
        fputs("leat produce: further bad lines are only counted\n", stderr);
    return LEAT_OK;
}

static leat_str without_mark(leat_str line, uint64_t line_number)
{ /* UTF-8's byte order mark */
    if (line_number == 1 && line.length >= 3 && memcmp(line.data, "\xEF\xBB\xBF", 3) == 0)
        return (leat_str){line.data + 3, line.length - 3};
    return line;
}

static bool is_blank(leat_str line)
{
    for (size_t i = 0; i < line.length; i++)
        if (line.data[i] != ' ' && line.data[i] != '\t')
            return false;
    return true;
}

static leat_status produce_lines(producer *p, lines *in, leat_error *error)
{
    leat_str line;
    for (;;) {
        if (p->count > 0 && !lines_ready(in)) {
            leat_status status = flush_batch(p, error);
            if (status != LEAT_OK)
                return status;
        }
        if (tool_stopped || !lines_next(in, &line))
            break;
        line = without_mark(line, in->line_number);
        if (!p->options->raw && is_blank(line))
            continue;
        leat_status status =
            in->too_long ? bad_line(error, "the line is over 1 MiB") : take_line(p, line, error);
        if (status == LEAT_EDATA)
            status = reject(p, in, error);
        if (status != LEAT_OK)
            return status;
        if (p->count == 0)
            show_progress(p, in);
    }
    leat_status status = flush_batch(p, error);
    if (status == LEAT_OK && in->error_number != 0)
        status = leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, p->file, "%s",
                            strerror(in->error_number));
    return status;
}

/* ------------------------------------------------------------------ files and the topic */

static leat_status produce_file(producer *p, const char *path, leat_error *error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    p->file = is_stdin ? "stdin" : path;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return leat__fail(error, errno == ENOENT ? LEAT_ENOTFOUND : leat__errno_status(errno),
                          LEAT_RECOVERY_FATAL, path, "%s", strerror(errno));
    struct stat info;
    p->input_bytes = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    lines in;
    lines_open(&in, fd);
    leat_status status = produce_lines(p, &in, error);
    lines_close(&in);
    if (!is_stdin)
        close(fd);
    return status;
}

static leat_status ensure_topic(const producer *p, leat_error *error)
{
    leat_topic_opts topic;
    leat_status status = leat_topic_describe(p->log, p->topic, &topic, error);
    if (status != LEAT_ENOTFOUND)
        return status;
    topic = (leat_topic_opts){.partition_count = p->options->partition_count};
    status = leat_topic_create(p->log, p->topic, &topic, error);
    if (status == LEAT_OK && !p->options->quiet)
        fprintf(stderr, "topic %s created with %" PRIu32 " partitions\n", p->topic,
                topic.partition_count);
    return status;
}

static leat_status produce(producer *p, char **files, size_t file_count, leat_error *error)
{
    const leat_log_opts opts = {.through_owner = true};
    leat_status status = leat_log_open(&p->log, p->options->log, &opts, error);
    if (status != LEAT_OK)
        return status;
    p->json = leat__json_reader_new();
    p->batch = leat__alloc(BATCH_RECORDS * sizeof *p->batch);
    p->records = leat__alloc(BATCH_RECORDS * sizeof *p->records);
    p->on_terminal = !p->options->quiet && isatty(STDERR_FILENO);
    p->started_ms = now_ms();
    status = ensure_topic(p, error);
    char standard[] = "-";
    if (status == LEAT_OK && file_count == 0)
        status = produce_file(p, standard, error);
    for (size_t i = 0; i < file_count && status == LEAT_OK && !tool_stopped; i++)
        status = produce_file(p, files[i], error);
    end_progress(p);
    if (status == LEAT_OK && !p->options->quiet)
        print_summary(p);
    leat__json_reader_free(p->json);
    leat__buffer_free(&p->bytes);
    leat__free(p->batch);
    leat__free(p->records);
    leat_log_close(p->log);
    return status;
}

int command_produce(int argc, char **argv)
{
    produce_options settings = {.partition_count = 4};
    const option_spec options[] = {
        TOOL_OPTION_LOG(settings.log),
        {"key", "FIELD", "this field's text is the key; partition: murmur2, as Kafka", OPTION_TEXT,
         &settings.key, false},
        {"time", "FIELD", "the record's timestamp, ms since 1970; else now", OPTION_TEXT,
         &settings.time, false},
        {"partitions", "P", "of a topic that has to be created (4)", OPTION_COUNT,
         &settings.partition_count, false},
        {"skip-bad", NULL, "say what is wrong with a bad line and go on", OPTION_FLAG,
         &settings.skip_bad, false},
        {"raw", NULL, "lines are not JSON: take them as they are, without key", OPTION_FLAG,
         &settings.raw, false},
        {"quiet", NULL, "no progress, no summary", OPTION_FLAG, &settings.quiet, false}};
    const command_syntax syntax = {
        .command = "leat produce",
        .operands = "TOPIC [FILE...]",
        .about = "append lines of JSON to a topic; all of it is durable when it exits with 0",
        .examples = "  leat produce --log embedded:data events --key user_id < events.jsonl\n"
                    "  leat produce --log embedded:data clicks --key page --time ts_ms a.jsonl -\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .operand_min = 1,
        .operand_max = SIZE_MAX};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    if (settings.raw && (settings.key != NULL || settings.time != NULL)) {
        fputs("leat produce: --raw lines have no fields; drop --key and --time\n", stderr);
        return leat_status_exit_code(LEAT_EINVAL);
    }
    tool_catch_signals();
    leat_error error;
    producer p = {.options = &settings, .topic = argv[1]};
    leat_status status = produce(&p, argv + 2, operand_count - 1, &error);
    return status == LEAT_OK ? 0 : tool_fail("produce", &error);
}
