/* serve/proxy.c - see proxy.h. Transfers are taken from a pool: a handle knows its connection. */
#include "apps/recommender/serve/proxy.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

#include "base/env.h"
#include "base/mem.h"

enum { POLL_MS = 1000, HOST_CONNECTIONS_MAX = 32, HEADER_BYTES = 300 };

typedef struct transfer {
    CURL *handle;
    proxy_request *request;
    struct transfer *next_free, *next_all;
} transfer;

struct proxy {
    CURLM *multi;
    struct curl_slist *headers;
    int64_t timeout_ms;
    pthread_t thread;
    transfer *free, *all; /* the thread's own */
    pthread_mutex_t lock;
    proxy_request *first, *last; /* under lock, as all below */
    size_t open;                 /* taken and not done */
    bool stopping;
    proxy_stats stats;
};

const char *proxy_result_name(proxy_result result)
{
    static const char *const names[] = {"answered", "slow", "unreachable", "busy"};
    return names[result];
}

static int64_t now_us(void)
{
    const leat_env *env = leat__env_system();
    return env->monotonic_us(env->arg);
}

/* ------------------------------------------------------------------ one transfer */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    const transfer *self = arg;
    leat__buffer *answer = self->request->answer;
    if (answer->length + size * count > PROXY_ANSWER_BYTES_MAX)
        return 0; /* ends the transfer */
    leat__buffer_bytes(answer, bytes, size * count);
    return size * count;
}

static transfer *transfer_take(proxy *self)
{
    transfer *taken = self->free;
    if (taken != NULL) {
        self->free = taken->next_free;
        return taken;
    }
    taken = leat__calloc(1, sizeof *taken);
    taken->handle = curl_easy_init();
    taken->next_all = self->all;
    self->all = taken;
    curl_easy_setopt(taken->handle, CURLOPT_PRIVATE, taken);
    curl_easy_setopt(taken->handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(taken->handle, CURLOPT_WRITEDATA, taken);
    curl_easy_setopt(taken->handle, CURLOPT_HTTPHEADER, self->headers);
    curl_easy_setopt(taken->handle, CURLOPT_TIMEOUT_MS, (long)self->timeout_ms);
    curl_easy_setopt(taken->handle, CURLOPT_CONNECTTIMEOUT_MS, (long)self->timeout_ms);
    curl_easy_setopt(taken->handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(taken->handle, CURLOPT_PROXY, ""); /* the environment's is for the outside */
    curl_easy_setopt(taken->handle, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(taken->handle, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    return taken;
}

static void finish(proxy *self, proxy_request *request, proxy_result result, int status)
{
    request->result = result;
    request->status = status;
    int64_t took_us = now_us() - request->began_us;
    pthread_mutex_lock(&self->lock);
    self->open--;
    self->stats.by_result[result]++;
    if (result == PROXY_ANSWERED)
        leat__histogram_record(&self->stats.duration_us, (uint64_t)took_us);
    pthread_mutex_unlock(&self->lock);
    request->done(request); /* it may be gone after this */
}

static void begin(proxy *self, proxy_request *request)
{
    transfer *taken = transfer_take(self);
    taken->request = request;
    if (curl_easy_setopt(taken->handle, CURLOPT_URL, request->url) == CURLE_OK &&
        curl_multi_add_handle(self->multi, taken->handle) == CURLM_OK)
        return;
    taken->next_free = self->free;
    self->free = taken;
    finish(self, request, PROXY_UNREACHABLE, 0);
}

static void end(proxy *self, CURL *handle, CURLcode code)
{
    transfer *done = NULL;
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_PRIVATE, (char **)&done);
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    proxy_request *request = done->request;
    curl_multi_remove_handle(self->multi, handle);
    done->request = NULL;
    done->next_free = self->free;
    self->free = done;
    proxy_result result = code == CURLE_OK                   ? PROXY_ANSWERED
                          : code == CURLE_OPERATION_TIMEDOUT ? PROXY_SLOW
                                                             : PROXY_UNREACHABLE;
    finish(self, request, result, (int)status);
}

/* ------------------------------------------------------------------ the thread */

/* Begins what waits; false: stopped, and nothing is open. */
static bool begin_waiting(proxy *self)
{
    pthread_mutex_lock(&self->lock);
    proxy_request *waiting = self->first;
    self->first = self->last = NULL;
    bool go_on = !self->stopping || self->open > 0;
    pthread_mutex_unlock(&self->lock);
    for (proxy_request *next; waiting != NULL; waiting = next) {
        next = waiting->next;
        begin(self, waiting);
    }
    return go_on;
}

static void *proxy_main(void *arg)
{
    proxy *self = arg;
    while (begin_waiting(self)) {
        int running, left;
        bool ended = false;
        (void)curl_multi_perform(self->multi, &running);
        for (CURLMsg *message; (message = curl_multi_info_read(self->multi, &left)) != NULL;)
            if (message->msg == CURLMSG_DONE) {
                end(self, message->easy_handle, message->data.result);
                ended = true;
            }
        if (!ended) /* else it may have been the last one */
            (void)curl_multi_poll(self->multi, NULL, 0, POLL_MS, NULL);
    }
    return NULL;
}

/* ------------------------------------------------------------------ life */

static void release(proxy *self)
{
    for (transfer *each = self->all, *next; each != NULL; each = next) {
        next = each->next_all;
        curl_easy_cleanup(each->handle);
        leat__free(each);
    }
    curl_multi_cleanup(self->multi);
    curl_slist_free_all(self->headers);
    pthread_mutex_destroy(&self->lock);
    leat__free(self);
}

proxy *proxy_start(const char *instance, int64_t timeout_ms)
{
    char header[HEADER_BYTES];
    snprintf(header, sizeof header, PROXY_FORWARDED_HEADER ": %s", instance);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    proxy *self = leat__calloc(1, sizeof *self);
    self->timeout_ms = timeout_ms;
    self->multi = curl_multi_init();
    self->headers = curl_slist_append(NULL, header);
    curl_multi_setopt(self->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS_MAX);
    pthread_mutex_init(&self->lock, NULL);
    if (pthread_create(&self->thread, NULL, proxy_main, self) == 0)
        return self;
    release(self);
    return NULL;
}

bool proxy_submit(proxy *self, proxy_request *request)
{
    request->next = NULL;
    request->began_us = now_us();
    pthread_mutex_lock(&self->lock);
    bool room = !self->stopping && self->open < PROXY_REQUESTS_MAX;
    if (room) {
        if (self->first == NULL)
            self->first = request;
        else
            self->last->next = request;
        self->last = request;
        self->open++;
    } else {
        self->stats.by_result[PROXY_BUSY]++;
    }
    pthread_mutex_unlock(&self->lock);
    if (room)
        (void)curl_multi_wakeup(self->multi);
    return room;
}

void proxy_stop(proxy *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_mutex_unlock(&self->lock);
    (void)curl_multi_wakeup(self->multi);
    pthread_join(self->thread, NULL);
    release(self);
}

void proxy_get_stats(proxy *self, proxy_stats *stats)
{
    pthread_mutex_lock(&self->lock);
    *stats = self->stats;
    pthread_mutex_unlock(&self->lock);
}
