/* Random work against a model simple enough to be right: callbacks that fail, epochs, rewinds,
 * crashes before and after the database has the epoch, replays (S1 S2 S3 T1 T2 R6 R10). A failure
 * prints the seed; LEAT_TEST_SEED=n runs it alone.
 *
 *     model.now        what the task sees      callback fails: back to the copy made before it
 *     model.committed  what the log has        rewind, crash: now = committed */
#include "base/random.h"
#include "world.h"

enum { KEYS = 9, ITEMS = 5, LIST_MAX = 200, TAGS = 2, STEPS = 1200, SEEDS = 4 };

typedef struct value {
    bool present;
    int64_t number, time_ms;
    char name[40];
} value;
typedef struct list {
    size_t count;
    int64_t number[LIST_MAX], time_ms[LIST_MAX];
} list;
typedef struct task {
    value tally[KEYS], profile[KEYS], fading[KEYS], item[KEYS][ITEMS], fading_item[KEYS][ITEMS];
    list visits[KEYS], fading_list[KEYS], names[KEYS];
    value timer[TIMER_COUNT][KEYS][TAGS];
    int64_t now_ms;
} task;

typedef struct model {
    world *w;
    leat__random random;
    task now, committed, before;
    uint64_t seed;
    int step;
} model;

static void check(const model *m, bool holds, const char *what, int line)
{
    if (!holds)
        fail_msg("seed %llu step %d: %s (line %d)", (unsigned long long)m->seed, m->step, what,
                 line);
}
#define CHECK(m, condition) check((m), (condition), #condition, __LINE__)

static size_t below(model *m, size_t bound)
{
    return (size_t)leat__random_below(&m->random, bound);
}

static const char *const key_names[KEYS] = {
    "",
    "a",
    "b",
    "bb",
    "key four",
    "key five",
    "a key that is longer than sixty-four bytes does not fit into its entry",
    "key seven",
    "z"};

static void select_key(model *m, size_t key)
{
    at_key(m->w, key_names[key]);
    leat__store_set_now(m->w->store, m->now.now_ms, m->now.now_ms);
}

/* ---------------------------------------------------------------- the model's view */

static bool live(const model *m, const value *v, bool fades)
{
    return v->present && (!fades || v->time_ms + TTL_MS > m->now.now_ms);
}

static void expire(const model *m, list *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (l->time_ms[i] + TTL_MS <= m->now.now_ms)
            continue;
        l->number[kept] = l->number[i];
        l->time_ms[kept++] = l->time_ms[i];
    }
    l->count = kept;
}

/* ---------------------------------------------------------------- checks of one key */

static void check_tally(model *m, size_t slot, const value *expected, bool fades)
{
    const struct tally *found = leat__store_get(m->w->store, slot);
    CHECK(m, (found != NULL) == live(m, expected, fades));
    if (found != NULL)
        CHECK(m, found->count == expected->number);
}

static void check_profile(model *m, const value *expected)
{
    const struct profile *found = leat__store_get(m->w->store, PROFILE);
    CHECK(m, (found != NULL) == expected->present);
    if (found == NULL)
        return;
    CHECK(m, leat_str_equal(found->name, leat_str_from(expected->name)));
    CHECK(m, found->tags.count == (size_t)expected->number);
    for (size_t i = 0; i < found->tags.count; i++)
        CHECK(m, leat_str_equal(((const leat_str *)found->tags.items)[i],
                                leat_str_from(expected->name)));
}

static void check_list(model *m, size_t slot, list *expected)
{
    const void *elements;
    if (slot == SHORT_LIST)
        expire(m, expected);
    size_t count = leat__store_list(m->w->store, slot, &elements);
    CHECK(m, count == expected->count);
    for (size_t i = 0; i < count; i++)
        CHECK(m, (int64_t)((const struct visit *)elements)[i].item == expected->number[i]);
}

static void check_names(model *m, const list *expected)
{
    const void *elements;
    size_t count = leat__store_list(m->w->store, NAMES, &elements);
    CHECK(m, count == expected->count);
    for (size_t i = 0; i < count; i++)
        CHECK(m, (int64_t)((const leat_str *)elements)[i].length == expected->number[i]);
}

typedef struct stroll {
    model *m;
    const value *items;
    bool fades;
    size_t seen;
    int64_t last;
} stroll;

static bool check_item(void *arg, const void *map_key, const void *found)
{
    stroll *walk = arg;
    int64_t key = *(const int64_t *)map_key;
    CHECK(walk->m, key > walk->last);
    CHECK(walk->m, live(walk->m, &walk->items[key], walk->fades));
    CHECK(walk->m, ((const struct tally *)found)->count == walk->items[key].number);
    walk->last = key;
    walk->seen++;
    return true;
}

static void check_map(model *m, size_t slot, const value *items, bool fades)
{
    stroll walk = {m, items, fades, 0, -1};
    size_t expected = 0;
    for (size_t i = 0; i < ITEMS; i++)
        expected += live(m, &items[i], fades) ? 1 : 0;
    leat__store_map_each(m->w->store, slot, check_item, &walk);
    CHECK(m, walk.seen == expected);
}

static void check_all(model *m)
{
    for (size_t k = 0; k < KEYS; k++) {
        select_key(m, k);
        leat__store_callback_begin(m->w->store);
        check_tally(m, TALLY, &m->now.tally[k], false);
        check_tally(m, SHORT, &m->now.fading[k], true);
        check_profile(m, &m->now.profile[k]);
        check_list(m, VISITS, &m->now.visits[k]);
        check_list(m, SHORT_LIST, &m->now.fading_list[k]);
        check_names(m, &m->now.names[k]);
        check_map(m, BY_ITEM, m->now.item[k], false);
        check_map(m, SHORT_MAP, m->now.fading_item[k], true);
        commit(m->w);
    }
}

/* ---------------------------------------------------------------- one change, on both sides */

static void write_tally(model *m, size_t slot, value *v, bool fades)
{
    struct tally *tally = leat__store_mut(m->w->store, slot);
    CHECK(m, tally->count == (live(m, v, fades) ? v->number : 0));
    tally->count = (int64_t)below(m, 1000);
    *v = (value){.present = true, .number = tally->count, .time_ms = m->now.now_ms};
}

static void write_profile(model *m, value *v)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    leat_str tags[6];
    struct profile *profile = leat__store_mut(m->w->store, PROFILE);
    if (below(m, 4) == 0 && v->present)
        return; /* handed out, not changed */
    size_t length = below(m, sizeof v->name);
    memcpy(v->name, letters, length < sizeof letters ? length : sizeof letters - 1);
    v->name[length < sizeof letters ? length : sizeof letters - 1] = '\0';
    v->number = (int64_t)below(m, 6);
    v->present = true;
    for (int i = 0; i < 6; i++)
        tags[i] = leat_str_from(v->name);
    leat_str *copy = leat__alloc(sizeof tags);
    memcpy(copy, tags, sizeof tags);
    profile->name = leat_str_from(v->name);
    profile->tags = (leat_list){copy, (size_t)v->number};
    m->w->lent = copy; /* until the callback is over */
}

static void write_list(model *m, size_t slot, list *l)
{
    if (slot == SHORT_LIST)
        expire(m, l);
    size_t many = below(m, 8) == 0 ? 70 : 1;
    for (size_t i = 0; i < many && l->count < LIST_MAX; i++) {
        int64_t number = (int64_t)below(m, 1000);
        char text[1000];
        memset(text, 't', sizeof text);
        if (slot == NAMES)
            leat__store_append(m->w->store, slot, &(leat_str){text, (size_t)number});
        else
            leat__store_append(m->w->store, slot, &(struct visit){(uint64_t)number, 0});
        l->number[l->count] = number;
        l->time_ms[l->count++] = m->now.now_ms;
    }
    if (below(m, 3) != 0 && l->count != LIST_MAX)
        return;
    size_t keep = below(m, 40);
    leat__store_trim(m->w->store, slot, keep);
    if (l->count <= keep)
        return;
    memmove(l->number, l->number + l->count - keep, keep * sizeof *l->number);
    memmove(l->time_ms, l->time_ms + l->count - keep, keep * sizeof *l->time_ms);
    l->count = keep;
}

static void change_item(model *m, size_t slot, value *items, bool fades)
{
    int64_t item = (int64_t)below(m, ITEMS);
    value *v = &items[item];
    if (below(m, 3) == 0) {
        leat__store_map_del(m->w->store, slot, &item);
        v->present = false;
        return;
    }
    const struct tally *found = leat__store_map_get(m->w->store, slot, &item);
    CHECK(m, (found != NULL) == live(m, v, fades));
    struct tally *tally = leat__store_map_mut(m->w->store, slot, &item);
    CHECK(m, tally->count == (live(m, v, fades) ? v->number : 0));
    tally->count = (int64_t)below(m, 1000);
    *v = (value){.present = true, .number = tally->count, .time_ms = m->now.now_ms};
}

static void change_timer(model *m, size_t k)
{
    size_t timer = below(m, TIMER_COUNT), tag = below(m, TAGS);
    value *v = &m->now.timer[timer][k][tag];
    if (below(m, 3) == 0) {
        leat__store_timer_clear(m->w->store, timer, LEAT__EVENT_TIME, (int64_t)tag);
        v->present = false;
    } else {
        *v = (value){.present = true, .time_ms = m->now.now_ms + (int64_t)below(m, 300)};
        leat__store_timer_set(m->w->store, timer, LEAT__EVENT_TIME, (int64_t)tag, v->time_ms);
    }
}

static void delete_one(model *m, size_t k)
{
    size_t slot = below(m, SLOT_COUNT);
    if (slot == BY_NAME || slot == SHORT_READ || slot >= CLOCKED)
        return;
    leat__store_del(m->w->store, slot);
    if (slot == TALLY)
        m->now.tally[k].present = false;
    if (slot == PROFILE)
        m->now.profile[k] = (value){0};
    if (slot == SHORT)
        m->now.fading[k].present = false;
    if (slot == VISITS)
        m->now.visits[k].count = 0;
    if (slot == SHORT_LIST)
        m->now.fading_list[k].count = 0;
    if (slot == NAMES)
        m->now.names[k].count = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        if (slot == BY_ITEM)
            m->now.item[k][i].present = false;
        if (slot == SHORT_MAP)
            m->now.fading_item[k][i].present = false;
    }
}

static void change_one(model *m, size_t k)
{
    switch (below(m, 10)) {
    case 0:
        write_tally(m, TALLY, &m->now.tally[k], false);
        break;
    case 1:
        write_tally(m, SHORT, &m->now.fading[k], true);
        break;
    case 2:
        write_profile(m, &m->now.profile[k]);
        break;
    case 3:
        write_list(m, VISITS, &m->now.visits[k]);
        break;
    case 4:
        write_list(m, SHORT_LIST, &m->now.fading_list[k]);
        break;
    case 5:
        write_list(m, NAMES, &m->now.names[k]);
        break;
    case 6:
        change_item(m, BY_ITEM, m->now.item[k], false);
        break;
    case 7:
        change_item(m, SHORT_MAP, m->now.fading_item[k], true);
        break;
    case 8:
        change_timer(m, k);
        break;
    default:
        delete_one(m, k);
    }
}

static void callback(model *m)
{
    size_t k = below(m, KEYS);
    m->before = m->now;
    select_key(m, k);
    leat__store_callback_begin(m->w->store);
    for (size_t changes = below(m, 6) + 1; changes != 0; changes--) {
        leat__free(m->w->lent); /* strings of a value are lent until the commit: one profile edit
                                   per callback */
        m->w->lent = NULL;
        change_one(m, k);
        if (m->w->lent != NULL)
            break;
    }
    if (below(m, 4) == 0) {
        rollback(m->w);
        m->now = m->before;
    } else {
        commit(m->w);
    }
    leat__free(m->w->lent);
    m->w->lent = NULL;
}

/* ---------------------------------------------------------------- timers: the model looks at all
 * of them */

static bool earliest(const model *m, int64_t until_ms, size_t *timer, size_t *key, size_t *tag)
{
    const value *best = NULL;
    for (size_t t = 0; t < TIMER_COUNT; t++)
        for (size_t k = 0; k < KEYS;
             k++) /* in byte order of their names but for "a key...": see sorted[] */
            for (size_t g = 0; g < TAGS; g++) {
                static const size_t sorted[KEYS] = {0, 1, 6, 2, 3, 5, 4, 7, 8};
                const value *v = &m->now.timer[t][sorted[k]][g];
                if (!v->present || v->time_ms > until_ms ||
                    (best != NULL && v->time_ms >= best->time_ms))
                    continue;
                best = v;
                *timer = t, *key = sorted[k], *tag = g;
            }
    return best != NULL;
}

static void fire(model *m)
{
    int64_t until_ms = m->now.now_ms;
    size_t timer = 0, key = 0, tag = 0;
    leat__timer fired;
    while (earliest(m, until_ms, &timer, &key, &tag)) {
        value *v = &m->now.timer[timer][key][tag];
        CHECK(m, leat__store_timer_next(m->w->store, LEAT__EVENT_TIME) == v->time_ms);
        CHECK(m, leat__store_timer_pop(m->w->store, LEAT__EVENT_TIME, until_ms, &fired));
        CHECK(m, fired.timer == timer && fired.tag == (int64_t)tag && fired.at_ms == v->time_ms);
        CHECK(m, leat_str_equal(fired.key, leat_str_from(key_names[key])));
        v->present = false;
    }
    CHECK(m, !leat__store_timer_pop(m->w->store, LEAT__EVENT_TIME, until_ms, &fired));
}

/* ---------------------------------------------------------------- one step */

static void go_on(model *m)
{
    m->now.now_ms += (int64_t)below(m, 60);
    leat__store_set_now(m->w->store, m->now.now_ms, m->now.now_ms);
    leat__store_set_watermark(m->w->store, m->now.now_ms);
}

static void back_to_committed(model *m)
{
    int64_t now_ms = m->now.now_ms;
    m->now = m->committed;
    m->now.now_ms = now_ms;
    check_all(m);
}

static void step(model *m)
{
    size_t what = below(m, 100);
    if (what < 75) {
        callback(m);
    } else if (what < 82) {
        go_on(m);
        fire(m);
    } else if (what < 93) {
        world_epoch(m->w);
        m->committed = m->now;
    } else if (what < 95) { /* sealed, then the commit fails */
        leat__store_seal(m->w->store, ++m->w->epoch, &m->w->changes);
        if (below(m, 2) == 0)
            callback(m);
        world_rewind(m->w);
        back_to_committed(m);
    } else if (what < 97) { /* in the log, not yet in the database */
        leat__store_seal(m->w->store, ++m->w->epoch, &m->w->changes);
        world_log(m->w, &m->w->changes);
        m->committed = m->now;
        world_crash(m->w);
        back_to_committed(m);
    } else if (what < 99) {
        world_crash(m->w);
        back_to_committed(m);
    } else {
        leat_error error;
        CHECK(m, world_replay_from(m->w, 0, &error) == LEAT_OK);
        back_to_committed(m);
    }
}

static void run_seed(leat__backend backend, uint64_t seed)
{
    model *m = leat__calloc(1, sizeof *m);
    m->seed = seed;
    m->random.state = seed * 1000003;
    m->w = world_new(backend);
    world_close(m->w);
    m->w->cache_bytes =
        seed % 2 == 0 ? 4 << 10 : 0; /* half of them with a cache that holds nothing */
    m->w->write_buffer_bytes = 64 << 10;
    world_open(m->w);
    for (m->step = 0; m->step < STEPS; m->step++) {
        step(m);
        if (m->step % 50 == 0)
            check_all(m);
    }
    fire(m);
    check_all(m);
    world_free(m->w);
    leat__free(m);
}

static void run_backend(leat__backend backend)
{
    const char *seed = getenv("LEAT_TEST_SEED");
    if (seed != NULL) {
        run_seed(backend, strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 1; i <= SEEDS; i++)
        run_seed(backend, i);
}

static void memory_agrees(void **state)
{
    (void)state;
    run_backend(LEAT__MEMORY);
}
static void rocksdb_agrees(void **state)
{
    (void)state;
    run_backend(LEAT__ROCKSDB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"memory: S3 R6 R10 random work, failures and crashes agree with the model", memory_agrees,
         NULL, NULL, NULL},
        {"rocksdb: S3 R6 R10 random work, failures and crashes agree with the model",
         rocksdb_agrees, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
