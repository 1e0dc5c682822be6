/* engine/member_entry.c - one entry of the members topic, in memory and as bytes. */
#include "base/error.h"
#include "base/limits.h"
#include "engine/members.h"

enum { FORMAT = 1, TOPICS_MAX = 1024, NAME_BYTES_MAX = 255 };

static const char *arena_text(leat__arena *arena, leat_str text)
{
    char *copy = leat__arena_alloc(arena, text.length + 1);
    if (text.length != 0)
        memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return copy;
}

leat__member leat__member_make(const char *instance, const char *address)
{
    leat__member member = {.arena.chunk_bytes = 512};
    member.instance = arena_text(&member.arena, leat_str_from(instance));
    member.address = arena_text(&member.arena, leat_str_from(address));
    return member;
}

void leat__member_free(leat__member *member)
{
    leat__arena_free(&member->arena);
    *member = (leat__member){0};
}

void leat__member_set_owned(leat__member *member, const leat_log_partition *owned, size_t count)
{
    leat__arena *arena = &member->arena;
    member->topic_count = 0;
    member->topics = leat__arena_alloc(arena, count * sizeof *member->topics);
    leat__member_topic *topic = NULL;
    for (size_t i = 0; i < count; i++) { /* the partitions of a topic stand together, ascending */
        if (topic == NULL || strcmp(topic->topic, owned[i].topic) != 0) {
            topic = &member->topics[member->topic_count++];
            topic->topic = arena_text(arena, leat_str_from(owned[i].topic));
            topic->partitions = leat__arena_alloc(arena, (count - i) * sizeof *topic->partitions);
            topic->count = 0;
        }
        topic->partitions[topic->count++] = owned[i].partition;
    }
}

bool leat__member_owns(const leat__member *member, const char *topic, uint32_t partition)
{
    for (size_t t = 0; t < member->topic_count; t++) {
        if (strcmp(member->topics[t].topic, topic) != 0)
            continue;
        for (size_t i = 0; i < member->topics[t].count; i++)
            if (member->topics[t].partitions[i] == partition)
                return true;
    }
    return false;
}

void leat__member_encode(const leat__member *member, leat__buffer *value)
{
    leat__buffer_u8(value, FORMAT);
    leat__buffer_u8(value, (uint8_t)member->state);
    leat__buffer_u64(value, member->incarnation);
    leat__buffer_u64(value, (uint64_t)member->generation);
    leat__buffer_str(value, leat_str_from(member->instance));
    leat__buffer_str(value, leat_str_from(member->address));
    leat__buffer_varint(value, member->topic_count);
    for (size_t t = 0; t < member->topic_count; t++) {
        leat__buffer_str(value, leat_str_from(member->topics[t].topic));
        leat__buffer_varint(value, member->topics[t].count);
        for (size_t i = 0; i < member->topics[t].count; i++)
            leat__buffer_varint(value, member->topics[t].partitions[i]);
    }
}

static const char *read_name(leat__reader *reader, leat__arena *arena)
{
    leat_str text = leat__read_str(reader);
    if (text.data == NULL || text.length > NAME_BYTES_MAX ||
        memchr(text.data, '\0', text.length) != NULL)
        reader->failed = true;
    return reader->failed ? "" : arena_text(arena, text);
}

static void read_topic(leat__reader *reader, leat__arena *arena, leat__member_topic *topic)
{
    topic->topic = read_name(reader, arena);
    uint64_t count = leat__read_varint(reader);
    if (reader->failed || count > LEAT__PARTITIONS_MAX) {
        reader->failed = true;
        return;
    }
    topic->partitions = leat__arena_alloc(arena, (size_t)count * sizeof *topic->partitions);
    for (uint64_t before = 0; topic->count < count; topic->count++) {
        uint64_t partition = leat__read_varint(reader);
        if (reader->failed || partition >= LEAT__PARTITIONS_MAX ||
            (topic->count > 0 && partition <= before)) {
            reader->failed = true;
            return;
        }
        topic->partitions[topic->count] = (uint32_t)partition;
        before = partition;
    }
}

leat_status leat__member_decode(leat_str value, leat__member *member, leat_error *error)
{
    leat__reader reader = leat__reader_of(value);
    *member = (leat__member){.arena.chunk_bytes = 512};
    uint8_t format = leat__read_u8(&reader);
    if (!reader.failed && format > FORMAT) /* R26 */
        return leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, "members",
                          "an entry of format %u, newer than this program's %d", format, FORMAT);
    uint8_t state = leat__read_u8(&reader);
    member->incarnation = leat__read_u64(&reader);
    member->generation = (int64_t)leat__read_u64(&reader);
    member->instance = read_name(&reader, &member->arena);
    member->address = read_name(&reader, &member->arena);
    uint64_t topics = leat__read_varint(&reader);
    if (topics > TOPICS_MAX || format != FORMAT || state > LEAT__MEMBER_READY)
        reader.failed = true;
    member->state = (leat__member_state)state;
    if (!reader.failed)
        member->topics = leat__arena_alloc(&member->arena, (size_t)topics * sizeof *member->topics);
    while (!reader.failed && member->topic_count < topics) {
        leat__member_topic *topic = &member->topics[member->topic_count++];
        *topic = (leat__member_topic){0};
        read_topic(&reader, &member->arena, topic);
    }
    if (!reader.failed && reader.next == reader.end)
        return LEAT_OK;
    leat__member_free(member);
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "members", "a damaged entry");
}
