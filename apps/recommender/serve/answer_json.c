/* serve/answer_json.c - lists of items as JSON, without the general encoder: this is most of the
 * work of an answer. */
#include <string.h>

#include "apps/recommender/serve/api.h"
#include "base/number_text.h"

enum { SCORE_DECIMALS = 6, SCORE_TEXT_BYTES = LEAT__NUMBER_TEXT_BYTES };

/* Scores are read by people and compared with each other: six decimals do, and are written in a
 * third of the time of the shortest exact text.  Very small and very large ones are written
 * exactly. */
static void append_score(leat__buffer *out, float score)
{
    if (!(score > -1e30f && score < 1e30f))
        score = 0; /* JSON has no infinity */
    if (out->capacity - out->length < SCORE_TEXT_BYTES)
        leat__buffer_reserve(out, SCORE_TEXT_BYTES);
    if (!(score >= 0.001f && score < 4000.0f)) {
        out->length += leat__f32_text(out->data + out->length, score);
        return;
    }
    char text[12]; /* from the back: 4 digits, a point, 6 decimals */
    size_t at = sizeof text;
    uint32_t millionths = (uint32_t)((double)score * 1e6 + 0.5), whole = millionths / 1000000;
    uint32_t part = millionths % 1000000;
    for (int i = 0; i < SCORE_DECIMALS; i++, part /= 10)
        text[--at] = (char)('0' + part % 10);
    text[--at] = '.';
    do {
        text[--at] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole > 0);
    memcpy(out->data + out->length, text + at, sizeof text - at);
    out->length += sizeof text - at;
}

#define APPEND(out, literal) leat__buffer_bytes(out, "" literal, sizeof(literal) - 1)

/* Why: the clicks that the item shares its neighbours with. */
static void append_reasons(leat__buffer *out, const session_reason *reasons, const leat_str *clicks,
                           size_t click_count)
{
    APPEND(out, ",\"reasons\":[");
    bool first = true;
    for (size_t i = 0; i < SESSION_QUERY_ITEMS_MAX; i++) {
        const session_reason *reason = &reasons[i];
        if (reason->clicks_ago == 0 || reason->clicks_ago > click_count)
            continue;
        if (!first)
            APPEND(out, ",");
        first = false;
        APPEND(out, "{\"item_id\":");
        leat__buffer_json_str(out, clicks[click_count - reason->clicks_ago]);
        leat__buffer_format(out,
                            ",\"clicks_ago\":%u,\"sessions\":%u,\"share\":", reason->clicks_ago,
                            reason->sessions);
        append_score(out, reason->share);
        APPEND(out, ",\"newest_session_ms\":");
        leat__buffer_i64_text(out, reason->last_time_ms);
        APPEND(out, "}");
    }
    APPEND(out, "]");
}

void answer_items(leat__buffer *out, const recommend_item *items, size_t count,
                  const leat_str *clicks, size_t click_count)
{
    APPEND(out, "\"items\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            APPEND(out, ",");
        APPEND(out, "{\"item_id\":");
        leat__buffer_json_str(out, items[i].item);
        APPEND(out, ",\"score\":");
        append_score(out, items[i].score);
        APPEND(out, ",\"source\":\"");
        leat_str source = recommend_source_name(items[i].source);
        leat__buffer_bytes(out, source.data, source.length);
        APPEND(out, "\"");
        if (items[i].reasons != NULL)
            append_reasons(out, items[i].reasons, clicks, click_count);
        APPEND(out, "}");
    }
    APPEND(out, "]");
}
