/* Status codes, error values, strings, asserts. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/error.h"

static void every_status_has_a_name_a_text_and_an_exit_code(void **state)
{
    (void)state;
    assert_string_equal(leat_status_name(LEAT_EINVAL), "LEAT_EINVAL");
    assert_string_equal(leat_status_text(LEAT_ELOCKED), "held by another process");
    assert_int_equal(leat_status_exit_code(LEAT_OK), 0);
    assert_int_equal(leat_status_exit_code(LEAT_EPORT), 82);
    for (int status = LEAT_OK + 1; status <= LEAT_EINTERNAL; status++) {
        assert_memory_equal(leat_status_name((leat_status)status), "LEAT_E", 6);
        assert_true(leat_status_exit_code((leat_status)status) > 0);
    }
}

static void an_unknown_status_is_an_internal_error(void **state)
{
    (void)state;
    assert_string_equal(leat_status_name((leat_status)9999), "LEAT_EINTERNAL");
    assert_int_equal(leat_status_exit_code((leat_status)-1), 70);
}

static void failing_fills_the_error_and_returns_its_status(void **state)
{
    (void)state;
    leat_error error;
    leat_status status =
        leat__fail(&error, LEAT_EDATA, LEAT_RECOVERY_RETRY, "topic", "%d of %s", 3, "four");
    assert_int_equal(status, LEAT_EDATA);
    assert_int_equal(error.status, LEAT_EDATA);
    assert_int_equal(error.recovery, LEAT_RECOVERY_RETRY);
    assert_string_equal(error.where, "topic");
    assert_string_equal(error.message, "3 of four");
    assert_int_equal(leat__fail(NULL, LEAT_EIO, LEAT_RECOVERY_FATAL, "x", "y"), LEAT_EIO);
}

static void an_error_can_wrap_itself(void **state)
{
    (void)state;
    leat_error error;
    leat__fail(&error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "inner", "cause");
    leat__fail(&error, LEAT_EIO, LEAT_RECOVERY_FATAL, error.where, "because of %s", error.message);
    assert_string_equal(error.message, "because of cause");
    assert_string_equal(error.where, "inner");
}

static void a_message_is_one_line_of_bounded_length(void **state)
{
    (void)state;
    leat_error error;
    char longer[2000];
    memset(longer, 'm', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    longer[3] = '\n';
    leat__fail(&error, LEAT_EDATA, LEAT_RECOVERY_FATAL, longer, "%s", longer);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_int_equal(strlen(error.where), sizeof error.where - 1);
    assert_null(strchr(error.message, '\n'));
    leat__fail(&error, LEAT_EDATA, LEAT_RECOVERY_FATAL, NULL, "no place");
    assert_string_equal(error.where, "");
}

static void strings_compare_by_bytes(void **state)
{
    (void)state;
    assert_true(leat_str_equal(LEAT_STR("ab"), leat_str_from("ab")));
    assert_false(leat_str_equal(LEAT_STR("ab"), LEAT_STR("ac")));
    assert_false(leat_str_equal(LEAT_STR("ab"), LEAT_STR("abc")));
    assert_true(leat_str_equal((leat_str){NULL, 0}, LEAT_STR("")));
    assert_null(leat_str_from(NULL).data);
}

static void an_assert_prints_its_condition_and_aborts(void **state)
{
    (void)state;
    int ends[2];
    char line[512] = {0};
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        LEAT_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    assert_true(read(ends[0], line, sizeof line - 1) > 0);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(line, "'1 + 1 == 3' does not hold"));
    assert_non_null(strstr(line, "test_error.c:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_a_text_and_an_exit_code),
        cmocka_unit_test(an_unknown_status_is_an_internal_error),
        cmocka_unit_test(failing_fills_the_error_and_returns_its_status),
        cmocka_unit_test(an_error_can_wrap_itself),
        cmocka_unit_test(a_message_is_one_line_of_bounded_length),
        cmocka_unit_test(strings_compare_by_bytes),
        cmocka_unit_test(an_assert_prints_its_condition_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
