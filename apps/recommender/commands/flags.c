/* commands/flags.c - settings of a command: from a file, then from the command line.
 *
 *   defaults ◄── --config FILE ("name: value" lines) ◄── --name VALUE, --name=VALUE, --switch
 *                                                         the last one wins
 *
 * The words are gone through twice: first to find --help and --config, then, over the file, to
 * apply. A wrong name or value is LEAT_EINVAL with where it stands and the nearest name. */
#include "apps/recommender/commands/flags.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/nearest.h"

enum { NAMES_MAX = 64, CONFIG_BYTES_MAX = 1 << 16, DEFAULT_BYTES = 64 };

bool duration_parse(const char *text, int64_t *ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*text < '0' || *text > '9' || errno != 0)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) != 0 || number > INT64_MAX / units[i].ms)
            continue;
        *ms = number * units[i].ms;
        return true;
    }
    return false;
}

bool size_parse(const char *text, uint64_t *bytes)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    const char *unit = strchr("KMG", *end);
    if (*text < '0' || *text > '9' || errno != 0 || *end == '\0' || unit == NULL || end[1] != '\0')
        return false;
    unsigned shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : 30;
    if (number > UINT64_MAX >> shift)
        return false;
    *bytes = (uint64_t)number << shift;
    return true;
}

static leat_status bad(leat_error *error, const char *where, const char *format, ...)
    LEAT_PRINTF(3, 4);
static leat_status bad(leat_error *error, const char *where, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, where, "%s", text);
}

static leat_status set_number(const flag *self, const char *where, const char *text,
                              leat_error *error)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    uint64_t most = self->most != 0 ? self->most : self->kind == FLAG_U32 ? UINT32_MAX : UINT64_MAX;
    bool valid = *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
    if (!valid || number < self->least || number > most)
        return bad(error, where, "'%s' is no whole number from %llu to %llu", text,
                   (unsigned long long)self->least, (unsigned long long)most);
    if (self->kind == FLAG_U32)
        *(uint32_t *)self->target = (uint32_t)number;
    else
        *(uint64_t *)self->target = number;
    return LEAT_OK;
}

static leat_status set(const flag *self, const char *where, const char *text, leat_error *error)
{
    int64_t ms;
    switch (self->kind) {
    case FLAG_TEXT:
        *(const char **)self->target = text;
        return LEAT_OK;
    case FLAG_U32:
    case FLAG_U64:
        return set_number(self, where, text, error);
    case FLAG_DURATION:
        if (!duration_parse(text, &ms))
            return bad(error, where, "'%s' is no duration; write 500ms, 30s, 5m, 1h or 7d", text);
        if ((uint64_t)ms < self->least)
            return bad(error, where, "'%s' is less than %llu ms", text,
                       (unsigned long long)self->least);
        *(int64_t *)self->target = ms;
        return LEAT_OK;
    case FLAG_SIZE:
        if (!size_parse(text, self->target))
            return bad(error, where, "'%s' is no size; write 512K, 64M or 2G", text);
        return LEAT_OK;
    case FLAG_BOOL:
        break;
    }
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return bad(error, where, "'%s' is neither true nor false", text);
    *(bool *)self->target = strcmp(text, "true") == 0;
    return LEAT_OK;
}

static const flag *find(const flags *self, const char *name, size_t length)
{
    for (size_t i = 0; i < self->count; i++)
        if (strlen(self->table[i].name) == length && memcmp(self->table[i].name, name, length) == 0)
            return &self->table[i];
    return NULL;
}

static leat_status unknown(const flags *self, const char *where, const char *what, const char *name,
                           const char *dashes, leat_error *error)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (; count < self->count && count < NAMES_MAX; count++)
        names[count] = self->table[count].name;
    const char *near = leat__nearest(name, names, count);
    if (near != NULL)
        return bad(error, where, "there is no %s %s%s; did you mean %s%s?", what, dashes, name,
                   dashes, near);
    return bad(error, where, "there is no %s %s%s; see --help", what, dashes, name);
}

/* ------------------------------------------------------------------ file */

/* Cuts white space, a comment and quotes off a value in place; NULL: quotes are not closed. */
static char *clean_value(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    if (*text == '"' || *text == '\'') {
        char *end = strchr(text + 1, *text);
        if (end == NULL)
            return NULL;
        *end = '\0';
        return text + 1;
    }
    for (char *at = text; *at != '\0'; at++)
        if (*at == '#' && (at == text || at[-1] == ' ' || at[-1] == '\t'))
            *at = '\0';
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        text[--length] = '\0';
    return text;
}

static leat_status read_line(flags *self, const char *path, size_t number, char *line,
                             leat_error *error)
{
    char where[64];
    snprintf(where, sizeof where, "%s:%zu", path, number);
    if (*line == '\0' || *line == '#' || strcmp(line, "---") == 0)
        return LEAT_OK;
    char *colon = line + strspn(line, "abcdefghijklmnopqrstuvwxyz-");
    if (colon == line || *colon != ':' || (colon[1] != ' ' && colon[1] != '\0'))
        return bad(error, where, "a line must read `name: value`");
    char *value = clean_value(colon + 1);
    *colon = '\0';
    if (value == NULL)
        return bad(error, where, "the quote is not closed");
    const flag *known = find(self, line, strlen(line));
    if (known == NULL)
        return unknown(self, where, "setting", line, "", error);
    if (*value == '\0')
        return bad(error, where, "%s has no value", line);
    return set(known, where, value, error);
}

static leat_status read_file(flags *self, const char *path, leat_error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return bad(error, "--config", "can't open %s: %s", path, strerror(errno));
    if (self->file != NULL) {
        fclose(file);
        return bad(error, "--config", "may be given once");
    }
    self->file = leat__alloc(CONFIG_BYTES_MAX + 1);
    size_t length = fread(self->file, 1, CONFIG_BYTES_MAX + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed || length > CONFIG_BYTES_MAX || memchr(self->file, '\0', length) != NULL)
        return bad(error, "--config", "%s is no configuration file", path);
    self->file[length] = '\0';
    leat_status status = LEAT_OK;
    size_t number = 1;
    for (char *line = self->file, *next; status == LEAT_OK && line != NULL; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        status = read_line(self, path, number, line, error);
    }
    return status;
}

/* ------------------------------------------------------------------ command line */

/* Takes one flag, and its value if that is the next word; *at moves on. */
static leat_status take_flag(flags *self, int argc, char **argv, int *at, bool apply,
                             leat_error *error)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name);
    char plain[48], where[64];
    snprintf(plain, sizeof plain, "%.*s", (int)length, name);
    snprintf(where, sizeof where, "--%s", plain);
    const flag *known = find(self, name, length);
    if (known == NULL && strcmp(plain, "config") != 0)
        return unknown(self, "command line", "flag", plain, "--", error);
    const char *value = equals == NULL ? NULL : equals + 1;
    if (value == NULL && known != NULL && known->kind == FLAG_BOOL) {
        value = "true";
    } else if (value == NULL) {
        if (*at + 1 >= argc)
            return bad(error, "command line", "--%s wants a value", plain);
        value = argv[++*at];
    }
    if (known == NULL)
        return apply ? LEAT_OK : read_file(self, value, error);
    return apply ? set(known, where, value, error) : LEAT_OK;
}

static leat_status pass(flags *self, int argc, char **argv, bool apply, leat_error *error)
{
    bool only_words = false;
    leat_status status = LEAT_OK;
    for (int at = 1; at < argc && status == LEAT_OK; at++) {
        const char *word = argv[at];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            self->help = true;
        } else if (!only_words && strncmp(word, "--", 2) == 0) {
            status = take_flag(self, argc, argv, &at, apply, error);
        } else if (!only_words && word[0] == '-' && word[1] != '\0') {
            status = bad(error, "command line", "there is no flag %s; see --help", word);
        } else if (apply && self->word_count == self->word_capacity) {
            status = bad(error, "command line", "'%s' is one argument too many; see --help", word);
        } else if (apply) {
            self->words[self->word_count++] = word;
        }
    }
    return status;
}

leat_status flags_parse(flags *self, int argc, char **argv, leat_error *error)
{
    leat_status status = pass(self, argc, argv, false, error); /* the file first: flags win */
    return status == LEAT_OK ? pass(self, argc, argv, true, error) : status;
}

static const char *value_name(const flag *self)
{
    static const char *const names[] = {"TEXT", "N", "N", "TIME", "SIZE", ""};
    return self->value != NULL ? self->value : names[self->kind];
}

static void default_text(const flag *self, char text[DEFAULT_BYTES])
{
    int64_t number = 0;
    const char *unit = "";
    text[0] = '\0';
    if (self->kind == FLAG_TEXT && *(const char **)self->target != NULL)
        snprintf(text, DEFAULT_BYTES, " (%s)", *(const char **)self->target);
    if (self->kind == FLAG_U32)
        number = *(uint32_t *)self->target;
    if (self->kind == FLAG_U64)
        number = (int64_t) * (uint64_t *)self->target;
    if (self->kind == FLAG_DURATION) {
        number = *(int64_t *)self->target;
        unit = number % 60000 == 0 ? "m" : "ms";
        number = number % 60000 == 0 ? number / 60000 : number;
    }
    if (number != 0)
        snprintf(text, DEFAULT_BYTES, " (%lld%s)", (long long)number, unit);
}

void flags_print(const flags *self, FILE *out)
{
    for (size_t i = 0; i < self->count; i++) {
        char name[64], by_default[DEFAULT_BYTES];
        snprintf(name, sizeof name, "--%s %s", self->table[i].name, value_name(&self->table[i]));
        default_text(&self->table[i], by_default);
        fprintf(out, "  %-28s %s%s\n", name, self->table[i].help, by_default);
    }
    fprintf(out, "  %-28s %s\n  %-28s %s\n", "--config FILE",
            "settings, one `name: value` a line; flags win over it", "--help", "this text");
}

void flags_free(flags *self)
{
    leat__free(self->file);
    self->file = NULL;
}
