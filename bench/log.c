/* bench/log.c - the embedded log: appends, commits, reading, beside the bare disk.
 *
 *   fdatasync of 100 bytes            the floor that no durable write can beat
 *   append, 1 and 16 threads          group commit: the sync is shared
 *   commit of 1, 100, 10,000 records  what an epoch costs
 *   poll                              empty, of 10 records just committed, of everything
 *
 * What was written is read back and checked before a speed is printed.  `--quick` a tenth,
 * `--json`,
 * `--dir DIR` where (default: below TMPDIR).
 */
#include "bench/support/machine.h"
#include <fcntl.h>
#include <inttypes.h>
#include <leat/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { VALUE_BYTES = 40, SAMPLES_MAX = 200000, THREADS_MAX = 16, POLL_RECORDS = 1000 };

typedef struct bench {
    leat_log *log;
    bool json;
    double scale;
    const char *dir;
    uint32_t samples[SAMPLES_MAX];
    size_t sample_count;
} bench;

static void check(leat_status status, const leat_error *error)
{
    if (status == LEAT_OK)
        return;
    fprintf(stderr, "bench log: %s: %s\n", error->where, error->message);
    exit(leat_status_exit_code(status));
}

static void expect(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "bench log: WRONG RESULT: %s\n", what);
    exit(1);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static size_t scaled(const bench *b, double count)
{
    double result = count * b->scale;
    return result < 10 ? 10 : (size_t)result;
}

static void sample(bench *b, int64_t start_ns)
{
    if (b->sample_count < SAMPLES_MAX)
        b->samples[b->sample_count++] = (uint32_t)(bench_now_ns() - start_ns);
}

/* One line: latency per call from the samples, records per second of wall and of CPU time. */
static void report(bench *b, const char *name, double records, double seconds, double cpu)
{
    bench_quantiles q = bench_quantiles_of(b->samples, b->sample_count);
    double us = 1e-3, rate = records / seconds;
    if (b->json)
        printf("{\"bench\":\"log\",\"case\":\"%s\",\"p50_us\":%.2f,\"p90_us\":%.2f,\"p99_us\":%.2f,"
               "\"max_us\":%.2f,\"records_per_s\":%.0f,\"cpu_us_per_record\":%.3f}\n",
               name, q.p50 * us, q.p90 * us, q.p99 * us, q.max * us, rate, cpu * 1e6 / records);
    else
        printf("%-34s %10.2f %10.2f %10.2f %12.0f %12.3f\n", name, q.p50 * us, q.p90 * us,
               q.p99 * us, rate, cpu * 1e6 / records);
    fflush(stdout);
    b->sample_count = 0;
}

static void make_topic(bench *b, const char *name, uint32_t partitions)
{
    leat_error error;
    check(
        leat_topic_create(b->log, name, &(leat_topic_opts){.partition_count = partitions}, &error),
        &error);
}

/* ---------------------------------------------------------------- the floor */

static void bare_sync(bench *b)
{
    char path[600], bytes[100] = "x";
    snprintf(path, sizeof path, "%s/bare", b->dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    expect(fd >= 0, "cannot create a file");
    size_t count = scaled(b, 2000);
    int64_t start_ns = bench_now_ns();
    double cpu = cpu_seconds();
    for (size_t i = 0; i < count; i++) {
        int64_t each_ns = bench_now_ns();
        expect(write(fd, bytes, sizeof bytes) == sizeof bytes && fdatasync(fd) == 0, "write");
        sample(b, each_ns);
    }
    report(b, "bare write + fdatasync", (double)count, (double)(bench_now_ns() - start_ns) * 1e-9,
           cpu_seconds() - cpu);
    close(fd);
    unlink(path);
}

/* ---------------------------------------------------------------- appends */

typedef struct appender {
    bench *b;
    const char *topic;
    size_t count, per_call;
    bool sampled;
} appender;

static void *append_many(void *arg)
{
    appender *a = arg;
    char value[VALUE_BYTES] = "a value of forty bytes, give or take";
    leat_log_record *records = calloc(a->per_call, sizeof *records);
    expect(records != NULL, "memory");
    for (size_t i = 0; i < a->count; i += a->per_call) {
        for (size_t r = 0; r < a->per_call; r++)
            records[r] = (leat_log_record){.topic = a->topic,
                                           .timestamp_ms = (int64_t)i,
                                           .key = LEAT_STR("user-12345"),
                                           .value = {value, VALUE_BYTES}};
        leat_error error;
        int64_t start_ns = bench_now_ns();
        check(leat_log_append(a->b->log, records, a->per_call, &error), &error);
        if (a->sampled)
            sample(a->b, start_ns);
    }
    free(records);
    return NULL;
}

static void appends(bench *b, const char *topic, size_t threads, size_t per_call, double records)
{
    make_topic(b, topic, 1);
    size_t each = scaled(b, records) / threads / per_call * per_call;
    if (each < per_call)
        each = per_call;
    pthread_t ids[THREADS_MAX];
    appender appenders[THREADS_MAX];
    int64_t start_ns = bench_now_ns();
    double cpu = cpu_seconds();
    for (size_t i = 0; i < threads; i++) {
        appenders[i] = (appender){b, topic, each, per_call, i == 0};
        expect(pthread_create(&ids[i], NULL, append_many, &appenders[i]) == 0, "thread");
    }
    for (size_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    double seconds = (double)(bench_now_ns() - start_ns) * 1e-9;
    int64_t end = 0;
    leat_error error;
    check(leat_log_bounds(b->log, topic, 0, NULL, &end, &error), &error);
    expect(end == (int64_t)(each * threads), "appended records");
    char name[64];
    snprintf(name, sizeof name, "append %zu, %zu thread%s", per_call, threads,
             threads == 1 ? "" : "s");
    report(b, name, (double)(each * threads), seconds, cpu_seconds() - cpu);
}

/* ---------------------------------------------------------------- commits */

static void commits(bench *b, const char *topic, size_t per_commit, double total)
{
    leat_error error;
    leat_log_member *member;
    leat_log_event event;
    make_topic(b, topic, 4);
    leat_log_group group = {
        .group = topic, .instance = "bench", .topics = &topic, .topic_count = 1};
    check(leat_log_join(b->log, &group, NULL, NULL, &member, &error), &error);
    check(leat_log_member_poll(member, &event, &error), &error);
    char value[VALUE_BYTES] = "a value of forty bytes, give or take", key[16];
    size_t count = scaled(b, total) / per_commit;
    count = count < 5 ? 5 : count;
    int64_t start_ns = bench_now_ns();
    double cpu = cpu_seconds();
    for (size_t i = 0; i < count; i++) {
        int64_t each_ns = bench_now_ns();
        leat_log_txn *txn;
        check(leat_log_begin(member, event.generation, &txn, &error), &error);
        for (size_t r = 0; r < per_commit; r++) {
            int length = snprintf(key, sizeof key, "user-%zu", (i * per_commit + r) % 10000);
            leat_log_record one = {.topic = topic,
                                   .partition = LEAT_PARTITION_BY_KEY,
                                   .timestamp_ms = (int64_t)i,
                                   .key = {key, (size_t)length},
                                   .value = {value, VALUE_BYTES}};
            check(leat_log_txn_add(txn, &one, 1, &error), &error);
        }
        leat_log_offset offset = {.topic = topic, .offset = (int64_t)i};
        check(leat_log_txn_offsets(txn, &offset, 1, &error), &error);
        check(leat_log_txn_commit(txn, &error), &error);
        sample(b, each_ns);
    }
    double seconds = (double)(bench_now_ns() - start_ns) * 1e-9;
    int64_t sum = 0;
    for (uint32_t p = 0; p < 4; p++) {
        int64_t end;
        check(leat_log_bounds(b->log, topic, p, NULL, &end, &error), &error);
        sum += end;
    }
    expect(sum == (int64_t)(count * per_commit), "committed records");
    char name[64];
    snprintf(name, sizeof name, "commit of %zu", per_commit);
    report(b, name, (double)(count * per_commit), seconds, cpu_seconds() - cpu);
    leat_log_leave(member);
}

/* ---------------------------------------------------------------- reading */

static leat_log_reader *open_reader(bench *b, const char *topic, uint32_t partitions,
                                    int64_t offset)
{
    leat_error error;
    leat_log_reader *reader;
    check(leat_log_reader_new(b->log, NULL, NULL, &reader, &error), &error);
    for (uint32_t p = 0; p < partitions; p++)
        check(leat_log_reader_seek(reader, topic, p, offset, &error), &error);
    return reader;
}

static void read_all(bench *b, const char *topic, uint32_t partitions, const char *name)
{
    static leat_log_record records[POLL_RECORDS];
    leat_error error;
    int64_t want = 0;
    for (uint32_t p = 0; p < partitions; p++) {
        int64_t end;
        check(leat_log_bounds(b->log, topic, p, NULL, &end, &error), &error);
        want += end;
    }
    leat_log_reader *reader = open_reader(b, topic, partitions, LEAT_OFFSET_BEGIN);
    int64_t seen = 0, bytes = 0, next[4] = {0};
    int64_t start_ns = bench_now_ns();
    double cpu = cpu_seconds();
    while (seen < want) {
        size_t count;
        int64_t each_ns = bench_now_ns();
        check(leat_log_reader_poll(reader, records, POLL_RECORDS, &count, &error), &error);
        sample(b, each_ns);
        for (size_t i = 0; i < count; i++) {
            expect(records[i].offset == next[records[i].partition]++, "order of offsets");
            bytes += (int64_t)records[i].value.length;
        }
        seen += (int64_t)count;
    }
    double seconds = (double)(bench_now_ns() - start_ns) * 1e-9;
    expect(bytes == want * VALUE_BYTES, "bytes read");
    report(b, name, (double)want, seconds, cpu_seconds() - cpu);
    leat_log_reader_free(reader);
}

static void polls_at_the_end(bench *b)
{
    enum { PER_APPEND = 10 };
    leat_error error;
    leat_log_record records[PER_APPEND], polled[POLL_RECORDS];
    make_topic(b, "tail", 1);
    leat_log_reader *reader = open_reader(b, "tail", 1, LEAT_OFFSET_BEGIN);
    size_t rounds = scaled(b, 2000), count;
    double busy_ns = 0;
    for (size_t i = 0; i < rounds; i++) {
        for (size_t r = 0; r < PER_APPEND; r++)
            records[r] = (leat_log_record){
                .topic = "tail", .key = LEAT_STR("k"), .value = LEAT_STR("some value")};
        check(leat_log_append(b->log, records, PER_APPEND, &error), &error);
        int64_t start_ns = bench_now_ns();
        check(leat_log_reader_poll(reader, polled, POLL_RECORDS, &count, &error), &error);
        sample(b, start_ns);
        busy_ns += (double)(bench_now_ns() - start_ns);
        expect(count == PER_APPEND, "records just appended");
    }
    report(b, "poll of 10 just appended", (double)rounds * PER_APPEND, busy_ns * 1e-9,
           busy_ns * 1e-9);
    int64_t start_ns = bench_now_ns();
    for (size_t i = 0; i < 1000000; i++) {
        check(leat_log_reader_poll(reader, polled, POLL_RECORDS, &count, &error), &error);
        expect(count == 0, "an empty poll");
    }
    double seconds = (double)(bench_now_ns() - start_ns) * 1e-9;
    b->samples[0] = (uint32_t)(seconds * 1e3);
    b->sample_count = 1;
    report(b, "poll of nothing", 1e6, seconds, seconds);
    leat_log_reader_free(reader);
}

static void run(bench *b)
{
    bare_sync(b);
    appends(b, "append-1-1", 1, 1, 2000);
    appends(b, "append-1-16", 16, 1, 20000);
    appends(b, "append-1000", 1, 1000, 2000000);
    commits(b, "commit-1", 1, 2000);
    commits(b, "commit-100", 100, 100000);
    commits(b, "commit-10000", 10000, 2000000);
    polls_at_the_end(b);
    read_all(b, "append-1000", 1, "read, appended by 1000");
    read_all(b, "commit-10000", 4, "read, committed by 10000");
    read_all(b, "append-1-16", 1, "read, appended singly");
}

int main(int argc, char **argv)
{
    static bench b = {.scale = 1};
    const char *base = getenv("TMPDIR");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            b.json = true;
        else if (strcmp(argv[i], "--quick") == 0)
            b.scale = 0.1;
        else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            base = argv[++i];
        else
            return fprintf(stderr, "usage: %s [--json] [--quick] [--dir DIR]\n", argv[0]), 64;
    }
    char dir[500], url[520], command[520], machine[BENCH_MACHINE_BYTES];
    snprintf(dir, sizeof dir, "%s/leat-bench-XXXXXX", base != NULL ? base : "/tmp");
    expect(mkdtemp(dir) != NULL, "cannot create a directory");
    b.dir = dir;
    snprintf(url, sizeof url, "embedded:%s/log", dir);
    bench_machine(machine);
    if (!b.json)
        printf("%s\n%-34s %10s %10s %10s %12s %12s\n", machine, "embedded log", "p50 us", "p90 us",
               "p99 us", "records/s", "CPU us/rec");
    leat_error error;
    check(leat_log_open(&b.log, url, NULL, &error), &error);
    run(&b);
    size_t resident = bench_resident_bytes();
    leat_log_close(b.log);
    printf(b.json ? "{\"bench\":\"log\",\"resident_mib\":%.1f}\n" : "resident %.1f MiB\n",
           (double)resident / (1 << 20));
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : 1;
}
