/* Flags, the configuration file, and events as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/recommender/commands/event_text.h"
#include "apps/recommender/commands/flags.h"

static const char *text;
static uint32_t small;
static uint64_t large;
static int64_t duration_ms;
static bool on;
static const char *word;
static leat_error error;

static const flag table[] = {
    {"text", FLAG_TEXT, &text, 0, 0, NULL, "a text"},
    {"small", FLAG_U32, &small, 1, 10, NULL, "a number"},
    {"large", FLAG_U64, &large, 0, 0, NULL, "a number"},
    {"duration", FLAG_DURATION, &duration_ms, 1, 0, NULL, "a time"},
    {"on", FLAG_BOOL, &on, 0, 0, NULL, "a switch"},
};
static flags parsed;

static leat_status parse(const char *a, const char *b, const char *c, const char *d)
{
    const char *given[] = {"program", a, b, c, d};
    char *argv[6];
    int argc = 0;
    for (; argc < 5 && given[argc] != NULL; argc++)
        argv[argc] = strdup(given[argc]);
    text = word = NULL;
    small = 1, large = 0, duration_ms = 0, on = false;
    flags_free(&parsed);
    parsed = (flags){.table = table, .count = 5, .words = &word, .word_capacity = 1};
    memset(&error, 0, sizeof error);
    leat_status status = flags_parse(&parsed, argc, argv, &error);
    static char kept[64];
    if (text != NULL && strlen(text) < sizeof kept)
        text = strcpy(kept, text);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return status;
}

static void assert_refused(const char *a, const char *b, const char *reason)
{
    assert_int_equal(parse(a, b, NULL, NULL), LEAT_EINVAL);
    if (strstr(error.message, reason) == NULL)
        fail_msg("'%s' does not say '%s'", error.message, reason);
}

static void flags_are_taken_in_both_spellings(void **state)
{
    (void)state;
    assert_int_equal(parse("--text", "a", "--small=3", "--on"), LEAT_OK);
    assert_string_equal(text, "a");
    assert_int_equal(small, 3);
    assert_true(on);
    assert_int_equal(parse("--on=false", "--duration", "5m", "--large=18446744073709551615"),
                     LEAT_OK);
    assert_false(on);
    assert_int_equal(duration_ms, 300000);
    assert_true(large == UINT64_MAX);
    assert_int_equal(parse("--help", NULL, NULL, NULL), LEAT_OK);
    assert_true(parsed.help);
}

static void words_stand_between_flags(void **state)
{
    (void)state;
    assert_int_equal(parse("file", "--small", "2", NULL), LEAT_OK);
    assert_int_equal(parsed.word_count, 1);
    assert_int_equal(parse("--", "--text", NULL, NULL), LEAT_OK);
    assert_int_equal(parsed.word_count, 1);
    assert_refused("a", "b", "one argument too many");
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_refused("--smal", "3", "did you mean --small");
    assert_refused("--nothing-like-it", "3", "see --help");
    assert_refused("-x", NULL, "no flag -x");
    assert_refused("--small", NULL, "wants a value");
    assert_refused("--small", "0", "from 1 to 10");
    assert_refused("--small", "11", "from 1 to 10");
    assert_refused("--small", "3x", "whole number");
    assert_refused("--small", "-3", "whole number");
    assert_refused("--large", "18446744073709551616", "whole number");
    assert_refused("--duration", "5", "no duration");
    assert_refused("--duration", "0s", "less than");
    assert_refused("--duration", "99999999999999999d", "no duration");
    assert_refused("--on=maybe", NULL, "neither true nor false");
}

static void a_file_is_read_and_flags_win(void **state)
{
    (void)state;
    char path[] = "/tmp/leat-flags-XXXXXX";
    int fd = mkstemp(path);
    static const char contents[] =
        "---\n# comment\n\ntext: \"a # b\"  # rest\nsmall: 7\r\nduration: 30s \non: true\n";
    assert_true(write(fd, contents, sizeof contents - 1) == sizeof contents - 1);
    close(fd);
    assert_int_equal(parse("--small", "9", "--config", path), LEAT_OK);
    assert_string_equal(text, "a # b");
    assert_int_equal(small, 9);
    assert_int_equal(duration_ms, 30000);
    assert_true(on);
    unlink(path);
    assert_refused("--config", path, "can't open");
}

static void durations(void **state)
{
    (void)state;
    int64_t ms = 0;
    assert_true(duration_parse("7d", &ms) && ms == 7 * INT64_C(86400000));
    assert_true(duration_parse("0ms", &ms) && ms == 0);
    assert_false(duration_parse("", &ms) || duration_parse("s", &ms) ||
                 duration_parse("-1s", &ms) || duration_parse("1 s", &ms) ||
                 duration_parse("1w", &ms));
}

static void an_event_is_written_so_that_it_reads_back(void **state)
{
    (void)state;
    const interaction event = {.timestamp_ms = 5,
                               .accepted_ms = 9,
                               .user_id = LEAT_STR("a\"b"),
                               .item_id = LEAT_STR("i"),
                               .event_id = LEAT_STR("e"),
                               .session_id = LEAT_STR("s"),
                               .category = LEAT_STR("c"),
                               .value = 1.5,
                               .price = 2.25,
                               .kind = INTERACTION_CART};
    interaction back;
    leat__buffer out = {0};
    leat__json_reader *reader = leat__json_reader_new();
    event_text_append(&out, &event);
    assert_int_equal(event_parse(reader, (leat_str){out.data, out.length}, 9, &back, NULL),
                     LEAT_OK);
    assert_true(leat_str_equal(back.user_id, event.user_id) &&
                leat_str_equal(back.item_id, event.item_id));
    assert_true(leat_str_equal(back.event_id, event.event_id) &&
                leat_str_equal(back.session_id, event.session_id));
    assert_true(leat_str_equal(back.category, event.category) && back.kind == event.kind);
    assert_true(back.timestamp_ms == 5 && back.value == 1.5 && back.price == 2.25);
    leat__buffer_free(&out);
    leat__json_reader_free(reader);
}

static int clean_up(void **state)
{
    (void)state;
    flags_free(&parsed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_taken_in_both_spellings),
        cmocka_unit_test(words_stand_between_flags),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_file_is_read_and_flags_win),
        cmocka_unit_test(durations),
        cmocka_unit_test(an_event_is_written_so_that_it_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
