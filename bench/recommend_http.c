/* bench/recommend_http.c - POST /v1/recommendations of a real server: at saturation and at 1,000/s.
 *
 *   recommend_http [TRAIN TEST [SECONDS [FLAGS...]]]      files of clicks, .zst too; flags of serve
 *
 * TRAIN goes through POST /v1/events and the job; then every click of TEST asks for 21 items with
 * the session so far, as the load test of Serenade does.  Beside it: Serenade needs 0.021-0.026 CPU
 * seconds per 1,000 requests on a machine of this kind, with the load generator on the same cores.
 * Every answer is checked: 200, 21 different items, scores that never rise. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "bench/support/event_feed.h"
#include "bench/support/machine.h"

enum { ITEMS = 21, CONNECTIONS = 32, WARM_UP_S = 1, QUERY_BYTES = 4096 };
#define SERENADE_CPU_PER_1000 0.021
#define GOAL_CPU_PER_1000 0.0105

typedef struct queries {
    leat__buffer texts;
    size_t *first; /* count + 1 */
    size_t count;
} queries;

/* One query per click of TEST: its session up to it. */
static void queries_make(queries *to, const click_log *log)
{
    to->first = calloc((size_t)log->click_count + 1, sizeof *to->first);
    for (uint32_t s = 0; s < log->session_count; s++) {
        const click_session *session = &log->sessions[s];
        for (uint32_t end = 1; end <= session->count; end++) {
            char body[QUERY_BYTES], text[QUERY_BYTES + 256];
            size_t length = (size_t)snprintf(body, sizeof body, "{\"n\":%d,\"items\":[", ITEMS);
            for (uint32_t i = end > 10 ? end - 10 : 0; i < end; i++) {
                leat_str item = click_item(log, session->first + i);
                length += (size_t)snprintf(body + length, sizeof body - length, "%s\"%.*s\"",
                                           body[length - 1] == '[' ? "" : ",", (int)item.length,
                                           item.data);
            }
            length += (size_t)snprintf(body + length, sizeof body - length, "]}");
            length = http_post_text(text, sizeof text, "/v1/recommendations", body, length);
            to->first[to->count++] = to->texts.length;
            leat__buffer_bytes(&to->texts, text, length);
        }
    }
    to->first[to->count] = to->texts.length;
}

static size_t query_text(void *arg, uint64_t n, char *out, size_t capacity)
{
    const queries *from = arg;
    size_t first = from->first[n % from->count], length = from->first[n % from->count + 1] - first;
    if (length > capacity)
        return 0;
    memcpy(out, from->texts.data + first, length);
    return length;
}

static bool answer_is_right(void *arg, const char *body, size_t length)
{
    (void)arg;
    const char *at = body, *end = body + length, *items[ITEMS];
    double before = 1e30;
    for (int i = 0; i < ITEMS; i++) {
        at = memmem(at, (size_t)(end - at), "\"item_id\":\"", 11);
        if (at == NULL)
            return false;
        items[i] = at += 11;
        const char *score = memmem(at, (size_t)(end - at), "\"score\":", 8);
        if (score == NULL || atof(score + 8) > before)
            return false;
        before = atof(score + 8);
        for (int k = 0; k < i; k++)
            if (strncmp(items[k], at, strcspn(at, "\"") + 1) == 0)
                return false;
    }
    return true;
}

static _Noreturn void fail(bench_server *server, const char *what)
{
    fprintf(stderr, "bench/recommend_http: %s: no speed is printed\n", what);
    bench_server_stop(server);
    exit(1);
}

static bench_quantiles run(bench_server *server, queries *all, double rate, double seconds,
                           bool check, http_load_result *result)
{
    const http_load load = {
        .port = server->port,
        .connections = CONNECTIONS,
        .rate_per_s = rate,
        .seconds = seconds,
        .expected_status = 200,
        .request = query_text,
        .check = check ? answer_is_right : NULL,
        .arg = all,
    };
    if (!http_load_run(&load, result))
        fail(server, "a connection broke");
    if (result->wrong > 0 || result->answers == 0)
        fail(server, result->first_wrong);
    bench_quantiles quantiles = bench_quantiles_of(result->latency_us, result->answers);
    free(result->latency_us);
    result->latency_us = NULL;
    return quantiles;
}

/* What RocksDB still does in the background after TRAIN is not the requests' work. */
static void wait_until_idle(const bench_server *server)
{
    double before = -1, now = bench_cpu_seconds(server->pid);
    for (int tries = 0; tries < 100 && now > before; tries++) {
        usleep(300000);
        before = now;
        now = bench_cpu_seconds(server->pid);
    }
}

int main(int argc, char **argv)
{
    const char *train_path =
        argc > 2 ? argv[1] : LEAT_DATA_DIR "/serenade_bolcom_example/train.txt.zst";
    const char *test_path =
        argc > 2 ? argv[2] : LEAT_DATA_DIR "/serenade_bolcom_example/test.txt.zst";
    double seconds = argc > 3 ? atof(argv[3]) : 10;
    event_feed train, test;
    queries all = {0};
    bench_server server = {0};
    http_load_result result;
    char machine[BENCH_MACHINE_BYTES];
    bench_machine(machine);
    if (!event_feed_load(&train, train_path) || !event_feed_load(&test, test_path))
        return 1;
    queries_make(&all, &test.log);
    if (!bench_server_start(&server, argc > 4 ? (const char *const *)argv + 4 : NULL))
        fail(&server, "the server does not start");
    if (!event_feed_send_all(&train, &server))
        fail(&server, "TRAIN did not arrive");
    run(&server, &all, 0, WARM_UP_S, true, &result);
    wait_until_idle(&server);
    double cpu = bench_cpu_seconds(server.pid);
    bench_quantiles full = run(&server, &all, 0, seconds, false, &result);
    cpu = bench_cpu_seconds(server.pid) - cpu;
    double per_1000 = cpu * 1000 / (double)result.answers,
           per_s = (double)result.answers / result.seconds;
    uint64_t answers = result.answers;
    bench_quantiles calm = run(&server, &all, 1000, seconds / 2, true, &result);
    double resident_mb = (double)bench_resident_of(server.pid) / 1e6;
    if (bench_server_stop(&server) != 0)
        fail(&server, "the server did not end with 0");
    printf("{\"bench\":\"recommend_http\",\"machine\":\"%s\",\"queries\":%zu,\"items\":%d,"
           "\"connections\":%d,\"requests\":%llu,\"requests_per_s\":%.0f,\"cpu_s_per_1000\":%.5f,"
           "\"serenade_cpu_s_per_1000\":%.3f,\"goal_cpu_s_per_1000\":%.4f,"
           "\"saturated_us\":{\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f},"
           "\"at_1000_per_s_us\":{\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f},"
           "\"resident_mb\":%.1f,\"ready_s\":%.3f,\"reached\":%s}\n",
           machine, all.count, ITEMS, CONNECTIONS, (unsigned long long)answers, per_s, per_1000,
           SERENADE_CPU_PER_1000, GOAL_CPU_PER_1000, full.p50, full.p90, full.p99, calm.p50,
           calm.p90, calm.p99, resident_mb, server.ready_s,
           per_1000 <= GOAL_CPU_PER_1000 ? "true" : "false");
    leat__buffer_free(&all.texts);
    free(all.first);
    event_feed_free(&train);
    event_feed_free(&test);
    return 0;
}
