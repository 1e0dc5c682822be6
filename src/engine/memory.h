/* engine/memory.h - one budget for what a job's buffers and caches take (R28). */
#ifndef LEAT_ENGINE_MEMORY_H
#define LEAT_ENGINE_MEMORY_H
#include "leat/base.h"

typedef struct leat__memory_needs {
    const char *job;
    size_t budget_bytes;
    size_t log_bytes, partitions_read; /* what the log's client takes; for how many */
    size_t states; /* partitions of stages with state on disk; 0: no state is on disk */
    size_t buffer_bytes, cache_bytes; /* given by the job's options; 0: a share */
} leat__memory_needs;

typedef struct leat__memory_parts {
    size_t log_bytes;          /* as it is */
    size_t buffer_bytes;       /* outputs and changes of an epoch (R9) */
    size_t cache_bytes;        /* decoded state, all tasks together */
    size_t write_buffer_bytes; /* of RocksDB, each of two */
    size_t block_cache_bytes;  /* of RocksDB */
} leat__memory_parts;

/* LEAT_EINVAL: it is too little; the message says what takes how much, and the least that works. */
leat_status leat__memory_divide(const leat__memory_needs *needs, leat__memory_parts *parts,
                                leat_error *error);
#endif
