/* ops/window_aggregate.c - windows over a keyed stream, each with one accumulator (N1-N8).
 *
 *   el 500            el 1300           WM 2300          el 1997 (late, but allowed)    WM 2499
 *    │                 │                 │                │                              │
 *    ▼                 ▼                 ▼                ▼                              ▼
 *   [0,2000): 1       2                 fire: 2@1999     3, fires at once: 3@1999       clean up
 *   timers: fire at 1999, clean-up at 1999 + lateness 500
 *
 * State of a key: a map from the window's id to its accumulator.  Timers carry the id as their tag.
 * Contents survive a firing until clean-up, so an allowed-late element refines the result; with
 * lateness 0 both moments are one, and the fire timer does both.
 *
 * Merging windows and windows that keep all elements are operators of their own.
 */
#include "base/assert.h"
#include "ops/op.h"
#include "window/trigger.h"
#include "window/window.h"

enum { SLOT_WINDOWS, TIMER_FIRE = 0, TIMER_CLEAN_UP = 1, SIDE_LATE = 0 };

typedef struct instance {
    const leat__assigner *assigner;
    const leat_trigger *trigger;
} instance;

typedef struct open_window { /* one window of the current key; view first: triggers hand it back */
    leat__trigger_view view;
    leat__op *op;
    int64_t id;
} open_window;

static const leat_window *window_of(const leat__op *op)
{
    return &op->spec->config.aggregate.window;
}

static leat_status open_op(leat__op *op, leat_error *error)
{
    (void)error;
    instance *self = op->instance;
    self->assigner = leat__assigner_of(window_of(op)->kind);
    self->trigger = window_of(op)->trigger;
    if (self->trigger == NULL)
        self->trigger = &leat__trigger_event_time;
    LEAT_ASSERT(self->assigner != NULL); /* the builder refuses kinds that do not exist */
    return LEAT_OK;
}

/* ------------------------------------------------------------------ one window */

static void set_timer(leat__op *op, uint32_t timer, leat__time_domain domain, int64_t id,
                      int64_t at_ms)
{
    leat__store_timer_set(op->ctx.task->store, op->first_timer + timer, domain, id, at_ms);
}

static void view_set_timer(leat__trigger_view *view, leat__time_domain domain, int64_t at_ms)
{
    const open_window *open = (const open_window *)view;
    set_timer(open->op, TIMER_FIRE, domain, open->id, at_ms);
}

static void view_clear_timer(leat__trigger_view *view, leat__time_domain domain)
{
    const open_window *open = (const open_window *)view;
    leat__store_timer_clear(open->op->ctx.task->store, open->op->first_timer + TIMER_FIRE, domain,
                            open->id);
}

static open_window look_at(leat__op *op, leat_span span, int64_t id)
{
    return (open_window){.view = {.window = span,
                                  .watermark_ms = op->ctx.task->watermark_ms,
                                  .clock_ms = op->ctx.task->clock_ms,
                                  .set_timer = view_set_timer,
                                  .clear_timer = view_clear_timer},
                         .op = op,
                         .id = id};
}

/* The result's time is the window's last millisecond, whenever it is emitted. */
static void emit_result(open_window *open, const void *acc)
{
    leat_ctx *ctx = &open->op->ctx;
    const leat_aggregate_op *aggregate = &ctx->spec->config.aggregate.op;
    const void *out = acc;
    if (aggregate->result != NULL) {
        void *result = leat_alloc(ctx, ctx->spec->out->size_bytes);
        memset(result, 0, ctx->spec->out->size_bytes);
        aggregate->result(acc, &open->view.window, result);
        out = result;
    }
    size_t before = ctx->emitted_count;
    leat_emit(ctx, out);
    if (ctx->emitted_count > before)
        ctx->emitted[before].timestamp_ms = leat__window_max_timestamp(&open->view.window);
}

static void obey(open_window *open, leat__trigger_result result, const void *acc)
{
    if ((result & LEAT__FIRE) != 0 && acc != NULL)
        emit_result(open, acc);
    if ((result & LEAT__PURGE) != 0)
        leat_map_del(&open->op->ctx, SLOT_WINDOWS, &open->id);
}

/* N6: add to state, trigger, fire, purge, then register the clean-up. */
static void add_to(leat__op *op, leat_span span, int64_t timestamp_ms, const void *record)
{
    const instance *self = op->instance;
    leat_ctx *ctx = &op->ctx;
    open_window open = look_at(op, span, self->assigner->id(&span));
    open.view.first =
        !leat__store_map_holds(ctx->task->store, op->first_slot + SLOT_WINDOWS, &open.id);
    void *acc = leat_map_mut(ctx, SLOT_WINDOWS, &open.id);
    op->spec->config.aggregate.op.add(acc, record);
    obey(&open, leat__trigger_element(self->trigger, &open.view, timestamp_ms, record), acc);
    int64_t lateness_ms = window_of(op)->lateness_ms;
    if (open.view.first && lateness_ms != 0)
        set_timer(op, TIMER_CLEAN_UP, LEAT__EVENT_TIME, open.id,
                  leat__window_clean_up(&span, lateness_ms));
}

/* ------------------------------------------------------------------ elements and timers */

static void drop_late(leat__op *op, const void *record)
{
    if (op->output[1 + SIDE_LATE].target_count != 0)
        leat_emit_to(&op->ctx, SIDE_LATE, record);
    else
        op->ctx.task->late(op->ctx.task->task, op);
}

static leat_status add_record(leat_ctx *ctx, const void *record)
{
    leat__op *op = (leat__op *)ctx; /* ctx is its first member */
    const leat__assigner *assigner = ((const instance *)op->instance)->assigner;
    const leat_window *window = window_of(op);
    int64_t timestamp_ms = ctx->now_ms, watermark_ms = ctx->task->watermark_ms;
    bool skipped = true;
    leat_span span;
    bool more = assigner->first(window, timestamp_ms, record, &span);
    for (; more; more = assigner->next(window, timestamp_ms, &span)) {
        if (leat__window_is_late(&span, window->lateness_ms, watermark_ms))
            continue;
        skipped = false;
        add_to(op, span, timestamp_ms, record);
    }
    if (skipped && leat__element_is_late(timestamp_ms, window->lateness_ms, watermark_ms)) /* N5 */
        drop_late(op, record);
    return LEAT_OK;
}

static leat_status on_element(leat__op *op, const leat__element *element)
{
    return leat__op_run_record(op, element, add_record);
}

static leat_status on_timer(leat__op *op, const leat__timer *timer, leat__time_domain domain)
{
    const instance *self = op->instance;
    const leat_window *window = window_of(op);
    leat_span span = self->assigner->span_of(window, timer->tag);
    open_window open = look_at(op, span, timer->tag);
    bool over = domain == LEAT__EVENT_TIME &&
                timer->at_ms == leat__window_clean_up(&span, window->lateness_ms);
    if (timer->timer == op->first_timer + TIMER_FIRE) {
        const void *acc = leat_map_get(&op->ctx, SLOT_WINDOWS, &open.id);
        obey(&open, leat__trigger_timer(self->trigger, &open.view, domain, timer->at_ms), acc);
    }
    if (over)
        leat_map_del(&op->ctx, SLOT_WINDOWS, &open.id);
    return LEAT_OK;
}

const leat__op_class leat__op_window = {.kind = "window",
                                        .keyed = true,
                                        .instance_bytes = sizeof(instance),
                                        .open = open_op,
                                        .on_element = on_element,
                                        .on_timer = on_timer};
