/* events/load_lines.h - the lines of a file, plain, gzip or zstd (told by its first bytes).
 *
 *   file ─► 64 KiB ─► (inflate | zstd | as it is) ─► line buffer ─► one line at a time
 *
 * A line ends with LF or CRLF, the last one also with the file.  A UTF-8 byte order mark is left
 * out.  Lines over LOAD_LINE_BYTES_MAX are passed over and reported, so memory is bounded whatever
 * the file holds.  Several gzip members or zstd frames in a row are one text. */
#ifndef RECOMMENDER_LOAD_LINES_H
#define RECOMMENDER_LOAD_LINES_H
#include "leat/base.h"

enum { LOAD_LINE_BYTES_MAX = 128 << 10 }; /* twice the largest event (EVENT_TEXT_BYTES_MAX) */

typedef struct load_lines load_lines;

typedef enum load_line_result {
    LOAD_LINE_OK,
    LOAD_LINE_TOO_LONG, /* *line holds its beginning */
    LOAD_LINE_END,
    LOAD_LINE_FAILED, /* *error says why: unreadable, damaged or cut off */
} load_line_result;

/* "-" is standard input. */
LEAT_MUST_CHECK leat_status load_lines_open(const char *path, load_lines **out, leat_error *error);
load_lines *load_lines_of_bytes(const void *bytes, size_t length); /* borrowed until closed */

/* *line is lent, and may be written to, until the next call. */
load_line_result load_lines_next(load_lines *lines, leat_str *line, leat_error *error);
uint64_t load_lines_number(const load_lines *lines);      /* of the line last returned, from 1 */
uint64_t load_lines_bytes_read(const load_lines *lines);  /* of the file, as it is on disk */
uint64_t load_lines_bytes_total(const load_lines *lines); /* 0: not known */
void load_lines_close(load_lines *lines);                 /* NULL is allowed */
#endif
