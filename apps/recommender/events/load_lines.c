/* events/load_lines.c
 *
 *   input  [....raw bytes....]   refilled from the file (or the caller's memory, all at once)
 *   text   [taken | line line li]   refilled by the decoder behind what is left of the last line
 */
#include "apps/recommender/events/load_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "base/mem.h"

enum {
    INPUT_BYTES = 64 << 10,
    TEXT_BYTES = LOAD_LINE_BYTES_MAX + INPUT_BYTES,
    SHOWN_OF_LONG_LINE = 64,
    GZIP_WINDOW_BITS = 15 + 16, /* zlib: 16 asks for the gzip wrapper */
};

typedef enum coding { CODING_UNKNOWN, CODING_PLAIN, CODING_GZIP, CODING_ZSTD } coding;

struct load_lines {
    int file; /* -1: memory */
    char *path;
    const char *input;
    char *input_buffer;
    size_t input_length, input_taken;
    bool input_ended;
    coding coding;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool inside_frame; /* the decoder has begun a member or frame that has not ended */
    char *text;
    size_t text_length, text_taken;
    bool text_ended, at_start;
    uint64_t number, bytes_read, bytes_total;
};

static load_lines *new_lines(const char *path, int file)
{
    load_lines *lines = leat__calloc(1, sizeof *lines);
    lines->file = file;
    lines->path = leat__strdup(path);
    lines->text = leat__alloc(TEXT_BYTES);
    lines->at_start = true;
    return lines;
}

leat_status load_lines_open(const char *path, load_lines **out, leat_error *error)
{
    int file = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        leat_status status = errno == ENOENT ? LEAT_ENOTFOUND : leat__errno_status(errno);
        return leat__fail(error, status, LEAT_RECOVERY_FATAL, "file", "%s can't be opened: %s",
                          path, strerror(errno));
    }
    *out = new_lines(path, file);
    (*out)->input_buffer = leat__alloc(INPUT_BYTES);
    (*out)->input = (*out)->input_buffer;
    struct stat about;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode))
        (*out)->bytes_total = (uint64_t)about.st_size;
    return LEAT_OK;
}

load_lines *load_lines_of_bytes(const void *bytes, size_t length)
{
    load_lines *lines = new_lines("memory", -1);
    lines->input = bytes;
    lines->input_length = length;
    lines->input_ended = true;
    lines->bytes_read = lines->bytes_total = length;
    return lines;
}

void load_lines_close(load_lines *lines)
{
    if (lines == NULL)
        return;
    if (lines->file >= 0)
        close(lines->file);
    if (lines->coding == CODING_GZIP)
        inflateEnd(&lines->gzip);
    ZSTD_freeDStream(lines->zstd);
    leat__free(lines->input_buffer);
    leat__free(lines->text);
    leat__free(lines->path);
    leat__free(lines);
}

uint64_t load_lines_number(const load_lines *lines)
{
    return lines->number;
}
uint64_t load_lines_bytes_read(const load_lines *lines)
{
    return lines->bytes_read;
}
uint64_t load_lines_bytes_total(const load_lines *lines)
{
    return lines->bytes_total;
}

/* ------------------------------------------------------------------ decoding */

static leat_status read_input(load_lines *lines, leat_error *error)
{
    if (lines->input_taken < lines->input_length || lines->input_ended)
        return LEAT_OK;
    ssize_t got;
    do
        got = read(lines->file, lines->input_buffer, INPUT_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "file", "%s can't be read: %s",
                          lines->path, strerror(errno));
    lines->input_taken = 0;
    lines->input_length = (size_t)got;
    lines->input_ended = got == 0;
    lines->bytes_read += (size_t)got;
    return LEAT_OK;
}

static void tell_coding(load_lines *lines)
{
    const unsigned char *start = (const unsigned char *)lines->input;
    lines->coding = CODING_PLAIN;
    if (lines->input_length >= 2 && start[0] == 0x1f && start[1] == 0x8b) {
        if (inflateInit2(&lines->gzip, GZIP_WINDOW_BITS) == Z_OK)
            lines->coding = CODING_GZIP;
    } else if (lines->input_length >= 4 && memcmp(start, "\x28\xb5\x2f\xfd", 4) == 0) {
        lines->zstd = ZSTD_createDStream();
        if (lines->zstd != NULL)
            lines->coding = CODING_ZSTD;
    }
}

static leat_status damaged(const load_lines *lines, const char *what, leat_error *error)
{
    return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, "file",
                      "%s is damaged or cut off (%s), after %llu lines", lines->path, what,
                      (unsigned long long)lines->number);
}

static leat_status decode_gzip(load_lines *lines, void *to, size_t room, size_t *made,
                               leat_error *error)
{
    z_stream *gzip = &lines->gzip;
    size_t available = lines->input_length - lines->input_taken;
    const unsigned char *from = (const unsigned char *)lines->input + lines->input_taken;
    if (!lines->inside_frame && inflateReset(gzip) != Z_OK)
        return damaged(lines, "gzip", error);
    lines->inside_frame = true;
    memcpy(&gzip->next_in, &from, sizeof from); /* zlib only reads it, but does not say const */
    gzip->avail_in = available > UINT32_MAX ? UINT32_MAX : (unsigned)available;
    unsigned offered = gzip->avail_in;
    gzip->next_out = to;
    gzip->avail_out = (unsigned)room;
    int result = inflate(gzip, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return damaged(lines, gzip->msg != NULL ? gzip->msg : "gzip", error);
    if (result == Z_STREAM_END)
        lines->inside_frame = false;
    lines->input_taken += offered - gzip->avail_in;
    *made = room - gzip->avail_out;
    return LEAT_OK;
}

static leat_status decode_zstd(load_lines *lines, char *to, size_t room, size_t *made,
                               leat_error *error)
{
    ZSTD_inBuffer in = {lines->input + lines->input_taken, lines->input_length - lines->input_taken,
                        0};
    ZSTD_outBuffer out = {.size = room};
    out.dst = to;
    size_t result = ZSTD_decompressStream(lines->zstd, &out, &in);
    if (ZSTD_isError(result))
        return damaged(lines, ZSTD_getErrorName(result), error);
    lines->inside_frame = result != 0;
    lines->input_taken += in.pos;
    *made = out.pos;
    return LEAT_OK;
}

static size_t copy_plain(load_lines *lines, char *to, size_t room)
{
    size_t available = lines->input_length - lines->input_taken;
    size_t made = available < room ? available : room;
    memcpy(to, lines->input + lines->input_taken, made);
    lines->input_taken += made;
    return made;
}

/* Moves the rest of the text to the front and adds what the decoder gives next. */
static leat_status refill(load_lines *lines, leat_error *error)
{
    size_t rest = lines->text_length - lines->text_taken;
    memmove(lines->text, lines->text + lines->text_taken, rest);
    lines->text_taken = 0;
    lines->text_length = rest;
    size_t made = 0;
    while (made == 0 && !lines->text_ended) {
        leat_status status = read_input(lines, error);
        if (status != LEAT_OK)
            return status;
        if (lines->coding == CODING_UNKNOWN)
            tell_coding(lines);
        bool no_input = lines->input_taken == lines->input_length;
        if (no_input && !lines->inside_frame) {
            lines->text_ended = true;
            break;
        }
        char *to = lines->text + rest;
        size_t room = TEXT_BYTES - rest, taken_before = lines->input_taken;
        if (lines->coding == CODING_GZIP) {
            status = decode_gzip(lines, to, room, &made, error);
        } else if (lines->coding == CODING_ZSTD) {
            status = decode_zstd(lines, to, room, &made, error);
        } else {
            made = copy_plain(lines, to, room);
        }
        if (status != LEAT_OK)
            return status;
        bool stuck = made == 0 && lines->input_taken == taken_before && lines->inside_frame;
        if (stuck && lines->input_ended)
            return damaged(lines, "the end is missing", error);
    }
    lines->text_length += made;
    return LEAT_OK;
}

/* ------------------------------------------------------------------ lines */

static void leave_out_byte_order_mark(load_lines *lines)
{
    if (!lines->at_start)
        return;
    lines->at_start = false;
    if (lines->text_length - lines->text_taken >= 3 &&
        memcmp(lines->text + lines->text_taken, "\xef\xbb\xbf", 3) == 0)
        lines->text_taken += 3;
}

/* Drops the rest of a line that does not fit; its beginning stays in `shown`. */
static load_line_result pass_over(load_lines *lines, leat_str *line, leat_error *error)
{
    static const char *const no_line = "";
    char shown[SHOWN_OF_LONG_LINE];
    memcpy(shown, lines->text + lines->text_taken, sizeof shown);
    for (;;) {
        char *start = lines->text + lines->text_taken;
        size_t available = lines->text_length - lines->text_taken;
        char *end = memchr(start, '\n', available);
        lines->text_taken += end != NULL ? (size_t)(end - start) + 1 : available;
        if (end != NULL || lines->text_ended)
            break;
        *line = (leat_str){no_line, 0};
        if (refill(lines, error) != LEAT_OK)
            return LOAD_LINE_FAILED;
    }
    /* The place before what was taken is free now; the beginning is lent from there. */
    if (lines->text_taken < sizeof shown) {
        *line = (leat_str){no_line, 0};
    } else {
        memcpy(lines->text, shown, sizeof shown);
        *line = (leat_str){lines->text, sizeof shown};
    }
    lines->number++;
    return LOAD_LINE_TOO_LONG;
}

load_line_result load_lines_next(load_lines *lines, leat_str *line, leat_error *error)
{
    size_t searched = 0;
    for (;;) {
        char *start = lines->text + lines->text_taken;
        size_t available = lines->text_length - lines->text_taken;
        char *end = memchr(start + searched, '\n', available - searched);
        bool last = end == NULL && lines->text_ended;
        if (last && available == 0)
            return LOAD_LINE_END;
        if (end == NULL && !last) {
            if (available > LOAD_LINE_BYTES_MAX)
                return pass_over(lines, line, error);
            searched = available;
            if (refill(lines, error) != LEAT_OK)
                return LOAD_LINE_FAILED;
            if (lines->at_start) {
                leave_out_byte_order_mark(lines);
                searched = 0;
            }
            continue;
        }
        size_t length = last ? available : (size_t)(end - start);
        if (length > LOAD_LINE_BYTES_MAX)
            return pass_over(lines, line, error);
        lines->text_taken += length + (last ? 0 : 1);
        lines->number++;
        if (length > 0 && start[length - 1] == '\r')
            length--;
        *line = (leat_str){start, length};
        return LOAD_LINE_OK;
    }
}
