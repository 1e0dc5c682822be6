/* The batch: what is written is read back; garbled bytes are refused and never read past the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after those */
#include "base/mem.h"
#include "base/random.h"
#include "log/embedded/batch.h"
#include <cmocka.h>

typedef struct value { /* a whole batch in one block of exactly its size: a bound check for ASan */
    char *bytes;
    size_t length;
    int64_t last;
} value;

static value encode(const leat_log_record *records, size_t count, int64_t last)
{
    leat__buffer body = {0};
    int64_t offset = records[0].offset - 1, timestamp_ms = 0;
    for (size_t i = 0; i < count; i++) {
        leat__batch_add(&body, offset, timestamp_ms, &records[i]);
        offset = records[i].offset;
        timestamp_ms = records[i].timestamp_ms;
    }
    char head[LEAT__BATCH_HEADER_MAX];
    leat__batch batch = {.first = records[0].offset,
                         .last = last,
                         .count = count,
                         .bytes_before = 12345678901,
                         .max_timestamp_ms = -7,
                         .tombstones_until_ms = INT64_C(1) << 45};
    size_t head_length = leat__batch_header(head, &batch);
    value made = {leat__alloc(head_length + body.length), head_length + body.length, last};
    memcpy(made.bytes, head, head_length);
    memcpy(made.bytes + head_length, body.data, body.length);
    leat__buffer_free(&body);
    return made;
}

/* Reads all of it; false: damaged. */
static bool decode(value v, leat_log_record *records, size_t max, size_t *count)
{
    leat__batch batch;
    if (!leat__batch_open(&batch, (leat_str){v.bytes, v.length}, v.last))
        return false;
    leat__batch_cursor cursor;
    leat__batch_cursor_init(&cursor, &batch);
    int64_t before = batch.first - 1;
    for (*count = 0; cursor.left > 0; ++*count) {
        leat_log_record record = {0};
        if (!leat__batch_next(&cursor, &record))
            return false;
        assert_true(record.offset > before && record.offset <= v.last);
        before = record.offset;
        if (*count < max)
            records[*count] = record;
    }
    return true;
}

static const leat_log_record samples[] = {
    {.offset = 1000, .timestamp_ms = 1795249016914, .key = {"key", 3}, .value = {"value", 5}},
    {.offset = 1001, .timestamp_ms = INT64_MIN, .key = {NULL, 0}, .value = {"", 0}},
    {.offset = 1007, .timestamp_ms = INT64_MAX, .key = {"", 0}, .value = {NULL, 0}},
    {.offset = 2007, .timestamp_ms = 0, .key = {"k", 1}, .value = {"v", 1}},
};

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    leat_log_record read[4];
    size_t count;
    value v = encode(samples, 4, 2010); /* the last ones of the batch were compacted away */
    leat__batch batch;
    assert_true(leat__batch_open(&batch, (leat_str){v.bytes, v.length}, v.last));
    assert_int_equal(batch.first, 1000);
    assert_int_equal(batch.bytes_before, 12345678901);
    assert_int_equal(batch.max_timestamp_ms, -7);
    assert_int_equal(batch.tombstones_until_ms, INT64_C(1) << 45);
    assert_true(decode(v, read, 4, &count));
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read[i].offset, samples[i].offset);
        assert_int_equal(read[i].timestamp_ms, samples[i].timestamp_ms);
        assert_true(leat_str_equal(read[i].key, samples[i].key));
        assert_true(leat_str_equal(read[i].value, samples[i].value));
        assert_true((read[i].key.data == NULL) == (samples[i].key.data == NULL));
        assert_true((read[i].value.data == NULL) == (samples[i].value.data == NULL));
    }
    leat__free(v.bytes);
}

static void a_batch_cut_short_is_refused(void **state)
{
    (void)state;
    value whole = encode(samples, 4, 2010);
    for (size_t length = 0; length < whole.length; length++) {
        value cut = {leat__alloc(length), length, whole.last};
        memcpy(cut.bytes, whole.bytes, length);
        leat_log_record read[4];
        size_t count;
        assert_false(decode(cut, read, 4, &count));
        leat__free(cut.bytes);
    }
    leat__free(whole.bytes);
}

/* Garbled bytes may still look like a batch; then its offsets rise within its bounds (decode). */
static void garbled_bytes_are_never_read_past_their_end(void **state)
{
    (void)state;
    leat__random random = {7};
    value whole = encode(samples, 4, 2010);
    for (int round = 0; round < 20000; round++) {
        value garbled = {leat__alloc(whole.length), whole.length, whole.last};
        memcpy(garbled.bytes, whole.bytes, whole.length);
        for (uint64_t i = leat__random_below(&random, 4) + 1; i > 0; i--)
            garbled.bytes[leat__random_below(&random, whole.length)] =
                (char)leat__random_next(&random);
        leat_log_record read[4];
        size_t count;
        (void)decode(garbled, read, 4, &count);
        leat__free(garbled.bytes);
    }
    leat__free(whole.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_batch_cut_short_is_refused),
        cmocka_unit_test(garbled_bytes_are_never_read_past_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
