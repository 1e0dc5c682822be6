/* engine/trim.h - what has been read of the internal topics of an exchange is deleted. */
#ifndef LEAT_ENGINE_TRIM_H
#define LEAT_ENGINE_TRIM_H
#include "engine/run.h"

/* A thread of its own, so that no commit waits for it. Without an exchange through the log nothing
 * happens, here and below. LEAT_EINTERNAL: there is no thread. */
leat_status leat__trimming_start(leat__run *run);
/* Instead of the thread where a job is stepped: trims if it is due. */
void leat__trimming_step(leat__run *run);
/* Waits for the request that is under way; before the topics' names go. */
void leat__trimming_close(leat__run *run);
#endif
