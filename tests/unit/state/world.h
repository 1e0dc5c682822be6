/* tests/unit/state/world.h - one task, its database and its changelog, for every test of src/state.
 *
 *     world_epoch()    seal, append to the changelog, apply: what engine and log do at a barrier
 *     world_crash()    the process dies: memory is gone, the database is opened again, the
 * changelog is replayed from the stored position */
#ifndef TEST_STATE_WORLD_H
#define TEST_STATE_WORLD_H
#include "base/hash.h"
#include "base/mem.h"
#include "state/store.h"
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

struct tally {
    int64_t count;
    double sum;
};
LEAT_RECORD(tally, count, sum);
struct profile {
    leat_str name;
    uint32_t age;
    leat_list tags;
};
LEAT_RECORD(profile, name, age, LEAT_LIST(tags, &leat_type_str));
struct visit {
    uint64_t item;
    int64_t at_ms;
};
LEAT_RECORD(visit, item, at_ms);

enum {
    TALLY,
    PROFILE,
    VISITS,
    NAMES,
    BY_ITEM,
    BY_NAME,
    SHORT,
    SHORT_READ,
    SHORT_LIST,
    SHORT_MAP,
    CLOCKED,
    READ_LIST,
    SLOT_COUNT
};
enum { WAKE, CLOSE, TIMER_COUNT };
enum { TTL_MS = 1000 };

static const leat__slot world_slots[SLOT_COUNT] = {
    [TALLY] = {.name = "op/tally", .kind = LEAT__VALUE, .type = &tally_type},
    [PROFILE] = {.name = "op/profile", .kind = LEAT__VALUE, .type = &profile_type},
    [VISITS] = {.name = "op/visits", .kind = LEAT__LIST, .type = &visit_type},
    [NAMES] = {.name = "op/names", .kind = LEAT__LIST, .type = &leat_type_str},
    [BY_ITEM] = {.name = "op/by-item",
                 .kind = LEAT__MAP,
                 .type = &tally_type,
                 .map_key = &leat_type_i64},
    [BY_NAME] = {.name = "op/by-name",
                 .kind = LEAT__MAP,
                 .type = &profile_type,
                 .map_key = &leat_type_str},
    [SHORT] = {.name = "op/short", .kind = LEAT__VALUE, .type = &tally_type, .ttl_ms = TTL_MS},
    [SHORT_READ] = {.name = "op/short-read",
                    .kind = LEAT__VALUE,
                    .type = &profile_type,
                    .ttl_ms = TTL_MS,
                    .ttl_on_read = true},
    [SHORT_LIST] = {.name = "op/short-list",
                    .kind = LEAT__LIST,
                    .type = &visit_type,
                    .ttl_ms = TTL_MS},
    [SHORT_MAP] = {.name = "op/short-map",
                   .kind = LEAT__MAP,
                   .type = &tally_type,
                   .map_key = &leat_type_i64,
                   .ttl_ms = TTL_MS},
    [CLOCKED] = {.name = "op/clocked",
                 .kind = LEAT__VALUE,
                 .type = &tally_type,
                 .ttl_ms = TTL_MS,
                 .ttl_domain = LEAT__PROCESSING_TIME},
    [READ_LIST] = {.name = "op/read-list",
                   .kind = LEAT__LIST,
                   .type = &visit_type,
                   .ttl_ms = TTL_MS,
                   .ttl_on_read = true},
};
static const char *const world_timers[TIMER_COUNT] = {"op/wake", "op/close"};

typedef struct logged {
    char *key, *value;
    size_t key_length, value_length;
} logged;

typedef struct world {
    leat__backend backend;
    char dir[64];
    leat__database *database;
    leat__store *store;
    leat__changes changes;
    uint64_t epoch;
    logged *log; /* the changelog */
    size_t log_count;
    const leat__slot *slots; /* of the program as it is now */
    const char *const *timers;
    size_t slot_count, timer_count;
    size_t cache_bytes, write_buffer_bytes;
    char key[128];
    void *lent; /* what a value points to until its callback is over */
} world;

static inline int world_unlink(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info, (void)flag, (void)ftw;
    return remove(path);
}

static inline void world_remove_dir(const char *dir)
{
    (void)nftw(dir, world_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline leat_status world_open_store(world *w, leat_error *error)
{
    leat__store_opts opts = {
        .database = w->database,
        .stage = 3,
        .partition = 7,
        .slots = w->slots,
        .slot_count = w->slot_count,
        .timers = w->timers,
        .timer_count = w->timer_count,
        .cache_bytes = w->cache_bytes,
    };
    return leat__store_open(&w->store, &opts, error);
}

static inline void world_open_database(world *w)
{
    leat_error error = {0};
    leat_status status = leat__database_open(
        &w->database,
        &(leat__database_opts){
            .backend = w->backend, .dir = w->dir, .write_buffer_bytes = w->write_buffer_bytes},
        &error);
    if (status != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

static inline void world_open(world *w)
{
    leat_error error = {0};
    world_open_database(w);
    if (world_open_store(w, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

static inline world *world_new(leat__backend backend)
{
    world *w = leat__calloc(1, sizeof *w);
    w->backend = backend;
    w->slots = world_slots;
    w->slot_count = SLOT_COUNT;
    w->timers = world_timers;
    w->timer_count = TIMER_COUNT;
    const char *tmp = getenv("TMPDIR");
    snprintf(w->dir, sizeof w->dir, "%s/leat-state-XXXXXX",
             tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->dir));
    world_open(w);
    return w;
}

static inline void world_close(world *w)
{
    leat__store_close(w->store);
    leat__database_close(w->database);
    w->store = NULL;
    w->database = NULL;
}

static inline void world_free(world *w)
{
    world_close(w);
    leat__changes_free(&w->changes);
    for (size_t i = 0; i < w->log_count; i++) {
        leat__free(w->log[i].key);
        leat__free(w->log[i].value);
    }
    leat__free(w->log);
    world_remove_dir(w->dir);
    leat__free(w);
}

static inline void world_log(world *w, const leat__changes *changes)
{
    w->log = leat__realloc(w->log, w->log_count + changes->count + 1, sizeof *w->log);
    for (size_t i = 0; i < changes->count; i++) {
        leat__change change = changes->changes[i];
        w->log[w->log_count++] =
            (logged){.key = leat__strndup(change.key.data, change.key.length),
                     .value = change.value.data == NULL
                                  ? NULL
                                  : leat__strndup(change.value.data, change.value.length),
                     .key_length = change.key.length,
                     .value_length = change.value.length};
    }
}

static inline void world_apply(world *w)
{
    leat_error error = {0};
    leat__apply apply = {.store = w->store,
                         .changes = &w->changes,
                         .epoch = w->epoch,
                         .changelog_position = (int64_t)w->log_count};
    if (leat__database_apply(w->database, &apply, 1, &error) != LEAT_OK)
        fail_msg("%s", error.message);
}

/* One commit. Returns the number of changelog entries. */
static inline size_t world_epoch(world *w)
{
    size_t count = leat__store_seal(w->store, ++w->epoch, &w->changes);
    assert_int_equal(leat__store_check(w->store, NULL), LEAT_OK);
    assert_int_equal(count, w->changes.count);
    world_log(w, &w->changes);
    world_apply(w);
    return count;
}

static inline leat_status world_replay_from(world *w, int64_t from, leat_error *error)
{
    for (size_t i = from < 0 ? 0 : (size_t)from; i < w->log_count; i++) {
        const logged *row = &w->log[i];
        leat_str value = {row->value, row->value_length};
        leat_status status =
            leat__store_restore(w->store, (leat_str){row->key, row->key_length}, value, error);
        if (status != LEAT_OK)
            return status;
    }
    return leat__store_restored(w->store, (int64_t)w->log_count, &(leat__seal_identity){0}, 0,
                                error);
}

static inline void world_replay(world *w)
{
    leat_error error = {0};
    leat_status status = world_replay_from(w, leat__store_position(w->store), &error);
    if (status != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

static inline void world_crash(world *w)
{
    world_close(w);
    world_open(w);
    world_replay(w);
}

static inline void world_rewind(world *w)
{
    leat_error error = {0};
    if (leat__store_rewind(w->store, &error) != LEAT_OK)
        fail_msg("%s", error.message);
    world_replay(w);
}

static inline void at_key(world *w, const char *key)
{
    snprintf(w->key, sizeof w->key, "%s", key);
    leat_str text = {w->key, strlen(w->key)};
    leat__store_set_key(w->store, text, leat__hash64(text.data, text.length));
}

static inline void begin(world *w, const char *key)
{
    at_key(w, key);
    leat__store_callback_begin(w->store);
}
static inline void commit(world *w)
{
    leat__store_callback_commit(w->store);
}
static inline void rollback(world *w)
{
    leat__store_callback_rollback(w->store);
}
#endif
