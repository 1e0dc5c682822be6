/* simulation_check.c - the fold of the input, and the committed topics against it.
 *
 *   tallies        per user exactly 1, 2, 3 ... with the ids in the order they were sent
 *   repeats        each duplicate once            flows     sums per user, whatever the timing was
 *   pages          per page 1, 2, 3 ...           dead-letters   each bad and poisoned record once
 *   windows, late  per window: counts grow; the last one + the late ones = all of its events
 */
#include "simulation/simulation.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOWS_MAX = 4000 };

static char wrong[400];

LEAT_PRINTF(1, 2)
LEAT_PRINTF(1, 2) static const char *fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(wrong, sizeof(wrong), format, args);
    va_end(args);
    return wrong;
}

static leat_log_reader *reader; /* of the topic being checked */

static void close_reader(void)
{
    leat_log_reader_free(reader);
    reader = NULL;
}

typedef struct topic_reader {
    char text[4000];
    uint32_t partition;
    int64_t offset;
} topic_reader;

static void open_topic(topic_reader *topic, leat_log *log, const char *name)
{
    leat_topic_opts opts;
    close_reader();
    *topic = (topic_reader){0};
    bool ok = leat_topic_describe(log, name, &opts, NULL) == LEAT_OK &&
              leat_log_reader_new(log, NULL, NULL, &reader, NULL) == LEAT_OK;
    for (uint32_t p = 0; ok && p < opts.partition_count; p++)
        ok = leat_log_reader_seek(reader, name, p, LEAT_OFFSET_BEGIN, NULL) == LEAT_OK;
    if (!ok)
        abort();
}

/* What the records that end time leave behind is nobody's. */
static bool next(topic_reader *topic)
{
    leat_log_record record;
    do {
        size_t count = 0;
        if (leat_log_reader_poll(reader, &record, 1, &count, NULL) != LEAT_OK)
            abort();
        if (count == 0)
            return false;
        (void)snprintf(topic->text, sizeof(topic->text), "%.*s", (int)record.value.length,
                       record.value.data);
    } while (strstr(topic->text, "\"end") != NULL);
    topic->partition = record.partition;
    topic->offset = record.offset;
    return true;
}

/* The number after "name": in the record. */
static long long number(const char *text, const char *name)
{
    char pattern[40];
    (void)snprintf(pattern, sizeof(pattern), "\"%s\":", name);
    const char *at = strstr(text, pattern);
    return at == NULL ? -1 : strtoll(at + strlen(pattern), NULL, 10);
}

/* The number in "name":"<letter>7". */
static int named(const char *text, const char *name)
{
    char pattern[40];
    (void)snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
    const char *at = strstr(text, pattern);
    return at == NULL ? -1 : atoi(at + strlen(pattern) + 1);
}

/* ------------------------------------------------------------------ the fold */

typedef struct fold {
    uint64_t ids[SIM_USERS][SIM_EVENTS_MAX]; /* accepted, in order */
    int accepted[SIM_USERS];
    uint64_t amounts[SIM_USERS];
    int repeats[SIM_EVENTS_MAX]; /* by id */
    int pages[SIM_PAGES];
    int letters; /* expected */
} fold;

static bool was_accepted(const fold *f, const sim_event *event)
{
    for (int i = 0; i < f->accepted[event->user]; i++)
        if (f->ids[event->user][i] == event->id)
            return true;
    return false;
}

static void fold_input(fold *f, const sim_input *input, bool exchange)
{
    *f = (fold){0};
    for (int i = 0; i < input->count; i++) {
        const sim_event *event = &input->events[i];
        if (event->bad) {
            f->letters++;
            continue;
        }
        if (exchange && event->amount == SIM_PAGE_POISON)
            f->letters++;
        else
            f->pages[event->page]++;
        if (was_accepted(f, event)) {
            f->repeats[event->id]++;
        } else if (event->amount == SIM_POISON) {
            f->letters++;
        } else {
            f->ids[event->user][f->accepted[event->user]++] = event->id;
            f->amounts[event->user] += event->amount;
        }
    }
}

/* ------------------------------------------------------------------ by user */

static const char *check_tallies(const fold *f, leat_log *log, const sim_input *input)
{
    int seen[SIM_USERS] = {0};
    topic_reader topic;
    open_topic(&topic, log, "tallies");
    while (next(&topic)) {
        int user = named(topic.text, "user");
        if (user < 0 || user >= SIM_USERS || seen[user] == f->accepted[user])
            return fail("a tally too many: %s", topic.text);
        uint64_t id = f->ids[user][seen[user]++];
        if (number(topic.text, "count") != seen[user] || number(topic.text, "id") != (long long)id)
            return fail("%s where count %d and id %d are next", topic.text, seen[user], (int)id);
        if (input->delivered[id] > 1)
            return fail("id %d was delivered %d times", (int)id, input->delivered[id]);
    }
    for (int user = 0; user < SIM_USERS; user++)
        if (seen[user] != f->accepted[user])
            return fail("user %d: %d tallies of %d", user, seen[user], f->accepted[user]);
    return NULL;
}

static const char *check_repeats(fold *f, leat_log *log)
{
    topic_reader topic;
    open_topic(&topic, log, "repeats");
    while (next(&topic)) {
        long long id = number(topic.text, "id");
        if (id < 0 || id >= SIM_EVENTS_MAX || f->repeats[id]-- == 0)
            return fail("a repeat too many: %s", topic.text);
    }
    for (int id = 0; id < SIM_EVENTS_MAX; id++)
        if (f->repeats[id] != 0)
            return fail("a repeat of %d is missing", id);
    return NULL;
}

static const char *check_flows(const fold *f, leat_log *log)
{
    uint64_t flushed[SIM_USERS] = {0}, ticked[SIM_USERS] = {0};
    topic_reader topic;
    open_topic(&topic, log, "flows");
    while (next(&topic)) {
        int user = named(topic.text, "user");
        if (user < 0 || user >= SIM_USERS)
            return fail("a flow of nobody: %s", topic.text);
        flushed[user] += (uint64_t)number(topic.text, "flushed");
        ticked[user] += (uint64_t)number(topic.text, "ticked");
    }
    for (int user = 0; user < SIM_USERS; user++)
        if (flushed[user] != f->amounts[user] || ticked[user] != f->amounts[user])
            return fail("user %d: %d flushed and %d ticked of %d", user, (int)flushed[user],
                        (int)ticked[user], (int)f->amounts[user]);
    return NULL;
}

/* Each once: those with an origin by it, those behind the exchange by their id. */
static const char *check_letters(const fold *f, leat_log *log)
{
    static char seen[SIM_EVENTS_MAX][80];
    int count = 0;
    topic_reader topic;
    open_topic(&topic, log, "dead-letters");
    while (next(&topic)) {
        const char *reason = strstr(topic.text, "page poison");
        char what[80];
        (void)snprintf(what, sizeof(what), "%d/%d/%d", (int)number(topic.text, "partition"),
                       (int)number(topic.text, "offset"),
                       reason == NULL ? -1 : atoi(reason + strlen("page poison")));
        if (count == SIM_EVENTS_MAX)
            return fail("too many dead letters");
        for (int i = 0; i < count; i++)
            if (strcmp(seen[i], what) == 0 && reason == NULL)
                return fail("a dead letter twice: %s", topic.text);
        (void)snprintf(seen[count++], sizeof(seen[0]), "%s", what);
    }
    return count == f->letters ? NULL : fail("%d dead letters of %d", count, f->letters);
}

/* ------------------------------------------------------------------ by page */

static const char *check_pages(const fold *f, leat_log *log)
{
    int sum[SIM_PAGES] = {0};
    bool seen[SIM_PAGES][SIM_EVENTS_MAX + 1] = {0};
    topic_reader topic;
    open_topic(&topic, log, "pages");
    while (next(&topic)) {
        int page = named(topic.text, "page");
        long long count = number(topic.text, "count");
        if (page < 0 || page >= SIM_PAGES || count < 1 || count > f->pages[page] ||
            seen[page][count])
            return fail("a page count too many: %s", topic.text);
        seen[page][count] = true;
        sum[page]++;
    }
    for (int page = 0; page < SIM_PAGES; page++)
        if (sum[page] != f->pages[page])
            return fail("page %d: %d of %d", page, sum[page], f->pages[page]);
    return NULL;
}

static size_t window_of(int64_t ts_ms)
{
    return (size_t)(ts_ms / SIM_WINDOW_MS) % WINDOWS_MAX;
}

/* Some record of this id may be late: the first or a duplicate. */
static bool may_be_late(const sim_input *input, long long id)
{
    for (int i = 0; i < input->count; i++)
        if (input->events[i].id == (uint64_t)id && input->events[i].may_be_late)
            return true;
    return false;
}

static const char *check_windows(leat_log *log, const sim_input *input)
{
    static int all[SIM_PAGES][WINDOWS_MAX], last[SIM_PAGES][WINDOWS_MAX],
        late[SIM_PAGES][WINDOWS_MAX];
    memset(all, 0, sizeof(all));
    memset(last, 0, sizeof(last));
    memset(late, 0, sizeof(late));
    for (int i = 0; i < input->count; i++)
        if (!input->events[i].bad)
            all[input->events[i].page][window_of(input->events[i].ts_ms)]++;
    topic_reader topic;
    open_topic(&topic, log, "windows");
    while (next(&topic)) {
        int page = named(topic.text, "page");
        int *count = &last[page][window_of(number(topic.text, "start_ms"))];
        if (number(topic.text, "count") <= *count)
            return fail("a window fired twice with the same: %s", topic.text);
        *count = (int)number(topic.text, "count");
    }
    open_topic(&topic, log, "late");
    while (next(&topic)) {
        late[named(topic.text, "page")][window_of(number(topic.text, "ts_ms"))]++;
        if (!may_be_late(input, number(topic.text, "id")))
            return fail("time overtook %s", topic.text);
    }
    for (int page = 0; page < SIM_PAGES; page++)
        for (int w = 0; w < WINDOWS_MAX; w++)
            if (last[page][w] + late[page][w] != all[page][w])
                return fail("page %d, window %d: %d counted and %d late of %d", page,
                            w * SIM_WINDOW_MS, last[page][w], late[page][w], all[page][w]);
    return NULL;
}

const char *sim_check(leat_log *log, const sim_input *input, bool exchange)
{
    static fold f;
    fold_input(&f, input, exchange);
    const char *what = check_tallies(&f, log, input);
    if (what == NULL)
        what = check_repeats(&f, log);
    if (what == NULL)
        what = check_flows(&f, log);
    if (what == NULL)
        what = check_letters(&f, log);
    if (what == NULL && exchange)
        what = check_pages(&f, log);
    if (what == NULL && exchange)
        what = check_windows(log, input);
    close_reader();
    return what;
}
