/* state/lock.h - one process per directory (R25): DIR/leat.lock, held by flock, says who. */
#ifndef LEAT_STATE_LOCK_H
#define LEAT_STATE_LOCK_H
#include "leat/base.h"

/* *lock: a descriptor to keep; LEAT_ELOCKED names the pid that holds it. */
leat_status leat__lock_take(const char *dir, int *lock, leat_error *error);
void leat__lock_release(int lock); /* -1 is allowed */
/* A directory that holds what is not ours (a home, a log) is refused before anything is written
 * there: LEAT_EINVAL names a file. One that is missing is fine. */
leat_status leat__state_dir_check(const char *dir, leat_error *error);
#endif
