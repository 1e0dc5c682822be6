/* Random records of random types: each codec gives back what it was given, a copy stands alone, and
 * damaged bytes are refused or read as another sound record, never past their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/record/random_records.h"

enum { WORLDS = 300, RECORDS_PER_WORLD = 5 };

static random_world world;

static void new_world(uint64_t seed)
{
    world = (random_world){.random.state = seed};
}

/* Calls `check` for many records, each of a type that passed leat_type_check(). */
static void for_random_records(void (*check)(const leat_type *type, const char *record))
{
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        new_world(seed);
        const leat_type *type = random_type(&world, 0);
        leat_error error;
        if (leat_type_check(type, &error) != LEAT_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
        for (int i = 0; i < RECORDS_PER_WORLD; i++) {
            char *record = leat__arena_alloc(&world.arena, type->size_bytes);
            fill_random(&world, type, record);
            check(type, record);
        }
        random_world_free(&world);
    }
}

static void check_json(const leat_type *type, const char *record)
{
    leat_json_decoder *decoder = leat_json_decoder_new();
    char *json = leat_json_encode(type, record);
    char *decoded = leat__arena_alloc(&world.arena, type->size_bytes);
    leat_error error;
    if (leat_json_decode(decoder, type, leat_str_from(json), decoded, &error) != LEAT_OK)
        fail_msg("%s in %s", error.message, json);
    assert_true(records_equal(type, record, decoded));
    char *again = leat_json_encode(type, decoded);
    assert_string_equal(again, json);
    free(again);
    free(json);
    leat_json_decoder_free(decoder);
}

static void json_gives_back_what_it_was_given(void **state)
{
    (void)state;
    for_random_records(check_json);
}

static void check_json_lending(const leat_type *type, const char *record)
{
    leat_json_decoder *decoder = leat_json_decoder_new();
    leat__arena arena = {0};
    char *json = leat_json_encode(type, record);
    leat_str source = leat_str_from(json);
    char *decoded = leat__arena_alloc(&world.arena, type->size_bytes);
    for (int lend = LEAT__STRINGS_IN_INPUT; lend <= LEAT__STRINGS_IN_ARENA; lend++) {
        char *input = malloc(source.length); /* not its NUL: the sanitizer watches the end */
        memcpy(input, source.data, source.length);
        assert_int_equal(leat__json_decode_into(decoder, &arena, type,
                                                (leat_str){input, source.length}, (leat__lend)lend,
                                                decoded, NULL),
                         LEAT_OK);
        leat_str other = LEAT_STR("[[[ something else, for the decoder to forget the first ]]]");
        assert_int_equal(leat__json_decode_into(decoder, &arena, type, other, (leat__lend)lend,
                                                leat__arena_alloc(&arena, type->size_bytes), NULL),
                         LEAT_EDATA);
        if (lend == LEAT__STRINGS_IN_ARENA)
            memset(input, '#', source.length);
        assert_true(records_equal(type, record, decoded));
        free(input);
    }
    free(json);
    leat__arena_free(&arena);
    leat_json_decoder_free(decoder);
}

static void decoded_strings_live_where_they_were_asked_to(void **state)
{
    (void)state;
    for_random_records(check_json_lending);
}

static leat_str binary_of(const leat_type *type, const char *record)
{
    leat__buffer buffer = {0};
    leat__binary_append(&buffer, type, record);
    return (leat_str){buffer.data, buffer.length};
}

static void check_binary(const leat_type *type, const char *record)
{
    leat__arena arena = {0};
    leat_str bytes = binary_of(type, record);
    char *input = malloc(bytes.length); /* exactly: the sanitizer watches its end */
    memcpy(input, bytes.data, bytes.length);
    for (int lend = LEAT__STRINGS_IN_INPUT; lend <= LEAT__STRINGS_IN_ARENA; lend++) {
        char *decoded = leat__arena_alloc(&world.arena, type->size_bytes);
        assert_int_equal(leat__binary_decode_into(&arena, type, (leat_str){input, bytes.length},
                                                  (leat__lend)lend, decoded, NULL),
                         LEAT_OK);
        if (lend == LEAT__STRINGS_IN_ARENA)
            memset(input, 0xee, bytes.length);
        assert_true(records_equal(type, record, decoded));
    }
    free(input);
    free((void *)(uintptr_t)bytes.data);
    leat__arena_free(&arena);
}

static void binary_gives_back_what_it_was_given(void **state)
{
    (void)state;
    for_random_records(check_binary);
}

/* Either refused, or a record that encodes to the same bytes: one record, one encoding. */
static bool refused_or_canonical(const leat_type *type, const char *bytes, size_t length)
{
    leat__arena arena = {0};
    leat__buffer buffer = {0};
    char *input = malloc(length + 1), *record = malloc(type->size_bytes);
    memcpy(input, bytes, length);
    input = realloc(input, length != 0 ? length : 1);
    bool sound = true;
    leat_status status = leat__binary_decode_into(&arena, type, (leat_str){input, length},
                                                  LEAT__STRINGS_IN_INPUT, record, NULL);
    if (status == LEAT_OK) {
        leat__binary_append(&buffer, type, record);
        sound = buffer.length == length && memcmp(buffer.data, input, length) == 0;
    }
    leat__buffer_free(&buffer);
    leat__arena_free(&arena);
    free(record);
    free(input);
    return sound;
}

static void check_damage(const leat_type *type, const char *record)
{
    leat_str bytes = binary_of(type, record);
    char *damaged = (char *)(uintptr_t)bytes.data;
    for (size_t length = 0; length < bytes.length; length++) {
        leat__arena arena = {0};
        char *decoded = malloc(type->size_bytes);
        assert_int_equal(leat__binary_decode_into(&arena, type, (leat_str){damaged, length},
                                                  LEAT__STRINGS_IN_INPUT, decoded, NULL),
                         LEAT_EDATA);
        free(decoded);
        leat__arena_free(&arena);
    }
    size_t bits = bytes.length < 200 ? bytes.length * 8 : 1600;
    for (size_t bit = 0; bit < bits; bit++) {
        damaged[bit / 8] = (char)(damaged[bit / 8] ^ (1 << bit % 8));
        assert_true(refused_or_canonical(type, damaged, bytes.length));
        damaged[bit / 8] = (char)(damaged[bit / 8] ^ (1 << bit % 8));
    }
    free(damaged);
}

static void damaged_binary_is_refused(void **state)
{
    (void)state;
    for_random_records(check_damage);
}

static void overwrite(leat__arena *arena)
{
    size_t used_bytes = arena->used_bytes;
    leat__arena_reset(arena);
    memset(leat__arena_alloc(arena, used_bytes), 0xee, used_bytes);
}

/* The source lives in bytes and an arena of its own; both are overwritten after the copy. */
static void check_copy(const leat_type *type, const char *record)
{
    leat__arena of_source = {.chunk_bytes = 1 << 20}, of_copy = {0};
    char *source = malloc(type->size_bytes), *copy = malloc(type->size_bytes);
    leat__buffer bytes = {0};
    leat__binary_append(&bytes, type, record);
    assert_int_equal(leat__binary_decode_into(&of_source, type,
                                              (leat_str){bytes.data, bytes.length},
                                              LEAT__STRINGS_IN_INPUT, source, NULL),
                     LEAT_OK);
    leat__record_copy(&of_copy, type, source, copy);
    if (leat__type_is_flat(type))
        assert_memory_equal(source, copy, type->size_bytes);
    memset(source, 0xee, type->size_bytes);
    memset(bytes.data, 0xee, bytes.length);
    overwrite(&of_source);
    assert_true(records_equal(type, record, copy));
    leat__buffer_free(&bytes);
    leat__arena_free(&of_source);
    leat__arena_free(&of_copy);
    free(source);
    free(copy);
}

static void a_copy_stands_alone(void **state)
{
    (void)state;
    for_random_records(check_copy);
}

/* Cutting JSON anywhere is refused: every prefix of an object lacks its end. */
static void check_json_prefixes(const leat_type *type, const char *record)
{
    leat_json_decoder *decoder = leat_json_decoder_new();
    char *json = leat_json_encode(type, record), *decoded = malloc(type->size_bytes);
    size_t length = strlen(json);
    for (size_t cut = 0; cut < length; cut += 1 + length / 100)
        assert_int_equal(leat_json_decode(decoder, type, (leat_str){json, cut}, decoded, NULL),
                         LEAT_EDATA);
    free(decoded);
    free(json);
    leat_json_decoder_free(decoder);
}

static void json_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for_random_records(check_json_prefixes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_gives_back_what_it_was_given),
        cmocka_unit_test(decoded_strings_live_where_they_were_asked_to),
        cmocka_unit_test(binary_gives_back_what_it_was_given),
        cmocka_unit_test(damaged_binary_is_refused),
        cmocka_unit_test(a_copy_stands_alone),
        cmocka_unit_test(json_cut_anywhere_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
