/* commands/replay_local.c - events through the job in this process, on the log of a data directory.
 */
#include <string.h>
#include <unistd.h>

#include "apps/recommender/commands/replay_target.h"
#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/api.h"
#include "apps/recommender/serve/server.h"
#include "base/env.h"
#include "base/error.h"
#include "base/mem.h"

enum { POLL_US = 2000, STALLED_US = 60 * 1000 * 1000 };

typedef struct local_target {
    replay_target target;
    leat_log *log;
    recommender_job *job;
    leat_log_record *records;
    size_t capacity;
    leat__histogram accepted_to_committed_us;
} local_target;

static void on_committed(void *arg, const leat_log_record *record)
{
    local_target *self = arg;
    const leat_env *env = leat__env_system();
    int64_t accepted_ms = recommendation_accepted_ms(record->value);
    int64_t took_us = (env->now_ms(env->arg) + 1 - accepted_ms) * 1000;
    if (accepted_ms >= 0 && took_us >= 0)
        leat__histogram_record(&self->accepted_to_committed_us, (uint64_t)took_us);
}

static leat_status local_send(replay_target *target, const replay_batch *batch, leat_error *error)
{
    local_target *self = (local_target *)target;
    const leat_env *env = leat__env_system();
    int64_t now_ms = env->now_ms(env->arg);
    if (self->capacity < batch->count) {
        self->capacity = batch->count;
        self->records = leat__realloc(self->records, self->capacity, sizeof *self->records);
    }
    const char *text = batch->texts.data, *key = batch->keys.data;
    for (size_t i = 0; i < batch->count; i++) {
        self->records[i] = (leat_log_record){
            .topic = self->job->settings.topics.interactions,
            .partition = LEAT_PARTITION_BY_KEY,
            .timestamp_ms = now_ms,
            .key = {key, batch->events[i].key_bytes},
            .value = {text, batch->events[i].text_bytes},
        };
        text += batch->events[i].text_bytes + 1;
        key += batch->events[i].key_bytes;
    }
    return leat_log_append(self->log, self->records, batch->count, error);
}

typedef struct offset_sum {
    const char *topic;
    int64_t *sum;
} offset_sum;

static bool sum_offset(void *arg, const leat_log_offset *offset)
{
    const offset_sum *to = arg;
    if (strcmp(offset->topic, to->topic) == 0)
        *to->sum += offset->offset;
    return true;
}

/* The sums of the committed offsets and of the ends: equal when all is done. */
static leat_status positions(const local_target *self, int64_t *done, int64_t *all,
                             leat_error *error)
{
    leat_topic_opts topic;
    const recommender_settings *settings = &self->job->settings;
    const char *name = settings->topics.interactions;
    leat_status status = leat_topic_describe(self->log, name, &topic, error);
    *done = *all = 0;
    for (uint32_t p = 0; status == LEAT_OK && p < topic.partition_count; p++) {
        int64_t begin, end;
        status = leat_log_bounds(self->log, name, p, &begin, &end, error);
        *all += end;
    }
    if (status != LEAT_OK)
        return status;
    return leat_log_group_offsets(self->log, settings->name, sum_offset, &(offset_sum){name, done},
                                  error);
}

static leat_status local_finish(replay_target *target, leat_error *error)
{
    local_target *self = (local_target *)target;
    const leat_env *env = leat__env_system();
    int64_t done = 0, all = 1, before = -1, moved_us = env->monotonic_us(env->arg);
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && done < all) {
        status = positions(self, &done, &all, error);
        if (done != before) {
            before = done;
            moved_us = env->monotonic_us(env->arg);
        } else if (env->monotonic_us(env->arg) - moved_us > STALLED_US) {
            break; /* the job has stopped: leat_job_wait says why */
        }
        if (done < all)
            usleep(POLL_US);
    }
    leat_job_stop(self->job->job);
    leat_status ended = leat_job_wait(self->job->job, status == LEAT_OK ? error : NULL);
    if (status == LEAT_OK && ended == LEAT_OK && done < all)
        return leat__fail(error, LEAT_EINTERNAL, LEAT_RECOVERY_FATAL, "replay",
                          "the job stands still at %lld of %lld events", (long long)done,
                          (long long)all);
    return status == LEAT_OK ? ended : status;
}

static void local_free(replay_target *target)
{
    local_target *self = (local_target *)target;
    recommender_job_free(self->job);
    leat_log_close(self->log);
    leat__free(self->records);
    leat__free(self);
}

leat_status replay_local(replay_target **target, const recommender_settings *settings,
                         leat_error *error)
{
    local_target *self = leat__calloc(1, sizeof *self);
    recommender_settings own = *settings;
    self->target = (replay_target){.send = local_send,
                                   .finish = local_finish,
                                   .free = local_free,
                                   .accepted_to_committed_us = &self->accepted_to_committed_us};
    own.on_committed = on_committed;
    own.on_committed_arg = self;
    *target = &self->target;
    leat_status status = recommender_open_log(&own, NULL, &self->log, error);
    if (status == LEAT_OK)
        status = recommender_job_new(&self->job, self->log, &own, error);
    if (status == LEAT_OK)
        status = leat_job_start(self->job->job, error);
    return status;
}
