/* state/rocksdb.c - the RocksDB backend.  The only file of src/state that knows RocksDB.
 *
 *     DIR/            RocksDB files        one column family, so the WAL alone makes a write atomic
 * (R12) DIR/leat.lock   flock + pid          R25 row "\xff\xff\xff\xff" "format"      version of
 * the whole (R26)
 *
 * Writes go through the WAL without a sync: kill -9 loses nothing, and what a power failure takes
 * comes back from the changelog, as the position is in the same write (R6). */
#include "base/assert.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "base/rocksdb_iterator.h"
#include "base/rocksdb_logger.h"
#include "state/backend.h"
#include "state/identity.h"
#include "state/lock.h"
#include "state/snapshot.h"
#include <errno.h>
#include <inttypes.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    FORMAT = 1,
    BLOCK_CACHE_BYTES = 8 << 20,
    WRITE_BUFFER_BYTES = 16 << 20,
    BLOOM_BITS = 10,     /* 1 % of the gets of new keys read a block */
    READ_ONLY_TRIES = 5, /* files may vanish under a reader while the job compacts */
};

static const double memtable_bloom_share = 0.02; /* 10 bits a key: absent keys skip the memtable */
static const char format_key[] = "\xff\xff\xff\xff"
                                 "format";

typedef struct rocks_database {
    leat__database base;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    char *dir;
    int lock;
} rocks_database;

struct leat__batch {
    rocks_database *database;
    rocksdb_writebatch_t *writes;
    size_t bytes;
};

struct leat__rows {
    rocks_database *database;
    rocksdb_iterator_t *iterator;
    rocksdb_readoptions_t *read;
    leat__buffer prefix, end;
    bool started;
};

static rocks_database *of(leat__database *database)
{
    return (rocks_database *)database;
}

/* RocksDB tells causes apart by text alone. Takes and frees `message`. */
static leat_status failed(const rocks_database *database, char *message, leat_error *error)
{
    leat_status status = LEAT_ESTATE;
    const char *remedy = "";
    if (strstr(message, "No space left") != NULL || strstr(message, "Disk quota") != NULL) {
        status = LEAT_ENOSPC;
        remedy = "; free some space and start again, nothing is lost";
    } else if (strstr(message, "File too large") != NULL) {
        status = LEAT_ENOSPC;
        remedy = "; raise the limit on file sizes and start again, nothing is lost";
    } else if (strstr(message, "Permission denied") != NULL ||
               strstr(message, "Operation not permitted") != NULL) {
        status = LEAT_EACCES;
        remedy = "; give the user of this process read and write access to it";
    } else if (strstr(message, "Read-only") != NULL) {
        status = LEAT_EACCES;
        remedy = "; mount it writable";
    } else if (strstr(message, "While lock file") != NULL ||
               strstr(message, "lock hold by") != NULL) {
        status = LEAT_ELOCKED;
    } else if (strncmp(message, "Corruption", 10) == 0 || strstr(message, "No such file") != NULL ||
               strstr(message, "does not exist") != NULL) {
        status = LEAT_ECORRUPT;
        remedy = "; remove the directory, it is rebuilt from the changelog";
    }
    leat__fail(error, status, LEAT_RECOVERY_FATAL, database->dir, "state: %s%s", message, remedy);
    free(message);
    return status;
}

/* ---------------------------------------------------------------- reading */

static leat_status get(leat__database *database, leat_str key, leat__buffer *value,
                       leat_error *error)
{
    rocks_database *rocks = of(database);
    char *message = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(rocks->db, rocks->read, key.data, key.length, &message);
    if (message != NULL)
        return failed(rocks, message, error);
    if (slice == NULL)
        return LEAT_ENOTFOUND;
    size_t length = 0;
    const char *bytes = rocksdb_pinnableslice_value(slice, &length);
    leat__buffer_bytes(value, bytes, length);
    rocksdb_pinnableslice_destroy(slice);
    return LEAT_OK;
}

/* The first key after all that begin with `prefix`; empty: there is none. */
static void end_of_prefix(leat__buffer *end, leat_str prefix)
{
    leat__buffer_bytes(end, prefix.data, prefix.length);
    while (end->length != 0 && (uint8_t)end->data[end->length - 1] == 0xff)
        end->length--;
    if (end->length != 0)
        end->data[end->length - 1]++;
}

static leat__rows *rows_open(leat__database *database, leat_str prefix, leat_str from)
{
    leat__rows *rows = leat__calloc(1, sizeof *rows);
    rows->database = of(database);
    leat__buffer_bytes(&rows->prefix, prefix.data, prefix.length);
    end_of_prefix(&rows->end, prefix);
    rows->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(rows->read, 0); /* a scan must not push out what gets need */
    if (rows->end.length != 0)
        rocksdb_readoptions_set_iterate_upper_bound(rows->read, rows->end.data, rows->end.length);
    rows->iterator = rocksdb_create_iterator(rows->database->db, rows->read);
    if (from.length != 0)
        rocksdb_iter_seek(rows->iterator, from.data, from.length);
    else
        rocksdb_iter_seek(rows->iterator, rows->prefix.data, rows->prefix.length);
    return rows;
}

static bool rows_next(leat__rows *rows, leat_str *key, leat_str *value)
{
    if (rows->started && rocksdb_iter_valid(rows->iterator))
        rocksdb_iter_next(rows->iterator);
    rows->started = true;
    if (!rocksdb_iter_valid(rows->iterator))
        return false;
    key->data = rocksdb_iter_key(rows->iterator, &key->length);
    value->data = rocksdb_iter_value(rows->iterator, &value->length);
    return true;
}

static leat_status rows_close(leat__rows *rows, leat_error *error)
{
    char *message = leat__iterator_end(rows->iterator);
    leat_status status = message == NULL ? LEAT_OK : failed(rows->database, message, error);
    rocksdb_readoptions_destroy(rows->read);
    leat__buffer_free(&rows->prefix);
    leat__buffer_free(&rows->end);
    leat__free(rows);
    return status;
}

/* ---------------------------------------------------------------- writing */

static leat__batch *batch_new(leat__database *database)
{
    leat__batch *batch = leat__calloc(1, sizeof *batch);
    batch->database = of(database);
    batch->writes = rocksdb_writebatch_create();
    return batch;
}

static void put(leat__batch *batch, leat_str key, leat_str value)
{
    batch->bytes += key.length + value.length;
    if (value.data == NULL)
        rocksdb_writebatch_delete(batch->writes, key.data, key.length);
    else
        rocksdb_writebatch_put(batch->writes, key.data, key.length, value.data, value.length);
}

static void delete_prefix(leat__batch *batch, leat_str prefix)
{
    leat__buffer end = {0};
    end_of_prefix(&end, prefix);
    LEAT_ASSERT(end.length != 0); /* stages stop below 0xffff */
    rocksdb_writebatch_delete_range(batch->writes, prefix.data, prefix.length, end.data,
                                    end.length);
    leat__buffer_free(&end);
}

static size_t batch_bytes(const leat__batch *batch)
{
    return batch->bytes;
}

static leat_status write_batch(leat__batch *batch, leat_error *error)
{
    char *message = NULL;
    rocks_database *rocks = batch->database;
    rocksdb_write(rocks->db, rocks->write, batch->writes, &message);
    rocksdb_writebatch_clear(batch->writes);
    batch->bytes = 0;
    return message == NULL ? LEAT_OK : failed(rocks, message, error); /* R17: never tried again */
}

static void batch_free(leat__batch *batch)
{
    rocksdb_writebatch_destroy(batch->writes);
    leat__free(batch);
}

/* The memtable is flushed first, so that the copy has next to no log to replay. */
static leat_status checkpoint(leat__database *database, const char *dir, leat_error *error)
{
    char *message = NULL;
    rocksdb_checkpoint_t *maker = rocksdb_checkpoint_object_create(of(database)->db, &message);
    if (message == NULL)
        rocksdb_checkpoint_create(maker, dir, 0, &message);
    if (maker != NULL)
        rocksdb_checkpoint_object_destroy(maker);
    if (message == NULL)
        return LEAT_OK;
    leat_status status = strstr(message, "No space left") != NULL ? LEAT_ENOSPC : LEAT_EIO;
    leat__fail(error, status, LEAT_RECOVERY_RETRY, dir, "%s", message);
    free(message);
    return status;
}

/* ---------------------------------------------------------------- opening */

static void close_database(leat__database *database)
{
    rocks_database *rocks = of(database);
    if (rocks->db != NULL)
        rocksdb_close(rocks->db);
    if (rocks->options != NULL)
        rocksdb_options_destroy(rocks->options);
    if (rocks->table != NULL)
        rocksdb_block_based_options_destroy(rocks->table);
    if (rocks->cache != NULL)
        rocksdb_cache_destroy(rocks->cache);
    if (rocks->read != NULL)
        rocksdb_readoptions_destroy(rocks->read);
    if (rocks->write != NULL)
        rocksdb_writeoptions_destroy(rocks->write);
    leat__lock_release(rocks->lock);
    leat__free(rocks->dir);
    leat__free(rocks);
}

static const leat__backend_ops rocksdb_ops = {
    .durable = true,
    .get = get,
    .rows = rows_open,
    .next = rows_next,
    .rows_close = rows_close,
    .batch = batch_new,
    .put = put,
    .delete_prefix = delete_prefix,
    .batch_bytes = batch_bytes,
    .write = write_batch,
    .batch_free = batch_free,
    .checkpoint = checkpoint,
    .close = close_database,
};

static void set_table_options(rocks_database *rocks, size_t block_cache_bytes)
{
    rocks->table = rocksdb_block_based_options_create();
    rocks->cache =
        rocksdb_cache_create_lru(block_cache_bytes != 0 ? block_cache_bytes : BLOCK_CACHE_BYTES);
    rocksdb_block_based_options_set_block_cache(rocks->table, rocks->cache);
    rocksdb_block_based_options_set_filter_policy(
        rocks->table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    /* Index and filters live in the bounded cache, in parts, so that many keys do not mean much
     * memory. */
    rocksdb_block_based_options_set_index_type(
        rocks->table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(rocks->table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(rocks->table, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(rocks->table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(rocks->table, 1);
    rocksdb_options_set_block_based_table_factory(rocks->options, rocks->table);
}

static void set_options(rocks_database *rocks, const leat__database_opts *opts)
{
    rocks->options = rocksdb_options_create();
    rocks->read = rocksdb_readoptions_create();
    rocks->write = rocksdb_writeoptions_create(); /* WAL, no sync */
    /* Batches come sorted: each insert starts where the last one was, 2 x faster.  RocksDB does
     * that for a single writer only if writes are unordered; with one batch at a time that is no
     * loss: a batch still goes into one memtable, and a reader on the way sees keys of tasks'
     * caches only. */
    rocksdb_writeoptions_set_memtable_insert_hint_per_batch(rocks->write, 1);
    rocksdb_options_set_unordered_write(rocks->options, 1);
    rocksdb_options_t *options = rocks->options;
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(
        options, opts->write_buffer_bytes != 0 ? opts->write_buffer_bytes : WRITE_BUFFER_BYTES);
    rocksdb_options_set_max_write_buffer_number(options, 2);
    rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, memtable_bloom_share);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_max_open_files(options, leat__descriptors_of_database());
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_bytes_per_sync(options, 1 << 20);
    leat__rocksdb_use_logger(options);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    set_table_options(rocks, opts->block_cache_bytes);
}

static leat_status check_format(rocks_database *rocks, bool may_write, leat_error *error)
{
    leat_str key = {format_key, sizeof format_key - 1};
    leat__buffer value = {0};
    leat_status status = get(&rocks->base, key, &value, error);
    if (status == LEAT_ENOTFOUND) {
        status = LEAT_OK;
        char version[1] = {FORMAT};
        leat__batch *batch = batch_new(&rocks->base);
        put(batch, key, (leat_str){version, 1});
        if (may_write)
            status = write_batch(batch, error);
        batch_free(batch);
    } else if (status == LEAT_OK && (value.length != 1 || value.data[0] != FORMAT)) {
        status = leat__fail(
            error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, rocks->dir,
            "state: written by a newer version of leat (format %d, this one reads %d); upgrade, "
            "or remove the directory and it is rebuilt from the changelog",
            value.length != 0 ? value.data[0] : 0, FORMAT);
    }
    leat__buffer_free(&value);
    return status;
}

static leat_status make_dir(const char *dir, leat_error *error)
{
    if (mkdir(dir, 0777) == 0 || errno == EEXIST)
        return LEAT_OK;
    int cause = errno;
    char text[LEAT__ERRNO_TEXT_BYTES];
    return leat__fail(error, leat__errno_status(cause), LEAT_RECOVERY_FATAL, dir,
                      "state: cannot create the directory: %s",
                      leat__errno_text(cause, text, sizeof text));
}

static rocks_database *new_rocks(const leat__database_opts *opts)
{
    rocks_database *rocks = leat__calloc(1, sizeof *rocks);
    rocks->base.ops = &rocksdb_ops;
    rocks->dir = leat__strdup(opts->dir);
    rocks->lock = -1;
    set_options(rocks, opts);
    return rocks;
}

static leat_status open_rocks(rocks_database *rocks, leat_error *error)
{
    char *message = NULL;
    rocks->db = rocksdb_open(rocks->options, rocks->dir, &message);
    return message != NULL ? failed(rocks, message, error) : check_format(rocks, true, error);
}

static leat_status open_snapshot(rocks_database *rocks, const char *path,
                                 const leat__snapshot_place *place, leat_error *error)
{
    leat__snapshot_size size = {0};
    leat_status status = leat__snapshot_take(path, rocks->dir, place, &size, error);
    if (status != LEAT_OK)
        return status;
    status = open_rocks(rocks, error);
    if (status == LEAT_OK) {
        leat__log_line(LEAT__INFO, "state",
                       "begun with the snapshot %s, %zu files, %" PRIu64 " bytes", path, size.files,
                       size.bytes);
        return LEAT_OK;
    }
    if (rocks->db != NULL)
        rocksdb_close(rocks->db);
    rocks->db = NULL;
    leat__snapshot_undo(rocks->dir);
    return status;
}

/* A snapshot that can't be used costs time, never the start. */
static void try_snapshots(rocks_database *rocks, const leat__snapshot_place *place)
{
    char kept[LEAT__IDENTITY_BYTES];
    const char *instance = place->instance;
    if (instance == NULL && leat__identity_kept(rocks->dir, kept))
        instance = kept;
    leat__snapshot_list list;
    leat__snapshot_undo(rocks->dir); /* what a process left that was killed while it took one */
    leat__snapshots_find(&list, place, instance);
    for (size_t i = 0; i < list.count && rocks->db == NULL; i++) {
        leat_error error = {0};
        if (open_snapshot(rocks, list.paths[i], place, &error) != LEAT_OK)
            leat__log_line(LEAT__WARN, "state", "snapshot %s not used: %s", list.paths[i],
                           error.message);
    }
    leat__snapshots_free(&list);
    rocks->base.from_snapshot = rocks->db != NULL;
}

leat_status leat__rocksdb_open(leat__database **database, const leat__database_opts *opts,
                               leat_error *error)
{
    if (opts->dir == NULL || opts->dir[0] == '\0')
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "state",
                          "the rocksdb backend needs a directory");
    leat_status status = leat__state_dir_check(opts->dir, error);
    if (status == LEAT_OK)
        status = make_dir(opts->dir, error);
    if (status != LEAT_OK)
        return status;
    rocks_database *rocks = new_rocks(opts);
    status = leat__lock_take(opts->dir, &rocks->lock, error);
    if (status == LEAT_OK && opts->snapshots.dir != NULL && !leat__snapshot_is_needless(opts->dir))
        try_snapshots(rocks, &opts->snapshots);
    if (status == LEAT_OK && rocks->db == NULL)
        status = open_rocks(rocks, error);
    if (status == LEAT_OK)
        *database = &rocks->base;
    else
        close_database(&rocks->base);
    return status;
}

leat_status leat__rocksdb_open_read_only(leat__database **database, const char *dir,
                                         leat_error *error)
{
    struct stat info;
    if (stat(dir, &info) != 0)
        return leat__fail(error, errno == ENOENT ? LEAT_ENOTFOUND : leat__errno_status(errno),
                          LEAT_RECOVERY_FATAL, dir, "state: can't look at the directory: %s",
                          strerror(errno));
    rocks_database *rocks = new_rocks(&(leat__database_opts){.dir = dir});
    rocksdb_options_set_create_if_missing(rocks->options, 0);
    char *message = NULL;
    for (int i = 0; i < READ_ONLY_TRIES && rocks->db == NULL; i++) {
        free(message);
        message = NULL;
        rocks->db = rocksdb_open_for_read_only(rocks->options, dir, 0, &message);
    }
    leat_status status =
        message != NULL ? failed(rocks, message, error) : check_format(rocks, false, error);
    if (status == LEAT_OK)
        *database = &rocks->base;
    else
        close_database(&rocks->base);
    return status;
}
