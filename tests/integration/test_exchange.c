/* The exchange through the log: one job in two processes, time across it, its end, and what is
 * found in the topic that should not be there. On the simulated log, each process a job that is
 * stepped.
 *
 *   events (1 partition, of "a") ─► by page ─► pages-visits-repartition ─► 0: "a"   1: "b"
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "engine/run.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include "log/sim/world.h"
#include <leat/leat.h>

struct event {
    leat_str page;
    int64_t ts_ms;
};
LEAT_RECORD(event, page, ts_ms);
struct visits {
    leat_str page;
    uint64_t count;
};
LEAT_RECORD(visits, page, count);

enum { PROCESSES = 2 };
static const char topic[] = "pages-visits-repartition";

typedef struct world {
    leat_env env;
    int64_t now_us;
    leat_log *log;
    leat_job *jobs[PROCESSES];
    leat_log_reader *reader; /* of everything that comes out */
    char text[400];
} world;

typedef struct setting {
    const char *instance;
    bool until_end, drain, in_memory, poisoned;
    bool beside;         /* one record from a source that ends, over the same exchange */
    uint32_t generators; /* partitions of another input, 0: none */
    int64_t idle_ms;
} setting;

static world w;

/* ------------------------------------------------------------------ the job */

static void add(void *acc, const void *record)
{
    struct visits *visits = acc;
    visits->page = ((const struct event *)record)->page;
    visits->count++;
}

static const leat_aggregate_op counting = {.in = &event_type, .acc = &visits_type, .add = add};

static leat_status refuse(leat_ctx *ctx, const void *record)
{
    (void)record;
    return leat_fail(ctx, LEAT_EDATA, "refused");
}

static const leat_process_op refusing = {
    .in = &event_type, .on_record = refuse, .on_error = LEAT_ON_ERROR_DEAD_LETTER};

static bool nothing(void *arg, uint32_t partition, uint64_t index, void *record)
{
    (void)arg;
    (void)partition;
    (void)index;
    (void)record;
    return false;
}

static bool keep(const void *record, void *arg)
{
    (void)record;
    (void)arg;
    return true;
}

static bool one(void *arg, uint32_t partition, uint64_t index, void *record)
{
    (void)arg;
    (void)partition;
    *(struct event *)record = (struct event){LEAT_STR("ad"), 9001};
    return index == 0;
}

static leat_stream beside(leat_job *job, leat_stream pages)
{
    const leat_generator generator = {.generate = one, .time_field = "ts_ms"};
    leat_stream made = leat_from_generator(job, "made", &event_type, &generator);
    return leat_union(pages, "both", leat_key_by(leat_filter(made, "ads", keep, NULL), "page"));
}

/* Visits per page and second. */
static leat_job *pages_job(const setting *with)
{
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "pages",
                         .log_handle = w.log,
                         .instance = with->instance,
                         .partition_count = 2,
                         .drain = with->drain,
                         .exchange = with->in_memory ? LEAT_EXCHANGE_MEMORY : LEAT_EXCHANGE_LOG});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "events",
                                                          .time_field = "ts_ms",
                                                          .idle_ms = with->idle_ms,
                                                          .until_end = with->until_end});
    if (with->generators != 0) {
        const leat_generator generator = {.generate = nothing, .partition_count = with->generators};
        events =
            leat_union(events, "both", leat_from_generator(job, "made", &event_type, &generator));
    }
    leat_stream pages = leat_key_by(events, "page");
    if (with->beside)
        pages = beside(job, pages);
    if (with->poisoned)
        (void)leat_process(pages, "visits", &refusing, NULL);
    static const leat_window second = {.size_ms = 1000};
    leat_stream visits =
        leat_window_aggregate(pages, with->poisoned ? "windows" : "visits", &second, &counting);
    leat_to_log(visits, "out", &(leat_log_sink){.topic = "visits", .partition_count = 1});
    leat_to_log(leat_late(visits), "late", &(leat_log_sink){.topic = "late", .partition_count = 1});
    job->env = &w.env;
    return job;
}

/* ------------------------------------------------------------------ the world */

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
    return (uint64_t)w.now_us;
}

static void make_topic(const char *name, uint32_t partition_count)
{
    const leat_topic_opts opts = {.partition_count = partition_count};
    assert_int_equal(leat_topic_create(w.log, name, &opts, NULL), LEAT_OK);
}

static int open_world(void **state)
{
    (void)state;
    w = (world){.now_us = INT64_C(1767225600000000)};
    w.env = (leat_env){NULL, now_ms, monotonic_us, random_u64};
    assert_int_equal(leat__log_open_env(&w.log, "sim:exchange", NULL, &w.env, NULL), LEAT_OK);
    make_topic("events", 1);
    make_topic("visits", 1);
    make_topic("late", 1);
    assert_int_equal(leat_log_reader_new(w.log, NULL, NULL, &w.reader, NULL), LEAT_OK);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    for (int i = 0; i < PROCESSES; i++)
        leat_job_free(w.jobs[i]);
    leat_log_reader_free(w.reader);
    leat_log_close(w.log);
    leat__sim_forget("exchange");
    return 0;
}

static void start(int i, const setting *with)
{
    setting own = *with;
    own.instance = i == 0 ? "a" : "b";
    w.jobs[i] = pages_job(&own);
}

static leat_status step(int i, leat_error *error)
{
    bool busy;
    return leat_job_step(w.jobs[i], &busy, error);
}

static void kill_process(int i)
{
    leat__run_close(w.jobs[i]);
    leat_job_free(w.jobs[i]);
    w.jobs[i] = NULL;
}

/* Everybody works for a second of the clock; who has come to its end leaves. */
static void run_all(void)
{
    for (int n = 0; n < 500; n++) {
        w.now_us += 2000;
        for (int i = 0; i < PROCESSES; i++) {
            leat_error error = {0};
            if (w.jobs[i] == NULL)
                continue;
            if (step(i, &error) != LEAT_OK)
                fail_msg("%d: %s: %s", i, error.where, error.message);
            if (((leat__run *)w.jobs[i]->run)->finished)
                kill_process(i);
        }
    }
}

static void send_to(uint32_t partition, const char *page, int64_t ts_ms)
{
    char json[80];
    (void)snprintf(json, sizeof(json), "{\"page\":\"%s\",\"ts_ms\":%lld}", page, (long long)ts_ms);
    leat_log_record record = {
        .topic = "events", .partition = partition, .value = leat_str_from(json)};
    assert_int_equal(leat_log_append(w.log, &record, 1, NULL), LEAT_OK);
}

static void send(const char *page, int64_t ts_ms)
{
    send_to(0, page, ts_ms);
}

/* A page whose key lies in that partition of the exchange. */
static const char *page_in(uint32_t partition)
{
    static const char *const names[] = {"home", "shop", "cart", "help", "news", "jobs"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (leat__partition_of(leat_str_from(names[i]), 2) == partition)
            return names[i];
    fail();
    return NULL;
}

static int64_t end_of(const char *name, uint32_t partition)
{
    int64_t begin, end;
    assert_int_equal(leat_log_bounds(w.log, name, partition, &begin, &end, NULL), LEAT_OK);
    return end;
}

/* The value at a place in a topic. */
static const char *value_at(const char *name, int64_t offset)
{
    leat_log_record record;
    size_t count = 0;
    assert_int_equal(leat_log_reader_seek(w.reader, name, 0, offset, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_poll(w.reader, &record, 1, &count, NULL), LEAT_OK);
    if (count == 0)
        fail_msg("%s has no record %d", name, (int)offset);
    (void)snprintf(w.text, sizeof(w.text), "%.*s", (int)record.value.length, record.value.data);
    leat_log_reader_remove(w.reader, name, 0);
    return w.text;
}

static void expect_visits(int64_t offset, const char *page, int count)
{
    char wanted[80];
    (void)snprintf(wanted, sizeof(wanted), "{\"page\":\"%s\",\"count\":%d}", page, count);
    assert_string_equal(value_at("visits", offset), wanted);
}

/* ------------------------------------------------------------------ two processes */

static void each_key_is_in_one_of_the_processes_and_time_in_both(void **state)
{
    (void)state; /* R7, W3 */
    start(0, &(setting){0});
    start(1, &(setting){0});
    run_all();
    for (uint32_t p = 0; p < 2; p++) {
        send(page_in(p), 100);
        send(page_in(p), 200);
    }
    send(page_in(0), 1000); /* time passes for pages of the other partition too */
    run_all();
    assert_int_equal(end_of("visits", 0), 2);
    leat__run *runs[PROCESSES] = {w.jobs[0]->run, w.jobs[1]->run};
    assert_int_equal(runs[0]->task_count, 2); /* events 0, visits 0 */
    assert_int_equal(runs[1]->task_count, 1); /* visits 1 */
    kill_process(1);                          /* the other one takes over, with the state */
    send(page_in(1), 1500);
    send(page_in(1), 2000);
    run_all();
    assert_int_equal(end_of("visits", 0), 4);
    assert_int_equal(end_of("late", 0), 0);
}

static int64_t begin_of(const char *name, uint32_t partition)
{
    int64_t begin, end;
    assert_int_equal(leat_log_bounds(w.log, name, partition, &begin, &end, NULL), LEAT_OK);
    return begin;
}

static int64_t committed_of(uint32_t partition)
{
    for (int i = 0; i < PROCESSES; i++) {
        leat__run *run = w.jobs[i] == NULL ? NULL : w.jobs[i]->run;
        for (size_t t = 0; run != NULL && t < run->task_count; t++)
            if (run->tasks[t]->stage->number == 1 && run->tasks[t]->partition == partition)
                return run->tasks[t]->committed_offset;
    }
    fail();
    return -1;
}

/* R10: what is behind the committed offset stays, whoever was stopped in between. */
static void what_was_read_is_trimmed_and_nothing_else(void **state)
{
    (void)state;
    start(0, &(setting){0});
    start(1, &(setting){0});
    run_all();
    for (int seconds = 0; seconds < 40; seconds++) {
        send(page_in((uint32_t)seconds % 2), 1000 * seconds);
        run_all();
        assert_in_range(begin_of(topic, 0), 0, committed_of(0));
        assert_in_range(begin_of(topic, 1), 0, committed_of(1));
    }
    assert_true(begin_of(topic, 0) > 15 && begin_of(topic, 1) > 15); /* after 30 s */
    kill_process(1);
    kill_process(0);
    int64_t before = begin_of(topic, 1);
    start(0, &(setting){0});
    for (int seconds = 40; seconds < 80; seconds++) {
        send(page_in((uint32_t)seconds % 2), 1000 * seconds);
        run_all();
    }
    assert_true(begin_of(topic, 1) > before);
    assert_int_equal(end_of("visits", 0), 79); /* a window each, the last one is open */
    assert_int_equal(end_of("late", 0), 0);
}

static void a_receiver_that_comes_back_knows_what_it_was_told(void **state)
{
    (void)state; /* W3, R10: the sender is not asked, it goes on in another process */
    start(0, &(setting){0});
    start(1, &(setting){0});
    run_all();
    send(page_in(1), 100);
    send(page_in(0), 5001);
    run_all();
    expect_visits(0, page_in(1), 1);
    send(page_in(0), 7001);
    for (int seconds = 0; seconds < 6; seconds++)
        run_all(); /* the receiver's position is committed behind it, nothing else of it changes */
    leat__run *sender = w.jobs[0]->run;
    uint64_t before = sender->incarnation;
    leat_job *fallen = w.jobs[1];
    start(1, &(setting){0}); /* takes its place: nobody else is told */
    (void)step(1, NULL);
    leat__run_close(fallen);
    leat_job_free(fallen);
    run_all();
    assert_int_equal(sender->incarnation, before);
    leat__run *receiver = w.jobs[1]->run;
    assert_int_equal(receiver->tasks[0]->face.watermark_ms, 7000);
    send(page_in(1), 300); /* its window is over */
    run_all();
    assert_int_equal(end_of("late", 0), 1);
}

static void an_idle_sender_does_not_hold_time_back(void **state)
{
    (void)state; /* W4 */
    make_topic("more", 1);
    start(0, &(setting){.idle_ms = 300});
    start(1, &(setting){.idle_ms = 300});
    run_all();
    send(page_in(1), 100);
    send(page_in(0), 5001);
    run_all(); /* and the only sender falls silent: known in both processes */
    for (int i = 0; i < PROCESSES; i++) {
        const leat__run *run = w.jobs[i]->run;
        assert_true(run->tasks[run->task_count - 1]->valve.idle);
    }
    send(page_in(1), 6000);
    run_all();
    kill_process(1);
    start(1, &(setting){.idle_ms = 300});
    run_all();
    const leat__run *run = w.jobs[1]->run;
    assert_true(run->tasks[run->task_count - 1]->valve.idle); /* told again, or remembered */
    assert_int_equal(end_of("late", 0), 0);
}

/* ------------------------------------------------------------------ the end */

static void both_processes_come_to_the_end_of_the_input(void **state)
{
    (void)state; /* W5: every window of either process fires, once */
    send(page_in(0), 100);
    send(page_in(1), 200);
    start(0, &(setting){.until_end = true, .drain = true});
    start(1, &(setting){.until_end = true, .drain = true});
    for (int n = 0; n < 20 && (w.jobs[0] != NULL || w.jobs[1] != NULL); n++)
        run_all();
    assert_null(w.jobs[0]);
    assert_null(w.jobs[1]);
    assert_int_equal(end_of("visits", 0), 2);
}

static void the_end_of_one_sender_is_heard_by_receivers_that_come_back(void **state)
{
    (void)state; /* W5: it does not hold back the others */
    start(0, &(setting){.beside = true});
    start(1, &(setting){.beside = true});
    run_all();
    send(page_in(0), 5001);
    for (int seconds = 0; seconds < 6; seconds++)
        run_all();
    leat_job *fallen = w.jobs[1];
    start(1, &(setting){.beside = true});
    (void)step(1, NULL);
    leat__run_close(fallen);
    leat_job_free(fallen);
    send(page_in(0), 20001);
    run_all();
    run_all(); /* told again, once a second */
    const leat__run *run = w.jobs[1]->run;
    assert_int_equal(run->tasks[0]->face.watermark_ms, 20000);
}

static void a_later_run_goes_on_from_where_time_was(void **state)
{
    (void)state; /* W5: the end of an input is not kept, neither by senders nor by receivers */
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        send(page_in(0), 1100);
        start(0, &(setting){.until_end = true, .drain = true, .in_memory = in_memory != 0});
        run_all();
        assert_null(w.jobs[0]);
        send(page_in(0), 2100); /* later than what was seen, so not late */
        start(0, &(setting){.in_memory = in_memory != 0});
        run_all();
        send(page_in(0), 9000);
        run_all();
        assert_int_equal(end_of("visits", 0), 2);
        assert_int_equal(end_of("late", 0), 0);
        if (in_memory == 0) {
            (void)close_world(NULL);
            (void)open_world(NULL);
        }
    }
}

static void who_ended_first_holds_time_in_a_later_run(void **state)
{
    (void)state; /* W3: the others went on without it, now it is one of them again */
    assert_int_equal(leat_topic_delete(w.log, "events", NULL), LEAT_OK);
    make_topic("events", 2);
    send_to(0, page_in(0), 1100);
    for (int n = 0; n < 1000; n++) /* several turns, told in between */
        send_to(1, page_in(0), 2000 + n);
    start(0, &(setting){.until_end = true, .drain = true});
    run_all();
    assert_null(w.jobs[0]);
    send_to(1, page_in(0), 9000);
    start(0, &(setting){0});
    run_all();
    send_to(0, page_in(0), 6100);
    run_all();
    assert_int_equal(end_of("late", 0), 0);
}

/* events ─┐
 *         ├ both ─ in memory ─► both ─ through the log ─► windows        events stop, made has
 * ended made   ─┘ */
static void that_all_inputs_have_stopped_is_told_through_stages_in_memory(void **state)
{
    (void)state; /* W5 */
    for (int turn = 0; turn < 3; turn++) {
        bool last = turn == 2;
        send(page_in(0), 1100 + turn);
        start(0, &(setting){.generators = 1, .until_end = true, .drain = last});
        for (int n = 0; n < 5 && w.jobs[0] != NULL; n++)
            run_all();
        assert_null(w.jobs[0]);
        assert_int_equal(end_of("visits", 0), last ? 1 : 0);
        assert_int_equal(end_of("late", 0), 0);
    }
    expect_visits(0, page_in(0), 3);
}

static void an_end_of_an_older_run_is_not_believed(void **state)
{
    (void)state; /* W5 */
    send(page_in(0), 1100);
    start(0, &(setting){.until_end = true, .drain = true});
    while (w.jobs[0]->run == NULL || end_of(topic, 0) < 2) { /* the event, and the end */
        w.now_us += 1000;
        assert_int_equal(step(0, NULL), LEAT_OK);
    }
    kill_process(0); /* before anybody read it */
    send(page_in(0), 1200);
    start(0, &(setting){.until_end = true, .drain = true});
    run_all();
    assert_null(w.jobs[0]);
    assert_int_equal(end_of("visits", 0), 1);
    expect_visits(0, page_in(0), 2);
    assert_int_equal(end_of("late", 0), 0);
}

static void a_union_of_unlike_inputs_spans_processes(void **state)
{
    (void)state; /* J5, W5: partitions that have an ended input only do not hold time back */
    for (int i = 0; i < PROCESSES; i++)
        start(i, &(setting){.generators = 3});
    run_all();
    send(page_in(0), 100);
    send(page_in(1), 200);
    send(page_in(0), 5000);
    run_all();
    assert_int_equal(end_of("pages-both-repartition", 0),
                     3 + 3); /* and time: active, twice ended */
    assert_int_equal(end_of("visits", 0), 2);
    assert_int_equal(end_of("late", 0), 0);
}

/* ------------------------------------------------------------------ what is told, and when */

static int64_t records_in_exchange(void)
{
    return end_of(topic, 0) + end_of(topic, 1);
}

static void a_watermark_on_the_move_is_told_at_intervals(void **state)
{
    (void)state; /* W2: senders x receivers of them must not drown the data */
    start(0, &(setting){0});
    run_all();
    int64_t before = end_of(topic, 1);
    for (int n = 0; n < 500; n++) { /* a second, all for the other partition */
        send(page_in(0), 1000 + n);
        w.now_us += 1000;
        assert_int_equal(step(0, NULL), LEAT_OK);
        w.now_us += 1000;
        assert_int_equal(step(0, NULL), LEAT_OK);
    }
    int64_t told = end_of(topic, 1) - before;
    assert_in_range(told, 8, 12);
    run_all(); /* what was held back comes, and then it is quiet */
    int64_t after = records_in_exchange();
    run_all();
    assert_int_equal(records_in_exchange(), after);
    const leat__run *run = w.jobs[0]->run;
    for (size_t i = 0; i < run->task_count; i++)
        assert_int_equal(run->tasks[i]->face.watermark_ms, 1498);
}

/* ------------------------------------------------------------------ dead letters */

static void a_dead_letter_of_a_receiver_says_where_the_record_lies(void **state)
{
    (void)state; /* R19 */
    start(0, &(setting){.poisoned = true});
    run_all();
    send(page_in(0), 100);
    run_all();
    const char *letter = value_at("dead-letters", 0);
    assert_non_null(strstr(letter, "{\"topic\":\"pages-visits-repartition\",\"partition\":0,"
                                   "\"offset\":0,\"operator\":\"visits\""));
    assert_non_null(strstr(letter, "\\\"ts_ms\\\":100")); /* as it was given to the operator */
}

/* ------------------------------------------------------------------ what should not be there */

static void expect_stop(leat_status status, const char *part)
{
    leat_error error = {0};
    leat_status found = LEAT_OK;
    for (int n = 0; n < 100 && found == LEAT_OK; n++) {
        w.now_us += 2000;
        found = step(0, &error);
    }
    assert_int_equal(found, status);
    if (strstr(error.message, part) == NULL)
        fail_msg("'%s' does not hold '%s'", error.message, part);
}

static void append_raw(const char *bytes, size_t length)
{
    leat_log_record record = {.topic = topic, .value = {bytes, length}};
    assert_int_equal(leat_log_append(w.log, &record, 1, NULL), LEAT_OK);
}

static void records_of_another_version_of_the_job_stop_it(void **state)
{
    (void)state; /* R26 */
    start(0, &(setting){0});
    run_all();
    append_raw("\1\0\1\2\3\4\0\1", 8);
    expect_stop(LEAT_EVERSION, "offset 0: a record for an operator");
}

static void records_of_another_format_stop_the_job(void **state)
{
    (void)state; /* R26 */
    start(0, &(setting){0});
    run_all();
    append_raw("\3", 1);
    expect_stop(LEAT_EVERSION, "unknown format");
}

static void a_record_in_another_partition_than_its_key_says_stops_the_job(void **state)
{
    (void)state; /* P3: somebody copies the topic to another one and back */
    start(0, &(setting){0});
    run_all();
    send(page_in(0), 100);
    for (int64_t before = end_of(topic, 0); end_of(topic, 0) == before;) {
        w.now_us += 1000;
        assert_int_equal(step(0, NULL), LEAT_OK);
    }
    leat_log_record record;
    size_t count = 0;
    assert_int_equal(leat_log_reader_seek(w.reader, topic, 0, LEAT_OFFSET_BEGIN, NULL), LEAT_OK);
    while (count == 0 || record.key.data == NULL) /* times have no key */
        assert_int_equal(leat_log_reader_poll(w.reader, &record, 1, &count, NULL), LEAT_OK);
    record.partition = 1;
    assert_int_equal(leat_log_append(w.log, &record, 1, NULL), LEAT_OK);
    leat_log_reader_remove(w.reader, topic, 0);
    expect_stop(LEAT_ECORRUPT, "belongs in partition 0 of 2, not here (P3)");
}

static void set_partitions(uint32_t count)
{
    for (sim_topic *each = leat__sim_world_of(w.log)->topics; each != NULL; each = each->next)
        if (strcmp(each->name, topic) == 0)
            each->opts.partition_count = count;
}

static void a_topic_that_gets_more_partitions_stops_the_job(void **state)
{
    (void)state; /* P2 */
    start(0, &(setting){0});
    run_all();
    set_partitions(4);
    w.now_us += INT64_C(30000000); /* it looks every 30 s */
    expect_stop(LEAT_EGRAPH, "had 2 partitions when this job started and has 4 now");
    set_partitions(2);
}

static void what_was_deleted_unread_is_never_skipped(void **state)
{
    (void)state; /* R19 */
    start(0, &(setting){0});
    run_all();
    send(page_in(0), 100);
    int64_t before = end_of(topic, 0);
    while (end_of(topic, 0) == before) {
        w.now_us += 1000;
        assert_int_equal(step(0, NULL), LEAT_OK);
    }
    kill_process(0);
    w.now_us += LEAT_DAYS(8) * 1000;
    assert_int_equal(leat_log_clean(w.log, NULL), LEAT_OK);
    start(0, &(setting){0});
    expect_stop(LEAT_ECORRUPT, "deleted before they were read");
}

static void an_exchange_of_more_senders_than_can_be_kept_is_refused(void **state)
{
    (void)state;
    start(0, &(setting){.generators = 1000});
    expect_stop(LEAT_EGRAPH, "partitions send into this exchange");
}

static void a_topic_of_another_width_is_refused(void **state)
{
    (void)state;
    make_topic(topic, 3);
    start(0, &(setting){0});
    expect_stop(LEAT_EGRAPH, "has 3 partitions but the stage behind it 2");
}

/* Behind the exchange nothing is kept of a source that is gone, and one that comes is awaited. */
static void a_source_that_goes_or_comes_is_no_fault(void **state)
{
    (void)state; /* S6 */
    const setting with[] = {{.beside = true}, {0}, {.beside = true}, {0}};
    for (int turn = 0; turn < 4; turn++) {
        for (int64_t n = 0; n < 20; n++)
            send(page_in((uint32_t)n % 2), 1000 * turn + 10 * n);
        start(0, &with[turn]);
        run_all();
        run_all();
        kill_process(0);
    }
    send(page_in(0), 20000);
    start(0, &(setting){0});
    run_all();
    int64_t counted = 0;
    for (int64_t at = 0; at < end_of("visits", 0); at++) {
        const char *count = strstr(value_at("visits", at), "\"count\":");
        assert_non_null(count);
        counted += strtol(count + strlen("\"count\":"), NULL, 10);
    }
    assert_in_range(counted, 80, 83); /* those of "made" may be among them */
    assert_int_equal(end_of("late", 0), 0);
}

/* A version with an exchange through the log is started beside one that has it in memory. */
static void one_with_an_exchange_in_memory_does_not_wait_for_ever(void **state)
{
    (void)state; /* R31 */
    assert_int_equal(leat_topic_delete(w.log, "events", NULL), LEAT_OK);
    make_topic("events", 2);
    start(0, &(setting){.in_memory = true});
    run_all();
    start(1, &(setting){0});
    for (int seconds = 0; seconds < 20; seconds++)
        run_all(); /* the other may be one that gives them back */
    leat_error error = {0};
    leat_status status = LEAT_OK;
    for (int seconds = 0; seconds < 20 && status == LEAT_OK; seconds++) {
        w.now_us += 1000000;
        status = step(0, &error);
    }
    assert_int_equal(status, LEAT_EGRAPH);
    assert_non_null(strstr(error.message, "another instance of this job is running"));
    assert_non_null(strstr(error.message, "set .exchange to LEAT_EXCHANGE_LOG"));
    kill_process(0);
    for (uint32_t p = 0; p < 2; p++)
        send_to(p, page_in(0), 1100);
    for (uint32_t p = 0; p < 2; p++)
        send_to(p, page_in(0), 9000);
    run_all();
    expect_visits(0, page_in(0), 2); /* the other has them all */
}

int main(void)
{
#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(each_key_is_in_one_of_the_processes_and_time_in_both),
        IN_A_WORLD(what_was_read_is_trimmed_and_nothing_else),
        IN_A_WORLD(a_receiver_that_comes_back_knows_what_it_was_told),
        IN_A_WORLD(an_idle_sender_does_not_hold_time_back),
        IN_A_WORLD(both_processes_come_to_the_end_of_the_input),
        IN_A_WORLD(the_end_of_one_sender_is_heard_by_receivers_that_come_back),
        IN_A_WORLD(a_later_run_goes_on_from_where_time_was),
        IN_A_WORLD(who_ended_first_holds_time_in_a_later_run),
        IN_A_WORLD(that_all_inputs_have_stopped_is_told_through_stages_in_memory),
        IN_A_WORLD(an_end_of_an_older_run_is_not_believed),
        IN_A_WORLD(a_union_of_unlike_inputs_spans_processes),
        IN_A_WORLD(a_watermark_on_the_move_is_told_at_intervals),
        IN_A_WORLD(a_dead_letter_of_a_receiver_says_where_the_record_lies),
        IN_A_WORLD(records_of_another_version_of_the_job_stop_it),
        IN_A_WORLD(records_of_another_format_stop_the_job),
        IN_A_WORLD(a_record_in_another_partition_than_its_key_says_stops_the_job),
        IN_A_WORLD(a_topic_that_gets_more_partitions_stops_the_job),
        IN_A_WORLD(what_was_deleted_unread_is_never_skipped),
        IN_A_WORLD(an_exchange_of_more_senders_than_can_be_kept_is_refused),
        IN_A_WORLD(a_topic_of_another_width_is_refused),
        IN_A_WORLD(a_source_that_goes_or_comes_is_no_fault),
        IN_A_WORLD(one_with_an_exchange_in_memory_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
