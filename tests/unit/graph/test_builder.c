/* Building a job: the first mistake is kept, names the operator and the remedy (leat/job.h). */
#include "graph_fixture.h"

#include "base/limits.h"

/* ------------------------------------------------------------------ options */

static void options_get_their_defaults_and_are_copied(void **state)
{
    (void)state;
    char name[] = "counts";
    leat_job job = job_with((leat_job_opts){.name = name, .log = "sim:x"});
    name[0] = 'X';
    expect_fine(&job);
    const leat_job_opts *opts = &job.graph.opts;
    assert_string_equal(opts->name, "counts");
    assert_string_equal(opts->log, "sim:x");
    assert_string_equal(opts->instance, "0");
    assert_string_equal(opts->dead_letters, "dead-letters");
    assert_int_equal(opts->buffer_bytes, LEAT__EPOCH_BYTES_MAX);
    assert_int_equal(opts->cache_bytes, 64 << 20);
    assert_int_equal(opts->restart_limit, 10);
    assert_null(opts->state_dir);
    free_job(&job);
}

static void a_job_needs_a_name(void **state)
{
    (void)state;
    leat_job job = job_with((leat_job_opts){0});
    expect_error(&job, "job", "needs a name");
    free_job(&job);
    leat__graph graph;
    assert_int_equal(leat__graph_init(&graph, NULL), LEAT_EINVAL);
    leat__graph_free(&graph);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static char some_memory[1]; /* stands for an open log */
    static const struct {
        leat_job_opts opts;
        const char *text;
    } cases[] = {
        {{.name = "a/b"}, "cannot be the name"},
        {{.name = ".."}, "cannot be the name"},
        {{.name = "a", .instance = "x y"}, "cannot be the name of the instance"},
        {{.name = "a", .epoch_ms = -1}, "epoch_ms is negative"},
        {{.name = "a", .snapshot_dir = "b"}, "a .snapshot_dir but no .state_dir"},
        {{.name = "a", .snapshot_interval_ms = -1}, "snapshot_interval_ms is negative"},
        {{.name = "a", .trim_interval_ms = -1}, "trim_interval_ms is negative"},
        {{.name = "a", .partition_count = 5000}, "too large"},
        {{.name = "a", .dead_letters = "b d"}, "cannot be a topic"},
        {{.name = "a", .log = "sim:x", .exchange = 3}, "exchange 3 does not exist"},
        {{.name = "a", .exchange = LEAT_EXCHANGE_LOG}, "set .log"},
        {{.name = "a", .log = "sim:x", .log_handle = (leat_log *)some_memory}, "set one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        leat_job job = job_with(cases[i].opts);
        assert_int_equal(job.graph.error.status, LEAT_EINVAL);
        if (strstr(job.graph.error.message, cases[i].text) == NULL)
            fail_msg("'%s' does not hold '%s'", job.graph.error.message, cases[i].text);
        free_job(&job);
    }
}

/* ------------------------------------------------------------------ the sticky error */

static void the_first_mistake_is_kept_and_later_calls_do_nothing(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream clicks = clicks_of(&job);
    leat_stream bad = leat_key_by(clicks, "itme");
    size_t before = job.graph.node_count;
    leat_stream worse = leat_process(bad, "count", &count_op, NULL);
    leat_to_log(worse, "", &out_sink);
    leat_to_log(leat_side(worse, 7), "x", NULL);
    leat_global_table(&job, "", NULL);
    assert_int_equal(job.graph.node_count, before);
    expect_error(&job, "key-by-itme", "record 'click' has no field 'itme'; did you mean 'item'?");
    leat_error error;
    assert_int_equal(leat__graph_plan(&job.graph, &error), LEAT_EGRAPH);
    assert_string_equal(error.where, "key-by-itme");
    free_job(&job);
}

static void a_stream_of_no_job_is_harmless(void **state)
{
    (void)state;
    leat_stream none = {0};
    assert_null(leat_filter(none, "f", keep_all, NULL).job);
    leat_to_fn(none, "x", swallow, NULL);
    assert_null(leat_from_log(NULL, "clicks", &click_type, NULL).job);
    assert_null(leat_side(none, 0).job);
    leat_global_table(NULL, "t", NULL);
}

/* ------------------------------------------------------------------ one mistake a function */

typedef void (*mistake)(leat_job *job, leat_stream clicks, leat_stream keyed);
typedef struct mistake_row {
    const char *where, *text;
    mistake make;
} mistake_row;

#define MISTAKE(name, statement)                                           \
    static void name(leat_job *job, leat_stream clicks, leat_stream keyed) \
    {                                                                      \
        (void)job;                                                         \
        (void)clicks;                                                      \
        (void)keyed;                                                       \
        statement;                                                         \
    }

MISTAKE(source_without_topic, leat_from_log(job, "s", &click_type, NULL))
MISTAKE(source_with_bad_topic,
        leat_from_log(job, "s", &click_type, &(leat_log_source){.topic = "a b"}))
MISTAKE(source_without_type, leat_from_log(job, "s", NULL, &(leat_log_source){.topic = "s"}))
MISTAKE(source_without_name, leat_from_log(job, "", &click_type, &(leat_log_source){.topic = "s"}))
MISTAKE(source_of_a_topic_read_already,
        leat_from_log(job, "s", &click_type, &(leat_log_source){.topic = "clicks"}))
MISTAKE(source_with_negative_delay,
        leat_from_log(job, "s", &click_type,
                      &(leat_log_source){.topic = "s", .out_of_order_ms = -1}))
MISTAKE(source_with_time_in_a_string,
        leat_from_log(job, "s", &click_type,
                      &(leat_log_source){.topic = "s", .time_field = "user"}))
MISTAKE(source_with_unknown_time,
        leat_from_log(job, "s", &click_type,
                      &(leat_log_source){.topic = "s", .time_field = "zzzzzzzzzzz"}))
MISTAKE(source_partitioned_by_a_float,
        leat_from_log(job, "s", &click_type,
                      &(leat_log_source){.topic = "s", .partitioned_by = "price"}))
MISTAKE(source_with_unknown_policy,
        leat_from_log(job, "s", &click_type,
                      &(leat_log_source){.topic = "s", .on_error = (leat_on_error)9}))
MISTAKE(source_with_unknown_format,
        leat_from_log(job, "s", &click_type,
                      &(leat_log_source){.topic = "s", .format = (leat_format)9}))
MISTAKE(generator_without_function,
        leat_from_generator(job, "g", &click_type, &(leat_generator){0}))
MISTAKE(array_without_records, leat_from_array(job, "a", &click_type, &(leat_array){.count = 1}))
MISTAKE(map_without_type, leat_map(clicks, "m", NULL, to_tally, NULL))
MISTAKE(map_without_function, leat_map(clicks, "m", &tally_type, NULL, NULL))
MISTAKE(filter_without_function, leat_filter(clicks, "f", NULL, NULL))
MISTAKE(filter_of_a_taken_name, leat_filter(clicks, "clicks", keep_all, NULL))
MISTAKE(filter_of_a_long_name,
        leat_filter(clicks, "0123456789012345678901234567890123456789012345678901234567890123",
                    keep_all, NULL))
MISTAKE(flat_map_without_function, leat_flat_map(clicks, "m", &tally_type, NULL, NULL))
MISTAKE(key_by_without_field, leat_key_by(clicks, NULL))
MISTAKE(key_by_a_float, leat_key_by(clicks, "price"))
MISTAKE(key_by_a_list, leat_key_by(clicks, "tags"))
MISTAKE(union_of_two_types,
        leat_union(clicks, "u", leat_map(clicks, "m", &tally_type, to_tally, NULL)))
MISTAKE(process_without_key, leat_process(clicks, "per-item", &count_op, NULL))
MISTAKE(process_without_spec, leat_process(keyed, "p", NULL, NULL))
MISTAKE(process_of_another_type,
        leat_process(leat_map(keyed, "m", &tally_type, to_tally, NULL), "p", &count_op, NULL))
MISTAKE(reduce_without_key, leat_reduce(clicks, "r", fold, NULL))
MISTAKE(reduce_without_function, leat_reduce(keyed, "r", NULL, NULL))
MISTAKE(aggregate_without_key, leat_aggregate(clicks, "a", &count_aggregate))
MISTAKE(aggregate_without_add,
        leat_aggregate(keyed, "a", &(leat_aggregate_op){.in = &click_type, .acc = &tally_type}))
MISTAKE(aggregate_without_acc,
        leat_aggregate(keyed, "a", &(leat_aggregate_op){.in = &click_type, .add = add_one}))
MISTAKE(aggregate_without_result, leat_aggregate(keyed, "a",
                                                 &(leat_aggregate_op){.in = &click_type,
                                                                      .acc = &tally_type,
                                                                      .out = &click_type,
                                                                      .add = add_one}))
MISTAKE(window_without_key, leat_window_aggregate(clicks, "w", &minute, &count_aggregate))
MISTAKE(window_without_options, leat_window_aggregate(keyed, "w", NULL, &count_aggregate))
MISTAKE(window_without_size, leat_window_aggregate(keyed, "w", &(leat_window){0}, &count_aggregate))
MISTAKE(window_with_slide,
        leat_window_aggregate(keyed, "w", &(leat_window){.size_ms = 2, .slide_ms = 1},
                              &count_aggregate))
MISTAKE(window_with_negative_lateness,
        leat_window_aggregate(keyed, "w", &(leat_window){.size_ms = 2, .lateness_ms = -1},
                              &count_aggregate))
MISTAKE(window_of_a_kind_to_come,
        leat_window_aggregate(keyed, "w", &(leat_window){.kind = LEAT_SESSION, .gap_ms = 1},
                              &count_aggregate))
MISTAKE(window_with_trigger,
        leat_window_aggregate(keyed, "w",
                              &(leat_window){.size_ms = 2,
                                             .trigger = (const leat_trigger *)&minute},
                              &count_aggregate))
MISTAKE(window_with_evictor,
        leat_window_aggregate(keyed, "w",
                              &(leat_window){.size_ms = 2,
                                             .evictor = (const leat_evictor *)&minute},
                              &count_aggregate))
MISTAKE(window_in_processing_time,
        leat_window_aggregate(keyed, "w", &(leat_window){.size_ms = 2, .processing_time = true},
                              &count_aggregate))
MISTAKE(side_of_a_filter, leat_side(clicks, 0))
MISTAKE(side_that_is_not_there, leat_side(leat_process(keyed, "p", &count_op, NULL), 1))
MISTAKE(late_of_no_window, leat_late(clicks))
MISTAKE(stream_that_was_never_built,
        leat_filter((leat_stream){.job = job, .node = 77}, "f", keep_all, NULL))
MISTAKE(side_output_that_was_never_built,
        leat_filter((leat_stream){.job = job, .node = clicks.node, .output = 3}, "f", keep_all,
                    NULL))
MISTAKE(sink_without_topic, leat_to_log(clicks, "k", NULL))
MISTAKE(sink_with_unknown_key,
        leat_to_log(clicks, "k", &(leat_log_sink){.topic = "o", .key = "usr"}))
MISTAKE(compacted_sink_without_key,
        leat_to_log(clicks, "k", &(leat_log_sink){.topic = "o", .compacted = true}))
MISTAKE(fn_sink_without_function, leat_to_fn(clicks, "k", NULL, NULL))
MISTAKE(file_sink_without_file, leat_to_file(clicks, "k", NULL))
MISTAKE(table_without_function,
        leat_global_table(job, "t", &(leat_table){.topic = "t", .type = &click_type}))
MISTAKE(table_without_name, leat_global_table(job, NULL, &(leat_table){.topic = "t"}))

static const mistake_row mistakes[] = {
    {"s", "needs a topic", source_without_topic},
    {"s", "'a b' cannot be a topic", source_with_bad_topic},
    {"s", "needs a record type", source_without_type},
    {"source", "needs a name", source_without_name},
    {"s", "read by source 'clicks' already", source_of_a_topic_read_already},
    {"s", "out_of_order_ms is negative", source_with_negative_delay},
    {"s", "event time is an i64", source_with_time_in_a_string},
    {"s", "has no field 'zzzzzzzzzzz'", source_with_unknown_time},
    {"s", "which cannot be a key", source_partitioned_by_a_float},
    {"s", "on_error 9 is unknown", source_with_unknown_policy},
    {"s", "format 9 is unknown", source_with_unknown_format},
    {"g", "set .generate", generator_without_function},
    {"a", "set .records", array_without_records},
    {"m", "needs an output type", map_without_type},
    {"m", "needs a function", map_without_function},
    {"f", "needs a function", filter_without_function},
    {"clicks", "the source 'clicks' has this name already", filter_of_a_taken_name},
    {"operator", "cannot be the name of the operator", filter_of_a_long_name},
    {"m", "needs a function", flat_map_without_function},
    {"key-by", "leat_key_by needs the name of a field", key_by_without_field},
    {"key-by-price", "use a string, an integer or a bool", key_by_a_float},
    {"key-by-tags", "use a string, an integer or a bool", key_by_a_list},
    {"u", "of types 'click' and 'tally'; put leat_map()", union_of_two_types},
    {"per-item", "needs a keyed stream; put leat_key_by() before it", process_without_key},
    {"p", "set .on_record", process_without_spec},
    {"p", "type 'click' but its input is of type 'tally'", process_of_another_type},
    {"r", "put leat_key_by() before it", reduce_without_key},
    {"r", "needs a function", reduce_without_function},
    {"a", "put leat_key_by() before it", aggregate_without_key},
    {"a", "set .add", aggregate_without_add},
    {"a", "needs an accumulator type (.acc)", aggregate_without_acc},
    {"a", "emits 'click' but accumulates 'tally'; set .result", aggregate_without_result},
    {"w", "put leat_key_by() before it", window_without_key},
    {"w", "needs a leat_window", window_without_options},
    {"w", "set .size_ms", window_without_size},
    {"w", "no slide", window_with_slide},
    {"w", "lateness_ms is negative", window_with_negative_lateness},
    {"w", "session windows are not in this version", window_of_a_kind_to_come},
    {"w", "custom triggers are not in this version", window_with_trigger},
    {"w", "evictors are not in this version", window_with_evictor},
    {"w", "processing time are not in this version", window_in_processing_time},
    {"clicks", "has no side outputs", side_of_a_filter},
    {"p", "has no side output 1; its last is 0, 'bad'", side_that_is_not_there},
    {"clicks", "is not a window", late_of_no_window},
    {"f", "not a stream of this job", stream_that_was_never_built},
    {"f", "'clicks' has no side output 2", side_output_that_was_never_built},
    {"k", "needs a topic", sink_without_topic},
    {"k", "did you mean 'user'?", sink_with_unknown_key},
    {"k", "set .key", compacted_sink_without_key},
    {"k", "needs a function", fn_sink_without_function},
    {"k", "needs an open file", file_sink_without_file},
    {"t", "set .on_record", table_without_function},
    {"table", "needs a name", table_without_name},
};

static void each_mistake_names_its_operator_and_the_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        leat_job job = new_job();
        leat_stream clicks = clicks_of(&job);
        leat_stream keyed = leat_key_by(clicks, "user");
        expect_fine(&job);
        mistakes[i].make(&job, clicks, keyed);
        expect_error(&job, mistakes[i].where, mistakes[i].text);
        free_job(&job);
    }
}

static void streams_of_two_jobs_do_not_mix_and_both_jobs_know(void **state)
{
    (void)state;
    leat_job one = new_job(), two = new_job();
    (void)leat_union(clicks_of(&one), "both", clicks_of(&two));
    expect_error(&one, "both", "two jobs");
    expect_error(&two, "both", "two jobs");
    free_job(&one);
    free_job(&two);
}

static void a_process_operator_that_emits_nothing_cannot_be_read(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_process_op silent = count_op;
    silent.out = NULL;
    leat_stream op = leat_process(leat_key_by(clicks_of(&job), "user"), "silent", &silent, NULL);
    leat_to_log(leat_side(op, 0), "bad", &out_sink);
    expect_fine(&job);
    leat_to_log(op, "good", &out_sink);
    expect_error(&job, "good", "'silent' emits nothing");
    free_job(&job);
}

/* ------------------------------------------------------------------ process specs */

static void expect_spec_refused(const leat_process_op *op, const char *text)
{
    leat_job job = new_job();
    (void)leat_process(leat_key_by(clicks_of(&job), "user"), "p", op, NULL);
    expect_error(&job, "p", text);
    free_job(&job);
}

#define SPEC(...) \
    (&(leat_process_op){.in = &click_type, .out = &tally_type, .on_record = nothing, __VA_ARGS__})

static void slots_timers_and_sides_are_checked(void **state)
{
    (void)state;
    expect_spec_refused(SPEC(.state = {{.type = &tally_type}}), "state slot 0 has no name");
    expect_spec_refused(SPEC(.state = {[2] = {.name = "x", .type = &tally_type}}),
                        "state slot 0 has no name");
    expect_spec_refused(SPEC(.state = {{.name = "x"}}), "state 'x' has no type");
    expect_spec_refused(SPEC(.state = {{.name = "a/b", .type = &tally_type}}),
                        "cannot be the name of the state");
    expect_spec_refused(SPEC(.state = {{.name = "x", .type = &tally_type, .ttl_ms = -1}}),
                        "ttl_ms of state 'x' is negative");
    expect_spec_refused(
        SPEC(.state = {{.name = "x", .type = &tally_type}, {.name = "x", .type = &tally_type}}),
        "two state slots are named 'x'");
    expect_spec_refused(SPEC(.state = {{.name = "x", .kind = LEAT_STATE_MAP, .type = &tally_type}}),
                        "set .map_key");
    expect_spec_refused(
        SPEC(.state = {{.name = "x", .type = &tally_type, .map_key = &leat_type_str}}),
        "is no map");
    expect_spec_refused(
        SPEC(.state = {{.name = "x", .kind = (leat_state_kind)7, .type = &tally_type}}),
        "unknown kind");
    expect_spec_refused(SPEC(.timer = {"quiet"}), "set .on_timer");
    expect_spec_refused(SPEC(.timer = {[1] = "quiet"}, .on_timer = no_timer),
                        "timer 0 has no name");
    expect_spec_refused(SPEC(.timer = {"a", "a"}, .on_timer = no_timer), "two timers");
    expect_spec_refused(SPEC(.side = {{.name = "late"}}), "a type for side output 'late'");
    expect_spec_refused(SPEC(.side = {{.type = &click_type}}), "side output 0 has no name");
    expect_spec_refused(SPEC(.on_error = (leat_on_error)5), "on_error 5 is unknown");
}

static void types_are_checked_with_their_fields(void **state)
{
    (void)state;
    static const leat_field broken_fields[] = {
        {.name = "tags", .kind = LEAT_KIND_LIST, .size_bytes = sizeof(leat_list)}};
    static const leat_type broken = {"broken", sizeof(leat_list), 1, broken_fields};
    leat_job job = new_job();
    (void)leat_from_log(&job, "s", &broken, &(leat_log_source){.topic = "s"});
    expect_error(&job, "s", "list without element");
    free_job(&job);
}

static void the_same_struct_described_twice_is_one_type(void **state)
{
    (void)state;
    leat_type twin = click_type;
    leat_process_op op = count_op;
    op.in = &twin;
    leat_job job = new_job();
    (void)leat_process(leat_key_by(clicks_of(&job), "user"), "p", &op, NULL);
    expect_fine(&job);
    free_job(&job);
    leat_field fields[5];
    memcpy(fields, click_fields, sizeof fields);
    fields[2].kind = LEAT_KIND_I64;
    twin.fields = fields;
    job = new_job();
    (void)leat_process(leat_key_by(clicks_of(&job), "user"), "p", &op, NULL);
    expect_error(&job, "p", "not the same fields");
    free_job(&job);
}

/* ------------------------------------------------------------------ what is built */

static void a_process_operator_carries_its_spec(void **state)
{
    (void)state;
    int arg = 0;
    leat_job job = new_job();
    leat_stream counts =
        leat_process(leat_key_by(clicks_of(&job), "user"), "count", &count_op, &arg);
    expect_fine(&job);
    const leat__node *node = &job.graph.nodes[counts.node];
    const leat__op_spec *spec = &node->as.op;
    assert_ptr_equal(spec->class, &leat__op_process);
    assert_ptr_equal(node->type, &tally_type);
    assert_true(leat_str_equal(node->key_of, LEAT_STR("user")));
    assert_int_equal(spec->slot_count, 1);
    assert_string_equal(spec->slot[0].name, "count/count");
    assert_int_equal(spec->slot[0].ttl_ms, LEAT_HOURS(1));
    assert_int_equal(spec->timer_count, 1);
    assert_string_equal(spec->timer[0], "quiet");
    assert_string_equal(spec->side[0].name, "bad");
    assert_ptr_equal(spec->arg, &arg);
    free_job(&job);
}

static void a_window_has_a_map_of_accumulators_two_timers_and_a_late_output(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream counts =
        leat_window_aggregate(leat_key_by(clicks_of(&job), "user"), "w", &minute, &count_aggregate);
    leat_stream late = leat_late(counts);
    expect_fine(&job);
    const leat__op_spec *spec = &job.graph.nodes[counts.node].as.op;
    assert_ptr_equal(spec->out, &tally_type);
    assert_string_equal(spec->slot[0].name, "w/windows");
    assert_int_equal(spec->slot[0].kind, LEAT__MAP);
    assert_ptr_equal(spec->slot[0].map_key, &leat_type_i64);
    assert_string_equal(spec->timer[0], "fire");
    assert_string_equal(spec->timer[1], "clean-up");
    assert_int_equal(late.output, 1);
    assert_ptr_equal(leat__graph_type_of(&job.graph, (leat__input){late.node, late.output}),
                     &click_type);
    free_job(&job);
}

static void two_key_bys_on_one_field_get_names_of_their_own(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream clicks = clicks_of(&job);
    leat_stream a = leat_key_by(clicks, "user"), b = leat_key_by(clicks, "user");
    expect_fine(&job);
    assert_string_not_equal(job.graph.nodes[a.node].name, job.graph.nodes[b.node].name);
    free_job(&job);
}

static void the_key_goes_along_until_the_next_key_by(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream keyed = leat_key_by(clicks_of(&job), "user");
    leat_stream mapped = leat_map(keyed, "m", &tally_type, to_tally, NULL);
    leat_stream by_item = leat_key_by(leat_filter(keyed, "f", keep_all, NULL), "item");
    leat_stream both = leat_union(leat_filter(keyed, "g", keep_all, NULL), "same", keyed);
    leat_stream mixed = leat_union(keyed, "mixed", by_item);
    expect_fine(&job);
    const leat__node *nodes = job.graph.nodes;
    assert_true(leat_str_equal(nodes[mapped.node].key_of, LEAT_STR("user")));
    assert_true(leat_str_equal(nodes[by_item.node].key_of, LEAT_STR("item")));
    assert_true(leat_str_equal(nodes[both.node].key_of, LEAT_STR("user")));
    assert_null(nodes[mixed.node].key_of.data);
    free_job(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_get_their_defaults_and_are_copied),
        cmocka_unit_test(a_job_needs_a_name),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(the_first_mistake_is_kept_and_later_calls_do_nothing),
        cmocka_unit_test(a_stream_of_no_job_is_harmless),
        cmocka_unit_test(each_mistake_names_its_operator_and_the_remedy),
        cmocka_unit_test(streams_of_two_jobs_do_not_mix_and_both_jobs_know),
        cmocka_unit_test(a_process_operator_that_emits_nothing_cannot_be_read),
        cmocka_unit_test(slots_timers_and_sides_are_checked),
        cmocka_unit_test(types_are_checked_with_their_fields),
        cmocka_unit_test(the_same_struct_described_twice_is_one_type),
        cmocka_unit_test(a_process_operator_carries_its_spec),
        cmocka_unit_test(a_window_has_a_map_of_accumulators_two_timers_and_a_late_output),
        cmocka_unit_test(two_key_bys_on_one_field_get_names_of_their_own),
        cmocka_unit_test(the_key_goes_along_until_the_next_key_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
