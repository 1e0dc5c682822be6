/* log/kafka/older.h - what librdkafka before 2.15 lacks, for LIBRDKAFKA=system. */
#ifndef LEAT_LOG_KAFKA_OLDER_H
#define LEAT_LOG_KAFKA_OLDER_H
#include <librdkafka/rdkafka.h>

#if RD_KAFKA_VERSION < 0x020f00ff
#include <string.h>
#define RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID ((rd_kafka_resp_err_t)100) /* of the protocol */
#define RD_KAFKA_RESP_ERR__DESTROY_BROKER ((rd_kafka_resp_err_t)-137)

/* Only the serialized form tells it: "CGMDv2:", the generation as this machine writes it, names.
 * -1, which nobody is let in with (R7): another form. */
static inline int32_t rd_kafka_consumer_group_metadata_generation_id(
    const rd_kafka_consumer_group_metadata_t *metadata)
{
    static const char form[7] = {'C', 'G', 'M', 'D', 'v', '2', ':'};
    void *bytes = NULL;
    size_t size = 0;
    int32_t generation = -1;
    rd_kafka_error_t *failure = rd_kafka_consumer_group_metadata_write(metadata, &bytes, &size);
    if (failure != NULL) {
        rd_kafka_error_destroy(failure);
        return -1;
    }
    if (size >= sizeof form + sizeof generation && memcmp(bytes, form, sizeof form) == 0)
        memcpy(&generation, (const char *)bytes + sizeof form, sizeof generation);
    rd_kafka_mem_free(NULL, bytes);
    return generation;
}
#endif
#endif
