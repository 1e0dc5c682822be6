/* log/embedded/open.c - opening and closing: the settings of RocksDB, and what damage looks like.
 *
 *   directory ─► leat.owner ─► RocksDB ──────────────────────► sequence >= leat.mark? ─► format ─►
 *                 ELOCKED        │ Corruption in a WAL               no: ECORRUPT       EVERSION
 *                                ▼
 *                     torn tail of a crash? open read-only up to the damage: nothing acknowledged
 *                     lies behind it (leat.mark) ─► open so far; else ECORRUPT
 *
 * Memory: two write buffers of 8 MiB at most, 4 MiB of cache for blocks, indexes and filters.
 */
#include "base/descriptors.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "base/rocksdb_logger.h"
#include "log/embedded/handover.h"
#include "log/embedded/stage.h"
#include "log/embedded/store.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    WRITE_BUFFER_BYTES = 8 << 20,
    BLOCK_CACHE_BYTES = 4 << 20,
    BLOCK_BYTES = 16 << 10,
    WAL_TOLERATE_TORN_TAIL = 0, /* rocksdb::WALRecoveryMode */
    WAL_UP_TO_DAMAGE = 2,
    OWNER_TRIES = 20, /* 2 s: a job joins its group within that, once it has the log */
    OWNER_PAUSE_US = 100000,
};

/* ------------------------------------------------------------------ settings */

static void make_options(embedded_log *log)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 0);
    rocksdb_options_set_write_buffer_size(options, WRITE_BUFFER_BYTES);
    rocksdb_options_set_max_write_buffer_number(options, 2);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_max_open_files(options, leat__descriptors_of_database());
    /* records are written once, in order: merging files early only writes them again */
    rocksdb_options_set_level0_file_num_compaction_trigger(options, 8);
    rocksdb_options_set_max_total_wal_size(options, 4 * WRITE_BUFFER_BYTES);
    rocksdb_options_set_wal_recovery_mode(options, WAL_TOLERATE_TORN_TAIL);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    leat__rocksdb_use_logger(options);
    rocksdb_options_set_max_manifest_file_size(options, 1 << 20);

    log->cache = rocksdb_cache_create_lru(BLOCK_CACHE_BYTES);
    log->table_options = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(log->table_options, log->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(log->table_options, 1);
    rocksdb_block_based_options_set_block_size(log->table_options, BLOCK_BYTES);
    rocksdb_options_set_block_based_table_factory(options, log->table_options);
    log->options = options;

    log->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(log->write_options, !log->no_sync);
    log->read_options = rocksdb_readoptions_create();
}

static embedded_log *new_log(const char *dir, const leat_log_opts *opts, const leat_env *env)
{
    embedded_log *log = leat__calloc(1, sizeof *log);
    log->base.driver = &leat__embedded_driver;
    log->base.read_only = opts->read_only;
    log->no_sync = opts->no_sync;
    log->dir = leat__strdup(dir);
    log->env = env;
    log->owner_fd = log->mark_fd = -1;
    log->queue_tail = &log->queue;
    log->batch = rocksdb_writebatch_create();
    pthread_rwlock_init(&log->topics_lock, NULL);
    pthread_mutex_init(&log->meta_lock, NULL);
    pthread_mutex_init(&log->queue_lock, NULL);
    pthread_mutex_init(&log->readers_lock, NULL);
    pthread_mutex_init(&log->group_lock, NULL);
    pthread_cond_init(&log->commit_over, NULL);
    pthread_mutex_init(&log->clean_lock, NULL);
    pthread_mutex_init(&log->follow_lock, NULL);
    make_options(log);
    return log;
}

static void free_log(embedded_log *log)
{
    leat__embedded_free_topics(log);
    leat__groups_free(&log->groups);
    leat__stage_free_all(log->spare_stages);
    if (log->db != NULL)
        rocksdb_close(log->db);
    leat__embedded_disown(log); /* after RocksDB: the next one may come now */
    rocksdb_writebatch_destroy(log->batch);
    rocksdb_readoptions_destroy(log->read_options);
    rocksdb_writeoptions_destroy(log->write_options);
    rocksdb_options_destroy(log->options);
    rocksdb_block_based_options_destroy(log->table_options);
    rocksdb_cache_destroy(log->cache);
    pthread_rwlock_destroy(&log->topics_lock);
    pthread_mutex_destroy(&log->meta_lock);
    pthread_mutex_destroy(&log->queue_lock);
    pthread_mutex_destroy(&log->readers_lock);
    pthread_mutex_destroy(&log->group_lock);
    pthread_cond_destroy(&log->commit_over);
    pthread_mutex_destroy(&log->clean_lock);
    pthread_mutex_destroy(&log->follow_lock);
    leat__free(log->dir);
    leat__free(log);
}

/* ------------------------------------------------------------------ the directory */

/* RocksDB syncs what it makes in its directory, but not that there is the directory. */
static leat_status sync_parent(const char *path, leat_error *error)
{
    char *parent = leat__strdup(path), *name = strrchr(parent, '/');
    if (name != NULL)
        name[name == parent] = '\0';
    const char *dir = name == NULL ? "." : parent;
    leat_status status = LEAT_OK;
    if (!leat__sync_dir(dir))
        status = leat__embedded_errno(error, dir, "sync the directory", errno);
    leat__free(parent);
    return status;
}

static leat_status make_dirs(const char *dir, leat_error *error)
{
    char *path = leat__strdup(dir);
    leat_status status = LEAT_OK;
    for (char *at = path + 1; status == LEAT_OK; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        bool last = *at == '\0';
        *at = '\0';
        if (mkdir(path, 0755) == 0)
            status = sync_parent(path, error);
        else if (errno != EEXIST)
            status = leat__embedded_errno(error, path, "create the directory", errno);
        if (last)
            break;
        *at = '/';
    }
    leat__free(path);
    return status;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);
    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

/* Whether there is a log; a directory with data but without its table of contents is damaged, one
 * with the beginnings of a creation that was killed is empty. */
static leat_status inspect(embedded_log *log, bool *exists, leat_error *error)
{
    *exists = false;
    DIR *listing = opendir(log->dir);
    if (listing == NULL) {
        if (errno == ENOENT)
            return LEAT_OK;
        return leat__embedded_errno(error, log->dir, "read the directory", errno);
    }
    bool has_data = false, has_foreign = false, has_own = false;
    for (struct dirent *entry; errno = 0, (entry = readdir(listing)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, "CURRENT") == 0)
            *exists = true;
        struct stat info;
        bool filled = fstatat(dirfd(listing), name, &info, 0) == 0 && info.st_size > 0;
        if (ends_with(name, ".sst") || (ends_with(name, ".log") && filled))
            has_data = true;
        if (strcmp(name, "leat.owner") == 0)
            has_own = true;
        if (name[0] != '.' && strcmp(name, "leat.owner") != 0)
            has_foreign = true;
    }
    int cause = errno; /* 0: that was all */
    closedir(listing);
    if (cause != 0)
        return leat__embedded_errno(error, log->dir, "read the directory", cause);
    if (*exists)
        return LEAT_OK;
    if (has_data && has_own)
        return leat__embedded_corrupt(log, error, "the file CURRENT is missing but there is data");
    if (has_foreign && !has_own)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "log",
                          "%.200s is not empty and not a log; name an empty or a new directory",
                          log->dir);
    return LEAT_OK;
}

/* ------------------------------------------------------------------ RocksDB */

static leat_status lost_records(embedded_log *log, uint64_t sequence, uint64_t synced,
                                leat_error *error)
{
    char what[200];
    snprintf(what, sizeof what,
             "its *.log file is truncated or garbled: it ends at write %" PRIu64 " but %" PRIu64
             " were acknowledged",
             sequence, synced);
    return leat__embedded_corrupt(log, error, what);
}

/* RocksDB found damage.  If all of it lies behind the last acknowledged write, it is what a power
 * cut leaves; looked at through a read-only handle first, as opening it for writing forgets. */
static leat_status open_up_to_damage(embedded_log *log, uint64_t synced, char *message,
                                     leat_error *error)
{
    char *second = NULL;
    rocksdb_options_set_wal_recovery_mode(log->options, WAL_UP_TO_DAMAGE);
    rocksdb_t *probe = rocksdb_open_for_read_only(log->options, log->dir, 0, &second);
    uint64_t sequence = probe != NULL ? rocksdb_get_latest_sequence_number(probe) : 0;
    if (probe != NULL)
        rocksdb_close(probe);
    rocksdb_free(second);
    if (probe == NULL || synced == 0 || sequence < synced)
        return leat__embedded_fail(log, message, error);
    leat__log_line(LEAT__WARN, "log", "%s: torn end of the last write dropped (%s)", log->dir,
                   message);
    rocksdb_free(message);
    char *failure = NULL;
    log->db = rocksdb_open(log->options, log->dir, &failure);
    return failure == NULL ? LEAT_OK : leat__embedded_fail(log, failure, error);
}

static leat_status open_database(embedded_log *log, bool exists, leat_error *error)
{
    uint64_t synced;
    leat_status status = leat__embedded_mark_open(log, &synced, error);
    if (status != LEAT_OK)
        return status;
    if (!exists)
        synced = 0;
    rocksdb_options_set_create_if_missing(log->options, !exists);
    char *message = NULL;
    log->db = rocksdb_open(log->options, log->dir, &message);
    if (message != NULL && strncmp(message, "Corruption", 10) == 0)
        status = open_up_to_damage(log, synced, message, error);
    else if (message != NULL)
        status = leat__embedded_fail(log, message, error);
    if (status != LEAT_OK)
        return status;
    log->acknowledged = synced;
    uint64_t sequence = rocksdb_get_latest_sequence_number(log->db);
    return sequence >= synced ? LEAT_OK : lost_records(log, sequence, synced, error);
}

static leat_status write_format(embedded_log *log, leat_error *error)
{
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(log->db, log->read_options);
    rocksdb_iter_seek_to_first(iterator);
    bool empty = !rocksdb_iter_valid(iterator);
    char *message = leat__iterator_end(iterator);
    if (message != NULL)
        return leat__embedded_fail(log, message, error);
    if (log->acknowledged > 0)
        return leat__embedded_corrupt(log, error, "its MANIFEST file is damaged: records are gone");
    if (!empty)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "log",
                          "%.200s holds another kind of RocksDB database, not a log; name another "
                          "directory",
                          log->dir);
    const char version = EMBEDDED_FORMAT;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put(batch, "F", 1, &version, 1);
    leat_status status = leat__embedded_write_direct(log, batch, error);
    rocksdb_writebatch_destroy(batch);
    return status;
}

static leat_status check_format(embedded_log *log, int *format, leat_error *error)
{
    *format = EMBEDDED_FORMAT;
    char *message = NULL;
    size_t length;
    char *value = rocksdb_get(log->db, log->read_options, "F", 1, &length, &message);
    if (message != NULL)
        return leat__embedded_fail(log, message, error);
    if (value == NULL && log->base.read_only)
        return leat__embedded_corrupt(log, error, "it holds no log");
    if (value == NULL)
        return write_format(log, error);
    int version = *format = length == 1 ? (uint8_t)value[0] : 0;
    rocksdb_free(value);
    if (version == 0)
        return leat__embedded_corrupt(log, error, "its format record is garbled");
    if (version <= EMBEDDED_FORMAT)
        return LEAT_OK;
    return leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, "log", /* R26 */
                      "%.200s has format %d, this library (%s) knows up to %d; use a newer one",
                      log->dir, version, leat_version(), EMBEDDED_FORMAT);
}

static leat_status open_or_lock_out(leat_log **out, const char *dir, const leat_log_opts *opts,
                                    const leat_env *env, leat_error *error);

/* Held by another process: through it, if a job runs in it. It may be starting its job just now, or
 * ending, so both are tried for a while. */
leat_status leat__embedded_open(leat_log **out, const char *dir, const leat_log_opts *opts,
                                const leat_env *env, leat_error *error)
{
    leat_error held = {0}, refused = {0};
    leat_status status = open_or_lock_out(out, dir, opts, env, &held);
    for (int try = 0; status == LEAT_ELOCKED && opts->through_owner && try < OWNER_TRIES; try++) {
        if (try > 0)
            (void)usleep(OWNER_PAUSE_US);
        if (handover_connect(out, dir, &refused) == LEAT_OK)
            return LEAT_OK;
        status = open_or_lock_out(out, dir, opts, env, &held);
    }
    if (status == LEAT_ELOCKED && opts->through_owner)
        return leat__fail(error, LEAT_ELOCKED, LEAT_RECOVERY_FATAL, "log",
                          "%.280s; no job runs in it that records could be handed over to (%.80s)",
                          held.message, refused.message);
    if (status != LEAT_OK && error != NULL)
        *error = held;
    return status;
}

static leat_status open_or_lock_out(leat_log **out, const char *dir, const leat_log_opts *opts,
                                    const leat_env *env, leat_error *error)
{
    embedded_log *log = new_log(dir, opts, env);
    bool exists = false;
    leat_status status = inspect(log, &exists, error);
    if (status == LEAT_OK && !exists && (opts->must_exist || opts->read_only))
        status = leat__fail(error, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL, "log",
                            "there is no log in %.200s", dir);
    if (status == LEAT_OK && opts->read_only) {
        status = leat__embedded_follow_open(log, error);
    } else if (status == LEAT_OK) {
        if (!exists)
            status = make_dirs(dir, error);
        if (status == LEAT_OK)
            status = leat__embedded_own(log, error);
        if (status == LEAT_OK)
            status = inspect(log, &exists, error); /* now alone with it */
        if (status == LEAT_OK)
            status = open_database(log, exists, error);
    }
    int format = 0;
    if (status == LEAT_OK)
        status = check_format(log, &format, error);
    if (status == LEAT_OK)
        status = leat__embedded_load_topics(log, error);
    if (status == LEAT_OK && format < EMBEDDED_FORMAT && !opts->read_only)
        status = leat__embedded_upgrade(log, error);
    if (status != LEAT_OK) {
        leat__embedded_follow_close(log);
        free_log(log);
        return status;
    }
    if (!opts->read_only)
        leat__embedded_cleaner_start(log);
    *out = &log->base;
    return LEAT_OK;
}

void leat__embedded_close(leat_log *base)
{
    embedded_log *log = embedded_of(base);
    handover_stop(log->handover);
    leat__embedded_cleaner_stop(log);
    leat__embedded_follow_close(log);
    free_log(log);
}

static size_t memory_bytes(const leat_log *log, size_t partition_count)
{
    (void)log, (void)partition_count; /* readers look into it where it lies */
    return 2 * WRITE_BUFFER_BYTES + BLOCK_CACHE_BYTES;
}

const leat__log_driver leat__embedded_driver = {
    .scheme = "embedded",
    .timestamp_min_ms = INT64_MIN,
    .open = leat__embedded_open,
    .close = leat__embedded_close,
    .memory_bytes = memory_bytes,
    .topic_create = leat__embedded_topic_create,
    .topic_describe = leat__embedded_topic_describe,
    .topic_delete = leat__embedded_topic_delete,
    .topic_each = leat__embedded_topic_each,
    .bounds = leat__embedded_bounds,
    .clean = leat__embedded_clean,
    .trim = leat__embedded_trim,
    .append = leat__embedded_append,
    .reader_new = leat__embedded_reader_new,
    .reader_free = leat__embedded_reader_free,
    .reader_seek = leat__embedded_reader_seek,
    .reader_remove = leat__embedded_reader_remove,
    .reader_poll = leat__embedded_reader_poll,
    .reader_position = leat__embedded_reader_position,
    .reader_topic_id = leat__embedded_reader_topic_id,
    .join = leat__embedded_join,
    .leave = leat__embedded_leave,
    .member_poll = leat__embedded_member_poll,
    .member_ack = leat__embedded_member_ack,
    .committed = leat__embedded_committed,
    .begin = leat__embedded_begin,
    .txn_add = leat__embedded_txn_add,
    .txn_offsets = leat__embedded_txn_offsets,
    .txn_commit = leat__embedded_txn_commit,
    .txn_abort = leat__embedded_txn_abort,
    .group_offsets = leat__embedded_group_offsets,
    .group_each = leat__embedded_group_each,
    .group_forget = leat__embedded_group_forget,
};
