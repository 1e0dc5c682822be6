/* Runs the log suite against every driver (R29). */
#include "base/mem.h"
#include "conformance/log_suite.h"
#include "log/driver.h"
#include "log/sim/sim.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A clock that stands still until a case moves it. */
typedef struct place {
    leat_env env;
    atomic_llong now_ms;
    char *dir;      /* embedded */
    leat__sim *sim; /* sim */
} place;

static int64_t now_ms(void *arg)
{
    return atomic_load(&((place *)arg)->now_ms);
}

static int64_t monotonic_us(void *arg)
{
    (void)arg;
    return leat__env_system()->monotonic_us(leat__env_system()->arg);
}

static uint64_t random_u64(void *arg)
{
    (void)arg;
    return 42;
}

static place *new_place(void)
{
    place *p = leat__calloc(1, sizeof *p);
    p->env = (leat_env){p, now_ms, monotonic_us, random_u64};
    atomic_init(&p->now_ms, LEAT_SECONDS(1000000));
    return p;
}

static void advance(void *arg, int64_t ms)
{
    atomic_fetch_add(&((place *)arg)->now_ms, ms);
}

/* ---------------------------------------------------------------- embedded */

static void *embedded_create(void)
{
    place *p = new_place();
    const char *base = getenv("TMPDIR");
    p->dir = leat__format("%s/leat-log-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(p->dir));
    return p;
}

static leat_status embedded_open(void *arg, const leat_log_opts *opts, leat_log **log,
                                 leat_error *error)
{
    place *p = arg;
    char *url = leat__format("embedded:%s", p->dir);
    leat_status status = leat__log_open_env(log, url, opts, &p->env, error);
    leat__free(url);
    return status;
}

static void embedded_destroy(void *arg)
{
    place *p = arg;
    char *command = leat__format("rm -rf '%s'", p->dir);
    assert_int_equal(system(command), 0);
    leat__free(command);
    leat__free(p->dir);
    leat__free(p);
}

/* ---------------------------------------------------------------- sim */

static void *sim_create(void)
{
    place *p = new_place();
    p->sim = leat__sim_new(&p->env);
    return p;
}

static leat_status sim_open(void *arg, const leat_log_opts *opts, leat_log **log, leat_error *error)
{
    return leat__log_open_sim(log, ((place *)arg)->sim, opts, error);
}

static void sim_destroy(void *arg)
{
    leat__sim_free(((place *)arg)->sim);
    leat__free(arg);
}

int main(void)
{
    static const log_driver drivers[] = {
        {"sim", sim_create, sim_open, sim_destroy, advance, 0},
        {"embedded", embedded_create, embedded_open, embedded_destroy, advance, 0},
    };
    const char *only = getenv("LEAT_TEST_DRIVER");
    int failures = 0;
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (only == NULL || strcmp(only, drivers[i].name) == 0)
            failures += run_log_suite(&drivers[i]);
    return failures;
}
