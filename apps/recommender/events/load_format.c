/* events/load_format.c - the table of formats.
 *
 * A format with a header is told by it: all columns marked with ! must be there, in any order; what
 * stands behind a bar is another name of the column.  A format without one is told by its first
 * row: it must parse.  A new format is a new row here and a line in the test. */
#include "apps/recommender/events/load_format.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "apps/recommender/events/timestamp.h"
#include "base/error.h"

typedef enum time_form {
    TIME_SECONDS, /* since 1970, a fraction is allowed */
    TIME_TEXT,    /* ISO 8601, with "UTC" behind it or not; or epoch ms */
} time_form;

struct load_format {
    const char *name;
    char delimiter;
    bool has_header;
    time_form time_form;
    interaction_kind kind;           /* where there is no such column */
    int column_count;                /* without header: the row must have so many */
    const char *column[LOAD_FIELDS]; /* header: "!name|other name"; else "0", "1" ... */
};

static const load_format formats[] = {
    {.name = "serenade",
     .delimiter = '\t',
     .has_header = true,
     .time_form = TIME_SECONDS,
     .kind = INTERACTION_CLICK,
     .column = {[LOAD_SESSION] = "!SessionId", [LOAD_ITEM] = "!ItemId", [LOAD_TIME] = "!Time"}},
    {.name = "retailrocket",
     .delimiter = ',',
     .has_header = true,
     .time_form = TIME_TEXT,
     .kind = INTERACTION_VIEW,
     .column = {[LOAD_USER] = "!visitorid",
                [LOAD_ITEM] = "!itemid",
                [LOAD_TIME] = "!timestamp",
                [LOAD_KIND] = "!event"}},
    {.name = "rees46",
     .delimiter = ',',
     .has_header = true,
     .time_form = TIME_TEXT,
     .kind = INTERACTION_VIEW,
     .column = {[LOAD_USER] = "!user_id",
                [LOAD_SESSION] = "user_session",
                [LOAD_ITEM] = "!product_id",
                [LOAD_TIME] = "!event_time",
                [LOAD_KIND] = "!event_type",
                [LOAD_CATEGORY] = "category_code",
                [LOAD_PRICE] = "price"}},
    {.name = "diginetica",
     .delimiter = ';',
     .has_header = true,
     .time_form = TIME_TEXT,
     .kind = INTERACTION_VIEW,
     .column = {[LOAD_USER] = "userId|user_id",
                [LOAD_SESSION] = "!sessionId|session_id",
                [LOAD_ITEM] = "!itemId|item_id",
                [LOAD_TIME] = "!eventdate",
                [LOAD_TIME_OFFSET] = "!timeframe"}},
    {.name = "movielens",
     .delimiter = ',',
     .has_header = true,
     .time_form = TIME_SECONDS,
     .kind = INTERACTION_RATING,
     .column = {[LOAD_USER] = "!userId",
                [LOAD_ITEM] = "!movieId",
                [LOAD_TIME] = "!timestamp",
                [LOAD_VALUE] = "!rating"}},
    {.name = "csv",
     .delimiter = ',',
     .has_header = true,
     .time_form = TIME_TEXT,
     .kind = INTERACTION_VIEW,
     .column = {[LOAD_USER] = "!user_id",
                [LOAD_SESSION] = "session_id",
                [LOAD_ITEM] = "!item_id|product_id",
                [LOAD_TIME] = "!timestamp|timestamp_ms",
                [LOAD_KIND] = "interaction_type|event_type",
                [LOAD_CATEGORY] = "category",
                [LOAD_PRICE] = "price",
                [LOAD_VALUE] = "interaction_value|value",
                [LOAD_EVENT] = "event_id"}},
    {.name = "yoochoose",
     .delimiter = ',',
     .time_form = TIME_TEXT,
     .kind = INTERACTION_CLICK,
     .column_count = 4,
     .column = {[LOAD_SESSION] = "0", [LOAD_TIME] = "1", [LOAD_ITEM] = "2", [LOAD_CATEGORY] = "3"}},
    {.name = "yoochoose-buys",
     .delimiter = ',',
     .time_form = TIME_TEXT,
     .kind = INTERACTION_PURCHASE,
     .column_count = 5,
     .column = {[LOAD_SESSION] = "0",
                [LOAD_TIME] = "1",
                [LOAD_ITEM] = "2",
                [LOAD_PRICE] = "3",
                [LOAD_VALUE] = "4"}},
    {.name = "taobao",
     .delimiter = ',',
     .time_form = TIME_SECONDS,
     .kind = INTERACTION_VIEW,
     .column_count = 5,
     .column = {[LOAD_USER] = "0",
                [LOAD_ITEM] = "1",
                [LOAD_CATEGORY] = "2",
                [LOAD_KIND] = "3",
                [LOAD_TIME] = "4"}},
};
enum { FORMATS = sizeof formats / sizeof formats[0] };

static const char json_name[] = "leat";

const char *load_format_names(void)
{
    return "leat (JSON lines), serenade, retailrocket, rees46, diginetica, movielens, csv, "
           "yoochoose, yoochoose-buys, taobao";
}

const char *load_layout_name(const load_layout *layout)
{
    return layout->format == NULL ? json_name : layout->format->name;
}

static bool refuse(char reason[LOAD_REASON_BYTES], const char *format, ...) LEAT_PRINTF(2, 3);
static bool refuse(char reason[LOAD_REASON_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, LOAD_REASON_BYTES, format, args);
    va_end(args);
    return false;
}

/* ------------------------------------------------------------------ fields of a row */

/* "a ""quoted"" text",next: the inside moves over the quotes.  NULL: the quote is not closed, or
 * something stands between it and the delimiter. */
static char *unquote(char *at, const char *end, char delimiter, leat_str *field)
{
    char *to = at++, *start = to;
    for (;;) {
        if (at == end)
            return NULL;
        if (*at == '"') {
            if (at + 1 < end && at[1] == '"') {
                at++;
            } else {
                break;
            }
        }
        *to++ = *at++;
    }
    *field = (leat_str){start, (size_t)(to - start)};
    at++;
    return at == end || *at == delimiter ? at : NULL;
}

/* Splits the row; returns the number of fields, or -1 with a reason. */
static int split(leat_str row, char delimiter, leat_str fields[LOAD_COLUMNS_MAX],
                 char reason[LOAD_REASON_BYTES])
{
    char *at, *end;
    memcpy(&at, &row.data, sizeof at); /* load_row says that the bytes may be changed */
    end = at + row.length;
    for (int count = 0;;) {
        if (count == LOAD_COLUMNS_MAX) {
            refuse(reason, "more than %d columns", LOAD_COLUMNS_MAX);
            return -1;
        }
        if (at < end && *at == '"') {
            at = unquote(at, end, delimiter, &fields[count]);
            if (at == NULL) {
                refuse(reason, "column %d: a quote is not closed", count + 1);
                return -1;
            }
        } else {
            char *stop = at == end ? NULL : memchr(at, delimiter, (size_t)(end - at));
            if (stop == NULL)
                stop = end;
            fields[count] = (leat_str){at, (size_t)(stop - at)};
            at = stop;
        }
        count++;
        if (at == end)
            return count;
        at++;
    }
}

/* Messages show the beginning of what was read. */
static int shown_length(leat_str text)
{
    return (int)(text.length < 40 ? text.length : 40);
}

static bool decimal(leat_str text, double *value)
{
    char copy[40], *end;
    if (text.length == 0 || text.length >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    *value = strtod(copy, &end);
    return *end == '\0' && isfinite(*value);
}

static bool id_field(const load_layout *layout, const leat_str *fields, load_field which,
                     const char *name, leat_str *out, char reason[LOAD_REASON_BYTES])
{
    *out = (leat_str){NULL, 0};
    if (layout->column[which] < 0)
        return true;
    leat_str text = fields[layout->column[which]];
    if (text.length == 0)
        return true;
    if (text.length > EVENT_ID_BYTES_MAX)
        return refuse(reason, "%s has %zu bytes, at most %d are allowed", name, text.length,
                      EVENT_ID_BYTES_MAX);
    *out = text;
    return true;
}

static bool number_field(const load_layout *layout, const leat_str *fields, load_field which,
                         const char *name, double *out, char reason[LOAD_REASON_BYTES])
{
    *out = 0;
    if (layout->column[which] < 0 || fields[layout->column[which]].length == 0)
        return true;
    leat_str text = fields[layout->column[which]];
    if (decimal(text, out))
        return true;
    return refuse(reason, "%s '%.*s' is not a number", name, shown_length(text), text.data);
}

static bool time_field(const load_layout *layout, const leat_str *fields, int64_t *out,
                       char reason[LOAD_REASON_BYTES])
{
    leat_str text = fields[layout->column[LOAD_TIME]];
    double seconds, offset_ms;
    bool good;
    if (layout->format->time_form == TIME_SECONDS) {
        good =
            decimal(text, &seconds) && seconds >= 0 && seconds * 1000 <= (double)TIMESTAMP_MAX_MS;
        if (good)
            *out = (int64_t)(seconds * 1000 + 0.5);
    } else {
        if (text.length > 4 && memcmp(text.data + text.length - 4, " UTC", 4) == 0)
            text.length -= 4;
        good = timestamp_parse(text, out);
    }
    if (!good)
        return refuse(reason, "time '%.*s' is not %s", shown_length(text), text.data,
                      layout->format->time_form == TIME_SECONDS ? "a number of seconds since 1970"
                                                                : "ISO 8601 or epoch milliseconds");
    if (!number_field(layout, fields, LOAD_TIME_OFFSET, "time offset", &offset_ms, reason))
        return false;
    if (offset_ms < 0 || offset_ms > (double)LEAT_DAYS(366))
        return refuse(reason, "time offset is negative or over a year");
    *out += (int64_t)offset_ms;
    return true;
}

static bool row_fields(const load_layout *layout, const leat_str *fields, interaction *event,
                       char reason[LOAD_REASON_BYTES])
{
    *event = (interaction){.kind = (uint8_t)layout->format->kind};
    leat_str kind;
    bool good = id_field(layout, fields, LOAD_USER, "user", &event->user_id, reason) &&
                id_field(layout, fields, LOAD_SESSION, "session", &event->session_id, reason) &&
                id_field(layout, fields, LOAD_ITEM, "item", &event->item_id, reason) &&
                id_field(layout, fields, LOAD_CATEGORY, "category", &event->category, reason) &&
                id_field(layout, fields, LOAD_EVENT, "event id", &event->event_id, reason) &&
                id_field(layout, fields, LOAD_KIND, "kind", &kind, reason) &&
                number_field(layout, fields, LOAD_PRICE, "price", &event->price, reason) &&
                number_field(layout, fields, LOAD_VALUE, "value", &event->value, reason) &&
                time_field(layout, fields, &event->timestamp_ms, reason);
    if (!good)
        return false;
    if (kind.length != 0)
        event->kind = (uint8_t)interaction_kind_of(kind);
    if (event->item_id.length == 0)
        return refuse(reason, "item is empty");
    bool unknown_user =
        event->user_id.length == 0 || leat_str_equal(event->user_id, LEAT_STR("NA"));
    if (unknown_user)
        event->user_id = event->session_id; /* the session is all we know of them */
    if (event->user_id.length == 0)
        return refuse(reason, "user and session are empty");
    event->accepted_ms = event->timestamp_ms;
    return true;
}

bool load_row(const load_layout *layout, leat_str row, interaction *event,
              char reason[LOAD_REASON_BYTES])
{
    leat_str fields[LOAD_COLUMNS_MAX];
    int count = split(row, layout->format->delimiter, fields, reason);
    if (count < 0)
        return false;
    int wanted = layout->format->column_count;
    if (wanted != 0 && count != wanted)
        return refuse(reason, "%d columns, there must be %d", count, wanted);
    for (int which = 0; which < LOAD_FIELDS; which++)
        if (layout->column[which] >= count)
            return refuse(reason, "%d columns, column %d is needed", count,
                          layout->column[which] + 1);
    return row_fields(layout, fields, event, reason);
}

/* ------------------------------------------------------------------ which format is it? */

static bool is_named(leat_str header, const char *names)
{
    while (*names != '\0') {
        size_t length = strcspn(names, "|");
        if (header.length == length && memcmp(header.data, names, length) == 0)
            return true;
        names += length + (names[length] == '|');
    }
    return false;
}

static bool fits_header(const load_format *format, leat_str first_line, load_layout *layout)
{
    leat_str fields[LOAD_COLUMNS_MAX];
    char copy[LOAD_COLUMNS_MAX * 64], reason[LOAD_REASON_BYTES];
    if (first_line.length > sizeof copy)
        return false;
    if (first_line.length != 0)
        memcpy(copy, first_line.data, first_line.length);
    int count = split((leat_str){copy, first_line.length}, format->delimiter, fields, reason);
    if (count < 0)
        return false;
    *layout = (load_layout){.format = format, .first_line_is_header = true};
    for (int which = 0; which < LOAD_FIELDS; which++) {
        const char *names = format->column[which];
        layout->column[which] = -1;
        if (names == NULL)
            continue;
        bool needed = names[0] == '!';
        for (int i = 0; i < count && layout->column[which] < 0; i++)
            if (is_named(fields[i], names + (needed ? 1 : 0)))
                layout->column[which] = i;
        if (needed && layout->column[which] < 0)
            return false;
    }
    return true;
}

static bool fits_row(const load_format *format, leat_str first_line, load_layout *layout)
{
    char copy[4096], reason[LOAD_REASON_BYTES];
    interaction event;
    *layout = (load_layout){.format = format};
    for (int which = 0; which < LOAD_FIELDS; which++)
        layout->column[which] = format->column[which] == NULL ? -1 : atoi(format->column[which]);
    if (first_line.length > sizeof copy)
        return false;
    if (first_line.length != 0)
        memcpy(copy, first_line.data, first_line.length);
    return load_row(layout, (leat_str){copy, first_line.length}, &event, reason);
}

/* In a format without header any row may be the first, even a bad one, if the format was named. */
static bool fits(const load_format *format, leat_str first_line, bool was_named,
                 load_layout *layout)
{
    if (format->has_header)
        return fits_header(format, first_line, layout);
    return fits_row(format, first_line, layout) || was_named;
}

leat_status load_layout_find(const char *format_name, leat_str first_line, load_layout *layout,
                             leat_error *error)
{
    bool is_json = format_name != NULL ? strcmp(format_name, json_name) == 0
                                       : first_line.length > 0 && first_line.data[0] == '{';
    if (is_json) {
        *layout = (load_layout){.format = NULL};
        return LEAT_OK;
    }
    for (int i = 0; i < FORMATS; i++) {
        bool was_named = format_name != NULL && strcmp(format_name, formats[i].name) == 0;
        if (format_name != NULL && !was_named)
            continue;
        if (fits(&formats[i], first_line, was_named, layout))
            return LEAT_OK;
        if (was_named)
            return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "format",
                              "the first line is not the header of format '%s'", format_name);
    }
    if (format_name != NULL)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "format",
                          "there is no format '%s'; there are: %s", format_name,
                          load_format_names());
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "format",
                      "the first line fits no known format; name it, one of: %s",
                      load_format_names());
}
