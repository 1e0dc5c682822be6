/* state/snapshot_manifest.c - leat.snapshot: written once, read wholly or not at all.
 *
 *   "LEATSNAP" [format][made_ms][job][instance]
 *              [count] {[changelog][topic id]} ...                  not in format 1
 *              [count] {[name][bytes][crc]} ... [crc of all]
 *               └ read before the check sum: a newer version may have another (R26) */
#include "state/snapshot_manifest.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 2, CRC_BYTES = 4, MANIFEST_BYTES_MAX = 64 << 20, TOPICS_MAX = 1 << 16 };
static const leat_str magic = {"LEATSNAP", 8};

static char *path_of(const char *snapshot)
{
    return leat__format("%s/leat.snapshot", snapshot);
}

void leat__manifest_add(leat__manifest *manifest, leat__manifest_file file)
{
    manifest->files = leat__realloc(manifest->files, manifest->count + 1, sizeof *manifest->files);
    file.name = leat__arena_str(&manifest->arena, file.name);
    manifest->files[manifest->count++] = file;
}

const leat__manifest_file *leat__manifest_find(const leat__manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->count; i++)
        if (leat_str_equal(manifest->files[i].name, leat_str_from(name)))
            return &manifest->files[i];
    return NULL;
}

void leat__manifest_free(leat__manifest *manifest)
{
    leat__free(manifest->files);
    leat__arena_free(&manifest->arena);
    *manifest = (leat__manifest){0};
}

/* ---------------------------------------------------------------- writing */

static void append(leat__buffer *out, const leat__manifest *manifest)
{
    leat__buffer_bytes(out, magic.data, magic.length);
    leat__buffer_u8(out, FORMAT);
    leat__buffer_u64(out, (uint64_t)manifest->made_ms);
    leat__buffer_str(out, manifest->job);
    leat__buffer_str(out, manifest->instance);
    leat__buffer_varint(out, manifest->topic_count);
    for (size_t i = 0; i < manifest->topic_count; i++) {
        leat__buffer_str(out, leat_str_from(manifest->topics[i].name));
        leat__buffer_u64(out, manifest->topics[i].id);
    }
    leat__buffer_varint(out, manifest->count);
    for (size_t i = 0; i < manifest->count; i++) {
        leat__buffer_str(out, manifest->files[i].name);
        leat__buffer_u64(out, manifest->files[i].bytes);
        leat__buffer_u32(out, manifest->files[i].crc);
    }
    leat__buffer_u32(out, leat__crc32c(0, out->data, out->length));
}

leat_status leat__manifest_write(const leat__manifest *manifest, const char *snapshot,
                                 leat_error *error)
{
    char *path = path_of(snapshot);
    leat__buffer bytes = {0};
    append(&bytes, manifest);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    leat_status status = LEAT_OK;
    if (file < 0 || !leat__write_all(file, bytes.data, bytes.length) || fsync(file) != 0)
        status = leat__fail(error, leat__errno_status(errno), LEAT_RECOVERY_RETRY, path,
                            "can't write %s: %s", path, strerror(errno));
    if (file >= 0)
        (void)close(file);
    leat__buffer_free(&bytes);
    leat__free(path);
    return status;
}

/* ---------------------------------------------------------------- reading */

static leat_status damaged(const char *snapshot, leat_error *error)
{
    return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, snapshot,
                      "its leat.snapshot is damaged");
}

/* Room for one more byte, so that one that grows is noticed. */
static leat_status read_bytes(leat__buffer *bytes, const char *snapshot, leat_error *error)
{
    char *path = path_of(snapshot);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int cause = errno;
    leat__free(path);
    if (file < 0)
        return leat__fail(error, cause == ENOENT ? LEAT_ENOTFOUND : leat__errno_status(cause),
                          LEAT_RECOVERY_FATAL, snapshot, "can't open its leat.snapshot: %s",
                          strerror(cause));
    struct stat info;
    leat_status status = LEAT_OK;
    if (fstat(file, &info) != 0 || info.st_size > MANIFEST_BYTES_MAX)
        status = damaged(snapshot, error);
    while (status == LEAT_OK) {
        leat__buffer_reserve(bytes, 4096);
        ssize_t count = read(file, bytes->data + bytes->length, 4096);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            status = leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, snapshot,
                                "can't read its leat.snapshot: %s", strerror(errno));
        if (count <= 0)
            break;
        bytes->length += (size_t)count;
    }
    (void)close(file);
    return status;
}

static void parse_topics(leat__manifest *manifest, leat__reader *reader)
{
    uint64_t count = leat__read_varint(reader);
    reader->failed |= count > TOPICS_MAX;
    if (reader->failed)
        return;
    leat__snapshot_topic *topics =
        leat__arena_alloc(&manifest->arena, (size_t)(count + 1) * sizeof *topics);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        leat_str name = leat__read_str(reader);
        uint64_t id = leat__read_u64(reader);
        char *copy = leat__arena_alloc(&manifest->arena, name.length + 1);
        if (name.length != 0)
            memcpy(copy, name.data, name.length);
        copy[name.length] = '\0';
        topics[manifest->topic_count++] = (leat__snapshot_topic){copy, id};
    }
    manifest->topics = topics;
}

static void parse(leat__manifest *manifest, uint8_t format, leat__reader *reader)
{
    manifest->made_ms = (int64_t)leat__read_u64(reader);
    manifest->job = leat__arena_str(&manifest->arena, leat__read_str(reader));
    manifest->instance = leat__arena_str(&manifest->arena, leat__read_str(reader));
    if (format > 1)
        parse_topics(manifest, reader);
    uint64_t count = leat__read_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        leat__manifest_file file = {.name = leat__read_str(reader)};
        file.bytes = leat__read_u64(reader);
        file.crc = leat__read_u32(reader);
        if (!reader->failed)
            leat__manifest_add(manifest, file);
    }
}

leat_status leat__manifest_read(leat__manifest *manifest, const char *snapshot, leat_error *error)
{
    *manifest = (leat__manifest){0};
    leat__buffer bytes = {0};
    leat_status status = read_bytes(&bytes, snapshot, error);
    size_t head = magic.length + 1;
    if (status == LEAT_OK &&
        (bytes.length < head + CRC_BYTES || memcmp(bytes.data, magic.data, magic.length) != 0))
        status = damaged(snapshot, error);
    uint8_t format = status == LEAT_OK ? (uint8_t)bytes.data[magic.length] : 0;
    if (status == LEAT_OK && (format == 0 || format > FORMAT)) /* R26: before the check sum */
        status = leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, snapshot,
                            "made by a newer version of leat (format %d, this one reads %d)",
                            format, FORMAT);
    if (status == LEAT_OK) {
        size_t length = bytes.length - CRC_BYTES;
        leat__reader sum = {.next = bytes.data + length, .end = bytes.data + bytes.length};
        leat__reader reader = {.next = bytes.data + head, .end = bytes.data + length};
        if (leat__read_u32(&sum) == leat__crc32c(0, bytes.data, length))
            parse(manifest, format, &reader);
        else
            reader.failed = true;
        if (reader.failed || reader.next != reader.end)
            status = damaged(snapshot, error);
    }
    leat__buffer_free(&bytes);
    return status;
}
