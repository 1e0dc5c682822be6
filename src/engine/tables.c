/* engine/tables.c - global tables: topics that every process reads completely (a thread of its
 * own).
 *
 *   start: read all partitions to the end as of now ─► ready ─► follow along with the job
 */
#include "base/error.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/run.h"
#include "record/codec.h"
#include <inttypes.h>

typedef struct table {
    const leat__graph_table *config;
    uint32_t partition_count;
    _Atomic int64_t *positions; /* by partition; the next offset to read, for other threads */
} table;

typedef struct leat__tables {
    leat__run *run;
    leat_log_reader *reader;
    leat_json_decoder *json;
    leat__arena arena;
    table *tables;
    size_t table_count;
    pthread_t thread;
    bool thread_started;
    leat__doorbell bell;
    _Atomic uint64_t skipped;
} leat__tables;

static void wake(void *tables)
{
    leat__doorbell_ring(&((leat__tables *)tables)->bell);
}

static leat_status decode(leat__tables *tables, const leat__graph_table *named,
                          const leat_log_record *in, void *record, leat_error *error)
{
    const leat_table *config = &named->table;
    if (config->format == LEAT_JSON)
        return leat__json_decode_into(tables->json, &tables->arena, config->type, in->value,
                                      LEAT__STRINGS_IN_INPUT, record, error);
    return leat__headed_decode(named->binary, &tables->arena, in->value, LEAT__STRINGS_IN_INPUT,
                               record, error);
}

static leat_status table_record(leat__tables *tables, const leat__graph_table *named,
                                const leat_log_record *in, leat_error *error)
{
    const leat_table *config = &named->table;
    if (in->value.data == NULL) {
        config->on_record(config->arg, in->key, NULL, in);
        return LEAT_OK;
    }
    leat__arena_reset(&tables->arena);
    void *record = leat__arena_alloc(&tables->arena, config->type->size_bytes);
    memset(record, 0, config->type->size_bytes);
    leat_status status = decode(tables, named, in, record, error);
    if (status == LEAT_OK) {
        config->on_record(config->arg, in->key, record, in);
        return LEAT_OK;
    }
    if (config->on_error == LEAT_ON_ERROR_STOP)
        return leat__fail(error, status, LEAT_RECOVERY_FATAL, named->name,
                          "%.200s (%s, partition %u, offset %lld)", error->message, in->topic,
                          in->partition, (long long)in->offset);
    /* a table has no epoch to put a dead letter into: the record stays in its topic */
    atomic_fetch_add(&tables->skipped, 1);
    leat__log_line(LEAT__WARN, "table", "%s: record skipped (%s, partition %u, offset %lld): %s",
                   named->name, in->topic, in->partition, (long long)in->offset, error->message);
    return LEAT_OK;
}

static leat_status poll_once(leat__tables *tables, size_t *count, leat_error *error)
{
    leat_log_record records[256];
    leat_status status = leat_log_reader_poll(tables->reader, records, 256, count, error);
    for (size_t i = 0; i < *count && status == LEAT_OK; i++)
        for (size_t t = 0; t < tables->table_count && status == LEAT_OK; t++)
            if (strcmp(tables->tables[t].config->table.topic, records[i].topic) == 0)
                status = table_record(tables, tables->tables[t].config, &records[i], error);
    return status;
}

static leat_status open_table(leat__tables *tables, table *t, leat_error *error)
{
    const leat_table *config = &t->config->table;
    leat_topic_opts opts;
    leat_status status = leat_topic_describe(tables->run->log, config->topic, &opts, error);
    if (status != LEAT_OK)
        return status;
    t->partition_count = opts.partition_count;
    t->positions = leat__calloc(opts.partition_count, sizeof(*t->positions));
    for (uint32_t p = 0; p < opts.partition_count && status == LEAT_OK; p++)
        status = leat_log_reader_seek(tables->reader, config->topic, p, LEAT_OFFSET_BEGIN, error);
    return status;
}

static leat_status caught_up(leat__tables *tables, bool *all, leat_error *error)
{
    *all = true;
    for (size_t t = 0; t < tables->table_count; t++)
        for (uint32_t p = 0; p < tables->tables[t].partition_count; p++) {
            const char *topic = tables->tables[t].config->table.topic;
            int64_t begin, end, position;
            leat_status status =
                leat__ask_bounds(tables->run, "the end of a table", topic, p, &begin, &end, error);
            if (status == LEAT_OK)
                status = leat_log_reader_position(tables->reader, topic, p, &position, error);
            if (status != LEAT_OK)
                return status;
            *all &= position >= end; /* R11 */
        }
    return LEAT_OK;
}

leat_status leat__tables_open(leat__run *run, leat_error *error)
{
    if (run->graph->table_count == 0)
        return LEAT_OK;
    leat__tables *tables = run->tables = leat__calloc(1, sizeof(*tables));
    tables->run = run;
    tables->json = leat_json_decoder_new();
    tables->table_count = run->graph->table_count;
    tables->tables = leat__calloc(tables->table_count, sizeof(*tables->tables));
    leat_status status = leat_log_reader_new(run->log, wake, tables, &tables->reader, error);
    for (size_t t = 0; t < tables->table_count && status == LEAT_OK; t++) {
        tables->tables[t].config = &run->graph->tables[t];
        status = open_table(tables, &tables->tables[t], error);
    }
    for (bool all = false; status == LEAT_OK && !all;) {
        size_t count;
        status = poll_once(tables, &count, error);
        if (status == LEAT_OK && count == 0)
            status = caught_up(tables, &all, error);
        if (status == LEAT_OK && count == 0 && !all)
            leat__doorbell_wait(&tables->bell, 20000); /* the log fetches */
        if (atomic_load(&run->stop_requested))
            return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, "tables",
                              "stopped while reading the tables");
    }
    return status;
}

leat_status leat__tables_check(leat__run *run, leat_error *error)
{
    const leat__tables *tables = run->tables;
    for (size_t t = 0; tables != NULL && t < tables->table_count; t++) {
        const table *one = &tables->tables[t];
        leat_topic_opts opts;
        leat__watch(run, "a table's topic", LEAT__LOG_CALL_MS);
        leat_status status = leat_topic_describe(run->log, one->config->table.topic, &opts, NULL);
        leat__watch_end(run);
        if (status != LEAT_OK || opts.partition_count == one->partition_count)
            continue; /* one that is gone is noticed by who reads it */
        return leat__fail(error, LEAT_EGRAPH, LEAT_RECOVERY_FATAL, one->config->table.topic,
                          "had %" PRIu32 " partitions when this job started and has %" PRIu32
                          " now: start it again, as it reads those of the start; where a later "
                          "record of a key replaces an earlier one fill a new topic, as order is "
                          "kept within a partition only",
                          one->partition_count, opts.partition_count);
    }
    return LEAT_OK;
}

static void note_positions(leat__tables *tables)
{
    int64_t position;
    for (size_t t = 0; t < tables->table_count; t++)
        for (uint32_t p = 0; p < tables->tables[t].partition_count; p++)
            if (leat_log_reader_position(tables->reader, tables->tables[t].config->table.topic, p,
                                         &position, NULL) == LEAT_OK)
                atomic_store_explicit(&tables->tables[t].positions[p], position,
                                      memory_order_relaxed);
}

uint64_t leat__tables_lag(leat__run *run)
{
    const leat__tables *tables = run->tables;
    uint64_t lag = 0;
    for (size_t t = 0; tables != NULL && t < tables->table_count; t++)
        for (uint32_t p = 0; p < tables->tables[t].partition_count && !leat__lag_given_up(run);
             p++) {
            const char *topic = tables->tables[t].config->table.topic;
            int64_t begin, end,
                position =
                    atomic_load_explicit(&tables->tables[t].positions[p], memory_order_relaxed);
            if (leat_log_bounds(run->log, topic, p, &begin, &end, NULL) == LEAT_OK &&
                end > position)
                lag += (uint64_t)(end - position);
        }
    return lag;
}

static void *tables_main(void *arg)
{
    leat__tables *tables = arg;
    leat__job_of_thread = tables->run->job;
    while (!atomic_load(&tables->run->quit))
        if (!leat__tables_step(tables->run))
            leat__doorbell_wait(&tables->bell, 200000);
    return NULL;
}

leat_status leat__tables_start(leat__run *run, leat_error *error)
{
    if (run->tables == NULL)
        return LEAT_OK;
    if (pthread_create(&run->tables->thread, NULL, tables_main, run->tables) != 0)
        return leat__fail(error, LEAT_EINTERNAL, LEAT_RECOVERY_FATAL, "tables",
                          "no thread could be started");
    run->tables->thread_started = true;
    return LEAT_OK;
}

bool leat__tables_step(leat__run *run)
{
    if (run->tables == NULL)
        return false;
    leat_error error;
    size_t count = 0;
    if (poll_once(run->tables, &count, &error) != LEAT_OK)
        leat__run_fail(run, &error);
    note_positions(run->tables);
    return count != 0;
}

void leat__tables_close(leat__run *run)
{
    leat__tables *tables = run->tables;
    if (tables == NULL)
        return;
    if (tables->thread_started) {
        leat__doorbell_ring(&tables->bell);
        pthread_join(tables->thread, NULL);
    }
    leat_log_reader_free(tables->reader);
    leat_json_decoder_free(tables->json);
    leat__arena_free(&tables->arena);
    for (size_t t = 0; t < tables->table_count; t++)
        leat__free(tables->tables[t].positions);
    leat__free(tables->tables);
    leat__free(tables);
    run->tables = NULL;
}
