/* engine/clock.c - event time against the clock (W7).
 *
 *   record ─► further ahead than max_ahead_ms? ─► on_error       before it moves a watermark
 *   start  ─► was time committed beyond it?    ─► begins again at the clock
 *   step   ─► was the clock set?               ─► a line; if time now stands beyond it, a rewind,
 *                                                 which is a start (R10)
 *
 * Time never goes back (W3), so one record from a wrong clock would make the honest ones late until
 * the clock gets there. What is decided here is decided against the epoch's clock (R21) and
 * committed with the epoch: a replay may decide otherwise, as its clock is later, but then nothing
 * of what was decided before was committed.
 *
 * Behind an exchange nothing is checked again: its records and promises were let through by a
 * source, maybe by another machine's clock.
 */
#include "base/error.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "engine/run.h"
#include "time/saturate.h"
#include <inttypes.h>
#include <time.h>

enum { TEXT_BYTES = 40, LINE_EVERY_US = 1000000 };

/* "2026-11-30T22:50:00Z (1796079000000)"; far away the number alone. */
static const char *time_text(char text[2 * TEXT_BYTES], int64_t time_ms)
{
    const time_t year_10000_s = INT64_C(253402300800);
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm utc;
    char date[TEXT_BYTES] = "";
    if (seconds >= 0 && seconds < year_10000_s && gmtime_r(&seconds, &utc) != NULL &&
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc) != 0)
        (void)snprintf(text, 2 * TEXT_BYTES, "%s (%" PRId64 ")", date, time_ms);
    else
        (void)snprintf(text, 2 * TEXT_BYTES, "%" PRId64, time_ms);
    return text;
}

static const char *duration_text(char text[TEXT_BYTES], int64_t duration_ms)
{
    static const struct {
        int64_t ms, from; /* from so many of them */
        const char *name;
    } units[] = {{LEAT_DAYS(365), 2, "years"},
                 {LEAT_DAYS(1), 2, "days"},
                 {LEAT_HOURS(1), 1, "h"},
                 {LEAT_MINUTES(1), 1, "min"},
                 {LEAT_SECONDS(1), 1, "s"}};
    size_t i = 0;
    while (i + 1 < sizeof units / sizeof units[0] && duration_ms < units[i].from * units[i].ms)
        i++;
    (void)snprintf(text, TEXT_BYTES, "%.1f %s", (double)duration_ms / (double)units[i].ms,
                   units[i].name);
    return text;
}

/* A number that is a time of these days in another unit. */
static const char *unit_hint(int64_t timestamp_ms, int64_t clock_ms)
{
    const int64_t first_ms = INT64_C(946684800000); /* 2000 */
    int64_t last_ms = leat__time_add(clock_ms, LEAT_DAYS(365));
    if (timestamp_ms / 1000 >= first_ms && timestamp_ms / 1000 <= last_ms)
        return "; it looks like microseconds, event time is in milliseconds";
    if (timestamp_ms / 1000000 >= first_ms && timestamp_ms / 1000000 <= last_ms)
        return "; it looks like nanoseconds, event time is in milliseconds";
    return "; mend the clock or the time zone of who sent it";
}

leat_status leat__clock_refuse(leat__task *task, int64_t timestamp_ms, leat_error *error)
{
    leat__run *run = task->run;
    char event[2 * TEXT_BYTES], clock[2 * TEXT_BYTES], ahead[TEXT_BYTES], most[TEXT_BYTES];
    int64_t clock_ms = task->face.clock_ms, now_us = run->env->monotonic_us(run->env->arg);
    leat_error own;
    task->counters.ahead++;
    (void)leat__fail(
        &own, LEAT_EDATA, LEAT_RECOVERY_FATAL, task->source->node->name,
        "event time %s is %s ahead of the clock, %s; at most %s is believed (W7, max_ahead_ms)%s",
        time_text(event, timestamp_ms),
        duration_text(ahead, leat__time_sub(timestamp_ms, clock_ms)), time_text(clock, clock_ms),
        duration_text(most, run->graph->opts.max_ahead_ms), unit_hint(timestamp_ms, clock_ms));
    bool told = task->counters.ahead > 1 && now_us - task->ahead_log_us < LINE_EVERY_US;
    /* stopping and skipping have a line of their own */
    if (!told && task->source->source_spec.on_error == LEAT_ON_ERROR_DEAD_LETTER) {
        task->ahead_log_us = now_us;
        leat__log_line(LEAT__WARN, "source", "%s partition %" PRIu32 ": %s; %" PRIu64 " so far",
                       task->source->topic, task->partition, own.message, task->counters.ahead);
    }
    *error = own;
    return LEAT_EDATA;
}

/* ------------------------------------------------------------------ the start */

int64_t leat__clock_clamp(leat__task *task, int64_t time_ms, int64_t out_of_order_ms)
{
    leat__run *run = task->run;
    int64_t clock_ms = run->env->now_ms(run->env->arg);
    int64_t most_ms = leat__time_add(clock_ms, run->graph->opts.max_ahead_ms);
    if (time_ms <= most_ms || run->forgetful)
        return time_ms;
    char stood[2 * TEXT_BYTES], clock[2 * TEXT_BYTES], ahead[TEXT_BYTES];
    if (!task->clamped)
        leat__log_line(
            LEAT__WARN, "source",
            "stage %s partition %" PRIu32
            ": time stood at %s, %s ahead of the clock, %s, and begins again there: records of the "
            "time between are not late, and windows of it that have fired may give a second, "
            "partial result (W7, leat_times_clamped_total)",
            task->stage->name, task->partition, time_text(stood, time_ms),
            duration_text(ahead, leat__time_sub(time_ms, clock_ms)), time_text(clock, clock_ms));
    if (!task->clamped)
        atomic_fetch_add(&run->job->times_clamped, 1);
    task->clamped = true;
    return leat__time_sub(clock_ms, out_of_order_ms);
}

int64_t leat__clock_clamp_watermark(leat__task *task, int64_t watermark_ms)
{
    return leat__clock_clamp(task, watermark_ms, task->run->max_out_of_order_ms + 1); /* W1 */
}

/* ------------------------------------------------------------------ while the job runs */

/* The furthest that a task's time stood at the last commit; between commits nobody writes it. */
static int64_t furthest_time(const leat__run *run)
{
    int64_t furthest_ms = LEAT_TIME_MIN;
    for (size_t i = 0; i < run->task_count; i++) {
        const leat__bundle *bundle = run->tasks[i]->sealed;
        if (bundle != NULL && bundle->kept_watermark_ms > furthest_ms)
            furthest_ms = bundle->kept_watermark_ms;
    }
    return furthest_ms;
}

/* By how much the clock was set since the last look; 0: it was not. */
static int64_t step_ms(leat__run *run)
{
    int64_t before_us = run->env->monotonic_us(run->env->arg);
    int64_t clock_ms = run->env->now_ms(run->env->arg);
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    if (now_us - before_us > LEAT__CLOCK_STEP_MS * 1000 / 4)
        return 0; /* this thread stood still between the two: look again next time */
    int64_t expected_ms = leat__time_add(run->clock_ms, (now_us - run->clock_us) / 1000);
    bool first = run->clock_us == 0;
    run->clock_ms = clock_ms;
    run->clock_us = now_us;
    int64_t by_ms = leat__time_sub(clock_ms, expected_ms);
    bool stepped = by_ms >= LEAT__CLOCK_STEP_MS || by_ms <= -LEAT__CLOCK_STEP_MS;
    return first || !stepped ? 0 : by_ms;
}

leat_status leat__clock_look(leat__run *run, leat_error *error)
{
    char by[TEXT_BYTES], text[2 * TEXT_BYTES];
    int64_t by_ms = step_ms(run);
    if (by_ms == 0)
        return LEAT_OK;
    atomic_fetch_add(&run->job->clock_steps, 1);
    leat__log_line(
        LEAT__WARN, "job",
        "the clock of this machine was set %s by %s, or the machine slept: it is %s now; event "
        "times are believed up to max_ahead_ms beyond that (W7, leat_clock_steps_total)",
        by_ms > 0 ? "forward" : "back",
        duration_text(by, by_ms > 0 ? by_ms : leat__time_sub(0, by_ms)),
        time_text(text, run->clock_ms));
    int64_t most_ms = leat__time_add(run->clock_ms, run->graph->opts.max_ahead_ms);
    int64_t time_ms = furthest_time(run);
    if (time_ms <= most_ms || run->forgetful)
        return LEAT_OK;
    return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_RESTART, run->graph->opts.name,
                      "time stands at %s, ahead of a clock that was set back (W7)",
                      time_text(text, time_ms));
}
