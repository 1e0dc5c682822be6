/* bench/recommend_latency.c - from an event's acceptance to its committed recommendation.
 *
 *   recommend_latency [FILE [RATE [SECONDS]]]
 *
 * Open loop: one event a request, RATE a second whatever the server does, with fsync on.
 * Beside it what the disk needs for one fdatasync, before and after: an event
 * costs two in a row, one for its acceptance and one for the commit.  Checked: every event was
 * accepted, and gave exactly one recommendation. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/support/event_feed.h"
#include "bench/support/machine.h"

enum {
    CONNECTIONS = 64,
    SYNCS = 200,
    SYNC_BYTES = 4096,
    PATIENCE_MS = 10000,
    FIRST_LIVE = 100000000
};

#define COUNT "leat_recommender_accepted_to_committed_seconds_count"

static _Noreturn void fail(bench_server *server, const char *what)
{
    fprintf(stderr, "bench/recommend_latency: %s: no speed is printed\n", what);
    bench_server_stop(server);
    exit(1);
}

/* Appends and syncs: what RocksDB's log does for each group of writes. */
static bench_quantiles sync_times(const char *data_dir)
{
    char path[300], block[SYNC_BYTES];
    uint32_t times_us[SYNCS];
    memset(block, 'x', sizeof block);
    snprintf(path, sizeof path, "%s/sync", data_dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    for (int i = 0; i < SYNCS; i++) {
        int64_t start_ns = bench_now_ns();
        if (write(fd, block, sizeof block) != SYNC_BYTES || fdatasync(fd) != 0)
            exit(1);
        times_us[i] = (uint32_t)((bench_now_ns() - start_ns) / 1000);
    }
    close(fd);
    unlink(path);
    return bench_quantiles_of(times_us, SYNCS);
}

static size_t event_request(void *arg, uint64_t n, char *out, size_t capacity)
{
    char body[512];
    size_t length = event_feed_text(arg, FIRST_LIVE + n, body, sizeof body);
    return http_post_text(out, capacity, "/v1/events", body, length);
}

static double quantile_ms(const bench_server *server, const char *quantile)
{
    char name[128];
    snprintf(name, sizeof name,
             "leat_recommender_accepted_to_committed_quantile_seconds{quantile=\"%s\"}", quantile);
    return bench_metric(server, name) * 1e3;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : LEAT_DATA_DIR "/serenade_bolcom_example/train.txt.zst";
    double rate = argc > 2 ? atof(argv[2]) : 1000, seconds = argc > 3 ? atof(argv[3]) : 20;
    event_feed feed;
    bench_server server = {0};
    http_load_result result;
    char machine[BENCH_MACHINE_BYTES];
    bench_machine(machine);
    if (!event_feed_load(&feed, path))
        return 1;
    feed.times_now = true;
    if (!bench_server_start(&server, NULL))
        fail(&server, "the server does not start");
    bench_quantiles before = sync_times(server.data_dir);
    double cpu = bench_cpu_seconds(server.pid);
    const http_load load = {.port = server.port,
                            .connections = CONNECTIONS,
                            .rate_per_s = rate,
                            .seconds = seconds,
                            .expected_status = 202,
                            .request = event_request,
                            .arg = &feed};
    if (!http_load_run(&load, &result))
        fail(&server, "a connection broke");
    if (result.wrong > 0)
        fail(&server, result.first_wrong);
    double events = (double)result.answers;
    for (int waited = 0; bench_metric(&server, COUNT) < events && waited < PATIENCE_MS;
         waited += 10)
        usleep(10000);
    cpu = bench_cpu_seconds(server.pid) - cpu;
    if (bench_metric(&server, COUNT) != events)
        fail(&server, "not every event gave one recommendation");
    bench_quantiles accepted = bench_quantiles_of(result.latency_us, result.answers);
    bench_quantiles after = sync_times(server.data_dir);
    double p50 = quantile_ms(&server, "0.5"), p95 = quantile_ms(&server, "0.95");
    double p99 = quantile_ms(&server, "0.99"), most = quantile_ms(&server, "1");
    double resident_mb = (double)bench_resident_of(server.pid) / 1e6;
    if (bench_server_stop(&server) != 0)
        fail(&server, "the server did not end with 0");
    printf(
        "{\"bench\":\"recommend_latency\",\"machine\":\"%s\",\"events_per_s\":%.0f,\"events\":%.0f,"
        "\"accepted_to_committed_ms\":{\"p50\":%.2f,\"p95\":%.2f,\"p99\":%.2f,\"max\":%.1f},"
        "\"request_ms\":{\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f},"
        "\"fdatasync_ms\":{\"before\":{\"p50\":%.2f,\"p99\":%.2f},"
        "\"after\":{\"p50\":%.2f,\"p99\":%.2f}},"
        "\"cores\":%.3f,\"resident_mb\":%.1f,\"goal_ms\":{\"p50\":10,\"p99\":40},\"reached\":%s}\n",
        machine, rate, events, p50, p95, p99, most, accepted.p50 / 1e3, accepted.p90 / 1e3,
        accepted.p99 / 1e3, before.p50 / 1e3, before.p99 / 1e3, after.p50 / 1e3, after.p99 / 1e3,
        cpu / result.seconds, resident_mb, p50 <= 10 && p99 <= 40 ? "true" : "false");
    http_load_free(&result);
    event_feed_free(&feed);
    return 0;
}
