#include "window/trigger.h"
#include "window/window.h"

static leat__trigger_result event_time_element(leat__trigger_view *view, int64_t timestamp_ms,
                                               const void *record)
{
    (void)timestamp_ms;
    (void)record;
    int64_t end_ms = leat__window_max_timestamp(&view->window);
    if (end_ms <= view->watermark_ms)
        return LEAT__FIRE; /* allowed-late: at once */
    if (view->first)
        view->set_timer(view, LEAT__EVENT_TIME, end_ms);
    return LEAT__CONTINUE;
}

static leat__trigger_result event_time_timer(leat__trigger_view *view, leat__time_domain domain,
                                             int64_t at_ms)
{
    bool at_end = domain == LEAT__EVENT_TIME && at_ms == leat__window_max_timestamp(&view->window);
    return at_end ? LEAT__FIRE : LEAT__CONTINUE;
}

const leat_trigger leat__trigger_event_time = {
    .kind = "event time", .on_element = event_time_element, .on_timer = event_time_timer};
const leat_trigger leat__trigger_event_time_purging = {.kind = "event time, purging",
                                                       .purging = true,
                                                       .on_element = event_time_element,
                                                       .on_timer = event_time_timer};

static leat__trigger_result or_purge(const leat_trigger *trigger, leat__trigger_result result)
{
    return trigger->purging && result == LEAT__FIRE ? LEAT__FIRE_AND_PURGE : result;
}

leat__trigger_result leat__trigger_element(const leat_trigger *trigger, leat__trigger_view *view,
                                           int64_t timestamp_ms, const void *record)
{
    return or_purge(trigger, trigger->on_element(view, timestamp_ms, record));
}

leat__trigger_result leat__trigger_timer(const leat_trigger *trigger, leat__trigger_view *view,
                                         leat__time_domain domain, int64_t at_ms)
{
    return or_purge(trigger, trigger->on_timer(view, domain, at_ms));
}
