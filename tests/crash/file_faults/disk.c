/* crash/file_faults/disk.c - see disk.h. */
#include "disk.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum change_kind { WRITTEN, CREATED, RENAMED, UNLINKED } change_kind;

typedef struct change {
    change_kind kind;
    bool safe;
    size_t inode;       /* WRITTEN: of inodes */
    off_t offset, size; /* WRITTEN: where; the file's size before */
    char *before;       /* WRITTEN: what was there */
    size_t before_length;
    size_t length;           /* WRITTEN: of what came; 0: it was cut */
    char *path, *to, *spare; /* spare: what stood at `to`, or at the path that was unlinked */
} change;

typedef struct inode {
    dev_t device;
    ino_t number;
    int fd; /* of our own, for reading and writing */
} inode;

static change *changes;
static size_t change_count, change_room;
static inode *inodes;
static size_t inode_count;
static const char *spare_folder;
static unsigned spare_number;

void disk_begin(const char *spare)
{
    spare_folder = spare;
}

static change *new_change(change_kind kind)
{
    if (change_count == change_room) {
        change_room = change_room == 0 ? 256 : change_room * 2;
        changes = realloc(changes, change_room * sizeof *changes);
    }
    changes[change_count] = (change){.kind = kind};
    return &changes[change_count++];
}

static size_t inode_of(int fd)
{
    struct stat info;
    char path[40];
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return SIZE_MAX;
    for (size_t i = 0; i < inode_count; i++)
        if (inodes[i].number == info.st_ino && inodes[i].device == info.st_dev)
            return i;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = real.open(path, O_RDWR | O_CLOEXEC);
    if (own < 0)
        return SIZE_MAX;
    inodes = realloc(inodes, (inode_count + 1) * sizeof *inodes);
    inodes[inode_count] = (inode){info.st_dev, info.st_ino, own};
    return inode_count++;
}

/* Keeps [offset, offset + length) as it is now. */
static void keep(int fd, off_t offset, size_t length, size_t coming)
{
    struct stat info;
    size_t at = inode_of(fd);
    if (at == SIZE_MAX || fstat(fd, &info) != 0)
        return;
    change *made = new_change(WRITTEN);
    made->inode = at;
    made->offset = offset;
    made->size = info.st_size;
    made->length = coming;
    if (offset >= info.st_size)
        return;
    size_t there = (size_t)(info.st_size - offset);
    made->before_length = length < there ? length : there;
    made->before = malloc(made->before_length + 1);
    ssize_t got = pread(inodes[at].fd, made->before, made->before_length, offset);
    made->before_length = got < 0 ? 0 : (size_t)got;
}

void disk_will_write(int fd, size_t length, off_t offset)
{
    if (offset < 0) {
        int flags = fcntl(fd, F_GETFL);
        offset = lseek(fd, 0, flags >= 0 && (flags & O_APPEND) != 0 ? SEEK_END : SEEK_CUR);
    }
    keep(fd, offset, length, length);
}

void disk_will_truncate(int fd, off_t length)
{
    keep(fd, length, SIZE_MAX, 0);
}

/* Another name for the file, so that it does not go away. */
static char *spare_of(const char *path)
{
    char *spare = NULL;
    if (asprintf(&spare, "%s/%u", spare_folder, spare_number++) < 0)
        return NULL;
    if (real.link(path, spare) == 0)
        return spare;
    free(spare);
    return NULL;
}

void disk_will_unlink(const char *path)
{
    char *spare = spare_of(path);
    if (spare == NULL)
        return;
    change *made = new_change(UNLINKED);
    made->path = strdup(path);
    made->spare = spare;
}

void disk_will_rename(const char *from, const char *to)
{
    char *spare = spare_of(to);
    change *made = new_change(RENAMED);
    made->path = strdup(from);
    made->to = strdup(to);
    made->spare = spare;
}

void disk_created(const char *path)
{
    new_change(CREATED)->path = strdup(path);
}

static bool is_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return path != NULL && strncmp(path, folder, length) == 0 && path[length] == '/' &&
           strchr(path + length + 1, '/') == NULL;
}

void disk_synced(int fd, const char *path, bool folder)
{
    size_t at = folder ? SIZE_MAX : inode_of(fd);
    for (size_t i = 0; i < change_count; i++) {
        change *each = &changes[i];
        if (each->kind == WRITTEN
                ? !folder && each->inode == at
                : folder && is_in(each->kind == RENAMED ? each->to : each->path, path))
            each->safe = true;
    }
}

/* ---------------------------------------------------------------- the cut */

static uint64_t state;
static uint64_t below(uint64_t bound)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return bound == 0 ? 0 : (state >> 33) % bound;
}

/* The disk writes a file's pages, and the changes of folders, in order: it had come to some point.
 */
static void keep_a_part(void)
{
    for (size_t f = 0; f <= inode_count; f++) { /* the last: folders */
        size_t unsafe = 0;
        for (size_t i = 0; i < change_count; i++)
            unsafe += !changes[i].safe &&
                      (changes[i].kind == WRITTEN ? changes[i].inode == f : f == inode_count);
        uint64_t stay = below(unsafe + 1);
        for (size_t i = 0; i < change_count && unsafe > 0; i++) {
            change *each = &changes[i];
            if (each->safe || (each->kind == WRITTEN ? each->inode != f : f != inode_count))
                continue;
            if (stay-- > 0) {
                each->safe = true;
                continue;
            }
            size_t whole = each->length; /* the first that does not stay is torn */
            if (each->kind == WRITTEN && whole > 0 && each->before_length == 0) {
                size_t torn = (size_t)below(whole);
                each->size = torn == 0 ? each->size : each->offset + (off_t)torn;
            }
            break;
        }
    }
}

static void undo(const change *each)
{
    const inode *file = each->kind == WRITTEN ? &inodes[each->inode] : NULL;
    char *gone = NULL;
    switch (each->kind) {
    case WRITTEN:
        if (each->before_length > 0)
            (void)real.pwrite(file->fd, each->before, each->before_length, each->offset);
        (void)real.ftruncate(file->fd, each->size);
        break;
    case CREATED: /* a folder goes with all that is in it */
        if (asprintf(&gone, "%s/gone-%u", spare_folder, spare_number++) >= 0)
            (void)real.rename(each->path, gone);
        free(gone);
        break;
    case RENAMED:
        (void)real.rename(each->to, each->path);
        if (each->spare != NULL)
            (void)real.rename(each->spare, each->to);
        break;
    case UNLINKED:
        (void)real.rename(each->spare, each->path);
        break;
    }
}

void disk_power_cut(uint64_t seed)
{
    state = seed;
    if (seed != 0)
        keep_a_part();
    for (size_t i = change_count; i-- > 0;)
        if (!changes[i].safe)
            undo(&changes[i]);
}
