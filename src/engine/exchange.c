/* engine/exchange.c - which stages are fed through the log, and their topics. exchange.h has the
 * picture. */
#include "engine/exchange.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/refusals.h"
#include "graph/builder.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    /* Long enough for a job that stands still over the holidays; what is deleted before it was read
     * stops the receiver, it is never skipped. */
    RETENTION_DAYS = 7,
    METADATA_BYTES_MAX = 4096, /* leat_log_offset */
    METADATA_HEAD_BYTES = LEAT__OFFSET_METADATA_BYTES,
    METADATA_STAGE_BYTES = 10,
    METADATA_SENDER_BYTES = 15,
    FORMER_NODES = 128, /* operators before a key_by, in a job of a version that numbered it so */
};

const leat__repartition *leat__repartition_of(const leat__run *run, uint32_t stage)
{
    return run->repartitions == NULL ? NULL : run->repartitions[stage];
}

const char *leat__home_topic(const leat__run *run, const leat__stage *stage)
{
    const leat__plan *plan = &run->graph->plan;
    for (size_t i = 0; i < stage->node_count; i++)
        if (run->graph->nodes[stage->nodes[i]].kind <= LEAT__NODE_SOURCE_ARRAY)
            return leat__source_topic(run, &run->graph->nodes[stage->nodes[i]]);
    if (run->repartitions == NULL)
        return NULL;
    if (run->repartitions[stage->number] != NULL)
        return run->repartitions[stage->number]->topic;
    for (size_t e = 0; e < plan->edge_count; e++) /* as many partitions as all of its inputs */
        if (plan->edges[e].to_stage == stage->number)
            return leat__home_topic(run, &plan->stages[plan->edges[e].from_stage]);
    return NULL;
}

/* ------------------------------------------------------------------ what a topic is made of */

static bool fed_in_memory(const leat__run *run, uint32_t stage)
{
    const leat__plan *plan = &run->graph->plan;
    for (size_t e = 0; e < plan->edge_count; e++)
        if (plan->edges[e].to_stage == stage &&
            (plan->edges[e].exchange == LEAT__EXCHANGE_HASH ||
             run->stage_partitions[plan->edges[e].from_stage] != run->stage_partitions[stage]))
            return false;
    return true; /* also a stage with a source */
}

bool leat__fed_through_log(const leat__run *run, uint32_t stage)
{
    return leat__graph_exchange(run->graph) == LEAT_EXCHANGE_LOG && !fed_in_memory(run, stage);
}

/* Some of its tasks can come to an end in this run. */
static bool may_end(const leat__run *run, uint32_t number)
{
    const leat__plan *plan = &run->graph->plan;
    const leat__stage *stage = &plan->stages[number];
    for (size_t i = 0; i < stage->node_count; i++) {
        const leat__node *node = &run->graph->nodes[stage->nodes[i]];
        if (node->kind <= LEAT__NODE_SOURCE_ARRAY)
            return node->kind != LEAT__NODE_SOURCE_LOG || node->as.log.until_end;
    }
    for (size_t e = 0; e < plan->edge_count; e++)
        if (plan->edges[e].to_stage == number && may_end(run, plan->edges[e].from_stage))
            return true;
    return false;
}

/* The same in every process, and whatever stands before the operator (S6): all edges to it carry
 * the same. Another type is another id, so that records under way are never read as what they are
 * not. Never 0. */
static uint32_t edge_id(const leat__run *run, const leat__edge *edge)
{
    char *layout = leat_type_layout(edge->type);
    char *text = leat__format("%s %s", run->graph->nodes[edge->to_node].stable_name, layout);
    uint32_t id = leat__crc32c(0, text, strlen(text));
    leat__free(text);
    free(layout);
    return id == 0 ? 1 : id;
}

uint32_t leat__edge_of(const leat__run *run, const leat__repartition *through, uint8_t format,
                       uint32_t id)
{
    size_t count = run->graph->plan.edge_count;
    if (format == LEAT__EXCHANGE_FORMAT) {
        for (uint32_t e = 0; e < count; e++)
            if (through->edge_ids[e] == id)
                return e;
        return UINT32_MAX;
    }
    size_t low = 0, high = through->former_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (through->former_ids[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < through->former_count && through->former_ids[low].id == id;
    return found ? through->former_ids[low].edge : UINT32_MAX;
}

/* ------------------------------------------------------------------ ids of format 1 */

/* "key-by-FIELD", or with the number of operators that there were when it was made the second of
 * that name; number 0: without. Other operators have their own name alone; false: no more. */
static bool former_name(const leat__node *node, uint32_t number, char name[80])
{
    if (node->kind != LEAT__NODE_OP || node->as.op.class != &leat__op_key_by) {
        (void)snprintf(name, 80, "%s", node->name);
        return number == 0;
    }
    int length = snprintf(name, 40, "key-by-%.*s", (int)node->key_of.length, node->key_of.data);
    if (length > 39)
        length = 39;
    for (int i = 0; i < length; i++)
        if (!leat__name_character(name[i]))
            name[i] = '_';
    if (number != 0)
        (void)snprintf(name + length, 80 - (size_t)length, ".%" PRIu32, number);
    return number < FORMER_NODES;
}

static int by_id(const void *a, const void *b)
{
    const leat__former_id *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->edge < y->edge ? -1 : x->edge > y->edge;
}

static void add_former_ids(const leat__run *run, leat__repartition *made, uint32_t number)
{
    const leat__edge *edge = &run->graph->plan.edges[number];
    const leat__node *from = &run->graph->nodes[edge->from.node];
    const leat__node *to = &run->graph->nodes[edge->to_node];
    char *layout = leat_type_layout(edge->type);
    char from_name[80], to_name[80];
    for (uint32_t t = 0; former_name(to, t, to_name); t++)
        for (uint32_t f = 0; former_name(from, f, from_name); f++)
            for (uint32_t output = 0; output <= LEAT__SLOTS_MAX; output++) {
                char *text =
                    leat__format("%s/%" PRIu32 ">%s %s", from_name, output, to_name, layout);
                uint32_t id = leat__crc32c(0, text, strlen(text));
                leat__free(text);
                made->former_ids = leat__realloc(made->former_ids, made->former_count + 1,
                                                 sizeof *made->former_ids);
                made->former_ids[made->former_count++] =
                    (leat__former_id){id == 0 ? 1 : id, number};
                if (from->kind == LEAT__NODE_OP && from->as.op.class == &leat__op_key_by)
                    break; /* it has one output */
            }
    free(layout);
}

/* One that could be of two operators is of none: such a record is refused. */
static void settle_former_ids(const leat__run *run, leat__repartition *made)
{
    size_t kept = 0;
    if (made->former_count != 0)
        qsort(made->former_ids, made->former_count, sizeof *made->former_ids, by_id);
    for (size_t i = 0; i < made->former_count;) {
        size_t next = i + 1;
        bool clear = true;
        for (; next < made->former_count && made->former_ids[next].id == made->former_ids[i].id;
             next++)
            clear &= run->graph->plan.edges[made->former_ids[next].edge].to_node ==
                     run->graph->plan.edges[made->former_ids[i].edge].to_node;
        if (clear)
            made->former_ids[kept++] = made->former_ids[i];
        i = next;
    }
    made->former_count = kept;
}

/* ------------------------------------------------------------------ all of it */

static void add_sender(const leat__run *run, leat__repartition *to, const leat__edge *edge)
{
    for (size_t i = 0; i < to->sender_count; i++)
        if (to->senders[i].stage == edge->from_stage)
            return;
    const char *name = run->graph->plan.stages[edge->from_stage].name;
    to->senders = leat__realloc(to->senders, to->sender_count + 1, sizeof(*to->senders));
    to->senders[to->sender_count++] =
        (leat__sender_stage){.stage = edge->from_stage,
                             .id = leat__crc32c(0, name, strlen(name)),
                             .partition_count = run->stage_partitions[edge->from_stage],
                             .forward = edge->exchange == LEAT__EXCHANGE_FORWARD,
                             .may_end = may_end(run, edge->from_stage)};
}

static leat__repartition *make_repartition(const leat__run *run, const leat__stage *stage)
{
    const leat__plan *plan = &run->graph->plan;
    leat__repartition *made = leat__calloc(1, sizeof(*made));
    made->topic = leat__format("%s-%s-repartition", run->graph->opts.name, stage->name);
    made->stage = stage->number;
    made->partition_count = run->stage_partitions[stage->number];
    made->node = (leat__node){.id = UINT32_MAX,
                              .kind = LEAT__NODE_SOURCE_LOG,
                              .name = made->topic,
                              .as.log.topic = made->topic};
    made->edge_ids = leat__calloc(plan->edge_count + 1, sizeof(*made->edge_ids));
    for (size_t e = 0; e < plan->edge_count; e++) {
        if (plan->edges[e].to_stage != stage->number)
            continue;
        made->edge_ids[e] = edge_id(run, &plan->edges[e]);
        add_former_ids(run, made, (uint32_t)e);
        add_sender(run, made, &plan->edges[e]);
    }
    settle_former_ids(run, made);
    return made;
}

/* ------------------------------------------------------------------ the topic in the log */

static leat_status check_size(const leat__repartition *of, leat_error *error)
{
    size_t bytes = METADATA_HEAD_BYTES, senders = 0;
    for (size_t i = 0; i < of->sender_count; i++) {
        senders += of->senders[i].partition_count;
        bytes += METADATA_STAGE_BYTES + of->senders[i].partition_count * METADATA_SENDER_BYTES;
    }
    if (bytes <= METADATA_BYTES_MAX)
        return LEAT_OK;
    return leat__fail(
        error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, of->topic,
        "%zu partitions send into this exchange, at most about %d can be kept with "
        "its offsets; read topics with fewer partitions, or partition them by the key",
        senders, METADATA_BYTES_MAX / METADATA_SENDER_BYTES - 3);
}

static leat_status open_topic(leat__run *run, leat__repartition *of, leat_error *error)
{
    const leat_topic_opts wanted = {.partition_count = of->partition_count,
                                    .retention_ms = LEAT_DAYS(RETENTION_DAYS)};
    leat_topic_opts opts;
    char remedy[LEAT__REMEDY_BYTES];
    leat_status status = leat__find_or_make(run, of->topic, &wanted, &opts, error);
    if (status != LEAT_OK)
        return status;
    of->topic_id = opts.id;
    if (opts.partition_count != of->partition_count)
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, of->topic,
                          "has %" PRIu32 " partitions but the stage behind it %" PRIu32
                          ": equal keys would meet in two places; %s",
                          opts.partition_count, of->partition_count, leat__remedy(run, remedy));
    if (opts.compacted)
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, of->topic,
                          "is compacted: records under way would go missing; %s",
                          leat__remedy(run, remedy));
    return leat__refusals_check_topic(run, of->topic, false, error);
}

leat_status leat__repartitions_open(leat__run *run, leat_error *error)
{
    const leat__plan *plan = &run->graph->plan;
    leat_status status = LEAT_OK;
    if (leat__graph_exchange(run->graph) != LEAT_EXCHANGE_LOG)
        return LEAT_OK;
    run->repartitions = leat__calloc(plan->stage_count + 1, sizeof(*run->repartitions));
    for (uint32_t s = 0; s < plan->stage_count && status == LEAT_OK; s++) {
        if (!leat__fed_through_log(run, s))
            continue;
        leat__repartition *made = run->repartitions[s] = make_repartition(run, &plan->stages[s]);
        status = check_size(made, error);
        if (status == LEAT_OK)
            status = open_topic(run, made, error);
    }
    return status;
}

void leat__repartitions_close(leat__run *run)
{
    for (size_t s = 0; run->repartitions != NULL && s < run->graph->plan.stage_count; s++) {
        leat__repartition *each = run->repartitions[s];
        if (each == NULL)
            continue;
        leat__free(each->topic);
        leat__free(each->edge_ids);
        leat__free(each->former_ids);
        leat__free(each->senders);
        leat__free(each);
    }
    leat__free(run->repartitions);
    run->repartitions = NULL;
}
