/* Any text as what follows "kafka:" in a log's URL: settings that can be used, or an error that
 * says which part is wrong. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "log/kafka/kafka.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    leat__kafka_options options = {0};
    leat_error error = {0};
    if (strstr(text, "config") != NULL) { /* would read any file */
        free(text);
        return 0;
    }
    if (leat__kafka_parse(text, NULL, &options, &error) == LEAT_OK) {
        LEAT_ASSERT(options.servers != NULL && options.servers[0] != '\0');
        LEAT_ASSERT(options.connect_timeout_ms > 0 && options.append_timeout_ms > 0);
        for (size_t i = 0; i < options.setting_count; i++)
            LEAT_ASSERT(options.settings[i].key[0] != '\0' && options.settings[i].value != NULL);
    } else {
        LEAT_ASSERT(error.message[0] != '\0');
    }
    leat__kafka_options_free(&options);
    free(text);
    return 0;
}
