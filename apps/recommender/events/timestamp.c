/* events/timestamp.c - moments as clients write them, to and from milliseconds since 1970.
 *
 *   2023-11-14T22:13:20.5+01:00   or   1700000000500: only digits are milliseconds
 *   └──date──┘ └───time──┘└zone┘       (no time: midnight; no zone: UTC)
 */
#include "apps/recommender/events/timestamp.h"

#include <stdio.h>

typedef struct cursor {
    const char *next, *end;
} cursor;

static bool digits(cursor *at, unsigned count, unsigned *value)
{
    if ((size_t)(at->end - at->next) < count)
        return false;
    unsigned sum = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned digit = (unsigned)(unsigned char)at->next[i] - '0';
        if (digit > 9)
            return false;
        sum = sum * 10 + digit;
    }
    at->next += count;
    *value = sum;
    return true;
}

static bool skip(cursor *at, char wanted)
{
    if (at->next == at->end || *at->next != wanted)
        return false;
    at->next++;
    return true;
}

bool timestamp_days(unsigned year, unsigned month, unsigned day, int64_t *days)
{
    static const unsigned char month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > month_days[month - 1] + (month == 2 && leap ? 1u : 0u))
        return false;
    /* Years that start in March put the leap day last, so months have a closed formula. */
    int64_t shifted_year = (int64_t)year - (month <= 2);
    int64_t shifted_month = ((int64_t)month + 9) % 12;
    int64_t day_of_year = (153 * shifted_month + 2) / 5 + (int64_t)day - 1;
    int64_t leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    *days = shifted_year * 365 + leap_days + day_of_year - 719468;
    return true;
}

/* ".123456" and ",5": milliseconds, the rest cut off. */
static bool fraction(cursor *at, unsigned *ms)
{
    *ms = 0;
    if (!skip(at, '.') && !skip(at, ','))
        return true;
    unsigned scale = 100, seen = 0;
    for (; at->next < at->end; at->next++, seen++) {
        unsigned digit = (unsigned)(unsigned char)*at->next - '0';
        if (digit > 9)
            break;
        *ms += digit * scale;
        scale /= 10;
    }
    return seen > 0;
}

static bool zone(cursor *at, int64_t *offset_ms)
{
    *offset_ms = 0;
    if (at->next == at->end || skip(at, 'Z') || skip(at, 'z'))
        return true;
    bool east = skip(at, '+');
    if (!east && !skip(at, '-'))
        return false;
    unsigned hours, minutes = 0;
    if (!digits(at, 2, &hours))
        return false;
    skip(at, ':');
    if (at->next < at->end && !digits(at, 2, &minutes))
        return false;
    if (hours > 18 || minutes > 59)
        return false;
    *offset_ms = (east ? 1 : -1) * LEAT_MINUTES((int64_t)hours * 60 + minutes);
    return true;
}

static bool clock_time(cursor *at, int64_t *ms)
{
    unsigned hour, minute, second = 0, milli = 0;
    int64_t offset_ms;
    if (!digits(at, 2, &hour) || !skip(at, ':') || !digits(at, 2, &minute))
        return false;
    if (skip(at, ':') && (!digits(at, 2, &second) || !fraction(at, &milli)))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false; /* 60: a leap second */
    if (!zone(at, &offset_ms))
        return false;
    *ms = LEAT_SECONDS((int64_t)hour * 3600 + minute * 60 + second) + milli - offset_ms;
    return true;
}

static bool epoch_ms(leat_str text, int64_t *ms)
{
    if (text.length == 0 || text.length > 15)
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *ms = value;
    return value <= TIMESTAMP_MAX_MS;
}

bool timestamp_parse(leat_str text, int64_t *ms)
{
    if (text.length < 5 || text.data[4] != '-')
        return epoch_ms(text, ms);
    cursor at = {text.data, text.data + text.length};
    unsigned year, month, day;
    int64_t days, time_ms = 0;
    if (!digits(&at, 4, &year) || !skip(&at, '-') || !digits(&at, 2, &month) || !skip(&at, '-') ||
        !digits(&at, 2, &day) || !timestamp_days(year, month, day, &days))
        return false;
    if (at.next < at.end) {
        if (!skip(&at, 'T') && !skip(&at, ' ') && !skip(&at, 't'))
            return false;
        if (!clock_time(&at, &time_ms))
            return false;
    }
    *ms = LEAT_DAYS(days) + time_ms;
    return at.next == at.end && *ms >= 0 && *ms <= TIMESTAMP_MAX_MS;
}

size_t timestamp_format(int64_t ms, char text[TIMESTAMP_TEXT_BYTES])
{
    int64_t day_ms = ms % LEAT_DAYS(1);
    int64_t shifted = ms / LEAT_DAYS(1) + 719468; /* days since 0000-03-01 */
    int64_t era = shifted / 146097, day_of_era = shifted % 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    int64_t year = era * 400 + year_of_era + (month <= 2);
    const int64_t parts[] = {
        year, month, day, day_ms / 3600000, day_ms / 60000 % 60, day_ms / 1000 % 60, day_ms % 1000};
    static const unsigned char widths[] = {4, 2, 2, 2, 2, 2, 3};
    static const char after[] = {'-', '-', 'T', ':', ':', '.', 'Z'};
    size_t length = 0;
    for (size_t part = 0; part < sizeof widths; part++) {
        int64_t value = parts[part];
        for (size_t i = widths[part]; i-- > 0; value /= 10)
            text[length + i] = (char)('0' + value % 10);
        length += widths[part];
        text[length++] = after[part];
    }
    text[length] = '\0';
    return length;
}
