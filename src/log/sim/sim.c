/* log/sim/sim.c - the simulated log: opened by name, and what handles of a name share.
 *
 *   leat_log_open("sim:a") ─► handle ─┐
 *   leat_log_open("sim:a") ─► handle ─┴► registry ─► leat__sim "a": topics, groups, offsets
 */
#include "log/sim/sim.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/mem.h"
#include "log/sim/world.h"
#include <string.h>

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static leat__sim *registry;

leat__sim *leat__sim_new(const leat_env *env)
{
    leat__sim *sim = leat__calloc(1, sizeof *sim);
    pthread_mutex_init(&sim->lock, NULL);
    sim->env = env == NULL ? leat__env_system() : env;
    return sim;
}

void leat__sim_free(leat__sim *sim)
{
    if (sim == NULL)
        return;
    LEAT_ASSERT(sim->handles == 0 && sim->readers == NULL);
    for (sim_topic *topic = sim->topics, *next; topic != NULL; topic = next) {
        next = topic->next;
        leat__sim_topic_release(topic);
    }
    for (sim_offset *offset = sim->offsets, *next; offset != NULL; offset = next) {
        next = offset->next;
        leat__sim_offset_free(offset);
    }
    leat__groups_free(&sim->groups);
    pthread_mutex_destroy(&sim->lock);
    leat__free(sim->name);
    leat__free(sim);
}

void leat__sim_set_hooks(leat__sim *sim, const leat__sim_hooks *hooks)
{
    pthread_mutex_lock(&sim->lock);
    sim->hooks = hooks == NULL ? (leat__sim_hooks){0} : *hooks;
    pthread_mutex_unlock(&sim->lock);
}

leat__sim *leat__sim_world_of(leat_log *log)
{
    return sim_of(log);
}

static leat_log *new_handle(leat__sim *sim, const leat_log_opts *opts)
{
    sim_log *log = leat__calloc(1, sizeof *log);
    log->base.driver = &leat__sim_driver;
    log->base.read_only = opts != NULL && opts->read_only;
    log->sim = sim;
    pthread_mutex_lock(&sim->lock);
    sim->handles++;
    pthread_mutex_unlock(&sim->lock);
    return &log->base;
}

leat_status leat__log_open_sim(leat_log **log, leat__sim *sim, const leat_log_opts *opts,
                               leat_error *error)
{
    (void)error;
    *log = new_handle(sim, opts);
    return LEAT_OK;
}

static leat_status open_by_name(leat_log **log, const char *name, const leat_log_opts *opts,
                                const leat_env *env, leat_error *error)
{
    pthread_mutex_lock(&registry_lock);
    leat__sim *sim = registry;
    while (sim != NULL && strcmp(sim->name, name) != 0)
        sim = sim->next;
    if (sim == NULL && !opts->must_exist && !opts->read_only) {
        sim = leat__sim_new(env);
        sim->name = leat__strdup(name);
        sim->next = registry;
        registry = sim;
    }
    if (sim != NULL)
        *log = new_handle(sim, opts);
    pthread_mutex_unlock(&registry_lock);
    if (sim != NULL)
        return LEAT_OK;
    return leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, "log",
                      "there is no log sim:%.200s in this process", name);
}

void leat__sim_forget(const char *name)
{
    pthread_mutex_lock(&registry_lock);
    for (leat__sim **link = &registry; *link != NULL; link = &(*link)->next) {
        leat__sim *sim = *link;
        if (strcmp(sim->name, name) != 0)
            continue;
        if (sim->handles == 0) {
            *link = sim->next;
            leat__sim_free(sim);
        }
        break;
    }
    pthread_mutex_unlock(&registry_lock);
}

static void close_handle(leat_log *log)
{
    leat__sim *sim = sim_of(log);
    pthread_mutex_lock(&sim->lock);
    sim->handles--;
    pthread_mutex_unlock(&sim->lock);
    leat__free(log);
}

const leat__log_driver leat__sim_driver = {
    .scheme = "sim",
    .offsets_expire = true, /* they do not, but a test may make them */
    .timestamp_min_ms = INT64_MIN,
    .open = open_by_name,
    .close = close_handle,
    .topic_create = leat__sim_topic_create,
    .topic_describe = leat__sim_topic_describe,
    .topic_delete = leat__sim_topic_delete,
    .topic_each = leat__sim_topic_each,
    .bounds = leat__sim_bounds,
    .clean = leat__sim_clean,
    .trim = leat__sim_trim,
    .append = leat__sim_append,
    .reader_new = leat__sim_reader_new,
    .reader_free = leat__sim_reader_free,
    .reader_seek = leat__sim_reader_seek,
    .reader_remove = leat__sim_reader_remove,
    .reader_poll = leat__sim_reader_poll,
    .reader_position = leat__sim_reader_position,
    .reader_topic_id = leat__sim_reader_topic_id,
    .join = leat__sim_join,
    .leave = leat__sim_leave,
    .member_poll = leat__sim_member_poll,
    .member_ack = leat__sim_member_ack,
    .committed = leat__sim_committed,
    .begin = leat__sim_begin,
    .txn_add = leat__sim_txn_add,
    .txn_offsets = leat__sim_txn_offsets,
    .txn_commit = leat__sim_txn_commit,
    .txn_abort = leat__sim_txn_abort,
    .group_offsets = leat__sim_group_offsets,
    .group_each = leat__sim_group_each,
    .group_forget = leat__sim_group_forget,
};
