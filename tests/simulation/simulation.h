/* simulation.h - a world under one seed: the input as it was sent, the job, and what must come out.
 *
 *   seed ─► test_simulation.c: what happens when      simulation_job.c: the job under test
 *                 │  sends, steps, crashes, faults           │
 *                 ▼                                          ▼
 *            sim_input ───────► simulation_check.c ◄── committed topics
 *                               a plain fold of the input
 */
#ifndef LEAT_TESTS_SIMULATION_H
#define LEAT_TESTS_SIMULATION_H
#include <leat/leat.h>

enum {
    SIM_PARTITIONS = 3,
    SIM_USERS = 9,
    SIM_PAGES = 5,
    SIM_EVENTS_MAX = 600,
    SIM_WINDOW_MS = 500,
    SIM_LATENESS_MS = 300,
    SIM_DELAY_MS = 200,
    SIM_POISON = 13,      /* an amount that the operator by user refuses */
    SIM_PAGE_POISON = 17, /* the one by page, behind the exchange */
};

typedef struct sim_event { /* as it was sent, in this order */
    uint64_t id;           /* of a duplicate: that of the first */
    int user, page;
    int64_t ts_ms;
    uint64_t amount;
    bool bad; /* does not decode */
    /* time may have passed it: what came before it in its partition says so (W1, W3), or an idle
     * partition does not (W4) */
    bool may_be_late;
} sim_event;

typedef struct sim_input {
    sim_event events[SIM_EVENTS_MAX];
    int count;
    int delivered[SIM_EVENTS_MAX]; /* on_committed, by id */
} sim_input;

typedef struct sim_setting {
    bool exchange;  /* the branch by page */
    bool in_memory; /* the exchange; a job with it is one process */
    int64_t idle_ms;
    size_t buffer_bytes;
    const char *state_dir; /* NULL: memory */
    const char *instance;
} sim_setting;

leat_job *sim_job(leat_log *log, const sim_setting *setting, sim_input *input);

/* All epochs are committed and all timers have fired: what is in the log must be the fold of the
 * input. Returns NULL, or what is wrong (until the next call). */
const char *sim_check(leat_log *log, const sim_input *input, bool exchange);
#endif
