/* The functions of leat/job.h, log.h, record.h and test.h beside those for callbacks: without an
 * argument, in the wrong order, twice, from a callback: refused by name, never silent, never a
 * crash. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <leat/leat.h>
#include <leat/test.h>

struct event {
    leat_str user;
    int64_t ts_ms, number;
};
LEAT_RECORD(event, user, ts_ms, number);

static int sequence;
static char url[64];
static leat_log *world;

static int fresh_log(void **state)
{
    (void)state;
    (void)snprintf(url, sizeof url, "sim:misuse-calls-%d", sequence++);
    return leat_log_open(&world, url, NULL, NULL) == LEAT_OK ? 0 : -1;
}

static int drop_log(void **state)
{
    (void)state;
    leat_log_close(world);
    return 0;
}

static void append(const char *topic, const char *key, int64_t number)
{
    char json[96];
    (void)snprintf(json, sizeof json, "{\"user\":\"%s\",\"ts_ms\":1,\"number\":%lld}", key,
                   (long long)number);
    leat_log_record record = {.topic = topic,
                              .partition = LEAT_PARTITION_BY_KEY,
                              .key = leat_str_from(key),
                              .value = leat_str_from(json)};
    assert_int_equal(leat_log_append(world, &record, 1, NULL), LEAT_OK);
}

/* An error that names what is wrong, and is what was returned. */
static void refused(leat_status status, const leat_error *error, leat_status wanted,
                    const char *says)
{
    if (status != wanted || error->status != wanted ||
        (strstr(error->message, says) == NULL && strstr(error->where, says) == NULL))
        fail_msg("'%s' expected: %s, %s: %s", says, leat_status_name(status), error->where,
                 error->message);
}

#define REFUSED(call, wanted, says)             \
    do {                                        \
        leat_error error = {0};                 \
        leat_status status_ = (call);           \
        refused(status_, &error, wanted, says); \
    } while (0)

/* ------------------------------------------------------------------ a job */

static leat_status keep(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    struct event *value = leat_mut(ctx, 0);
    *value = *event;
    leat_list_append(ctx, 1, event);
    *(struct event *)leat_map_mut(ctx, 2, &event->user) = *event;
    *(struct event *)leat_map_mut(ctx, 3, &(uint64_t){UINT64_MAX}) = *event;
    *(struct event *)leat_map_mut(ctx, 4, &(int64_t){-5}) = *event;
    leat_emit(ctx, event);
    return LEAT_OK;
}

static const leat_process_op keep_op = {
    .in = &event_type,
    .out = &event_type,
    .state =
        {{.name = "value", .type = &event_type},
         {.name = "list", .kind = LEAT_STATE_LIST, .type = &event_type},
         {.name = "map", .kind = LEAT_STATE_MAP, .map_key = &leat_type_str, .type = &event_type},
         {.name = "unsigned",
          .kind = LEAT_STATE_MAP,
          .map_key = &leat_type_u64,
          .type = &event_type},
         {.name = "signed",
          .kind = LEAT_STATE_MAP,
          .map_key = &leat_type_i64,
          .type = &event_type}},
    .on_record = keep,
};

static leat_stream build(leat_job *job, bool until_end)
{
    leat_stream in = leat_from_log(job, "in", &event_type,
                                   &(leat_log_source){.topic = "in",
                                                      .time_field = "ts_ms",
                                                      .partitioned_by = "user",
                                                      .until_end = until_end});
    leat_stream kept = leat_process(leat_key_by(in, "user"), "keep", &keep_op, NULL);
    leat_to_log(kept, "out", &(leat_log_sink){.topic = "out"});
    return kept;
}

static leat_job *new_job(bool until_end)
{
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "job", .log = url});
    (void)build(job, until_end);
    return job;
}

/* ------------------------------------------------------------------ state as text */

static void state_of_each_kind_as_json(void **state)
{
    (void)state;
    leat_test *test = leat_test_new(new_job(false));
    leat_test_send_keyed(test, "in", "ann", "{\"user\":\"ann\",\"ts_ms\":1,\"number\":7}");
    leat_test_send_keyed(test, "in", "ann", "{\"user\":\"ann\",\"ts_ms\":2,\"number\":8}");
    assert_string_equal(leat_test_state_json(test, "keep", "value", "ann"),
                        "{\"user\":\"ann\",\"ts_ms\":2,\"number\":8}");
    assert_string_equal(leat_test_state_json(test, "keep", "list", "ann"),
                        "[{\"user\":\"ann\",\"ts_ms\":1,\"number\":7},"
                        "{\"user\":\"ann\",\"ts_ms\":2,\"number\":8}]");
    assert_string_equal(leat_test_state_json(test, "keep", "map", "ann"),
                        "{\"ann\":{\"user\":\"ann\",\"ts_ms\":2,\"number\":8}}");
    assert_string_equal(leat_test_state_json(test, "keep", "unsigned", "ann"),
                        "{\"18446744073709551615\":{\"user\":\"ann\",\"ts_ms\":2,\"number\":8}}");
    assert_string_equal(leat_test_state_json(test, "keep", "signed", "ann"),
                        "{\"-5\":{\"user\":\"ann\",\"ts_ms\":2,\"number\":8}}");
    static const char *const states[] = {"value", "list", "map", "unsigned", "signed"};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        assert_null(leat_test_state_json(test, "keep", states[i], "bob"));
    leat_test_free(test);
}

/* ------------------------------------------------------------------ the harness ends loudly */

static leat_test *harness;

static void no_job(void)
{
    (void)leat_test_new(NULL);
}
static void unknown_operator(void)
{
    (void)leat_test_state_json(harness, "kept", "value", "ann");
}
static void unknown_state(void)
{
    (void)leat_test_state_json(harness, "keep", "values", "ann");
}
static void no_key(void)
{
    (void)leat_test_state_json(harness, "keep", "value", NULL);
}
static void no_test(void)
{
    (void)leat_test_run(NULL);
}
static void no_json(void)
{
    leat_test_send_json(harness, "in", NULL);
}
static void no_record(void)
{
    (void)leat_test_next(harness, "out", NULL);
}
static void no_topic(void)
{
    leat_test_send_watermark(harness, NULL, 1);
}
static void no_image(void)
{
    leat_test_restore(harness, NULL);
}

static void a_misused_harness_says_why_and_aborts(void **state)
{
    (void)state;
    static const struct {
        void (*make)(void);
        const char *says;
    } misuses[] = {
        {no_job, "leat_test_new: misuse"},        {unknown_operator, "kept: is no operator"},
        {unknown_state, "has no state 'values'"}, {no_key, "leat_test_state_json: misuse"},
        {no_test, "leat_test_run: misuse"},       {no_json, "leat_test_send_json: misuse"},
        {no_record, "leat_test_next: misuse"},    {no_topic, "leat_test_send_watermark: misuse"},
        {no_image, "leat_test_restore: misuse"},
    };
    harness = leat_test_new(new_job(false));
    leat_test_send_keyed(harness, "in", "ann", "{\"user\":\"ann\",\"ts_ms\":1,\"number\":7}");
    (void)leat_test_run(harness);
    for (size_t i = 0; i < sizeof misuses / sizeof misuses[0]; i++) {
        int text[2], status;
        assert_int_equal(pipe(text), 0);
        pid_t child = fork();
        if (child == 0) {
            (void)signal(SIGABRT, SIG_DFL);
            (void)dup2(text[1], STDERR_FILENO);
            misuses[i].make();
            _exit(0);
        }
        (void)close(text[1]);
        char said[512] = "";
        ssize_t length = read(text[0], said, sizeof said - 1);
        (void)close(text[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (length <= 0 || strstr(said, misuses[i].says) == NULL || !WIFSIGNALED(status) ||
            WTERMSIG(status) != SIGABRT)
            fail_msg("'%s' expected, status %d: %s", misuses[i].says, status, said);
    }
    leat_test_free(harness);
}

/* ------------------------------------------------------------------ a job's life */

static void what_is_built_after_the_start_is_refused(void **state)
{
    (void)state;
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "job", .log = url});
    leat_stream kept = build(job, true);
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    leat_to_log(kept, "more", &(leat_log_sink){.topic = "more"});
    (void)leat_filter(kept, "even more", NULL, NULL);
    leat_global_table(job, "table", NULL);
    (void)leat_on_failure(kept, LEAT_ON_ERROR_SKIP);
    REFUSED(leat_job_wait(job, &error), LEAT_EINVAL, "was started already; build it completely");
    leat_topic_opts opts;
    assert_int_equal(leat_topic_describe(world, "more", &opts, NULL), LEAT_ENOTFOUND);
    leat_job_free(job);
}

static void a_job_is_waited_for_once_started(void **state)
{
    (void)state;
    leat_job *job = new_job(true);
    REFUSED(leat_job_wait(job, &error), LEAT_EINVAL, "was not started");
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    REFUSED(leat_job_start(job, &error), LEAT_EINVAL, "is running already");
    REFUSED(leat_job_run(job, &error), LEAT_EINVAL, "is running already");
    bool busy;
    REFUSED(leat_job_step(job, &busy, &error), LEAT_EINVAL, "runs on threads of its own");
    assert_int_equal(leat_job_wait(job, NULL), LEAT_OK);
    assert_int_equal(leat_job_wait(job, NULL), LEAT_OK); /* as it ended */
    leat_job_free(job);
}

static int64_t records_of(const char *topic)
{
    int64_t begin, end, sum = 0;
    for (uint32_t p = 0; p < 4; p++) {
        assert_int_equal(leat_log_bounds(world, topic, p, &begin, &end, NULL), LEAT_OK);
        sum += end;
    }
    return sum;
}

static void a_second_run_goes_on_where_the_first_one_ended(void **state)
{
    (void)state;
    leat_job *job = new_job(true);
    assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
    append("in", "ann", 1);
    assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
    assert_int_equal(records_of("out"), 1);
    append("in", "ann", 2);
    append("in", "bob", 3);
    assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
    assert_int_equal(records_of("out"), 3);
    leat_job_free(job);
}

static leat_job *stepped;
static int opened;

static leat_status steer(leat_ctx *ctx, const void *record)
{
    bool busy;
    (void)ctx;
    (void)record;
    static const char says[] = "from a callback of the job itself";
    REFUSED(leat_job_wait(stepped, &error), LEAT_EINVAL, says);
    REFUSED(leat_job_start(stepped, &error), LEAT_EINVAL, says);
    REFUSED(leat_job_run(stepped, &error), LEAT_EINVAL, says);
    REFUSED(leat_job_step(stepped, &busy, &error), LEAT_EINVAL, says);
    leat_job_free(stepped); /* stops it; a log line says why it is not freed */
    return LEAT_OK;
}

static leat_status steer_once(leat_ctx *ctx, const void *record)
{
    return opened++ == 0 ? steer(ctx, record) : LEAT_OK;
}

static void committed(void *arg, const leat_log_record *record)
{
    (void)record;
    (*(int *)arg)++;
    (void)steer(NULL, NULL);
}

static void a_callback_can_not_wait_for_its_job(void **state)
{
    (void)state;
    static const leat_process_op steer_op = {
        .in = &event_type, .out = &event_type, .on_open = steer_once, .on_record = steer};
    int calls = 0;
    opened = 0;
    stepped = leat_job_new(&(leat_job_opts){.name = "job", .log = url});
    leat_stream kept = build(stepped, false);
    (void)leat_process(leat_key_by(kept, "user"), "steer", &steer_op, NULL);
    leat_to_log(kept, "again",
                &(leat_log_sink){.topic = "again", .on_committed = committed, .arg = &calls});
    const leat_topic_opts four = {.partition_count = 4};
    assert_int_equal(leat_topic_create(world, "in", &four, NULL), LEAT_OK);
    append("in", "ann", 1);
    for (int run = 0; run < 3 && calls == 0; run++) /* the first ends with its on_open */
        assert_int_equal(leat_job_run(stepped, NULL), LEAT_OK);
    assert_int_equal(calls, 1);
    leat_job_free(stepped);
}

static void stopping_comes_first_or_twice_or_without_a_job(void **state)
{
    (void)state;
    leat_job *job = new_job(false);
    leat_job_stop(NULL);
    leat_job_stop(job);
    leat_job_stop(job);
    assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
    leat_job_stop(job); /* after the end: it is for the next run */
    assert_int_equal(leat_job_run(job, NULL), LEAT_OK);
    leat_job_free(job);
    leat_job_free(NULL);
    leat_job_stop_on_signals(NULL); /* nobody catches what nobody would act on */
    struct sigaction action;
    assert_int_equal(sigaction(SIGTERM, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
}

static void streams_of_no_job_or_of_two(void **state)
{
    (void)state;
    leat_job *a = leat_job_new(&(leat_job_opts){.name = "a", .log = url});
    leat_job *b = leat_job_new(&(leat_job_opts){.name = "b", .log = url});
    leat_stream in_a = build(a, true), in_b = build(b, true);
    leat_stream both = leat_union(in_a, "both", in_b);
    leat_to_log(both, "both-out", &(leat_log_sink){.topic = "both"});
    REFUSED(leat_job_run(a, &error), LEAT_EGRAPH, "streams of two jobs");
    REFUSED(leat_job_run(b, &error), LEAT_EGRAPH, "streams of two jobs");
    leat_job_free(a);
    leat_job_free(b);
    const leat_stream none = {0};
    leat_to_log(leat_map(none, "m", &event_type, NULL, NULL), "n", NULL);
    assert_null(leat_from_log(NULL, "in", &event_type, NULL).job);
    leat_job *nameless = leat_job_new(NULL);
    REFUSED(leat_job_run(nameless, &error), LEAT_EINVAL, "name");
    leat_job_free(nameless);
}

/* ------------------------------------------------------------------ without an argument */

static bool no_partition(void *arg, const leat_partition_stats *stats)
{
    (void)arg;
    (void)stats;
    return false;
}

static void job_calls_without_an_argument(void **state)
{
    (void)state;
    leat_job *job = new_job(true);
    struct event record;
    void *memory;
    bool busy;
    leat_owner owner;
    leat_job_stats stats;
    const leat_str key = LEAT_STR("ann"), none = {0};
    REFUSED(leat_job_run(NULL, &error), LEAT_EINVAL, "the job is NULL");
    REFUSED(leat_job_start(NULL, &error), LEAT_EINVAL, "the job is NULL");
    REFUSED(leat_job_wait(NULL, &error), LEAT_EINVAL, "the job is NULL");
    REFUSED(leat_job_step(NULL, &busy, &error), LEAT_EINVAL, "the job is NULL");
    REFUSED(leat_job_step(job, NULL, &error), LEAT_EINVAL, "busy is NULL");
#define QUERY(job, op, state, key, record, memory, says) \
    REFUSED(leat_job_query(job, op, state, key, record, memory, &error), LEAT_EINVAL, says)
    QUERY(NULL, "keep", "value", key, &record, &memory, "job is NULL");
    QUERY(job, NULL, "value", key, &record, &memory, "op is NULL");
    QUERY(job, "keep", NULL, key, &record, &memory, "state is NULL");
    QUERY(job, "keep", "value", none, &record, &memory, "key is NULL");
    QUERY(job, "keep", "value", key, NULL, &memory, "record is NULL");
    QUERY(job, "keep", "value", key, &record, NULL, "memory is NULL");
    QUERY(job, "keep", "value", key, &record, &memory, "is not running");
    assert_null(memory);
    REFUSED(leat_job_owner(NULL, "keep", key, &owner, &error), LEAT_EINVAL, "job is NULL");
    REFUSED(leat_job_owner(job, NULL, key, &owner, &error), LEAT_EINVAL, "op is NULL");
    REFUSED(leat_job_owner(job, "keep", none, &owner, &error), LEAT_EINVAL, "key is NULL");
    REFUSED(leat_job_owner(job, "keep", key, NULL, &error), LEAT_EINVAL, "owner is NULL");
    leat_job_get_stats(NULL, &stats);
    leat_job_get_stats(job, NULL);
    leat_job_each_partition(NULL, no_partition, NULL);
    leat_job_each_partition(job, NULL, NULL);
    leat_job_owner_report(NULL, &owner, true);
    leat_job_owner_report(job, NULL, true);
    leat_job_explain(NULL, LEAT_EXPLAIN_TEXT, stdout);
    leat_job_explain(job, LEAT_EXPLAIN_TEXT, NULL);
    leat_job_explain(job, (leat_explain_format)9, stdout);
    assert_true(leat_job_proof_age_ms(NULL) == -1);
    assert_string_equal(leat_partition_state_name((leat_partition_state)-1), "unknown");
    leat_memory_free(NULL);
    leat_job_free(job);
}

static void queries_of_what_is_not_there(void **state)
{
    (void)state;
    struct event record;
    void *memory;
    const leat_str key = LEAT_STR("ann");
    leat_job *job = new_job(false);
    assert_int_equal(leat_job_start(job, NULL), LEAT_OK);
    QUERY(job, "keep", "list", key, &record, &memory, "state 'list' is a list");
    QUERY(job, "keep", "map", key, &record, &memory, "state 'map' is a map");
    REFUSED(leat_job_query(job, "keep", "values", key, &record, &memory, &error), LEAT_ENOTFOUND,
            "has no state 'values'");
    REFUSED(leat_job_query(job, "in", "value", key, &record, &memory, &error), LEAT_ENOTFOUND,
            "is no operator");
    leat_job_stop(job);
    assert_int_equal(leat_job_wait(job, NULL), LEAT_OK);
    QUERY(job, "keep", "value", key, &record, &memory, "is not running");
    leat_job_free(job);
}

static bool no_name(void *arg, const char *name, const leat_topic_opts *opts)
{
    (void)arg;
    (void)name;
    (void)opts;
    return false;
}

static void log_calls_without_an_argument(void **state)
{
    (void)state;
    leat_log *log;
    leat_log_reader *reader;
    leat_log_member *member;
    leat_log_txn *txn;
    leat_log_event event;
    leat_log_offset offset;
    leat_log_record record = {.topic = "in"};
    size_t count;
    int64_t at;
#define NULL_IS_REFUSED(call, says) REFUSED(call, LEAT_EINVAL, says)
    NULL_IS_REFUSED(leat_log_open(NULL, url, NULL, &error), "log is NULL");
    NULL_IS_REFUSED(leat_log_open(&log, NULL, NULL, &error), "url is NULL");
    NULL_IS_REFUSED(leat_topic_create(NULL, "t", NULL, &error), "log is NULL");
    NULL_IS_REFUSED(leat_topic_create(world, NULL, NULL, &error), "topic is NULL");
    NULL_IS_REFUSED(leat_topic_describe(NULL, "t", NULL, &error), "log is NULL");
    NULL_IS_REFUSED(leat_topic_describe(world, NULL, NULL, &error), "topic is NULL");
    NULL_IS_REFUSED(leat_topic_delete(NULL, "t", &error), "log is NULL");
    NULL_IS_REFUSED(leat_topic_delete(world, NULL, &error), "topic is NULL");
    NULL_IS_REFUSED(leat_topic_each(NULL, no_name, NULL, &error), "log is NULL");
    NULL_IS_REFUSED(leat_topic_each(world, NULL, NULL, &error), "fn is NULL");
    NULL_IS_REFUSED(leat_log_bounds(NULL, "t", 0, &at, &at, &error), "log is NULL");
    NULL_IS_REFUSED(leat_log_bounds(world, NULL, 0, &at, &at, &error), "topic is NULL");
    NULL_IS_REFUSED(leat_log_clean(NULL, &error), "log is NULL");
    NULL_IS_REFUSED(leat_log_trim(NULL, NULL, 0, &error), "log is NULL");
    NULL_IS_REFUSED(leat_log_trim(world, NULL, 1, &error), "offsets is NULL");
    NULL_IS_REFUSED(leat_log_append(NULL, &record, 1, &error), "log is NULL");
    NULL_IS_REFUSED(leat_log_append(world, NULL, 1, &error), "records is NULL");
    NULL_IS_REFUSED(leat_log_reader_new(NULL, NULL, NULL, &reader, &error), "log is NULL");
    NULL_IS_REFUSED(leat_log_reader_new(world, NULL, NULL, NULL, &error), "reader is NULL");
    NULL_IS_REFUSED(leat_log_reader_seek(NULL, "t", 0, 0, &error), "reader is NULL");
    NULL_IS_REFUSED(leat_log_reader_poll(NULL, &record, 1, &count, &error), "reader is NULL");
    NULL_IS_REFUSED(leat_log_reader_position(NULL, "t", 0, &at, &error), "reader is NULL");
    NULL_IS_REFUSED(leat_log_join(NULL, NULL, NULL, NULL, &member, &error), "log is NULL");
    NULL_IS_REFUSED(leat_log_join(world, NULL, NULL, NULL, &member, &error), "group is NULL");
    NULL_IS_REFUSED(leat_log_join(world, NULL, NULL, NULL, NULL, &error), "member is NULL");
    NULL_IS_REFUSED(leat_log_member_poll(NULL, &event, &error), "member is NULL");
    NULL_IS_REFUSED(leat_log_member_poll(NULL, NULL, &error), "event is NULL");
    NULL_IS_REFUSED(leat_log_committed(NULL, "t", 0, &offset, &error), "member is NULL");
    NULL_IS_REFUSED(leat_log_begin(NULL, 1, &txn, &error), "member is NULL");
    NULL_IS_REFUSED(leat_log_begin(NULL, 1, NULL, &error), "txn is NULL");
    NULL_IS_REFUSED(leat_log_txn_add(NULL, &record, 1, &error), "txn is NULL");
    NULL_IS_REFUSED(leat_log_txn_offsets(NULL, &offset, 1, &error), "txn is NULL");
    NULL_IS_REFUSED(leat_log_txn_commit(NULL, &error), "txn is NULL");
    NULL_IS_REFUSED(leat_log_txn_commit_ex(NULL, NULL, NULL, &error), "txn is NULL");
    NULL_IS_REFUSED(leat_log_group_offsets(world, "g", NULL, NULL, &error), "fn is NULL");
    NULL_IS_REFUSED(leat_log_group_each(NULL, NULL, NULL, &error), "log is NULL");
    leat_log_close(NULL);
    leat_log_reader_free(NULL);
    leat_log_reader_remove(NULL, "t", 0);
    leat_log_leave(NULL);
    leat_log_member_ack(NULL);
    leat_log_txn_abort(NULL);
}

static void record_calls_without_an_argument(void **state)
{
    (void)state;
    struct event record;
    leat_json_decoder *json = leat_json_decoder_new();
    leat_binary_decoder *binary = leat_binary_decoder_new();
    const leat_str text = LEAT_STR("{}"), absent = {NULL, 3};
    leat_str out = {"x", 1};
    NULL_IS_REFUSED(leat_json_decode(NULL, &event_type, text, &record, &error), "decoder");
    NULL_IS_REFUSED(leat_json_decode(json, NULL, text, &record, &error), "type");
    NULL_IS_REFUSED(leat_json_decode(json, &event_type, text, NULL, &error), "record");
    NULL_IS_REFUSED(leat_json_decode(json, &event_type, absent, &record, &error), "text");
    NULL_IS_REFUSED(leat_binary_decode(NULL, &event_type, text, &record, &error), "decoder");
    NULL_IS_REFUSED(leat_binary_decode(binary, NULL, text, &record, &error), "type");
    NULL_IS_REFUSED(leat_binary_decode(binary, &event_type, text, NULL, &error), "record");
    NULL_IS_REFUSED(leat_binary_decode(binary, &event_type, absent, &record, &error), "bytes");
    REFUSED(leat_json_decode(json, &event_type, (leat_str){0}, &record, &error), LEAT_EDATA, "");
    REFUSED(leat_type_check(NULL, &error), LEAT_ETYPE, "");
    assert_null(leat_json_encode(NULL, &record));
    assert_null(leat_json_encode(&event_type, NULL));
    leat_binary_encode(&event_type, NULL, &out);
    assert_null(out.data);
    leat_binary_encode(NULL, &record, NULL);
    assert_null(leat_type_layout(NULL));
    assert_null(leat_type_field(NULL, "user"));
    assert_null(leat_type_field(&event_type, NULL));
    assert_null(leat_type_nearest(NULL, "user"));
    assert_null(leat_type_nearest(&event_type, NULL));
    assert_int_equal(leat_type_add(NULL, "a", LEAT_KIND_I64, NULL, 0), -1);
    assert_int_equal(leat_type_add_text(NULL, "a", 3, 0), -1);
    leat_type *type = leat_type_new(NULL);
    assert_int_equal(leat_type_add(type, NULL, LEAT_KIND_I64, NULL, 0), -1);
    REFUSED(leat_type_check(type, &error), LEAT_ETYPE, "");
    leat_type_free(type);
    leat_type_free(NULL);
    leat_json_decoder_free(json);
    leat_json_decoder_free(NULL);
    leat_binary_decoder_free(binary);
    leat_binary_decoder_free(NULL);
    assert_true(leat_str_from(NULL).data == NULL);
    assert_string_equal(leat_status_name((leat_status)999), "LEAT_EINTERNAL");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_log, drop_log)
    const struct CMUnitTest tests[] = {
        TEST(state_of_each_kind_as_json),
        TEST(a_misused_harness_says_why_and_aborts),
        TEST(what_is_built_after_the_start_is_refused),
        TEST(a_job_is_waited_for_once_started),
        TEST(a_second_run_goes_on_where_the_first_one_ended),
        TEST(a_callback_can_not_wait_for_its_job),
        TEST(stopping_comes_first_or_twice_or_without_a_job),
        TEST(streams_of_no_job_or_of_two),
        TEST(job_calls_without_an_argument),
        TEST(queries_of_what_is_not_there),
        TEST(log_calls_without_an_argument),
        TEST(record_calls_without_an_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
