/* Addresses of --listen. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/recommender/serve/listen.h"

static void assert_refused(const char *address, leat_status status, const char *reason)
{
    listener out;
    leat_error error;
    assert_int_equal(listen_on(address, &out, &error), status);
    assert_string_equal(error.where, "--listen");
    if (strstr(error.message, reason) == NULL)
        fail_msg("'%s' does not say '%s'", error.message, reason);
}

static void loopback_addresses_are_taken(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:0", "localhost:0", ":0", "0", "127.8.9.1:0"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        listener out;
        assert_int_equal(listen_on(addresses[i], &out, NULL), LEAT_OK);
        assert_true(out.port > 0);
        assert_memory_equal(out.url, "http://127.", 11);
        close(out.fd);
    }
}

/* H4 */
static void other_addresses_are_refused(void **state)
{
    (void)state;
    assert_refused("0.0.0.0:80", LEAT_EINVAL, "access tokens");
    assert_refused("192.168.0.1:80", LEAT_EINVAL, "access tokens");
    assert_refused("[::]:80", LEAT_EINVAL, "access tokens");
}

static void malformed_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",        "there:80",     "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
        "1.2.3:4", "127.0.0.1:80x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_refused(wrong[i], LEAT_EINVAL, "no address");
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    listener first;
    char address[32];
    assert_int_equal(listen_on("127.0.0.1:0", &first, NULL), LEAT_OK);
    snprintf(address, sizeof address, "127.0.0.1:%u", first.port);
    assert_refused(address, LEAT_EPORT, address);
    close(first.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_addresses_are_taken),
        cmocka_unit_test(other_addresses_are_refused),
        cmocka_unit_test(malformed_addresses_are_refused),
        cmocka_unit_test(a_port_in_use_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
