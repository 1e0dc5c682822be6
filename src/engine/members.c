/* engine/members.c - the topic JOB-members: told by each process, followed by all; see members.h.
 *
 *   coordinator ── tell ──► own entry ──► thread: append ─┐
 *                                                         ├─► JOB-members, one partition
 *   any thread ── find ──► entries ◄──── thread: poll ────┘
 *                   ▲
 *   any thread ── report: it did not answer ─► doubted for a second, then asked once more
 *
 * An entry may be stale: its process may be gone, or be slow to tell. Of two that claim a partition
 * the newer generation is believed. What this process was assigned itself is believed against all
 * that was told before it told so: the group that assigned it may have begun anew, with smaller
 * generations. */
#include "engine/members.h"
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"

enum {
    DOUBT_US = 1000000, /* how long an owner that did not answer is not asked again */
    PAUSE_MIN_US = 100000,
    PAUSE_MAX_US = 5000000, /* R30: between attempts to tell */
    IDLE_US = 200000,
    READ_WAIT_US = 5000,
};

typedef struct known {
    leat__member member;
    int64_t offset, doubted_until_us; /* monotonic; 0: not doubted */
} known;

typedef struct leat__members {
    leat__run *run;
    char *topic, *instance;
    leat_log_reader *reader;
    uint64_t incarnation;
    pthread_t thread;
    bool thread_started;
    _Atomic bool closing;
    leat__doorbell bell;
    int64_t next_attempt_us, pause_us; /* telling; the thread's own */
    int64_t next_look_us;              /* following, after a failure; likewise */

    pthread_mutex_t lock; /* of all below */
    leat__member own;
    bool told;                        /* own is valid */
    uint64_t own_number, told_number; /* of the newest own entry, and of the one in the topic */
    int64_t told_offset;              /* -1: none is in the topic */
    known *entries;                   /* of the others */
    size_t count;
} leat__members;

static int64_t now_us(const leat__members *self)
{
    return self->run->env->monotonic_us(self->run->env->arg);
}

/* ------------------------------------------------------------------ telling */

void leat__members_tell(leat__run *run, leat__member_state state)
{
    leat__members *self = run->members;
    if (self == NULL)
        return;
    leat__member own = leat__member_make(self->instance, run->graph->opts.advertise);
    own.incarnation = self->incarnation;
    own.generation = run->generation;
    own.state = state;
    leat__member_set_owned(&own, run->assigned, run->assigned_count);
    pthread_mutex_lock(&self->lock);
    leat__member_free(&self->own);
    self->own = own;
    self->told = true;
    self->own_number++;
    pthread_mutex_unlock(&self->lock);
    leat__doorbell_ring(&self->bell);
}

static void attempt_failed(leat__members *self, const leat_error *error)
{
    const leat_env *env = self->run->env;
    self->pause_us = self->pause_us == 0 ? PAUSE_MIN_US : self->pause_us * 2;
    if (self->pause_us > PAUSE_MAX_US)
        self->pause_us = PAUSE_MAX_US;
    uint64_t jitter = env->random_u64(env->arg) % (uint64_t)(self->pause_us / 4);
    self->next_attempt_us = now_us(self) + self->pause_us + (int64_t)jitter;
    leat__log_line(LEAT__WARN, "members", "%s: the others can't be told yet: %s", self->topic,
                   error->message);
}

/* Appends the own entry if the one in the topic is older. */
static bool tell_others(leat__members *self)
{
    pthread_mutex_lock(&self->lock);
    uint64_t number = self->own_number;
    bool needed =
        self->told && self->told_number != number && now_us(self) >= self->next_attempt_us;
    leat__buffer value = {0};
    if (needed)
        leat__member_encode(&self->own, &value);
    pthread_mutex_unlock(&self->lock);
    if (!needed)
        return false;
    leat_error error = {0};
    leat_log_record record = {.topic = self->topic,
                              .timestamp_ms = self->run->env->now_ms(self->run->env->arg),
                              .key = leat_str_from(self->instance),
                              .value = {value.data, value.length}};
    leat_status status = leat_log_append(self->run->log, &record, 1, &error);
    if (status == LEAT_OK) {
        pthread_mutex_lock(&self->lock);
        self->told_number = number;
        self->told_offset = record.offset;
        pthread_mutex_unlock(&self->lock);
        self->pause_us = 0;
    } else {
        attempt_failed(self, &error);
    }
    leat__buffer_free(&value);
    return status == LEAT_OK;
}

/* The process ends cleanly: nobody needs to find out by asking in vain. */
static void tell_leaving(leat__members *self)
{
    leat_error error = {0};
    leat_log_record record = {.topic = self->topic,
                              .timestamp_ms = self->run->env->now_ms(self->run->env->arg),
                              .key = leat_str_from(self->instance)};
    if (leat_log_append(self->run->log, &record, 1, &error) != LEAT_OK)
        leat__log_line(LEAT__WARN, "members", "%s: the others can't be told of the end: %s",
                       self->topic, error.message);
}

/* ------------------------------------------------------------------ following */

static known *entry_of(leat__members *self, leat_str instance)
{
    for (size_t i = 0; i < self->count; i++)
        if (leat_str_equal(leat_str_from(self->entries[i].member.instance), instance))
            return &self->entries[i];
    return NULL;
}

static void forget(leat__members *self, leat_str instance)
{
    known *entry = entry_of(self, instance);
    if (entry == NULL)
        return;
    leat__member_free(&entry->member);
    *entry = self->entries[--self->count];
}

static void remember(leat__members *self, leat__member *member, int64_t offset)
{
    known *entry = entry_of(self, leat_str_from(member->instance));
    if (entry == NULL) {
        self->entries = leat__realloc(self->entries, self->count + 1, sizeof *self->entries);
        entry = &self->entries[self->count++];
    } else {
        leat__member_free(&entry->member);
    }
    *entry = (known){.member = *member, .offset = offset};
}

/* Under the own name: a former process's last words, which may come after the first of this one. */
static void check_own(leat__members *self, const leat__member *member, int64_t offset)
{
    if (self->told_offset < 0 || offset <= self->told_offset)
        return;
    if (member != NULL && (member->incarnation == self->incarnation ||
                           member->generation > self->own.generation)) /* R15: that one is newer */
        return;
    self->own_number++;
    self->next_attempt_us = now_us(self) + DOUBT_US;
}

static void follow_record(leat__members *self, const leat_log_record *record)
{
    leat__member member;
    leat_error error;
    bool gone = record->value.data == NULL;
    if (!gone && leat__member_decode(record->value, &member, &error) != LEAT_OK) {
        leat__log_line(LEAT__WARN, "members", "%s, offset %lld: %s", self->topic,
                       (long long)record->offset, error.message);
        return;
    }
    bool own = leat_str_equal(record->key, leat_str_from(self->instance));
    pthread_mutex_lock(&self->lock);
    if (own)
        check_own(self, gone ? NULL : &member, record->offset);
    else if (gone)
        forget(self, record->key);
    else
        remember(self, &member, record->offset);
    pthread_mutex_unlock(&self->lock);
    if (own && !gone)
        leat__member_free(&member);
}

static leat_status follow(leat__members *self, size_t *count, leat_error *error)
{
    leat_log_record records[64];
    leat_status status = leat_log_reader_poll(self->reader, records, 64, count, error);
    for (size_t i = 0; i < *count && status == LEAT_OK; i++)
        follow_record(self, &records[i]);
    return status;
}

bool leat__members_step(leat__run *run)
{
    leat__members *self = run->members;
    if (self == NULL)
        return false;
    leat_error error = {0};
    size_t count = 0;
    bool told = tell_others(self);
    if (now_us(self) < self->next_look_us || follow(self, &count, &error) == LEAT_OK)
        return told || count != 0;
    self->next_look_us = now_us(self) + PAUSE_MAX_US;
    leat__log_line(LEAT__WARN, "members", "%s: can't be followed now: %s", self->topic,
                   error.message);
    return told;
}

static void *members_main(void *arg)
{
    leat__members *self = arg;
    while (!atomic_load(&self->closing)) {
        if (leat__members_step(self->run))
            continue;
        int64_t wait_us = IDLE_US, left_us = self->next_attempt_us - now_us(self);
        if (left_us > 0 && left_us < wait_us)
            wait_us = left_us;
        leat__doorbell_wait(&self->bell, wait_us);
    }
    return NULL;
}

/* ------------------------------------------------------------------ finding */

static bool is_newer(const known *entry, const known *than)
{
    if (entry->member.generation != than->member.generation)
        return entry->member.generation > than->member.generation;
    return entry->offset > than->offset;
}

/* The newest claim of another process that is not in doubt. */
static known *best_of_others(leat__members *self, const char *topic, uint32_t partition)
{
    known *best = NULL;
    int64_t now = now_us(self);
    for (size_t i = 0; i < self->count; i++) {
        known *entry = &self->entries[i];
        if (entry->doubted_until_us <= now && leat__member_owns(&entry->member, topic, partition) &&
            (best == NULL || is_newer(entry, best)))
            best = entry;
    }
    return best;
}

/* This process has it, and nobody has told since that it has moved, in doubt or not: a process that
 * was paused may not know yet. */
static bool own_holds(const leat__members *self, const char *topic, uint32_t partition)
{
    if (!self->told || !leat__member_owns(&self->own, topic, partition))
        return false;
    bool fresh = self->told_number != self->own_number; /* assigned a moment ago */
    for (size_t i = 0; i < self->count && !fresh; i++)
        if (self->entries[i].offset > self->told_offset &&
            self->entries[i].member.generation > self->own.generation &&
            leat__member_owns(&self->entries[i].member, topic, partition))
            return false;
    return true;
}

static void fill(leat_owner *owner, leat_owner_kind kind, const leat__member *member)
{
    owner->kind = kind;
    owner->ready = member->state == LEAT__MEMBER_READY;
    owner->generation = member->generation;
    owner->incarnation = member->incarnation;
    (void)snprintf(owner->instance, sizeof owner->instance, "%s", member->instance);
    (void)snprintf(owner->address, sizeof owner->address, "%s", member->address);
}

void leat__members_find(leat__run *run, const char *topic, uint32_t partition, leat_owner *owner)
{
    leat__members *self = run->members;
    pthread_mutex_lock(&self->lock);
    known *best = best_of_others(self, topic, partition);
    if (own_holds(self, topic, partition)) {
        fill(owner, LEAT_OWNER_HERE, &self->own);
    } else if (best != NULL) {
        fill(owner, LEAT_OWNER_ELSEWHERE, &best->member);
        if (best->doubted_until_us != 0) /* this caller finds out for all */
            best->doubted_until_us = now_us(self) + DOUBT_US;
    }
    pthread_mutex_unlock(&self->lock);
}

void leat__members_report(leat__run *run, const leat_owner *owner, bool answered)
{
    leat__members *self = run->members;
    pthread_mutex_lock(&self->lock);
    known *entry = entry_of(self, leat_str_from(owner->instance));
    if (entry != NULL && entry->member.incarnation == owner->incarnation &&
        entry->member.generation == owner->generation)
        entry->doubted_until_us = answered ? 0 : now_us(self) + DOUBT_US;
    pthread_mutex_unlock(&self->lock);
}

/* ------------------------------------------------------------------ life */

static leat_status make_topic(leat__members *self, leat_error *error)
{
    const leat_topic_opts wanted = {.partition_count = 1, .compacted = true};
    leat_topic_opts found;
    leat_status status = leat_topic_describe(self->run->log, self->topic, &found, NULL);
    if (status == LEAT_ENOTFOUND)
        status = leat_topic_create(self->run->log, self->topic, &wanted, error);
    else if (status != LEAT_OK)
        return leat_topic_describe(self->run->log, self->topic, &found, error);
    return status == LEAT_EEXISTS ? LEAT_OK : status;
}

/* So that the first question is not answered with "nobody". */
static leat_status read_all(leat__members *self, leat_error *error)
{
    int64_t begin, end, position = 0;
    leat_status status = leat__ask_bounds(self->run, "the end of the members' topic", self->topic,
                                          0, &begin, &end, error);
    while (status == LEAT_OK && position < end) {
        size_t count = 0;
        status = follow(self, &count, error);
        if (status == LEAT_OK)
            status = leat_log_reader_position(self->reader, self->topic, 0, &position, error);
        if (status == LEAT_OK && atomic_load(&self->run->stop_requested))
            return leat__fail(error, LEAT_EABORTED, LEAT_RECOVERY_FATAL, self->topic,
                              "stopped while reading it");
        if (status == LEAT_OK && count == 0 && position < end)
            leat__doorbell_wait(&self->bell, READ_WAIT_US);
    }
    return status;
}

static void wake(void *self)
{
    leat__doorbell_ring(&((leat__members *)self)->bell);
}

leat_status leat__members_open(leat__run *run, const char *instance, leat_error *error)
{
    if (run->graph->opts.advertise == NULL)
        return LEAT_OK;
    leat__members *self = run->members = leat__calloc(1, sizeof *self);
    self->run = run;
    self->incarnation = run->incarnation;
    self->told_offset = -1;
    self->topic = leat__format("%s-members", run->graph->opts.name);
    self->instance = leat__strdup(instance);
    pthread_mutex_init(&self->lock, NULL);
    leat_status status = make_topic(self, error);
    if (status == LEAT_OK)
        status = leat_log_reader_new(run->log, wake, self, &self->reader, error);
    if (status == LEAT_OK)
        status = leat_log_reader_seek(self->reader, self->topic, 0, LEAT_OFFSET_BEGIN, error);
    if (status == LEAT_OK)
        status = read_all(self, error);
    if (status != LEAT_OK || run->stepping)
        return status;
    if (pthread_create(&self->thread, NULL, members_main, self) != 0)
        return leat__fail(error, LEAT_EINTERNAL, LEAT_RECOVERY_FATAL, "members",
                          "no thread could be started");
    self->thread_started = true;
    return LEAT_OK;
}

void leat__members_close(leat__run *run)
{
    leat__members *self = run->members;
    if (self == NULL)
        return;
    atomic_store(&self->closing, true);
    if (self->thread_started) {
        leat__doorbell_ring(&self->bell);
        pthread_join(self->thread, NULL);
    }
    run->members = NULL;
    bool clean = run->finished && run->fatal.status == LEAT_OK; /* R15: else nothing is written */
    if (clean && self->told_offset >= 0)
        tell_leaving(self);
    leat_log_reader_free(self->reader);
    for (size_t i = 0; i < self->count; i++)
        leat__member_free(&self->entries[i].member);
    leat__member_free(&self->own);
    leat__free(self->entries);
    leat__free(self->topic);
    leat__free(self->instance);
    pthread_mutex_destroy(&self->lock);
    leat__free(self);
}
