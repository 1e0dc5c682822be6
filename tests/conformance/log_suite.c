/* tests/conformance/log_suite.c - the words that cases are written in, and how they are run.
 *
 *   driver ─► create a place ─► open ─► case ─► close ─► destroy       once per case and driver
 *
 * LEAT_TEST_CASE=part of a name and LEAT_TEST_DRIVER=name choose.
 */
#include "conformance/log_suite.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_BYTES = 1 << 20, POLL_RECORDS = 64, TOPICS_MAX = 8, CASES_MAX = 200 };

/* ---------------------------------------------------------------- checks */

void must_(leat_status status, const leat_error *error, const char *call, const char *file,
           int line)
{
    if (status == LEAT_OK)
        return;
    print_error("%s\n  gave %s: %s: %s\n", call, leat_status_name(status), error->where,
                error->message);
    _fail(file, line);
}

void refused_(leat_status status, leat_status expected, const char *call, const char *file,
              int line)
{
    if (status == expected)
        return;
    print_error("%s\n  gave %s, but %s was due\n", call, leat_status_name(status),
                leat_status_name(expected));
    _fail(file, line);
}

int64_t steady_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---------------------------------------------------------------- the log */

void reopen(world *w)
{
    leat_log_close(w->log);
    w->log = NULL;
    must(w, w->driver->open(w->place, NULL, &w->log, &w->error));
}

leat_log *open_again(world *w, const leat_log_opts *opts)
{
    leat_log *log = NULL;
    must(w, w->driver->open(w->place, opts, &log, &w->error));
    return log;
}

void topic_with(world *w, const char *name, leat_topic_opts opts)
{
    must(w, leat_topic_create(w->log, name, &opts, &w->error));
}

void topic(world *w, const char *name, uint32_t partitions)
{
    topic_with(w, name, (leat_topic_opts){.partition_count = partitions});
}

int64_t begin_of(world *w, const char *name, uint32_t partition)
{
    int64_t begin = -1;
    must(w, leat_log_bounds(w->log, name, partition, &begin, NULL, &w->error));
    return begin;
}

int64_t end_of(world *w, const char *name, uint32_t partition)
{
    int64_t end = -1;
    must(w, leat_log_bounds(w->log, name, partition, NULL, &end, &w->error));
    return end;
}

static leat_str parse(const char *text, const char *absent)
{
    if (strcmp(text, absent) == 0)
        return (leat_str){NULL, 0};
    if (strcmp(text, "''") == 0)
        return (leat_str){"", 0};
    return leat_str_from(text);
}

leat_log_record record(const char *name, uint32_t partition, const char *key, const char *value)
{
    return (leat_log_record){
        .topic = name, .partition = partition, .key = parse(key, "~"), .value = parse(value, "-")};
}

int64_t put(world *w, const char *name, uint32_t partition, const char *key, const char *value)
{
    leat_log_record one = record(name, partition, key, value);
    must(w, leat_log_append(w->log, &one, 1, &w->error));
    return one.offset;
}

typedef struct text {
    char *bytes;
    size_t length;
} text;

static void write_str(text *out, leat_str string, const char *absent)
{
    if (string.data != NULL && string.length == 0)
        string = LEAT_STR("''");
    if (string.data == NULL)
        string = leat_str_from(absent);
    size_t room = TEXT_BYTES - out->length - 2;
    size_t length = string.length < room ? string.length : room;
    memcpy(out->bytes + out->length, string.data, length);
    out->length += length;
}

static void write_record(text *out, const leat_log_record *one)
{
    if (out->length > 0)
        write_str(out, LEAT_STR(" "), "");
    write_str(out, one->key, "~");
    write_str(out, LEAT_STR("="), "");
    write_str(out, one->value, "-");
    out->bytes[out->length] = '\0';
}

static text fresh_text(void)
{
    static char buffers[4][TEXT_BYTES];
    static unsigned turn;
    text out = {.bytes = buffers[turn++ % 4]};
    out.bytes[0] = '\0';
    return out;
}

const char *contents_of(leat_log *log, const char *name, uint32_t partition)
{
    world w = {.log = log};
    leat_log_reader *reader = reader_at(&w, name, partition, LEAT_OFFSET_BEGIN);
    int64_t end = end_of(&w, name, partition);
    text out = fresh_text();
    leat_log_record records[POLL_RECORDS];
    int64_t until_ms = steady_ms() + DEADLINE_MS;
    while (position(&w, reader, name, partition) < end) {
        size_t count = poll_once(&w, reader, records, POLL_RECORDS);
        for (size_t i = 0; i < count; i++)
            write_record(&out, &records[i]);
        if (count == 0)
            nap();
        if (steady_ms() > until_ms)
            fail_msg("%s/%u never came to its end %" PRId64, name, partition, end);
    }
    leat_log_reader_free(reader);
    return out.bytes;
}

const char *contents(world *w, const char *name, uint32_t partition)
{
    return contents_of(w->log, name, partition);
}

/* ---------------------------------------------------------------- readers */

leat_log_reader *reader_at(world *w, const char *name, uint32_t partition, int64_t at)
{
    leat_log_reader *reader;
    must(w, leat_log_reader_new(w->log, NULL, NULL, &reader, &w->error));
    must(w, leat_log_reader_seek(reader, name, partition, at, &w->error));
    return reader;
}

size_t poll_once(world *w, leat_log_reader *reader, leat_log_record *records, size_t max)
{
    size_t count;
    must(w, leat_log_reader_poll(reader, records, max, &count, &w->error));
    return count;
}

const char *next(world *w, leat_log_reader *reader, size_t count)
{
    text out = fresh_text();
    leat_log_record records[POLL_RECORDS];
    int64_t until_ms = steady_ms() + DEADLINE_MS;
    for (size_t seen = 0; seen < count;) {
        size_t room = count - seen < POLL_RECORDS ? count - seen : POLL_RECORDS;
        size_t polled = poll_once(w, reader, records, room);
        for (size_t i = 0; i < polled; i++)
            write_record(&out, &records[i]);
        seen += polled;
        if (polled == 0)
            nap();
        if (steady_ms() > until_ms)
            fail_msg("only %zu of %zu records came: %s", seen, count, out.bytes);
    }
    assert_int_equal(poll_once(w, reader, records, POLL_RECORDS), 0);
    return out.bytes;
}

void until_quiet(world *w, leat_log_reader *reader, atomic_int *wakes)
{
    enum { QUIET_MS = 150 };
    int64_t quiet_until_ms = steady_ms() + QUIET_MS;
    atomic_store(wakes, 0);
    assert_string_equal(next(w, reader, 0), "");
    while (steady_ms() < quiet_until_ms) {
        nap();
        if (atomic_exchange(wakes, 0) == 0)
            continue;
        assert_string_equal(next(w, reader, 0), "");
        quiet_until_ms = steady_ms() + QUIET_MS;
    }
}

int64_t position(world *w, leat_log_reader *reader, const char *name, uint32_t partition)
{
    int64_t at = -1;
    must(w, leat_log_reader_position(reader, name, partition, &at, &w->error));
    return at;
}

/* ---------------------------------------------------------------- members */

leat_log_member *join(world *w, const char *group, const char *instance, const char *topics)
{
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", topics);
    const char *names[TOPICS_MAX];
    size_t count = 0;
    for (char *name; (name = strtok_r(rest, " ", &rest)) != NULL;)
        names[count++] = name;
    leat_log_member *member;
    leat_log_group wanted = {
        .group = group, .instance = instance, .topics = names, .topic_count = count};
    must(w, leat_log_join(w->log, &wanted, NULL, NULL, &member, &w->error));
    return member;
}

leat_log_event await_event(world *w, leat_log_member *member, leat_log_event_kind kind)
{
    leat_log_event event;
    int64_t until_ms = steady_ms() + DEADLINE_MS;
    do {
        must(w, leat_log_member_poll(member, &event, &w->error));
        if (event.kind == LEAT_LOG_NOTHING)
            nap();
        if (steady_ms() > until_ms)
            fail_msg("no event came, one of kind %d was due", (int)kind);
    } while (event.kind == LEAT_LOG_NOTHING);
    assert_int_equal(event.kind, kind);
    return event;
}

leat_log_member *member_of(world *w, const char *group, const char *instance, const char *topics,
                           int64_t *generation)
{
    leat_log_member *member = join(w, group, instance, topics);
    leat_log_event event = await_event(w, member, LEAT_LOG_ASSIGNED);
    *generation = event.generation;
    return member;
}

const char *listed(const leat_log_event *event)
{
    text out = fresh_text();
    for (size_t i = 0; i < event->partition_count; i++)
        out.length += (size_t)snprintf(out.bytes + out.length, TEXT_BYTES - out.length, "%s%s:%u",
                                       i == 0 ? "" : " ", event->partitions[i].topic,
                                       event->partitions[i].partition);
    return out.bytes;
}

leat_log_txn *begin(world *w, leat_log_member *member, int64_t generation)
{
    leat_log_txn *txn;
    must(w, leat_log_begin(member, generation, &txn, &w->error));
    return txn;
}

void add(world *w, leat_log_txn *txn, const char *name, uint32_t partition, const char *key,
         const char *value)
{
    leat_log_record one = record(name, partition, key, value);
    must(w, leat_log_txn_add(txn, &one, 1, &w->error));
}

void offset(world *w, leat_log_txn *txn, const char *name, uint32_t partition, int64_t next_offset)
{
    leat_log_offset one = {.topic = name, .partition = partition, .offset = next_offset};
    must(w, leat_log_txn_offsets(txn, &one, 1, &w->error));
}

int64_t committed(world *w, leat_log_member *member, const char *name, uint32_t partition)
{
    leat_log_offset found;
    must(w, leat_log_committed(member, name, partition, &found, &w->error));
    return found.offset;
}

/* ---------------------------------------------------------------- running */

typedef struct planned { /* what cmocka hands to set_up */
    const log_driver *driver;
    const log_case *what;
} planned;

static int set_up(void **state)
{
    const planned *plan = *state;
    world *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -1;
    w->driver = plan->driver;
    w->what = plan->what;
    w->place = plan->driver->create();
    *state = w;
    leat_status status = plan->driver->open(w->place, NULL, &w->log, &w->error);
    if (status != LEAT_OK)
        print_error("open: %s\n", w->error.message);
    return status == LEAT_OK ? 0 : -1;
}

static void run_case(void **state)
{
    world *w = *state;
    if (w->what->needs_clock && w->driver->advance == NULL) {
        w->passed = true; /* nothing was left open */
        skip();
    }
    w->what->run(w);
    w->passed = true;
}

static int tear_down(void **state)
{
    world *w = *state;
    if (!w->passed) /* its readers and members are still there: leave it all as it is */
        return 0;
    leat_log_close(w->log);
    w->driver->destroy(w->place);
    free(w);
    return 0;
}

int run_log_suite(const log_driver *driver)
{
    const log_case *const files[] = {log_topic_cases,     log_record_cases,      log_reader_cases,
                                     log_group_cases,     log_transaction_cases, log_cleaning_cases,
                                     log_durability_cases};
    static struct CMUnitTest tests[CASES_MAX];
    static planned plans[CASES_MAX];
    static char names[CASES_MAX][120];
    const char *only = getenv("LEAT_TEST_CASE"); /* part of a name */
    size_t count = 0;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        for (const log_case *each = files[f]; each->name != NULL && count < CASES_MAX; each++) {
            if (only != NULL && strstr(each->name, only) == NULL)
                continue;
            plans[count] = (planned){driver, each};
            snprintf(names[count], sizeof names[count], "%s: %s", driver->name, each->name);
            tests[count] =
                (struct CMUnitTest){names[count], run_case, set_up, tear_down, &plans[count]};
            count++;
        }
    }
    return _cmocka_run_group_tests(driver->name, tests, count, NULL, NULL);
}
