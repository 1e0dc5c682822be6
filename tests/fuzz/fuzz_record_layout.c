/* "LAYOUT\nBYTES": a stored layout text, as damaged as it may be, and stored bytes to migrate. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "record/migration.h"

struct line {
    leat_str item;
    int64_t amount;
};
LEAT_RECORD(line, item, amount);

struct click {
    leat_str user;
    int64_t number;
    double ratio;
    leat_list lines;
    leat_list counts;
    struct line best;
};
LEAT_RECORD(click, user, number, ratio, LEAT_LIST(lines, &line_type),
            LEAT_LIST(counts, &leat_type_u64), LEAT_SUB(best, &line_type));

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const uint8_t *end = length != 0 ? memchr(bytes, '\n', length) : NULL;
    size_t layout_length = end != NULL ? (size_t)(end - bytes) : length;
    size_t rest = end != NULL ? length - layout_length - 1 : 0;
    leat_str record_bytes = {end != NULL ? (const char *)end + 1 : "", rest};
    char *layout = leat__strndup(length != 0 ? (const char *)bytes : "", layout_length);
    leat_error error;
    leat__migration *migration = leat__migration_new(layout, &click_type, &error);
    if (migration != NULL) {
        leat__arena arena = {0};
        struct click click;
        if (leat__migration_decode(migration, &arena, record_bytes, LEAT__STRINGS_IN_INPUT, &click,
                                   &error) == LEAT_OK)
            free(leat_json_encode(&click_type, &click));
        leat__arena_free(&arena);
    }
    leat__migration_free(migration);
    leat__free(layout);
    return 0;
}
