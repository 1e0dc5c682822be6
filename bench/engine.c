/* bench/engine.c - the engine in one process: keyed counts, with and without JSON, a log, RocksDB.
 *
 *   generator (4 partitions) ─► process: count per key ─► every 64th count to a function
 *   topic of JSON lines      ─► process: count per key ─► topic of JSON lines
 *
 * Every run is checked against a plain array of counters before its speed is printed. Speed is
 * records per second of wall time; "per core" divides by the CPU seconds that the whole process
 * used, so threads that help are not free.
 */
#include <inttypes.h>
#include <leat/leat.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PARTITIONS = 4, REPORT_EVERY = 64, COUNT = 0 };

struct hit {
    uint64_t user;
    int64_t ts_ms;
};
LEAT_RECORD(hit, user, ts_ms);
struct hit_count {
    uint64_t user;
    uint64_t count;
};
LEAT_RECORD(hit_count, user, count);
struct event {
    leat_str user_id;
    leat_str product_id;
    leat_str category;
    leat_str event_type;
    int64_t timestamp_ms;
};
LEAT_RECORD(event, user_id, product_id, category, event_type, timestamp_ms);
struct event_count {
    leat_str user_id;
    uint64_t event_count;
};
LEAT_RECORD(event_count, user_id, event_count);

typedef struct setting {
    const char *name;
    bool json, logged, rocksdb;
    uint64_t records, keys;
    uint32_t workers;
} setting;

typedef struct result {
    double seconds, cpu_seconds;
    uint64_t reported;
    bool correct;
    uint64_t epochs;
} result;

static uint32_t *users[PARTITIONS];
static uint64_t user_count[PARTITIONS];

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double cpu_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static uint64_t mix(uint64_t z)
{ /* splitmix64's finaliser: the key of record number z */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The users below s->keys, by partition (P1): made once, so that generating a record costs a
 * look-up. */
static void place_keys(const setting *s)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        free(users[p]);
        users[p] = calloc(s->keys, sizeof(**users));
        user_count[p] = 0;
    }
    for (uint32_t user = 0; user < s->keys; user++) {
        char text[16];
        size_t length = (size_t)snprintf(text, sizeof(text), "%" PRIu32, user);
        uint32_t p = leat_partition_of((leat_str){text, length}, PARTITIONS);
        users[p][user_count[p]++] = user;
    }
}

static uint64_t key_of(uint32_t partition, uint64_t index)
{
    return users[partition][mix(index * PARTITIONS + partition + 1) % user_count[partition]];
}

static bool generate(void *arg, uint32_t partition, uint64_t index, void *record)
{
    const setting *s = arg;
    if (index >= s->records / PARTITIONS)
        return false;
    *(struct hit *)record = (struct hit){key_of(partition, index), (int64_t)index};
    return true;
}

static leat_status count_hit(leat_ctx *ctx, const void *record)
{
    struct hit_count *count = leat_mut(ctx, COUNT);
    count->user = ((const struct hit *)record)->user;
    if (++count->count % REPORT_EVERY == 0)
        leat_emit(ctx, count);
    return LEAT_OK;
}

static const leat_process_op hit_counting = {
    .in = &hit_type,
    .out = &hit_count_type,
    .state = {[COUNT] = {.name = "count", .type = &hit_count_type}},
    .on_record = count_hit,
};

static leat_status count_event(leat_ctx *ctx, const void *record)
{
    struct hit_count *count = leat_mut(ctx, COUNT);
    count->count++;
    leat_emit(ctx, &(struct event_count){((const struct event *)record)->user_id, count->count});
    return LEAT_OK;
}

static const leat_process_op event_counting = {
    .in = &event_type,
    .out = &event_count_type,
    .state = {[COUNT] = {.name = "count", .type = &hit_count_type}},
    .on_record = count_event,
};

static void reported(void *arg, const void *record)
{
    (void)record;
    atomic_fetch_add((_Atomic uint64_t *)arg, 1);
}

static uint64_t expected_reports(const setting *s)
{
    uint32_t *counts = calloc(s->keys, sizeof(*counts));
    uint64_t reports = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        for (uint64_t i = 0; i < s->records / PARTITIONS; i++)
            reports += ++counts[key_of(p, i)] % REPORT_EVERY == 0;
    free(counts);
    return reports;
}

static char *temp_dir(void)
{
    char *dir = strdup("/tmp/leat-bench-XXXXXX");
    if (mkdtemp(dir) == NULL)
        abort();
    return dir;
}

static void remove_dir(char *dir)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    if (system(command) != 0)
        perror(command);
    free(dir);
}

static void run_job(leat_job *job, result *out)
{
    leat_error error;
    double start = seconds_now(), cpu = cpu_now();
    if (leat_job_run(job, &error) != LEAT_OK) {
        (void)fprintf(stderr, "%s: %s\n", error.where, error.message);
        exit(1);
    }
    out->seconds = seconds_now() - start;
    out->cpu_seconds = cpu_now() - cpu;
    leat_job_stats stats;
    leat_job_get_stats(job, &stats);
    out->epochs = stats.epochs;
}

static result run_generated(setting *s)
{
    result out = {0};
    char *dir = temp_dir();
    static _Atomic uint64_t reports;
    atomic_store(&reports, 0);
    place_keys(s);
    char url[64];
    (void)snprintf(url, sizeof(url), "embedded:%s/log", dir);
    char state[64];
    (void)snprintf(state, sizeof(state), "%s/state", dir);
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "bench",
                                                  .log = s->logged ? url : NULL,
                                                  .state_dir = s->rocksdb ? state : NULL,
                                                  .worker_count = s->workers});
    leat_stream hits = leat_from_generator(job, "hits", &hit_type,
                                           &(leat_generator){.generate = generate,
                                                             .arg = s,
                                                             .partition_count = PARTITIONS,
                                                             .time_field = "ts_ms",
                                                             .partitioned_by = "user"});
    leat_to_fn(leat_process(leat_key_by(hits, "user"), "count", &hit_counting, NULL), "reports",
               reported, &reports);
    run_job(job, &out);
    leat_job_free(job);
    remove_dir(dir);
    out.reported = atomic_load(&reports);
    out.correct = out.reported == expected_reports(s);
    return out;
}

static void produce_json(const setting *s, leat_log *log)
{
    enum { BATCH = 10000 };
    static leat_log_record records[BATCH];
    static char text[BATCH][200], keys[BATCH][24];
    leat_error error;
    if (leat_topic_create(log, "user_events", &(leat_topic_opts){.partition_count = PARTITIONS},
                          &error) != LEAT_OK)
        abort();
    for (uint64_t done = 0; done < s->records;) {
        size_t n = 0;
        for (; n < BATCH && done < s->records; n++, done++) {
            uint64_t user = mix(done + 1) % s->keys;
            int key = snprintf(keys[n], sizeof(keys[n]), "user%" PRIu64, user);
            int length = snprintf(text[n], sizeof(text[n]),
                                  "{\"user_id\":\"%s\",\"product_id\":\"p%" PRIu64
                                  "\",\"category\":\"c%" PRIu64
                                  "\",\"event_type\":\"view\",\"timestamp_ms\":%" PRIu64 "}",
                                  keys[n], done % 5000, done % 50, UINT64_C(1700000000000) + done);
            records[n] = (leat_log_record){.topic = "user_events",
                                           .partition = LEAT_PARTITION_BY_KEY,
                                           .key = {keys[n], (size_t)key},
                                           .value = {text[n], (size_t)length}};
        }
        if (leat_log_append(log, records, n, &error) != LEAT_OK)
            abort();
    }
}

/* The log goes on compacting after a bulk load; that is not the job's work. */
static void wait_for_background(void)
{
    for (double before = cpu_now(); usleep(300000), cpu_now() - before > 0.03; before = cpu_now())
        continue;
}

/* Per key the counts must be 1, 2, 3 ... in the output topic. */
static bool check_counts(const setting *s, leat_log *log)
{
    uint64_t *seen = calloc(s->keys, sizeof(*seen));
    uint64_t total = 0;
    bool correct = true;
    leat_error error;
    leat_log_reader *reader;
    if (leat_log_reader_new(log, NULL, NULL, &reader, &error) != LEAT_OK)
        abort();
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (leat_log_reader_seek(reader, "user_recommendations", p, LEAT_OFFSET_BEGIN, &error) !=
            LEAT_OK)
            abort();
    leat_log_record records[512];
    for (size_t count = 1; count != 0;) {
        if (leat_log_reader_poll(reader, records, 512, &count, &error) != LEAT_OK)
            abort();
        for (size_t i = 0; i < count; i++) {
            char line[256];
            uint64_t user, n;
            (void)snprintf(line, sizeof(line), "%.*s", (int)records[i].value.length,
                           records[i].value.data);
            if (sscanf(line, "{\"user_id\":\"user%" SCNu64 "\",\"event_count\":%" SCNu64 "}", &user,
                       &n) != 2 ||
                user >= s->keys || n != ++seen[user])
                correct = false;
            total++;
        }
    }
    leat_log_reader_free(reader);
    free(seen);
    return correct && total == s->records;
}

static result run_json(setting *s)
{
    result out = {0};
    char *dir = temp_dir(), *state = temp_dir();
    char url[64];
    leat_log *log;
    leat_error error;
    (void)snprintf(url, sizeof(url), "embedded:%s", dir);
    if (leat_log_open(&log, url, NULL, &error) != LEAT_OK)
        abort();
    produce_json(s, log);
    wait_for_background();
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "user-counts",
                                                  .log_handle = log,
                                                  .state_dir = s->rocksdb ? state : NULL,
                                                  .worker_count = s->workers});
    leat_stream events = leat_from_log(job, "events", &event_type,
                                       &(leat_log_source){.topic = "user_events",
                                                          .time_field = "timestamp_ms",
                                                          .out_of_order_ms = LEAT_MINUTES(5),
                                                          .partitioned_by = "user_id",
                                                          .until_end = true});
    leat_stream counts =
        leat_process(leat_key_by(events, "user_id"), "count", &event_counting, NULL);
    leat_to_log(counts, "out", &(leat_log_sink){.topic = "user_recommendations", .key = "user_id"});
    run_job(job, &out);
    leat_job_free(job);
    out.correct = check_counts(s, log);
    leat_log_close(log);
    remove_dir(dir);
    remove_dir(state);
    return out;
}

static void print_result(const setting *s, const result *r, bool json)
{
    double rate = (double)s->records / r->seconds / 1e6,
           per_core = (double)s->records / r->cpu_seconds / 1e6;
    if (json)
        printf(
            "{\"bench\":\"engine\",\"case\":\"%s\",\"records\":%" PRIu64 ",\"keys\":%" PRIu64
            ",\"workers\":%u,\"million_per_s\":%.3f,\"million_per_cpu_s\":%.3f,\"epochs\":%" PRIu64
            "}\n",
            s->name, s->records, s->keys, s->workers, rate, per_core, r->epochs);
    else
        printf("%-44s %8.2f M/s  %8.2f M/CPU s  %6.2f s  %6" PRIu64 " epochs\n", s->name, rate,
               per_core, r->seconds, r->epochs);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    bool json = false;
    double scale = 1;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--quick") == 0)
            scale = 0.1;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else
            return fprintf(stderr, "usage: %s [--json] [--quick] [--only WORD]\n", argv[0]), 64;
    }
    setting settings[] = {
        {"count, 1 M keys, memory, 1 worker", false, false, false, 20000000, 1000000, 1},
        {"count, 1 M keys, memory, 2 workers", false, false, false, 20000000, 1000000, 2},
        {"durable count, 100 K keys, memory, 1 worker", false, true, false, 10000000, 100000, 1},
        {"durable count, 100 K keys, rocksdb, 1 worker", false, true, true, 10000000, 100000, 1},
        {"JSON in and out, 10 K keys, memory, 1 worker", true, true, false, 2000000, 10000, 1},
        {"JSON in and out, 10 K keys, rocksdb, 1 worker", true, true, true, 2000000, 10000, 1},
        {"JSON in and out, 10 K keys, rocksdb, 2 workers", true, true, true, 2000000, 10000, 2},
    };
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        setting *s = &settings[i];
        if (only != NULL && strstr(s->name, only) == NULL)
            continue;
        s->records = (uint64_t)((double)s->records * scale);
        result r = s->json ? run_json(s) : run_generated(s);
        if (!r.correct)
            return fprintf(stderr, "%s: WRONG RESULT\n", s->name), 1;
        print_result(s, &r, json);
    }
    return 0;
}
