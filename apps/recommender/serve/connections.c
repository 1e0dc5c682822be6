#include "apps/recommender/serve/connections.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/env.h"
#include "base/mem.h"

enum {
    IDLE_LEAST_US = 250000, /* who has just come has had no time to ask */
    CLOSING_MAX = 32,       /* shut down and not yet closed; in the descriptors' reserve */
};

struct connection_place {
    connection_place *next, *previous;
    int fd;
    bool shut;                  /* under the lock */
    _Atomic int64_t waiting_us; /* since then; INT64_MAX: it works */
};

struct connections {
    pthread_mutex_t lock; /* of the list: an fd in it is open */
    connection_place *first;
    uint32_t most, open, closing;
    _Atomic uint64_t evicted, refused;
};

static int64_t now_us(void)
{
    const leat_env *env = leat__env_system();
    return env->monotonic_us(env->arg);
}

connections *connections_new(uint32_t most)
{
    connections *all = leat__calloc(1, sizeof *all);
    all->most = most;
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

void connections_free(connections *all)
{
    if (all == NULL)
        return;
    LEAT_ASSERT(all->first == NULL);
    pthread_mutex_destroy(&all->lock);
    leat__free(all);
}

/* The one that has waited for the longest; a walk over all, but only at the bound. */
static bool shut_longest_waiting(connections *all)
{
    connection_place *longest = NULL;
    int64_t longest_us = now_us() - IDLE_LEAST_US;
    for (connection_place *one = all->first; one != NULL; one = one->next) {
        int64_t since_us = atomic_load_explicit(&one->waiting_us, memory_order_relaxed);
        if (!one->shut && since_us <= longest_us) {
            longest = one;
            longest_us = since_us;
        }
    }
    if (longest == NULL)
        return false;
    longest->shut = true;
    all->closing++;
    (void)shutdown(longest->fd, SHUT_RDWR); /* its thread reads the end, and closes it */
    atomic_fetch_add_explicit(&all->evicted, 1, memory_order_relaxed);
    return true;
}

bool connections_admit(connections *all)
{
    pthread_mutex_lock(&all->lock);
    bool admitted = all->open - all->closing < all->most;
    if (!admitted && all->closing < CLOSING_MAX)
        admitted = shut_longest_waiting(all);
    pthread_mutex_unlock(&all->lock);
    if (!admitted)
        atomic_fetch_add_explicit(&all->refused, 1, memory_order_relaxed);
    return admitted;
}

connection_place *connections_opened(connections *all, int fd)
{
    connection_place *one = leat__calloc(1, sizeof *one);
    one->fd = fd;
    atomic_init(&one->waiting_us, now_us());
    pthread_mutex_lock(&all->lock);
    one->next = all->first;
    if (one->next != NULL)
        one->next->previous = one;
    all->first = one;
    all->open++;
    pthread_mutex_unlock(&all->lock);
    return one;
}

void connections_closed(connections *all, connection_place *one)
{
    pthread_mutex_lock(&all->lock);
    if (one->previous != NULL)
        one->previous->next = one->next;
    else
        all->first = one->next;
    if (one->next != NULL)
        one->next->previous = one->previous;
    all->open--;
    all->closing -= one->shut;
    pthread_mutex_unlock(&all->lock);
    leat__free(one);
}

void connection_working(connection_place *one)
{
    atomic_store_explicit(&one->waiting_us, INT64_MAX, memory_order_relaxed);
}

void connection_waiting(connection_place *one)
{
    atomic_store_explicit(&one->waiting_us, now_us(), memory_order_relaxed);
}

void connections_count(connections *all, connection_counts *counts)
{
    pthread_mutex_lock(&all->lock);
    counts->open = all->open;
    counts->most = all->most;
    pthread_mutex_unlock(&all->lock);
    counts->evicted = atomic_load_explicit(&all->evicted, memory_order_relaxed);
    counts->refused = atomic_load_explicit(&all->refused, memory_order_relaxed);
}
