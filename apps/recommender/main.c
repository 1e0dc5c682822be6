/* leat-recommender - clicks in, recommendations out. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "apps/recommender/commands/commands.h"
#include "apps/recommender/evaluate/evaluate.h"
#include "base/nearest.h"

static int version_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("leat-recommender %s\n", leat_version());
    return 0;
}

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", "the server: events and recommendations over HTTP, its own log or Kafka", serve_main},
    {"replay", "sends a file of events to a server, or through the job in this process",
     replay_main},
    {"evaluate", "measures the quality of recommendations on files of clicks", evaluate_main},
    {"index", "prints the session index that the committed sessions give", index_main},
    {"version", "prints the version", version_main},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int usage(FILE *out)
{
    fprintf(out, "usage: leat-recommender COMMAND [options]     COMMAND --help says more\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    return out == stdout ? 0 : leat_status_exit_code(LEAT_EINVAL);
}

int main(int argc, char **argv)
{
    /* A dozen threads that pass buffers on to each other: an arena for each of them would hold a
     * hundred megabytes of free memory. Two are as fast. */
    (void)mallopt(M_ARENA_MAX, 2);
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0)
        return version_main(argc, argv);
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    const char *near = leat__nearest(argv[1], names, COMMANDS);
    leat_error error = {.status = LEAT_EINVAL};
    snprintf(error.message, sizeof error.message, "there is no command '%.64s'%s%s; see --help",
             argv[1], near == NULL ? "" : ", did you mean ", near == NULL ? "" : near);
    return command_failed(&error);
}
