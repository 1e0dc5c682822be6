/* engine/operator_entry.c - the topic JOB-operators as entries, read and written; operators.h has
 * the format. */
#include "base/error.h"
#include "base/mem.h"
#include "engine/operators.h"

enum {
    FORMAT = 3,
    WITHOUT_OFFSET = 2,
    WITHOUT_PARTS = 1,
    DROPPED = 1,
    READ_WAIT_US = 20000,
    READ_RECORDS = 256
};

/* ------------------------------------------------------------------ a topic to its end */

static void wake_coordinator(void *run)
{
    if (run != NULL)
        leat__doorbell_ring(&((leat__run *)run)->bell);
}

static leat_status bounds(leat_log *log, leat__run *run, const char *topic, uint32_t partition,
                          int64_t *begin, int64_t *end, leat_error *error)
{
    return run == NULL ? leat_log_bounds(log, topic, partition, begin, end, error)
                       : leat__ask_bounds(run, "the end of an internal topic", topic, partition,
                                          begin, end, error);
}

/* R11: by position, as the last offset may be a control record. */
static leat_status at_ends(const leat_log_reader *reader, const char *topic, uint32_t count,
                           const int64_t *ends, bool *all, leat_error *error)
{
    *all = true;
    for (uint32_t p = 0; p < count; p++) {
        int64_t position = 0;
        leat_status status = leat_log_reader_position((leat_log_reader *)(uintptr_t)reader, topic,
                                                      p, &position, error);
        if (status != LEAT_OK)
            return status;
        *all &= position >= ends[p];
    }
    return LEAT_OK;
}

static leat_status read_to_ends(leat_log_reader *reader, leat__run *run, const char *topic,
                                uint32_t count, const int64_t *ends,
                                bool (*fn)(void *arg, const leat_log_record *record), void *arg,
                                leat_error *error)
{
    leat__doorbell nobody = {0};
    for (bool all = false; !all;) {
        leat_log_record records[READ_RECORDS];
        size_t got = 0;
        leat_status status = leat_log_reader_poll(reader, records, READ_RECORDS, &got, error);
        for (size_t i = 0; i < got && status == LEAT_OK; i++)
            if (!fn(arg, &records[i]))
                return LEAT_OK;
        if (status == LEAT_OK && got == 0)
            status = at_ends(reader, topic, count, ends, &all, error);
        if (status != LEAT_OK)
            return status;
        if (run != NULL && atomic_load(&run->stop_requested))
            return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, topic,
                              "stopped while reading it");
        if (got == 0 && !all) /* the log fetches */
            leat__doorbell_wait(run == NULL ? &nobody : &run->bell, READ_WAIT_US);
    }
    return LEAT_OK;
}

leat_status leat__read_all(leat_log *log, leat__run *run, const char *topic, uint32_t count,
                           const int64_t *from,
                           bool (*fn)(void *arg, const leat_log_record *record), void *arg,
                           leat_error *error)
{
    int64_t *ends = leat__calloc(count, sizeof *ends);
    leat_log_reader *reader = NULL;
    leat_status status = leat_log_reader_new(log, wake_coordinator, run, &reader, error);
    for (uint32_t p = 0; p < count && status == LEAT_OK; p++) {
        int64_t begin;
        status = bounds(log, run, topic, p, &begin, &ends[p], error);
        if (status == LEAT_OK)
            status = leat_log_reader_seek(reader, topic, p,
                                          from == NULL || from[p] < begin ? begin : from[p], error);
    }
    if (status == LEAT_OK)
        status = read_to_ends(reader, run, topic, count, ends, fn, arg, error);
    leat_log_reader_free(reader);
    leat__free(ends);
    return status;
}

/* ------------------------------------------------------------------ entries */

leat__entry *leat__entry_of(const leat__entries *entries, const char *name)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->all[i].name, name) == 0)
            return &entries->all[i];
    return NULL;
}

static leat__entry *entry_added(leat__entries *entries, const char *name)
{
    entries->all = leat__realloc(entries->all, entries->count + 1, sizeof *entries->all);
    leat__entry *entry = &entries->all[entries->count++];
    *entry = (leat__entry){
        .name = leat__strdup(name), .stage = leat__strdup(""), .key = leat__strdup("")};
    return entry;
}

leat__entry *leat__entry_change(leat__entries *entries, const char *name)
{
    leat__entry *entry = leat__entry_of(entries, name);
    if (entry == NULL)
        entry = entry_added(entries, name);
    if (!entry->changed)
        entry->revision++;
    entry->changed = true;
    return entry;
}

void leat__entry_set(leat__entry *entry, leat__entry_kind kind, const char *stage, uint16_t number,
                     const char *key)
{
    char *stage_copy = leat__strdup(stage), *key_copy = leat__strdup(key);
    leat__free(entry->stage);
    leat__free(entry->key);
    entry->kind = kind;
    entry->stage = stage_copy;
    entry->number = number;
    entry->key = key_copy;
}

leat__part *leat__part_of(const leat__entry *entry, leat_str name)
{
    for (size_t i = 0; i < entry->part_count; i++)
        if (leat_str_equal(leat_str_from(entry->parts[i].name), name))
            return &entry->parts[i];
    return NULL;
}

leat__part *leat__part_add(leat__entry *entry, leat_str name)
{
    entry->parts = leat__realloc(entry->parts, entry->part_count + 1, sizeof *entry->parts);
    leat__part *part = &entry->parts[entry->part_count++];
    *part = (leat__part){.name = leat__strndup(name.data, name.length)};
    return part;
}

static void free_parts(leat__entry *entry)
{
    for (size_t i = 0; i < entry->part_count; i++)
        leat__free(entry->parts[i].name);
    leat__free(entry->parts);
    entry->parts = NULL;
    entry->part_count = 0;
}

void leat__entry_free(leat__entry *entry)
{
    leat__free(entry->name);
    leat__free(entry->stage);
    leat__free(entry->key);
    free_parts(entry);
}

void leat__entries_free(leat__entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        leat__entry_free(&entries->all[i]);
    leat__free(entries->all);
    leat__free(entries->topic);
    *entries = (leat__entries){0};
}

/* ------------------------------------------------------------------ as bytes */

static void encode(const leat__entry *entry, leat__buffer *value)
{
    leat__buffer_u8(value, entry->parts_known ? FORMAT : WITHOUT_PARTS);
    leat__buffer_u8(value, (uint8_t)entry->kind);
    leat__buffer_u8(value, entry->dropped ? DROPPED : 0);
    leat__buffer_u32(value, entry->revision);
    leat__buffer_u8(value, (uint8_t)(entry->number & 0xff));
    leat__buffer_u8(value, (uint8_t)(entry->number >> 8));
    leat__buffer_str(value, leat_str_from(entry->stage));
    leat__buffer_str(value, leat_str_from(entry->key));
    if (!entry->parts_known) /* the job completes it when it starts */
        return;
    leat__buffer_u64(value, (uint64_t)entry->window_ms);
    leat__buffer_varint(value, entry->part_count);
    for (size_t i = 0; i < entry->part_count; i++) {
        leat__buffer_u8(value, entry->parts[i].dropped ? DROPPED : 0);
        leat__buffer_str(value, leat_str_from(entry->parts[i].name));
    }
    leat__buffer_u64(value, (uint64_t)entry->window_offset_ms);
}

typedef struct reading {
    leat__entries *entries;
    leat_status status;
    leat_error *error;
} reading;

static bool damaged(reading *r, const leat_log_record *record)
{
    r->status = leat__fail(r->error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, r->entries->topic,
                           "offset %lld is no entry of an operator: somebody else writes to this "
                           "topic, or it is damaged; rename the job",
                           (long long)record->offset);
    return false;
}

static bool same_parts(const leat__entry *entry, const leat__entry *other)
{
    bool same = entry->parts_known == other->parts_known && entry->window_ms == other->window_ms &&
                entry->window_offset_ms == other->window_offset_ms &&
                entry->part_count == other->part_count;
    for (size_t i = 0; i < entry->part_count && same; i++)
        same = strcmp(entry->parts[i].name, other->parts[i].name) == 0 &&
               entry->parts[i].dropped == other->parts[i].dropped;
    return same;
}

/* The parts that were read become the entry's. */
static void take(leat__entries *entries, const char *name, leat__entry *read, leat_str stage,
                 leat_str key)
{
    leat__entry *entry = leat__entry_of(entries, name);
    if (entry == NULL)
        entry = entry_added(entries, name);
    else if (read->revision <= entry->revision) {
        entry->contested |=
            read->revision == entry->revision &&
            (!leat_str_equal(leat_str_from(entry->stage), stage) || read->number != entry->number ||
             read->kind != entry->kind || !same_parts(entry, read));
        return;
    }
    char *stage_text = leat__strndup(stage.data, stage.length);
    char *key_text = leat__strndup(key.data, key.length);
    leat__entry_set(entry, read->kind, stage_text, read->number, key_text);
    entry->dropped = read->dropped;
    entry->revision = read->revision;
    entry->contested = false;
    free_parts(entry);
    entry->parts_known = read->parts_known;
    entry->window_ms = read->window_ms;
    entry->window_offset_ms = read->window_offset_ms;
    entry->parts = read->parts;
    entry->part_count = read->part_count;
    read->parts = NULL;
    read->part_count = 0;
    leat__free(stage_text);
    leat__free(key_text);
}

static void read_parts(leat__reader *reader, uint8_t format, leat__entry *read)
{
    read->parts_known = true;
    read->window_ms = (int64_t)leat__read_u64(reader);
    uint64_t count = leat__read_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        bool dropped = (leat__read_u8(reader) & DROPPED) != 0;
        leat_str name = leat__read_str(reader);
        if (name.data == NULL)
            reader->failed = true;
        else
            leat__part_add(read, name)->dropped = dropped;
    }
    read->window_offset_ms =
        format > WITHOUT_OFFSET ? (int64_t)leat__read_u64(reader) : LEAT_TIME_MIN;
}

static bool take_record(void *arg, const leat_log_record *record)
{
    reading *r = arg;
    leat__reader reader = leat__reader_of(record->value);
    if (record->value.data == NULL || record->key.data == NULL)
        return damaged(r, record);
    uint8_t format = leat__read_u8(&reader);
    if (!reader.failed && format > FORMAT) {
        r->status = leat__fail(r->error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, r->entries->topic,
                               "an entry of format %u, newer than this program's %d; run the "
                               "version that wrote it (R26)",
                               format, FORMAT);
        return false;
    }
    leat__entry read = {.kind = (leat__entry_kind)leat__read_u8(&reader)};
    read.dropped = (leat__read_u8(&reader) & DROPPED) != 0;
    read.revision = leat__read_u32(&reader);
    read.number = leat__read_u8(&reader);
    read.number = (uint16_t)(read.number | leat__read_u8(&reader) << 8);
    leat_str stage = leat__read_str(&reader), key = leat__read_str(&reader);
    if (format > WITHOUT_PARTS)
        read_parts(&reader, format, &read);
    if (reader.failed || format == 0 || reader.next != reader.end || stage.data == NULL ||
        key.data == NULL || read.kind > LEAT__ENTRY_MARK) {
        free_parts(&read);
        return damaged(r, record);
    }
    char *name = leat__strndup(record->key.data, record->key.length);
    take(r->entries, name, &read, stage, key);
    free_parts(&read);
    leat__free(name);
    return true;
}

leat_status leat__entries_read(leat__entries *entries, leat_log *log, leat__run *run,
                               const char *job, leat_error *error)
{
    *entries = (leat__entries){.topic = leat__format("%s-operators", job)};
    reading r = {.entries = entries, .error = error};
    leat_topic_opts opts;
    leat_status status = leat_topic_describe(log, entries->topic, &opts, error);
    if (status == LEAT_OK)
        status = leat__read_all(log, run, entries->topic, 1, NULL, take_record, &r, error);
    return status == LEAT_OK ? r.status : status;
}

leat_status leat__entries_write(leat__entries *entries, leat_log *log, int64_t now_ms,
                                leat_error *error)
{
    leat_status status = LEAT_OK;
    size_t count = 0;
    leat__buffer *values = leat__calloc(entries->count + 1, sizeof *values);
    leat_log_record *records = leat__calloc(entries->count + 1, sizeof *records);
    for (size_t i = 0; i < entries->count; i++) {
        if (!entries->all[i].changed)
            continue;
        encode(&entries->all[i], &values[count]);
        records[count] = (leat_log_record){.topic = entries->topic,
                                           .timestamp_ms = now_ms,
                                           .key = leat_str_from(entries->all[i].name),
                                           .value = {values[count].data, values[count].length}};
        count++;
    }
    if (count != 0)
        status = leat_log_append(log, records, count, error);
    for (size_t i = 0; i < count; i++)
        leat__buffer_free(&values[i]);
    for (size_t i = 0; i < entries->count && status == LEAT_OK; i++)
        entries->all[i].changed = false;
    leat__free(values);
    leat__free(records);
    return status;
}
