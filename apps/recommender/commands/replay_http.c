/* commands/replay_http.c - events to a server, over one kept-alive connection. */
#include <curl/curl.h>
#include <string.h>
#include <unistd.h>

#include "apps/recommender/commands/replay_target.h"
#include "base/error.h"
#include "base/mem.h"
#include "record/json_reader.h"

enum { ANSWER_BYTES_MAX = 1 << 20, BUSY_TRIES = 50, BUSY_PAUSE_US = 100000, TIMEOUT_S = 120 };

typedef struct http_target {
    replay_target target;
    CURL *curl;
    struct curl_slist *headers;
    char *url;
    leat__buffer answer;
    leat__json_reader *json;
} http_target;

static size_t take_answer(char *bytes, size_t size, size_t count, void *arg)
{
    leat__buffer *answer = arg;
    if (answer->length + size * count > ANSWER_BYTES_MAX)
        return 0;
    leat__buffer_bytes(answer, bytes, size * count);
    return size * count;
}

/* What the server says it did not take, from a 202 or a problem. */
static void count_rejected(http_target *self)
{
    leat__json root, rejected, errors;
    int64_t count;
    leat_str reason;
    if (leat__json_open(self->json, (leat_str){self->answer.data, self->answer.length}, &root,
                        NULL) != LEAT_OK ||
        !leat__json_member(root, "rejected", &rejected) || !leat__json_get_i64(rejected, &count))
        return;
    bool first = self->target.rejected == 0 && count > 0;
    self->target.rejected += (uint64_t)count;
    if (!first || !leat__json_member(root, "errors", &errors))
        return;
    leat__json_each each = leat__json_each_of(errors);
    if (leat__json_next(&each) && leat__json_member(each.value, "reason", &each.value) &&
        leat__json_get_str(each.value, &reason))
        snprintf(self->target.reject, sizeof self->target.reject, "%.*s", (int)reason.length,
                 reason.data);
}

static leat_status http_send(replay_target *target, const replay_batch *batch, leat_error *error)
{
    http_target *self = (http_target *)target;
    long code = 0;
    curl_easy_setopt(self->curl, CURLOPT_POSTFIELDS, batch->texts.data);
    curl_easy_setopt(self->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)batch->texts.length);
    for (int tries = 0; tries < BUSY_TRIES; tries++) {
        self->answer.length = 0;
        CURLcode result = curl_easy_perform(self->curl);
        if (result != CURLE_OK)
            return leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "--to", "%s: %s", self->url,
                              curl_easy_strerror(result));
        curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &code);
        if (code != 503)
            break;
        usleep(BUSY_PAUSE_US); /* the disk is behind */
    }
    if (code == 202 || code == 400)
        count_rejected(self);
    if (code == 202 || (code == 400 && self->target.rejected > 0))
        return LEAT_OK;
    return leat__fail(error, LEAT_EIO, LEAT_RECOVERY_FATAL, "--to", "%s answered %ld: %.*s",
                      self->url, code, (int)(self->answer.length < 200 ? self->answer.length : 200),
                      self->answer.data == NULL ? "" : self->answer.data);
}

static leat_status http_finish(replay_target *target, leat_error *error)
{
    (void)target, (void)error;
    return LEAT_OK; /* 202 means durable; the server's job commits by itself */
}

static void http_free(replay_target *target)
{
    http_target *self = (http_target *)target;
    curl_slist_free_all(self->headers);
    if (self->curl != NULL)
        curl_easy_cleanup(self->curl);
    leat__json_reader_free(self->json);
    leat__buffer_free(&self->answer);
    leat__free(self->url);
    leat__free(self);
    curl_global_cleanup();
}

leat_status replay_http(replay_target **target, const char *url, leat_error *error)
{
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        length--;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return leat__fail(error, LEAT_EINTERNAL, LEAT_RECOVERY_FATAL, "--to",
                          "libcurl does not start");
    http_target *self = leat__calloc(1, sizeof *self);
    self->target = (replay_target){.send = http_send, .finish = http_finish, .free = http_free};
    self->url = leat__format("%.*s/v1/events", (int)length, url);
    self->curl = curl_easy_init();
    self->json = leat__json_reader_new();
    self->headers = curl_slist_append(NULL, "Content-Type: application/x-ndjson");
    self->headers = curl_slist_append(self->headers, "Expect:"); /* no round trip before the body */
    *target = &self->target;
    curl_easy_setopt(self->curl, CURLOPT_URL, self->url);
    curl_easy_setopt(self->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, self->headers);
    curl_easy_setopt(self->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(self->curl, CURLOPT_WRITEDATA, &self->answer);
    curl_easy_setopt(self->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(self->curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    return LEAT_OK;
}
