/* leat operators - where the state of a job's operators lies, and giving it up.
 *
 *   JOB-operators ─► operator, what is stored, stage, key          --drop, --rekey ─► a new
 * revision
 */
#include "engine/operators.h"
#include "apps/leat/table.h"
#include "apps/leat/tool.h"
#include "base/env.h"
#include "base/error.h"
#include "base/mem.h"
#include <string.h>

typedef struct operators_options {
    const char *log, *drop, *rekey, *job;
    bool json;
} operators_options;

static const char *stored_of(const leat__entry *entry)
{
    if (entry->dropped)
        return "dropped";
    return entry->kind == LEAT__ENTRY_STATE      ? "state"
           : entry->kind == LEAT__ENTRY_POSITION ? "position"
                                                 : "nothing";
}

static void cell(table *t, const char *text)
{
    if (text[0] == '\0')
        table_nothing(t);
    else
        table_text(t, leat_str_from(text));
}

static void print_parts(table *t, const leat__entry *entry)
{
    for (size_t i = 0; i < entry->part_count; i++) {
        const leat__part *part = &entry->parts[i];
        bool timer = strchr(part->name, ':') != NULL;
        char *name = leat__format("%s/%s", entry->name, part->name);
        cell(t, name);
        cell(t, part->dropped ? "dropped" : timer ? "timer" : "slot");
        cell(t, entry->stage);
        cell(t, entry->key);
        leat__free(name);
    }
}

static void print_operators(const leat__entries *entries, bool json)
{
    static const table_column columns[] = {
        {"operator", false}, {"stored", false}, {"stage", false}, {"key", false}};
    table *t = table_new(columns, sizeof columns / sizeof columns[0], json);
    for (size_t i = 0; i < entries->count; i++) {
        const leat__entry *entry = &entries->all[i];
        if (strchr(entry->name, '/') != NULL) /* a mark, no operator */
            continue;
        cell(t, entry->name);
        cell(t, stored_of(entry));
        cell(t, entry->stage);
        cell(t, entry->key);
        print_parts(t, entry);
    }
    table_print(t, "no operator of this job has state");
}

static leat__entry *stored(leat__entries *entries, const char *name, leat_error *error)
{
    const leat__entry *entry = leat__entry_of(entries, name);
    if (entry != NULL && !entry->dropped &&
        (entry->kind == LEAT__ENTRY_STATE || entry->kind == LEAT__ENTRY_POSITION))
        return leat__entry_change(entries, name);
    (void)leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, name,
                     "nothing is stored of an operator of this name; without --drop and --rekey "
                     "all are listed");
    return NULL;
}

/* OPERATOR/SLOT, OPERATOR/timer:TIMER; *found false: the name is an operator's. */
static leat_status drop_part(leat__entries *entries, const char *name, bool *found,
                             leat_error *error)
{
    const char *slash = strchr(name, '/');
    *found = slash != NULL;
    if (slash == NULL)
        return LEAT_OK;
    char *operator_name = leat__strndup(name, (size_t)(slash - name));
    const leat__entry *entry = leat__entry_of(entries, operator_name);
    leat__part *part = entry == NULL ? NULL : leat__part_of(entry, leat_str_from(slash + 1));
    leat_status status = LEAT_OK;
    if (part == NULL || part->dropped) {
        status = leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, name,
                            "nothing is stored of a slot or timer of this name; without --drop "
                            "all are listed");
    } else {
        part->dropped = true;
        (void)leat__entry_change(entries, operator_name);
    }
    leat__free(operator_name);
    return status;
}

static leat_status change(const operators_options *asked, leat__entries *entries, leat_log *log,
                          leat_error *error)
{
    const char *name = asked->drop != NULL ? asked->drop : asked->rekey;
    bool is_part = false;
    leat_status status = asked->drop == NULL ? LEAT_OK : drop_part(entries, name, &is_part, error);
    if (status != LEAT_OK)
        return status;
    leat__entry *entry = is_part ? NULL : stored(entries, name, error);
    if (entry == NULL && !is_part)
        return LEAT_ENOTFOUND;
    if (entry != NULL && asked->drop != NULL)
        entry->dropped = true;
    else if (entry != NULL)
        entry->key[0] = '\0'; /* as the job keys it when it starts */
    const leat_env *env = leat__env_system();
    return leat__entries_write(entries, log, env->now_ms(env->arg), error);
}

static leat_status operators(const operators_options *asked, leat_error *error)
{
    bool writes = asked->drop != NULL || asked->rekey != NULL;
    const leat_log_opts opts = {.must_exist = true};
    leat_log *log;
    leat_status status = writes ? leat_log_open(&log, asked->log, &opts, error)
                                : tool_open_for_reading(&log, asked->log, error);
    if (status != LEAT_OK)
        return status;
    if (writes)
        status = tool_stands_still(log, asked->job, error);
    leat__entries entries = {0};
    if (status == LEAT_OK)
        status = leat__entries_read(&entries, log, NULL, asked->job, error);
    if (status == LEAT_OK && writes)
        status = change(asked, &entries, log, error);
    else if (status == LEAT_OK)
        print_operators(&entries, asked->json);
    leat__entries_free(&entries);
    leat_log_close(log);
    return status;
}

int command_operators(int argc, char **argv)
{
    operators_options asked = {0};
    const option_spec options[] = {
        TOOL_OPTION_LOG(asked.log),
        {"drop", "NAME",
         "give up what is stored of an operator, slot or timer that the job has no more",
         OPTION_TEXT, &asked.drop, false},
        {"rekey", "NAME", "its key is what the job says at the next start: the field was renamed",
         OPTION_TEXT, &asked.rekey, false},
        TOOL_OPTION_JSON(asked.json)};
    const command_syntax syntax = {
        .command = "leat operators",
        .operands = "JOB",
        .about = "the operators of a job and where their state is stored",
        .examples = "  leat operators --log embedded:data user-counts\n"
                    "  leat operators --log embedded:data --drop old-count user-counts\n\n"
                    "A slot is OPERATOR/SLOT, a timer OPERATOR/timer:TIMER. "
                    "--drop and --rekey while the job stands still. A name that was dropped can't "
                    "be used again.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .operand_min = 1,
        .operand_max = 1};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    asked.job = argv[1];
    leat_error error;
    return operators(&asked, &error) == LEAT_OK ? 0 : tool_fail("operators", &error);
}
