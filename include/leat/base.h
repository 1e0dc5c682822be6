/* leat/base.h - what every other public header uses: export macros, status codes, errors.
 *
 * Errors are values.  A function that can fail returns a leat_status and takes an optional,
 * caller-owned leat_error that says where it happened, what is wrong and what to do about it.
 */
#ifndef LEAT_BASE_H
#define LEAT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEAT_API __attribute__((visibility("default")))
#define LEAT_MUST_CHECK __attribute__((warn_unused_result))
#define LEAT_PRINTF(format_index, args_index) \
    __attribute__((format(printf, format_index, args_index)))

/* name, text, process exit code (docs/exit-codes.md; sysexits(3) where one fits) */
#define LEAT_STATUS_MAP(X)                               \
    X(OK, "success", 0)                                  \
    X(EINVAL, "invalid argument", 64)                    \
    X(EGRAPH, "the job graph is not valid", 65)          \
    X(ETYPE, "record types do not match", 65)            \
    X(EDATA, "bad record", 66)                           \
    X(ESTATE, "state backend failed", 74)                \
    X(ELOG, "log driver failed", 74)                     \
    X(EIO, "input/output error", 74)                     \
    X(ENOSPC, "no space left on the device", 28)         \
    X(EACCES, "permission denied", 77)                   \
    X(ECORRUPT, "stored data is damaged", 76)            \
    X(ELOCKED, "held by another process", 83)            \
    X(EEXISTS, "already exists", 73)                     \
    X(ENOTFOUND, "not found", 72)                        \
    X(EABORTED, "the epoch was aborted", 71)             \
    X(EFENCED, "fenced by a newer instance", 78)         \
    X(EVERSION, "format written by a newer version", 79) \
    X(ETOOBIG, "too large", 80)                          \
    X(EAGAIN, "not now, try again", 81)                  \
    X(EPORT, "address in use", 82)                       \
    X(EINTERNAL, "internal error", 70)                   \
    X(EUNREACHABLE, "the server does not answer", 69)    \
    X(ETIMEOUT, "the log does not answer", 75)           \
    X(EVIOLATION, "exactly-once was violated", 84)

typedef enum leat_status {
#define X(name, text, exit_code) LEAT_##name,
    LEAT_STATUS_MAP(X)
#undef X
} leat_status;

/* What the caller can do about an error. */
typedef enum leat_recovery {
    LEAT_RECOVERY_FATAL = 0, /* stop; a human must look */
    LEAT_RECOVERY_RESTART,   /* rewind to the last committed epoch and go on */
    LEAT_RECOVERY_RETRY,     /* the same call may succeed later */
} leat_recovery;

/* Filled by the library, owned by the caller, usually on the stack.  NULL is always accepted
 * where a leat_error pointer is wanted. */
typedef struct leat_error {
    leat_status status;
    leat_recovery recovery;
    char where[64];    /* operator, topic, file or option, e.g. "per-item" */
    char message[440]; /* one line: what is wrong and the remedy */
} leat_error;

LEAT_API const char *leat_status_name(leat_status status); /* "LEAT_EINVAL" */
LEAT_API const char *leat_status_text(leat_status status); /* "invalid argument" */
LEAT_API int leat_status_exit_code(leat_status status);    /* what a program should exit with */
LEAT_API const char *leat_version(void);                   /* "0.1.0" */

/* A string: pointer and length, not NUL-terminated.  {NULL, 0} is the absent string.
 * Who lends it says until when; strings handed to the library are copied. */
typedef struct leat_str {
    const char *data;
    size_t length;
} leat_str;

#define LEAT_STR(literal) ((leat_str){(literal), sizeof(literal) - 1})

LEAT_API leat_str leat_str_from(const char *text); /* borrows text; NULL gives {NULL, 0} */
LEAT_API bool leat_str_equal(leat_str a, leat_str b);

/* Durations are int64_t milliseconds.  `30 * 86400 * 1000` overflows int; these do not. */
#define LEAT_SECONDS(n) (INT64_C(1000) * (n))
#define LEAT_MINUTES(n) (LEAT_SECONDS(60) * (n))
#define LEAT_HOURS(n) (LEAT_MINUTES(60) * (n))
#define LEAT_DAYS(n) (LEAT_HOURS(24) * (n))

#define LEAT_TIME_MIN INT64_MIN /* "nothing seen yet" as a watermark */
#define LEAT_TIME_MAX INT64_MAX /* the watermark of an ended input */

#ifdef __cplusplus
}
#endif
#endif /* LEAT_BASE_H */
