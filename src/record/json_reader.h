/* record/json_reader.h - JSON without a record type, for parsers written by hand.
 *
 *     reader ── open(text) ──► root value ── member("session") ──► value ── each ──► values
 *
 * A document is checked as a whole when it is opened: syntax, UTF-8, depth (LEAT__JSON_DEPTH_MAX)
 * and that nothing follows it.  After that every access is safe, in any order, any number of times.
 * Values are handles to pass by value; they, and strings taken from them, are lent until the next
 * open on the same reader.  One thread at a time. */
#ifndef LEAT_RECORD_JSON_READER_H
#define LEAT_RECORD_JSON_READER_H
#include "leat/base.h"

typedef struct leat__json_reader leat__json_reader;
typedef struct leat__json {
    leat__json_reader *reader;
    uint32_t token;
} leat__json;

typedef enum leat__json_type {
    LEAT__JSON_NULL,
    LEAT__JSON_BOOL,
    LEAT__JSON_NUMBER,
    LEAT__JSON_STRING,
    LEAT__JSON_ARRAY,
    LEAT__JSON_OBJECT,
} leat__json_type;

leat__json_reader *leat__json_reader_new(void);
void leat__json_reader_free(leat__json_reader *reader);
/* LEAT_EDATA with the byte offset in the message if the text is not one JSON document. */
LEAT_MUST_CHECK leat_status leat__json_open(leat__json_reader *reader, leat_str text,
                                            leat__json *root, leat_error *error);

leat__json_type leat__json_type_of(leat__json value);
const char *leat__json_type_name(leat__json_type type); /* "a string", for messages */
leat_str leat__json_text(leat__json value);             /* its JSON text, e.g. to keep or pass on */

/* False (and *out untouched) if the value is of another type or does not fit.  1.0 is an integer.
 */
bool leat__json_get_bool(leat__json value, bool *out);
bool leat__json_get_i64(leat__json value, int64_t *out);
bool leat__json_get_u64(leat__json value, uint64_t *out);
bool leat__json_get_f64(leat__json value, double *out);
bool leat__json_get_str(leat__json value, leat_str *out); /* unescaped */

/* The member of that name; of several the first.  False if there is none or it is no object. */
bool leat__json_member(leat__json object, const char *name, leat__json *out);
size_t leat__json_count(leat__json container); /* members or items; 0 for anything else */

/* for (leat__json_each each = leat__json_each_of(v); leat__json_next(&each);) ... each.value */
typedef struct leat__json_each {
    leat_str name; /* of the member; {NULL, 0} in an array */
    leat__json value;
    uint32_t next, end;
} leat__json_each;
leat__json_each leat__json_each_of(leat__json container); /* empty for anything else */
bool leat__json_next(leat__json_each *each);

/* Newline-delimited JSON: takes the next line that is not blank off *rest; false at the end. */
bool leat__json_next_line(leat_str *rest, leat_str *line);
#endif
