/* State that expires while nothing comes: epochs are opened for the sweep, in memory and in a
 * database, by the clock and by a watermark that moves elsewhere (S2, R22, R24). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leat/leat.h>
#include <leat/test.h>

enum { KEYS = 3000, TTL_MS = 60000, CLOCKED = 0, AGED, LISTED, MAPPED };

struct event {
    leat_str user;
    int64_t ts_ms;
};
LEAT_RECORD(event, user, ts_ms);
struct seen {
    int64_t at_ms;
};
LEAT_RECORD(seen, at_ms);

static leat_status remember(leat_ctx *ctx, const void *record)
{
    const struct event *event = record;
    const struct seen seen = {event->ts_ms};
    uint64_t minute = (uint64_t)event->ts_ms / 60000;
    *(struct seen *)leat_mut(ctx, CLOCKED) = seen;
    *(struct seen *)leat_mut(ctx, AGED) = seen;
    leat_list_append(ctx, LISTED, &seen);
    *(struct seen *)leat_map_mut(ctx, MAPPED, &minute) = seen;
    return LEAT_OK;
}

static const leat_process_op remembering = {
    .in = &event_type,
    .out = &seen_type,
    .state = {[CLOCKED] = {.name = "clocked",
                           .type = &seen_type,
                           .ttl_ms = TTL_MS,
                           .ttl_processing_time = true},
              [AGED] = {.name = "aged", .type = &seen_type, .ttl_ms = TTL_MS},
              [LISTED] =
                  {.name = "listed", .kind = LEAT_STATE_LIST, .type = &seen_type, .ttl_ms = TTL_MS},
              [MAPPED] = {.name = "mapped",
                          .kind = LEAT_STATE_MAP,
                          .map_key = &leat_type_u64,
                          .type = &seen_type,
                          .ttl_ms = TTL_MS}},
    .on_record = remember,
};

static int sequence;
static leat_job *job; /* of the test that runs */

static leat_test *start(const char *url, const char *state_dir)
{
    job = leat_job_new(&(leat_job_opts){
        .name = "quiet", .log = url, .state_dir = state_dir, .partition_count = 2});
    leat_stream events = leat_from_log(
        job, "events", &event_type, &(leat_log_source){.topic = "events", .time_field = "ts_ms"});
    leat_to_log(leat_process(leat_key_by(events, "user"), "remember", &remembering, NULL), "out",
                &(leat_log_sink){.topic = "out"});
    leat_test *test = leat_test_new(job);
    if (leat_test_run(test) != LEAT_OK) /* makes the topic */
        fail_msg("%s", leat_test_error(test)->message);
    char json[80];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(json, sizeof json, "{\"user\":\"u%d\",\"ts_ms\":%d}", i, 1000 + i % 7);
        leat_test_send_json(test, "events", json);
    }
    assert_int_equal(leat_test_run(test), LEAT_OK);
    return test;
}

/* Keys of which the changelog holds a value now. */
static size_t live_rows(const char *url, uint8_t kind)
{
    leat_error error;
    leat_log *log;
    size_t live = 0;
    assert_int_equal(leat_log_open(&log, url, NULL, &error), LEAT_OK);
    leat_log_reader *reader;
    assert_int_equal(leat_log_reader_new(log, NULL, NULL, &reader, &error), LEAT_OK);
    for (uint32_t p = 0; p < 2; p++)
        assert_int_equal(leat_log_reader_seek(reader, "quiet-remember-changelog", p, 0, &error),
                         LEAT_OK);
    leat_log_record records[256];
    size_t count;
    do {
        assert_int_equal(leat_log_reader_poll(reader, records, 256, &count, &error), LEAT_OK);
        for (size_t i = 0; i < count; i++)
            if ((uint8_t)records[i].key.data[0] == kind) /* each is written once */
                live += records[i].value.data != NULL ? 1 : (size_t)-1;
    } while (count != 0);
    leat_log_reader_free(reader);
    leat_log_close(log);
    return live;
}

static void quiet_state_expires(const char *state_dir)
{
    enum { VALUE = 0x10, LIST = 0x11, MAP = 0x13 };
    char url[32];
    (void)snprintf(url, sizeof url, "sim:quiet-%d", sequence++);
    leat_test *test = start(url, state_dir);
    assert_int_equal(live_rows(url, VALUE), 2 * KEYS);
    for (int i = 0; i < 400; i++)
        leat_test_advance(test, TTL_MS / 200);
    assert_int_equal(live_rows(url, VALUE), KEYS); /* by the clock */
    assert_int_equal(live_rows(url, LIST), KEYS);  /* event time has not moved */
    for (uint32_t p = 0; p < 4; p++)               /* it moves, without a key of the old ones */
        leat_test_send_to(test, "events", p, "{\"user\":\"new\",\"ts_ms\":200000}");
    for (int i = 0; i < 400; i++)
        leat_test_advance(test, 50);
    assert_int_equal(live_rows(url, LIST), 1);
    assert_int_equal(live_rows(url, MAP), 1);
    for (int i = 0; i < 400; i++)
        leat_test_advance(test, TTL_MS / 100);
    leat_job_stats before, after; /* and then there is peace */
    leat_job_get_stats(job, &before);
    for (int i = 0; i < 400; i++)
        leat_test_advance(test, TTL_MS / 100);
    leat_job_get_stats(job, &after);
    assert_int_equal(after.epochs, before.epochs);
    leat_test_free(test);
}

static void in_memory(void **state)
{
    (void)state;
    quiet_state_expires(NULL);
}

static void in_a_database(void **state)
{
    (void)state;
    char dir[] = "/tmp/leat-ttl-XXXXXX", command[80];
    assert_non_null(mkdtemp(dir));
    quiet_state_expires(dir);
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"R22 R24 state in memory expires in a quiet job, and then there is peace", in_memory, NULL,
         NULL, NULL},
        {"R22 R24 state in a database expires in a quiet job, and then there is peace",
         in_a_database, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
