/* Whatever is posted to /v1/events and /v1/recommendations: nothing is read or written outside of
 * the body, and an event that is accepted is accepted again when the job reads it from the log. */
#include <stdlib.h>
#include <string.h>

#include "apps/recommender/serve/event_batch.h"
#include "apps/recommender/serve/session_body.h"
#include "base/assert.h"

enum { ACCEPTED_MS = 1000000000 };

static void check_events(leat__json_reader *reader, leat__json_reader *job, leat__arena *arena,
                         leat_str body)
{
    event_batch batch;
    leat_error error;
    const event_batch_opts opts = {
        .topic = "t", .accepted_ms = ACCEPTED_MS, .max_ahead_ms = LEAT_HOURS(1)};
    if (event_batch_read(&batch, arena, reader, body, &opts, &error) != LEAT_OK)
        return;
    for (size_t i = 0; i < batch.count; i++) {
        const leat_log_record *record = &batch.records[i];
        interaction event;
        LEAT_ASSERT(memchr(record->value.data, '\n', record->value.length) == NULL);
        LEAT_ASSERT(event_parse(job, record->value, record->timestamp_ms, &event, NULL) == LEAT_OK);
        LEAT_ASSERT(leat_str_equal(event.user_id, record->key));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    leat__json_reader *reader = leat__json_reader_new(), *job = leat__json_reader_new();
    leat__arena arena = {0};
    /* A copy of its exact size: reading past the end is seen. */
    char *copy = malloc(length == 0 ? 1 : length);
    if (length > 0)
        memcpy(copy, data, length);
    check_events(reader, job, &arena, (leat_str){copy, length});
    leat_str clicks[RECOMMEND_CLICKS_MAX];
    recommend_request request;
    leat_error error;
    if (session_body_read(reader, (leat_str){copy, length}, clicks, &request, &error) == LEAT_OK)
        for (size_t i = 0; i < request.click_count; i++)
            LEAT_ASSERT(clicks[i].length > 0 && clicks[i].length <= EVENT_ID_BYTES_MAX);
    free(copy);
    leat__arena_free(&arena);
    leat__json_reader_free(reader);
    leat__json_reader_free(job);
    return 0;
}
