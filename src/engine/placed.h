/* engine/placed.h - where the log has put an epoch's records, for sinks with on_committed.
 *
 * The log says of a transaction which offsets of a partition its records lie in, not which record
 * lies where. So the records of such a topic get their partition here, before the log sees them,
 * and are counted: the n-th of a partition lies at first + n, if nobody else's lie between.
 *
 *     add     record ─► partition by key (no key: in turn), count[partition]++
 *     commit  written(partition, first, next)
 *     deliver offset = first + n   if next - first == count[partition], else -1
 */
#ifndef LEAT_ENGINE_PLACED_H
#define LEAT_ENGINE_PLACED_H
#include "engine/run.h"

/* Once the topics are known; NULL if no sink has on_committed. */
leat__placed *leat__placed_new(const leat__run *run);
void leat__placed_free(leat__placed *placed);
void leat__placed_begin(leat__placed *placed); /* a transaction, from its first record */
/* The next record of the transaction; its partition is set if its topic is followed. */
void leat__placed_add(leat__placed *placed, leat__out_record *record, leat_str key);
void leat__placed_written(leat__placed *placed, const char *topic, uint32_t partition,
                          int64_t first, int64_t next);
/* After the commit, for each record in the order in which they were added: its offset; -1 where it
 * can't be told. */
int64_t leat__placed_next(leat__placed *placed, const leat__out_record *record);
#endif
