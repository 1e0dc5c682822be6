/* serve/api_debug.c - GET /v1/debug/index: what the live server holds, to be compared with a build
 * from the log (docs/formats.md). Only with --debug-endpoints.
 *
 *   request ─► suspended ─► a thread writes the text to a file that has no name ─► resumed ─►
 *   64 KiB at a time go from the file to the reader, while it keeps up
 *
 * So the view is of one moment, memory is bounded, and no HTTP thread waits. One reader at a time:
 * the writer of the index waits while the text is made. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/recommender/serve/api.h"
#include "base/error.h"
#include "base/mem.h"

typedef struct dump_task {
    api *api;
    http_exchange *exchange;
    int fd;
    leat_error error;
} dump_task;

/* A file in the data directory that is gone with its descriptor; without one where programs put
 * such files. */
static int nameless_file(const char *dir)
{
    char path[4096];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || snprintf(path, sizeof path, "%s/index-XXXXXX", dir) >= (int)sizeof path)
        return fd;
    fd = mkostemp(path, O_CLOEXEC); /* a file system without O_TMPFILE */
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static void write_dump(dump_task *task)
{
    const char *dir = task->api->data_dir != NULL ? task->api->data_dir : "/tmp";
    task->fd = nameless_file(dir);
    FILE *file = task->fd < 0 ? NULL : fdopen(dup(task->fd), "w");
    if (file == NULL) {
        (void)leat__fail(&task->error, LEAT_EIO, LEAT_RECOVERY_FATAL, dir,
                         "no file could be made: %s", strerror(errno));
        return;
    }
    (void)session_index_dump(task->api->job->model->index, file, &task->error);
    (void)fclose(file); /* the dump has flushed it, and said if that failed */
}

static void *dump_main(void *arg)
{
    dump_task *task = arg;
    api *self = task->api;
    write_dump(task);
    http_resume(task->exchange); /* the task is gone by then */
    atomic_store(&self->dump_is_made, false);
    return NULL;
}

static void done(void *arg)
{
    atomic_store(&((api *)arg)->dumping, false);
}

void api_debug_index(http_exchange *exchange, void *arg)
{
    api *self = arg;
    if (!self->debug_endpoints) {
        http_problem(exchange, 404, "not-enabled",
                     "off unless the server is started with --debug-endpoints");
        return;
    }
    if (!api_is_ready(self, exchange))
        return;
    if (atomic_exchange(&self->dumping, true)) {
        http_problem(exchange, 503, "busy", "somebody is reading it; one at a time");
        return;
    }
    dump_task *task = leat__calloc(1, sizeof *task);
    *task = (dump_task){.api = self, .exchange = exchange, .fd = -1};
    exchange->user = task;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    atomic_store(&self->dump_is_made, true);
    http_suspend(exchange);
    if (pthread_create(&thread, &attributes, dump_main, task) != 0) {
        (void)leat__fail(&task->error, LEAT_EIO, LEAT_RECOVERY_FATAL, "thread", "can't be started");
        atomic_store(&self->dump_is_made, false);
        http_resume(exchange);
    }
    pthread_attr_destroy(&attributes);
}

void api_debug_index_written(http_exchange *exchange, void *arg)
{
    dump_task *task = exchange->user;
    struct stat stat;
    exchange->answer_type = "application/x-ndjson";
    if (task->error.status == LEAT_OK && fstat(task->fd, &stat) == 0) {
        http_answer_file(exchange, task->fd, (uint64_t)stat.st_size, done, arg);
    } else {
        http_problem(exchange, 500, "dump", "the index could not be written: %s",
                     task->error.message);
        if (task->fd >= 0)
            close(task->fd);
        done(arg);
    }
    leat__free(task);
}
