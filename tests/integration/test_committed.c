/* What on_committed is given, on the logs of this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "integration/committed_job.h"

static char directory[] = "/tmp/leat-committed-XXXXXX";
static char url[128];

static int new_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/leat-committed-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(url, sizeof url, "embedded:%s/log", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[160];
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static void in_the_embedded_log(void **state)
{
    (void)state;
    on_committed_gives_the_record_as_it_lies_in_the_log(url);
}

static void in_the_embedded_log_beside_another_writer(void **state)
{
    (void)state;
    on_committed_beside_another_writer(url);
}

static void in_the_simulated_log(void **state)
{
    (void)state;
    on_committed_gives_the_record_as_it_lies_in_the_log("sim:committed");
    on_committed_beside_another_writer("sim:committed-beside");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_the_embedded_log, new_directory, remove_directory),
        cmocka_unit_test_setup_teardown(in_the_embedded_log_beside_another_writer, new_directory,
                                        remove_directory),
        cmocka_unit_test(in_the_simulated_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
