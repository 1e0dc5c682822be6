/* Where the engine's rules meet the unusual: gaps at the end of a topic, partitions taken away
 * during a commit, threads that can't be had, signals that come late, state that lags behind. */
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "integration/commit_fault.h"
#include "log/driver.h"
#include <leat/leat.h>
#include <leat/test.h>

struct event {
    leat_str user;
    leat_str kind;
    int64_t ts_ms;
};
LEAT_RECORD(event, user, LEAT_OPTIONAL(kind), ts_ms);
struct tally {
    leat_str user;
    uint64_t count;
};
LEAT_RECORD(tally, user, count);

static int sequence;
static char url[64];

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof(url), "sim:edges-%d", sequence++);
    return 0;
}

/* ------------------------------------------------------------------ the job */

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    if (leat_str_equal(event->kind, LEAT_STR("bad")))
        return leat_fail(ctx, LEAT_EDATA, "a bad event");
    if (leat_str_equal(event->kind, LEAT_STR("forget"))) {
        leat_del(ctx, 0);
        return LEAT_OK;
    }
    struct tally *tally = leat_mut(ctx, 0);
    tally->user = event->user;
    tally->count++;
    leat_emit(ctx, tally);
    return LEAT_OK;
}

static const leat_process_op counting = {
    .in = &event_type,
    .out = &tally_type,
    .state = {{.name = "tally", .type = &tally_type}},
    .on_record = count_event,
    .on_error = LEAT_ON_ERROR_DEAD_LETTER,
};

typedef struct setting {
    leat_log *log;
    const char *state_dir, *instance;
    bool until_end, exchange;
} setting;

static leat_job *count_job(const setting *with)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "edges",
                                                  .log = with->log == NULL ? url : NULL,
                                                  .log_handle = with->log,
                                                  .instance = with->instance,
                                                  .state_dir = with->state_dir,
                                                  .restart_limit = 4});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events",
                                         .time_field = "ts_ms",
                                         .partitioned_by = with->exchange ? NULL : "user",
                                         .until_end = with->until_end,
                                         .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "tally", &counting, NULL);
    leat_to_log(tallies, "tallies", &(leat_log_sink){.topic = "tallies", .key = "user"});
    return job;
}

static leat_log *open_log(void)
{
    leat_log *log;
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    return log;
}

static void append(leat_log *log, const char *topic, const char *key, const char *value)
{
    leat_log_record record = {.topic = topic,
                              .partition = LEAT_PARTITION_BY_KEY,
                              .key = leat_str_from(key),
                              .value = value == NULL ? (leat_str){0} : leat_str_from(value)};
    assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
}

static void append_event(leat_log *log, const char *user, const char *kind)
{
    char json[120];
    (void)snprintf(json, sizeof(json), "{\"user\":\"%s\",\"kind\":\"%s\",\"ts_ms\":1000}", user,
                   kind);
    append(log, "events", user, json);
}

static void make_topic(leat_log *log, const char *topic, uint32_t partitions, bool compacted)
{
    const leat_topic_opts opts = {.partition_count = partitions, .compacted = compacted};
    assert_int_equal(leat_topic_create(log, topic, &opts, NULL), LEAT_OK);
}

static void assert_next(leat_test *test, const char *expected)
{
    const char *json = leat_test_next_json(test, "tallies");
    if (expected == NULL)
        assert_null(json);
    else
        assert_string_equal(json == NULL ? "nothing" : json, expected);
}

/* ------------------------------------------------------------------ a clock of one's own */

static int64_t virtual_ms;

static int64_t now_ms(void *arg)
{
    (void)arg;
    return virtual_ms;
}

static int64_t monotonic_us(void *arg)
{
    (void)arg;
    return virtual_ms * 1000;
}

static uint64_t always_7(void *arg)
{
    (void)arg;
    return 7;
}

static const leat_env virtual_env = {NULL, now_ms, monotonic_us, always_7};

static leat_log *open_virtual_log(void)
{
    leat_log *log;
    virtual_ms = 1000000;
    assert_int_equal(leat__log_open_env(&log, url, NULL, &virtual_env, NULL), LEAT_OK);
    return log;
}

static leat_job *virtual_job(const setting *with)
{
    leat_job *job = count_job(with);
    job->env = &virtual_env;
    return job;
}

static void step(leat_job *job)
{
    bool busy;
    leat_error error = {0};
    if (leat_job_step(job, &busy, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

static void run_all(leat_job *job)
{
    for (int i = 0; i < 30; i++) {
        virtual_ms += 2;
        step(job);
    }
}

/* ------------------------------------------------------------------ the end of the input */

static void a_gap_at_the_end_hides_no_later_record(void **state)
{
    (void)state; /* R11: what came after the start is the next run's */
    leat_test *test = leat_test_new(count_job(&(setting){.until_end = true}));
    leat_log *log = open_log();
    make_topic(log, "events", 1, true);
    append_event(log, "ann", "");
    append(log, "events", "gone", NULL);
    assert_int_equal(leat_log_clean(log, NULL), LEAT_OK);
    leat_test_advance(test, LEAT_HOURS(25));
    leat_test_crash(test);
    assert_int_equal(leat_log_clean(log, NULL), LEAT_OK); /* the tombstone at the end goes */
    (void)leat_test_step(test);
    append_event(log, "bob", "");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_restart(test);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_next(test, "{\"user\":\"ann\",\"count\":1}");
    assert_next(test, "{\"user\":\"bob\",\"count\":1}");
    assert_next(test, NULL);
    leat_log_close(log);
    leat_test_free(test);
}

static void the_end_is_that_of_the_start_also_after_a_rewind(void **state)
{
    (void)state; /* R10 */
    leat_test *test = leat_test_new(count_job(&(setting){.until_end = true}));
    leat_log *log = open_log();
    struct fault fault = {.status = LEAT_EABORTED, .times = 1};
    inject(log, &fault);
    make_topic(log, "events", 1, false);
    append_event(log, "ann", "");
    (void)leat_test_step(test);
    append_event(log, "bob", "");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_true(fault.times <= 0);
    assert_next(test, "{\"user\":\"ann\",\"count\":1}");
    assert_next(test, NULL);
    leat_log_close(log);
    leat_test_free(test);
}

static void a_topic_made_again_under_the_name_is_not_read_on(void **state)
{
    (void)state; /* R16: the seal is ahead of the end */
    leat_test *test = leat_test_new(count_job(&(setting){0}));
    leat_log *log = open_log();
    make_topic(log, "events", 1, false);
    for (int i = 0; i < 3; i++)
        append_event(log, "ann", "");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_crash(test);
    assert_int_equal(leat_topic_delete(log, "events", NULL), LEAT_OK);
    make_topic(log, "events", 1, false);
    append_event(log, "ann", "");
    assert_int_equal(leat_test_run(test), LEAT_ECORRUPT);
    assert_non_null(strstr(leat_test_error(test)->message, "made again"));
    leat_log_close(log);
    leat_test_free(test);
}

/* ------------------------------------------------------------------ assignments */

static void partitions_taken_away_during_a_commit_are_no_failure(void **state)
{
    (void)state; /* R7, R8: LOST comes as an aborted commit; the next assignment is waited for */
    leat_log *log = open_virtual_log();
    make_topic(log, "events", 2, false);
    leat_job *slow = virtual_job(&(setting){.log = log, .instance = "slow"});
    leat_job *quick = virtual_job(&(setting){.log = log, .instance = "quick"});
    step(slow);
    append_event(log, "ann", "");
    append_event(log, "bob", "");
    step(slow); /* processed */
    virtual_ms += 2;
    step(slow); /* the barrier is asked for */
    step(quick);
    virtual_ms += 11000; /* longer than anybody waits for slow to let go */
    step(quick);
    for (int i = 0; i < 50; i++) {
        step(slow);
        step(quick);
        virtual_ms++;
    }
    leat_job_stats stats;
    leat_job_get_stats(slow, &stats);
    assert_int_equal(stats.rewinds, 1);
    int64_t all = 0;
    for (uint32_t p = 0; p < 2; p++) {
        int64_t begin, end;
        assert_int_equal(leat_log_bounds(log, "tallies", p, &begin, &end, NULL), LEAT_OK);
        all += end;
    }
    assert_int_equal(all, 2);
    leat_job_free(quick);
    leat_job_free(slow);
    leat_log_close(log);
}

static void a_second_process_of_a_job_with_an_exchange_is_refused(void **state)
{
    (void)state; /* R23: equal keys would meet in two processes */
    leat_test *first = leat_test_new(count_job(&(setting){.instance = "a", .exchange = true}));
    leat_test *second = leat_test_new(count_job(&(setting){.instance = "b", .exchange = true}));
    leat_log *log = open_log();
    make_topic(log, "events", 2, false);
    (void)leat_test_step(first);
    (void)leat_test_step(second); /* joins */
    (void)leat_test_step(first);  /* lets go */
    leat_test_crash(second);
    (void)leat_test_step(first);
    (void)leat_test_step(second);
    (void)leat_test_step(first);
    append_event(log, "ann", "");
    append_event(log, "bob", "");
    assert_int_equal(leat_test_run(first), LEAT_OK);
    leat_test_crash(second); /* gone: the first has it all again */
    assert_int_equal(leat_test_run(first), LEAT_OK);
    assert_next(first, "{\"user\":\"ann\",\"count\":1}");
    assert_next(first, "{\"user\":\"bob\",\"count\":1}");
    assert_next(first, NULL);
    leat_log_close(log);
    leat_test_free(second);
    leat_test_free(first);
}

/* ------------------------------------------------------------------ rewinds */

static void a_rewind_that_finds_damage_ends_the_job_with_all_its_threads(void **state)
{
    (void)state; /* R2, R10: workers must not run what could not be opened */
    leat_log *log = open_log();
    make_topic(log, "events", 4, false);
    leat_job *job = count_job(&(setting){.log = log});
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    leat_job_stats stats = {0};
    for (int round = 1; round <= 2; round++) {
        append_event(log, "ann", "");
        for (int i = 0; i < 5000 && stats.records_in < (uint64_t)round; i++) {
            usleep(1000);
            leat_job_get_stats(job, &stats);
        }
        for (uint32_t p = 0; p < 4 && round == 1; p++) {
            leat_log_record rogue = {.topic = "edges-tally-changelog",
                                     .partition = p,
                                     .key = LEAT_STR("somebody else's"),
                                     .value = LEAT_STR("x")};
            assert_int_equal(leat_log_append(log, &rogue, 1, NULL), LEAT_OK);
        }
    }
    struct fault fault = {.status = LEAT_EABORTED, .times = 1};
    inject(log, &fault);
    append_event(log, "ann", "");
    leat_error error = {0};
    assert_int_equal(leat_job_wait(job, &error), LEAT_EVIOLATION);
    leat_job_free(job);
    leat_log_close(log);
}

static void figures_count_each_record_once_over_rewinds(void **state)
{
    (void)state; /* R10 */
    leat_log *log = open_log();
    make_topic(log, "events", 1, false);
    struct fault fault = {.status = LEAT_EABORTED, .skip = 1, .times = 2};
    inject(log, &fault);
    leat_job *job = count_job(&(setting){.log = log});
    for (int i = 0; i < 3; i++) {
        append_event(log, "ann", "");
        for (int steps = 0; steps < 40; steps++) {
            bool busy;
            usleep(200);
            assert_int_equal(leat_job_step(job, &busy, NULL), LEAT_OK);
        }
    }
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.rewinds, 2);
    assert_int_equal(stats.records_in, 3);
    assert_int_equal(stats.records_out, 3);
    leat_job_free(job);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ opening and closing */

static int opened, closed;

static leat_status open_first(leat_ctx *ctx, const void *record)
{
    (void)record;
    (void)ctx;
    opened++;
    return LEAT_OK;
}

static leat_status open_second(leat_ctx *ctx, const void *record)
{
    (void)record;
    return leat_fail(ctx, LEAT_EIO, "no model");
}

static leat_status close_any(leat_ctx *ctx, const void *record)
{
    (void)record;
    assert_non_null(leat_local(ctx));
    closed++;
    return LEAT_OK;
}

static leat_status pass(leat_ctx *ctx, const void *record)
{
    (void)ctx;
    (void)record;
    return LEAT_OK;
}

static void on_close_is_called_where_on_open_succeeded(void **state)
{
    (void)state; /* S3 */
    static const leat_process_op first = {.in = &event_type,
                                          .on_record = pass,
                                          .local_bytes = 8,
                                          .on_open = open_first,
                                          .on_close = close_any};
    static const leat_process_op second = {.in = &event_type,
                                           .on_record = pass,
                                           .local_bytes = 8,
                                           .on_open = open_second,
                                           .on_close = close_any};
    opened = closed = 0;
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "edges", .log = url});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .partitioned_by = "user"});
    leat_stream keyed = leat_key_by(events, "user");
    (void)leat_process(keyed, "first", &first, NULL);
    (void)leat_process(keyed, "second", &second, NULL);
    leat_to_log(events, "copy", &(leat_log_sink){.topic = "copy"});
    leat_error error;
    assert_int_equal(leat_job_start(job, &error), LEAT_EIO);
    assert_string_equal(error.where, "second");
    assert_int_equal(opened, 1);
    assert_int_equal(closed, 1);
    assert_int_equal(leat_job_start(job, &error), LEAT_EIO); /* and again */
    leat_job_free(job);
    assert_int_equal(closed, opened);
}

/* In a process of its own, as somebody who may have no more threads. */
static int start_without_threads(void)
{
    leat_job *job = count_job(&(setting){0});
    const struct rlimit limit = {2, 2}; /* one thread may start, its fellows may not */
    if (getuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
        return 3;
    if (setrlimit(RLIMIT_NPROC, &limit) != 0)
        return 4;
    leat_error error = {0};
    if (leat_job_start(job, &error) != LEAT_EINTERNAL)
        return 1;
    if (strstr(error.message, "threads") == NULL)
        return 2;
    leat_job_free(job);
    return 0;
}

static void a_job_that_gets_no_threads_says_so_and_can_be_freed(void **state)
{
    (void)state; /* R30 */
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(60);
        _exit(start_without_threads());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_signal_after_the_job_is_gone_does_no_harm(void **state)
{
    (void)state;
    leat_job *job = count_job(&(setting){0});
    leat_job_stop_on_signals(job);
    leat_job_free(job);
    assert_int_equal(raise(SIGTERM), 0);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
}

static void ignore(void *arg, const void *record)
{
    (void)record;
    ++*(int *)arg;
}

static void a_job_without_a_log_begins_anew_each_time(void **state)
{
    (void)state;
    static const struct event events[2] = {{.user = {"ann", 3}, .ts_ms = 1},
                                           {.user = {"bob", 3}, .ts_ms = 2}};
    int seen = 0;
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "anew"});
    leat_stream in =
        leat_from_array(job, "events", &event_type, &(leat_array){.records = events, .count = 2});
    leat_to_log(in, "copy", &(leat_log_sink){.topic = "copy"});
    leat_to_fn(in, "seen", ignore, &seen);
    for (int run = 1; run <= 3; run++) {
        assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
        assert_int_equal(seen, 2 * run);
    }
    leat_job_stop(job); /* before the start: the next run ends at once, cleanly */
    assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
    leat_job_free(job);
}

static void lines_that_can_not_be_written_end_the_job(void **state)
{
    (void)state; /* R17 */
    static const struct event events[1] = {{.user = {"ann", 3}, .ts_ms = 1}};
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "full"});
    leat_stream in =
        leat_from_array(job, "events", &event_type, &(leat_array){.records = events, .count = 1});
    leat_to_file(in, "lines", full);
    leat_error error = {0};
    assert_int_equal(leat_job_run(job, &error), LEAT_ENOSPC);
    assert_string_equal(error.where, "lines");
    leat_job_free(job);
    (void)fclose(full);
}

/* ------------------------------------------------------------------ dead letters, time, state */

static void a_dead_letter_behind_an_exchange_holds_the_record(void **state)
{
    (void)state; /* R19: never lost */
    leat_test *test = leat_test_new(count_job(&(setting){.exchange = true}));
    leat_log *log = open_log();
    (void)leat_test_step(test);
    append_event(log, "ann", "bad");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_log_record record;
    assert_true(leat_test_next(test, "dead-letters", &record));
    assert_true(leat_str_equal(record.key, LEAT_STR("ann")));
    char text[500];
    (void)snprintf(text, sizeof(text), "%.*s", (int)record.value.length, record.value.data);
    assert_non_null(strstr(text, "\"operator\":\"tally\""));
    assert_non_null(strstr(text, "\\\"user\\\":\\\"ann\\\""));
    leat_log_close(log);
    leat_test_free(test);
}

static void keep_last(void *acc, const void *record, void *arg)
{
    (void)arg;
    *(struct tally *)acc = *(const struct tally *)record;
}

enum { MANY = 1000000, HUGE_BYTES = (1 << 20) - 200 };

static leat_status emit_many(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    struct tally out = {.user = event->user};
    for (out.count = 0; out.count < MANY; out.count++)
        leat_emit(ctx, &out);
    return LEAT_OK;
}

static void a_callback_may_emit_a_million_records(void **state)
{
    (void)state; /* R9: far over the buffer's bound; behind an exchange too */
    static const struct event events[2] = {{.user = {"ann", 3}, .ts_ms = 1},
                                           {.user = {"bob", 3}, .ts_ms = 2}};
    int seen = 0;
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "many", .buffer_bytes = 100000});
    leat_stream in =
        leat_from_array(job, "events", &event_type, &(leat_array){.records = events, .count = 2});
    leat_stream many = leat_flat_map(in, "many", &tally_type, emit_many, NULL);
    leat_to_fn(leat_reduce(leat_key_by(many, "user"), "last", keep_last, NULL), "seen", ignore,
               &seen);
    assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
    assert_int_equal(seen, 2 * MANY);
    leat_job_free(job);
}

static void a_record_as_big_as_the_log_takes_goes_through(void **state)
{
    (void)state; /* R19: and one that can't be decoded fits into its dead letter */
    leat_test *test = leat_test_new(count_job(&(setting){.exchange = true}));
    leat_log *log = open_log();
    char *json = malloc(HUGE_BYTES + 100);
    (void)leat_test_step(test);
    int start = sprintf(json, "{\"user\":\"ann\",\"kind\":\"");
    memset(json + start, 'x', (size_t)(HUGE_BYTES - start));
    (void)strcpy(json + HUGE_BYTES, "\",\"ts_ms\":1000}");
    append(log, "events", "ann", json);
    json[HUGE_BYTES] = '\0';
    memset(json + start, '"', 100); /* not JSON, and longer once escaped */
    append(log, "events", "ann", json);
    free(json);
    if (leat_test_run(test) != LEAT_OK)
        fail_msg("%s", leat_test_error(test)->message);
    assert_next(test, "{\"user\":\"ann\",\"count\":1}");
    leat_log_record letter;
    assert_true(leat_test_next(test, "dead-letters", &letter));
    assert_true(leat_str_equal(letter.key, LEAT_STR("ann")));
    leat_log_close(log);
    leat_test_free(test);
}

static leat_status remember(leat_ctx *ctx, const void *record)
{
    struct tally *tally = leat_mut(ctx, 0);
    tally->user = ((const struct event *)record)->user;
    tally->count++;
    leat_timer_set_clock(ctx, 0, leat_clock(ctx) + 1000);
    return LEAT_OK;
}

static leat_status recall(leat_ctx *ctx, int timer)
{
    (void)timer;
    const struct tally *tally = leat_get(ctx, 0);
    if (tally != NULL)
        leat_emit(ctx, tally);
    return LEAT_OK;
}

static void state_ages_by_event_time_in_a_processing_time_timer_too(void **state)
{
    (void)state; /* S2: old events read today have not expired */
    static const leat_process_op op = {
        .in = &event_type,
        .out = &tally_type,
        .state = {{.name = "seen", .type = &tally_type, .ttl_ms = 60000}},
        .timer = {"soon"},
        .on_record = remember,
        .on_timer = recall};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "edges", .log = url});
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){.topic = "events", .time_field = "ts_ms", .partitioned_by = "user"});
    leat_to_log(leat_process(leat_key_by(events, "user"), "recall", &op, NULL), "tallies",
                &(leat_log_sink){.topic = "tallies"});
    leat_test *test = leat_test_new(job);
    leat_test_send_keyed(test, "events", "ann", "{\"user\":\"ann\",\"ts_ms\":1000}");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_advance(test, 1000);
    assert_next(test, "{\"user\":\"ann\",\"count\":1}");
    leat_test_free(test);
}

static void state_that_lags_behind_forgotten_deletions_is_built_anew(void **state)
{
    (void)state; /* R13: or what was deleted would come back */
    char dir[] = "/tmp/leat-edges-XXXXXX", old[64], new[64], command[80];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(old, sizeof(old), "%s/old", dir);
    (void)snprintf(new, sizeof(new), "%s/new", dir);
    leat_log *log = open_virtual_log();
    make_topic(log, "events", 1, false);
    leat_job *job = virtual_job(&(setting){.log = log, .state_dir = old});
    append_event(log, "ann", "");
    append_event(log, "bob", "");
    run_all(job);
    leat_job_free(job);

    job = virtual_job(&(setting){.log = log, .state_dir = new});
    append_event(log, "ann", "forget");
    run_all(job);
    append_event(log, "bob", "");
    run_all(job);
    leat_job_free(job);
    for (int i = 0; i < 2; i++) { /* met, and a day later taken */
        assert_int_equal(leat_log_clean(log, NULL), LEAT_OK);
        virtual_ms += LEAT_HOURS(25);
    }
    assert_int_equal(leat_log_clean(log, NULL), LEAT_OK);

    job = virtual_job(&(setting){.log = log, .state_dir = old});
    run_all(job);
    struct tally tally = {0};
    void *memory;
    assert_int_equal(leat_job_query(job, "tally", "tally", LEAT_STR("ann"), &tally, &memory, NULL),
                     LEAT_ENOTFOUND);
    leat_memory_free(memory);
    assert_int_equal(leat_job_query(job, "tally", "tally", LEAT_STR("bob"), &tally, &memory, NULL),
                     LEAT_OK);
    assert_int_equal(tally.count, 2);
    leat_memory_free(memory);
    leat_job_free(job);
    leat_log_close(log);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_gap_at_the_end_hides_no_later_record, fresh_log),
        cmocka_unit_test_setup(the_end_is_that_of_the_start_also_after_a_rewind, fresh_log),
        cmocka_unit_test_setup(a_topic_made_again_under_the_name_is_not_read_on, fresh_log),
        cmocka_unit_test_setup(partitions_taken_away_during_a_commit_are_no_failure, fresh_log),
        cmocka_unit_test_setup(a_second_process_of_a_job_with_an_exchange_is_refused, fresh_log),
        cmocka_unit_test_setup(a_rewind_that_finds_damage_ends_the_job_with_all_its_threads,
                               fresh_log),
        cmocka_unit_test_setup(figures_count_each_record_once_over_rewinds, fresh_log),
        cmocka_unit_test_setup(on_close_is_called_where_on_open_succeeded, fresh_log),
        cmocka_unit_test_setup(a_job_that_gets_no_threads_says_so_and_can_be_freed, fresh_log),
        cmocka_unit_test_setup(a_signal_after_the_job_is_gone_does_no_harm, fresh_log),
        cmocka_unit_test_setup(a_job_without_a_log_begins_anew_each_time, fresh_log),
        cmocka_unit_test_setup(lines_that_can_not_be_written_end_the_job, fresh_log),
        cmocka_unit_test_setup(a_dead_letter_behind_an_exchange_holds_the_record, fresh_log),
        cmocka_unit_test_setup(a_callback_may_emit_a_million_records, fresh_log),
        cmocka_unit_test_setup(a_record_as_big_as_the_log_takes_goes_through, fresh_log),
        cmocka_unit_test_setup(state_ages_by_event_time_in_a_processing_time_timer_too, fresh_log),
        cmocka_unit_test_setup(state_that_lags_behind_forgotten_deletions_is_built_anew, fresh_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
