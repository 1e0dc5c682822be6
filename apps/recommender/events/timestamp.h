/* events/timestamp.h - ISO 8601 and epoch milliseconds.
 *
 * Read:    2026-11-21T07:30:00.123456+02:00   'T' or a space; seconds, fraction and zone are
 * optional, 2026-11-21                         a text without a zone is UTC (as Python's
 * isoformat() 1763703000123                      of a naive time is meant by every producer we
 * know) Written: 2026-11-21T05:30:00.123Z
 */
#ifndef RECOMMENDER_TIMESTAMP_H
#define RECOMMENDER_TIMESTAMP_H
#include "leat/base.h"

#define TIMESTAMP_MAX_MS INT64_C(253402300799999) /* the end of year 9999 */
enum { TIMESTAMP_TEXT_BYTES = 25 };

/* False if the text is neither; *ms is from 0 to TIMESTAMP_MAX_MS. */
bool timestamp_parse(leat_str text, int64_t *ms);
/* Days since 1970-01-01 of a date of the Gregorian calendar; false if there is no such date. */
bool timestamp_days(unsigned year, unsigned month, unsigned day, int64_t *days);
/* ms is within the range above; returns the length (24). */
size_t timestamp_format(int64_t ms, char text[TIMESTAMP_TEXT_BYTES]);
#endif
