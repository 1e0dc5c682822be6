/* graph/operators.c - streams to streams: what leat_map, leat_key_by, leat_process ... put into
 * the graph.
 *
 *   options struct of the caller ─► checks ─► leat__op_spec: class, slots, timers, config
 *
 * Slots get their full names here, "operator/slot", as they stand on disk.
 */
#include "graph/builder.h"
#include <inttypes.h>
#include <string.h>

static leat_stream needs_function(leat__draft *draft)
{
    (void)leat__build_fail(draft, LEAT_EINVAL, "needs a function");
    return leat__build_nothing(draft);
}

/* ------------------------------------------------------------------ stateless */

leat_stream leat_map(leat_stream in, const char *name, const leat_type *out, leat_map_fn fn,
                     void *arg)
{
    leat__draft draft;
    if (!leat__build_op(&draft, in, name, &leat__op_map) ||
        !leat__build_type_ok(&draft, "an output type", out))
        return leat__build_nothing(&draft);
    if (fn == NULL)
        return needs_function(&draft);
    leat__op_spec *spec = &draft.node.as.op;
    spec->out = out;
    spec->config.map = fn;
    spec->arg = arg;
    return leat__build_done(&draft);
}

leat_stream leat_filter(leat_stream in, const char *name, leat_filter_fn fn, void *arg)
{
    leat__draft draft;
    if (!leat__build_op(&draft, in, name, &leat__op_filter))
        return leat__build_nothing(&draft);
    if (fn == NULL)
        return needs_function(&draft);
    draft.node.as.op.config.filter = fn;
    draft.node.as.op.arg = arg;
    return leat__build_done(&draft);
}

leat_stream leat_flat_map(leat_stream in, const char *name, const leat_type *out, leat_record_fn fn,
                          void *arg)
{
    leat__draft draft;
    if (!leat__build_op(&draft, in, name, &leat__op_flat_map) ||
        !leat__build_type_ok(&draft, "an output type", out))
        return leat__build_nothing(&draft);
    if (fn == NULL)
        return needs_function(&draft);
    leat__op_spec *spec = &draft.node.as.op;
    spec->out = out;
    spec->config.flat_map = fn;
    spec->arg = arg;
    return leat__build_done(&draft);
}

static bool take_second_input(leat__draft *draft, leat_stream b)
{
    leat__graph *graph = draft->graph;
    if (b.job != draft->job) {
        static const char text[] = "its inputs are streams of two jobs; build one job";
        if (b.job != NULL)
            (void)leat__build_fail_at(&b.job->graph, LEAT_EGRAPH, draft->node.name, text);
        return leat__build_fail(draft, LEAT_EGRAPH, text);
    }
    leat__input from = {b.node, b.output};
    const leat_type *type = b.node < graph->node_count ? leat__graph_type_of(graph, from) : NULL;
    if (type == NULL)
        return leat__build_fail(draft, LEAT_EGRAPH,
                                "its second input is not a stream with "
                                "records; pass what a build function returned");
    if (!leat__type_same(draft->in, type))
        return leat__build_fail(draft, LEAT_ETYPE,
                                "its inputs are of types '%s' and '%s'; put "
                                "leat_map() before one of them",
                                draft->in->name, type->name);
    if (!leat_str_equal(draft->node.key_of, graph->nodes[b.node].key_of))
        draft->node.key_of = (leat_str){NULL, 0}; /* keyed only if both are, by the same field */
    draft->node.inputs[draft->node.input_count++] = from;
    return true;
}

leat_stream leat_union(leat_stream a, const char *name, leat_stream b)
{
    leat__draft draft;
    if (!leat__build_op(&draft, a, name, &leat__op_union) || !take_second_input(&draft, b))
        return leat__build_nothing(&draft);
    return leat__build_done(&draft);
}

static bool name_taken(const leat__graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return true;
    return false;
}

/* key_by has no name of its own: "key-by-item", made unique and kept to the alphabet of names. It
 * is for people: nothing is stored under it (S6). */
static void key_by_name(const leat__graph *graph, const char *field, char name[64])
{
    int length = snprintf(name, 40, "key-by-%s", field);
    if (length > 39)
        length = 39;
    for (int i = 0; i < length; i++)
        if (!leat__name_character(name[i]))
            name[i] = '_';
    for (uint32_t number = 2; name_taken(graph, name); number++)
        (void)snprintf(name + length, 24, ".%" PRIu32, number);
}

static const char *key_by_stable_name(leat__draft *draft, const char *field)
{
    leat__graph *graph = draft->graph;
    const leat__input *from = &draft->node.inputs[0];
    char text[512];
    size_t equals = 0;
    int length = snprintf(text, sizeof text - 24, "%s/%" PRIu32 " by %s",
                          graph->nodes[from->node].stable_name, from->output, field);
    if (length > (int)sizeof text - 25)
        length = (int)sizeof text - 25;
    for (size_t i = 0; i < graph->node_count; i++)
        equals += strncmp(graph->nodes[i].stable_name, text, (size_t)length) == 0 &&
                  (graph->nodes[i].stable_name[length] == '\0' ||
                   graph->nodes[i].stable_name[length] == '#');
    if (equals != 0)
        (void)snprintf(text + length, 24, "#%zu", equals + 1);
    return leat__build_text(graph, text);
}

leat_stream leat_key_by(leat_stream in, const char *field)
{
    leat__draft draft;
    char name[64] = "key-by";
    if (in.job != NULL && field != NULL && field[0] != '\0')
        key_by_name(&in.job->graph, field, name);
    if (!leat__build_op(&draft, in, name, &leat__op_key_by))
        return leat__build_nothing(&draft);
    const leat_field *key = leat__build_key_field(&draft, draft.in, "leat_key_by", field);
    if (key == NULL)
        return leat__build_nothing(&draft);
    draft.node.as.op.config.key = key;
    draft.node.stable_name = key_by_stable_name(&draft, key->name);
    draft.node.key_of = leat_str_from(key->name);
    return leat__build_done(&draft);
}

/* ------------------------------------------------------------------ process */

/* One past the last entry that was written to; holes before it are mistakes. */
#define USED_COUNT(array, is_used)                  \
    do {                                            \
        for (size_t i = LEAT_SLOTS_MAX; i > 0; i--) \
            if (is_used(&(array)[i - 1]))           \
                return i;                           \
        return 0;                                   \
    } while (0)

static bool slot_used(const leat_state_spec *slot)
{
    return slot->name != NULL || slot->type != NULL || slot->map_key != NULL || slot->ttl_ms != 0;
}

static bool side_used(const leat_side_spec *side)
{
    return side->name != NULL || side->type != NULL;
}

static bool timer_used(const char *const *timer)
{
    return *timer != NULL;
}

static size_t slot_count(const leat_process_op *op)
{
    USED_COUNT(op->state, slot_used);
}

static size_t side_count(const leat_side_spec *side)
{
    USED_COUNT(side, side_used);
}

static size_t timer_count(const leat_process_op *op)
{
    USED_COUNT(op->timer, timer_used);
}

static bool map_key_ok(leat__draft *draft, const leat_state_spec *slot)
{
    if (slot->kind != LEAT_STATE_MAP)
        return slot->map_key == NULL ||
               leat__build_fail(draft, LEAT_EINVAL,
                                "state '%s' has a map_key but is no map; set "
                                ".kind = LEAT_STATE_MAP",
                                slot->name);
    const leat_type *key = slot->map_key;
    if (key == &leat_type_str || key == &leat_type_u64 || key == &leat_type_i64)
        return true;
    return leat__build_fail(draft, LEAT_EINVAL,
                            "state '%s' is a map; set .map_key to "
                            "&leat_type_str, &leat_type_u64 or &leat_type_i64",
                            slot->name);
}

static bool slot_ok(leat__draft *draft, const leat_state_spec *slot, size_t index)
{
    if (slot->name == NULL || slot->name[0] == '\0')
        return leat__build_fail(draft, LEAT_EINVAL,
                                "state slot %zu has no name; set "
                                ".state[%zu].name",
                                index, index);
    if (!leat__build_name_ok(draft->graph, draft->node.name, "state", slot->name))
        return false;
    if (slot->type == NULL)
        return leat__build_fail(draft, LEAT_EINVAL, "state '%s' has no type; set .state[%zu].type",
                                slot->name, index);
    char what[96];
    (void)snprintf(what, sizeof what, "state '%s'", slot->name);
    if (!leat__build_type_ok(draft, what, slot->type))
        return false;
    if ((unsigned)slot->kind > LEAT_STATE_MAP)
        return leat__build_fail(draft, LEAT_EINVAL,
                                "state '%s' is of an unknown kind; use "
                                "LEAT_VALUE, LEAT_STATE_LIST or LEAT_STATE_MAP",
                                slot->name);
    (void)snprintf(what, sizeof what, "ttl_ms of state '%s'", slot->name);
    return map_key_ok(draft, slot) && leat__build_not_negative(draft, what, slot->ttl_ms);
}

static leat__state_kind stored_kind(leat_state_kind kind)
{
    return kind == LEAT_VALUE ? LEAT__VALUE : kind == LEAT_STATE_LIST ? LEAT__LIST : LEAT__MAP;
}

static bool take_slots(leat__draft *draft, const leat_process_op *op)
{
    leat__op_spec *spec = &draft->node.as.op;
    spec->slot_count = slot_count(op);
    for (size_t i = 0; i < spec->slot_count; i++) {
        const leat_state_spec *slot = &op->state[i];
        if (!slot_ok(draft, slot, i))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(op->state[j].name, slot->name) == 0)
                return leat__build_fail(draft, LEAT_EINVAL,
                                        "two state slots are named '%s'; "
                                        "choose another name",
                                        slot->name);
        spec->slot[i] = (leat__slot){.name = leat__build_qualified(draft, slot->name),
                                     .kind = stored_kind(slot->kind),
                                     .type = slot->type,
                                     .map_key = slot->map_key,
                                     .ttl_ms = slot->ttl_ms,
                                     .ttl_domain = slot->ttl_processing_time ? LEAT__PROCESSING_TIME
                                                                             : LEAT__EVENT_TIME,
                                     .ttl_on_read = slot->ttl_on_read};
    }
    return true;
}

static bool take_timers(leat__draft *draft, const leat_process_op *op)
{
    leat__op_spec *spec = &draft->node.as.op;
    spec->timer_count = timer_count(op);
    if (spec->timer_count != 0 && op->on_timer == NULL)
        return leat__build_fail(draft, LEAT_EINVAL,
                                "has timers but no function for them; set "
                                ".on_timer");
    for (size_t i = 0; i < spec->timer_count; i++) {
        const char *name = op->timer[i];
        if (name == NULL)
            return leat__build_fail(draft, LEAT_EINVAL, "timer %zu has no name; set .timer[%zu]", i,
                                    i);
        if (!leat__build_name_ok(draft->graph, draft->node.name, "timer", name))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(op->timer[j], name) == 0)
                return leat__build_fail(draft, LEAT_EINVAL,
                                        "two timers are named '%s'; choose "
                                        "another name",
                                        name);
        spec->timer[i] = leat__build_text(draft->graph, name);
    }
    return true;
}

static bool take_sides(leat__draft *draft, const leat_side_spec *sides)
{
    size_t count = side_count(sides);
    for (size_t i = 0; i < count; i++) {
        const leat_side_spec *side = &sides[i];
        if (side->name == NULL || side->name[0] == '\0')
            return leat__build_fail(draft, LEAT_EINVAL,
                                    "side output %zu has no name; set "
                                    ".side[%zu].name",
                                    i, i);
        char what[160];
        (void)snprintf(what, sizeof what, "a type for side output '%.64s' (.side[%zu].type)",
                       side->name, i);
        if (!leat__build_type_ok(draft, what, side->type))
            return false;
        draft->node.as.op.side[i] =
            (leat_side_spec){leat__build_text(draft->graph, side->name), side->type};
    }
    return true;
}

leat_stream leat_process(leat_stream keyed, const char *name, const leat_process_op *op, void *arg)
{
    leat__draft draft;
    if (!leat__build_op(&draft, keyed, name, &leat__op_process))
        return leat__build_nothing(&draft);
    if (op == NULL || op->on_record == NULL) {
        (void)leat__build_fail(&draft, LEAT_EINVAL, "needs a function; set .on_record");
        return leat__build_nothing(&draft);
    }
    if (!leat__build_takes(&draft, op->in) ||
        (op->out != NULL && !leat__build_type_ok(&draft, "an output type (.out)", op->out)) ||
        !take_slots(&draft, op) || !take_timers(&draft, op) || !take_sides(&draft, op->side) ||
        !leat__build_on_error_ok(&draft, op->on_error))
        return leat__build_nothing(&draft);
    leat__op_spec *spec = &draft.node.as.op;
    spec->out = op->out;
    spec->on_error = op->on_error;
    spec->arg = arg;
    spec->config.process = *op;
    return leat__build_done(&draft);
}

/* ------------------------------------------------------------------ side outputs */

static bool is_stream_of(leat__draft *draft, leat_stream op, const char *call)
{
    *draft = (leat__draft){.job = op.job, .node = {.name = call}};
    if (!leat__build_may(op.job))
        return false;
    draft->graph = &op.job->graph;
    return op.node < draft->graph->node_count ||
           leat__build_fail(draft, LEAT_EGRAPH,
                            "its input is not a stream of this job; pass what "
                            "a build function returned");
}

leat_stream leat_side(leat_stream op, int side)
{
    leat__draft draft;
    if (!is_stream_of(&draft, op, "leat_side"))
        return leat__build_nothing(&draft);
    const leat__node *node = &draft.graph->nodes[op.node];
    size_t count = node->kind == LEAT__NODE_OP ? side_count(node->as.op.side) : 0;
    draft.node.name = node->name;
    if (side >= 0 && (size_t)side < count)
        return (leat_stream){.job = op.job, .node = op.node, .output = 1 + (uint32_t)side};
    if (count == 0)
        (void)leat__build_fail(&draft, LEAT_EGRAPH,
                               "has no side outputs; declare them in .side of "
                               "a leat_process_op");
    else
        (void)leat__build_fail(&draft, LEAT_EGRAPH, "has no side output %d; its last is %zu, '%s'",
                               side, count - 1, node->as.op.side[count - 1].name);
    return leat__build_nothing(&draft);
}

leat_stream leat_on_failure(leat_stream op, leat_on_error policy)
{
    leat__draft draft;
    if (!is_stream_of(&draft, op, "leat_on_failure"))
        return leat__build_nothing(&draft);
    leat__node *node = &draft.graph->nodes[op.node];
    draft.node.name = node->name;
    if (!leat__build_on_error_ok(&draft, policy))
        return leat__build_nothing(&draft);
    if (node->kind != LEAT__NODE_OP) {
        (void)leat__build_fail(&draft, LEAT_EGRAPH,
                               "is a source; set .on_error in its options instead");
        return leat__build_nothing(&draft);
    }
    node->as.op.on_error = policy;
    return op;
}

leat_stream leat_late(leat_stream window)
{
    leat__draft draft;
    if (!is_stream_of(&draft, window, "leat_late"))
        return leat__build_nothing(&draft);
    const leat__node *node = &draft.graph->nodes[window.node];
    if (node->kind == LEAT__NODE_OP && node->as.op.class == &leat__op_window)
        return (leat_stream){.job = window.job, .node = window.node, .output = 1};
    draft.node.name = node->name;
    (void)leat__build_fail(&draft, LEAT_EGRAPH,
                           "is not a window, so it has no late records; give "
                           "leat_late() what leat_window_aggregate() returned");
    return leat__build_nothing(&draft);
}
