/* Many batches, few appends; each is told what became of it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/serve/appender.h"

enum { BATCHES = 200, PER_BATCH = 3 };

typedef struct fixture {
    leat_log *log;
    appender *appender;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t done, failed;
} fixture;

static void on_done(append_batch *batch)
{
    fixture *self = batch->user;
    pthread_mutex_lock(&self->lock);
    self->done++;
    self->failed += batch->status != LEAT_OK;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

static void wait_for(fixture *self, size_t count)
{
    pthread_mutex_lock(&self->lock);
    while (self->done < count)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
}

static int open_log(void **state)
{
    static int number;
    char url[32];
    fixture *self = calloc(1, sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    snprintf(url, sizeof url, "sim:appender%d", number++);
    if (leat_log_open(&self->log, url, NULL, NULL) != LEAT_OK ||
        leat_topic_create(self->log, "t", &(leat_topic_opts){.partition_count = 1}, NULL) !=
            LEAT_OK)
        return -1;
    self->appender = appender_start(self->log);
    *state = self;
    return self->appender == NULL;
}

static int close_log(void **state)
{
    fixture *self = *state;
    appender_stop(self->appender);
    leat_log_close(self->log);
    free(self);
    return 0;
}

static void batch_fill(append_batch *batch, leat_log_record *records, const char *topic,
                       fixture *self)
{
    for (size_t i = 0; i < PER_BATCH; i++)
        records[i] = (leat_log_record){.topic = topic,
                                       .key = LEAT_STR("k"),
                                       .value = LEAT_STR("v"),
                                       .partition = LEAT_PARTITION_BY_KEY};
    *batch = (append_batch){.records = records,
                            .count = PER_BATCH,
                            .bytes = 2 * PER_BATCH,
                            .done = on_done,
                            .user = self};
}

static int64_t end_of_topic(const fixture *self)
{
    int64_t begin = 0, end = 0;
    assert_int_equal(leat_log_bounds(self->log, "t", 0, &begin, &end, NULL), LEAT_OK);
    return end;
}

static void every_batch_is_appended(void **state)
{
    fixture *self = *state;
    static append_batch batches[BATCHES];
    static leat_log_record records[BATCHES][PER_BATCH];
    for (size_t i = 0; i < BATCHES; i++) {
        batch_fill(&batches[i], records[i], "t", self);
        assert_true(appender_submit(self->appender, &batches[i]));
    }
    wait_for(self, BATCHES);
    assert_int_equal(self->failed, 0);
    assert_int_equal(end_of_topic(self), BATCHES * PER_BATCH);
    appender_stats stats = appender_get_stats(self->appender);
    assert_int_equal(stats.records, BATCHES * PER_BATCH);
    assert_true(stats.appends <= BATCHES);
}

static void a_failing_batch_does_not_take_others_with_it(void **state)
{
    fixture *self = *state;
    static append_batch batches[BATCHES];
    static leat_log_record records[BATCHES][PER_BATCH];
    for (size_t i = 0; i < BATCHES; i++) {
        batch_fill(&batches[i], records[i], i % 10 == 3 ? "no such topic" : "t", self);
        assert_true(appender_submit(self->appender, &batches[i]));
    }
    wait_for(self, BATCHES);
    assert_int_equal(self->failed, BATCHES / 10);
    assert_int_equal(end_of_topic(self), (BATCHES - BATCHES / 10) * PER_BATCH);
}

static void what_was_taken_is_done_before_it_stops(void **state)
{
    fixture *self = *state;
    static append_batch batches[BATCHES];
    static leat_log_record records[BATCHES][PER_BATCH];
    for (size_t i = 0; i < BATCHES; i++) {
        batch_fill(&batches[i], records[i], "t", self);
        assert_true(appender_submit(self->appender, &batches[i]));
    }
    appender_stop(self->appender);
    self->appender = NULL;
    assert_int_equal(self->done, BATCHES);
    assert_int_equal(end_of_topic(self), BATCHES * PER_BATCH);
}

static void a_full_queue_refuses(void **state)
{
    fixture *self = *state;
    static append_batch batches[BATCHES];
    static leat_log_record records[BATCHES][PER_BATCH];
    size_t taken = 0;
    for (size_t i = 0; i < BATCHES; i++) {
        batch_fill(&batches[i], records[i], "t", self);
        batches[i].bytes = 40 << 20; /* two of them are over the bound */
        taken += appender_submit(self->appender, &batches[i]);
    }
    wait_for(self, taken);
    assert_true(taken >= 1);
    assert_int_equal(end_of_topic(self), (int64_t)(taken * PER_BATCH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_batch_is_appended, open_log, close_log),
        cmocka_unit_test_setup_teardown(a_failing_batch_does_not_take_others_with_it, open_log,
                                        close_log),
        cmocka_unit_test_setup_teardown(what_was_taken_is_done_before_it_stops, open_log,
                                        close_log),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses, open_log, close_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
