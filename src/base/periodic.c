#include "base/periodic.h"
#include "base/condition.h"
#include "base/mem.h"
#include <stdbool.h>

struct leat__periodic {
    int64_t interval_ms;
    void (*fn)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t changed;
    bool woken, ended;
};

/* false: it is to end. */
static bool wait_until_due(leat__periodic *p)
{
    struct timespec due = leat__condition_until(p->interval_ms);
    int waited = 0;
    pthread_mutex_lock(&p->lock);
    while (!p->ended && !p->woken && waited == 0)
        waited = p->interval_ms == LEAT__WHEN_WOKEN
                     ? pthread_cond_wait(&p->changed, &p->lock)
                     : pthread_cond_timedwait(&p->changed, &p->lock, &due);
    p->woken = false;
    bool ended = p->ended;
    pthread_mutex_unlock(&p->lock);
    return !ended;
}

static void *periodic_main(void *arg)
{
    leat__periodic *p = arg;
    while (wait_until_due(p))
        p->fn(p->arg);
    return NULL;
}

static void free_periodic(leat__periodic *p)
{
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    leat__free(p);
}

leat__periodic *leat__periodic_start(const char *name, int64_t interval_ms, void (*fn)(void *arg),
                                     void *arg)
{
    leat__periodic *p = leat__calloc(1, sizeof(*p));
    p->interval_ms = interval_ms;
    p->fn = fn;
    p->arg = arg;
    pthread_mutex_init(&p->lock, NULL);
    leat__condition_init(&p->changed);
    if (pthread_create(&p->thread, NULL, periodic_main, p) != 0) {
        free_periodic(p);
        return NULL;
    }
    (void)pthread_setname_np(p->thread, name);
    return p;
}

static void tell(leat__periodic *p, bool *what)
{
    pthread_mutex_lock(&p->lock);
    *what = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void leat__periodic_wake(leat__periodic *p)
{
    tell(p, &p->woken);
}

void leat__periodic_stop(leat__periodic *p)
{
    if (p == NULL)
        return;
    tell(p, &p->ended);
    pthread_join(p->thread, NULL);
    free_periodic(p);
}
