#include "apps/leat/lines.h"
#include "apps/leat/tool.h"
#include "base/limits.h"
#include "base/mem.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum {
    CAPACITY_BYTES = LEAT__RECORD_BYTES_MAX + (1 << 20)
}; /* the longest line, and room to read */

void lines_open(lines *in, int fd)
{
    *in = (lines){.fd = fd, .bytes = leat__alloc(CAPACITY_BYTES)};
}

void lines_close(lines *in)
{
    leat__free(in->bytes);
}

static const char *find_newline(lines *in)
{
    const char *found = memchr(in->bytes + in->searched, '\n', in->end - in->searched);
    if (found == NULL)
        in->searched = in->end;
    return found;
}

bool lines_ready(lines *in)
{
    if (in->at_end || find_newline(in) != NULL)
        return true;
    struct pollfd input = {.fd = in->fd, .events = POLLIN};
    return poll(&input, 1, 0) != 0;
}

static void fill(lines *in)
{
    if (in->begin > 0) {
        memmove(in->bytes, in->bytes + in->begin, in->end - in->begin);
        in->end -= in->begin;
        in->searched -= in->begin;
        in->begin = 0;
    }
    ssize_t got = read(in->fd, in->bytes + in->end, CAPACITY_BYTES - in->end);
    if (got > 0) {
        in->end += (size_t)got;
        in->bytes_read += (uint64_t)got;
    } else if (got == 0 || errno != EINTR || tool_stopped) {
        in->at_end = true;
        if (got < 0 && errno != EINTR)
            in->error_number = errno;
    }
}

bool lines_next(lines *in, leat_str *line)
{
    const char *newline;
    in->too_long = false;
    while ((newline = find_newline(in)) == NULL && !in->at_end) {
        if (in->end - in->begin > LEAT__RECORD_BYTES_MAX) { /* keep the beginning for the message */
            in->too_long = true;
            in->end = in->searched = in->begin + 80;
        }
        fill(in);
    }
    if (newline == NULL && in->begin == in->end)
        return false;
    size_t length = (newline == NULL ? in->end : (size_t)(newline - in->bytes)) - in->begin;
    *line = (leat_str){in->bytes + in->begin, length};
    in->begin += length + (newline != NULL);
    in->searched = in->begin;
    in->line_number++;
    in->too_long |= length > LEAT__RECORD_BYTES_MAX;
    if (line->length > 0 && line->data[line->length - 1] == '\r')
        line->length--;
    return true;
}
