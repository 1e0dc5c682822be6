/* candidates/session_dump.c - looking at the whole index: statistics, and the canonical dump that
 * an independent checker compares with its own batch build. */
#include <errno.h>
#include <stdlib.h>

#include "apps/recommender/candidates/session_index_private.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/mem.h"

enum { FLUSH_BYTES = 64 << 10 };

session_index_stats session_index_get_stats(session_index *index)
{
    uint32_t slot = reader_lock_slot(&index->lock);
    reader_lock_read_begin(&index->lock, slot);
    size_t per_item = sizeof(posting_list) + 2 * sizeof(uint32_t) + sizeof(float);
    session_index_stats stats = {
        .sessions_counted = index->sessions_counted,
        .sessions_stored = index->sessions_stored,
        .sessions_left_out = index->sessions_left_out,
        .items = index->names.count,
        .list_entries = index->list_entries,
        .memory_bytes = sizeof *index + interner_memory_bytes(&index->names) +
                        block_pool_memory_bytes(&index->pool) + index->item_capacity * per_item +
                        index->bucket_capacity * sizeof *index->buckets +
                        index->options.max_session_items * sizeof(uint32_t),
    };
    reader_lock_read_end(&index->lock, slot);
    return stats;
}

uint64_t session_index_item_sessions(session_index *index, leat_str item)
{
    uint32_t slot = reader_lock_slot(&index->lock);
    reader_lock_read_begin(&index->lock, slot);
    uint32_t number = interner_find(&index->names, item);
    uint64_t sessions = number == INTERNER_NONE ? 0 : index->sessions_of[number];
    reader_lock_read_end(&index->lock, slot);
    return sessions;
}

typedef struct dump {
    const session_index *index;
    FILE *out;
    leat__buffer text;
    uint64_t *sessions; /* stored ones that the cutoff has not passed, each once; oldest first */
    size_t session_count;
} dump;

/* qsort_r's argument order: two elements, then the context. */
static int by_name(const void *left, const void *right, void *context)
{
    const interner *names = context;
    leat_str a = interner_name(names, *(const uint32_t *)left);
    leat_str b = interner_name(names, *(const uint32_t *)right);
    int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static int by_age(const void *left, const void *right, void *context)
{
    return session_order(context, *(const uint64_t *)left, *(const uint64_t *)right);
}

static void flush(dump *to, size_t above_bytes)
{
    if (to->text.length <= above_bytes)
        return;
    fwrite(to->text.data, 1, to->text.length, to->out);
    to->text.length = 0;
}

static void dump_options(dump *to)
{
    const session_index_options *options = &to->index->options;
    leat__buffer_format(&to->text,
                        "{\"options\":{\"sessions_per_item\":%u,\"min_session_items\":%u,"
                        "\"max_session_items\":%u,\"max_sessions\":%llu},\"sessions\":%llu}\n",
                        options->sessions_per_item, options->min_session_items,
                        options->max_session_items, (unsigned long long)options->max_sessions,
                        (unsigned long long)to->index->sessions_counted);
}

/* Session ids may be names of users: their places in the order by age stand for them. */
static size_t number_of(const dump *to, uint64_t entry)
{
    size_t low = 0, high = to->session_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (session_order(to->index, to->sessions[middle], entry) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void collect_sessions(dump *to, uint32_t item)
{
    const posting_list *list = &to->index->lists[item];
    for (uint32_t i = session_expired_entries(to->index, list); i < list->count; i++)
        to->sessions[to->session_count++] = entries_of(to->index, list)[i];
}

static void sort_sessions(dump *to, session_index *index)
{
    size_t kept = 0;
    if (to->session_count > 1)
        qsort_r(to->sessions, to->session_count, sizeof *to->sessions, by_age, index);
    for (size_t i = 0; i < to->session_count; i++)
        if (kept == 0 || to->sessions[i] != to->sessions[kept - 1])
            to->sessions[kept++] = to->sessions[i];
    to->session_count = kept;
}

static void dump_item(dump *to, uint32_t item)
{
    const session_index *index = to->index;
    const posting_list *list = &index->lists[item];
    leat__buffer_text(&to->text, "{\"item\":");
    leat__buffer_json_str(&to->text, interner_name(&index->names, item));
    leat__buffer_format(&to->text, ",\"sessions\":%u,\"recent\":[", index->sessions_of[item]);
    uint32_t expired = session_expired_entries(index, list);
    for (uint32_t i = list->count; i-- > expired;) {
        leat__buffer_format(&to->text, "%zu", number_of(to, entries_of(index, list)[i]));
        if (i > expired)
            leat__buffer_u8(&to->text, ',');
    }
    leat__buffer_text(&to->text, "]}\n");
    flush(to, FLUSH_BYTES);
}

static void dump_session(dump *to, size_t number)
{
    const session_block *session = session_at(to->index, (uint32_t)to->sessions[number]);
    leat__buffer_format(&to->text, "{\"session\":%zu", number);
    leat__buffer_format(&to->text, ",\"last_time_ms\":%lld,\"items\":[",
                        (long long)session->last_time_ms);
    for (uint32_t i = 0; i < session->item_count; i++) {
        if (i > 0)
            leat__buffer_u8(&to->text, ',');
        leat__buffer_json_str(&to->text, interner_name(&to->index->names, session->items[i]));
    }
    leat__buffer_text(&to->text, "]}\n");
    flush(to, FLUSH_BYTES);
}

static void dump_all(dump *to, session_index *index)
{
    uint32_t item_count = index->names.count;
    uint32_t *items = leat__alloc(item_count * sizeof *items);
    to->sessions = leat__alloc(index->list_entries * sizeof *to->sessions);
    for (uint32_t i = 0; i < item_count; i++)
        items[i] = i;
    if (item_count > 1)
        qsort_r(items, item_count, sizeof *items, by_name, &index->names);
    for (uint32_t i = 0; i < item_count; i++)
        if (index->sessions_of[i] != 0)
            collect_sessions(to, i);
    sort_sessions(to, index);
    dump_options(to);
    for (uint32_t i = 0; i < item_count; i++)
        if (index->sessions_of[items[i]] != 0)
            dump_item(to, items[i]);
    for (size_t i = 0; i < to->session_count; i++)
        dump_session(to, i);
    flush(to, 0);
    leat__free(items);
    leat__free(to->sessions);
    leat__buffer_free(&to->text);
}

leat_status session_index_dump(session_index *index, FILE *out, leat_error *error)
{
    dump to = {.index = index, .out = out};
    uint32_t slot = reader_lock_slot(&index->lock);
    reader_lock_read_begin(&index->lock, slot);
    dump_all(&to, index);
    reader_lock_read_end(&index->lock, slot);
    if (fflush(out) == 0 && !ferror(out))
        return LEAT_OK;
    return leat__fail(error, leat__errno_status(errno), LEAT_RECOVERY_FATAL, "session index",
                      "the dump can't be written: %s", strerror(errno));
}
