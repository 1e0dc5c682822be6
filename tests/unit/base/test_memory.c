/* Allocation that does not fail, and the arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/random.h"

/* Sanitizers would stop at a request this large before we see that it failed. */
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void allocate_half_of_all(void)
{
    volatile size_t size_bytes = SIZE_MAX / 2;
    leat__free(leat__alloc(size_bytes));
}

static void overflow_a_product(void)
{
    volatile size_t count = SIZE_MAX / 4;
    leat__free(leat__calloc(count, 8));
}

/* What the child wrote to stderr is in `line`; returns its exit code. */
static int in_a_child(void (*body)(void), char *line, size_t line_bytes)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; length + 1 < line_bytes; length += (size_t)got) {
        got = read(ends[0], line + length, line_bytes - 1 - length);
        if (got <= 0)
            break;
    }
    line[length] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void out_of_memory_says_so_and_exits(void **state)
{
    (void)state;
    char line[4096];
    assert_int_equal(in_a_child(allocate_half_of_all, line, sizeof line), 70);
    assert_non_null(strstr(line, "leat: out of memory (9223372036854775807 bytes"));
    assert_int_equal(in_a_child(overflow_a_product, line, sizeof line), 70);
    assert_non_null(strstr(line, "leat: out of memory"));
}

static void zero_bytes_are_a_block_too(void **state)
{
    (void)state;
    void *none = leat__alloc(0), *cleared = leat__calloc(0, 8);
    assert_non_null(none);
    assert_non_null(cleared);
    leat__free(none);
    leat__free(cleared);
    leat__free(NULL);
}

static void texts_are_copied(void **state)
{
    (void)state;
    assert_null(leat__strdup(NULL));
    char *copy = leat__strdup("abc"), *part = leat__strndup("abcdef", 2);
    char *made = leat__format("%s-%d", "x", 7);
    assert_string_equal(copy, "abc");
    assert_string_equal(part, "ab");
    assert_string_equal(made, "x-7");
    leat__free(copy);
    leat__free(part);
    leat__free(made);
}

static void arena_blocks_are_aligned_and_apart(void **state)
{
    (void)state;
    leat__arena arena = {.chunk_bytes = 256};
    leat__random random = {.state = 3};
    unsigned char *blocks[200];
    size_t sizes[200];
    for (size_t i = 0; i < 200; i++) {
        sizes[i] = leat__random_below(&random, i % 50 == 0 ? 1000 : 60);
        blocks[i] = leat__arena_alloc(&arena, sizes[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(blocks[i][k], (unsigned char)i);
    leat__arena_free(&arena);
}

static void arena_reset_uses_its_chunks_again(void **state)
{
    (void)state;
    leat__arena arena = {.chunk_bytes = 128};
    void *first = leat__arena_alloc(&arena, 100), *second = leat__arena_alloc(&arena, 100);
    void *huge = leat__arena_alloc(&arena, 10000);
    assert_true(arena.used_bytes >= 10200);
    leat__arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_ptr_equal(leat__arena_alloc(&arena, 100), first);
    assert_ptr_equal(leat__arena_alloc(&arena, 100), second);
    assert_ptr_equal(leat__arena_alloc(&arena, 10000), huge);
    leat__arena_reset(&arena);
    assert_ptr_equal(leat__arena_alloc(&arena, 10000), huge); /* the small chunks are passed over */
    leat__arena_free(&arena);
    assert_null(arena.first);
}

static void an_absent_string_stays_absent_in_an_arena(void **state)
{
    (void)state;
    leat__arena arena = {0};
    assert_non_null(leat__arena_str(&arena, LEAT_STR("")).data); /* also of an arena still empty */
    char text[] = "lent";
    leat_str copy = leat__arena_str(&arena, leat_str_from(text));
    memset(text, 0, sizeof text);
    assert_true(leat_str_equal(copy, LEAT_STR("lent")));
    assert_null(leat__arena_str(&arena, (leat_str){NULL, 0}).data);
    leat__arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(out_of_memory_says_so_and_exits),
        cmocka_unit_test(zero_bytes_are_a_block_too),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(arena_blocks_are_aligned_and_apart),
        cmocka_unit_test(arena_reset_uses_its_chunks_again),
        cmocka_unit_test(an_absent_string_stays_absent_in_an_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
