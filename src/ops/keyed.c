/* ops/keyed.c - process, reduce and the running aggregate: one key's state at a time. */
#include "base/error.h"
#include "base/mem.h"
#include "ops/op.h"

/* ------------------------------------------------------------------ process */

/* on_open and on_close: no record, no key, no small transaction; a failure ends the job. */
static leat_status process_once(leat__op *op, leat_record_fn fn, leat__place place,
                                const char *name, leat_error *error)
{
    leat_ctx *ctx = &op->ctx;
    if (fn == NULL)
        return LEAT_OK;
    leat__ctx_enter(ctx, place);
    leat_status status = fn(ctx, NULL);
    leat__ctx_leave(ctx);
    if (ctx->failed)
        status = ctx->error.status;
    if (status == LEAT_OK)
        return LEAT_OK;
    return leat__fail(error, status, LEAT_RECOVERY_FATAL, op->spec->name, "%s failed: %s", name,
                      ctx->failed ? ctx->error.message : "no message; use leat_fail to give one");
}

static leat_status process_open(leat__op *op, leat_error *error)
{
    const leat_process_op *config = &op->spec->config.process;
    if (config->local_bytes != 0)
        op->ctx.local = leat__calloc(1, config->local_bytes);
    return process_once(op, config->on_open, LEAT__IN_OPEN, "on_open", error);
}

static leat_status process_close(leat__op *op, leat_error *error)
{
    return process_once(op, op->spec->config.process.on_close, LEAT__IN_CLOSE, "on_close", error);
}

static leat_status process_element(leat__op *op, const leat__element *element)
{
    return leat__op_run_record(op, element, op->spec->config.process.on_record);
}

static leat_status process_timer(leat__op *op, const leat__timer *timer, leat__time_domain domain)
{
    (void)domain; /* the callback knows its timers by number */
    return op->spec->config.process.on_timer(&op->ctx, (int)(timer->timer - op->first_timer));
}

const leat__op_class leat__op_process = {
    .kind = "process",
    .keyed = true,
    .open = process_open,
    .on_element = process_element,
    .on_timer = process_timer,
    .close = process_close,
};

/* ------------------------------------------------------------------ reduce */

static leat_status reduce_record(leat_ctx *ctx, const void *record)
{
    const leat__op_spec *spec = ctx->spec;
    const leat__op *op = (const leat__op *)ctx; /* ctx is its first member */
    bool first = !leat__store_holds(ctx->task->store, op->first_slot);
    void *acc = leat_mut(ctx, 0);
    if (first)
        memcpy(acc, record, spec->in->size_bytes); /* strings are copied when the callback ends */
    else
        spec->config.reduce(acc, record, spec->arg);
    leat_emit(ctx, acc);
    return LEAT_OK;
}

static leat_status reduce_element(leat__op *op, const leat__element *element)
{
    return leat__op_run_record(op, element, reduce_record);
}

const leat__op_class leat__op_reduce = {
    .kind = "reduce", .keyed = true, .on_element = reduce_element};

/* ------------------------------------------------------------------ running aggregate */

static leat_status aggregate_record(leat_ctx *ctx, const void *record)
{
    const leat_aggregate_op *op = &ctx->spec->config.aggregate.op;
    void *acc = leat_mut(ctx, 0);
    op->add(acc, record);
    if (op->result == NULL) {
        leat_emit(ctx, acc);
        return LEAT_OK;
    }
    static const leat_span always = {LEAT_TIME_MIN, LEAT_TIME_MAX};
    void *out = leat_alloc(ctx, ctx->spec->out->size_bytes);
    memset(out, 0, ctx->spec->out->size_bytes);
    op->result(acc, &always, out);
    leat_emit(ctx, out);
    return LEAT_OK;
}

static leat_status aggregate_element(leat__op *op, const leat__element *element)
{
    return leat__op_run_record(op, element, aggregate_record);
}

const leat__op_class leat__op_aggregate = {
    .kind = "aggregate", .keyed = true, .on_element = aggregate_element};
