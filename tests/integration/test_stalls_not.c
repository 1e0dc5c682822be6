/* R31: what only takes long, or has nothing to do, is no standstill: test_stalls.c has those. */
#include "integration/stall_world.h"

static void expect_health(void (*scene)(void))
{
    int code = run_child(scene, LIMIT_MS);
    if (code != 0)
        fail_msg("ended with %d:\n%s", code, lines);
}

/* ------------------------------------------------------------------ what only takes long */

static void scene_idle(void)
{
    leat_job *job = start(0);
    send(EVENTS);
    wait_for_copies(EVENTS);
    sleep_ms(3 * LIMIT_MS);
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    if (stats.stalled_ms != 0)
        _exit(1);
    leat_job_free(job);
}

static void nothing_to_do_is_no_standstill(void **state)
{
    (void)state;
    expect_health(scene_idle);
    assert_null(strstr(lines, "nothing has moved"));
}

/* How soon the watchdog looks is the machine's business. */
static void wait_until_it_says(const char *what)
{
    char said[4096];
    do {
        sleep_ms(50);
        ssize_t length = pread(STDERR_FILENO, said, sizeof said - 1, 0);
        said[length < 0 ? 0 : length] = '\0';
    } while (strstr(said, what) == NULL);
}

static void take_long_once(void)
{
    static atomic_bool done;
    if (!atomic_exchange(&done, true))
        wait_until_it_says("has been at work for");
}

static void scene_slow_callback(void)
{
    in_callback = take_long_once;
    leat_job *job = start(0);
    send(EVENTS);
    wait_for_copies(EVENTS);
    leat_job_stats stats; /* until the watchdog has looked again */
    do {
        sleep_ms(50);
        leat_job_get_stats(job, &stats);
    } while (stats.stalled_ms != 0);
    sleep_ms(50);
    leat_job_free(job);
}

static void a_slow_callback_is_named_and_goes_on(void **state)
{
    (void)state;
    expect_health(scene_slow_callback);
    expect_line("operator 'last' has been at work for");
    expect_line("goes on after");
}

static void sleep_a_third(void)
{
    sleep_ms(LIMIT_MS / 3);
}

static void scene_slow_restore(void)
{
    leave_state_behind();
    stalled_topic = "stalls-last-changelog";
    in_poll = sleep_a_third;
    twin.table.reader_poll = poll_records;
    atomic_store(&planted, true);
    leat_job *job = start(0);
    leat_job_free(job);
}

static void a_slow_restore_has_progress_of_its_own(void **state)
{
    (void)state;
    expect_health(scene_slow_restore);
    assert_null(strstr(lines, "stands still"));
}

static leat_status up_to_the_transaction(leat_log_reader *reader, const char *topic,
                                         uint32_t partition, int64_t *end)
{
    return twin.real->reader_position(reader, topic, partition, end, NULL);
}

static void scene_transaction(void)
{
    stalled_topic = "events";
    twin.table.reader_poll = poll_records;
    twin.table.readable_end = up_to_the_transaction;
    leat_job *job = start(0);
    atomic_store(&planted, true);
    send(EVENTS);
    wait_until_it_says("belongs to a transaction");
    sleep_ms(3 * LIMIT_MS);
    atomic_store(&planted, false); /* it is over */
    wait_for_copies(EVENTS);
    leat_job_free(job);
}

/* The other half of a_source_that_has_lost_its_brokers_for_good: here it is known why. */
static void records_of_a_transaction_that_is_not_over_are_named_and_waited_for(void **state)
{
    (void)state; /* R31 */
    expect_health(scene_transaction);
    expect_line("events partition 0: what follows 0 belongs to a transaction that is not over");
    assert_null(strstr(lines, "stands still"));
}

static void scene_stopped(void)
{
    in_callback = take_long_once; /* something waits while it is stopped */
    leat_job *job = start(0);
    send(EVENTS);
    pid_t self = getpid(), helper = fork();
    if (helper == 0) {
        sleep_ms(200);
        kill(self, SIGSTOP);
        sleep_ms(3 * LIMIT_MS + 2500);
        kill(self, SIGCONT);
        _exit(0);
    }
    wait_for_copies(EVENTS);
    leat_job_free(job);
}

static void time_in_which_the_process_was_stopped_does_not_count(void **state)
{
    (void)state;
    expect_health(scene_stopped);
    expect_line("the process was stopped for");
}

static bool wait_for_the_outside(void *arg, uint32_t partition, uint64_t index, void *record)
{
    (void)arg, (void)partition;
    struct event *event = record;
    if (index == 3)
        sleep_ms(12 * LIMIT_MS / 4);
    *event = (struct event){.user_id = leat_str_from("ann"), .timestamp_ms = (int64_t)index};
    return index < 6;
}

static void scene_generator(void)
{
    leat_error error = {0};
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "stalls", .log_handle = twin.log, .stall_limit_ms = LIMIT_MS / 4});
    leat_stream events = leat_from_generator(
        job, "outside", &event_type,
        &(leat_generator){.generate = wait_for_the_outside, .time_field = "timestamp_ms"});
    leat_to_fn(events, "taken", take, NULL);
    must(leat_job_run(job, &error), &error);
    leat_job_free(job);
}

/* It may have nothing to give; ten limits and more. */
static void a_generator_that_waits_is_never_ended(void **state)
{
    (void)state;
    expect_health(scene_generator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do_is_no_standstill),
        cmocka_unit_test(a_slow_callback_is_named_and_goes_on),
        cmocka_unit_test(a_slow_restore_has_progress_of_its_own),
        cmocka_unit_test(records_of_a_transaction_that_is_not_over_are_named_and_waited_for),
        cmocka_unit_test(time_in_which_the_process_was_stopped_does_not_count),
        cmocka_unit_test(a_generator_that_waits_is_never_ended),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    free(lines);
    return failures;
}
