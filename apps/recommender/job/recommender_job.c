/* job/recommender_job.c - topics, decoding and the graph; see recommender_job.h. */
#include "apps/recommender/job/recommender_job.h"

#include <string.h>

#include "apps/recommender/events/event.h"
#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/records.h"
#include "base/limits.h"
#include "base/mem.h"
#include "record/headed.h"
#include "time/saturate.h"

enum {
    STATE_DIR_BYTES = 4096,
    /* Under load: 64 MiB would take 5 % less CPU time per event, as a user's state is written once
     * a commit, but twice the memory and twice the time to an answer. */
    EPOCH_BYTES = 32 << 20,
    BINARY_FORMAT_MAX = 2, /* first byte of a record in binary: 1 or 2; no JSON begins with it */
};

/* One parser per partition: a partition's records are decoded by one task at a time. */
struct interaction_readers {
    leat__json_reader *of_partition[LEAT__PARTITIONS_MAX];
    leat__headed_reader *binary;
    char state_dir[STATE_DIR_BYTES];
};

recommender_settings recommender_defaults(void)
{
    return (recommender_settings){
        .name = RECOMMENDER_JOB_NAME,
        .topics = {.interactions = TOPIC_INTERACTIONS,
                   .sessions = TOPIC_SESSIONS,
                   .popularity = TOPIC_POPULARITY,
                   .recommendations = TOPIC_RECOMMENDATIONS,
                   .late = TOPIC_LATE,
                   .dead_letters = TOPIC_DEAD_LETTERS},
        .partitioned_by = "user_id",
        .partition_count = 4,
        .snapshot_interval_ms = LEAT_MINUTES(10),
        .gap_ms = LEAT_MINUTES(30),
        .ttl_ms = LEAT_HOURS(1),
        .lateness_ms = LEAT_MINUTES(5),
        .out_of_order_ms = LEAT_MINUTES(5),
        .max_ahead_ms = LEAT_MINUTES(5),
        .interactions_retention_ms = LEAT_DAYS(7),
        .session_items_max = 50,
        .count = 10,
        .index = session_index_defaults(),
        .popular = popularity_defaults(),
    };
}

/* ------------------------------------------------------------------ topics */

static leat_status create_topics(leat_log *log, const recommender_settings *settings,
                                 leat_error *error)
{
    const recommender_topics *named = &settings->topics;
    const struct {
        const char *name;
        leat_topic_opts opts;
    } topics[] = {
        {named->interactions, {.retention_ms = settings->interactions_retention_ms}},
        {named->sessions, {.retention_ms = 0}},
        {named->popularity, {.compacted = true}},
        /* By size: their timestamps are event time, which a replay of old events takes far back. */
        {named->recommendations, {.retention_bytes = INT64_C(1) << 30}},
        {named->late, {.retention_bytes = INT64_C(256) << 20}},
        {named->dead_letters, {.retention_bytes = INT64_C(256) << 20}},
    };
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        leat_topic_opts opts = topics[i].opts;
        opts.partition_count = settings->partition_count;
        leat_status status = leat_topic_create(log, topics[i].name, &opts, error);
        if (status != LEAT_OK && status != LEAT_EEXISTS)
            return status;
    }
    return LEAT_OK;
}

/* ------------------------------------------------------------------ source */

/* The parser lends strings until it reads the next record; the engine decodes several ahead. */
static void keep_string(leat_ctx *ctx, leat_str *text)
{
    if (text->length == 0)
        return;
    char *copy = leat_alloc(ctx, text->length);
    memcpy(copy, text->data, text->length);
    text->data = copy;
}

static bool id_ok(leat_str id, bool required)
{
    return id.length <= EVENT_ID_BYTES_MAX && (!required || id.length > 0);
}

/* What `interaction` was while binary records did not say it. */
static const char headless_layout[] =
    "interaction{timestamp_ms:i64,accepted_ms:i64,user_id:str,item_id:str,event_id:str,"
    "session_id:str,category:str,value:f64,price:f64,kind:u8}";

/* An `interaction` in leat's binary form. It has no lists: all of its strings lie in the input. */
static leat_status decode_binary(leat_ctx *ctx, const leat__headed_reader *reader,
                                 const leat_log_record *in, interaction *event)
{
    leat_error error;
    leat__arena unused = {0};
    leat_status status =
        leat__headed_decode(reader, &unused, in->value, LEAT__STRINGS_IN_INPUT, event, &error);
    leat__arena_free(&unused);
    if (status != LEAT_OK)
        return leat_fail(ctx, LEAT_EDATA, "%s", error.message);
    if (!id_ok(event->user_id, true) || !id_ok(event->item_id, true) ||
        !id_ok(event->event_id, false) || !id_ok(event->session_id, false) ||
        !id_ok(event->category, false) || event->kind >= INTERACTION_KINDS)
        return leat_fail(ctx, LEAT_EDATA, "an id is missing or too long, or the kind is unknown");
    return LEAT_OK;
}

/* By when the event was taken, which is the same in a replay; what is ahead of the job's own clock
 * the engine refuses (W7). */
static leat_status bound_time(leat_ctx *ctx, recommender_job *self, const leat_log_record *in,
                              interaction *event)
{
    const recommender_settings *settings = &self->settings;
    bool clamped = false;
    if (!settings->clamp_ahead)
        return LEAT_OK;
    event_fault fault;
    if (event_bound_time(event, in->timestamp_ms, settings->max_ahead_ms, true, &clamped, &fault) !=
        LEAT_OK)
        return leat_fail(ctx, LEAT_EDATA, "%s", fault.reason);
    if (clamped)
        atomic_fetch_add_explicit(&self->counters.clamped, 1, memory_order_relaxed);
    return LEAT_OK;
}

static leat_status decode_interaction(leat_ctx *ctx, const leat_log_record *in, void *record,
                                      void *arg)
{
    recommender_job *self = arg;
    struct interaction_readers *readers = self->readers;
    leat__json_reader **reader = &readers->of_partition[in->partition % LEAT__PARTITIONS_MAX];
    if (*reader == NULL)
        *reader = leat__json_reader_new();
    event_fault fault;
    interaction *event = record;
    uint8_t first = in->value.length == 0 ? 0 : (uint8_t)in->value.data[0];
    if (first > 0 && first <= BINARY_FORMAT_MAX) {
        leat_status status = decode_binary(ctx, readers->binary, in, event);
        return status != LEAT_OK ? status : bound_time(ctx, self, in, event);
    }
    if (event_parse(*reader, in->value, in->timestamp_ms, event, &fault) != LEAT_OK)
        return leat_fail(ctx, LEAT_EDATA, "%s", fault.reason);
    keep_string(ctx, &event->user_id);
    keep_string(ctx, &event->item_id);
    keep_string(ctx, &event->event_id);
    keep_string(ctx, &event->session_id);
    keep_string(ctx, &event->category);
    return bound_time(ctx, self, in, event);
}

/* ------------------------------------------------------------------ tables */

void model_add_session(model *self, const void *record)
{
    const closed_session *session = record;
    session_index_add(self->index, session->session_id, session->items.items, session->items.count,
                      session->last_ms);
}

void model_add_count(model *self, const void *record)
{
    const item_count *item = record;
    popularity_update(self->popular, item->item_id, item->category, item->total, item->decayed,
                      item->at_ms);
    if (item->at_ms > atomic_load_explicit(&self->latest_ms, memory_order_relaxed))
        atomic_store_explicit(&self->latest_ms, item->at_ms, memory_order_relaxed);
}

static void on_session(void *arg, leat_str key, const void *record, const leat_log_record *origin)
{
    (void)key, (void)origin;
    if (record != NULL)
        model_add_session(arg, record);
}

static void on_count(void *arg, leat_str key, const void *record, const leat_log_record *origin)
{
    (void)origin;
    model *self = arg;
    if (record != NULL)
        model_add_count(self, record);
    else
        popularity_update(self->popular, key, (leat_str){NULL, 0}, 0, 0, 0);
}

static void on_recommendation(void *arg, const leat_log_record *record)
{
    recommender_job *self = arg;
    self->settings.on_committed(self->settings.on_committed_arg, record);
}

bool recommender_job_is_late(recommender_job *self, const interaction *event, int64_t now_ms)
{
    const recommender_settings *settings = &self->settings;
    int64_t counts_until_ms = leat__time_add(event->timestamp_ms, settings->lateness_ms);
    /* time never stands further ahead than that: most events need not be asked for (W1, W7) */
    if (counts_until_ms >
        leat__time_add(now_ms, settings->max_ahead_ms - settings->out_of_order_ms))
        return false;
    int64_t watermark_ms;
    return leat_job_time(self->job, SESSION_OP_NAME, event->user_id, &watermark_ms, NULL) ==
               LEAT_OK &&
           watermark_ms != LEAT_TIME_MIN && counts_until_ms <= watermark_ms;
}

int64_t recommendation_accepted_ms(leat_str value)
{
    /* Not found inside of a string: a quote there is escaped. */
    static const char name[] = "\"accepted_ms\":";
    if (value.data == NULL)
        return -1;
    const char *at = memmem(value.data, value.length, name, sizeof name - 1);
    if (at == NULL)
        return -1;
    int64_t number = 0;
    const char *end = value.data + value.length, *first = at + sizeof name - 1;
    for (at = first; at < end && *at >= '0' && *at <= '9' && at - first < 18; at++)
        number = number * 10 + (*at - '0');
    return at == first ? -1 : number;
}

/* ------------------------------------------------------------------ graph */

static void build_graph(recommender_job *self)
{
    const recommender_settings *settings = &self->settings;
    const recommender_topics *topics = &settings->topics;
    leat_job *job = self->job;
    bool spread = strcmp(settings->partitioned_by, "false") != 0;
    leat_stream events =
        leat_from_log(job, "interactions", &interaction_type,
                      &(leat_log_source){
                          .topic = topics->interactions,
                          .decode = decode_interaction,
                          .decode_arg = self,
                          .time_field = "timestamp_ms",
                          .out_of_order_ms = settings->out_of_order_ms,
                          .idle_ms = LEAT_SECONDS(30),
                          .partitioned_by = spread ? settings->partitioned_by : NULL,
                          .on_error = LEAT_ON_ERROR_DEAD_LETTER,
                      });
    leat_stream by_user = leat_key_by(events, "user_id");
    leat_stream recommendations = leat_process(by_user, SESSION_OP_NAME, &session_op, self);
    leat_to_log(recommendations, "recommendations",
                &(leat_log_sink){
                    .topic = topics->recommendations,
                    .key = "user_id",
                    .on_committed = settings->on_committed == NULL ? NULL : on_recommendation,
                    .arg = self,
                });
    leat_to_log(leat_side(recommendations, SESSION_SIDE_CLOSED), "sessions",
                &(leat_log_sink){.topic = topics->sessions, .key = "user_id"});
    leat_to_log(leat_side(recommendations, SESSION_SIDE_LATE), "late",
                &(leat_log_sink){.topic = topics->late, .key = "user_id"});
    leat_stream by_item = leat_key_by(leat_side(recommendations, SESSION_SIDE_TOUCHED), "item_id");
    leat_stream counts = leat_process(by_item, "popularity", &popularity_op, self);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = topics->popularity, .key = "item_id"});
    leat_global_table(job, "session-index",
                      &(leat_table){
                          .topic = topics->sessions,
                          .type = &closed_session_type,
                          .on_error = LEAT_ON_ERROR_SKIP,
                          .on_record = on_session,
                          .arg = self->model,
                      });
    leat_global_table(job, "popular-items",
                      &(leat_table){
                          .topic = topics->popularity,
                          .type = &item_count_type,
                          .on_error = LEAT_ON_ERROR_SKIP,
                          .compacted = true,
                          .on_record = on_count,
                          .arg = self->model,
                      });
}

leat_status recommender_job_new(recommender_job **out, leat_log *log,
                                const recommender_settings *settings, leat_error *error)
{
    leat_status status = log == NULL ? LEAT_OK : create_topics(log, settings, error);
    if (status != LEAT_OK)
        return status;
    recommender_job *self = leat__calloc(1, sizeof *self);
    self->settings = *settings;
    self->log = log;
    self->model = model_new(&settings->index, &settings->popular);
    self->readers = leat__calloc(1, sizeof *self->readers);
    self->readers->binary =
        leat__headed_reader_new(&interaction_type, NULL, headless_layout, error);
    if (self->readers->binary == NULL) {
        recommender_job_free(self);
        return LEAT_ETYPE;
    }
    if (settings->data_dir != NULL)
        snprintf(self->readers->state_dir, STATE_DIR_BYTES, "%s/state", settings->data_dir);
    self->job = leat_job_new(&(leat_job_opts){
        .name = settings->name,
        .log = log == NULL ? settings->log_url : NULL,
        .log_handle = log,
        .state_dir = settings->data_dir == NULL ? NULL : self->readers->state_dir,
        .snapshot_dir = settings->data_dir == NULL ? NULL : settings->snapshot_dir,
        .snapshot_interval_ms = settings->snapshot_interval_ms,
        .worker_count = settings->worker_count,
        .epoch_ms = settings->epoch_ms,
        .instance = settings->instance,
        .advertise = settings->advertise,
        .exchange = settings->exchange,
        .guarantee = settings->guarantee,
        .lease_ms = settings->lease_ms,
        .memory_bytes = settings->memory_bytes,
        .buffer_bytes = settings->memory_bytes == 0 ? EPOCH_BYTES : 0,
        .dead_letters = settings->topics.dead_letters,
        .max_ahead_ms = settings->max_ahead_ms,
    });
    build_graph(self);
    *out = self;
    return LEAT_OK;
}

void recommender_job_free(recommender_job *self)
{
    if (self == NULL)
        return;
    leat_job_free(self->job);
    for (size_t i = 0; i < LEAT__PARTITIONS_MAX; i++)
        leat__json_reader_free(self->readers->of_partition[i]);
    leat__headed_reader_free(self->readers->binary);
    leat__free(self->readers);
    model_free(self->model);
    leat__free(self);
}
