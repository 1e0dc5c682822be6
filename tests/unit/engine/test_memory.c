/* R28: one budget, divided by what the job needs, refused if that is more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "engine/memory.h"

#define MIB ((size_t)1 << 20)

static leat_error error;

static size_t sum_of(const leat__memory_parts *parts)
{
    return parts->log_bytes + parts->buffer_bytes + parts->cache_bytes +
           2 * parts->write_buffer_bytes + parts->block_cache_bytes;
}

static leat__memory_needs shop(size_t budget_bytes)
{
    return (leat__memory_needs){.job = "shop",
                                .budget_bytes = budget_bytes,
                                .log_bytes = 24 * MIB,
                                .partitions_read = 12,
                                .states = 8};
}

static void it_is_divided_and_never_exceeded(void **state)
{
    (void)state;
    for (size_t budget = 40 * MIB; budget < 1024 * MIB; budget += 3 * MIB + 7) {
        leat__memory_parts parts;
        const leat__memory_needs needs = shop(budget);
        assert_int_equal(leat__memory_divide(&needs, &parts, &error), LEAT_OK);
        assert_true(sum_of(&parts) <= budget && sum_of(&parts) > budget - 100);
        assert_true(parts.buffer_bytes >= 4 * MIB && parts.buffer_bytes <= LEAT__EPOCH_BYTES_MAX);
        assert_true(parts.cache_bytes >= 2 * MIB && parts.write_buffer_bytes >= MIB &&
                    parts.block_cache_bytes >= MIB);
    }
}

static void what_is_too_little_is_refused_with_the_least_that_works(void **state)
{
    (void)state;
    leat__memory_parts parts;
    leat__memory_needs needs = shop(32 * MIB);
    assert_int_equal(leat__memory_divide(&needs, &parts, &error), LEAT_EINVAL);
    assert_string_equal(error.where, "shop");
    assert_string_equal(error.message,
                        "32.0 MiB of memory is too little for this job: the log takes 24.0 MiB (12 "
                        "partitions are read), an epoch's buffers at least 4.0, the state of 8 "
                        "partitions at least 5.0; give it 33 MiB or more");
    needs.budget_bytes = 33 * MIB;
    assert_int_equal(leat__memory_divide(&needs, &parts, &error), LEAT_OK);
}

static void what_the_options_say_is_taken_out_of_it(void **state)
{
    (void)state;
    leat__memory_parts parts;
    leat__memory_needs needs = shop(128 * MIB);
    needs.buffer_bytes = 48 * MIB;
    needs.cache_bytes = 10 * MIB;
    assert_int_equal(leat__memory_divide(&needs, &parts, &error), LEAT_OK);
    assert_int_equal(parts.buffer_bytes, 48 * MIB);
    assert_int_equal(parts.cache_bytes, 10 * MIB);
    assert_true(sum_of(&parts) <= 128 * MIB && sum_of(&parts) > 128 * MIB - 100);
    needs.budget_bytes = 84 * MIB; /* 24 + 48 + 10 + 3 are one more */
    assert_int_equal(leat__memory_divide(&needs, &parts, &error), LEAT_EINVAL);
}

static void without_state_on_disk_only_epochs_are_bounded(void **state)
{
    (void)state;
    leat__memory_parts parts;
    const leat__memory_needs needs = {.job = "j", .budget_bytes = 20 * MIB, .log_bytes = 8 * MIB};
    assert_int_equal(leat__memory_divide(&needs, &parts, &error), LEAT_OK);
    assert_int_equal(parts.buffer_bytes, 12 * MIB);
    assert_int_equal(sum_of(&parts), 20 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_divided_and_never_exceeded),
        cmocka_unit_test(what_is_too_little_is_refused_with_the_least_that_works),
        cmocka_unit_test(what_the_options_say_is_taken_out_of_it),
        cmocka_unit_test(without_state_on_disk_only_epochs_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
