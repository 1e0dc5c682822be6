#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "apps/recommender/candidates/block_pool.h"
#include "base/random.h"

static void test_every_size_gets_a_block_that_holds_it(void **state)
{
    (void)state;
    block_pool pool = {0};
    for (size_t size = 1; size <= BLOCK_BYTES_MAX; size = size * 9 / 8 + 1) {
        size_t rounded = block_pool_rounded_bytes(size);
        assert_true(rounded >= size && rounded % BLOCK_UNIT_BYTES == 0);
        assert_true(rounded <= size + BLOCK_UNIT_BYTES || rounded <= size * 5 / 4);
        assert_int_equal(block_pool_rounded_bytes(rounded), rounded);
        uint32_t block = block_pool_alloc(&pool, size);
        assert_int_not_equal(block, 0);
        memset(block_pool_at(&pool, block), 0xab, rounded);
        block_pool_release(&pool, block, size);
        assert_int_equal(block_pool_alloc(&pool, rounded), block); /* the place is used again */
    }
    block_pool_free(&pool);
}

/* Blocks do not overlap: each keeps its own pattern while others come and go. */
static void test_blocks_do_not_overlap(void **state)
{
    (void)state;
    enum { BLOCKS = 400 };
    block_pool pool = {0};
    leat__random random = {3};
    uint32_t blocks[BLOCKS] = {0};
    size_t sizes[BLOCKS] = {0};
    for (int round = 0; round < 20000; round++) {
        size_t i = leat__random_below(&random, BLOCKS);
        if (blocks[i] != 0) {
            const unsigned char *bytes = block_pool_at(&pool, blocks[i]);
            for (size_t j = 0; j < sizes[i]; j++)
                assert_int_equal(bytes[j], i & 0xff);
            block_pool_release(&pool, blocks[i], sizes[i]);
        }
        sizes[i] = 4 + leat__random_below(&random, round % 50 == 0 ? 100000 : 300);
        blocks[i] = block_pool_alloc(&pool, sizes[i]);
        memset(block_pool_at(&pool, blocks[i]), (int)(i & 0xff), sizes[i]);
    }
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i] != 0)
            block_pool_release(&pool, blocks[i], sizes[i]);
    assert_int_equal(pool.used_bytes, 0);
    block_pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_gets_a_block_that_holds_it),
        cmocka_unit_test(test_blocks_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
