/* The file loader: each format by its header or first row, bad rows reported with file, line and
 * reason, compressed files, odd line ends, damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "apps/recommender/events/load.h"
#include "apps/recommender/events/load_lines.h"

typedef struct seen {
    char text[4096];
    size_t length;
    uint64_t stop_after, progress_bytes;
} seen;

static void note(seen *into, const char *format, ...) LEAT_PRINTF(2, 3);
static void note(seen *into, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length =
        vsnprintf(into->text + into->length, sizeof into->text - into->length, format, args);
    va_end(args);
    into->length += (size_t)length;
    assert_true(into->length < sizeof into->text);
}

static bool on_interaction(void *arg, const interaction *event)
{
    seen *into = arg;
    note(into, "%.*s %.*s %lld %s", (int)event->user_id.length, event->user_id.data,
         (int)event->item_id.length, event->item_id.data, (long long)event->timestamp_ms,
         interaction_kind_name(event->kind));
    if (event->session_id.length != 0)
        note(into, " s=%.*s", (int)event->session_id.length, event->session_id.data);
    if (event->category.length != 0)
        note(into, " c=%.*s", (int)event->category.length, event->category.data);
    if (event->price > 0)
        note(into, " p=%g", event->price);
    if (event->value > 0)
        note(into, " v=%g", event->value);
    note(into, "\n");
    return into->stop_after == 0 || --into->stop_after > 0;
}

static void on_reject(void *arg, const load_reject *reject)
{
    note(arg, "line %llu: %s\n", (unsigned long long)reject->line, reject->reason);
}

static void on_progress(void *arg, uint64_t bytes_read, uint64_t bytes_total)
{
    seen *into = arg;
    assert_true(bytes_total == 0 || bytes_read <= bytes_total);
    into->progress_bytes = bytes_read;
}

static load_result load_text(const char *format, const void *bytes, size_t length, seen *into)
{
    load_options options = {.format = format,
                            .arg = into,
                            .on_interaction = on_interaction,
                            .on_reject = on_reject,
                            .on_progress = on_progress};
    load_result result;
    leat_error error = {0};
    into->length = 0;
    into->text[0] = '\0';
    leat_status status = load_bytes(bytes, length, &options, &result, &error);
    if (status != LEAT_OK)
        note(into, "%s: %s\n", leat_status_name(status), error.message);
    return result;
}

static void expect(const char *format_found, const char *text, const char *expected)
{
    seen into = {0};
    load_result result = load_text(NULL, text, strlen(text), &into);
    assert_string_equal(into.text, expected);
    assert_non_null(result.format);
    assert_string_equal(result.format, format_found);
}

static void test_each_format_is_told_by_its_first_line(void **state)
{
    (void)state;
    expect("serenade", "SessionId\tItemId\tTime\n27\t5959\t1593536687.5\n",
           "27 5959 1593536687500 click s=27\n");
    expect("retailrocket",
           "timestamp,visitorid,event,itemid,transactionid\n"
           "1433221332117,257597,view,355908,\n1433224214164,992329,transaction,248676,7\n",
           "257597 355908 1433221332117 view\n992329 248676 1433224214164 purchase\n");
    expect("rees46",
           "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
           "user_session\n2019-10-01 00:00:01 UTC,cart,44,210,tv.led,x,35.79,5413,72d7\n",
           "5413 44 1569888001000 cart s=72d7 c=tv.led p=35.79\n");
    expect("diginetica",
           "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n",
           "1 81766 1462752526309 view s=1\n");
    expect("movielens", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n",
           "1 31 1260759144000 rating v=2.5\n");
    expect("csv",
           "item_id,user_id,timestamp,event_type,category\n"
           "i,u,2020-01-01T00:00:00Z,buy,\"a, \"\"b\"\"\"\n",
           "u i 1577836800000 purchase c=a, \"b\"\n");
    expect("yoochoose", "1,2014-04-07T10:51:09.277Z,214536502,0\n",
           "1 214536502 1396867869277 click s=1 c=0\n");
    expect("yoochoose-buys", "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n",
           "420374 214537888 1396809898314 purchase s=420374 p=12462 v=1\n");
    expect("taobao", "1,2268318,2520377,fav,1511544070\n",
           "1 2268318 1511544070000 rating c=2520377\n");
    expect("leat",
           "{\"user_id\":\"u\",\"product_id\":7,\"event_type\":\"view\",\"timestamp_ms\":5}\n"
           "{\"event_type\":\"user_interaction\",\"timestamp\":6,\"user_id\":\"w\","
           "\"data\":{\"item_id\":\"j\",\"interaction_type\":\"cart\"}}\n",
           "u 7 5 view\nw j 6 cart\n");
}

static void test_bad_rows_are_reported_and_passed_over(void **state)
{
    (void)state;
    expect("serenade",
           "SessionId\tItemId\tTime\n"
           "1\t2\tsoon\n"
           "1\t2\n"
           "\n"
           "1\t\t5\n"
           "\t2\t5\n"
           "1\t\"2\t5\n"
           "1\t2\t-5\n"
           "1\t2\t5\n",
           "line 2: time 'soon' is not a number of seconds since 1970\n"
           "line 3: 2 columns, column 3 is needed\n"
           "line 5: item is empty\n"
           "line 6: user and session are empty\n"
           "line 7: column 2: a quote is not closed\n"
           "line 8: time '-5' is not a number of seconds since 1970\n"
           "1 2 5000 click s=1\n");
    expect("leat", "{\"user_id\":\"u\",\"item_id\":\"i\",\"ts\":1}\n{\"user_id\":\"u\"}\n",
           "u i 1 view\nline 2: item_id is missing\n");
    char text[600];
    memset(text, 'x', sizeof text);
    memcpy(text, "userId,movieId,rating,timestamp\n1,", 34);
    snprintf(text + 500, 100, ",3,5\n1,2,three,4\n");
    expect("movielens", text,
           "line 2: item has 466 bytes, at most 256 are allowed\n"
           "line 3: value 'three' is not a number\n");
}

static void test_line_ends(void **state)
{
    (void)state;
    expect("serenade", "\xef\xbb\xbfSessionId\tItemId\tTime\r\n1\t2\t3\r\n1\t4\t5",
           "1 2 3000 click s=1\n1 4 5000 click s=1\n");
}

static void test_unknown_format_is_refused(void **state)
{
    (void)state;
    seen into = {0};
    load_text(NULL, "what,is,this\n", 13, &into);
    assert_non_null(strstr(into.text, "LEAT_EDATA: the first line fits no known format"));
    load_text("nonsense", "1\n", 2, &into);
    assert_non_null(
        strstr(into.text, "LEAT_EINVAL: there is no format 'nonsense'; there are: leat"));
    load_text("serenade", "a,b\n", 4, &into);
    assert_non_null(strstr(into.text, "not the header of format 'serenade'"));
    load_result result = load_text("yoochoose", "rubbish\n1,2014-04-07,3,0\n", 25, &into);
    assert_int_equal(result.rejected, 1);
    assert_int_equal(result.interactions, 1);
}

static void test_empty_file_has_nothing(void **state)
{
    (void)state;
    seen into = {0};
    load_result result = load_text(NULL, "", 0, &into);
    assert_int_equal(result.interactions, 0);
    assert_string_equal(into.text, "");
}

static void test_callback_can_stop(void **state)
{
    (void)state;
    seen into = {.stop_after = 2};
    const char *text = "SessionId\tItemId\tTime\n1\t2\t3\n1\t4\t5\n1\t6\t7\n";
    load_result result = load_text(NULL, text, strlen(text), &into);
    assert_true(result.stopped);
    assert_int_equal(result.interactions, 2);
}

/* A line longer than any event is passed over in bounded memory; what follows is read. */
static void test_endless_line(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 3; extra++) {
        size_t long_bytes = LOAD_LINE_BYTES_MAX * (extra * 2 + 1) + extra;
        leat_str begin = LEAT_STR("SessionId\tItemId\tTime\n"), end = LEAT_STR("\n1\t2\t3\n");
        char *text = malloc(begin.length + long_bytes + end.length);
        memcpy(text, begin.data, begin.length);
        memset(text + begin.length, 'x', long_bytes);
        memcpy(text + begin.length + long_bytes, end.data, end.length);
        seen into = {0};
        load_result result = load_text(NULL, text, begin.length + long_bytes + end.length, &into);
        assert_int_equal(result.rejected, 1);
        assert_int_equal(result.interactions, 1);
        assert_int_equal(result.lines, 3);
        if (extra > 0)
            assert_non_null(strstr(into.text, "line 2: the line is too long"));
        free(text);
    }
}

enum { ROWS = 30000, TEXT_BYTES = ROWS * 32 };

static size_t long_text(char *text)
{
    size_t length = (size_t)sprintf(text, "SessionId\tItemId\tTime\n");
    for (int i = 0; i < ROWS; i++)
        length += (size_t)sprintf(text + length, "%d\t%d\t%d\n", i, i * 7919 % 10007, i);
    return length;
}

static size_t gzip(const char *text, size_t length, char *out, size_t room)
{
    z_stream stream = {0};
    deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    char *copy = malloc(length);
    memcpy(copy, text, length);
    stream.next_in = (unsigned char *)copy;
    stream.avail_in = (unsigned)length;
    stream.next_out = (unsigned char *)out;
    stream.avail_out = (unsigned)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    free(copy);
    return room - stream.avail_out;
}

typedef struct counted {
    uint64_t events, item_sum, last_progress, total;
} counted;

static bool count_event(void *arg, const interaction *event)
{
    counted *into = arg;
    into->events++;
    into->item_sum += strtoull(event->item_id.data, NULL, 10);
    return true;
}
static void count_progress(void *arg, uint64_t bytes_read, uint64_t bytes_total)
{
    counted *into = arg;
    into->last_progress = bytes_read;
    into->total = bytes_total;
}

static leat_status load_written(const char *bytes, size_t length, counted *into, leat_error *error)
{
    char path[] = "/tmp/leat-load-XXXXXX";
    int file = mkstemp(path);
    assert_int_equal(write(file, bytes, length), (ssize_t)length);
    close(file);
    load_options options = {
        .arg = into, .on_interaction = count_event, .on_progress = count_progress};
    load_result result;
    leat_status status = load_file(path, &options, &result, error);
    unlink(path);
    return status;
}

/* The same text plain, gzip in two members, zstd in two frames; progress ends at the file's size.
 */
static void test_compressed_files(void **state)
{
    (void)state;
    char *text = malloc(TEXT_BYTES), *packed = malloc(TEXT_BYTES);
    size_t length = long_text(text), half = length / 2;
    counted plain = {0}, gzipped = {0}, zstandard = {0};
    assert_int_equal(load_written(text, length, &plain, NULL), LEAT_OK);
    assert_int_equal(plain.events, ROWS);
    assert_int_equal(plain.last_progress, length);
    assert_int_equal(plain.total, length);
    size_t size = gzip(text, half, packed, TEXT_BYTES);
    size += gzip(text + half, length - half, packed + size, TEXT_BYTES - size);
    assert_int_equal(load_written(packed, size, &gzipped, NULL), LEAT_OK);
    assert_int_equal(gzipped.events, ROWS);
    assert_int_equal(gzipped.item_sum, plain.item_sum);
    assert_int_equal(gzipped.last_progress, size);
    size = ZSTD_compress(packed, TEXT_BYTES, text, half, 3);
    size += ZSTD_compress(packed + size, TEXT_BYTES - size, text + half, length - half, 3);
    assert_int_equal(load_written(packed, size, &zstandard, NULL), LEAT_OK);
    assert_int_equal(zstandard.events, ROWS);
    assert_int_equal(zstandard.item_sum, plain.item_sum);
    free(text);
    free(packed);
}

static void test_damaged_files_say_so(void **state)
{
    (void)state;
    char *text = malloc(TEXT_BYTES), *packed = malloc(TEXT_BYTES);
    size_t length = long_text(text);
    for (int form = 0; form < 2; form++) {
        size_t size = form == 0 ? gzip(text, length, packed, TEXT_BYTES)
                                : ZSTD_compress(packed, TEXT_BYTES, text, length, 3);
        counted into = {0};
        leat_error error = {0};
        assert_int_equal(load_written(packed, size / 2, &into, &error), LEAT_ECORRUPT);
        assert_non_null(strstr(error.message, "damaged or cut off"));
        assert_true(into.events < ROWS);
        memset(packed + size / 2, 0xff, 64);
        assert_int_equal(load_written(packed, size, &into, &error), LEAT_ECORRUPT);
    }
    free(text);
    free(packed);
    load_result result;
    load_options options = {.on_interaction = count_event};
    leat_error error = {0};
    assert_int_equal(load_file("/nowhere/at.all", &options, &result, &error), LEAT_ENOTFOUND);
    assert_int_equal(load_file("/", &options, &result, &error), LEAT_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_format_is_told_by_its_first_line),
        cmocka_unit_test(test_bad_rows_are_reported_and_passed_over),
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_unknown_format_is_refused),
        cmocka_unit_test(test_empty_file_has_nothing),
        cmocka_unit_test(test_callback_can_stop),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_compressed_files),
        cmocka_unit_test(test_damaged_files_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
