/* crash/file_faults/faults.c - LD_PRELOAD: the n-th call on a file below a folder goes wrong.
 *
 *   FILE_FAULTS_DIR     the folder; calls on other files are none of ours
 *   FILE_FAULTS_AT      n, from 1; 0: none, the calls are counted
 *   FILE_FAULTS_KIND    eio      the call is not made, EIO
 *                       full     ENOSPC, and so for all that would need room from then on
 *                       short    a write takes half of what it is given; other calls are made
 *                       torn     a write takes half, then the process is killed
 *                       power    before the call, or after the end if there are fewer, the power
 *                                goes: what was not synced is lost
 *                       ragged   the same, but a part of it had come to the disk by itself
 *                       read     of calls that read: EIO
 *   FILE_FAULTS_SPARE   an empty folder on the same file system (disk.h)
 *   FILE_FAULTS_REPORT  a file of 4096 bytes: 0 8 calls so far, then text: what went wrong
 *
 * All calls are made one at a time, so that a cut meets none half made. */
#undef _FORTIFY_SOURCE /* its inline functions are the ones that are defined here */
#include "disk.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 4096, REPORT_BYTES = 4096 };

real_calls real;
static struct {
    ssize_t (*write)(int fd, const void *bytes, size_t length);
    ssize_t (*read)(int fd, void *bytes, size_t length);
    ssize_t (*pread)(int fd, void *bytes, size_t length, off_t offset);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*sync_file_range)(int fd, off_t offset, off_t length, unsigned flags);
    int (*fallocate)(int fd, int mode, off_t offset, off_t length);
    int (*mkdir)(const char *path, mode_t mode);
    DIR *(*opendir)(const char *path);
    struct dirent *(*readdir)(DIR *listing);
} also;

typedef enum fault { NONE, EIO_ONCE, FULL, SHORT, TORN, POWER, RAGGED, READS } fault;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *folder;
static size_t folder_length;
static fault kind;
static uint64_t at;
static bool full;
static _Atomic uint64_t *calls; /* in the report */
static char *told;              /* behind it */
static char *paths[FILES_MAX];  /* by descriptor: files of ours */
static bool folders[FILES_MAX];
static ino_t inodes[FILES_MAX];

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

static void find_calls(void)
{
    *(void **)&real.open = next("open64");
    *(void **)&real.close = next("close");
    *(void **)&real.pwrite = next("pwrite64");
    *(void **)&real.ftruncate = next("ftruncate64");
    *(void **)&real.rename = next("rename");
    *(void **)&real.unlink = next("unlink");
    *(void **)&real.link = next("link");
    *(void **)&also.write = next("write");
    *(void **)&also.read = next("read");
    *(void **)&also.pread = next("pread64");
    *(void **)&also.fsync = next("fsync");
    *(void **)&also.fdatasync = next("fdatasync");
    *(void **)&also.sync_file_range = next("sync_file_range");
    *(void **)&also.fallocate = next("fallocate64");
    *(void **)&also.mkdir = next("mkdir");
    *(void **)&also.opendir = next("opendir");
    *(void **)&also.readdir = next("readdir64");
}

static void read_settings(void)
{
    static const char *const kinds[] = {"",     "eio",   "full",   "short",
                                        "torn", "power", "ragged", "read"};
    const char *named = getenv("FILE_FAULTS_KIND"), *number = getenv("FILE_FAULTS_AT");
    const char *report = getenv("FILE_FAULTS_REPORT"), *spare = getenv("FILE_FAULTS_SPARE");
    find_calls();
    folder = getenv("FILE_FAULTS_DIR");
    if (folder == NULL || report == NULL || spare == NULL)
        return;
    folder_length = strlen(folder);
    for (size_t i = 0; named != NULL && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], named) == 0)
            kind = (fault)i;
    at = number == NULL ? 0 : strtoull(number, NULL, 10);
    disk_begin(spare);
    int file = real.open(report, O_RDWR | O_CLOEXEC);
    void *map = file < 0 ? MAP_FAILED
                         : mmap(NULL, REPORT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED)
        abort();
    calls = map;
    told = (char *)map + sizeof *calls;
}

static bool is_ours(const char *path)
{
    (void)pthread_once(&once, read_settings);
    return calls != NULL && path != NULL && strncmp(path, folder, folder_length) == 0 &&
           (path[folder_length] == '/' || path[folder_length] == '\0');
}

/* fclose closes without calling close: the number may have become an eventfd or a socket. */
static const char *path_of(int fd)
{
    struct stat info;
    (void)pthread_once(&once, read_settings);
    if (fd < 0 || fd >= FILES_MAX || paths[fd] == NULL)
        return NULL;
    int before = errno;
    bool same = fstat(fd, &info) == 0 && info.st_ino == inodes[fd] &&
                (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
    errno = before;
    return same ? paths[fd] : NULL;
}

/* ---------------------------------------------------------------- the n-th call */

static void report(const char *call, const char *path)
{
    (void)snprintf(told, REPORT_BYTES - sizeof *calls, "%s %s", call, path + folder_length);
}

/* The lock is held. 0: make the call; else the errno it fails with. takes_room: the disk may be too
 * full for it. *half: make half of it. */
static int judge(const char *call, const char *path, bool takes_room, bool *half)
{
    if (kind == READS)
        return 0;
    if (full && takes_room)
        return ENOSPC;
    if (atomic_fetch_add(calls, 1) + 1 != at)
        return 0;
    report(call, path);
    if (kind == POWER || kind == RAGGED) {
        disk_power_cut(kind == POWER ? 0 : at * 7919 + 1);
        (void)kill(getpid(), SIGKILL);
    }
    if (kind == EIO_ONCE)
        return EIO;
    if (kind == FULL) {
        full = true;
        return takes_room ? ENOSPC : 0;
    }
    if (kind == TORN && half == NULL)
        (void)kill(getpid(), SIGKILL);
    if (half != NULL)
        *half = kind == SHORT || kind == TORN;
    return 0;
}

static int judge_read(const char *call, const char *path)
{
    if (kind != READS || atomic_fetch_add(calls, 1) + 1 != at)
        return 0;
    report(call, path);
    return EIO;
}

/* What was acknowledged by the end has to survive a cut right after it. */
__attribute__((destructor)) static void end(void)
{
    if ((kind != POWER && kind != RAGGED) || calls == NULL || atomic_load(calls) >= at)
        return;
    (void)pthread_mutex_lock(&lock); /* for good */
    report("end", folder);
    disk_power_cut(kind == POWER ? 0 : at * 7919 + 1);
}

static int failed(int code)
{
    (void)pthread_mutex_unlock(&lock);
    errno = code;
    return -1;
}

/* ---------------------------------------------------------------- opening and closing */

static void note_open(int fd, const char *path, bool created)
{
    struct stat info;
    if (fd < 0 || fd >= FILES_MAX)
        return;
    paths[fd] = strdup(path);
    bool known = fstat(fd, &info) == 0;
    folders[fd] = known && S_ISDIR(info.st_mode);
    inodes[fd] = known ? info.st_ino : 0;
    if (created)
        disk_created(path);
}

static int open_any(const char *path, int flags, mode_t mode)
{
    if (!is_ours(path))
        return real.open(path, flags, mode);
    bool changes = (flags & (O_CREAT | O_TRUNC)) != 0;
    (void)pthread_mutex_lock(&lock);
    bool there = access(path, F_OK) == 0;
    int code = changes ? judge("open", path, !there, NULL) : judge_read("open", path);
    if (code != 0)
        return failed(code);
    if (there && (flags & O_TRUNC) != 0) { /* so that what goes is kept */
        int before = real.open(path, O_RDWR | O_CLOEXEC);
        if (before >= 0) {
            disk_will_truncate(before, 0);
            (void)real.close(before);
        }
    }
    int fd = real.open(path, flags, mode);
    code = errno;
    note_open(fd, path, fd >= 0 && changes && !there);
    (void)pthread_mutex_unlock(&lock);
    errno = code;
    return fd;
}

#define OPEN_WITH_MODE(path, flags)               \
    mode_t mode = 0;                              \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
        va_list rest;                             \
        va_start(rest, flags);                    \
        mode = va_arg(rest, mode_t);              \
        va_end(rest);                             \
    }                                             \
    return open_any(path, flags, mode)

int open(const char *path, int flags, ...)
{
    OPEN_WITH_MODE(path, flags);
}
int open64(const char *path, int flags, ...)
{
    OPEN_WITH_MODE(path, flags);
}
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open_any(path, flags, 0);
}
int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
    return open_any(path, flags, 0);
}
int creat(const char *path, mode_t mode)
{
    return open_any(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    const char *path = path_of(fd);
    if (path == NULL)
        return real.close(fd);
    (void)pthread_mutex_lock(&lock);
    int flags = fcntl(fd, F_GETFL);
    bool writes = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
    int code = writes ? judge("close", path, false, NULL) : 0;
    free(paths[fd]);
    paths[fd] = NULL;
    int done = real.close(fd);
    return code != 0 ? failed(code) : ((void)pthread_mutex_unlock(&lock), done);
}

/* ---------------------------------------------------------------- writing */

static ssize_t write_any(int fd, const void *bytes, size_t length, off_t offset)
{
    const char *path = path_of(fd);
    if (path == NULL)
        return offset < 0 ? also.write(fd, bytes, length) : real.pwrite(fd, bytes, length, offset);
    bool half = false;
    (void)pthread_mutex_lock(&lock);
    int code = judge("write", path, true, &half);
    if (code != 0)
        return failed(code);
    size_t taken = half ? length / 2 : length;
    disk_will_write(fd, taken, offset);
    ssize_t done =
        offset < 0 ? also.write(fd, bytes, taken) : real.pwrite(fd, bytes, taken, offset);
    if (half && kind == TORN)
        (void)kill(getpid(), SIGKILL);
    code = errno;
    (void)pthread_mutex_unlock(&lock);
    errno = code;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return write_any(fd, bytes, length, -1);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return write_any(fd, bytes, length, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    return write_any(fd, bytes, length, offset);
}

/* As one write of all parts. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += parts[i].iov_len;
    char *all = malloc(length + 1);
    size_t filled = 0;
    for (int i = 0; i < count; i++) {
        memcpy(all + filled, parts[i].iov_base, parts[i].iov_len);
        filled += parts[i].iov_len;
    }
    ssize_t done = write_any(fd, all, length, -1);
    free(all);
    return done;
}

static int truncate_any(int fd, off_t length)
{
    const char *path = path_of(fd);
    if (path == NULL)
        return real.ftruncate(fd, length);
    (void)pthread_mutex_lock(&lock);
    int code = judge("ftruncate", path, false, NULL);
    if (code != 0)
        return failed(code);
    disk_will_truncate(fd, length);
    int done = real.ftruncate(fd, length);
    (void)pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t length)
{
    return truncate_any(fd, length);
}
int ftruncate64(int fd, off64_t length)
{
    return truncate_any(fd, length);
}

static int allocate_any(int fd, int mode, off_t offset, off_t length)
{
    const char *path = path_of(fd);
    if (path == NULL)
        return also.fallocate(fd, mode, offset, length);
    (void)pthread_mutex_lock(&lock);
    int code = judge("fallocate", path, true, NULL);
    if (code != 0)
        return failed(code);
    int done = also.fallocate(fd, mode, offset, length);
    (void)pthread_mutex_unlock(&lock);
    return done;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return allocate_any(fd, mode, offset, length);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return allocate_any(fd, mode, offset, length);
}

/* ---------------------------------------------------------------- syncing */

static int sync_any(int fd, const char *call, int (*made)(int fd))
{
    const char *path = path_of(fd);
    if (path == NULL)
        return made(fd);
    (void)pthread_mutex_lock(&lock);
    int code = judge(call, path, false, NULL);
    if (code != 0)
        return failed(code);
    disk_synced(fd, path, folders[fd]); /* the cut is simulated: the real disk need not work */
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd)
{
    (void)pthread_once(&once, read_settings);
    return sync_any(fd, "fsync", also.fsync);
}
int fdatasync(int fd)
{
    (void)pthread_once(&once, read_settings);
    return sync_any(fd, "fdatasync", also.fdatasync);
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags)
{
    const char *path = path_of(fd);
    if (path == NULL ||
        flags == 0) /* asks whether there is such a call; the disk has no part in it */
        return also.sync_file_range(fd, offset, length, flags);
    (void)pthread_mutex_lock(&lock);
    int code = judge("sync_file_range", path, false, NULL); /* promises nothing */
    if (code != 0)
        return failed(code);
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

/* ---------------------------------------------------------------- names */

int rename(const char *from, const char *to)
{
    if (!is_ours(to))
        return real.rename(from, to);
    (void)pthread_mutex_lock(&lock);
    int code = judge("rename", to, true, NULL);
    if (code != 0)
        return failed(code);
    if (access(from, F_OK) == 0)
        disk_will_rename(from, to);
    int done = real.rename(from, to);
    (void)pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path)
{
    if (!is_ours(path))
        return real.unlink(path);
    (void)pthread_mutex_lock(&lock);
    int code = judge("unlink", path, false, NULL);
    if (code != 0)
        return failed(code);
    disk_will_unlink(path);
    int done = real.unlink(path);
    (void)pthread_mutex_unlock(&lock);
    return done;
}

static int make_any(const char *call, const char *path, int (*make)(const char *, void *),
                    void *arg)
{
    (void)pthread_mutex_lock(&lock);
    bool there = access(path, F_OK) == 0;
    int code = judge(call, path, !there, NULL);
    if (code != 0)
        return failed(code);
    int done = make(path, arg);
    code = errno;
    if (done == 0)
        disk_created(path);
    (void)pthread_mutex_unlock(&lock);
    errno = code;
    return done;
}

static int make_folder(const char *path, void *mode)
{
    return also.mkdir(path, *(mode_t *)mode);
}
int mkdir(const char *path, mode_t mode)
{
    return is_ours(path) ? make_any("mkdir", path, make_folder, &mode) : also.mkdir(path, mode);
}

static int make_link(const char *path, void *from)
{
    return real.link(from, path);
}
int link(const char *from, const char *to)
{
    char *source = strdup(from);
    int done = is_ours(to) ? make_any("link", to, make_link, source) : real.link(from, to);
    free(source);
    return done;
}

/* ---------------------------------------------------------------- reading */

ssize_t read(int fd, void *bytes, size_t length)
{
    const char *path = path_of(fd);
    int code = path == NULL ? 0 : judge_read("read", path);
    if (code == 0)
        return also.read(fd, bytes, length);
    errno = code;
    return -1;
}

static ssize_t pread_any(int fd, void *bytes, size_t length, off_t offset)
{
    const char *path = path_of(fd);
    int code = path == NULL ? 0 : judge_read("pread", path);
    if (code == 0)
        return also.pread(fd, bytes, length, offset);
    errno = code;
    return -1;
}
ssize_t pread(int fd, void *bytes, size_t length, off_t offset)
{
    return pread_any(fd, bytes, length, offset);
}
ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
    return pread_any(fd, bytes, length, offset);
}

DIR *opendir(const char *path)
{
    int code = is_ours(path) ? judge_read("opendir", path) : 0;
    if (code == 0)
        return also.opendir(path);
    errno = code;
    return NULL;
}

static struct dirent *readdir_any(DIR *listing)
{
    char name[40], path[4096];
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", dirfd(listing));
    (void)pthread_once(&once, read_settings);
    ssize_t length = kind == READS ? readlink(name, path, sizeof path - 1) : 0;
    path[length < 0 ? 0 : length] = '\0';
    int code = length > 0 && is_ours(path) ? judge_read("readdir", path) : 0;
    if (code == 0)
        return also.readdir(listing);
    errno = code;
    return NULL;
}
struct dirent *readdir(DIR *listing)
{
    return readdir_any(listing);
}
struct dirent64 *readdir64(DIR *listing)
{
    return (struct dirent64 *)readdir_any(listing);
}
