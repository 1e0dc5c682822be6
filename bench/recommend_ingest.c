/* bench/recommend_ingest.c - events through the whole job on the embedded log, per CPU second.
 *
 *   recommend_ingest [FILE]
 *
 * `leat-recommender replay FILE --data-dir DIR` in a process of its own: reads the file, appends
 * its events, and ends when session, index, counts and a recommendation for each are committed,
 * with fsync on.  All CPU time of that process counts, also the loader's and RocksDB's background
 * work. Checked: one committed recommendation per event. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/server.h"
#include "bench/support/http_load.h"
#include "bench/support/machine.h"

enum { RUNS = 5 };
#define GOAL_PER_CORE 50000.0

typedef struct ingest_run {
    double events, seconds, cpu_s, resident_mb;
} ingest_run;

/* Records in the topic of recommendations. */
static double committed(const char *data_dir)
{
    leat_log *log = NULL;
    leat_topic_opts topic;
    int64_t begin, end, all = 0;
    if (data_dir_open_log(data_dir, &(leat_log_opts){.read_only = true}, &log, NULL) != LEAT_OK)
        return -1;
    leat_status status = leat_topic_describe(log, TOPIC_RECOMMENDATIONS, &topic, NULL);
    for (uint32_t p = 0; status == LEAT_OK && p < topic.partition_count; p++) {
        status = leat_log_bounds(log, TOPIC_RECOMMENDATIONS, p, &begin, &end, NULL);
        all += status == LEAT_OK ? end - begin : 0;
    }
    leat_log_close(log);
    return (double)all;
}

static bool replay(const char *program, const char *file, const char *data_dir, ingest_run *run)
{
    char output[4096] = "";
    int status, out[2];
    struct rusage usage;
    if (pipe(out) != 0)
        return false;
    int64_t start_ns = bench_now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        execl(program, program, "replay", file, "--data-dir", data_dir, "--quiet", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    ssize_t got = read(out[0], output, sizeof output - 1); /* one line, at the end */
    close(out[0]);
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status != 0 || got <= 0)
        return false;
    const char *events = strstr(output, "\"events\":");
    run->events = events == NULL ? 0 : atof(events + 9);
    run->seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    run->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    run->resident_mb = (double)usage.ru_maxrss / 1e3;
    return run->events > 0 && committed(data_dir) == run->events;
}

static int by_cpu(const void *a, const void *b)
{
    double x = ((const ingest_run *)a)->cpu_s, y = ((const ingest_run *)b)->cpu_s;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    const char *file = argc > 1 ? argv[1] : LEAT_DATA_DIR "/serenade_bolcom_example/train.txt.zst";
    char machine[BENCH_MACHINE_BYTES], program[PATH_MAX];
    ingest_run runs[RUNS];
    bench_machine(machine);
    if (!bench_sibling("leat-recommender", program))
        return 1;
    for (int i = 0; i < RUNS; i++) {
        char data_dir[BENCH_DIR_BYTES];
        if (!bench_dir_make(data_dir) || !replay(program, file, data_dir, &runs[i])) {
            fprintf(stderr, "bench/recommend_ingest: a run failed, or not every event gave one "
                            "recommendation: no speed is printed\n");
            bench_dir_remove(data_dir);
            return 1;
        }
        bench_dir_remove(data_dir);
    }
    qsort(runs, RUNS, sizeof *runs, by_cpu);
    const ingest_run *median = &runs[RUNS / 2];
    double per_core = median->events / median->cpu_s;
    printf("{\"bench\":\"recommend_ingest\",\"machine\":\"%s\",\"events\":%.0f,\"runs\":%d,"
           "\"events_per_cpu_s\":%.0f,\"cpu_us_per_event\":%.1f,\"events_per_s\":%.0f,"
           "\"resident_mb\":%.0f,\"goal_events_per_cpu_s\":%.0f,\"reached\":%s}\n",
           machine, median->events, RUNS, per_core, median->cpu_s * 1e6 / median->events,
           median->events / median->seconds, median->resident_mb, GOAL_PER_CORE,
           per_core >= GOAL_PER_CORE ? "true" : "false");
    return 0;
}
