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

static leat_status change_topics(const char *url, const char *create, const leat_topic_opts *opts,
                                 const char *delete, leat_error *error)
{
    leat_log *log;
    leat_status status =
        leat_log_open(&log, url, &(leat_log_opts){.must_exist = create == NULL}, error);
    if (status != LEAT_OK)
        return status;
    status = create != NULL ? leat_topic_create(log, create, opts, error)
                            : leat_topic_delete(log, delete, error);
    leat_log_close(log);
    return status;
}

int command_topics(int argc, char **argv)
{
    const char *url = NULL, *create = NULL, *delete = NULL;
    bool json = false;
    leat_topic_opts opts = {.partition_count = 1};
    const option_spec options[] = {
        TOOL_OPTION_LOG(url),
        {"create", "NAME", "create a topic", OPTION_TEXT, &create, false},
        {"partitions", "P", "with that many partitions (1)", OPTION_U32, &opts.partition_count,
         false},
        {"compacted", NULL, "keep the latest record of each key", OPTION_FLAG, &opts.compacted,
         false},
        {"retention-ms", "MS", "older records may go (0: never)", OPTION_I64, &opts.retention_ms,
         false},
        {"retention-bytes", "N", "per partition, oldest first (0: no bound)", OPTION_I64,
         &opts.retention_bytes, false},
        {"delete", "NAME", "delete a topic, its records and offsets", OPTION_TEXT, &delete, false},
        TOOL_OPTION_JSON(json)};
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
    if (create != NULL && delete != NULL) {
        fputs("leat topics: --create and --delete are two commands; give one\n", stderr);
        return leat_status_exit_code(LEAT_EINVAL);
    }
    leat_error error;
    leat_status status = create == NULL && delete == NULL
                             ? list_topics(url, json, &error)
                             : change_topics(url, create, &opts, delete, &error);
    return status == LEAT_OK ? 0 : tool_fail("topics", &error);
}
