/* record/json_reader.c - handles into the tokens of one checked document.
 *
 *   tokens   {  "n"  :  [  1  ,  2  ]  ,  "u"  :  "ann"  }
 *            0   1   2  3  4  5  6  7  8   9   10   11   12
 *   after   13         8                                        only where a bracket opens
 *
 * `after` steps over a container at once: the next member of the object is found without a look
 * at what the list holds.  It is filled by the pass that checks the document. */
#include "record/json_reader.h"
#include "base/limits.h"
#include "base/mem.h"
#include "record/json_scan.h"

struct leat__json_reader {
    leat__json_doc doc;
    leat__arena strings;
    uint32_t *after; /* per token of an opening bracket: the token after the closing one */
    size_t after_capacity;
};

leat__json_reader *leat__json_reader_new(void)
{
    return leat__calloc(1, sizeof(leat__json_reader));
}

void leat__json_reader_free(leat__json_reader *reader)
{
    if (reader == NULL)
        return;
    leat__json_unload(&reader->doc);
    leat__arena_free(&reader->strings);
    leat__free(reader->after);
    leat__free(reader);
}

leat_status leat__json_open(leat__json_reader *reader, leat_str text, leat__json *root,
                            leat_error *error)
{
    leat__json_doc *doc = &reader->doc;
    leat__arena_reset(&reader->strings);
    *root = (leat__json){reader, 0};
    if (!leat__json_load(doc, text))
        return leat__json_report(doc, "json", error);
    if (reader->after_capacity < doc->token_count) {
        reader->after_capacity = (size_t)doc->token_count * 2;
        reader->after = leat__realloc(reader->after, reader->after_capacity, sizeof(uint32_t));
    }
    uint32_t end = leat__json_skip(doc, 0, reader->after);
    if (end != LEAT__JSON_BAD && end < doc->token_count)
        end = leat__json_problem(doc, end, "something follows the value");
    return end == LEAT__JSON_BAD ? leat__json_report(doc, "json", error) : LEAT_OK;
}

/* ---------------------------------------------------------------- one value */

leat__json_type leat__json_type_of(leat__json value)
{
    switch (leat__json_at(&value.reader->doc, value.token)) {
    case '{':
        return LEAT__JSON_OBJECT;
    case '[':
        return LEAT__JSON_ARRAY;
    case '"':
        return LEAT__JSON_STRING;
    case 't':
    case 'f':
        return LEAT__JSON_BOOL;
    case 'n':
        return LEAT__JSON_NULL;
    default:
        return LEAT__JSON_NUMBER;
    }
}

const char *leat__json_type_name(leat__json_type type)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "an array",      "an object"};
    return names[type];
}

static bool is_container(leat__json value)
{
    return leat__json_type_of(value) >= LEAT__JSON_ARRAY;
}

static uint32_t token_after(leat__json value)
{
    return is_container(value) ? value.reader->after[value.token] : value.token + 1;
}

leat_str leat__json_text(leat__json value)
{
    const leat__json_doc *doc = &value.reader->doc;
    if (!is_container(value))
        return leat__json_span(doc, value.token);
    uint32_t start = doc->tokens[value.token], last = doc->tokens[token_after(value) - 1];
    return (leat_str){doc->text + start, last - start + 1};
}

bool leat__json_get_bool(leat__json value, bool *out)
{
    if (leat__json_type_of(value) != LEAT__JSON_BOOL)
        return false;
    *out = leat__json_at(&value.reader->doc, value.token) == 't';
    return true;
}

static bool get_integer(leat__json value, bool *negative, uint64_t *magnitude)
{
    return leat__json_type_of(value) == LEAT__JSON_NUMBER &&
           leat__json_integer(leat__json_text(value), negative, magnitude) == LEAT__NUMBER_OK;
}

bool leat__json_get_i64(leat__json value, int64_t *out)
{
    bool negative;
    uint64_t magnitude;
    if (!get_integer(value, &negative, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool leat__json_get_u64(leat__json value, uint64_t *out)
{
    bool negative;
    uint64_t magnitude;
    if (!get_integer(value, &negative, &magnitude) || (negative && magnitude != 0))
        return false;
    *out = magnitude;
    return true;
}

bool leat__json_get_f64(leat__json value, double *out)
{
    double number;
    if (leat__json_type_of(value) != LEAT__JSON_NUMBER)
        return false;
    if (leat__json_f64(leat__json_text(value), &number) != LEAT__NUMBER_OK)
        return false;
    *out = number;
    return true;
}

bool leat__json_get_str(leat__json value, leat_str *out)
{
    return leat__json_type_of(value) == LEAT__JSON_STRING &&
           leat__json_string(&value.reader->doc, value.token, &value.reader->strings, out);
}

/* ---------------------------------------------------------------- values in values */

leat__json_each leat__json_each_of(leat__json container)
{
    leat__json_each each = {.value = container};
    if (!is_container(container))
        return each;
    each.next = container.token + 1;
    each.end = token_after(container) - 1;
    return each;
}

/* `next` stands before a name, an item, or a comma before either. */
bool leat__json_next(leat__json_each *each)
{
    const leat__json_doc *doc = &each->value.reader->doc;
    if (each->next >= each->end)
        return false;
    if (leat__json_at(doc, each->next) == ',')
        each->next++;
    each->value.token = each->next;
    each->name = (leat_str){NULL, 0};
    if (leat__json_at(doc, each->next + 1) == ':') {
        leat__json_get_str(each->value, &each->name);
        each->value.token += 2;
    }
    each->next = token_after(each->value);
    return true;
}

bool leat__json_member(leat__json object, const char *name, leat__json *out)
{
    if (leat__json_type_of(object) != LEAT__JSON_OBJECT)
        return false;
    leat_str wanted = leat_str_from(name);
    leat__json_each each = leat__json_each_of(object);
    while (leat__json_next(&each)) {
        if (!leat_str_equal(each.name, wanted))
            continue;
        *out = each.value;
        return true;
    }
    return false;
}

size_t leat__json_count(leat__json container)
{
    size_t count = 0;
    leat__json_each each = leat__json_each_of(container);
    while (leat__json_next(&each))
        count++;
    return count;
}

bool leat__json_next_line(leat_str *rest, leat_str *line)
{
    while (rest->length != 0) {
        const char *end = memchr(rest->data, '\n', rest->length);
        size_t length = end != NULL ? (size_t)(end - rest->data) : rest->length;
        *line = (leat_str){rest->data, length};
        rest->data += end != NULL ? length + 1 : length;
        rest->length -= end != NULL ? length + 1 : length;
        for (size_t i = 0; i < length; i++)
            if (!leat__json_space(line->data[i]))
                return true;
    }
    return false;
}
