/* ops/op.c - pushing elements through operators, and the small transaction around every callback
 * (S3).
 *
 *   push ─► class->on_element ─► run_record:
 *       begin ─ callback ─┬─ OK:   keep state, then forward what it emitted
 *                         └─ else: undo state, drop output, error policy (R19)
 */
#include "ops/op.h"
#include "base/error.h"
#include "base/mem.h"
#include "record/keys.h"

leat_status leat__op_open(leat__op *op, leat_error *error)
{
    const leat__op_spec *spec = op->spec;
    op->ctx.spec = spec;
    if (spec->class->instance_bytes != 0)
        op->instance = leat__calloc(1, spec->class->instance_bytes);
    leat_status status = spec->class->open == NULL ? LEAT_OK : spec->class->open(op, error);
    op->opened = status == LEAT_OK;
    return status;
}

leat_status leat__op_close(leat__op *op, leat_error *error)
{
    leat_status status = LEAT_OK;
    op->ctx.element = NULL; /* closing is about no record and no key */
    op->ctx.key = (leat_str){0};
    if (op->opened && op->spec->class->close != NULL)
        status = op->spec->class->close(op, error);
    leat__free(op->instance);
    leat__free(op->ctx.emitted);
    leat__free(op->ctx.local);
    return status;
}

/* R19: what a sink would refuse is the failure of the operator that hands it over. */
leat_status leat__op_forward(leat__op *op, uint32_t output, const leat__element *element)
{
    const leat__output *out = &op->output[output];
    leat_error error;
    bool large = element->large;
    if ((out->strict || large) && leat__op_check_output(out, element, large, &error) != LEAT_OK)
        return op->ctx.task->failed(op->ctx.task->task, op, element, &error);
    op->records_out++;
    if (!large)
        return leat__op_deliver(out, element);
    leat__element asked = *element;
    asked.large = false;
    return leat__op_deliver(out, &asked);
}

static void context_begin(leat__op *op, const leat__element *element, leat_str key, uint64_t hash,
                          int64_t now_ms)
{
    leat_ctx *ctx = &op->ctx;
    ctx->element = element;
    ctx->key = key;
    ctx->key_hash = hash;
    ctx->now_ms = now_ms;
    ctx->random_count = 0;
    ctx->emitted_count = 0;
}

static bool only_passes(const leat__op_spec *spec)
{
    return spec->class == &leat__op_union || spec->class == &leat__op_key_by;
}

/* Through the operators that only pass on; the others answer for what they emit themselves. A map
 * or filter is run for large elements only, whose state is not to be touched first. */
static leat_status check_through(leat__op *op, const leat__element *element, bool large,
                                 leat_error *error)
{
    const leat__op_spec *spec = op->spec;
    leat__element out = *element;
    char text[LEAT__KEY_TEXT_BYTES];
    if (!large && !only_passes(spec))
        return LEAT_OK; /* it answers for it when it hands over */
    if (spec->class == &leat__op_map) {
        void *record = leat__arena_alloc(op->ctx.task->scratch, spec->out->size_bytes);
        memset(record, 0, spec->out->size_bytes);
        spec->config.map(element->record, record, spec->arg);
        out.record = record;
    } else if (spec->class == &leat__op_filter) {
        if (!spec->config.filter(element->record, spec->arg))
            return LEAT_OK;
    } else if (spec->class == &leat__op_key_by) {
        if (large && !(op->key_given && out.key.data != NULL)) /* the log counts the key, too */
            out.key = leat__key_of(spec->config.key, element->record, text);
    } else if (spec->class != &leat__op_union) {
        return LEAT_OK;
    }
    return leat__op_check_output(&op->output[0], &out, large, error);
}

bool leat__op_hands_on(const leat__op_spec *spec)
{
    return only_passes(spec) || spec->class == &leat__op_map || spec->class == &leat__op_filter;
}

/* Is there a sink or an exchange that may refuse, behind operators that hand on? */
static bool is_asked(const leat__output *output)
{
    bool asked = false;
    for (size_t i = 0; i < output->target_count; i++) {
        const leat__target *target = &output->targets[i];
        if (target->op == NULL)
            asked |= target->check != NULL;
        else if (leat__op_hands_on(target->op->spec))
            asked |= is_asked(&target->op->output[0]);
    }
    return asked;
}

void leat__op_settle_output(leat__output *output, const leat_type *type)
{
    output->strict = false;
    output->type = type;
    output->large_bytes = SIZE_MAX;
    if (type != NULL && is_asked(output))
        output->large_bytes = LEAT__LARGE_BYTES / leat__type_depth(type);
    for (size_t i = 0; i < output->target_count; i++) {
        const leat__target *target = &output->targets[i];
        if (target->op != NULL && only_passes(target->op->spec)) {
            leat__op_settle_output(&target->op->output[0], type);
            output->strict |= target->op->output[0].strict;
        }
        output->strict |= target->op == NULL && target->strict;
    }
}

leat_status leat__op_check_output(const leat__output *output, const leat__element *element,
                                  bool large, leat_error *error)
{
    for (size_t i = 0; i < output->target_count; i++) {
        const leat__target *target = &output->targets[i];
        leat_status status = LEAT_OK;
        if (target->op != NULL)
            status = check_through(target->op, element, large, error);
        else if (target->check != NULL && (large || target->strict))
            status = target->check(target->arg, element, large, error);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static leat__element emitted_element(const leat_ctx *ctx, const leat__emitted *emitted)
{
    return (leat__element){.record = emitted->record,
                           .timestamp_ms = emitted->timestamp_ms,
                           .key = ctx->key,
                           .key_hash = ctx->key_hash,
                           .origin = ctx->element != NULL ? ctx->element->origin : NULL};
}

/* R19: a record that the log would refuse is the callback's failure, found while nothing is kept
 * yet. */
static leat_status check_emitted(leat__op *op)
{
    leat_ctx *ctx = &op->ctx;
    for (size_t i = 0; i < ctx->emitted_count; i++) {
        leat_error error;
        const leat__output *output = &op->output[ctx->emitted[i].output];
        if (!ctx->emitted[i].large && !output->strict)
            continue;
        const leat__element out = emitted_element(ctx, &ctx->emitted[i]);
        leat_status status = leat__op_check_output(output, &out, ctx->emitted[i].large, &error);
        if (status != LEAT_OK)
            return leat__ctx_fail(ctx, status, "%s", error.message);
    }
    return LEAT_OK;
}

/* R19: so is state that the log would not take. */
static leat_status check_state(leat__op *op)
{
    leat_error error;
    leat_status status = leat__store_callback_check(op->ctx.task->store, &error);
    return status == LEAT_OK ? status : leat__ctx_fail(&op->ctx, status, "%s", error.message);
}

/* Forwards what the callback emitted. Downstream may run this operator's arena but never this
 * operator again. */
static leat_status forward_emitted(leat__op *op)
{
    leat_ctx *ctx = &op->ctx;
    for (size_t i = 0; i < ctx->emitted_count; i++) {
        const leat__emitted *emitted = &ctx->emitted[i];
        const leat__element out = emitted_element(ctx, emitted);
        op->records_out++;
        leat_status status = leat__op_deliver(&op->output[emitted->output], &out);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

/* The callback's verdict: keep everything or nothing, then the error policy (R19). */
static leat_status settle(leat__op *op, const leat__element *element, leat_status status,
                          bool stateful)
{
    leat_ctx *ctx = &op->ctx;
    leat__ctx_leave(ctx);
    if (ctx->failed)
        status = ctx->error.status;
    if (status == LEAT_OK)
        status = check_emitted(op);
    if (status == LEAT_OK && stateful)
        status = check_state(op);
    if (status == LEAT_OK) {
        if (stateful)
            leat__store_callback_commit(ctx->task->store);
        return forward_emitted(op);
    }
    if (stateful)
        leat__store_callback_rollback(ctx->task->store);
    ctx->emitted_count = 0;
    if (!ctx->failed)
        (void)leat__ctx_fail(ctx, status, "the callback returned %s without a message",
                             leat_status_name(status));
    return ctx->task->failed(ctx->task->task, op, element, &ctx->error);
}

leat_status leat__op_run_record(leat__op *op, const leat__element *element, leat_record_fn fn)
{
    leat_ctx *ctx = &op->ctx;
    leat__store *store = ctx->task->store;
    bool stateful = store != NULL && element->key.data != NULL && op->spec->class->keyed;
    context_begin(op, element, element->key, element->key_hash, element->timestamp_ms);
    if (stateful) {
        leat__store_set_key(store, element->key, element->key_hash);
        leat__store_set_now(store, element->timestamp_ms, ctx->task->clock_ms);
        leat__store_callback_begin(store);
    }
    leat__ctx_enter(ctx, LEAT__IN_RECORD);
    return settle(op, element, fn(ctx, element->record), stateful);
}

leat_status leat__op_fire(leat__op *op, const leat__timer *timer, leat__time_domain domain)
{
    leat_ctx *ctx = &op->ctx;
    leat__store *store = ctx->task->store;
    /* the popped key is lent until the next pop, and callbacks may push on: keep it */
    leat_str key = leat__arena_str(ctx->task->scratch, timer->key);
    leat__works(ctx->task, op->spec, -1);
    int64_t now_ms = domain == LEAT__EVENT_TIME ? timer->at_ms : ctx->task->clock_ms;
    context_begin(op, NULL, key, timer->hash, now_ms);
    leat__store_set_key(store, key, timer->hash);
    /* S2: a timer of the clock has no event time of its own; state ages by the watermark alone */
    leat__store_set_now(store, domain == LEAT__EVENT_TIME ? now_ms : LEAT_TIME_MIN,
                        ctx->task->clock_ms);
    leat__store_callback_begin(store);
    leat__ctx_enter(ctx, LEAT__IN_TIMER);
    return settle(op, NULL, op->spec->class->on_timer(op, timer, domain), true);
}
