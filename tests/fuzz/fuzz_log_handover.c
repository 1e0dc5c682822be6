/* Any bytes as a frame that another process hands over: it is taken as it is or refused, nothing
 * beyond it is read, and what was taken is written again as the same. The first byte says which
 * payload is meant; a whole frame, with its head, is tried too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "log/embedded/handover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
    if (!holds)
        abort();
}

static void read_records(leat_str payload)
{
    leat_log_record *records, *again;
    leat__buffer names = {0}, out = {0}, second = {0};
    size_t count, count_again;
    if (handover_get_records(payload, &records, &count, &names)) {
        check(count <= HANDOVER_RECORDS_MAX);
        for (size_t i = 0; i < count; i++)
            check(strlen(records[i].topic) < payload.length + 1);
        handover_put_records(&out, records, count);
        const leat_str written = {out.data, out.length};
        check(handover_get_records(written, &again, &count_again, &second));
        check(count == count_again);
        for (size_t i = 0; i < count; i++) {
            check(strcmp(records[i].topic, again[i].topic) == 0);
            check(records[i].partition == again[i].partition);
            check(records[i].timestamp_ms == again[i].timestamp_ms);
            check(leat_str_equal(records[i].key, again[i].key));
            check(leat_str_equal(records[i].value, again[i].value));
        }
        leat__free(again);
        leat__free(records);
    }
    leat__buffer_free(&names);
    leat__buffer_free(&second);
    leat__buffer_free(&out);
}

static void read_topic(leat_str payload)
{
    leat__buffer name = {0};
    leat_topic_opts opts;
    if (handover_get_topic(payload, &name, &opts))
        check(strlen(name.data) < name.length);
    leat__buffer_free(&name);
}

static void read_frame(const char *bytes, size_t size)
{
    handover_head head;
    if (size < HANDOVER_HEAD_BYTES || !handover_head_read(bytes, &head))
        return;
    check(head.length <= HANDOVER_PAYLOAD_MAX);
    if (size - HANDOVER_HEAD_BYTES >= head.length)
        (void)handover_payload_is_whole(&head, bytes + HANDOVER_HEAD_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* exactly as many bytes as there are: a sanitizer sees what reads beyond */
    char *bytes = malloc(size);
    memcpy(bytes, data, size);
    const leat_str payload = {bytes + 1, size - 1};
    leat_error error;
    leat__reader reader = leat__reader_of(payload);
    read_frame(bytes, size);
    if (bytes[0] == 'r')
        read_records(payload);
    else if (bytes[0] == 't')
        read_topic(payload);
    else
        (void)handover_get_error(&reader, &error);
    free(bytes);
    return 0;
}
