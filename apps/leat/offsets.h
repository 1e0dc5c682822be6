/* apps/leat/offsets.h - all committed offsets of a log, for `leat offsets` and `leat explain`. */
#ifndef LEAT_APP_OFFSETS_H
#define LEAT_APP_OFFSETS_H
#include "leat/log.h"

typedef struct group_offset {
    char *group, *topic;
    uint32_t partition;
    int64_t offset, end; /* next to read; end of the partition, -1: the topic is gone */
} group_offset;

typedef struct group_offsets {
    group_offset *rows; /* by group, topic, partition */
    size_t count;
} group_offsets;

/* Of one group, or of all (NULL).  Free it in either case. */
LEAT_MUST_CHECK leat_status group_offsets_load(group_offsets *offsets, leat_log *log,
                                               const char *group, leat_error *error);
void group_offsets_free(group_offsets *offsets);
#endif
