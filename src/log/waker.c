#include "base/mem.h"
#include "log/driver.h"
#include <pthread.h>
#include <stdatomic.h>

struct leat__waker {
    pthread_mutex_t lock; /* held while fn runs, so that close can wait for it */
    leat__wake_fn wake;   /* NULL once closed */
    void *arg;
    atomic_bool armed;
    atomic_uint references;
};

leat__waker *leat__waker_new(leat__wake_fn wake, void *arg)
{
    leat__waker *waker = leat__calloc(1, sizeof *waker);
    pthread_mutex_init(&waker->lock, NULL);
    waker->wake = wake;
    waker->arg = arg;
    atomic_init(&waker->armed, false);
    atomic_init(&waker->references, 1);
    return waker;
}

static void release(leat__waker *waker)
{
    if (atomic_fetch_sub(&waker->references, 1) != 1)
        return;
    pthread_mutex_destroy(&waker->lock);
    leat__free(waker);
}

void leat__waker_arm(leat__waker *waker)
{
    atomic_store(&waker->armed, true);
}

void leat__waker_disarm(leat__waker *waker)
{
    atomic_store_explicit(&waker->armed, false, memory_order_relaxed);
}

void leat__waker_close(leat__waker *waker)
{
    pthread_mutex_lock(&waker->lock);
    waker->wake = NULL;
    pthread_mutex_unlock(&waker->lock);
    release(waker);
}

void leat__wakes_add(leat__wakes *wakes, leat__waker *waker)
{
    if (!atomic_exchange(&waker->armed, false))
        return;
    atomic_fetch_add(&waker->references, 1);
    if (wakes->count == wakes->capacity) {
        wakes->capacity = wakes->capacity == 0 ? 16 : wakes->capacity * 2;
        wakes->wakers = leat__realloc(wakes->wakers, wakes->capacity, sizeof *wakes->wakers);
    }
    wakes->wakers[wakes->count++] = waker;
}

void leat__wakes_fire(leat__wakes *wakes)
{
    for (size_t i = 0; i < wakes->count; i++) {
        leat__waker *waker = wakes->wakers[i];
        pthread_mutex_lock(&waker->lock);
        if (waker->wake != NULL)
            waker->wake(waker->arg);
        pthread_mutex_unlock(&waker->lock);
        release(waker);
    }
    wakes->count = 0;
}

void leat__wakes_free(leat__wakes *wakes)
{
    leat__free(wakes->wakers);
    *wakes = (leat__wakes){0};
}
