/* ops/ctx.c - the functions that callbacks call: time, key, state, timers, output, failure.
 *
 * Everything here acts on one operator of one task, so nothing locks. Each function first asks
 * whether it may be called here (leat/job.h has the table): in the callback that is running, in
 * its thread, of a kind that has what is asked for. If not, the callback fails with the call's name
 * in the error; where no callback runs (a context kept for later, another thread) the job stops.
 */
#include "base/hash.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "base/random.h"
#include "ops/op.h"
#include "record/codec.h"
#include "record/keys.h"
#include <inttypes.h>
#include <stdarg.h>

enum {
    ALWAYS = LEAT__IN_OPEN | LEAT__IN_DECODER | LEAT__IN_RECORD | LEAT__IN_TIMER | LEAT__IN_CLOSE,
    WITH_TIME = LEAT__IN_DECODER | LEAT__IN_RECORD | LEAT__IN_TIMER,
    WITH_RECORD = LEAT__IN_RECORD | LEAT__IN_TIMER,
};

static leat__op *op_of(leat_ctx *ctx)
{
    return (leat__op *)ctx; /* ctx is the first member of leat__op */
}

static leat__store *store_of(leat_ctx *ctx)
{
    return ctx->task->store;
}

/* ------------------------------------------------------------------ misuse */

static const char *place_name(leat__place place)
{
    switch (place) {
    case LEAT__IN_OPEN:
        return "on_open";
    case LEAT__IN_DECODER:
        return "a decoder";
    case LEAT__IN_CLOSE:
        return "on_close";
    case LEAT__IN_TIMER:
        return "on_timer";
    default:
        return "on_record";
    }
}

/* No callback of this context runs in this thread: nothing of it may be written to but by the task
 * itself, so the job is stopped instead. */
static void outside(const leat_ctx *ctx, const char *call)
{
    leat_error error = {.status = LEAT_EGRAPH, .recovery = LEAT_RECOVERY_FATAL};
    const char *where = ctx == NULL ? "leat_ctx" : ctx->spec->name;
    (void)snprintf(error.where, sizeof error.where, "%s", where);
    (void)snprintf(error.message, sizeof error.message,
                   "%s was called %s; a context is of use only to the callback that it was given "
                   "to, in its thread, until it returns",
                   call, ctx == NULL ? "without a context (NULL)" : "outside of its callback");
    if (ctx != NULL && ctx->task->stop != NULL)
        ctx->task->stop(ctx->task->task, &error);
    leat__log_line(LEAT__ERROR, "job", "%s: %s", error.where, error.message);
}

static bool runs_here(const leat_ctx *ctx)
{
    return ctx != NULL && ctx->place != LEAT__NOWHERE && pthread_equal(ctx->thread, pthread_self());
}

static void refuse(const leat_ctx *ctx, const char *call, unsigned places)
{
    if (!runs_here(ctx)) {
        outside(ctx, call);
        return;
    }
    const char *instead =
        places == WITH_TIME ? "a decoder, on_record and on_timer" : "on_record and on_timer";
    (void)leat__ctx_fail((leat_ctx *)(uintptr_t)ctx, LEAT_EGRAPH,
                         "%s may not be called in %s, which has no key and no record of the "
                         "stream; it is for %s",
                         call, place_name(ctx->place), instead);
}

/* May `call` be used here? If not, that is recorded. */
static inline bool allowed(const leat_ctx *ctx, const char *call, unsigned places)
{
    if (__builtin_expect(runs_here(ctx) && ((unsigned)ctx->place & places) != 0, 1))
        return true;
    refuse(ctx, call, places);
    return false;
}

static bool given(leat_ctx *ctx, const char *call, const char *what, const void *pointer)
{
    if (pointer != NULL)
        return true;
    (void)leat__ctx_fail(ctx, LEAT_EINVAL, "%s was given NULL as %s", call, what);
    return false;
}

static void misuse(leat_ctx *ctx, const char *call, const char *what, int number)
{
    (void)leat__ctx_fail(ctx, LEAT_EGRAPH, "%s: %s %d is not declared in this operator's spec",
                         call, what, number);
}

static const char *kind_name(leat__state_kind kind)
{
    return kind == LEAT__VALUE ? "value" : kind == LEAT__LIST ? "list" : "map";
}

/* The store's slot number, or -1 after a misuse was recorded. */
static int slot_of(leat_ctx *ctx, const char *call, int slot, leat__state_kind kind, bool any_kind)
{
    if (!allowed(ctx, call, WITH_RECORD))
        return -1;
    const leat__op_spec *spec = ctx->spec;
    if (slot < 0 || (size_t)slot >= spec->slot_count || spec->slot[slot].type == NULL) {
        misuse(ctx, call, "state slot", slot);
        return -1;
    }
    if (!any_kind && spec->slot[slot].kind != kind) {
        (void)leat__ctx_fail(ctx, LEAT_EGRAPH, "%s is for a %s, but state '%s' is a %s", call,
                             kind_name(kind), spec->slot[slot].name,
                             kind_name(spec->slot[slot].kind));
        return -1;
    }
    return (int)op_of(ctx)->first_slot + slot;
}

/* A callback that misused the API goes on until it returns: give it memory to write to. Outside of
 * a callback the task's arena is not this thread's. */
static void *scrap(leat_ctx *ctx, int slot)
{
    enum { SCRAP_BYTES = 4096 }; /* for who believes in a slot that is not declared */
    static _Thread_local char spare[SCRAP_BYTES];
    size_t bytes = SCRAP_BYTES;
    if (ctx != NULL && slot >= 0 && (size_t)slot < ctx->spec->slot_count &&
        ctx->spec->slot[slot].type != NULL && ctx->spec->slot[slot].type->size_bytes > bytes)
        bytes = ctx->spec->slot[slot].type->size_bytes;
    if (runs_here(ctx))
        return memset(leat__arena_alloc(ctx->task->scratch, bytes), 0, bytes);
    return bytes <= SCRAP_BYTES ? memset(spare, 0, sizeof spare) : NULL;
}

/* ------------------------------------------------------------------ what is known here */

int64_t leat_now(const leat_ctx *ctx)
{
    return allowed(ctx, "leat_now", WITH_TIME) ? ctx->now_ms : LEAT_TIME_MIN;
}

int64_t leat_watermark(const leat_ctx *ctx)
{
    return allowed(ctx, "leat_watermark", WITH_TIME) ? ctx->task->watermark_ms : LEAT_TIME_MIN;
}

int64_t leat_clock(const leat_ctx *ctx)
{
    return allowed(ctx, "leat_clock", WITH_TIME) ? ctx->task->clock_ms : LEAT_TIME_MIN;
}

/* R21: seeded by what the record is, not by when it is processed, so that a replay draws the same
 * numbers. */
uint64_t leat_random(leat_ctx *ctx)
{
    if (!allowed(ctx, "leat_random", WITH_TIME))
        return 0;
    const leat_log_record *origin = ctx->element != NULL ? ctx->element->origin : NULL;
    uint64_t seed = ctx->key_hash ^ (uint64_t)ctx->now_ms * UINT64_C(0x9e3779b97f4a7c15);
    if (origin != NULL)
        seed ^= ((uint64_t)origin->offset << 16) ^ origin->partition;
    leat__random random = {seed + ctx->random_count++};
    (void)leat__random_next(&random);
    return leat__random_next(&random);
}

static leat_str key_for(const leat_ctx *ctx, const char *call)
{
    if (!allowed(ctx, call, WITH_RECORD))
        return (leat_str){0};
    if (ctx->key.data == NULL)
        (void)leat__ctx_fail((leat_ctx *)(uintptr_t)ctx, LEAT_EGRAPH,
                             "%s: the operator's input has no key; put leat_key_by() before it",
                             call);
    return ctx->key;
}

leat_str leat_key(const leat_ctx *ctx)
{
    return key_for(ctx, "leat_key");
}

uint64_t leat_key_u64(const leat_ctx *ctx)
{
    uint64_t value = 0;
    int64_t negative = 0;
    leat_str key = key_for(ctx, "leat_key_u64");
    if (key.data == NULL || leat__key_parse_u64(key, &value))
        return value;
    if (leat__key_parse_i64(key, &negative))
        return (uint64_t)negative;
    (void)leat__ctx_fail((leat_ctx *)(uintptr_t)ctx, LEAT_EGRAPH,
                         "leat_key_u64: the key '%.*s' is not an integer of 64 bits; use leat_key",
                         key.length > 64 ? 64 : (int)key.length, key.data);
    return 0;
}

void *leat_arg(const leat_ctx *ctx)
{
    return allowed(ctx, "leat_arg", ALWAYS) ? ctx->spec->arg : NULL;
}

void *leat_local(const leat_ctx *ctx)
{
    if (!allowed(ctx, "leat_local", ALWAYS))
        return NULL;
    if (ctx->local == NULL)
        (void)leat__ctx_fail((leat_ctx *)(uintptr_t)ctx, LEAT_EGRAPH,
                             "leat_local: no local memory is declared; set .local_bytes of a "
                             "leat_process_op");
    return ctx->local;
}

uint32_t leat_partition(const leat_ctx *ctx)
{
    return allowed(ctx, "leat_partition", ALWAYS) ? ctx->task->partition : 0;
}

void *leat_alloc(leat_ctx *ctx, size_t size_bytes)
{
    if (!allowed(ctx, "leat_alloc", ALWAYS))
        return NULL;
    if (size_bytes <= LEAT__CALLBACK_BYTES_MAX)
        return leat__arena_alloc(ctx->task->scratch, size_bytes);
    (void)leat__ctx_fail(ctx, LEAT_ETOOBIG, "leat_alloc: %zu bytes, at most %d at once", size_bytes,
                         LEAT__CALLBACK_BYTES_MAX);
    return NULL;
}

leat_log_record leat_origin(const leat_ctx *ctx)
{
    const leat_log_record none = {.topic = "", .offset = -1, .timestamp_ms = LEAT_TIME_MIN};
    if (!allowed(ctx, "leat_origin", WITH_TIME))
        return none;
    if (ctx->element != NULL && ctx->element->origin != NULL)
        return *ctx->element->origin;
    return (leat_log_record){.topic = "", .offset = -1, .timestamp_ms = ctx->now_ms};
}

/* ------------------------------------------------------------------ state */

const void *leat_get(leat_ctx *ctx, int slot)
{
    int number = slot_of(ctx, "leat_get", slot, LEAT__VALUE, false);
    return number < 0 ? NULL : leat__store_get(store_of(ctx), (size_t)number);
}

void *leat_mut(leat_ctx *ctx, int slot)
{
    int number = slot_of(ctx, "leat_mut", slot, LEAT__VALUE, false);
    return number < 0 ? scrap(ctx, slot) : leat__store_mut(store_of(ctx), (size_t)number);
}

void leat_del(leat_ctx *ctx, int slot)
{
    int number = slot_of(ctx, "leat_del", slot, LEAT__VALUE, true);
    if (number >= 0)
        leat__store_del(store_of(ctx), (size_t)number);
}

void leat_list_append(leat_ctx *ctx, int slot, const void *element)
{
    int number = slot_of(ctx, "leat_list_append", slot, LEAT__LIST, false);
    if (number >= 0 && given(ctx, "leat_list_append", "the element", element))
        leat__store_append(store_of(ctx), (size_t)number, element);
}

size_t leat_list_all(leat_ctx *ctx, int slot, const void **elements)
{
    int number = slot_of(ctx, "leat_list_all", slot, LEAT__LIST, false);
    if (number >= 0 && given(ctx, "leat_list_all", "elements", elements))
        return leat__store_list(store_of(ctx), (size_t)number, elements);
    if (elements != NULL)
        *elements = NULL;
    return 0;
}

void leat_list_trim(leat_ctx *ctx, int slot, size_t keep_newest)
{
    int number = slot_of(ctx, "leat_list_trim", slot, LEAT__LIST, false);
    if (number >= 0)
        leat__store_trim(store_of(ctx), (size_t)number, keep_newest);
}

const void *leat_map_get(leat_ctx *ctx, int slot, const void *key)
{
    int number = slot_of(ctx, "leat_map_get", slot, LEAT__MAP, false);
    if (number < 0 || !given(ctx, "leat_map_get", "the map's key", key))
        return NULL;
    return leat__store_map_get(store_of(ctx), (size_t)number, key);
}

void *leat_map_mut(leat_ctx *ctx, int slot, const void *key)
{
    int number = slot_of(ctx, "leat_map_mut", slot, LEAT__MAP, false);
    if (number < 0 || !given(ctx, "leat_map_mut", "the map's key", key))
        return scrap(ctx, slot);
    return leat__store_map_mut(store_of(ctx), (size_t)number, key);
}

void leat_map_del(leat_ctx *ctx, int slot, const void *key)
{
    int number = slot_of(ctx, "leat_map_del", slot, LEAT__MAP, false);
    if (number >= 0 && given(ctx, "leat_map_del", "the map's key", key))
        leat__store_map_del(store_of(ctx), (size_t)number, key);
}

void leat_map_each(leat_ctx *ctx, int slot,
                   bool (*fn)(void *arg, const void *key, const void *value), void *arg)
{
    int number = slot_of(ctx, "leat_map_each", slot, LEAT__MAP, false);
    if (number < 0)
        return;
    if (fn == NULL) {
        (void)given(ctx, "leat_map_each", "fn", NULL);
        return;
    }
    leat__store_map_each(store_of(ctx), (size_t)number, fn, arg);
}

/* ------------------------------------------------------------------ timers (T1) */

static int timer_of(leat_ctx *ctx, const char *call, int timer)
{
    if (!allowed(ctx, call, WITH_RECORD))
        return -1;
    if (timer >= 0 && (size_t)timer < ctx->spec->timer_count)
        return (int)op_of(ctx)->first_timer + timer;
    misuse(ctx, call, "timer", timer);
    return -1;
}

void leat_timer_set(leat_ctx *ctx, int timer, int64_t at_ms)
{
    int number = timer_of(ctx, "leat_timer_set", timer);
    if (number >= 0)
        leat__store_timer_set(store_of(ctx), (size_t)number, LEAT__EVENT_TIME, 0, at_ms);
}

void leat_timer_clear(leat_ctx *ctx, int timer)
{
    int number = timer_of(ctx, "leat_timer_clear", timer);
    if (number >= 0)
        leat__store_timer_clear(store_of(ctx), (size_t)number, LEAT__EVENT_TIME, 0);
}

void leat_timer_set_clock(leat_ctx *ctx, int timer, int64_t at_ms)
{
    int number = timer_of(ctx, "leat_timer_set_clock", timer);
    if (number >= 0)
        leat__store_timer_set(store_of(ctx), (size_t)number, LEAT__PROCESSING_TIME, 0, at_ms);
}

void leat_timer_clear_clock(leat_ctx *ctx, int timer)
{
    int number = timer_of(ctx, "leat_timer_clear_clock", timer);
    if (number >= 0)
        leat__store_timer_clear(store_of(ctx), (size_t)number, LEAT__PROCESSING_TIME, 0);
}

/* ------------------------------------------------------------------ output */

static void emit(leat_ctx *ctx, uint32_t output, const leat_type *type, const void *record)
{
    if (ctx->emitted_count == ctx->emitted_capacity) {
        ctx->emitted_capacity = ctx->emitted_capacity == 0 ? 8 : ctx->emitted_capacity * 2;
        ctx->emitted = leat__realloc(ctx->emitted, ctx->emitted_capacity, sizeof(*ctx->emitted));
    }
    leat__arena *scratch = ctx->task->scratch;
    size_t before = scratch->used_bytes;
    void *copy = leat__arena_alloc(scratch, type->size_bytes);
    leat__record_copy(scratch, type, record, copy);
    size_t bytes = scratch->used_bytes - before + ctx->key.length;
    bool large = bytes > op_of(ctx)->output[output].large_bytes;
    ctx->emitted[ctx->emitted_count++] = (leat__emitted){output, large, copy, ctx->now_ms};
}

void leat_emit(leat_ctx *ctx, const void *record)
{
    if (!allowed(ctx, "leat_emit", WITH_RECORD))
        return;
    if (ctx->spec->out == NULL)
        (void)leat__ctx_fail(ctx, LEAT_EGRAPH,
                             "leat_emit: the operator declares no output type (.out)");
    else if (given(ctx, "leat_emit", "the record", record))
        emit(ctx, 0, ctx->spec->out, record);
}

void leat_emit_to(leat_ctx *ctx, int side, const void *record)
{
    if (!allowed(ctx, "leat_emit_to", WITH_RECORD))
        return;
    if (side < 0 || side >= LEAT_SLOTS_MAX || ctx->spec->side[side].type == NULL)
        misuse(ctx, "leat_emit_to", "side output", side);
    else if (given(ctx, "leat_emit_to", "the record", record))
        emit(ctx, 1 + (uint32_t)side, ctx->spec->side[side].type, record);
}

static leat_status fail(leat_ctx *ctx, leat_status status, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static leat_status fail(leat_ctx *ctx, leat_status status, const char *format, va_list args)
{
    if (ctx->failed)
        return ctx->error.status; /* the first failure of a callback is the cause */
    if (status == LEAT_OK)
        status = LEAT_EINTERNAL;
    bool passing = status == LEAT_EAGAIN || status == LEAT_EABORTED;
    ctx->failed = true;
    ctx->error = (leat_error){.status = status,
                              .recovery = passing ? LEAT_RECOVERY_RESTART : LEAT_RECOVERY_FATAL};
    (void)snprintf(ctx->error.where, sizeof(ctx->error.where), "%s", ctx->spec->name);
    (void)vsnprintf(ctx->error.message, sizeof(ctx->error.message), format, args);
    return status;
}

leat_status leat__ctx_fail(leat_ctx *ctx, leat_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status = fail(ctx, status, format, args);
    va_end(args);
    return status;
}

leat_status leat_fail(leat_ctx *ctx, leat_status status, const char *format, ...)
{
    if (!allowed(ctx, "leat_fail", ALWAYS))
        return LEAT_EGRAPH;
    if (format == NULL)
        return leat__ctx_fail(ctx, status, "no message was given to leat_fail");
    va_list args;
    va_start(args, format);
    status = fail(ctx, status, format, args);
    va_end(args);
    return status;
}
