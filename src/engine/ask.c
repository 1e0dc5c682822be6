/* engine/ask.c - questions to the log that may block or be refused for the moment: each is watched
 * (R3) and, where the log says "later", asked again for a while (R30).
 *
 *   ask ─ refused, passing ─ pause 50 ms, 100 ms ... 1 s, with jitter ─ ask ─ ... 10 s ─ the error
 *                                         └ positions: a look at the group (R8)
 *
 * The calls count too: each may take as long as the log's own time-out.
 */
#include "base/limits.h"
#include "engine/run.h"

enum { FIRST_PAUSE_US = 50000, PAUSE_US_MAX = 1000000, ASK_US_MAX = 10000000 };

bool leat__ask_again(leat__run *run, leat__asking *asking, leat_status status,
                     const leat_error *error)
{
    leat__watch_end(run);
    bool passing = status == LEAT_EAGAIN && error->recovery == LEAT_RECOVERY_RETRY;
    int64_t now_us = run->env->monotonic_us(run->env->arg);
    if (asking->times == 0)
        asking->since_us = now_us;
    bool too_long = asking->waited_us + (now_us - asking->since_us) >= ASK_US_MAX;
    if (!passing || too_long || atomic_load(&run->stop_requested))
        return false;
    int64_t pause_us = FIRST_PAUSE_US << (asking->times < 5 ? asking->times : 5);
    pause_us = pause_us < PAUSE_US_MAX ? pause_us : PAUSE_US_MAX;
    pause_us += (int64_t)(run->env->random_u64(run->env->arg) % (uint64_t)(pause_us / 4));
    asking->times++;
    leat__doorbell_wait(&run->bell, pause_us);
    if (run->env->monotonic_us(run->env->arg) == now_us) /* a clock that stands still */
        asking->waited_us += pause_us;
    return true;
}

leat_status leat__ask_bounds(leat__run *run, const char *what, const char *topic,
                             uint32_t partition, int64_t *begin, int64_t *end, leat_error *error)
{
    leat__asking asking = {0};
    leat_error refused = {0};
    leat_status status;
    do {
        leat__watch(run, what, LEAT__LOG_CALL_MS);
        status = leat_log_bounds(run->log, topic, partition, begin, end, &refused);
    } while (leat__ask_again(run, &asking, status, &refused));
    if (status != LEAT_OK && error != NULL)
        *error = refused;
    return status;
}

leat_status leat__ask_committed(leat__run *run, const char *topic, uint32_t partition,
                                leat_log_offset *offset, leat_error *error)
{
    leat__asking asking = {0};
    leat_error refused = {0};
    leat_status status;
    do {
        leat__watch(run, "the committed positions", LEAT__LOG_CALL_MS);
        status = leat_log_committed(run->member, topic, partition, offset, &refused);
    } while (leat__ask_again(run, &asking, status, &refused) &&
             (status = leat__look_at_group(run, &refused)) == LEAT_OK);
    if (status != LEAT_OK && error != NULL)
        *error = refused;
    return status;
}

leat_status leat__find_or_make(leat__run *run, const char *topic, const leat_topic_opts *wanted,
                               leat_topic_opts *opts, leat_error *error)
{
    leat__asking asking = {0};
    leat_error missing = {0};
    leat_status status;
    do {
        leat__watch(run, "a topic", LEAT__LOG_CALL_MS);
        status = leat_topic_describe(run->log, topic, opts, &missing);
        if (status == LEAT_ENOTFOUND) {
            status = leat_topic_create(run->log, topic, wanted, &missing);
            if (status == LEAT_OK || status == LEAT_EEXISTS) /* another process was quicker */
                status = leat_topic_describe(run->log, topic, opts, &missing);
            if (status == LEAT_ENOTFOUND) { /* and not everybody in the log has heard of it yet */
                status = missing.status = LEAT_EAGAIN;
                missing.recovery = LEAT_RECOVERY_RETRY;
            }
        }
    } while (leat__ask_again(run, &asking, status, &missing));
    if (status != LEAT_OK && error != NULL)
        *error = missing;
    leat__watch_end(run);
    return status;
}
