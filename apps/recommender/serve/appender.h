/* serve/appender.h - one thread that makes events durable, many requests with one disk sync.
 *
 *   request A ─┐                                    ┌─► done(A)
 *   request B ─┼─► queue ─► thread: one append, one sync ─┼─► done(B)
 *   request C ─┘   (bounded)    C arrives meanwhile: the next round
 *
 * The server's threads never wait for the disk (H1).  A batch is all or nothing. */
#ifndef RECOMMENDER_APPENDER_H
#define RECOMMENDER_APPENDER_H
#include "leat/log.h"

typedef struct appender appender;

typedef struct append_batch append_batch;
struct append_batch { /* owned by the caller until done() was called */
    leat_log_record *records;
    size_t count, bytes;
    void (*done)(append_batch *batch); /* on the appender's thread; status and error are set */
    void *user;
    leat_status status;
    leat_error error;
    append_batch *next;
};

appender *appender_start(leat_log *log); /* borrows the log */
/* False: the queue is full (or stopping), nothing was taken. */
bool appender_submit(appender *appender, append_batch *batch);
void appender_stop(appender *appender); /* what was taken is done first; NULL is allowed */

typedef struct appender_stats {
    uint64_t appends, records, failures, queued_bytes;
} appender_stats;
appender_stats appender_get_stats(appender *appender);
#endif
