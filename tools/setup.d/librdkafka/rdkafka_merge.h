/* rdkafka_merge.h - see rdkafka_merge.c */
#ifndef _RDKAFKA_MERGE_H_
#define _RDKAFKA_MERGE_H_

/* Called when `first`, the head of rkb->rkb_outbufs, is about to be sent: replaces it and what can
 * go with it by one request, now the head.  Returns the head.  Connection's thread. */
rd_kafka_buf_t *rd_kafka_merge_produce(rd_kafka_broker_t *rkb, rd_kafka_buf_t *first);

#endif
