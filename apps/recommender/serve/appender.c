#include "apps/recommender/serve/appender.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

enum {
    QUEUE_BYTES_MAX = 64 << 20, /* waiting for the disk; more is refused with 503 */
    ROUND_RECORDS_MAX = 16384,  /* one append: bounds the memory of one write batch */
};

struct appender {
    leat_log *log;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    append_batch *first, *last; /* under lock, as all below */
    bool stopping;
    appender_stats stats;
    leat_log_record *records; /* of the round; the thread's own */
    size_t capacity;
};

static void finish(append_batch *batch, leat_status status, const leat_error *error)
{
    batch->status = status;
    if (status != LEAT_OK)
        batch->error = *error;
    batch->done(batch); /* the batch may be gone after this */
}

/* The fault of one batch's records, not of the log. */
static bool is_a_batchs_own(leat_status status)
{
    return status == LEAT_ETOOBIG || status == LEAT_EINVAL || status == LEAT_ENOTFOUND ||
           status == LEAT_EDATA;
}

/* Batches of one round are appended together; only if that fails each is tried by itself, so that
 * one batch's fault is not the others'. */
static void append_round(appender *self, append_batch *first, size_t count)
{
    leat_error error = {0};
    size_t filled = 0;
    if (self->capacity < count) {
        self->capacity = count;
        self->records = leat__realloc(self->records, count, sizeof *self->records);
    }
    for (append_batch *batch = first; batch != NULL; batch = batch->next) {
        memcpy(self->records + filled, batch->records, batch->count * sizeof *batch->records);
        filled += batch->count;
    }
    leat_status status = leat_log_append(self->log, self->records, filled, &error);
    bool each = first->next != NULL && is_a_batchs_own(status);
    for (append_batch *batch = first, *next; batch != NULL; batch = next) {
        next = batch->next;
        if (each)
            status = leat_log_append(self->log, batch->records, batch->count, &error);
        finish(batch, status, &error);
    }
}

static void *appender_main(void *arg)
{
    appender *self = arg;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (self->first == NULL && !self->stopping)
            pthread_cond_wait(&self->changed, &self->lock);
        if (self->first == NULL)
            break;
        append_batch *first = self->first, *last = first;
        size_t count = first->count, bytes = first->bytes;
        for (; last->next != NULL && count + last->next->count <= ROUND_RECORDS_MAX;
             last = last->next) {
            count += last->next->count;
            bytes += last->next->bytes;
        }
        self->first = last->next;
        last->next = NULL;
        pthread_mutex_unlock(&self->lock);
        append_round(self, first, count);
        pthread_mutex_lock(&self->lock);
        self->stats.appends++;
        self->stats.records += count;
        self->stats.queued_bytes -= bytes;
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

appender *appender_start(leat_log *log)
{
    appender *self = leat__calloc(1, sizeof *self);
    self->log = log;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    if (pthread_create(&self->thread, NULL, appender_main, self) == 0)
        return self;
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    leat__free(self);
    return NULL;
}

bool appender_submit(appender *self, append_batch *batch)
{
    batch->next = NULL;
    pthread_mutex_lock(&self->lock);
    bool room = !self->stopping &&
                (self->first == NULL || self->stats.queued_bytes + batch->bytes <= QUEUE_BYTES_MAX);
    if (room) {
        if (self->first == NULL)
            self->first = batch;
        else
            self->last->next = batch;
        self->last = batch;
        self->stats.queued_bytes += batch->bytes;
        pthread_cond_signal(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    return room;
}

void appender_stop(appender *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    leat__free(self->records);
    leat__free(self);
}

appender_stats appender_get_stats(appender *self)
{
    pthread_mutex_lock(&self->lock);
    appender_stats stats = self->stats;
    pthread_mutex_unlock(&self->lock);
    return stats;
}
