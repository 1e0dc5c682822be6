/* integration/stall_world.h - a job in a process of its own, on a log whose calls can be made to
 * hang, with its lines kept: for the tests of R31. */
#ifndef LEAT_TESTS_STALL_WORLD_H
#define LEAT_TESTS_STALL_WORLD_H
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

#include "base/error.h"
#include "integration/log_double.h"
#include <leat/leat.h>

enum { EVENTS = 40, PARTITIONS = 2, LIMIT_MS = 1500, ENDS_BEFORE_S = 60, STALLED = 75 };

struct event {
    leat_str user_id;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, timestamp_ms);

static struct log_double twin;
static atomic_bool planted;
static leat_exchange exchange = LEAT_EXCHANGE_MEMORY;
static int64_t limit_ms;
static char *state_dir;

static inline _Noreturn void block(void)
{
    for (;;)
        pause();
}

static inline void sleep_ms(int64_t ms)
{
    (void)usleep((useconds_t)ms * 1000);
}

/* ------------------------------------------------------------------ the job */

static void (*in_callback)(void);

static inline leat_status count_event(leat_ctx *ctx, const void *record)
{
    struct event *last = leat_mut(ctx, 0);
    *last = *(const struct event *)record;
    if (in_callback != NULL)
        in_callback();
    leat_emit(ctx, last);
    return LEAT_OK;
}

static const leat_process_op counting = {.in = &event_type,
                                         .out = &event_type,
                                         .state = {{.name = "last", .type = &event_type}},
                                         .on_record = count_event};

static void (*in_sink)(void);
static inline void take(void *arg, const void *record)
{
    (void)arg;
    (void)record;
    if (in_sink != NULL)
        in_sink();
}

static inline leat_job *make_job(size_t buffer_bytes)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "stalls",
                                                  .log_handle = twin.log,
                                                  .worker_count = 2,
                                                  .exchange = exchange,
                                                  .buffer_bytes = buffer_bytes,
                                                  .state_dir = state_dir,
                                                  .transaction_timeout_ms = 1,
                                                  .stall_limit_ms = limit_ms});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .time_field = "timestamp_ms"});
    leat_stream last = leat_process(leat_key_by(events, "user_id"), "last", &counting, NULL);
    leat_to_log(last, "copies", &(leat_log_sink){.topic = "copies", .key = "user_id"});
    leat_to_fn(last, "taken", take, NULL);
    return job;
}

static inline void must(leat_status status, const leat_error *error)
{
    if (status == LEAT_OK)
        return;
    (void)fprintf(stderr, "%s: %s\n", error->where, error->message);
    _exit(1);
}

static inline leat_job *start(size_t buffer_bytes)
{
    leat_error error = {0};
    leat_job *job = make_job(buffer_bytes);
    must(leat_job_start(job, &error), &error);
    return job;
}

static inline void send(int count)
{
    leat_error error = {0};
    for (int i = 0; i < count; i++) {
        char key[16], json[80];
        (void)snprintf(key, sizeof key, "user%d", i % 7);
        (void)snprintf(json, sizeof json, "{\"user_id\":\"%s\",\"timestamp_ms\":%d}", key, i);
        leat_log_record record = {.topic = "events",
                                  .partition = (uint32_t)i % PARTITIONS,
                                  .key = leat_str_from(key),
                                  .value = leat_str_from(json)};
        must(leat_log_append(twin.log, &record, 1, &error), &error);
    }
}

static inline int64_t copies(void)
{
    int64_t sum = 0, end;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (leat_log_bounds(twin.log, "copies", p, NULL, &end, NULL) == LEAT_OK)
            sum += end;
    return sum;
}

static inline void wait_for_copies(int64_t count)
{
    for (int waited_ms = 0; waited_ms < ENDS_BEFORE_S * 1000; waited_ms += 10) {
        if (copies() == count)
            return;
        sleep_ms(10);
    }
    (void)fprintf(stderr, "%lld copies instead of %lld\n", (long long)copies(), (long long)count);
    _exit(1);
}

/* ------------------------------------------------------------------ a process for each */

static char *lines; /* of the last child */

static inline int run_child(void (*scene)(void), int64_t limit)
{
    char path[] = "/tmp/leat-stalls-XXXXXX";
    static int number;
    int file = mkstemp(path), status;
    assert_true(file >= 0);
    number++;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char url[40];
        (void)dup2(file, STDERR_FILENO);
        (void)alarm(ENDS_BEFORE_S);
        limit_ms = limit;
        (void)snprintf(url, sizeof url, "sim:stalls-%d", number);
        (void)double_open(&twin, url);
        leat_error error = {0};
        must(leat_topic_create(twin.log, "events",
                               &(leat_topic_opts){.partition_count = PARTITIONS}, &error),
             &error);
        scene();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    off_t length = lseek(file, 0, SEEK_END);
    free(lines);
    lines = calloc(1, (size_t)length + 1);
    assert_int_equal(pread(file, lines, (size_t)length, 0), length);
    (void)close(file);
    (void)unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void expect_line(const char *text)
{
    if (strstr(lines, text) == NULL)
        fail_msg("'%s' is not in:\n%s", text, lines);
}

/* ------------------------------------------------------------------ readers */

/* What a reader may do that reads `stalled_topic`. */
static const char *stalled_topic;
static void (*in_poll)(void); /* NULL: it gives nothing */

static inline leat_status poll_records(leat_log_reader *reader, leat_log_record *records,
                                       size_t max, size_t *count, leat_error *error)
{
    int64_t position;
    leat_status known = twin.real->reader_position(reader, stalled_topic, 0, &position, NULL);
    if (!atomic_load(&planted) || known != LEAT_OK)
        return twin.real->reader_poll(reader, records, max, count, error);
    if (in_poll == NULL)
        return LEAT_OK;
    in_poll();
    return twin.real->reader_poll(reader, records, 1, count, error);
}

static inline void leave_state_behind(void)
{
    send(EVENTS);
    leat_job *job = start(0);
    wait_for_copies(EVENTS);
    leat_job_free(job);
}

#endif
