/* state/snapshot.h - copies of the database, to begin with when the state directory is lost.
 *
 *     SNAPSHOT_DIR/JOB/INSTANCE/snapshot-MADE_MS/   a whole RocksDB and leat.snapshot
 *
 * A snapshot is the database as some commit left it, with the positions (R6): what came later is in
 * the changelogs. Several processes may share SNAPSHOT_DIR; each writes in its own folder only. */
#ifndef LEAT_STATE_SNAPSHOT_H
#define LEAT_STATE_SNAPSHOT_H
#include "state/store.h"

typedef struct leat__snapshot_size {
    uint64_t bytes; /* of its files, linked or copied */
    size_t files;
} leat__snapshot_size;

/* Makes the folder of place->instance, and removes what a killed process left there. */
leat_status leat__snapshot_tidy(const leat__snapshot_place *place, leat_error *error);

/* Makes one of the open database, whole or not at all (R18): a temporary name, fsync, rename. Then
 * removes what is of no use any more: all but the newest two of this instance, and those of others
 * that are too old for anybody (R13). May take as long as a copy of the database does; any thread,
 * one at a time, while others read and write the database. */
leat_status leat__snapshot_make(leat__database *database, const leat__snapshot_place *place,
                                leat__snapshot_size *size, leat_error *error);

/* ---------------------------------------------------------------- for rocksdb.c */
/* Is there a database in state_dir? Then no snapshot is better. */
bool leat__snapshot_is_needless(const char *state_dir);

typedef struct leat__snapshot_list {
    char **paths; /* best first: the instance's own, then the newest of the others */
    int64_t *made_ms;
    size_t count;
} leat__snapshot_list;

/* instance: NULL: not known. No folder: an empty list. */
void leat__snapshots_find(leat__snapshot_list *list, const leat__snapshot_place *place,
                          const char *instance);
void leat__snapshots_free(leat__snapshot_list *list);

/* Puts the snapshot's files into state_dir, which has no database. LEAT_ECORRUPT: it is not whole;
 * LEAT_EVERSION: of an unknown format (R26); LEAT_EABORTED: too old (R13). After a failure, and
 * after being killed in the middle, state_dir has no database either. */
leat_status leat__snapshot_take(const char *path, const char *state_dir,
                                const leat__snapshot_place *place, leat__snapshot_size *size,
                                leat_error *error);
void leat__snapshot_undo(const char *state_dir); /* removes the database */
#endif
