/* The internal topic of an exchange on a real broker: what was read is deleted while the job runs,
 * also by a process that was killed and started again, and no result is lost by it.
 *
 *   this program ─ "words" ─► itself again, as the job ─ count-repartition ─► "counts" ─► checked
 *                             (SIGKILL, and once more)     begin moves up
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it */
#include "support/kafka.h"
#include <cmocka.h>
#include <leat/leat.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, PARTITIONS = 2, WORDS = 20, TRIM_MS = 300 };
static const char internal[] = "trimmed-count-repartition";

struct word {
    leat_str text;
};
LEAT_RECORD(word, text);
struct count {
    leat_str text;
    uint64_t seen;
};
LEAT_RECORD(count, text, seen);

/* ------------------------------------------------------------------ the job, in its own process */

static void see(void *acc, const void *record)
{
    struct count *count = acc;
    count->text = ((const struct word *)record)->text;
    count->seen++;
}

static int run_job(const char *url)
{
    static const leat_aggregate_op seeing = {.in = &word_type, .acc = &count_type, .add = see};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "trimmed",
                                                  .log = url,
                                                  .instance = "one",
                                                  .epoch_ms = 5,
                                                  .trim_interval_ms = TRIM_MS});
    leat_stream words =
        leat_from_log(job, "words", &word_type, &(leat_log_source){.topic = "words"});
    leat_stream counts = leat_aggregate(leat_key_by(words, "text"), "count", &seeing);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "counts", .key = "text"});
    leat_error error = {.status = LEAT_OK};
    leat_job_stop_on_signals(job);
    if (leat_job_run(job, &error) != LEAT_OK)
        fprintf(stderr, "%s: %s\n", error.where, error.message);
    leat_job_free(job);
    return leat_status_exit_code(error.status);
}

extern char **environ;

static pid_t start_job(const char *url)
{
    char program[] = "/proc/self/exe", *copy = strdup(url);
    char *arguments[] = {program, copy, NULL};
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, arguments, environ), 0);
    free(copy);
    return pid;
}

static void end_job(pid_t pid, int with_signal)
{
    int status;
    assert_int_equal(kill(pid, with_signal), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (with_signal == SIGTERM)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ------------------------------------------------------------------ looking at it */

static leat_log *open_log(char *url, size_t size)
{
    snprintf(url, size, "kafka:%s?leat.prefix=trim%lx-%x.&session.timeout.ms=6000",
             test_kafka_bootstrap(), (unsigned long)time(NULL), (unsigned)getpid());
    leat_log *log;
    leat_error error;
    if (leat_log_open(&log, url, NULL, &error) != LEAT_OK)
        fail_msg("%s", error.message);
    for (int i = 0; i < 2; i++)
        assert_int_equal(leat_topic_create(log, i == 0 ? "words" : "counts",
                                           &(leat_topic_opts){.partition_count = PARTITIONS}, NULL),
                         LEAT_OK);
    return log;
}

/* Every word once. */
static void send_words(leat_log *log)
{
    leat_log_record records[WORDS];
    char values[WORDS][32];
    for (int i = 0; i < WORDS; i++) {
        snprintf(values[i], sizeof values[i], "{\"text\":\"w%d\"}", i);
        records[i] = (leat_log_record){.topic = "words",
                                       .partition = (uint32_t)i % PARTITIONS,
                                       .value = leat_str_from(values[i]),
                                       .timestamp_ms = 1};
    }
    assert_int_equal(leat_log_append(log, records, WORDS, NULL), LEAT_OK);
}

static int64_t steady_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* Reads until so many counts have come; each word counts 1, 2, 3 ... */
static void expect_counts(leat_log_reader *reader, uint64_t *seen, uint64_t total)
{
    int64_t until_ms = steady_ms() + DEADLINE_MS;
    for (uint64_t all = 0; all < total;) {
        leat_log_record record;
        size_t polled;
        leat_error error;
        if (leat_log_reader_poll(reader, &record, 1, &polled, &error) != LEAT_OK)
            fail_msg("%s", error.message);
        if (polled == 1) {
            int word = -1;
            unsigned long long count = 0;
            char text[64];
            snprintf(text, sizeof text, "%.*s", (int)record.value.length, record.value.data);
            assert_int_equal(sscanf(text, "{\"text\":\"w%d\",\"seen\":%llu}", &word, &count), 2);
            assert_in_range(word, 0, WORDS - 1);
            assert_int_equal(count, ++seen[word]);
        } else {
            nap();
        }
        all = 0;
        for (int i = 0; i < WORDS; i++)
            all += seen[i];
        if (steady_ms() > until_ms)
            fail_msg("%llu counts of %llu", (unsigned long long)all, (unsigned long long)total);
    }
}

/* Of both partitions together; *end too. */
static int64_t begin_of(leat_log *log, int64_t *end)
{
    int64_t sum = 0;
    *end = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        int64_t first, last;
        assert_int_equal(leat_log_bounds(log, internal, p, &first, &last, NULL), LEAT_OK);
        sum += first;
        *end += last;
    }
    return sum;
}

/* Until all but the last few of the internal topic's offsets are deleted. */
static void expect_trimmed(leat_log *log, int64_t least)
{
    int64_t until_ms = steady_ms() + DEADLINE_MS, end;
    while (begin_of(log, &end) < least) {
        nap();
        if (steady_ms() > until_ms)
            fail_msg("%lld of %lld are deleted, not %lld", (long long)begin_of(log, &end),
                     (long long)end, (long long)least);
    }
}

/* ------------------------------------------------------------------ the test */

/* R10: a rewind and a restart go back to the committed offset; what lies below it may go. */
static void what_was_read_of_an_exchange_is_deleted(void **state)
{
    (void)state;
    char url[400];
    leat_log *log = open_log(url, sizeof url);
    leat_log_reader *reader;
    uint64_t seen[WORDS] = {0};
    int64_t end;
    assert_int_equal(leat_log_reader_new(log, NULL, NULL, &reader, NULL), LEAT_OK);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        assert_int_equal(leat_log_reader_seek(reader, "counts", p, 0, NULL), LEAT_OK);
    pid_t job = start_job(url);
    uint64_t total = 0;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 10; i++) {
            send_words(log);
            total += WORDS;
            expect_counts(reader, seen, i < 9 ? 0 : total);
        }
        expect_trimmed(log, (int64_t)total);
        send_words(log); /* on its way when the process dies */
        total += WORDS;
        end_job(job, SIGKILL);
        job = start_job(url);
        expect_counts(reader, seen, total);
    }
    end_job(job, SIGTERM);
    (void)begin_of(log, &end);
    assert_true(end > (int64_t)total); /* it was the topic that all of them went through */
    leat_log_reader_free(reader);
    leat_log_close(log);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return run_job(argv[1]);
    if (test_kafka_bootstrap() == NULL) {
        print_message("no broker: run it by ctest\n");
        return TEST_SKIPPED;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_read_of_an_exchange_is_deleted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
