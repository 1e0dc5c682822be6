/* events/load_format.h - the text formats that the loader knows, one table row each
 * (load_format.c), and one row of text turned into an interaction.
 *
 *   header line ─► which column holds what ─┐
 *   row ─► fields (quotes undone in place) ─┴─► interaction, or a reason why not */
#ifndef RECOMMENDER_LOAD_FORMAT_H
#define RECOMMENDER_LOAD_FORMAT_H
#include "apps/recommender/events/event.h"

enum { LOAD_COLUMNS_MAX = 64, LOAD_REASON_BYTES = 240 };

typedef enum load_field {
    LOAD_USER,
    LOAD_SESSION,
    LOAD_ITEM,
    LOAD_TIME,
    LOAD_TIME_OFFSET, /* ms to add to a date */
    LOAD_KIND,
    LOAD_CATEGORY,
    LOAD_PRICE,
    LOAD_VALUE,
    LOAD_EVENT,
    LOAD_FIELDS
} load_field;

typedef struct load_format load_format;

/* A format, and where its columns are in the file at hand. */
typedef struct load_layout {
    const load_format *format; /* NULL: leat's own JSON lines */
    int column[LOAD_FIELDS];   /* -1: not in the file */
    bool first_line_is_header;
} load_layout;

/* Finds the layout from the first line, or for a format asked for by name.  LEAT_EINVAL: no such
 * format; LEAT_EDATA: the line fits none (the message lists them). */
LEAT_MUST_CHECK leat_status load_layout_find(const char *format_name, leat_str first_line,
                                             load_layout *layout, leat_error *error);
const char *load_layout_name(const load_layout *layout);
/* "serenade, yoochoose, ...": for --help and messages. */
const char *load_format_names(void);

/* A row of any format but JSON.  Strings of *event are lent from `row`, whose bytes may be changed.
 * False: `reason` says why. */
bool load_row(const load_layout *layout, leat_str row, interaction *event,
              char reason[LOAD_REASON_BYTES]);
#endif
