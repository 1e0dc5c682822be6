/* Runs that end where their input ends and are gone on with (W5): many of them give what one gives.
 *
 *   events of three partitions ─┬─► per user: a count with TTL           in the source's stage
 *                               ├─► per user: sessions, closed by timer
 *                               └─► per page: windows                    behind an exchange
 *
 * The same events are read by one run, which drains, and in pieces by runs of which only the last
 * does, with restarts and crashes between and in the middle of them.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include <leat/leat.h>
#include <leat/test.h>

enum { PARTITIONS = 3, EVENTS = 600, USERS = 7, PAGES = 5, OUT_OF_ORDER_MS = 400, SEEDS = 12 };

struct event {
    leat_str user, page;
    int64_t ts_ms;
};
LEAT_RECORD(event, user, page, ts_ms);

struct tally {
    leat_str name;
    int64_t from_ms, count;
};
LEAT_RECORD(tally, name, from_ms, count);

struct session {
    leat_str user;
    int64_t first_ms, last_ms, count;
};
LEAT_RECORD(session, user, first_ms, last_ms, count);

/* ------------------------------------------------------------------ the job */

static leat_status count_with_ttl(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    struct tally *tally = leat_mut(ctx, 0);
    tally->name = event->user;
    tally->count++;
    tally->from_ms = event->ts_ms;
    leat_emit(ctx, tally);
    return LEAT_OK;
}

static const leat_process_op counting = {
    .in = &event_type,
    .out = &tally_type,
    .state = {{.name = "count", .type = &tally_type, .ttl_ms = LEAT_SECONDS(3)}},
    .on_record = count_with_ttl};

/* A session ends when its user has been silent for 5 s: by the timer, or by the next event where
 * time has not got there yet. */
enum { GAP_MS = 5000 };

static leat_status extend_session(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    struct session *session = leat_mut(ctx, 0);
    if (session->count != 0 && event->ts_ms >= session->last_ms + GAP_MS) {
        leat_emit(ctx, session);
        session->count = 0;
    }
    if (session->count++ == 0)
        *session = (struct session){event->user, event->ts_ms, event->ts_ms, 1};
    if (event->ts_ms > session->last_ms)
        session->last_ms = event->ts_ms;
    leat_timer_set(ctx, 0, session->last_ms + GAP_MS);
    return LEAT_OK;
}

static leat_status close_session(leat_ctx *ctx, int timer)
{
    (void)timer;
    leat_emit(ctx, leat_get(ctx, 0));
    leat_del(ctx, 0);
    return LEAT_OK;
}

static const leat_process_op sessions = {.in = &event_type,
                                         .out = &session_type,
                                         .state = {{.name = "session", .type = &session_type}},
                                         .timer = {"silent"},
                                         .on_record = extend_session,
                                         .on_timer = close_session};

static void add_event(void *acc, const void *record)
{
    struct tally *tally = acc;
    tally->name = ((const struct event *)record)->page;
    tally->count++;
}

static void close_window(const void *acc, const leat_span *window, void *out)
{
    struct tally *tally = out;
    *tally = *(const struct tally *)acc;
    tally->from_ms = window->start_ms;
}

static const leat_aggregate_op per_window = {.in = &event_type,
                                             .acc = &tally_type,
                                             .out = &tally_type,
                                             .add = add_event,
                                             .result = close_window};

static const char *const outputs[] = {"counts", "sessions", "windows", "late"};
enum { OUTPUTS = sizeof outputs / sizeof outputs[0] };

static leat_job *job_on(const char *url, leat_exchange exchange, bool drain)
{
    leat_job *job = leat_job_new(&(leat_job_opts){
        .name = "job", .log = url, .partition_count = 2, .exchange = exchange, .drain = drain});
    leat_stream in = leat_from_log(job, "events", &event_type,
                                   &(leat_log_source){.topic = "events",
                                                      .time_field = "ts_ms",
                                                      .out_of_order_ms = OUT_OF_ORDER_MS,
                                                      .partitioned_by = "user",
                                                      .until_end = true});
    leat_stream users = leat_key_by(in, "user");
    static const leat_window ten = {.size_ms = LEAT_SECONDS(10)};
    leat_stream windows =
        leat_window_aggregate(leat_key_by(in, "page"), "per-page", &ten, &per_window);
    leat_stream made[OUTPUTS] = {leat_process(users, "ttl", &counting, NULL),
                                 leat_process(users, "session", &sessions, NULL), windows,
                                 leat_late(windows)};
    for (size_t i = 0; i < OUTPUTS; i++)
        leat_to_log(made[i], outputs[i],
                    &(leat_log_sink){.topic = outputs[i], .partition_count = 1});
    return job;
}

/* ------------------------------------------------------------------ the events */

typedef struct world {
    char url[64];
    leat_log *log; /* keeps the simulated log while tests come and go */
    uint64_t random;
} world;

static uint32_t draw(world *w, uint32_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w->random >> 33) % below;
}

typedef struct sent {
    uint32_t partition;
    char json[96];
} sent;

/* A name that lies in partition number % PARTITIONS, as partitioned_by says (P1). */
static void name_of(char name[16], const char *kind, uint32_t number)
{
    char letter = 'a';
    do
        (void)snprintf(name, 16, "%.4s%" PRIu32 "%c", kind, number, letter++);
    while (leat__partition_of(leat_str_from(name), PARTITIONS) != number % PARTITIONS);
}

/* A user is busy for 4 s of each 16, at a time of its own; within a partition events come up to the
 * bound out of order. */
static void make_events(world *w, sent *events)
{
    int64_t slot_ms = 0;
    for (int i = 0; i < EVENTS; i++) {
        slot_ms = INT64_C(1700000000000) + (int64_t)i * 100;
        uint32_t user = draw(w, USERS);
        int64_t turn_ms = slot_ms / 16000 * 16000 + user * 1500;
        int64_t ts_ms = slot_ms - draw(w, OUT_OF_ORDER_MS);
        if (ts_ms < turn_ms || ts_ms > turn_ms + 4000)
            user = USERS + draw(w, PARTITIONS); /* who keeps time going: no session, see below */
        char name[16];
        name_of(name, "u", user);
        events[i].partition = user % PARTITIONS;
        (void)snprintf(events[i].json, sizeof events[i].json,
                       "{\"user\":\"%s\",\"page\":\"p%" PRIu32 "\",\"ts_ms\":%" PRId64 "}", name,
                       draw(w, PAGES), ts_ms);
    }
}

static void append(world *w, const sent *events, int count)
{
    for (int i = 0; i < count; i++) {
        leat_log_record record = {.topic = "events",
                                  .partition = events[i].partition,
                                  .value = leat_str_from(events[i].json)};
        assert_int_equal(leat_log_append(w->log, &record, 1, NULL), LEAT_OK);
    }
}

static world *open_world(const char *name, uint64_t seed)
{
    static int opened;
    world *w = calloc(1, sizeof *w);
    const leat_topic_opts opts = {.partition_count = PARTITIONS};
    w->random = seed;
    (void)snprintf(w->url, sizeof w->url, "sim:bounded-%s-%d", name, opened++);
    assert_int_equal(leat_log_open(&w->log, w->url, NULL, NULL), LEAT_OK);
    assert_int_equal(leat_topic_create(w->log, "events", &opts, NULL), LEAT_OK);
    return w;
}

static void close_world(world *w)
{
    leat_log_close(w->log);
    free(w);
}

/* ------------------------------------------------------------------ results */

typedef struct results {
    char *lines[4 * EVENTS];
    size_t count;
} results;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static results *results_of(leat_test *test)
{
    results *all = calloc(1, sizeof *all);
    for (size_t i = 0; i < OUTPUTS; i++) {
        const char *json;
        while ((json = leat_test_next_json(test, outputs[i])) != NULL) {
            assert_true(all->count < sizeof all->lines / sizeof all->lines[0]);
            size_t length = strlen(outputs[i]) + 1 + strlen(json) + 1;
            char *line = all->lines[all->count++] = malloc(length);
            (void)snprintf(line, length, "%s %s", outputs[i], json);
        }
    }
    qsort(all->lines, all->count, sizeof(char *), by_text);
    return all;
}

static void free_results(results *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->lines[i]);
    free(all);
}

static void expect_same(const results *one, const results *many, uint64_t seed)
{
    for (size_t i = 0; i < one->count && i < many->count; i++)
        if (strcmp(one->lines[i], many->lines[i]) != 0)
            fail_msg("seed %" PRIu64 ": one run has %s, many have %s", seed, one->lines[i],
                     many->lines[i]);
    assert_int_equal(many->count, one->count);
}

static void run(leat_test *test)
{
    if (leat_test_run(test) != LEAT_OK)
        fail_msg("%s: %s", leat_test_error(test)->where, leat_test_error(test)->message);
}

/* ------------------------------------------------------------------ one run, many runs */

static results *in_one_run(uint64_t seed, const sent *events, leat_exchange exchange)
{
    world *w = open_world("one", seed);
    append(w, events, EVENTS);
    leat_test *test = leat_test_new(job_on(w->url, exchange, true));
    run(test);
    results *all = results_of(test);
    leat_test_free(test);
    close_world(w);
    return all;
}

static results *in_many_runs(uint64_t seed, const sent *events, leat_exchange exchange)
{
    world *w = open_world("many", seed);
    leat_test *test = leat_test_new(job_on(w->url, exchange, false));
    for (int from = 0; from < EVENTS;) {
        int count = 1 + (int)draw(w, 90);
        count = count < EVENTS - from ? count : EVENTS - from;
        append(w, events + from, count);
        from += count;
        for (uint32_t steps = draw(w, 4) == 0 ? draw(w, 30) : 0; steps > 0; steps--)
            (void)leat_test_step(test);
        if (draw(w, 3) == 0)
            leat_test_crash(test); /* in the middle of it: the next run has the rest, too */
        else
            run(test);
        leat_test_restart(test);
    }
    leat_test *last = leat_test_new(job_on(w->url, exchange, true));
    run(last);
    results *all = results_of(last);
    leat_test_free(last);
    leat_test_free(test);
    close_world(w);
    return all;
}

static void W5_many_runs_give_what_one_gives(void **state)
{
    (void)state;
    static sent events[EVENTS];
    for (leat_exchange exchange = LEAT_EXCHANGE_MEMORY; exchange <= LEAT_EXCHANGE_LOG; exchange++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            world maker = {.random = seed * 7919};
            make_events(&maker, events);
            results *one = in_one_run(seed, events, exchange);
            results *many = in_many_runs(seed, events, exchange);
            assert_true(one->count > EVENTS); /* counts of all events, sessions, windows */
            expect_same(one, many, seed);
            free_results(one);
            free_results(many);
        }
}

/* ------------------------------------------------------------------ what a drain leaves */

static void send(leat_test *test, const char *user, int64_t ts_ms)
{
    char json[96], name[16];
    for (uint32_t p = 0; p < PARTITIONS; p++) { /* time is the least of the partitions */
        name_of(name, user, p);
        (void)snprintf(json, sizeof json, "{\"user\":\"%s\",\"page\":\"p\",\"ts_ms\":%" PRId64 "}",
                       name, ts_ms);
        leat_test_send_to(test, "events", p, json);
    }
}

static size_t count_of(leat_test *test, const char *topic)
{
    size_t count = 0;
    while (leat_test_next_json(test, topic) != NULL)
        count++;
    return count;
}

static void W5_without_drain_what_is_open_stays_open(void **state)
{
    (void)state;
    world *w = open_world("open", 1);
    leat_test *test = leat_test_new(job_on(w->url, LEAT_EXCHANGE_MEMORY, false));
    send(test, "u", 1000);
    leat_test_restart(test); /* the first run had nothing to read */
    run(test);
    assert_int_equal(count_of(test, "counts"), PARTITIONS);
    assert_int_equal(count_of(test, "sessions"), 0);
    assert_int_equal(count_of(test, "windows"), 0);
    leat_test_restart(test);
    send(test, "u", 2000);
    leat_test_restart(test);
    run(test);
    leat_test *last = leat_test_new(job_on(w->url, LEAT_EXCHANGE_MEMORY, true));
    leat_test_restart(test);
    run(last);
    assert_string_equal(leat_test_next_json(last, "windows"),
                        "{\"name\":\"p\",\"from_ms\":0,\"count\":6}");
    assert_int_equal(count_of(last, "sessions"), PARTITIONS);
    leat_test_free(last);
    leat_test_free(test);
    close_world(w);
}

static void W5_who_goes_on_behind_a_drain_says_so(void **state)
{
    (void)state;
    for (leat_exchange exchange = LEAT_EXCHANGE_MEMORY; exchange <= LEAT_EXCHANGE_LOG; exchange++) {
        world *w = open_world("behind", exchange);
        leat_job *job = job_on(w->url, exchange, true);
        leat_test *test = leat_test_new(job);
        leat_job_stats stats;
        send(test, "u", 1000);
        leat_test_restart(test);
        run(test);
        assert_int_equal(count_of(test, "windows"), 1);
        leat_test_restart(test);
        run(test); /* there is nothing new: nothing is said */
        leat_job_get_stats(job, &stats);
        assert_int_equal(stats.resumed_after_drain, 0);
        leat_test_restart(test);
        send(test, "u", 2000);
        leat_test_restart(test);
        run(test);
        leat_job_get_stats(job, &stats);
        assert_int_equal(stats.resumed_after_drain, PARTITIONS);
        assert_string_equal(leat_test_next_json(test, "windows"),
                            "{\"name\":\"p\",\"from_ms\":0,\"count\":3}"); /* a second result */
        leat_test_free(test);
        close_world(w);
    }
}

/* The end of the input is no time by which state gets old. */
static void S2_a_drain_takes_no_value_before_its_time(void **state)
{
    (void)state;
    world *w = open_world("ttl", 1);
    leat_test *test = leat_test_new(job_on(w->url, LEAT_EXCHANGE_MEMORY, true));
    for (int64_t second = 1; second <= 4; second++) {
        send(test, "u", second * 1000);
        leat_test_restart(test);
        run(test);
        leat_test_restart(test);
    }
    for (int64_t second = 1; second <= 4; second++)
        for (int p = 0; p < PARTITIONS; p++) {
            const char *json = leat_test_next_json(test, "counts");
            assert_non_null(json);
            assert_int_equal(strtol(strstr(json, "\"count\":") + 8, NULL, 10), second);
        }
    leat_test_free(test);
    close_world(w);
}

/* ------------------------------------------------------------------ timers of the clock */

static leat_status wait_a_minute(leat_ctx *ctx, const void *record)
{
    (void)record;
    leat_timer_set_clock(ctx, 0, leat_clock(ctx) + LEAT_MINUTES(1));
    return LEAT_OK;
}

static leat_status minute_is_over(leat_ctx *ctx, int timer)
{
    const struct tally over = {.name = leat_key(ctx), .count = timer};
    leat_emit(ctx, &over);
    return LEAT_OK;
}

static const leat_process_op waiting = {.in = &event_type,
                                        .out = &tally_type,
                                        .timer = {"minute"},
                                        .on_record = wait_a_minute,
                                        .on_timer = minute_is_over};

/* Neither the end nor a drain takes the clock anywhere: they fire in the run in which they are due,
 * which may be one that has nothing to read. */
static void W5_timers_of_the_clock_fire_when_they_are_due(void **state)
{
    (void)state;
    for (int n = 0; n < 8; n++) {
        bool drain = n & 1, exchanged = n & 2;
        leat_exchange exchange = n & 4 ? LEAT_EXCHANGE_LOG : LEAT_EXCHANGE_MEMORY;
        world *w = open_world("clock", 1);
        leat_job *job = leat_job_new(
            &(leat_job_opts){.name = "job", .log = w->url, .exchange = exchange, .drain = drain});
        leat_stream in =
            leat_from_log(job, "events", &event_type,
                          &(leat_log_source){.topic = "events",
                                             .time_field = "ts_ms",
                                             .partitioned_by = exchanged ? NULL : "user",
                                             .until_end = true});
        leat_stream over = leat_process(leat_key_by(in, "user"), "wait", &waiting, NULL);
        leat_to_log(over, "out", &(leat_log_sink){.topic = "out", .partition_count = 1});
        leat_test *test = leat_test_new(job);
        send(test, "u", 1000);
        leat_test_restart(test);
        run(test);
        assert_int_equal(count_of(test, "out"), 0);
        leat_test_restart(test);
        leat_test_advance(test, LEAT_SECONDS(61));
        assert_int_equal(count_of(test, "out"), PARTITIONS);
        leat_test_restart(test);
        run(test);
        assert_int_equal(count_of(test, "out"), 0);
        leat_test_free(test);
        close_world(w);
    }
}

static void a_drain_without_an_end_is_refused(void **state)
{
    (void)state;
    leat_job *job =
        leat_job_new(&(leat_job_opts){.name = "job", .log = "sim:bounded-refused", .drain = true});
    leat_stream in =
        leat_from_log(job, "events", &event_type, &(leat_log_source){.topic = "events"});
    leat_to_log(in, "out", &(leat_log_sink){.topic = "out"});
    leat_error error;
    assert_int_equal(leat_job_run(job, &error), LEAT_EINVAL);
    assert_non_null(strstr(error.message, "until_end"));
    leat_job_free(job);
}

static void an_offset_of_a_newer_format_is_refused(void **state)
{
    (void)state; /* R26 */
    world *w = open_world("newer", 1);
    leat_log_member *member = NULL;
    leat_log_txn *txn = NULL;
    leat_log_event event = {.kind = LEAT_LOG_NOTHING};
    const char *topics[] = {"events"};
    const leat_log_group group = {
        .group = "job", .instance = "0", .topics = topics, .topic_count = 1};
    assert_int_equal(leat_log_join(w->log, &group, NULL, NULL, &member, NULL), LEAT_OK);
    while (event.kind != LEAT_LOG_ASSIGNED)
        assert_int_equal(leat_log_member_poll(member, &event, NULL), LEAT_OK);
    const leat_log_offset offset = {
        .topic = "events", .partition = 0, .offset = 0, .metadata = LEAT_STR("9 1000 1 -")};
    assert_int_equal(leat_log_begin(member, event.generation, &txn, NULL), LEAT_OK);
    assert_int_equal(leat_log_txn_offsets(txn, &offset, 1, NULL), LEAT_OK);
    assert_int_equal(leat_log_txn_commit(txn, NULL), LEAT_OK);
    leat_log_leave(member);
    leat_test *test = leat_test_new(job_on(w->url, LEAT_EXCHANGE_MEMORY, false));
    assert_int_equal(leat_test_run(test), LEAT_EVERSION);
    assert_non_null(strstr(leat_test_error(test)->message, "format 9"));
    leat_test_free(test);
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(W5_many_runs_give_what_one_gives),
        cmocka_unit_test(W5_without_drain_what_is_open_stays_open),
        cmocka_unit_test(W5_who_goes_on_behind_a_drain_says_so),
        cmocka_unit_test(S2_a_drain_takes_no_value_before_its_time),
        cmocka_unit_test(W5_timers_of_the_clock_fire_when_they_are_due),
        cmocka_unit_test(a_drain_without_an_end_is_refused),
        cmocka_unit_test(an_offset_of_a_newer_format_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
