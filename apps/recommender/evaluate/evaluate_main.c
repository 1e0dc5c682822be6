/* evaluate/evaluate_main.c - `leat-recommender evaluate`: options, files, and the printed result.
 *
 *   evaluate TRAIN TEST      every setting in the lists --recent, --neighbours, --last is tried on
 *   evaluate FILE            the split; more than one combination prints a line each, best first */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/recommender/evaluate/evaluate.h"
#include "apps/recommender/events/load_format.h"
#include "base/mem.h"

enum { LIST_MAX = 32, REJECTS_SHOWN = 10 };

typedef struct number_list {
    uint32_t values[LIST_MAX];
    size_t count;
} number_list;

typedef struct command {
    evaluate_options options;
    number_list recent, neighbours, last;
    const char *format;
    bool json, help;
    uint64_t rejects_shown;
} command;

static const char usage[] =
    "usage: leat-recommender evaluate [options] TRAIN TEST   learn from TRAIN, predict TEST\n"
    "       leat-recommender evaluate [options] FILE         replay: predict before learning\n"
    "Files may be plain, .gz or .zst; formats: %s.\n\n"
    "  --format NAME        format of the files (default: by their first line)\n"
    "  --recent M[,M...]    sessions per item that are candidates (default %u)\n"
    "  --neighbours K[,..]  most similar sessions that are used (default %u)\n"
    "  --last L[,..]        last clicks of a session that are looked at, 1-%u (default %u)\n"
    "                       more than one value: every combination is tried, best first\n"
    "  --best N             length of the list, the N of HR@N (default %u)\n"
    "  --min-items N        shorter sessions are not learnt (default %u)\n"
    "  --max-items N        longer ones neither (default: TRAIN's 99.5th percentile; replay %u)\n"
    "  --gap-minutes N      silence that ends a session without an id (default %lld)\n"
    "  --keep-current       the item of the newest click may be recommended\n"
    "  --skip-repeats       no prediction where the next click is on the same item again\n"
    "  --json               print JSON\n"
    "  --help\n";

static void print_usage(FILE *out)
{
    evaluate_options options = evaluate_defaults();
    fprintf(out, usage, load_format_names(), options.candidates, options.neighbours,
            (unsigned)SESSION_QUERY_ITEMS_MAX, options.max_items, options.best,
            options.min_session_items, session_index_defaults().max_session_items,
            (long long)(options.gap_ms / LEAT_MINUTES(1)));
}

/* ------------------------------------------------------------------ options */

static bool parse_number(const char *text, uint32_t low, uint32_t high, uint32_t *out, char **end)
{
    unsigned long value = strtoul(text, end, 10);
    *out = (uint32_t)value;
    return *end != text && *text != '-' && value >= low && value <= high;
}

static bool parse_list(const char *text, uint32_t low, uint32_t high, number_list *out)
{
    for (out->count = 0; out->count < LIST_MAX;) {
        char *end;
        if (!parse_number(text, low, high, &out->values[out->count++], &end))
            return false;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
        text = end + 1;
    }
    return false;
}

static bool parse_one(const char *text, uint32_t low, uint32_t high, uint32_t *out)
{
    char *end;
    return parse_number(text, low, high, out, &end) && *end == '\0';
}

static const struct option long_options[] = {
    {"recent", required_argument, NULL, 'm'},
    {"neighbours", required_argument, NULL, 'k'},
    {"last", required_argument, NULL, 'l'},
    {"best", required_argument, NULL, 'n'},
    {"min-items", required_argument, NULL, 's'},
    {"max-items", required_argument, NULL, 'x'},
    {"gap-minutes", required_argument, NULL, 'g'},
    {"format", required_argument, NULL, 'f'},
    {"keep-current", no_argument, NULL, 'c'},
    {"skip-repeats", no_argument, NULL, 'r'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool take_option(command *into, int option, const char *value)
{
    evaluate_options *options = &into->options;
    uint32_t minutes;
    switch (option) {
    case 'm':
        return parse_list(value, 1, SESSION_RECENT_MAX, &into->recent);
    case 'k':
        return parse_list(value, 1, SESSION_RECENT_MAX, &into->neighbours);
    case 'l':
        return parse_list(value, 1, SESSION_QUERY_ITEMS_MAX, &into->last);
    case 'n':
        return parse_one(value, 1, EVALUATE_BEST_MAX, &options->best);
    case 's':
        return parse_one(value, 1, SESSION_ITEMS_MAX, &options->min_session_items);
    case 'x':
        return parse_one(value, 1, SESSION_ITEMS_MAX, &options->max_session_items);
    case 'g':
        if (!parse_one(value, 1, 60 * 24 * 365, &minutes))
            return false;
        options->gap_ms = LEAT_MINUTES(minutes);
        return true;
    case 'f':
        into->format = value;
        return true;
    case 'c':
        return options->keep_current = true;
    case 'r':
        return options->skip_repeats = true;
    case 'j':
        return into->json = true;
    case 'h':
        return into->help = true;
    default:
        return false;
    }
}

static bool parse_options(command *into, int argc, char **argv)
{
    optind = 1;
    opterr = 0;
    for (int place = 0, option;
         (option = getopt_long(argc, argv, "", long_options, &place)) != -1;) {
        if (option == '?') {
            fprintf(stderr, "evaluate: unknown or incomplete option '%s'; see --help\n",
                    argv[optind - 1]);
            return false;
        }
        if (!take_option(into, option, optarg)) {
            fprintf(stderr, "evaluate: --%s '%s' is not valid; see --help\n",
                    long_options[place].name, optarg);
            return false;
        }
    }
    if (into->help || argc - optind == 1 || argc - optind == 2)
        return true;
    fprintf(stderr, "evaluate: one or two files are needed; see --help\n");
    return false;
}

/* ------------------------------------------------------------------ printing */

static void print_quality_row(const char *name, const quality *of)
{
    printf("  %-12s %8.4f %8.4f %8.4f %8.4f %9.4f %10.4f %7.2f%%\n", name, of->hit_rate, of->mrr,
           of->precision, of->recall, of->coverage, of->popularity, 100 * of->empty_part);
}

static double prediction_us(const evaluate_result *result, double quantile)
{
    return (double)leat__histogram_quantile(&result->prediction_ns, quantile) / 1000;
}

static const char *repeats_text(const evaluate_options *options)
{
    if (options->keep_current)
        return options->skip_repeats
                   ? "current item may be recommended, repeats of it not asked for"
                   : "current item may be recommended, repeats of it count";
    return options->skip_repeats ? "current item left out, repeats of it not asked for"
                                 : "current item left out, repeats of it count as misses";
}

static void print_table(const evaluate_options *options, const evaluate_result *result,
                        bool is_replay)
{
    printf("%s: %llu sessions, %llu clicks learnt; %llu predictions; %s\n",
           is_replay ? "replay" : "split", (unsigned long long)result->train_sessions,
           (unsigned long long)result->train_clicks,
           (unsigned long long)result->neighbours.predictions, repeats_text(options));
    printf("settings: m %u, k %u, last %u clicks, sessions of %u-%u items\n\n", options->candidates,
           options->neighbours, options->max_items, options->min_session_items,
           result->max_session_items);
    char at[4][16];
    static const char *const names[] = {"HR", "MRR", "P", "R"};
    for (int i = 0; i < 4; i++)
        snprintf(at[i], sizeof at[i], "%s@%u", names[i], options->best);
    printf("  %-12s %8s %8s %8s %8s %9s %10s %8s\n", "", at[0], at[1], at[2], at[3], "coverage",
           "popularity", "empty");
    print_quality_row("session kNN", &result->neighbours);
    print_quality_row("most popular", &result->popular);
    printf(
        "\nprediction p50 %.2f, p90 %.2f, p99 %.2f us; index %.1f MB, %llu of %llu sessions, "
        "%u items; %.2f s\n",
        prediction_us(result, 0.5), prediction_us(result, 0.9), prediction_us(result, 0.99),
        (double)result->index.memory_bytes / 1e6, (unsigned long long)result->index.sessions_stored,
        (unsigned long long)result->index.sessions_counted, result->index.items, result->seconds);
}

static void print_quality_json(const char *name, const quality *of)
{
    printf("\"%s\":{\"hit_rate\":%.6f,\"mrr\":%.6f,\"precision\":%.6f,\"recall\":%.6f,"
           "\"coverage\":%.6f,\"popularity\":%.6f,\"empty\":%.6f}",
           name, of->hit_rate, of->mrr, of->precision, of->recall, of->coverage, of->popularity,
           of->empty_part);
}

static void print_json(const evaluate_options *options, const evaluate_result *result,
                       bool is_replay)
{
    printf("{\"protocol\":\"%s\",\"recent\":%u,\"neighbours\":%u,\"last\":%u,\"best\":%u,"
           "\"min_session_items\":%u,\"max_session_items\":%u,\"current_item\":\"%s\","
           "\"repeats\":\"%s\",\"train_sessions\":%llu,\"train_clicks\":%llu,\"predictions\":%llu,",
           is_replay ? "replay" : "split", options->candidates, options->neighbours,
           options->max_items, options->best, options->min_session_items, result->max_session_items,
           options->keep_current ? "kept" : "left out",
           options->skip_repeats ? "not asked for" : "counted",
           (unsigned long long)result->train_sessions, (unsigned long long)result->train_clicks,
           (unsigned long long)result->neighbours.predictions);
    print_quality_json("session_knn", &result->neighbours);
    printf(",");
    print_quality_json("most_popular", &result->popular);
    printf(",\"prediction_us\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f},\"index_bytes\":%zu,"
           "\"seconds\":%.3f}\n",
           prediction_us(result, 0.5), prediction_us(result, 0.9), prediction_us(result, 0.99),
           result->index.memory_bytes, result->seconds);
}

/* ------------------------------------------------------------------ running */

static void on_reject(void *arg, const load_reject *reject)
{
    command *with = arg;
    if (with->rejects_shown++ < REJECTS_SHOWN)
        fprintf(stderr, "%s:%llu: %s\n", reject->file, (unsigned long long)reject->line,
                reject->reason);
}

static void on_progress(void *arg, uint64_t bytes_read, uint64_t bytes_total)
{
    (void)arg;
    if (bytes_total == 0 || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\rreading %3u%%%s", (unsigned)(bytes_read * 100 / bytes_total),
            bytes_read == bytes_total ? "\r            \r" : "");
}

static leat_status load_log(command *with, const char *path, bool is_replay, click_log *log)
{
    click_log_options options = {
        .format = with->format,
        .gap_ms = with->options.gap_ms,
        .gap_cuts_all = is_replay,
        .report = {.arg = with, .on_reject = on_reject, .on_progress = on_progress}};
    leat_error error = {0};
    leat_status status = click_log_load(path, &options, log, &error);
    if (status != LEAT_OK)
        fprintf(stderr, "evaluate: %s\n", error.message);
    if (log->loaded.rejected > 0)
        fprintf(stderr, "%s: %llu of %llu lines rejected\n", path,
                (unsigned long long)log->loaded.rejected, (unsigned long long)log->loaded.lines);
    with->rejects_shown = 0;
    return status;
}

typedef struct trial {
    evaluate_options options;
    evaluate_result result;
} trial;

static int better_first(const void *left, const void *right)
{
    const trial *a = *(const trial *const *)left, *b = *(const trial *const *)right;
    double x = a->result.neighbours.mrr, y = b->result.neighbours.mrr;
    return (x < y) - (x > y);
}

static void print_grid(trial *const *trials, size_t count)
{
    const evaluate_options *first = &trials[0]->options;
    printf("%llu predictions; %s; best MRR first\n\n",
           (unsigned long long)trials[0]->result.neighbours.predictions, repeats_text(first));
    printf("|    m |    k | last | MRR@%u | HR@%u | P@%u | R@%u | p50 us |\n", first->best,
           first->best, first->best, first->best);
    printf("|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        const evaluate_options *options = &trials[i]->options;
        const quality *of = &trials[i]->result.neighbours;
        printf("| %4u | %4u | %4u | %.4f | %.4f | %.4f | %.4f | %.2f |\n", options->candidates,
               options->neighbours, options->max_items, of->mrr, of->hit_rate, of->precision,
               of->recall, prediction_us(&trials[i]->result, 0.5));
    }
}

static void run_trials(const command *with, const click_log *learn, const click_log *test)
{
    size_t count = with->recent.count * with->neighbours.count * with->last.count;
    trial **trials = leat__alloc(count * sizeof(trial *));
    for (size_t i = 0; i < count; i++) {
        trial *now = trials[i] = leat__calloc(1, sizeof **trials);
        now->options = with->options;
        now->options.candidates = with->recent.values[i % with->recent.count];
        now->options.neighbours =
            with->neighbours.values[i / with->recent.count % with->neighbours.count];
        now->options.max_items = with->last.values[i / with->recent.count / with->neighbours.count];
        if (test != NULL) {
            evaluate_split(learn, test, &now->options, &now->result);
        } else {
            evaluate_replay(learn, &now->options, &now->result);
        }
    }
    qsort(trials, count, sizeof(trial *), better_first);
    if (with->json) {
        for (size_t i = 0; i < count; i++)
            print_json(&trials[i]->options, &trials[i]->result, test == NULL);
    } else if (count == 1) {
        print_table(&trials[0]->options, &trials[0]->result, test == NULL);
    } else {
        print_grid(trials, count);
    }
    for (size_t i = 0; i < count; i++)
        leat__free(trials[i]);
    leat__free(trials);
}

static int run(command *with, const char *first, const char *second)
{
    click_log learn = {0}, test = {0};
    leat_status status = load_log(with, first, second == NULL, &learn);
    if (status == LEAT_OK && second != NULL)
        status = load_log(with, second, false, &test);
    if (status == LEAT_OK)
        run_trials(with, &learn, second != NULL ? &test : NULL);
    click_log_free(&learn);
    click_log_free(&test);
    return leat_status_exit_code(status);
}

int evaluate_main(int argc, char **argv)
{
    command with = {.options = evaluate_defaults()};
    with.recent = (number_list){{with.options.candidates}, 1};
    with.neighbours = (number_list){{with.options.neighbours}, 1};
    with.last = (number_list){{with.options.max_items}, 1};
    if (!parse_options(&with, argc, argv))
        return leat_status_exit_code(LEAT_EINVAL);
    if (with.help) {
        print_usage(stdout);
        return 0;
    }
    return run(&with, argv[optind], argc - optind == 2 ? argv[optind + 1] : NULL);
}
