/* Any bytes through the file loader: every format by name and by the first line, compressed or not.
 */
#include <stdint.h>
#include <stdlib.h>

#include "apps/recommender/events/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(void *arg, const interaction *event)
{
    uint64_t *sum = arg;
    if (event->user_id.length == 0 || event->item_id.length == 0)
        abort();
    if (event->user_id.length > EVENT_ID_BYTES_MAX || event->item_id.length > EVENT_ID_BYTES_MAX)
        abort();
    for (size_t i = 0; i < event->item_id.length; i++)
        *sum += (unsigned char)event->item_id.data[i];
    for (size_t i = 0; i < event->category.length; i++)
        *sum += (unsigned char)event->category.data[i];
    return true;
}

static void refuse(void *arg, const load_reject *reject)
{
    uint64_t *sum = arg;
    if (reject->line == 0 || reject->reason[0] == '\0')
        abort();
    *sum += reject->line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {NULL,  "leat",      "serenade", "retailrocket", "rees46",
                                          "csv", "yoochoose", "taobao",   "diginetica"};
    if (size == 0)
        return 0;
    uint64_t sum = 0;
    load_options options = {.format = formats[data[0] % (sizeof formats / sizeof formats[0])],
                            .arg = &sum,
                            .on_interaction = take,
                            .on_reject = refuse};
    load_result result;
    leat_status status = load_bytes(data + 1, size - 1, &options, &result, NULL);
    if (status == LEAT_OK && result.interactions + result.rejected > result.lines)
        abort();
    return 0;
}
