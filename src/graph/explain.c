/* graph/explain.c - leat_job_explain, and the facts about a node that a person wants to see. */
#include "graph/explain.h"
#include "base/log_line.h"
#include "window/window.h"
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* ------------------------------------------------------------------ names */

const char *leat__node_kind_name(const leat__node *node)
{
    if (node->kind == LEAT__NODE_OP)
        return node->as.op.class->kind;
    return node->kind < LEAT__NODE_OP ? "source" : "sink";
}

const char *leat__format_name(leat_format format)
{
    return format == LEAT_JSON ? "json" : "binary";
}

const char *leat__on_error_name(leat_on_error on_error)
{
    static const char *const names[] = {"stop", "skip", "dead letter"};
    return names[on_error];
}

const char *leat__state_kind_name(leat__state_kind kind)
{
    return kind == LEAT__VALUE ? "value" : kind == LEAT__LIST ? "list" : "map";
}

const char *leat__slot_short_name(const leat__op_spec *spec, const leat__slot *slot)
{
    return slot->name + strlen(spec->name) + 1; /* "operator/slot" */
}

uint32_t leat__stage_of(const leat__plan *plan, uint32_t node)
{
    for (size_t i = 0; plan != NULL && i < plan->stage_count; i++)
        for (size_t j = 0; j < plan->stages[i].node_count; j++)
            if (plan->stages[i].nodes[j] == node)
                return plan->stages[i].number;
    return UINT32_MAX;
}

/* ------------------------------------------------------------------ texts */

static const char *text_of(leat__picture *picture, const char *format, ...) LEAT_PRINTF(2, 3);

static const char *text_of(leat__picture *picture, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return leat__arena_copy(picture->arena, text, strlen(text) + 1);
}

/* In the largest unit that divides it: 90000 is "90 s", 3600000 "1 h". */
static const char *duration(leat__picture *picture, int64_t duration_ms)
{
    static const struct {
        int64_t unit_ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    while (duration_ms == 0 ? i < 4 : duration_ms % units[i].unit_ms != 0)
        i++;
    return text_of(picture, "%" PRId64 " %s", duration_ms / units[i].unit_ms, units[i].name);
}

const char *leat__partitions_text(leat__picture *picture, const leat__stage *stage)
{
    if (stage->partition_count != 0)
        return text_of(picture, "%u", stage->partition_count);
    const leat__node *first = &picture->graph->nodes[stage->nodes[0]];
    if (first->kind == LEAT__NODE_SOURCE_LOG)
        return text_of(picture, "as topic %s", first->as.log.topic);
    return "as the widest source";
}

const char *leat__exchange_topic(leat__picture *picture, const leat__edge *edge)
{
    if (edge->exchange != LEAT__EXCHANGE_HASH ||
        leat__graph_exchange(picture->graph) != LEAT_EXCHANGE_LOG)
        return NULL;
    return text_of(picture, "%s-%s-repartition", picture->graph->opts.name,
                   picture->plan->stages[edge->to_stage].name);
}

/* ------------------------------------------------------------------ facts */

typedef struct facts {
    leat__picture *picture;
    leat__fact *list;
    size_t count;
} facts;

static void fact(facts *f, const char *label, const char *text)
{
    if (f->count < LEAT__FACTS_MAX)
        f->list[f->count++] = (leat__fact){label, text};
}

static void fact_time(facts *f, const leat__node *node, const char *otherwise,
                      int64_t out_of_order_ms)
{
    const char *field = node->time_field != NULL ? node->time_field->name : otherwise;
    fact(f, "time",
         text_of(f->picture, "%s, at most %s out of order", field,
                 duration(f->picture, out_of_order_ms)));
    if (node->partitioned_by != NULL)
        fact(f, "partitioned by", node->partitioned_by->name);
}

static void source_facts(facts *f, const leat__node *node)
{
    if (node->kind == LEAT__NODE_SOURCE_GENERATOR) {
        const leat_generator *generator = &node->as.generator;
        fact(f, "generates", text_of(f->picture, "%u partitions", generator->partition_count));
        fact_time(f, node, "the index", generator->out_of_order_ms);
        return;
    }
    if (node->kind == LEAT__NODE_SOURCE_ARRAY) {
        fact(f, "array", text_of(f->picture, "%zu records", node->as.array.count));
        fact_time(f, node, "the index", node->as.array.out_of_order_ms);
        return;
    }
    const leat_log_source *source = &node->as.log;
    fact(f, "topic",
         text_of(f->picture, "%s, %s%s", source->topic,
                 source->decode != NULL ? "own decoder" : leat__format_name(source->format),
                 !source->until_end              ? ""
                 : f->picture->graph->opts.drain ? ", until its end, drained there"
                                                 : ", until its end"));
    fact_time(f, node, "the log record's timestamp", source->out_of_order_ms);
    if (source->idle_ms != 0)
        fact(f, "idle after", duration(f->picture, source->idle_ms));
    fact(f, "on error", leat__on_error_name(source->on_error));
}

static void slot_fact(facts *f, const leat__op_spec *spec, const leat__slot *slot)
{
    leat__picture *p = f->picture;
    const char *of = slot->kind == LEAT__MAP ? slot->map_key->name : "";
    const char *kept = spec->class == &leat__op_window ? "until its clean-up" : "for ever";
    if (slot->ttl_ms != 0)
        kept = text_of(p, "%s after %s (%s time)", duration(p, slot->ttl_ms),
                       slot->ttl_on_read ? "use" : "writing",
                       slot->ttl_domain == LEAT__EVENT_TIME ? "event" : "processing");
    fact(f, "state",
         text_of(p, "%s: %s%s%s %s %s, %s", leat__slot_short_name(spec, slot),
                 leat__state_kind_name(slot->kind), of[0] != '\0' ? " " : "", of,
                 slot->kind == LEAT__MAP ? "to" : "of", slot->type->name, kept));
}

static const char *timer_names(facts *f, const leat__op_spec *spec)
{
    const char *names = spec->timer[0];
    for (size_t i = 1; i < spec->timer_count; i++)
        names = text_of(f->picture, "%s, %s", names, spec->timer[i]);
    return names;
}

static void op_facts(facts *f, const leat__op_spec *spec)
{
    leat__picture *p = f->picture;
    if (spec->class == &leat__op_window) {
        const leat_window *window = &spec->config.aggregate.window;
        fact(f, "window",
             text_of(p, "%s %s, lateness %s", leat__window_kind_name(window->kind),
                     duration(p, window->size_ms), duration(p, window->lateness_ms)));
    }
    for (size_t i = 0; i < spec->slot_count; i++)
        slot_fact(f, spec, &spec->slot[i]);
    if (spec->timer_count != 0)
        fact(f, "timers", timer_names(f, spec));
    for (size_t i = 0; i < LEAT_SLOTS_MAX && spec->side[i].type != NULL; i++)
        fact(f, "side output",
             text_of(p, "%zu %s: %s", i, spec->side[i].name, spec->side[i].type->name));
    if (spec->class == &leat__op_process || spec->on_error != LEAT_ON_ERROR_STOP)
        fact(f, "on error", leat__on_error_name(spec->on_error));
}

static void sink_facts(facts *f, const leat__node *node)
{
    if (node->kind == LEAT__NODE_SINK_FN)
        fact(f, "calls", "a function, after the commit");
    if (node->kind == LEAT__NODE_SINK_FILE)
        fact(f, "writes", "json lines, after the commit");
    if (node->kind != LEAT__NODE_SINK_LOG)
        return;
    const leat_log_sink *sink = &node->as.sink;
    fact(f, "topic",
         text_of(f->picture, "%s, %s%s", sink->topic, leat__format_name(sink->format),
                 sink->compacted ? ", compacted" : ""));
    fact(f, "key",
         sink->key != NULL           ? sink->key
         : node->key_of.data != NULL ? "the stream's"
                                     : "none");
}

size_t leat__explain_facts(leat__picture *picture, const leat__node *node,
                           leat__fact list[LEAT__FACTS_MAX])
{
    facts f = {.picture = picture, .list = list};
    if (node->type != NULL && node->kind <= LEAT__NODE_OP)
        fact(&f, "out",
             node->key_of.data == NULL
                 ? node->type->name
                 : text_of(picture, "%s by %s", node->type->name, node->key_of.data));
    if (node->kind < LEAT__NODE_OP)
        source_facts(&f, node);
    else if (node->kind == LEAT__NODE_OP)
        op_facts(&f, &node->as.op);
    else
        sink_facts(&f, node);
    return f.count;
}

/* ------------------------------------------------------------------ entry */

/* The job is const, so a plan that does not exist yet is made aside. */
void leat_job_explain(const leat_job *job, leat_explain_format format, FILE *file)
{
    if (job == NULL || file == NULL || (unsigned)format > LEAT_EXPLAIN_DOT) {
        leat__log_line(LEAT__ERROR, "job",
                       "leat_job_explain: the job or the file is NULL, or the format unknown; "
                       "nothing is written");
        return;
    }
    leat__arena arena = {0};
    leat__buffer out = {0};
    leat__plan plan;
    leat__picture picture = {.graph = &job->graph, .arena = &arena, .out = &out};
    if (job->graph.planned)
        picture.plan = &job->graph.plan;
    else if (leat__graph_cut(&job->graph, &arena, &plan, &picture.error) == LEAT_OK)
        picture.plan = &plan;
    if (format == LEAT_EXPLAIN_JSON)
        leat__explain_json(&picture);
    else if (format == LEAT_EXPLAIN_DOT)
        leat__explain_dot(&picture);
    else
        leat__explain_text(&picture);
    (void)fwrite(out.data, 1, out.length, file); /* whoever gave the file asks ferror() */
    leat__buffer_free(&out);
    leat__arena_free(&arena);
}
