/* engine/lease.c - for how long a process may answer from its state without a word of the log
 * (R15).
 *
 *   restore ─► commit ─► commit ─ ─ ─ nothing to commit ─ ─ ─ ► proof ─ ─ ─ ► proof
 *      │         │         │◄───────── a third of the lease ──────►│
 *      └─────────┴─────────┴── each begins the age at 0: leat_job_proof_age_ms
 *
 * Only a commit counts. The log lets it through only for the owner of the partitions: the newest
 * instance of its name, and the group's current generation. So it says two things at once: nobody
 * else has changed this state, and nothing that others see is missing in it. What a member's poll
 * says does not count: a client answers it from what it heard up to a session time-out ago, and in
 * a process that was stopped from what it knew before.
 *
 * A commit counts from its begin, as the process may have stood still since. The first state is as
 * good as the positions that it was restored to. A rewind or new partitions prove nothing: that is
 * reading, and the age goes on from the last commit; the next is due at once if it is old.
 */
#include "engine/run.h"

void leat__lease_begin(leat__run *run, int64_t asked_us)
{
    int64_t none = 0, proven_us = asked_us > 0 ? asked_us : 1;
    if (run->task_count == 0)
        atomic_store(&run->proven_us, 0);
    else
        (void)atomic_compare_exchange_strong(&run->proven_us, &none, proven_us);
}

void leat__lease_renew(leat__run *run, int64_t begun_us)
{
    if (run->task_count != 0)
        atomic_store(&run->proven_us, begun_us > 0 ? begun_us : 1);
}

int64_t leat__lease_due_us(const leat__run *run)
{
    int64_t proven_us = atomic_load(&run->proven_us);
    if (run->graph->opts.lease_ms == 0 || run->forgetful || run->task_count == 0 || proven_us == 0)
        return INT64_MAX;
    return proven_us + run->graph->opts.lease_ms * 1000 / 3;
}

static int64_t age_ms(const leat__run *run)
{
    int64_t proven_us = atomic_load(&run->proven_us);
    if (!atomic_load(&run->open) || proven_us == 0)
        return -1;
    int64_t age_us = run->env->monotonic_us(run->env->arg) - proven_us;
    return age_us < 0 ? 0 : age_us / 1000;
}

int64_t leat_job_proof_age_ms(leat_job *job)
{
    if (job == NULL)
        return -1;
    pthread_rwlock_rdlock(&job->run_lock);
    const leat__run *run = job->run;
    int64_t age = run == NULL ? -1 : age_ms(run);
    pthread_rwlock_unlock(&job->run_lock);
    return age;
}
