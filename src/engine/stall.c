/* engine/stall.c - see stall.h.
 *
 *   coordinator   doing: open, barrier, apply ...          workers   which operator, which record
 *        │ moves: an epoch, records restored, the group          │
 *        ▼                                                       ▼
 *   watchdog ─ twice a second: has something moved? does nothing wait? ── no: for how long
 *                half the limit: a line       the limit: where everything stands ─► _exit(75)
 *
 * Whatever the cause, a process that does nothing keeps its partitions from those that would. What
 * may take long is told apart:
 *
 *   a call into the log               has its own limit, and names it (R3)
 *   a restore                         moves with each record
 *   a callback of the user            is named after each limit, with the record it is at, and may
 *                                     take LEAT__STALL_CALLBACK_LIMITS of them
 *   a generator that waits            is named, and may wait for ever
 *   records of others' transactions   are not to be read yet: named
 *   the process was stopped           is not counted
 */
#include "engine/stall.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "engine/suspects.h"
#include "log/driver.h"
#include <inttypes.h>
#include <unistd.h>

enum { LONG_TURN_LOOKS = 2 }; /* a second: no turn is so long that is not held up */

static int64_t limit_us(const leat__run *run)
{
    int64_t epoch_us = run->epoch_us > run->backlog_us ? run->epoch_us : run->backlog_us;
    return run->graph->opts.stall_limit_ms * 1000 + epoch_us; /* an epoch may be meant to be long */
}

static bool something_waits(leat__run *run)
{
    switch ((leat__doing)atomic_load(&run->doing)) {
    case LEAT__DOES_NOTHING:
        return false;
    case LEAT__DOES_OPEN:
        return atomic_load(&run->active_since_us) != 0 || atomic_load(&run->waiting) > 0 ||
               atomic_load(&run->inlets_waiting) > 0;
    default:
        return true;
    }
}

/* ------------------------------------------------------------------ workers */

/* Tasks may be looked at: their assembly is not being changed. */
static bool hold_tasks(leat__run *run)
{
    return pthread_rwlock_tryrdlock(&run->assembly_lock) == 0;
}

/* True: a turn that took long is over by now. The epoch that waited for it needs time to get on. */
static bool look_at_workers(leat__stall *stall, int64_t at_us)
{
    leat__run *run = stall->run;
    bool ended = false;
    if (!atomic_load(&run->open) || !hold_tasks(run)) /* there may be none yet */
        return false;
    if (stall->turns == NULL)
        stall->turns = leat__calloc(run->worker_count + 1, sizeof(*stall->turns));
    for (uint32_t w = 0; w < run->worker_count; w++) {
        leat__turn *turn = &stall->turns[w];
        const leat__task *task = atomic_load(&run->workers[w].busy);
        uint64_t number = atomic_load(&run->workers[w].turns);
        uint64_t works = task == NULL ? 0 : atomic_load(&task->face.works);
        bool over = number != turn->number || task == NULL;
        ended |= over && turn->seen >= LONG_TURN_LOOKS;
        turn->seen = over ? 0 : turn->seen + 1;
        if (number != turn->number || turn->since_us == 0)
            *turn = (leat__turn){number, works, at_us, at_us, 0};
        if (works != turn->works)
            turn->works_since_us = at_us;
        turn->works = works;
    }
    pthread_rwlock_unlock(&run->assembly_lock);
    return ended;
}

/* ------------------------------------------------------------------ what is no standstill */

static void tell_callback(const leat__run *run, const char *what, const char *name,
                          const leat__task *task, int64_t took_us)
{
    char place[180] = "";
    int64_t offset = task == NULL ? -1 : atomic_load(&task->face.working_offset);
    if (offset >= 0 && task->source != NULL && task->source->topic != NULL)
        (void)snprintf(place, sizeof place, " on %.100s partition %" PRIu32 " offset %" PRId64,
                       task->source->topic, task->partition, offset);
    else if (task != NULL)
        (void)snprintf(place, sizeof place, " in %.100s partition %" PRIu32, task->stage->name,
                       task->partition);
    leat__log_line(
        LEAT__WARN, "watchdog",
        "job '%s': %s '%s' has been at work for %.1f s%s; nothing is committed meanwhile "
        "(R31)",
        run->graph->opts.name, what, name, (double)took_us / 1e6, place);
}

typedef enum verdict { STANDS_STILL, MAY_TAKE_LONG, MAY_TAKE_FOR_EVER } verdict;

static verdict judge_worker(const leat__stall *stall, uint32_t w, int64_t at_us)
{
    const leat__run *run = stall->run;
    const leat__turn *turn = &stall->turns[w];
    const leat__task *task = atomic_load(&run->workers[w].busy);
    const leat__op_spec *spec = task == NULL ? NULL : atomic_load(&task->face.working);
    if (spec == NULL || at_us - turn->since_us < limit_us(run) / 2)
        return STANDS_STILL; /* it sleeps, waits for the log, or is done with it soon */
    const leat__source *source = task->source;
    bool generator = source != NULL && spec == &source->source_spec &&
                     source->node->kind == LEAT__NODE_SOURCE_GENERATOR;
    bool slow = at_us - turn->works_since_us < limit_us(run) / 2; /* but at another record by now */
    tell_callback(run, generator ? "generator" : "operator", spec->name, task,
                  at_us - turn->since_us);
    return generator || slow ? MAY_TAKE_FOR_EVER : MAY_TAKE_LONG;
}

static verdict judge_workers(const leat__stall *stall, int64_t at_us)
{
    leat__run *run = stall->run;
    verdict found = STANDS_STILL;
    if (stall->turns == NULL || !hold_tasks(run)) /* being made anew: no worker runs */
        return found;
    for (uint32_t w = 0; w < run->worker_count; w++) {
        verdict one = judge_worker(stall, w, at_us);
        found = one > found ? one : found;
    }
    pthread_rwlock_unlock(&run->assembly_lock);
    return found;
}

static void tell_transaction(const leat__run *run, const leat__task *task, int64_t position)
{
    leat__log_line(LEAT__WARN, "watchdog",
                   "job '%s': %s partition %" PRIu32 ": what follows %" PRId64
                   " belongs to a transaction that is not over; whoever writes it has to end it "
                   "(kafka-transactions.sh find-hanging shows one that nobody will)",
                   run->graph->opts.name, task->source->topic, task->partition, position);
}

/* On a log with servers the end that is known counts records of transactions that are not over. */
static bool waits_for_transactions(leat__run *run)
{
    if (atomic_load(&run->active_since_us) != 0 || !hold_tasks(run))
        return false;
    bool readable = false, known = true;
    for (size_t i = 0; i < run->task_count && !readable && known; i++) {
        const leat__task *task = run->tasks[i];
        int64_t end;
        if (task->source == NULL || task->source->reader == NULL || atomic_load(&task->shown.ended))
            continue;
        /* the reader itself belongs to its worker */
        int64_t position = atomic_load(&task->source->passed);
        known = leat__log_readable_end(task->source->reader, task->source->topic, task->partition,
                                       &end) == LEAT_OK;
        readable = known && end > position;
        if (known && !readable && atomic_load(&task->source->waiting) > 0)
            tell_transaction(run, task, position);
    }
    pthread_rwlock_unlock(&run->assembly_lock);
    /* A reader that can't say how far it may read is itself what stands still: its client has lost
     * the brokers, or they are away, and nothing but a new start makes it ask again. */
    return known && !readable;
}

static verdict judge(const leat__stall *stall, int64_t at_us)
{
    leat__run *run = stall->run;
    leat__doing doing = (leat__doing)atomic_load(&run->doing);
    if (doing == LEAT__DOES_DELIVER) {
        const leat__node *sink = atomic_load(&run->delivering);
        if (sink == NULL)
            return STANDS_STILL;
        tell_callback(run, "sink", sink->name, NULL, at_us - stall->since_us);
        return MAY_TAKE_LONG;
    }
    verdict found = judge_workers(stall, at_us);
    if (found == STANDS_STILL && doing == LEAT__DOES_OPEN && waits_for_transactions(run))
        return MAY_TAKE_FOR_EVER;
    return found;
}

/* ------------------------------------------------------------------ saying so */

static void say_where(const leat__run *run, char *text, size_t room)
{
    switch ((leat__doing)atomic_load(&run->doing)) {
    case LEAT__DOES_ASSIGNMENT:
        (void)snprintf(text, room,
                       "assignment: the group '%s' has given no partitions, the last generation "
                       "was %" PRId64,
                       run->graph->opts.name, atomic_load(&run->generation));
        break;
    case LEAT__DOES_PARK:
        (void)snprintf(text, room, "stop: %" PRIu32 " of %" PRIu32 " workers stand still",
                       atomic_load(&run->parked_count), run->worker_count);
        break;
    case LEAT__DOES_RESTORE:
        (void)snprintf(text, room, "restore");
        break;
    case LEAT__DOES_BARRIER:
        (void)snprintf(text, room, "barrier: %" PRIu32 " of %zu tasks have sealed",
                       atomic_load(&run->sealed_count), atomic_load(&run->task_count));
        break;
    case LEAT__DOES_COMMIT:
        (void)snprintf(text, room, "commit");
        break;
    case LEAT__DOES_APPLY:
        (void)snprintf(text, room, "apply: the epoch is committed and is being written to %.120s",
                       run->graph->opts.state_dir != NULL ? run->graph->opts.state_dir
                                                          : "the state in memory");
        break;
    case LEAT__DOES_DELIVER:
        (void)snprintf(text, room, "deliver: the epoch is committed and is told to the sinks");
        break;
    default:
        (void)snprintf(text, room, "open: %" PRId64 " records wait",
                       atomic_load(&run->waiting) + atomic_load(&run->inlets_waiting));
    }
}

static _Noreturn void end_process(const leat__stall *stall, int64_t at_us)
{
    leat__run *run = stall->run;
    char where[240];
    say_where(run, where, sizeof where);
    leat__log_line(LEAT__ERROR, "watchdog",
                   "job '%s': stands still since %.1f s (limit %.1f s) although something waits: "
                   "%s; epoch %" PRIu64 ", generation %" PRId64 ", %zu bytes buffered of %zu; the "
                   "process ends with exit code %d (R31), start it again: nothing committed is "
                   "lost",
                   run->graph->opts.name, (double)(at_us - stall->since_us) / 1e6,
                   (double)limit_us(run) / 1e6, where, atomic_load(&run->epoch),
                   atomic_load(&run->generation), atomic_load(&run->buffered_bytes),
                   run->buffer_limit, leat_status_exit_code(LEAT_ETIMEOUT));
    leat__stall_dump(stall, at_us);
    leat__suspects_forgive(run); /* no record is to blame */
    _exit(leat_status_exit_code(LEAT_ETIMEOUT));
}

static void warn(leat__stall *stall, int64_t at_us)
{
    const leat__run *run = stall->run;
    char where[240];
    say_where(run, where, sizeof where);
    stall->told = true;
    leat__log_line(LEAT__WARN, "watchdog",
                   "job '%s': nothing has moved for %.1f s although something waits: %s (R31)",
                   run->graph->opts.name, (double)(at_us - stall->since_us) / 1e6, where);
}

static void moved(leat__stall *stall, uint64_t moves, int64_t at_us)
{
    if (stall->told)
        leat__log_line(LEAT__INFO, "watchdog", "job '%s': goes on after %.1f s",
                       stall->run->graph->opts.name, (double)(at_us - stall->since_us) / 1e6);
    stall->moves = moves;
    stall->since_us = at_us;
    stall->judged_us = 0;
    stall->told = false;
    atomic_store(&stall->run->stalled_ms, 0);
}

void leat__stall_look(leat__stall *stall, int64_t at_us, int64_t stopped_us, bool watched)
{
    leat__run *run = stall->run;
    uint64_t moves = atomic_load(&run->moves);
    bool ended = look_at_workers(stall, at_us);
    stall->since_us += stopped_us;
    if (moves != stall->moves || ended || watched || !something_waits(run) ||
        stall->since_us == 0) {
        moved(stall, moves, at_us);
        return;
    }
    int64_t still_us = at_us - stall->since_us, limit = limit_us(run);
    atomic_store(&run->stalled_ms, still_us / 1000);
    if (!stall->told && still_us > limit / 2)
        warn(stall, at_us);
    if (still_us <= limit || (stall->judged_us != 0 && at_us - stall->judged_us < limit))
        return;
    verdict found = judge(stall, at_us);
    if (found == STANDS_STILL ||
        (found == MAY_TAKE_LONG && still_us > LEAT__STALL_CALLBACK_LIMITS * limit))
        end_process(stall, at_us);
    stall->judged_us = at_us;
}

void leat__stall_free(leat__stall *stall)
{
    leat__free(stall->turns);
    stall->turns = NULL;
}
