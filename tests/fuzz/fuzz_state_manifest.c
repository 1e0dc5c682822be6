/* Any bytes as leat.snapshot: refused, or read, and then written and read again without a
 * difference.  The last four are made the checksum of the others, which no fuzzer would guess; with
 * an odd first byte they are left as they are. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "state/snapshot_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/leat-fuzz-manifest-XXXXXX";
static char path[sizeof folder + 16];

static void remove_folder(void)
{
    (void)unlink(path);
    (void)rmdir(folder);
}

static void write_file(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
}

static void assert_alike(const leat__manifest *a, const leat__manifest *b)
{
    LEAT_ASSERT(leat_str_equal(a->job, b->job) && leat_str_equal(a->instance, b->instance));
    LEAT_ASSERT(a->made_ms == b->made_ms && a->count == b->count &&
                a->topic_count == b->topic_count);
    for (size_t i = 0; i < a->count; i++)
        LEAT_ASSERT(leat_str_equal(a->files[i].name, b->files[i].name) &&
                    a->files[i].bytes == b->files[i].bytes && a->files[i].crc == b->files[i].crc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (path[0] == '\0') {
        if (mkdtemp(folder) == NULL)
            abort();
        (void)snprintf(path, sizeof path, "%s/leat.snapshot", folder);
        (void)atexit(remove_folder);
    }
    if (size < 1)
        return 0;
    char *bytes = malloc(size + 4);
    size_t length = size - 1;
    memcpy(bytes, data + 1, length);
    if (data[0] % 2 == 0) {
        uint32_t crc = leat__crc32c(0, bytes, length);
        memcpy(bytes + length, &crc, sizeof crc);
        length += sizeof crc;
    }
    write_file(bytes, length);
    free(bytes);
    leat__manifest manifest = {0}, again = {0};
    leat_error error = {0};
    leat_status status = leat__manifest_read(&manifest, folder, &error);
    LEAT_ASSERT(status == LEAT_OK || error.message[0] != '\0');
    if (status == LEAT_OK) {
        (void)unlink(path); /* written once */
        LEAT_ASSERT(leat__manifest_write(&manifest, folder, &error) == LEAT_OK);
        LEAT_ASSERT(leat__manifest_read(&again, folder, &error) == LEAT_OK);
        assert_alike(&manifest, &again);
    }
    leat__manifest_free(&manifest);
    leat__manifest_free(&again);
    return 0;
}
