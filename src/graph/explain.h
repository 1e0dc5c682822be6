/* graph/explain.h - what the three forms of leat_job_explain share.
 *
 *   graph ─► plan (or the mistake) ─► picture ─┬─► text   for a terminal
 *                                              ├─► JSON   for programs; names as in leat/job.h
 *                                              └─► DOT    for graphviz
 */
#ifndef LEAT_GRAPH_EXPLAIN_H
#define LEAT_GRAPH_EXPLAIN_H
#include "base/buffer.h"
#include "graph/graph.h"

typedef struct leat__picture {
    const leat__graph *graph;
    const leat__plan *plan; /* NULL: there is none, `error` says why */
    leat_error error;
    leat__arena *arena; /* for texts */
    leat__buffer *out;
} leat__picture;

void leat__explain_text(leat__picture *picture);
void leat__explain_json(leat__picture *picture);
void leat__explain_dot(leat__picture *picture);

/* One line about a node: "topic", "clicks, json". */
typedef struct leat__fact {
    const char *label, *text;
} leat__fact;
enum { LEAT__FACTS_MAX = 8 + 2 * LEAT_SLOTS_MAX }; /* at most eight kinds, slots and sides singly */
size_t leat__explain_facts(leat__picture *picture, const leat__node *node,
                           leat__fact facts[LEAT__FACTS_MAX]);
const char *leat__node_kind_name(const leat__node *node); /* "source", "window", "sink" */
const char *leat__format_name(leat_format format);
const char *leat__on_error_name(leat_on_error on_error);
const char *leat__state_kind_name(leat__state_kind kind);
const char *leat__slot_short_name(const leat__op_spec *spec, const leat__slot *slot);
/* "as topic clicks", "4". */
const char *leat__partitions_text(leat__picture *picture, const leat__stage *stage);
/* The topic that an exchange leads through, "JOB-STAGE-repartition"; NULL: memory. */
const char *leat__exchange_topic(leat__picture *picture, const leat__edge *edge);
uint32_t leat__stage_of(const leat__plan *plan, uint32_t node); /* UINT32_MAX: none */
#endif
