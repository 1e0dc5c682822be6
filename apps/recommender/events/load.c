#include "apps/recommender/events/load.h"

#include "apps/recommender/events/load_format.h"
#include "apps/recommender/events/load_lines.h"
#include "base/env.h"

enum { PROGRESS_EVERY_LINES = 4096 };

typedef struct load {
    const char *path;
    const load_options *options;
    load_result *result;
    load_lines *lines;
    load_layout layout;
    leat__json_reader *json;
    int64_t now_ms;
} load;

static void report_reject(const load *from, const char *reason)
{
    from->result->rejected++;
    if (from->options->on_reject == NULL)
        return;
    load_reject reject = {from->path, load_lines_number(from->lines), reason};
    from->options->on_reject(from->options->arg, &reject);
}

static void report_progress(const load *from)
{
    if (from->options->on_progress != NULL)
        from->options->on_progress(from->options->arg, load_lines_bytes_read(from->lines),
                                   load_lines_bytes_total(from->lines));
}

static bool parse_row(load *from, leat_str line, interaction *event, char reason[LOAD_REASON_BYTES])
{
    if (from->layout.format != NULL)
        return load_row(&from->layout, line, event, reason);
    event_fault fault;
    if (event_parse(from->json, line, from->now_ms, event, &fault) == LEAT_OK)
        return true;
    snprintf(reason, LOAD_REASON_BYTES, "%s", fault.reason);
    return false;
}

static void take_row(load *from, leat_str line)
{
    char reason[LOAD_REASON_BYTES];
    interaction event;
    if (line.length == 0)
        return;
    if (!parse_row(from, line, &event, reason)) {
        report_reject(from, reason);
        return;
    }
    from->result->interactions++;
    if (!from->options->on_interaction(from->options->arg, &event))
        from->result->stopped = true;
}

static leat_status take_first_line(load *from, leat_str line, leat_error *error)
{
    leat_status status = load_layout_find(from->options->format, line, &from->layout, error);
    if (status != LEAT_OK)
        return status;
    from->result->format = load_layout_name(&from->layout);
    if (from->layout.format == NULL)
        from->json = leat__json_reader_new();
    if (!from->layout.first_line_is_header)
        take_row(from, line);
    return LEAT_OK;
}

static leat_status take_lines(load *from, leat_error *error)
{
    leat_error failure = {0};
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && !from->result->stopped) {
        leat_str line;
        load_line_result got = load_lines_next(from->lines, &line, &failure);
        if (got == LOAD_LINE_END)
            break;
        if (got == LOAD_LINE_FAILED) {
            if (error != NULL)
                *error = failure;
            return failure.status;
        }
        from->result->lines++;
        if (from->result->lines % PROGRESS_EVERY_LINES == 0)
            report_progress(from);
        if (got == LOAD_LINE_TOO_LONG) {
            report_reject(from, "the line is too long");
        } else if (from->result->format == NULL) {
            if (line.length != 0)
                status = take_first_line(from, line, error);
        } else {
            take_row(from, line);
        }
    }
    report_progress(from);
    return status;
}

static leat_status load_all(load *from, leat_error *error)
{
    *from->result = (load_result){0};
    from->now_ms = leat__env_system()->now_ms(leat__env_system()->arg);
    leat_status status = take_lines(from, error);
    if (from->json != NULL)
        leat__json_reader_free(from->json);
    load_lines_close(from->lines);
    return status;
}

leat_status load_file(const char *path, const load_options *options, load_result *result,
                      leat_error *error)
{
    *result = (load_result){0};
    load from = {.path = path, .options = options, .result = result};
    leat_status status = load_lines_open(path, &from.lines, error);
    if (status != LEAT_OK)
        return status;
    return load_all(&from, error);
}

leat_status load_bytes(const void *bytes, size_t length, const load_options *options,
                       load_result *result, leat_error *error)
{
    load from = {.path = "memory", .options = options, .result = result};
    from.lines = load_lines_of_bytes(bytes, length);
    return load_all(&from, error);
}
