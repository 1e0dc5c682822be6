/* The three hashes: Kafka's murmur2 (known answers of its own tests), CRC-32C, and XXH3. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"

/* Kafka's UtilsTest: a producer written in Java must meet our keys in the same partition. */
static void murmur2_equals_kafka(void **state)
{
    static const struct {
        const char *key;
        int32_t hash;
    } rows[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal((int32_t)leat__murmur2(rows[i].key, strlen(rows[i].key)), rows[i].hash);
}

static void a_partition_comes_from_the_positive_part_of_murmur2(void **state)
{
    (void)state;
    leat_str negative = LEAT_STR("foobar"); /* -790332482 */
    assert_int_equal(leat__partition_of(negative, 7), (-790332482 & 0x7fffffff) % 7);
    assert_int_equal(leat__partition_of(negative, 1), 0);
    for (uint32_t count = 1; count < 100; count++)
        assert_true(leat__partition_of(LEAT_STR("21"), count) < count);
}

static void crc32c_known_answers(void **state)
{
    (void)state;
    char zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(leat__crc32c(0, "", 0), 0);
    assert_int_equal(leat__crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(leat__crc32c(0, zeros, sizeof zeros), 0x8a9136aau); /* RFC 3720, B.4 */
    assert_int_equal(leat__crc32c(0, ones, sizeof ones), 0x62a8ab43u);
}

static void crc32c_is_the_same_with_and_without_the_instruction(void **state)
{
    (void)state;
    char bytes[300];
    leat__random random = {.state = 7};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)leat__random_next(&random);
    for (size_t start = 0; start < 9; start++)
        for (size_t length = 0; start + length <= sizeof bytes; length++)
            assert_int_equal(leat__crc32c(3, bytes + start, length),
                             leat__crc32c_portable(3, bytes + start, length));
}

static void crc32c_goes_on_where_it_stopped(void **state)
{
    (void)state;
    const char text[] = "a record in three pieces";
    uint32_t whole = leat__crc32c(0, text, sizeof text);
    uint32_t pieces = leat__crc32c(0, text, 5);
    pieces = leat__crc32c(pieces, text + 5, 11);
    pieces = leat__crc32c(pieces, text + 16, sizeof text - 16);
    assert_int_equal(pieces, whole);
}

static void crc32c_sees_every_single_bit(void **state)
{
    (void)state;
    unsigned char bytes[24] = "0123456789abcdefghijklm";
    uint32_t sound = leat__crc32c(0, bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_true(leat__crc32c(0, bytes, sizeof bytes) != sound);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void hash64_is_xxh3(void **state)
{
    (void)state;
    assert_int_equal(leat__hash64("", 0), UINT64_C(0x2d06800538d394c2)); /* XXH3's own vector */
    assert_true(leat__hash64("a", 1) != leat__hash64("b", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(murmur2_equals_kafka),
        cmocka_unit_test(a_partition_comes_from_the_positive_part_of_murmur2),
        cmocka_unit_test(crc32c_known_answers),
        cmocka_unit_test(crc32c_is_the_same_with_and_without_the_instruction),
        cmocka_unit_test(crc32c_goes_on_where_it_stopped),
        cmocka_unit_test(crc32c_sees_every_single_bit),
        cmocka_unit_test(hash64_is_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
