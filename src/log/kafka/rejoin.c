/* log/kafka/rejoin.c - after LOST: has a newer process taken this one's name, or was it only away?
 *
 *     session over, or "fenced" ─► LOST ─► who has our instance now?
 *                                             another member id ─► LEAT_EFENCED (R15)
 *                                             ours, or nobody   ─► a new consumer joins
 *                                             no answer         ─► asked again by a later poll
 *
 * The client can't tell: when its session ends it forgets its member id, and then either joins as
 * if it were the newer one (and would throw that one out), or sends a heartbeat without an id,
 * which brokers answer with "fenced" though nobody else is there (librdkafka #3437). Both happen
 * after each restart of a broker that takes longer than the session.
 */
#include "base/error.h"
#include "base/log_line.h"
#include "log/kafka/member.h"
#include <time.h>

enum { ASK_MS = 500, ASK_AGAIN_US = 200000, WAIT_STEP_MS = 50, UUID_BYTES = 36 };

typedef enum holder { HOLDER_UNKNOWN, HOLDER_NONE_OR_SELF, HOLDER_OTHER } holder;

/* A broker names a static member INSTANCE-UUID. */
static bool is_of_instance(const char *id, const char *instance)
{
    size_t length = strlen(instance);
    return strncmp(id, instance, length) == 0 && id[length] == '-' &&
           strlen(id + length + 1) == UUID_BYTES;
}

/* own: our last member id; "": we never had one, so that whoever has the name is another. */
static holder holder_in(const struct rd_kafka_group_info *group, const char *instance,
                        const char *own)
{
    if (group->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return HOLDER_UNKNOWN;
    for (int i = 0; i < group->member_cnt; i++) {
        const char *id = group->members[i].member_id;
        if (strcmp(id, own) == 0)
            return HOLDER_NONE_OR_SELF;
        if (is_of_instance(id, instance))
            return HOLDER_OTHER;
    }
    return HOLDER_NONE_OR_SELF;
}

/* What the group is now, to be destroyed; NULL: no answer. With the older of the client's two
 * calls: the newer one, DescribeConsumerGroups, tells instances by name, but fails an assertion now
 * and then when its coordinator is gone (2.15.1). */
static const struct rd_kafka_group_list *ask_group(kafka_member *member, const char *group,
                                                   bool *partial)
{
    const struct rd_kafka_group_list *groups = NULL;
    rd_kafka_resp_err_t code = rd_kafka_list_groups(member->log->admin, group, &groups, ASK_MS);
    rd_kafka_poll(member->log->admin, 0);
    *partial = code == RD_KAFKA_RESP_ERR__PARTIAL;
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || *partial ? groups : NULL;
}

static void own_member_id(kafka_member *member, char own[sizeof member->member_id])
{
    pthread_mutex_lock(&member->lock);
    memcpy(own, member->member_id, sizeof member->member_id);
    pthread_mutex_unlock(&member->lock);
}

static holder ask_holder(kafka_member *member)
{
    char name[LEAT__KAFKA_NAME_BYTES], own[sizeof member->member_id];
    own_member_id(member, own);
    bool partial;
    const char *group = kafka_name(member->log, member->group, name);
    const struct rd_kafka_group_list *groups = ask_group(member, group, &partial);
    if (groups == NULL)
        return HOLDER_UNKNOWN;
    holder found = partial ? HOLDER_UNKNOWN : HOLDER_NONE_OR_SELF;
    for (int i = 0; i < groups->group_cnt; i++)
        if (strcmp(groups->groups[i].group, group) == 0)
            found = holder_in(&groups->groups[i], member->instance, own);
    rd_kafka_group_list_destroy(groups);
    return found;
}

/* Cut off what the broker adds to an instance's name. */
static leat_str instance_of(const char *id)
{
    size_t length = strlen(id), added = UUID_BYTES + 1;
    return length <= added ? (leat_str){0} : (leat_str){id, length - added};
}

/* A coordinator that was replaced may still answer, with what it knew: an answer in which we are
 * not counts for nothing. */
static bool take_members(const struct rd_kafka_group_info *group, const char *own,
                         kafka_names *instances)
{
    bool there = false;
    for (int i = 0; group->err == RD_KAFKA_RESP_ERR_NO_ERROR && i < group->member_cnt; i++)
        there |= strcmp(group->members[i].member_id, own) == 0;
    for (int i = 0; there && i < group->member_cnt; i++)
        leat__kafka_add_name(instances, instance_of(group->members[i].member_id));
    return there;
}

bool leat__kafka_members_now(kafka_member *member, kafka_names *instances)
{
    char name[LEAT__KAFKA_NAME_BYTES], own[sizeof member->member_id];
    own_member_id(member, own);
    bool partial, there = false;
    const char *group = kafka_name(member->log, member->group, name);
    const struct rd_kafka_group_list *groups = ask_group(member, group, &partial);
    for (int i = 0; groups != NULL && i < groups->group_cnt; i++)
        if (strcmp(groups->groups[i].group, group) == 0)
            there |= take_members(&groups->groups[i], own, instances);
    if (groups != NULL)
        rd_kafka_group_list_destroy(groups);
    return there;
}

bool leat__kafka_is_fenced(kafka_member *member, int64_t wait_ms)
{
    if (member->topic_count == 0) /* no group that could tell */
        return false;
    int64_t until_us = leat__kafka_now_us(member->log) + wait_ms * 1000;
    do {
        if (ask_holder(member) == HOLDER_OTHER)
            return true;
        (void)nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_MS * 1000000L}, NULL);
    } while (leat__kafka_now_us(member->log) < until_us);
    return false;
}

leat_status leat__kafka_rejoin(kafka_member *member, leat_error *error)
{
    pthread_mutex_lock(&member->lock);
    bool busy = member->committing; /* it may be using the consumer */
    pthread_mutex_unlock(&member->lock);
    int64_t now_us = leat__kafka_now_us(member->log);
    if (busy || now_us < member->rejoin_after_us)
        return LEAT_OK;
    holder found = ask_holder(member);
    if (found == HOLDER_OTHER) {
        atomic_store(&member->fenced, true);
        return leat__kafka_fenced(member, error);
    }
    member->rejoin_after_us = leat__kafka_now_us(member->log) + ASK_AGAIN_US;
    if (found == HOLDER_UNKNOWN)
        return LEAT_OK;
    leat__log_line(LEAT__INFO, "kafka", "group '%s': instance '%s' joins again", member->group,
                   member->instance);
    leat__kafka_drop_consumer(member);
    leat_status status = leat__kafka_join_group(member, error);
    member->rejoin = status != LEAT_OK;
    return status;
}
