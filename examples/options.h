/* examples/options.h - the command line that the examples share, and how they end. */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H
#include <errno.h>
#include <leat/leat.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    const char *program, *log, *input, *output, *partitioned_by, *state_dir, *instance;
    const char *snapshot_dir;
    uint32_t snapshot_interval_ms, workers, epoch_ms, backlog_epoch_ms;
    bool until_end, drain, explain;
    leat_guarantee guarantee;
    leat_exchange exchange; /* the program's own choice */
} options;

static const char *const guarantees[] = {"exactly-once", "at-least-once", "at-most-once"};

static const struct {
    const char *name, *value, *help; /* value "": a flag; N: a number; G: a guarantee; or a text */
    size_t at;
} option_table[] = {
    {"--log", "LOG", "embedded:DIR or kafka:HOST:PORT (required)", offsetof(options, log)},
    {"--input", "TOPIC", "read this topic", offsetof(options, input)},
    {"--output", "TOPIC", "write this topic", offsetof(options, output)},
    {"--partitioned-by", "FIELD", "what the input's keys are; false: something else",
     offsetof(options, partitioned_by)},
    {"--state-dir", "DIR", "keep state on disk; else in memory", offsetof(options, state_dir)},
    {"--snapshot-dir", "DIR", "copy the state there now and then", offsetof(options, snapshot_dir)},
    {"--snapshot-interval-ms", "N", "how often (600000)", offsetof(options, snapshot_interval_ms)},
    {"--instance", "ID", "this process's own name", offsetof(options, instance)},
    {"--guarantee", "G", "exactly-once, at-least-once, at-most-once", offsetof(options, guarantee)},
    {"--workers", "N", "threads (one per core)", offsetof(options, workers)},
    {"--epoch-ms", "N", "how often to commit (1; Kafka: 5)", offsetof(options, epoch_ms)},
    {"--backlog-epoch-ms", "N", "how often while far behind (200)",
     offsetof(options, backlog_epoch_ms)},
    {"--until-end", "", "end where the input ends", offsetof(options, until_end)},
    {"--drain", "", "and fire the windows open there: no run is to go on",
     offsetof(options, drain)},
    {"--explain", "", "print the plan and end", offsetof(options, explain)},
};
enum { OPTION_COUNT = sizeof option_table / sizeof option_table[0] };

static void options_help(const options *opts, const char *about)
{
    printf("%s - %s (%s to %s)\n\n", opts->program, about, opts->input, opts->output);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        printf("  %-22s %-5s  %s\n", option_table[i].name, option_table[i].value,
               option_table[i].help);
    exit(0);
}

static _Noreturn void options_wrong(const options *opts, const char *what, const char *word)
{
    fprintf(stderr, "%s: %s %s; '%s --help' shows how\n", opts->program, what, word, opts->program);
    exit(leat_status_exit_code(LEAT_EINVAL));
}

static size_t options_find(const options *opts, const char *typed)
{
    size_t nearest = 0, most = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *name = option_table[i].name;
        size_t same = 0;
        for (; typed[same] == name[same]; same++)
            if (name[same] == '\0')
                return i;
        nearest = same > most ? i : nearest; /* the one that begins alike */
        most = same > most ? same : most;
    }
    char what[128];
    snprintf(what, sizeof what, "unknown option '%.60s', did you mean", typed);
    options_wrong(opts, what, option_table[nearest].name);
}

/* Sets one option; the value is of the kind that the table says. */
static void options_set(options *opts, size_t option, const char *value)
{
    char kind = option_table[option].value[0];
    void *target = (char *)opts + option_table[option].at;
    size_t given = 0;
    while (kind == 'G' && given < 3 && strcmp(value, guarantees[given]) != 0)
        given++;
    if (given == 3)
        options_wrong(opts, "a guarantee is exactly-once, at-least-once, at-most-once, not", value);
    if (kind == 'N' && strspn(value, "0123456789") != strlen(value))
        options_wrong(opts, "a number is needed, not", value);
    if (kind == '\0')
        *(bool *)target = true;
    else if (kind == 'N')
        *(uint32_t *)target = (uint32_t)strtoul(value, NULL, 10);
    else if (kind == 'G')
        *(leat_guarantee *)target = (leat_guarantee)given;
    else
        *(const char **)target = value;
}

static options options_parse(int argc, char **argv, const char *about, options parsed)
{
    parsed.program = program_invocation_short_name;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            options_help(&parsed, about);
        size_t option = options_find(&parsed, argv[i]);
        const char *value = option_table[option].value[0] == '\0' ? "" : argv[++i];
        if (value == NULL)
            options_wrong(&parsed, "a value is missing after", argv[i - 1]);
        options_set(&parsed, option, value);
    }
    if (parsed.partitioned_by != NULL && strcmp(parsed.partitioned_by, "false") == 0)
        parsed.partitioned_by = NULL; /* an exchange brings equal keys together */
    if (parsed.log == NULL && !parsed.explain)
        options_wrong(&parsed, "--log", "is missing");
    return parsed;
}

/* A job as the command line asks for it; its streams are the example's own. */
static leat_job *options_job(const options *opts, const char *name)
{
    return leat_job_new(&(leat_job_opts){.name = name,
                                         .log = opts->log,
                                         .state_dir = opts->state_dir,
                                         .snapshot_dir = opts->snapshot_dir,
                                         .snapshot_interval_ms = opts->snapshot_interval_ms,
                                         .instance = opts->instance,
                                         .guarantee = opts->guarantee,
                                         .exchange = opts->exchange,
                                         .worker_count = opts->workers,
                                         .epoch_ms = opts->epoch_ms,
                                         .backlog_epoch_ms = opts->backlog_epoch_ms,
                                         .drain = opts->drain});
}

/* Runs the job to its end, SIGINT or SIGTERM, and frees it; returns the exit code. */
static int options_run(const options *opts, leat_job *job)
{
    leat_error error = {.status = LEAT_OK};
    leat_job_stop_on_signals(job);
    if (opts->explain)
        leat_job_explain(job, LEAT_EXPLAIN_TEXT, stdout);
    else if (leat_job_run(job, &error) != LEAT_OK) /* the one check */
        fprintf(stderr, "%s: %s: %s\n", opts->program, error.where, error.message);
    leat_job_free(job);
    return leat_status_exit_code(error.status);
}
#endif
