/* record/json_scan.c - loads a document and checks what simdjson's first stage does not: brackets,
 * commas, colons, literals, numbers, escapes (json.h has the picture).
 *
 * The walk of leat__json_skip has two places to be: before a value, or after one with the open
 * brackets on a stack:
 *
 *     before ──scalar──────────────► after ──,──► (name :) before
 *       │ ◄──── { name :   or  [      │ ▲ ──} or ]──┐
 *       └──────── {} or [] ──────────►┘ └───────────┘  until no bracket is open
 */
#include "record/json_scan.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"

/* ---------------------------------------------------------------- a document */

uint32_t leat__json_problem(leat__json_doc *doc, uint32_t token, const char *problem)
{
    doc->problem = problem;
    doc->problem_token = token;
    return LEAT__JSON_BAD;
}

bool leat__json_load(leat__json_doc *doc, leat_str text)
{
    doc->tokens = NULL;
    doc->token_count = 0;
    if (text.length > LEAT__JSON_BYTES_MAX) {
        leat__json_problem(doc, 0, "it is larger than 64 MiB");
        return false;
    }
    if (doc->index == NULL)
        doc->index = leat__json_index_new();
    if (doc->index == NULL) {
        leat__json_problem(doc, 0, "there is no memory for it");
        return false;
    }
    if (doc->capacity < text.length + LEAT__JSON_PADDING) {
        doc->capacity = 2 * (text.length + LEAT__JSON_PADDING);
        leat__free(doc->text);
        doc->text = leat__alloc(doc->capacity);
    }
    if (text.length != 0)
        memcpy(doc->text, text.data, text.length);
    memset(doc->text + text.length, 0, LEAT__JSON_PADDING);
    doc->length = (uint32_t)text.length;
    doc->has_escapes = memchr(doc->text, '\\', text.length) != NULL;
    doc->problem_token = 0;
    doc->problem =
        leat__json_index_run(doc->index, doc->text, doc->length, &doc->tokens, &doc->token_count);
    return doc->problem == NULL;
}

void leat__json_unload(leat__json_doc *doc)
{
    leat__json_index_free(doc->index);
    leat__free(doc->text);
    *doc = (leat__json_doc){0};
}

leat_status leat__json_report(const leat__json_doc *doc, const char *where, leat_error *error)
{
    if (doc->tokens == NULL)
        return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, where, "not JSON: %s",
                          doc->problem);
    if (doc->problem_token >= doc->token_count)
        return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, where,
                          "not JSON: it ends too early, %s", doc->problem);
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, where, "not JSON: %s at byte %u",
                      doc->problem, doc->tokens[doc->problem_token]);
}

bool leat__json_is(const leat__json_doc *doc, uint32_t token, leat_str literal)
{
    return leat_str_equal(leat__json_span(doc, token), literal);
}

/* ---------------------------------------------------------------- strings */

static bool read_hex4(const char *next, const char *end, uint32_t *value)
{
    *value = 0;
    if (end - next < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char letter = next[i];
        uint32_t digit;
        if (letter >= '0' && letter <= '9')
            digit = (uint32_t)(letter - '0');
        else if ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'f')
            digit = (uint32_t)((letter | 0x20) - 'a') + 10;
        else
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

static size_t write_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[length] | code);
    return length;
}

/* After "\u".  A surrogate is half a character: both halves must be there, in order. */
static const char *read_unicode(const char *next, const char *end, uint32_t *code)
{
    uint32_t low;
    if (!read_hex4(next, end, code))
        return NULL;
    next += 4;
    if (*code < 0xd800 || *code > 0xdfff)
        return next;
    bool paired = *code < 0xdc00 && end - next >= 6 && next[0] == '\\' && next[1] == 'u' &&
                  read_hex4(next + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff;
    if (!paired)
        return NULL;
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return next + 6;
}

/* Writes the text without its escapes, which is never longer; false if one of them is not valid. */
static bool unescape(leat_str raw, char *out, size_t *length)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *next = raw.data, *end = raw.data + raw.length;
    char *start = out;
    while (next < end) {
        const char *escape = memchr(next, '\\', (size_t)(end - next));
        size_t plain = (size_t)((escape != NULL ? escape : end) - next);
        memcpy(out, next, plain);
        out += plain;
        if (escape == NULL)
            break;
        if (escape + 1 == end)
            return false;
        char letter = escape[1];
        next = escape + 2;
        if (letter == 'u') {
            uint32_t code;
            next = read_unicode(next, end, &code);
            if (next == NULL)
                return false;
            out += write_utf8(out, code);
        } else {
            const char *at = letter != '\0' ? strchr(letters, letter) : NULL;
            if (at == NULL)
                return false;
            *out++ = meanings[at - letters];
        }
    }
    *length = (size_t)(out - start);
    return true;
}

bool leat__json_unescaped(leat_str raw, leat__arena *arena, leat_str *out)
{
    char *text = leat__arena_alloc(arena, raw.length);
    if (!unescape(raw, text, &raw.length))
        return false;
    *out = (leat_str){text, raw.length};
    return true;
}

static bool escapes_sound(leat_str raw)
{
    const char *next = raw.data, *end = raw.data + raw.length;
    while ((next = memchr(next, '\\', (size_t)(end - next))) != NULL) {
        uint32_t code;
        if (next + 1 == end)
            return false;
        char letter = next[1];
        next += 2;
        if (letter == 'u')
            next = read_unicode(next, end, &code);
        else if (letter == '\0' || strchr("\"\\/bfnrt", letter) == NULL)
            next = NULL;
        if (next == NULL)
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- numbers */

typedef struct decimal {
    uint64_t mantissa; /* all digits but the zeros that end the fraction */
    int64_t exponent;  /* value = mantissa * 10^exponent */
    bool negative, overflow, has_fraction;
} decimal;

static bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

static const char *take_digits(const char *next, const char *end, decimal *d)
{
    for (; next < end && is_digit(*next); next++) {
        d->overflow |= __builtin_mul_overflow(d->mantissa, UINT64_C(10), &d->mantissa);
        d->overflow |= __builtin_add_overflow(d->mantissa, (uint64_t)(*next - '0'), &d->mantissa);
    }
    return next;
}

static const char *take_fraction(const char *next, const char *end, decimal *d)
{
    const char *start = next;
    while (next < end && is_digit(*next))
        next++;
    if (next == start)
        return NULL;
    const char *last = next;
    while (last > start && last[-1] == '0')
        last--;
    take_digits(start, last, d);
    d->exponent = start - last;
    d->has_fraction = last > start;
    return next;
}

static const char *take_exponent(const char *next, const char *end, decimal *d)
{
    bool negative = next < end && *next == '-';
    if (next < end && (*next == '-' || *next == '+'))
        next++;
    const char *start = next;
    int64_t exponent = 0;
    for (; next < end && is_digit(*next); next++)
        if (exponent < 100000000)
            exponent = exponent * 10 + (*next - '0');
    d->exponent += negative ? -exponent : exponent;
    return next == start ? NULL : next;
}

/* JSON's grammar of a number, on the whole text. */
static bool scan_decimal(leat_str text, decimal *d)
{
    const char *next = text.data, *end = text.data + text.length;
    *d = (decimal){.negative = next < end && *next == '-'};
    if (d->negative)
        next++;
    const char *digits = next;
    next = take_digits(next, end, d);
    if (next == digits || (*digits == '0' && next - digits > 1))
        return false;
    if (next < end && *next == '.')
        next = take_fraction(next + 1, end, d);
    if (next != NULL && next < end && (*next | 0x20) == 'e')
        next = take_exponent(next + 1, end, d);
    return next == end;
}

static const char *skip_digits(const char *next, const char *end)
{
    const char *start = next;
    while (next < end && is_digit(*next))
        next++;
    return next == start ? NULL : next;
}

/* The same grammar without the value: for what is skipped. */
bool leat__json_number_sound(leat_str text)
{
    const char *next = text.data, *end = text.data + text.length;
    if (next < end && *next == '-')
        next++;
    const char *digits = next;
    next = skip_digits(next, end);
    if (next == NULL || (*digits == '0' && next - digits > 1))
        return false;
    if (next < end && *next == '.')
        next = skip_digits(next + 1, end);
    if (next != NULL && next < end && (*next | 0x20) == 'e') {
        next++;
        if (next < end && (*next == '-' || *next == '+'))
            next++;
        next = skip_digits(next, end);
    }
    return next == end;
}

/* "1.0", "1e3" and "1500e-2" are integers; exact, as no floating point is in between. */
static leat__json_number integer_from_decimal(leat_str text, bool *negative, uint64_t *magnitude)
{
    decimal d;
    if (!scan_decimal(text, &d))
        return LEAT__NUMBER_MALFORMED;
    *negative = d.negative;
    if (d.overflow)
        return d.has_fraction ? LEAT__NUMBER_FRACTION : LEAT__NUMBER_RANGE;
    if (d.mantissa == 0)
        d.exponent = 0;
    for (; d.exponent < 0; d.exponent++, d.mantissa /= 10)
        if (d.mantissa % 10 != 0)
            return LEAT__NUMBER_FRACTION;
    for (; d.exponent > 0; d.exponent--)
        if (__builtin_mul_overflow(d.mantissa, UINT64_C(10), &d.mantissa))
            return LEAT__NUMBER_RANGE;
    *magnitude = d.mantissa;
    return LEAT__NUMBER_OK;
}

leat__json_number leat__json_integer(leat_str text, bool *negative, uint64_t *magnitude)
{
    const char *next = text.data, *end = text.data + text.length;
    *negative = *next == '-';
    next += *negative ? 1 : 0;
    size_t digits = (size_t)(end - next);
    bool plain = digits >= 1 && digits <= 19 && (*next != '0' || digits == 1);
    uint64_t sum = 0; /* 19 digits cannot overflow */
    for (; plain && next < end; next++) {
        unsigned digit = (unsigned)(unsigned char)*next - '0';
        if (digit > 9)
            plain = false;
        sum = sum * 10 + digit;
    }
    if (!plain)
        return integer_from_decimal(text, negative, magnitude);
    *magnitude = sum;
    return LEAT__NUMBER_OK;
}

/* A mantissa below 2^53 and a power of ten up to 10^22 are exact, so one operation on them is
 * rounded once, which is correct (W. Clinger's fast path). */
static bool exact_f64(const decimal *d, double *value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (d->overflow || d->mantissa > UINT64_C(1) << 53 || d->exponent < -22 || d->exponent > 22)
        return false;
    double mantissa = (double)d->mantissa;
    double result =
        d->exponent < 0 ? mantissa / powers[-d->exponent] : mantissa * powers[d->exponent];
    *value = d->negative ? -result : result;
    return true;
}

leat__json_number leat__json_f64(leat_str text, double *value)
{
    decimal d;
    if (!scan_decimal(text, &d))
        return LEAT__NUMBER_MALFORMED;
    if (exact_f64(&d, value))
        return LEAT__NUMBER_OK;
    return leat__json_parse_f64(text.data, text.length, value) ? LEAT__NUMBER_OK
                                                               : LEAT__NUMBER_RANGE;
}

/* Not by way of a double: rounding twice may end at another float. */
leat__json_number leat__json_f32(leat_str text, float *value)
{
    if (!leat__json_number_sound(text))
        return LEAT__NUMBER_MALFORMED;
    return leat__json_parse_f32(text.data, text.length, value) ? LEAT__NUMBER_OK
                                                               : LEAT__NUMBER_RANGE;
}

/* ---------------------------------------------------------------- the walk */

static const char *scalar_problem(const leat__json_doc *doc, uint32_t token)
{
    leat_str span;
    switch (leat__json_at(doc, token)) {
    case '"':
        if (!doc->has_escapes || escapes_sound(leat__json_raw_string(doc, token)))
            return NULL;
        return "a string holds an invalid escape";
    case 't':
        span = LEAT_STR("true");
        break;
    case 'f':
        span = LEAT_STR("false");
        break;
    case 'n':
        span = LEAT_STR("null");
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return leat__json_number_sound(leat__json_span(doc, token)) ? NULL : "bad number";
    default:
        return "expected a value";
    }
    return leat__json_is(doc, token, span) ? NULL : "expected a value";
}

/* `"name":` Returns the token of the member's value. */
static uint32_t skip_name(leat__json_doc *doc, uint32_t token)
{
    if (leat__json_at(doc, token) != '"')
        return leat__json_problem(doc, token, "expected a member name");
    const char *problem = scalar_problem(doc, token);
    if (problem != NULL)
        return leat__json_problem(doc, token, problem);
    if (leat__json_at(doc, token + 1) != ':')
        return leat__json_problem(doc, token + 1, "expected ':'");
    return token + 2;
}

static char closing_of(char open)
{
    return open == '{' ? '}' : ']';
}

/* After a value inside of `depth` open brackets: closes what closes here.  Returns the token of
 * the next value, or of what follows if *depth has become 0. */
static uint32_t leave_value(leat__json_doc *doc, uint32_t token, const uint32_t *open,
                            unsigned *depth, uint32_t *after)
{
    while (*depth > 0) {
        char bracket = leat__json_at(doc, open[*depth - 1]), here = leat__json_at(doc, token);
        if (here == ',')
            return bracket == '{' ? skip_name(doc, token + 1) : token + 1;
        if (here != closing_of(bracket))
            return leat__json_problem(
                doc, token, bracket == '{' ? "expected ',' or '}'" : "expected ',' or ']'");
        token++;
        --*depth;
        if (after != NULL)
            after[open[*depth]] = token;
    }
    return token;
}

uint32_t leat__json_skip(leat__json_doc *doc, uint32_t token, uint32_t *after)
{
    uint32_t open[LEAT__JSON_DEPTH_MAX];
    unsigned depth = 0;
    do {
        char here = leat__json_at(doc, token);
        if (here == '{' || here == '[') {
            if (depth == LEAT__JSON_DEPTH_MAX)
                return leat__json_problem(doc, token, "nested more than 64 deep");
            open[depth++] = token++;
            if (leat__json_at(doc, token) != closing_of(here)) {
                if (here == '{')
                    token = skip_name(doc, token);
                if (token == LEAT__JSON_BAD)
                    return token;
                continue;
            }
        } else {
            const char *problem = scalar_problem(doc, token);
            if (problem != NULL)
                return leat__json_problem(doc, token, problem);
            token++;
        }
        token = leave_value(doc, token, open, &depth, after);
        if (token == LEAT__JSON_BAD)
            return token;
    } while (depth > 0);
    return token;
}
