/* log/kafka/owners.c - whoever takes partitions over ends what a dead owner left open.
 *
 *   a commits:  offset of p, metadata "... /by/a"            the group's offsets name who wrote
 * last a dies inside a transaction: offset of p unstable, records of others held up behind it
 *   session over ─► generation 5: p is b's
 *   b asks for committed offsets ── named: a ── who is in the group now? ── b, c: a is gone
 *                                                                            │
 *                  a producer of a's transactional.id (R25), init_transactions, destroyed
 *                                                                            │
 *   the transaction is aborted, a's epoch is over ─► stable offsets (R5) ◄───┘
 *
 * Otherwise partitions wait until the transaction's time-out is over and the broker has looked for
 * such transactions, which it does every 10 s unless told otherwise.
 *
 * Only who is no member any more is fenced. Generations see to it that this stays so: a process of
 * that name has to join before it may open a transaction, which begins a generation after ours. An
 * evicted process that lives on could not commit anyway (R7); now its producer is refused, too, it
 * rewinds, and the group decides whether it joins again or ends (rejoin.c, R15). If ours hits a
 * process that came back this moment, that one finds nobody else under its name, makes a new
 * producer and does one epoch again. A transaction whose end was already asked for is waited for:
 * committed or aborted, it is so as a whole.
 */
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "log/kafka/member.h"

enum {
    FIRST_ASK_MS = 500, /* offsets that take longer are being written, or held by a transaction */
    ASK_TIMEOUT_MS = 10000,
    AS_THEY_ARE_TIMEOUT_MS = 5000,
    METADATA_BYTES_MAX = 4096, /* leat_log_offset; brokers take no more by default */
};

/* ------------------------------------------------------------------ who has written an offset */

/* No name has a '/': what follows the last one is the instance. */
static const leat_str mark = {"/by/", 4};

size_t leat__kafka_sign(const kafka_member *member, leat_str text, void **out)
{
    leat_str by = leat_str_from(member->instance);
    size_t all = text.length + mark.length + by.length;
    bool fits = member->guarantee == LEAT_EXACTLY_ONCE && all <= METADATA_BYTES_MAX;
    *out = NULL;
    if (!fits && text.length == 0)
        return 0;
    char *bytes = *out = rd_kafka_mem_malloc(NULL, all);
    if (text.length != 0)
        memcpy(bytes, text.data, text.length);
    if (!fits)
        return text.length;
    memcpy(bytes + text.length, mark.data, mark.length);
    memcpy(bytes + text.length + mark.length, by.data, by.length);
    return all;
}

leat_str leat__kafka_unsigned(const void *metadata, size_t length, leat_str *by)
{
    const char *text = metadata;
    size_t end = length;
    while (end > 0 && text[end - 1] != '/')
        end--;
    bool is_signed = end >= mark.length && end < length &&
                     memcmp(text + end - mark.length, mark.data, mark.length) == 0;
    *by = is_signed ? (leat_str){text + end, length - end} : (leat_str){0};
    size_t kept = is_signed ? end - mark.length : length;
    return (leat_str){kept == 0 ? NULL : text, kept};
}

/* ------------------------------------------------------------------ names */

static bool has_name(const kafka_names *names, leat_str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (leat_str_equal(leat_str_from(names->names[i]), name))
            return true;
    return false;
}

void leat__kafka_add_name(kafka_names *names, leat_str name)
{
    if (name.length == 0 || has_name(names, name))
        return;
    names->names = leat__realloc(names->names, names->count + 1, sizeof *names->names);
    names->names[names->count++] = leat__format("%.*s", (int)name.length, name.data);
}

void leat__kafka_names_free(kafka_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        leat__free(names->names[i]);
    leat__free(names->names);
    *names = (kafka_names){0};
}

static void add_writers(kafka_names *names, const rd_kafka_topic_partition_list_t *offsets)
{
    for (int i = 0; offsets != NULL && i < offsets->cnt; i++) {
        leat_str by;
        (void)leat__kafka_unsigned(offsets->elems[i].metadata, offsets->elems[i].metadata_size,
                                   &by);
        leat__kafka_add_name(names, by);
    }
}

/* ------------------------------------------------------------------ ending what they left */

static rd_kafka_topic_partition_list_t *all_sources(const kafka_member *member)
{
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < member->topic_count; i++) {
        char name[LEAT__KAFKA_NAME_BYTES];
        leat_topic_opts opts;
        if (leat__kafka_topic(member->log, member->topics[i], &opts, NULL) == LEAT_OK)
            rd_kafka_topic_partition_list_add_range(
                all, kafka_name(member->log, member->topics[i], name), 0,
                (int32_t)opts.partition_count - 1);
    }
    return all;
}

/* stable: what is committed for the partitions that are ours now; NULL: no answer came, so that
 * all of the group's offsets are looked at as they are. */
static void find_writers(const kafka_member *member, const rd_kafka_topic_partition_list_t *stable,
                         kafka_names *found)
{
    if (stable != NULL) {
        add_writers(found, stable);
        return;
    }
    leat_error error;
    rd_kafka_topic_partition_list_t *offsets = all_sources(member);
    if (leat__kafka_offsets_as_they_are(member->log, member->group, offsets, AS_THEY_ARE_TIMEOUT_MS,
                                        &error) != LEAT_OK)
        leat__log_line(LEAT__WARN, "kafka", "%s", error.message);
    add_writers(found, offsets);
    rd_kafka_topic_partition_list_destroy(offsets);
}

static bool is_gone(const kafka_member *member, const char *instance, const kafka_names *members)
{
    return strcmp(instance, member->instance) != 0 && !has_name(members, leat_str_from(instance));
}

/* R30: one attempt; if it fails, the transaction ends by its time-out. */
static bool fence(kafka_member *member, const char *instance)
{
    leat_error error;
    if (leat__kafka_fence(member, instance, &error) == LEAT_OK) {
        leat__log_line(LEAT__INFO, "kafka",
                       "group '%s': instance '%s' is gone; what it may have left open is over",
                       member->group, instance);
        return true;
    }
    leat__log_line(LEAT__WARN, "kafka", "group '%s': what '%s' may have left open ends later: %s",
                   member->group, instance, error.message);
    return false;
}

/* Once a generation. True: offsets may have changed, they are to be asked for again. */
static bool end_the_dead(kafka_member *member, const rd_kafka_topic_partition_list_t *stable)
{
    kafka_names writers = {0}, members = {0};
    int64_t generation = atomic_load(&member->generation);
    find_writers(member, stable, &writers);
    for (size_t i = 0; i < member->seen.count; i++)
        leat__kafka_add_name(&writers, leat_str_from(member->seen.names[i]));
    bool again = stable == NULL, done = leat__kafka_members_now(member, &members);
    for (size_t i = 0; i < writers.count && done; i++)
        if (is_gone(member, writers.names[i], &members)) {
            done = fence(member, writers.names[i]);
            again = true;
        }
    leat__kafka_names_free(&writers);
    if (done) {
        leat__kafka_names_free(&member->seen);
        member->seen = members;
        member->settled = generation;
    } else {
        leat__kafka_names_free(&members);
    }
    return again;
}

static rd_kafka_resp_err_t ask(kafka_member *member, rd_kafka_topic_partition_list_t *list,
                               int timeout_ms)
{
    rd_kafka_resp_err_t code = rd_kafka_committed(member->consumer, list, timeout_ms);
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        code = list->elems[i].err;
    return code;
}

rd_kafka_resp_err_t leat__kafka_ask_stable(kafka_member *member,
                                           rd_kafka_topic_partition_list_t *list)
{
    bool settled = member->guarantee != LEAT_EXACTLY_ONCE ||
                   member->settled == atomic_load(&member->generation);
    rd_kafka_resp_err_t code = ask(member, list, settled ? ASK_TIMEOUT_MS : FIRST_ASK_MS);
    if (settled || (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__TIMED_OUT))
        return code;
    bool stable = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    return end_the_dead(member, stable ? list : NULL) ? ask(member, list, ASK_TIMEOUT_MS) : code;
}
