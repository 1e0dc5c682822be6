/* commands/commands.h - what `leat-recommender` can be told; each returns the exit code. */
#ifndef RECOMMENDER_COMMANDS_H
#define RECOMMENDER_COMMANDS_H
#include "apps/recommender/commands/flags.h"
#include "apps/recommender/job/recommender_job.h"

int serve_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int index_main(int argc, char **argv);

/* Prints "leat-recommender: WHERE: MESSAGE" to stderr; returns the exit code (docs/exit-codes.md).
 */
int command_failed(const leat_error *error);

enum { SETTINGS_FLAGS = 24 };
/* The flags that every command with a job or an index has: writes SETTINGS_FLAGS rows. */
void settings_flags(recommender_settings *settings, flag table[SETTINGS_FLAGS]);
#endif
