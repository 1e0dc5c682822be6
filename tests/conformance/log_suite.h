/* tests/conformance/log_suite.h - what every log driver must do (R29), as small readable cases.
 *
 *     log_topics.c log_records.c log_readers.c log_groups.c log_transactions.c log_cleaning.c
 *     log_durability.c        cases, each a function; its name says the rule
 *     test_log.c              the drivers; runs every case against each
 *     test_log_kafka.c        the same against a broker
 *     log_suite.c             the words that cases are written in
 *
 * A case may not assume that a write is seen at once by a reader, nor that offsets in a topic
 * written by transactions follow each other without gaps: `contents` and `await` wait. Nor that a
 * reader is never woken for nothing: `until_quiet` waits until it is not.
 *
 * Contents of a partition are written as text:  key=value, ~ no key, - tombstone, '' empty
 *     "anna=1 bert=- ~=x"
 */
#ifndef LEAT_TESTS_CONFORMANCE_LOG_SUITE_H
#define LEAT_TESTS_CONFORMANCE_LOG_SUITE_H
/* cmocka.h wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* then */
#include "leat/log.h"
#include <cmocka.h>
#include <stdatomic.h>

/* A driver under test. A place is where one log lives; it outlives the handles on it. */
typedef struct log_driver {
    const char *name;
    void *(*create)(void);
    leat_status (*open)(void *place, const leat_log_opts *opts, leat_log **log, leat_error *error);
    void (*destroy)(void *place);
    void (*advance)(void *place, int64_t ms); /* of the log's clock; NULL: it cannot be moved, and
                                                 the log cleans when it likes */
    size_t longest_name;                      /* of a topic; 0: 249 */
} log_driver;

typedef struct world world;
typedef struct log_case {
    const char *name;
    void (*run)(world *w);
    bool needs_clock; /* or cleaning when told; skipped if the driver cannot */
} log_case;
#define CASE(name)         \
    {                      \
#name, name, false \
    }
#define TIMED_CASE(name)  \
    {                     \
#name, name, true \
    }

struct world { /* one case's log */
    const log_driver *driver;
    const log_case *what;
    void *place;
    leat_log *log;
    leat_error error; /* of the latest failure */
    bool passed;
};

/* Each file's cases, ended by one without a name. */
extern const log_case log_topic_cases[], log_record_cases[], log_reader_cases[], log_group_cases[],
    log_transaction_cases[], log_cleaning_cases[], log_durability_cases[];

enum { DEADLINE_MS = 10000 };

/* ---------------------------------------------------------------- checks */
void must_(leat_status status, const leat_error *error, const char *call, const char *file,
           int line);
void refused_(leat_status status, leat_status expected, const char *call, const char *file,
              int line);
/* must: the call succeeds. refused: it fails with that status. */
#define must(w, call) must_((call), &(w)->error, #call, __FILE__, __LINE__)
#define refused(w, status, call) ((void)(w), refused_((call), (status), #call, __FILE__, __LINE__))
/* Waits for a condition; fails after DEADLINE_MS. */
#define await(condition)                                     \
    do {                                                     \
        int64_t until_ms_ = steady_ms() + DEADLINE_MS;       \
        while (!(condition)) {                               \
            if (steady_ms() > until_ms_)                     \
                fail_msg("never came true: %s", #condition); \
            nap();                                           \
        }                                                    \
    } while (0)
int64_t steady_ms(void);
void nap(void); /* 1 ms */

/* ---------------------------------------------------------------- the log */
void reopen(world *w); /* a crash of the process: only what was acknowledged is left */
leat_log *open_again(world *w, const leat_log_opts *opts); /* another handle */
void topic(world *w, const char *name, uint32_t partitions);
void topic_with(world *w, const char *name, leat_topic_opts opts);
int64_t begin_of(world *w, const char *topic, uint32_t partition);
int64_t end_of(world *w, const char *topic, uint32_t partition);

/* "~" no key, "-" tombstone, "''" empty; partition may be LEAT_PARTITION_BY_KEY */
leat_log_record record(const char *topic, uint32_t partition, const char *key, const char *value);
/* Appends it; its offset. */
int64_t put(world *w, const char *topic, uint32_t partition, const char *key, const char *value);
/* All committed records of the partition, as text; valid until the next call. */
const char *contents(world *w, const char *topic, uint32_t partition);
const char *contents_of(leat_log *log, const char *topic, uint32_t partition);

/* ---------------------------------------------------------------- readers */
leat_log_reader *reader_at(world *w, const char *topic, uint32_t partition, int64_t offset);
/* Polls until so many records came, as text; then nothing more may come. */
const char *next(world *w, leat_log_reader *reader, size_t count);
size_t poll_once(world *w, leat_log_reader *reader, leat_log_record *records, size_t max);
/* Polls until the reader has nothing and is no longer woken; *wakes starts anew. */
void until_quiet(world *w, leat_log_reader *reader, atomic_int *wakes);
int64_t position(world *w, leat_log_reader *reader, const char *topic, uint32_t partition);

/* ---------------------------------------------------------------- members */
leat_log_member *join(world *w, const char *group, const char *instance, const char *topics);
/* The next event that is not NOTHING, which must be of this kind. */
leat_log_event await_event(world *w, leat_log_member *member, leat_log_event_kind kind);
/* join + ASSIGNED */
leat_log_member *member_of(world *w, const char *group, const char *instance, const char *topics,
                           int64_t *generation);
/* "a:0 a:1 b:0" of an event; valid until the next call. */
const char *listed(const leat_log_event *event);
leat_log_txn *begin(world *w, leat_log_member *member, int64_t generation);
void add(world *w, leat_log_txn *txn, const char *topic, uint32_t partition, const char *key,
         const char *value);
void offset(world *w, leat_log_txn *txn, const char *topic, uint32_t partition, int64_t next);
/* What the member's group has committed for an owned partition; -1: nothing. */
int64_t committed(world *w, leat_log_member *member, const char *topic, uint32_t partition);

int run_log_suite(const log_driver *driver);
#endif
