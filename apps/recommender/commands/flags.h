/* commands/flags.h - command line flags and the configuration file, from one table.
 *
 *   {"listen", FLAG_TEXT, &options.listen, .help = "..."}     --listen A, --listen=A, in a file:
 * listen: A
 *
 * A file is the flat part of YAML: `name: value` lines, # comments, quotes if wanted.  Flags win
 * over the file.  Every mistake is LEAT_EINVAL with one line that says where and what was meant. */
#ifndef RECOMMENDER_FLAGS_H
#define RECOMMENDER_FLAGS_H
#include "leat/base.h"

typedef enum flag_kind {
    FLAG_TEXT,     /* const char * */
    FLAG_U32,      /* uint32_t */
    FLAG_U64,      /* uint64_t */
    FLAG_DURATION, /* int64_t ms: 500ms, 30s, 5m, 1h, 7d */
    FLAG_SIZE,     /* uint64_t bytes: 512K, 64M, 2G */
    FLAG_BOOL,     /* bool: the flag alone, or =true, =false */
} flag_kind;

typedef struct flag {
    const char *name; /* without the dashes */
    flag_kind kind;
    void *target;         /* holds the default before */
    uint64_t least, most; /* of numbers; most 0: no bound; durations in ms */
    const char *value;    /* what --help calls the value; NULL: by kind */
    const char *help;
} flag;

typedef struct flags {
    const flag *table;
    size_t count;
    const char **words; /* arguments that are no flags; room for word_capacity */
    size_t word_count, word_capacity;
    bool help;  /* --help or -h was given */
    char *file; /* contents of --config, which texts point into; flags_free */
} flags;

/* argv[0] is skipped. */
LEAT_MUST_CHECK leat_status flags_parse(flags *self, int argc, char **argv, leat_error *error);
void flags_print(const flags *self, FILE *out);
void flags_free(flags *self);

bool duration_parse(const char *text, int64_t *ms);
bool size_parse(const char *text, uint64_t *bytes);
#endif
