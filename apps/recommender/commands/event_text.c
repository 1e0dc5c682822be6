#include "apps/recommender/commands/event_text.h"

static void member(leat__buffer *out, const char *name, leat_str text)
{
    if (text.length == 0)
        return;
    leat__buffer_text(out, name);
    leat__buffer_json_str(out, text);
}

void event_text_append(leat__buffer *out, const interaction *event)
{
    leat__buffer_text(out, "{\"user_id\":");
    leat__buffer_json_str(out, event->user_id);
    member(out, ",\"item_id\":", event->item_id);
    leat__buffer_text(out, ",\"event_type\":\"");
    leat__buffer_text(out, interaction_kind_name(event->kind));
    leat__buffer_text(out, "\",\"timestamp_ms\":");
    leat__buffer_i64_text(out, event->timestamp_ms);
    member(out, ",\"event_id\":", event->event_id);
    member(out, ",\"session_id\":", event->session_id);
    member(out, ",\"category\":", event->category);
    if (event->value != 0) {
        leat__buffer_text(out, ",\"value\":");
        leat__buffer_f64_text(out, event->value);
    }
    if (event->price != 0) {
        leat__buffer_text(out, ",\"price\":");
        leat__buffer_f64_text(out, event->price);
    }
    leat__buffer_text(out, "}");
}
