/* The job of the identity tests, which counts events per user on a log of its own, and those of its
 * tests that are in identity_topics.c. */
#ifndef IDENTITY_JOB_H
#define IDENTITY_JOB_H
#include <leat/leat.h>

enum { READ = 10, STEPS = 60 };

typedef struct kind {
    const char *log;                     /* what its URL begins with */
    bool stateless, exchange, in_memory; /* in_memory: an exchange that is not in the log */
    const char *input;                   /* NULL: events */
} kind;

leat_log *open_new(const kind *of);
void make_topic(leat_log *log, const char *topic);  /* of one partition */
void append_event(leat_log *log, const char *user); /* to the topic "events" */
void append_events(leat_log *log, int count);
leat_job *job_on(leat_log *log, const kind *of, const char *state_dir);
/* Steps for a while; what the job says. */
leat_status step(leat_job *job, leat_error *error);
void run_and_end(leat_log *log, const kind *of); /* it goes well */
int64_t written(leat_log *log);                  /* records in partition 0 of "out" */

void records_under_way_in_a_deleted_topic_are_missed(void **state);
void an_exchange_goes_back_to_memory_once_it_is_empty(void **state);
void state_of_other_partitions_is_not_taken_for_none(void **state);
#endif
