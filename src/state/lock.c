#include "state/lock.h"
#include "base/error.h"
#include "base/files.h"
#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static leat_status cannot(const char *doing, const char *dir, int cause, leat_error *error)
{
    char text[LEAT__ERRNO_TEXT_BYTES];
    return leat__fail(error, leat__errno_status(cause), LEAT_RECOVERY_FATAL, dir,
                      "state: cannot %s the directory: %s", doing,
                      leat__errno_text(cause, text, sizeof text));
}

static leat_status held(const char *dir, int file, leat_error *error)
{
    char pid[24] = "";
    ssize_t length = pread(file, pid, sizeof pid - 1, 0);
    if (length <= 0)
        memcpy(pid, "?", 2);
    pid[strcspn(pid, "\n")] = '\0';
    return leat__fail(error, LEAT_ELOCKED, LEAT_RECOVERY_FATAL, dir,
                      "state: the directory is held by process %s", pid);
}

leat_status leat__lock_take(const char *dir, int *lock, leat_error *error)
{
    char *path = leat__format("%s/leat.lock", dir);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int cause = errno;
    leat__free(path);
    if (file < 0)
        return cannot("write in", dir, cause, error);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        leat_status status =
            errno == EWOULDBLOCK ? held(dir, file, error) : cannot("lock", dir, errno, error);
        close(file);
        return status;
    }
    char pid[24];
    int length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || !leat__write_all(file, pid, (size_t)length)) {
        leat_status status = cannot("write in", dir, errno, error);
        close(file);
        return status;
    }
    *lock = file;
    return LEAT_OK;
}

void leat__lock_release(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* RocksDB's names and our own; a log is a RocksDB too, and has files of its own beside it. */
static bool is_ours(const char *name)
{
    static const char *const known[] = {"CURRENT",   "IDENTITY", "LOCK",  "LOG",  "LOG.old.",
                                        "MANIFEST-", "OPTIONS-", "leat.", "lost", "archive"};
    if (name[0] == '.')
        return true;
    if (strcmp(name, "leat.owner") == 0 || strcmp(name, "leat.mark") == 0)
        return false;
    size_t digits = strspn(name, "0123456789");
    if (digits != 0)
        return strcmp(name + digits, ".sst") == 0 || strcmp(name + digits, ".log") == 0 ||
               strcmp(name + digits, ".blob") == 0 || strcmp(name + digits, ".dbtmp") == 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(name, known[i], strlen(known[i])) == 0)
            return true;
    return false;
}

leat_status leat__state_dir_check(const char *dir, leat_error *error)
{
    DIR *listing = opendir(dir);
    leat_status status = LEAT_OK;
    if (listing == NULL && errno != ENOENT)
        return cannot("read", dir, errno, error);
    for (struct dirent *entry; listing != NULL && status == LEAT_OK;) {
        errno = 0;
        entry = readdir(listing);
        if (entry == NULL && errno != 0)
            status = cannot("read", dir, errno, error);
        if (entry == NULL)
            break;
        if (!is_ours(entry->d_name))
            status = leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, dir,
                                "state: the directory holds '%.80s', which is no state: name an "
                                "empty or a new directory",
                                entry->d_name);
    }
    if (listing != NULL)
        closedir(listing);
    return status;
}
