/* base/nearest.h - "did you mean": the right name nearest to a mistyped one. */
#ifndef LEAT_BASE_NEAREST_H
#define LEAT_BASE_NEAREST_H
#include "leat/base.h"

/* Edits (insert, delete, replace, swap neighbours) from one name to the other; case doesn't count.
 * SIZE_MAX if either is longer than LEAT__NAME_MAX. */
size_t leat__edit_distance(const char *a, const char *b);

/* The name nearest to `typed`, which may also be cut short; NULL: none is near. Names that are NULL
 * or empty are passed over. Borrowed from `names`. */
const char *leat__nearest(const char *typed, const char *const *names, size_t name_count);
#endif
