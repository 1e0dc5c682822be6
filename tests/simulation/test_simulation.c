/* test_simulation.c - whole jobs on the simulated log under a seed and a virtual clock (R10, R21).
 *
 *   seed ─► ( send | step | let time pass | crash | stop | fail a commit | clean the log ) * 400
 *        ─► everything is let run to its end ─► sim_check: the log holds the fold of the input
 *
 * Swarm: each seed has its own odds, so that some worlds crash often and others never.
 * One seed again: test_simulation_simulation 1234. LEAT_SIM_SEEDS: how many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"
#include "engine/run.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include "simulation/simulation.h"

enum { ACTIONS = 400, INSTANCES_MAX = 3, SEEDS = 300, END_MS = 1000000 };

typedef struct world {
    leat__random random;
    leat_env env;
    int64_t now_us, time_ms; /* the clock; event time */
    int64_t highest_ms[SIM_PARTITIONS];
    leat_log *log;
    sim_input input;
    sim_setting setting;
    leat_job *jobs[INSTANCES_MAX];
    bool up[INSTANCES_MAX];
    int instances;
    leat_status fault; /* of the next `faults` commits */
    int faults;
    int crash_odds, fault_odds, clean_odds;
    int64_t behind_records; /* so many waiting: epochs are longer, and the database lags */
    char dir[40];
    char wrong[500];
} world;

static int below(world *w, int bound)
{
    return (int)leat__random_below(&w->random, (uint64_t)bound);
}

static int64_t now_ms(void *arg)
{
    return ((world *)arg)->now_us / 1000;
}

static int64_t monotonic_us(void *arg)
{
    return ((world *)arg)->now_us;
}

static uint64_t random_u64(void *arg)
{
    return leat__random_next(&((world *)arg)->random);
}

static leat_status before_commit(void *arg, const char *group, const char *instance,
                                 size_t record_count)
{
    world *w = arg;
    (void)group;
    (void)instance;
    (void)record_count;
    return w->faults-- > 0 ? w->fault : LEAT_OK;
}

/* ------------------------------------------------------------------ making it */

static void make_job(world *w, int i)
{
    static const char *const names[INSTANCES_MAX] = {"a", "b", "c"};
    sim_setting setting = w->setting;
    setting.instance = names[i];
    w->jobs[i] = sim_job(w->log, &setting, &w->input);
    w->jobs[i]->env = &w->env;
    w->jobs[i]->behind_records = w->behind_records;
}

static void open_world(world *w, uint64_t seed)
{
    *w = (world){.random = {seed}, .now_us = 1000000000, .time_ms = 10000};
    w->env = (leat_env){w, now_ms, monotonic_us, random_u64};
    w->setting.exchange = below(w, 2) == 0;
    w->setting.idle_ms = below(w, 3) == 0 ? 50 : 0;
    w->setting.buffer_bytes = below(w, 4) == 0 ? 2000 : 0;
    w->setting.in_memory = below(w, 2) == 0;
    bool alone = w->setting.exchange && w->setting.in_memory;
    w->instances = alone ? 1 : 1 + below(w, INSTANCES_MAX);
    if (below(w, 16) == 0 && w->instances == 1) {
        (void)snprintf(w->dir, sizeof(w->dir), "/tmp/leat-sim-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        w->setting.state_dir = w->dir;
    }
    w->crash_odds = below(w, 3) * 12; /* of a thousand actions */
    w->fault_odds = below(w, 3) * 20;
    w->clean_odds = below(w, 2) * 20;
    w->behind_records = below(w, 2) == 0 ? 0 : 1 + below(w, 8);
    assert_int_equal(leat__log_open_env(&w->log, "sim:simulation", NULL, &w->env, NULL), LEAT_OK);
    leat__sim_set_hooks(leat__sim_world_of(w->log),
                        &(leat__sim_hooks){.arg = w, .before_commit = before_commit});
    const leat_topic_opts opts = {.partition_count = SIM_PARTITIONS};
    assert_int_equal(leat_topic_create(w->log, "events", &opts, NULL), LEAT_OK);
    for (int i = 0; i < w->instances; i++)
        make_job(w, i);
}

static void close_world(world *w)
{
    for (int i = 0; i < w->instances; i++)
        leat_job_free(w->jobs[i]);
    leat_log_close(w->log);
    leat__sim_forget("simulation");
    char command[80];
    (void)snprintf(command, sizeof(command), "rm -rf %s", w->dir);
    if (w->dir[0] != '\0')
        assert_int_equal(system(command), 0);
}

/* ------------------------------------------------------------------ what may happen */

static void append(world *w, const char *user, const char *value)
{
    leat_log_record record = {.topic = "events",
                              .partition = LEAT_PARTITION_BY_KEY,
                              .timestamp_ms = w->time_ms,
                              .key = leat_str_from(user),
                              .value = leat_str_from(value)};
    assert_int_equal(leat_log_append(w->log, &record, 1, NULL), LEAT_OK);
}

static void send(world *w)
{
    sim_input *input = &w->input;
    if (input->count == SIM_EVENTS_MAX)
        return;
    sim_event *event = &input->events[input->count];
    w->time_ms += below(w, 60);
    *event = (sim_event){.id = (uint64_t)input->count,
                         .user = below(w, SIM_USERS),
                         .page = below(w, SIM_PAGES),
                         .ts_ms = w->time_ms - (below(w, 5) == 0 ? below(w, 2500) : below(w, 150)),
                         .amount = (uint64_t)below(w, 40),
                         .bad = below(w, 25) == 0};
    const sim_event *earlier = &input->events[input->count == 0 ? 0 : below(w, input->count)];
    if (input->count != 0 && below(w, 10) == 0 && !earlier->bad)
        *event = *earlier;
    input->count++;
    char user[8], json[200];
    (void)snprintf(user, sizeof(user), "u%d", event->user);
    int64_t *highest_ms = &w->highest_ms[leat__partition_of(leat_str_from(user), SIM_PARTITIONS)];
    int64_t over_ms =
        event->ts_ms - event->ts_ms % SIM_WINDOW_MS + SIM_WINDOW_MS - 1 + SIM_LATENESS_MS;
    event->may_be_late = w->setting.idle_ms != 0 || over_ms <= *highest_ms - SIM_DELAY_MS - 1;
    if (!event->bad && event->ts_ms > *highest_ms)
        *highest_ms = event->ts_ms;
    (void)snprintf(
        json, sizeof(json),
        event->bad
            ? "{\"id\":%llu,\"user\":\"%s\",\"page\":\"p%d\",\"ts_ms\":%lld,\"amount\":%llu"
            : "{\"id\":%llu,\"user\":\"%s\",\"page\":\"p%d\",\"ts_ms\":%lld,\"amount\":%llu}",
        (unsigned long long)event->id, user, event->page, (long long)event->ts_ms,
        (unsigned long long)event->amount);
    append(w, user, json);
}

static void crash(world *w, int i)
{
    leat__run_close(w->jobs[i]);
    w->up[i] = false;
}

/* A job may stop for a reason that was injected, and for no other. */
static bool step(world *w, int i)
{
    leat_error error = {0};
    bool busy = false;
    int faults = w->faults;
    w->up[i] = true;
    if (leat_job_step(w->jobs[i], &busy, &error) == LEAT_OK)
        return busy;
    bool injected = w->fault == error.status && (faults > 0 || error.status == LEAT_EABORTED);
    if (!injected && w->wrong[0] == '\0')
        (void)snprintf(w->wrong, sizeof(w->wrong), "instance %d stopped: %s: %.350s", i,
                       error.where, error.message);
    crash(w, i);
    return true;
}

static void stop_cleanly(world *w, int i)
{
    if (!w->up[i])
        return;
    leat_job_stop(w->jobs[i]);
    for (int steps = 0; steps < 20 && w->up[i]; steps++)
        (void)step(w, i);
    crash(w, i);
    atomic_store(&w->jobs[i]->stop_before_start, false);
}

static void act(world *w)
{
    static const leat_status faults[] = {LEAT_EABORTED, LEAT_EABORTED, LEAT_ENOSPC, LEAT_EIO};
    int i = below(w, w->instances);
    if (below(w, 1000) < w->crash_odds) {
        if (below(w, 3) == 0)
            stop_cleanly(w, i);
        else
            crash(w, i);
    } else if (below(w, 1000) < w->fault_odds) {
        w->fault = faults[below(w, 4)];
        w->faults = 1 + below(w, 3);
    } else if (below(w, 1000) < w->clean_odds) {
        assert_int_equal(leat_log_clean(w->log, NULL), LEAT_OK);
    } else if (below(w, 3) == 0) {
        for (int n = 1 + below(w, 4); n > 0; n--)
            send(w);
    } else if (below(w, 3) == 0) {
        w->now_us += below(w, 20) == 0 ? 6000000 : below(w, 3000); /* R24 now and then */
    } else {
        (void)step(w, i);
    }
}

/* ------------------------------------------------------------------ the end */

static void run_to_rest(world *w)
{
    for (int quiet = 0, rounds = 0; quiet < 20 && w->wrong[0] == '\0'; rounds++) {
        bool busy = false;
        w->now_us += 10000;
        for (int i = 0; i < w->instances; i++)
            busy |= step(w, i);
        quiet = busy ? 0 : quiet + 1;
        if (rounds > 20000)
            (void)snprintf(w->wrong, sizeof(w->wrong), "does not come to rest");
    }
}

/* One record in each partition that lies far behind: the watermark passes all that is open. */
static void let_time_end(world *w)
{
    for (uint32_t partition = 0; partition < SIM_PARTITIONS; partition++)
        for (int salt = 0;; salt++) {
            char name[16], json[200];
            (void)snprintf(name, sizeof(name), "end%d", salt);
            if (leat__partition_of(leat_str_from(name), SIM_PARTITIONS) != partition)
                continue;
            (void)snprintf(json, sizeof(json),
                           "{\"id\":%d,\"user\":\"%s\",\"page\":\"end\",\"ts_ms\":%d,\"amount\":0}",
                           SIM_EVENTS_MAX + (int)partition, name, END_MS);
            append(w, name, json);
            break;
        }
}

static const char *simulate(uint64_t seed)
{
    static world w;
    open_world(&w, seed);
    for (int n = 0; n < ACTIONS && w.wrong[0] == '\0'; n++)
        act(&w);
    w.faults = 0;
    run_to_rest(&w);
    let_time_end(&w);
    run_to_rest(&w);
    const char *wrong =
        w.wrong[0] != '\0' ? w.wrong : sim_check(w.log, &w.input, w.setting.exchange);
    if (wrong != NULL)
        print_error("seed %llu (%d instances%s%s): %s\n", (unsigned long long)seed, w.instances,
                    !w.setting.exchange   ? ""
                    : w.setting.in_memory ? ", exchange in memory"
                                          : ", exchange in the log",
                    w.dir[0] != '\0' ? ", rocksdb" : "", wrong);
    close_world(&w);
    return wrong;
}

static void what_is_committed_is_the_fold_of_the_input(void **state)
{
    (void)state; /* R2, R6, R7, R8, R10, R16, R19, R21, R23, R24, S3, W5, T1 */
    const char *seeds = getenv("LEAT_SIM_SEEDS");
    uint64_t count = seeds == NULL ? SEEDS : strtoull(seeds, NULL, 10);
    int failures = 0;
    for (uint64_t seed = 1; seed <= count && failures < 5; seed++)
        failures += simulate(seed) != NULL;
    assert_int_equal(failures, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return simulate(strtoull(argv[1], NULL, 10)) == NULL ? 0 : 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_committed_is_the_fold_of_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
