/* crash/file_faults/disk.h - what a disk would hold after a power cut: a journal of what has
 * changed below a folder since it was last synced, which can be undone.
 *
 *   write, truncate ─► journal ─┐ fsync of the file: its part is safe
 *   create, rename,             │
 *   unlink, mkdir   ─► journal ─┤ fsync of the folder: its part is safe
 *                               ▼
 *                      power cut: what is not safe is undone, the last first; or a part of it
 * stays, as far as the disk had come by itself
 *
 * One caller at a time. Nothing here goes through the functions that faults.c puts in the way. */
#ifndef LEAT_TESTS_FILE_FAULTS_DISK_H
#define LEAT_TESTS_FILE_FAULTS_DISK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct real_calls {
    int (*open)(const char *path, int flags, ...);
    int (*close)(int fd);
    ssize_t (*pwrite)(int fd, const void *bytes, size_t length, off_t offset);
    int (*ftruncate)(int fd, off_t length);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*link)(const char *from, const char *to);
} real_calls;
extern real_calls real;

/* spare: an empty folder on the same file system, for what is deleted but may come back. */
void disk_begin(const char *spare);
/* Before the change. */
void disk_will_write(int fd, size_t length, off_t offset); /* offset -1: where the file stands */
void disk_will_truncate(int fd, off_t length);
void disk_will_unlink(const char *path);
void disk_will_rename(const char *from, const char *to);
/* After it. */
void disk_created(const char *path); /* a file, a link or a folder */
void disk_synced(int fd, const char *path, bool folder);
/* seed 0: all that is not safe is lost; else a part of it, as it says. */
void disk_power_cut(uint64_t seed);
#endif
