/* A job whose state is as large as each event says, on any log. */
#ifndef LEAT_TESTS_STATE_SIZES_JOB_H
#define LEAT_TESTS_STATE_SIZES_JOB_H
#include <leat/leat.h>

enum {
    OVER_BYTES = 1 << 20,           /* with its key and the rest of its row over the log's bound */
    UNDER_BYTES = (1 << 20) - 100,  /* just below it */
    UNDER_IN_A_LIST_BYTES = 900000, /* others of the list may lie in the same record */
};

/* {"user":..,"kind":"value" | "list" | "map" | "small","size":..}: writes a text of that size, then
 * emits how long each of the user's texts is. */
leat_job *sizes_job(const char *url, leat_on_error policy, bool until_end);
/* Runs such a job twice; what came out is as if the oversized events had never been. */
void sizes_are_checked_before_state_is_touched(const char *url);
#endif
