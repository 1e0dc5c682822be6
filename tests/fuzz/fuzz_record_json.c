/* Any bytes as JSON: into records of several types, and through the reader without a type.
 * Whatever a type accepts the reader accepts, and it survives a round trip. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "record/codec.h"
#include "record/json_reader.h"

struct line {
    float amount;
    leat_list tags;
};
LEAT_RECORD(line, LEAT_OPTIONAL(amount), LEAT_LIST(tags, &leat_type_str));

struct event {
    leat_str user;
    int64_t timestamp_ms;
    uint64_t item;
    double price;
    leat_list lines;
    leat_list counts;
    struct line best;
    char kind[8];
    int8_t small;
    bool paid;
};
LEAT_RECORD(event, LEAT_OPTIONAL(user), LEAT_OPTIONAL(timestamp_ms), LEAT_OPTIONAL(item),
            LEAT_OPTIONAL(price), LEAT_LIST(lines, &line_type), LEAT_LIST(counts, &leat_type_i64),
            LEAT_SUB(best, &line_type), LEAT_OPTIONAL(kind), LEAT_OPTIONAL(small),
            LEAT_OPTIONAL(paid));

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Every access to every value; returns how many there are. */
static size_t visit(leat__json value, unsigned depth)
{
    bool flag;
    int64_t i64;
    uint64_t u64;
    double f64;
    leat_str text;
    leat__json_type type = leat__json_type_of(value);
    bool is_i64 = leat__json_get_i64(value, &i64), is_u64 = leat__json_get_u64(value, &u64);
    bool is_f64 = leat__json_get_f64(value, &f64);
    LEAT_ASSERT(!(is_i64 || is_u64) || (is_f64 && type == LEAT__JSON_NUMBER));
    LEAT_ASSERT(leat__json_get_bool(value, &flag) == (type == LEAT__JSON_BOOL));
    LEAT_ASSERT(leat__json_get_str(value, &text) == (type == LEAT__JSON_STRING));
    LEAT_ASSERT(type != LEAT__JSON_STRING || leat__utf8_valid(text));
    LEAT_ASSERT(leat__json_text(value).length > 0 && depth <= 64);
    size_t values = 1, direct = 0;
    for (leat__json_each each = leat__json_each_of(value); leat__json_next(&each); direct++) {
        LEAT_ASSERT((each.name.data != NULL) == (type == LEAT__JSON_OBJECT));
        values += visit(each.value, depth + 1);
    }
    LEAT_ASSERT(direct == leat__json_count(value));
    return values;
}

static bool reader_accepts(leat_str text)
{
    leat__json_reader *reader = leat__json_reader_new();
    leat__json root;
    leat_error error;
    bool accepted = leat__json_open(reader, text, &root, &error) == LEAT_OK;
    if (accepted)
        visit(root, 1);
    leat__json_reader_free(reader);
    return accepted;
}

static void round_trip(const leat_type *type, const void *record)
{
    leat_json_decoder *decoder = leat_json_decoder_new();
    char *json = leat_json_encode(type, record), *again_json;
    void *again = malloc(type->size_bytes);
    leat_error error;
    LEAT_ASSERT(leat_json_decode(decoder, type, leat_str_from(json), again, &error) == LEAT_OK);
    again_json = leat_json_encode(type, again);
    LEAT_ASSERT(strcmp(json, again_json) == 0);
    free(again);
    free(json);
    free(again_json);
    leat_json_decoder_free(decoder);
}

static void decode_as(const leat_type *type, leat_str text, bool is_json)
{
    leat_json_decoder *decoder = leat_json_decoder_new();
    void *record = malloc(type->size_bytes);
    leat_error error;
    if (leat_json_decode(decoder, type, text, record, &error) == LEAT_OK) {
        LEAT_ASSERT(is_json);
        round_trip(type, record);
    }
    leat__arena arena = {0};
    if (leat__json_decode_into(decoder, &arena, type, text, LEAT__STRINGS_IN_ARENA, record, NULL) ==
        LEAT_OK)
        round_trip(type, record);
    leat__arena_free(&arena);
    free(record);
    leat_json_decoder_free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const leat_type *const types[] = {&event_type,    &line_type,      &leat_type_i64,
                                             &leat_type_f64, &leat_type_bool, &leat_type_str};
    leat_str text = {(const char *)bytes, length}, rest = text, line;
    bool is_json = reader_accepts(text);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        decode_as(types[i], text, is_json);
    while (leat__json_next_line(&rest, &line))
        LEAT_ASSERT(line.length > 0);
    return 0;
}
