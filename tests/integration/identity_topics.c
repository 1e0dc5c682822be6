/* Topics of the job's own that are deleted, or given more partitions, while it does not run: R16,
 * P2, S6, R26. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

#include "engine/operators.h"
#include "graph/graph.h"
#include "integration/identity_job.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include "log/sim/world.h"

static const kind first_stage = {.log = "sim", .exchange = true};
static const kind partitioned = {.log = "sim"};
static const char changelog[] = "life-tally-changelog";

/* ------------------------------------------------------------------ the topic of an exchange */

static const char exchange[] = "life-tally-repartition";
static const kind back_in_memory = {.log = "sim", .in_memory = true};

static void expect_refusal(leat_log *log, const kind *of, leat_status expected, const char *where,
                           const char *said)
{
    leat_error error;
    for (int start = 0; start < 2; start++) { /* it does not come to terms with it */
        leat_job *job = job_on(log, of, NULL);
        assert_int_equal(step(job, &error), expected);
        assert_string_equal(error.where, where);
        if (strstr(error.message, said) == NULL)
            fail_msg("'%s' is not in: %s", said, error.message);
        assert_non_null(strstr(error.message, "leat reset --log LOG life"));
        leat_job_free(job);
    }
}

/* The first stage has committed what it sent, the second nothing of it. */
static leat_log *half_way(void)
{
    int64_t begin, end = 0;
    bool busy;
    leat_log *log = open_new(&first_stage);
    make_topic(log, "events");
    append_events(log, READ);
    leat_job *job = job_on(log, &first_stage, NULL);
    for (int i = 0; i < STEPS && end == 0; i++) {
        assert_int_equal(leat_job_step(job, &busy, NULL), LEAT_OK);
        usleep(1000);
        assert_int_equal(leat_log_bounds(log, exchange, 0, &begin, &end, NULL), LEAT_OK);
    }
    assert_int_not_equal(end, 0);
    leat_job_free(job);
    assert_int_equal(written(log), 0);
    return log;
}

void records_under_way_in_a_deleted_topic_are_missed(void **state)
{
    (void)state; /* R16: before the stage behind it has committed, no position tells */
    const kind *of[] = {&first_stage, &back_in_memory};
    for (size_t k = 0; k < 2; k++) {
        leat_log *log = half_way();
        assert_int_equal(leat_topic_delete(log, exchange, NULL), LEAT_OK);
        expect_refusal(log, of[k], LEAT_ECORRUPT, exchange, "was deleted");
        assert_int_equal(written(log), 0);
        leat_log_close(log);
    }
}

void an_exchange_goes_back_to_memory_once_it_is_empty(void **state)
{
    (void)state; /* S6 */
    leat_log *log = half_way();
    expect_refusal(log, &back_in_memory, LEAT_EVERSION, exchange,
                   "set .exchange to LEAT_EXCHANGE_LOG as before");
    run_and_end(log, &first_stage);
    assert_int_equal(written(log), READ);
    append_event(log, "ann");
    run_and_end(log, &back_in_memory);
    assert_int_equal(written(log), READ + 1);
    append_event(log, "ann");
    run_and_end(log, &first_stage); /* and to the topic again */
    assert_int_equal(written(log), READ + 2);
    append_event(log, "ann");
    run_and_end(log, &back_in_memory);
    assert_int_equal(leat_topic_delete(log, exchange, NULL), LEAT_OK); /* nobody needs it */
    append_event(log, "ann");
    run_and_end(log, &back_in_memory);
    assert_int_equal(written(log), READ + 4);
    leat_log_close(log);
}

/* ------------------------------------------------------------------ partitions of the state */

/* As the version before wrote it: for how many partitions is not said. */
static void make_mark_older(leat_log *log)
{
    leat__entries entries;
    assert_int_equal(leat__entries_read(&entries, log, NULL, "life", NULL), LEAT_OK);
    leat__entry *mark = leat__entry_change(&entries, "/changelog/tally");
    assert_int_equal(mark->number, 1);
    mark->number = 0;
    assert_int_equal(leat__entries_write(&entries, log, 1000, NULL), LEAT_OK);
    leat__entries_free(&entries);
}

/* Nothing is in the new ones. */
static void set_partitions(leat_log *log, const char *topic, uint32_t count)
{
    sim_topic *found;
    assert_int_equal(leat__sim_topic_find(leat__sim_world_of(log), topic, &found, NULL), LEAT_OK);
    found->opts.partition_count = count;
}

void state_of_other_partitions_is_not_taken_for_none(void **state)
{
    (void)state; /* P2, R26: source and changelog agree, with each other */
    for (int older = 0; older < 2; older++) {
        leat_log *log = open_new(&partitioned);
        make_topic(log, "events");
        append_events(log, READ);
        run_and_end(log, &partitioned);
        if (older) { /* its present number is taken, and kept */
            make_mark_older(log);
            append_event(log, "ann");
            run_and_end(log, &partitioned);
        }
        set_partitions(log, "events", 4);
        set_partitions(log, changelog, 4);
        expect_refusal(log, &partitioned, LEAT_EGRAPH, changelog,
                       "made for 1 partitions and there are 4 now");
        set_partitions(log, "events", 1);
        set_partitions(log, changelog, 1);
        append_event(log, "ann");
        run_and_end(log, &partitioned);
        assert_int_equal(written(log), READ + 1 + older);
        leat_log_close(log);
    }
}
