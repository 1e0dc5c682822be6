/* log/kafka/topic_id.c - which topic has a name now: its id, the cluster's UUID folded to 64 bits.
 *
 *   consumer ── metadata ──► may bring another topic's id under the name: the client then goes on
 *               at us M      fetching from that one, at the old offset, and does not say so
 *   reader   ── messages ──► asked for the id after M?  no: ask, before any of them is believed
 *
 * Brokers answer fetches by id, so only metadata changes what is fetched. When they last came is
 * noted before the client reads them (interceptor); an answer about the topic that was asked for
 * after that is shared by all readers of it.
 */
#include "base/error.h"
#include "log/kafka/kafka.h"
#include <inttypes.h>

#if RD_KAFKA_VERSION >= 0x020300ff

static void send_describe(rd_kafka_t *handle, const void *what, rd_kafka_AdminOptions_t *options,
                          rd_kafka_queue_t *queue)
{
    const char *name = what;
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&name, 1);
    rd_kafka_DescribeTopics(handle, topics, options, queue);
    rd_kafka_TopicCollection_destroy(topics);
}

static uint64_t fold(const rd_kafka_Uuid_t *uuid)
{
    return (uint64_t)rd_kafka_Uuid_most_significant_bits(uuid) ^
           (uint64_t)rd_kafka_Uuid_least_significant_bits(uuid);
}

leat_status leat__kafka_ask_id(leat__kafka *log, const char *cluster_name, uint64_t *id, bool *gone,
                               leat_error *error)
{
    rd_kafka_event_t *event;
    *id = 0;
    *gone = false;
    leat_status status = leat__kafka_administer(log, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                                                send_describe, cluster_name, &event, error);
    if (status != LEAT_OK)
        return status == LEAT_EACCES || status == LEAT_EVERSION ? LEAT_OK : status;
    size_t count;
    const rd_kafka_TopicDescription_t **topics =
        rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &count);
    const rd_kafka_error_t *failure =
        count == 1 ? rd_kafka_TopicDescription_error(topics[0]) : NULL;
    rd_kafka_resp_err_t code =
        failure == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(failure);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        *gone = true;
    else if (code == RD_KAFKA_RESP_ERR_NO_ERROR && count == 1)
        *id = fold(rd_kafka_TopicDescription_topic_id(topics[0]));
    else if (code != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        status =
            leat__kafka_fail(error, code, cluster_name, "the id of topic '%.80s'", cluster_name);
    rd_kafka_event_destroy(event);
    return status;
}

#else

leat_status leat__kafka_ask_id(leat__kafka *log, const char *cluster_name, uint64_t *id, bool *gone,
                               leat_error *error)
{
    (void)log, (void)cluster_name, (void)error;
    *id = 0;
    *gone = false;
    return LEAT_OK;
}

#endif
