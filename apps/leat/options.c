/* apps/leat/options.c - reads a command line by its table, prints its help.
 *
 *     argv ─► option? ─► name in the table? ─► value ─► target
 *               │no         │no: nearest name, 64
 *               └─► moved to the front of argv
 */
#include "apps/leat/options.h"
#include "base/nearest.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 40, HELP_COLUMN = 26 };

/* ------------------------------------------------------------------ help */

static void print_help(const command_syntax *syntax)
{
    printf("%s - %s\n\nusage: %s [options] %s\n\noptions\n", syntax->command, syntax->about,
           syntax->command, syntax->operands);
    for (size_t i = 0; i < syntax->option_count; i++) {
        const option_spec *option = &syntax->options[i];
        char left[64];
        snprintf(left, sizeof left, "  --%s%s%s", option->name, option->argument == NULL ? "" : " ",
                 option->argument == NULL ? "" : option->argument);
        printf("%-*s %s%s\n", HELP_COLUMN, left, option->help,
               option->required ? " (required)" : "");
    }
    printf("%-*s this text\n\nexamples\n%s", HELP_COLUMN, "  --help", syntax->examples);
}

/* ------------------------------------------------------------------ values */

static int usage_error(const command_syntax *syntax, const char *what, const char *quoted,
                       const char *remedy)
{
    fprintf(stderr, "%s: %s '%s'%s%s; '%s --help' shows how\n", syntax->command, what, quoted,
            remedy == NULL ? "" : ", did you mean '", remedy == NULL ? "" : remedy,
            syntax->command);
    return leat_status_exit_code(LEAT_EINVAL);
}

static int unknown_option(const command_syntax *syntax, const char *typed)
{
    const char *names[WORD_MAX];
    char suggestion[WORD_MAX + 8];
    size_t count = 0;
    for (; count < syntax->option_count && count < WORD_MAX; count++)
        names[count] = syntax->options[count].name;
    char name[WORD_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(typed + 2, "="), typed + 2);
    const char *nearest = leat__nearest(name, names, count);
    if (nearest != NULL)
        snprintf(suggestion, sizeof suggestion, "--%.30s'", nearest);
    return usage_error(syntax, "unknown option", typed, nearest == NULL ? NULL : suggestion);
}

static bool parse_number(const char *text, int64_t most, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < 0 || number > most)
        return false;
    *value = number;
    return true;
}

static bool store_value(const option_spec *option, const char *text)
{
    int64_t number;
    if (option->kind == OPTION_FLAG) {
        *(bool *)option->target = true;
        return true;
    }
    if (option->kind == OPTION_TEXT) {
        *(const char **)option->target = text;
        return *text != '\0';
    }
    if (!parse_number(text, option->kind == OPTION_I64 ? INT64_MAX : UINT32_MAX, &number) ||
        (option->kind == OPTION_COUNT && number == 0))
        return false;
    if (option->kind == OPTION_I64)
        *(int64_t *)option->target = number;
    else
        *(uint32_t *)option->target = (uint32_t)number;
    return true;
}

/* ------------------------------------------------------------------ the whole line */

static const option_spec *find_option(const command_syntax *syntax, const char *argument)
{
    size_t length = strcspn(argument + 2, "=");
    for (size_t i = 0; i < syntax->option_count; i++)
        if (strlen(syntax->options[i].name) == length &&
            strncmp(argument + 2, syntax->options[i].name, length) == 0)
            return &syntax->options[i];
    return NULL;
}

/* Takes argv[*at] and its value; moves *at to the last argument taken. */
static int take_option(const command_syntax *syntax, int argc, char **argv, int *at)
{
    const char *argument = argv[*at];
    const option_spec *option = find_option(syntax, argument);
    if (option == NULL)
        return unknown_option(syntax, argument);
    const char *value = strchr(argument, '=');
    if (option->kind == OPTION_FLAG && value != NULL)
        return usage_error(syntax, "no value belongs to", argument, NULL);
    if (option->kind != OPTION_FLAG && value == NULL && *at + 1 == argc)
        return usage_error(syntax, "a value is missing after", argument, NULL);
    if (value != NULL)
        value++;
    else if (option->kind != OPTION_FLAG)
        value = argv[++*at];
    if (store_value(option, value))
        return OPTIONS_GO_ON;
    char what[80];
    snprintf(what, sizeof what, "--%.30s needs %s, not", option->name,
             option->kind == OPTION_TEXT ? "a text" : "a number");
    return usage_error(syntax, what, value, NULL);
}

static int check_complete(const command_syntax *syntax, const bool *given, size_t operand_count)
{
    for (size_t i = 0; i < syntax->option_count; i++) {
        const option_spec *option = &syntax->options[i];
        if (!option->required || given[i])
            continue;
        fprintf(stderr, "%s: --%s %s is required; '%s --help' shows how\n", syntax->command,
                option->name, option->argument, syntax->command);
        return leat_status_exit_code(LEAT_EINVAL);
    }
    if (operand_count >= syntax->operand_min)
        return OPTIONS_GO_ON;
    fprintf(stderr, "%s: %s is missing; '%s --help' shows how\n", syntax->command, syntax->operands,
            syntax->command);
    return leat_status_exit_code(LEAT_EINVAL);
}

int options_parse(const command_syntax *syntax, int argc, char **argv, size_t *operand_count)
{
    bool given[WORD_MAX] = {false}, only_operands = false;
    *operand_count = 0;
    for (int at = 1; at < argc; at++) {
        char *argument = argv[at];
        if (!only_operands && (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)) {
            print_help(syntax);
            return 0;
        }
        if (!only_operands && strcmp(argument, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strncmp(argument, "--", 2) == 0) {
            int code = take_option(syntax, argc, argv, &at);
            if (code != OPTIONS_GO_ON)
                return code;
            given[find_option(syntax, argument) - syntax->options] = true;
        } else if (!only_operands && argument[0] == '-' && argument[1] != '\0') {
            return usage_error(syntax, "unknown option", argument, NULL);
        } else if (*operand_count == syntax->operand_max) {
            return usage_error(syntax, "one argument too many,", argument, NULL);
        } else {
            argv[++*operand_count] = argument;
        }
    }
    return check_complete(syntax, given, *operand_count);
}
