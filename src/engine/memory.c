/* engine/memory.c - see memory.h.
 *
 *   memory_bytes  [ log's client | least of each ........ | the rest, by weight                   ]
 *                    as it is      1 : 1 : 2 * 1 : 1 MiB    buffers 4, cache 8, write buffers 4,
 *                                  and 256 KiB a state      blocks 1: as they are by default
 *
 * What one epoch may buffer ends at its default: more would make an answer late, not a job fast.
 */
#include "engine/memory.h"
#include "base/error.h"
#include "base/limits.h"

enum {
    PARTS = 4,
    BUFFER_LEAST_BYTES = 4 << 20, /* a few of the largest records */
    STATE_LEAST_BYTES = 256 << 10,
    MIB = 1 << 20,
};

typedef struct part {
    size_t *bytes;
    size_t least_bytes, weight; /* weight 0: as it is given */
} part;

static size_t at_least(size_t bytes, size_t least)
{
    return bytes > least ? bytes : least;
}

static double mib(size_t bytes)
{
    return (double)bytes / MIB;
}

static leat_status too_little(const leat__memory_needs *needs, size_t buffers, size_t state,
                              leat_error *error)
{
    size_t least = needs->log_bytes + buffers + state;
    return leat__fail(
        error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, needs->job,
        "%.1f MiB of memory is too little for this job: the log takes %.1f MiB (%zu partitions are "
        "read), an epoch's buffers at least %.1f, the state of %zu partitions at least %.1f; give "
        "it %zu MiB or more",
        mib(needs->budget_bytes), mib(needs->log_bytes), needs->partitions_read, mib(buffers),
        needs->states, mib(state), (least + MIB - 1) / MIB);
}

leat_status leat__memory_divide(const leat__memory_needs *needs, leat__memory_parts *parts,
                                leat_error *error)
{
    bool on_disk = needs->states != 0;
    *parts = (leat__memory_parts){.log_bytes = needs->log_bytes};
    size_t write_buffers = 0;
    part all[PARTS] = {
        {&parts->buffer_bytes, BUFFER_LEAST_BYTES, 4},
        {&parts->cache_bytes, at_least(needs->states * STATE_LEAST_BYTES, MIB), 8},
        {&write_buffers, 2 * MIB, 4},
        {&parts->block_cache_bytes, MIB, 1},
    };
    const size_t given[PARTS] = {needs->buffer_bytes, needs->cache_bytes, 0, 0};
    size_t count = on_disk ? PARTS : 1, least = 0, weights = 0;
    for (size_t i = 0; i < count; i++) {
        if (given[i] != 0) {
            all[i].least_bytes = given[i];
            all[i].weight = 0;
        }
        least += all[i].least_bytes;
        weights += all[i].weight;
    }
    if (needs->budget_bytes < needs->log_bytes + least)
        return too_little(needs, all[0].least_bytes, least - all[0].least_bytes, error);
    size_t rest = needs->budget_bytes - needs->log_bytes - least;
    for (size_t i = 0; i < count && weights != 0; i++) {
        size_t share = all[i].weight == 0 ? 0 : rest / weights * all[i].weight;
        *all[i].bytes = all[i].least_bytes + share;
        if (i == 0 && given[0] == 0 && *all[0].bytes > LEAT__EPOCH_BYTES_MAX)
            *all[0].bytes = LEAT__EPOCH_BYTES_MAX;
        rest -= *all[i].bytes - all[i].least_bytes;
        weights -= all[i].weight;
    }
    if (given[0] != 0)
        parts->buffer_bytes = given[0];
    parts->write_buffer_bytes = write_buffers / 2;
    return LEAT_OK;
}
