/* Each function that callbacks call, in each place where it might be called: what leat/job.h allows
 * works, everything else fails the callback, or stops the job, with the call's name in the error.
 *
 *     places:  on_open  decoder  on_record  on_timer  on_close  a flat map without key
 *              another thread   after the callback   no context
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leat/leat.h>

struct event {
    leat_str user;
    int64_t ts_ms, number;
};
LEAT_RECORD(event, user, ts_ms, number);

enum { VALUE, LIST, MAP };

/* ------------------------------------------------------------------ the calls */

static const struct event an_event = {.user = {"ann", 3}, .ts_ms = 1};

static void call_now(leat_ctx *ctx)
{
    (void)leat_now(ctx);
}
static void call_watermark(leat_ctx *ctx)
{
    (void)leat_watermark(ctx);
}
static void call_clock(leat_ctx *ctx)
{
    (void)leat_clock(ctx);
}
static void call_random(leat_ctx *ctx)
{
    (void)leat_random(ctx);
}
static void call_key(leat_ctx *ctx)
{
    (void)leat_key(ctx);
}
static void call_key_u64(leat_ctx *ctx)
{
    (void)leat_key_u64(ctx);
}
static void call_arg(leat_ctx *ctx)
{
    (void)leat_arg(ctx);
}
static void call_local(leat_ctx *ctx)
{
    (void)leat_local(ctx);
}
static void call_partition(leat_ctx *ctx)
{
    (void)leat_partition(ctx);
}
static void call_alloc(leat_ctx *ctx)
{
    char *bytes = leat_alloc(ctx, 8);
    if (bytes != NULL)
        memset(bytes, 7, 8);
}
static void call_origin(leat_ctx *ctx)
{
    assert_non_null(leat_origin(ctx).topic);
}
static void call_get(leat_ctx *ctx)
{
    (void)leat_get(ctx, VALUE);
}
static void call_mut(leat_ctx *ctx)
{
    struct event *value = leat_mut(ctx, VALUE);
    assert_non_null(value); /* also where it is refused: the callback goes on until it returns */
    value->number = 1;
}
static void call_del(leat_ctx *ctx)
{
    leat_del(ctx, VALUE);
}
static void call_list_append(leat_ctx *ctx)
{
    leat_list_append(ctx, LIST, &an_event);
}
static void call_list_all(leat_ctx *ctx)
{
    const void *elements;
    (void)leat_list_all(ctx, LIST, &elements);
}
static void call_list_trim(leat_ctx *ctx)
{
    leat_list_trim(ctx, LIST, 1);
}
static void call_map_get(leat_ctx *ctx)
{
    (void)leat_map_get(ctx, MAP, &LEAT_STR("x"));
}
static void call_map_mut(leat_ctx *ctx)
{
    struct event *value = leat_map_mut(ctx, MAP, &LEAT_STR("x"));
    assert_non_null(value);
    value->number = 1;
}
static void call_map_del(leat_ctx *ctx)
{
    leat_map_del(ctx, MAP, &LEAT_STR("x"));
}
static bool go_on(void *arg, const void *key, const void *value)
{
    (void)arg;
    (void)key;
    (void)value;
    return true;
}
static void call_map_each(leat_ctx *ctx)
{
    leat_map_each(ctx, MAP, go_on, NULL);
}
static void call_timer_set(leat_ctx *ctx)
{
    leat_timer_set(ctx, 0, 1000000);
}
static void call_timer_clear(leat_ctx *ctx)
{
    leat_timer_clear(ctx, 0);
}
static void call_timer_set_clock(leat_ctx *ctx)
{
    leat_timer_set_clock(ctx, 0, LEAT_TIME_MAX - 1);
}
static void call_timer_clear_clock(leat_ctx *ctx)
{
    leat_timer_clear_clock(ctx, 0);
}
static void call_emit(leat_ctx *ctx)
{
    leat_emit(ctx, &an_event);
}
static void call_emit_to(leat_ctx *ctx)
{
    leat_emit_to(ctx, 0, &an_event);
}
static void call_fail(leat_ctx *ctx)
{
    (void)leat_fail(ctx, LEAT_EDATA, "leat_fail says so");
}

enum place {
    OPEN = 1,
    DECODER = 2,
    RECORD = 4,
    TIMER = 8,
    CLOSE = 16,
    NO_KEY = 32, /* a flat map on a stream without key */
    OTHER_THREAD = 64,
    AFTERWARDS = 128, /* the context is kept, and used when no callback runs */
    NO_CONTEXT = 256,
};
enum {
    WITH_KEY = RECORD | TIMER,
    WITH_TIME = DECODER | RECORD | TIMER | NO_KEY,
    EVERYWHERE = WITH_TIME | OPEN | CLOSE,
};

/* The table of leat/job.h. What a flat map has not got is not declared there, or has no key. */
static const struct call {
    const char *name;
    void (*make)(leat_ctx *ctx);
    unsigned places;
} calls[] = {
    {"leat_now", call_now, WITH_TIME},
    {"leat_watermark", call_watermark, WITH_TIME},
    {"leat_clock", call_clock, WITH_TIME},
    {"leat_random", call_random, WITH_TIME},
    {"leat_key", call_key, WITH_KEY},
    {"leat_key_u64", call_key_u64, 0}, /* the key is a text */
    {"leat_arg", call_arg, EVERYWHERE},
    {"leat_local", call_local, WITH_KEY | OPEN | CLOSE},
    {"leat_partition", call_partition, EVERYWHERE},
    {"leat_alloc", call_alloc, EVERYWHERE},
    {"leat_origin", call_origin, WITH_TIME},
    {"leat_get", call_get, WITH_KEY},
    {"leat_mut", call_mut, WITH_KEY},
    {"leat_del", call_del, WITH_KEY},
    {"leat_list_append", call_list_append, WITH_KEY},
    {"leat_list_all", call_list_all, WITH_KEY},
    {"leat_list_trim", call_list_trim, WITH_KEY},
    {"leat_map_get", call_map_get, WITH_KEY},
    {"leat_map_mut", call_map_mut, WITH_KEY},
    {"leat_map_del", call_map_del, WITH_KEY},
    {"leat_map_each", call_map_each, WITH_KEY},
    {"leat_timer_set", call_timer_set, WITH_KEY},
    {"leat_timer_clear", call_timer_clear, WITH_KEY},
    {"leat_timer_set_clock", call_timer_set_clock, WITH_KEY},
    {"leat_timer_clear_clock", call_timer_clear_clock, WITH_KEY},
    {"leat_emit", call_emit, WITH_KEY | NO_KEY},
    {"leat_emit_to", call_emit_to, WITH_KEY},
    {"leat_fail", call_fail, 0}, /* fails wherever it is called */
};

/* ------------------------------------------------------------------ the places */

static struct {
    unsigned place;
    void (*make)(leat_ctx *ctx);
    leat_ctx *kept;
    int records;
} probe;

static void here(unsigned place, leat_ctx *ctx)
{
    if (probe.place == place)
        probe.make(ctx);
}

static void *in_a_thread(void *ctx)
{
    probe.make(ctx);
    return NULL;
}

static leat_status on_open(leat_ctx *ctx, const void *record)
{
    assert_null(record);
    here(OPEN, ctx);
    return LEAT_OK;
}

static leat_status on_close(leat_ctx *ctx, const void *record)
{
    assert_null(record);
    here(CLOSE, ctx);
    return LEAT_OK;
}

static leat_status on_record(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    if (event->number == 1) {
        leat_timer_set(ctx, 0, 5);
        leat_map_mut(ctx, MAP, &LEAT_STR("y"));
        here(RECORD, ctx);
        probe.kept = ctx;
        if (probe.place == OTHER_THREAD) {
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, in_a_thread, ctx), 0);
            assert_int_equal(pthread_join(thread, NULL), 0);
        }
    }
    probe.records++;
    return LEAT_OK;
}

static leat_status on_timer(leat_ctx *ctx, int timer)
{
    assert_int_equal(timer, 0);
    if (leat_now(ctx) == 5)
        here(TIMER, ctx);
    return LEAT_OK;
}

static leat_status flat(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    if (event->number == 1)
        here(NO_KEY, ctx);
    leat_emit(ctx, record);
    return LEAT_OK;
}

/* Another operator's callback: the first one's context is nobody's then. */
static leat_status on_later_record(leat_ctx *ctx, const void *record)
{
    (void)ctx;
    (void)record;
    if (probe.place == AFTERWARDS && probe.kept != NULL) {
        leat_ctx *kept = probe.kept;
        probe.kept = NULL;
        probe.make(kept);
    }
    if (probe.place == NO_CONTEXT)
        probe.make(NULL);
    return LEAT_OK;
}

static leat_status decode(leat_ctx *ctx, const leat_log_record *in, void *record, void *arg)
{
    assert_ptr_equal(arg, &probe);
    here(DECODER, ctx);
    *(struct event *)record = (struct event){
        .user = in->key, .ts_ms = in->timestamp_ms, .number = in->value.data[0] - '0'};
    return LEAT_OK;
}

static const leat_process_op probing_op = {
    .in = &event_type,
    .out = &event_type,
    .state =
        {{.name = "value", .type = &event_type},
         {.name = "list", .kind = LEAT_STATE_LIST, .type = &event_type},
         {.name = "map", .kind = LEAT_STATE_MAP, .map_key = &leat_type_str, .type = &event_type}},
    .timer = {"timer"},
    .side = {{"side", &event_type}},
    .on_record = on_record,
    .on_timer = on_timer,
    .local_bytes = 16,
    .on_open = on_open,
    .on_close = on_close,
};
static const leat_process_op later_op = {
    .in = &event_type, .out = &event_type, .on_record = on_later_record};

static int sequence;

static void append(const char *url, const char *key)
{
    leat_log *log;
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    const leat_topic_opts one = {.partition_count = 1};
    assert_int_equal(leat_topic_create(log, "in", &one, NULL), LEAT_OK);
    leat_log_record records[2] = {
        {.topic = "in", .timestamp_ms = 1, .key = leat_str_from(key), .value = LEAT_STR("1")},
        {.topic = "in", .timestamp_ms = 100, .key = leat_str_from(key), .value = LEAT_STR("2")}};
    assert_int_equal(leat_log_append(log, records, 2, NULL), LEAT_OK);
    leat_log_close(log);
}

/* A job of two records: the second one's time fires the timer that the first one sets. */
static leat_status run(const char *key, leat_error *error)
{
    char url[64];
    (void)snprintf(url, sizeof url, "sim:misuse-%d", sequence++);
    leat_log *keeper; /* the records live as long as somebody has the log open */
    assert_int_equal(leat_log_open(&keeper, url, NULL, NULL), LEAT_OK);
    append(url, key);
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "job", .log = url});
    leat_stream in = leat_from_log(job, "in", &event_type,
                                   &(leat_log_source){.topic = "in",
                                                      .decode = decode,
                                                      .decode_arg = &probe,
                                                      .time_field = "ts_ms",
                                                      .partitioned_by = "user",
                                                      .until_end = true});
    leat_stream keyed = leat_key_by(leat_flat_map(in, "flat", &event_type, flat, NULL), "user");
    leat_stream first = leat_process(keyed, "probing", &probing_op, NULL);
    leat_to_log(leat_process(keyed, "later", &later_op, NULL), "late",
                &(leat_log_sink){.topic = "late"});
    leat_to_log(first, "out", &(leat_log_sink){.topic = "out"});
    probe.records = 0;
    probe.kept = NULL;
    *error = (leat_error){0};
    leat_status status = leat_job_run(job, error);
    leat_job_free(job);
    leat_log_close(keeper);
    return status;
}

static void check(const struct call *call, unsigned place)
{
    leat_error error;
    probe.place = place;
    probe.make = call->make;
    leat_status status = run("ann", &error);
    bool allowed = (call->places & place) != 0;
    if (place == NO_CONTEXT) { /* whose callback is it? The log line is all that can be done */
        assert_int_equal(status, LEAT_OK);
        return;
    }
    if (allowed ? status != LEAT_OK : status == LEAT_OK)
        fail_msg("%s in place %u: %s %s", call->name, place, leat_status_name(status),
                 error.message);
    if (allowed) /* a flat map may have emitted one more */
        assert_in_range(probe.records, 2, 3);
    else if (strstr(error.message, call->name) == NULL &&
             (place != NO_KEY || strstr(error.message, "declare") == NULL))
        fail_msg("%s in place %u is refused without its name: %s", call->name, place,
                 error.message);
}

static void every_call_in_every_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (unsigned place = OPEN; place <= NO_CONTEXT; place *= 2)
            check(&calls[i], place);
}

/* ------------------------------------------------------------------ wrong arguments */

static void wrong_get_slot(leat_ctx *ctx)
{
    assert_null(leat_get(ctx, 3));
}
static void wrong_mut_slot(leat_ctx *ctx)
{
    memset(leat_mut(ctx, -1), 1, sizeof(struct event));
}
static void wrong_del_slot(leat_ctx *ctx)
{
    leat_del(ctx, 99);
}
static void wrong_get_list(leat_ctx *ctx)
{
    assert_null(leat_get(ctx, LIST));
}
static void wrong_append_value(leat_ctx *ctx)
{
    leat_list_append(ctx, VALUE, &an_event);
}
static void wrong_map_of_list(leat_ctx *ctx)
{
    memset(leat_map_mut(ctx, LIST, &LEAT_STR("x")), 1, sizeof(struct event));
}
static void wrong_append_null(leat_ctx *ctx)
{
    leat_list_append(ctx, LIST, NULL);
}
static void wrong_all_null(leat_ctx *ctx)
{
    (void)leat_list_all(ctx, LIST, NULL);
}
static void wrong_map_get_null(leat_ctx *ctx)
{
    assert_null(leat_map_get(ctx, MAP, NULL));
}
static void wrong_map_mut_null(leat_ctx *ctx)
{
    memset(leat_map_mut(ctx, MAP, NULL), 1, sizeof(struct event));
}
static void wrong_map_del_null(leat_ctx *ctx)
{
    leat_map_del(ctx, MAP, NULL);
}
static void wrong_each_null(leat_ctx *ctx)
{
    leat_map_each(ctx, MAP, NULL, NULL);
}
static void wrong_timer(leat_ctx *ctx)
{
    leat_timer_set(ctx, 1, 5);
}
static void wrong_clock_timer(leat_ctx *ctx)
{
    leat_timer_clear_clock(ctx, -1);
}
static void wrong_emit_null(leat_ctx *ctx)
{
    leat_emit(ctx, NULL);
}
static void wrong_side(leat_ctx *ctx)
{
    leat_emit_to(ctx, 1, &an_event);
}
static void wrong_side_null(leat_ctx *ctx)
{
    leat_emit_to(ctx, 0, NULL);
}
static void wrong_alloc(leat_ctx *ctx)
{
    assert_null(leat_alloc(ctx, SIZE_MAX));
}
static void wrong_fail_null(leat_ctx *ctx)
{
    leat_status (*volatile fail_with)(leat_ctx *, leat_status, const char *, ...) = leat_fail;
    (void)fail_with(ctx, LEAT_EDATA, NULL); /* the compiler would see it otherwise */
}
static void wrong_fail_ok(leat_ctx *ctx)
{
    (void)leat_fail(ctx, LEAT_OK, "success is no failure");
}

static const struct wrong {
    void (*make)(leat_ctx *ctx);
    leat_status status;
    const char *says;
} wrongs[] = {
    {wrong_get_slot, LEAT_EGRAPH, "leat_get: state slot 3 is not declared"},
    {wrong_mut_slot, LEAT_EGRAPH, "leat_mut: state slot -1 is not declared"},
    {wrong_del_slot, LEAT_EGRAPH, "leat_del: state slot 99 is not declared"},
    {wrong_get_list, LEAT_EGRAPH, "leat_get is for a value, but state 'probing/list' is a list"},
    {wrong_append_value, LEAT_EGRAPH, "leat_list_append is for a list"},
    {wrong_map_of_list, LEAT_EGRAPH, "leat_map_mut is for a map"},
    {wrong_append_null, LEAT_EINVAL, "leat_list_append was given NULL"},
    {wrong_all_null, LEAT_EINVAL, "leat_list_all was given NULL"},
    {wrong_map_get_null, LEAT_EINVAL, "leat_map_get was given NULL"},
    {wrong_map_mut_null, LEAT_EINVAL, "leat_map_mut was given NULL"},
    {wrong_map_del_null, LEAT_EINVAL, "leat_map_del was given NULL"},
    {wrong_each_null, LEAT_EINVAL, "leat_map_each was given NULL"},
    {wrong_timer, LEAT_EGRAPH, "leat_timer_set: timer 1 is not declared"},
    {wrong_clock_timer, LEAT_EGRAPH, "leat_timer_clear_clock: timer -1 is not declared"},
    {wrong_emit_null, LEAT_EINVAL, "leat_emit was given NULL"},
    {wrong_side, LEAT_EGRAPH, "leat_emit_to: side output 1 is not declared"},
    {wrong_side_null, LEAT_EINVAL, "leat_emit_to was given NULL"},
    {wrong_alloc, LEAT_ETOOBIG, "leat_alloc: "},
    {wrong_fail_null, LEAT_EDATA, "no message was given to leat_fail"},
    {wrong_fail_ok, LEAT_EINTERNAL, "success is no failure"},
};

static void wrong_arguments_fail_the_callback(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        leat_error error;
        probe.place = RECORD;
        probe.make = wrongs[i].make;
        leat_status status = run("ann", &error);
        if (status != wrongs[i].status || strstr(error.message, wrongs[i].says) == NULL ||
            strcmp(error.where, "probing") != 0)
            fail_msg("'%s': %s in %s: %s", wrongs[i].says, leat_status_name(status), error.where,
                     error.message);
    }
}

static uint64_t number_seen;

static void read_number(leat_ctx *ctx)
{
    number_seen = leat_key_u64(ctx);
}

static void numbers_as_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool is_number;
        uint64_t number;
    } keys[] = {
        {"0", true, 0},
        {"42", true, 42},
        {"18446744073709551615", true, UINT64_MAX},
        {"-1", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"ann", false, 0},
        {"4 2", false, 0},
        {"4-2", false, 0},
        {"007", false, 0},
        {"true", false, 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        leat_error error;
        probe.place = RECORD;
        probe.make = read_number;
        number_seen = 1;
        leat_status status = run(keys[i].key, &error);
        assert_int_equal(status, keys[i].is_number ? LEAT_OK : LEAT_EGRAPH);
        assert_true(number_seen == keys[i].number);
        if (!keys[i].is_number)
            assert_non_null(strstr(error.message, "is not an integer"));
    }
}

/* ------------------------------------------------------------------ on_open, on_close */

static void fail_openly(leat_ctx *ctx)
{
    (void)leat_fail(ctx, LEAT_EIO, "no such model");
}

static void a_failing_on_open_or_on_close_is_the_jobs_end(void **state)
{
    (void)state;
    leat_error error;
    probe.make = fail_openly;
    probe.place = OPEN;
    assert_int_equal(run("ann", &error), LEAT_EIO);
    assert_string_equal(error.where, "probing");
    assert_string_equal(error.message, "on_open failed: no such model");
    assert_int_equal(probe.records, 0);
    probe.place = CLOSE;
    assert_int_equal(run("ann", &error), LEAT_EIO);
    assert_string_equal(error.message, "on_close failed: no such model");
    assert_int_equal(probe.records, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_in_every_place),
        cmocka_unit_test(wrong_arguments_fail_the_callback),
        cmocka_unit_test(numbers_as_keys),
        cmocka_unit_test(a_failing_on_open_or_on_close_is_the_jobs_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
