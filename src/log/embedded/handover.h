/* log/embedded/handover.h - how other processes write to a log that a running job holds.
 *
 *   leat produce                                        the job's process
 *   handle ─ leat.socket ─ frame: APPEND of a batch ──► one thread ─ leat_log_append (durable)
 *          ◄──────────────── frame: partitions, offsets ┘
 *
 * A frame is a head and a payload, see handover_codec.c and docs/formats.md. One answer per
 * request, in order; a client sends the next request after the answer. A batch is appended when all
 * of it has come and its checksum is right: all or nothing.
 */
#ifndef LEAT_LOG_EMBEDDED_HANDOVER_H
#define LEAT_LOG_EMBEDDED_HANDOVER_H
#include "base/buffer.h"
#include "leat/log.h"
#include <sys/un.h>

enum {
    HANDOVER_VERSION = 1,
    HANDOVER_HEAD_BYTES = 16,
    HANDOVER_PAYLOAD_MAX = 8 << 20, /* a batch of leat produce, with room; bounds both sides */
    HANDOVER_RECORDS_MAX = 1 << 16, /* of a batch: bounds what is allocated for it */
    HANDOVER_CLIENTS_MAX = 16,      /* one buffer of a payload each */
};

typedef enum handover_kind {
    HANDOVER_APPEND = 1,
    HANDOVER_CREATE,
    HANDOVER_DESCRIBE,
    HANDOVER_DELETE,
    HANDOVER_ANSWER = 128,
} handover_kind;

/* ---------------------------------------------------------------- codec */
typedef struct handover_head {
    uint8_t version, kind;
    uint32_t length, crc; /* of the payload */
} handover_head;

/* Room for the head; the payload follows, then handover_end. */
void handover_begin(leat__buffer *out);
void handover_end(leat__buffer *out, handover_kind kind);
/* False: it is no head, or its payload is too long. */
bool handover_head_read(const char bytes[HANDOVER_HEAD_BYTES], handover_head *head);
bool handover_payload_is_whole(const handover_head *head, const char *payload);

/* Appends the records as a payload. */
void handover_put_records(leat__buffer *out, const leat_log_record *records, size_t count);
void handover_put_topic(leat__buffer *out, const char *topic, const leat_topic_opts *opts);
/* Read a payload; false: it is not sound. What they give points into it, and into *names, NUL-
 * terminated topics. */
bool handover_get_records(leat_str payload, leat_log_record **records, size_t *count,
                          leat__buffer *names);
bool handover_get_topic(leat_str payload, leat__buffer *name, leat_topic_opts *opts);
void handover_put_error(leat__buffer *out, const leat_error *error);
bool handover_get_error(leat__reader *reader, leat_error *error);

/* ---------------------------------------------------------------- the process that has the log */
typedef struct handover handover;
/* Listens in the log's directory, which is locked by this process. NULL: it could not, and a log
 * line says why: the log works all the same. */
handover *handover_start(leat_log *log, const char *dir);
/* Answers the requests that have come completely, then ends; NULL is allowed. */
void handover_stop(handover *self);

/* ---------------------------------------------------------------- the other processes */
/* A handle for leat_log_append and topics only. LEAT_EUNREACHABLE: nobody listens. */
leat_status handover_connect(leat_log **log, const char *dir, leat_error *error);

/* The socket's address in dir, however long dir is: through a descriptor of it, in *dir_fd, to be
 * closed once it is bound or connected. */
bool handover_address(const char *dir, struct sockaddr_un *address, int *dir_fd);
#endif
