/* engine/stall_dump.c - where each task stands, just before a job that stands still ends (R31).
 *
 *   input: offset, known end, channels ─► task ─ epoch open, sealed ─ clock, watermark
 *                                           └ blocked by what
 *
 * Who stands still may hold any lock, so none is waited for: numbers are atomic, and tasks are
 * looked at under the lock of the assembly if it is free. If it is not they are being made, or
 * taken down; then what a restore has come to is said instead.
 */
#include "base/log_line.h"
#include "engine/stall.h"
#include <inttypes.h>

enum { TASKS_TOLD_MAX = 64, PROGRESS_TOLD_MAX = 64 };

static size_t fill_of(const leat__channel *channel)
{
    return atomic_load(&channel->full.tail) - atomic_load(&channel->full.head);
}

static size_t count_barriers(const leat__task *task, const leat__channel **missing)
{
    size_t count = 0;
    *missing = NULL;
    for (size_t i = 0; i < task->input_count; i++) {
        if (atomic_load(&task->inputs[i]->barriered))
            count++;
        else if (*missing == NULL)
            *missing = task->inputs[i];
    }
    return count;
}

static const leat__channel *first_full_output(const leat__task *task)
{
    for (size_t i = 0; i < task->output_count; i++)
        if (fill_of(task->outputs[i]) == LEAT__CHANNEL_BATCHES)
            return task->outputs[i];
    return NULL;
}

static void say_input(const leat__task *task, char *text, size_t room)
{
    const leat__source *source = task->source;
    if (source != NULL) {
        (void)snprintf(
            text, room, "%.80s at %" PRId64 ", %" PRId64 " wait, committed %" PRId64 "%s",
            source->topic == NULL ? "source" : source->topic, atomic_load(&task->shown.offset),
            atomic_load(&source->waiting), atomic_load(&task->committed_offset),
            atomic_load(&task->shown.ended) ? ", ended" : "");
        return;
    }
    const leat__channel *missing;
    size_t batches = 0;
    for (size_t i = 0; i < task->input_count; i++)
        batches += fill_of(task->inputs[i]);
    (void)snprintf(text, room, "%zu batches in %zu channels, %zu barriers", batches,
                   task->input_count, count_barriers(task, &missing));
}

static void say_blocked(const leat__stall *stall, const leat__task *task, int64_t at_us, char *text,
                        size_t room)
{
    leat__run *run = stall->run;
    const leat__worker *worker = &run->workers[task->worker];
    const leat__task *busy = atomic_load(&worker->busy);
    bool paused = task->source != NULL && atomic_load(&run->buffered_bytes) >= run->buffer_limit;
    const leat__channel *full = first_full_output(task), *missing;
    size_t barriers = count_barriers(task, &missing);
    double turn_s =
        stall->turns == NULL ? 0 : (double)(at_us - stall->turns[task->worker].since_us) / 1e6;
    const leat__op_spec *spec = busy == task ? atomic_load(&task->face.working) : NULL;
    if (spec != NULL)
        (void)snprintf(text, room, "in operator '%s' since %.1f s, offset %" PRId64, spec->name,
                       turn_s, atomic_load(&task->face.working_offset));
    else if (busy == task)
        (void)snprintf(text, room, "in a call into the log since %.1f s", turn_s);
    else if (full != NULL)
        (void)snprintf(text, room, "the channel to %s partition %" PRIu32 " is full",
                       full->receiver->stage->name, full->receiver->partition);
    else if (barriers != 0 && missing != NULL)
        (void)snprintf(text, room, "the barrier of %s partition %" PRIu32 " is missing",
                       missing->sender->stage->name, missing->sender->partition);
    else if (paused)
        (void)snprintf(text, room, "the source pauses: the buffers are full (R9)");
    else if (busy != NULL)
        (void)snprintf(text, room, "its worker is busy with %s partition %" PRIu32,
                       busy->stage->name, busy->partition);
    else if (task->source != NULL && atomic_load(&task->source->waiting) > 0)
        (void)snprintf(text, room, "the log gives it nothing of what waits");
    else
        (void)snprintf(text, room, "nothing");
}

/* Behind an exchange: which sender holds time where it is (W3). */
static void say_time(const leat__task *task, char *text, size_t room)
{
    size_t holder = atomic_load(&task->valve.holder), inputs = task->valve.input_count;
    int64_t watermark_ms = atomic_load(&task->shown.watermark_ms);
    int length =
        snprintf(text, room, "clock %" PRId64 ", watermark ", atomic_load(&task->shown.clock_ms));
    if (length < 0 || (size_t)length >= room)
        return;
    text += length;
    room -= (size_t)length;
    if (watermark_ms == LEAT_TIME_MIN)
        (void)snprintf(text, room, "none");
    else if (holder >= inputs)
        (void)snprintf(text, room, "%" PRId64, watermark_ms);
    else
        (void)snprintf(text, room, "%" PRId64 " held by input %zu of %zu", watermark_ms, holder,
                       inputs);
}

static void tell_task(const leat__stall *stall, const leat__task *task, int64_t at_us)
{
    const leat__shown *shown = &task->shown;
    char input[220], blocked[200], time[120];
    say_input(task, input, sizeof input);
    say_blocked(stall, task, at_us, blocked, sizeof blocked);
    say_time(task, time, sizeof time);
    leat__log_line(LEAT__ERROR, "watchdog",
                   "  %s partition %" PRIu32 " (worker %" PRIu32 "): %s; open epoch %" PRIu64
                   ", sealed %" PRIu64 " (%zu outputs, %zu changes); %s; blocked by: %s",
                   task->stage->name, task->partition, task->worker, input,
                   atomic_load(&shown->epoch), atomic_load(&shown->sealed_epoch),
                   atomic_load(&shown->sealed_outputs), atomic_load(&shown->sealed_changes), time,
                   blocked);
}

/* While the assembly is made its tasks are not to be looked at: how far each restore has come. */
static void tell_progress(leat__run *run)
{
    if (pthread_mutex_trylock(&run->lock) != 0) {
        leat__log_line(LEAT__ERROR, "watchdog", "  tasks: not known, both locks are held");
        return;
    }
    if (run->progress_count == 0)
        leat__log_line(LEAT__ERROR, "watchdog", "  tasks: being made, or taken down");
    for (size_t i = 0; i < run->progress_count && i < PROGRESS_TOLD_MAX; i++) {
        const leat__progress *progress = &run->progress[i];
        leat__log_line(LEAT__ERROR, "watchdog",
                       "  %s partition %" PRIu32 ": %s, changelog at %" PRId64 " of %" PRId64
                       ", %" PRIu64 " records",
                       progress->stage, progress->partition,
                       progress->ready ? "ready" : "being restored", progress->position,
                       progress->end, progress->records);
    }
    pthread_mutex_unlock(&run->lock);
}

void leat__stall_dump(const leat__stall *stall, int64_t at_us)
{
    leat__run *run = stall->run;
    if (pthread_rwlock_tryrdlock(&run->assembly_lock) != 0) {
        tell_progress(run);
        return;
    }
    for (size_t i = 0; i < run->task_count && i < TASKS_TOLD_MAX; i++)
        tell_task(stall, run->tasks[i], at_us);
    if (run->task_count == 0)
        leat__log_line(LEAT__ERROR, "watchdog", "  no tasks: no partition is here");
    pthread_rwlock_unlock(&run->assembly_lock);
}
