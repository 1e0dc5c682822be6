/* What the embedded log does when the world around it fails: another process, a full disk, a
 * directory that may not be written, damaged files, kill -9.
 *
 * Every log is opened in a child process, forked before this one opened any (R27): a crash of the
 * child is a failed test and not the end of all tests.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* after those */
#include "base/mem.h"
#include "base/random.h"
#include "leat/log.h"
#include <cmocka.h>
#include <rocksdb/c.h>

/* ---------------------------------------------------------------- children */

typedef struct report { /* what a child says about itself, in shared words on a pipe */
    leat_status status;
    int64_t number;
    char message[440];
} report;

typedef report (*child_fn)(const char *dir, int64_t argument, int acks);

static report failed(const leat_error *error)
{
    report said = {.status = error->status};
    snprintf(said.message, sizeof said.message, "%s", error->message);
    return said;
}

static pid_t start_child(child_fn fn, const char *dir, int64_t argument, int *from_child)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        report said = fn(dir, argument, ends[1]);
        ssize_t written = write(ends[1], &said, sizeof said);
        _exit(written == sizeof said ? 0 : 99);
    }
    close(ends[1]);
    *from_child = ends[0];
    return pid;
}

static bool read_wholly(int fd, void *bytes, size_t length)
{
    size_t seen = 0;
    while (seen < length) {
        ssize_t got = read(fd, (char *)bytes + seen, length - seen);
        if (got <= 0)
            return false;
        seen += (size_t)got;
    }
    return true;
}

/* Runs fn in a child to its end; a child that crashes fails the test. */
static report in_child(child_fn fn, const char *dir, int64_t argument)
{
    int from_child, status;
    pid_t pid = start_child(fn, dir, argument, &from_child);
    report said = {0};
    bool complete = read_wholly(from_child, &said, sizeof said);
    close(from_child);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!complete || status != 0)
        fail_msg("the child ended with status 0x%x", status);
    return said;
}

/* ---------------------------------------------------------------- directories */

LEAT_PRINTF(1, 2) static void run(const char *format, ...)
{
    char command[1500];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static int make_dir(void **state)
{
    const char *base = getenv("TMPDIR");
    char *dir = leat__format("%s/leat-faults-XXXXXX", base != NULL ? base : "/tmp");
    *state = dir;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    run("chmod -R u+rwX '%s' && rm -rf '%s'", (char *)*state, (char *)*state);
    leat__free(*state);
    return 0;
}

static leat_status open_log(leat_log **log, const char *dir, const leat_log_opts *opts,
                            leat_error *error)
{
    char *url = leat__format("embedded:%s", dir);
    leat_status status = leat_log_open(log, url, opts, error);
    leat__free(url);
    return status;
}

/* ---------------------------------------------------------------- a known content
 * Topic "t", one partition: the record at offset n is "key n" with a value that n decides. */

enum { VALUE_BYTES = 300, PER_APPEND = 100 };

static leat_log_record numbered(int64_t number, char key[24], char value[VALUE_BYTES])
{
    int length = snprintf(key, 24, "key %" PRId64, number);
    leat__random random = {(uint64_t)number};
    for (size_t i = 0; i < VALUE_BYTES; i++)
        value[i] = (char)leat__random_next(&random);
    return (leat_log_record){
        .topic = "t", .key = {key, (size_t)length}, .value = {value, VALUE_BYTES}};
}

static leat_status append_numbered(leat_log *log, int64_t count, leat_error *error)
{
    static char keys[PER_APPEND][24], values[PER_APPEND][VALUE_BYTES];
    leat_status status = LEAT_OK;
    int64_t end;
    if (leat_topic_describe(log, "t", NULL, NULL) != LEAT_OK)
        status = leat_topic_create(log, "t", NULL, error);
    if (status == LEAT_OK)
        status = leat_log_bounds(log, "t", 0, NULL, &end, error);
    for (int64_t i = 0; i < count && status == LEAT_OK;) {
        leat_log_record records[PER_APPEND];
        size_t taken = 0;
        for (; taken < PER_APPEND && i < count; taken++, i++)
            records[taken] = numbered(end + i, keys[taken], values[taken]);
        status = leat_log_append(log, records, taken, error);
    }
    return status;
}

/* Appends `count` more; number: the end then. */
static report append_more(const char *dir, int64_t count, int acks)
{
    (void)acks;
    leat_error error;
    leat_log *log;
    report said = {0};
    if (open_log(&log, dir, NULL, &error) != LEAT_OK ||
        append_numbered(log, count, &error) != LEAT_OK ||
        leat_log_bounds(log, "t", 0, NULL, &said.number, &error) != LEAT_OK)
        return failed(&error);
    leat_log_close(log);
    return said;
}

/* Leaves without closing, so that part of the data is in the write-ahead log only. */
static report append_and_vanish(const char *dir, int64_t count, int acks)
{
    leat_error error;
    leat_log *log;
    if (open_log(&log, dir, NULL, &error) != LEAT_OK ||
        append_numbered(log, count, &error) != LEAT_OK)
        return failed(&error);
    report said = {0};
    ssize_t written = write(acks, &said, sizeof said);
    _exit(written == sizeof said ? 0 : 99);
}

/* Reads everything; number: how many records, each checked. A wrong record is LEAT_EINTERNAL. */
static report read_everything(const char *dir, int64_t read_only, int acks)
{
    (void)acks;
    leat_error error;
    leat_log *log;
    leat_log_reader *reader;
    if (open_log(&log, dir, &(leat_log_opts){.read_only = read_only != 0, .must_exist = true},
                 &error) != LEAT_OK)
        return failed(&error);
    if (leat_log_reader_new(log, NULL, NULL, &reader, &error) != LEAT_OK ||
        leat_log_reader_seek(reader, "t", 0, LEAT_OFFSET_BEGIN, &error) != LEAT_OK)
        return failed(&error);
    report said = {0};
    for (size_t count = 1; count > 0;) {
        leat_log_record records[64];
        if (leat_log_reader_poll(reader, records, 64, &count, &error) != LEAT_OK)
            return failed(&error);
        for (size_t i = 0; i < count; i++, said.number++) {
            char key[24], value[VALUE_BYTES];
            leat_log_record due = numbered(said.number, key, value);
            if (!leat_str_equal(records[i].key, due.key) ||
                !leat_str_equal(records[i].value, due.value))
                return (report){.status = LEAT_EINTERNAL, .number = said.number};
        }
    }
    leat_log_reader_free(reader);
    leat_log_close(log);
    return said;
}

/* ---------------------------------------------------------------- another process */

static _Noreturn void wait_to_be_killed(void)
{
    for (;;)
        pause();
}

static report hold(const char *dir, int64_t argument, int acks)
{
    (void)argument;
    leat_error error;
    leat_log *log;
    leat_status status = open_log(&log, dir, NULL, &error);
    ssize_t written = write(acks, &status, sizeof status);
    if (written > 0)
        wait_to_be_killed();
    return (report){0};
}

/* R25 */
static void a_second_process_is_told_who_holds_the_log(void **state)
{
    int from_child;
    leat_status status = LEAT_EINTERNAL;
    pid_t holder = start_child(hold, *state, 0, &from_child);
    assert_true(read_wholly(from_child, &status, sizeof status));
    assert_int_equal(status, LEAT_OK);
    report said = in_child(append_more, *state, 1);
    assert_int_equal(said.status, LEAT_ELOCKED);
    char pid[40];
    snprintf(pid, sizeof pid, "process %ld ", (long)holder);
    assert_non_null(strstr(said.message, pid));
    assert_non_null(strstr(said.message, *state));

    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    close(from_child);
    said = in_child(append_more, *state, 1);
    assert_int_equal(said.status, LEAT_OK);
}

static report open_twice(const char *dir, int64_t argument, int acks)
{
    (void)argument;
    (void)acks;
    leat_error error = {0};
    leat_log *first, *second;
    if (open_log(&first, dir, NULL, &error) != LEAT_OK)
        return failed(&error);
    leat_status status = open_log(&second, dir, NULL, &error);
    leat_log_close(first);
    return status == LEAT_OK ? (report){0} : failed(&error);
}

static void the_same_process_does_not_open_it_twice(void **state)
{
    assert_int_equal(in_child(open_twice, *state, 0).status, LEAT_ELOCKED);
}

static report follow_until_told(const char *dir, int64_t until, int acks)
{
    (void)acks;
    report said = {0};
    for (int i = 0; i < 3000 && said.number < until && said.status == LEAT_OK; i++) {
        said = read_everything(dir, 1, -1);
        usleep(1000);
    }
    return said;
}

static report hold_and_append(const char *dir, int64_t count, int acks)
{
    report said = {0};
    leat_error error;
    leat_log *log;
    if (open_log(&log, dir, NULL, &error) != LEAT_OK ||
        append_numbered(log, count, &error) != LEAT_OK)
        said = failed(&error);
    ssize_t written = write(acks, &said.status, sizeof said.status);
    if (written > 0)
        wait_to_be_killed();
    return said;
}

static void another_process_reads_while_one_writes(void **state)
{
    int from_child;
    leat_status status = LEAT_EINTERNAL;
    pid_t holder = start_child(hold_and_append, *state, 200, &from_child);
    assert_true(read_wholly(from_child, &status, sizeof status));
    assert_int_equal(status, LEAT_OK);
    report said = in_child(follow_until_told, *state, 200);
    assert_int_equal(said.status, LEAT_OK);
    assert_int_equal(said.number, 200);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    close(from_child);
}

/* ---------------------------------------------------------------- the disk */

/* Appends until it fails; number: how many were acknowledged. Then again, which must fail too. */
static report append_until_full(const char *dir, int64_t limit_bytes, int acks)
{
    (void)acks;
    signal(SIGXFSZ, SIG_IGN);
    leat_error error = {0}, again = {0};
    leat_log *log;
    if (open_log(&log, dir, NULL, &error) != LEAT_OK)
        return failed(&error);
    report said = {0};
    leat_status status = append_numbered(log, 10, &error);
    struct rlimit limit = {(rlim_t)limit_bytes, (rlim_t)limit_bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    for (said.number = 9; status == LEAT_OK && said.number < 100000; said.number++)
        status = append_numbered(log, 1, &error);
    leat_status repeated = append_numbered(log, 1, &again);
    int64_t number = said.number;
    int64_t end;
    bool readable = leat_log_bounds(log, "t", 0, NULL, &end, NULL) == LEAT_OK && end == number;
    said = failed(&error);
    said.number = number;
    if (repeated != status || !readable)
        said.status = LEAT_EINTERNAL;
    leat_log_close(log);
    return said;
}

/* R17: a failed write is the last one; what was acknowledged is there after a restart. */
static void a_full_disk_ends_writing_and_loses_nothing(void **state)
{
    report said = in_child(append_until_full, *state, 1 << 20);
    assert_int_equal(said.status, LEAT_ENOSPC);
    assert_true(said.number > 100);
    report found = in_child(read_everything, *state, 0);
    assert_int_equal(found.status, LEAT_OK);
    assert_true(found.number >= said.number);
    found = in_child(append_more, *state, 5);
    assert_int_equal(found.status, LEAT_OK);
}

static report as_nobody(const char *dir, int64_t read_only, int acks)
{
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return (report){.status = LEAT_EINTERNAL};
    return read_only ? read_everything(dir, 1, acks) : append_more(dir, 1, acks);
}

static void a_directory_that_may_not_be_written_can_be_read(void **state)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/log", (char *)*state);
    assert_int_equal(in_child(append_more, dir, 20).status, LEAT_OK);
    run("chmod 755 '%s'; chmod -R a+rX,a-w '%s'", (char *)*state, dir);
    report said = in_child(as_nobody, dir, 0);
    assert_int_equal(said.status, LEAT_EACCES);
    assert_non_null(strstr(said.message, dir));
    said = in_child(as_nobody, dir, 1);
    assert_int_equal(said.status, LEAT_OK);
    assert_int_equal(said.number, 20);
}

static void a_directory_that_cannot_be_made_is_refused(void **state)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/file", (char *)*state);
    run("touch '%s'", dir);
    strcat(dir, "/log");
    report said = in_child(append_more, dir, 1);
    assert_int_not_equal(said.status, LEAT_OK);
    assert_non_null(strstr(said.message, "/file"));
}

static void missing_directories_are_made(void **state)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/a/b/c", (char *)*state);
    assert_int_equal(in_child(append_more, dir, 1).status, LEAT_OK);
    assert_int_equal(in_child(read_everything, dir, 0).number, 1);
}

static void what_must_exist_is_not_made(void **state)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/log", (char *)*state);
    assert_int_equal(in_child(read_everything, dir, 0).status, LEAT_ENOTFOUND);
    assert_int_equal(in_child(read_everything, dir, 1).status, LEAT_ENOTFOUND);
    assert_int_not_equal(access(dir, F_OK), 0);
}

static void a_directory_of_something_else_is_left_alone(void **state)
{
    run("echo precious > '%s/diary.txt'", (char *)*state);
    report said = in_child(append_more, *state, 1);
    assert_int_equal(said.status, LEAT_EINVAL);
    assert_non_null(strstr(said.message, "not empty"));
}

/* ---------------------------------------------------------------- damage */

enum { RECORDS = 40000 }; /* 12 MB: some in a table file, some in the write-ahead log */

static char *a_log_to_damage(const char *place)
{
    char *dir = leat__format("%s/log", place);
    assert_int_equal(in_child(append_and_vanish, dir, RECORDS).status, LEAT_OK);
    return dir;
}

/* f in the command is the file. */
static void damage_copy(const char *dir, const char *copy, const char *file, const char *command)
{
    run("rm -rf '%s' && cp -r '%s' '%s' && cd '%s' && f='%s' && %s", copy, dir, copy, copy, file,
        command);
}

/* Whatever was done to the file: everything is there, or the log says that it is damaged. */
static void check_damage(const char *dir, const char *file, const char *command)
{
    char copy[300];
    snprintf(copy, sizeof copy, "%s-copy", dir);
    damage_copy(dir, copy, file, command);
    report said = in_child(read_everything, copy, 0);
    if (said.status == LEAT_OK && said.number == RECORDS)
        return;
    if (said.status != LEAT_ECORRUPT || strstr(said.message, copy) == NULL)
        fail_msg("%s of %s: status %s, %" PRId64 " of %d records: %s", command, file,
                 leat_status_name(said.status), said.number, RECORDS, said.message);
    assert_non_null(strstr(said.message, "backup"));
}

static const char *const damages[] = {
    "truncate -s 0 $f",
    "truncate -s -1 $f",
    "truncate -s $(($(stat -c %s $f) / 2)) $f",
    "truncate -s $(($(stat -c %s $f) * 9 / 10)) $f",
    "rm $f",
    "printf '\\377\\000\\252' | dd of=$f bs=1 conv=notrunc status=none seek=0",
    "printf '\\377\\000\\252' | dd of=$f bs=1 conv=notrunc status=none "
    "seek=$(($(stat -c %s $f) / 3))",
    "printf '\\377\\000\\252' | dd of=$f bs=1 conv=notrunc status=none "
    "seek=$(($(stat -c %s $f) * 2 / 3))",
    "printf '\\377\\000\\252' | dd of=$f bs=1 conv=notrunc status=none "
    "seek=$(($(stat -c %s $f) - 20))",
    "dd if=/dev/zero of=$f bs=1024 count=8 conv=notrunc status=none "
    "seek=$(($(stat -c %s $f) / 2048))",
};

static void damage_is_noticed_and_never_silent(void **state)
{
    const char *sanitizer = getenv("LEAT_SANITIZE"); /* a tenth of the speed: a third of it */
    size_t step = sanitizer == NULL || *sanitizer == '\0' ? 1 : 3;
    char *dir = a_log_to_damage(*state);
    DIR *listing = opendir(dir);
    assert_non_null(listing);
    size_t files = 0;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        struct stat info;
        assert_int_equal(fstatat(dirfd(listing), entry->d_name, &info, 0), 0);
        if (entry->d_name[0] == '.' || info.st_size < 20)
            continue;
        for (size_t i = files++ % step; i < sizeof damages / sizeof *damages; i += step)
            check_damage(dir, entry->d_name, damages[i]);
    }
    closedir(listing);
    assert_true(files >= 4); /* a table, a write-ahead log, the manifest, the mark */
    check_damage(dir, "CURRENT", "rm $f");
    check_damage(dir, "CURRENT", "echo nonsense > $f");
    leat__free(dir);
}

/* The log before the torn write is whole, and writing goes on. */
static void the_torn_end_of_an_unacknowledged_write_is_dropped(void **state)
{
    char *dir = leat__format("%s/log", (char *)*state), copy[300];
    assert_int_equal(in_child(append_and_vanish, dir, 100).status, LEAT_OK);
    static const char *const tails[] = {
        /* half a record, and one whose bytes arrived out of order */
        "printf '\\001\\002\\003\\004\\100\\000\\001abc' >> $(ls *.log | tail -1)",
        "head -c 5000 /dev/urandom >> $(ls *.log | tail -1)",
        "head -c 40000 /dev/zero >> $(ls *.log | tail -1)",
    };
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(copy, sizeof copy, "%s-copy", dir);
        damage_copy(dir, copy, "", tails[i]);
        report said = in_child(append_more, copy, 10);
        if (said.status != LEAT_OK)
            fail_msg("tail %zu: %s", i, said.message);
        assert_int_equal(said.number, 110);
        said = in_child(read_everything, copy, 0);
        assert_int_equal(said.number, 110);
    }
    leat__free(dir);
}

static report raise_format(const char *dir, int64_t argument, int acks)
{
    (void)argument;
    (void)acks;
    char *message = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_t *db = rocksdb_open(options, dir, &message);
    if (message != NULL)
        return (report){.status = LEAT_EIO};
    rocksdb_writeoptions_t *write_options = rocksdb_writeoptions_create();
    rocksdb_put(db, write_options, "F", 1, "\x03", 1, &message);
    rocksdb_writeoptions_destroy(write_options);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    return (report){0};
}

/* R26 */
static void a_newer_format_is_refused(void **state)
{
    char *dir = leat__format("%s/log", (char *)*state);
    assert_int_equal(in_child(append_more, dir, 1).status, LEAT_OK);
    assert_int_equal(in_child(raise_format, dir, 0).status, LEAT_OK);
    for (int64_t read_only = 0; read_only < 2; read_only++) {
        report said = in_child(read_everything, dir, read_only);
        assert_int_equal(said.status, LEAT_EVERSION);
        assert_non_null(strstr(said.message, "format 3"));
    }
    leat__free(dir);
}

static report make_other_database(const char *dir, int64_t argument, int acks)
{
    (void)argument;
    (void)acks;
    char *message = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_t *db = rocksdb_open(options, dir, &message);
    rocksdb_writeoptions_t *write_options = rocksdb_writeoptions_create();
    rocksdb_put(db, write_options, "state", 5, "1", 1, &message);
    rocksdb_writeoptions_destroy(write_options);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    return (report){0};
}

static void another_kind_of_database_is_refused(void **state)
{
    char *dir = leat__format("%s/log", (char *)*state);
    assert_int_equal(in_child(make_other_database, dir, 0).status, LEAT_OK);
    report said = in_child(append_more, dir, 1);
    assert_int_equal(said.status, LEAT_EINVAL);
    assert_non_null(strstr(said.message, "not a log"));
    leat__free(dir);
}

/* ---------------------------------------------------------------- kill -9 */

enum { KILL_ROUNDS = 15, PARTS = 3 };

typedef struct ack {
    int64_t appended, committed; /* counts so far */
} ack;

static leat_status open_scene(leat_log **log, const char *dir, leat_error *error)
{
    leat_status status = open_log(log, dir, NULL, error);
    if (status == LEAT_OK && leat_topic_describe(*log, "t", NULL, NULL) != LEAT_OK)
        status = leat_topic_create(*log, "t", NULL, error);
    if (status == LEAT_OK && leat_topic_describe(*log, "out", NULL, NULL) != LEAT_OK)
        status =
            leat_topic_create(*log, "out", &(leat_topic_opts){.partition_count = PARTS}, error);
    return status;
}

static leat_status join_scene(leat_log *log, leat_log_member **member, int64_t *generation,
                              leat_error *error)
{
    static const char *const topics[] = {"t"};
    leat_log_group group = {.group = "g", .instance = "i", .topics = topics, .topic_count = 1};
    leat_status status = leat_log_join(log, &group, NULL, NULL, member, error);
    leat_log_event event;
    if (status == LEAT_OK)
        status = leat_log_member_poll(*member, &event, error);
    *generation = event.generation;
    return status;
}

/* One commit: its number to each partition of "out", and as offset. */
static leat_status commit_number(leat_log_member *member, int64_t generation, int64_t number,
                                 leat_error *error)
{
    leat_log_txn *txn;
    leat_status status = leat_log_begin(member, generation, &txn, error);
    if (status != LEAT_OK)
        return status;
    for (uint32_t p = 0; p < PARTS && status == LEAT_OK; p++) {
        leat_log_record one = {
            .topic = "out", .partition = p, .value = {(const char *)&number, sizeof number}};
        status = leat_log_txn_add(txn, &one, 1, error);
    }
    leat_log_offset offset = {.topic = "t", .offset = number + 1};
    if (status == LEAT_OK)
        status = leat_log_txn_offsets(txn, &offset, 1, error);
    if (status == LEAT_OK)
        return leat_log_txn_commit(txn, error);
    leat_log_txn_abort(txn);
    return status;
}

static report write_for_ever(const char *dir, int64_t argument, int acks)
{
    (void)argument;
    leat_error error;
    leat_log *log;
    leat_log_member *member;
    int64_t generation = 0;
    ack so_far = {0};
    leat_status status = open_scene(&log, dir, &error);
    if (status == LEAT_OK)
        status = join_scene(log, &member, &generation, &error);
    if (status == LEAT_OK)
        status = leat_log_bounds(log, "t", 0, NULL, &so_far.appended, &error);
    if (status == LEAT_OK)
        status = leat_log_bounds(log, "out", 0, NULL, &so_far.committed, &error);
    while (status == LEAT_OK && write(acks, &so_far, sizeof so_far) == sizeof so_far) {
        status = append_numbered(log, 1 + so_far.appended % 7, &error);
        if (status == LEAT_OK)
            status = leat_log_bounds(log, "t", 0, NULL, &so_far.appended, &error);
        if (status == LEAT_OK)
            status = commit_number(member, generation, so_far.committed, &error);
        so_far.committed++;
    }
    return failed(&error);
}

/* number: how many commits are whole; LEAT_EINTERNAL if one is torn. */
static report check_commits(const char *dir, int64_t argument, int acks)
{
    (void)argument;
    (void)acks;
    leat_error error;
    leat_log *log;
    leat_log_member *member;
    leat_log_reader *reader;
    int64_t generation, seen[PARTS] = {0};
    leat_log_offset offset;
    if (open_scene(&log, dir, &error) != LEAT_OK ||
        join_scene(log, &member, &generation, &error) != LEAT_OK ||
        leat_log_committed(member, "t", 0, &offset, &error) != LEAT_OK ||
        leat_log_reader_new(log, NULL, NULL, &reader, &error) != LEAT_OK)
        return failed(&error);
    for (uint32_t p = 0; p < PARTS; p++)
        if (leat_log_reader_seek(reader, "out", p, 0, &error) != LEAT_OK)
            return failed(&error);
    for (size_t count = 1; count > 0;) {
        leat_log_record records[64];
        if (leat_log_reader_poll(reader, records, 64, &count, &error) != LEAT_OK)
            return failed(&error);
        for (size_t i = 0; i < count; i++) {
            int64_t number;
            memcpy(&number, records[i].value.data, sizeof number);
            if (number != seen[records[i].partition]++)
                return (report){.status = LEAT_EINTERNAL, .number = number};
        }
    }
    bool whole = seen[0] == seen[1] && seen[1] == seen[2] &&
                 (offset.offset == seen[0] || (offset.offset == -1 && seen[0] == 0));
    leat_log_reader_free(reader);
    leat_log_leave(member);
    leat_log_close(log);
    return (report){.status = whole ? LEAT_OK : LEAT_EINTERNAL, .number = seen[0]};
}

/* R12, R17: what was acknowledged is there, commits are whole, after kill -9 at any moment. */
static void kill_9_loses_nothing_acknowledged_and_tears_no_commit(void **state)
{
    char *dir = leat__format("%s/log", (char *)*state);
    leat__random random = {20261121};
    ack last = {0};
    /* on a machine that is busy a child may get no processor in time: then more rounds, longer */
    for (int round = 0; round < KILL_ROUNDS || (last.committed == 0 && round < 10 * KILL_ROUNDS);
         round++) {
        int from_child;
        pid_t pid = start_child(write_for_ever, dir, 0, &from_child);
        useconds_t longest_us = 120000u * (1 + (unsigned)(round / KILL_ROUNDS));
        usleep(1000 + (useconds_t)leat__random_below(&random, longest_us));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        for (ack next; read_wholly(from_child, &next, sizeof next);)
            last = next;
        close(from_child);
        report said = in_child(check_commits, dir, 0);
        if (said.status != LEAT_OK)
            fail_msg("round %d: commit %" PRId64 " is torn: %s", round, said.number, said.message);
        assert_true(said.number >= last.committed);
        said = in_child(read_everything, dir, 0);
        assert_int_equal(said.status, LEAT_OK);
        assert_true(said.number >= last.appended);
    }
    assert_true(last.committed > 0);
    leat__free(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_process_is_told_who_holds_the_log),
        TEST(the_same_process_does_not_open_it_twice),
        TEST(another_process_reads_while_one_writes),
        TEST(a_full_disk_ends_writing_and_loses_nothing),
        TEST(a_directory_that_may_not_be_written_can_be_read),
        TEST(a_directory_that_cannot_be_made_is_refused),
        TEST(missing_directories_are_made),
        TEST(what_must_exist_is_not_made),
        TEST(a_directory_of_something_else_is_left_alone),
        TEST(damage_is_noticed_and_never_silent),
        TEST(the_torn_end_of_an_unacknowledged_write_is_dropped),
        TEST(a_newer_format_is_refused),
        TEST(another_kind_of_database_is_refused),
        TEST(kill_9_loses_nothing_acknowledged_and_tears_no_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
