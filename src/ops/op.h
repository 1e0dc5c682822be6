/* ops/op.h - an operator at run time, and the element that flows through it.
 *
 *      task (stage, partition), one thread
 *      source ─► filter ─► key_by ─┬─► process ─► sink     push = a function call; what a
 *                                  └─► window ──► sink     callback emits is held back until it
 *                                                          returned LEAT_OK (S3)
 *
 * leat__op_spec is the plan's side (immutable, shared by every task), leat__op one task's instance.
 */
#ifndef LEAT_OPS_OP_H
#define LEAT_OPS_OP_H
#include "base/arena.h"
#include "leat/job.h"
#include "record/codec.h"
#include "state/store.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct leat__element {
    const void *record;
    int64_t timestamp_ms;
    leat_str key;                  /* data NULL: not keyed */
    uint64_t key_hash;             /* leat__hash64(key) */
    const leat_log_record *origin; /* NULL in timers and behind an exchange */
    bool large; /* whether it is too big (R19) is to be asked when it is handed on */
} leat__element;

typedef struct leat__op leat__op;
typedef struct leat__op_spec leat__op_spec;

typedef struct leat__op_class {
    const char *kind;      /* "map", "process" ...: shown by explain */
    bool keyed;            /* needs a keyed stream */
    size_t instance_bytes; /* of op->instance, zeroed before open */
    leat_status (*open)(leat__op *op, leat_error *error); /* NULL: nothing to do */
    leat_status (*on_element)(leat__op *op, const leat__element *element);
    /* NULL: no timers */
    leat_status (*on_timer)(leat__op *op, const leat__timer *timer, leat__time_domain domain);
    leat_status (*close)(leat__op *op, leat_error *error); /* frees all the same if it fails */
} leat__op_class;

struct leat__op_spec {
    const leat__op_class *class;
    const char *name;
    const leat_type *in, *out; /* out NULL: no main output */
    leat_side_spec side[LEAT_SLOTS_MAX];
    leat__slot slot[LEAT_SLOTS_MAX];
    size_t slot_count;
    const char *timer[LEAT_SLOTS_MAX];
    size_t timer_count;
    leat_on_error on_error;
    void *arg;
    union {
        leat_map_fn map;
        leat_filter_fn filter;
        leat_record_fn flat_map;
        leat_reduce_fn reduce;
        const leat_field *key; /* key_by */
        leat_process_op process;
        /* running: window.size_ms 0 */
        struct {
            leat_aggregate_op op;
            leat_window window;
        } aggregate;
    } config;
};

/* classes; all in src/ops */
extern const leat__op_class leat__op_map, leat__op_filter, leat__op_flat_map, leat__op_key_by,
    leat__op_union, leat__op_process, leat__op_reduce, leat__op_aggregate, leat__op_window;

/* Where an output goes: operators of the same task in node order, and sinks or exchanges of the
 * engine. */
typedef struct leat__target {
    leat__op *op; /* NULL: deliver() */
    leat_status (*deliver)(void *arg, const leat__element *element);
    /* R19: would deliver, or later the log, refuse the record? Its size is looked at if it is
     * large. NULL: nothing is refused */
    leat_status (*check)(void *arg, const leat__element *element, bool large, leat_error *error);
    void *arg;
    bool strict; /* records that are not large may be refused, too */
} leat__target;
typedef struct leat__output {
    leat__target *targets;
    size_t target_count;
    const leat_type *type;
    bool strict; /* one of the targets is, or one behind operators that only pass on */
    /* with more in memory, its key included, a record may be too big for a sink once it is encoded,
     * and is asked about (R19); SIZE_MAX: there is none to ask */
    size_t large_bytes;
} leat__output;

/* What a task gives to its operators. */
typedef struct leat__task_face {
    leat__store *store; /* NULL in a stage without state */
    uint32_t partition;
    int64_t watermark_ms;
    int64_t clock_ms; /* the epoch's clock */
    uint64_t epoch_seed;
    leat__arena *scratch; /* reset after each source record */
    void *task;
    /* records a failed record by policy SKIP or DEAD_LETTER; anything else than LEAT_OK stops the
     * job */
    leat_status (*failed)(void *task, leat__op *op, const leat__element *element,
                          const leat_error *error);
    void (*late)(void *task, leat__op *op); /* counts a dropped late record */
    /* stops the job: a misuse that no callback can be failed for. Any thread */
    void (*stop)(void *task, const leat_error *error);
    /* for who looks from another thread (R31): the operator that was entered last in this turn,
     * NULL: none; the offset of its record, -1: a timer's, or not known */
    _Atomic(const leat__op_spec *) working;
    _Atomic int64_t working_offset;
    _Atomic uint64_t works; /* how often that was set */
} leat__task_face;

static inline void leat__works(leat__task_face *task, const leat__op_spec *spec, int64_t offset)
{
    atomic_store_explicit(&task->working, spec, memory_order_relaxed);
    atomic_store_explicit(&task->working_offset, offset, memory_order_relaxed);
    uint64_t works = atomic_load_explicit(&task->works, memory_order_relaxed);
    atomic_store_explicit(&task->works, works + 1, memory_order_relaxed); /* one thread adds */
}

/* Smaller ones are never too big once encoded, the key included: JSON takes at most 80 bytes for
 * one of memory, and as many again for each record that it lies in. */
enum { LEAT__LARGE_BYTES = 8 << 10 };

typedef struct leat__emitted {
    uint32_t output;
    bool large;
    void *record;
    int64_t timestamp_ms;
} leat__emitted;

/* Which callback is running with a context; the functions of leat/job.h say where they may be
 * called as a set of these. */
typedef enum leat__place {
    LEAT__NOWHERE = 0, /* none */
    LEAT__IN_OPEN = 1 << 0,
    LEAT__IN_DECODER = 1 << 1,
    LEAT__IN_RECORD = 1 << 2,
    LEAT__IN_TIMER = 1 << 3,
    LEAT__IN_CLOSE = 1 << 4,
} leat__place;

/* The context of callbacks is the operator's instance itself. */
struct leat_ctx {
    leat__task_face *task;
    leat__place place;
    pthread_t thread; /* that runs the callback; undefined in LEAT__NOWHERE */
    const leat__op_spec *spec;
    const leat__element *element; /* NULL in timers */
    int64_t now_ms;
    leat_str key;
    uint64_t key_hash;
    leat_error error; /* filled by leat_fail and misuse */
    bool failed;      /* sticky within one callback */
    void *local;
    uint64_t random_count;
    leat__emitted *emitted; /* held back until the callback returned LEAT_OK */
    size_t emitted_count, emitted_capacity;
};

struct leat__op {
    struct leat_ctx ctx;
    const leat__op_spec *spec;
    uint32_t first_slot, first_timer; /* in the task's store */
    leat__output output[1 + LEAT_SLOTS_MAX];
    size_t output_count;
    void *instance;
    uint64_t records_in, records_out, records_late, records_skipped, records_dead;
    bool opened;
    bool key_given; /* key_by: its elements come with key and hash; without a key: look for it */
};

/* Runs the element through op: on_element, then by the error policy. LEAT_OK, or the job must
 * stop/rewind and op->ctx.error says why. */
static inline leat_status leat__op_push(leat__op *op, const leat__element *element)
{
    op->records_in++;
    leat__works(op->ctx.task, op->spec, element->origin != NULL ? element->origin->offset : -1);
    return op->spec->class->on_element(op, element);
}

leat_status leat__op_fire(leat__op *op, const leat__timer *timer, leat__time_domain domain);
leat_status leat__op_forward(leat__op *op, uint32_t output, const leat__element *element);
/* To all its targets; that none refuses it has been asked before. */
static inline leat_status leat__op_deliver(const leat__output *output, const leat__element *element)
{
    for (size_t i = 0; i < output->target_count; i++) {
        const leat__target *target = &output->targets[i];
        leat_status status = target->op != NULL ? leat__op_push(target->op, element)
                                                : target->deliver(target->arg, element);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

/* R19: would a sink refuse the element, to which it would come without another callback that can
 * fail? Asked before anything is changed or sent, of elements that are large or whose output is
 * strict. */
leat_status leat__op_check_output(const leat__output *output, const leat__element *element,
                                  bool large, leat_error *error);
/* Does it pass on what it is given, or what it makes of it, without a small transaction of its own?
 */
bool leat__op_hands_on(const leat__op_spec *spec);
/* Once all outputs of a task are wired: finds out what the output asks. Type NULL: nothing comes
 * out. */
void leat__op_settle_output(leat__output *output, const leat_type *type);
/* Is it to be asked about? */
static inline bool leat__element_is_large(const leat__output *output, const leat__element *element)
{
    size_t bytes = output->large_bytes, key = element->key.length;
    return bytes != SIZE_MAX &&
           (key > bytes || leat__record_is_over(output->type, element->record, bytes - key));
}

/* Helpers of the classes: run a user callback as a small transaction (S3) with ctx set up from the
 * element or the timer. */
leat_status leat__op_run_record(leat__op *op, const leat__element *element, leat_record_fn fn);

/* A user's callback runs between the two, in this thread. */
static inline void leat__ctx_enter(leat_ctx *ctx, leat__place place)
{
    ctx->failed = false;
    ctx->thread = pthread_self();
    ctx->place = place;
}
static inline void leat__ctx_leave(leat_ctx *ctx)
{
    ctx->place = LEAT__NOWHERE;
}
/* leat_fail for the library's own findings, wherever they are made. */
leat_status leat__ctx_fail(leat_ctx *ctx, leat_status status, const char *format, ...)
    LEAT_PRINTF(3, 4);

leat_status leat__op_open(leat__op *op, leat_error *error);
/* What on_close says; everything is freed all the same. */
leat_status leat__op_close(leat__op *op, leat_error *error);
#endif
