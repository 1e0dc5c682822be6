/* testing/harness.c - see leat/test.h.
 *
 *   test ─ virtual clock ─► job ─ leat_job_step ─► sim log ◄─ a handle of the test's own
 *
 * A crash drops the run as it is and keeps the sim world: the next step starts from what was
 * committed.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "engine/run.h"
#include "leat/test.h"
#include "log/driver.h"
#include "record/codec.h"
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 1000000 }; /* a job that is busy for ever is a bug of its own */

typedef struct cursor {
    char *topic;
    leat_log_reader *reader;
    struct cursor *next;
} cursor;

struct leat_test {
    leat_job *job;
    leat_log *log;
    leat_env env;
    int64_t clock_ms;
    uint64_t random;
    leat_error error;
    cursor *cursors;
    leat__buffer text;
    bool ended;
};

static _Noreturn void die(const char *what, const leat_error *error)
{
    (void)fprintf(stderr, "leat_test: %s: %s: %s\n", what, error->where, error->message);
    abort();
}

/* A harness must not hide mistakes. */
static void needs(const char *call, bool all)
{
    const leat_error error = {.where = "misuse", .message = "a required argument is NULL"};
    if (!all)
        die(call, &error);
}

static int64_t virtual_now_ms(void *arg)
{
    return ((leat_test *)arg)->clock_ms;
}

static int64_t virtual_monotonic_us(void *arg)
{
    return ((leat_test *)arg)->clock_ms * 1000;
}

static uint64_t virtual_random(void *arg)
{
    leat_test *test = arg;
    return test->random += UINT64_C(0x9e3779b97f4a7c15);
}

leat_test *leat_test_new(leat_job *job)
{
    needs("leat_test_new", job != NULL);
    leat_test *test = leat__calloc(1, sizeof(*test));
    test->job = job;
    test->clock_ms = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */
    test->env = (leat_env){test, virtual_now_ms, virtual_monotonic_us, virtual_random};
    job->env = &test->env;
    if (!job->max_ahead_given) /* W7: tests invent times as they like */
        job->graph.opts.max_ahead_ms = LEAT_TIME_MAX;
    const char *url = job->graph.opts.log;
    leat_error error = {.where = "leat_test_new", .message = "the job's log must be sim:NAME"};
    if (url == NULL || strncmp(url, "sim:", 4) != 0)
        die("no simulated log", &error);
    if (leat__log_open_env(&test->log, url, NULL, &test->env, &error) != LEAT_OK)
        die(url, &error);
    return test;
}

static void drop_cursors(leat_test *test)
{
    while (test->cursors != NULL) {
        cursor *next = test->cursors->next;
        leat_log_reader_free(test->cursors->reader);
        leat__free(test->cursors->topic);
        leat__free(test->cursors);
        test->cursors = next;
    }
}

void leat_test_free(leat_test *test)
{
    if (test == NULL)
        return;
    drop_cursors(test);
    leat__run_close(test->job);
    char *name = leat__strdup(test->job->graph.opts.log + strlen("sim:"));
    leat_job_free(test->job);
    leat_log_close(test->log);
    leat__sim_forget(name); /* unless another test is on it: its clock was ours */
    leat__free(name);
    leat__buffer_free(&test->text);
    leat__free(test);
}

/* ------------------------------------------------------------------ input */

static void send_record(leat_test *test, leat_log_record record)
{
    leat_error error;
    if (test->job->run == NULL)
        (void)leat_test_step(test); /* the job makes its topics */
    record.timestamp_ms = test->clock_ms;
    if (leat_log_append(test->log, &record, 1, &error) != LEAT_OK)
        die("send", &error);
}

void leat_test_send_json(leat_test *test, const char *topic, const char *json)
{
    needs("leat_test_send_json", test != NULL && topic != NULL && json != NULL);
    send_record(test, (leat_log_record){.topic = topic,
                                        .partition = LEAT_PARTITION_BY_KEY,
                                        .value = leat_str_from(json)});
}

void leat_test_send_keyed(leat_test *test, const char *topic, const char *key, const char *json)
{
    needs("leat_test_send_keyed", test != NULL && topic != NULL);
    send_record(test, (leat_log_record){.topic = topic,
                                        .partition = LEAT_PARTITION_BY_KEY,
                                        .key = leat_str_from(key),
                                        .value = leat_str_from(json)});
}

void leat_test_send_to(leat_test *test, const char *topic, uint32_t partition, const char *json)
{
    needs("leat_test_send_to", test != NULL && topic != NULL && json != NULL);
    send_record(test, (leat_log_record){
                          .topic = topic, .partition = partition, .value = leat_str_from(json)});
}

/* ------------------------------------------------------------------ running */

bool leat_test_step(leat_test *test)
{
    needs("leat_test_step", test != NULL);
    bool busy = false;
    if (test->error.status != LEAT_OK || test->ended)
        return false;
    leat_status status = leat_job_step(test->job, &busy, &test->error);
    if (status != LEAT_OK || test->error.status != LEAT_OK)
        return false;
    leat__run *run = test->job->run;
    run->tells_at_once = true; /* the clock stands still between steps */
    if (run->finished)
        test->ended = true;
    return busy;
}

leat_status leat_test_run(leat_test *test)
{
    needs("leat_test_run", test != NULL);
    for (int steps = 0; steps < STEPS_MAX; steps++) {
        if (leat_test_step(test))
            continue;
        leat__run *run = test->job->run;
        if (test->error.status != LEAT_OK || test->ended || run == NULL)
            return test->error.status;
        if (atomic_load(&run->active_since_us) == 0)
            return LEAT_OK;
        atomic_store(&run->barrier_wanted, true);
    }
    leat_error error = {.where = "leat_test_run", .message = "the job does not come to rest"};
    die("endless", &error);
}

void leat_test_advance(leat_test *test, int64_t duration_ms)
{
    needs("leat_test_advance", test != NULL);
    test->clock_ms += duration_ms;
    (void)leat_test_run(test);
}

const leat_error *leat_test_error(const leat_test *test)
{
    needs("leat_test_error", test != NULL);
    return &test->error;
}

void leat_test_crash(leat_test *test)
{
    needs("leat_test_crash", test != NULL);
    leat__run_close(test->job);
    test->error = (leat_error){0};
    test->ended = false;
}

void leat_test_restart(leat_test *test)
{
    needs("leat_test_restart", test != NULL);
    if (test->job->run != NULL) {
        leat_job_stop(test->job);
        (void)leat_test_run(test);
        atomic_store(&test->job->stop_before_start, false);
    }
    leat_test_crash(test);
}

/* ------------------------------------------------------------------ output */

static cursor *cursor_of(leat_test *test, const char *topic)
{
    for (cursor *c = test->cursors; c != NULL; c = c->next)
        if (strcmp(c->topic, topic) == 0)
            return c;
    leat_error error;
    leat_topic_opts opts;
    if (leat_topic_describe(test->log, topic, &opts, &error) != LEAT_OK)
        die("next", &error);
    cursor *c = leat__calloc(1, sizeof(*c));
    c->topic = leat__strdup(topic);
    if (leat_log_reader_new(test->log, NULL, NULL, &c->reader, &error) != LEAT_OK)
        die("next", &error);
    for (uint32_t p = 0; p < opts.partition_count; p++)
        if (leat_log_reader_seek(c->reader, topic, p, LEAT_OFFSET_BEGIN, &error) != LEAT_OK)
            die("next", &error);
    c->next = test->cursors;
    test->cursors = c;
    return c;
}

bool leat_test_next(leat_test *test, const char *topic, leat_log_record *record)
{
    needs("leat_test_next", test != NULL && topic != NULL && record != NULL);
    leat_error error;
    size_t count = 0;
    cursor *c = cursor_of(test, topic);
    if (leat_log_reader_poll(c->reader, record, 1, &count, &error) != LEAT_OK)
        die("next", &error);
    return count == 1;
}

const char *leat_test_next_json(leat_test *test, const char *topic)
{
    leat_log_record record;
    if (!leat_test_next(test, topic, &record))
        return NULL;
    test->text.length = 0;
    leat__buffer_bytes(&test->text, record.value.data, record.value.length);
    leat__buffer_u8(&test->text, 0);
    return test->text.data;
}

/* {"key":value,...}: what leat_map_each shows, as JSON. */
typedef struct map_text {
    leat__buffer *out;
    const leat__slot *slot;
    size_t count;
} map_text;

static bool append_entry(void *arg, const void *key, const void *value)
{
    map_text *text = arg;
    leat__buffer *out = text->out;
    leat__buffer_text(out, text->count++ == 0 ? "{" : ",");
    if (text->slot->map_key == &leat_type_str)
        leat__buffer_json_str(out, *(const leat_str *)key);
    else if (text->slot->map_key == &leat_type_u64)
        leat__buffer_format(out, "\"%llu\"", (unsigned long long)*(const uint64_t *)key);
    else
        leat__buffer_format(out, "\"%lld\"", (long long)*(const int64_t *)key);
    leat__buffer_text(out, ":");
    leat__json_append(out, text->slot->type, value);
    return true;
}

static bool append_state(leat__store *store, const leat__slot *slot, size_t number,
                         leat__buffer *out)
{
    if (slot->kind == LEAT__VALUE) {
        const void *value = leat__store_get(store, number);
        if (value != NULL)
            leat__json_append(out, slot->type, value);
        return value != NULL;
    }
    if (slot->kind == LEAT__MAP) {
        map_text text = {out, slot, 0};
        leat__store_map_each(store, number, append_entry, &text);
        if (text.count != 0)
            leat__buffer_text(out, "}");
        return text.count != 0;
    }
    const void *elements = NULL;
    size_t count = leat__store_list(store, number, &elements);
    for (size_t i = 0; i < count; i++) {
        leat__buffer_text(out, i == 0 ? "[" : ",");
        leat__json_append(out, slot->type, (const char *)elements + i * slot->type->size_bytes);
    }
    if (count != 0)
        leat__buffer_text(out, "]");
    return count != 0;
}

/* Reads the store as its task would: nothing else runs on this thread. */
static const char *state_of(leat_test *test, leat__task *task, leat__op *op, const char *state,
                            leat_str key)
{
    for (size_t k = 0; k < op->spec->slot_count; k++) {
        const leat__slot *slot = &op->spec->slot[k];
        const char *name = slot->name == NULL ? NULL : strrchr(slot->name, '/');
        if (name == NULL || strcmp(name + 1, state) != 0)
            continue;
        leat__store_set_key(task->face.store, key, leat__hash64(key.data, key.length));
        leat__store_set_now(task->face.store, LEAT_TIME_MIN, test->clock_ms);
        leat__store_callback_begin(task->face.store);
        test->text.length = 0;
        bool found = append_state(task->face.store, slot, op->first_slot + k, &test->text);
        leat__buffer_u8(&test->text, 0);
        leat__store_callback_rollback(task->face.store);
        return found ? test->text.data : NULL;
    }
    leat_error error = {0};
    (void)snprintf(error.where, sizeof error.where, "%s", op->spec->name);
    (void)snprintf(error.message, sizeof error.message, "has no state '%s'", state);
    die("leat_test_state_json", &error);
}

/* A name that is misspelt must not look like a key without state. */
static void check_operator(const leat_test *test, const char *op)
{
    const leat__graph *graph = &test->job->graph;
    for (size_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].kind == LEAT__NODE_OP && strcmp(graph->nodes[n].name, op) == 0)
            return;
    leat_error error = {.message = "is no operator of this job"};
    (void)snprintf(error.where, sizeof error.where, "%s", op);
    die("leat_test_state_json", &error);
}

const char *leat_test_state_json(leat_test *test, const char *op, const char *state,
                                 const char *key)
{
    needs("leat_test_state_json", test != NULL && op != NULL && state != NULL && key != NULL);
    (void)leat_test_run(test);
    check_operator(test, op);
    leat__run *run = test->job->run;
    leat_str key_text = leat_str_from(key);
    for (size_t i = 0; run != NULL && i < run->task_count; i++) {
        leat__task *task = run->tasks[i];
        uint32_t partitions = run->stage_partitions[task->stage->number];
        if (task->face.store == NULL || task->partition != leat__partition_of(key_text, partitions))
            continue;
        for (size_t k = 0; k < task->stage->node_count; k++)
            if (task->ops[k] != NULL && strcmp(task->ops[k]->spec->name, op) == 0)
                return state_of(test, task, task->ops[k], state, key_text);
    }
    return NULL;
}

int64_t leat_test_watermark(leat_test *test)
{
    needs("leat_test_watermark", test != NULL);
    const leat__run *run = test->job->run;
    int64_t least_ms = run == NULL || run->task_count == 0 ? LEAT_TIME_MIN : LEAT_TIME_MAX;
    for (size_t i = 0; run != NULL && i < run->task_count; i++)
        if (run->tasks[i]->face.watermark_ms < least_ms)
            least_ms = run->tasks[i]->face.watermark_ms;
    return least_ms;
}

int64_t leat_test_clock(const leat_test *test)
{
    needs("leat_test_clock", test != NULL);
    return test->clock_ms;
}

/* ------------------------------------------------------------------ watermarks, images */

void leat_test_send_watermark(leat_test *test, const char *topic, int64_t watermark_ms)
{
    needs("leat_test_send_watermark", test != NULL && topic != NULL);
    if (test->job->run == NULL)
        (void)leat_test_step(test);
    const leat__run *run = test->job->run;
    for (size_t i = 0; run != NULL && i < run->task_count; i++) {
        leat__source *source = run->tasks[i]->source;
        if (source == NULL || strcmp(source->topic, topic) != 0)
            continue;
        int64_t delay_ms = source->time.watermark.opts.out_of_order_ms + 1; /* W1 */
        leat__watermark_record(&source->time.watermark, watermark_ms + delay_ms, NULL);
    }
}

struct leat_test_image {
    struct leat__sim *world;
};

leat_test_image *leat_test_snapshot(leat_test *test)
{
    needs("leat_test_snapshot", test != NULL);
    leat_test_image *image = leat__calloc(1, sizeof *image);
    (void)leat_test_run(test);
    image->world = leat__log_sim_snapshot(test->log);
    return image;
}

void leat_test_restore(leat_test *test, const leat_test_image *image)
{
    needs("leat_test_restore", test != NULL && image != NULL);
    leat_test_crash(test);
    drop_cursors(test);
    leat__log_sim_restore(test->log, image->world);
}

void leat_test_image_free(leat_test_image *image)
{
    if (image == NULL)
        return;
    leat__log_sim_snapshot_free(image->world);
    leat__free(image);
}
