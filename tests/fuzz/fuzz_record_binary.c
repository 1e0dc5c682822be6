/* Any bytes as a binary record: the first two choose a random type, the rest is decoded.  What is
 * accepted encodes to the same bytes; its copy too; and it goes out as JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
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
    free(copy);
    free(record);
    leat__arena_free(&copies);
    leat__arena_free(&arena);
    random_world_free(&world);
    return 0;
}
