/* base/log_line.h - one line per event worth a human's attention, to stderr:
 * `2026-11-21T07:30:00.123Z warn  log  topic 'clicks': ...` or JSON with LEAT_LOG_FORMAT=json.
 * Level from LEAT_LOG_LEVEL (debug, info, warn, error; default info). Thread-safe. */
#ifndef LEAT_BASE_LOG_LINE_H
#define LEAT_BASE_LOG_LINE_H
#include "leat/base.h"
typedef enum leat__log_level { LEAT__DEBUG, LEAT__INFO, LEAT__WARN, LEAT__ERROR } leat__log_level;
void leat__log_line(leat__log_level level, const char *area, const char *format, ...)
    LEAT_PRINTF(3, 4);
bool leat__log_enabled(leat__log_level level);
#endif
