/* What the engine owes to a log that may hang, to a group that moves while it restores, and to
 * state that does not fit its positions: R3, R7, R8, R13, R14, R16, R20, R25. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include "log/sim/world.h"
#include <leat/leat.h>
#include <leat/test.h>

enum { PARTITIONS = 2, MANY_USERS = 6000 };

struct event {
    leat_str user;
    int64_t ts_ms;
};
LEAT_RECORD(event, user, ts_ms);
struct tally {
    leat_str user;
    uint64_t count;
};
LEAT_RECORD(tally, user, count);

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    struct tally *tally = leat_mut(ctx, 0);
    tally->user = ((const struct event *)record)->user;
    tally->count++;
    leat_emit(ctx, tally);
    return LEAT_OK;
}

static const leat_process_op counting = {
    .in = &event_type,
    .out = &tally_type,
    .state = {{.name = "tally", .type = &tally_type}},
    .on_record = count_event,
};

static int sequence;
static char url[64], dir[64];

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof(url), "sim:rules-%d", sequence++);
    (void)snprintf(dir, sizeof(dir), "/tmp/leat-rules-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

typedef struct setting {
    const char *name, *op, *instance, *state_dir;
    leat_guarantee guarantee;
    int64_t transaction_timeout_ms;
} setting;

static leat_job *job_on(leat_log *log, const setting *with)
{
    leat_job *job =
        leat_job_new(&(leat_job_opts){.name = with->name == NULL ? "rules" : with->name,
                                      .log_handle = log,
                                      .instance = with->instance,
                                      .state_dir = with->state_dir,
                                      .guarantee = with->guarantee,
                                      .transaction_timeout_ms = with->transaction_timeout_ms});
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){.topic = "events", .time_field = "ts_ms", .partitioned_by = "user"});
    leat_stream tallies = leat_process(leat_key_by(events, "user"),
                                       with->op == NULL ? "tally" : with->op, &counting, NULL);
    leat_to_log(tallies, "tallies", &(leat_log_sink){.topic = "tallies", .key = "user"});
    return job;
}

static void append_event(leat_log *log, const char *user)
{
    char json[80];
    (void)snprintf(json, sizeof(json), "{\"user\":\"%s\",\"ts_ms\":1000}", user);
    leat_log_record record = {.topic = "events",
                              .partition = LEAT_PARTITION_BY_KEY,
                              .key = leat_str_from(user),
                              .value = leat_str_from(json)};
    assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
}

static void append_users(leat_log *log, int count)
{
    for (int i = 0; i < count; i++) {
        char user[16];
        (void)snprintf(user, sizeof(user), "user%d", i);
        append_event(log, user);
    }
}

/* ------------------------------------------------------------------ a clock of one's own */

static int64_t virtual_ms;
static void (*on_look)(void); /* called when the engine looks at the clock */

static int64_t now_ms(void *arg)
{
    (void)arg;
    return virtual_ms;
}

static int64_t monotonic_us(void *arg)
{
    (void)arg;
    if (on_look != NULL)
        on_look();
    return virtual_ms * 1000;
}

static uint64_t always_7(void *arg)
{
    (void)arg;
    return 7;
}

static const leat_env virtual_env = {NULL, now_ms, monotonic_us, always_7};

static leat_log *open_log(void)
{
    leat_log *log;
    virtual_ms = INT64_C(1767225600000);
    on_look = NULL;
    assert_int_equal(leat__log_open_env(&log, url, NULL, &virtual_env, NULL), LEAT_OK);
    const leat_topic_opts opts = {.partition_count = PARTITIONS};
    assert_int_equal(leat_topic_create(log, "events", &opts, NULL), LEAT_OK);
    return log;
}

static leat_job *virtual_job(leat_log *log, const setting *with)
{
    leat_job *job = job_on(log, with);
    job->env = &virtual_env;
    return job;
}

/* Steps until nothing more is done; what the job says. */
static leat_status run_all(leat_job *job, leat_error *error)
{
    bool busy;
    *error = (leat_error){0};
    for (int i = 0; i < 100; i++) {
        virtual_ms += 2;
        leat_status status = leat_job_step(job, &busy, error);
        if (status != LEAT_OK)
            return status;
    }
    return LEAT_OK;
}

static void run_well(leat_job *job)
{
    leat_error error;
    if (run_all(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

/* A process that counted what is in the log and ended. */
static void run_and_end(leat_log *log, const setting *with)
{
    leat_job *job = virtual_job(log, with);
    run_well(job);
    leat_job_free(job);
}

static int64_t records_in(leat_log *log, const char *topic)
{
    int64_t all = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        int64_t begin, end;
        assert_int_equal(leat_log_bounds(log, topic, p, &begin, &end, NULL), LEAT_OK);
        all += end;
    }
    return all;
}

/* ------------------------------------------------------------------ R3: the log hangs */

static bool stops_itself; /* in the call, for as long as the parent wants */

static void stop_itself(void)
{
    if (stops_itself)
        (void)kill(getpid(), SIGSTOP);
    stops_itself = false;
}

static leat_status never_answer(void *arg, const char *group, const char *instance,
                                size_t record_count)
{
    (void)group, (void)instance, (void)record_count;
    int *commits = arg;
    while ((*commits)-- == 0) {
        stop_itself();
        sleep(60);
    }
    return LEAT_OK;
}

static int run_on_a_log_that_hangs(void)
{
    leat_log *log;
    int commits = 1; /* before it hangs */
    if (leat_log_open(&log, url, NULL, NULL) != LEAT_OK ||
        leat_topic_create(log, "events", &(leat_topic_opts){.partition_count = 1}, NULL) != LEAT_OK)
        return 1;
    leat__sim_set_hooks(leat__sim_world_of(log),
                        &(leat__sim_hooks){.arg = &commits, .before_commit = never_answer});
    leat_job *job = job_on(log, &(setting){.transaction_timeout_ms = 100});
    append_event(log, "ann");
    if (leat_job_start(job, NULL) != LEAT_OK)
        return 2;
    for (leat_job_stats stats = {0}; stats.epochs == 0; leat_job_get_stats(job, &stats))
        usleep(10000);
    append_event(log, "bob");
    return leat_job_wait(job, NULL) == LEAT_OK ? 3 : 4;
}

static leat_status answer_after_a_second(void *arg, const char *group, const char *instance,
                                         size_t record_count)
{
    (void)arg, (void)group, (void)instance, (void)record_count;
    stop_itself();
    sleep(1);
    return LEAT_OK;
}

static int run_on_a_log_that_is_slow(void)
{
    leat_log *log;
    if (leat_log_open(&log, url, NULL, NULL) != LEAT_OK ||
        leat_topic_create(log, "events", &(leat_topic_opts){.partition_count = 1}, NULL) != LEAT_OK)
        return 1;
    leat__sim_set_hooks(leat__sim_world_of(log),
                        &(leat__sim_hooks){.before_commit = answer_after_a_second});
    leat_job *job = job_on(log, &(setting){.transaction_timeout_ms = 100});
    append_event(log, "ann");
    if (leat_job_start(job, NULL) != LEAT_OK)
        return 2;
    for (leat_job_stats stats = {0}; stats.epochs == 0; leat_job_get_stats(job, &stats))
        usleep(10000);
    leat_job_stop(job);
    return leat_job_wait(job, NULL) == LEAT_OK ? 0 : 3;
}

/* Runs fn in a process of its own; what it wrote to stderr. */
static int in_child(int (*fn)(void), unsigned stop_s, char *said, size_t said_bytes)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(60);
        (void)dup2(ends[1], STDERR_FILENO);
        stops_itself = stop_s != 0;
        _exit(fn());
    }
    close(ends[1]);
    int status;
    if (stop_s != 0) { /* from where it stops itself on */
        assert_int_equal(waitpid(child, &status, WUNTRACED), child);
        assert_true(WIFSTOPPED(status));
        sleep(stop_s);
        assert_int_equal(kill(child, SIGCONT), 0);
    }
    size_t length = 0;
    for (ssize_t got = 1; got > 0 && length + 1 < said_bytes; length += (size_t)got) {
        got = read(ends[0], said + length, said_bytes - 1 - length);
        got = got < 0 ? 0 : got;
    }
    said[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_commit_that_hangs_ends_the_process_and_says_where(void **state)
{
    (void)state; /* R3, R30 */
    char said[4000];
    assert_int_equal(in_child(run_on_a_log_that_hangs, 0, said, sizeof(said)), 75);
    assert_int_equal(leat_status_exit_code(LEAT_ETIMEOUT), 75);
    for (const char **part =
             (const char *[]){"commit, phase commit", "since 5.", "limit 5.1 s", "exit code 75",
                              "partition 0 (worker 0): events at 2, ", "committed 1; open epoch ",
                              "(1 outputs, ", NULL};
         *part != NULL; part++)
        if (strstr(said, *part) == NULL)
            fail_msg("'%s' is not in: %s", *part, said);
}

/* Longer than a commit may take; the watchdog looks at the same clock as before the stop. */
static void a_process_that_was_stopped_did_not_wait_for_the_log(void **state)
{
    (void)state; /* R3 */
    char said[4000];
    int code = in_child(run_on_a_log_that_is_slow, 7, said, sizeof(said));
    if (code != 0 || strstr(said, "was stopped for ") == NULL)
        fail_msg("%d: %s", code, said);
    code = in_child(run_on_a_log_that_hangs, 3, said, sizeof(said)); /* it hangs all the same */
    if (code != 75 || strstr(said, "was stopped for ") == NULL || strstr(said, "since 5.") == NULL)
        fail_msg("%d: %s", code, said);
}

/* ------------------------------------------------------------------ R8, R20: long restores */

static leat_job *watched;
static leat_log_member *rival;
static leat_log *watched_log;
static int looks;
static leat_job_stats seen;
static uint32_t told_restoring;

static bool count_restoring(void *arg, const leat_partition_stats *stats)
{
    (void)arg;
    told_restoring += stats->state == LEAT_RESTORING;
    assert_string_equal(stats->stage, "tally");
    return true;
}

static void join_rival(void)
{
    const char *topic = "events";
    const leat_log_group group = {
        .group = "rules", .instance = "rival", .topics = &topic, .topic_count = 1};
    assert_int_equal(leat_log_join(watched_log, &group, NULL, NULL, &rival, NULL), LEAT_OK);
}

/* Somewhere in the middle of the restore: looks at it from outside, and another process joins. */
static void interfere(void)
{
    static bool inside;
    if (inside)
        return;
    inside = true;
    virtual_ms += 50;
    leat_job_get_stats(watched, &seen);
    if (rival == NULL && seen.restore_done > 0 && seen.restore_done < seen.restore_total) {
        looks++;
        leat_job_each_partition(watched, count_restoring, NULL);
        join_rival();
    }
    inside = false;
}

static void a_restore_is_abandoned_when_its_partitions_are_taken_away(void **state)
{
    (void)state; /* R7, R8, R20 */
    leat_log *log = watched_log = open_log();
    append_users(log, MANY_USERS);
    run_and_end(log, &(setting){.instance = "slow"});
    leat_job *job = watched = virtual_job(log, &(setting){.instance = "slow"});
    rival = NULL;
    looks = 0;
    told_restoring = 0;
    on_look = interfere;
    bool busy;
    assert_int_equal(leat_job_step(job, &busy, NULL), LEAT_OK);
    on_look = NULL;
    assert_int_equal(looks, 1);
    assert_int_equal(told_restoring, PARTITIONS);
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.partitions_ready, 1); /* the rival has the other one */
    leat_log_event event;
    assert_int_equal(leat_log_member_poll(rival, &event, NULL), LEAT_OK);
    assert_int_equal(event.kind, LEAT_LOG_ASSIGNED); /* the slow one has let go */
    leat_log_leave(rival);
    append_users(log, 10);
    run_well(job);
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.state, LEAT_READY);
    assert_int_equal(stats.partitions_ready, PARTITIONS);
    assert_int_equal(stats.restore_left_ms, 0);
    leat_job_stop(job);
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.state, LEAT_DRAINING);
    assert_int_equal(records_in(log, "tallies"), MANY_USERS + 10);
    leat_job_free(job);
    leat_log_close(log);
}

static void stop_in_the_middle(void)
{
    static bool inside;
    if (inside)
        return;
    inside = true;
    leat_job_get_stats(watched, &seen);
    if (seen.restore_done > 0 && seen.restore_done < seen.restore_total) {
        looks++;
        leat_job_stop(watched);
    }
    inside = false;
}

static void a_stop_ends_a_restore_at_once(void **state)
{
    (void)state; /* R8 */
    leat_log *log = open_log();
    append_users(log, MANY_USERS);
    run_and_end(log, &(setting){0});
    leat_job *job = watched = virtual_job(log, &(setting){0});
    looks = 0;
    on_look = stop_in_the_middle;
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    on_look = NULL;
    assert_true(looks > 0);
    assert_true(seen.restore_done < seen.restore_total);
    assert_int_equal(leat_job_wait(job, NULL), LEAT_OK);
    leat_job_free(job);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ R16, R2: state is missing */

static void positions_ahead_of_the_state_are_a_violation(void **state)
{
    (void)state; /* R16: the state of three events is gone, their positions are not */
    leat_log *log = open_log();
    append_users(log, 3);
    run_and_end(log, &(setting){0});
    assert_int_equal(leat_topic_delete(log, "rules-tally-changelog", NULL), LEAT_OK);
    append_users(log, 3);
    leat_job *job = virtual_job(log, &(setting){0});
    leat_error error;
    assert_int_equal(run_all(job, &error), LEAT_EVIOLATION);
    assert_int_equal(leat_status_exit_code(LEAT_EVIOLATION), 84);
    assert_string_equal(error.where, "rules-tally-changelog");
    assert_non_null(strstr(error.message, "new job name"));
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.eos_violations, 1); /* R2 */
    leat_job_free(job);
    assert_int_equal(records_in(log, "tallies"), 3);
    leat_log_close(log);
}

static void positions_ahead_of_the_state_are_normal_without_exactly_once(void **state)
{
    (void)state; /* R16 */
    for (int g = LEAT_AT_LEAST_ONCE; g <= LEAT_AT_MOST_ONCE; g++) {
        (void)snprintf(url, sizeof(url), "sim:rules-%d", sequence++);
        leat_log *log = open_log();
        const setting with = {.guarantee = (leat_guarantee)g};
        append_users(log, 3);
        run_and_end(log, &with);
        assert_int_equal(leat_topic_delete(log, "rules-tally-changelog", NULL), LEAT_OK);
        append_users(log, 3);
        run_and_end(log, &with);
        assert_int_equal(records_in(log, "tallies"), 6);
        leat_log_close(log);
    }
}

static void append_rogue(leat_log *log)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        leat_log_record rogue = {.topic = "rules-tally-changelog",
                                 .partition = p,
                                 .key = LEAT_STR("half of an epoch"),
                                 .value = LEAT_STR("x")};
        assert_int_equal(leat_log_append(log, &rogue, 1, NULL), LEAT_OK);
    }
}

static void a_torn_epoch_is_normal_without_exactly_once(void **state)
{
    (void)state; /* R2: records and offsets are not written together there */
    leat_log *log = open_log();
    const setting weak = {.guarantee = LEAT_AT_LEAST_ONCE};
    append_users(log, 10);
    run_and_end(log, &weak);
    append_rogue(log);
    append_users(log, 10);
    run_and_end(log, &weak);
    append_users(log, 10);
    run_and_end(log, &weak);
    append_rogue(log);
    append_users(log, 10);
    run_and_end(log, &(setting){0}); /* and stays it when the guarantee was changed */
    run_and_end(log, &(setting){0});
    assert_int_equal(records_in(log, "tallies"), 40);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ R13: old copies */

static uint64_t restored_by(leat_log *log, const char *state_dir)
{
    leat_job *job = virtual_job(log, &(setting){.state_dir = state_dir, .instance = "0"});
    run_well(job);
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    leat_job_free(job);
    return stats.restore_total;
}

static void a_copy_older_than_half_the_retention_of_deletes_is_built_anew(void **state)
{
    (void)state; /* R13 */
    char old[80], other[80];
    (void)snprintf(old, sizeof(old), "%s/old", dir);
    (void)snprintf(other, sizeof(other), "%s/other", dir);
    leat_log *log = open_log();
    append_users(log, 50);
    (void)restored_by(log, old);
    int64_t all = records_in(log, "rules-tally-changelog");
    virtual_ms += LEAT_HOURS(13);
    assert_true(restored_by(log, old) <= 2 * PARTITIONS); /* old, but nothing has happened since */
    append_users(log, 2);
    (void)restored_by(log, other);
    virtual_ms += LEAT_HOURS(11);
    assert_true(restored_by(log, old) < (uint64_t)all); /* younger than half a day */
    append_users(log, 50);
    (void)restored_by(log, other);
    virtual_ms += LEAT_HOURS(13);
    assert_true(restored_by(log, old) >= (uint64_t)all); /* from the beginning */
    leat_log_close(log);
}

/* ------------------------------------------------------------------ R30: a log that is busy */

static leat_status refuse_for_now(void *arg, const char *group, const char *instance,
                                  size_t record_count)
{
    (void)group, (void)instance, (void)record_count;
    return (*(int *)arg)-- > 0 ? LEAT_EAGAIN : LEAT_OK;
}

static void a_log_that_is_busy_is_asked_again_but_not_for_ever(void **state)
{
    (void)state; /* R30 */
    for (int refusals = 3; refusals <= 1000; refusals += 997) {
        (void)snprintf(url, sizeof(url), "sim:rules-%d", sequence++);
        leat_log *log = open_log();
        int left = refusals;
        leat__sim_set_hooks(leat__sim_world_of(log),
                            &(leat__sim_hooks){.arg = &left, .before_commit = refuse_for_now});
        append_users(log, 3);
        leat_job *job = virtual_job(log, &(setting){0});
        leat_error error;
        assert_int_equal(run_all(job, &error), refusals == 3 ? LEAT_OK : LEAT_EAGAIN);
        assert_int_equal(records_in(log, "tallies"), refusals == 3 ? 3 : 0);
        leat_job_free(job);
        leat__sim_set_hooks(leat__sim_world_of(log), NULL);
        leat_log_close(log);
    }
}

/* ------------------------------------------------------------------ R14: partitions, names */

static void set_partitions(leat_log *log, const char *topic, uint32_t count)
{
    for (sim_topic *each = leat__sim_world_of(log)->topics; each != NULL; each = each->next)
        if (strcmp(each->name, topic) == 0)
            each->opts.partition_count = count;
}

static void a_topic_that_grows_ends_the_job_and_says_what_to_do(void **state)
{
    (void)state; /* R14 */
    leat_log *log = open_log();
    append_users(log, 5);
    leat_job *job = virtual_job(log, &(setting){0});
    run_well(job);
    set_partitions(log, "events", PARTITIONS + 2);
    run_well(job); /* it looks every 30 s */
    virtual_ms += 30000;
    leat_error error;
    assert_int_equal(run_all(job, &error), LEAT_EGRAPH);
    assert_string_equal(error.where, "events");
    assert_non_null(strstr(error.message, "had 2 partitions"));
    leat_job_free(job);
    job = virtual_job(log, &(setting){0});
    assert_int_equal(run_all(job, &error), LEAT_EGRAPH);
    assert_string_equal(error.where, "rules-tally-changelog");
    assert_non_null(strstr(error.message, "use a new job name"));
    leat_job_free(job);
    set_partitions(log, "events", PARTITIONS);
    leat_log_close(log);
}

static void two_jobs_whose_names_meet_are_told_apart(void **state)
{
    (void)state; /* R14: "a-b", "c" and "a", "b-c" */
    leat_log *log = open_log();
    append_users(log, 5);
    run_and_end(log, &(setting){.name = "a-b", .op = "c"});
    leat_job *job = virtual_job(log, &(setting){.name = "a", .op = "b-c"});
    leat_error error;
    assert_int_equal(run_all(job, &error), LEAT_EGRAPH);
    assert_string_equal(error.where, "a-b-c-changelog");
    assert_non_null(strstr(error.message, "another job"));
    leat_job_free(job);
    run_and_end(log, &(setting){.name = "a-b", .op = "c"});
    leat_log_close(log);
}

/* ------------------------------------------------------------------ R19: too big */

enum { TOO_BIG_BYTES = (1 << 20) + 1 };

static leat_status emit_what_is_too_big_for_bob(leat_ctx *ctx, const void *record)
{
    static char huge[TOO_BIG_BYTES];
    struct tally *tally = leat_mut(ctx, 0);
    tally->user = ((const struct event *)record)->user;
    tally->count++;
    struct tally out = *tally;
    memset(huge, 'x', sizeof(huge));
    leat_emit(ctx, &out);
    if (leat_str_equal(out.user, LEAT_STR("bob")) && tally->count == 1)
        out.user = (leat_str){huge, sizeof(huge)};
    leat_emit(ctx, &out);
    return LEAT_OK;
}

static void copy_tally(const void *in, void *out, void *arg)
{
    (void)arg;
    *(struct tally *)out = *(const struct tally *)in;
}

static leat_job *big_job(leat_on_error policy, bool map)
{
    static leat_process_op op;
    op = (leat_process_op){.in = &event_type,
                           .out = &tally_type,
                           .state = {{.name = "tally", .type = &tally_type}},
                           .on_record = emit_what_is_too_big_for_bob,
                           .on_error = policy};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "rules", .log = url});
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){.topic = "events", .time_field = "ts_ms", .partitioned_by = "user"});
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "tally", &op, NULL);
    if (map)
        tallies = leat_map(tallies, "copy", &tally_type, copy_tally, NULL);
    leat_to_log(tallies, "tallies", &(leat_log_sink){.topic = "tallies", .key = "user"});
    return job;
}

static void a_record_too_big_for_the_log_is_the_callbacks_failure_and_leaves_no_trace(void **state)
{
    (void)state; /* R19: by the operator's policy, before state is touched */
    for (int map = 0; map <= 1; map++) {
        (void)snprintf(url, sizeof(url), "sim:rules-%d", sequence++);
        leat_test *test = leat_test_new(big_job(LEAT_ON_ERROR_DEAD_LETTER, map == 1));
        leat_test_send_keyed(test, "events", "bob", "{\"user\":\"bob\",\"ts_ms\":1}");
        leat_test_send_keyed(test, "events", "ann", "{\"user\":\"ann\",\"ts_ms\":1}");
        assert_int_equal(leat_test_run(test), LEAT_OK);
        assert_null(leat_test_state_json(test, "tally", "tally", "bob"));
        const char *letter = leat_test_next_json(test, "dead-letters");
        assert_non_null(letter);
        assert_non_null(strstr(letter, "\"operator\":\"tally\""));
        assert_non_null(strstr(letter, "over the log's bound"));
        for (int i = 0; i < 2; i++) /* nothing of bob's, not what was small either */
            assert_string_equal(leat_test_next_json(test, "tallies"),
                                "{\"user\":\"ann\",\"count\":1}");
        assert_null(leat_test_next_json(test, "tallies"));
        leat_test_free(test);
    }
}

static leat_status emit_half_of_what_is_too_big_for_bob(leat_ctx *ctx, const void *record)
{
    static char half[TOO_BIG_BYTES / 2 + 1];
    const struct event *event = record;
    memset(half, 'x', sizeof(half));
    bool bob = leat_str_equal(event->user, LEAT_STR("bob"));
    leat_emit(ctx, &(struct tally){bob ? (leat_str){half, sizeof(half)} : event->user, 1});
    return LEAT_OK;
}

static leat_status pass_on(leat_ctx *ctx, const void *record)
{
    leat_emit(ctx, record);
    return LEAT_OK;
}

static void a_key_that_makes_a_record_too_big_for_an_exchange_counts(void **state)
{
    (void)state; /* R19: the key is not known before key_by, which only passes on */
    static const leat_process_op first = {.in = &event_type,
                                          .out = &tally_type,
                                          .on_record = emit_half_of_what_is_too_big_for_bob,
                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER};
    static const leat_process_op second = {.in = &tally_type,
                                           .out = &tally_type,
                                           .state = {{.name = "tally", .type = &tally_type}},
                                           .on_record = pass_on,
                                           .on_error = LEAT_ON_ERROR_DEAD_LETTER};
    (void)snprintf(url, sizeof(url), "sim:rules-%d", sequence++);
    leat_job *job =
        leat_job_new(&(leat_job_opts){.name = "rules", .log = url, .exchange = LEAT_EXCHANGE_LOG});
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){.topic = "events", .time_field = "ts_ms", .partitioned_by = "user"});
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "first", &first, NULL);
    tallies = leat_process(leat_key_by(tallies, "user"), "second", &second, NULL);
    leat_to_log(tallies, "tallies", &(leat_log_sink){.topic = "tallies"});
    leat_test *test = leat_test_new(job);
    leat_test_send_keyed(test, "events", "bob", "{\"user\":\"bob\",\"ts_ms\":1}");
    leat_test_send_keyed(test, "events", "ann", "{\"user\":\"ann\",\"ts_ms\":1}");
    assert_int_equal(leat_test_run(test), LEAT_OK);
    const char *letter = leat_test_next_json(test, "dead-letters");
    assert_non_null(letter);
    assert_non_null(strstr(letter, "\"operator\":\"first\""));
    assert_non_null(strstr(letter, "over the log's bound"));
    assert_string_equal(leat_test_next_json(test, "tallies"), "{\"user\":\"ann\",\"count\":1}");
    assert_null(leat_test_next_json(test, "tallies"));
    leat_test_free(test);
}

static void by_default_a_record_too_big_stops_the_job(void **state)
{
    (void)state; /* R19 */
    leat_test *test = leat_test_new(big_job(LEAT_ON_ERROR_STOP, false));
    leat_test_send_keyed(test, "events", "bob", "{\"user\":\"bob\",\"ts_ms\":1}");
    assert_int_equal(leat_test_run(test), LEAT_ETOOBIG);
    assert_string_equal(leat_test_error(test)->where, "tally");
    assert_non_null(strstr(leat_test_error(test)->message, "offset 0"));
    leat_test_free(test);
}

/* ------------------------------------------------------------------ R25: instances */

static void without_a_name_the_state_directory_names_the_instance(void **state)
{
    (void)state; /* R25, R15: the same directory is the same instance, another one is another */
    char one[80], two[80];
    (void)snprintf(one, sizeof(one), "%s/one", dir);
    (void)snprintf(two, sizeof(two), "%s/two", dir);
    leat_log *log = open_log();
    leat_job *first = job_on(log, &(setting){.state_dir = one});
    leat_job *second = job_on(log, &(setting){.state_dir = two});
    bool busy;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(leat_job_step(first, &busy, NULL), LEAT_OK);
        assert_int_equal(leat_job_step(second, &busy, NULL), LEAT_OK);
    }
    leat_job_stats stats[2];
    leat_job_get_stats(first, &stats[0]);
    leat_job_get_stats(second, &stats[1]);
    assert_int_equal(stats[0].partitions_ready, 1);
    assert_int_equal(stats[1].partitions_ready, 1);
    leat_job_free(second);
    leat_job_free(first);
    leat_log_close(log);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_log, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(a_commit_that_hangs_ends_the_process_and_says_where),
        TEST(a_process_that_was_stopped_did_not_wait_for_the_log),
        TEST(a_restore_is_abandoned_when_its_partitions_are_taken_away),
        TEST(a_stop_ends_a_restore_at_once),
        TEST(positions_ahead_of_the_state_are_a_violation),
        TEST(positions_ahead_of_the_state_are_normal_without_exactly_once),
        TEST(a_torn_epoch_is_normal_without_exactly_once),
        TEST(a_copy_older_than_half_the_retention_of_deletes_is_built_anew),
        TEST(a_log_that_is_busy_is_asked_again_but_not_for_ever),
        TEST(a_topic_that_grows_ends_the_job_and_says_what_to_do),
        TEST(two_jobs_whose_names_meet_are_told_apart),
        TEST(a_record_too_big_for_the_log_is_the_callbacks_failure_and_leaves_no_trace),
        TEST(a_key_that_makes_a_record_too_big_for_an_exchange_counts),
        TEST(by_default_a_record_too_big_stops_the_job),
        TEST(without_a_name_the_state_directory_names_the_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
