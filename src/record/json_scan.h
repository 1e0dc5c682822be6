/* record/json_scan.h - one JSON document as tokens, and what may stand at a token. */
#ifndef LEAT_RECORD_JSON_SCAN_H
#define LEAT_RECORD_JSON_SCAN_H
#include "base/arena.h"
#include "record/json.h"

typedef struct leat__json_doc {
    leat__json_index *index;
    char *text; /* our copy, padded */
    size_t capacity;
    uint32_t length, token_count;
    const uint32_t *tokens; /* offsets; tokens[token_count] == length and text[length] == 0 */
    bool has_escapes;
    const char *problem; /* what is not JSON, and at which token */
    uint32_t problem_token;
} leat__json_doc; /* {0} is valid */

#define LEAT__JSON_BAD UINT32_MAX /* in place of a token: the document's problem is set */

/* False with the document's problem set.  Only the tokens are found; nothing else is checked. */
bool leat__json_load(leat__json_doc *doc, leat_str text);
void leat__json_unload(leat__json_doc *doc);
/* LEAT_EDATA with the problem, `where` and the byte offset. */
leat_status leat__json_report(const leat__json_doc *doc, const char *where, leat_error *error);
uint32_t leat__json_problem(leat__json_doc *doc, uint32_t token, const char *problem); /* BAD */

/* Checks the value at the token with all that is in it.  Returns the token after it or BAD.  If
 * `after` is given, after[t] is set to the token after each bracketed value that opens at t. */
uint32_t leat__json_skip(leat__json_doc *doc, uint32_t token, uint32_t *after);

/* First byte of the token; '\0' after the last. */
static inline char leat__json_at(const leat__json_doc *doc, uint32_t token)
{
    return doc->text[doc->tokens[token]];
}

static inline bool leat__json_space(char letter)
{
    return letter == ' ' || letter == '\n' || letter == '\r' || letter == '\t';
}

/* The text of a scalar or string token, quotes included. */
static inline leat_str leat__json_span(const leat__json_doc *doc, uint32_t token)
{
    const char *start = doc->text + doc->tokens[token], *end = doc->text + doc->tokens[token + 1];
    while (end > start && leat__json_space(end[-1]))
        end--;
    return (leat_str){start, (size_t)(end - start)};
}

/* The text between the quotes, escapes as they are.  The token must be a string. */
static inline leat_str leat__json_raw_string(const leat__json_doc *doc, uint32_t token)
{
    leat_str span = leat__json_span(doc, token);
    return (leat_str){span.data + 1, span.length - 2};
}

static inline bool leat__json_has_escape(const leat__json_doc *doc, leat_str raw)
{
    return doc->has_escapes && memchr(raw.data, '\\', raw.length) != NULL;
}

bool leat__json_unescaped(leat_str raw, leat__arena *arena, leat_str *out);

/* The string without escapes: in the document's text or, if it had any, in the arena.  False if an
 * escape is not valid (then *out is untouched). */
static inline bool leat__json_string(const leat__json_doc *doc, uint32_t token, leat__arena *arena,
                                     leat_str *out)
{
    leat_str raw = leat__json_raw_string(doc, token);
    if (leat__json_has_escape(doc, raw))
        return leat__json_unescaped(raw, arena, out);
    *out = raw;
    return true;
}

/* A literal: "true", "false" or "null", as a whole. */
bool leat__json_is(const leat__json_doc *doc, uint32_t token, leat_str literal);

typedef enum leat__json_number {
    LEAT__NUMBER_OK,
    LEAT__NUMBER_MALFORMED, /* not a JSON number */
    LEAT__NUMBER_FRACTION,  /* not a whole number */
    LEAT__NUMBER_RANGE,     /* too large */
} leat__json_number;

leat__json_number leat__json_integer(leat_str text, bool *negative, uint64_t *magnitude);
leat__json_number leat__json_f64(leat_str text, double *value);
leat__json_number leat__json_f32(leat_str text, float *value);
bool leat__json_number_sound(leat_str text);
#endif
