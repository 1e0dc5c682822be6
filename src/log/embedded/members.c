/* log/embedded/members.c - groups, committed offsets and transactions.
 *
 *   begin ── txn_add: encoded into a stage ── txn_offsets: into a list ── commit
 *     seat->committing = true    under group_lock: the generation is current (R7), nobody has
 *        │                       joined under our name (R15)
 *        ├─ group commit: records + offsets in one batch, all or nothing
 *     seat->committing = false   a join under our name, an ack, an eviction wait for this
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/embedded/handover.h"
#include "log/embedded/stage.h"
#include "log/embedded/store.h"
#include <string.h>

typedef struct embedded_txn embedded_txn;

typedef struct embedded_member {
    leat_log_member base;
    leat__seat *seat;
    embedded_txn *txn; /* the running one; under group_lock */
    char *metadata;    /* lent by committed; RocksDB's memory */
} embedded_member;

typedef struct staged_offset {
    size_t key_length, value_length; /* in the buffer, key first */
} staged_offset;

struct embedded_txn {
    leat_log_txn base;
    embedded_member *member; /* NULL once it has left; under group_lock */
    int64_t generation;
    embedded_stage *stage;
    char *group;
    leat__buffer offset_bytes;
    staged_offset *offsets;
    size_t offset_count;
};

static int64_t now_of(const embedded_log *log)
{
    return log->env->now_ms(log->env->arg);
}

/* ------------------------------------------------------------------ membership */

typedef struct join_write {
    embedded_write base;
    const leat_log_group *group;
} join_write;

static leat_status prepare_join(embedded_write *write, rocksdb_writebatch_t *batch,
                                leat_error *error)
{
    const leat_log_group *group = ((join_write *)write)->group;
    char key[EMBEDDED_KEY_MAX], *message = NULL;
    size_t key_length = leat__embedded_key_instance(key, group->group, group->instance), length;
    char *value =
        rocksdb_get(write->log->db, write->log->read_options, key, key_length, &length, &message);
    if (message != NULL)
        return leat__embedded_fail(write->log, message, error);
    leat__reader reader = {.next = value, .end = value == NULL ? NULL : value + length};
    uint64_t epoch = (value == NULL ? 0 : leat__read_u64(&reader)) + 1;
    rocksdb_free(value);
    leat__buffer next = {0};
    leat__buffer_u64(&next, epoch);
    rocksdb_writebatch_put(batch, key, key_length, next.data, next.length);
    leat__buffer_free(&next);
    return LEAT_OK;
}

static leat_status partition_counts_of(embedded_log *log, const leat_log_group *group,
                                       uint32_t *counts, leat_error *error)
{
    for (size_t i = 0; i < group->topic_count; i++) {
        embedded_topic *topic;
        leat_status status = leat__embedded_find(log, group->topics[i], &topic, error);
        if (status != LEAT_OK)
            return status;
        counts[i] = topic->opts.partition_count;
        leat__embedded_release(topic);
    }
    return LEAT_OK;
}

/* The group lock is held. A commit that has begun ends before its partitions get another owner. */
static void wait_for_commit(embedded_log *log, const leat_log_group *group)
{
    for (;;) {
        const leat__seat *former = leat__group_find(&log->groups, group->group, group->instance);
        if (former == NULL || !former->committing)
            return;
        pthread_cond_wait(&log->commit_over, &log->group_lock);
    }
}

/* A job runs here, for long: other processes can't open the log meanwhile. */
static void open_handover(embedded_log *log)
{
    pthread_mutex_lock(&log->clean_lock);
    if (log->handover == NULL && log->owner_fd >= 0)
        log->handover = handover_start(&log->base, log->dir);
    pthread_mutex_unlock(&log->clean_lock);
}

leat_status leat__embedded_join(leat_log *base, const leat_log_group *group, leat__wake_fn wake,
                                void *arg, leat_log_member **out, leat_error *error)
{
    embedded_log *log = embedded_of(base);
    uint32_t *counts = leat__calloc(group->topic_count + 1, sizeof *counts);
    leat_status status = partition_counts_of(log, group, counts, error);
    if (status == LEAT_OK) {
        join_write write = {.base = {.prepare = prepare_join}, .group = group};
        status = leat__embedded_submit(log, &write.base, error);
    }
    if (status == LEAT_OK) {
        leat__wakes wakes = {0};
        embedded_member *member = leat__calloc(1, sizeof *member);
        pthread_mutex_lock(&log->group_lock);
        wait_for_commit(log, group);
        member->seat =
            leat__group_join(&log->groups, group, counts, wake, arg, now_of(log), &wakes);
        pthread_mutex_unlock(&log->group_lock);
        leat__wakes_fire(&wakes);
        leat__wakes_free(&wakes);
        *out = &member->base;
        open_handover(log);
    }
    leat__free(counts);
    return status;
}

void leat__embedded_leave(leat_log_member *base)
{
    embedded_member *member = (embedded_member *)base;
    embedded_log *log = embedded_of(base->log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&log->group_lock);
    while (member->seat->committing)
        pthread_cond_wait(&log->commit_over, &log->group_lock);
    if (member->txn != NULL)
        member->txn->member = NULL;
    leat__waker *waker = leat__group_leave(member->seat, now_of(log), &wakes);
    pthread_mutex_unlock(&log->group_lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    leat__waker_close(waker);
    rocksdb_free(member->metadata);
    leat__free(member);
}

leat_status leat__embedded_member_poll(leat_log_member *base, leat_log_event *event,
                                       leat_error *error)
{
    embedded_log *log = embedded_of(base->log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&log->group_lock);
    leat_status status =
        leat__group_poll(((embedded_member *)base)->seat, now_of(log), event, &wakes, error);
    pthread_mutex_unlock(&log->group_lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
    return status;
}

void leat__embedded_member_ack(leat_log_member *base)
{
    leat__seat *seat = ((embedded_member *)base)->seat;
    embedded_log *log = embedded_of(base->log);
    leat__wakes wakes = {0};
    pthread_mutex_lock(&log->group_lock);
    while (seat->committing)
        pthread_cond_wait(&log->commit_over, &log->group_lock);
    leat__group_ack(seat, &wakes);
    pthread_mutex_unlock(&log->group_lock);
    leat__wakes_fire(&wakes);
    leat__wakes_free(&wakes);
}

/* ------------------------------------------------------------------ committed offsets */

static leat_status decode_offset(const embedded_log *log, const char *value, size_t length,
                                 leat_log_offset *offset, leat_error *error)
{
    leat__reader reader = {.next = value, .end = value + length};
    offset->offset = (int64_t)leat__read_u64(&reader);
    offset->metadata = leat__read_str(&reader);
    if (!reader.failed && offset->offset >= 0)
        return LEAT_OK;
    return leat__embedded_corrupt(log, error, "a committed offset is garbled");
}

leat_status leat__embedded_committed(leat_log_member *base, const char *topic, uint32_t partition,
                                     leat_log_offset *offset, leat_error *error)
{
    embedded_member *member = (embedded_member *)base;
    embedded_log *log = embedded_of(base->log);
    *offset = (leat_log_offset){.topic = topic, .partition = partition, .offset = -1};
    pthread_mutex_lock(&log->group_lock);
    bool owned = leat__group_owns(member->seat, topic, partition);
    pthread_mutex_unlock(&log->group_lock);
    if (!owned)
        return leat__log_not_owned(error, topic, partition);
    char key[EMBEDDED_KEY_MAX], *message = NULL;
    size_t key_length =
        leat__embedded_key_offset(key, leat__group_name(member->seat), topic, partition);
    size_t length;
    rocksdb_free(member->metadata);
    member->metadata = rocksdb_get(log->db, log->read_options, key, key_length, &length, &message);
    if (message != NULL)
        return leat__embedded_fail(log, message, error);
    if (member->metadata == NULL)
        return LEAT_OK;
    return decode_offset(log, member->metadata, length, offset, error);
}

leat_status leat__embedded_group_offsets(leat_log *base, const char *group, leat__offset_fn fn,
                                         void *arg, leat_error *error)
{
    embedded_log *log = embedded_of(base);
    leat_status status = base->read_only ? leat__embedded_follow(log, error) : LEAT_OK;
    if (status != LEAT_OK)
        return status;
    char prefix[EMBEDDED_KEY_MAX];
    size_t prefix_length = leat__embedded_key_offset(prefix, group, "", 0) - 4 - 1;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, log->read_options);
    rocksdb_iter_seek(iterator, prefix, prefix_length);
    for (; status == LEAT_OK && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
        size_t length, value_length;
        const char *key = rocksdb_iter_key(iterator, &length);
        const char *value = rocksdb_iter_value(iterator, &value_length);
        if (length < prefix_length + 5 || memcmp(key, prefix, prefix_length) != 0)
            break;
        leat_log_offset offset = {.topic = key + prefix_length};
        for (size_t i = length - 4; i < length; i++)
            offset.partition = offset.partition << 8 | (uint8_t)key[i];
        status = decode_offset(log, value, value_length, &offset, error);
        if (status == LEAT_OK && !fn(arg, &offset))
            break;
    }
    char *message = leat__iterator_end(iterator);
    if (message == NULL || status != LEAT_OK) {
        rocksdb_free(message);
        return status;
    }
    return leat__embedded_fail(log, message, error);
}

typedef struct forget_write {
    embedded_write base;
    const char *group;
} forget_write;

/* Nothing is added if they can't all be read, as in delete_offsets. */
static leat_status prepare_forget(embedded_write *write, rocksdb_writebatch_t *batch,
                                  leat_error *error)
{
    embedded_log *log = write->log;
    char prefix[EMBEDDED_KEY_MAX], *ignored = NULL;
    size_t prefix_length =
        leat__embedded_key_offset(prefix, ((forget_write *)write)->group, "", 0) - 4 - 1;
    rocksdb_writebatch_set_save_point(batch);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, log->read_options);
    rocksdb_iter_seek(iterator, prefix, prefix_length);
    for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
        size_t length;
        const char *key = rocksdb_iter_key(iterator, &length);
        if (length < prefix_length || memcmp(key, prefix, prefix_length) != 0)
            break;
        rocksdb_writebatch_delete(batch, key, length);
    }
    char *message = leat__iterator_end(iterator);
    if (message == NULL) {
        rocksdb_writebatch_pop_save_point(batch, &ignored);
        return LEAT_OK;
    }
    rocksdb_writebatch_rollback_to_save_point(batch, &ignored); /* there is one */
    return leat__embedded_fail(log, message, error);
}

static void publish_forget(embedded_write *write, leat__wakes *wakes)
{
    (void)write, (void)wakes; /* offsets are read from the database */
}

leat_status leat__embedded_group_forget(leat_log *base, const char *group, leat_error *error)
{
    forget_write write = {.base = {.prepare = prepare_forget, .publish = publish_forget},
                          .group = group};
    return leat__embedded_submit(embedded_of(base), &write.base, error);
}

leat_status leat__embedded_group_each(leat_log *base, leat__group_fn fn, void *arg,
                                      leat_error *error)
{
    embedded_log *log = embedded_of(base);
    leat_status status = base->read_only ? leat__embedded_follow(log, error) : LEAT_OK;
    if (status != LEAT_OK)
        return status;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, log->read_options);
    rocksdb_iter_seek(iterator, "O", 1);
    while (rocksdb_iter_valid(iterator)) {
        size_t length;
        const char *key = rocksdb_iter_key(iterator, &length);
        if (length < 2 || key[0] != 'O' || memchr(key, '\0', length) == NULL)
            break;
        char *group = leat__strdup(key + 1); /* up to its 0 */
        char next[EMBEDDED_KEY_MAX];
        size_t next_length = leat__embedded_key_instance(next, group, "") - 1;
        next[0] = 'O';
        next[next_length - 1] = '\1'; /* in place of the 0: behind every key of this group */
        bool more = fn(arg, group);
        leat__free(group);
        if (!more)
            break;
        rocksdb_iter_seek(iterator, next, next_length);
    }
    char *message = leat__iterator_end(iterator);
    return message == NULL ? LEAT_OK : leat__embedded_fail(log, message, error);
}

/* ------------------------------------------------------------------ transactions */

leat_status leat__embedded_begin(leat_log_member *base, int64_t generation, leat_log_txn **out,
                                 leat_error *error)
{
    embedded_member *member = (embedded_member *)base;
    embedded_log *log = embedded_of(base->log);
    const char *group = leat__group_name(member->seat);
    pthread_mutex_lock(&log->group_lock);
    leat_status status = member->txn != NULL ? leat__log_txn_is_open(error, group) : LEAT_OK;
    if (status == LEAT_OK)
        status = leat__group_check(member->seat, generation, error);
    if (status == LEAT_OK) {
        embedded_txn *txn = leat__calloc(1, sizeof *txn);
        txn->member = member;
        txn->generation = generation;
        txn->group = leat__strdup(group);
        txn->stage = leat__stage_take(log);
        member->txn = txn;
        *out = &txn->base;
    }
    pthread_mutex_unlock(&log->group_lock);
    return status;
}

leat_status leat__embedded_txn_add(leat_log_txn *base, const leat_log_record *records, size_t count,
                                   leat_error *error)
{
    embedded_txn *txn = (embedded_txn *)base;
    return leat__stage_add(embedded_of(base->log), txn->stage, records, count, NULL, error);
}

leat_status leat__embedded_txn_offsets(leat_log_txn *base, const leat_log_offset *offsets,
                                       size_t count, leat_error *error)
{
    embedded_txn *txn = (embedded_txn *)base;
    for (size_t i = 0; i < count; i++) {
        stage_topic *topic; /* in the stage, so that a deletion before the commit is noticed */
        leat_status status =
            leat__stage_topic(embedded_of(base->log), txn->stage, offsets[i].topic, &topic, error);
        if (status != LEAT_OK)
            return status;
        if (offsets[i].partition >= topic->topic->opts.partition_count)
            return leat__log_bad_partition(error, offsets[i].topic, offsets[i].partition,
                                           topic->topic->opts.partition_count);
    }
    txn->offsets = leat__realloc(txn->offsets, txn->offset_count + count, sizeof *txn->offsets);
    for (size_t i = 0; i < count; i++) {
        char key[EMBEDDED_KEY_MAX];
        size_t key_length =
            leat__embedded_key_offset(key, txn->group, offsets[i].topic, offsets[i].partition);
        leat__buffer_bytes(&txn->offset_bytes, key, key_length);
        size_t before = txn->offset_bytes.length;
        leat__buffer_u64(&txn->offset_bytes, (uint64_t)offsets[i].offset);
        leat__buffer_str(&txn->offset_bytes, offsets[i].metadata);
        txn->offsets[txn->offset_count++] =
            (staged_offset){key_length, txn->offset_bytes.length - before};
    }
    return LEAT_OK;
}

typedef struct commit_write {
    embedded_write base;
    embedded_txn *txn;
} commit_write;

static leat_status prepare_commit(embedded_write *write, rocksdb_writebatch_t *batch,
                                  leat_error *error)
{
    const embedded_txn *txn = ((commit_write *)write)->txn;
    leat_status status = leat__stage_write(write->log, txn->stage, batch, error);
    if (status != LEAT_OK)
        return status;
    const char *at = txn->offset_bytes.data;
    for (size_t i = 0; i < txn->offset_count; i++) {
        const staged_offset *offset = &txn->offsets[i];
        rocksdb_writebatch_put(batch, at, offset->key_length, at + offset->key_length,
                               offset->value_length);
        at += offset->key_length + offset->value_length;
    }
    return LEAT_OK;
}

static void publish_commit(embedded_write *write, leat__wakes *wakes)
{
    leat__stage_publish(write->log, ((commit_write *)write)->txn->stage, wakes);
}

/* From here until commit_over its partitions stay its own. */
static leat_status start_commit(embedded_log *log, embedded_txn *txn, leat_error *error)
{
    pthread_mutex_lock(&log->group_lock);
    leat_status status = txn->member == NULL
                             ? leat__log_member_left(error)
                             : leat__group_check(txn->member->seat, txn->generation, error);
    if (status == LEAT_OK)
        txn->member->seat->committing = true;
    pthread_mutex_unlock(&log->group_lock);
    return status;
}

static void txn_free(embedded_log *log, embedded_txn *txn)
{
    pthread_mutex_lock(&log->group_lock);
    if (txn->member != NULL) {
        txn->member->txn = NULL;
        txn->member->seat->committing = false;
        pthread_cond_broadcast(&log->commit_over);
    }
    pthread_mutex_unlock(&log->group_lock);
    leat__stage_give(log, txn->stage);
    leat__buffer_free(&txn->offset_bytes);
    leat__free(txn->offsets);
    leat__free(txn->group);
    leat__free(txn);
}

leat_status leat__embedded_txn_commit(leat_log_txn *base, leat__written_fn written, void *arg,
                                      leat_error *error)
{
    embedded_txn *txn = (embedded_txn *)base;
    embedded_log *log = embedded_of(base->log);
    leat_status status = start_commit(log, txn, error);
    if (status == LEAT_OK && (txn->stage->part_count > 0 || txn->offset_count > 0)) {
        commit_write write = {
            .base = {.prepare = prepare_commit,
                     .publish = publish_commit,
                     .bytes = txn->stage->bytes + txn->offset_bytes.length},
            .txn = txn,
        };
        status = leat__embedded_submit(log, &write.base, error);
    }
    for (size_t i = 0; status == LEAT_OK && written != NULL && i < txn->stage->part_count; i++) {
        const stage_part *part = &txn->stage->parts[i];
        written(arg, part->topic->name, part->partition, part->first, part->first + part->count);
    }
    txn_free(log, txn);
    return status;
}

void leat__embedded_txn_abort(leat_log_txn *base)
{
    txn_free(embedded_of(base->log), (embedded_txn *)base);
}
