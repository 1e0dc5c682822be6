/* graph/explain_text.c - the plan as a drawing for a terminal.
 *
 *   ┌─ stage 0  clicks ── partitions: as topic clicks
 *   │  source   clicks
 *   │             out             click
 *   └─
 *        ║ hash  key-by-user ═► count   click by user
 *        ▼
 *   ┌─ stage 1  count ── ...
 */
#include "graph/explain.h"
#include <string.h>

static const char *input_name(const leat__picture *picture, leat__input from)
{
    return picture->graph->nodes[from.node].name;
}

static void append_inputs(leat__picture *picture, const leat__node *node)
{
    for (size_t i = 0; i < node->input_count; i++) {
        leat__input from = node->inputs[i];
        leat__buffer_format(picture->out, "%s%s", i == 0 ? "  ◄─ " : " + ",
                            input_name(picture, from));
        if (from.output != 0) {
            const leat__op_spec *spec = &picture->graph->nodes[from.node].as.op;
            leat__buffer_format(picture->out, "(%s)", spec->side[from.output - 1].name);
        }
    }
}

static void append_node(leat__picture *picture, const leat__node *node, const char *margin)
{
    leat__fact facts[LEAT__FACTS_MAX];
    size_t count = leat__explain_facts(picture, node, facts);
    leat__buffer_format(picture->out, "%s%-10s %s", margin, leat__node_kind_name(node), node->name);
    append_inputs(picture, node);
    leat__buffer_u8(picture->out, '\n');
    for (size_t i = 0; i < count; i++)
        leat__buffer_format(picture->out, "%s             %-15s %s\n", margin, facts[i].label,
                            facts[i].text);
}

static void append_stage(leat__picture *picture, const leat__stage *stage)
{
    leat__buffer_format(picture->out, "  ┌─ stage %u  %s ── partitions: %s", stage->number,
                        stage->name, leat__partitions_text(picture, stage));
    if (stage->has_state)
        leat__buffer_format(picture->out, " ── state number %u", (unsigned)stage->state_number);
    leat__buffer_u8(picture->out, '\n');
    for (size_t i = 0; i < stage->node_count; i++)
        append_node(picture, &picture->graph->nodes[stage->nodes[i]], "  │  ");
    leat__buffer_text(picture->out, "  └─\n");
}

/* Exchanges stand above the stage that they lead to. */
static void append_exchanges(leat__picture *picture, uint32_t to_stage)
{
    bool any = false;
    for (size_t i = 0; i < picture->plan->edge_count; i++) {
        const leat__edge *edge = &picture->plan->edges[i];
        if (edge->to_stage != to_stage)
            continue;
        const leat__node *from = &picture->graph->nodes[edge->from.node];
        leat__buffer_format(picture->out, "       ║ %-8s%s (stage %u) ═► %s   %s",
                            leat__exchange_name(edge->exchange), from->name, edge->from_stage,
                            picture->graph->nodes[edge->to_node].name, edge->type->name);
        if (from->key_of.data != NULL)
            leat__buffer_format(picture->out, " by %s", from->key_of.data);
        const char *topic = leat__exchange_topic(picture, edge);
        if (topic != NULL)
            leat__buffer_format(picture->out, ", through topic %s", topic);
        leat__buffer_u8(picture->out, '\n');
        any = true;
    }
    leat__buffer_text(picture->out, any ? "       ▼\n" : "\n");
}

static void append_tables(leat__picture *picture)
{
    for (size_t i = 0; i < picture->graph->table_count; i++) {
        const leat__graph_table *table = &picture->graph->tables[i];
        leat__buffer_format(picture->out,
                            "\n  table      %s\n             topic           %s, %s%s\n"
                            "             type            %s\n"
                            "             on error        %s\n",
                            table->name, table->table.topic, leat__format_name(table->table.format),
                            table->table.compacted ? ", compacted" : "", table->table.type->name,
                            leat__on_error_name(table->table.on_error));
    }
}

static void append_options(leat__picture *picture)
{
    const leat_job_opts *opts = &picture->graph->opts;
    const char *log = opts->log != NULL          ? opts->log
                      : opts->log_handle != NULL ? "the program's own"
                                                 : "private, in memory";
    leat__buffer_format(picture->out, "  log           %s\n  state         %s\n", log,
                        opts->state_dir != NULL ? opts->state_dir
                                                : "in memory, restored from the log");
    leat__buffer_format(picture->out, "  dead letters  %s\n", opts->dead_letters);
}

static void append_mistake(leat__picture *picture)
{
    leat__buffer_format(picture->out, "  mistake in %s: %s\n\n", picture->error.where,
                        picture->error.message);
    for (size_t i = 0; i < picture->graph->node_count; i++)
        append_node(picture, &picture->graph->nodes[i], "  ");
}

void leat__explain_text(leat__picture *picture)
{
    const leat__graph *graph = picture->graph;
    const char *name = graph->opts.name != NULL ? graph->opts.name : "(no name)";
    if (picture->plan == NULL) {
        leat__buffer_format(picture->out, "job %s is not valid\n", name);
        append_options(picture);
        append_mistake(picture);
    } else {
        leat__buffer_format(picture->out, "job %s: %zu operators in %zu stages\n", name,
                            graph->node_count, picture->plan->stage_count);
        append_options(picture);
        for (uint32_t i = 0; i < picture->plan->stage_count; i++) {
            append_exchanges(picture, i);
            append_stage(picture, &picture->plan->stages[i]);
        }
    }
    append_tables(picture);
}
