/* window/trigger.h - when a window emits, and what it keeps after that (N7).
 *
 *   element ─► add to the window ─► on_element ─┐         CONTINUE         nothing
 *   watermark ─► a timer it set ───► on_timer ──┼─►       FIRE             emit, keep the contents
 *   clock ─────► a timer it set ───► on_timer ──┘         PURGE            drop the contents
 *                                                         FIRE_AND_PURGE   emit, then drop
 *
 * A trigger is a const table; what it remembers of a window lies in `state`, which is part of the
 * keyed state and merges with the window (N3).  Evictors take elements out of the contents before
 * or after a firing; only operators that keep all elements of a window have them. */
#ifndef LEAT_WINDOW_TRIGGER_H
#define LEAT_WINDOW_TRIGGER_H
#include "leat/job.h"
#include "state/store.h"

typedef enum leat__trigger_result {
    LEAT__CONTINUE = 0,
    LEAT__FIRE = 1,
    LEAT__PURGE = 2,
    LEAT__FIRE_AND_PURGE = LEAT__FIRE | LEAT__PURGE,
} leat__trigger_result;

/* One window of one key, as its trigger sees it. */
typedef struct leat__trigger_view leat__trigger_view;
struct leat__trigger_view {
    leat_span window;
    int64_t watermark_ms, clock_ms;
    bool first;  /* the element is the first of the window's contents: no timer is set yet */
    void *state; /* of trigger->state; NULL if it has none */
    void *arg;
    /* One timer per window and time domain; setting it again moves it (T1). */
    void (*set_timer)(leat__trigger_view *view, leat__time_domain domain, int64_t at_ms);
    void (*clear_timer)(leat__trigger_view *view, leat__time_domain domain);
};

struct leat_trigger {
    const char *kind;
    const leat_type *state; /* NULL: remembers nothing */
    bool purging;           /* makes FIRE_AND_PURGE of every FIRE */
    leat__trigger_result (*on_element)(leat__trigger_view *view, int64_t timestamp_ms,
                                       const void *record);
    leat__trigger_result (*on_timer)(leat__trigger_view *view, leat__time_domain domain,
                                     int64_t at_ms);
    /* N3: folds the state of a window that was merged into this one. NULL: it cannot merge. */
    void (*on_merge)(leat__trigger_view *view, const void *other_state);
};

struct leat_evictor {
    const char *kind;
    bool after; /* the firing instead of before it */
    /* Of `count` elements, oldest first, how many to take from the front now. */
    size_t (*evict)(const leat_evictor *evictor, const leat_span *window, size_t count,
                    const int64_t *timestamps_ms, const void *const *records);
};

/* The default: at the end of the window, and again for each allowed-late element (N7). */
extern const leat_trigger leat__trigger_event_time;
extern const leat_trigger leat__trigger_event_time_purging;

leat__trigger_result leat__trigger_element(const leat_trigger *trigger, leat__trigger_view *view,
                                           int64_t timestamp_ms, const void *record);
leat__trigger_result leat__trigger_timer(const leat_trigger *trigger, leat__trigger_view *view,
                                         leat__time_domain domain, int64_t at_ms);
#endif
