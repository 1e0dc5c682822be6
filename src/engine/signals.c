/* engine/signals.c - SIGINT and SIGTERM stop a job cleanly. */
#include "engine/run.h"
#include <errno.h>
#include <signal.h>

static _Atomic(leat_job *) signalled_job;

void leat__signals_forget(leat_job *job)
{
    leat_job *self = job;
    (void)atomic_compare_exchange_strong(&signalled_job, &self, NULL);
}

static void on_signal(int signal_number)
{
    (void)signal_number;
    int before = errno; /* of the code that was interrupted */
    leat_job *job = atomic_load(&signalled_job);
    if (job != NULL)
        leat_job_stop(job);
    errno = before;
}

void leat_job_stop_on_signals(leat_job *job)
{
    atomic_store(&signalled_job, job);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (job == NULL) /* nobody would hear of a signal that is caught for no job */
        action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}
