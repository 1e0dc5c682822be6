/* record/migration.h - reading what an older version of the program wrote (S4).
 *
 *     old layout text ─┐
 *                      ├─► migration ─► decode(old bytes) ─► record of the new type
 *     new leat_type  ──┘
 *
 * Added fields are zero, removed fields are dropped, wider numbers and texts convert; fields are
 * matched by name, names of types do not count.  Anything else is refused. */
#ifndef LEAT_RECORD_MIGRATION_H
#define LEAT_RECORD_MIGRATION_H
#include "record/codec.h"

typedef struct leat__migration leat__migration;

/* NULL with LEAT_ETYPE (the message holds both layouts) or LEAT_ECORRUPT (`old_layout` is not a
 * layout).  Borrows `type`. */
leat__migration *leat__migration_new(const char *old_layout, const leat_type *type,
                                     leat_error *error);
/* True if old bytes are new bytes: leat__binary_decode_into() will do. */
bool leat__migration_is_identity(const leat__migration *migration);
leat_status leat__migration_decode(const leat__migration *migration, leat__arena *arena,
                                   leat_str bytes, leat__lend lend, void *record,
                                   leat_error *error);
/* The same without the version byte. */
leat_status leat__migration_decode_fields(const leat__migration *migration, leat__arena *arena,
                                          leat_str fields, leat__lend lend, void *record,
                                          leat_error *error);
void leat__migration_free(leat__migration *migration);

/* For tools, which have no type: the type that a layout text describes; it lives as long as
 * *holder, which the caller frees.  NULL with LEAT_ECORRUPT: not a layout. */
const leat_type *leat__layout_type(const char *layout, leat__migration **holder, leat_error *error);
#endif
