/* log/embedded/owner.c - who holds the directory, and how far it was surely synced.
 *
 *   leat.owner   a lock that the kernel drops with the process, and the holder's name for the one
 *                who comes second (R25)
 *   leat.mark    after each synced write its sequence number, written but not synced: whatever the
 *                disk has of it is never ahead of the log.  A log that ends before its mark has
 * lost acknowledged records (a truncated or garbled file), which RocksDB by itself takes for the
 * torn tail of a crash.
 */
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/mem.h"
#include "log/embedded/store.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { MARK_BYTES = 20 };
static const char mark_magic[8] = "LEATMARK";

static leat_status held(embedded_log *log, int fd, leat_error *error)
{
    char holder[160] = "";
    ssize_t length = pread(fd, holder, sizeof holder - 1, 0);
    holder[length > 0 ? (size_t)length : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return leat__fail(error, LEAT_ELOCKED, LEAT_RECOVERY_FATAL, "log",
                      "%.200s is held by %s; end it first, or open the log read-only", log->dir,
                      holder[0] != '\0' ? holder : "another process");
}

leat_status leat__embedded_own(embedded_log *log, leat_error *error)
{
    char *path = leat__format("%s/leat.owner", log->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    leat_status status = LEAT_OK;
    if (fd < 0)
        status = leat__embedded_errno(error, path, "open the owner file", errno);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK ? held(log, fd, error)
                                      : leat__embedded_errno(error, path, "lock it", errno);
    if (status == LEAT_OK) {
        char *line =
            leat__format("process %ld (%s)\n", (long)getpid(), program_invocation_short_name);
        size_t length = strlen(line);
        if (ftruncate(fd, 0) != 0 || !leat__write_all(fd, line, length))
            status = leat__embedded_errno(error, path, "write to it", errno);
        leat__free(line);
    }
    if (status == LEAT_OK)
        log->owner_fd = fd;
    else if (fd >= 0)
        close(fd);
    leat__free(path);
    return status;
}

void leat__embedded_disown(embedded_log *log)
{
    if (log->mark_fd >= 0)
        close(log->mark_fd);
    if (log->owner_fd >= 0)
        close(log->owner_fd); /* the file stays: removing it would race */
    log->mark_fd = log->owner_fd = -1;
}

leat_status leat__embedded_mark_open(embedded_log *log, uint64_t *synced, leat_error *error)
{
    *synced = 0;
    char *path = leat__format("%s/leat.mark", log->dir);
    int access = log->base.read_only ? O_RDONLY : O_RDWR | O_CREAT;
    log->mark_fd = open(path, access | O_CLOEXEC, 0644);
    char mark[MARK_BYTES] = {0};
    leat_status status = LEAT_OK;
    if (log->mark_fd < 0 && log->base.read_only && errno == ENOENT)
        status = LEAT_OK; /* nothing was acknowledged yet */
    else if (log->mark_fd < 0 || pread(log->mark_fd, mark, sizeof mark, 0) < 0)
        status = leat__embedded_errno(error, path, "read it", errno);
    leat__reader reader = {.next = mark + sizeof mark_magic, .end = mark + sizeof mark};
    uint64_t sequence = leat__read_u64(&reader);
    bool sound = memcmp(mark, mark_magic, sizeof mark_magic) == 0 &&
                 leat__read_u32(&reader) == leat__crc32c(0, mark, 16);
    if (sound)
        *synced = sequence; /* else it is new, or as a power cut left it: it says nothing */
    leat__free(path);
    return status;
}

void leat__embedded_mark(const embedded_log *log, uint64_t sequence)
{
    if (log->mark_fd < 0 || log->no_sync)
        return;
    char mark[MARK_BYTES];
    memcpy(mark, mark_magic, sizeof mark_magic);
    for (int i = 0; i < 8; i++)
        mark[8 + i] = (char)(sequence >> (8 * i));
    uint32_t crc = leat__crc32c(0, mark, 16);
    for (int i = 0; i < 4; i++)
        mark[16 + i] = (char)(crc >> (8 * i));
    ssize_t ignored = pwrite(log->mark_fd, mark, sizeof mark, 0); /* it may lag, never lead */
    (void)ignored;
}
