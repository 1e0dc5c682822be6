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

leat_status descriptors_of_limit(uint32_t limit, uint32_t database, descriptors *out,
                                 leat_error *error)
{
    uint32_t taken = 2 * database + OTHERS;
    *out = (descriptors){.limit = limit, .log = database, .state = database, .others = OTHERS};
    if (limit < taken + CONNECTIONS_MIN)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "serve",
                          "the limit of open files is %u, and at least %d are needed: raise it "
                          "with `ulimit -n 1024`, in a systemd unit with LimitNOFILE=1024",
                          limit, 2 * LEAT__DATABASE_FILES_MIN + OTHERS + CONNECTIONS_MIN);
    out->connections = limit - taken < CONNECTIONS_MAX ? limit - taken : CONNECTIONS_MAX;
    return LEAT_OK;
}

leat_status descriptors_divide(descriptors *out, leat_error *error)
{
    uint32_t limit = leat__descriptors_raise(ENOUGH);
    return descriptors_of_limit(limit, (uint32_t)leat__descriptors_of_database(), out, error);
}

void descriptors_tell(const descriptors *self)
{
    leat__log_line(LEAT__INFO, "serve",
                   "%u descriptors (ulimit -n): log %u, state %u, others %u, connections %u",
                   self->limit, self->log, self->state, self->others, self->connections);
}
