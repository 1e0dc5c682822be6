#include "base/mem.h"
#include "leat/base.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nothing here may allocate or unwind: the process rewinds to its last epoch when restarted. */
static _Noreturn void out_of_memory(size_t size_bytes)
{
    fprintf(stderr, "leat: out of memory (%zu bytes asked for)\n", size_bytes);
    _Exit(leat_status_exit_code(LEAT_EINTERNAL));
}

static size_t total_bytes(size_t count, size_t size_bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, size_bytes, &total))
        out_of_memory(SIZE_MAX);
    return total;
}

void *leat__alloc(size_t size_bytes)
{
    void *block = malloc(size_bytes != 0 ? size_bytes : 1);
    if (block == NULL)
        out_of_memory(size_bytes);
    return block;
}

void *leat__calloc(size_t count, size_t size_bytes)
{
    size_t total = total_bytes(count, size_bytes);
    void *block = calloc(1, total != 0 ? total : 1);
    if (block == NULL)
        out_of_memory(total);
    return block;
}

void *leat__realloc(void *block, size_t count, size_t size_bytes)
{
    size_t total = total_bytes(count, size_bytes);
    void *moved = realloc(block, total != 0 ? total : 1);
    if (moved == NULL)
        out_of_memory(total);
    return moved;
}

char *leat__strdup(const char *text)
{
    return text == NULL ? NULL : leat__strndup(text, strlen(text));
}

char *leat__strndup(const char *text, size_t length)
{
    if (text == NULL)
        return NULL;
    char *copy = leat__alloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *leat__format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return leat__strdup("");
    char *text = leat__alloc((size_t)length + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

void leat__free(void *block)
{
    free(block);
}
