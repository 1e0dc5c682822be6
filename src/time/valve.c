#include "time/valve.h"
#include "base/assert.h"
#include "base/mem.h"

void leat__valve_init(leat__valve *valve, size_t input_count)
{
    *valve = (leat__valve){.inputs = leat__calloc(input_count, sizeof *valve->inputs),
                           .input_count = input_count,
                           .output_ms = LEAT_TIME_MIN};
    for (size_t i = 0; i < input_count; i++)
        valve->inputs[i] = (leat__valve_input){.watermark_ms = LEAT_TIME_MIN, .aligned = true};
}

void leat__valve_free(leat__valve *valve)
{
    leat__free(valve->inputs);
    *valve = (leat__valve){0};
}

static bool raise_output(leat__valve *valve, int64_t watermark_ms)
{
    if (watermark_ms <= valve->output_ms)
        return false; /* W3 */
    valve->output_ms = watermark_ms;
    return true;
}

/* Called whenever it may have risen, so that output_ms >= the minimum of the aligned inputs holds
 * and an input above output_ms cannot be what holds it back. */
static bool pass_minimum(leat__valve *valve)
{
    int64_t minimum_ms = LEAT_TIME_MAX;
    size_t holder = SIZE_MAX;
    for (size_t i = 0; i < valve->input_count; i++) {
        const leat__valve_input *input = &valve->inputs[i];
        if (!input->aligned || (holder != SIZE_MAX && input->watermark_ms >= minimum_ms))
            continue;
        minimum_ms = input->watermark_ms;
        holder = i;
    }
    atomic_store_explicit(&valve->holder, holder, memory_order_relaxed);
    return holder != SIZE_MAX && raise_output(valve, minimum_ms);
}

static bool pass_maximum(leat__valve *valve)
{
    int64_t maximum_ms = LEAT_TIME_MIN;
    for (size_t i = 0; i < valve->input_count; i++)
        if (valve->inputs[i].watermark_ms > maximum_ms)
            maximum_ms = valve->inputs[i].watermark_ms;
    return raise_output(valve, maximum_ms);
}

static bool all_idle(const leat__valve *valve)
{
    for (size_t i = 0; i < valve->input_count; i++)
        if (!valve->inputs[i].idle)
            return false;
    return true;
}

bool leat__valve_active(leat__valve *valve, size_t number)
{
    LEAT_ASSERT(number < valve->input_count);
    leat__valve_input *input = &valve->inputs[number];
    if (!input->idle)
        return false;
    bool was_idle = valve->idle;
    input->idle = valve->idle = false;
    input->aligned = input->watermark_ms >= valve->output_ms; /* W4 */
    /* if every other input is still behind, this one alone is the minimum */
    return (input->aligned && pass_minimum(valve)) || was_idle;
}

bool leat__valve_watermark(leat__valve *valve, size_t number, int64_t watermark_ms)
{
    LEAT_ASSERT(number < valve->input_count);
    leat__valve_input *input = &valve->inputs[number];
    bool woke = leat__valve_active(valve, number);
    if (watermark_ms <= input->watermark_ms)
        return woke;
    bool held_back = input->aligned && input->watermark_ms <= valve->output_ms;
    bool joins = !input->aligned && watermark_ms >= valve->output_ms;
    input->watermark_ms = watermark_ms;
    input->aligned |= joins;
    /* only who stood at the minimum, or counts anew, can move it */
    return ((held_back || joins) && pass_minimum(valve)) || woke;
}

bool leat__valve_idle(leat__valve *valve, size_t number)
{
    LEAT_ASSERT(number < valve->input_count);
    leat__valve_input *input = &valve->inputs[number];
    if (input->idle)
        return false;
    input->idle = true;
    input->aligned = false;
    if (!all_idle(valve))
        return pass_minimum(valve);
    atomic_store_explicit(&valve->holder, SIZE_MAX, memory_order_relaxed);
    (void)pass_maximum(valve);
    valve->idle = true;
    return true;
}

void leat__valve_begin_at(leat__valve *valve, int64_t watermark_ms)
{
    for (size_t i = 0; i < valve->input_count; i++)
        valve->inputs[i] =
            (leat__valve_input){.watermark_ms = watermark_ms, .idle = false, .aligned = true};
    valve->output_ms = watermark_ms;
    valve->idle = false;
    atomic_store_explicit(&valve->holder, 0, memory_order_relaxed);
}

void leat__valve_restore(leat__valve *valve, size_t number, int64_t watermark_ms, bool idle)
{
    LEAT_ASSERT(number < valve->input_count);
    valve->inputs[number] =
        (leat__valve_input){.watermark_ms = watermark_ms,
                            .idle = idle,
                            .aligned = !idle && watermark_ms >= valve->output_ms};
    valve->idle = all_idle(valve);
    (void)pass_minimum(valve); /* all the others may be further */
}
