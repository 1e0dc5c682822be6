/* R19: a value that no record of the log can hold is found while its callback can still be undone:
 * the event that caused it fails by its operator's policy, and state is as if it had not been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "integration/state_sizes_job.h"
#include <leat/test.h>

static void in_the_embedded_log(void **state)
{
    (void)state;
    char dir[] = "/tmp/leat-sizes-XXXXXX", url[64], command[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(url, sizeof(url), "embedded:%s/log", dir);
    sizes_are_checked_before_state_is_touched(url);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void send(leat_test *test, const char *user, const char *kind, int size)
{
    char json[100];
    (void)snprintf(json, sizeof(json), "{\"user\":\"%s\",\"kind\":\"%s\",\"size\":%d}", user, kind,
                   size);
    leat_test_send_keyed(test, "orders", user, json);
}

static void in_the_harness_the_rest_goes_on(void **state)
{
    (void)state;
    static const char *const kinds[] = {"value", "list", "map"};
    leat_test *test = leat_test_new(sizes_job("sim:sizes", LEAT_ON_ERROR_SKIP, false));
    for (int i = 0; i < 3; i++) {
        send(test, "bob", kinds[i], OVER_BYTES);
        send(test, "bob", kinds[i], 3);
        send(test, "ann", kinds[i], 2);
    }
    assert_int_equal(leat_test_run(test), LEAT_OK);
    leat_test_crash(test);
    send(test, "bob", "small", 1);
    assert_int_equal(leat_test_run(test), LEAT_OK);
    char last[100] = "";
    for (const char *json; (json = leat_test_next_json(test, "sizes")) != NULL;)
        if (strstr(json, "bob") != NULL)
            (void)snprintf(last, sizeof(last), "%s", json);
    assert_string_equal(last, "{\"user\":\"bob\",\"value\":3,\"list\":3,\"map\":3}");
    leat_test_free(test);
}

static void by_default_the_job_stops_and_says_what_is_too_big(void **state)
{
    (void)state;
    leat_test *test = leat_test_new(sizes_job("sim:sizes-stop", LEAT_ON_ERROR_STOP, false));
    send(test, "bob", "value", OVER_BYTES);
    assert_int_equal(leat_test_run(test), LEAT_ETOOBIG);
    const leat_error *error = leat_test_error(test);
    assert_string_equal(error->where, "keep");
    for (const char **part = (const char *[]){"'keep/value'", "'bob'", "1048", "bound of 1048576",
                                              "a list or a map", "offset 0", NULL};
         *part != NULL; part++)
        if (strstr(error->message, *part) == NULL)
            fail_msg("'%s' is not in: %s", *part, error->message);
    leat_test_free(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_embedded_log),
        cmocka_unit_test(in_the_harness_the_rest_goes_on),
        cmocka_unit_test(by_default_the_job_stops_and_says_what_is_too_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
