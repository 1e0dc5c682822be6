/* state/snapshot_manifest.h - leat.snapshot: what a snapshot is, and what its files have to be.
 * docs/formats.md has the bytes. */
#ifndef LEAT_STATE_SNAPSHOT_MANIFEST_H
#define LEAT_STATE_SNAPSHOT_MANIFEST_H
#include "base/arena.h"
#include "state/store.h"

typedef struct leat__manifest_file {
    leat_str name;
    uint64_t bytes;
    uint32_t crc; /* CRC32C of the whole file */
} leat__manifest_file;

typedef struct leat__manifest {
    leat_str job, instance;
    int64_t made_ms;
    const leat__snapshot_topic *topics; /* none in format 1 */
    size_t topic_count;
    leat__manifest_file *files;
    size_t count;
    leat__arena arena; /* has all of the above */
} leat__manifest;

/* LEAT_ENOTFOUND: there is none; LEAT_ECORRUPT; LEAT_EVERSION (R26). Free it in any case. */
leat_status leat__manifest_read(leat__manifest *manifest, const char *snapshot, leat_error *error);
/* Synced (R18). */
leat_status leat__manifest_write(const leat__manifest *manifest, const char *snapshot,
                                 leat_error *error);
void leat__manifest_add(leat__manifest *manifest, leat__manifest_file file); /* copies the name */
const leat__manifest_file *leat__manifest_find(const leat__manifest *manifest, const char *name);
void leat__manifest_free(leat__manifest *manifest);
#endif
