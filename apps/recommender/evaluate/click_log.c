/* evaluate/click_log.c
 *
 *   events ─► clicks, as they come ─► sorted by (key, time, row) ─► cut into sessions
 *               key: session id, else user id                        └ other key, or a gap
 */
#include "apps/recommender/evaluate/click_log.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"

enum { CLICKS_MAX = INT32_MAX };

void click_log_add(click_log *log, const interaction *event)
{
    if (log->click_count == log->click_capacity) {
        log->click_capacity = log->click_capacity == 0 ? 1024 : log->click_capacity * 2;
        log->clicks = leat__realloc(log->clicks, log->click_capacity, sizeof *log->clicks);
    }
    bool has_session = event->session_id.length != 0;
    log->clicks[log->click_count] = (click){
        .time_ms = event->timestamp_ms,
        .item = interner_add(&log->items, event->item_id),
        .session = interner_add(&log->keys, has_session ? event->session_id : event->user_id),
        .row = log->click_count,
        .has_session_id = has_session};
    log->click_count++;
}

typedef struct loading {
    click_log *log;
    const load_options *report;
} loading;

static bool on_interaction(void *arg, const interaction *event)
{
    loading *into = arg;
    click_log_add(into->log, event);
    return into->log->click_count < CLICKS_MAX;
}
static void on_reject(void *arg, const load_reject *reject)
{
    const loading *into = arg;
    if (into->report->on_reject != NULL)
        into->report->on_reject(into->report->arg, reject);
}
static void on_progress(void *arg, uint64_t bytes_read, uint64_t bytes_total)
{
    const loading *into = arg;
    if (into->report->on_progress != NULL)
        into->report->on_progress(into->report->arg, bytes_read, bytes_total);
}

leat_status click_log_load(const char *path, const click_log_options *options, click_log *log,
                           leat_error *error)
{
    loading into = {log, &options->report};
    load_options load = {.format = options->format,
                         .arg = &into,
                         .on_interaction = on_interaction,
                         .on_reject = on_reject,
                         .on_progress = on_progress};
    leat_status status = load_file(path, &load, &log->loaded, error);
    if (status == LEAT_OK && log->click_count == 0)
        status = leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "file",
                            "%s holds no event that can be used", path);
    if (status == LEAT_OK)
        click_log_group(log, options->gap_ms, options->gap_cuts_all);
    return status;
}

static int by_session(const void *left, const void *right)
{
    const click *a = left, *b = right;
    if (a->session != b->session)
        return a->session < b->session ? -1 : 1;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return a->row < b->row ? -1 : 1;
}

static int by_time(const void *left, const void *right, void *context)
{
    const click_log *log = context;
    const click *a = &log->clicks[*(const uint32_t *)left];
    const click *b = &log->clicks[*(const uint32_t *)right];
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return a->row < b->row ? -1 : 1;
}

static void begin_session(click_log *log, uint32_t first)
{
    if (log->session_count == log->session_capacity) {
        log->session_capacity = log->session_capacity == 0 ? 256 : log->session_capacity * 2;
        log->sessions = leat__realloc(log->sessions, log->session_capacity, sizeof *log->sessions);
    }
    log->sessions[log->session_count++] = (click_session){
        .id = interner_name(&log->keys, log->clicks[first].session), .first = first};
}

void click_log_group(click_log *log, int64_t gap_ms, bool gap_cuts_all)
{
    qsort(log->clicks, log->click_count, sizeof *log->clicks, by_session);
    uint32_t key = 0;
    for (uint32_t i = 0; i < log->click_count; i++) {
        click *now = &log->clicks[i];
        bool gap_counts = gap_cuts_all || !now->has_session_id;
        bool begins = i == 0 || now->session != key ||
                      (gap_counts && now->time_ms - now[-1].time_ms > gap_ms);
        key = now->session;
        if (begins)
            begin_session(log, i);
        now->session = log->session_count - 1;
        click_session *session = &log->sessions[now->session];
        session->count++;
        session->last_time_ms = now->time_ms;
    }
}

uint32_t *click_log_by_time(const click_log *log)
{
    uint32_t *order = leat__alloc(log->click_count * sizeof *order);
    for (uint32_t i = 0; i < log->click_count; i++)
        order[i] = i;
    click_log copy = *log; /* qsort_r's context is not const */
    qsort_r(order, log->click_count, sizeof *order, by_time, &copy);
    return order;
}

void click_log_free(click_log *log)
{
    interner_free(&log->items);
    interner_free(&log->keys);
    leat__free(log->clicks);
    leat__free(log->sessions);
    *log = (click_log){0};
}

uint32_t click_session_items(const click_log *log, uint32_t session)
{
    const click *clicks = &log->clicks[log->sessions[session].first];
    uint32_t count = log->sessions[session].count, distinct = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool repeat = false;
        for (uint32_t j = 0; j < i && !repeat; j++)
            repeat = clicks[j].item == clicks[i].item;
        distinct += !repeat;
    }
    return distinct;
}

static int by_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

uint32_t click_log_length_percentile(const click_log *log, double part)
{
    if (log->session_count == 0)
        return 1;
    uint32_t *lengths = leat__alloc(log->session_count * sizeof *lengths);
    for (uint32_t i = 0; i < log->session_count; i++)
        lengths[i] = click_session_items(log, i);
    qsort(lengths, log->session_count, sizeof *lengths, by_number);
    double place = ceil(part * log->session_count) - 1;
    uint32_t length = lengths[place <= 0 ? 0 : (uint32_t)place];
    leat__free(lengths);
    return length;
}
