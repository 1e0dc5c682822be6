/* Any bytes as the changelog of a task in memory: rows [key length u8][value length
 * u8][key][value], value length 255 a tombstone.  Damage is an error or is taken as it is, and what
 * was taken can be used and sealed. */
#include <stdint.h>
#include <stdlib.h>

#include "base/hash.h"
#include "state/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct person {
    leat_str name;
    leat_list tags;
};
LEAT_RECORD(person, name, LEAT_LIST(tags, &leat_type_str));
struct tally {
    int64_t count;
};
LEAT_RECORD(tally, count);

enum { PERSON, TALLIES, PEOPLE, BY_ITEM, SLOTS };

/* Short names: the fuzzer finds their numbers in the corpus. */
static const leat__slot slots[SLOTS] = {
    [PERSON] = {.name = "p", .kind = LEAT__VALUE, .type = &person_type, .ttl_ms = 1000},
    [TALLIES] = {.name = "t", .kind = LEAT__LIST, .type = &tally_type, .ttl_ms = 1000},
    [PEOPLE] = {.name = "l", .kind = LEAT__LIST, .type = &person_type},
    [BY_ITEM] = {.name = "m", .kind = LEAT__MAP, .type = &person_type, .map_key = &leat_type_i64},
};
static const char *const timers[] = {"w"};

static leat_status replay(leat__store *store, const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at + 2 <= size) {
        size_t key_length = data[at], value_length = data[at + 1] == 255 ? 0 : data[at + 1];
        const char *key = (const char *)data + at + 2;
        leat_str value = {data[at + 1] == 255 ? NULL : key + key_length, value_length};
        if (at + 2 + key_length + value_length > size)
            break;
        leat_status status = leat__store_restore(store, (leat_str){key, key_length}, value, NULL);
        if (status != LEAT_OK)
            return status;
        at += 2 + key_length + value_length;
    }
    return leat__store_restored(store, 1, &(leat__seal_identity){0}, 0, NULL);
}

static bool count_entry(void *arg, const void *map_key, const void *value)
{
    const struct person *person = value;
    *(size_t *)arg += (size_t)(*(const int64_t *)map_key & 1) + person->name.length;
    return true;
}

static void use(leat__store *store)
{
    static const char *const keys[] = {"", "a", "b"};
    const void *elements;
    size_t sum = 0;
    for (size_t i = 0; i < 3; i++) {
        leat_str key = leat_str_from(keys[i]);
        leat__store_set_key(store, key, leat__hash64(key.data, key.length));
        leat__store_callback_begin(store);
        sum += leat__store_get(store, PERSON) != NULL;
        leat__store_map_each(store, BY_ITEM, count_entry, &sum);
        sum += leat__store_list(store, TALLIES, &elements);
        leat__store_append(store, TALLIES, &(struct tally){1});
        leat__store_append(store, PEOPLE, &(struct person){.name = LEAT_STR("x")});
        leat__store_trim(store, PEOPLE, 3);
        ((struct person *)leat__store_mut(store, PERSON))->name = LEAT_STR("y");
        if (i == 1)
            leat__store_callback_rollback(store);
        else
            leat__store_callback_commit(store);
    }
    leat__timer timer;
    for (int domain = 0; domain < 2; domain++)
        while (leat__store_timer_pop(store, (leat__time_domain)domain, LEAT_TIME_MAX, &timer))
            sum += timer.key.length;
    if (sum == SIZE_MAX)
        abort(); /* so that nothing is optimised away */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    leat__database *database;
    leat__store *store;
    leat__changes changes = {0};
    if (leat__database_open(&database, &(leat__database_opts){.backend = LEAT__MEMORY}, NULL) !=
        LEAT_OK)
        abort();
    leat__store_opts opts = {.database = database,
                             .slots = slots,
                             .slot_count = SLOTS,
                             .timers = timers,
                             .timer_count = 1};
    if (leat__store_open(&store, &opts, NULL) != LEAT_OK)
        abort();
    leat__store_set_now(store, 500, 500);
    if (replay(store, data, size) == LEAT_OK) {
        use(store);
        leat__store_seal(store, 1, &changes);
        leat__changes_reset(&changes);
    }
    leat__changes_free(&changes);
    leat__store_close(store);
    leat__database_close(database);
    return 0;
}
