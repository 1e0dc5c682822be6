/* integration/log_double.h - a log whose calls a test may answer in the driver's place.
 *
 *   log ─► driver: the test's copy of the table ─► the test's function ─► the real one, or not
 */
#ifndef LEAT_TESTS_LOG_DOUBLE_H
#define LEAT_TESTS_LOG_DOUBLE_H
#include "log/driver.h"

struct log_double {
    leat_log *log;
    const leat__log_driver *real;
    leat__log_driver table; /* to be changed by the test */
};

/* twin lives as long as the log is used. */
static inline leat_log *double_open(struct log_double *twin, const char *url)
{
    leat_error error;
    if (leat_log_open(&twin->log, url, NULL, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    twin->real = twin->log->driver;
    twin->table = *twin->real;
    twin->log->driver = &twin->table;
    return twin->log;
}

static inline void double_close(struct log_double *twin)
{
    twin->log->driver = twin->real;
    leat_log_close(twin->log);
}
#endif
