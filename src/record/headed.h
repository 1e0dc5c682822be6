/* record/headed.h - binary records that say in which layout they were written: what a topic of
 * LEAT_BINARY holds, where writer and reader are programs of their own.
 *
 *   offset 0  1  format, 2
 *          1  4  fingerprint of the layout: CRC32C of its text without the names of types
 *          5     the fields, as in format 1 (binary.c)
 *
 * A reader takes its own layout, and former ones that it was told of, by the rules of S4.  Format 1
 * has no fingerprint: its fields may be anybody's, so it is taken only where the program says which
 * layout it has. */
#ifndef LEAT_RECORD_HEADED_H
#define LEAT_RECORD_HEADED_H
#include "record/codec.h"

uint32_t leat__type_fingerprint(const leat_type *type); /* walks the type: ask once, keep it */
void leat__headed_append(leat__buffer *buffer, const leat_type *type, uint32_t fingerprint,
                         const void *record);

/* Immutable: any number of threads. */
typedef struct leat__headed_reader leat__headed_reader;
/* former: layout texts up to a NULL; headless: of records of format 1; either may be NULL.  NULL
 * with LEAT_ETYPE (S4 does not allow it), LEAT_ECORRUPT (not a layout) or LEAT_EINVAL (too many).
 * Borrows `type`. */
leat__headed_reader *leat__headed_reader_new(const leat_type *type, const char *const *former,
                                             const char *headless, leat_error *error);
void leat__headed_reader_free(leat__headed_reader *reader); /* NULL is allowed */
/* LEAT_ETYPE: written in a layout that the reader does not know; the message has the remedy. */
leat_status leat__headed_decode(const leat__headed_reader *reader, leat__arena *arena,
                                leat_str bytes, leat__lend lend, void *record, leat_error *error);
#endif
