/* job/recommender_job.h - the streaming job of the recommender.
 *
 *   user-interactions ─► "session" (by user) ─┬─► recommendations
 *                            │ │ │            │
 *                            │ │ └ late ──────┼─► late-events          bad records ─► dead-letters
 *                            │ └── closed ────┼─► sessions ────────► table: session index ─┐
 *                            └──── touched ═══╧═► "popularity" (by item)                   ├─ model
 *                                                   └► item-popularity ─► table: popular ──┘
 *
 * J1 Every accepted interaction that is neither late nor a duplicate gives exactly one record in
 *    `recommendations`, with the session as it is after it.
 * J2 A session ends 30 min (gap_ms) of event time after its last interaction, or when an
 *    interaction of the user carries another session_id or comes later than that gap; it is then
 * written to `sessions` once, as the up to session_items_max newest interactions in order of event
 * time. J3 A duplicate is an event_id that the same user sent within the last hour (ttl_ms) of
 * event time. J4 Late (to `late-events`, else ignored): timestamp + lateness_ms <= watermark; the
 * watermark follows the highest timestamp of the partition by out_of_order_ms (W1, N5). J5 An
 * item's counts are published at once when the item is new, else at most every 100 ms. */
#ifndef RECOMMENDER_JOB_H
#define RECOMMENDER_JOB_H
#include <stdatomic.h>

#include "apps/recommender/events/event.h"
#include "apps/recommender/job/model.h"
#include "leat/job.h"

typedef struct recommender_topics {
    const char *interactions, *sessions, *popularity, *recommendations, *late, *dead_letters;
} recommender_topics;

typedef struct recommender_settings {
    const char *name;     /* of the job: its consumer group, the prefix of its internal topics */
    const char *data_dir; /* state of the job lies in DATA_DIR/state; NULL: in memory */
    const char *log_url;  /* NULL: embedded:DATA_DIR/log */
    const char *snapshot_dir; /* of that state, now and then; NULL: none */
    int64_t snapshot_interval_ms;
    recommender_topics topics;
    /* The field by whose murmur2 producers spread interactions: "user_id"; any other, or "false"
     * for none: they go through an exchange first. */
    const char *partitioned_by;
    const char *advertise; /* HOST:PORT for the other processes of the job; NULL: none */
    leat_exchange exchange;
    uint32_t partition_count;
    uint32_t worker_count;
    uint64_t memory_bytes; /* of the job's buffers and caches (R28); 0: each bound by itself */
    int64_t epoch_ms;
    const char *instance; /* NULL: the job's own default */
    leat_guarantee guarantee;
    int64_t lease_ms; /* leat_job_opts.lease_ms (R15) */
    int64_t gap_ms, ttl_ms, lateness_ms, out_of_order_ms, interactions_retention_ms;
    /* W7: an event that is further ahead of the clock goes to the dead letters, or, with
     * clamp_ahead, happened when it was taken. */
    int64_t max_ahead_ms;
    bool clamp_ahead;
    uint32_t session_items_max;
    uint32_t count; /* items in a recommendation */
    session_index_options index;
    popularity_options popular;
    /* Called on the commit thread for each committed recommendation; NULL: not. */
    void (*on_committed)(void *arg, const leat_log_record *record);
    void *on_committed_arg;
} recommender_settings;
recommender_settings recommender_defaults(void);

/* What the operators count while they run: a replayed record is counted again. */
typedef struct recommender_counters {
    _Atomic uint64_t interactions, duplicates, late, sessions_closed;
    _Atomic uint64_t clamped; /* their time was ahead of the clock (W7) */
} recommender_counters;

typedef struct recommender_job {
    recommender_settings settings;
    leat_log *log; /* borrowed */
    leat_job *job;
    model *model;
    recommender_counters counters;
    struct interaction_readers *readers;
} recommender_job;

/* Creates the topics that are missing (log NULL: the job does, all with its defaults) and builds
 * the job; leat_job_start(job->job) runs it. */
LEAT_MUST_CHECK leat_status recommender_job_new(recommender_job **job, leat_log *log,
                                                const recommender_settings *settings,
                                                leat_error *error);
void recommender_job_free(recommender_job *job); /* NULL is allowed */

/* Will the job find the interaction late (J4)? As far as can be known here: false where its
 * partition is in another process. now_ms: the clock. Any thread. */
bool recommender_job_is_late(recommender_job *job, const interaction *event, int64_t now_ms);

/* accepted_ms of a committed recommendation's JSON, without parsing it; -1: not found. */
int64_t recommendation_accepted_ms(leat_str value);

/* The model's two tables, also used to build an index outside of a job. */
void model_add_session(model *model, const void *closed_session_record);
void model_add_count(model *model, const void *item_count_record);
#endif
