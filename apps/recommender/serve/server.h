/* serve/server.h - the process behind `leat-recommender serve`.
 *
 *   listen ─► open the log ─► HTTP answers (503 but for /healthz) ─► tables restored ─► "ready URL"
 *   SIGTERM ─► no new connections ─► open requests answered ─► epoch finished ─► log closed ─► 0 */
#ifndef RECOMMENDER_SERVER_H
#define RECOMMENDER_SERVER_H
#include "apps/recommender/job/recommender_job.h"

typedef struct server_options {
    const char *listen;
    uint32_t http_threads;      /* 0: 2 */
    int64_t forward_timeout_ms; /* how long another process is waited for; 0: 50 */
    int64_t max_staleness_ms;   /* R15; 0: any */
    bool refuse_stale;
    bool no_sync; /* tests only */
    bool allow_any_origin;
    bool debug_endpoints;
    const char *allow_host;        /* further names in Host, "a,b:8080"; NULL: none */
    recommender_settings settings; /* data_dir is made if missing */
} server_options;

/* Opens DATA_DIR/log, making the directory if it is missing and not only to be read. */
LEAT_MUST_CHECK leat_status data_dir_open_log(const char *data_dir, const leat_log_opts *opts,
                                              leat_log **log, leat_error *error);

/* settings->log_url, or that of the data directory. */
LEAT_MUST_CHECK leat_status recommender_open_log(const recommender_settings *settings,
                                                 const leat_log_opts *opts, leat_log **log,
                                                 leat_error *error);

/* Runs until SIGTERM or SIGINT (LEAT_OK) or until the job can't go on. */
LEAT_MUST_CHECK leat_status server_run(const server_options *options, leat_error *error);
#endif
