/* What belongs to another life of a topic is refused: R2, R16. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

#include "graph/graph.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include "log/sim/world.h"
#include <leat/leat.h>

enum { READ = 10, STEPS = 60 };

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

static bool keep_all(const void *record, void *arg)
{
    (void)record, (void)arg;
    return true;
}

/* ------------------------------------------------------------------ a job and its log */

typedef struct kind {
    const char *log; /* what its URL begins with */
    bool stateless, exchange;
} kind;

static int sequence;
static char place[64], url[128];

static int fresh_place(void **state)
{
    (void)state;
    (void)snprintf(place, sizeof(place), "/tmp/leat-identity-XXXXXX");
    return mkdtemp(place) == NULL ? -1 : 0;
}

static int remove_place(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof(command), "rm -rf %s", place);
    return system(command);
}

static leat_log *open_new(const kind *of)
{
    leat_log *log;
    leat_error error;
    if (strcmp(of->log, "sim") == 0)
        (void)snprintf(url, sizeof(url), "sim:identity-%d", sequence++);
    else
        (void)snprintf(url, sizeof(url), "embedded:%s/log-%d", place, sequence++);
    if (leat_log_open(&log, url, NULL, &error) != LEAT_OK)
        fail_msg("%s", error.message);
    return log;
}

static void make_topic(leat_log *log, const char *topic)
{
    const leat_topic_opts one = {.partition_count = 1};
    assert_int_equal(leat_topic_create(log, topic, &one, NULL), LEAT_OK);
}

static void append_events(leat_log *log, int count)
{
    for (int i = 0; i < count; i++) {
        leat_log_record record = {.topic = "events",
                                  .key = leat_str_from("ann"),
                                  .value = leat_str_from("{\"user\":\"ann\",\"ts_ms\":1000}")};
        assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
    }
}

static void make_again(leat_log *log, const char *topic)
{
    assert_int_equal(leat_topic_delete(log, topic, NULL), LEAT_OK);
    make_topic(log, topic);
}

static leat_job *job_on(leat_log *log, const kind *of, const char *state_dir)
{
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "life",
                         .log_handle = log,
                         .instance = "one",
                         .state_dir = state_dir,
                         .exchange = of->exchange ? LEAT_EXCHANGE_LOG : LEAT_EXCHANGE_AUTO});
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){.topic = "events",
                           .time_field = "ts_ms",
                           .partitioned_by = of->exchange || of->stateless ? NULL : "user"});
    if (of->stateless) {
        leat_to_log(leat_filter(events, "all", keep_all, NULL), "out",
                    &(leat_log_sink){.topic = "out", .key = "user"});
        return job;
    }
    leat_stream tallies = leat_process(leat_key_by(events, "user"), "tally", &counting, NULL);
    leat_to_log(tallies, "out", &(leat_log_sink){.topic = "out", .key = "user"});
    return job;
}

/* Steps for a while; what the job says. */
static leat_status step(leat_job *job, leat_error *error)
{
    bool busy;
    *error = (leat_error){0};
    leat_status status = LEAT_OK;
    for (int i = 0; i < STEPS && status == LEAT_OK; i++) {
        status = leat_job_step(job, &busy, error);
        if (!busy)
            usleep(1000);
    }
    return status;
}

static void run_well(leat_job *job)
{
    leat_error error;
    if (step(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
}

static void run_and_end(leat_log *log, const kind *of)
{
    leat_job *job = job_on(log, of, NULL);
    run_well(job);
    leat_job_free(job);
}

static int64_t written(leat_log *log)
{
    int64_t begin, end;
    assert_int_equal(leat_log_bounds(log, "out", 0, &begin, &end, NULL), LEAT_OK);
    return end;
}

static const kind kinds[] = {{.log = "sim"}, {.log = "embedded"}, {.log = "sim", .exchange = true}};

/* ------------------------------------------------------------------ the source's topic */

static void a_topic_made_again_is_not_read_on_however_long_it_is(void **state)
{
    (void)state; /* R16: 3 < 10: its end tells; from 10 on nothing but its id does */
    for (size_t k = 0; k < 2; k++)
        for (int count = 3; count <= 3 * READ; count += count == 3 ? READ - 3 : 2 * READ) {
            leat_log *log = open_new(&kinds[k]);
            make_topic(log, "events");
            append_events(log, READ);
            run_and_end(log, &kinds[k]);
            assert_int_equal(written(log), READ);
            make_again(log, "events");
            append_events(log, count);
            leat_job *job = job_on(log, &kinds[k], NULL);
            leat_error error;
            assert_int_equal(step(job, &error), LEAT_ECORRUPT);
            assert_string_equal(error.where, "events");
            assert_non_null(strstr(error.message, "made again"));
            assert_non_null(strstr(error.message, "new job name"));
            assert_int_equal(written(log), READ);
            leat_job_free(job);
            leat_log_close(log);
        }
}

static void nothing_of_a_topic_made_again_is_read_while_the_job_runs(void **state)
{
    (void)state; /* R16 */
    for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
        leat_log *log = open_new(&kinds[k]);
        make_topic(log, "events");
        append_events(log, READ);
        leat_job *job = job_on(log, &kinds[k], NULL);
        run_well(job);
        assert_int_equal(written(log), READ);
        make_again(log, "events");
        append_events(log, 2 * READ);
        leat_error error;
        assert_int_equal(step(job, &error), LEAT_ENOTFOUND);
        assert_string_equal(error.where, "events");
        leat_job_free(job);
        assert_int_equal(written(log), READ);
        leat_log_close(log);
    }
}

/* As a commit that was under way when the topic was deleted leaves it behind. */
static void an_offset_that_outlived_its_topic_is_refused(void **state)
{
    (void)state; /* R16 */
    static const kind of = {.log = "sim", .stateless = true};
    leat_log *log = open_new(&of);
    make_topic(log, "events");
    append_events(log, READ);
    run_and_end(log, &of);
    leat__sim *before = leat__log_sim_snapshot(log);
    make_again(log, "events");
    append_events(log, 2 * READ);
    for (const sim_offset *each = before->offsets; each != NULL; each = each->next)
        leat__sim_offset_set(leat__sim_world_of(log), each->group,
                             &(leat_log_offset){each->topic,
                                                each->partition,
                                                each->offset,
                                                {each->metadata, each->metadata_length}});
    leat_job *job = job_on(log, &of, NULL);
    leat_error error;
    assert_int_equal(step(job, &error), LEAT_ECORRUPT);
    assert_non_null(strstr(error.message, "made again"));
    assert_int_equal(written(log), READ);
    leat_job_free(job);
    leat__log_sim_snapshot_free(before);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ topics of the job's own */

static void a_changelog_made_again_under_the_job_is_never_taken_for_its_state(void **state)
{
    (void)state; /* R2: found by who restores, if the job has not found it (every 30 s) */
    static const kind of = {.log = "sim"};
    leat_log *log = open_new(&of);
    make_topic(log, "events");
    append_events(log, READ);
    leat_job *job = job_on(log, &of, NULL);
    run_well(job);
    assert_int_equal(leat_topic_delete(log, "life-tally-changelog", NULL), LEAT_OK);
    const leat_topic_opts compacted = {.partition_count = 1, .compacted = true};
    assert_int_equal(leat_topic_create(log, "life-tally-changelog", &compacted, NULL), LEAT_OK);
    append_events(log, 1);
    run_well(job);
    leat_job_free(job);
    job = job_on(log, &of, NULL);
    leat_error error;
    assert_int_equal(step(job, &error), LEAT_EVIOLATION);
    assert_non_null(strstr(error.message, "made again"));
    leat_job_free(job);
    leat_log_close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_made_again_is_not_read_on_however_long_it_is),
        cmocka_unit_test(nothing_of_a_topic_made_again_is_read_while_the_job_runs),
        cmocka_unit_test(an_offset_that_outlived_its_topic_is_refused),
        cmocka_unit_test(a_changelog_made_again_under_the_job_is_never_taken_for_its_state),
    };
    return cmocka_run_group_tests(tests, fresh_place, remove_place);
}
