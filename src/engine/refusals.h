/* engine/refusals.h - records that a sink's topic would not take, or that the log has not taken
 * (R19). refusals.c has the picture.  Tasks ask from their workers; everything else is called by
 * the coordinator, or before there are threads. */
#ifndef LEAT_ENGINE_REFUSALS_H
#define LEAT_ENGINE_REFUSALS_H
#include "engine/run.h"

typedef struct leat__refusals leat__refusals;

/* Learns what the topics of the sinks take; they exist by now. */
leat_status leat__refusals_open(leat__run *run, leat_error *error);
void leat__refusals_close(leat__run *run);
/* The same again; a topic that can't be asked for keeps what was known of it. */
void leat__refusals_refresh(leat__run *run);

/* Might records that are not large be refused here? Constant until the next assembly. */
bool leat__refusals_strict(const leat__run *run, const leat__node *sink);
/* True: only the whole record, key and value, can be judged. */
bool leat__refusals_need_bytes(const leat__run *run, const leat__node *sink);
/* LEAT_OK, or why the record can't be written: LEAT_EDATA, LEAT_ETOOBIG. Without the value, if its
 * bytes are not needed. */
leat_status leat__refusals_check(const leat__task *task, const leat__node *sink,
                                 const leat_log_record *record, leat_error *error);

/* The log has refused this record of a sink for good, for that reason: it is told to the operator
 * that emits it the next time. */
void leat__refusals_note(leat__run *run, const leat__node *sink, const leat_log_record *record,
                         const leat_error *reason);
/* Something new was noted, and what was noted before has been emitted again, if anything was. */
bool leat__refusals_got_on(const leat__run *run);
/* All workers stand still, between two assemblies: what was noted holds from now on. */
void leat__refusals_apply(leat__run *run);
/* What had been under way at the refusals has been committed; those that have not been emitted
 * again may still come, from a timer. */
void leat__refusals_over(leat__run *run);
/* R14: an internal topic must take all that the job writes to it, with its timestamps if they are
 * read back. */
leat_status leat__refusals_check_topic(leat__run *run, const char *topic, bool timestamps,
                                       leat_error *error);
#endif
