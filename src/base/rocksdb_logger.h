/* base/rocksdb_logger.h - RocksDB's own messages go into leat's, not into files of their own.
 *
 * It writes a file LOG beside the data, and where the disk is full, Debian's build of it (7.8) ends
 * the process with a failed assertion at the line after the one that did not fit.  Its errors come
 * back as statuses anyway: its lines are shown with LEAT_LOG_LEVEL=debug only. */
#ifndef LEAT_BASE_ROCKSDB_LOGGER_H
#define LEAT_BASE_ROCKSDB_LOGGER_H
#include <rocksdb/c.h>

#ifdef __cplusplus
extern "C" {
#endif
void leat__rocksdb_use_logger(rocksdb_options_t *options);
#ifdef __cplusplus
}
#endif
#endif
