/* job/session_op.c - the operator "session": a user's interactions become sessions and
 * recommendations.
 *
 *   event time   ──e1──e2────e3──────────────────────────┬──────────────────┬──►
 *                                                 last + gap          last + ttl
 *   timer               ┴ looks, and sets itself again   session closes      state is forgotten
 *   state        [open ..................................][closed ...........]
 *
 * There is one timer per user.  It is not moved by each interaction, as that would be one more
 * change of state to store for each: it fires, looks, and sets itself again to where it should be.
 * The state has no TTL of its own: an expired state would be gone before its session was written,
 * if event time jumps (J2).
 *
 * Event ids (J3): the newest are in the session's state, where they cost 8 bytes each; when there
 * are many, the older half moves to a map with an entry for each.
 *
 * An interaction that is older than the newest one of the session is put in its place by time. */
#include <math.h>
#include <string.h>

#include "apps/recommender/events/event.h"
#include "apps/recommender/job/operators.h"
#include "apps/recommender/job/recommender_job.h"
#include "apps/recommender/job/records.h"
#include "base/hash.h"

enum { SLOT_SESSION = 0, SLOT_SEEN };
enum { TIMER_SESSION = 0 };
enum {
    SESSION_ITEMS_CAPACITY = RECOMMEND_CLICKS_MAX,
    EVENT_IDS_MAX = 64, /* in the session's state */
};

typedef struct session_local {
    model_reader *reader;
    leat_str clicks[SESSION_ITEMS_CAPACITY];
    recommended_item items[RECOMMEND_MAX];
} session_local;

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static recommender_job *job_of(leat_ctx *ctx)
{
    return leat_arg(ctx);
}

/* J4 */
static bool is_late(leat_ctx *ctx, const interaction *event)
{
    int64_t watermark = leat_watermark(ctx);
    return watermark != LEAT_TIME_MIN &&
           event->timestamp_ms + job_of(ctx)->settings.lateness_ms <= watermark;
}

static void emit_late(leat_ctx *ctx, const interaction *event)
{
    late_event late = {
        .event_id = event->event_id,
        .user_id = event->user_id,
        .session_id = event->session_id,
        .item_id = event->item_id,
        .category = event->category,
        .event_type = leat_str_from(interaction_kind_name(event->kind)),
        .value = event->value,
        .price = event->price,
        .timestamp_ms = event->timestamp_ms,
    };
    leat_emit_to(ctx, SESSION_SIDE_LATE, &late);
    count(&job_of(ctx)->counters.late);
}

/* ------------------------------------------------------------------ event ids */

/* J3: ids are kept as 64-bit hashes.  Two different ids of one user and hour that collide (odds of
 * 1 in 10^13 at a thousand events an hour) would be taken for one. */
static bool is_duplicate(leat_ctx *ctx, uint64_t hash)
{
    const session_state *session = leat_get(ctx, SLOT_SESSION);
    if (session == NULL)
        return false;
    const uint64_t *ids = session->event_ids.items;
    for (size_t i = session->event_ids.count; i-- > 0;)
        if (ids[i] == hash)
            return true;
    return session->ids_spilled && leat_map_get(ctx, SLOT_SEEN, &hash) != NULL;
}

static void remember_id(leat_ctx *ctx, session_state *session, uint64_t hash)
{
    const uint64_t *old = session->event_ids.items;
    size_t kept = session->event_ids.count;
    if (kept >= EVENT_IDS_MAX) {
        for (size_t i = 0; i < EVENT_IDS_MAX / 2; i++)
            *(bool *)leat_map_mut(ctx, SLOT_SEEN, &old[i]) = true;
        old += EVENT_IDS_MAX / 2;
        kept -= EVENT_IDS_MAX / 2;
        session->ids_spilled = true;
    }
    uint64_t *ids = leat_alloc(ctx, (kept + 1) * sizeof *ids);
    if (kept > 0)
        memcpy(ids, old, kept * sizeof *ids);
    ids[kept] = hash;
    session->event_ids = (leat_list){ids, kept + 1};
}

/* ------------------------------------------------------------------ closing */

static leat_str unique_session_id(leat_ctx *ctx, const session_state *session)
{
    leat_str name = session->session_id.length > 0 ? session->session_id : leat_key(ctx);
    size_t room = name.length + 24;
    char *text = leat_alloc(ctx, room);
    memcpy(text, name.data, name.length);
    int digits = snprintf(text + name.length, 24, "@%lld", (long long)session->start_ms);
    return (leat_str){text, name.length + (size_t)digits};
}

static void emit_closed(leat_ctx *ctx, const session_state *session)
{
    const seen_item *seen = session->items.items;
    size_t clicks = session->items.count;
    leat_str *items = leat_alloc(ctx, (clicks + 1) * sizeof *items);
    int64_t *times = leat_alloc(ctx, (clicks + 1) * sizeof *times);
    for (size_t i = 0; i < clicks; i++) {
        items[i] = seen[i].item_id;
        times[i] = seen[i].at_ms;
    }
    closed_session closed = {
        .session_id = unique_session_id(ctx, session),
        .user_id = leat_key(ctx),
        .items = {items, clicks},
        .times_ms = {times, clicks},
        .start_ms = session->start_ms,
        .last_ms = session->last_ms,
        .event_count = session->event_count,
    };
    leat_emit_to(ctx, SESSION_SIDE_CLOSED, &closed);
    count(&job_of(ctx)->counters.sessions_closed);
}

/* J2 */
static bool ends_session(leat_ctx *ctx, const session_state *session, const interaction *event)
{
    if (event->timestamp_ms > session->last_ms + job_of(ctx)->settings.gap_ms)
        return true;
    return event->session_id.length > 0 && session->session_id.length > 0 &&
           !leat_str_equal(event->session_id, session->session_id);
}

/* Sets the timer if it is not set for that moment or an earlier one. */
static void timer_by(leat_ctx *ctx, session_state *session, int64_t at_ms)
{
    if (session->timer_ms != 0 && session->timer_ms <= at_ms)
        return;
    leat_timer_set(ctx, TIMER_SESSION, at_ms);
    session->timer_ms = at_ms;
}

static leat_status on_timer(leat_ctx *ctx, int timer)
{
    (void)timer;
    const recommender_settings *settings = &job_of(ctx)->settings;
    if (leat_get(ctx, SLOT_SESSION) == NULL)
        return LEAT_OK;
    session_state *session = leat_mut(ctx, SLOT_SESSION);
    session->timer_ms = 0;
    if (!session->closed && leat_now(ctx) >= session->last_ms + settings->gap_ms) {
        emit_closed(ctx, session);
        session->closed = true;
    } else if (session->closed && leat_now(ctx) >= session->last_ms + settings->ttl_ms) {
        leat_del(ctx, SLOT_SESSION);
        leat_del(ctx, SLOT_SEEN);
        return LEAT_OK;
    }
    timer_by(ctx, session,
             session->last_ms + (session->closed ? settings->ttl_ms : settings->gap_ms));
    return LEAT_OK;
}

/* ------------------------------------------------------------------ an interaction */

/* The items with the new one in its place by time; the oldest goes when there are too many. */
static leat_list with_item(leat_ctx *ctx, leat_list old, const interaction *event)
{
    size_t most = job_of(ctx)->settings.session_items_max;
    const seen_item *from = old.items;
    size_t dropped = old.count >= most ? old.count - most + 1 : 0;
    size_t kept = old.count - dropped, place = kept;
    seen_item *items = leat_alloc(ctx, (kept + 1) * sizeof *items);
    if (dropped > 0)
        from += dropped;
    while (place > 0 && from[place - 1].at_ms > event->timestamp_ms)
        place--;
    if (place > 0)
        memcpy(items, from, place * sizeof *items);
    items[place] = (seen_item){event->item_id, event->timestamp_ms};
    if (place < kept)
        memcpy(items + place + 1, from + place, (kept - place) * sizeof *items);
    return (leat_list){items, kept + 1};
}

static session_state *add_to_session(leat_ctx *ctx, const interaction *event)
{
    const session_state *known = leat_get(ctx, SLOT_SESSION);
    bool begins = known == NULL || known->closed;
    if (!begins && ends_session(ctx, known, event)) {
        emit_closed(ctx, known);
        begins = true;
    }
    session_state *session = leat_mut(ctx, SLOT_SESSION);
    if (begins) {
        session->closed = false;
        session->session_id = (leat_str){NULL, 0};
        session->start_ms = session->last_ms = event->timestamp_ms;
        session->event_count = 0;
        session->items = (leat_list){NULL, 0};
    }
    if (event->session_id.length > 0)
        session->session_id = event->session_id;
    if (event->category.length > 0)
        session->category = event->category;
    if (event->timestamp_ms < session->start_ms)
        session->start_ms = event->timestamp_ms;
    if (event->timestamp_ms > session->last_ms)
        session->last_ms = event->timestamp_ms;
    session->items = with_item(ctx, session->items, event);
    session->event_count++;
    timer_by(ctx, session, session->last_ms + job_of(ctx)->settings.gap_ms);
    return session;
}

/* Four decimals tell items apart; all nine digits would only be stored. */
static float rounded(float score)
{
    return score > -1e4f && score < 1e4f ? (float)(round((double)score * 1e4) / 1e4) : score;
}

static void emit_recommendation(leat_ctx *ctx, const interaction *event,
                                const session_state *session)
{
    session_local *local = leat_local(ctx);
    const seen_item *seen = session->items.items;
    for (size_t i = 0; i < session->items.count; i++)
        local->clicks[i] = seen[i].item_id;
    recommend_request request = {
        .clicks = local->clicks,
        .click_count = session->items.count,
        .category = session->category,
        .count = job_of(ctx)->settings.count,
    };
    const recommend_item *found;
    size_t found_count = model_recommend(local->reader, &request, &found);
    for (size_t i = 0; i < found_count; i++)
        local->items[i] = (recommended_item){found[i].item, rounded(found[i].score),
                                             recommend_source_name(found[i].source)};
    recommendation out = {
        .user_id = event->user_id,
        .session_id = event->session_id,
        .event_id = event->event_id,
        .session_event = session->event_count,
        .timestamp_ms = event->timestamp_ms,
        .accepted_ms = event->accepted_ms,
        .items = {local->items, found_count},
        .model_version = LEAT_STR(MODEL_VERSION),
    };
    leat_emit(ctx, &out);
}

static leat_status on_interaction(leat_ctx *ctx, const void *record)
{
    const interaction *event = record;
    count(&job_of(ctx)->counters.interactions);
    if (is_late(ctx, event)) {
        emit_late(ctx, event);
        return LEAT_OK;
    }
    uint64_t id = XXH3_64bits(event->event_id.data, event->event_id.length);
    if (event->event_id.length > 0 && is_duplicate(ctx, id)) {
        count(&job_of(ctx)->counters.duplicates);
        return LEAT_OK;
    }
    session_state *session = add_to_session(ctx, event);
    if (event->event_id.length > 0)
        remember_id(ctx, session, id);
    item_touch touch = {
        .item_id = event->item_id,
        .category = event->category,
        .weight = interaction_kind_weight(event->kind),
        .at_ms = event->timestamp_ms,
    };
    leat_emit_to(ctx, SESSION_SIDE_TOUCHED, &touch);
    emit_recommendation(ctx, event, session);
    return LEAT_OK;
}

static leat_status on_open(leat_ctx *ctx, const void *record)
{
    (void)record;
    session_local *local = leat_local(ctx);
    local->reader = model_reader_new(job_of(ctx)->model);
    return LEAT_OK;
}

static leat_status on_close(leat_ctx *ctx, const void *record)
{
    (void)record;
    session_local *local = leat_local(ctx);
    model_reader_free(local->reader);
    local->reader = NULL;
    return LEAT_OK;
}

/* clang-format off */
const leat_process_op session_op = {
    .in = &interaction_type,
    .out = &recommendation_type,
    .state = {
        [SLOT_SESSION] = {.name = SESSION_STATE_NAME, .kind = LEAT_VALUE,
                          .type = &session_state_type},
        [SLOT_SEEN] = {.name = "seen", .kind = LEAT_STATE_MAP, .type = &leat_type_bool,
                       .map_key = &leat_type_u64, .ttl_ms = LEAT_HOURS(1)},
    },
    .timer = {[TIMER_SESSION] = "session"},
    .side = {
        [SESSION_SIDE_CLOSED] = {"closed", &closed_session_type},
        [SESSION_SIDE_TOUCHED] = {"touched", &item_touch_type},
        [SESSION_SIDE_LATE] = {"late", &late_event_type},
    },
    .on_record = on_interaction,
    .on_timer = on_timer,
    .local_bytes = sizeof(session_local),
    .on_open = on_open,
    .on_close = on_close,
    .on_error = LEAT_ON_ERROR_DEAD_LETTER,
};
/* clang-format on */
