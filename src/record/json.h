/* record/json.h - C face of simdjson (json.cc) and the walk over its tokens (json_scan.c).
 *
 *   text      {"user":"ann","n":[1,22]}        copied, with readable bytes after it
 *   tokens    ^^     ^^    ^^  ^^^ ^ ^^        offset of each bracket, comma, colon and of the
 *             01     23    45  678 ...         first byte of each string and scalar
 *
 * simdjson's first stage finds the tokens and checks UTF-8, control characters in strings and open
 * quotes, many bytes per instruction.  The walk over them checks all the rest, also of what it
 * skips, so a document is accepted as a whole or not at all.  As the token after a string ends it,
 * no string is scanned for its end. */
#ifndef LEAT_RECORD_JSON_H
#define LEAT_RECORD_JSON_H
#include "leat/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leat__json_index leat__json_index; /* simdjson's buffers */
leat__json_index *leat__json_index_new(void);     /* NULL if out of memory */
void leat__json_index_free(leat__json_index *index);
/* `text` needs LEAT__JSON_PADDING readable bytes after it.  Returns NULL and the tokens (three
 * more follow, all equal to `length`), or what is wrong with the text. */
const char *leat__json_index_run(leat__json_index *index, const char *text, uint32_t length,
                                 const uint32_t **tokens, uint32_t *token_count);
enum { LEAT__JSON_PADDING = 64 };

/* Text that is a JSON number already; false if it is too large for the type. */
bool leat__json_parse_f64(const char *text, size_t length, double *value);
bool leat__json_parse_f32(const char *text, size_t length, float *value);

#ifdef __cplusplus
}
#endif
#endif
