/* graph/aggregates.c - reduce, running aggregates and windows: operators whose state is one
 * accumulator. */
#include "graph/builder.h"
#include "window/window.h"

static void take_accumulator(leat__draft *draft, const char *name, const leat_type *type)
{
    leat__op_spec *spec = &draft->node.as.op;
    spec->slot[0] = (leat__slot){.name = leat__build_qualified(draft, name), .type = type};
    spec->slot_count = 1;
}

leat_stream leat_reduce(leat_stream keyed, const char *name, leat_reduce_fn fn, void *arg)
{
    leat__draft draft;
    if (!leat__build_op(&draft, keyed, name, &leat__op_reduce))
        return leat__build_nothing(&draft);
    if (fn == NULL) {
        (void)leat__build_fail(&draft, LEAT_EINVAL, "needs a function");
        return leat__build_nothing(&draft);
    }
    take_accumulator(&draft, "acc", draft.in);
    draft.node.as.op.config.reduce = fn;
    draft.node.as.op.arg = arg;
    return leat__build_done(&draft);
}

static bool take_aggregate(leat__draft *draft, const leat_aggregate_op *op)
{
    if (op == NULL || op->add == NULL)
        return leat__build_fail(draft, LEAT_EINVAL, "needs a function; set .add");
    if (!leat__build_takes(draft, op->in) ||
        !leat__build_type_ok(draft, "an accumulator type (.acc)", op->acc) ||
        (op->out != NULL && !leat__build_type_ok(draft, "an output type (.out)", op->out)))
        return false;
    if (op->result == NULL && op->out != NULL && !leat__type_same(op->out, op->acc))
        return leat__build_fail(draft, LEAT_EINVAL,
                                "emits '%s' but accumulates '%s'; set .result "
                                "to make one from the other",
                                op->out->name, op->acc->name);
    leat__op_spec *spec = &draft->node.as.op;
    spec->out = op->out != NULL ? op->out : op->acc;
    spec->config.aggregate.op = *op;
    return true;
}

leat_stream leat_aggregate(leat_stream keyed, const char *name, const leat_aggregate_op *op)
{
    leat__draft draft;
    if (!leat__build_op(&draft, keyed, name, &leat__op_aggregate) || !take_aggregate(&draft, op))
        return leat__build_nothing(&draft);
    take_accumulator(&draft, "acc", op->acc);
    return leat__build_done(&draft);
}

/* ------------------------------------------------------------------ windows */

/* What this version has: the rest of semantics.md is refused by name (leat/job.h). */
static bool window_available(leat__draft *draft, const leat_window *window)
{
    if (window->kind != LEAT_TUMBLING)
        return leat__build_fail(draft, LEAT_EINVAL,
                                "%s windows are not in this version; use LEAT_TUMBLING or "
                                "leat_process()",
                                leat__window_kind_name(window->kind));
    const char *missing = window->processing_time   ? "windows in processing time"
                          : window->trigger != NULL ? "custom triggers"
                          : window->evictor != NULL ? "evictors"
                                                    : NULL;
    return missing == NULL ||
           leat__build_fail(draft, LEAT_EINVAL,
                            "%s are not in this version; use event time and the default trigger, "
                            "or leat_process()",
                            missing);
}

static bool window_ok(leat__draft *draft, const leat_window *window)
{
    if (window == NULL)
        return leat__build_fail(draft, LEAT_EINVAL, "needs a leat_window");
    if (!window_available(draft, window))
        return false;
    const char *wrong = leat__assigner_of(window->kind)->check(window);
    if (wrong != NULL)
        return leat__build_fail(draft, LEAT_EINVAL, "%s", wrong);
    return leat__build_not_negative(draft, "lateness_ms", window->lateness_ms);
}

leat_stream leat_window_aggregate(leat_stream keyed, const char *name, const leat_window *window,
                                  const leat_aggregate_op *op)
{
    leat__draft draft;
    if (!leat__build_op(&draft, keyed, name, &leat__op_window) || !window_ok(&draft, window) ||
        !take_aggregate(&draft, op))
        return leat__build_nothing(&draft);
    leat__op_spec *spec = &draft.node.as.op;
    spec->config.aggregate.window = *window;
    take_accumulator(&draft, "windows", op->acc); /* one per window start */
    spec->slot[0].kind = LEAT__MAP;
    spec->slot[0].map_key = &leat_type_i64;
    spec->timer[0] = "fire";
    spec->timer[1] = "clean-up";
    spec->timer_count = 2;
    spec->side[0] = (leat_side_spec){"late", draft.in};
    return leat__build_done(&draft);
}
