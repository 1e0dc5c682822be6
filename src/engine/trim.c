/* engine/trim.c - what has been read of the internal topics of an exchange is deleted.
 *
 *   JOB-STAGE-repartition   [d][d][T][d][d][T][d] ...
 *                            └─ deleted ─┘     ▲ committed offset of the stage's task here
 *
 * Such a topic has one reader, the job's own group, and what lies below its committed offset is
 * never read again: a rewind goes back there (R10), not further. Each process trims the partitions
 * that it owns, up to the offsets of its own last commit; a partition that has moved meanwhile is
 * committed further by its new owner, so even a process that was thrown out does no harm.
 */
#include "engine/trim.h"
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "base/periodic.h"
#include "engine/exchange.h"
#include <string.h>

struct leat__trimming {
    leat__run *run;
    leat_log_offset *offsets; /* of the last look; topics are those of run->repartitions */
    size_t count;
    int64_t due_us;         /* stepped: of the job's clock */
    bool refused;           /* for want of rights: not asked again */
    leat__periodic *thread; /* NULL: not started */
};

static leat_log_offset *last_look(const leat__trimming *t, const char *topic, uint32_t partition)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->offsets[i].partition == partition && strcmp(t->offsets[i].topic, topic) == 0)
            return &t->offsets[i];
    return NULL;
}

/* What is committed further than at the last look; to be freed. */
static leat_log_offset *look(leat__trimming *t, size_t *count)
{
    leat__run *run = t->run;
    *count = 0;
    if (pthread_rwlock_tryrdlock(&run->assembly_lock) != 0) /* a restore: later */
        return NULL;
    leat_log_offset *found = leat__calloc(run->task_count + 1, sizeof(*found));
    for (size_t i = 0; i < run->task_count; i++) {
        const leat__task *task = run->tasks[i];
        const leat__repartition *from = leat__repartition_of(run, task->stage->number);
        int64_t committed = atomic_load(&task->committed_offset);
        if (from == NULL || committed <= 0)
            continue;
        const leat_log_offset *before = last_look(t, from->topic, task->partition);
        if (before == NULL || before->offset < committed)
            found[(*count)++] = (leat_log_offset){
                .topic = from->topic, .partition = task->partition, .offset = committed};
    }
    pthread_rwlock_unlock(&run->assembly_lock);
    return found;
}

static void keep(leat__trimming *t, const leat_log_offset *trimmed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        leat_log_offset *before = last_look(t, trimmed[i].topic, trimmed[i].partition);
        if (before == NULL) {
            t->offsets = leat__realloc(t->offsets, t->count + 1, sizeof(*t->offsets));
            before = &t->offsets[t->count++];
        }
        *before = trimmed[i];
    }
}

/* A failure changes nothing but the space that is taken: the next look asks for more (R30). */
static void trim(void *trimming)
{
    leat__trimming *t = trimming;
    size_t count;
    leat_error error = {0};
    leat_log_offset *offsets = t->refused ? NULL : look(t, &count);
    if (offsets == NULL)
        return;
    leat_status status = leat_log_trim(t->run->log, offsets, count, &error);
    if (status == LEAT_OK)
        keep(t, offsets, count);
    t->refused = status == LEAT_EACCES;
    if (status != LEAT_OK)
        leat__log_line(LEAT__WARN, "job", "what was read of an exchange is not deleted%s: %s",
                       t->refused ? ", its retention does it" : " yet", error.message);
    leat__free(offsets);
}

/* ------------------------------------------------------------------ its life */

static leat__trimming *trimming_of(leat__run *run)
{
    if (run->trimming != NULL || run->repartitions == NULL)
        return run->trimming;
    leat__trimming *t = run->trimming = leat__calloc(1, sizeof(*t));
    t->run = run;
    return t;
}

leat_status leat__trimming_start(leat__run *run)
{
    leat__trimming *t = trimming_of(run);
    if (t == NULL)
        return LEAT_OK;
    t->thread = leat__periodic_start("trim", run->graph->opts.trim_interval_ms, trim, t);
    return t->thread == NULL ? LEAT_EINTERNAL : LEAT_OK;
}

void leat__trimming_step(leat__run *run)
{
    leat__trimming *t = trimming_of(run);
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    if (t == NULL || now_us < t->due_us)
        return;
    if (t->due_us != 0)
        trim(t);
    t->due_us = now_us + run->graph->opts.trim_interval_ms * 1000;
}

void leat__trimming_close(leat__run *run)
{
    leat__trimming *t = run->trimming;
    if (t == NULL)
        return;
    leat__periodic_stop(t->thread);
    run->trimming = NULL;
    leat__free(t->offsets);
    leat__free(t);
}
