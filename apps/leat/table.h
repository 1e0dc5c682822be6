/* apps/leat/table.h - the same rows as an aligned table for people or as JSON lines for programs.
 */
#ifndef LEAT_APP_TABLE_H
#define LEAT_APP_TABLE_H
#include "leat/base.h"

enum { TABLE_COLUMNS_MAX = 12 };
typedef struct table_column {
    const char *name; /* heading, and member name in JSON */
    bool is_number;   /* aligned right */
} table_column;

typedef struct table table;
table *table_new(const table_column *columns, size_t column_count, bool as_json);
/* The next cell; rows fill up from left to right. */
void table_text(table *t, leat_str text);
void table_number(table *t, int64_t number);
void table_flag(table *t, bool value, const char *if_true, const char *if_false); /* bool in JSON */
void table_nothing(table *t);                                                     /* "-", null */
/* Prints and frees it; `if_empty` is said to people when there are no rows. */
void table_print(table *t, const char *if_empty);
#endif
