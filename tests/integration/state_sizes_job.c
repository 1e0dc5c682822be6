/* integration/state_sizes_job.c - see state_sizes_job.h.
 *
 *   orders ─► by user ─► "keep": value, list, map ─┬─► sizes: what each holds after the order
 *                                                  └─► dead-letters: orders over the bound
 */
#include "integration/state_sizes_job.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct order {
    leat_str user, kind;
    int64_t size;
};
LEAT_RECORD(order, user, kind, size);

struct note {
    leat_str text;
};
LEAT_RECORD(note, text);

struct sizes {
    leat_str user;
    int64_t value, list, map;
};
LEAT_RECORD(sizes, user, value, list, map);

enum { VALUE, LIST, MAP };

static leat_status write_note(leat_ctx *ctx, const void *record)
{
    const struct order *order = record;
    struct note note = {{leat_alloc(ctx, (size_t)order->size), (size_t)order->size}};
    memset((void *)(uintptr_t)note.text.data, 'x', note.text.length);
    leat_str one = LEAT_STR("one");
    if (leat_str_equal(order->kind, LEAT_STR("value")))
        *(struct note *)leat_mut(ctx, VALUE) = note;
    if (leat_str_equal(order->kind, LEAT_STR("list")))
        leat_list_append(ctx, LIST, &note);
    if (leat_str_equal(order->kind, LEAT_STR("map")))
        *(struct note *)leat_map_mut(ctx, MAP, &one) = note;

    struct sizes out = {.user = leat_key(ctx)};
    const struct note *value = leat_get(ctx, VALUE), *mapped = leat_map_get(ctx, MAP, &one);
    const void *elements;
    size_t count = leat_list_all(ctx, LIST, &elements);
    out.value = value == NULL ? 0 : (int64_t)value->text.length;
    out.map = mapped == NULL ? 0 : (int64_t)mapped->text.length;
    for (size_t i = 0; i < count; i++)
        out.list += (int64_t)((const struct note *)elements)[i].text.length;
    leat_emit(ctx, &out);
    return LEAT_OK;
}

leat_job *sizes_job(const char *url, leat_on_error policy, bool until_end)
{
    static leat_process_op op;
    op = (leat_process_op){.in = &order_type,
                           .out = &sizes_type,
                           .state = {{.name = "value", .type = &note_type},
                                     {.name = "list", .kind = LEAT_STATE_LIST, .type = &note_type},
                                     {.name = "map",
                                      .kind = LEAT_STATE_MAP,
                                      .type = &note_type,
                                      .map_key = &leat_type_str}},
                           .on_record = write_note,
                           .on_error = policy};
    leat_job *job = leat_job_new(&(leat_job_opts){.name = "sizes", .log = url});
    leat_stream orders = leat_from_log(job, "orders", &order_type,
                                       &(leat_log_source){.topic = "orders",
                                                          .partitioned_by = "user",
                                                          .until_end = until_end,
                                                          .on_error = LEAT_ON_ERROR_DEAD_LETTER});
    leat_stream sizes = leat_process(leat_key_by(orders, "user"), "keep", &op, NULL);
    leat_to_log(sizes, "sizes", &(leat_log_sink){.topic = "sizes", .key = "user"});
    return job;
}

static void order(leat_log *log, const char *kind, int size)
{
    char json[100];
    (void)snprintf(json, sizeof(json), "{\"user\":\"bob\",\"kind\":\"%s\",\"size\":%d}", kind,
                   size);
    leat_log_record record = {
        .topic = "orders", .key = LEAT_STR("bob"), .value = leat_str_from(json)};
    assert_int_equal(leat_log_append(log, &record, 1, NULL), LEAT_OK);
}

static void run_to_the_end(const char *url)
{
    leat_error error;
    leat_job *job = sizes_job(url, LEAT_ON_ERROR_DEAD_LETTER, true);
    if (leat_job_run(job, &error) != LEAT_OK)
        fail_msg("%s: %s", error.where, error.message);
    leat_job_free(job);
}

/* The committed values of a topic, one after the other, each after a newline. */
static char *all_of(leat_log *log, const char *topic)
{
    leat_log_reader *reader;
    int64_t begin, end, at = 0;
    char *text = calloc(1, 1);
    size_t length = 0;
    assert_int_equal(leat_log_bounds(log, topic, 0, &begin, &end, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_new(log, NULL, NULL, &reader, NULL), LEAT_OK);
    assert_int_equal(leat_log_reader_seek(reader, topic, 0, LEAT_OFFSET_BEGIN, NULL), LEAT_OK);
    while (at < end) {
        leat_log_record record;
        size_t count;
        assert_int_equal(leat_log_reader_poll(reader, &record, 1, &count, NULL), LEAT_OK);
        if (count == 1) {
            text = realloc(text, length + record.value.length + 2);
            length += (size_t)sprintf(text + length, "\n%.*s", (int)record.value.length,
                                      record.value.data);
        }
        assert_int_equal(leat_log_reader_position(reader, topic, 0, &at, NULL), LEAT_OK);
    }
    leat_log_reader_free(reader);
    return text;
}

static void expect(leat_log *log, const char *topic, const char *const *parts)
{
    char *text = all_of(log, topic), *from = text;
    for (; *parts != NULL; parts++) {
        char *found = strstr(from, *parts);
        if (found == NULL)
            fail_msg("'%s' is not where it should be in %s:%s", *parts, topic, text);
        from = found + strlen(*parts);
    }
    if (strchr(from, '\n') != NULL)
        fail_msg("more than was expected in %s:%s", topic, text);
    free(text);
}

static const char *const rooms[] = {"value", "list", "map"};

void sizes_are_checked_before_state_is_touched(const char *url)
{
    leat_log *log;
    const leat_topic_opts one = {.partition_count = 1};
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    assert_int_equal(leat_topic_create(log, "orders", &one, NULL), LEAT_OK);
    for (int i = 0; i < 3; i++) {
        order(log, rooms[i], i == 1 ? UNDER_IN_A_LIST_BYTES : UNDER_BYTES);
        order(log, rooms[i], OVER_BYTES);
    }
    leat_log_close(log);
    run_to_the_end(url); /* and once more: from what the changelog has */
    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    order(log, "small", 1);
    leat_log_close(log);
    run_to_the_end(url);

    assert_int_equal(leat_log_open(&log, url, NULL, NULL), LEAT_OK);
    expect(log, "sizes",
           (const char *const[]){
               "\n{\"user\":\"bob\",\"value\":1048476,\"list\":0,\"map\":0}",
               "\n{\"user\":\"bob\",\"value\":1048476,\"list\":900000,\"map\":0}",
               "\n{\"user\":\"bob\",\"value\":1048476,\"list\":900000,\"map\":1048476}",
               "\n{\"user\":\"bob\",\"value\":1048476,\"list\":900000,\"map\":1048476}", NULL});
    expect(log, "dead-letters",
           (const char *const[]){"\"offset\":1,", "state 'keep/value' of key 'bob' would take 1048",
                                 "over the log's bound of 1048576", "\n", "\"offset\":3,",
                                 "state 'keep/list'", "\n", "\"offset\":5,", "state 'keep/map'",
                                 NULL});
    leat_log_close(log);
}
