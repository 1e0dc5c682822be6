/* log/embedded/topics.c - the table of topics: loading, creating, deleting, finding.
 *
 *   log->topics (by name, rwlock) ─► topic ◄─ references: the table, stages, positions, snapshots
 *                                     │
 *                                     └─ deleted: whoever still holds it finds out
 *
 * A change goes through the queue of writes like everything else: what stands behind a deletion in
 * the queue is refused, what stands before it is written and deleted.
 */
#include "base/error.h"
#include "base/mem.h"
#include "log/embedded/batch.h"
#include "log/embedded/store.h"
#include <inttypes.h>
#include <string.h>

/* ------------------------------------------------------------------ the table */

void leat__embedded_release(embedded_topic *topic)
{
    if (atomic_fetch_sub(&topic->references, 1) != 1)
        return;
    for (uint32_t p = 0; p < topic->opts.partition_count; p++)
        leat__tail_free(&topic->partitions[p].tail);
    leat__free(topic->name);
    leat__free(topic);
}

static embedded_topic *new_topic(const char *name, size_t length, uint32_t number,
                                 const leat_topic_opts *opts)
{
    embedded_topic *topic =
        leat__calloc(1, sizeof *topic + opts->partition_count * sizeof *topic->partitions);
    topic->name = leat__strndup(name, length);
    topic->number = number;
    topic->opts = *opts;
    for (uint32_t p = 0; p < opts->partition_count; p++)
        leat__tail_init(&topic->partitions[p].tail);
    atomic_init(&topic->references, 1);
    return topic;
}

/* Where name is, or would be. A lock on the table is held. */
static size_t index_of(const embedded_log *log, const char *name, bool *found)
{
    size_t low = 0, high = log->topic_count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(log->topics[middle]->name, name);
        if (order == 0)
            *found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(embedded_log *log, embedded_topic *topic)
{
    bool found;
    size_t at = index_of(log, topic->name, &found);
    log->topics = leat__realloc(log->topics, log->topic_count + 1, sizeof *log->topics);
    memmove(log->topics + at + 1, log->topics + at, (log->topic_count - at) * sizeof *log->topics);
    log->topics[at] = topic;
    log->topic_count++;
}

static void remove_at(embedded_log *log, size_t at)
{
    log->topic_count--;
    memmove(log->topics + at, log->topics + at + 1, (log->topic_count - at) * sizeof *log->topics);
}

void leat__embedded_free_topics(embedded_log *log)
{
    for (size_t i = 0; i < log->topic_count; i++)
        leat__embedded_release(log->topics[i]);
    leat__free(log->topics);
    log->topics = NULL;
    log->topic_count = 0;
}

embedded_topic **leat__embedded_snapshot(embedded_log *log, size_t *count)
{
    pthread_rwlock_rdlock(&log->topics_lock);
    *count = log->topic_count;
    embedded_topic **topics = leat__alloc((log->topic_count + 1) * sizeof *topics);
    for (size_t i = 0; i < *count; i++) {
        topics[i] = log->topics[i];
        atomic_fetch_add(&topics[i]->references, 1);
    }
    pthread_rwlock_unlock(&log->topics_lock);
    return topics;
}

static leat_status unknown(embedded_log *log, const char *name, leat_error *error)
{
    const char **names = leat__alloc((log->topic_count + 1) * sizeof *names);
    for (size_t i = 0; i < log->topic_count; i++)
        names[i] = log->topics[i]->name;
    leat_status status = leat__log_unknown_topic(error, name, names, log->topic_count);
    leat__free(names);
    return status;
}

leat_status leat__embedded_find(embedded_log *log, const char *name, embedded_topic **topic,
                                leat_error *error)
{
    leat_status status = log->base.read_only ? leat__embedded_follow(log, error) : LEAT_OK;
    if (status != LEAT_OK)
        return status;
    pthread_rwlock_rdlock(&log->topics_lock);
    bool found;
    size_t at = index_of(log, name, &found);
    if (found) {
        *topic = log->topics[at];
        atomic_fetch_add(&(*topic)->references, 1);
    } else {
        status = unknown(log, name, error);
    }
    pthread_rwlock_unlock(&log->topics_lock);
    return status;
}

leat_status leat__embedded_find_partition(embedded_log *log, const char *name, uint32_t partition,
                                          embedded_topic **topic, leat_error *error)
{
    leat_status status = leat__embedded_find(log, name, topic, error);
    if (status != LEAT_OK || partition < (*topic)->opts.partition_count)
        return status;
    status = leat__log_bad_partition(error, name, partition, (*topic)->opts.partition_count);
    leat__embedded_release(*topic);
    return status;
}

/* ------------------------------------------------------------------ loading */

/* The end is one past the last batch, or further if cleaning took the last ones. */
static leat_status load_end(embedded_log *log, embedded_topic *topic, uint32_t index,
                            leat_error *error)
{
    embedded_partition *partition = &topic->partitions[index];
    char key[EMBEDDED_RECORD_KEY];
    size_t length = leat__embedded_key_record(key, topic->number, index, INT64_MAX);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, log->read_options);
    rocksdb_iter_seek_for_prev(iterator, key, length);
    int64_t begin = atomic_load(&partition->begin);
    int64_t end = partition->cleaned_to > begin ? partition->cleaned_to : begin;
    int64_t bytes = partition->bytes_before_begin;
    bool garbled = false;
    if (rocksdb_iter_valid(iterator)) {
        size_t key_length, value_length;
        const char *found = rocksdb_iter_key(iterator, &key_length);
        const char *value = rocksdb_iter_value(iterator, &value_length);
        bool mine = key_length == length && memcmp(found, key, length - 8) == 0;
        leat__batch batch;
        if (mine && leat__batch_open(&batch, (leat_str){value, value_length},
                                     leat__embedded_last_of_key(found))) {
            if (batch.last + 1 > end)
                end = batch.last + 1;
            bytes = batch.bytes_before + (int64_t)batch.records.length;
        } else {
            garbled = mine;
        }
    }
    char *message = leat__iterator_end(iterator);
    if (message != NULL)
        return leat__embedded_fail(log, message, error);
    if (garbled)
        return leat__embedded_corrupt(log, error, "a batch of records is garbled");
    if (log->base.read_only && end < atomic_load(&partition->end))
        return LEAT_OK; /* a glimpse while the writer restarts: what was there will be again */
    partition->next = end;
    atomic_store(&partition->bytes, bytes);
    atomic_store(&partition->end, end);
    return LEAT_OK;
}

leat_status leat__embedded_load_partition(embedded_log *log, embedded_topic *topic, uint32_t index,
                                          leat_error *error)
{
    char key[EMBEDDED_KEY_MAX], *message = NULL;
    size_t length = leat__embedded_key_partition(key, topic->number, index), value_length;
    char *value = rocksdb_get(log->db, log->read_options, key, length, &value_length, &message);
    if (message != NULL)
        return leat__embedded_fail(log, message, error);
    bool sound = value == NULL || leat__embedded_decode_partition((leat_str){value, value_length},
                                                                  &topic->partitions[index]);
    rocksdb_free(value);
    if (!sound)
        return leat__embedded_corrupt(log, error, "a partition's record is garbled");
    return load_end(log, topic, index, error);
}

/* A topic of the table that has this number; NULL: it is new to us. */
static embedded_topic *known_topic(const embedded_log *log, uint32_t number)
{
    for (size_t i = 0; i < log->topic_count; i++)
        if (log->topics[i]->number == number)
            return log->topics[i];
    return NULL;
}

static leat_status load_topic(embedded_log *log, leat_str name, leat_str value,
                              embedded_topic **topic, leat_error *error)
{
    uint32_t number;
    leat_topic_opts opts;
    if (!leat__embedded_decode_topic(value, &number, &opts))
        return leat__embedded_corrupt(log, error, "a topic's record is garbled");
    *topic = known_topic(log, number);
    if (*topic == NULL)
        *topic = new_topic(name.data, name.length, number, &opts);
    else
        atomic_fetch_add(&(*topic)->references, 1);
    leat_status status = LEAT_OK;
    for (uint32_t p = 0; p < opts.partition_count && status == LEAT_OK; p++)
        status = leat__embedded_load_partition(log, *topic, p, error);
    if (status != LEAT_OK)
        leat__embedded_release(*topic);
    return status;
}

static leat_status load_next_number(embedded_log *log, leat_error *error)
{
    char *message = NULL;
    size_t length;
    char *value = rocksdb_get(log->db, log->read_options, "I", 1, &length, &message);
    if (message != NULL)
        return leat__embedded_fail(log, message, error);
    leat__reader reader = {.next = value, .end = value == NULL ? NULL : value + length};
    log->next_topic = value == NULL ? 1 : leat__read_u32(&reader);
    rocksdb_free(value);
    return LEAT_OK;
}

/* The loaded topics become the table; or, after an error, are dropped. */
static void replace_table(embedded_log *log, embedded_topic **loaded, size_t count, bool sound)
{
    for (size_t i = 0; i < log->topic_count && sound; i++) {
        bool gone = true;
        for (size_t j = 0; j < count && gone; j++)
            gone = loaded[j] != log->topics[i];
        if (gone)
            atomic_store(&log->topics[i]->deleted, true);
    }
    embedded_topic **dropped = sound ? log->topics : loaded;
    size_t dropped_count = sound ? log->topic_count : count;
    for (size_t i = 0; i < dropped_count; i++)
        leat__embedded_release(dropped[i]);
    leat__free(dropped);
    if (!sound)
        return;
    log->topics = loaded;
    log->topic_count = count;
}

/* Makes the table what the database says; also again and again on a log that is followed. */
leat_status leat__embedded_load_topics(embedded_log *log, leat_error *error)
{
    leat_status status = load_next_number(log, error);
    if (status != LEAT_OK)
        return status;
    embedded_topic **loaded = NULL;
    size_t count = 0;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, log->read_options);
    pthread_rwlock_wrlock(&log->topics_lock);
    for (rocksdb_iter_seek(iterator, "T", 1); status == LEAT_OK && rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t key_length, value_length;
        const char *key = rocksdb_iter_key(iterator, &key_length);
        const char *value = rocksdb_iter_value(iterator, &value_length);
        if (key_length < 1 || key[0] != 'T')
            break;
        embedded_topic *topic = NULL;
        status = load_topic(log, (leat_str){key + 1, key_length - 1},
                            (leat_str){value, value_length}, &topic, error);
        if (status != LEAT_OK)
            break;
        loaded = leat__realloc(loaded, count + 1, sizeof(embedded_topic *));
        loaded[count++] = topic;
    }
    char *message = leat__iterator_end(iterator);
    if (message != NULL && status == LEAT_OK)
        status = leat__embedded_fail(log, message, error);
    else
        rocksdb_free(message);
    replace_table(log, loaded, count, status == LEAT_OK);
    pthread_rwlock_unlock(&log->topics_lock);
    return status;
}

/* ------------------------------------------------------------------ older formats */

leat_status leat__embedded_upgrade(embedded_log *log, leat_error *error)
{
    const char version = EMBEDDED_FORMAT;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    leat__buffer value = {0};
    for (size_t i = 0; i < log->topic_count; i++) {
        embedded_topic *topic = log->topics[i];
        char key[EMBEDDED_KEY_MAX];
        if (topic->opts.id != 0)
            continue;
        topic->opts.id = leat__log_new_topic_id(log->env, topic->number);
        value.length = 0;
        leat__embedded_encode_topic(&value, topic);
        rocksdb_writebatch_put(batch, key, leat__embedded_key_topic(key, topic->name), value.data,
                               value.length);
    }
    rocksdb_writebatch_put(batch, "F", 1, &version, 1);
    leat_status status = leat__embedded_write_direct(log, batch, error);
    leat__buffer_free(&value);
    rocksdb_writebatch_destroy(batch);
    return status;
}

/* ------------------------------------------------------------------ create, delete */

typedef struct topic_write {
    embedded_write base;
    embedded_topic *topic;
} topic_write;

static leat_status prepare_create(embedded_write *write, rocksdb_writebatch_t *batch,
                                  leat_error *error)
{
    (void)error;
    const embedded_topic *topic = ((topic_write *)write)->topic;
    char key[EMBEDDED_KEY_MAX];
    leat__buffer value = {0};
    leat__embedded_encode_topic(&value, topic);
    rocksdb_writebatch_put(batch, key, leat__embedded_key_topic(key, topic->name), value.data,
                           value.length);
    value.length = 0;
    leat__buffer_u32(&value, topic->number + 1);
    rocksdb_writebatch_put(batch, "I", 1, value.data, value.length);
    leat__buffer_free(&value);
    return LEAT_OK;
}

static void publish_create(embedded_write *write, leat__wakes *wakes)
{
    (void)wakes;
    pthread_rwlock_wrlock(&write->log->topics_lock);
    insert(write->log, ((topic_write *)write)->topic);
    pthread_rwlock_unlock(&write->log->topics_lock);
}

leat_status leat__embedded_topic_create(leat_log *base, const char *name,
                                        const leat_topic_opts *opts, leat_error *error)
{
    embedded_log *log = embedded_of(base);
    pthread_mutex_lock(&log->meta_lock);
    pthread_rwlock_rdlock(&log->topics_lock);
    bool exists;
    index_of(log, name, &exists);
    pthread_rwlock_unlock(&log->topics_lock);
    leat_status status = exists ? leat__log_topic_exists(error, name) : LEAT_OK;
    if (status == LEAT_OK) {
        leat_topic_opts made = *opts;
        made.id = leat__log_new_topic_id(log->env, log->next_topic);
        topic_write write = {
            .base = {.prepare = prepare_create, .publish = publish_create},
            .topic = new_topic(name, strlen(name), log->next_topic, &made),
        };
        status = leat__embedded_submit(log, &write.base, error);
        if (status == LEAT_OK)
            log->next_topic++;
        else
            leat__embedded_release(write.topic);
    }
    pthread_mutex_unlock(&log->meta_lock);
    return status;
}

/* Every group's committed offsets of the topic; nothing is added to the batch if they can't all be
 * read: a topic of the same name would begin where this one stood. */
static leat_status delete_offsets(embedded_log *log, const char *name, rocksdb_writebatch_t *batch,
                                  leat_error *error)
{
    size_t name_length = strlen(name);
    rocksdb_writebatch_set_save_point(batch);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, log->read_options);
    for (rocksdb_iter_seek(iterator, "O", 1); rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t length;
        const char *key = rocksdb_iter_key(iterator, &length);
        if (length < 1 || key[0] != 'O')
            break;
        const char *topic = memchr(key, '\0', length);
        if (topic == NULL)
            continue;
        topic++;
        size_t left = length - (size_t)(topic - key);
        if (left == name_length + 1 + 4 && memcmp(topic, name, name_length + 1) == 0)
            rocksdb_writebatch_delete(batch, key, length);
    }
    char *message = leat__iterator_end(iterator), *ignored = NULL;
    if (message == NULL) {
        rocksdb_writebatch_pop_save_point(batch, &ignored);
        return LEAT_OK;
    }
    rocksdb_writebatch_rollback_to_save_point(batch, &ignored); /* there is one */
    return leat__embedded_fail(log, message, error);
}

static leat_status prepare_delete(embedded_write *write, rocksdb_writebatch_t *batch,
                                  leat_error *error)
{
    embedded_topic *topic = ((topic_write *)write)->topic;
    leat_status status = delete_offsets(write->log, topic->name, batch, error);
    if (status != LEAT_OK)
        return status;
    atomic_store(&topic->deleted, true); /* what stands behind us in the queue is refused */
    char key[EMBEDDED_KEY_MAX], key_end[EMBEDDED_KEY_MAX];
    rocksdb_writebatch_delete(batch, key, leat__embedded_key_topic(key, topic->name));
    size_t length = leat__embedded_key_record(key, topic->number, 0, 0);
    leat__embedded_key_record(key_end, topic->number + 1, 0, 0);
    rocksdb_writebatch_delete_range(batch, key, length, key_end, length);
    length = leat__embedded_key_partition(key, topic->number, 0);
    leat__embedded_key_partition(key_end, topic->number + 1, 0);
    rocksdb_writebatch_delete_range(batch, key, length, key_end, length);
    return LEAT_OK;
}

static void publish_delete(embedded_write *write, leat__wakes *wakes)
{
    embedded_log *log = write->log;
    embedded_topic *topic = ((topic_write *)write)->topic;
    pthread_rwlock_wrlock(&log->topics_lock);
    bool found;
    size_t at = index_of(log, topic->name, &found);
    if (found) {
        remove_at(log, at);
        leat__embedded_release(topic);
    }
    pthread_rwlock_unlock(&log->topics_lock);
    for (uint32_t p = 0; p < topic->opts.partition_count; p++)
        leat__embedded_collect(log, &topic->partitions[p], wakes);
}

leat_status leat__embedded_topic_delete(leat_log *base, const char *name, leat_error *error)
{
    embedded_log *log = embedded_of(base);
    pthread_mutex_lock(&log->clean_lock); /* the cleaner must not write into it afterwards */
    pthread_mutex_lock(&log->meta_lock);
    topic_write write = {.base = {.prepare = prepare_delete, .publish = publish_delete}};
    leat_status status = leat__embedded_find(log, name, &write.topic, error);
    if (status == LEAT_OK) {
        status = leat__embedded_submit(log, &write.base, error);
        leat__embedded_release(write.topic);
    }
    pthread_mutex_unlock(&log->meta_lock);
    pthread_mutex_unlock(&log->clean_lock);
    return status;
}

/* ------------------------------------------------------------------ asking */

leat_status leat__embedded_topic_describe(leat_log *base, const char *name, leat_topic_opts *opts,
                                          leat_error *error)
{
    embedded_topic *topic;
    leat_status status = leat__embedded_find(embedded_of(base), name, &topic, error);
    if (status != LEAT_OK)
        return status;
    *opts = topic->opts;
    leat__embedded_release(topic);
    return LEAT_OK;
}

leat_status leat__embedded_topic_each(leat_log *base, leat__topic_fn fn, void *arg,
                                      leat_error *error)
{
    embedded_log *log = embedded_of(base);
    leat_status status = base->read_only ? leat__embedded_follow(log, error) : LEAT_OK;
    if (status != LEAT_OK)
        return status;
    size_t count;
    embedded_topic **topics = leat__embedded_snapshot(log, &count);
    bool more = true;
    for (size_t i = 0; i < count; i++) {
        more = more && fn(arg, topics[i]->name, &topics[i]->opts);
        leat__embedded_release(topics[i]);
    }
    leat__free(topics);
    return LEAT_OK;
}

leat_status leat__embedded_bounds(leat_log *base, const char *name, uint32_t partition,
                                  int64_t *begin, int64_t *end, leat_error *error)
{
    embedded_topic *topic;
    leat_status status =
        leat__embedded_find_partition(embedded_of(base), name, partition, &topic, error);
    if (status != LEAT_OK)
        return status;
    *begin = atomic_load(&topic->partitions[partition].begin);
    *end = atomic_load(&topic->partitions[partition].end);
    leat__embedded_release(topic);
    return LEAT_OK;
}
