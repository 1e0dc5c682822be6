#include "base/nearest.h"
#include "base/limits.h"
#include <string.h>

static int folded(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t leat__edit_distance(const char *a, const char *b)
{
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > LEAT__NAME_MAX || b_length > LEAT__NAME_MAX)
        return SIZE_MAX;
    size_t rows[3][LEAT__NAME_MAX + 1]; /* a swap looks two rows back */
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = folded(a[i - 1]) == folded(b[j - 1]);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1));
            bool swapped = i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
                           folded(a[i - 2]) == folded(b[j - 1]);
            if (swapped && above2[j - 2] + 1 < row[j])
                row[j] = above2[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *leat__nearest(const char *typed, const char *const *names, size_t name_count)
{
    const char *nearest = NULL;
    size_t length = typed != NULL ? strlen(typed) : 0;
    if (length == 0)
        return NULL;
    size_t best = 2 + length / 4; /* this far is no longer near */
    for (size_t i = 0; i < name_count; i++) {
        size_t name_length = names[i] != NULL ? strlen(names[i]) : 0;
        if (name_length == 0)
            continue;
        size_t distance = leat__edit_distance(typed, names[i]);
        size_t shorter = length < name_length ? length : name_length;
        if (shorter >= 3 && distance > 1 && strncmp(typed, names[i], shorter) == 0)
            distance = 1;
        if (distance >= best || distance >= shorter)
            continue; /* all letters differ: no kin */
        best = distance;
        nearest = names[i];
    }
    return nearest;
}
