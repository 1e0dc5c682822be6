// C cannot format the shortest text that round-trips, and its printf follows the locale.
#include "base/number_text.h"
#include <charconv>

template <typename Number> static size_t format(char *text, Number value)
{
    std::to_chars_result result = std::to_chars(text, text + LEAT__NUMBER_TEXT_BYTES - 1, value);
    *result.ptr = '\0';
    return static_cast<size_t>(result.ptr - text);
}

size_t leat__f64_text(char *text, double value)
{
    return format(text, value);
}

size_t leat__f32_text(char *text, float value)
{
    return format(text, value);
}
