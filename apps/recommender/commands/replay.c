/* commands/replay.c - `leat-recommender replay FILE`.
 *
 *   file ─► loader ─► rows in memory ─► sorted by time ─► batches ─► target
 *                 └── --as-is: straight on ─────────────────┘
 *
 * Files are often grouped by session or user; sent like that, nearly all of their events would be
 * late.  So they are put in the order of time first, unless --as-is says that they are in order
 * (or that they don't fit into memory). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/recommender/commands/commands.h"
#include "apps/recommender/commands/event_text.h"
#include "apps/recommender/commands/replay_target.h"
#include "apps/recommender/events/load.h"
#include "apps/recommender/events/load_format.h"
#include "base/env.h"
#include "base/error.h"
#include "base/mem.h"
#include "record/codec.h"

enum {
    BATCH_EVENTS = 1000,
    BATCH_BYTES = 1 << 20,
    REJECTS_SHOWN = 10,
    BAR_WIDTH = 30,
    BAR_EVERY_US = 100000
};
enum { OWN_FLAGS = 6 };

typedef struct replay {
    const char *file, *file_name, *to, *format, *data_dir;
    uint64_t limit;
    bool quiet, as_is;
    replay_target *target;
    leat__arena rows_memory;
    interaction *rows;
    size_t row_count, row_capacity;
    replay_batch batch;
    leat__buffer id;
    uint64_t loaded, events, rejects_shown;
    bool on_terminal;
    int64_t started_us, bar_us;
    leat_status status;
    leat_error error;
} replay;

static int64_t clock_us(void)
{
    const leat_env *env = leat__env_system();
    return env->monotonic_us(env->arg);
}

static void clear_bar(replay *self)
{
    if (self->on_terminal && self->bar_us != 0)
        fprintf(stderr, "\r\033[K");
}

static void on_progress(void *arg, uint64_t bytes_read, uint64_t bytes_total)
{
    replay *self = arg;
    int64_t now_us = clock_us();
    if (!self->on_terminal || now_us - self->bar_us < BAR_EVERY_US)
        return;
    self->bar_us = now_us;
    double part = bytes_total == 0 ? 0 : (double)bytes_read / (double)bytes_total;
    int filled = (int)(part * BAR_WIDTH + 0.5);
    fprintf(stderr, "\r\033[K[%.*s%*s] %3.0f %%  %llu events  %.0f/s",
            filled > BAR_WIDTH ? BAR_WIDTH : filled, "##############################",
            BAR_WIDTH - (filled > BAR_WIDTH ? BAR_WIDTH : filled), "", part * 100,
            (unsigned long long)self->events,
            (double)self->events * 1e6 / (double)(now_us - self->started_us + 1));
}

static void on_reject(void *arg, const load_reject *reject)
{
    replay *self = arg;
    if (self->rejects_shown++ >= REJECTS_SHOWN)
        return;
    clear_bar(self);
    fprintf(stderr, "%s:%llu: %s\n", reject->file, (unsigned long long)reject->line,
            reject->reason);
}

static void send_batch(replay *self)
{
    if (self->batch.count > 0 && self->status == LEAT_OK)
        self->status = self->target->send(self->target, &self->batch, &self->error);
    self->batch.count = self->batch.texts.length = self->batch.keys.length = 0;
}

static void add_to_batch(replay *self, const interaction *event)
{
    replay_batch *batch = &self->batch;
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? BATCH_EVENTS : batch->capacity * 2;
        batch->events = leat__realloc(batch->events, batch->capacity, sizeof *batch->events);
    }
    size_t before = batch->texts.length;
    event_text_append(&batch->texts, event);
    batch->events[batch->count].text_bytes = (uint32_t)(batch->texts.length - before);
    batch->events[batch->count].key_bytes = (uint32_t)event->user_id.length;
    leat__buffer_text(&batch->texts, "\n");
    leat__buffer_bytes(&batch->keys, event->user_id.data, event->user_id.length);
    batch->count++;
    self->events++;
    if (batch->count == BATCH_EVENTS || batch->texts.length > BATCH_BYTES)
        send_batch(self);
}

static void keep_row(replay *self, const interaction *event)
{
    if (self->row_count == self->row_capacity) {
        self->row_capacity = self->row_capacity == 0 ? 1 << 16 : self->row_capacity * 2;
        self->rows = leat__realloc(self->rows, self->row_capacity, sizeof *self->rows);
    }
    interaction *row = &self->rows[self->row_count++];
    leat__record_copy(&self->rows_memory, &interaction_type, event, row);
}

static bool on_interaction(void *arg, const interaction *event)
{
    replay *self = arg;
    interaction row = *event;
    self->loaded++;
    if (row.event_id.length == 0) {
        /* The same in every replay of the file, so that sending it twice counts it once. */
        self->id.length = 0;
        leat__buffer_format(&self->id, "%s:%llu", self->file_name,
                            (unsigned long long)self->loaded);
        row.event_id = (leat_str){self->id.data, self->id.length};
    }
    if (self->as_is)
        add_to_batch(self, &row);
    else
        keep_row(self, &row);
    return self->status == LEAT_OK && (self->limit == 0 || self->loaded < self->limit);
}

/* Stable: rows of one moment stay in the order of the file, which is the order in memory. */
static int by_time(const void *a, const void *b)
{
    const interaction *x = a, *y = b;
    if (x->timestamp_ms != y->timestamp_ms)
        return x->timestamp_ms < y->timestamp_ms ? -1 : 1;
    return x->accepted_ms < y->accepted_ms ? -1 : 1; /* its number: see send_rows */
}

static void send_rows(replay *self)
{
    for (size_t i = 0; i < self->row_count; i++)
        self->rows[i].accepted_ms = (int64_t)i;
    qsort(self->rows, self->row_count, sizeof *self->rows, by_time);
    for (size_t i = 0; i < self->row_count && self->status == LEAT_OK; i++) {
        add_to_batch(self, &self->rows[i]);
        if (i % BATCH_EVENTS == 0)
            on_progress(self, i, self->row_count);
    }
}

static void print_result(const replay *self, const load_result *result)
{
    double seconds = (double)(clock_us() - self->started_us) / 1e6;
    printf("{\"file\":\"%s\",\"format\":\"%s\",\"events\":%llu,\"rows_rejected\":%llu,"
           "\"events_rejected\":%llu,\"seconds\":%.3f,\"events_per_s\":%.0f",
           self->file_name, result->format == NULL ? "" : result->format,
           (unsigned long long)self->events, (unsigned long long)result->rejected,
           (unsigned long long)self->target->rejected, seconds,
           (double)self->events / (seconds > 0 ? seconds : 1));
    const leat__histogram *latency = self->target->accepted_to_committed_us;
    if (latency != NULL && latency->count > 0)
        printf(",\"accepted_to_committed_ms\":{\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f}",
               (double)leat__histogram_quantile(latency, .5) / 1e3,
               (double)leat__histogram_quantile(latency, .95) / 1e3,
               (double)leat__histogram_quantile(latency, .99) / 1e3);
    printf("}\n");
}

static leat_status run(replay *self, const recommender_settings *settings)
{
    leat_status status = self->to != NULL ? replay_http(&self->target, self->to, &self->error)
                                          : replay_local(&self->target, settings, &self->error);
    if (status != LEAT_OK)
        return status;
    load_result result = {0};
    load_options options = {.format = self->format,
                            .arg = self,
                            .on_interaction = on_interaction,
                            .on_reject = on_reject,
                            .on_progress = on_progress};
    self->started_us = clock_us();
    status = load_file(self->file, &options, &result, &self->error);
    if (status == LEAT_OK)
        send_rows(self);
    send_batch(self);
    if (status == LEAT_OK)
        status = self->status;
    leat_error ignored;
    leat_status finished =
        self->target->finish(self->target, status == LEAT_OK ? &self->error : &ignored);
    if (status == LEAT_OK)
        status = finished;
    clear_bar(self);
    if (self->rejects_shown > REJECTS_SHOWN)
        fprintf(stderr, "... and %llu rows more\n",
                (unsigned long long)(self->rejects_shown - REJECTS_SHOWN));
    if (self->target->rejected > 0)
        fprintf(stderr, "the server rejected %llu events; the first: %s\n",
                (unsigned long long)self->target->rejected, self->target->reject);
    if (status == LEAT_OK)
        print_result(self, &result);
    return status;
}

static void print_help(const flags *parsed)
{
    printf("usage: leat-recommender replay FILE --to URL        to a running server\n"
           "       leat-recommender replay FILE --data-dir DIR  through the job in this process\n\n"
           "Formats: %s. Plain, .gz or .zst; - is standard input.\n"
           "Prints one line of JSON when every event is durable (and, with --data-dir,\n"
           "committed).\n\n",
           load_format_names());
    flags_print(parsed, stdout);
}

static leat_status check_arguments(replay *self, const flags *parsed, leat_error *error)
{
    if (parsed->word_count == 0)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "replay",
                          "FILE is missing; see replay --help");
    if ((self->to == NULL) == (self->data_dir == NULL)) /* --log alone would leave no state */
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "replay",
                          "say where to: either --to URL or --data-dir DIR");
    const char *slash = strrchr(self->file, '/');
    self->file_name = slash == NULL ? self->file : slash + 1;
    self->on_terminal = isatty(STDERR_FILENO) && !self->quiet;
    return LEAT_OK;
}

int replay_main(int argc, char **argv)
{
    replay self = {0};
    recommender_settings settings = recommender_defaults();
    flag table[OWN_FLAGS + SETTINGS_FLAGS] = {
        {"to", FLAG_TEXT, &self.to, 0, 0, "URL", "a server: http://127.0.0.1:8080"},
        {"data-dir", FLAG_TEXT, &self.data_dir, 0, 0, "DIR",
         "or a data directory that no server holds"},
        {"format", FLAG_TEXT, &self.format, 0, 0, "NAME",
         "format of the file; else by its first line"},
        {"limit", FLAG_U64, &self.limit, 0, 0, NULL, "stop after so many events"},
        {"as-is", FLAG_BOOL, &self.as_is, 0, 0, NULL,
         "send in the order of the file instead of the order of time"},
        {"quiet", FLAG_BOOL, &self.quiet, 0, 0, NULL, "no progress bar"},
    };
    settings_flags(&settings, table + OWN_FLAGS);
    flags parsed = {.table = table,
                    .count = OWN_FLAGS + SETTINGS_FLAGS,
                    .words = &self.file,
                    .word_capacity = 1};
    leat_status status = flags_parse(&parsed, argc, argv, &self.error);
    if (status == LEAT_OK && parsed.help) {
        print_help(&parsed);
    } else if (status == LEAT_OK) {
        status = check_arguments(&self, &parsed, &self.error);
        settings.data_dir = self.data_dir;
        if (status == LEAT_OK)
            status = run(&self, &settings);
    }
    if (self.target != NULL)
        self.target->free(self.target);
    leat__buffer_free(&self.batch.texts);
    leat__buffer_free(&self.batch.keys);
    leat__buffer_free(&self.id);
    leat__free(self.batch.events);
    leat__free(self.rows);
    leat__arena_free(&self.rows_memory);
    flags_free(&parsed);
    return status == LEAT_OK ? 0 : command_failed(&self.error);
}
