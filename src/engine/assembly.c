/* engine/assembly.c - from the plan and an assignment of partitions to tasks, channels and open
 * stores, and back.
 *
 *   plan (stages, edges) × partitions ─► tasks ─► operators, slots and timers numbered through
 *                                          └────► channels along every edge
 *
 * Everything built here is thrown away and built again after a failure or a change of the
 * assignment (R10).
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/exchange.h"
#include "engine/members.h"
#include "engine/refusals.h"
#include "record/codec.h"

static const leat__node *node_of(const leat__run *run, uint32_t id)
{
    return &run->graph->nodes[id];
}

/* ------------------------------------------------------------------ one task */

static void collect_state(leat__task *task, leat__op *op)
{
    const leat__op_spec *spec = op->spec;
    op->first_slot = (uint32_t)task->slot_count;
    op->first_timer = (uint32_t)task->timer_count;
    for (size_t i = 0; i < spec->slot_count; i++) {
        task->slots = leat__realloc(task->slots, task->slot_count + 1, sizeof(*task->slots));
        task->slots[task->slot_count++] = spec->slot[i];
    }
    for (size_t i = 0; i < spec->timer_count; i++) {
        task->timers = leat__realloc(task->timers, task->timer_count + 1, sizeof(*task->timers));
        task->timer_ops =
            leat__realloc(task->timer_ops, task->timer_count + 1, sizeof(*task->timer_ops));
        task->timer_ops[task->timer_count] = op;
        /* an operator's timers are named after it: two operators may both have an "idle" */
        task->timers[task->timer_count++] = leat__format("%s/%s", spec->name, spec->timer[i]);
    }
}

static void make_source(leat__task *task, const leat__node *node)
{
    task->source = leat__calloc(1, sizeof(*task->source));
    task->source->node = node;
    task->source->topic = leat__source_topic(task->run, node);
    task->source->sealed_timestamp_ms = LEAT_TIME_MIN;
    task->source->guilty_offset = -1;
}

static void make_ops(leat__task *task)
{
    const leat__stage *stage = task->stage;
    task->ops = leat__calloc(stage->node_count, sizeof(leat__op *));
    for (size_t i = 0; i < stage->node_count; i++) {
        const leat__node *node = node_of(task->run, stage->nodes[i]);
        if (node->kind == LEAT__NODE_OP) {
            leat__op *op = task->ops[i] = leat__calloc(1, sizeof(*op));
            op->spec = &node->as.op;
            op->ctx.task = &task->face;
            op->ctx.spec = op->spec;
            collect_state(task, op);
        } else if (node->kind <= LEAT__NODE_SOURCE_ARRAY) {
            make_source(task, node);
        }
    }
}

static leat__task *make_task(leat__run *run, const leat__stage *stage, uint32_t partition)
{
    leat__task *task = leat__calloc(1, sizeof(*task));
    task->run = run;
    task->stage = stage;
    task->partition = partition;
    task->worker = partition % run->worker_count;
    task->epoch = run->epoch;
    task->bundle = &task->bundles[0];
    leat__keep_watermark(task, LEAT_TIME_MIN);
    task->face = (leat__task_face){.partition = partition,
                                   .watermark_ms = LEAT_TIME_MIN,
                                   .scratch = &task->scratch,
                                   .task = task,
                                   .failed = leat__task_failed,
                                   .late = leat__task_late,
                                   .stop = leat__task_stop};
    make_ops(task);
    if (stage->has_state && !run->forgetful)
        task->changelog = leat__format("%s-%s-changelog", run->graph->opts.name, stage->name);
    task->changelog_id = run->changelog_ids[stage->number];
    const leat__repartition *from = leat__repartition_of(run, stage->number);
    if (from != NULL) {
        make_source(task, &from->node);
        task->source->inlet = leat__inlet_new(from, partition);
    }
    run->tasks = leat__realloc(run->tasks, run->task_count + 1, sizeof(leat__task *));
    run->tasks[run->task_count++] = task;
    return task;
}

/* on_close may come after the last commit, and after a failure that matters more: it is logged in
 * any case. */
static void close_op(leat__run *run, leat__op *op)
{
    leat_error error = {0};
    if (leat__op_close(op, &error) == LEAT_OK)
        return;
    leat__log_line(LEAT__ERROR, "job", "%s: %s", error.where, error.message);
    leat__run_fail(run, &error);
}

static void free_op(leat__run *run, leat__op *op)
{
    if (op == NULL)
        return;
    close_op(run, op);
    for (size_t i = 0; i < sizeof(op->output) / sizeof(op->output[0]); i++) {
        for (size_t k = 0; k < op->output[i].target_count; k++)
            if (op->output[i].targets[k].op == NULL) {
                leat__delivery *delivery = op->output[i].targets[k].arg;
                leat__free(delivery->channels);
                leat__free(delivery);
            }
        leat__free(op->output[i].targets);
    }
    leat__free(op);
}

static void free_task(leat__task *task)
{
    for (size_t i = 0; i < task->stage->node_count; i++)
        free_op(task->run, task->ops[i]);
    leat__free(task->ops);
    for (size_t k = 0; k < task->root.target_count; k++)
        if (task->root.targets[k].op == NULL) {
            leat__delivery *delivery = task->root.targets[k].arg;
            leat__free(delivery->channels);
            leat__free(delivery);
        }
    leat__free(task->root.targets);
    if (task->edge_target != NULL) {
        for (size_t e = 0; e < task->run->graph->plan.edge_count; e++)
            if (task->edge_target[e].op == NULL)
                leat__free(task->edge_target[e].arg);
        leat__free(task->edge_target);
    }
    leat__source_close(task->source);
    leat_log_reader_free(task->restore_reader); /* of a restore that was given up */
    leat__store_close(task->face.store);
    for (size_t i = 0; i < task->timer_count; i++)
        leat__free((void *)(uintptr_t)task->timers[i]);
    leat__free(task->timers);
    leat__free(task->timer_ops);
    leat__free(task->slots);
    leat__free(task->inputs);
    leat__free(task->outputs);
    leat__outlets_free(task);
    leat__valve_free(&task->valve);
    leat__arena_free(&task->scratch);
    leat__bundle_free(&task->bundles[0]);
    leat__bundle_free(&task->bundles[1]);
    leat__free(task->changelog);
    leat__free(task);
}

/* ------------------------------------------------------------------ wiring inside a task */

static leat__op *op_at(const leat__task *task, uint32_t node)
{
    for (size_t i = 0; i < task->stage->node_count; i++)
        if (task->stage->nodes[i] == node)
            return task->ops[i];
    return NULL;
}

static leat__delivery *make_sink(leat__task *task, const leat__node *sink)
{
    leat__delivery *delivery = leat__calloc(1, sizeof(*delivery));
    delivery->task = task;
    delivery->sink = sink;
    return delivery;
}

static void add_target(leat__output *output, leat__target target)
{
    output->targets =
        leat__realloc(output->targets, output->target_count + 1, sizeof(*output->targets));
    output->targets[output->target_count++] = target;
}

static leat__target target_of(leat__task *task, uint32_t node)
{
    leat__op *op = op_at(task, node);
    if (op != NULL)
        return (leat__target){.op = op};
    const leat__node *sink = node_of(task->run, node);
    return (leat__target){.deliver = leat__sink_deliver,
                          .check = leat__sink_check,
                          .arg = make_sink(task, sink),
                          .strict = leat__refusals_strict(task->run, sink)};
}

static leat__output *output_of(leat__task *task, leat__input from)
{
    leat__op *op = op_at(task, from.node);
    return op == NULL ? &task->root : &op->output[from.output];
}

/* An input of a node in this stage that comes over an edge is wired at the edge, not here. */
static bool crosses(const leat__plan *plan, leat__input from, uint32_t to_node)
{
    for (size_t e = 0; e < plan->edge_count; e++)
        if (plan->edges[e].from.node == from.node && plan->edges[e].from.output == from.output &&
            plan->edges[e].to_node == to_node)
            return true;
    return false;
}

static void wire_inside(leat__task *task)
{
    const leat__plan *plan = &task->run->graph->plan;
    for (size_t i = 0; i < task->stage->node_count; i++) {
        const leat__node *node = node_of(task->run, task->stage->nodes[i]);
        for (size_t k = 0; k < node->input_count; k++)
            if (!crosses(plan, node->inputs[k], node->id))
                add_target(output_of(task, node->inputs[k]), target_of(task, node->id));
    }
    task->edge_target = leat__calloc(plan->edge_count + 1, sizeof(leat__target));
    for (size_t e = 0; e < plan->edge_count; e++)
        if (plan->edges[e].to_stage == task->stage->number)
            task->edge_target[e] = target_of(task, plan->edges[e].to_node);
}

/* ------------------------------------------------------------------ wiring between tasks */

static leat__channel *channel_between(leat__task *from, leat__task *to)
{
    for (size_t i = 0; i < from->output_count; i++)
        if (from->outputs[i]->receiver == to)
            return from->outputs[i];
    leat__channel *channel = leat__calloc(1, sizeof(*channel));
    channel->sender = from;
    channel->receiver = to;
    channel->input = (uint32_t)to->input_count;
    from->outputs = leat__realloc(from->outputs, from->output_count + 1, sizeof(leat__channel *));
    from->outputs[from->output_count++] = channel;
    to->inputs = leat__realloc(to->inputs, to->input_count + 1, sizeof(leat__channel *));
    to->inputs[to->input_count++] = channel;
    return channel;
}

static void wire_edge(leat__task *from, uint32_t edge_number)
{
    leat__run *run = from->run;
    const leat__edge *edge = &run->graph->plan.edges[edge_number];
    leat__delivery *delivery = leat__calloc(1, sizeof(*delivery));
    *delivery = (leat__delivery){.task = from,
                                 .edge = edge,
                                 .edge_number = edge_number,
                                 .flat = leat__type_is_flat(edge->type),
                                 .channel_count = run->stage_partitions[edge->to_stage]};
    const leat__repartition *through = leat__repartition_of(run, edge->to_stage);
    if (through != NULL) {
        delivery->outlet = leat__outlet_to(from, through);
        add_target(output_of(from, edge->from), (leat__target){.deliver = leat__outlet_deliver,
                                                               .check = leat__outlet_check,
                                                               .arg = delivery});
        return;
    }
    delivery->channels = leat__calloc(delivery->channel_count, sizeof(leat__channel *));
    for (size_t i = 0; i < run->task_count; i++) {
        leat__task *to = run->tasks[i];
        if (to->stage->number != edge->to_stage)
            continue;
        bool connected = edge->exchange == LEAT__EXCHANGE_HASH ||
                         to->partition == from->partition % delivery->channel_count;
        if (connected)
            delivery->channels[to->partition] = channel_between(from, to);
    }
    add_target(output_of(from, edge->from),
               (leat__target){.deliver = leat__exchange_deliver, .arg = delivery});
}

static void settle_outputs(leat__task *task)
{
    leat__op_settle_output(&task->root, task->source == NULL ? NULL : task->source->node->type);
    for (size_t i = 0; i < task->stage->node_count; i++) {
        leat__op *op = task->ops[i];
        if (op == NULL)
            continue;
        leat__op_settle_output(&op->output[0], op->spec->out);
        for (size_t k = 0; k < LEAT_SLOTS_MAX; k++)
            leat__op_settle_output(&op->output[1 + k], op->spec->side[k].type);
    }
}

/* ------------------------------------------------------------------ stores */

static leat_status open_store(leat__task *task, leat_error *error)
{
    if (!task->stage->has_state)
        return LEAT_OK;
    leat__run *run = task->run;
    size_t cache_bytes = run->cache_bytes;
    size_t stateful = 0;
    for (size_t i = 0; i < run->task_count; i++)
        stateful += run->tasks[i]->stage->has_state;
    leat__store_opts store = {.database = run->database,
                              .stage = task->stage->state_number,
                              .partition = (uint16_t)task->partition,
                              .slots = task->slots,
                              .slot_count = task->slot_count,
                              .timers = task->timers,
                              .timer_count = task->timer_count,
                              .cache_bytes = cache_bytes / (stateful == 0 ? 1 : stateful)};
    leat_status status = leat__store_open(&task->face.store, &store, error);
    if (status != LEAT_OK || run->forgetful)
        return status;
    return leat__restore_start(task, error);
}

/* Where time stood when the last epoch was sealed: the tasks before had told it (they are open by
 * now), so what is late after a restart is what was late before it. */
static void inherit_time(leat__task *task)
{
    for (size_t i = 0; i < task->input_count; i++)
        (void)leat__valve_watermark(&task->valve, task->inputs[i]->input,
                                    task->inputs[i]->sender->face.watermark_ms);
    if (task->valve.output_ms < task->face.watermark_ms)
        task->valve.output_ms = task->face.watermark_ms; /* of the seal */
    task->face.watermark_ms = task->valve.output_ms;
}

static leat_status open_task(leat__task *task, leat_error *error)
{
    bool from_log = task->source != NULL && task->source->inlet != NULL;
    leat__valve_init(&task->valve,
                     from_log ? leat__inlet_inputs(task->source->inlet) : task->input_count);
    leat_status status = LEAT_OK;
    if (task->restore_reader != NULL)
        status = leat__task_restore(task, error);
    if (status != LEAT_OK)
        return status;
    task->face.watermark_ms = leat__clock_clamp_watermark(task, task->face.watermark_ms);
    if (task->source != NULL) {
        status = leat__source_open(task, error);
        if (status != LEAT_OK)
            return status;
    } else {
        inherit_time(task);
    }
    leat__keep_watermark(task, task->face.watermark_ms);
    if (task->face.store != NULL)
        leat__store_set_watermark(task->face.store, task->face.watermark_ms);
    for (size_t i = 0; i < task->stage->node_count; i++)
        if (task->ops[i] != NULL && (status = leat__op_open(task->ops[i], error)) != LEAT_OK)
            return status;
    return LEAT_OK;
}

/* ------------------------------------------------------------------ all of it */

static bool assigned(const leat__run *run, const leat__stage *stage, uint32_t partition)
{
    const char *topic = leat__home_topic(run, stage);
    for (size_t k = 0; topic != NULL && k < run->assigned_count; k++)
        if (run->assigned[k].partition == partition && strcmp(run->assigned[k].topic, topic) == 0)
            return true;
    return topic == NULL; /* behind an exchange in memory: all partitions are here */
}

static void give_to_workers(leat__run *run)
{
    for (uint32_t w = 0; w < run->worker_count; w++)
        run->workers[w].task_count = 0;
    for (size_t i = 0; i < run->task_count; i++) {
        leat__worker *worker = &run->workers[run->tasks[i]->worker];
        worker->tasks = leat__realloc(worker->tasks, worker->task_count + 1, sizeof(leat__task *));
        worker->tasks[worker->task_count++] = run->tasks[i];
        run->source_count += run->tasks[i]->source != NULL;
    }
}

leat_status leat__assemble(leat__run *run, leat_error *error)
{
    const leat__plan *plan = &run->graph->plan;
    leat__members_tell(run, LEAT__MEMBER_RESTORING);
    pthread_rwlock_wrlock(&run->assembly_lock);
    for (size_t s = 0; s < plan->stage_count; s++)
        for (uint32_t p = 0; p < run->stage_partitions[s]; p++)
            if (assigned(run, &plan->stages[s], p))
                (void)make_task(run, &plan->stages[s], p);
    for (size_t i = 0; i < run->task_count; i++)
        wire_inside(run->tasks[i]);
    for (size_t i = 0; i < run->task_count; i++)
        for (uint32_t e = 0; e < plan->edge_count; e++)
            if (plan->edges[e].from_stage == run->tasks[i]->stage->number)
                wire_edge(run->tasks[i], e);
    for (size_t i = 0; i < run->task_count; i++)
        settle_outputs(run->tasks[i]);
    int64_t asked_us = run->env->monotonic_us(run->env->arg);
    leat_status status = leat__read_positions(run, error);
    leat__progress_begin(run);
    for (size_t i = 0; i < run->task_count && status == LEAT_OK; i++)
        status = open_store(run->tasks[i], error);
    /* in the order of the stages: time is inherited from those before */
    for (size_t i = 0; i < run->task_count && status == LEAT_OK; i++) {
        status = open_task(run->tasks[i], error);
        if (status == LEAT_OK)
            leat__progress_ready(run->tasks[i]);
    }
    if (status == LEAT_OK)
        leat__progress_finished(run);
    uint64_t epoch = run->epoch; /* the seals found may be ahead of what this process knew */
    for (size_t i = 0; i < run->task_count; i++) {
        run->tasks[i]->epoch = epoch;
        leat__task_show(run->tasks[i]);
    }
    atomic_store(&run->barrier_epoch, epoch - 1);
    run->phase = LEAT__OPEN;
    give_to_workers(run);
    pthread_rwlock_unlock(&run->assembly_lock);
    if (status == LEAT_OK) {
        leat__lease_begin(run, asked_us);
        atomic_store(&run->restoring, false);
        leat__members_tell(run, LEAT__MEMBER_READY); /* R20 */
    }
    return status;
}

void leat__disassemble(leat__run *run)
{
    pthread_rwlock_wrlock(&run->assembly_lock);
    leat__progress_end(run);
    for (size_t i = 0; i < run->task_count; i++) {
        leat__task *task = run->tasks[i];
        for (size_t k = 0; k < task->output_count; k++) {
            leat__channel_free(task->outputs[k]);
            leat__free(task->outputs[k]);
        }
    }
    for (size_t i = 0; i < run->task_count; i++)
        free_task(run->tasks[i]);
    leat__free(run->tasks);
    run->tasks = NULL;
    run->task_count = 0;
    for (uint32_t w = 0; w < run->worker_count; w++)
        run->workers[w].task_count = 0;
    run->source_count = 0;
    atomic_store(&run->ended_sources, 0);
    atomic_store(&run->sealed_count, 0);
    atomic_store(&run->active_since_us, 0);
    atomic_store(&run->buffered_bytes, 0);
    atomic_store(&run->waiting, 0);
    atomic_store(&run->inlets_waiting, 0);
    run->deferred_bytes = 0;
    pthread_rwlock_unlock(&run->assembly_lock);
}
