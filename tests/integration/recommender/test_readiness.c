/* What the server says while the job has no partitions: R20; and while nothing proves that what it
 * has is the truth: R15. The job is stepped, the requests go
 * over a real socket. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/api.h"
#include "engine/run.h"
#include "integration/commit_fault.h"
#include "leat/test.h"

typedef struct shop {
    api api;
    leat_test *test;
    leat_log *log;
    uint16_t port;
    char answer[65536];
} shop;

static int open_shop(void **state)
{
    static int number;
    static char url[40];
    shop *self = calloc(1, sizeof *self);
    recommender_settings settings = recommender_defaults();
    (void)snprintf(url, sizeof url, "sim:readiness%d", number++);
    settings.log_url = url;
    if (recommender_job_new(&self->api.job, NULL, &settings, NULL) != LEAT_OK)
        return -1;
    self->test = leat_test_new(self->api.job->job);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return -1;
    self->port = ntohs(address.sin_port);
    const http_options http = {.listen_fd = fd,
                               .thread_count = 1,
                               .routes = api_routes,
                               .route_count = api_route_count,
                               .arg = &self->api,
                               .worker_new = api_worker_new,
                               .worker_free = api_worker_free};
    if (http_server_start(&self->api.http, &http, NULL) != LEAT_OK ||
        leat_log_open(&self->log, url, NULL, NULL) != LEAT_OK)
        return -1;
    *state = self;
    return 0;
}

static int close_shop(void **state)
{
    shop *self = *state;
    http_server_stop(self->api.http);
    leat_log_close(self->log);
    leat_test_free(self->test); /* and the job in it */
    self->api.job->job = NULL;
    recommender_job_free(self->api.job);
    free(self);
    return 0;
}

/* The status; head and body are in self->answer. */
static int get(shop *self, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(self->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    char request[200];
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)length), length);
    size_t got = 0;
    for (ssize_t part = 1; part > 0; got += (size_t)part) {
        part = read(fd, self->answer + got, sizeof self->answer - 1 - got);
        assert_true(part >= 0);
    }
    self->answer[got] = '\0';
    close(fd);
    assert_int_equal(sscanf(self->answer, "HTTP/1.1 %d", &status), 1);
    return status;
}

static void assert_has(const shop *self, const char *text)
{
    if (strstr(self->answer, text) == NULL)
        fail_msg("'%s' is not in: %s", text, self->answer);
}

static void send_events(shop *self)
{
    static const char *const items[] = {"boots", "socks", "laces"};
    for (int i = 0; i < 3; i++) {
        char text[200];
        (void)snprintf(text, sizeof text,
                       "{\"user_id\":\"ann\",\"item_id\":\"%s\",\"timestamp_ms\":%lld}", items[i],
                       1700000000000LL + i);
        leat_test_send_keyed(self->test, TOPIC_INTERACTIONS, "ann", text);
    }
    assert_int_equal(leat_test_run(self->test), LEAT_OK);
}

static void before_the_tables_are_read_nothing_is_answered(void **state)
{
    shop *self = *state; /* R20 */
    assert_int_equal(get(self, "/healthz"), 200);
    assert_int_equal(get(self, "/readyz"), 503);
    assert_has(self, "restoring");
    assert_int_equal(get(self, "/v1/users/ann/recommendations"), 503);
    assert_int_equal(get(self, "/metrics"), 200);
    assert_has(self, "leat_job_state{state=\"restoring\"} 1");
}

static void partitions_that_are_ready_say_so(void **state)
{
    shop *self = *state; /* R20 */
    send_events(self);
    self->api.phase = API_READY;
    assert_int_equal(get(self, "/readyz"), 200);
    assert_int_equal(get(self, "/metrics"), 200);
    assert_has(self, "leat_job_state{state=\"ready\"} 1");
    assert_has(self, ",partition=\"3\",state=\"ready\"} 1");
    assert_has(self, "leat_partition_restore_lag{stage=\"");
    assert_has(self, "leat_eos_violations_total 0");
    assert_has(self, "leat_stalled_seconds ");
    assert_has(self, "leat_records_lost_total 0");
}

/* Another process joins and leaves the job without partitions until it is gone. */
static leat_log_member *take_partitions(shop *self)
{
    const char *topic = TOPIC_INTERACTIONS;
    const leat_log_group group = {
        .group = RECOMMENDER_JOB_NAME, .instance = "another", .topics = &topic, .topic_count = 1};
    leat_log_member *member;
    leat_log_event event;
    assert_int_equal(leat_log_join(self->log, &group, NULL, NULL, &member, NULL), LEAT_OK);
    for (int i = 0; i < 10; i++)
        (void)leat_test_step(self->test);
    assert_int_equal(leat_log_member_poll(member, &event, NULL), LEAT_OK);
    assert_int_equal(event.kind, LEAT_LOG_ASSIGNED);
    return member;
}

static void while_partitions_are_away_everybody_gets_popular_items_and_it_is_said(void **state)
{
    shop *self = *state; /* R20: a marked fallback */
    send_events(self);
    self->api.phase = API_READY;
    leat_log_member *other = take_partitions(self);
    assert_int_equal(get(self, "/healthz"), 200);
    assert_int_equal(get(self, "/readyz"), 503);
    assert_has(self, "restoring");
    assert_int_equal(get(self, "/v1/users/ann/recommendations"), 200);
    assert_has(self, "\"fallback\":\"restoring\"");
    assert_has(self, "\"source\":\"popular\"");
    assert_int_equal(get(self, "/v1/trending"), 200);
    leat_log_leave(other);
    assert_int_equal(leat_test_run(self->test), LEAT_OK);
    assert_int_equal(get(self, "/readyz"), 200);
}

/* As long as it does not get past what it had read; docs/guide/operating.md says what to do. */
static void a_job_that_rewinds_and_does_not_get_on_is_not_ready(void **state)
{
    shop *self = *state; /* R30 */
    self->api.phase = API_READY;
    send_events(self);
    assert_int_equal(get(self, "/readyz"), 200);
    struct fault fault = {.status = LEAT_EABORTED, .times = 1000};
    inject(self->log, &fault);
    leat_test_send_keyed(self->test, TOPIC_INTERACTIONS, "ben",
                         "{\"user_id\":\"ben\",\"item_id\":\"boots\",\"timestamp_ms\":"
                         "1700000000009}");
    leat_job_stats stats = {0};
    for (int i = 0; i < 1000 && stats.rewinds_in_row < 3; i++) {
        leat__run *run = self->api.job->job->run;
        atomic_store(&run->barrier_wanted, true);
        (void)leat_test_step(self->test);
        leat_job_get_stats(self->api.job->job, &stats);
    }
    char said[100];
    assert_in_range(stats.rewinds_in_row, 3, 9); /* at 10 it ends */
    (void)snprintf(said, sizeof said, "an epoch has failed %u times in a row; the log says why",
                   stats.rewinds_in_row);
    assert_int_equal(get(self, "/readyz"), 503);
    assert_has(self, "urn:leat:problem:rewinding");
    assert_has(self, said);
    assert_int_equal(get(self, "/healthz"), 200);
    assert_int_equal(get(self, "/metrics"), 200);
    (void)snprintf(said, sizeof said, "leat_rewinds_in_row %u.0\n", stats.rewinds_in_row);
    assert_has(self, said);
    fault.times = 0;
    assert_int_equal(leat_test_run(self->test), LEAT_OK); /* it gets on */
    assert_int_equal(get(self, "/readyz"), 200);
    assert_int_equal(get(self, "/metrics"), 200);
    assert_has(self, "leat_rewinds_in_row 0.0\n");
    leat__sim_set_hooks(leat__sim_world_of(self->log), NULL);
}

static void a_stopping_server_drains(void **state)
{
    shop *self = *state; /* R20 */
    send_events(self);
    self->api.phase = API_READY;
    leat_job_stop(self->api.job->job);
    assert_int_equal(get(self, "/readyz"), 503);
    assert_has(self, "draining");
    assert_int_equal(get(self, "/metrics"), 200);
    assert_has(self, ",partition=\"0\",state=\"draining\"} 1");
}

static const char *const stale_paths[] = {"/v1/users/ann/recommendations", "/v1/trending",
                                          "/v1/items/boots/similar", "/readyz", NULL};

/* The job of these tests has no lease: it proves nothing while it has nothing to commit. */
static void without_a_commit_for_long_answers_are_marked(void **state)
{
    shop *self = *state; /* R15 */
    self->api.phase = API_READY;
    self->api.max_staleness_ms = LEAT_SECONDS(10);
    send_events(self);
    for (const char *const *path = stale_paths; *path != NULL; path++) {
        assert_int_equal(get(self, *path), 200);
        assert_null(strstr(self->answer, "stale"));
    }
    leat_test_advance(self->test, LEAT_SECONDS(11));
    for (const char *const *path = stale_paths; *path != NULL; path++) {
        assert_int_equal(get(self, *path), 200);
        assert_has(self, "Leat-Stale: 11.0");
        assert_has(self, ",\"stale\":true");
    }
    assert_int_equal(get(self, "/metrics"), 200);
    assert_has(self, "leat_proof_age_seconds 11.0");
    assert_has(self, "leat_recommender_stale_answers_total{how=\"marked\"} 4");
    send_events(self);
    assert_int_equal(get(self, "/v1/users/ann/recommendations"), 200);
    assert_null(strstr(self->answer, "tale"));
}

static void or_refused(void **state)
{
    shop *self = *state; /* R15 */
    self->api.phase = API_READY;
    self->api.max_staleness_ms = LEAT_SECONDS(10);
    self->api.refuse_stale = true;
    send_events(self);
    assert_int_equal(get(self, "/readyz"), 200);
    leat_test_advance(self->test, LEAT_SECONDS(11));
    for (const char *const *path = stale_paths; *path != NULL; path++) {
        assert_int_equal(get(self, *path), 503);
        assert_has(self, "urn:leat:problem:stale");
    }
    assert_int_equal(get(self, "/healthz"), 200);
    assert_int_equal(get(self, "/metrics"), 200);
    assert_has(self, "leat_recommender_stale_answers_total{how=\"refused\"} 4");
    send_events(self);
    assert_int_equal(get(self, "/readyz"), 200);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_shop, close_shop)
    const struct CMUnitTest tests[] = {
        TEST(before_the_tables_are_read_nothing_is_answered),
        TEST(partitions_that_are_ready_say_so),
        TEST(while_partitions_are_away_everybody_gets_popular_items_and_it_is_said),
        TEST(a_job_that_rewinds_and_does_not_get_on_is_not_ready),
        TEST(a_stopping_server_drains),
        TEST(without_a_commit_for_long_answers_are_marked),
        TEST(or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
