/* events/load.h - reads a file of events, whatever its format, and hands them on one by one.
 *
 *   file ─► lines (plain, gzip, zstd) ─► format by header, or by name ─► interaction ─► callback
 *                                                        └ bad row: file, line, reason ─► callback
 *
 * A bad row is reported, counted and passed over; only an unreadable or damaged file, or one of an
 * unknown format, ends the load.  Formats: load_format_names(). */
#ifndef RECOMMENDER_LOAD_H
#define RECOMMENDER_LOAD_H
#include "apps/recommender/events/event.h"

typedef struct load_reject {
    const char *file;
    uint64_t line; /* from 1, the header counts */
    const char *reason;
} load_reject;

typedef struct load_options {
    const char *format; /* a name; NULL: by the first line */
    void *arg;
    /* The event is lent until it returns; false ends the load (not an error). */
    bool (*on_interaction)(void *arg, const interaction *event);
    void (*on_reject)(void *arg, const load_reject *reject);                   /* or NULL */
    void (*on_progress)(void *arg, uint64_t bytes_read, uint64_t bytes_total); /* or NULL; total 0:
                                                                                  not known */
} load_options;

typedef struct load_result {
    const char *format;
    uint64_t lines, interactions, rejected;
    bool stopped; /* by on_interaction */
} load_result;

/* "-" is standard input.  *result is filled in any case. */
LEAT_MUST_CHECK leat_status load_file(const char *path, const load_options *options,
                                      load_result *result, leat_error *error);
/* The same for bytes in memory. */
LEAT_MUST_CHECK leat_status load_bytes(const void *bytes, size_t length,
                                       const load_options *options, load_result *result,
                                       leat_error *error);
#endif
