/* leat state - prints the keyed state of a job from its state directory.
 *
 *   row ─► {"state":"count/acc","partition":2,"key":"ann","value":{...}}
 *            └ operator/slot                               └ by the layout that is stored with it
 *
 * A job may hold the directory: what is printed is what it had committed when this began.
 */
#include "apps/leat/base64.h"
#include "apps/leat/tool.h"
#include "base/error.h"
#include "base/mem.h"
#include "record/migration.h"
#include "state/store.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { WRITE_BYTES = 256 << 10 };

typedef struct state_options {
    const char *dir, *state, *key;
} state_options;

typedef struct known_layout {
    char *text;
    const leat_type *type;
    leat__migration *holder;
} known_layout;

typedef struct printer {
    const state_options *options;
    leat__buffer out;
    leat__arena arena;
    known_layout *layouts;
    size_t layout_count;
    leat_error error; /* status LEAT_OK: none */
    bool stopped;
} printer;

/* Layouts are few and each is met often. */
static const leat_type *type_of(printer *p, const char *layout)
{
    for (size_t i = 0; i < p->layout_count; i++)
        if (strcmp(p->layouts[i].text, layout) == 0)
            return p->layouts[i].type;
    known_layout known = {.text = leat__strdup(layout)};
    known.type = leat__layout_type(layout, &known.holder, &p->error);
    p->layouts = leat__realloc(p->layouts, p->layout_count + 1, sizeof *p->layouts);
    p->layouts[p->layout_count++] = known;
    return known.type;
}

static void append_text(leat__buffer *out, const char *name, leat_str text)
{
    leat__buffer_format(out, ",\"%s%s\":", name, leat__utf8_valid(text) ? "" : "_base64");
    if (leat__utf8_valid(text))
        leat__buffer_json_str(out, text);
    else
        append_base64(out, text);
}

/* Numbers are stored so that their bytes sort: big endian, of signed ones the sign bit flipped. */
static void append_map_key(leat__buffer *out, const leat__database_entry *entry)
{
    bool is_signed = strcmp(entry->map_key_layout, "i64") == 0;
    if ((!is_signed && strcmp(entry->map_key_layout, "u64") != 0) || entry->map_key.length != 8) {
        append_text(out, "map_key", entry->map_key);
        return;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | (unsigned char)entry->map_key.data[i];
    leat__buffer_text(out, ",\"map_key\":");
    if (is_signed)
        leat__buffer_i64_text(out, (int64_t)(number ^ UINT64_C(1) << 63));
    else
        leat__buffer_u64_text(out, number);
}

static leat_status append_value(printer *p, const leat__database_entry *entry)
{
    const leat_type *type = type_of(p, entry->layout);
    if (type == NULL)
        return LEAT_ECORRUPT;
    leat__arena_reset(&p->arena);
    void *record = leat__arena_alloc(&p->arena, type->size_bytes);
    leat_status status = leat__binary_decode_into(&p->arena, type, entry->value,
                                                  LEAT__STRINGS_IN_INPUT, record, &p->error);
    if (status != LEAT_OK)
        return status;
    leat__buffer_text(&p->out, ",\"value\":");
    leat__json_append(&p->out, type, record);
    return LEAT_OK;
}

static bool is_wanted(const state_options *options, const leat__database_entry *entry)
{
    return (options->state == NULL || strcmp(options->state, entry->slot) == 0) &&
           (options->key == NULL || leat_str_equal(leat_str_from(options->key), entry->key));
}

static bool print_entry(void *arg, const leat__database_entry *entry)
{
    printer *p = arg;
    if (!is_wanted(p->options, entry))
        return true;
    leat__buffer_format(&p->out, "{\"%s\":", entry->timer ? "timer" : "state");
    leat__buffer_json_str(&p->out, leat_str_from(entry->slot));
    leat__buffer_format(&p->out, ",\"partition\":%u", entry->partition);
    append_text(&p->out, "key", entry->key);
    if (entry->timer) {
        leat__buffer_format(&p->out, ",\"at_ms\":%lld", (long long)entry->time_ms);
    } else {
        if (entry->kind == LEAT__MAP)
            append_map_key(&p->out, entry);
        if (append_value(p, entry) != LEAT_OK)
            return false;
        if (entry->has_time)
            leat__buffer_format(&p->out, ",\"written_ms\":%lld", (long long)entry->time_ms);
    }
    leat__buffer_text(&p->out, "}\n");
    p->stopped = p->out.length >= WRITE_BYTES && !tool_write(&p->out, &p->error);
    return !p->stopped && !tool_stopped;
}

/* RocksDB would call any other directory a damaged database, with the advice to remove it. */
static leat_status check_dir(const char *dir, leat_error *error)
{
    char *path = leat__format("%s/CURRENT", dir);
    bool found = access(path, F_OK) == 0;
    leat__free(path);
    if (found || errno != ENOENT)
        return LEAT_OK;
    return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, dir,
                      "there is no state of a job; give its --state-dir");
}

static leat_status print_state(printer *p, leat_error *error)
{
    leat_status status = check_dir(p->options->dir, error);
    if (status == LEAT_OK)
        status = leat__database_scan(p->options->dir, print_entry, p, error);
    if (status == LEAT_OK && p->error.status == LEAT_OK && !p->stopped)
        (void)tool_write(&p->out, &p->error);
    if (status == LEAT_OK && p->error.status != LEAT_OK) {
        *error = p->error;
        status = error->status;
    }
    leat__buffer_free(&p->out);
    leat__arena_free(&p->arena);
    for (size_t i = 0; i < p->layout_count; i++) {
        leat__migration_free(p->layouts[i].holder);
        leat__free(p->layouts[i].text);
    }
    leat__free(p->layouts);
    return status;
}

int command_state(int argc, char **argv)
{
    state_options settings = {0};
    const option_spec options[] = {
        {"state-dir", "DIR", "of a job, running or not", OPTION_TEXT, &settings.dir, true},
        {"state", "NAME", "only this one: operator/slot", OPTION_TEXT, &settings.state, false},
        {"key", "KEY", "only this key", OPTION_TEXT, &settings.key, false}};
    const command_syntax syntax = {
        .command = "leat state",
        .operands = "",
        .about = "print the keyed state of a job, one JSON object a line",
        .examples =
            "  leat state --state-dir state\n"
            "  leat state --state-dir state --state count/acc --key ann\n\n"
            "An element of a list and an entry of a map have a line each; a timer has at_ms.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    tool_catch_signals();
    leat_error error;
    printer p = {.options = &settings};
    leat_status status = print_state(&p, &error);
    return status == LEAT_OK ? 0 : tool_fail("state", &error);
}
