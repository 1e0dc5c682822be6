/* time/valve.h - the watermark of a task with several inputs: their minimum (W3, W4).
 *
 *   input 0   10  active ─┐
 *   input 1    7  active ─┼─► 7       idle inputs do not count; an input that wakes counts again
 *   input 2    3  idle   ─┘           once its watermark has caught up with the output
 *
 * The output never goes back.  When all inputs are idle it is the maximum that any of them has
 * promised, and the task itself is idle.  One thread, no clock.
 */
#ifndef LEAT_TIME_VALVE_H
#define LEAT_TIME_VALVE_H
#include "leat/base.h"
#include <stdatomic.h>

typedef struct leat__valve_input {
    int64_t watermark_ms;
    bool idle;
    bool aligned; /* counts for the minimum: active, and not behind the output since it woke */
} leat__valve_input;

typedef struct leat__valve {
    leat__valve_input *inputs;
    size_t input_count;
    int64_t output_ms; /* LEAT_TIME_MIN before the first */
    bool idle;         /* all inputs are */
    /* for other threads (R31): the input whose watermark is the minimum; SIZE_MAX: none counts */
    _Atomic size_t holder;
} leat__valve;

void leat__valve_init(leat__valve *valve, size_t input_count); /* all active, at LEAT_TIME_MIN */
void leat__valve_free(leat__valve *valve);

/* Each returns true if output_ms or idle changed: read them and pass them on, the watermark first.
 * A watermark wakes an idle input; one that goes back is ignored. */
bool leat__valve_watermark(leat__valve *valve, size_t input, int64_t watermark_ms);
bool leat__valve_idle(leat__valve *valve, size_t input);
bool leat__valve_active(leat__valve *valve, size_t input);

/* After a restart. All inputs and the output stand at watermark_ms: each holds it until heard. */
void leat__valve_begin_at(leat__valve *valve, int64_t watermark_ms);
/* An input as it was told to be before; one behind the output has to catch up (W4). It may be put
 * back by this, the output never is; read both as after the calls above. */
void leat__valve_restore(leat__valve *valve, size_t input, int64_t watermark_ms, bool idle);
#endif
