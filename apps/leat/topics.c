/* leat topics - list topics, create or delete one. */
#include "apps/leat/table.h"
#include "apps/leat/tool.h"
#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

typedef struct topic_row {
    char *name;
    leat_topic_opts opts;
} topic_row;

typedef struct topic_rows {
    topic_row *rows;
    size_t count;
} topic_rows;

static bool collect(void *arg, const char *topic, const leat_topic_opts *opts)
{
    topic_rows *rows = arg;
    rows->rows = leat__realloc(rows->rows, rows->count + 1, sizeof *rows->rows);
    rows->rows[rows->count++] = (topic_row){leat__strdup(topic), *opts};
    return true;
}

static leat_status add_row(table *t, leat_log *log, const topic_row *row, leat_error *error)
{
    int64_t stored = 0, ever = 0;
    for (uint32_t p = 0; p < row->opts.partition_count; p++) {
        int64_t begin, end;
        leat_status status = leat_log_bounds(log, row->name, p, &begin, &end, error);
        if (status != LEAT_OK)
            return status;
        stored += end - begin;
        ever += end;
    }
    table_text(t, leat_str_from(row->name));
    table_number(t, row->opts.partition_count);
    table_number(t, stored);
    table_number(t, ever);
    table_flag(t, row->opts.compacted, "compacted", "-");
    if (row->opts.retention_ms == 0)
        table_nothing(t);
    else
        table_number(t, row->opts.retention_ms);
    if (row->opts.retention_bytes == 0)
        table_nothing(t);
    else
        table_number(t, row->opts.retention_bytes);
    return LEAT_OK;
}

static leat_status list_topics(const char *url, bool json, leat_error *error)
{
    static const table_column columns[] = {
        {"topic", false},     {"partitions", true},   {"records", true},        {"appended", true},
        {"compacted", false}, {"retention_ms", true}, {"retention_bytes", true}};
    leat_log *log;
    leat_status status = tool_open_for_reading(&log, url, error);
    if (status != LEAT_OK)
        return status;
    topic_rows rows = {0};
    table *t = table_new(columns, sizeof columns / sizeof columns[0], json);
    status = leat_topic_each(log, collect, &rows, error);
    for (size_t i = 0; i < rows.count; i++) {
        if (status == LEAT_OK)
            status = add_row(t, log, &rows.rows[i], error);
        leat__free(rows.rows[i].name);
    }
    leat__free(rows.rows);
    table_print(t, "no topics; 'leat topics --create NAME' makes one");
    leat_log_close(log);
    return status;
}

typedef struct topics_options {
    const char *log, *create, *delete;
    leat_topic_opts topic;
    bool clean, json;
} topics_options;

static leat_status change_topics(const topics_options *asked, leat_error *error)
{
    const leat_log_opts opts = {.must_exist = asked->create == NULL,
                                .through_owner = asked->create != NULL || asked->delete != NULL};
    leat_log *log;
    leat_status status = leat_log_open(&log, asked->log, &opts, error);
    if (status != LEAT_OK)
        return status;
    if (asked->create != NULL)
        status = leat_topic_create(log, asked->create, &asked->topic, error);
    else if (asked->delete != NULL)
        status = leat_topic_delete(log, asked->delete, error);
    else
        status = leat_log_clean(log, error);
    leat_log_close(log);
    return status;
}

/* NULL, or what is wrong. */
static const char *contradiction(const topics_options *asked)
{
    const leat_topic_opts *topic = &asked->topic;
    int changes = (asked->create != NULL) + (asked->delete != NULL) + asked->clean;
    if (changes > 1)
        return "--create, --delete and --clean are different commands; give one";
    if (asked->create == NULL && (topic->partition_count != 0 || topic->compacted ||
                                  topic->retention_ms != 0 || topic->retention_bytes != 0))
        return "--create NAME is missing: the other options describe a new topic";
    return NULL;
}

int command_topics(int argc, char **argv)
{
    topics_options asked = {0};
    leat_topic_opts *topic = &asked.topic;
    const option_spec options[] = {
        TOOL_OPTION_LOG(asked.log),
        {"create", "NAME", "create a topic", OPTION_TEXT, &asked.create, false},
        {"partitions", "P", "with that many partitions (1)", OPTION_COUNT, &topic->partition_count,
         false},
        {"compacted", NULL, "keep the latest record of each key", OPTION_FLAG, &topic->compacted,
         false},
        {"retention-ms", "MS", "older records may go (0: never)", OPTION_I64, &topic->retention_ms,
         false},
        {"retention-bytes", "N", "per partition, oldest first (0: no bound)", OPTION_I64,
         &topic->retention_bytes, false},
        {"delete", "NAME", "delete a topic, its records and offsets", OPTION_TEXT, &asked.delete,
         false},
        {"clean", NULL, "apply retention and compaction now", OPTION_FLAG, &asked.clean, false},
        TOOL_OPTION_JSON(asked.json)};
    const command_syntax syntax = {
        .command = "leat topics",
        .operands = "",
        .about = "list topics, create or delete one",
        .examples = "  leat topics --log embedded:data\n"
                    "  leat topics --log embedded:data --create events --partitions 4\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    const char *wrong = contradiction(&asked);
    if (wrong != NULL) {
        fprintf(stderr, "leat topics: %s\n", wrong);
        return leat_status_exit_code(LEAT_EINVAL);
    }
    leat_error error;
    bool changes = asked.create != NULL || asked.delete != NULL || asked.clean;
    leat_status status =
        changes ? change_topics(&asked, &error) : list_topics(asked.log, asked.json, &error);
    return status == LEAT_OK ? 0 : tool_fail("topics", &error);
}
