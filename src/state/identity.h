/* state/identity.h - a name for the process that works on a state directory (R25): made once, kept
 * in DIR/leat.instance, so it moves with the directory and survives restarts. */
#ifndef LEAT_STATE_IDENTITY_H
#define LEAT_STATE_IDENTITY_H
#include "leat/base.h"

enum { LEAT__IDENTITY_BYTES = 24 };

/* Reads the name, or makes it from `random`. The directory is held (state/lock.h). A file that
 * holds no name: LEAT_ECORRUPT. */
leat_status leat__identity(const char *dir, uint64_t random, char name[LEAT__IDENTITY_BYTES],
                           leat_error *error);
/* The name if there is one; never makes one. */
bool leat__identity_kept(const char *dir, char name[LEAT__IDENTITY_BYTES]);
#endif
