/* engine/run.c - a job's way from leat_job_start to its end.
 *
 *   plan ─► log ─► topics ─► database ─► join the group ─► tables read ─► assembly restored
 *                                                               close ◄─ ... ◄─ threads ◄─┘
 *
 * Everything that can be wrong with the outside (a log held by somebody else, a topic of another
 * shape, a damaged store) is found before the first record is touched.
 */
#include "base/error.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "engine/members.h"
#include "engine/memory.h"
#include "engine/operators.h"
#include "engine/placed.h"
#include "engine/refusals.h"
#include "engine/snapshots.h"
#include "engine/suspects.h"
#include "engine/trim.h"
#include "log/driver.h"
#include "state/identity.h"
#include <inttypes.h>
#include <unistd.h>

enum {
    SOURCE_PARTITIONS = 4, /* of a source topic that has to be created */
    TOPICS_EVERY_US = 30000000,
};

/* Readers never nest, and a stream of queries must not keep a writer out. */
static void init_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

_Thread_local const leat_job *leat__job_of_thread;

leat_job *leat_job_new(const leat_job_opts *opts)
{
    leat_job *job = leat__calloc(1, sizeof(*job));
    (void)leat__graph_init(&job->graph, opts); /* a mistake is sticky */
    job->max_ahead_given = opts != NULL && opts->max_ahead_ms != 0;
    init_lock(&job->run_lock);
    return job;
}

void leat__run_fail(leat__run *run, const leat_error *error)
{
    pthread_mutex_lock(&run->lock);
    if (run->fatal.status == LEAT_OK) {
        run->fatal = *error;
        if (run->fatal.status == LEAT_OK)
            run->fatal.status = LEAT_EINTERNAL;
    }
    pthread_mutex_unlock(&run->lock);
    atomic_store(&run->failed, true);
    leat__doorbell_ring(&run->bell);
}

const char *leat__source_topic(const leat__run *run, const leat__node *node)
{
    return node->kind == LEAT__NODE_SOURCE_LOG ? node->as.log.topic
                                               : run->position_topics[node->id];
}

/* ------------------------------------------------------------------ topics */

/* leat__find_or_make with the wanted partitions if `exact`; else any number is fine. *count and
 * *id, which may be NULL, get what it has. */
static leat_status ensure_topic(leat__run *run, const char *topic, const leat_topic_opts *wanted,
                                bool exact, uint32_t *count, uint64_t *id, leat_error *error)
{
    leat_topic_opts opts;
    char remedy[LEAT__REMEDY_BYTES];
    leat_status status = leat__find_or_make(run, topic, wanted, &opts, error);
    if (status != LEAT_OK)
        return status;
    if (exact && opts.partition_count != wanted->partition_count)
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, topic,
                          "has %" PRIu32 " partitions but the job's state is spread over %" PRIu32
                          "; state does not move between partition counts: %s",
                          opts.partition_count, wanted->partition_count, leat__remedy(run, remedy));
    if (exact && (opts.retention_ms != 0 || opts.retention_bytes != 0))
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, topic,
                          "deletes old records (retention), which are the job's state (R14); %s",
                          leat__remedy(run, remedy));
    if (count != NULL)
        *count = opts.partition_count;
    if (id != NULL)
        *id = opts.id;
    return LEAT_OK;
}

/* As of the start: how many partitions it has, and which topic it is (0: not known). */
static leat_status check_topic(leat__run *run, const char *topic, uint32_t before, uint64_t id,
                               leat_error *error)
{
    leat_topic_opts opts;
    char remedy[LEAT__REMEDY_BYTES];
    leat__watch(run, "a topic", LEAT__LOG_CALL_MS);
    leat_status status = leat_topic_describe(run->log, topic, &opts, NULL);
    leat__watch_end(run);
    if (status != LEAT_OK) /* one that is gone is noticed by who reads it */
        return LEAT_OK;
    if (id != 0 && opts.id != 0 && opts.id != id)
        return leat__fail(
            error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, topic,
            "was deleted and made again while this job ran: stop whoever deletes it, and %s",
            leat__remedy(run, remedy));
    if (opts.partition_count == before)
        return LEAT_OK;
    return leat__partitions_changed(topic, before, opts.partition_count, error);
}

static leat_status check_repartitions(leat__run *run, leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t s = 0; s < run->graph->plan.stage_count && status == LEAT_OK; s++) {
        const leat__repartition *of = run->repartitions[s];
        if (of != NULL)
            status = check_topic(run, of->topic, of->partition_count, of->topic_id, error);
    }
    return status;
}

/* R14: the positions and the state of this job are by partition. */
leat_status leat__check_topics(leat__run *run, leat_error *error)
{
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    if (now_us - run->topics_checked_us < TOPICS_EVERY_US)
        return LEAT_OK;
    run->topics_checked_us = now_us;
    leat__refusals_refresh(run);
    leat_status status = LEAT_OK;
    for (size_t n = 0; n < run->graph->node_count && status == LEAT_OK; n++)
        if (run->source_partitions[n] != 0)
            status = check_topic(run, leat__source_topic(run, &run->graph->nodes[n]),
                                 run->source_partitions[n], run->source_ids[n], error);
    const leat__task *last = NULL; /* tasks of a stage lie together */
    for (size_t i = 0; i < run->task_count && status == LEAT_OK; i++) {
        const leat__task *task = run->tasks[i];
        if (task->changelog != NULL && (last == NULL || last->stage != task->stage))
            status = check_topic(run, task->changelog, run->stage_partitions[task->stage->number],
                                 task->changelog_id, error);
        last = task;
    }
    if (status == LEAT_OK && run->repartitions != NULL)
        status = check_repartitions(run, error);
    return status == LEAT_OK ? leat__tables_check(run, error) : status;
}

/* "The end" is where it was at the start, also after a rewind. */
static leat_status note_ends(leat__run *run, const leat__node *node, uint32_t partition_count,
                             leat_error *error)
{
    int64_t *ends = run->until_end[node->id] = leat__calloc(partition_count, sizeof(*ends));
    leat_status status = LEAT_OK;
    for (uint32_t p = 0; p < partition_count && status == LEAT_OK; p++) {
        int64_t begin;
        status = leat__ask_bounds(run, "the end of a source", node->as.log.topic, p, &begin,
                                  &ends[p], error);
    }
    return status;
}

static leat_status source_topics(leat__run *run, uint32_t *counts, leat_error *error)
{
    for (size_t n = 0; n < run->graph->node_count; n++) {
        const leat__node *node = &run->graph->nodes[n];
        leat_topic_opts wanted = {.partition_count = SOURCE_PARTITIONS};
        if (node->kind > LEAT__NODE_SOURCE_ARRAY)
            continue;
        bool log = node->kind == LEAT__NODE_SOURCE_LOG;
        if (leat__source_out_of_order_ms(node) > run->max_out_of_order_ms)
            run->max_out_of_order_ms = leat__source_out_of_order_ms(node);
        if (node->kind == LEAT__NODE_SOURCE_GENERATOR)
            wanted.partition_count = node->as.generator.partition_count;
        if (node->kind == LEAT__NODE_SOURCE_ARRAY || wanted.partition_count == 0)
            wanted.partition_count = 1;
        if (!log)
            run->position_topics[n] =
                leat__format("%s-%s-position", run->graph->opts.name, node->name);
        leat_status status = ensure_topic(run, leat__source_topic(run, node), &wanted, !log,
                                          &counts[n], &run->source_ids[n], error);
        if (status == LEAT_OK && log && node->as.log.until_end)
            status = note_ends(run, node, counts[n], error);
        if (status != LEAT_OK)
            return status;
        run->partition_total += counts[n];
        if (counts[n] > run->widest)
            run->widest = counts[n];
    }
    if (run->widest == 0)
        run->widest = 1;
    return LEAT_OK;
}

/* A stage with a source has its topic's partitions; behind a HASH exchange the job's or the widest
 * source's; behind FORWARD exchanges only, the widest input's. */
static void count_partitions(leat__run *run, const uint32_t *counts)
{
    const leat__plan *plan = &run->graph->plan;
    uint32_t keyed =
        run->graph->opts.partition_count == 0 ? run->widest : run->graph->opts.partition_count;
    run->stage_partitions = leat__calloc(plan->stage_count + 1, sizeof(uint32_t));
    for (size_t s = 0; s < plan->stage_count; s++) {
        uint32_t *count = &run->stage_partitions[s];
        const leat__stage *stage = &plan->stages[s];
        for (size_t i = 0; i < stage->node_count; i++)
            if (counts[stage->nodes[i]] != 0)
                *count = counts[stage->nodes[i]];
        bool hash = false;
        uint32_t widest_input = 1;
        for (size_t e = 0; e < plan->edge_count; e++) {
            if (plan->edges[e].to_stage != s)
                continue;
            hash |= plan->edges[e].exchange == LEAT__EXCHANGE_HASH;
            uint32_t from = run->stage_partitions[plan->edges[e].from_stage];
            if (from > widest_input)
                widest_input = from;
        }
        if (*count == 0)
            *count = hash ? keyed : widest_input;
    }
}

/* R16: only where records and offsets are one do they say how far the outputs go. */
static leat_status keep_positions(leat__run *run, leat_error *error)
{
    const leat_job_opts *opts = &run->graph->opts;
    const leat_topic_opts wanted = {.partition_count = 1, .compacted = true};
    if (run->forgetful || !leat__log_offsets_expire(run->log) ||
        opts->guarantee != LEAT_EXACTLY_ONCE)
        return LEAT_OK;
    run->positions_topic = leat__format("%s-positions", opts->name);
    return ensure_topic(run, run->positions_topic, &wanted, true, NULL, NULL, error);
}

static leat_status other_topics(leat__run *run, leat_error *error)
{
    const leat__graph *graph = run->graph;
    leat_status status = LEAT_OK;
    bool dead_letters = false;
    for (size_t n = 0; n < graph->node_count && status == LEAT_OK; n++) {
        const leat__node *node = &graph->nodes[n];
        dead_letters |=
            node->kind == LEAT__NODE_OP && node->as.op.on_error == LEAT_ON_ERROR_DEAD_LETTER;
        dead_letters |= node->kind <= LEAT__NODE_SOURCE_ARRAY &&
                        leat__source_on_error(node) == LEAT_ON_ERROR_DEAD_LETTER;
        if (node->kind != LEAT__NODE_SINK_LOG)
            continue;
        const leat_log_sink *sink = &node->as.sink;
        const leat_topic_opts wanted = {
            .partition_count = sink->partition_count == 0 ? run->widest : sink->partition_count,
            .compacted = sink->compacted,
            .retention_ms = sink->retention_ms};
        status =
            ensure_topic(run, sink->topic, &wanted, false, &run->sink_partitions[n], NULL, error);
    }
    for (size_t t = 0; t < graph->table_count && status == LEAT_OK; t++) {
        const leat_table *table = &graph->tables[t].table;
        const leat_topic_opts wanted = {
            .partition_count = table->partition_count == 0 ? run->widest : table->partition_count,
            .compacted = table->compacted};
        uint32_t count = 0;
        status = ensure_topic(run, table->topic, &wanted, false, &count, NULL, error);
        run->table_partitions += count;
    }
    for (size_t s = 0; s < graph->plan.stage_count && status == LEAT_OK; s++) {
        if (!graph->plan.stages[s].has_state || run->forgetful)
            continue;
        char *topic = leat__format("%s-%s-changelog", graph->opts.name, graph->plan.stages[s].name);
        const leat_topic_opts wanted = {.partition_count = run->stage_partitions[s],
                                        .compacted = true};
        status = ensure_topic(run, topic, &wanted, true, NULL, &run->changelog_ids[s], error);
        if (status == LEAT_OK)
            status = leat__refusals_check_topic(run, topic, true, error);
        run->changelogs =
            leat__realloc(run->changelogs, run->changelog_count + 1, sizeof(leat__snapshot_topic));
        run->changelogs[run->changelog_count++] =
            (leat__snapshot_topic){topic, run->changelog_ids[s]};
    }
    if (status == LEAT_OK)
        status = keep_positions(run, error);
    if (dead_letters && status == LEAT_OK)
        status = ensure_topic(run, graph->opts.dead_letters,
                              &(leat_topic_opts){.partition_count = 1}, false, NULL, NULL, error);
    if (dead_letters && status == LEAT_OK)
        status = leat__refusals_check_topic(run, graph->opts.dead_letters, false, error);
    return status == LEAT_OK ? leat__refusals_open(run, error) : status;
}

static leat_status prepare_topics(leat__run *run, leat_error *error)
{
    uint32_t *counts = leat__calloc(run->graph->node_count + 1, sizeof(uint32_t));
    run->source_partitions = counts;
    run->sink_partitions = leat__calloc(run->graph->node_count + 1, sizeof(uint32_t));
    run->source_ids = leat__calloc(run->graph->node_count + 1, sizeof(uint64_t));
    run->changelog_ids = leat__calloc(run->graph->plan.stage_count + 1, sizeof(uint64_t));
    run->position_topics = leat__calloc(run->graph->node_count + 1, sizeof(char *));
    run->until_end = leat__calloc(run->graph->node_count + 1, sizeof(int64_t *));
    leat_status status = source_topics(run, counts, error);
    if (status == LEAT_OK) {
        count_partitions(run, counts);
        status = leat__operators_open(run, error);
        if (status == LEAT_OK)
            status = other_topics(run, error);
        if (status == LEAT_OK)
            status = leat__repartitions_open(run, error);
        if (status == LEAT_OK)
            status = leat__operators_kept(run, error);
        if (status == LEAT_OK)
            run->placed = leat__placed_new(run);
    }
    run->topics_checked_us = run->env->monotonic_us(run->env->arg);
    return status;
}

/* ------------------------------------------------------------------ opening */

static leat_status open_log(leat__run *run, leat_error *error)
{
    const leat_job_opts *opts = &run->graph->opts;
    if (opts->log_handle != NULL) {
        run->log = opts->log_handle;
        return LEAT_OK;
    }
    run->owns_log = true;
    run->forgetful = opts->log == NULL;
    if (run->forgetful && opts->state_dir != NULL)
        return leat__fail(
            error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, opts->name,
            "state_dir without a log would count records twice after a restart; set .log");
    if (opts->log != NULL)
        return leat__log_open_env(&run->log, opts->log, NULL, run->env, error);
    static _Atomic uint64_t numbers;
    run->private_log =
        leat__format("private-%d-%" PRIu64, (int)getpid(), atomic_fetch_add(&numbers, 1));
    char *url = leat__format("sim:%s", run->private_log);
    leat_status status = leat__log_open_env(&run->log, url, NULL, run->env, error);
    leat__free(url);
    return status;
}

static void wake_coordinator(void *run)
{
    leat__doorbell_ring(&((leat__run *)run)->bell);
}

static leat_status join(leat__run *run, leat_error *error)
{
    const leat__graph *graph = run->graph;
    char kept[LEAT__IDENTITY_BYTES];
    const char *instance = graph->opts.instance;
    if (instance == NULL) {
        uint64_t random = run->env->random_u64(run->env->arg);
        leat_status status = leat__identity(graph->opts.state_dir, random, kept, error);
        if (status != LEAT_OK)
            return status;
        instance = kept;
    }
    const char **topics =
        leat__calloc(graph->node_count + graph->plan.stage_count + 1, sizeof(char *));
    leat_log_group group = {.group = graph->opts.name,
                            .instance = instance,
                            .topics = topics,
                            .transaction_timeout_ms = graph->opts.transaction_timeout_ms,
                            .guarantee = graph->opts.guarantee};
    for (size_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].kind <= LEAT__NODE_SOURCE_ARRAY)
            topics[group.topic_count++] = leat__source_topic(run, &graph->nodes[n]);
    for (uint32_t s = 0; s < graph->plan.stage_count; s++)
        if (leat__repartition_of(run, s) != NULL)
            topics[group.topic_count++] = leat__repartition_of(run, s)->topic;
    leat__watch(run, "joining the group", LEAT__LOG_CALL_MS);
    leat_status status =
        leat_log_join(run->log, &group, wake_coordinator, run, &run->member, error);
    leat__watch_end(run);
    leat__free(topics);
    if (status == LEAT_OK)
        leat__snapshots_open(run, instance);
    return status == LEAT_OK ? leat__members_open(run, instance, error) : status;
}

static void make_workers(leat__run *run)
{
    uint32_t widest = 1;
    for (size_t s = 0; s < run->graph->plan.stage_count; s++)
        if (run->stage_partitions[s] > widest)
            widest = run->stage_partitions[s];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t wanted = run->graph->opts.worker_count;
    if (wanted == 0)
        wanted = cores < 1 ? 1 : (uint32_t)cores;
    run->worker_count = run->stepping ? 1 : wanted < widest ? wanted : widest;
    run->workers = leat__calloc(run->worker_count, sizeof(*run->workers));
    for (uint32_t w = 0; w < run->worker_count; w++) {
        run->workers[w].run = run;
        run->workers[w].number = w;
    }
}

/* R28: once it is known how many partitions are read, before anything is opened that takes much. */
static leat_status divide_memory(leat__run *run, leat__database_opts *database, leat_error *error)
{
    const leat_job_opts *opts = &run->graph->opts;
    const leat__plan *plan = &run->graph->plan;
    leat__memory_needs needs = {.job = opts->name,
                                .budget_bytes = opts->memory_bytes,
                                .partitions_read = run->partition_total + run->table_partitions,
                                .buffer_bytes = opts->buffer_bytes,
                                .cache_bytes = opts->cache_bytes};
    if (opts->memory_bytes == 0)
        return LEAT_OK;
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const leat__repartition *through = leat__repartition_of(run, s);
        needs.partitions_read += through == NULL ? 0 : through->partition_count;
        if (plan->stages[s].has_state && opts->state_dir != NULL)
            needs.states += run->stage_partitions[s];
    }
    needs.log_bytes = leat__log_memory_bytes(run->log, needs.partitions_read);
    leat__memory_parts parts;
    leat_status status = leat__memory_divide(&needs, &parts, error);
    if (status != LEAT_OK)
        return status;
    run->buffer_limit = parts.buffer_bytes;
    run->cache_bytes = parts.cache_bytes;
    database->write_buffer_bytes = parts.write_buffer_bytes;
    database->block_cache_bytes = parts.block_cache_bytes;
    leat__log_line(LEAT__INFO, "job",
                   "job '%s': %.1f MiB of memory: log %.1f, an epoch's buffers %.1f, decoded state "
                   "%.1f, RocksDB's write buffers 2 x %.1f and blocks %.1f",
                   opts->name, (double)opts->memory_bytes / 0x1p20,
                   (double)parts.log_bytes / 0x1p20, (double)parts.buffer_bytes / 0x1p20,
                   (double)parts.cache_bytes / 0x1p20, (double)parts.write_buffer_bytes / 0x1p20,
                   (double)parts.block_cache_bytes / 0x1p20);
    return LEAT_OK;
}

static leat_status open_run(leat__run *run, leat_error *error)
{
    const leat_job_opts *opts = &run->graph->opts;
    leat__database_opts database = {.backend =
                                        opts->state_dir == NULL ? LEAT__MEMORY : LEAT__ROCKSDB,
                                    .dir = opts->state_dir,
                                    .snapshots = {.dir = opts->snapshot_dir,
                                                  .job = opts->name,
                                                  .instance = opts->instance,
                                                  .now_ms = run->env->now_ms(run->env->arg)}};
    leat_status status = open_log(run, error);
    if (status == LEAT_OK) {
        run->epoch_us = (opts->epoch_ms > 0 ? opts->epoch_ms : leat__log_epoch_ms(run->log)) * 1000;
        status = prepare_topics(run, error);
    }
    if (status == LEAT_OK)
        status = divide_memory(run, &database, error);
    database.snapshots.topics = run->changelogs;
    database.snapshots.topic_count = run->changelog_count;
    if (status == LEAT_OK)
        status = leat__database_open(&run->database, &database, error);
    if (status == LEAT_OK) /* the database has locked the directory */
        status = leat__suspects_open(run, opts->state_dir, error);
    if (status == LEAT_OK) /* before it joins: while it reads, the others keep the partitions */
        status = leat__tables_open(run, error);
    if (status == LEAT_OK)
        status = join(run, error);
    if (status != LEAT_OK)
        return status;
    make_workers(run);
    return leat__first_assembly(run, error);
}

void leat__run_close(leat_job *job)
{
    leat__run *run = job->run;
    if (run == NULL)
        return;
    leat__does(run, LEAT__DOES_NOTHING);
    pthread_rwlock_wrlock(&job->run_lock); /* queries that are under way end first */
    job->last_stats = run->stats;
    job->last_stats.state = LEAT_DRAINING;
    leat__snapshots_stats(run, &job->last_stats);
    job->run = NULL;
    pthread_rwlock_unlock(&job->run_lock);
    leat__lag_stop(run);
    leat__members_close(run);
    leat__tables_close(run);
    if (run->stage_partitions != NULL)
        leat__disassemble(run);
    leat__trimming_close(run);
    leat__repartitions_close(run);
    leat__watch(run, "leaving the group", LEAT__LOG_CALL_MS);
    leat_log_leave(run->member);
    leat__watch_end(run);
    leat__watchdog_stop(run);
    leat__snapshots_close(run); /* the partitions are with others by now */
    leat__suspects_close(run);
    leat__refusals_close(run);
    leat__database_close(run->database);
    if (run->owns_log)
        leat_log_close(run->log);
    if (run->private_log != NULL)
        leat__sim_forget(run->private_log); /* nobody else can reach it */
    leat__free(run->private_log);
    for (uint32_t w = 0; w < run->worker_count; w++)
        leat__free(run->workers[w].tasks);
    leat__free(run->workers);
    for (size_t i = 0; i < run->assigned_count; i++)
        leat__free((void *)(uintptr_t)run->assigned[i].topic);
    leat__free(run->assigned);
    for (size_t n = 0; run->position_topics != NULL && n < run->graph->node_count; n++)
        leat__free(run->position_topics[n]);
    for (size_t n = 0; run->until_end != NULL && n < run->graph->node_count; n++)
        leat__free(run->until_end[n]);
    leat__free(run->until_end);
    leat__free(run->position_topics);
    leat__free(run->stage_partitions);
    leat__free(run->source_partitions);
    leat__free(run->sink_partitions);
    leat__placed_free(run->placed);
    leat__free(run->source_ids);
    leat__free(run->changelog_ids);
    for (size_t i = 0; i < run->changelog_count; i++)
        leat__free((void *)(uintptr_t)run->changelogs[i].name);
    leat__free(run->changelogs);
    leat__free(run->positions_topic);
    leat__free(run->progress);
    leat__free(run->attempts);
    pthread_rwlock_destroy(&run->assembly_lock);
    pthread_mutex_destroy(&run->lock);
    pthread_cond_destroy(&run->parked_changed);
    leat__free(job->closed_run);
    job->closed_run = run;
}

/* ------------------------------------------------------------------ starting and stopping */

static leat_status begin(leat_job *job, bool stepping, leat_error *error)
{
    if (job->run != NULL)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "job", "is running already");
    leat_status status = leat__graph_plan(&job->graph, error);
    if (status != LEAT_OK)
        return status;
    leat__run *run = leat__calloc(1, sizeof(*run));
    run->job = job;
    run->graph = &job->graph;
    run->env = job->env != NULL ? job->env : leat__env_system();
    run->stepping = stepping;
    run->epoch = 1;
    run->incarnation = run->env->random_u64(run->env->arg);
    run->backlog_us =
        (job->graph.opts.backlog_epoch_ms == 0 ? 200 : job->graph.opts.backlog_epoch_ms) * 1000;
    run->buffer_limit =
        job->graph.opts.buffer_bytes == 0 ? LEAT__EPOCH_BYTES_MAX : job->graph.opts.buffer_bytes;
    run->cache_bytes = job->graph.opts.cache_bytes;
    run->last_commit_us = run->env->monotonic_us(run->env->arg);
    run->restoring = true;
    init_lock(&run->assembly_lock);
    pthread_mutex_init(&run->lock, NULL);
    pthread_cond_init(&run->parked_changed, NULL);
    job->run = run; /* statistics may be asked for from now on */
    if (atomic_load(&job->stop_before_start))
        atomic_store(&run->stop_requested, true);
    if (!stepping)
        status = leat__watchdog_start(run, error);
    if (status == LEAT_OK)
        status = open_run(run, error);
    if (status != LEAT_OK)
        leat__run_close(job);
    else
        atomic_store(&run->open, true);
    return status;
}

/* Ends the threads of a run that could not be started completely. */
static void end_threads(leat__run *run)
{
    atomic_store(&run->quit, true);
    for (uint32_t w = 0; w < run->workers_started; w++)
        leat__doorbell_ring(&run->workers[w].bell);
    for (uint32_t w = 0; w < run->workers_started; w++)
        pthread_join(run->workers[w].thread, NULL);
}

static leat_status start_threads(leat__run *run, leat_error *error)
{
    run->threads_started = true;
    leat_status status = leat__tables_start(run, error);
    if (status == LEAT_OK)
        status = leat__snapshots_start(run);
    if (status == LEAT_OK)
        status = leat__lag_start(run);
    if (status == LEAT_OK)
        status = leat__trimming_start(run);
    while (status == LEAT_OK && run->workers_started < run->worker_count) {
        leat__worker *worker = &run->workers[run->workers_started];
        if (pthread_create(&worker->thread, NULL, leat__worker_main, worker) == 0)
            run->workers_started++;
        else
            status = LEAT_EINTERNAL;
    }
    if (status == LEAT_OK &&
        pthread_create(&run->coordinator, NULL, leat__coordinator_main, run) != 0)
        status = LEAT_EINTERNAL;
    if (status == LEAT_OK)
        return LEAT_OK;
    end_threads(run);
    return leat__fail(error, status, LEAT_RECOVERY_FATAL, "job",
                      "threads could not be started; raise the process limit");
}

static leat_status refuse(leat_error *error, const char *what)
{
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "job", "%s", what);
}

/* Is it a job, and may this thread run it, wait for it, take it down? */
static leat_status may_steer(const leat_job *job, const char *call, leat_error *error)
{
    if (job == NULL)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "job", "%s: the job is NULL",
                          call);
    if (leat__job_of_thread != job)
        return LEAT_OK;
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "job",
                      "%s was called from a callback of the job itself; a callback may call "
                      "leat_job_stop",
                      call);
}

static leat_status start(leat_job *job, leat_error *error)
{
    leat_status status = begin(job, false, error);
    if (status == LEAT_EABORTED && atomic_exchange(&job->stop_before_start, false)) {
        if (error != NULL) /* stopped while it was still restoring: nothing was begun */
            *error = (leat_error){0};
        job->ended = true;
        job->ended_as = (leat_error){0};
        return LEAT_OK;
    }
    if (status != LEAT_OK)
        return status;
    status = start_threads(job->run, error);
    if (status != LEAT_OK)
        leat__run_close(job);
    return status;
}

leat_status leat_job_start(leat_job *job, leat_error *error)
{
    leat_status status = may_steer(job, "leat_job_start", error);
    if (status != LEAT_OK)
        return status;
    if (atomic_exchange(&job->running, true))
        return refuse(error, "is running already; leat_job_wait waits for its end, after which it "
                             "may be run again");
    job->ended = false;
    leat__job_of_thread = job;
    status = start(job, error);
    leat__job_of_thread = NULL;
    if (job->run == NULL) /* failed, or stopped before it began */
        atomic_store(&job->running, false);
    return status;
}

void leat_job_stop(leat_job *job)
{
    if (job == NULL)
        return;
    atomic_store(&job->stop_before_start, true); /* first: begin() looks after it made the run */
    leat__run *run = job->run;
    if (run == NULL)
        return;
    atomic_store(&run->stop_requested, true);
    leat__doorbell_ring(&run->bell);
}

/* Waits for the run, if there is one, and takes it down; what it ended with is kept. */
static void end_run(leat_job *job)
{
    leat__run *run = job->run;
    if (run == NULL)
        return;
    if (run->threads_started) {
        pthread_join(run->coordinator, NULL);
        for (uint32_t w = 0; w < run->worker_count; w++)
            pthread_join(run->workers[w].thread, NULL);
    }
    leat__job_of_thread = job;
    leat__run_close(job); /* on_close may fail, too */
    leat__job_of_thread = NULL;
    job->ended_as = ((leat__run *)job->closed_run)->fatal;
    if (job->ended_as.status == LEAT_OK) /* built on while it ran */
        job->ended_as = job->graph.error;
    job->ended = true;
    atomic_store(&job->stop_before_start, false);
    atomic_store(&job->running, false);
}

leat_status leat_job_wait(leat_job *job, leat_error *error)
{
    leat_status status = may_steer(job, "leat_job_wait", error);
    if (status != LEAT_OK)
        return status;
    if (job->run == NULL && !job->ended)
        return refuse(error, "was not started; call leat_job_start first, or leat_job_run");
    if (atomic_exchange(&job->waited_for, true))
        return refuse(error, "another thread waits for the job");
    end_run(job);
    if (error != NULL)
        *error = job->ended_as;
    status = job->ended_as.status;
    atomic_store(&job->waited_for, false);
    return status;
}

leat_status leat_job_run(leat_job *job, leat_error *error)
{
    leat_status status = leat_job_start(job, error);
    return status != LEAT_OK ? status : leat_job_wait(job, error);
}

void leat_job_free(leat_job *job)
{
    leat_error error;
    if (job == NULL)
        return;
    leat_status status = may_steer(job, "leat_job_free", &error);
    if (status == LEAT_OK && atomic_load(&job->waited_for))
        status = refuse(&error, "leat_job_free: another thread still waits for the job");
    if (status != LEAT_OK) { /* to free it now would crash; it is stopped, and stays */
        leat__log_line(LEAT__ERROR, "job", "%s", error.message);
        leat_job_stop(job);
        return;
    }
    leat__signals_forget(job);
    leat_job_stop(job);
    end_run(job); /* who wants to know how it ended waits for it before */
    leat__graph_free(&job->graph);
    pthread_rwlock_destroy(&job->run_lock);
    leat__free(job->closed_run);
    leat__free(job);
}

static leat_status step(leat_job *job, bool *busy, leat_error *error)
{
    if (job->run == NULL) {
        leat_status status = begin(job, true, error);
        if (status != LEAT_OK)
            return status;
    }
    leat__run *run = job->run;
    if (!run->stepping)
        return refuse(error, "runs on threads of its own; leat_job_step is instead of "
                             "leat_job_start");
    *busy = !run->finished && leat__tables_step(run);
    if (!run->finished)
        *busy |= leat__members_step(run);
    for (size_t i = 0; i < run->task_count && !run->finished; i++)
        *busy |= leat__task_run(run->tasks[i]);
    leat__phase before = run->phase;
    uint64_t epochs_before = run->epoch;
    if (!run->finished)
        (void)leat__coordinator_step(run);
    *busy |= run->phase != before || run->epoch != epochs_before;
    if (!run->finished) {
        leat__snapshots_step(run);
        leat__trimming_step(run);
    }
    if (run->fatal.status != LEAT_OK && run->finished) {
        if (error != NULL)
            *error = run->fatal;
        return run->fatal.status;
    }
    return LEAT_OK;
}

leat_status leat_job_step(leat_job *job, bool *busy, leat_error *error)
{
    leat_status status = may_steer(job, "leat_job_step", error);
    if (status != LEAT_OK)
        return status;
    if (busy == NULL)
        return refuse(error, "leat_job_step: busy is NULL");
    *busy = false;
    leat__job_of_thread = job;
    status = step(job, busy, error);
    leat__job_of_thread = NULL;
    return status;
}
