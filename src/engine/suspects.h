/* engine/suspects.h - which record ends the process, told over its death (R19). suspects.c has the
 * picture.  A task's calls come from its worker; begin, committed and end from the coordinator's
 * thread or before there are threads. All allow a run without a ledger. */
#ifndef LEAT_ENGINE_SUSPECTS_H
#define LEAT_ENGINE_SUSPECTS_H
#include "engine/run.h"

/* Reads what the process before left; state_dir NULL: there is no ledger, nothing is isolated. */
leat_status leat__suspects_open(leat__run *run, const char *state_dir, leat_error *error);
/* The process ends by itself: nobody is suspected. */
void leat__suspects_close(leat__run *run);
/* The same without freeing anything, for a process that ends at once and not because of a record.
 */
void leat__suspects_forgive(leat__run *run);

/* A source stands at its first offset. */
void leat__suspects_begin(leat__task *task);
/* How many records may be read now, at most `most`; 0: none, something is to be committed first. */
size_t leat__suspects_may_read(const leat__task *task, size_t most);
/* These are about to be decoded and pushed; count 0: there were none. */
void leat__suspects_reading(leat__task *task, const leat_log_record *records, size_t count);
void leat__suspects_ended(leat__task *task); /* its input has */
/* True: this one has ended the process when it was alone; *error says so. */
bool leat__suspects_is_guilty(const leat__task *task, int64_t offset, leat_error *error);
/* The epoch is committed. */
void leat__suspects_committed(leat__run *run);
/* Some range is looked at closely: epochs are short, and positions are committed with each. */
bool leat__suspects_any(const leat__run *run);
#endif
