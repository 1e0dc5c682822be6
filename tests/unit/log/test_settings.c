/* The URL and the file of settings of the Kafka driver, and what its errors become. No broker. */
#include "log/kafka/kafka.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* then */
#include <cmocka.h>

static leat_error error;

static void parsed(const char *rest, leat__kafka_options *options)
{
    if (leat__kafka_parse(rest, NULL, options, &error) != LEAT_OK)
        fail_msg("%s: %s", rest, error.message);
}

static void refused(const char *rest, const char *words)
{
    leat__kafka_options options;
    assert_int_equal(leat__kafka_parse(rest, NULL, &options, &error), LEAT_EINVAL);
    if (strstr(error.message, words) == NULL)
        fail_msg("%s: '%s' does not say '%s'", rest, error.message, words);
}

static const char *value_of(const leat__kafka_options *options, const char *key)
{
    const char *value = NULL; /* the last one counts */
    for (size_t i = 0; i < options->setting_count; i++)
        if (strcmp(options->settings[i].key, key) == 0)
            value = options->settings[i].value;
    return value;
}

/* ---------------------------------------------------------------- URL */

static void one_and_several_brokers(void **state)
{
    (void)state;
    static const char *const good[] = {"localhost:9092", "a:1,b:2,c:65535", "[::1]:9092", "broker"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        leat__kafka_options options;
        parsed(good[i], &options);
        assert_string_equal(options.servers, good[i]);
        assert_string_equal(options.prefix, "");
        assert_int_equal(options.replication, -1);
        leat__kafka_options_free(&options);
    }
}

static void misspelt_brokers_are_refused(void **state)
{
    (void)state;
    refused("", "not HOST:PORT");
    refused("a:1,,b:2", "not HOST:PORT");
    refused("a:0", "'a:0'");
    refused("a:65536", "'a:65536'");
    refused("a:x", "'a:x'");
    refused(":9092", "':9092'");
    refused("[::1:9092", "without ]");
    refused("a b:1", "'a b:1'");
    refused("SASL_SSL://a:9092", "security.protocol");
}

static void settings_pass_through(void **state)
{
    (void)state;
    leat__kafka_options options;
    parsed("a:1?security.protocol=SASL_SSL&sasl.password=p%26q%3d%25&linger.ms=3&linger.ms=4",
           &options);
    assert_string_equal(options.servers, "a:1");
    assert_string_equal(value_of(&options, "security.protocol"), "SASL_SSL");
    assert_string_equal(value_of(&options, "sasl.password"), "p&q=%");
    assert_string_equal(value_of(&options, "linger.ms"), "4");
    leat__kafka_options_free(&options);
}

static void options_of_ours_are_numbers_and_names(void **state)
{
    (void)state;
    leat__kafka_options options;
    parsed("a:1?leat.prefix=shop.&leat.replication=3&leat.min.insync.replicas=2"
           "&leat.connect.timeout.ms=500&leat.append.timeout.ms=700",
           &options);
    assert_string_equal(options.prefix, "shop.");
    assert_int_equal(options.replication, 3);
    assert_int_equal(options.min_insync_replicas, 2);
    assert_int_equal(options.connect_timeout_ms, 500);
    assert_int_equal(options.append_timeout_ms, 700);
    assert_int_equal(options.setting_count, 0);
    leat__kafka_options_free(&options);
    refused("a:1?leat.replication=many", "give a number");
    refused("a:1?leat.replication=", "give a number");
    refused("a:1?leat.connect.timeout.ms=0", "from 1");
    refused("a:1?leat.prefix=a/b", "'a/b'");
    refused("a:1?leat.replicas=3", "'leat.replicas'");
}

/* R7, R8, R25: what decides exactly-once is not a matter of taste */
static void settings_that_decide_exactly_once_are_refused(void **state)
{
    (void)state;
    static const char *const owned[] = {
        "transactional.id=a",
        "enable.auto.commit=true",
        "group.id=g",
        "isolation.level=read_uncommitted",
        "enable.idempotence=false",
        "acks=1",
        "bootstrap.servers=b:1",
        "partition.assignment.strategy=cooperative-sticky",
        "group.instance.id=i",
        "auto.offset.reset=latest",
    };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        char rest[100];
        snprintf(rest, sizeof rest, "a:1?%s", owned[i]);
        refused(rest, "is decided by leat");
    }
    leat__kafka_options options; /* saying what is so anyway does no harm */
    parsed("a:1?acks=all&enable.auto.commit=false&isolation.level=read_committed", &options);
    assert_int_equal(options.setting_count, 0);
    leat__kafka_options_free(&options);
}

static void misspelt_pairs_are_refused(void **state)
{
    (void)state;
    refused("a:1?linger.ms", "'linger.ms'");
    refused("a:1?=3", "key=value");
    refused("a:1?a=%4", "two hex digits");
    refused("a:1?a=%zz", "two hex digits");
    refused("a:1?a=%00", "two hex digits");
}

/* ---------------------------------------------------------------- files */

typedef struct file {
    char path[40];
    char rest[80];
} file;

static file file_with(const char *text)
{
    file made = {.path = "/tmp/leat-kafka-XXXXXX"};
    int fd = mkstemp(made.path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(made.rest, sizeof made.rest, "a:1?config=%s", made.path);
    return made;
}

static void a_file_has_lines_and_comments(void **state)
{
    (void)state;
    file made = file_with("# our cluster\n\n  sasl.username = ada \nsasl.password=a=b#c\r\n"
                          "\t# more\nleat.prefix=shop.\nlinger.ms=1");
    leat__kafka_options options;
    parsed(made.rest, &options);
    assert_string_equal(value_of(&options, "sasl.username"), "ada");
    assert_string_equal(value_of(&options, "sasl.password"), "a=b#c");
    assert_string_equal(options.prefix, "shop.");
    leat__kafka_options_free(&options);
    strcat(made.rest, "&linger.ms=2"); /* the URL wins */
    parsed(made.rest, &options);
    assert_string_equal(value_of(&options, "linger.ms"), "2");
    leat__kafka_options_free(&options);
    unlink(made.path);
}

static void the_default_file_is_read_unless_the_url_names_one(void **state)
{
    (void)state;
    file common = file_with("linger.ms=1\n"), named = file_with("batch.size=9\n");
    leat__kafka_options options;
    assert_int_equal(leat__kafka_parse("a:1", common.path, &options, &error), LEAT_OK);
    assert_string_equal(value_of(&options, "linger.ms"), "1");
    leat__kafka_options_free(&options);
    assert_int_equal(leat__kafka_parse(named.rest, common.path, &options, &error), LEAT_OK);
    assert_null(value_of(&options, "linger.ms"));
    assert_string_equal(value_of(&options, "batch.size"), "9");
    leat__kafka_options_free(&options);
    unlink(common.path);
    unlink(named.path);
}

static void a_bad_line_is_named_and_not_shown(void **state)
{
    (void)state;
    file made = file_with("linger.ms=1\nsecret-without-a-key\n");
    refused(made.rest, ":2: not a line of the form key=value");
    assert_null(strstr(error.message, "secret-without"));
    unlink(made.path);
    made = file_with("\nacks=1\n");
    refused(made.rest, ":2: acks is decided by leat and always all");
    unlink(made.path);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    leat__kafka_options options;
    assert_int_equal(leat__kafka_parse("a:1?config=/nowhere/k.properties", NULL, &options, &error),
                     LEAT_ENOTFOUND);
    assert_non_null(strstr(error.message, "/nowhere/k.properties"));
}

/* ---------------------------------------------------------------- settings */

static leat_status open_with(const char *pairs)
{
    leat_log *log;
    char url[200];
    snprintf(url, sizeof url, "kafka:127.0.0.1:1?leat.connect.timeout.ms=100&%s", pairs);
    leat_status status = leat_log_open(&log, url, NULL, &error);
    if (status == LEAT_OK)
        leat_log_close(log);
    return status;
}

static void librdkafka_judges_its_own_settings(void **state)
{
    (void)state;
    assert_int_equal(open_with("no.such.setting=1"), LEAT_EINVAL);
    assert_non_null(strstr(error.message, "'no.such.setting'"));
    assert_int_equal(open_with("linger.ms=soon"), LEAT_EINVAL);
    assert_non_null(strstr(error.message, "linger.ms"));
    assert_int_equal(open_with("ssl.ca.location=/nowhere.pem&security.protocol=SSL"), LEAT_EINVAL);
    assert_non_null(strstr(error.message, "ssl.ca.location"));
}

static void a_secret_is_never_shown(void **state)
{
    (void)state;
    assert_int_equal(open_with("sasl.oauthbearer.method=hunter2"), LEAT_EINVAL);
    assert_null(strstr(error.message, "hunter2"));
}

/* ---------------------------------------------------------------- errors */

static void errors_say_what_can_be_done(void **state)
{
    (void)state;
    static const struct {
        rd_kafka_resp_err_t code;
        leat_status status;
        leat_recovery recovery;
    } expected[] = {
        {RD_KAFKA_RESP_ERR__TRANSPORT, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR__AUTHENTICATION, LEAT_EACCES, LEAT_RECOVERY_FATAL},
        {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, LEAT_EACCES, LEAT_RECOVERY_FATAL},
        {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, LEAT_ENOTFOUND, LEAT_RECOVERY_FATAL},
        {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, LEAT_ETOOBIG, LEAT_RECOVERY_FATAL},
        {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, LEAT_EFENCED, LEAT_RECOVERY_FATAL}, /* R15 */
        {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, LEAT_EFENCED, LEAT_RECOVERY_FATAL},
        {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, LEAT_EABORTED, LEAT_RECOVERY_RESTART}, /* R7 */
        {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, LEAT_EAGAIN, LEAT_RECOVERY_RETRY},
        /* a broker that becomes a leader, or is none any more */
        {RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, LEAT_EAGAIN, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, LEAT_EAGAIN, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, LEAT_EAGAIN, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, LEAT_EAGAIN, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR_NOT_CONTROLLER, LEAT_EAGAIN, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, LEAT_EIO, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, LEAT_EUNREACHABLE, LEAT_RECOVERY_RETRY},
        {RD_KAFKA_RESP_ERR_UNKNOWN, LEAT_ELOG, LEAT_RECOVERY_FATAL},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        leat_status status =
            leat__kafka_fail(&error, expected[i].code, "topic", "reading %d", (int)i);
        assert_int_equal(status, expected[i].status);
        assert_int_equal(error.recovery, expected[i].recovery);
        assert_non_null(strstr(error.message, "reading "));
        assert_non_null(strstr(error.message, "; "));
    }
}

static void a_long_name_stays_within_the_message(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    leat__kafka_fail(&error, RD_KAFKA_RESP_ERR__SSL, name, "%s", name);
    assert_non_null(strstr(error.message, "ssl.ca.location"));
}

static void what_is_read_ahead_is_told_per_partition(void **state)
{
    (void)state; /* R28 */
    leat__kafka log = {0};
    assert_int_equal(leat__kafka_parse("a:1", NULL, &log.options, &error), LEAT_OK);
    assert_int_equal(leat__kafka_memory_bytes(&log.base, 3), 3 * 2048 * 1024);
    leat__kafka_options_free(&log.options);
    assert_int_equal(
        leat__kafka_parse("a:1?queued.max.messages.kbytes=100", NULL, &log.options, &error),
        LEAT_OK);
    assert_int_equal(leat__kafka_memory_bytes(&log.base, 3), 3 * 100 * 1024);
    leat__kafka_options_free(&log.options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_and_several_brokers),
        cmocka_unit_test(misspelt_brokers_are_refused),
        cmocka_unit_test(settings_pass_through),
        cmocka_unit_test(options_of_ours_are_numbers_and_names),
        cmocka_unit_test(settings_that_decide_exactly_once_are_refused),
        cmocka_unit_test(misspelt_pairs_are_refused),
        cmocka_unit_test(what_is_read_ahead_is_told_per_partition),
        cmocka_unit_test(a_file_has_lines_and_comments),
        cmocka_unit_test(the_default_file_is_read_unless_the_url_names_one),
        cmocka_unit_test(a_bad_line_is_named_and_not_shown),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(librdkafka_judges_its_own_settings),
        cmocka_unit_test(a_secret_is_never_shown),
        cmocka_unit_test(errors_say_what_can_be_done),
        cmocka_unit_test(a_long_name_stays_within_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
