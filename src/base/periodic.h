/* base/periodic.h - a thread that calls a function now and then, until it is stopped.
 *
 *   start ── interval ── fn ── interval ── fn ── woken: fn ── interval ── ... stop waits for fn
 */
#ifndef LEAT_BASE_PERIODIC_H
#define LEAT_BASE_PERIODIC_H
#include <stdint.h>

typedef struct leat__periodic leat__periodic;

enum { LEAT__WHEN_WOKEN = 0 }; /* as an interval: not by the clock */

/* The interval begins when fn has returned. name: of the thread, for tools that list threads; at
 * most 15 bytes. NULL: no thread could be made. */
leat__periodic *leat__periodic_start(const char *name, int64_t interval_ms, void (*fn)(void *arg),
                                     void *arg);
/* fn is called now, or once more if it is at work; several of them are one. Any thread. */
void leat__periodic_wake(leat__periodic *periodic);
/* Waits for fn if it is at work; it is not called any more. NULL is fine. */
void leat__periodic_stop(leat__periodic *periodic);
#endif
