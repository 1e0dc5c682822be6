/* engine/ask.c - questions to the log that may block or be refused for the moment: each is watched
 * (R3) and, where the log says "later", asked again for a while (R30).
 *
 *   ask ─ refused, passing ─ pause 50 ms, 100 ms ... 1 s, with jitter ─ ask ─ ... 10 s ─ the error
 */
#include "base/limits.h"
#include "engine/run.h"

enum { FIRST_PAUSE_US = 50000, PAUSE_US_MAX = 1000000, ASK_US_MAX = 10000000 };

bool leat__ask_again(leat__run *run, leat__asking *asking, leat_status status,
                     const leat_error *error)
{
    leat__watch_end(run);
    bool passing = status == LEAT_EAGAIN && error->recovery == LEAT_RECOVERY_RETRY;
    if (!passing || asking->waited_us >= ASK_US_MAX || atomic_load(&run->stop_requested))
        return false;
    int64_t pause_us = FIRST_PAUSE_US << (asking->times < 5 ? asking->times : 5);
    pause_us = pause_us < PAUSE_US_MAX ? pause_us : PAUSE_US_MAX;
    pause_us += (int64_t)(run->env->random_u64(run->env->arg) % (uint64_t)(pause_us / 4));
    asking->times++;
    asking->waited_us += pause_us;
    leat__doorbell_wait(&run->bell, pause_us);
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
    } while (leat__ask_again(run, &asking, status, &refused));
    if (status != LEAT_OK && error != NULL)
        *error = refused;
    return status;
}
