/* commands/replay_target.h - where `replay` sends its events: a server, or a job in this process.
 *
 *   replay_http      POST /v1/events, one event a line        any server, also a running one
 *   replay_local     the log of DATA_DIR, while the job runs   no server needed
 *
 * Both take batches; a batch is durable when send returns. */
#ifndef RECOMMENDER_REPLAY_TARGET_H
#define RECOMMENDER_REPLAY_TARGET_H
#include "apps/recommender/job/recommender_job.h"
#include "base/buffer.h"
#include "base/histogram.h"

typedef struct replay_batch {
    leat__buffer texts; /* event JSON, a line break after each */
    leat__buffer keys;  /* user ids, one after the other */
    struct {
        uint32_t text_bytes, key_bytes; /* without the line break */
    } * events;
    size_t count, capacity;
} replay_batch;

typedef struct replay_target replay_target;
struct replay_target {
    leat_status (*send)(replay_target *self, const replay_batch *batch, leat_error *error);
    /* Waits until every event sent is committed, and ends. */
    leat_status (*finish)(replay_target *self, leat_error *error);
    void (*free)(replay_target *self);
    uint64_t rejected;                         /* by the server */
    char reject[256];                          /* the first one's reason */
    leat__histogram *accepted_to_committed_us; /* local only, else NULL */
};

LEAT_MUST_CHECK leat_status replay_http(replay_target **target, const char *url, leat_error *error);
LEAT_MUST_CHECK leat_status replay_local(replay_target **target,
                                         const recommender_settings *settings, leat_error *error);
#endif
