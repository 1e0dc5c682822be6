/* A file of the state or of the log that this user may not read or write is LEAT_EACCES (77), which
 * no restart cures, whichever file it is. In children that are somebody else than root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <grp.h>
#include <leat/leat.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534, FILES_MAX = 64 };

struct view {
    leat_str user;
    int64_t count;
};
LEAT_RECORD(view, user, LEAT_OPTIONAL(count));

static char dir[200], log_dir[240], state_dir[240];

static leat_status count_view(leat_ctx *ctx, const void *record)
{
    struct view *last = leat_mut(ctx, 0);
    last->user = ((const struct view *)record)->user;
    last->count++;
    leat_emit(ctx, last);
    return LEAT_OK;
}

static leat_status run_job(leat_error *error)
{
    static const leat_process_op count = {.in = &view_type,
                                          .out = &view_type,
                                          .state = {{.name = "last", .type = &view_type}},
                                          .on_record = count_view};
    char url[300];
    (void)snprintf(url, sizeof(url), "embedded:%s", log_dir);
    leat_job *job = leat_job_new(
        &(leat_job_opts){.name = "access", .log = url, .state_dir = state_dir, .drain = true});
    leat_stream views = leat_from_log(job, "views", &view_type,
                                      &(leat_log_source){.topic = "views", .until_end = true});
    views = leat_process(leat_key_by(views, "user"), "count", &count, NULL);
    leat_to_log(views, "counts", &(leat_log_sink){.topic = "counts"});
    leat_status status = leat_job_run(job, error);
    leat_job_free(job);
    return status;
}

static leat_status fill(leat_error *error)
{
    char url[300];
    leat_log *log;
    leat_log_record view = {.topic = "views", .value = LEAT_STR("{\"user\":\"ann\"}")};
    (void)snprintf(url, sizeof(url), "embedded:%s", log_dir);
    leat_status status = leat_log_open(&log, url, &(leat_log_opts){0}, error);
    if (status != LEAT_OK)
        return status;
    status = leat_topic_create(log, "views", NULL, error);
    if (status == LEAT_OK)
        status = leat_log_append(log, &view, 1, error);
    leat_log_close(log);
    return status == LEAT_OK ? run_job(error) : status;
}

typedef struct answer {
    leat_status status;
    leat_error error;
} answer;

static answer as_nobody(leat_status (*what)(leat_error *error))
{
    int ends[2];
    answer said = {.status = LEAT_EINTERNAL};
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(120);
        if (getuid() == 0 &&
            (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(1);
        said.status = what(&said.error);
        _exit(write(ends[1], &said, sizeof(said)) == sizeof(said) ? 0 : 2);
    }
    int status;
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &said, sizeof(said)), sizeof(said));
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return said;
}

/* Of both directories: files that are not there for reading, as RocksDB's own log is, may be
 * whatever they are; all others are opened at the start. */
static bool is_needed(const char *name)
{
    static const char *const names[] = {"leat.", "CURRENT", "MANIFEST-"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return strcmp(name, "leat.socket") != 0;
    return false;
}

static size_t list(const char *folder, char names[FILES_MAX][256])
{
    DIR *listing = opendir(folder);
    size_t count = 0;
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
        if (entry->d_name[0] != '.' && count < FILES_MAX)
            (void)snprintf(names[count++], 256, "%s", entry->d_name);
    (void)closedir(listing);
    return count;
}

static void each_file_in(const char *folder, const char *const *expected)
{
    char names[FILES_MAX][256];
    size_t count = list(folder, names), needed = 0, met = 0;
    for (size_t i = 0; i < count; i++) {
        char path[512];
        struct stat info;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
            continue; /* removed by a run before */
        assert_int_equal(chmod(path, 0), 0);
        const answer said = as_nobody(run_job);
        (void)chmod(path, info.st_mode & 07777); /* it may have been removed as rubbish */
        if (said.status != LEAT_EACCES && (said.status != LEAT_OK || is_needed(names[i])))
            fail_msg("%s: %s: %s", path, leat_status_name(said.status), said.error.message);
        if (said.status == LEAT_EACCES && strstr(said.error.message, "give ") == NULL)
            fail_msg("%s: no remedy: %s", path, said.error.message);
        needed += is_needed(names[i]);
        for (size_t e = 0; expected[e] != NULL; e++)
            met += strcmp(names[i], expected[e]) == 0;
    }
    for (size_t e = 0; expected[e] != NULL; e++)
        met--; /* each of them was there */
    assert_int_equal(met, 0);
    assert_true(needed >= 3);
    assert_int_equal(as_nobody(run_job).status, LEAT_OK);
}

static void no_file_of_the_state_may_be_out_of_reach(void **state)
{
    (void)state;
    static const char *const expected[] = {"leat.instance", "leat.crashes", "leat.lock", "CURRENT",
                                           NULL};
    each_file_in(state_dir, expected);
}

static void nor_one_of_the_log(void **state)
{
    (void)state;
    static const char *const expected[] = {"leat.owner", "leat.mark", "CURRENT", NULL};
    each_file_in(log_dir, expected);
}

static void nor_the_directories_themselves(void **state)
{
    (void)state;
    const char *const folders[] = {state_dir, log_dir};
    const mode_t modes[] = {0, 0555, 0444};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof(modes) / sizeof(modes[0]); k++) {
            assert_int_equal(chmod(folders[i], modes[k]), 0);
            const answer said = as_nobody(run_job);
            assert_int_equal(chmod(folders[i], 0777), 0);
            if (said.status != LEAT_EACCES)
                fail_msg("%s, mode %o: %s: %s", folders[i], (unsigned)modes[k],
                         leat_status_name(said.status), said.error.message);
        }
    }
}

static int make_all(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    (void)snprintf(dir, sizeof(dir), "%s/leat-access-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(dir) == NULL || chmod(dir, 0777) != 0)
        return -1;
    (void)snprintf(log_dir, sizeof(log_dir), "%s/log", dir);
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
    const answer said = as_nobody(fill);
    if (said.status != LEAT_OK)
        fail_msg("%s", said.error.message);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    char command[500];
    (void)snprintf(command, sizeof(command), "chmod -R u+rwX '%s' && rm -rf '%s'", dir, dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_file_of_the_state_may_be_out_of_reach, make_all,
                                        remove_all),
        cmocka_unit_test_setup_teardown(nor_one_of_the_log, make_all, remove_all),
        cmocka_unit_test_setup_teardown(nor_the_directories_themselves, make_all, remove_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
