/* leat offsets - how far each job has read. */
#include "apps/leat/offsets.h"
#include "apps/leat/table.h"
#include "apps/leat/tool.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/nearest.h"
#include <string.h>

typedef struct gathering {
    group_offsets *offsets;
    const char *group;
} gathering;

typedef struct group_names {
    char **names;
    size_t count;
} group_names;

static bool add_offset(void *arg, const leat_log_offset *offset)
{
    gathering *g = arg;
    group_offsets *offsets = g->offsets;
    offsets->rows = leat__realloc(offsets->rows, offsets->count + 1, sizeof *offsets->rows);
    offsets->rows[offsets->count++] = (group_offset){.group = leat__strdup(g->group),
                                                     .topic = leat__strdup(offset->topic),
                                                     .partition = offset->partition,
                                                     .offset = offset->offset,
                                                     .end = -1};
    return true;
}

static bool add_name(void *arg, const char *group)
{
    group_names *names = arg;
    names->names = leat__realloc(names->names, names->count + 1, sizeof *names->names);
    names->names[names->count++] = leat__strdup(group);
    return true;
}

static leat_status find_ends(group_offsets *offsets, leat_log *log, leat_error *error)
{
    for (size_t i = 0; i < offsets->count; i++) {
        group_offset *row = &offsets->rows[i];
        int64_t begin;
        leat_status status =
            leat_log_bounds(log, row->topic, row->partition, &begin, &row->end, error);
        if (status == LEAT_ENOTFOUND)
            row->end = -1;
        else if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static leat_status add_group(group_offsets *offsets, leat_log *log, const char *group,
                             leat_error *error)
{
    gathering g = {offsets, group};
    return leat_log_group_offsets(log, group, add_offset, &g, error);
}

static leat_status unknown(const char *group, const group_names *names, leat_error *error)
{
    const char *near = leat__nearest(group, (const char *const *)names->names, names->count);
    return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, group,
                      "no job of this name has committed anything%s%s%s",
                      near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                      near == NULL ? "" : "'");
}

/* The others are looked at only if the named one is not there: each is a question to a server. */
leat_status group_offsets_load(group_offsets *offsets, leat_log *log, const char *group,
                               leat_error *error)
{
    *offsets = (group_offsets){0};
    group_names names = {0};
    leat_status status = group == NULL ? LEAT_OK : add_group(offsets, log, group, error);
    bool nothing = offsets->count == 0;
    if (status == LEAT_OK && nothing)
        status = leat_log_group_each(log, add_name, &names, error);
    for (size_t i = 0; i < names.count && group == NULL && status == LEAT_OK; i++)
        status = add_group(offsets, log, names.names[i], error);
    if (status == LEAT_OK && nothing && group != NULL)
        status = unknown(group, &names, error);
    for (size_t i = 0; i < names.count; i++)
        leat__free(names.names[i]);
    leat__free(names.names);
    return status == LEAT_OK ? find_ends(offsets, log, error) : status;
}

void group_offsets_free(group_offsets *offsets)
{
    for (size_t i = 0; i < offsets->count; i++) {
        leat__free(offsets->rows[i].group);
        leat__free(offsets->rows[i].topic);
    }
    leat__free(offsets->rows);
}

static void print_offsets(const group_offsets *offsets, bool json)
{
    static const table_column columns[] = {{"group", false}, {"topic", false}, {"partition", true},
                                           {"offset", true}, {"end", true},    {"lag", true}};
    table *t = table_new(columns, sizeof columns / sizeof columns[0], json);
    for (size_t i = 0; i < offsets->count; i++) {
        const group_offset *row = &offsets->rows[i];
        table_text(t, leat_str_from(row->group));
        table_text(t, leat_str_from(row->topic));
        table_number(t, row->partition);
        table_number(t, row->offset);
        if (row->end < 0) {
            table_nothing(t);
            table_nothing(t);
            continue;
        }
        table_number(t, row->end);
        table_number(t, row->end - row->offset);
    }
    table_print(t, "nothing is committed yet");
}

int command_offsets(int argc, char **argv)
{
    const char *url = NULL;
    bool json = false;
    const option_spec options[] = {TOOL_OPTION_LOG(url), TOOL_OPTION_JSON(json)};
    const command_syntax syntax = {
        .command = "leat offsets",
        .operands = "[GROUP]",
        .about = "how far each job (its name is the group) has read; lag: records still to read",
        .examples = "  leat offsets --log embedded:data\n"
                    "  leat offsets --log embedded:data user-counts --json\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .operand_max = 1};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    leat_error error;
    leat_log *log;
    leat_status status = tool_open_for_reading(&log, url, &error);
    if (status != LEAT_OK)
        return tool_fail("offsets", &error);
    group_offsets offsets;
    status = group_offsets_load(&offsets, log, operand_count == 0 ? NULL : argv[1], &error);
    if (status == LEAT_OK)
        print_offsets(&offsets, json);
    group_offsets_free(&offsets);
    leat_log_close(log);
    return status == LEAT_OK ? 0 : tool_fail("offsets", &error);
}
