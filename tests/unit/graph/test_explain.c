/* leat_job_explain: the plan as text, JSON and DOT, of sound jobs and of others. */
#include <stdlib.h>

#include "graph_fixture.h"

static char *explained(const leat_job *job, leat_explain_format format)
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    assert_non_null(file);
    leat_job_explain(job, format, file);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void expect_holds(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in:\n%s", part, text);
}

static void on_row(void *arg, leat_str key, const void *record, const leat_log_record *origin)
{
    (void)arg;
    (void)key;
    (void)record;
    (void)origin;
}

static leat_job sound_job(void)
{
    leat_job job = job_with(
        (leat_job_opts){.name = "counts", .log = "embedded:data", .state_dir = "state \"1\""});
    leat_stream clicks = leat_from_log(&job, "clicks", &click_type,
                                       &(leat_log_source){.topic = "clicks",
                                                          .time_field = "ts_ms",
                                                          .out_of_order_ms = LEAT_SECONDS(90),
                                                          .idle_ms = LEAT_MINUTES(1),
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream views = leat_filter(clicks, "views", keep_all, NULL);
    leat_stream keyed = leat_key_by(views, "user");
    leat_stream per_user = leat_process(keyed, "per-user", &count_op, NULL);
    leat_stream per_minute = leat_window_aggregate(keyed, "per-minute", &minute, &count_aggregate);
    leat_to_log(per_user, "out", &(leat_log_sink){.topic = "counts", .key = "user"});
    leat_to_log(leat_late(per_minute), "late", &(leat_log_sink){.topic = "late-clicks"});
    leat_to_fn(per_minute, "call", swallow, NULL);
    leat_global_table(&job, "items",
                      &(leat_table){.topic = "items", .type = &tally_type, .on_record = on_row});
    expect_fine(&job);
    return job;
}

static void the_text_draws_stages_operators_state_timers_and_exchanges(void **state)
{
    (void)state;
    leat_job job = sound_job();
    char *text = explained(&job, LEAT_EXPLAIN_TEXT);
    /* clang-format off */
    assert_string_equal(
        text,
        "job counts: 8 operators in 2 stages\n"
        "  log           embedded:data\n"
        "  state         state \"1\"\n"
        "  dead letters  dead-letters\n"
        "\n"
        "  ┌─ stage 0  clicks ── partitions: as topic clicks\n"
        "  │  source     clicks\n"
        "  │               out             click\n"
        "  │               topic           clicks, json\n"
        "  │               time            ts_ms, at most 90 s out of order\n"
        "  │               idle after      1 min\n"
        "  │               on error        dead letter\n"
        "  │  filter     views  ◄─ clicks\n"
        "  │               out             click\n"
        "  │  key by     key-by-user  ◄─ views\n"
        "  │               out             click by user\n"
        "  └─\n"
        "       ║ hash    key-by-user (stage 0) ═► per-user   click by user\n"
        "       ║ hash    key-by-user (stage 0) ═► per-minute   click by user\n"
        "       ▼\n"
        "  ┌─ stage 1  per-user ── partitions: as the widest source ── state number 4603\n"
        "  │  process    per-user  ◄─ key-by-user\n"
        "  │               out             tally by user\n"
        "  │               state           count: value of tally, 1 h after writing (event time)\n"
        "  │               timers          quiet\n"
        "  │               side output     0 bad: click\n"
        "  │               on error        stop\n"
        "  │  window     per-minute  ◄─ key-by-user\n"
        "  │               out             tally by user\n"
        "  │               window          tumbling 1 min, lateness 5 s\n"
        "  │               state           windows: map i64 to tally, until its clean-up\n"
        "  │               timers          fire, clean-up\n"
        "  │               side output     0 late: click\n"
        "  │  sink       out  ◄─ per-user\n"
        "  │               topic           counts, json\n"
        "  │               key             user\n"
        "  │  sink       late  ◄─ per-minute(late)\n"
        "  │               topic           late-clicks, json\n"
        "  │               key             the stream's\n"
        "  │  sink       call  ◄─ per-minute\n"
        "  │               calls           a function, after the commit\n"
        "  └─\n"
        "\n"
        "  table      items\n"
        "             topic           items, json\n"
        "             type            tally\n"
        "             on error        stop\n");
    /* clang-format on */
    free(text);
    free_job(&job);
}

static void explaining_does_not_plan_the_job(void **state)
{
    (void)state;
    leat_job job = sound_job();
    free(explained(&job, LEAT_EXPLAIN_TEXT));
    assert_false(job.graph.planned);
    char *before = explained(&job, LEAT_EXPLAIN_JSON);
    assert_int_equal(leat__graph_plan(&job.graph, NULL), LEAT_OK);
    char *after = explained(&job, LEAT_EXPLAIN_JSON);
    assert_string_equal(before, after);
    free(before);
    free(after);
    free_job(&job);
}

/* ------------------------------------------------------------------ JSON */

static const char *value_end(const char *at);

static const char *string_end(const char *at)
{
    if (*at != '"')
        return NULL;
    for (at++; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at == '\\' && strchr("\"\\/bfnrtu", *++at) == NULL)
            return NULL;
    }
    return at + 1;
}

static const char *members_end(const char *at, char close)
{
    if (*at == close)
        return at + 1;
    for (;; at++) {
        if (close == '}') {
            at = string_end(at);
            if (at == NULL || *at != ':')
                return NULL;
            at++;
        }
        at = value_end(at);
        if (at == NULL)
            return NULL;
        if (*at == close)
            return at + 1;
        if (*at != ',')
            return NULL;
    }
}

/* The first byte behind the JSON value at `at`; NULL if there is none. */
static const char *value_end(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*at == '{')
        return members_end(at + 1, '}');
    if (*at == '[')
        return members_end(at + 1, ']');
    if (*at == '"')
        return string_end(at);
    for (size_t i = 0; i < 3; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    char *end;
    (void)strtoll(at, &end, 10);
    return end == at ? NULL : end;
}

static void expect_json(const char *text)
{
    const char *end = value_end(text);
    if (end == NULL || strcmp(end, "\n") != 0)
        fail_msg("not JSON: %s", text);
}

static void the_json_is_valid_and_tells_the_same(void **state)
{
    (void)state;
    leat_job job = sound_job();
    char *text = explained(&job, LEAT_EXPLAIN_JSON);
    expect_json(text);
    expect_holds(text, "\"job\":\"counts\",\"valid\":true,\"error\":null");
    expect_holds(text, "\"state_dir\":\"state \\\"1\\\"\"");
    expect_holds(text, "{\"name\":\"views\",\"kind\":\"filter\",\"inputs\":[{\"operator\":"
                       "\"clicks\",\"output\":0}],\"type\":\"click\",\"key\":null,\"stage\":0");
    expect_holds(text, "\"window\":{\"kind\":\"tumbling\",\"size_ms\":60000,\"offset_ms\":0,"
                       "\"lateness_ms\":5000}");
    expect_holds(text, "{\"name\":\"count\",\"kind\":\"value\",\"type\":\"tally\",\"map_key\":null,"
                       "\"ttl_ms\":3600000");
    expect_holds(text, "\"kind\":\"hash\",\"from_stage\":0,\"to_stage\":1");
    expect_holds(text, "\"tables\":[{\"name\":\"items\",\"topic\":\"items\"");
    free(text);
    free_job(&job);
}

/* ------------------------------------------------------------------ DOT */

static void the_dot_has_a_box_a_stage_and_an_arrow_an_input(void **state)
{
    (void)state;
    leat_job job = sound_job();
    char *text = explained(&job, LEAT_EXPLAIN_DOT);
    expect_holds(text, "digraph \"counts\" {");
    expect_holds(text, "subgraph cluster_0");
    expect_holds(text, "subgraph cluster_1");
    expect_holds(text, "n0 -> n1 [label=\"click\"];");
    expect_holds(text, "n2 -> n3 [label=\"click\\nhash\" style=bold];");
    expect_holds(text, "n4 -> n6 [label=\"late\"];");
    assert_string_equal(text + strlen(text) - 2, "}\n");
    free(text);
    free_job(&job);
}

/* ------------------------------------------------------------------ jobs that are not valid */

static void a_job_with_a_mistake_is_explained_with_it(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream clicks = clicks_of(&job);
    leat_to_log(leat_key_by(clicks, "itme"), "out", &out_sink);
    char *text = explained(&job, LEAT_EXPLAIN_TEXT);
    expect_holds(text, "job test is not valid");
    expect_holds(text, "mistake in key-by-itme: record 'click' has no field 'itme'; did you mean "
                       "'item'?");
    expect_holds(text, "source     clicks");
    free(text);
    text = explained(&job, LEAT_EXPLAIN_JSON);
    expect_json(text);
    expect_holds(text, "\"valid\":false,\"error\":{\"operator\":\"key-by-itme\",\"status\":"
                       "\"LEAT_EGRAPH\"");
    free(text);
    text = explained(&job, LEAT_EXPLAIN_DOT);
    expect_holds(text, "mistake [shape=note");
    free(text);
    free_job(&job);
}

static void a_job_without_a_name_or_a_sink_is_explained_too(void **state)
{
    (void)state;
    leat_job job = job_with((leat_job_opts){0});
    for (leat_explain_format format = 0; format <= LEAT_EXPLAIN_DOT; format++) {
        char *text = explained(&job, format);
        expect_holds(text, "needs a name");
        free(text);
    }
    free_job(&job);
    job = new_job();
    (void)clicks_of(&job);
    char *text = explained(&job, LEAT_EXPLAIN_TEXT);
    expect_holds(text, "mistake in test: nothing leaves this job; add a sink");
    assert_int_equal(job.graph.error.status, LEAT_OK); /* a sink may still come */
    free(text);
    free_job(&job);
}

static void a_log_exchange_names_its_topic(void **state)
{
    (void)state;
    leat_job job = sound_job();
    job.graph.opts.exchange = LEAT_EXCHANGE_LOG;
    char *text = explained(&job, LEAT_EXPLAIN_TEXT);
    expect_holds(text, "═► per-user   click by user, through topic counts-per-user-repartition\n");
    free(text);
    text = explained(&job, LEAT_EXPLAIN_JSON);
    expect_holds(text, "\"exchange\":\"log\"");
    expect_holds(text, "\"topic\":\"counts-per-user-repartition\"");
    free(text);
    text = explained(&job, LEAT_EXPLAIN_DOT);
    expect_holds(text, "\\nhash\\ncounts-per-user-repartition\" style=bold];");
    free(text);
    free_job(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_draws_stages_operators_state_timers_and_exchanges),
        cmocka_unit_test(a_log_exchange_names_its_topic),
        cmocka_unit_test(explaining_does_not_plan_the_job),
        cmocka_unit_test(the_json_is_valid_and_tells_the_same),
        cmocka_unit_test(the_dot_has_a_box_a_stage_and_an_arrow_an_input),
        cmocka_unit_test(a_job_with_a_mistake_is_explained_with_it),
        cmocka_unit_test(a_job_without_a_name_or_a_sink_is_explained_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
