/* tests/unit/state/conformance.h - what every state backend does is said in test_values.c,
 * test_lists.c, test_maps.c, test_ttl.c, test_timers.c and test_epochs.c; each case runs for memory
 * and for rocksdb. */
#ifndef TEST_STATE_CONFORMANCE_H
#define TEST_STATE_CONFORMANCE_H
#include "world.h"

/* ---------------------------------------------------------------- helpers */

static inline void set_tally(world *w, const char *key, int64_t count)
{
    begin(w, key);
    ((struct tally *)leat__store_mut(w->store, TALLY))->count = count;
    commit(w);
}

static inline int64_t tally_of(world *w, size_t slot, const char *key)
{ /* -1: absent */
    begin(w, key);
    const struct tally *tally = leat__store_get(w->store, slot);
    int64_t count = tally == NULL ? -1 : tally->count;
    commit(w);
    return count;
}

static inline void set_slot(world *w, size_t slot, const char *key, int64_t count)
{
    begin(w, key);
    ((struct tally *)leat__store_mut(w->store, slot))->count = count;
    commit(w);
}

static inline void set_name(world *w, const char *key, const char *name)
{
    char lent[64];
    leat_str tags[2] = {LEAT_STR("red"), LEAT_STR("blue")};
    begin(w, key);
    struct profile *profile = leat__store_mut(w->store, PROFILE);
    snprintf(lent, sizeof lent, "%s", name);
    profile->name = (leat_str){lent, strlen(lent)};
    profile->age = (uint32_t)strlen(name);
    profile->tags = (leat_list){tags, 2};
    commit(w);
    memset(lent, 'x', sizeof lent); /* what was lent is gone after the commit */
    tags[0] = LEAT_STR("?");
}

static inline void expect_name(world *w, const char *key, const char *name)
{
    begin(w, key);
    const struct profile *profile = leat__store_get(w->store, PROFILE);
    assert_non_null(profile);
    assert_int_equal(profile->name.length, strlen(name));
    assert_memory_equal(profile->name.data, name, strlen(name));
    assert_int_equal(profile->age, strlen(name));
    assert_int_equal(profile->tags.count, 2);
    assert_true(leat_str_equal(((const leat_str *)profile->tags.items)[1], LEAT_STR("blue")));
    commit(w);
}

static inline void visit_at(world *w, size_t slot, const char *key, uint64_t item, int64_t event_ms)
{
    leat__store_set_now(w->store, event_ms, event_ms);
    begin(w, key);
    leat__store_append(w->store, slot, &(struct visit){item, event_ms});
    commit(w);
}

static inline void expect_visits(world *w, size_t slot, const char *key, const char *items)
{ /* "1 2 3" */
    char found[4096] = "";
    begin(w, key);
    const void *elements;
    size_t count = leat__store_list(w->store, slot, &elements);
    const struct visit *visits = elements;
    for (size_t i = 0; i < count && strlen(found) < 4000; i++)
        sprintf(found + strlen(found), "%s%llu", i == 0 ? "" : " ",
                (unsigned long long)visits[i].item);
    commit(w);
    assert_string_equal(found, items);
}

static inline void put_item(world *w, size_t slot, const char *key, int64_t item, int64_t count)
{
    begin(w, key);
    ((struct tally *)leat__store_map_mut(w->store, slot, &item))->count = count;
    commit(w);
}

static inline int64_t item_of(world *w, size_t slot, const char *key, int64_t item)
{
    begin(w, key);
    const struct tally *tally = leat__store_map_get(w->store, slot, &item);
    int64_t count = tally == NULL ? -1 : tally->count;
    commit(w);
    return count;
}

static inline bool collect(void *arg, const void *map_key, const void *value)
{
    char *text = arg;
    sprintf(text + strlen(text), "%s%lld=%lld", text[0] == '\0' ? "" : " ",
            (long long)*(const int64_t *)map_key, (long long)((const struct tally *)value)->count);
    return strlen(text) < 4000;
}

static inline void expect_map(world *w, size_t slot, const char *key, const char *items)
{ /* "-1=5 3=7" */
    char found[4096] = "";
    begin(w, key);
    leat__store_map_each(w->store, slot, collect, found);
    commit(w);
    assert_string_equal(found, items);
}

static inline void set_timer(world *w, const char *key, size_t timer, int64_t at_ms)
{
    begin(w, key);
    leat__store_timer_set(w->store, timer, LEAT__EVENT_TIME, 0, at_ms);
    commit(w);
}

static inline void clear_timer(world *w, const char *key, size_t timer)
{
    begin(w, key);
    leat__store_timer_clear(w->store, timer, LEAT__EVENT_TIME, 0);
    commit(w);
}

static inline void expect_fired(world *w, int64_t until_ms, const char *timers)
{ /* "0:ann@5 1:bob@7" */
    char found[4096] = "";
    leat__timer timer;
    while (leat__store_timer_pop(w->store, LEAT__EVENT_TIME, until_ms, &timer))
        sprintf(found + strlen(found), "%s%zu:%.*s@%lld", found[0] == '\0' ? "" : " ", timer.timer,
                (int)timer.key.length, timer.key.data, (long long)timer.at_ms);
    assert_string_equal(found, timers);
}

/* ---------------------------------------------------------------- run for both backends */

typedef void (*both_case)(world *w);

static inline void both_run(void **state, leat__backend backend)
{
    world *w = world_new(backend);
    (**(const both_case *)*state)(w);
    world_free(w);
}
static inline void both_memory(void **state)
{
    both_run(state, LEAT__MEMORY);
}
static inline void both_rocksdb(void **state)
{
    both_run(state, LEAT__ROCKSDB);
}

/* CASES(X) names each function and its sentence. */
#define BOTH_CASE(function, name) static const both_case function##_case = function;
#define BOTH_TESTS(function, name)                                                   \
    {"memory: " name, both_memory, NULL, NULL, (void *)(uintptr_t)&function##_case}, \
        {"rocksdb: " name, both_rocksdb, NULL, NULL, (void *)(uintptr_t)&function##_case},
#define BOTH_MAIN                                              \
    CASES(BOTH_CASE)                                           \
    int main(void)                                             \
    {                                                          \
        const struct CMUnitTest tests[] = {CASES(BOTH_TESTS)}; \
        return cmocka_run_group_tests(tests, NULL, NULL);      \
    }
#endif
