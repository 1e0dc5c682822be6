/* Any bytes as a binary record: the first two choose a random type, the rest is decoded.  What is
 * accepted encodes to the same bytes; its copy too; and it goes out as JSON.  The same bytes behind
 * the head of a topic's record: taken for the type that wrote them, refused for any other. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "record/headed.h"
#include "tests/unit/record/random_records.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void assert_encodes_to(const leat_type *type, const void *record, leat_str bytes)
{
    leat__buffer buffer = {0};
    leat__binary_append(&buffer, type, record);
    LEAT_ASSERT(buffer.length == bytes.length);
    LEAT_ASSERT(memcmp(buffer.data, bytes.data, bytes.length) == 0);
    leat__buffer_free(&buffer);
}

/* R26, S4: what a reader with this type makes of the fields of a record that `writer` wrote. */
static void read_headed(const leat_type *type, const leat_type *writer, leat_str fields)
{
    leat__arena arena = {0};
    leat_error error;
    void *record = malloc(type->size_bytes);
    uint32_t own = leat__type_fingerprint(type), its = leat__type_fingerprint(writer);
    leat__buffer input = {0}, again = {0};
    leat__headed_reader *reader = leat__headed_reader_new(type, NULL, NULL, &error);
    LEAT_ASSERT(reader != NULL);
    leat__buffer_u8(&input, 2);
    leat__buffer_u32(&input, its);
    leat__buffer_bytes(&input, fields.data, fields.length);
    leat_status status = leat__headed_decode(reader, &arena, (leat_str){input.data, input.length},
                                             LEAT__STRINGS_IN_INPUT, record, &error);
    LEAT_ASSERT((status == LEAT_ETYPE) == (own != its));
    if (status == LEAT_OK) {
        leat__headed_append(&again, type, own, record);
        LEAT_ASSERT(again.length == input.length);
        LEAT_ASSERT(memcmp(again.data, input.data, input.length) == 0);
    }
    leat__headed_reader_free(reader);
    leat__buffer_free(&input);
    leat__buffer_free(&again);
    leat__arena_free(&arena);
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 2)
        return 0;
    random_world world = {.random.state = bytes[0] + 256u * bytes[1]};
    const leat_type *type = random_type(&world, 0);
    leat_str input = {(const char *)bytes + 2, length - 2};
    leat__arena arena = {0}, copies = {0};
    leat_error error;
    void *record = malloc(type->size_bytes), *copy = malloc(type->size_bytes);
    if (leat__binary_decode_into(&arena, type, input, LEAT__STRINGS_IN_INPUT, record, &error) ==
        LEAT_OK) {
        assert_encodes_to(type, record, input);
        leat__record_copy(&copies, type, record, copy);
        leat__arena_free(&arena);
        assert_encodes_to(type, copy, input);
        free(leat_json_encode(type, copy));
    }
    read_headed(type, type, input);
    read_headed(type, random_type(&world, 0), input);
    free(copy);
    free(record);
    leat__arena_free(&copies);
    leat__arena_free(&arena);
    random_world_free(&world);
    return 0;
}
