/* P2, R14: partitions that somebody adds to a topic of a job on a real broker. Equal keys would lie
 * in two places, so the job ends with the remedy, at its next start as well as while it runs.
 *
 *   2 partitions ─ job keeps state ─► 4 partitions ─► LEAT_EGRAPH, and the topic by name
 */
#include "log/driver.h"
#include "support/kafka_world.h"
#include <leat/leat.h>
#include <librdkafka/rdkafka.h>

enum { BEFORE = 2, AFTER = 4, USERS = 8, NOTICED_MS = 50000 };

struct view {
    leat_str user;
    int64_t ts_ms, number;
};
LEAT_RECORD(view, user, ts_ms, number);

/* What grows, and what is said. */
typedef struct growth {
    const char *topic;
    bool exchange, table;
    const char *said;
    const char *named_at_start; /* NULL: it may start again */
} growth;

static const growth growths[] = {
    {"views", false, false, "had 2 partitions when", "grow-numbering-changelog"},
    {"grow-numbering-changelog", false, false, "had 2 partitions when", "grow-numbering-changelog"},
    {"grow-numbering-changelog", true, false, "had 2 partitions when", "grow-numbering-changelog"},
    {"grow-numbering-repartition", true, false, "had 2 partitions when",
     "grow-numbering-repartition"},
    {"views", true, false, "had 2 partitions when", NULL},
    {"prices", false, true, "fill a new topic", NULL},
};
enum { GROWTHS = sizeof(growths) / sizeof(growths[0]) };

static leat_status number_view(leat_ctx *ctx, const void *record)
{
    struct view *last = leat_mut(ctx, 0), out = *(const struct view *)record;
    out.number = last->number + 1;
    *last = out;
    leat_emit(ctx, &out);
    return LEAT_OK;
}

static void ignore(void *arg, leat_str key, const void *record, const leat_log_record *origin)
{
    (void)arg;
    (void)key;
    (void)record;
    (void)origin;
}

static leat_job *numbering_job(const world *w, const growth *how)
{
    static const leat_process_op op = {.in = &view_type,
                                       .out = &view_type,
                                       .state = {{.name = "last", .type = &view_type}},
                                       .on_record = number_view};
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "grow",
                         .log = w->url,
                         .partition_count = how->exchange ? BEFORE : 0,
                         .exchange = how->exchange ? LEAT_EXCHANGE_LOG : LEAT_EXCHANGE_MEMORY});
    leat_stream in =
        leat_from_log(job, "views", &view_type,
                      &(leat_log_source){.topic = "views",
                                         .time_field = "ts_ms",
                                         .partitioned_by = how->exchange ? NULL : "user"});
    if (how->table)
        leat_global_table(
            job, "prices",
            &(leat_table){.topic = "prices", .type = &view_type, .on_record = ignore});
    leat_to_log(leat_process(leat_key_by(in, "user"), "numbering", &op, NULL), "numbered",
                &(leat_log_sink){.topic = "numbered", .key = "user"});
    return job;
}

/* ------------------------------------------------------------------ the topics */

static void await_partitions(world *w, const char *topic, uint32_t count)
{
    leat_topic_opts opts; /* not every part of a broker has heard of it at once */
    for (int64_t until_ms = steady_ms() + DEADLINE_MS; steady_ms() < until_ms; nap())
        if (leat_topic_describe(w->other, topic, &opts, NULL) == LEAT_OK &&
            opts.partition_count == count)
            return;
    fail_msg("%s has not got %u partitions", topic, (unsigned)count);
}

static void add_partitions(world *w, const char *topic)
{
    char name[200], reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", test_kafka_bootstrap(), NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    assert_non_null(rk);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    (void)snprintf(name, sizeof(name), "%s%s", w->prefix, topic);
    rd_kafka_NewPartitions_t *added =
        rd_kafka_NewPartitions_new(name, AFTER, reason, sizeof(reason));
    assert_non_null(added);
    rd_kafka_CreatePartitions(rk, &added, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, DEADLINE_MS);
    assert_non_null(event);
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(event), &count);
    assert_int_equal(count, 1);
    assert_int_equal(rd_kafka_topic_result_error(results[0]), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_NewPartitions_destroy(added);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    await_partitions(w, topic, AFTER);
}

static void view_once_each(world *w)
{
    for (int u = 0; u < USERS; u++) {
        char user[16], json[100];
        (void)snprintf(user, sizeof(user), "u%d", u);
        int length =
            snprintf(json, sizeof(json), "{\"user\":\"%s\",\"ts_ms\":1000,\"number\":0}", user);
        leat_log_record record = {.topic = "views",
                                  .partition = leat_partition_of(leat_str_from(user), BEFORE),
                                  .key = leat_str_from(user),
                                  .value = {json, (size_t)length},
                                  .timestamp_ms = 1000};
        must(w, leat_log_append(w->other, &record, 1, &w->error));
    }
}

/* ------------------------------------------------------------------ the job */

typedef struct running {
    world *w;
    leat_job *job;
} running;

static world *new_world(const growth *how)
{
    world *w = world_new("grow");
    world_topic(w, "views", BEFORE);
    if (how->table)
        world_topic(w, "prices", BEFORE);
    view_once_each(w);
    return w;
}

static leat_job *started(world *w, const growth *how)
{
    leat_job *job = numbering_job(w, how);
    must(w, leat_job_start(job, &w->error));
    leat_job_stats stats = {0};
    for (int64_t until_ms = steady_ms() + DEADLINE_MS; steady_ms() < until_ms; nap()) {
        leat_job_get_stats(job, &stats);
        if (stats.records_out >= USERS)
            return job;
    }
    fail_msg("%s: %llu of %d views are numbered", how->topic, (unsigned long long)stats.records_out,
             (int)USERS);
    return NULL;
}

static void assert_refused(const world *w, leat_status status, const char *topic, const char *said)
{
    assert_int_equal(status, LEAT_EGRAPH);
    assert_string_equal(w->error.where, topic);
    if (strstr(w->error.message, said) == NULL)
        fail_msg("'%s' is not in: %s", said, w->error.message);
}

/* All at once, as a job looks every 30 s. */
static void partitions_added_while_a_job_runs_end_it_by_the_topics_name(void **state)
{
    (void)state;
    running all[GROWTHS];
    for (size_t i = 0; i < GROWTHS; i++) {
        all[i].w = new_world(&growths[i]);
        all[i].job = started(all[i].w, &growths[i]);
        add_partitions(all[i].w, growths[i].topic);
    }
    for (int64_t until_ms = steady_ms() + NOTICED_MS; steady_ms() < until_ms;)
        nap();
    for (size_t i = 0; i < GROWTHS; i++) {
        world *w = all[i].w;
        leat_job_stop(all[i].job); /* one that has not noticed ends well */
        leat_status status = leat_job_wait(all[i].job, &w->error);
        assert_refused(w, status, growths[i].topic, growths[i].said);
        leat_job_free(all[i].job);
        world_free(w);
    }
}

static void so_do_those_added_between_two_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < GROWTHS; i++) {
        const growth *how = &growths[i];
        world *w = new_world(how);
        leat_job *job = started(w, how);
        leat_job_stop(job);
        must(w, leat_job_wait(job, &w->error));
        leat_job_free(job);
        add_partitions(w, how->topic);
        if (how->named_at_start == NULL) { /* nothing of it is by partition */
            view_once_each(w);
            job = started(w, how);
            leat_job_stop(job);
            must(w, leat_job_wait(job, &w->error));
        } else {
            job = numbering_job(w, how);
            leat_status status = leat_job_start(job, &w->error);
            if (status == LEAT_OK)
                status = leat_job_wait(job, &w->error);
            assert_refused(w, status, how->named_at_start, "use a new job name");
        }
        leat_job_free(job);
        world_free(w);
    }
}

/* The source and its changelog agree, with each other and not with what the state was made for. */
static void those_added_to_a_source_and_its_changelog_alike_are_noticed(void **state)
{
    (void)state;
    const growth *how = &growths[0];
    world *w = new_world(how);
    leat_job *job = started(w, how);
    leat_job_stop(job);
    must(w, leat_job_wait(job, &w->error));
    leat_job_free(job);
    add_partitions(w, "views");
    add_partitions(w, "grow-numbering-changelog");
    for (int start = 0; start < 2; start++) { /* it does not come to terms with it */
        job = numbering_job(w, how);
        leat_status status = leat_job_start(job, &w->error);
        assert_refused(w, status, "grow-numbering-changelog", "use a new job name");
        assert_refused(w, status, "grow-numbering-changelog", "made for 2 partitions");
        assert_refused(w, status, "grow-numbering-changelog", "there are 4 now");
        leat_job_free(job);
    }
    world_free(w);
}

int main(void)
{
    if (test_kafka_bootstrap() == NULL)
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_do_those_added_between_two_runs),
        cmocka_unit_test(those_added_to_a_source_and_its_changelog_alike_are_noticed),
        cmocka_unit_test(partitions_added_while_a_job_runs_end_it_by_the_topics_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
