/* engine/placed.c - see placed.h. Partitions that are added to such a topic while the job runs are
 * used from its next start: what was counted under one number of them must not be looked for under
 * another. */
#include "engine/placed.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

typedef struct part {
    int64_t first, next; /* written by the log; equal: nothing */
    int64_t count;       /* of records added */
    int64_t delivered;
} part;

typedef struct followed { /* a topic */
    const char *topic;
    uint32_t partition_count, in_turn;
    part *parts;
} followed;

struct leat__placed {
    followed *topics;
    size_t topic_count;
    int32_t *by_node; /* index into topics, -1: not followed; after the nodes: the dead letters */
    size_t node_count;
};

static const char *topic_of_node(const leat__run *run, size_t n)
{
    if (n == run->graph->node_count)
        return run->graph->opts.dead_letters;
    const leat__node *node = &run->graph->nodes[n];
    return node->kind == LEAT__NODE_SINK_LOG ? node->as.sink.topic : NULL;
}

static int32_t find(const leat__placed *placed, const char *topic)
{
    for (size_t i = 0; topic != NULL && i < placed->topic_count; i++)
        if (strcmp(placed->topics[i].topic, topic) == 0)
            return (int32_t)i;
    return -1;
}

leat__placed *leat__placed_new(const leat__run *run)
{
    const leat__graph *graph = run->graph;
    leat__placed *placed = leat__calloc(1, sizeof *placed);
    placed->topics = leat__calloc(graph->node_count + 1, sizeof *placed->topics);
    for (size_t n = 0; n < graph->node_count; n++) {
        const leat__node *node = &graph->nodes[n];
        if (node->kind != LEAT__NODE_SINK_LOG || node->as.sink.on_committed == NULL ||
            find(placed, node->as.sink.topic) >= 0)
            continue;
        uint32_t count = run->sink_partitions[n];
        placed->topics[placed->topic_count++] =
            (followed){.topic = node->as.sink.topic,
                       .partition_count = count,
                       .parts = leat__calloc(count, sizeof(part))};
    }
    if (placed->topic_count == 0) {
        leat__placed_free(placed);
        return NULL;
    }
    placed->node_count = graph->node_count;
    placed->by_node = leat__calloc(graph->node_count + 1, sizeof *placed->by_node);
    for (size_t n = 0; n <= graph->node_count; n++)
        placed->by_node[n] = find(placed, topic_of_node(run, n));
    return placed;
}

void leat__placed_free(leat__placed *placed)
{
    if (placed == NULL)
        return;
    for (size_t i = 0; i < placed->topic_count; i++)
        leat__free(placed->topics[i].parts);
    leat__free(placed->topics);
    leat__free(placed->by_node);
    leat__free(placed);
}

void leat__placed_begin(leat__placed *placed)
{
    for (size_t i = 0; placed != NULL && i < placed->topic_count; i++)
        memset(placed->topics[i].parts, 0, placed->topics[i].partition_count * sizeof(part));
}

static followed *followed_of(const leat__placed *placed, uint32_t node)
{
    if (placed == NULL || (node >= LEAT__SINK_STAGE && node != LEAT__SINK_DEAD_LETTERS))
        return NULL;
    size_t n = node == LEAT__SINK_DEAD_LETTERS ? placed->node_count : node;
    return placed->by_node[n] < 0 ? NULL : &placed->topics[placed->by_node[n]];
}

void leat__placed_add(leat__placed *placed, leat__out_record *record, leat_str key)
{
    followed *f = followed_of(placed, record->node);
    if (f == NULL)
        return;
    if (record->partition == LEAT_PARTITION_BY_KEY)
        record->partition = key.data != NULL ? leat__partition_of(key, f->partition_count)
                                             : f->in_turn++ % f->partition_count;
    LEAT_ASSERT(record->partition < f->partition_count);
    f->parts[record->partition].count++;
}

void leat__placed_written(leat__placed *placed, const char *topic, uint32_t partition,
                          int64_t first, int64_t next)
{
    int32_t at = placed == NULL ? -1 : find(placed, topic);
    if (at < 0 || partition >= placed->topics[at].partition_count)
        return;
    part *p = &placed->topics[at].parts[partition];
    p->first = first;
    p->next = next;
}

int64_t leat__placed_next(leat__placed *placed, const leat__out_record *record)
{
    followed *f = followed_of(placed, record->node);
    if (f == NULL)
        return -1;
    part *p = &f->parts[record->partition];
    int64_t n = p->delivered++;
    LEAT_ASSERT(n < p->count);
    return p->first >= 0 && p->next - p->first == p->count ? p->first + n : -1;
}
