/* apps/leat/options.h - a command line as a table.
 *
 *     leat produce --log embedded:data --key=user_id events a.jsonl b.jsonl
 *                  └─ option ─┘ value  └─ option ──┘ └────── operands ─────┘
 *
 * Options stand anywhere, `--name value` or `--name=value`; what follows `--` are operands.
 * Mistakes are one line that names the nearest right word, and exit code 64. */
#ifndef LEAT_APP_OPTIONS_H
#define LEAT_APP_OPTIONS_H
#include "leat/base.h"

/* COUNT: a u32 from 1 on */
typedef enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_COUNT,
    OPTION_U32,
    OPTION_I64,
} option_kind;

typedef struct option_spec {
    const char *name;     /* "key" */
    const char *argument; /* "FIELD" in the help; NULL for a flag */
    const char *help;
    option_kind kind;
    void *target; /* bool, const char *, uint32_t or int64_t (not negative) */
    bool required;
} option_spec;

typedef struct command_syntax {
    const char *command;  /* "leat produce" */
    const char *operands; /* "TOPIC [FILE...]" */
    const char *about, *examples;
    const option_spec *options;
    size_t option_count;
    size_t operand_min, operand_max;
} command_syntax;

enum { OPTIONS_GO_ON = -1 };
/* OPTIONS_GO_ON, or the exit code to end with: 0 after --help. argv[0] is the command. Operands are
 * gathered, in order, at the front of argv from 1; *operand_count says how many there are. */
int options_parse(const command_syntax *syntax, int argc, char **argv, size_t *operand_count);

#endif
