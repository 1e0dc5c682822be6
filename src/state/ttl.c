/* state/ttl.c - expired values of keys that nobody asks for: swept in rounds, a part at each seal
 * (S2, R22).
 *
 *     due ──► round: part, part, … ──► found something? ──yes──► another round at once
 *      ▲                                     │ no
 *      └── when the earliest value that was seen, or may have been written since, will expire
 *
 *     memory    cells of the table
 *     rocksdb   rows of the database, from where the last part stopped
 *
 * Under load parts are small and come with the seals that there are.  Where nothing else happens
 * the task opens an epoch for each part (leat__store_sweep_in_ms), until nothing is left to expire:
 * a round that found nothing has seen every value, as only deletions move cells of the table.
 *
 * Only what every later read would find expired may go, or a replay that seals elsewhere would read
 * something else (R21).  Event time of single records is not ordered, so the clock of the sweep is
 * the watermark; reads too take the later of both.  What has no time yet gets the sweep's. */
#include "state/internal.h"

enum {
    BUSY_CELLS = 64, /* per seal */
    BUSY_ROWS = 256, /* every so many seals: an iterator costs more than the rows */
    BUSY_SEALS = 8,
    QUIET_CELLS = 2048, /* a ms or two; an event that comes meanwhile waits so long */
    QUIET_ROWS = 512,
    QUIET_PAUSE_MS = 20, /* between parts: a quiet task costs little */
    TTL_PARTS = 16,      /* a round begins no more often than TTL / 16: keys expire one by one */
};

static int64_t later(int64_t time_ms, int64_t duration_ms)
{
    int64_t sum_ms;
    return __builtin_add_overflow(time_ms, duration_ms, &sum_ms) ? LEAT_TIME_MAX : sum_ms;
}

static void lower(int64_t *time_ms, int64_t other_ms)
{
    if (other_ms < *time_ms)
        *time_ms = other_ms;
}

static int64_t sweep_now(const leat__store *store, int domain)
{
    return domain == LEAT__PROCESSING_TIME ? store->clock_ms : store->watermark_ms;
}

/* ---------------------------------------------------------------- one value */

static void note_time(leat__store *store, const leat__cells *cells, int64_t time_ms)
{
    /* what has no time yet gets one as soon as there is one */
    int64_t end_ms = time_ms == LEAT_TIME_MIN ? LEAT_TIME_MIN : later(time_ms, cells->slot.ttl_ms);
    lower(&store->sweep.earliest_ms[cells->slot.ttl_domain], end_ms);
}

static void expire_elements(leat__store *store, leat__cells *cells, leat__entry *entry,
                            int64_t now_ms)
{
    const leat__items *items = leat__entry_items(entry);
    uint32_t count = items->count;
    leat__list_expire(store, cells, entry, now_ms);
    store->sweep.found |= items->count != count;
    for (uint32_t i = 0; i < items->count && (i == 0 || items->unsorted != 0); i++)
        note_time(store, cells, items->times[items->first + i]);
}

static void expire(leat__store *store, leat__cells *cells, leat__entry *entry)
{
    if ((entry->flags & LEAT__PRESENT) == 0)
        return;
    int64_t now_ms = sweep_now(store, (int)cells->slot.ttl_domain);
    if (cells->role == LEAT__ROLE_LIST) {
        expire_elements(store, cells, entry, now_ms);
        return;
    }
    int64_t *time_ms = leat__entry_time(cells, entry);
    if (*time_ms == LEAT_TIME_MIN && now_ms != LEAT_TIME_MIN) { /* it ages from now on */
        leat__entry_touch(store, entry);
        *time_ms = now_ms;
    }
    if (leat__time_expired(cells, *time_ms, now_ms)) {
        store->sweep.found = true;
        leat__entry_del(store, cells, entry);
    } else {
        note_time(store, cells, *time_ms);
    }
}

/* ---------------------------------------------------------------- a part of a round */

/* True: that was the last part. */
static bool sweep_table(leat__store *store, int count)
{
    leat__sweep *sweep = &store->sweep;
    for (; count > 0 && sweep->at <= store->mask; count--) {
        uint32_t ref = store->table == NULL ? 0 : store->table[sweep->at].ref;
        sweep->at++;
        if (ref == 0)
            continue;
        leat__entry *entry = leat__slab_at(&store->slab, ref);
        leat__cells *cells = leat__cells_of(store, entry);
        if (cells->slot.ttl_ms != 0)
            expire(store, cells, entry);
    }
    return sweep->at > store->mask;
}

static void sweep_row(leat__store *store, leat_str key, leat_str value)
{
    leat__row_key row;
    leat__row_value head;
    leat_str row_bytes = {key.data + sizeof store->prefix, key.length - sizeof store->prefix};
    if (!leat__row_key_parse(row_bytes, &row) || row.kind == LEAT__ROW_CHUNK)
        return;
    leat__cells *cells = leat__cells_by_id(store, row.kind, row.id);
    if (cells == NULL || cells->slot.ttl_ms == 0 || !leat__row_value_parse(value, &head))
        return;
    int64_t now_ms = sweep_now(store, (int)cells->slot.ttl_domain);
    bool known = head.has_time && head.time_ms != LEAT_TIME_MIN;
    if (known ? !leat__time_expired(cells, head.time_ms, now_ms) : now_ms == LEAT_TIME_MIN) {
        note_time(store, cells, known ? head.time_ms : LEAT_TIME_MIN);
        return;
    }
    leat__store_set_key(store, row.key, leat__hash64(row.key.data, row.key.length));
    leat__entry *entry = cells->role == LEAT__ROLE_MAP
                             ? leat__cache_find_map(store, cells, row.map_key)
                             : leat__cache_find(store, cells);
    if (entry != NULL)
        expire(store, cells, entry); /* the cache may know better than the row */
}

static bool sweep_rows(leat__store *store, int count)
{
    const leat__backend_ops *ops = store->database->ops;
    leat__buffer *stop = &store->sweep.key;
    leat_error error = {0};
    leat_str key, value, from = {stop->data, stop->length};
    leat__rows *rows =
        ops->rows(store->database, (leat_str){store->prefix, sizeof store->prefix}, from);
    bool over = true;
    stop->length = 0;
    while (ops->next(rows, &key, &value)) {
        if (count-- == 0) {
            leat__buffer_bytes(stop, key.data, key.length);
            over = false;
            break;
        }
        sweep_row(store, key, value);
    }
    if (ops->rows_close(rows, &error) != LEAT_OK)
        leat__store_fail(store, &error);
    store->key = (leat_str){0}; /* the rows are gone */
    return over;
}

/* ---------------------------------------------------------------- rounds */

void leat__ttl_begin(leat__store *store)
{
    leat__sweep *sweep = &store->sweep;
    sweep->under_way = false;
    sweep->changed_before = 0;
    sweep->last_ms = LEAT_TIME_MIN;
    sweep->epoch_began_ms = LEAT_TIME_MIN;
    for (int domain = 0; domain < 2; domain++) {
        sweep->written_ms[domain] = LEAT_TIME_MAX;
        sweep->earliest_ms[domain] = LEAT_TIME_MIN; /* what is there is not known yet */
        sweep->soonest_ms[domain] = LEAT_TIME_MIN;
        sweep->shortest_ms[domain] = 0;
        for (size_t i = 0; i < store->slot_count; i++) {
            const leat__slot *slot = &store->cells_of[i].slot;
            int64_t *shortest = &sweep->shortest_ms[domain];
            if (slot->ttl_ms != 0 && (int)slot->ttl_domain == domain &&
                (*shortest == 0 || slot->ttl_ms < *shortest))
                *shortest = slot->ttl_ms;
        }
    }
}

/* When the next round is to begin; LEAT_TIME_MAX: nothing will expire. */
static int64_t due_at(const leat__sweep *sweep, int domain)
{
    int64_t due_ms = sweep->earliest_ms[domain];
    lower(&due_ms, sweep->written_ms[domain]);
    if (sweep->shortest_ms[domain] == 0)
        return LEAT_TIME_MAX;
    return due_ms < sweep->soonest_ms[domain] ? sweep->soonest_ms[domain] : due_ms;
}

static bool is_due(const leat__store *store, int domain, int64_t now_ms)
{
    int64_t due_ms = due_at(&store->sweep, domain);
    return now_ms != LEAT_TIME_MIN && due_ms <= now_ms && due_ms != LEAT_TIME_MAX;
}

static bool round_due(const leat__store *store)
{
    return is_due(store, LEAT__EVENT_TIME, sweep_now(store, LEAT__EVENT_TIME)) ||
           is_due(store, LEAT__PROCESSING_TIME, sweep_now(store, LEAT__PROCESSING_TIME));
}

static void begin_round(leat__store *store)
{
    leat__sweep *sweep = &store->sweep;
    bool all_there = !store->durable || sweep->changed_before <= atomic_load(&store->applied);
    sweep->under_way = true;
    sweep->found = false;
    sweep->at = 0;
    sweep->key.length = 0;
    for (int domain = 0; domain < 2; domain++) {
        sweep->soonest_ms[domain] =
            later(sweep_now(store, domain), sweep->shortest_ms[domain] / TTL_PARTS);
        sweep->earliest_ms[domain] = LEAT_TIME_MAX;
        if (all_there) /* else rows may come where the round has passed */
            sweep->written_ms[domain] = LEAT_TIME_MAX;
    }
}

static void end_round(leat__store *store)
{
    leat__sweep *sweep = &store->sweep;
    sweep->under_way = false;
    for (int domain = 0; sweep->found && domain < 2; domain++)
        sweep->earliest_ms[domain] = sweep->soonest_ms[domain] = LEAT_TIME_MIN; /* at once */
}

static void note_writes(leat__store *store, uint64_t epoch)
{
    leat__sweep *sweep = &store->sweep;
    if (store->dirty_count == 0)
        return;
    sweep->changed_before = epoch + 1;
    int64_t *event_ms = &sweep->written_ms[LEAT__EVENT_TIME];
    int64_t *clock_ms = &sweep->written_ms[LEAT__PROCESSING_TIME];
    lower(event_ms, later(sweep->epoch_began_ms, sweep->shortest_ms[LEAT__EVENT_TIME]));
    lower(clock_ms, later(store->clock_ms, sweep->shortest_ms[LEAT__PROCESSING_TIME]));
}

void leat__ttl_sweep(leat__store *store, uint64_t epoch)
{
    leat__sweep *sweep = &store->sweep;
    if (!store->has_ttl)
        return;
    bool busy = store->dirty_count != 0;
    if (!sweep->under_way && round_due(store))
        begin_round(store);
    note_writes(store, epoch);
    if (sweep->under_way && !(busy && store->durable && store->seals % BUSY_SEALS != 0)) {
        bool over = store->durable ? sweep_rows(store, busy ? BUSY_ROWS : QUIET_ROWS)
                                   : sweep_table(store, busy ? BUSY_CELLS : QUIET_CELLS);
        sweep->last_ms = store->clock_ms;
        if (over)
            end_round(store);
    }
    if (store->dirty_count != 0)
        sweep->changed_before = epoch + 1;
    sweep->epoch_began_ms = store->watermark_ms;
}

int64_t leat__store_sweep_in_ms(const leat__store *store, int64_t clock_ms)
{
    const leat__sweep *sweep = &store->sweep;
    if (!store->has_ttl)
        return INT64_MAX;
    bool now = sweep->under_way ||
               is_due(store, LEAT__EVENT_TIME, sweep_now(store, LEAT__EVENT_TIME)) ||
               is_due(store, LEAT__PROCESSING_TIME, clock_ms);
    if (now) { /* a clock that was set back does not stop it */
        bool paused = sweep->last_ms != LEAT_TIME_MIN && clock_ms >= sweep->last_ms &&
                      clock_ms - sweep->last_ms < QUIET_PAUSE_MS;
        return paused ? QUIET_PAUSE_MS - (clock_ms - sweep->last_ms) : 0;
    }
    int64_t due_ms = due_at(sweep, LEAT__PROCESSING_TIME);
    return due_ms == LEAT_TIME_MAX ? INT64_MAX : due_ms - clock_ms;
}
