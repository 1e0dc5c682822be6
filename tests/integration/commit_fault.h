/* integration/commit_fault.h - the simulated log refuses commits: `skip` pass, then `times` fail.
 */
#ifndef LEAT_TESTS_COMMIT_FAULT_H
#define LEAT_TESTS_COMMIT_FAULT_H
#include "log/sim/sim.h"

struct fault {
    leat_status status;
    int skip, times; /* counted down as commits come */
};

static inline leat_status fault_before_commit(void *arg, const char *group, const char *instance,
                                              size_t record_count)
{
    struct fault *fault = arg;
    (void)group;
    (void)instance;
    (void)record_count;
    if (fault->skip-- > 0)
        return LEAT_OK;
    return fault->times-- > 0 ? fault->status : LEAT_OK;
}

/* fault: borrowed by the log's world. */
static inline void inject(leat_log *log, struct fault *fault)
{
    leat__sim_set_hooks(leat__sim_world_of(log),
                        &(leat__sim_hooks){.arg = fault, .before_commit = fault_before_commit});
}
#endif
