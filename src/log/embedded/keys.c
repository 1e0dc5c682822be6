#include "log/embedded/store.h"

enum { TOPIC_FORMAT = 2 };

static char *put_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (24 - 8 * i));
    return at + 4;
}

static char *put_text(char *at, const char *text)
{
    while (*text != '\0')
        *at++ = *text++;
    return at;
}

size_t leat__embedded_key_topic(char *key, const char *name)
{
    key[0] = 'T';
    return (size_t)(put_text(key + 1, name) - key);
}

size_t leat__embedded_key_partition(char *key, uint32_t number, uint32_t partition)
{
    key[0] = 'P';
    return (size_t)(put_u32(put_u32(key + 1, number), partition) - key);
}

size_t leat__embedded_key_record(char *key, uint32_t number, uint32_t partition, int64_t last)
{
    key[0] = 'R';
    char *at = put_u32(put_u32(key + 1, number), partition);
    at = put_u32(at, (uint32_t)((uint64_t)last >> 32));
    return (size_t)(put_u32(at, (uint32_t)last) - key);
}

int64_t leat__embedded_last_of_key(const char *key)
{
    uint64_t last = 0;
    for (int i = 9; i < 17; i++)
        last = last << 8 | (uint8_t)key[i];
    return (int64_t)last;
}

size_t leat__embedded_key_offset(char *key, const char *group, const char *topic,
                                 uint32_t partition)
{
    key[0] = 'O';
    char *at = put_text(key + 1, group);
    *at++ = '\0';
    at = put_text(at, topic);
    *at++ = '\0';
    return (size_t)(put_u32(at, partition) - key);
}

size_t leat__embedded_key_instance(char *key, const char *group, const char *instance)
{
    key[0] = 'S';
    char *at = put_text(key + 1, group);
    *at++ = '\0';
    at = put_text(at, instance);
    *at++ = '\0';
    return (size_t)(at - key);
}

void leat__embedded_encode_topic(leat__buffer *out, const embedded_topic *topic)
{
    leat__buffer_u8(out, TOPIC_FORMAT);
    leat__buffer_u32(out, topic->number);
    leat__buffer_u32(out, topic->opts.partition_count);
    leat__buffer_u8(out, topic->opts.compacted);
    leat__buffer_u64(out, (uint64_t)topic->opts.retention_ms);
    leat__buffer_u64(out, (uint64_t)topic->opts.retention_bytes);
    leat__buffer_u64(out, topic->opts.id);
}

bool leat__embedded_decode_topic(leat_str value, uint32_t *number, leat_topic_opts *opts)
{
    leat__reader reader = leat__reader_of(value);
    uint8_t version = leat__read_u8(&reader);
    *number = leat__read_u32(&reader);
    opts->partition_count = leat__read_u32(&reader);
    opts->compacted = leat__read_u8(&reader) != 0;
    opts->retention_ms = (int64_t)leat__read_u64(&reader);
    opts->retention_bytes = (int64_t)leat__read_u64(&reader);
    opts->id = version == 1 ? 0 : leat__read_u64(&reader); /* R26: N reads N - 1 */
    return !reader.failed && (version == 1 || version == TOPIC_FORMAT) &&
           opts->partition_count >= 1 && opts->partition_count <= 1024;
}

void leat__embedded_encode_partition(leat__buffer *out, const embedded_partition *partition,
                                     int64_t begin, int64_t bytes_before_begin)
{
    leat__buffer_u8(out, 1);
    leat__buffer_u64(out, (uint64_t)begin);
    leat__buffer_u64(out, (uint64_t)bytes_before_begin);
    leat__buffer_u64(out, (uint64_t)partition->cleaned_to);
    leat__buffer_u64(out, (uint64_t)partition->survivors);
    leat__buffer_u64(out, (uint64_t)partition->tombstones_until_ms);
}

bool leat__embedded_decode_partition(leat_str value, embedded_partition *partition)
{
    leat__reader reader = leat__reader_of(value);
    uint8_t version = leat__read_u8(&reader);
    atomic_store(&partition->begin, (int64_t)leat__read_u64(&reader));
    partition->bytes_before_begin = (int64_t)leat__read_u64(&reader);
    partition->cleaned_to = (int64_t)leat__read_u64(&reader);
    partition->survivors = (int64_t)leat__read_u64(&reader);
    partition->tombstones_until_ms = (int64_t)leat__read_u64(&reader);
    return !reader.failed && version == 1 && atomic_load(&partition->begin) >= 0 &&
           partition->cleaned_to >= 0;
}
