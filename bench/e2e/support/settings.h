/* bench/e2e/support/settings.h - a command line of NAME=VALUE words, all of them optional.
 *
 *     load live broker=127.0.0.1:9092 rate=1000 consumer.fetch.min.bytes=1
 *
 * A name with a dot is librdkafka's, after "consumer." or "producer." (see client.h). */
#ifndef BENCH_E2E_SETTINGS_H
#define BENCH_E2E_SETTINGS_H
#include <stddef.h>
#include <stdint.h>

typedef struct setting {
    const char *name, *help;
    uint64_t *number;  /* one of the two */
    const char **text; /* borrowed from argv */
} setting;

/* Ends the program with 64 and one line where a word is not understood. */
void settings_parse(const setting *table, size_t count, int argc, char **argv);
#endif
