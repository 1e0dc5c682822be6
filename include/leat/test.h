/* leat/test.h - testing a job without a server, a disk or a wall clock.
 *
 *     leat_job *job = build_my_job("sim:test");  // the same code that runs in production
 *     leat_test *test = leat_test_new(job);
 *     leat_test_send_json(test, "clicks", "{\"user\":\"ann\",\"ts_ms\":1000}");
 *     leat_test_run(test);                       // until nothing moves, epochs committed
 *     assert(strcmp(leat_test_next_json(test, "counts"), "{\"user\":\"ann\",\"count\":1}") == 0);
 *     leat_test_crash(test);                     // as kill -9 between two operations
 *     ...the job goes on from its last committed epoch
 *
 * Everything runs on the calling thread, in the same order each time; the clock stands still
 * until it is advanced. The job's log must be "sim:NAME"; tests on one NAME share it, and the
 * first of them is freed last. A failing or misused call prints why and aborts: a harness must not
 * hide mistakes.
 */
#ifndef LEAT_TEST_H
#define LEAT_TEST_H
#include <leat/job.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leat_test leat_test;

/* Takes the job (freed by leat_test_free); the clock starts at 2026-01-01T00:00:00Z. Event times
 * may be any: the bound of W7 holds only if the job's max_ahead_ms was set. */
LEAT_API leat_test *leat_test_new(leat_job *job);
LEAT_API void leat_test_free(leat_test *test);

/* Appends to the topic of a log source; partition by the key's text, without a key round robin. */
LEAT_API void leat_test_send_json(leat_test *test, const char *topic, const char *json);
LEAT_API void leat_test_send_keyed(leat_test *test, const char *topic, const char *key,
                                   const char *json);
LEAT_API void leat_test_send_to(leat_test *test, const char *topic, uint32_t partition,
                                const char *json);

/* Moves the clock, then runs until nothing moves. */
LEAT_API void leat_test_advance(leat_test *test, int64_t duration_ms);
/* Steps until nothing moves and the last epoch is committed. Returns what the job says: LEAT_OK,
 * or why it stopped (leat_test_error). */
LEAT_API leat_status leat_test_run(leat_test *test);
/* One round only; true if something was done. Epochs stay open as they may: for crashes in the
 * middle. */
LEAT_API bool leat_test_step(leat_test *test);
LEAT_API const leat_error *leat_test_error(const leat_test *test);

/* The next committed value of a topic (all partitions, in partition order), NULL if there is no
 * more. Lent until the next call. */
LEAT_API const char *leat_test_next_json(leat_test *test, const char *topic);
/* The same with where it lies. */
LEAT_API bool leat_test_next(leat_test *test, const char *topic, leat_log_record *record);
/* Committed state as JSON, NULL if the key has none: of a list [element,...], oldest first, of a
 * map
 * {"key":value,...}, numbers as keys in quotes. An operator or a state that the job does not have
 * aborts. Needs no state_dir. Lent until the next call. */
LEAT_API const char *leat_test_state_json(leat_test *test, const char *op, const char *state,
                                          const char *key);
LEAT_API int64_t leat_test_watermark(leat_test *test); /* the least of all tasks */
LEAT_API int64_t leat_test_clock(const leat_test *test);

/* Feeds a watermark: as if each partition of the topic had shown an element that lets the source
 * promise it. It takes effect with the next run. */
LEAT_API void leat_test_send_watermark(leat_test *test, const char *topic, int64_t watermark_ms);

/* Everything committed: topics, positions, and so the state. Restoring drops what happened since,
 * the cursors of leat_test_next too; the clock goes on. Free images before the test. */
typedef struct leat_test_image leat_test_image;
LEAT_API leat_test_image *leat_test_snapshot(leat_test *test);
LEAT_API void leat_test_restore(leat_test *test, const leat_test_image *image);
LEAT_API void leat_test_image_free(leat_test_image *image); /* NULL is allowed */

/* Loses everything that is not committed, as a kill -9 does; the next run starts from the log. */
LEAT_API void leat_test_crash(leat_test *test);
/* Ends cleanly (the epoch is finished) and starts again. */
LEAT_API void leat_test_restart(leat_test *test);

#ifdef __cplusplus
}
#endif
#endif /* LEAT_TEST_H */
