// The only C++ of the codecs: simdjson's first stage and std::from_chars behind extern "C".
#include "record/json.h"
#include <charconv>
#include <memory>
#include <new>
#include <simdjson.h>

static_assert(simdjson::SIMDJSON_PADDING <= LEAT__JSON_PADDING, "padding of json.h is too small");

struct leat__json_index {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> stages;
    size_t capacity;
};

leat__json_index *leat__json_index_new(void)
{
    return new (std::nothrow) leat__json_index();
}

void leat__json_index_free(leat__json_index *index)
{
    delete index;
}

static simdjson::error_code grow(leat__json_index *index, size_t length)
{
    size_t capacity = index->capacity != 0 ? index->capacity : 1024;
    while (capacity < length)
        capacity *= 2;
    index->capacity = capacity;
    // Depth 1: the second stage, which would need more, is not used.
    return simdjson::get_active_implementation()->create_dom_parser_implementation(capacity, 1,
                                                                                   index->stages);
}

static const char *problem_text(simdjson::error_code code)
{
    switch (code) {
    case simdjson::EMPTY:
        return "it is empty";
    case simdjson::UNCLOSED_STRING:
        return "a string is not closed";
    case simdjson::UNESCAPED_CHARS:
        return "a string holds a control character";
    case simdjson::UTF8_ERROR:
        return "it is not valid UTF-8";
    case simdjson::MEMALLOC:
        return "there is no memory for it";
    default:
        return "it cannot be read";
    }
}

const char *leat__json_index_run(leat__json_index *index, const char *text, uint32_t length,
                                 const uint32_t **tokens, uint32_t *token_count)
{
    if (length == 0)
        return problem_text(simdjson::EMPTY);
    simdjson::error_code code = simdjson::SUCCESS;
    if (index->stages == nullptr || length > index->capacity)
        code = grow(index, length);
    if (code == simdjson::SUCCESS)
        code = index->stages->stage1(reinterpret_cast<const uint8_t *>(text), length,
                                     simdjson::stage1_mode::regular);
    if (code != simdjson::SUCCESS)
        return problem_text(code);
    uint32_t count = index->stages->n_structural_indexes;
    uint32_t *found = index->stages->structural_indexes.get(); // has room for more than three
    found[count] = found[count + 1] = found[count + 2] = length;
    *tokens = found;
    *token_count = count;
    return nullptr;
}

// Out of range is said of both ends: a number is too large if its first digit stands left of the
// point, else it is so small that it is zero.
static bool is_huge(const char *text, const char *end)
{
    long exponent = 0, magnitude = 0;
    const char *letter = text;
    while (letter < end && *letter != 'e' && *letter != 'E')
        letter++;
    if (letter < end) {
        const char *digits = letter + 1 + (letter[1] == '+');
        if (std::from_chars(digits, end, exponent).ec != std::errc())
            exponent = *digits == '-' ? -1000000000 : 1000000000;
    }
    bool seen = false, after_point = false;
    for (; text < letter; text++) {
        if (*text == '.')
            after_point = true;
        if (*text < '0' || *text > '9')
            continue;
        if (*text != '0')
            seen = true;
        if (seen && !after_point)
            magnitude++;
        if (!seen && after_point)
            magnitude--;
    }
    return seen && magnitude + exponent > 0;
}

template <typename Number> static bool parse(const char *text, size_t length, Number *value)
{
    Number parsed = 0;
    std::from_chars_result result = std::from_chars(text, text + length, parsed);
    if (result.ec == std::errc::result_out_of_range) {
        if (is_huge(text, text + length))
            return false;
        parsed = *text == '-' ? -Number(0) : Number(0);
    }
    *value = parsed;
    return true;
}

bool leat__json_parse_f64(const char *text, size_t length, double *value)
{
    return parse(text, length, value);
}

bool leat__json_parse_f32(const char *text, size_t length, float *value)
{
    return parse(text, length, value);
}
