/* graph/graph.c - the graph's life: options with their defaults, and what it owns. */
#include "graph/graph.h"
#include "base/limits.h"
#include "base/mem.h"
#include "graph/builder.h"
#include "log/driver.h"
#include <stdlib.h>
#include <string.h>

static const size_t default_cache_bytes = (size_t)64 << 20; /* of decoded state, all tasks */
static const uint32_t default_restart_limit = 10;           /* R30 */
static const int64_t default_transaction_timeout_ms = LEAT_SECONDS(10);
static const int64_t default_snapshot_interval_ms = LEAT_MINUTES(10);
static const int64_t default_trim_interval_ms = LEAT_SECONDS(30);
static const int64_t default_max_ahead_ms = LEAT_HOURS(1); /* W7 */

static const char *or_default(leat__graph *graph, const char *text, const char *otherwise)
{
    return text == NULL ? otherwise : leat__build_text(graph, text);
}

static void copy_opts(leat__graph *graph, const leat_job_opts *opts)
{
    leat_job_opts *own = &graph->opts;
    *own = *opts;
    own->name = leat__build_text(graph, opts->name);
    own->log = leat__build_text(graph, opts->log);
    own->state_dir = leat__build_text(graph, opts->state_dir);
    own->snapshot_dir = leat__build_text(graph, opts->snapshot_dir);
    /* R25: with a state directory the engine takes the name that is kept there */
    own->instance = or_default(graph, opts->instance, opts->state_dir != NULL ? NULL : "0");
    own->advertise = leat__build_text(graph, opts->advertise);
    own->dead_letters = or_default(graph, opts->dead_letters, "dead-letters");
    bool divided = own->memory_bytes != 0; /* R28: when the job starts */
    if (own->buffer_bytes == 0 && !divided)
        own->buffer_bytes = LEAT__EPOCH_BYTES_MAX; /* R9 */
    if (own->cache_bytes == 0 && !divided)
        own->cache_bytes = default_cache_bytes;
    if (own->transaction_timeout_ms == 0)
        own->transaction_timeout_ms = default_transaction_timeout_ms;
    if (own->snapshot_interval_ms == 0)
        own->snapshot_interval_ms = default_snapshot_interval_ms;
    if (own->trim_interval_ms == 0)
        own->trim_interval_ms = default_trim_interval_ms;
    if (own->max_ahead_ms == 0)
        own->max_ahead_ms = default_max_ahead_ms;
    if (own->stall_limit_ms == 0)
        own->stall_limit_ms = LEAT__STALL_MS;
    if (own->restart_limit == 0)
        own->restart_limit = default_restart_limit;
}

/* HOST:PORT; an IPv6 host in brackets. */
static bool is_address(const char *text)
{
    enum { ADDRESS_BYTES_MAX = 255 };
    const char *colon = strrchr(text, ':');
    size_t length = strlen(text);
    if (colon == NULL || colon == text || length > ADDRESS_BYTES_MAX ||
        strcspn(text, " /\t\r\n\"") != length)
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    long port = digits == 0 || digits > 5 ? 0 : strtol(colon + 1, NULL, 10);
    return colon[1 + digits] == '\0' && port > 0 && port <= 65535;
}

static bool check_opts(leat__graph *graph)
{
    const leat_job_opts *opts = &graph->opts;
    if (!leat__build_name_ok(graph, "job", "job (leat_job_opts.name)", opts->name) ||
        (opts->instance != NULL &&
         !leat__build_name_ok(graph, opts->name, "instance", opts->instance)))
        return false;
    leat__draft draft = {.graph = graph, .node = {.name = opts->name}};
    if (opts->advertise != NULL && !is_address(opts->advertise))
        return leat__build_fail(&draft, LEAT_EINVAL, "advertise '%.80s' is no HOST:PORT",
                                opts->advertise);
    if (opts->snapshot_dir != NULL && opts->state_dir == NULL)
        return leat__build_fail(&draft, LEAT_EINVAL,
                                "has a .snapshot_dir but no .state_dir to take them of; set both");
    if (opts->log != NULL && opts->log_handle != NULL)
        return leat__build_fail(&draft, LEAT_EINVAL, "has both .log and .log_handle; set one");
    if ((unsigned)opts->exchange > LEAT_EXCHANGE_LOG)
        return leat__build_fail(&draft, LEAT_EINVAL, "exchange %d does not exist",
                                (int)opts->exchange);
    if (opts->exchange == LEAT_EXCHANGE_LOG && opts->log == NULL && opts->log_handle == NULL)
        return leat__build_fail(&draft, LEAT_EINVAL,
                                "exchanges through the log but has none; set .log");
    if ((uint32_t)opts->guarantee > LEAT_AT_MOST_ONCE)
        return leat__build_fail(&draft, LEAT_EINVAL, "guarantee is none of leat_guarantee");
    return leat__build_topic_ok(&draft, opts->dead_letters) &&
           leat__build_not_negative(&draft, "epoch_ms", opts->epoch_ms) &&
           leat__build_not_negative(&draft, "backlog_epoch_ms", opts->backlog_epoch_ms) &&
           leat__build_not_negative(&draft, "transaction_timeout_ms",
                                    opts->transaction_timeout_ms) &&
           leat__build_not_negative(&draft, "snapshot_interval_ms", opts->snapshot_interval_ms) &&
           leat__build_not_negative(&draft, "lease_ms", opts->lease_ms) &&
           leat__build_not_negative(&draft, "trim_interval_ms", opts->trim_interval_ms) &&
           leat__build_not_negative(&draft, "max_ahead_ms", opts->max_ahead_ms) &&
           leat__build_not_negative(&draft, "stall_limit_ms", opts->stall_limit_ms) &&
           leat__build_partitions_ok(&draft, opts->partition_count);
}

leat_status leat__graph_init(leat__graph *graph, const leat_job_opts *opts)
{
    *graph = (leat__graph){0};
    copy_opts(graph, opts != NULL ? opts : &(leat_job_opts){0});
    (void)check_opts(graph);
    return graph->error.status;
}

leat_exchange leat__graph_exchange(const leat__graph *graph)
{
    const leat_job_opts *opts = &graph->opts;
    if (opts->exchange != LEAT_EXCHANGE_AUTO)
        return opts->exchange;
    bool shared = opts->log_handle != NULL ? leat__log_is_shared(opts->log_handle)
                  : opts->log != NULL      ? leat__log_url_is_shared(opts->log)
                                           : false;
    return shared ? LEAT_EXCHANGE_LOG : LEAT_EXCHANGE_MEMORY;
}

void leat__graph_free(leat__graph *graph)
{
    for (size_t i = 0; i < graph->node_count; i++)
        leat__headed_reader_free(graph->nodes[i].binary);
    for (size_t i = 0; i < graph->table_count; i++)
        leat__headed_reader_free(graph->tables[i].binary);
    leat__free(graph->nodes);
    leat__free(graph->tables);
    leat__arena_free(&graph->arena);
    *graph = (leat__graph){0};
}

const leat_type *leat__graph_type_of(const leat__graph *graph, leat__input from)
{
    const leat__node *node = &graph->nodes[from.node];
    if (from.output == 0)
        return node->kind <= LEAT__NODE_OP ? node->type : NULL;
    if (node->kind != LEAT__NODE_OP || from.output > LEAT_SLOTS_MAX)
        return NULL;
    return node->as.op.side[from.output - 1].type;
}
