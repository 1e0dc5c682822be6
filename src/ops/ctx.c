/* ops/ctx.c - the functions that callbacks call: time, key, state, timers, output, failure.
 *
 * Everything here acts on one operator of one task, so nothing locks.  Misuse (a slot that does
 * not exist, a list call on a value) fails the callback instead of crashing it: the error names
 * the operator and the slot.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "ops/op.h"
#include "record/codec.h"
#include "record/keys.h"
#include <inttypes.h>
#include <stdarg.h>

static leat__op *op_of(leat_ctx *ctx)
{
    return (leat__op *)ctx; /* ctx is the first member of leat__op */
}

static leat__store *store_of(leat_ctx *ctx)
{
    return ctx->task->store;
}

static void misuse(leat_ctx *ctx, const char *what, int number)
{
    (void)leat_fail(ctx, LEAT_EGRAPH, "%s %d is not declared in this operator's spec", what,
                    number);
}

/* The store's slot number, or -1 after a misuse was recorded. */
static int slot_of(leat_ctx *ctx, int slot, leat__state_kind kind, bool any_kind)
{
    const leat__op_spec *spec = ctx->spec;
    if (slot < 0 || (size_t)slot >= spec->slot_count || spec->slot[slot].type == NULL) {
        misuse(ctx, "state slot", slot);
        return -1;
    }
    if (!any_kind && spec->slot[slot].kind != kind) {
        (void)leat_fail(ctx, LEAT_EGRAPH, "state '%s' is not of the kind that this call is for",
                        spec->slot[slot].name);
        return -1;
    }
    if (ctx->key.data == NULL) {
        (void)leat_fail(ctx, LEAT_EGRAPH, "state '%s' used where there is no key",
                        spec->slot[slot].name);
        return -1;
    }
    return (int)op_of(ctx)->first_slot + slot;
}

/* A callback that misused the API goes on until it returns: give it memory to write to. */
static void *scrap(leat_ctx *ctx, int slot)
{
    size_t bytes = 256;
    if (slot >= 0 && (size_t)slot < ctx->spec->slot_count && ctx->spec->slot[slot].type != NULL)
        bytes = ctx->spec->slot[slot].type->size_bytes;
    return memset(leat__arena_alloc(ctx->task->scratch, bytes), 0, bytes);
}

int64_t leat_now(const leat_ctx *ctx)
{
    return ctx->now_ms;
}

int64_t leat_watermark(const leat_ctx *ctx)
{
    return ctx->task->watermark_ms;
}

int64_t leat_clock(const leat_ctx *ctx)
{
    return ctx->task->clock_ms;
}

/* R21: seeded by what the record is, not by when it is processed, so that a replay draws the same
 * numbers. */
uint64_t leat_random(leat_ctx *ctx)
{
    const leat_log_record *origin = ctx->element != NULL ? ctx->element->origin : NULL;
    uint64_t seed = ctx->key_hash ^ (uint64_t)ctx->now_ms * UINT64_C(0x9e3779b97f4a7c15);
    if (origin != NULL)
        seed ^= ((uint64_t)origin->offset << 16) ^ origin->partition;
    leat__random random = {seed + ctx->random_count++};
    (void)leat__random_next(&random);
    return leat__random_next(&random);
}

leat_str leat_key(const leat_ctx *ctx)
{
    return ctx->key;
}

uint64_t leat_key_u64(const leat_ctx *ctx)
{
    uint64_t value = 0;
    for (size_t i = 0; i < ctx->key.length; i++) {
        if (ctx->key.data[i] == '-')
            continue; /* two's complement below */
        value = value * 10 + (uint64_t)(ctx->key.data[i] - '0');
    }
    return ctx->key.length != 0 && ctx->key.data[0] == '-' ? (uint64_t)0 - value : value;
}

void *leat_arg(const leat_ctx *ctx)
{
    return ctx->spec->arg;
}

void *leat_local(const leat_ctx *ctx)
{
    return ctx->local;
}

uint32_t leat_partition(const leat_ctx *ctx)
{
    return ctx->task->partition;
}

void *leat_alloc(leat_ctx *ctx, size_t size_bytes)
{
    return leat__arena_alloc(ctx->task->scratch, size_bytes);
}

leat_log_record leat_origin(const leat_ctx *ctx)
{
    if (ctx->element != NULL && ctx->element->origin != NULL)
        return *ctx->element->origin;
    return (leat_log_record){.topic = "", .offset = -1, .timestamp_ms = ctx->now_ms};
}

/* ------------------------------------------------------------------ state */

const void *leat_get(leat_ctx *ctx, int slot)
{
    int number = slot_of(ctx, slot, LEAT__VALUE, false);
    return number < 0 ? NULL : leat__store_get(store_of(ctx), (size_t)number);
}

void *leat_mut(leat_ctx *ctx, int slot)
{
    int number = slot_of(ctx, slot, LEAT__VALUE, false);
    return number < 0 ? scrap(ctx, slot) : leat__store_mut(store_of(ctx), (size_t)number);
}

void leat_del(leat_ctx *ctx, int slot)
{
    int number = slot_of(ctx, slot, LEAT__VALUE, true);
    if (number >= 0)
        leat__store_del(store_of(ctx), (size_t)number);
}

void leat_list_append(leat_ctx *ctx, int slot, const void *element)
{
    int number = slot_of(ctx, slot, LEAT__LIST, false);
    if (number >= 0)
        leat__store_append(store_of(ctx), (size_t)number, element);
}

size_t leat_list_all(leat_ctx *ctx, int slot, const void **elements)
{
    int number = slot_of(ctx, slot, LEAT__LIST, false);
    if (number >= 0)
        return leat__store_list(store_of(ctx), (size_t)number, elements);
    *elements = NULL;
    return 0;
}

void leat_list_trim(leat_ctx *ctx, int slot, size_t keep_newest)
{
    int number = slot_of(ctx, slot, LEAT__LIST, false);
    if (number >= 0)
        leat__store_trim(store_of(ctx), (size_t)number, keep_newest);
}

const void *leat_map_get(leat_ctx *ctx, int slot, const void *key)
{
    int number = slot_of(ctx, slot, LEAT__MAP, false);
    return number < 0 ? NULL : leat__store_map_get(store_of(ctx), (size_t)number, key);
}

void *leat_map_mut(leat_ctx *ctx, int slot, const void *key)
{
    int number = slot_of(ctx, slot, LEAT__MAP, false);
    return number < 0 ? scrap(ctx, slot) : leat__store_map_mut(store_of(ctx), (size_t)number, key);
}

void leat_map_del(leat_ctx *ctx, int slot, const void *key)
{
    int number = slot_of(ctx, slot, LEAT__MAP, false);
    if (number >= 0)
        leat__store_map_del(store_of(ctx), (size_t)number, key);
}

void leat_map_each(leat_ctx *ctx, int slot,
                   bool (*fn)(void *arg, const void *key, const void *value), void *arg)
{
    int number = slot_of(ctx, slot, LEAT__MAP, false);
    if (number >= 0)
        leat__store_map_each(store_of(ctx), (size_t)number, fn, arg);
}

/* ------------------------------------------------------------------ timers (T1) */

static int timer_of(leat_ctx *ctx, int timer)
{
    if (timer >= 0 && (size_t)timer < ctx->spec->timer_count && ctx->key.data != NULL)
        return (int)op_of(ctx)->first_timer + timer;
    misuse(ctx, "timer", timer);
    return -1;
}

void leat_timer_set(leat_ctx *ctx, int timer, int64_t at_ms)
{
    int number = timer_of(ctx, timer);
    if (number >= 0)
        leat__store_timer_set(store_of(ctx), (size_t)number, LEAT__EVENT_TIME, 0, at_ms);
}

void leat_timer_clear(leat_ctx *ctx, int timer)
{
    int number = timer_of(ctx, timer);
    if (number >= 0)
        leat__store_timer_clear(store_of(ctx), (size_t)number, LEAT__EVENT_TIME, 0);
}

void leat_timer_set_clock(leat_ctx *ctx, int timer, int64_t at_ms)
{
    int number = timer_of(ctx, timer);
    if (number >= 0)
        leat__store_timer_set(store_of(ctx), (size_t)number, LEAT__PROCESSING_TIME, 0, at_ms);
}

void leat_timer_clear_clock(leat_ctx *ctx, int timer)
{
    int number = timer_of(ctx, timer);
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
    bool large = scratch->used_bytes - before > LEAT__LARGE_BYTES;
    ctx->emitted[ctx->emitted_count++] = (leat__emitted){output, large, copy, ctx->now_ms};
}

void leat_emit(leat_ctx *ctx, const void *record)
{
    if (ctx->spec->out == NULL)
        (void)leat_fail(ctx, LEAT_EGRAPH, "emits a record but declares no output type");
    else
        emit(ctx, 0, ctx->spec->out, record);
}

void leat_emit_to(leat_ctx *ctx, int side, const void *record)
{
    if (side < 0 || side >= LEAT_SLOTS_MAX || ctx->spec->side[side].type == NULL)
        misuse(ctx, "side output", side);
    else
        emit(ctx, 1 + (uint32_t)side, ctx->spec->side[side].type, record);
}

leat_status leat_fail(leat_ctx *ctx, leat_status status, const char *format, ...)
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
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ctx->error.message, sizeof(ctx->error.message), format, args);
    va_end(args);
    return status;
}
