#include "apps/recommender/serve/descriptors.h"

#include "base/descriptors.h"
#include "base/error.h"
#include "base/log_line.h"

enum {
    CONNECTIONS_MIN = 32,
    CONNECTIONS_MAX = 4000, /* 8 KiB each for its head and buffers */
    /* write-ahead logs, manifests and what is being compacted of both databases, snapshots, the
     * broker's connections, the other processes', timers, connections about to be closed */
    OTHERS = 128,
    ENOUGH = CONNECTIONS_MAX + OTHERS + 2 * LEAT__DATABASE_FILES_MAX,
};

static uint32_t taken_of(uint32_t limit)
{
    return 2 * leat__descriptors_share(limit) + OTHERS;
}

static bool is_enough(uint32_t limit)
{
    return limit >= taken_of(limit) + CONNECTIONS_MIN;
}

/* The databases' shares grow with the limit, so the least one is found by the check itself. */
static uint32_t least(void)
{
    uint32_t limit = 1;
    while (!is_enough(limit))
        limit++;
    return limit;
}

leat_status descriptors_of_limit(uint32_t limit, descriptors *out, leat_error *error)
{
    uint32_t database = leat__descriptors_share(limit), taken = taken_of(limit);
    *out = (descriptors){.limit = limit, .log = database, .state = database, .others = OTHERS};
    if (!is_enough(limit))
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "serve",
                          "the limit of open files is %u, and at least %u are needed: raise it "
                          "with `ulimit -n 1024`, in a systemd unit with LimitNOFILE=1024",
                          limit, least());
    out->connections = limit - taken < CONNECTIONS_MAX ? limit - taken : CONNECTIONS_MAX;
    return LEAT_OK;
}

leat_status descriptors_divide(descriptors *out, leat_error *error)
{
    return descriptors_of_limit(leat__descriptors_raise(ENOUGH), out, error);
}

void descriptors_tell(const descriptors *self)
{
    leat__log_line(LEAT__INFO, "serve",
                   "%u descriptors (ulimit -n): log %u, state %u, others %u, connections %u",
                   self->limit, self->log, self->state, self->others, self->connections);
}
