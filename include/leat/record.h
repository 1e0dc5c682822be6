/* leat/record.h - records are plain C structs with a description of their fields.
 *
 *     struct click { int64_t ts_ms; leat_str user; uint64_t item; leat_list tags; };
 *     LEAT_RECORD(click, ts_ms, user, item, LEAT_LIST(tags, &leat_type_str));
 *         ─► static const leat_type click_type: codecs (JSON, binary), key by name, printing
 *
 * Kinds and offsets come from the compiler.  A field is a bare name, or
 *     LEAT_OPTIONAL(name)           may be missing (or null) in JSON: stays zero
 *     LEAT_LIST(name, element)      a leat_list of *element (a const leat_type *)
 *     LEAT_SUB(name, type)          an embedded struct described by *type
 * A bare name must be present in JSON input; unknown JSON members are ignored.
 * The same descriptions can be built at run time: leat_type_new().
 *
 * Ownership: leat_str and leat_list members are lent.  Whoever hands a record to you says until
 * when; the library copies whatever you hand to it.
 */
#ifndef LEAT_RECORD_H
#define LEAT_RECORD_H
#include <leat/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum leat_kind {
    LEAT_KIND_NONE = 0, /* not describable: refused when the job is built */
    LEAT_KIND_BOOL,
    /* clang-format off */
    LEAT_KIND_I8, LEAT_KIND_I16, LEAT_KIND_I32, LEAT_KIND_I64,
    LEAT_KIND_U8, LEAT_KIND_U16, LEAT_KIND_U32, LEAT_KIND_U64,
    LEAT_KIND_F32, LEAT_KIND_F64,
    /* clang-format on */
    LEAT_KIND_TEXT,   /* char[N], NUL-padded */
    LEAT_KIND_STR,    /* leat_str */
    LEAT_KIND_LIST,   /* leat_list of *element */
    LEAT_KIND_RECORD, /* embedded struct described by *element */
} leat_kind;

typedef struct leat_list {
    void *items; /* array of element->size_bytes each */
    size_t count;
} leat_list;

enum { LEAT_FIELD_OPTIONAL = 1 };

typedef struct leat_type leat_type;
typedef struct leat_field {
    const char *name; /* NULL in a scalar type (leat_type_u64 ...) */
    leat_kind kind;
    uint32_t offset_bytes, size_bytes, flags;
    const leat_type *element; /* LIST: of what; RECORD: described by what; else NULL */
} leat_field;

struct leat_type {
    const char *name;
    uint32_t size_bytes, field_count;
    const leat_field *fields;
};

/* Scalars as types, for lists and map keys; in JSON they are bare values. */
LEAT_API extern const leat_type leat_type_i64, leat_type_u64, leat_type_u32, leat_type_f64,
    leat_type_bool, leat_type_str;

/* ---------------------------------------------------------------- types at run time
 * leat_type_new: a growing type, owned by the caller until leat_type_free.  Adding a field lays it
 * out as a C compiler would and returns its index, or -1 (a duplicate or bad name, over 64 fields,
 * a LIST or RECORD without element).  A name is 1 to 63 bytes of UTF-8 without spaces, quotes or
 * any of {}[](),:\  Elements are borrowed and must outlive the type. */
LEAT_API leat_type *leat_type_new(const char *name);
LEAT_API int leat_type_add(leat_type *type, const char *name, leat_kind kind,
                           const leat_type *element, uint32_t flags);
LEAT_API int leat_type_add_text(leat_type *type, const char *name, uint32_t size_bytes,
                                uint32_t flags);
LEAT_API void leat_type_free(leat_type *type);
/* LEAT_ETYPE, and in the message the field and what is wrong with it, if the type is not sound:
 * kinds, sizes, names, nesting, and members of the struct that no field describes. */
LEAT_API leat_status leat_type_check(const leat_type *type, leat_error *error);
/* NULL: none of that name, or an argument is NULL; so do the next two. */
LEAT_API const leat_field *leat_type_field(const leat_type *type, const char *name);
/* The field name nearest to `name` by edit distance, for "did you mean"; NULL if none is near. */
LEAT_API const char *leat_type_nearest(const leat_type *type, const char *name);
/* "click{ts_ms:i64,user:str,...}": equal text means equal layout on disk (S4).  To be freed with
 * free(). */
LEAT_API char *leat_type_layout(const leat_type *type);

/* ---------------------------------------------------------------- JSON
 * A decoder holds the parser's buffers; one thread at a time.  Strings and lists of a decoded
 * record are lent until the next call on the same decoder.  Numbers are range-checked, `1.0` is
 * accepted for an integer field, "5" (a string) for a number is not.  For a STR field a JSON number
 * is taken as its text (ids written either way).  The whole text is checked, also what is ignored;
 * a member that appears twice, or anything after the value, is refused.  Error messages name the
 * field and what was found.  NULL for a decoder, type or record is LEAT_EINVAL, here and below. */
typedef struct leat_json_decoder leat_json_decoder;
LEAT_API leat_json_decoder *leat_json_decoder_new(void);
LEAT_API void leat_json_decoder_free(leat_json_decoder *decoder);
LEAT_API LEAT_MUST_CHECK leat_status leat_json_decode(leat_json_decoder *decoder,
                                                      const leat_type *type, leat_str text,
                                                      void *record, leat_error *error);
/* Writes the record as one line of JSON (no newline) into a malloc'd, NUL-terminated string. Field
 * order is the type's; f64 round-trips; NaN and infinities become null. NULL if an argument is. */
LEAT_API char *leat_json_encode(const leat_type *type, const void *record);

/* ---------------------------------------------------------------- binary
 * A compact binary form with a version byte, formats in docs/formats.md (R26: N reads N-1, newer is
 * refused with LEAT_EVERSION).  Decoding never reads past the bytes; damaged input is LEAT_EDATA,
 * bytes that say that they were written in another layout are LEAT_ETYPE; those of format 1 do not
 * say, and are taken for what `type` says.  leat_binary_decode lends strings that point into
 * `bytes`; lists are allocated in the decoder. */
typedef struct leat_binary_decoder leat_binary_decoder;
LEAT_API leat_binary_decoder *leat_binary_decoder_new(void);
LEAT_API void leat_binary_decoder_free(leat_binary_decoder *decoder);
LEAT_API LEAT_MUST_CHECK leat_status leat_binary_decode(leat_binary_decoder *decoder,
                                                        const leat_type *type, leat_str bytes,
                                                        void *record, leat_error *error);
/* malloc'd bytes in *out (free() them); absent if type or record is NULL. */
LEAT_API void leat_binary_encode(const leat_type *type, const void *record, leat_str *out);

/* ---------------------------------------------------------------- LEAT_RECORD machinery */
/* clang-format off */
#define LEAT_OPTIONAL(name) (LEAT__OPT, name, NULL)
#define LEAT_LIST(name, element) (LEAT__ELEM, name, element)
#define LEAT_SUB(name, type) (LEAT__NEST, name, type)
#define LEAT_RECORD(tag, ...)                                                              \
    static const leat_field tag##_fields[] = {LEAT__EACH(tag, __VA_ARGS__)};               \
    static const leat_type tag##_type = {#tag, sizeof(struct tag),                         \
        sizeof(tag##_fields) / sizeof(tag##_fields[0]), tag##_fields}

/* An array decays, so only the type of &field tells char[N] from char *; a pointer becomes
 * LEAT_KIND_NONE, which the job refuses when it is built. */
#define LEAT__DECAYED_KIND(tag, f)                                                         \
    _Generic(((struct tag *)0)->f, bool: LEAT_KIND_BOOL,                                   \
        int8_t: LEAT_KIND_I8, int16_t: LEAT_KIND_I16, int32_t: LEAT_KIND_I32,              \
        int64_t: LEAT_KIND_I64, uint8_t: LEAT_KIND_U8, uint16_t: LEAT_KIND_U16,            \
        uint32_t: LEAT_KIND_U32, uint64_t: LEAT_KIND_U64, float: LEAT_KIND_F32,            \
        double: LEAT_KIND_F64, leat_str: LEAT_KIND_STR, leat_list: LEAT_KIND_LIST,         \
        char *: LEAT_KIND_TEXT)
#define LEAT__KIND(tag, f)                                                                 \
    _Generic(&((struct tag *)0)->f, char **: LEAT_KIND_NONE, default: LEAT__DECAYED_KIND(tag, f))
#define LEAT__AT(tag, f) offsetof(struct tag, f), sizeof(((struct tag *)0)->f)

#define LEAT__OPT(tag, f, none) \
    {#f, LEAT__KIND(tag, f), LEAT__AT(tag, f), LEAT_FIELD_OPTIONAL, none},
#define LEAT__ELEM(tag, f, elem) {#f, LEAT_KIND_LIST, LEAT__AT(tag, f), 0, elem},
#define LEAT__NEST(tag, f, elem) {#f, LEAT_KIND_RECORD, LEAT__AT(tag, f), 0, elem},
#define LEAT__BARE(tag, f) {#f, LEAT__KIND(tag, f), LEAT__AT(tag, f), 0, NULL},

#define LEAT__SECOND(a, b, ...) b
#define LEAT__SECOND_OF(...) LEAT__SECOND(__VA_ARGS__)
#define LEAT__PROBE(...) ~, 1
#define LEAT__IS_TUPLE(x) LEAT__SECOND_OF(LEAT__PROBE x, 0, 0)
#define LEAT__CAT_(a, b) a##b
#define LEAT__CAT(a, b) LEAT__CAT_(a, b)
#define LEAT__FIELD(tag, x) LEAT__CAT(LEAT__FIELD_, LEAT__IS_TUPLE(x))(tag, x)
#define LEAT__FIELD_0(tag, x) LEAT__BARE(tag, x)
#define LEAT__FIELD_1(tag, x) LEAT__FIELD_TUPLE(tag, LEAT__UNWRAP x)
#define LEAT__UNWRAP(...) __VA_ARGS__
#define LEAT__FIELD_TUPLE(...) LEAT__FIELD_APPLY(__VA_ARGS__)
#define LEAT__FIELD_APPLY(tag, how, f, elem) how(tag, f, elem)
#define LEAT__EACH(tag, ...) LEAT__PICK(__VA_ARGS__, \
    LEAT__E32, LEAT__E31, LEAT__E30, LEAT__E29, LEAT__E28, LEAT__E27, LEAT__E26, LEAT__E25, \
    LEAT__E24, LEAT__E23, LEAT__E22, LEAT__E21, LEAT__E20, LEAT__E19, LEAT__E18, LEAT__E17, \
    LEAT__E16, LEAT__E15, LEAT__E14, LEAT__E13, LEAT__E12, LEAT__E11, LEAT__E10, LEAT__E9, \
    LEAT__E8, LEAT__E7, LEAT__E6, LEAT__E5, LEAT__E4, LEAT__E3, LEAT__E2, LEAT__E1, \
    0)(tag, __VA_ARGS__)
#define LEAT__PICK( \
    a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, \
    a17, a18, a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, \
    m, ...) m
#define LEAT__E1(t, a) LEAT__FIELD(t, a)
#define LEAT__E2(t, a, ...) LEAT__FIELD(t, a) LEAT__E1(t, __VA_ARGS__)
#define LEAT__E3(t, a, ...) LEAT__FIELD(t, a) LEAT__E2(t, __VA_ARGS__)
#define LEAT__E4(t, a, ...) LEAT__FIELD(t, a) LEAT__E3(t, __VA_ARGS__)
#define LEAT__E5(t, a, ...) LEAT__FIELD(t, a) LEAT__E4(t, __VA_ARGS__)
#define LEAT__E6(t, a, ...) LEAT__FIELD(t, a) LEAT__E5(t, __VA_ARGS__)
#define LEAT__E7(t, a, ...) LEAT__FIELD(t, a) LEAT__E6(t, __VA_ARGS__)
#define LEAT__E8(t, a, ...) LEAT__FIELD(t, a) LEAT__E7(t, __VA_ARGS__)
#define LEAT__E9(t, a, ...) LEAT__FIELD(t, a) LEAT__E8(t, __VA_ARGS__)
#define LEAT__E10(t, a, ...) LEAT__FIELD(t, a) LEAT__E9(t, __VA_ARGS__)
#define LEAT__E11(t, a, ...) LEAT__FIELD(t, a) LEAT__E10(t, __VA_ARGS__)
#define LEAT__E12(t, a, ...) LEAT__FIELD(t, a) LEAT__E11(t, __VA_ARGS__)
#define LEAT__E13(t, a, ...) LEAT__FIELD(t, a) LEAT__E12(t, __VA_ARGS__)
#define LEAT__E14(t, a, ...) LEAT__FIELD(t, a) LEAT__E13(t, __VA_ARGS__)
#define LEAT__E15(t, a, ...) LEAT__FIELD(t, a) LEAT__E14(t, __VA_ARGS__)
#define LEAT__E16(t, a, ...) LEAT__FIELD(t, a) LEAT__E15(t, __VA_ARGS__)
#define LEAT__E17(t, a, ...) LEAT__FIELD(t, a) LEAT__E16(t, __VA_ARGS__)
#define LEAT__E18(t, a, ...) LEAT__FIELD(t, a) LEAT__E17(t, __VA_ARGS__)
#define LEAT__E19(t, a, ...) LEAT__FIELD(t, a) LEAT__E18(t, __VA_ARGS__)
#define LEAT__E20(t, a, ...) LEAT__FIELD(t, a) LEAT__E19(t, __VA_ARGS__)
#define LEAT__E21(t, a, ...) LEAT__FIELD(t, a) LEAT__E20(t, __VA_ARGS__)
#define LEAT__E22(t, a, ...) LEAT__FIELD(t, a) LEAT__E21(t, __VA_ARGS__)
#define LEAT__E23(t, a, ...) LEAT__FIELD(t, a) LEAT__E22(t, __VA_ARGS__)
#define LEAT__E24(t, a, ...) LEAT__FIELD(t, a) LEAT__E23(t, __VA_ARGS__)
#define LEAT__E25(t, a, ...) LEAT__FIELD(t, a) LEAT__E24(t, __VA_ARGS__)
#define LEAT__E26(t, a, ...) LEAT__FIELD(t, a) LEAT__E25(t, __VA_ARGS__)
#define LEAT__E27(t, a, ...) LEAT__FIELD(t, a) LEAT__E26(t, __VA_ARGS__)
#define LEAT__E28(t, a, ...) LEAT__FIELD(t, a) LEAT__E27(t, __VA_ARGS__)
#define LEAT__E29(t, a, ...) LEAT__FIELD(t, a) LEAT__E28(t, __VA_ARGS__)
#define LEAT__E30(t, a, ...) LEAT__FIELD(t, a) LEAT__E29(t, __VA_ARGS__)
#define LEAT__E31(t, a, ...) LEAT__FIELD(t, a) LEAT__E30(t, __VA_ARGS__)
#define LEAT__E32(t, a, ...) LEAT__FIELD(t, a) LEAT__E31(t, __VA_ARGS__)
/* clang-format on */

#ifdef __cplusplus
}
#endif
#endif /* LEAT_RECORD_H */
