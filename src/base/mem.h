/* base/mem.h - allocation that does not fail: out of memory prints one line and exits(70), as
 * a stream processor rewinds to the last committed epoch anyway.  Sizes are checked for
 * overflow. */
#ifndef LEAT_BASE_MEM_H
#define LEAT_BASE_MEM_H
#include <stddef.h>

void *leat__alloc(size_t size_bytes);                /* not zeroed */
void *leat__calloc(size_t count, size_t size_bytes); /* zeroed */
void *leat__realloc(void *block, size_t count, size_t size_bytes);
char *leat__strdup(const char *text); /* NULL gives NULL */
char *leat__strndup(const char *text, size_t length);
char *leat__format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void leat__free(void *block); /* NULL is allowed */
#endif
