/* apps/leat/lines.h - lines of a file or pipe, in large steps and bounded memory. */
#ifndef LEAT_APP_LINES_H
#define LEAT_APP_LINES_H
#include "leat/base.h"

typedef struct lines {
    int fd;
    char *bytes;
    size_t begin, end;    /* unread bytes in `bytes` */
    size_t searched;      /* no newline before it */
    bool at_end;          /* the file has no more */
    bool too_long;        /* of the line just returned: its rest was dropped */
    uint64_t line_number; /* of the line just returned, from 1 */
    uint64_t bytes_read;
    int error_number; /* errno of a failed read; 0: none */
} lines;

void lines_open(lines *in, int fd);
void lines_close(lines *in);
/* Whether lines_next will return without waiting for input. */
bool lines_ready(lines *in);
/* The next line without its end (\n or \r\n), lent until the next call; false: the end, or an
 * error. */
bool lines_next(lines *in, leat_str *line);
#endif
