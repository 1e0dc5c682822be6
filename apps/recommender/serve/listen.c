#include "apps/recommender/serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

enum { HOST_BYTES = 64, BACKLOG = 1024 };

typedef union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} socket_address;

/* Splits HOST:PORT; an absent host is loopback. */
static bool split(const char *address, char host[HOST_BYTES], uint16_t *port)
{
    const char *colon = strrchr(address, ':'), *digits = colon == NULL ? address : colon + 1;
    size_t length = colon == NULL ? 0 : (size_t)(colon - address);
    if (length > 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (length >= HOST_BYTES)
        return false;
    memcpy(host, address, length);
    host[length] = '\0';
    if (length == 0 || strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    char *end;
    unsigned long number = strtoul(digits, &end, 10);
    *port = (uint16_t)number;
    return *digits >= '0' && *digits <= '9' && *end == '\0' && number <= UINT16_MAX;
}

static bool resolve(const char *host, uint16_t port, socket_address *address, socklen_t *length)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(port);
        *length = sizeof address->v4;
        return true;
    }
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons(port);
    *length = sizeof address->v6;
    return inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1;
}

static bool is_loopback(const socket_address *address)
{
    if (address->any.sa_family == AF_INET)
        return (ntohl(address->v4.sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

static leat_status bind_failed(const char *text, int number, leat_error *error)
{
    if (number == EADDRINUSE)
        return leat__fail(
            error, LEAT_EPORT, LEAT_RECOVERY_FATAL, "--listen",
            "%s is in use by another process; stop it, or listen elsewhere (port 0 picks a free "
            "one)",
            text);
    return leat__fail(error, number == EACCES ? LEAT_EACCES : LEAT_EIO, LEAT_RECOVERY_FATAL,
                      "--listen", "can't listen on %s: %s", text, strerror(number));
}

leat_status listen_on(const char *text, listener *out, leat_error *error)
{
    char host[HOST_BYTES];
    uint16_t port;
    socket_address address;
    socklen_t length;
    if (!split(text, host, &port) || !resolve(host, port, &address, &length))
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "--listen",
                          "'%s' is no address; write 127.0.0.1:8080 or [::1]:8080", text);
    if (!is_loopback(&address))
        return leat__fail(
            error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "--listen",
            "%s is reachable from other machines and this version has no access tokens: "
            "listen on 127.0.0.1 and put a proxy with authentication before it",
            text);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0)
        return bind_failed(text, errno, error);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    socklen_t bound = sizeof address;
    if (bind(fd, &address.any, length) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, &address.any, &bound) != 0) {
        int number = errno;
        close(fd);
        return bind_failed(text, number, error);
    }
    bool v6 = address.any.sa_family == AF_INET6;
    out->fd = fd;
    out->port = ntohs(v6 ? address.v6.sin6_port : address.v4.sin_port);
    snprintf(out->url, sizeof out->url, v6 ? "http://[%s]:%u" : "http://%s:%u", host, out->port);
    return LEAT_OK;
}
