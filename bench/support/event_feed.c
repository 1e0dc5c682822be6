#include "bench/support/event_feed.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/support/machine.h"

enum { BATCH_EVENTS = 1000, EVENT_BYTES = 512, PATIENCE_S = 120 };

#define COMMITTED "leat_recommender_accepted_to_committed_seconds_count"

bool event_feed_load(event_feed *feed, const char *path)
{
    leat_error error;
    const click_log_options options = {.gap_ms = LEAT_MINUTES(30), .gap_cuts_all = true};
    *feed = (event_feed){0};
    if (click_log_load(path, &options, &feed->log, &error) != LEAT_OK) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        return false;
    }
    feed->order = click_log_by_time(&feed->log);
    return feed->log.click_count > 0;
}

void event_feed_free(event_feed *feed)
{
    free(feed->order);
    click_log_free(&feed->log);
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

size_t event_feed_text(const event_feed *feed, uint64_t n, char *out, size_t capacity)
{
    uint32_t number = feed->order[n % feed->log.click_count];
    const click *one = &feed->log.clicks[number];
    leat_str user = feed->log.sessions[one->session].id, item = click_item(&feed->log, number);
    int length = snprintf(out, capacity,
                          "{\"event_id\":\"%llu\",\"user_id\":\"%.*s\",\"item_id\":\"%.*s\","
                          "\"event_type\":\"click\",\"timestamp_ms\":%lld}",
                          (unsigned long long)n, (int)user.length, user.data, (int)item.length,
                          item.data, (long long)(feed->times_now ? wall_ms() : one->time_ms));
    return length < 0 || (size_t)length >= capacity ? 0 : (size_t)length;
}

size_t http_post_text(char *out, size_t capacity, const char *path, const char *body, size_t length)
{
    int head = snprintf(out, capacity,
                        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, length);
    if (head < 0 || (size_t)head + length > capacity)
        return 0;
    memcpy(out + head, body, length);
    return (size_t)head + length;
}

bool event_feed_send_all(const event_feed *feed, const bench_server *server)
{
    size_t capacity = (size_t)BATCH_EVENTS * EVENT_BYTES;
    char *body = malloc(capacity), *request = malloc(capacity + EVENT_BYTES), answer[4096];
    bool good = true;
    for (uint32_t n = 0; good && n < feed->log.click_count;) {
        size_t length = 0;
        for (uint32_t i = 0; i < BATCH_EVENTS && n < feed->log.click_count; i++, n++) {
            length += event_feed_text(feed, n, body + length, capacity - length);
            body[length++] = '\n';
        }
        length = http_post_text(request, capacity + EVENT_BYTES, "/v1/events", body, length);
        good = http_load_once(server->port, request, length, answer, sizeof answer) == 202 &&
               strstr(answer, "\"rejected\":0") != NULL;
    }
    free(body);
    free(request);
    int64_t start_ns = bench_now_ns();
    while (good && bench_metric(server, COMMITTED) < feed->log.click_count) {
        good = bench_now_ns() - start_ns < PATIENCE_S * INT64_C(1000000000);
        usleep(20000);
    }
    return good;
}
