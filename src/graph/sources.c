/* graph/sources.c - where records come from: log topics, generators, arrays, global tables. */
#include "base/mem.h"
#include "graph/builder.h"
#include <string.h>

/* Sets the fields that give event time and partitioning; NULL names are fine. */
static bool take_fields(leat__draft *draft, const char *time_field, const char *partitioned_by)
{
    leat__node *node = &draft->node;
    if (time_field != NULL) {
        node->time_field = leat__build_time_field(draft, node->type, time_field);
        if (node->time_field == NULL)
            return false;
    }
    if (partitioned_by != NULL) {
        node->partitioned_by =
            leat__build_key_field(draft, node->type, "partitioned_by", partitioned_by);
        if (node->partitioned_by == NULL)
            return false;
    }
    return true;
}

/* Offsets are committed per topic, so two readers of one topic would overwrite each other's. */
static bool topic_unread(leat__draft *draft, const char *topic)
{
    for (size_t i = 0; i < draft->graph->node_count; i++) {
        const leat__node *other = &draft->graph->nodes[i];
        if (other->kind == LEAT__NODE_SOURCE_LOG && strcmp(other->as.log.topic, topic) == 0)
            return leat__build_fail(draft, LEAT_EGRAPH,
                                    "topic '%s' is read by source '%s' "
                                    "already; use that stream a second time",
                                    topic, other->name);
    }
    return true;
}

/* The reader of binary records, made last: a draft that is dropped would leak it. */
static bool take_layouts(leat__draft *draft, leat_format format, const leat_type *type,
                         const char *const *former, const char *headless,
                         leat__headed_reader **reader)
{
    leat_error error = {0};
    *reader = NULL;
    if (format != LEAT_BINARY)
        return (former == NULL && headless == NULL) ||
               leat__build_fail(draft, LEAT_EINVAL,
                                "former_layouts and headless_layout are for LEAT_BINARY; set "
                                ".format, or leave them out");
    *reader = leat__headed_reader_new(type, former, headless, &error);
    return *reader != NULL || leat__build_fail(draft, error.status, "%s", error.message);
}

leat_stream leat_from_log(leat_job *job, const char *name, const leat_type *type,
                          const leat_log_source *source)
{
    leat__draft draft;
    if (!leat__build_source(&draft, job, name, type, LEAT__NODE_SOURCE_LOG))
        return leat__build_nothing(&draft);
    static const leat_log_source empty;
    if (source == NULL)
        source = &empty;
    if (!leat__build_topic_ok(&draft, source->topic) || !topic_unread(&draft, source->topic) ||
        !leat__build_format_ok(&draft, source->format) ||
        !leat__build_not_negative(&draft, "out_of_order_ms", source->out_of_order_ms) ||
        !leat__build_not_negative(&draft, "idle_ms", source->idle_ms) ||
        !leat__build_on_error_ok(&draft, source->on_error) ||
        !take_fields(&draft, source->time_field, source->partitioned_by) ||
        !take_layouts(&draft, source->format, type, source->former_layouts, source->headless_layout,
                      &draft.node.binary))
        return leat__build_nothing(&draft);
    leat_log_source *own = &draft.node.as.log;
    *own = *source;
    own->topic = leat__build_text(draft.graph, source->topic);
    own->time_field = leat__build_text(draft.graph, source->time_field);
    own->partitioned_by = leat__build_text(draft.graph, source->partitioned_by);
    return leat__build_done(&draft);
}

leat_stream leat_from_generator(leat_job *job, const char *name, const leat_type *type,
                                const leat_generator *generator)
{
    leat__draft draft;
    if (!leat__build_source(&draft, job, name, type, LEAT__NODE_SOURCE_GENERATOR))
        return leat__build_nothing(&draft);
    if (generator == NULL || generator->generate == NULL) {
        (void)leat__build_fail(&draft, LEAT_EINVAL, "needs a function; set .generate");
        return leat__build_nothing(&draft);
    }
    if (!leat__build_partitions_ok(&draft, generator->partition_count) ||
        !leat__build_not_negative(&draft, "out_of_order_ms", generator->out_of_order_ms) ||
        !leat__build_on_error_ok(&draft, generator->on_error) ||
        !take_fields(&draft, generator->time_field, generator->partitioned_by))
        return leat__build_nothing(&draft);
    leat_generator *own = &draft.node.as.generator;
    *own = *generator;
    if (own->partition_count == 0)
        own->partition_count = 1;
    own->time_field = leat__build_text(draft.graph, generator->time_field);
    own->partitioned_by = leat__build_text(draft.graph, generator->partitioned_by);
    return leat__build_done(&draft);
}

leat_stream leat_from_array(leat_job *job, const char *name, const leat_type *type,
                            const leat_array *array)
{
    leat__draft draft;
    if (!leat__build_source(&draft, job, name, type, LEAT__NODE_SOURCE_ARRAY))
        return leat__build_nothing(&draft);
    static const leat_array empty;
    if (array == NULL)
        array = &empty;
    if (array->records == NULL && array->count != 0) {
        (void)leat__build_fail(&draft, LEAT_EINVAL, "has a count but no records; set .records");
        return leat__build_nothing(&draft);
    }
    if (!leat__build_not_negative(&draft, "out_of_order_ms", array->out_of_order_ms) ||
        !leat__build_on_error_ok(&draft, array->on_error) ||
        !take_fields(&draft, array->time_field, NULL))
        return leat__build_nothing(&draft);
    draft.node.as.array = *array;
    draft.node.as.array.time_field = leat__build_text(draft.graph, array->time_field);
    return leat__build_done(&draft);
}

/* ------------------------------------------------------------------ global tables */

static bool table_ok(leat__draft *draft, const leat_table *table)
{
    leat__graph *graph = draft->graph;
    if (!leat__build_name_ok(graph, "table", "table", draft->node.name))
        return false;
    for (size_t i = 0; i < graph->table_count; i++)
        if (strcmp(graph->tables[i].name, draft->node.name) == 0)
            return leat__build_fail(draft, LEAT_EGRAPH,
                                    "another table has this name already; "
                                    "choose another");
    if (table == NULL || table->on_record == NULL)
        return leat__build_fail(draft, LEAT_EINVAL, "needs a function; set .on_record");
    return leat__build_topic_ok(draft, table->topic) &&
           leat__build_type_ok(draft, "a record type (.type)", table->type) &&
           leat__build_format_ok(draft, table->format) &&
           leat__build_on_error_ok(draft, table->on_error) &&
           leat__build_partitions_ok(draft, table->partition_count);
}

void leat_global_table(leat_job *job, const char *name, const leat_table *table)
{
    if (!leat__build_may(job))
        return;
    leat__graph *graph = &job->graph;
    leat__draft draft = {.job = job, .graph = graph, .node = {.name = name != NULL ? name : ""}};
    leat__headed_reader *binary;
    if (!table_ok(&draft, table) ||
        !take_layouts(&draft, table->format, table->type, table->former_layouts,
                      table->headless_layout, &binary))
        return;
    graph->tables = leat__realloc(graph->tables, graph->table_count + 1, sizeof *graph->tables);
    leat__graph_table *own = &graph->tables[graph->table_count++];
    *own = (leat__graph_table){
        .name = leat__build_text(graph, name), .table = *table, .binary = binary};
    own->table.topic = leat__build_text(graph, table->topic);
}
