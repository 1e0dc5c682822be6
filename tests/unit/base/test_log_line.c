/* Log lines: level and form come from the environment, which is read once; so each case is a child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env.h"
#include "base/log_line.h"
#include "base/random.h"

static void write_lines(void)
{
    leat__log_line(LEAT__DEBUG, "log", "a detail");
    leat__log_line(LEAT__WARN, "log", "topic '%s'\nsecond", "a\"b");
    leat__log_line(LEAT__ERROR, "engine", "stopped");
}

static const char *lines_with(const char *level, const char *format)
{
    static char text[8192];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        setenv("LEAT_LOG_LEVEL", level, 1);
        setenv("LEAT_LOG_FORMAT", format, 1);
        write_lines();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    waitpid(child, NULL, 0);
    return text;
}

static void text_lines_have_time_level_and_area(void **state)
{
    (void)state;
    const char *text = lines_with("", "");
    assert_null(strstr(text, "a detail"));
    assert_int_equal(text[4], '-');
    assert_int_equal(text[23], 'Z');
    assert_memory_equal(text + 24, " warn  log     topic 'a\"b' second\n", 34);
    assert_non_null(strstr(text, " error engine  stopped\n"));
}

static void the_level_is_the_lowest_that_is_written(void **state)
{
    (void)state;
    assert_non_null(strstr(lines_with("debug", ""), "debug log     a detail\n"));
    const char *text = lines_with("ERROR", "");
    assert_null(strstr(text, "topic"));
    assert_non_null(strstr(text, "stopped"));
}

static void json_lines_are_escaped(void **state)
{
    (void)state;
    const char *text = lines_with("info", "json");
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_non_null(strstr(text, "\"level\":\"warn\",\"area\":\"log\",\"message\":"
                                 "\"topic 'a\\\"b'\\nsecond\"}\n"));
}

static void the_system_environment_has_clocks_and_random_numbers(void **state)
{
    (void)state;
    const leat_env *env = leat__env_system();
    assert_true(env->now_ms(env->arg) > INT64_C(1600000000000));
    int64_t before = env->monotonic_us(env->arg);
    assert_true(env->monotonic_us(env->arg) >= before);
    assert_true(env->random_u64(env->arg) != env->random_u64(env->arg));
}

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    leat__random random = {.state = 1234567};
    assert_int_equal(leat__random_next(&random), UINT64_C(6457827717110365317)); /* Vigna's list */
    assert_int_equal(leat__random_next(&random), UINT64_C(3203168211198807973));
    for (int i = 0; i < 10000; i++) {
        assert_true(leat__random_below(&random, 7) < 7);
        double unit = leat__random_unit(&random);
        assert_true(unit >= 0 && unit < 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_have_time_level_and_area),
        cmocka_unit_test(the_level_is_the_lowest_that_is_written),
        cmocka_unit_test(json_lines_are_escaped),
        cmocka_unit_test(the_system_environment_has_clocks_and_random_numbers),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
