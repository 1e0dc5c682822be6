/* serve/descriptors.h - the server's descriptors, divided at its start so that no connection can
 * take one that the log or the state needs: a log without a descriptor ends the process.
 *
 *     ulimit -n (raised) = log + state + others + connections */
#ifndef RECOMMENDER_DESCRIPTORS_H
#define RECOMMENDER_DESCRIPTORS_H
#include "leat/base.h"

typedef struct descriptors {
    uint32_t limit, log, state, others, connections;
} descriptors;

/* Raises the soft limit and divides it, before anything is opened.
 * LEAT_EINVAL: too few, with the least that works. */
LEAT_MUST_CHECK leat_status descriptors_divide(descriptors *out, leat_error *error);
void descriptors_tell(const descriptors *self); /* a line of the log */
/* What a limit gives; for tests. */
LEAT_MUST_CHECK leat_status descriptors_of_limit(uint32_t limit, descriptors *out,
                                                 leat_error *error);
#endif
