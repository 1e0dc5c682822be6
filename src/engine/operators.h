/* engine/operators.h - where each operator's state lies: by its name, whatever stands beside it
 * (S5).
 *
 *   JOB-operators, one partition, compacted        the plan                     the log
 *     "count" ─► stored in stage "count"           stage [new, count]  ─found─► JOB-count-changelog
 *     "daily" ─► stored in stage "count"           stage [daily, week] ─┘ JOB-count-repartition
 *     "/"     ─► all that was there was found
 *
 * A stage of the plan is named by what happens to come first in it. What is stored bears a name
 * too: its changelog, its rows in the database, its exchange. At a start each stage takes the
 * stored name that its operators have; what has none joins it. A job that has no such topic yet was
 * made by a version that named the stored stage by the first keyed operator: what is there is found
 * from the changelogs themselves (operators_adopt.c), once; it is written down also if the start is
 * refused then, for the commands that the refusal names.
 *
 * Refused, before anything is read or written: operators of one stage whose states lie apart, and
 * those of one stored stage that are now apart; state that is keyed by another field; a new
 * operator with state while state is left over whose operator is gone (it may have been renamed,
 * and would begin from nothing), likewise a new slot or timer of an operator; windows of another
 * size or offset while some are open; records under way to a stage that the job has no more.
 *
 * The key of a record is the operator's name; the value, numbers little endian:
 *
 *   offset size  field
 *        0    1  format, 3 (R26); 2 ends before the offset of windows, which is not known then; 1
 *                behind the field: slots, timers and size are not known either
 *        1    1  kind: 0 an operator with state, 1 one without whose stage has an exchange, 2 a
 *                generator or array (its position), 3 a mark: "/", "/changelog/STAGE",
 *                "/repartition/STAGE"
 *        2    1  bit 0: its state was dropped
 *        3    4  revision: the highest holds; of the same one the first
 *        7    2  number of the stored stage in the database; of "/changelog/STAGE" how many
 *                partitions its state was made for, 0: not known
 *        9    …  str stored stage; str the field by which it is keyed, empty: not known; of
 *                "/changelog/STAGE" and "/repartition/STAGE" the topic's id (operators_kept.c)
 *        …    8  size of its windows in ms; 0: it has none
 *        …    …  varint count of slots and timers; of each: u8 bit 0 dropped, str name: "SLOT" or
 *                "timer:TIMER"
 *        …    8  offset of its windows in ms
 *
 * Processes that start at once find the same and write the same. If they do not, the first holds,
 * and the others see it when they read again.
 */
#ifndef LEAT_ENGINE_OPERATORS_H
#define LEAT_ENGINE_OPERATORS_H
#include "engine/run.h"

typedef enum leat__entry_kind {
    LEAT__ENTRY_STATE = 0,
    LEAT__ENTRY_PASSING, /* without state */
    LEAT__ENTRY_POSITION,
    LEAT__ENTRY_MARK,
} leat__entry_kind;

typedef struct leat__part { /* a slot or a timer of an operator */
    char *name;             /* "SLOT", "timer:TIMER" */
    bool dropped;
} leat__part;

typedef struct leat__entry {
    char *name, *stage, *key; /* key "": not known */
    leat__entry_kind kind;
    bool dropped, changed; /* changed: to be written */
    bool contested;        /* another process wrote the same revision with other words */
    uint32_t revision;
    uint16_t number;
    bool parts_known; /* else written by a version that did not write the following */
    int64_t window_ms, window_offset_ms; /* offset LEAT_TIME_MIN: not known */
    leat__part *parts;
    size_t part_count;
} leat__entry;

typedef struct leat__entries {
    char *topic;
    leat__entry *all;
    size_t count;
} leat__entries;

#define LEAT__ENTRY_MARK_NAME "/" /* no operator's name */
#define LEAT__ENTRY_CHANGELOG_NAME "/changelog/"
#define LEAT__ENTRY_REPARTITION_NAME "/repartition/"

/* ------------------------------------------------------------------ operator_entry.c */
/* Reads what the topic has; LEAT_ENOTFOUND: there is none. run NULL: a tool asks. */
leat_status leat__entries_read(leat__entries *entries, leat_log *log, leat__run *run,
                               const char *job, leat_error *error);
/* Appends those that have changed, in their order. */
leat_status leat__entries_write(leat__entries *entries, leat_log *log, int64_t now_ms,
                                leat_error *error);
void leat__entries_free(leat__entries *entries);
leat__entry *leat__entry_of(const leat__entries *entries, const char *name);
/* A new revision of it, made if it is missing; to be filled in. */
leat__entry *leat__entry_change(leat__entries *entries, const char *name);
void leat__entry_set(leat__entry *entry, leat__entry_kind kind, const char *stage, uint16_t number,
                     const char *key);
void leat__entry_free(leat__entry *entry);
leat__part *leat__part_of(const leat__entry *entry, leat_str name);
leat__part *leat__part_add(leat__entry *entry, leat_str name);
/* Reads partitions [0, count) from `from` (NULL: their beginnings) to where they end now. fn
 * returns false to stop. */
leat_status leat__read_all(leat_log *log, leat__run *run, const char *topic, uint32_t count,
                           const int64_t *from,
                           bool (*fn)(void *arg, const leat_log_record *record), void *arg,
                           leat_error *error);

/* ------------------------------------------------------------------ operators_adopt.c */
/* X of "JOB-X-KIND", copied; NULL: another name. */
char *leat__stage_of_topic(const char *job, const char *topic, const char *kind);
/* What a version without the topic has left: entries for all that is found. Sizes of windows are
 * not: those of the program are noted. */
leat_status leat__operators_adopt(leat__run *run, leat__entries *entries, leat_error *error);

/* ------------------------------------------------------------------ operators_kept.c */
/* After the changelogs and the topics of exchanges are opened, before anything is written there.
 * LEAT_EVIOLATION: a changelog is not the topic that the state was kept in. LEAT_EGRAPH: it was
 * made for another number of partitions. LEAT_ECORRUPT: the topic of an exchange is another one. */
leat_status leat__operators_kept(leat__run *run, leat_error *error);
uint64_t leat__entry_topic_id(const leat__entry *mark); /* 0: not known */
/* Says so: LEAT_ECORRUPT. */
leat_status leat__exchange_is_lost(const leat__run *run, const char *topic, const char *stage,
                                   leat_error *error);

/* ------------------------------------------------------------------ operator_parts.c */
/* Are what the operator keeps and the size of its windows as they are stored, or may they change?
 */
leat_status leat__parts_check(leat__run *run, const leat__entry *entry, const leat__node *node,
                              leat_error *error);
/* Has the entry all slots and timers of the operator? */
bool leat__parts_found(const leat__entry *entry, const leat__node *node);
/* A slot or a timer that a changelog names. */
void leat__part_found(leat__entry *entry, leat_str stored, bool is_timer);
/* Has the entry all that the operator has? */
bool leat__parts_noted(const leat__entry *entry, const leat__node *node);
void leat__parts_note(leat__entry *entry, const leat__node *node);
/* "leat operators --log LOG --drop NAME JOB"; allocated. */
char *leat__drop_command(const leat__run *run, const char *name);

/* ------------------------------------------------------------------ operators.c */
/* Gives the stages of the plan their stored names and numbers; before their topics are opened. */
leat_status leat__operators_open(leat__run *run, leat_error *error);
#endif
