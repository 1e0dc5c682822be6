/* engine/task.c - one task's turn: take input, fire timers, hand on time, seal the epoch.
 *
 *   leat__task_run:   channels full? ─► wait        barrier due? ─► seal
 *                     else: clock timers ─► input ─► timers ─► watermark passed on
 *
 * Order within a task: elements as they arrive; on a watermark all its timers fire, in timestamp
 * order, before it is passed on (W5, T1); equal timestamps by operator number, then key (T2).
 */
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "time/saturate.h"

/* The first thing that an epoch does in this task fixes the epoch's clock (R21) and tells the
 * coordinator. */
void leat__task_touch(leat__task *task)
{
    if (task->touched)
        return;
    leat__run *run = task->run;
    task->touched = true;
    task->face.clock_ms = run->env->now_ms(run->env->arg);
    if (task->face.store != NULL)
        leat__store_set_clock(task->face.store, task->face.clock_ms);
    int64_t none = 0;
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    task->monotonic_ms = now_us / 1000;
    if (atomic_compare_exchange_strong(&run->active_since_us, &none, now_us == 0 ? 1 : now_us))
        leat__doorbell_ring(&run->bell);
}

/* ------------------------------------------------------------------ errors */

/* They are kept, unlike what is skipped: the first one is news, the others are counted. */
enum { DEAD_LETTER_LOG_EVERY_MS = 60000 };

leat_status leat__task_failed(void *arg, leat__op *op, const leat__element *element,
                              const leat_error *error)
{
    leat__task *task = arg;
    leat_on_error policy = op->spec->on_error;
    if (policy == LEAT_ON_ERROR_STOP || error->recovery == LEAT_RECOVERY_RESTART) {
        leat_error told = *error;
        const leat_log_record *origin = element != NULL ? element->origin : NULL;
        if (error->status == LEAT_ETOOBIG) /* the message names the sink */
            (void)snprintf(told.where, sizeof(told.where), "%s", op->spec->name);
        if (origin != NULL && policy == LEAT_ON_ERROR_STOP)
            (void)snprintf(
                told.message, sizeof(told.message),
                "%.300s (%s, partition %u, offset %lld; on_error SKIP or DEAD_LETTER would go on)",
                error->message, origin->topic, origin->partition, (long long)origin->offset);
        leat__run_fail(task->run, &told);
        return error->status;
    }
    leat__task_touch(task); /* counters and dead letters belong to an epoch */
    if (policy == LEAT_ON_ERROR_DEAD_LETTER) {
        op->records_dead++;
        task->counters.dead++;
        leat__dead_letter(task, op, element, error);
        if (task->dead_log_ms == 0 ||
            task->face.clock_ms - task->dead_log_ms >= DEAD_LETTER_LOG_EVERY_MS) {
            task->dead_log_ms = task->face.clock_ms;
            leat__log_line(LEAT__WARN, "job", "%s: record goes to the dead letters: %s",
                           op->spec->name, error->message);
        }
        return LEAT_OK;
    }
    op->records_skipped++;
    task->counters.skipped++;
    /* one line a second, however many are bad */
    if (task->face.clock_ms - task->skip_log_ms >= 1000) {
        task->skip_log_ms = task->face.clock_ms;
        leat__log_line(LEAT__WARN, "job", "%s: record skipped: %s", op->spec->name, error->message);
    }
    return LEAT_OK;
}

void leat__task_stop(void *arg, const leat_error *error)
{
    leat__run_fail(((leat__task *)arg)->run, error);
}

void leat__task_late(void *arg, leat__op *op)
{
    leat__task *task = arg;
    op->records_late++;
    task->counters.late++;
}

leat_status leat__task_take(leat__task *task, const leat__target *target,
                            const leat__element *element)
{
    leat_error error;
    if (target->op != NULL) {
        if (!leat__op_hands_on(target->op->spec) ||
            !leat__element_is_large(&target->op->output[0], element))
            return leat__op_push(target->op, element);
        leat__element large = *element;
        large.large = true;
        return leat__op_push(target->op, &large);
    }
    if (!target->strict || target->check(target->arg, element, false, &error) == LEAT_OK)
        return target->deliver(target->arg, element);
    if (task->source != NULL)
        return leat__task_failed(task, &task->source->decode_op, element, &error);
    leat__run_fail(task->run, &error); /* behind an exchange in memory */
    return error.status;
}

/* ------------------------------------------------------------------ timers and time */

static bool fire_timers(leat__task *task, leat__time_domain domain, int64_t until_ms)
{
    if (task->face.store == NULL)
        return true;
    leat__timer timer;
    while (leat__store_timer_next(task->face.store, domain) <= until_ms &&
           leat__store_timer_pop(task->face.store, domain, until_ms, &timer)) {
        leat__task_touch(task);
        if (leat__op_fire(task->timer_ops[timer.timer], &timer, domain) != LEAT_OK)
            return false;
        leat__arena_reset(&task->scratch);
    }
    return true;
}

static void send_control(leat__task *task, uint8_t kind, int64_t value)
{
    for (size_t i = 0; i < task->output_count; i++)
        leat__channel_control(task->outputs[i], kind, value);
}

/* How time stands now; the watermark is passed on first, then idleness (W3, W4). A watermark that
 * did not move is passed on only to say that an idle input is awake. */
bool leat__pass_time(leat__task *task, int64_t watermark_ms, bool idle)
{
    bool moved = watermark_ms > task->face.watermark_ms;
    if (moved) {
        task->face.watermark_ms = watermark_ms;
        if (watermark_ms != LEAT_TIME_MAX)
            leat__keep_watermark(task, watermark_ms);
        /* W5: before it is passed on */
        if (!fire_timers(task, LEAT__EVENT_TIME, watermark_ms))
            return false;
        /* the end of the input is no time: state does not get old by it (S2) */
        if (task->face.store != NULL && watermark_ms != LEAT_TIME_MAX)
            leat__store_set_watermark(task->face.store, watermark_ms);
    }
    if (moved || (task->told_idle && !idle))
        send_control(task, LEAT__ITEM_WATERMARK, task->face.watermark_ms);
    if (idle && !task->told_idle)
        send_control(task, LEAT__ITEM_IDLE, 0);
    task->told_idle = idle;
    return true;
}

/* W5: nothing more comes in this run. Only stages that are fed through the log need to hear it. */
static void stop_task(leat__task *task)
{
    if (task->stopped || task->face.watermark_ms == LEAT_TIME_MAX)
        return;
    task->stopped = true;
    if (task->run->repartitions != NULL)
        send_control(task, LEAT__ITEM_STOPPED, 0);
}

static bool input_ended(leat__task *task, leat__channel *channel)
{
    if (!channel->ended && ++task->ended_inputs == task->input_count)
        stop_task(task);
    channel->ended = true;
    return true;
}

static bool processing_timers(leat__task *task)
{
    if (task->face.store == NULL)
        return false;
    int64_t next = leat__store_timer_next(task->face.store, LEAT__PROCESSING_TIME);
    if (next == LEAT_TIME_MAX)
        return false;
    int64_t clock_ms =
        task->touched ? task->face.clock_ms : task->run->env->now_ms(task->run->env->arg);
    if (next > clock_ms)
        return false;
    leat__task_touch(task);
    (void)fire_timers(task, LEAT__PROCESSING_TIME, task->face.clock_ms);
    return true;
}

/* Where nothing else happens, an epoch is opened for what has expired (R22): its seal takes it. */
static void sweep_if_quiet(leat__task *task)
{
    leat__run *run = task->run;
    if (task->face.store == NULL || task->touched || atomic_load(&run->stop_requested) ||
        atomic_load(&run->buffered_bytes) >= run->buffer_limit)
        return;
    if (leat__store_sweep_in_ms(task->face.store, run->env->now_ms(run->env->arg)) == 0)
        leat__task_touch(task);
}

/* ------------------------------------------------------------------ the end of an epoch */

static void account(leat__task *task)
{
    leat__bundle *bundle = task->bundle;
    size_t bytes =
        bundle->bytes.length + bundle->count * (sizeof(*bundle->records) + LEAT__LOG_RECORD_BYTES);
    if (task->face.store != NULL)
        bytes += leat__store_dirty_bytes(task->face.store);
    if (bytes > bundle->accounted_bytes) {
        leat__run *run = task->run;
        size_t more = bytes - bundle->accounted_bytes;
        size_t before = atomic_fetch_add(&run->buffered_bytes, more),
               longer = leat__backlog_bytes(run);
        bundle->accounted_bytes = bytes;
        if (before + more >= run->buffer_limit || (before < longer && before + more >= longer))
            leat__doorbell_ring(&run->bell); /* R9: early barrier */
    }
}

static void show_seal(leat__task *task)
{
    leat__shown *shown = &task->shown;
    const leat__bundle *sealed = task->sealed;
    atomic_store_explicit(&shown->sealed_epoch, sealed->epoch, memory_order_relaxed);
    atomic_store_explicit(&shown->sealed_outputs, sealed->count, memory_order_relaxed);
    atomic_store_explicit(&shown->sealed_changes, sealed->change_count, memory_order_relaxed);
}

static void seal_epoch(leat__task *task)
{
    leat__run *run = task->run;
    leat__bundle *bundle = task->bundle;
    bundle->epoch = task->epoch;
    leat__outlets_seal(task);
    if (task->face.store != NULL) {
        leat_error error = {0};
        if (leat__store_check(task->face.store, &error) != LEAT_OK)
            leat__run_fail(run, &error); /* R17 */
        leat__changes *changes = run->forgetful ? NULL : &bundle->changes;
        bundle->change_count = leat__store_seal(task->face.store, task->epoch, changes);
        leat__store_get_stats(task->face.store, &bundle->store_stats);
    }
    bundle->has_offset = task->source != NULL;
    if (bundle->has_offset) {
        bundle->offset = task->source->offset;
        bundle->max_timestamp_ms = task->source->time.watermark.highest_ms;
        bundle->drained = task->source->ended && task->face.watermark_ms == LEAT_TIME_MAX &&
                          task->source->offset > 0;
        if (task->source->inlet != NULL) {
            bundle->max_timestamp_ms = task->kept_watermark_ms;
            leat__inlet_senders(task, &bundle->senders);
        }
    }
    bundle->watermark_ms = task->face.watermark_ms;
    bundle->kept_watermark_ms = task->kept_watermark_ms;
    bundle->counters = task->counters;
    send_control(task, LEAT__ITEM_BARRIER, (int64_t)task->epoch);
    task->sealed = bundle;
    show_seal(task);
    task->bundle = bundle == &task->bundles[0] ? &task->bundles[1] : &task->bundles[0];
    leat__bundle_reset(task->bundle);
    task->touched = false;
    task->epoch++;
    if (atomic_fetch_add(&run->sealed_count, 1) + 1 == run->task_count)
        leat__doorbell_ring(&run->bell);
}

static bool barrier_due(const leat__task *task)
{
    return atomic_load(&task->run->barrier_epoch) >= task->epoch;
}

/* ------------------------------------------------------------------ input */

static bool receive_item(leat__task *task, leat__channel *channel, const leat__item *item)
{
    switch (item->kind) {
    case LEAT__ITEM_RECORD: {
        leat__task_touch(task);
        const leat__element element = {.record = item->record,
                                       .timestamp_ms = item->timestamp_ms,
                                       .key = item->key,
                                       .key_hash = item->key_hash};
        leat_status status = leat__task_take(task, &task->edge_target[item->edge], &element);
        leat__arena_reset(&task->scratch);
        return status == LEAT_OK;
    }
    case LEAT__ITEM_WATERMARK:
        if (leat__valve_watermark(&task->valve, channel->input, item->timestamp_ms) &&
            !leat__pass_time(task, task->valve.output_ms, task->valve.idle))
            return false;
        return item->timestamp_ms != LEAT_TIME_MAX || input_ended(task, channel);
    case LEAT__ITEM_IDLE:
        return !leat__valve_idle(&task->valve, channel->input) ||
               leat__pass_time(task, task->valve.output_ms, task->valve.idle);
    case LEAT__ITEM_STOPPED:
        return input_ended(task, channel);
    default: /* LEAT__ITEM_BARRIER (R23): nothing of this channel until all have arrived */
        atomic_store_explicit(&channel->barriered, true, memory_order_relaxed);
        task->barriers++;
        return true;
    }
}

static bool barriered(const leat__channel *channel)
{
    return atomic_load_explicit(&channel->barriered, memory_order_relaxed);
}

/* Takes at most one batch's worth from each channel, so that all progress and barriers meet soon.
 * */
static bool receive(leat__task *task)
{
    bool busy = false;
    for (size_t i = 0; i < task->input_count; i++) {
        leat__channel *channel = task->inputs[i];
        const leat__item *item;
        for (size_t n = 0;
             n < 256 && !barriered(channel) && (item = leat__channel_take(channel)) != NULL; n++) {
            busy = true;
            if (!receive_item(task, channel, item))
                return false;
        }
        if (atomic_exchange(&channel->waited_for, false))
            leat__doorbell_ring(&task->run->workers[channel->sender->worker].bell);
    }
    if (task->barriers == task->input_count && (task->input_count != 0 || barrier_due(task))) {
        for (size_t i = 0; i < task->input_count; i++)
            atomic_store_explicit(&task->inputs[i]->barriered, false, memory_order_relaxed);
        task->barriers = 0;
        seal_epoch(task);
    }
    return busy;
}

static bool run_source(leat__task *task)
{
    leat__run *run = task->run;
    if (barrier_due(task)) {
        seal_epoch(task);
        return true;
    }
    if (task->source->ended || atomic_load(&run->stop_requested))
        return false;
    /* R9: the source pauses */
    if (atomic_load(&run->buffered_bytes) >= run->buffer_limit)
        return false;
    bool busy = leat__source_run(task);
    if (atomic_load(&run->failed))
        return false;
    leat__time_signal signal;
    if (task->source->inlet == NULL &&
        leat__partition_time_signal(&task->source->time,
                                    run->env->monotonic_us(run->env->arg) / 1000, &signal) &&
        !leat__pass_time(task, signal.watermark_ms, signal.idle))
        return false;
    /* W5: what was to fire has fired; the job may end now */
    if (task->source->ended) {
        stop_task(task);
        leat__task_touch(task);
        leat__doorbell_ring(&run->bell);
    }
    return busy;
}

static bool flush(leat__task *task)
{
    bool all = true;
    for (size_t i = 0; i < task->output_count; i++) {
        leat__channel *channel = task->outputs[i];
        bool had = channel->open != NULL || channel->pending != NULL;
        bool through = leat__channel_flush(channel);
        if (!through) { /* once more after asking to be woken: it may have been emptied between */
            atomic_store(&channel->waited_for, true);
            through = leat__channel_flush(channel);
        }
        all &= through;
        if (had && channel->receiver->worker != task->worker)
            leat__doorbell_ring(&task->run->workers[channel->receiver->worker].bell);
    }
    return all;
}

static bool take_turn(leat__task *task)
{
    if (atomic_load(&task->run->failed))
        return false;
    leat__works(&task->face, NULL, -1);
    if (!flush(task))
        return false; /* a full channel: its receiver has to run first */
    /* first: a run that ends where its input ends may have no other turn (W5) */
    bool busy = processing_timers(task);
    busy |= task->source != NULL ? run_source(task) : receive(task);
    if (atomic_load(&task->run->failed))
        return false;
    sweep_if_quiet(task);
    leat__outlets_look(task);
    if (busy)
        account(task);
    (void)flush(task);
    return busy;
}

void leat__task_show(leat__task *task)
{
    leat__shown *shown = &task->shown;
    const leat__source *source = task->source;
    if (source != NULL) {
        atomic_store_explicit(&shown->offset, source->offset, memory_order_relaxed);
        atomic_store_explicit(&shown->ended, source->ended, memory_order_relaxed);
    }
    atomic_store_explicit(&shown->clock_ms, task->face.clock_ms, memory_order_relaxed);
    atomic_store_explicit(&shown->watermark_ms, task->face.watermark_ms, memory_order_relaxed);
    atomic_store_explicit(&shown->epoch, task->epoch, memory_order_relaxed);
}

bool leat__task_run(leat__task *task)
{
    bool busy = take_turn(task);
    leat__task_show(task);
    return busy;
}

/* How long the worker may sleep for this task's sake. */
int64_t leat__task_next_due_us(leat__task *task)
{
    int64_t due_us = 200000; /* W2: time moves at least every 200 ms of the clock */
    int64_t told_us = leat__outlets_due_us(task);
    if (told_us != INT64_MAX && told_us > 0) {
        int64_t left_us = told_us - task->run->env->monotonic_us(task->run->env->arg);
        if (left_us < due_us)
            due_us = left_us < 500 ? 500 : left_us;
    }
    if (task->face.store != NULL) {
        int64_t clock_ms = task->run->env->now_ms(task->run->env->arg);
        int64_t next = leat__store_timer_next(task->face.store, LEAT__PROCESSING_TIME);
        int64_t left_ms = next > clock_ms ? leat__time_sub(next, clock_ms) : 0;
        int64_t sweep_ms = leat__store_sweep_in_ms(task->face.store, clock_ms);
        if (sweep_ms < left_ms && !task->touched)
            left_ms = sweep_ms;
        /* the epoch's clock moves by epochs */
        if (left_ms < due_us / 1000)
            due_us = left_ms < 1 ? 500 : left_ms * 1000;
    }
    return due_us;
}
