/* engine/refusals.c - a record that can't be written is the failure of what emitted it, and not the
 * log's or the job's (R19).
 *
 *   what can be known before:    the topic's limits ──┐
 *                                                     ├─► asked when the record is emitted, before
 *   what only the log can know:  commit ─► refused    │   state is kept ─► the operator's policy
 *                                  └─ rewind ─► noted ┘
 *
 * After the rewind the same records are emitted again, byte by byte (R21). The one that was refused
 * is known by what it is: sink, key, value and timestamp, so that it makes no difference whether a
 * record, a timer or a window has emitted it. One that looks different each time is refused again,
 * and R30 ends that.
 *
 * Limits are learnt at the start, at each rewind and twice a minute: somebody may change a topic's
 * settings while the job runs.
 */
#include "engine/refusals.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "log/driver.h"
#include <inttypes.h>
#include <string.h>

/* Below it a record that is not large may be over the bound, too; see LEAT__LARGE_BYTES. */
enum { ENCODED_BYTES = 80 * LEAT__LARGE_BYTES };

typedef struct rules { /* of a sink; written by the coordinator, read by the workers */
    _Atomic bool needs_key;
    _Atomic size_t record_bytes;
    _Atomic int64_t timestamp_min_ms, behind_ms, ahead_ms;
} rules;

typedef struct refused {
    uint32_t sink;
    bool has_key;
    _Atomic bool met;    /* it was emitted again, and has failed */
    uint64_t key, value; /* hashes */
    int64_t timestamp_ms;
    leat_error reason;
} refused;

struct leat__refusals {
    rules *of_sink;   /* by node id */
    refused *records; /* in force; changed only while the workers stand still */
    size_t count;
    refused *news; /* noted since the last assembly */
    size_t news_count;
    bool over;        /* what was met may be forgotten */
    _Atomic bool any; /* some are in force, and are waited for */
};

/* ------------------------------------------------------------------ limits */

static void set_rules(rules *of, const leat__log_limits *limits)
{
    atomic_store(&of->needs_key, limits->needs_key);
    atomic_store(&of->record_bytes, limits->record_bytes < LEAT__RECORD_BYTES_MAX
                                        ? limits->record_bytes
                                        : LEAT__RECORD_BYTES_MAX);
    atomic_store(&of->timestamp_min_ms, limits->timestamp_min_ms);
    atomic_store(&of->behind_ms, limits->behind_ms);
    atomic_store(&of->ahead_ms, limits->ahead_ms);
}

static leat_status learn(leat__run *run, const leat__node *sink, leat_error *error)
{
    leat__log_limits limits;
    leat__asking asking = {0};
    leat_error why = {0};
    leat_status status;
    do {
        leat__watch(run, "a topic", LEAT__LOG_CALL_MS);
        status = leat__log_topic_limits(run->log, sink->as.sink.topic, &limits, &why);
    } while (leat__ask_again(run, &asking, status, &why));
    leat__watch_end(run);
    if (status == LEAT_OK)
        set_rules(&run->refusals->of_sink[sink->id], &limits);
    else if (error != NULL)
        *error = why;
    return status;
}

leat_status leat__refusals_open(leat__run *run, leat_error *error)
{
    const leat__graph *graph = run->graph;
    leat_status status = LEAT_OK;
    run->refusals = leat__calloc(1, sizeof(*run->refusals));
    run->refusals->of_sink = leat__calloc(graph->node_count + 1, sizeof(rules));
    for (size_t n = 0; n < graph->node_count && status == LEAT_OK; n++)
        if (graph->nodes[n].kind == LEAT__NODE_SINK_LOG)
            status = learn(run, &graph->nodes[n], error);
    return status;
}

void leat__refusals_close(leat__run *run)
{
    if (run->refusals == NULL)
        return;
    leat__free(run->refusals->of_sink);
    leat__free(run->refusals->records);
    leat__free(run->refusals->news);
    leat__free(run->refusals);
    run->refusals = NULL;
}

void leat__refusals_refresh(leat__run *run)
{
    for (size_t n = 0; n < run->graph->node_count; n++) {
        leat__log_limits limits;
        const leat__node *sink = &run->graph->nodes[n];
        if (sink->kind != LEAT__NODE_SINK_LOG)
            continue;
        leat__watch(run, "a topic", LEAT__LOG_CALL_MS);
        leat_status status = leat__log_topic_limits(run->log, sink->as.sink.topic, &limits, NULL);
        leat__watch_end(run);
        if (status == LEAT_OK)
            set_rules(&run->refusals->of_sink[n], &limits);
        else if (status != LEAT_ENOTFOUND)
            return; /* the servers are away: the others would take as long to say so */
    }
}

leat_status leat__refusals_check_topic(leat__run *run, const char *topic, bool timestamps,
                                       leat_error *error)
{
    leat__log_limits limits;
    leat__watch(run, "a topic", LEAT__LOG_CALL_MS);
    leat_status status = leat__log_topic_limits(run->log, topic, &limits, error);
    leat__watch_end(run);
    if (status != LEAT_OK)
        return status;
    if (limits.record_bytes < LEAT__RECORD_BYTES_MAX)
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, topic,
                          "takes records of %zu bytes, and this job writes up to %d (R14): set its "
                          "max.message.bytes to 4194304 (kafka-configs --alter)",
                          limits.record_bytes, LEAT__RECORD_BYTES_MAX);
    if (timestamps && !limits.keeps_timestamps)
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, topic,
                          "replaces timestamps, which tell this job where time stood (R14): set "
                          "its message.timestamp.type to CreateTime (kafka-configs --alter)");
    if (timestamps && (limits.ahead_ms != INT64_MAX || limits.behind_ms != INT64_MAX))
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, topic,
                          "takes no timestamp that is far from the clock, and this job's are event "
                          "time (R14): set its message.timestamp.after.max.ms and "
                          "message.timestamp.before.max.ms to 9223372036854775807 (kafka-configs "
                          "--alter)");
    return LEAT_OK;
}

/* ------------------------------------------------------------------ asked by the tasks */

bool leat__refusals_strict(const leat__run *run, const leat__node *sink)
{
    return sink->kind == LEAT__NODE_SINK_LOG &&
           (leat__log_may_refuse(run->log) || run->refusals->count != 0 ||
            atomic_load(&run->refusals->of_sink[sink->id].needs_key));
}

bool leat__refusals_need_bytes(const leat__run *run, const leat__node *sink)
{
    return atomic_load(&run->refusals->any) ||
           atomic_load(&run->refusals->of_sink[sink->id].record_bytes) < ENCODED_BYTES;
}

static uint64_t hash_of(leat_str bytes)
{
    return bytes.length == 0 ? 0 : leat__hash64(bytes.data, bytes.length);
}

static void identify(refused *made, const leat__node *sink, const leat_log_record *record)
{
    *made = (refused){.sink = sink->id,
                      .has_key = record->key.data != NULL,
                      .key = hash_of(record->key),
                      .value = hash_of(record->value),
                      .timestamp_ms = record->timestamp_ms};
}

static bool is_same(const refused *a, const refused *b)
{
    return a->sink == b->sink && a->has_key == b->has_key && a->key == b->key &&
           a->value == b->value && a->timestamp_ms == b->timestamp_ms;
}

static refused *find(refused *all, size_t count, const refused *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (is_same(&all[i], wanted))
            return &all[i];
    return NULL;
}

leat_status leat__refusals_check(const leat__task *task, const leat__node *sink,
                                 const leat_log_record *record, leat_error *error)
{
    leat__refusals *all = task->run->refusals;
    const rules *of = &all->of_sink[sink->id];
    const leat__log_limits limits = {.needs_key = atomic_load(&of->needs_key),
                                     .record_bytes = atomic_load(&of->record_bytes),
                                     .timestamp_min_ms = atomic_load(&of->timestamp_min_ms),
                                     .behind_ms = atomic_load(&of->behind_ms),
                                     .ahead_ms = atomic_load(&of->ahead_ms)};
    size_t bytes = record->key.length + record->value.length;
    if (bytes > LEAT__RECORD_BYTES_MAX)
        return leat__too_big(sink->name, record->key, bytes, error);
    leat_status status = leat__log_check_limits(record, &limits, task->face.clock_ms, error);
    if (status == LEAT_OK && atomic_load(&all->any)) {
        refused wanted;
        identify(&wanted, sink, record);
        refused *found = find(all->records, all->count, &wanted);
        if (found != NULL) {
            atomic_store(&found->met, true);
            *error = found->reason;
            status = found->reason.status;
        }
    }
    if (status == LEAT_OK)
        return LEAT_OK;
    if (status == LEAT_EINVAL) /* of the log's call; here it is the data's fault */
        status = LEAT_EDATA;
    error->status = status;
    error->recovery = LEAT_RECOVERY_FATAL;
    (void)snprintf(error->where, sizeof(error->where), "%s", sink->name);
    return status;
}

/* ------------------------------------------------------------------ refused by the log */

void leat__refusals_note(leat__run *run, const leat__node *sink, const leat_log_record *record,
                         const leat_error *reason)
{
    leat__refusals *all = run->refusals;
    refused made;
    identify(&made, sink, record);
    const refused *known = find(all->records, all->count, &made);
    if ((known != NULL && !(all->over && known->met)) ||
        find(all->news, all->news_count, &made) != NULL)
        return;
    made.reason = *reason;
    all->news = leat__realloc(all->news, all->news_count + 1, sizeof(*all->news));
    all->news[all->news_count++] = made;
}

bool leat__refusals_got_on(const leat__run *run)
{
    const leat__refusals *all = run->refusals;
    bool met = all->count == 0;
    for (size_t i = 0; i < all->count; i++)
        met |= all->records[i].met;
    return met && all->news_count != 0;
}

static void drop(leat__refusals *all, size_t place)
{
    all->count--;
    memmove(all->records + place, all->records + place + 1,
            (all->count - place) * sizeof(*all->records));
}

void leat__refusals_apply(leat__run *run)
{
    leat__refusals *all = run->refusals;
    for (size_t i = all->count; all->over && i-- > 0;)
        if (all->records[i].met)
            drop(all, i);
    all->over = false;
    if (all->news_count != 0)
        all->records =
            leat__realloc(all->records, all->count + all->news_count, sizeof(*all->records));
    for (size_t i = 0; i < all->news_count; i++)
        all->records[all->count++] = all->news[i];
    all->news_count = 0;
    while (all->count > LEAT__REFUSED_MAX) /* the oldest; should it come, it is refused again */
        drop(all, 0);
    for (size_t i = 0; i < all->count; i++)
        all->records[i].met = false;
    atomic_store(&all->any, all->count != 0);
}

void leat__refusals_over(leat__run *run)
{
    leat__refusals *all = run->refusals;
    bool waited_for = false;
    for (size_t i = 0; i < all->count; i++)
        waited_for |= !all->records[i].met;
    all->over = true;
    atomic_store(&all->any, waited_for);
}
