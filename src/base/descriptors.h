/* base/descriptors.h - how many of the process's descriptors (ulimit -n) what may open.
 *
 *     soft limit ─┬─ 1/8: the embedded log's RocksDB     at least 24, at most 512 each
 *                 ├─ 1/8: the state's RocksDB
 *                 └─ the program: connections, and a reserve for everything else
 */
#ifndef LEAT_BASE_DESCRIPTORS_H
#define LEAT_BASE_DESCRIPTORS_H
#include <stdint.h>

enum { LEAT__DATABASE_FILES_MIN = 24, LEAT__DATABASE_FILES_MAX = 512 };

/* The soft limit; without one, or far above what anybody needs, 1 << 20. */
uint32_t leat__descriptors_limit(void);
/* Raises the soft limit to the hard one, but to no more than `enough`; returns what it is then.
 * For programs: a library leaves the limits of its process alone. */
uint32_t leat__descriptors_raise(uint32_t enough);
/* Files that one database may keep open: of a limit, of the limit there is. */
uint32_t leat__descriptors_share(uint32_t limit);
int leat__descriptors_of_database(void);
#endif
