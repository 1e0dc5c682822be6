/* apps/leat/tool.h - what the commands share. */
#ifndef LEAT_APP_TOOL_H
#define LEAT_APP_TOOL_H
#include "apps/leat/options.h"
#include "base/buffer.h"
#include "leat/log.h"
#include <signal.h>

/* Each takes its own arguments, argv[0] being its name, and returns the exit code. */
int command_topics(int argc, char **argv);
int command_produce(int argc, char **argv);
int command_consume(int argc, char **argv);
int command_offsets(int argc, char **argv);
int command_state(int argc, char **argv);
int command_operators(int argc, char **argv);
int command_reset(int argc, char **argv);
int command_explain(int argc, char **argv);

/* The options that most commands have. */
#define TOOL_OPTION_LOG(variable)                                                              \
    {                                                                                          \
        "log", "LOG", "the log: embedded:DIR, kafka:HOST:PORT", OPTION_TEXT, &(variable), true \
    }
#define TOOL_OPTION_JSON(variable)                                                                 \
    {                                                                                              \
        "json", NULL, "one JSON object a line instead of a table", OPTION_FLAG, &(variable), false \
    }

/* "leat produce: topic 'x': message" on stderr; returns the status's exit code. */
int tool_fail(const char *command, const leat_error *error);

/* Opens a log that exists for reading, also while a job holds it. */
leat_status tool_open_for_reading(leat_log **log, const char *url, leat_error *error);

/* LEAT_ELOCKED: processes of the job are at work, which would not see a change of what it keeps. */
leat_status tool_stands_still(leat_log *log, const char *job, leat_error *error);

/* Set by SIGINT and SIGTERM once tool_catch_signals was called. */
extern volatile sig_atomic_t tool_stopped;
void tool_catch_signals(void);

/* Writes all of it to stdout and empties it; false: nobody reads any more (the pipe is closed) or
 * the disk is full, and *error says which (LEAT_OK: the pipe). */
bool tool_write(leat__buffer *out, leat_error *error);

/* The number of records in [begin, end) as text with thousands separated; lent, four in turn. */
const char *tool_thousands(uint64_t number);
#endif
