/* graph/builder.c - drafts, checks and the sticky first error (leat/job.h, rule 2).
 *
 * Every message says what is wrong and what to do; the operator's name stands in error.where.
 */
#include "graph/builder.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "record/keys.h"
#include "record/kinds.h"
#include <stdarg.h>
#include <string.h>

/* ------------------------------------------------------------------ errors */

static void keep_first(leat__graph *graph, leat_status status, const char *where,
                       const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void keep_first(leat__graph *graph, leat_status status, const char *where,
                       const char *format, va_list args)
{
    if (graph->error.status != LEAT_OK)
        return;
    char message[sizeof graph->error.message];
    (void)vsnprintf(message, sizeof message, format, args);
    (void)leat__fail(&graph->error, status, LEAT_RECOVERY_FATAL, where, "%s", message);
}

bool leat__build_fail_at(leat__graph *graph, leat_status status, const char *where,
                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep_first(graph, status, where, format, args);
    va_end(args);
    return false;
}

bool leat__build_fail(leat__draft *draft, leat_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep_first(draft->graph, status, draft->node.name, format, args);
    va_end(args);
    return false;
}

/* ------------------------------------------------------------------ texts */

const char *leat__build_text(leat__graph *graph, const char *text)
{
    return text == NULL ? NULL : leat__arena_copy(&graph->arena, text, strlen(text) + 1);
}

const char *leat__build_qualified(leat__draft *draft, const char *part)
{
    size_t size = strlen(draft->node.name) + 1 + strlen(part) + 1;
    char *text = leat__arena_alloc(&draft->graph->arena, size);
    (void)snprintf(text, size, "%s/%s", draft->node.name, part);
    return text;
}

const char *leat__kind_name(leat_kind kind)
{
    return leat__kind_known(kind) ? leat__kinds[kind].name : "unknown kind";
}

/* ------------------------------------------------------------------ names and values */

bool leat__name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool name_text_ok(const char *name, size_t length_max)
{
    size_t length = strlen(name);
    if (length > length_max || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!leat__name_character(name[i]))
            return false;
    return true;
}

/* Names become parts of topic names, of keys on disk and of metric labels: one alphabet for all. */
bool leat__build_name_ok(leat__graph *graph, const char *where, const char *what, const char *name)
{
    if (name == NULL || name[0] == '\0')
        return leat__build_fail_at(graph, LEAT_EINVAL, where, "the %s needs a name", what);
    if (name_text_ok(name, LEAT__NAME_MAX))
        return true;
    return leat__build_fail_at(graph, LEAT_EINVAL, where,
                               "'%s' cannot be the name of the %s; use 1 to %d of a-z, A-Z, 0-9, "
                               "'.', '_' and '-'",
                               name, what, LEAT__NAME_MAX);
}

bool leat__build_topic_ok(leat__draft *draft, const char *topic)
{
    if (topic == NULL || topic[0] == '\0')
        return leat__build_fail(draft, LEAT_EINVAL, "needs a topic; set .topic");
    if (name_text_ok(topic, LEAT__TOPIC_NAME_MAX))
        return true;
    return leat__build_fail(draft, LEAT_EINVAL,
                            "'%s' cannot be a topic; use 1 to %d of a-z, A-Z, 0-9, '.', '_' and "
                            "'-'",
                            topic, LEAT__TOPIC_NAME_MAX);
}

bool leat__build_not_negative(leat__draft *draft, const char *what, int64_t value)
{
    return value >= 0 ||
           leat__build_fail(draft, LEAT_EINVAL, "%s is negative; use 0 or more", what);
}

bool leat__build_on_error_ok(leat__draft *draft, leat_on_error on_error)
{
    return (unsigned)on_error <= LEAT_ON_ERROR_DEAD_LETTER ||
           leat__build_fail(draft, LEAT_EINVAL,
                            "on_error %d is unknown; use LEAT_ON_ERROR_STOP, "
                            "_SKIP or _DEAD_LETTER",
                            (int)on_error);
}

bool leat__build_format_ok(leat__draft *draft, leat_format format)
{
    return (unsigned)format <= LEAT_BINARY ||
           leat__build_fail(draft, LEAT_EINVAL,
                            "format %d is unknown; use LEAT_JSON or "
                            "LEAT_BINARY",
                            (int)format);
}

bool leat__build_partitions_ok(leat__draft *draft, uint32_t partition_count)
{
    return partition_count <= LEAT__PARTITIONS_MAX ||
           leat__build_fail(draft, LEAT_EINVAL, "partition_count %u is too large; use at most %d",
                            partition_count, LEAT__PARTITIONS_MAX);
}

/* ------------------------------------------------------------------ types */

static bool type_same(const leat_type *a, const leat_type *b, int depth)
{
    if (a == b)
        return true;
    if (a == NULL || b == NULL || depth == 0)
        return false;
    if (strcmp(a->name, b->name) != 0 || a->size_bytes != b->size_bytes ||
        a->field_count != b->field_count)
        return false;
    for (uint32_t i = 0; i < a->field_count; i++) {
        const leat_field *x = &a->fields[i], *y = &b->fields[i];
        bool named = x->name != NULL && y->name != NULL;
        if (named ? strcmp(x->name, y->name) != 0 : x->name != y->name)
            return false;
        if (x->kind != y->kind || x->offset_bytes != y->offset_bytes ||
            x->size_bytes != y->size_bytes || x->flags != y->flags ||
            !type_same(x->element, y->element, depth - 1))
            return false;
    }
    return true;
}

bool leat__type_same(const leat_type *a, const leat_type *b)
{
    return type_same(a, b, LEAT__NESTING_MAX);
}

bool leat__build_type_ok(leat__draft *draft, const char *what, const leat_type *type)
{
    if (type == NULL)
        return leat__build_fail(draft, LEAT_EINVAL, "needs %s", what);
    leat_error error = {0};
    leat_status status = leat_type_check(type, &error);
    return status == LEAT_OK || leat__build_fail(draft, status, "%s", error.message);
}

bool leat__build_takes(leat__draft *draft, const leat_type *declared)
{
    if (!leat__build_type_ok(draft, "an input type (.in)", declared))
        return false;
    if (leat__type_same(draft->in, declared))
        return true;
    const char *hint = strcmp(draft->in->name, declared->name) == 0
                           ? "; both have that name but not the same fields"
                           : "; put leat_map() between them or change .in";
    return leat__build_fail(draft, LEAT_ETYPE,
                            "takes records of type '%s' but its input is of "
                            "type '%s'%s",
                            declared->name, draft->in->name, hint);
}

static const leat_field *field_of(leat__draft *draft, const leat_type *type, const char *name)
{
    const leat_field *field = leat_type_field(type, name);
    if (field != NULL)
        return field;
    const char *near = leat_type_nearest(type, name);
    if (near != NULL)
        (void)leat__build_fail(draft, LEAT_EGRAPH,
                               "record '%s' has no field '%s'; did you mean "
                               "'%s'?",
                               type->name, name, near);
    else
        (void)leat__build_fail(draft, LEAT_EGRAPH,
                               "record '%s' has no field '%s'; see its "
                               "LEAT_RECORD for those that it has",
                               type->name, name);
    return NULL;
}

const leat_field *leat__build_key_field(leat__draft *draft, const leat_type *type, const char *use,
                                        const char *name)
{
    if (name == NULL || name[0] == '\0') {
        (void)leat__build_fail(draft, LEAT_EINVAL, "%s needs the name of a field", use);
        return NULL;
    }
    const leat_field *field = field_of(draft, type, name);
    if (field == NULL || leat__key_allowed(field->kind))
        return field;
    (void)leat__build_fail(draft, LEAT_ETYPE,
                           "%s: field '%s' of '%s' is a %s, which cannot be a "
                           "key; use a string, an integer or a bool",
                           use, name, type->name, leat__kind_name(field->kind));
    return NULL;
}

const leat_field *leat__build_time_field(leat__draft *draft, const leat_type *type,
                                         const char *name)
{
    const leat_field *field = field_of(draft, type, name);
    if (field == NULL || field->kind == LEAT_KIND_I64)
        return field;
    (void)leat__build_fail(draft, LEAT_ETYPE,
                           "time_field: field '%s' of '%s' is a %s; event time "
                           "is an i64 in ms",
                           name, type->name, leat__kind_name(field->kind));
    return NULL;
}

/* ------------------------------------------------------------------ drafts */

static const char *kind_title(leat__node_kind kind)
{
    switch (kind) {
    case LEAT__NODE_OP:
        return "operator";
    case LEAT__NODE_SINK_LOG:
    case LEAT__NODE_SINK_FN:
    case LEAT__NODE_SINK_FILE:
        return "sink";
    default:
        return "source";
    }
}

/* A job that runs reads its graph from several threads. */
bool leat__build_may(leat_job *job)
{
    if (job == NULL) { /* no job could keep the mistake */
        leat__log_line(LEAT__ERROR, "job",
                       "a stream or a job that is NULL cannot be built on; pass what leat_job_new "
                       "or a build function returned");
        return false;
    }
    if (job->graph.error.status == LEAT_OK && job->graph.planned) {
        (void)leat__build_fail_at(&job->graph, LEAT_EINVAL, "job",
                                  "was started already; build it completely before leat_job_run");
        leat__log_line(LEAT__ERROR, "job", "%s", job->graph.error.message);
    }
    return job->graph.error.status == LEAT_OK;
}

static bool draft_begin(leat__draft *draft, leat_job *job, leat__node_kind kind)
{
    *draft = (leat__draft){.job = job, .node = {.kind = kind, .name = ""}};
    if (!leat__build_may(job))
        return false;
    draft->graph = &job->graph;
    return true;
}

static bool take_name(leat__draft *draft, const char *name)
{
    leat__graph *graph = draft->graph;
    const char *title = kind_title(draft->node.kind);
    if (!leat__build_name_ok(graph, title, title, name))
        return false;
    draft->node.name = draft->node.stable_name = leat__build_text(graph, name);
    for (size_t i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return leat__build_fail(draft, LEAT_EGRAPH,
                                    "the %s '%s' has this name already; names "
                                    "are keys of the state on disk, choose another",
                                    kind_title(graph->nodes[i].kind), name);
    return true;
}

static bool take_input(leat__draft *draft, leat_stream in)
{
    leat__graph *graph = draft->graph;
    if (in.node >= graph->node_count)
        return leat__build_fail(draft, LEAT_EGRAPH,
                                "its input is not a stream of this job; pass "
                                "what a build function returned");
    leat__input from = {in.node, in.output};
    const leat__node *source = &graph->nodes[in.node];
    const leat_type *type = leat__graph_type_of(graph, from);
    if (type == NULL && in.output != 0)
        return leat__build_fail(draft, LEAT_EGRAPH, "'%s' has no side output %u", source->name,
                                in.output - 1);
    if (type == NULL)
        return leat__build_fail(draft, LEAT_EGRAPH,
                                "'%s' emits nothing that could be read; give "
                                "it an output type (.out) or use leat_side()",
                                source->name);
    if (draft->node.input_count == 0) {
        draft->in = type;
        draft->node.key_of = source->key_of;
    }
    draft->node.inputs[draft->node.input_count++] = from;
    return true;
}

bool leat__build_source(leat__draft *draft, leat_job *job, const char *name, const leat_type *type,
                        leat__node_kind kind)
{
    if (!draft_begin(draft, job, kind) || !take_name(draft, name) ||
        !leat__build_type_ok(draft, "a record type", type))
        return false;
    draft->node.type = type;
    return true;
}

bool leat__build_op(leat__draft *draft, leat_stream in, const char *name,
                    const leat__op_class *class)
{
    if (!draft_begin(draft, in.job, LEAT__NODE_OP) || !take_name(draft, name) ||
        !take_input(draft, in))
        return false;
    if (class->keyed && draft->node.key_of.data == NULL)
        return leat__build_fail(draft, LEAT_EGRAPH,
                                "needs a keyed stream; put leat_key_by() before it");
    draft->node.as.op = (leat__op_spec){
        .class = class, .name = draft->node.name, .in = draft->in, .out = draft->in};
    return true;
}

bool leat__build_sink(leat__draft *draft, leat_stream in, const char *name, leat__node_kind kind)
{
    if (!draft_begin(draft, in.job, kind) || !take_name(draft, name) || !take_input(draft, in))
        return false;
    draft->node.type = draft->in;
    return true;
}

leat_stream leat__build_nothing(const leat__draft *draft)
{
    return (leat_stream){.job = draft->job, .node = LEAT__NO_NODE};
}

leat_stream leat__build_done(leat__draft *draft)
{
    leat__graph *graph = draft->graph;
    if (draft->node.kind == LEAT__NODE_OP)
        draft->node.type = draft->node.as.op.out;
    draft->node.id = (uint32_t)graph->node_count;
    if (graph->node_count == graph->node_capacity) {
        graph->node_capacity = graph->node_capacity == 0 ? 16 : graph->node_capacity * 2;
        graph->nodes = leat__realloc(graph->nodes, graph->node_capacity, sizeof *graph->nodes);
    }
    graph->nodes[graph->node_count++] = draft->node;
    return (leat_stream){.job = draft->job, .node = draft->node.id};
}
