/* serve/http_answer.c - problems, arguments, counters: what handlers call. */
#include <stdarg.h>
#include <string.h>

#include "apps/recommender/serve/http_private.h"

static const struct {
    int status;
    const char *title;
} titles[HTTP_STATUS_SLOTS] = {
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {507, "Insufficient Storage"},
};

int http_status_of_slot(unsigned slot)
{
    return slot < HTTP_STATUS_SLOTS ? titles[slot].status : 0;
}

static const char *title_of(int status)
{
    for (unsigned i = 0; i < HTTP_STATUS_SLOTS; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

LEAT_PRINTF(4, 0)
static void problem_start(http_exchange *exchange, int status, const char *slug, const char *format,
                          va_list args)
{
    char detail[600];
    int written = vsnprintf(detail, sizeof detail, format, args);
    size_t length = written < 0 ? 0 : (size_t)written;
    if (length >= sizeof detail)
        length = sizeof detail - 1;
    exchange->status = status;
    exchange->answer_type = "application/problem+json";
    exchange->out->length = 0;
    leat__buffer_format(
        exchange->out,
        "{\"type\":\"urn:leat:problem:%s\",\"title\":\"%s\",\"status\":%d,\"detail\":", slug,
        title_of(status), status);
    leat__buffer_json_str(exchange->out, (leat_str){detail, length});
}

void http_problem_begin(http_exchange *exchange, int status, const char *slug, const char *format,
                        ...)
{
    va_list args;
    va_start(args, format);
    problem_start(exchange, status, slug, format, args);
    va_end(args);
}

void http_problem_end(http_exchange *exchange)
{
    leat__buffer_text(exchange->out, "}\n");
}

void http_problem(http_exchange *exchange, int status, const char *slug, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    problem_start(exchange, status, slug, format, args);
    va_end(args);
    http_problem_end(exchange);
}

const char *http_header(http_exchange *exchange, const char *name)
{
    http_item *item = (http_item *)exchange;
    return MHD_lookup_connection_value(item->connection, MHD_HEADER_KIND, name);
}

void http_add_header(http_exchange *exchange, const char *name, const char *value)
{
    if (exchange->header_count == HTTP_HEADERS_MAX)
        return;
    size_t length = strcspn(value, "\r\n");
    char *copy = leat__arena_copy(exchange->arena, value, length + 1);
    copy[length] = '\0';
    exchange->headers[exchange->header_count].name = name;
    exchange->headers[exchange->header_count++].value = copy;
}

leat_str http_argument(http_exchange *exchange, const char *name)
{
    http_item *item = (http_item *)exchange;
    const char *value = MHD_lookup_connection_value(item->connection, MHD_GET_ARGUMENT_KIND, name);
    if (value == NULL)
        return (leat_str){NULL, 0};
    size_t length = strlen(value);
    char *copy = leat__arena_copy(exchange->arena, value, length + 1);
    if (!http_percent_decode(copy, &length))
        return (leat_str){copy, strlen(value)};
    return (leat_str){copy, length};
}

bool http_number_argument(http_exchange *exchange, const char *name, uint32_t least, uint32_t most,
                          uint32_t *value)
{
    leat_str text = http_argument(exchange, name);
    if (text.data == NULL)
        return true;
    uint64_t number = 0;
    bool valid = text.length > 0 && text.length <= 10;
    for (size_t i = 0; valid && i < text.length; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        valid = digit <= 9;
        number = number * 10 + digit;
    }
    if (valid && number >= least && number <= most) {
        *value = (uint32_t)number;
        return true;
    }
    http_problem(exchange, 400, "bad-argument", "%s must be a whole number from %u to %u", name,
                 least, most);
    return false;
}

bool http_bool_argument(http_exchange *exchange, const char *name, bool *value)
{
    static const char *const yes[] = {"1", "true", "yes", ""}, *const no[] = {"0", "false", "no"};
    leat_str text = http_argument(exchange, name);
    if (text.data == NULL)
        return true;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (leat_str_equal(text, leat_str_from(yes[i])))
            return *value = true;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (leat_str_equal(text, leat_str_from(no[i])))
            return !(*value = false);
    http_problem(exchange, 400, "bad-argument", "%s must be 1 or 0", name);
    return false;
}

void http_server_counts(http_server *server, size_t route, http_counts *counts)
{
    memset(counts, 0, sizeof *counts);
    pthread_mutex_lock(&server->lock);
    for (http_slot *slot = server->slots; slot != NULL; slot = slot->next) {
        const http_counts *from = &slot->counts[route];
        for (unsigned i = 0; i < HTTP_STATUS_SLOTS; i++)
            counts->by_status[i] += __atomic_load_n(&from->by_status[i], __ATOMIC_RELAXED);
        leat__histogram_merge(&counts->duration_us, &from->duration_us);
    }
    pthread_mutex_unlock(&server->lock);
}
