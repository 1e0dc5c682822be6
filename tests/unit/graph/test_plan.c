/* Cutting a graph into stages: where exchanges are needed and where not (graph/graph.h). */
#include "graph_fixture.h"

#include "base/hash.h"

static leat__plan *plan_of(leat_job *job)
{
    leat_error error;
    leat_status status = leat__graph_plan(&job->graph, &error);
    if (status != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    return &job->graph.plan;
}

static const leat__stage *stage_of(const leat__plan *plan, leat_stream stream)
{
    for (size_t i = 0; i < plan->stage_count; i++)
        for (size_t j = 0; j < plan->stages[i].node_count; j++)
            if (plan->stages[i].nodes[j] == stream.node)
                return &plan->stages[i];
    fail_msg("node %u is in no stage", stream.node);
    return &plan->stages[0];
}

static leat_stream generated(leat_job *job, const char *name, uint32_t partition_count);

static bool no_more(void *arg, uint32_t partition, uint64_t index, void *record)
{
    (void)arg;
    (void)partition;
    (void)index;
    (void)record;
    return false;
}

static leat_stream generated(leat_job *job, const char *name, uint32_t partition_count)
{
    return leat_from_generator(
        job, name, &click_type,
        &(leat_generator){.generate = no_more, .partition_count = partition_count});
}

static leat_stream count(leat_stream keyed, const char *name)
{
    return leat_process(keyed, name, &count_op, NULL);
}

/* ------------------------------------------------------------------ exchanges */

static void behind_a_key_by_a_new_stage_starts(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream clicks = clicks_of(&job);
    leat_stream views = leat_filter(clicks, "views", keep_all, NULL);
    leat_stream keyed = leat_key_by(views, "item");
    leat_stream counts = leat_window_aggregate(keyed, "per-item", &minute, &count_aggregate);
    leat_to_log(counts, "counts", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 2);
    assert_int_equal(plan->stages[0].node_count, 3);
    assert_string_equal(plan->stages[0].name, "clicks");
    assert_false(plan->stages[0].has_state);
    assert_int_equal(plan->stages[1].node_count, 2);
    assert_string_equal(plan->stages[1].name, "per-item");
    assert_true(plan->stages[1].has_state);
    assert_int_equal(plan->edge_count, 1);
    const leat__edge *edge = &plan->edges[0];
    assert_int_equal(edge->exchange, LEAT__EXCHANGE_HASH);
    assert_int_equal(edge->from_stage, 0);
    assert_int_equal(edge->to_stage, 1);
    assert_int_equal(edge->from.node, keyed.node);
    assert_int_equal(edge->to_node, counts.node);
    assert_ptr_equal(edge->type, &click_type);
    free_job(&job);
}

static leat_stream partitioned_clicks(leat_job *job)
{
    return leat_from_log(job, "clicks", &click_type,
                         &(leat_log_source){.topic = "clicks", .partitioned_by = "user"});
}

static void a_source_partitioned_by_the_key_needs_no_exchange(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream views = leat_filter(partitioned_clicks(&job), "views", keep_all, NULL);
    leat_to_log(count(leat_key_by(views, "user"), "count"), "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 1);
    assert_int_equal(plan->edge_count, 0);
    assert_string_equal(plan->stages[0].name, "count");
    free_job(&job);
}

static void another_key_of_a_partitioned_source_needs_one(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_to_log(count(leat_key_by(partitioned_clicks(&job), "item"), "count"), "out", &out_sink);
    assert_int_equal(plan_of(&job)->edge_count, 1);
    free_job(&job);
}

static void same_click(const void *in, void *out, void *arg)
{
    (void)arg;
    memcpy(out, in, sizeof(struct click));
}

static void behind_a_map_the_partitioning_of_the_source_does_not_count(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream changed =
        leat_map(partitioned_clicks(&job), "change", &click_type, same_click, NULL);
    leat_to_log(count(leat_key_by(changed, "user"), "count"), "out", &out_sink);
    assert_int_equal(plan_of(&job)->edge_count, 1);
    free_job(&job);
}

static void keying_twice_by_one_field_exchanges_once(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream once = leat_filter(leat_key_by(clicks_of(&job), "user"), "f", keep_all, NULL);
    leat_to_log(count(leat_key_by(once, "user"), "count"), "out", &out_sink);
    assert_int_equal(plan_of(&job)->edge_count, 1);
    free_job(&job);
}

static void late_records_lie_where_the_window_is(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream keyed = leat_key_by(partitioned_clicks(&job), "user");
    leat_stream counts = leat_window_aggregate(keyed, "w", &minute, &count_aggregate);
    leat_to_log(count(leat_key_by(leat_late(counts), "user"), "count"), "out", &out_sink);
    assert_int_equal(plan_of(&job)->stage_count, 1);
    free_job(&job);
}

static void two_operators_behind_one_key_by_share_its_stage(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream keyed = leat_key_by(clicks_of(&job), "user");
    leat_stream a = count(keyed, "a"), b = count(keyed, "b");
    leat_to_log(a, "out-a", &out_sink);
    leat_to_log(b, "out-b", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 2);
    assert_ptr_equal(stage_of(plan, a), stage_of(plan, b));
    assert_int_equal(plan->edge_count, 2);
    free_job(&job);
}

static void a_sink_behind_a_key_by_needs_no_exchange(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_to_log(leat_key_by(clicks_of(&job), "user"), "out", &out_sink);
    assert_int_equal(plan_of(&job)->stage_count, 1);
    free_job(&job);
}

static void a_second_key_gives_a_third_stage(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream counts = count(leat_key_by(clicks_of(&job), "item"), "first");
    leat_process_op again = count_op;
    again.in = &tally_type;
    leat_to_log(leat_process(leat_key_by(counts, "user"), "second", &again, NULL), "out",
                &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 3);
    assert_string_equal(plan->stages[1].name, "first");
    assert_string_equal(plan->stages[2].name, "second");
    free_job(&job);
}

/* ------------------------------------------------------------------ unions (J5) */

static void J5_a_union_inside_one_stage_needs_no_exchange(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream clicks = clicks_of(&job);
    leat_stream both = leat_union(leat_filter(clicks, "a", keep_all, NULL), "both",
                                  leat_filter(clicks, "b", keep_all, NULL));
    leat_to_log(both, "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 1);
    assert_int_equal(plan->edge_count, 0);
    free_job(&job);
}

static void J5_a_union_of_two_sources_forwards_partitions(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_to_log(leat_union(generated(&job, "a", 3), "both", generated(&job, "b", 5)), "out",
                &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 3);
    assert_int_equal(plan->edge_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(plan->edges[i].exchange, LEAT__EXCHANGE_FORWARD);
    assert_int_equal(plan->stages[2].partition_count, 5);
    free_job(&job);
}

static void J5_a_keyed_union_brings_equal_keys_together(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream both = leat_union(leat_key_by(generated(&job, "a", 3), "user"), "both",
                                  leat_key_by(generated(&job, "b", 5), "user"));
    leat_stream counts = count(both, "count");
    leat_to_log(count(leat_key_by(both, "user"), "again"), "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 3);
    assert_int_equal(plan->edge_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(plan->edges[i].exchange, LEAT__EXCHANGE_HASH);
    assert_ptr_equal(stage_of(plan, both), stage_of(plan, counts));
    free_job(&job);
}

static void J5_a_stream_joined_with_what_comes_of_it(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream keyed = leat_key_by(clicks_of(&job), "user");
    leat_stream both = leat_union(leat_filter(keyed, "f", keep_all, NULL), "both", keyed);
    leat_to_log(both, "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 2);
    assert_int_equal(plan->edge_count, 2);
    assert_int_equal(plan->stages[1].node_count, 3);
    free_job(&job);
}

static void J5_a_keyed_stream_joined_with_itself(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream keyed = leat_key_by(clicks_of(&job), "user");
    leat_to_log(leat_union(keyed, "twice", keyed), "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stage_count, 2);
    assert_int_equal(plan->edge_count, 2);
    free_job(&job);
}

/* Every edge leads to a later stage, every node follows its inputs (R23, T2). */
static void R23_the_plan_is_acyclic_and_nodes_stand_in_topological_order(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream clicks = clicks_of(&job);
    leat_stream by_user = leat_key_by(clicks, "user"), by_item = leat_key_by(clicks, "item");
    leat_stream mixed = leat_union(leat_filter(by_user, "f", keep_all, NULL), "mixed", by_item);
    leat_stream again = leat_union(mixed, "again", leat_filter(clicks, "g", keep_all, NULL));
    leat_to_log(count(leat_key_by(again, "item"), "count"), "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    for (size_t i = 0; i < plan->edge_count; i++)
        assert_true(plan->edges[i].from_stage < plan->edges[i].to_stage);
    size_t placed = 0;
    for (size_t i = 0; i < plan->stage_count; i++) {
        const leat__stage *stage = &plan->stages[i];
        for (size_t j = 1; j < stage->node_count; j++)
            assert_true(stage->nodes[j - 1] < stage->nodes[j]);
        placed += stage->node_count;
    }
    assert_int_equal(placed, job.graph.node_count);
    free_job(&job);
}

/* ------------------------------------------------------------------ partitions, numbers, checks */

static void partitions_behind_an_exchange_are_as_asked_or_as_the_widest_source(void **state)
{
    (void)state;
    for (uint32_t asked = 0; asked <= 8; asked += 8) {
        leat_job job = job_with((leat_job_opts){.name = "test", .partition_count = asked});
        (void)generated(&job, "wide", 6);
        leat_stream keyed = leat_key_by(generated(&job, "narrow", 2), "user");
        leat_stream counts = count(keyed, "count");
        leat_to_log(counts, "out", &out_sink);
        const leat__plan *plan = plan_of(&job);
        assert_int_equal(stage_of(plan, keyed)->partition_count, 2);
        assert_int_equal(stage_of(plan, counts)->partition_count, asked != 0 ? asked : 6);
        free_job(&job);
    }
}

static void partitions_of_a_topic_are_known_when_the_log_is_open(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_stream counts = count(leat_key_by(clicks_of(&job), "user"), "count");
    leat_to_log(counts, "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stages[0].partition_count, 0);
    assert_int_equal(plan->stages[1].partition_count, 0);
    free_job(&job);
}

static uint16_t number_of(const char *name)
{
    return (uint16_t)(leat__murmur2(name, strlen(name)) & 0xffff);
}

/* Two names with one 16-bit number: found by trying, there are enough. */
static void find_collision(char a[16], char b[16])
{
    static char seen[65536][16];
    memset(seen, 0, sizeof seen);
    for (int i = 0;; i++) {
        (void)snprintf(a, 16, "op%d", i);
        if (seen[number_of(a)][0] != '\0') {
            memcpy(b, seen[number_of(a)], 16);
            return;
        }
        memcpy(seen[number_of(a)], a, 16);
    }
}

static void names_that_share_their_number_on_disk_get_two(void **state)
{
    (void)state;
    char a[16], b[16];
    find_collision(a, b);
    leat_job job = new_job();
    leat_stream clicks = clicks_of(&job);
    leat_to_log(count(leat_key_by(clicks, "user"), a), "out-a", &out_sink);
    leat_to_log(count(leat_key_by(clicks, "item"), b), "out-b", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_not_equal(plan->stages[1].state_number, plan->stages[2].state_number);
    free_job(&job);
}

static void the_number_of_a_stage_without_state_gives_way(void **state)
{
    (void)state;
    char a[16], b[16];
    find_collision(a, b);
    leat_job job = new_job();
    leat_to_log(count(leat_key_by(generated(&job, a, 1), "user"), b), "out", &out_sink);
    const leat__plan *plan = plan_of(&job);
    assert_int_equal(plan->stages[1].state_number, number_of(b));
    assert_int_not_equal(plan->stages[0].state_number, plan->stages[1].state_number);
    free_job(&job);
}

static void on_row(void *arg, leat_str key, const void *record, const leat_log_record *origin)
{
    (void)arg;
    (void)key;
    (void)record;
    (void)origin;
}

static void a_job_needs_a_sink_or_a_table(void **state)
{
    (void)state;
    leat_job job = new_job();
    (void)clicks_of(&job);
    leat_error error;
    assert_int_equal(leat__graph_plan(&job.graph, &error), LEAT_EGRAPH);
    assert_non_null(strstr(error.message, "add a sink"));
    free_job(&job);
    job = new_job();
    leat_global_table(&job, "items",
                      &(leat_table){.topic = "items", .type = &click_type, .on_record = on_row});
    assert_int_equal(plan_of(&job)->stage_count, 0);
    free_job(&job);
}

static void planning_again_gives_the_same_plan(void **state)
{
    (void)state;
    leat_job job = new_job();
    leat_to_log(clicks_of(&job), "out", &out_sink);
    const leat__stage *stages = plan_of(&job)->stages;
    assert_ptr_equal(plan_of(&job)->stages, stages);
    free_job(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind_a_key_by_a_new_stage_starts),
        cmocka_unit_test(a_source_partitioned_by_the_key_needs_no_exchange),
        cmocka_unit_test(another_key_of_a_partitioned_source_needs_one),
        cmocka_unit_test(behind_a_map_the_partitioning_of_the_source_does_not_count),
        cmocka_unit_test(keying_twice_by_one_field_exchanges_once),
        cmocka_unit_test(late_records_lie_where_the_window_is),
        cmocka_unit_test(two_operators_behind_one_key_by_share_its_stage),
        cmocka_unit_test(a_sink_behind_a_key_by_needs_no_exchange),
        cmocka_unit_test(a_second_key_gives_a_third_stage),
        cmocka_unit_test(J5_a_union_inside_one_stage_needs_no_exchange),
        cmocka_unit_test(J5_a_union_of_two_sources_forwards_partitions),
        cmocka_unit_test(J5_a_keyed_union_brings_equal_keys_together),
        cmocka_unit_test(J5_a_stream_joined_with_what_comes_of_it),
        cmocka_unit_test(J5_a_keyed_stream_joined_with_itself),
        cmocka_unit_test(R23_the_plan_is_acyclic_and_nodes_stand_in_topological_order),
        cmocka_unit_test(partitions_behind_an_exchange_are_as_asked_or_as_the_widest_source),
        cmocka_unit_test(partitions_of_a_topic_are_known_when_the_log_is_open),
        cmocka_unit_test(names_that_share_their_number_on_disk_get_two),
        cmocka_unit_test(the_number_of_a_stage_without_state_gives_way),
        cmocka_unit_test(a_job_needs_a_sink_or_a_table),
        cmocka_unit_test(planning_again_gives_the_same_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
