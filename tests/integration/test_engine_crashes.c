/* A record that ends the process each time it is processed: R19. Each start is a process of its
 * own, on an embedded log and a state directory. */
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

#include <leat/leat.h>

enum { USERS = 40, ROUNDS = 60, ALL = USERS * ROUNDS, PARTITIONS = 2 };

struct event {
    leat_str user;
    int64_t number;
};
LEAT_RECORD(event, user, number);
struct tally {
    leat_str user;
    uint64_t count;
};
LEAT_RECORD(tally, user, count);

static char dir[64], url[96], state_dir[96];
static bool exchange;
static int deadly_signal;

static int fresh_dir(void **state)
{
    (void)state;
    (void)strcpy(dir, "/tmp/leat-crashes-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(url, sizeof(url), "embedded:%s/log", dir);
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
    exchange = false;
    deadly_signal = SIGABRT;
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* ------------------------------------------------------------------ the job */

static int64_t deadly = -1; /* the number of the event that ends the process */

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    if (event->number == deadly)
        (void)raise(deadly_signal);
    struct tally *tally = leat_mut(ctx, 0);
    tally->user = event->user;
    tally->count++;
    leat_emit(ctx, tally);
    return LEAT_OK;
}

static leat_job *job_on(leat_log *log, leat_on_error policy)
{
    static leat_process_op op;
    op = (leat_process_op){.in = &event_type,
                           .out = &tally_type,
                           .state = {{.name = "tally", .type = &tally_type}},
                           .on_record = count_event,
                           .on_error = policy};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "crashes",
                                                  .log_handle = log,
                                                  .state_dir = state_dir,
                                                  .worker_count = 2,
                                                  .exchange = LEAT_EXCHANGE_AUTO});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events",
                                         .partitioned_by = exchange ? NULL : "user",
                                         .until_end = true,
                                         .on_error = policy});
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "tally", &op, NULL);
    leat_to_log(tallies, "tallies", &(leat_log_sink){.topic = "tallies", .key = "user"});
    return job;
}

static void append_events(leat_log *log)
{
    const leat_topic_opts opts = {.partition_count = PARTITIONS};
    if (leat_topic_create(log, "events", &opts, NULL) != LEAT_OK)
        return; /* a process before has */
    for (int n = 0; n < ALL; n++) {
        char user[16], json[80];
        (void)snprintf(user, sizeof(user), "user%d", n % USERS);
        (void)snprintf(json, sizeof(json), "{\"user\":\"%s\",\"number\":%d}", user, n);
        leat_log_record record = {.topic = "events",
                                  .partition = LEAT_PARTITION_BY_KEY,
                                  .key = leat_str_from(user),
                                  .value = leat_str_from(json)};
        if (leat_log_append(log, &record, 1, NULL) != LEAT_OK)
            _exit(99);
    }
}

static int run_once(leat_on_error policy)
{
    leat_log *log;
    const struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    if (leat_log_open(&log, url, &(leat_log_opts){.no_sync = true}, NULL) != LEAT_OK)
        return 98;
    append_events(log);
    leat_error error = {0};
    leat_job *job = job_on(log, policy);
    (void)!leat_job_run(job, &error);
    leat_job_free(job);
    leat_log_close(log);
    return leat_status_exit_code(error.status);
}

/* Starts a process; its wait status. */
static int start_once(leat_on_error policy)
{
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(60);
        for (int s = 1; s < SIGRTMIN; s++)
            (void)signal(s, SIG_DFL); /* not cmocka's */
        _exit(run_once(policy));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_crashes(int times, leat_on_error policy)
{
    for (int i = 0; i < times; i++) {
        int status = start_once(policy);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != deadly_signal)
            fail_msg("start %d ended with %x", i + 1, (unsigned)status);
    }
}

static void assert_exits(leat_on_error policy, int code)
{
    int status = start_once(policy);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("ended with %x", (unsigned)status);
}

/* ------------------------------------------------------------------ what came of it */

/* Every event but the deadly one counted once, in order; one letter, about it. In a process of its
 * own: this one forks, so it opens no RocksDB (R27). */
static int check_outputs(int letters_wanted)
{
    leat_log *log;
    leat_log_reader *reader;
    leat_log_record records[256];
    uint64_t seen[USERS] = {0};
    int counted = 0, letters = 0;
    size_t count = 0;
    if (leat_log_open(&log, url, NULL, NULL) != LEAT_OK ||
        leat_log_reader_new(log, NULL, NULL, &reader, NULL) != LEAT_OK)
        return 1;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (leat_log_reader_seek(reader, "tallies", p, LEAT_OFFSET_BEGIN, NULL) != LEAT_OK)
            return 2;
    if (leat_log_reader_seek(reader, "dead-letters", 0, LEAT_OFFSET_BEGIN, NULL) != LEAT_OK)
        return 3;
    do {
        if (leat_log_reader_poll(reader, records, 256, &count, NULL) != LEAT_OK)
            return 4;
        for (size_t i = 0; i < count; i++) {
            char text[400];
            int user;
            unsigned long long value;
            (void)snprintf(text, sizeof(text), "%.*s", (int)records[i].value.length,
                           records[i].value.data);
            if (strcmp(records[i].topic, "dead-letters") == 0) {
                letters++;
                if (strstr(text, "4 times") == NULL || strstr(text, "number") == NULL)
                    return 5;
            } else if (sscanf(text, "{\"user\":\"user%d\",\"count\":%llu", &user, &value) != 2 ||
                       value != ++seen[user]) {
                return 6;
            } else {
                counted++;
            }
        }
    } while (count != 0);
    leat_log_reader_free(reader);
    leat_log_close(log);
    return counted == ALL - letters_wanted && letters == letters_wanted ? 0 : 7;
}

static void assert_outputs(int letters)
{
    pid_t child = fork();
    if (child == 0)
        _exit(check_outputs(letters));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ------------------------------------------------------------------ the tests */

static void after_three_crashes_a_record_is_processed_alone_then_put_aside(void **state)
{
    (void)state; /* R19 */
    deadly = 1234;
    assert_crashes(4, LEAT_ON_ERROR_DEAD_LETTER);
    assert_exits(LEAT_ON_ERROR_DEAD_LETTER, 0);
    assert_outputs(1);
}

static void behind_an_exchange_too(void **state)
{
    (void)state; /* R19: all that an epoch read is suspected, the record passes alone through all */
    exchange = true;
    deadly = 7;
    assert_crashes(4, LEAT_ON_ERROR_DEAD_LETTER);
    assert_exits(LEAT_ON_ERROR_DEAD_LETTER, 0);
    assert_outputs(1);
}

static void by_default_the_job_stops_there_and_a_better_program_goes_on(void **state)
{
    (void)state; /* R19 */
    deadly = 1234;
    assert_crashes(4, LEAT_ON_ERROR_STOP);
    assert_exits(LEAT_ON_ERROR_STOP, leat_status_exit_code(LEAT_EDATA));
    deadly = -1;
    assert_exits(LEAT_ON_ERROR_DEAD_LETTER, 0);
    assert_outputs(0);
}

static void a_process_that_is_killed_accuses_nobody(void **state)
{
    (void)state; /* R19: only a fault is the record's */
    deadly = 1234;
    deadly_signal = SIGKILL;
    assert_crashes(6, LEAT_ON_ERROR_DEAD_LETTER);
    deadly = -1;
    assert_exits(LEAT_ON_ERROR_DEAD_LETTER, 0);
    assert_outputs(0);
}

static void a_record_that_passes_alone_is_acquitted(void **state)
{
    (void)state; /* R19 */
    deadly_signal = SIGSEGV;
    deadly = 1234;
    assert_crashes(3, LEAT_ON_ERROR_DEAD_LETTER);
    deadly = -1;
    assert_exits(LEAT_ON_ERROR_DEAD_LETTER, 0);
    assert_outputs(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(after_three_crashes_a_record_is_processed_alone_then_put_aside),
        TEST(behind_an_exchange_too),
        TEST(by_default_the_job_stops_there_and_a_better_program_goes_on),
        TEST(a_process_that_is_killed_accuses_nobody),
        TEST(a_record_that_passes_alone_is_acquitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
