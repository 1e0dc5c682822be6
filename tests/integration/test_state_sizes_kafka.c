/* R19: the same on a broker, which has bounds of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "integration/state_sizes_job.h"
#include "support/kafka.h"

static void in_a_topic_of_a_broker(void **state)
{
    (void)state;
    char url[400];
    (void)snprintf(url, sizeof(url), "kafka:%s?leat.prefix=sizes%lx-%x.", test_kafka_bootstrap(),
                   (unsigned long)time(NULL), (unsigned)getpid());
    sizes_are_checked_before_state_is_touched(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_a_topic_of_a_broker)};
    if (test_kafka_bootstrap() == NULL)
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
