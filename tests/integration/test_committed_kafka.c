/* What on_committed is given, on a broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "integration/committed_job.h"
#include "support/kafka.h"

static const char *fresh(void)
{
    static char url[400];
    static int sequence;
    (void)snprintf(url, sizeof url, "kafka:%s?leat.prefix=committed%lx-%x-%d.",
                   test_kafka_bootstrap(), (unsigned long)time(NULL), (unsigned)getpid(),
                   sequence++);
    return url;
}

static void in_a_topic_of_a_broker(void **state)
{
    (void)state;
    on_committed_gives_the_record_as_it_lies_in_the_log(fresh());
}

static void beside_another_writer(void **state)
{
    (void)state;
    on_committed_beside_another_writer(fresh());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_topic_of_a_broker),
        cmocka_unit_test(beside_another_writer),
    };
    if (test_kafka_bootstrap() == NULL)
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
