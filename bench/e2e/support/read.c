/* bench/e2e/support/read.c - the reader that checks.
 *
 *   message ─► which event does it answer? ─► latency, gap of its partition, one more correct
 *                 └ none, or again ─► repeated, skipped, foreign; the first is kept as text
 *
 * It has every partition, no group, and starts where the topic begins or ends now. */
#include "bench/e2e/support/read.h"

#include "bench/support/machine.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { METADATA_MS = 10000, BATCH = 1000 };

static int64_t end_of(reader *rd, const char *topic, int32_t partition)
{
    int64_t low = 0, high = 0;
    rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(rd->consumer, topic, partition, &low, &high, METADATA_MS);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_fail("the end of a partition", rd_kafka_err2str(err));
    return high;
}

static void assign_all(reader *rd, const char *topic, bool from_end)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rd->consumer, topic, NULL);
    rd_kafka_resp_err_t err = rd_kafka_metadata(rd->consumer, 0, handle, &metadata, METADATA_MS);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR || metadata->topics[0].partition_cnt == 0)
        client_fail(topic, "there is no such topic");
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(4);
    for (int32_t i = 0; i < metadata->topics[0].partition_cnt; i++) {
        rd_kafka_topic_partition_list_add(all, topic, i)->offset =
            from_end ? end_of(rd, topic, i) : 0;
    }
    err = rd_kafka_assign(rd->consumer, all);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_fail("the reader's partitions", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(all);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
}

void reader_open(reader *rd, const char *broker, const char *topic, bool from_end, int argc,
                 char **argv)
{
    rd->consumer =
        client_new(RD_KAFKA_CONSUMER,
                   (const char *const[]){
                       "bootstrap.servers", broker, "group.id", "bench-reader", "isolation.level",
                       "read_committed", "enable.auto.commit", "false", "auto.offset.reset",
                       "error", "socket.nagle.disable", "true", "queued.max.messages.kbytes",
                       "262144", "fetch.queue.backoff.ms", "10", NULL},
                   argc, argv);
    rd->next_count = calloc(rd->plan->user_count, sizeof *rd->next_count);
    rd->answered = calloc(rd->plan->event_count + 1, sizeof *rd->answered);
    if (rd->next_count == NULL || rd->answered == NULL)
        client_fail("the reader", "no memory");
    for (uint64_t i = 0; i < rd->plan->user_count; i++)
        rd->next_count[i] = rd->plan->counted_before + 1;
    assign_all(rd, topic, from_end);
}

static void note_wrong(reader *rd, const rd_kafka_message_t *message, uint64_t wanted)
{
    if (rd->first_wrong[0] == '\0')
        snprintf(rd->first_wrong, sizeof rd->first_wrong,
                 "partition %" PRId32 " offset %" PRId64 ": %.*s, not %" PRIu64, message->partition,
                 message->offset, (int)(message->len > 80 ? 80 : message->len),
                 (const char *)message->payload, wanted);
}

static void note_time(reader *rd, uint64_t event, int64_t now_ns)
{
    int64_t intended_ns = atomic_load_explicit(&rd->plan->intended_ns[event], memory_order_relaxed);
    if (event >= rd->timed_from && event < rd->timed_until)
        leat__histogram_record(&rd->latency_ns, (uint64_t)(now_ns - intended_ns));
    if (rd->first_ns == 0)
        rd->first_ns = now_ns;
    rd->last_ns = now_ns;
}

/* Of counts that come one after the other in a partition. */
static void note_gap(reader *rd, int32_t partition, int64_t now_ns)
{
    if (partition >= READER_PARTITIONS_MAX)
        return;
    int64_t last_ns = rd->last_of_partition_ns[partition];
    rd->last_of_partition_ns[partition] = now_ns;
    if (last_ns != 0 && now_ns - last_ns > rd->gap_until_ns - rd->gap_from_ns) {
        rd->gap_from_ns = last_ns;
        rd->gap_until_ns = now_ns;
    }
}

/* The event that is answered, or UINT64_MAX: an answer that must not be. */
static uint64_t event_of_count(reader *rd, const rd_kafka_message_t *message)
{
    const event_plan *plan = rd->plan;
    uint32_t user;
    uint64_t count;
    if (!plan_parse_count(message->payload, message->len, &user, &count) ||
        user >= plan->user_count) {
        rd->foreign++;
        note_wrong(rd, message, 0);
        return UINT64_MAX;
    }
    uint64_t wanted = rd->next_count[user];
    uint64_t events = plan->first_of_user[user + 1] - plan->first_of_user[user];
    if (count != wanted || count > plan->counted_before + events) {
        rd->repeated += count < wanted;
        rd->skipped += count >= wanted;
        note_wrong(rd, message, wanted);
        return UINT64_MAX;
    }
    rd->next_count[user]++;
    return plan->events_by_user[plan->first_of_user[user] + count - plan->counted_before - 1];
}

static uint64_t event_of_click(reader *rd, const rd_kafka_message_t *message)
{
    uint64_t event = plan_parse_event_id(message->payload, message->len);
    bool known = event < rd->plan->event_count;
    if (known && !rd->answered[event]) {
        rd->answered[event] = true;
        return event;
    }
    rd->foreign += !known;
    rd->repeated += known;
    note_wrong(rd, message, event);
    return UINT64_MAX;
}

static void take(reader *rd, const rd_kafka_message_t *message, int64_t now_ns)
{
    uint64_t event =
        rd->plan->clicks.count > 0 ? event_of_click(rd, message) : event_of_count(rd, message);
    if (event == UINT64_MAX)
        return;
    note_time(rd, event, now_ns);
    note_gap(rd, message->partition, now_ns);
    atomic_fetch_add_explicit(&rd->correct, 1, memory_order_relaxed);
}

void reader_poll(reader *rd, int wait_ms)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(rd->consumer, wait_ms);
    for (int i = 0; message != NULL; i++) {
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take(rd, message, bench_now_ns());
        else if (message->err != RD_KAFKA_RESP_ERR__TRANSPORT &&
                 message->err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
            client_fail("the reader", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
        message = i < BATCH ? rd_kafka_consumer_poll(rd->consumer, 0) : NULL;
    }
}

bool reader_is_right(const reader *rd)
{
    return rd->repeated == 0 && rd->skipped == 0 && rd->foreign == 0;
}

void reader_close(reader *rd)
{
    rd_kafka_consumer_close(rd->consumer);
    rd_kafka_destroy(rd->consumer);
    free(rd->next_count);
    free(rd->answered);
}
