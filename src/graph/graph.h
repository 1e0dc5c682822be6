/* graph/graph.h - the job as it was built (nodes) and as it will run (stages).
 *
 *   nodes    source clicks ─► filter views ─► key_by item ─► window per-item ─► sink counts
 *   stages   [0: clicks, views, key_by item] ══HASH══► [1: per-item, counts]
 *
 * A stage is what one task runs by function calls; stages are connected by exchanges. A new stage
 * starts at each source, behind each key_by that the source's partitioning does not already satisfy
 * (HASH), and at a union whose inputs lie in different stages (FORWARD: partition p to p mod P;
 * HASH if the union is keyed). The graph is acyclic by construction (R23).
 */
#ifndef LEAT_GRAPH_GRAPH_H
#define LEAT_GRAPH_GRAPH_H
#include <pthread.h>

#include "base/arena.h"
#include "leat/job.h"
#include "ops/op.h"
#include "record/headed.h"

typedef enum leat__node_kind {
    LEAT__NODE_SOURCE_LOG,
    LEAT__NODE_SOURCE_GENERATOR,
    LEAT__NODE_SOURCE_ARRAY,
    LEAT__NODE_OP, /* spec */
    LEAT__NODE_SINK_LOG,
    LEAT__NODE_SINK_FN,
    LEAT__NODE_SINK_FILE,
} leat__node_kind;

typedef struct leat__input {
    uint32_t node, output;
} leat__input;

typedef struct leat__node {
    uint32_t id;
    leat__node_kind kind;
    const char *name;
    /* the name; of a key_by, whose name is made up, what it says of its input: "INPUT/OUTPUT by
     * FIELD" and an ordinal among equals */
    const char *stable_name;
    leat__input inputs[2];
    size_t input_count;
    const leat_type *type;            /* of its main output (sources, ops), of its input (sinks) */
    const leat_field *time_field;     /* sources; NULL: the log record's timestamp or the index */
    const leat_field *partitioned_by; /* sources */
    const leat_field *key_field;      /* log sinks; NULL: the element's key */
    leat__headed_reader *binary;      /* log sources with LEAT_BINARY */
    uint32_t fingerprint;             /* log sinks with LEAT_BINARY: of the type's layout */
    leat_str key_of; /* field by which the outputs are keyed; data NULL: not keyed */
    union {
        leat_log_source log;
        leat_generator generator;
        leat_array array;
        leat__op_spec op;
        leat_log_sink sink;
        struct {
            void (*fn)(void *arg, const void *record);
            void *arg;
        } sink_fn;
        FILE *sink_file;
    } as;
} leat__node;

typedef enum leat__exchange { LEAT__EXCHANGE_HASH, LEAT__EXCHANGE_FORWARD } leat__exchange;

typedef struct leat__edge { /* between stages */
    leat__exchange exchange;
    uint32_t from_stage, to_stage;
    leat__input from; /* node and output whose elements cross */
    uint32_t to_node;
    const leat_type *type;
} leat__edge;

typedef struct leat__stage {
    uint32_t number;
    /* of its first keyed operator, else of its first node; once the log is open the one that its
     * operators' state is stored under (engine/operators.h): the changelog's and the exchange's */
    const char *name;
    uint16_t state_number; /* in the database: murmur2(name) & 0xffff or the next that is free */
    uint32_t *nodes;       /* ids in topological order; the place is the operator's number (T2) */
    size_t node_count;
    /* 0: known when the log is open. With a source it is then its topic's; behind a HASH exchange
     * the widest source's; behind FORWARD exchanges only the widest input's. */
    uint32_t partition_count;
    bool has_state;
} leat__stage;

typedef struct leat__plan {
    leat__stage *stages;
    size_t stage_count;
    leat__edge *edges;
    size_t edge_count;
} leat__plan;

typedef struct leat__graph_table {
    const char *name;
    leat_table table;
    leat__headed_reader *binary; /* LEAT_BINARY */
} leat__graph_table;

typedef struct leat__graph {
    leat__arena arena;
    /* Strings copied, defaults filled in. Zero is left to the engine in worker_count,
     * partition_count, epoch_ms and, without log_handle, in log. */
    leat_job_opts opts;
    leat__node *nodes;
    size_t node_count, node_capacity;
    leat__graph_table *tables;
    size_t table_count;
    leat_error error; /* the first mistake; status LEAT_OK: none */
    leat__plan plan;  /* filled by leat__graph_plan */
    bool planned;
} leat__graph;

/* The job as the engine extends it: `run` is the engine's, NULL until the job starts. */
typedef struct leat_env leat_env;
struct leat_job {
    leat__graph graph;
    _Atomic(void *) run;
    void *closed_run;               /* kept until the next one: leat_job_stop may still ring it */
    pthread_rwlock_t run_lock;      /* queries from other threads against the end of the run */
    const leat_env *env;            /* the outside world; NULL: the real one */
    bool max_ahead_given;           /* by who made the job, not the default (W7) */
    int64_t behind_records;         /* waiting: far behind; 0: as engine/backlog.c has it */
    _Atomic bool stop_before_start; /* leat_job_stop came first */
    _Atomic bool running;           /* from leat_job_start to the end of leat_job_wait */
    _Atomic bool waited_for;        /* a thread is in leat_job_wait */
    bool ended;                     /* since the last start; and how: */
    leat_error ended_as;
    leat_job_stats last_stats;            /* when it does not run */
    _Atomic uint64_t violations;          /* of exactly-once, found (R2, R16) */
    _Atomic uint64_t lost;                /* offsets deleted before they were read */
    _Atomic uint64_t rebuilds;            /* local copies of state that were not taken */
    _Atomic uint64_t resumed_after_drain; /* partitions (W5) */
    /* W7 */
    _Atomic uint64_t clock_steps, times_clamped;
};

/* An empty graph, ready for the build functions of leat/job.h. A mistake in the options is its
 * sticky error, and what is returned; the graph can be used (and must be freed) all the same. opts
 * NULL: a mistake like any other. */
leat_status leat__graph_init(leat__graph *graph, const leat_job_opts *opts);
void leat__graph_free(leat__graph *graph);

/* What flows through an output; NULL if the operator has no such output. */
const leat_type *leat__graph_type_of(const leat__graph *graph, leat__input from);

/* Checks the whole graph (unused outputs are fine, a job without a sink or table is not), and cuts
 * it into stages. Once; later calls return the same. */
leat_status leat__graph_plan(leat__graph *graph, leat_error *error);
/* The same into `plan`, with memory from `arena`; the graph is not touched. */
leat_status leat__graph_cut(const leat__graph *graph, leat__arena *arena, leat__plan *plan,
                            leat_error *error);
const char *leat__exchange_name(leat__exchange exchange);
/* The exchange asked for, AUTO resolved by what the job's log can do. */
leat_exchange leat__graph_exchange(const leat__graph *graph);
#endif
