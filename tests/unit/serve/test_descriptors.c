/* The descriptors of the server: the least limit that its message and the guide name is the least
 * that works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/serve/descriptors.h"

enum { LEAST = 212 }; /* docs/guide/operating.md says so, too */

static void below_the_least_limit_it_is_refused_with_the_least(void **state)
{
    (void)state;
    for (uint32_t limit = 0; limit < LEAST; limit++) {
        descriptors divided;
        leat_error error = {0};
        char said[64];
        assert_int_equal(descriptors_of_limit(limit, &divided, &error), LEAT_EINVAL);
        snprintf(said, sizeof said, "is %u, and at least %d are needed", limit, LEAST);
        if (strstr(error.message, said) == NULL)
            fail_msg("%s", error.message);
    }
}

static void from_there_on_all_of_it_fits(void **state)
{
    (void)state;
    for (uint32_t limit = LEAST; limit < 20000; limit++) {
        descriptors d;
        leat_error error = {0};
        assert_int_equal(descriptors_of_limit(limit, &d, &error), LEAT_OK);
        assert_int_equal(d.limit, limit);
        assert_in_range(d.connections, 32, 4000);
        assert_in_range(d.log + d.state + d.others + d.connections, 1, limit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_the_least_limit_it_is_refused_with_the_least),
        cmocka_unit_test(from_there_on_all_of_it_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
