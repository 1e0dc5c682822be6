/* What belongs to another life of a topic is refused, and copies of it are built anew: R2, R13,
 * R16, R26. */
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
#include "integration/identity_job.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include "log/sim/world.h"
#include <leat/leat.h>
#include <rocksdb/c.h>

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

leat_log *open_new(const kind *of)
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

void make_topic(leat_log *log, const char *topic)
{
    const leat_topic_opts one = {.partition_count = 1};
    assert_int_equal(leat_topic_create(log, topic, &one, NULL), LEAT_OK);
}

static void append_to(leat_log *log, const char *user, uint32_t partition)
{
    char json[80];
    (void)snprintf(json, sizeof(json), "{\"user\":\"%s\",\"ts_ms\":1000}", user);
    leat_log_record record = {.topic = "events",
                              .partition = partition,
                              .key = leat_str_from(user),
                              .value = leat_str_from(json)};
    assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
}

void append_event(leat_log *log, const char *user)
{
    append_to(log, user, 0);
}

void append_events(leat_log *log, int count)
{
    for (int i = 0; i < count; i++)
        append_event(log, "ann");
}

static void make_again(leat_log *log, const char *topic)
{
    assert_int_equal(leat_topic_delete(log, topic, NULL), LEAT_OK);
    make_topic(log, topic);
}

leat_job *job_on(leat_log *log, const kind *of, const char *state_dir)
{
    leat_job *job =
        leat_job_new(&(leat_job_opts){.name = "life",
                                      .log_handle = log,
                                      .instance = "one",
                                      .state_dir = state_dir,
                                      .exchange = of->exchange    ? LEAT_EXCHANGE_LOG
                                                  : of->in_memory ? LEAT_EXCHANGE_MEMORY
                                                                  : LEAT_EXCHANGE_AUTO});
    leat_stream events = leat_from_log(
        job, "events", &event_type,
        &(leat_log_source){.topic = of->input == NULL ? "events" : of->input,
                           .time_field = "ts_ms",
                           .partitioned_by =
                               of->exchange || of->in_memory || of->stateless ? NULL : "user"});
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
leat_status step(leat_job *job, leat_error *error)
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

void run_and_end(leat_log *log, const kind *of)
{
    leat_job *job = job_on(log, of, NULL);
    run_well(job);
    leat_job_free(job);
}

int64_t written(leat_log *log)
{
    int64_t begin, end;
    assert_int_equal(leat_log_bounds(log, "out", 0, &begin, &end, NULL), LEAT_OK);
    return end;
}

static int64_t all_written(leat_log *log)
{
    leat_topic_opts opts;
    int64_t begin, end, sum = 0;
    assert_int_equal(leat_topic_describe(log, "out", &opts, NULL), LEAT_OK);
    for (uint32_t p = 0; p < opts.partition_count; p++) {
        assert_int_equal(leat_log_bounds(log, "out", p, &begin, &end, NULL), LEAT_OK);
        sum += end;
    }
    return sum;
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

/* The second stage, fed in memory, has no position that would be ahead of its changelog. */
static void a_changelog_of_a_stage_fed_in_memory_is_missed(void **state)
{
    (void)state; /* R2 */
    static const kind embedded = {.log = "embedded", .in_memory = true};
    static const kind simulated = {.log = "sim", .in_memory = true};
    const kind *of[] = {&simulated, &embedded};
    for (size_t k = 0; k < 2; k++) {
        leat_log *log = open_new(of[k]);
        make_topic(log, "events");
        append_events(log, READ);
        run_and_end(log, of[k]);
        assert_int_equal(written(log), READ);
        assert_int_equal(leat_topic_delete(log, "life-tally-changelog", NULL), LEAT_OK);
        append_events(log, 1);
        for (int start = 0; start < 2; start++) { /* it does not come to terms with it */
            leat_job *job = job_on(log, of[k], NULL);
            leat_error error;
            assert_int_equal(step(job, &error), LEAT_EVIOLATION);
            assert_string_equal(error.where, "life-tally-changelog");
            assert_non_null(strstr(error.message, "leat reset --log LOG life"));
            leat_job_free(job);
        }
        assert_int_equal(written(log), READ);
        leat_log_close(log);
    }
}

static void another_name_of_the_input_is_no_topic_made_again(void **state)
{
    (void)state; /* R16: shorter and longer than what was read */
    for (int count = 3; count <= 3 * READ; count += 2 * READ) {
        static const kind other = {.log = "sim", .input = "other"};
        leat_log *log = open_new(&kinds[0]);
        make_topic(log, "events");
        append_events(log, READ);
        run_and_end(log, &kinds[0]);
        make_topic(log, "other");
        for (int i = 0; i < count; i++) {
            leat_log_record record = {.topic = "other",
                                      .key = LEAT_STR("ann"),
                                      .value = LEAT_STR("{\"user\":\"ann\",\"ts_ms\":1000}")};
            assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
        }
        leat_job *job = job_on(log, &other, NULL);
        leat_error error;
        assert_int_equal(step(job, &error), LEAT_EGRAPH);
        assert_non_null(strstr(error.message, "this job reads 'events', not 'other'"));
        assert_null(strstr(error.message, "leat reset"));
        leat_job_free(job);
        run_and_end(log, &kinds[0]); /* nothing was lost by it */
        leat_log_close(log);
    }
}

/* ------------------------------------------------------------------ state directories, snapshots
 */

static const kind in_memory = {.log = "sim"};

/* So many epochs of one event each. */
static void run_epochs(leat_log *log, const char *user, int epochs, const char *state_dir)
{
    for (int i = 0; i < epochs; i++) {
        append_event(log, user);
        leat_job *job = job_on(log, &in_memory, state_dir);
        run_well(job);
        leat_job_free(job);
    }
}

static char *folder(const char *name)
{
    static char path[4][100];
    static int next;
    char *made = path[next++ % 4];
    (void)snprintf(made, sizeof(path[0]), "%s/%s-%d", place, name, sequence);
    return made;
}

static void expect_last(leat_log *log, const char *expected)
{
    leat_log_reader *reader;
    leat_log_record record;
    size_t count = 0;
    assert_int_equal(leat_log_reader_new(log, NULL, NULL, &reader, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_seek(reader, "out", 0, written(log) - 1, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_poll(reader, &record, 1, &count, NULL), LEAT_OK);
    assert_int_equal(count, 1);
    assert_int_equal(record.value.length, strlen(expected));
    assert_memory_equal(record.value.data, expected, record.value.length);
    leat_log_reader_free(reader);
}

/* Counts one event of ann's; how often state was built anew for it. */
static uint64_t rebuilds_of(leat_log *log, const char *state_dir, const char *expected)
{
    leat_job_stats stats;
    append_event(log, "ann");
    leat_job *job = job_on(log, &in_memory, state_dir);
    run_well(job);
    leat_job_get_stats(job, &stats);
    leat_job_free(job);
    expect_last(log, expected);
    return stats.state_rebuilds;
}

/* Changes each position row to what the version before wrote: it did not say which seal it is of.
 */
static void make_rows_older(const char *state_dir)
{
    char *message = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    rocksdb_t *db = rocksdb_open(options, state_dir, &message);
    assert_null(message);
    rocksdb_iterator_t *each = rocksdb_create_iterator(db, reading);
    int changed = 0;
    for (rocksdb_iter_seek_to_first(each); rocksdb_iter_valid(each); rocksdb_iter_next(each)) {
        size_t key_length, length;
        const char *key = rocksdb_iter_key(each, &key_length);
        const char *value = rocksdb_iter_value(each, &length);
        if (key_length != 5 || key[4] != 1)
            continue;
        char older[17];
        assert_int_equal(value[0], 3);
        memcpy(older, value, sizeof(older));
        older[0] = 2;
        rocksdb_put(db, writing, key, key_length, older, sizeof(older), &message);
        assert_null(message);
        changed++;
    }
    assert_int_equal(changed, 1);
    rocksdb_iter_destroy(each);
    rocksdb_close(db);
    rocksdb_writeoptions_destroy(writing);
    rocksdb_readoptions_destroy(reading);
    rocksdb_options_destroy(options);
}

/* Two logs with as many epochs, so that in both a seal stands where the directory does. */
static void a_copy_of_another_log_is_built_anew(void **state)
{
    (void)state; /* R13 */
    for (int older = 0; older < 2; older++) {
        char *own = folder("own"), *other = folder("other");
        leat_log *log = open_new(&in_memory);
        make_topic(log, "events");
        run_epochs(log, "ann", 5, own);
        leat_log_close(log);
        log = open_new(&in_memory);
        make_topic(log, "events");
        run_epochs(log, "bob", 8, other);
        if (older)
            make_rows_older(own);
        assert_int_equal(rebuilds_of(log, own, "{\"user\":\"ann\",\"count\":1}"), 1);
        assert_int_equal(rebuilds_of(log, own, "{\"user\":\"ann\",\"count\":2}"), 0);
        leat_log_close(log);
    }
}

static void a_copy_of_this_log_is_kept_also_if_it_is_of_an_older_format(void **state)
{
    (void)state; /* R26 */
    char *own = folder("own");
    leat_log *log = open_new(&in_memory);
    make_topic(log, "events");
    run_epochs(log, "ann", 5, own);
    assert_int_equal(rebuilds_of(log, own, "{\"user\":\"ann\",\"count\":6}"), 0);
    make_rows_older(own);
    assert_int_equal(rebuilds_of(log, own, "{\"user\":\"ann\",\"count\":7}"), 0);
    leat_log_close(log);
}

/* The same log as it was before: a restored backup, in which other epochs were written since. */
static void a_copy_of_another_course_of_the_log_is_built_anew(void **state)
{
    (void)state; /* R13: the topic is the same, the seal is not */
    char *own = folder("own"), *other = folder("other");
    leat_log *log = open_new(&in_memory);
    make_topic(log, "events");
    run_epochs(log, "bob", 1, other);
    leat__sim *backup = leat__log_sim_snapshot(log);
    run_epochs(log, "ann", 4, own);
    leat__log_sim_restore(log, backup);
    run_epochs(log, "bob", 6, other);
    assert_int_equal(rebuilds_of(log, own, "{\"user\":\"ann\",\"count\":1}"), 1);
    leat__log_sim_snapshot_free(backup);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ changelogs that are not whole
 */

static const char changelog[] = "life-tally-changelog";

static sim_topic *changelog_of(leat_log *log)
{
    sim_topic *topic;
    assert_int_equal(leat__sim_topic_find(leat__sim_world_of(log), changelog, &topic, NULL),
                     LEAT_OK);
    return topic;
}

static void refuses_to_restore(leat_log *log, const char *because)
{
    leat_job *job = job_on(log, &in_memory, NULL);
    leat_error error;
    leat_job_stats stats;
    int64_t before = written(log);
    assert_int_equal(step(job, &error), LEAT_EVIOLATION);
    assert_string_equal(error.where, changelog);
    assert_non_null(strstr(error.message, because));
    leat_job_get_stats(job, &stats);
    assert_int_equal(stats.eos_violations, 1);
    assert_int_equal(written(log), before);
    leat_job_free(job);
}

static void a_changelog_whose_beginning_was_cut_gives_no_state(void **state)
{
    (void)state; /* R13 */
    char *own = folder("own");
    leat_log *log = open_new(&in_memory);
    make_topic(log, "events");
    run_epochs(log, "bob", 1, own);
    run_epochs(log, "ann", 5, own);
    sim_topic *topic = changelog_of(log);
    topic->opts.compacted = false; /* as DeleteRecords does where a policy allows it */
    const leat_log_offset cut = {.topic = changelog, .offset = 4};
    assert_int_equal(leat_log_trim(log, &cut, 1, NULL), LEAT_OK);
    topic->opts.compacted = true;
    refuses_to_restore(log, "begins at 4");
    /* whoever has a copy from after it needs none of what is gone */
    assert_int_equal(rebuilds_of(log, own, "{\"user\":\"ann\",\"count\":6}"), 0);
    leat_log_close(log);
}

static void a_lost_epoch_between_two_others_is_found(void **state)
{
    (void)state; /* R2 */
    leat_log *log = open_new(&in_memory);
    make_topic(log, "events");
    run_epochs(log, "ann", 6, NULL);
    sim_partition *partition = &changelog_of(log)->partitions[0];
    size_t first = partition->count - 6; /* the fourth epoch: a row and its seal */
    leat__sim_record_free(&partition->records[first]);
    leat__sim_record_free(&partition->records[first + 1]);
    memmove(&partition->records[first], &partition->records[first + 2],
            4 * sizeof(partition->records[0]));
    partition->count -= 2;
    refuses_to_restore(log, "comes after a lost one");
    leat_log_close(log);
}

static leat_log *cleaned_log; /* at the next look at the clock */

static int64_t clean_and_look(void *arg)
{
    (void)arg;
    leat_log *log = cleaned_log;
    if (log != NULL && leat__sim_world_of(log)->readers != NULL &&
        leat__sim_world_of(log)->readers->count != 0 &&
        leat__sim_world_of(log)->readers->positions[0].offset > 100) {
        cleaned_log = NULL;
        assert_int_equal(leat_log_clean(log, NULL), LEAT_OK);
    }
    return leat__env_system()->monotonic_us(leat__env_system()->arg);
}

static void a_compaction_during_a_restore_is_no_loss(void **state)
{
    (void)state; /* R2: seals are missing between two others, but not any more when they are looked
                    for */
    enum { EPOCHS = 600 };
    leat_log *log = open_new(&in_memory);
    make_topic(log, "events");
    leat_job *job = job_on(log, &in_memory, NULL);
    for (int64_t i = 0; i < EPOCHS; i++) {
        append_event(log, "ann");
        for (int steps = 0; (i == 0 && steps < STEPS) || written(log) == i; steps++) {
            bool busy;
            leat_error error;
            assert_int_equal(leat_job_step(job, &busy, &error), LEAT_OK);
            assert_true(steps < 10000);
        }
    }
    leat_job_free(job);
    leat_env env = *leat__env_system();
    env.monotonic_us = clean_and_look;
    cleaned_log = log;
    append_event(log, "ann");
    job = job_on(log, &in_memory, NULL);
    job->env = &env;
    run_well(job);
    assert_null(cleaned_log);
    leat_job_free(job);
    expect_last(log, "{\"user\":\"ann\",\"count\":601}");
    leat_log_close(log);
}

/* ------------------------------------------------------------------ offsets that are gone */

static const kind no_state = {.log = "sim", .stateless = true};
static const kind first_stage = {.log = "sim", .exchange = true};

/* As a group's offsets expire that nobody was a member of for a week. */
static void forget_offsets(leat_log *log)
{
    sim_offset **first = &leat__sim_world_of(log)->offsets;
    assert_non_null(*first);
    while (*first != NULL) {
        char topic[250]; /* its own goes with it */
        (void)snprintf(topic, sizeof topic, "%s", (*first)->topic);
        leat__sim_offsets_forget_topic(leat__sim_world_of(log), topic);
    }
}

static void offsets_that_expired_are_not_the_beginning(void **state)
{
    (void)state; /* R16: a stage without state has no seal; nor has the one before an exchange */
    const kind *of[] = {&no_state, &first_stage, &in_memory};
    for (size_t k = 0; k < 3; k++) {
        leat_log *log = open_new(of[k]);
        make_topic(log, "events");
        append_events(log, READ);
        run_and_end(log, of[k]);
        append_events(log, READ);
        run_and_end(log, of[k]);
        assert_int_equal(written(log), 2 * READ);
        forget_offsets(log);
        append_events(log, 1);
        run_and_end(log, of[k]);
        assert_int_equal(written(log), 2 * READ + 1);
        leat_log_close(log);
    }
}

/* What this version has not seen move is written down all the same. */
static void a_position_that_stands_still_is_kept_too(void **state)
{
    (void)state; /* R16, R26 */
    leat_log *log = open_new(&no_state);
    const leat_topic_opts two = {.partition_count = 2};
    assert_int_equal(leat_topic_create(log, "events", &two, NULL), LEAT_OK);
    append_event(log, "ann");
    append_to(log, "bob", 1);
    run_and_end(log, &no_state);
    assert_int_equal(leat_topic_delete(log, "life-positions", NULL), LEAT_OK);
    append_event(log, "ann");
    run_and_end(log, &no_state);
    int64_t before = all_written(log);
    forget_offsets(log);
    run_and_end(log, &no_state);
    assert_int_equal(all_written(log), before);
    leat_log_close(log);
}

static void a_topic_made_again_is_found_where_only_the_position_tells(void **state)
{
    (void)state; /* R16: its offsets went with it */
    leat_log *log = open_new(&no_state);
    make_topic(log, "events");
    append_events(log, READ);
    run_and_end(log, &no_state);
    make_again(log, "events");
    append_events(log, 2 * READ);
    leat_job *job = job_on(log, &no_state, NULL);
    leat_error error;
    assert_int_equal(step(job, &error), LEAT_ECORRUPT);
    assert_non_null(strstr(error.message, "made again"));
    assert_int_equal(written(log), READ);
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
        cmocka_unit_test(a_changelog_of_a_stage_fed_in_memory_is_missed),
        cmocka_unit_test(another_name_of_the_input_is_no_topic_made_again),
        cmocka_unit_test(a_copy_of_another_log_is_built_anew),
        cmocka_unit_test(a_copy_of_this_log_is_kept_also_if_it_is_of_an_older_format),
        cmocka_unit_test(a_copy_of_another_course_of_the_log_is_built_anew),
        cmocka_unit_test(a_changelog_whose_beginning_was_cut_gives_no_state),
        cmocka_unit_test(a_lost_epoch_between_two_others_is_found),
        cmocka_unit_test(a_compaction_during_a_restore_is_no_loss),
        cmocka_unit_test(offsets_that_expired_are_not_the_beginning),
        cmocka_unit_test(a_position_that_stands_still_is_kept_too),
        cmocka_unit_test(a_topic_made_again_is_found_where_only_the_position_tells),
        cmocka_unit_test(records_under_way_in_a_deleted_topic_are_missed),
        cmocka_unit_test(an_exchange_goes_back_to_memory_once_it_is_empty),
        cmocka_unit_test(state_of_other_partitions_is_not_taken_for_none),
    };
    return cmocka_run_group_tests(tests, fresh_place, remove_place);
}
