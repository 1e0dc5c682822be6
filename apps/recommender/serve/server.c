/* serve/server.c - see server.h.
 *
 *   main thread   waits on: signals, the job's end, an append that failed for good
 *   job thread    leat_job_start (restores) ─► ready ─► leat_job_wait
 *   HTTP threads  http.c          appender thread  appender.c          engine's own threads */
#include "apps/recommender/serve/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/recommender/serve/api.h"
#include "apps/recommender/serve/descriptors.h"
#include "apps/recommender/serve/listen.h"
#include "base/env.h"
#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"

enum { PATH_BYTES = 4096, DRAIN_STEPS = 1000, DRAIN_STEP_US = 5000 };

typedef struct server {
    const server_options *options;
    api api;
    listener listener;
    descriptors descriptors;
    const char *advertise; /* NULL: nothing is */
    int signals, ended;    /* signalfd, eventfd */
    pthread_t job_thread;
    bool job_running;
    pthread_mutex_t lock;
    leat_error failure; /* under lock; status LEAT_OK: none */
} server;

static leat_status make_data_dir(const char *data_dir, leat_error *error)
{
    if (mkdir(data_dir, 0700) == 0 || errno == EEXIST)
        return LEAT_OK;
    int cause = errno;
    char text[LEAT__ERRNO_TEXT_BYTES];
    return leat__fail(error, leat__errno_status(cause), LEAT_RECOVERY_FATAL, "--data-dir",
                      "can't make the directory %s: %s", data_dir,
                      leat__errno_text(cause, text, sizeof text));
}

leat_status data_dir_open_log(const char *data_dir, const leat_log_opts *opts, leat_log **log,
                              leat_error *error)
{
    char url[PATH_BYTES];
    bool writes = opts == NULL || !opts->read_only;
    if (snprintf(url, sizeof url, "embedded:%s/log", data_dir) >= (int)sizeof url)
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "--data-dir",
                          "the path is too long");
    leat_status status = writes ? make_data_dir(data_dir, error) : LEAT_OK;
    return status == LEAT_OK ? leat_log_open(log, url, opts, error) : status;
}

leat_status recommender_open_log(const recommender_settings *settings, const leat_log_opts *opts,
                                 leat_log **log, leat_error *error)
{
    bool writes = opts == NULL || !opts->read_only;
    if (settings->log_url == NULL)
        return data_dir_open_log(settings->data_dir, opts, log, error);
    leat_status status = LEAT_OK;
    if (writes && settings->data_dir != NULL)
        status = make_data_dir(settings->data_dir, error);
    return status == LEAT_OK ? leat_log_open(log, settings->log_url, opts, error) : status;
}

static void note_failure(server *self, const leat_error *error)
{
    pthread_mutex_lock(&self->lock);
    if (self->failure.status == LEAT_OK)
        self->failure = *error; /* the first is the cause */
    pthread_mutex_unlock(&self->lock);
}

static void wake_main(server *self)
{
    uint64_t one = 1;
    if (write(self->ended, &one, sizeof one) < 0)
        leat__log_line(LEAT__ERROR, "serve", "eventfd");
}

static void on_fatal(void *arg, const leat_error *error)
{
    note_failure(arg, error);
    wake_main(arg);
}

static void on_committed(void *arg, const leat_log_record *record)
{
    api_on_committed(&((server *)arg)->api, record);
}

static void print_ready(const server *self)
{
    const leat_env *env = leat__env_system();
    descriptors_tell(&self->descriptors);
    printf("ready %s (pid %ld, %.0f ms)\n", self->listener.url, (long)getpid(),
           (double)(env->monotonic_us(env->arg) - self->api.started_us) / 1e3);
    fflush(stdout);
}

static void *job_main(void *arg)
{
    server *self = arg;
    leat_error error = {0};
    leat_job *job = self->api.job->job;
    leat_status status = leat_job_start(job, &error);
    if (status == LEAT_OK) {
        int starting = API_STARTING;
        if (atomic_compare_exchange_strong(&self->api.phase, &starting, API_READY))
            print_ready(self);
        status = leat_job_wait(job, &error);
    }
    if (status != LEAT_OK)
        note_failure(self, &error);
    wake_main(self);
    return NULL;
}

/* ------------------------------------------------------------------ start */

static leat_status catch_signals(server *self, leat_error *error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread: all inherit it */
    self->signals = signalfd(-1, &set, SFD_CLOEXEC);
    self->ended = eventfd(0, EFD_CLOEXEC);
    if (self->signals >= 0 && self->ended >= 0)
        return LEAT_OK;
    return leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "serve", "no signalfd: %s",
                      strerror(errno));
}

static leat_status start_http(server *self, leat_error *error)
{
    http_options http = {
        .listen_fd = self->listener.fd,
        .thread_count = self->options->http_threads == 0 ? 2 : self->options->http_threads,
        .routes = api_routes,
        .route_count = api_route_count,
        .arg = &self->api,
        .worker_new = api_worker_new,
        .worker_free = api_worker_free,
        .allow_any_origin = self->options->allow_any_origin,
        .connections_max = self->descriptors.connections,
        .hosts = {self->listener.url + strlen("http://"), self->advertise,
                  self->options->allow_host},
    };
    self->listener.fd = -1; /* the server closes it */
    return http_server_start(&self->api.http, &http, error);
}

static leat_status start(server *self, leat_error *error)
{
    const server_options *options = self->options;
    recommender_settings settings = options->settings;
    leat_log_opts log_opts = {.no_sync = options->no_sync};
    settings.on_committed = on_committed;
    settings.on_committed_arg = self;
    settings.lease_ms = self->api.max_staleness_ms = options->max_staleness_ms;
    self->api.refuse_stale = options->refuse_stale;
    leat_status status = descriptors_divide(&self->descriptors, error);
    if (status == LEAT_OK)
        status = listen_on(options->listen, &self->listener, error);
    if (status == LEAT_OK && settings.advertise == NULL && settings.log_url != NULL &&
        strncmp(settings.log_url, "kafka:", 6) == 0) /* there may be more of us */
        settings.advertise = self->listener.url + strlen("http://");
    if (status == LEAT_OK)
        status = catch_signals(self, error);
    if (status == LEAT_OK)
        status = recommender_open_log(&settings, &log_opts, &self->api.log, error);
    if (status == LEAT_OK)
        status = recommender_job_new(&self->api.job, self->api.log, &settings, error);
    if (status != LEAT_OK)
        return status;
    self->advertise = settings.advertise;
    self->api.data_dir = settings.data_dir;
    self->api.debug_endpoints = options->debug_endpoints;
    self->api.appender = appender_start(self->api.log);
    if (settings.advertise != NULL)
        self->api.proxy =
            proxy_start(settings.advertise,
                        options->forward_timeout_ms == 0 ? 50 : options->forward_timeout_ms);
    if (self->api.appender == NULL || (settings.advertise != NULL && self->api.proxy == NULL))
        return leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "serve", "can't start a thread");
    status = start_http(self, error);
    if (status != LEAT_OK)
        return status;
    if (pthread_create(&self->job_thread, NULL, job_main, self) != 0)
        return leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "serve", "can't start a thread");
    self->job_running = true;
    return LEAT_OK;
}

/* ------------------------------------------------------------------ stop */

static void wait_for_end(server *self)
{
    struct pollfd fds[2] = {{.fd = self->signals, .events = POLLIN},
                            {.fd = self->ended, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
}

/* Requests that are being answered get their answers; 5 s at most. */
static void drain(server *self)
{
    http_server_quiesce(self->api.http);
    for (int step = 0; step < DRAIN_STEPS && http_server_open_requests(self->api.http) > 0; step++)
        usleep(DRAIN_STEP_US);
}

static void stop(server *self)
{
    atomic_store_explicit(&self->api.phase, API_STOPPING, memory_order_release);
    if (self->api.http != NULL)
        drain(self);
    appender_stop(self->api.appender); /* resumes every suspended request, as does the proxy */
    proxy_stop(self->api.proxy);
    while (atomic_load(&self->api.dump_is_made)) /* it resumes its request */
        usleep(DRAIN_STEP_US);
    if (self->api.http != NULL)
        drain(self);
    if (self->job_running) {
        leat_job_stop(self->api.job->job);
        pthread_join(self->job_thread, NULL);
    }
    http_server_stop(self->api.http);
    recommender_job_free(self->api.job);
    leat_log_close(self->api.log);
    if (self->listener.fd >= 0)
        close(self->listener.fd);
    if (self->signals >= 0)
        close(self->signals);
    if (self->ended >= 0)
        close(self->ended);
}

leat_status server_run(const server_options *options, leat_error *error)
{
    const leat_env *env = leat__env_system();
    server *self = leat__calloc(1, sizeof *self);
    self->options = options;
    self->listener.fd = self->signals = self->ended = -1;
    self->api.started_us = env->monotonic_us(env->arg);
    self->api.on_fatal = on_fatal;
    self->api.on_fatal_arg = self;
    pthread_mutex_init(&self->lock, NULL);
    leat_status status = start(self, error);
    if (status == LEAT_OK)
        wait_for_end(self);
    stop(self);
    if (status == LEAT_OK && self->failure.status != LEAT_OK) {
        if (error != NULL)
            *error = self->failure;
        status = self->failure.status;
    }
    pthread_mutex_destroy(&self->lock);
    leat__free(self);
    return status;
}
