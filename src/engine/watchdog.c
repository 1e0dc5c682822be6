/* engine/watchdog.c - no call into the log lasts for ever (R3), and no standstill (R31, stall.c).
 *
 *   coordinator   begin ─ phase ─ phase ─ end      begin ─ phase ─ ...
 *                   │ since, limit
 *   watchdog      ──┴── looks twice a second ── older than its limit? ─► dump ─► _exit(75)
 *                         └─ came late itself: the process was stopped, which is no one's hanging
 *
 * A client's call can block for ever, whatever its time-out says. A process that hangs holds its
 * partitions and serves old answers; one that ends is started again and goes on at the last commit.
 * Nothing is cleaned up: what hangs may hold any lock.
 *
 * A process that was stopped (SIGSTOP, a debugger, a frozen container) did not wait for an answer
 * meanwhile: the time by which the watchdog itself was late is not counted. What hangs still ends
 * after its limit of time in which the process ran.
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "base/periodic.h"
#include "engine/run.h"
#include "engine/stall.h"
#include "engine/suspects.h"
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum {
    LOOK_MS = 500,
    /* a busy machine may be that late; more: nothing of the process ran */
    LATE_MS = 2000,
};

struct leat__watchdog {
    leat__run *run;
    leat__periodic *thread;
    _Atomic(const char *) call, phase; /* call NULL: nothing is watched */
    _Atomic int64_t since_us, limit_us;
    /* the watchdog's own: when it looked last; time not counted against the call since then */
    int64_t looked_us, stopped_since_us, stopped_us;
    leat__stall stall;
};

/* Of the real clock: a simulated one does not move while a call hangs. */
static int64_t now_us(void)
{
    const leat_env *env = leat__env_system();
    return env->monotonic_us(env->arg);
}

static _Noreturn void end_process(const leat__watchdog *dog, const char *call, int64_t took_us,
                                  int64_t at_us)
{
    leat__run *run = dog->run;
    const char *phase = atomic_load(&dog->phase);
    leat__log_line(LEAT__ERROR, "watchdog",
                   "job '%s': the log does not answer: %s, phase %s, since %.1f s (limit %.1f s); "
                   "epoch %" PRIu64 ", generation %" PRId64
                   ", %zu bytes buffered; the process ends "
                   "with exit code %d (R3), start it again: nothing committed is lost",
                   run->graph->opts.name, call, phase, (double)took_us / 1e6,
                   (double)atomic_load(&dog->limit_us) / 1e6, atomic_load(&run->epoch),
                   atomic_load(&run->generation), atomic_load(&run->buffered_bytes),
                   leat_status_exit_code(LEAT_ETIMEOUT));
    leat__stall_dump(&dog->stall, at_us);
    leat__suspects_forgive(run); /* no record is to blame */
    _exit(leat_status_exit_code(LEAT_ETIMEOUT));
}

/* The watchdog comes late when nobody runs: how much of it the call does not have to answer for.
 * Returns for how long the process was stopped. */
static int64_t forgive_stop(leat__watchdog *dog, int64_t since_us, int64_t at_us)
{
    int64_t late_us = at_us - dog->looked_us - LOOK_MS * INT64_C(1000);
    bool stopped = late_us > LATE_MS * INT64_C(1000);
    dog->looked_us = at_us;
    if (dog->stopped_since_us != since_us)
        dog->stopped_us = 0;
    dog->stopped_since_us = since_us;
    if (!stopped)
        return 0;
    leat__log_line(LEAT__WARN, "watchdog",
                   "job '%s': the process was stopped for %.1f s; that is not counted as waiting "
                   "(R3, R31)",
                   dog->run->graph->opts.name, (double)late_us / 1e6);
    dog->stopped_us += late_us < at_us - since_us ? late_us : at_us - since_us;
    return late_us;
}

static void look(void *watchdog)
{
    leat__watchdog *dog = watchdog;
    const char *call = atomic_load(&dog->call);
    int64_t since_us = atomic_load(&dog->since_us), at_us = now_us();
    int64_t late_us = forgive_stop(dog, since_us, at_us);
    leat__stall_look(&dog->stall, at_us, late_us, call != NULL);
    dog->looked_us = now_us(); /* it may have asked the log */
    if (call == NULL || since_us == 0)
        return;
    int64_t took_us = at_us - since_us - dog->stopped_us;
    bool same = atomic_load(&dog->since_us) == since_us; /* not another call by now */
    if (same && took_us > atomic_load(&dog->limit_us))
        end_process(dog, call, took_us, at_us);
}

leat_status leat__watchdog_start(leat__run *run, leat_error *error)
{
    leat__watchdog *dog = leat__calloc(1, sizeof(*dog));
    dog->run = run;
    dog->looked_us = now_us();
    dog->stall.run = run;
    dog->thread = leat__periodic_start("watchdog", LOOK_MS, look, dog);
    if (dog->thread != NULL) {
        run->watchdog = dog;
        return LEAT_OK;
    }
    leat__free(dog);
    return leat__fail(error, LEAT_EINTERNAL, LEAT_RECOVERY_FATAL, "job",
                      "threads could not be started; raise the process limit");
}

void leat__watchdog_stop(leat__run *run)
{
    leat__watchdog *dog = run->watchdog;
    if (dog == NULL)
        return;
    leat__periodic_stop(dog->thread);
    leat__stall_free(&dog->stall);
    leat__free(dog);
    run->watchdog = NULL;
}

void leat__watch(leat__run *run, const char *call, int64_t limit_ms)
{
    leat__watchdog *dog = run->watchdog;
    if (dog == NULL)
        return;
    atomic_store(&dog->since_us, 0);
    atomic_store(&dog->phase, call);
    atomic_store(&dog->limit_us, limit_ms * 1000);
    atomic_store(&dog->call, call);
    atomic_store(&dog->since_us, now_us());
}

void leat__watch_phase(leat__run *run, const char *phase)
{
    if (run->watchdog != NULL)
        atomic_store(&run->watchdog->phase, phase);
}

void leat__watch_end(leat__run *run)
{
    if (run->watchdog != NULL)
        atomic_store(&run->watchdog->call, NULL);
}
