/* What names a log, what does not, and the sim's worlds and faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after those */
#include "log/driver.h"
#include "log/sim/sim.h"
#include <cmocka.h>

static const char *open_error(const char *url)
{
    static leat_error error;
    leat_log *log = (leat_log *)1;
    assert_int_equal(leat_log_open(&log, url, NULL, &error), LEAT_EINVAL);
    assert_null(log);
    return error.message;
}

static void what_does_not_name_a_log_is_told_what_does(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "", "embedded", "/var/log", "rocksdb:/x", "Embedded:/x", "file:///x", ":x"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        const char *message = open_error(urls[i]);
        assert_non_null(strstr(message, "embedded:DIR"));
        assert_non_null(strstr(message, "sim:NAME"));
        assert_non_null(strstr(message, "kafka:HOST:PORT"));
    }
    assert_non_null(strstr(open_error("embedded:"), "embedded:DIR"));
    assert_non_null(strstr(open_error("sim:"), "sim:NAME"));
    assert_non_null(strstr(open_error("kafka:"), "HOST:PORT"));
}

static void missing_arguments_are_refused_by_name(void **state)
{
    (void)state;
    leat_error error;
    leat_log *log;
    assert_int_equal(leat_log_open(&log, NULL, NULL, &error), LEAT_EINVAL);
    assert_string_equal(error.where, "url");
    assert_int_equal(leat_log_open(NULL, "sim:x", NULL, &error), LEAT_EINVAL);
    assert_int_equal(leat_topic_create(NULL, "t", NULL, &error), LEAT_EINVAL);
    assert_int_equal(leat_log_append(NULL, NULL, 0, &error), LEAT_EINVAL);
    assert_int_equal(leat_log_begin(NULL, 1, &(leat_log_txn *){NULL}, &error), LEAT_EINVAL);
    assert_int_equal(leat_log_txn_commit(NULL, &error), LEAT_EINVAL);
    leat_log_close(NULL);
    leat_log_reader_free(NULL);
    leat_log_leave(NULL);
    leat_log_txn_abort(NULL);
}

static void handles_of_one_name_share_a_sim(void **state)
{
    (void)state;
    leat_log *first, *second;
    assert_int_equal(leat_log_open(&first, "sim:shop", NULL, NULL), LEAT_OK);
    assert_int_equal(leat_topic_create(first, "t", NULL, NULL), LEAT_OK);
    assert_int_equal(leat_log_open(&second, "sim:shop", NULL, NULL), LEAT_OK);
    assert_int_equal(leat_topic_describe(second, "t", NULL, NULL), LEAT_OK);
    leat_log_close(first);
    leat_log_close(second);
    assert_int_equal(leat_log_open(&first, "sim:shop", NULL, NULL), LEAT_OK);
    assert_int_equal(leat_topic_describe(first, "t", NULL, NULL), LEAT_OK); /* it outlives them */
    leat_log_close(first);
    leat__sim_forget("shop");
    leat_log_opts must_exist = {.must_exist = true};
    assert_int_equal(leat_log_open(&first, "sim:shop", &must_exist, NULL), LEAT_ENOTFOUND);
}

/* ---------------------------------------------------------------- faults of the sim */

typedef struct faults {
    leat_status append, commit;
    size_t records;
    char who[64];
} faults;

static leat_status before_append(void *arg, size_t record_count)
{
    faults *f = arg;
    f->records = record_count;
    return f->append;
}

static leat_status before_commit(void *arg, const char *group, const char *instance,
                                 size_t record_count)
{
    faults *f = arg;
    f->records = record_count;
    strcat(strcat(strcpy(f->who, group), "/"), instance);
    return f->commit;
}

static void injected_faults_leave_nothing_behind(void **state)
{
    (void)state;
    leat__sim *sim = leat__sim_new(NULL);
    leat_log *log;
    leat_log_member *member;
    leat_log_event event;
    leat_log_txn *txn;
    faults f = {.append = LEAT_ENOSPC, .commit = LEAT_EABORTED};
    leat__sim_set_hooks(sim, &(leat__sim_hooks){&f, before_append, before_commit, NULL});
    assert_int_equal(leat__log_open_sim(&log, sim, NULL, NULL), LEAT_OK);
    assert_int_equal(leat_topic_create(log, "t", NULL, NULL), LEAT_OK);
    leat_log_record two[] = {{.topic = "t"}, {.topic = "t"}};
    assert_int_equal(leat_log_append(log, two, 2, NULL), LEAT_ENOSPC);
    assert_int_equal(f.records, 2);

    leat_log_group group = {.group = "g", .instance = "i"};
    assert_int_equal(leat_log_join(log, &group, NULL, NULL, &member, NULL), LEAT_OK);
    assert_int_equal(leat_log_member_poll(member, &event, NULL), LEAT_OK);
    for (int attempt = 0; attempt < 2; attempt++) {
        assert_int_equal(leat_log_begin(member, event.generation, &txn, NULL), LEAT_OK);
        assert_int_equal(leat_log_txn_add(txn, two, 1, NULL), LEAT_OK);
        f.commit = attempt == 0 ? LEAT_EABORTED : LEAT_OK;
        assert_int_equal(leat_log_txn_commit(txn, NULL), f.commit);
    }
    assert_string_equal(f.who, "g/i");
    int64_t end;
    assert_int_equal(leat_log_bounds(log, "t", 0, NULL, &end, NULL), LEAT_OK);
    assert_int_equal(end, 1);
    leat_log_leave(member);
    leat_log_close(log);
    leat__sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_name_a_log_is_told_what_does),
        cmocka_unit_test(missing_arguments_are_refused_by_name),
        cmocka_unit_test(handles_of_one_name_share_a_sim),
        cmocka_unit_test(injected_faults_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
