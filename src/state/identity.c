#include "state/identity.h"
#include "base/error.h"
#include "base/files.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static leat_status failed(const char *path, const char *what, leat_error *error)
{
    int cause = errno;
    char text[LEAT__ERRNO_TEXT_BYTES];
    return leat__fail(error, leat__errno_status(cause), LEAT_RECOVERY_FATAL, path,
                      "state: can't %s it: %s", what, leat__errno_text(cause, text, sizeof text));
}

/* Whole or not at all: a torn name would make a second process of this one. */
static leat_status write_name(const char *path, const char *name, leat_error *error)
{
    char *fresh = leat__format("%s.new", path);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    size_t length = strlen(name);
    leat_status status = LEAT_OK;
    if (file < 0 || !leat__write_all(file, name, length) || fsync(file) != 0)
        status = failed(fresh, "write", error);
    if (file >= 0)
        (void)close(file);
    if (status == LEAT_OK && rename(fresh, path) != 0)
        status = failed(path, "make", error);
    leat__free(fresh);
    return status;
}

static leat_status read_name(int file, const char *path, char name[LEAT__IDENTITY_BYTES],
                             leat_error *error)
{
    ssize_t length = pread(file, name, LEAT__IDENTITY_BYTES - 1, 0);
    if (length < 0)
        return failed(path, "read", error);
    name[length] = '\0';
    name[strcspn(name, "\n")] = '\0';
    size_t known = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (known != 0 && name[known] == '\0')
        return LEAT_OK;
    return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, path,
                      "state: holds no instance name; remove the file, or name the instance");
}

leat_status leat__identity(const char *dir, uint64_t random, char name[LEAT__IDENTITY_BYTES],
                           leat_error *error)
{
    char *path = leat__format("%s/leat.instance", dir);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    leat_status status;
    if (file >= 0) {
        status = read_name(file, path, name, error);
        (void)close(file);
    } else if (errno == ENOENT) {
        (void)snprintf(name, LEAT__IDENTITY_BYTES, "i-%012" PRIx64, random >> 16);
        status = write_name(path, name, error);
    } else {
        status = failed(path, "open", error);
    }
    leat__free(path);
    return status;
}

bool leat__identity_kept(const char *dir, char name[LEAT__IDENTITY_BYTES])
{
    char *path = leat__format("%s/leat.instance", dir);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool kept = file >= 0 && read_name(file, path, name, NULL) == LEAT_OK;
    if (file >= 0)
        (void)close(file);
    leat__free(path);
    return kept;
}
