/* log/sim/sim.h - the log as a model: in memory, one lock, no threads, no clock of its own.
 *
 *     handle ─┐                      ┌ topics ─ partitions ─ records in offset order
 *     handle ─┼──► leat__sim world ──┼ groups: who owns what (log/group.h)
 *     handle ─┘    outlives them     ├ committed offsets
 *                                    └ hooks: faults from outside
 *
 * It says what a log has to do, as plainly as possible (R29); speed is no aim.  Closing a handle
 * and opening another on the same world is a crash of the process: what was committed is there.
 */
#ifndef LEAT_LOG_SIM_SIM_H
#define LEAT_LOG_SIM_SIM_H
#include "base/env.h"
#include "leat/log.h"

typedef struct leat__sim leat__sim;

/* Faults: called before a write takes effect; anything but LEAT_OK makes the call fail with it and
 * nothing of it happens. Called with the world's lock held: they must not call into the log. */
typedef struct leat__sim_hooks {
    void *arg;
    leat_status (*before_append)(void *arg, size_t record_count);
    leat_status (*before_commit)(void *arg, const char *group, const char *instance,
                                 size_t record_count);
    /* for each record of a commit: why it is refused for good; NULL: it is taken */
    const char *(*refuse)(void *arg, const leat_log_record *record);
} leat__sim_hooks;

leat__sim *leat__sim_new(const leat_env *env); /* env: borrowed; NULL: the system's */
void leat__sim_free(leat__sim *sim);           /* all handles are closed */
/* A copy of topics, records and committed offsets; free it with leat__sim_free. */
leat__sim *leat__sim_snapshot(leat__sim *sim);
/* Makes sim hold what the snapshot holds. No member has joined; readers find their topics gone. */
void leat__sim_restore(leat__sim *sim, const leat__sim *snapshot);
void leat__sim_set_hooks(leat__sim *sim, const leat__sim_hooks *hooks); /* NULL: none */

/* A handle on sim; what "sim:NAME" does with a world that lives as long as the process. */
leat_status leat__log_open_sim(leat_log **log, leat__sim *sim, const leat_log_opts *opts,
                               leat_error *error);
leat__sim *leat__sim_world_of(leat_log *log); /* of a handle that is a sim's */
#endif
