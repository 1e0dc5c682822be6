/* Several jobs on one log, as several processes would be: who owns a key, and who says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <leat/leat.h>

enum { USERS = 40, PARTITIONS = 4, PATIENCE_MS = 20000 };

struct event {
    leat_str user_id;
};
LEAT_RECORD(event, user_id);
struct count {
    leat_str user_id;
    uint64_t count;
};
LEAT_RECORD(count, user_id, count);

static char dir[64], url[80];
static leat_log *shared;
static leat_job *running[PARTITIONS + 1]; /* a test that fails leaves some */

static int open_shared_log(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/leat-members-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(url, sizeof url, "embedded:%s/log", dir);
    assert_int_equal(leat_log_open(&shared, url, NULL, NULL), LEAT_OK);
    leat_topic_opts opts = {.partition_count = PARTITIONS};
    assert_int_equal(leat_topic_create(shared, "events", &opts, NULL), LEAT_OK);
    return 0;
}

static int close_shared_log(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof running / sizeof running[0]; i++) {
        leat_job_free(running[i]);
        running[i] = NULL;
    }
    leat_log_close(shared);
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void add(void *acc, const void *record)
{
    struct count *count = acc;
    count->user_id = ((const struct event *)record)->user_id;
    count->count++;
}

static leat_job *start(const char *instance, const char *address)
{
    static const leat_aggregate_op op = {.in = &event_type, .acc = &count_type, .add = add};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "shop",
                                                  .log_handle = shared,
                                                  .instance = instance,
                                                  .advertise = address,
                                                  .worker_count = 1});
    leat_stream events =
        leat_from_log(job, "events", &event_type,
                      &(leat_log_source){.topic = "events", .partitioned_by = "user_id"});
    leat_stream counts = leat_aggregate(leat_key_by(events, "user_id"), "count", &op);
    leat_to_log(counts, "counts", &(leat_log_sink){.topic = "counts", .key = "user_id"});
    leat_error error = {0};
    if (leat_job_start(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    for (size_t i = 0; i < sizeof running / sizeof running[0]; i++)
        if (running[i] == NULL) {
            running[i] = job;
            break;
        }
    return job;
}

static void stop(leat_job *job)
{
    leat_job_stop(job);
    assert_int_equal(leat_job_wait(job, NULL), LEAT_OK);
    for (size_t i = 0; i < sizeof running / sizeof running[0]; i++)
        if (running[i] == job)
            running[i] = NULL;
    leat_job_free(job);
}

static leat_owner owner_of(leat_job *job, int user)
{
    char key[16];
    leat_owner owner;
    leat_error error = {0};
    (void)snprintf(key, sizeof key, "user%d", user);
    if (leat_job_owner(job, "count", leat_str_from(key), &owner, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    return owner;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static int users_of(leat_job *job)
{
    int here = 0;
    for (int user = 0; user < USERS; user++)
        here += owner_of(job, user).kind == LEAT_OWNER_HERE;
    return here;
}

/* Exactly one of the jobs says "here" of each user, and the others name its address; each has some
 * users, if there are partitions enough: else the rebalance is still to come. */
static bool they_agree(leat_job **jobs, const char *const *addresses, size_t count)
{
    size_t idle = 0;
    for (size_t i = 0; i < count; i++)
        idle += users_of(jobs[i]) == 0;
    if (idle != (count > PARTITIONS ? count - PARTITIONS : 0))
        return false;
    for (int user = 0; user < USERS; user++) {
        size_t here = count;
        for (size_t i = 0; i < count; i++)
            if (owner_of(jobs[i], user).kind == LEAT_OWNER_HERE) {
                if (here != count)
                    return false;
                here = i;
            }
        for (size_t i = 0; i < count; i++) {
            leat_owner owner = owner_of(jobs[i], user);
            if (here == count || !owner.ready || strcmp(owner.address, addresses[here]) != 0)
                return false;
            if (i != here && owner.kind != LEAT_OWNER_ELSEWHERE)
                return false;
        }
    }
    return true;
}

static void wait_until_they_agree(leat_job **jobs, const char *const *addresses, size_t count)
{
    for (int waited_ms = 0; !they_agree(jobs, addresses, count); waited_ms += 5) {
        assert_true(waited_ms < PATIENCE_MS);
        nap();
    }
}

static void ownership_follows_those_who_join_and_leave(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"};
    leat_job *jobs[3];
    jobs[0] = start("a", addresses[0]);
    wait_until_they_agree(jobs, addresses, 1);
    assert_int_equal(users_of(jobs[0]), USERS);
    jobs[1] = start("b", addresses[1]);
    wait_until_they_agree(jobs, addresses, 2);
    jobs[2] = start("c", addresses[2]);
    wait_until_they_agree(jobs, addresses, 3);
    stop(jobs[0]);
    wait_until_they_agree(jobs + 1, addresses + 1, 2);
    stop(jobs[1]);
    wait_until_they_agree(jobs + 2, addresses + 2, 1);
    stop(jobs[2]);
}

static void who_comes_back_at_another_address_is_found_there(void **state)
{
    (void)state;
    static const char *const before[] = {"127.0.0.1:1001", "127.0.0.1:1002"};
    static const char *const after[] = {"127.0.0.1:1001", "127.0.0.1:2002"};
    leat_job *jobs[2] = {start("a", before[0]), start("b", before[1])};
    wait_until_they_agree(jobs, before, 2);
    stop(jobs[1]);
    jobs[1] = start("b", after[1]);
    wait_until_they_agree(jobs, after, 2);
    stop(jobs[1]);
    stop(jobs[0]);
}

static void without_an_address_only_the_own_users_are_known(void **state)
{
    (void)state;
    leat_job *job = start("silent", NULL);
    assert_int_equal(users_of(job), USERS);
    leat_topic_opts opts;
    assert_int_equal(leat_topic_describe(shared, "shop-members", &opts, NULL), LEAT_ENOTFOUND);
    stop(job);
}

/* ------------------------------------------------------------------ entries that are wrong */

static void append_entry(const char *instance, const char *value, size_t length)
{
    leat_log_record record = {
        .topic = "shop-members", .key = leat_str_from(instance), .value = {value, length}};
    assert_int_equal(leat_log_append(shared, &record, 1, NULL), LEAT_OK);
}

/* "ghost" at 127.0.0.1:9 claims all partitions, in a generation from 0 to 127 */
static void append_ghost(char generation)
{
    char value[] = "\1\1\7\0\0\0\0\0\0\0G\0\0\0\0\0\0\0\6ghost\f127.0.0.1:9\1\7events\4\0\1\2\3";
    value[10] = generation;
    append_entry("ghost", value, sizeof value - 1);
}

static void wait_for_kind(leat_job *job, leat_owner_kind kind)
{
    for (int waited_ms = 0; owner_of(job, 1).kind != kind; waited_ms += 5) {
        assert_true(waited_ms < PATIENCE_MS);
        nap();
    }
}

static void a_claim_of_an_older_generation_is_not_believed(void **state)
{
    (void)state;
    leat_job *job = start("a", "127.0.0.1:1001");
    assert_true(owner_of(job, 1).generation > 0);
    append_ghost(0);
    for (int i = 0; i < 40; i++, nap())
        assert_int_equal(owner_of(job, 1).kind, LEAT_OWNER_HERE);
    stop(job);
}

static void a_claim_from_before_the_assignment_is_not_believed(void **state)
{
    (void)state;
    leat_job *job = start("a", "127.0.0.1:1001");
    for (int waited_ms = 0; owner_of(job, 1).kind != LEAT_OWNER_ELSEWHERE; waited_ms += 5, nap()) {
        append_ghost(127); /* at last after what the job tells of itself: it has lost the users */
        assert_true(waited_ms < PATIENCE_MS);
    }
    stop(job); /* the group begins anew, the ghost's entry remains */
    job = start("a", "127.0.0.1:1001");
    for (int i = 0; i < 40; i++, nap())
        assert_int_equal(owner_of(job, 1).kind, LEAT_OWNER_HERE);
    stop(job);
}

static void an_owner_that_does_not_answer_is_unknown_for_a_second(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:1001", "127.0.0.1:1002"};
    leat_job *jobs[2] = {start("a", addresses[0]), start("b", addresses[1])};
    wait_until_they_agree(jobs, addresses, 2);
    leat_job *asking = jobs[owner_of(jobs[0], 1).kind == LEAT_OWNER_HERE];
    leat_owner owner = owner_of(asking, 1);
    leat_job_owner_report(asking, &owner, false);
    assert_int_equal(owner_of(asking, 1).kind, LEAT_OWNER_UNKNOWN);
    wait_for_kind(asking, LEAT_OWNER_ELSEWHERE); /* one caller is to try again */
    assert_int_equal(owner_of(asking, 1).kind, LEAT_OWNER_UNKNOWN);
    leat_job_owner_report(asking, &owner, true);
    assert_int_equal(owner_of(asking, 1).kind, LEAT_OWNER_ELSEWHERE);
    stop(jobs[1]);
    stop(jobs[0]);
}

/* More processes than partitions: one of them owns nothing, and knows whom to ask. */
static void a_process_without_partitions_names_the_others(void **state)
{
    (void)state;
    const char *addresses[PARTITIONS + 1];
    char texts[PARTITIONS + 1][32];
    leat_job *jobs[PARTITIONS + 1];
    for (int i = 0; i <= PARTITIONS; i++) {
        const char name[] = {(char)('a' + i), '\0'};
        (void)snprintf(texts[i], sizeof texts[i], "127.0.0.1:%d", 1001 + i);
        addresses[i] = texts[i];
        jobs[i] = start(name, texts[i]);
    }
    wait_until_they_agree(jobs, addresses, PARTITIONS + 1);
    for (int i = 0; i <= PARTITIONS; i++)
        stop(jobs[i]);
}

static void damaged_and_newer_entries_are_passed_over(void **state)
{
    (void)state;
    leat_job *jobs[1] = {start("a", "127.0.0.1:1001")};
    static const char *const address[] = {"127.0.0.1:1001"};
    append_entry("b", "\2 of tomorrow", 13);
    append_entry("c", "\1", 1);
    append_entry("d", "", 0);
    for (int i = 0; i < 40; i++, nap())
        assert_true(they_agree(jobs, address, 1));
    stop(jobs[0]);
}

/* A process that was stopped for long and ends after its successor has begun. */
static void an_own_entry_that_somebody_deletes_is_told_again(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:1001", "127.0.0.1:1002"};
    leat_job *jobs[2] = {start("a", addresses[0]), start("b", addresses[1])};
    wait_until_they_agree(jobs, addresses, 2);
    append_entry("b", NULL, 0);
    for (int waited_ms = 0; they_agree(jobs, addresses, 2); waited_ms += 5, nap())
        assert_true(waited_ms < PATIENCE_MS);
    wait_until_they_agree(jobs, addresses, 2);
    stop(jobs[1]);
    stop(jobs[0]);
}

static void wrong_questions_are_refused(void **state)
{
    (void)state;
    leat_owner owner;
    leat_job *job = start("a", "127.0.0.1:1001");
    running[0] = NULL;
    assert_int_equal(leat_job_owner(job, "cuont", LEAT_STR("u"), &owner, NULL), LEAT_ENOTFOUND);
    leat_job_stop(job);
    assert_int_equal(leat_job_wait(job, NULL), LEAT_OK);
    assert_int_equal(leat_job_owner(job, "count", LEAT_STR("u"), &owner, NULL), LEAT_EINVAL);
    leat_job_free(job);
    static const char *const wrong[] = {
        "host",           ":80",    "host:",      "host:0", "host:65536", "host:8x",
        "http://host:80", "a b:80", "host:123456"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        leat_error error;
        job = leat_job_new(&(leat_job_opts){.name = "shop", .advertise = wrong[i]});
        (void)leat_from_array(job, "in", &event_type, &(leat_array){0});
        assert_int_equal(leat_job_run(job, &error), LEAT_EINVAL);
        assert_non_null(strstr(error.message, wrong[i]));
        leat_job_free(job);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_shared_log, close_shared_log)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ownership_follows_those_who_join_and_leave),
        TEST(who_comes_back_at_another_address_is_found_there),
        TEST(without_an_address_only_the_own_users_are_known),
        TEST(a_claim_of_an_older_generation_is_not_believed),
        TEST(a_claim_from_before_the_assignment_is_not_believed),
        TEST(an_owner_that_does_not_answer_is_unknown_for_a_second),
        TEST(a_process_without_partitions_names_the_others),
        TEST(damaged_and_newer_entries_are_passed_over),
        TEST(an_own_entry_that_somebody_deletes_is_told_again),
        TEST(wrong_questions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
