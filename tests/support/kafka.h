/* Where the broker of the test run listens (cmake/LeatTests.cmake, fixture `kafka`).  It is shared:
 * a test uses topic, group and transaction names of its own.  By hand:
 *
 *     tools/kafka start --port 0 --dir /tmp/k
 *     LEAT_TEST_KAFKA_FILE=/tmp/k/bootstrap build/dev/tests/test_log_kafka_driver
 */
#ifndef LEAT_TESTS_SUPPORT_KAFKA_H
#define LEAT_TESTS_SUPPORT_KAFKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_SKIPPED 77 /* exit status that ctest takes for "skipped" */

/* "127.0.0.1:PORT" in storage of the function; NULL without a broker: then say so and return
 * TEST_SKIPPED from main. */
static inline const char *test_kafka_bootstrap(void)
{
    static char bootstrap[256];
    const char *path = getenv("LEAT_TEST_KAFKA_FILE");
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    if (file == NULL) {
        return NULL;
    }
    const char *line = fgets(bootstrap, sizeof bootstrap, file);
    fclose(file);
    if (line == NULL) {
        return NULL;
    }
    bootstrap[strcspn(bootstrap, "\n")] = '\0';
    return bootstrap;
}

#endif
