#include "base/error.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

typedef struct status_row {
    const char *name, *text;
    int exit_code;
} status_row;

static const status_row statuses[] = {
#define X(name, text, exit_code) {"LEAT_" #name, text, exit_code},
    LEAT_STATUS_MAP(X)
#undef X
};

static const status_row *row_of(leat_status status)
{
    size_t count = sizeof statuses / sizeof statuses[0];
    return (size_t)status < count ? &statuses[status] : &statuses[LEAT_EINTERNAL];
}

const char *leat_status_name(leat_status status)
{
    return row_of(status)->name;
}

const char *leat_status_text(leat_status status)
{
    return row_of(status)->text;
}

int leat_status_exit_code(leat_status status)
{
    return row_of(status)->exit_code;
}

const char *leat_version(void)
{
    return LEAT_VERSION_TEXT;
}

leat_str leat_str_from(const char *text)
{
    return text == NULL ? (leat_str){NULL, 0} : (leat_str){text, strlen(text)};
}

bool leat_str_equal(leat_str a, leat_str b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* A message is one line, whatever the data that it quotes. */
static void keep_one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

leat_status leat__fail(leat_error *error, leat_status status, leat_recovery recovery,
                       const char *where, const char *format, ...)
{
    if (error == NULL)
        return status;
    leat_error filled = {.status = status, .recovery = recovery}; /* the args may quote *error */
    va_list args;
    va_start(args, format);
    vsnprintf(filled.message, sizeof filled.message, format, args);
    va_end(args);
    snprintf(filled.where, sizeof filled.where, "%s", where != NULL ? where : "");
    keep_one_line(filled.message);
    keep_one_line(filled.where);
    *error = filled;
    return status;
}

leat_status leat__errno_status(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return LEAT_ENOSPC;
    case EACCES:
    case EPERM:
    case EROFS:
        return LEAT_EACCES;
    default:
        return LEAT_EIO;
    }
}

static const char *errno_remedy(int number)
{
    switch (leat__errno_status(number)) {
    case LEAT_ENOSPC:
        return number == EFBIG ? "; raise the limit on file sizes (ulimit -f)"
                               : "; free some space, or raise the quota";
    case LEAT_EACCES:
        return number == EROFS ? "; mount it writable"
                               : "; give the user of this process read and write access to it";
    default:
        return "";
    }
}

const char *leat__errno_text(int number, char *text, size_t bytes)
{
    (void)snprintf(text, bytes, "%s%s", strerror(number), errno_remedy(number));
    return text;
}
