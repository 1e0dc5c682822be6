/* graph/explain_json.c - the plan as one JSON object; names are those of leat/job.h.
 *
 *   {"job", "valid", "error": null | {...}, "options": {...}, "operators": [...], "stages": [...],
 *    "exchanges": [...], "tables": [...]}
 *
 * A job that is not valid has its operators as far as they were built, and no stages.
 */
#include "graph/explain.h"
#include "window/window.h"

typedef struct json {
    leat__buffer *out;
    bool first; /* of the innermost object or array */
} json;

static void item(json *j)
{
    if (!j->first)
        leat__buffer_u8(j->out, ',');
    j->first = false;
}

static void member(json *j, const char *name)
{
    item(j);
    leat__buffer_json_str(j->out, leat_str_from(name));
    leat__buffer_u8(j->out, ':');
}

static void opened(json *j, char bracket)
{
    leat__buffer_u8(j->out, (uint8_t)bracket);
    j->first = true;
}

static void closed(json *j, char bracket)
{
    leat__buffer_u8(j->out, (uint8_t)bracket);
    j->first = false;
}

static void text(json *j, const char *name, const char *value)
{ /* NULL: null */
    member(j, name);
    if (value == NULL)
        leat__buffer_text(j->out, "null");
    else
        leat__buffer_json_str(j->out, leat_str_from(value));
}

static void number(json *j, const char *name, int64_t value)
{
    member(j, name);
    leat__buffer_i64_text(j->out, value);
}

static void truth(json *j, const char *name, bool value)
{
    member(j, name);
    leat__buffer_text(j->out, value ? "true" : "false");
}

/* ------------------------------------------------------------------ operators */

static void write_inputs(json *j, const leat__picture *picture, const leat__node *node)
{
    member(j, "inputs");
    opened(j, '[');
    for (size_t i = 0; i < node->input_count; i++) {
        item(j);
        opened(j, '{');
        text(j, "operator", picture->graph->nodes[node->inputs[i].node].name);
        number(j, "output", node->inputs[i].output);
        closed(j, '}');
    }
    closed(j, ']');
}

static void write_times(json *j, const leat__node *node, int64_t out_of_order_ms)
{
    text(j, "time_field", node->time_field != NULL ? node->time_field->name : NULL);
    number(j, "out_of_order_ms", out_of_order_ms);
    text(j, "partitioned_by", node->partitioned_by != NULL ? node->partitioned_by->name : NULL);
}

static void write_source(json *j, const leat__node *node)
{
    if (node->kind == LEAT__NODE_SOURCE_GENERATOR) {
        number(j, "partition_count", node->as.generator.partition_count);
        write_times(j, node, node->as.generator.out_of_order_ms);
    } else if (node->kind == LEAT__NODE_SOURCE_ARRAY) {
        number(j, "count", (int64_t)node->as.array.count);
        write_times(j, node, node->as.array.out_of_order_ms);
    } else {
        const leat_log_source *source = &node->as.log;
        text(j, "topic", source->topic);
        text(j, "format", source->decode != NULL ? "decoder" : leat__format_name(source->format));
        write_times(j, node, source->out_of_order_ms);
        number(j, "idle_ms", source->idle_ms);
        truth(j, "until_end", source->until_end);
        text(j, "on_error", leat__on_error_name(source->on_error));
    }
}

static void write_slot(json *j, const leat__op_spec *spec, const leat__slot *slot)
{
    item(j);
    opened(j, '{');
    text(j, "name", leat__slot_short_name(spec, slot));
    text(j, "kind", leat__state_kind_name(slot->kind));
    text(j, "type", slot->type->name);
    text(j, "map_key", slot->map_key != NULL ? slot->map_key->name : NULL);
    number(j, "ttl_ms", slot->ttl_ms);
    truth(j, "ttl_on_read", slot->ttl_on_read);
    truth(j, "ttl_processing_time", slot->ttl_domain == LEAT__PROCESSING_TIME);
    closed(j, '}');
}

static void write_window(json *j, const leat_window *window)
{
    member(j, "window");
    opened(j, '{');
    text(j, "kind", leat__window_kind_name(window->kind));
    number(j, "size_ms", window->size_ms);
    number(j, "offset_ms", window->offset_ms);
    number(j, "lateness_ms", window->lateness_ms);
    closed(j, '}');
}

static void write_op(json *j, const leat__op_spec *spec)
{
    if (spec->class == &leat__op_window)
        write_window(j, &spec->config.aggregate.window);
    member(j, "state");
    opened(j, '[');
    for (size_t i = 0; i < spec->slot_count; i++)
        write_slot(j, spec, &spec->slot[i]);
    closed(j, ']');
    member(j, "timers");
    opened(j, '[');
    for (size_t i = 0; i < spec->timer_count; i++) {
        item(j);
        leat__buffer_json_str(j->out, leat_str_from(spec->timer[i]));
    }
    closed(j, ']');
    member(j, "side_outputs");
    opened(j, '[');
    for (size_t i = 0; i < LEAT_SLOTS_MAX && spec->side[i].type != NULL; i++) {
        item(j);
        opened(j, '{');
        text(j, "name", spec->side[i].name);
        text(j, "type", spec->side[i].type->name);
        closed(j, '}');
    }
    closed(j, ']');
    text(j, "on_error", leat__on_error_name(spec->on_error));
}

static void write_sink(json *j, const leat__node *node)
{
    if (node->kind != LEAT__NODE_SINK_LOG) {
        text(j, "to", node->kind == LEAT__NODE_SINK_FN ? "function" : "file");
        return;
    }
    text(j, "topic", node->as.sink.topic);
    text(j, "format", leat__format_name(node->as.sink.format));
    text(j, "key_field", node->as.sink.key);
    truth(j, "compacted", node->as.sink.compacted);
}

static void write_node(json *j, const leat__picture *picture, const leat__node *node)
{
    uint32_t stage = leat__stage_of(picture->plan, node->id);
    item(j);
    opened(j, '{');
    text(j, "name", node->name);
    text(j, "kind", leat__node_kind_name(node));
    write_inputs(j, picture, node);
    text(j, "type", node->type != NULL ? node->type->name : NULL);
    text(j, "key", node->key_of.data);
    if (stage != UINT32_MAX)
        number(j, "stage", stage);
    if (node->kind < LEAT__NODE_OP)
        write_source(j, node);
    else if (node->kind == LEAT__NODE_OP)
        write_op(j, &node->as.op);
    else
        write_sink(j, node);
    closed(j, '}');
}

/* ------------------------------------------------------------------ the rest */

static void write_stage(json *j, const leat__picture *picture, const leat__stage *stage)
{
    item(j);
    opened(j, '{');
    number(j, "number", stage->number);
    text(j, "name", stage->name);
    number(j, "state_number", stage->state_number);
    truth(j, "has_state", stage->has_state);
    number(j, "partition_count", stage->partition_count);
    member(j, "operators");
    opened(j, '[');
    for (size_t i = 0; i < stage->node_count; i++) {
        item(j);
        leat__buffer_json_str(j->out, leat_str_from(picture->graph->nodes[stage->nodes[i]].name));
    }
    closed(j, ']');
    closed(j, '}');
}

static void write_edge(json *j, leat__picture *picture, const leat__edge *edge)
{
    const leat__node *nodes = picture->graph->nodes;
    item(j);
    opened(j, '{');
    text(j, "kind", leat__exchange_name(edge->exchange));
    number(j, "from_stage", edge->from_stage);
    number(j, "to_stage", edge->to_stage);
    text(j, "from", nodes[edge->from.node].name);
    number(j, "output", edge->from.output);
    text(j, "to", nodes[edge->to_node].name);
    text(j, "type", edge->type->name);
    text(j, "key", nodes[edge->from.node].key_of.data);
    text(j, "topic", leat__exchange_topic(picture, edge));
    closed(j, '}');
}

static void write_plan(json *j, leat__picture *picture)
{
    const leat__plan *plan = picture->plan;
    member(j, "stages");
    opened(j, '[');
    for (size_t i = 0; plan != NULL && i < plan->stage_count; i++)
        write_stage(j, picture, &plan->stages[i]);
    closed(j, ']');
    member(j, "exchanges");
    opened(j, '[');
    for (size_t i = 0; plan != NULL && i < plan->edge_count; i++)
        write_edge(j, picture, &plan->edges[i]);
    closed(j, ']');
}

static void write_tables(json *j, const leat__graph *graph)
{
    member(j, "tables");
    opened(j, '[');
    for (size_t i = 0; i < graph->table_count; i++) {
        const leat_table *table = &graph->tables[i].table;
        item(j);
        opened(j, '{');
        text(j, "name", graph->tables[i].name);
        text(j, "topic", table->topic);
        text(j, "type", table->type->name);
        text(j, "format", leat__format_name(table->format));
        text(j, "on_error", leat__on_error_name(table->on_error));
        truth(j, "compacted", table->compacted);
        closed(j, '}');
    }
    closed(j, ']');
}

static void write_options(json *j, const leat__graph *graph)
{
    const leat_job_opts *opts = &graph->opts;
    bool log = leat__graph_exchange(graph) == LEAT_EXCHANGE_LOG;
    member(j, "options");
    opened(j, '{');
    text(j, "log", opts->log);
    text(j, "state_dir", opts->state_dir);
    text(j, "snapshot_dir", opts->snapshot_dir);
    text(j, "instance", opts->instance);
    text(j, "advertise", opts->advertise);
    number(j, "worker_count", opts->worker_count);
    number(j, "partition_count", opts->partition_count);
    text(j, "exchange", log ? "log" : "memory");
    number(j, "epoch_ms", opts->epoch_ms);
    number(j, "backlog_epoch_ms", opts->backlog_epoch_ms);
    number(j, "memory_bytes", (int64_t)opts->memory_bytes);
    number(j, "buffer_bytes", (int64_t)opts->buffer_bytes);
    number(j, "cache_bytes", (int64_t)opts->cache_bytes);
    text(j, "dead_letters", opts->dead_letters);
    truth(j, "drain", opts->drain);
    number(j, "max_ahead_ms", opts->max_ahead_ms);
    number(j, "restart_limit", opts->restart_limit);
    closed(j, '}');
}

static void write_error(json *j, const leat_error *error)
{
    member(j, "error");
    if (error->status == LEAT_OK) {
        leat__buffer_text(j->out, "null");
        return;
    }
    opened(j, '{');
    text(j, "operator", error->where);
    text(j, "status", leat_status_name(error->status));
    text(j, "message", error->message);
    closed(j, '}');
}

void leat__explain_json(leat__picture *picture)
{
    const leat__graph *graph = picture->graph;
    json j = {.out = picture->out};
    opened(&j, '{');
    text(&j, "job", graph->opts.name);
    truth(&j, "valid", picture->plan != NULL);
    write_error(&j, &picture->error);
    write_options(&j, graph);
    member(&j, "operators");
    opened(&j, '[');
    for (size_t i = 0; i < graph->node_count; i++)
        write_node(&j, picture, &graph->nodes[i]);
    closed(&j, ']');
    write_plan(&j, picture);
    write_tables(&j, graph);
    closed(&j, '}');
    leat__buffer_u8(picture->out, '\n');
}
