/* An entry of the members topic: bytes and back, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/members.h"

static leat__buffer encoded_example(void)
{
    const leat_log_partition owned[] = {{"clicks", 0}, {"clicks", 3}, {"items", 1023}};
    leat__member member = leat__member_make("shop-2", "10.0.0.2:8080");
    leat__buffer bytes = {0};
    member.incarnation = UINT64_MAX - 1;
    member.generation = 17;
    member.state = LEAT__MEMBER_READY;
    leat__member_set_owned(&member, owned, 3);
    leat__member_encode(&member, &bytes);
    leat__member_free(&member);
    return bytes;
}

static leat_status decode(const char *bytes, size_t length)
{
    leat__member member;
    leat_error error;
    char *copy = malloc(length + 1); /* so that a read past the end is seen */
    memcpy(copy, bytes, length);
    leat_status status = leat__member_decode((leat_str){copy, length}, &member, &error);
    if (status == LEAT_OK)
        leat__member_free(&member);
    free(copy);
    return status;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    leat__buffer bytes = encoded_example();
    leat__member member;
    leat_error error;
    assert_int_equal(leat__member_decode((leat_str){bytes.data, bytes.length}, &member, &error),
                     LEAT_OK);
    assert_string_equal(member.instance, "shop-2");
    assert_string_equal(member.address, "10.0.0.2:8080");
    assert_true(member.incarnation == UINT64_MAX - 1);
    assert_int_equal(member.generation, 17);
    assert_int_equal(member.state, LEAT__MEMBER_READY);
    assert_int_equal(member.topic_count, 2);
    assert_true(leat__member_owns(&member, "clicks", 0));
    assert_true(leat__member_owns(&member, "clicks", 3));
    assert_true(leat__member_owns(&member, "items", 1023));
    assert_false(leat__member_owns(&member, "clicks", 1));
    assert_false(leat__member_owns(&member, "items", 0));
    assert_false(leat__member_owns(&member, "orders", 0));
    leat__member_free(&member);
    leat__buffer_free(&bytes);
}

/* docs/formats.md */
static void the_bytes_are_those_of_the_format(void **state)
{
    (void)state;
    const leat_log_partition owned[] = {{"t", 2}};
    leat__member member = leat__member_make("a", "h:1");
    leat__buffer bytes = {0};
    member.incarnation = 1;
    member.generation = 2;
    leat__member_set_owned(&member, owned, 1);
    leat__member_encode(&member, &bytes);
    static const char expected[] = "\1\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\2a\4h:1\1\2t\1\2";
    assert_int_equal(bytes.length, sizeof expected - 1);
    assert_memory_equal(bytes.data, expected, bytes.length);
    leat__member_free(&member);
    leat__buffer_free(&bytes);
}

static void a_newer_format_is_told_from_damage(void **state) /* R26 */
{
    (void)state;
    leat__buffer bytes = encoded_example();
    bytes.data[0] = 2;
    assert_int_equal(decode(bytes.data, bytes.length), LEAT_EVERSION);
    bytes.data[0] = 0;
    assert_int_equal(decode(bytes.data, bytes.length), LEAT_EDATA);
    leat__buffer_free(&bytes);
}

static void cut_or_changed_bytes_do_no_harm(void **state)
{
    (void)state;
    leat__buffer bytes = encoded_example();
    for (size_t length = 0; length < bytes.length; length++)
        assert_int_equal(decode(bytes.data, length), LEAT_EDATA);
    leat__buffer_u8(&bytes, 0); /* something behind the end */
    assert_int_equal(decode(bytes.data, bytes.length), LEAT_EDATA);
    bytes.length--;
    for (size_t at = 0; at < bytes.length; at++)
        for (int value = 0; value < 256; value++) {
            char before = bytes.data[at];
            bytes.data[at] = (char)value;
            (void)decode(bytes.data, bytes.length); /* whatever it says */
            bytes.data[at] = before;
        }
    leat__buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_bytes_are_those_of_the_format),
        cmocka_unit_test(a_newer_format_is_told_from_damage),
        cmocka_unit_test(cut_or_changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
