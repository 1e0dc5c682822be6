/* commands/event_text.h - an interaction as the flat JSON form of event.h, on one line. */
#ifndef RECOMMENDER_EVENT_TEXT_H
#define RECOMMENDER_EVENT_TEXT_H
#include "apps/recommender/events/event.h"
#include "base/buffer.h"

/* No line break is added. */
void event_text_append(leat__buffer *out, const interaction *event);
#endif
