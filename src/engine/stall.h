/* engine/stall.h - a job that stands still although something waits says where, and ends (R31). */
#ifndef LEAT_ENGINE_STALL_H
#define LEAT_ENGINE_STALL_H
#include "engine/run.h"

typedef struct leat__turn { /* of a worker, as last seen */
    uint64_t number, works;
    int64_t since_us, works_since_us;
    uint32_t seen; /* so many looks have met this turn under way */
} leat__turn;

/* The watchdog's own; {.run = ...} to begin with. */
typedef struct leat__stall {
    leat__run *run;
    uint64_t moves;
    int64_t since_us;  /* nothing has moved since */
    int64_t judged_us; /* 0: not yet */
    bool told;
    leat__turn *turns; /* by number of the worker; made once there are workers */
} leat__stall;

/* Twice a second, with the watchdog's clock. stopped_us: what of the time since the last look the
 * process was stopped; watched: a call into the log is under way, which has its own limit (R3).
 * Does not return if the job stands still for too long. */
void leat__stall_look(leat__stall *stall, int64_t at_us, int64_t stopped_us, bool watched);
void leat__stall_free(leat__stall *stall);
/* stall_dump.c: a line for each task; waits for nobody. Also for R3. */
void leat__stall_dump(const leat__stall *stall, int64_t at_us);
#endif
