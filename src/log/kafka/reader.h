/* log/kafka/reader.h - readers, their positions, and the consumers that fetch for them.
 *
 *     reader A: clicks/0 ─ queue ◄──┐                  one fetch at a time per broker brings what
 *               clicks/1 ─ queue ◄──┼── consumer ◄──── all positions of all its readers want
 *     reader B: users/0  ─ queue ◄──┘
 *     reader C: clicks/0 ─ queue ◄───── consumer       a partition is fetched once per consumer
 *
 * A position has a queue of its own, so that a full partition cannot starve another. librdkafka
 * calls when a queue is no longer empty: the position is marked, the reader woken; a poll looks
 * only at marked ones.
 */
#ifndef LEAT_LOG_KAFKA_READER_H
#define LEAT_LOG_KAFKA_READER_H
#include "log/kafka/kafka.h"

typedef struct leat__kafka_reader leat__kafka_reader;
typedef struct leat__kafka_position leat__kafka_position;

struct leat__kafka_position {
    leat__kafka_reader *reader;
    char *topic; /* the caller's name; lent with records */
    uint32_t partition;
    uint64_t topic_id; /* 0: not known */
    int64_t next;      /* records below are dropped */
    int64_t reached;   /* so far it was read: the end is never before it */
    leat__kafka_consumer *consumer;
    leat__kafka_position *next_of_consumer;
    rd_kafka_topic_t *handle;
    rd_kafka_queue_t *queue;
    int64_t confirmed_us; /* the topic had its id after metadata that came then */
    atomic_bool ready;    /* the queue may hold something */
    atomic_bool gone;     /* the topic was deleted */
};

struct leat__kafka_reader {
    leat_log_reader base;
    leat__waker *waker;
    leat__kafka_position **positions;
    size_t position_count;
    size_t turn;               /* whose is the first at the next poll */
    rd_kafka_message_t **lent; /* of the last poll */
    size_t lent_count, lent_capacity;
    leat_error failure; /* status != LEAT_OK: for the next poll */
};

struct leat__kafka_consumer {
    rd_kafka_t *handle;
    const leat__kafka *log;
    _Atomic int64_t metadata_us; /* when the last ones came: topic_id.c */
    bool retired;                /* knows a topic that was deleted: takes no new positions */
    leat__kafka_position *positions;
    leat__kafka_consumer *next;
};

/* Gives the position a consumer that does not read its partition yet. */
leat_status leat__kafka_consumer_take(leat__kafka *log, leat__kafka_position *position,
                                      leat_error *error);
void leat__kafka_consumer_give(leat__kafka *log, leat__kafka_position *position);
/* The topic was deleted: its positions are gone, and their readers are woken. topic_id 0: whichever
 * they read. */
void leat__kafka_tell_readers(leat__kafka *log, const char *topic, uint64_t topic_id);
void leat__kafka_drop_consumers(leat__kafka *log); /* no reader is left */
#endif
