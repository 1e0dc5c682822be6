/* job/popularity_op.c - the operator "popularity": counts an item's interactions and publishes the
 * absolute values at once, but not more often than every FLUSH_MS (J5).
 *
 *   touches     x      x x x x x         x
 *   published   x      x         x       x        the timer is set for hot items only, as each
 *                      └ FLUSH_MS ┘               timer is a change of state that has to be stored
 */
#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/recommender_job.h"
#include "apps/recommender/job/records.h"

enum { SLOT_COUNT = 0 };
enum { TIMER_FLUSH = 0 };
enum { FLUSH_MS = 100 };

static void publish(leat_ctx *ctx, item_state *state)
{
    state->published_ms = leat_clock(ctx);
    state->flush_waits = false;
    item_count out = {
        .item_id = leat_key(ctx),
        .category = state->category,
        .total = state->total,
        .decayed = state->decayed,
        .at_ms = state->at_ms,
    };
    leat_emit(ctx, &out);
}

static leat_status on_touch(leat_ctx *ctx, const void *record)
{
    const item_touch *touch = record;
    const recommender_job *job = leat_arg(ctx);
    int64_t half_life_ms = job->settings.popular.half_life_ms;
    item_state *state = leat_mut(ctx, SLOT_COUNT);
    bool is_new = state->total == 0;
    double weight = touch->weight;
    if (is_new) {
        state->at_ms = touch->at_ms;
    } else if (touch->at_ms >= state->at_ms) {
        state->decayed = popularity_decay(state->decayed, state->at_ms, touch->at_ms, half_life_ms);
        state->at_ms = touch->at_ms;
    } else {
        weight = popularity_decay(weight, touch->at_ms, state->at_ms, half_life_ms);
    }
    state->total += 1;
    state->decayed += weight;
    if (touch->category.length > 0)
        state->category = touch->category;
    if (state->flush_waits)
        return LEAT_OK;
    if (is_new || leat_clock(ctx) >= state->published_ms + FLUSH_MS) {
        publish(ctx, state);
    } else {
        state->flush_waits = true;
        leat_timer_set_clock(ctx, TIMER_FLUSH, state->published_ms + FLUSH_MS);
    }
    return LEAT_OK;
}

static leat_status on_flush(leat_ctx *ctx, int timer)
{
    (void)timer;
    item_state *state = leat_mut(ctx, SLOT_COUNT);
    if (state->flush_waits)
        publish(ctx, state);
    return LEAT_OK;
}

const leat_process_op popularity_op = {
    .in = &item_touch_type,
    .out = &item_count_type,
    .state = {[SLOT_COUNT] = {.name = "count", .kind = LEAT_VALUE, .type = &item_state_type}},
    .timer = {[TIMER_FLUSH] = "flush"},
    .on_record = on_touch,
    .on_timer = on_flush,
};
