/* leat - topics, records, offsets and state of a log, from the command line. */
#include "apps/leat/tool.h"
#include "base/nearest.h"
#include <stdlib.h>
#include <string.h>

static int command_version(int argc, char **argv);
static int command_help(int argc, char **argv);

static const struct {
    const char *name, *about;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"topics", "list topics, create or delete one", command_topics},
    {"produce", "append lines of JSON to a topic", command_produce},
    {"consume", "print a topic's records", command_consume},
    {"offsets", "how far each job has read", command_offsets},
    {"state", "print the keyed state of a job", command_state},
    {"operators", "a job's operators, where their state is, giving it up", command_operators},
    {"reset", "delete all that a job keeps, so that it begins anew", command_reset},
    {"explain", "the jobs of a log: what they read, how far, their state", command_explain},
    {"version", "print the version", command_version},
    {"help", "explain a command", command_help},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    puts("leat - streams on a log, exactly once\n\nusage: leat COMMAND [options]\n\ncommands");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].about);
    puts("\nexamples\n"
         "  leat topics --log embedded:data --create events --partitions 4\n"
         "  leat produce --log embedded:data events --key user_id < events.jsonl\n"
         "  leat consume --log embedded:data counts --until-end\n\n"
         "'leat COMMAND --help' explains a command. A LOG is embedded:DIR or kafka:HOST:PORT.\n"
         "Exit codes are listed in docs/exit-codes.md; 0 is success, 64 a wrong command line.");
}

static int command_version(int argc, char **argv)
{
    bool json = false;
    const option_spec options[] = {TOOL_OPTION_JSON(json)};
    const command_syntax syntax = {.command = "leat version",
                                   .operands = "",
                                   .about = "print the version",
                                   .examples = "  leat version\n  leat version --json\n",
                                   .options = options,
                                   .option_count = 1};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    printf(json ? "{\"version\":\"%s\"}\n" : "leat %s\n", leat_version());
    return 0;
}

static int unknown_command(const char *typed)
{
    const char *names[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    const char *nearest = leat__nearest(typed, names, COMMAND_COUNT);
    fprintf(stderr, "leat: unknown command '%s'%s%s%s; 'leat --help' lists them\n", typed,
            nearest == NULL ? "" : ", did you mean '", nearest == NULL ? "" : nearest,
            nearest == NULL ? "" : "'");
    return leat_status_exit_code(LEAT_EINVAL);
}

static int run_command(int argc, char **argv)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    return unknown_command(argv[0]);
}

static int command_help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-' || strcmp(argv[1], "help") == 0) {
        print_help();
        return 0;
    }
    char help[] = "--help", *arguments[] = {argv[1], help, NULL};
    return run_command(2, arguments);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "leat: a command is missing; 'leat --help' lists them\n");
        return leat_status_exit_code(LEAT_EINVAL);
    }
    char version[] = "version";
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help(1, argv);
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    int code = run_command(argc - 1, argv + 1);
    /* A full disk shows up when the last bytes are written: they must not be lost silently. */
    if (fflush(stdout) != 0 && code == 0) {
        fprintf(stderr, "leat: stdout could not be written\n");
        return leat_status_exit_code(LEAT_EIO);
    }
    return code;
}
