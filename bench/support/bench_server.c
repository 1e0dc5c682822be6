/* bench/support/bench_server.c - a leat-recommender process to be measured from outside. */
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/support/http_load.h"
#include "bench/support/machine.h"

enum { ARGUMENTS_MAX = 32, METRICS_BYTES = 1 << 18 };

bool bench_sibling(const char *name, char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 64);
    if (length <= 0)
        return false;
    path[length] = '\0';
    char *folder = dirname(dirname(path)); /* bin/bench/X: bin */
    length = (ssize_t)strlen(folder);
    memmove(path, folder, (size_t)length + 1);
    snprintf(path + length, 64, "/%s", name);
    if (access(path, X_OK) == 0)
        return true;
    fprintf(stderr, "%s is not built\n", path);
    return false;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

bool bench_dir_make(char path[BENCH_DIR_BYTES])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, BENCH_DIR_BYTES, "%s/leat-bench-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(path) != NULL;
}

void bench_dir_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool wait_ready(bench_server *server, int out)
{
    char line[256] = "";
    size_t filled = 0;
    while (filled + 1 < sizeof line && strchr(line, '\n') == NULL) {
        ssize_t got = read(out, line + filled, sizeof line - 1 - filled);
        if (got <= 0)
            return false;
        filled += (size_t)got;
        line[filled] = '\0';
    }
    const char *port = strrchr(line, ':');
    if (strncmp(line, "ready http://", 13) != 0 || port == NULL)
        return false;
    server->port = (uint16_t)atoi(port + 1);
    return true;
}

bool bench_server_start(bench_server *server, const char *const *flags)
{
    char path[PATH_MAX];
    int out[2];
    *server = (bench_server){0};
    if (!bench_sibling("leat-recommender", path) || !bench_dir_make(server->data_dir) ||
        pipe2(out, O_CLOEXEC) != 0)
        return false;
    char *arguments[ARGUMENTS_MAX] = {path,
                                      strdup("serve"),
                                      strdup("--data-dir"),
                                      server->data_dir,
                                      strdup("--listen"),
                                      strdup("127.0.0.1:0")};
    size_t count = 6;
    for (; flags != NULL && *flags != NULL && count + 1 < ARGUMENTS_MAX; flags++)
        arguments[count++] = strdup(*flags);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    int64_t start_ns = bench_now_ns();
    bool good = posix_spawn(&server->pid, path, &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    good = good && wait_ready(server, out[0]);
    server->ready_s = (double)(bench_now_ns() - start_ns) / 1e9;
    close(out[0]);
    for (size_t i = 1; i < count; i++)
        if (i != 3)
            free(arguments[i]);
    return good;
}

int bench_server_stop(bench_server *server)
{
    int status = -1;
    if (server->pid > 0) {
        kill(server->pid, SIGTERM);
        waitpid(server->pid, &status, 0);
    }
    bench_dir_remove(server->data_dir);
    server->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

double bench_cpu_seconds(int pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *after_name = strrchr(text, ')');
    if (after_name == NULL ||
        sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

size_t bench_resident_of(int pid)
{
    char path[64];
    unsigned long all = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    int read = fscanf(file, "%lu %lu", &all, &resident);
    fclose(file);
    return read == 2 ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

double bench_metric(const bench_server *server, const char *name)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";
    char *text = malloc(METRICS_BYTES);
    double value = -1;
    size_t length = strlen(name);
    if (http_load_once(server->port, request, sizeof request - 1, text, METRICS_BYTES) == 200) {
        for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
            if (*line == '\n')
                line++;
            if (strncmp(line, name, length) == 0 && line[length] == ' ')
                value = atof(line + length + 1);
        }
    }
    free(text);
    return value;
}
