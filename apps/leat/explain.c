/* leat explain - the jobs of a log, as far as the log knows them.
 *
 *   committed offsets ─► job user-counts ─► reads user_events, lag 0
 *   topics            ─► user-counts-count-changelog ─► its state, and the last epoch sealed in it
 *
 * The operators between are the program's: `user_counts --explain` prints its plan.
 */
#include "apps/leat/offsets.h"
#include "apps/leat/tool.h"
#include "base/mem.h"
#include "engine/run.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum {
    TAIL_RECORDS = 64, /* of a changelog partition: a seal is among them, unless epochs are large */
    WAIT_NS = 5000000,
    WAITS_MAX = 1000, /* 5 s */
};

typedef struct state_topic {
    char *name;
    uint32_t partition_count;
    int64_t records, appended;
    uint64_t epoch; /* the highest sealed; 0: none */
} state_topic;

typedef struct state_topics {
    state_topic *topics;
    size_t count;
} state_topics;

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static bool collect_state(void *arg, const char *topic, const leat_topic_opts *opts)
{
    state_topics *found = arg;
    if (!ends_with(topic, "-changelog"))
        return true;
    found->topics = leat__realloc(found->topics, found->count + 1, sizeof *found->topics);
    found->topics[found->count++] =
        (state_topic){.name = leat__strdup(topic), .partition_count = opts->partition_count};
    return true;
}

static uint64_t epoch_of(leat_str value)
{
    leat__reader seal = leat__reader_of(value);
    (void)leat__read_u8(&seal);
    (void)leat__read_u64(&seal); /* incarnation */
    return leat__read_u64(&seal);
}

/* Reads up to `end`; a log on other machines takes a moment, and may hold marks of its own. */
static leat_status read_seals(leat_log_reader *reader, const char *topic, uint32_t partition,
                              int64_t end, uint64_t *epoch, leat_error *error)
{
    int64_t position = 0;
    leat_status status = LEAT_OK;
    for (int waits = 0; status == LEAT_OK && position < end && waits < WAITS_MAX;) {
        leat_log_record records[TAIL_RECORDS];
        size_t count = 0;
        status = leat_log_reader_poll(reader, records, TAIL_RECORDS, &count, error);
        for (size_t i = 0; i < count && status == LEAT_OK; i++)
            if (leat_str_equal(records[i].key, leat__seal_key))
                *epoch = epoch_of(records[i].value);
        if (status == LEAT_OK)
            status = leat_log_reader_position(reader, topic, partition, &position, error);
        if (count == 0 && position < end) {
            waits++;
            nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
        }
    }
    return status;
}

/* An epoch's last record in a changelog partition is its seal. */
static leat_status last_epoch(leat_log *log, const char *topic, uint32_t partition, int64_t begin,
                              int64_t end, uint64_t *epoch, leat_error *error)
{
    leat_log_reader *reader;
    int64_t from = end - TAIL_RECORDS > begin ? end - TAIL_RECORDS : begin;
    leat_status status = leat_log_reader_new(log, NULL, NULL, &reader, error);
    if (status != LEAT_OK)
        return status;
    status = leat_log_reader_seek(reader, topic, partition, from, error);
    if (status == LEAT_OK)
        status = read_seals(reader, topic, partition, end, epoch, error);
    leat_log_reader_free(reader);
    return status;
}

static leat_status measure_state(leat_log *log, state_topic *topic, leat_error *error)
{
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        int64_t begin, end;
        uint64_t epoch = 0;
        leat_status status = leat_log_bounds(log, topic->name, p, &begin, &end, error);
        if (status == LEAT_OK && end > begin)
            status = last_epoch(log, topic->name, p, begin, end, &epoch, error);
        if (status != LEAT_OK)
            return status;
        topic->appended += end;
        if (epoch > topic->epoch)
            topic->epoch = epoch;
    }
    return LEAT_OK;
}

/* Of the jobs "shop" and "shop-eu" the topic "shop-eu-x-changelog" belongs to the second. */
static bool belongs_to(const char *topic, const char *job, const group_offsets *offsets)
{
    size_t length = strlen(job);
    if (strncmp(topic, job, length) != 0 || topic[length] != '-')
        return false;
    for (size_t i = 0; i < offsets->count; i++) {
        size_t other = strlen(offsets->rows[i].group);
        if (other > length && strncmp(topic, offsets->rows[i].group, other) == 0 &&
            topic[other] == '-')
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ printing */

typedef struct input_sum {
    uint32_t partition_count;
    int64_t read, lag;
} input_sum;

/* Adds up the rows of one job and topic from *at on; moves *at behind them. */
static input_sum sum_input(const group_offsets *offsets, size_t *at)
{
    const group_offset *first = &offsets->rows[*at];
    input_sum sum = {0};
    for (; *at < offsets->count; ++*at) {
        const group_offset *row = &offsets->rows[*at];
        if (strcmp(row->group, first->group) != 0 || strcmp(row->topic, first->topic) != 0)
            break;
        sum.partition_count++;
        sum.read += row->offset > 0 ? row->offset : 0;
        if (row->end > row->offset)
            sum.lag += row->end - (row->offset > 0 ? row->offset : 0);
    }
    return sum;
}

static void print_input(const char *topic, input_sum sum, bool json, bool first)
{
    if (json)
        printf("%s{\"topic\":\"%s\",\"partitions\":%" PRIu32 ",\"read\":%" PRId64
               ",\"lag\":%" PRId64 "}",
               first ? "" : ",", topic, sum.partition_count, sum.read, sum.lag);
    else
        printf("  reads  %s: %s records read, lag %s, %" PRIu32 " partitions\n", topic,
               tool_thousands((uint64_t)sum.read), tool_thousands((uint64_t)sum.lag),
               sum.partition_count);
}

static void print_state(const state_topic *topic, bool json, bool first)
{
    if (json)
        printf("%s{\"topic\":\"%s\",\"partitions\":%" PRIu32 ",\"changes\":%" PRId64
               ",\"epoch\":%" PRIu64 "}",
               first ? "" : ",", topic->name, topic->partition_count, topic->appended,
               topic->epoch);
    else
        printf("  state  %s: %s changes ever, last epoch %" PRIu64 ", %" PRIu32 " partitions\n",
               topic->name, tool_thousands((uint64_t)topic->appended), topic->epoch,
               topic->partition_count);
}

static void print_job(const group_offsets *offsets, size_t *at, const state_topics *states,
                      bool json)
{
    const char *job = offsets->rows[*at].group;
    bool first = true;
    printf(json ? "{\"job\":\"%s\",\"inputs\":[" : "%s\n", job);
    while (*at < offsets->count && strcmp(offsets->rows[*at].group, job) == 0) {
        const char *topic = offsets->rows[*at].topic;
        print_input(topic, sum_input(offsets, at), json, first);
        first = false;
    }
    if (json)
        printf("],\"state\":[");
    first = true;
    for (size_t i = 0; i < states->count; i++) {
        if (!belongs_to(states->topics[i].name, job, offsets))
            continue;
        print_state(&states->topics[i], json, first);
        first = false;
    }
    if (json)
        puts("]}");
}

static leat_status explain(leat_log *log, const char *job, bool json, leat_error *error)
{
    group_offsets offsets;
    state_topics states = {0};
    leat_status status = group_offsets_load(&offsets, log, job, error);
    if (status == LEAT_OK)
        status = leat_topic_each(log, collect_state, &states, error);
    for (size_t i = 0; i < states.count && status == LEAT_OK; i++)
        status = measure_state(log, &states.topics[i], error);
    for (size_t at = 0; at < offsets.count && status == LEAT_OK;)
        print_job(&offsets, &at, &states, json);
    if (status == LEAT_OK && offsets.count == 0 && !json)
        puts("no job has committed anything yet");
    for (size_t i = 0; i < states.count; i++)
        leat__free(states.topics[i].name);
    leat__free(states.topics);
    group_offsets_free(&offsets);
    return status;
}

int command_explain(int argc, char **argv)
{
    const char *url = NULL;
    bool json = false;
    const option_spec options[] = {TOOL_OPTION_LOG(url), TOOL_OPTION_JSON(json)};
    const command_syntax syntax = {
        .command = "leat explain",
        .operands = "[JOB]",
        .about =
            "the jobs that have run on a log: what they read and how far, where their state is",
        .examples = "  leat explain --log embedded:data\n"
                    "  leat explain --log embedded:data user-counts --json\n\n"
                    "The plan of a job is in its program: 'user_counts --explain'.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .operand_max = 1};
    size_t operand_count;
    int code = options_parse(&syntax, argc, argv, &operand_count);
    if (code != OPTIONS_GO_ON)
        return code;
    leat_error error;
    leat_log *log;
    leat_status status = tool_open_for_reading(&log, url, &error);
    if (status != LEAT_OK)
        return tool_fail("explain", &error);
    status = explain(log, operand_count == 0 ? NULL : argv[1], json, &error);
    leat_log_close(log);
    return status == LEAT_OK ? 0 : tool_fail("explain", &error);
}
