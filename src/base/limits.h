/* base/limits.h - every bound of the library in one place, each with its reason. */
#ifndef LEAT_BASE_LIMITS_H
#define LEAT_BASE_LIMITS_H
enum {
    LEAT__FIELDS_MAX = 64,            /* per record type: one bitmap word */
    LEAT__SLOTS_MAX = 8,              /* state slots or timers of an operator: in a const struct */
    LEAT__NAME_MAX = 63,              /* operator, topic, field names: leat_error.where */
    LEAT__TOPIC_NAME_MAX = 249,       /* Kafka's own bound */
    LEAT__PARTITIONS_MAX = 1024,      /* per topic, embedded */
    LEAT__RECORD_BYTES_MAX = 1 << 20, /* a record's key + value: Kafka's max.message.bytes */
    LEAT__FORMER_LAYOUTS_MAX = 64,    /* of a binary topic: searched for each record in one */
    LEAT__NESTING_MAX = 16,           /* records in records: bounds recursion in the codecs */
    LEAT__LIST_ITEMS_MAX = 1 << 20,   /* one list value */
    LEAT__DECODED_BYTES_MAX = 64 << 20, /* lists of a decoded record: few bytes, large structs */
    LEAT__JSON_BYTES_MAX = 64 << 20,    /* one document: token offsets are 32 bits */
    LEAT__JSON_DEPTH_MAX = 64,          /* nesting of JSON text: a stack of fixed size */
    LEAT__CALLBACK_BYTES_MAX = 1 << 30, /* leat_alloc at once: more is a length that went wrong */
    LEAT__EPOCH_BYTES_MAX = 32 << 20,   /* R9: outputs + changelog held before an early barrier */
    LEAT__LOG_RECORD_BYTES = 320,       /* what a log's client needs beside the bytes of a record */
    LEAT__COMMIT_GRACE_MS = 5000,       /* R3: a commit may exceed the transaction's time-out by */
    LEAT__LOG_CALL_MS = 120000,         /* R3: a call into the log at the start, or a rebalance */
    LEAT__REFUSED_MAX = 1024,           /* R19: records refused by the log and not got over yet */
    LEAT__CLOCK_STEP_MS = 2000,         /* W7: more than a clock is slewed between two looks */
    LEAT__STALL_MS = 60000, /* R31: longer than any pause of a sound job, a takeover included */
    LEAT__STALL_CALLBACK_LIMITS = 10, /* R31: a callback is the user's, and may be slow */
    LEAT__STILL_REWINDING_MS = 60000, /* R30: of rewinds that no source's position tells apart */
    LEAT__CHANNEL_BATCHES = 64,       /* batches in flight between two tasks */
};
#endif
