/* graph/builder.h - what the build functions share: the sticky first error and the checks.
 *
 *   leat_filter(in, ...)  ─► leat__build_op: a draft ─► checks ─► leat__build_done ─► graph->nodes
 *                                  │ no                    │ no
 *                                  └───────────────────────┴─► first error kept; a stream of no
 * node
 *
 * A draft lives on the caller's stack; nothing enters the graph before every check has passed. */
#ifndef LEAT_GRAPH_BUILDER_H
#define LEAT_GRAPH_BUILDER_H
#include "graph/graph.h"

#define LEAT__NO_NODE UINT32_MAX /* the node of streams that a mistake produced */

typedef struct leat__draft {
    leat_job *job;
    leat__graph *graph;
    leat__node node;
    const leat_type *in; /* of the first input */
} leat__draft;

/* May the job be built on? Not if there is none, or it was started, or a mistake was made. */
bool leat__build_may(leat_job *job);
/* Start a draft; false: a mistake was made earlier or just now, and there is nothing more to do. */
bool leat__build_source(leat__draft *draft, leat_job *job, const char *name, const leat_type *type,
                        leat__node_kind kind);
bool leat__build_op(leat__draft *draft, leat_stream in, const char *name,
                    const leat__op_class *class);
bool leat__build_sink(leat__draft *draft, leat_stream in, const char *name, leat__node_kind kind);
/* Makes the draft a node of the graph. */
leat_stream leat__build_done(leat__draft *draft);
/* The stream that a failed build function returns. */
leat_stream leat__build_nothing(const leat__draft *draft);

/* Records the first mistake; `where` is the draft's name. Always false. */
bool leat__build_fail(leat__draft *draft, leat_status status, const char *format, ...)
    LEAT_PRINTF(3, 4);
bool leat__build_fail_at(leat__graph *graph, leat_status status, const char *where,
                         const char *format, ...) LEAT_PRINTF(4, 5);

/* Checks; false after a mistake was recorded. `what` completes "needs ...": "a record type". */
bool leat__name_character(char c);
bool leat__build_name_ok(leat__graph *graph, const char *where, const char *what, const char *name);
bool leat__build_topic_ok(leat__draft *draft, const char *topic);
bool leat__build_not_negative(leat__draft *draft, const char *what, int64_t value);
bool leat__build_on_error_ok(leat__draft *draft, leat_on_error on_error);
bool leat__build_format_ok(leat__draft *draft, leat_format format);
bool leat__build_partitions_ok(leat__draft *draft, uint32_t partition_count);
bool leat__build_type_ok(leat__draft *draft, const char *what, const leat_type *type);
bool leat__build_takes(leat__draft *draft, const leat_type *declared);
/* NULL after a mistake: no such field, or one that cannot be a key. */
const leat_field *leat__build_key_field(leat__draft *draft, const leat_type *type, const char *use,
                                        const char *name);
const leat_field *leat__build_time_field(leat__draft *draft, const leat_type *type,
                                         const char *name);

/* Equal in name and layout in memory: the same struct described in two C files. */
bool leat__type_same(const leat_type *a, const leat_type *b);
const char *leat__kind_name(leat_kind kind);
/* Copies into the graph's arena; NULL gives NULL. */
const char *leat__build_text(leat__graph *graph, const char *text);
/* "operator/part", in the graph's arena. */
const char *leat__build_qualified(leat__draft *draft, const char *part);
#endif
