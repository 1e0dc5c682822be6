/* Paths, methods and origins. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/serve/api.h"
#include "apps/recommender/serve/http.h"

static const http_route routes[] = {
    {.name = "users", .method = HTTP_GET, .prefix = "/v1/users/", .suffix = "/recommendations"},
    {.name = "events", .method = HTTP_POST, .prefix = "/v1/events"},
    {.name = "both", .method = HTTP_GET, .prefix = "/both"},
    {.name = "both", .method = HTTP_POST, .prefix = "/both"},
};

static const char *found(const char *method, const char *path, leat_str *parameter,
                         const char **allowed)
{
    const http_route *route = http_route_of(routes, 4, method, path, parameter, allowed);
    return route == NULL ? NULL : route->name;
}

static void a_path_finds_its_route_and_parameter(void **state)
{
    (void)state;
    leat_str parameter;
    const char *allowed = NULL;
    assert_string_equal(found("GET", "/v1/users/a%2Fb/recommendations", &parameter, &allowed),
                        "users");
    assert_int_equal(parameter.length, 5);
    assert_memory_equal(parameter.data, "a%2Fb", 5);
    assert_string_equal(found("HEAD", "/v1/users/u/recommendations", &parameter, &allowed),
                        "users");
    assert_string_equal(found("POST", "/v1/events", &parameter, &allowed), "events");
}

static void near_misses_are_not_found(void **state)
{
    (void)state;
    leat_str parameter;
    const char *allowed = "";
    static const char *const paths[] = {"/",
                                        "",
                                        "/v1/events/",
                                        "/v1/event",
                                        "/v1/users/",
                                        "/v1/users//recommendations",
                                        "/v1/users/recommendations",
                                        "/v1/users/a/b/recommendations",
                                        "/v1/users/u/recommendations/"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_null(found("GET", paths[i], &parameter, &allowed));
        assert_null(allowed);
    }
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    (void)state;
    leat_str parameter;
    const char *allowed = NULL;
    assert_null(found("GET", "/v1/events", &parameter, &allowed));
    assert_string_equal(allowed, "POST");
    assert_null(found("PUT", "/v1/users/u/recommendations", &parameter, &allowed));
    assert_string_equal(allowed, "GET, HEAD");
    assert_null(found("DELETE", "/both", &parameter, &allowed));
    assert_string_equal(allowed, "GET, HEAD, POST");
}

static void assert_decodes(const char *from, const char *to)
{
    char text[64];
    size_t length = strlen(from);
    memcpy(text, from, length + 1);
    assert_true(http_percent_decode(text, &length));
    assert_int_equal(length, strlen(to));
    assert_memory_equal(text, to, length);
}

static void escapes_are_decoded(void **state)
{
    (void)state;
    assert_decodes("", "");
    assert_decodes("plain", "plain");
    assert_decodes("a%2Fb%20c%25", "a/b c%");
    assert_decodes("%C3%bC", "\xc3\xbc");
    static const char *const wrong[] = {"%", "%2", "a%zz", "%00", "%4", "x%4g"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[16];
        size_t length = strlen(wrong[i]);
        memcpy(text, wrong[i], length + 1);
        assert_false(http_percent_decode(text, &length));
    }
}

/* H4 */
static void only_pages_of_this_machine_are_local(void **state)
{
    (void)state;
    static const char *const local[] = {"http://localhost", "http://localhost:3000",
                                        "https://127.0.0.1:8", "http://[::1]:80"};
    static const char *const foreign[] = {"null",
                                          "",
                                          "https://evil.example",
                                          "http://localhost.evil.example",
                                          "http://127.0.0.1.evil.example",
                                          "http://10.0.0.1",
                                          "localhost"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        assert_true(http_origin_is_local(local[i]));
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        assert_false(http_origin_is_local(foreign[i]));
}

static void every_route_of_the_api_is_in_its_description(void **state)
{
    (void)state;
    extern const char openapi_text[];
    extern const size_t openapi_length;
    for (size_t i = 0; i < api_route_count; i++) {
        const http_route *route = &api_routes[i];
        if (strcmp(route->prefix, "/") == 0)
            continue;
        const char *parameter = route->suffix == NULL            ? ""
                                : strstr(route->prefix, "users") ? "{user_id}"
                                                                 : "{item_id}";
        char path[128];
        int length = snprintf(path, sizeof path, "\n  %s%s%s:\n", route->prefix, parameter,
                              route->suffix == NULL ? "" : route->suffix);
        if (memmem(openapi_text, openapi_length, path, (size_t)length) == NULL)
            fail_msg("openapi.yaml has no path%s", path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_finds_its_route_and_parameter),
        cmocka_unit_test(near_misses_are_not_found),
        cmocka_unit_test(a_wrong_method_is_told_the_right_ones),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(only_pages_of_this_machine_are_local),
        cmocka_unit_test(every_route_of_the_api_is_in_its_description),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
