/* serve/http_route.c - which handler a path belongs to, and what is in the path. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "apps/recommender/serve/http.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool http_percent_decode(char *text, size_t *length)
{
    size_t to = 0;
    for (size_t from = 0; from < *length; from++, to++) {
        if (text[from] != '%') {
            text[to] = text[from];
            continue;
        }
        if (*length - from < 3)
            return false;
        int high = hex_digit(text[from + 1]), low = hex_digit(text[from + 2]);
        if (high < 0 || low < 0 || high + low == 0)
            return false;
        text[to] = (char)(high * 16 + low);
        from += 2;
    }
    *length = to;
    return true;
}

static bool path_matches(const http_route *route, const char *path, size_t length,
                         leat_str *parameter)
{
    size_t prefix = strlen(route->prefix);
    if (length < prefix || memcmp(path, route->prefix, prefix) != 0)
        return false;
    if (route->suffix == NULL) {
        *parameter = (leat_str){NULL, 0};
        return length == prefix;
    }
    size_t suffix = strlen(route->suffix);
    if (length < prefix + suffix || memcmp(path + length - suffix, route->suffix, suffix) != 0)
        return false;
    *parameter = (leat_str){path + prefix, length - prefix - suffix};
    return parameter->length > 0 && memchr(parameter->data, '/', parameter->length) == NULL;
}

static bool method_matches(const http_route *route, const char *method)
{
    if (route->method == HTTP_POST)
        return strcmp(method, "POST") == 0;
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

const http_route *http_route_of(const http_route *routes, size_t route_count, const char *method,
                                const char *path, leat_str *parameter, const char **allowed)
{
    static const char *const allow_texts[] = {NULL, "GET, HEAD", "POST", "GET, HEAD, POST"};
    size_t length = strlen(path);
    unsigned methods = 0;
    for (size_t i = 0; i < route_count; i++) {
        if (!path_matches(&routes[i], path, length, parameter))
            continue;
        if (method_matches(&routes[i], method))
            return &routes[i];
        methods |= routes[i].method == HTTP_POST ? 2u : 1u;
    }
    *allowed = allow_texts[methods];
    return NULL;
}

static bool starts_with(const char **text, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(*text, prefix, length) != 0)
        return false;
    *text += length;
    return true;
}

bool http_origin_is_local(const char *origin)
{
    const char *host = strstr(origin, "://");
    if (host == NULL)
        return false; /* "null": a sandboxed or local page, of unknown intent */
    host += 3;
    if (!starts_with(&host, "localhost") && !starts_with(&host, "127.0.0.1") &&
        !starts_with(&host, "[::1]"))
        return false;
    return *host == '\0' || *host == ':';
}

/* NAME or NAME:PORT with a port of 0 to 65535; *name_length gets what stands before the colon. An
 * IPv6 address is in brackets. */
static bool split_host(const char *host, size_t *name_length)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    size_t length = end != NULL ? (size_t)(end - host) + 1 : strcspn(host, ":");
    *name_length = length;
    if (length == 0 || strcspn(host, " /\\@,\t") < strlen(host))
        return false;
    if (host[length] == '\0')
        return true;
    const char *port = host + length + 1;
    size_t digits = strspn(port, "0123456789");
    return host[length] == ':' && digits > 0 && digits <= 5 && port[digits] == '\0' &&
           strtol(port, NULL, 10) <= 65535;
}

/* An entry with a port is that one alone, one without is any. */
static bool is_listed(const char *list, const char *host, size_t name_length)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ","), entry_name;
        char entry[300];
        if (length < sizeof entry) {
            memcpy(entry, list, length);
            entry[length] = '\0';
            bool sound = split_host(entry, &entry_name);
            if (sound && entry_name == length && length == name_length &&
                strncasecmp(entry, host, length) == 0)
                return true;
            if (sound && entry_name != length && strcasecmp(entry, host) == 0)
                return true;
        }
        list += length + (list[length] == ',');
    }
    return false;
}

int http_host_problem(const char *host, const char *const *lists, size_t list_count)
{
    size_t name_length;
    if (host == NULL || !split_host(host, &name_length))
        return 400;
    if (is_listed("localhost,127.0.0.1,[::1]", host, name_length))
        return 0;
    for (size_t i = 0; i < list_count; i++)
        if (is_listed(lists[i], host, name_length))
            return 0;
    return 421;
}
