/* state/snapshot.c - making snapshots, choosing one, putting it into an empty state directory.
 *
 *   make   checkpoint ─► making-MS-PID/ ─► check sums ─► leat.snapshot ─► fsync ─► snapshot-MS/
 *   take   leat.snapshot ─► *.sst: hard link or copy, the rest: copy ─► fsync ─► CURRENT, the last
 *   drop   snapshot-MS/ ─► removed-MS/ ─► nothing
 *
 * A directory without CURRENT is no database, so what was half taken is none either. Files that
 * are never written again (*.sst) may be shared by link; RocksDB appends to the others. */
#include "state/snapshot.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/mem.h"
#include "state/backend.h"
#include "state/snapshot_manifest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEPT = 2, COPY_BYTES = 1 << 18 };
static const char snapshot_name[] = "snapshot-", making_name[] = "making-",
                  removed_name[] = "removed-";

static leat_status failed(const char *path, const char *what, leat_error *error)
{
    int cause = errno;
    char text[LEAT__ERRNO_TEXT_BYTES];
    return leat__fail(error, leat__errno_status(cause), LEAT_RECOVERY_RETRY, path,
                      "can't %s %s: %s", what, path, leat__errno_text(cause, text, sizeof text));
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static bool ends(const char *name, const char *with)
{
    size_t length = strlen(name), tail = strlen(with);
    return length >= tail && strcmp(name + length - tail, with) == 0;
}

/* Of RocksDB, and nothing that leads out of the directory. */
static bool is_database_file(const char *name)
{
    if (strchr(name, '/') != NULL)
        return false;
    size_t digits = strspn(name, "0123456789");
    if (digits != 0)
        return strcmp(name + digits, ".sst") == 0 || strcmp(name + digits, ".log") == 0 ||
               strcmp(name + digits, ".blob") == 0;
    return begins(name, "MANIFEST-") || begins(name, "OPTIONS-") || strcmp(name, "CURRENT") == 0 ||
           strcmp(name, "IDENTITY") == 0;
}

/* ---------------------------------------------------------------- directories */

typedef bool visit_fn(void *arg, const char *dir, const char *name); /* false: no more */

/* 0, or why the directory can't be read to its end; one that does not exist is empty. */
static int each_entry(const char *dir, visit_fn *visit, void *arg)
{
    DIR *listing = opendir(dir);
    if (listing == NULL)
        return errno == ENOENT ? 0 : errno;
    int cause = 0;
    for (bool more = true; more;) {
        errno = 0;
        const struct dirent *entry = readdir(listing);
        if (entry == NULL)
            cause = errno;
        more =
            entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                              visit(arg, dir, entry->d_name));
    }
    (void)closedir(listing);
    return cause;
}

static bool remove_entry(void *arg, const char *dir, const char *name)
{
    (void)arg;
    char *path = leat__format("%s/%s", dir, name);
    (void)unlink(path);
    leat__free(path);
    return true;
}

/* A folder of files. */
static void remove_folder(const char *dir)
{
    each_entry(dir, remove_entry, NULL);
    (void)rmdir(dir);
}

static leat_status sync_dir(const char *dir, leat_error *error)
{
    return leat__sync_dir(dir) ? LEAT_OK : failed(dir, "sync", error);
}

static leat_status make_dir(const char *dir, leat_error *error)
{
    return mkdir(dir, 0777) == 0 || errno == EEXIST ? LEAT_OK : failed(dir, "make", error);
}

static char *folder_of(const leat__snapshot_place *place)
{
    return leat__format("%s/%s/%s", place->dir, place->job, place->instance);
}

static leat_status make_folders(const leat__snapshot_place *place, leat_error *error)
{
    char *of_job = leat__format("%s/%s", place->dir, place->job), *folder = folder_of(place);
    leat_status status = make_dir(place->dir, error);
    if (status == LEAT_OK)
        status = make_dir(of_job, error);
    if (status == LEAT_OK)
        status = make_dir(folder, error);
    if (status == LEAT_OK)
        status = sync_dir(of_job, error);
    leat__free(of_job);
    leat__free(folder);
    return status;
}

/* The time that is in the name; -1: none of ours. */
static int64_t time_of(const char *name, const char *kind)
{
    char *end;
    if (!begins(name, kind))
        return -1;
    name += strlen(kind);
    int64_t ms = strtoll(name, &end, 10);
    return end == name || ms < 0 ? -1 : ms;
}

/* ---------------------------------------------------------------- which there are */

typedef struct finding {
    leat__snapshot_list *list;
    const char *instance;
    bool own;
} finding;

static bool add_snapshot(void *arg, const char *dir, const char *name)
{
    leat__snapshot_list *list = arg;
    int64_t made_ms = time_of(name, snapshot_name);
    if (made_ms < 0)
        return true;
    list->paths = leat__realloc(list->paths, list->count + 1, sizeof *list->paths);
    list->made_ms = leat__realloc(list->made_ms, list->count + 1, sizeof *list->made_ms);
    size_t at = list->count++; /* few: insert where it belongs */
    for (; at > 0 && list->made_ms[at - 1] < made_ms; at--) {
        list->paths[at] = list->paths[at - 1];
        list->made_ms[at] = list->made_ms[at - 1];
    }
    list->paths[at] = leat__format("%s/%s", dir, name);
    list->made_ms[at] = made_ms;
    return true;
}

static bool find_in(void *arg, const char *dir, const char *name)
{
    finding *find = arg;
    bool own = find->instance != NULL && strcmp(name, find->instance) == 0;
    if (own != find->own)
        return true;
    char *folder = leat__format("%s/%s", dir, name);
    each_entry(folder, add_snapshot, find->list);
    leat__free(folder);
    return true;
}

void leat__snapshots_find(leat__snapshot_list *list, const leat__snapshot_place *place,
                          const char *instance)
{
    *list = (leat__snapshot_list){0};
    leat__snapshot_list others = {0};
    char *of_job = leat__format("%s/%s", place->dir, place->job);
    each_entry(of_job, find_in, &(finding){list, instance, true});
    each_entry(of_job, find_in, &(finding){&others, instance, false});
    size_t all = list->count + others.count;
    list->paths = leat__realloc(list->paths, all + 1, sizeof *list->paths);
    list->made_ms = leat__realloc(list->made_ms, all + 1, sizeof *list->made_ms);
    for (size_t i = 0; i < others.count; i++) {
        list->paths[list->count] = others.paths[i]; /* now the list's */
        list->made_ms[list->count++] = others.made_ms[i];
    }
    leat__free(others.paths);
    leat__free(others.made_ms);
    leat__free(of_job);
}

void leat__snapshots_free(leat__snapshot_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        leat__free(list->paths[i]);
    leat__free(list->paths);
    leat__free(list->made_ms);
    *list = (leat__snapshot_list){0};
}

/* ---------------------------------------------------------------- removing */

/* Under a name that nobody takes first: half of a snapshot must not look like one. */
static void drop_snapshot(const char *path, int64_t made_ms)
{
    char *folder = leat__strndup(path, (size_t)(strrchr(path, '/') - path));
    char *gone = leat__format("%s/%s%020" PRId64, folder, removed_name, made_ms);
    if (rename(path, gone) == 0)
        remove_folder(gone);
    leat__free(gone);
    leat__free(folder);
}

static bool drop_leftover(void *arg, const char *dir, const char *name)
{
    int64_t before_ms = *(const int64_t *)arg, made_ms = time_of(name, making_name);
    if (made_ms < 0)
        made_ms = time_of(name, removed_name);
    if (made_ms < 0 || made_ms >= before_ms)
        return true;
    char *path = leat__format("%s/%s", dir, name);
    remove_folder(path);
    leat__free(path);
    return true;
}

/* An instance may never come back; two retentions of deletes are enough for clocks that differ. */
static bool drop_stale(void *arg, const char *dir, const char *name)
{
    const leat__snapshot_place *place = arg;
    if (strcmp(name, place->instance) == 0)
        return true;
    char *folder = leat__format("%s/%s", dir, name);
    int64_t before_ms = place->now_ms - 2 * LEAT_LOG_TOMBSTONE_RETENTION_MS;
    leat__snapshot_list list = {0};
    each_entry(folder, add_snapshot, &list);
    for (size_t i = 0; i < list.count; i++)
        if (list.made_ms[i] < before_ms)
            drop_snapshot(list.paths[i], list.made_ms[i]);
    leat__snapshots_free(&list);
    each_entry(folder, drop_leftover, &before_ms);
    (void)rmdir(folder); /* if it is empty */
    leat__free(folder);
    return true;
}

static void drop_useless(const leat__snapshot_place *place)
{
    char *folder = folder_of(place), *of_job = leat__format("%s/%s", place->dir, place->job);
    leat__snapshot_list list = {0};
    each_entry(folder, add_snapshot, &list);
    for (size_t i = KEPT; i < list.count; i++)
        drop_snapshot(list.paths[i], list.made_ms[i]);
    leat__snapshots_free(&list);
    each_entry(of_job, drop_stale, (void *)(uintptr_t)place);
    leat__free(of_job);
    leat__free(folder);
}

leat_status leat__snapshot_tidy(const leat__snapshot_place *place, leat_error *error)
{
    leat_status status = make_folders(place, error);
    char *folder = folder_of(place);
    int64_t all = INT64_MAX;
    each_entry(folder, drop_leftover, &all);
    leat__free(folder);
    return status;
}

/* ---------------------------------------------------------------- files */

/* Reads the file; to >= 0: and writes it there. *out gets the length and the check sum. */
static leat_status read_through(const char *path, int to, leat__manifest_file *out,
                                leat_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return failed(path, "open", error);
    char *bytes = leat__alloc(COPY_BYTES);
    leat_status status = LEAT_OK;
    out->bytes = 0;
    out->crc = 0;
    while (status == LEAT_OK) {
        ssize_t count = read(file, bytes, COPY_BYTES);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            status = failed(path, "read", error);
        if (count <= 0)
            break;
        out->bytes += (uint64_t)count;
        out->crc = leat__crc32c(out->crc, bytes, (size_t)count);
        if (to >= 0 && !leat__write_all(to, bytes, (size_t)count))
            status = failed(path, "copy", error);
    }
    leat__free(bytes);
    (void)close(file);
    return status;
}

/* ---------------------------------------------------------------- making */

typedef struct making {
    leat__manifest *manifest;
    const leat__manifest *before; /* of the last snapshot, in `last` */
    const char *last;
    leat_status status;
    leat_error *error;
} making;

/* The same file as in the last snapshot needs not be read again. */
static bool is_known(const making *m, const char *path, leat__manifest_file *file)
{
    const leat__manifest_file *known = leat__manifest_find(m->before, file->name.data);
    if (known == NULL || !ends(file->name.data, ".sst"))
        return false;
    char *other = leat__format("%s/%s", m->last, file->name.data);
    struct stat a, b;
    bool same = stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
                a.st_ino == b.st_ino && (uint64_t)a.st_size == known->bytes;
    leat__free(other);
    file->bytes = known->bytes;
    file->crc = known->crc;
    return same;
}

static bool describe_file(void *arg, const char *dir, const char *name)
{
    making *m = arg;
    leat__manifest_file file = {.name = leat_str_from(name)};
    if (!is_database_file(name))
        return true;
    char *path = leat__format("%s/%s", dir, name);
    if (!is_known(m, path, &file))
        m->status = read_through(path, -1, &file, m->error);
    leat__free(path);
    if (m->status == LEAT_OK)
        leat__manifest_add(m->manifest, file);
    return m->status == LEAT_OK;
}

static leat_status describe(const char *dir, const leat__snapshot_place *place, const char *last,
                            leat__snapshot_size *size, leat_error *error)
{
    leat__manifest before = {0};
    leat__manifest manifest = {.job = leat_str_from(place->job),
                               .topics = place->topics,
                               .topic_count = place->topic_count,
                               .instance = leat_str_from(place->instance),
                               .made_ms = place->now_ms};
    leat_error ignored;
    leat_status status = LEAT_OK;
    if (last != NULL && leat__manifest_read(&before, last, &ignored) != LEAT_OK)
        leat__manifest_free(&before);
    making m = {&manifest, &before, last, LEAT_OK, error};
    int cause = each_entry(dir, describe_file, &m);
    status = m.status;
    if (status == LEAT_OK && cause != 0) { /* a file that is not named would be missing */
        errno = cause;
        status = failed(dir, "read", error);
    }
    if (status == LEAT_OK)
        status = leat__manifest_write(&manifest, dir, error);
    size->files = manifest.count;
    size->bytes = 0;
    for (size_t i = 0; i < manifest.count; i++)
        size->bytes += manifest.files[i].bytes;
    leat__manifest_free(&before);
    leat__manifest_free(&manifest);
    return status;
}

leat_status leat__snapshot_make(leat__database *database, const leat__snapshot_place *place,
                                leat__snapshot_size *size, leat_error *error)
{
    leat_status status = leat__snapshot_tidy(place, error);
    if (status != LEAT_OK)
        return status;
    char *folder = folder_of(place);
    leat__snapshot_list list = {0};
    each_entry(folder, add_snapshot, &list);
    int64_t made_ms = place->now_ms; /* a clock that went back makes no older one */
    if (list.count != 0 && list.made_ms[0] >= made_ms)
        made_ms = list.made_ms[0] + 1;
    char *temporary =
        leat__format("%s/%s%020" PRId64 "-%d", folder, making_name, made_ms, (int)getpid());
    char *path = leat__format("%s/%s%020" PRId64, folder, snapshot_name, made_ms);
    status = database->ops->checkpoint(database, temporary, error);
    if (status == LEAT_OK)
        status = describe(temporary, place, list.count != 0 ? list.paths[0] : NULL, size, error);
    if (status == LEAT_OK)
        status = sync_dir(temporary, error);
    if (status == LEAT_OK && rename(temporary, path) != 0)
        status = failed(path, "make", error);
    if (status == LEAT_OK)
        status = sync_dir(folder, error);
    if (status == LEAT_OK)
        drop_useless(place);
    else
        (void)leat__snapshot_tidy(place, NULL);
    leat__snapshots_free(&list);
    leat__free(path);
    leat__free(temporary);
    leat__free(folder);
    return status;
}

/* ---------------------------------------------------------------- taking */

bool leat__snapshot_is_needless(const char *state_dir)
{
    char *current = leat__format("%s/CURRENT", state_dir);
    bool there = access(current, F_OK) == 0 || errno != ENOENT; /* what is there is not removed */
    leat__free(current);
    return there;
}

static bool remove_database_file(void *arg, const char *dir, const char *name)
{
    return is_database_file(name) ? remove_entry(arg, dir, name) : true;
}

void leat__snapshot_undo(const char *state_dir)
{
    char *current = leat__format("%s/CURRENT", state_dir);
    (void)unlink(current); /* first: without it the rest is nothing */
    leat__free(current);
    each_entry(state_dir, remove_database_file, NULL);
}

/* R13: the changelogs that its positions are of, as far as the job has them yet. */
static leat_status check_topics(const leat__manifest *manifest, const char *path,
                                const leat__snapshot_place *place, leat_error *error)
{
    for (size_t i = 0; i < manifest->topic_count; i++)
        for (size_t k = 0; k < place->topic_count; k++) {
            const leat__snapshot_topic *then = &manifest->topics[i], *now = &place->topics[k];
            if (strcmp(then->name, now->name) == 0 && then->id != 0 && now->id != 0 &&
                then->id != now->id)
                return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, path,
                                  "it is of another log, or of a former topic %.80s", now->name);
        }
    return LEAT_OK;
}

static leat_status check(const leat__manifest *manifest, const char *path,
                         const leat__snapshot_place *place, leat_error *error)
{
    if (!leat_str_equal(manifest->job, leat_str_from(place->job)))
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, path, "it is of the job '%.*s'",
                          (int)manifest->job.length, manifest->job.data);
    leat_status status = check_topics(manifest, path, place, error);
    if (status != LEAT_OK)
        return status;
    int64_t age_ms = place->now_ms - manifest->made_ms;
    if (age_ms > LEAT_LOG_TOMBSTONE_RETENTION_MS / 2) /* R13 */
        return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, path,
                          "it is %" PRId64 " minutes old, what was deleted since might come back",
                          age_ms / LEAT_MINUTES(1));
    bool complete = false;
    for (size_t i = 0; i < manifest->count; i++) {
        char *name = leat__strndup(manifest->files[i].name.data, manifest->files[i].name.length);
        bool known = is_database_file(name);
        complete |= strcmp(name, "CURRENT") == 0;
        leat__free(name);
        if (!known)
            return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, path,
                              "its leat.snapshot names a file that is none of RocksDB");
    }
    return complete ? LEAT_OK
                    : leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, path,
                                 "its leat.snapshot names no CURRENT");
}

static leat_status copy_file(const char *from, const char *to, leat__manifest_file *read,
                             leat_error *error)
{
    int file = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return failed(to, "make", error);
    leat_status status = read_through(from, file, read, error);
    if (status == LEAT_OK && fsync(file) != 0)
        status = failed(to, "sync", error);
    (void)close(file);
    return status;
}

static leat_status take_file(const leat__manifest_file *file, const char *path,
                             const char *state_dir, leat_error *error)
{
    char *name = leat__strndup(file->name.data, file->name.length);
    char *from = leat__format("%s/%s", path, name);
    char *to =
        leat__format("%s/%s", state_dir, strcmp(name, "CURRENT") == 0 ? "leat.current" : name);
    leat__manifest_file read = {0};
    leat_status status;
    if (ends(name, ".sst") && link(from, to) == 0)
        status = read_through(from, -1, &read, error);
    else
        status = copy_file(from, to, &read, error);
    if (status == LEAT_OK && (read.bytes != file->bytes || read.crc != file->crc))
        status = leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, path, "%s is damaged", name);
    leat__free(to);
    leat__free(from);
    leat__free(name);
    return status;
}

static leat_status take_files(const leat__manifest *manifest, const char *path,
                              const char *state_dir, leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < manifest->count && status == LEAT_OK; i++)
        status = take_file(&manifest->files[i], path, state_dir, error);
    if (status == LEAT_OK)
        status = sync_dir(state_dir, error);
    char *prepared = leat__format("%s/leat.current", state_dir);
    char *current = leat__format("%s/CURRENT", state_dir);
    if (status == LEAT_OK && rename(prepared, current) != 0)
        status = failed(current, "make", error);
    if (status != LEAT_OK)
        (void)unlink(prepared);
    leat__free(prepared);
    leat__free(current);
    return status;
}

leat_status leat__snapshot_take(const char *path, const char *state_dir,
                                const leat__snapshot_place *place, leat__snapshot_size *size,
                                leat_error *error)
{
    leat__manifest manifest;
    leat_status status = leat__manifest_read(&manifest, path, error);
    if (status == LEAT_OK)
        status = check(&manifest, path, place, error);
    if (status == LEAT_OK) {
        status = take_files(&manifest, path, state_dir, error);
        if (status != LEAT_OK)
            leat__snapshot_undo(state_dir);
    }
    size->files = manifest.count;
    size->bytes = 0;
    for (size_t i = 0; i < manifest.count; i++)
        size->bytes += manifest.files[i].bytes;
    leat__manifest_free(&manifest);
    return status;
}
