/* log/embedded/batch.h - some records of one partition as one value.
 *
 *     key: ... last = 1007        header                records, in offset order
 *     ┌──────────────────────────────────────────┬─────────────────────────────────────┐
 *     │ 1 version 1                              │ var  offset - previous offset - 1   │
 *     │ var  span: last - first offset           │ zig  timestamp - previous timestamp │
 *     │ var  records                             │ str  key      (varint length + 1,   │
 *     │ var  bytes of the partition before this  │ str  value     0: absent)           │
 *     │ zig  greatest timestamp                  │ ...                                 │
 *     │ zig  tombstones may go at (ms), 0: unset │                                     │
 *     └──────────────────────────────────────────┴─────────────────────────────────────┘
 * Nothing in the value depends on where in the partition it lands but `bytes`, which is why the
 * records can be encoded before the commit gives them offsets.  Offsets have gaps after compaction.
 */
#ifndef LEAT_LOG_EMBEDDED_BATCH_H
#define LEAT_LOG_EMBEDDED_BATCH_H
#include "base/buffer.h"
#include "leat/log.h"

enum { LEAT__BATCH_HEADER_MAX = 1 + 5 * 10 };

typedef struct leat__batch {
    int64_t first, last; /* offsets */
    uint64_t count;
    int64_t bytes_before, max_timestamp_ms, tombstones_until_ms;
    leat_str records;
} leat__batch;

typedef struct leat__batch_cursor {
    leat__reader reader;
    uint64_t left;
    int64_t offset, timestamp_ms; /* of the record before */
    int64_t last;
} leat__batch_cursor;

size_t leat__batch_header(char *out, const leat__batch *batch); /* its length */
bool leat__batch_open(leat__batch *batch, leat_str value, int64_t last);
void leat__batch_cursor_init(leat__batch_cursor *cursor, const leat__batch *batch);
/* Fills offset, timestamp, key, value, which point into the batch. False: damaged. left > 0. */
bool leat__batch_next(leat__batch_cursor *cursor, leat_log_record *record);
/* Appends a record; previous_*: of the one before it in this batch, first - 1 and 0 at first. */
void leat__batch_add(leat__buffer *records, int64_t previous_offset, int64_t previous_timestamp_ms,
                     const leat_log_record *record);
size_t leat__batch_bound(const leat_log_record *record); /* at most so many bytes are added */
#endif
