/* graph/explain_dot.c - the plan for graphviz (dot -Tsvg). Stages are boxes, exchanges bold edges.
 */
#include "graph/explain.h"
#include <string.h>

static void append_escaped(leat__buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            leat__buffer_u8(out, '\\');
        leat__buffer_u8(out, (uint8_t)*text);
    }
}

static void append_node(leat__picture *picture, const leat__node *node)
{
    leat__fact facts[LEAT__FACTS_MAX];
    size_t count = leat__explain_facts(picture, node, facts);
    leat__buffer *out = picture->out;
    leat__buffer_format(out, "    n%u [label=\"%s ", node->id, leat__node_kind_name(node));
    append_escaped(out, node->name);
    for (size_t i = 0; i < count; i++) {
        leat__buffer_format(out, "\\n%s: ", facts[i].label);
        append_escaped(out, facts[i].text);
    }
    leat__buffer_text(out, "\"];\n");
}

static void append_label(leat__picture *picture, leat__input from)
{
    const leat__node *node = &picture->graph->nodes[from.node];
    if (from.output != 0)
        append_escaped(picture->out, node->as.op.side[from.output - 1].name);
    else if (node->type != NULL)
        append_escaped(picture->out, node->type->name);
}

static const leat__edge *exchange_at(const leat__plan *plan, leat__input from, uint32_t to_node)
{
    for (size_t i = 0; plan != NULL && i < plan->edge_count; i++) {
        const leat__edge *edge = &plan->edges[i];
        if (edge->to_node == to_node && edge->from.node == from.node &&
            edge->from.output == from.output)
            return edge;
    }
    return NULL;
}

static void append_edges(leat__picture *picture, const leat__node *node)
{
    for (size_t i = 0; i < node->input_count; i++) {
        const leat__edge *edge = exchange_at(picture->plan, node->inputs[i], node->id);
        leat__buffer_format(picture->out, "  n%u -> n%u [label=\"", node->inputs[i].node, node->id);
        append_label(picture, node->inputs[i]);
        const char *topic = edge != NULL ? leat__exchange_topic(picture, edge) : NULL;
        if (edge != NULL)
            leat__buffer_format(picture->out, "\\n%s", leat__exchange_name(edge->exchange));
        if (topic != NULL) {
            leat__buffer_text(picture->out, "\\n");
            append_escaped(picture->out, topic);
        }
        leat__buffer_text(picture->out, edge != NULL ? "\" style=bold];\n" : "\"];\n");
    }
}

static void append_stage(leat__picture *picture, const leat__stage *stage)
{
    leat__buffer_format(picture->out,
                        "  subgraph cluster_%u {\n    label=\"stage %u: ", stage->number,
                        stage->number);
    append_escaped(picture->out, stage->name);
    leat__buffer_format(picture->out, "\\npartitions: %s\";\n",
                        leat__partitions_text(picture, stage));
    for (size_t i = 0; i < stage->node_count; i++)
        append_node(picture, &picture->graph->nodes[stage->nodes[i]]);
    leat__buffer_text(picture->out, "  }\n");
}

void leat__explain_dot(leat__picture *picture)
{
    const leat__graph *graph = picture->graph;
    leat__buffer *out = picture->out;
    leat__buffer_text(out, "digraph \"");
    append_escaped(out, graph->opts.name != NULL ? graph->opts.name : "");
    leat__buffer_text(out, "\" {\n  rankdir=LR;\n  node [shape=box];\n");
    if (picture->plan == NULL) {
        leat__buffer_text(out, "  mistake [shape=note color=red label=\"");
        append_escaped(out, picture->error.where);
        leat__buffer_text(out, ": ");
        append_escaped(out, picture->error.message);
        leat__buffer_text(out, "\"];\n");
        for (size_t i = 0; i < graph->node_count; i++)
            append_node(picture, &graph->nodes[i]);
    } else {
        for (size_t i = 0; i < picture->plan->stage_count; i++)
            append_stage(picture, &picture->plan->stages[i]);
    }
    for (size_t i = 0; i < graph->node_count; i++)
        append_edges(picture, &graph->nodes[i]);
    for (size_t i = 0; i < graph->table_count; i++) {
        leat__buffer_format(out, "  t%zu [shape=cylinder label=\"table ", i);
        append_escaped(out, graph->tables[i].name);
        leat__buffer_text(out, "\\ntopic: ");
        append_escaped(out, graph->tables[i].table.topic);
        leat__buffer_text(out, "\"];\n");
    }
    leat__buffer_text(out, "}\n");
}
