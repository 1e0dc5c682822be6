/* engine/snapshots.h - the snapshots of a running job's state (state/snapshot.h): when, and what is
 * told of them. */
#ifndef LEAT_ENGINE_SNAPSHOTS_H
#define LEAT_ENGINE_SNAPSHOTS_H
#include "engine/run.h"

/* After the database is open. Without leat_job_opts.snapshot_dir nothing happens, here and below.
 * A place that can't be written is told, and tried again when the next is due. */
void leat__snapshots_open(leat__run *run, const char *instance); /* copied */
/* A thread of their own: copying a database must not hold up a commit. */
leat_status leat__snapshots_start(leat__run *run); /* LEAT_EINTERNAL: there is no thread */
/* Instead of the thread where a job is stepped: makes one if it is due. */
void leat__snapshots_step(leat__run *run);
/* Waits for the one that is being made; before the database is closed. */
void leat__snapshots_close(leat__run *run);
void leat__snapshots_stats(leat__run *run, leat_job_stats *stats); /* any thread */
#endif
