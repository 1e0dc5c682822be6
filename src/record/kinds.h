/* record/kinds.h - facts about each leat_kind in one table. */
#ifndef LEAT_RECORD_KINDS_H
#define LEAT_RECORD_KINDS_H
#include "leat/record.h"

typedef struct leat__kind_row {
    const char *name;     /* in a layout text */
    const char *expected; /* in an error message */
    uint32_t size_bytes;  /* 0: told by the field */
    uint32_t align;
    uint32_t bits; /* of an integer, else 0 */
    bool is_signed;
} leat__kind_row;

enum { LEAT__KIND_COUNT = LEAT_KIND_RECORD + 1 };
extern const leat__kind_row leat__kinds[LEAT__KIND_COUNT];

static inline bool leat__kind_known(leat_kind kind)
{
    return kind > LEAT_KIND_NONE && kind <= LEAT_KIND_RECORD;
}

/* Integers and bool, widened to 64 bits (signed ones with their sign). */
uint64_t leat__load_integer(const char *at, leat_kind kind);
/* False if the value does not fit the kind; nothing is written then. */
bool leat__store_i64(char *at, leat_kind kind, int64_t value);
bool leat__store_u64(char *at, leat_kind kind, uint64_t value);
/* The text of a TEXT member of that size: up to its first NUL. */
leat_str leat__load_text(const char *at, uint32_t size_bytes);
/* False if it is too long or holds a NUL, which would cut it. */
bool leat__store_text(char *at, uint32_t size_bytes, leat_str text);
#endif
