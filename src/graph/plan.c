/* graph/plan.c - cuts the graph into stages.
 *
 *   clicks ─► views ─► key-by-item ─┬─► per-item ─► counts       place:  0 0 0 1 1 1
 *                                   └─► daily ─► days            behind: key-by-item ─► stage 1
 *   ───────── stage 0 ─────────────═══ HASH ═══─── stage 1 ───
 *
 * Nodes are taken in the order they were built, which is a topological one: a node's inputs exist
 * before it does, so every edge leads to a later stage and the graph has no cycle (R23).
 *
 * `spread` is the field by whose current value the records of a node's main output are spread over
 * partitions.  A key_by on that field needs no exchange: equal keys meet in one partition already.
 * It survives where records pass unchanged (filter, key_by, a union inside a stage).
 */
#include "base/error.h"
#include "base/hash.h"
#include "graph/builder.h"
#include <string.h>

static const uint32_t no_stage = UINT32_MAX;

typedef struct cut {
    const leat__graph *graph;
    leat__arena *arena;
    leat__plan *plan;
    uint32_t *place;  /* stage of each node */
    uint32_t *behind; /* of a key_by with exchange: the stage of what follows it */
    bool *exchanged;  /* key_by that needs one */
    leat_str *spread; /* see above; data NULL: unknown */
} cut;

static void *zeroed(leat__arena *arena, size_t size_bytes)
{
    return memset(leat__arena_alloc(arena, size_bytes), 0, size_bytes);
}

/* ------------------------------------------------------------------ stages and edges */

static uint32_t add_stage(cut *c)
{
    leat__stage *stage = &c->plan->stages[c->plan->stage_count];
    *stage = (leat__stage){.number = (uint32_t)c->plan->stage_count};
    stage->nodes = zeroed(c->arena, c->graph->node_count * sizeof *stage->nodes);
    c->plan->stage_count++;
    return stage->number;
}

static void put(cut *c, uint32_t stage_number, uint32_t node)
{
    leat__stage *stage = &c->plan->stages[stage_number];
    stage->nodes[stage->node_count++] = node;
    c->place[node] = stage_number;
}

static void add_edge(cut *c, leat__exchange exchange, leat__input from, uint32_t to_node)
{
    c->plan->edges[c->plan->edge_count++] =
        (leat__edge){.exchange = exchange,
                     .from_stage = c->place[from.node],
                     .to_stage = c->place[to_node],
                     .from = from,
                     .to_node = to_node,
                     .type = leat__graph_type_of(c->graph, from)};
}

static bool is_op(const leat__node *node, const leat__op_class *class)
{
    return node->kind == LEAT__NODE_OP && node->as.op.class == class;
}

/* The field by which what arrives through an input is spread. */
static leat_str spread_of(const cut *c, leat__input from)
{
    const leat__node *node = &c->graph->nodes[from.node];
    if (from.output == 0)
        return c->spread[from.node];
    if (is_op(node, &leat__op_window))
        return spread_of(c, node->inputs[0]); /* late: as it came */
    return (leat_str){NULL, 0};
}

static void cut_source(cut *c, const leat__node *node)
{
    put(c, add_stage(c), node->id);
    if (node->partitioned_by != NULL)
        c->spread[node->id] = leat_str_from(node->partitioned_by->name);
}

/* Operators with one input and sinks. A sink needs no key, so it stays before the exchange. */
static void cut_one_input(cut *c, const leat__node *node)
{
    leat__input from = node->inputs[0];
    bool crosses = c->exchanged[from.node] && node->kind == LEAT__NODE_OP;
    if (crosses) {
        if (c->behind[from.node] == no_stage)
            c->behind[from.node] = add_stage(c);
        put(c, c->behind[from.node], node->id);
        add_edge(c, LEAT__EXCHANGE_HASH, from, node->id);
    } else {
        put(c, c->place[from.node], node->id);
    }
    if (is_op(node, &leat__op_filter))
        c->spread[node->id] = spread_of(c, from);
    if (is_op(node, &leat__op_key_by)) {
        leat_str spread = spread_of(c, from);
        c->exchanged[node->id] = spread.data == NULL || !leat_str_equal(spread, node->key_of);
        c->spread[node->id] = node->key_of;
    }
}

/* Where the records of an input are once they have crossed what they have to cross. */
static uint32_t arrival(const cut *c, leat__input from)
{
    return c->exchanged[from.node] ? c->behind[from.node] : c->place[from.node];
}

/* J5. Records of a keyed union carry their key, so HASH brings equal keys of both inputs together.
 */
static void cut_union(cut *c, const leat__node *node)
{
    leat__input a = node->inputs[0], b = node->inputs[1];
    if (a.node == b.node && c->exchanged[a.node] && c->behind[a.node] == no_stage)
        c->behind[a.node] = add_stage(c);
    uint32_t stage = arrival(c, a);
    bool inside = stage != no_stage && stage == arrival(c, b);
    put(c, inside ? stage : add_stage(c), node->id);
    for (size_t i = 0; i < node->input_count; i++) {
        leat__input from = node->inputs[i];
        if (inside && !c->exchanged[from.node])
            continue;
        bool hash = node->key_of.data != NULL;
        add_edge(c, hash || inside ? LEAT__EXCHANGE_HASH : LEAT__EXCHANGE_FORWARD, from, node->id);
    }
    leat_str spread = spread_of(c, a);
    bool same = spread.data != NULL && leat_str_equal(spread, spread_of(c, b));
    if (same && (inside || leat_str_equal(spread, node->key_of)))
        c->spread[node->id] = spread;
}

/* ------------------------------------------------------------------ what stages are */

static void describe_stage(cut *c, leat__stage *stage)
{
    const leat__node *nodes = c->graph->nodes;
    stage->name = NULL;
    for (size_t i = 0; i < stage->node_count; i++) {
        const leat__node *node = &nodes[stage->nodes[i]];
        if (node->kind != LEAT__NODE_OP)
            continue;
        if (node->as.op.class->keyed && stage->name == NULL)
            stage->name = node->name;
        if (node->as.op.slot_count != 0 || node->as.op.timer_count != 0)
            stage->has_state = true;
    }
    if (stage->name == NULL)
        stage->name = nodes[stage->nodes[0]].name;
}

static uint32_t source_partitions(const leat__node *node)
{
    switch (node->kind) {
    case LEAT__NODE_SOURCE_GENERATOR:
        return node->as.generator.partition_count;
    case LEAT__NODE_SOURCE_ARRAY:
        return 1;
    default:
        return 0; /* the topic's, once the log is open */
    }
}

static uint32_t widest_source(const leat__graph *graph)
{
    uint32_t widest = 1;
    for (size_t i = 0; i < graph->node_count; i++) {
        const leat__node *node = &graph->nodes[i];
        if (node->kind >= LEAT__NODE_OP)
            continue;
        uint32_t count = source_partitions(node);
        if (count == 0)
            return 0;
        if (count > widest)
            widest = count;
    }
    return widest;
}

static void count_partitions(cut *c, leat__stage *stage)
{
    const leat__node *first = &c->graph->nodes[stage->nodes[0]];
    bool hash = false, unknown = false;
    uint32_t widest_input = 0;
    for (size_t i = 0; i < c->plan->edge_count; i++) {
        const leat__edge *edge = &c->plan->edges[i];
        if (edge->to_stage != stage->number)
            continue;
        uint32_t count = c->plan->stages[edge->from_stage].partition_count;
        hash |= edge->exchange == LEAT__EXCHANGE_HASH;
        unknown |= count == 0;
        if (count > widest_input)
            widest_input = count;
    }
    if (first->kind < LEAT__NODE_OP)
        stage->partition_count = source_partitions(first);
    else if (hash)
        stage->partition_count = c->graph->opts.partition_count != 0
                                     ? c->graph->opts.partition_count
                                     : widest_source(c->graph);
    else
        stage->partition_count = unknown ? 0 : widest_input;
}

static leat__stage *stage_numbered(leat__plan *plan, uint16_t number, const leat__stage *but)
{
    for (size_t i = 0; i < plan->stage_count; i++)
        if (&plan->stages[i] != but && plan->stages[i].name != NULL &&
            plan->stages[i].state_number == number)
            return &plan->stages[i];
    return NULL;
}

/* Two stages of one number would share their keys on disk.  Where a job has state already, its
 * stages get the numbers that it is stored under when the log is open (engine/operators.h). */
static void number_stages(leat__plan *plan)
{
    for (size_t i = 0; i < plan->stage_count; i++) {
        leat__stage *stage = &plan->stages[i];
        stage->state_number = (uint16_t)(leat__murmur2(stage->name, strlen(stage->name)) & 0xffff);
    }
    for (int with_state = 0; with_state < 2; with_state++)
        for (size_t i = 0; i < plan->stage_count; i++) {
            leat__stage *stage = &plan->stages[i];
            while (stage->has_state == (with_state != 0) &&
                   stage_numbered(plan, stage->state_number, stage) != NULL)
                stage->state_number++;
        }
}

/* ------------------------------------------------------------------ the plan */

static bool has_end(const leat__graph *graph)
{
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind > LEAT__NODE_OP)
            return true;
    return graph->table_count != 0;
}

static void cut_nodes(cut *c)
{
    for (size_t i = 0; i < c->graph->node_count; i++) {
        const leat__node *node = &c->graph->nodes[i];
        if (node->input_count == 0)
            cut_source(c, node);
        else if (node->input_count == 1)
            cut_one_input(c, node);
        else
            cut_union(c, node);
    }
}

static bool has_input_that_ends(const leat__graph *graph)
{
    for (size_t n = 0; n < graph->node_count; n++) {
        const leat__node *node = &graph->nodes[n];
        if (node->kind > LEAT__NODE_SOURCE_ARRAY)
            continue;
        if (node->kind != LEAT__NODE_SOURCE_LOG || node->as.log.until_end)
            return true;
    }
    return false;
}

leat_status leat__graph_cut(const leat__graph *graph, leat__arena *arena, leat__plan *plan,
                            leat_error *error)
{
    if (graph->error.status != LEAT_OK) {
        if (error != NULL)
            *error = graph->error;
        return graph->error.status;
    }
    if (!has_end(graph))
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, graph->opts.name,
                          "nothing leaves this job; add a sink (leat_to_log) or a "
                          "leat_global_table");
    if (graph->opts.drain && !has_input_that_ends(graph))
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, graph->opts.name,
                          "is to drain at the end of its input (W5), but no source has one; set "
                          ".until_end (--until-end) too");
    size_t n = graph->node_count + 1; /* an arena gives no memory for nothing */
    *plan = (leat__plan){.stages = zeroed(arena, n * sizeof *plan->stages),
                         .edges = zeroed(arena, 2 * n * sizeof *plan->edges)};
    cut c = {.graph = graph,
             .arena = arena,
             .plan = plan,
             .place = zeroed(arena, n * sizeof(uint32_t)),
             .behind = zeroed(arena, n * sizeof(uint32_t)),
             .exchanged = zeroed(arena, n * sizeof(bool)),
             .spread = zeroed(arena, n * sizeof(leat_str))};
    for (size_t i = 0; i < n; i++)
        c.behind[i] = no_stage;
    cut_nodes(&c);
    for (size_t i = 0; i < plan->stage_count; i++) {
        describe_stage(&c, &plan->stages[i]);
        count_partitions(&c, &plan->stages[i]);
    }
    number_stages(plan);
    return LEAT_OK;
}

leat_status leat__graph_plan(leat__graph *graph, leat_error *error)
{
    if (graph->planned)
        return LEAT_OK;
    leat_error found = {0};
    leat_status status = leat__graph_cut(graph, &graph->arena, &graph->plan, &found);
    if (status == LEAT_OK)
        graph->planned = true;
    else if (graph->error.status == LEAT_OK)
        graph->error = found; /* sticky, as every mistake in building is */
    if (status != LEAT_OK && error != NULL)
        *error = found;
    return status;
}

const char *leat__exchange_name(leat__exchange exchange)
{
    return exchange == LEAT__EXCHANGE_HASH ? "hash" : "forward";
}
