/* log/embedded/handover_serve.c - the thread that appends what other processes hand over.
 *
 *   poll ─┬─ leat.socket: a client of the same user, or root; at most 16
 *         ├─ a client that may send: its bytes go into its frame until that is whole ─► handle ─►
 *         ├─ a client that is owed an answer: the answer, and nothing is read meanwhile
 *         └─ the bell: handle what is whole, answer, end
 *
 * Nobody waits for a client: all sockets are non-blocking. A client that goes away in the middle of
 * a frame has appended nothing of it. What is no frame ends the connection.
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "log/embedded/handover.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_MS_MAX = 5000 /* at the end, for clients that are slow to take their answer */ };

typedef struct client {
    int fd; /* -1: none */
    leat__buffer in, out;
    size_t out_at;
} client;

struct handover {
    leat_log *log;
    char *dir;
    int listen_fd, bell;
    pthread_t thread;
    _Atomic bool ending;
    client clients[HANDOVER_CLIENTS_MAX];
    leat__buffer names;
};

/* ------------------------------------------------------------------ requests */

static void answer(client *c, const leat_error *error)
{
    handover_begin(&c->out);
    handover_put_error(&c->out, error);
    c->out_at = 0;
}

static leat_status unsound(leat_error *error)
{
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "log",
                      "what was handed over is damaged; nothing of it was appended");
}

static void append(handover *self, client *c, leat_str payload)
{
    leat_error error = {0};
    leat_log_record *records;
    size_t count;
    leat_status status = LEAT_OK;
    if (!handover_get_records(payload, &records, &count, &self->names))
        status = unsound(&error);
    else
        status = leat_log_append(self->log, records, count, &error);
    answer(c, &error);
    for (size_t i = 0; status == LEAT_OK && i < count; i++) {
        leat__buffer_varint(&c->out, records[i].partition);
        leat__buffer_varint(&c->out, (uint64_t)records[i].offset);
    }
    leat__free(records);
}

static void topic(handover *self, client *c, uint8_t kind, leat_str payload)
{
    leat_error error = {0};
    leat_topic_opts opts;
    leat_status status;
    if (!handover_get_topic(payload, &self->names, &opts))
        status = unsound(&error);
    else if (kind == HANDOVER_CREATE)
        status = leat_topic_create(self->log, self->names.data, &opts, &error);
    else if (kind == HANDOVER_DELETE)
        status = leat_topic_delete(self->log, self->names.data, &error);
    else
        status = leat_topic_describe(self->log, self->names.data, &opts, &error);
    answer(c, &error);
    if (status == LEAT_OK)
        handover_put_topic(&c->out, self->names.data, &opts);
}

/* A whole request; its answer is left in c->out. */
static void handle(handover *self, client *c, const handover_head *head)
{
    leat_error error;
    const leat_str payload = {c->in.data + HANDOVER_HEAD_BYTES, head->length};
    if (!handover_payload_is_whole(head, payload.data)) {
        (void)unsound(&error);
        answer(c, &error);
    } else if (head->version != HANDOVER_VERSION) { /* R26 */
        (void)leat__fail(&error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, "log",
                         "handed over in version %u, the process that holds the log (%s) takes %d; "
                         "use the same version",
                         head->version, leat_version(), HANDOVER_VERSION);
        answer(c, &error);
    } else if (head->kind == HANDOVER_APPEND) {
        append(self, c, payload);
    } else if (head->kind <= HANDOVER_DELETE) {
        topic(self, c, head->kind, payload);
    } else {
        (void)leat__fail(&error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "log", "no such request: %u",
                         head->kind);
        answer(c, &error);
    }
    handover_end(&c->out, HANDOVER_ANSWER);
    c->in.length = 0;
}

/* ------------------------------------------------------------------ clients */

static void drop(client *c)
{
    close(c->fd);
    c->fd = -1;
    leat__buffer_free(&c->in);
    leat__buffer_free(&c->out);
    c->out_at = 0;
}

static bool owes(const client *c)
{
    return c->out_at < c->out.length;
}

static void send_answer(client *c)
{
    while (owes(c)) {
        ssize_t sent = send(c->fd, c->out.data + c->out_at, c->out.length - c->out_at,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent <= 0) {
            drop(c);
            return;
        }
        c->out_at += (size_t)sent;
    }
    c->out.length = c->out_at = 0;
}

/* Up to the end of the frame that has begun, never beyond; true: something came. */
static bool receive(client *c, size_t wanted)
{
    leat__buffer_reserve(&c->in, wanted - c->in.length);
    ssize_t got = recv(c->fd, c->in.data + c->in.length, wanted - c->in.length, MSG_DONTWAIT);
    if (got > 0) {
        c->in.length += (size_t)got;
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        drop(c);
    return false;
}

static void serve(handover *self, client *c)
{
    handover_head head;
    while (c->fd >= 0 && !owes(c)) {
        if (c->in.length < HANDOVER_HEAD_BYTES) {
            if (!receive(c, HANDOVER_HEAD_BYTES))
                return;
            continue;
        }
        if (!handover_head_read(c->in.data, &head)) {
            drop(c);
            return;
        }
        if (c->in.length < HANDOVER_HEAD_BYTES + (size_t)head.length) {
            if (!receive(c, HANDOVER_HEAD_BYTES + (size_t)head.length))
                return;
            continue;
        }
        handle(self, c, &head);
        send_answer(c);
    }
}

static bool may_write(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void take_client(handover *self)
{
    int fd = accept4(self->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (size_t i = 0; i < HANDOVER_CLIENTS_MAX && may_write(fd); i++)
        if (self->clients[i].fd < 0) {
            self->clients[i].fd = fd;
            return;
        }
    close(fd);
}

static bool has_room(const handover *self)
{
    for (size_t i = 0; i < HANDOVER_CLIENTS_MAX; i++)
        if (self->clients[i].fd < 0)
            return true;
    return false;
}

static void wait_for_all(handover *self, struct pollfd fds[HANDOVER_CLIENTS_MAX + 2])
{
    fds[0] = (struct pollfd){.fd = self->bell, .events = POLLIN};
    /* who comes when there is no room waits in the kernel's queue */
    fds[1] = (struct pollfd){.fd = has_room(self) ? self->listen_fd : -1, .events = POLLIN};
    for (size_t i = 0; i < HANDOVER_CLIENTS_MAX; i++)
        fds[2 + i] = (struct pollfd){.fd = self->clients[i].fd,
                                     .events = owes(&self->clients[i]) ? POLLOUT : POLLIN};
    (void)poll(fds, HANDOVER_CLIENTS_MAX + 2, -1);
}

/* What has come is appended and answered; more is not waited for. */
static void end_clients(handover *self)
{
    for (size_t i = 0; i < HANDOVER_CLIENTS_MAX; i++) {
        client *c = &self->clients[i];
        if (c->fd >= 0 && !owes(c))
            serve(self, c);
        while (c->fd >= 0 && owes(c)) {
            struct pollfd one = {.fd = c->fd, .events = POLLOUT};
            if (poll(&one, 1, ANSWER_MS_MAX) <= 0)
                break;
            send_answer(c);
        }
        if (c->fd >= 0)
            drop(c);
    }
}

static void *handover_main(void *arg)
{
    handover *self = arg;
    while (!atomic_load(&self->ending)) {
        struct pollfd fds[HANDOVER_CLIENTS_MAX + 2];
        wait_for_all(self, fds);
        for (size_t i = 0; i < HANDOVER_CLIENTS_MAX; i++) {
            client *c = &self->clients[i];
            if (c->fd < 0 || fds[2 + i].revents == 0)
                continue;
            if (owes(c))
                send_answer(c);
            if (c->fd >= 0)
                serve(self, c);
        }
        if (fds[1].revents != 0)
            take_client(self);
    }
    end_clients(self);
    return NULL;
}

/* ------------------------------------------------------------------ life */

/* The directory is this process's: a socket that lies there is of one that was killed. Nobody gets
 * in between bind and chmod, as nobody listens yet. */
static int listen_in(const char *dir)
{
    struct sockaddr_un address;
    int dir_fd, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !handover_address(dir, &address, &dir_fd)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    (void)unlink(address.sun_path);
    bool listens = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                   chmod(address.sun_path, 0600) == 0 && listen(fd, HANDOVER_CLIENTS_MAX) == 0;
    int cause = errno;
    close(dir_fd);
    if (listens)
        return fd;
    close(fd);
    errno = cause;
    return -1;
}

handover *handover_start(leat_log *log, const char *dir)
{
    handover *self = leat__calloc(1, sizeof *self);
    self->log = log;
    self->dir = leat__strdup(dir);
    for (size_t i = 0; i < HANDOVER_CLIENTS_MAX; i++)
        self->clients[i].fd = -1;
    self->listen_fd = listen_in(dir);
    self->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->listen_fd >= 0 && self->bell >= 0 &&
        pthread_create(&self->thread, NULL, handover_main, self) == 0)
        return self;
    leat__log_line(LEAT__WARN, "log",
                   "%s: nothing can be handed over to this process (leat produce): %s", dir,
                   strerror(errno));
    if (self->listen_fd >= 0)
        close(self->listen_fd);
    if (self->bell >= 0)
        close(self->bell);
    leat__free(self->dir);
    leat__free(self);
    return NULL;
}

void handover_stop(handover *self)
{
    struct sockaddr_un address;
    int dir_fd;
    uint64_t one = 1;
    if (self == NULL)
        return;
    atomic_store(&self->ending, true);
    if (write(self->bell, &one, sizeof one) < 0)
        leat__log_line(LEAT__ERROR, "log", "the handover can't be woken");
    pthread_join(self->thread, NULL);
    if (handover_address(self->dir, &address, &dir_fd)) {
        (void)unlink(address.sun_path); /* still ours: the lock is held */
        close(dir_fd);
    }
    close(self->listen_fd);
    close(self->bell);
    leat__buffer_free(&self->names);
    leat__free(self->dir);
    leat__free(self);
}
