/* leat/job.h - building and running a job: streams, operators, state, timers, windows.
 *
 *     leat_job *job = leat_job_new(&(leat_job_opts){.name = "counts", .log = "embedded:data"});
 *     leat_stream clicks = leat_from_log(job, "clicks", &click_type, &(leat_log_source){...});
 *     leat_stream counts = leat_process(leat_key_by(clicks, "user"), "count", &count_op, NULL);
 *     leat_to_log(counts, "out", &(leat_log_sink){.topic = "counts", .key = "user"});
 *     leat_error error;
 *     if (leat_job_run(job, &error) != LEAT_OK) ...                      // the one check
 *     leat_job_free(job);
 *
 * Rules
 *  1. The job owns everything.  A leat_stream is a value: copy it, drop it, never free it.
 *  2. Building never needs a check.  The first mistake is kept in the job, later calls are no-ops,
 *     leat_job_run reports it with the operator's name and the remedy.
 *  3. A callback is a small transaction: state, timers and output of a callback that returns
 *     LEAT_OK are kept together; if it returns anything else none of it is (S3).
 *  4. Zero is the default in every options struct; where no default is safe the field is required.
 *  5. What is lent is valid until the callback returns, whatever the callback does meanwhile (S5);
 *     what you hand over is copied: at once, but for what a value from leat_mut or leat_map_mut
 *     points to, which is copied when the callback returns. Names, types and const operator structs
 *     are borrowed until leat_job_free.
 *
 * Threads: build and free from one thread. Callbacks of one task never run at the same time;
 * callbacks of different tasks (partitions) do, so what `arg` points to must be read-only or
 * guarded.
 */
#ifndef LEAT_JOB_H
#define LEAT_JOB_H
#include <leat/base.h>
#include <leat/log.h>
#include <leat/record.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leat_job leat_job;
typedef struct leat_ctx leat_ctx;
typedef struct leat_stream {
    leat_job *job;
    uint32_t node;   /* the operator */
    uint32_t output; /* 0: its main output; 1 + n: side output n */
} leat_stream;

/* ------------------------------------------------------------------ job */

/* How records cross to the stage behind a key_by on another field than partitioned_by, or behind a
 * union of unlike partition counts. What comes out of windows and of timers of event time is the
 * same; records of different senders may meet in another order, and only LOG bounds a record's
 * size (1 MiB with its key) and knows, in dead letters, a place of what failed behind it. */
typedef enum leat_exchange {
    /* LOG where several processes can share the log (kafka), MEMORY elsewhere */
    LEAT_EXCHANGE_AUTO = 0,
    /* within the process, in the same epoch; such a job runs in one process only */
    LEAT_EXCHANGE_MEMORY,
    /* through a topic JOB-STAGE-repartition, one epoch later; in any number of processes. Let a job
     * come to its end before it goes back to MEMORY: what is in the topic stays there. */
    LEAT_EXCHANGE_LOG,
} leat_exchange;

typedef struct leat_job_opts {
    /* required: names the state on disk, the consumer group, the metrics */
    const char *name;
    const char *log;      /* log URL; NULL with log_handle NULL: a private in-memory log */
    leat_log *log_handle; /* borrowed instead of `log`, shared with the program */
    /* RocksDB state lives here, and what is known about crashes (R19: handlers note SIGABRT,
     * SIGSEGV, SIGBUS, SIGFPE and SIGILL there and pass them on); NULL: state in memory, restored
     * from the log, and a record that crashes the process is not found */
    const char *state_dir;
    /* stable name of this process within the job, no other process's (R25); NULL: a name kept in
     * state_dir, without one "0" */
    const char *instance;
    /* "HOST:PORT" at which other processes of the job reach this one: told to them through the
     * topic JOB-members, for leat_job_owner; NULL: nothing is told */
    const char *advertise;
    uint32_t worker_count; /* threads; 0: one per core, never more than tasks */
    /* tasks of stages behind a key_by exchange; 0: as the widest source */
    uint32_t partition_count;
    leat_exchange exchange;
    /* time from the first record of an epoch to its commit at low load; 0: 1 ms on the embedded
     * log, 5 ms on Kafka. Under load epochs grow by themselves */
    int64_t epoch_ms;
    /* the same while 10,000 records and more wait in the log, as after a pause: answers are late
     * then anyway, and fewer commits that write each key's state once cost less. It ends sooner
     * where its outputs and changes fill a quarter of the buffers, or when so much no longer waits;
     * stopping, and partitions that move, do not wait for it. 0: 200 ms; no more than epoch_ms:
     * epochs are always of epoch_ms */
    int64_t backlog_epoch_ms;
    /* R28: what the job's buffers and caches may take, all together: what the log reads ahead, an
     * epoch's outputs and changes, decoded state, RocksDB's buffers and blocks. A log line says how
     * it was divided; too little for the job is LEAT_EINVAL at the start, with the least that
     * works. State in memory (no state_dir) and what callbacks allocate are not in it. 0: no
     * budget, each bound by itself */
    size_t memory_bytes;
    /* outputs and state changes of one epoch before an early barrier (R9); 0: 32 MiB, or a share of
     * memory_bytes */
    size_t buffer_bytes;
    /* decoded state kept in memory, all tasks together (rocksdb); 0: 64 MiB, or a share likewise */
    size_t cache_bytes;
    const char *dead_letters; /* topic of LEAT_ON_ERROR_DEAD_LETTER; NULL: "dead-letters" */
    /* rewinds in a row, none of which gets past what was read before the first, until the job
     * stops; 0: 10 (R30) */
    uint32_t restart_limit;
    /* what a crash may do to the output. The weaker ones cost less on Kafka; a log that gives
     * exactly-once for nothing gives it all the same. State is as the outputs are: with at-least-
     * once a record may be counted twice, with at-most-once not at all */
    leat_guarantee guarantee;
    /* a log may abort a transaction that is open for longer; a commit that takes 5 s more than this
     * ends the process with exit code 75 (R3); 0: 10 s */
    int64_t transaction_timeout_ms;
    /* snapshots of state_dir go to SNAPSHOT_DIR/NAME/INSTANCE, the newest two are kept; it may be
     * on another disk, and all processes of the jobs on one log may share it. A process that finds
     * no state in state_dir takes the newest snapshot instead, and restores from the log only what
     * came later. Hard links if state_dir is on the same file system, else copies. NULL: none */
    const char *snapshot_dir;
    int64_t snapshot_interval_ms; /* from one's end to the next; 0: 10 minutes */
    /* R15: who answers from this job's state wants to know that it still is its owner. While
     * nothing changes the positions are committed again after a third of this, so that
     * leat_job_proof_age_ms stays below it as long as the log answers; 0: a job with nothing to
     * commit proves nothing */
    int64_t lease_ms;
    /* how often what has been read is deleted from the internal topics of an exchange through the
     * log; 0: 30 s */
    int64_t trim_interval_ms;
    /* What the end of the sources with until_end means (W5). false: the run ends there, and what is
     * open stays open: timers, windows and time are kept in the state, and the next run goes on as
     * if this one had not ended. true: time ends, too, so that every event-time timer and window
     * fires. That is for a job that will not go on: if it does, what has fired is closed, records
     * that belong to such a window open it anew and give a second, partial result; a log line and
     * leat_job_stats.resumed_after_drain say so. An operator whose timer always sets the next one
     * never comes to an end. leat_job_stop and signals never drain */
    bool drain;
    /* W7: a record whose event time is further ahead of the epoch's clock goes the way of its
     * source's on_error before it moves a watermark: one wrong clock among the producers, or a time
     * in microseconds, would make everybody else's records late until the clock gets there. The
     * same bound holds at the start: time that was committed beyond it begins again at the clock.
     * 0: 1 hour; LEAT_TIME_MAX: no bound */
    int64_t max_ahead_ms;
    /* R31: input waits, and for so long no epoch was committed, nothing restored, nothing heard of
     * the group: the process says where each task stands and ends with exit code 75. A callback may
     * take ten times as long, and is named meanwhile; a call into the log has limits of its own
     * (R3). 0: 60 s */
    int64_t stall_limit_ms;
} leat_job_opts;

LEAT_API leat_job *leat_job_new(const leat_job_opts *opts);
LEAT_API void leat_job_free(leat_job *job); /* stops it first if it runs; NULL is allowed */

/* What happens to a record whose callback (or decoder) fails, or that the log would not take
 * (R19). */
typedef enum leat_on_error {
    /* the job stops, the record stays unread, the error says where it is */
    LEAT_ON_ERROR_STOP = 0,
    /* counted in leat_records_skipped_total, with one log line per second at most */
    LEAT_ON_ERROR_SKIP,
    /* to the dead-letter topic with topic, partition, offset, operator and reason */
    LEAT_ON_ERROR_DEAD_LETTER,
} leat_on_error;

/* ------------------------------------------------------------------ sources */

/* A record of LEAT_BINARY says which layout its writer had. A reader whose type has another one is
 * told the writer's in `former_layouts`, and converts by S4; a layout that it was not told of, and
 * a record of before format 2, which does not say, fails by on_error: never read as if it fitted.
 */
typedef enum leat_format { LEAT_JSON = 0, LEAT_BINARY } leat_format;

/* Decodes one log record into *record (zeroed, type->size_bytes); strings may point into `in` or
 * into memory from leat_alloc(ctx), and nowhere else: several records are decoded before the first
 * is used, so a parser's own memory would be overwritten. Emits nothing. */
typedef leat_status (*leat_decode_fn)(leat_ctx *ctx, const leat_log_record *in, void *record,
                                      void *arg);

typedef struct leat_log_source {
    /* required; created with 4 partitions on an embedded log if missing */
    const char *topic;
    leat_format format;
    /* LEAT_BINARY: leat_type_layout of what the type was, ended by a NULL, at most 64; NULL: none
     */
    const char *const *former_layouts;
    /* LEAT_BINARY: the layout of records of format 1, written before leat's records named it; NULL:
     * they fail */
    const char *headless_layout;
    leat_decode_fn decode; /* instead of format */
    void *decode_arg;
    /* an i64 field, event time in ms; NULL: the log record's timestamp */
    const char *time_field;
    int64_t out_of_order_ms; /* W1 */
    /* a partition silent for longer does not hold time back (W4); 0: never idle */
    int64_t idle_ms;
    /* the field by which the topic is partitioned (murmur2 of its text): key_by on it needs no
     * exchange. A record that lies elsewhere goes by on_error (P1); leat_partition_of says where */
    const char *partitioned_by;
    /* read to the end as of the start, then end. Timers and windows that are open stay so for the
     * next run, unless leat_job_opts.drain says that they fire (W5) */
    bool until_end;
    /* for records that do not decode, or are ahead of the clock (W7); the default is STOP */
    leat_on_error on_error;
} leat_log_source;

LEAT_API leat_stream leat_from_log(leat_job *job, const char *name, const leat_type *type,
                                   const leat_log_source *source);

/* Record number `index` of a partition, always the same for the same index; false: the partition
 * ends there. */
typedef bool (*leat_generate_fn)(void *arg, uint32_t partition, uint64_t index, void *record);
typedef struct leat_generator {
    leat_generate_fn generate; /* required */
    void *arg;
    uint32_t partition_count; /* 0: 1 */
    const char *time_field;   /* NULL: index as ms */
    int64_t out_of_order_ms;
    const char *partitioned_by;
    leat_on_error on_error; /* for records that are ahead of the clock (W7) */
} leat_generator;
LEAT_API leat_stream leat_from_generator(leat_job *job, const char *name, const leat_type *type,
                                         const leat_generator *generator);

typedef struct leat_array {
    const void *records; /* borrowed */
    size_t count;
    const char *time_field;
    int64_t out_of_order_ms;
    leat_on_error on_error; /* for records that are ahead of the clock (W7) */
} leat_array;
LEAT_API leat_stream leat_from_array(leat_job *job, const char *name, const leat_type *type,
                                     const leat_array *array);

/* ------------------------------------------------------------------ stateless operators */

typedef void (*leat_map_fn)(const void *in, void *out, void *arg); /* *out is zeroed */
typedef bool (*leat_filter_fn)(const void *record, void *arg);
typedef leat_status (*leat_record_fn)(leat_ctx *ctx, const void *record);
typedef leat_status (*leat_timer_fn)(leat_ctx *ctx, int timer);

LEAT_API leat_stream leat_map(leat_stream in, const char *name, const leat_type *out,
                              leat_map_fn fn, void *arg);
LEAT_API leat_stream leat_filter(leat_stream in, const char *name, leat_filter_fn fn, void *arg);
/* fn emits any number of records with leat_emit. */
LEAT_API leat_stream leat_flat_map(leat_stream in, const char *name, const leat_type *out,
                                   leat_record_fn fn, void *arg);
/* Both of the same type; the watermark is the minimum of both (J5). */
LEAT_API leat_stream leat_union(leat_stream a, const char *name, leat_stream b);
/* What happens to a record that this operator fails on; returns op. For process operators
 * .on_error says the same, for sources the source's options. */
LEAT_API leat_stream leat_on_failure(leat_stream op, leat_on_error policy);
/* Groups by a field: a string, an integer or a bool. What follows sees one key at a time. */
LEAT_API leat_stream leat_key_by(leat_stream in, const char *field);

/* ------------------------------------------------------------------ keyed operators */

enum { LEAT_SLOTS_MAX = 8 };
typedef enum leat_state_kind { LEAT_VALUE = 0, LEAT_STATE_LIST, LEAT_STATE_MAP } leat_state_kind;

typedef struct leat_state_spec {
    const char *name; /* required: names the state on disk */
    leat_state_kind kind;
    const leat_type *type;    /* the value, the list's element, the map's value */
    const leat_type *map_key; /* LEAT_STATE_MAP: leat_type_str, leat_type_u64 or leat_type_i64 */
    /* from the last write, which an older one does not shorten; by the later of the record's (the
     * timer's) time and the watermark; 0: for ever (S2) */
    int64_t ttl_ms;
    bool ttl_on_read;         /* reads refresh too */
    bool ttl_processing_time; /* against the epoch's clock instead of event time (R22) */
} leat_state_spec;

typedef struct leat_side_spec {
    const char *name;
    const leat_type *type;
} leat_side_spec;

typedef struct leat_process_op { /* immutable: one const object serves every task */
    const leat_type *in, *out;   /* required; out NULL: emits nothing */
    leat_state_spec state[LEAT_SLOTS_MAX];
    const char *timer[LEAT_SLOTS_MAX];
    leat_side_spec side[LEAT_SLOTS_MAX];
    leat_record_fn on_record; /* required */
    leat_timer_fn on_timer;   /* required if there are timers */
    /* memory of one task, zeroed: leat_local(ctx); never part of the state */
    size_t local_bytes;
    /* Once per task before the first record, and once per task at its end (also before a rewind),
     * where on_open succeeded; record is NULL. They have no key and no time, and emit nothing: they
     * make and release what local memory holds. A failure is the job's, whatever on_error says: of
     * on_open it does not start, of on_close it ends with that error, after its last commit. */
    leat_record_fn on_open;
    leat_record_fn on_close;
    leat_on_error on_error;
} leat_process_op;
LEAT_API leat_stream leat_process(leat_stream keyed, const char *name, const leat_process_op *op,
                                  void *arg);

/* Side output number `side` of a process operator; the late records of a window. */
LEAT_API leat_stream leat_side(leat_stream op, int side);
LEAT_API leat_stream leat_late(leat_stream window);

/* *acc starts as the first record; fn folds each later one into it; every step is emitted. */
typedef void (*leat_reduce_fn)(void *acc, const void *record, void *arg);
LEAT_API leat_stream leat_reduce(leat_stream keyed, const char *name, leat_reduce_fn fn, void *arg);

typedef struct leat_span {
    int64_t start_ms, end_ms; /* [start, end); the result's time is end - 1 */
} leat_span;

typedef struct leat_aggregate_op {
    const leat_type *in, *acc, *out;             /* out NULL: acc is emitted */
    void (*add)(void *acc, const void *record);  /* *acc starts zeroed */
    void (*merge)(void *acc, const void *other); /* needed by merging windows only */
    /* NULL: acc as it is; out is zeroed */
    void (*result)(const void *acc, const leat_span *window, void *out);
} leat_aggregate_op;
/* A running aggregate: emits after each record; window is {INT64_MIN, INT64_MAX}. */
LEAT_API leat_stream leat_aggregate(leat_stream keyed, const char *name,
                                    const leat_aggregate_op *op);

/* ------------------------------------------------------------------ windows (N1-N8) */

typedef enum leat_window_kind {
    LEAT_TUMBLING = 0,
    LEAT_SLIDING,
    LEAT_CUMULATING,
    LEAT_SESSION,
    LEAT_GLOBAL,
} leat_window_kind;
typedef struct leat_trigger leat_trigger; /* leat/window.h */
typedef struct leat_evictor leat_evictor;

typedef struct leat_window {
    leat_window_kind kind;
    int64_t size_ms;                       /* required but for session and global */
    int64_t slide_ms;                      /* sliding: the step; cumulating: the step */
    int64_t offset_ms;                     /* N1 */
    int64_t gap_ms;                        /* session */
    int64_t (*gap_of)(const void *record); /* session: instead of gap_ms */
    int64_t lateness_ms;                   /* N5 */
    bool processing_time;
    /* NULL: at the end of the window, and again for each allowed-late record (N7) */
    const leat_trigger *trigger;
    const leat_evictor *evictor; /* NULL: none */
} leat_window;
/* Kinds, triggers and evictors that this version does not have are refused when the job is built.
 * */
LEAT_API leat_stream leat_window_aggregate(leat_stream keyed, const char *name,
                                           const leat_window *window, const leat_aggregate_op *op);

/* ------------------------------------------------------------------ sinks */

typedef struct leat_log_sink {
    const char *topic; /* required; created if missing */
    leat_format format;
    /* field whose text is the record's key; NULL: the stream's key if keyed, else none */
    const char *key;
    uint32_t partition_count; /* of a topic that has to be created; 0: as the job's source */
    bool compacted;           /* likewise */
    int64_t retention_ms;     /* likewise */
    /* Called on the commit thread for each record after its epoch is committed, in order per task;
     * must be quick. NULL: not called. The record is lent for the call, with its partition and
     * offset in the log. On the embedded and the simulated log the offset is always known; on Kafka
     * it is -1 for the records of an epoch between which another producer has written to the same
     * partition. Such a topic's records go to the partitions that it had when the job started. */
    void (*on_committed)(void *arg, const leat_log_record *record);
    void *arg;
} leat_log_sink;
LEAT_API void leat_to_log(leat_stream in, const char *name, const leat_log_sink *sink);
/* After the epoch is committed, on the commit thread, in order per task. After a crash an epoch's
 * records may not have been delivered (at most once): for effects that must not be lost use a log
 * sink and a reader of its topic. */
LEAT_API void leat_to_fn(leat_stream in, const char *name,
                         void (*fn)(void *arg, const void *record), void *arg);
/* JSON lines, likewise. */
LEAT_API void leat_to_file(leat_stream in, const char *name, FILE *file);

/* A table that every process reads completely from a topic, from the beginning, before the job
 * starts and then along with it. on_record is called by one thread at a time; readers on other
 * threads need their own guard. */
typedef struct leat_table {
    const char *topic; /* required */
    const leat_type *type;
    leat_format format;
    const char *const *former_layouts; /* as of a source */
    const char *headless_layout;
    leat_on_error on_error;
    uint32_t partition_count; /* of a topic that has to be created; 0: as the job's source */
    bool compacted;
    void (*on_record)(void *arg, leat_str key, const void *record /* NULL: deleted */,
                      const leat_log_record *origin);
    void *arg;
} leat_table;
LEAT_API void leat_global_table(leat_job *job, const char *name, const leat_table *table);

/* ------------------------------------------------------------------ inside a callback only
 *
 *                               on_open  on_close  decoder  on_record,  on_timer
 *                                                           flat map
 *   leat_now, leat_watermark,
 *   leat_clock, leat_random,       -        -         x         x          x
 *   leat_origin
 *   leat_key, leat_key_u64         -        -         -      if keyed      x
 *   state, timers                  -        -         -      process       x
 *   leat_emit, leat_emit_to        -        -         -         x          x
 *   leat_local                     x        x         -      process       x
 *   leat_arg, leat_partition,
 *   leat_alloc, leat_fail          x        x         x         x          x
 *
 * In the callback that the context was given to, in its thread, until it returns. Anywhere else,
 * and with a number that is not declared, a state of another kind or NULL for what is required, the
 * call fails the callback as leat_fail would (LEAT_EGRAPH, LEAT_EINVAL), with its own name in the
 * message; it returns 0, LEAT_TIME_MIN, NULL, or from leat_mut and leat_map_mut memory that is
 * thrown away. With a context whose callback is not running, or runs in another thread, the call
 * stops the job with that error; with a context that is NULL it can only say so in the log. */

LEAT_API int64_t leat_now(const leat_ctx *ctx);       /* event time of the record or timer */
LEAT_API int64_t leat_watermark(const leat_ctx *ctx); /* LEAT_TIME_MIN before the first */
/* the epoch's clock: wall time, the same within an epoch (R21) */
LEAT_API int64_t leat_clock(const leat_ctx *ctx);
/* seeded by (key, origin offset): a replay gives the same (R21) */
LEAT_API uint64_t leat_random(leat_ctx *ctx);
LEAT_API leat_str leat_key(const leat_ctx *ctx);
/* Of an integer key, a negative one as its two's complement; a key that is no integer of 64 bits
 * fails the callback. */
LEAT_API uint64_t leat_key_u64(const leat_ctx *ctx);
LEAT_API void *leat_arg(const leat_ctx *ctx);   /* the operator's; in a decoder the decode_arg */
LEAT_API void *leat_local(const leat_ctx *ctx); /* needs .local_bytes */
LEAT_API uint32_t leat_partition(const leat_ctx *ctx);
/* valid until the callback returns; over 1 GiB at once: NULL, and the callback fails */
LEAT_API void *leat_alloc(leat_ctx *ctx, size_t size_bytes);
/* Where the record came from: behind a LOG exchange its repartition topic; offset -1 in timers and
 * behind a MEMORY exchange. */
LEAT_API leat_log_record leat_origin(const leat_ctx *ctx);

/* A value, a list's element and a map's entry are records of the log: with the key up to 1 MiB (an
 * element 32 KiB less). A callback that left a larger one fails with LEAT_ETOOBIG when it returns
 * (R19). */
/* What is lent (S5), values, elements, a map's keys and values, stays where it is and as it was
 * until the callback returns: leat_mut after leat_get edits another copy, and a delete, a trim or
 * an append takes nothing away. From the first leat_mut of a value on, leat_get and leat_mut lend
 * the edited one, always at the same place, until the value is deleted; what is written to it
 * afterwards is lost. Strings and lists that you put into it are copied when the callback returns,
 * not when they are assigned: they must last, unchanged, until then. That holds for constants, for
 * what was lent, for the record and for leat_alloc, not for a buffer that is used again. */
LEAT_API const void *leat_get(leat_ctx *ctx, int slot); /* NULL: this key has no value */
LEAT_API void *leat_mut(leat_ctx *ctx, int slot);       /* zeroed if new */
LEAT_API void leat_del(leat_ctx *ctx, int slot);        /* any kind of state */
LEAT_API void leat_list_append(leat_ctx *ctx, int slot, const void *element);
/* contiguous, oldest first */
LEAT_API size_t leat_list_all(leat_ctx *ctx, int slot, const void **elements);
LEAT_API void leat_list_trim(leat_ctx *ctx, int slot, size_t keep_newest);
LEAT_API const void *leat_map_get(leat_ctx *ctx, int slot, const void *key);
LEAT_API void *leat_map_mut(leat_ctx *ctx, int slot, const void *key);
LEAT_API void leat_map_del(leat_ctx *ctx, int slot, const void *key);
/* In the order of the keys (strings by byte, numbers by value); fn returns false to stop. It may
 * change the map: entries that it deletes are not visited, nor are those that it adds. */
LEAT_API void leat_map_each(leat_ctx *ctx, int slot,
                            bool (*fn)(void *arg, const void *key, const void *value), void *arg);

/* event time; replaces (T1) */
LEAT_API void leat_timer_set(leat_ctx *ctx, int timer, int64_t at_ms);
LEAT_API void leat_timer_clear(leat_ctx *ctx, int timer);
/* processing time; a timer of its own */
LEAT_API void leat_timer_set_clock(leat_ctx *ctx, int timer, int64_t at_ms);
LEAT_API void leat_timer_clear_clock(leat_ctx *ctx, int timer);

LEAT_API void leat_emit(leat_ctx *ctx, const void *record); /* copies it */
LEAT_API void leat_emit_to(leat_ctx *ctx, int side, const void *record);
/* Fails the callback, whatever it returns; the first failure of a callback counts. LEAT_OK as a
 * status is LEAT_EINTERNAL. Returns the status. */
LEAT_API leat_status leat_fail(leat_ctx *ctx, leat_status status, const char *format, ...)
    LEAT_PRINTF(3, 4);

/* ------------------------------------------------------------------ running */

/* Not from a callback of the same job, which may call leat_job_stop: run, start, wait and step give
 * LEAT_EINVAL there, and leat_job_free stops the job, does not free it, and says so in the log. A
 * job that was started is complete: what is built then is left out, and leat_job_wait returns that
 * as its error. A required argument that is NULL is LEAT_EINVAL; calls without a status do nothing
 * then and say so in the log. */
/* Runs until the inputs end (until_end), leat_job_stop, or an error. SIGINT and SIGTERM stop it
 * cleanly if leat_job_stop_on_signals was called. */
LEAT_API LEAT_MUST_CHECK leat_status leat_job_run(leat_job *job, leat_error *error);
/* Both: once at a time (LEAT_EINVAL). After its end a job may be run again: it goes on at what it
 * has committed, so with until_end it reads what has come since; without a log it begins anew. */
/* Returns once ready, or once leat_job_stop came meanwhile (leat_job_wait returns at once then). */
LEAT_API LEAT_MUST_CHECK leat_status leat_job_start(leat_job *job, leat_error *error);
/* finish the epoch, commit, end; async-signal-safe, any thread, also before the start, which then
 * ends at once; NULL is allowed */
LEAT_API void leat_job_stop(leat_job *job);
/* How it ended; again, the same. Not started, or another thread waits: LEAT_EINVAL. */
LEAT_API LEAT_MUST_CHECK leat_status leat_job_wait(leat_job *job, leat_error *error);
/* One job of a process, the last one given; NULL: the signals end the process again. */
LEAT_API void leat_job_stop_on_signals(leat_job *job);
/* One round of every task and, when due, a barrier and a commit, on the calling thread: for tests
 * and simulation. Starts the job on the first call; *busy says if anything was done, false after
 * its end. A job that leat_job_start has started: LEAT_EINVAL. */
LEAT_API LEAT_MUST_CHECK leat_status leat_job_step(leat_job *job, bool *busy, leat_error *error);

typedef enum leat_explain_format {
    LEAT_EXPLAIN_TEXT = 0,
    LEAT_EXPLAIN_JSON,
    LEAT_EXPLAIN_DOT
} leat_explain_format;
LEAT_API void leat_job_explain(const leat_job *job, leat_explain_format format, FILE *file);

/* R20: what a job, or a partition of it, is doing. */
typedef enum leat_partition_state {
    LEAT_RESTORING = 0, /* waits for partitions, or reads their state; answers nothing */
    LEAT_READY,
    LEAT_DRAINING, /* told to stop, or to let its partitions go */
} leat_partition_state;
LEAT_API const char *leat_partition_state_name(leat_partition_state state); /* "restoring" */

typedef struct leat_job_stats {
    uint64_t records_in, records_out, records_late, records_skipped, records_dead;
    uint64_t epochs, rewinds;
    int64_t watermark_ms;     /* the least of all tasks */
    int64_t watermark_max_ms; /* the furthest */
    int64_t commit_p50_us, commit_p99_us, epoch_p50_us, epoch_p99_us;
    uint64_t state_entries, state_cache_bytes, timers;
    /* records in the sources' topics not yet read, and in those of the global tables; of a log with
     * servers as of a second ago, or, while they do not answer, as of when they did */
    uint64_t backlog, table_lag;
    leat_partition_state state;
    uint32_t partitions_ready, partitions_restoring; /* of all stages */
    /* the restore under way, or the last: changelog offsets read, of how many; when it will be done
     * (-1: not known yet) */
    uint64_t restore_done, restore_total, restore_records_per_s;
    int64_t restore_left_ms;
    uint64_t eos_violations; /* found since the job was made (R2, R16) */
    /* offsets of the sources that retention took before they were read, since the job was made; the
     * job goes on with what is left */
    uint64_t records_lost;
    /* partitions whose state in state_dir, or in a snapshot, was too old or not of this log, so
     * that it was built anew from the changelog (R13), since the job was made */
    uint64_t state_rebuilds;
    /* partitions that went on, since the job was started, behind an end at which an earlier run had
     * fired what was open (leat_job_opts.drain) */
    uint64_t resumed_after_drain;
    /* W7: records that were further ahead of the clock than max_ahead_ms; they are among those
     * skipped or dead, too */
    uint64_t records_ahead;
    /* P1: records that lay in another partition than their partitioned_by says; they are among
     * those skipped or dead, too */
    uint64_t records_misplaced;
    /* since the job was started: how often the clock was set (by 2 s or more), and how often a
     * partition's time stood further ahead than max_ahead_ms and began again at the clock */
    uint64_t clock_steps, times_clamped;
    /* of state_dir: made and failed since the job was started; when the last was made (0: none),
     * how long that took, and its size */
    uint64_t snapshots, snapshot_failures;
    int64_t snapshot_at_ms, snapshot_took_ms;
    uint64_t snapshot_bytes;
    int64_t stalled_ms; /* for how long nothing has moved although something waits (R31); 0: not */
    /* rewinds since the job last got on, past all that it had read before them; from 2 on it is
     * stuck for now, and its answers grow old (R30) */
    uint32_t rewinds_in_row;
} leat_job_stats;
LEAT_API void leat_job_get_stats(leat_job *job, leat_job_stats *stats);
/* How far time is in the key's partition of an operator, so that who takes records in can say at
 * once which of them will be late. LEAT_ENOTFOUND: there is no such operator; LEAT_EAGAIN: its
 * partition is not here, or being restored (never waits). Any thread. */
LEAT_API LEAT_MUST_CHECK leat_status leat_job_time(leat_job *job, const char *op, leat_str key,
                                                   int64_t *watermark_ms, leat_error *error);
/* R15: how long ago the log last said that the partitions here are this process's, and the state
 * was all that was committed of them: since the begin of the last commit that succeeded, of the
 * restore before the first. -1: there are none here, or the job is starting. Never waits; any
 * thread. */
LEAT_API int64_t leat_job_proof_age_ms(leat_job *job);

typedef struct leat_partition_stats {
    const char *stage; /* lent for the call */
    uint32_t partition;
    leat_partition_state state;
    uint64_t restored_records; /* of its changelog */
    uint64_t lag;              /* offsets of its changelog still to be read */
} leat_partition_stats;
/* Calls fn for each partition that is here, by stage, then partition; fn returns false to stop, and
 * must not use the job. Any thread, never waits for a restore. */
LEAT_API void leat_job_each_partition(leat_job *job,
                                      bool (*fn)(void *arg, const leat_partition_stats *stats),
                                      void *arg);

/* The committed value of a key in an operator's VALUE state (of another kind: LEAT_EINVAL), decoded
 * into *record; strings and lists live in *memory until leat_memory_free. While the job is far
 * behind (backlog_epoch_ms) it may be the value of up to a second ago. Needs state_dir.
 * LEAT_ENOTFOUND: the key has none; LEAT_EAGAIN: its partition is not here, or being restored
 * (never waits). Any thread. */
LEAT_API LEAT_MUST_CHECK leat_status leat_job_query(leat_job *job, const char *op,
                                                    const char *state, leat_str key, void *record,
                                                    void **memory, leat_error *error);
LEAT_API void leat_memory_free(void *memory); /* NULL is allowed */

/* ------------------------------------------------------------------ several processes */

typedef enum leat_owner_kind {
    LEAT_OWNER_UNKNOWN = 0, /* nobody has it now, or nobody who answers */
    LEAT_OWNER_HERE,
    LEAT_OWNER_ELSEWHERE,
} leat_owner_kind;

typedef struct leat_owner { /* a copy; all but kind only if known */
    leat_owner_kind kind;
    bool ready; /* its state is restored */
    char instance[256], address[256];
    int64_t generation;
    uint64_t incarnation;
} leat_owner;

/* Which process of the job has the key's partition of an operator (or of the stage of that name),
 * as far as it was told (leat_job_opts.advertise; without it only LEAT_OWNER_HERE is ever known).
 * It may have moved a moment ago: who is asked in vain is to answer so. LEAT_ENOTFOUND: there is no
 * such operator; LEAT_EAGAIN: the job is starting. Never waits. Any thread. */
LEAT_API LEAT_MUST_CHECK leat_status leat_job_owner(leat_job *job, const char *op, leat_str key,
                                                    leat_owner *owner, leat_error *error);
/* The owner was asked, and answered or did not. One that did not is not named for a second, then
 * named once, and so on, until it answers or tells something new. */
LEAT_API void leat_job_owner_report(leat_job *job, const leat_owner *owner, bool answered);

#ifdef __cplusplus
}
#endif
#endif /* LEAT_JOB_H */
