/* engine/commit.c - one epoch becomes true: one log transaction, then the database, then whoever
 * waits for it.
 *
 *   begin ─ outputs ─ changelog + seal (R2) per touched partition ─ source positions ─ COMMIT
 *                                                                                        │
 *            on_committed, file and fn sinks ◄── state database (R6: after, never before) ◄┘
 *
 * Runs on the coordinator's thread, so that a log that blocks stops nobody else; a watchdog ends
 * the process if it blocks for too long (R3).
 */
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "engine/placed.h"
#include "engine/refusals.h"
#include "engine/suspects.h"
#include "log/driver.h"
#include "record/codec.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

typedef struct position {
    leat__task *task;
    int64_t next;
    leat__seal_identity seal;
} position;

typedef struct commit {
    leat__run *run;
    leat_log_txn *txn;
    leat__buffer seals;     /* values of the seals; grown before pointers into it are taken */
    leat_log_record *batch; /* records of one task, handed to the log in one call */
    size_t batch_capacity;
    position *positions; /* by task number: the changelog's end after this epoch */
    leat_error internal; /* the log has refused a record of the job's own; else LEAT_OK */
} commit;

static leat_str at(const leat__buffer *bytes, size_t offset, size_t length)
{
    return (leat_str){bytes->data + offset, length};
}

static const char *topic_of(const leat__run *run, const leat__out_record *record)
{
    if (record->node == LEAT__SINK_DEAD_LETTERS)
        return run->graph->opts.dead_letters;
    if (record->node >= LEAT__SINK_STAGE)
        return leat__repartition_of(run, record->node - LEAT__SINK_STAGE)->topic;
    const leat__node *node = &run->graph->nodes[record->node];
    return node->kind == LEAT__NODE_SINK_LOG ? node->as.sink.topic : NULL;
}

static leat_log_record *room(commit *c, size_t count)
{
    if (count > c->batch_capacity) {
        c->batch_capacity = count;
        c->batch = leat__realloc(c->batch, count, sizeof(*c->batch));
    }
    return c->batch;
}

static leat_log_record out_record(const leat__bundle *bundle, const leat__out_record *record,
                                  const char *topic)
{
    leat_log_record out = {.topic = topic,
                           .partition = record->partition,
                           .offset = -1,
                           .timestamp_ms = record->timestamp_ms,
                           .value = at(&bundle->bytes, record->value_at, record->value_length)};
    if (record->has_key)
        out.key = at(&bundle->bytes, record->key_at, record->key_length);
    return out;
}

static leat_status add_outputs(commit *c, const leat__bundle *bundle, leat_error *error)
{
    leat_log_record *batch = room(c, bundle->count);
    size_t count = 0;
    for (size_t i = 0; i < bundle->count; i++) {
        leat__out_record *record = &bundle->records[i];
        const char *topic = topic_of(c->run, record);
        if (topic == NULL)
            continue;
        batch[count] = out_record(bundle, record, topic);
        if (c->run->placed != NULL) {
            leat__placed_add(c->run->placed, record, batch[count].key);
            batch[count].partition = record->partition;
        }
        count++;
    }
    return count == 0 ? LEAT_OK : leat__log_txn_lend(c->txn, batch, count, error);
}

static leat_status add_changes(commit *c, leat__task *task, leat__bundle *bundle, leat_error *error)
{
    if (bundle->change_count == 0)
        return LEAT_OK;
    leat_log_record *batch = room(c, bundle->change_count + 1);
    int64_t at_ms = bundle->kept_watermark_ms, min_ms = leat__log_timestamp_min_ms(c->run->log);
    if (at_ms < min_ms)
        at_ms = min_ms;
    for (size_t i = 0; i < bundle->change_count; i++)
        batch[i] = (leat_log_record){.topic = task->changelog,
                                     .partition = task->partition,
                                     .timestamp_ms = at_ms,
                                     .key = bundle->changes.changes[i].key,
                                     .value = bundle->changes.changes[i].value};
    size_t seal_at = c->seals.length;
    c->positions[task->number].seal = leat__seal_append(&c->seals, task, bundle);
    batch[bundle->change_count] =
        (leat_log_record){.topic = task->changelog,
                          .partition = task->partition,
                          .timestamp_ms = at_ms,
                          .key = leat__seal_key,
                          .value = at(&c->seals, seal_at, c->seals.length - seal_at)};
    return leat__log_txn_lend(c->txn, batch, bundle->change_count + 1, error);
}

static leat_status add_offset(commit *c, const leat__task *task, const leat__bundle *bundle,
                              leat_error *error)
{
    char text[LEAT__OFFSET_METADATA_BYTES];
    bool changed = bundle->change_count != 0; /* R16: what the changelog must have from now on */
    int length = leat__offset_metadata(text, bundle->max_timestamp_ms,
                                       changed ? bundle->epoch : task->sealed_epoch_before,
                                       bundle->drained, task->source->topic_id);
    leat__buffer metadata = {0};
    leat__buffer_bytes(&metadata, text, (size_t)length);
    leat__buffer_bytes(&metadata, bundle->senders.data, bundle->senders.length);
    const leat_log_offset offset = {.topic = task->source->topic,
                                    .partition = task->partition,
                                    .offset = bundle->offset,
                                    .metadata = {metadata.data, metadata.length}};
    leat_status status = leat_log_txn_offsets(c->txn, &offset, 1, error);
    bool kept = changed || (task->position_kept && bundle->offset == task->committed_offset);
    if (status == LEAT_OK && c->run->positions_topic != NULL && bundle->has_offset && !kept)
        status = leat__positions_add(c->run, c->txn, &offset, error);
    leat__buffer_free(&metadata);
    return status;
}

static void written(void *arg, const char *topic, uint32_t partition, int64_t first, int64_t next)
{
    commit *c = arg;
    leat__placed_written(c->run->placed, topic, partition, first, next);
    if (next < 0) /* R6: not known; the position stays at a former seal */
        return;
    for (size_t i = 0; i < c->run->task_count; i++) {
        leat__task *task = c->run->tasks[i];
        if (task->changelog != NULL && task->partition == partition &&
            strcmp(task->changelog, topic) == 0)
            c->positions[i].next = next;
    }
}

static leat_status add_epoch(commit *c, leat_error *error)
{
    leat__run *run = c->run;
    leat_status status = LEAT_OK;
    leat__watch_phase(run, "add");
    for (size_t i = 0; i < run->task_count && status == LEAT_OK; i++) {
        leat__task *task = run->tasks[i];
        status = add_outputs(c, task->sealed, error);
        if (status == LEAT_OK)
            status = add_changes(c, task, task->sealed, error);
    }
    leat__watch_phase(run, "offsets");
    for (size_t i = 0; i < run->task_count && status == LEAT_OK; i++)
        if (run->tasks[i]->source != NULL)
            status = add_offset(c, run->tasks[i], run->tasks[i]->sealed, error);
    return status;
}

/* Which of the epoch's records was added as number so and so (add_epoch); NULL: one of the
 * changelog. */
static const leat__out_record *find_added(const commit *c, size_t number,
                                          const leat__bundle **bundle)
{
    const leat__run *run = c->run;
    for (size_t i = 0; i < run->task_count; i++) {
        *bundle = run->tasks[i]->sealed;
        for (size_t k = 0; k < (*bundle)->count; k++)
            if (topic_of(run, &(*bundle)->records[k]) != NULL && number-- == 0)
                return &(*bundle)->records[k];
        size_t changes = (*bundle)->change_count == 0 ? 0 : (*bundle)->change_count + 1;
        if (number < changes)
            return NULL;
        number -= changes;
    }
    return NULL;
}

/* R19: done again, a sink's record is the failure of what emits it. The job's own records have
 * nobody to blame. */
static void refused(void *arg, size_t number, const leat_error *reason)
{
    commit *c = arg;
    const leat__bundle *bundle;
    const leat__out_record *record = find_added(c, number, &bundle);
    if (record != NULL && record->node < LEAT__SINK_STAGE) {
        const leat__node *sink = &c->run->graph->nodes[record->node];
        const leat_log_record out = out_record(bundle, record, sink->as.sink.topic);
        leat__refusals_note(c->run, sink, &out, reason);
        return;
    }
    c->internal = *reason;
    c->internal.recovery = LEAT_RECOVERY_FATAL;
}

static leat_status transact(commit *c, leat_error *error)
{
    leat__run *run = c->run;
    leat__watch_phase(run, "begin");
    leat__placed_begin(run->placed);
    leat_status status = leat_log_begin(run->member, run->generation, &c->txn, error); /* R7 */
    if (status != LEAT_OK)
        return status;
    status = add_epoch(c, error);
    if (status != LEAT_OK) {
        leat__watch_phase(run, "abort");
        leat_log_txn_abort(c->txn);
        return status;
    }
    leat__watch_phase(run, "commit");
    leat__log_txn_on_refused(c->txn, refused, c);
    status = leat_log_txn_commit_ex(c->txn, written, c, error);
    if (status == LEAT_OK || c->internal.status == LEAT_OK)
        return status;
    *error = c->internal;
    return error->status;
}

/* R3: a client's call may block for ever. */
static leat_status transact_watched(commit *c, leat_error *error)
{
    leat__run *run = c->run;
    leat__does(run, LEAT__DOES_COMMIT);
    leat__watch(run, "commit", run->graph->opts.transaction_timeout_ms + LEAT__COMMIT_GRACE_MS);
    leat_status status = transact(c, error);
    leat__watch_end(run);
    return status;
}

static leat_status apply(commit *c, leat_error *error)
{
    leat__run *run = c->run;
    leat__apply *applies = leat__calloc(run->task_count + 1, sizeof(*applies));
    leat__does(run, LEAT__DOES_APPLY);
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < run->task_count; i++) {
        leat__task *task = run->tasks[i];
        if (task->face.store == NULL)
            continue;
        if (task->sealed->change_count != 0)
            task->sealed_epoch_before = task->sealed->epoch;
        int64_t next = c->positions[i].next;
        bytes += task->sealed->changes.bytes + task->sealed->changes.count * sizeof(leat__change);
        applies[count++] = (leat__apply){.store = task->face.store,
                                         .changes = &task->sealed->changes,
                                         /* at its seal, see restore.c */
                                         .changelog_position = next <= 0 ? -1 : next - 1,
                                         .seal = c->positions[i].seal,
                                         .at_ms = run->env->now_ms(run->env->arg),
                                         .epoch = task->sealed->epoch};
    }
    leat_status status = LEAT_OK;
    if (leat__backlog_defers(run, bytes))
        leat__database_defer(applies, count);
    else if (count != 0)
        status = leat__database_apply(run->database, applies, count, error);
    leat__free(applies);
    return status;
}

/* ------------------------------------------------------------------ after the commit */

static void deliver_fn(const leat__node *node, leat__arena *arena, leat_str value)
{
    void *record = leat__arena_alloc(arena, node->type->size_bytes);
    memset(record, 0, node->type->size_bytes);
    leat_error error;
    if (leat__binary_decode_into(arena, node->type, value, LEAT__STRINGS_IN_INPUT, record,
                                 &error) == LEAT_OK)
        node->as.sink_fn.fn(node->as.sink_fn.arg, record);
    leat__arena_reset(arena);
}

static void deliver(leat__run *run, const leat__bundle *bundle, leat__arena *arena)
{
    for (size_t i = 0; i < bundle->count; i++) {
        const leat__out_record *record = &bundle->records[i];
        int64_t offset = run->placed == NULL ? -1 : leat__placed_next(run->placed, record);
        if (record->node >= LEAT__SINK_STAGE) /* and dead letters */
            continue;
        const leat__node *node = &run->graph->nodes[record->node];
        leat_str value = at(&bundle->bytes, record->value_at, record->value_length);
        atomic_store_explicit(&run->delivering, node, memory_order_relaxed);
        leat__moves(run);
        if (node->kind == LEAT__NODE_SINK_FN) {
            deliver_fn(node, arena, value);
        } else if (node->kind == LEAT__NODE_SINK_FILE) {
            (void)fwrite(value.data, 1, value.length, node->as.sink_file);
            (void)fputc('\n', node->as.sink_file);
        } else if (node->as.sink.on_committed != NULL) {
            leat_log_record out = out_record(bundle, record, node->as.sink.topic);
            out.offset = offset;
            node->as.sink.on_committed(node->as.sink.arg, &out);
        }
    }
}

/* A file that can't be written ends the job: lines must not go missing silently. */
static void flush_files(leat__run *run)
{
    for (size_t n = 0; n < run->graph->node_count; n++) {
        const leat__node *node = &run->graph->nodes[n];
        if (node->kind != LEAT__NODE_SINK_FILE)
            continue;
        bool flushed = fflush(node->as.sink_file) == 0;
        if (flushed && ferror(node->as.sink_file) == 0)
            continue;
        leat_error error;
        leat_status status = flushed ? LEAT_EIO : leat__errno_status(errno);
        (void)leat__fail(&error, status, LEAT_RECOVERY_FATAL, node->name,
                         "the file could not be written: %s", strerror(errno));
        leat__run_fail(run, &error);
    }
}

static void deliver_all(leat__run *run)
{
    leat__arena arena = {0};
    leat__does(run, LEAT__DOES_DELIVER);
    for (size_t i = 0; i < run->task_count; i++)
        deliver(run, run->tasks[i]->sealed, &arena);
    atomic_store_explicit(&run->delivering, NULL, memory_order_relaxed);
    leat__arena_free(&arena);
    flush_files(run);
}

/* ------------------------------------------------------------------ the whole of it */

static void count_epoch(leat__run *run, int64_t started_us, bool transacted)
{
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    leat_job_stats stats = {.watermark_ms = LEAT_TIME_MAX, .watermark_max_ms = LEAT_TIME_MIN};
    leat__counters sum = run->counters_before;
    for (size_t i = 0; i < run->task_count; i++) {
        const leat__bundle *bundle = run->tasks[i]->sealed;
        sum.in += bundle->counters.in;
        sum.out += bundle->counters.out;
        sum.late += bundle->counters.late;
        sum.skipped += bundle->counters.skipped;
        sum.dead += bundle->counters.dead;
        sum.ahead += bundle->counters.ahead;
        sum.misplaced += bundle->counters.misplaced;
        if (bundle->watermark_ms < stats.watermark_ms)
            stats.watermark_ms = bundle->watermark_ms;
        if (bundle->watermark_ms > stats.watermark_max_ms)
            stats.watermark_max_ms = bundle->watermark_ms;
        stats.state_entries += bundle->store_stats.entries;
        stats.state_cache_bytes += bundle->store_stats.cache_bytes;
        stats.timers += bundle->store_stats.timers;
    }
    pthread_mutex_lock(&run->lock);
    stats.records_in = sum.in;
    stats.records_out = sum.out;
    stats.records_late = sum.late;
    stats.records_skipped = sum.skipped;
    stats.records_dead = sum.dead;
    stats.records_ahead = sum.ahead;
    stats.records_misplaced = sum.misplaced;
    stats.epochs = run->stats.epochs + transacted;
    stats.rewinds = run->stats.rewinds;
    run->stats = stats;
    if (transacted) {
        leat__histogram_record(&run->commit_us, (uint64_t)(now_us - started_us));
        if (run->opened_us != 0)
            leat__histogram_record(&run->epoch_latency_us, (uint64_t)(now_us - run->opened_us));
    }
    pthread_mutex_unlock(&run->lock);
}

/* R24: an epoch that wrote nothing needs no transaction; moved positions are committed at least
 * every 5 s, others to prove that they are still ours (R15). */
static bool worth_a_transaction(leat__run *run, bool force)
{
    bool moved = false;
    if (run->proving)
        return true;
    for (size_t i = 0; i < run->task_count; i++) {
        const leat__bundle *bundle = run->tasks[i]->sealed;
        if (bundle->count != 0 || bundle->change_count != 0)
            return true;
        moved |= !run->forgetful && bundle->has_offset &&
                 bundle->offset != run->tasks[i]->committed_offset;
    }
    run->offsets_pending = moved;
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    return moved && (force || now_us - run->last_commit_us >= 5000000);
}

static bool writes_to_log(const leat__run *run)
{
    for (size_t n = 0; n < run->graph->node_count; n++)
        if (run->graph->nodes[n].kind == LEAT__NODE_SINK_LOG)
            return true;
    return run->repartitions != NULL;
}

leat_status leat__commit(leat__run *run, bool force, leat_error *error)
{
    int64_t started_us = run->env->monotonic_us(run->env->arg);
    bool worth =
        worth_a_transaction(run, force || leat__suspects_any(run) || leat__attempts_pending(run));
    leat_status status = LEAT_OK;
    if (worth || run->deferred_bytes != 0) {
        commit c = {.run = run};
        c.positions = leat__calloc(run->task_count + 1, sizeof(*c.positions));
        /* pointers into it are handed out */
        leat__buffer_reserve(&c.seals, (run->task_count + 1) * LEAT__SEAL_BYTES);
        if (worth && (!run->forgetful || writes_to_log(run)))
            status = transact_watched(&c, error);
        if (status == LEAT_OK)
            status = apply(&c, error);
        leat__buffer_free(&c.seals);
        leat__free(c.batch);
        leat__free(c.positions);
    }
    if (status != LEAT_OK)
        return status;
    if (worth) {
        run->last_commit_us = run->env->monotonic_us(run->env->arg);
        run->offsets_pending = run->proving = false;
        leat__lease_renew(run, started_us); /* R15: not from now on; it may have stood still */
        deliver_all(run);
    }
    count_epoch(run, started_us, worth);
    size_t freed = 0;
    for (size_t i = 0; i < run->task_count; i++) {
        leat__task *task = run->tasks[i];
        if (worth && task->sealed->has_offset) {
            task->committed_offset = task->sealed->offset;
            task->position_kept = true;
        }
        freed += task->sealed->accounted_bytes;
        task->sealed->accounted_bytes = 0;
    }
    atomic_fetch_sub(&run->buffered_bytes, freed);
    if (worth)
        leat__suspects_committed(run);
    leat__moves(run);
    return LEAT_OK;
}
