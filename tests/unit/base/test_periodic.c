/* A thread that calls a function now and then. Times are lower bounds: a busy machine is late. */
#include "base/condition.h"
#include "base/env.h"
#include "base/periodic.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
/* then */
#include <cmocka.h>

enum { LONG_MS = 3600 * 1000 };

typedef struct counter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    bool held; /* a call waits until it is released */
    int at_work;
} counter;

static void count(void *arg)
{
    counter *c = arg;
    pthread_mutex_lock(&c->lock);
    c->calls++;
    c->at_work++;
    pthread_cond_broadcast(&c->changed);
    while (c->held)
        pthread_cond_wait(&c->changed, &c->lock);
    c->at_work--;
    pthread_mutex_unlock(&c->lock);
}

static void wait_for(counter *c, int calls)
{
    pthread_mutex_lock(&c->lock);
    while (c->calls < calls)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

static counter a_counter(void)
{
    return (counter){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static int64_t now_us(void)
{
    const leat_env *env = leat__env_system();
    return env->monotonic_us(env->arg);
}

static void it_is_called_after_each_interval(void **state)
{
    (void)state;
    counter c = a_counter();
    int64_t began_us = now_us();
    leat__periodic *p = leat__periodic_start("counter", 20, count, &c);
    assert_non_null(p);
    wait_for(&c, 3);
    assert_true(now_us() - began_us >= 3 * 20 * 1000);
    leat__periodic_stop(p);
}

static void it_waits_an_interval_before_the_first_call(void **state)
{
    (void)state;
    counter c = a_counter();
    leat__periodic *p = leat__periodic_start("counter", LONG_MS, count, &c);
    leat__periodic_stop(p); /* and does not wait for the interval's end */
    assert_int_equal(c.calls, 0);
}

static void woken_it_is_called_at_once(void **state)
{
    (void)state;
    static const int64_t intervals_ms[] = {LONG_MS, LEAT__WHEN_WOKEN};
    for (int i = 0; i < 2; i++) {
        counter c = a_counter();
        leat__periodic *p = leat__periodic_start("counter", intervals_ms[i], count, &c);
        for (int call = 1; call <= 3; call++) {
            leat__periodic_wake(p);
            wait_for(&c, call);
        }
        leat__periodic_stop(p);
        assert_int_equal(c.calls, 3);
    }
}

static void woken_while_at_work_it_is_called_once_more(void **state)
{
    (void)state;
    counter c = a_counter();
    c.held = true;
    leat__periodic *p = leat__periodic_start("counter", LEAT__WHEN_WOKEN, count, &c);
    leat__periodic_wake(p);
    wait_for(&c, 1);
    leat__periodic_wake(p);
    leat__periodic_wake(p);
    pthread_mutex_lock(&c.lock);
    c.held = false;
    pthread_cond_broadcast(&c.changed);
    pthread_mutex_unlock(&c.lock);
    wait_for(&c, 2);
    leat__periodic_stop(p);
    assert_int_equal(c.calls, 2);
}

static void *release_later(void *arg)
{
    counter *c = arg;
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000000}, NULL);
    pthread_mutex_lock(&c->lock);
    c->held = false;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void stop_waits_for_the_call_that_is_under_way(void **state)
{
    (void)state;
    counter c = a_counter();
    pthread_t later;
    c.held = true;
    leat__periodic *p = leat__periodic_start("counter", 1, count, &c);
    wait_for(&c, 1);
    assert_int_equal(pthread_create(&later, NULL, release_later, &c), 0);
    leat__periodic_stop(p);
    assert_int_equal(c.at_work, 0);
    pthread_join(later, NULL);
}

static void what_was_not_started_can_be_stopped(void **state)
{
    (void)state;
    leat__periodic_stop(NULL);
}

static void a_wait_ends_by_the_monotonic_clock(void **state)
{
    (void)state;
    counter c = a_counter();
    leat__condition_init(&c.changed);
    int64_t began_us = now_us();
    struct timespec until = leat__condition_until(1020); /* carries into the seconds */
    pthread_mutex_lock(&c.lock);
    while (pthread_cond_timedwait(&c.changed, &c.lock, &until) == 0)
        ;
    pthread_mutex_unlock(&c.lock);
    assert_true(now_us() - began_us >= 1020 * 1000);
    pthread_cond_destroy(&c.changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_called_after_each_interval),
        cmocka_unit_test(it_waits_an_interval_before_the_first_call),
        cmocka_unit_test(woken_it_is_called_at_once),
        cmocka_unit_test(woken_while_at_work_it_is_called_once_more),
        cmocka_unit_test(stop_waits_for_the_call_that_is_under_way),
        cmocka_unit_test(what_was_not_started_can_be_stopped),
        cmocka_unit_test(a_wait_ends_by_the_monotonic_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
