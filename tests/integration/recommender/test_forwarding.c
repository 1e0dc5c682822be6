/* Two processes of the recommender, here as two jobs with a server each on one log: whichever is
 * asked for a user gives the same answer, and says so when it can't. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/recommender/job/operators.h"
#include "apps/recommender/serve/api.h"
#include "base/env.h"

enum { USERS = 20, PATIENCE_MS = 20000, TIMEOUT_MS = 200 };

typedef struct process {
    api api;
    int listen_fd; /* until the server has it */
    uint16_t port;
    char address[32], data_dir[80];
} process;

typedef struct shop {
    char dir[40];
    leat_log *log;
    process a, b;
    char answer[65536];
} shop;

static void listen_somewhere(process *self)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    self->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->listen_fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(self->listen_fd, 16), 0);
    assert_int_equal(getsockname(self->listen_fd, (struct sockaddr *)&address, &length), 0);
    self->port = ntohs(address.sin_port);
    (void)snprintf(self->address, sizeof self->address, "127.0.0.1:%u", self->port);
}

static void start_server(process *self)
{
    const http_options http = {.listen_fd = self->listen_fd,
                               .thread_count = 1,
                               .routes = api_routes,
                               .route_count = api_route_count,
                               .arg = &self->api,
                               .worker_new = api_worker_new,
                               .worker_free = api_worker_free};
    self->listen_fd = -1;
    self->api.phase = API_READY;
    assert_int_equal(http_server_start(&self->api.http, &http, NULL), LEAT_OK);
}

static void stop_server(process *self)
{
    http_server_stop(self->api.http);
    self->api.http = NULL;
}

static void start_process(shop *in, process *self, const char *instance, bool serves)
{
    recommender_settings settings = recommender_defaults();
    leat_error error = {0};
    *self = (process){0};
    listen_somewhere(self);
    (void)snprintf(self->data_dir, sizeof self->data_dir, "%s/%s", in->dir, instance);
    (void)mkdir(self->data_dir, 0700);
    settings.data_dir = self->data_dir;
    settings.instance = instance;
    settings.advertise = self->address;
    settings.exchange = LEAT_EXCHANGE_LOG;
    settings.worker_count = 1;
    if (recommender_job_new(&self->api.job, in->log, &settings, &error) != LEAT_OK ||
        leat_job_start(self->api.job->job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    self->api.log = in->log;
    self->api.appender = appender_start(in->log);
    self->api.proxy = proxy_start(self->address, TIMEOUT_MS);
    if (serves)
        start_server(self);
}

static void end_process(process *self)
{
    if (self->api.job == NULL)
        return;
    appender_stop(self->api.appender);
    proxy_stop(self->api.proxy);
    http_server_stop(self->api.http);
    recommender_job_free(self->api.job);
    if (self->listen_fd >= 0)
        close(self->listen_fd);
    *self = (process){0};
}

static int open_shop(void **state)
{
    shop *self = calloc(1, sizeof *self);
    char url[60];
    strcpy(self->dir, "/tmp/leat-forwarding-XXXXXX");
    if (mkdtemp(self->dir) == NULL)
        return -1;
    (void)snprintf(url, sizeof url, "embedded:%s/log", self->dir);
    *state = self;
    leat_status status = leat_log_open(&self->log, url, &(leat_log_opts){.no_sync = true}, NULL);
    return status == LEAT_OK ? 0 : -1;
}

static int close_shop(void **state)
{
    shop *self = *state;
    end_process(&self->a);
    end_process(&self->b);
    leat_log_close(self->log);
    char command[80];
    (void)snprintf(command, sizeof command, "rm -rf %s", self->dir);
    free(self);
    return system(command);
}

/* ------------------------------------------------------------------ requests */

static int request(shop *self, const process *to, const char *method, const char *path,
                   const char *header, const char *body)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(to->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    char text[1000];
    int length = snprintf(text, sizeof text,
                          "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s"
                          "Content-Length: %zu\r\n\r\n%s",
                          method, path, header, strlen(body), body);
    assert_int_equal(write(fd, text, (size_t)length), length);
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

static int recommend(shop *self, const process *to, int user, const char *header)
{
    char path[80];
    (void)snprintf(path, sizeof path, "/v1/users/user%%20%d/recommendations?n=5", user);
    return request(self, to, "GET", path, header, "");
}

static void post_event(shop *self, const process *to, int user, int item)
{
    char body[160];
    (void)snprintf(body, sizeof body,
                   "{\"user_id\":\"user %d\",\"item_id\":\"item%d\",\"timestamp_ms\":%lld}", user,
                   item, 1700000000000LL + item);
    assert_int_equal(request(self, to, "POST", "/v1/events", "", body), 202);
}

static bool has(const shop *self, const char *text)
{
    return strstr(self->answer, text) != NULL;
}

static void assert_has(const shop *self, const char *text)
{
    if (!has(self, text))
        fail_msg("'%s' is not in: %s", text, self->answer);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static leat_owner owner_of(const process *asked, int user)
{
    leat_owner owner;
    char key[16];
    (void)snprintf(key, sizeof key, "user %d", user);
    assert_int_equal(
        leat_job_owner(asked->api.job->job, SESSION_OP_NAME, leat_str_from(key), &owner, NULL),
        LEAT_OK);
    return owner;
}

/* Waits until both know who has whom. */
static void settle(const shop *self)
{
    for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 5, nap()) {
        int of_a = 0, agreed = 0;
        for (int user = 0; user < USERS; user++) {
            leat_owner by_a = owner_of(&self->a, user), by_b = owner_of(&self->b, user);
            of_a += by_a.kind == LEAT_OWNER_HERE;
            agreed += by_a.ready && by_b.ready && by_a.kind != by_b.kind &&
                      strcmp(by_a.address, by_b.address) == 0;
        }
        if (agreed == USERS && of_a > 0 && of_a < USERS)
            return;
    }
    fail_msg("the two do not agree who has whom");
}

/* A user that b has. */
static int user_of_b(const shop *self)
{
    int user = 0;
    while (owner_of(&self->a, user).kind != LEAT_OWNER_ELSEWHERE)
        user++;
    return user;
}

static void wait_for_answer(shop *self, const process *to, int user, const char *text)
{
    for (int waited_ms = 0; recommend(self, to, user, "") != 200 || !has(self, text);
         waited_ms += 5, nap())
        if (waited_ms > PATIENCE_MS)
            fail_msg("'%s' never comes: %s", text, self->answer);
}

/* The counts of items take a way of their own. */
static void wait_for_popular(shop *self, const process *at)
{
    for (int waited_ms = 0;
         request(self, at, "GET", "/v1/trending", "", "") != 200 || !has(self, "\"item_id\"");
         waited_ms += 5, nap())
        if (waited_ms > PATIENCE_MS)
            fail_msg("nothing gets popular: %s", self->answer);
}

/* ------------------------------------------------------------------ tests */

static void both_give_the_same_answer_and_name_who_gave_it(void **state)
{
    shop *self = *state;
    start_process(self, &self->a, "a", true);
    start_process(self, &self->b, "b", true);
    settle(self);
    for (int user = 0; user < USERS; user++) /* whoever takes an event */
        post_event(self, user % 2 == 0 ? &self->a : &self->b, user, user);
    int by_b = 0;
    for (int user = 0; user < USERS; user++) {
        static char first[65536];
        wait_for_answer(self, &self->a, user, "\"events\":1");
        strcpy(first, strstr(self->answer, "\r\n\r\n"));
        bool owned_by_b = has(self, "Leat-Owner: b\r\n");
        by_b += owned_by_b;
        wait_for_answer(self, &self->b, user, "\"events\":1");
        assert_has(self, owned_by_b ? "Leat-Owner: b\r\n" : "Leat-Owner: a\r\n");
        assert_null(strstr(self->answer, "fallback"));
        /* counts of items may still be on their way to one of the two: the session is not */
        assert_string_equal(strstr(self->answer, "\"session\""), strstr(first, "\"session\""));
    }
    assert_true(by_b > 0 && by_b < USERS);
    assert_int_equal(request(self, &self->a, "GET", "/metrics", "", ""), 200);
    assert_has(self, "leat_recommender_forwarded_total{result=\"answered\"}");
}

static void who_was_asked_in_vain_does_not_ask_on(void **state)
{
    shop *self = *state;
    start_process(self, &self->a, "a", true);
    start_process(self, &self->b, "b", true);
    settle(self);
    int user = user_of_b(self);
    assert_int_equal(recommend(self, &self->a, user, "Leat-Forwarded: somebody\r\n"), 421);
    assert_has(self, "urn:leat:problem:not-the-owner");
    assert_int_equal(recommend(self, &self->b, user, "Leat-Forwarded: somebody\r\n"), 200);
}

static void an_owner_that_is_gone_is_made_up_for(void **state)
{
    shop *self = *state; /* R20 */
    start_process(self, &self->a, "a", true);
    start_process(self, &self->b, "b", true);
    settle(self);
    int user = user_of_b(self);
    post_event(self, &self->a, user, 1);
    wait_for_answer(self, &self->a, user, "\"events\":1");
    wait_for_answer(self, &self->a, user, "Leat-Owner: b");
    wait_for_popular(self, &self->a);
    stop_server(&self->b); /* the process is gone, and the group has not noticed yet */
    assert_int_equal(recommend(self, &self->a, user, ""), 200);
    assert_has(self, "Leat-Fallback: owner-unreachable\r\n");
    assert_has(self, "\"fallback\":\"owner-unreachable\"");
    assert_has(self, "\"source\":\"popular\"");
    assert_int_equal(recommend(self, &self->a, user, ""), 200);
    assert_has(self, "\"fallback\":\"moving\""); /* it is not asked again at once */
    end_process(&self->b);
    wait_for_answer(self, &self->a, user, "\"events\":1"); /* a has the user now */
    assert_has(self, "Leat-Owner: a\r\n");
}

static void an_owner_that_is_slow_is_not_waited_for(void **state)
{
    shop *self = *state; /* R20 */
    start_process(self, &self->a, "a", true);
    start_process(self, &self->b, "b", false); /* it listens, and takes no requests */
    settle(self);
    int user = user_of_b(self);
    const leat_env *env = leat__env_system();
    for (int i = 0; i < 3; i++) {
        int64_t before_us = env->monotonic_us(env->arg);
        assert_int_equal(recommend(self, &self->a, user, ""), 200);
        int64_t took_ms = (env->monotonic_us(env->arg) - before_us) / 1000;
        assert_has(self, "\"fallback\":\"owner-slow\"");
        assert_in_range(took_ms, TIMEOUT_MS - 10, TIMEOUT_MS + 1000);
    }
    assert_int_equal(recommend(self, &self->a, user, ""), 200);
    assert_has(self, "\"fallback\":\"moving\"");
    start_server(&self->b);
    wait_for_answer(self, &self->a, user, "Leat-Owner: b\r\n"); /* a second later */
}

static void an_owner_that_starts_or_lost_the_user_is_made_up_for(void **state)
{
    shop *self = *state; /* R20 */
    start_process(self, &self->a, "a", true);
    start_process(self, &self->b, "b", true);
    settle(self);
    int user = user_of_b(self);
    self->b.api.phase = API_STARTING;
    assert_int_equal(recommend(self, &self->a, user, ""), 200);
    assert_has(self, "\"fallback\":\"restoring\"");
    self->b.api.phase = API_READY;
    assert_int_equal(recommend(self, &self->a, user, ""), 200);
    assert_has(self, "Leat-Owner: b\r\n");
}

static void a_single_process_asks_nobody(void **state)
{
    shop *self = *state;
    start_process(self, &self->a, "a", true);
    post_event(self, &self->a, 1, 1);
    wait_for_answer(self, &self->a, 1, "\"events\":1");
    assert_int_equal(request(self, &self->a, "GET", "/metrics", "", ""), 200);
    assert_has(self, "leat_recommender_forwarded_total{result=\"answered\"} 0");
    assert_has(self, "leat_recommender_fallbacks_total{reason=\"owner-slow\"} 0");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_shop, close_shop)
    const struct CMUnitTest tests[] = {
        TEST(both_give_the_same_answer_and_name_who_gave_it),
        TEST(who_was_asked_in_vain_does_not_ask_on),
        TEST(an_owner_that_is_gone_is_made_up_for),
        TEST(an_owner_that_is_slow_is_not_waited_for),
        TEST(an_owner_that_starts_or_lost_the_user_is_made_up_for),
        TEST(a_single_process_asks_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
