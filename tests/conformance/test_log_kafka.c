/* Runs the log suite against the broker of the test run (R29).
 *
 *     place = a prefix: every case has topics, groups and transactions of its own on the one broker
 */
#include "base/mem.h"
#include "conformance/log_suite.h"
#include "support/kafka.h"
#include <time.h>
#include <unistd.h>

enum { TOPICS_MAX = 16 };

static void *create(void)
{
    static unsigned count;
    return leat__format("t%lx-%x-%x.", (unsigned long)time(NULL), (unsigned)getpid(), count++);
}

static leat_status open_place(void *prefix, const leat_log_opts *opts, leat_log **log,
                              leat_error *error)
{
    char *url =
        leat__format("kafka:%s?leat.prefix=%s", test_kafka_bootstrap(), (const char *)prefix);
    leat_status status = leat_log_open(log, url, opts, error);
    leat__free(url);
    return status;
}

typedef struct names {
    char *of[TOPICS_MAX];
    size_t count;
} names;

static bool note_name(void *arg, const char *topic, const leat_topic_opts *opts)
{
    (void)opts;
    names *all = arg;
    all->of[all->count++] = leat__strdup(topic);
    return all->count < TOPICS_MAX;
}

/* Topics cost the broker memory and files: the cases after it should not pay for them. */
static void destroy(void *prefix)
{
    leat_log *log;
    names all = {.count = 0};
    leat_error error;
    if (open_place(prefix, NULL, &log, &error) == LEAT_OK) {
        if (leat_topic_each(log, note_name, &all, &error) != LEAT_OK)
            print_error("%s\n", error.message);
        for (size_t i = 0; i < all.count; i++) {
            if (leat_topic_delete(log, all.of[i], &error) != LEAT_OK)
                print_error("%s\n", error.message);
            leat__free(all.of[i]);
        }
        leat_log_close(log);
    }
    leat__free(prefix);
}

int main(void)
{
    if (test_kafka_bootstrap() == NULL) {
        puts("skipped: no broker; make setup fetches one, the fixture `kafka` starts it");
        return TEST_SKIPPED;
    }
    char *prefix = create();
    const log_driver kafka = {"kafka", create, open_place, destroy, NULL, 249 - strlen(prefix) - 2};
    leat__free(prefix);
    return run_log_suite(&kafka);
}
