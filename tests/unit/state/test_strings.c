/* State, every backend: values of strings without lists, whose bytes are shared with the undo log
 * instead of copied before an edit (S3). */
#include "base/random.h"
#include "conformance.h"

struct inner {
    leat_str text;
};
LEAT_RECORD(inner, text);
struct label {
    leat_str first, second;
    struct inner inner;
    int64_t number;
};
LEAT_RECORD(label, first, second, LEAT_SUB(inner, &inner_type), number);

enum { LABEL, LABEL_TTL, LABEL_SLOTS };
static const leat__slot label_slots[LABEL_SLOTS] = {
    [LABEL] = {.name = "op/label", .kind = LEAT__VALUE, .type = &label_type},
    [LABEL_TTL] = {.name = "op/label-ttl",
                   .kind = LEAT__VALUE,
                   .type = &label_type,
                   .ttl_ms = TTL_MS},
};

static void with_labels(world *w)
{
    world_close(w);
    w->slots = label_slots;
    w->slot_count = LABEL_SLOTS;
    world_open(w);
    leat__store_set_now(w->store, 0, 0);
}

static leat_str lent(const char *text)
{
    static char memory[8][64]; /* gone soon: another string every time */
    static size_t turn;
    char *at = memory[turn++ % 8];
    snprintf(at, sizeof memory[0], "%s", text);
    return (leat_str){at, strlen(at)};
}

static void set_label(world *w, size_t slot, const char *first, const char *second)
{
    begin(w, "ann");
    struct label *label = leat__store_mut(w->store, slot);
    label->first = lent(first);
    label->second = lent(second);
    label->number++;
    assert_int_equal(leat__store_callback_check(w->store, NULL), LEAT_OK);
    commit(w);
}

static const struct label *label_of(world *w, size_t slot)
{
    at_key(w, "ann");
    return leat__store_get(w->store, slot);
}

static void expect_label(world *w, size_t slot, const char *first, const char *second)
{
    const struct label *label = label_of(w, slot);
    assert_non_null(label);
    assert_true(leat_str_equal(label->first, leat_str_from(first)));
    assert_true(leat_str_equal(label->second, leat_str_from(second)));
}

static void what_is_set_to_what_it_was_stays_where_it_is(world *w)
{
    with_labels(w);
    set_label(w, LABEL, "Ann", "Smith");
    const char *first = label_of(w, LABEL)->first.data;
    set_label(w, LABEL, "Ann", "Smith");
    assert_ptr_equal(label_of(w, LABEL)->first.data, first);
    assert_int_equal(label_of(w, LABEL)->number, 2);
    set_label(w, LABEL, "Ann", "Jones"); /* both move, neither is lost */
    expect_label(w, LABEL, "Ann", "Jones");
}

static void a_rollback_has_what_was(world *w)
{
    with_labels(w);
    for (size_t slot = 0; slot < LABEL_SLOTS; slot++) {
        set_label(w, slot, "Ann", "Smith");
        for (int checked = 0; checked < 2; checked++) {
            begin(w, "ann");
            struct label *label = leat__store_mut(w->store, slot);
            label->second = label->first;
            label->first = lent("Bob");
            if (checked)
                assert_int_equal(leat__store_callback_check(w->store, NULL), LEAT_OK);
            rollback(w);
            expect_label(w, slot, "Ann", "Smith");
        }
    }
}

static void deleted_and_made_again_it_is_new(world *w)
{
    with_labels(w);
    for (size_t slot = 0; slot < LABEL_SLOTS; slot++) {
        set_label(w, slot, "Ann", "Smith");
        begin(w, "ann");
        struct label *label = leat__store_mut(w->store, slot);
        leat_str kept = label->first; /* lent until the callback is over */
        leat__store_del(w->store, slot);
        label = leat__store_mut(w->store, slot);
        assert_null(label->first.data);
        label->second = kept;
        label->first = lent("Bob");
        commit(w);
        expect_label(w, slot, "Bob", "Ann");
        begin(w, "ann");
        label = leat__store_mut(w->store, slot);
        label->first = label->second;
        leat__store_del(w->store, slot);
        commit(w);
        assert_null(label_of(w, slot));
    }
}

/* ---------------------------------------------------------------- against a model */

typedef struct model {
    bool present;
    char texts[3][40];
    int64_t number;
} model;

enum { KEYS = 5, STEPS = 3000 };

static leat_str random_text(leat__random *random, leat_str old)
{
    static const char *const texts[] = {"a", "Ann", "Anna", "a text that is longer than others"};
    switch (leat__random_below(random, 4)) {
    case 0:
        return old;
    case 1:
        return (leat_str){old.data, old.length / 2};
    default:
        return lent(texts[leat__random_below(random, 4)]);
    }
}

static void edit(leat__random *random, struct label *label)
{
    if (leat__random_below(random, 2) == 0)
        label->first = random_text(random, label->second);
    if (leat__random_below(random, 2) == 0)
        label->second = random_text(random, label->inner.text);
    if (leat__random_below(random, 2) == 0)
        label->inner.text = random_text(random, label->first);
    label->number++;
}

static void note(model *m, const struct label *label)
{
    const leat_str texts[3] = {label->first, label->second, label->inner.text};
    for (int i = 0; i < 3; i++)
        snprintf(m->texts[i], sizeof m->texts[i], "%.*s", (int)texts[i].length,
                 texts[i].data == NULL ? "" : texts[i].data);
    m->number = label->number;
    m->present = true;
}

static void expect_model(world *w, const model *models, size_t slot)
{
    for (int k = 0; k < KEYS; k++) {
        char key[2] = {(char)('a' + k), '\0'};
        model now = {0};
        at_key(w, key);
        const struct label *label = leat__store_get(w->store, slot);
        if (label != NULL)
            note(&now, label);
        assert_memory_equal(&now, &models[k], sizeof now);
    }
}

static void one_callback(world *w, leat__random *random, model *models, size_t slot)
{
    int k = (int)leat__random_below(random, KEYS);
    char key[2] = {(char)('a' + k), '\0'};
    model now = models[k];
    begin(w, key);
    for (uint64_t edits = leat__random_below(random, 3); edits-- > 0;) {
        struct label *label = leat__store_mut(w->store, slot);
        edit(random, label);
        now = (model){0};
        note(&now, label);
        if (leat__random_below(random, 6) == 0) {
            leat__store_del(w->store, slot);
            now = (model){0};
        }
    }
    if (leat__random_below(random, 2) == 0)
        assert_int_equal(leat__store_callback_check(w->store, NULL), LEAT_OK);
    if (leat__random_below(random, 4) == 0) {
        rollback(w);
    } else {
        commit(w);
        models[k] = now;
    }
}

static void any_edits_are_those_of_a_model(world *w)
{
    with_labels(w);
    leat__random random = {7};
    model models[LABEL_SLOTS][KEYS] = {{{0}}};
    for (int i = 0; i < STEPS; i++) {
        size_t slot = leat__random_below(&random, LABEL_SLOTS);
        one_callback(w, &random, models[slot], slot);
        expect_model(w, models[slot], slot);
        if (leat__random_below(&random, 20) == 0)
            world_epoch(w);
        if (leat__random_below(&random, 200) != 0)
            continue;
        world_epoch(w);
        world_crash(w);
        leat__store_set_now(w->store, 0, 0);
    }
}

/* clang-format off */
#define CASES(X) \
    X(what_is_set_to_what_it_was_stays_where_it_is, "S3 what is set to what it was is not copied") \
    X(a_rollback_has_what_was, "S3 a rollback has the strings that were") \
    X(deleted_and_made_again_it_is_new, "S3 deleted and made again, strings lent before stay") \
    X(any_edits_are_those_of_a_model, "S3 edits of strings give what a model gives")
/* clang-format on */

BOTH_MAIN
