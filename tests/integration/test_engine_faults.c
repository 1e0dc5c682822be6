/* What a job does when the log refuses, fences, moves its partitions, cleans, forgets or lies:
 * rules R2, R5, R7-R11, R14-R17, R24, R30. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "integration/commit_fault.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include "log/sim/world.h"
#include <leat/leat.h>
#include <leat/test.h>

struct event {
    leat_str user_id;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, timestamp_ms);
struct user_count {
    leat_str user_id;
    uint64_t event_count;
};
LEAT_RECORD(user_count, user_id, event_count);

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    struct user_count *count = leat_mut(ctx, 0);
    count->user_id = ((const struct event *)record)->user_id;
    count->event_count++;
    leat_emit(ctx, count);
    return LEAT_OK;
}

static const leat_process_op counting = {
    .in = &event_type,
    .out = &user_count_type,
    .state = {{.name = "count", .type = &user_count_type}},
    .on_record = count_event,
};

static int sequence;
static char url[64];

static leat_job *count_job(const char *instance)
{
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "counts", .log = url, .instance = instance, .restart_limit = 4});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "events",
                                                          .time_field = "timestamp_ms",
                                                          .partitioned_by = "user_id"});
    leat_stream counts = leat_process(leat_key_by(events, "user_id"), "count", &counting, NULL);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "counts", .key = "user_id"});
    return job;
}

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof(url), "sim:faults-%d", sequence++);
    return 0;
}

static void send(leat_test *test, int user, int64_t timestamp_ms)
{
    char key[16], json[100];
    (void)snprintf(key, sizeof(key), "user%d", user);
    (void)snprintf(json, sizeof(json), "{\"user_id\":\"%s\",\"timestamp_ms\":%lld}", key,
                   (long long)timestamp_ms);
    leat_test_send_keyed(test, "events", key, json);
}

/* Per user 1, 2, 3 ... in the output, `total` in all. */
static void assert_counted_once(leat_test *test, int total)
{
    uint64_t seen[32] = {0};
    leat_log_record record;
    for (; leat_test_next(test, "counts", &record); total--) {
        char text[100];
        int user;
        unsigned long long count;
        (void)snprintf(text, sizeof(text), "%.*s", (int)record.value.length, record.value.data);
        assert_int_equal(
            sscanf(text, "{\"user_id\":\"user%d\",\"event_count\":%llu}", &user, &count), 2);
        assert_true(user >= 0 && user < 32);
        assert_int_equal(count, ++seen[user]);
    }
    assert_int_equal(total, 0);
}

/* ------------------------------------------------------------------ commits that fail */

static leat_log *with_fault(struct fault *fault)
{
    leat_log *log;
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    inject(log, fault);
    return log;
}

static void an_aborted_epoch_is_done_again_and_leaves_no_trace(void **state)
{
    (void)state; /* R10 */
    for (int skip = 0; skip < 5; skip++) {
        (void)fresh_log(NULL);
        leat_test *test = leat_test_new(count_job(NULL));
        struct fault fault = {.status = LEAT_EABORTED, .skip = skip, .times = 3};
        leat_log *log = with_fault(&fault);
        for (int i = 0; i < 60; i++) {
            send(test, i % 7, 1000 + i);
            (void)leat_test_step(test);
            if (i % 5 == 0)
                leat_test_advance(test, 2);
        }
        assert_int_equal(leat_test_run(test), LEAT_OK);
        assert_true(fault.times < 3);
        assert_counted_once(test, 60);
        leat_log_close(log);
        leat_test_free(test);
    }
}

static void a_server_that_is_away_for_a_while_is_waited_for(void **state)
{
    (void)state; /* R30 */
    for (int times = 1; times < 1000; times += 996) {
        (void)fresh_log(NULL);
        leat_test *test = leat_test_new(count_job(NULL));
        struct fault fault = {.status = LEAT_EUNREACHABLE, .times = times};
        leat_log *log = with_fault(&fault);
        send(test, 1, 1000);
        assert_int_equal(leat_test_run(test), times == 1 ? LEAT_OK : LEAT_EUNREACHABLE);
        if (times == 1)
            assert_counted_once(test, 1);
        else
            assert_non_null(strstr(leat_test_error(test)->message, "gave up after 4 rewinds"));
        leat_log_close(log);
        leat_test_free(test);
    }
}

static void rewinding_for_ever_is_given_up(void **state)
{
    (void)state; /* R30 */
    leat_test *test = leat_test_new(count_job(NULL));
    struct fault fault = {.status = LEAT_EABORTED, .times = 1000};
    leat_log *log = with_fault(&fault);
    send(test, 1, 1000);
    assert_int_equal(leat_test_run(test), LEAT_EABORTED);
    assert_non_null(strstr(leat_test_error(test)->message, "gave up after 4 rewinds"));
    leat_log_close(log);
    leat_test_free(test);
}

static void a_full_disk_stops_the_job_at_once_and_loses_nothing(void **state)
{
    (void)state; /* R17: never tried again by itself */
    leat_test *test = leat_test_new(count_job(NULL));
    struct fault fault = {.status = LEAT_ENOSPC, .times = 1};
    leat_log *log = with_fault(&fault);
    send(test, 1, 1000);
    assert_int_equal(leat_test_run(test), LEAT_ENOSPC);
    leat_test_crash(test);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_counted_once(test, 1);
    leat_log_close(log);
    leat_test_free(test);
}

static void a_second_instance_under_the_same_name_fences_the_first(void **state)
{
    (void)state; /* R15: the zombie writes nothing more */
    leat_test *zombie = leat_test_new(count_job("same"));
    send(zombie, 1, 1000);
    assert_int_equal(leat_test_run(zombie), LEAT_OK);
    leat_test *heir = leat_test_new(count_job("same"));
    (void)leat_test_step(heir);
    send(heir, 1, 1001);
    assert_int_equal(leat_test_run(zombie), LEAT_EFENCED);
    assert_int_equal(leat_test_run(heir), LEAT_OK);
    assert_counted_once(heir, 2);
    leat_test_free(heir);
    leat_test_free(zombie);
}

/* ------------------------------------------------------------------ partitions that move */

static void partitions_move_between_processes_and_state_follows(void **state)
{
    (void)state; /* R7, R8, R10 */
    for (uint64_t seed = 1; seed <= 60; seed++) {
        (void)fresh_log(NULL);
        leat__random random = {seed};
        leat_test *tests[3] = {leat_test_new(count_job("a")), leat_test_new(count_job("b")),
                               leat_test_new(count_job("c"))};
        bool running[3] = {true, false, false};
        int sent = 0;
        (void)leat_test_step(tests[0]);
        for (int i = 0; i < 400; i++) {
            size_t who = leat__random_below(&random, 3);
            switch (leat__random_below(&random, 8)) {
            case 0:
                if (sent < 150)
                    send(tests[0], (int)leat__random_below(&random, 9), 1000 + sent++);
                break;
            case 1:
                if (running[who] && leat__random_below(&random, 6) == 0)
                    leat_test_crash(tests[who]), running[who] = who == 0;
                break;
            case 2:
                running[who] = true;
                break;
            default:
                if (!running[who])
                    break;
                (void)leat_test_step(tests[who]);
                if (leat_test_error(tests[who])->status != LEAT_OK)
                    fail_msg("seed %d: %s", (int)seed, leat_test_error(tests[who])->message);
            }
        }
        for (int round = 0; round < 50; round++)
            for (int who = 0; who < 3; who++)
                if (running[who])
                    assert_int_equal(leat_test_run(tests[who]), LEAT_OK);
        assert_counted_once(tests[0], sent);
        for (int who = 2; who >= 0; who--)
            leat_test_free(tests[who]);
    }
}

/* ------------------------------------------------------------------ changelogs that are cleaned */

static leat_log *open_log(const char *at)
{
    leat_log *log;
    assert_int_equal(leat_log_open(&log, at, NULL, NULL), LEAT_OK);
    return log;
}

/* Calls fn for each record of a topic, as a reader meets them. */
static void each_record(leat_log *log, const char *topic,
                        void (*fn)(void *arg, const leat_log_record *record), void *arg)
{
    leat_topic_opts opts;
    leat_log_reader *reader;
    assert_int_equal(leat_topic_describe(log, topic, &opts, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_new(log, NULL, NULL, &reader, NULL), LEAT_OK);
    for (uint32_t p = 0; p < opts.partition_count; p++)
        assert_int_equal(leat_log_reader_seek(reader, topic, p, LEAT_OFFSET_BEGIN, NULL), LEAT_OK);
    leat_log_record records[64];
    size_t count;
    do {
        assert_int_equal(leat_log_reader_poll(reader, records, 64, &count, NULL), LEAT_OK);
        for (size_t i = 0; i < count; i++)
            fn(arg, &records[i]);
    } while (count != 0);
    leat_log_reader_free(reader);
}

static const char changelog[] = "counts-count-changelog";

static void count_record(void *arg, const leat_log_record *record)
{
    assert_int_not_equal(record->key.length, 4); /* R14 */
    ++*(int *)arg;
}

static int records_in_changelog(leat_log *log)
{
    int count = 0;
    each_record(log, changelog, count_record, &count);
    return count;
}

static void append_to(void *log, const leat_log_record *record)
{
    leat_log_record copy = *record;
    assert_int_equal(leat_log_append(log, &copy, 1, NULL), LEAT_OK);
}

/* 10 epochs, each of them about all of 5 users. */
static void count_ten_times(leat_test *test)
{
    for (int i = 0; i < 50; i++) {
        send(test, i % 5, 1000 + i);
        if (i % 5 == 4)
            assert_int_equal(leat_test_run(test), LEAT_OK);
    }
}

static void state_is_whole_after_a_compaction(void **state)
{
    (void)state; /* R5, R11: a restore reads past the gaps; R2: and their seals don't alarm it */
    leat_test *test = leat_test_new(count_job(NULL));
    leat_log *log = open_log(url);
    count_ten_times(test);
    int before = records_in_changelog(log);
    assert_int_equal(leat_log_clean(log, NULL), LEAT_OK);
    assert_true(records_in_changelog(log) <= before / 2);
    leat_test_crash(test);
    count_ten_times(test);
    assert_counted_once(test, 100);
    leat_log_close(log);
    leat_test_free(test);
}

static void a_changelog_may_end_in_a_gap(void **state)
{
    (void)state; /* R11: done is a position at the end, not a record that was seen */
    leat_test *test = leat_test_new(count_job(NULL));
    leat_log *log = open_log(url);
    count_ten_times(test);
    for (uint32_t p = 0; p < 4; p++)
        append_to(log, &(leat_log_record){.topic = changelog,
                                          .partition = p,
                                          .key = LEAT_STR("deleted, then gone")});
    leat_test_crash(test);
    assert_int_equal(leat_log_clean(log, NULL), LEAT_OK);
    leat_test_advance(test, LEAT_LOG_TOMBSTONE_RETENTION_MS);
    leat_test_crash(test);
    int before = records_in_changelog(log);
    assert_int_equal(leat_log_clean(log, NULL), LEAT_OK);
    assert_int_equal(records_in_changelog(log), before - 4);
    count_ten_times(test);
    assert_counted_once(test, 100);
    leat_log_close(log);
    leat_test_free(test);
}

static void a_changelog_that_forgets_is_refused(void **state)
{
    (void)state; /* R14 */
    leat_log *log = open_log(url);
    leat_topic_opts forgets = {.partition_count = 4, .retention_ms = 1000};
    assert_int_equal(leat_topic_create(log, changelog, &forgets, NULL), LEAT_OK);
    leat_test *test = leat_test_new(count_job(NULL));
    assert_int_equal(leat_test_run(test), LEAT_EGRAPH);
    assert_string_equal(leat_test_error(test)->where, changelog);
    leat_test_free(test);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ positions that are forgotten
 */

static void without_group_offsets_the_seal_says_where_to_go_on(void **state)
{
    (void)state; /* R16: the state would count everything twice */
    leat_test *test = leat_test_new(count_job(NULL));
    leat_log *log = open_log(url);
    count_ten_times(test);
    leat_test_crash(test);
    leat__sim_offsets_forget_topic(leat__sim_world_of(log), "events");
    count_ten_times(test);
    assert_counted_once(test, 100);
    leat_log_close(log);
    leat_test_free(test);
}

/* ------------------------------------------------------------------ changelogs that lie */

static void a_torn_epoch_in_the_changelog_is_found(void **state)
{
    (void)state; /* R2 */
    leat_test *test = leat_test_new(count_job(NULL));
    for (int i = 0; i < 3; i++) {
        send(test, 1, 1000 + i);
        assert_int_equal(leat_test_run(test), LEAT_OK);
    }
    leat_log *log = open_log(url);
    uint32_t partition = 0;
    for (uint32_t p = 0; p < 4; p++) {
        int64_t begin, end;
        assert_int_equal(leat_log_bounds(log, changelog, p, &begin, &end, NULL), LEAT_OK);
        if (end > begin)
            partition = p;
    }
    leat_log_record rogue = {.topic = changelog,
                             .partition = partition,
                             .key = LEAT_STR("a write of somebody else"),
                             .value = LEAT_STR("x")};
    assert_int_equal(leat_log_append(log, &rogue, 1, NULL), LEAT_OK);
    send(test, 1, 2000);
    assert_int_equal(leat_test_run(test), LEAT_OK); /* the running job can't know */
    leat_test_crash(test);
    assert_int_equal(leat_test_run(test), LEAT_EVIOLATION);
    assert_string_equal(leat_test_error(test)->where, changelog);
    leat_log_close(log);
    leat_test_free(test);
}

/* ------------------------------------------------------------------ positions */

static bool keep_offset(void *arg, const leat_log_offset *offset)
{
    if (strcmp(offset->topic, "events") == 0)
        *(int64_t *)arg += offset->offset;
    return true;
}

static int64_t committed_sum(void)
{
    int64_t sum = 0;
    leat_log *log;
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    assert_int_equal(leat_log_group_offsets(log, "drops", keep_offset, &sum, NULL), LEAT_OK);
    leat_log_close(log);
    return sum;
}

static bool never(const void *record, void *arg)
{
    (void)record;
    (void)arg;
    return false;
}

static void an_epoch_without_output_commits_its_positions_within_five_seconds(void **state)
{
    (void)state; /* R24 */
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "drops", .log = url});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .time_field = "timestamp_ms"});
    leat_to_log(leat_filter(events, "nothing", never, NULL), "out",
                &(leat_log_sink){.topic = "out"});
    leat_test *test = leat_test_new(job);
    send(test, 1, 1000);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    assert_int_equal(committed_sum(), 0);
    leat_test_advance(test, 5001);
    leat_test_advance(test, 1);
    assert_true(committed_sum() >= 1);
    leat_test_free(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_aborted_epoch_is_done_again_and_leaves_no_trace, fresh_log),
        cmocka_unit_test_setup(a_server_that_is_away_for_a_while_is_waited_for, fresh_log),
        cmocka_unit_test_setup(rewinding_for_ever_is_given_up, fresh_log),
        cmocka_unit_test_setup(a_full_disk_stops_the_job_at_once_and_loses_nothing, fresh_log),
        cmocka_unit_test_setup(a_second_instance_under_the_same_name_fences_the_first, fresh_log),
        cmocka_unit_test_setup(partitions_move_between_processes_and_state_follows, fresh_log),
        cmocka_unit_test_setup(state_is_whole_after_a_compaction, fresh_log),
        cmocka_unit_test_setup(a_changelog_may_end_in_a_gap, fresh_log),
        cmocka_unit_test_setup(a_changelog_that_forgets_is_refused, fresh_log),
        cmocka_unit_test_setup(without_group_offsets_the_seal_says_where_to_go_on, fresh_log),
        cmocka_unit_test_setup(a_torn_epoch_in_the_changelog_is_found, fresh_log),
        cmocka_unit_test_setup(an_epoch_without_output_commits_its_positions_within_five_seconds,
                               fresh_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
