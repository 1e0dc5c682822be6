#include "base/log_line.h"
#include "base/buffer.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 2048 }; /* one write(2) stays one line in a pipe (PIPE_BUF is 4096) */

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static leat__log_level lowest = LEAT__INFO;
static bool as_json;
static pthread_once_t configured = PTHREAD_ONCE_INIT;

static void configure(void)
{
    const char *level = getenv("LEAT_LOG_LEVEL"), *format = getenv("LEAT_LOG_FORMAT");
    for (int i = LEAT__DEBUG; level != NULL && i <= LEAT__ERROR; i++)
        if (strcasecmp(level, level_names[i]) == 0)
            lowest = (leat__log_level)i;
    as_json = format != NULL && strcasecmp(format, "json") == 0;
}

bool leat__log_enabled(leat__log_level level)
{
    pthread_once(&configured, configure);
    return level >= lowest;
}

static void append_time(leat__buffer *line)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char text[24];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    leat__buffer_format(line, "%s.%03dZ", text, (int)(now.tv_nsec / 1000000));
}

static void append_json(leat__buffer *line, const char *level, const char *area, const char *text)
{
    leat__buffer_text(line, "{\"time\":\"");
    append_time(line);
    leat__buffer_format(line, "\",\"level\":\"%s\",\"area\":", level);
    leat__buffer_json_str(line, leat_str_from(area));
    leat__buffer_text(line, ",\"message\":");
    leat__buffer_json_str(line, leat_str_from(text));
    leat__buffer_text(line, "}\n");
}

static void append_text(leat__buffer *line, const char *level, const char *area, const char *text)
{
    append_time(line);
    leat__buffer_format(line, " %-5s %-7s ", level, area);
    for (; *text != '\0'; text++)
        leat__buffer_u8(line, (unsigned char)*text < 0x20 ? (uint8_t)' ' : (uint8_t)*text);
    leat__buffer_text(line, "\n");
}

void leat__log_line(leat__log_level level, const char *area, const char *format, ...)
{
    if (!leat__log_enabled(level))
        return;
    char text[TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    leat__buffer line = {0};
    (as_json ? append_json : append_text)(&line, level_names[level], area, text);
    ssize_t written = write(STDERR_FILENO, line.data, line.length);
    (void)written; /* nowhere left to complain to */
    leat__buffer_free(&line);
}
