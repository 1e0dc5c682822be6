/* cart_reminder - reminds a user whose cart has been left alone for half an hour: state and a
 * timer.
 *
 *     shop_events ─► key by user ─► cart of this user, timer ─► cart_reminders
 *                                     "cart": fill it, wind the timer up again
 *                                     "buy":  forget both
 *                                     timer:  remind, forget
 */
#include "options.h"

struct shop_event {
    int64_t ts_ms;
    leat_str user, kind, item;
};
LEAT_RECORD(shop_event, ts_ms, user, kind, LEAT_OPTIONAL(item));

struct cart {
    leat_str last_item;
    uint32_t item_count;
};
LEAT_RECORD(cart, last_item, item_count);

struct reminder {
    leat_str user, last_item;
    uint32_t item_count;
};
LEAT_RECORD(reminder, user, last_item, item_count);

enum { STATE_CART }; /* slots are named once, for the table below and for the code */
enum { TIMER_IDLE };

static leat_status on_event(leat_ctx *ctx, const void *record)
{
    const struct shop_event *event = record;
    if (leat_str_equal(event->kind, LEAT_STR("buy"))) {
        leat_del(ctx, STATE_CART);
        leat_timer_clear(ctx, TIMER_IDLE);
    } else if (leat_str_equal(event->kind, LEAT_STR("cart"))) {
        if (event->item.length == 0) /* the record goes to dead-letters, the cart stays as it was */
            return leat_fail(ctx, LEAT_EDATA, "a cart event without an item");
        struct cart *cart = leat_mut(ctx, STATE_CART); /* zeroed if this user had none */
        cart->last_item = event->item;
        cart->item_count++;
        leat_timer_set(ctx, TIMER_IDLE, leat_now(ctx) + LEAT_MINUTES(30)); /* moves the old one */
    }
    return LEAT_OK;
}

static leat_status on_idle(leat_ctx *ctx, int timer)
{
    (void)timer; /* there is only one */
    const struct cart *cart = leat_get(ctx, STATE_CART);
    if (cart == NULL) /* forgotten after a week */
        return LEAT_OK;
    leat_emit(ctx, &(struct reminder){leat_key(ctx), cart->last_item, cart->item_count});
    leat_del(ctx, STATE_CART);
    return LEAT_OK;
}

static const leat_process_op reminder_op = {
    .in = &shop_event_type,
    .out = &reminder_type,
    .state = {[STATE_CART] = {.name = "cart", .type = &cart_type, .ttl_ms = LEAT_DAYS(7)}},
    .timer = {[TIMER_IDLE] = "idle"},
    .on_record = on_event,
    .on_timer = on_idle,
    .on_error = LEAT_ON_ERROR_DEAD_LETTER};

int main(int argc, char **argv)
{
    const options opts = options_parse(
        argc, argv, "reminds of carts left alone for half an hour",
        (options){.input = "shop_events", .output = "cart_reminders", .partitioned_by = "user"});
    leat_job *job = options_job(&opts, "cart-reminder");

    leat_stream events = leat_from_log(job, "events", &shop_event_type,
                                       &(leat_log_source){.topic = opts.input,
                                                          .partitioned_by = opts.partitioned_by,
                                                          .time_field = "ts_ms",
                                                          .out_of_order_ms = LEAT_SECONDS(10),
                                                          .until_end = opts.until_end,
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream reminders = leat_process(leat_key_by(events, "user"), "remind", &reminder_op, NULL);
    leat_to_log(reminders, "out", &(leat_log_sink){.topic = opts.output, .key = "user"});

    return options_run(&opts, job);
}
