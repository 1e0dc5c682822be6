/* engine/remedy.c - the one way to begin a job anew, as every message says it. */
#include "engine/run.h"
#include <string.h>

const char *leat__remedy(const leat__run *run, char text[LEAT__REMEDY_BYTES])
{
    const leat_job_opts *opts = &run->graph->opts;
    const char *log = opts->log == NULL ? "LOG" : opts->log;
    int shown = (int)strcspn(log, "?"); /* what follows may be a password */
    (void)snprintf(text, LEAT__REMEDY_BYTES,
                   "use a new job name, or begin this one anew: leat reset --log %.*s %.80s%s%.80s",
                   shown > 80 ? 80 : shown, log, opts->name,
                   opts->state_dir == NULL ? "" : ", and remove the state directory ",
                   opts->state_dir == NULL ? "" : opts->state_dir);
    return text;
}
