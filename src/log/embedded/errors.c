/* log/embedded/errors.c - what RocksDB says, as what the caller can do about it. */
#include "base/error.h"
#include "log/embedded/store.h"
#include <errno.h>
#include <string.h>

typedef struct known_error {
    const char *text; /* somewhere in RocksDB's message */
    leat_status status;
    const char *remedy;
} known_error;

#define RESTORE "restore the directory from a backup, or move it away to start empty"

static const known_error known[] = {
    {"No space left", LEAT_ENOSPC, "free some space, then start again"},
    {"Disk quota", LEAT_ENOSPC, "raise the quota or free some space, then start again"},
    {"File too large", LEAT_ENOSPC, "raise the limit on file sizes, then start again"},
    {"Permission denied", LEAT_EACCES, "give this user write access to the directory"},
    {"Operation not permitted", LEAT_EACCES, "give this user write access to the directory"},
    {"Read-only file system", LEAT_EACCES, "mount it writable or open the log read-only"},
    {"While lock file", LEAT_ELOCKED, "end the process that holds it"},
    {"lock hold by current process", LEAT_ELOCKED, "close the other handle first"},
    {"Corruption", LEAT_ECORRUPT, RESTORE},
    {"No such file", LEAT_ECORRUPT, RESTORE},
    {"does not exist (create_if_missing", LEAT_ENOTFOUND, "check the path"},
    {"", LEAT_EIO, "look at the disk and the system's log, then start again"},
};

leat_status leat__embedded_fail(const embedded_log *log, char *message, leat_error *error)
{
    const known_error *found = known;
    while (strstr(message, found->text) == NULL)
        found++;
    leat_status status = leat__fail(error, found->status, LEAT_RECOVERY_FATAL, "log",
                                    "%.90s: %.240s; %s", log->dir, message, found->remedy);
    rocksdb_free(message);
    return status;
}

leat_status leat__embedded_corrupt(const embedded_log *log, leat_error *error, const char *what)
{
    return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, "log", "%.200s: %.140s; " RESTORE,
                      log->dir, what);
}

leat_status leat__embedded_errno(leat_error *error, const char *path, const char *doing, int code)
{
    char text[LEAT__ERRNO_TEXT_BYTES];
    return leat__fail(error, code == ENOENT ? LEAT_ENOTFOUND : leat__errno_status(code),
                      LEAT_RECOVERY_FATAL, "log", "%.240s: cannot %s: %s", path, doing,
                      leat__errno_text(code, text, sizeof text));
}
