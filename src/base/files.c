#include "base/files.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool leat__write_all(int file, const void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t count = write(file, (const char *)bytes + done, length - done);
        if (count < 0 && errno != EINTR)
            return false;
        done += count > 0 ? (size_t)count : 0;
    }
    return true;
}

bool leat__sync_dir(const char *dir)
{
    int file = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool synced = fsync(file) == 0 || errno == EINVAL; /* some networks' volumes have none */
    int cause = errno;
    (void)close(file);
    errno = cause;
    return synced;
}
