/* log/embedded/handover_codec.c - frames of the handover, and what is in them.
 *
 *   0  4  "LEAT"
 *   4  1  version
 *   5  1  kind
 *   6  2  0
 *   8  4  length of the payload
 *  12  4  CRC32C of bytes 0 to 11 and of the payload
 *  16     payload
 *
 * Numbers are varints, texts have their length + 1 before them (0: absent). Nothing is believed:
 * counts are bounded before memory is taken, lengths by what is there.
 */
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "log/embedded/handover.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char magic[4] = "LEAT";

enum { RECORD_BYTES_MIN = 5, ERROR_TEXTS_MAX = 512 };

void handover_begin(leat__buffer *out)
{
    static const char head[HANDOVER_HEAD_BYTES];
    out->length = 0;
    leat__buffer_bytes(out, head, sizeof head);
}

static void put_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (8 * i));
}

void handover_end(leat__buffer *out, handover_kind kind)
{
    size_t length = out->length - HANDOVER_HEAD_BYTES;
    memcpy(out->data, magic, sizeof magic);
    out->data[4] = HANDOVER_VERSION;
    out->data[5] = (char)kind;
    put_u32(out->data + 8, (uint32_t)length);
    uint32_t crc = leat__crc32c(0, out->data, 12);
    put_u32(out->data + 12, leat__crc32c(crc, out->data + HANDOVER_HEAD_BYTES, length));
}

bool handover_head_read(const char bytes[HANDOVER_HEAD_BYTES], handover_head *head)
{
    leat__reader reader = {.next = bytes + sizeof magic, .end = bytes + HANDOVER_HEAD_BYTES};
    head->version = leat__read_u8(&reader);
    head->kind = leat__read_u8(&reader);
    uint16_t zero = leat__read_u16(&reader);
    head->length = leat__read_u32(&reader);
    head->crc = leat__read_u32(&reader);
    return memcmp(bytes, magic, sizeof magic) == 0 && zero == 0 &&
           head->length <= HANDOVER_PAYLOAD_MAX;
}

bool handover_payload_is_whole(const handover_head *head, const char *payload)
{
    char bytes[12];
    memcpy(bytes, magic, sizeof magic);
    bytes[4] = (char)head->version;
    bytes[5] = (char)head->kind;
    bytes[6] = bytes[7] = 0;
    put_u32(bytes + 8, head->length);
    return leat__crc32c(leat__crc32c(0, bytes, sizeof bytes), payload, head->length) == head->crc;
}

/* ------------------------------------------------------------------ payloads */

/* The topic is written where it differs from the record's before. */
void handover_put_records(leat__buffer *out, const leat_log_record *records, size_t count)
{
    const char *topic = "";
    leat__buffer_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        const leat_log_record *record = &records[i];
        bool same = strcmp(record->topic, topic) == 0;
        topic = record->topic;
        leat__buffer_str(out, same ? (leat_str){0} : leat_str_from(topic));
        leat__buffer_varint(out, record->partition);
        leat__buffer_zigzag(out, record->timestamp_ms);
        leat__buffer_str(out, record->key);
        leat__buffer_str(out, record->value);
    }
}

/* A name that can be a C string, as long as a topic's may be. */
static bool read_name(leat__reader *reader, leat_str *name)
{
    *name = leat__read_str(reader);
    return !reader->failed &&
           (name->data == NULL || (name->length != 0 && name->length <= LEAT__TOPIC_NAME_MAX &&
                                   memchr(name->data, 0, name->length) == NULL));
}

static bool read_record(leat__reader *reader, leat_log_record *record, leat__buffer *names,
                        size_t *topic_at)
{
    leat_str topic;
    if (!read_name(reader, &topic))
        return false;
    if (topic.data != NULL) {
        *topic_at = names->length;
        leat__buffer_bytes(names, topic.data, topic.length);
        leat__buffer_u8(names, 0);
    }
    uint64_t partition = leat__read_varint(reader);
    record->timestamp_ms = leat__read_zigzag(reader);
    record->key = leat__read_str(reader);
    record->value = leat__read_str(reader);
    record->partition = (uint32_t)partition;
    record->offset = (int64_t)*topic_at; /* of its name, until all names are there */
    return !reader->failed && partition <= UINT32_MAX && names->length != 0;
}

bool handover_get_records(leat_str payload, leat_log_record **records, size_t *count,
                          leat__buffer *names)
{
    leat__reader reader = leat__reader_of(payload);
    uint64_t announced = leat__read_varint(&reader);
    *records = NULL;
    *count = 0;
    names->length = 0;
    if (reader.failed || announced > HANDOVER_RECORDS_MAX ||
        announced > payload.length / RECORD_BYTES_MIN)
        return false;
    leat_log_record *read = leat__calloc(announced + 1, sizeof *read);
    size_t topic_at = 0;
    bool sound = true;
    for (uint64_t i = 0; i < announced && sound; i++)
        sound = read_record(&reader, &read[i], names, &topic_at);
    if (!sound || reader.next != reader.end) {
        leat__free(read);
        return false;
    }
    for (uint64_t i = 0; i < announced; i++) {
        read[i].topic = names->data + read[i].offset;
        read[i].offset = -1;
    }
    *records = read;
    *count = (size_t)announced;
    return true;
}

void handover_put_topic(leat__buffer *out, const char *topic, const leat_topic_opts *opts)
{
    leat__buffer_str(out, leat_str_from(topic));
    leat__buffer_varint(out, opts->partition_count);
    leat__buffer_u8(out, opts->compacted);
    leat__buffer_zigzag(out, opts->retention_ms);
    leat__buffer_zigzag(out, opts->retention_bytes);
    leat__buffer_u64(out, opts->id);
}

bool handover_get_topic(leat_str payload, leat__buffer *name, leat_topic_opts *opts)
{
    leat__reader reader = leat__reader_of(payload);
    leat_str topic;
    if (!read_name(&reader, &topic) || topic.data == NULL)
        return false;
    name->length = 0;
    leat__buffer_bytes(name, topic.data, topic.length);
    leat__buffer_u8(name, 0);
    uint64_t partitions = leat__read_varint(&reader);
    uint8_t compacted = leat__read_u8(&reader);
    *opts = (leat_topic_opts){.partition_count = (uint32_t)partitions, .compacted = compacted == 1};
    opts->retention_ms = leat__read_zigzag(&reader);
    opts->retention_bytes = leat__read_zigzag(&reader);
    opts->id = leat__read_u64(&reader);
    return !reader.failed && reader.next == reader.end && partitions <= UINT32_MAX &&
           compacted <= 1;
}

void handover_put_error(leat__buffer *out, const leat_error *error)
{
    leat__buffer_varint(out, (uint64_t)error->status);
    leat__buffer_varint(out, (uint64_t)error->recovery);
    leat__buffer_str(out, leat_str_from(error->where));
    leat__buffer_str(out, leat_str_from(error->message));
}

bool handover_get_error(leat__reader *reader, leat_error *error)
{
    uint64_t status = leat__read_varint(reader), recovery = leat__read_varint(reader);
    leat_str where = leat__read_str(reader), message = leat__read_str(reader);
    *error = (leat_error){0};
    if (reader->failed || status > LEAT_EVIOLATION || recovery > LEAT_RECOVERY_RETRY ||
        where.length > ERROR_TEXTS_MAX || message.length > ERROR_TEXTS_MAX)
        return false;
    error->status = (leat_status)status;
    error->recovery = (leat_recovery)recovery;
    (void)snprintf(error->where, sizeof error->where, "%.*s", (int)where.length, where.data);
    (void)snprintf(error->message, sizeof error->message, "%.*s", (int)message.length,
                   message.data);
    return true;
}

/* sun_path holds 108 bytes, and directories are longer at times. */
bool handover_address(const char *dir, struct sockaddr_un *address, int *dir_fd)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir_fd < 0)
        return false;
    (void)snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/leat.socket",
                   *dir_fd);
    return true;
}
