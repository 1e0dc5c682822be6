/* log/embedded/follow.c - reading a log that another process writes.
 *
 *   writing process ─► WAL, *.sst in DIR ─► RocksDB secondary here, its own scratch directory
 *                                            │ caught up by a call, at most every few ms
 *                                            ▼
 *                                           topics and bounds loaded anew
 *
 * One write of the writer is one transaction, and a secondary applies whole writes only; it may see
 * one shortly before the writer's sync returns.  Nothing wakes: readers of a followed log poll.
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/embedded/store.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FOLLOW_EVERY_US = 3000,
    FOLLOW_SHARE = 10,   /* at most a tenth of the time goes into catching up */
    FOLLOW_RETRIES = 20, /* R30: files may go away while we look */
    YOUNG_S = 10,
    OLD_S = 86400,
};

static const char scratch_prefix[] = "leat-follow-";

/* A writer that opens the log moves what the last one left in its WAL to other files. Who looks
 * just then may find neither: everything that was acknowledged before must be there, and the
 * format. *message: RocksDB's, if that could not be read. */
static bool is_whole(const embedded_log *log, uint64_t acknowledged, char **message)
{
    size_t length;
    char *format = rocksdb_get(log->db, log->read_options, "F", 1, &length, message);
    bool found = format != NULL;
    rocksdb_free(format);
    return found && rocksdb_get_latest_sequence_number(log->db) >= acknowledged;
}

/* A creation that was killed leaves files, but nothing in them. */
static leat_status not_whole(const embedded_log *log, uint64_t acknowledged, leat_error *error)
{
    if (acknowledged > 0)
        return leat__embedded_corrupt(log, error, "acknowledged records are missing");
    return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, "log",
                      "there is no log in %.200s", log->dir);
}

/* ------------------------------------------------------------------ scratch directories */

static void remove_scratch(const char *dir)
{
    DIR *listing = opendir(dir);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = leat__format("%s/%s", dir, entry->d_name);
        unlink(path);
        leat__free(path);
    }
    if (listing != NULL)
        closedir(listing);
    rmdir(dir);
}

/* A lock that the kernel drops with the process says that the directory is in use. */
static int hold_scratch(const char *dir, int flags)
{
    char *path = leat__format("%s/leat.reader", dir);
    int fd = open(path, flags | O_RDWR | O_CLOEXEC, 0600);
    leat__free(path);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        fd = -1;
        errno = EWOULDBLOCK;
    }
    return fd;
}

/* Our own, and no link to somewhere else: the folder is open to everybody. */
static bool is_our_scratch(const char *dir, time_t *age_s)
{
    struct stat info;
    if (lstat(dir, &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid())
        return false;
    *age_s = time(NULL) - info.st_mtime;
    return true;
}

/* What readers that were killed have left. A young one may be just being made; one without a lock
 * file is of a version that had none: a day decides. */
static void remove_left_over(const char *base)
{
    DIR *listing = opendir(base);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        if (strncmp(entry->d_name, scratch_prefix, sizeof scratch_prefix - 1) != 0)
            continue;
        char *dir = leat__format("%s/%s", base, entry->d_name);
        time_t age_s = 0;
        bool ours = is_our_scratch(dir, &age_s) && age_s >= YOUNG_S;
        int fd = ours ? hold_scratch(dir, 0) : -1;
        if (fd >= 0 || (ours && errno == ENOENT && age_s > OLD_S))
            remove_scratch(dir);
        if (fd >= 0)
            close(fd);
        leat__free(dir);
    }
    if (listing != NULL)
        closedir(listing);
}

static leat_status make_scratch(embedded_log *log, leat_error *error)
{
    const char *base = getenv("TMPDIR");
    base = base != NULL ? base : "/tmp";
    remove_left_over(base);
    log->follow_dir = leat__format("%s/%sXXXXXX", base, scratch_prefix);
    bool made = mkdtemp(log->follow_dir) != NULL;
    if (made && (log->follow_lock_fd = hold_scratch(log->follow_dir, O_CREAT)) >= 0)
        return LEAT_OK;
    leat_status status =
        leat__embedded_errno(error, log->follow_dir, "create a scratch directory", errno);
    if (made)
        rmdir(log->follow_dir);
    leat__free(log->follow_dir);
    log->follow_dir = NULL;
    return status;
}

void leat__embedded_follow_close(embedded_log *log)
{
    if (log->follow_dir == NULL)
        return;
    if (log->db != NULL)
        rocksdb_close(log->db);
    log->db = NULL;
    remove_scratch(log->follow_dir);
    close(log->follow_lock_fd);
    leat__free(log->follow_dir);
    log->follow_dir = NULL;
}

/* ------------------------------------------------------------------ following */

leat_status leat__embedded_follow_open(embedded_log *log, leat_error *error)
{
    uint64_t acknowledged;
    leat_status marked = leat__embedded_mark_open(log, &acknowledged, error);
    if (marked != LEAT_OK)
        return marked;
    leat_status made = make_scratch(log, error);
    if (made != LEAT_OK)
        return made;
    rocksdb_options_set_max_open_files(log->options, -1); /* so that deleted files stay readable */
    for (int tries = 0;; tries++) {
        char *message = NULL;
        log->db = rocksdb_open_as_secondary(log->options, log->dir, log->follow_dir, &message);
        bool opened = message == NULL;
        if (opened && is_whole(log, acknowledged, &message))
            return LEAT_OK;
        if (tries == FOLLOW_RETRIES) /* what can't be read is not what is not there */
            return message == NULL ? not_whole(log, acknowledged, error)
                                   : leat__embedded_fail(log, message, error);
        if (opened)
            rocksdb_close(log->db);
        log->db = NULL;
        rocksdb_free(message);
        usleep(1000U << (tries < 6 ? tries : 6));
    }
}

static int64_t now_us(const embedded_log *log)
{
    return log->env->monotonic_us(log->env->arg);
}

leat_status leat__embedded_follow(embedded_log *log, leat_error *error)
{
    leat_status status = LEAT_OK;
    pthread_mutex_lock(&log->follow_lock);
    int64_t started_us = now_us(log);
    if (started_us >= log->follow_next_us) {
        char *message = NULL;
        rocksdb_try_catch_up_with_primary(log->db, &message);
        if (message == NULL) {
            log->follow_failures = 0;
            status = leat__embedded_load_topics(log, error);
        } else if (++log->follow_failures > FOLLOW_RETRIES) {
            status = leat__embedded_fail(log, message, error);
        } else {
            rocksdb_free(message);
        }
        int64_t took_us = now_us(log) - started_us;
        int64_t pause_us = took_us * FOLLOW_SHARE;
        log->follow_next_us =
            started_us + took_us + (pause_us > FOLLOW_EVERY_US ? pause_us : FOLLOW_EVERY_US);
    }
    pthread_mutex_unlock(&log->follow_lock);
    return status;
}
