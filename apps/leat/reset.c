/* leat reset - a job begins anew: all that it keeps in the log goes, its inputs and outputs stay.
 *
 *   JOB-STAGE-changelog, JOB-STAGE-repartition ─► JOB-members ─► offsets of group JOB
 *                                                      ─► JOB-positions ─► JOB-operators
 *
 * In this order: the last topic says which stages there are, and which changelogs the state was
 * kept in. A reset that was interrupted finds the rest when it is done again, and a job that is
 * started in between says that its state is lost (R2).
 */
#include "apps/leat/table.h"
#include "apps/leat/tool.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/operators.h"
#include "log/driver.h"
#include <string.h>

typedef struct reset_options {
    const char *log, *job;
    bool dry_run, json;
} reset_options;

typedef struct names {
    char **all;
    size_t count;
} names;

typedef struct leftovers { /* what the job has in the log */
    const char *job;
    leat_log *log;
    leat__entries entries;
    bool listed;   /* the entries name all of its stages */
    names groups;  /* if not: of jobs whose names begin like this one's */
    names topics;  /* all of the log */
    names ours;    /* of stages */
    names last[2]; /* the others: before the offsets and after */
    names offsets; /* topics of which the group has committed offsets */
} leftovers;

static void add(names *to, const char *name)
{
    to->all = leat__realloc(to->all, to->count + 1, sizeof *to->all);
    to->all[to->count++] = leat__strdup(name);
}

static void free_names(names *of)
{
    for (size_t i = 0; i < of->count; i++)
        leat__free(of->all[i]);
    leat__free(of->all);
}

/* ------------------------------------------------------------------ finding */

static bool each_topic(void *arg, const char *topic, const leat_topic_opts *opts)
{
    (void)opts;
    add(&((leftovers *)arg)->topics, topic);
    return true;
}

static bool each_group(void *arg, const char *group)
{
    leftovers *l = arg;
    size_t head = strlen(l->job);
    if (strncmp(group, l->job, head) == 0 && group[head] == '-')
        add(&l->groups, group);
    return true;
}

static bool each_offset(void *arg, const leat_log_offset *offset)
{
    names *offsets = &((leftovers *)arg)->offsets;
    if (offsets->count == 0 || strcmp(offsets->all[offsets->count - 1], offset->topic) != 0)
        add(offsets, offset->topic);
    return true;
}

static bool is_stage(const leftovers *l, const char *stage)
{
    for (size_t i = 0; i < l->entries.count; i++)
        if (strcmp(l->entries.all[i].stage, stage) == 0)
            return true;
    return false;
}

static bool of_longer_name(const leftovers *l, const char *topic)
{
    for (size_t i = 0; i < l->groups.count; i++) {
        size_t length = strlen(l->groups.all[i]);
        if (strncmp(topic, l->groups.all[i], length) == 0 && topic[length] == '-')
            return true;
    }
    return false;
}

typedef struct owner {
    const char *job, *stage;
    bool sealed, ours;
} owner;

static bool first_seal(void *arg, const leat_log_record *record)
{
    owner *o = arg;
    if (!leat_str_equal(record->key, leat__seal_key))
        return true;
    o->sealed = true;
    o->ours = leat__seal_is_of(record->value, o->job, o->stage);
    return false;
}

/* "a-b", "c" and "a", "b-c" have the same changelog: its seals say whose it is. */
static leat_status is_ours(const leftovers *l, const char *topic, const char *stage, bool changelog,
                           bool *ours, leat_error *error)
{
    *ours = l->listed ? is_stage(l, stage) : !of_longer_name(l, topic);
    if (!changelog || (l->listed && !*ours))
        return LEAT_OK;
    owner o = {.job = l->job, .stage = stage};
    leat_topic_opts opts;
    leat_status status = leat_topic_describe(l->log, topic, &opts, error);
    if (status == LEAT_OK)
        status =
            leat__read_all(l->log, NULL, topic, opts.partition_count, NULL, first_seal, &o, error);
    if (o.sealed)
        *ours = o.ours;
    return status;
}

static leat_status sort_topic(leftovers *l, const char *topic, leat_error *error)
{
    static const char *const kinds[] = {"-changelog", "-repartition"};
    static const char *const singles[] = {"-members", "-positions", "-operators"};
    size_t head = strlen(l->job);
    if (strncmp(topic, l->job, head) != 0)
        return LEAT_OK;
    for (size_t k = 0; k < 3; k++)
        if (strcmp(topic + head, singles[k]) == 0)
            add(&l->last[k != 0], topic);
    leat_status status = LEAT_OK;
    for (size_t k = 0; k < 2 && status == LEAT_OK; k++) {
        char *stage = leat__stage_of_topic(l->job, topic, kinds[k]);
        bool ours = false;
        if (stage != NULL)
            status = is_ours(l, topic, stage, k == 0, &ours, error);
        if (ours && status == LEAT_OK)
            add(&l->ours, topic);
        leat__free(stage);
    }
    return status;
}

static leat_status find(leftovers *l, leat_error *error)
{
    leat_error missing;
    leat_status status = leat__entries_read(&l->entries, l->log, NULL, l->job, &missing);
    if (status == LEAT_ENOTFOUND)
        status = LEAT_OK;
    if (status != LEAT_OK)
        *error = missing;
    l->listed = leat__entry_of(&l->entries, LEAT__ENTRY_MARK_NAME) != NULL;
    if (status == LEAT_OK)
        status = leat_topic_each(l->log, each_topic, l, error);
    if (status == LEAT_OK && !l->listed)
        status = leat_log_group_each(l->log, each_group, l, error);
    for (size_t i = 0; i < l->topics.count && status == LEAT_OK; i++)
        status = sort_topic(l, l->topics.all[i], error);
    if (status == LEAT_OK)
        status = leat_log_group_offsets(l->log, l->job, each_offset, l, error);
    if (status == LEAT_OK &&
        l->ours.count + l->last[0].count + l->last[1].count + l->offsets.count == 0)
        status = leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, l->job,
                            "no job of this name has kept anything in this log; 'leat explain' "
                            "lists those that have");
    return status;
}

/* ------------------------------------------------------------------ deleting */

static void tell(table *t, const char *kind, const char *name)
{
    table_text(t, leat_str_from(kind));
    table_text(t, leat_str_from(name));
}

static leat_status delete_topics(const leftovers *l, const names *topics, bool dry_run, table *t,
                                 leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < topics->count && status == LEAT_OK; i++) {
        if (!dry_run)
            status = leat_topic_delete(l->log, topics->all[i], error);
        if (status == LEAT_OK)
            tell(t, "topic", topics->all[i]);
    }
    return status;
}

static leat_status delete_all(const leftovers *l, bool dry_run, table *t, leat_error *error)
{
    leat_status status = delete_topics(l, &l->ours, dry_run, t, error);
    if (status == LEAT_OK)
        status = delete_topics(l, &l->last[0], dry_run, t, error);
    if (status == LEAT_OK && !dry_run)
        status = leat__log_group_forget(l->log, l->job, error);
    for (size_t i = 0; i < l->offsets.count && status == LEAT_OK; i++)
        tell(t, "offsets", l->offsets.all[i]);
    return status == LEAT_OK ? delete_topics(l, &l->last[1], dry_run, t, error) : status;
}

static leat_status reset(const reset_options *asked, leat_error *error)
{
    static const table_column columns[] = {{"kind", false}, {"name", false}};
    const leat_log_opts opts = {.must_exist = true};
    leftovers l = {.job = asked->job};
    leat_status status = asked->dry_run ? tool_open_for_reading(&l.log, asked->log, error)
                                        : leat_log_open(&l.log, asked->log, &opts, error);
    if (status != LEAT_OK)
        return status;
    if (!asked->dry_run)
        status = tool_stands_still(l.log, asked->job, error);
    if (status == LEAT_OK)
        status = find(&l, error);
    table *t = table_new(columns, sizeof columns / sizeof columns[0], asked->json);
    if (status == LEAT_OK)
        status = delete_all(&l, asked->dry_run, t, error);
    table_print(t, "nothing was deleted");
    if (status == LEAT_OK && !asked->json)
        printf("%s; the job begins anew, and writes its outputs again behind what is in them. "
               "Remove its state directories, too\n",
               asked->dry_run ? "this would be deleted, nothing was" : "all this was deleted");
    leat__entries_free(&l.entries);
    names *all[] = {&l.groups, &l.topics, &l.ours, &l.last[0], &l.last[1], &l.offsets};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free_names(all[i]);
    leat_log_close(l.log);
    return status;
}

int command_reset(int argc, char **argv)
{
    reset_options asked = {0};
    const option_spec options[] = {
        TOOL_OPTION_LOG(asked.log),
        {"dry-run", NULL, "only say what would be deleted", OPTION_FLAG, &asked.dry_run, false},
        TOOL_OPTION_JSON(asked.json)};
    const command_syntax syntax = {
        .command = "leat reset",
        .operands = "JOB",
        .about = "delete all that a job keeps in the log, so that it begins anew",
        .examples =
            "  leat reset --log embedded:data --dry-run user-counts\n"
            "  leat reset --log embedded:data user-counts\n\n"
            "While the job stands still. Its changelogs, repartition topics, positions and "
            "offsets go;\nits inputs and outputs stay. Remove its state directories, too.\n",
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
    return reset(&asked, &error) == LEAT_OK ? 0 : tool_fail("reset", &error);
}
