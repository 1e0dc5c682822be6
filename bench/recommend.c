/* bench/recommend.c - session kNN: quality and speed on the example clicks, speed and memory with a
 * million generated sessions, beside the figures of Serenade 0.3.1 measured on such a machine.
 *
 *   1 check    the answers of a part of both data sets equal a naive second implementation's
 *   2 quality  train -> test of the example
 *   3 speed    one prediction in process, one thread; a quantile is of single predictions
 *
 * Nothing is printed about speed unless 1 and 2 hold. */
#include <stdlib.h>
#include <string.h>

#include "apps/recommender/evaluate/evaluate.h"
#include "bench/support/click_generator.h"
#include "bench/support/machine.h"
#include "tests/unit/candidates/naive_vmis.h"

enum {
    BEST = 21, /* what Serenade was asked for */
    CHECKED_SESSIONS = 700,
    CHECKED_QUERIES = 60,
    EXAMPLE_ROUNDS = 200,
    GENERATED_SESSIONS = 1000000,
    GENERATED_QUERIES = 100000,
    LONGEST_QUERY = 8,
};

typedef struct setting {
    const char *name;
    uint32_t m, k, last;
    double example_us[2], million_us[2]; /* Serenade's p50, p90; 0: not measured */
    double least_mrr, least_hit_rate;    /* required of us */
} setting;

static const setting settings[] = {
    {"shipped by Serenade", 500, 50, 2, {1.6, 4.9}, {26.4, 39.4}, 0.325, 0.640},
    {"tuned by Serenade", 1502, 288, 4, {2.0, 5.8}, {83.8, 149}, 0.339, 0.663},
    {"m 500 k 100 last 3", 500, 100, 3, {1.6, 4.9}, {26.4, 39.4}, 0.340, 0.655},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };
#define SERENADE_INDEX_MB 258.0

static bool as_json;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench/recommend: %s: no speed is printed\n", what);
    exit(1);
}

/* ------------------------------------------------------------------ queries */

typedef struct query_set {
    leat_str *clicks; /* all sessions in a row */
    size_t *first;    /* of each query */
    uint32_t *count;
    size_t queries, total;
} query_set;

static void add_query(query_set *to, const leat_str *clicks, uint32_t count)
{
    to->clicks = realloc(to->clicks, (to->total + count) * sizeof(leat_str));
    to->first = realloc(to->first, (to->queries + 1) * sizeof(size_t));
    to->count = realloc(to->count, (to->queries + 1) * sizeof(uint32_t));
    if (to->clicks == NULL || to->first == NULL || to->count == NULL)
        abort();
    for (uint32_t i = 0; i < count; i++)
        to->clicks[to->total + i] =
            (leat_str){strndup(clicks[i].data, clicks[i].length), clicks[i].length};
    to->first[to->queries] = to->total;
    to->count[to->queries++] = count;
    to->total += count;
}

/* Every prefix is a query, cut to its last clicks. */
static void add_prefixes(query_set *to, const leat_str *clicks, size_t count)
{
    for (size_t end = 1; end < count; end++) {
        size_t from = end > LONGEST_QUERY ? end - LONGEST_QUERY : 0;
        add_query(to, clicks + from, (uint32_t)(end - from));
    }
}

static session_query query_at(const query_set *set, size_t i, const setting *with)
{
    return (session_query){.clicks = set->clicks + set->first[i],
                           .click_count = set->count[i],
                           .max_items = with->last,
                           .candidates = with->m,
                           .neighbours = with->k,
                           .exclude_current = true};
}

static bench_quantiles measure(session_index *index, const query_set *set, const setting *with,
                               size_t rounds)
{
    session_workspace *workspace = session_workspace_new(index);
    uint32_t *samples = calloc(set->queries * rounds, sizeof *samples);
    scored_item out[BEST];
    size_t taken = 0;
    if (samples == NULL)
        abort();
    for (size_t i = 0; i < set->queries; i++) { /* warm, as a server is */
        session_query query = query_at(set, i, with);
        session_index_query(index, workspace, &query, out, BEST);
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < set->queries; i++) {
            session_query query = query_at(set, i, with);
            int64_t begin = bench_now_ns();
            session_index_query(index, workspace, &query, out, BEST);
            samples[taken++] = (uint32_t)(bench_now_ns() - begin);
        }
    }
    bench_quantiles result = bench_quantiles_of(samples, taken);
    free(samples);
    session_workspace_free(workspace);
    return result;
}

/* ------------------------------------------------------------------ check */

typedef struct kept_session {
    naive_session session;
    leat_str clicks[GENERATED_CLICKS_MAX];
} kept_session;

static void check_query(session_index *index, const naive_index *naive, const session_query *query,
                        session_workspace *workspace, naive_result *expected)
{
    scored_item out[BEST];
    size_t count = session_index_query(index, workspace, query, out, BEST);
    memset(expected, 0, sizeof *expected * CHECKED_SESSIONS * GENERATED_CLICKS_MAX);
    size_t naive_count = naive_query(naive, query, expected);
    if (count != (naive_count < BEST ? naive_count : BEST))
        fail("the check found a list of another length");
    for (size_t i = 0; i < count; i++)
        if (!leat_str_equal(out[i].item, expected[i].item) ||
            fabs((double)out[i].score - expected[i].score) > 1e-4 * expected[i].score)
            fail("the check found another recommendation");
}

static void check(const kept_session *kept, const query_set *queries)
{
    naive_session *sessions = calloc(CHECKED_SESSIONS, sizeof *sessions);
    naive_result *expected = calloc(CHECKED_SESSIONS * GENERATED_CLICKS_MAX, sizeof *expected);
    session_index_options options = {
        .sessions_per_item = 1502, .min_session_items = 1, .max_session_items = 100};
    session_index *index = session_index_new(&options);
    session_workspace *workspace = session_workspace_new(index);
    if (sessions == NULL || expected == NULL)
        abort();
    for (size_t i = 0; i < CHECKED_SESSIONS; i++) {
        sessions[i] = kept[i].session;
        session_index_add(index, sessions[i].id, sessions[i].clicks, sessions[i].click_count,
                          sessions[i].last_time_ms);
    }
    naive_index naive = naive_build(sessions, CHECKED_SESSIONS, 1502, 1, 100);
    for (size_t i = 0; i < CHECKED_QUERIES && i < queries->queries; i++) {
        for (int j = 0; j < SETTINGS; j++) {
            session_query query = query_at(queries, i, &settings[j]);
            check_query(index, &naive, &query, workspace, expected);
        }
    }
    naive_free(&naive);
    session_workspace_free(workspace);
    session_index_free(index);
    free(sessions);
    free(expected);
}

static void keep(kept_session *kept, leat_str id, const leat_str *clicks, size_t count,
                 int64_t last_time_ms)
{
    kept->session = (naive_session){{strndup(id.data, id.length), id.length},
                                    last_time_ms,
                                    kept->clicks,
                                    count < GENERATED_CLICKS_MAX ? count : GENERATED_CLICKS_MAX};
    for (size_t i = 0; i < kept->session.click_count; i++)
        kept->clicks[i] = (leat_str){strndup(clicks[i].data, clicks[i].length), clicks[i].length};
}

/* ------------------------------------------------------------------ printing */

static void print_speed(const char *data, const setting *with, bench_quantiles us,
                        const double *serenade_us)
{
    if (as_json) {
        printf("{\"data\":\"%s\",\"m\":%u,\"k\":%u,\"last\":%u,\"p50_us\":%.3f,\"p90_us\":%.3f,"
               "\"p99_us\":%.3f,\"serenade_p50_us\":%.1f,\"serenade_p90_us\":%.1f}\n",
               data, with->m, with->k, with->last, us.p50 / 1e3, us.p90 / 1e3, us.p99 / 1e3,
               serenade_us[0], serenade_us[1]);
        return;
    }
    printf("%-10s %5u %4u %4u %8.2f %8.2f %8.2f %10.1f %8.1f %8.2f %6.2f\n", data, with->m, with->k,
           with->last, us.p50 / 1e3, us.p90 / 1e3, us.p99 / 1e3, serenade_us[0], serenade_us[1],
           us.p50 / 1e3 / serenade_us[0], us.p90 / 1e3 / serenade_us[1]);
}

static void print_speed_header(void)
{
    if (!as_json)
        printf("\nprediction, us    m    k last      p50      p90      p99  Serenade:p50      p90"
               "    ratio  ratio\n");
}

/* ------------------------------------------------------------------ example */

static void load(const char *folder, const char *name, click_log *log)
{
    char path[1024];
    leat_error error = {0};
    click_log_options options = {.gap_ms = LEAT_MINUTES(30)};
    snprintf(path, sizeof path, "%s/serenade_bolcom_example/%s.txt.zst", folder, name);
    if (click_log_load(path, &options, log, &error) != LEAT_OK)
        fail(error.message);
}

static size_t session_clicks(const click_log *log, uint32_t session, leat_str *clicks)
{
    size_t count = log->sessions[session].count;
    if (count > GENERATED_CLICKS_MAX)
        count = GENERATED_CLICKS_MAX;
    for (size_t i = 0; i < count; i++)
        clicks[i] = click_item(log, log->sessions[session].first + (uint32_t)i);
    return count;
}

static void state_quality(const click_log *train, const click_log *test)
{
    evaluate_result *result = calloc(1, sizeof *result);
    if (result == NULL)
        abort();
    if (!as_json)
        printf(
            "\nquality (example, train -> test, current item left out, repeats count as misses)\n"
            "                           MRR@20    HR@20     P@20     R@20  coverage\n");
    for (int i = 0; i < SETTINGS; i++) {
        evaluate_options options = evaluate_defaults();
        options.candidates = settings[i].m;
        options.neighbours = settings[i].k;
        options.max_items = settings[i].last;
        evaluate_split(train, test, &options, result);
        const quality *got = &result->neighbours;
        if (got->mrr < settings[i].least_mrr || got->hit_rate < settings[i].least_hit_rate)
            fail("the quality is below what is promised");
        if (as_json)
            printf("{\"quality\":\"example\",\"m\":%u,\"k\":%u,\"last\":%u,\"mrr\":%.4f,"
                   "\"hit_rate\":%.4f,\"predictions\":%llu}\n",
                   settings[i].m, settings[i].k, settings[i].last, got->mrr, got->hit_rate,
                   (unsigned long long)got->predictions);
        else
            printf("m %4u, k %3u, last %u      %8.4f %8.4f %8.4f %8.4f %9.4f\n", settings[i].m,
                   settings[i].k, settings[i].last, got->mrr, got->hit_rate, got->precision,
                   got->recall, got->coverage);
    }
    free(result);
}

static void example(const char *folder)
{
    click_log train = {0}, test = {0};
    load(folder, "train", &train);
    load(folder, "test", &test);
    kept_session *kept = calloc(CHECKED_SESSIONS, sizeof *kept);
    query_set queries = {0};
    leat_str clicks[GENERATED_CLICKS_MAX];
    if (kept == NULL)
        abort();
    session_index_options options = {.sessions_per_item = 1502,
                                     .min_session_items = 1,
                                     .max_session_items =
                                         click_log_length_percentile(&train, 0.995)};
    session_index *index = session_index_new(&options);
    for (uint32_t i = 0; i < train.session_count; i++) {
        size_t count = session_clicks(&train, i, clicks);
        const click_session *session = &train.sessions[i];
        session_index_add(index, session->id, clicks, count, session->last_time_ms);
        if (i < CHECKED_SESSIONS)
            keep(&kept[i], session->id, clicks, count, session->last_time_ms);
    }
    for (uint32_t i = 0; i < test.session_count; i++)
        add_prefixes(&queries, clicks, session_clicks(&test, i, clicks));
    check(kept, &queries);
    state_quality(&train, &test);
    print_speed_header();
    for (int i = 0; i < SETTINGS; i++)
        print_speed("example", &settings[i], measure(index, &queries, &settings[i], EXAMPLE_ROUNDS),
                    settings[i].example_us);
    session_index_free(index);
    free(kept);
    click_log_free(&train);
    click_log_free(&test);
}

/* ------------------------------------------------------------------ a million sessions */

static void million(double exponent)
{
    click_generator_options options = {.seed = 1,
                                       .items = 100000,
                                       .exponent = exponent,
                                       .mean_clicks = 6,
                                       .start_ms = INT64_C(1600000000000),
                                       .step_ms = 2592};
    session_index_options index_options = {
        .sessions_per_item = 1502, .min_session_items = 1, .max_session_items = 100};
    click_generator generator;
    generated_session session;
    kept_session *kept = calloc(CHECKED_SESSIONS, sizeof *kept);
    query_set queries = {0};
    size_t resident = bench_resident_bytes();
    session_index *index = session_index_new(&index_options);
    if (kept == NULL)
        abort();
    click_generator_init(&generator, &options);
    int64_t adding_ns = 0;
    uint64_t clicks = 0;
    for (uint32_t i = 0; i < GENERATED_SESSIONS; i++) {
        click_generator_next(&generator, &session);
        clicks += session.click_count;
        int64_t begin = bench_now_ns();
        session_index_add(index, session.id, session.clicks, session.click_count,
                          session.last_time_ms);
        adding_ns += bench_now_ns() - begin;
        if (i < CHECKED_SESSIONS)
            keep(&kept[i], session.id, session.clicks, session.click_count, session.last_time_ms);
    }
    resident = bench_resident_bytes() - resident;
    while (queries.queries < GENERATED_QUERIES) {
        click_generator_next(&generator, &session);
        add_prefixes(&queries, session.clicks, session.click_count);
    }
    check(kept, &queries);
    for (int i = 0; i < SETTINGS; i++)
        print_speed("1M", &settings[i], measure(index, &queries, &settings[i], 1),
                    settings[i].million_us);
    session_index_stats stats = session_index_get_stats(index);
    if (as_json)
        printf("{\"index\":\"1M\",\"sessions\":%llu,\"clicks\":%llu,\"exponent\":%.2f,"
               "\"bytes\":%zu,\"resident_bytes\":%zu,\"serenade_mb\":%.0f,\"add_us\":%.3f}\n",
               (unsigned long long)stats.sessions_counted, (unsigned long long)clicks, exponent,
               stats.memory_bytes, resident, SERENADE_INDEX_MB, (double)adding_ns / 1e9);
    else
        printf(
            "\nindex of %llu sessions, %llu clicks, %u items (power law, exponent %.2f), m 1502: "
            "%.1f MB (resident %.1f; Serenade %.0f), %.2f us per session added, "
            "%llu sessions and %llu entries stored\n",
            (unsigned long long)stats.sessions_counted, (unsigned long long)clicks, stats.items,
            exponent, (double)stats.memory_bytes / 1e6, (double)resident / 1e6, SERENADE_INDEX_MB,
            (double)adding_ns / 1e3 / GENERATED_SESSIONS, (unsigned long long)stats.sessions_stored,
            (unsigned long long)stats.list_entries);
    click_generator_free(&generator);
    session_index_free(index);
    free(kept);
}

int main(int argc, char **argv)
{
    const char *folder = LEAT_DATA_DIR;
    bool only_example = false;
    double exponent = 1.0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            as_json = true;
        } else if (strcmp(argv[i], "--example") == 0) {
            only_example = true;
        } else if (strcmp(argv[i], "--data") == 0 && i + 1 < argc) {
            folder = argv[++i];
        } else if (strcmp(argv[i], "--exponent") == 0 && i + 1 < argc) {
            exponent = atof(argv[++i]);
        } else {
            fprintf(stderr, "usage: recommend [--json] [--example] [--data DIR] [--exponent E]\n");
            return 64;
        }
    }
    char machine[BENCH_MACHINE_BYTES];
    bench_machine(machine);
    if (as_json)
        printf("{\"bench\":\"recommend\",\"version\":\"%s\",\"machine\":\"%s\",\"best\":%d,"
               "\"threads\":1}\n",
               leat_version(), machine, BEST);
    else
        printf("bench/recommend, leat %s, one thread, best %d\n%s\n", leat_version(), BEST,
               machine);
    example(folder);
    if (!only_example)
        million(exponent);
    return 0;
}
