#include <string.h>

#include "apps/recommender/commands/commands.h"
#include "base/limits.h"

void settings_flags(recommender_settings *to, flag table[SETTINGS_FLAGS])
{
    recommender_topics *topics = &to->topics;
    const flag rows[SETTINGS_FLAGS] = {
        {"log", FLAG_TEXT, &to->log_url, 0, 0, "LOG",
         "embedded:DIR or kafka:HOST:PORT; else the one in --data-dir"},
        {"name", FLAG_TEXT, &to->name, 0, 0, NULL,
         "of the job: its consumer group, and what its internal topics begin with"},
        {"interactions-topic", FLAG_TEXT, &topics->interactions, 0, 0, "TOPIC",
         "where events come from"},
        {"recommendations-topic", FLAG_TEXT, &topics->recommendations, 0, 0, "TOPIC",
         "where each event's recommendation goes"},
        {"sessions-topic", FLAG_TEXT, &topics->sessions, 0, 0, "TOPIC",
         "closed sessions: the index is built from it"},
        {"popularity-topic", FLAG_TEXT, &topics->popularity, 0, 0, "TOPIC", "counts of items"},
        {"late-topic", FLAG_TEXT, &topics->late, 0, 0, "TOPIC", "events that came too late"},
        {"dead-letters-topic", FLAG_TEXT, &topics->dead_letters, 0, 0, "TOPIC",
         "events that can't be read"},
        {"partitioned-by", FLAG_TEXT, &to->partitioned_by, 0, 0, "FIELD",
         "what the keys of events are; false: something else"},
        {"partitions", FLAG_U32, &to->partition_count, 1, LEAT__PARTITIONS_MAX, NULL,
         "partitions of topics that have to be created"},
        {"workers", FLAG_U32, &to->worker_count, 0, 256, NULL,
         "threads of the job; 0: one per core"},
        {"memory", FLAG_SIZE, &to->memory_bytes, 0, 0, NULL,
         "for the job's buffers and caches, all together; else each has its own bound"},
        {"epoch", FLAG_DURATION, &to->epoch_ms, 0, 0, NULL,
         "time between commits at low load; 0ms: the engine's own"},
        {"session-gap", FLAG_DURATION, &to->gap_ms, 1, 0, NULL, "silence that ends a session"},
        {"session-ttl", FLAG_DURATION, &to->ttl_ms, 1, 0, NULL,
         "how long a user's last session is kept"},
        {"out-of-order", FLAG_DURATION, &to->out_of_order_ms, 0, 0, NULL,
         "how far the watermark follows the newest event"},
        {"lateness", FLAG_DURATION, &to->lateness_ms, 0, 0, NULL,
         "how far behind the watermark an event still counts"},
        {"max-ahead", FLAG_DURATION, &to->max_ahead_ms, 1, 0, NULL,
         "how far ahead of the clock an event's time is believed"},
        {"clamp-ahead", FLAG_BOOL, &to->clamp_ahead, 0, 0, NULL,
         "an event further ahead happened when it was taken; else it is refused"},
        {"retention", FLAG_DURATION, &to->interactions_retention_ms, 0, 0, NULL,
         "how long interactions are kept in the log; 0ms: for ever"},
        {"sessions-per-item", FLAG_U32, &to->index.sessions_per_item, 1, SESSION_RECENT_MAX, NULL,
         "newest sessions of an item that are looked at (m)"},
        {"min-session-items", FLAG_U32, &to->index.min_session_items, 1, SESSION_ITEMS_MAX, NULL,
         "shorter sessions are not learnt from"},
        {"max-session-items", FLAG_U32, &to->index.max_session_items, 1, SESSION_ITEMS_MAX, NULL,
         "longer ones neither"},
        {"max-sessions", FLAG_U64, &to->index.max_sessions, 0, 0, NULL,
         "newest sessions the index holds; 0: all"},
    };
    memcpy(table, rows, sizeof rows);
}

int command_failed(const leat_error *error)
{
    fprintf(stderr, "leat-recommender: %s%s%s\n", error->where, error->where[0] == '\0' ? "" : ": ",
            error->message);
    return leat_status_exit_code(error->status);
}
