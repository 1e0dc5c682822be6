/* base/error.h - filling a leat_error in one line. */
#ifndef LEAT_BASE_ERROR_H
#define LEAT_BASE_ERROR_H
#include "leat/base.h"

/* Fills *error (if not NULL) and returns status, so that a failing function ends in
 * `return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "topic", "...", ...);`. */
leat_status leat__fail(leat_error *error, leat_status status, leat_recovery recovery,
                       const char *where, const char *format, ...) LEAT_PRINTF(5, 6);

/* What an errno of a call on a file is: no space (28), no access (77), or LEAT_EIO. */
leat_status leat__errno_status(int number);
/* strerror, and behind it what is to be done about it where that is known. */
const char *leat__errno_text(int number, char *text, size_t bytes);
enum { LEAT__ERRNO_TEXT_BYTES = 160 };
#endif
