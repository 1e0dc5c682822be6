/* window/window.c - tumbling, sliding and cumulating windows.
 *
 *   ts ─► start of the window, or of the newest step, that holds it ─► the older windows, step by
 * step
 */
#include "window/window.h"

static int64_t floor_mod(int64_t value, int64_t modulus)
{
    int64_t rest = value % modulus;
    return rest < 0 ? rest + modulus : rest;
}

/* ts - offset may not fit, so both are reduced first: the remainders are in [0, size). */
int64_t leat__window_start(int64_t timestamp_ms, int64_t offset_ms, int64_t size_ms)
{
    int64_t rest_ms = floor_mod(timestamp_ms, size_ms) - floor_mod(offset_ms, size_ms);
    return leat__time_sub(timestamp_ms, rest_ms < 0 ? rest_ms + size_ms : rest_ms);
}

static int64_t id_is_start(const leat_span *span)
{
    return span->start_ms;
}

static leat_span span_from_start(const leat_window *window, int64_t id)
{
    return (leat_span){id, leat__time_add(id, window->size_ms)};
}

static const char *check_size(const leat_window *window)
{
    if (window->size_ms <= 0)
        return "needs a window size above 0; set .size_ms";
    if (window->gap_ms != 0 || window->gap_of != NULL)
        return "only session windows have a gap; leave .gap_ms and .gap_of zero";
    return NULL;
}

static const char *check_offset(const leat_window *window, int64_t period_ms)
{
    return window->offset_ms > -period_ms && window->offset_ms < period_ms
               ? NULL
               : "offset_ms must be smaller than the time from one window's start to the next's";
}

/* ------------------------------------------------------------------ tumbling (N1) */

static const char *tumbling_check(const leat_window *window)
{
    const char *wrong = check_size(window);
    if (wrong != NULL)
        return wrong;
    if (window->slide_ms != 0)
        return "tumbling windows have no slide; set .kind = LEAT_SLIDING";
    return check_offset(window, window->size_ms);
}

static bool tumbling_first(const leat_window *window, int64_t timestamp_ms, const void *record,
                           leat_span *span)
{
    (void)record;
    int64_t start_ms = leat__window_start(timestamp_ms, window->offset_ms, window->size_ms);
    *span = span_from_start(window, start_ms);
    return true;
}

static bool tumbling_next(const leat_window *window, int64_t timestamp_ms, leat_span *span)
{
    (void)window;
    (void)timestamp_ms;
    (void)span;
    return false;
}

/* ------------------------------------------------------------------ sliding (N2) */

static const char *sliding_check(const leat_window *window)
{
    const char *wrong = check_size(window);
    if (wrong != NULL)
        return wrong;
    if (window->slide_ms <= 0)
        return "sliding windows need a step above 0; set .slide_ms";
    return check_offset(window, window->slide_ms);
}

static bool sliding_first(const leat_window *window, int64_t timestamp_ms, const void *record,
                          leat_span *span)
{
    (void)record;
    int64_t start_ms = leat__window_start(timestamp_ms, window->offset_ms, window->slide_ms);
    *span = span_from_start(window, start_ms);
    /* a slide longer than the size leaves gaps */
    return start_ms > leat__time_sub(timestamp_ms, window->size_ms);
}

static bool sliding_next(const leat_window *window, int64_t timestamp_ms, leat_span *span)
{
    int64_t start_ms = leat__time_sub(span->start_ms, window->slide_ms);
    bool is_new = start_ms < span->start_ms; /* not stopped at the beginning of time */
    *span = span_from_start(window, start_ms);
    return is_new && start_ms > leat__time_sub(timestamp_ms, window->size_ms);
}

/* ------------------------------------------------------------------ cumulating (N2) */

static const char *cumulating_check(const leat_window *window)
{
    const char *wrong = check_size(window);
    if (wrong != NULL)
        return wrong;
    if (window->slide_ms <= 0 || window->size_ms % window->slide_ms != 0)
        return "cumulating windows need a step that divides the size; set .slide_ms";
    return check_offset(window, window->size_ms);
}

static bool cumulating_first(const leat_window *window, int64_t timestamp_ms, const void *record,
                             leat_span *span)
{
    return tumbling_first(window, timestamp_ms, record, span);
}

static bool cumulating_next(const leat_window *window, int64_t timestamp_ms, leat_span *span)
{
    span->end_ms = leat__time_sub(span->end_ms, window->slide_ms);
    return span->end_ms > timestamp_ms && span->end_ms > span->start_ms;
}

static int64_t id_is_end(const leat_span *span)
{
    return span->end_ms;
}

static leat_span cumulating_span(const leat_window *window, int64_t id)
{
    int64_t start_ms = leat__window_start(id - 1, window->offset_ms, window->size_ms);
    return (leat_span){start_ms, id};
}

/* ------------------------------------------------------------------ table */

static const leat__assigner tumbling = {.kind = "tumbling",
                                        .check = tumbling_check,
                                        .first = tumbling_first,
                                        .next = tumbling_next,
                                        .id = id_is_start,
                                        .span_of = span_from_start};
static const leat__assigner sliding = {.kind = "sliding",
                                       .check = sliding_check,
                                       .first = sliding_first,
                                       .next = sliding_next,
                                       .id = id_is_start,
                                       .span_of = span_from_start};
static const leat__assigner cumulating = {.kind = "cumulating",
                                          .check = cumulating_check,
                                          .first = cumulating_first,
                                          .next = cumulating_next,
                                          .id = id_is_end,
                                          .span_of = cumulating_span};

const leat__assigner *leat__assigner_of(leat_window_kind kind)
{
    switch (kind) {
    case LEAT_TUMBLING:
        return &tumbling;
    case LEAT_SLIDING:
        return &sliding;
    case LEAT_CUMULATING:
        return &cumulating;
    default:
        return NULL;
    }
}

const char *leat__window_kind_name(leat_window_kind kind)
{
    static const char *const names[] = {"tumbling", "sliding", "cumulating", "session", "global"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}
