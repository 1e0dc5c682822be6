/* engine/run.h - a job while it runs.
 *
 *   workers      task (stage 0, p 0) ══channel══► task (stage 1, q 0)   one bundle per task
 *   (threads)    task (stage 0, p 1) ══channel══► task (stage 1, q 1)   and epoch
 *                                                                          │
 *   coordinator  OPEN ─ time or bytes ─► BARRIER ─ all sealed ─► COMMIT ◄──┘ ─► OPEN ...
 *   table reader global tables
 *
 * An epoch: the coordinator raises barrier_epoch; source tasks stop where they are and send a
 * barrier down every channel; a task that has the barrier from all its inputs seals: outputs,
 * state changes and source positions become a bundle. When all bundles are there, one log
 * transaction takes them all. Meanwhile the tasks run the next epoch. Failure: everybody parks,
 * the assembly (tasks, channels, stores) is thrown away and built again from the committed
 * positions, which is exactly what a cold start does (R10).
 */
#ifndef LEAT_ENGINE_RUN_H
#define LEAT_ENGINE_RUN_H
#include "base/env.h"
#include "base/histogram.h"
#include "engine/channel.h"
#include "engine/doorbell.h"
#include "graph/graph.h"
#include "time/valve.h"
#include "time/watermark.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct leat__run leat__run;
typedef struct leat__task leat__task;
/* the exchange through the log (engine/exchange.h) */
typedef struct leat__repartition leat__repartition;
typedef struct leat__outlet leat__outlet;
typedef struct leat__inlet leat__inlet;

/* ------------------------------------------------------------------ bundle: one task's part of
 * one epoch */

/* instead of a sink's node id */
#define LEAT__SINK_DEAD_LETTERS UINT32_MAX
#define LEAT__SINK_STAGE UINT32_C(0x80000000) /* + number of the stage: through its topic */

typedef struct leat__out_record {
    uint32_t node;           /* the sink's node id, or one of the above */
    uint32_t partition;      /* LEAT_PARTITION_BY_KEY, or where it has to go */
    size_t key_at, value_at; /* into bytes */
    uint32_t key_length, value_length;
    bool has_key;
    int64_t timestamp_ms;
} leat__out_record;

typedef struct leat__counters {
    uint64_t in, out, late, skipped, dead, ahead, misplaced;
} leat__counters;

typedef struct leat__bundle {
    uint64_t epoch;
    leat__buffer bytes;
    leat__out_record *records;
    size_t count, capacity;
    leat__changes changes;
    size_t change_count;
    /* source tasks: where the next epoch begins, and the highest event time seen */
    bool has_offset;
    int64_t offset, max_timestamp_ms;
    bool drained;         /* W5: what was open at this offset has fired */
    leat__buffer senders; /* behind an exchange through the log: what they have told, as text */
    int64_t watermark_ms, kept_watermark_ms;
    leat__counters counters; /* since the task was made */
    leat__store_stats store_stats;
    size_t accounted_bytes; /* what of it is in run->buffered_bytes */
} leat__bundle;

/* ------------------------------------------------------------------ source of a task */

typedef struct leat__source {
    const leat__node *node;
    /* log: the topic; generators and arrays: where positions are kept */
    const char *topic;
    leat_log_reader *reader;
    uint64_t lost; /* of the reader's, told */
    leat_json_decoder *json;
    leat__op decode_op; /* context for a custom decoder; its spec is source_spec */
    leat__op_spec source_spec;
    int64_t offset;              /* next to read */
    int64_t end_offset;          /* until_end: stop here; else INT64_MAX */
    uint64_t sealed_epoch;       /* of the last seal; 0: none */
    int64_t known_end;           /* backlog.c: of the partition */
    _Atomic int64_t waiting;     /* what of it is in run->waiting, or run->inlets_waiting */
    _Atomic int64_t passed;      /* the reader, as far as it has been asked (R31) */
    int64_t sealed_timestamp_ms; /* highest event time in the last seal (R16) */
    int64_t whole_offset;        /* of the seal before the last; 0: none */
    /* what the group has committed: -1: nothing; the last epoch sealed by then, 0: not known */
    int64_t committed_offset, committed_timestamp_ms;
    uint64_t committed_epoch;
    /* leat_topic_opts.id: of what is read, and of what was read when its position was committed, or
     * sealed; 0: not known */
    uint64_t topic_id, committed_topic_id, sealed_topic_id;
    bool after_drain; /* the run that committed it had fired what was open (W5); not told yet */
    leat__partition_time time;
    bool ended;
    const leat_field *key_field;   /* the only target is a key_by on it: keys are found ahead */
    leat__inlet *inlet;            /* behind an exchange through the log; else NULL */
    struct leat__suspect *suspect; /* R19: its line in the ledger of crashes; NULL: not watched */
    int64_t guilty_offset;         /* of the record that ends the process; -1: none */
    uint32_t guilty_crashes;
} leat__source;

/* ------------------------------------------------------------------ task */

typedef struct leat__delivery { /* where elements leave the chain: a sink or an exchange */
    leat__task *task;
    const leat__node *sink; /* sink, or NULL */
    const leat__edge *edge;
    uint32_t edge_number;
    bool flat;
    leat__channel **channels; /* per receiving partition */
    uint32_t channel_count;
    leat__outlet *outlet; /* instead of channels: through the log */
} leat__delivery;

/* How a task stands, for other threads (R3, R31): written by the task's own, relaxed, so that who
 * looks holds nobody up and each number is one that was true; they need not be of one moment. */
typedef struct leat__shown {
    /* as of the end of its last turn */
    _Atomic int64_t offset, clock_ms, watermark_ms;
    _Atomic bool ended;
    _Atomic uint64_t epoch; /* open */
    /* of its last seal; epoch 0: none */
    _Atomic uint64_t sealed_epoch;
    _Atomic size_t sealed_outputs, sealed_changes;
} leat__shown;

struct leat__task {
    leat__task_face face; /* first: face.task is this */
    leat__run *run;
    const leat__stage *stage;
    uint32_t partition, worker;
    leat__op **ops;            /* by place in stage->nodes; NULL for sources and sinks */
    leat__source *source;      /* NULL behind an exchange in memory */
    leat__output root;         /* where the source's records go */
    leat__target *edge_target; /* by edge number: where received records go */
    leat__channel **inputs, **outputs;
    size_t input_count, output_count, barriers, ended_inputs;
    bool clamped; /* its time began again at the clock (W7), told */
    bool stopped; /* nothing more comes in this run, but time goes on in a later one (W5) */
    leat__outlet **outlets;
    size_t outlet_count;
    leat__valve valve;
    /* face.watermark_ms without the end of the input (W5): a later run goes on from it */
    int64_t kept_watermark_ms;
    _Atomic int64_t shown_watermark_ms; /* the same for other threads */
    bool told_idle;                     /* what the stages behind were told last */
    leat__arena scratch;                /* reset after each input record or timer */
    uint64_t epoch;                     /* open */
    bool touched;                       /* the open epoch has done something; clock_ms is fixed */
    leat__bundle bundles[2], *bundle, *sealed;
    leat__counters counters;
    leat__op **timer_ops; /* by timer number of the store */
    leat__slot *slots;
    const char **timers;
    size_t slot_count, timer_count;
    char *changelog;                        /* topic; NULL without state */
    uint64_t changelog_id;                  /* leat_topic_opts.id as of the start */
    int64_t changelog_begin, changelog_end; /* as of the start (R5) */
    leat_log_reader *restore_reader;        /* from the store's opening until it is restored */
    size_t number;                          /* in run->tasks and run->progress */
    _Atomic int64_t committed_offset;       /* of the last transaction */
    bool position_kept;                     /* R16: in a seal, or by positions.c, since the start */
    uint64_t sealed_epoch_before; /* R2: the previous epoch sealed in this changelog partition */
    int64_t skip_log_ms, dead_log_ms, ahead_log_us, placement_us;
    leat__shown shown;
    int64_t monotonic_ms; /* as of clock_ms: silence (W4) is measured by what nobody sets */
};

/* ------------------------------------------------------------------ run */

typedef struct leat__worker {
    leat__run *run;
    pthread_t thread;
    leat__doorbell bell;
    leat__task **tasks;
    size_t task_count;
    uint32_t number;
    /* for the watchdog (R31): the task whose turn it is, NULL: it sleeps; how many turns there were
     */
    _Atomic(leat__task *) busy;
    _Atomic uint64_t turns;
} leat__worker;

/* ------------------------------------------------------------------ progress of a restore */

typedef struct leat__progress {
    const char *stage;
    uint32_t partition;
    bool ready;
    int64_t from, position, end; /* offsets of the changelog */
    uint64_t records;
} leat__progress;

typedef struct leat__restore_sum {
    uint32_t ready, restoring;     /* partitions */
    uint64_t records, done, total; /* done of total: distances between offsets */
    uint64_t per_second;
    int64_t left_ms; /* -1: can't be said yet */
} leat__restore_sum;

typedef struct leat__attempt { /* how far a source had read when the job rewound */
    uint32_t stage, partition;
    int64_t reached;
} leat__attempt;

typedef struct leat__watchdog leat__watchdog;
typedef struct leat__snapshots leat__snapshots;
typedef struct leat__lag leat__lag;
typedef struct leat__trimming leat__trimming;
typedef struct leat__placed leat__placed;

typedef enum leat__phase { LEAT__OPEN, LEAT__BARRIER } leat__phase;

/* What the coordinator is at, for the watchdog (R31). */
typedef enum leat__doing {
    LEAT__DOES_NOTHING, /* starting, or over */
    LEAT__DOES_ASSIGNMENT,
    LEAT__DOES_PARK,
    LEAT__DOES_RESTORE,
    LEAT__DOES_OPEN,
    LEAT__DOES_BARRIER,
    LEAT__DOES_COMMIT,
    LEAT__DOES_APPLY,
    LEAT__DOES_DELIVER,
} leat__doing;

struct leat__run {
    leat_job *job;
    const leat__graph *graph;
    const leat_env *env;
    leat_log *log;
    bool owns_log, stepping;
    /* no log was named: state is not written down, a rewind is impossible */
    bool forgetful;
    leat__database *database;
    leat_log_member *member;
    _Atomic int64_t generation; /* R7: of the assignment that this assembly was made from */
    int64_t divided_since_us; /* another process has partitions of a job that runs in one; 0: no */
    uint64_t incarnation;

    leat__task **tasks;
    _Atomic size_t task_count; /* the watchdog looks, too (R31) */
    leat__worker *workers;
    uint32_t worker_count, workers_started;
    uint32_t *stage_partitions; /* by stage number */
    uint32_t widest;            /* source, in partitions */
    size_t partition_total;     /* of all sources */
    size_t table_partitions;    /* of all global tables */
    /* by number of the stage that is fed through it; NULL: the job's exchange is in memory */
    leat__repartition **repartitions;
    int64_t max_out_of_order_ms;  /* of the sources */
    int64_t clock_ms, clock_us;   /* W7: wall and monotonic, as they were last compared */
    bool tells_at_once;           /* tests: a watermark is not held back to save records */
    char **position_topics;       /* by node id; NULL but for generators and arrays */
    int64_t **until_end;          /* by node id, then partition: ends as of the start; or NULL */
    char *private_log;            /* name in the simulator, to be forgotten; or NULL */
    leat_log_partition *assigned; /* copied from the member's last ASSIGNED event */
    size_t assigned_count;
    pthread_rwlock_t assembly_lock; /* queries from other threads against take-down */

    /* restoring (R20) */
    leat__progress *progress; /* per task; under lock */
    size_t progress_count;
    int64_t restore_started_us, restore_told_us, restore_polled_us;
    _Atomic bool restoring, revoking;
    leat__watchdog *watchdog;        /* NULL while stepping */
    struct leat__suspects *suspects; /* R19; NULL without a state directory */
    struct leat__refusals *refusals; /* R19 */
    leat__snapshots *snapshots;      /* NULL: none are made */
    _Atomic(leat__lag *) lag;        /* NULL: asked for on the spot */
    leat__trimming *trimming;        /* NULL: no exchange through the log, or not begun yet */
    int64_t topics_checked_us;
    uint32_t *source_partitions;      /* by node id, as of the start; 0: no source */
    uint64_t *source_ids;             /* the same: leat_topic_opts.id; 0: not known */
    uint64_t *changelog_ids;          /* by number of the stage */
    leat__snapshot_topic *changelogs; /* of all stages; names are owned */
    size_t changelog_count;
    char *positions_topic;     /* NULL: the log keeps offsets as long as topics */
    uint32_t *sink_partitions; /* by node id, of log sinks */
    leat__placed *placed;      /* NULL: no sink has on_committed */

    /* coordinator */
    pthread_t coordinator;
    leat__doorbell bell;
    leat__phase phase;
    _Atomic uint64_t epoch; /* the watchdog looks, too (R31) */
    int64_t epoch_us, backlog_us, last_commit_us, deferred_since_us;
    size_t deferred_bytes;          /* R6: committed, not in the database yet */
    _Atomic int64_t waiting;        /* records that lie in the logs behind the sources */
    _Atomic int64_t inlets_waiting; /* and in the topics of exchanges */
    int64_t opened_us;              /* first activity of the epoch that is being committed */
    _Atomic uint64_t barrier_epoch; /* tasks whose open epoch is <= this seal it */
    _Atomic uint32_t sealed_count, ended_sources;
    uint32_t source_count;
    _Atomic int64_t active_since_us; /* first activity of the open epoch; 0: none */
    _Atomic size_t buffered_bytes;   /* R9 */
    size_t buffer_limit;
    size_t cache_bytes;   /* decoded state, all tasks together */
    bool offsets_pending; /* R24: positions moved without a transaction */
    /* R15: of the last proof of ownership; 0: nothing is owned. And the barrier asked for is to
     * give another */
    _Atomic int64_t proven_us;
    bool proving;
    /* R31: what it is at (leat__doing); counts epochs, restored records, events of the group: what
     * shows that it does not stand still; for how long it has */
    _Atomic int doing;
    _Atomic uint64_t moves;
    _Atomic int64_t stalled_ms;
    _Atomic(const leat__node *) delivering; /* the sink whose callback runs */
    _Atomic uint32_t rewinds_in_row; /* R30: without getting past where the first one began */
    leat__attempt *attempts;         /* what is to be got past; attempts.c */
    size_t attempt_count;
    int64_t attempted_us; /* the last rewind */
    bool attempts_moved;  /* a source had read further than was committed */
    /* the barrier asked for commits positions even without output */
    bool forced;
    _Atomic bool barrier_wanted; /* the harness ends the epoch now */

    /* stopping and failing */
    _Atomic bool stop_requested, quit, park_requested;
    pthread_mutex_t lock;
    pthread_cond_t parked_changed;
    bool parking;
    _Atomic uint32_t parked_count; /* the watchdog looks, too (R31) */
    leat_error fatal;              /* under lock; status LEAT_OK: none */
    _Atomic bool failed;
    bool finished, threads_started;
    _Atomic bool open; /* everything below can be looked at from other threads */

    /* tables */
    struct leat__tables *tables;
    struct leat__members *members; /* NULL: no address is advertised */

    /* statistics, under lock */
    leat_job_stats stats;
    leat__counters counters_before; /* of assemblies that were thrown away */
    leat__histogram commit_us, epoch_latency_us;
};

/* The job whose callbacks this thread may be running: one of its own, or in leat_job_start or
 * leat_job_step; NULL: none. Such a thread must not wait for the job, or take it down. */
extern _Thread_local const leat_job *leat__job_of_thread;

/* run.c */
/* The topic of a log source; of a generator or an array the one that keeps its position. */
const char *leat__source_topic(const leat__run *run, const leat__node *node);
void leat__run_fail(leat__run *run, const leat_error *error); /* first error wins; any thread */
/* Every 30 s: a topic with another number of partitions than at the start ends the job, as records
 * of the new ones would not be read. */
leat_status leat__check_topics(leat__run *run, leat_error *error);
/* signals.c: the job is going, and a signal may come later */
void leat__signals_forget(leat_job *job);
/* Drops a run that has no threads (any more) as it is: what is not committed is gone. */
void leat__run_close(leat_job *job);
/* assembly.c */
leat_status leat__assemble(leat__run *run, leat_error *error);
void leat__disassemble(leat__run *run);
/* Reads what the group has committed, and where the changelogs end, before anything is restored
 * (R5). */
leat_status leat__read_positions(leat__run *run, leat_error *error);
/* progress.c */
void leat__run_count_violation(leat__run *run);            /* leat_eos_violations_total */
void leat__run_count_rebuild(leat__run *run);              /* leat_state_rebuilds_total */
void leat__run_count_lost(leat__run *run, uint64_t count); /* leat_records_lost_total */
/* W5: a partition goes on behind an end at which what was open has fired; the first says so. */
void leat__run_count_resumed(leat__run *run, const leat__source *source, uint32_t partition);
void leat__progress_begin(leat__run *run); /* for the tasks made by now */
void leat__progress_end(leat__run *run);
void leat__progress_from(const leat__task *task, int64_t position); /* begins there */
void leat__progress_ready(const leat__task *task);
void leat__progress_finished(leat__run *run);
leat__restore_sum leat__progress_sum(leat__run *run);
leat_partition_state leat__run_state(leat__run *run);
/* After each read of a restore; LEAT_EABORTED: told to stop, or the partitions were taken away
 * (run->generation has changed then). */
leat_status leat__restore_tick(const leat__task *task, uint64_t records, int64_t position,
                               bool idle, leat_error *error);
/* ask.c: watched (R3), and asked again for up to 10 s where the log says "later" (R30). what is a
 * literal. */
leat_status leat__ask_bounds(leat__run *run, const char *what, const char *topic,
                             uint32_t partition, int64_t *begin, int64_t *end, leat_error *error);
/* Makes sure that the topic exists; *opts gets what it is. */
leat_status leat__find_or_make(leat__run *run, const char *topic, const leat_topic_opts *wanted,
                               leat_topic_opts *opts, leat_error *error);
leat_status leat__ask_committed(leat__run *run, const char *topic, uint32_t partition,
                                leat_log_offset *offset, leat_error *error);
typedef struct leat__asking {
    uint32_t times;
    int64_t since_us, waited_us; /* the first refusal; pauses that the clock did not notice */
} leat__asking;                  /* {0} to begin with */
/* R7, R8: partitions that were taken away are noted, and what they were asked or restored for ends
 * with LEAT_EABORTED. */
leat_status leat__look_at_group(leat__run *run, leat_error *error);
/* Ends the watch; true: it has paused, ask again. */
bool leat__ask_again(leat__run *run, leat__asking *asking, leat_status status,
                     const leat_error *error);
/* watchdog.c: R3; a call into the log that lasts longer than its limit ends the process. One call
 * at a time. */
leat_status leat__watchdog_start(leat__run *run, leat_error *error);
void leat__watchdog_stop(leat__run *run);
void leat__watch(leat__run *run, const char *call, int64_t limit_ms); /* literals */
void leat__watch_phase(leat__run *run, const char *phase);
void leat__watch_end(leat__run *run);
/* restore.c */
/* Begins to read the changelog, from where the store stands; then restores from it. */
leat_status leat__restore_start(leat__task *task, leat_error *error);
leat_status leat__task_restore(leat__task *task, leat_error *error);
enum { LEAT__SEAL_BYTES = 82 };
/* What it writes is the seal that is told. */
leat__seal_identity leat__seal_append(leat__buffer *buffer, const leat__task *task,
                                      const leat__bundle *bundle);
extern const leat_str leat__seal_key;
/* remedy.c: "use a new job name, or begin this one anew: leat reset --log LOG JOB, and remove the
 * state directory DIR" */
enum { LEAT__REMEDY_BYTES = 360 };
const char *leat__remedy(const leat__run *run, char text[LEAT__REMEDY_BYTES]);
/* False: it says that it is of another job or stage, or is no seal. */
bool leat__seal_is_of(leat_str value, const char *job, const char *stage);
/* task.c */
static inline void leat__keep_watermark(leat__task *task, int64_t watermark_ms)
{
    task->kept_watermark_ms = watermark_ms;
    atomic_store_explicit(&task->shown_watermark_ms, watermark_ms, memory_order_relaxed);
}
bool leat__task_run(leat__task *task);  /* true: it did something */
void leat__task_show(leat__task *task); /* after a turn, and once it is open */
void leat__task_touch(leat__task *task);
int64_t leat__task_next_due_us(leat__task *task);
/* How time stands in the task now. */
bool leat__pass_time(leat__task *task, int64_t watermark_ms, bool idle);
leat_status leat__task_failed(void *task, leat__op *op, const leat__element *element,
                              const leat_error *error);
void leat__task_late(void *task, leat__op *op);
/* An element of another stage comes to where its edge leads. */
leat_status leat__task_take(leat__task *task, const leat__target *target,
                            const leat__element *element);
void leat__task_stop(void *task, const leat_error *error); /* any thread */
/* clock.c: event time against the clock (W7) */
/* LEAT_EDATA: the time is further ahead of the epoch's clock than max_ahead_ms. */
leat_status leat__clock_refuse(leat__task *task, int64_t timestamp_ms, leat_error *error);
static inline leat_status leat__clock_check(leat__task *task, int64_t timestamp_ms,
                                            leat_error *error)
{
    /* subtracted, as the sum may overflow; a time far in the past can't be ahead */
    int64_t ahead_ms;
    if (__builtin_sub_overflow(timestamp_ms, task->face.clock_ms, &ahead_ms))
        ahead_ms = timestamp_ms > 0 ? LEAT_TIME_MAX : LEAT_TIME_MIN;
    return ahead_ms <= task->run->graph->opts.max_ahead_ms
               ? LEAT_OK
               : leat__clock_refuse(task, timestamp_ms, error);
}
/* The time that was committed of a partition, or what is left of it below the clock if it is too
 * far ahead. Says so and counts it once a task. */
int64_t leat__clock_clamp(leat__task *task, int64_t time_ms, int64_t out_of_order_ms);
int64_t leat__clock_clamp_watermark(leat__task *task, int64_t watermark_ms);
/* Notices that the clock was set. LEAT_EABORTED: time now stands too far ahead of it, and begins
 * again with a rewind. By the coordinator, between epochs. */
leat_status leat__clock_look(leat__run *run, leat_error *error);
/* source.c */
int64_t leat__source_out_of_order_ms(const leat__node *node);
leat_on_error leat__source_on_error(const leat__node *node);
/* Where to go on: what the group committed, or what the state was sealed with (R16). */
leat_status leat__source_position(leat__task *task, leat_error *error);
leat_status leat__source_open(leat__task *task, leat_error *error);
void leat__source_close(leat__source *source);
leat_status leat__source_committed(leat__task *task, leat_error *error);
leat_status leat__source_take_committed(leat__task *task, int64_t offset, leat_str metadata,
                                        leat_error *error);
/* positions.c: R16, where there is no seal; run->positions_topic is not NULL. */
leat_status leat__positions_add(const leat__run *run, leat_log_txn *txn,
                                const leat_log_offset *offset, leat_error *error);
/* What is missing of the group's offsets. */
leat_status leat__positions_read(leat__run *run, leat_error *error);
/* What goes with a committed offset; returns its length. */
enum { LEAT__OFFSET_METADATA_BYTES = 64 };
int leat__offset_metadata(char text[LEAT__OFFSET_METADATA_BYTES], int64_t timestamp_ms,
                          uint64_t epoch, bool drained, uint64_t topic_id);
/* What the reader of an open source reads is the topic that its position is of; else
 * LEAT_ECORRUPT. */
leat_status leat__source_check_topic(leat__task *task, leat_error *error);
bool leat__source_run(leat__task *task);
/* sink.c */
leat_status leat__sink_deliver(void *delivery, const leat__element *element);
leat_status leat__sink_check(void *delivery, const leat__element *element, bool large,
                             leat_error *error);
leat_status leat__too_big(const char *where, leat_str key, size_t bytes, leat_error *error);
leat_status leat__exchange_deliver(void *delivery, const leat__element *element);
/* What failed goes to the dead-letter topic with this epoch (R19); element NULL: a timer. */
void leat__dead_letter(leat__task *task, const leat__op *op, const leat__element *element,
                       const leat_error *error);
leat__out_record *leat__bundle_record(leat__bundle *bundle); /* a new one, to be filled */
/* The job ends: the log takes no record of that size. */
leat_status leat__bundle_too_big(leat__task *task, const char *where, leat_str key, size_t bytes);
void leat__bundle_reset(leat__bundle *bundle);
void leat__bundle_free(leat__bundle *bundle);
/* commit.c */
leat_status leat__commit(leat__run *run, bool force, leat_error *error);
/* coordinator.c */
/* Waits for partitions, and restores what belongs to them; run->generation < 0: none yet. */
leat_status leat__first_assembly(leat__run *run, leat_error *error);
void leat__keep_assignment(leat__run *run, const leat_log_event *event);
void *leat__coordinator_main(void *run);
/* One move of the state machine; returns when to look again (monotonic us). */
int64_t leat__coordinator_step(leat__run *run);
void *leat__worker_main(void *worker);
static inline void leat__does(leat__run *run, leat__doing doing) /* R31 */
{
    atomic_store_explicit(&run->doing, (int)doing, memory_order_relaxed);
}
static inline void leat__moves(leat__run *run) /* R31 */
{
    atomic_fetch_add_explicit(&run->moves, 1, memory_order_relaxed);
}
/* placement.c: P1 */
leat_status leat__partitions_changed(const char *topic, uint32_t before, uint32_t now,
                                     leat_error *error); /* says so: LEAT_EGRAPH */
/* Of what is assigned all was there at the start; else LEAT_EGRAPH. */
leat_status leat__placement_partitions(leat__run *run, leat_error *error);
/* A record of a source with partitioned_by is where it belongs. key: if it is known, of
 * source->key_field. *ended: the job is, as partitions were added. */
leat_status leat__placement_check(leat__task *task, const void *record, leat_str key, bool *ended,
                                  leat_error *error);
/* attempts.c: R30; by the coordinator */
void leat__attempts_note(leat__run *run);      /* it is about to rewind; all workers stand still */
void leat__attempts_committed(leat__run *run); /* resets rewinds_in_row once it has got on */
bool leat__attempts_pending(const leat__run *run);
/* backlog.c: epochs are longer while the job is far behind */
/* Its source has read up to its offset, or found nothing there to read. */
void leat__backlog_read(leat__task *task, bool nothing);
void leat__backlog_ended(leat__task *task); /* its source will read no more */
int64_t leat__epoch_length_us(leat__run *run);
size_t leat__backlog_bytes(const leat__run *run); /* buffered: a longer epoch ends */
/* R6: may the database do without so many bytes of changes that are being committed, for now? */
bool leat__backlog_defers(leat__run *run, size_t bytes);
/* lease.c: R15 */
void leat__lease_begin(leat__run *run, int64_t asked_us); /* restored, from what was asked then */
void leat__lease_renew(leat__run *run, int64_t begun_us); /* a commit succeeded */
int64_t leat__lease_due_us(const leat__run *run); /* of the next proof; INT64_MAX: none is */
/* lag.c: backlog and table_lag, without waiting for a server */
leat_status leat__lag_start(leat__run *run);
void leat__lag_stop(leat__run *run);
void leat__lag_get(leat__run *run, leat_job_stats *stats);
bool leat__lag_given_up(leat__run *run); /* it is being stopped */
/* tables.c */
leat_status leat__tables_open(leat__run *run, leat_error *error);
leat_status leat__tables_start(leat__run *run, leat_error *error);
void leat__tables_close(leat__run *run);
/* Another number of partitions than at the start: LEAT_EGRAPH. */
leat_status leat__tables_check(leat__run *run, leat_error *error);
bool leat__tables_step(leat__run *run);
uint64_t leat__tables_lag(leat__run *run); /* records not read yet; any thread */
#endif
