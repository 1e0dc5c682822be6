/* evolution_job.h - the job of test_evolution.c in any of its versions, on a log that stays. */
#ifndef LEAT_TESTS_EVOLUTION_JOB_H
#define LEAT_TESTS_EVOLUTION_JOB_H
#include <stdbool.h>
#include <stdint.h>

#include "engine/run.h"
#include "log/driver.h"
#include <leat/leat.h>

enum { PARTITIONS = 3, USERS = 9, ITEMS = 6, OPERATORS = 5 };

typedef struct world {
    leat_env env;
    int64_t now_us;
    uint64_t random;
    leat_log *log;
    leat_exchange exchange;
    char dir[64]; /* of the log and of the state; empty: simulated, state in memory */
    char state_dir[80];
    int64_t sent;
    int64_t of_user[USERS], of_item[ITEMS];
    leat_job *job;
    leat_error error;
} world;

/* A version of the job: places in `order` of those that are there. */
typedef struct version {
    int order[OPERATORS], count;           /* u operators behind the key by user; u0 among them */
    int item_order[OPERATORS], item_count; /* i operators behind the key by item; i0 among them */
    bool filter, extra_key, partitioned;
    const char *other_key; /* instead of "user" */
} version;

/* Of the other job, an operator and a window beside each other: what they keep, size and offset. */
typedef struct parts {
    const char *slot[3], *timer[2];
    int64_t window_ms, offset_ms;
    bool drain;
} parts;

extern world w;

/* embedded: a log and a state directory in a temporary folder; else simulated, state in memory */
void open_world(bool embedded, leat_exchange exchange, uint64_t seed);
void close_world(void);
void remove_state(void);
uint32_t draw(uint32_t below);
void send(int count);
/* u0 and i0 behind one key by user, or behind two. */
leat_job *two_operators_job(bool together);
/* Reads to the end with this version of the other job. */
leat_status run_parts(const parts *p);
void must_run_parts(const parts *p);
/* The start ends with LEAT_EGRAPH, and both are in the message. */
void refused_parts(const parts *p, const char *part, const char *other);
/* How many windows have fired, and the events that were in them. */
int fired(int64_t *events);
/* Until nothing moves for a second of the clock, or it stops. */
leat_status run_idle(void);
void kill_job(void);
/* Starts a version and lets it work for so many steps (0: until nothing moves), then kills it. */
leat_status run_version(const version *v, uint32_t steps);
void must_run(const version *v, uint32_t steps);
/* The start ends with this, and both parts are in the message. */
void refused(const version *v, leat_status status, const char *part, const char *other);
/* Every key's counts are 1, 2, 3 ...; u0 and i0 have counted all events. */
void expect_all(void);
int64_t sum_of(int group, int number); /* of the last counts of its keys */
#endif
