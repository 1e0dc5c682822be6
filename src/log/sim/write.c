/* log/sim/write.c - appends and transactions.
 *
 *   begin ── add: copied into txn->records ── offsets: into txn->offsets ── commit
 *                                                                              │ one lock:
 *       records get the next offsets of their partitions, offsets their place ◄┘ all or nothing
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/sim/world.h"
#include <string.h>

struct sim_txn {
    leat_log_txn base;
    sim_member *member; /* NULL once it has left */
    int64_t generation;
    leat__arena arena; /* everything below points into it */
    leat_log_record *records;
    size_t record_count, record_capacity;
    leat_log_offset *offsets;
    size_t offset_count, offset_capacity;
};

/* Finds the partition of each record; writes it into partitions. */
static leat_status place_all(leat__sim *sim, const leat_log_record *records, size_t count,
                             uint32_t *partitions, leat_error *error)
{
    for (size_t i = 0; i < count; i++) {
        sim_topic *topic;
        leat_status status = leat__sim_topic_find(sim, records[i].topic, &topic, error);
        if (status == LEAT_OK)
            status = leat__log_check_place(&records[i], &topic->opts, error);
        if (status == LEAT_OK)
            partitions[i] = leat__log_place(&records[i], &topic->opts, &topic->round_robin);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static leat_status injected(leat_error *error, leat_status status)
{
    if (status == LEAT_OK)
        return LEAT_OK;
    bool passing = status == LEAT_EAGAIN || status == LEAT_EUNREACHABLE; /* as from brokers */
    return leat__fail(error, status, passing ? LEAT_RECOVERY_RETRY : LEAT_RECOVERY_FATAL, "sim",
                      "injected: %s", leat_status_text(status));
}

leat_status leat__sim_append(leat_log *log, leat_log_record *records, size_t count,
                             leat_error *error)
{
    leat__sim *sim = sim_of(log);
    leat__wakes wakes = {0};
    uint32_t *partitions = leat__calloc(count, sizeof *partitions);
    pthread_mutex_lock(&sim->lock);
    leat_status status = place_all(sim, records, count, partitions, error);
    if (status == LEAT_OK && sim->hooks.before_append != NULL)
        status = injected(error, sim->hooks.before_append(sim->hooks.arg, count));
    for (size_t i = 0; status == LEAT_OK && i < count; i++) {
        sim_topic *topic;
        status = leat__sim_topic_find(sim, records[i].topic, &topic, error);
        if (status != LEAT_OK)
            break; /* cannot be: place_all found it under the same lock */
        records[i].partition = partitions[i];
        leat__sim_partition_push(&topic->partitions[partitions[i]], &records[i]);
    }
    if (status == LEAT_OK)
        leat__sim_collect_wakes(sim, &wakes);
    pthread_mutex_unlock(&sim->lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    leat__free(partitions);
    return status;
}

/* ------------------------------------------------------------------ transactions */

leat_status leat__sim_begin(leat_log_member *base, int64_t generation, leat_log_txn **out,
                            leat_error *error)
{
    sim_member *member = (sim_member *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    leat_status status = LEAT_OK;
    if (member->txn != NULL)
        status = leat__log_txn_is_open(error, leat__group_name(member->seat));
    if (status == LEAT_OK)
        status = leat__group_check(member->seat, generation, error);
    if (status == LEAT_OK) {
        sim_txn *txn = leat__calloc(1, sizeof *txn);
        txn->member = member;
        txn->generation = generation;
        member->txn = txn;
        *out = &txn->base;
    }
    pthread_mutex_unlock(&sim->lock);
    return status;
}

leat_status leat__sim_txn_add(leat_log_txn *base, const leat_log_record *records, size_t count,
                              leat_error *error)
{
    sim_txn *txn = (sim_txn *)base;
    leat__sim *sim = sim_of(base->log);
    uint32_t *partitions = leat__calloc(count, sizeof *partitions);
    pthread_mutex_lock(&sim->lock);
    leat_status status = place_all(sim, records, count, partitions, error);
    pthread_mutex_unlock(&sim->lock);
    if (status == LEAT_OK && txn->record_count + count > txn->record_capacity) {
        txn->record_capacity = (txn->record_count + count) * 2;
        txn->records = leat__realloc(txn->records, txn->record_capacity, sizeof *txn->records);
    }
    for (size_t i = 0; status == LEAT_OK && i < count; i++) {
        leat_log_record *copy = &txn->records[txn->record_count++];
        *copy = records[i];
        copy->topic = leat__arena_copy(&txn->arena, records[i].topic, strlen(records[i].topic) + 1);
        copy->partition = partitions[i];
        copy->key = leat__arena_str(&txn->arena, records[i].key);
        copy->value = leat__arena_str(&txn->arena, records[i].value);
    }
    leat__free(partitions);
    return status;
}

leat_status leat__sim_txn_offsets(leat_log_txn *base, const leat_log_offset *offsets, size_t count,
                                  leat_error *error)
{
    sim_txn *txn = (sim_txn *)base;
    leat__sim *sim = sim_of(base->log);
    leat_status status = LEAT_OK;
    pthread_mutex_lock(&sim->lock);
    for (size_t i = 0; i < count && status == LEAT_OK; i++) {
        sim_topic *topic;
        status =
            leat__sim_partition_find(sim, offsets[i].topic, offsets[i].partition, &topic, error);
    }
    pthread_mutex_unlock(&sim->lock);
    if (status != LEAT_OK || count == 0)
        return status;
    if (txn->offset_count + count > txn->offset_capacity) {
        txn->offset_capacity = (txn->offset_count + count) * 2;
        txn->offsets = leat__realloc(txn->offsets, txn->offset_capacity, sizeof *txn->offsets);
    }
    for (size_t i = 0; i < count; i++) {
        leat_log_offset *copy = &txn->offsets[txn->offset_count++];
        *copy = offsets[i];
        copy->topic = leat__arena_copy(&txn->arena, offsets[i].topic, strlen(offsets[i].topic) + 1);
        copy->metadata = leat__arena_str(&txn->arena, offsets[i].metadata);
    }
    return LEAT_OK;
}

static void txn_free(sim_txn *txn)
{
    leat__arena_free(&txn->arena);
    leat__free(txn->records);
    leat__free(txn->offsets);
    leat__free(txn);
}

static leat_status refuse_records(leat__sim *sim, const sim_txn *txn, leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < txn->record_count && sim->hooks.refuse != NULL; i++) {
        const leat_log_record *record = &txn->records[i];
        const char *reason = sim->hooks.refuse(sim->hooks.arg, record);
        leat_error one;
        if (reason == NULL)
            continue;
        (void)leat__fail(&one, LEAT_EDATA, LEAT_RECOVERY_RESTART, record->topic,
                         "the log refuses a record for '%.80s': %.200s", record->topic, reason);
        if (txn->base.refused != NULL)
            txn->base.refused(txn->base.refused_arg, i, &one);
        status = one.status;
        if (error != NULL)
            *error = one;
    }
    return status;
}

/* Everything that can refuse a commit, before anything of it happens. */
static leat_status check_commit(leat__sim *sim, sim_txn *txn, leat_error *error)
{
    if (txn->member == NULL)
        return leat__log_member_left(error);
    const leat__seat *seat = txn->member->seat;
    leat_status status = leat__group_check(seat, txn->generation, error);
    for (size_t i = 0; i < txn->record_count && status == LEAT_OK; i++) {
        sim_topic *topic;
        status = leat__sim_partition_find(sim, txn->records[i].topic, txn->records[i].partition,
                                          &topic, error);
    }
    for (size_t i = 0; i < txn->offset_count && status == LEAT_OK; i++) {
        sim_topic *topic;
        status = leat__sim_partition_find(sim, txn->offsets[i].topic, txn->offsets[i].partition,
                                          &topic, error);
    }
    if (status == LEAT_OK && sim->hooks.before_commit != NULL)
        status = injected(error, sim->hooks.before_commit(sim->hooks.arg, leat__group_name(seat),
                                                          seat->instance, txn->record_count));
    return status == LEAT_OK ? refuse_records(sim, txn, error) : status;
}

/* Tells once per partition where its records went. The records know their offsets by now. */
static void tell_written(const sim_txn *txn, leat__written_fn written, void *arg)
{
    for (size_t i = 0; i < txn->record_count; i++) {
        const leat_log_record *first = &txn->records[i], *last = first;
        bool told = false;
        for (size_t j = 0; j < txn->record_count && !told; j++) {
            const leat_log_record *other = &txn->records[j];
            if (other->partition != first->partition || strcmp(other->topic, first->topic) != 0)
                continue;
            if (j < i)
                told = true;
            last = other;
        }
        if (!told)
            written(arg, first->topic, first->partition, first->offset, last->offset + 1);
    }
}

leat_status leat__sim_txn_commit(leat_log_txn *base, leat__written_fn written, void *arg,
                                 leat_error *error)
{
    sim_txn *txn = (sim_txn *)base;
    leat__sim *sim = sim_of(base->log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&sim->lock);
    leat_status status = check_commit(sim, txn, error);
    for (size_t i = 0; i < txn->record_count && status == LEAT_OK; i++) {
        sim_topic *topic;
        status = leat__sim_topic_find(sim, txn->records[i].topic, &topic, error);
        if (status == LEAT_OK)
            leat__sim_partition_push(&topic->partitions[txn->records[i].partition],
                                     &txn->records[i]);
    }
    for (size_t i = 0; i < txn->offset_count && status == LEAT_OK; i++)
        leat__sim_offset_set(sim, leat__group_name(txn->member->seat), &txn->offsets[i]);
    if (txn->member != NULL)
        txn->member->txn = NULL;
    if (status == LEAT_OK)
        leat__sim_collect_wakes(sim, &wakes);
    pthread_mutex_unlock(&sim->lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    if (status == LEAT_OK && written != NULL)
        tell_written(txn, written, arg);
    txn_free(txn);
    return status;
}

void leat__sim_txn_abort(leat_log_txn *base)
{
    sim_txn *txn = (sim_txn *)base;
    leat__sim *sim = sim_of(base->log);
    pthread_mutex_lock(&sim->lock);
    if (txn->member != NULL)
        txn->member->txn = NULL;
    pthread_mutex_unlock(&sim->lock);
    txn_free(txn);
}

void leat__sim_txn_orphan(sim_txn *txn)
{
    txn->member = NULL;
}
