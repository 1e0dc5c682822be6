/* The big-reader lock: readers never see half a change, a writer gets in between them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "apps/recommender/candidates/reader_lock.h"

enum { READERS = 3, WRITERS = 2, CHANGES = 3000 };

typedef struct shared {
    reader_lock lock;
    uint64_t left, right; /* plain memory: equal whenever nobody writes */
    _Atomic int writers_done;
    _Atomic uint64_t torn, reads;
} shared;

static void *read_all_the_time(void *arg)
{
    shared *with = arg;
    uint32_t slot = reader_lock_slot(&with->lock);
    uint64_t last = 0;
    while (with->writers_done < WRITERS) {
        reader_lock_read_begin(&with->lock, slot);
        if (with->left != with->right || with->left < last)
            with->torn++;
        last = with->left;
        reader_lock_read_end(&with->lock, slot);
        with->reads++;
    }
    return NULL;
}

static void *write_often(void *arg)
{
    shared *with = arg;
    for (int i = 0; i < CHANGES; i++) {
        reader_lock_write_begin(&with->lock);
        with->left++;
        with->right++;
        reader_lock_write_end(&with->lock);
    }
    with->writers_done++;
    return NULL;
}

static void test_readers_see_whole_changes(void **state)
{
    (void)state;
    shared with = {0};
    pthread_t threads[READERS + WRITERS];
    for (int i = 0; i < READERS + WRITERS; i++)
        pthread_create(&threads[i], NULL, i < READERS ? read_all_the_time : write_often, &with);
    for (int i = 0; i < READERS + WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(with.torn, 0);
    assert_int_equal(with.left, WRITERS * CHANGES);
}

static void test_slots_are_shared_when_they_run_out(void **state)
{
    (void)state;
    static reader_lock lock;
    uint32_t first = reader_lock_slot(&lock);
    for (int i = 1; i < READER_LOCK_SLOTS; i++)
        assert_int_not_equal(reader_lock_slot(&lock), first);
    assert_int_equal(reader_lock_slot(&lock), first);
    reader_lock_read_begin(&lock, first);
    reader_lock_read_begin(&lock, first); /* another thread on the same slot */
    reader_lock_read_end(&lock, first);
    reader_lock_read_end(&lock, first);
    reader_lock_write_begin(&lock);
    reader_lock_write_end(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_see_whole_changes),
        cmocka_unit_test(test_slots_are_shared_when_they_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
