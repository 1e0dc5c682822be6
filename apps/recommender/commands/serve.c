#include <string.h>

#include "apps/recommender/commands/commands.h"
#include "apps/recommender/serve/server.h"

enum { OWN_FLAGS = 15 };

static const char *const guarantees[] = {"exactly-once", "at-least-once", "at-most-once"};

static leat_status guarantee_read(const char *text, leat_guarantee *guarantee, leat_error *error)
{
    for (int i = 0; i < 3; i++) {
        *guarantee = (leat_guarantee)i;
        if (strcmp(text, guarantees[i]) == 0)
            return LEAT_OK;
    }
    *error = (leat_error){.status = LEAT_EINVAL, .where = "--guarantee"};
    snprintf(error->message, sizeof error->message,
             "'%.60s' is none of exactly-once, at-least-once, at-most-once", text);
    return LEAT_EINVAL;
}

static leat_status when_stale_read(const char *text, bool *refuse, leat_error *error)
{
    *refuse = strcmp(text, "refuse") == 0;
    if (*refuse || strcmp(text, "mark") == 0)
        return LEAT_OK;
    *error = (leat_error){.status = LEAT_EINVAL, .where = "--when-stale"};
    snprintf(error->message, sizeof error->message, "'%.60s' is neither mark nor refuse", text);
    return LEAT_EINVAL;
}

static void print_help(const flags *parsed)
{
    printf("usage: leat-recommender serve --data-dir DIR [--listen 127.0.0.1:8080]\n\n"
           "Takes events over HTTP, learns from each, and answers with recommendations.\n"
           "Everything lies in DIR; one line `ready URL` is printed when it serves.\n"
           "SIGTERM ends it cleanly.\n\n");
    flags_print(parsed, stdout);
}

int serve_main(int argc, char **argv)
{
    server_options options = {.listen = "127.0.0.1:8080",
                              .http_threads = 2,
                              .forward_timeout_ms = 50,
                              .max_staleness_ms = LEAT_SECONDS(10),
                              .settings = recommender_defaults()};
    const char *guarantee = guarantees[0], *when_stale = "mark";
    flag table[OWN_FLAGS + SETTINGS_FLAGS] = {
        {"data-dir", FLAG_TEXT, &options.settings.data_dir, 0, 0, "DIR",
         "where everything is kept; made if missing"},
        {"listen", FLAG_TEXT, &options.listen, 0, 0, "HOST:PORT",
         "a loopback address; port 0: any free one"},
        {"advertise", FLAG_TEXT, &options.settings.advertise, 0, 0, "HOST:PORT",
         "where other processes of the job reach this one; with a Kafka log: as --listen"},
        {"forward-timeout", FLAG_DURATION, &options.forward_timeout_ms, 1, 0, NULL,
         "how long the process that has a user is waited for"},
        {"max-staleness", FLAG_DURATION, &options.max_staleness_ms, 0, 0, NULL,
         "without a commit for so long answers are stale; 0ms: never"},
        {"when-stale", FLAG_TEXT, &when_stale, 0, 0, "HOW", "mark or refuse such answers"},
        {"http-threads", FLAG_U32, &options.http_threads, 1, 64, NULL,
         "threads that answer requests"},
        {"allow-any-origin", FLAG_BOOL, &options.allow_any_origin, 0, 0, NULL,
         "let web pages of other origins write events"},
        {"allow-host", FLAG_TEXT, &options.allow_host, 0, 0, "NAMES",
         "further names by which clients may call the server, by commas"},
        {"debug-endpoints", FLAG_BOOL, &options.debug_endpoints, 0, 0, NULL,
         "answer GET /v1/debug/index"},
        {"snapshot-dir", FLAG_TEXT, &options.settings.snapshot_dir, 0, 0, "DIR",
         "copies of the state, for a start without it; processes may share it"},
        {"snapshot-interval", FLAG_DURATION, &options.settings.snapshot_interval_ms, 1, 0, NULL,
         "how often"},
        {"instance", FLAG_TEXT, &options.settings.instance, 0, 0, "NAME",
         "this process's own name; stable, and no other process's"},
        {"guarantee", FLAG_TEXT, &guarantee, 0, 0, NULL,
         "exactly-once, at-least-once or at-most-once"},
        {"no-sync", FLAG_BOOL, &options.no_sync, 0, 0, NULL,
         "tests only: do not wait for the disk"},
    };
    settings_flags(&options.settings, table + OWN_FLAGS);
    flags parsed = {.table = table, .count = OWN_FLAGS + SETTINGS_FLAGS};
    leat_error error = {0};
    leat_status status = flags_parse(&parsed, argc, argv, &error);
    if (status == LEAT_OK && !parsed.help)
        status = guarantee_read(guarantee, &options.settings.guarantee, &error);
    if (status == LEAT_OK && !parsed.help)
        status = when_stale_read(when_stale, &options.refuse_stale, &error);
    if (status == LEAT_OK && parsed.help) {
        print_help(&parsed);
    } else if (status == LEAT_OK && options.settings.data_dir == NULL) {
        error = (leat_error){.status = status = LEAT_EINVAL, .where = "serve"};
        snprintf(error.message, sizeof error.message,
                 "--data-dir DIR is missing; see serve --help");
    } else if (status == LEAT_OK) {
        status = server_run(&options, &error);
    }
    flags_free(&parsed);
    return status == LEAT_OK ? 0 : command_failed(&error);
}
