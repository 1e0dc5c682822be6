/* The job of test_evolution.c, and how it is run. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "integration/evolution_job.h"

struct event {
    leat_str user, item;
    int64_t id;
};
LEAT_RECORD(event, user, item, id);

struct tally {
    int64_t n;
};
LEAT_RECORD(tally, n);

struct count {
    leat_str op, key;
    int64_t n;
};
LEAT_RECORD(count, op, key, n);

/* ------------------------------------------------------------------ the world */

world w;

static int64_t now_ms(void *arg)
{
    (void)arg;
    return w.now_us / 1000;
}

static int64_t monotonic_us(void *arg)
{
    (void)arg;
    return w.now_us;
}

static uint64_t random_u64(void *arg)
{
    (void)arg;
    return w.random += UINT64_C(0x9e3779b97f4a7c15);
}

uint32_t draw(uint32_t below)
{
    w.random = w.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w.random >> 33) % below;
}

void open_world(bool embedded, leat_exchange exchange, uint64_t seed)
{
    w = (world){.now_us = INT64_C(1767225600000000), .random = seed, .exchange = exchange};
    w.env = (leat_env){NULL, now_ms, monotonic_us, random_u64};
    char url[96] = "sim:evolution";
    if (embedded) {
        (void)snprintf(w.dir, sizeof w.dir, "/tmp/leat-evolution-XXXXXX");
        assert_non_null(mkdtemp(w.dir));
        (void)snprintf(url, sizeof url, "embedded:%s/log", w.dir);
        (void)snprintf(w.state_dir, sizeof w.state_dir, "%s/state", w.dir);
    }
    if (leat__log_open_env(&w.log, url, NULL, &w.env, &w.error) != LEAT_OK)
        fail_msg("%s", w.error.message);
    const leat_topic_opts opts = {.partition_count = PARTITIONS};
    assert_int_equal(leat_topic_create(w.log, "events", &opts, NULL), LEAT_OK);
}

void close_world(void)
{
    leat_log_close(w.log);
    if (w.dir[0] == '\0') {
        leat__sim_forget("evolution");
        return;
    }
    char command[96];
    (void)snprintf(command, sizeof command, "rm -r %s", w.dir);
    assert_int_equal(system(command), 0);
}

void remove_state(void)
{
    char command[96];
    (void)snprintf(command, sizeof command, "rm -r %s", w.state_dir);
    assert_int_equal(system(command), 0);
}

void send(int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t user = draw(USERS), item = draw(ITEMS);
        char json[96], key[16];
        (void)snprintf(key, sizeof key, "u%" PRIu32, user);
        (void)snprintf(json, sizeof json,
                       "{\"user\":\"%s\",\"item\":\"i%" PRIu32 "\",\"id\":%" PRId64 "}", key, item,
                       w.sent++);
        leat_log_record record = {.topic = "events",
                                  .partition = LEAT_PARTITION_BY_KEY,
                                  .key = leat_str_from(key),
                                  .value = leat_str_from(json)};
        assert_int_equal(leat_log_append(w.log, &record, 1, NULL), LEAT_OK);
        w.of_user[user]++;
        w.of_item[item]++;
    }
}

/* ------------------------------------------------------------------ the job */

/* Counts, says so at its side, and passes the event on. */
static leat_status on_event(leat_ctx *ctx, const void *record)
{
    struct tally *tally = leat_mut(ctx, 0);
    tally->n++;
    leat_emit_to(ctx, 0, &(struct count){leat_str_from(leat_arg(ctx)), leat_key(ctx), tally->n});
    leat_emit(ctx, record);
    return LEAT_OK;
}

static const leat_process_op counting = {.in = &event_type,
                                         .out = &event_type,
                                         .state = {{.name = "n", .type = &tally_type}},
                                         .side = {{"counts", &count_type}},
                                         .on_record = on_event};

static bool all(const void *record, void *arg)
{
    (void)record;
    (void)arg;
    return true;
}

static const char *const names[2][OPERATORS] = {{"u0", "u1", "u2", "u3", "u4"},
                                                {"i0", "i1", "i2", "i3", "i4"}};

static leat_stream add(leat_stream keyed, int group, int number)
{
    const char *name = names[group][number];
    char sink[16];
    (void)snprintf(sink, sizeof sink, "to-%s", name);
    leat_stream made = leat_process(keyed, name, &counting, (void *)(uintptr_t)name);
    leat_to_log(leat_side(made, 0), sink,
                &(leat_log_sink){.topic = "counts", .key = "key", .partition_count = 1});
    return made;
}

static leat_job *make_job(const version *v)
{
    leat_job *job =
        leat_job_new(&(leat_job_opts){.name = "job",
                                      .log_handle = w.log,
                                      .state_dir = w.dir[0] == '\0' ? NULL : w.state_dir,
                                      .exchange = w.exchange,
                                      .epoch_ms = 2,
                                      .backlog_epoch_ms = 2});
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){.topic = "events", .partitioned_by = v->partitioned ? "user" : NULL});
    if (v->filter)
        events = leat_filter(events, "a-filter", all, NULL);
    if (v->extra_key) /* the others' made-up names are other ones then */
        leat_to_log(leat_filter(leat_key_by(events, "item"), "extra", all, NULL), "to-extra",
                    &(leat_log_sink){.topic = "extra", .partition_count = 1});
    leat_stream users = leat_key_by(events, v->other_key == NULL ? "user" : v->other_key);
    leat_stream first = {0};
    for (int i = 0; i < v->count; i++) {
        leat_stream made = add(users, 0, v->order[i]);
        if (v->order[i] == 0)
            first = made;
    }
    leat_stream items = leat_key_by(first, "item");
    for (int i = 0; i < v->item_count; i++)
        (void)add(items, 1, v->item_order[i]);
    job->env = &w.env;
    return job;
}

leat_job *two_operators_job(bool together)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "job", .log_handle = w.log});
    leat_stream events =
        leat_from_log(job, "events", &event_type, &(leat_log_source){.topic = "events"});
    leat_stream users = leat_key_by(events, "user");
    (void)add(users, 0, 0);
    (void)add(together ? users : leat_key_by(leat_filter(events, "f", all, NULL), "user"), 0, 1);
    job->env = &w.env;
    return job;
}

/* ------------------------------------------------------------------ the other job */

static leat_status keep(leat_ctx *ctx, const void *record)
{
    struct tally *tally = leat_mut(ctx, 0);
    tally->n++;
    leat_timer_set(ctx, 0, INT64_C(1) << 40);
    leat_emit(ctx, record);
    return LEAT_OK;
}

static leat_status on_time(leat_ctx *ctx, int timer)
{
    (void)ctx;
    (void)timer;
    return LEAT_OK;
}

static void count_event(void *acc, const void *record)
{
    (void)record;
    ((struct tally *)acc)->n++;
}

static leat_job *parts_job(const parts *p)
{
    leat_job *job =
        leat_job_new(&(leat_job_opts){.name = "job",
                                      .log_handle = w.log,
                                      .state_dir = w.dir[0] == '\0' ? NULL : w.state_dir,
                                      .epoch_ms = 2,
                                      .backlog_epoch_ms = 2,
                                      .drain = p->drain});
    leat_process_op keeping = {
        .in = &event_type, .out = &event_type, .on_record = keep, .on_timer = on_time};
    for (int i = 0; i < 3 && p->slot[i] != NULL; i++)
        keeping.state[i] = (leat_state_spec){.name = p->slot[i], .type = &tally_type};
    for (int i = 0; i < 2 && p->timer[i] != NULL; i++)
        keeping.timer[i] = p->timer[i];
    static const leat_aggregate_op counting_all = {
        .in = &event_type, .acc = &tally_type, .out = &tally_type, .add = count_event};
    const leat_window window = {.size_ms = p->window_ms, .offset_ms = p->offset_ms};
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){
            .topic = "events", .time_field = "id", .out_of_order_ms = 1000, .until_end = true});
    leat_stream users = leat_key_by(events, "user");
    leat_to_log(leat_process(users, "keep", &keeping, NULL), "to-kept",
                &(leat_log_sink){.topic = "kept", .partition_count = 1});
    leat_to_log(leat_window_aggregate(users, "per-size", &window, &counting_all), "to-windows",
                &(leat_log_sink){.topic = "windows", .partition_count = 1});
    job->env = &w.env;
    return job;
}

/* ------------------------------------------------------------------ running it */

static leat_status step(bool *busy)
{
    w.now_us += 700;
    w.error = (leat_error){0};
    return leat_job_step(w.job, busy, &w.error);
}

void kill_job(void)
{
    leat__run_close(w.job);
    leat_job_free(w.job);
    w.job = NULL;
}

leat_status run_idle(void)
{
    leat_status status = LEAT_OK;
    for (int quiet = 0; quiet < 1500 && status == LEAT_OK; quiet++) {
        bool busy = false;
        status = step(&busy);
        if (busy)
            quiet = 0;
    }
    return status;
}

static leat_status run_steps(uint32_t count)
{
    leat_status status = LEAT_OK;
    for (uint32_t i = 0; i < count && status == LEAT_OK; i++) {
        bool busy;
        status = step(&busy);
    }
    return status;
}

leat_status run_version(const version *v, uint32_t steps)
{
    w.job = make_job(v);
    leat_status status = steps == 0 ? run_idle() : run_steps(steps);
    kill_job();
    return status;
}

void must_run(const version *v, uint32_t steps)
{
    if (run_version(v, steps) != LEAT_OK)
        fail_msg("%s: %s", w.error.where, w.error.message);
}

void refused(const version *v, leat_status status, const char *part, const char *other)
{
    leat_status found = run_version(v, 0);
    if (found != status || strstr(w.error.message, part) == NULL ||
        strstr(w.error.message, other) == NULL)
        fail_msg("%s, not %s: %s: %s", leat_status_name(found), leat_status_name(status),
                 w.error.where, w.error.message);
}

leat_status run_parts(const parts *p)
{
    w.job = parts_job(p);
    leat_status status = run_idle();
    kill_job();
    return status;
}

void must_run_parts(const parts *p)
{
    if (run_parts(p) != LEAT_OK)
        fail_msg("%s: %s", w.error.where, w.error.message);
}

void refused_parts(const parts *p, const char *part, const char *other)
{
    leat_status found = run_parts(p);
    if (found != LEAT_EGRAPH || strstr(w.error.message, part) == NULL ||
        strstr(w.error.message, other) == NULL)
        fail_msg("%s: %s: %s", leat_status_name(found), w.error.where, w.error.message);
}

int fired(int64_t *events)
{
    leat_log_reader *reader;
    leat_log_record records[64];
    size_t count;
    int windows = 0;
    *events = 0;
    assert_int_equal(leat_log_reader_new(w.log, NULL, NULL, &reader, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_seek(reader, "windows", 0, LEAT_OFFSET_BEGIN, NULL), LEAT_OK);
    do {
        assert_int_equal(leat_log_reader_poll(reader, records, 64, &count, NULL), LEAT_OK);
        for (size_t i = 0; i < count; i++, windows++) {
            char text[64];
            int64_t n;
            (void)snprintf(text, sizeof text, "%.*s", (int)records[i].value.length,
                           records[i].value.data);
            assert_int_equal(sscanf(text, "{\"n\":%" SCNd64, &n), 1);
            *events += n;
        }
    } while (count != 0);
    leat_log_reader_free(reader);
    return windows;
}

/* ------------------------------------------------------------------ what was counted */

typedef struct counted {
    int64_t of[2][OPERATORS][USERS + ITEMS]; /* the last count of each key */
} counted;

static void take_count(counted *c, leat_str value)
{
    char text[128], op[8], key[8];
    int64_t n;
    (void)snprintf(text, sizeof text, "%.*s", (int)value.length, value.data);
    if (sscanf(text, "{\"op\":\"%7[^\"]\",\"key\":\"%7[^\"]\",\"n\":%" SCNd64, op, key, &n) != 3)
        fail_msg("%s", text);
    int64_t *last = &c->of[op[0] == 'i'][op[1] - '0'][key[1] - '0'];
    if (n != *last + 1)
        fail_msg("%s of %s: %" PRId64 " after %" PRId64, op, key, n, *last);
    *last = n;
}

static void read_counts(counted *c)
{
    leat_log_reader *reader;
    leat_log_record records[64];
    size_t count;
    memset(c, 0, sizeof *c);
    assert_int_equal(leat_log_reader_new(w.log, NULL, NULL, &reader, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_seek(reader, "counts", 0, LEAT_OFFSET_BEGIN, NULL), LEAT_OK);
    do {
        assert_int_equal(leat_log_reader_poll(reader, records, 64, &count, NULL), LEAT_OK);
        for (size_t i = 0; i < count; i++)
            take_count(c, records[i].value);
    } while (count != 0);
    leat_log_reader_free(reader);
}

void expect_all(void)
{
    counted c;
    read_counts(&c);
    for (int user = 0; user < USERS; user++)
        assert_int_equal(c.of[0][0][user], w.of_user[user]);
    for (int item = 0; item < ITEMS; item++)
        assert_int_equal(c.of[1][0][item], w.of_item[item]);
}

int64_t sum_of(int group, int number)
{
    counted c;
    int64_t sum = 0;
    read_counts(&c);
    for (int key = 0; key < USERS + ITEMS; key++)
        sum += c.of[group][number][key];
    return sum;
}
